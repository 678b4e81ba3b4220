"""`scipy.optimize`: roots and minima, differentiable in the parameters given in `args`.

Values are scipy's own; where a solver can use derivatives and was given none, it gets ours. The
derivative of a solution is that of the equation it solves (`implicit`), whatever solver found it.

>>> f = lambda x, a: x**2 - a
>>> jacobian(lambda a: root(f, np.array([1.0]), (a,), tol=1e-12).x)(4.0).round(6)
array([0.25])
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize
from scipy.optimize import RootResults

from pycograd.core.aval import FLOAT64, dtype_of, make_aval, shape_of
from pycograd.core.errors import NotDifferentiableError, UnsupportedOperationError
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.fits import curve_fit, least_squares
from pycograd.scipy.implicit import (
    Equation,
    Parameters,
    as_tuple,
    checked,
    plainly,
    refuse_closure,
    solution,
)
from pycograd.scipy.kinds import array, boxed, inexact
from pycograd.scipy.minima import (
    Reports,
    minimize,
    minimize_scalar,
    starting_point,
)
from pycograd.transforms.derivatives import jacobian


# -- systems of equations --------------------------------------------------------------------------
@stands_for(scipy.optimize.root)
def root(
    fun: Callable[..., Any],
    x0: Any,
    args: Any = (),
    method: str = "hybr",
    jac: Any = None,
    tol: Any = None,
    callback: Any = None,
    options: Any = None,
) -> Any:
    """A zero of a vector function; the arguments are scipy's, `args` may hold any trees.

    Returns:
        scipy's `OptimizeResult`. `x` and `fun` are differentiable in the float and complex leaves
        of `args`; there are no other arrays in it where something is differentiated.

    Raises:
        NotDifferentiableError: the Jacobian is singular at the solution, or none was found.
        ClosedOverError: `fun` uses a differentiated value that is not in `args`.

    >>> f = lambda x, a: np.stack([x[0] + x[1] - a, x[0] - x[1]])
    >>> jacobian(lambda a: root(f, np.zeros(2), (a,)).x)(3.0)
    array([0.5, 0.5])
    """
    args = as_tuple(args)
    if not boxed(x0, args):
        with plainly("root", fun) as fun:
            return scipy.optimize.root(fun, x0, args, method, jac, tol, callback, options)
    refuse_closure("root", fun)
    parameters, reports = Parameters(args), Reports()

    def residual(x: Any, theta: Any) -> Any:
        value = fun(x, *parameters.fill(theta))
        if jac is True:
            value = value[0]
        return np.reshape(array(value), shape_of(x))

    def find(starts: Any, theta: Any) -> Any:
        slope = jac
        if jac is None and method in ("hybr", "lm"):
            slope = lambda x, *a: jacobian(lambda y: residual(y, theta))(x)
        known = parameters.fill(theta)
        f = checked(fun, "root")
        found = scipy.optimize.root(f, starts[0], known, method, slope, tol, callback, options)
        if not found.success:
            raise NotDifferentiableError(
                f"root: no root was found, so there is nothing to differentiate: {found.message}"
            )
        reports.all.append(found)
        return np.reshape(found.x, shape_of(starts[0]))

    x = solution(Equation("root", find, residual), (starting_point(x0),), parameters.values)
    return reports.merged(x=x, fun=residual(x, parameters.values), method=method)


@stands_for(scipy.optimize.fixed_point)
def fixed_point(
    func: Callable[..., Any],
    x0: Any,
    args: Any = (),
    xtol: float = 1e-8,
    maxiter: int = 500,
    method: str = "del2",
) -> Any:
    """A point that `func` maps to itself; the arguments are scipy's, `args` may hold any trees.

    >>> grad(lambda a: fixed_point(lambda x, a: np.cos(a * x), 0.7, (a,)))(1.0)
    (-0.2974...,)
    """
    args = as_tuple(args)
    if not boxed(x0, args):
        with plainly("fixed_point", func) as func:
            return scipy.optimize.fixed_point(func, x0, args, xtol, maxiter, method)
    refuse_closure("fixed_point", func)
    parameters = Parameters(args)

    def residual(x: Any, theta: Any) -> Any:
        return array(func(x, *parameters.fill(theta))) - x

    def find(starts: Any, theta: Any) -> Any:
        f = checked(func, "fixed_point")
        known = parameters.fill(theta)
        return scipy.optimize.fixed_point(f, starts[0], known, xtol, maxiter, method)

    x0 = inexact(x0)
    return solution(Equation("fixed_point", find, residual), (x0,), parameters.values)


# -- one equation ----------------------------------------------------------------------------------
def _scalar(
    operation: str,
    f: Callable[..., Any],
    starts: tuple[Any, ...],
    args: Any,
    run: Callable[..., Any],
    shaped: bool = False,
) -> Any:
    """The root that `run(f, *starts, args)` finds; starts of None are kept from the operands."""
    refuse_closure(operation, f)
    parameters = Parameters(args)
    given = [i for i, x in enumerate(starts) if x is not None]

    def residual(x: Any, theta: Any) -> Any:
        return np.reshape(array(f(x, *parameters.fill(theta))), shape_of(x))

    def find(places: Any, theta: Any) -> Any:
        whole: list[Any] = [None] * len(starts)
        for i, x in zip(given, places):
            whole[i] = x
        return run(checked(f, operation), whole, parameters.fill(theta))

    def shape(*avals: Any) -> Any:
        return make_aval(avals[0].shape if shaped else (), FLOAT64)

    equation = Equation(
        operation,
        find,
        residual,
        starts=len(given),
        shape=shape,
        singular="the derivative of the function at the root is zero",
    )
    return solution(equation, [starts[i] for i in given], parameters.values)


def _bracketing(name: str) -> Callable[..., Any]:
    method = getattr(scipy.optimize, name)
    signature = inspect.signature(method)

    def find(
        f: Callable[..., Any], a: Any, b: Any, args: Any = (), *rest: Any, **options: Any
    ) -> Any:
        args = as_tuple(args)
        if not boxed(a, b, args):
            with plainly(name, f) as f:
                return method(f, a, b, args, *rest, **options)
        settings = signature.bind(f, a, b, args, *rest, **options).arguments
        settings = {n: x for n, x in settings.items() if n not in ("f", "a", "b", "args")}
        full_output = settings.pop("full_output", False)
        said: list[Any] = []

        def run(g: Any, places: Any, known: Any) -> Any:
            x, found = method(g, *places, known, full_output=True, **settings)
            said.append(found)
            return x

        x = _scalar(name, f, (a, b), args, run)
        return (x, _root_results(x, said)) if full_output else x

    find.__name__ = find.__qualname__ = name
    find.__doc__ = f"""The root in a bracket, as `scipy.optimize.{name}` finds it.

    The arguments are scipy's; `args` may hold any trees, in whose float leaves the root is
    differentiable. The ends of the bracket have no derivative.

    >>> grad(lambda c: {name}(lambda x, c: x * x - c, 0.0, 4.0, (c,)))(4.0)
    (0.25...,)
    """
    return stands_for(method)(find)


def _root_results(x: Any, said: list[Any]) -> Any:
    if not said:
        return RootResults(root=x, iterations=0, function_calls=0, flag=0, method="")
    last = next((r for r in said if not r.converged), said[-1])
    result = RootResults(
        root=x,
        iterations=sum(r.iterations for r in said),
        function_calls=sum(r.function_calls for r in said),
        flag=0,
        method=last.method,
    )
    result.converged, result.flag = last.converged, last.flag
    return result


brentq = _bracketing("brentq")
brenth = _bracketing("brenth")
ridder = _bracketing("ridder")
bisect = _bracketing("bisect")
toms748 = _bracketing("toms748")


@stands_for(scipy.optimize.newton)
def newton(
    func: Callable[..., Any],
    x0: Any,
    fprime: Any = None,
    args: Any = (),
    tol: float = 1.48e-8,
    maxiter: int = 50,
    fprime2: Any = None,
    x1: Any = None,
    rtol: float = 0.0,
    full_output: bool = False,
    disp: bool = True,
) -> Any:
    """A root near `x0`, or one for each entry of it; the arguments are scipy's.

    >>> grad(lambda c: newton(lambda x, c: x**3 - c, 1.5, args=(c,)))(8.0)
    (0.0833...,)
    """
    args = as_tuple(args)
    options: dict[str, Any] = {"tol": tol, "maxiter": maxiter, "rtol": rtol, "disp": disp}
    if not boxed(x0, x1, args):
        with plainly("newton", func) as func:
            return scipy.optimize.newton(
                func, x0, fprime, args, fprime2=fprime2, x1=x1, full_output=full_output, **options
            )
    if full_output:
        raise UnsupportedOperationError(
            "newton: full_output has no meaning for differentiated values; root_scalar gives a"
            " result that says more"
        )

    def run(g: Any, places: Any, known: Any) -> Any:
        slopes = {"fprime": fprime, "fprime2": fprime2}
        return scipy.optimize.newton(g, places[0], args=known, x1=places[1], **slopes, **options)

    x0 = array(x0)
    if dtype_of(x0).kind == "c":
        raise NotDifferentiableError("newton: complex roots are not differentiated; use root")
    return _scalar("newton", func, (x0 * 1.0, x1), args, run, shaped=True)


@stands_for(scipy.optimize.root_scalar)
def root_scalar(
    f: Callable[..., Any],
    args: Any = (),
    method: Any = None,
    bracket: Any = None,
    fprime: Any = None,
    fprime2: Any = None,
    x0: Any = None,
    x1: Any = None,
    xtol: Any = None,
    rtol: Any = None,
    maxiter: Any = None,
    options: Any = None,
) -> Any:
    """A root of a function of one number; the arguments are scipy's.

    Returns:
        scipy's `RootResults`, whose `root` is differentiable in the float leaves of `args`.

    >>> f = lambda x, c: x * x - c
    >>> grad(lambda c: root_scalar(f, (c,), bracket=(0.0, 4.0)).root)(4.0)
    (0.25,)
    """
    args = as_tuple(args)
    kept = {"xtol": xtol, "rtol": rtol, "maxiter": maxiter, "options": options, "method": method}
    if not boxed(args, bracket, x0, x1):
        with plainly("root_scalar", f) as f:
            return scipy.optimize.root_scalar(
                f, args, bracket=bracket, fprime=fprime, fprime2=fprime2, x0=x0, x1=x1, **kept
            )
    if fprime is True or fprime2 is True:
        raise UnsupportedOperationError(
            "root_scalar: a function that returns its own derivatives (fprime=True) cannot be"
            " differentiated; give fprime as a function of its own"
        )
    low, high = (None, None) if bracket is None else bracket
    said: list[Any] = []

    def run(g: Any, places: Any, known: Any) -> Any:
        a, b, start, second = places
        found = scipy.optimize.root_scalar(
            g,
            known,
            bracket=None if a is None else (a, b),
            fprime=fprime,
            fprime2=fprime2,
            x0=start,
            x1=second,
            **kept,
        )
        if not found.converged:
            raise NotDifferentiableError(
                f"root_scalar: no root was found, so there is nothing to differentiate: "
                f"{found.flag}"
            )
        said.append(found)
        return found.root

    x = _scalar("root_scalar", f, (low, high, x0, x1), args, run)
    return _root_results(x, said)


__all__ = [
    "bisect",
    "brenth",
    "brentq",
    "curve_fit",
    "fixed_point",
    "least_squares",
    "minimize",
    "minimize_scalar",
    "newton",
    "ridder",
    "root",
    "root_scalar",
    "toms748",
]
