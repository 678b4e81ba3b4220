"""`scipy.stats` on differentiated values: scipy's numbers, and derivatives by differences."""

import numpy as np
import pytest

from pycograd import UnsupportedOperationError, check_grads, grad, hessian, vjp, vmap

st = pytest.importorskip("scipy.stats")
from pycograd.scipy import stats  # noqa: E402

rng = np.random.default_rng(0)
# Shape parameters, and which of them the special functions of the cdf can be differentiated in.
CONTINUOUS = {
    "norm": (), "t": (3.5,), "gamma": (2.3,), "beta": (1.4, 2.2), "chi2": (3.0,), "expon": (),
    "laplace": (), "cauchy": (), "uniform": (), "lognorm": (0.8,), "logistic": (),
}  # fmt: skip
DISCRETE = {
    "poisson": (2.3,),
    "binom": (5, 0.3),
    "bernoulli": (0.3,),
    "nbinom": (2.5, 0.4),
    "geom": (0.3,),
}
AT = np.array([-1.3, 0.0, 0.2, 0.7, 1.0, 2.5, np.nan, np.inf, -np.inf])
Q = np.array([0.0, 0.1, 0.5, 0.9, 1.0, 1.2])
SHIFT = (0.1, 1.7)


def same(ours, scipys, *args):
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(vjp(ours, *args)[0], scipys(*args), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("method", ["pdf", "logpdf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf"])
def test_continuous_values(name, method):
    ours, theirs = getattr(getattr(stats, name), method), getattr(getattr(st, name), method)
    at, shapes = Q if method in ("ppf", "isf") else AT, CONTINUOUS[name]
    same(lambda x: ours(x, *shapes, *SHIFT), lambda x: theirs(x, *shapes, *SHIFT), at)
    same(lambda x: ours(x, *shapes), lambda x: theirs(x, *shapes), at)
    same(lambda x: ours(x, *shapes, scale=0.5), lambda x: theirs(x, *shapes, scale=0.5), at)
    same(
        lambda scale: ours(at, *shapes, 0.0, scale),
        lambda scale: theirs(at, *shapes, 0.0, scale),
        -1.0,
    )
    np.testing.assert_array_equal(ours(0.3, *shapes), theirs(0.3, *shapes))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_derivatives(name):
    d, shapes = getattr(stats, name), CONTINUOUS[name]
    x = np.array([0.35, 0.9])
    check_grads(lambda x, loc, scale, *s: d.logpdf(x, *s, loc, scale), (x, *SHIFT, *shapes))
    check_grads(lambda x, *s: d.pdf(x, *s), (x, *shapes), order=1)
    for method in ("cdf", "logsf", "logcdf", "sf"):
        f = getattr(d, method)
        check_grads(lambda x, loc, scale: f(x, *shapes, loc, scale), (x, *SHIFT), order=1)
    for method in ("ppf", "isf"):
        f = getattr(d, method)
        q = np.array([0.1, 0.8])
        check_grads(lambda q, loc, scale: f(q, *shapes, loc, scale), (q, *SHIFT), order=1)


def test_derivatives_outside_of_the_support_are_zero():
    for name in ("gamma", "beta", "expon", "lognorm", "uniform"):
        d, shapes = getattr(stats, name), CONTINUOUS[name]
        for method in ("logpdf", "pdf", "cdf", "logsf"):
            g = grad(lambda x, *s: np.where(x > 0, getattr(d, method)(x, *s), 0.0))(
                -1.0, *map(float, shapes)
            )
            assert all(np.all(v == 0) for v in g), (name, method)


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete(name):
    k = np.array([-1, 0, 1, 2, 3, 5, 7, 1.5])
    *rest, p = DISCRETE[name]
    d, theirs = getattr(stats, name), getattr(st, name)
    for method in ("pmf", "logpmf", "cdf", "logcdf", "sf", "logsf"):
        f, g = getattr(d, method), getattr(theirs, method)
        same(lambda p: f(k, *rest, p), lambda p: g(k, *rest, p), p)
        same(lambda p: f(k, *rest, p, loc=1), lambda p: g(k, *rest, p, loc=1), p)
    inside = np.array([1, 2, 4]) if name != "bernoulli" else np.array([0, 1])
    for method in ("pmf", "logpmf"):
        check_grads(lambda p: getattr(d, method)(inside, *rest, p), (p,))
    check_grads(lambda p: d.cdf(inside, *rest, p), (p,))


def test_frozen():
    f = lambda a, scale: stats.gamma(a, scale=scale).logpdf(1.3)
    np.testing.assert_allclose(vjp(f, 2.0, 0.7)[0], st.gamma(2.0, scale=0.7).logpdf(1.3))
    check_grads(f, (2.0, 0.7))
    assert stats.norm(1.0, 2.0).mean() == 1.0
    assert stats.norm.rvs(size=3, random_state=0).shape == (3,)
    with pytest.raises(UnsupportedOperationError, match=r"norm\.rvs"):
        grad(lambda m: np.sum(stats.norm(m).rvs(3)))(1.0)
    with pytest.raises(UnsupportedOperationError, match=r"gamma\.mean"):
        grad(lambda a: stats.gamma.mean(a))(1.0)
    with pytest.raises(TypeError, match="missing parameter a"):
        grad(lambda x: stats.gamma.logpdf(x))(1.0)
    with pytest.raises(TypeError, match="takes parameters a, loc, scale"):
        grad(lambda x: stats.gamma.logpdf(x, 1.0, q=3))(1.0)


def test_extremes_are_finite():
    g = grad(lambda x: np.sum(stats.norm.logcdf(x)))(np.array([-40.0, 0.0, 40.0]))[0]
    np.testing.assert_allclose(g, [40.025, 0.79788456, 0.0], rtol=1e-4)
    assert np.isfinite(
        grad(lambda x: np.sum(stats.laplace.logcdf(x)))(np.array([-900.0, 900.0]))[0]
    ).all()
    student = vjp(lambda x: stats.t.logpdf(x, np.inf), 0.3)[0]
    np.testing.assert_allclose(student, st.t.logpdf(0.3, np.inf))


@pytest.mark.parametrize(
    ("x", "mean", "cov"),
    [
        (np.array([0.3, -0.2]), np.array([0.1, 0.4]), np.array([[1.3, 0.4], [0.4, 0.9]])),
        (rng.standard_normal((4, 2)), np.zeros(2), np.array([[1.3, 0.4], [0.4, 0.9]])),
        (rng.standard_normal((2, 3, 2)), np.zeros(2), np.array([1.3, 0.4])),
        (rng.standard_normal(2), np.zeros(2), 1.5),
        (0.4, 0.1, 1.5),
        (rng.standard_normal(4), 0.1, 1.5),
    ],
)
def test_multivariate_normal(x, mean, cov):
    d, theirs = stats.multivariate_normal, st.multivariate_normal
    for method in ("logpdf", "pdf"):
        same(
            lambda x, m, c: getattr(d, method)(x, m, c),
            lambda x, m, c: getattr(theirs, method)(x, m, c),
            x, mean, cov,
        )  # fmt: skip
    even = lambda c: (c + c.T) / 2 if np.ndim(c) == 2 else c
    check_grads(
        lambda x, m, c: d.logpdf(x, m, even(c)), (x, mean, cov), order=1 + (np.size(x) == 2)
    )


def test_more_of_vectors():
    same(stats.multivariate_normal.logpdf, st.multivariate_normal.logpdf, np.array([0.5, 1.0]))
    alpha, x = np.array([1.3, 0.8, 2.1]), np.array([0.2, 0.5, 0.3])
    for at in (x, x[:2], np.stack([x, x[[1, 0, 2]]], 1)):
        same(lambda a: stats.dirichlet.logpdf(at, a), lambda a: st.dirichlet.logpdf(at, a), alpha)
        check_grads(lambda a: stats.dirichlet.pdf(at, a), (alpha,))
    h = hessian(lambda x: stats.dirichlet.logpdf(x, alpha))(x)
    np.testing.assert_allclose(h, np.diag(-(alpha - 1) / x**2))
    with pytest.raises(UnsupportedOperationError, match="allow_singular"):
        grad(lambda x: stats.multivariate_normal.logpdf(x, np.zeros(2), np.eye(2), True))(x[:2])
    xs = rng.standard_normal((3, 2))
    rows = vmap(lambda x: stats.multivariate_normal.logpdf(x, np.zeros(2), np.eye(2)))(xs)
    np.testing.assert_allclose(rows, st.multivariate_normal.logpdf(xs, np.zeros(2), np.eye(2)))
