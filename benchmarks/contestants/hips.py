"""HIPS autograd: the same programs over `autograd.numpy`."""

from __future__ import annotations

from typing import Any

import autograd.numpy as np
from autograd import grad, hessian as hessian_of, value_and_grad

import programs

DISTRIBUTION = "autograd"

theirs = programs.over(np)
chain = value_and_grad(theirs.chain)
mlp = value_and_grad(theirs.mlp, (0, 1, 2, 3))
attention = value_and_grad(theirs.attention, (0, 1, 2))
rnn = value_and_grad(theirs.rnn, (0, 1, 2))
loop = value_and_grad(theirs.loop)
hessian = hessian_of(theirs.rosenbrock)
tape = value_and_grad(theirs.tape)
sample_gradient = grad(theirs.sample)


def per_sample(parameters: Any, x: Any, labels: Any) -> Any:
    """A loop: it has no vmap."""
    rows = (sample_gradient(parameters, row, label) for row, label in zip(x, labels, strict=True))
    return tuple(np.stack(leaf) for leaf in zip(*rows, strict=True))


def array(value: Any) -> Any:
    return value
