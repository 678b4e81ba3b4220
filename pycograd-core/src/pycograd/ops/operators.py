"""Python's operators on boxes, each the ufunc that NumPy would call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core.aval import aval_of
from pycograd.core.box import Box
from pycograd.core.errors import ShapeError, located
from pycograd.core.fit import cast
from pycograd.core.spelling import UFUNCS
from pycograd.core.views import is_buffer, write

_BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}
_COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}


def _reflected(operation: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: operation(other, self)


def _in_place(operation: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Box, other: Any) -> Any:
        new = operation(self, other)
        return update(self, new) if self.stays or is_buffer(self) else new

    return method


def update(x: Box, new: Any) -> Box:
    """Writes the whole of `new` into `x`, as `out=` and augmented assignment do."""
    have, got = aval_of(x), aval_of(new)
    if have.shape != got.shape:
        raise ShapeError(f"a result of shape {got.shape} does not fit into one of {have.shape}")
    if have.dtype != got.dtype:
        if not np.can_cast(got.dtype, have.dtype, "same_kind"):
            raise TypeError(located(f"cannot write a {got.dtype} result into a {have.dtype} array"))
        new = cast(new, have.dtype)
    if not have.shape and is_buffer(x):
        new = np.copy(new)  # an array still, where ufuncs make a scalar of their result
    write(x, attached(x, new))
    return x


def attached(x: Box, new: Any) -> Any:
    """`new` as a box of the trace of `x`, so that a constant can be written."""
    if isinstance(new, Box) and new._trace is x._trace:
        return new
    if isinstance(new, Box) and new._trace.level > x._trace.level:
        return new  # of an inner transform: core.views refuses it
    return x._trace.constant(new)


def _power(x: Any, y: Any) -> Any:
    if type(y) in (int, float) and y == 2:
        return UFUNCS[np.square](x)
    return UFUNCS[np.power](x, y)


def _pow(self: Box, other: Any, modulo: Any = None) -> Any:
    if modulo is not None:
        raise TypeError("pow() with a modulus is for integers")
    return _power(self, other)


def install() -> None:
    """Gives `Box` its operators; called once, when every ufunc has its definition."""
    for name, ufunc in _BINARY.items():
        operation = UFUNCS[ufunc]
        setattr(Box, f"__{name}__", operation)
        setattr(Box, f"__r{name}__", _reflected(operation))
        setattr(Box, f"__i{name}__", _in_place(operation))
    for name, ufunc in {**_COMPARISONS, **_UNARY}.items():
        setattr(Box, f"__{name}__", UFUNCS[ufunc])
    dunder: Any = Box
    dunder.__pow__ = _pow
    dunder.__rpow__ = _reflected(UFUNCS[np.power])
    dunder.__ipow__ = _in_place(_power)
    dunder.__divmod__ = UFUNCS[np.divmod]
    dunder.__rdivmod__ = _reflected(UFUNCS[np.divmod])
