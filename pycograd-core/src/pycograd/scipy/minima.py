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
    as_tuple,
    checked,
    plainly,
    refuse_closure,
    solution,
)
from pycograd.scipy.kinds import array, boxed
from pycograd.scipy.objective import MATRICES, PRODUCTS
from pycograd.transforms.derivatives import hessian, hvp
from pycograd.transforms.reverse import grad

_SAID = ("success", "status", "message")
_COUNTS = ("nit", "nfev", "njev", "nhev")
SINGULAR = "the Hessian at the minimum is singular"
# The methods of minimize that use a gradient.
_GRADIENTS = PRODUCTS | MATRICES | {"cg", "bfgs", "l-bfgs-b", "tnc", "slsqp"}


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


def starting_point(x0: Any) -> Any:
    """The starting point as a vector of double precision, as scipy makes it."""
    x0 = np.ravel(array(x0))
    return x0 if dtype_of(x0).kind == "c" else x0.astype(FLOAT64)


# -- bounds ----------------------------------------------------------------------------------------
class Bounded:
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
        """The lower and the upper bounds."""
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


def bounds_of(bounds: Any, n: int, operation: str) -> Bounded | None:
    """Bounds as `minimize` takes them: scipy's object, or a pair for each coordinate."""
    if bounds is None:
        return None
    if boxed(*([bounds.lb, bounds.ub] if hasattr(bounds, "lb") else [bounds])):
        raise UnsupportedOperationError(
            f"{operation}: bounds are constants; a differentiated bound is not supported. Move it"
            " into the function (y = x - bound)"
        )
    if hasattr(bounds, "lb"):
        return Bounded(bounds.lb, bounds.ub, n)
    pairs = list(bounds)
    low = [-np.inf if p[0] is None else p[0] for p in pairs]
    high = [np.inf if p[1] is None else p[1] for p in pairs]
    return Bounded(low, high, n)


def limits(bounds: Any, n: int) -> Bounded | None:
    """Bounds as least squares takes them: a pair of vectors or numbers."""
    if not hasattr(bounds, "lb"):
        low, high = bounds
        if not boxed(low, high) and np.all(np.isinf(low)) and np.all(np.isinf(high)):
            return None
        if boxed(low, high):
            bounds_of([low, high], n, "least_squares")
        return Bounded(low, high, n)
    return bounds_of(bounds, n, "least_squares")


def stationary(operation: str, found: Any, slope: Any, curvature: Any) -> None:
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
    parameters, reports, box = Parameters(args), Reports(), bounds_of(bounds, n, "minimize")

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
        if jac is None and (name is None or name in _GRADIENTS):
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
            stationary("minimize", found, slope, hessian(at)(x))
        reports.all.append(found)
        return x

    equation = Equation(
        "minimize", find, residual, free=None if box is None else box.free, singular=SINGULAR
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
    box = None if bounds is None else bounds_of([tuple(bounds)], 1, "minimize_scalar")
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
        stationary("minimize_scalar", found, residual(x, theta), hessian(cost)(x, theta))
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
