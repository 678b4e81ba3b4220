"""Where the values of a program live: which may share a buffer, and when each is dead.

A value that is sure to be new memory (the result of a ufunc) gets a buffer of the plan; a view
keeps the buffer of its base alive, and what an operation of unknown kind returns is taken for a
view of all its operands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pycograd.core.elementwise import Elementwise
from pycograd.core.ir import Equation, Graph, Value
from pycograd.core.linear import Reduction

ALIGNMENT = 64  # bytes, a cache line


@dataclass
class Plan:
    """The plan of a program.

    Attributes:
        buffers: value -> number of the view that it is written into.
        views: shape, dtype and slot of each view.
        slots: the size of each slot, in bytes.
        dead: index of an equation -> the names that nothing reads after it.
        copied: outputs that are memory of the graph's own and must be handed out as copies.
    """

    buffers: dict[Value, int] = field(default_factory=dict)
    views: list[tuple[tuple[int, ...], np.dtype[Any], int]] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    dead: dict[int, list[Value]] = field(default_factory=dict)
    copied: set[Value] = field(default_factory=set)

    def frame(self) -> list[Any]:
        """New memory for the buffers of one call."""
        slots = [aligned(size) for size in self.slots]
        return [
            slots[slot][: math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
            for shape, dtype, slot in self.views
        ]

    @property
    def nbytes(self) -> int:
        """The memory of one set of buffers."""
        return sum(self.slots)


def aligned(size: int) -> Any:
    """Bytes that begin at a cache line."""
    raw: Any = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


def planned(graph: Graph) -> Plan:
    """The plan of a graph of concrete shapes."""
    roots = roots_of(graph)
    last = _last_uses(graph, roots)
    returned = {r for x in graph.outputs if type(x) is Value for r in roots[x]}
    owners = {v for v, _ in graph.constants}
    plan = Plan()
    plan.copied = {x for x in graph.outputs if type(x) is Value and roots[x] & owners}
    free: list[int] = []  # slots that hold nothing
    where: dict[Value, int] = {}  # a value with a buffer of its own -> its slot
    views: dict[Any, int] = {}
    ends: dict[int, list[Value]] = {}
    for value, at in last.items():
        ends.setdefault(at, []).append(value)
    for i, equation in enumerate(graph.equations):
        out = equation.outs[0]
        dying = [v for v in ends.get(i, ()) if v in where]
        if takes_buffer(equation) and out not in returned:
            size = -(-max(nbytes(out), 1) // ALIGNMENT) * ALIGNMENT
            slot = _in_place(equation, dying, roots, where)
            if slot is None:
                slot = _taken(free, plan.slots, size)
            else:
                dying = [v for v in dying if where[v] != slot]
            where[out] = slot
            key = out.shape, out.dtype, slot
            if key not in views:
                views[key] = len(plan.views)
                plan.views.append(key)
            plan.buffers[out] = views[key]
        free += [where[v] for v in dying]
        if out in where and last.get(out) == i:
            free.append(where[out])
    plan.dead = _dead_names(graph, plan)
    return plan


def nbytes(value: Value) -> int:
    """The size of a value in bytes."""
    return math.prod(value.shape) * value.dtype.itemsize


def ufunc_of(primitive: Any) -> np.ufunc | None:
    """The ufunc that a primitive is, or of which it is the reduction."""
    if isinstance(primitive, (Elementwise, Reduction)):
        found = getattr(primitive, "ufunc", None)
    else:
        found = primitive.impl
    return found if isinstance(found, np.ufunc) and found.nout == 1 else None


def is_fresh(equation: Equation) -> bool:
    """True if the result is sure to be new memory."""
    return equation.primitive.fresh or ufunc_of(equation.primitive) is not None


def is_view(equation: Equation) -> bool:
    """True if the result is memory of the first operand."""
    return equation.primitive.view is not None


def takes_buffer(equation: Equation) -> bool:
    """True if the result can be written into a given array, and is more than one number."""
    return is_fresh(equation) and equation.outs[0].shape != () and not equation.primitive.multi


def roots_of(graph: Graph) -> dict[Value, frozenset[Value]]:
    """For each value the values whose memory it may be."""
    roots = {v: frozenset([v]) for v in [*graph.inputs, *[v for v, _ in graph.constants]]}
    for equation in graph.equations:
        own = frozenset().union(*[roots[v] for v in equation.values])
        for v in equation.outs:
            roots[v] = frozenset([v]) if is_fresh(equation) else own | {v}
    return roots


def _last_uses(graph: Graph, roots: dict[Value, frozenset[Value]]) -> dict[Value, int]:
    """The last equation that reads the memory of each value that is not returned."""
    last: dict[Value, int] = {}
    for i, equation in enumerate(graph.equations):
        for v in (*equation.values, *equation.outs):
            last.update(dict.fromkeys(roots[v], i))
    return last


def _in_place(
    equation: Equation, dying: Sequence[Value], roots: Any, where: dict[Value, int]
) -> int | None:
    """The slot of an operand that the result may be written over."""
    if not isinstance(equation.primitive, Elementwise):
        return None
    out = equation.outs[0]
    for x in equation.values:
        if x not in dying or x.shape != out.shape or x.dtype != out.dtype:
            continue
        if all(y is x or x not in roots[y] for y in equation.values):
            return where[x]
    return None


def _taken(free: list[int], slots: list[int], size: int) -> int:
    """The smallest free slot that is large enough; else the largest, grown; else a new one."""
    if not free:
        slots.append(size)
        return len(slots) - 1
    fitting = [s for s in free if slots[s] >= size]
    found = min(fitting, key=slots.__getitem__) if fitting else max(free, key=slots.__getitem__)
    free.remove(found)
    slots[found] = max(slots[found], size)
    return found


def _dead_names(graph: Graph, plan: Plan) -> dict[int, list[Value]]:
    """Which variables of the program to delete after which equation, so that memory is freed."""
    last: dict[Value, int] = {}
    for i, equation in enumerate(graph.equations):
        last.update(dict.fromkeys(equation.outs, i))
        last.update(dict.fromkeys(equation.values, i))
    keep = {x for x in graph.outputs if type(x) is Value} | set(graph.inputs)
    keep |= {v for v, _ in graph.constants}
    dead: dict[int, list[Value]] = {}
    for v, i in last.items():
        if v not in keep and v not in plan.buffers and v.shape:
            dead.setdefault(i, []).append(v)
    return dead
