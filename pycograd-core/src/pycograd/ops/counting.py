"""Sizes as values: a size to compute with, and the numbers up to one.

Of sizes that are known these are a Python int and an array. Of symbolic ones they are values of the
evaluation that is running, and equations of the graph that is being captured.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import make_aval
from pycograd.core.linear import ZeroDerivative

INTP = np.dtype(np.intp)


def _never(*args: Any, **params: Any) -> NoReturn:
    raise AssertionError("there are no operands that could be mapped")


_size = ZeroDerivative(
    "size",
    lambda size: sizes.number(size),
    shape=lambda size: make_aval((), np.dtype(np.int64), weak=True),
    batch=_never,
)
_positions = ZeroDerivative(
    "positions",
    lambda size, dtype: np.arange(size, dtype=dtype) if type(size) is int else arange(size, dtype),
    shape=lambda size, dtype: make_aval((size,), dtype),
    batch=_never,
)
_size.special = _positions.special = True  # not to be computed before sizes are known
sizes.serve_numbers(_size)


def arange(size: Any, dtype: np.dtype[Any] = INTP) -> Any:
    """0, 1, ... size - 1."""
    return sizes.made(_positions, size, dtype=dtype)


def below(rows: Any, columns: Any, k: int) -> Any:
    """A matrix that is true on and below its k-th diagonal."""
    if type(rows) is int and type(columns) is int:
        return np.tri(rows, columns, k, bool)
    return np.greater_equal(np.expand_dims(arange(rows), 1) + k, arange(columns))
