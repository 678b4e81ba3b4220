"""`np.sinc`, `np.i0` and `np.kaiser`: the special functions that NumPy has itself.

Their derivatives are integrals of elementary functions, so each comes with those of every order,
which need no division by x and hold at 0 as well.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pycograd.core.aval import aval_of, promote_inexact
from pycograd.core.elementwise import Elementwise
from pycograd.core.rules import Refused
from pycograd.core.spelling import spells
from pycograd.ops.linalg import dtypes

_TERMS = 30  # of sinc's power series, to the last digit up to |pi x| = 6


def _floating(x: Any, *rest: Any) -> Any:
    return promote_inexact([x])


# -- sinc ------------------------------------------------------------------------------------------
def _sinc_derivative(x: Any, y: Any) -> Any:
    """The y-th derivative of sinc, the integral of (pi s)^y cos(pi x s + y pi / 2) over (0, 1)."""
    x, order = np.asarray(x, _floating(aval_of(x))), int(y)
    u = math.pi * x
    near = np.abs(u) < order + 2.0
    small, large = np.where(near, u, 0), np.where(near, 1, u)
    # Each term of cos is integrated: u^m / m! / (m + order + 1), every second m, signs alternating.
    odd = order % 2
    series, term = 0.0, (-1.0) ** ((order + odd) // 2) * (small if odd else np.ones_like(small))
    for m in range(odd, odd + 2 * _TERMS, 2):
        series = series + term / (m + order + 1)
        term = -term * small * small / ((m + 1) * (m + 2))
    # u f^(n) + n f^(n-1) is the n-th derivative of sin, from u f = sin(u)
    far = np.sin(large) / large
    for n in range(1, order + 1):
        far = ((np.sin, np.cos)[n % 2](large) * (-1) ** (n // 2) - n * far) / large
    return (np.where(near, series, far) * math.pi**order).astype(x.dtype, copy=False)[()]


sinc_derivative: Elementwise = Elementwise(
    "sinc_derivative",
    _sinc_derivative,
    [lambda t, x, y: t * sinc_derivative(x, y + 1), Refused("its order")],
    dtype=_floating,
    cost="transcendental",
)
sinc = Elementwise(
    "sinc",
    lambda x: np.sinc(x),
    [lambda t, x: t * sinc_derivative(x, 1)],
    dtype=lambda x: dtypes(np.sinc, x.dtype),
    spellings=[np.sinc],
    cost="transcendental",
)


# -- i0 --------------------------------------------------------------------------------------------
def _bessel_i(x: Any, y: Any) -> Any:
    """I_y(x), the mean of exp(x cos a) cos(y a) over all angles a: DLMF 10.32.3.

    Opposite angles together leave a cosh or a sinh. The trapezoidal rule of a periodic function
    converges like I_2N(x) for N angles of a half turn (Trefethen and Weideman 2014); 128 of them
    reach every x whose exponential is finite.
    """
    x, order = np.asarray(x, _floating(aval_of(x))), int(y)
    total, even = np.zeros_like(x), (np.cosh, np.sinh)[order % 2]
    for angle in _ANGLES:
        total += even(x * math.cos(angle)) * (math.cos(order * angle) / len(_ANGLES))
    return total[()]


_ANGLES = ((np.arange(64) + 0.5) * (math.pi / 128)).tolist()  # of a quarter turn
bessel_i: Elementwise = Elementwise(
    "bessel_i",
    _bessel_i,
    [
        lambda t, x, y: t * (0.5 * (bessel_i(x, y - 1) + bessel_i(x, y + 1))),
        Refused("its order"),
    ],
    dtype=_floating,
    cost="transcendental",
)
i0 = Elementwise(
    "i0",
    lambda x: np.i0(x),
    [lambda t, x: t * bessel_i(x, 1)],
    dtype=lambda x: dtypes(np.i0, x.dtype),
    spellings=[np.i0],
    cost="transcendental",
)


@spells(np.kaiser)
def kaiser(M: Any, beta: Any) -> Any:
    """The Kaiser window of M points, differentiable in its shape `beta`."""
    if M < 2:
        return np.ones(max(int(M), 0)) * (beta * 0 + 1)
    middle = (M - 1) / 2
    n = (np.arange(M) - middle) / middle
    return np.i0(beta * np.sqrt(1 - n * n)) / np.i0(beta)
