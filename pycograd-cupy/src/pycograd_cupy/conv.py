"""Convolutions, pooling and upsampling, by the slices of images that each tap of a window meets.

Images are (N, C, *sizes) and kernels (O, C / groups, *taps); pooling is over the last axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pycograd_cupy.dtypes import together
from pycograd_cupy.elementwise import Table

Ints = Sequence[int]
Pads = Sequence[tuple[int, int]]


def _slices(places: Ints, taps: Ints, stride: Ints, dilation: Ints) -> Iterator[tuple[Any, ...]]:
    """For each tap the index of the entries that it meets, of images that are padded."""
    for tap in np.ndindex(*taps):
        at = zip(places, tap, stride, dilation)
        yield (..., *[slice(t * d, t * d + (n - 1) * s + 1, s) for n, t, s, d in at])


def _reach(n: int, taps: int, stride: int, dilation: int) -> int:
    """How many entries `n` places of a window span."""
    return (n - 1) * stride + dilation * (taps - 1) + 1


def table(cp: Any, cps: Any) -> Table:
    """Primitive name -> its spelling."""

    def widened(x: Any, pad: Pads, value: float = 0) -> Any:
        """`x` with entries beside its last axes; fewer where a number is negative."""
        front = x.shape[: x.ndim - len(pad)]
        sizes = x.shape[x.ndim - len(pad) :]
        shape = [lo + n + hi for n, (lo, hi) in zip(sizes, pad)]
        made = cp.full((*front, *shape), value, dtype=x.dtype)
        at = [slice(max(lo, 0), m - max(hi, 0)) for m, (lo, hi) in zip(shape, pad)]
        met = [slice(max(-lo, 0), n - max(-hi, 0)) for n, (lo, hi) in zip(sizes, pad)]
        made[(..., *at)] = x[(..., *met)]
        return made

    def within(whole: Any, sizes: Ints, pad: Pads) -> Any:
        """The part of padded images that is the images."""
        have = whole.shape[whole.ndim - len(pad) :]
        return widened(whole, [(-lo, n + lo - m) for n, m, (lo, _) in zip(sizes, have, pad)])

    def windows(
        x: Any, k: Ints, stride: Ints, pad: Pads, dilation: Ints, value: float = 0
    ) -> list[Any]:
        """For each tap of a window what it meets in its places."""
        x = widened(x, pad, value)
        sizes = x.shape[x.ndim - len(k) :]
        places = [
            (n - _reach(1, m, 1, d)) // s + 1 for n, m, s, d in zip(sizes, k, stride, dilation)
        ]
        return [x[at] for at in _slices(places, k, stride, dilation)]

    def columns(x: Any, groups: int, *window: Any) -> tuple[Any, Any]:
        """(N, groups, channels and taps, places), and the shape of the places."""
        parts = windows(x, *window)
        count, channels, *places = parts[0].shape
        rows = channels // groups * len(parts)
        return cp.stack(parts, 2).reshape(count, groups, rows, math.prod(places)), places

    def conv(x: Any, w: Any, stride: Ints, pad: Pads, dilation: Ints, groups: int) -> Any:
        x, w = together(cp, x, w)
        found, places = columns(x, groups, w.shape[2:], stride, pad, dilation)
        kernel = w.reshape(groups, w.shape[0] // groups, found.shape[2])
        return cp.matmul(kernel, found).reshape(x.shape[0], w.shape[0], *places)

    def conv_kernel(
        x: Any, z: Any, taps: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
    ) -> Any:
        x, z = together(cp, x, z)
        found, places = columns(x, groups, taps, stride, pad, dilation)
        outputs, inputs = z.shape[1], x.shape[1] // groups
        z = z.reshape(z.shape[0], groups, outputs // groups, math.prod(places))
        made = cp.sum(cp.matmul(z, cp.swapaxes(found, 2, 3)), axis=0)
        return made.reshape(outputs, inputs, *taps)

    def added(parts: Any, places: Ints, taps: Ints, stride: Ints, dilation: Ints) -> Any:
        """Padded images: each tap's part added to what it meets."""
        sizes = map(_reach, places, taps, stride, dilation)
        front = parts[0].shape[: parts[0].ndim - len(taps)]
        made = cp.zeros((*front, *sizes), parts[0].dtype)
        for part, at in zip(parts, _slices(places, taps, stride, dilation)):
            made[at] += part
        return made

    def conv_input(
        z: Any, w: Any, sizes: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
    ) -> Any:
        z, w = together(cp, z, w)
        (outputs, inputs), taps = w.shape[:2], w.shape[2:]
        count, places, each = z.shape[0], z.shape[2:], math.prod(taps)
        kernel = w.reshape(groups, outputs // groups, inputs * each)
        z = z.reshape(count, groups, outputs // groups, math.prod(places))
        found = cp.matmul(cp.swapaxes(kernel, 1, 2), z)
        found = found.reshape(count, groups * inputs, each, *places)
        parts = [found[:, :, i] for i in range(each)]
        return within(added(parts, places, taps, stride, dilation), sizes, pad)

    def sum_pool(x: Any, k: Ints, stride: Ints, pad: Pads) -> Any:
        first, *rest = windows(x, k, stride, pad, (1,) * len(k))
        total = cp.array(first)
        for part in rest:
            total += part
        return total

    def spread(z: Any, sizes: Ints, k: Ints, stride: Ints, pad: Pads) -> Any:
        places = z.shape[z.ndim - len(k) :]
        whole = added([z] * math.prod(k), places, k, stride, (1,) * len(k))
        return within(whole, sizes, pad)

    def max_pool(x: Any, k: Ints, stride: Ints, pad: Pads) -> Any:
        first, *rest = windows(x, k, stride, pad, (1,) * len(k), -math.inf)
        highest = cp.array(first)
        for part in rest:
            highest = cp.maximum(highest, part)
        return highest

    return {
        "conv": conv,
        "conv_input": conv_input,
        "conv_kernel": conv_kernel,
        "max_pool": max_pool,
        "sum_pool": sum_pool,
        "spread": spread,
    }
