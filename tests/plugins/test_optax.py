"""Gradient transformations of optax as optimisers; optax itself, on JAX, is the oracle."""

from __future__ import annotations

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="jax is not installed")
optax = pytest.importorskip("optax", reason="optax is not installed")

import pycograd as pg  # noqa: E402
from pycograd.optim.optax import Optax, as_optimizer  # noqa: E402

TARGET = np.array([1.0, -2.0, 0.5])


def loss(params):
    return np.sum((params["w"] - TARGET) ** 2) + np.sum(params["b"] ** 2 * np.cos(params["b"]))


START = {"w": np.array([0.2, 0.3, -0.4]), "b": np.array(0.7)}


def by_optax(tx, steps):
    """The path of the parameters in JAX alone."""
    import jax.numpy as jnp

    def objective(p):
        return jnp.sum((p["w"] - TARGET) ** 2) + jnp.sum(p["b"] ** 2 * jnp.cos(p["b"]))

    with jax.enable_x64(True):
        p = {k: jnp.asarray(v) for k, v in START.items()}
        state = tx.init(p)
        for _ in range(steps):
            updates, state = tx.update(jax.grad(objective)(p), state, p)
            p = optax.apply_updates(p, updates)
        return {k: np.asarray(v) for k, v in p.items()}


@pytest.mark.parametrize(
    "make",
    [
        lambda: optax.sgd(0.05, momentum=0.9),
        lambda: optax.adamw(optax.cosine_decay_schedule(0.1, 20), weight_decay=0.1),
        lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.lion(0.01)),
        lambda: optax.adafactor(0.1),
    ],
)
def test_the_path_is_that_of_optax(make):
    opt, params = as_optimizer(make()), START
    for _ in range(15):
        (grads,) = pg.grad(loss)(params)
        params = opt.step(params, grads)
    for name, expected in by_optax(make(), 15).items():
        assert params[name].dtype == np.float64
        np.testing.assert_allclose(params[name], expected, rtol=1e-12)
    assert not jax.config.jax_enable_x64


def test_training_goes_on_from_a_saved_state():
    def steps(opt, params, n):
        for _ in range(n):
            params = opt.step(params, pg.grad(loss)(params)[0])
        return params

    whole = steps(Optax(optax.adam(0.1)), START, 6)
    first, second = Optax(optax.adam(0.1)), Optax(optax.adam(0.1))
    half = steps(first, START, 3)
    second.load_state_dict(first.state_dict())
    assert second.state_dict()["steps"] == 3
    resumed = steps(second, half, 3)
    for name in whole:
        np.testing.assert_array_equal(resumed[name], whole[name])
    other = Optax(optax.sgd(0.1, momentum=0.9))
    other.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="not in both the saved state and that of this transf"):
        steps(other, half, 1)


def test_leaves_without_a_gradient_stay_and_mistakes_are_named():
    opt = Optax(optax.sgd(0.5))
    new = opt.step({"w": np.ones(2), "n": 3}, {"w": np.ones(2), "n": None})
    np.testing.assert_array_equal(new["w"], 0.5 * np.ones(2))
    assert new["n"] == 3
    with pytest.raises(pg.ShapeError, match="leaf 'w'"):
        opt.step({"w": np.ones(2), "n": 3}, {"w": np.ones(3), "n": None})
    with pytest.raises(pg.TreeMismatchError, match="leaf 'v' had a gradient at some steps only"):
        opt.step({"w": np.ones(2), "v": np.ones(2)}, {"w": np.ones(2), "v": np.ones(2)})
    assert opt.steps == 1
    kept = opt.step({"w": np.ones(2, np.float32), "n": 3}, {"w": np.ones(2), "n": None})
    assert kept["w"].dtype == np.float32


def test_what_is_no_optimiser():
    with pytest.raises(TypeError, match="an optimiser is an Optimizer such as Adam"):
        as_optimizer("adam")
