"""Weights inside of transforms, control flow, compiled functions and graphs, against arguments."""

import copy
import gc
import math
import pickle
import weakref

import numpy as np
import pytest

import pycograd as pg
from pycograd import frozen, params

rng = np.random.default_rng(0)
X = rng.standard_normal((5, 3))
I = np.array([0, 1, 1])
weights = params(
    W=rng.standard_normal((3, 3)),
    b=rng.standard_normal(3),
    mask=frozen(np.array([True, False, True])),
    idx=frozen(np.array([0, 2])),
)
W, b, mask, idx = weights.W, weights.b, weights.mask, weights.idx


def layer(x):
    return np.tanh(x @ W + b)


jitted = pg.jit(lambda x: np.sum(layer(x)))
jitted(X)  # compiled outside of any pass
graph = pg.capture(lambda x: np.sum(layer(x)), X)
nested = pg.jit(lambda x: 2.0 * jitted(x))
nested(X)
looping = pg.jit(lambda x: np.sum(pg.fori_loop(0, 3, lambda i, c: layer(c), x)))
looping(X)
scanned = pg.jit(
    lambda x: pg.scan(lambda c, row: (np.tanh(c @ W + row * b), c), b * 1.0, x)[0].sum()
)
scanned(X)


def filled():
    y = np.zeros(3)
    for i in range(3):
        y[i] = W[i, i] * b[i]
    return np.sum(y)


def written():
    y = np.zeros((3, 3))
    y[0] = b
    y[:] += W
    return np.sum(y**2)


def copied():
    y = W.copy()
    y[0] = b
    y += 1.0
    return np.sum(y**3)


def many(f):
    return np.sum(f(X))


OBJECTIVES = {
    "checkpoint": lambda: many(pg.checkpoint(layer)),
    "scan": lambda: pg.scan(lambda c, x: (np.tanh(c @ W + x * b), c), np.zeros(3), X)[0].sum(),
    "fori_loop": lambda: many(lambda x: pg.fori_loop(0, 3, lambda i, c: layer(c), x)),
    "cond": lambda: many(lambda x: pg.cond(x[0, 0] > 9, lambda x: x @ W, lambda x: x * b, x)),
    "vmap": lambda: many(pg.vmap(layer)),
    "vmap of an index": lambda: np.sum(pg.vmap(lambda i: W[i] * b[i])(I)),
    "frozen indices": lambda: np.sum(W[idx] ** 2) + np.sum(np.take(W, idx, axis=1)),
    "jvp": lambda: np.sum(pg.jvp(layer, (X,), (X,))[1]),
    "grad inside": lambda: np.sum(pg.grad(lambda x: many(lambda _: layer(x)))(X)[0] ** 2),
    "jacobian inside": lambda: np.sum(pg.jacobian(layer)(X[0]) ** 2),
    "jit": lambda: jitted(X),
    "jit of jit": lambda: nested(X),
    "jit of a loop": lambda: looping(X),
    "jit of a scan": lambda: scanned(X),
    "graph": lambda: graph(X),
    "graph under jit": lambda: pg.jit(lambda x: graph(x) * 2.0)(X),
    "optimized graph": lambda: pg.optimize(graph)(X),
    "math": lambda: math.exp(W[0, 0]) * float(b[0] + 1.0),
    "filled": filled,
    "written": written,
    "copied": copied,
    "listed": lambda: np.sum(np.array([W[0, 0], b[1]])) + np.mean([W[0, 1], b[2]]),
    "iterated": lambda: sum(w for row in W for w in row) * len(W) + sum(b),
    "methods": lambda: W.T.dot(b).sum() + W.reshape(-1)[2:].mean() + W.take([0], axis=1).std(),
    "mixed arrays": lambda: np.sum(X.dot(W)) + np.sum(np.stack([b, X[0]])) + np.sum(2.0 ** (1 - b)),
    "matrix": lambda: np.linalg.norm(W) + np.sum(np.linalg.inv(W)) + np.einsum("ij,j->", W, b),
    "where": lambda: np.sum(np.where(mask, b, 1.0)) + np.sum(np.maximum(W, b)),
}


@pytest.mark.parametrize("jit", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_are_those_of_differences(name, jit):
    objective = OBJECTIVES[name]
    value, grads = weights.grad(objective, jit=jit)
    assert float(value) == pytest.approx(float(objective()), rel=1e-10)
    for weight, g in ((W, grads.W), (b, grads.b)):
        at, step = np.array(weight), rng.standard_normal(weight.shape)
        try:
            slopes = []
            for h in (1e-5, -1e-5):
                weight[...] = at + h * step
                slopes.append(float(objective()))
        finally:
            weight[...] = at
        found = (slopes[0] - slopes[1]) / 2e-5
        assert float(np.sum(g * step)) == pytest.approx(found, rel=1e-5, abs=1e-6)


def test_compiled_functions_are_not_compiled_anew_for_a_pass():
    f = pg.jit(lambda x: np.sum(layer(x)))
    f(X)
    for _ in range(3):
        weights.grad(lambda: f(X))
        f(X)
    assert "compiled 1 time\n" in pg.explain(f) + "\n"


def test_transforms_outside_see_the_model_as_a_tree():
    per_example = pg.vmap(
        pg.grad(lambda p, x: np.sum(np.tanh(x @ p.W + p.b)), argnums=0), in_axes=(None, 0)
    )(weights, X)
    assert per_example.W.shape == (5, 3, 3) and per_example.mask is None
    _, total = weights.grad(lambda: many(layer))
    np.testing.assert_allclose(per_example.W.sum(0), total.W)
    hessian = pg.hessian(lambda p: np.sum(np.tanh(X @ p.W + p.b)))(params(W=W, b=b))
    assert hessian.W.b.shape == (3, 3, 3)
    with pytest.raises(pg.NotDifferentiableError, match="a parameter that is not trained"):
        pg.hessian(lambda p: p.a * p.c)(params(a=1.0, c=frozen(1.0)))
    captured = pg.capture(lambda x: weights.grad(lambda: many(lambda _: layer(x))), X)
    np.testing.assert_allclose(captured(X)[1].W, total.W)


def test_outside_of_passes_a_weight_is_a_plain_array():
    assert type(np.asarray(W)) is type(W + 0) is type(pickle.loads(pickle.dumps(W))) is np.ndarray
    assert type(copy.copy(W)) is type(copy.deepcopy(W)) is type(W.T) is type(W[0]) is np.ndarray
    assert isinstance(W, np.ndarray) and len(W) == 3 and W.dtype == float and W.ndim == 2
    assert f"{b[0]:.2f}" == format(np.asarray(b)[0], ".2f") and str(b) == str(np.asarray(b))
    assert (
        float(params(s=2.5).s) == 2.5
        and int(params(s=2.5).s) == 2
        and bool(params(s=0.0).s) is False
    )
    assert np.array_equal(W == W.T, np.asarray(W) == np.asarray(W).T)
    assert W.nbytes == 72 and W.strides == (24, 8) and W.flags["C_CONTIGUOUS"]
    assert [1, 2, 3][params(i=frozen(1)).i] == 2
    s = params(a=np.zeros(3))
    a = s.a
    a += 1.0
    a[0] = 5.0
    np.add(a, 1.0, out=a)
    assert a is s.a and s.a.tolist() == [6.0, 2.0, 2.0]


CALLS = {
    "grad": lambda w: pg.grad(lambda w: np.sum(w * w))(w)[0],
    "vmap": lambda w: pg.vmap(lambda r: r * 2)(w),
    "jvp": lambda w: pg.jvp(np.sin, (w,), (w,))[1],
    "vjp": lambda w: pg.vjp(np.sin, w)[1](w)[0],
    "jit": lambda w: pg.jit(lambda w: w + 1)(w),
    "capture": lambda w: pg.capture(lambda w: w + 1, w)(w),
    "hvp": lambda w: pg.hvp(lambda w: np.sum(w**3))(w, w),
    "jacobian": lambda w: pg.jacobian(lambda w: w * 2)(w),
    "scan": lambda w: pg.scan(lambda c, x: (c + x, c), np.zeros(3), w)[0],
    "fori_loop": lambda w: pg.fori_loop(0, 2, lambda i, c: c * 2, w),
    "checkpoint": lambda w: pg.checkpoint(lambda w: w * 2)(w),
    "stop_gradient": pg.stop_gradient,
    "tree_map": lambda w: pg.tree_map(lambda a: a * 2, {"a": w})["a"],
    "sgd_update": lambda w: pg.sgd_update({"a": w}, {"a": np.ones((3, 3))}, 0.1)["a"],
    "batches": lambda w: next(pg.batches(w, batch_size=2)),
    "Var": lambda w: pg.Var(w).value,
    "embedding": lambda w: pg.embedding(w, np.array([0, 1])),
    "dropout": lambda w: pg.dropout(w, 0.5, key=pg.random.key(0)),
}


@pytest.mark.parametrize("name", CALLS)
def test_as_an_argument_it_is_its_value(name):
    found, expected = CALLS[name](W), CALLS[name](np.array(W))
    assert type(found) is type(expected) is np.ndarray
    np.testing.assert_array_equal(found, expected)


def test_inside_of_a_pass_it_is_refused_where_a_box_would_be():
    for convert in (pickle.dumps, lambda w: w.tobytes()):
        with pytest.raises((TypeError, AttributeError), match="a differentiated value"):
            weights.grad(lambda: np.sum(convert(W)))


def test_nothing_is_kept():
    gc.collect()
    gc.disable()
    try:
        refs = []
        for _ in range(3):
            m, data = params(w=np.zeros(1000), n={"v": [1.0]}), np.zeros(10)
            with m:
                _, grads = m.grad(lambda m=m, data=data: np.sum(m.w) * np.sum(data) * m.n.v[0])
            m.step(grads, 0.1)
            refs += [weakref.ref(m), weakref.ref(m.w), weakref.ref(data), weakref.ref(m.n.v[0])]
            del m, data, grads
        assert [ref() for ref in refs] == [None] * 12
    finally:
        gc.enable()


def test_passes_inside_of_transforms():
    def gradient(x):
        return weights.grad(lambda: many(lambda _: layer(x)))[1].W

    value, grads = pg.vmap(lambda x: weights.grad(lambda: np.sum(np.tanh(x @ W + b))))(X)
    assert value.shape == (5,) and grads.mask is None
    np.testing.assert_allclose(grads.W.sum(0), gradient(X))
    np.testing.assert_allclose(pg.jit(gradient)(X), gradient(X))
    norm = lambda x: np.sum(gradient(x) ** 2)
    (slopes,), direction = pg.grad(norm)(X), rng.standard_normal(X.shape)
    found = (norm(X + 1e-5 * direction) - norm(X - 1e-5 * direction)) / 2e-5
    assert float(np.sum(slopes * direction)) == pytest.approx(found, rel=1e-6)
    assert float(pg.jvp(norm, (X,), (direction,))[1]) == pytest.approx(found, rel=1e-6)
    assert repr(pg.eval_shape(gradient, X)) == "f64[3,3]"
