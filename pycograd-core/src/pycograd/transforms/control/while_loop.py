"""`while_loop`: a value from step to step as long as a condition of it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.ir import Graph
from pycograd.core.primitive import bind
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.transforms.capture import is_abstract
from pycograd.transforms.control import subgraph
from pycograd.transforms.control.operands import (
    Function,
    as_avals,
    carried,
    is_staged,
    numbers_only,
    same_structure,
    scalar,
    settled,
    truth,
)
from pycograd.transforms.control.replay import chosen, holds
from pycograd.transforms.control.whiles import while_p
from pycograd.transforms.wrap import check_callable, check_result


def while_loop(cond_fun: Callable[..., Any], body_fun: Callable[..., Any], init: Any) -> Any:
    """`while cond_fun(value): value = body_fun(value)`.

    On values that are known it is a Python loop. In a captured or compiled function it is one
    equation; its reverse mode runs the loop again, keeping the values of all steps. Where `vmap`
    gives each row a condition of its own, the loop runs until all rows are done, and rows that are
    done stay as they are.

    Arguments:
        cond_fun: a function `value -> boolean`.
        body_fun: a function `value -> value` of trees; the value comes out with the structure,
            shapes and dtypes that it goes in with. Both may close over anything.
        init: the first value.

    Returns:
        The first value for which the condition does not hold.

    Raises:
        ShapeError: the condition is not a single boolean, or the value changes its shape.
        TreeMismatchError: the value changes its structure.
        TypeError: the value changes its dtype.

    >>> while_loop(lambda x: x < 100.0, lambda x: x * x, 3.0)
    6561.0
    >>> grad(lambda x: while_loop(lambda x: x < 100.0, lambda x: x * x, x))(3.0)
    (17496.0,)
    """
    check_callable(cond_fun, "while_loop")
    check_callable(body_fun, "while_loop")
    leaves, treedef = tree_flatten(init)

    def condition(f: Any, *leaves: Any) -> Any:
        return scalar("while_loop", f(tree_unflatten(treedef, leaves)), "the condition")

    def step(f: Any, *leaves: Any) -> Any:
        out = f(tree_unflatten(treedef, leaves))
        check_result(out, body_fun, "while_loop")
        return out

    functions = Function(cond_fun, condition), Function(body_fun, step)
    numbers = all(map(subgraph.is_number, leaves))

    def closed() -> list[Any]:
        return [x for f in functions for x in f.traced(as_avals(leaves))[1]]

    if is_staged(leaves, closed if numbers else tuple):
        return _staged(functions, leaves, treedef)
    avals = as_avals(leaves) if numbers else None
    while True:
        pred = condition(cond_fun, *leaves)
        if is_abstract(pred):
            numbers_only("while_loop", leaves, treedef, "the value")
            return _staged(functions, leaves, treedef)
        if not holds(pred):
            return tree_unflatten(treedef, leaves)
        new, tree = tree_flatten(step(body_fun, *leaves))
        same_structure("while_loop", body_fun, treedef, tree, "a value")
        if avals is not None:
            avals = carried("while_loop", body_fun, treedef, avals, as_avals(new))
        leaves = chosen(pred, leaves, new)


def _staged(functions: Sequence[Function], leaves: list[Any], treedef: Any) -> Any:
    """The equation."""
    numbers_only("while_loop", leaves, treedef, "the value")
    condition, step = functions
    body, body_closed, tree, avals = settled("while_loop", step, treedef, leaves)
    same_structure("while_loop", step.f, treedef, tree, "a value")
    cond, cond_closed, _ = condition.traced(avals)
    cond = _boolean(cond)
    first = [subgraph.strong(x, a.dtype) for x, a in zip(leaves, avals)]
    params = {"cond": cond, "body": body, "parts": (len(cond_closed), len(body_closed))}
    return tree_unflatten(treedef, bind(while_p, [*cond_closed, *body_closed, *first], params))


def _boolean(cond: Graph) -> Graph:
    """The condition as a boolean."""
    if cond.outputs[0].aval.dtype == np.bool_:
        return cond
    return subgraph.whole(
        lambda *boxes: truth(cond.evaluate(boxes)[0]), [v.aval for v in cond.inputs], cond.name
    )
