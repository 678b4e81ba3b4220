"""Cumulative distribution functions and their inverses, by the incomplete functions they are.

The counts of the discrete ones (binomial, Poisson) are refused: scipy rounds some of them down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sc

from pycograd.core.rules import Refused
from pycograd.scipy.special.define import ufunc
from pycograd.scipy.special.incomplete import (
    IN_A,
    IN_B,
    beta_density,
    betainc_order,
    gamma_density,
    gammainc_order,
)

_K, _N = Refused("its count k"), Refused("its number of trials n")


# -- chi-square: gammainc(x / 2, y / 2) ------------------------------------------------------------
def _chi_density(x: Any, y: Any) -> Any:
    return 0.5 * gamma_density(0.5 * x, 0.5 * y)


def _chi_order(x: Any, y: Any) -> Any:
    return 0.5 * gammainc_order(0.5 * x, 0.5 * y, 1)


ufunc(sc.chdtr, lambda t, x, y: t * _chi_order(x, y), lambda t, x, y: t * _chi_density(x, y))
ufunc(sc.chdtrc, lambda t, x, y: -t * _chi_order(x, y), lambda t, x, y: -t * _chi_density(x, y))
ufunc(
    sc.chdtri,
    lambda t, ans, x: -t * (_chi_order(x, ans) / _chi_density(x, ans)),
    lambda t, ans, x: -t / _chi_density(x, ans),
)
ufunc(
    sc.chdtriv,
    lambda t, ans, y: t / _chi_order(ans, y),
    lambda t, ans, y: -t * (_chi_density(ans, y) / _chi_order(ans, y)),
)

# -- gamma: gammainc(y, x z) -----------------------------------------------------------------------
ufunc(
    sc.gdtr,
    lambda t, x, y, z: t * (z * gamma_density(y, x * z)),
    lambda t, x, y, z: t * gammainc_order(y, x * z, 1),
    lambda t, x, y, z: t * (x * gamma_density(y, x * z)),
)
ufunc(
    sc.gdtrc,
    lambda t, x, y, z: -t * (z * gamma_density(y, x * z)),
    lambda t, x, y, z: -t * gammainc_order(y, x * z, 1),
    lambda t, x, y, z: -t * (x * gamma_density(y, x * z)),
)
ufunc(
    sc.gdtrix,
    lambda t, ans, x: -t * (ans / x),
    lambda t, ans, x, y: -t * (gammainc_order(y, x * ans, 1) / (x * gamma_density(y, x * ans))),
    lambda t, ans, x, y: t / (x * gamma_density(y, x * ans)),
)
ufunc(
    sc.gdtria,
    lambda t, ans, y, z: t / (z * gamma_density(y, ans * z)),
    lambda t, ans, y, z: -t * (gammainc_order(y, ans * z, 1) / (z * gamma_density(y, ans * z))),
    lambda t, ans, z: -t * (ans / z),
)

# -- Poisson: gammaincc(x + 1, y) ------------------------------------------------------------------
ufunc(sc.pdtr, _K, lambda t, x, y: -t * gamma_density(np.floor(x) + 1, y))
ufunc(sc.pdtrc, _K, lambda t, x, y: t * gamma_density(np.floor(x) + 1, y))
ufunc(sc.pdtri, _K, lambda t, ans, x: -t / gamma_density(x + 1.0, ans))

# -- binomial and negative binomial ----------------------------------------------------------------
ufunc(sc.bdtr, _K, _N, lambda t, x, y, z: -t * _trials(np.floor(x), y, z))
ufunc(sc.bdtrc, _K, _N, lambda t, x, y, z: t * _trials(np.floor(x), y, z))
ufunc(sc.bdtri, _K, _N, lambda t, ans, x, y: -t / _trials(np.floor(x), y, ans))
_SUCCESSES = Refused("its number of successes n")
ufunc(sc.nbdtr, _K, _SUCCESSES, lambda t, x, y, z: t * beta_density(y, np.floor(x) + 1, z))
ufunc(sc.nbdtrc, _K, _SUCCESSES, lambda t, x, y, z: -t * beta_density(y, np.floor(x) + 1, z))
ufunc(sc.nbdtri, _K, _SUCCESSES, lambda t, ans, x, y: t / beta_density(y, np.floor(x) + 1, ans))


def _trials(k: Any, n: Any, p: Any) -> Any:
    """The slope in p of the probability of more than k successes: betainc(k + 1, n - k, p)."""
    return beta_density(k + 1.0, n - k, p)


# -- F: betainc(x / 2, y / 2, w) with w = x z / (y + x z) ------------------------------------------
def _f_share(x: Any, y: Any, z: Any) -> Any:
    return x * z / (y + x * z)


def _f_density(x: Any, y: Any, z: Any) -> Any:
    return beta_density(0.5 * x, 0.5 * y, _f_share(x, y, z)) / np.square(y + x * z)


def _f_slopes(x: Any, y: Any, z: Any) -> tuple[Any, Any]:
    """The derivatives in the two numbers of degrees of freedom."""
    half, share = (0.5 * x, 0.5 * y), _f_share(x, y, z)
    moved = z * _f_density(x, y, z)
    return (
        0.5 * betainc_order(*half, share, IN_A) + y * moved,
        0.5 * betainc_order(*half, share, IN_B) - x * moved,
    )


ufunc(
    sc.fdtr,
    lambda t, x, y, z: t * _f_slopes(x, y, z)[0],
    lambda t, x, y, z: t * _f_slopes(x, y, z)[1],
    lambda t, x, y, z: t * (x * y * _f_density(x, y, z)),
)
ufunc(
    sc.fdtrc,
    lambda t, x, y, z: -t * _f_slopes(x, y, z)[0],
    lambda t, x, y, z: -t * _f_slopes(x, y, z)[1],
    lambda t, x, y, z: -t * (x * y * _f_density(x, y, z)),
)
ufunc(
    sc.fdtri,
    lambda t, ans, x, y: -t * (_f_slopes(x, y, ans)[0] / (x * y * _f_density(x, y, ans))),
    lambda t, ans, x, y: -t * (_f_slopes(x, y, ans)[1] / (x * y * _f_density(x, y, ans))),
    lambda t, ans, x, y: t / (x * y * _f_density(x, y, ans)),
)


# -- Student's t: half of betainc(x / 2, 1/2, x / (x + y^2)) is in each tail beyond y --------------
def _t_density(x: Any, y: Any) -> Any:
    log = -0.5 * (x + 1) * np.log1p(y * y / x) - sc.betaln(0.5, 0.5 * x)
    return np.exp(log) / np.sqrt(x)


def _t_slope(x: Any, y: Any) -> Any:
    """The derivative in the number of degrees of freedom."""
    tail = 0.25 * betainc_order(0.5 * x, 0.5, x / (x + y * y), IN_A)
    return -np.sign(y) * tail - 0.5 * (y / x) * _t_density(x, y)


ufunc(sc.stdtr, lambda t, x, y: t * _t_slope(x, y), lambda t, x, y: t * _t_density(x, y))
ufunc(
    sc.stdtrit,
    lambda t, ans, x: -t * (_t_slope(x, ans) / _t_density(x, ans)),
    lambda t, ans, x: t / _t_density(x, ans),
)
