"""`Fillable`: an array that a function makes, which takes differentiated values as they come.

`np.zeros(n)` asks no protocol, so the transform that its entries will belong to is not known when
it is made. A `Fillable` stands in front of the plain array until a box is written into it, and from
then on in front of a box of that transform. It belongs to no transform itself: operations see what
it stands in front of, so a constant stays a constant, and what they give is plain.

Views of it (`y[1:]`, `y.T`) stand in front of views; they are remade where what the base stands for
is replaced. Memory that somebody else holds, such as a step of a tape, is not written: the write
goes to a copy, and the views follow.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Sequence
from math import inf
from sys import getrefcount
from typing import Any

import numpy as np

from pycograd.core import modes
from pycograd.core.aval import is_inexact
from pycograd.core.box import Box
from pycograd.core.errors import AmbiguousAliasError, OuterWriteError
from pycograd.core.primitive import Primitive, Trace, bind
from pycograd.core.tree import FRONTS, register_front
from pycograd.core.views import alias, live_views, origin_of, written_outwards

_box: Any = Box
_ndarray, _new = np.ndarray, object.__new__
_WRITERS = frozenset(
    {np.copyto, np.put, np.put_along_axis, np.place, np.putmask, np.fill_diagonal}
)  # fmt: skip


class Front(Trace):
    """The trace of all fronts: innermost of all, it runs everything one level further out."""

    __slots__ = ()
    passes = True

    def __init__(self) -> None:
        self.level, self.name = inf, "the transparent mode"  # type: ignore[assignment]

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        values = [settled(x) for x in operands]
        out = bind(primitive, values, params)
        base = operands[0]
        if primitive.view is None or type(base) is not Fillable:
            return out
        if not (type(out) is _ndarray or isinstance(out, Box)):
            return out
        if primitive.copies is not None and primitive.copies(out, params):
            return out
        view = _front(out, base.born)
        alias(base, view, primitive, [base, *values[1:]], params)
        return view

    def constant(self, value: Any) -> Fillable:
        return _front(value, next(modes.levels))


FRONT = Front()


class Fillable(Box):
    """See the module docstring."""

    # born: a transform with a higher level began after this was made; lent: others may hold the
    # memory; shown: what `__array__` gave out.
    __slots__ = ("born", "lent", "shown")
    _trace = FRONT
    born: int
    lent: bool
    shown: list[weakref.ref[Any]]

    def rebind(self, new: Box) -> None:
        self.value = settled(new)

    # -- writing ------------------------------------------------------------------------------
    def target(self, *given: Any) -> Any:
        """What to write into: plain memory, or a box if one is among the values `given`."""
        top = _innermost(given)
        if top is not None:
            held = self.value
            if type(held) is _ndarray or held._trace.level < top.level:
                _promote(_root(self), top)
        elif type(self.value) is _ndarray:  # not held by a local, which would count
            root = _root(self)
            if root.lent:
                _keep_apart(root)
        return self.value

    def __setitem__(self, key: Any, value: Any) -> None:
        held = self.value
        if type(key) is int and type(held) is not _ndarray and type(value) is type(held):
            if value._trace is held._trace:  # the common case: entry after entry
                held[key] = value
                return
        del held  # which would count as another holder
        value = settled(value)
        if type(value) is list or type(value) is tuple:
            value = gathered(value)
        parts = key if type(key) is tuple else (key,)
        self.target(value, *parts)[key] = value

    def sort(self, *args: Any, **kwargs: Any) -> None:
        """As of arrays: in place."""
        self[...] = np.sort(settled(self), *args, **kwargs)

    def partition(self, *args: Any, **kwargs: Any) -> None:
        """As of arrays: in place."""
        self[...] = np.partition(settled(self), *args, **kwargs)

    def put(self, indices: Any, values: Any, mode: Any = "raise") -> None:
        """As of arrays: in place."""
        np.put(self, indices, values, mode)

    # -- reading ------------------------------------------------------------------------------
    def __getitem__(self, key: Any) -> Any:
        value = self.value
        if type(key) is int:
            if len(value.shape) == 1:
                return value[key]
        elif type(key) is tuple and len(key) == len(value.shape):
            if all([type(k) is int for k in key]):
                return value[key]
        return _box.__getitem__(self, key)

    def copy(self, order: Any = "C") -> Any:
        """As of arrays; what is made takes differentiated values too."""
        return fillable(settled(self).copy(order))

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """As of arrays; what is made takes differentiated values too."""
        return fillable(settled(self).astype(*args, **kwargs))

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:  # type: ignore[override]
        return float(self.value)

    def __int__(self) -> int:  # type: ignore[override]
        return int(self.value)

    def __complex__(self) -> complex:  # type: ignore[override]
        return complex(self.value)

    def __index__(self) -> int:  # type: ignore[override]
        return operator.index(self.value)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if isinstance(self.value, Box):
            return self.value.__array__(dtype)
        if copy or (dtype is not None and np.dtype(dtype) != self.value.dtype):
            return np.array(self.value, dtype)
        root = _root(self)
        root.lent = True
        given = np.asarray(_Memory(self.value))
        root.shown.append(weakref.ref(given))
        return given

    # -- NumPy's protocols ----------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **kwargs: Any) -> Any:
        values = [settled(x) for x in operands]
        if method == "at":
            if type(operands[0]) is Fillable:
                values[0] = operands[0].target(*values[1:])
            return ufunc.at(*values)
        if not kwargs:
            return getattr(ufunc, method)(*values)
        out = kwargs.pop("out", None)
        kwargs = {name: settled(x) for name, x in kwargs.items()}
        run = getattr(ufunc, method)
        if out is None:
            return run(*values, **kwargs)
        targets = tuple(
            [x.target(*values, *kwargs.values()) if type(x) is Fillable else x for x in out]
        )
        run(*values, out=targets, **kwargs)
        return out[0] if len(out) == 1 else out

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        plain_args, plain_kwargs = settled_tree(args), settled_tree(kwargs)
        if function in _WRITERS:
            if args and type(args[0]) is Fillable:
                rest = (*plain_args[1:], *plain_kwargs.values())
                plain_args = (args[0].target(*rest), *plain_args[1:])
            return function(*plain_args, **plain_kwargs)
        out = kwargs.get("out")
        if type(out) is Fillable:
            plain_kwargs["out"] = out.target(*plain_args, *plain_kwargs.values())
            function(*plain_args, **plain_kwargs)
            return out
        found = function(*plain_args, **plain_kwargs)
        if _sees_memory(found, args):  # a view: made again by an operation that says how
            return Box.__array_function__(self, function, types, args, kwargs)
        return found

    # -- the rest -------------------------------------------------------------------------------
    def __getattr__(self, name: str) -> Any:
        if name[:2] != "__" and name != "links" and type(self.value) is _ndarray:
            return getattr(self.__array__(), name)
        return super().__getattr__(name)

    def _kind(self) -> str:
        return self.value._kind() if isinstance(self.value, Box) else super()._kind()

    def __repr__(self) -> str:
        return repr(self.value)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if isinstance(self.value, Box):
            return super().__reduce_ex__(protocol)
        return self.value.copy().__reduce_ex__(protocol)


def _in_place(operation: Any) -> Any:
    def method(self: Fillable, other: Any) -> Any:
        other = settled(other)
        if type(other) is list or type(other) is tuple:
            other = gathered(other)
        self.value = operation(self.target(other), other)
        return self

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(Fillable, f"__i{_name}__", _in_place(getattr(operator, f"i{_name}")))


class _Memory:
    """Shows memory to NumPy in such a way that what it gives, and views of that, can be watched."""

    __slots__ = ("array", "__array_interface__")

    def __init__(self, array: Any) -> None:
        self.array, self.__array_interface__ = array, array.__array_interface__


def fillable(made: Any) -> Any:
    """`made` itself, or if it is an array of floats in memory of its own a `Fillable` of it."""
    if type(made) is _ndarray and is_inexact(made.dtype) and made.base is None:
        return _front(made, next(modes.levels))
    return made


def _front(value: Any, born: int) -> Fillable:
    front: Fillable = _new(Fillable)
    front.value, front.born, front.lent, front.shown = value, born, False, []
    return front


def settled(x: Any) -> Any:
    """What `x` stands in front of, if it is a `Fillable` or another front; else `x` itself."""
    front = FRONTS.get(type(x))
    return x if front is None else front(x)


def _settle(x: Fillable) -> Any:
    _root(x).lent = True
    return x.value


register_front(Fillable, _settle)


def settled_tree(x: Any) -> Any:
    """As `settled`, inside lists, tuples and dicts too."""
    kind = type(x)
    if kind in FRONTS:
        return FRONTS[kind](x)
    if kind is list:
        return [settled_tree(v) for v in x]
    if kind is tuple:
        return tuple([settled_tree(v) for v in x])
    if kind is dict:
        return {name: settled_tree(v) for name, v in x.items()}
    return x


def gathered(x: Any) -> Any:
    """Nested lists that hold boxes stacked into one; what holds none as it is."""
    if isinstance(x, (list, tuple)):
        parts = [gathered(settled(part)) for part in x]
        return np.stack(parts) if any([isinstance(part, Box) for part in parts]) else parts
    return x


def _innermost(given: Sequence[Any]) -> Trace | None:
    """The trace of the innermost box among values, in lists too."""
    top: Trace | None = None
    for x in given:
        if type(x) is list or type(x) is tuple:
            trace = _innermost(x)
        elif isinstance(x, Box):
            trace = _innermost((x.value,)) if type(x) in FRONTS else x._trace
        else:
            continue
        if trace is not None and (top is None or trace.level > top.level):
            top = trace
    return top


def _root(front: Fillable) -> Fillable:
    while (origin := origin_of(front)) is not None:
        front = origin[0]
    return front


def _promote(root: Fillable, trace: Trace) -> None:
    """Puts `root` and its views in front of boxes of `trace`."""
    if trace.level > root.born:
        raise written_outwards()
    if trace.replaying and root.born < trace.replaying:
        raise OuterWriteError(
            "a checkpointed function wrote into an array made outside it; the write would be"
            " repeated when the function is run again. Return the new value instead"
        )
    views = live_views(root)
    if any([ref() is not None for ref in root.shown]):
        raise _seen_elsewhere()
    root.value = trace.constant(root.value)
    _remake(views)


def _remake(views: Sequence[Any]) -> None:
    for view in views:
        base, primitive, rest, params = origin_of(view)
        view.value = bind(primitive, (base.value, *rest), params)


def _keep_apart(root: Fillable) -> None:
    """Gives `root` memory of its own where others hold the one it has."""
    views = live_views(root)
    root.shown = [ref for ref in root.shown if ref() is not None]
    # Holders known: the slot and getrefcount's argument, views of it, what was shown of it.
    known = 2 + len(root.shown) + sum([view.value.base is root.value for view in views])
    held = getrefcount(root.value) > known or any([getrefcount(v.value) > 2 for v in views])
    if held:
        if root.shown:
            raise _seen_elsewhere()
        root.value = root.value.copy()
        _remake(views)
    root.lent = bool(root.shown)


def _seen_elsewhere() -> AmbiguousAliasError:
    return AmbiguousAliasError(
        "an array made in the transparent mode was written to while code outside of NumPy held its"
        " memory, which would not see the write. Write first, or give that code a .copy()"
    )


def _sees_memory(found: Any, args: Any) -> bool:
    """True if a result is a view of the memory of a `Fillable` among the arguments."""
    if type(found) is list or type(found) is tuple:
        return any([_sees_memory(x, args) for x in found])
    if type(found) is not _ndarray:
        return isinstance(found, Box) and origin_of(found) is not None
    base = found if found.base is None else found.base
    return any([_root(x).value is base for x in args if type(x) is Fillable]) or any(
        [_sees_memory(found, x) for x in args if type(x) is list or type(x) is tuple]
    )
