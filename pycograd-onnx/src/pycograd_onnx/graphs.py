"""Graphs of pycograd as ONNX models: one call of a lowering for each equation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pycograd.plugins.api import (
    Dim,
    Graph,
    Literal,
    Primitive,
    ShapeDtypeStruct,
    Value,
    capture,
)
from pycograd_onnx.lowerings import REFUSED, STRUCTURAL, table
from pycograd_onnx.writer import Refused, Tensor, Writer, model_of

Known = dict[Value, Any]


def written(
    graph: Graph, opset: int, keep: bool, names: Mapping[Value, str], fixed: Mapping[Value, Any]
) -> Any:
    """The ONNX model of a graph.

    Arguments:
        graph: what to write.
        opset: the version of ONNX's operators.
        keep: True keeps float64.
        names: of the inputs.
        fixed: inputs that become initializers, and their arrays.
    """
    program = Program(Writer(opset, keep))
    g = program.g
    known: Known = {}
    results = [f"output_{i}" for i in range(len(graph.outputs))]
    while set(results) & set(names.values()):
        results = [f"result_{name}" for name in results]
    g.taken = {*names.values(), *results}
    inputs = []
    for v in graph.inputs:
        if v in fixed:
            known[v] = g.constant(np.asarray(fixed[v]).astype(g.inner(v.dtype)), names[v])
            continue
        x = Tensor(g, names[v], g.outer(v.dtype), v.shape)
        inputs.append(g.info(x.name, x.dtype, x.shape))
        known[v] = x
        for axis, n in enumerate(v.shape):
            if type(n) is Dim and repr(n).isidentifier():
                g.symbols.setdefault(repr(n), (x, axis))
    for v in graph.inputs:
        if v not in fixed:
            known[v] = g.cast(known[v], g.inner(v.dtype))
    outs = program.run(graph, known)
    outputs = []
    for i, (x, atom) in enumerate(zip(outs, graph.outputs)):
        aval = atom if isinstance(atom, Value) else atom.aval
        x = g.cast(g.tensor(x, g.inner(aval.dtype)), g.outer(aval.dtype))
        g.label = "output"
        node_of = g.node("Identity", [x], x.dtype, x.shape)
        g.nodes[-1].output[0] = results[i]
        outputs.append(g.info(results[i], node_of.dtype, aval.shape))
    return model_of(g, graph.name if graph.name.isidentifier() else "graph", inputs, outputs)


class Program:
    """Writes the equations of a graph, and of those within it, with one writer."""

    def __init__(self, g: Writer) -> None:
        self.g, self.table = g, table()

    def run(self, graph: Graph, known: Known) -> list[Any]:
        """The outputs, as tensors or numbers; `known` has the inputs."""
        g = self.g
        for v, array in graph.constants:
            if v not in known:
                array = np.asarray(array)
                known[v] = g.constant(array.astype(g.inner(array.dtype)))
        for e in graph.equations:
            g.label = e.primitive.name
            operands = [x.number if isinstance(x, Literal) else known[x] for x in e.operands]
            try:
                results = self.results(e.primitive, operands, e.params, e.outs)
            except Refused as error:
                if error.placed:
                    raise
                line = f" ({e.line})" if e.line else ""
                placed = Refused(f"{e.primitive.name}{line}: {error}")
                placed.placed = True
                raise placed from error
            known.update(zip(e.outs, results))
        return [x.number if isinstance(x, Literal) else known[x] for x in graph.outputs]

    def call(self, graph: Graph, operands: Sequence[Any]) -> list[Any]:
        """A graph within another on these operands."""
        return self.run(graph, dict(zip(graph.inputs, operands)))

    def results(
        self, primitive: Primitive, operands: list[Any], params: Mapping[str, Any], outs: Any
    ) -> list[Tensor]:
        """The results of one equation, in the dtypes of the graph."""
        g = self.g
        for v in outs:
            g.inner(v.dtype)  # says which dtypes there are
        found = self.table.get(primitive.name)
        if found is None and primitive.custom:
            made: Any = self.call(params["body"], operands)
        elif found is None and primitive.composed:
            made = self.call(_parts(primitive, operands, params), operands)
        elif found is None:
            raise Refused(REFUSED.get(primitive.name, "ONNX has no operator for it"))
        else:
            g.outs = outs
            if primitive.name in ("cond", "scan", "while_loop", "checkpoint"):
                made = found(self, *operands, **params)
            else:
                made = found(g, *operands, **params)
        made = list(made) if isinstance(made, (list, tuple)) else [made]
        if len(made) != len(outs):
            raise Refused(f"the lowering returned {len(made)} results for {len(outs)}")
        settled = []
        for x, v in zip(made, outs):
            x = g.tensor(x, g.inner(v.dtype))
            if primitive.name not in STRUCTURAL:
                x = g.through(x, v.dtype)
            if len(x.shape) != len(v.shape):
                raise Refused(f"the lowering made {x.shape} of {v.shape}")
            settled.append(Tensor(g, x.name, x.dtype, v.shape))
        return settled


def _parts(primitive: Primitive, operands: Sequence[Any], params: Mapping[str, Any]) -> Graph:
    """What a composed operation does, as a graph for these operands."""
    avals = [ShapeDtypeStruct(x.shape, x.dtype) if isinstance(x, Tensor) else x for x in operands]
    return capture(lambda *xs: primitive.impl(*xs, **params), *avals)
