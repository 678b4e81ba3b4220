"""pycograd, as it stands in this repository."""

from __future__ import annotations

from typing import Any

import programs
import pycograd as pg

DISTRIBUTION = "pycograd"

chain = pg.value_and_grad(programs.chain)
mlp = pg.value_and_grad(programs.mlp, argnums=(0, 1, 2, 3))
attention = pg.value_and_grad(programs.attention, argnums=(0, 1, 2))
rnn = pg.value_and_grad(programs.rnn, argnums=(0, 1, 2))
loop = pg.value_and_grad(programs.loop)
per_sample = pg.vmap(pg.grad(programs.sample, argnums=0), in_axes=(None, 0, 0))
hessian = pg.hessian(programs.rosenbrock)
tape = pg.value_and_grad(programs.tape, argnums=0)


def array(value: Any) -> Any:
    return value
