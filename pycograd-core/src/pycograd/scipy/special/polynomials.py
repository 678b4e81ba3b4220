"""Orthogonal polynomials and hypergeometric functions, in the argument.

The derivative of each is one of a neighbouring degree and weight (DLMF 18.9.15-28, 13.3.15, 15.5.1,
16.3.1), so no division by 1 - x^2 spoils the ends of the interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sc

from pycograd.core.rules import Refused
from pycograd.scipy.special.define import ufunc

_N, _ALPHA, _BETA = Refused("its degree n"), Refused("its weight alpha"), Refused("its weight beta")


def _below(n: Any) -> Any:
    """The degree of the derivative of one of degree n: of degree 0, where that is 0, any."""
    if isinstance(n, (int, float)):
        return n - 1 if n else n
    return np.where(n == 0, n, n - 1)


def _slope(n: Any, below: Any) -> Any:
    """`below`, which is of degree n - 1; 0 of degree 0."""
    return np.where(np.equal(n, 0), 0, below)


def _gegenbauer(n: Any, weight: float, x: Any) -> Any:
    return _slope(n, sc.eval_gegenbauer(_below(n), weight, x))


# -- Jacobi and its special cases ------------------------------------------------------------------
ufunc(
    sc.eval_jacobi,
    _N,
    _ALPHA,
    _BETA,
    lambda t, x, y, z, w: (
        t * _slope(x, 0.5 * (x + y + z + 1) * sc.eval_jacobi(_below(x), y + 1, z + 1, w))
    ),
)
ufunc(
    sc.eval_sh_jacobi,
    _N,
    Refused("its weight p"),
    Refused("its weight q"),
    lambda t, x, y, z, w: t * (x * sc.eval_sh_jacobi(_below(x), y + 2, z + 1, w)),
)
ufunc(
    sc.eval_gegenbauer,
    _N,
    _ALPHA,
    lambda t, x, y, z: t * _slope(x, 2 * y * sc.eval_gegenbauer(_below(x), y + 1, z)),
)
ufunc(sc.eval_legendre, _N, lambda t, x, y: t * _gegenbauer(x, 1.5, y))
ufunc(sc.eval_chebyt, _N, lambda t, x, y: t * (x * sc.eval_chebyu(_below(x), y)))
ufunc(sc.eval_chebyu, _N, lambda t, x, y: t * (2 * _gegenbauer(x, 2.0, y)))
ufunc(sc.eval_chebyc, _N, lambda t, x, y: t * (x * sc.eval_chebys(_below(x), y)))
ufunc(sc.eval_chebys, _N, lambda t, x, y: t * _gegenbauer(x, 2.0, 0.5 * y))
ufunc(sc.eval_sh_legendre, _N, lambda t, x, y: t * (2 * _gegenbauer(x, 1.5, 2 * y - 1)))
ufunc(sc.eval_sh_chebyt, _N, lambda t, x, y: t * (2 * x * sc.eval_sh_chebyu(_below(x), y)))
ufunc(sc.eval_sh_chebyu, _N, lambda t, x, y: t * (4 * _gegenbauer(x, 2.0, 2 * y - 1)))

# -- Hermite and Laguerre --------------------------------------------------------------------------
ufunc(sc.eval_hermite, _N, lambda t, x, y: t * (2 * x * sc.eval_hermite(_below(x), y)))
ufunc(sc.eval_hermitenorm, _N, lambda t, x, y: t * (x * sc.eval_hermitenorm(_below(x), y)))
ufunc(sc.eval_laguerre, _N, lambda t, x, y: -t * _slope(x, sc.eval_genlaguerre(_below(x), 1.0, y)))
ufunc(
    sc.eval_genlaguerre,
    _N,
    _ALPHA,
    lambda t, x, y, z: -t * _slope(x, sc.eval_genlaguerre(_below(x), y + 1, z)),
)

# -- associated Legendre functions: (z^2 - 1) P' = y z P - (x + y) P of the degree below -----------
ufunc(
    sc.lpmv,
    Refused("its order m"),
    Refused("its degree v"),
    lambda t, ans, x, y, z: t * ((y * z * ans - (x + y) * sc.lpmv(x, y - 1, z)) / (z * z - 1)),
)

# -- hypergeometric functions ----------------------------------------------------------------------
_A, _B, _C = (Refused(f"its parameter {name}") for name in "abc")
ufunc(sc.hyp0f1, Refused("its parameter v"), lambda t, x, y: t * (sc.hyp0f1(x + 1, y) / x))
ufunc(sc.hyp1f1, _A, _B, lambda t, x, y, z: t * (x / y * sc.hyp1f1(x + 1, y + 1, z)))
ufunc(sc.hyperu, _A, _B, lambda t, x, y, z: -t * (x * sc.hyperu(x + 1, y + 1, z)))
ufunc(
    sc.hyp2f1,
    _A,
    _B,
    _C,
    lambda t, x, y, z, w: t * (x * y / z * sc.hyp2f1(x + 1, y + 1, z + 1, w)),
)
