"""Pooling and upsampling against windows taken one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pycograd import nn
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ArgumentError, ShapeError
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

OPTIONS = [
    {"k": 2},
    {"k": 3, "stride": 1},
    {"k": (2, 3), "stride": (3, 2)},
    {"k": 3, "stride": 2, "pad": 1},
    {"k": (3, 2), "stride": (1, 2), "pad": ((2, 1), (0, 1))},
]


def windows(x, k, stride=None, pad=0, fill=0.0):
    """(N, C, MH, MW, KH, KW), by slices."""
    k = np.broadcast_to(k, 2)
    stride = k if stride is None else np.broadcast_to(stride, 2)
    pad = np.broadcast_to(
        np.reshape(pad, (-1, np.shape(pad)[-1] if np.ndim(pad) == 2 else 1)), (2, 2)
    )
    x = np.pad(x, [(0, 0), (0, 0), *pad], constant_values=fill)
    starts = [range(0, n - m + 1, s) for n, m, s in zip(x.shape[2:], k, stride)]
    cut = [x[:, :, i : i + k[0], j : j + k[1]] for i, j in itertools.product(*starts)]
    return np.stack(cut, 2).reshape(*x.shape[:2], *map(len, starts), *k)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_the_maximum_and_the_mean_of_windows(options, dtype, rng):
    x = rng.standard_normal((2, 3, 6, 7)).astype(dtype)
    highest = nn.max_pool2d(x, **options)
    assert highest.dtype == dtype
    np.testing.assert_array_equal(highest, windows(x, **options, fill=-np.inf).max((-2, -1)))
    mean = nn.avg_pool2d(x, **options)
    assert mean.dtype == dtype
    rtol = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        mean, windows(x.astype(float), **options).mean((-2, -1)), rtol=rtol, atol=rtol
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_padding_wins_no_maximum_and_takes_no_gradient(options, rng):
    x = -1 - rng.random((1, 2, 6, 7))
    y, pull = vjp(lambda x: nn.max_pool2d(x, **options), x)
    assert np.all(y < 0)
    # every window gives all of its cotangent to entries of x
    ct = rng.random(y.shape)
    np.testing.assert_allclose(np.sum(pull(ct)[0]), np.sum(ct))
    least = np.full_like(x, -np.inf)
    y, pull = vjp(lambda x: nn.max_pool2d(x, **options), least)
    np.testing.assert_allclose(np.sum(pull(ct)[0]), np.sum(ct))


def test_equal_maxima_share_and_nans_take_all():
    x = np.array([[[[1.0, 1.0, 0.0, 2.0], [0.0, 1.0, np.nan, 3.0]]]])
    (found,) = grad(lambda x: np.sum(nn.max_pool2d(x, 2) * np.array([3.0, 5.0])))(x)
    np.testing.assert_allclose(found, [[[[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 5.0, 0.0]]]])


@pytest.mark.parametrize("scale", [1, 3, (2, 1)])
def test_upsampling_repeats_entries(scale, rng):
    x = rng.standard_normal((2, 3, 4, 5))
    high, wide = np.broadcast_to(scale, 2)
    expected = x.repeat(high, 2).repeat(wide, 3)
    np.testing.assert_array_equal(nn.upsample_nearest2d(x, scale), expected)
    ct = rng.standard_normal(expected.shape)
    (found,) = vjp(lambda x: nn.upsample_nearest2d(x, scale), x)[1](ct)
    sums = ct.reshape(2, 3, 4, high, 5, wide).sum((3, 5))
    np.testing.assert_allclose(found, sums)


def test_symbolic_sizes():
    x = ShapeDtypeStruct(("B", 3, "H", 8), "float32")
    assert repr(eval_shape(lambda x: nn.max_pool2d(x, 2), x)) == "f32[B,3,(H)//2,4]"
    assert repr(eval_shape(lambda x: nn.upsample_nearest2d(x, 2), x)) == "f32[B,3,2*H,16]"
    for pool in (nn.max_pool2d, nn.avg_pool2d):
        loss = lambda x, pool=pool: np.sum(pool(x, 3, 2, 1))
        assert repr(eval_shape(grad(loss), x)) == "(f32[B,3,H,8],)"


X = np.ones((1, 2, 4, 4))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.max_pool2d(X, 5), ShapeError, r"max_pool2d: the window k=\(5, 5\) is larger"),
        (lambda: nn.avg_pool2d(X[0], 2), ShapeError, r"avg_pool2d: x is \(N, C, H, W\)"),
        (lambda: nn.max_pool2d(X, 2, pad=2), ArgumentError, "nothing but padding"),
        (lambda: nn.max_pool2d(X, 0), ArgumentError, "k is at least 1"),
        (lambda: nn.avg_pool2d(X, 2, pad="same"), ArgumentError, "pad is an int"),
        (lambda: nn.max_pool2d(X.astype(int), 2), TypeError, "x is of int64"),
        (lambda: nn.max_pool2d(X + 0j, 2), TypeError, "complex"),
        (lambda: nn.upsample_nearest2d(X, 1.5), TypeError, "scale is a whole number"),
        (lambda: nn.upsample_nearest2d(X[0], 2), ShapeError, "upsample_nearest2d"),
    ],
)
def test_what_does_not_fit_is_said(call, error, words):
    with pytest.raises(error, match=words):
        call()
