"""What the plugin adds to the passes over graphs: a softmax written by hand is torch's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pycograd.plugins.api import (
    Equation,
    Graph,
    GraphPass,
    PluginBase,
    Value,
    hookimpl,
    primitive_named,
)


class TorchHooks(PluginBase):
    """The hooks of this distribution."""

    @hookimpl
    def pycograd_graph_passes(self, backend: str) -> Sequence[GraphPass]:
        if backend != "torch":
            return ()
        return (GraphPass("torch-softmax", with_softmax, after=("algebra",)),)


def with_softmax(graph: Graph) -> Graph:
    """`exp(x - max(x)) / sum(exp(x - max(x)))` along one axis as one `softmax`.

    Only where nothing else reads what is left out.
    """
    makers = {v: e for e in graph.equations for v in e.outs}
    uses = Counter(x for e in graph.equations for x in e.operands if type(x) is Value)
    uses.update(x for x in graph.outputs if type(x) is Value)
    instead: dict[Equation, Equation] = {}
    dropped: set[Equation] = set()
    for equation in graph.equations:
        found = _softmax_of(equation, makers, uses)
        if found is not None:
            instead[equation] = found[0]
            dropped.update(found[1])
    if not instead:
        return graph
    kept = [instead.get(e, e) for e in graph.equations if e not in dropped]
    return graph.with_body(kept, graph.outputs)


def _softmax_of(
    last: Equation, makers: dict[Value, Equation], uses: Counter[Value]
) -> tuple[Equation, list[Equation]] | None:
    """The softmax that ends in this equation, and the equations that it makes needless."""

    def made(x: object, name: str, count: int) -> Equation | None:
        maker = makers.get(x) if type(x) is Value else None
        if maker is None or maker.primitive.name != name or uses[maker.outs[0]] != count:
            return None
        return maker

    if last.primitive.name != "divide":
        return None
    above, below = last.operands
    if (exp := made(above, "exp", 2)) is None or (total := made(below, "sum", 1)) is None:
        return None
    if total.operands[0] is not above or (less := made(exp.operands[0], "subtract", 1)) is None:
        return None
    x, greatest = less.operands
    if (most := made(greatest, "max", 1)) is None or most.operands[0] is not x:
        return None
    axis = most.params["axis"]
    same = total.params == most.params == {"axis": axis, "keepdims": True}
    if not same or len(axis) != 1 or type(x) is not Value or x.dtype.kind != "f":
        return None
    whole = Equation(primitive_named("softmax"), [x], {"axis": axis}, last.outs, last.line)
    return whole, [most, less, exp, total]
