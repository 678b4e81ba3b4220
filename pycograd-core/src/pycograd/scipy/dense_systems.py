"""Linear systems and matrix equations of `scipy.linalg`, and what NumPy has by the same names."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from pycograd.core.aval import dtype_of, make_aval, promote, shape_of
from pycograd.core.differential import Differential
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.ops.linalg import adjoint
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.kinds import array, boxed, inexact
from pycograd.scipy.matrix_functions import over_stack, square
from pycograd.scipy.solves import Structure, solve as structured


def refuse(operation: str, **options: Any) -> None:
    """Refuses options that have no rule."""
    given = [name for name, value in options.items() if value is not None and value is not False]
    if given:
        raise UnsupportedOperationError(
            f"{operation}: {', '.join(f'{name}=' for name in given)} has no rule for differentiated"
            " values"
        )


# -- linear systems --------------------------------------------------------------------------------
_KINDS = {
    None: "general", "gen": "general", "sym": "symmetric", "her": "hermitian",
    "pos": "positive definite",
}  # fmt: skip


def as_assumed(a: Any, assume_a: Any, lower: bool, operation: str) -> Any:
    """The matrix that scipy makes of the entries that it reads."""
    kind = _KINDS.get(assume_a, assume_a)
    if kind in ("general", "banded"):
        return a
    if kind == "diagonal":
        return np.where(np.eye(shape_of(a)[-1], dtype=bool), a, 0)
    if kind == "tridiagonal":
        n = shape_of(a)[-1]
        return np.where(np.tri(n, n, 1, bool) & np.tri(n, n, 1, bool).T, a, 0)
    if kind in ("lower triangular", "upper triangular"):
        return np.tril(a) if kind == "lower triangular" else np.triu(a)
    if kind not in ("symmetric", "hermitian", "positive definite"):
        raise ValueError(f"{operation}: {assume_a!r} is not a recognized matrix structure")
    off = np.tril(a, -1) if lower else np.triu(a, 1)
    diagonal = np.where(np.eye(shape_of(a)[-1], dtype=bool), a, 0)
    if kind == "symmetric" or dtype_of(a).kind != "c":
        return off + diagonal + np.matrix_transpose(off)
    return off + np.real(diagonal) + adjoint(off)


@stands_for(scipy.linalg.solve)
def solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    assume_a: Any = None,
    transposed: bool = False,
) -> Any:
    """The solution of `a @ x = b`; the arguments are scipy's.

    >>> a = np.array([[2.0, 7.0], [1.0, 3.0]])
    >>> grad(lambda a: solve(a, np.ones(2), lower=True, assume_a="pos")[1])(a)[0].round(6)
    array([[ 0.08,  0.  ],
           [-0.12, -0.08]])
    """
    if not boxed(a, b):
        given = {} if assume_a is None else {"assume_a": assume_a}  # older versions have no None
        return scipy.linalg.solve(
            a, b, lower=lower, check_finite=check_finite, transposed=transposed, **given
        )
    a, b = square(np.atleast_2d(array(a)), "solve"), inexact(b)
    if transposed and dtype_of(a).kind == "c":
        raise NotImplementedError("solve: transposed=True of a complex matrix; give a.T itself")
    a = as_assumed(a, assume_a, lower, "solve")
    return np.linalg.solve(np.matrix_transpose(a) if transposed else a, b)


class _Triangular(Structure):
    """One triangle of a matrix, with its diagonal or ones in the place of that."""

    __slots__ = ("lower", "unit", "turned")

    def __init__(self, lower: bool, unit: bool, turned: bool = False) -> None:
        self.lower, self.unit, self.turned = lower, unit, turned

    def transposed(self) -> _Triangular:
        return _Triangular(self.lower, self.unit, not self.turned)

    def _kept(self, a: Any) -> Any:
        """The entries that are read."""
        k = int(self.unit)
        return np.tril(a, -k) if self.lower else np.triu(a, k)

    def solve(self, a: Any, b: Any) -> Any:
        return scipy.linalg.solve_triangular(a, b, int(self.turned), self.lower, self.unit)

    def times(self, a: Any, x: Any) -> Any:  # of a change of `a`: ones do not change
        kept = self._kept(a)
        return (kept.T if self.turned else kept) @ x

    def entries(self, left: Any, right: Any) -> Any:
        if self.turned:
            left, right = right, left
        if len(shape_of(left)) == 1:
            left, right = left[:, None], right[:, None]
        return self._kept(left @ right.T)


@stands_for(scipy.linalg.solve_triangular)
def solve_triangular(
    a: Any,
    b: Any,
    trans: Any = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """The solution of a triangular system; the arguments are scipy's.

    >>> a = np.array([[2.0, 9.0], [1.0, 4.0]])
    >>> jacobian(lambda b: solve_triangular(a, b, lower=True))(np.ones(2))
    array([[ 0.5  ,  0.   ],
           [-0.125,  0.25 ]])
    """
    if not boxed(a, b):
        return scipy.linalg.solve_triangular(
            a, b, trans, lower, unit_diagonal, check_finite=check_finite
        )
    a, b = square(a, "solve_triangular"), inexact(b)
    trans = {"N": 0, "T": 1, "C": 2}.get(trans, trans)
    if trans not in (0, 1, 2):
        raise ValueError(f"solve_triangular: trans is 0, 1, 2 or 'N', 'T', 'C', not {trans!r}")
    if len(shape_of(a)) > 2 or len(shape_of(b)) > 2:
        raise ShapeError(
            f"solve_triangular: matrices, not stacks of shapes {shape_of(a)} and {shape_of(b)}; use"
            " vmap"
        )
    if shape_of(b)[:1] != shape_of(a)[:1]:
        raise ShapeError(f"solve_triangular: incompatible shapes {shape_of(a)} and {shape_of(b)}")
    if trans == 2 and dtype_of(a).kind == "c":
        a = np.conj(a)
    return structured(a, b, _Triangular(bool(lower), bool(unit_diagonal), bool(trans)))


@stands_for(scipy.linalg.inv)
def inv(
    a: Any,
    overwrite_a: bool = False,
    check_finite: bool = True,
    *,
    assume_a: Any = None,
    lower: bool = False,
) -> Any:
    """The inverse of a matrix; the arguments are scipy's.

    >>> grad(lambda a: np.trace(inv(a)))(np.diag([1.0, 2.0]))[0]
    array([[-1.  ,  0.  ],
           [ 0.  , -0.25]])
    """
    if not boxed(a):
        given = {} if assume_a is None else {"assume_a": assume_a, "lower": lower}
        return scipy.linalg.inv(a, check_finite=check_finite, **given)
    return np.linalg.inv(as_assumed(square(a, "inv"), assume_a, lower, "inv"))


@stands_for(scipy.linalg.det)
def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The determinant of a matrix; the arguments are scipy's.

    >>> grad(det)(np.diag([2.0, 3.0]))[0]
    array([[3., 0.],
           [0., 2.]])
    """
    if not boxed(a):
        return scipy.linalg.det(a, check_finite=check_finite)
    return np.linalg.det(square(a, "det"))


@stands_for(scipy.linalg.norm)
def norm(
    a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False, check_finite: bool = True
) -> Any:
    """The norm of a vector or matrix, `np.linalg.norm`; the arguments are scipy's.

    >>> grad(norm)(np.array([3.0, 4.0]))
    (array([0.6, 0.8]),)
    """
    if not boxed(a):
        return scipy.linalg.norm(a, ord, axis, keepdims, check_finite)
    return np.linalg.norm(array(a), ord, axis, keepdims)


@stands_for(scipy.linalg.pinv)
def pinv(
    a: Any,
    *,
    atol: Any = None,
    rtol: Any = None,
    return_rank: bool = False,
    check_finite: bool = True,
) -> Any:
    """The pseudo-inverse of a matrix, for changes that keep its rank; arguments are scipy's.

    >>> grad(lambda a: np.sum(pinv(a)))(np.array([[2.0], [0.0]]))[0]
    array([[-0.25],
           [ 0.25]])
    """
    if not boxed(a):
        return scipy.linalg.pinv(
            a, atol=atol, rtol=rtol, return_rank=return_rank, check_finite=check_finite
        )
    refuse("pinv", atol=atol, return_rank=return_rank)
    a = inexact(a)
    if rtol is None:
        rtol = max(shape_of(a)[-2:]) * np.finfo(dtype_of(a)).eps
    return np.linalg.pinv(a, rtol)


@stands_for(scipy.linalg.lstsq)
def lstsq(
    a: Any,
    b: Any,
    cond: Any = None,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
    lapack_driver: Any = None,
) -> Any:
    """The least squares solution, residuals, rank and singular values; arguments are scipy's.

    >>> a = np.array([[1.0], [1.0]])
    >>> grad(lambda b: lstsq(a, b)[0][0])(np.array([1.0, 2.0]))
    (array([0.5, 0.5]),)
    """
    if not boxed(a, b):
        return scipy.linalg.lstsq(
            a, b, cond, check_finite=check_finite, lapack_driver=lapack_driver
        )
    a, b = inexact(a), inexact(b)
    cond = np.finfo(np.result_type(dtype_of(a), dtype_of(b))).eps if cond is None else cond
    x, off, rank, s = np.linalg.lstsq(a, b, cond)
    if len(shape_of(b)) == 1 and shape_of(off) == (1,):
        off = off[0]
    return x, off, rank, None if lapack_driver == "gelsy" else s


# -- matrix equations ------------------------------------------------------------------------------
def _sylvester_impl(a: Any, b: Any, q: Any) -> Any:
    # All of one dtype: of real and complex operands together scipy's result does not solve it.
    dtype = np.result_type(a, b, q, np.float32)
    a, b, q = (x.astype(dtype, copy=False) for x in (a, b, q))
    return over_stack(scipy.linalg.solve_sylvester, a, b, q).astype(dtype, copy=False)


def _sylvester_shape(a: Any, b: Any, q: Any) -> Any:
    rows = np.broadcast_shapes(a.shape[:-2], b.shape[:-2], q.shape[:-2])
    return make_aval((*rows, *q.shape[-2:]), np.result_type(promote((a, b, q)), np.float32))


_sylvester: Differential = Differential(
    "solve_sylvester",
    _sylvester_impl,
    {
        "a": lambda t, a, b, ans: -_sylvester(a, b, t @ ans),
        "b": lambda t, a, b, ans: -_sylvester(a, b, ans @ t),
    },
    transposes={
        "q": lambda ct, a, b: _sylvester(np.matrix_transpose(a), np.matrix_transpose(b), ct)
    },
    shape=_sylvester_shape,
    core=(2, 2, 2),
    cost="factorization",
)


@stands_for(scipy.linalg.solve_sylvester)
def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """The `x` with `a @ x + x @ b = q`; the arguments are scipy's.

    >>> one = np.ones((1, 1))
    >>> grad(lambda a: solve_sylvester(a, one, one)[0, 0])(one)
    (array([[-0.25]]),)
    """
    if not boxed(a, b, q):
        return _sylvester_impl(*[np.asarray(x) for x in (a, b, q)])
    a, b, q = square(a, "solve_sylvester"), square(b, "solve_sylvester"), inexact(q)
    if shape_of(q)[-2:] != (shape_of(a)[-1], shape_of(b)[-1]):
        raise ShapeError(
            f"solve_sylvester: incompatible shapes {shape_of(a)}, {shape_of(b)}, {shape_of(q)}"
        )
    return _sylvester(a, b, q)


@stands_for(scipy.linalg.solve_continuous_lyapunov)
def solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    """The `x` with `a @ x + x @ a^H = q`; the arguments are scipy's.

    >>> one = np.ones((1, 1))
    >>> grad(lambda a: solve_continuous_lyapunov(a, one)[0, 0])(one)
    (array([[-0.5]]),)
    """
    if not boxed(a, q):
        return scipy.linalg.solve_continuous_lyapunov(a, q)
    a = square(a, "solve_continuous_lyapunov")
    return solve_sylvester(a, adjoint(a), q)


@stands_for(scipy.linalg.solve_discrete_lyapunov)
def solve_discrete_lyapunov(a: Any, q: Any, method: Any = None) -> Any:
    """The `x` with `a @ x @ a^H - x + q = 0`, by the linear system of its entries.

    >>> half = np.full((1, 1), 0.5)
    >>> grad(lambda q: solve_discrete_lyapunov(half, q)[0, 0])(half)[0].round(6)
    array([[1.333333]])
    """
    if not boxed(a, q):
        return scipy.linalg.solve_discrete_lyapunov(a, q, method)
    a, q = square(a, "solve_discrete_lyapunov"), square(q, "solve_discrete_lyapunov")
    n = shape_of(a)[-1]
    both = np.kron(a, np.conj(a) if dtype_of(a).kind == "c" else a)
    return np.reshape(np.linalg.solve(np.eye(n * n) - both, np.ravel(q)), (n, n))
