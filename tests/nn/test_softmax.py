"""softmax, log_softmax and logsumexp against PyTorch, SciPy, and in every mode."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd import nn
from pycograd.core.errors import ShapeError
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch, a second oracle, is not installed")


def exact_softmax(x, axis):
    return np.exp(x) / np.sum(np.exp(x), axis, keepdims=True)


# ours, the textbook's formula for moderate numbers, PyTorch's
FUNCTIONS = {
    "softmax": (nn.softmax, exact_softmax, lambda x, axis: torch.softmax(x, axis)),
    "log_softmax": (
        nn.log_softmax,
        lambda x, axis: np.log(exact_softmax(x, axis)),
        lambda x, axis: torch.log_softmax(x, axis),
    ),
    "logsumexp": (
        nn.logsumexp,
        lambda x, axis: np.log(np.sum(np.exp(x), axis)),
        lambda x, axis: torch.logsumexp(x, axis),
    ),
}
names = pytest.mark.parametrize("name", FUNCTIONS)


@names
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_formula_and_its_derivative(name, axis, rng):
    ours, formula, _ = FUNCTIONS[name]
    x = rng.standard_normal((3, 4, 2)) * 3
    v = rng.standard_normal(x.shape)
    np.testing.assert_allclose(ours(x, axis), formula(x, axis), rtol=1e-12)
    h = 1e-5
    slope = (formula(x + h * v, axis) - formula(x - h * v, axis)) / (2 * h)
    moved = jvp(lambda x: ours(x, axis), (x,), (v,))[1]
    np.testing.assert_allclose(moved, slope, rtol=1e-7, atol=1e-9)
    ct = rng.standard_normal(moved.shape)
    (pulled,) = vjp(lambda x: ours(x, axis), x)[1](ct)
    assert np.sum(pulled * v) == pytest.approx(np.sum(moved * ct))


@needs_torch
@names
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_values_and_derivatives_are_torchs(name, axis, scale, rng):
    ours, _, theirs = FUNCTIONS[name]
    x = rng.standard_normal((3, 4, 2)) * scale
    t = torch.tensor(x, requires_grad=True)
    y = theirs(t, axis)
    w = rng.standard_normal(y.shape)
    (slope,) = torch.autograd.grad((y * torch.tensor(w)).sum(), t, create_graph=True)
    v = rng.standard_normal(x.shape)
    (bend,) = torch.autograd.grad((slope * torch.tensor(v)).sum(), t)
    loss = lambda x: np.sum(ours(x, axis) * w)
    np.testing.assert_allclose(ours(x, axis), y.detach().numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(grad(loss)(x)[0], slope.detach().numpy(), rtol=1e-10, atol=1e-13)
    twice = grad(lambda x: np.sum(grad(loss)(x)[0] * v))(x)[0]
    np.testing.assert_allclose(twice, bend.numpy(), rtol=1e-9, atol=1e-13)


@names
def test_axes(name, rng):
    f = FUNCTIONS[name][0]
    x = rng.standard_normal((3, 4, 2))
    flat = f(x.reshape(-1), -1)
    np.testing.assert_allclose(f(x, None), flat if name == "logsumexp" else flat.reshape(3, 4, 2))
    np.testing.assert_allclose(f(x, (0, 2)), f(x, (-1, 0)))
    np.testing.assert_allclose(vmap(f)(x), np.stack([f(row) for row in x]))
    np.testing.assert_allclose(vmap(lambda r: f(r, 0))(x), np.stack([f(row, 0) for row in x]))
    with pytest.raises(ShapeError, match=f"{name}: axis 3 is out of bounds"):
        f(x, 3)
    with pytest.raises(TypeError, match=f"{name}: .*complex numbers have no order"):
        f(x + 0j)


def test_logsumexp_is_scipys(rng):
    special = pytest.importorskip("scipy.special")
    x = rng.standard_normal((3, 4)) * 500
    x[0, 0] = -np.inf
    for axis in (None, 0, 1, (0, 1)):
        for keepdims in (False, True):
            expected = special.logsumexp(x, axis=axis, keepdims=keepdims)
            np.testing.assert_allclose(nn.logsumexp(x, axis, keepdims), expected)


def test_impossible_entries():
    x = np.array([[0.0, -np.inf, 0.0], [-np.inf, -np.inf, 3.0]])
    np.testing.assert_array_equal(nn.softmax(x), [[0.5, 0, 0.5], [0, 0, 1]])
    pullback = vjp(nn.softmax, x)[1]
    (g,) = pullback(np.arange(6.0).reshape(2, 3))
    np.testing.assert_allclose(g, [[-0.5, 0, 0.5], [0, 0, 0]])
    (g,) = grad(lambda x: np.sum(nn.logsumexp(x, 1)))(x)
    np.testing.assert_allclose(g, [[0.5, 0, 0.5], [0, 0, 1]])
    logs = nn.log_softmax(x)
    assert np.isneginf(logs[np.isneginf(x)]).all() and np.isfinite(logs[np.isfinite(x)]).all()
    assert np.isfinite(grad(lambda x: nn.log_softmax(x)[0, 0])(x)[0]).all()


def test_a_slice_of_nothing_but_minus_infinity():
    x = np.full(3, -np.inf)
    assert nn.logsumexp(x) == -np.inf
    np.testing.assert_array_equal(grad(nn.logsumexp)(x)[0], 0.0)
    with np.errstate(invalid="ignore"):
        assert np.isnan(nn.softmax(x)).all() and np.isnan(nn.log_softmax(x)).all()


@names
def test_large_numbers_are_silent(name):
    f = FUNCTIONS[name][0]
    with np.errstate(all="raise", under="ignore"):
        out = f(np.array([1e300, 0.0, -1e300]))
        assert np.isfinite(out).all()
        f(np.array([-np.inf, 0.0]))


@names
def test_dtypes_and_empty_arrays(name):
    f = FUNCTIONS[name][0]
    for dtype in (np.float16, np.float32, np.longdouble):
        x = np.ones((2, 3), dtype)
        assert f(x).dtype == dtype
        assert grad(lambda x: np.sum(f(x)))(x)[0].dtype == dtype
    np.testing.assert_allclose(f(np.arange(3)), f(np.arange(3.0)))
    np.testing.assert_allclose(f([0.0, 1.0]), f(np.array([0.0, 1.0])))
    assert f(np.zeros((0, 3)), 1).shape == ((0,) if name == "logsumexp" else (0, 3))
    assert nn.logsumexp(np.zeros((2, 0)), 1).tolist() == [-np.inf, -np.inf]
