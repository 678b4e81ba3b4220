"""Products, linear algebra, Fourier transforms and convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pycograd_tf.dtypes import cast, numpy_dtype, tf_dtype
from pycograd_tf.lowerings.common import (
    Lowering,
    common,
    floating,
    moved,
    refused,
    shape,
    spread,
    tensors,
    together,
)

linalg = tf.linalg


# -- products --------------------------------------------------------------------------------------
def _of_products(function: Lowering) -> Lowering:
    """`function` of tensors of one dtype in which TensorFlow has products."""

    def run(*xs: Any, **params: Any) -> Any:
        xs = tuple(common(*xs))
        dtype = xs[0].dtype
        if dtype.is_floating or dtype.is_complex or dtype in (tf.int32, tf.int64):
            return function(*xs, **params)
        found = function(*[tf.cast(x, tf.int64) for x in xs], **params)
        return tf.cast(found, dtype)

    return run


def _matmul(x: Any, y: Any) -> Any:
    if x.shape.rank > 1 and y.shape.rank == 2:
        *rows, n = shape(x)
        if x.shape.rank == 2:
            return linalg.matmul(x, y)
        flat = linalg.matmul(tf.reshape(x, [math.prod(rows), n]), y)
        return tf.reshape(flat, [*rows, y.shape[1]])
    left, right = x.shape.rank == 1, y.shape.rank == 1
    out = linalg.matmul(x[None] if left else x, y[:, None] if right else y)
    return tf.squeeze(out, [-2] * left + [-1] * right) if left or right else out


def _einsum(*xs: Any, spec: str, optimize: Any) -> Any:
    inputs, _ = spec.split("->")
    sizes: dict[str, int] = {}
    for labels, x in zip(inputs.split(","), xs):
        for label, n in zip(labels, shape(x)):
            sizes[label] = max(n, sizes.get(label, 1)) if n else 0
    full = [
        spread(x, [sizes[label] for label in labels]) for labels, x in zip(inputs.split(","), xs)
    ]
    return tf.einsum(spec, *full)


def _windows(x: Any, axis: int, size: int) -> Any:
    """The windows of a size along an axis; their entries are the last axis."""
    count = x.shape[axis] - size + 1
    at = np.arange(count)[:, None] + np.arange(size)
    return moved(tf.gather(x, at, axis=axis), axis + 1, -1)


def _convolve(x: Any, y: Any, start: int, length: int) -> Any:
    """`length` entries of the full convolution along the last axis, from `start` on."""
    rows = np.broadcast_shapes(shape(x)[:-1], shape(y)[:-1])
    if y.shape[-1] > x.shape[-1]:
        x, y = y, x
    n, m = x.shape[-1], y.shape[-1]
    # Entries of the full convolution that are asked for, and what is 0 beside them.
    first, last = min(max(start, 0), n + m - 1), max(min(start + length, n + m - 1), 0)
    if not m or last <= first:
        return tf.zeros([*rows, length], x.dtype)
    border = [[0, 0]] * (x.shape.rank - 1)
    windows = _windows(
        tf.pad(x, [*border, [m - 1, m - 1]])[..., first : last + m - 1], -1 % x.shape.rank, m
    )
    found = tf.reduce_sum(windows * tf.reverse(y, [-1])[..., None, :], -1)
    border = [[0, 0]] * (found.shape.rank - 1)
    before = first - start if start < first else 0
    return tf.pad(found, [*border, [before, length - before - (last - first)]])


def _convolve_nd(x: Any, y: Any, rank: int, mode: str, method: str) -> Any:
    """Over the last `rank` axes, the axes in front of them broadcasting."""
    sizes = shape(y)[-rank:]
    first = x.shape.rank - rank
    if mode == "full":
        x = tf.pad(x, [*[[0, 0]] * first, *[[n - 1, n - 1] for n in sizes]])
    for i, n in enumerate(sizes):
        x = _windows(x, first + i, n)
    y = tf.reverse(y, list(range(y.shape.rank - rank, y.shape.rank)))
    y = tf.reshape(y, [*shape(y)[:-rank], *[1] * rank, *sizes])
    return tf.reduce_sum(x * y, list(range(-rank, 0)))


def _sparse_matmul(data: Any, x: Any, pattern: Any) -> Any:
    """The matrix whose entries `data` stand in the places of `pattern`, times `x`."""
    data, x = common(data, x)
    rows, columns = (np.asarray(p, np.int64) for p in pattern.places())
    weights = tf.reshape(data, [-1, *[1] * (x.shape.rank - 1)])
    return tf.math.unsorted_segment_sum(weights * tf.gather(x, columns), rows, pattern.shape[0])


# -- factorizations --------------------------------------------------------------------------------
def _of_matrices(function: Lowering) -> Lowering:
    """`function` of a stack of matrices, floats of a dtype in which TensorFlow factorizes."""

    def run(a: Any, **params: Any) -> Any:
        a = floating(a)
        return function(a if a.dtype.size >= 4 else tf.cast(a, tf.float32), **params)

    return run


def _cholesky(a: Any, upper: bool) -> Any:
    lower = linalg.cholesky(linalg.adjoint(a) if upper else a)
    return linalg.adjoint(lower) if upper else lower


def _eigh(a: Any, uplo: str) -> tuple[Any, Any]:
    values, vectors = linalg.eigh(linalg.adjoint(a) if uplo == "U" else a)
    return tf.math.real(values), vectors


def _eigvalsh(a: Any, uplo: str) -> Any:
    return tf.math.real(linalg.eigvalsh(linalg.adjoint(a) if uplo == "U" else a))


def _svd(a: Any, full_matrices: bool = True) -> tuple[Any, Any, Any]:
    s, u, v = linalg.svd(a, full_matrices=full_matrices)
    return u, s, linalg.adjoint(v)


def _lu(a: Any) -> tuple[Any, Any, Any]:
    """The order of the rows, the lower factor, the upper one."""
    if a.shape[-2] != a.shape[-1]:
        raise refused("lu", "TensorFlow factorizes square matrices alone")
    packed, order = linalg.lu(a)
    low = linalg.set_diag(linalg.band_part(packed, -1, 0), tf.ones(shape(a)[:-1], a.dtype))
    return tf.cast(order, tf.int64), low, linalg.band_part(packed, 0, -1)


def _slogdet(a: Any) -> tuple[Any, Any]:
    sign, logarithm = linalg.slogdet(a)
    return sign, tf.math.real(logarithm)


def _small_part(a: Any) -> tuple[Any, Any]:
    """The singular vectors of small singular values, those on the left times the largest one."""
    eps = float(np.finfo(numpy_dtype(a.dtype)).eps)
    u, s, vh = _svd(a)
    largest = s[..., :1]
    small = cast(s <= eps**0.3 * largest, a.dtype)
    scale = cast(tf.where(tf.equal(largest, 0), tf.ones_like(largest), largest), a.dtype) * small
    return u * scale[..., None, :], linalg.adjoint(vh) * small[..., None, :]


def _solve(a: Any, b: Any) -> Any:
    a, b = together(a, b)
    dtype = a.dtype
    if dtype.size < 4:
        a, b = tf.cast(a, tf.float32), tf.cast(b, tf.float32)
    rows = np.broadcast_shapes(shape(a)[:-2], shape(b)[:-2])
    found = linalg.solve(spread(a, [*rows, *shape(a)[-2:]]), spread(b, [*rows, *shape(b)[-2:]]))
    return tf.cast(found, dtype)


def _pinv(a: Any, rtol: Any, hermitian: bool) -> Any:
    a = floating(a)
    if hermitian:  # of which NumPy reads the lower triangle
        lower = linalg.set_diag(linalg.band_part(a, -1, 0), tf.zeros_like(linalg.diag_part(a)))
        real = cast(tf.math.real(linalg.diag_part(a)), a.dtype)
        a = lower + linalg.adjoint(lower) + linalg.diag(real)
    u, s, vh = _svd(a, full_matrices=False)
    (rtol,) = tensors(rtol)
    cutoff = cast(rtol, s.dtype)[..., None] * tf.reduce_max(s, -1, keepdims=True)
    large = s > cutoff
    zero, one = tf.zeros((), s.dtype), tf.ones((), s.dtype)
    inverse = tf.where(large, one / tf.where(large, s, one), zero)
    return linalg.matmul(
        linalg.adjoint(vh) * cast(inverse, a.dtype)[..., None, :], linalg.adjoint(u)
    )


# -- Fourier transforms ----------------------------------------------------------------------------
def _complex_of(dtype: Any) -> Any:
    return tf_dtype(np.result_type(numpy_dtype(dtype), np.complex64))


def _scale(n: int, inverse: bool, norm: Any) -> float:
    """The factor that a norm has beside TensorFlow's, which divides the inverse by n."""
    by = {"ortho": -0.5, "forward": 0.0 if inverse else -1.0}.get(norm, -1.0 if inverse else 0.0)
    return float(n ** (by + inverse))


def _times(x: Any, factor: float) -> Any:
    return x if factor == 1.0 else x * tf.constant(factor, x.dtype)


def _spectral(x: Any) -> Any:
    """In a dtype that TensorFlow transforms: single precision of halves."""
    x = floating(x)
    return tf.cast(x, tf.float32) if x.dtype.size < 4 else x


def _fft(x: Any, axes: Sequence[int], inverse: bool, norm: Any) -> Any:
    x = _spectral(x)
    x = x if x.dtype.is_complex else cast(x, _complex_of(x.dtype))
    for axis in axes:
        n = x.shape[axis]
        x = (tf.signal.ifft if inverse else tf.signal.fft)(moved(x, axis, -1))
        x = _times(moved(x, -1, axis), _scale(n, inverse, norm))
    return x


def _weighted(x: Any, axis: int, n: int, weight: float) -> Any:
    """Of a half spectrum, the frequencies that have a conjugate times `weight`."""
    factors = np.ones(x.shape[axis])
    factors[1 : (n + 1) // 2] = weight
    return x * tf.constant(factors.reshape([-1, *[1] * (x.shape.rank - axis - 1)]), x.dtype)


def _rfft(x: Any, axis: int, n: int, norm: Any, folded: bool) -> Any:
    x = _spectral(x)
    x = tf.math.real(x) if x.dtype.is_complex else x
    half = tf.signal.rfft(moved(x, axis, -1), [n])
    half = _times(moved(half, -1, axis), _scale(n, False, norm))
    return _weighted(half, axis, n, 2.0) if folded else half


def _irfft(x: Any, axis: int, n: int, norm: Any, folded: bool) -> Any:
    x = _spectral(x)
    x = x if x.dtype.is_complex else cast(x, _complex_of(x.dtype))
    x = x if folded else _weighted(x, axis, n, 0.5)
    out = tf.signal.irfft(moved(x, axis, -1), [n])
    return _times(moved(out, -1, axis), _scale(n, True, norm))


TABLE: dict[str, Lowering] = {
    "matmul": _of_products(_matmul),
    "einsum": _of_products(_einsum),
    "convolve": lambda x, y, **params: _convolve(*common(x, y), **params),
    "convolve_nd": lambda x, y, **params: _convolve_nd(*common(x, y), **params),
    "sparse_matmul": _sparse_matmul,
    "det": _of_matrices(linalg.det),
    "slogdet": _of_matrices(_slogdet),
    "small_part": _of_matrices(_small_part),
    "inv": _of_matrices(linalg.inv),
    "solve": _solve,
    "pinv": _pinv,
    "cholesky": _of_matrices(_cholesky),
    "qr": _of_matrices(lambda a, mode: tuple(linalg.qr(a, full_matrices=mode == "complete"))),
    "svd": _of_matrices(_svd),
    "svdvals": _of_matrices(lambda a: linalg.svd(a, compute_uv=False)),
    "eigh": _of_matrices(_eigh),
    "eigvalsh": _of_matrices(_eigvalsh),
    "eig": _of_matrices(lambda a, settled: tuple(linalg.eig(a))),
    "eigvals": _of_matrices(lambda a, settled: linalg.eigvals(a)),
    "lu": _of_matrices(_lu),
    "expm": _of_matrices(linalg.expm),
    "fft": _fft,
    "rfft": _rfft,
    "irfft": _irfft,
}
