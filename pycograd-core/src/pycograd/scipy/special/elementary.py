"""Exponentials, logarithms, entropies, power transforms, angles in degrees, robust losses.

Conventions: a slope that is infinite is told as such (`entr` at 0); where both operands of `xlogy`
and `xlog1py` make the product 0 times an infinite logarithm, both of its derivatives are 0.
`huber` has the derivative of either side at its joints, which is one number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as sc

from pycograd.core.rules import Refused
from pycograd.scipy.special.define import ufunc

_LOG2, _LOG10, _DEGREE = math.log(2.0), math.log(10.0), math.pi / 180


# -- exponentials and powers -----------------------------------------------------------------------
ufunc(sc.expm1, lambda t, ans: t * (ans + 1))
ufunc(sc.log1p, lambda t, x: t / (1 + x))
ufunc(sc.exp2, lambda t, ans: t * (ans * _LOG2))
ufunc(sc.exp10, lambda t, ans: t * (ans * _LOG10))
ufunc(sc.cbrt, lambda t, ans: t / (3 * (ans * ans)))
ufunc(sc.cosm1, lambda t, x: -t * np.sin(x))
# (exp(x) - 1) / x is the mean of exp over (0, x), its derivative that of s exp(s x): DLMF 13.4.1
ufunc(sc.exprel, lambda t, x: t * _exprel_slope(x))
ufunc(
    sc.powm1,
    lambda t, x, y: t * (y * np.power(x, y - 1)),
    lambda t, ans, x: t * ((ans + 1) * np.log(x)),
)


def _exprel_slope(x: Any) -> Any:
    return 0.5 * sc.hyp1f1(2.0, 3.0, x)


# -- logistic --------------------------------------------------------------------------------------
ufunc(sc.expit, lambda t, ans, x: t * (ans * sc.expit(-x)))
ufunc(sc.log_expit, lambda t, x: t * sc.expit(-x))
ufunc(sc.logit, lambda t, x: t / (x * (1 - x)))


# -- products with logarithms, entropies -----------------------------------------------------------
def _log_beside(x: Any, log: Any) -> Any:
    """The logarithm that multiplies x; 0 where x is 0 and there is none."""
    return np.where((x == 0) & ~np.isfinite(log), 0, log)


def _ratio(x: Any, y: Any) -> Any:
    """x / y; 0 where x is 0, whatever y is."""
    zero = x == 0
    return np.where(zero, 0, x / np.where(zero, 1, y))


ufunc(
    sc.xlogy,
    lambda t, x, y: t * _log_beside(x, np.log(y)),
    lambda t, x, y: t * _ratio(x, y),
)
ufunc(
    sc.xlog1py,
    lambda t, x, y: t * _log_beside(x, np.log1p(y)),
    lambda t, x, y: t * _ratio(x, 1 + y),
)
ufunc(sc.entr, lambda t, x: -t * (np.log(x) + 1))
ufunc(sc.rel_entr, lambda t, x, y: t * (np.log(x / y) + 1), lambda t, x, y: -t * (x / y))
ufunc(sc.kl_div, lambda t, x, y: t * np.log(x / y), lambda t, x, y: t * (1 - x / y))


# -- power transforms ------------------------------------------------------------------------------
# With L = log(x), boxcox(x, y) is L exprel(y L).
def _boxcox_power(t: Any, log: Any, y: Any) -> Any:
    return t * (log * log * _exprel_slope(y * log))


ufunc(
    sc.boxcox,
    lambda t, x, y: t * np.power(x, y - 1),
    lambda t, x, y: _boxcox_power(t, np.log(x), y),
)
ufunc(
    sc.boxcox1p,
    lambda t, x, y: t * np.exp((y - 1) * np.log1p(x)),
    lambda t, x, y: _boxcox_power(t, np.log1p(x), y),
)


# inv_boxcox(x, y) is exp(x f(x y)) with f(w) = log1p(w) / w, whose derivative is hypergeometric:
# DLMF 15.4.1 and 15.5.1
def _inverse_boxcox_power(x: Any, y: Any) -> Any:
    return -0.5 * (x * x) * sc.hyp2f1(2.0, 2.0, 3.0, -x * y)


ufunc(
    sc.inv_boxcox,
    lambda t, ans, x, y: t * (ans / (1 + x * y)),
    lambda t, ans, x, y: t * (ans * _inverse_boxcox_power(x, y)),
)
ufunc(
    sc.inv_boxcox1p,
    lambda t, ans, x, y: t * ((ans + 1) / (1 + x * y)),
    lambda t, ans, x, y: t * ((ans + 1) * _inverse_boxcox_power(x, y)),
)

# -- angles ----------------------------------------------------------------------------------------
ufunc(sc.sindg, lambda t, x: t * (sc.cosdg(x) * _DEGREE))
ufunc(sc.cosdg, lambda t, x: -t * (sc.sindg(x) * _DEGREE))
ufunc(sc.tandg, lambda t, ans: t * ((1 + ans * ans) * _DEGREE))
ufunc(sc.cotdg, lambda t, ans: -t * ((1 + ans * ans) * _DEGREE))
ufunc(
    sc.radian,
    lambda t: t * _DEGREE,
    lambda t: t * (_DEGREE / 60),
    lambda t: t * (_DEGREE / 3600),
)
ufunc(sc.round, None)

# -- robust losses, means --------------------------------------------------------------------------
ufunc(
    sc.huber,
    lambda t, x, y: t * np.maximum(np.abs(y) - x, 0),
    lambda t, x, y: t * np.clip(y, -x, x),
)


# With u = y / x and s = sqrt(1 + u^2), the loss is x^2 (s - 1); s - 1 is u^2 / (s + 1) exactly.
def _stretch(x: Any, y: Any) -> Any:
    return np.sqrt(1 + np.square(y / x))


def _pseudo_huber_width(x: Any, y: Any) -> Any:
    u, s = y / x, _stretch(x, y)
    return x * np.square(u * u / (s + 1)) / s


ufunc(
    sc.pseudo_huber,
    lambda t, x, y: t * _pseudo_huber_width(x, y),
    lambda t, x, y: t * (y / _stretch(x, y)),
)

# -- distributions without parameters that matter ------------------------------------------------
# Tukey's lambda is given by its quantiles, (p^y - (1 - p)^y) / y.
ufunc(
    sc.tklmbda,
    lambda t, ans, y: t / (np.power(ans, y - 1) + np.power(1 - ans, y - 1)),
    Refused("its shape lambda"),
)
