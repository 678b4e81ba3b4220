"""The equation of a `while_loop`, and its rules.

Operands are what the condition closes over, what the body closes over, and the first value; each
sub-graph takes its own and the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, aval_of, make_aval, shape_of
from pycograd.core.ir import Graph, value_like
from pycograd.core.primitive import bind
from pycograd.core.tape import Tape
from pycograd.transforms.control import replay, subgraph
from pycograd.transforms.control.calls import Controlled
from pycograd.transforms.control.replay import parts_of
from pycograd.transforms.control.scan import Parts, carried_along, forward
from pycograd.transforms.control.subgraph import once


class While(Controlled):
    """See the module docstring."""

    def impl(self, *operands: Any, **params: Any) -> tuple[Any, ...]:
        compiled = subgraph.executor().program
        cond, body = compiled(params["cond"]), compiled(params["body"])
        a, b, value = parts_of(operands, params)
        while cond(*a, *value)[0]:
            value = body(*b, *value)
        return tuple(value)

    def shape(self, avals: Any, params: Any) -> Any:
        return tuple([make_aval(a.shape, a.dtype) for a in parts_of(avals, params)[2]])

    # -- reverse -----------------------------------------------------------------------------------
    def on_tape(self, tape: Tape, operands: Any, values: Any, live: Any, params: Any) -> Any:
        outs = bind(self, values, params)
        flags = tuple(live)
        _, results = _moving(params, flags)
        slots = tuple([x.slot for x, flag in zip(operands, live) if flag])
        if not any(results):
            return outs
        return tape.record_multi(replay.pull, slots, (values, flags, params), outs)

    # -- forward -----------------------------------------------------------------------------------
    def moved(self, values: Any, tangents: Any, params: Any) -> tuple[Any, Any]:
        cond, body = params["cond"], params["body"]
        m, k = params["parts"]
        n = Parts(k, len(values) - m - k)
        moving, results = _moving(params, tuple([t is not None for t in tangents]))
        made = once(body, ("forward", n, moving), lambda: forward(body, n, moving, results))
        ts = [
            (subgraph.zeros(aval_of(x), x) if t is None else t) if mv else None
            for x, t, mv in zip(values[m:], tangents[m:], moving)
        ]
        closed_ts = [t for t in ts[:k] if t is not None]
        value_ts = [t for t in ts[k:] if t is not None]
        extra = [make_aval(aval_of(t).shape, aval_of(t).dtype) for t in value_ts]
        test = once(cond, ("with tangents", tuple(extra)), lambda: _ignoring(cond, extra))
        a, b, value = parts_of(values, params)
        operands = [*a, *b, *closed_ts, *value, *value_ts]
        parts = m, k + len(closed_ts)
        outs = bind(self, operands, {"cond": test, "body": made, "parts": parts})
        found = iter(outs[len(value) :])
        return outs[: len(value)], [next(found) if r else None for r in results]

    # -- batching ----------------------------------------------------------------------------------
    def rows(self, size: Any, values: Any, mapped: Any, params: Any) -> tuple[Any, Any]:
        flags = tuple(mapped)
        body, key = params["body"], ("rows", size, flags, params["cond"])
        made, flags = once(body, key, lambda: _rows(params, size, flags))
        values = [
            subgraph.spread(x, size) if now and not was else x
            for x, was, now in zip(values, mapped, flags)
        ]
        m, k = params["parts"]
        if made["both"]:  # the body has to look at the condition too
            values = [*values[:m], *values[:m], *values[m:]]
        outs = bind(self, values, {key: made[key] for key in ("cond", "body", "parts")})
        return outs, list(flags[m + k :])


while_p = While("while_loop", None, multi=True)


def _moving(params: Any, flags: Sequence[bool]) -> tuple[tuple[bool, ...], list[bool]]:
    """Which inputs of the body, and which results, may have a derivative."""
    m, k = params["parts"]
    body = params["body"]
    moving, _ = carried_along(body, Parts(k, len(body.inputs) - k), flags[m:])
    return moving, list(moving[k:])


def _ignoring(cond: Graph, extra: Sequence[ShapeDtypeStruct]) -> Graph:
    return subgraph.with_inputs(cond, [*cond.inputs, *map(value_like, extra)])


def _rows(params: Any, size: Any, mapped: Sequence[bool]) -> Any:
    """The loop for all rows, and which operands differ between them."""
    m, k = params["parts"]
    flags = tuple(mapped)
    while True:
        made, differ = _rows_of(params, size, flags)
        grown = (*flags[: m + k], *differ)
        if grown == flags:
            return made, flags
        flags = grown


def _rows_of(params: Any, size: Any, flags: Sequence[bool]) -> tuple[dict[str, Any], list[bool]]:
    """As `_rows`, for operands flagged to differ; and which values differ after a step."""
    cond, body = params["cond"], params["body"]
    m, k = params["parts"]
    carry = flags[m + k :]
    both = False  # whether each row has a condition of its own
    differ: list[bool] = []

    def tested(closed: Sequence[Any], value: Sequence[Any]) -> Any:
        nonlocal both
        outs, (both,) = subgraph.in_rows(cond, size, [*closed, *value], [*flags[:m], *carry])
        return outs[0]

    def test(*boxes: Any) -> Any:
        found = tested(boxes[:m], boxes[m:])
        return np.any(found) if both else found

    def step(*boxes: Any) -> Any:
        closed, own = (boxes[:m], boxes[m:]) if both else ((), boxes)
        outs, moved = subgraph.in_rows(body, size, own, flags[m:])
        differ[:] = [f or d or both for f, d in zip(carry, moved)]
        outs = [subgraph.spread(x, size) if f and not d else x
                for x, f, d in zip(outs, differ, moved)]  # fmt: skip
        if not both:
            return outs
        value = [x if f else subgraph.spread(x, size) for x, f in zip(own[k:], carry)]
        going = tested(closed, own[k:])
        return [np.where(_wide(going, size, x), x, old) for x, old in zip(outs, value)]

    avals = [
        subgraph.row_aval(v.aval, size, f) for v, f in zip([*cond.inputs[:m], *body.inputs], flags)
    ]
    new_cond = subgraph.whole(test, [*avals[:m], *avals[m + k :]], cond.name)
    new_body = subgraph.whole(step, avals if both else avals[m:], body.name)
    parts = (m, m + k) if both else (m, k)
    return {"cond": new_cond, "body": new_body, "parts": parts, "both": both}, differ


def _wide(going: Any, size: Any, x: Any) -> Any:
    """A condition for each row, with the axes of `x`."""
    return np.reshape(going, (size, *[1] * (len(shape_of(x)) - 1)))
