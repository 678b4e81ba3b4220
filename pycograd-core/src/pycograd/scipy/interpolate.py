"""`scipy.interpolate`: interpolants, differentiable at their places and in their samples.

They are objects as scipy's are, called at places: `spline(x)`, `spline(x, nu)`,
`spline.derivative()`. An object of scipy itself, called with a differentiated value, raises.

>>> x = np.linspace(0.0, 1.0, 5)
>>> g, = grad(lambda y: interp1d(x, y)(0.3))(np.ones(5))
>>> g.round(6)
array([0. , 0.8, 0.2, 0. , 0. ])
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import scipy.interpolate

from pycograd.core.aval import FLOAT64, ShapeDtypeStruct, dtype_of, shape_of
from pycograd.core.box import raw
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.kinds import array, boxed, entries_at, inexact
from pycograd.scipy.piecewise import Piecewise, along, ascending, placed, samples
from pycograd.scipy.splines import (
    Akima1DInterpolator,
    CubicHermiteSpline,
    CubicSpline,
    PchipInterpolator,
    make_interp_spline,
)

_STEPS = ("nearest", "nearest-up", "previous", "next", "zero")
_LINES = ("linear", "slinear", 1)
_CUBICS = ("cubic", 3)


@stands_for(scipy.interpolate.interp1d)
class interp1d:
    """An interpolant of samples along an axis; the arguments are scipy's.

    Arguments:
        x, y: places and values, both differentiable.
        kind: linear (slinear), cubic, and the steps nearest, nearest-up, previous, next and zero,
            whose derivative in the places is 0.
        axis, bounds_error, fill_value, assume_sorted: as in scipy.

    Raises:
        ValueError: a place outside of the samples, if `bounds_error`.
        UnsupportedOperationError: another `kind` with differentiated values.

    >>> grad(lambda at: interp1d([0.0, 1.0, 3.0], [0.0, 2.0, 8.0])(at))(2.0)
    (3.0,)
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        kind: Any = "linear",
        axis: int = -1,
        copy: bool = True,
        bounds_error: Any = None,
        fill_value: Any = np.nan,
        assume_sorted: bool = False,
    ) -> None:
        self.plain = None
        if not boxed(x, y, fill_value):
            self.plain = scipy.interpolate.interp1d(
                x, y, kind, axis, copy, bounds_error, fill_value, assume_sorted
            )
        kind = 0 if kind == "zero" else kind
        self.kind = "zero" if kind == 0 and kind is not False else kind
        self.x, self.y, self.axis = samples(x, y, axis, "interp1d", 1)
        if not assume_sorted:
            order = np.argsort(self.x, kind="mergesort")
            self.x, self.y = np.take(self.x, order), np.take(self.y, order, axis=0)
        self.extrapolate = isinstance(fill_value, str) and fill_value == "extrapolate"
        pair = isinstance(fill_value, tuple)
        self.fill = fill_value if pair else (fill_value, fill_value)
        self.bounds_error = bounds_error
        if self.extrapolate and self.kind in ("previous", "next"):  # there is none on one side
            ends = (np.nan, self.y[-1]) if self.kind == "previous" else (self.y[0], np.nan)
            self.extrapolate, self.fill, self.bounds_error = False, ends, False
        if self.bounds_error is None:
            unset = not pair and not boxed(fill_value) and not self.extrapolate
            self.bounds_error = unset and bool(np.all(np.isnan(fill_value)))
        self._cubic = CubicSpline(self.x, self.y) if self.kind in _CUBICS else None

    def __call__(self, x: Any) -> Any:
        """The values at the places `x`, of any shape."""
        if self.plain is not None and not boxed(x):
            return self.plain(x)
        places = array(x)
        at: Any = np.reshape(places, (-1,))
        self._check(at)
        below, above = at < self.x[0], at > self.x[-1]
        value = self._values(at)
        if not self.extrapolate:
            shape = shape_of(self.y)[1:]
            low, high = (np.broadcast_to(array(fill), shape) for fill in self.fill)
            value = np.where(along(below, value), low, np.where(along(above, value), high, value))
        shape = shape_of(places)
        return placed(np.reshape(value, (*shape, *shape_of(value)[1:])), len(shape), self.axis)

    def _values(self, at: Any) -> Any:
        n = shape_of(self.x)[0]
        if self._cubic is not None:
            return self._cubic(at)
        if self.kind in _LINES:
            right = np.clip(np.searchsorted(self.x, at), 1, n - 1)
            x0, x1 = entries_at(self.x, right - 1), entries_at(self.x, right)
            y0, y1 = entries_at(self.y, right - 1), entries_at(self.y, right)
            return (y1 - y0) / along(x1 - x0, y0) * along(at - x0, y0) + y0
        if self.kind in ("nearest", "nearest-up"):
            side: Any = "left" if self.kind == "nearest" else "right"
            place = np.searchsorted((self.x[1:] + self.x[:-1]) / 2.0, at, side=side)
        elif self.kind in ("previous", "zero"):
            place = np.searchsorted(self.x, at, side="right") - 1
        elif self.kind == "next":
            place = np.searchsorted(self.x, at, side="left")
        else:
            raise UnsupportedOperationError(
                f"interp1d: kind {self.kind!r} has no derivative here; linear, cubic and"
                f" {', '.join(_STEPS)} have"
            )
        return entries_at(self.y, np.clip(place, 0, n - 1))

    def _check(self, at: Any) -> None:
        first, last, given = raw(self.x[0]), raw(self.x[-1]), raw(at)
        if not self.bounds_error or any(isinstance(v, ShapeDtypeStruct) for v in (first, given)):
            return
        outside = (given < np.min(first)) | (given > np.max(last))
        if np.any(outside):
            raise ValueError(
                f"interp1d: {np.asarray(given)[outside][0]} is outside of the samples, from"
                f" {np.min(first)} to {np.max(last)}; give fill_value"
            )


# -- on grids --------------------------------------------------------------------------------------
@stands_for(scipy.interpolate.RegularGridInterpolator)
class RegularGridInterpolator:
    """An interpolant of values on a rectilinear grid; the arguments are scipy's.

    Arguments:
        points: one ascending vector of places for each axis of the grid.
        values: shape `(len(points[0]), len(points[1]), ..., *rest)`.
        method: `"linear"`, or `"nearest"`, whose derivative in the places is 0.
        bounds_error, fill_value: as in scipy; a `fill_value` of None extrapolates.

    Raises:
        UnsupportedOperationError: another `method` with differentiated values.

    >>> grid = (np.arange(3.0), np.arange(2.0))
    >>> f = lambda v, at: RegularGridInterpolator(grid, v)(at)[0]
    >>> grad(f, argnums=1)(np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]), np.array([[0.5, 0.5]]))
    array([[2., 1.]])
    """

    def __init__(
        self,
        points: Any,
        values: Any,
        method: str = "linear",
        bounds_error: bool = True,
        fill_value: Any = np.nan,
        **options: Any,
    ) -> None:
        self.plain = None
        if not boxed(points, values, fill_value):
            self.plain = scipy.interpolate.RegularGridInterpolator(
                points, values, method, bounds_error, fill_value, **options
            )
        self.grid = [array(p) for p in points]
        self.grid = [p if dtype_of(p).kind == "f" else p.astype(FLOAT64) for p in self.grid]
        self.values, self.method = inexact(values), method
        self.bounds_error, self.fill_value, self.options = bounds_error, fill_value, options
        have = shape_of(self.values)[: len(self.grid)]
        if have != tuple([shape_of(p)[0] for p in self.grid]):
            raise ShapeError(
                f"RegularGridInterpolator: values of shape {shape_of(self.values)} for a grid of"
                f" {' by '.join(str(shape_of(p)[0]) for p in self.grid)}"
            )
        for p in self.grid:
            ascending(p, "RegularGridInterpolator")

    def __call__(self, xi: Any, method: Any = None, *, nu: Any = None) -> Any:
        """The values at places `xi`, shape `(..., number of axes)` or a tuple of coordinates."""
        if self.plain is not None and not boxed(xi):
            return self.plain(xi, method, nu=nu)
        method = method or self.method
        if method not in ("linear", "nearest") or nu is not None or self.options:
            raise UnsupportedOperationError(
                f"RegularGridInterpolator: method {method!r} with differentiated values; linear and"
                " nearest are supported, without further options"
            )
        if isinstance(xi, tuple):
            xi = np.stack(np.broadcast_arrays(*[array(x) for x in xi]), -1)
        xi = array(xi)
        rank = len(self.grid)
        if shape_of(xi)[-1:] != (rank,):
            if rank != 1:
                raise ShapeError(
                    f"RegularGridInterpolator: places of shape {shape_of(xi)} in {rank} dimensions"
                )
            xi = xi[..., None]
        shape = shape_of(xi)[:-1] or (1,)
        at: Any = np.reshape(xi, (-1, rank))
        self._check(at)
        rest = shape_of(self.values)[rank:]
        places, parts = [], []
        for axis, grid in enumerate(self.grid):
            x, n = at[:, axis], shape_of(grid)[0]
            left = np.clip(np.searchsorted(grid, x, side="right") - 1, 0, max(n - 2, 0))
            right = np.minimum(left + 1, n - 1)
            x0, x1 = entries_at(grid, left), entries_at(grid, right)
            width = np.where(x1 == x0, 1.0, x1 - x0)
            places.append((left, right))
            parts.append((x - x0) / width)
        value = self._nearest(places, parts) if method == "nearest" else self._linear(places, parts)
        if not self.bounds_error and self.fill_value is not None:
            outside: Any = False
            for axis, grid in enumerate(self.grid):
                x = at[:, axis]
                outside = outside | (x < grid[0]) | (x > grid[-1])
            value = np.where(along(outside, value), self.fill_value, value)
        return np.reshape(value, (*shape, *rest))

    def _linear(self, places: Any, parts: Any) -> Any:
        total: Any = 0
        for corner in itertools.product((0, 1), repeat=len(places)):
            weight: Any = 1.0
            for side, part in zip(corner, parts):
                weight = weight * (part if side else 1 - part)
            entries = self._entries([p[side] for p, side in zip(places, corner)])
            total = total + along(weight, entries) * entries
        return total

    def _nearest(self, places: Any, parts: Any) -> Any:
        chosen = [np.where(part <= 0.5, *sides) for part, sides in zip(parts, places)]
        return self._entries(chosen)

    def _entries(self, places: Any) -> Any:
        table = self.values
        if not boxed(table) and boxed(places):
            table = np.asarray(table, like=next(p for p in places if boxed(p)))
        return table[tuple(places)]

    def _check(self, at: Any) -> None:
        given = raw(at)
        if not self.bounds_error or isinstance(given, ShapeDtypeStruct):
            return
        for axis, grid in enumerate(self.grid):
            ends = raw(grid)
            if isinstance(ends, ShapeDtypeStruct):
                continue
            x = given[..., axis]
            if np.any(x < np.min(ends)) or np.any(x > np.max(ends)):
                raise ValueError(
                    "RegularGridInterpolator: one of the places is out of bounds in dimension"
                    f" {axis}; give bounds_error=False and fill_value"
                )


@stands_for(scipy.interpolate.interpn)
def interpn(
    points: Any,
    values: Any,
    xi: Any,
    method: str = "linear",
    bounds_error: bool = True,
    fill_value: Any = np.nan,
) -> Any:
    """Values on a grid interpolated at places; the arguments are scipy's.

    >>> grad(lambda at: interpn((np.arange(3.0),), np.arange(3.0) ** 2, at)[0])(np.array([1.5]))
    (array([3.]),)
    """
    if not boxed(points, values, xi, fill_value):
        return scipy.interpolate.interpn(points, values, xi, method, bounds_error, fill_value)
    return RegularGridInterpolator(points, values, method, bounds_error, fill_value)(xi)


__all__ = [
    "Akima1DInterpolator",
    "CubicHermiteSpline",
    "CubicSpline",
    "PchipInterpolator",
    "Piecewise",
    "RegularGridInterpolator",
    "interp1d",
    "interpn",
    "make_interp_spline",
]
