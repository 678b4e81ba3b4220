"""Custom and checkpointed functions in graphs: rules are kept, what runs again is not merged."""

import gc
import pickle
import tracemalloc

import numpy as np
import pytest

import pycograd as pg
from pycograd import ClosedOverError, OuterWriteError, capture, grad, jit, scan, vmap

X = np.linspace(-1.0, 1.0, 5)
ROWS = np.stack([X, -0.5 * X])


def close(found, expected):
    found, expected = pg.tree_leaves(found), pg.tree_leaves(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def names(graph):
    return [equation.primitive.name for equation in graph.equations]


@pg.custom_vjp
def clipped(x):
    return np.sin(x)


clipped.defvjp(
    lambda x: (np.sin(x), x), lambda x, ct: (np.clip(ct * np.cos(x), -0.5, 0.5),)
)  # not the derivative, so that it can be told


@pg.custom_jvp
def tripled(x):
    return np.logaddexp(x, 0.0)


@tripled.defjvp
def _(primals, tangents):
    return tripled(*primals), 3.0 * tangents[0] / (1.0 + np.exp(-primals[0]))


@pytest.mark.parametrize("custom", [clipped, tripled], ids=lambda f: f.__name__)
def test_a_custom_rule_is_kept(custom):
    f = lambda x: np.sum(custom(5.0 * x) * x)
    graph = pg.graph.check(capture(f, X))
    assert custom.__name__ in names(graph)
    expected = grad(f)(X)
    for g in (
        grad(graph),
        grad(lambda x: graph(x)),
        jit(grad(f)),
        grad(jit(f)),
        capture(grad(f), X),
    ):
        close(g(X), expected)
    close(grad(pg.optimize(graph))(X), expected)
    close(jit(f)(X), f(X))
    close(vmap(grad(graph))(ROWS), vmap(grad(f))(ROWS))
    close(vmap(graph)(ROWS), np.array([f(x) for x in ROWS]))
    close(pg.hessian(graph)(X), pg.hessian(f)(X))
    close(jit(pg.hessian(f))(X), pg.hessian(f)(X))
    close(pg.jvp(graph, (X,), (X,)), pg.jvp(f, (X,), (X,)))


def test_a_custom_rule_in_a_loop():
    f = lambda x: scan(lambda c, v: (clipped(c) * v + c, tripled(c)), 1.0, x)[0]
    close(grad(capture(f, X))(X), grad(f)(X))
    close(jit(grad(f))(X), grad(f)(X))


def test_compiled_code_has_no_call_of_it_left():
    compiled = jit(lambda x: clipped(x) * 2.0)
    compiled(X)
    assert "clipped" not in compiled.source and "sin(" in compiled.source


def test_trees_and_settings():
    @pg.custom_vjp
    def scaled(p, mode, n):
        return {"out": p["a"] * n, "mode": p["b"]}

    scaled.defvjp(
        lambda p, mode, n: (scaled(p, mode, n), n),
        lambda n, ct: ({"a": 10.0 * n * ct["out"], "b": ct["mode"]}, None, None),
    )
    f = lambda a, b: np.sum(scaled({"a": a, "b": b}, "fast", 3)["out"])
    close(grad(capture(f, X, 2.0))(X, 2.0), (np.full(5, 30.0), 0.0))
    close(jit(grad(f))(X, 2.0), (np.full(5, 30.0), 0.0))


def test_a_value_closed_over_is_refused():
    held = []
    custom = pg.custom_vjp(lambda x: x * held[0])
    custom.defvjp(lambda x: (x, None), lambda _, ct: (ct,))

    def f(x):
        held[:] = [x]
        return custom(x)

    with pytest.raises(ClosedOverError):
        capture(f, X)


def _forward(x):
    return np.sin(x), x


def _backward(x, ct):
    return (7.0 * ct * x,)


def test_pickling():
    custom = pg.custom_vjp(np.sin).defvjp(_forward, _backward)
    graph = capture(lambda x: np.sum(custom(x)), X)
    again = pickle.loads(pickle.dumps(graph))
    close(grad(again)(X), grad(graph)(X))


# -- checkpoints -----------------------------------------------------------------------------------
V = np.cos(X)


def segment(x, scale=2.0):
    return np.sin(np.cos(np.exp(x) * V)) * scale, scale * x


def kept(x):
    return np.sum(segment(x)[0] ** 2)


def again(x):
    return np.sum(pg.checkpoint(segment)(x)[0] ** 2)


def test_a_checkpoint_is_one_equation_and_runs_again():
    assert names(capture(again, X)) == ["checkpoint", "square", "sum"]
    optimised = pg.graph.check(pg.optimize(capture(grad(again), X)))
    assert names(optimised).count("checkpoint") == 2
    backward = optimised.equations[-1].params["body"]
    assert {"exp", "cos"} <= set(names(backward))
    close(optimised(X), grad(kept)(X))


def test_a_checkpoint_under_every_transform():
    graph = capture(again, X)
    for g in (grad(graph), grad(lambda x: graph(x)), jit(grad(again)), grad(jit(again))):
        close(g(X), grad(kept)(X))
    close(pg.hessian(graph)(X), pg.hessian(kept)(X))
    close(jit(pg.hessian(again))(X), pg.hessian(kept)(X))
    close(pg.jvp(graph, (X,), (X,)), pg.jvp(kept, (X,), (X,)))
    close(vmap(graph)(ROWS), np.array([kept(x) for x in ROWS]))
    close(jit(vmap(grad(again)))(ROWS), vmap(grad(kept))(ROWS))
    close(pg.eval_shape(pg.checkpoint(segment), X)[0].shape, (5,))


def test_values_closed_over():
    f = lambda x: np.sum(pg.checkpoint(lambda z: np.sin(z * x))(np.cos(x)))
    plain = lambda x: np.sum(np.sin(np.cos(x) * x))
    close(jit(grad(f))(X), grad(plain)(X))
    close(grad(capture(f, X))(X), grad(plain)(X))


def test_a_write_into_an_argument():
    def f(x):
        x[0] = 1.0
        return x

    with pytest.raises(OuterWriteError):
        capture(lambda x: pg.checkpoint(f)(x * 1.0), X)


def test_a_compiled_checkpoint_keeps_little():
    def block(x):
        for _ in range(20):
            x = np.sin(x) + 0.1
        return x

    def loss(wrap):
        def f(x):
            for _ in range(5):
                x = wrap(block)(x)
            return np.sum(x)

        return jit(grad(f))

    x = np.full(20_000, 0.5)

    def peak(f):
        gc.collect()
        tracemalloc.start()
        f(x)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    every, some = loss(lambda f: f), loss(pg.checkpoint)
    close(every(x[:2]), some(x[:2]))
    assert peak(every) > 90 * x.nbytes
    assert peak(some) < 60 * x.nbytes
