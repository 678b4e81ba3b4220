"""Writing parts of a value: `y[i] = v`, and the NumPy functions that write into an argument.

A write replaces what the box stands for (`core.views`), so gradients are those of the values that
were read at the time. Written into a plain array a box would be lost: that is an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index as as_int
from typing import Any

import numpy as np

from pycograd.core import elementwise
from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.box import Box, raw
from pycograd.core.errors import ShapeError
from pycograd.core.fillable import gathered, settled
from pycograd.core.primitive import bind
from pycograd.core.spelling import spells
from pycograd.core.tape import Var
from pycograd.core.views import change, made_by, written_outwards
from pycograd.ops.astype import converted
from pycograd.ops.index import index, index_update, store
from pycograd.ops.operators import attached
from pycograd.ops.out import plain_buffer
from pycograd.ops.pattern import ARRAY, Key, layout, parse
from pycograd.ops.positions import along_axis, coordinates, in_bounds


# -- y[i] = v --------------------------------------------------------------------------------------
def setitem(x: Any, key: Any, value: Any) -> None:
    """`x[key] = value` for a box `x`."""
    if type(x) is Var and type(x._trace) is elementwise.hot and store(x, key, value):
        return None
    if not x.shape:
        _refuse_scalar(x)
    value = _fitting(x, value)
    mask = key[0] if type(key) is tuple and len(key) == 1 else key
    if _masks_leading(mask, x) and len(shape_of(value)) <= len(x.shape) - len(mask.shape):
        # The same number for each true entry: where() needs no positions.
        trailing = len(x.shape) - len(mask.shape)
        mask = np.reshape(mask, (*mask.shape, *[1] * trailing)) if trailing else mask
        return _replace(x, np.where(mask, converted(value, x.dtype), x))
    key, arrays, unique = parse(key, x.shape)
    if not arrays and isinstance(value, Box) and made_by(value, x, index) == {"key": key}:
        return None  # the second half of `x[key] += 1`: the view has been written through already
    assign(x, value, arrays, key, unique)
    return None


def _refuse_scalar(x: Any) -> None:
    """As NumPy, no assignment to its scalars; `x` is held by nobody else for longer than this."""
    kind = type(raw(x))
    if issubclass(kind, (np.generic, int, float, complex)):
        raise TypeError(f"{kind.__name__!r} object does not support item assignment")


def assign(x: Any, value: Any, arrays: Sequence[Any], key: Key, unique: bool = False) -> None:
    """`x[key] = value` for a box `x`, the index being parsed and `value` of a dtype that fits."""
    value = settled(value)
    for operand in (value, *arrays):
        if isinstance(operand, Box) and operand._trace.level > x._trace.level:
            raise written_outwards()
    if shape_of(value):
        value = _without_leading(value, layout(x.shape, key, arrays).ndim, "item assignment")
    params: dict[str, Any] = {"key": key, "unique": True} if unique else {"key": key}

    def new(in_place: bool) -> Any:
        options = {**params, "in_place": True} if in_place else params
        return attached(x, bind(index_update, (x, value, *arrays), options))

    change(x, new)


def _without_leading(value: Any, ndim: int, what: str) -> Any:
    """`value` without the axes of size 1 that it has before the `ndim` axes that are written."""
    have = shape_of(value)
    if len(have) <= ndim:
        return value
    if any(n != 1 for n in have[: len(have) - ndim]):
        raise ShapeError(f"{what}: {have} has more than the {ndim} axes written")
    return np.reshape(value, have[len(have) - ndim :])


def _replace(x: Any, new: Any) -> None:
    if shape_of(new) != x.shape:
        raise ShapeError(f"values of shape {shape_of(new)} do not fit into one of {x.shape}")
    change(x, lambda in_place: attached(x, new))


def _masks_leading(mask: Any, x: Any) -> bool:
    """True for a boolean array of the leading axes of `x`."""
    return (
        isinstance(mask, np.ndarray)
        and mask.dtype.kind == "b"
        and 0 < len(mask.shape) <= len(x.shape)
        and mask.shape == x.shape[: len(mask.shape)]
    )


def _fitting(x: Any, value: Any) -> Any:
    """`value` as an array or scalar that may be stored in `x`."""
    if isinstance(value, (list, tuple)):
        value = gathered(value)
        value = value if isinstance(value, Box) else np.asarray(value)
    if dtype_of(value).kind == "c" and dtype_of(x).kind != "c":
        raise TypeError(
            f"item assignment: a complex value cannot be stored in an array of {dtype_of(x)}; write"
            " np.real(value), or make the array complex"
        )
    return value


# -- functions that write into their first argument ------------------------------------------------
@spells(np.copyto)
def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """Writes `src`, broadcast, into `dst` where a mask is true."""
    _refuse_plain(dst, "np.copyto")
    if not np.can_cast(getattr(src, "dtype", type(src)), dst.dtype, casting):
        raise TypeError(f"copyto: cannot cast {dtype_of(src)} to {dst.dtype} by {casting!r}")
    src = converted(_fitting(dst, src), dst.dtype)
    if where is not True:
        src = _without_leading(src, len(dst.shape), "copyto")
        _replace(dst, np.where(where, src, dst))
    else:
        assign(dst, src, (), (Ellipsis,))


@spells(np.put)
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Writes values, repeated as needed, at positions of the flattened array."""
    _refuse_plain(a, "np.put")
    at = in_bounds(ind, math.prod(a.shape), mode, "put")
    values = _repeated(v, math.prod(at.shape))
    if values is not None:
        arrays = coordinates(np.ravel(at), a.shape)
        assign(a, _fitting(a, values), arrays, (ARRAY,) * len(arrays))


@spells(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any = -1) -> None:
    """Writes values at positions along an axis, one row of positions for each row of the array."""
    _refuse_plain(arr, "np.put_along_axis")
    if axis is None:
        put(arr, indices, values)
    else:
        arrays = along_axis(arr, indices, axis, "put_along_axis")
        assign(arr, _fitting(arr, values), arrays, (ARRAY,) * len(arrays))


@spells(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """Writes values, repeated as needed, each at its own position, where a mask is true."""
    _refuse_plain(a, "np.putmask")
    mask = mask if isinstance(mask, Box) else np.asarray(mask, bool)
    if math.prod(mask.shape) != math.prod(a.shape):
        raise ShapeError(f"putmask: mask {mask.shape} and data {a.shape} must be of the same size")
    values = _repeated(values, math.prod(a.shape))
    if values is not None:
        values = np.reshape(values, a.shape) if shape_of(values) else values
        values = converted(_fitting(a, values), a.dtype)
        _replace(a, np.where(np.reshape(mask, a.shape), values, a))


@spells(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """Writes values, in turn and repeated as needed, where a mask is true."""
    _refuse_plain(arr, "np.place")
    (at,) = np.nonzero(np.ravel(mask))
    if math.prod(at.shape) == 0:
        return
    values = _repeated(vals, math.prod(at.shape))
    if values is None:
        raise ValueError("place: there are no values to write")
    arrays = coordinates(at, arr.shape)
    assign(arr, _fitting(arr, values), arrays, (ARRAY,) * len(arrays), unique=True)


@spells(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """Writes values, repeated as needed, where all coordinates are equal."""
    _refuse_plain(a, "np.fill_diagonal")
    shape = [as_int(n) for n in a.shape]
    if len(shape) < 2:
        raise ValueError("fill_diagonal: array must be at least 2-d")
    size = math.prod(shape)
    if len(shape) == 2:
        step, end = shape[1] + 1, size if wrap else min(size, shape[1] * shape[1])
    elif len(set(shape)) > 1:
        raise ValueError("fill_diagonal: all dimensions of input must be of equal length")
    else:
        step, end = 1 + sum(math.prod(shape[i + 1 :]) for i in range(len(shape) - 1)), size
    at = np.arange(0, end, step)
    values = _repeated(val, at.size)
    if values is not None and at.size:
        assign(a, _fitting(a, values), coordinates(at, shape), (ARRAY,) * len(shape), unique=True)


def _refuse_plain(a: Any, what: str) -> None:
    if not isinstance(a, Box):
        raise plain_buffer(what)


def _repeated(values: Any, n: Any) -> Any:
    """`n` values in a row, those given being used again and again; one number alone stays alone."""
    if shape_of(values) == ():
        return values
    flat = np.ravel(values)
    (have,) = flat.shape
    if have == n or have == 0:
        return flat if have else None
    return flat[0] if have == 1 else np.take(flat, np.arange(as_int(n)) % have)


box: Any = Box
box.__setitem__ = setitem
