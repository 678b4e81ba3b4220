"""Inverses and linear systems: `inv`, `solve`, `pinv`, `lstsq` and the forms for tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import dtype_of, make_aval
from pycograd.core.box import Box, raw
from pycograd.core.differential import Differential
from pycograd.core.errors import ShapeError, located
from pycograd.core.spelling import spells
from pycograd.ops.linalg import (
    LinAlgError,
    adjoint,
    dtypes,
    hermitian as of_triangle,
    matrices,
    square,
)
from pycograd.ops.statistics import squares

UNSET: Any = np._NoValue  # NumPy's own default of keywords that were not given

_inv = Differential(
    "inv",
    np.linalg.inv,
    {"a": lambda t, ans: -(ans @ t @ ans)},
    shape=lambda a: make_aval(a.shape, dtypes(np.linalg.inv, a.dtype)),
    core=(2,),
    cost="factorization",
)


@spells(np.linalg.inv)
def inv(a: Any) -> Any:
    """The inverse of each matrix."""
    return _inv(square("inv", a))


def _solve_shape(a: Any, b: Any) -> Any:
    try:
        n = sizes.same_size(a.shape[-1], b.shape[-2], "solve")
        batch = sizes.broadcast(a.shape[:-2], b.shape[:-2], operation="solve")
    except ShapeError as error:
        raise ShapeError(f"solve: incompatible shapes {a.shape} and {b.shape}") from error
    return make_aval((*batch, n, b.shape[-1]), dtypes(np.linalg.solve, a.dtype, b.dtype))


_solve = Differential(
    "solve",
    np.linalg.solve,
    {"a": lambda t, a, ans: -np.linalg.solve(a, t @ ans)},
    transposes={"b": lambda ct, a: np.linalg.solve(np.matrix_transpose(a), ct)},
    shape=_solve_shape,
    core=(2, 2),
    cost="factorization",
)


@spells(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """The `x` with `a @ x = b`: as in NumPy 2, a `b` of one axis is a vector, others matrices."""
    a, b = square("solve", a), b if isinstance(b, np.ndarray) else np.asarray(b)
    if not b.shape:
        raise LinAlgError(located("solve: b is a scalar, which is neither a vector nor a matrix"))
    if len(b.shape) == 1:
        if a.shape[-1] is not b.shape[0]:
            try:
                sizes.same_size(a.shape[-1], b.shape[0], "solve")
            except ShapeError as error:
                raise ShapeError(f"solve: incompatible shapes {a.shape} and {b.shape}") from error
        return _solve(a, b[:, None])[..., 0]
    return _solve(a, b)


@spells(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """The `x` with `tensordot(a, x, x.ndim) = b`."""
    a, b = (x if isinstance(x, np.ndarray) else np.asarray(x) for x in (a, b))
    if axes is not None:
        order = list(range(len(a.shape)))
        for k in axes:
            order.remove(k)
            order.append(k)
        a = np.transpose(a, order)
    kept = a.shape[len(b.shape) :]
    n, rows = math.prod(kept), math.prod(a.shape[: len(b.shape)])
    if not isinstance(n, int) or not isinstance(rows, int):
        sizes.same_size(n, rows, "tensorsolve")
    elif n != rows:
        raise LinAlgError(
            located(
                f"tensorsolve: a of shape {a.shape} is not square for b of shape {b.shape}: the"
                " first axes and those that remain must have as many entries"
            )
        )
    return np.reshape(solve(np.reshape(a, (n, n)), np.ravel(b)), kept)


@spells(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of the map that `tensordot` with the last axes of `a`, from `ind` on, is."""
    a = a if isinstance(a, np.ndarray) else np.asarray(a)
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    first, last = a.shape[:ind], a.shape[ind:]
    n = math.prod(last)
    return np.reshape(inv(np.reshape(a, (n, -1))), (*last, *first))


# -- pseudo-inverses -------------------------------------------------------------------------------
def _pinv_rule(t: Any, a: Any, ans: Any, hermitian: bool) -> Any:
    # Golub and Pereyra 1973, eq. 4.12: for changes that keep the rank.
    if hermitian:
        a, t = of_triangle(a), of_triangle(t)
    h, back = adjoint(t), adjoint(ans)
    left = h - (h @ a) @ ans
    right = (h @ back) @ ans
    return ans @ (back @ left) + right - ans @ (a @ right) - ans @ (t @ ans)


_pinv = Differential(
    "pinv",
    lambda a, rtol, hermitian: np.linalg.pinv(a, rtol, hermitian),
    {"a": _pinv_rule},
    shape=lambda a, rtol, hermitian: make_aval(
        (*a.shape[:-2], a.shape[-1], a.shape[-2]), dtypes(np.linalg.pinv, a.dtype)
    ),
    core=(2, 0),
    cost="factorization",
)


@spells(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = UNSET) -> Any:
    """The pseudo-inverse of each matrix, by its singular values above `rcond` times the largest.

    The derivative is for changes of the matrix that keep its rank; no other exists. With
    `hermitian`, NumPy reads the lower triangle, and so the derivative is with respect to that one.
    """
    a = square("pinv", a) if hermitian else matrices("pinv", a)
    if rcond is not None and rtol is not UNSET:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    if rcond is None:
        rcond = 1e-15 if rtol is UNSET else rtol
        if rcond is None:
            rcond = _tolerance(a)
    return _pinv(a, rcond, hermitian=bool(hermitian))


def _tolerance(a: Any) -> Any:
    """The rounding errors of the singular values of `a`, relative to the largest."""
    return max(a.shape[-2:]) * np.finfo(dtypes(np.linalg.pinv, dtype_of(a))).eps


@spells(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The least squares solution, the sums of squared residuals, the rank, the singular values.

    As in NumPy there are sums of residuals only for more rows than columns of full rank. The
    derivative of the solution is for changes of the matrix that keep its rank.
    """
    a, b = (x if isinstance(x, np.ndarray) else np.asarray(x) for x in (a, b))
    vector = len(b.shape) == 1
    if vector:
        b = b[:, None]
    for x in (a, b):
        if len(x.shape) != 2:
            raise LinAlgError(located(f"lstsq: shape {x.shape} is no matrix"))
    if not isinstance(a.shape[0], int) or not isinstance(b.shape[0], int):
        sizes.same_size(a.shape[0], b.shape[0], "lstsq")
    elif a.shape[0] != b.shape[0]:
        raise LinAlgError(located(f"lstsq: incompatible shapes {a.shape} and {b.shape}"))
    rows, columns = a.shape
    if rcond is None:
        rcond = _tolerance(a)
    elif rcond < 0:
        rcond = np.finfo(dtypes(np.linalg.pinv, dtype_of(a))).eps
    s = np.linalg.svdvals(a)
    rank: Any = np.count_nonzero(s > rcond * s[:1], axis=-1).astype(np.int32)
    x = np.linalg.pinv(a, rcond) @ b
    off = b - a @ x
    residuals = np.sum(squares(off), 0) if _overdetermined(rows, columns, rank) else s[:0]
    return x[..., 0] if vector else x, residuals, rank, s


def _overdetermined(rows: Any, columns: Any, rank: Any) -> bool:
    """True if there are residuals: more rows than columns, these of full rank."""
    if not rows > columns:
        return False
    known = raw(rank) if isinstance(rank, Box) else rank
    if not isinstance(known, (np.ndarray, np.generic)):
        return True  # an abstract matrix is of full rank
    full = np.asarray(known) == columns
    if full.any() != full.all():
        raise ShapeError(
            "lstsq: some matrices of the batch have full rank and some not, so that NumPy gives"
            " sums of residuals for some alone; np.linalg.pinv(a) @ b has none"
        )
    return bool(full.all())
