"""The equation of a scan, `c, y = body(c, x)` from row to row, and its rules.

Operands are what the body closes over, the first carry, and the rows; the body has its inputs in
this order. Results are the last carry, the rows of each `y` and, for the carries in `saved`, the
history: all of its values, in an array with one row more than `xs`. Row i and row i + 1 are what
step i takes and returns (with `reverse` the other way round).

The reverse rule runs the scan with the histories that the backward steps read, and is one scan in
the other direction: its carry is the cotangent of the carry and, added up, those of what the body
closes over. A backward step computes again only what is neither a carry nor a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import ShapeDtypeStruct, aval_of, is_inexact, make_aval, shape_of
from pycograd.core.errors import ShapeError
from pycograd.core.ir import Graph, Value, value_like
from pycograd.core.primitive import bind
from pycograd.core.tape import Tape
from pycograd.transforms.control import subgraph
from pycograd.transforms.control.calls import Controlled
from pycograd.transforms.control.subgraph import once


class Parts(NamedTuple):
    """How many of the inputs of a body are what: closed over, carried, rows."""

    closed: int
    carry: int

    def of(self, xs: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Inputs or operands, taken apart."""
        return xs[: self.closed], xs[self.closed : sum(self)], xs[sum(self) :]


class Scan(Controlled):
    """See the module docstring."""

    fresh = True

    def impl(self, *operands: Any, **params: Any) -> tuple[Any, ...]:
        found: tuple[Any, ...] = subgraph.executor().scan(operands, **params)
        return found

    def shape(self, avals: Any, params: Any) -> Any:
        body, n, length = params["body"], Parts(*params["parts"]), params["length"]
        closed, init, xs = n.of(avals)
        for a, v in zip([*closed, *init, *[_row(x) for x in xs]], body.inputs):
            _check_like("scan", a, v)
        for x in xs:
            sizes.same_size(x.shape[0], length, "scan")
        outs = subgraph.output_avals(body)
        for a, b in zip(init, outs):
            _check_like("scan", a, b)
        rows = [make_aval((length, *y.shape), y.dtype) for y in outs[n.carry :]]
        kept = [outs[i] for i in params["saved"]]
        return (
            *outs[: n.carry],
            *rows,
            *[make_aval((length + 1, *c.shape), c.dtype) for c in kept],
        )

    # -- reverse -----------------------------------------------------------------------------------
    def on_tape(self, tape: Tape, operands: Any, values: Any, live: Any, params: Any) -> Any:
        if params["saved"]:
            return _with_histories(operands, params)
        if not any(live):
            return bind(self, values, params)
        body, n = params["body"], Parts(*params["parts"])
        flags = tuple(live)
        whole = backward(body, n, flags, (True,) * len(body.outputs))
        outs = bind(self, values, {**params, "saved": whole.saved})
        results, histories = outs[: len(body.outputs)], outs[len(body.outputs) :]
        kept = [x if i in whole.kept else None for i, x in enumerate(values)]
        like = next((x for x in values if hasattr(x, "shape")), None)
        rows = [y if i in whole.rows else None for i, y in enumerate(results)]
        residual = (kept, rows, dict(zip(whole.saved, histories)), flags, params, like)
        slots = tuple([x.slot for x, flag in zip(operands, live) if flag])
        return tape.record_multi(_pull, slots, residual, results)

    # -- forward -----------------------------------------------------------------------------------
    def moved(self, values: Any, tangents: Any, params: Any) -> tuple[Any, Any]:
        n, body = Parts(*params["parts"]), params["body"]
        if params["saved"]:
            return _moved_histories(values, tangents, params)
        flags = tuple([t is not None for t in tangents])
        moving, results = carried_along(body, n, flags)
        made = once(body, ("forward", n, moving), lambda: forward(body, n, moving, results))
        ts = [
            (subgraph.zeros(aval_of(x), x) if t is None else t) if m else None
            for x, t, m in zip(values, tangents, moving)
        ]
        before, after = n.of(values), [[t for t in part if t is not None] for part in n.of(ts)]
        operands = [x for pair in zip(before, after) for part in pair for x in part]
        parts = n.closed + len(after[0]), n.carry + len(after[1])
        outs = bind(self, operands, {**params, "body": made, "parts": parts})
        count = len(body.outputs)
        carry, rest = outs[: n.carry], outs[n.carry :]
        ts, rest = rest[: len(after[1])], rest[len(after[1]) :]
        rows, t_rows = rest[: count - n.carry], rest[count - n.carry :]
        found = iter([*ts, *t_rows])
        return [*carry, *rows], [next(found) if m else None for m in results]

    # -- batching ----------------------------------------------------------------------------------
    def rows(self, size: Any, values: Any, mapped: Any, params: Any) -> tuple[Any, Any]:
        body, n = params["body"], Parts(*params["parts"])
        flags = tuple(mapped)
        made, flags, results = once(
            body, ("rows", size, n, flags), lambda: in_rows(body, n, size, flags)
        )
        values = [
            subgraph.spread(x, size) if now and not was else x
            for x, was, now in zip(values, mapped, flags)
        ]
        closed, init, xs = n.of(values)
        xs = [np.moveaxis(x, 0, 1) if m else x for x, m in zip(xs, n.of(flags)[2])]
        outs = bind(self, [*closed, *init, *xs], {**params, "body": made})
        results = [*results, *[results[i] for i in params["saved"]]]
        outs = [
            np.moveaxis(x, 1, 0) if m and i >= n.carry else x
            for i, (x, m) in enumerate(zip(outs, results))
        ]
        return outs, results


scan_p = Scan("scan", None, multi=True)


def _row(aval: ShapeDtypeStruct) -> ShapeDtypeStruct:
    return make_aval(aval.shape[1:], aval.dtype)


def _check_like(operation: str, a: ShapeDtypeStruct, b: ShapeDtypeStruct) -> None:
    if len(a.shape) != len(b.shape) or a.dtype != b.dtype:
        raise ShapeError(f"{operation}: {a!r} does not fit {make_aval(b.shape, b.dtype)!r}")
    for m, k in zip(a.shape, b.shape):
        sizes.same_size(m, k, operation)


def carried_along(body: Graph, n: Parts, flags: Sequence[bool]) -> tuple[tuple[bool, ...], Any]:
    """Which inputs of the body, and which results, may have a derivative, over all steps."""
    moving = [f and is_inexact(v.dtype) for f, v in zip(flags, body.inputs)]
    while True:
        results = subgraph.active(body, moving)
        grown = list(moving)
        for i in range(n.carry):
            grown[n.closed + i] |= results[i]
        if grown == moving:
            return tuple(moving), [*n.of(moving)[1], *results[n.carry :]]
        moving = grown


def forward(body: Graph, n: Parts, moving: Sequence[bool], results: Sequence[bool]) -> Graph:
    """The body of values and tangents: each part followed by its tangents, in and out."""
    count = len(body.inputs)
    tangents = [make_aval(v.shape, v.dtype) for v, m in zip(body.inputs, moving) if m]
    outs = subgraph.output_avals(body)

    def run(*boxes: Any) -> Any:
        rest = iter(boxes[count:])
        values, moves = subgraph.pushed(
            body, boxes[:count], [next(rest) if m else None for m in moving]
        )
        full = [
            (subgraph.zeros(a, boxes[0]) if t is None else t) if m else None
            for t, a, m in zip(moves, outs, results)
        ]
        parts = [values[: n.carry], full[: n.carry], values[n.carry :], full[n.carry :]]
        return [x for part in parts for x in part if x is not None]

    avals = [*[v.aval for v in body.inputs], *tangents]
    made = subgraph.whole(run, avals, f"forward of {body.name}")
    values, moves = made.inputs[:count], iter(made.inputs[count:])
    after = [next(moves) if m else None for m in moving]
    order = [x for pair in zip(n.of(values), n.of(after)) for part in pair for x in part]
    return subgraph.with_inputs(made, [x for x in order if x is not None])


def in_rows(
    body: Graph, n: Parts, size: Any, mapped: Sequence[bool]
) -> tuple[Graph, tuple[bool, ...], list[bool]]:
    """The body for all rows, and which inputs and results differ between rows."""
    flags = list(mapped)
    while True:
        made, differ = _rows_of(body, n, size, flags)
        grown = list(flags)
        for i in range(n.carry):
            grown[n.closed + i] |= differ[i]
        if grown == flags:
            return made, tuple(flags), [*n.of(flags)[1], *differ[n.carry :]]
        flags = grown


def _rows_of(body: Graph, n: Parts, size: Any, flags: Sequence[bool]) -> tuple[Graph, list[bool]]:
    differ: list[bool] = []

    def run(*boxes: Any) -> Any:
        outs, differ[:] = subgraph.in_rows(body, size, boxes, flags)
        wanted = [*n.of(flags)[1], *differ[n.carry :]]
        return [
            subgraph.spread(x, size) if w and not d else x for x, w, d in zip(outs, wanted, differ)
        ]

    avals = [subgraph.row_aval(v.aval, size, m) for v, m in zip(body.inputs, flags)]
    return subgraph.whole(run, avals, f"rows of {body.name}"), differ


# -- the reverse rule --------------------------------------------------------------------------
class Backward(NamedTuple):
    """A backward step as a graph.

    Its inputs are the operands in `closed`, the cotangents of the carries in `carry`, the sums for
    the operands in `summed`, then rows: of carries going in and coming out, of operands, of
    results, and of the cotangents of results. It returns the new cotangents and sums, and the rows
    of the cotangents of the operands in `given`.
    """

    graph: Graph
    closed: list[int]
    carry: list[int]
    summed: list[int]
    before: list[int]
    after: list[int]
    xs: list[int]
    ys: list[int]
    cts: list[int]
    given: list[int]

    @property
    def saved(self) -> tuple[int, ...]:
        """The carries whose history is read."""
        return tuple(sorted({*self.before, *self.after}))

    @property
    def kept(self) -> set[int]:
        """The operands that are read."""
        return {*self.closed, *self.xs}

    @property
    def rows(self) -> set[int]:
        """The results whose rows are read."""
        return set(self.ys)


def backward(body: Graph, n: Parts, live: Sequence[bool], given: Sequence[bool]) -> Backward:
    """The backward step, for results of which the rows flagged in `given` have cotangents."""
    made: Backward = once(
        body, ("backward", n, tuple(live), tuple(given)), lambda: _backward(body, n, live, given)
    )
    return made


def _backward(body: Graph, n: Parts, live: Sequence[bool], given: Sequence[bool]) -> Backward:
    moving, results = carried_along(body, n, live)
    outs = subgraph.output_avals(body)
    count = len(body.inputs)
    carry = [i for i in range(n.carry) if moving[n.closed + i]]
    cts = [i for i in range(n.carry, len(outs)) if given[i] and results[i]]
    closed = [i for i in range(n.closed) if moving[i]]
    taken = [i for i, m in enumerate(moving) if m]
    made: list[Any] = []
    found: dict[int, Any] = {}

    def run(*boxes: Any) -> Any:
        rest = iter(boxes[count:])
        sums = {i: next(rest) for i in closed}
        given = {i: next(rest) for i in (*carry, *cts)}
        made[:], grads = subgraph.pulled(
            body, boxes[:count], moving, [given.get(i) for i in range(len(outs))]
        )
        found.clear()
        found.update((i, ct) for i, ct in zip(taken, grads) if ct is not None)
        for i in carry:
            j = n.closed + i
            if j not in found:
                found[j] = np.zeros(outs[i].shape, outs[i].dtype, like=boxes[count])
        for i in closed:
            if i in found:
                found[i] = np.add(sums[i], found[i])
        return [found[i] for i in sorted(found)]

    avals = [
        *[v.aval for v in body.inputs],
        *[make_aval(body.inputs[i].shape, body.inputs[i].dtype) for i in closed],
        *[outs[i] for i in (*carry, *cts)],
    ]
    back = subgraph.whole(run, avals, f"reverse of {body.name}")
    known = [value_like(a) for a in outs]
    back = subgraph.known_outputs(back, made, known)
    own, sums, given_cts = (
        back.inputs[:count],
        dict(zip(closed, back.inputs[count:])),
        dict(zip((*carry, *cts), back.inputs[count + len(closed) :])),
    )
    return _assembled(back, n, own, known, sums, given_cts, found, carry, cts, live)


def _assembled(
    back: Graph,
    n: Parts,
    own: Sequence[Value],
    known: Sequence[Value],
    sums: dict[int, Value],
    cotangents: dict[int, Value],
    found: dict[int, Any],
    carry: list[int],
    cts: list[int],
    live: Sequence[bool],
) -> Backward:
    """The graph with only the inputs that it reads, in their order."""
    outputs = dict(zip(sorted(found), back.outputs))
    summed = [i for i in sums if i in found and live[i]]
    given = [i for i in found if i >= sum(n) and live[i]]
    wanted = [
        *[outputs[n.closed + i] for i in carry],
        *[outputs[i] for i in summed],
        *[outputs[i] for i in given],
    ]
    back = subgraph.without_dead(back.with_body(back.equations, wanted))
    read = subgraph.reads(back)
    closed = [i for i in range(n.closed) if own[i] in read]
    before = [i for i in range(n.carry) if own[n.closed + i] in read]
    after = [i for i in range(n.carry) if known[i] in read]
    xs = [i for i in range(sum(n), len(own)) if own[i] in read]
    ys = [i for i in range(n.carry, len(known)) if known[i] in read]
    cts = [i for i in cts if cotangents[i] in read]
    inputs = [
        *[own[i] for i in closed],
        *[cotangents[i] for i in carry],
        *[sums[i] for i in summed],
        *[own[n.closed + i] for i in before],
        *[known[i] for i in after],
        *[own[i] for i in xs],
        *[known[i] for i in ys],
        *[cotangents[i] for i in cts],
    ]
    graph = subgraph.with_inputs(back, inputs)
    return Backward(graph, closed, carry, summed, before, after, xs, ys, cts, given)


def _pull(cts: Sequence[Any], residual: Any) -> tuple[Any, ...]:
    """The cotangents of the live operands, by a scan in the other direction."""
    values, results, histories, live, params, like = residual
    body, length, reverse = params["body"], params["length"], params["reverse"]
    n = Parts(*params["parts"])
    back = backward(body, n, live, tuple([ct is not None for ct in cts]))
    if not back.graph.outputs:
        return tuple([None for flag in live if flag])
    outs, places = subgraph.output_avals(body), [make_aval(v.shape, v.dtype) for v in body.inputs]
    late, early = slice(1, length + 1), slice(0, length)
    going_in, coming_out = (late, early) if reverse else (early, late)
    operands = [
        *[values[i] for i in back.closed],
        *[cts[i] if cts[i] is not None else subgraph.zeros(outs[i], like) for i in back.carry],
        *[subgraph.zeros(places[i], like) for i in back.summed],
        *[histories[i][going_in] for i in back.before],
        *[histories[i][coming_out] for i in back.after],
        *[values[i] for i in back.xs],
        *[results[i] for i in back.ys],
        *[cts[i] for i in back.cts],
    ]
    parts = len(back.closed), len(back.carry) + len(back.summed)
    made = bind(
        scan_p,
        operands,
        {
            "body": back.graph,
            "parts": parts,
            "length": length,
            "reverse": not reverse,
            "saved": (),
        },
    )
    at = [*[n.closed + i for i in back.carry], *back.summed, *back.given]
    found = dict(zip(at, made))
    return tuple([found.get(i) for i, flag in enumerate(live) if flag])


# -- scans with histories, differentiated again ------------------------------------------------
def _without_histories(params: Any) -> dict[str, Any]:
    """The parameters of the scan that returns as rows what each saved carry comes out as."""
    body: Graph = params["body"]
    saved = params["saved"]
    outputs = [*body.outputs, *[body.outputs[i] for i in saved]]
    made = once(body, ("rows of carries", saved), lambda: body.with_body(body.equations, outputs))
    return {**params, "body": made, "saved": ()}


def _history(first: Any, rows: Any, reverse: bool) -> Any:
    first = np.reshape(first, (1, *shape_of(first)))
    return np.concatenate([rows, first] if reverse else [first, rows])


def _with_histories(operands: Any, params: Any) -> Any:
    """The scan on boxes, its histories put together from rows."""
    body, n = params["body"], Parts(*params["parts"])
    outs = bind(scan_p, operands, _without_histories(params))
    count = len(body.outputs)
    init = n.of(operands)[1]
    made = [
        _history(init[i], rows, params["reverse"]) for i, rows in zip(params["saved"], outs[count:])
    ]
    return (*outs[:count], *made)


def _moved_histories(values: Any, tangents: Any, params: Any) -> tuple[Any, Any]:
    body, n, saved = params["body"], Parts(*params["parts"]), params["saved"]
    outs, moves = scan_p.moved(values, tangents, _without_histories(params))
    count = len(body.outputs)
    init, starts = n.of(values)[1], n.of(tangents)[1]
    histories: list[Any] = []
    turns: list[Any] = []
    for i, rows, t in zip(saved, outs[count:], moves[count:]):
        histories.append(_history(init[i], rows, params["reverse"]))
        start = starts[i]
        if t is None and start is None:
            turns.append(None)
            continue
        start = subgraph.zeros(aval_of(init[i]), init[i]) if start is None else start
        t = subgraph.zeros(aval_of(rows), rows) if t is None else t
        turns.append(_history(start, t, params["reverse"]))
    return [*outs[:count], *histories], [*moves[:count], *turns]
