"""`scipy.sparse.linalg`: direct and iterative solvers, differentiated by solving once more.

The derivative of a solution is that of the system, whatever found it (`solves`); an iterative
solver finds the derivative too, to its own tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse.linalg

from pycograd.core.aval import shape_of
from pycograd.core.errors import NotDifferentiableError, ShapeError, UnsupportedOperationError
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.kinds import array, boxed, inexact
from pycograd.scipy.solves import Dense, Structure, solve
from pycograd.scipy.sparse.arrays import (
    Pattern,
    SparseArray,
    entries,
    is_sparse,
    product,
    sparse,
)

Solver = Callable[[Any, Any, bool], Any]  # (matrix, columns, turned) -> solutions, all plain


class _Sparse(Structure):
    """A matrix by its entries in the places of a pattern."""

    __slots__ = ("pattern", "solver", "turned")

    def __init__(self, pattern: Pattern, solver: Solver, turned: bool = False) -> None:
        self.pattern, self.solver, self.turned = pattern, solver, turned

    def transposed(self) -> _Sparse:
        return _Sparse(self.pattern.transposed(), self.solver, not self.turned)

    def solve(self, a: Any, b: Any) -> Any:
        return self.solver(self.pattern.matrix(a, copy=True), b, self.turned)

    def times(self, a: Any, x: Any) -> Any:
        return product(a, x, self.pattern)

    def entries(self, left: Any, right: Any) -> Any:
        return entries(left, right, self.pattern)


class _Full(Dense):
    """A dense matrix, with a solver of its own."""

    __slots__ = ("solver",)

    def __init__(self, solver: Solver, turned: bool = False) -> None:
        super().__init__("", turned)
        self.solver = solver

    def transposed(self) -> _Full:
        return _Full(self.solver, not self.turned)

    def solve(self, a: Any, b: Any) -> Any:
        return self.solver(self._matrix(a), b, self.turned)


class _Operator(Structure):
    """A linear operator of scipy: a constant, known by its products."""

    __slots__ = ("operator", "solver", "turned")

    def __init__(self, operator: Any, solver: Solver, turned: bool = False) -> None:
        self.operator, self.solver, self.turned = operator, solver, turned

    def transposed(self) -> _Operator:
        return _Operator(self.operator.T, self.solver, not self.turned)

    def solve(self, a: Any, b: Any) -> Any:
        return self.solver(self.operator, b, self.turned)


# -- direct ----------------------------------------------------------------------------------------
@stands_for(scipy.sparse.linalg.spsolve)
def spsolve(A: Any, b: Any, permc_spec: Any = None, use_umfpack: bool = True) -> Any:
    """The solution of a sparse system, differentiable in the entries of `A` and in `b`.

    Arguments:
        A: a square sparse matrix, of scipy or of `pycograd.scipy.sparse`.
        b: a dense vector or matrix of columns; one column gives a vector, as in scipy.
        permc_spec, use_umfpack: as in scipy.

    >>> import scipy.sparse
    >>> A = scipy.sparse.csc_array(np.array([[2.0, 0.0], [1.0, 4.0]]))
    >>> grad(lambda b: spsolve(A, b)[1])(np.ones(2))
    (array([-0.125,  0.25 ]),)
    """
    plain = not boxed(b) and not (isinstance(A, SparseArray) and boxed(A.data))
    if plain:
        if isinstance(A, SparseArray):
            A = A.pattern.matrix(A.data, copy=True)
        return scipy.sparse.linalg.spsolve(A, b, permc_spec, use_umfpack)
    if not is_sparse(A) or is_sparse(b):
        raise UnsupportedOperationError(
            "spsolve: A is sparse and b dense where something is differentiated; for a dense A use"
            " np.linalg.solve"
        )

    def solver(matrix: Any, columns: Any, turned: bool) -> Any:
        # Always columns and always a copy in the order that the factorization wants.
        lu = matrix.tocsc()
        lu.sum_duplicates()
        return scipy.sparse.linalg.spsolve(lu, columns, permc_spec, use_umfpack).reshape(
            columns.shape
        )

    A, b = sparse(A), array(b)
    _check("spsolve", A.shape, b, 2)
    if len(shape_of(b)) == 2 and shape_of(b)[1] == 1:
        b = np.reshape(b, (-1,))
    return solve(inexact(A.data), b, _Sparse(A.pattern, solver))


def _check(operation: str, shape: Any, b: Any, most: int) -> None:
    rank = len(shape_of(b))
    if shape[0] != shape[1] or not 1 <= rank <= most or shape_of(b)[0] != shape[0]:
        raise ShapeError(f"{operation}: incompatible shapes {tuple(shape)} and {shape_of(b)}")


# -- iterative -------------------------------------------------------------------------------------
def _iterative(name: str) -> Callable[..., Any]:
    method = getattr(scipy.sparse.linalg, name)

    def run(A: Any, b: Any, x0: Any = None, *, M: Any = None, **options: Any) -> Any:
        differentiated = boxed(b) or boxed(A.data if isinstance(A, SparseArray) else A)
        if not differentiated and not boxed(x0):
            if isinstance(A, SparseArray):
                A = A.pattern.matrix(A.data, copy=True)
            return method(A, b, x0, M=M, **options)
        if boxed(x0, M):
            raise UnsupportedOperationError(
                f"{name}: x0 and M only help to find the solution, which does not depend on them;"
                " give constants (stop_gradient)"
            )
        said: list[int] = []
        first = [x0]  # for the user's own system, which is solved first

        def one(matrix: Any, column: Any, turned: bool) -> Any:
            start = first.pop() if first else None
            own = not said
            help_ = M if M is None or not turned else M.T
            kept = options if own else {k: v for k, v in options.items() if k != "callback"}
            found, info = method(matrix, column, start, M=help_, **kept)
            for _ in range(0 if own else 5):  # a breakdown is mended by starting again from there
                if info >= 0 or _solved(matrix, found, column, options):
                    break
                found, info = method(matrix, column, found, M=help_, **kept)
            if own:
                said.append(info)
            elif info and not _solved(matrix, found, column, options):
                raise NotDifferentiableError(
                    f"{name}: the system of the derivative was not solved (info={info}); allow more"
                    " iterations or give a preconditioner"
                )
            return found

        def solver(matrix: Any, b: Any, turned: bool) -> Any:
            if b.ndim == 1:
                return one(matrix, b, turned)
            return np.stack([one(matrix, c, turned) for c in b.T], axis=1)

        b = array(b)
        structure: Structure
        if is_sparse(A):
            A = sparse(A)
            data, shape, structure = A.data, A.shape, _Sparse(A.pattern, solver)
        elif isinstance(A, scipy.sparse.linalg.LinearOperator):
            data, shape, structure = np.float64(0), A.shape, _Operator(A, solver)
        else:
            data = array(A)
            shape, structure = shape_of(data), _Full(solver)
        if len(shape_of(b)) == 2 and shape_of(b)[1] == 1:
            b = np.reshape(b, (-1,))
        _check(name, shape, b, 1)
        x = solve(inexact(data), b, structure)
        return x, max(said, default=0)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"""The solution by `scipy.sparse.linalg.{name}`, and its `info`.

    Arguments:
        A: a matrix: sparse, dense or a linear operator; the first two may be differentiated.
        b: a vector; differentiable.
        x0, M, options: as in scipy. Derivatives are found to the same tolerance.

    >>> A = np.array([[2.0, 1.0], [1.0, 3.0]])
    >>> grad(lambda b: {name}(A, b, rtol=1e-12)[0][0])(np.ones(2))[0].round(6)
    array([ 0.6, -0.2])
    """
    return stands_for(method)(run)


def _solved(matrix: Any, x: Any, b: Any, options: dict[str, Any]) -> bool:
    """True if a run that broke down had already found the solution."""
    allowed = 100 * options.get("rtol", 1e-5) * np.linalg.norm(b) + options.get("atol", 0.0)
    return bool(np.linalg.norm(matrix @ x - b) <= allowed)


cg = _iterative("cg")
gmres = _iterative("gmres")
bicgstab = _iterative("bicgstab")
minres = _iterative("minres")

__all__ = ["bicgstab", "cg", "gmres", "minres", "spsolve"]
