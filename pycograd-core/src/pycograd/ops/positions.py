"""Positions as index arrays: in the flattened array, along an axis, of true entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index as as_int
from typing import Any, NoReturn

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import make_aval, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import ControlFlowError, OutOfBoundsError, ShapeError
from pycograd.core.linear import ZeroDerivative
from pycograd.core.primitive import bind
from pycograd.core.spelling import spells
from pycograd.ops.axes import axis_of
from pycograd.ops.counting import arange


def in_bounds(at: Any, n: Any, mode: str, operation: str) -> Any:
    """Positions on an axis of size `n` as indices from 0 to n - 1."""
    at = at if isinstance(at, Box) else np.asarray(at, np.intp if np.size(at) == 0 else None)
    n = as_int(n)
    if mode == "wrap":
        return at % n
    if mode == "clip":
        return np.clip(at, 0, n - 1)
    if mode != "raise":
        raise ValueError(f"{operation}: mode must be 'raise', 'wrap' or 'clip', not {mode!r}")
    if not isinstance(at, Box) and at.size and not (-n <= at.min() and at.max() < n):
        raise OutOfBoundsError(f"{operation}: indices out of bounds for {n} entries")
    return np.where(at < 0, at + n, at)


def coordinates(flat: Any, shape: Sequence[Any]) -> list[Any]:
    """The index arrays of positions in the flattened array."""
    found: list[Any] = []
    for n in shape[:0:-1]:
        found.append(flat % n)
        flat = flat // n
    return [flat, *found[::-1]]


def along_axis(arr: Any, indices: Any, axis: int, operation: str) -> list[Any]:
    """The index arrays that take `indices` along an axis, row by row."""
    indices = indices if isinstance(indices, Box) else np.asarray(indices)
    ndim = len(shape_of(arr))
    if len(indices.shape) != ndim:
        raise ShapeError(
            f"{operation}: indices of shape {indices.shape} for an array of shape {shape_of(arr)}:"
            " the number of axes must be the same"
        )
    axis = axis_of(axis, ndim, operation)
    arrays = [
        np.reshape(arange(n), [-1 if i == d else 1 for i in range(ndim)])
        for d, n in enumerate(shape_of(arr))
    ]
    arrays[axis] = indices
    return arrays


# -- of true entries -------------------------------------------------------------------------------
def _nonzero_shape(x: Any) -> Any:
    n = sizes.fresh_size("nonzero")
    return tuple([make_aval((n,), np.dtype(np.intp)) for _ in x.shape])


def no_rows(operation: str) -> Callable[..., NoReturn]:
    """The batching rule of an operation whose result has another size in each row."""

    def batch(size: int, values: Any, mapped: Any, **params: Any) -> NoReturn:
        raise ControlFlowError(
            f"{operation} under vmap: how many entries there are differs between rows. Write"
            " np.where(mask, x, 0), or np.sum(x, where=mask), in its place"
        )

    return batch


nonzero = ZeroDerivative(
    "nonzero",
    lambda x: np.asarray(x).nonzero(),
    shape=_nonzero_shape,
    batch=no_rows("nonzero"),
    multi=True,
)


@spells(np.nonzero)
def _nonzero(a: Any) -> Any:
    """The index arrays of the entries that are not zero, which are constants."""
    if a.shape == ():
        raise ValueError("nonzero of a 0-d value: write np.atleast_1d(x).nonzero()")
    return bind(nonzero, (a,), {})


@spells(np.flatnonzero)
def flatnonzero(a: Any) -> Any:
    """The positions of the entries that are not zero in the flattened array."""
    return np.nonzero(np.ravel(a))[0]


@spells(np.argwhere)
def argwhere(a: Any) -> Any:
    """The coordinates of each entry that is not zero, one a row."""
    if a.shape == ():
        return argwhere(np.reshape(a, (1,)))[:, :0]
    return np.stack(np.nonzero(a), axis=1)


# -- positions asked of a box, whose shape or integers are constants -------------------------------
@spells(np.diag_indices_from)
def diag_indices_from(arr: Any) -> Any:
    """The index arrays of the main diagonal."""
    if len(arr.shape) < 2 or len(set(arr.shape)) > 1:
        raise ValueError("diag_indices_from: all dimensions must be of equal length, two at least")
    return np.diag_indices(as_int(arr.shape[0]), len(arr.shape))


@spells(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> Any:
    """The index arrays of the entries on and below a diagonal."""
    return np.tril_indices(*_matrix(arr, k))


@spells(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> Any:
    """The index arrays of the entries on and above a diagonal."""
    return np.triu_indices(*_matrix(arr, k))


def _matrix(arr: Any, k: int) -> tuple[int, int, int]:
    if len(arr.shape) != 2:
        raise ValueError("input array must be 2-d")
    return as_int(arr.shape[0]), k, as_int(arr.shape[1])


@spells(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> Any:
    """The coordinates of positions in the flattened array."""
    sizes_ = shape if isinstance(shape, (tuple, list)) else (shape,)
    found = coordinates(indices, sizes_ if order == "C" else sizes_[::-1])
    return tuple(found if order == "C" else found[::-1])


@spells(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """The positions in the flattened array of coordinates."""
    modes = mode if isinstance(mode, (tuple, list)) else [mode] * len(dims)
    flat: Any = 0
    places = list(zip(multi_index, dims, modes))
    for at, n, how in places if order == "C" else places[::-1]:
        flat = flat * n + in_bounds(at, n, how, "ravel_multi_index")
    return flat
