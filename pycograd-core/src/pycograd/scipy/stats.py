"""`scipy.stats`: densities, distribution functions and quantiles of the well-known distributions.

They are objects with scipy's methods (`norm.logpdf(x, loc, scale)`, `gamma(a).cdf(x)`),
differentiable in the places and in every parameter whose special function has a rule. What else
scipy's objects do (`rvs`, `fit`, moments) is scipy's, on plain values.

>>> x = np.array([0.5, 1.5])
>>> grad(lambda mean: np.sum(norm.logpdf(x, mean, 2.0)))(0.0)
(0.5,)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special as special
import scipy.stats

from pycograd.core.aval import shape_of
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.scipy.families import Continuous, Discrete, Family
from pycograd.scipy.kinds import array, boxed

_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


def _positive(*shapes: Any) -> Any:
    good: Any = True
    for s in shapes:
        good = good & (s > 0)
    return good


# -- on the line -----------------------------------------------------------------------------------
def _normal(z: Any) -> Any:
    return -0.5 * z**2 - _LOG_ROOT_2PI


norm = Continuous(
    scipy.stats.norm,
    logpdf=_normal,
    cdf=special.ndtr,
    sf=lambda z: special.ndtr(-z),
    ppf=special.ndtri,
    isf=lambda q: -special.ndtri(q),
    logcdf=special.log_ndtr,
    logsf=lambda z: special.log_ndtr(-z),
)


def _student(z: Any, df: Any) -> Any:
    finite = df < np.inf  # without end it is the normal distribution
    n = np.where(finite, df, 1.0)
    constant = special.gammaln((n + 1) / 2) - special.gammaln(n / 2) - 0.5 * np.log(n * np.pi)
    return np.where(finite, constant - (n + 1) / 2 * np.log1p(z**2 / n), _normal(z))


t = Continuous(
    scipy.stats.t,
    ("df",),
    logpdf=_student,
    cdf=lambda z, df: special.stdtr(df, z),
    sf=lambda z, df: special.stdtr(df, -z),
    ppf=lambda q, df: special.stdtrit(df, q),
    isf=lambda q, df: -special.stdtrit(df, q),
    valid=_positive,
)
cauchy = Continuous(
    scipy.stats.cauchy,
    logpdf=lambda z: -math.log(math.pi) - np.log1p(z**2),
    cdf=lambda z: np.arctan2(1.0, -z) / np.pi,
    sf=lambda z: np.arctan2(1.0, z) / np.pi,
    ppf=lambda q: np.tan(np.pi * q - np.pi / 2),
    isf=lambda q: np.tan(np.pi / 2 - np.pi * q),
)


def _laplace_cdf(z: Any) -> Any:
    tail = 0.5 * np.exp(-np.abs(z))
    return np.where(z > 0, 1 - tail, tail)


def _laplace_logcdf(z: Any) -> Any:
    right = np.where(z > 0, z, 0.0)
    return np.where(z > 0, np.log1p(-0.5 * np.exp(-right)), z - math.log(2))


def _laplace_ppf(q: Any) -> Any:
    return np.where(q > 0.5, -np.log(2 * (1 - q)), np.log(2 * q))


laplace = Continuous(
    scipy.stats.laplace,
    logpdf=lambda z: -math.log(2) - np.abs(z),
    cdf=_laplace_cdf,
    sf=lambda z: _laplace_cdf(-z),
    ppf=_laplace_ppf,
    isf=lambda q: -_laplace_ppf(q),
    logcdf=_laplace_logcdf,
    logsf=lambda z: _laplace_logcdf(-z),
)
logistic = Continuous(
    scipy.stats.logistic,
    logpdf=lambda z: special.log_expit(z) + special.log_expit(-z),
    cdf=special.expit,
    sf=lambda z: special.expit(-z),
    ppf=special.logit,
    isf=lambda q: -special.logit(q),
    logcdf=special.log_expit,
    logsf=lambda z: special.log_expit(-z),
)

# -- on the half-line ------------------------------------------------------------------------------
gamma = Continuous(
    scipy.stats.gamma,
    ("a",),
    logpdf=lambda z, a: special.xlogy(a - 1, z) - z - special.gammaln(a),
    cdf=lambda z, a: special.gammainc(a, z),
    sf=lambda z, a: special.gammaincc(a, z),
    ppf=lambda q, a: special.gammaincinv(a, q),
    isf=lambda q, a: special.gammainccinv(a, q),
    low=0.0,
    valid=_positive,
)
chi2 = Continuous(
    scipy.stats.chi2,
    ("df",),
    logpdf=lambda z, df: (
        special.xlogy(df / 2 - 1, z) - z / 2 - special.gammaln(df / 2) - math.log(2) * df / 2
    ),
    cdf=lambda z, df: special.gammainc(df / 2, z / 2),
    sf=lambda z, df: special.gammaincc(df / 2, z / 2),
    ppf=lambda q, df: 2 * special.gammaincinv(df / 2, q),
    isf=lambda q, df: 2 * special.gammainccinv(df / 2, q),
    low=0.0,
    valid=_positive,
)
expon = Continuous(
    scipy.stats.expon,
    logpdf=lambda z: -z,
    cdf=lambda z: -np.expm1(-z),
    sf=lambda z: np.exp(-z),
    ppf=lambda q: -np.log1p(-q),
    isf=lambda q: -np.log(q),
    logcdf=lambda z: np.log(-np.expm1(-z)),
    logsf=lambda z: -z,
    low=0.0,
)
lognorm = Continuous(
    scipy.stats.lognorm,
    ("s",),
    logpdf=lambda z, s: _normal(np.log(z) / s) - np.log(s * z),
    cdf=lambda z, s: special.ndtr(np.log(z) / s),
    sf=lambda z, s: special.ndtr(-np.log(z) / s),
    ppf=lambda q, s: np.exp(s * special.ndtri(q)),
    isf=lambda q, s: np.exp(-s * special.ndtri(q)),
    logcdf=lambda z, s: special.log_ndtr(np.log(z) / s),
    logsf=lambda z, s: special.log_ndtr(-np.log(z) / s),
    low=0.0,
    valid=_positive,
    closed=False,
)

# -- on an interval --------------------------------------------------------------------------------
beta = Continuous(
    scipy.stats.beta,
    ("a", "b"),
    logpdf=lambda z, a, b: (
        special.xlog1py(b - 1, -z) + special.xlogy(a - 1, z) - special.betaln(a, b)
    ),
    cdf=lambda z, a, b: special.betainc(a, b, z),
    sf=lambda z, a, b: special.betainc(b, a, 1 - z),
    ppf=lambda q, a, b: special.betaincinv(a, b, q),
    isf=lambda q, a, b: 1 - special.betaincinv(b, a, q),
    low=0.0,
    high=1.0,
    valid=_positive,
)
uniform = Continuous(
    scipy.stats.uniform,
    logpdf=lambda z: 0.0 * z,
    cdf=lambda z: z,
    sf=lambda z: 1 - z,
    ppf=lambda q: q,
    low=0.0,
    high=1.0,
)

# -- on the integers -------------------------------------------------------------------------------
poisson = Discrete(
    scipy.stats.poisson,
    ("mu",),
    logpmf=lambda k, mu: special.xlogy(k, mu) - special.gammaln(k + 1.0) - mu,
    cdf=lambda k, mu: special.gammaincc(k + 1.0, mu),
    sf=lambda k, mu: special.gammainc(k + 1.0, mu),
    valid=lambda mu: mu >= 0,
)


def _binomial(k: Any, n: Any, p: Any) -> Any:
    ways = special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)
    return ways + special.xlogy(k, p) + special.xlog1py(n - k, -p)


def _probability(p: Any) -> Any:
    return (p >= 0) & (p <= 1)


binom = Discrete(
    scipy.stats.binom,
    ("n", "p"),
    logpmf=_binomial,
    cdf=lambda k, n, p: special.betainc(n - k, k + 1.0, 1 - p),
    sf=lambda k, n, p: special.betainc(k + 1.0, n - k, p),
    valid=lambda n, p: (n >= 0) & (n == np.floor(n)) & _probability(p),
    high=lambda n, p: n,
)
bernoulli = Discrete(
    scipy.stats.bernoulli,
    ("p",),
    logpmf=lambda k, p: special.xlogy(k, p) + special.xlog1py(1 - k, -p),
    cdf=lambda k, p: 1 - p + 0 * k,
    sf=lambda k, p: p + 0 * k,
    valid=_probability,
    high=lambda p: 1,
)
nbinom = Discrete(
    scipy.stats.nbinom,
    ("n", "p"),
    logpmf=lambda k, n, p: (
        special.gammaln(n + k)
        - special.gammaln(k + 1.0)
        - special.gammaln(n)
        + special.xlogy(n, p)
        + special.xlog1py(k, -p)
    ),
    cdf=lambda k, n, p: special.betainc(n, k + 1.0, p),
    sf=lambda k, n, p: special.betainc(k + 1.0, n, 1 - p),
    valid=lambda n, p: (n > 0) & (p > 0) & (p <= 1),
)
geom = Discrete(
    scipy.stats.geom,
    ("p",),
    logpmf=lambda k, p: special.xlog1py(k - 1.0, -p) + np.log(p),
    cdf=lambda k, p: -np.expm1(special.xlog1py(k, -p)),
    sf=lambda k, p: np.exp(special.xlog1py(k, -p)),
    valid=lambda p: (p > 0) & (p <= 1),
    low=1,
)


# -- of vectors ------------------------------------------------------------------------------------
class _MultivariateNormal(Family):
    """The normal distribution of vectors; its density has derivatives.

    The gradient with respect to the covariance is symmetric: an entry off the diagonal and its
    mirror image share.
    """

    names: tuple[str, ...] = ("mean", "cov", "allow_singular")
    defaults = {"mean": None, "cov": 1, "allow_singular": False}
    methods = ("logpdf", "pdf")
    name = "multivariate_normal"

    def logpdf(self, x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False) -> Any:
        """The logarithm of the density at `x`, whose last axis is that of the vectors."""
        if not boxed(x, mean, cov):
            return self.original.logpdf(x, mean, cov, allow_singular)
        if allow_singular or isinstance(cov, scipy.stats.Covariance):
            raise UnsupportedOperationError(
                "multivariate_normal.logpdf: allow_singular and Covariance objects have no rule;"
                " give a positive definite matrix"
            )
        x, cov = array(x), array(cov)
        mean = None if mean is None else np.atleast_1d(array(mean))
        n = max(shape_of(v)[-1] for v in (mean, np.atleast_1d(cov)) if v is not None)
        if mean is None and not shape_of(cov):
            n = 1
        if not shape_of(cov):
            cov = cov * np.eye(n)
        elif len(shape_of(cov)) == 1:
            cov = cov[:, None] * np.eye(n)
        mean = np.zeros(n) if mean is None else mean
        if shape_of(cov) != (n, n) or shape_of(mean) != (n,):
            raise ShapeError(
                f"multivariate_normal: mean of shape {shape_of(mean)}, covariance of"
                f" {shape_of(cov)}"
            )
        if (n == 1 and shape_of(x)[-1:] != (1,)) or not shape_of(x):
            x = np.expand_dims(x, -1)
        if n == 1 and len(shape_of(x)) == 1:
            x = np.expand_dims(x, -1)
        factor = np.linalg.cholesky(0.5 * (cov + cov.T))
        off = np.reshape(x - mean, (-1, n))
        white = np.linalg.solve(factor, off.T)
        log_det = 2 * np.sum(np.log(np.diagonal(factor)))
        value = -0.5 * (np.sum(white**2, axis=0) + log_det) - n * _LOG_ROOT_2PI
        value = np.reshape(value, shape_of(x)[:-1])
        return np.squeeze(value)

    def pdf(self, x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False) -> Any:
        """The density at `x`, whose last axis is that of the vectors."""
        if not boxed(x, mean, cov):
            return self.original.pdf(x, mean, cov, allow_singular)
        return np.exp(self.logpdf(x, mean, cov, allow_singular))


class _Dirichlet(Family):
    """The Dirichlet distribution; its density has derivatives, in `x` as if it were free."""

    names: tuple[str, ...] = ("alpha",)
    defaults: dict[str, Any] = {}
    methods = ("logpdf", "pdf")
    name = "dirichlet"

    def logpdf(self, x: Any, alpha: Any) -> Any:
        """The logarithm of the density at `x`, shape `(k,)` or `(k - 1,)`, or columns of them."""
        if not boxed(x, alpha):
            return self.original.logpdf(x, alpha)
        x, alpha = array(x), array(alpha)
        k = shape_of(alpha)[0]
        if shape_of(x)[0] == k - 1:
            x = np.concatenate([x, 1 - np.sum(x, axis=0)[None]])
        if len(shape_of(alpha)) != 1 or shape_of(x)[0] != k:
            raise ShapeError(f"dirichlet: x of shape {shape_of(x)} for alpha of {shape_of(alpha)}")
        constant = special.gammaln(np.sum(alpha)) - np.sum(special.gammaln(alpha))
        weights: Any = np.reshape(alpha - 1, (k,) + (1,) * (len(shape_of(x)) - 1))
        return constant + np.sum(special.xlogy(weights, x), axis=0)

    def pdf(self, x: Any, alpha: Any) -> Any:
        """The density at `x`."""
        if not boxed(x, alpha):
            return self.original.pdf(x, alpha)
        return np.exp(self.logpdf(x, alpha))


multivariate_normal = _MultivariateNormal(scipy.stats.multivariate_normal, ())
dirichlet = _Dirichlet(scipy.stats.dirichlet, ("alpha",))

__all__ = [
    "bernoulli",
    "beta",
    "binom",
    "cauchy",
    "chi2",
    "dirichlet",
    "expon",
    "gamma",
    "geom",
    "laplace",
    "logistic",
    "lognorm",
    "multivariate_normal",
    "nbinom",
    "norm",
    "poisson",
    "t",
    "uniform",
]
