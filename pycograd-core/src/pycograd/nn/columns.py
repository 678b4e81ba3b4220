"""Convolutions of plain arrays, as products of matrices.

An image is unfolded into columns: a row for each channel and tap, a column for each entry of the
result. One product with the kernel, a row for each channel of the result, then does all the sums.
Where the stride of the first spatial axis is 1, the taps along that axis are not unfolded: their
columns are those of other rows of the image, and their products are added up. That writes fewer
columns by the length of the kernel. Images go in blocks whose columns stay in the cache, and large
ones in parts, so that columns never take much memory.

Arrays are (N, C, *sizes), kernels (O, C / groups, *taps); the parameters are those of
`nn.convolution`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Axes = tuple[tuple[int, int, tuple[int, int], int, int], ...]  # places, stride, pad, dilation, size

_BLOCK = 1 << 19  # bytes of columns of several images: of a second-level cache a part
_MOST = 1 << 24  # bytes of columns of one; of few lines, copying the taps would take longest
_ALL = slice(None)
_ROWS = 16  # the fewest rows of columns for which a product is worth a pass over the result


def out_size(n: Any, taps: Any, stride: int, pad: tuple[Any, Any], dilation: int) -> Any:
    """The places of a kernel along an axis: `n` and `taps` may be symbolic."""
    return (n + pad[0] + pad[1] - dilation * (taps - 1) - 1) // stride + 1


def meeting(tap: int, axis: Any) -> tuple[slice, slice]:
    """The places where a tap meets entries of an axis, one of `Axes`, and those entries."""
    places, stride, pad, dilation, n = axis
    offset = tap * dilation - pad[0]
    first = max(0, -(offset // stride))
    last = max(first, min(places, (n - 1 - offset) // stride + 1))
    start = first * stride + offset
    return slice(first, last), slice(start, start + (last - first) * stride, stride)


def meetings(taps: Ints, axes: Axes) -> Iterator[tuple[Ints, list[slice], list[slice]]]:
    """Every tap of a kernel, with the places where it meets entries of an image, and those."""
    for tap in np.ndindex(taps):
        pairs = [meeting(t, axis) for t, axis in zip(tap, axes)]
        yield tap, [at for at, _ in pairs], [met for _, met in pairs]


class Piece(NamedTuple):
    """Some images, and some lines of them: places along the first spatial axis."""

    images: slice
    lines: slice

    @property
    def height(self) -> int:
        """How many lines there are."""
        return int(self.lines.stop - self.lines.start)

    def of(self, x: Any, width: int) -> Any:
        """The part of (images, groups, channels, places) with `width` places in a line."""
        return x[self.images, :, :, self.lines.start * width : self.lines.stop * width]

    def axes(self, axes: Axes, more: int = 0) -> Axes:
        """The axes whose places are those of the lines, and `more`."""
        (_, stride, (front, behind), dilation, n), *rest = axes
        pad = front - self.lines.start * stride, behind
        return (self.height + more, stride, pad, dilation, n), *rest


def _pieces(images: int, lines: int, size: int, least: int = 1) -> list[Piece]:
    """Blocks of whole images, or of lines of one, where a line takes `size` bytes of columns."""
    if not images or not lines:
        return []
    alone = max(_MOST // max(size, 1), least, 1)
    if alone >= lines:
        together = max(_BLOCK // max(lines * size, 1), 1)
        whole = slice(0, lines)
        starts = range(0, images, together)
        return [Piece(slice(i, min(i + together, images)), whole) for i in starts]
    return [
        Piece(slice(i, i + 1), slice(j, min(j + alone, lines)))
        for i in range(images)
        for j in range(0, lines, alone)
    ]


class Columns:
    """The columns of the images `x`, piece by piece.

    Iterating gives `(piece, columns)`, for every tap along the first axis that was not unfolded the
    matrices (images, groups, rows, places).

    Arguments:
        x: (N, C, *sizes).
        taps: the shape of the kernel behind its channels.
        dtype: of the columns.
    """

    __slots__ = (
        "x",
        "groups",
        "dtype",
        "out",
        "width",
        "shifts",
        "step",
        "unfolded",
        "rows",
        "axes",
    )

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
        self.width, self.step = math.prod(self.out[1:]), dilation[0]
        apart = stride[0] == 1 and taps[0] > 1 and inputs * math.prod(taps[1:]) >= _ROWS
        self.shifts, self.unfolded = (taps[0], (1, *taps[1:])) if apart else (1, taps)
        self.rows = math.prod(self.unfolded)  # for each channel
        self.axes: Axes = tuple(zip(self.out, stride, pad, dilation, sizes))

    def __iter__(self) -> Iterator[tuple[Piece, list[Any]]]:
        (count, channels), groups, x = self.x.shape[:2], self.groups, self.x
        rows, reach = channels // groups * self.rows, self.step * (self.shifts - 1)
        size = groups * rows * self.width * self.dtype.itemsize
        if self.rows == 1 and self._as_they_are(reach):
            images = x.astype(self.dtype, copy=False)
            images = images.reshape(count, groups, rows, x.shape[2] * self.width)
            for piece in _pieces(count, self.out[0], size if reach else 0, 2 * reach):
                yield piece, self._shifted(images[piece.images], piece, piece.lines.start)
            return
        buffers: dict[Any, Any] = {}
        whole = slice(0, self.out[0])
        for piece in _pieces(count, self.out[0], size, 2 * reach):
            axes = piece.axes(self.axes, reach)
            many = piece.images.stop - piece.images.start
            shape = many, channels, *self.unfolded, *[axis[0] for axis in axes]
            if shape not in buffers:
                buffers[shape] = np.zeros(shape, self.dtype)
            part = buffers[shape]
            for tap, at, met in meetings(self.unfolded, axes):
                part[(_ALL, _ALL, *tap, *at)] = x[(piece.images, _ALL, *met)]
                if piece.lines != whole:  # beside the other axes all pieces are zero alike
                    part[(_ALL, _ALL, *tap, slice(0, at[0].start))] = 0
                    part[(_ALL, _ALL, *tap, slice(at[0].stop, None))] = 0
            width = shape[2 + len(self.unfolded)] * self.width
            yield piece, self._shifted(part.reshape(many, groups, rows, width), piece, 0)

    def _as_they_are(self, reach: int) -> bool:
        """True if the only tap that is unfolded meets the image itself."""
        more = [reach, *[0] * (len(self.axes) - 1)]
        return all(
            [m + r == n and s == 1 and lo == 0 for (m, s, (lo, _), _, n), r in zip(self.axes, more)]
        )

    def _shifted(self, columns: Any, piece: Piece, first: int) -> list[Any]:
        starts = [(first + i * self.step) * self.width for i in range(self.shifts)]
        return [columns[..., start : start + piece.height * self.width] for start in starts]

    def kernels(self, w: Any) -> list[Any]:
        """The kernel as matrices (groups, outputs, rows), one for each of a piece's columns."""
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
    more = np.empty(0)
    for piece, parts in columns:
        total = piece.of(made, columns.width)
        np.matmul(kernels[0], parts[0], total)
        if len(parts) > 1 and more.shape != total.shape:
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
    for piece, parts in columns:
        mine = piece.of(z, columns.width)
        for total, part in zip(made, parts):
            each = np.matmul(mine, part.swapaxes(-1, -2))
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
    count, rows, width = len(z), inputs * math.prod(taps), math.prod(places[1:])
    z = z.astype(wide, copy=False).reshape(count, groups, outputs // groups, places[0] * width)
    kernel = w.astype(wide, copy=False).reshape(groups, outputs // groups, rows).swapaxes(1, 2)
    made = np.zeros((count, groups * inputs, *sizes), wide)
    axes = tuple(zip(places, stride, pad, dilation, sizes))
    for piece in _pieces(count, places[0], groups * rows * width * wide.itemsize):
        columns = np.matmul(kernel, piece.of(z, width))
        shape = len(columns), groups * inputs, *taps, piece.height, *places[1:]
        columns = columns.reshape(shape)
        for tap, at, met in meetings(taps, piece.axes(axes)):
            made[(piece.images, _ALL, *met)] += columns[(_ALL, _ALL, *tap, *at)]
    return made.astype(dtype, copy=False)


def accurate(dtype: Any) -> np.dtype[Any]:
    """The dtype in which products are summed: half precision has neither the digits nor BLAS."""
    return np.result_type(dtype, np.float32)
