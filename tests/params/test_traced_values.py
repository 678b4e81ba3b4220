"""Models that are made inside a function, of values that a transform has boxed."""

import numpy as np
import pytest

from pycograd import capture, eval_shape, grad, jit, jvp, params, scan, vmap

rng = np.random.default_rng(0)
w, v, x = rng.standard_normal((2, 3)), rng.standard_normal((2, 3)), rng.standard_normal((5, 2))


def by_name(p, x):
    return params(kernel=p, enc={"b": p[0]}).bind(layer)(x)


def by_attribute(p, x):
    model = params(kernel=p, enc={"b": p[0]})
    return np.tanh(x @ model.kernel + model.enc.b)


def layer(x):
    return np.tanh(x @ kernel + enc.b)  # noqa: F821


def plain(p, x):
    return np.tanh(x @ p + p[0])


def squared(f):
    return lambda p, x: np.sum(f(p, x) ** 2)


@pytest.mark.parametrize("f", [by_name, by_attribute])
def test_each_transform_sees_the_values(f):
    slope, wanted = grad(squared(f), argnums=0), grad(squared(plain), argnums=0)
    near = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12)
    near(f(w, x), plain(w, x))
    near(slope(w, x), wanted(w, x))
    near(jvp(lambda p: f(p, x), (w,), (v,))[1], jvp(lambda p: plain(p, x), (w,), (v,))[1])
    near(vmap(f, in_axes=(0, None))(np.stack([w, v]), x), [plain(w, x), plain(v, x)])
    assert eval_shape(f, w, x) == eval_shape(plain, w, x)
    for made in (capture(f, w, x), jit(f)):
        for p in (w, v):  # none of them is part of the program
            near(made(p, x), plain(p, x))
    twice = grad(jit(squared(f)), argnums=0)
    for made in (capture(slope, w, x), jit(slope), twice, jit(twice)):
        for p in (w, v):
            near(made(p, x), wanted(p, x))
    near(vmap(jit(f), in_axes=(0, None))(np.stack([w, v]), x), [plain(w, x), plain(v, x)])


@pytest.mark.parametrize("f", [by_name, by_attribute])
def test_in_a_loop_of_the_graph(f):
    steps = np.arange(3.0)
    ours = lambda f: lambda p: scan(lambda c, s: (c + s * np.sum(f(p, x)), c), p[0, 0], steps)[0]
    inner = lambda f: lambda p: scan(lambda c, s: (c + s * np.sum(f(c, x)), s), p, steps)[0]
    for make in (ours, inner):
        for run in (make(f), jit(make(f))):
            np.testing.assert_allclose(run(w), make(plain)(w), rtol=1e-12)
