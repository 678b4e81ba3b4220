"""Compiled objectives: what is an input, what is compiled anew, and that no batch is stale."""

import functools
import re
import threading
import types
import warnings

import numpy as np
import pytest

import pycograd as pg
from pycograd import params
from pycograd.graph import jitted

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


def compilations(monkeypatch):
    """A list that grows by an entry for each compilation."""
    found, before = [], jitted.Jitted._captured
    monkeypatch.setattr(
        jitted.Jitted, "_captured", lambda self, *args: found.append(1) or before(self, *args)
    )
    return found


def same(m, objective, jit=True):
    (value, grads), (expected, wanted) = m.grad(objective, jit=jit), m.grad(objective)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-12)
    for g, e in zip(pg.tree_leaves(grads), pg.tree_leaves(wanted), strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-10, atol=1e-12)


def test_a_function_made_anew_at_each_call_is_compiled_once(monkeypatch):
    m, count = net(), compilations(monkeypatch)

    def step(x, y):
        objective = lambda: pg.cross_entropy(scores(x), y)
        same(m, objective)
        return objective

    for _ in range(6):
        objective = step(*batch())
    assert len(count) == 1 and "compiled 1 time\n" in m.explain(objective)
    for _ in range(6):
        x, y = batch()
        same(m, lambda: pg.cross_entropy(scores(x), y) + np.sum(X))
    assert len(count) == 2
    first, second = step(*batch()), step(*batch())
    for objective in (first, second, first):
        same(m, objective)


class Scaled:
    k = 1.0


HELD = Scaled()


@pytest.mark.filterwarnings("ignore:weights.grad compiles:RuntimeWarning")
def test_functions_of_one_code_that_differ_are_told_apart():
    m = params(w=np.arange(1.0, 4.0))
    one, other = (lambda x: x), (lambda x: 2.0 * x)
    held = Scaled()

    def objectives(i):
        k, f, shape = float(i), (one, other)[i % 2], (i + 1,)
        held.k = HELD.k = k
        table = {"a": X, "b": [X, X * i]}
        shared = X * k

        def doubled():
            nonlocal shared
            shared = shared * 2.0
            return shared

        yield lambda: np.sum(f(m.w)) * k
        yield lambda: np.sum(m.w) * np.prod(shape)
        yield lambda: np.sum(m.w) * held.k
        yield lambda: np.sum(m.w) * HELD.k
        yield lambda k=k: np.sum(m.w) * k
        yield lambda *, k=np.full(3, k): np.sum(m.w * k)  # noqa: B008
        yield lambda: np.sum(table["b"][1] @ m.w)
        yield lambda: np.sum(m.w) * table["b"][1].sum()
        yield lambda: (lambda: np.sum(m.w) * k)()
        yield lambda: np.sum(m.w) * float(np.max(X * k))
        yield lambda: np.sum(m.w) * (X * k).tolist()[0][0]
        yield lambda: np.sum(doubled() @ m.w) * 0.0 + np.sum(X * k @ m.w)

    for i in range(7):
        for objective in objectives(i):
            same(m, objective)
            same(m, objective)


def test_a_method_is_the_same_however_often_it_is_asked_for(monkeypatch):
    class Net:
        def __init__(self, k):
            self.m, self.k, self.table = params(w=np.arange(1.0, 4.0)), k, {"a": [1.0, k]}

        def loss(self, x):
            return np.sum(self.m.w * x) * self.k * self.table["a"][1]

    one, other, count = Net(2.0), Net(3.0), compilations(monkeypatch)
    for i in range(6):
        x = np.full(3, float(i))
        for net in (one, other):
            found = net.m.grad(net.loss, x, jit=True)[0]
            np.testing.assert_allclose(found, net.m.grad(net.loss, x)[0])
    assert len(count) == 2
    for change in (lambda: setattr(one, "k", 5.0), lambda: one.table["a"].__setitem__(1, 7.0)):
        change()
        same(one.m, lambda: one.loss(np.ones(3)))
        found = one.m.grad(one.loss, np.ones(3), jit=True)[0]
        np.testing.assert_allclose(found, one.m.grad(one.loss, np.ones(3))[0])


def test_threads_and_passes_inside_of_one_share_no_variables():
    m = params(w=np.arange(1.0, 4.0))
    failed = []

    def work(seed):
        draw = np.random.default_rng(seed)
        try:
            for _ in range(20):
                x = draw.standard_normal(3)
                value, _ = m.grad(lambda: np.sum(m.w * x), jit=True)
                np.testing.assert_allclose(value, np.sum([1.0, 2.0, 3.0] * x), rtol=1e-12)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed

    def nested(x, depth):
        inside = (lambda: nested(x + 1.0, depth - 1)[0]) if depth else (lambda: 0.0)
        return m.grad(lambda: np.sum(m.w * x) + 0.0 * inside(), jit=True)

    np.testing.assert_allclose(nested(np.ones(3), 2)[0], 6.0)


def test_an_exception_is_never_swallowed():
    m, x, failing = params(w=np.ones(3)), np.ones(3), [OSError("once")]

    def objective():
        if failing:
            raise failing.pop()
        return np.sum(m.w * x)

    with pytest.raises(OSError, match="once") as caught:
        m.grad(objective, jit=True)
    assert caught.value.__context__ is None
    same(m, objective)
    with pytest.raises(pg.ControlFlowError) as caught:
        m.grad(lambda: np.sum(m.w * x) if m.w[0] > 0 else 0.0, jit=True)
    assert caught.value.__context__ is None


def test_compiling_that_does_not_pay_is_said_once_with_the_fix():
    m, model = params(w=np.ones(3)), Scaled()
    x = np.ones(3)

    def loops():
        yield (
            r"another object each time.*give what changes as an argument",
            lambda i: m.grad(lambda i=i: np.sum(m.w) * i, jit=True),
        )
        yield (
            r"another object each time",
            lambda i: m.grad(types.MethodType(lambda self: np.sum(m.w) * i, model), jit=True),
        )
        yield r"compiles counting again for the same arguments, as COUNT is another object", count

    def count(i):
        global COUNT
        COUNT = i
        m.grad(counting, jit=True)

    def counting():
        return np.sum(m.w * x) * COUNT

    for text, step in loops():
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for i in range(12):
                step(i)
        assert [w.category for w in seen] == [RuntimeWarning]
        assert re.search(text, str(seen[0].message)) and seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(2, 10):  # other shapes are other programs
            m.grad(lambda y: np.sum(m.w) * np.sum(y), np.ones(n), jit=True)
