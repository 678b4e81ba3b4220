"""Convolutions, pooling and upsampling.

Images are (N, C, *sizes) and kernels (O, C / groups, *taps); pooling is over the last axes. All are
XLA's windows over what `lax.pad` has put entries beside, and between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pycograd_jax.lowerings.dtypes import together

lax = jax.lax
Ints = Sequence[int]
Pads = Sequence[tuple[int, int]]


# -- convolutions ----------------------------------------------------------------------------------
def _conv(
    x: Any, w: Any, stride: Ints, pad: Pads, dilation: Ints, groups: int, between: Any = None
) -> Any:
    """`between` is the stride at which entries of `x` stand, zeros between them."""
    x, w = together(x, w)
    return lax.conv_general_dilated(
        x,
        w,
        stride,
        pad,
        lhs_dilation=between,
        rhs_dilation=dilation,
        feature_group_count=groups,
        precision=lax.Precision.HIGHEST,
    )


def _conv_input(
    z: Any, w: Any, sizes: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
) -> Any:
    """The convolution of z, spread out, with the kernel turned around."""
    (outputs, inputs), taps = w.shape[:2], w.shape[2:]
    w = jnp.flip(w, range(2, w.ndim)).reshape(groups, outputs // groups, inputs, *taps)
    w = jnp.swapaxes(w, 1, 2).reshape(groups * inputs, outputs // groups, *taps)
    ends = []
    for n, m, k, s, d, (lo, _) in zip(sizes, z.shape[2:], taps, stride, dilation, pad):
        ends.append((d * (k - 1) - lo, n + lo - (m - 1) * s - 1))
    return _conv(z, w, (1,) * len(taps), ends, dilation, groups, stride)


def _conv_kernel(
    x: Any, z: Any, taps: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
) -> Any:
    """The convolution of x with z: images and channels change places, stride and dilation too."""
    count, inputs = x.shape[0], x.shape[1] // groups
    x = jnp.swapaxes(x.reshape(count, groups, inputs, *x.shape[2:]), 0, 2)
    x = x.reshape(inputs, groups * count, *x.shape[3:])
    w = _conv(x, jnp.swapaxes(z, 0, 1), dilation, pad, stride, groups)
    return jnp.swapaxes(w, 0, 1)[(..., *map(slice, taps))]


# -- pooling ---------------------------------------------------------------------------------------
def _windows(
    x: Any, start: float, combine: Any, k: Ints, stride: Ints, pad: Pads, between: Any = None
) -> Any:
    """The windows of the last axes, combined; `start` stands beside and between the entries."""
    front = x.ndim - len(k)
    gaps = [0] * len(k) if between is None else [s - 1 for s in between]
    least = np.asarray(start, x.dtype)  # a plain number, by which JAX knows a sum or a maximum
    widths = [(0, 0, 0)] * front + [(lo, hi, gap) for (lo, hi), gap in zip(pad, gaps)]
    ones = (1,) * front
    whole = lax.pad(x, least, widths)
    return lax.reduce_window(whole, least, combine, (*ones, *k), (*ones, *stride), "VALID")


def _spread(z: Any, sizes: Ints, k: Ints, stride: Ints, pad: Pads) -> Any:
    z = jnp.asarray(z)
    ends = []
    for n, m, w, s, (lo, _) in zip(sizes, z.shape[z.ndim - len(k) :], k, stride, pad):
        ends.append((w - 1 - lo, n + lo - (m - 1) * s - 1))
    return _windows(z, 0, lax.add, k, (1,) * len(k), ends, stride)


TABLE: dict[str, Callable[..., Any]] = {
    "conv": _conv,
    "conv_input": _conv_input,
    "conv_kernel": _conv_kernel,
    "max_pool": lambda x, **params: _windows(jnp.asarray(x), -math.inf, lax.max, **params),
    "sum_pool": lambda x, **params: _windows(jnp.asarray(x), 0, lax.add, **params),
    "spread": _spread,
}
