"""`jit`: equal to the function, compiled once a signature, aware of what it closes over."""

import gc
import itertools
import pickle
import threading
import traceback
import weakref

import numpy as np
import pytest

import pycograd as pg
from pycograd import ControlFlowError, capture, explain, fori_loop, jit
from pycograd.core.ir import Equation
from pycograd.graph.jitted import CACHE_SIZE
from pycograd.graph.liveness import is_fresh
from pycograd.testing.samples import all_samples

X = np.random.default_rng(0).standard_normal(6)


def loss(w, x):
    return np.sum(np.tanh(x @ w) ** 2)


W, B = (
    np.random.default_rng(1).standard_normal((6, 3)),
    np.random.default_rng(2).normal(size=(4, 6)),
)


@pytest.mark.parametrize(
    "f",
    [
        loss,
        pg.grad(loss),
        pg.value_and_grad(loss, argnums=(0, 1)),
        pg.hessian(loss, argnums=0),
        pg.vmap(pg.grad(loss, argnums=0), (None, 0)),
        lambda w, x: {"a": w.T @ x.T, "b": [x, 1.0, None, "text"]},
    ],
)
def test_it_is_the_function(f):
    compiled = jit(f)
    for args in ((W, B), (W + 1.0, B - 1.0)):
        found, expected = compiled(*args), f(*args)
        assert pg.tree_structure(found) == pg.tree_structure(expected)
        for a, b in zip(pg.tree_leaves(found), pg.tree_leaves(expected), strict=True):
            if isinstance(b, str):
                assert a == b
            else:
                np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
                assert np.asarray(a).dtype == np.asarray(b).dtype


@pytest.mark.parametrize("dtype", ["float16", "float32", "complex64", "complex128"])
def test_dtypes_are_kept(dtype):
    f = lambda x: np.exp(x * 0.5) / 3 + 1
    x = X.astype(dtype)
    found = jit(f)(x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, f(x), rtol=1e-2 if dtype == "float16" else 1e-6)


def test_results_are_never_overwritten():
    f = jit(lambda x: (np.sin(x) * 2.0, x.T, np.sum(x), np.exp(x)[1:]))
    first = f(X)
    kept = [np.array(y) for y in first]
    f(X + 1.0)
    for a, b in zip(first, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_arguments_are_never_written_to():
    x = X.copy()

    def f(x):
        x[0] = 5.0
        x += 1.0
        return x * 2.0

    compiled = jit(f)
    np.testing.assert_allclose(compiled(x), (np.r_[5.0, X[1:]] + 1.0) * 2.0)
    np.testing.assert_array_equal(x, X)


def test_one_compilation_a_signature():
    calls = []

    def f(x):
        calls.append(x.shape)
        return x * 2.0

    compiled = jit(f)
    for x in (X, X + 1, X[:3], X, X.astype(np.float32)):
        compiled(x)
    assert calls == [(6,), (3,), (6,)]
    assert "float64[3], before float64[6]" in explain(compiled)


def test_static_arguments():
    def f(x, power, mode="sin", scale=1.0):
        return scale * getattr(np, mode)(x) ** power

    compiled = jit(f)
    for power, mode, scale in ((2, "sin", 1.0), (3, "cos", 1.0), (2, "sin", 4.0)):
        np.testing.assert_allclose(
            compiled(X, power, mode=mode, scale=scale), f(X, power, mode, scale), rtol=1e-12
        )
    assert "part of the program" in explain(compiled)


def test_a_name_in_the_place_of_positions_says_where_names_go():
    with pytest.raises(TypeError, match=r"static_argnames='torch', a backend by backend='torch'"):
        jit(np.sin, "torch")


def test_arrays_and_objects_as_static_arguments():
    class Settings:
        rate = 0.5

    settings = Settings()
    compiled = jit(lambda x, s, axes: np.sum(x, axis=tuple(axes)) * s.rate, static_argnums=(1, 2))
    x = np.ones((2, 3))
    np.testing.assert_allclose(compiled(x, settings, [0]), 1.0 * np.ones(3))
    np.testing.assert_allclose(compiled(x, settings, [0, 1]), 3.0)


def test_a_closed_over_array_changed_in_place():
    table = np.ones(6)
    compiled = jit(lambda x: x * table)
    compiled(X)
    table[:] = 3.0
    np.testing.assert_array_equal(compiled(X), 3.0 * X)
    assert "compiled 1 time" in explain(compiled)


def test_an_array_used_in_plain_arithmetic():
    table = np.ones(6)
    compiled = jit(lambda x: x * (table + 1.0))
    compiled(X)
    table[:] = 3.0
    np.testing.assert_array_equal(compiled(X), 4.0 * X)
    assert "other contents" in explain(compiled)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, table: x * table + x * (table * 2.0),
        lambda x, table: x * table + np.sum(table),
        lambda x, table: x * table - table[[2, 0, 1, 0, 1, 2]],
        lambda x, table: (x * table, table + 1.0),
        lambda x, table: (x * table, table.max()),
        lambda x, table: x * table * float(table[0]),
        lambda x, table: x * table + table[1].item(),
        lambda x, table: fori_loop(0, 2, lambda i, c: c * (table * 0.5), x * table),
    ],
)
def test_an_array_that_the_graph_reads_used_in_plain_arithmetic_too(f):
    table = np.ones(6)
    run = lambda x: f(x, table)
    compiled = jit(run)
    for value in (1.0, 3.0, 3.0, -2.0):
        table[:] = value
        for a, b in zip(pg.tree_leaves(compiled(X)), pg.tree_leaves(run(X)), strict=True):
            np.testing.assert_array_equal(a, b)
    assert "compiled 3 times" in explain(compiled)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_used_in_plain_arithmetic_too(order):
    table = np.ones((300, 6, 100), order=order)
    run = lambda x: x * table[1, :, 2] + x * np.mean(table, axis=(0, 2))
    compiled = jit(run)
    for change in (np.negative, np.square, lambda part, out: np.copyto(out, 3.0)):
        change(table[:, 2:], out=table[:, 2:])
        np.testing.assert_allclose(compiled(X), run(X), rtol=1e-14)


def test_an_array_beside_others_of_the_program_is_still_read_at_each_call():
    table = np.ones(6)
    run = lambda x: x * table + x * np.arange(6.0) + x * table[::-1]
    compiled = jit(run)
    for value in (1.0, 3.0, -2.0):
        table[2:] = value
        np.testing.assert_array_equal(compiled(X), run(X))
    assert "compiled 1 time\n" in explain(compiled)


@pytest.mark.parametrize("shape", [(), (6,)])
def test_an_array_that_is_read_only_for_a_while(shape):
    table = np.ones(shape)
    table.flags.writeable = False
    compiled = jit(lambda x: x * np.exp(table * np.ones(shape, like=x)))
    np.testing.assert_array_equal(compiled(X), X * np.exp(1.0))
    table.flags.writeable = True
    for value in (3.0, -2.0):
        table[...] = value
        np.testing.assert_array_equal(compiled(X), X * np.exp(value))


def test_a_variable_that_is_assigned_again():
    scale = 2.0
    helper = lambda x: x * scale
    compiled = jit(lambda x: helper(x) + 1.0)
    np.testing.assert_array_equal(compiled(X), 2.0 * X + 1.0)
    scale = 3.0
    np.testing.assert_array_equal(compiled(X), 3.0 * X + 1.0)
    helper = lambda x: -x
    np.testing.assert_array_equal(compiled(X), 1.0 - X)
    assert "scale is another object now" in explain(compiled)
    assert "helper is another object now" in explain(compiled)


def test_what_is_read_once_is_listed():
    settings = {"scale": 2.0}
    compiled = jit(lambda x: x * settings["scale"])
    compiled(X)
    assert "read once, when captured: settings (dict)" in explain(compiled)


def test_inside_and_around_other_transforms():
    f = lambda x: np.sum(np.sin(x) * x)
    g = jit(f)
    np.testing.assert_allclose(pg.grad(g)(X)[0], pg.grad(f)(X)[0])
    np.testing.assert_allclose(jit(pg.grad(g))(X)[0], pg.grad(f)(X)[0])
    np.testing.assert_allclose(pg.vmap(g)(np.stack([X, 2 * X])), [f(X), f(2 * X)])
    np.testing.assert_allclose(pg.jvp(g, (X,), (X,))[1], pg.jvp(f, (X,), (X,))[1])
    np.testing.assert_allclose(pg.hessian(g)(X), pg.hessian(f)(X))
    np.testing.assert_allclose(jit(lambda x: jit(jit(np.sin))(x))(X), np.sin(X))


def test_a_value_of_an_outer_transform_closed_over():
    found = pg.grad(lambda w: jit(lambda x: np.sum(x * w))(X))(X)[0]
    np.testing.assert_array_equal(found, X)


def test_control_flow_on_data_is_an_error():
    with pytest.raises(ControlFlowError, match=r"test_jit\.py:"):
        jit(lambda x: x if x[0] > 0 else -x)(X)


def test_an_error_leaves_nothing_behind():
    compiled = jit(np.linalg.inv)
    with pytest.raises(np.linalg.LinAlgError):
        compiled(np.zeros((2, 2)))
    np.testing.assert_allclose(compiled(2 * np.eye(2)), 0.5 * np.eye(2))


def test_a_traceback_shows_the_program_and_the_line():
    compiled = jit(lambda x: np.linalg.inv(x) * 2.0)
    try:
        compiled(np.zeros((2, 2)))
    except np.linalg.LinAlgError as error:
        text = "".join(traceback.format_exception(error))
    assert "inv(x0)" in text and "test_jit.py:" in text


def test_threads_share_no_buffers():
    compiled = jit(lambda x: np.sum(np.sin(x) * np.cos(x) - np.tanh(x) * x))
    xs = [np.full(2000, float(i)) for i in range(16)]
    expected = [compiled(x) for x in xs]
    wrong = []

    def run(i):
        for _ in range(50):
            if compiled(xs[i]) != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_cache_is_bounded_and_nothing_leaks():
    compiled = jit(lambda x: x * 2.0)
    for n in range(1, 200):
        compiled(np.ones(n))
    assert len(compiled._cache) <= CACHE_SIZE
    gone = weakref.ref(compiled)
    del compiled
    gc.collect()
    assert gone() is None


def test_pickling():
    compiled = pickle.loads(pickle.dumps(jit(loss)))
    np.testing.assert_allclose(compiled(W, B), loss(W, B))


def test_the_program_can_be_read():
    compiled = jit(lambda x: np.sin(x) * 2.0 + 1.0)
    compiled(X)
    assert "sin(x0, b0)" in compiled.source
    assert compiled.graph.equations[0].primitive.name == "sin"


def test_methods():
    class Model:
        @jit
        def predict(self, x):
            return np.tanh(x)

    np.testing.assert_allclose(Model().predict(X), np.tanh(X))


def test_results_can_be_written_to():
    (found,) = jit(pg.grad(lambda x: np.sum(x * 2.0)))(X)
    found += X
    np.testing.assert_array_equal(found, X + 2.0)


def test_fresh_results_are_memory_of_their_own(monkeypatch):
    """What primitives say of the memory of their results holds for every sample."""
    shared, seen = set(), set()
    plain = Equation.run

    def run(self, operands, sizes):
        outs = plain(self, operands, sizes)
        if is_fresh(self):
            seen.add(self.primitive.name)
            for x, y in itertools.product(operands, outs):
                if type(x) is type(y) is np.ndarray and np.may_share_memory(x, y):
                    shared.add(self.primitive.name)
        return outs

    monkeypatch.setattr(Equation, "run", run)
    for sample in all_samples():
        if not sample.data_dependent_shape and not {"capture", "jit"} & set(sample.skip):
            with np.errstate(all="ignore"):
                graph = capture(sample.f, *sample.operands) if _captures(sample) else None
                if graph is not None:
                    graph(*sample.operands)
    assert not shared and len(seen) > 200


def _captures(sample):
    """Whether no operand is a number that a shape depends on."""
    return all(
        i in sample.wrt or i in sample.mapped or not isinstance(x, (np.ndarray, np.generic))
        for i, x in enumerate(sample.operands)
    )


def test_a_repeated_number_is_made_once():
    places = np.arange(4)
    f = pg.value_and_grad(lambda x: np.mean(x[places, places] ** 2) + np.mean(np.sin(x)))
    compiled, x = jit(f), np.random.default_rng(0).standard_normal((4, 4))
    for _ in range(2):
        for a, b in zip(pg.tree_leaves(compiled(x)), pg.tree_leaves(f(x)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    assert "broadcast_to" not in compiled.source
    out = jit(lambda x: np.broadcast_to(2.0, (3,), subok=False) + 0.0 * x[0, :3])(x)
    out[0] = 5.0


def test_indices_are_written_as_indices():
    x = np.arange(24.0).reshape(4, 6)
    f = lambda x: (x[0], x[1:, ::2], x[..., None, -1], x[::-1], x[()], x[1, 2], x[2:3, [0, 2]])
    for a, b in zip(jit(f)(x), f(x), strict=True):
        np.testing.assert_array_equal(a, b)
    compiled = jit(lambda x: x[1:, 2] * 2.0)
    compiled(x)
    assert "x0[1:, 2]" in compiled.source


def test_clip_is_numpys_to_the_last_bit():
    x = np.array([-0.0, 0.0, np.nan, 1.0, -np.inf])
    f = lambda x: np.clip(x, 0.0, 0.5)
    for found in (jit(f)(x), pg.vjp(f, x)[0]):
        np.testing.assert_array_equal(found, f(x))
        np.testing.assert_array_equal(np.signbit(found), np.signbit(f(x)))


def test_an_array_that_is_filled_begins_each_call_as_it_was_made():
    def f(x):
        y = np.zeros(4)
        y[np.argmax(x)] = x[0]
        return np.sum(y**2)

    whole = pg.value_and_grad(f)
    compiled, held = jit(whole), capture(whole, np.ones(4))
    for x in np.random.default_rng(0).permuted(np.tile(np.arange(1.0, 5.0), (6, 1)), axis=1):
        for found in (compiled(x), held(x)):
            for a, b in zip(pg.tree_leaves(found), pg.tree_leaves(whole(x)), strict=True):
                np.testing.assert_array_equal(a, b)


def test_an_array_made_on_the_way_is_known_and_one_of_the_caller_is_read():
    theirs = np.arange(3.0)
    graph = capture(lambda x: (x * np.arange(3.0), x * theirs), np.ones(3))
    assert [array.flags.writeable for _, array in graph.constants] == [False, True]
    theirs[:] = 5.0
    np.testing.assert_array_equal(graph(np.ones(3))[1], theirs)
    kept = []
    capture(lambda x: x * (kept.append(np.ones(3)) or kept[-1]), np.ones(3))
    assert kept[0].flags.writeable
