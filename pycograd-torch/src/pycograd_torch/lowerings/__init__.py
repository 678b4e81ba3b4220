"""How torch spells each primitive, and which it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pycograd_torch.lowerings import (
    algebra,
    control,
    elementwise,
    reductions,
    shapes,
    special,
)
from pycograd_torch.lowerings.refused import REFUSED

__all__ = ["REFUSED", "table"]


def table() -> Mapping[str, Callable[..., Any]]:
    """Primitive name -> lowering."""
    made: dict[str, Callable[..., Any]] = {}
    for part in (elementwise, shapes, reductions, algebra, control, special):
        made |= part.table()
    return made
