"""Random programs of views, writes, reads and arithmetic: NumPy's aliasing and its derivatives.

A program is a list of steps on a pool of values, drawn from a seed. Run on plain arrays it says what
NumPy does, aliasing included; run under transforms it must say the same, and differentiate it.
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
    "taken": lambda v: np.take(v, [0, -1], axis=-1) if v.ndim else None,
    "swapped": lambda v: np.swapaxes(v, 0, -1),
    "copied": lambda v: v.copy(),
    "joined": lambda v: np.concatenate([v, v * 2.0], axis=-1),
    "chosen": lambda v: np.where(v > 0.1, v, 0.2 * v),
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


@pytest.mark.parametrize("block", range(200))
def test_random_programs(block):
    ran = 0
    for seed in range(20 * block, 20 * block + 20):
        steps = drawn(seed)
        x, y = arguments(seed)
        v, w = np.random.default_rng([seed, 2]).standard_normal((2, 3)), np.array([0.3, -1.0, 0.5])
        f = lambda x, y: run(steps, x, y)
        expected = f(*arguments(seed))
        try:
            value, tangent = jvp(f, (x, y), (v, w))
        except AmbiguousAliasError:
            continue  # a write through a reshape that may be a copy: refused, not guessed
        ran += 1
        close = lambda a, b, rtol=1e-7: np.testing.assert_allclose(
            a, b, rtol=rtol, atol=rtol, err_msg=f"seed {seed}: {steps}"
        )
        close(value, expected, 1e-13)
        slope = differences(f, seed, v, w)
        close(tangent, slope)
        gx, gy = grad(f)(x, y)
        close(np.sum(gx * v) + np.sum(gy * w), slope)
        np.testing.assert_array_equal(x, arguments(seed)[0])  # written to inside f alone
        close(grad(checkpoint(lambda x, y: f(x * 1.0, y * 1.0)))(x, y)[0], gx, 1e-12)
        assert eval_shape(f, x, y).shape == ()

        rows = np.stack([x, x[::-1] * 0.5])
        by_rows = [f(row.copy(), y.copy()) for row in rows]
        close(vmap(f, (0, None))(rows, y), by_rows, 1e-12)
        close(vmap(grad(f), (0, None))(rows, y)[0][0], gx, 1e-11)

        curved = differences(lambda x, y: np.sum(grad(f)(x, y)[0] * v), seed, v, w)
        close(jvp(lambda x, y: np.sum(grad(f)(x, y)[0] * v), (x, y), (v, w))[1], curved, 1e-6)
        hx, hy = grad(lambda x, y: np.sum(grad(f)(x, y)[0] * v))(x, y)
        close(np.sum(hx * v) + np.sum(hy * w), curved, 1e-6)
    assert ran >= 12, "too few of the programs run"
