"""A transform that records what a function runs: the primitives it binds, the functions it calls.

A call is one that the function itself makes, not one inside NumPy or inside a definition of ours:
its caller is looked at. Operators and methods count as the NumPy function they stand for, so
`x + y` is `np.add` and `x.sum()` is `np.sum`; those of ufuncs and indexing count as themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import numpy as np

import pycograd.ops  # noqa: F401 (gives Box the methods and operators that are recorded here)
from pycograd.core.aval import dtype_of, is_inexact, shape_of
from pycograd.core.box import Box
from pycograd.core.primitive import Primitive, Trace, bind
from pycograd.core.spelling import CREATORS, FUNCTIONS, UFUNCS
from pycograd.core.tree import tree_leaves, tree_map
from pycograd.testing.program import like
from pycograd.transforms.forward import Dual, jvp


class Recorder(Trace):
    """A transform that computes nothing new and notes the primitives and calls that it sees."""

    __slots__ = ("seen", "calls")

    def __init__(self) -> None:
        super().__init__("a recorded run")
        self.seen: set[str] = set()
        self.calls: dict[Any, bool] = {}  # True: some call gave a value that moves with the inputs

    def box(self, value: Any) -> Recorded:
        """A box whose operations are noted."""
        box: Recorded = object.__new__(Recorded)
        box.value, box._trace = value, self
        return box

    constant = box

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        self.seen.add(primitive.name)
        values = [x.value if isinstance(x, Recorded) and x._trace is self else x for x in operands]
        out = bind(primitive, values, params)
        return tuple([self.box(x) for x in out]) if primitive.multi else self.box(out)

    def note(self, function: Any, args: Sequence[Any], out: Any, caller: FrameType) -> None:
        """Notes a call of a NumPy function that `caller` made; one without a result wrote."""
        if (asking := _asks_within(caller)) and caller.f_back:
            function, caller = asking, caller.f_back
        if _is_program(caller):
            given = args[0] if out is None and args else out
            moves = any(_moves(x) for x in tree_leaves(given))
            self.calls[function] = self.calls.get(function, False) or moves


def _is_program(caller: FrameType) -> bool:
    module: str = caller.f_globals.get("__name__", "")
    inside = module.partition(".")[0] in ("numpy", "scipy", "pycograd")
    return not inside or module.startswith("pycograd.testing.")


def _asks_within(caller: FrameType) -> Any:
    """The NumPy function with a definition whose body this is: one with like=, an older name."""
    if caller.f_globals.get("__name__", "").startswith("numpy"):
        for function in (*CREATORS, *FUNCTIONS):
            if getattr(function, "__code__", None) is caller.f_code:
                return function
    return None


def _moves(x: Any) -> bool:
    value = x.value if isinstance(x, Recorded) else x
    return isinstance(value, Dual) and value.tangent is not None and bool(np.any(value.tangent))


class Recorded(Box):
    """A value whose operations are noted."""

    __slots__ = ()
    contents = ("value",)

    @property
    def shape(self) -> tuple[Any, ...]:
        return shape_of(self.value)

    @property
    def dtype(self) -> np.dtype[Any]:
        return dtype_of(self.value)

    def rebind(self, new: Box) -> None:
        self.value = new.value

    def __bool__(self) -> bool:
        return bool(self.value)

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **kwargs: Any) -> Any:
        out = super().__array_ufunc__(ufunc, method, *operands, **kwargs)
        called = ufunc if method == "__call__" else getattr(np.ufunc, method)
        self._trace.note(called, operands, out, sys._getframe(1))
        return out

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        out = super().__array_function__(function, types, args, kwargs)
        self._trace.note(function, args, out, sys._getframe(1))
        return out


# -- operators and methods -------------------------------------------------------------------------
_OPERATORS = {id(ours): ufunc for ufunc, ours in UFUNCS.items()}
_ALIASES = {
    "T": np.transpose,
    "mT": np.matrix_transpose,
    "__getitem__": np.ndarray.__getitem__,
    "__setitem__": np.ndarray.__setitem__,
}


def _stands_for(name: str) -> Any:
    """The NumPy function that an operator or method of boxes stands for, if there is one."""
    if ufunc := _OPERATORS.get(id(vars(Box)[name])):
        return ufunc
    if name in _ALIASES:
        return _ALIASES[name]
    function = vars(np).get(name.strip("_"))
    if function.__hash__ and (function in UFUNCS or function in FUNCTIONS):
        return function
    plain = f"__{name[3:]}"  # of a reflected or augmented operator
    return _stands_for(plain) if name[:3] in ("__r", "__i") and plain in vars(Box) else None


def _noting(function: Any, run: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = run(self, *args, **kwargs)
        self._trace.note(function, (self, *args), out, sys._getframe(1))
        return out

    return method


for _name, _attribute in list(vars(Box).items()):
    if _name in vars(Recorded) or (_function := _stands_for(_name)) is None:
        continue
    if isinstance(_attribute, property):
        assert _attribute.fget is not None
        setattr(Recorded, _name, property(_noting(_function, _attribute.fget), _attribute.fset))
    elif callable(_attribute):
        setattr(Recorded, _name, _noting(_function, _attribute))


# -- recorded runs ---------------------------------------------------------------------------------
def _run(trace: Recorder, f: Callable[..., Any], args: Sequence[Any]) -> Any:
    out = f(*[trace.box(x) if _is_value(x) else x for x in args])
    return tree_map(lambda x: x.value if isinstance(x, Recorded) else x, out)


def primitives_bound(f: Callable[..., Any], *args: Any) -> tuple[Any, set[str]]:
    """The result of `f` and the names of the primitives that it bound on its arguments.

    >>> primitives_bound(lambda x: np.sin(x) + 1, np.zeros(2))[1] == {"sin", "add"}
    True
    """
    trace = Recorder()
    return _run(trace, f, args), trace.seen


def functions_called(f: Callable[..., Any], *args: Any) -> dict[Any, bool]:
    """The NumPy functions that `f` calls on its arguments, and which of them it differentiates.

    Arguments:
        f: a function of `args`, run once, in forward mode along a generic direction.
        args: arrays and whatever else `f` takes.

    Returns:
        By function, True if what a call gave (or wrote, if it gave nothing) moves when the
        arguments do. Of a ufunc method the function is the method: `np.ufunc.reduce`.

    >>> functions_called(lambda x: np.floor(x) * 2.0 + x, np.ones(2))[np.floor]
    False
    >>> functions_called(lambda x: np.floor(x) * 2.0 + x, np.ones(2))[np.add]
    True
    """
    trace = Recorder()
    directions = [like(x, 2) if is_inexact(dtype_of(x)) else None for x in args]
    if any(t is not None for t in directions):
        jvp(lambda *xs: _run(trace, f, xs), args, directions)
    else:
        _run(trace, f, args)
    return trace.calls


def _is_value(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic, float, complex))
