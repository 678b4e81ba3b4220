"""Nothing outlives a gradient: reference counting alone frees everything, without cycles."""

import contextlib
import gc
import sys
import tracemalloc
import weakref

import numpy as np
import pytest

from pycograd import Var, grad, jvp, value_and_grad, vjp, vmap


@pytest.fixture(autouse=True)
def no_cyclic_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def mlp(w, x):
    return np.sum(np.tanh(np.tanh(x @ w[0]) @ w[1]) ** 2)


def growth(run, times=10, warm=5):
    """The bytes that `times` calls leave behind, after others that fill CPython's free lists."""
    for _ in range(warm):
        run()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(times):
        run()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return after - before


W = [np.ones((60, 80)) * 0.1, np.ones((80, 40)) * 0.1]
X = np.ones((50, 60))


@pytest.mark.parametrize(
    "run",
    [
        lambda: grad(mlp)(W, X),
        lambda: value_and_grad(mlp, argnums=0)(W, X),
        lambda: jvp(mlp, (W, X), (W, X)),
        lambda: vmap(grad(mlp), (None, 0))(W, X),
        lambda: vjp(mlp, W, X)[1](1.0),
        lambda: grad(lambda w: np.sum(grad(mlp)(w, X)[0][0] ** 2))(W),
        lambda: jvp(grad(mlp, argnums=1), (W, X), (W, X)),
    ],
    ids=["grad", "value_and_grad", "jvp", "vmap", "vjp", "rr", "fr"],
)
def test_ten_gradients_retain_nothing(run):
    assert growth(run) < 14_000  # the smallest array of the program has 16,000 bytes
    gc.collect()
    run()
    assert gc.collect() == 0, "the gradient left reference cycles"


def test_every_intermediate_dies_with_its_call():
    seen = []

    def loss(x):
        y = np.sin(x)
        seen.append(weakref.ref(y))
        z = y * y
        seen.append(weakref.ref(z))
        return np.sum(z)

    grad(loss)(np.ones(4))
    assert [ref() for ref in seen] == [None, None]


def test_residuals_are_freed_during_the_sweep():
    """The peak of a gradient holds the residuals once, and not the cotangents of every step."""
    n, steps = 100_000, 20
    x = np.full(n, 0.5)

    def chain(x):
        for _ in range(steps):
            x = np.sin(x)
        return np.sum(x)

    grad(chain)(x)
    tracemalloc.start()
    grad(chain)(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (steps + 6) * n * 8


def test_an_exception_in_the_function_retains_nothing():
    def broken(x):
        y = np.tanh(x @ W[0])
        raise KeyError(y.shape)

    def run():
        with contextlib.suppress(KeyError):
            grad(broken)(X)

    assert growth(run) < 14_000


def test_a_thousand_fresh_closures_leak_nothing():
    def run():
        for i in range(100):
            grad(lambda x, i=i: np.sum(np.sin(x) * i))(np.ones(3))
            vmap(lambda x, i=i: x * i)(np.ones(3))

    assert growth(run) < 30_000  # of 1,000 functions: not even one small object each
    refs = []
    for i in range(50):
        f = lambda x, i=i: np.sum(x * i)
        refs.append(weakref.ref(f))
        g = grad(f)
        g(np.ones(2))
        del f, g
    assert not any(ref() for ref in refs), "a transform keeps its function alive"


def test_var_by_hand_in_a_loop_does_not_grow():
    v = Var(np.full(100, 0.5))

    def step():
        loss = (np.sin(v) * v).sum()
        loss.backward()
        v.value = v.value - 0.01 * v.grad

    assert growth(step, 1000, warm=200) < 30_000  # not even one small object a step
    before = len(gc.get_objects())
    for _ in range(200):
        step()
    assert len(gc.get_objects()) - before < 50


def test_var_by_hand_without_backward_does_not_grow():
    v = Var(np.full(100, 0.5))
    assert growth(lambda: (np.sin(v) * v).sum(), 1000, warm=200) < 30_000


def test_a_carried_var_keeps_only_what_it_needs():
    """A state replaced by its detached value holds no history."""
    v, state = Var(0.9), 0.0

    def step():
        nonlocal state
        out = np.tanh(v * state + 1.0)
        out.backward()
        state = out.detach()

    assert growth(step, 1000, warm=200) < 30_000


@pytest.mark.parametrize("depth", [100_000])
def test_a_long_chain(depth):
    def chain(x):
        for _ in range(depth):
            x = x * 0.99999 + 1e-6
        return x

    limit = sys.getrecursionlimit()
    (slope,) = grad(chain)(1.0)
    np.testing.assert_allclose(slope, 0.99999**depth, rtol=1e-8)
    (g,) = grad(lambda x: np.sum(chain(x)))(np.ones(2))
    np.testing.assert_allclose(g, 0.99999**depth, rtol=1e-8)
    np.testing.assert_allclose(jvp(chain, (1.0,), (1.0,))[1], 0.99999**depth, rtol=1e-8)
    assert sys.getrecursionlimit() == limit


def test_a_long_chain_by_hand():
    v = Var(np.ones(2))
    out = v
    for _ in range(100_000):
        out = out * 0.99999
    loss = out.sum()
    loss.backward()
    np.testing.assert_allclose(v.grad, 0.99999**100_000, rtol=1e-8)
    del out, loss  # freeing a chain of 100,000 records must not recurse


def test_a_long_chain_of_second_order():
    def chain(x):
        for _ in range(5000):
            x = x + 1e-4 * x * x
        return x

    hessian = grad(lambda x: grad(chain)(x)[0])(0.1)[0]
    h = 1e-5
    difference = (grad(chain)(0.1 + h)[0] - grad(chain)(0.1 - h)[0]) / (2 * h)
    np.testing.assert_allclose(hessian, difference, rtol=1e-6)
