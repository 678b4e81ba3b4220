"""What a graph may hold of the contents of arrays that its function closes over.

Of `x * W + x * (2 * W)` the graph reads `W` at each call, but `2 * W` is NumPy's, computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from pycograd.core import lent
from pycograd.core.buffers import Contents
from pycograd.core.ir import Graph, Literal, subgraphs
from pycograd.graph.keys import key_of
from pycograd.graph.rewrite import same_equations


def holds_results(graph: Graph, arrays: Sequence[Any]) -> bool:
    """True if NumPy may have computed something in a graph from arrays like these.

    That is so if it holds a number of NumPy's, or an array that is none of them nor a view of one.
    """
    known = {id(_owner(array)) for array in arrays}
    for inner in _graphs(graph):
        for _, array in inner.constants:
            if isinstance(array, np.ndarray) and id(_owner(array)) not in known:
                if not lent.is_lent(array):
                    return True
        operands = [x for equation in inner.equations for x in equation.operands]
        for x in (*operands, *inner.outputs):
            if isinstance(x, Literal) and isinstance(x.number, np.generic):
                return True
    return False


def are_alike(graph: Graph, other: Graph, arrays: Sequence[Any]) -> bool:
    """True if two graphs of a function are one program; of these arrays it reads the contents."""
    known = {id(_owner(array)) for array in arrays}

    def same(a: Any, b: Any) -> bool:
        if a is b or not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
            return a is b
        if id(_owner(a)) in known:  # a view of it, made anew
            return _owner(a) is _owner(b) and a.__array_interface__ == b.__array_interface__
        return bool(key_of(a) == key_of(b))

    values, others = ([*g.inputs, *[v for v, _ in g.constants]] for g in (graph, other))
    return (
        len(values) == len(others)
        and len(graph.constants) == len(other.constants)
        and all(same(a, b) for (_, a), (_, b) in zip(graph.constants, other.constants))
        and same_equations(graph, other, dict(zip(values, others)))
    )


_WHOLE: Final = 1 << 20  # bytes that are compared in less time than a call takes
_SAMPLES: Final = 1024
_GOLDEN: Final = (5**0.5 - 1) / 2  # its multiples less their whole parts are spread evenly


class Sampled:
    """What was in an array at one moment; of a large one at a thousand places."""

    __slots__ = ("whole", "places", "bits")

    def __init__(self, array: Any) -> None:
        self.places: Any = None
        self.whole = Contents(array) if array.nbytes <= _WHOLE else None
        if self.whole is None:
            places = (np.arange(_SAMPLES) * _GOLDEN % 1 * array.size).astype(np.intp)
            whole = array.flags.c_contiguous
            self.places = places if whole else np.unravel_index(places, array.shape)
            self.bits = self._bits(array)

    def still(self, array: Any) -> bool:
        """True if the array, of the same shape, holds what it held there."""
        if self.whole is not None:
            return self.whole.still(array)
        return self._bits(array) == self.bits

    def _bits(self, array: Any) -> bytes:
        flat = isinstance(self.places, np.ndarray)
        found: bytes = (array.take(self.places) if flat else array[self.places]).tobytes()
        return found


def _graphs(graph: Graph) -> Iterator[Graph]:
    yield graph
    for equation in graph.equations:
        for inner in subgraphs(equation):
            yield from _graphs(inner)


def _owner(array: Any) -> Any:
    """The array that the memory of another one is of."""
    while isinstance(array, np.ndarray) and isinstance(array.base, np.ndarray):
        array = array.base
    return array
