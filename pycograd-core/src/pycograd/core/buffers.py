"""Who holds a buffer: CPython's reference counts say whether a write in place would be seen.

Counts that are too high only cost a copy, so every doubt is resolved that way.
"""

from __future__ import annotations

import sys
from sys import getrefcount
from typing import Any

import numpy as np

_ndarray = np.ndarray

# What passing a value to a Python function adds to its count: the argument itself, and before 3.11
# a reference on the caller's stack. Later than 3.13 locals may be passed without being counted, so
# there counts say nothing.
FRAME = 1 if sys.version_info >= (3, 11) else 2
_COUNTS = sys.version_info < (3, 14)
_ALONE = 2 + FRAME  # the caller's local, our argument, getrefcount's argument


def alone(x: Any, holders: int = 0) -> bool:
    """True if nothing refers to `x` but its caller's local and `holders` more.

    A caller that was itself given `x` adds `FRAME` for each function it came through.
    """
    return getrefcount(x) <= _ALONE + holders and _COUNTS


def owned(array: Any, holders: int = 0) -> bool:
    """True if `array` is a buffer of its own that, as in `alone`, nobody else sees."""
    if type(array) is not _ndarray or getrefcount(array) > _ALONE + holders:
        return False
    flags = array.flags
    return array.base is None and flags.writeable and flags.owndata and _COUNTS


def is_frozen(array: Any) -> bool:
    """True for an array that nobody can write to, as far as NumPy knows."""
    while isinstance(array, _ndarray):
        if array.flags.writeable:
            return False
        if array.base is None:
            return True
        array = array.base
    return False


def apart(x: Any) -> Any:
    """`x`; of an array that somebody may write to, a copy that lies in memory as it does."""
    if not issubclass(type(x), _ndarray):
        return x
    memory = x
    while not memory.flags.writeable and issubclass(type(memory.base), _ndarray):
        memory = memory.base
    if not memory.flags.writeable and memory.flags.owndata:
        return x
    return x.copy(order="K")


def settle_apart(values: list[Any]) -> None:
    """Puts copies in the place of arrays that others refer to than the list."""
    for i in range(len(values)):
        array = values[i]
        if type(array) is _ndarray and not owned(array, 1):
            values[i] = array.copy(order="K")


class Contents:
    """What was in an array at one moment, to ask whether it still is.

    Arguments:
        array: of NumPy; what nobody can write to is not copied.
    """

    __slots__ = ("form", "memory")

    def __init__(self, array: Any) -> None:
        self.form = array.shape, array.dtype
        self.memory = None if is_frozen(array) else _memory(array).copy()

    def still(self, array: Any) -> bool:
        """True if the array holds what it held; a nan is itself."""
        if self.form != (array.shape, array.dtype):
            return False
        return self.memory is None or bool((_memory(array) == self.memory).all())


def _memory(array: Any) -> Any:
    """The memory of an array as numbers, for which every nan equals itself."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.int64 if flat.nbytes % 8 == 0 else np.uint8)
