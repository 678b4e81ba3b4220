"""Least squares of `scipy.optimize`: `least_squares` with its robust losses, and `curve_fit`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize

from pycograd.core.aval import shape_of
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
from pycograd.scipy.minima import (
    SINGULAR,
    Reports,
    limits,
    starting_point,
    stationary,
)
from pycograd.transforms.derivatives import hessian, jacfwd, jacobian
from pycograd.transforms.reverse import grad

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
    diff_step: Any = None,
    tr_solver: Any = None,
    tr_options: Any = None,
    jac_sparsity: Any = None,
    max_nfev: Any = None,
    verbose: int = 0,
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
    settings = {
        "method": method, "ftol": ftol, "xtol": xtol, "gtol": gtol, "loss": loss,
        "f_scale": f_scale, "diff_step": diff_step, "tr_solver": tr_solver,
        "jac_sparsity": jac_sparsity, "max_nfev": max_nfev, "verbose": verbose, **options,
    }  # fmt: skip
    # Their defaults differ between versions of scipy.
    settings.update({} if x_scale is None else {"x_scale": x_scale})
    settings.update({} if tr_options is None else {"tr_options": tr_options})
    if not boxed(x0, args, kwargs):
        with plainly("least_squares", fun) as fun:
            return scipy.optimize.least_squares(
                fun, x0, jac, bounds, args=args, kwargs=kwargs, **settings
            )
    if loss not in _LOSSES:
        raise UnsupportedOperationError(
            f"least_squares: loss {loss!r} has no rule; one of {', '.join(_LOSSES)} has"
        )
    refuse_closure("least_squares", fun)
    parameters, reports = Parameters((args, kwargs)), Reports()
    x0 = starting_point(x0)
    n = shape_of(x0)[0]
    box = limits(bounds, n)

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
        stationary("least_squares", found, g, hessian(lambda y: cost(y, theta))(x))
        reports.all.append(found)
        return x

    equation = Equation(
        "least_squares", find, slope, free=None if box is None else box.free, singular=SINGULAR
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
    if options.get("full_output"):
        raise UnsupportedOperationError(
            "curve_fit: full_output is of one run on plain values; leave it out where something is"
            " differentiated"
        )
    ydata = array(ydata)
    sigma = None if sigma is None else array(sigma)
    if sigma is not None and len(shape_of(sigma)) > 1:
        raise UnsupportedOperationError(
            "curve_fit: a covariance matrix as sigma; transform the residuals by its Cholesky"
            " factor and use least_squares"
        )
    start = starting_point(_guess(f, bounds) if p0 is None else p0)
    n = shape_of(start)[0]
    refuse_closure("curve_fit", f)
    parameters, box = Parameters((xdata, ydata, sigma)), limits(bounds, n)

    def residuals(p: Any, theta: Any) -> Any:
        x, y, scale = parameters.fill(theta)
        difference = np.ravel(array(f(x, *p)) - y)
        return difference if scale is None else difference / scale

    def cost(p: Any, theta: Any) -> Any:
        return 0.5 * np.sum(residuals(p, theta) ** 2)

    def slope(p: Any, theta: Any) -> Any:
        return grad(lambda q: cost(q, theta), argnums=0)(p)

    def find(starts: Any, theta: Any) -> Any:
        x, y, scale = parameters.fill(theta)
        p = scipy.optimize.curve_fit(
            checked(f, "curve_fit"), x, y, starts[0], scale, absolute_sigma, check_finite, bounds,
            method, jac, **options,
        )[0]  # fmt: skip
        if box is not None:
            box.check("curve_fit", p, slope(p, theta))
        return p

    equation = Equation(
        "curve_fit", find, slope, free=None if box is None else box.free, singular=SINGULAR
    )
    theta = parameters.values
    p = solution(equation, (start,), theta)
    # The covariance of a linear model with unit errors: (J^T J)^-1.
    matrix = jacfwd(lambda q: residuals(q, theta))(p)
    covariance = np.linalg.inv(matrix.T @ matrix)
    if not absolute_sigma:
        spare = shape_of(matrix)[0] - n
        if spare <= 0:
            raise NotDifferentiableError(
                "curve_fit: as many parameters as data, so the covariance is infinite; give"
                " absolute_sigma=True"
            )
        covariance = covariance * (2 * cost(p, theta) / spare)
    return p, covariance


def _guess(f: Callable[..., Any], bounds: Any) -> Any:
    """Where scipy starts: ones, or within the bounds."""
    count = len(inspect.signature(f).parameters) - 1
    box = limits(bounds, count)
    if box is None:
        return np.ones(count)
    below, above = np.isfinite(box.low), np.isfinite(box.high)
    one_side = np.where(below, box.low + 1, np.where(above, box.high - 1, 1.0))
    with np.errstate(invalid="ignore"):
        return np.where(below & above, 0.5 * (box.low + box.high), one_side)
