"""Hares and lynxes: a differential equation, fitted to what trappers caught in twenty years."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from pycograd.examples.training import Outcome, explained
from pycograd.scipy.integrate import odeint
from pycograd.testing.gradients import check_grads
from pycograd.transforms.derivatives import jacfwd

# Pelts of hares and of lynxes in Canada, in thousands, from 1900 to 1920.
PELTS = np.array(
    [
        [30.0, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22.0, 25.4, 27.1]
        + [40.3, 57.0, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7],
        [4.0, 6.1, 9.8, 35.2, 59.4, 41.7, 19.0, 13.0, 8.3, 9.1, 7.4]
        + [8.0, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6],
    ]
).T
YEARS = np.arange(21.0)
HELD_OUT = YEARS % 4 == 2


def rate(u: Any, t: Any, log_rates: Any) -> Any:
    """The equation of Lotka and Volterra for the logarithms u of both numbers."""
    birth, hunt, death, feed = np.exp(log_rates)
    return np.stack([birth - hunt * np.exp(u[1]), feed * np.exp(u[0]) - death])


def solution(theta: Any, years: Any = YEARS, tolerance: float = 1e-6) -> Any:
    """Logarithms of both numbers, (years, 2), from those at first and the logarithms of rates."""
    return odeint(rate, theta[:2], years, (theta[2:],), rtol=tolerance, atol=tolerance)


def residuals(theta: Any) -> Any:
    """What the solution is off by, in the years that are not held out."""
    return np.ravel((solution(theta) - np.log(PELTS))[~HELD_OUT])


def main(full: bool = False) -> Outcome:
    """Fits by Levenberg and Marquardt's method and reports; `full` goes on to convergence."""
    losses: list[float] = []

    def counted(theta: Any) -> Any:
        off = residuals(theta)
        losses.append(float(np.mean(off**2)))
        return off

    initial = np.concatenate([np.log(PELTS[0]), np.log([0.5, 0.02, 0.8, 0.02])])
    # Finite differences need a finer solution than the fit does.
    check_grads(lambda theta: np.sum(solution(theta, YEARS[:4], 1e-11) ** 2), (initial,), order=1)
    started = time.perf_counter()
    slopes = jacfwd(residuals, argnums=0)
    found = least_squares(counted, initial, jac=slopes, method="lm", ftol=1e-8 if full else 1e-3)
    seconds = time.perf_counter() - started
    return Outcome(
        "ode",
        "Lotka-Volterra equation",
        "pelts of hares and lynxes",
        initial.size,
        seconds,
        explained(solution(found.x)[HELD_OUT], np.log(PELTS)[HELD_OUT]),
        0.8,
        losses,
        "of variance",
    )
