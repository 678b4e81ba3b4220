"""Convolutions and pooling: all from one convolution of TensorFlow's that adds up over channels.

Images are (N, C, *sizes), kernels (O, C / groups, *taps). TensorFlow's own derivatives know no
dilation on the CPU, so the two transposes are convolutions as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from pycograd_tf.dtypes import cast
from pycograd_tf.lowerings.common import Lowering, at, common, shape

Ints = Sequence[int]
Pads = Sequence[tuple[int, int]]


# -- entries beside and between --------------------------------------------------------------------
def _padded(x: Any, first: int, pad: Pads, value: float = 0.0) -> Any:
    """`x` with entries beside those of the axes from `first` on; fewer for negative numbers."""
    if any(n < 0 for pair in pad for n in pair):
        cut = [
            slice(max(0, -lo), x.shape[first + i] + min(hi, 0)) for i, (lo, hi) in enumerate(pad)
        ]
        x = x[(..., *cut)]
    widths = [*[[0, 0]] * first, *[[max(lo, 0), max(hi, 0)] for lo, hi in pad]]
    if not any(map(any, widths)):
        return x
    return tf.pad(x, widths, constant_values=tf.constant(value, x.dtype))


def _apart(x: Any, axis: int, step: int) -> Any:
    """`x` with `step - 1` zeros between the entries of an axis."""
    if step == 1:
        return x
    sizes = shape(x)
    n = sizes[axis]
    widths = [[0, 0]] * (axis + 1) + [[0, step - 1]] + [[0, 0]] * (len(sizes) - axis - 1)
    spread = tf.reshape(
        tf.pad(tf.expand_dims(x, axis + 1), widths), [*sizes[:axis], n * step, *sizes[axis + 1 :]]
    )
    return spread[at(axis, slice(0, (n - 1) * step + 1))]


def _size(n: int, taps: int, stride: int, dilation: int) -> int:
    """The places of a kernel along an axis that is padded already."""
    return (n - dilation * (taps - 1) - 1) // stride + 1


# -- the convolution -------------------------------------------------------------------------------
def _plain(x: Any, w: Any, stride: Ints, dilation: Ints, groups: int) -> Any:
    """The convolution without padding, over any number of axes."""
    rank = len(stride)
    if rank == 1:
        found = _plain(x[:, :, None], w[:, :, None], [1, *stride], [1, *dilation], groups)
        return found[:, :, 0]
    if rank == 2:
        found = tf.raw_ops.Conv2D(
            input=tf.transpose(x, [0, 2, 3, 1]),
            filter=tf.transpose(w, [2, 3, 1, 0]),
            strides=[1, *stride, 1],
            dilations=[1, *dilation, 1],
            padding="VALID",
        )
        return tf.transpose(found, [0, 3, 1, 2])
    # The first axis by its taps: its places are images beside each other.
    places = _size(x.shape[2], w.shape[2], stride[0], dilation[0])
    total: Any = None
    for tap in range(w.shape[2]):
        start = tap * dilation[0]
        rows = x[:, :, start : start + (places - 1) * stride[0] + 1 : stride[0]]
        count, channels, _, *sizes = shape(rows)
        order = [0, 2, 1, *range(3, rank + 2)]
        rows = tf.reshape(tf.transpose(rows, order), [count * places, channels, *sizes])
        part = _plain(rows, w[:, :, tap], stride[1:], dilation[1:], groups)
        total = part if total is None else total + part
    _, outputs, *sizes = shape(total)
    whole = tf.reshape(total, [x.shape[0], places, outputs, *sizes])
    return tf.transpose(whole, [0, 2, 1, *range(3, rank + 2)])


def _in_its_dtype(x: Any, w: Any, *args: Any) -> Any:
    """The convolution of tensors of one dtype, in a dtype that TensorFlow has it in."""
    dtype = x.dtype
    if dtype.is_complex:
        (a, b), (c, d) = ((tf.math.real(v), tf.math.imag(v)) for v in (x, w))
        real = _plain(a, c, *args) - _plain(b, d, *args)
        return tf.complex(real, _plain(a, d, *args) + _plain(b, c, *args))
    wide = tf.float32 if dtype.is_floating and dtype.size < 4 else dtype
    wide = wide if wide.is_floating else tf.float64
    return cast(_plain(cast(x, wide), cast(w, wide), *args), dtype)


def _conv(x: Any, w: Any, stride: Ints, pad: Pads, dilation: Ints, groups: int) -> Any:
    x, w = common(x, w)
    return _in_its_dtype(_padded(x, 2, pad), w, stride, dilation, groups)


def _conv_input(
    z: Any, w: Any, sizes: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
) -> Any:
    """The transpose in the images: a convolution with the kernel turned around."""
    outputs, inputs, *taps = shape(w)
    for i, step in enumerate(stride):
        z = _apart(z, 2 + i, step)
    reach = [d * (t - 1) for d, t in zip(dilation, taps)]
    front = [r - lo for r, (lo, _) in zip(reach, pad)]
    places = shape(z)[2:]
    pads = [(f, n + r - f - m) for f, n, r, m in zip(front, sizes, reach, places)]
    turned = tf.reverse(w, list(range(2, len(taps) + 2)))
    turned = tf.reshape(turned, [groups, outputs // groups, inputs, *taps])
    turned = tf.transpose(turned, [0, 2, 1, *range(3, len(taps) + 3)])
    turned = tf.reshape(turned, [groups * inputs, outputs // groups, *taps])
    return _conv(z, turned, [1] * len(taps), pads, dilation, groups)


def _conv_kernel(
    x: Any, z: Any, taps: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
) -> Any:
    """The transpose in the kernel: a convolution with the cotangent over the images as channels."""
    x, z = common(_padded(x, 2, pad), z)
    count, inputs, *sizes = shape(x)
    outputs, places = z.shape[1], shape(z)[2:]
    rest = range(3, len(taps) + 3)
    images = tf.reshape(x, [count, groups, inputs // groups, *sizes])
    images = tf.transpose(images, [2, 1, 0, *rest])
    images = tf.reshape(images, [inputs // groups, groups * count, *sizes])
    kernel = tf.transpose(z, [1, 0, *range(2, len(taps) + 2)])
    found = _in_its_dtype(images, tf.reshape(kernel, [outputs, count, *places]), dilation, stride,
                          groups)  # fmt: skip
    found = found[(..., *[slice(0, n) for n in taps])]
    return tf.transpose(found, [1, 0, *range(2, len(taps) + 2)])


# -- pooling ---------------------------------------------------------------------------------------
def _pooled(function: Lowering, x: Any, k: Ints, stride: Ints) -> Any:
    """Windows of the last axes, one axis after the other, reduced by a function of two tensors."""
    first = x.shape.rank - len(k)
    for axis, (n, step) in enumerate(zip(k, stride), first):
        places = _size(x.shape[axis], n, step, 1)
        total: Any = None
        for tap in range(n):
            part = x[at(axis, slice(tap, tap + (places - 1) * step + 1, step))]
            total = part if total is None else function(total, part)
        x = total
    return x


def _sum_pool(x: Any, k: Ints, stride: Ints, pad: Pads) -> Any:
    return _pooled(tf.add, _padded(x, x.shape.rank - len(k), pad), k, stride)


def _max_pool(x: Any, k: Ints, stride: Ints, pad: Pads) -> Any:
    padded = _padded(x, x.shape.rank - len(k), pad, -float("inf"))
    return _pooled(tf.maximum, padded, k, stride)


def _spread(z: Any, sizes: Ints, k: Ints, stride: Ints, pad: Pads) -> Any:
    """The transpose of the sums: sums of the windows of entries that stand apart."""
    first = z.shape.rank - len(k)
    for i, step in enumerate(stride):
        z = _apart(z, first + i, step)
    front = [n - 1 - lo for n, (lo, _) in zip(k, pad)]
    places = shape(z)[first:]
    pads = [(f, size + n - 1 - m - f) for f, size, n, m in zip(front, sizes, k, places)]
    return _pooled(tf.add, _padded(z, first, pads), k, [1] * len(k))


TABLE: dict[str, Lowering] = {
    "conv": _conv,
    "conv_input": _conv_input,
    "conv_kernel": _conv_kernel,
    "sum_pool": _sum_pool,
    "max_pool": _max_pool,
    "spread": _spread,
}
