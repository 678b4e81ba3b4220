"""Piecewise polynomials: what splines of `scipy.interpolate` are, once their slopes are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pycograd.core.aval import FLOAT64, ShapeDtypeStruct, dtype_of, shape_of
from pycograd.core.box import raw
from pycograd.core.errors import UnsupportedOperationError
from pycograd.scipy.kinds import array, boxed, entries_at, inexact


class Piecewise:
    """A polynomial on each interval; called at places, it gives values or derivatives.

    Made from plain arrays it holds scipy's own object, which answers plain calls and has all of
    scipy's methods. Made from differentiated values it has those defined here.

    Arguments:
        x: the ends of the intervals, ascending.
        c: coefficients, the highest power first, shape `(k, len(x) - 1, *rest)`.
        extrapolate: True, False (nan outside) or `"periodic"`.
        axis: where in the results the axes of the places go.
        plain: scipy's object, if there is one.
    """

    def __init__(self, x: Any, c: Any, extrapolate: Any, axis: int, plain: Any = None) -> None:
        self.x, self.c, self.extrapolate, self.axis, self.plain = x, c, extrapolate, axis, plain

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
        """Values of the derivative of order `nu` at the places `x`, of any shape."""
        if self.plain is not None and not boxed(x):
            return self.plain(x, nu, extrapolate)
        if nu < 0:
            return self.antiderivative(-nu)(x, 0, extrapolate)
        if nu:
            return self.derivative(nu)(x, 0, extrapolate)
        extrapolate = self.extrapolate if extrapolate is None else extrapolate
        places = array(x)
        shape = shape_of(places)
        at: Any = np.reshape(places, (-1,))
        first, last = self.x[0], self.x[-1]
        if extrapolate == "periodic":
            at = first + np.remainder(at - first, last - first)
        count = shape_of(self.c)[1]
        interval = np.clip(np.searchsorted(self.x, at, side="right") - 1, 0, count - 1)
        rest = shape_of(self.c)[2:]
        step: Any = np.reshape(at - entries_at(self.x, interval), (-1,) + (1,) * len(rest))
        value: Any = 0 * step
        for power in range(shape_of(self.c)[0]):
            value = value * step + entries_at(self.c[power], interval)
        if not extrapolate:
            inside: Any = np.reshape((at >= first) & (at <= last), shape_of(step))
            value = np.where(inside, value, np.nan)
        return placed(np.reshape(value, (*shape, *rest)), len(shape), self.axis)

    def derivative(self, nu: int = 1) -> Piecewise:
        """The derivative of order `nu`, a piecewise polynomial again."""
        if nu < 0:
            return self.antiderivative(-nu)
        powers = np.arange(shape_of(self.c)[0] - 1, -1, -1)
        factors = np.array([math.perm(int(p), nu) for p in powers], float)[
            : max(len(powers) - nu, 0)
        ]
        if len(factors):
            c = self.c[: len(factors)] * _column(factors, self.c)
        else:
            c = 0 * self.c[:1]
        return self._like(c, "derivative", nu)

    def antiderivative(self, nu: int = 1) -> Piecewise:
        """The integral from the first end on, `nu` times."""
        if nu <= 0:
            return self.derivative(-nu)
        found = self
        for _ in range(nu):
            k = shape_of(found.c)[0]
            c = found.c / _column(np.arange(k, 0, -1.0), found.c)
            widths: Any = np.reshape(np.diff(found.x), (-1,) + (1,) * (len(shape_of(c)) - 2))
            whole: Any = 0 * widths
            for power in range(k):
                whole = (whole + c[power]) * widths
            start = np.cumsum(whole, axis=0)
            constant = np.concatenate([0 * start[:1], start[:-1]])
            c = np.concatenate([c, constant[None]])
            found = Piecewise(found.x, c, found.extrapolate, found.axis)
        extrapolate = False if self.extrapolate == "periodic" else self.extrapolate
        return Piecewise(
            found.x, found.c, extrapolate, self.axis, self.plain and self.plain.antiderivative(nu)
        )

    def integrate(self, a: Any, b: Any, extrapolate: Any = None) -> Any:
        """The integral from `a` to `b`."""
        if self.plain is not None and not boxed(a, b):
            return self.plain.integrate(a, b, extrapolate)
        if (self.extrapolate if extrapolate is None else extrapolate) == "periodic":
            raise UnsupportedOperationError(
                "integrate: a periodic spline beyond its period; integrate over the parts"
            )
        whole = self.antiderivative()
        return whole(b, 0, extrapolate) - whole(a, 0, extrapolate)

    def _like(self, c: Any, method: str, nu: int) -> Piecewise:
        plain = None if self.plain is None else getattr(self.plain, method)(nu)
        return Piecewise(self.x, c, self.extrapolate, self.axis, plain)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self.__dict__.get("plain") is None:
            raise AttributeError(
                f"{type(self).__name__} made from differentiated values has no {name!r}"
            )
        return getattr(self.plain, name)


def _column(factors: Any, c: Any) -> Any:
    return factors.reshape((-1,) + (1,) * (len(shape_of(c)) - 1))


def placed(value: Any, rank: int, axis: int) -> Any:
    """`value`, whose first `rank` axes are of places, with these moved to where `axis` was."""
    if axis == 0 or rank == len(shape_of(value)):
        return value
    return np.moveaxis(value, tuple(range(rank)), tuple(range(axis, axis + rank)))


def samples(x: Any, y: Any, axis: int, operation: str, fewest: int = 2) -> tuple[Any, Any, int]:
    """Places and values as floats, the axis of the places in front, and which it was."""
    x, y = array(x), inexact(y)
    if dtype_of(x).kind != "f":
        x = x.astype(FLOAT64)
    if len(shape_of(x)) != 1:
        raise ValueError(f"{operation}: x is a vector, not of shape {shape_of(x)}")
    axis = axis % len(shape_of(y))
    n = shape_of(x)[0]
    if shape_of(y)[axis] != n:
        raise ValueError(f"{operation}: x has {n} entries, axis {axis} of y {shape_of(y)[axis]}")
    if n < fewest:
        raise ValueError(f"{operation}: at least {fewest} samples are needed, not {n}")
    return x, np.moveaxis(y, axis, 0), axis


def ascending(x: Any, operation: str) -> None:
    """Refuses places that do not ascend."""
    bottom = raw(x)
    if not isinstance(bottom, ShapeDtypeStruct) and not np.all(np.diff(bottom) > 0):
        raise ValueError(f"{operation}: x must be strictly increasing")


def hermite(x: Any, y: Any, slopes: Any) -> Any:
    """The coefficients of the cubics with these values and slopes at the ends of intervals."""
    h = along(np.diff(x), y)
    chord = np.diff(y, axis=0) / h
    t = (slopes[:-1] + slopes[1:] - 2 * chord) / h
    return np.stack([t / h, (chord - slopes[:-1]) / h - t, slopes[:-1], y[:-1]])


def along(x: Any, y: Any) -> Any:
    """A vector along the first axis of `y`."""
    return np.reshape(x, (-1,) + (1,) * (len(shape_of(y)) - 1))
