"""Matrices of a structure in `scipy.linalg`: how they are made, and how they are solved."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.kinds import array, boxed, entries_at, inexact
from pycograd.scipy.solves import Banded, Structure, solve


def _vector(x: Any, operation: str) -> Any:
    x = array(x)
    if len(shape_of(x)) != 1:
        raise UnsupportedOperationError(
            f"{operation}: of differentiated values it takes vectors, not shape {shape_of(x)}; vmap"
            " makes several"
        )
    return x


# -- making ----------------------------------------------------------------------------------------
def _diagonals(c: Any, r: Any, operation: str) -> Any:
    """The values of a Toeplitz matrix, from the lowest diagonal to the highest."""
    c = _vector(c, operation)
    r = np.conj(c) if r is None else _vector(r, operation)
    return np.concatenate([c[::-1], r[1:]]), shape_of(c)[0], shape_of(r)[0]


@stands_for(scipy.linalg.toeplitz)
def toeplitz(c: Any, r: Any = None) -> Any:
    """The matrix with constant diagonals, by its first column and row; arguments are scipy's.

    >>> grad(lambda c: np.sum(toeplitz(c)))(np.ones(2))
    (array([2., 2.]),)
    """
    if not boxed(c, r):
        return scipy.linalg.toeplitz(c, r)
    values, rows, columns = _diagonals(c, r, "toeplitz")
    return values[rows - 1 - np.arange(rows)[:, None] + np.arange(columns)]


@stands_for(scipy.linalg.circulant)
def circulant(c: Any) -> Any:
    """The matrix whose columns are `c` turned round; the argument is scipy's.

    >>> grad(lambda c: circulant(c)[0, 1])(np.ones(3))
    (array([0., 0., 1.]),)
    """
    if not boxed(c):
        return scipy.linalg.circulant(c)
    c = _vector(c, "circulant")
    n = np.arange(shape_of(c)[0])
    return c[(n[:, None] - n) % len(n)]


@stands_for(scipy.linalg.hankel)
def hankel(c: Any, r: Any = None) -> Any:
    """The matrix with constant anti-diagonals; the arguments are scipy's.

    >>> grad(lambda c: np.sum(hankel(c)))(np.ones(2))
    (array([1., 2.]),)
    """
    if not boxed(c, r):
        return scipy.linalg.hankel(c, r)
    c = _vector(c, "hankel")
    r = 0 * c if r is None else _vector(r, "hankel")
    values = np.concatenate([c, r[1:]])
    return values[np.arange(shape_of(c)[0])[:, None] + np.arange(shape_of(r)[0])]


@stands_for(scipy.linalg.block_diag)
def block_diag(*arrs: Any) -> Any:
    """The matrix with these blocks on its diagonal; vectors are rows.

    >>> grad(lambda a: np.sum(block_diag(a, 2.0) ** 2))(np.ones((1, 2)))
    (array([[2., 2.]]),)
    """
    if not boxed(arrs):
        return scipy.linalg.block_diag(*arrs)
    blocks = [np.atleast_2d(array(a)) for a in arrs]
    for block in blocks:
        if len(shape_of(block)) > 2:
            raise ShapeError(f"block_diag: a block of shape {shape_of(block)} is no matrix")
    width = sum(shape_of(b)[1] for b in blocks)
    rows, before = [], 0
    for block in blocks:
        n = shape_of(block)[1]
        rows.append(np.pad(block, [(0, 0), (before, width - before - n)]))
        before += n
    return np.concatenate(rows)


@stands_for(scipy.linalg.khatri_rao)
def khatri_rao(a: Any, b: Any) -> Any:
    """The Kronecker products of columns; the arguments are scipy's.

    >>> grad(lambda a: np.sum(khatri_rao(a, np.ones((3, 2)))))(np.ones((1, 2)))
    (array([[3., 3.]]),)
    """
    if not boxed(a, b):
        return scipy.linalg.khatri_rao(a, b)
    a, b = array(a), array(b)
    if len(shape_of(a)) != 2 or len(shape_of(b)) != 2 or shape_of(a)[1] != shape_of(b)[1]:
        raise ShapeError(f"khatri_rao: incompatible shapes {shape_of(a)} and {shape_of(b)}")
    return np.reshape(a[:, None, :] * b, (-1, shape_of(a)[1]))


def kron(a: Any, b: Any) -> Any:
    """The Kronecker product, `np.kron`.

    >>> grad(lambda a: np.sum(kron(a, np.ones((3, 2)))))(np.ones((1, 1)))
    (array([[6.]]),)
    """
    return np.kron(a, b)


if hasattr(scipy.linalg, "kron"):  # it is gone from later versions
    stands_for(scipy.linalg.kron)(kron)


# -- solving ---------------------------------------------------------------------------------------
def _right(operation: str, n: Any, b: Any) -> Any:
    b = inexact(b)
    if not 1 <= len(shape_of(b)) <= 2 or shape_of(b)[0] != n:
        raise ShapeError(f"{operation}: incompatible shapes: {n} equations, b of {shape_of(b)}")
    return b


@stands_for(scipy.linalg.solve_banded)
def solve_banded(
    l_and_u: Any,
    ab: Any,
    b: Any,
    overwrite_ab: bool = False,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """The solution of a banded system, differentiable in the bands; the arguments are scipy's.

    >>> bands = np.array([[0.0, 1.0], [2.0, 4.0], [1.0, 0.0]])
    >>> grad(lambda b: solve_banded((1, 1), bands, b)[0])(np.ones(2))[0].round(6)
    array([ 0.571429, -0.142857])
    """
    if not boxed(ab, b):
        return scipy.linalg.solve_banded(l_and_u, ab, b, check_finite=check_finite)
    lower, upper = l_and_u
    ab = inexact(ab)
    if len(shape_of(ab)) != 2 or shape_of(ab)[0] != lower + upper + 1:
        raise ShapeError(
            f"solve_banded: {lower} + {upper} + 1 diagonals, but ab has shape {shape_of(ab)}"
        )
    return solve(ab, _right("solve_banded", shape_of(ab)[1], b), Banded(lower, upper))


@stands_for(scipy.linalg.solveh_banded)
def solveh_banded(
    ab: Any,
    b: Any,
    overwrite_ab: bool = False,
    overwrite_b: bool = False,
    lower: bool = False,
    check_finite: bool = True,
) -> Any:
    """The solution of a positive definite banded system; the arguments are scipy's.

    A band is one half of the matrix: its gradient is for both.

    >>> bands = np.array([[2.0, 4.0], [1.0, 0.0]])
    >>> grad(lambda b: solveh_banded(bands, b, lower=True)[0])(np.ones(2))[0].round(6)
    array([ 0.571429, -0.142857])
    """
    if not boxed(ab, b):
        return scipy.linalg.solveh_banded(ab, b, lower=lower, check_finite=check_finite)
    ab = inexact(ab)
    if len(shape_of(ab)) != 2:
        raise ShapeError(f"solveh_banded: ab is a matrix, not of shape {shape_of(ab)}")
    width, n = shape_of(ab)
    complex_ = dtype_of(ab).kind == "c"
    below, above = [], []
    for k in range(width):
        if lower:
            low = ab[k]
            high = np.pad(np.conj(low[: n - k]), (k, 0))
        else:
            high = ab[width - 1 - k]
            low = np.pad(np.conj(high[k:]), (0, k))
        below.append(low)
        above.append(high)
    diagonal = np.real(below[0]) + 0 * below[0] if complex_ else below[0]
    whole = np.stack([*above[:0:-1], diagonal, *below[1:]])
    bands = Banded(width - 1, width - 1, positive=True)
    return solve(whole, _right("solveh_banded", n, b), bands)


class _Toeplitz(Structure):
    """A matrix by its diagonals, from the lowest to the highest."""

    __slots__ = ("turned",)

    def __init__(self, turned: bool = False) -> None:
        self.turned = turned

    def transposed(self) -> _Toeplitz:
        return _Toeplitz(not self.turned)

    def solve(self, a: Any, b: Any) -> Any:
        n = (len(a) + 1) // 2
        column, row = a[n - 1 :: -1], a[n - 1 :]
        both = (row, column) if self.turned else (column, row)
        return scipy.linalg.solve_toeplitz(both, b)

    def times(self, a: Any, x: Any) -> Any:
        n = shape_of(x)[0]
        steps = np.arange(n)[:, None] - np.arange(n)
        return entries_at(a, n - 1 + steps if self.turned else n - 1 - steps) @ x

    def entries(self, left: Any, right: Any) -> Any:
        if self.turned:
            left, right = right, left
        if len(shape_of(left)) == 1:
            return np.convolve(left[::-1], right)
        each = range(shape_of(left)[1])
        return sum(np.convolve(left[::-1, k], right[:, k]) for k in each)


@stands_for(scipy.linalg.solve_toeplitz)
def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: bool = True) -> Any:
    """The solution of a Toeplitz system by Levinson's recursion; the arguments are scipy's.

    >>> grad(lambda c: solve_toeplitz(c, np.ones(2))[0])(np.array([2.0, 1.0]))[0].round(6)
    array([-0.111111, -0.111111])
    """
    if not boxed(c_or_cr, b):
        return scipy.linalg.solve_toeplitz(c_or_cr, b, check_finite)
    c, r = c_or_cr if isinstance(c_or_cr, tuple) else (c_or_cr, None)
    values, rows, columns = _diagonals(
        inexact(c), None if r is None else inexact(r), "solve_toeplitz"
    )
    if rows != columns:
        raise ShapeError(f"solve_toeplitz: {rows} rows and {columns} columns")
    return solve(values, _right("solve_toeplitz", rows, b), _Toeplitz())
