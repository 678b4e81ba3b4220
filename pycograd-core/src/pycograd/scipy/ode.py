"""Solutions of ordinary differential equations, and their derivatives by further equations.

Forward mode integrates the sensitivities beside the state. Reverse mode integrates the adjoint
backwards, from one output time to the one before, each interval starting at the solution that is
known there (Chen et al. 2018, appendix B). Both are solved by this same primitive, by the same
integrator with the same tolerances, so they have derivatives in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, dtype_of, make_aval, shape_of
from pycograd.core.box import Box, raw
from pycograd.core.errors import NotDifferentiableError
from pycograd.core.primitive import bind
from pycograd.ops.linalg import real
from pycograd.scipy.kinds import Adjoint, array, moved
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import vjp

_HALVINGS = 6  # of an interval between outputs, where the solution cannot be retraced at once


class Failed(NotDifferentiableError):
    """The integrator gave up."""


class Flow:
    """A differential equation and how it is integrated.

    Arguments:
        operation: the name for messages.
        rate: `rate(t, y, *theta)`, in NumPy on values: dy/dt, of the shape of `y`.
        integrate: `integrate(rate, times, y0, own)` on plain values: the states at `times`, which
            ascend or descend from the initial one and may repeat. `own` is False for a state that
            has sensitivities or an adjoint beside the user's.
        tolerances: `(rtol, atol)` of the integrator.
        own: True for the user's state alone.
    """

    __slots__ = ("operation", "rate", "integrate", "tolerances", "own")

    def __init__(
        self,
        operation: str,
        rate: Callable[..., Any],
        integrate: Callable[..., Any],
        tolerances: tuple[Any, Any],
        own: bool = True,
    ) -> None:
        self.operation, self.rate, self.integrate = operation, rate, integrate
        self.tolerances, self.own = tolerances, own

    def beside(self, rate: Callable[..., Any]) -> Flow:
        """The equation of this state and of more beside it."""
        return Flow(self.operation, rate, self.integrate, self.tolerances, False)


def _impl(y0: Any, times: Any, *theta: Any, flow: Flow) -> Any:
    y0, times = np.asarray(y0), np.asarray(times)
    ordered, places = np.unique(times, return_inverse=True)
    if len(times) and times[-1] < times[0]:
        ordered, places = ordered[::-1], len(ordered) - 1 - places
    if len(ordered) < 2:
        return np.broadcast_to(y0, (len(times), *y0.shape)).copy()
    states = flow.integrate(lambda t, y: flow.rate(t, y, *theta), ordered, y0, flow.own)
    return np.asarray(states, np.result_type(y0, np.float64))[places.reshape(-1)]


def solve(flow: Flow, y0: Any, times: Any, theta: Sequence[Any]) -> Any:
    """The states at `times`, of which the first has `y0`, differentiable in all operands."""
    return bind(ode, (y0, times, *theta), {"flow": flow})


def _tangent(tangents: Any, values: Any, ans: Any, flow: Flow) -> Any:
    y0, times, *theta = values
    dy0, dtimes, *dtheta = tangents
    n = shape_of(y0)[0]
    live = [i for i, t in enumerate(dtheta) if t is not None]
    change = moved(dy0, y0)
    if dtimes is not None:
        change = change - flow.rate(times[0], y0, *theta) * dtimes[0]

    def rate(t: Any, z: Any, *rest: Any) -> Any:
        parameters, moves = rest[: len(theta)], rest[len(theta) :]
        full: list[Any] = [None] * len(theta)
        for i, move in zip(live, moves):
            full[i] = move
        both = jvp(lambda y, *p: flow.rate(t, y, *p), (z[:n], *parameters), (z[n:], *full))
        return np.concatenate(both)

    start = np.concatenate([y0, change])
    states = solve(flow.beside(rate), start, times, [*theta, *[dtheta[i] for i in live]])
    out = states[:, n:]
    if dtimes is not None:
        out = out + _rates(flow, times, ans, theta) * dtimes[:, None]
    return out


def _rates(flow: Flow, times: Any, states: Any, theta: Sequence[Any]) -> Any:
    count = shape_of(times)[0]
    return np.stack([flow.rate(times[i], states[i], *theta) for i in range(count)])


def _pull(ct: Any, live: Any, values: Any, ans: Any, flow: Flow) -> Any:
    y0, times, *theta = values
    n, count = shape_of(y0)[0], shape_of(times)[0]
    wanted = [i - 2 for i in live if i > 1]
    sizes = [math.prod(shape_of(theta[i])) for i in wanted]

    def rate(t: Any, z: Any, *parameters: Any) -> Any:
        def of(y: Any, *chosen: Any) -> Any:
            full = list(parameters)
            for i, p in zip(wanted, chosen):
                full[i] = p
            return flow.rate(t, y, *full)

        value, pullback = vjp(of, z[:n], *[parameters[i] for i in wanted])
        found = pullback(z[n : 2 * n].astype(dtype_of(value)))
        return np.concatenate([value, *[-np.ravel(c) for c in found]])

    adjoint = flow.beside(rate)
    dtype = np.result_type(dtype_of(ct), *[dtype_of(theta[i]) for i in wanted], np.float64)
    rest = np.concatenate([ct[count - 1], np.zeros(sum(sizes), dtype)])
    for i in range(count - 1, 0, -1):
        if _is_zero(rest):  # nothing flows back before the last output that counts
            carried = rest
        else:
            carried = _back(flow, adjoint, ans[i - 1], ans[i], times[i - 1 : i + 1], rest, theta)
        before = carried[:n]
        rest = np.concatenate([before + ct[i - 1], carried[n:]])
    if count == 1:
        before = 0 * rest[:n]
    found: dict[int, Any] = {0: rest[:n]}
    if 1 in live:
        rates = _rates(flow, times, ans, theta)
        slopes = real(np.sum(np.conj(ct) * rates, axis=1))
        start = slopes[:1] - real(np.sum(np.conj(rest[:n]) * rates[0]))
        found[1] = np.concatenate([start, slopes[1:]])
    place = n
    for i, size in zip(wanted, sizes):
        found[i + 2] = np.reshape(rest[place : place + size], shape_of(theta[i]))
        place += size
    return [found[i] for i in live]


def _is_zero(x: Any) -> bool:
    return not isinstance(x, Box) and not np.any(x)


def _back(
    flow: Flow,
    adjoint: Flow,
    first: Any,
    last: Any,
    times: Any,
    carried: Any,
    theta: Sequence[Any],
    depth: int = 0,
) -> Any:
    """What is `carried` at the later of two times, integrated to the earlier.

    The state is integrated backwards with it. Where that does not lead back to where it came from
    (a strongly damped system grows backwards), the interval is halved.
    """
    n = shape_of(last)[0]
    start = np.concatenate([last, carried])
    try:
        end = solve(adjoint, start, np.flip(times), theta)[1]
        if _retraced(raw(end[:n]), raw(first), raw(last), flow.tolerances):
            return end[n:]
    except Failed:
        pass
    if depth == _HALVINGS:
        raise NotDifferentiableError(
            f"{flow.operation}: the solution between t = {raw(times)[..., 0]} and"
            f" {raw(times)[..., 1]} cannot be retraced backwards, as the adjoint method needs: the"
            " system is damped too strongly (stiff). Ask for more output times in between, or use"
            " forward mode (jvp, jacfwd)"
        )
    middle = 0.5 * (times[0] + times[1])
    between = solve(flow, first, np.stack([times[0], middle]), theta)[1]
    half = [np.stack([times[0], middle]), np.stack([middle, times[1]])]
    carried = _back(flow, adjoint, between, last, half[1], carried, theta, depth + 1)
    return _back(flow, adjoint, first, between, half[0], carried, theta, depth + 1)


def _retraced(found: Any, first: Any, last: Any, tolerances: tuple[Any, Any]) -> bool:
    """True if the state came back to within a multiple of the tolerances."""
    if isinstance(found, ShapeDtypeStruct) or isinstance(first, ShapeDtypeStruct):
        return True
    rtol, atol = (float(np.max(t)) for t in tolerances)
    size: Any = max(np.max(np.abs(first), initial=0.0), np.max(np.abs(last), initial=0.0))
    allowed = min(1000 * (atol + rtol * size), 1000 * atol + 0.02 * size)
    return bool(np.all(np.abs(found - first) <= allowed))


def _shape(y0: Any, times: Any, *theta: Any, flow: Flow) -> Any:
    return make_aval((times.shape[0], *y0.shape), np.result_type(y0.dtype, np.float64))


ode = Adjoint(
    "ode", _impl, tangent=_tangent, pull=_pull, shape=_shape, adjoint=True, cost="contraction"
)


def rate_of(f: Callable[[Any, Any, Any], Any], operation: str) -> Callable[..., Any]:
    """`f(t, y, theta)` with what it returns (a list, a number) as a vector like `y`."""

    def rate(t: Any, y: Any, *theta: Any) -> Any:
        value = np.ravel(array(f(t, y, theta)))
        n = shape_of(y)[0]
        if shape_of(value) != (n,):
            raise ValueError(
                f"{operation}: the function returned {shape_of(value)[0]} rates for {n} states"
            )
        return value

    return rate
