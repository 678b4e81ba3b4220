"""pycograd, as it stands in this repository."""

from __future__ import annotations

from typing import Any

import programs
import pycograd as pg
from pycograd.transparent.look import search

DISTRIBUTION = "pycograd"

chain = pg.value_and_grad(programs.chain)
mlp = pg.value_and_grad(programs.mlp, argnums=(0, 1, 2, 3))
attention = pg.value_and_grad(programs.attention, argnums=(0, 1, 2))
rnn = pg.value_and_grad(programs.rnn, argnums=(0, 1, 2))
loop = pg.value_and_grad(programs.loop)
per_sample = pg.vmap(pg.grad(programs.sample, argnums=0), in_axes=(None, 0, 0))
hessian = pg.hessian(programs.rosenbrock)
tape = pg.value_and_grad(programs.tape, argnums=0)
helper_numpy = pg.value_and_grad(programs.helper_numpy)
helper_math = pg.value_and_grad(programs.helper_math)
fill = pg.value_and_grad(programs.fill, argnums=(0,))


def look() -> int:
    """Whether ten functions need the transparent mode, as if they were seen for the first time."""
    return len([search(function, None, False) for function in LOOKED_AT])


LOOKED_AT = [
    programs.chain, programs.mlp, programs.attention, programs.rnn, programs.loop, programs.sample,
    programs.rosenbrock, programs.tape, programs.wave_of_math, programs.fill,
]  # fmt: skip


def array(value: Any) -> Any:
    return value
