"""Plain gradient descent, and optimisers inside transforms."""

import numpy as np
import pytest

from pycograd.core.errors import NonScalarOutputError
from pycograd.optim import SGD, Adam, AdamW, clip_grad_norm, step_decay
from pycograd.training import gradient_descent
from pycograd.transforms.reverse import grad

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((8, 3)), RNG.standard_normal(8)


def least_squares(x):
    residual = A @ x - B
    return np.sum(residual * residual)


def test_finds_what_lstsq_finds():
    (x,), history = gradient_descent(least_squares, (np.zeros(3),), lr=0.02, steps=2000)
    np.testing.assert_allclose(x, np.linalg.lstsq(A, B)[0], atol=1e-8)
    assert len(history) == 2000 and all(type(h) is float for h in history)
    assert history[0] == pytest.approx(np.sum(B * B)) and history[-1] == pytest.approx(min(history))


def test_takes_the_very_steps_of_gradient_descent():
    x, expected = np.zeros(3), []
    for _ in range(5):
        expected.append(least_squares(x))
        x = x - 0.01 * 2 * A.T @ (A @ x - B)
    (y,), history = gradient_descent(least_squares, (np.zeros(3),), lr=0.01, steps=5)
    np.testing.assert_allclose(y, x, rtol=1e-12)
    np.testing.assert_allclose(history, expected, rtol=1e-12)


def test_a_tuple_is_the_arguments_and_any_other_tree_is_one():
    def loss(w, b):
        return np.sum((w - 1.0) ** 2) + (b - 2.0) ** 2

    start = (np.zeros(2), 0.0)
    (w, b), history = gradient_descent(loss, start)
    assert type(b) is float and np.allclose(w, 1) and b == pytest.approx(2)
    tree, other = gradient_descent(lambda p: loss(*p["wb"]), {"wb": start, "name": "fixed"})
    assert np.array_equal(tree["wb"][0], w) and tree["name"] == "fixed" and other == history
    bare, _ = gradient_descent(lambda w: np.sum((w - 1.0) ** 2), np.zeros(2, np.float32))
    assert bare.dtype == np.float32 and np.allclose(bare, 1)


def test_schedules_and_no_steps():
    x, _ = gradient_descent(lambda x: np.sum(x), np.zeros(1), lr=step_decay(1.0, 0.5, 1), steps=3)
    assert x == pytest.approx([-1.75])
    start = (np.ones(2),)
    assert gradient_descent(least_squares, start, steps=0) == (start, [])


def test_mistakes():
    with pytest.raises(ValueError, match="steps must not be negative"):
        gradient_descent(least_squares, (np.zeros(3),), steps=-1)
    with pytest.raises(NonScalarOutputError):
        gradient_descent(lambda x: x, (np.zeros(3),))


@pytest.mark.parametrize(
    "make",
    [
        lambda lr: SGD(lr),
        lambda lr: SGD(lr, momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda lr: Adam(lr, eps=1e-3),
        lambda lr: AdamW(lr, weight_decay=0.1, eps=1e-3),
        lambda lr: SGD(lambda step: lr / step),
    ],
    ids=["sgd", "nesterov", "adam", "adamw", "schedule"],
)
def test_learning_to_learn(make):
    """The loss after three steps has derivatives in the learning rate and the starting point."""

    def after_training(lr, x, z):
        opt, params = make(lr), {"x": x, "z": z}
        for _ in range(3):
            slopes = grad(lambda p: least_squares(p["x"]) + 2.0 * np.real(p["z"]) ** 2)(params)[0]
            params = opt.step(params, clip_grad_norm(slopes, 5.0))
        return least_squares(params["x"]) + np.real(params["z"] * params["z"])

    lr, x, z = 0.03, np.array([0.3, -0.2, 0.1]), np.array(0.5 + 0.25j)
    d_lr, d_x, _ = grad(after_training)(lr, x, z)
    h = 1e-6
    numeric = (after_training(lr + h, x, z) - after_training(lr - h, x, z)) / (2 * h)
    assert d_lr == pytest.approx(float(numeric), rel=1e-5)
    for i, e in enumerate(np.eye(3)):
        numeric = (after_training(lr, x + h * e, z) - after_training(lr, x - h * e, z)) / (2 * h)
        assert d_x[i] == pytest.approx(float(numeric), rel=1e-5, abs=1e-7)


def test_inside_gradient_descent_inside_grad():
    def tuned(lr):
        (x,), history = gradient_descent(least_squares, (np.zeros(3),), lr=lr, steps=4)
        return least_squares(x) + history[1]

    h = 1e-7
    numeric = (tuned(0.01 + h) - tuned(0.01 - h)) / (2 * h)
    assert grad(tuned)(0.01)[0] == pytest.approx(numeric, rel=1e-5)


@pytest.mark.parametrize("make", [SGD, Adam, AdamW])
def test_leaves_without_slope_make_no_nans_in_outer_derivatives(make):
    """The square root of Adam and of the norm has an infinite slope at 0."""

    def after_training(lr, w):
        opt, params = make(lr), {"used": w, "unused": np.zeros(2)}
        slopes = grad(lambda p: np.sum(p["used"] ** 3))(params)[0]
        return np.sum(opt.step(params, clip_grad_norm(slopes, 1.0))["used"])

    d_lr, d_w = grad(after_training)(0.1, np.zeros(2))
    assert d_lr == 0.0 and np.array_equal(d_w, [1.0, 1.0])
