"""Jacobians, Hessians and products, against closed forms and each other."""

import pickle

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


def scaled(p, y, *, k=1.0):
    return np.sum(p["a"] ** 2 * y * k**3)


CHOSEN = [
    ({}, lambda p, y, k: p),
    ({"argnums": 1}, lambda p, y, k: y),
    ({"argnum": -1}, lambda p, y, k: y),
    ({"argnums": (1, 0)}, lambda p, y, k: (y, p)),
    ({"argnum": [0]}, lambda p, y, k: (p,)),
    ({"argnames": "k"}, lambda p, y, k: {"k": k}),
    ({"argnums": 0, "argnames": ("k",)}, lambda p, y, k: (p, {"k": k})),
    ({"argnums": None}, lambda p, y, k: (p, y)),
]


@pytest.mark.parametrize("options, pick", CHOSEN)
def test_arguments_are_chosen_alike_everywhere(options, pick):
    p, y, k = {"a": np.array([1.0, 2.0])}, np.array([0.5, -1.0]), np.array(1.5)
    x = pick(p, y, k)
    v = pg.tree_map(np.cos, x)

    def along(t):  # the arguments moved by t
        moved = {id(leaf): leaf + t * np.cos(leaf) for leaf in pg.tree_leaves(x)}
        get = lambda leaf: moved.get(id(leaf), leaf)
        return scaled({"a": get(p["a"])}, get(y), k=get(k))

    slope = pg.jvp(along, (0.0,), (1.0,))[1]
    inner = lambda g: sum(np.sum(a * b) for a, b in zip(*map(pg.tree_leaves, (g, v)), strict=True))
    gradients = {
        "jacrev": jacrev(scaled, **options)(p, y, k=k),
        "jacfwd": jacfwd(scaled, **options)(p, y, k=k),
        "jacobian": jacobian(scaled, **options)(p, y, k=k),
        "egrad": pg.egrad(scaled, **options)(p, y, k=k),
        "make_vjp": pg.make_vjp(scaled, **options)(p, y, k=k)[0](1.0),
    }
    for found in gradients.values():
        assert pg.tree_structure(found) == pg.tree_structure(x)
        np.testing.assert_allclose(inner(found), slope)
    np.testing.assert_allclose(pg.make_jvp(scaled, **options)(p, y, k=k)(v)[1], slope)
    others = [a for a in (p, y) if not any(a is b for b in (x, *(x if type(x) is tuple else ())))]
    by_name = {} if "argnames" in options else {"k": k}
    product = pg.hvp(scaled, **options)(x, v, *others, **by_name)
    assert pg.tree_structure(product) == pg.tree_structure(x)
    curved = pg.jvp(lambda t: pg.jvp(along, (t,), (1.0,))[1], (0.0,), (1.0,))[1]
    np.testing.assert_allclose(inner(product), curved)
    leaves = pg.tree_leaves(x)
    blocks = pg.tree_leaves(pg.hessian(scaled, **options)(p, y, k=k))
    n = len(leaves)
    assert len(blocks) == n * n
    moves = pg.tree_leaves(v)
    rows = [
        sum(np.tensordot(blocks[n * i + j], moves[j], moves[j].ndim) for j in range(n))
        for i in range(n)
    ]
    for row, expected in zip(rows, pg.tree_leaves(product), strict=True):
        np.testing.assert_allclose(row, expected)


@pytest.mark.parametrize(
    "transform",
    [
        jacrev, jacfwd, jacobian, hessian, pg.hvp, pg.egrad, pg.holomorphic_grad, pg.make_jvp,
        pg.make_vjp, pg.grad, pg.value_and_grad,
    ],
)  # fmt: skip
def test_argnum_and_argnums_are_one_thing(transform):
    name = {pg.egrad: "elementwise_grad"}.get(transform, transform.__name__)
    with pytest.raises(TypeError, match=rf"^{name}: argnum= and argnums= .*test_derivatives"):
        transform(np.sum, argnums=0, argnum=0)
    with pytest.raises(TypeError, match=rf"^{name}: argnums is an int or a sequence"):
        transform(np.sum, argnums="a")
    again = pickle.loads(pickle.dumps(transform(np.sum, argnames="k")))
    assert again._options == transform(np.sum, argnames="k")._options


def test_holomorphic_grad_of_several():
    z = np.array([1.0 + 1.0j])
    a, b = pg.holomorphic_grad(lambda z, w: z * z * w, argnums=(0, 1))(z, 2 * z)
    np.testing.assert_allclose(a, 4 * z * z)
    np.testing.assert_allclose(b, z * z)
    with pytest.raises(pg.NotDifferentiableError, match="argument 1 is not complex"):
        pg.holomorphic_grad(lambda z, w: z * w, argnums=(0, 1))(z, 1.0)


@pytest.mark.parametrize("numbers", [(0, 5), (0, 1, 2), 3])
def test_hvp_of_arguments_that_are_not_there(numbers):
    with pytest.raises(TypeError):
        pg.hvp(lambda x, y: x * y, argnums=numbers)((1.0, 2.0), (1.0, 1.0))


def test_maps_made_at_a_point_stay_there():
    x, w = np.arange(1.0, 4.0), np.array([1.0, 2.0, 3.0])
    push = pg.make_jvp(lambda x, w: x * x * w)(x, w)
    pullback, out = pg.make_vjp(lambda x, w: np.exp(x) * w)(x, w)
    y, u = x.copy(), w.copy()
    x += 1.0
    w *= 2.0
    out += 1.0
    np.testing.assert_allclose(push(np.ones(3))[1], 2 * y * u)
    np.testing.assert_allclose(pullback(np.ones(3)), np.exp(y) * u)
