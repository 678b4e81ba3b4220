"""Jacobians, Hessians and products, against closed forms and each other."""

import numpy as np
import pytest

import pycograd as pg
from pycograd import hessian, jacfwd, jacobian, jacrev

A = np.random.default_rng(1).standard_normal((4, 3))
x0 = np.array([0.3, -0.2, 0.5])


@pytest.mark.parametrize("jac", [jacfwd, jacrev, jacobian])
@pytest.mark.parametrize("chunk", [None, 2])
def test_jacobian_of_a_matrix_function(jac, chunk):
    f = lambda x: np.tanh(A @ x)
    expected = (1 - np.tanh(A @ x0) ** 2)[:, None] * A
    np.testing.assert_allclose(jac(f, chunk_size=chunk)(x0), expected)


@pytest.mark.parametrize("jac", [jacfwd, jacrev, jacobian])
def test_trees_and_argnums(jac):
    f = lambda p, y: {"u": p["a"] * y, "v": np.sum(p["b"])}
    p = {"a": 2.0, "b": np.ones(3)}
    y = np.arange(2.0)
    got = jac(f)(p, y)
    np.testing.assert_allclose(got["u"]["a"], y)
    np.testing.assert_allclose(got["u"]["b"], np.zeros((2, 3)))
    np.testing.assert_allclose(got["v"]["b"], np.ones(3))
    by_y = jac(f, argnums=1)(p, y)
    np.testing.assert_allclose(by_y["u"], 2 * np.eye(2))
    both = jac(f, argnums=(1, 0))(p, y)
    np.testing.assert_allclose(both["u"][0], 2 * np.eye(2))
    np.testing.assert_allclose(both["u"][1]["a"], y)


@pytest.mark.parametrize("jac", [jacfwd, jacrev])
def test_matrix_arguments_and_dtypes(jac):
    X = np.arange(6, dtype=np.float32).reshape(2, 3)
    got = jac(lambda X: X.T * 2)(X)
    assert got.shape == (3, 2, 2, 3) and got.dtype == np.float32
    for i in range(3):
        for j in range(2):
            expected = np.zeros((2, 3))
            expected[j, i] = 2
            np.testing.assert_array_equal(got[i, j], expected)


@pytest.mark.parametrize("jac", [jacfwd, jacrev, jacobian])
def test_holomorphic_entries_are_df_dz(jac):
    z = np.array([1.0 + 1.0j, 2.0 - 0.5j])
    np.testing.assert_allclose(jac(lambda z: z * z * 1j)(z), np.diag(2j * z))
    np.testing.assert_allclose(pg.holomorphic_grad(lambda z: z * z * 1j)(z), 2j * z)


@pytest.mark.parametrize("jac", [jacfwd, jacrev, jacobian])
def test_complex_outputs_of_real_arguments_are_whole(jac):
    np.testing.assert_allclose(jac(lambda x: np.exp(1j * x))(x0), np.diag(1j * np.exp(1j * x0)))


@pytest.mark.parametrize("jac", [jacfwd, jacrev, jacobian, pg.elementwise_grad])
def test_real_outputs_of_complex_arguments_have_no_df_dz(jac):
    with pytest.raises(pg.NotDifferentiableError):
        jac(lambda z: np.abs(z) ** 2)(np.array([1.0 + 1.0j]))


def test_make_jvp_matches_trees_by_name():
    f = pg.make_jvp(lambda p: p["a"] * 2.0 + p["b"] * 3.0)({"a": 1.0, "b": 1.0})
    assert f({"b": 1.0, "a": 0.0})[1] == 3.0
    with pytest.raises(pg.TreeMismatchError):
        f([1.0, 0.0])


@pytest.mark.parametrize("jac", [jacfwd, jacrev, jacobian])
def test_aux_and_errors(jac):
    j, aux = jac(lambda x: (x * x, {"x": x}), has_aux=True)(x0)
    np.testing.assert_allclose(j, np.diag(2 * x0))
    np.testing.assert_allclose(aux["x"], x0)
    with pytest.raises(pg.NotDifferentiableError):
        jac(lambda x: x)(3)
    with pytest.raises(pg.NotDifferentiableError):
        jac(lambda x: np.argsort(x))(x0)


def test_hessian_and_hvp():
    f = lambda x: np.sum(np.tanh(A @ x) ** 2)
    h = hessian(f)(x0)
    np.testing.assert_allclose(h, h.T)
    np.testing.assert_allclose(h, jacrev(jacfwd(f))(x0))
    np.testing.assert_allclose(h, jacrev(jacrev(f))(x0))
    v = np.arange(3.0)
    np.testing.assert_allclose(pg.hvp(f)(x0, v), h @ v)
    tree = hessian(lambda p: p["a"] ** 2 * np.sum(p["b"] ** 2))({"a": 2.0, "b": np.ones(2)})
    np.testing.assert_allclose(tree["a"]["b"], [8.0, 8.0])
    np.testing.assert_allclose(tree["b"]["b"], 8 * np.eye(2))
    np.testing.assert_allclose(hessian(lambda a, b: a * b**2, argnums=1)(3.0, 2.0), 6.0)


def test_rosenbrock():
    f = lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    from scipy.optimize import rosen_der, rosen_hess

    x = np.linspace(-1.0, 1.0, 10)
    np.testing.assert_allclose(pg.grad(f)(x)[0], rosen_der(x))
    np.testing.assert_allclose(hessian(f)(x), rosen_hess(x), atol=1e-12)


def test_elementwise_and_by_parts():
    np.testing.assert_allclose(pg.egrad(np.sin)(x0), np.cos(x0))
    np.testing.assert_allclose(pg.egrad(pg.egrad(np.sin))(x0), -np.sin(x0))
    _, t = pg.make_jvp(np.sin)(x0)(x0)
    np.testing.assert_allclose(t, np.cos(x0) * x0)
    pullback, _ = pg.make_vjp(lambda k, x: k * x, 1)(2.0, x0)
    np.testing.assert_allclose(pullback(x0), 2 * x0)


@pytest.mark.parametrize("jac", [jacfwd, jacrev, jacobian])
def test_aux_belongs_to_outer_transforms(jac):
    def f(x):
        return jac(lambda y: (y * y, np.sum(y * 3.0)), has_aux=True)(x)[1]

    np.testing.assert_allclose(pg.grad(f)(x0)[0], [3.0, 3.0, 3.0])
    np.testing.assert_allclose(pg.vmap(f)(np.stack([x0, x0])), [f(x0)] * 2)


@pytest.mark.parametrize("run", [jacfwd, jacrev, jacobian, pg.grad, pg.value_and_grad])
def test_a_forgotten_aux_is_an_error(run):
    with pytest.raises(TypeError, match="must return"):
        run(lambda x: x[:2], has_aux=True)(x0)
    with pytest.raises(TypeError, match="must return"):
        pg.vjp(lambda x: x[:2], x0, has_aux=True)
    with pytest.raises(TypeError, match="must return"):
        pg.jvp(lambda x: x[:2], (x0,), (x0,), has_aux=True)


@pytest.mark.parametrize("make", [jacfwd, jacrev, jacobian, hessian, pg.elementwise_grad])
def test_argnum_is_another_name_of_argnums(make):
    f = lambda x, y: x * y * y
    assert np.isclose(make(f, argnum=1)(3.0, 2.0), make(f, 1)(3.0, 2.0))
    with pytest.raises(TypeError, match="give one"):
        make(f, argnums=1, argnum=0)
