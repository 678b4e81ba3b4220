"""What the functions of this package ask of their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, is_inexact
from pycograd.core.box import Box, raw


def floating(x: Any, operation: str) -> Any:
    """`x` as a real array of a floating dtype, integers as float64."""
    if not hasattr(x, "shape"):
        x = np.asarray(x)
    dtype = dtype_of(x)
    if dtype.kind == "c":
        raise TypeError(f"{operation}: complex numbers have no order, and so no maximum")
    return x if is_inexact(dtype) else np.astype(x, np.float64)


def integers(x: Any, operation: str) -> Any:
    """`x` as an array of integers."""
    x = x if isinstance(x, Box) else np.asarray(x)
    if dtype_of(x).kind not in "iu":
        raise TypeError(f"{operation}: indices and labels are integers, not {dtype_of(x)}")
    return x


def known(x: Any) -> Any:
    """The numbers that `x` holds, in all its rows under vmap; None where they are not known yet."""
    bottom = raw(x)
    return np.asarray(bottom) if isinstance(bottom, (np.ndarray, np.generic, int)) else None
