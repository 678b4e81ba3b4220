"""`scipy.integrate`: differential equations and integrals, differentiable in all they depend on.

>>> decay = lambda y, t, k: -k * y
>>> final = lambda k: odeint(decay, 1.0, np.linspace(0.0, 1.0, 3), (k,))[-1, 0]
>>> value, (slope,) = value_and_grad(final)(2.0)
>>> round(float(value), 6), round(slope, 6)  # exp(-2) and its derivative
(0.135335, -0.135335)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.integrate
from scipy.optimize import OptimizeResult

from pycograd.core.aval import FLOAT64, ShapeDtypeStruct, dtype_of, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.implicit import (
    Parameters,
    as_tuple,
    checked,
    closed_over,
    plainly,
    refuse_closure,
)
from pycograd.scipy.kinds import array, boxed
from pycograd.scipy.ode import Failed, Flow, rate_of, solve
from pycograd.scipy.quadrature import (
    cumulative_trapezoid,
    fixed_quad,
    quad,
    romb,
    simpson,
    trapezoid,
)


def _plain_rate(rate: Callable[..., Any], f: Any, operation: str) -> Callable[..., Any]:
    """`rate` for an integrator, which must not meet a differentiated value."""

    def run(t: Any, y: Any) -> Any:
        value = rate(t, y)
        if isinstance(value, Box):
            raise closed_over(operation, f)
        return value

    return run


# -- odeint ----------------------------------------------------------------------------------------
@stands_for(scipy.integrate.odeint)
def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    args: Any = (),
    Dfun: Any = None,
    col_deriv: Any = 0,
    full_output: Any = 0,
    ml: Any = None,
    mu: Any = None,
    rtol: Any = None,
    atol: Any = None,
    tcrit: Any = None,
    h0: float = 0.0,
    hmax: float = 0.0,
    hmin: float = 0.0,
    ixpr: Any = 0,
    mxstep: int = 0,
    mxhnil: int = 0,
    mxordn: int = 12,
    mxords: int = 5,
    printmessg: Any = 0,
    tfirst: bool = False,
) -> Any:
    """The solution of `dy/dt = func(y, t, *args)`; the arguments are scipy's.

    Arguments:
        func: written in NumPy; it may return a list of numbers.
        y0, t, args: differentiable, `args` in the float leaves of any trees.

    Returns:
        The states at the times `t`, shape `(len(t), len(y0))`. The derivative is good to the
        tolerances `rtol` and `atol`, as the states are.

    Raises:
        ClosedOverError: `func` uses a differentiated value that is not in `args`.
        NotDifferentiableError: the integrator failed, or the adjoint method cannot be used.
        UnsupportedOperationError: `full_output`, where something is differentiated.

    >>> swing = lambda y, t, g: [y[1], -g * np.sin(y[0])]
    >>> angle = lambda g: odeint(swing, [0.1, 0.0], np.array([0.0, 1.0]), (g,))[1, 0]
    >>> round(grad(angle)(9.81)[0], 6)
    -0.000183
    """
    args = as_tuple(args)
    options = {
        "tcrit": tcrit, "h0": h0, "hmax": hmax, "hmin": hmin, "ixpr": ixpr, "mxstep": mxstep,
        "mxhnil": mxhnil, "mxordn": mxordn, "mxords": mxords, "rtol": rtol, "atol": atol,
    }  # fmt: skip
    own = {"Dfun": Dfun, "col_deriv": col_deriv, "ml": ml, "mu": mu}
    if not boxed(y0, t, args):
        with plainly("odeint", func) as func:
            return scipy.integrate.odeint(
                func, y0, t, args, full_output=full_output, printmessg=printmessg, tfirst=tfirst,
                **own, **options,
            )  # fmt: skip
    if full_output:
        raise UnsupportedOperationError(
            "odeint: full_output is of one run on plain values; leave it out where something is"
            " differentiated"
        )
    refuse_closure("odeint", func)
    parameters = Parameters(args)

    def value(t: Any, y: Any, theta: Any) -> Any:
        known = parameters.fill(theta)
        return func(t, y, *known) if tfirst else func(y, t, *known)

    def integrate(rate: Any, times: Any, start: Any, alone: bool) -> Any:
        chosen = dict(options)
        if not alone:  # tolerances of single states say nothing of what is beside them
            chosen.update(rtol=_least(rtol), atol=_least(atol), h0=0.0)
        f = _plain_rate(rate, func, "odeint")
        states, said = scipy.integrate.odeint(
            f, start, times, tfirst=True, full_output=True, **chosen
        )
        if said["message"] != "Integration successful." or not np.all(np.isfinite(states)):
            raise Failed(f"odeint: {said['message']}")
        return states

    y0, t = _state(y0, "odeint"), array(t)
    if dtype_of(y0).kind == "c":
        raise UnsupportedOperationError("odeint: complex states; use solve_ivp")
    if len(shape_of(t)) != 1 or not shape_of(t)[0]:
        raise ShapeError(f"odeint: t is a vector of times, not of shape {shape_of(t)}")
    default = 1.49012e-8
    tolerances = (default if rtol is None else rtol, default if atol is None else atol)
    flow = Flow("odeint", rate_of(value, "odeint"), integrate, tolerances)
    return solve(flow, y0, t.astype(FLOAT64), parameters.values)


def _least(tolerance: Any) -> Any:
    return None if tolerance is None else float(np.min(tolerance))


def _state(y0: Any, operation: str) -> Any:
    y0 = np.atleast_1d(array(y0))
    if len(shape_of(y0)) != 1:
        raise ShapeError(f"{operation}: y0 is a vector, not of shape {shape_of(y0)}")
    return y0 if dtype_of(y0).kind == "c" else y0.astype(FLOAT64)


# -- solve_ivp -------------------------------------------------------------------------------------
_OF_ONE_STATE = ("first_step", "jac", "jac_sparsity", "lband", "uband")


@stands_for(scipy.integrate.solve_ivp)
def solve_ivp(
    fun: Callable[..., Any],
    t_span: Any,
    y0: Any,
    method: Any = "RK45",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    vectorized: bool = False,
    args: Any = None,
    **options: Any,
) -> Any:
    """The solution of `dy/dt = fun(t, y, *args)`; the arguments are scipy's.

    Arguments:
        fun: written in NumPy; it may return a list of numbers.
        t_span, y0, t_eval, args: differentiable, `args` in the float leaves of any trees.

    Returns:
        A result with scipy's `t`, `y` (shape `(len(y0), len(t))`), `status`, `message`, `success`
        and `sol`. Without `t_eval` the times between the ends are those of the integrator's steps,
        which count as constants.

    Raises:
        ClosedOverError: `fun` uses a differentiated value that is not in `args`.
        NotDifferentiableError: the integrator failed, or the adjoint method cannot be used.
        UnsupportedOperationError: `dense_output` or `events`, where something is differentiated.

    >>> f = lambda k: solve_ivp(lambda t, y, k: -k * y, (0.0, 1.0), [1.0], args=(k,), rtol=1e-8)
    >>> round(grad(lambda k: f(k).y[0, -1])(2.0)[0], 5)
    -0.13534
    """
    known = () if args is None else tuple(args)
    if not boxed(t_span, y0, t_eval, known):
        with plainly("solve_ivp", fun) as fun:
            return scipy.integrate.solve_ivp(
                fun, t_span, y0, method, t_eval, dense_output, events, vectorized, args, **options
            )
    if dense_output or events is not None:
        what = "dense_output" if dense_output else "events"
        raise UnsupportedOperationError(
            f"solve_ivp: {what} has no derivative here; ask for the times in t_eval"
            + ("" if dense_output else ", and find the time of an event with root_scalar")
        )
    refuse_closure("solve_ivp", fun)
    parameters = Parameters(known)
    said: list[Any] = []
    y0 = _state(y0, "solve_ivp")
    first, last = t_span
    rtol, atol = options.get("rtol", 1e-3), options.get("atol", 1e-6)

    def value(t: Any, y: Any, theta: Any) -> Any:
        filled = parameters.fill(theta)
        return fun(t, y[:, None], *filled) if vectorized else fun(t, y, *filled)

    def integrate(rate: Any, times: Any, start: Any, alone: bool) -> Any:
        chosen = dict(options)
        end = bound if alone and bound is not None else times[-1]
        if not alone:
            chosen.update(rtol=_least(rtol), atol=_least(atol))
            for name in _OF_ONE_STATE:
                chosen.pop(name, None)
        elif callable(jac := chosen.get("jac")):
            chosen["jac"] = lambda t, y: jac(t, y, *parameters.fill(held))
        f = _plain_rate(rate, fun, "solve_ivp")
        found = scipy.integrate.solve_ivp(f, (times[0], end), start, method, times, **chosen)
        if not found.success or not np.all(np.isfinite(found.y)):
            raise Failed(f"solve_ivp: {found.message}")
        said.append(found)
        return found.y.T

    held: Any = None
    if callable(options.get("jac")):
        held = [_known(x, "solve_ivp: jac= with parameters that") for x in parameters.values]
    bound = None
    if t_eval is None:
        times = _steps(fun, t_span, y0, method, vectorized, parameters, options)
        times = [array(first), *times[1:-1], array(last)]
        t = np.stack(times).astype(FLOAT64)
        asked = t
    else:
        t = array(t_eval)
        if len(shape_of(t)) != 1:
            raise ShapeError(f"solve_ivp: t_eval is a vector of times, not shape {shape_of(t)}")
        bound = None if boxed(first, last, t_eval) else float(last)
        asked = np.concatenate([np.reshape(array(first), (1,)), t]).astype(FLOAT64)
    flow = Flow("solve_ivp", rate_of(value, "solve_ivp"), integrate, (rtol, atol))
    states = solve(flow, y0, asked, parameters.values)
    if t_eval is not None:
        states = states[1:]
    result = OptimizeResult(
        t=t,
        y=states.T,
        sol=None,
        t_events=None,
        y_events=None,
        success=True,
        status=0,
        message="The solver successfully reached the end of the integration interval.",
    )
    for name in ("nfev", "njev", "nlu"):
        result[name] = sum(r[name] for r in said)
    return result


def _known(x: Any, what: str) -> Any:
    """The number at the bottom of a value, where there is one."""
    while isinstance(x, Box):
        if getattr(x, "mapped", False) or isinstance(x.value, ShapeDtypeStruct):
            raise UnsupportedOperationError(
                f"{what} differ between the rows of a batch, or are known by shape only"
            )
        x = x.value
    return x


def _steps(
    fun: Any, t_span: Any, y0: Any, method: Any, vectorized: bool, parameters: Any, options: Any
) -> Any:
    """The times of the steps that the integrator takes."""
    what = "solve_ivp without t_eval takes steps of its own, for values that"
    known = parameters.fill([_known(x, what) for x in parameters.values])
    span = [float(_known(t, what)) for t in t_span]
    found = scipy.integrate.solve_ivp(
        checked(fun, "solve_ivp"), span, _known(y0, what), method, vectorized=vectorized,
        args=known or None, **options,
    )  # fmt: skip
    if not found.success:
        raise Failed(f"solve_ivp: {found.message}")
    return found.t


__all__ = [
    "cumulative_trapezoid",
    "fixed_quad",
    "odeint",
    "quad",
    "romb",
    "simpson",
    "solve_ivp",
    "trapezoid",
]
