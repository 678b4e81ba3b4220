"""The memory that programs keep between calls: sets of buffers that no call is using.

Small sets are kept by their program, a few each. Large ones are counted, and those used longest ago
go when all of them together pass a limit: a function compiled for a hundred batch sizes does not
hold a hundred times the memory of one.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from threading import RLock
from typing import Any, Final

LARGE: Final = 1 << 20  # bytes of a set that is counted
KEPT: Final = 8  # small sets that one program keeps, for as many calls at once
LIMIT: Final = 1 << 30  # bytes of all large sets together; the one used last is kept in any case


def pool(nbytes: int) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """`(take, give)` for the sets of one program; `take` raises IndexError if there is none."""
    if nbytes >= LARGE:
        large = _Large(nbytes)
        return large.take, large.give
    kept: deque[Any] = deque(maxlen=KEPT)
    return kept.pop, kept.append


class _Large:
    """The idle sets of one program."""

    __slots__ = ("nbytes", "sets", "__weakref__")

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.sets: list[Any] = []

    def take(self) -> Any:
        return self.sets.pop()

    def give(self, held: Any) -> None:
        with _lock:
            self.sets.append(held)
            _recent.pop(id(self), None)
            _recent[id(self)] = weakref.ref(self)
            room = LIMIT
            for key, reference in reversed(list(_recent.items())):
                if (other := reference()) is None:
                    del _recent[key]
                    continue
                while other.sets and room < other.nbytes * len(other.sets):
                    if other is self and len(other.sets) == 1:
                        break
                    other.sets.pop(0)
                if not other.sets and other is not self:
                    del _recent[key]
                room -= other.nbytes * len(other.sets)


_lock = RLock()
_recent: dict[int, weakref.ref[_Large]] = {}  # the last one is the one used last
