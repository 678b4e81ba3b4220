"""Products, linear algebra, Fourier transforms and convolutions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from pycograd_torch.lowerings.common import Lowering, common, floating, of_floats, together

linalg = torch.linalg


# -- products --------------------------------------------------------------------------------------
def _matmul(x: Any, y: Any) -> Any:
    if x.dtype is not y.dtype:
        x, y = common(x, y)
    if x.dtype is torch.bool:
        return torch.matmul(x.to(torch.int64), y.to(torch.int64)) != 0
    return torch.matmul(x, y)


def _einsum(*operands: Any, spec: str, optimize: Any) -> Any:
    xs = common(*operands)
    if xs[0].dtype is torch.bool:
        return torch.einsum(spec, *[x.to(torch.int64) for x in xs]) != 0
    return torch.einsum(spec, *xs)


def _convolve(x: Any, y: Any, start: int, length: int) -> Any:
    """`length` entries of the full convolution along the last axis, from `start` on."""
    x, y = common(x, y)
    if y.shape[-1] > x.shape[-1]:
        x, y = y, x
    n, m = x.shape[-1], y.shape[-1]
    windows = F.pad(x, (m - 1, m - 1)).unfold(-1, m, 1)
    full = (windows * y.flip(-1).unsqueeze(-2)).sum(-1, dtype=x.dtype)
    return F.pad(full, (-start, start + length - (n + m - 1)))


def _convolve_nd(x: Any, y: Any, rank: int, mode: str, method: str) -> Any:
    """Over the last `rank` axes, the axes in front of them broadcasting."""
    x, y = common(x, y)
    sizes = y.shape[-rank:]
    if mode == "full":
        x = F.pad(x, [n - 1 for n in reversed(sizes) for _ in range(2)])
    first = x.ndim - rank
    for i in range(rank):
        x = x.unfold(first + i, sizes[i], 1)
    y = y.flip(tuple(range(y.ndim - rank, y.ndim)))
    y = y.reshape(*y.shape[: y.ndim - rank], *[1] * rank, *sizes)
    return (x * y).sum(tuple(range(-rank, 0)), dtype=x.dtype)


def _sparse_matmul(data: Any, x: Any, pattern: Any) -> Any:
    """The matrix whose entries `data` stand in the places of `pattern`, times `x`."""
    data, x = common(data, x)
    rows, columns = (torch.as_tensor(p, device=x.device).long() for p in pattern.places())
    weights = data.reshape(-1, *[1] * (x.ndim - 1))
    made = x.new_zeros((pattern.shape[0], *x.shape[1:]))
    return made.index_add(0, rows, weights * x[columns])


# -- factorizations --------------------------------------------------------------------------------
def _of_triangle(a: Any, upper: bool) -> Any:
    """The Hermitian matrix of which one triangle is given: its derivative is that of NumPy's."""
    part = torch.triu(a, 1) if upper else torch.tril(a, -1)
    diagonal = torch.diagonal(a, 0, -2, -1)
    if a.is_complex():
        diagonal = diagonal.real.to(a.dtype)
    return part + part.mH + torch.diag_embed(diagonal)


def _cholesky(a: Any, upper: bool) -> Any:
    return linalg.cholesky(_of_triangle(floating(a), upper), upper=upper)


def _eigh(a: Any, uplo: str) -> tuple[Any, Any]:
    values, vectors = linalg.eigh(floating(a), UPLO=uplo)
    return values, vectors


def _svd(a: Any, full_matrices: bool) -> tuple[Any, Any, Any]:
    u, s, vh = linalg.svd(floating(a), full_matrices=full_matrices)
    return u, s, vh


def _qr(a: Any, mode: str) -> tuple[Any, Any]:
    q, r = linalg.qr(floating(a), mode=mode)
    return q, r


def _lu(a: Any) -> tuple[Any, Any, Any]:
    """The order of the rows, the lower factor, the upper one."""
    p, low, up = linalg.lu(floating(a))
    return torch.argmax(p.real if p.is_complex() else p, -2), low, up


def _slogdet(a: Any) -> tuple[Any, Any]:
    sign, logarithm = linalg.slogdet(floating(a))
    return sign, logarithm


def _small_part(a: Any) -> tuple[Any, Any]:
    """The singular vectors of small singular values, those on the left times the largest one."""
    eps = torch.finfo(a.dtype).eps
    u, s, vh = linalg.svd(a)
    largest = s[..., :1]
    small = s <= eps**0.3 * largest
    scale = torch.where(largest == 0, 1, largest) * small
    return u * scale[..., None, :], vh.mH * small[..., None, :]


def _solve(a: Any, b: Any) -> Any:
    a, b = together(a, b)
    # With as many axes as a: fewer may be taken for a stack of vectors.
    return linalg.solve(a, b.reshape((1,) * (a.ndim - b.ndim) + tuple(b.shape)))


def _pinv(a: Any, rtol: Any, hermitian: bool) -> Any:
    a = floating(a)
    if isinstance(rtol, torch.Tensor):
        real = rtol.real if rtol.is_complex() else rtol
        rtol = real.to(device=a.device, dtype=a.real.dtype)
    return linalg.pinv(a, rtol=rtol, hermitian=hermitian)


# -- Fourier transforms ----------------------------------------------------------------------------
def _transformable(x: Any) -> Any:
    """A tensor in a dtype of which torch has transforms: of no half precision."""
    x = floating(x)
    return x.to(torch.float32) if x.is_floating_point() and x.dtype.itemsize < 4 else x


def _fft(x: Any, axes: Any, inverse: bool, norm: str) -> Any:
    x = _transformable(x)
    return (torch.fft.ifftn if inverse else torch.fft.fftn)(x, dim=axes, norm=norm)


def _weighted(x: Any, axis: int, n: int, weight: float) -> Any:
    """Of a half spectrum, the frequencies that have a conjugate times `weight`."""
    factors = torch.ones(x.shape[axis], dtype=x.real.dtype, device=x.device)
    factors[1 : (n + 1) // 2] = weight
    return x * factors.reshape((-1,) + (1,) * (x.ndim - axis - 1))


def _rfft(x: Any, axis: int, n: int, norm: str, folded: bool) -> Any:
    x = _transformable(x)
    x = x.real if x.is_complex() else x  # converted to the dtype of the result
    half = torch.fft.rfft(x, n, axis, norm)
    return _weighted(half, axis, n, 2.0) if folded else half


def _irfft(x: Any, axis: int, n: int, norm: str, folded: bool) -> Any:
    x = _transformable(x)
    x = x if x.is_complex() else x.to(torch.promote_types(x.dtype, torch.complex64))
    if not folded:
        x = _weighted(x, axis, n, 0.5)
    # The imaginary parts of the frequencies that have no conjugate do not count.
    ends = torch.zeros(x.shape[axis], dtype=torch.bool, device=x.device)
    ends[0] = True
    if n % 2 == 0 and n // 2 < x.shape[axis]:
        ends[n // 2] = True
    ends = ends.reshape((-1,) + (1,) * (x.ndim - axis - 1))
    return torch.fft.irfft(torch.where(ends, x.real.to(x.dtype), x), n, axis, norm)


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {
        "matmul": _matmul,
        "einsum": _einsum,
        "convolve": _convolve,
        "convolve_nd": _convolve_nd,
        "sparse_matmul": _sparse_matmul,
        "det": of_floats(linalg.det),
        "slogdet": _slogdet,
        "small_part": _small_part,
        "eigh": _eigh,
        "eigvalsh": lambda a, uplo: linalg.eigvalsh(floating(a), UPLO=uplo),
        "eig": lambda a, settled: tuple(linalg.eig(floating(a))),
        "eigvals": lambda a, settled: linalg.eigvals(floating(a)),
        "cholesky": _cholesky,
        "qr": _qr,
        "lu": _lu,
        "svd": _svd,
        "svdvals": of_floats(linalg.svdvals),
        "expm": of_floats(linalg.matrix_exp),
        "inv": of_floats(linalg.inv),
        "solve": _solve,
        "pinv": _pinv,
        "fft": _fft,
        "rfft": _rfft,
        "irfft": _irfft,
    }
