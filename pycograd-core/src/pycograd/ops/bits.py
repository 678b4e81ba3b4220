"""Booleans packed into bytes, and back: constants, which under vmap differ between rows."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from pycograd.core.aval import make_aval
from pycograd.core.linear import ZeroDerivative
from pycograd.core.spelling import spells
from pycograd.ops.axes import axis_of

_BYTE = np.dtype(np.uint8)


def _resized(shape: Any, axis: int, n: Any) -> Any:
    return make_aval((*shape[:axis], n, *shape[axis + 1 :]), _BYTE)


packbits_of: ZeroDerivative = ZeroDerivative(
    "packbits",
    lambda x, axis, bitorder: np.packbits(x, axis, bitorder),
    shape=lambda x, axis, bitorder: _resized(x.shape, axis, (x.shape[axis] + 7) // 8),
    batch=lambda size, values, mapped, axis, bitorder: packbits_of(
        values[0], axis=axis + 1, bitorder=bitorder
    ),
)
unpackbits_of: ZeroDerivative = ZeroDerivative(
    "unpackbits",
    lambda x, axis, count, bitorder: np.unpackbits(x, axis, count, bitorder),
    shape=lambda x, axis, count, bitorder: _resized(x.shape, axis, count),
    batch=lambda size, values, mapped, axis, count, bitorder: unpackbits_of(
        values[0], axis=axis + 1, count=count, bitorder=bitorder
    ),
)


def _along(a: Any, axis: Any, operation: str) -> tuple[Any, int]:
    return (np.ravel(a), 0) if axis is None else (a, axis_of(axis, len(a.shape), operation))


@spells(np.packbits)
def packbits(a: Any, /, axis: Any = None, bitorder: str = "big") -> Any:
    """Bytes of eight entries each, along an axis or of the flattened array."""
    if a.dtype.kind not in "biu":
        raise TypeError(f"packbits: expected an array of integers or booleans, not {a.dtype}")
    a, axis = _along(a, axis, "packbits")
    return packbits_of(a, axis=axis, bitorder=bitorder)


@spells(np.unpackbits)
def unpackbits(a: Any, /, axis: Any = None, count: Any = None, bitorder: str = "big") -> Any:
    """The bits of bytes, along an axis or of the flattened array."""
    if a.dtype != _BYTE:
        raise TypeError(f"unpackbits: expected an array of uint8, not {a.dtype}")
    a, axis = _along(a, axis, "unpackbits")
    many = 8 * a.shape[axis]
    if count is not None:
        many = many + index(count) if count < 0 else index(count)
    return unpackbits_of(a, axis=axis, count=many, bitorder=bitorder)
