"""Integrals of `scipy.integrate`: of functions, by Leibniz' rule, and of samples.

`d int_a^b f(x, p) dx = f(b, p) db - f(a, p) da + int_a^b df/dp dp dx`: the derivative of an
integral is one of the same primitive, so it has derivatives in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.integrate
import scipy.special

from pycograd.core.aval import FLOAT64, ShapeDtypeStruct, dtype_of, make_aval, shape_of
from pycograd.core.box import raw
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.core.primitive import bind
from pycograd.ops.axes import axis_of
from pycograd.ops.linalg import real
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.implicit import Parameters, as_tuple, closed_over, plainly, refuse_closure
from pycograd.scipy.kinds import Adjoint, array, boxed
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import vjp


# -- of functions ----------------------------------------------------------------------------------
class Integrand:
    """What is integrated.

    Arguments:
        f: `f(x, *theta)`, in NumPy on values: a number, or a vector of `size` entries.
        size: None for a number.
        complex: True if the values are complex.
        settings: `epsabs epsrel limit points` of scipy's `quad`.
        report: receives the estimated errors of the user's own integral.
    """

    __slots__ = ("f", "size", "complex", "settings", "report")

    def __init__(
        self, f: Callable[..., Any], size: int | None, complex: bool, settings: Any, report: Any
    ) -> None:
        self.f, self.size, self.complex = f, size, complex
        self.settings, self.report = settings, report

    def like(self, f: Callable[..., Any], size: int | None, complex: bool) -> Integrand:
        """Another one, integrated in the same way."""
        return Integrand(f, size, complex, self.settings, None)

    def integral(self, a: Any, b: Any, theta: Any) -> Any:
        """On plain values."""
        settings = self.settings

        def f(x: Any) -> Any:
            value = self.f(np.float64(x), *theta)
            if boxed(value):
                raise closed_over("quad", self.f)
            return value

        if self.size is None:
            value, error, *_ = scipy.integrate.quad(f, a, b, complex_func=self.complex, **settings)
            if self.report is not None:
                self.report.append(error)
            return np.asarray(value)
        points = settings["points"]
        value = scipy.integrate.quad_vec(
            f, a, b, settings["epsabs"], settings["epsrel"], norm="max", limit=10_000, points=points
        )[0]
        return np.asarray(value)


def _tangent(tangents: Any, values: Any, ans: Any, integrand: Integrand) -> Any:
    a, b, *theta = values
    da, db, *dtheta = tangents
    total: Any = None
    if db is not None:
        total = integrand.f(b, *theta) * db
    if da is not None:
        part = integrand.f(a, *theta) * da
        total = -part if total is None else total - part
    live = [i for i, t in enumerate(dtheta) if t is not None]
    if live:

        def moved(x: Any, *rest: Any) -> Any:
            full: list[Any] = [None] * len(theta)
            for i, t in zip(live, rest[len(theta) :]):
                full[i] = t
            of = lambda *p: integrand.f(x, *p)
            return jvp(of, tuple(rest[: len(theta)]), tuple(full))[1]

        inner = integrand.like(moved, integrand.size, dtype_of(ans).kind == "c")
        part = _integral(inner, a, b, [*theta, *[dtheta[i] for i in live]])
        total = part if total is None else total + part
    return total


def _pull(ct: Any, live: Any, values: Any, ans: Any, integrand: Integrand) -> Any:
    a, b, *theta = values
    found: dict[int, Any] = {}
    for i, end, sign in ((0, a, -1), (1, b, 1)):
        if i in live:
            found[i] = sign * real(np.sum(np.conj(ct) * integrand.f(end, *theta)))
    wanted = [i - 2 for i in live if i > 1]
    if wanted:

        def pulled(x: Any, ct: Any, *theta: Any) -> Any:
            def of(*chosen: Any) -> Any:
                full = list(theta)
                for i, p in zip(wanted, chosen):
                    full[i] = p
                return integrand.f(x, *full)

            value, pullback = vjp(of, *[theta[i] for i in wanted])
            cts = pullback(np.reshape(ct, shape_of(value)).astype(dtype_of(value)))
            return np.concatenate([np.ravel(array(c)) for c in cts])

        sizes = [math.prod(shape_of(theta[i])) for i in wanted]
        complex_ = any(dtype_of(theta[i]).kind == "c" for i in wanted)
        whole = _integral(integrand.like(pulled, sum(sizes), complex_), a, b, [ct, *theta])
        place = 0
        for i, size in zip(wanted, sizes):
            found[i + 2] = np.reshape(whole[place : place + size], shape_of(theta[i]))
            place += size
    return [found[i] for i in live]


def _shape(a: Any, b: Any, *theta: Any, integrand: Integrand) -> Any:
    shape = () if integrand.size is None else (integrand.size,)
    return make_aval(shape, np.dtype(complex) if integrand.complex else FLOAT64)


integral_p = Adjoint(
    "integral",
    lambda a, b, *theta, integrand: integrand.integral(a, b, theta),
    tangent=_tangent,
    pull=_pull,
    shape=_shape,
    adjoint=True,
    cost="contraction",
)


def _integral(integrand: Integrand, a: Any, b: Any, theta: Any) -> Any:
    return bind(integral_p, (a, b, *theta), {"integrand": integrand})


@stands_for(scipy.integrate.quad)
def quad(
    func: Any,
    a: Any,
    b: Any,
    args: Any = (),
    full_output: Any = 0,
    epsabs: float = 1.49e-8,
    epsrel: float = 1.49e-8,
    limit: int = 50,
    points: Any = None,
    weight: Any = None,
    wvar: Any = None,
    wopts: Any = None,
    maxp1: int = 50,
    limlst: int = 50,
    complex_func: bool = False,
) -> Any:
    """The integral of `func(x, *args)` from `a` to `b` and its error; the arguments are scipy's.

    The integral is differentiable in `a`, `b` and the float leaves of `args`.

    Raises:
        ClosedOverError: `func` uses a differentiated value that is not in `args`.
        UnsupportedOperationError: `weight` or `full_output`, where something is differentiated.

    >>> area = lambda k: quad(lambda x, k: np.exp(-k * x), 0.0, np.inf, (k,))[0]
    >>> round(grad(area)(2.0)[0], 9)
    -0.25
    """
    args = as_tuple(args)
    if not boxed(a, b, args):
        with plainly("quad", func) as func:
            return scipy.integrate.quad(
                func, a, b, args, full_output, epsabs, epsrel, limit, points, weight, wvar, wopts,
                maxp1, limlst, complex_func,
            )  # fmt: skip
    if weight is not None or full_output:
        raise UnsupportedOperationError(
            f"quad: {'weight' if weight is not None else 'full_output'} has no meaning for"
            " differentiated values" + ("; multiply the function by it" if weight else "")
        )
    refuse_closure("quad", func)
    parameters = Parameters(args)
    report: list[float] = []

    def f(x: Any, *theta: Any) -> Any:
        return np.reshape(array(func(x, *parameters.fill(theta))), ())

    settings = {"epsabs": epsabs, "epsrel": epsrel, "limit": limit, "points": points}
    a, b = (array(x) * 1.0 for x in (a, b))
    value = _integral(Integrand(f, None, complex_func, settings, report), a, b, parameters.values)
    return value, max(report, default=0.0)


@stands_for(scipy.integrate.fixed_quad)
def fixed_quad(func: Any, a: Any, b: Any, args: Any = (), n: int = 5) -> Any:
    """The integral by a Gauss rule of `n` points, and None; the arguments are scipy's.

    >>> grad(lambda b: fixed_quad(np.cos, 0.0, b)[0])(0.0)
    (1.0...,)
    """
    ends = [raw(x) for x in (a, b)]
    if any(not isinstance(x, ShapeDtypeStruct) and np.any(np.isinf(x)) for x in ends):
        raise ValueError("fixed_quad: the interval must be finite")
    places, weights = (np.real(x) for x in scipy.special.roots_legendre(n))
    x = (b - a) * (places + 1) / 2.0 + a
    return (b - a) / 2.0 * np.sum(weights * func(x, *args), axis=-1), None


# -- of samples ------------------------------------------------------------------------------------
def _sampled(y: Any, x: Any, dx: Any, axis: int, operation: str) -> tuple[Any, Any, int]:
    """The samples along the last axis, the spaces between them, and the axis they were at."""
    y = array(y)
    rank = len(shape_of(y))
    axis = axis_of(axis, rank, operation)
    if x is not None:
        x = array(x)
        if len(shape_of(x)) not in (1, rank):
            raise ShapeError(
                f"{operation}: x is a vector or has as many axes as y, not {shape_of(x)}"
            )
        x = x if len(shape_of(x)) == 1 else np.moveaxis(x, axis, -1)
        dx = np.diff(x)
        if shape_of(dx)[-1] + 1 != shape_of(y)[axis]:
            raise ShapeError(
                f"{operation}: x has {shape_of(x)[-1]} places for {shape_of(y)[axis]} samples"
            )
    return np.moveaxis(y, axis, -1), dx, axis


@stands_for(scipy.integrate.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of samples by the trapezoidal rule; the arguments are scipy's.

    >>> grad(lambda y: trapezoid(y, dx=2.0))(np.ones(3))
    (array([1., 2., 1.]),)
    """
    if not boxed(y, x, dx):
        return scipy.integrate.trapezoid(y, x, dx, axis)
    y, d, _ = _sampled(y, x, dx, axis, "trapezoid")
    return np.sum(d * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1)


@stands_for(scipy.integrate.cumulative_trapezoid)
def cumulative_trapezoid(
    y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None
) -> Any:
    """The integral up to each sample by the trapezoidal rule; the arguments are scipy's.

    >>> grad(lambda y: cumulative_trapezoid(y)[-1])(np.ones(3))
    (array([0.5, 1. , 0.5]),)
    """
    if not boxed(y, x, dx):
        return scipy.integrate.cumulative_trapezoid(y, x, dx, axis, initial)
    if initial is not None and initial != 0:
        raise ValueError("cumulative_trapezoid: initial must be None or 0")
    y, d, axis = _sampled(y, x, dx, axis, "cumulative_trapezoid")
    out = np.cumsum(d * (y[..., 1:] + y[..., :-1]) / 2.0, axis=-1)
    if initial is not None:
        out = np.concatenate([0 * out[..., :1] if shape_of(out)[-1] else 0 * y, out], axis=-1)
    return np.moveaxis(out, -1, axis)


@stands_for(scipy.integrate.simpson)
def simpson(y: Any, x: Any = None, *, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of samples by Simpson's rule; the arguments are scipy's.

    >>> grad(lambda y: simpson(y, dx=3.0))(np.ones(3))
    (array([1., 4., 1.]),)
    """
    if not boxed(y, x, dx):
        return scipy.integrate.simpson(y, x=x, dx=dx, axis=axis)
    y, d, _ = _sampled(y, x, dx, axis, "simpson")
    n = shape_of(y)[-1]
    h = np.broadcast_to(d, (*shape_of(d)[:-1], n - 1))
    if n == 2:
        return 0.5 * h[..., 0] * (y[..., 0] + y[..., 1])
    end = n - 1 if n % 2 else n - 2  # the parabolas reach to here
    h0, h1 = h[..., 0:end:2], h[..., 1:end:2]
    y0, y1, y2 = y[..., 0:end:2], y[..., 1:end:2], y[..., 2 : end + 1 : 2]
    both, ratio = h0 + h1, _over(h0, h1)
    parts = y0 * (2.0 - _over(1.0, ratio)) + y1 * both * _over(both, h0 * h1) + y2 * (2.0 - ratio)
    total = np.sum(both / 6.0 * parts, axis=-1)
    if n % 2:
        return total
    # The last interval of an odd number of them, by the parabola through the last three samples
    # (Cartwright 2017, equation 8).
    h0, h1 = h[..., -2], h[..., -1]
    alpha = _over(2 * h1**2 + 3 * h0 * h1, 6 * (h0 + h1))
    beta = _over(h1**2 + 3 * h0 * h1, 6 * h0)
    eta = _over(h1**3, 6 * h0 * (h0 + h1))
    return total + alpha * y[..., -1] + beta * y[..., -2] - eta * y[..., -3]


def _over(x: Any, y: Any) -> Any:
    """`x / y`, and 0 where y is 0: intervals of no length."""
    return np.where(y != 0, x / np.where(y != 0, y, 1), 0)


@stands_for(scipy.integrate.romb)
def romb(y: Any, dx: Any = 1.0, axis: int = -1, show: Any = False) -> Any:
    """The integral of `2**k + 1` samples by Romberg's rule; the arguments are scipy's.

    >>> grad(lambda y: romb(y))(np.ones(3))
    (array([0.333..., 1.333..., 0.333...]),)
    """
    if not boxed(y, dx):
        return scipy.integrate.romb(y, dx, axis, show)
    y, _, _ = _sampled(y, None, dx, axis, "romb")
    weights = scipy.integrate.romb(np.eye(shape_of(y)[-1]), axis=0)  # it is linear in the samples
    return y @ weights * dx
