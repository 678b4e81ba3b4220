"""`with` blocks that set something for as long as they last, in their own context.

A block object may be entered again, also within itself and in several threads at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# The blocks entered in this context, the innermost last, each with what it replaced.
_entered: ContextVar[tuple[tuple[Any, Token[Any]], ...]] = ContextVar("entered", default=())


class Block(ContextDecorator, Generic[T]):
    """A block in which a context variable has a value.

    Arguments:
        variable: the variable.
        value: gives the value at each entry.
        yields: what `with ... as` names.
        count: called with 1 at each entry and with -1 at each end.
    """

    __slots__ = ("count", "value", "variable", "yields")

    def __init__(
        self,
        variable: ContextVar[Any],
        value: Callable[[], Any],
        yields: T,
        count: Callable[[int], None] | None = None,
    ) -> None:
        self.variable, self.value, self.yields, self.count = variable, value, yields, count

    def __enter__(self) -> T:
        value = self.value()
        if self.count is not None:
            self.count(1)
        _entered.set((*_entered.get(), (self, self.variable.set(value))))
        return self.yields

    def __exit__(self, *error: object) -> None:
        entered = _entered.get()
        last = max([i for i, (block, _) in enumerate(entered) if block is self], default=None)
        if last is None:
            raise RuntimeError("a block ended in another context than the one it was entered in")
        _entered.set(entered[:last] + entered[last + 1 :])
        self.variable.reset(entered[last][1])
        if self.count is not None:
            self.count(-1)
