"""Normalisation: what its results have to be, by their definition and by their mistakes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pycograd import nn
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad
from pycograd.transforms.shapes import eval_shape


@pytest.mark.parametrize("f", [nn.layer_norm, nn.rms_norm])
def test_of_the_features(f, rng):
    x, gamma = rng.standard_normal((3, 4, 5)) + 1, rng.standard_normal(5)
    for axis, behind in ((-1, (2,)), ((1, 2), (1, 2)), (0, (0,))):
        centre = x.mean(behind, keepdims=True) if f is nn.layer_norm else 0
        square = np.square(x - centre).mean(behind, keepdims=True)
        wanted = (x - centre) / np.sqrt(square + 0.1) * gamma
        np.testing.assert_allclose(f(x, gamma, eps=0.1, axis=axis), wanted, rtol=1e-12)
    for wrong in (np.ones(4), np.ones((2, 3, 4, 5)), np.ones((2, 4, 5))):
        with pytest.raises(ShapeError, match=rf"{f.__name__}: a parameter of shape .* broadcast"):
            f(x, wrong)
    with pytest.raises(ShapeError, match=rf"{f.__name__}: axis 3"):
        f(x, axis=3)
    np.testing.assert_array_equal(f(np.zeros((2, 3))), 0.0)
    assert f(np.arange(4)).dtype == np.float64


@pytest.mark.parametrize("f", [nn.layer_norm, nn.rms_norm])
def test_squares_do_not_overflow_in_16_bits(f):
    x = np.array([1000.0, -3000.0, 500.0, 2000.0])
    y = f(x.astype(np.float16))
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, f(x), rtol=2e-3)
    (g,) = grad(lambda x: np.sum(np.square(f(x)[:2])))(x.astype(np.float16))
    assert g.dtype == np.float16 and np.isfinite(g).all()


def test_statistics_in_more_bits_than_the_values(rng):
    x = (rng.standard_normal((6, 3)) * 3000).astype(np.float16)
    y, mean, var = nn.batch_norm(x, None, None, *nn.batch_norm_init(3, "f32"), momentum=1.0)
    assert (y.dtype, mean.dtype, var.dtype) == (np.float16, np.float32, np.float32)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean(0), rtol=1e-4)
    np.testing.assert_allclose(var, x.astype(np.float64).var(0), rtol=1e-4)


def test_batch_norm_and_what_it_has_seen(rng):
    x, gamma, beta = rng.standard_normal((5, 3, 2)) * 2 + 1, *rng.standard_normal((2, 3))
    seen = nn.batch_norm_init(3)
    y, *seen = nn.batch_norm(x, gamma, beta, *seen, momentum=0.25)
    np.testing.assert_allclose(y.mean((0, 2)), beta, atol=1e-12)
    np.testing.assert_allclose(y.std((0, 2)), np.abs(gamma), rtol=1e-5)
    np.testing.assert_allclose(seen[0], 0.25 * x.mean((0, 2)))
    np.testing.assert_allclose(seen[1], 0.75 + 0.25 * x.var((0, 2)))
    for _ in range(200):
        _, *seen = nn.batch_norm(x, gamma, beta, *seen)
    z, mean, var = nn.batch_norm(x, gamma, beta, *seen, training=False)
    np.testing.assert_allclose(z, y, rtol=1e-6, atol=1e-6)
    assert mean is seen[0] and var is seen[1]


def test_running_statistics_are_constants(rng):
    x, seen = rng.standard_normal((4, 3)), nn.batch_norm_init(3)

    def loss(x):
        y, mean, var = nn.batch_norm(x, None, None, *seen)
        return np.sum(y**3) + np.sum(mean) + np.sum(var)

    alone = grad(lambda x: np.sum(nn.batch_norm(x, None, None, *seen)[0] ** 3))(x)[0]
    np.testing.assert_array_equal(grad(loss)(x)[0], alone)


def test_batch_norm_shapes_and_mistakes():
    x, seen = np.ones((4, 3, 2)), nn.batch_norm_init(3)
    y, mean, _ = eval_shape(
        lambda x: nn.batch_norm(x, None, None, *seen), ShapeDtypeStruct(("B", 3, "L"))
    )
    assert str(y) == "f64[B,3,L]" and str(mean) == "f64[3]"
    assert nn.batch_norm_init(2, "f32")[0].dtype == np.float32
    with pytest.raises(ShapeError, match=r"batch_norm: a parameter of shape \(2,\) .* \(3,\)"):
        nn.batch_norm(x, np.ones(2), None, *seen)
    with pytest.raises(ShapeError, match=r"batch_norm: a parameter of shape \(1, 3\)"):
        nn.batch_norm(x, None, np.ones((1, 3)), *seen)
    with pytest.raises(ShapeError, match=r"batch_norm: a parameter of shape \(4,\)"):
        nn.batch_norm(x, None, None, *nn.batch_norm_init(4))
    with pytest.raises(ShapeError, match=r"one value for each channel.*training=False"):
        nn.batch_norm(x[:1, :, :1], None, None, *seen)
    with pytest.raises(ShapeError, match=r"batch_norm: x is \(N, C, ...\), not of shape \(3,\)"):
        nn.batch_norm(np.ones(3), None, None, *seen)
    # the statistics of every member of a batch are its own
    xs = np.arange(24.0).reshape(2, 4, 3)
    _, means, _ = vmap(lambda x: nn.batch_norm(x, None, None, *seen, momentum=1.0))(xs)
    np.testing.assert_allclose(means, xs.mean(1))


def test_groups_of_channels(rng):
    x = rng.standard_normal((2, 6, 4)) + 3
    y = nn.group_norm(x, None, None, 3).reshape(2, 3, -1)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(-1), 1, rtol=1e-4)
    np.testing.assert_allclose(
        nn.group_norm(x, None, None, 6), nn.instance_norm(x), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(
        nn.group_norm(x, None, None, 1), nn.layer_norm(x, axis=(1, 2)), rtol=1e-12, atol=1e-14
    )
    with pytest.raises(ShapeError, match="group_norm: num_groups=4 does not divide the 6 channels"):
        nn.group_norm(x, None, None, 4)
    with pytest.raises(ShapeError, match=r"instance_norm: x is \(N, C, L, ...\)"):
        nn.instance_norm(x[:, :, 0])
    with pytest.raises(ShapeError, match=r"group_norm: a parameter of shape \(3,\)"):
        nn.group_norm(x, np.ones(3), None, 3)


def test_a_scale_and_shift_in_bfloat16_keep_the_dtype():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = np.arange(12.0).reshape(2, 3, 2).astype(bfloat16)
    ones = np.ones(3, bfloat16)
    y, mean, var = nn.batch_norm(x, ones, ones, *nn.batch_norm_init(3, bfloat16))
    assert {y.dtype, mean.dtype, var.dtype} == {np.dtype(bfloat16)}
    assert nn.group_norm(x, ones, ones, 3).dtype == bfloat16
    assert math.isclose(float(nn.rms_norm(x)[0, 0, 1]), math.sqrt(2), rel_tol=1e-2)
