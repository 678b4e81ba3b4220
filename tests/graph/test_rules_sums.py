"""Sums of products over long trailing axes: one product of matrices, the same numbers."""

import numpy as np
import pytest

from pycograd import ShapeDtypeStruct, capture, grad, optimize, vmap


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(
    "shape, axis", [((3, 200), 1), ((3, 10, 20), (1, 2)), ((0, 200), 1), ((2, 3, 130), -1)]
)
def test_long_rows_become_a_product(shape, axis, keepdims, rng):
    x, y = rng.standard_normal(shape), rng.standard_normal(shape)
    graph = optimize(capture(lambda x, y: np.sum(x * y, axis, keepdims=keepdims), x, y))
    assert "matmul" in [e.primitive.name for e in graph.equations]
    (actual,) = graph.evaluate([x, y])
    expected = np.einsum("...,...->...", x, y).sum(axis, keepdims=keepdims)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.mark.parametrize("shape, axis", [((3, 20), 1), ((200, 3), 0), ((3, 200), ())])
def test_short_rows_and_other_axes_stay(shape, axis, rng):
    x = rng.standard_normal(shape)
    graph = optimize(capture(lambda x: np.sum(x * x, axis), x))
    assert "matmul" not in [e.primitive.name for e in graph.equations]
    np.testing.assert_allclose(graph.evaluate([x])[0], np.sum(x * x, axis))


def test_symbolic_rows():
    graph = optimize(capture(lambda x: np.sum(x * x, 1), ShapeDtypeStruct(("B", 200))))
    x = np.arange(600.0).reshape(3, 200)
    np.testing.assert_allclose(graph.evaluate([x])[0], np.sum(x * x, 1))


@pytest.mark.parametrize("dtypes", [("f8", "f8"), ("f4", "f4"), ("f4", "f8"), ("f2", "f2")])
def test_one_outer_product_for_each_example(dtypes, rng):
    x = rng.standard_normal((5, 1, 3)).astype(dtypes[0])
    w = rng.standard_normal((3, 2)).astype(dtypes[1])
    f = lambda w, x: np.sum(np.tanh(x @ w))
    found = vmap(grad(f, argnums=0), in_axes=(None, 0))(w, x)
    for i in range(5):
        expected = grad(f, argnums=0)(w, x[i])
        assert found[i].dtype == expected.dtype
        np.testing.assert_allclose(found[i], expected, rtol=1e-2 if "f2" in dtypes else 1e-5)


def test_a_softmax_of_long_rows_keeps_no_cotangent_of_its_maximum(rng):
    """The rules that know a softmax by its sums are not in the way of those for long rows."""

    def loss(x, v):
        e = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return np.sum((e / np.sum(e, axis=-1, keepdims=True)) @ v)

    def kinds(length):
        x, v = rng.standard_normal((3, length)), rng.standard_normal((length, 2))
        graph = optimize(capture(grad(loss, argnums=0), x, v))
        np.testing.assert_allclose(graph.evaluate([x, v])[0], grad(loss, argnums=0)(x, v))
        return {e.primitive.name for e in graph.equations}

    assert not kinds(20) & {"where", "equal"}
    assert not kinds(200) & {"where", "equal"}
