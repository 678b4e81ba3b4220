"""How ONNX spells each primitive, and which it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycograd_onnx.lowerings import (
    algebra,
    control,
    conv,
    elementwise,
    gamma,
    indexing,
    matrices,
    reductions,
    shapes,
    wide,
)
from pycograd_onnx.lowerings.refused import REFUSED

__all__ = ["REFUSED", "STRUCTURAL", "table"]

# What only moves entries: of narrow integers nothing can leave their range.
STRUCTURAL = frozenset({*shapes.table(), *indexing.table(), "cond", "scan", "while_loop"})


def table() -> dict[str, Callable[..., Any]]:
    """Primitive name -> lowering."""
    made: dict[str, Callable[..., Any]] = {}
    of_arrays = (elementwise, shapes, indexing, reductions, algebra, matrices, conv, wide, gamma)
    for part in (*of_arrays, control):
        made |= part.table()
    return made
