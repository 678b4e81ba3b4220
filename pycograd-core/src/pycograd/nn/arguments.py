"""What the functions of this package ask of their arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, is_inexact
from pycograd.core.box import Box, raw


def as_array(x: Any) -> Any:
    """Lists and numbers as arrays."""
    return x if hasattr(x, "shape") else np.asarray(x)


def real(x: Any, operation: str) -> Any:
    """`x` as an array of real numbers.

    Raises:
        TypeError: complex numbers, or no numbers.
    """
    x = as_array(x)
    dtype = dtype_of(x)
    if dtype.kind in "fiub" or (dtype.kind != "c" and is_inexact(dtype)):
        return x
    said = "; complex numbers have no order" if dtype.kind == "c" else ""
    raise TypeError(f"{operation}: takes real numbers, not {dtype}{said}")


def floating(x: Any, operation: str) -> Any:
    """`x` as a real array of a floating dtype, integers and booleans as float64.

    Raises:
        TypeError: complex numbers, or no numbers.
    """
    x = real(x, operation)
    return x if is_inexact(dtype_of(x)) else np.astype(x, np.float64)


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
