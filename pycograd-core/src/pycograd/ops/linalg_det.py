"""Determinants, whose derivative is right at singular matrices too."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from pycograd.core.aval import make_aval
from pycograd.core.box import raw
from pycograd.core.differential import Differential
from pycograd.core.linear import ZeroDerivative
from pycograd.core.spelling import spells
from pycograd.ops.linalg import adjoint, diagonals, dtypes, real, square


def _pairing(a: Any, t: Any) -> Any:
    """trace(a @ t)."""
    return np.sum(np.matrix_transpose(a) * t, (-2, -1))


# -- det -----------------------------------------------------------------------------------------
_det = Differential(
    "det",
    np.linalg.det,
    {"a": lambda t, a: _pairing(_adjugate(a), t)},  # Jacobi's formula
    shape=lambda a: make_aval(a.shape[:-2], dtypes(np.linalg.det, a.dtype)),
    core=(2,),
    cost="factorization",
)


@spells(np.linalg.det)
def det(a: Any) -> Any:
    """The determinant of each matrix, with derivatives of every order at singular ones too.

    A captured graph of a derivative takes matrices for regular; run on a singular one, it ends in
    NumPy's `LinAlgError`.
    """
    return _det(square("det", a))


def _small_part(a: Any) -> tuple[Any, Any]:
    """`left, right` with `a + left @ right^H` well conditioned, zeros where `a` itself is.

    The columns that are not 0 are the singular vectors of small singular values, those of `left`
    times the largest one.
    """
    eps = np.finfo(a.dtype).eps
    nothing = np.zeros_like(a)
    if not np.all(np.isfinite(a)):
        return nothing, nothing  # there is no telling; nan will be the answer
    try:
        inverse = np.linalg.inv(a)
        size = np.linalg.norm(a, axis=(-2, -1)) * np.linalg.norm(inverse, axis=(-2, -1))
        if np.all(size < eps**-0.4):
            return nothing, nothing
    except np.linalg.LinAlgError:
        pass
    u, s, vh = np.linalg.svd(a)
    largest = s[..., :1]
    small = s <= eps**0.3 * largest
    scale = np.where(largest == 0, 1, largest) * small
    return u * scale[..., None, :], adjoint(vh) * small[..., None, :]


_small: ZeroDerivative = ZeroDerivative(
    "small_part",
    _small_part,
    multi=True,
    shape=lambda a: (make_aval(a.shape, a.dtype),) * 2,
    batch=lambda size, values, mapped: _small(*values),
)


def _adjugate(a: Any) -> Any:
    """`det(a) inv(a)`, as a function of `a` that is smooth where `a` has no inverse.

    With constants `l`, `r` and the regular `b = a + l r^H`, det(a) = det(b) det(m) for
    `m = 1 - r^H inv(b) l` (the matrix determinant lemma); there `m` is of the size of the small
    part, and its determinant and adjugate are polynomials. The adjugate is the derivative of that
    product. Everything in it differentiates by being run.
    """
    if dtypes(np.linalg.det, a.dtype) != a.dtype:
        a = a.astype(dtypes(np.linalg.det, a.dtype))
    left, right = _small(a)
    known = raw(right)
    if not isinstance(known, np.ndarray) or not known.any():
        return np.linalg.det(a)[..., None, None] * np.linalg.inv(a)
    chosen = np.any(right != 0, -2)  # the columns of the small part
    back = adjoint(right)
    b = a + left @ back
    solved = np.linalg.solve(b, left)
    unit = np.eye(index(a.shape[-1]), dtype=a.dtype)
    m = unit * chosen[..., None, :] - back @ solved
    of_m, minors = _polynomials(m, np.sum(chosen, -1), int(known.any(-2).sum(-1).max()))
    inverse = np.linalg.inv(b)
    inner = of_m[..., None, None] * inverse + solved @ minors @ back @ inverse
    return np.linalg.det(b)[..., None, None] * inner


def _polynomials(m: Any, rank: Any, most: int) -> tuple[Any, Any]:
    """Determinant and adjugate of the `rank` rows and columns of `m` that are not 0.

    By the recursion of Faddeev and Le Verrier for the characteristic polynomial; outside of those
    rows and columns the adjugate has entries without a meaning.
    """
    n = index(m.shape[-1])
    unit = np.eye(n, dtype=m.dtype)
    step, sign = unit, 1
    determinant: Any = np.ones((), m.dtype)
    minors: Any = np.zeros_like(unit)
    for k in range(1, most + 1):
        product = m @ step
        coefficient = -np.sum(diagonals(product), -1) / k
        sign = -sign
        here = rank == k
        determinant = np.where(here, sign * coefficient, determinant)
        minors = np.where(here[..., None, None], -sign * step, minors)
        step = product + coefficient[..., None, None] * unit
    return determinant, minors


# -- slogdet -------------------------------------------------------------------------------------
def _slogdet_shape(a: Any) -> Any:
    sign, logarithm = dtypes(np.linalg.slogdet, a.dtype)
    return make_aval(a.shape[:-2], sign), make_aval(a.shape[:-2], logarithm)


def _slogdet_rule(t: Any, a: Any, ans: Any) -> Any:
    moved = _pairing(np.linalg.inv(a), t)  # of the complex logarithm
    sign = ans[0]
    if sign.dtype.kind != "c":
        return None, moved
    return sign * (1j * np.imag(moved)), real(moved)


_slogdet = Differential(
    "slogdet",
    lambda a: tuple(np.linalg.slogdet(a)),
    {"a": _slogdet_rule},
    multi=True,
    shape=_slogdet_shape,
    core=(2,),
    cost="factorization",
)
_SlogdetResult = type(np.linalg.slogdet(np.eye(1)))


@spells(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """Sign (of complex matrices: phase) and logarithm of the absolute value of the determinant.

    At a singular matrix the logarithm is `-inf` and has no derivative: NumPy's `LinAlgError`.
    """
    return _SlogdetResult(*_slogdet(square("slogdet", a)))
