"""Whether a graph is well formed: each value made once, before its use, of the type it says."""

from __future__ import annotations

from pycograd.core.aval import ShapeDtypeStruct, aval_of
from pycograd.core.errors import GraphError, PycogradError
from pycograd.core.ir import Graph, Value, equation_text, subgraphs


def check(graph: Graph) -> Graph:
    """`graph` itself, if it is well formed.

    Raises:
        GraphError: a value that is used before it is made or made twice, an equation whose results
            are not what its primitive's shape rule says, a constant of another type than its
            value; the message has the equation.

    >>> import numpy as np
    >>> check(capture(np.sin, np.ones(2)))
    <graph of sin: 1 equations>
    """
    known: set[Value] = set()

    def made(value: Value, where: str) -> None:
        if value in known:
            raise GraphError(f"graph of {graph.name}: a value is made twice, by {where}")
        known.add(value)

    for value in graph.inputs:
        made(value, "the inputs")
    for value, array in graph.constants:
        made(value, "the constants")
        if not _same(value, aval_of(array)):
            raise GraphError(
                f"graph of {graph.name}: a constant {value!r} holds {aval_of(array)!r}"
            )
    names = _Names(graph.names())
    for equation in graph.equations:
        text = f"graph of {graph.name}, in {equation_text(equation, names)!r}"
        if any(v not in known for v in equation.values):
            raise GraphError(f"{text}: an operand is used before it is made")
        for inner in subgraphs(equation):
            check(inner)
        avals = [x if type(x) is Value else x.aval for x in equation.operands]
        try:
            outs = equation.primitive.shape(avals, equation.params)
        except PycogradError as error:
            raise GraphError(f"{text}: {error}") from error
        outs = outs if equation.primitive.multi else (outs,)
        if len(outs) != len(equation.outs) or not all(map(_same, equation.outs, outs)):
            raise GraphError(f"{text}: its shape rule says {', '.join(map(repr, outs))}")
        for value in equation.outs:
            made(value, text)
    for x in graph.outputs:
        if type(x) is Value and x not in known:
            raise GraphError(f"graph of {graph.name}: an output is never made")
    return graph


def _same(a: ShapeDtypeStruct, b: ShapeDtypeStruct) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype


class _Names(dict[Value, str]):
    """The names of a graph that may be malformed: what is unknown is `?`."""

    def __missing__(self, value: Value) -> str:
        return "?"
