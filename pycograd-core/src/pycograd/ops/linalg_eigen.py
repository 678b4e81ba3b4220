"""Eigenvalues and eigenvectors.

Derivatives of eigenvectors are divided by differences of eigenvalues. Where eigenvalues are equal
(up to rounding), single eigenvectors have no derivative; the convention is that equal eigenvalues
stay equal, so that eigenvectors turn only out of the space that they span together. That is right
for whatever depends on that space alone, and first derivatives of symmetric functions of the
eigenvalues need no eigenvectors' derivatives at all. Where the answer depends on the convention, a
`RuntimeWarning` says so.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, make_aval
from pycograd.core.box import raw
from pycograd.core.differential import Differential
from pycograd.core.elementwise import Elementwise
from pycograd.core.errors import located
from pycograd.core.spelling import spells
from pycograd.ops.linalg import adjoint, diagonals, dtypes, hermitian, real, square


# -- division by differences -----------------------------------------------------------------------
def _over(x: Any, gap: Any) -> Any:
    equal = gap == 0
    with np.errstate(all="ignore"):
        out = np.where(equal, 0, x / np.where(equal, 1, gap)).astype(_over_dtype(x, gap))
    if equal.any():
        size = np.abs(x)
        if np.max(size[np.broadcast_to(equal, x.shape)]) > np.sqrt(_eps(x)) * np.max(size):
            warnings.warn(
                located(
                    "the derivative of eigenvectors or singular vectors of equal eigenvalues or"
                    " singular values was taken as if these stayed equal. Functions of the space"
                    " that they span are right; others, functions of the matrix and second"
                    " derivatives of its eigenvalues among them, are not defined by it"
                ),
                RuntimeWarning,
                stacklevel=2,
            )
    return out


def _over_dtype(x: Any, gap: Any) -> Any:
    return np.result_type(x.dtype, gap.dtype)


def _eps(x: Any) -> Any:
    return np.finfo(dtype_of(x)).eps


# x / gap: 0 for an infinite gap, and by the convention for equal values.
over: Elementwise = Elementwise(
    "over_gap",
    _over,
    [lambda t, y: over(t, y), lambda t, ans, y: -over(t * ans, y)],
    dtype=_over_dtype,
)


def gaps(w: Any, factor: Any = 1) -> Any:
    """`(w_j - w_i) * factor` in row i, column j: 0 for equal values, inf on the diagonal."""
    gap = w[..., None, :] - w[..., :, None]
    size = np.sum(np.abs(w), -1)[..., None, None]
    equal = np.abs(gap) <= 4 * _eps(w) * size
    return np.where(np.eye(w.shape[-1], dtype=bool), np.inf, np.where(equal, 0, gap * factor))


# -- Hermitian matrices ----------------------------------------------------------------------------
def _eigh_rule(t: Any, ans: Any, uplo: str) -> Any:
    w, v = ans
    within = adjoint(v) @ (hermitian(t, uplo == "U") @ v)
    return real(diagonals(within)), v @ over(within, gaps(w))


def _eigh_shape(a: Any, uplo: str) -> Any:
    values, vectors = dtypes(np.linalg.eigh, a.dtype)
    return make_aval(a.shape[:-1], values), make_aval(a.shape, vectors)


_eigh = Differential(
    "eigh",
    lambda a, uplo: tuple(np.linalg.eigh(a, uplo)),
    {"a": _eigh_rule},
    multi=True,
    shape=_eigh_shape,
    core=(2,),
    cost="factorization",
)


def _eigvalsh_rule(t: Any, a: Any, uplo: Any) -> Any:
    v = np.linalg.eigh(a, uplo)[1]
    return real(np.sum(np.conj(v) * (hermitian(t, uplo == "U") @ v), -2))


_eigvalsh = Differential(
    "eigvalsh",
    lambda a, uplo: np.linalg.eigvalsh(a, uplo),
    {"a": _eigvalsh_rule},
    shape=lambda a, uplo: make_aval(a.shape[:-1], dtypes(np.linalg.eigvalsh, a.dtype)),
    core=(2,),
    cost="factorization",
)
_EighResult = type(np.linalg.eigh(np.eye(1)))


def _triangle(uplo: str) -> str:
    uplo = uplo.upper()
    if uplo not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return uplo


@spells(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues, ascending, and eigenvectors of Hermitian matrices.

    NumPy reads one triangle and the real part of the diagonal; the derivative is that of this
    function. The gradient is 0 in the other triangle, and an entry that is read counts for both: a
    function that makes its matrix symmetric itself (`a + a.T`) has the usual symmetric gradient.

    Each eigenvector keeps its phase, `v_i^H dv_i = 0`. That of complex ones is no continuous
    function of the matrix in NumPy: a result that depends on it has no derivative. For equal
    eigenvalues see above.
    """
    return _EighResult(*_eigh(square("eigh", a), uplo=_triangle(UPLO)))


@spells(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues of Hermitian matrices, ascending; the triangle that is read as in `eigh`.

    Of equal eigenvalues each single one has the derivative of one possible choice of eigenvectors;
    that of a symmetric function of them does not depend on the choice.
    """
    return _eigvalsh(square("eigvalsh", a), uplo=_triangle(UPLO))


# -- general matrices ------------------------------------------------------------------------------
def _eig_rule(t: Any, ans: Any) -> Any:
    w, v = ans
    within = np.linalg.solve(v, t @ v)
    moved = v @ over(within, gaps(w))
    # LAPACK's vectors have length 1, and their largest entry is real.
    moved = moved - v * real(np.sum(np.conj(v) * moved, -2))[..., None, :]
    if dtype_of(v).kind == "c":
        largest = np.argmax(np.where(np.imag(v) == 0, np.abs(v), 0), -2)[..., None, :]
        turn = np.take_along_axis(moved, largest, -2) / np.take_along_axis(v, largest, -2)
        moved = moved - v * (1j * np.imag(turn))
    return diagonals(within), moved


def _complex(a: Any) -> Any:
    return np.result_type(dtypes(np.linalg.inv, a.dtype), np.complex64)


def _eig_impl(a: Any, settled: bool) -> Any:
    w, v = np.linalg.eig(a)
    return (w.astype(_complex(a)), v.astype(_complex(a))) if settled else (w, v)


# settled: complex whatever the data are, as the shape rule says it.
_eig = Differential(
    "eig",
    _eig_impl,
    {"a": _eig_rule},
    multi=True,
    shape=lambda a, settled: (
        make_aval(a.shape[:-1], _complex(a)),
        make_aval(a.shape, _complex(a)),
    ),
    core=(2,),
    cost="factorization",
)


def _eigvals_rule(t: Any, a: Any, settled: bool) -> Any:
    v = _eig(a, settled=settled)[1]
    return diagonals(np.linalg.solve(v, t @ v))


_eigvals = Differential(
    "eigvals",
    lambda a, settled: _eig_impl(a, settled)[0],
    {"a": _eigvals_rule},
    shape=lambda a, settled: make_aval(a.shape[:-1], _complex(a)),
    core=(2,),
    cost="factorization",
)


def _unknown(a: Any) -> bool:
    """True where only the shape is known, so that the dtype cannot wait for the data."""
    return not isinstance(raw(a), (np.ndarray, np.generic))


_EigResult = type(np.linalg.eig(np.eye(1)))


@spells(np.linalg.eig)
def eig(a: Any) -> Any:
    """Eigenvalues and eigenvectors of general matrices.

    The derivative of the eigenvectors is that of NumPy's: they have length 1 and their largest
    entry is real. The results of real matrices are real in NumPy if all eigenvalues are; as that
    depends on data, they are complex where only the shape is known. A matrix without as many
    independent eigenvectors as rows has no derivative: `LinAlgError`, or large numbers. For equal
    eigenvalues see above.
    """
    return _EigResult(*_eig(square("eig", a), settled=_unknown(a)))


@spells(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """Eigenvalues of general matrices, in the order that `eig` has them."""
    return _eigvals(square("eigvals", a), settled=_unknown(a))
