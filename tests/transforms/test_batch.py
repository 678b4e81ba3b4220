"""`vmap`: axes, trees, chunks, nesting, errors."""

import numpy as np
import pytest

import pycograd as pg
from pycograd import grad, jacfwd, jacrev, vmap

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 3))
W = RNG.standard_normal((3, 2))


def test_in_axes_of_every_form():
    f = lambda x, w: np.tanh(x @ w)
    expected = np.tanh(X @ W)
    np.testing.assert_allclose(vmap(f, (0, None))(X, W), expected)
    np.testing.assert_allclose(vmap(f, (1, None))(X.T, W), expected)
    np.testing.assert_allclose(vmap(f, (-1, None))(X.T, W), expected)
    np.testing.assert_allclose(vmap(f, [0, None])(X, W), expected)
    np.testing.assert_allclose(
        vmap(lambda p: f(p["x"], p["w"]), ({"x": 0, "w": None},))({"x": X, "w": W}), expected
    )
    np.testing.assert_allclose(vmap(lambda x, *, w: x * w)(X, w=X), X * X)


def test_out_axes():
    np.testing.assert_allclose(vmap(lambda x: x * 2, out_axes=1)(X), (X * 2).T)
    a, b, c = vmap(lambda x: (x, np.sum(x), 7.0), out_axes=(-1, 0, None))(X)
    assert a.shape == (3, 5) and b.shape == (5,) and c == 7.0
    np.testing.assert_allclose(vmap(lambda x: 7.0)(X), np.full(5, 7.0))
    with pytest.raises(pg.BatchError, match="out_axes"):
        vmap(lambda x: x, out_axes=None)(X)


def test_axis_size_alone():
    np.testing.assert_allclose(vmap(lambda x: x + 1, None, axis_size=3)(1.0), [2.0, 2.0, 2.0])


@pytest.mark.parametrize("chunk", [1, 2, 5, 9])
def test_chunks(chunk):
    f = lambda x, w: (np.tanh(x @ w), 1.0)
    out, one = vmap(f, (0, None), chunk_size=chunk)(X, W)
    np.testing.assert_allclose(out, np.tanh(X @ W))
    assert one.shape == (5,)


def test_per_example_gradients():
    loss = lambda w, x: np.sum(np.tanh(x @ w) ** 2)
    (dw,) = pg.per_example_grad(loss, (None, 0), argnums=(0,))(W, X)
    for i in range(5):
        np.testing.assert_allclose(dw[i], grad(loss, 0)(W, X[i]))
    second = vmap(grad(loss, argnums=1), (None, 0))(W, X)
    for i in range(5):
        np.testing.assert_allclose(second[i], grad(loss, 1)(W, X[i]))


def test_grad_inside_and_outside():
    f = lambda x: np.sum(np.sin(x) * x)
    inside = vmap(lambda x: grad(f)(x)[0])(X)
    outside = grad(lambda X: np.sum(vmap(f)(X)))(X)[0]
    np.testing.assert_allclose(inside, outside)
    np.testing.assert_allclose(vmap(jacrev(lambda x: x * x))(X), vmap(jacfwd(lambda x: x * x))(X))


def test_nested_vmap():
    out = vmap(lambda x: vmap(lambda y: np.sum(x * y))(X))(X)
    np.testing.assert_allclose(out, X @ X.T)


def test_plain_tables_and_indices():
    table = RNG.standard_normal((7, 3))
    index = np.array([3, 3, 0])
    np.testing.assert_array_equal(vmap(lambda t, i: t[i], (None, 0))(table, index), table[index])


def test_errors_name_the_arguments():
    with pytest.raises(pg.BatchError, match=r"argument 0 has 5.*argument 1 has 3"):
        vmap(lambda x, w: 1.0)(X, W)
    with pytest.raises(pg.BatchError, match="no axis 0"):
        vmap(lambda x, k: x)(X, 3.0)
    with pytest.raises(pg.BatchError, match="axis_size"):
        vmap(lambda x: x, None)(X)
    with pytest.raises(pg.BatchError, match="2 entries for 1"):
        vmap(lambda x: x, (0, 0))(X)


def test_branches_on_mapped_values_raise():
    with pytest.raises(pg.ControlFlowError, match="where"):
        vmap(lambda x: x if x > 0 else -x)(np.ones(3))
    with pytest.raises(pg.ControlFlowError):
        vmap(lambda x: x if np.all(x > 0) else -x)(X)
    assert vmap(lambda x, flag: x if flag else -x, (0, None))(np.ones(2), np.True_).sum() == 2.0


def test_rows_share_constants_that_convert():
    out = vmap(lambda x, n: x[: int(n)], (0, None))(X, np.array(2))
    assert out.shape == (5, 2)


@pytest.mark.parametrize("out_axes", [3, -3, 1.5, (3,), "a"])
def test_an_output_has_no_such_axis(out_axes):
    f = (lambda a: (a,)) if isinstance(out_axes, tuple) else (lambda a: a)
    with pytest.raises(pg.BatchError, match=r"vmap of <lambda>: out_axes .*test_batch.py"):
        pg.vmap(f, out_axes=out_axes)(np.ones((4, 3)))
