"""What the functions of `numpy.linalg` share; and products, powers and traces of matrices.

The differentials of the others are those of Giles 2008, "Collected matrix derivative results for
forward and reverse mode algorithmic differentiation", where no other source is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.dims import Dim
from pycograd.core.errors import ShapeError, located
from pycograd.core.spelling import spells
from pycograd.ops.out import deliver

LinAlgError = np.linalg.LinAlgError


# -- operands ----------------------------------------------------------------------------------
def matrices(name: str, x: Any) -> Any:
    """`x`, which must have two axes at least."""
    x = x if isinstance(x, np.ndarray) else np.asarray(x)
    if len(x.shape) < 2:
        raise LinAlgError(located(f"{name}: shape {x.shape} is no matrix: it needs two axes"))
    return x


def square(name: str, x: Any) -> Any:
    """`x`, whose last two axes must have one length."""
    x = matrices(name, x)
    rows, columns = x.shape[-2:]
    if isinstance(rows, Dim) or isinstance(columns, Dim):
        sizes.same_size(rows, columns, name)
    elif rows != columns:
        raise LinAlgError(located(f"{name}: the last two axes of shape {x.shape} must be equal"))
    return x


@lru_cache(maxsize=512)
def dtypes(function: Callable[..., Any], *given: np.dtype[Any]) -> Any:
    """The dtype (for several results, the dtypes) that NumPy's `function` gives, asked of it."""
    out = function(*[np.eye(2, dtype=d) for d in given])
    return tuple([y.dtype for y in out]) if isinstance(out, tuple) else out.dtype


def inexact(x: Any) -> Any:
    """`x`; integers as float64."""
    return x if dtype_of(x).kind in "fc" else x.astype(np.float64)


# -- small expressions ---------------------------------------------------------------------------
def adjoint(x: Any) -> Any:
    """Each matrix transposed and conjugated."""
    x = np.matrix_transpose(x)
    return np.conj(x) if dtype_of(x).kind == "c" else x


def real(x: Any) -> Any:
    """The real part."""
    return np.real(x) if dtype_of(x).kind == "c" else x


def diagonals(x: Any) -> Any:
    """The diagonal of each matrix."""
    return np.diagonal(x, 0, -2, -1)


def right_divided(x: Any, a: Any) -> Any:
    """`x @ inv(a)`."""
    return adjoint(np.linalg.solve(adjoint(a), adjoint(x)))


def half(x: Any, upper: bool = False) -> Any:
    """One triangle, and the diagonal halved: what, added to its adjoint, is a Hermitian matrix."""
    n = index(shape_of(x)[-1])
    below: Any = np.tri(n, n, -1, bool)
    kept = np.where(below.T if upper else below, x, 0)
    return kept + np.where(np.eye(n, dtype=bool), x, 0) * 0.5


def hermitian(x: Any, upper: bool = False) -> Any:
    """The Hermitian matrix whose triangle this is: what NumPy makes of the half that it reads."""
    part = half(x, upper)
    return part + adjoint(part)


# -- powers and chains of products -------------------------------------------------------------
@spells(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    """The product of `n` copies of a square matrix; of its inverse for negative `n`."""
    a = square("matrix_power", a)
    try:
        n = index(n)
    except TypeError as error:
        raise TypeError("exponent must be an integer") from error
    if n == 0:
        unit = np.eye(index(a.shape[-1]), dtype=a.dtype)
        return np.array(np.broadcast_to(unit, a.shape))
    if n < 0:
        a, n = np.linalg.inv(a), -n
    if n == 1:
        return a * 1  # never the operand itself, as in NumPy
    power, result = a, None
    while n:
        n, odd = divmod(n, 2)
        if odd:
            result = power if result is None else result @ power
        if n:
            power = power @ power
    return result


@spells(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Any:
    """The product of matrices, in the order that multiplies least; vectors at the ends."""
    factors = [x if isinstance(x, np.ndarray) else np.asarray(x) for x in arrays]
    if len(factors) < 2:
        raise ValueError("Expecting at least two arrays.")
    first, last = len(factors[0].shape) == 1, len(factors[-1].shape) == 1
    if first:
        factors[0] = factors[0][None, :]
    if last:
        factors[-1] = factors[-1][:, None]
    for x in factors:
        if len(x.shape) != 2:
            raise LinAlgError(
                located(f"multi_dot: shape {x.shape}: matrices, and vectors only at the ends")
            )
    for x, y in pairwise(factors):
        try:
            sizes.same_size(x.shape[1], y.shape[0], "multi_dot")
        except ShapeError as error:
            raise ShapeError(f"multi_dot: incompatible shapes {x.shape} and {y.shape}") from error
    product = _chain(factors, _splits(factors), 0, len(factors) - 1)
    if first:
        product = product[0]
    if last:
        product = product[..., 0]
    return deliver(product, out)


def _splits(factors: Sequence[Any]) -> dict[tuple[int, int], int]:
    """Where to split each run of factors: Cormen et al., "Introduction to Algorithms", 15.2."""
    n = [factors[0].shape[0], *[x.shape[1] for x in factors]]
    if any(isinstance(m, Dim) for m in n):
        return {}
    cost: dict[tuple[int, int], int] = {(i, i): 0 for i in range(len(factors))}
    best: dict[tuple[int, int], int] = {}
    for length in range(1, len(factors)):
        for i in range(len(factors) - length):
            j = i + length
            cost[i, j], best[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + n[i] * n[k + 1] * n[j + 1], k) for k in range(i, j)
            )
    return best


def _chain(factors: Sequence[Any], splits: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return factors[i]
    k = splits.get((i, j), j - 1)
    return np.dot(_chain(factors, splits, i, k), _chain(factors, splits, k + 1, j))
