"""Positions as index arrays: in the flattened array, along an axis, of true entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import shape_of
from pycograd.core.box import Box
from pycograd.core.errors import ShapeError
from pycograd.ops.axes import axis_of
from pycograd.ops.pattern import count


def in_bounds(at: Any, n: Any, mode: str, operation: str) -> Any:
    """Positions on an axis of size `n` as indices from 0 to n - 1."""
    at = at if isinstance(at, Box) else np.asarray(at, np.intp if np.size(at) == 0 else None)
    if mode == "wrap":
        return at % n
    if mode == "clip":
        return np.clip(at, 0, n - 1)
    if mode != "raise":
        raise ValueError(f"{operation}: mode must be one of 'raise', 'wrap' or 'clip', not {mode!r}")
    if not isinstance(at, Box) and at.size and not (-n <= at.min() and at.max() < n):
        raise IndexError(f"{operation}: indices out of bounds for {n} entries")
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
        np.reshape(count(n, arr, indices), [-1 if i == d else 1 for i in range(ndim)])
        for d, n in enumerate(shape_of(arr))
    ]
    arrays[axis] = indices
    return arrays
