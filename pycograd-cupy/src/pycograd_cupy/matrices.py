"""Linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd_cupy.dtypes import inexact, together
from pycograd_cupy.elementwise import Table


def table(cp: Any, cps: Any) -> Table:
    """Primitive name -> its spelling."""
    linalg = cp.linalg

    def adjoint(a: Any) -> Any:
        return cp.conjugate(cp.swapaxes(a, -1, -2))

    def cholesky(a: Any, upper: bool) -> Any:
        a = inexact(cp, a)
        lower = linalg.cholesky(of_triangle(adjoint(a) if upper else a))
        return adjoint(lower) if upper else lower

    def of_triangle(a: Any, upper: bool = False) -> Any:
        """The Hermitian matrices of which NumPy reads one triangle."""
        part = cp.triu(a, 1) if upper else cp.tril(a, -1)
        middle = cp.diagonal(a, 0, -2, -1).real[..., None] * cp.eye(a.shape[-1], dtype=a.real.dtype)
        return part + adjoint(part) + middle

    def eigh(a: Any, uplo: str) -> tuple[Any, Any]:
        w, v = linalg.eigh(of_triangle(inexact(cp, a), uplo == "U"))
        return w, v

    def small_part(a: Any) -> tuple[Any, Any]:
        """As `pycograd.ops.linalg_det` has it."""
        nothing = cp.zeros_like(a)
        if not bool(cp.isfinite(a).all()):
            return nothing, nothing
        eps = float(np.finfo(a.dtype).eps)
        u, s, vh = linalg.svd(a)
        largest = s[..., :1]
        small = s <= eps**0.3 * largest
        scale = cp.where(largest == 0, cp.ones_like(largest), largest) * small
        return u * scale[..., None, :], adjoint(vh) * small[..., None, :]

    def pinv(a: Any, rtol: Any, hermitian: bool) -> Any:
        a = inexact(cp, a)
        a = of_triangle(a) if hermitian else a
        u, s, vh = linalg.svd(a, full_matrices=False)
        large = s > cp.asarray(rtol)[..., None] * s[..., :1]
        one = cp.ones_like(s)
        inverse = cp.where(large, one / cp.where(large, s, one), cp.zeros_like(s))
        return cp.matmul(adjoint(vh) * inverse[..., None, :], adjoint(u))

    def solve(a: Any, b: Any) -> Any:
        a, b = together(cp, inexact(cp, a), inexact(cp, b))
        rows = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a = cp.broadcast_to(a, (*rows, *a.shape[-2:]))
        return linalg.solve(a, cp.broadcast_to(b, (*rows, *b.shape[-2:])))

    found: Table = {
        "det": lambda a: linalg.det(inexact(cp, a)),
        "slogdet": lambda a: tuple(linalg.slogdet(inexact(cp, a))),
        "small_part": small_part,
        "inv": lambda a: linalg.inv(inexact(cp, a)),
        "solve": solve,
        "pinv": pinv,
        "cholesky": cholesky,
        "qr": lambda a, mode: tuple(linalg.qr(inexact(cp, a), mode)),
        "svd": lambda a, full_matrices: tuple(linalg.svd(inexact(cp, a), full_matrices)),
        "svdvals": lambda a: linalg.svd(inexact(cp, a), compute_uv=False),
        "eigh": eigh,
        "eigvalsh": lambda a, uplo: linalg.eigvalsh(of_triangle(inexact(cp, a), uplo == "U")),
    }
    if hasattr(linalg, "eig"):  # of CUDA 12.6 on
        found["eig"] = lambda a, settled=None: tuple(map(_complex, linalg.eig(inexact(cp, a))))
        found["eigvals"] = lambda a, settled=None: _complex(linalg.eigvals(inexact(cp, a)))
    return found


def _complex(x: Any) -> Any:
    return x.astype(np.result_type(x.dtype, np.complex64))
