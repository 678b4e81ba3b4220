"""Minima of `scipy.optimize`: points where a gradient vanishes, in the directions that are free.

A bound that holds a coordinate keeps it where it is, provided that it pushes: where its multiplier
is zero the minimum leaves the bound on one side only, and there is no derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
from scipy.optimize import OptimizeResult

from pycograd.core.aval import FLOAT64, dtype_of, make_aval, shape_of
from pycograd.core.errors import NotDifferentiableError, UnsupportedOperationError
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.implicit import (
    Equation,
    Parameters,
    checked,
    plainly,
    refuse_closure,
    solution,
)
from pycograd.scipy.kinds import array, boxed
from pycograd.scipy.objective import MATRICES, PRODUCTS
from pycograd.transforms.derivatives import hessian, hvp, jacfwd, jacobian
from pycograd.transforms.reverse import grad

_SAID = ("success", "status", "message")
_COUNTS = ("nit", "nfev", "njev", "nhev")
_SINGULAR = "the Hessian at the minimum is singular"
# What each method of minimize can use besides the function.
GRADIENTS = PRODUCTS | MATRICES | {"cg", "bfgs", "l-bfgs-b", "tnc", "slsqp"}


class Reports:
    """What scipy said of its runs, of which a batch has several; the parts that are constants."""

    def __init__(self) -> None:
        self.all: list[Any] = []

    def merged(self, **found: Any) -> Any:
        """A result that holds `found`, and what all runs together say: the worst."""
        result = OptimizeResult(**found)
        if self.all:
            worst = next((r for r in self.all if not r.get("success", True)), self.all[-1])
            result.update({name: worst[name] for name in _SAID if name in worst})
            for name in _COUNTS:
                if name in worst and worst[name] is not None:
                    result[name] = sum(r[name] for r in self.all)
        return result


def as_tuple(args: Any) -> tuple[Any, ...]:
    """`args` as scipy takes it: a tuple, or the one argument itself."""
    return args if isinstance(args, tuple) else (args,)


def starting_point(x0: Any) -> Any:
    """The starting point as a vector of double precision, as scipy makes it."""
    x0 = np.ravel(array(x0))
    return x0 if dtype_of(x0).kind == "c" else x0.astype(FLOAT64)


# -- bounds ----------------------------------------------------------------------------------------
class _Box:
    """Lower and upper bounds of a vector."""

    __slots__ = ("low", "high")

    def __init__(self, low: Any, high: Any, n: int) -> None:
        self.low = np.broadcast_to(np.asarray(low, float), (n,))
        self.high = np.broadcast_to(np.asarray(high, float), (n,))

    @property
    def _near(self) -> tuple[Any, Any]:
        """Nearer to a bound than this is at it."""
        with np.errstate(invalid="ignore"):
            return tuple([np.where(np.isfinite(b), 1e-9 * (1 + np.abs(b)), 0.0) for b in self.both])

    @property
    def both(self) -> tuple[Any, Any]:
        return self.low, self.high

    def free(self, x: Any) -> Any:
        """Where x may move."""
        near_low, near_high = self._near
        return (x > self.low + near_low) & (x < self.high - near_high)

    def check(self, operation: str, x: Any, slope: Any) -> None:
        """Refuses a point at a bound that does not push."""
        held = ~self.free(x) & (self.low < self.high)
        weak = np.abs(slope) <= 1e-6 * (1 + np.max(np.abs(slope)))
        if np.any(held & weak):
            raise NotDifferentiableError(
                f"{operation}: coordinate {int(np.argmax(held & weak))} of the minimum is at its"
                " bound, which does not push: its multiplier is zero. The minimum leaves the bound"
                " on one side only, so it has no derivative in the parameters"
            )


def _bounds(bounds: Any, n: int, operation: str) -> _Box | None:
    if bounds is None:
        return None
    if boxed(*([bounds.lb, bounds.ub] if hasattr(bounds, "lb") else [bounds])):
        raise UnsupportedOperationError(
            f"{operation}: bounds are constants; a differentiated bound is not supported. Move it"
            " into the function (y = x - bound)"
        )
    if hasattr(bounds, "lb"):
        return _Box(bounds.lb, bounds.ub, n)
    pairs = list(bounds)
    low = [-np.inf if p[0] is None else p[0] for p in pairs]
    high = [np.inf if p[1] is None else p[1] for p in pairs]
    return _Box(low, high, n)


def _stationary(operation: str, found: Any, slope: Any, curvature: Any) -> None:
    """Refuses a point that a failed run left where a Newton step would still go far."""
    if found.success:
        return
    with np.errstate(all="ignore"):
        step = np.linalg.lstsq(np.atleast_2d(curvature), np.atleast_1d(slope), rcond=None)[0]
    if not np.max(np.abs(step), initial=0.0) <= 1e-4 * (1 + np.max(np.abs(found.x))):
        raise NotDifferentiableError(
            f"{operation}: no minimum was found, so there is nothing to differentiate:"
            f" {found.message}"
        )


# -- many variables --------------------------------------------------------------------------------
@stands_for(scipy.optimize.minimize)
def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: Any = None,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: Any = None,
    callback: Any = None,
    options: Any = None,
) -> Any:
    """A local minimum of a function of a vector; the arguments are scipy's.

    Arguments:
        fun: `fun(x, *args)` -> a real number, twice differentiable in NumPy.
        args: a tuple of any trees; the minimum is differentiable in their float leaves.
        bounds: constants; a coordinate held by one does not move.

    Returns:
        scipy's `OptimizeResult`; `x` and `fun` are differentiable, other arrays are left out where
        something is differentiated.

    Raises:
        NotDifferentiableError: a singular Hessian, a bound that does not push, or no minimum.
        UnsupportedOperationError: `constraints`, where something is differentiated.
        ClosedOverError: `fun` uses a differentiated value that is not in `args`.

    >>> f = lambda x, a: np.sum((x - a) ** 4 + (x - a) ** 2)
    >>> g, = grad(lambda a: minimize(f, np.zeros(2), (a,)).x[0])(np.array([1.0, 2.0]))
    >>> np.round(g, 6)
    array([1., 0.])
    """
    args = as_tuple(args)
    if not boxed(x0, args, hasattr(bounds, "lb") or bounds):
        with plainly("minimize", fun) as fun:
            return scipy.optimize.minimize(
                fun, x0, args, method, jac, hess, hessp, bounds, constraints, tol, callback, options
            )
    if constraints not in ((), [], None):
        raise UnsupportedOperationError(
            "minimize: the derivative of a constrained minimum is not supported; bounds are."
            " Substitute the constraint, or differentiate its Lagrange system with root"
        )
    refuse_closure("minimize", fun)
    x0 = starting_point(x0)
    n = shape_of(x0)[0]
    parameters, reports, box = Parameters(args), Reports(), _bounds(bounds, n, "minimize")

    def value(x: Any, *a: Any) -> Any:
        return fun(x, *a)[0] if jac is True else fun(x, *a)

    def cost(x: Any, theta: Any) -> Any:
        return np.reshape(array(value(x, *parameters.fill(theta))), ())

    def residual(x: Any, theta: Any) -> Any:
        return grad(lambda y: cost(y, theta), argnums=0)(x)

    def find(starts: Any, theta: Any) -> Any:
        at = lambda y: cost(y, theta)
        name = method.lower() if isinstance(method, str) else method
        given: dict[str, Any] = {"jac": jac, "hess": hess, "hessp": hessp}
        if jac is None and (name is None or name in GRADIENTS):
            given["jac"] = lambda x, *a: residual(x, theta)
        if hess is None and hessp is None and name in PRODUCTS | MATRICES:
            if name in MATRICES:
                given["hess"] = lambda x, *a: hessian(at)(x)
            else:
                given["hessp"] = lambda x, p, *a: hvp(at)(x, p)
        found = scipy.optimize.minimize(
            checked(fun, "minimize"),
            starts[0],
            parameters.fill(theta),
            method,
            bounds=bounds,
            tol=tol,
            callback=callback,
            options=options,
            **given,
        )
        x = np.asarray(found.x, float)
        slope = residual(x, theta)
        if box is not None:
            box.check("minimize", x, slope)
            slope = np.where(box.free(x), slope, 0)
        if not found.success:
            _stationary("minimize", found, slope, hessian(at)(x))
        reports.all.append(found)
        return x

    equation = Equation(
        "minimize", find, residual, free=None if box is None else box.free, singular=_SINGULAR
    )
    x = solution(equation, (x0,), parameters.values)
    return reports.merged(x=x, fun=cost(x, parameters.values))


@stands_for(scipy.optimize.minimize_scalar)
def minimize_scalar(
    fun: Callable[..., Any],
    bracket: Any = None,
    bounds: Any = None,
    args: Any = (),
    method: Any = None,
    tol: Any = None,
    options: Any = None,
) -> Any:
    """A local minimum of a function of one number; the arguments are scipy's.

    The derivative is taken at the point found, which is good to about half of the digits.

    >>> f = lambda x, a: (x - a) ** 2
    >>> grad(lambda a: minimize_scalar(f, args=(a,)).x)(2.0)
    (1.0...,)
    """
    args = as_tuple(args)
    if not boxed(args, bracket, bounds):
        with plainly("minimize_scalar", fun) as fun:
            return scipy.optimize.minimize_scalar(fun, bracket, bounds, args, method, tol, options)
    refuse_closure("minimize_scalar", fun)
    box = None if bounds is None else _bounds([tuple(bounds)], 1, "minimize_scalar")
    if boxed(bracket):
        raise UnsupportedOperationError("minimize_scalar: the bracket is a constant")
    parameters, reports = Parameters(args), Reports()

    def cost(x: Any, theta: Any) -> Any:
        return np.reshape(array(fun(x, *parameters.fill(theta))), ())

    def residual(x: Any, theta: Any) -> Any:
        return grad(lambda y: cost(y, theta), argnums=0)(x)

    def find(starts: Any, theta: Any) -> Any:
        f = checked(fun, "minimize_scalar")
        known = parameters.fill(theta)
        found = scipy.optimize.minimize_scalar(f, bracket, bounds, known, method, tol, options)
        x = np.asarray(found.x, float)
        if box is not None:
            ends = np.array([box.low[0], box.high[0]])
            if np.min(np.abs(ends - x)) < 1e-4 * (1 + abs(x)):
                raise NotDifferentiableError(
                    f"minimize_scalar: the minimum {float(x)} is at the end of its bounds, where"
                    " its derivative is zero or does not exist; widen the bounds"
                )
        _stationary("minimize_scalar", found, residual(x, theta), hessian(cost)(x, theta))
        reports.all.append(found)
        return x

    equation = Equation(
        "minimize_scalar",
        find,
        residual,
        starts=0,
        shape=lambda *avals: make_aval((), FLOAT64),
        singular="the second derivative at the minimum is zero",
    )
    x = solution(equation, (), parameters.values)
    return reports.merged(x=x, fun=cost(x, parameters.values))


# -- least squares ---------------------------------------------------------------------------------
# rho(z) of scipy, for z the squared residual over f_scale squared.
_LOSSES: dict[str, Callable[[Any], Any]] = {
    "linear": lambda z: z,
    "soft_l1": lambda z: 2 * (np.sqrt(1 + z) - 1),
    "huber": lambda z: np.where(z <= 1, z, 2 * np.sqrt(np.where(z <= 1, 1.0, z)) - 1),
    "cauchy": np.log1p,
    "arctan": np.arctan,
}


@stands_for(scipy.optimize.least_squares)
def least_squares(
    fun: Callable[..., Any],
    x0: Any,
    jac: Any = "2-point",
    bounds: Any = (-np.inf, np.inf),
    method: str = "trf",
    ftol: Any = 1e-8,
    xtol: Any = 1e-8,
    gtol: Any = 1e-8,
    x_scale: Any = None,
    loss: Any = "linear",
    f_scale: float = 1.0,
    *rest: Any,
    args: Any = (),
    kwargs: Any = None,
    **options: Any,
) -> Any:
    """The least sum of squared residuals, or of a robust loss of them; the arguments are scipy's.

    Returns:
        scipy's `OptimizeResult`; `x`, `cost`, `fun`, `jac` and `grad` are differentiable.

    Raises:
        as `minimize`; a `loss` that is a function is not supported where it is differentiated.

    >>> residuals = lambda x, y: x[0] * np.arange(1.0, 4.0) - y
    >>> grad(lambda y: least_squares(residuals, [1.0], args=(y,)).x[0])(np.ones(3))
    (array([0.0714..., 0.142..., 0.214...]),)
    """
    args, kwargs = as_tuple(args), dict(kwargs or {})
    settings = {"method": method, "ftol": ftol, "xtol": xtol, "gtol": gtol, **options}
    if x_scale is not None:
        settings["x_scale"] = x_scale
    settings.update(loss=loss, f_scale=f_scale)
    if not boxed(x0, args, kwargs):
        with plainly("least_squares", fun) as fun:
            return scipy.optimize.least_squares(
                fun, x0, jac, bounds, args=args, kwargs=kwargs, **settings
            )
    if rest:
        raise UnsupportedOperationError("least_squares: give the options after f_scale by name")
    if loss not in _LOSSES:
        raise UnsupportedOperationError(
            f"least_squares: loss {loss!r} has no rule; one of {', '.join(_LOSSES)} has"
        )
    refuse_closure("least_squares", fun)
    parameters, reports = Parameters((args, kwargs)), Reports()
    x0 = starting_point(x0)
    n = shape_of(x0)[0]
    box = _limits(bounds, n)

    def residuals(x: Any, theta: Any) -> Any:
        given, named = parameters.fill(theta)
        return np.atleast_1d(array(fun(x, *given, **named)))

    def cost(x: Any, theta: Any) -> Any:
        f = residuals(x, theta)
        return 0.5 * f_scale**2 * np.sum(_LOSSES[loss]((f / f_scale) ** 2))

    def slope(x: Any, theta: Any) -> Any:
        return grad(lambda y: cost(y, theta), argnums=0)(x)

    def find(starts: Any, theta: Any) -> Any:
        given, named = parameters.fill(theta)
        known = (
            jac if callable(jac) else lambda x, *a, **k: jacobian(lambda y: residuals(y, theta))(x)
        )
        found = scipy.optimize.least_squares(
            checked(fun, "least_squares"), starts[0], known, bounds, args=given, kwargs=named,
            **settings,
        )  # fmt: skip
        x = np.asarray(found.x, float)
        g = slope(x, theta)
        if box is not None:
            box.check("least_squares", x, g)
            g = np.where(box.free(x), g, 0)
        _stationary("least_squares", found, g, hessian(lambda y: cost(y, theta))(x))
        reports.all.append(found)
        return x

    equation = Equation(
        "least_squares", find, slope, free=None if box is None else box.free, singular=_SINGULAR
    )
    x = solution(equation, (x0,), parameters.values)
    theta = parameters.values
    return reports.merged(
        x=x,
        cost=cost(x, theta),
        fun=residuals(x, theta),
        jac=jacfwd(lambda y: residuals(y, theta))(x),
        grad=slope(x, theta),
    )


def _limits(bounds: Any, n: int) -> _Box | None:
    if not hasattr(bounds, "lb"):
        low, high = bounds
        if not boxed(low, high) and np.all(np.isinf(low)) and np.all(np.isinf(high)):
            return None
        if boxed(low, high):
            _bounds([low, high], n, "least_squares")
        return _Box(low, high, n)
    return _bounds(bounds, n, "least_squares")


@stands_for(scipy.optimize.curve_fit)
def curve_fit(
    f: Callable[..., Any],
    xdata: Any,
    ydata: Any,
    p0: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    check_finite: Any = None,
    bounds: Any = (-np.inf, np.inf),
    method: Any = None,
    jac: Any = None,
    **options: Any,
) -> Any:
    """The parameters of a model that fit data best, and their covariance; arguments are scipy's.

    Returns:
        `(popt, pcov)`, both differentiable in `xdata`, `ydata` and `sigma`.

    >>> model = lambda x, a, b: a * x + b
    >>> slope = lambda y: curve_fit(model, np.arange(3.0), y, p0=(1.0, 0.0))[0][0]
    >>> np.round(grad(slope)(np.array([0.0, 1.0, 2.5]))[0], 6)
    array([-0.5, -0. ,  0.5])
    """
    if not boxed(xdata, ydata, p0, sigma):
        with plainly("curve_fit", f) as f:
            return scipy.optimize.curve_fit(
                f, xdata, ydata, p0, sigma, absolute_sigma, check_finite, bounds, method, jac,
                **options,
            )  # fmt: skip
    if options:
        raise UnsupportedOperationError(
            f"curve_fit: {', '.join(sorted(options))} has no meaning for differentiated values"
        )
    ydata = array(ydata)
    sigma = None if sigma is None else array(sigma)
    if sigma is not None and len(shape_of(sigma)) > 1:
        raise UnsupportedOperationError(
            "curve_fit: a covariance matrix as sigma; transform the residuals by its Cholesky"
            " factor and use least_squares"
        )
    if p0 is None:
        count = f.__code__.co_argcount - 1
        p0 = np.ones(count)
        if (box := _limits(bounds, count)) is not None:
            inside = np.where(
                np.isfinite(box.low), box.low + 1, np.where(np.isfinite(box.high), box.high - 1, 1)
            )
            both = np.isfinite(box.low) & np.isfinite(box.high)
            p0 = np.where(both, 0.5 * (box.low + box.high), inside)
    refuse_closure("curve_fit", f)

    def residuals(p: Any, x: Any, y: Any, scale: Any) -> Any:
        difference = np.ravel(array(f(x, *p)) - y)
        return difference if scale is None else difference / scale

    data = (xdata, ydata, sigma)
    chosen = method or ("lm" if _limits(bounds, len(p0)) is None else "trf")
    slopes = {"jac": jac} if callable(jac) and sigma is None else {}
    found = least_squares(
        residuals, p0, bounds=bounds, method=chosen, args=data, ftol=1e-10, xtol=1e-10, gtol=1e-10,
        **slopes,
    )  # fmt: skip
    # The covariance of a linear model with unit errors: (J^T J)^-1.
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    if not absolute_sigma:
        spare = found.fun.shape[0] - found.x.shape[0]
        if spare <= 0:
            raise NotDifferentiableError(
                "curve_fit: as many parameters as data, so the covariance is infinite; give"
                " absolute_sigma=True"
            )
        covariance = covariance * (2 * found.cost / spare)
    return found.x, covariance
