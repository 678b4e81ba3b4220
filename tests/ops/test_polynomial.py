"""The functions of polynomials against NumPy, their derivatives, and np.polynomial."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import (
    ControlFlowError,
    ConversionError,
    ShapeError,
    UnsupportedOperationError,
)
from pycograd.testing.gradients import check_grads
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

RNG = np.random.default_rng(8)
P, Q, X = np.array([1.0, -2.0, 0.5, 3.0]), np.array([2.0, 1.0]), RNG.normal(size=(2, 3))
ZEROS = np.array([0, 0, 1.0, 2.0])


def same(f, *xs, rtol=1e-12):
    found, expected = vjp(f, *xs)[0], f(*xs)
    pairs = zip(*[v if isinstance(v, tuple) else (v,) for v in (found, expected)], strict=True)
    for x, y in pairs:
        x, y = np.asarray(x), np.asarray(y)
        assert x.dtype == y.dtype and x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


def test_values():
    for x in (X, X.astype(np.float32), X + 1j, np.array([np.nan])):
        same(np.polyval, P, x, rtol=1e-6)
        same(lambda x: np.polyval([1, 2], x), x, rtol=1e-6)
        same(lambda x: np.polyval([], x), x)
        same(lambda x: np.poly1d(P)(x), x, rtol=1e-6)
    check_grads(np.polyval, (P, X))


def test_vander():
    for n in (None, 0, 1, 3):
        for increasing in (False, True):
            f = lambda x, n=n, up=increasing: np.vander(x, n, up)
            for x in (P, P.astype(np.float32), P + 1j):
                same(f, x)
    check_grads(np.vander, (P,))


@pytest.mark.parametrize(
    "f", [np.polyadd, np.polysub, np.polymul, np.polydiv], ids=lambda f: f.__name__
)
def test_arithmetic(f):
    for a, b in ((P, Q), (Q, P), (P, P), (P, 3.0), (P + 1j, Q), (ZEROS[2:], P)):
        same(f, a, b)
        if f is not np.polydiv:
            check_grads(f, (a, b))
    if f is not np.polydiv:
        same(f, ZEROS, np.array([0.0, 3.0]))
        same(f, np.zeros(2), Q)
        rows = vmap(f)(np.stack([P, 2 * P]), np.stack([Q, Q]))
        np.testing.assert_allclose(rows, [f(P, Q), f(2 * P, Q)])


def test_derivatives_of_quotient_and_remainder():
    for a, b in ((P, Q), (Q, P), (P + 1j, Q), (ZEROS[2:], P)):
        check_grads(np.polydiv, (a, b))
    # Of a division without remainder, what remains is as good as 0, and how much is kept changes.
    check_grads(lambda a, b: np.polydiv(a, b)[0], (np.polymul(P, Q), Q))


def test_leading_zeros_are_dropped_by_value():
    with pytest.raises(ControlFlowError, match="different numbers of zeros"):
        vmap(np.polymul)(np.array([[1.0, 2.0], [0.0, 2.0]]), np.stack([Q, Q]))
    assert str(eval_shape(np.polymul, P, Q)).startswith("f64[n0 + n1")


@pytest.mark.parametrize("m", range(5))
def test_calculus(m):
    same(lambda p: np.polyder(p, m), P)
    same(lambda p: np.polyint(p, m), P)
    same(lambda p, k: np.polyint(p, m, k), P, np.array(3.0))
    same(lambda p, k: np.polyint(p, m, k), P, np.arange(5.0))
    same(lambda p: np.polyder(p, m), P.astype(np.float32))
    check_grads(lambda p, k: np.polyint(p, m, k), (P, np.arange(5.0)))


def test_zeros():
    for p in (
        [1.0, -6, 11, -6],
        [0, 1.0, -6, 11, -6, 0, 0],
        [1.0, 0, 1],
        [2.0, 1],
        [3.0],
        [0.0, 0],
        [1 + 1j, 2, 3],
    ):
        same(np.roots, np.array(p), rtol=1e-9)
    check_grads(lambda p: np.real(np.roots(p)), (np.array([1.0, -6, 11, -6]),))


def test_a_zero_moves_as_the_implicit_function_theorem_says():
    p = np.array([1.0, -6.0, 11.0, -6.0])
    found = vjp(lambda p: np.sort(np.real(np.roots(p))), p)
    for i, zero in enumerate(found[0]):
        ct = found[1](np.eye(3)[i])[0]
        np.testing.assert_allclose(
            ct, -(zero ** np.arange(3, -1, -1)) / np.polyval(np.polyder(p), zero)
        )


def test_from_zeros():
    for z in (P, P.astype(np.float32), P + 1j * X.ravel()[:4], np.array([1 + 2j, 1 - 2j, 3])):
        same(np.poly, z, rtol=1e-6)
    same(lambda x: np.poly(x[:0]) * x, P)
    symmetric = X @ X.T
    same(np.poly, symmetric, rtol=1e-9)
    check_grads(np.poly, (P,))
    check_grads(np.poly, (symmetric,))
    rows = vmap(np.poly)(X + 1j)
    np.testing.assert_allclose(rows, [np.poly(x + 1j) for x in X])
    with pytest.raises(ControlFlowError, match="conjugate pairs"):
        vmap(np.poly)(np.array([[1 + 2j, 1 - 2j], [1, 2j]]))


@pytest.mark.parametrize(
    "options",
    [{}, {"weights": True}, {"cov": True}, {"cov": "unscaled"}, {"full": True}, {"rcond": 1e-3}],
    ids=str,
)
def test_fit(options):
    x, w = np.linspace(-1, 2, 8), RNG.uniform(0.5, 2, 8)
    options = dict(options)
    if options.pop("weights", False):
        options["w"] = w
    for y in (RNG.normal(size=8), RNG.normal(size=(8, 2))):
        same(lambda x, y: np.polyfit(x, y, 2, **options), x, y, rtol=1e-8)
        if "full" not in options:
            check_grads(lambda x, y: np.polyfit(x, y, 2, **options), (x, y))
    y = RNG.normal(size=8)
    check_grads(lambda x, y, w: np.polyfit(x, y, 1, w=w, cov=True), (x, y, w))


def test_a_fit_is_exact_for_a_polynomial():
    x = np.linspace(0, 1, 6)
    found = grad(lambda p: np.polyfit(x, np.polyval(p, x), 3)[1])(P)[0]
    np.testing.assert_allclose(found, [0, 1, 0, 0], atol=1e-9)


def test_a_poorly_conditioned_fit_warns():
    with pytest.warns(np.exceptions.RankWarning):
        vjp(lambda x: np.polyfit(x, x, 2), np.ones(4))


def test_bad_arguments():
    for f, error, words in (
        (lambda p: np.polymul(np.ones((2, 2)), p), ShapeError, "one axis"),
        (lambda p: np.polyadd(np.poly1d([1, 2]), p), UnsupportedOperationError, "coeffs"),
        (lambda p: np.polyval(p, np.poly1d([1, 2])), UnsupportedOperationError, "polymul"),
        (lambda p: np.polyder(p, -1), ValueError, "negative"),
        (lambda p: np.polyint(p, 3, [1.0, 2.0]), ValueError, "one for each"),
        (lambda p: np.poly(p[None]), ShapeError, "square"),
        (lambda p: np.vander(p[None]), ShapeError, "no vector"),
        (lambda p: np.polyfit(p, p[:2], 1), ShapeError, "does not fit"),
        (lambda p: np.polyfit(p, p, 3, cov=True), ValueError, "more points"),
    ):
        with pytest.raises(error, match=words):
            vjp(f, P)


def test_symbolic_sizes():
    x = ShapeDtypeStruct(("B",))
    assert str(eval_shape(lambda x: np.vander(x, 3), x)) == "f64[B,3]"
    assert str(eval_shape(lambda x: np.polyval(P, x), x)) == "f64[B]"


# -- np.polynomial ---------------------------------------------------------------------------------
SERIES = ("polynomial", "chebyshev", "legendre", "hermite", "hermite_e", "laguerre")


@pytest.mark.parametrize("module", SERIES)
def test_series_of_plain_coefficients(module):
    series = getattr(np.polynomial, module)
    name = {"polynomial": "poly", "chebyshev": "cheb", "legendre": "leg", "hermite": "herm",
            "hermite_e": "herme", "laguerre": "lag"}[module]  # fmt: skip
    value = getattr(series, f"{name}val")
    f = lambda x: value(x, P)
    same(f, X)
    check_grads(f, (X,))
    derivative = getattr(series, f"{name}der")(P)
    np.testing.assert_allclose(grad(lambda x: np.sum(f(x)))(X)[0], value(X, derivative))
    np.testing.assert_allclose(vmap(f)(X), f(X))
    if module != "polynomial":
        check_grads(getattr(series, f"{name}weight"), (0.4 * np.tanh(X) + 0.5,))


def test_polyvalfromroots():
    check_grads(lambda x: np.polynomial.polynomial.polyvalfromroots(x, P), (X,))


def test_what_np_polynomial_makes_plain_says_what_to_write():
    for f, words in (
        (lambda p: np.polynomial.Polynomial([1.0, 2.0])(p), "mapparms"),
        (lambda p: np.polynomial.Chebyshev([1.0, 2.0])(p), "mapparms"),
        (lambda p: np.polynomial.Polynomial(p), "np.polyval"),
        (lambda p: np.polynomial.polynomial.polyval(1.0, p), "np.polyval"),
    ):
        with pytest.raises(ConversionError, match=words):
            vjp(f, P)


def test_the_advised_form_of_a_class_is_right():
    p = np.polynomial.Chebyshev(P, domain=[-2, 3])

    def f(x):
        offset, scale = p.mapparms()
        return np.polynomial.chebyshev.chebval(offset + scale * x, p.coef)

    np.testing.assert_allclose(vjp(f, X)[0], p(X))
    np.testing.assert_allclose(grad(lambda x: np.sum(f(x)))(X)[0], p.deriv()(X))
