"""`Weight`: a parameter in the place of an array.

Its value is asked for whenever it is used, and depends on who asks: the stored array; in a pass
over its model (`weights.grad`) what the pass put in its place, which other threads do not see;
while a function is being captured a value of that graph, so that nothing of a weight becomes part
of a program.
"""

from __future__ import annotations

import operator
import weakref
from _thread import allocate_lock
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from typing import Any, NamedTuple

import numpy as np

from pycograd.core.box import Box
from pycograd.core.errors import UnboundWeightError
from pycograd.core.fillable import FRONT, settled, settled_tree
from pycograd.core.lent import lend
from pycograd.core.spelling import CREATORS
from pycograd.core.tree import register_front
from pycograd.transforms.capture import capturing

_box: Any = Box
Bound = dict[int, Any]
_bound: ContextVar[Bound | None] = ContextVar("bound", default=None)  # id of a weight -> its value
_lock = allocate_lock()


class Info(NamedTuple):
    """What is said of a parameter."""

    name: str
    trainable: bool
    mutable: bool
    device: str | None


class Store:
    """The weights of one model, and how many passes over them are running."""

    __slots__ = ("_weights", "passes")

    def __init__(self) -> None:
        self._weights: list[weakref.ref[Weight]] = []  # which hold the store
        self.passes = 0

    def add(self, weight: Weight) -> Weight:
        """Makes a weight one of the model."""
        self._weights.append(weakref.ref(weight))
        return weight

    def others(self, weights: Sequence[Weight]) -> list[Weight]:
        """The weights that there are but for these."""
        known = set(map(id, weights))
        found = [ref() for ref in self._weights]
        return [w for w in found if w is not None and id(w) not in known]


class Weight(Box):
    """A parameter of a `ParamDict`, which answers in the place of its array.

    >>> weights = params(w=np.ones(2))
    >>> weights.w * 2
    array([2., 2.])
    """

    __slots__ = ("array", "info", "lent", "store")
    _trace = FRONT
    array: Any
    info: Info
    store: Store
    lent: Any  # the view of the array that graphs hold, once there is one

    def __init__(self, array: Any, info: Info, store: Store) -> None:
        self.array, self.info, self.store, self.lent = array, info, store, None

    def held(self) -> Any:
        """What a graph holds of it."""
        if type(self.array) is not np.ndarray:
            return self.array
        if self.lent is None:
            self.lent = lend(self, self.array)
        return self.lent

    value = property(lambda self: current(self))
    device = property(lambda self: current(self).device)

    def rebind(self, new: Box) -> None:
        self.value[...] = settled(new)

    # -- NumPy's protocols -------------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **kwargs: Any) -> Any:
        values = [current(x) if type(x) is Weight else x for x in operands]
        run = ufunc if method == "__call__" else getattr(ufunc, method)
        if not kwargs:
            return run(*values)
        out = run(*values, **settled_tree(kwargs))
        return kwargs["out"][0] if "out" in kwargs and len(kwargs["out"]) == 1 else out

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        args, kwargs = settled_tree(args), settled_tree(kwargs)
        if function in CREATORS:  # of `like=`, which NumPy has taken out
            value = current(self)
            return function(*args, **kwargs, like=value if isinstance(value, Box) else None)
        return function(*args, **kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        value = current(self)
        if type(value) is not np.ndarray:
            return value.__array__() if dtype is None else value.__array__(dtype)
        return np.array(value, dtype, copy=copy)

    # -- conversions -------------------------------------------------------------------------------
    def __float__(self) -> float:  # type: ignore[override]
        return float(current(self))

    def __int__(self) -> int:  # type: ignore[override]
        return int(current(self))

    def __complex__(self) -> complex:  # type: ignore[override]
        return complex(current(self))

    def __index__(self) -> int:  # type: ignore[override]
        return operator.index(current(self))

    def __bool__(self) -> bool:
        return bool(current(self))

    # -- what stands for an array's own ------------------------------------------------------------
    def __getitem__(self, key: Any) -> Any:
        value, key = current(self), settled_tree(key)
        parts = key if type(key) is tuple else (key,)
        if type(value) is np.ndarray and any([isinstance(x, Box) for x in parts]):
            return _box.__getitem__(self, key)
        return value[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        current(self)[settled_tree(key)] = settled_tree(value)

    def item(self, *args: Any) -> Any:
        return current(self).item(*args)

    def tolist(self) -> Any:
        return current(self).tolist()

    def __getattr__(self, name: str) -> Any:
        return getattr(current(self), name)

    def _kind(self) -> str:
        value = current(self)
        return value._kind() if isinstance(value, Box) else f"the weight {self.info.name!r}"

    def _instead_of_torch(self) -> str:
        value = current(self)
        if isinstance(value, Box):
            return value._instead_of_torch()
        return super()._instead_of_torch()

    def __repr__(self) -> str:
        return f"Weight({current(self)!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return current(self).__reduce_ex__(protocol)

    def __copy__(self) -> Any:
        return current(self).copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return current(self).copy()


def _forward(operation: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Weight, other: Any) -> Any:
        return operation(current(self), current(other) if type(other) is Weight else other)

    return method


def _reflected(operation: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: operation(settled(other), current(self))


def _in_place(operation: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Weight, other: Any) -> Any:
        value = current(self)
        new = operation(value, settled(other))
        return self if new is value else new

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow"):
    setattr(Weight, f"__{_name}__", _forward(getattr(operator, _name)))
    setattr(Weight, f"__r{_name}__", _reflected(getattr(operator, _name)))
    setattr(Weight, f"__i{_name}__", _in_place(getattr(operator, f"i{_name}")))


def current(weight: Weight, checked: bool = True) -> Any:
    """What stands for a weight here and now: its array, or the box of a pass or a capture.

    Arguments:
        weight: the weight.
        checked: whether it is an error that a pass is running elsewhere and not here.
    """
    bound = _bound.get()
    if bound is not None:
        value = bound.get(id(weight))
        if value is not None:
            return value
    if weight.store.passes and checked:
        raise UnboundWeightError(
            f"the weight {weight.info.name!r} was read in a thread or context that knows nothing of"
            " the gradient that is being taken of its model elsewhere, which would lose its part."
            " Start the thread with contextvars.copy_context().run(f, ...) in the place of f(...)"
        )
    trace = capturing.get()
    if trace is None:
        return weight.array
    held = weight.held()
    if isinstance(held, Box) and held._trace.level >= trace.level:
        return held  # of a model that was made inside what is captured
    return trace.constant(held)


register_front(Weight, current)


# -- passes ----------------------------------------------------------------------------------------
def enter(store: Store, weights: Sequence[Weight], values: Sequence[Any]) -> Token[Bound | None]:
    """Begins a pass in which these values stand for weights, in this context alone."""
    mine: Bound = dict(zip(map(id, weights), values))
    outer = _bound.get()
    with _lock:
        store.passes += 1
    return _bound.set(mine if outer is None else {**outer, **mine})


def leave(store: Store, token: Token[Bound | None]) -> None:
    """Ends the pass."""
    _bound.reset(token)
    with _lock:
        store.passes -= 1


def in_pass(weights: Sequence[Weight]) -> bool:
    """True if a pass over one of these weights is running here."""
    bound = _bound.get()
    return bound is not None and any([id(weight) in bound for weight in weights])
