"""Random programs whose axes all have the same size, so that no shape tells one from another.

What a pass takes for a sum over samples may be one over rows here, or over columns: a program is
the derivative of a loss, for each sample, and some steps on it, as users measure and clip. What is
compiled is compared with the same steps on plain arrays.
"""

import numpy as np
import pytest

import pycograd as pg
from pycograd import capture, grad, jit, optimize, vmap

LETTERS = "abcde"


def axes(rng, x):
    """Some of the axes, written in one of the ways that NumPy takes."""
    chosen = sorted(rng.choice(x.ndim, int(rng.integers(1, x.ndim + 1)), replace=False).tolist())
    if len(chosen) == x.ndim and rng.random() < 0.5:
        return None
    chosen = [a - x.ndim for a in chosen] if rng.random() < 0.3 else chosen
    return chosen[0] if len(chosen) == 1 else tuple(chosen)


def reduced(rng, x, y):
    axis, kept = axes(rng, x), bool(rng.random() < 0.4)
    reduce = [np.sum, np.sum, np.mean, np.max, np.var][rng.integers(5)]
    return lambda x, y: reduce(x, axis=axis, keepdims=kept)


def squared(rng, x, y):
    axis, kept = axes(rng, x), bool(rng.random() < 0.4)
    square = [np.square, lambda x: x * x, lambda x: x**2][rng.integers(3)]
    return lambda x, y: np.sum(square(x), axis=axis, keepdims=kept)


def weighted(rng, x, y):
    axis, kept = axes(rng, np.empty(np.broadcast_shapes(x.shape, y.shape))), rng.random() < 0.4
    return lambda x, y: np.sum(y * x, axis=axis, keepdims=bool(kept))


def contracted(rng, x, y):
    left = [LETTERS[i] for i in rng.permutation(5)[: x.ndim]]
    right = [LETTERS[i] for i in rng.permutation(5)[: y.ndim]]
    if rng.random() < 0.5:  # along the first axis, and others by chance
        right = [left[0], *[n for n in right if n != left[0]]][: y.ndim]
    if x.ndim == y.ndim and rng.random() < 0.3:
        right = left
    names = sorted({*left, *right})
    out = rng.permutation(names)[: rng.integers(len(names) + 1)]
    spec = f"{''.join(left)},{''.join(right)}->{''.join(out)}"
    return lambda x, y: np.einsum(spec, x, y)


def divided(rng, x, y):
    axis, other = (int(rng.integers(-x.ndim, x.ndim)) for _ in range(2))
    kept = bool(rng.random() < 0.7)

    def f(x, y):
        e = np.exp(x - np.max(x, axis=axis, keepdims=kept))
        return e / np.sum(e, axis=other, keepdims=kept)

    return f


def moved(rng, x, y):
    order = tuple(rng.permutation(x.ndim).tolist())
    return lambda x, y: np.transpose(x, order)


def reshaped(rng, x, y):
    shape = [(len(x), -1), (-1, x.shape[-1]), (-1,), (1, -1), (-1, 1)][rng.integers(5)]
    return lambda x, y: np.reshape(x, shape)


def joined(rng, x, y):
    order, axis = rng.permutation(len(x)), int(rng.integers(-x.ndim, x.ndim))
    return lambda x, y: np.stack([x[i] * (1.0 + i) for i in order], axis=axis)


STEPS = [
    *[squared, weighted, contracted] * 3,
    *[reduced, divided, moved, reshaped, joined],
    *[lambda rng, x, y, f=f: lambda x, y: f(x, y) for f in (np.matmul, np.multiply, np.add)],
    lambda rng, x, y: lambda x, y: y @ np.reshape(x, (len(x), -1)),
    lambda rng, x, y: lambda x, y: y @ x,
    lambda rng, x, y: lambda x, y: np.tensordot(y, x, 1),
    lambda rng, x, y: lambda x, y: x / (1.0 + np.sum(y * y)),
]


def steps(rng, first):
    """Steps that NumPy takes, each with the places of its operands in the growing pool."""
    pool, taken = list(first), []
    for _ in range(30):
        i, j = len(pool) - 1 - int(rng.integers(min(len(pool), 3))), int(rng.integers(len(pool)))
        if pool[i].ndim == 0:
            continue
        try:
            f = STEPS[rng.integers(len(STEPS))](rng, pool[i], pool[j])
            out = f(pool[i], pool[j])
        except (ValueError, IndexError):
            continue
        if out.size <= 100 and out.ndim <= 4:
            pool.append(out)
            taken.append((f, i, j))
        if len(taken) == 4:
            break
    return taken


def run(taken, first):
    pool = list(first)
    for f, i, j in taken:
        pool.append(f(pool[i], pool[j]))
    return pool[len(first) :]


def loss(w, x, b, kind):
    y = np.tanh(x @ w + b) if kind else pg.softmax(x @ w) * b
    return np.sum(y * y) + (np.sum(np.sin(w @ b)) if kind == 1 else 0.0)


@pytest.mark.parametrize("seed", range(80))
def test_steps_on_the_gradients_of_samples(seed):
    rng = np.random.default_rng(seed)
    n, kind = int(rng.choice([1, 2, 3, 4])), seed % 3
    x = rng.standard_normal((n, n) if rng.random() < 0.7 else (n, n, n))
    w, b, s = rng.standard_normal((n, n)), rng.standard_normal(n), rng.standard_normal(n)
    each = vmap(lambda w, x, b: grad(loss, argnums=0)(w, x, b, kind), (None, 0, None))
    g = each(w, x, b)
    np.testing.assert_allclose(g, [grad(loss, 0)(w, row, b, kind) for row in x], 1e-10, 1e-12)
    taken = steps(rng, (s, x, g))
    f = lambda s, w, x, b: run(taken, (s, x, each(w, x, b)))
    expected = run(taken, (s, x, g))
    compiled = jit(f)
    for found in (compiled(s, w, x, b), optimize(capture(f, s, w, x, b))(s, w, x, b)):
        for a, e in zip(found, expected, strict=True):
            assert np.shape(a) == np.shape(e)
            np.testing.assert_allclose(a, e, 1e-9, 1e-9 * max(1.0, np.max(np.abs(e))))


@pytest.mark.parametrize("seed", range(80))
def test_derivatives_of_steps(seed):
    rng = np.random.default_rng([1, seed])
    n = int(rng.choice([1, 2, 3, 4]))
    args = tuple(rng.standard_normal(shape) for shape in ((n,), (n, n), (n, n)))
    taken = steps(rng, args)
    f = lambda *args: sum([np.sum(np.sin(out)) for out in run(taken, args)[-2:]])
    expected = pg.value_and_grad(f)(*args)
    found = jit(pg.value_and_grad(f))(*args)
    again = pg.value_and_grad(pg.checkpoint(f))(*args)
    np.testing.assert_allclose(found[0], f(*args), 1e-11)
    for a, c, e in zip(found[1], again[1], expected[1], strict=True):
        np.testing.assert_allclose(a, e, 1e-9, 1e-9 * max(1.0, np.max(np.abs(e))))
        np.testing.assert_allclose(c, e, 1e-9, 1e-9 * max(1.0, np.max(np.abs(e))))
