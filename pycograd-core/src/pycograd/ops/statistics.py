"""Moments, and the forms of reductions that leave nans out: NumPy over the reductions.

A moment under `where=` replaces what it leaves out before anything is computed, so a nan there
reaches neither the result nor a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core.aval import FLOAT32, FLOAT64, dtype_of, is_inexact, shape_of
from pycograd.core.box import Box
from pycograd.core.elementwise import Elementwise
from pycograd.core.errors import ShapeError
from pycograd.core.fit import cast, is_narrow
from pycograd.core.spelling import spells
from pycograd.core.tape import Var
from pycograd.ops.cumulative import array, without_nan
from pycograd.ops.out import deliver
from pycograd.ops.reduce import UNSET, count, masked, reduce, reduced_axes, sum as sum_


# -- moments ---------------------------------------------------------------------------------------
def working_dtypes(a: Any, dtype: Any) -> tuple[Any, Any]:
    """The dtype to compute a mean in and that of the result: integers and 16 bits are widened."""
    have = dtype_of(a)
    if dtype is not None:
        dtype = np.dtype(dtype)
        return dtype, dtype
    if have.kind in "iub":
        return FLOAT64, FLOAT64
    return (FLOAT32 if is_narrow(have) else have), have


def _real_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.zeros((), dtype).real.dtype  # type: ignore[no-any-return]


def _number(a: Any, axes: tuple[int, ...], keepdims: Any, where: Any, dtype: np.dtype[Any]) -> Any:
    """How many entries are reduced: a number, or one for each result under `where`."""
    if where is UNSET or where is True:
        return count(a, axes)
    ones = np.ones_like(a, _real_of(dtype))
    return sum_(np.where(where, ones, 0), axes, keepdims=keepdims)


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
    if type(a) is Var and dtype is None and out is None and where is UNSET:
        have = a.value.dtype
        if have is FLOAT64 or have is FLOAT32:  # the case worth being quick
            axes = reduced_axes(axis, a, "mean")
            return sum_(a, axes, keepdims=keepdims) / count(a, axes)
    a = array(a)
    working, final = working_dtypes(a, dtype)
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
    working, final = working_dtypes(a, dtype)
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
    square = squares(off)
    total = sum_(cast(square, working), axes, keepdims=keepdims, where=where)
    n = _number(square, axes, keepdims, where, working) - ddof
    free = max(n, 0) if isinstance(n, (int, float)) else np.maximum(n, 0)
    return deliver(cast(total / free, final), out)


def squares(x: Any) -> Any:
    """|x|^2, smooth everywhere."""
    if dtype_of(x).kind == "c":
        return np.square(np.real(x)) + np.square(np.imag(x))
    return np.square(x)


# The root of a variance or of a sum of squares, whose derivative at 0 is the subgradient 0.
root = Elementwise(
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
    return deliver(root(var(a, axis, dtype, None, ddof, keepdims, **options)), out)


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
        scale: Any = count(a, axes) * np.ones((), dtype_of(mean_))
    else:
        w = weights_of(array(weights), axis, axes, shape_of(a), "average")
        dtype = np.result_type(dtype_of(a), dtype_of(w))
        if not is_inexact(dtype_of(a)):  # as NumPy has it, whatever the weights are
            dtype = np.result_type(dtype, FLOAT64)
        elif not is_inexact(dtype):
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


def weights_of(w: Any, axis: Any, axes: tuple[int, ...], shape: Any, name: str) -> Any:
    """Weights in a shape that broadcasts against the averaged array."""
    have = shape_of(w)
    if have == shape:
        return w
    if axis is None:
        raise TypeError(f"{name}: axis must be given when shapes of a and weights differ")
    if have != tuple([shape[i] for i in axes]):
        raise ShapeError(
            f"{name}: weights of shape {have} fit neither an array of shape {shape} nor its"
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
    return deliver(root(nanvar(a, axis, dtype, None, ddof, keepdims, **options)), out)


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
