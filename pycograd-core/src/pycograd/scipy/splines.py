"""The cubic interpolants of `scipy.interpolate`, which differ in their slopes at the knots.

A cubic spline's slopes solve a tridiagonal system (de Boor 1978, chapter IV); those of Pchip and
Akima are local formulas. All are NumPy on values, so differentiable in places and values alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.interpolate

from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.box import raw
from pycograd.core.errors import UnsupportedOperationError
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.kinds import array, boxed
from pycograd.scipy.piecewise import Piecewise, along, ascending, hermite, samples
from pycograd.scipy.solves import Banded, solve


@stands_for(scipy.interpolate.CubicSpline)
class CubicSpline(Piecewise):
    """The cubic spline through samples, twice continuously differentiable; arguments are scipy's.

    Arguments:
        x: places, ascending, shape `(n,)`.
        y: values; `axis` is that of the places.
        bc_type: `"not-a-knot"`, `"periodic"`, `"clamped"`, `"natural"`, or a pair of these and of
            `(order, derivative)`.
        extrapolate: as in scipy.

    >>> x = np.linspace(0.0, 3.0, 7)
    >>> slope = lambda at: CubicSpline(x, np.sin(x))(at)
    >>> round(grad(slope)(1.2)[0], 3), round(float(np.cos(1.2)), 3)
    (0.362, 0.362)
    """

    def __init__(
        self, x: Any, y: Any, axis: int = 0, bc_type: Any = "not-a-knot", extrapolate: Any = None
    ) -> None:
        if not boxed(x, y, bc_type):
            _hold(self, scipy.interpolate.CubicSpline(x, y, axis, bc_type, extrapolate))
            return
        x, y, axis = samples(x, y, axis, "CubicSpline")
        ascending(x, "CubicSpline")
        if extrapolate is None:
            extrapolate = "periodic" if bc_type == "periodic" else True
        periodic = isinstance(bc_type, str) and bc_type == "periodic"
        slopes = _periodic(x, y) if periodic else _slopes(x, y, bc_type)
        super().__init__(x, hermite(x, y, slopes), extrapolate, axis)


def _hold(self: Piecewise, plain: Any) -> None:
    Piecewise.__init__(self, plain.x, plain.c, plain.extrapolate, plain.axis, plain)


def _slopes(x: Any, y: Any, bc_type: Any) -> Any:
    n = shape_of(x)[0]
    h = np.diff(x)
    wide = along(h, y)
    chord = np.diff(y, axis=0) / wide
    start, end = _conditions(bc_type, y, chord, n)
    if n == 3 and start is None and end is None:  # a parabola
        first = ([1.0, 1.0], 2 * chord[0])
        last = ([1.0, 1.0], 2 * chord[1])
    else:
        first = _end(start, h, y, chord, 1)
        last = _end(end, h[::-1], y[::-1], chord[::-1], -1)
    if n == 2:
        (a, b), (d, c) = first[0], last[0]
        determinant = a * d - b * c
        return np.stack(
            [(d * first[1] - b * last[1]) / determinant, (a * last[1] - c * first[1]) / determinant]
        )
    inner = 3 * (wide[1:] * chord[:-1] + wide[:-1] * chord[1:])
    right = np.concatenate([first[1][None], inner, last[1][None]])

    def one(value: Any) -> Any:
        return np.reshape(array(value), (1,))

    zero = np.zeros(1)
    bands = np.stack(
        [
            np.concatenate([zero, one(first[0][1]), h[:-1]]),
            np.concatenate([one(first[0][0]), 2 * (h[:-1] + h[1:]), one(last[0][0])]),
            np.concatenate([h[1:], one(last[0][1]), zero]),
        ]
    )
    shape = shape_of(right)
    found = solve(bands, np.reshape(right, (n, -1)), Banded(1, 1))
    return np.reshape(found, shape)


def _conditions(bc_type: Any, y: Any, chord: Any, n: int) -> list[Any]:
    """For either end None (not a knot) or `(order, value)`."""
    both = (bc_type, bc_type) if isinstance(bc_type, str) else tuple(bc_type)
    if len(both) != 2:
        raise ValueError("CubicSpline: bc_type is a name or a pair, one for either end")
    found: list[Any] = []
    for one in both:
        if isinstance(one, str):
            if one not in ("not-a-knot", "clamped", "natural"):
                raise ValueError(f"CubicSpline: bc_type {one!r} is not known, or of both ends only")
            one = {"clamped": (1, 0.0), "natural": (2, 0.0)}.get(one)
        if one is None:
            found.append((1, chord[0]) if n == 2 else None)
            continue
        order, value = one
        value = array(value)
        if order not in (1, 2) or shape_of(value) not in ((), shape_of(y)[1:]):
            raise ValueError(
                "CubicSpline: a boundary condition is (1 or 2, derivative), the derivative of shape"
                f" {shape_of(y)[1:]}"
            )
        found.append((order, value + 0 * y[0]))
    return found


def _end(condition: Any, h: Any, y: Any, chord: Any, sign: int) -> Any:
    """The row of an end, seen from there: the entries of its two slopes, and the right side."""
    if condition is None:
        d = h[0] + h[1]
        value = ((h[0] + 2 * d) * h[1] * chord[0] + h[0] ** 2 * chord[1]) / d
        return (h[1], d), value
    order, value = condition
    if order == 1:
        return (1.0, 0.0), value
    return (2 * h[0], h[0]), 3 * h[0] * chord[0] - sign * 0.5 * value * h[0] ** 2


def _periodic(x: Any, y: Any) -> Any:
    ends = raw(y[0] - y[-1])
    if isinstance(ends, (np.ndarray, np.generic)) and not np.allclose(ends, 0, rtol=0, atol=1e-15):
        raise ValueError("CubicSpline: the first and last values of a periodic spline are equal")
    h = np.diff(x)
    if shape_of(h)[0] == 1:
        return 0 * y
    wide = along(h, y)
    chord = np.diff(y, axis=0) / wide
    before, wide_before = np.roll(h, 1), np.roll(wide, 1, axis=0)
    right = 3 * (wide * np.roll(chord, 1, axis=0) + wide_before * chord)
    eye = np.eye(shape_of(h)[0])
    matrix = (
        (2 * (h + before))[:, None] * eye
        + h[:, None] * np.roll(eye, -1, axis=1)
        + before[:, None] * np.roll(eye, 1, axis=1)
    )
    shape = shape_of(right)
    found: Any = np.reshape(np.linalg.solve(matrix, np.reshape(right, (shape[0], -1))), shape)
    return np.concatenate([found, found[:1]])


@stands_for(scipy.interpolate.CubicHermiteSpline)
class CubicHermiteSpline(Piecewise):
    """The piecewise cubic with given values and slopes; the arguments are scipy's.

    >>> spline = lambda slope: CubicHermiteSpline([0.0, 1.0], [0.0, 0.0], np.stack([slope, 0.0]))
    >>> grad(lambda slope: spline(slope)(0.5))(1.0)
    (0.125,)
    """

    def __init__(self, x: Any, y: Any, dydx: Any, axis: int = 0, extrapolate: Any = None) -> None:
        if not boxed(x, y, dydx):
            plain = scipy.interpolate.CubicHermiteSpline(x, y, dydx, axis, extrapolate)
            _hold(self, plain)
            return
        _, slopes, _ = samples(x, dydx, axis, "CubicHermiteSpline")
        x, y, axis = samples(x, y, axis, "CubicHermiteSpline")
        ascending(x, "CubicHermiteSpline")
        super().__init__(x, hermite(x, y, slopes), _or_true(extrapolate), axis)


def _or_true(extrapolate: Any) -> Any:
    return True if extrapolate is None else extrapolate


@stands_for(scipy.interpolate.PchipInterpolator)
class PchipInterpolator(Piecewise):
    """The piecewise cubic that keeps the samples' monotony; the arguments are scipy's.

    Where neighbouring chords change sign its slopes are 0, and so is their derivative.

    >>> x, y = np.arange(4.0), np.array([0.0, 1.0, 4.0, 9.0])
    >>> round(grad(lambda at: PchipInterpolator(x, y)(at))(1.5)[0], 3)
    3.188
    """

    def __init__(self, x: Any, y: Any, axis: int = 0, extrapolate: Any = None) -> None:
        if not boxed(x, y):
            _hold(self, scipy.interpolate.PchipInterpolator(x, y, axis, extrapolate))
            return
        x, y, axis = samples(x, y, axis, "PchipInterpolator")
        ascending(x, "PchipInterpolator")
        if dtype_of(y).kind == "c":
            raise ValueError("PchipInterpolator: only real values have a monotony")
        slopes = _pchip(along(np.diff(x), y), np.diff(y, axis=0))
        super().__init__(x, hermite(x, y, slopes), _or_true(extrapolate), axis)


def _pchip(h: Any, rise: Any) -> Any:
    # Fritsch and Butland 1984: a weighted harmonic mean of neighbouring chords.
    chord = rise / h
    if shape_of(h)[0] == 1:
        return np.concatenate([chord, chord])
    left, right = chord[:-1], chord[1:]
    flat = ~(left * right > 0)
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    inverse = (w1 / np.where(flat, 1.0, left) + w2 / np.where(flat, 1.0, right)) / (w1 + w2)
    inner = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, inverse))
    first = _pchip_end(h[0], h[1], chord[0], chord[1])
    last = _pchip_end(h[-1], h[-2], chord[-1], chord[-2])
    return np.concatenate([first[None], inner, last[None]])


def _pchip_end(h0: Any, h1: Any, m0: Any, m1: Any) -> Any:
    """Three points give the slope at an end, kept from overshooting."""
    d = ((2 * h0 + h1) * m0 - h0 * m1) / (h0 + h1)
    turned = np.sign(d) != np.sign(m0)
    steep = (np.sign(m0) != np.sign(m1)) & (np.abs(d) > 3 * np.abs(m0))
    return np.where(turned, 0.0, np.where(steep, 3 * m0, d))


@stands_for(scipy.interpolate.Akima1DInterpolator)
class Akima1DInterpolator(Piecewise):
    """Akima's piecewise cubic, or with `method="makima"` the modified one; arguments are scipy's.

    >>> x = np.arange(5.0)
    >>> round(grad(lambda at: Akima1DInterpolator(x, x**2)(at))(1.5)[0], 3)
    3.0
    """

    def __init__(
        self, x: Any, y: Any, axis: int = 0, *, method: str = "akima", extrapolate: Any = None
    ) -> None:
        if not boxed(x, y):
            given = {} if extrapolate is None else {"extrapolate": extrapolate}
            plain = scipy.interpolate.Akima1DInterpolator(x, y, axis, method=method, **given)
            _hold(self, plain)
            return
        if method not in ("akima", "makima"):
            raise UnsupportedOperationError(f"Akima1DInterpolator: method {method!r} is not known")
        x, y, axis = samples(x, y, axis, "Akima1DInterpolator")
        ascending(x, "Akima1DInterpolator")
        slopes = _akima(np.diff(y, axis=0) / along(np.diff(x), y), method == "makima")
        extrapolate = False if extrapolate is None else extrapolate
        super().__init__(x, hermite(x, y, slopes), extrapolate, axis)


def _akima(chord: Any, modified: bool) -> Any:
    # Akima 1970: neighbouring chords weighted by how the next ones on the other side change.
    if shape_of(chord)[0] == 1:
        return np.concatenate([chord, chord])
    low = 2 * chord[:1] - chord[1:2]
    high = 2 * chord[-1:] - chord[-2:-1]
    m = np.concatenate([2 * low - chord[:1], low, chord, high, 2 * high - chord[-1:]])
    change = np.abs(np.diff(m, axis=0))
    if modified:
        change = change + 0.5 * np.abs(m[1:] + m[:-1])
    f1, f2 = change[2:], change[:-2]
    total = f1 + f2
    some = total > 1e-9 * np.max(total)
    mean = (f1 * m[1:-2] + f2 * m[2:-1]) / np.where(some, total, 1.0)
    return np.where(some, mean, 0.5 * (m[3:] + m[:-3]))


@stands_for(scipy.interpolate.make_interp_spline)
def make_interp_spline(
    x: Any,
    y: Any,
    k: int = 3,
    t: Any = None,
    bc_type: Any = None,
    axis: int = 0,
    check_finite: bool = True,
) -> Any:
    """The spline of degree 1 or 3 through samples; the arguments are scipy's.

    Returns:
        scipy's `BSpline` where its arguments are plain and of another degree or with knots `t`;
        else a piecewise polynomial, the same function.

    Raises:
        UnsupportedOperationError: another degree, or knots, of differentiated values.

    >>> spline = lambda y: make_interp_spline([0.0, 1.0, 2.0], y, k=1)
    >>> grad(lambda y: spline(y)(0.25))(np.zeros(3))
    (array([0.75, 0.25, 0.  ]),)
    """
    if k not in (1, 3) or t is not None or (k == 3 and not isinstance(bc_type, (str, type(None)))):
        if boxed(x, y, t, bc_type):
            raise UnsupportedOperationError(
                "make_interp_spline: of differentiated values there are splines of degree 1 and 3,"
                " with the knots and boundary conditions that have names; CubicSpline has more"
            )
        return scipy.interpolate.make_interp_spline(x, y, k, t, bc_type, axis, check_finite)
    if k == 3:
        return CubicSpline(x, y, axis, bc_type or "not-a-knot")
    x, y, axis = samples(x, y, axis, "make_interp_spline")
    ascending(x, "make_interp_spline")
    c = np.stack([np.diff(y, axis=0) / along(np.diff(x), y), y[:-1]])
    return Piecewise(x, c, True, axis)
