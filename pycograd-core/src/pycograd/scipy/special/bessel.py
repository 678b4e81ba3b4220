"""Bessel functions and their kin, in the argument; an order is not differentiated.

Derivatives are the recurrences in the order (DLMF 10.6.1, 10.29.1, 10.51.2, 11.4), which hold at
argument 0 as well. The scaled functions of a complex argument are not holomorphic where the factor
has a modulus in it; those of the real one have derivative 0 of that modulus at 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from pycograd.core.rules import Refused
from pycograd.core.spelling import UFUNCS, claim
from pycograd.scipy.special.define import Rule, parts, ufunc

_V, _N = Refused("its order v"), Refused("its order n")


# -- any order -------------------------------------------------------------------------------------
def _half_difference(f: Any, v: Any, z: Any) -> Any:
    return 0.5 * (f(v - 1, z) - f(v + 1, z))


def _half_sum(f: Any, v: Any, z: Any) -> Any:
    return 0.5 * (f(v - 1, z) + f(v + 1, z))


ufunc(sc.jv, _V, lambda t, x, y: t * _half_difference(sc.jv, x, y))
ufunc(sc.yv, _V, lambda t, x, y: t * _half_difference(sc.yv, x, y))
ufunc(sc.hankel1, _V, lambda t, x, y: t * _half_difference(sc.hankel1, x, y))
ufunc(sc.hankel2, _V, lambda t, x, y: t * _half_difference(sc.hankel2, x, y))
ufunc(sc.iv, _V, lambda t, x, y: t * _half_sum(sc.iv, x, y))
ufunc(sc.kv, _V, lambda t, x, y: -t * _half_sum(sc.kv, x, y))
ufunc(sc.yn, _N, lambda t, x, y: t * _half_difference(sc.yn, x, y))
ufunc(sc.kn, _N, lambda t, x, y: -t * _half_sum(sc.kv, x * 1.0, y))

# -- scaled by an exponential: exp(z), exp(-iz), exp(iz) -------------------------------------------
ufunc(sc.kve, _V, lambda t, ans, x, y: t * (ans - _half_sum(sc.kve, x, y)))
ufunc(
    sc.hankel1e,
    _V,
    lambda t, ans, x, y: t * (_half_difference(sc.hankel1e, x, y) - 1j * ans),
)
ufunc(
    sc.hankel2e,
    _V,
    lambda t, ans, x, y: t * (_half_difference(sc.hankel2e, x, y) + 1j * ans),
)


def _modulated(function: Any, slope: Rule, part: Rule, unit: complex) -> None:
    """A function scaled by exp(-|part(z)|), of which `slope` is that of the function, scaled.

    Arguments:
        unit: the direction in which `part` grows, 1 for the real and 1j for the imaginary one.
    """

    def forward(t: Any, ans: Any, x: Any, y: Any) -> Any:
        return t * slope(x, y) - ans * (np.sign(part(y)) * part(t))

    def back(t: Any, ans: Any, x: Any, y: Any) -> Any:
        fall = np.sign(part(y)) * np.real(np.conj(ans) * t)
        return t * np.conj(slope(x, y)) - unit * fall

    real = lambda t, ans, x, y: t * (slope(x, y) - ans * np.sign(part(y)))
    ufunc(function, _V, real, real=[(forward, back)] * 2)


_modulated(sc.jve, lambda v, z: _half_difference(sc.jve, v, z), np.imag, 1j)
_modulated(sc.yve, lambda v, z: _half_difference(sc.yve, v, z), np.imag, 1j)
_modulated(sc.ive, lambda v, z: _half_sum(sc.ive, v, z), np.real, 1)

# -- orders 0 and 1 --------------------------------------------------------------------------------
ufunc(sc.j0, lambda t, x: -t * sc.j1(x))
ufunc(sc.j1, lambda t, x: t * (0.5 * (sc.j0(x) - sc.jv(2.0, x))))
ufunc(sc.y0, lambda t, x: -t * sc.y1(x))
ufunc(sc.y1, lambda t, x: t * (0.5 * (sc.y0(x) - sc.yv(2.0, x))))
ufunc(sc.i0, lambda t, x: t * sc.i1(x))
ufunc(sc.i1, lambda t, x: t * (0.5 * (sc.i0(x) + sc.iv(2.0, x))))
ufunc(sc.k0, lambda t, x: -t * sc.k1(x))
ufunc(sc.k1, lambda t, x: -t * (0.5 * (sc.k0(x) + sc.kv(2.0, x))))
ufunc(sc.i0e, lambda t, ans, x: t * (sc.i1e(x) - np.sign(x) * ans))
ufunc(sc.i1e, lambda t, ans, x: t * (0.5 * (sc.i0e(x) + sc.ive(2.0, x)) - np.sign(x) * ans))
ufunc(sc.k0e, lambda t, ans, x: t * (ans - sc.k1e(x)))
ufunc(sc.k1e, lambda t, ans, x: t * (ans - 0.5 * (sc.k0e(x) + sc.kve(2.0, x))))


# -- spherical: the ufuncs that scipy.special.spherical_jn and its kin call ------------------------
def _spherical(function: Any, derivative: Any, below: int, above: int) -> None:
    """f'(n) = (below n f(n - 1) + above (n + 1) f(n + 1)) / (2 n + 1), a ufunc of its own."""

    def second(x: Any, y: Any) -> Any:
        first = below * x * derivative(np.maximum(x - 1, 0), y)
        return (first + above * (x + 1) * derivative(x + 1, y)) / (2 * x + 1)

    ufunc(function, _N, lambda t, x, y: t * derivative(x, y))
    ufunc(derivative, _N, lambda t, x, y: t * second(x, y))


_spherical(sc._ufuncs._spherical_jn, sc._ufuncs._spherical_jn_d, 1, -1)
_spherical(sc._ufuncs._spherical_yn, sc._ufuncs._spherical_yn_d, 1, -1)
_spherical(sc._ufuncs._spherical_in, sc._ufuncs._spherical_in_d, 1, 1)
_spherical(sc._ufuncs._spherical_kn, sc._ufuncs._spherical_kn_d, -1, -1)

# -- Airy, Kelvin and parabolic cylinder functions -------------------------------------------------
_ai: Any
_aip: Any
_bi: Any
_bip: Any
_ai, _aip, _bi, _bip = parts(
    sc.airy,
    ai=[lambda t, x: t * _aip(x)],
    aip=[lambda t, x: t * (x * _ai(x))],
    bi=[lambda t, x: t * _bip(x)],
    bip=[lambda t, x: t * (x * _bi(x))],
)
ufunc(sc.ber, lambda t, x: t * sc.berp(x))
ufunc(sc.bei, lambda t, x: t * sc.beip(x))
ufunc(sc.ker, lambda t, x: t * sc.kerp(x))
ufunc(sc.kei, lambda t, x: t * sc.keip(x))
ufunc(sc.berp, lambda t, ans, x: -t * (sc.bei(x) + ans / x))
ufunc(sc.beip, lambda t, ans, x: t * (sc.ber(x) - ans / x))
ufunc(sc.kerp, lambda t, ans, x: -t * (sc.kei(x) + ans / x))
ufunc(sc.keip, lambda t, ans, x: t * (sc.ker(x) - ans / x))


def _kelvin(x: Any) -> tuple[Any, ...]:
    pairs = ((sc.ber, sc.bei), (sc.ker, sc.kei), (sc.berp, sc.beip), (sc.kerp, sc.keip))
    return tuple([real(x) + 1j * imaginary(x) for real, imaginary in pairs])


claim(UFUNCS, sc.kelvin, _kelvin)


def _parabolic(function: Any, parameter: str, curvature: Rule) -> None:
    """A solution of f'' = curvature(v, x) f and its derivative."""
    refused = Refused(f"its parameter {parameter}")
    made: list[Any] = parts(
        function,
        value=[refused, lambda t, x, y: t * made[1](x, y)],
        slope=[refused, lambda t, x, y: t * (curvature(x, y) * made[0](x, y))],
    )


_parabolic(sc.pbdv, "v", lambda v, x: 0.25 * x * x - v - 0.5)
_parabolic(sc.pbvv, "v", lambda v, x: 0.25 * x * x - v - 0.5)
_parabolic(sc.pbwa, "a", lambda a, x: a - 0.25 * x * x)


# -- Struve functions ------------------------------------------------------------------------------
def _power_term(v: Any, x: Any) -> Any:
    return np.power(0.5 * x, v) * (sc.rgamma(v + 1.5) / math.sqrt(math.pi))


ufunc(
    sc.struve,
    _V,
    lambda t, x, y: t * (_half_difference(sc.struve, x, y) + 0.5 * _power_term(x, y)),
)
ufunc(
    sc.modstruve,
    _V,
    lambda t, x, y: t * (_half_sum(sc.modstruve, x, y) + 0.5 * _power_term(x, y)),
)

# -- integrals from 0, and from x to infinity ------------------------------------------------------
parts(sc.itj0y0, j=[lambda t, x: t * sc.j0(x)], y=[lambda t, x: t * sc.y0(x)])
parts(sc.iti0k0, i=[lambda t, x: t * sc.i0(x)], k=[lambda t, x: t * sc.k0(x)])
parts(sc.it2j0y0, j=[lambda t, x: t * ((1 - sc.j0(x)) / x)], y=[lambda t, x: -t * (sc.y0(x) / x)])
parts(sc.it2i0k0, i=[lambda t, x: t * ((sc.i0(x) - 1) / x)], k=[lambda t, x: -t * (sc.k0(x) / x)])
parts(
    sc.itairy,
    ai=[lambda t, x: t * _ai(x)],
    bi=[lambda t, x: t * _bi(x)],
    ai_left=[lambda t, x: t * _ai(-x)],
    bi_left=[lambda t, x: t * _bi(-x)],
)
ufunc(sc.itstruve0, lambda t, x: t * sc.struve(0.0, x), keeps_dtype=False)
ufunc(sc.itmodstruve0, lambda t, x: t * sc.modstruve(0.0, x), keeps_dtype=False)
ufunc(sc.it2struve0, lambda t, x: -t * (sc.struve(0.0, x) / x), keeps_dtype=False)

# -- Wright's functions ----------------------------------------------------------------------------
_A, _B = Refused("its parameter a"), Refused("its parameter b")
ufunc(sc.wright_bessel, _A, _B, lambda t, x, y, z: t * sc.wright_bessel(x, x + y, z))
if hasattr(sc, "log_wright_bessel"):  # since scipy 1.14
    ufunc(
        sc.log_wright_bessel,
        _A,
        _B,
        lambda t, ans, x, y, z: t * np.exp(sc.log_wright_bessel(x, x + y, z) - ans),
    )
ufunc(sc.wrightomega, lambda t, ans: t * (ans / (1 + ans)))
