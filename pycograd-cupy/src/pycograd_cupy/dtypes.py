"""Conversions as NumPy makes them; `cp` is the module cupy, or one with the same functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def is_number(x: Any) -> bool:
    """True for a number of Python's, which adapts."""
    return type(x) in (bool, int, float, complex)


def common_dtype(operands: Sequence[Any]) -> np.dtype[Any]:
    """The dtype that NumPy gives to operands together."""
    found: np.dtype[Any] = np.dtype(
        np.result_type(*[x if is_number(x) else x.dtype for x in operands])
    )
    return found


def together(cp: Any, *operands: Any) -> list[Any]:
    """The operands as arrays of the dtype that NumPy gives to them together."""
    dtype = common_dtype(operands)
    return [cast(cp, x, dtype) for x in operands]


def cast(cp: Any, x: Any, dtype: Any) -> Any:
    """The array in another dtype; of complex values the real part where that is real."""
    x, dtype = cp.asarray(x), np.dtype(dtype)
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        x = x.real
    return x.astype(dtype, copy=False)


def inexact(cp: Any, x: Any) -> Any:
    """Integers and booleans as float64, others as they are."""
    x = cp.asarray(x)
    return x.astype(np.float64) if x.dtype.kind in "biu" else x


def accumulated(cp: Any, x: Any) -> Any:
    """Small integers in the dtype in which NumPy sums them up."""
    x = cp.asarray(x)
    if x.dtype.kind == "u":
        return x.astype(np.uint64, copy=False)
    return x.astype(np.int64, copy=False) if x.dtype.kind in "bi" else x
