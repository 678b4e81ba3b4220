"""Medians and quantiles: entries of the sorted array, or points between two of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from pycograd.core.aval import FLOAT32, FLOAT64, dtype_of, is_inexact, shape_of
from pycograd.core.box import Box, raw
from pycograd.core.errors import UnsupportedOperationError
from pycograd.core.fit import cast
from pycograd.core.spelling import spells
from pycograd.ops.cumulative import array
from pycograd.ops.out import deliver
from pycograd.ops.reduce import UNSET, count, reduced_axes
from pycograd.ops.statistics import mean, weights_of, working_dtypes


def _sorted(a: Any, axis: Any, name: str) -> tuple[Any, tuple[int, ...], Any]:
    """`a` with the reduced axes merged into a last one and sorted along it.

    Returns it, the axes, and how many entries that last axis has.
    """
    a = array(a)
    axes = reduced_axes(axis, a, name)
    return np.sort(_lines(a, axes), axis=-1), axes, count(a, axes)


def _lines(a: Any, axes: tuple[int, ...]) -> Any:
    """`a` with these axes merged into a last one."""
    if len(axes) == 1:
        return np.moveaxis(a, axes[0], -1)
    shape = shape_of(a)
    rest = [i for i in range(len(shape)) if i not in axes]
    a = np.transpose(a, (*rest, *axes))
    return np.reshape(a, (*[shape[i] for i in rest], math.prod([shape[i] for i in axes])))


def _kept(ans: Any, axes: tuple[int, ...], keepdims: Any, leading: int = 0) -> Any:
    """`ans` with the reduced axes as 1, behind `leading` axes, if `keepdims`."""
    if keepdims is UNSET or not keepdims:
        return ans
    return np.expand_dims(ans, tuple([a + leading for a in axes]))


@spells(np.median)
def median(
    a: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: Any = False,
) -> Any:
    """Medians over axes: the middle entry, or the mean of the two middle ones."""
    ordered, axes, n = _sorted(_as_float(a), axis, "median")
    if 0 in shape_of(ordered)[-1:]:
        ans = mean(ordered, axis=-1)
    else:
        ans = np.take(ordered, n // 2, axis=-1)
        if not isinstance(n, int) or n % 2 == 0:
            ans = _halfway(np.take(ordered, (n - 1) // 2, axis=-1), ans)
        last = np.take(ordered, -1, axis=-1)  # sorting puts a nan last
        ans = +np.where(np.isnan(last), last, ans)
    return deliver(_kept(ans, axes, keepdims), out)


def _as_float(a: Any) -> Any:
    a = array(a)
    return cast(a, FLOAT64) if dtype_of(a).kind in "iub" else a


def _halfway(x: Any, y: Any) -> Any:
    working, final = working_dtypes(x, None)
    return cast((cast(x, working) + cast(y, working)) / 2, final)


@spells(np.nanmedian)
def nanmedian(
    a: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: Any = UNSET,
) -> Any:
    """Medians over the entries that are not nan."""
    ordered, axes, _ = _sorted(_as_float(a), axis, "nanmedian")
    if 0 in shape_of(ordered)[-1:]:
        return deliver(_kept(mean(ordered, axis=-1), axes, keepdims), out)
    n = _valid(ordered)
    lower, upper = (np.take_along_axis(ordered, i, -1) for i in ((n - 1) // 2, n // 2))
    ans = np.where(n % 2 == 1, upper, _halfway(lower, upper))
    return deliver(_kept(+np.squeeze(ans, -1), axes, keepdims), out)


def _valid(ordered: Any) -> Any:
    """For each sorted row how many entries are not nan, as a last axis of size 1; at least 1."""
    return np.maximum(np.sum(~np.isnan(ordered), axis=-1, keepdims=True), 1)


_DISCRETE = ("inverted_cdf", "closest_observation", "lower", "higher", "nearest")


def _quantile(
    name: str,
    a: Any,
    q: Any,
    weak: bool,
    axis: Any,
    out: Any,
    method: str,
    keepdims: Any,
    skip_nan: bool,
) -> Any:
    """`weak`: q is a Python number, which leaves the dtype of the data."""
    ordered, axes, n = _sorted(a, axis, name)
    flat: Any = np.reshape(q, -1)
    if skip_nan:
        n = _valid(ordered)
    at = _positions(name, n, flat, method, skip_nan)
    floor = np.floor(at)
    low = np.clip(np.astype(floor, np.intp), 0, None)
    below = _entries(ordered, low)
    if method in _DISCRETE or dtype_of(at).kind not in "fcV":
        ans = below  # the positions are those of entries
    else:
        above, part = _entries(ordered, np.minimum(low + 1, n - 1)), at - floor
        if weak and is_inexact(dtype_of(ordered)):
            part = cast(part, dtype_of(ordered))
        ans = _between(below, above, part)
    if not skip_nan:
        ans = _nan_if_any(ordered, ans)
    return deliver(_placed(ans, q, axes, keepdims), out)


def _nan_if_any(ordered: Any, ans: Any) -> Any:
    last = np.take(ordered, [-1], axis=-1)  # sorting puts a nan last
    return np.where(np.isnan(last), last, ans)


def _placed(ans: Any, q: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    """The quantiles of each line, which are along the last axis, with the axes of `q` in front."""
    shape = shape_of(q)
    if shape == ():
        ans = +np.squeeze(ans, -1)
    else:
        ans = np.moveaxis(ans, -1, 0)
        if len(shape) > 1:
            ans = np.reshape(ans, shape + shape_of(ans)[1:])
    return _kept(ans, axes, keepdims, len(shape))


def _positions(name: str, n: Any, q: Any, method: str, skip_nan: bool) -> Any:
    """Where among `n` sorted entries the quantiles lie, as fractional indices."""
    if method == "linear":
        return (cast(n - 1, dtype_of(q)) if skip_nan and is_inexact(dtype_of(q)) else n - 1) * q
    if skip_nan or isinstance(n, Box) or isinstance(q, Box):
        raise UnsupportedOperationError(
            f"{name}: method={method!r} has no rule for a differentiated q, for symbolic sizes and"
            " for rows that leave out their nans; use method='linear'"
        )
    # The quantiles of 0, 1, 2... are these indices, whatever the method.
    positions: Any = np.arange(float(n))
    return np.quantile(positions, q, method=method)  # type: ignore[call-overload]


def _entries(ordered: Any, index: Any) -> Any:
    if len(shape_of(index)) == 1:
        return np.take(ordered, index, axis=-1)
    return np.take_along_axis(ordered, index, -1)


def _between(below: Any, above: Any, part: Any) -> Any:
    """The point that lies `part` of the way, exact at both ends and monotonic, as NumPy's is."""
    if dtype_of(below).kind in "biu":  # whose differences would overflow
        dtype = np.result_type(dtype_of(below), dtype_of(part))
        below, above = cast(below, dtype), cast(above, dtype)
    step = above - below
    return np.where(part >= 0.5, above - step * (1 - part), below + step * part)


@cache
def _float64_is_weak(function: Callable[..., Any], scale: float) -> bool:
    """Whether this NumPy lets a `np.float64` adapt to the data, as it lets a Python number."""
    return bool(function(np.ones(1, np.float32), np.float64(scale / 2)).dtype == FLOAT32)


def _checked(name: str, a: Any, q: Any) -> None:
    if dtype_of(a).kind == "c":
        raise TypeError(f"{name}: complex numbers have no order; take the real part")
    inside: Any = np.all((q >= 0) & (q <= 1))
    if not isinstance(inside, Box) and not inside:
        raise ValueError(f"{name}: quantiles are between 0 and 1 (percentiles 0 and 100)")


# -- with weights ----------------------------------------------------------------------------------
def _weighted(
    name: str, a: Any, q: Any, weights: Any, axis: Any, keepdims: Any, skip_nan: bool
) -> Any:
    """The entry at which the share of the weights before and at it reaches each quantile.

    It is an entry of `a`: which one is constant in `q` and in the weights, but where it changes.
    """
    axes = reduced_axes(axis, a, name)
    weights = array(weights)
    known = raw(weights)
    if isinstance(known, np.ndarray) and not np.all(known >= 0):
        raise ValueError(f"{name}: weights must be non-negative")
    w = weights_of(weights, axis, axes, shape_of(a), name)
    a, w = _lines(a, axes), _lines(np.broadcast_to(w, shape_of(a)), axes)
    order = np.argsort(a, axis=-1)
    ordered, w = np.take_along_axis(a, order, -1), np.take_along_axis(w, order, -1)
    n: Any = a.shape[-1]
    if skip_nan:
        w, n = np.where(np.isnan(ordered), 0, w), _valid(ordered)
    share = np.cumsum(w, axis=-1, dtype=np.float64)
    total = np.take(share, [-1], axis=-1)
    if not skip_nan and isinstance(raw(total), np.ndarray) and not np.all(raw(total)):
        raise ValueError(f"{name}: at least one weight must be positive")
    share = share / np.where(total == 0, 1, total)
    if dtype_of(q).kind == "f":
        share = cast(share, dtype_of(q))
    # An entry without weight is not the quantile 0.
    reached = np.where(share == 0, -1, share)[..., None, :] < np.reshape(q, (-1, 1))
    at = np.minimum(np.sum(reached, axis=-1), n - 1)
    ans = np.take_along_axis(ordered, at, -1)
    return _placed(ans if skip_nan else _nan_if_any(ordered, ans), q, axes, keepdims)


def _spell(function: Any, scale: float, skip_nan: bool) -> None:
    name = function.__name__

    def order_statistic(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = False,
        *,
        weights: Any = None,
        interpolation: Any = None,
    ) -> Any:
        weak = type(q) in (int, float) or (
            isinstance(q, float) and _float64_is_weak(function, scale)
        )
        q = array(q) / scale if scale != 1 else array(q)
        a, method = array(a), interpolation or method
        _checked(name, a, q)
        if weights is not None:
            if method != "inverted_cdf":
                raise ValueError(f"{name}: weights= needs method='inverted_cdf', not {method!r}")
            q = cast(q, dtype_of(a)) if weak and is_inexact(dtype_of(a)) else q
            return deliver(_weighted(name, a, q, weights, axis, keepdims, skip_nan), out)
        return _quantile(name, a, q, weak, axis, out, method, keepdims, skip_nan)

    order_statistic.__name__ = name
    order_statistic.__doc__ = f"{name}: differentiable in `a` and, with method linear, in `q`."
    spells(function)(order_statistic)


for _function, _scale, _skip_nan in (
    (np.quantile, 1, False),
    (np.percentile, 100, False),
    (np.nanquantile, 1, True),
    (np.nanpercentile, 100, True),
):
    _spell(_function, _scale, _skip_nan)
