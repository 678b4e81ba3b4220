"""Shapes: the views that NumPy makes of one array, and what is written over them.

`reshape`, `transpose`, `expand_dims`, `squeeze` and `broadcast_to` are primitives, each with its
transpose among the others; everything else here is NumPy over these.
"""

from __future__ import annotations

import math
from operator import index
from typing import Any, NoReturn

import numpy as np

from pycograd.core import elementwise, sizes
from pycograd.core.aval import ShapeDtypeStruct, make_aval, shape_of
from pycograd.core.box import Box, raw
from pycograd.core.dims import Dim
from pycograd.core.errors import AmbiguousAliasError, ShapeError, located
from pycograd.core.linear import Linear
from pycograd.core.primitive import bind
from pycograd.core.spelling import spells
from pycograd.core.tape import Var, slot_of
from pycograd.core.views import doubt, in_place_layout, link, origin_of, own
from pycograd.ops.axes import axes_of, axis_of

_new, _ndarray = object.__new__, np.ndarray


# -- what is known without the data --------------------------------------------------------------
@spells(np.shape)
def shape(a: Any) -> tuple[Any, ...]:
    """The sizes of the axes."""
    return a.shape  # type: ignore[no-any-return]


@spells(np.ndim)
def ndim(a: Any) -> int:
    """The number of axes."""
    return len(a.shape)


@spells(np.size)
def size(a: Any, axis: Any = None) -> Any:
    """The number of entries, of all axes or of some."""
    return math.prod([a.shape[i] for i in axes_of(axis, len(a.shape), "size")])


def is_contiguous(x: Any) -> bool:
    """True if the entries of `x` are known to lie in memory in C order, or if there are none."""
    bottom = x
    while type(bottom) is not _ndarray:
        if not isinstance(bottom, Box) or bottom.bottom:
            return isinstance(bottom, ShapeDtypeStruct) or getattr(bottom, "bottom", False)
        bottom = bottom.value
    if not in_place_layout(x):
        return False
    return bottom.flags.c_contiguous or _one_row(bottom, x).flags.c_contiguous


def _one_row(bottom: Any, x: Any) -> Any:
    """The part of the array under `x` that the function sees, if vmap gives it many."""
    rows = bottom.ndim - len(x.shape)
    return bottom[(0,) * rows] if rows and bottom.size else bottom


# -- changes of shape ------------------------------------------------------------------------------
def array(x: Any) -> Any:
    """`x`, a Python scalar being made an array, so that it has methods."""
    return x if hasattr(x, "reshape") else np.asarray(x)


class View(Linear):
    """A rearrangement of axes that NumPy makes as a view.

    Arguments:
        method: `method(x, **params)` on an array.
        back: `back(y, shape, **params)`, from the result to an operand of that shape. It is the
            transpose, and the way of a write to the view.
    """

    def __init__(
        self, name: str, method: Any, back: Any, *, shape: Any, batch: Any, written: Any = None
    ) -> None:
        super().__init__(
            name,
            lambda x, **params: method(array(x), **params),
            transposes={"x": lambda ct, x, **params: back(ct, x.shape, **params)},
            shape=shape,
            batch=batch,
            view=lambda base, new, **params: back(new, base.shape, **params),
        )
        self.method, self.written = method, written
        self.pull = lambda ct, kept: back(ct, kept[0], **kept[1])

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        return self.pull, (shape_of(values[0]), params)

    def of(self, x: Any, params: dict[str, Any]) -> Any:
        """The view of `x`; recorded inline for a `Var` of a live tape, as in `core.elementwise`."""
        if type(x) is Var:
            tape, value = x._trace, x.value
            if type(tape) is elementwise.hot and type(value) is _ndarray:
                try:
                    ans = self.method(value, **params)
                except ValueError:
                    return bind(self, (x,), params)  # which says what is wrong
                steps = tape.steps
                step = (self.pull, x.slot, (value.shape, params))
                steps.append(step)
                out: Var = _new(Var)
                out.value, out._trace, out.slot = ans, tape, len(steps) - 1
                if steps[-1] is not step:
                    out.slot = slot_of(steps, step)
                link(x, out, self, (x,), params)
                return out
        return bind(self, (x,), params)


# -- reshape ---------------------------------------------------------------------------------------
def _reshape_shape(x: Any, shape: Any) -> Any:
    try:
        sizes.same_size(x.size, math.prod(shape), "reshape")
    except ShapeError:
        raise ShapeError(f"reshape: {x.shape} has no shape {shape}: the sizes differ") from None
    return make_aval(shape, x.dtype)


def _reshape_batch(size: int, values: Any, mapped: Any, shape: Any) -> Any:
    (x,) = values
    _reshape_shape(make_aval(x.shape[1:], x.dtype), shape)  # the error is about one row
    return x.reshape((size, *shape))


_reshape = View(
    "reshape",
    lambda x, shape: x.reshape(shape),
    lambda y, before, shape: y.reshape(before),
    shape=_reshape_shape,
    batch=_reshape_batch,
    written="{0}.reshape({shape})",
)


def sizes_of(shape: Any) -> tuple[Any, ...]:
    """A shape argument, one size or a sequence of them, as a tuple."""
    if isinstance(shape, (tuple, list)):
        return tuple([n if type(n) is int or type(n) is Dim else index(n) for n in shape])
    return (shape if type(shape) is Dim else index(shape),)


def wanted_shape(shape: Any, have: Any, operation: str) -> tuple[Any, ...]:
    """The shape that an argument of reshape asks for, -1 standing for what is left."""
    want = sizes_of(shape)
    if -1 not in want:
        return want
    known = math.prod([n for n in want if n != -1])
    total = math.prod(have)
    if want.count(-1) > 1 or known == 0:
        raise ShapeError(f"{operation}: {want} leaves the size of an axis open, for shape {have}")
    rest = total // known
    if type(rest) is int and rest * known != total:
        raise ShapeError(
            f"{operation}: {have} has no shape {want}: {known} does not divide {total}"
        )
    return tuple([rest if n == -1 else n for n in want])


@spells(np.reshape)
def reshape(
    a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None
) -> Any:
    """The same entries in another shape."""
    want = wanted_shape(newshape if shape is None else shape, a.shape, "reshape")
    if order != "C" and _memory_order(a, order, "reshape") == "F":
        return reshape(np.transpose(a), want[::-1], copy=copy).T
    out = _reshape.of(a, {"shape": want})
    if copy:
        return np.copy(out)
    if not is_contiguous(a) and isinstance(out, Box):
        if copy is False:
            raise AmbiguousAliasError(
                "reshape(copy=False): whether these entries can be reshaped in place depends on a"
                " memory layout that is not known; leave copy= out"
            )
        doubt(out)
    elif isinstance(out, Box) and _is_copied(a, want):
        own(out)
    return out


def _is_copied(a: Any, want: tuple[Any, ...]) -> bool:
    """True if NumPy's `reshape` of `a`, whose memory is not here to be asked, is sure to be a copy.

    That is a view, as of a transposition, of a value that is taken to lie in C order: an array that
    has one entry in memory, and is never read, goes through the same views.
    """
    steps, root = [], a
    while isinstance(root, Box) and (origin := origin_of(root)) is not None:
        steps.append(origin)
        root = origin[0]
    if not steps or type(raw(root)) is _ndarray:
        return False
    if any(type(n) is not int for n in (*root.shape, *want)):
        return False
    strides = [math.prod(root.shape[i + 1 :]) for i in range(len(root.shape))]
    like: Any = np.lib.stride_tricks.as_strided(np.zeros(1, np.bool_), root.shape, strides)
    for _, primitive, operands, params in reversed(steps):
        if primitive is None:
            return False
        like = primitive.impl(like, *operands, **params)
    try:
        like.shape = want
    except AttributeError:
        return True
    return False


def _memory_order(a: Any, order: str, operation: str) -> str:
    """The order C or F that `order`, which may be A or K, means: as the entries lie in memory."""
    if order in ("C", "F"):
        return order
    if order not in ("A", "K"):
        raise ValueError(f"{operation}: order must be one of 'C', 'F', 'A', 'K', not {order!r}")
    bottom = raw(a)
    if type(bottom) is ShapeDtypeStruct or sum(n != 1 for n in a.shape) < 2:
        return "C"  # no data, no layout
    if type(bottom) is _ndarray and in_place_layout(a):
        flags = _one_row(bottom, a).flags
        if flags.c_contiguous or (order == "A" and not flags.f_contiguous):
            return "C"
        if flags.f_contiguous:
            return "F"
    raise AmbiguousAliasError(
        f"{operation}: order={order!r} depends on a memory layout that is not known; use 'C' or 'F'"
    )


@spells(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """All entries along one axis; a view where NumPy makes one."""
    return reshape(a, (-1,) if 0 not in a.shape else (0,), _memory_order(a, order, "ravel"))


def flat(a: Any) -> Any:
    """All entries along one axis, to be read at once: no alias of `a`."""
    if len(shape_of(a)) == 1:
        return a
    line: Any = np.ravel(a)
    return own(line) if isinstance(line, Box) else line


# -- transpose -------------------------------------------------------------------------------------
def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return axes if len(axes) < 3 else tuple(sorted(range(len(axes)), key=axes.__getitem__))


_transpose = View(
    "transpose",
    lambda x, axes: x.transpose(axes),
    lambda y, before, axes: y.transpose(_inverse(axes)),
    shape=lambda x, axes: make_aval(tuple([x.shape[a] for a in axes]), x.dtype),
    batch=lambda size, values, mapped, axes: values[0].transpose((0, *[a + 1 for a in axes])),
    written="{0}.transpose({axes})",
)
_REVERSED = [{"axes": tuple(range(n - 1, -1, -1))} for n in range(65)]  # NumPy has at most 64 axes


@spells(np.transpose)  # np.permute_dims is the same function
def transpose(a: Any, axes: Any = None) -> Any:
    """The axes in another order, reversed if none is given."""
    n = len(a.shape)
    if axes is None:
        return _transpose.of(a, _REVERSED[n])
    order = axes_of(axes, n, "transpose")
    if len(order) != n:
        raise ShapeError(f"transpose: axes {axes} do not match a value of shape {a.shape}")
    return _transpose.of(a, {"axes": order})


@spells(np.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes swapped."""
    n = len(x.shape)
    if n < 2:
        raise ShapeError(f"matrix_transpose: a value of shape {x.shape} is no matrix")
    return _transpose.of(x, {"axes": (*range(n - 2), n - 1, n - 2)})


@spells(np.swapaxes)
def swapaxes(a: Any, axis1: Any, axis2: Any) -> Any:
    """Two axes swapped."""
    order = list(range(len(a.shape)))
    i, j = (axis_of(axis, len(order), "swapaxes") for axis in (axis1, axis2))
    order[i], order[j] = j, i
    return _transpose.of(a, {"axes": tuple(order)})


@spells(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other places, the rest in their order."""
    n = len(a.shape)
    here, there = axes_of(source, n, "moveaxis"), axes_of(destination, n, "moveaxis")
    if len(here) != len(there):
        raise ShapeError(f"moveaxis: {len(here)} source axes but {len(there)} destinations")
    order = [i for i in range(n) if i not in here]
    for to, axis in sorted(zip(there, here)):
        order.insert(to, axis)
    return _transpose.of(a, {"axes": tuple(order)})


@spells(np.rollaxis)
def rollaxis(a: Any, axis: Any, start: int = 0) -> Any:
    """One axis moved back until it stands before `start`."""
    n = len(a.shape)
    axis, start = axis_of(axis, n, "rollaxis"), axis_of(start, n + 1, "rollaxis")
    return moveaxis(a, axis, start - 1 if axis < start else start)


# -- axes of size 1 ------------------------------------------------------------------------------
def _expanded(shape: Any, axis: tuple[int, ...]) -> tuple[Any, ...]:
    rest = iter(shape)
    return tuple([1 if i in axis else next(rest) for i in range(len(shape) + len(axis))])


def _squeezed(shape: Any, axis: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple([n for i, n in enumerate(shape) if i not in axis])


def _one_more(axis: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([a + 1 for a in axis])


_expand_dims = View(
    "expand_dims",
    lambda x, axis: x.reshape(_expanded(shape_of(x), axis)),
    lambda y, before, axis: y.reshape(before),
    shape=lambda x, axis: make_aval(_expanded(x.shape, axis), x.dtype),
    batch=lambda size, values, mapped, axis: np.expand_dims(values[0], _one_more(axis)),
)
_squeeze = View(
    "squeeze",
    lambda x, axis: x.squeeze(axis),
    lambda y, before, axis: y.reshape(before),
    shape=lambda x, axis: make_aval(_squeezed(x.shape, axis), x.dtype),
    batch=lambda size, values, mapped, axis: values[0].squeeze(_one_more(axis)),
)


@spells(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """New axes of size 1, counted in the result."""
    many = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = axes_of(many, len(a.shape) + len(many), "expand_dims")
    return _expand_dims.of(a, {"axis": axes})


@spells(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """Axes of size 1 left out: those named, or all. A symbolic size is not taken to be 1."""
    have = a.shape
    if axis is None:
        axes = tuple([i for i, n in enumerate(have) if n == 1])
    else:
        axes = axes_of(axis, len(have), "squeeze")
        if any(have[i] != 1 for i in axes):
            raise ShapeError(f"squeeze: axis {axis} of a value of shape {have} is not of size 1")
    return _squeeze.of(a, {"axis": axes})


# -- broadcasting --------------------------------------------------------------------------------
def _broadcast_shape(x: Any, shape: Any) -> Any:
    reached = sizes.broadcast(x.shape, shape, operation="broadcast_to")
    if len(reached) != len(shape):
        raise ShapeError(f"broadcast_to: {x.shape} has more axes than {shape}")
    same = [sizes.same_size(n, m, "broadcast_to") for n, m in zip(shape, reached)]
    return make_aval(tuple(same), x.dtype)


def _broadcast_batch(size: int, values: Any, mapped: Any, shape: Any) -> Any:
    (x,) = values
    _broadcast_shape(make_aval(x.shape[1:], x.dtype), shape)  # the error is about one row
    new = tuple(range(1, len(shape) - len(x.shape) + 2))
    return np.broadcast_to(np.expand_dims(x, new) if new else x, (size, *shape))


def read_only(base: Any, new: Any, **params: Any) -> NoReturn:
    """The write-back of views that NumPy makes read-only."""
    raise ValueError(
        located(
            "assignment destination is read-only: a view made by broadcasting or np.diagonal cannot"
            " be written to; write to a .copy() of it"
        )
    )


_broadcast_to = Linear(
    "broadcast_to",
    lambda x, shape: np.broadcast_to(x, shape),
    transposes={"x": lambda ct: ct},  # fitting sums over the axes that were repeated
    shape=_broadcast_shape,
    batch=_broadcast_batch,
    view=read_only,
)


@spells(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """The value repeated along new axes and axes of size 1; read-only, as in NumPy."""
    return bind(_broadcast_to, (array,), {"shape": sizes_of(shape)})
