"""Methods and attributes of arrays on boxes, in one table: each is the NumPy function of its name."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.box import Box
from pycograd.core.spelling import FUNCTIONS


def _reshape(self: Box, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    return FUNCTIONS[np.reshape](self, shape[0] if len(shape) == 1 else shape, order, copy=copy)


def _transpose(self: Box, *axes: Any) -> Any:
    if not axes:
        return FUNCTIONS[np.transpose](self)
    return FUNCTIONS[np.transpose](self, axes[0] if len(axes) == 1 else axes)


def _astype(
    self: Box,
    dtype: Any,
    order: str = "K",
    casting: Any = "unsafe",
    subok: bool = True,
    copy: bool = True,
) -> Any:
    if casting != "unsafe" and not np.can_cast(self.dtype, dtype, casting):
        raise TypeError(
            f"Cannot cast array data from {self.dtype!r} to {np.dtype(dtype)!r} according to the"
            f" rule {casting!r}"
        )
    return FUNCTIONS[np.astype](self, dtype, copy=copy)


_ATTRIBUTES = {
    "ndim": lambda self: len(self.shape),
    "size": FUNCTIONS[np.size],
    "T": FUNCTIONS[np.transpose],
    "mT": FUNCTIONS[np.matrix_transpose],
}
_METHODS = {"reshape": _reshape, "transpose": _transpose, "astype": _astype}
_NAMED_ALIKE = ("squeeze", "ravel", "swapaxes")


def install() -> None:
    """Gives `Box` its methods and attributes; called once, when every function is defined."""
    for name, read in _ATTRIBUTES.items():
        setattr(Box, name, property(read))
    for name, method in _METHODS.items():
        setattr(Box, name, method)
    for name in _NAMED_ALIKE:
        setattr(Box, name, FUNCTIONS[getattr(np, name)])
