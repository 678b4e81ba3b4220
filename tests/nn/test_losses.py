"""Losses against PyTorch, with every keyword, at the extremes, and under vmap."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd import nn
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.dtypes import resolve_dtype
from pycograd.core.errors import ShapeError
from pycograd.graph import jit
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, value_and_grad
from pycograd.transforms.shapes import eval_shape

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch, a second oracle, is not installed")

REDUCTIONS = ["mean", "sum", "none"]


def compare(ours, theirs, x):
    """Values, gradients and Hessian products of a function of one array."""
    t = torch.tensor(x, requires_grad=True)
    y = theirs(t)
    weights = np.cos(np.arange(y.numel())).reshape(y.shape)
    (slope,) = torch.autograd.grad((y * torch.tensor(weights)).sum(), t, create_graph=True)
    (bend,) = torch.autograd.grad(slope.square().sum(), t)
    loss = lambda x: np.sum(ours(x) * weights)
    np.testing.assert_allclose(ours(x), y.detach().numpy(), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(grad(loss)(x)[0], slope.detach().numpy(), rtol=1e-10, atol=1e-13)
    squares = lambda x: np.sum(np.square(grad(loss)(x)[0]))
    np.testing.assert_allclose(grad(squares)(x)[0], bend.numpy(), rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(
        jvp(squares, (x,), (weights.sum() + x,))[1], np.sum(bend.numpy() * (weights.sum() + x))
    )


@needs_torch
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignore_index", [None, -100, 2])
def test_cross_entropy_of_labels(reduction, smoothing, ignore_index, rng):
    x, labels = rng.standard_normal((6, 4)) * 3, rng.integers(0, 4, 6)
    labels[0] = 2 if ignore_index is None else ignore_index
    ours = lambda x: nn.cross_entropy(
        x, labels, reduction=reduction, label_smoothing=smoothing, ignore_index=ignore_index
    )
    index = -100 if ignore_index is None else ignore_index
    theirs = lambda t: F.cross_entropy(
        t, torch.tensor(labels), reduction=reduction, label_smoothing=smoothing, ignore_index=index
    )
    compare(ours, theirs, x)


@needs_torch
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_probabilities(reduction, smoothing, rng):
    x, p = rng.standard_normal((6, 4)) * 3, rng.dirichlet(np.ones(4), 6)
    p[0] = [0, 1, 0, 0]
    options = {"reduction": reduction, "label_smoothing": smoothing}
    compare(
        lambda x: nn.cross_entropy(x, p, **options),
        lambda t: F.cross_entropy(t, torch.tensor(p), **options),
        x,
    )
    compare(
        lambda p: nn.cross_entropy(x, p, **options),
        lambda p: F.cross_entropy(torch.tensor(x), p, **options) + 0 * p.square().sum(),
        p,
    )


@needs_torch
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_classes_along_another_axis(reduction, rng):
    x, labels = rng.standard_normal((2, 4, 3, 5)), rng.integers(0, 4, (2, 3, 5))
    p = np.moveaxis(rng.dirichlet(np.ones(4), (2, 3, 5)), -1, 1)
    for targets in (labels, p):
        compare(
            lambda x, y=targets: nn.cross_entropy(x, y, axis=1, reduction=reduction),
            lambda t, y=targets: F.cross_entropy(t, torch.tensor(y), reduction=reduction),
            x,
        )
    compare(
        lambda x: nn.nll_loss(x, labels, axis=-3, reduction=reduction, ignore_index=1),
        lambda t: (
            F.nll_loss(t, torch.tensor(labels), reduction=reduction, ignore_index=1)
            + 0 * t.square().sum()
        ),
        x,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_definitions(smoothing, rng):
    """Each loss, one position at a time."""
    x, labels = rng.standard_normal((3, 2, 4)), rng.integers(0, 4, (3, 2))
    p, q = rng.dirichlet(np.ones(4), (3, 2)), rng.uniform(0, 1, (3, 2, 4))
    at = list(np.ndindex(3, 2))
    logs = {i: np.log(np.exp(x[i]) / np.sum(np.exp(x[i]))) for i in at}
    hard = {i: -(1 - smoothing) * logs[i][labels[i]] - smoothing * np.mean(logs[i]) for i in at}
    soft = {i: -np.sum(((1 - smoothing) * p[i] + smoothing / 4) * logs[i]) for i in at}
    for targets, expected in ((labels, hard), (p, soft)):
        f = lambda x, r, y=targets: nn.cross_entropy(x, y, reduction=r, label_smoothing=smoothing)
        expected = np.array([expected[i] for i in at])
        np.testing.assert_allclose(f(x, "none"), expected.reshape(3, 2))
        assert f(x, "sum") == pytest.approx(expected.sum())
        assert f(x, "mean") == pytest.approx(expected.mean())
    front = np.moveaxis(x, -1, 0)
    assert nn.cross_entropy(front, labels, 0) == pytest.approx(nn.cross_entropy(x, labels))
    assert nn.cross_entropy(front, np.moveaxis(p, -1, 0), 0) == pytest.approx(
        nn.cross_entropy(x, p)
    )
    f = lambda x: nn.cross_entropy(x, labels, label_smoothing=smoothing, ignore_index=labels[0, 0])
    counted = [hard[i] for i in at if labels[i] != labels[0, 0]]
    assert f(x) == pytest.approx(np.mean(counted))
    (g,) = grad(f)(x)
    np.testing.assert_array_equal(g[labels == labels[0, 0]], 0.0)
    assert nn.nll_loss(nn.log_softmax(x), labels) == pytest.approx(nn.cross_entropy(x, labels))
    assert nn.mse_loss(x, q) == pytest.approx(np.mean((x - q) ** 2))
    s = 1 / (1 + np.exp(-x))
    entropy = -q * np.log(s) - (1 - q) * np.log(1 - s)
    np.testing.assert_allclose(nn.bce_with_logits(x, q, "none"), entropy)


def test_one_position(rng):
    x = rng.standard_normal(4)
    assert nn.cross_entropy(x, 2) == pytest.approx(-np.log(np.exp(x[2]) / np.sum(np.exp(x))))
    rows, labels = rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
    expected = nn.cross_entropy(rows, labels, reduction="none")
    np.testing.assert_allclose(vmap(nn.cross_entropy)(rows, labels), expected)
    per_row = vmap(grad(nn.cross_entropy, argnums=0))(rows, labels)
    np.testing.assert_allclose(per_row, nn.softmax(rows) - nn.one_hot(labels, 4))


def test_extreme_logits():
    x = np.array([[1000.0, -1000.0], [-np.inf, 3.0]])
    with np.errstate(all="raise", under="ignore"):
        for targets in (np.array([1, 1]), np.array([[0.0, 1.0], [0.0, 1.0]])):
            loss = nn.cross_entropy(x, targets, reduction="none")
            np.testing.assert_array_equal(loss, [2000.0, 0.0])
            (g,) = grad(lambda x, y=targets: nn.cross_entropy(x, y))(x)
            np.testing.assert_array_equal(g, [[0.5, -0.5], [0.0, 0.0]])
        big = np.array([-1e4, -30.0, 30.0, 1e4])
        ones, zeros = np.ones(4), np.zeros(4)
        exact = [np.log1p(np.exp(-30.0))]
        assert nn.bce_with_logits(big, ones, "none").tolist() == [1e4, 30 + exact[0], *exact, 0]
        assert nn.bce_with_logits(big, zeros, "none").tolist() == [0, *exact, 30 + exact[0], 1e4]
        assert np.isfinite(grad(nn.bce_with_logits, argnums=0)(big, ones)).all()


@needs_torch
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_regression_and_binary_losses(reduction, rng):
    x, y = rng.standard_normal((3, 4)) * 3, rng.uniform(0, 1, (3, 4))
    for ours, theirs in (
        (nn.mse_loss, F.mse_loss),
        (nn.bce_with_logits, F.binary_cross_entropy_with_logits),
    ):
        compare(
            lambda x, f=ours: f(x, y, reduction=reduction),
            lambda t, f=theirs: f(t, torch.tensor(y), reduction=reduction),
            x,
        )
        f = lambda y, f=ours: f(x, y, reduction="sum")
        t = torch.tensor(y, requires_grad=True)
        theirs(torch.tensor(x), t, reduction="sum").backward()
        np.testing.assert_allclose(grad(f)(y)[0], t.grad.numpy(), rtol=1e-11, atol=1e-13)
    assert nn.mse_loss(x, 0.0) == pytest.approx(np.mean(x * x))
    assert nn.mse_loss([1.0, 2.0], [1.0, 4.0]) == 2.0


def test_float32_is_kept(rng):
    x = rng.standard_normal((5, 3)).astype(np.float32)
    labels, p = rng.integers(0, 3, 5), nn.softmax(x)
    binary = labels[:, None] == np.arange(3)
    for f in (
        lambda x: nn.cross_entropy(x, labels),
        lambda x: nn.cross_entropy(x, labels, label_smoothing=0.1, ignore_index=0),
        lambda x: nn.cross_entropy(x, p, label_smoothing=0.1),
        lambda x: nn.nll_loss(x, labels),
        lambda x: nn.mse_loss(x, x * 2),
        lambda x: nn.bce_with_logits(x, binary),
        lambda x: nn.bce_with_logits(x, binary.astype(int)),
        lambda x: nn.bce_with_logits(x, 0.5),
    ):
        assert f(x).dtype == np.float32
        assert grad(f)(x)[0].dtype == np.float32
        assert eval_shape(f, x) == ShapeDtypeStruct((), "f32")


def test_shapes_without_data():
    logits, labels = ShapeDtypeStruct(("B", 10)), ShapeDtypeStruct(("B",), np.int64)
    for reduction, shape in (("mean", "f64[]"), ("none", "f64[B]")):
        f = lambda x, y, r=reduction: nn.cross_entropy(x, y, reduction=r)
        assert str(eval_shape(f, logits, labels)) == shape
    with pytest.raises(ShapeError, match="must be equal"):
        eval_shape(nn.mse_loss, ShapeDtypeStruct((3, 4)), ShapeDtypeStruct((3, 5)))


def test_mistakes_are_named(rng):
    x = rng.standard_normal((3, 4))
    with pytest.raises(ValueError, match="cross_entropy: label -1 is not one of the 4 classes"):
        nn.cross_entropy(x, np.array([0, -1, 2]))
    with pytest.raises(ValueError, match="cross_entropy: label -1"):
        nn.cross_entropy(x[0], -1)
    with pytest.raises(ValueError, match="nll_loss: label 4 is not one"):
        nn.nll_loss(x, np.array([0, 4, 2]))
    with pytest.raises(ValueError, match="label 7"):
        vmap(nn.cross_entropy)(x, np.array([0, 7, 2]))
    with pytest.raises(ShapeError, match=r"labels of shape \(3, 1\) for values of shape \(3, 4\)"):
        nn.cross_entropy(x, np.zeros((3, 1), int))
    with pytest.raises(ShapeError, match=r"shapes \(3,\) and \(2,\) must be equal"):
        nn.cross_entropy(x, np.zeros(2, int))
    with pytest.raises(ShapeError, match=r"mse_loss: shapes \(3, 1\) and \(3,\)"):
        nn.mse_loss(x[:, :1], x[:, 0])
    with pytest.raises(ShapeError, match="bce_with_logits: shapes"):
        nn.bce_with_logits(x, x[0])
    with pytest.raises(TypeError, match="nll_loss: indices and labels are integers, not float64"):
        nn.nll_loss(x, np.zeros(3))
    with pytest.raises(TypeError, match="ignore_index is for integer labels"):
        nn.cross_entropy(x, x, ignore_index=0)
    with pytest.raises(ValueError, match=r"label_smoothing is from 0 to 1, not 1.5"):
        nn.cross_entropy(x, np.zeros(3, int), label_smoothing=1.5)
    with pytest.raises(ValueError, match="reduction must be 'mean', 'sum' or 'none', not 'avg'"):
        nn.mse_loss(x, x, reduction="avg")


def test_huber_loss(rng):
    x, y = rng.standard_normal((2, 50)) * 2
    error = np.abs(x - y)
    wanted = np.where(error <= 0.7, error**2 / 2, 0.7 * (error - 0.35))
    np.testing.assert_allclose(nn.huber_loss(x, y, "none", 0.7), wanted, rtol=1e-12)
    np.testing.assert_allclose(nn.huber_loss(x, y, delta=0.7), wanted.mean())
    far = np.array([-1e300, -0.7, 0.0, 0.7, 1e300])
    np.testing.assert_array_equal(
        grad(lambda x: nn.huber_loss(x, 0.0, "sum", 0.7))(far)[0], np.clip(far, -0.7, 0.7)
    )
    with pytest.raises(ValueError, match="huber_loss: delta must be positive, not 0"):
        nn.huber_loss(x, y, delta=0)
    with pytest.raises(ShapeError, match=r"huber_loss: shapes \(50,\) and \(49,\)"):
        nn.huber_loss(x, y[:49])


def test_kl_div(rng):
    logs, own = nn.log_softmax(rng.standard_normal((2, 3, 4)))
    targets = np.exp(own)
    wanted = np.sum(targets * (own - logs), -1)
    np.testing.assert_allclose(nn.kl_div(logs, targets, reduction="none"), wanted, rtol=1e-12)
    np.testing.assert_allclose(nn.kl_div(logs, own, log_target=True), wanted.mean())
    np.testing.assert_allclose(nn.kl_div(logs.T, targets.T, 0, "sum"), wanted.sum())
    np.testing.assert_allclose(nn.kl_div(own, targets), 0, atol=1e-15)
    with pytest.raises(ShapeError, match=r"kl_div: shapes \(3, 4\) and \(4,\) must be equal"):
        nn.kl_div(logs, targets[0])


@pytest.mark.parametrize("log_target", [False, True])
def test_impossible_classes_add_nothing_to_kl_div(log_target):
    logs, targets = np.array([-np.inf, np.log(0.25), np.log(0.75)]), np.array([0.0, 0.5, 0.5])
    with np.errstate(divide="ignore"):
        targets = np.log(targets) if log_target else targets
    f = lambda x, y: nn.kl_div(x, y, log_target=log_target)
    value, grads = value_and_grad(f)(logs, targets)
    np.testing.assert_allclose(value, 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75))
    np.testing.assert_allclose(grads[0], [0.0, -0.5, -0.5])
    assert np.isfinite(grads[1]).all() and grads[1][0] == 0


@pytest.mark.parametrize("loss", [nn.mse_loss, nn.huber_loss])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.uint32])
def test_differences_of_integers_do_not_wrap_around(loss, dtype):
    top = 1 if dtype is bool else np.iinfo(dtype).max
    x, y = np.array([0, top, 1]).astype(dtype), np.array([top, 0, 1]).astype(dtype)
    wanted = loss(x.astype(float), y.astype(float))
    for a, b in ((x, y), (x.astype(float), y), (x, y.astype(float))):
        np.testing.assert_allclose(loss(a, b), wanted, rtol=1e-12)
    np.testing.assert_allclose(loss(0, y), loss(0.0, y.astype(float)), rtol=1e-12)
    half = np.zeros(3, np.float32)
    assert loss(half, 1.0).dtype == loss(half, 1).dtype == np.float32
    with pytest.raises(TypeError, match="takes real numbers, not complex128"):
        loss(np.ones(2) * 1j, np.ones(2))


def test_targets_of_the_other_kind_say_how_to_convert_them():
    logits = np.zeros((3, 2))
    with pytest.raises(ShapeError, match=r"labels are integers, targets\.astype\(int\)"):
        nn.cross_entropy(logits, np.zeros(3))
    with pytest.raises(ShapeError, match=r"one-hot targets are floats, targets\.astype\(float"):
        nn.cross_entropy(logits, np.eye(2, dtype=int)[[0, 1, 1]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("loss", [nn.cross_entropy, nn.nll_loss])
def test_the_mean_of_many_positions_in_16_bits(loss, dtype, rng):
    values = -5.0 * rng.random((120_000, 3))
    labels = np.where(np.arange(120_000) % 2, 1, 2)
    logits = values.astype(resolve_dtype(dtype))
    for of in (
        lambda x: loss(x, labels, ignore_index=2),
        jit(lambda x: loss(x, labels, ignore_index=2)),
    ):
        found = of(logits)
        assert found.dtype == logits.dtype
        expected = loss(logits.astype(float)[1::2], labels[1::2])
        np.testing.assert_allclose(float(found), expected, rtol=2e-2)
    (slope,) = grad(lambda x: 1000 * loss(x, labels, ignore_index=2))(logits)
    (exact,) = grad(lambda x: 1000 * loss(x, labels, ignore_index=2))(logits.astype(float))
    np.testing.assert_allclose(slope.astype(float), exact, rtol=5e-2, atol=1e-3)
