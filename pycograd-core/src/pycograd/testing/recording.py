"""A transform that records which primitives a function binds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.box import Box
from pycograd.core.primitive import Primitive, Trace, bind
from pycograd.core.tree import tree_map


class Recorder(Trace):
    """A transform that computes nothing new and notes the primitives that it sees."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        super().__init__("a recorded run")
        self.seen: set[str] = set()

    def box(self, value: Any) -> Recorded:
        """A box whose operations are noted."""
        box: Recorded = object.__new__(Recorded)
        box.value, box._trace = value, self
        return box

    constant = box

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        self.seen.add(primitive.name)
        values = [x.value if isinstance(x, Recorded) and x._trace is self else x for x in operands]
        out = bind(primitive, values, params)
        return tuple([self.box(x) for x in out]) if primitive.multi else self.box(out)


class Recorded(Box):
    """A value whose operations are noted."""

    __slots__ = ()
    contents = ("value",)

    @property
    def shape(self) -> tuple[Any, ...]:
        return shape_of(self.value)

    @property
    def dtype(self) -> np.dtype[Any]:
        return dtype_of(self.value)

    def rebind(self, new: Box) -> None:
        self.value = new.value

    def __bool__(self) -> bool:
        return bool(self.value)


def primitives_bound(f: Callable[..., Any], *args: Any) -> tuple[Any, set[str]]:
    """The result of `f` and the names of the primitives that it bound on its arguments.

    >>> primitives_bound(lambda x: np.sin(x) + 1, np.zeros(2))[1] == {"sin", "add"}
    True
    """
    trace = Recorder()
    out = f(*[trace.box(x) if _is_value(x) else x for x in args])
    return tree_map(lambda x: x.value if isinstance(x, Recorded) else x, out), trace.seen


def _is_value(x: Any) -> bool:
    return isinstance(x, (np.ndarray, np.generic, float, complex))
