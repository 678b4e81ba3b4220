"""Activations against PyTorch (values, gradients, second order), at the extremes, in every mode."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pycograd import jit, nn
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad
from pycograd.transforms.shapes import eval_shape

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch, a second oracle, is not installed")


def erfc(x):
    return np.array([math.erfc(v) for v in x], x.dtype)


def elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(x))


# ours, the textbook's formula (for long doubles of moderate size), PyTorch's
ACTIVATIONS = {
    "relu": (nn.relu, lambda x: x * (x > 0), lambda x: F.relu(x)),
    "leaky_relu": (
        nn.leaky_relu,
        lambda x: np.where(x > 0, x, x / 100),
        lambda x: F.leaky_relu(x),
    ),
    "leaky_relu 0.25": (
        lambda x: nn.leaky_relu(x, 0.25),
        lambda x: np.where(x > 0, x, x / 4),
        lambda x: F.leaky_relu(x, 0.25),
    ),
    "sigmoid": (nn.sigmoid, lambda x: 1 / (1 + np.exp(-x)), lambda x: torch.sigmoid(x)),
    "softplus": (
        nn.softplus,
        lambda x: np.log1p(np.exp(x)),
        lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    ),
    "silu": (nn.silu, lambda x: x / (1 + np.exp(-x)), lambda x: F.silu(x)),
    "swish": (nn.swish, lambda x: x / (1 + np.exp(-x)), lambda x: F.silu(x)),
    "gelu": (
        nn.gelu,
        lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    "gelu none": (
        lambda x: nn.gelu(x, approximate="none"),
        lambda x: x / 2 * erfc(-x / math.sqrt(2)),
        lambda x: F.gelu(x),
    ),
    "elu": (nn.elu, lambda x: elu(x, 1), lambda x: F.elu(x)),
    "elu 0.5": (lambda x: nn.elu(x, alpha=0.5), lambda x: elu(x, 0.5), lambda x: F.elu(x, 0.5)),
    "selu": (
        nn.selu,
        lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
        lambda x: F.selu(x),
    ),
    "mish": (nn.mish, lambda x: x * np.tanh(np.log1p(np.exp(x))), lambda x: F.mish(x)),
    "softsign": (nn.softsign, lambda x: x / (1 + abs(x)), lambda x: F.softsign(x)),
    "tanh": (nn.tanh, np.tanh, lambda x: torch.tanh(x)),
    "hardswish": (
        nn.hardswish,
        lambda x: x * np.minimum(np.maximum(x + 3, 0), 6) / 6,
        lambda x: F.hardswish(x),
    ),
    "hardsigmoid": (
        nn.hardsigmoid,
        lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
        lambda x: F.relu6(x + 3) / 6,
    ),
}
# No kinks: 0 for relu and its kin, -3 and 3 for the hard functions.
POINTS = np.array([-40.0, -9.5, -3.5, -2.0, -0.7, -1e-3, 1e-3, 0.4, 1.0, 2.9, 3.5, 11.0, 50.0])
EXTREMES = np.array([-1e300, -1e10, -1000.0, -745.0, 709.0, 1000.0, 1e10, 1e300])

names = pytest.mark.parametrize("name", ACTIVATIONS)


@names
def test_the_formula_and_its_slope(name):
    ours, formula, _ = ACTIVATIONS[name]
    x = POINTS.astype(np.longdouble)
    np.testing.assert_allclose(ours(POINTS), formula(x).astype(float), rtol=1e-13, atol=1e-15)
    h = np.longdouble(1e-4)
    at = [formula(x + k * h) for k in (-2, -1, 1, 2)]
    slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
    found = grad(lambda x: np.sum(ours(x)))(POINTS)[0]
    np.testing.assert_allclose(found, slope.astype(float), rtol=1e-9, atol=1e-11)


@needs_torch
@names
def test_values_and_derivatives_are_torchs(name):
    ours, _, theirs = ACTIVATIONS[name]
    x = torch.tensor(POINTS, requires_grad=True)
    y = theirs(x)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    bend = np.zeros_like(POINTS)
    if slope.requires_grad:
        (found,) = torch.autograd.grad(slope.sum(), x, allow_unused=True)
        bend = bend if found is None else found.numpy()
    np.testing.assert_allclose(ours(POINTS), y.detach().numpy(), rtol=1e-13, atol=1e-15)
    total = lambda x: np.sum(ours(x))
    np.testing.assert_allclose(
        grad(total)(POINTS)[0], slope.detach().numpy(), rtol=1e-10, atol=1e-14
    )
    twice = grad(lambda x: np.sum(grad(total)(x)[0]))(POINTS)[0]
    np.testing.assert_allclose(twice, bend, rtol=1e-8, atol=1e-13)
    ones = np.ones_like(POINTS)
    mixed = jvp(lambda x: grad(total)(x)[0], (POINTS,), (ones,))[1]
    np.testing.assert_allclose(mixed, twice, rtol=1e-10, atol=1e-14)


@names
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_the_extremes_are_finite_and_silent(name, dtype):
    f = ACTIVATIONS[name][0]
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
    f = ACTIVATIONS[name][0]
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


@names
@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i8"])
def test_what_is_made_of_integers_and_booleans_is_as_foreseen(name, dtype):
    f, x = ACTIVATIONS[name][0], np.array([[0, 1, 1]], dtype)
    assert f(x).dtype == eval_shape(f, x).dtype == vmap(f)(x).dtype
    then = lambda x: np.cos(2 * f(x))
    compiled = jit(then)(x)
    assert compiled.dtype == then(x).dtype
    np.testing.assert_array_equal(compiled, then(x))
    assert not np.shares_memory(f(x), x)


def test_conventions_at_the_kinks():
    slopes = {"relu": 0.0, "leaky_relu": 0.01, "softplus": 0.5, "elu": 1.0, "gelu": 0.5}
    for name, slope in slopes.items():
        assert grad(ACTIVATIONS[name][0])(0.0) == (slope,)
    assert grad(nn.sigmoid)(-1000.0) == (0.0,)
    assert grad(nn.elu)(1000.0) == (1.0,)


def test_a_cotangent_that_does_not_count_makes_no_nan():
    with np.errstate(divide="ignore"):
        (g,) = grad(lambda x: np.sum(np.sqrt(nn.relu(x))))(np.array([-1.0, 4.0]))
    np.testing.assert_array_equal(g, [0.0, 0.25])


def test_learned_slopes():
    x = np.array([[-2.0, 1.0], [-1.0, -3.0]])
    np.testing.assert_allclose(grad(lambda s: np.sum(nn.leaky_relu(x, s)))(np.ones(2))[0], [-3, -3])
    np.testing.assert_allclose(
        grad(lambda s: np.sum(nn.elu(x, s)))(1.0)[0], np.expm1(x[x < 0]).sum()
    )


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


def test_gates(rng):
    x, y = rng.standard_normal((2, 3, 4))
    np.testing.assert_allclose(nn.gated_act(x, y), np.tanh(x) / (1 + np.exp(-y)))
    np.testing.assert_allclose(nn.glu(x), x[:, :2] / (1 + np.exp(-x[:, 2:])))
    np.testing.assert_allclose(nn.glu(x.T, 0), nn.glu(x).T)
    assert str(eval_shape(nn.glu, ShapeDtypeStruct((2, "N")))) == "f64[2,(N)//2]"
    with pytest.raises(ShapeError, match=r"glu: shape \(4, 3\) has an odd size along axis 1"):
        nn.glu(x.T)


FUNCTIONS = [
    "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus", "softsign", "sigmoid",
    "tanh", "hardswish", "hardsigmoid", "glu",
]  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int16, np.uint64])
def test_small_integers_do_not_wrap_around(name, dtype):
    info = None if dtype is bool else np.iinfo(dtype)
    x = np.array([0, 1, 1, 0] if info is None else [info.min, info.max, 1, 3], dtype)
    y, wanted = getattr(nn, name)(x), getattr(nn, name)(x.astype(np.float64))
    np.testing.assert_allclose(y, wanted, rtol=1e-15)
    if name not in ("relu", "leaky_relu"):
        assert y.dtype == np.float64


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lists_are_arrays_and_what_is_not_real_is_refused(name):
    f = getattr(nn, name)
    np.testing.assert_array_equal(f([1.0, -2.0]), f(np.array([1.0, -2.0])))
    for x in (np.array(["a", "b"]), None, np.array([1.0, None]), np.ones(2) * 1j):
        if name == "tanh" and isinstance(x, np.ndarray) and x.dtype.kind == "c":
            continue
        with pytest.raises(TypeError, match=f"{name}: takes real numbers, not "):
            f(x)


def test_gates_that_do_not_broadcast():
    with pytest.raises(ShapeError, match=r"gated_act: .*\(3,\) and \(4,\)"):
        nn.gated_act(np.ones(3), np.ones(4))


@names
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_arrays_have_the_bits_of_small_ones(name, dtype, rng):
    f = ACTIVATIONS[name][0]
    x = np.concatenate([rng.standard_normal(200_003), EXTREMES[2:6], [0.0, -0.0]]).astype(dtype)
    whole, slope = f(x), grad(lambda x: np.sum(f(x)))(x)[0]
    for start in (0, 32_700, x.size - 60):
        part = x[start : start + 60]
        assert whole[start : start + 60].tobytes() == f(part).tobytes()
        assert (
            slope[start : start + 60].tobytes() == grad(lambda x: np.sum(f(x)))(part)[0].tobytes()
        )


@pytest.mark.parametrize("size", [60, 200_000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_slope_of_gelu_next_to_zero_and_beside_nan(dtype, size):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.resize(np.array([0, tiny, -tiny, 3 * tiny, 1e-3], dtype), size)
    slope = lambda x: grad(lambda x: np.sum(nn.gelu(x)), argnums=0)(x)
    near = 0.5 + 1e-3 * np.sqrt(2 / np.pi)
    wanted = np.resize([0.5, 0.5, 0.5, 0.5, near], size)
    rtol = max(4 * np.finfo(dtype).eps, 1e-9)
    np.testing.assert_allclose(slope(x).astype(float), wanted, rtol=rtol)
    x[-1] = np.nan
    found = slope(x)
    assert np.isnan(found[-1])
    np.testing.assert_allclose(found[:-1].astype(float), wanted[:-1], rtol=rtol)
