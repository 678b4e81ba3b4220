"""Control flow: every transform of an equation is that of the same loop written in Python."""

import gc
import pickle
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import pycograd as pg
from pycograd import (
    ControlFlowError,
    EscapedTracerError,
    ShapeDtypeStruct,
    ShapeError,
    TreeMismatchError,
    capture,
    cond,
    fori_loop,
    grad,
    jit,
    scan,
    vmap,
    while_loop,
)

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=3), RNG.normal(size=3)
XS = RNG.normal(size=(5, 3))


def close(found, expected, rtol=1e-9):
    found, expected = pg.tree_leaves(found), pg.tree_leaves(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-11)


def names(graph):
    return [equation.primitive.name for equation in graph.equations]


# -- programs, and the same ones as Python ---------------------------------------------------------
def choice(x, w):
    return cond(np.sum(x) > 0, lambda x: np.sum(np.sin(x) * w * x), lambda x: np.sum(x**3), x)


def choice_python(x, w):
    return np.sum(np.sin(x) * w * x) if np.sum(x) > 0 else np.sum(x**3)


def growth(x, w):
    value, steps = while_loop(
        lambda s: np.sum(s[0] * s[0]) < 50.0,
        lambda s: (s[0] * 1.5 + np.sin(s[0]) * w, s[1] + 1),
        (x, 0),
    )
    return np.sum(value**2) * steps


def growth_python(x, w):
    steps = 0
    while np.sum(x * x) < 50.0:
        x, steps = x * 1.5 + np.sin(x) * w, steps + 1
    return np.sum(x**2) * steps


def counted(x, w):
    return np.sum(fori_loop(0, 4, lambda i, c: np.sin(c) * w + 0.1 * i * c, x) ** 2)


def counted_python(x, w):
    for i in range(4):
        x = np.sin(x) * w + 0.1 * i * x
    return np.sum(x**2)


def counted_to(x, w):
    upper = np.argmax(x) + 2
    return np.sum(fori_loop(0, upper, lambda i, c: np.sin(c) * w + 0.1 * i * c, x) ** 2)


def counted_to_python(x, w):
    for i in range(int(np.argmax(pg.stop_gradient(x))) + 2):
        x = np.sin(x) * w + 0.1 * i * x
    return np.sum(x**2)


def recurrence(x, w):
    def step(c, row):
        return {"h": np.tanh(c["h"] * row + w)}, (c["h"] * 2.0, {"s": np.sum(c["h"])})

    c, (ys, sums) = scan(step, {"h": x}, XS)
    return np.sum(c["h"] ** 2) + np.sum(ys[1:] ** 3) + np.sum(np.cos(sums["s"]))


def recurrence_python(x, w):
    total = 0.0
    for i, row in enumerate(XS):
        total = total + np.cos(np.sum(x)) + (np.sum((2.0 * x) ** 3) if i else 0.0)
        x = np.tanh(x * row + w)
    return total + np.sum(x**2)


def backwards(x, w):
    c, ys = scan(lambda c, row: (np.sin(c) * row + w, c * row), x, XS, reverse=True)
    return np.sum(c**2) + np.sum(ys[:-1] ** 3)


def backwards_python(x, w):
    total = 0.0
    for i in reversed(range(5)):
        total = total + (np.sum((x * XS[i]) ** 3) if i < 4 else 0.0)
        x = np.sin(x) * XS[i] + w
    return total + np.sum(x**2)


def nested(x, w):
    def step(c, v):
        half = lambda i, c: cond(np.sum(c) > 1.0, lambda c: c * v * 0.5, lambda c: c + w, c)
        return fori_loop(0, 3, half, c), np.sum(c)

    c, sums = scan(step, x, w)
    return np.sum(c) + np.sum(np.cos(sums))


def nested_python(x, w):
    total = 0.0
    for j in range(3):
        total = total + np.cos(np.sum(x))
        for _ in range(3):
            x = x * w[j] * 0.5 if np.sum(x) > 1.0 else x + w
    return np.sum(x) + total


PAIRS = [
    (choice, choice_python),
    (growth, growth_python),
    (counted, counted_python),
    (recurrence, recurrence_python),
    (backwards, backwards_python),
    (nested, nested_python),
]
pairs = pytest.mark.parametrize(
    ("f", "plain"), [*PAIRS, (counted_to, counted_to_python)], ids=lambda f: f.__name__
)
batched = pytest.mark.parametrize(("f", "plain"), PAIRS, ids=lambda f: f.__name__)


@pairs
def test_eager(f, plain):
    close(f(X, W), plain(X, W))
    close(pg.value_and_grad(f)(X, W), pg.value_and_grad(plain)(X, W))
    close(pg.jvp(f, (X, W), (W, X)), pg.jvp(plain, (X, W), (W, X)))


@pairs
def test_graphs(f, plain):
    graph = pg.graph.check(capture(f, X, W))
    close(graph(X, W), plain(X, W))
    close(grad(graph)(X, W), grad(plain)(X, W))
    close(grad(lambda *args: graph(*args))(X, W), grad(plain)(X, W))
    close(pg.jvp(graph, (X, W), (W, X)), pg.jvp(plain, (X, W), (W, X)))
    close(pg.graph.check(capture(grad(f), X, W))(X, W), grad(plain)(X, W))
    optimised = pg.graph.check(pg.optimize(grad(graph)))
    close(optimised(X, W), grad(plain)(X, W))


@pairs
def test_compiled(f, plain):
    close(jit(pg.value_and_grad(f))(X, W), pg.value_and_grad(plain)(X, W))
    close(grad(jit(f))(X, W), grad(plain)(X, W))
    moved = jit(lambda *args: pg.jvp(f, args, args))(X, W)
    close(moved, pg.jvp(plain, (X, W), (X, W)))


@pairs
def test_checkpointed(f, plain):
    graph = capture(f, X, W)
    for g in (f, lambda *args: graph(*args), jit(f)):
        close(grad(pg.checkpoint(g))(X, W), grad(plain)(X, W))
    close(jit(grad(pg.checkpoint(f)))(X, W), grad(plain)(X, W))


def curved(f):
    """A gradient of a gradient, reverse over reverse."""
    return grad(lambda *args: sum(np.sum(np.sin(g)) for g in grad(f)(*args)))


@pairs
def test_second_order(f, plain):
    graph, expected = capture(f, X, W), curved(plain)(X, W)
    for g in (curved(f), curved(lambda *args: graph(*args)), jit(curved(f))):
        close(g(X, W), expected)
    forward = lambda f: lambda *args: pg.jvp(grad(f), args, args)
    close(jit(forward(f))(X, W), forward(plain)(X, W))
    close(jit(pg.hessian(f, argnums=0))(X, W), pg.hessian(plain, argnums=0)(X, W))


@batched
def test_rows(f, plain):
    xs, ws = np.stack([X, 1.1 * X, -0.7 * X]), np.stack([W, -W, 0.5 * W])
    graph = capture(f, X, W)

    def rows(g):
        made = [pg.tree_leaves(g(x, w)) for x, w in zip(xs, ws)]
        return [np.stack(column) for column in zip(*made)]

    for g in (f, lambda *args: graph(*args)):
        close(vmap(g)(xs, ws), rows(plain))
        close(vmap(grad(g))(xs, ws), rows(grad(plain)))
    total = grad(lambda *args: np.sum(vmap(f)(*args)))
    close(total(xs, ws), rows(grad(plain)))
    close(jit(total)(xs, ws), rows(grad(plain)))
    close(jit(vmap(grad(f)))(xs, ws), rows(grad(plain)))
    one_w = np.array([plain(x, W) for x in xs])
    close(vmap(f, (0, None))(xs, W), one_w)
    close(jit(vmap(f, (0, None)))(xs, W), one_w)


def test_second_order_in_rows():
    xs, ws = np.stack([X, -0.7 * X]), np.stack([W, 0.5 * W])
    for f, plain in PAIRS[:2]:
        found = jit(vmap(curved(f)))(xs, ws)
        for i in range(2):
            close([g[i] for g in found], curved(plain)(xs[i], ws[i]))


# -- one equation ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: cond(x[0] > 0, np.sin, np.cos, x), "cond"),
        (lambda x: scan(lambda c, v: (c * v, c), 1.0, x), "scan"),
        (lambda x: fori_loop(0, 1000, lambda i, c: c * 0.9, x), "scan"),
        (lambda x: while_loop(lambda c: np.sum(c) < 9, lambda c: c + 1.0, x), "while_loop"),
        (lambda x: fori_loop(0, np.argmax(x), lambda i, c: c * 0.9, x), "while_loop"),
        (lambda x: fori_loop(0, 10, lambda i, c: c + x, np.zeros(3)), "scan"),  # closed over only
        (lambda x: while_loop(lambda c: c < x[0], lambda c: c + 1.0, 0.0), "while_loop"),
    ],
)
def test_one_equation(f, name):
    assert names(capture(f, X)).count(name) == 1
    assert len(capture(f, X).equations) < 5
    assert pg.eval_shape(f, X) == pg.tree_map(
        lambda y: ShapeDtypeStruct(y.shape, y.dtype), capture(f, X)(X)
    )


def test_nothing_of_the_capture_is_python():
    graph = capture(lambda x: x * fori_loop(0, 3, lambda i, c: c + i, 0.0), X)
    assert names(graph) == ["multiply"]


def test_a_branch_does_nothing_before_it_is_chosen():
    inverse = jit(lambda w, p: cond(p > 0, lambda: np.linalg.inv(w), lambda: w))
    close(inverse(np.zeros((2, 2)), -1.0), np.zeros((2, 2)))
    with pytest.raises(np.linalg.LinAlgError):
        inverse(np.zeros((2, 2)), 1.0)


def test_the_backward_step_reads_what_the_loop_has():
    graph = capture(
        grad(lambda w: np.sum(scan(lambda h, x: (np.tanh(h * w + x), None), X, XS)[0])), W
    )
    body = pg.optimize(graph).equations[-1].params["body"]
    assert "tanh" not in names(body)  # its derivative is of the carry that is kept


def test_what_is_not_used_is_not_computed():
    def f(x):
        (c, _), _ = scan(lambda c, v: ((c[0] * v, c[1] + np.exp(v)), np.sin(c[1])), (1.0, 0.0), x)
        return c

    graph = pg.optimize(capture(f, X))
    assert names(graph.equations[0].params["body"]) == ["multiply"]
    close(graph(X), f(X))
    both = pg.optimize(capture(lambda x: cond(x[0] > 0, lambda: (x, W), lambda: (W, x))[0], X))
    assert len(both.equations[-1].outs) == 1
    close(both(X), X if X[0] > 0 else W)


# -- what a step may return ------------------------------------------------------------------------
MATRIX = RNG.normal(size=(3, 3))


def _moves(y):
    return getattr(y, "dtype", np.dtype(bool)).kind == "f"


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("step", "init"),
    [
        (lambda c, x: ((c[1], c[0] + x), c[0]), (X, W)),
        (lambda c, x: ((c[1], c[0]), (c, x)), (X, W)),
        (lambda c, x: (x, c), X),
        (lambda c, x: (x[::-1], c[::-1]), X),
        (lambda c, x: (c, c * x), X),
        (lambda c, x: (W, c), X),
        (lambda c, x: (c + x, (c + x, c)), X),
        (lambda c, x: ((c[0] + x, c[1] + c[0]), c[0] * c[1]), (X, W)),
        (lambda c, x: (c + c.T * 0.5 + x, c.T), MATRIX),
        (lambda c, x: (c.T, np.sum(c)), MATRIX),
        (lambda c, x: (c + c, c[0]), MATRIX),
        (
            lambda c, x: ((c[0] + 1, c[1] * x[0], np.logical_not(c[2])), (c[0], c[2])),
            (0, 1.0, True),
        ),
        (lambda c, x: (np.sum(x) + c, np.reshape(c, (1,))), 0.0),
        (lambda c, x: (np.reshape(x[:1] * 2.0, ()), c), 0.0),
        (lambda c, x: ((c[0] * 0.5, c[0] + x), 1.0), (X, X)),
        (lambda c, x: (np.linalg.solve(MATRIX, c + x), None), X),
        (lambda c, x: (None, x * 2.0), None),
        (lambda c, x: (np.where(x > 0, c, x), np.flip(c)), X),
    ],
)
def test_steps(step, init, reverse):
    f = lambda xs: scan(step, init, xs, reverse=reverse)
    expected = f(XS)
    kept = pg.tree_map(np.array, init)
    close(jit(f)(XS), expected)
    close(capture(f, XS)(XS), expected)
    close(init, kept)

    def total(f):
        return lambda xs: sum(np.sum(np.sin(y)) for y in pg.tree_leaves(f(xs)) if _moves(y))

    loss = lambda f: grad(total(f))
    close(jit(loss(f))(XS), loss(f)(XS))
    close(pg.jvp(jit(total(f)), (XS,), (XS,)), pg.jvp(total(f), (XS,), (XS,)))


def test_results_are_never_overwritten():
    f = jit(lambda x, xs: scan(lambda c, row: (c + row, c * 2.0), x, xs))
    first = f(X, XS)
    kept = pg.tree_map(np.array, first)
    f(X + 1.0, XS)
    close(first, kept)


def test_writes_inside_a_step():
    def step(c, x):
        c = c.copy()
        c[1:] += x[:-1]
        c[0] = x[2] * c[1]
        return c, c[::2]

    f = lambda x: scan(step, x, XS)
    close(jit(f)(X), f(X))
    loss = lambda f: grad(lambda x: np.sum(f(x)[0] ** 2))
    close(jit(loss(f))(X), loss(f)(X))


def test_a_write_to_a_value_from_outside():
    def f(x):
        y = x * 1.0

        def step(c, v):
            y[0] = v
            return c + v, None

        return scan(step, 0.0, x)[0] + y

    with pytest.raises(EscapedTracerError):
        capture(f, X)


_TERMS = {
    "sin c": lambda c, x, w: np.sin(c),
    "c x": lambda c, x, w: c * x,
    "w c": lambda c, x, w: np.roll(w * c, 1),
    "x": lambda c, x, w: x,
    "c": lambda c, x, w: c,
    "sum": lambda c, x, w: np.sum(c) * w,
    "abs": lambda c, x, w: np.abs(c - x),
}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(_TERMS)), min_size=1, max_size=3),
    st.lists(st.sampled_from(sorted(_TERMS)), min_size=1, max_size=2),
    st.integers(0, 9),
    st.booleans(),
    st.booleans(),
)
def test_random_steps(carry, ys, n, reverse, checkpoint):
    def step(c, x, w):
        total = sum(_TERMS[t](c, x, w) for t in carry) / len(carry)
        return total, sum(_TERMS[t](c, x, w) for t in ys)

    rows = np.random.default_rng(n).normal(size=(n, 3))

    def f(x, w, rows):
        c, ys = scan(lambda c, x: step(c, x, w), x, rows, reverse=reverse, checkpoint=checkpoint)
        return np.sum(np.sin(c)) + np.sum(ys * np.cos(np.arange(3.0 * n).reshape(n, 3)))

    def plain(x, w, rows):
        total = 0.0
        for i in reversed(range(n)) if reverse else range(n):
            x, y = step(x, rows[i], w)
            total = total + np.sum(y * np.cos(np.arange(3.0 * i, 3.0 * i + 3)))
        return np.sum(np.sin(x)) + total

    args = X, W, rows
    expected = pg.value_and_grad(plain)(*args)
    close(pg.value_and_grad(f)(*args), expected)
    close(jit(pg.value_and_grad(f))(*args), expected)
    close(grad(capture(f, *args))(*args), expected[1])


# -- dtypes and numbers ----------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize(
    "f",
    [
        lambda x: fori_loop(0, 3, lambda i, c: np.sin(c) * i + c, x),
        lambda x: scan(lambda c, v: (c * v, c), 1.0, x),
        lambda x: scan(lambda c, v: (c * 0.5, v * c), 1.0, x),
        lambda x: scan(lambda c, v: (c + 1, v * c), 0, x),
        lambda x: scan(lambda c, v: (c * v, 0.5), np.ones((), x.dtype), x),
        lambda x: cond(np.sum(np.abs(x)) > 0, lambda x: (x * 2, 1), lambda x: (x, 0), x),
        lambda x: cond(np.sum(np.abs(x)) > 0, lambda: x[0], lambda: 0.0),
        lambda x: while_loop(lambda c: np.sum(np.abs(c)) < 20, lambda c: c * 1.5, x),
        lambda x: fori_loop(0, np.argmax(np.abs(x)), lambda i, c: c * i + x, x),
    ],
)
def test_dtypes(f, dtype):
    x = np.linspace(0.1, 1.0, 4).astype(dtype)
    found, expected = jit(f)(x), f(x)
    close(found, expected, rtol=1e-2 if dtype == "float16" else 1e-5)
    for a, b in zip(pg.tree_leaves(found), pg.tree_leaves(expected), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype


def test_symbolic_sizes():
    f = lambda c, xs, w: scan(lambda c, x: (np.tanh(x @ w + c) / c.shape[0], c * 2), c, xs)
    loss = grad(lambda *args: sum(np.sum(np.sin(y)) for y in pg.tree_leaves(f(*args))))
    shapes = (
        ShapeDtypeStruct(("B", 4)),
        ShapeDtypeStruct(("N", "B", 3)),
        ShapeDtypeStruct((3, 4)),
    )
    graph, backward = capture(f, *shapes), capture(loss, *shapes)
    assert str(pg.eval_shape(f, *shapes)) == "(f64[B,4], f64[N,B,4])"
    for n, b in ((3, 2), (5, 1), (0, 2)):
        args = RNG.normal(size=(b, 4)), RNG.normal(size=(n, b, 3)), RNG.normal(size=(3, 4))
        close(graph(*args), f(*args))
        close(backward(*args), loss(*args))


def test_no_steps():
    f = lambda x: scan(lambda c, v: (c * v, (c * v, v)), 1.0, x)
    for g in (f, jit(f)):
        c, (a, b) = g(X[:0])
        assert float(c) == 1.0 and a.shape == b.shape == (0,)
    close(jit(grad(lambda x: f(x)[0]))(X[:0]), (np.zeros(0),))
    close(jit(lambda x: fori_loop(3, 0, lambda i, c: c * 2.0, x))(X), X)
    close(jit(grad(lambda x: np.sum(while_loop(lambda c: False, np.sin, x))))(X), (np.ones(3),))


# -- conditions ------------------------------------------------------------------------------------
def test_cond_in_rows_of_rows():
    f = lambda x: cond(x > 0, lambda x: np.sqrt(x), lambda x: -x, x)
    x = np.array([[1.0, -2.0, 4.0], [-1.0, 9.0, -3.0]])
    expected = np.where(x > 0, np.sqrt(np.abs(x)), -x)
    with np.errstate(invalid="ignore"):
        close(vmap(vmap(f))(x), expected)
        close(jit(vmap(vmap(f)))(x), expected)
    steps = lambda x: while_loop(lambda c: c < 10.0, lambda c: c + np.abs(c) + 1.0, x)
    close(vmap(vmap(steps))(x), np.array([[steps(v) for v in row] for row in x]))


def test_a_known_condition_is_python():
    assert names(capture(lambda x: cond(True, np.sin, np.cos, x), X)) == ["sin"]
    close(grad(lambda x: cond(x > 0, lambda: x * x, lambda: -x))(3.0), (6.0,))


def test_a_condition_that_is_an_array_is_read_at_each_call():
    flag = np.array(True)
    f = jit(lambda x: cond(flag, np.sin, np.cos, x))
    close(f(X), np.sin(X))
    flag[...] = False
    close(f(X), np.cos(X))


def test_an_array_that_a_step_closes_over_is_read_at_each_call():
    table = np.ones(3)
    f = jit(lambda x: fori_loop(0, 2, lambda i, c: c + table * x, x))
    close(f(X), 3.0 * X)
    table[:] = 2.0
    close(f(X), 5.0 * X)
    assert "compiled 1 time" in pg.explain(f)


def test_places_of_plain_arrays():
    table = np.arange(5.0)
    f = lambda x: fori_loop(1, 4, lambda i, c: c + table[i] * x[i - 1], x)
    close(jit(f)(X), f(X))


def test_if_still_says_what_to_write():
    with pytest.raises(ControlFlowError, match="cond"):
        capture(lambda x: x if x[0] > 0 else -x, X)


# -- memory ----------------------------------------------------------------------------------------
def peak(f, *args):
    f(*args)
    gc.collect()
    tracemalloc.start()
    f(*args)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("how", ["eager", "compiled"])
def test_checkpoints_keep_some_carries_only(how):
    n, x = 400, np.full(2000, 0.5)

    def loss(checkpoint):
        f = lambda x: np.sum(
            scan(lambda c, _: (np.sin(c) * c, None), x, length=n, checkpoint=checkpoint)[0]
        )
        return jit(grad(f)) if how == "compiled" else grad(f)

    close(loss(True)(x), loss(False)(x))
    every, some = peak(loss(False), x), peak(loss(True), x)
    assert every > 400 * x.nbytes
    assert some < 160 * x.nbytes


def test_only_the_carry_is_kept():
    def step(c, _):
        for _ in range(20):
            c = np.sin(c) + 0.1
        return c, None

    x = np.full(2000, 0.5)
    loss = jit(grad(lambda x: np.sum(scan(step, x, length=50)[0])))
    assert peak(loss, x) < 110 * x.nbytes


def test_nothing_is_left_behind():
    from pycograd.transforms.control import subgraph

    before = len(subgraph._MADE)
    for _ in range(3):
        f = jit(grad(lambda x: np.sum(scan(lambda c, v: (c * v, c), 1.0, x)[1])))
        f(X)
    del f
    gc.collect()
    assert len(subgraph._MADE) <= before


# -- elsewhere -------------------------------------------------------------------------------------
def test_pickling():
    for f in (growth, recurrence):
        graph = grad(capture(f, X, W))
        again = pickle.loads(pickle.dumps(graph))
        assert str(again) == str(graph)
        close(again(X, W), graph(X, W))


def test_by_hand():
    graph = capture(recurrence, X, W)
    x = pg.Var(X)
    graph(x, W).backward()
    close(x.grad, grad(recurrence)(X, W)[0])


def test_threads():
    f = jit(pg.value_and_grad(recurrence))
    args = [(X * i, W) for i in range(8)]
    expected, wrong = [f(*a) for a in args], []

    def run(i):
        for _ in range(20):
            value, grads = f(*args[i])
            if value != expected[i][0] or (grads[0] != expected[i][1][0]).any():
                wrong.append(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# -- mistakes --------------------------------------------------------------------------------------
@pytest.mark.parametrize("around", [lambda f: f, jit], ids=["eager", "compiled"])
@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (
            lambda x: scan(lambda c, v: ({"h": np.concatenate([c["h"], x])}, None), {"h": x}, x),
            ShapeError,
            r"leaf 'h' has shape \(3,\) going in and \(6,\)",
        ),
        (
            lambda x: scan(lambda c, v: ((c[0], c[1].astype("float32")), None), (x, x), x),
            TypeError,
            "leaf '1' is float64 going in and float32",
        ),
        (lambda x: scan(lambda c, v: ((c, c), None), x, x), TreeMismatchError, "a carry of"),
        (lambda x: scan(lambda c, v: c, x, x), TreeMismatchError, r"pair \(carry, y\)"),
        (lambda x: scan(lambda c, v: (c, v), x, (x, x[1:])), ShapeError, "leaf '1' has 2"),
        (lambda x: scan(lambda c, v: (c, v), x, x, length=4), ShapeError, "length is 4.* 3 rows"),
        (lambda x: scan(lambda c, v: (c, v), x), TypeError, "length="),
        (lambda x: scan(lambda c, v: (c, v), x, x[0]), ShapeError, "no rows"),
        (lambda x: fori_loop(0, 3, lambda i, c: c[1:], x), ShapeError, r"\(3,\) going in"),
        (lambda x: while_loop(lambda c: c < 5, np.sin, x), ShapeError, "the condition has shape"),
        (
            lambda x: while_loop(lambda c: np.sum(c) < 50, lambda c: (c,), x),
            TreeMismatchError,
            "a value of structure",
        ),
        (lambda x: cond(x > 0, np.sin, np.cos, x), ShapeError, "the predicate has shape"),
        (lambda x: cond("yes", np.sin, np.cos, x), TypeError, "a boolean or a number"),
    ],
)
def test_mistakes(around, f, error, message):
    with pytest.raises(error, match=message):
        around(f)(np.ones(3))


@pytest.mark.parametrize(
    ("first", "second", "error", "message"),
    [
        (lambda x: x, lambda x: (x,), TreeMismatchError, "both must return the same"),
        (lambda x: x, lambda x: x[0], ShapeError, r"shapes \(3,\) and \(\)"),
        (lambda x: {"a": x}, lambda x: {"a": x > 0}, TypeError, r"float64 and bool \(leaf 'a'\)"),
    ],
)
def test_branches_that_differ(first, second, error, message):
    with pytest.raises(error, match=message):
        jit(lambda x: cond(x[0] > 0, first, second, x))(X)
    with pytest.raises(error, match=message):
        vmap(lambda x: cond(x[0] > 0, first, second, x))(XS)


def test_what_no_array_holds_is_no_carry():
    with pytest.raises(TypeError, match="'name'"):
        jit(lambda x: scan(lambda c, v: (c, v), (x, "name"), x))(X)
