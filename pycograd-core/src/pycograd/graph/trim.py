"""Equations with sub-graphs, without what nobody asks of them.

Of a loop whose results are not all used the rest need not be computed, nor carried, nor read; of a
call with sub-graphs likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from pycograd.core.ir import Equation, Graph, Value
from pycograd.graph.rewrite import without_unused
from pycograd.transforms.control.subgraph import the_one


def trimmed(graph: Graph) -> Graph:
    """`graph` with its loops and calls trimmed to what is used of them."""
    wanted = {x for x in graph.outputs if type(x) is Value}
    kept: list[Equation] = []
    changed = False
    for equation in reversed(graph.equations):
        used = [v in wanted for v in equation.outs]
        if not any(used):
            changed = True
            continue
        make = _TRIMMED.get(equation.primitive.name)
        new = make(equation, used) if make else equation
        changed |= new is not equation
        kept.append(new)
        wanted.update(new.values)
    return without_unused(graph.with_body(kept[::-1], graph.outputs)) if changed else graph


def _of_inputs(body: Graph, outputs: Sequence[Any], always: Sequence[int] = ()) -> Any:
    """`body` with these outputs and the inputs that they need: it, and which inputs these are."""
    body = without_unused(body.with_body(body.equations, outputs))
    read = {x for x in body.outputs if type(x) is Value}
    for equation in body.equations:
        read.update(equation.values)
    needed = [i for i, v in enumerate(body.inputs) if v in read or i in always]
    inputs = [body.inputs[i] for i in needed]
    made = Graph(inputs, body.constants, body.equations, body.outputs, name=body.name)
    return made, needed


def _scan(e: Equation, used: Sequence[bool]) -> Equation:
    body: Graph = e.params["body"]
    closed, carry = e.params["parts"]
    saved = e.params["saved"]
    count = len(body.outputs)
    rows = [i for i in range(carry, count) if used[i]]
    kept_saved = [i for j, i in enumerate(saved) if used[count + j]]
    carries = {i for i in range(carry) if used[i]} | set(kept_saved)
    while True:  # a carry that another one that is wanted reads is wanted
        order = sorted(carries)
        outputs = [body.outputs[i] for i in (*order, *rows)]
        made, needed = _of_inputs(body, outputs, [closed + i for i in order])
        more = {i - closed for i in needed if closed <= i < closed + carry} - carries
        if not more:
            break
        carries |= more
    if len(needed) == len(e.operands) and len(outputs) == count and len(kept_saved) == len(saved):
        return e
    parts = sum(i < closed for i in needed), len(order)
    numbers = tuple([order.index(i) for i in kept_saved])
    outs = [e.outs[i] for i in (*order, *rows)]
    outs += [e.outs[count + saved.index(i)] for i in kept_saved]
    params = {**e.params, "body": the_one(made), "parts": parts, "saved": numbers}
    return Equation(e.primitive, [e.operands[i] for i in needed], params, outs, e.line)


def _calls(names: Sequence[str], skipped: int) -> Callable[[Equation, Sequence[bool]], Equation]:
    def make(e: Equation, used: Sequence[bool]) -> Equation:
        places = [i for i, u in enumerate(used) if u]
        bodies: list[Graph] = [e.params[name] for name in names]
        each = [_of_inputs(b, [b.outputs[i] for i in places]) for b in bodies]
        needed = sorted({i for _, found in each for i in found})
        if len(needed) + skipped == len(e.operands) and all(used):
            return e
        graphs = [
            the_one(
                Graph(
                    [b.inputs[i] for i in needed], g.constants, g.equations, g.outputs, name=b.name
                )
            )
            for b, (g, _) in zip(bodies, each)
        ]
        operands = [*e.operands[:skipped], *[e.operands[skipped + i] for i in needed]]
        params = {**e.params, **dict(zip(names, graphs))}
        return Equation(e.primitive, operands, params, [e.outs[i] for i in places], e.line)

    return make


_TRIMMED: Final[dict[str, Callable[[Equation, Sequence[bool]], Equation]]] = {
    "scan": _scan,
    "cond": _calls(("true", "false"), 1),
    "checkpoint": _calls(("body",), 0),
}
