"""The functions of `scipy.special` that TensorFlow has, or that are written in those it has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pycograd_tf.dtypes import cast, promoted
from pycograd_tf.lowerings.common import (
    Lowering,
    floating,
    is_known,
    is_number,
    refused,
    tensors,
    together,
)
from pycograd_tf.lowerings.elementwise import TABLE as ELEMENTWISE

tm = tf.math
ts = tf.math.special
_DEGREE = math.pi / 180
_INF, _NAN = math.inf, math.nan


def _of_floats(name: str, function: Lowering, of_complex: bool) -> Lowering:
    """`function` of floats of one dtype; of narrow ones computed in float32."""

    def run(*xs: Any) -> Any:
        xs = tuple(together(*xs))
        dtype = xs[0].dtype
        if dtype.is_complex and not of_complex:
            raise refused(name, "TensorFlow has it of real values alone")
        if dtype.size >= 4:
            return function(*xs)
        return tf.cast(function(*[tf.cast(x, tf.float32) for x in xs]), dtype)

    return run


def where(condition: Any, x: Any, y: Any) -> Any:
    """`tf.where` of a tensor and a number, or of two tensors."""
    like = x if hasattr(x, "dtype") else y
    return tf.where(condition, _as(x, like), _as(y, like))


def _as(x: Any, like: Any) -> Any:
    return x if hasattr(x, "dtype") else tf.constant(x, like.dtype)


# -- exponentials, logarithms, power transforms ----------------------------------------------------
def _exprel(x: Any) -> Any:
    zero = tf.equal(x, 0)
    return where(zero, 1.0, tm.expm1(x) / where(zero, 1.0, x))


def _log_ratio(w: Any) -> Any:
    """log1p(w) / w."""
    zero = tf.equal(w, 0)
    return where(zero, 1.0, tm.log1p(w) / where(zero, 1.0, w))


def _powm1(x: Any, y: Any) -> Any:
    log = y * tf.math.log(where(x > 0, x, 1.0))
    plain = (x > 0) & (tf.abs(log) < 1)
    return where(plain, tm.expm1(where(plain, log, 0.0)), tf.pow(x, y) - 1)


def _boxcox(log: Any, y: Any) -> Any:
    return log * _exprel(y * log)


def _log_expit(x: Any) -> Any:
    return -tf.math.softplus(-x)


def _xlogy(x: Any, y: Any, log: Lowering) -> Any:
    zero = tf.equal(x, tf.zeros((), x.dtype)) & tf.equal(y, y)
    return where(zero, 0.0, x * log(where(zero, 1.0, y)))


def _entr(x: Any) -> Any:
    return where(x < 0, -_INF, -_xlogy(x, x, tm.log))


def _rel_entr(x: Any, y: Any) -> Any:
    inside = (x > 0) & (y > 0)
    a, b = where(inside, x, 1.0), where(inside, y, 1.0)
    edge = where(tf.equal(x, 0) & (y >= 0), 0.0, tf.fill(tf.shape(a), _as(_INF, x)))
    found = tf.where(inside, a * tm.log(a / b), edge)
    return where(tm.is_nan(x) | tm.is_nan(y), _NAN, found)


def _kl_div(x: Any, y: Any) -> Any:
    inside = (x > 0) & (y > 0)
    a, b = where(inside, x, 1.0), where(inside, y, 1.0)
    edge = where(tf.equal(x, 0) & (y >= 0), y, _INF)
    found = tf.where(inside, a * tm.log(a / b) - a + b, edge)
    return where(tm.is_nan(x) | tm.is_nan(y), _NAN, found)


def _huber(x: Any, y: Any) -> Any:
    size = tf.abs(y)
    found = tf.where(size <= x, 0.5 * y * y, x * (size - 0.5 * x))
    return where(x < 0, _INF, found)


def _pseudo_huber(x: Any, y: Any) -> Any:
    ratio = y / where(tf.equal(x, 0), 1.0, x)
    found = x * x * (ratio * ratio / (tf.sqrt(1 + ratio * ratio) + 1))
    return where(x < 0, _INF, where(tf.equal(x, 0) | tf.equal(y, 0), 0.0, found))


# -- angles in degrees, exact where the function is 0 or 1 -----------------------------------------
def _turned(x: Any) -> tuple[Any, Any]:
    """The angle within 45 degrees of a multiple of 90, in radians, and that multiple."""
    quarter = tf.round(x / 90)
    return (x - 90 * quarter) * _DEGREE, tm.floormod(quarter, _as(4.0, x))


def _sine_of(angle: Any, quarter: Any) -> Any:
    even = tf.equal(tm.floormod(quarter, _as(2.0, quarter)), 0)
    value = tf.where(even, tf.sin(angle), tf.cos(angle))
    return tf.where(quarter < 2, value, -value)


def _sindg(x: Any) -> Any:
    return _sine_of(*_turned(x))


def _cosdg(x: Any) -> Any:
    angle, quarter = _turned(x)
    return _sine_of(angle, tm.floormod(quarter + 1, _as(4.0, x)))


# -- the error function and the normal distribution ------------------------------------------------
def _ndtr(x: Any) -> Any:
    return 0.5 * tm.erfc(-x * math.sqrt(0.5))


def _log_ndtr(x: Any) -> Any:
    """In the left tail by the asymptotic series, DLMF 7.12.1; on the right by the other tail."""
    cut = -20.0 if x.dtype == tf.float64 else -10.0
    tail = where(x < cut, x, cut)
    square, term = 1 / (tail * tail), tf.ones_like(tail)
    series = tf.ones_like(tail)
    for k in range(1, 13):
        term = -term * (2 * k - 1) * square
        series = series + term
    far = -0.5 * tail * tail - tm.log(-tail) - 0.5 * math.log(2 * math.pi) + tm.log(series)
    middle = tm.log(_ndtr(where((x >= cut) & (x < 0), x, 0.0)))
    right = tm.log1p(-_ndtr(-where(x < 0, 0.0, x)))
    return tf.where(x < cut, far, tf.where(x < 0, middle, right))


# -- polynomials, by their recurrences (DLMF 18.9) -------------------------------------------------
def _polynomial(name: str, step: Callable[..., tuple[Any, Any, Any]]) -> Lowering:
    """p[k + 1] = (a x + b) p[k] - c p[k - 1] from 1 and 0, for whole degrees of every entry."""

    def run(n: Any, *rest: Any) -> Any:
        n, *others, x = tensors(n, *rest)
        weights, x = [floating(w) for w in others], floating(x)
        if n.dtype.is_floating or n.dtype.is_complex:
            if not is_known(n) or bool((n.numpy() != np.round(n.numpy())).any()):
                raise refused(name, "only polynomials, of whole degrees, have a recurrence")
        n = tf.cast(n, tf.int64)
        shape = np.broadcast_shapes(*[tuple(v.shape) for v in (n, *weights, x)])
        dtype = promoted(*[v.dtype for v in (*weights, x)])
        kind = promoted(*[w.dtype for w in weights], x.dtype.real_dtype)
        weights, x = [cast(w, kind) for w in weights], cast(x, dtype)

        def body(k: Any, before: Any, last: Any) -> Any:
            count = cast(k, kind)
            a, b, c = (cast(_as(v, count), dtype) for v in step(count, *weights))
            new = (a * x + b) * last - c * before
            going = k < n
            return k + 1, tf.where(going, last, before), tf.where(going, new, last)

        first = (tf.constant(0, tf.int64), tf.zeros(shape, dtype), tf.ones(shape, dtype))
        top = tf.reduce_max(n) if n.shape.num_elements() else tf.constant(0, tf.int64)
        _, _, found = tf.while_loop(lambda k, *_: k < top, body, first)
        return where(n >= 0, found, _NAN)

    return run


def _jacobi_step(k: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    s = 2 * k + a + b
    first = tf.equal(k, 0)
    divisor = where(first, 1.0, 2 * (k + 1) * (k + a + b + 1) * where(first, 1.0, s))
    x = tf.where(first, (a + b + 2) / 2, (s + 1) * (s + 2) * s / divisor)
    one = tf.where(first, (a - b) / 2, (s + 1) * (a * a - b * b) / divisor)
    before = where(first, 0.0, 2 * (k + a) * (k + b) * (s + 2) / divisor)
    return x, one, before


_EVAL: dict[str, Callable[..., tuple[Any, Any, Any]]] = {
    "eval_legendre": lambda k: ((2 * k + 1) / (k + 1), 0.0, k / (k + 1)),
    "eval_chebyt": lambda k: (where(tf.equal(k, 0), tf.ones_like(k), 2.0), 0.0, tf.sign(k)),
    "eval_chebyu": lambda k: (2.0, 0.0, 1.0),
    "eval_chebys": lambda k: (1.0, 0.0, 1.0),
    "eval_hermite": lambda k: (2.0, 0.0, 2 * k),
    "eval_hermitenorm": lambda k: (1.0, 0.0, k),
    "eval_laguerre": lambda k: (-1 / (k + 1), (2 * k + 1) / (k + 1), k / (k + 1)),
    "eval_genlaguerre": lambda k, a: (
        -1 / (k + 1), (2 * k + 1 + a) / (k + 1), (k + a) / (k + 1),
    ),
    "eval_gegenbauer": lambda k, a: (2 * (k + a) / (k + 1), 0.0, (k + 2 * a - 1) / (k + 1)),
    "eval_jacobi": _jacobi_step,
}  # fmt: skip

_POLYNOMIALS = {name: _polynomial(name, step) for name, step in _EVAL.items()}
_POLYNOMIALS |= {
    # C_n(x) = 2 T_n(x / 2), also of degree 0
    "eval_chebyc": lambda n, x: 2 * _POLYNOMIALS["eval_chebyt"](n, floating(x) / 2),
    "eval_sh_legendre": lambda n, x: _POLYNOMIALS["eval_legendre"](n, 2 * floating(x) - 1),
    "eval_sh_chebyt": lambda n, x: _POLYNOMIALS["eval_chebyt"](n, 2 * floating(x) - 1),
    "eval_sh_chebyu": lambda n, x: _POLYNOMIALS["eval_chebyu"](n, 2 * floating(x) - 1),
}


# -- gamma functions -------------------------------------------------------------------------------
def _pole(x: Any) -> Any:
    return (x <= 0) & tf.equal(x, tf.floor(x))


def _gammasgn(x: Any) -> Any:
    even = tf.equal(tm.floormod(tf.floor(x), _as(2.0, x)), 0)
    sign = where((x > 0) | even, tf.ones_like(x), -1.0)
    sign = where(_pole(x) & (x < 0), _NAN, sign)
    return tf.where(tf.equal(x, 0), ELEMENTWISE["copysign"](tf.ones_like(x), x), sign)


def _gamma(x: Any) -> Any:
    pole = _pole(x)
    inside = where(pole, 1.0, x)
    found = _gammasgn(inside) * tf.exp(tm.lgamma(inside))
    return where(pole & (x < 0), _NAN, tf.where(pole, 1 / x, found))


def _rgamma(x: Any) -> Any:
    pole = _pole(x)
    inside = where(pole, 1.0, x)
    return where(pole, 0.0, _gammasgn(inside) * tf.exp(-tm.lgamma(inside)))


def _loggamma(x: Any) -> Any:
    return where(x > 0, tm.lgamma(x), where(tf.equal(x, 0), _INF, _NAN * x))


def _betaln(x: Any, y: Any) -> Any:
    return tm.lgamma(x) + tm.lgamma(y) - tm.lgamma(x + y)


def _beta(x: Any, y: Any) -> Any:
    return _gammasgn(x) * _gammasgn(y) * _gammasgn(x + y) * tf.exp(_betaln(x, y))


def _poch(x: Any, m: Any) -> Any:
    return _gammasgn(x + m) * _gammasgn(x) * tf.exp(tm.lgamma(x + m) - tm.lgamma(x))


def _binom(n: Any, k: Any) -> Any:
    return _gamma(n + 1) * _rgamma(k + 1) * _rgamma(n - k + 1)


def _polygamma(n: Any, x: Any) -> Any:
    """DLMF 5.15.1: by the zeta function."""
    zero = tf.equal(n, 0)
    order = where(zero, 1.0, n)
    odd = tf.equal(tm.floormod(order, _as(2.0, x)), 1)
    sign = where(odd, tf.ones_like(order), -1.0)
    found = sign * tf.exp(tm.lgamma(order + 1)) * tm.zeta(order + 1, x)
    return tf.where(zero, tm.digamma(x), found)


# -- incomplete functions and the distributions made of them ---------------------------------------
def _gamma_density(x: Any, y: Any) -> Any:
    """y^x exp(-y) / gamma(x) / y, by Stirling's series (DLMF 5.11.1) where x is large."""
    large = x > 50
    b = where(large, x, 50.0)
    r = (y - b) / b
    series = 1 / (12 * b) - 1 / (360 * b**3) + 1 / (1260 * b**5) - 1 / (1680 * b**7)
    stirling = 0.5 * tm.log(b / (2 * math.pi)) - series - b * (r - tm.log1p(r))
    small = where(large, 1.0, x)
    log = tf.where(large, stirling, _xlogy(small, y, tm.log) - y - tm.lgamma(small))
    edge = where(x > 1, 0.0, where(tf.equal(x, 1), 1.0, _INF + 0 * x))
    return tf.where(tf.equal(y, 0), edge, tf.exp(log) / where(tf.equal(y, 0), 1.0, y))


def _gammainc_order(x: Any, y: Any, order: Any) -> Any:
    """The derivative of gammainc in x, of which TensorFlow has the first."""
    if not is_number(order) or order != 1:
        raise refused("gammainc_order", "TensorFlow has the first derivative alone")
    x, y = together(x, y)
    found = tf.raw_ops.IgammaGradA(a=x, x=y)
    return where(tf.equal(y, 0) | tm.is_inf(y), 0.0, found)


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    return tf.exp(_xlogy(a - 1, x, tm.log) + _xlogy(b - 1, -x, tm.log1p) - _betaln(a, b))


def _betainc(a: Any, b: Any, x: Any) -> Any:
    shape = np.broadcast_shapes(*[tuple(v.shape) for v in (a, b, x)])
    a, b, x = (tf.broadcast_to(v, shape) for v in (a, b, x))
    return tm.betainc(a, b, x)


def _pdtr(k: Any, m: Any) -> Any:
    return where(tf.equal(m, 0), 1.0, tm.igammac(tf.floor(k) + 1, m))


def _pdtrc(k: Any, m: Any) -> Any:
    return where(tf.equal(m, 0), 0.0, tm.igamma(tf.floor(k) + 1, m))


def _bdtr(k: Any, n: Any, p: Any) -> Any:
    k, n = tf.floor(k), tf.floor(n)
    whole = k >= n
    return where(whole, 1.0, _betainc(where(whole, 1.0, n - k), k + 1, 1 - p))


def _bdtrc(k: Any, n: Any, p: Any) -> Any:
    k, n = tf.floor(k), tf.floor(n)
    whole = k >= n
    return where(whole, 0.0, _betainc(k + 1, where(whole, 1.0, n - k), p))


def _stdtr(df: Any, t: Any) -> Any:
    tail = 0.5 * _betainc(df / 2, 0.5 * tf.ones_like(df), df / (df + t * t))
    return tf.where(t < 0, tail, 1 - tail)


# -- the rest --------------------------------------------------------------------------------------
def _agm(a: Any, b: Any) -> Any:
    for _ in range(12):
        a, b = (a + b) / 2, tf.sqrt(a * b)
    return a


def _ellipkm1(p: Any) -> Any:
    return math.pi / 2 / _agm(tf.ones_like(p), tf.sqrt(p))


def _ellipe(m: Any) -> Any:
    """By the arithmetic-geometric mean, DLMF 19.8.6."""
    a, g = tf.ones_like(m), tf.sqrt(1 - m)
    total, weight = 0.5 * m, 0.5
    for _ in range(12):
        a, g, c = (a + g) / 2, tf.sqrt(a * g), (a - g) / 2
        weight = weight * 2
        total = total + weight * c * c
    return where(tf.equal(m, 1), 1.0, math.pi / 2 / a * (1 - total))


def _exp1(x: Any) -> Any:
    """By the power series (DLMF 6.6.2) near 0, by the continued fraction (6.9.1) elsewhere."""
    near = x <= 2
    small = where(near & (x > 0), x, 1.0)
    term, series = -tf.ones_like(x), tf.zeros_like(x)
    for k in range(1, 31):
        term = -term * small / k
        series = series + term / k
    large = where(near, 2.0, x)
    fraction = tf.zeros_like(x)
    for k in range(60, 0, -1):
        fraction = k * k / (large + (2 * k + 1) - fraction)
    far = tf.exp(-large) / (large + 1 - fraction)
    found = tf.where(near, series - np.euler_gamma - tm.log(small), far)
    return where(x > 0, found, where(tf.equal(x, 0), _INF, _NAN * x))


def _expi(x: Any) -> Any:
    return tf.where(x < 0, -_exp1(-x), ts.expint(where(x < 0, 1.0, x)))


_OF_COMPLEX: dict[str, Lowering] = {
    "scipy_expm1": tm.expm1,
    "scipy_log1p": tm.log1p,
    "expit": tf.sigmoid,
    "xlogy": lambda x, y: _xlogy(x, y, tm.log),
    "xlog1py": lambda x, y: _xlogy(x, y, tm.log1p),
}


_FUNCTIONS: dict[str, Lowering] = {
    # elementary
    "scipy_exp2": ELEMENTWISE["exp2"],
    "scipy_cbrt": ELEMENTWISE["cbrt"],
    "exp10": lambda x: tf.pow(_as(10.0, x), x),
    "cosm1": lambda x: -2 * tf.square(tf.sin(0.5 * x)),
    "exprel": _exprel,
    "powm1": _powm1,
    "log_expit": _log_expit,
    "logit": lambda x: tm.log(x) - tm.log1p(-x),
    "entr": _entr,
    "rel_entr": _rel_entr,
    "kl_div": _kl_div,
    "boxcox": lambda x, y: _boxcox(tm.log(x), y),
    "boxcox1p": lambda x, y: _boxcox(tm.log1p(x), y),
    "inv_boxcox": lambda x, y: tf.exp(x * _log_ratio(x * y)),
    "inv_boxcox1p": lambda x, y: tm.expm1(x * _log_ratio(x * y)),
    "sindg": _sindg,
    "cosdg": _cosdg,
    "tandg": lambda x: _sindg(x) / _cosdg(x),
    "cotdg": lambda x: _cosdg(x) / _sindg(x),
    "radian": lambda d, m, s: (d + m / 60 + s / 3600) * _DEGREE,
    "scipy_round": tf.round,
    "huber": _huber,
    "pseudo_huber": _pseudo_huber,
    # errors and the normal distribution
    "erf": tm.erf,
    "erfc": tm.erfc,
    "erfinv": tm.erfinv,
    "erfcinv": tm.erfcinv,
    "ndtr": _ndtr,
    "ndtri": tm.ndtri,
    "log_ndtr": _log_ndtr,
    "nrdtrimn": lambda p, y, z: z - y * tm.ndtri(p),
    "dawsn": ts.dawsn,
    # gamma and its kin
    "gamma": _gamma,
    "gammaln": tm.lgamma,
    "loggamma": _loggamma,
    "gammasgn": _gammasgn,
    "psi": tm.digamma,
    "polygamma": _polygamma,
    "rgamma": _rgamma,
    "beta": _beta,
    "betaln": _betaln,
    "poch": _poch,
    "binom": _binom,
    "zeta": tm.zeta,
    "zetac": lambda s: tm.zeta(s, _as(2.0, s)),
    "riemann_zeta": lambda s: tm.zeta(s, tf.ones_like(s)),
    # incomplete functions
    "gamma_density": _gamma_density,
    "gammainc": tm.igamma,
    "gammaincc": tm.igammac,
    "beta_density": _beta_density,
    "betainc": _betainc,
    "betaincc": lambda a, b, x: _betainc(b, a, 1 - x),
    "chdtr": lambda v, x: tm.igamma(v / 2, x / 2),
    "chdtrc": lambda v, x: tm.igammac(v / 2, x / 2),
    "gdtr": lambda a, b, x: tm.igamma(b, a * x),
    "gdtrc": lambda a, b, x: tm.igammac(b, a * x),
    "pdtr": _pdtr,
    "pdtrc": _pdtrc,
    "bdtr": _bdtr,
    "bdtrc": _bdtrc,
    "nbdtr": lambda k, n, p: _betainc(tf.floor(n), tf.floor(k) + 1, p),
    "nbdtrc": lambda k, n, p: _betainc(tf.floor(k) + 1, tf.floor(n), 1 - p),
    "fdtr": lambda a, b, x: _betainc(a / 2, b / 2, a * x / (b + a * x)),
    "fdtrc": lambda a, b, x: _betainc(b / 2, a / 2, b / (b + a * x)),
    "stdtr": _stdtr,
    # Bessel functions of whole orders
    "scipy_i0": ts.bessel_i0,
    "i1": ts.bessel_i1,
    "i0e": ts.bessel_i0e,
    "i1e": ts.bessel_i1e,
    "j0": ts.bessel_j0,
    "j1": ts.bessel_j1,
    "y0": ts.bessel_y0,
    "y1": ts.bessel_y1,
    "k0": ts.bessel_k0,
    "k1": ts.bessel_k1,
    "k0e": ts.bessel_k0e,
    "k1e": ts.bessel_k1e,
    # integrals
    "exp1": _exp1,
    "expi": _expi,
    "spence": ts.spence,
    "fresnel_s": ts.fresnel_sin,
    "fresnel_c": ts.fresnel_cos,
    # elliptic integrals
    "ellipk": lambda m: _ellipkm1(1 - m),
    "ellipkm1": _ellipkm1,
    "ellipe": _ellipe,
    "agm": _agm,
}

TABLE: dict[str, Lowering] = {
    **{name: _of_floats(name, f, True) for name, f in _OF_COMPLEX.items()},
    **{name: _of_floats(name, f, False) for name, f in _FUNCTIONS.items()},
    "gammainc_order": _gammainc_order,
    **_POLYNOMIALS,
}
