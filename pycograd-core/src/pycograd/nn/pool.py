"""Pooling, the sums and maxima of windows, and upsampling, its transpose.

`sum_pool` adds up the entries of each window and `spread`, its transpose, adds each entry to the
whole of a window. Both work on the last axes, one for each of `k`, so axes in front are images,
channels and batches alike; `stride` and `pad` are as in `nn.convolution`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, make_aval, shape_of
from pycograd.core.box import raw
from pycograd.core.errors import ArgumentError, ShapeError
from pycograd.core.linear import General, Linear
from pycograd.nn.arguments import floating
from pycograd.nn.columns import Ints, Pads, accurate, meeting, meetings, out_size
from pycograd.nn.spatial import images, ints, pairs

__all__ = ["avg_pool2d", "max_pool2d", "upsample_nearest2d"]


# -- sums ------------------------------------------------------------------------------------------
def _sum_pool(x: Any, *, k: Ints, stride: Ints, pad: Pads) -> Any:
    dtype, first = x.dtype, x.ndim - len(k)
    for a, (n, s, p) in enumerate(zip(k, stride, pad), first):
        size = x.shape[a]
        places = out_size(size, n, s, p, 1)
        made = np.zeros((*x.shape[:a], places, *x.shape[a + 1 :]), accurate(dtype))
        for tap in range(n):
            at, met = meeting(tap, (places, s, p, 1, size))
            made[(..., at, *_behind(x, a))] += x[(..., met, *_behind(x, a))]
        x = made
    return x.astype(dtype, copy=False)


def _spread(z: Any, *, sizes: Ints, k: Ints, stride: Ints, pad: Pads) -> Any:
    dtype, first = z.dtype, z.ndim - len(k)
    for a, (size, n, s, p) in enumerate(zip(sizes, k, stride, pad), first):
        places = z.shape[a]
        made = np.zeros((*z.shape[:a], size, *z.shape[a + 1 :]), accurate(dtype))
        for tap in range(n):
            at, met = meeting(tap, (places, s, p, 1, size))
            made[(..., met, *_behind(z, a))] += z[(..., at, *_behind(z, a))]
        z = made
    return z.astype(dtype, copy=False)


def _behind(x: Any, axis: int) -> list[slice]:
    return [slice(None)] * (x.ndim - axis - 1)


def _pooled(x: Any, k: Any, stride: Any, pad: Any) -> Any:
    """The aval of windows of the last axes."""
    first = len(x.shape) - len(k)
    places = map(out_size, x.shape[first:], k, stride, pad, (1,) * len(k))
    return make_aval((*x.shape[:first], *places), x.dtype)


sum_pool: Linear = Linear(
    "sum_pool",
    _sum_pool,
    transposes={
        "x": lambda ct, x, k, stride, pad: spread(
            ct, sizes=x.shape[len(x.shape) - len(k) :], k=k, stride=stride, pad=pad
        )
    },
    shape=_pooled,
    batch=lambda size, values, mapped, **params: sum_pool(*values, **params),
)
spread: Linear = Linear(
    "spread",
    _spread,
    operands=("z",),
    transposes={"z": lambda ct, k, stride, pad: sum_pool(ct, k=k, stride=stride, pad=pad)},
    shape=lambda z, sizes, k, **params: make_aval(
        (*z.shape[: len(z.shape) - len(k)], *sizes), z.dtype
    ),
    batch=lambda size, values, mapped, **params: spread(*values, **params),
)
sum_pool.fresh = spread.fresh = True


# -- maxima ----------------------------------------------------------------------------------------
def _max_pool(x: Any, *, k: Ints, stride: Ints, pad: Pads) -> Any:
    made = np.full(_pooled(x, k, stride, pad).shape, -np.inf, x.dtype)
    first = x.ndim - len(k)
    axes = tuple(zip(made.shape[first:], stride, pad, (1,) * len(k), x.shape[first:]))
    for _, at, met in meetings(k, axes):
        part = made[(..., *at)]
        np.maximum(part, x[(..., *met)], out=part)
    return made


def _around(shape: Any, pad: Pads) -> list[tuple[int, int]]:
    return [(0, 0)] * (len(shape) - len(pad)) + list(pad)


def _taps(places: Any, k: Ints, stride: Ints) -> Iterator[Any]:
    """For each tap of a window, the index of the padded entries that it meets."""
    for tap in np.ndindex(k):
        ends = [t + (n - 1) * s + 1 for t, n, s in zip(tap, places, stride)]
        yield (..., *map(slice, tap, ends, stride))


def _winners(x: Any, ans: Any, k: Ints, stride: Ints, pad: Pads) -> tuple[list[Any], list[Any]]:
    """For each tap its index and where it has the maximum; a maximum of nan is of the nans."""
    places = ans.shape[len(ans.shape) - len(k) :]
    padded = np.pad(x, _around(x.shape, pad), constant_values=np.nan) if any(map(any, pad)) else x
    taps = list(_taps(places, k, stride))
    parts = [padded[tap] for tap in taps]
    won = [part == ans for part in parts]
    known = raw(ans)
    if isinstance(known, np.ndarray) and not np.isnan(known).any():
        return taps, won  # the common case, seen on the small result
    lost = ans != ans
    return taps, [np.where(lost, part != part, w) for part, w in zip(parts, won)]


def _count(won: list[Any], dtype: Any) -> Any:
    total = np.astype(won[0], dtype)
    for each in won[1:]:
        total = total + each
    return total


def _max_pool_jvp(t: Any, x: Any, ans: Any, k: Ints, stride: Ints, pad: Pads) -> Any:
    taps, won = _winners(x, ans, k, stride, pad)
    padded = np.pad(t, _around(x.shape, pad))
    total = np.where(won[0], padded[taps[0]], 0)
    for tap, each in zip(taps[1:], won[1:]):
        total = total + np.where(each, padded[tap], 0)
    return total / _count(won, dtype_of(t))


def _max_pool_vjp(ct: Any, x: Any, ans: Any, k: Ints, stride: Ints, pad: Pads) -> Any:
    taps, won = _winners(x, ans, k, stride, pad)
    share = ct / _count(won, dtype_of(ct))
    around = _around(x.shape, pad)
    made = np.zeros([lo + n + hi for n, (lo, hi) in zip(x.shape, around)], ct.dtype, like=share)
    for tap, each in zip(taps, won):
        made[tap] += np.where(each, share, 0)
    return made[tuple([slice(lo, lo + n) for n, (lo, _) in zip(x.shape, around)])]


max_pool: General = General(
    "max_pool",
    _max_pool,
    jvp=_max_pool_jvp,
    vjp=_max_pool_vjp,
    shape=_pooled,
    batch=lambda size, values, mapped, **params: max_pool(*values, **params),
)


# -- the functions ---------------------------------------------------------------------------------
def _windows(operation: str, x: Any, k: Any, stride: Any, pad: Any) -> tuple[Any, dict[str, Any]]:
    """`x` as images, and the parameters of a pooling, checked."""
    x = images(x, 2, operation)
    k = ints(k, 2, operation, "k")
    stride = k if stride is None else ints(stride, 2, operation, "stride")
    pad = pairs(pad, 2, operation)
    if any([max(pair) >= n for pair, n in zip(pad, k)]):
        raise ArgumentError(
            f"{operation}: pad={pad} with k={k} makes windows of nothing but padding; a pad is"
            " smaller than the window"
        )
    places = map(out_size, shape_of(x)[2:], k, stride, pad, (1, 1))
    if any([type(n) is int and n < 1 for n in places]):
        raise ShapeError(
            f"{operation}: the window k={k} is larger than the padded images, of shape"
            f" {shape_of(x)} with pad={pad}"
        )
    return x, {"k": k, "stride": stride, "pad": pad}


def max_pool2d(x: Any, k: Any, stride: Any = None, pad: Any = 0) -> Any:
    """The maximum of each window of images; padding is never the maximum.

    Arguments:
        x: real, (N, C, H, W), of a float dtype.
        k: the size of the window, an int or one for each axis.
        stride: from one window to the next, likewise; default `k`.
        pad: how far windows reach over the edge: an int, or for each axis one or a pair.

    Returns:
        An array (N, C, MH, MW). Equal maxima of a window share its gradient equally.

    Raises:
        ShapeError: a window larger than the padded images.
        TypeError: integers, or complex numbers.

    >>> max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """
    x, params = _windows("max_pool2d", x, k, stride, pad)
    return max_pool(floating(x, "max_pool2d"), **params)


def avg_pool2d(x: Any, k: Any, stride: Any = None, pad: Any = 0) -> Any:
    """The mean of each window of images, padding counting as zeros.

    Arguments:
        x: (N, C, H, W), of a float or complex dtype.
        k, stride, pad: as in `max_pool2d`.

    Returns:
        An array (N, C, MH, MW).

    Raises:
        ShapeError: a window larger than the padded images.
        TypeError: integers.

    >>> avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """
    x, params = _windows("avg_pool2d", x, k, stride, pad)
    return sum_pool(x, **params) / math.prod(params["k"])


def upsample_nearest2d(x: Any, scale: Any) -> Any:
    """Images enlarged by whole factors: every entry becomes a block of its copies.

    Arguments:
        x: (N, C, H, W), of a float or complex dtype.
        scale: an int, or one for each axis.

    Returns:
        An array (N, C, H * scale, W * scale).

    Raises:
        ShapeError: `x` of another number of axes.
        TypeError: integers.

    >>> upsample_nearest2d(np.array([[[[1.0, 2.0]]]]), 2)
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]]])
    """
    x = images(x, 2, "upsample_nearest2d")
    scale = ints(scale, 2, "upsample_nearest2d", "scale")
    sizes = tuple([n * s for n, s in zip(shape_of(x)[2:], scale)])
    return spread(x, sizes=sizes, k=scale, stride=scale, pad=((0, 0), (0, 0)))
