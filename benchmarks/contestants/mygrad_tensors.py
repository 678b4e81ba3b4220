"""MyGrad, written with its tensors and its own functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mygrad as mg
import numpy as np
from mygrad.nnet.activations import softmax
from mygrad.nnet.losses import softmax_crossentropy

DISTRIBUTION = "mygrad"
UNSUPPORTED = {"hessian": "MyGrad has no second derivatives"}


def array(value: Any) -> Any:
    return value


def value_and_grad(f: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Differentiates in the first `count` arguments; MyGrad keeps the gradient on its tensors."""

    def run(*args: Any) -> Any:
        parameters = [mg.tensor(arg, copy=False) for arg in args[:count]]
        loss = f(*parameters, *args[count:])
        loss.backward()
        return loss.data, tuple(parameter.grad for parameter in parameters)

    return run


def chain_loss(x: Any) -> Any:
    for _ in range(50):
        x = mg.sin(x) * 0.9 + 0.1
    return mg.sum(x)


def mlp_loss(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, labels: Any) -> Any:
    return softmax_crossentropy(mg.tanh(x @ w1 + b1) @ w2 + b2, labels)


def attention_loss(wq: Any, wk: Any, wv: Any, x: Any) -> Any:
    q, k, v = x @ wq, x @ wk, x @ wv
    out = softmax(q @ k.T / np.sqrt(x.shape[1])) @ v
    return mg.sum(out * out)


def rnn_loss(wx: Any, wh: Any, b: Any, xs: Any) -> Any:
    h = np.zeros((xs.shape[1], wh.shape[0]))
    for x in xs:
        h = mg.tanh(x @ wx + h @ wh + b)
    return mg.sum(h * h)


def loop_loss(x: Any) -> Any:
    total = 0.0
    for i in range(len(x)):
        total = total + x[i] * x[i]
    return total


def tape_loss(x: Any, operations: int) -> Any:
    for _ in range(operations):
        x = mg.sin(x)
    return x


chain = value_and_grad(chain_loss, 1)
mlp = value_and_grad(mlp_loss, 4)
attention = value_and_grad(attention_loss, 3)
rnn = value_and_grad(rnn_loss, 3)
loop = value_and_grad(loop_loss, 1)
tape = value_and_grad(tape_loss, 1)
sample = value_and_grad(mlp_loss, 4)


def per_sample(parameters: Any, x: Any, labels: Any) -> Any:
    """A loop over batches of one: it has no vmap."""
    rows = (sample(*parameters, x[i : i + 1], labels[i : i + 1])[1] for i in range(len(x)))
    return tuple(np.stack(leaf) for leaf in zip(*rows, strict=True))
