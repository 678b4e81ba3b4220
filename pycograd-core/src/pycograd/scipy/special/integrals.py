"""Exponential, trigonometric and Fresnel integrals, the dilogarithm, elliptic integrals, W."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from pycograd.core.rules import Refused
from pycograd.scipy.special.define import parts, ufunc
from pycograd.transforms.forward import jvp

# -- integrals of exponentials and sines over x ----------------------------------------------------
ufunc(sc.exp1, lambda t, x: -t * (np.exp(-x) / x))
ufunc(sc.expi, lambda t, x: t * (np.exp(x) / x))


def _expn_below(n: Any, x: Any) -> Any:
    """expn(n - 1, x), of which scipy has no order -1: there exp(-x) (1 / x + 1 / x^2)."""
    first = np.less(n, 1)
    inverse = 1 / np.where(first, x, 1)
    return np.where(
        first, np.exp(-x) * inverse * (1 + inverse), sc.expn(np.maximum(np.subtract(n, 1), 0), x)
    )


ufunc(sc.expn, Refused("its order n"), lambda t, x, y: -t * _expn_below(x, y))
parts(
    sc.sici,
    si=[lambda t, x: t * np.sinc(x / math.pi)],
    ci=[lambda t, x: t * (np.cos(x) / x)],
)
parts(
    sc.shichi,
    shi=[lambda t, x: t * sc.hyp0f1(1.5, 0.25 * x * x)],
    chi=[lambda t, x: t * (np.cosh(x) / x)],
)
parts(
    sc.fresnel,
    s=[lambda t, x: t * np.sin(math.pi / 2 * x * x)],
    c=[lambda t, x: t * np.cos(math.pi / 2 * x * x)],
)
# -log(x) / (1 - x), with value 1 at 1: DLMF 15.4.1
ufunc(sc.spence, lambda t, x: -t * sc.hyp2f1(1.0, 1.0, 2.0, 1 - x), keeps_dtype=False)
# Lambert's W, which scipy.special.lambertw calls; W' = exp(-W) / (1 + W) holds at 0 too.
ufunc(sc._ufuncs._lambertw, lambda t, ans: t * (np.exp(-ans) / (1 + ans)), None, None)


# -- complete elliptic integrals: hypergeometric functions of m, DLMF 19.5.1-2 ---------------------
def _rest(m: Any) -> Any:
    return sc.hyp2f1(0.5, 0.5, 2.0, m)


ufunc(sc.ellipk, lambda t, x: t * (math.pi / 8 * _rest(x) / (1 - x)), keeps_dtype=False)
ufunc(sc.ellipkm1, lambda t, x: -t * (math.pi / 8 * _rest(1 - x) / x), keeps_dtype=False)
ufunc(
    sc.ellipe,
    lambda t, x: -t * (math.pi / 8 * sc.hyp2f1(0.5, 1.5, 2.0, x)),
    keeps_dtype=False,
)


# The mean of x and y is pi / 4 (x + y) / K(r^2) with r = (x - y) / (x + y): DLMF 19.8.5
def _agm_slope(ans: Any, x: Any, y: Any) -> Any:
    total = x + y
    share = 4 * (x / total) * (y / total)  # 1 - r^2
    growth = math.pi / 8 * _rest(1 - share) / share / sc.ellipkm1(share)
    return ans * (1 - 4 * growth * ((x - y) / total) * (y / total)) / total


ufunc(
    sc.agm,
    lambda t, ans, x, y: t * _agm_slope(ans, x, y),
    lambda t, ans, x, y: t * _agm_slope(ans, y, x),
)


# -- Carlson's integrals ---------------------------------------------------------------------------
_DOUBLINGS = 9  # each brings the operands together by a factor 4; the series ends at the 7th power


def _elliprd(x: Any, y: Any, z: Any) -> Any:
    """R_D by duplication (Carlson 1995), which differentiates where operands coincide as well."""
    total, factor = 0.0, 1.0
    for _ in range(_DOUBLINGS):
        a, b, c = np.sqrt(x), np.sqrt(y), np.sqrt(z)
        shift = a * b + b * c + c * a
        total = total + factor / (c * (z + shift))
        factor = factor / 4
        x, y, z = (x + shift) / 4, (y + shift) / 4, (z + shift) / 4
    mean = (x + y + 3 * z) / 5
    p, q = 1 - x / mean, 1 - y / mean
    r = -(p + q) / 3
    e2, e3, e4, e5 = (
        p * q - 6 * r * r,
        (3 * p * q - 8 * r * r) * r,
        3 * (p * q - r * r) * r * r,
        p * q * r * r * r,
    )
    series = (  # DLMF 19.36.2
        1 - 3 / 14 * e2 + 1 / 6 * e3 + 9 / 88 * e2 * e2 - 3 / 22 * e4 - 9 / 52 * e2 * e3
        + 3 / 26 * e5
    )  # fmt: skip
    return factor * series / (mean * np.sqrt(mean)) + 3 * total


ufunc(
    sc.elliprf,
    lambda t, x, y, z: -t * (sc.elliprd(y, z, x) / 6),
    lambda t, x, y, z: -t * (sc.elliprd(z, x, y) / 6),
    lambda t, x, y, z: -t * (sc.elliprd(x, y, z) / 6),
)


def _elliprd_slope(i: int, *operands: Any) -> Any:
    ones = [np.ones_like(x) if k == i else None for k, x in enumerate(operands)]
    return jvp(_elliprd, operands, ones)[1]


ufunc(
    sc.elliprd,
    lambda t, x, y, z: t * _elliprd_slope(0, x, y, z),
    lambda t, x, y, z: t * _elliprd_slope(1, x, y, z),
    lambda t, x, y, z: t * _elliprd_slope(2, x, y, z),
)
ufunc(
    sc.elliprc,
    lambda t, x, y: -t * (sc.elliprd(y, y, x) / 6),
    lambda t, x, y: -t * (sc.elliprd(x, y, y) / 3),
)


# -- incomplete elliptic integrals and Jacobi's functions ------------------------------------------
def _turns(phi: Any) -> Any:
    """How many times pi the amplitude is beside its part in [-pi / 2, pi / 2]."""
    return np.rint(phi / math.pi)


def _with_turns(phi: Any, part: Any, twice: Any) -> Any:
    """`part` of the amplitude that is left when each turn adds `twice` a complete integral."""
    turns = _turns(phi)
    part = np.where(turns % 2 == 0, part, -part)
    return part + np.where(turns == 0, 0, turns * twice)


def _kinc_slope(phi: Any, m: Any) -> Any:
    # the integral of sin^2 / (2 (1 - m sin^2)^(3/2)), DLMF 19.25.9 with its last two swapped
    s = np.sin(phi)
    part = s * s * s * sc.elliprd(np.square(np.cos(phi)), 1.0, 1 - m * s * s) / 6
    return _with_turns(phi, part, math.pi / 4 * _rest(m) / (1 - m))


def _einc_slope(phi: Any, m: Any) -> Any:
    # the integral of -sin^2 / (2 (1 - m sin^2)^(1/2)), DLMF 19.25.9
    s = np.sin(phi)
    part = s * s * s * sc.elliprd(np.square(np.cos(phi)), 1 - m * s * s, 1.0) / 6
    return -_with_turns(phi, part, math.pi / 4 * sc.hyp2f1(0.5, 1.5, 2.0, m))


ufunc(
    sc.ellipkinc,
    lambda t, x, y: t / np.sqrt(1 - y * np.square(np.sin(x))),
    lambda t, x, y: t * _kinc_slope(x, y),
)
ufunc(
    sc.ellipeinc,
    lambda t, x, y: t * np.sqrt(1 - y * np.square(np.sin(x))),
    lambda t, x, y: t * _einc_slope(x, y),
)
# The amplitude ph(u, m) solves ellipkinc(ph, m) = u; sn and cn are its sine and cosine.
_sn: Any
_cn: Any
_dn: Any
_ph: Any
_sn, _cn, _dn, _ph = parts(
    sc.ellipj,
    sn=[
        lambda t, x, y: t * (_cn(x, y) * _dn(x, y)),
        lambda t, x, y: t * (_cn(x, y) * _amplitude_slope(x, y)),
    ],
    cn=[
        lambda t, x, y: -t * (_sn(x, y) * _dn(x, y)),
        lambda t, x, y: -t * (_sn(x, y) * _amplitude_slope(x, y)),
    ],
    dn=[
        lambda t, x, y: -t * (y * _sn(x, y) * _cn(x, y)),
        lambda t, ans, x, y: (
            -t * (_sn(x, y) / ans * (0.5 * _sn(x, y) + y * _cn(x, y) * _amplitude_slope(x, y)))
        ),
    ],
    ph=[lambda t, x, y: t * _dn(x, y), lambda t, x, y: t * _amplitude_slope(x, y)],
)


def _amplitude_slope(u: Any, m: Any) -> Any:
    return -_dn(u, m) * _kinc_slope(_ph(u, m), m)
