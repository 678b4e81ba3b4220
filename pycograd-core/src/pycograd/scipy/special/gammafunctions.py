"""The gamma function and what is made of it: polygamma, beta, binomials, the zeta function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from pycograd.core.elementwise import Elementwise
from pycograd.core.rules import Refused
from pycograd.scipy.special.define import ufunc

# -- polygamma -------------------------------------------------------------------------------------
_SHIFT, _BERNOULLI = 16, sc.bernoulli(24)[2::2]


def _hurwitz(s: int, z: Any) -> Any:
    """The sum of (z + k)^-s over k = 0, 1, ... for complex z, by Euler-Maclaurin: DLMF 25.11.5."""
    shift = _SHIFT + max(0, math.ceil(-float(np.min(z.real, initial=0.0))))
    total = np.zeros_like(z)
    for k in range(shift):
        total += (z + k) ** -s
    z = z + shift
    total += z ** (1 - s) / (s - 1) + 0.5 * z**-s
    term = s * z ** (-s - 1) / 2
    for k, bernoulli in enumerate(_BERNOULLI):
        total += bernoulli * term
        n = 2 * k + s + 1
        term = term * (n * (n + 1) / ((2 * k + 3) * (2 * k + 4))) / (z * z)
    return total


def _polygamma_value(x: Any, y: Any) -> Any:
    if np.asarray(y).dtype.kind != "c":
        return sc.polygamma(x, y)[()]
    order, z = int(x), np.asarray(y, np.complex128)
    if order == 0:
        return sc.psi(y)
    found = (-1.0) ** (order + 1) * math.factorial(order) * _hurwitz(order + 1, z)
    return found.astype(np.result_type(y))[()]


def _polygamma_dtype(x: Any, y: Any) -> Any:
    return y.dtype if y.dtype.kind == "c" else np.dtype(np.float64)


polygamma: Elementwise = Elementwise(
    "polygamma",
    _polygamma_value,
    [Refused("its order n"), lambda t, x, y: t * polygamma(x + 1, y)],
    dtype=_polygamma_dtype,
    cost="transcendental",
)

# -- the gamma function ----------------------------------------------------------------------------
ufunc(sc.gamma, lambda t, ans, x: t * (ans * sc.psi(x)))
ufunc(sc.gammaln, lambda t, x: t * sc.psi(x))
ufunc(sc.loggamma, lambda t, x: t * sc.psi(x))
ufunc(sc.psi, lambda t, x: t * polygamma(1, x), keeps_dtype=False)
ufunc(sc.gammasgn, None)
ufunc(sc.rgamma, lambda t, ans, x: t * _rgamma_slope(ans, x))


def _rgamma_slope(ans: Any, x: Any) -> Any:
    # On the left, where psi has poles and 1 / gamma does not, by reflection: DLMF 5.5.3
    left = np.real(x) < 0.5
    a, b = np.where(left, 1 - x, 1), np.where(left, 1, x)
    turned = sc.gamma(a) * (np.cos(math.pi * x) - np.sin(math.pi * x) * sc.psi(a) / math.pi)
    return np.where(left, turned, -ans * sc.psi(b))


# -- quotients of gamma functions ------------------------------------------------------------------
ufunc(
    sc.beta,
    lambda t, ans, x, y: t * (ans * (sc.psi(x) - sc.psi(x + y))),
    lambda t, ans, x, y: t * (ans * (sc.psi(y) - sc.psi(x + y))),
)
ufunc(
    sc.betaln,
    lambda t, x, y: t * (sc.psi(x) - sc.psi(x + y)),
    lambda t, x, y: t * (sc.psi(y) - sc.psi(x + y)),
)
ufunc(
    sc.poch,
    lambda t, ans, x, y: t * (ans * (sc.psi(x + y) - sc.psi(x))),
    lambda t, ans, x, y: t * (ans * sc.psi(x + y)),
)
ufunc(
    sc.binom,
    lambda t, ans, x, y: t * (ans * (sc.psi(x + 1) - sc.psi(x - y + 1))),
    lambda t, ans, x, y: t * (ans * (sc.psi(x - y + 1) - sc.psi(y + 1))),
)

# -- zeta ------------------------------------------------------------------------------------------
_S = Refused("its exponent x")
hurwitz, riemann = sc._ufuncs._zeta, sc._ufuncs._riemann_zeta  # which scipy.special.zeta calls
ufunc(hurwitz, _S, lambda t, x, y: -t * (x * hurwitz(x + 1, y)))
ufunc(riemann, _S)
ufunc(sc.zetac, _S)
