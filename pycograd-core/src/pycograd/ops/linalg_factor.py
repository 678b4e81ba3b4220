"""Factorizations: `cholesky`, `qr`, `svd`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, make_aval
from pycograd.core.differential import Differential
from pycograd.core.dims import Dim
from pycograd.core.errors import UnsupportedOperationError
from pycograd.core.spelling import spells
from pycograd.ops.linalg import (
    adjoint,
    diagonals,
    dtypes,
    half,
    hermitian,
    matrices,
    real,
    right_divided,
    square,
)
from pycograd.ops.linalg_eigen import gaps, over


# -- cholesky --------------------------------------------------------------------------------------
def _cholesky_rule(t: Any, ans: Any, upper: bool) -> Any:
    lower = adjoint(ans) if upper else ans
    t = hermitian(t, upper)
    moved = lower @ half(right_divided(np.linalg.solve(lower, t), adjoint(lower)))
    return adjoint(moved) if upper else moved


_cholesky = Differential(
    "cholesky",
    lambda a, upper: np.linalg.cholesky(a, upper=upper),
    {"a": _cholesky_rule},
    shape=lambda a, upper: make_aval(a.shape, dtypes(np.linalg.cholesky, a.dtype)),
    core=(2,),
    cost="factorization",
)


@spells(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """The triangular factor of positive definite matrices, `a = L @ L^H` (`upper`: `U^H @ U`).

    NumPy reads the triangle of that name and the real part of the diagonal; the derivative is that
    of this function. The gradient is 0 in the other triangle, and an entry that is read counts for
    both: a function that makes its matrix symmetric itself (`x @ x.T`) has the usual gradient.
    """
    return _cholesky(square("cholesky", a), upper=bool(upper))


# -- qr --------------------------------------------------------------------------------------------
def _qr_rule(t: Any, ans: Any) -> Any:
    # Q^H dQ is anti-Hermitian, dR R^-1 upper triangular with a real diagonal (LAPACK's R has one):
    # so Q^H dA R^-1 splits into the two. Walter, Lehmann and Lamour 2012, for the tall case.
    q, r = ans
    k = min(r.shape[-2:])
    first = r[..., :k, :k]
    pulled = adjoint(q) @ t
    x = right_divided(pulled[..., :k], first)  # m x k, or k x k for the reduced form
    low = np.tril(x, -1)
    if dtype_of(x).kind == "c":
        low = low + _diagonal_part(1j * np.imag(x)) * 0.5
    extra = q.shape[-1] - k
    turn = np.concatenate([low, np.zeros((*low.shape[:-1], extra), low.dtype, like=low)], -1)
    turn = turn - adjoint(turn)
    dq = q @ turn
    if q.shape[-2] > q.shape[-1]:  # the reduced form: what leaves the space of the columns
        dq = dq + right_divided(t[..., :k] - q @ pulled[..., :k], first)
    return dq, np.triu(pulled - turn @ r)


def _diagonal_part(x: Any) -> Any:
    return np.where(np.eye(*x.shape[-2:], dtype=bool), x, 0)


def _qr_shape(a: Any, mode: str) -> Any:
    m, n = a.shape[-2:]
    q, r = dtypes(np.linalg.qr, a.dtype)
    k = m if mode == "complete" else _least(m, n)
    return make_aval((*a.shape[:-1], k), q), make_aval((*a.shape[:-2], k, n), r)


def _least(m: Any, n: Any) -> Any:
    """min(m, n), of which one may be a symbol if they are equal."""
    return m if isinstance(m, Dim) and m == n else min(m, n)


_qr = Differential(
    "qr",
    lambda a, mode: tuple(np.linalg.qr(a, mode)),
    {"a": _qr_rule},
    multi=True,
    shape=_qr_shape,
    core=(2,),
    cost="factorization",
)
_QRResult = type(np.linalg.qr(np.eye(1)))


@spells(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """Orthonormal columns times an upper triangle, `a = q @ r`; modes reduced, complete and r.

    The diagonal of `r` stays real. Of more columns than rows the first ones decide `q`. The extra
    columns of the complete mode turn only out of the space that they span together. Where the
    first columns are linearly dependent there is no derivative: `LinAlgError`, or large numbers.
    """
    if mode not in ("reduced", "complete", "r"):
        raise UnsupportedOperationError(
            f"qr: mode {mode!r} has no derivative; use 'reduced', 'complete' or 'r'"
        )
    q, r = _qr(matrices("qr", a), mode="complete" if mode == "complete" else "reduced")
    return r if mode == "r" else _QRResult(q, r)


# -- svd -------------------------------------------------------------------------------------------
def _vanishing(s: Any, a: Any) -> Any:
    """Which singular values of `a` are 0 up to rounding."""
    return s <= max(a.shape[-2:]) * np.finfo(dtype_of(s)).eps * s[..., :1]


def _svd_rule(t: Any, ans: Any) -> Any:
    # Townsend 2016, "Differentiating the singular value decomposition"; for complex matrices the
    # phases of u_i and v_i turn against each other.
    u, s, vh = ans
    k = s.shape[-1]
    v = adjoint(vh)
    u1, v1 = u[..., :k], v[..., :k]
    tv, tu = t @ v1, adjoint(t) @ u1
    p = adjoint(u1) @ tv
    ph = adjoint(p)
    zero = _vanishing(s, t)
    down, across = s[..., :, None], s[..., None, :]
    gap = gaps(s, down + across)
    inverse = np.where(zero, 0, 1 / np.where(zero, 1, s))[..., None, :]
    turn_u = over(p * across + down * ph, gap)
    turn_v = over(down * p + ph * across, gap)
    if dtype_of(p).kind == "c":
        twist = _diagonal_part(1j * np.imag(p)) * (inverse * 0.5)
        turn_u, turn_v = turn_u + twist, turn_v - twist
    du = _turned(u1, turn_u, u[..., k:], (tv - u1 @ p) * inverse)
    dv = _turned(v1, turn_v, v[..., k:], (tu - v1 @ ph) * inverse)
    return du, np.where(zero, 0, real(diagonals(p))), adjoint(dv)


def _turned(w: Any, turn: Any, rest: Any, out: Any) -> Any:
    """Moves orthonormal columns within their space by `turn` and out of it by `out`.

    The `rest` of the columns, in the full form, give way.
    """
    moved = w @ turn
    if w.shape[-2] > w.shape[-1]:
        moved = moved + out
    if rest.shape[-1]:
        moved = np.concatenate([moved, -w @ (adjoint(out) @ rest)], -1)
    return moved


def _svd_shape(a: Any, full_matrices: bool) -> Any:
    m, n = a.shape[-2:]
    u, s, vh = dtypes(np.linalg.svd, a.dtype)
    k, stack = _least(m, n), a.shape[:-2]
    rows, columns = (m, n) if full_matrices else (k, k)
    return (
        make_aval((*stack, m, rows), u),
        make_aval((*stack, k), s),
        make_aval((*stack, columns, n), vh),
    )


_svd = Differential(
    "svd",
    lambda a, full_matrices: tuple(np.linalg.svd(a, full_matrices)),
    {"a": _svd_rule},
    multi=True,
    shape=_svd_shape,
    core=(2,),
    cost="factorization",
)


def _svdvals_rule(t: Any, a: Any) -> Any:
    u, s, vh = np.linalg.svd(a, False)
    moved = real(np.sum(np.conj(u) * (t @ adjoint(vh)), -2))
    return np.where(_vanishing(s, t), 0, moved)


_svdvals = Differential(
    "svdvals",
    lambda a: np.linalg.svd(a, compute_uv=False),
    {"a": _svdvals_rule},
    shape=lambda a: make_aval(
        (*a.shape[:-2], _least(*a.shape[-2:])), dtypes(np.linalg.svd, a.dtype)[1]
    ),
    core=(2,),
    cost="factorization",
)
_SVDResult = type(np.linalg.svd(np.eye(1)))


@spells(np.linalg.svd)
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """Singular values, descending, with their vectors: `a = u * s @ vh`.

    A singular value of 0 is at its least, and has the subgradient 0. The vectors of values that are
    0, and in the full form the extra ones, turn only out of the space that they span; for equal
    values see `ops.linalg_eigen`. Of complex vectors a common phase of `u_i` and `v_i` is free: a
    result that depends on it has no derivative. With `hermitian` the lower triangle is read, as in
    `eigh`.
    """
    if hermitian:
        return _svd_hermitian(square("svd", a), compute_uv)
    a = matrices("svd", a)
    if not compute_uv:
        return _svdvals(a)
    return _SVDResult(*_svd(a, full_matrices=bool(full_matrices)))


def _svd_hermitian(a: Any, compute_uv: bool) -> Any:
    """By the eigenvalues, as NumPy does it."""
    if not compute_uv:
        return np.sort(np.abs(np.linalg.eigvalsh(a)))[..., ::-1]
    w, v = np.linalg.eigh(a)
    order = np.argsort(np.abs(w))[..., ::-1]
    w = np.take_along_axis(w, order, -1)
    u = np.take_along_axis(v, order[..., None, :], -1)
    return _SVDResult(u, np.abs(w), adjoint(u * _signs(w)[..., None, :]))


def _signs(w: Any) -> Any:
    """The signs of eigenvalues; what NumPy's own version takes for that of 0."""
    return np.where(w == 0, _OF_ZERO, np.sign(w))


_OF_ZERO = float(np.linalg.svd(np.zeros((1, 1)), hermitian=True)[2][0, 0] != 0)


@spells(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """Singular values, descending; one of 0 has the subgradient 0."""
    return _svdvals(matrices("svdvals", x))
