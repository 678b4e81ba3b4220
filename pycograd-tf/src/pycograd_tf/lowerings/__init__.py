"""How TensorFlow spells each primitive, which derivatives are ours, and what it cannot spell."""

from __future__ import annotations

from pycograd_tf.lowerings import (
    algebra,
    control,
    elementwise,
    indices,
    order,
    random,
    reductions,
    shapes,
    special,
    windows,
)
from pycograd_tf.lowerings.common import Lowering
from pycograd_tf.lowerings.refused import REFUSED
from pycograd_tf.lowerings.rules import OWN_RULES

_PARTS = (
    *(elementwise, shapes, indices, reductions, order),
    *(algebra, windows, special, random, control),
)
TABLE: dict[str, Lowering] = {name: f for part in _PARTS for name, f in part.TABLE.items()}

__all__ = ["OWN_RULES", "REFUSED", "TABLE"]
