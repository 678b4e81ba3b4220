"""Moments and order statistics, and the forms of every reduction that leave nans out.

All of these are NumPy over the reductions and sorts. A moment under `where=` replaces what it
leaves out before anything is computed, so a nan there reaches neither the result nor a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from pycograd.core.aval import FLOAT32, FLOAT64, dtype_of, is_inexact, shape_of
from pycograd.core.box import Box
from pycograd.core.elementwise import Elementwise
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.core.fit import cast
from pycograd.core.spelling import spells
from pycograd.core.tape import Var
from pycograd.ops.cumulative import without_nan
from pycograd.ops.out import deliver
from pycograd.ops.reduce import UNSET, array, count, masked, reduce, reduced_axes
from pycograd.ops.reduce import sum as sum_

_FLOAT16 = np.dtype(np.float16)


# -- moments ---------------------------------------------------------------------------------------
def _working(a: Any, dtype: Any) -> tuple[Any, Any]:
    """The dtype to compute a mean in and that of the result: NumPy widens integers and float16."""
    have = dtype_of(a)
    if dtype is not None:
        dtype = np.dtype(dtype)
        return dtype, dtype
    if have.kind in "iub":
        return FLOAT64, FLOAT64
    return (FLOAT32 if have == _FLOAT16 else have), have


def _real_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.zeros((), dtype).real.dtype


def _number(a: Any, axes: tuple[int, ...], keepdims: Any, where: Any, dtype: np.dtype[Any]) -> Any:
    """How many entries are reduced: a number, or one for each result under `where`."""
    dtype = _real_of(dtype)
    if where is UNSET or where is True:
        return count(a, axes, dtype)
    return sum_(np.where(where, np.ones_like(a, dtype), 0), axes, keepdims=keepdims)


@spells(np.mean)
def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    *,
    where: Any = UNSET,
) -> Any:
    """Means over axes."""
    if type(a) is Var and axis is None and dtype is None and out is None and where is UNSET:
        have = a.value.dtype
        if have is FLOAT64 or have is FLOAT32:  # the case worth being quick
            return sum_(a, keepdims=keepdims) / count(a, tuple(range(len(a.shape))), have)
    a = array(a)
    working, final = _working(a, dtype)
    axes = reduced_axes(axis, a, "mean")
    keepdims = keepdims is not UNSET and bool(keepdims)
    total = sum_(cast(a, working), axes, keepdims=keepdims, where=where)
    return deliver(cast(total / _number(a, axes, keepdims, where, working), final), out)


@spells(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = UNSET,
    *,
    where: Any = UNSET,
    mean: Any = UNSET,
    correction: Any = UNSET,
) -> Any:
    """Variances over axes: the mean of |a - mean(a)|^2."""
    if correction is not UNSET:
        if ddof != 0:
            raise ValueError("var: ddof and correction can't be provided simultaneously")
        ddof = correction
    a = array(a)
    working, final = _working(a, dtype)
    axes = reduced_axes(axis, a, "var")
    keepdims = keepdims is not UNSET and bool(keepdims)
    if where is not UNSET and where is not True:
        a = masked(a, where, cast(0.0, dtype_of(a)), "var")
    if mean is UNSET:
        a = cast(a, working)
        off = a - sum_(a, axes, keepdims=True, where=where) / _number(a, axes, True, where, working)
    else:
        off = a - mean
        if dtype is None and is_inexact(dtype_of(a)):
            working = final = dtype_of(off)  # a mean of a wider dtype widens the result
    if dtype_of(off).kind == "c":
        working, final = _real_of(working), _real_of(final)
        square = np.square(np.real(off)) + np.square(np.imag(off))
    else:
        square = np.square(off)
    total = sum_(cast(square, working), axes, keepdims=keepdims, where=where)
    n = _number(square, axes, keepdims, where, working) - ddof
    free = max(n, 0) if isinstance(n, (int, float)) else np.maximum(n, 0)
    return deliver(cast(total / free, final), out)


# The root of a variance, whose derivative at 0 is the subgradient 0.
_root = Elementwise(
    "deviation",
    lambda x: np.sqrt(x),
    [lambda t, ans: np.where(ans == 0, 0, t) / np.where(ans == 0, 1, 2 * ans)],
    dtype=lambda x: x.dtype,
)


@spells(np.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = UNSET,
    *,
    where: Any = UNSET,
    mean: Any = UNSET,
    correction: Any = UNSET,
) -> Any:
    """Standard deviations over axes; at zero variance the derivative is 0."""
    options: dict[str, Any] = {"where": where, "mean": mean, "correction": correction}
    return deliver(_root(var(a, axis, dtype, None, ddof, keepdims, **options)), out)


@spells(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = UNSET
) -> Any:
    """Means over axes in which each entry has a weight."""
    a = array(a)
    keepdims = keepdims is not UNSET and bool(keepdims)
    axes = reduced_axes(axis, a, "average")
    if weights is None:
        mean_ = mean(a, axes, keepdims=keepdims)
        scale: Any = count(a, axes, dtype_of(mean_)) * np.ones((), dtype_of(mean_))
    else:
        w = _weights(array(weights), axis, axes, shape_of(a))
        dtype = np.result_type(dtype_of(a), dtype_of(w))
        if not is_inexact(dtype):
            dtype = FLOAT64
        scale = sum_(cast(w, dtype) * np.ones_like(a, dtype), axes, keepdims=keepdims)
        zero: Any = np.any(scale == 0)
        if not isinstance(zero, Box) and zero:
            raise ZeroDivisionError("average: weights sum to zero, so they cannot be normalized")
        product = cast(a, dtype) * cast(w, dtype)
        mean_ = np.sum(product, axis=axes, keepdims=keepdims) / scale
    if not returned:
        return mean_
    return mean_, cast(np.broadcast_to(scale, shape_of(mean_)), dtype_of(mean_))


def _weights(w: Any, axis: Any, axes: tuple[int, ...], shape: Any) -> Any:
    """Weights in a shape that broadcasts against the averaged array."""
    have = shape_of(w)
    if have == shape:
        return w
    if axis is None:
        raise TypeError("average: axis must be given when shapes of a and weights differ")
    if have != tuple([shape[i] for i in axes]):
        raise ShapeError(
            f"average: weights of shape {have} fit neither an array of shape {shape} nor its"
            f" axis {axis}"
        )
    order = sorted(range(len(axes)), key=axes.__getitem__)
    w = np.transpose(w, order) if len(order) > 1 else w
    return np.reshape(w, tuple([n if i in axes else 1 for i, n in enumerate(shape)]))


# -- leaving nans out ------------------------------------------------------------------------------
@spells(np.nansum)
def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    initial: Any = UNSET,
    where: Any = UNSET,
) -> Any:
    """Sums in which a nan counts as 0."""
    return reduce(np.add, without_nan(a, 0), axis, dtype, out, keepdims, initial, where, "nansum")


@spells(np.nanprod)
def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    initial: Any = UNSET,
    where: Any = UNSET,
) -> Any:
    """Products in which a nan counts as 1."""
    a = without_nan(a, 1)
    return reduce(np.multiply, a, axis, dtype, out, keepdims, initial, where, "nanprod")


@spells(np.nanmax)
def nanmax(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    initial: Any = UNSET,
    where: Any = UNSET,
) -> Any:
    """Greatest entries that are not nan; nan where there is none."""
    return reduce(np.fmax, a, axis, None, out, keepdims, initial, where, "nanmax")


@spells(np.nanmin)
def nanmin(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    initial: Any = UNSET,
    where: Any = UNSET,
) -> Any:
    """Least entries that are not nan; nan where there is none."""
    return reduce(np.fmin, a, axis, None, out, keepdims, initial, where, "nanmin")


def _present(a: Any, where: Any) -> Any:
    """The mask of the entries that are not nan, within `where`."""
    if not is_inexact(dtype_of(a)):
        return where
    found = ~np.isnan(a)
    return found if where is UNSET or where is True else found & where


@spells(np.nanmean)
def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    *,
    where: Any = UNSET,
) -> Any:
    """Means over the entries that are not nan."""
    a = array(a)
    return mean(a, axis, dtype, out, keepdims, where=_present(a, where))


@spells(np.nanvar)
def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = UNSET,
    *,
    where: Any = UNSET,
    mean: Any = UNSET,
    correction: Any = UNSET,
) -> Any:
    """Variances over the entries that are not nan."""
    a = array(a)
    if mean is not UNSET and is_inexact(dtype_of(a)):
        mean, dtype = cast(mean, dtype_of(a)), dtype or dtype_of(a)
    options: dict[str, Any] = {"mean": mean, "correction": correction}
    ans = var(a, axis, dtype, None, ddof, keepdims, where=_present(a, where), **options)
    if is_inexact(dtype_of(a)):
        # Too few entries give nan, where var gives the infinity of a division by zero.
        axes = reduced_axes(axis, a, "nanvar")
        keepdims = keepdims is not UNSET and bool(keepdims)
        n = _number(a, axes, keepdims, _present(a, where), dtype_of(ans))
        ddof = ddof if correction is UNSET else correction
        ans = +np.where(n > ddof, ans, cast(np.nan, dtype_of(ans)))
    return deliver(ans, out)


@spells(np.nanstd)
def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = UNSET,
    *,
    where: Any = UNSET,
    mean: Any = UNSET,
    correction: Any = UNSET,
) -> Any:
    """Standard deviations over the entries that are not nan."""
    options: dict[str, Any] = {"where": where, "mean": mean, "correction": correction}
    return deliver(_root(nanvar(a, axis, dtype, None, ddof, keepdims, **options)), out)


def _nan_index(find: Callable[..., Any], worst: float) -> Callable[..., Any]:
    def index(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = UNSET) -> Any:
        if is_inexact(dtype_of(a)):
            nothing: Any = np.any(np.all(np.isnan(a), axis=axis))
            if not isinstance(nothing, Box) and nothing:
                raise ValueError("All-NaN slice encountered")
        return find(without_nan(a, worst), axis=axis, out=out, keepdims=keepdims)

    index.__name__ = f"nan{find.__name__}"
    index.__doc__ = "The index of the first extremum that is not nan."
    return index


nanargmax = spells(np.nanargmax)(_nan_index(np.argmax, -np.inf))
nanargmin = spells(np.nanargmin)(_nan_index(np.argmin, np.inf))


# -- order statistics ------------------------------------------------------------------------------
def _sorted(a: Any, axis: Any, name: str) -> tuple[Any, tuple[int, ...], Any]:
    """`a` as floats with the reduced axes merged into a last one and sorted along it.

    Returns it, the axes, and how many entries that last axis has.
    """
    a = array(a)
    if dtype_of(a).kind in "iub":
        a = cast(a, FLOAT64)
    axes = reduced_axes(axis, a, name)
    n = count(a, axes, np.dtype(np.intp))
    if len(axes) != 1:
        shape = shape_of(a)
        rest = [i for i in range(len(shape)) if i not in axes]
        a = np.transpose(a, (*rest, *axes))
        a = np.reshape(a, (*[shape[i] for i in rest], _product([shape[i] for i in axes])))
        return np.sort(a, axis=-1), axes, n
    return np.sort(np.moveaxis(a, axes[0], -1), axis=-1), axes, n


def _product(sizes: list[Any]) -> Any:
    total: Any = 1
    for n in sizes:
        total = total * n
    return total


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
    ordered, axes, n = _sorted(a, axis, "median")
    if isinstance(n, int) and n == 0:
        ans = mean(ordered, axis=-1)
    else:
        ans = np.take(ordered, n // 2, axis=-1)
        if not isinstance(n, int) or n % 2 == 0:
            ans = _halfway(np.take(ordered, (n - 1) // 2, axis=-1), ans)
        last = np.take(ordered, -1, axis=-1)  # sorting puts a nan last
        ans = +np.where(np.isnan(last), last, ans)
    return deliver(_kept(ans, axes, keepdims), out)


def _halfway(x: Any, y: Any) -> Any:
    working, final = _working(x, None)
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
    ordered, axes, _ = _sorted(a, axis, "nanmedian")
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
    if dtype_of(a).kind == "c":
        raise TypeError(f"{name}: complex numbers have no order; take the real part")
    inside: Any = np.all((q >= 0) & (q <= 1))
    if not isinstance(inside, Box) and not inside:
        raise ValueError(f"{name}: quantiles are between 0 and 1 (percentiles 0 and 100)")
    ordered, axes, n = _sorted(a, axis, name)
    flat = np.reshape(q, -1)
    if skip_nan:
        n = _valid(ordered)
    at = _positions(name, n, flat, method, skip_nan)
    floor = np.floor(at)
    low = np.clip(np.astype(floor, np.intp), 0, None)
    below = _entries(ordered, low)
    if method in _DISCRETE:
        ans = below
    else:
        above = _entries(ordered, np.minimum(low + 1, n - 1))
        part = at - floor
        ans = _between(below, above, cast(part, dtype_of(ordered)) if weak else part)
    if not skip_nan:
        last = np.take(ordered, [-1], axis=-1)  # sorting puts a nan last
        ans = np.where(np.isnan(last), last, ans)
    shape = shape_of(q)
    if shape == ():
        ans = +np.squeeze(ans, -1)
    else:
        ans = np.moveaxis(ans, -1, 0)
        if len(shape) > 1:
            ans = np.reshape(ans, shape + shape_of(ans)[1:])
    return deliver(_kept(ans, axes, keepdims, len(shape)), out)


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
    step = above - below
    return np.where(part >= 0.5, above - step * (1 - part), below + step * part)


@cache
def _float64_is_weak() -> bool:
    """Whether this NumPy lets a `np.float64` adapt to the data, as it lets a Python number."""
    return bool(np.quantile(np.ones(1, np.float32), np.float64(0.5)).dtype == FLOAT32)


def _adapts(q: Any) -> bool:
    return type(q) in (int, float) or (isinstance(q, float) and _float64_is_weak())


def _no_weights(name: str, weights: Any) -> None:
    if weights is not None:
        raise UnsupportedOperationError(
            f"{name}: weights= has no rule for differentiated values; leave it out"
        )


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
        _no_weights(name, weights)
        weak = _adapts(q)
        q = array(q) / scale if scale != 1 else array(q)
        method = interpolation or method
        return _quantile(name, array(a), q, weak, axis, out, method, keepdims, skip_nan)

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
