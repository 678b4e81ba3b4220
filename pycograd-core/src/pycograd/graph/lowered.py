"""Graphs as functions of a foreign library's arrays: one call of a lowering for each equation.

The same table of lowerings that runs the tape on a library's arrays (`core.device`) spells a whole
graph here, so what comes out is ordinary code of that library: its own autodiff, its own compiler
and its own parallel runtimes take it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.backend import Backend
from pycograd.core.device import loop_dtypes, trace_of
from pycograd.core.ir import Atom, Equation, Graph, Literal, Value


class Lowered:
    """A graph in the terms of a backend.

    Called with the library's arrays for its inputs, it returns those of its outputs, as a list.

    Attributes:
        source: the text of the generated function.
    """

    __slots__ = ("backend", "device", "constants", "source", "run", "fixed")

    def __init__(self, graph: Graph, backend: Backend, device: str | None = None) -> None:
        self.backend, self.device = backend, device
        self.constants = [array for _, array in graph.constants]
        writer = _Writer(graph, backend, device)
        self.source = writer.source()
        exec(compile(self.source, f"<{backend.name} code of {graph.name}>", "exec"), writer.scope)
        self.run: Callable[..., Any] = writer.scope["run"]

    def __call__(self, *arrays: Any) -> list[Any]:
        return self.run(*arrays, *self.moved())  # type: ignore[no-any-return]

    def moved(self) -> list[Any]:
        """The constants of the graph, as they are now, on the device."""
        trace = trace_of(self.backend, self.device)
        return [trace.here(array) for array in self.constants]


class _Writer:
    """The text of a lowered graph, and the names that it uses."""

    def __init__(self, graph: Graph, backend: Backend, device: str | None) -> None:
        self.graph, self.backend, self.device = graph, backend, device
        self.scope: dict[str, Any] = {"cast": backend.cast, "__name__": __name__}
        self.names: dict[Value, str] = {}
        self.functions: dict[Any, str] = {}

    def source(self) -> str:
        graph = self.graph
        given = [*graph.inputs, *[v for v, _ in graph.constants]]
        self.names = {v: f"x{i}" for i, v in enumerate(given)}
        lines = [self.line(equation) for equation in graph.equations]
        outputs = ", ".join(map(self.output, graph.outputs))
        body = [*lines, f"return [{outputs}]"]
        heading = f"def run({', '.join(self.names[v] for v in given)}):\n"
        return heading + "".join(f"    {line}\n" for line in body)

    def line(self, equation: Equation) -> str:
        avals = [x if isinstance(x, Value) else x.aval for x in equation.operands]
        wanted, _ = loop_dtypes(equation.primitive, avals, equation.params)
        operands = [self.operand(x, d) for x, d in zip(equation.operands, wanted)]
        params = [f"{k}={self.given('p', self.param(v))}" for k, v in equation.params.items()]
        call = f"{self.function(equation)}({', '.join([*operands, *params])})"
        for v in equation.outs:
            self.names[v] = f"v{len(self.names)}"
        targets = ", ".join(self.names[v] for v in equation.outs)
        if equation.primitive.multi:
            targets += ","
        line = f"  # {equation.line}" if equation.line else ""
        return f"{targets} = {call}{line}"

    def function(self, equation: Equation) -> str:
        name = equation.primitive.name
        avals = [x if isinstance(x, Value) else x.aval for x in equation.operands]
        lowering = self.backend.lowering(equation.primitive, avals)
        if id(lowering) not in self.functions:  # one that a plugin makes may depend on the avals
            clean = name if name.isidentifier() and name not in self.scope else "f"
            self.functions[id(lowering)] = self.given(clean, lowering)
        return self.functions[id(lowering)]

    def param(self, x: Any) -> Any:
        """A parameter; a graph in it becomes a function of the library's arrays."""
        return Lowered(x, self.backend, self.device) if isinstance(x, Graph) else x

    def operand(self, x: Atom, dtype: Any) -> str:
        if isinstance(x, Literal):
            if type(x.number) in (bool, int, float, complex) and np.isfinite(x.number):
                return repr(x.number)
            return self.given("c", self._array(x.number, dtype))
        name = self.names[x]
        return (
            name if dtype is None or dtype == x.dtype else f"cast({name}, {self.given('d', dtype)})"
        )

    def output(self, x: Atom) -> str:
        if isinstance(x, Value):
            return self.names[x]
        plain = isinstance(x.number, (bool, int, float, complex, np.generic))
        return self.given("c", self._array(x.number, None) if plain else x.number)

    def _array(self, number: Any, dtype: Any) -> Any:
        return self.backend.from_numpy(np.asarray(number, dtype), self.device)

    def given(self, prefix: str, x: Any) -> str:
        """A name for an object that the text uses."""
        if prefix in "pd" and (x is None or type(x) in (bool, int, str)):
            return repr(x)
        name = (
            prefix
            if prefix not in "pcdf" and prefix not in self.scope
            else f"{prefix}{len(self.scope)}"
        )
        self.scope[name] = x
        return name


def lowered_tree(
    graph: Graph, backend: Backend, device: str | None = None
) -> tuple[Lowered, Callable[[Sequence[Any]], Any]]:
    """A lowered graph, and the function that makes the output tree of its results."""
    from pycograd.core.tree import tree_unflatten

    return Lowered(graph, backend, device), lambda outs: tree_unflatten(graph.out_tree, list(outs))
