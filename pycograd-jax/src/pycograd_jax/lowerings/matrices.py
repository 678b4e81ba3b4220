"""Linear algebra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pycograd_jax.lowerings.dtypes import inexact, together


def _adjoint(a: Any) -> Any:
    return jnp.conj(jnp.swapaxes(a, -1, -2))


def _cholesky(a: Any, upper: bool) -> Any:
    a = inexact(a)
    lower = jax.lax.linalg.cholesky(_adjoint(a) if upper else a, symmetrize_input=False)
    return _adjoint(lower) if upper else lower


def _eigh(a: Any, uplo: str) -> tuple[Any, Any]:
    w, v = jnp.linalg.eigh(inexact(a), uplo, symmetrize_input=False)
    return w, v


def _eig(a: Any, settled: bool) -> tuple[Any, Any]:
    w, v = jnp.linalg.eig(inexact(a))
    return w, v


def _small_part(a: Any) -> tuple[Any, Any]:
    """As `pycograd.ops.linalg_det` has it, without asking for the data."""
    eps = float(np.finfo(np.dtype(a.dtype)).eps)
    finite = jnp.all(jnp.isfinite(a))
    u, s, vh = jnp.linalg.svd(jnp.where(finite, a, jnp.eye(a.shape[-1], dtype=a.dtype)))
    largest = s[..., :1]
    small = (s <= eps**0.3 * largest).astype(a.dtype)
    scale = jnp.where(largest == 0, 1, largest).astype(a.dtype) * small
    left, right = u * scale[..., None, :], _adjoint(vh) * small[..., None, :]
    return jnp.where(finite, left, 0), jnp.where(finite, right, 0)


def _pinv(a: Any, rtol: Any, hermitian: bool) -> Any:
    a = inexact(a)
    if hermitian:  # of which NumPy reads the lower triangle
        lower = jnp.tril(a, -1)
        real = jnp.real(jnp.diagonal(a, 0, -2, -1))[..., None] * jnp.eye(a.shape[-1])
        a = (lower + _adjoint(lower) + real).astype(a.dtype)
    u, s, vh = jnp.linalg.svd(a, full_matrices=False)
    cutoff = jnp.asarray(rtol)[..., None] * jnp.max(s, axis=-1, keepdims=True, initial=0)
    large = s > cutoff
    inverse = jnp.where(large, 1 / jnp.where(large, s, 1), 0).astype(a.dtype)
    return jnp.matmul(
        _adjoint(vh) * inverse[..., None, :], _adjoint(u), precision=jax.lax.Precision.HIGHEST
    )


def _solve(a: Any, b: Any) -> Any:
    a, b = together(inexact(a), inexact(b))
    rows = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = jnp.broadcast_to(a, (*rows, *a.shape[-2:]))
    return jnp.linalg.solve(a, jnp.broadcast_to(b, (*rows, *b.shape[-2:])))


TABLE: dict[str, Callable[..., Any]] = {
    "det": lambda a: jnp.linalg.det(inexact(a)),
    "slogdet": lambda a: tuple(jnp.linalg.slogdet(inexact(a))),
    "small_part": _small_part,
    "inv": lambda a: jnp.linalg.inv(inexact(a)),
    "solve": _solve,
    "pinv": _pinv,
    "cholesky": _cholesky,
    "qr": lambda a, mode: tuple(jnp.linalg.qr(inexact(a), mode)),
    "svd": lambda a, full_matrices: tuple(jnp.linalg.svd(inexact(a), full_matrices)),
    "svdvals": lambda a: jnp.linalg.svd(inexact(a), compute_uv=False),
    "eigh": _eigh,
    "eigvalsh": lambda a, uplo: _eigh(a, uplo)[0],
    "eig": _eig,
    "eigvals": lambda a, settled: jnp.linalg.eigvals(inexact(a)),
}
