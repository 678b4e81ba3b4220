"""Norms, condition numbers and ranks: NumPy over reductions and singular values.

At 0 the subgradient of every norm is 0, entries that tie for a maximum or minimum share equally,
and so do equal singular values.
"""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of
from pycograd.core.errors import located
from pycograd.core.spelling import spells
from pycograd.ops.axes import axis_of
from pycograd.ops.linalg import LinAlgError, inexact, matrices, square
from pycograd.ops.statistics import root, squares

_inf = float("inf")


# -- of entries ------------------------------------------------------------------------------------
def _rooted(total: Any, p: Any) -> Any:
    """`total ** (1 / p)`, of which the subgradient at 0 (and at inf for negative p) is 0."""
    if p == 2:
        return root(total)
    end: Any = total == 0 if p > 0 else np.isinf(total)
    return np.where(end, 0, np.where(end, 1, total) ** (1 / p))


def _entries(x: Any, p: Any, axis: Any, keepdims: bool) -> Any:
    """The norm of the entries along one axis, or along several for p = 2."""
    if p == 2:
        return _rooted(np.sum(squares(x), axis=axis, keepdims=keepdims), 2)
    if p == _inf:
        return np.max(np.abs(x), axis=axis, keepdims=keepdims, initial=0)
    if p == -_inf:
        return np.min(np.abs(x), axis=axis, keepdims=keepdims)
    if p == 0:
        nonzero = (x != 0).astype(np.zeros((), dtype_of(x)).real.dtype)
        return np.sum(nonzero, axis=axis, keepdims=keepdims)
    if p == 1:
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    if p % 2 == 0 and p > 0:
        return _rooted(np.sum(squares(x) ** (p / 2), axis=axis, keepdims=keepdims), p)
    size = np.abs(x)
    zero = size == 0  # where the power may have no derivative
    powers = np.where(zero, 0 if p > 0 else _inf, np.where(zero, 1, size) ** p)
    return _rooted(np.sum(powers, axis=axis, keepdims=keepdims), p)


# -- of matrices -----------------------------------------------------------------------------------
def _matrix(x: Any, p: Any, axis: tuple[int, int], keepdims: bool) -> Any:
    """The norm of the matrices in two axes."""
    row, column = axis
    if p is None or p in ("fro", "f"):
        return _entries(x, 2, axis, keepdims)
    if p in (2, -2, "nuc"):
        s = np.linalg.svdvals(np.moveaxis(x, axis, (-2, -1)))
        if p == "nuc":
            norm = np.sum(s, -1)
        else:
            norm = np.max(s, -1, initial=0) if p == 2 else np.min(s, -1)
        return np.expand_dims(norm, axis) if keepdims else norm
    if p not in (1, -1, _inf, -_inf):
        raise ValueError("Invalid norm order for matrices.")
    inner, outer = (row, column) if p in (1, -1) else (column, row)
    sums = np.sum(np.abs(x), axis=inner, keepdims=True)
    if p > 0:
        norm = np.max(sums, axis=outer, keepdims=True, initial=0)
    else:
        norm = np.min(sums, axis=outer, keepdims=True)
    return norm if keepdims else np.squeeze(norm, axis)


@spells(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Norms of vectors and matrices, of every order that NumPy has; at 0 the subgradient is 0."""
    x = inexact(x)
    ndim = len(x.shape)
    if axis is None:
        if ord is None or (ord in ("f", "fro") and ndim == 2) or (ord == 2 and ndim == 1):
            return _entries(x, 2, None, keepdims)
        axis = tuple(range(ndim))
    elif not isinstance(axis, tuple):
        try:
            axis = (index(axis),)
        except TypeError as error:
            raise TypeError("'axis' must be None, an integer or a tuple of integers") from error
    axis = tuple([axis_of(a, ndim, "norm") for a in axis])
    if len(axis) == 1:
        if isinstance(ord, str):
            raise ValueError(f"Invalid norm order '{ord}' for vectors")
        return _entries(x, 2 if ord is None else ord, axis[0], keepdims)
    if len(axis) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    if axis[0] == axis[1]:
        raise ValueError("Duplicate axes given.")
    return _matrix(x, ord, axis, bool(keepdims))


@spells(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """As `norm`, of the matrices in the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)


@spells(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """As `norm`, of all entries along the axes taken as one vector."""
    ndim = len(x.shape)
    if axis is None:
        axes = tuple(range(ndim))
        flat, over = np.ravel(x), 0
    elif isinstance(axis, tuple):
        axes = tuple([axis_of(a, ndim, "vector_norm") for a in axis])
        rest = [i for i in range(ndim) if i not in axes]
        flat = np.transpose(x, [*axes, *rest])
        flat, over = np.reshape(flat, (-1, *[x.shape[i] for i in rest])), 0
    else:
        axes = (axis_of(axis, ndim, "vector_norm"),)
        flat, over = x, axes[0]
    out = norm(flat, ord, over)
    return np.expand_dims(out, axes) if keepdims else out


# -- condition numbers and ranks -------------------------------------------------------------------
@spells(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """Condition numbers in the norm `p`; that of a singular matrix is `inf`, with derivative 0."""
    x = matrices("cond", x)
    if 0 in x.shape:
        raise LinAlgError(located(f"cond: a matrix of shape {x.shape} has none"))
    if p is None or p in (2, -2):
        s = np.linalg.svdvals(x)
        first, last = s[..., 0], s[..., -1]
        if p == -2:
            first, last = last, first
        singular = last == 0
        first, last = np.where(singular, 1, first), np.where(singular, 1, last)
    else:
        x = inexact(square("cond", x))
        singular = np.linalg.slogdet(x)[0] == 0
        unit = np.eye(index(x.shape[-1]), dtype=dtype_of(x))
        x = np.where(singular[..., None, None], unit, x)
        first, last = norm(x, p, (-2, -1)) * norm(np.linalg.inv(x), p, (-2, -1)), 1
    return np.where(singular, _inf, first / last)


@spells(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """How many singular values are not 0 up to a tolerance; the derivative is 0."""
    if rtol is not None and tol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    if len(A.shape) < 2:
        return np.any(A != 0).astype(int)
    s = np.linalg.svd(A, compute_uv=False, hermitian=hermitian)
    if tol is None:
        if rtol is None:
            rtol = max(A.shape[-2:]) * np.finfo(dtype_of(s)).eps
        else:
            rtol = np.asarray(rtol)[..., None]
        tol = np.max(s, -1, keepdims=True, initial=0) * rtol
    else:
        tol = np.asarray(tol)[..., None]
    return np.count_nonzero(s > tol, axis=-1)
