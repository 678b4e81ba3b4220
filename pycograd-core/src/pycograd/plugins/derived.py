"""What a plugin may have made of functions; the modules that do it stand above, and go by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from pycograd.core.backend import Backend
from pycograd.core.ir import Graph


def capture(f: Callable[..., Any], *args: Any) -> Graph:
    """The graph of a function, as `pycograd.capture`.

    Arguments:
        f: a function of arrays and trees.
        args: arrays or `ShapeDtypeStruct`s, or trees of them.
    """
    graph: Graph = import_module("pycograd.transforms.capture").capture(f, *args)
    return graph


def optimized(graph: Graph, backend: str) -> Graph:
    """An equal graph with less to do, as `pycograd.optimize`.

    Arguments:
        graph: what `capture` returned.
        backend: the name of the backend, or of the exporter, that will run the graph: what is
            fused for it, and which passes of plugins run.
    """
    made: Graph = import_module("pycograd.graph.passes").optimize(graph, backend=backend)
    return made


def lowered(
    graph: Graph, backend: Backend, device: str | None = None, *, rules: bool = False
) -> Any:
    """A graph as a function of a library's arrays, those of its inputs, that returns a list.

    Arguments:
        graph: what to run.
        backend: of the library.
        device: where the constants of the graph go.
        rules: True where the library's own autodiff goes through it: what `own_rules` names and
            custom functions keep their derivatives.
    """
    return import_module("pycograd.graph.lowered").Lowered(graph, backend, device, rules)
