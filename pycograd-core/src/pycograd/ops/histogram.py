"""Counting: `np.bincount` and the histograms, which are sums of weights by bin.

Which bin a value falls into is constant but at the edges, so counts have derivative 0 in the data;
in the weights they are a scatter. Edges that span the data (no `range=`) do move with the least and
the greatest of them, and so do densities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index as as_int
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import (
    FLOAT64,
    ShapeDtypeStruct,
    aval_of,
    dtype_of,
    is_inexact,
    promote_inexact,
    shape_of,
)
from pycograd.core.box import raw
from pycograd.core.errors import ControlFlowError, ShapeError
from pycograd.core.fit import cast
from pycograd.core.primitive import bind
from pycograd.core.spelling import spells
from pycograd.ops.index import scatter
from pycograd.ops.join import as_arrays
from pycograd.ops.pattern import ARRAY

_INTP = np.dtype(np.intp)


def _summed(at: Any, weights: Any, many: Any) -> Any:
    """For each bin the sum of the weights whose place `at` is."""
    return bind(scatter, (weights, at), {"key": (ARRAY,), "shape": (many,)})


# -- bincount --------------------------------------------------------------------------------------
@spells(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number occurs, or the sum of the weights it occurs with."""
    (x,) = as_arrays([x])
    if len(x.shape) != 1:
        raise ShapeError(f"bincount: x has shape {x.shape}, not one axis")
    if dtype_of(x).kind not in "biu" and x.shape[0] != 0:
        raise TypeError(f"bincount: x holds whole numbers, not {dtype_of(x)}")
    if minlength < 0:
        raise ValueError("bincount: minlength must not be negative")
    x = cast(x, _INTP)
    many = _numbers(x, as_int(minlength))
    if weights is None or x.shape[0] == 0:
        return _summed(x, np.ones_like(x, _INTP), many)
    (weights,) = as_arrays([weights])
    sizes.same_size(weights.shape[0] if len(weights.shape) == 1 else -1, x.shape[0], "bincount")
    return _summed(x, _double(weights, "bincount"), many)


def _double(weights: Any, operation: str) -> Any:
    if not np.can_cast(dtype_of(weights), FLOAT64, "safe"):
        raise TypeError(f"{operation}: weights of dtype {dtype_of(weights)} do not fit float64")
    return cast(weights, FLOAT64)


def _numbers(x: Any, least: int) -> Any:
    """How many bins the whole numbers `x` have: one more than the greatest, or `least`."""
    known = raw(x)
    if isinstance(known, ShapeDtypeStruct):
        return sizes.fresh_size("bincount")
    if not known.size:
        return least
    if known.min() < 0:
        raise ValueError("bincount: x must not have negative elements")
    every = np.maximum(np.max(known, axis=-1) + 1, least)
    if np.min(every) != np.max(every):
        raise ControlFlowError(
            f"bincount under vmap: rows have {np.min(every)} to {np.max(every)} bins; give"
            f" minlength={np.max(every)}"
        )
    return int(np.max(every))


# -- edges -----------------------------------------------------------------------------------------
def _span(a: Any, range_: Any) -> tuple[Any, Any]:
    """The outermost edges."""
    if range_ is not None:
        first, last = range_
        where = "supplied range"
    elif 0 in shape_of(a):
        first, last, where = 0, 1, "supplied range"
    else:
        first, last, where = np.min(a), np.max(a), "autodetected range"
    low, high = raw(first), raw(last)
    if isinstance(low, ShapeDtypeStruct) or isinstance(high, ShapeDtypeStruct):
        half = _half(first, last)
        return first - half, last + half
    if range_ is not None and np.any(low > high):
        raise ValueError("histogram: max must be larger than min in range parameter.")
    if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
        raise ValueError(f"histogram: {where} of [{low}, {high}] is not finite")
    if np.any(low == high):  # a bin of width 1 around the one value
        half = _half(first, last) if np.ndim(low) or np.ndim(high) else 0.5
        first, last = first - half, last + half
    return first, last


def _half(first: Any, last: Any) -> Any:
    """0.5 where the edges are equal, 0 elsewhere, of a dtype that does not change theirs."""
    half = np.where(np.equal(first, last), 0.5, 0)
    return cast(half, promote_inexact([aval_of(first), aval_of(last)]))


def _edges(a: Any, bins: Any, range_: Any, weights: Any) -> Any:
    if isinstance(bins, str):
        bins = _estimated(a, bins, range_, weights)
    if np.ndim(bins) == 0:
        many = as_int(bins)
        if many < 1:
            raise ValueError("histogram: `bins` must be positive, when an integer")
        first, last = _span(a, range_)
        dtype = np.result_type(dtype_of(a), *[_typed(x) for x in (first, last)])
        if dtype.kind in "iub":
            dtype = np.result_type(dtype, float)
        return np.linspace(first, last, many + 1, dtype=dtype)
    return _ascending(bins)


def _typed(x: Any) -> Any:
    return x if isinstance(x, (int, float)) else dtype_of(x)


def _ascending(bins: Any) -> Any:
    (edges,) = as_arrays([bins])
    if len(edges.shape) != 1:
        raise ShapeError(f"histogram: bins are a number or edges along one axis, not {edges.shape}")
    known = raw(edges)
    if isinstance(known, np.ndarray) and np.any(known[..., :-1] > known[..., 1:]):
        raise ValueError("histogram: `bins` must increase monotonically, when an array")
    return edges


def _estimated(a: Any, bins: str, range_: Any, weights: Any) -> int:
    """How many bins the rule named by a string asks for."""
    if weights is not None:
        raise TypeError("histogram: automated bin estimation is not supported for weighted data")
    known, ends = raw(a), range_ and tuple([raw(x) for x in range_])
    if isinstance(known, ShapeDtypeStruct) or known.shape != shape_of(a):
        raise ControlFlowError(
            f"histogram: bins={bins!r} makes as many bins as the data ask for, which are not known"
            " or differ between rows; give a number of bins"
        )
    return len(np.histogram_bin_edges(known, bins, ends)) - 1


@spells(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges of the bins of a histogram."""
    a, weights = _data(a, weights)
    return _edges(a, bins, range, weights)


def _data(a: Any, weights: Any) -> tuple[Any, Any]:
    (a,) = as_arrays([a])
    if dtype_of(a).kind == "b":
        a = cast(a, np.dtype(np.uint8))
    if weights is not None:
        (weights,) = as_arrays([weights])
        if weights.shape != a.shape:
            raise ShapeError(f"histogram: weights of shape {weights.shape} for data of {a.shape}")
        weights = np.ravel(weights)
    return np.ravel(a), weights


# -- histograms ------------------------------------------------------------------------------------
@spells(np.histogram)
def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Any, Any]:
    """How many values, or what weight of them, lie between neighbouring edges."""
    a, weights = _data(a, weights)
    edges = _edges(a, bins, range, weights)
    many = edges.shape[0] - 1
    # The last bin has both of its edges; what lies outside or is nan goes into one more.
    at = np.searchsorted(edges, a, "right") - 1
    at = np.where(a == edges[-1], many - 1, at)
    at = np.where((a >= edges[0]) & (a <= edges[-1]), at, many)
    dtype = _INTP if weights is None else dtype_of(weights)
    wide = np.dtype(complex) if dtype.kind == "c" else FLOAT64 if is_inexact(dtype) else dtype
    given = np.ones_like(a, _INTP) if weights is None else cast(weights, wide)
    counts = cast(_summed(at, given, many + 1)[:-1], dtype)
    if density:
        return counts / cast(np.diff(edges), FLOAT64) / np.sum(counts), edges
    return counts, edges


@spells(np.histogramdd)
def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> tuple[Any, list[Any]]:
    """Counts, or sums of weights, of points in the boxes between edges along every axis."""
    columns = _columns(sample)
    d = len(columns)
    if _is_number(bins):
        bins = [bins] * d
    if len(bins) != d:
        raise ValueError(f"histogramdd: bins for {len(bins)} axes of points with {d} coordinates")
    if range is None:
        range = [None] * d
    if len(range) != d:
        raise ValueError(f"histogramdd: ranges for {len(range)} axes, of {d}")
    edges = []
    flat: Any = 0
    for x, b, r in zip(columns, bins, range):
        if np.ndim(b) == 0:
            if b < 1:
                raise ValueError("histogramdd: a number of bins must be positive")
            first, last = _span(x, r)
            e = np.linspace(first, last, as_int(b) + 1)
        else:
            e = _ascending(b)
        # Bin 0 is before the first edge, the last one behind the last edge.
        at = np.searchsorted(e, x, "right")
        flat = flat * (e.shape[0] + 1) + np.where(x == e[-1], at - 1, at)
        edges.append(e)
    shape = [e.shape[0] + 1 for e in edges]
    if weights is None:
        weights = np.ones_like(columns[0], FLOAT64)
    (weights,) = as_arrays([weights])
    summed = _summed(flat, _double(weights, "histogramdd"), math.prod(shape))
    hist = np.reshape(summed, shape)[(slice(1, -1),) * d]
    if density:
        total: Any = np.sum(hist)
        for i, e in enumerate(edges):
            hist = hist / np.reshape(np.diff(e), [-1 if j == i else 1 for j, _ in enumerate(edges)])
        hist = hist / total
    return hist, edges


def _is_number(bins: Any) -> bool:
    return not isinstance(bins, (list, tuple)) and np.ndim(bins) == 0


def _columns(sample: Any) -> Sequence[Any]:
    """The coordinates of the points, one array for each axis."""
    if isinstance(sample, (list, tuple)):
        parts = as_arrays(sample)
        return [np.stack(parts)] if parts[0].shape == () else parts
    (sample,) = as_arrays([sample])
    if len(sample.shape) < 2:
        return [np.ravel(sample)]
    if len(sample.shape) > 2:
        raise ShapeError(f"histogramdd: points of shape {sample.shape}, not (points, coordinates)")
    return [sample[:, i] for i in np.arange(as_int(sample.shape[1]))]


@spells(np.histogram2d)
def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    density: Any = None,
    weights: Any = None,
) -> tuple[Any, Any, Any]:
    """Counts, or sums of weights, of points in the plane."""
    x, y = as_arrays([x, y])
    sizes.same_size(x.shape[0], y.shape[0], "histogram2d: x and y")
    if not _is_number(bins) and len(bins) not in (1, 2):
        bins = [bins, bins]
    hist, edges = histogramdd([x, y], bins, range, density, weights)
    return hist, edges[0], edges[1]
