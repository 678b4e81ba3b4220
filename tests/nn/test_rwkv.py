"""RWKV's attention: the sum that defines it, over a sequence, in steps, and in both together."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd import nn
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError, SymbolicSizeError
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape


def by_definition(k, v, decay, bonus):
    out = []
    for t in range(k.shape[-2]):
        logs = [k[..., i, :] - (t - 1 - i) * decay for i in range(t)] + [k[..., t, :] + bonus]
        weights = nn.softmax(np.stack(logs, -2), axis=-2)
        out.append(np.sum(weights * v[..., : t + 1, :], axis=-2))
    return np.stack(out, -2)


def in_steps(k, v, decay, bonus):
    state, out = nn.rwkv_init((*k.shape[:-2], k.shape[-1]), k.dtype), []
    for t in range(k.shape[-2]):
        y, state = nn.rwkv_recurrent(k[..., t, :], v[..., t, :], state, decay, bonus)
        out.append(y)
    return np.stack(out, -2), state


def problem(rng, steps, scale=1.0):
    k, v = rng.standard_normal((2, 2, steps, 3))
    return k * scale, v, rng.uniform(0.01, 2, 3), rng.standard_normal(3)


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 13])
def test_all_forms_agree_with_their_derivatives(steps, rng):
    args = problem(rng, steps)
    wanted, pull = vjp(by_definition, *args)
    ct = rng.standard_normal(wanted.shape)
    for f in (lambda *a: nn.rwkv_parallel(*a)[0], lambda *a: in_steps(*a)[0]):
        y, ours = vjp(f, *args)
        np.testing.assert_allclose(y, wanted, rtol=1e-10)
        for a, b in zip(ours(ct), pull(ct), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        moved = jvp(f, args, args)[1]
        np.testing.assert_allclose(moved, jvp(by_definition, args, args)[1], atol=1e-11)


def test_a_sequence_goes_on_where_another_ended(rng):
    k, v, decay, bonus = problem(rng, 11)
    whole, last = nn.rwkv_parallel(k, v, decay, bonus)
    y, state = nn.rwkv_parallel(k[:, :4], v[:, :4], decay, bonus)
    z, state = nn.rwkv_parallel(k[:, 4:10], v[:, 4:10], decay, bonus, state)
    end, state = nn.rwkv_recurrent(k[:, 10], v[:, 10], state, decay, bonus)
    np.testing.assert_allclose(np.concatenate([y, z, end[:, None]], 1), whole, rtol=1e-10)
    for a, b in zip(state, last, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    for a, b in zip(in_steps(k, v, decay, bonus)[1], last, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_keys_and_long_sequences_are_finite(dtype, rng):
    args = [x.astype(dtype) for x in problem(rng, 300, 1e4)]
    with np.errstate(all="raise", under="ignore"):
        y, _ = nn.rwkv_parallel(*args)
        grads = grad(lambda *a: np.sum(nn.rwkv_parallel(*a)[0]), argnums=(0, 1, 2, 3))(*args)
    assert y.dtype == dtype
    assert np.abs(y).max() <= np.abs(args[1]).max() * (1 + 1e-6)  # a mean of values
    assert all(np.isfinite(g).all() and g.dtype == dtype for g in grads)


def test_shapes_and_mistakes(rng):
    k, v, decay, bonus = problem(rng, 4)
    batch = [ShapeDtypeStruct(("B", 4, 3))] * 2
    y, (mean, _) = eval_shape(lambda k, v: nn.rwkv_parallel(k, v, decay, bonus), *batch)
    assert str(y) == "f64[B,4,3]" and str(mean) == "f64[B,3]"
    with pytest.raises(SymbolicSizeError, match=r"number of steps T.*scan rwkv_recurrent"):
        sequence = [ShapeDtypeStruct((2, "T", 3))] * 2
        eval_shape(lambda k, v: nn.rwkv_parallel(k, v, decay, bonus), *sequence)
    with pytest.raises(ShapeError, match=r"rwkv_parallel: k and v are of one shape \(..., T, C\)"):
        nn.rwkv_parallel(k, v[:, :3], decay, bonus)
    with pytest.raises(ShapeError, match=r"decay and bonus \(C,\), not of .* \(2,\) and \(3,\)"):
        nn.rwkv_recurrent(k[:, 0], v[:, 0], nn.rwkv_init((2, 3)), decay[:2], bonus)
    empty, state = nn.rwkv_parallel(k[:, :0], v[:, :0], decay, bonus)
    assert empty.shape == (2, 0, 3)
    np.testing.assert_array_equal(state[1], -np.inf)


def test_states_that_do_not_fit():
    k, one = np.ones((4, 3, 2)), np.ones(2)
    for shape in (3, (3, 2), (5, 2), (1, 4, 2)):
        with pytest.raises(ShapeError, match=r"where steps have shape \(4, 2\)"):
            nn.rwkv_recurrent(k[:, 0], k[:, 0], nn.rwkv_init(shape), one, one)
        with pytest.raises(ShapeError, match=r"where steps have shape \(4, 2\)"):
            nn.rwkv_parallel(k, k, one, one, nn.rwkv_init(shape))
    whole, _ = nn.rwkv_parallel(k, k, one, one)
    found, _ = nn.rwkv_parallel(k, k, one, one, nn.rwkv_init(2))
    np.testing.assert_allclose(found, whole, rtol=1e-12)
