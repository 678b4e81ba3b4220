"""`scipy.optimize` differentiated by the implicit function theorem."""

import functools

import numpy as np
import pytest

import pycograd
from pycograd import (
    ClosedOverError,
    NotDifferentiableError,
    UnsupportedOperationError,
    check_grads,
    eval_shape,
    grad,
    hessian,
    jacobian,
    jvp,
    vmap,
)

so = pytest.importorskip("scipy.optimize")
from pycograd.scipy import optimize  # noqa: E402

rng = np.random.default_rng(0)


# -- roots -----------------------------------------------------------------------------------------
def system(x, a, tree):
    return [x[0] ** 3 + x[1] - a, tree["b"][0] * x[0] - x[1] + tree["b"][1] * x[1] ** 3]


TREE = {"b": np.array([0.5, 0.3]), "name": "constant", "n": 3}


def test_root_has_scipys_value():
    found = jvp(lambda a: optimize.root(system, [1.0, 1.0], (a, TREE)), (1.5,), (1.0,))[0]
    expected = so.root(system, [1.0, 1.0], (1.5, TREE))
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-9)
    assert found.success and found.nfev > 0


@pytest.mark.parametrize("method", ["hybr", "lm", "krylov"])
def test_root_of_a_system(method):
    def f(a, tree):
        return optimize.root(system, [1.0, 1.0], (a, tree), method, tol=1e-13).x

    order = 2 if method == "hybr" else 1
    check_grads(lambda a, b: f(a, {**TREE, "b": b}), (1.5, TREE["b"]), order=order)


def test_root_with_its_own_jacobian():
    def f(x, a):
        return x**3 - a, np.diag(3 * x**2)

    check_grads(
        lambda a: optimize.root(f, np.ones(2), (a,), jac=True, tol=1e-13).x, (np.array([1.2, 2.0]),)
    )


def test_rows_and_shapes():
    a = np.array([1.0, 1.5, 2.0])
    f = lambda a: optimize.root(system, [1.0, 1.0], (a, TREE)).x
    np.testing.assert_allclose(vmap(f)(a), [so.root(system, [1.0, 1.0], (v, TREE)).x for v in a])
    each = vmap(jacobian(f))(a)
    np.testing.assert_allclose(each, [jacobian(f)(v) for v in a])
    assert eval_shape(f, 1.0) == pycograd.ShapeDtypeStruct((2,))
    starts = vmap(lambda x0: optimize.root(lambda x: np.sin(x), x0).x[0])(np.array([0.1, 3.0]))
    np.testing.assert_allclose(starts, [0.0, np.pi], atol=1e-9)


SCALAR = lambda x, c: x**3 + c["p"] * x - c["q"]
COEFFICIENTS = {"p": 1.3, "q": 2.0}


@pytest.mark.parametrize("name", ["brentq", "brenth", "ridder", "bisect", "toms748"])
def test_brackets(name):
    find = getattr(optimize, name)
    check_grads(lambda c: find(SCALAR, 0.0, 3.0, (c,)), (COEFFICIENTS,))
    x, found = find(SCALAR, 0.0, 3.0, (COEFFICIENTS,), full_output=True)
    assert x == getattr(so, name)(SCALAR, 0.0, 3.0, (COEFFICIENTS,)) and found.converged


def test_other_roots_of_one_number():
    check_grads(lambda c: optimize.newton(SCALAR, 1.0, args=(c,), tol=1e-13), (COEFFICIENTS,))
    several = lambda c: optimize.newton(lambda x, c: x**3 - c, np.ones(2), args=(c,), tol=1e-13)
    check_grads(several, (np.array([1.0, 2.0]),))
    slope = lambda x, c: 3 * x**2 + c["p"]
    for options in ({"bracket": (0.0, 3.0)}, {"x0": 1.0, "fprime": slope}, {"x0": 1.0, "x1": 2.0}):
        f = lambda c: optimize.root_scalar(SCALAR, (c,), **options, xtol=1e-13).root
        check_grads(f, (COEFFICIENTS,))
    point = lambda a: optimize.fixed_point(
        lambda x, a: np.cos(a * x), np.array([0.7]), (a,), xtol=1e-13
    )
    check_grads(point, (0.9,))


def test_where_there_is_no_derivative():
    with pytest.raises(NotDifferentiableError, match="singular"):
        grad(lambda a: optimize.root(lambda x, a: (x - a) ** 3, np.array([1.0]), (a,)).x[0])(1.0)
    with pytest.raises(NotDifferentiableError, match=r"brentq.*derivative.*zero"):
        grad(lambda a: optimize.brentq(lambda x, a: (x - a) ** 3, -1.0, 2.0, (a,)))(0.5)
    with pytest.raises(NotDifferentiableError, match="no root was found"):
        grad(lambda a: optimize.root(lambda x, a: x**2 + a, np.array([1.0]), (a,)).x[0])(1.0)


@pytest.mark.parametrize(
    "find",
    [
        lambda f: optimize.root(f, np.ones(1)).x[0],
        lambda f: optimize.root(f, np.ones(1), (2.0,)).x[0],
        lambda f: optimize.brentq(f, 0.0, 5.0),
        lambda f: optimize.minimize(f, np.ones(1)).x[0],
        lambda f: optimize.minimize_scalar(f).x,
        lambda f: optimize.fixed_point(f, 1.0),
    ],
)
def test_a_differentiated_value_from_outside(find):
    with pytest.raises(ClosedOverError, match="args="):
        grad(lambda a: find(lambda x, *rest: x - a))(1.0)
    hidden = lambda a: find(functools.partial(lambda a, x, *rest: x - a, a))
    with pytest.raises(ClosedOverError, match="args="):
        grad(hidden)(1.0)

    class Holder:
        def __init__(self, a):
            self.a = a

        def __call__(self, x, *rest):
            return x - self.a

    with pytest.raises(ClosedOverError, match="args="):
        grad(lambda a: find(Holder(a)))(1.0)


# -- minima ----------------------------------------------------------------------------------------
def bowl(x, a, w):
    return np.sum(np.cosh(x - a)) + w["w"] * (x[0] - x[1]) ** 2


A, W = np.array([0.5, -0.3]), {"w": 0.7}


@pytest.mark.parametrize("method", [None, "Newton-CG", "trust-exact", "L-BFGS-B", "Nelder-Mead"])
def test_minimize(method):
    options = {"xatol": 1e-10, "fatol": 1e-14} if method == "Nelder-Mead" else None
    jac = {} if method == "Nelder-Mead" else {
        "jac": lambda x, a, w: np.sinh(x - a) + 2 * w["w"] * (x[0] - x[1]) * np.array([1, -1])
    }  # fmt: skip
    if method == "trust-exact":
        jac["hess"] = lambda x, a, w: (
            np.diag(np.cosh(x - a)) + 2 * w["w"] * np.array([[1, -1], [-1, 1]])
        )

    def f(a, w):
        return optimize.minimize(
            bowl, np.zeros(2), (a, w), method, tol=1e-12, options=options, **jac
        )

    exact = method in ("Newton-CG", "trust-exact")
    check_grads(lambda a, w: f(a, w).x, (A, W), order=1 + exact, rtol=2e-4, atol=1e-4, eps=1e-2)
    # At a minimum the derivative of the value is that of the function with x held.
    value = grad(lambda w: f(A, {"w": w}).fun)(0.7)[0]
    x = f(A, W).x
    np.testing.assert_allclose(value, (x[0] - x[1]) ** 2, rtol=1e-5)


def test_minimize_uses_our_derivatives():
    for method in (None, "trust-ncg", "trust-exact", "dogleg", "SLSQP"):
        g = jacobian(lambda a: optimize.minimize(bowl, np.zeros(2), (a, W), method, tol=1e-10).x)(A)
        h = np.diag(np.cosh(so.minimize(bowl, np.zeros(2), (A, W)).x - A))
        expected = np.linalg.solve(h + 1.4 * np.array([[1, -1], [-1, 1]]), h)
        np.testing.assert_allclose(g, expected, rtol=1e-4)


def test_second_order_and_rows():
    f = lambda a: np.sum(
        optimize.minimize(bowl, np.zeros(2), (a, W), "trust-exact", tol=1e-12).x ** 2
    )
    h = hessian(f)(A)
    step = 1e-5
    for i, e in enumerate(np.eye(2)):
        np.testing.assert_allclose(
            h[i], (grad(f)(A + step * e)[0] - grad(f)(A - step * e)[0]) / (2 * step), rtol=1e-5
        )
    np.testing.assert_allclose(
        vmap(grad(f))(np.stack([A, 2 * A]))[0][1], grad(f)(2 * A)[0], rtol=1e-6
    )


def test_bounds():
    pull = lambda x, a: np.sum((x - a) ** 2) + 0.5 * x[0] * x[1]
    bounds = [(0.0, 1.0), (None, None)]
    f = lambda a: optimize.minimize(pull, np.zeros(2), (a,), bounds=bounds, tol=1e-12).x
    a = np.array([2.0, 1.0])  # x[0] is held at 1, where x[1] = a[1] - x[0] / 4
    np.testing.assert_allclose(jacobian(f)(a), [[0, 0], [0, 1]], atol=1e-6)
    inside = np.array([0.5, 0.5])
    expected = np.linalg.inv([[1, 0.25], [0.25, 1]])
    np.testing.assert_allclose(jacobian(f)(inside), expected, rtol=1e-5)
    kept = optimize.minimize(pull, np.zeros(2), (a,), bounds=so.Bounds([0, -9], [1, 9])).x
    np.testing.assert_allclose(kept, f(a), rtol=1e-5)
    with pytest.raises(NotDifferentiableError, match=r"coordinate 0.*bound"):
        jacobian(f)(np.array([0.0, 0.0]))


def test_minima_without_derivatives():
    flat = lambda x, a: (x[0] - a) ** 4 + x[1] ** 2
    with pytest.raises(NotDifferentiableError, match="Hessian"):
        grad(lambda a: optimize.minimize(flat, np.array([1.0, 1.0]), (a,)).x[0])(1.0)
    with pytest.raises(UnsupportedOperationError, match="constrained"):
        constraint = {"type": "eq", "fun": lambda x: x[0]}
        grad(lambda a: optimize.minimize(bowl, A, (a, W), constraints=constraint).fun)(A)
    with pytest.raises(NotDifferentiableError, match="no minimum"):
        options = {"maxiter": 1}
        grad(lambda a: optimize.minimize(bowl, A + 3, (a, W), options=options).x[0])(A)
    with pytest.raises(NotDifferentiableError, match="bounds"):
        f = lambda x, a: x * a
        grad(lambda a: optimize.minimize_scalar(f, bounds=(0, 1), args=(a,)).x)(1.0)


def test_minimize_scalar():
    f = lambda x, a, b: np.cosh(x - a) + b * x**2
    # x solves sinh(x - a) + 2 b x = 0
    a, b = 0.7, 0.4
    g = grad(lambda a, b: optimize.minimize_scalar(f, args=(a, b)).x)(a, b)
    x = so.brentq(lambda x: np.sinh(x - a) + 2 * b * x, -5, 5)
    curvature = np.cosh(x - a) + 2 * b
    np.testing.assert_allclose(g, (np.cosh(x - a) / curvature, -2 * x / curvature), rtol=1e-6)
    bounded = grad(lambda a: optimize.minimize_scalar(f, bounds=(-2, 2), args=(a, b)).x)(a)[0]
    np.testing.assert_allclose(bounded, g[0], rtol=1e-4)


@pytest.mark.parametrize("loss", ["linear", "soft_l1", "huber", "cauchy", "arctan"])
def test_least_squares(loss):
    t = np.linspace(0, 1, 6)
    y = np.exp(-1.3 * t) + 0.1 * np.sin(9 * t)

    def f(y, t):
        model = lambda p, y, t: p[0] * np.exp(-p[1] * t) - y
        tight = dict(ftol=1e-15, xtol=1e-15, gtol=1e-15)
        jac = lambda p, y, t: np.stack([np.exp(-p[1] * t), -t * p[0] * np.exp(-p[1] * t)], 1)
        return optimize.least_squares(
            model, [1.0, 1.0], jac, args=(y, t), loss=loss, f_scale=0.2, **tight
        )

    order = 2 if loss in ("linear", "cauchy") else 1
    check_grads(lambda y, t: f(y, t).x, (y, t), order=order, rtol=1e-3, atol=1e-3, eps=2e-3)
    check_grads(lambda y: f(y, t).cost, (y,), order=1, rtol=1e-5)


def test_options_by_position():
    curved = lambda x, a: np.stack([x[0] - a, 10.0 * (x[1] - x[0] ** 2)])
    common = (curved, [3.0, -2.0], "2-point", (-np.inf, np.inf), "trf", 1e-8, 1e-8, 1e-8, 1.0)
    few = (*common, "linear", 1.0, None, None, None, None, 2)
    assert optimize.least_squares(*few, args=(1.0,)).nfev == 2
    assert optimize.least_squares(*common, args=(1.0,)).nfev > 2
    plain = so.toms748(SCALAR, 0.0, 3.0, (COEFFICIENTS,), 2, 1e-9, 1e-9, 50, full_output=True)
    found = optimize.toms748(SCALAR, 0.0, 3.0, (COEFFICIENTS,), 2, 1e-9, 1e-9, 50, full_output=True)
    assert found[0] == plain[0] and found[1].iterations == plain[1].iterations
    root = lambda c: optimize.brentq(SCALAR, 0.0, 3.0, (c,), 1e-12, 1e-12, 50, True)[0]
    alone = lambda c: optimize.brentq(SCALAR, 0.0, 3.0, (c,), xtol=1e-12, rtol=1e-12)
    by_position, by_name = grad(root)(COEFFICIENTS)[0], grad(alone)(COEFFICIENTS)[0]
    np.testing.assert_allclose([*by_position.values()], [*by_name.values()], rtol=1e-9)


def test_curve_fit():
    t = np.linspace(0, 1, 6)
    y = 1.5 * np.exp(-1.3 * t) + 0.1 * np.sin(9 * t)
    model = lambda x, a, b: a * np.exp(-b * x)
    s = np.linspace(1, 2, 6)
    for options in ({}, {"absolute_sigma": True, "sigma": s}, {"bounds": (0, 3)}):
        found = jvp(lambda y: optimize.curve_fit(model, t, y, **options), (y,), (y,))[0]
        for a, b in zip(found, so.curve_fit(model, t, y, **options)):
            np.testing.assert_allclose(a, b, rtol=1e-4)
    fit = lambda y, t, s: optimize.curve_fit(model, t, y, (1.0, 1.0), s)
    plain = so.curve_fit(model, t, y, (1.0, 1.0), s)
    moved, eps = jvp(fit, (y, t, s), (t, y, s))[1], 1e-4
    up, down = (
        so.curve_fit(model, t + e * y, y + e * t, (1.0, 1.0), s + e * s) for e in (eps, -eps)
    )
    for m, u, d, p in zip(moved, up, down, plain):
        np.testing.assert_allclose(m, (u - d) / (2 * eps), rtol=1e-3, atol=1e-4 * np.max(np.abs(p)))
