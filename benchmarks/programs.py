"""The workloads as a user writes them: ordinary NumPy, with nothing in it for differentiation.

pycograd, old and new, differentiate these functions as they stand. `over` gives the same text to
a library that wants its own namespace in place of NumPy's, so no contestant runs another program.
"""

from __future__ import annotations

import importlib.util
import math
from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # a NumPy array, or what stands for one in the contestant's library


def chain(x: Array) -> Array:
    for _ in range(50):
        x = np.sin(x) * 0.9 + 0.1
    return np.sum(x)


def mlp(w1: Array, b1: Array, w2: Array, b2: Array, x: Array, labels: Array) -> Array:
    logits = np.tanh(x @ w1 + b1) @ w2 + b2
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_norm = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(log_norm - shifted[np.arange(len(labels)), labels])


def attention(wq: Array, wk: Array, wv: Array, x: Array) -> Array:
    q, k, v = x @ wq, x @ wk, x @ wv
    scores = q @ k.T / np.sqrt(x.shape[1])
    weights = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    weights = weights / np.sum(weights, axis=1, keepdims=True)
    out = weights @ v
    return np.sum(out * out)


def rnn(wx: Array, wh: Array, b: Array, xs: Array) -> Array:
    h = np.zeros((xs.shape[1], wh.shape[0]))
    for x in xs:
        h = np.tanh(x @ wx + h @ wh + b)
    return np.sum(h * h)


def loop(x: Array) -> Array:
    total = 0.0
    for i in range(len(x)):
        total = total + x[i] * x[i]
    return total


def sample(parameters: tuple[Array, ...], x: Array, label: Array) -> Array:
    """The loss of one sample of a small MLP; its gradient is wanted for each of a batch."""
    w1, b1, w2, b2 = parameters
    logits = np.tanh(x @ w1 + b1) @ w2 + b2
    shifted = logits - np.max(logits)
    return np.log(np.sum(np.exp(shifted))) - shifted[label]


def rosenbrock(x: Array) -> Array:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def tape(x: Array, operations: int) -> Array:
    for _ in range(operations):
        x = np.sin(x)
    return x


def wave_of_numpy(x: Array) -> Array:
    return np.sin(x) * 0.9 + 0.1


def helper_numpy(x: Array) -> Array:
    for _ in range(50):
        x = wave_of_numpy(x)
    return x


def wave_of_math(x: Array) -> Array:
    return math.sin(x) * 0.9 + 0.1


def helper_math(x: Array) -> Array:
    for _ in range(50):
        x = wave_of_math(x)
    return x


def fill(x: Array, entries: int) -> Array:
    y = np.zeros(entries)
    for i in range(entries):
        y[i] = x[i % 10] * 0.5
    return np.sum(y)


def over(namespace: ModuleType) -> Any:
    """Returns this module again with `namespace` as its `np`, as its users would import it."""
    spec = importlib.util.spec_from_file_location(f"programs_{namespace.__name__}", __file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["np"] = namespace
    return module
