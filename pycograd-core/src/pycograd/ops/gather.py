"""NumPy's functions that take entries: all of them `gather` with the right index arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import index as as_int
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import aval_of, make_aval, promote, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import ShapeError
from pycograd.core.linear import ZeroDerivative
from pycograd.core.primitive import bind
from pycograd.core.spelling import spells
from pycograd.core.views import lying_as
from pycograd.ops.astype import converted
from pycograd.ops.axes import axis_of
from pycograd.ops.index import gather
from pycograd.ops.out import deliver
from pycograd.ops.pattern import ARRAY
from pycograd.ops.positions import along_axis, in_bounds, no_rows
from pycograd.ops.shape import flat

_INTP = np.dtype(np.intp)


# -- by position -----------------------------------------------------------------------------------
@spells(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """The entries at `indices` along an axis, or of the flattened array."""
    a = a if isinstance(a, Box) else np.asarray(a)
    if axis is None:
        a, axis = flat(a), 0
    axis = axis_of(axis, len(a.shape), "take")
    at = _whole_numbers(indices, "take")
    if mode != "raise":
        at = in_bounds(at, a.shape[axis], mode, "take")
    found = take_rows(a, at, axis)
    if axis and isinstance(found, Box):
        found = np.copy(found, order="C")  # which later reshapes of it are views depends on this
    return deliver(found, out)


def take_rows(a: Any, at: Any, axis: int, unique: bool = False) -> Any:
    """The entries at `at` along `axis`; `unique` says that no position occurs twice."""
    key = (*[slice(None)] * axis, ARRAY)
    return bind(gather, (a, at), {"key": key, "unique": True} if unique else {"key": key})


def _whole_numbers(indices: Any, operation: str) -> Any:
    at = indices if isinstance(indices, Box) else np.asarray(indices)
    kind = at.dtype.kind
    if kind == "b" or (not isinstance(at, Box) and not at.size):
        return converted(at, np.intp)
    if kind not in "iu":
        raise TypeError(f"{operation}: indices are integers, not {at.dtype}")
    return at


@spells(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """The entries at `indices` along an axis, one row of positions for each row of the array."""
    arr = arr if isinstance(arr, Box) else np.asarray(arr)
    if axis is None:
        arr, axis = flat(arr), 0
    arrays = along_axis(arr, _whole_numbers(indices, "take_along_axis"), axis, "take_along_axis")
    return bind(gather, (arr, *arrays), {"key": (ARRAY,) * len(arrays)})


@spells(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """For each entry of `a`, the entry in its place of the choice that it numbers."""
    a = _whole_numbers(a, "choose")
    many = list(choices)
    if mode == "raise" and not isinstance(a, Box) and np.any((a < 0) | (a >= len(many))):
        raise ValueError(f"choose: invalid entry in choice array, for {len(many)} choices")
    shape = sizes.broadcast(a.shape, *map(shape_of, many), operation="choose")
    stacked = np.stack([np.broadcast_to(choice, shape) for choice in many])
    at = np.broadcast_to(in_bounds(a, len(many), mode, "choose"), shape)
    return deliver(np.take_along_axis(stacked, at[None], 0)[0], out)


# -- by condition ----------------------------------------------------------------------------------
@spells(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """The entries along an axis, or of the flattened array, for which the condition holds."""
    condition = condition if isinstance(condition, Box) else np.asarray(condition)
    if len(condition.shape) != 1:
        raise ShapeError(f"compress: the condition has shape {condition.shape}, not one axis")
    a = a if isinstance(a, Box) else np.asarray(a)
    if axis is None:
        a, axis = flat(a), 0
    axis = axis_of(axis, len(a.shape), "compress")
    return deliver(take_rows(a, np.nonzero(condition)[0], axis, unique=True), out)


@spells(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """The entries, flattened, for which the condition holds."""
    return take_rows(np.ravel(arr), np.nonzero(np.ravel(condition))[0], 0, unique=True)


@spells(np.select)
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """From the choice of the first condition that holds, entry by entry."""
    if len(condlist) != len(choicelist):
        raise ValueError("select: list of cases must be same length as list of conditions")
    if not condlist:
        raise ValueError("select: with an empty condition list is not possible")
    conditions = [c if isinstance(c, Box) else np.asarray(c) for c in condlist]
    for i, condition in enumerate(conditions):
        if condition.dtype.kind != "b":
            raise TypeError(f"select: condition {i} is {condition.dtype}, not boolean")
    dtype = promote([aval_of(x) for x in (*choicelist, default)])
    out = converted(default, dtype)
    for condition, choice in zip(conditions[::-1], choicelist[::-1]):
        out = np.where(condition, converted(choice, dtype), out)
    return out


@spells(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """Each function applied to the entries for which its condition holds."""
    x = x if isinstance(x, Box) else np.asarray(x)
    if not isinstance(condlist, (list, tuple)) or (
        not isinstance(condlist[0], (list, np.ndarray)) and x.shape != ()
    ):
        condlist = [condlist]
    conditions = [c if isinstance(c, Box) else np.asarray(c, bool) for c in condlist]
    if len(funclist) not in (len(conditions), len(conditions) + 1):
        raise ValueError(
            f"piecewise: with {len(conditions)} condition(s), either {len(conditions)} or"
            f" {len(conditions) + 1} functions are expected"
        )
    if len(funclist) > len(conditions):
        conditions.append(np.logical_not(reduce(np.logical_or, conditions)))
    y = np.zeros_like(x)
    for condition, function in zip(conditions, funclist):
        if not callable(function):
            y = np.where(condition, converted(function, x.dtype), y)
        elif isinstance(condition, Box):  # not known: every function runs on every entry
            y = np.where(condition, converted(function(x, *args, **kw), x.dtype), y)
        elif condition.any() and x.shape == ():
            y = converted(function(x, *args, **kw), x.dtype)
        elif condition.any():
            y[condition] = function(x[condition], *args, **kw)
    return lying_as(y, x)


# -- with others put in or left out ----------------------------------------------------------------
@spells(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """The array with values put in before positions of an axis, or of the flattened array."""
    arr = arr if isinstance(arr, Box) else np.asarray(arr)
    if axis is None:
        arr, axis = flat(arr), 0
    axis = axis_of(axis, len(arr.shape), "insert")
    n = as_int(arr.shape[axis])
    at = np.asarray(range(*obj.indices(n)) if isinstance(obj, slice) else obj)
    values = converted(values if isinstance(values, Box) else np.asarray(values), arr.dtype)
    missing = len(arr.shape) - len(values.shape)
    values = np.reshape(values, (*[1] * max(missing, 0), *values.shape))
    if at.ndim == 0:
        values = np.moveaxis(values, 0, axis)
    many = values.shape[axis] if at.size == 1 else int(np.insert(np.zeros(n), at, 0).size - n)
    values = np.broadcast_to(values, (*arr.shape[:axis], many, *arr.shape[axis + 1 :]))
    # Where the entries of the result come from: the array, or n and more for the values.
    order: Any = np.insert(np.arange(n), at if at.ndim else int(at), n + np.arange(many))
    return take_rows(np.concatenate([arr, values], axis), order, axis, unique=True)


@spells(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """The array without the entries at positions of an axis, or of the flattened array."""
    if axis is None:
        arr, axis = flat(arr), 0
    axis = axis_of(axis, len(arr.shape), "delete")
    kept: Any = np.delete(np.arange(as_int(arr.shape[axis])), obj)
    return take_rows(arr, kept, axis, unique=True)


# -- each once -------------------------------------------------------------------------------------
def _distinct(x: Any, *, axis: int | None, equal_nan: bool) -> Any:
    _, *found = np.unique(x, True, True, True, axis, equal_nan=equal_nan)
    first, inverse, counts = found
    return first, inverse.reshape(x.shape if axis is None else -1), counts


def _distinct_shape(x: Any, axis: int | None, equal_nan: bool) -> Any:
    n = sizes.fresh_size("unique")
    inverse = x.shape if axis is None else (x.shape[axis],)
    return tuple([make_aval(shape, _INTP) for shape in ((n,), inverse, (n,))])


distinct = ZeroDerivative(
    "distinct", _distinct, shape=_distinct_shape, batch=no_rows("unique"), multi=True
)


@spells(np.unique)
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: Any = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """The different entries in order; a cotangent goes to the first occurrence of each."""
    if axis is not None:
        axis = axis_of(axis, len(ar.shape), "unique")
    first, inverse, counts = bind(distinct, (ar,), {"axis": axis, "equal_nan": equal_nan})
    line = np.ravel(ar) if axis is None else ar
    values = take_rows(line, first, axis or 0, unique=True)
    wants = (return_index, return_inverse, return_counts)
    wanted = [found for found, want in zip((first, inverse, counts), wants) if want]
    return (values, *wanted) if wanted else values


def _like_unique(function: Callable[..., Any], *options: bool) -> None:
    """Claims one of the functions of the array API standard, with its own type of result."""

    def found(x: Any, /) -> Any:
        parts = unique(x, *options, equal_nan=False)
        # Asked here: at import it would load numpy.ma.
        return type(function(np.zeros(1)))(*parts) if options else parts

    spells(function)(found)


_like_unique(np.unique_all, True, True, True)
_like_unique(np.unique_counts, False, False, True)
_like_unique(np.unique_inverse, False, True, False)
_like_unique(np.unique_values)
