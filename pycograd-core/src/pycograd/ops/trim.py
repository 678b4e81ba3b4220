"""Values without the zeros at their ends: which entries remain depends on the data.

Under vmap all rows must keep the same entries, since their results are one array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import make_aval, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import ControlFlowError
from pycograd.core.linear import ZeroDerivative
from pycograd.core.primitive import bind
from pycograd.core.spelling import spells
from pycograd.ops.axes import axes_of
from pycograd.ops.gather import take_rows
from pycograd.ops.join import as_arrays

_INTP = np.dtype(np.intp)


def _kept(x: Any, front: bool, back: bool, least: int) -> Any:
    """The positions along the last axis that are kept of true and false entries, in every row."""
    n = x.shape[-1]
    if n == 0:
        return np.arange(0)
    rows = np.reshape(x, (-1, n))
    found = {_ends(row, front, back, least) for row in rows}
    if len(found) > 1:
        raise ControlFlowError(
            f"trim_zeros under vmap: rows begin or end with different numbers of zeros: {n} entries"
            f" become {' and '.join(str(b - a) for a, b in sorted(found))}"
        )
    start, stop = found.pop() if found else (0, n)
    return np.arange(start, stop)


def _ends(row: Any, front: bool, back: bool, least: int) -> tuple[int, int]:
    (at,) = np.nonzero(row)
    n = len(row)
    if not len(at):
        return (n - least, n) if front else (0, least)
    return int(at[0]) if front else 0, int(at[-1]) + 1 if back else n


# Of a mask along its last axis. `least`: how many positions remain of one without true entries.
kept_entries: ZeroDerivative = ZeroDerivative(
    "kept_entries",
    _kept,
    shape=lambda x, front, back, least: make_aval((sizes.fresh_size("trim_zeros"),), _INTP),
    batch=lambda size, values, mapped, **params: _every_row(size, values, params),
)


def _every_row(size: Any, values: Any, params: Any) -> Any:
    kept = bind(kept_entries, values, params)
    return np.broadcast_to(kept, (size, *shape_of(kept)))


def trimmed(x: Any, mask: Any, front: bool, back: bool, least: int = 0, axis: int = 0) -> Any:
    """`x` without the entries of an axis before the first and after the last true one of `mask`."""
    at = bind(kept_entries, (mask,), {"front": front, "back": back, "least": least})
    if isinstance(at, Box):
        return take_rows(x, at, axis, unique=True)
    if len(at) == x.shape[axis]:
        return x
    start = int(at[0]) if len(at) else 0
    return x[(slice(None),) * axis + (slice(start, start + len(at)),)]


@spells(np.trim_zeros)
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """The entries without the zeros in front and behind, along every axis or those named."""
    (filt,) = as_arrays([filt])
    where = trim.lower()
    if where not in ("f", "b", "fb", "bf"):
        raise ValueError(f"trim_zeros: trim must be 'f', 'b', 'fb' or 'bf', not {trim!r}")
    rank = len(filt.shape)
    inside = filt != 0
    for i in axes_of(axis, rank, "trim_zeros"):
        line = np.any(inside, axis=tuple([j for j in range(rank) if j != i]))
        filt = trimmed(filt, line, "f" in where, "b" in where, axis=i)
    return filt
