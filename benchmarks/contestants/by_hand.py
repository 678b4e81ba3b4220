"""The yardstick: value and gradient by hand in NumPy, the program's own steps and their reverse.

Written as one does who knows the derivative: nothing is computed twice, nothing copied that can
be overwritten, BLAS reads transposes in place. What it does not do is turn the program into
another one (one large product in place of a recurrence's hundred small ones, `x @ x` for a loop).
"""

from __future__ import annotations

from typing import Any

import numpy as np

DISTRIBUTION = "numpy"
Array = Any


def array(value: Any) -> Any:
    return value


def chain(x: Array) -> Any:
    points = []
    for _ in range(50):
        points.append(x)
        x = np.sin(x)
        x *= 0.9
        x += 0.1
    ct = np.ones(x.shape)
    for point in reversed(points):
        ct *= 0.9
        ct *= np.cos(point)
    return x.sum(), (ct,)


def mlp(w1: Array, b1: Array, w2: Array, b2: Array, x: Array, labels: Array) -> Any:
    hidden = x @ w1
    hidden += b1
    np.tanh(hidden, out=hidden)
    logits = hidden @ w2
    logits += b2
    loss, ct = cross_entropy(logits, labels)
    ct /= len(labels)
    ct_hidden = ct @ w2.T
    d_w2 = hidden.T @ ct
    times_tanh_slope(ct_hidden, hidden)
    return loss.mean(), (x.T @ ct_hidden, ct_hidden.sum(axis=0), d_w2, ct.sum(axis=0))


def attention(wq: Array, wk: Array, wv: Array, x: Array) -> Any:
    q, k, v = x @ wq, x @ wk, x @ wv
    scale = 1 / np.sqrt(x.shape[1])
    weights = q @ k.T
    weights *= scale
    weights -= weights.max(axis=1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=1, keepdims=True)
    out = weights @ v
    loss = np.vdot(out, out)
    out *= 2
    d_v = weights.T @ out
    ct = out @ v.T
    ct -= np.einsum("ij,ij->i", ct, weights)[:, None]
    ct *= weights
    ct *= scale
    return loss, (x.T @ (ct @ k), x.T @ (ct.T @ q), x.T @ d_v)


def rnn(wx: Array, wh: Array, b: Array, xs: Array) -> Any:
    states = [np.zeros((xs.shape[1], wh.shape[0]))]
    for x in xs:
        h = x @ wx
        h += states[-1] @ wh
        h += b
        states.append(np.tanh(h, out=h))
    h = states.pop()
    loss = np.vdot(h, h)
    ct = 2 * h
    d_wx, d_wh, d_b = np.zeros_like(wx), np.zeros_like(wh), np.zeros_like(b)
    for x in xs[::-1]:
        times_tanh_slope(ct, h)
        h = states.pop()
        d_wx += x.T @ ct
        d_wh += h.T @ ct
        d_b += ct.sum(axis=0)
        ct = ct @ wh.T
    return loss, (d_wx, d_wh, d_b)


def loop(x: Array) -> Any:
    total = 0.0
    for i in range(len(x)):
        total = total + x[i] * x[i]
    gradient = np.empty_like(x)
    for i in range(len(x)):
        gradient[i] = 2 * x[i]
    return total, (gradient,)


def per_sample(parameters: tuple[Array, ...], x: Array, labels: Array) -> Any:
    w1, b1, w2, b2 = parameters
    hidden = x @ w1
    hidden += b1
    np.tanh(hidden, out=hidden)
    logits = hidden @ w2
    logits += b2
    _, ct = cross_entropy(logits, labels)
    ct_hidden = ct @ w2.T
    d_w2 = np.einsum("bi,bj->bij", hidden, ct)
    times_tanh_slope(ct_hidden, hidden)
    return np.einsum("bi,bj->bij", x, ct_hidden), ct_hidden, d_w2, ct


def hessian(x: Array) -> Any:
    n = len(x)
    result = np.zeros((n, n))
    diagonal = result.reshape(-1)[:: n + 1]
    diagonal[:-1] = 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    diagonal[1:] += 200
    result.reshape(-1)[1 :: n + 1] = result.reshape(-1)[n :: n + 1] = -400 * x[:-1]
    return result


def tape(x: Array, operations: int) -> Any:
    points = []
    for _ in range(operations):
        points.append(x)
        x = np.sin(x)
    ct = 1.0
    for point in reversed(points):
        ct *= np.cos(point)
    return x, (ct,)


def helper_numpy(x: Array) -> Any:
    points = []
    for _ in range(50):
        points.append(x)
        x = np.sin(x) * 0.9 + 0.1
    ct = 1.0
    for point in reversed(points):
        ct *= 0.9 * np.cos(point)
    return x, (ct,)


helper_math = helper_numpy


def fill(x: Array, entries: int) -> Any:
    y = np.zeros(entries)
    for i in range(entries):
        y[i] = x[i % 10] * 0.5
    ct = np.zeros(10)
    for i in range(entries):
        ct[i % 10] += 0.5
    return y.sum(), (ct,)


def look() -> int:
    """Nothing is looked at by hand."""
    return 10


def cross_entropy(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Returns each row's loss and its gradient, which is written over the logits."""
    rows = np.arange(len(labels))
    logits -= logits.max(axis=1, keepdims=True)
    picked = logits[rows, labels]
    exps = np.exp(logits, out=logits)
    norm = exps.sum(axis=1, keepdims=True)
    exps /= norm
    exps[rows, labels] -= 1
    return np.log(norm[:, 0]) - picked, exps


def times_tanh_slope(ct: Array, y: Array) -> None:
    """Multiplies `ct` in place by tanh's derivative 1 - y^2, y being its output."""
    slope = y * y
    np.subtract(1, slope, out=slope)
    ct *= slope
