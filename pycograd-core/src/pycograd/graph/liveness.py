"""Where the values of a program live: which may share a buffer, and when each is dead.

A value that is sure to be new memory (the result of a ufunc) gets a buffer of the plan; a view
keeps the buffer of its base alive, and what an operation of unknown kind returns is taken for a
view of all its operands.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pycograd.core.elementwise import Elementwise
from pycograd.core.fit import is_narrow
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
        copied: indices of the outputs that must be handed out as copies.
        returned: the values whose memory is returned.
    """

    buffers: dict[Value, int] = field(default_factory=dict)
    views: list[tuple[tuple[int, ...], np.dtype[Any], int]] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    dead: dict[int, list[Value]] = field(default_factory=dict)
    copied: set[int] = field(default_factory=set)
    returned: set[Value] = field(default_factory=set)

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


def planned(graph: Graph, captured: Graph | None = None) -> Plan:
    """The plan of a graph of concrete shapes.

    `captured` is the graph before passes: what it returns as memory of its own stays so.
    """
    ends, aliases, returned = _lifetimes(graph)
    plan = Plan(copied=copied_outputs(graph, captured or graph))
    slots = _Slots(plan.slots)
    where: dict[Value, int] = {}  # a value with a buffer of its own -> its slot
    views: dict[Any, int] = {}
    dying_at: dict[int, list[Value]] = {}
    for value, at in ends.items():
        dying_at.setdefault(at, []).append(value)
    for i, equation in enumerate(graph.equations):
        out = equation.outs[0]
        dying = [v for v in dying_at.get(i, ()) if v in where]
        if takes_buffer(equation) and out not in returned:
            slot = _in_place(equation, i, dying, aliases, where)
            if slot is None:
                slot = slots.take(-(-max(nbytes(out), 1) // ALIGNMENT) * ALIGNMENT)
            else:
                dying = [v for v in dying if where[v] != slot]
            where[out] = slot
            key = out.shape, out.dtype, slot
            if key not in views:
                views[key] = len(plan.views)
                plan.views.append(key)
            plan.buffers[out] = views[key]
            if ends[out] == i:
                dying.append(out)
        for v in dying:
            slots.give(where[v])
    plan.dead = _dead_names(graph, plan)
    plan.returned = returned
    return plan


def nbytes(value: Value) -> int:
    """The size of a value in bytes."""
    return math.prod(value.shape) * value.dtype.itemsize


def ufunc_of(equation: Equation) -> np.ufunc | None:
    """The ufunc that an equation is, or of which it is the reduction with nothing added."""
    primitive = equation.primitive
    if isinstance(primitive, Reduction) and is_narrow(equation.outs[0].dtype):
        return None  # it adds up in 32 bits
    if isinstance(primitive, (Elementwise, Reduction)):
        found = getattr(primitive, "ufunc", None)
    else:
        found = primitive.impl
    return found if isinstance(found, np.ufunc) and found.nout == 1 else None


def is_fresh(equation: Equation) -> bool:
    """True if the result is sure to be new memory."""
    if equation.primitive.fresh:
        return equation.primitive.view is None and not equation.params.get("in_place")
    return ufunc_of(equation) is not None


def is_view(equation: Equation) -> bool:
    """True if the result is memory of the first operand."""
    return equation.primitive.view is not None


def takes_buffer(equation: Equation) -> bool:
    """True if the result can be written into a given array, and is more than one number."""
    if equation.primitive.multi or equation.outs[0].shape == ():
        return False
    reduces = isinstance(equation.primitive, Reduction)
    return ufunc_of(equation) is not None and (reduces or not equation.params)


def roots_of(graph: Graph) -> dict[Value, frozenset[Value]]:
    """For each value the values whose memory it may be."""
    roots = {v: frozenset([v]) for v in [*graph.inputs, *[v for v, _ in graph.constants]]}
    for equation in graph.equations:
        own = frozenset().union(*[roots[v] for v in equation.values])
        for v in equation.outs:
            roots[v] = frozenset([v]) if is_fresh(equation) else own | {v}
    return roots


def _lifetimes(graph: Graph) -> tuple[dict[Value, int], dict[Value, int], set[Value]]:
    """What becomes of the memory of each value, from the last equation to the first.

    Returns:
        The last equation that reads it, through other values that may be in it too; the last that
        reads it through those others; and the values whose memory is returned.
    """
    ends: dict[Value, int] = {}
    aliases: dict[Value, int] = {}
    returned = {x for x in graph.outputs if type(x) is Value}
    for i in range(len(graph.equations) - 1, -1, -1):
        equation = graph.equations[i]
        for v in equation.outs:
            ends.setdefault(v, i)
        if is_fresh(equation):
            for v in equation.values:
                ends.setdefault(v, i)
            continue
        last = max([ends[v] for v in equation.outs], default=i)
        kept = not returned.isdisjoint(equation.outs)
        for v in equation.values:
            ends[v] = max(ends.get(v, i), last)
            aliases[v] = max(aliases.get(v, i), last)
            if kept:
                returned.add(v)
    return ends, aliases, returned


def copied_outputs(graph: Graph, captured: Graph) -> set[int]:
    """The outputs that must be handed out as copies.

    Those are memory that the program keeps, numbers seen many times through strides of 0, and those
    that passes have made one with an input or with another output: what is written into a result
    must not be seen where it was not before.
    """
    kept = {v for v, _ in graph.constants}
    now, before = _memory_of_outputs(graph), _memory_of_outputs(captured)
    repeated = _repeated_outputs(graph)
    copied: set[int] = set()
    users: dict[Value, list[int]] = {}
    inputs = set(graph.inputs)
    for i, (memory, own) in enumerate(zip(now, before)):
        if memory & kept or (memory & inputs) - own or repeated[i]:
            copied.add(i)
            continue
        others = {j for v in memory for j in users.get(v, ())}
        if any(before[j].isdisjoint(own) for j in others):
            copied.add(i)
            continue
        for v in memory - inputs:
            users.setdefault(v, []).append(i)
    return copied


def _repeated_outputs(graph: Graph) -> list[bool]:
    """Which outputs are views of something repeated by broadcasting."""
    makers = {v: e for e in graph.equations for v in e.outs}

    def repeated(x: Any) -> bool:
        equation = makers.get(x)
        while equation is not None and is_view(equation):
            if equation.primitive.name == "broadcast_to":
                return True
            equation = makers.get(equation.operands[0])  # type: ignore[arg-type]
        return False

    return [repeated(x) for x in graph.outputs]


def _memory_of_outputs(graph: Graph) -> list[set[Value]]:
    """For each output the values whose memory it may be and that are not themselves views."""
    makers = {v: e for e in graph.equations for v in e.outs}
    found: list[set[Value]] = []
    for x in graph.outputs:
        memory: set[Value] = set()
        seen: set[Value] = set()
        stack = [x] if type(x) is Value else []
        while stack:
            v = stack.pop()
            if v in seen:
                continue
            seen.add(v)
            maker = makers.get(v)
            if maker is None or is_fresh(maker):
                memory.add(v)
            elif is_view(maker):
                stack += maker.values[:1]
            else:
                memory.add(v)
                stack += maker.values
        found.append(memory)
    return found


def _in_place(
    equation: Equation, i: int, dying: Sequence[Value], aliases: Any, where: dict[Value, int]
) -> int | None:
    """The slot of an operand that the result may be written over."""
    if not isinstance(equation.primitive, Elementwise):
        return None
    out = equation.outs[0]
    for x in equation.values:
        if x not in dying or x.shape != out.shape or x.dtype != out.dtype:
            continue
        if aliases.get(x, -1) < i:
            return where[x]
    return None


class _Slots:
    """The slots of a plan, by size; to take one and to give it back costs little."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes  # of all slots
        self.free: dict[int, list[int]] = {}
        self.order: list[int] = []  # the sizes of which some are free

    def take(self, size: int) -> int:
        """The smallest free slot that is large enough; else the largest, grown; or a new one."""
        if not self.order:
            self.sizes.append(size)
            return len(self.sizes) - 1
        at = min(bisect.bisect_left(self.order, size), len(self.order) - 1)
        slots = self.free[self.order[at]]
        slot = slots.pop()
        if not slots:
            del self.free[self.order.pop(at)]
        self.sizes[slot] = max(self.sizes[slot], size)
        return slot

    def give(self, slot: int) -> None:
        """Notes that a slot holds nothing any more."""
        size = self.sizes[slot]
        if size not in self.free:
            bisect.insort(self.order, size)
            self.free[size] = []
        self.free[size].append(slot)


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
