"""What a loop or a branch is given, checked: structures, shapes and dtypes, by name of the leaf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, aval_of, make_aval, promote
from pycograd.core.box import Box
from pycograd.core.errors import ShapeError, TreeMismatchError
from pycograd.core.ir import Graph
from pycograd.core.tree import TreeDef, tree_flatten, tree_paths, tree_unflatten
from pycograd.transforms.capture import capturing, is_abstract
from pycograd.transforms.control.subgraph import (
    as_python,
    is_number,
    of_dtypes,
    traced,
)
from pycograd.transforms.opaque import OPAQUE
from pycograd.transforms.wrap import name_of
from pycograd.transparent import prepared


def leaf_name(treedef: TreeDef, i: int, alone: str = "it") -> str:
    """What to call a leaf: `leaf 'h'`, `leaf '0.w'`; `alone` where there is no tree."""
    path = tree_paths(tree_unflatten(treedef, list(range(treedef.num_leaves))))[i]
    return f"leaf {path!r}" if path else alone


def is_staged(leaves: Sequence[Any], trace: Callable[[], Sequence[Any]]) -> bool:
    """Whether a call is part of a program being captured, and so becomes an equation.

    `trace()` returns what its functions close over; it is asked where the operands do not tell.
    """
    if any(map(is_abstract, leaves)):
        return True
    if not capturing.get():
        return False
    try:
        return any(map(is_abstract, trace()))
    except OPAQUE:  # it depends on data that are there: Python runs it
        return False


def is_operand(x: Any) -> bool:
    """True for an argument that is a value of the program; others are part of it."""
    return isinstance(x, (Box, np.ndarray, np.generic, float, complex))


def with_operands(leaves: Sequence[Any], places: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """`leaves` with those at `places` replaced."""
    full = list(leaves)
    for i, x in zip(places, values):
        full[i] = x
    return full


def numbers_only(operation: str, leaves: Sequence[Any], treedef: TreeDef, what: str) -> None:
    """Refuses leaves that no array can hold."""
    for i, x in enumerate(leaves):
        if not is_number(x):
            raise TypeError(
                f"{operation}: {what} holds {x!r} ({leaf_name(treedef, i)}), which is neither an"
                " array nor a number; let the functions close over it"
            )


def same_structure(operation: str, f: Any, given: TreeDef, found: TreeDef, what: str) -> None:
    """Refuses a result of another structure than what went in."""
    if given != found:
        raise TreeMismatchError(
            f"{operation}: {name_of(f)} returned {what} of structure {found}, given {given}"
        )


def carried(
    operation: str,
    f: Any,
    treedef: TreeDef,
    before: Sequence[ShapeDtypeStruct],
    after: Sequence[ShapeDtypeStruct],
) -> list[ShapeDtypeStruct]:
    """What the carry is from step to step: the types of `before`, Python numbers adapted.

    Raises:
        ShapeError, TypeError: a leaf that changes its shape or dtype; the message names it.
    """
    found = []
    for i, (a, b) in enumerate(zip(before, after)):
        if a.shape != b.shape:
            raise ShapeError(
                f"{operation}: the carry changes shape: {leaf_name(treedef, i)} has shape"
                f" {a.shape} going in and {b.shape} coming out of {name_of(f)}"
            )
        dtype = promote([a, b]) if a.weak else a.dtype
        if b.dtype != dtype and not (b.weak and promote([a, b]) == dtype):
            raise TypeError(
                f"{operation}: the carry changes dtype: {leaf_name(treedef, i)} is {a.dtype} going"
                f" in and {b.dtype} coming out of {name_of(f)}; convert one with .astype"
            )
        found.append(make_aval(a.shape, dtype))
    return found


def settled(
    operation: str,
    function: Function,
    treedef: TreeDef,
    leaves: Sequence[Any],
    rest: Sequence[ShapeDtypeStruct] = (),
) -> tuple[Graph, Sequence[Any], TreeDef, list[ShapeDtypeStruct]]:
    """A step captured: `(graph, closed over, structure, what the carry is from step to step)`.

    A Python number among the first carry takes the dtype of what comes out for it. Where that is
    one too the step has it as a Python number each time, so that it adapts to the arrays it meets.
    """
    avals = as_avals(leaves)
    while True:
        graph, closed, tree = function.traced([*avals, *rest])
        after = [x.aval for x in graph.outputs[: len(leaves)]]
        if len(after) < len(leaves):
            return graph, closed, tree, avals  # of another structure, which its caller tells
        found = carried(operation, function.f, treedef, avals, after)
        now = [
            a if a.weak and b.weak and a.dtype == f.dtype else f
            for a, b, f in zip(avals, after, found)
        ]
        if all(a == b and a.weak == b.weak for a, b in zip(now, avals)):
            break
        avals = now
    if any(a.weak for a in avals):
        adapting = [a.weak for a in avals]
        avals = [make_aval(a.shape, a.dtype) for a in avals]
        graph, closed, tree = function.adapting(adapting).traced([*avals, *rest])
    return of_dtypes(graph, [a.dtype for a in avals]), closed, tree, avals


def as_avals(leaves: Sequence[Any]) -> list[ShapeDtypeStruct]:
    """The avals of leaves."""
    return [aval_of(x) for x in leaves]


class Function:
    """A user's function to be captured: from leaves to a tree.

    Arguments:
        call: `call(f, *leaves)` runs `f`, ready to be run under a transform, on the leaves.
    """

    def __init__(self, f: Any, call: Callable[..., Any]) -> None:
        self.f, self.call = f, call

    def adapting(self, flags: Sequence[bool]) -> Function:
        """The function given Python numbers for the leaves flagged."""
        return Function(self.f, lambda f, *leaves: self.call(
            f, *[as_python(x) if w else x for x, w in zip(leaves, flags)], *leaves[len(flags) :]
        ))  # fmt: skip

    def traced(self, avals: Sequence[ShapeDtypeStruct]) -> Any:
        """As `subgraph.traced`."""
        target = prepared(self.f, None, indexed=True)
        return traced(lambda *leaves: self.call(target, *leaves), avals, name_of(self.f))


def scalar(operation: str, pred: Any, what: str) -> Any:
    """A predicate, which must be a single boolean or number."""
    leaves, _ = tree_flatten(pred)
    if len(leaves) != 1 or leaves[0] is not pred or not is_number(pred):
        raise TypeError(f"{operation}: {what} is a boolean or a number, not {pred!r}")
    if aval_of(pred).shape != ():
        raise ShapeError(
            f"{operation}: {what} has shape {aval_of(pred).shape}; it must be a single boolean."
            " Use np.where for one choice per entry, vmap for one per row, or np.any, np.all"
        )
    return pred


def truth(pred: Any) -> Any:
    """A predicate as a boolean."""
    return pred if aval_of(pred).dtype == np.bool_ else np.not_equal(pred, 0)
