"""`scipy.signal`: convolutions, correlations, linear filters and trends.

Convolution is one bilinear primitive whose transposes are convolutions again. A filter is one of
finite response and then an all-pole recurrence, the primitive of `recurrence`; the rest is written
in NumPy over these.

>>> grad(lambda x: np.sum(convolve(x, x)))(np.array([1.0, 2.0]))
(array([6., 6.]),)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.signal

from pycograd.core import sizes
from pycograd.core.aval import dtype_of, make_aval, promote, shape_of
from pycograd.core.errors import ShapeError
from pycograd.core.linear import Linear, aligned
from pycograd.core.primitive import bind
from pycograd.ops.axes import axes_of, axis_of
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.kinds import array, boxed
from pycograd.scipy.recurrence import all_pole

_MODES = ("full", "valid", "same")


# -- convolution -----------------------------------------------------------------------------------
def _impl(x: Any, y: Any, *, rank: int, mode: str, method: str) -> Any:
    x, y = np.asarray(x), np.asarray(y)
    dtype = np.result_type(x, y)
    rows = np.broadcast_shapes(x.shape[: x.ndim - rank], y.shape[: y.ndim - rank])
    if not rows:
        return scipy.signal.convolve(x, y, mode, method).astype(dtype, copy=False)
    x, y = (v.reshape((1,) * (len(rows) + rank - v.ndim) + v.shape) for v in (x, y))
    if method == "auto":
        first = (0,) * len(rows)
        method = scipy.signal.choose_conv_method(x[first], y[first], mode)
    if method == "fft":
        axes = range(-rank, 0)
        return scipy.signal.fftconvolve(x, y, mode, axes).astype(dtype, copy=False)
    if y.shape[: len(rows)] == (1,) * len(rows):  # scipy's loops go over the rows of x as well
        return scipy.signal.convolve(x, y, mode, method).astype(dtype, copy=False)
    x, y = (np.broadcast_to(v, rows + v.shape[len(rows) :]) for v in (x, y))
    each = [scipy.signal.convolve(x[i], y[i], mode, method) for i in np.ndindex(rows)]
    return np.stack(each).astype(dtype, copy=False).reshape(rows + each[0].shape)


def _shape(x: Any, y: Any, *, rank: int, mode: str, method: str) -> Any:
    rows = sizes.broadcast(x.shape[:-rank], y.shape[:-rank], operation="convolve")
    sign = 1 if mode == "full" else -1
    inner = [n + sign * (m - 1) for n, m in zip(x.shape[-rank:], y.shape[-rank:])]
    return make_aval((*rows, *inner), promote((x, y)))


def _batch(size: Any, values: Any, mapped: Any, rank: int, mode: str, method: str) -> Any:
    x, y = aligned(values, mapped, (rank, rank))
    return _conv(x, y, rank, mode, method)


def _flip(x: Any, rank: int) -> Any:
    return np.flip(x, tuple(range(-rank, 0)))


def _pull_x(ct: Any, y: Any, rank: int, mode: str, method: str) -> Any:
    return _conv(ct, _flip(y, rank), rank, "valid" if mode == "full" else "full", method)


def _pull_y(ct: Any, x: Any, rank: int, mode: str, method: str) -> Any:
    if mode == "full":
        return _conv(ct, _flip(x, rank), rank, "valid", method)
    return _flip(_conv(x, _flip(ct, rank), rank, "valid", method), rank)


convolve_p = Linear(
    "convolve_nd",
    _impl,
    operands=("x", "y"),
    transposes={"x": _pull_x, "y": _pull_y},
    joint=False,
    conjugate=True,
    shape=_shape,
    batch=_batch,
    cost="contraction",
)


def _conv(x: Any, y: Any, rank: int, mode: str, method: str) -> Any:
    """Over the last `rank` axes; those before are rows, which broadcast. For "valid", x is larger.

    The method is scipy's: "direct", "fft", or "auto", which chooses by sizes.
    """
    return bind(convolve_p, (x, y), {"rank": rank, "mode": mode, "method": method})


def _in_mode(x: Any, y: Any, rank: int, mode: str, method: str, operation: str) -> Any:
    """`_conv` in any mode of scipy, with its checks."""
    if mode not in _MODES:
        raise ValueError(f"{operation}: mode is one of {', '.join(_MODES)}, not {mode!r}")
    if method not in ("auto", "direct", "fft"):
        raise ValueError(f"{operation}: method is 'auto', 'direct' or 'fft', not {method!r}")
    inner = shape_of(x)[-rank:], shape_of(y)[-rank:]
    if any(type(n) is int and n == 0 for n in (*inner[0], *inner[1])):
        raise ShapeError(f"{operation}: an empty operand, shapes {shape_of(x)} and {shape_of(y)}")
    if mode == "valid":
        if not all(n >= m for n, m in zip(*inner)):
            if not all(n <= m for n, m in zip(*inner)):
                raise ShapeError(
                    f"{operation}: mode 'valid' needs one operand at least as large as the other"
                    f" in every axis, not {shape_of(x)} and {shape_of(y)}"
                )
            x, y = y, x
        return _conv(x, y, rank, mode, method)
    full = _conv(x, y, rank, "full", method)
    return full if mode == "full" else _part(full, inner[0], [(m - 1) // 2 for m in inner[1]])


def _part(x: Any, shape: Sequence[Any], starts: Sequence[Any]) -> Any:
    """The entries of the last axes from `starts` on, of the given sizes."""
    return x[(..., *[slice(s, s + n) for s, n in zip(starts, shape)])]


def _same_rank(x: Any, y: Any, operation: str) -> tuple[Any, Any, int]:
    x, y = array(x), array(y)
    if len(shape_of(x)) != len(shape_of(y)):
        raise ShapeError(
            f"{operation}: operands of different ranks, {shape_of(x)} and {shape_of(y)}"
        )
    return x, y, len(shape_of(x))


def _mirrored(y: Any) -> Any:
    """What to convolve with to correlate with `y`."""
    return np.flip(np.conj(y) if dtype_of(y).kind == "c" else y)


@stands_for(scipy.signal.convolve)
def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """The convolution of two arrays of one rank; the arguments are scipy's.

    >>> convolve(np.arange(3.0), np.ones(2), mode="valid")
    array([1., 3.])
    """
    if not boxed(in1, in2):
        return scipy.signal.convolve(in1, in2, mode, method)
    x, y, rank = _same_rank(in1, in2, "convolve")
    return _in_mode(x, y, rank, mode, method, "convolve") if rank else x * y


@stands_for(scipy.signal.correlate)
def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
    """The correlation of two arrays of one rank, `in2` conjugated; the arguments are scipy's.

    >>> correlate(np.arange(3.0), np.array([0.0, 1.0]), mode="valid")
    array([1., 2.])
    """
    if not boxed(in1, in2):
        return scipy.signal.correlate(in1, in2, mode, method)
    x, y, rank = _same_rank(in1, in2, "correlate")
    y = _mirrored(y)
    return _in_mode(x, y, rank, mode, method, "correlate") if rank else x * y


@stands_for(scipy.signal.fftconvolve)
def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """The convolution over `axes` by way of Fourier transforms; the arguments are scipy's.

    >>> np.round(fftconvolve(np.arange(3.0), np.ones(2), mode="same"), 12)
    array([0., 1., 3.])
    """
    if not boxed(in1, in2):
        return scipy.signal.fftconvolve(in1, in2, mode, axes)
    x, y, rank = _same_rank(in1, in2, "fftconvolve")
    if not rank:
        return x * y
    where = axes_of(axes, rank, "fftconvolve")
    if not where:
        raise ValueError("fftconvolve: axes cannot be empty")
    last = tuple(range(-len(where), 0))
    x, y = np.moveaxis(x, where, last), np.moveaxis(y, where, last)
    return np.moveaxis(_in_mode(x, y, len(where), mode, "fft", "fftconvolve"), last, where)


@stands_for(scipy.signal.oaconvolve)
def oaconvolve(in1: Any, in2: Any, mode: str = "full", axes: Any = None) -> Any:
    """As `fftconvolve`; scipy goes over the longer operand in parts, with the same result.

    >>> np.round(oaconvolve(np.arange(3.0), np.ones(2), mode="same"), 12)
    array([0., 1., 3.])
    """
    if not boxed(in1, in2):
        return scipy.signal.oaconvolve(in1, in2, mode, axes)
    return fftconvolve(in1, in2, mode, axes)


_EXTENSIONS: dict[str, Any] = {
    "wrap": "wrap",
    "circular": "wrap",
    "symm": "symmetric",
    "symmetric": "symmetric",
}


@stands_for(scipy.signal.convolve2d)
def convolve2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Any:
    """The convolution of two matrices, `in1` extended at its boundary; the arguments are scipy's.

    >>> convolve2d(np.ones((2, 2)), np.ones((1, 2)), mode="same", boundary="wrap")
    array([[2., 2.],
           [2., 2.]])
    """
    if not boxed(in1, in2, fillvalue):
        return scipy.signal.convolve2d(in1, in2, mode, boundary, fillvalue)
    x, y, _ = _same_rank(in1, in2, "convolve2d")
    return _extended(x, y, mode, boundary, fillvalue, 1, "convolve2d")


@stands_for(scipy.signal.correlate2d)
def correlate2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Any:
    """The correlation of two matrices, `in1` extended at its boundary; the arguments are scipy's.

    >>> correlate2d(np.eye(2), np.eye(2), mode="valid")
    array([[2.]])
    """
    if not boxed(in1, in2, fillvalue):
        return scipy.signal.correlate2d(in1, in2, mode, boundary, fillvalue)
    x, y, _ = _same_rank(in1, in2, "correlate2d")
    return _extended(x, _mirrored(y), mode, boundary, fillvalue, 0, "correlate2d")


def _extended(
    x: Any, y: Any, mode: str, boundary: str, fill: Any, back: int, operation: str
) -> Any:
    """The result for `x` extended; `back` is where scipy puts the middle of an even size."""
    if mode not in _MODES:
        raise ValueError(f"{operation}: mode is one of {', '.join(_MODES)}, not {mode!r}")
    if len(shape_of(x)) != 2:
        raise ShapeError(f"{operation}: operands are matrices, not of shape {shape_of(x)}")
    if boundary not in ("fill", "pad", *_EXTENSIONS):
        raise ValueError(f"{operation}: boundary is 'fill', 'wrap' or 'symm', not {boundary!r}")
    if mode == "valid":
        return _in_mode(x, y, 2, mode, "direct", operation)
    shape, taps = shape_of(x), shape_of(y)
    width = [(m - 1, m - 1) for m in taps]
    if boundary in _EXTENSIONS:
        full = _conv(np.pad(x, width, mode=_EXTENSIONS[boundary]), y, 2, "valid", "direct")
    elif not boxed(fill) and np.all(fill == 0):
        full = _in_mode(x, y, 2, "full", "direct", operation)
    else:
        full = _conv(np.pad(x, width, constant_values=fill), y, 2, "valid", "direct")
    return full if mode == "full" else _part(full, shape, [(m - back) // 2 for m in taps])


# -- filters ---------------------------------------------------------------------------------------
@stands_for(scipy.signal.lfilter)
def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """The response of a rational filter, differentiable in all of `b a x zi`.

    The arguments and results are scipy's: `y`, or `(y, zf)` where `zi` is given.

    >>> lfilter([1.0], [1.0, -0.5], np.ones(3))
    array([1.  , 1.5 , 1.75])
    """
    if not boxed(b, a, x, zi):
        return scipy.signal.lfilter(b, a, x, axis, zi)
    b, a, x = np.atleast_1d(array(b)), np.atleast_1d(array(a)), array(x)
    if len(shape_of(b)) != 1 or len(shape_of(a)) != 1:
        raise ShapeError(f"lfilter: b and a are vectors, not {shape_of(b)} and {shape_of(a)}")
    axis = axis_of(axis, len(shape_of(x)), "lfilter")
    x = np.moveaxis(x, axis, -1)
    b, a = b / a[0], a / a[0]
    length, states = shape_of(x)[-1], max(len(b), len(a)) - 1
    if zi is None:
        return np.moveaxis(_response(b, a, x), -1, axis)
    zi = np.moveaxis(array(zi), axis, -1)
    if shape_of(zi)[-1:] != (states,):
        raise ShapeError(f"lfilter: zi has {shape_of(zi)[-1]} states, the filter {states}")
    # An initial state adds to the first inputs of the recurrence; the final one is what the
    # response to a silence would start with.
    rows = [(0, 0)] * (len(shape_of(x)) - 1)
    start = np.pad(zi, [*[(0, 0)] * (len(shape_of(zi)) - 1), (0, length)])
    y = _response(b, a, np.pad(x, [*rows, (0, states)]), start)
    zf = _finite(a, y[..., length:])
    return np.moveaxis(y[..., :length], -1, axis), np.moveaxis(zf, -1, axis)


def _finite(b: Any, x: Any) -> Any:
    n = shape_of(x)[-1]
    return _conv(x, b, 1, "full", "direct")[..., :n] if n else x


def _response(b: Any, a: Any, x: Any, start: Any = 0) -> Any:
    u = _finite(b, x) + start
    return bind(all_pole, (a[1:], u), {}) if len(a) > 1 else u


@stands_for(scipy.signal.detrend)
def detrend(
    data: Any,
    axis: int = -1,
    type: str = "linear",
    bp: Any = 0,
    overwrite_data: bool = False,
) -> Any:
    """`data` without its mean or its piecewise linear trend; the arguments are scipy's.

    >>> np.abs(detrend(np.arange(4.0))) < 1e-12
    array([ True,  True,  True,  True])
    """
    if not boxed(data):
        return scipy.signal.detrend(data, axis, type, bp, overwrite_data)
    if type not in ("linear", "l", "constant", "c"):
        raise ValueError(f"detrend: type is 'linear' or 'constant', not {type!r}")
    if type in ("constant", "c"):
        return data - np.mean(data, axis, keepdims=True)
    axis = axis_of(axis, len(shape_of(data)), "detrend")
    x = np.moveaxis(data, axis, -1)
    n = shape_of(x)[-1]
    breaks = sorted({0, n, *np.atleast_1d(bp).tolist()})
    if breaks[-1] > n:
        raise ValueError(f"detrend: a breakpoint is beyond the {n} entries of axis {axis}")
    parts = []
    for start, stop in itertools.pairwise(breaks):
        # What a least-squares line leaves: a projection, which depends on the length alone.
        n = stop - start
        line = np.stack([np.ones(n), np.arange(1, n + 1) / n], 1)
        basis = np.linalg.qr(line)[0].astype(dtype_of(data))
        part = x[..., start:stop]
        parts.append(part - (part @ basis) @ basis.T)
    return np.moveaxis(np.concatenate(parts, -1), -1, axis)


@stands_for(scipy.signal.hilbert)
def hilbert(x: Any, N: int | None = None, axis: int = -1) -> Any:
    """The analytic signal of a real `x`; the arguments are scipy's.

    >>> np.abs(hilbert(np.cos(np.arange(4.0) * np.pi / 2))).round(12)
    array([1., 1., 1., 1.])
    """
    if not boxed(x):
        return scipy.signal.hilbert(x, N, axis)
    if dtype_of(x).kind == "c":
        raise ValueError("hilbert: x must be real")
    n = shape_of(x)[axis] if N is None else N
    if n <= 0:
        raise ValueError("hilbert: N must be positive")
    weight = np.zeros(n, dtype_of(x))
    weight[0] = 1
    weight[1 : (n + 1) // 2] = 2
    if n % 2 == 0:
        weight[n // 2] = 1
    shape = [1] * len(shape_of(x))
    shape[axis] = n
    return np.fft.ifft(np.fft.fft(x, n, axis=axis) * weight.reshape(shape), axis=axis)


__all__ = [
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "detrend",
    "fftconvolve",
    "hilbert",
    "lfilter",
    "oaconvolve",
]
