"""The functions of `scipy.special` that JAX has, or that are written in those it has."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as js
import numpy as np

from pycograd.plugins.api import LoweringNotFoundError
from pycograd_jax.lowerings.dtypes import inexact

_DEGREE = math.pi / 180


def _floats(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` of operands that are all of the widest floating dtype among them."""

    def run(*operands: Any) -> Any:
        arrays = [inexact(x) for x in operands]
        dtype = jnp.result_type(*arrays)
        try:
            return f(*[x.astype(dtype) for x in arrays])
        except (TypeError, ValueError, NotImplementedError) as error:
            if not jnp.issubdtype(dtype, jnp.complexfloating):
                raise
            raise _refused(name, "JAX has it of real values alone") from error

    return run


def _refused(name: str, why: str) -> LoweringNotFoundError:
    return LoweringNotFoundError(f"primitive {name!r} is not lowered by backend 'jax': {why}")


# -- exponentials, logarithms, power transforms ----------------------------------------------------
def _exprel(x: Any) -> Any:
    zero = x == 0
    return jnp.where(zero, 1, jnp.expm1(x) / jnp.where(zero, 1, x))


def _log_ratio(w: Any) -> Any:
    """log1p(w) / w."""
    zero = w == 0
    return jnp.where(zero, 1, jnp.log1p(w) / jnp.where(zero, 1, w))


def _powm1(x: Any, y: Any) -> Any:
    plain = (x > 0) & (jnp.abs(y * jnp.log(jnp.where(x > 0, x, 1))) < 1)
    return jnp.where(plain, jnp.expm1(y * jnp.log(jnp.where(plain, x, 1))), jnp.power(x, y) - 1)


def _boxcox(log: Any, y: Any) -> Any:
    return log * _exprel(y * log)


def _kl_div(x: Any, y: Any) -> Any:
    inside = (x > 0) & (y > 0)
    a, b = jnp.where(inside, x, 1), jnp.where(inside, y, 1)
    edge = jnp.where((x == 0) & (y >= 0), y, jnp.inf)
    found = jnp.where(inside, a * jnp.log(a / b) - a + b, edge)
    return jnp.where(jnp.isnan(x) | jnp.isnan(y), jnp.nan, found)


def _huber(x: Any, y: Any) -> Any:
    size = jnp.abs(y)
    found = jnp.where(size <= x, 0.5 * y * y, x * (size - 0.5 * x))
    return jnp.where(x < 0, jnp.inf, found)


def _pseudo_huber(x: Any, y: Any) -> Any:
    safe = jnp.where(x == 0, 1, x)
    u = y / safe
    found = x * x * (u * u / (jnp.sqrt(1 + u * u) + 1))
    return jnp.where(x < 0, jnp.inf, jnp.where((x == 0) | (y == 0), 0, found))


# -- angles in degrees, exact where the function is 0 or 1 -----------------------------------------
def _turned(x: Any) -> tuple[Any, Any]:
    """The angle within 45 degrees of a multiple of 90, in radians, and that multiple."""
    quarter = jnp.round(x / 90)
    return (x - 90 * quarter) * _DEGREE, jnp.mod(quarter, 4)


def _sine_of(angle: Any, quarter: Any) -> Any:
    value = jnp.where(quarter % 2 == 0, jnp.sin(angle), jnp.cos(angle))
    return jnp.where(quarter < 2, value, -value)


def _sindg(x: Any) -> Any:
    return _sine_of(*_turned(x))


def _cosdg(x: Any) -> Any:
    angle, quarter = _turned(x)
    return _sine_of(angle, (quarter + 1) % 4)


# -- the error function and the normal distribution ------------------------------------------------
def _erfinv(x: Any) -> Any:
    y = js.erfinv(x)
    inside = jnp.abs(x) < 1
    start = jnp.where(inside, y, 0)
    near = jnp.where(inside, x, 0)
    # Of the tails the complement has the digits.
    tail = jnp.sign(near) * (1 - jnp.abs(near))
    size = jnp.abs(start)
    error = jnp.where(
        size > 0.5, jnp.sign(start) * (jnp.abs(tail) - js.erfc(size)), js.erf(start) - near
    )
    better = start - error / (2 / math.sqrt(math.pi) * jnp.exp(-start * start))
    return jnp.where(inside & jnp.isfinite(better), better, y)


def _erfcx(x: Any) -> Any:
    """`exp(x^2) erfc(x)`; far out by its asymptotic series (DLMF 7.12.1), where JAX's is 0."""
    far = jnp.where(x > 20, x, 20)
    term = total = jnp.ones_like(far)
    for k in range(1, 9):
        term = -term * (2 * k - 1) / (2 * far * far)
        total = total + term
    return jnp.where(x > 20, total / (far * math.sqrt(math.pi)), js.erfcx(jnp.minimum(x, 20)))


def _logexpit(x: Any) -> Any:
    return -jnp.logaddexp(-x, 0)


# -- polynomials, by their recurrences (DLMF 18.9) -------------------------------------------------
def _polynomial(name: str, step: Callable[..., tuple[Any, Any, Any]]) -> Callable[..., Any]:
    """p[k + 1] = (a x + b) p[k] - c p[k - 1] from 1 and 0, for whole degrees of every entry."""

    def run(n: Any, *rest: Any) -> Any:
        *weights, x = [inexact(v) for v in rest]
        if not isinstance(n, jax.core.Tracer) and (np.asarray(n) != np.round(n)).any():
            raise _refused(name, "only polynomials, of whole degrees, have a recurrence")
        n = jnp.asarray(n)
        if not jnp.issubdtype(n.dtype, jnp.integer):
            n = jnp.where(n == jnp.round(n), n, jnp.nan)
        shape = jnp.broadcast_shapes(n.shape, x.shape, *[w.shape for w in weights])
        dtype = jnp.result_type(x, *weights)
        n = jnp.broadcast_to(n, shape)

        def body(state: Any) -> Any:
            k, before, last = state
            a, b, c = step(k.astype(x.real.dtype), *weights)
            new = ((a * x + b) * last - c * before).astype(dtype)
            going = k < n
            return k + 1, jnp.where(going, last, before), jnp.where(going, new, last)

        first = jnp.ones(shape, dtype)
        zero = jnp.zeros(shape, dtype)
        top = jnp.max(jnp.where(jnp.isfinite(n), n, 0), initial=0)
        _, _, found = jax.lax.while_loop(
            lambda state: state[0] < top, body, (jnp.int64(0), zero, first)
        )
        return jnp.where(jnp.isfinite(n) & (n >= 0), found, jnp.nan)

    return run


def _jacobi_step(k: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    s = 2 * k + a + b
    first = k == 0
    divisor = jnp.where(first, 1, 2 * (k + 1) * (k + a + b + 1) * jnp.where(first, 1, s))
    x = jnp.where(first, (a + b + 2) / 2, (s + 1) * (s + 2) * s / divisor)
    one = jnp.where(first, (a - b) / 2, (s + 1) * (a * a - b * b) / divisor)
    before = jnp.where(first, 0, 2 * (k + a) * (k + b) * (s + 2) / divisor)
    return x, one, before


_EVAL: dict[str, Callable[..., tuple[Any, Any, Any]]] = {
    "eval_legendre": lambda k: ((2 * k + 1) / (k + 1), 0, k / (k + 1)),
    "eval_chebyt": lambda k: (jnp.where(k == 0, 1, 2), 0, jnp.where(k == 0, 0, 1)),
    "eval_chebyu": lambda k: (2, 0, 1),
    "eval_chebys": lambda k: (1, 0, 1),
    "eval_hermite": lambda k: (2, 0, 2 * k),
    "eval_hermitenorm": lambda k: (1, 0, k),
    "eval_laguerre": lambda k: (-1 / (k + 1), (2 * k + 1) / (k + 1), k / (k + 1)),
    "eval_genlaguerre": lambda k, a: (
        -1 / (k + 1), (2 * k + 1 + a) / (k + 1), (k + a) / (k + 1),
    ),
    "eval_gegenbauer": lambda k, a: (2 * (k + a) / (k + 1), 0, (k + 2 * a - 1) / (k + 1)),
    "eval_jacobi": _jacobi_step,
}  # fmt: skip

_POLYNOMIALS = {name: _polynomial(name, step) for name, step in _EVAL.items()}
_POLYNOMIALS |= {
    # C_n(x) = 2 T_n(x / 2), also of degree 0
    "eval_chebyc": lambda n, x: 2 * _POLYNOMIALS["eval_chebyt"](n, inexact(x) / 2),
    "eval_sh_legendre": lambda n, x: _POLYNOMIALS["eval_legendre"](n, 2 * inexact(x) - 1),
    "eval_sh_chebyt": lambda n, x: _POLYNOMIALS["eval_chebyt"](n, 2 * inexact(x) - 1),
    "eval_sh_chebyu": lambda n, x: _POLYNOMIALS["eval_chebyu"](n, 2 * inexact(x) - 1),
}


# -- gamma functions -------------------------------------------------------------------------------
def _beta(x: Any, y: Any) -> Any:
    sign = js.gammasgn(x) * js.gammasgn(y) * js.gammasgn(x + y)
    return sign * jnp.exp(js.gammaln(x) + js.gammaln(y) - js.gammaln(x + y))


def _poch(x: Any, m: Any) -> Any:
    sign = js.gammasgn(x + m) * js.gammasgn(x)
    return sign * jnp.exp(js.gammaln(x + m) - js.gammaln(x))


def _binom(n: Any, k: Any) -> Any:
    sign = js.gammasgn(n + 1) * js.gammasgn(k + 1) * js.gammasgn(n - k + 1)
    return sign * jnp.exp(js.gammaln(n + 1) - js.gammaln(k + 1) - js.gammaln(n - k + 1))


def _rgamma(x: Any) -> Any:
    pole = (x <= 0) & (x == jnp.floor(x))
    return jnp.where(pole, 0, js.gammasgn(x) * jnp.exp(-js.gammaln(x)))


def _polygamma(n: Any, x: Any) -> Any:
    order = n.astype(np.int64)
    return jnp.where(order == 0, js.digamma(x), js.polygamma(jnp.maximum(order, 1), x))


# -- incomplete functions and the distributions made of them ---------------------------------------
def _gamma_density(x: Any, y: Any) -> Any:
    """y^(x-1) exp(-y) / gamma(x)."""
    inside = jnp.exp(js.xlogy(x - 1, jnp.where(y == 0, 1, y)) - y - js.gammaln(x))
    edge = jnp.where(x > 1, 0.0, jnp.where(x == 1, 1.0, jnp.inf))
    return jnp.where(y == 0, edge, inside)


def _pdtr(k: Any, m: Any) -> Any:
    return jnp.where(m == 0, 1.0, js.gammaincc(jnp.floor(k) + 1, m))


def _pdtrc(k: Any, m: Any) -> Any:
    return jnp.where(m == 0, 0.0, js.gammainc(jnp.floor(k) + 1, m))


def _betaln(a: Any, b: Any) -> Any:
    """JAX's own has seven digits where a + b is large."""
    return js.gammaln(a) + js.gammaln(b) - js.gammaln(a + b)


def _hyp1f1(a: Any, b: Any, x: Any) -> Any:
    """Below 0 by Kummer's transformation (DLMF 13.2.39): the terms of the series cancel there.

    Far below by the asymptotic series (DLMF 13.7.2). Where terms cancel all the same, for
    parameters below 0, JAX's has no digits, and this is nan.
    """
    below, far = x < 0, x < -300
    size = jnp.abs(x)
    first, large = jnp.where(below, b - a, a), jnp.where(far, size, 1000.0)
    near = jnp.where(far, 1.0, size)
    found = jnp.where(below, jnp.exp(-near), 1) * js.hyp1f1(first, b, near)
    term = total = jnp.ones_like(large)
    for k in range(12):
        term = term * (a + k) * (a - b + 1 + k) / ((k + 1) * large)
        total = total + term
    scale = jnp.exp(js.gammaln(b) - js.gammaln(b - a) - a * jnp.log(large))
    return jnp.where((first >= 0) & (b > 0), jnp.where(far, scale * total, found), jnp.nan)


def _bdtr(k: Any, n: Any, p: Any) -> Any:
    k, n = jnp.floor(k), jnp.floor(n)
    whole = k >= n
    return jnp.where(whole, 1.0, js.betainc(jnp.where(whole, 1, n - k), k + 1, 1 - p))


def _bdtrc(k: Any, n: Any, p: Any) -> Any:
    k, n = jnp.floor(k), jnp.floor(n)
    whole = k >= n
    return jnp.where(whole, 0.0, js.betainc(k + 1, jnp.where(whole, 1, n - k), p))


def _stdtr(df: Any, t: Any) -> Any:
    tail = 0.5 * js.betainc(df / 2, 0.5 * jnp.ones_like(df), df / (df + t * t))
    return jnp.where(t < 0, tail, 1 - tail)


def _fdtr(a: Any, b: Any, x: Any) -> Any:
    return js.betainc(a / 2, b / 2, a * x / (b + a * x))


def _fdtrc(a: Any, b: Any, x: Any) -> Any:
    return js.betainc(b / 2, a / 2, b / (b + a * x))


# -- the rest --------------------------------------------------------------------------------------
def _agm(a: Any, b: Any) -> Any:
    for _ in range(12):
        a, b = (a + b) / 2, jnp.sqrt(a * b)
    return a


def _ellipkm1(p: Any) -> Any:
    return math.pi / 2 / _agm(jnp.ones_like(p), jnp.sqrt(p))


def _ellipe(m: Any) -> Any:
    """By the arithmetic-geometric mean, DLMF 19.8.6."""
    a, g = jnp.ones_like(m), jnp.sqrt(1 - m)
    total = 0.5 * m
    weight = 0.5
    for _ in range(12):
        a, g, c = (a + g) / 2, jnp.sqrt(a * g), (a - g) / 2
        weight = weight * 2
        total = total + weight * c * c
    return jnp.where(m == 1, 1.0, math.pi / 2 / a * (1 - total))


def _named(*names: str) -> dict[str, Callable[..., Any]]:
    """JAX's functions of these names, as far as this release has them."""
    return {name: getattr(js, name) for name in names if hasattr(js, name)}


def _of_several(name: str, *parts: str) -> dict[str, Callable[..., Any]]:
    """The results of one function, each by itself."""

    def part(f: Callable[..., Any], i: int) -> Callable[..., Any]:
        return lambda x: f(x)[i]

    return {own: part(f, i) for f in _named(name).values() for i, own in enumerate(parts)}


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    # elementary
    "scipy_expm1": jnp.expm1,
    "scipy_log1p": jnp.log1p,
    "scipy_exp2": jnp.exp2,
    "scipy_cbrt": jnp.cbrt,
    "exp10": lambda x: jnp.power(jnp.asarray(10, x.dtype), x),
    "cosm1": lambda x: -2 * jnp.square(jnp.sin(0.5 * x)),
    "exprel": _exprel,
    "powm1": _powm1,
    "expit": js.expit,
    "log_expit": _logexpit,
    "logit": js.logit,
    "xlogy": js.xlogy,
    "xlog1py": js.xlog1py,
    "entr": js.entr,
    "rel_entr": js.rel_entr,
    "kl_div": _kl_div,
    "boxcox": lambda x, y: _boxcox(jnp.log(x), y),
    "boxcox1p": lambda x, y: _boxcox(jnp.log1p(x), y),
    "inv_boxcox": lambda x, y: jnp.exp(x * _log_ratio(x * y)),
    "inv_boxcox1p": lambda x, y: jnp.expm1(x * _log_ratio(x * y)),
    "sindg": _sindg,
    "cosdg": _cosdg,
    "tandg": lambda x: _sindg(x) / _cosdg(x),
    "cotdg": lambda x: _cosdg(x) / _sindg(x),
    "radian": lambda d, m, s: (d + m / 60 + s / 3600) * _DEGREE,
    "scipy_round": jnp.rint,
    "huber": _huber,
    "pseudo_huber": _pseudo_huber,
    # errors and the normal distribution
    "erf": js.erf,
    "erfc": js.erfc,
    "erfinv": _erfinv,
    "ndtr": js.ndtr,
    "ndtri": js.ndtri,
    "log_ndtr": js.log_ndtr,
    "nrdtrimn": lambda p, y, z: z - y * js.ndtri(p),
    # gamma and its kin
    "gamma": js.gamma,
    "gammaln": js.gammaln,
    "loggamma": js.gammaln,
    "gammasgn": js.gammasgn,
    "psi": js.digamma,
    "polygamma": _polygamma,
    "rgamma": _rgamma,
    "beta": _beta,
    "betaln": _betaln,
    "poch": _poch,
    "binom": _binom,
    "zeta": js.zeta,
    "riemann_zeta": lambda s: js.zeta(s, jnp.ones_like(s)),
    "zetac": lambda s: js.zeta(s, 2 * jnp.ones_like(s)),
    # incomplete functions
    "gamma_density": _gamma_density,
    "gammainc": js.gammainc,
    "gammaincc": js.gammaincc,
    "betainc": js.betainc,
    "betaincc": lambda a, b, x: js.betainc(b, a, 1 - x),
    "beta_density": lambda a, b, x: jnp.exp(
        js.xlogy(a - 1, x) + js.xlog1py(b - 1, -x) - _betaln(a, b)
    ),
    "chdtr": lambda v, x: js.gammainc(v / 2, x / 2),
    "chdtrc": lambda v, x: js.gammaincc(v / 2, x / 2),
    "gdtr": lambda a, b, x: js.gammainc(b, a * x),
    "gdtrc": lambda a, b, x: js.gammaincc(b, a * x),
    "pdtr": _pdtr,
    "pdtrc": _pdtrc,
    "bdtr": _bdtr,
    "bdtrc": _bdtrc,
    "nbdtr": lambda k, n, p: js.betainc(jnp.floor(n), jnp.floor(k) + 1, p),
    "nbdtrc": lambda k, n, p: js.betainc(jnp.floor(k) + 1, jnp.floor(n), 1 - p),
    "fdtr": _fdtr,
    "fdtrc": _fdtrc,
    "stdtr": _stdtr,
    # Bessel functions of whole orders
    "scipy_i0": js.i0,
    "i1": js.i1,
    "i0e": js.i0e,
    "i1e": js.i1e,
    # integrals
    "exp1": js.exp1,
    "expi": js.expi,
    "spence": js.spence,
    **_of_several("sici", "sici_si", "sici_ci"),
    **_of_several("fresnel", "fresnel_s", "fresnel_c"),
    # elliptic integrals
    "ellipk": lambda m: _ellipkm1(1 - m),
    "ellipkm1": _ellipkm1,
    "ellipe": _ellipe,
    "agm": _agm,
    # hypergeometric
    "hyp1f1": _hyp1f1,
    "erfcx": _erfcx,
    **_named("dawsn", "wofz", "owens_t"),
}

TABLE: dict[str, Callable[..., Any]] = {
    **{name: _floats(name, f) for name, f in _FUNCTIONS.items()},
    "expn": lambda n, x: js.expn(jnp.floor(jnp.asarray(n)), inexact(x)),
    **_POLYNOMIALS,
}
