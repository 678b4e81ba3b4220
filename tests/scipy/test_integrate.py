"""`scipy.integrate`: differential equations by the adjoint method, integrals by Leibniz' rule."""

import functools

import numpy as np
import pytest

import pycograd
from pycograd import (
    ClosedOverError,
    NotDifferentiableError,
    ShapeDtypeStruct,
    UnsupportedOperationError,
    check_grads,
    eval_shape,
    grad,
    hessian,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    vjp,
    vmap,
)

si = pytest.importorskip("scipy.integrate")
from pycograd.scipy import integrate  # noqa: E402

rng = np.random.default_rng(0)
T = np.array([0.0, 0.4, 0.5, 1.0])


def spring(y, t, k, tree):
    return [y[1], -k * y[0] - tree["d"][0] * y[1] + np.sin(t)]


def exact(k, y0, t):
    """The solution of y'' = -k y."""
    w = np.sqrt(k)
    return y0[0] * np.cos(w * t) + y0[1] * np.sin(w * t) / w


TREE = {"d": np.array([0.3]), "name": "damping"}
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


# -- differential equations ------------------------------------------------------------------------
def test_odeint_has_scipys_value():
    for y0 in ([1.0, 0.0], np.array([1.0, 0.5])):
        found = vjp(lambda k: integrate.odeint(spring, y0, T, (k, TREE)), 2.0)[0]
        np.testing.assert_array_equal(found, si.odeint(spring, y0, T, (2.0, TREE)))
    first = vjp(lambda k: integrate.odeint(lambda t, y, k: -k * y, 1.0, T, k, tfirst=True), 2.0)[0]
    np.testing.assert_array_equal(first, si.odeint(lambda y, t: -2.0 * y, 1.0, T))


@pytest.mark.parametrize("argument", range(3))
def test_first_derivatives_of_odeint(argument):
    args = (np.array([1.0, 0.5]), T, (2.0, TREE["d"]))

    def f(x):
        y0, t, (k, d) = (x if i == argument else a for i, a in enumerate(args))
        return integrate.odeint(spring, y0, t, (k, {"d": d}), **TIGHT)

    check_grads(f, (args[argument],), order=1, rtol=1e-5, atol=1e-6, eps=1e-3)


@pytest.mark.parametrize("nesting", ["rr", "fr", "rf", "ff"])
def test_second_derivatives_of_odeint(nesting):
    def f(k, y0, t):
        y0 = np.stack([y0, 0.5 * y0])
        return integrate.odeint(
            lambda y, t, k: [y[1], -k * y[0]], y0, np.stack([0.0, t]), (k,), **TIGHT
        )[1, 0]

    point = (1.5, 0.8, 0.7)
    inner = {"r": jacrev, "f": jacfwd}[nesting[1]]
    outer = {"r": jacrev, "f": jacfwd}[nesting[0]]
    found = outer(lambda k, y0, t: np.stack(inner(f, (0, 1, 2))(k, y0, t)), (0, 1, 2))(*point)
    reference = hessian(lambda p: exact(p[0], (p[1], 0.5 * p[1]), p[2]))(np.array(point))
    np.testing.assert_allclose(np.stack(found, 1), reference, rtol=1e-5, atol=1e-7)


def test_rows_and_shapes_of_odeint():
    f = lambda k, y0: integrate.odeint(spring, y0, T, (k, TREE))
    ks, y0s = np.array([1.0, 2.0]), rng.standard_normal((2, 2))
    np.testing.assert_allclose(vmap(f)(ks, y0s)[1], si.odeint(spring, y0s[1], T, (2.0, TREE)))
    each = vmap(grad(lambda k, y0: np.sum(f(k, y0) ** 2)))(ks, y0s)
    one = grad(lambda k, y0: np.sum(f(k, y0) ** 2))(ks[1], y0s[1])
    np.testing.assert_allclose(each[1][1], one[1])
    np.testing.assert_allclose(
        jacobian(f)(2.0, y0s[0]), jacfwd(f)(2.0, y0s[0]), rtol=1e-5, atol=1e-7
    )
    assert eval_shape(f, 1.0, ShapeDtypeStruct((2,))) == ShapeDtypeStruct((4, 2))
    loss = grad(lambda k, y0: np.sum(f(k, y0)))
    assert eval_shape(loss, 1.0, ShapeDtypeStruct((2,)))[1] == ShapeDtypeStruct((2,))


METHODS = ["RK45", "RK23", "DOP853", "LSODA", "Radau", "BDF"]


@pytest.mark.parametrize("method", METHODS)
def test_solve_ivp(method):
    options = {"method": method, "rtol": 1e-6, "atol": 1e-8}
    f = lambda t, y, k, tree: spring(y, t, k, tree)
    given = lambda k: integrate.solve_ivp(
        f, (0, 1.2), [1.0, 0.5], t_eval=T, args=(k, TREE), **options
    )
    value = jvp(lambda k: (given(k).t, given(k).y), (2.0,), (1.0,))[0]
    expected = si.solve_ivp(f, (0, 1.2), [1.0, 0.5], t_eval=T, args=(2.0, TREE), **options)
    np.testing.assert_array_equal(value[0], expected.t)
    np.testing.assert_array_equal(value[1], expected.y)
    slope = grad(lambda k: np.sum(given(k).y ** 2))(2.0)[0]
    forward = jvp(lambda k: np.sum(given(k).y ** 2), (2.0,), (1.0,))[1]
    reference = jvp(
        lambda k: np.sum(integrate.odeint(spring, [1.0, 0.5], T, (k, TREE), **TIGHT) ** 2),
        (2.0,),
        (1.0,),
    )[1]
    np.testing.assert_allclose([slope, forward], reference, rtol=1e-3)


def test_solve_ivp_at_its_own_steps():
    f = lambda t, y, k: -k * y
    run = lambda k, end: integrate.solve_ivp(f, (0.0, end), [1.0], args=(k,), rtol=1e-8, atol=1e-10)
    expected = si.solve_ivp(f, (0.0, 1.0), [1.0], args=(2.0,), rtol=1e-8, atol=1e-10)
    (t, y), (_, dy) = jvp(lambda k: (run(k, 1.0).t, run(k, 1.0).y), (2.0,), (1.0,))
    np.testing.assert_array_equal(t, expected.t)
    np.testing.assert_allclose(y, expected.y, rtol=1e-12)
    np.testing.assert_allclose(dy[0], -t * np.exp(-2 * t), atol=1e-7)
    slopes = grad(lambda k, end: run(k, end).y[0, -1])(2.0, 1.0)
    np.testing.assert_allclose(slopes, [-np.exp(-2), -2 * np.exp(-2)], rtol=1e-6)
    with pytest.raises(UnsupportedOperationError, match="t_eval"):
        vmap(lambda k: run(k, 1.0).y)(np.ones(2))


def test_solve_ivp_backwards_complex_and_vectorized():
    f = lambda t, y, k: 1j * k * y
    run = lambda y0, k: (
        integrate.solve_ivp(f, (1.0, 0.0), y0, t_eval=[0.5, 0.0], args=(k,), rtol=1e-9, atol=1e-9).y
    )
    y0, k = np.array([1.0 + 0.5j]), 1.3
    np.testing.assert_allclose(
        run(y0, k)[0], y0[0] * np.exp(1j * k * np.array([-0.5, -1.0])), rtol=1e-7
    )
    check_grads(run, (y0, k), order=1, rtol=1e-5, atol=1e-5, eps=1e-3)
    twice = lambda t, y, k: np.vstack([y[1], -k * y[0]])
    g = grad(
        lambda k: integrate.solve_ivp(
            twice,
            (0.0, 1.0),
            [1.0, 0.0],
            t_eval=[1.0],
            args=(k,),
            vectorized=True,
            rtol=1e-9,
            atol=1e-9,
        ).y[0, 0]
    )(2.0)[0]
    np.testing.assert_allclose(g, grad(lambda k: exact(k, (1.0, 0.0), 1.0))(2.0)[0], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Excess work")
def test_a_damped_system_is_retraced_in_parts():
    f = lambda y, t, k: -k * (y - np.cos(t))
    t = np.array([0.0, 1.0])
    run = lambda k: integrate.odeint(f, [0.0], t, (k,))[1, 0]
    for k in (3.0, 40.0):
        np.testing.assert_allclose(grad(run)(k)[0], jvp(run, (k,), (1.0,))[1], rtol=1e-3)
    with pytest.raises(NotDifferentiableError, match="retraced"):
        grad(run)(1e6)


def test_unused_output_times_cost_nothing():
    calls = []

    def f(y, t, k):
        calls.append(t)
        return -k * y

    grad(lambda k: integrate.odeint(f, [1.0], np.linspace(0, 1, 3), (k,))[1, 0])(2.0)
    ahead = max(i for i, t in enumerate(calls) if t > 0.6)
    assert all(not isinstance(t, pycograd.core.box.Box) for t in calls)
    assert min(calls[ahead:]) <= 0.5 and all(t < 0.6 for t in calls[ahead + 1 :])


def test_equations_that_use_values_from_outside():
    with pytest.raises(ClosedOverError, match=r"odeint.*args="):
        grad(lambda k: integrate.odeint(lambda y, t: -k * y, 1.0, T)[-1, 0])(1.0)
    with pytest.raises(ClosedOverError, match=r"odeint.*args="):
        grad(
            lambda k: integrate.odeint(functools.partial(lambda k, y, t: -k * y, k), 1.0, T)[-1, 0]
        )(1.0)
    held = []
    with pytest.raises(ClosedOverError, match=r"solve_ivp.*args="):

        def f(k):
            held[:] = [k]
            return integrate.solve_ivp(
                lambda t, y: -held[0] * y, (0, 1), np.ones(1) * k, t_eval=T
            ).y[0, 0]

        grad(f)(1.0)
    with pytest.raises(ClosedOverError, match=r"solve_ivp.*args="):

        def g(k):
            held[:] = [k]
            return integrate.solve_ivp(lambda t, y: -held[0] * y, (0, 1), np.ones(1)).y[0, 0]

        grad(g)(1.0)


def test_what_solvers_refuse():
    decay = lambda t, y, k: -k * y
    for options, word in [
        ({"dense_output": True}, "dense_output"),
        ({"events": lambda t, y, k: y[0] - 0.5}, "events"),
    ]:
        with pytest.raises(UnsupportedOperationError, match=f"{word}.*t_eval"):
            grad(
                lambda k: integrate.solve_ivp(decay, (0, 1), [1.0], args=(k,), **options).y[0, -1]
            )(1.0)
        plain = integrate.solve_ivp(decay, (0, 1), [1.0], args=(1.0,), **options)
        assert plain.sol is not None or plain.t_events is not None
    with pytest.raises(ValueError, match="2 rates for 1"):
        grad(lambda k: integrate.odeint(lambda y, t, k: [k, k], 1.0, T, (k,))[-1, 0])(1.0)
    with pytest.raises(NotDifferentiableError, match="odeint"), pytest.warns(Warning):
        grad(lambda k: integrate.odeint(lambda y, t, k: k * y**2, 1.0, 3 * T, (k,))[-1, 0])(1.0)


# -- integrals -------------------------------------------------------------------------------------
def test_quad():
    f = lambda x, k, tree: np.exp(-k * x) * (1 + tree["a"][1] * np.sin(tree["a"][0] * x))
    args = (0.2, 1.5, 0.7, {"a": np.array([1.2, 0.4])})
    run = lambda a, b, k, tree: integrate.quad(f, a, b, (k, tree))[0]
    assert run(*args) == si.quad(f, *args[:2], args[2:])[0]
    check_grads(run, args)
    np.testing.assert_allclose(
        vmap(run, (0, None, None, None))(np.array([0.1, 0.2]), *args[1:])[1], run(*args)
    )
    infinite = grad(
        lambda k: integrate.quad(lambda x, k: np.exp(-k * x * x), -np.inf, np.inf, k)[0]
    )(2.0)
    np.testing.assert_allclose(infinite, [-0.5 * np.sqrt(np.pi / 8)], rtol=1e-7)
    z = lambda k: integrate.quad(
        lambda x, k: np.exp(1j * k * x), 0.0, 1.0, (k,), complex_func=True
    )[0]
    check_grads(lambda k: np.abs(z(k)) ** 2, (1.3,))
    assert (
        integrate.quad(f, *args[:2], args[2:])[1]
        == vjp(lambda b: integrate.quad(f, 0.2, b, args[2:]), 1.5)[0][1]
    )


def test_what_quad_refuses():
    with pytest.raises(ClosedOverError, match="args="):
        grad(lambda k: integrate.quad(lambda x: k * x, 0, 1)[0])(1.0)
    with pytest.raises(UnsupportedOperationError, match="weight"):
        grad(lambda k: integrate.quad(lambda x, k: k * x, 0, 1, (k,), weight="cos", wvar=1.0)[0])(
            1.0
        )


def test_fixed_quad():
    f = lambda x, k: np.exp(-k * x)
    run = lambda a, b, k: integrate.fixed_quad(f, a, b, (k,), n=6)[0]
    np.testing.assert_allclose(run(0.1, 1.0, 0.7), si.fixed_quad(f, 0.1, 1.0, (0.7,), 6)[0])
    check_grads(run, (0.1, 1.0, 0.7))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 9])
def test_samples(n):
    y, x = rng.standard_normal((n, 2)), np.cumsum(rng.uniform(0.5, 1, n))
    xs = np.cumsum(rng.uniform(0.5, 1, (n, 2)), 0)
    rules = ["trapezoid", "simpson", "cumulative_trapezoid"]
    for name in rules:
        for options in ({}, {"dx": 0.5}, {"x": x}, {"x": xs}):
            ours = lambda y: getattr(integrate, name)(y, axis=0, **options)
            np.testing.assert_allclose(vjp(ours, y)[0], getattr(si, name)(y, axis=0, **options))
            check_grads(ours, (y,), order=1)
        check_grads(lambda y, x: getattr(integrate, name)(y, x=x, axis=0), (y, xs))
    started = lambda y: integrate.cumulative_trapezoid(y, x, axis=0, initial=0)
    np.testing.assert_allclose(vjp(started, y)[0], si.cumulative_trapezoid(y, x, axis=0, initial=0))
    if n in (2, 3, 5, 9):
        np.testing.assert_allclose(
            vjp(lambda y: integrate.romb(y, 0.3, 0), y)[0], si.romb(y, 0.3, 0)
        )
        check_grads(lambda y, dx: integrate.romb(y, dx, 0), (y, 0.3))
    gap = np.array([0.0, 1.0, 1.0, 2.0])
    if n == 4:
        np.testing.assert_allclose(
            vjp(lambda y: integrate.simpson(y, gap, axis=0), y)[0], si.simpson(y, gap, axis=0)
        )
