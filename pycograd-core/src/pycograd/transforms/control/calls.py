"""Equations that run one of several sub-graphs: the rules that `cond` and `checkpoint` share.

The derivative of such an equation is one again, of the derivatives of its sub-graphs. The reverse
one takes the operands and the cotangents, and computes inside again what it needs of the forward
run: nothing is kept but the operands and the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pycograd.core.aval import ShapeDtypeStruct, make_aval
from pycograd.core.ir import Graph, value_like
from pycograd.core.primitive import Primitive, Trace, bind
from pycograd.core.tape import Tape, Var, differentiable
from pycograd.transforms.batch import Batched, BatchTrace
from pycograd.transforms.control import subgraph
from pycograd.transforms.control.subgraph import once
from pycograd.transforms.forward import Dual, ForwardTrace


class Controlled(Primitive):
    """An operation with sub-graphs among its parameters, by kind of the transform it meets."""

    special = True

    def under(self, trace: Trace, operands: Sequence[Any], params: Any = None) -> Any:
        if isinstance(trace, Tape):
            mine = [isinstance(x, Var) and x._trace is trace for x in operands]
            values = [x.value if m else x for x, m in zip(operands, mine)]
            live = [m and differentiable(v) for m, v in zip(mine, values)]
            return self.on_tape(trace, operands, values, live, params)
        if isinstance(trace, ForwardTrace):
            mine = [isinstance(x, Dual) and x._trace is trace for x in operands]
            values = [x.value if m else x for x, m in zip(operands, mine)]
            tangents = [x.tangent if m else None for x, m in zip(operands, mine)]
            if all(t is None for t in tangents):
                outs, moves = bind(self, values, params), None
            else:
                outs, moves = self.moved(values, tangents, params)
            moves = moves or [None] * len(outs)
            return tuple([trace.box(x, t) if differentiable(x) else x for x, t in zip(outs, moves)])
        if isinstance(trace, BatchTrace):
            mine = [isinstance(x, Batched) and x._trace is trace for x in operands]
            values = [x.value if m else x for x, m in zip(operands, mine)]
            mapped = [m and x.mapped for x, m in zip(operands, mine)]
            if not any(mapped):
                return tuple([trace.box(x, False) for x in bind(self, values, params)])
            outs, flags = self.rows(trace.size, values, mapped, params)
            return tuple([trace.box(x, m) for x, m in zip(outs, flags)])
        return trace.process(self, operands, params)

    def on_tape(
        self, tape: Tape, operands: Sequence[Any], values: Any, live: Any, params: Any
    ) -> Any:
        """Runs on the values and records the step."""
        raise NotImplementedError

    def moved(self, values: Any, tangents: Any, params: Any) -> tuple[Any, Any]:
        """The results and their tangents."""
        raise NotImplementedError

    def rows(self, size: Any, values: Any, mapped: Any, params: Any) -> tuple[Any, Any]:
        """The results for all rows, and which of them differ between rows."""
        raise NotImplementedError


class Calls(Controlled):
    """Runs one of its sub-graphs, which all take the operands after the first `skipped`.

    Arguments:
        names: of the parameters that hold the sub-graphs.
        skipped: how many operands come before those of the sub-graphs, and choose.
        keeps: True if the reverse rule may keep the results; False if it computes them again.
    """

    def __init__(self, name: str, names: Sequence[str], skipped: int, keeps: bool) -> None:
        super().__init__(name, None, multi=True)
        self.names, self.skipped, self.keeps = tuple(names), skipped, keeps

    def chosen(self, operands: Sequence[Any], params: Any) -> Graph:
        """The sub-graph to run, for arrays."""
        graph: Graph = params[self.names[0]]
        return graph

    def impl(self, *operands: Any, **params: Any) -> tuple[Any, ...]:
        run = subgraph.executor().program(self.chosen(operands, params))
        return tuple(run(*operands[self.skipped :]))

    def shape(self, avals: Any, params: Any) -> Any:
        return tuple(subgraph.output_avals(params[self.names[0]]))

    def graphs(self, params: Any) -> list[Graph]:
        """The sub-graphs."""
        return [params[name] for name in self.names]

    def again(self, leading: Sequence[Any], operands: Sequence[Any], graphs: Sequence[Any]) -> Any:
        """The same choice among other sub-graphs."""
        return bind(self, [*leading, *operands], dict(zip(self.names, graphs)))

    # -- reverse -----------------------------------------------------------------------------------
    def on_tape(self, tape: Tape, operands: Any, values: Any, live: Any, params: Any) -> Any:
        outs = bind(self, values, params)
        flags = tuple(live[self.skipped :])
        slots = tuple([x.slot for x, flag in zip(operands, live) if flag])
        if not slots:
            return outs
        read = self._reverse(params, flags, (True,) * len(outs))[2]
        known = [*values[self.skipped :], *outs]
        kept = [x if i in read else None for i, x in enumerate(known)]
        residual = (values[: self.skipped], kept, flags, params)
        return tape.record_multi(self.pull, slots, residual, outs)

    def pull(self, cts: Sequence[Any], residual: Any) -> Any:
        """The cotangents of the live operands."""
        leading, kept, flags, params = residual
        graphs, found, read = self._reverse(params, flags, tuple([ct is not None for ct in cts]))
        operands = [kept[i] for i in read] + [ct for ct in cts if ct is not None]
        made = iter(self.again(leading, operands, graphs))
        return tuple([next(made) if f else None for f in found])

    def _reverse(self, params: Any, flags: Any, given: Any) -> tuple[list[Graph], Any, list[int]]:
        """The reverse sub-graphs, which live operands get a cotangent, and what they all read."""
        graphs = self.graphs(params)

        def made(graph: Graph, wanted: Any) -> Any:
            key = "reverse", flags, given, wanted, self.keeps
            return once(graph, key, lambda: reversed_graph(graph, flags, given, wanted, self.keeps))

        each = [made(graph, None) for graph in graphs]
        found = tuple([any(has) for has in zip(*[has for _, has in each])])
        if any(tuple(has) != found for _, has in each):
            each = [made(graph, found) for graph in graphs]
        count = len(graphs[0].inputs) + len(graphs[0].outputs)
        read = [
            i
            for i in range(count)
            if any(graph.inputs[i] in subgraph.reads(graph) for graph, _ in each)
        ]
        key = "reverse of what is read", flags, given, found, tuple(read), self.keeps
        return (
            [once(g, key, partial(_reading, r, read, count)) for g, (r, _) in zip(graphs, each)],
            found,
            read,
        )

    # -- forward -----------------------------------------------------------------------------------
    def moved(self, values: Any, tangents: Any, params: Any) -> tuple[Any, Any]:
        n = self.skipped
        flags = tuple([t is not None for t in tangents[n:]])
        graphs = self.graphs(params)
        live = [any(flags) for flags in zip(*[subgraph.active(g, flags) for g in graphs])]
        key = "forward", flags, tuple(live)
        made = [once(g, key, partial(_forward, g, flags, live)) for g in graphs]
        moves = [t for t in tangents[n:] if t is not None]
        outs = self.again(values[:n], [*values[n:], *moves], made)
        rest = iter(outs[len(live) :])
        return outs[: len(live)], [next(rest) if m else None for m in live]

    # -- batching ----------------------------------------------------------------------------------
    def rows(self, size: Any, values: Any, mapped: Any, params: Any) -> tuple[Any, Any]:
        n = self.skipped
        flags = tuple(mapped[n:])
        graphs = self.graphs(params)
        made = [once(g, ("rows", size, flags), partial(_in_rows, g, size, flags)) for g in graphs]
        differ = [any(flags) for flags in zip(*[m for _, m in made])]
        key = "rows of all", size, flags, tuple(differ)
        spread = [
            once(g, key, partial(_spread, m, size, own, differ))
            for g, (m, own) in zip(graphs, made)
        ]
        return self.again(values[:n], values[n:], spread), differ


def cotangent_avals(graph: Graph, given: Sequence[bool]) -> list[ShapeDtypeStruct]:
    """The avals of the cotangents that are given."""
    return [a for a, g in zip(subgraph.output_avals(graph), given) if g]


def _reading(graph: Graph, read: Sequence[int], count: int) -> Graph:
    """`graph` with only those of its first `count` inputs that are read."""
    inputs = [*[graph.inputs[i] for i in read], *graph.inputs[count:]]
    return subgraph.with_inputs(graph, inputs)


def reversed_graph(
    graph: Graph, live: Any, given: Any, wanted: Any, keeps: bool
) -> tuple[Graph, list[bool]]:
    """`(operands, results, cotangents) -> cotangents of the live operands` as a graph.

    Also which of them it returns: those that are not zero, or those that are `wanted`. It `keeps`,
    that is, takes as given the results that it needs.
    """
    has: list[bool] = []
    made: list[Any] = []
    n = len(graph.inputs)
    places = [v.aval for v, flag in zip(graph.inputs, live) if flag]

    def run(*boxes: Any) -> Any:
        rest = iter(boxes[n:])
        cts = [next(rest) if g else None for g in given]
        made[:], found = subgraph.pulled(graph, boxes[:n], live, cts)
        has[:] = [ct is not None for ct in found] if wanted is None else wanted
        found = [subgraph.zeros(a, boxes[0]) if c is None else c for c, a in zip(found, places)]
        return [ct for ct, h in zip(found, has) if h]

    avals = [*[v.aval for v in graph.inputs], *cotangent_avals(graph, given)]
    back = subgraph.whole(run, avals, f"reverse of {graph.name}")
    known = [value_like(a) for a in subgraph.output_avals(graph)]
    back = subgraph.known_outputs(back, made, known) if keeps else subgraph.without_dead(back)
    return subgraph.with_inputs(back, [*back.inputs[:n], *known, *back.inputs[n:]]), has


def _forward(graph: Graph, moving: Sequence[bool], live: Sequence[bool]) -> Graph:
    """`(operands, tangents) -> (results, tangents)` as a graph."""
    n = len(graph.inputs)
    avals = subgraph.output_avals(graph)

    def run(*boxes: Any) -> Any:
        rest = iter(boxes[n:])
        outs, moves = subgraph.pushed(graph, boxes[:n], [next(rest) if m else None for m in moving])
        found = [
            subgraph.zeros(a, boxes[0] if boxes else None) if t is None else t
            for t, a in zip(moves, avals)
        ]
        return [*outs, *[t for t, wanted in zip(found, live) if wanted]]

    tangents = [make_aval(v.shape, v.dtype) for v, m in zip(graph.inputs, moving) if m]
    return subgraph.whole(
        run, [*[v.aval for v in graph.inputs], *tangents], f"forward of {graph.name}"
    )


def _in_rows(graph: Graph, size: Any, mapped: Sequence[bool]) -> tuple[Graph, list[bool]]:
    differ: list[bool] = []

    def run(*boxes: Any) -> Any:
        outs, differ[:] = subgraph.in_rows(graph, size, boxes, mapped)
        return outs

    avals = [subgraph.row_aval(v.aval, size, m) for v, m in zip(graph.inputs, mapped)]
    return subgraph.whole(run, avals, f"rows of {graph.name}"), differ


def _spread(graph: Graph, size: Any, own: Sequence[bool], wanted: Sequence[bool]) -> Graph:
    if list(own) == list(wanted):
        return graph

    def run(*boxes: Any) -> Any:
        outs = graph.evaluate(boxes)
        return [
            subgraph.spread(x, size) if w and not m else x for x, m, w in zip(outs, own, wanted)
        ]

    return subgraph.whole(run, [v.aval for v in graph.inputs], graph.name)
