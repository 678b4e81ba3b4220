"""Activations against PyTorch (values, gradients, second order), at the extremes, in every mode."""

from __future__ import annotations

import numpy as np
import pytest
from pycograd import nn
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad
from pycograd.transforms.shapes import eval_shape

torch = pytest.importorskip("torch")
F = torch.nn.functional

PAIRS = {
    "relu": (nn.relu, F.relu),
    "leaky_relu": (nn.leaky_relu, F.leaky_relu),
    "leaky_relu 0.3": (lambda x: nn.leaky_relu(x, 0.3), lambda x: F.leaky_relu(x, 0.3)),
    "sigmoid": (nn.sigmoid, torch.sigmoid),
    "softplus": (nn.softplus, lambda x: torch.logaddexp(x, torch.zeros_like(x))),
    "silu": (nn.silu, F.silu),
    "swish": (nn.swish, F.silu),
    "gelu": (nn.gelu, lambda x: F.gelu(x, approximate="tanh")),
    "gelu none": (lambda x: nn.gelu(x, approximate="none"), F.gelu),
    "elu": (nn.elu, F.elu),
    "elu 0.5": (lambda x: nn.elu(x, alpha=0.5), lambda x: F.elu(x, 0.5)),
    "selu": (nn.selu, F.selu),
    "mish": (nn.mish, F.mish),
    "softsign": (nn.softsign, F.softsign),
    "tanh": (nn.tanh, torch.tanh),
    "hardswish": (nn.hardswish, F.hardswish),
    "hardsigmoid": (nn.hardsigmoid, lambda x: F.relu6(x + 3) / 6),
}
# No kinks: 0 for relu and its kin, -3 and 3 for the hard functions.
POINTS = np.array([-40.0, -9.5, -3.5, -2.0, -0.7, -1e-3, 1e-3, 0.4, 1.0, 2.9, 3.5, 11.0, 50.0])
EXTREMES = np.array([-1e300, -1e10, -1000.0, -745.0, 709.0, 1000.0, 1e10, 1e300])

names = pytest.mark.parametrize("name", PAIRS)


@names
def test_values_and_derivatives_are_torchs(name):
    ours, theirs = PAIRS[name]
    x = torch.tensor(POINTS, requires_grad=True)
    y = theirs(x)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    bend = np.zeros_like(POINTS)
    if slope.requires_grad:
        (found,) = torch.autograd.grad(slope.sum(), x, allow_unused=True)
        bend = bend if found is None else found.numpy()
    np.testing.assert_allclose(ours(POINTS), y.detach().numpy(), rtol=1e-13, atol=1e-15)
    total = lambda x: np.sum(ours(x))
    np.testing.assert_allclose(grad(total)(POINTS)[0], slope.detach().numpy(), rtol=1e-10, atol=1e-14)
    twice = grad(lambda x: np.sum(grad(total)(x)[0]))(POINTS)[0]
    np.testing.assert_allclose(twice, bend, rtol=1e-8, atol=1e-13)
    ones = np.ones_like(POINTS)
    mixed = jvp(lambda x: grad(total)(x)[0], (POINTS,), (ones,))[1]
    np.testing.assert_allclose(mixed, twice, rtol=1e-10, atol=1e-14)


@names
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_the_extremes_are_finite_and_silent(name, dtype):
    f = PAIRS[name][0]
    with np.errstate(over="ignore"):
        x = np.clip(EXTREMES, -np.finfo(dtype).max, np.finfo(dtype).max).astype(dtype)
    x = x[np.isfinite(x)]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value = f(x / 2)
        (slope,) = grad(lambda x: np.sum(f(x) * dtype(1e-3)))(x / 2)
    assert value.dtype == slope.dtype == dtype
    assert np.all(np.isfinite(value)) and np.all(np.isfinite(slope))


@names
def test_dtypes_shapes_and_plain_arguments(name):
    f = PAIRS[name][0]
    for dtype in (np.float16, np.float32, np.longdouble):
        x = np.ones((2, 3), dtype)
        assert f(x).dtype == dtype and type(f(x)) is np.ndarray
        assert grad(lambda x: np.sum(f(x)))(x)[0].dtype == dtype
        assert eval_shape(f, ShapeDtypeStruct(("B", 3), dtype)).dtype == dtype
    assert str(eval_shape(f, ShapeDtypeStruct(("B", 3)))) == "f64[B,3]"
    assert f(np.zeros((0, 2))).shape == (0, 2)
    assert np.shape(f(np.array(0.5))) == () and np.shape(f(0.5)) == ()
    assert isinstance(grad(f)(0.5)[0], float)
    np.testing.assert_allclose(vmap(f)(POINTS), f(POINTS))
    np.testing.assert_allclose(vmap(grad(f))(POINTS)[0], grad(lambda x: np.sum(f(x)))(POINTS)[0])


def test_conventions_at_the_kinks():
    slopes = {"relu": 0.0, "leaky_relu": 0.01, "softplus": 0.5, "elu": 1.0, "gelu": 0.5}
    for name, slope in slopes.items():
        assert grad(PAIRS[name][0])(0.0) == (slope,)
    assert grad(nn.sigmoid)(-1000.0) == (0.0,)
    assert grad(nn.elu)(1000.0) == (1.0,)


def test_a_cotangent_that_does_not_count_makes_no_nan():
    with np.errstate(divide="ignore"):
        (g,) = grad(lambda x: np.sum(np.sqrt(nn.relu(x))))(np.array([-1.0, 4.0]))
    np.testing.assert_array_equal(g, [0.0, 0.25])


def test_learned_slopes():
    x = np.array([[-2.0, 1.0], [-1.0, -3.0]])
    np.testing.assert_allclose(grad(lambda s: np.sum(nn.leaky_relu(x, s)))(np.ones(2))[0], [-3, -3])
    np.testing.assert_allclose(grad(lambda s: np.sum(nn.elu(x, s)))(1.0)[0], np.expm1(x[x < 0]).sum())


def test_integers_become_floats():
    x = np.array([-1, 0, 2])
    assert nn.relu(x).dtype == x.dtype
    for f in (nn.sigmoid, nn.gelu, nn.silu, nn.softplus, nn.elu, nn.leaky_relu):
        np.testing.assert_array_equal(f(x), f(x.astype(float)))


def test_exact_gelu_without_scipy(monkeypatch):
    expected = nn.gelu(POINTS, "none")
    monkeypatch.setitem(__import__("sys").modules, "scipy.special", None)
    np.testing.assert_allclose(nn.gelu(POINTS, "none"), expected, rtol=1e-14, atol=1e-300)
    assert nn.gelu(POINTS.astype(np.float32), "none").dtype == np.float32


def test_an_unknown_approximation_is_refused():
    with pytest.raises(ValueError, match="gelu: approximate must be 'tanh' or 'none', not 'erf'"):
        nn.gelu(POINTS, "erf")
