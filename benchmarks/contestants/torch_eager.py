"""PyTorch, eager, with its own functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

DISTRIBUTION = "torch"
torch.set_num_threads(1)


def array(value: Any) -> Any:
    return torch.tensor(np.asarray(value)) if isinstance(value, np.ndarray | float) else value


def value_and_grad(f: Callable[..., Any], count: int) -> Callable[..., Any]:
    """Differentiates in the first `count` arguments."""

    def run(*args: Any) -> Any:
        parameters = [arg.requires_grad_() for arg in args[:count]]
        loss = f(*args)
        return loss.detach(), torch.autograd.grad(loss, parameters)

    return run


def chain_loss(x: Any) -> Any:
    for _ in range(50):
        x = torch.sin(x) * 0.9 + 0.1
    return x.sum()


def mlp_loss(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, labels: Any) -> Any:
    return F.cross_entropy(torch.tanh(x @ w1 + b1) @ w2 + b2, labels)


def attention_loss(wq: Any, wk: Any, wv: Any, x: Any) -> Any:
    q, k, v = x @ wq, x @ wk, x @ wv
    out = F.softmax(q @ k.T / x.shape[1] ** 0.5, dim=1) @ v
    return (out * out).sum()


def rnn_loss(wx: Any, wh: Any, b: Any, xs: Any) -> Any:
    h = torch.zeros(xs.shape[1], wh.shape[0], dtype=xs.dtype)
    for x in xs:
        h = torch.tanh(x @ wx + h @ wh + b)
    return (h * h).sum()


def loop_loss(x: Any) -> Any:
    total = 0.0
    for i in range(len(x)):
        total = total + x[i] * x[i]
    return total


def sample_loss(parameters: Any, x: Any, label: Any) -> Any:
    return mlp_loss(*parameters, x.unsqueeze(0), label.unsqueeze(0))


def rosenbrock(x: Any) -> Any:
    return torch.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def tape_loss(x: Any, operations: int) -> Any:
    for _ in range(operations):
        x = torch.sin(x)
    return x


chain = value_and_grad(chain_loss, 1)
mlp = value_and_grad(mlp_loss, 4)
attention = value_and_grad(attention_loss, 3)
rnn = value_and_grad(rnn_loss, 3)
loop = value_and_grad(loop_loss, 1)
per_sample = torch.func.vmap(torch.func.grad(sample_loss), in_dims=(None, 0, 0))
hessian = torch.func.hessian(rosenbrock)
tape = value_and_grad(tape_loss, 1)
