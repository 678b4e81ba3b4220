"""Diagonals and triangles of matrices."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from pycograd.core.aval import make_aval
from pycograd.core.errors import ShapeError
from pycograd.core.linear import Linear
from pycograd.core.primitive import bind
from pycograd.core.spelling import spells
from pycograd.ops.axes import axis_of
from pycograd.ops.counting import below
from pycograd.ops.out import deliver
from pycograd.ops.shape import read_only


def _length(rows: int, columns: int, offset: int) -> int:
    return max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))


def _diagonal_shape(x: Any, offset: int) -> Any:
    rows, columns = x.shape[-2:]
    n = rows if rows == columns and offset == 0 else _length(index(rows), index(columns), offset)
    return make_aval((*x.shape[:-2], n), x.dtype)


def _embed(x: Any, offset: int, rows: int, columns: int) -> Any:
    made = np.zeros((*x.shape[:-1], rows, columns), x.dtype)
    i = np.arange(x.shape[-1])
    made[..., i + max(0, -offset), i + max(0, offset)] = x
    return made


# Both over the last two axes; the place of the diagonal in the matrix is `offset`, as in NumPy.
_diagonal: Linear = Linear(
    "diagonal",
    lambda x, offset: x.diagonal(offset, -2, -1),
    transposes={
        "x": lambda ct, x, offset: bind(
            _embed_diagonal,
            (ct,),
            {"offset": offset, "rows": x.shape[-2], "columns": x.shape[-1]},
        )
    },
    shape=_diagonal_shape,
    batch=lambda size, values, mapped, offset: bind(_diagonal, values, {"offset": offset}),
    view=read_only,
)
_embed_diagonal: Linear = Linear(
    "embed_diagonal",
    _embed,
    transposes={
        "x": lambda ct, offset: bind(_diagonal, (ct,), {"offset": offset}),
    },
    shape=lambda x, offset, rows, columns: make_aval((*x.shape[:-1], rows, columns), x.dtype),
    batch=lambda size, values, mapped, **params: bind(_embed_diagonal, values, params),
)


@spells(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The entries with equal positions along two axes, `offset` apart; read-only, as in NumPy."""
    n = len(a.shape)
    if n < 2:
        raise ShapeError(f"diagonal: a value of shape {a.shape} has fewer than two axes")
    first, second = axis_of(axis1, n, "diagonal"), axis_of(axis2, n, "diagonal")
    if first == second:
        raise ShapeError("diagonal: axis1 and axis2 cannot be the same")
    if (first, second) != (n - 2, n - 1):
        a = np.moveaxis(a, (first, second), (-2, -1))
    return bind(_diagonal, (a,), {"offset": index(offset)})


@spells(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with the given diagonal and zeros."""
    if len(v.shape) == 2:
        return diagonal(v, k)
    if len(v.shape) != 1:
        raise ShapeError(f"diag: a value of shape {v.shape} is neither a vector nor a matrix")
    size = v.shape[0] + abs(k)
    return bind(_embed_diagonal, (v,), {"offset": index(k), "rows": size, "columns": size})


@spells(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix with all entries of `v` on its diagonal."""
    return diag(np.ravel(v), k)


@spells(np.trace)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    """The sum along a diagonal."""
    return deliver(np.sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype), out)


@spells(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """The entries on and below the k-th diagonal, zeros above."""
    return np.where(_below(m, k), m, 0)


@spells(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """The entries on and above the k-th diagonal, zeros below."""
    return np.where(_below(m, k - 1), 0, m)


def _below(m: Any, k: int) -> Any:
    rows, columns = (*m.shape, *m.shape)[-2:] if len(m.shape) == 1 else m.shape[-2:]
    return below(rows, columns, k)
