"""Linear maps, embeddings, dropout, normalisation and attention, against PyTorch."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from pycograd import capture, jit, nn, random
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch, a second oracle, is not installed")


def compare(ours, theirs, *xs):
    """Values, gradients and gradients of gradients in every argument."""
    tensors = [torch.tensor(x, requires_grad=True) for x in xs]
    y = theirs(*tensors)
    w = np.cos(np.arange(y.numel())).reshape(y.shape)
    slopes = torch.autograd.grad((y * torch.tensor(w)).sum(), tensors, create_graph=True)
    squared = sum(s.square().sum() for s in slopes)
    bends = torch.autograd.grad(squared, tensors, allow_unused=True, materialize_grads=True)
    loss = lambda *xs: np.sum(ours(*xs) * w)
    np.testing.assert_allclose(ours(*xs), y.detach().numpy(), rtol=1e-11, atol=1e-13)
    for g, s in zip(grad(loss)(*xs), slopes):
        np.testing.assert_allclose(g, s.detach().numpy(), rtol=1e-9, atol=1e-12)
    squares = lambda *xs: sum(np.sum(g * g) for g in grad(loss)(*xs))
    for g, b in zip(grad(squares)(*xs), bends):
        np.testing.assert_allclose(g, b.numpy(), rtol=1e-8, atol=1e-11)


# -- linear, one_hot, embedding -------------------------------------------------------------------
@needs_torch
def test_linear_is_torchs(rng):
    for shape in ((3,), (5, 3), (2, 5, 3)):
        x, w, b = rng.standard_normal(shape), rng.standard_normal((3, 4)), rng.standard_normal(4)
        compare(nn.linear, lambda x, w, b: F.linear(x, w.T, b), x, w, b)


def test_linear(rng):
    x, w, b = rng.standard_normal((2, 5, 3)), rng.standard_normal((3, 4)), rng.standard_normal(4)
    np.testing.assert_array_equal(nn.linear(x, w), x @ w)
    np.testing.assert_array_equal(nn.linear(x, w, b), x @ w + b)
    with pytest.raises(ShapeError, match=r"incompatible shapes \(5, 3\) and \(4, 3\)"):
        grad(lambda w: np.sum(nn.linear(np.ones((5, 3)), w)))(w.T)


def test_one_hot():
    i = np.array([[2, 0], [1, 1]])
    np.testing.assert_array_equal(nn.one_hot(i, 3), np.eye(3)[i])
    assert nn.one_hot(i, 3).dtype == np.float64
    assert nn.one_hot(i, 3, dtype="f32").dtype == np.float32
    np.testing.assert_array_equal(vmap(lambda i: nn.one_hot(i, 3))(i), nn.one_hot(i, 3))
    with pytest.raises(ValueError, match="one_hot: indices from 0 to 2, rows of 2"):
        nn.one_hot(i, 2)
    with pytest.raises(ValueError, match="one_hot: indices from -1"):
        nn.one_hot(-1, 2)
    with pytest.raises(TypeError, match="one_hot: indices and labels are integers, not float64"):
        nn.one_hot(np.ones(2), 2)


def test_a_padding_that_is_no_row(rng):
    table = rng.standard_normal((5, 3))
    for wrong in (5, -6):
        with pytest.raises(ValueError, match=f"padding_idx={wrong} is not one of the 5 rows"):
            nn.embedding(table, np.zeros(2, int), padding_idx=wrong)


@pytest.mark.parametrize("padding_idx", [None, 0, 3, -1])
def test_embedding(padding_idx, rng):
    table, i = rng.standard_normal((5, 3)), np.array([[0, 3, 3], [4, 0, 1]])
    ours = lambda t: nn.embedding(t, i, padding_idx=padding_idx)
    w = rng.standard_normal((2, 3, 3))
    np.testing.assert_array_equal(ours(table), table[i])
    expected = np.zeros_like(table)
    np.add.at(expected, i, w)
    if padding_idx is not None:
        expected[padding_idx] = 0
    np.testing.assert_allclose(grad(lambda t: np.sum(ours(t) * w))(table)[0], expected)
    rows = vmap(lambda t, i: nn.embedding(t, i, padding_idx), (None, 0))(table, i)
    np.testing.assert_array_equal(rows, ours(table))


@pytest.mark.parametrize("padding_idx", [None, 3])
def test_embedding_in_a_plain_table_of_indices_that_are_traced(padding_idx, rng):
    table, i = rng.standard_normal((5, 3)), np.array([[0, 3, 3], [4, 0, 1]])
    ours = lambda i: nn.embedding(table, i, padding_idx)
    for found in (vmap(ours)(i), jit(ours)(i), capture(ours, i)(i)):
        np.testing.assert_array_equal(found, table[i])
    assert eval_shape(ours, i) == ShapeDtypeStruct((2, 3, 3), np.float64)


def test_embedding_refuses_what_is_no_index():
    table = np.ones((3, 2))
    with pytest.raises(TypeError, match="embedding: indices and labels are integers"):
        nn.embedding(table, np.array([0.0]))
    with pytest.raises(IndexError):
        grad(lambda t: np.sum(nn.embedding(t, np.array([3]))))(table)


# -- dropout --------------------------------------------------------------------------------------
def test_dropout_keeps_the_mean_and_replays():
    x, key = np.full(100_000, 2.0), random.key(0)
    y = nn.dropout(x, 0.25, key=key)
    assert set(np.unique(y)) == {0.0, 2.0 / 0.75}
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.01)
    np.testing.assert_array_equal(nn.dropout(x, 0.25, key=key), y)
    assert np.any(nn.dropout(x, 0.25, key=random.key(1)) != y)
    (g,) = grad(lambda x: np.sum(nn.dropout(x, 0.25, key=key)))(x)
    np.testing.assert_array_equal(g, y / 2)


def test_dropout_edges():
    x, key = np.array([1.0, np.inf, np.nan]), random.key(0)
    assert nn.dropout(x, 0.5, training=False) is x
    assert nn.dropout(x, 0.0) is x
    np.testing.assert_array_equal(nn.dropout(x, 1.0, key=key), 0.0)
    np.testing.assert_array_equal(
        nn.dropout(np.full(50, np.inf), 0.5, key=key) == 0,
        [v == 0 for v in nn.dropout(np.ones(50), 0.5, key=key)],
    )
    assert nn.dropout(np.ones(4, np.float32), 0.5, key=key).dtype == np.float32
    with pytest.raises(ValueError, match="needs key="):
        nn.dropout(x, 0.5)
    with pytest.raises(ValueError, match=r"p must be from 0 to 1, not 1\.5"):
        nn.dropout(x, 1.5, key=key)


def test_dropout_under_vmap():
    x, keys = np.ones((3, 8)), random.split(random.key(0), 3)
    f = lambda x, key: nn.dropout(x, 0.5, key=key)
    np.testing.assert_array_equal(vmap(f)(x, keys), [f(a, k) for a, k in zip(x, keys)])
    shared = vmap(f, (0, None))(x, keys[0])
    np.testing.assert_array_equal(shared, [f(a, keys[0]) for a in x])


# -- layer_norm -----------------------------------------------------------------------------------
def test_layer_norm(rng):
    x, gamma, beta = rng.standard_normal((2, 3, 5)), rng.standard_normal(5), rng.standard_normal(5)
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(nn.layer_norm(x, gamma, beta), y * gamma + beta)
    y = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 0.1)
    np.testing.assert_allclose(nn.layer_norm(x, axis=(1, 2), eps=0.1), y)
    per_row = vmap(nn.layer_norm, (0, None, None))(x, gamma, beta)
    np.testing.assert_allclose(per_row, nn.layer_norm(x, gamma, beta))


@needs_torch
def test_layer_norm_is_torchs(rng):
    x, gamma, beta = rng.standard_normal((2, 3, 5)), rng.standard_normal(5), rng.standard_normal(5)
    compare(nn.layer_norm, lambda x, g, b: F.layer_norm(x, (5,), g, b), x, gamma, beta)
    compare(lambda x: nn.layer_norm(x, eps=0.1), lambda x: F.layer_norm(x, (5,), eps=0.1), x)
    compare(lambda x: nn.layer_norm(x, axis=(1, 2)), lambda x: F.layer_norm(x, (3, 5)), x)


def test_layer_norm_of_constant_rows_and_dtypes():
    x = np.full((2, 3), 7.0)
    np.testing.assert_array_equal(nn.layer_norm(x), 0.0)
    assert np.isfinite(grad(lambda x: np.sum(nn.layer_norm(x) ** 3))(x)[0]).all()
    x32 = np.arange(6, dtype=np.float32).reshape(2, 3)
    f = lambda x: np.sum(nn.layer_norm(x, np.ones(3, np.float32)))
    assert f(x32).dtype == grad(f)(x32)[0].dtype == np.float32
    assert str(eval_shape(nn.layer_norm, ShapeDtypeStruct(("B", 3), "f32"))) == "f32[B,3]"
    unchanged = x32.copy()
    nn.layer_norm(x32)
    np.testing.assert_array_equal(x32, unchanged)


# -- attention ------------------------------------------------------------------------------------
def arrays(rng, *lead):
    return [rng.standard_normal((*lead, n, d)) for n, d in ((3, 4), (5, 4), (5, 2))]


KEEP = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1]], bool)


@needs_torch
def test_attention_is_torchs(rng):
    ours, theirs = nn.scaled_dot_product_attention, F.scaled_dot_product_attention
    added = rng.standard_normal((3, 5))
    options = [
        ({}, {}),
        ({"mask": KEEP}, {"attn_mask": torch.tensor(KEEP)}),
        ({"mask": added}, {"attn_mask": torch.tensor(added)}),
        ({"causal": True}, {"is_causal": True}),
    ]
    for lead in ((), (2,), (2, 3)):
        for o, t in options:
            f, g = functools.partial(ours, **o), functools.partial(theirs, **t)
            compare(f, g, *arrays(rng, *lead))


def test_attention(rng):
    """Query by query: the values of the keys it keeps, weighted by exp(q k / sqrt(d))."""
    ours, added = nn.scaled_dot_product_attention, rng.standard_normal((3, 5))
    causal = np.tri(3, 5, dtype=bool)
    q, k, v = arrays(rng)
    for options, keep, bias in (
        ({}, np.ones((3, 5), bool), 0 * added),
        ({"mask": KEEP}, KEEP, 0 * added),
        ({"mask": added}, np.ones((3, 5), bool), added),
        ({"causal": True}, causal, 0 * added),
        ({"causal": True, "mask": KEEP | causal}, causal, 0 * added),
        ({"causal": True, "mask": added}, causal, added),
    ):
        out = ours(q, k, v, **options)
        for i in range(3):
            w = np.array([np.exp(q[i] @ k[j] / 2 + bias[i, j]) * keep[i, j] for j in range(5)])
            np.testing.assert_allclose(out[i], w @ v / w.sum())
    q, k, v = arrays(rng, 2)
    np.testing.assert_allclose(vmap(ours)(q, k, v), ours(q, k, v))
    np.testing.assert_allclose(vmap(ours, (0, None, None))(q, k[0], v[0]), ours(q, k[0], v[0]))


def test_a_query_that_may_see_nothing_gets_zeros(rng):
    q, k, v = arrays(rng)
    keep = np.ones((3, 5), bool)
    keep[1] = False
    with np.errstate(all="raise", under="ignore"):
        f = lambda *x: nn.scaled_dot_product_attention(*x, mask=keep)
        out, pullback = vjp(f, q, k, v)
        np.testing.assert_array_equal(out[1], 0.0)
        np.testing.assert_allclose(out[[0, 2]], nn.scaled_dot_product_attention(q, k, v)[[0, 2]])
        grads = pullback(np.ones((3, 2)))
    assert all(np.isfinite(g).all() for g in grads)
    np.testing.assert_array_equal(grads[0][1], 0.0)


def test_attention_dtypes_shapes_and_mistakes(rng):
    q, k, v = (x.astype(np.float32) for x in arrays(rng))
    f = nn.scaled_dot_product_attention
    for options in ({}, {"causal": True}, {"mask": np.ones((3, 5), bool)}):
        loss = lambda *x, o=options: np.sum(f(*x, **o))
        assert f(q, k, v, **options).dtype == np.float32
        assert all(g.dtype == np.float32 for g in grad(loss)(q, k, v))
    batch = [ShapeDtypeStruct(("B", 3, 4))] * 3
    assert str(eval_shape(lambda *x: f(*x, causal=True), *batch)) == "f64[B,3,4]"
    with pytest.raises(ShapeError, match="incompatible shapes"):
        grad(lambda q: np.sum(f(q, k, v)))(q[:, :3])
    with pytest.raises(ShapeError, match="two axes or more"):
        f(q[0], k, v)


def test_lists_are_arrays():
    np.testing.assert_array_equal(nn.linear([[1.0, 2.0]], [[1.0], [2.0]]), [[5.0]])
    dropped = nn.dropout([1.0, 2.0], 0.5, key=random.key(0))
    np.testing.assert_array_equal(dropped, nn.dropout(np.array([1.0, 2.0]), 0.5, key=random.key(0)))


def test_dropout_takes_one_key_and_gives_floats():
    with pytest.raises(ShapeError, match="key= is one key, not an array of them"):
        nn.dropout(np.ones(3), 0.5, key=random.split(random.key(0), 3))
    for p in (0.5, 1.0):
        assert nn.dropout(np.ones(3, int), p, key=random.key(0)).dtype == np.float64
    with pytest.raises(TypeError, match=r"one_hot: n is a whole number, not 2\.5"):
        nn.one_hot(np.array([1]), 2.5)
