"""What tells two values apart that are part of a program: type and contents, down to the last bit.

`==` does not do: 1, 1.0 and True are equal, and so are 0.0 and -0.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

PLAIN = (int, float, complex, str, bytes, bool, type(None), tuple, frozenset, np.generic)


def key_of(x: Any, contents: bool = True) -> Any:
    """A hashable key: equal for values that make the same program, and only for these.

    Arguments:
        x: anything.
        contents: whether arrays, lists, dicts and sets are taken by their contents; otherwise, as
            objects without a hash always are, by identity.
    """
    kind = type(x)
    if kind in (float, complex):
        return kind, repr(x)
    if isinstance(x, np.generic):
        return kind, x.dtype.str, x.tobytes()
    if kind is tuple:
        return kind, tuple([key_of(part, contents) for part in x])
    if kind is frozenset:
        return kind, frozenset([key_of(part, contents) for part in x])
    if contents and kind is list:
        return kind, tuple([key_of(part) for part in x])
    if contents and kind is set:
        return kind, frozenset([key_of(part) for part in x])
    if contents and kind is dict:
        return kind, tuple([(key_of(name), key_of(part)) for name, part in x.items()])
    if contents and kind is np.ndarray and not x.dtype.hasobject:
        return kind, x.shape, x.dtype, x.tobytes()
    try:
        hash(x)
    except TypeError:
        return Identity(x)
    return kind, x


class Identity:
    """A key that equals itself alone, and keeps its object."""

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and other.x is self.x

    def __hash__(self) -> int:
        return id(self.x)
