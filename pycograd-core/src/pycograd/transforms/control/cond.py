"""`cond`: one of two functions, by a value that a capture or a batch does not know yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import aval_of, promote, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import ShapeError, TreeMismatchError
from pycograd.core.ir import Graph, value_like
from pycograd.core.primitive import bind
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.transforms.batch import Batched
from pycograd.transforms.control import subgraph
from pycograd.transforms.control.calls import Calls
from pycograd.transforms.control.operands import (
    Function,
    as_avals,
    is_operand,
    is_staged,
    leaf_name,
    scalar,
    truth,
    with_operands,
)
from pycograd.transforms.wrap import check_callable, check_result, name_of


class Cond(Calls):
    """`(choice, operands...)`, and a sub-graph of the operands for each of the two choices."""

    def chosen(self, operands: Sequence[Any], params: Any) -> Graph:
        graph: Graph = params["true" if operands[0] else "false"]
        return graph

    def rows(self, size: Any, values: Any, mapped: Any, params: Any) -> tuple[Any, Any]:
        if not mapped[0]:
            return super().rows(size, values, mapped, params)
        found = []
        for graph in self.graphs(params):
            outs, flags = subgraph.in_rows(graph, size, values[1:], mapped[1:])
            found.append([x if m else subgraph.spread(x, size) for x, m in zip(outs, flags)])
        outs = [
            np.where(np.reshape(values[0], (size, *[1] * (len(shape_of(a)) - 1))), a, b)
            for a, b in zip(*found)
        ]
        return outs, [True] * len(outs)


cond_p = Cond("cond", ("true", "false"), 1, keeps=True)


def cond(
    pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any
) -> Any:
    """`true_fn(*operands)` if `pred` holds, else `false_fn(*operands)`.

    On values that are known it is Python's `if`. In a captured or compiled function it is one
    equation with both functions as graphs, of which only the chosen one is run. Where `vmap` gives
    each row a `pred` of its own, both run on all rows and each row takes its own.

    Arguments:
        pred: a boolean, a number or an array of shape `()`.
        true_fn, false_fn: functions of the operands with results of one structure, shapes and
            dtypes; they may close over anything.
        operands: arrays and trees.

    Returns:
        What the chosen function returns.

    Raises:
        ShapeError: `pred` is not a single boolean, or the results differ in shape.
        TreeMismatchError: the results differ in structure.
        TypeError: the results differ in dtype.

    >>> import numpy as np
    >>> f = lambda x: cond(x > 0, lambda x: x * x, lambda x: -x, x)
    >>> vmap(grad(f, argnums=0))(np.array([3.0, -2.0]))
    array([ 6., -1.])
    """
    check_callable(true_fn, "cond")
    check_callable(false_fn, "cond")
    scalar("cond", pred, "the predicate")
    leaves, treedef = tree_flatten(operands)
    known = not isinstance(pred, (Box, np.ndarray))  # a number is part of the program
    if not known:
        # What no array holds is part of the program, and so are the functions' own constants.
        places = [i for i, x in enumerate(leaves) if is_operand(x)]

        def call(f: Any, *boxes: Any) -> Any:
            out = f(*tree_unflatten(treedef, with_operands(leaves, places, boxes)))
            check_result(out, f, "cond")
            return out

        functions = Function(true_fn, call), Function(false_fn, call)
        own = [leaves[i] for i in places]

        def closed() -> list[Any]:
            return [x for f in functions for x in f.traced(as_avals(own))[1]]

        if is_staged([pred, *leaves], closed):
            return _staged(pred, functions, own)
    choice = pred
    while isinstance(choice, Box):
        if isinstance(choice, Batched) and choice.mapped:
            return _both(pred, true_fn, false_fn, operands)
        choice = choice.value
    return (true_fn if choice else false_fn)(*operands)


def _staged(pred: Any, functions: Sequence[Function], own: Sequence[Any]) -> Any:
    """The equation."""
    made = [f.traced(as_avals(own)) for f in functions]
    (_, _, tree), (_, _, other) = made
    if tree != other:
        raise _structures(functions[0].f, functions[1].f, tree, other)
    closed: list[Any] = []
    for _, found, _ in made:
        closed += [x for x in found if not any(x is y for y in closed)]
    graphs = [_with_operands(graph, found, closed) for graph, found, _ in made]
    pairs = list(zip(*[[x.aval for x in graph.outputs] for graph in graphs]))
    dtypes = []
    for i, (a, b) in enumerate(pairs):
        dtypes.append(_common(functions[0].f, functions[1].f, tree, i, a, b))
    graphs = [subgraph.of_dtypes(graph, dtypes) for graph in graphs]
    outs = bind(cond_p, [truth(pred), *closed, *own], dict(zip(cond_p.names, graphs)))
    return tree_unflatten(tree, outs)


def _with_operands(graph: Graph, own: Sequence[Any], closed: Sequence[Any]) -> Graph:
    """A sub-graph that takes what both functions close over."""
    mine = {id(x): v for x, v in zip(own, graph.inputs)}
    leading = [mine[id(x)] if id(x) in mine else value_like(aval_of(x)) for x in closed]
    return subgraph.with_inputs(graph, [*leading, *graph.inputs[len(own) :]])


def _both(pred: Any, true_fn: Any, false_fn: Any, operands: Any) -> Any:
    """Both functions, and for each row the result of its own."""
    first, tree = tree_flatten(true_fn(*operands))
    second, other = tree_flatten(false_fn(*operands))
    if tree != other:
        raise _structures(true_fn, false_fn, tree, other)
    choice = truth(pred)
    outs = []
    for i, (a, b) in enumerate(zip(first, second)):
        if a is not b:
            _common(true_fn, false_fn, tree, i, aval_of(a), aval_of(b))
            a = np.where(choice, a, b)
        outs.append(a)
    return tree_unflatten(tree, outs)


def _structures(true_fn: Any, false_fn: Any, tree: Any, other: Any) -> TreeMismatchError:
    return TreeMismatchError(
        f"cond: {name_of(true_fn)} returns structure {tree}, {name_of(false_fn)} {other}; both must"
        " return the same"
    )


def _common(true_fn: Any, false_fn: Any, tree: Any, i: int, a: Any, b: Any) -> np.dtype[Any]:
    """The dtype of a result of both."""
    names = f"{name_of(true_fn)} and {name_of(false_fn)}"
    where = leaf_name(tree, i, "")
    where = f" ({where})" if where else ""
    if a.shape != b.shape:
        raise ShapeError(f"cond: {names} return shapes {a.shape} and {b.shape}{where}")
    dtype = promote([a, b])
    if not (a.weak or b.weak) and a.dtype != b.dtype:
        raise TypeError(
            f"cond: {names} return dtypes {a.dtype} and {b.dtype}{where}; convert one with .astype"
        )
    return dtype
