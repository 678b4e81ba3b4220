"""The table of lowerings: primitive name -> a function of JAX's arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from pycograd_jax.lowerings import (
    arrays,
    control,
    conv,
    elementwise,
    matrices,
    random,
    reductions,
    special,
)
from pycograd_jax.lowerings.dtypes import strong
from pycograd_jax.lowerings.refused import REFUSED
from pycograd_jax.precision import wide


def _finished(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` in double precision, with results that adapt to no other dtype."""

    @functools.wraps(f)
    def lowering(*operands: Any, **params: Any) -> Any:
        with wide():
            out = f(*operands, **params)
            return tuple(map(strong, out)) if type(out) in (tuple, list) else strong(out)

    lowering.__name__ = lowering.__qualname__ = name
    return lowering


TABLE: dict[str, Callable[..., Any]] = {
    name: _finished(name, f)
    for part in (arrays, control, conv, elementwise, matrices, random, reductions, special)
    for name, f in part.TABLE.items()
}

__all__ = ["REFUSED", "TABLE"]
