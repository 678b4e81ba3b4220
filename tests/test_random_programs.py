"""Random programs of views, writes, reads and arithmetic: NumPy's aliasing and its derivatives.

A program is a list of steps on a pool of values, drawn from a seed. A run on plain arrays shows
what NumPy does, aliasing included; transforms must say the same, and differentiate it.
"""

import numpy as np
import pytest

from pycograd import AmbiguousAliasError, checkpoint, eval_shape, grad, jvp, vmap

MASK = np.array([True, False, True])
TWICE = np.array([0, 2, 2, 1])

# name -> function of one value, or None where it does not apply to the shape
READS = {
    "tanh": np.tanh,
    "sine": lambda v: np.sin(v) * 0.7,
    "scaled": lambda v: v * 0.5 - 0.1,
    "reciprocal": lambda v: 1.0 / (2.0 + v * v),
    "transposed": lambda v: v.T,
    "flat": lambda v: v.ravel(),
    "column": lambda v: v.reshape(-1, 1),
    "reversed": lambda v: v[::-1],
    "tail": lambda v: v[1:],
    "last": lambda v: v[..., -1],
    "new-axis": lambda v: v[None],
    "first": lambda v: v[0],
    "every-other": lambda v: v[..., ::2],
    "sum": lambda v: v.sum(0),
    "mean": lambda v: np.mean(v, axis=-1, keepdims=True),
    "cumulative": lambda v: np.cumsum(v, axis=0),
    "masked": lambda v: v[..., MASK] if v.shape[-1] == 3 else None,
    "gathered": lambda v: v[TWICE] if v.shape[0] == 3 else None,
    "taken": lambda v: np.take(v, [0, -1], axis=0) if v.ndim else None,
    "swapped": lambda v: np.swapaxes(v, 0, -1),
    "copied": lambda v: v.copy(),
    "joined": lambda v: np.concatenate([v, v * 2.0], axis=-1),
    "chosen": lambda v: np.where(np.arange(v.shape[-1]) != 1, v, 0.2 * v) if v.ndim else None,
}
PAIRS = {
    "add": lambda v, w: v + w,
    "multiply": lambda v, w: v * w,
    "divide": lambda v, w: v / (1.5 + w * w),
    "matmul": lambda v, w: v @ w if v.ndim and w.ndim and w.shape[-2:][0] == v.shape[-1] else None,
    "stack": lambda v, w: np.stack([v, w]) if v.shape == w.shape else None,
    "outer": lambda v, w: np.multiply.outer(v, w) if v.ndim + w.ndim < 3 else None,
}


def assigned(where):
    def write(v, w):
        v[where] = w
        return v

    return write


def in_place(v, w):
    v += w
    return v


def scaled_in_place(v, w):
    v *= np.tanh(w)
    return v


def into(v, w):
    if not isinstance(v, np.ndarray) or v.ndim == 0:
        return v
    return np.add(v, w, out=v)


def added_at(v, w):
    v[1:] += w * 0.5
    return v


def added_to_entries(v, w):
    v[TWICE[:2]] -= w
    return v


WRITES = {
    "all": assigned(...),
    "first": assigned(0),
    "tail": assigned(slice(1, None)),
    "last-column": assigned((..., -1)),
    "entries": assigned([0, -1]),
    "in-place": in_place,
    "scaled": scaled_in_place,
    "out": into,
    "added-at": added_at,
    "entries-in-place": added_to_entries,
}


def run(steps, x, y):
    """Runs the steps on a pool that starts with `x` and `y`; their scalar summary."""
    pool = [x, y]
    for kind, name, i, j in steps:
        v, w = pool[i % len(pool)], pool[j % len(pool)]
        if kind == "read":
            out = READS[name](v)
        elif kind == "pair":
            out = PAIRS[name](v, w)
        else:
            out = WRITES[name](v, w)
        if out is not None:
            pool.append(out)
    total = 0.0
    for k, v in enumerate(pool):
        total = total + (k % 5 + 1) * 0.2 * np.sum(np.sin(v))
    return total


def drawn(seed, length=9):
    """Steps that NumPy runs on plain arrays, chosen one by one."""
    rng = np.random.default_rng(seed)
    steps = []
    while len(steps) < length:
        kind = ("read", "read", "pair", "write", "write")[rng.integers(5)]
        names = list({"read": READS, "pair": PAIRS, "write": WRITES}[kind])
        step = (kind, names[rng.integers(len(names))], *rng.integers(99, size=2).tolist())
        try:
            with np.errstate(all="raise"):
                run([*steps, step], *arguments(seed))
        except (ValueError, IndexError, TypeError, FloatingPointError):
            continue
        steps.append(step)
    return steps


def arguments(seed):
    rng = np.random.default_rng([seed, 1])
    return rng.uniform(-1.0, 1.0, (2, 3)), rng.uniform(-1.0, 1.0, 3)


def differences(f, seed, v, w, h=1e-4):
    def at(k):
        x, y = arguments(seed)  # fresh: a plain run writes into its arguments
        return f(x + k * h * v, y + k * h * w)

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


def check(seed):
    """Compares the program of a seed under every transform with plain runs of it."""
    steps = drawn(seed)
    x, y = arguments(seed)
    v, w = np.random.default_rng([seed, 2]).standard_normal((2, 3)), np.array([0.3, -1.0, 0.5])

    def f(x, y):
        return run(steps, x, y)

    def slope(x, y):
        return np.sum(grad(f)(x, y)[0] * v)

    def close(found, expected, rtol=1e-7):
        np.testing.assert_allclose(found, expected, rtol, rtol, err_msg=f"seed {seed}: {steps}")

    value, tangent = jvp(f, (x, y), (v, w))
    close(value, f(*arguments(seed)), 1e-13)
    first = differences(f, seed, v, w)
    close(tangent, first)
    gx, gy = grad(f)(x, y)
    close(np.sum(gx * v) + np.sum(gy * w), first)
    np.testing.assert_array_equal(x, arguments(seed)[0])  # what is written changes inside f alone
    close(grad(checkpoint(lambda x, y: f(x * 1.0, y * 1.0)))(x, y)[0], gx, 1e-12)
    assert eval_shape(f, x, y).shape == ()

    second = differences(slope, seed, v, w)
    close(jvp(slope, (x, y), (v, w))[1], second, 1e-6)
    hx, hy = grad(slope)(x, y)
    close(np.sum(hx * v) + np.sum(hy * w), second, 1e-6)

    rows = np.stack([x, x[::-1] * 0.5])
    close(vmap(f, (0, None))(rows, y), [f(row.copy(), y.copy()) for row in rows], 1e-12)
    close(vmap(grad(f), (0, None))(rows, y)[0][0], gx, 1e-11)


@pytest.mark.parametrize("block", range(20))
def test_random_programs(block):
    ran = 0
    for seed in range(20 * block, 20 * block + 20):
        try:
            check(seed)
        except AmbiguousAliasError:
            continue  # a write through a reshape that may be a copy: refused, not guessed
        ran += 1
    assert ran >= 12, "too few of the programs run"
