"""Attention in several heads: each head is an attention of its own."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd import nn
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError
from pycograd.graph import compile_to
from pycograd.transforms.batch import vmap
from pycograd.transforms.capture import capture
from pycograd.transforms.reverse import grad
from pycograd.transforms.shapes import eval_shape


def test_heads_are_attentions_of_their_own(rng):
    q, k, v = (rng.standard_normal((2, n, 6)) for n in (3, 5, 5))
    mask = rng.random((2, 3, 5)) < 0.7
    for options in ({}, {"causal": True}, {"mask": mask}, {"mask": mask[0], "causal": True}):
        parts = [
            nn.scaled_dot_product_attention(*[x[..., i : i + 2] for x in (q, k, v)], **options)
            for i in (0, 2, 4)
        ]
        found = nn.multi_head_attention(q, k, v, 3, **options)
        np.testing.assert_allclose(found, np.concatenate(parts, -1), rtol=1e-12)
    each = rng.standard_normal((2, 3, 3, 5))
    parts = [
        nn.scaled_dot_product_attention(*[x[..., 2 * i : 2 * i + 2] for x in (q, k, v)], each[:, i])
        for i in range(3)
    ]
    np.testing.assert_allclose(
        nn.multi_head_attention(q, k, v, 3, each), np.concatenate(parts, -1), rtol=1e-12
    )


def test_projections(rng):
    q, k = rng.standard_normal((3, 4)), rng.standard_normal((5, 4))
    w = {f"w{of}": rng.standard_normal((4, 6)) for of in "qkv"} | {"wo": np.ones((6, 2))}
    b = {f"b{of}": rng.standard_normal(6) for of in "qkv"} | {"bo": np.ones(2)}
    parts = [nn.linear(x, w[f"w{of}"], b[f"b{of}"]) for of, x in zip("qkv", (q, k, k))]
    wanted = nn.multi_head_attention(*parts, 2) @ w["wo"] + 1
    np.testing.assert_allclose(nn.multi_head_attention(q, k, k, 2, **w, **b), wanted)
    with pytest.raises(ShapeError, match=r"multi_head_attention: the projection of k: linear: "):
        nn.multi_head_attention(q, k[:, :3], k, 2, **w)
    with pytest.raises(TypeError, match="multi_head_attention: q has a bias but no weights"):
        nn.multi_head_attention(q, k, k, 2, bq=np.ones(4))


def test_a_batch_is_a_loop(rng):
    q, k = rng.standard_normal((4, 3, 6)), rng.standard_normal((4, 5, 6))
    mask = rng.random((4, 3, 5)) < 0.8
    f = grad(lambda q, k, m: np.sum(nn.multi_head_attention(q, k, k, 2, m) ** 2), argnums=(0, 1))
    found = vmap(f)(q, k, mask)
    for a, b in zip(found, zip(*[f(*row) for row in zip(q, k, mask)]), strict=True):
        np.testing.assert_allclose(a, np.stack(b), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        nn.multi_head_attention(q, k, k, 2, mask),
        vmap(lambda q, k, m: nn.multi_head_attention(q, k, k, 2, m))(q, k, mask),
    )


def test_all_sizes_may_be_symbols(rng):
    f = nn.scaled_dot_product_attention
    q, k, v = (ShapeDtypeStruct(shape, np.float32) for shape in map(tuple, ("BND", "BMD", "BME")))
    for options in ({}, {"causal": True}):
        assert str(eval_shape(lambda *x, o=options: f(*x, **o), q, k, v)) == "f32[B,N,E]"
    graph = capture(lambda *x: f(*x, causal=True), q, k, v)
    xs = [rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 4), (2, 5, 4))]
    np.testing.assert_allclose(
        graph(*xs, xs[1][..., :2]), f(*xs, xs[1][..., :2], causal=True), rtol=1e-5
    )
    whole = eval_shape(lambda x: nn.multi_head_attention(x, x, x, 2, causal=True), q)
    assert str(whole) == "f32[B,N,2*(D)//2]"


def test_of_no_features_every_key_weighs_the_same():
    q, v = np.ones((3, 0)), np.array([[1.0], [2.0], [6.0]])
    np.testing.assert_allclose(nn.scaled_dot_product_attention(q, q, v)[:, 0], 3.0)


def test_mistakes():
    x = np.ones((3, 6))
    with pytest.raises(ShapeError, match="num_heads=4 does not divide the 6 features of q"):
        nn.multi_head_attention(x, x, x, 4)
    with pytest.raises(ShapeError, match=r"v is \(..., n, d\), not of shape \(6,\)"):
        nn.multi_head_attention(x, x, x[0], 2)
    with pytest.raises(ShapeError, match=r"a mask of shape \(3, 4\) does not broadcast .* 3, 3\)"):
        nn.multi_head_attention(x, x, x, 2, np.ones((3, 4), bool))
    with pytest.raises(ShapeError, match=r"incompatible shapes \(3, 6\), \(3, 6\) and \(2, 6\)"):
        nn.scaled_dot_product_attention(x, x, x[:2])


def test_linear_says_what_to_write():
    with pytest.raises(ShapeError, match=r"linear: incompatible .* \(3, 6\) and \(2, 6\).*w\.T"):
        nn.linear(np.ones((3, 6)), np.ones((2, 6)))
    with pytest.raises(ShapeError, match=r"linear: b has shape \(1, 2\), not \(2,\)"):
        nn.linear(np.ones((3, 6)), np.ones((6, 2)), np.ones((1, 2)))


def test_a_mask_of_integers_could_mean_either_and_is_refused():
    x, lower = np.ones((4, 2)), np.tril(np.ones((4, 4), int))
    one, several = nn.scaled_dot_product_attention, nn.multi_head_attention
    for f in (lambda m: one(x, x, x, mask=m), lambda m: several(x, x, x, 2, mask=m)):
        with pytest.raises(TypeError, match=r"not of int64: write mask\.astype\(bool\)"):
            f(lower)
        np.testing.assert_array_equal(f((lower > 0).tolist()), f(lower > 0))
    with pytest.raises(TypeError, match=r"num_heads is a whole number, not 2\.0"):
        several(x, x, x, 2.0)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("causal", [False, True])
def test_many_heads_have_the_bits_of_one(causal, dtype, rng):
    """Also of strided heads, and where the number of parts does not divide that of heads."""
    qkv = rng.standard_normal((7, 50, 3, 5, 8)).astype(dtype)
    q, k, v = np.transpose(qkv, (2, 0, 3, 1, 4))
    k = k[..., :40, :]
    v = v[..., :40, :6]
    k[2, 1, 3] = np.nan  # which the queries before it do not see
    v[2, 1, 3] = 0
    found = nn.scaled_dot_product_attention(q, k, v, causal=causal)
    assert found.shape == (7, 5, 50, 6)
    assert found.dtype == dtype
    for i in range(7):
        for j in range(5):
            alone = nn.scaled_dot_product_attention(q[i, j], k[i, j], v[i, j], causal=causal)
            np.testing.assert_array_equal(found[i, j], alone)
    assert np.isnan(found[2, 1, 3:]).all()
    assert np.isnan(found[2, 1, :3]).any() != causal
    scores = q[0].astype("f8") @ np.swapaxes(k[0], -1, -2).astype("f8") / np.sqrt(8)
    if causal:
        scores = np.where(np.tri(50, 40, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    wanted = weights / weights.sum(-1, keepdims=True) @ v[0]
    np.testing.assert_allclose(found[0], wanted, atol=1e-6 if dtype == "f4" else 1e-14)


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"mask": np.tri(3, dtype=bool)}])
def test_compiled_for_numpys_own_backend(options, rng):
    q = rng.standard_normal((2, 3, 4))
    f = lambda q: nn.scaled_dot_product_attention(q, q, q, **options)
    np.testing.assert_allclose(compile_to(f, "numpy")(q), f(q), rtol=1e-12)
    (slope,) = compile_to(grad(lambda q: np.sum(f(q))), "numpy")(q)
    np.testing.assert_allclose(slope, grad(lambda q: np.sum(f(q)))(q)[0], rtol=1e-12)
