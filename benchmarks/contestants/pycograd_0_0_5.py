"""The older pycograd of the package index, an unrelated peer with the same idea."""

from __future__ import annotations

from typing import Any

import programs
import pycograd as pg

DISTRIBUTION = "pycograd"

chain = pg.value_and_grad(programs.chain)
mlp = pg.value_and_grad(programs.mlp, argnum=(0, 1, 2, 3))
attention = pg.value_and_grad(programs.attention, argnum=(0, 1, 2))
rnn = pg.value_and_grad(programs.rnn, argnum=(0, 1, 2))
loop = pg.value_and_grad(programs.loop)
every_gradient = pg.vmap(pg.grad(programs.sample), in_axes=(None, 0, 0))
hessian = pg.hessian(programs.rosenbrock)
tape = pg.value_and_grad(programs.tape, argnum=0)


def array(value: Any) -> Any:
    return value


def per_sample(parameters: Any, x: Any, labels: Any) -> Any:
    """Under its vmap the choice of arguments is not heeded: the gradients of all come back."""
    return every_gradient(parameters, x, labels)[0]
