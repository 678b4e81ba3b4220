"""Sums of many floats of 16 bits: in 16 bits a sum of ones ends at 256, in float16 at 2048."""

import ml_dtypes
import numpy as np
import pytest

from pycograd import custom_vjp, grad, jit, jvp, nn, params, value_and_grad, vmap
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
    "a sum of a constant in einsum": (
        lambda w: np.einsum("ni,i->", like(ROWS, w), w) / N,
        np.ones(3),
    ),
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


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("spec", ["ni,ij->nj", "ni,ij->", "ni,nj,ij->ij"])
def test_einsum_of_bfloat16(spec, compiled, rng):
    x, w = rng.random((N, 4)), rng.random((4, 3))
    operands = (x, rng.random((N, 3)), w) if spec.count(",") == 2 else (x, w)
    low = tuple([v.astype(ml_dtypes.bfloat16) for v in operands])
    f = lambda *v: np.sum(np.einsum(spec, *v)) / N
    exact, slopes = value_and_grad(f)(*[v.astype(float) for v in low])
    run = jit(value_and_grad(f)) if compiled else value_and_grad(f)
    value, found = run(*low)
    assert {value.dtype, *[g.dtype for g in found]} == {np.dtype(ml_dtypes.bfloat16)}
    np.testing.assert_allclose(float(value), exact, rtol=2e-2)
    for g, slope in zip(found, slopes, strict=True):
        np.testing.assert_allclose(g.astype(float), slope, rtol=2e-2)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.where(x > 0.5, x, 0),
        lambda x: np.where(x > 0.5, 1, x),
        lambda x: np.clip(x, 0, 1),
        lambda x: np.std(x, axis=0),
        lambda x: nn.avg_pool2d(x[None, None], 2),
        lambda x: nn.leaky_relu(x - 1),
    ],
)
def test_numbers_beside_bfloat16_compiled(f):
    x = (np.arange(12.0).reshape(3, 4) / 8).astype(ml_dtypes.bfloat16)
    loss = lambda x: np.sum(f(x))
    (expected,), (found,) = grad(loss)(x), jit(grad(loss))(x)
    assert found.dtype == expected.dtype == x.dtype
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=1e-2)
