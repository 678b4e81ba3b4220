"""How torch spells each primitive, and which it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pycograd_torch.lowerings import (
    algebra,
    attention,
    control,
    conv,
    elementwise,
    random,
    reductions,
    shapes,
    special,
)
from pycograd_torch.lowerings.common import said
from pycograd_torch.lowerings.refused import REFUSED

__all__ = ["REFUSED", "table"]

# Of complex numbers NumPy has an order, torch has none.
_OF_REALS = (
    *("max", "min", "fmax_reduce", "fmin_reduce", "maximum", "minimum", "fmax", "fmin", "clip"),
    *("greater", "greater_equal", "less", "less_equal", "distinct", "running_index", "rint"),
    *("argmax", "argmin", "searchsorted", "sign", "remainder", "floor_divide", "arctan2"),
)


def table() -> Mapping[str, Callable[..., Any]]:
    """Primitive name -> lowering."""
    made: dict[str, Callable[..., Any]] = {}
    for part in (
        *(elementwise, shapes, reductions, algebra, attention),
        *(control, conv, random, special),
    ):
        made |= part.table()
    of_reals = {*_OF_REALS, *special.table()}
    return {name: said(name, f, name in of_reals) for name, f in made.items()}
