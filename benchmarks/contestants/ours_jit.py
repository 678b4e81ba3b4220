"""pycograd's `jit`: the same gradients as straight-line NumPy, compiled at the first call."""

from __future__ import annotations

from typing import Any

import pycograd as pg
from contestants import ours

DISTRIBUTION = "pycograd"
UNSUPPORTED = dict.fromkeys(("loop", "tape"), "a Python loop as long as that is not for jit")

chain = pg.jit(ours.chain)
mlp = pg.jit(ours.mlp)
attention = pg.jit(ours.attention)
rnn = pg.jit(ours.rnn)
per_sample = pg.jit(ours.per_sample)
hessian = pg.jit(ours.hessian)


def array(value: Any) -> Any:
    return value
