"""Functions that no transform can look into (C code, `float(v)`), under `vmap`: row by row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import (
    BatchingLoopWarning,
    ControlFlowError,
    ConversionError,
    UnsupportedOperationError,
)
from pycograd.core.tree import TreeDef, tree_flatten, tree_unflatten
from pycograd.transforms.batch import Batched, BatchTrace

OPAQUE = (ConversionError, UnsupportedOperationError, ControlFlowError)


class Looping:
    """Who is run as a loop, and whether that has been said."""

    __slots__ = ("name", "said")

    def __init__(self, name: str) -> None:
        self.name, self.said = name, False

    def warn(self, error: Exception) -> None:
        """Says it once."""
        if not self.said:
            self.said = True
            warnings.warn(
                f"vmap: {self.name} has no batching rule and its body cannot be batched"
                f" ({type(error).__name__}), so it runs as a loop over rows",
                BatchingLoopWarning,
                stacklevel=3,
            )


def in_rows(f: Callable[..., Any], args: Sequence[Any], looping: Looping) -> Any:
    """`f(*args)`, if need be for one row after another of the innermost `vmap` of the arguments."""
    try:
        return f(*args)
    except OPAQUE as error:
        leaves, treedef = tree_flatten(tuple(args))
        traces = [x._trace for x in leaves if isinstance(x, Box)]
        trace = max(traces, key=lambda t: t.level, default=None)
        if not isinstance(trace, BatchTrace):
            raise
        mine = [isinstance(x, Batched) and x._trace is trace for x in leaves]
        mapped = [m and x.mapped for x, m in zip(leaves, mine)]
        looping.warn(error)
        values = [x.value if m else x for x, m in zip(leaves, mine)]
        outs, out_tree = loop(f, values, mapped, treedef, trace.size, looping)
        return tree_unflatten(out_tree, [trace.box(x, True) if m else x for x, m in outs])


def loop(
    f: Callable[..., Any],
    values: Sequence[Any],
    mapped: Sequence[bool],
    treedef: TreeDef,
    size: int,
    looping: Looping,
) -> tuple[list[tuple[Any, bool]], TreeDef]:
    """`f` on each row: every result leaf, and whether it has the rows in front; their structure.

    Arguments:
        f: a function of trees.
        values: the leaves of its arguments, with the rows in front where `mapped`.
        mapped: for each leaf whether it has rows.
        treedef: of the tuple of arguments.
        size: the number of rows. If there are none, a row of zeros tells the shapes.
        looping: who to name.
    """

    def row(i: int) -> Any:
        leaves = [
            v if not m else v[i] if size else np.zeros(shape_of(v)[1:], dtype_of(v))
            for v, m in zip(values, mapped)
        ]
        return tree_flatten(in_rows(f, tree_unflatten(treedef, leaves), looping))

    made = [row(i) for i in range(size or 1)]
    outs: list[tuple[Any, bool]] = []
    for column in zip(*[leaves for leaves, _ in made]):
        if not all(isinstance(x, _NUMBERS) for x in column):
            outs.append((column[0], False))
        elif size:
            outs.append((np.stack(column), True))
        else:
            outs.append((np.zeros((0, *shape_of(column[0])), dtype_of(column[0])), True))
    return outs, made[0][1]


_NUMBERS = (Box, np.ndarray, np.generic, int, float, complex)
