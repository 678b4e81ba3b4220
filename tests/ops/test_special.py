"""`np.sinc`, `np.i0`, `np.kaiser`: derivatives of every order, at 0 too."""

import math

import numpy as np
import pytest

from pycograd import MissingRuleError, grad, hessian, jacfwd
from pycograd.ops import special


def nth(f, n):
    for _ in range(n):
        f = grad(f, argnums=0) if n % 2 else (lambda g: lambda x: jacfwd(g, argnums=0)(x))(f)
    return f


@pytest.mark.parametrize("order", range(6))
def test_sinc_at_0_has_the_derivatives_of_its_series(order):
    # sinc(x) = sum of (-1)^k (pi x)^(2k) / (2k + 1)!
    k = order // 2
    expected = (-1) ** k * math.pi**order / (order + 1) if order % 2 == 0 else 0.0
    np.testing.assert_allclose(nth(np.sinc, order)(0.0), expected, atol=1e-13)


@pytest.mark.parametrize("x", [1e-9, 1e-5, 0.01, 0.5, 0.64, 3.2, 40.3, -2.7])
def test_the_slope_of_sinc_is_exact_to_the_last_digits(x):
    u = math.pi * x
    if abs(u) < 0.1:
        expected = math.pi * (-u / 3 + u**3 / 30 - u**5 / 840 + u**7 / 45360)
    else:
        expected = (math.cos(u) - math.sin(u) / u) / x
    np.testing.assert_allclose(grad(np.sinc)(x)[0], expected, rtol=2e-14)


def test_i0_satisfies_its_differential_equation():
    x = np.array([-5.0, -0.3, 1e-6, 2.0, 30.0])
    second = np.diag(hessian(lambda x: np.sum(np.i0(x)), argnums=0)(x))
    (first,) = grad(lambda x: np.sum(np.i0(x)))(x)
    np.testing.assert_allclose(x * second + first, x * np.i0(x), rtol=1e-13)


@pytest.mark.parametrize("order, expected", [(0, 1.0), (1, 0.0), (2, 0.5), (3, 0.0), (4, 0.375)])
def test_i0_at_0_has_the_derivatives_of_its_series(order, expected):
    np.testing.assert_allclose(nth(np.i0, order)(0.0), expected, atol=1e-14)


def test_a_large_argument_has_a_finite_slope():
    value, slope = np.i0(700.0), grad(np.i0)(700.0)[0]
    assert 0.999 < slope / value < 1


@pytest.mark.parametrize("points", [0, 1, 2, 5, 8])
def test_kaiser_is_numpys_and_differentiable_in_its_shape(points):
    np.testing.assert_allclose(special.kaiser(points, 3.5), np.kaiser(points, 3.5), rtol=1e-14)
    slope = jacfwd(lambda b: special.kaiser(points, b), argnums=0)(3.5)
    step = 1e-5
    differences = (np.kaiser(points, 3.5 + step) - np.kaiser(points, 3.5 - step)) / (2 * step)
    np.testing.assert_allclose(slope, differences, atol=1e-9)


def test_the_order_of_a_derivative_is_no_variable():
    with pytest.raises(MissingRuleError, match=r"sinc_derivative has no rule .* in its order"):
        grad(lambda n: special.sinc_derivative(0.5, n))(1.0)
