"""Sorting and searching: the permutation is a constant, and the sorted values are gathered by it.

So a derivative of any order is that of a gather. Complex numbers are ordered as NumPy orders them,
by their real and then their imaginary part; a nan is greater than every number.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import dtype_of, make_aval, shape_of
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.core.linear import ZeroDerivative
from pycograd.core.spelling import spells
from pycograd.core.views import lying_as
from pycograd.ops.axes import axis_of
from pycograd.ops.cumulative import array
from pycograd.ops.shape import flat

UNSET: Any = np._NoValue  # NumPy's own default of keywords that were not given
_INTP = np.dtype(np.intp)


def _indices(x: Any, **params: Any) -> Any:
    return make_aval(x.shape, _INTP)


def _rows(size: int, values: Any, mapped: Any, *, axis: int, **params: Any) -> Any:
    primitive = argpartition_of if "kth" in params else argsort_of
    return primitive(*values, axis=axis + 1, **params)


argsort_of = ZeroDerivative(
    "argsort", lambda x, axis, kind: x.argsort(axis, kind), shape=_indices, batch=_rows
)
argpartition_of = ZeroDerivative(
    "argpartition", lambda x, axis, kth: x.argpartition(kth, axis), shape=_indices, batch=_rows
)


def _line(name: str, a: Any, axis: Any, order: Any) -> tuple[Any, int]:
    """`a` and the axis to sort along, which for None is that of the raveled array."""
    if order is not None:
        raise UnsupportedOperationError(
            f"{name}: order= names fields of a structured array; leave it out"
        )
    a = array(a)
    if axis is None:
        return flat(a), 0
    return a, axis_of(axis, len(shape_of(a)), name)


def _kind(name: str, kind: Any, stable: Any) -> str:
    if stable is None or stable is UNSET:
        return kind or "quicksort"
    if kind is not None:
        raise ValueError(f"{name}: `kind` and `stable` parameters can't be provided together")
    return "stable" if stable else "quicksort"


@spells(np.argsort)
def argsort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Any:
    """The indices that sort along an axis."""
    if shape_of(a) == ():
        a = np.reshape(a, 1)  # of a 0-d value NumPy makes the one index there is
    a, axis = _line("argsort", a, axis, order)
    return argsort_of(a, axis=axis, kind=_kind("argsort", kind, stable))


@spells(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """The entries in ascending order along an axis."""
    a, axis = _line("sort", a, axis, order)
    at = argsort_of(a, axis=axis, kind=_kind("sort", kind, stable))
    return lying_as(np.take_along_axis(a, at, axis), a)


@spells(np.sort_complex)
def sort_complex(a: Any) -> Any:
    """The entries along the last axis in ascending order, as complex numbers."""
    a = sort(a)
    if dtype_of(a).kind == "c":
        return a
    wide = {**dict.fromkeys("bhBH", "F"), "g": "G"}.get(dtype_of(a).char, "D")
    return np.astype(a, np.dtype(wide))


def _kth(name: str, kth: Any, a: Any, axis: int) -> tuple[int, ...]:
    n = shape_of(a)[axis]
    given = [index(k) for k in (kth if isinstance(kth, (tuple, list, np.ndarray)) else [kth])]
    for k in given:
        if type(n) is int and not -n <= k < n:
            raise ShapeError(
                f"{name}: kth={k} is out of bounds for shape {shape_of(a)}, axis {axis}"
            )
    return tuple(given)


@spells(np.argpartition)
def argpartition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> Any:
    """Indices that put the entries of rank `kth` in their place, less before and greater after."""
    a, axis = _line("argpartition", a, axis, order)
    return argpartition_of(a, axis=axis, kth=_kth("argpartition", kth, a, axis))


@spells(np.partition)
def partition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> Any:
    """The entries with those of rank `kth` in their place, less before and greater after."""
    a, axis = _line("partition", a, axis, order)
    order_ = argpartition_of(a, axis=axis, kth=_kth("partition", kth, a, axis))
    return lying_as(np.take_along_axis(a, order_, axis), a)


@spells(np.lexsort)
def lexsort(keys: Any, axis: Any = -1) -> Any:
    """The indices that sort by several keys, the last one first."""
    shape = shape_of(keys[0])
    axis = axis_of(axis, len(shape), "lexsort")
    found = None
    for key in keys:  # a stable sort by each, from the least key to the greatest
        if found is None:
            found = argsort_of(key, axis=axis, kind="stable")
        else:
            key = np.take_along_axis(key, found, axis)
            again = argsort_of(key, axis=axis, kind="stable")
            found = np.take_along_axis(found, again, axis)
    return found


# -- searching -------------------------------------------------------------------------------------
def _search_shape(a: Any, v: Any, side: str) -> Any:
    return make_aval(v.shape, _INTP)


def _search_rows(size: int, values: Any, mapped: Any, side: str) -> Any:
    (a, v), (a_mapped, v_mapped) = values, mapped
    if not a_mapped:  # one table: every row's values at once
        return searchsorted_of(a, v, side=side)
    if not v_mapped:
        v = np.broadcast_to(v, (size, *shape_of(v)))
    return np.reshape(_bisect(a, np.reshape(v, (size, -1)), side), shape_of(v))


def _bisect(a: Any, v: Any, side: str) -> Any:
    """`searchsorted` of each row of `v` in the same row of `a`: bisection of all at once."""
    n = shape_of(a)[1]
    low: Any = np.zeros(shape_of(v), np.intp)
    if n == 0:
        return low
    high: Any = np.full(shape_of(v), n, np.intp)
    for _ in range(int(n).bit_length()):
        middle = (low + high) // 2
        entry = np.take_along_axis(a, np.minimum(middle, n - 1), 1)
        right = _less(entry, v) if side == "left" else ~_less(v, entry)
        right = right & (low < high)
        low, high = np.where(right, middle + 1, low), np.where(right, high, middle)
    return low


def _less(x: Any, y: Any) -> Any:
    """x < y in the order of sorting, where a nan is greater than every number."""
    if dtype_of(x).kind in "fcV" or dtype_of(y).kind in "fcV":
        return (x < y) | (np.isnan(y) & ~np.isnan(x))
    return x < y


searchsorted_of = ZeroDerivative(
    "searchsorted",
    lambda a, v, side: np.searchsorted(a, v, side),
    shape=_search_shape,
    batch=_search_rows,
)


@spells(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """The index at which each value would be inserted into a sorted array."""
    a, v = array(a), array(v)
    if len(shape_of(a)) != 1:
        raise ShapeError(f"searchsorted: the sorted array has shape {shape_of(a)}, not one axis")
    if sorter is not None:
        sizes.same_size(shape_of(sorter)[0], shape_of(a)[0], "searchsorted")
        a = np.take(a, sorter)
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right', not {side!r}")
    return searchsorted_of(a, v, side=side)


@spells(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The index of the bin that each value falls into; bins ascend or descend."""
    bins = array(bins)
    if len(shape_of(bins)) != 1:
        raise ShapeError(f"digitize: bins have shape {shape_of(bins)}, not one axis")
    side = "left" if right else "right"
    if np.all(bins[1:] >= bins[:-1]):
        return searchsorted(bins, x, side)
    if not np.all(bins[1:] <= bins[:-1]):
        raise ValueError("digitize: bins must be monotonically increasing or decreasing")
    # Seen from the other end, the bin to the right of an edge is the one to its left.
    return shape_of(bins)[0] - searchsorted(bins[::-1], x, side)
