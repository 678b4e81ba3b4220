"""Incomplete gamma and beta functions, in every operand.

Derivatives in the parameters are integrals of the density times powers of logarithms. They are
taken on the side of the argument that has the smaller part of the distribution, by the double
exponential rule for integrands that decay like exp(-v) (Takahasi and Mori 1974), v being the
distance from the argument or its logarithm, in units of the decay. Parameters below 1, where the
density is infinite at an end and decays slowly, are first raised by 1 by the recurrences DLMF 8.8.5
and 8.17.20-21.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sc

from pycograd.core.elementwise import Elementwise
from pycograd.core.rules import Refused
from pycograd.scipy.special.define import family, ufunc
from pycograd.scipy.special.gammafunctions import polygamma

_STEP = 0.1
_U = np.arange(-4.1, 5.0, _STEP)
_NODES = np.exp(_U - np.exp(-_U))
_WEIGHTS = _NODES * (1 + np.exp(-_U)) * _STEP
_CHUNK = 1024  # entries that are integrated together: their nodes fit into a cache


def _integrate(function: Callable[..., Any], unit: Any, *operands: Any) -> Any:
    """The integrals over v in (0, inf) of `function(v, *operands)`, which decays within `unit`."""
    arrays = np.broadcast_arrays(unit, *operands)
    flat: list[Any] = [np.reshape(x, (-1, 1)) for x in arrays]
    total = np.empty(arrays[0].size)
    for start in range(0, total.size, _CHUNK):
        unit, *part = [x[start : start + _CHUNK] for x in flat]
        values = unit * function(unit * _NODES, *part)
        # Far out an exponential is 0 and the power beside it may be infinite.
        total[start : start + _CHUNK] = np.where(np.isfinite(values), values, 0) @ _WEIGHTS
    return total.reshape(arrays[0].shape)


def _of_exponential(h: Callable[[int, int], Any], i: int, j: int = 0) -> Any:
    """The (i, j)-th derivative of exp(h), over exp(h), from those of h (Leibniz)."""
    if i == j == 0:
        return 1.0
    if not i:
        return _of_exponential(lambda p, q: h(q, p), j)
    return sum(
        math.comb(i - 1, p) * math.comb(j, q) * h(p + 1, q) * _of_exponential(h, i - 1 - p, j - q)
        for p in range(i)
        for q in range(j + 1)
    )


# -- the gamma distribution ------------------------------------------------------------------------
def _log_gamma_density(a: Any, x: Any) -> Any:
    """log(x^a exp(-x) / gamma(a)), by Stirling's series (DLMF 5.11.1) where a is large."""
    large = a > 50
    b = np.where(large, a, 50.0)
    r = (x - b) / b
    series = 1 / (12 * b) - 1 / (360 * b**3) + 1 / (1260 * b**5) - 1 / (1680 * b**7)
    stirling = 0.5 * np.log(b / (2 * math.pi)) - series - b * (r - np.log1p(r))
    small = np.where(large, 1.0, a)
    return np.where(large, stirling, sc.xlogy(small, x) - x - sc.gammaln(small))


def _gamma_density_value(x: Any, y: Any) -> Any:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    with np.errstate(all="ignore"):
        inside = np.exp(_log_gamma_density(x, y)) / y
    return np.where(y == 0, np.where(x > 1, 0.0, np.where(x == 1, 1.0, np.inf)), inside)


gamma_density = family(
    "gamma_density",
    _gamma_density_value,
    lambda t, ans, x, y: t * (ans * (np.log(y) - sc.psi(x))),
    lambda t, ans, x, y: t * (ans * ((x - 1) / y - 1)),
    like=2,
)


def _log_slopes(x: Any, log: Any) -> Callable[[int, int], Any]:
    """The derivatives in x of log(u^(x-1) exp(-u) / gamma(x)), of which `log` is log(u)."""
    return lambda i, j: log - sc.psi(x) if i == 1 else -polygamma(i - 1, x)


def _gammainc_order_value(x: Any, y: Any, z: Any) -> Any:
    """The z-th derivative of gammainc(x, y) in x."""
    a, u, order = np.asarray(x, np.float64), np.asarray(y, np.float64), int(z)
    with np.errstate(all="ignore"):
        small = a < 1
        step = np.exp(sc.xlogy(a, u) - u - sc.gammaln(a + 1))
        step = np.where(small, step * _of_exponential(_log_slopes(a + 1, np.log(u)), order), 0)
        a = np.where(small, a + 1, a)

        def below(v: Any, a: Any, u: Any) -> Any:  # at u exp(-v)
            moment = _of_exponential(_log_slopes(a, np.log(u) - v), order)
            return moment * np.exp(-a * v - u * np.expm1(-v))

        def above(v: Any, a: Any, u: Any) -> Any:  # at u + v
            moment = _of_exponential(_log_slopes(a, np.log(u + v)), order)
            return -moment * np.exp((a - 1) * np.log1p(v / u) - v)

        left, root = u <= a, np.sqrt(a)
        inner, outer = np.where(left, u, a), np.where(left, a, u)
        found = np.where(
            left,
            _integrate(below, 1 / (a - inner + root), a, inner),
            _integrate(above, outer / (outer - a + 1 + root), a, outer) / outer,
        )
        found = step + np.exp(_log_gamma_density(a, u)) * found
    return np.where((u == 0) | (u == np.inf), 0.0, found)


gammainc_order: Elementwise = family(
    "gammainc_order",
    _gammainc_order_value,
    lambda t, x, y, z: t * gammainc_order(x, y, z + 1),
    lambda t, x, y, z: t * (gamma_density(x, y) * _of_exponential(_log_slopes(x, np.log(y)), z)),
    Refused("its number of derivatives"),
    like=2,
)

ufunc(
    sc.gammainc,
    lambda t, x, y: t * gammainc_order(x, y, 1),
    lambda t, x, y: t * gamma_density(x, y),
)
ufunc(
    sc.gammaincc,
    lambda t, x, y: -t * gammainc_order(x, y, 1),
    lambda t, x, y: -t * gamma_density(x, y),
)
ufunc(
    sc.gammaincinv,
    lambda t, ans, x: -t * (gammainc_order(x, ans, 1) / gamma_density(x, ans)),
    lambda t, ans, x: t / gamma_density(x, ans),
)
ufunc(
    sc.gammainccinv,
    lambda t, ans, x: -t * (gammainc_order(x, ans, 1) / gamma_density(x, ans)),
    lambda t, ans, x: -t / gamma_density(x, ans),
)


# -- the beta distribution -------------------------------------------------------------------------
def _beta_density_value(x: Any, y: Any, z: Any) -> Any:
    a, b, u = (np.asarray(v, np.float64) for v in (x, y, z))
    return np.exp(sc.xlogy(a - 1, u) + sc.xlog1py(b - 1, -u) - sc.betaln(a, b))


beta_density = family(
    "beta_density",
    _beta_density_value,
    lambda t, ans, x, y, z: t * (ans * (np.log(z) - sc.psi(x) + sc.psi(x + y))),
    lambda t, ans, x, y, z: t * (ans * (np.log1p(-z) - sc.psi(y) + sc.psi(x + y))),
    lambda t, ans, x, y, z: t * (ans * ((x - 1) / z - (y - 1) / (1 - z))),
    like=3,
)


def _beta_slopes(x: Any, y: Any, log: Any, log_rest: Any, total: Any) -> Callable[[int, int], Any]:
    """The derivatives in x and y of log(u^x (1-u)^y gamma(total) / (gamma(x) gamma(y))).

    `total`, which is x + y up to a number, moves with both.
    """

    def slope(i: int, j: int) -> Any:
        joint = polygamma(i + j - 1, total)
        if i and j:
            return joint
        own, logarithm = (x, log) if i else (y, log_rest)
        slope = joint - polygamma(i + j - 1, own)
        return logarithm + slope if i + j == 1 else slope

    return slope


_BASE = 16  # a pair of orders (i, j) is the number 16 i + j: it must be one operand


def _betainc_order_value(x: Any, y: Any, z: Any, w: Any) -> Any:
    """The (i, j)-th derivative of betainc(x, y, z) in x and y."""
    a, b, u = np.broadcast_arrays(*[np.asarray(v, np.float64) for v in (x, y, z)])
    i, j = divmod(int(w), _BASE)
    with np.errstate(all="ignore"):
        logs, step = (np.log(u), np.log1p(-u)), 0.0
        for raised in (0, 1):  # u^a (1-u)^b gamma(a+b) / (gamma(a+1) gamma(b)), and so for b
            small = (b if raised else a) < 1
            p, q = (a, b + 1) if raised else (a + 1, b)
            weight = sc.xlogy(a, u) + sc.xlog1py(b, -u)
            weight = np.exp(weight + sc.gammaln(a + b) - sc.gammaln(p) - sc.gammaln(q))
            slope = _of_exponential(_beta_slopes(p, q, *logs, a + b), i, j)
            step = step + np.where(small, (-1) ** raised * weight * slope, 0)
            a, b = np.where(small, p, a), np.where(small, q, b)

        right = u * (a + b) > a  # there 1 - betainc(b, a, 1 - u) is integrated
        c, d = np.where(right, b, a), np.where(right, a, b)
        near, rest = np.where(right, 1 - u, u), np.where(right, u, 1 - u)

        def below(v: Any, c: Any, d: Any, near: Any, rest: Any, right: Any) -> Any:
            gained = np.log1p(-near * np.expm1(-v) / rest)  # the variable is near exp(-v)
            log, log_rest = np.log(near) - v, np.log(rest) + gained
            slopes = _beta_slopes(c, d, log, log_rest, c + d)
            moment = np.where(right, -_of_exponential(slopes, j, i), _of_exponential(slopes, i, j))
            return moment * np.exp(-c * v + (d - 1) * gained)

        odds = near / rest
        unit = 1 / (c - (d - 1) * odds + np.sqrt((d - 1) * odds * (1 + odds)))
        mass = np.exp(sc.xlogy(c, near) + sc.xlog1py(d - 1, -near) - sc.betaln(c, d))
        found = step + mass * _integrate(below, unit, c, d, near, rest, right)
    return np.where((u == 0) | (u == 1), 0.0, found)


def _betainc_density(x: Any, y: Any, z: Any, w: Any) -> Any:
    slopes = _beta_slopes(x, y, np.log(z), np.log1p(-z), x + y)
    return beta_density(x, y, z) * _of_exponential(slopes, *divmod(w, _BASE))


betainc_order: Elementwise = family(
    "betainc_order",
    _betainc_order_value,
    lambda t, x, y, z, w: t * betainc_order(x, y, z, w + _BASE),
    lambda t, x, y, z, w: t * betainc_order(x, y, z, w + 1),
    lambda t, x, y, z, w: t * _betainc_density(x, y, z, w),
    Refused("its numbers of derivatives"),
    like=3,
)
IN_A, IN_B = _BASE, 1

ufunc(
    sc.betainc,
    lambda t, x, y, z: t * betainc_order(x, y, z, IN_A),
    lambda t, x, y, z: t * betainc_order(x, y, z, IN_B),
    lambda t, x, y, z: t * beta_density(x, y, z),
)
ufunc(
    sc.betaincc,
    lambda t, x, y, z: -t * betainc_order(x, y, z, IN_A),
    lambda t, x, y, z: -t * betainc_order(x, y, z, IN_B),
    lambda t, x, y, z: -t * beta_density(x, y, z),
)
ufunc(
    sc.betaincinv,
    lambda t, ans, x, y: -t * (betainc_order(x, y, ans, IN_A) / beta_density(x, y, ans)),
    lambda t, ans, x, y: -t * (betainc_order(x, y, ans, IN_B) / beta_density(x, y, ans)),
    lambda t, ans, x, y: t / beta_density(x, y, ans),
)
ufunc(
    sc.betainccinv,
    lambda t, ans, x, y: -t * (betainc_order(x, y, ans, IN_A) / beta_density(x, y, ans)),
    lambda t, ans, x, y: -t * (betainc_order(x, y, ans, IN_B) / beta_density(x, y, ans)),
    lambda t, ans, x, y: -t / beta_density(x, y, ans),
)
