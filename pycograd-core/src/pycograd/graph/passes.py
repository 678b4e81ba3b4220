"""The passes over graphs, and `optimize`, which runs them.

A pass is a name and a list of rules for the one driver (`rewrite`), which folds constants, makes
equal equations one and drops what is unused on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from pycograd.core import extend
from pycograd.core.errors import GraphError
from pycograd.core.ir import Equation, Graph, subgraphs
from pycograd.graph.chains import ordered_chains
from pycograd.graph.fusion import FUSION
from pycograd.graph.joins import JOINS
from pycograd.graph.outer import OUTER
from pycograd.graph.rewrite import LICENCES, Rule, rewritten, same_equations
from pycograd.graph.rules import EXACT, FINITE, REASSOCIATE, ROWS, STRUCTURE, small_operands
from pycograd.graph.trim import trimmed

Pass = Callable[[Graph], Graph]

_ROUNDS: Final = 8  # at most; a graph is done when a round leaves it as it was


def _by_rules(*groups: Sequence[Rule], fold: bool = False) -> Callable[[Sequence[str]], Pass]:
    """A pass of these rules, those of them that a licence allows."""

    def make(licences: Sequence[str]) -> Pass:
        rules = [rule for group in groups for rule in group if rule.licence in licences]
        return lambda graph: rewritten(graph, rules, fold)

    return make


def _as_it_is(graph: Graph) -> Graph:
    return graph


PASSES: Final[dict[str, Callable[[Sequence[str]], Pass]]] = {
    "cse": _by_rules(),  # common subexpressions, across forward and backward; and dead equations
    "fold": _by_rules(fold=True),
    "views": _by_rules(STRUCTURE),
    "algebra": _by_rules(
        *(STRUCTURE, small_operands(), EXACT, FINITE, JOINS, OUTER, REASSOCIATE), fold=True
    ),
    "chains": lambda licences: ordered_chains if "reassociates" in licences else _as_it_is,
    "rows": _by_rules(ROWS),
    "fuse": _by_rules(FUSION),  # for kernels of backends and files; NumPy has none
}
DEFAULT: Final = ("algebra", "chains")


def optimize(
    graph: Graph,
    passes: Iterable[str | Pass] | None = None,
    licence: str | Iterable[str] = ("exact", "reassociates"),
    backend: str = "numpy",
) -> Graph:
    """An equal graph with less to do.

    Arguments:
        graph: what `capture` returned.
        passes: names of `PASSES`, or functions of a graph that return one; "algebra" and "chains"
            if left out, "rows" for NumPy or "fuse" for another backend, and those of plugins.
            They are repeated until the graph stays as it is.
        licence: which rewrites are allowed: `"exact"` ones, which keep every bit, nan and inf;
            those that are only right where all values are `"finite"`; and those that compute sums
            and products in another order, `"reassociates"`. `"exact"` is always allowed.
        backend: the name of the backend that will run the graph, for plugins' passes.

    Raises:
        ValueError: a pass or a licence of another name.
        GraphError: what was given is no graph.

    >>> import numpy as np
    >>> graph = capture(grad(lambda x: np.sum(x * 2.0)), np.ones(3))
    >>> print(optimize(graph))
    graph(%0:f64[3]) {
      %1 = broadcast_to 2.0:f64 {shape=3} -> f64[3]
      outputs: %1
    }
    """
    if not isinstance(graph, Graph):
        raise GraphError(
            f"optimize takes a Graph, not {type(graph).__name__}: write optimize(capture(f, *args))"
        )
    licences = {"exact", *([licence] if isinstance(licence, str) else licence)}
    if unknown := licences - set(LICENCES):
        raise ValueError(f"optimize: no licence {', '.join(sorted(unknown))}; use {LICENCES}")
    if passes is None:
        passes = (*DEFAULT, "rows" if backend == "numpy" else "fuse")
        passes = passes if extend.graph_passes is None else extend.graph_passes(passes, backend)
    named = tuple(passes)
    chosen = []
    for each in named:
        if isinstance(each, str):
            if each not in PASSES:
                raise ValueError(f"optimize: no pass {each!r}; there are {', '.join(PASSES)}")
            each = PASSES[each](sorted(licences))
        chosen.append(each)
    graph = trimmed(graph)
    key = named, tuple(sorted(licences))
    graph = _inside(graph, key, lambda inner: optimize(inner, named, licences))
    for _ in range(_ROUNDS):
        before = graph
        for run in chosen:
            graph = run(graph)
        if same_equations(graph, before):
            return before
    return graph


_OPTIMISED: Final[WeakKeyDictionary[Graph, dict[Any, Graph]]] = WeakKeyDictionary()


def _inside(graph: Graph, key: Any, run: Pass) -> Graph:
    """`graph` with its sub-graphs optimised; one that several equations share stays one."""
    if not any(True for equation in graph.equations for _ in subgraphs(equation)):
        return graph

    def now(x: Any) -> Any:
        if not isinstance(x, Graph):
            return x
        known = _OPTIMISED.setdefault(x, {})
        if key not in known:
            made = run(x)
            if made is x:
                return x
            known[key] = made
        return known[key]

    equations = []
    for e in graph.equations:
        params = {name: now(x) for name, x in e.params.items()}
        equations.append(Equation(e.primitive, e.operands, params, e.outs, e.line))
    return graph.with_body(equations, graph.outputs)
