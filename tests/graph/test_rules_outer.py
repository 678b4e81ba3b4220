"""Gradients of single samples whose norms and sums need no outer products."""

import math

import numpy as np
import pytest

from pycograd import capture, grad, jit, nn, optimize, vmap

SAMPLES = 7


def loss(params, x, y):
    w1, b1, w2 = params
    return nn.cross_entropy(nn.relu(x @ w1 + b1) @ w2, y)


def drawn(rng, dtype="f8"):
    params = [rng.standard_normal(shape).astype(dtype) for shape in ((5, 6), (6,), (6, 3))]
    return params, rng.standard_normal((SAMPLES, 5)).astype(dtype), rng.integers(0, 3, SAMPLES)


def largest(f, *args):
    """The entries of the largest array that a compiled function makes."""
    graph = optimize(capture(f, *args))
    return max(math.prod(v.shape) for e in graph.equations for v in e.outs)


SQUARES = {
    "sum of products": lambda g: np.sum(g * g, axis=tuple(range(1, g.ndim))),
    "sum of squares": lambda g: np.sum(np.square(g), axis=tuple(range(1, g.ndim))),
    "rows": lambda g: np.sum(g.reshape(SAMPLES, -1) ** 2, axis=1),
    "einsum": lambda g: np.einsum("abc,abc->a" if g.ndim == 3 else "ab,ab->a", g, g),
    "einsum of rows": lambda g: np.einsum("ij,ij->i", *[g.reshape(SAMPLES, -1)] * 2),
    "norm": lambda g: np.linalg.norm(g.reshape(SAMPLES, -1), axis=1) ** 2,
}
SUMS = {
    "tensordot": lambda s, g: np.tensordot(s, g, 1),
    "einsum": lambda s, g: np.einsum("i,i...->...", s, g),
    "reshaped": lambda s, g: np.sum(np.reshape(s, (-1,) + (1,) * (g.ndim - 1)) * g, axis=0),
    "indexed": lambda s, g: np.sum(g * s[(..., *[None] * (g.ndim - 1))], 0),
    "rows": lambda s, g: (s @ g.reshape(SAMPLES, -1)).reshape(g.shape[1:]),
    "unweighted": lambda s, g: np.sum(g, axis=0) * np.sum(s) / SAMPLES,
}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "squared, summed",
    [*[(name, "tensordot") for name in SQUARES], *[("einsum", name) for name in SUMS]],
)
def test_clipped_gradients_of_samples(squared, summed, dtype, rng):
    """As a loop over the samples has them, without their outer products."""
    params, x, y = drawn(rng, dtype)
    many = vmap(grad(loss, argnums=0), in_axes=(None, 0, 0))

    def clipped(params, x, y):
        found = many(params, x, y)
        length = np.sqrt(sum([SQUARES[squared](g) for g in found]))
        scale = np.minimum(1, 0.5 / length)
        return [SUMS[summed](scale, g) for g in found], length

    singles = [grad(loss, argnums=0)(params, x[i], y[i]) for i in range(SAMPLES)]
    lengths = np.array([math.sqrt(sum(float(np.vdot(g, g)) for g in each)) for each in singles])
    scales = np.minimum(1, 0.5 / lengths)
    scales = np.full(SAMPLES, scales.mean()) if summed == "unweighted" else scales
    sums, found = jit(clipped)(params, x, y)
    rtol = 1e-12 if dtype == "f8" else 1e-4
    assert found.dtype == dtype
    np.testing.assert_allclose(found, lengths, rtol=rtol)
    for k, total in enumerate(sums):
        expected = sum([s * each[k] for s, each in zip(scales, singles)])
        assert total.dtype == dtype
        np.testing.assert_allclose(total, expected, rtol=rtol, atol=rtol)
    assert largest(clipped, params, x, y) <= SAMPLES * 6


def outer(x, y):
    return np.einsum("ca,cb->cab", x, y)


@pytest.mark.parametrize(
    "f",
    [
        lambda g: np.sum(g * g, axis=1),
        lambda g: np.sum(g * g, axis=0),
        lambda g: np.sum(g * g),
        lambda g: np.sum(g, axis=1),
        lambda g: np.sum(g * np.arange(4.0), axis=0),
        lambda g: np.sum(g * np.arange(3.0)[:, None], axis=0),
        lambda g: np.einsum("abc,abc->b", g, g),
        lambda g: np.einsum("abc,acb->a", g[:, :, :3], g[:, :, 1:]),
        lambda g: np.sum(g.reshape(5, -1) ** 2, axis=0),
        lambda g: np.sum(g.reshape(15, 4) ** 2, axis=1),
        lambda g: np.ones((2, 5)) @ g.reshape(5, 12),
        lambda g: np.arange(15.0) @ g.reshape(15, 4),
    ],
)
def test_other_sums_of_outer_products_are_right(f, rng):
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 4))
    g = x[:, :, None] * y[:, None, :]
    np.testing.assert_allclose(jit(lambda x, y: f(outer(x, y)))(x, y), f(g), rtol=1e-11)


@pytest.mark.parametrize(
    "f",
    [
        lambda s, g: s @ g,
        lambda s, g: s[None, :] @ g,
        lambda s, g: s @ g.reshape(4, 12),
        lambda s, g: s @ g.reshape(4, 4, 3),
        lambda s, g: np.tensordot(s, g, 1),
        lambda s, g: np.einsum("b,abc->ac", s, g),
        lambda s, g: np.sum(s[:, None] * g, axis=1),
        lambda s, g: np.sum(s[:, None] * g, axis=0),
    ],
)
def test_sums_over_another_axis_of_the_same_size(f, rng):
    """As many samples as entries: no shape tells which of them a sum goes over."""
    s, x, y = (rng.standard_normal(shape) for shape in ((4,), (4, 4), (4, 3)))
    expected = f(s, x[:, :, None] * y[:, None, :])
    found = jit(lambda s, x, y: f(s, outer(x, y)))(s, x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_norms_overflow_only_where_the_entries_squares_do():
    x = np.array([[1e30, 1e29], [0, 0], [1e-30, 0], [1e30, 1]], np.float32)
    y = np.array([[1e-30, 2e-30, 0], [1, 2, 3], [1e30, 0, 1e30], [1e30, 0, 0]], np.float32)
    with np.errstate(over="ignore"):
        found = jit(lambda x, y: np.sum(outer(x, y) ** 2, axis=(1, 2)))(x, y)
    np.testing.assert_allclose(found, [1.01 * 5, 0, 2, np.inf], rtol=1e-5)


def test_exact_programs_keep_their_outer_products(rng):
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 4))
    graph = optimize(capture(lambda x, y: np.sum(outer(x, y), 0), x, y), licence="exact")
    assert "einsum" in [e.primitive.name for e in graph.equations]


@pytest.mark.parametrize(
    ("rows", "others"), [((1, 2), (3, 4)), ((3, 2), (1, 4)), ((3, 0), (3, 4)), ((0, 2), (0, 3))]
)
def test_a_row_that_repeats_and_rows_without_entries(rows, others, rng):
    x, y = rng.standard_normal(rows), rng.standard_normal(others)
    s = rng.standard_normal(max(rows[0], others[0]))
    g = x[:, :, None] * y[:, None, :]
    for f in (
        lambda s, g: np.sum(g * g, axis=(1, 2)),
        lambda s, g: np.sum(g.reshape(len(s), g[0].size if len(s) else 5) ** 2, axis=1),
        lambda s, g: np.sum(g.reshape(len(s), g[0].size if len(s) else 5), axis=0),
        lambda s, g: np.einsum("abc,abc->a", g, g),
        lambda s, g: np.sum(g, axis=0),
        lambda s, g: np.sum(s[:1, None, None] * g, axis=0),
        lambda s, g: np.einsum("a,abc->bc", s, g),
        lambda s, g: s @ g.reshape(len(s), g[0].size if len(s) else 5),
    ):
        found = jit(lambda s, x, y, f=f: f(s, outer(x, y)))(s, x, y)
        np.testing.assert_allclose(found, f(s, g), rtol=1e-12, atol=1e-14)


def test_a_product_with_a_number_is_no_outer_product(rng):
    f = lambda s, x, y: s @ np.einsum(",abc->abc", y, x).reshape(3, 4)
    s, x = rng.standard_normal(3), rng.standard_normal((3, 2, 2))
    np.testing.assert_allclose(jit(f)(s, x, np.float64(2.0)), s @ (2 * x).reshape(3, 4))
