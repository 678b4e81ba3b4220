"""Sums of many floats of 16 bits: in 16 bits a sum of ones ends at 256, in float16 at 2048."""

import ml_dtypes
import numpy as np
import pytest

from pycograd import custom_vjp, grad, jit, jvp, nn, params, vmap
from pycograd.training import MixedPrecision

N = 5000
DTYPES = [np.float16, ml_dtypes.bfloat16]
ROWS = np.ones((N, 3))
IDS = np.zeros(N, int)
PICTURES = np.ones((8, 1, 40, 40))
KERNEL = np.ones((2, 1, 3, 3))


def like(constant, x):
    """A constant in the dtype of what is differentiated."""
    return constant.astype(x.dtype)


@custom_vjp
def scaled(b, x):
    return b * x


scaled.defvjp(lambda b, x: (b * x, (b, x)), lambda kept, ct: (ct * kept[1], ct * kept[0]))

# Functions of `like` this array, with slopes that 16 bits can hold.
GRADIENTS = {
    "a bias": (lambda b: np.mean((like(ROWS, b) + b) ** 2), np.zeros(3)),
    "a bias of a column": (lambda b: np.mean(like(ROWS, b).T * b), np.ones((3, 1))),
    "rows of a table": (lambda t: np.mean(nn.embedding(t, IDS)), np.zeros((4, 2))),
    "one entry of many": (lambda t: np.mean(t[IDS, IDS]), np.zeros((4, 2))),
    "the bias of a convolution": (
        lambda b: np.mean(nn.conv2d(like(PICTURES, b), like(KERNEL, b), b, pad=1)),
        np.zeros(2),
    ),
    "logits": (lambda b: nn.cross_entropy(like(ROWS, b) + b, IDS), np.zeros(3)),
    "a row of vmap": (
        lambda b: np.mean(vmap(scaled, (None, 0))(b, like(ROWS, b))),
        np.ones(3),
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name, compiled, dtype):
    f, x = GRADIENTS[name]
    (exact,) = grad(f)(x)
    slope = jit(grad(f)) if compiled else grad(f)
    (found,) = slope(x.astype(dtype))
    assert found.dtype == dtype and np.max(np.abs(exact)) > 0.1
    np.testing.assert_allclose(found.astype(float), exact, rtol=1e-2, atol=1e-3)


VALUES = {
    "sum": lambda x: np.sum(x, axis=0),
    "add.reduce": lambda x: np.add.reduce(x),
    "mean": lambda x: np.mean(x, axis=0),
    "var": lambda x: np.var(x * np.arange(3).astype(x.dtype), axis=1),
    "softmax": lambda x: nn.softmax(x, axis=0) * N,
    "log_softmax": lambda x: nn.log_softmax(x, axis=0),
    "logsumexp": lambda x: nn.logsumexp(x, axis=0),
    "loss": lambda x: nn.mse_loss(x, np.zeros_like(x)),
    "attention": lambda x: nn.scaled_dot_product_attention(x[:2], x, x),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_values(name, compiled, dtype):
    f = VALUES[name]
    exact = f(ROWS)
    run = jit(f) if compiled else lambda x: jvp(f, (x,), (x,))[0]
    found = run(ROWS.astype(dtype))
    assert found.dtype == dtype or name == "attention"  # NumPy widens products of bfloat16
    np.testing.assert_allclose(found.astype(float), exact, rtol=1e-2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_networks_on_plain_arrays(dtype):
    for name in ("softmax", "log_softmax", "logsumexp", "loss", "attention"):
        found = VALUES[name](ROWS.astype(dtype))
        np.testing.assert_allclose(found.astype(float), VALUES[name](ROWS), rtol=1e-2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tangents(dtype):
    x = ROWS.astype(dtype)
    for f in (lambda x: np.sum(x, axis=0), lambda x: np.max(np.sum(x, axis=0))):
        _, tangent = jvp(f, (x,), (x,))
        np.testing.assert_allclose(np.asarray(tangent, float), N, rtol=1e-2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_pass_in_mixed_precision(dtype, compiled):
    weights = params(bias=np.zeros(3, np.float32))
    objective = lambda x: np.mean((x + weights.bias) ** 2)
    value, grads = MixedPrecision(dtype).grad(weights, objective, ROWS, jit=compiled)
    assert value == pytest.approx(1.0, rel=1e-2)
    np.testing.assert_allclose(grads.bias, 2 / 3, rtol=1e-2)
