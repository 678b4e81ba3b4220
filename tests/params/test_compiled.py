"""Compiled objectives: what is an input, what is compiled anew, and that no batch is stale."""

import functools

import numpy as np
import pytest

import pycograd as pg
from pycograd import params

rng = np.random.default_rng(0)
scale = np.array([1.0, 2.0])


def batch(n=6):
    return rng.standard_normal((n, 3)), rng.integers(0, 2, n)


X, Y = batch()
DATA = (X, Y)


def net():
    return params(W=rng.standard_normal((3, 2)), b=np.zeros(2))


def scores(x):
    return np.tanh(x @ W) * scale + b  # noqa: F821


def whole():
    return pg.cross_entropy(scores(X), Y)


def from_tuple():
    x, y = DATA
    return pg.cross_entropy(scores(x), y)


def inner():
    return scores(X)


def through_helper():
    return pg.cross_entropy(inner(), Y)


def with_numbers():
    return pg.cross_entropy(scores(X / float(np.abs(X).max())), Y) * int(Y.max() + 1)


def table_of_arrays():
    return -np.sum(np.log(pg.softmax(scores(X))) * np.eye(2)[Y])


partial_scores = functools.partial(lambda k: scores(X * k), 0.5)


def through_partial():
    return pg.cross_entropy(partial_scores() + np.sum(X), Y)


class Model:
    def scores(self):
        return scores(X)


MODEL = Model()


def through_method():
    return pg.cross_entropy(MODEL.scores() * np.mean(X), Y)


FUNCTIONS = [lambda: scores(X)]


def through_list():
    return pg.cross_entropy(FUNCTIONS[0]() + np.sum(X), Y)


@pytest.mark.parametrize("make", ["new", "in place", "shape", "dtype"])
@pytest.mark.parametrize(
    "objective, once",
    [
        (whole, True),
        (from_tuple, True),
        (through_helper, True),
        (with_numbers, False),
        (table_of_arrays, False),
        (through_partial, False),
        (through_method, False),
        (through_list, False),
    ],
)
def test_every_batch_gives_its_own_result(objective, once, make, monkeypatch):
    m = net()
    for i in range(4):
        x, y = batch(6 + i if make == "shape" else 6)
        if make == "dtype" and i % 2:
            x = x.astype(np.float32)
        if make == "in place":
            x, y = X, Y
            x += 0.3
            y[:] = 1 - y
        monkeypatch.setitem(globals(), "X", x)
        monkeypatch.setitem(globals(), "Y", y)
        monkeypatch.setitem(globals(), "DATA", (x, y))
        value, grads = m.grad(objective, jit=True)
        expected, wanted = m.grad(objective)
        np.testing.assert_allclose(value, expected, rtol=1e-6 if make == "dtype" else 1e-12)
        for g, e in zip(pg.tree_leaves(grads), pg.tree_leaves(wanted), strict=True):
            assert g.dtype == e.dtype
            np.testing.assert_allclose(g, e, rtol=1e-5 if make == "dtype" else 1e-10, atol=1e-12)
        m.step(grads, 0.1)
    if once and make in ("new", "in place"):
        assert "compiled 1 time\n" in m.explain(objective)


def test_what_a_closure_names_is_an_input():
    m = net()
    x, y = batch()
    objective = lambda: pg.cross_entropy(scores(x), y)
    for _ in range(3):
        x, y = batch()
        np.testing.assert_allclose(m.grad(objective, jit=True)[0], m.grad(objective)[0])
    text = m.explain(objective)
    assert "compiled 1 time\n" in text and "inputs: weights, arguments, " in text
    assert {"x", "y", "scale"} <= set(text.rpartition("inputs: ")[2].split(", "))


def test_weights_are_not_said_to_be_part_of_a_program():
    m = params(enc={"w": np.ones(3)}, s=2.0)
    objective = lambda: np.sum(X @ m.enc.w) * m.s
    m.grad(objective, jit=True)
    assert "ParamDict" not in m.explain(objective)


def test_a_variable_that_changes_its_kind_is_looked_at_again():
    m, k = net(), np.array(2.0)
    x, y = batch()
    objective = lambda: pg.cross_entropy(scores(x), y) * k
    first, _ = m.grad(objective, jit=True)
    k = 3.0
    np.testing.assert_allclose(m.grad(objective, jit=True)[0], first * 1.5)
    k = 4.0
    np.testing.assert_allclose(m.grad(objective, jit=True)[0], first * 2.0)


def test_an_objective_that_writes_into_its_data_is_refused():
    m, x = net(), np.ones((2, 3))

    def objective():
        x[0] = 2.0
        return np.sum(scores(x))

    with pytest.raises(pg.PlainBufferError, match="writes into the array x"):
        m.grad(objective, jit=True)


def test_helpers_that_are_replaced_are_seen(monkeypatch):
    m = net()
    m.grad(through_helper, jit=True)
    monkeypatch.setitem(globals(), "inner", lambda: 2.0 * scores(X))
    np.testing.assert_allclose(m.grad(through_helper, jit=True)[0], m.grad(through_helper)[0])


def test_arguments_are_inputs_by_shape_and_dtype():
    m = net()

    def loss(x, y, k=1.0, mode="a"):
        return pg.cross_entropy(scores(x), y) * k * (2.0 if mode == "b" else 1.0)

    for args, kwargs in [
        (batch(), {}),
        (batch(), {}),
        (batch(), {"k": 3.0}),
        (batch(), {"k": 4.0}),
        (batch(4), {"mode": "b"}),
    ]:
        np.testing.assert_allclose(
            m.grad(loss, *args, jit=True, **kwargs)[0], m.grad(loss, *args, **kwargs)[0]
        )
    assert "compiled 3 times" in m.explain(loss)


def test_errors_are_those_of_the_objective():
    m = net()
    with pytest.raises(pg.ShapeError, match=r"test_compiled\.py"):
        m.grad(lambda: np.sum(scores(X.T)), jit=True)
    with pytest.raises(pg.NonScalarOutputError):
        m.grad(lambda: scores(X), jit=True)
    with pytest.raises(pg.ControlFlowError):
        m.grad(lambda: np.sum(scores(X)) if m.b[0] > 0 else np.sum(m.b), jit=True)
    with pytest.raises(ValueError, match="has not compiled"):
        m.explain(whole)


def test_frozen_weights_are_inputs_too():
    m = params(W=np.ones((3, 2)), f=pg.frozen(2.0), c=pg.buffer(1.0))
    objective = lambda: np.sum(X @ m.W) * m.f * m.c
    for k in (1.0, 2.0, 3.0):
        m.f = k
        m.update_buffers(c=k)
        np.testing.assert_allclose(m.grad(objective, jit=True)[0], m.grad(objective)[0])
    assert "compiled 1 time\n" in m.explain(objective)
