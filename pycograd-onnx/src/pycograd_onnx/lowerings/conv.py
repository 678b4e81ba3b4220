"""Convolutions, pooling and upsampling.

Images are (N, C, *sizes) and kernels (O, C / groups, *taps); pooling is over the last axes. Of
float64, of which onnxruntime convolves nothing, columns are gathered and multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd_onnx.lowerings.shapes import known
from pycograd_onnx.writer import DOUBLE, Tensor, Writer

Lowering = Callable[..., Any]
Ints = Sequence[int]
Pads = Sequence[tuple[Any, Any]]


def _widened(g: Writer, x: Tensor, pad: Pads, value: float = 0.0) -> Tensor:
    """`x` with entries beside its last axes; fewer where a number is negative."""
    if all(type(n) is int and n == 0 for pair in pad for n in pair):
        return x
    front = x.ndim - len(pad)
    ends = [(0, 0)] * front + list(pad)
    widths = g.shape([lo for lo, _ in ends] + [hi for _, hi in ends])
    shape = [lo + n + hi for n, (lo, hi) in zip(x.shape, ends)]
    return g.node("Pad", [x, widths, g.tensor(value, x.dtype)], x.dtype, shape)


def _even(pad: Pads) -> list[Any]:
    """Pads as an attribute has them: all in front, then all behind."""
    return [lo for lo, _ in pad] + [hi for _, hi in pad]


# -- convolutions ----------------------------------------------------------------------------------
def _convolved(
    g: Writer,
    x: Tensor,
    w: Tensor,
    shape: Sequence[Any],
    stride: Ints,
    pad: Pads,
    dilation: Ints,
    groups: int,
) -> Tensor:
    """The convolution, of the shape `shape`."""
    if x.dtype == DOUBLE:
        return _of_columns(g, x, w, shape, stride, pad, dilation, groups, (1,) * len(stride))
    if any(n < 0 for pair in pad for n in pair):
        x, pad = _widened(g, x, pad), [(0, 0)] * len(pad)
    return g.node(
        "Conv", [x, w], x.dtype, shape,
        strides=list(stride), pads=_even(pad), dilations=list(dilation), group=groups,
    )  # fmt: skip


def _of_columns(
    g: Writer,
    x: Tensor,
    w: Tensor,
    shape: Sequence[Any],
    stride: Ints,
    pad: Pads,
    dilation: Ints,
    groups: int,
    between: Ints,
) -> Tensor:
    """The convolution of images whose entries stand `between` apart, as a product of matrices."""
    count, channels = x.shape[:2]
    taps, places = w.shape[2:], known(shape[2:], "a convolution")
    for a, n in enumerate(known(x.shape[2:], "a convolution")):
        at = np.arange(places[a])[None, :] * stride[a] + np.arange(taps[a])[:, None] * dilation[a]
        at, rest = np.divmod(at - pad[a][0], between[a])
        met = np.where((rest == 0) & (at >= 0) & (at < n), at, n).reshape(-1)  # entry n is a zero
        axis = 2 + a
        sizes = [*x.shape[:axis], n + 1, *x.shape[axis + 1 :]]
        edge = g.expand(g.tensor(0.0, x.dtype), [*sizes[:axis], 1, *sizes[axis + 1 :]])
        x = g.concat([x, edge], axis)
        sizes[axis] = len(met)
        x = g.node("Gather", [x, g.constant(met)], x.dtype, sizes, axis=axis)
    rank, rows = len(taps), channels // groups * math.prod(taps)
    apart = [n for pair in zip(taps, places) for n in pair]
    x = g.reshape(x, (count, channels, *apart))
    x = g.transpose(x, [0, 1, *range(2, 2 + 2 * rank, 2), *range(3, 3 + 2 * rank, 2)])
    x = g.reshape(x, (count, groups, rows, math.prod(places)))
    w = g.reshape(w, (groups, w.shape[0] // groups, rows))
    made = g.node("MatMul", [w, x], x.dtype, (count, groups, w.shape[1], math.prod(places)))
    return g.reshape(made, shape)


def _turned(g: Writer, w: Tensor, groups: int) -> Tensor:
    """The kernel of the transposed convolution: from the far end, its channels exchanged."""
    (outputs, inputs), taps = w.shape[:2], w.shape[2:]
    for axis in range(2, w.ndim):
        w = g.flip(w, axis)
    w = g.reshape(w, (groups, outputs // groups, inputs, *taps))
    w = g.transpose(w, [0, 2, 1, *range(3, w.ndim)])
    return g.reshape(w, (groups * inputs, outputs // groups, *taps))


def _conv(
    g: Writer, x: Any, w: Any, stride: Ints, pad: Pads, dilation: Ints, groups: int
) -> Tensor:
    x, w = g.floats(x, w)
    return _convolved(g, x, w, g.outs[0].shape, stride, pad, dilation, groups)


def _conv_input(
    g: Writer,
    z: Any,
    w: Any,
    sizes: Sequence[Any],
    stride: Ints,
    pad: Pads,
    dilation: Ints,
    groups: int,
) -> Tensor:
    z, w = g.floats(z, w)
    return _transposed(g, z, w, sizes, stride, pad, dilation, groups)


def _transposed(
    g: Writer,
    z: Tensor,
    w: Tensor,
    sizes: Sequence[Any],
    stride: Ints,
    pad: Pads,
    dilation: Ints,
    groups: int,
) -> Tensor:
    """The transposed convolution, of the spatial sizes `sizes`."""
    shape = (z.shape[0], w.shape[1] * groups, *sizes)
    spans = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation)]
    if z.dtype == DOUBLE:
        ends = [(m - 1 - lo, 0) for m, (lo, _) in zip(spans, pad)]
        ones = (1,) * len(stride)
        return _of_columns(g, z, _turned(g, w, groups), shape, ones, ends, dilation, groups, stride)
    whole = [(n - 1) * s + m for n, s, m in zip(z.shape[2:], stride, spans)]
    made = g.node(
        "ConvTranspose", [z, w], z.dtype, (*shape[:2], *whole),
        strides=list(stride), dilations=list(dilation), group=groups,
    )  # fmt: skip
    ends = [(-lo, n + lo - m) for n, m, (lo, _) in zip(sizes, whole, pad)]
    return _widened(g, made, ends)


def _conv_kernel(
    g: Writer, x: Any, z: Any, taps: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
) -> Tensor:
    """The convolution of x with z: images and channels change places, stride and dilation too."""
    x, z = g.floats(x, z)
    count, inputs = x.shape[0], x.shape[1] // groups
    x = g.reshape(x, (count, groups, inputs, *x.shape[2:]))
    x = g.transpose(x, [2, 1, 0, *range(3, x.ndim)])
    x = g.reshape(x, (inputs, groups * count, *x.shape[3:]))
    z = g.transpose(z, [1, 0, *range(2, z.ndim)])
    places = [
        (n + lo + hi - s * (m - 1) - 1) // d + 1
        for n, m, s, d, (lo, hi) in zip(x.shape[2:], z.shape[2:], stride, dilation, pad)
    ]
    w = _convolved(g, x, z, (inputs, z.shape[0], *places), dilation, pad, stride, groups)
    w = g.transpose(w, [1, 0, *range(2, w.ndim)])
    return _widened(g, w, [(0, k - n) for k, n in zip(taps, places)])


# -- pooling ---------------------------------------------------------------------------------------
def _by_images(pool: Lowering) -> Lowering:
    """`pool` of images, for whatever axes are in front of the last ones."""

    def run(g: Writer, x: Any, k: Ints, **params: Any) -> Tensor:
        (x,) = g.floats(x)
        front = x.shape[: x.ndim - len(k)]
        images = g.reshape(x, (math.prod(front), 1, *x.shape[len(front) :]))
        made = pool(g, images, k=k, **params)
        return g.reshape(made, (*front, *made.shape[2:]))

    return run


def _pooled(x: Tensor, k: Ints, stride: Ints, pad: Pads) -> list[Any]:
    sizes = zip(x.shape[2:], k, stride, pad)
    return [*x.shape[:2], *[(n + lo + hi - m) // s + 1 for n, m, s, (lo, hi) in sizes]]


def _max_pool(g: Writer, x: Tensor, k: Ints, stride: Ints, pad: Pads) -> Tensor:
    return g.node(
        "MaxPool", [x], x.dtype, _pooled(x, k, stride, pad),
        kernel_shape=list(k), strides=list(stride), pads=_even(pad),
    )  # fmt: skip


def _ones(g: Writer, k: Ints, dtype: Any) -> Tensor:
    return g.constant(np.ones((1, 1, *k), dtype))


def _sum_pool(g: Writer, x: Tensor, k: Ints, stride: Ints, pad: Pads) -> Tensor:
    shape = _pooled(x, k, stride, pad)
    if x.dtype == DOUBLE:
        ones = _ones(g, k, x.dtype)
        return _convolved(g, x, ones, shape, stride, pad, (1,) * len(k), 1)
    x = _widened(g, x, pad)
    mean = g.node("AveragePool", [x], x.dtype, shape, kernel_shape=list(k), strides=list(stride))
    return mean * float(math.prod(k))


def _spread(g: Writer, z: Tensor, sizes: Sequence[Any], k: Ints, stride: Ints, pad: Pads) -> Tensor:
    blocks = [n * s for n, s in zip(z.shape[2:], stride)] == list(sizes)
    if blocks and tuple(k) == tuple(stride) and not any(lo for lo, _ in pad) and z.dtype != DOUBLE:
        scales = g.constant(np.array([1, 1, *k], np.float32))
        return g.node(
            "Resize", [z, None, scales], z.dtype, (*z.shape[:2], *sizes),
            mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
    return _transposed(g, z, _ones(g, k, z.dtype), sizes, stride, pad, (1,) * len(k), 1)


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
