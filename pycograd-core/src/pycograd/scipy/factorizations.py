"""Factorizations of matrices in `scipy.linalg`: triangular, orthogonal, and eigenvectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from pycograd.core.aval import dtype_of, make_aval, shape_of
from pycograd.core.box import Box
from pycograd.core.differential import Differential
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.core.linear import ZeroDerivative
from pycograd.core.primitive import bind
from pycograd.ops.linalg import adjoint
from pycograd.scipy.dense_systems import as_assumed, refuse, solve_triangular
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.kinds import boxed, inexact
from pycograd.scipy.matrix_functions import over_stack, square


# -- factorizations --------------------------------------------------------------------------------
@stands_for(scipy.linalg.cholesky)
def cholesky(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    """The triangular factor of a positive definite matrix; the arguments are scipy's.

    As scipy it reads the triangle that it gives, the upper one by default, and its derivative is in
    that triangle.

    >>> grad(lambda a: np.sum(cholesky(a)))(np.diag([4.0, 9.0]))[0].round(6)
    array([[0.25    , 0.5     ],
           [0.      , 0.166667]])
    """
    if not boxed(a):
        return scipy.linalg.cholesky(a, lower, check_finite=check_finite)
    return np.linalg.cholesky(square(a, "cholesky"), upper=not lower)


@stands_for(scipy.linalg.cho_factor)
def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> Any:
    """A Cholesky factor for `cho_solve`, and which triangle it is; the arguments are scipy's.

    The other triangle, which scipy leaves undefined, is zero.

    >>> f = lambda a: cho_solve(cho_factor(a), np.ones(2))[0]
    >>> grad(f)(np.diag([2.0, 4.0]))[0].round(6)
    array([[-0.25 , -0.125],
           [ 0.   ,  0.   ]])
    """
    if not boxed(a):
        return scipy.linalg.cho_factor(a, lower, check_finite=check_finite)
    return cholesky(a, lower), lower


@stands_for(scipy.linalg.cho_solve)
def cho_solve(
    c_and_lower: Any, b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """The solution of a system by its Cholesky factor; the arguments are scipy's.

    >>> jacobian(lambda b: cho_solve((np.diag([2.0, 1.0]), False), b))(np.ones(2))
    array([[0.25, 0.  ],
           [0.  , 1.  ]])
    """
    c, lower = c_and_lower
    if not boxed(c, b):
        return scipy.linalg.cho_solve(c_and_lower, b, check_finite=check_finite)
    first, then = (0, 2) if lower else (2, 0)
    return solve_triangular(c, solve_triangular(c, b, first, lower), then, lower)


def _lu_impl(a: Any) -> Any:
    if a.ndim == 2:
        p, low, up = scipy.linalg.lu(a, p_indices=True)
        return np.argsort(p), low, up
    rows = [_lu_impl(one) for one in a.reshape(-1, *a.shape[-2:])]
    return tuple([np.stack(part).reshape(*a.shape[:-2], *part[0].shape) for part in zip(*rows)])


def _lu_rule(t: Any, ans: Any) -> Any:
    # With the rows in order, a = l u: l^-1 da u^-1 = l^-1 dl + du u^-1, whose parts are strictly
    # lower and upper. What is beyond the square part follows from it.
    order, low, up = ans
    k = min(shape_of(low)[-1], shape_of(up)[-2])
    t = np.take_along_axis(t, order[..., :, None], axis=-2)
    low1, up1 = low[..., :k, :], up[..., :, :k]
    both = _right_divided(np.linalg.solve(low1, t[..., :k, :k]), up1)
    dlow, dup = low1 @ np.tril(both, -1), np.triu(both) @ up1
    if shape_of(low)[-2] > k:
        rest = _right_divided(t[..., k:, :k] - low[..., k:, :] @ dup, up1)
        return None, np.concatenate([dlow, rest], axis=-2), dup
    if shape_of(up)[-1] > k:
        rest = np.linalg.solve(low1, t[..., :k, k:] - dlow @ up[..., :, k:])
        return None, dlow, np.concatenate([dup, rest], axis=-1)
    return None, dlow, dup


def _right_divided(x: Any, a: Any) -> Any:
    turned = np.linalg.solve(np.matrix_transpose(a), np.matrix_transpose(x))
    return np.matrix_transpose(turned)


def _lu_shape(a: Any) -> Any:
    m, n = a.shape[-2:]
    k, dtype = min(m, n), np.result_type(a.dtype, np.float32)
    return (
        make_aval(a.shape[:-1], np.dtype(np.intp)),
        make_aval((*a.shape[:-1], k), dtype),
        make_aval((*a.shape[:-2], k, n), dtype),
    )


# The order that the rows come in, the lower factor, the upper one.
_lu = Differential(
    "lu",
    _lu_impl,
    {"a": _lu_rule},
    multi=True,
    shape=_lu_shape,
    core=(2,),
    cost="factorization",
)


@stands_for(scipy.linalg.lu)
def lu(
    a: Any,
    permute_l: bool = False,
    overwrite_a: bool = False,
    check_finite: bool = True,
    p_indices: bool = False,
) -> Any:
    """The factors of `a = p @ l @ u`; the order of rows, `p`, is piecewise constant.

    The arguments are scipy's.

    >>> grad(lambda a: lu(a)[2][1, 1])(np.array([[4.0, 1.0], [2.0, 3.0]]))[0]
    array([[ 0.125, -0.5  ],
           [-0.25 ,  1.   ]])
    """
    if not boxed(a):
        return scipy.linalg.lu(a, permute_l, check_finite=check_finite, p_indices=p_indices)
    a = inexact(a)
    if len(shape_of(a)) < 2:
        raise ShapeError(f"lu: shape {shape_of(a)} is no matrix")
    order, low, up = bind(_lu, (a,), {})
    back = np.argsort(order, axis=-1)
    if permute_l:
        return np.take_along_axis(low, back[..., :, None], axis=-2), up
    if p_indices:
        return back, low, up
    n = shape_of(a)[-2]
    return (back[..., :, None] == np.arange(n)).astype(dtype_of(low)), low, up


@stands_for(scipy.linalg.lu_factor)
def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """Both factors in one matrix, for `lu_solve`; the arguments are scipy's.

    In the place of LAPACK's pivots stands, where something is differentiated, the order of rows
    that `lu_solve` takes from here.

    >>> f = lambda a: lu_solve(lu_factor(a), np.ones(2))[0]
    >>> grad(f)(np.diag([2.0, 4.0]))[0]
    array([[-0.25 , -0.125],
           [ 0.   ,  0.   ]])
    """
    if not boxed(a):
        return scipy.linalg.lu_factor(a, check_finite=check_finite)
    order, low, up = bind(_lu, (square(a, "lu_factor"),), {})
    return np.tril(low, -1) + up, _Order(order)


class _Order:
    """The order of rows of a factorization."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows


@stands_for(scipy.linalg.lu_solve)
def lu_solve(
    lu_and_piv: Any, b: Any, trans: Any = 0, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """The solution of a system by its LU factors; the arguments are scipy's.

    >>> factors = lu_factor(np.array([[2.0, 0.0], [1.0, 4.0]]))
    >>> grad(lambda b: lu_solve(factors, b)[1])(np.ones(2))
    (array([-0.125,  0.25 ]),)
    """
    both, pivots = lu_and_piv
    if not boxed(both, b) and not isinstance(pivots, _Order):
        return scipy.linalg.lu_solve(lu_and_piv, b, trans, check_finite=check_finite)
    if trans not in (0, 1, 2):
        raise ValueError(f"lu_solve: trans is 0, 1 or 2, not {trans!r}")
    if isinstance(pivots, _Order):
        order = pivots.rows
    elif isinstance(pivots, Box):
        raise UnsupportedOperationError("lu_solve: pivots that vmap maps over rows; use solve")
    else:
        order = np.arange(len(pivots))
        for i, j in enumerate(pivots):
            order[[i, j]] = order[[j, i]]
    b = inexact(b)
    if trans == 0:
        b = np.take_along_axis(b, order if len(shape_of(b)) == 1 else order[:, None], axis=0)
        return solve_triangular(both, solve_triangular(both, b, 0, True, True), 0, False)
    x = solve_triangular(both, solve_triangular(both, b, trans, False), trans, True, True)
    back = np.argsort(order)
    return np.take_along_axis(x, back if len(shape_of(x)) == 1 else back[:, None], axis=0)


@stands_for(scipy.linalg.qr)
def qr(
    a: Any,
    overwrite_a: bool = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> Any:
    """Orthonormal columns times an upper triangle; the arguments are scipy's.

    >>> grad(lambda a: qr(a, mode="r")[0][0, 0])(np.array([[3.0, 0.0], [4.0, 1.0]]))[0]
    array([[-0.6,  0. ],
           [-0.8,  0. ]])
    """
    if not boxed(a):
        return scipy.linalg.qr(a, mode=mode, pivoting=pivoting, check_finite=check_finite)
    refuse("qr", pivoting=pivoting)
    modes: dict[str, Any] = {"full": "complete", "r": "complete", "economic": "reduced"}
    if mode not in modes:
        raise UnsupportedOperationError(f"qr: mode {mode!r} has no derivative; full, r, economic")
    q, r = np.linalg.qr(inexact(a), modes[mode])
    return (r,) if mode == "r" else (q, r)


@stands_for(scipy.linalg.svd)
def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """Singular values with their vectors, `u, s, vh`; the arguments are scipy's.

    >>> grad(lambda a: svd(a, compute_uv=False)[0])(np.diag([1.0, 3.0]))[0]
    array([[0., 0.],
           [0., 1.]])
    """
    if not boxed(a):
        return scipy.linalg.svd(
            a, full_matrices, compute_uv, check_finite=check_finite, lapack_driver=lapack_driver
        )
    if not compute_uv:
        return np.linalg.svd(inexact(a), compute_uv=False)
    return tuple(np.linalg.svd(inexact(a), full_matrices))


@stands_for(scipy.linalg.svdvals)
def svdvals(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """Singular values, descending; the arguments are scipy's.

    >>> grad(lambda a: svdvals(a)[0])(np.diag([1.0, 3.0]))[0]
    array([[0., 0.],
           [0., 1.]])
    """
    if not boxed(a):
        return scipy.linalg.svdvals(a, check_finite=check_finite)
    return np.linalg.svd(inexact(a), compute_uv=False)


# -- eigenvalues -----------------------------------------------------------------------------------
def _turn(a: Any, v: Any, *, lower: bool) -> Any:
    """The factors that make NumPy's eigenvectors those of scipy, whose routine is another."""

    def one(a: Any, v: Any) -> Any:
        overlap = np.sum(np.conj(v) * scipy.linalg.eigh(a, lower=lower)[1], axis=0)
        size = np.abs(overlap)
        return np.where(size > 0.5, overlap / np.where(size > 0.5, size, 1.0), 1.0)[None, :]

    return over_stack(one, np.asarray(a), np.asarray(v))[..., 0, :].astype(v.dtype, copy=False)


def _turn_batch(size: Any, values: Any, mapped: Any, lower: bool) -> Any:
    return bind(_turns, values, {"lower": lower})


_turns = ZeroDerivative(
    "eigh_turn",
    _turn,
    shape=lambda a, v, lower: make_aval(v.shape[:-1], v.dtype),
    batch=_turn_batch,
    cost="factorization",
)


@stands_for(scipy.linalg.eigh)
def eigh(
    a: Any,
    b: Any = None,
    *,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    type: int = 1,
    check_finite: bool = True,
    subset_by_index: Any = None,
    subset_by_value: Any = None,
    driver: Any = None,
) -> Any:
    """Eigenvalues, ascending, and eigenvectors of a Hermitian matrix; the arguments are scipy's.

    With `b` those of `a v = w b v`. The derivative is in the triangle that is read.

    >>> grad(lambda a: eigh(a, eigvals_only=True)[0])(np.diag([1.0, 2.0]))[0]
    array([[1., 0.],
           [0., 0.]])
    """
    if not boxed(a, b):
        return scipy.linalg.eigh(
            a, b, lower=lower, eigvals_only=eigvals_only, type=type, check_finite=check_finite,
            subset_by_index=subset_by_index, subset_by_value=subset_by_value, driver=driver,
        )  # fmt: skip
    refuse("eigh", subset_by_value=subset_by_value, type=type if type != 1 else None)
    a = square(a, "eigh")
    part = slice(None)
    if subset_by_index is not None:
        part = slice(subset_by_index[0], subset_by_index[1] + 1)
    if b is not None:
        factor = np.linalg.cholesky(square(b, "eigh"), upper=not lower)
        factor = factor if lower else adjoint(factor)
        whole = as_assumed(a, "her", lower, "eigh")
        inner = np.linalg.solve(factor, whole)
        a = np.linalg.solve(factor, adjoint(inner))
        lower = True
    if eigvals_only:
        return np.linalg.eigvalsh(a, "L" if lower else "U")[..., part]
    w, v = np.linalg.eigh(a, "L" if lower else "U")
    v = v * bind(_turns, (a, v), {"lower": lower})[..., None, :]
    if b is not None:
        v = np.linalg.solve(adjoint(factor), v)
    return w[..., part], v[..., part]


@stands_for(scipy.linalg.eigvalsh)
def eigvalsh(a: Any, b: Any = None, *, lower: bool = True, **options: Any) -> Any:
    """Eigenvalues, ascending, of a Hermitian matrix; the arguments are scipy's.

    >>> grad(lambda a: eigvalsh(a)[1])(np.diag([1.0, 2.0]))[0]
    array([[0., 0.],
           [0., 1.]])
    """
    if not boxed(a, b):
        return scipy.linalg.eigvalsh(a, b, lower=lower, **options)
    return eigh(a, b, lower=lower, eigvals_only=True, **options)
