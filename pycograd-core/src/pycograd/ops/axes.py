"""Axis arguments: negative axes counted from the end, wrong ones named with their operation."""

from __future__ import annotations

from operator import index
from typing import Any

from pycograd.core.errors import ShapeError, located


def axis_of(axis: Any, ndim: int, operation: str) -> int:
    """`axis` as a number from 0 to `ndim - 1`."""
    if type(axis) is int:
        n = axis
    else:
        try:
            n = index(axis)
        except TypeError as error:
            raise TypeError(located(f"{operation}: axis {axis!r} is not an integer")) from error
    if 0 <= n < ndim:
        return n
    if -ndim <= n < 0:
        return n + ndim
    raise ShapeError(f"{operation}: axis {n} is out of bounds for a value with {ndim} axes")


def axes_of(axis: Any, ndim: int, operation: str) -> tuple[int, ...]:
    """An int or a sequence of ints as a tuple of different axes; None means all of them."""
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int:
        return (axis_of(axis, ndim, operation),)
    many = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple([axis_of(a, ndim, operation) for a in many])
    if len(set(axes)) < len(axes):
        raise ShapeError(f"{operation}: repeated axis in {axis}")
    return axes
