"""Control flow: `If`, `Scan` and `Loop`, whose graphs see the values around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pycograd_onnx.lowerings.elementwise import truth
from pycograd_onnx.lowerings.reductions import _any
from pycograd_onnx.writer import BOOL, INT, Tensor, Writer

Lowering = Callable[..., Any]


def _typed(g: Writer, xs: Sequence[Any], like: Sequence[Any]) -> list[Tensor]:
    """Results in the dtypes (and shapes) that they have outside."""
    return [g.expand(g.tensor(x, g.inner(v.dtype)), v.shape) for x, v in zip(xs, like)]


def _holds(g: Writer, x: Any) -> Tensor:
    x = truth(g, x)
    return _any(g, x, tuple(range(x.ndim)), False) if x.ndim else x


def _cond(program: Any, choice: Any, *operands: Any, **graphs: Any) -> list[Tensor]:
    g, outs, label = program.g, g_outs(program), program.g.label
    pred = _holds(g, choice)
    branches = {}
    for name, key in (("then_branch", "true"), ("else_branch", "false")):
        branches[name], _ = g.subgraph(
            [], lambda key=key: _typed(g, program.call(graphs[key], operands), outs), name
        )
    g.label = label
    return g.many("If", [pred], [(g.inner(v.dtype), v.shape) for v in outs], **branches)  # type: ignore[no-any-return]


def g_outs(program: Any) -> list[Any]:
    """The avals of the results of the equation."""
    return list(program.g.outs)


def _checkpoint(program: Any, *operands: Any, body: Any, **params: Any) -> list[Any]:
    return program.call(body, operands)  # type: ignore[no-any-return]


def _fresh(g: Writer, v: Any, stem: str) -> Tensor:
    return Tensor(g, g.fresh(stem), g.inner(v.dtype), v.shape)


def _scan(
    program: Any, *operands: Any, body: Any, parts: Any, length: Any, reverse: bool, saved: Any
) -> list[Tensor]:
    g, outs, label = program.g, g_outs(program), program.g.label
    closed, carried = parts
    inner = body.inputs
    states = inner[closed : closed + carried]
    fixed = list(operands[:closed])
    start = _typed(g, operands[closed : closed + carried], states)
    rows = [g.tensor(x) for x in operands[closed + carried :]]
    if not rows:  # a Scan counts its steps by what it goes through
        rows = [g.range(length)]
    carry = [_fresh(g, v, "carry") for v in states]
    entries = [Tensor(g, g.fresh("row"), x.dtype, x.shape[1:]) for x in rows]
    taken = entries if len(operands) > closed + carried else []

    def run() -> list[Tensor]:
        made = program.call(body, [*fixed, *carry, *taken])
        new = _typed(g, made[:carried], states)
        like = [_Like(v.dtype, v.shape[1:]) for v in outs[carried : carried + len(made) - carried]]
        return [*new, *_typed(g, made[carried:], like), *[new[i] for i in saved]]

    graph, results = g.subgraph([*carry, *entries], run, "body")
    count = len(results) - carried
    way = [int(bool(reverse))]
    g.label = label
    found = g.many(
        "Scan",
        [*start, *rows],
        [(x.dtype, x.shape) for x in results[:carried]]
        + [(x.dtype, (length, *x.shape)) for x in results[carried:]],
        body=graph,
        num_scan_inputs=len(rows),
        scan_input_directions=way * len(rows),
        **({"scan_output_directions": way * count} if count else {}),
    )
    history = found[len(found) - len(saved) :] if saved else []
    whole = []
    for i, x in zip(saved, history):
        first = g.unsqueeze(start[i], 0)
        whole.append(g.concat([x, first] if reverse else [first, x], 0))
    return [*found[: len(found) - len(saved)], *whole]


class _Like:
    """A dtype and a shape."""

    def __init__(self, dtype: Any, shape: Sequence[Any]) -> None:
        self.dtype, self.shape = dtype, tuple(shape)


def _while_loop(program: Any, *operands: Any, cond: Any, body: Any, parts: Any) -> list[Tensor]:
    g, outs, label = program.g, g_outs(program), program.g.label
    m, k = parts
    a, b = operands[:m], operands[m : m + k]
    start = _typed(g, operands[m + k :], outs)
    first = _holds(g, program.call(cond, [*a, *start])[0])
    value = [_fresh(g, v, "value") for v in outs]
    step, going = Tensor(g, g.fresh("step"), INT, ()), Tensor(g, g.fresh("going"), BOOL, ())

    def run() -> list[Tensor]:
        new = _typed(g, program.call(body, [*b, *value]), outs)
        return [_holds(g, program.call(cond, [*a, *new])[0]), *new]

    graph, results = g.subgraph([step, going, *value], run, "body")
    g.label = label
    return g.many(  # type: ignore[no-any-return]
        "Loop", [None, first, *start], [(x.dtype, x.shape) for x in results[1:]], body=graph
    )


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {
        "cond": _cond,
        "checkpoint": _checkpoint,
        "scan": _scan,
        "while_loop": _while_loop,
    }
