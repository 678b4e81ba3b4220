"""`scipy_optimize_args`: trees to scipy's vectors and back."""

import numpy as np
import pytest

import pycograd
from pycograd import NotDifferentiableError, ShapeError, scipy_optimize_args

so = pytest.importorskip("scipy.optimize")


def loss(p, shift):
    w, b = p["w"], p["b"]
    return np.sum((w - shift) ** 4 + (w - shift) ** 2) + np.cosh(b[0] - 1.0) + b[1] ** 2


START = {"w": np.zeros((2, 3)), "b": [0.5, np.float32(1.0)]}


@pytest.mark.parametrize(
    "method", [None, "BFGS", "Newton-CG", "trust-ncg", "trust-exact", "Nelder-Mead"]
)
def test_it_minimises_trees(method, recwarn):
    problem = scipy_optimize_args(loss, START, 0.7, method=method)
    if method is None:
        problem["method"] = "trust-krylov"
    found = so.minimize(
        **problem,
        tol=1e-9,
        options={"maxfev": 9000, "maxiter": 9000} if method == "Nelder-Mead" else {},
    )
    best = problem.unflatten(found.x)
    np.testing.assert_allclose(best["w"], np.full((2, 3), 0.7), atol=1e-4)
    np.testing.assert_allclose(best["b"], [1.0, 0.0], atol=1e-4)
    assert type(best["b"][0]) is float and best["b"][1].dtype == np.float32
    assert not [w for w in recwarn if "does not use" in str(w.message)]


def test_value_gradient_and_hessian_agree_with_differences():
    start = {"w": np.zeros((2, 3)), "b": np.ones(2)}
    problem = scipy_optimize_args(loss, start, 0.7, whole=True)
    x = np.linspace(0.1, 0.9, 8)
    assert so.check_grad(problem["fun"], problem["jac"], x) < 1e-6
    products = scipy_optimize_args(loss, start, 0.7)
    direction = np.arange(8.0)
    np.testing.assert_allclose(problem["hess"](x) @ direction, products["hessp"](x, direction))
    step = 1e-6
    difference = (problem["jac"](x + step * direction) - problem["jac"](x - step * direction)) / (
        2 * step
    )
    np.testing.assert_allclose(products["hessp"](x, direction), difference, rtol=1e-4)


def test_one_evaluation_serves_value_and_gradient():
    calls = []
    problem = scipy_optimize_args(lambda x: (calls.append(0), np.sum(x * x))[1], np.ones(2))
    x = np.array([1.0, 2.0])
    assert problem["fun"](x) == 5.0
    gradient = problem["jac"](x)
    gradient[:] = 7  # scipy may change what it was given
    np.testing.assert_array_equal(problem["jac"](x), [2.0, 4.0])
    x[0] = 3.0  # and its own vector
    assert problem["fun"](x) == 13.0
    assert len(calls) == 2


def test_flatten_and_unflatten_are_inverse():
    problem = scipy_optimize_args(loss, START, 0.7)
    np.testing.assert_array_equal(
        problem.flatten(problem.unflatten(np.arange(8.0))), np.arange(8.0)
    )
    with pytest.raises(ShapeError, match=r"8 entries.*\(3,\)"):
        problem.unflatten(np.ones(3))
    with pytest.raises(ShapeError, match="like x0"):
        problem.flatten(np.ones(8))


def test_what_cannot_be_minimised_over():
    for wrong in (np.arange(3), {"a": 1j}, {"name": "x"}):
        with pytest.raises(NotDifferentiableError, match="x0 holds"):
            scipy_optimize_args(loss, wrong)
    assert pycograd.scipy_optimize_args is scipy_optimize_args
