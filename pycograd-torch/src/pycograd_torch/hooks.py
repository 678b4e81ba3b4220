"""What the plugin adds to the passes over graphs: what is spelled out is torch's own kernel.

Only where nothing else reads what is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.plugins.api import (
    Equation,
    Graph,
    GraphPass,
    PluginBase,
    Primitive,
    ShapeDtypeStruct,
    Value,
    hookimpl,
    primitive_named,
    value_like,
)


class TorchHooks(PluginBase):
    """The hooks of this distribution."""

    @hookimpl
    def pycograd_graph_passes(self, backend: str) -> Sequence[GraphPass]:
        if backend != "torch":
            return ()
        return (
            GraphPass("torch-softmax", with_softmax, after=("algebra",)),
            GraphPass("torch-cross-entropy", with_cross_entropy, after=("fuse",)),
            GraphPass("torch-layer-norm", with_layer_norm, after=("fuse",)),
            GraphPass("torch-unbind", with_unbind, after=("fuse",)),
        )


class _Uses:
    """Who makes each value of a graph, how many read it, and which constants stay what they are."""

    def __init__(self, graph: Graph) -> None:
        self.makers = {v: e for e in graph.equations for v in e.outs}
        self.counts = Counter(x for e in graph.equations for x in e.operands if type(x) is Value)
        self.counts.update(x for x in graph.outputs if type(x) is Value)
        self.fixed = {v: x for v, x in graph.constants if not x.flags.writeable and x.base is None}

    def made(self, x: object, name: str, count: int = 1) -> Equation | None:
        """The equation of this primitive whose first result is `x`, and is read `count` times."""
        maker = self.makers.get(x) if type(x) is Value else None
        if maker is None or maker.primitive.name != name or maker.outs[0] is not x:
            return None
        others = any(self.counts[v] for v in maker.outs[1:])
        return None if others or self.counts[x] != count else maker


Found = tuple[list[Equation], list[Equation]] | None  # what comes instead, and what goes


def _changed(graph: Graph, find: Callable[[Equation, _Uses], Found]) -> Graph:
    """`graph` with what is found to end in an equation in its place."""
    uses = _Uses(graph)
    instead: dict[Equation, list[Equation]] = {}
    dropped: set[Equation] = set()
    for equation in graph.equations:
        if (found := find(equation, uses)) is not None:
            instead[equation] = found[0]
            dropped.update(found[1])
    if not instead:
        return graph
    kept = [new for e in graph.equations if e not in dropped for new in instead.get(e, [e])]
    return graph.with_body(kept, graph.outputs)


# -- softmax ---------------------------------------------------------------------------------------
def with_softmax(graph: Graph) -> Graph:
    """`exp(x - max(x)) / sum(exp(x - max(x)))` along one axis as one `softmax`."""
    return _changed(graph, _softmax_of)


def _softmax_of(last: Equation, uses: _Uses) -> Found:
    if last.primitive.name != "divide":
        return None
    above, below = last.operands
    if (exp := uses.made(above, "exp", 2)) is None or (total := uses.made(below, "sum")) is None:
        return None
    if total.operands[0] is not above or (less := uses.made(exp.operands[0], "subtract")) is None:
        return None
    x, greatest = less.operands
    if (most := uses.made(greatest, "max")) is None or most.operands[0] is not x:
        return None
    axis = most.params["axis"]
    same = total.params == most.params == {"axis": axis, "keepdims": True}
    if not same or len(axis) != 1 or type(x) is not Value or x.dtype.kind != "f":
        return None
    whole = Equation(primitive_named("softmax"), [x], {"axis": axis}, last.outs, last.line)
    return [whole], [most, less, exp, total]


# -- cross-entropy ---------------------------------------------------------------------------------
def with_cross_entropy(graph: Graph) -> Graph:
    """`log(sum(exp(s))) - s[rows, labels]` of `s = x - max(x)` by the `log_softmax` of x.

    Its maximum needs no derivative then. Without the maximum it is left as it is: of an infinite
    entry that is no label's it is infinite, and the other form nan.
    """
    return _changed(graph, _cross_entropy_of)


def _cross_entropy_of(last: Equation, uses: _Uses) -> Found:
    if last.primitive.name != "subtract":
        return None
    norm, picked = (uses.made(x, name) for x, name in zip(last.operands, ("logsumexp", "gather")))
    if norm is None or picked is None or norm.operands[0] is not picked.operands[0]:
        return None
    if (less := uses.made(norm.operands[0], "subtract", 2)) is None:
        return None
    x, greatest = less.operands
    if (most := uses.made(greatest, "max")) is None or most.operands[0] is not x:
        return None
    rows = uses.fixed.get(picked.operands[1]) if len(picked.operands) == 3 else None  # type: ignore[arg-type]
    if rows is None or type(x) is not Value or len(x.shape) != 2 or x.dtype.kind != "f":
        return None
    if norm.params != {"axis": (1,), "keepdims": False} or picked.params["key"] != ("array",) * 2:
        return None
    if most.params != {"axis": (1,), "keepdims": True} or rows.dtype.kind not in "iu":
        return None
    if not np.array_equal(rows, np.arange(x.shape[0])):
        return None
    logs, chosen = value_like(x), value_like(picked.outs[0])
    whole = [
        Equation(primitive_named("log_softmax"), [x], {"axis": (1,)}, [logs], last.line),
        Equation(
            picked.primitive, [logs, *picked.operands[1:]], picked.params, [chosen], last.line
        ),
        Equation(primitive_named("negative"), [chosen], {}, last.outs, last.line),
    ]
    return whole, [most, less, norm, picked]


# -- layer norm ------------------------------------------------------------------------------------
class _LayerNorm(Primitive):
    """`standardize` over the last axes, times a scale, plus a shift: for torch's graphs alone."""

    def impl(self, x: Any, scale: Any, shift: Any, *, axis: Any, eps: float) -> Any:
        return primitive_named("standardize")(x, axis=axis, eps=eps)[0] * scale + shift

    def shape(self, avals: Sequence[ShapeDtypeStruct], params: dict[str, Any]) -> Any:
        return avals[0]


_LAYER_NORM = _LayerNorm("torch_layer_norm", None, register=False)


def with_layer_norm(graph: Graph) -> Graph:
    """A standardized tensor times a scale plus a shift as one call."""
    return _changed(graph, _layer_norm_of)


def _layer_norm_of(last: Equation, uses: _Uses) -> Found:
    if last.primitive.name != "add":
        return None
    for product, shift in (last.operands, last.operands[::-1]):
        if (scaled := uses.made(product, "multiply")) is None:
            continue
        for y, scale in (scaled.operands, scaled.operands[::-1]):
            standard = uses.made(y, "standardize")
            if standard is not None and _is_over_last(standard, scale, shift):
                whole = [*standard.operands, scale, shift]
                made = Equation(_LAYER_NORM, whole, standard.params, last.outs, last.line)
                return [made], [standard, scaled]
    return None


def _is_over_last(standard: Equation, scale: Any, shift: Any) -> bool:
    """True for a scale and shift with the sizes of the axes that are standardized, the last."""
    x, axes = standard.outs[0], tuple(sorted(standard.params["axis"]))
    sizes = x.shape[len(x.shape) - len(axes) :]
    if axes != tuple(range(len(x.shape) - len(axes), len(x.shape))) or 0 in sizes:
        return False
    alike = (sizes, x.dtype)
    return all(type(v) is Value and (v.shape, v.dtype) == alike for v in (scale, shift))


# -- unbind ----------------------------------------------------------------------------------------
def with_unbind(graph: Graph) -> Graph:
    """All parts of a tensor along an axis, each taken by its number, as one call.

    The cotangent of one part alone is as large as the whole.
    """
    uses = _Uses(graph)
    parts: dict[Value, list[Equation]] = {}
    for e in graph.equations:
        if e.primitive.name == "index" and type(e.operands[0]) is Value:
            if len(e.params["key"]) == 1 and type(e.params["key"][0]) is int:
                parts.setdefault(e.operands[0], []).append(e)
    first: dict[Equation, list[Equation]] = {}
    others: set[Equation] = set()
    for x, taken in parts.items():
        n = x.shape[0]
        if type(n) is not int or n < 2 or uses.counts[x] != len(taken) or len(taken) != n:
            continue
        by_number = {e.params["key"][0] % n: e for e in taken}
        if len(by_number) != n:
            continue
        first[taken[0]] = _unbound(x, [by_number[i] for i in range(n)], uses)
        others.update(taken[1:])
    if not first:
        return graph
    kept = [new for e in graph.equations if e not in others for new in first.get(e, [e])]
    return graph.with_body(kept, graph.outputs)


def _unbound(x: Value, taken: list[Equation], uses: _Uses) -> list[Equation]:
    """The equations in the place of those that take the parts of `x`, in order.

    Of a transposed tensor along the axis as it was: its cotangent then lies in memory as it does.
    """
    unstack, line = primitive_named("unstack"), taken[0].line
    turned = uses.made(x, "transpose", len(taken))
    if turned is None:
        return [Equation(unstack, [x], {"axis": 0}, [e.outs[0] for e in taken], line)]
    axis, *rest = turned.params["axes"]
    order = tuple([a - (a > axis) for a in rest])
    shape = tuple([n for i, n in enumerate(turned.operands[0].shape) if i != axis])  # type: ignore[union-attr]
    made = [value_like(ShapeDtypeStruct(shape, x.dtype)) for _ in taken]
    return [
        Equation(unstack, turned.operands, {"axis": axis}, made, line),
        *[
            Equation(turned.primitive, [v], {"axes": order}, e.outs, e.line)
            for v, e in zip(made, taken)
        ],
    ]
