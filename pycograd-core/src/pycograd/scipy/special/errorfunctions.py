"""Error functions and the normal distribution.

`erfcx`, `dawsn` and `wofz` solve f' = 2 s x f + c with a sign s and a constant c. At large x the
two terms cancel; there the derivatives come from the asymptotic series instead.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from pycograd.core.rules import Refused
from pycograd.scipy.special.define import family, ufunc

_ROOT_PI = math.sqrt(math.pi)
_FAR, _TERMS = 6.0, 36  # beyond 6 the series loses nothing: its terms fall until 36 and to 1e-16


def _scaled(function: Any, name: str, sign: int, constant: complex, far: Any) -> Any:
    """The derivatives of `function` of every order, an operation of x and the order.

    Arguments:
        far: `far(x)`: where the asymptotic series holds.
    """

    def near(x: Any, order: int) -> Any:
        before, last = function(x), 2 * sign * x * function(x) + constant
        for n in range(1, order):  # f^(n+1) = 2 s (x f^(n) + n f^(n-1))
            before, last = last, 2 * sign * (x * last + n * before)
        return last if order else before

    def series(x: Any, order: int) -> Any:
        # f ~ -c / (2 s x) sum over k of (2k - 1)!! (-s / (2 x^2))^k, DLMF 7.12.1, term by term
        total, term = 0.0, -sign * constant / 2 * (-1) ** order * math.factorial(order) / x
        for k in range(_TERMS):
            total = total + term
            n = 2 * k + order
            term = term * (-sign * (n + 1) * (n + 2) / (4 * (k + 1) * x * x))
        return total / x**order

    def value(x: Any, order: Any) -> Any:
        x = np.asarray(x)
        outside = far(x)
        found = near(np.where(outside, 0, x), int(order))
        if not outside.any():
            return found
        return np.where(outside, series(np.where(outside, x, 2 * _FAR), int(order)), found)

    derivative: Any = family(
        name, value, lambda t, x, y: t * derivative(x, y + 1), Refused("its order"), like=1
    )
    return derivative


def _right(x: Any) -> Any:
    """Where exp(x^2) is nothing beside a power of 1 / x: to the right of a wedge."""
    return (np.abs(x) > _FAR) & (np.real(x) > -0.5 * np.abs(np.imag(x)))


def _level(x: Any) -> Any:
    """Likewise for exp(-x^2): beside the real axis."""
    return (np.abs(x) > _FAR) & (np.abs(np.imag(x)) < 0.5 * np.abs(np.real(x)))


def _above(x: Any) -> Any:
    """The upper half plane and a little more: there wofz(x) is erfcx(-1j * x)."""
    return _right(-1j * x)


erfcx_derivative = _scaled(sc.erfcx, "erfcx_derivative", 1, -2 / _ROOT_PI, _right)
dawsn_derivative = _scaled(sc.dawsn, "dawsn_derivative", -1, 1.0, _level)
wofz_derivative = _scaled(sc.wofz, "wofz_derivative", -1, 2j / _ROOT_PI, _above)

# -- error functions -------------------------------------------------------------------------------
ufunc(sc.erf, lambda t, x: t * (2 / _ROOT_PI * np.exp(-x * x)))
ufunc(sc.erfc, lambda t, x: -t * (2 / _ROOT_PI * np.exp(-x * x)))
ufunc(sc.erfi, lambda t, x: t * (2 / _ROOT_PI * np.exp(x * x)))
ufunc(sc.erfcx, lambda t, x: t * erfcx_derivative(x, 1))
ufunc(sc.dawsn, lambda t, x: t * dawsn_derivative(x, 1))
ufunc(sc.wofz, lambda t, x: t * wofz_derivative(x + 0j, 1))
ufunc(sc.erfinv, lambda t, ans: t * (_ROOT_PI / 2 * np.exp(ans * ans)))
ufunc(sc.erfcinv, lambda t, ans: -t * (_ROOT_PI / 2 * np.exp(ans * ans)))

# -- the normal distribution -----------------------------------------------------------------------
_ROOT_2PI, _ROOT_HALF = math.sqrt(2 * math.pi), math.sqrt(0.5)


def _hazard(x: Any) -> Any:
    """density(x) / ndtr(x), the slope of log_ndtr, without underflow."""
    return (2 / _ROOT_2PI) / sc.erfcx(-_ROOT_HALF * x)


ufunc(sc.ndtr, lambda t, x: t * (np.exp(-0.5 * (x * x)) / _ROOT_2PI))
ufunc(sc.ndtri, lambda t, ans: t * (np.exp(0.5 * (ans * ans)) * _ROOT_2PI))
ufunc(sc.log_ndtr, lambda t, x: t * _hazard(x))
ufunc(sc.ndtri_exp, lambda t, ans: t / _hazard(ans))
# Of the mean and the deviation y at which ndtr((z - mean) / y) is x
ufunc(
    sc.nrdtrimn,
    lambda t, x, y: -t * (y * np.exp(0.5 * np.square(sc.ndtri(x))) * _ROOT_2PI),
    lambda t, x: -t * sc.ndtri(x),
    lambda t: t,
)
ufunc(
    sc.owens_t,
    lambda t, x, y: -t * (np.exp(-0.5 * (x * x)) * sc.erf(_ROOT_HALF * x * y) / (2 * _ROOT_2PI)),
    lambda t, x, y: t * (np.exp(-0.5 * (x * x) * (1 + y * y)) / (2 * math.pi * (1 + y * y))),
)


# -- the Voigt profile: Re w(z) / (y sqrt(2 pi)) with z = (x + i gamma) / (y sqrt(2)) --------------
def _voigt_slope(x: Any, y: Any, z: Any) -> Any:
    return wofz_derivative((x + 1j * z) * (_ROOT_HALF / y), 1) * (_ROOT_HALF / (_ROOT_2PI * y * y))


ufunc(
    sc.voigt_profile,
    lambda t, x, y, z: t * np.real(_voigt_slope(x, y, z)),
    lambda t, ans, x, y, z: -t * ((ans + np.real(_voigt_slope(x, y, z) * (x + 1j * z))) / y),
    lambda t, x, y, z: -t * np.imag(_voigt_slope(x, y, z)),
)
