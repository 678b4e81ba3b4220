"""Abstract evaluation against reality; symbols, equalities, errors, summaries."""

import numpy as np
import pytest

import pycograd as pg
from pycograd import ShapeDtypeStruct as S, eval_shape, grad, vmap


def test_repr():
    assert repr(S((5, 3))) == "f64[5,3]" and repr(S((), "bf16")) == "bf16[]"
    assert repr(S(("B", 3), np.int32)) == "i32[B,3]" and repr(S((2,), bool)) == "bool[2]"
    assert repr(S((2,), "c128")) == "c128[2]"


def test_nothing_is_allocated():
    assert repr(eval_shape(lambda a, b: a @ b, S((100000, 100000)), S((100000, 100000)))) == (
        "f64[100000,100000]"
    )


@pytest.mark.parametrize(
    "f", [np.exp, lambda x: x / 2, np.mean, np.sum, lambda x: x * 2.5, np.cumsum]
)
@pytest.mark.parametrize("dtype", ["i4", "i8", "f4", "?", "f2"])
def test_integer_promotion_is_numpys(f, dtype):
    x = np.ones(3, dtype)
    real = np.asarray(f(x))
    assert eval_shape(f, x) == S(real.shape, real.dtype)


def test_under_transforms():
    loss = lambda w, x: np.sum(np.tanh(x @ w))
    w, x = S((4, 3)), S((7, 4))
    assert repr(eval_shape(grad(loss), w, x)) == "(f64[4,3], f64[7,4])"
    assert repr(eval_shape(vmap(grad(loss, 0), (None, 0)), w, x)) == "f64[7,4,3]"
    assert repr(eval_shape(pg.hessian(lambda v: np.sum(v**3)), S((5,)))) == "f64[5,5]"


def test_symbols():
    net = lambda x, w: np.tanh(x @ w).reshape(-1)
    out = eval_shape(net, S(("B", 3)), S((3, "N")))
    assert str(out.shape[0]) == "B*N"
    assert pg.substitute(out, {"B": 2, "N": 5}) == S((10,))
    assert pg.bind(net, S(("B", 3)), S((3, "N")), sizes={"B": 2, "N": 5}) == S((10,))
    assert pg.infer_shapes(np.matmul, (7, 4), (4, "N"))[0] == 7


def test_contradictions_are_reported():
    f = lambda x, y: x + y
    assert eval_shape(f, S(("B",)), S((4,))).shape == (4,)
    with pytest.raises(pg.ShapeError):
        pg.bind(f, S(("B",)), S((4,)), sizes={"B": 5})
    with pytest.raises(pg.ShapeError):
        eval_shape(lambda x, y, z: (x + y, x + z), S(("B",)), S((4,)), S((5,)))


def test_sizes_are_not_baked_in():
    with pytest.raises(pg.SymbolicSizeError):
        eval_shape(lambda x: sum(x[i] for i in range(x.shape[0])), S(("B",)))


def test_data_dependent_sizes():
    assert repr(eval_shape(lambda x: x[x > 0], S((5,)))) == "f64[n0]"


def test_errors():
    with pytest.raises(pg.ShapeError, match=r"matmul: incompatible shapes \(3, 4\) and \(5, 6\)"):
        eval_shape(np.matmul, S((3, 4)), S((5, 6)))
    with pytest.raises(pg.ControlFlowError):
        eval_shape(lambda x: x if x[0] > 0 else -x, S((3,)))


def test_summary(capsys):
    model = {"layers": [{"w": np.zeros((4, 2)), "b": np.zeros(2)}]}
    f = lambda p, x: x @ p["layers"][0]["w"] + p["layers"][0]["b"]
    s = pg.summary(f, model, ("B", 4), frozen=lambda name: name.endswith("b"))
    assert s.total == 10 and s.trainable == 8 and repr(s.output) == "f64[B,2]"
    text = capsys.readouterr().out
    assert "layers.0.w" in text and "(frozen)" in text and "output: f64[B,2]" in text
    with pytest.raises(pg.ShapeError):
        pg.summary(f, model, (3, 5), print_fn=None)


# -- sizes met by values -------------------------------------------------------------------------
SIZED = {
    "divide": lambda x: np.sum(x) / x.shape[0],
    "subtract": lambda x: x - x.shape[0],
    "reflected": lambda x: x.shape[0] * np.sum(x) - x.size,
    "power": lambda x: (x * x + 1) ** x.shape[0],
    "remainder": lambda x: x % x.shape[0] + x.shape[0] // (1 + x * x),
    "alone": lambda x: x * (1 / x.shape[0]) + np.sqrt(x.size),
    "array": lambda x: np.array([1.0, 2.0]) * x.shape[0] * x,
    "half": lambda x: np.array(0.5) * x * (2.5 * x.shape[0]),
    "algebra": lambda x: x * (x.shape[0] ** 2 + np.int64(3) * x.shape[0]),
    "compared": lambda x: np.where((x.shape[0] > x) & (x != x.shape[0]), x, 0),
    "where": lambda x: np.where(x > 0, x.shape[0], x),
    "clip": lambda x: np.clip(x, 0, x.shape[0]),
    "full": lambda x: np.full((2, 2), x.shape[0], like=x) * np.sum(x),
    "full_like": lambda x: np.full_like(x, x.shape[0]) * x,
    "listed": lambda x: np.array([x.shape[0], x[0, 0]], like=x),
    "zeros": lambda x: np.zeros(x.shape[0], like=x)[:, None] + x,
    "empty": lambda x: np.empty((x.shape[0], 2), like=x).shape[0] * x,
    "zeros_like": lambda x: np.zeros_like(x, shape=(x.shape[0], 1)) + x,
    "arange": lambda x: np.arange(1, 2 * x.shape[0], 2, like=x)[:, None] * x,
    "downwards": lambda x: np.arange(3.0, -x.shape[0] + 3, -1, like=x)[:, None] * x,
    "eye": lambda x: np.eye(x.shape[0], like=x) @ x,
    "tri": lambda x: np.tri(x.shape[0], 2, -1, like=x) * x,
    "tril": lambda x: np.tril(x @ x.T) - np.triu(x @ x.T, 1),
    "float32": lambda x: x.astype(np.float32) / x.shape[0],
    "var": lambda x: np.var(x, axis=0, ddof=1),
    "median": lambda x: np.median(x),
}


@pytest.mark.parametrize("f", SIZED.values(), ids=SIZED)
def test_a_size_computed_with_is_the_number_that_it_will_be(f, rng):
    spec, x = S(("B", 2)), rng.standard_normal((5, 2))
    want = f(x)
    out = eval_shape(f, spec)
    assert pg.substitute(out, {"B": 5}) == S(np.shape(want), np.asarray(want).dtype)
    graph = pg.capture(f, spec)
    for rows in (x, x[:3]):
        np.testing.assert_allclose(graph(rows), f(rows))
    loss = lambda x: np.sum(np.sin(f(x)))
    (slope,) = grad(loss)(x)
    assert eval_shape(grad(loss), spec) == (spec,)
    np.testing.assert_allclose(pg.capture(grad(loss), spec)(x)[0], slope)
    np.testing.assert_allclose(grad(pg.capture(loss, spec))(x)[0], slope)
    # in rows, and of a graph in another capture, whose symbol has another name
    both = np.stack([x, 2 * x])
    batched = pg.capture(vmap(f), S((2, "B", 2)))
    np.testing.assert_allclose(batched(both), [f(x), f(2 * x)])
    np.testing.assert_allclose(vmap(graph)(both), [f(x), f(2 * x)])
    np.testing.assert_allclose(pg.capture(graph, S(("N", 2)))(x), want)


def test_a_size_is_weak():
    half = lambda x: x / x.shape[0]
    assert eval_shape(half, S(("B",), np.float32)) == S(("B",), np.float32)
    assert eval_shape(vmap(half), S((3, "B"), np.float32)) == S((3, "B"), np.float32)
    assert pg.capture(half, S(("B",), np.float32))(np.ones(2, np.float32)).dtype == np.float32
    assert eval_shape(lambda x: np.full(2, x.shape[0], like=x), S(("B",))) == S((2,), np.int64)


def test_a_graph_returns_a_size_as_a_number():
    assert pg.capture(lambda x: (x, 2 * x.shape[0]), S(("B",)))(np.ones(3))[1] == 6


@pytest.mark.parametrize(
    "use",
    [
        lambda x: np.zeros((x.shape[0], 2)),
        lambda x: np.zeros(int(x.shape[0]), like=x),
        lambda x: np.arange(0.5, x.shape[0], like=x),
    ],
)
def test_what_would_bake_a_size_in_is_refused(use):
    with pytest.raises(pg.SymbolicSizeError, match=r"test_shapes.py"):
        eval_shape(use, S(("B",)))


def test_a_size_without_an_evaluation_is_no_number():
    n = S(("B",)).shape[0]
    for use in (lambda: 1 / n, lambda: n * 0.5, lambda: np.sqrt(n), lambda: n * np.ones(2)):
        with pytest.raises(pg.SymbolicSizeError):
            use()
    assert n != np.int64(3) and np.int64(3) * n == 3 * n == n * np.int64(3)
    with pytest.raises(ValueError, match="negative"):
        np.zeros(n, like=None)


def test_sizes_and_symbols_that_cannot_be():
    with pytest.raises(pg.ShapeError, match=r"negative: -1 \(.*test_shapes.py"):
        S((-1,))
    with pytest.raises(ValueError, match="substitute: no symbol Q; there are B, N"):
        pg.substitute((S(("B", 3)), S(("N",))), {"B": 2, "Q": 8})
    assert pg.substitute(S(("N",)), {"B": 2, "N": 3}) == S((3,))  # B was summed over
    with pytest.raises(ValueError, match="bind of sin: no symbol Z; there are A"):
        pg.bind(np.sin, S(("A",)), sizes={"Z": 2})
    assert pg.bind(np.sum, S(("A",)), sizes={"A": 2}) == S(())
