"""Capture: graphs of functions and of their derivatives, and what cannot be captured."""

import pickle

import numpy as np
import pytest

import pycograd as pg
from pycograd import (
    ControlFlowError,
    EscapedTracerError,
    GraphError,
    ShapeDtypeStruct,
    ShapeError,
    SymbolicSizeError,
    TreeMismatchError,
    capture,
)

X = np.random.default_rng(0).standard_normal(5)


def test_the_text_form():
    graph = capture(
        lambda x, w, b: np.sum(x @ w + b, axis=0), np.ones((4, 3)), np.ones((3, 2)), np.ones(2)
    )
    assert (
        str(graph)
        == """graph(%0:f64[4,3], %1:f64[3,2], %2:f64[2]) {
  %3 = matmul %0 %1 -> f64[4,2]
  %4 = add %3 %2 -> f64[4,2]
  %5 = sum %4 {axis=0} -> f64[2]
  outputs: %5
}"""
    )


def test_lines_are_kept():
    graph = capture(lambda x: np.sin(x), X)
    assert "test_capture.py:" in graph.equations[0].line
    assert "test_capture.py:" in graph.pretty(lines=True)


def _loss(x, w):
    for _ in range(3):
        x = np.tanh(w @ x)
    return np.sum(x * x)


W = np.random.default_rng(1).standard_normal((5, 5))


@pytest.mark.parametrize(
    "f",
    [
        _loss,
        pg.grad(_loss),
        pg.value_and_grad(_loss, argnums=1),
        pg.hessian(_loss),
        lambda x, w: pg.jvp(_loss, (x, w), (w[0], w))[1],
        lambda x, w: pg.vmap(pg.grad(_loss), (None, 0))(x, np.stack([w, 2 * w])),
        pg.grad(pg.checkpoint(_loss)),
    ],
)
def test_a_graph_is_the_function(f):
    graph = capture(f, X, W)
    other = np.linspace(-1.0, 1.0, 5), W.T
    for args in ((X, W), other):
        found, expected = pg.tree_leaves(graph(*args)), pg.tree_leaves(f(*args))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert pg.tree_structure(graph(X, W)) == pg.tree_structure(f(X, W))


def test_a_graph_is_a_function_to_every_transform():
    graph = capture(_loss, X, W)
    np.testing.assert_allclose(
        pg.grad(lambda x: graph(x, W))(X)[0], pg.grad(_loss, argnums=0)(X, W)
    )
    np.testing.assert_allclose(
        pg.vmap(graph, (0, None))(np.stack([X, -X]), W), [_loss(X, W), _loss(-X, W)]
    )
    np.testing.assert_allclose(pg.jvp(graph, (X, W), (X, W))[1], pg.jvp(_loss, (X, W), (X, W))[1])
    np.testing.assert_allclose(capture(graph, X, W)(X, W), _loss(X, W))


def test_the_gradient_of_a_graph_is_a_graph():
    graph = capture(_loss, X, W)
    for made in (pg.grad(graph), pg.grad(graph, argnums=1), pg.value_and_grad(graph)):
        assert isinstance(made, pg.Graph)
    np.testing.assert_allclose(pg.grad(graph, argnums=1)(X, W), pg.grad(_loss, 1)(X, W))


def test_constants_are_held_by_reference():
    table = np.ones(5)
    graph = capture(lambda x: x * table, X)
    assert [array is table for _, array in graph.constants] == [True]
    table[:] = 3.0
    np.testing.assert_array_equal(graph(X), 3.0 * X)


def test_trees_and_static_arguments():
    def f(p, *, power, name):
        return {"out": p["a"] ** power, name: (p["b"], None)}

    graph = capture(f, {"a": X, "b": 2.0}, power=2, name="kept")
    found = graph({"a": 2 * X, "b": 3.0}, power=2, name="kept")
    np.testing.assert_allclose(found["out"], 4 * X**2)
    assert found["kept"] == (3.0, None)
    with pytest.raises(GraphError, match=r"captured for the argument 2, .* again for 3"):
        graph({"a": X, "b": 2.0}, power=3, name="kept")


def test_symbolic_sizes():
    graph = capture(
        lambda x, w: np.mean(np.tanh(x @ w), axis=0) * np.ones(2 * x.shape[0], like=x)[:2],
        ShapeDtypeStruct(("B", 3)),
        ShapeDtypeStruct((3, 2)),
    )
    assert "f64[B,2]" in str(graph)
    for n in (1, 4):
        x, w = np.ones((n, 3)), np.full((3, 2), 0.1)
        np.testing.assert_allclose(graph(x, w), np.mean(np.tanh(x @ w), axis=0))


def test_equalities_found_on_the_way_are_checked():
    graph = capture(np.add, ShapeDtypeStruct(("A", 2)), ShapeDtypeStruct(("B", 2)))
    graph(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ShapeError):
        graph(np.ones((3, 2)), np.ones((4, 2)))


def test_bad_input():
    graph = capture(lambda x: x * 2.0, X)
    with pytest.raises(ShapeError, match=r"input 0 has shape \(4,\), captured for f64\[5\]"):
        graph(np.ones(4))
    with pytest.raises(GraphError, match="input 0 has dtype float32"):
        graph(np.ones(5, np.float32))
    with pytest.raises(TreeMismatchError, match="captured for"):
        graph([X])


def test_what_depends_on_data_is_refused_with_the_line():
    for f in (
        lambda x: x if x[0] > 0 else -x,
        lambda x: x[: int(x[0])],
        lambda x: [x][np.argmax(x)],
        lambda x: float(x[0]) * x,
    ):
        with pytest.raises((ControlFlowError, pg.ConversionError), match=r"test_capture\.py:"):
            capture(f, X, transparent=False)
    with pytest.raises(SymbolicSizeError, match=r"np\.where"):
        capture(lambda x: x[x > 0], X)


def test_an_escaped_value():
    kept = []
    capture(lambda x: kept.append(x), X)
    with pytest.raises(EscapedTracerError, match="inside capture of <lambda>"):
        kept[0] + 1.0


def test_writes_are_functional():
    def f(x):
        y = np.zeros(5, like=x)
        for i in range(5):
            y[i] = x[i] * i
        y[1:] += y[:-1]
        return y

    np.testing.assert_allclose(capture(f, X)(2 * X), f(np.asarray(2 * X)))


def test_a_custom_rule_is_kept_by_a_graph_of_the_derivative():
    @pg.custom_vjp
    def clipped(x):
        return x * 1.0

    clipped.defvjp(lambda x: (x, None), lambda _, ct: (np.clip(ct, -1.0, 1.0),))
    graph = capture(pg.grad(lambda x: np.sum(5.0 * clipped(x))), X)
    np.testing.assert_array_equal(graph(X)[0], np.ones(5))


def test_pickling():
    graph = capture(pg.grad(_loss), X, W)
    again = pickle.loads(pickle.dumps(graph))
    assert str(again) == str(graph)
    for a, b in zip(again(X, W), graph(X, W), strict=True):
        np.testing.assert_array_equal(a, b)


def test_memory_is_not_known():
    for ask in (np.shares_memory, np.may_share_memory):
        assert np.all(capture(lambda x, ask=ask: x * ask(x, x), X)(X) == X)
        with pytest.raises(ControlFlowError, match="memory"):
            capture(lambda x, ask=ask: x * ask(x, x.copy()), X)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_the_imaginary_part_that_a_conversion_drops(dtype):
    f = lambda x: np.sum(((x + 2j) * (x + 1j)).astype(dtype) * 0.5)
    np.testing.assert_allclose(capture(f, X)(X), f(X), rtol=1e-6)
    slope = np.sum(X * X) * (dtype != "int64")  # of the real part, x x - 2
    np.testing.assert_allclose(pg.jvp(f, (X,), (X,))[1], slope, rtol=1e-6)
    np.testing.assert_allclose(np.sum(pg.grad(f)(X)[0] * X), slope, rtol=1e-6)


def test_an_array_of_no_axes_is_written_to_and_a_scalar_is_not():
    def f(x):
        before = x
        x += 1.0
        return before * 1.0, x

    for x in (np.array(2.0), np.float64(2.0), 2.0):
        expected = f(x.copy() if isinstance(x, np.ndarray) else x)
        for found in (capture(f, x)(x), pg.jit(f)(x), pg.vjp(f, x)[0]):
            np.testing.assert_array_equal(found, expected)
