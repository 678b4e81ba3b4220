"""Convolutions of plain arrays, as products of matrices.

An image is unfolded into columns: a row for each channel and tap, a column for each entry of the
result. One product with the kernel, a row for each channel of the result, then does all the sums.
Where the stride of the first spatial axis is 1, the taps along that axis are not unfolded: their
columns are those of other rows of the image, and their products are added up. That writes fewer
columns by the length of the kernel. Images go in blocks whose columns stay in the cache.

Arrays are (N, C, *sizes), kernels (O, C / groups, *taps); the parameters are those of
`nn.convolution`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]

_BLOCK = 1 << 19  # bytes of columns at once: of a second-level cache a part
_ALL = slice(None)
_ROWS = 16  # the fewest rows of columns for which a product is worth a pass over the result


def out_size(n: Any, taps: Any, stride: int, pad: tuple[Any, Any], dilation: int) -> Any:
    """The places of a kernel along an axis: `n` and `taps` may be symbolic."""
    return (n + pad[0] + pad[1] - dilation * (taps - 1) - 1) // stride + 1


def meeting(tap: int, axis: Any) -> tuple[slice, slice]:
    """The places where a tap meets entries of an axis, and those entries.

    `axis` is (places, stride, pad, dilation, size).
    """
    places, stride, pad, dilation, n = axis
    offset = tap * dilation - pad[0]
    first = max(0, -(offset // stride))
    last = max(first, min(places, (n - 1 - offset) // stride + 1))
    start = first * stride + offset
    return slice(first, last), slice(start, start + (last - first) * stride, stride)


def meetings(taps: Ints, axes: Any) -> Iterator[tuple[Ints, list[slice], list[slice]]]:
    """Every tap of a kernel, with the places where it meets entries of an image, and those."""
    for tap in np.ndindex(taps):
        pairs = [meeting(t, axis) for t, axis in zip(tap, axes)]
        yield tap, [at for at, _ in pairs], [met for _, met in pairs]


def _blocks(count: int, size: int) -> list[slice]:
    """The images in blocks, each of which takes `size` bytes of columns."""
    length = max(1, min(count, _BLOCK // max(size, 1)))
    return [slice(i, min(i + length, count)) for i in range(0, count, length)]


class Columns:
    """The columns of the images `x`, block by block.

    Iterating gives `(block, columns)`: a slice of the images, and for every tap along the first
    axis that was not unfolded the matrices (images, groups, rows, places).

    Arguments:
        x: (N, C, *sizes).
        taps: the shape of the kernel behind its channels.
        dtype: of the columns.
    """

    __slots__ = ("x", "groups", "dtype", "out", "unfolded", "shifts", "rows", "step", "axes")

    def __init__(
        self,
        x: Any,
        taps: Ints,
        stride: Ints,
        pad: Pads,
        dilation: Ints,
        groups: int,
        dtype: Any,
    ) -> None:
        sizes, inputs = x.shape[2:], x.shape[1] // groups
        self.x, self.groups, self.dtype = x, groups, dtype
        self.out: Ints = tuple(map(out_size, sizes, taps, stride, pad, dilation))
        apart = stride[0] == 1 and taps[0] > 1 and inputs * math.prod(taps[1:]) >= _ROWS
        self.shifts, self.unfolded = (taps[0], (1, *taps[1:])) if apart else (1, taps)
        self.rows = math.prod(self.unfolded)  # for each channel
        self.step = dilation[0] * math.prod(self.out[1:])
        first = sizes[0] + sum(pad[0]) if apart else self.out[0]
        self.axes = tuple(zip((first, *self.out[1:]), stride, pad, dilation, sizes))

    def __iter__(self) -> Iterator[tuple[slice, list[Any]]]:
        (count, channels), groups, x = self.x.shape[:2], self.groups, self.x
        places = tuple([axis[0] for axis in self.axes])
        rows, width = channels // groups * self.rows, math.prod(places)
        if self.rows == 1 and self._as_they_are():
            columns = x.astype(self.dtype, copy=False).reshape(count, groups, rows, width)
            yield slice(0, count), self._shifted(columns)
            return
        blocks = _blocks(count, groups * rows * width * self.dtype.itemsize)
        length = blocks[0].stop if blocks else 0
        buffer = np.zeros((length, channels, *self.unfolded, *places), self.dtype)
        for block in blocks:
            part = buffer[: block.stop - block.start]
            for tap, at, met in meetings(self.unfolded, self.axes):
                part[(_ALL, _ALL, *tap, *at)] = x[(block, _ALL, *met)]
            yield block, self._shifted(part.reshape(len(part), groups, rows, width))

    def _as_they_are(self) -> bool:
        """True if the only tap meets the image itself."""
        return all([m == n and s == 1 and lo == 0 for m, s, (lo, _), _, n in self.axes])

    def _shifted(self, columns: Any) -> list[Any]:
        width = math.prod(self.out)
        return [columns[..., i * self.step :][..., :width] for i in range(self.shifts)]

    def kernels(self, w: Any) -> list[Any]:
        """The kernel as matrices (groups, outputs, rows), one for each of a block's columns."""
        w = w.astype(self.dtype, copy=False)
        parts = np.moveaxis(w, 2, 0) if self.shifts > 1 else w[None]
        shape = self.groups, w.shape[0] // self.groups, w.shape[1] * self.rows
        return [np.ascontiguousarray(part).reshape(shape) for part in parts]


def convolve(x: Any, w: Any, *, stride: Ints, pad: Pads, dilation: Ints, groups: int) -> Any:
    """`z[n, g o, j] = sum x[n, g c, j * stride + t * dilation - pad] w[g o, c, t]`."""
    dtype = np.result_type(x, w)
    columns = Columns(x, w.shape[2:], stride, pad, dilation, groups, accurate(dtype))
    kernels = columns.kernels(w)
    count, outputs, width = len(x), w.shape[0], math.prod(columns.out)
    made = np.empty((count, groups, outputs // groups, width), columns.dtype)
    more = None
    for block, parts in columns:
        total = made[block]
        np.matmul(kernels[0], parts[0], total)
        if len(parts) > 1 and (more is None or len(more) != len(total)):
            more = np.empty(total.shape, columns.dtype)
        for kernel, part in zip(kernels[1:], parts[1:]):
            total += np.matmul(kernel, part, more)
    return made.reshape(count, outputs, *columns.out).astype(dtype, copy=False)


def convolve_kernel(
    x: Any, z: Any, *, taps: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
) -> Any:
    """The transpose of `convolve` in w: every column times the entry of z in its place."""
    dtype = np.result_type(x, z)
    columns = Columns(x, taps, stride, pad, dilation, groups, accurate(dtype))
    count, outputs, inputs = len(x), z.shape[1] // groups, x.shape[1] // groups
    z = z.astype(columns.dtype, copy=False).reshape(count, groups, outputs, math.prod(columns.out))
    made = np.zeros((columns.shifts, groups, outputs, inputs * columns.rows), columns.dtype)
    for block, parts in columns:
        for total, part in zip(made, parts):
            each = np.matmul(z[block], part.swapaxes(-1, -2))
            total += each[0] if len(each) == 1 else np.add.reduce(each)
    w = made.reshape(columns.shifts, groups * outputs, inputs, *columns.unfolded)
    w = np.moveaxis(w, 0, 2).reshape(groups * outputs, inputs, *taps)
    return w.astype(dtype, copy=False)


def convolve_input(
    z: Any, w: Any, *, sizes: Ints, stride: Ints, pad: Pads, dilation: Ints, groups: int
) -> Any:
    """The transpose of `convolve` in x, of the spatial `sizes`."""
    (outputs, inputs), taps, places = w.shape[:2], w.shape[2:], z.shape[2:]
    if set(stride) == {1}:  # a convolution with the kernel turned around
        reach = [d * (t - 1) for d, t in zip(dilation, taps)]
        front = [r - lo for r, (lo, _) in zip(reach, pad)]
        pads = [(f, n + r - f - m) for f, n, r, m in zip(front, sizes, reach, places)]
        turned = np.flip(w, tuple(range(2, w.ndim)))
        turned = turned.reshape(groups, outputs // groups, inputs, *taps).swapaxes(1, 2)
        turned = turned.reshape(groups * inputs, outputs // groups, *taps)
        return convolve(z, turned, stride=stride, pad=tuple(pads), dilation=dilation, groups=groups)
    dtype = np.result_type(z, w)
    wide = accurate(dtype)
    count, rows, width = len(z), inputs * math.prod(taps), math.prod(places)
    z = z.astype(wide, copy=False).reshape(count, groups, outputs // groups, width)
    kernel = w.astype(wide, copy=False).reshape(groups, outputs // groups, rows).swapaxes(1, 2)
    made = np.zeros((count, groups * inputs, *sizes), wide)
    axes = tuple(zip(places, stride, pad, dilation, sizes))
    for block in _blocks(count, groups * rows * width * wide.itemsize):
        shape = block.stop - block.start, groups * inputs, *taps, *places
        columns = np.matmul(kernel, z[block]).reshape(shape)
        for tap, at, met in meetings(taps, axes):
            made[(block, _ALL, *met)] += columns[(_ALL, _ALL, *tap, *at)]
    return made.astype(dtype, copy=False)


def accurate(dtype: Any) -> np.dtype[Any]:
    """The dtype in which products are summed: half precision has neither the digits nor BLAS."""
    return np.result_type(dtype, np.float32)
