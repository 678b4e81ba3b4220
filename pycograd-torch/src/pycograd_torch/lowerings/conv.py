"""Convolutions, pooling and upsampling.

Images are (N, C, *sizes) and kernels (O, C / groups, *taps); pooling is over the last axes. Torch
pads both ends of an axis alike, so uneven pads, and negative ones, become a step of their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from pycograd_torch.lowerings.common import Lowering, common

Ints = Sequence[int]
Pads = Sequence[tuple[int, int]]

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _widened(x: Any, pad: Pads, value: float = 0.0) -> Any:
    """`x` with entries beside its last axes; fewer where a number is negative."""
    widths = [n for pair in reversed(pad) for n in pair]
    return F.pad(x, widths, value=value) if any(widths) else x


# -- convolutions ----------------------------------------------------------------------------------
def _conv(x: Any, w: Any, stride: Ints, pad: Pads, dilation: Ints, groups: int) -> Any:
    x, w = common(x, w)
    front = [lo for lo, _ in pad]
    if any(lo != hi or lo < 0 for lo, hi in pad):
        x, front = _widened(x, pad), [0] * len(pad)
    return _CONV[len(pad)](x, w, None, stride, front, dilation, groups)


def _conv_input(
    z: Any, w: Any, sizes: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
) -> Any:
    z, w = common(z, w)
    whole = _CONV_TRANSPOSE[len(pad)](z, w, None, stride, 0, 0, groups, dilation)
    ends = [(-lo, lo + n - m) for n, m, (lo, _) in zip(sizes, whole.shape[2:], pad)]
    return _widened(whole, ends)


def _conv_kernel(
    x: Any, z: Any, taps: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
) -> Any:
    """The convolution of x with z: images and channels change places, stride and dilation too."""
    x, z = common(x, z)
    count, inputs = x.shape[0], x.shape[1] // groups
    x = x.reshape(count, groups, inputs, *x.shape[2:]).transpose(0, 2)
    x = x.reshape(inputs, groups * count, *x.shape[3:])
    w = _conv(x, z.transpose(0, 1), dilation, pad, stride, groups)
    return w.transpose(0, 1)[(..., *map(slice, taps))]


# -- pooling ---------------------------------------------------------------------------------------
def _by_images(pool: Lowering) -> Lowering:
    """`pool` of (channels, height, width), for whatever axes are in front."""

    def run(x: Any, **params: Any) -> Any:
        made = pool(x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:]), **params)
        return made.reshape(*x.shape[:-2], *made.shape[-2:])

    return run


def _max_pool(x: Any, k: Ints, stride: Ints, pad: Pads) -> Any:
    front = [lo for lo, _ in pad]
    if any(lo != hi or 2 * lo > n for n, (lo, hi) in zip(k, pad)):
        x, front = _widened(x, pad, -math.inf), [0, 0]
    return F.max_pool2d(x, k, stride, front)


def _sum_pool(x: Any, k: Ints, stride: Ints, pad: Pads) -> Any:
    if x.is_complex():
        return torch.complex(_sum_pool(x.real, k, stride, pad), _sum_pool(x.imag, k, stride, pad))
    return F.avg_pool2d(_widened(x, pad), k, stride, divisor_override=1)


def _spread(z: Any, sizes: Ints, k: Ints, stride: Ints, pad: Pads) -> Any:
    if tuple(k) == tuple(stride) and [n * s for n, s in zip(z.shape[1:], k)] == list(sizes):
        if not any(map(any, pad)):  # every entry becomes a block
            return z.repeat_interleave(k[0], 1).repeat_interleave(k[1], 2)
    ones = torch.ones((1, 1, *k), dtype=z.dtype, device=z.device)
    return _conv_input(z[:, None], ones, sizes, stride, pad, (1, 1), 1)[:, 0]


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {
        "conv": _conv,
        "conv_input": _conv_input,
        "conv_kernel": _conv_kernel,
        "max_pool": _by_images(_max_pool),
        "sum_pool": _by_images(_sum_pool),
        "spread": _by_images(_spread),
    }
