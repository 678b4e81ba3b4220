"""Sub-graphs compiled: each to a program of its own, a scan to one function with the loop in it.

In a loop the values of a step live in buffers that are taken once a call. Results are written into
their rows, a carry into the other of two buffers, or into its row where its history is kept; a sum
that is carried is added to in place. What depends on no step is computed before the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from pycograd.core.elementwise import Elementwise
from pycograd.core.ir import Atom, Equation, Graph, Value
from pycograd.graph.executor import Program, Writer, compiled
from pycograd.graph.liveness import is_fresh, roots_of, takes_buffer
from pycograd.graph.passes import optimize
from pycograd.graph.rewrite import without_unused

_PROGRAMS: WeakKeyDictionary[Graph, dict[Any, Any]] = WeakKeyDictionary()


def program(graph: Graph) -> Any:
    """The program of a sub-graph, compiled when it is first asked for."""
    known = _PROGRAMS.setdefault(graph, {})
    if "whole" not in known:
        known["whole"] = Program(optimize(graph, licence="exact"))
    return known["whole"].run


def scan(
    operands: Sequence[Any], body: Graph, parts: Any, length: int, reverse: bool, saved: Any
) -> tuple[Any, ...]:
    """Runs a scan on arrays; see `transforms.control.scan`."""
    known = _PROGRAMS.setdefault(body, {})
    key = tuple(parts), reverse, saved
    if key not in known:
        known[key] = Loop(body, tuple(parts), reverse, saved)
    found: tuple[Any, ...] = known[key](length, operands)
    return found


class Loop:
    """A compiled scan.

    Attributes:
        source: the text of the generated function.
    """

    __slots__ = ("source", "run", "before", "count", "closed", "__weakref__")

    def __init__(self, body: Graph, parts: tuple[int, int], reverse: bool, saved: Any) -> None:
        closed, carry = parts
        fixed, step = split(optimize(body, licence="exact"), closed)
        self.before, self.closed = Program(fixed) if fixed.outputs else None, closed
        self.count = len(fixed.outputs)
        closed += len(fixed.outputs)
        writer = _LoopWriter(step, closed, carry, reverse, saved)
        self.source = writer.source()
        self.run: Any = compiled(self, self.source, f"loop of {body.name}", writer.scope)

    def __call__(self, length: int, operands: Sequence[Any]) -> tuple[Any, ...]:
        if self.before is None:
            found: tuple[Any, ...] = self.run(length, *operands)
            return found
        closed, rest = operands[: self.closed], operands[self.closed :]
        fixed = self.before(*closed) if length else [None] * self.count
        found = self.run(length, *closed, *fixed, *rest)
        return found


def split(body: Graph, closed: int) -> tuple[Graph, Graph]:
    """What does not change from step to step, and the rest with that among what it closes over."""
    known = {*body.inputs[:closed], *[v for v, _ in body.constants]}
    fixed, rest = [], []
    for equation in body.equations:
        if known.issuperset(equation.values):
            fixed.append(equation)
            known.update(equation.outs)
        else:
            rest.append(equation)
    read = {v for e in rest for v in e.values} | {x for x in body.outputs if type(x) is Value}
    given = [v for e in fixed for v in e.outs if v in read]
    before = Graph(body.inputs[:closed], body.constants, fixed, given, name=f"start of {body.name}")
    inputs = [*body.inputs[:closed], *given, *body.inputs[closed:]]
    step = Graph(inputs, body.constants, rest, body.outputs, name=body.name)
    return without_unused(before), without_unused(step)


class _LoopWriter(Writer):
    """The text of a loop."""

    def __init__(self, step: Graph, closed: int, carry: int, reverse: bool, saved: Any) -> None:
        super().__init__(step)
        self.reverse, self.saved = reverse, tuple(saved)
        self.scope.update(copyto=np.copyto, array=np.array)
        self.fixed = step.inputs[:closed]
        self.carry, self.rows = step.inputs[closed : closed + carry], step.inputs[closed + carry :]
        self.carry_outs, self.row_outs = step.outputs[:carry], step.outputs[carry:]
        self.makers = {v: e for e in step.equations for v in e.outs}
        self.targets: dict[Value, str] = {}  # where results of the step are written at once

    def source(self) -> str:
        graph, plan = self.graph, self.plan
        for prefix, values in (("q", self.fixed), ("u", self.carry), ("x", self.rows)):
            for i, value in enumerate(values):
                self.names[value] = f"{prefix}{i}"
        arguments = [self.names[v] for v in self.fixed]
        arguments += [f"i{i}" for i in range(len(self.carry))]
        arguments += [f"r{i}" for i in range(len(self.rows))]
        for value, array in graph.constants:
            self.names[value] = self.given("held_", array)
        start, turns, ends, outs = self._carries()
        walked, stores, made, results = self._results()
        walked += [(f"x{i}", self._ordered(f"r{i}")) for i in range(len(self.rows))]
        walked += [(f"w{i}", self._history_rows(i)) for i in self.saved if self._is_array(i)]
        for i, equation in enumerate(graph.equations):
            for value in equation.outs:
                buffer = plan.buffers.get(value)
                self.names[value] = self.targets.get(value) or (
                    f"v{len(self.names)}" if buffer is None else f"b{buffer}"
                )
            self.write(i, equation)
        step = [*self.lines, *self._lines(stores), *self._lines(turns)] or ["pass"]
        if walked:
            names, arrays = ", ".join(n for n, _ in walked), ", ".join(a for _, a in walked)
            loop = f"for {names}, in zip({arrays}):"
        else:
            loop = "for _ in range(n):"
        lines = [
            *self.frame_lines(),
            *start,
            *made,
            loop,
            *[f"    {line}" for line in step],
            *ends,
            *(["give(held)"] if plan.views else []),
            f"return ({', '.join([*outs, *results, *self._histories()])},)",
        ]
        head = f"def run({', '.join(['n', *arguments])}):\n"
        return head + "".join(f"    {line}\n" for line in lines)

    def is_given(self, value: Value) -> bool:
        return value in self.targets or super().is_given(value)

    # -- carries ---------------------------------------------------------------------------------
    def _is_array(self, i: int) -> bool:
        return bool(self.carry[i].shape)

    def _carries(self) -> tuple[list[str], list[Any], list[str], list[str]]:
        """Lines before the loop, what ends a step, lines after the loop, and the results."""
        start, turns, ends, outs = [], [], [], []
        for i, (value, out) in enumerate(zip(self.carry, self.carry_outs)):
            outs.append(f"u{i}")
            if not self._is_array(i):
                start.append(f"u{i} = i{i}")
                turns.append(("scalar", i, out))
                if i in self.saved:
                    start.append(f"l{i} = [u{i}]")
                    turns.append(("note", i, out))
                continue
            shape = f"{value.shape!r}"
            if i in self.saved:
                dtype = self.given("dtype_", value.dtype)
                start.append(f"h{i} = empty((n + 1, *{shape}), {dtype})")
                start.append(f"u{i} = h{i}[{'n' if self.reverse else '0'}]")
                start.append(f"u{i}[...] = i{i}")
                ends.append(f"u{i} = u{i}.copy()")
            else:
                start.append(f"u{i} = array(i{i}, order='C')")
                if self._added_to(value, out):
                    self.targets[out] = f"u{i}"  # type: ignore[index]
                    continue
                start.append(f"w{i} = empty({shape}, u{i}.dtype)")
            direct = self._direct(out, f"w{i}")
            turns.append(("carry" if direct else "copied carry", i, out))
        return start, turns, ends, outs

    def _direct(self, out: Atom, target: str) -> bool:
        """True if the equation that makes `out` may write it into `target`."""
        maker = self.makers.get(out) if type(out) is Value else None
        if maker is None or out in self.targets or not takes_buffer(maker):
            return False
        self.targets[out] = target  # type: ignore[index]
        return True

    def _added_to(self, value: Value, out: Atom) -> bool:
        """True if `out` may be written over the carry that goes in: nothing reads it afterwards."""
        maker = self.makers.get(out) if type(out) is Value else None
        if maker is None or out in self.targets or not takes_buffer(maker):
            return False
        if not isinstance(maker.primitive, Elementwise) or value not in maker.operands:
            return False
        roots = roots_of(self.graph)
        at = self.graph.equations.index(maker)
        read = [v for v in maker.values if v is not value]
        read += [v for e in self.graph.equations[at + 1 :] for v in e.values if v is not out]
        read += [x for x in self.graph.outputs if type(x) is Value and x is not out]
        return not any(value in roots[v] for v in read)

    def _history_rows(self, i: int) -> str:
        return f"h{i}[:n][::-1]" if self.reverse else f"h{i}[1:]"

    def _histories(self) -> list[str]:
        found = []
        for i in self.saved:
            if self._is_array(i):
                found.append(f"h{i}")
            else:
                dtype = self.given("dtype_", self.carry[i].dtype)
                found.append(f"array(l{i}{'[::-1]' if self.reverse else ''}, {dtype})")
        return found

    # -- results of each step --------------------------------------------------------------------
    def _results(self) -> tuple[list[Any], list[Any], list[str], list[str]]:
        """What is walked along, what stores the results, lines before the loop, the results."""
        walked, stores, made, results = [], [], [], []
        for i, out in enumerate(self.row_outs):
            dtype = self.given("dtype_", out.dtype if type(out) is Value else out.aval.dtype)
            shape = out.shape if type(out) is Value else out.aval.shape
            if not shape:
                made.append(f"s{i} = []")
                stores.append(("append", i, out))
                results.append(f"array(s{i}{'[::-1]' if self.reverse else ''}, {dtype})")
                continue
            made.append(f"o{i} = empty((n, *{shape!r}), {dtype})")
            walked.append((f"y{i}", self._ordered(f"o{i}")))
            results.append(f"o{i}")
            if not self._direct(out, f"y{i}"):
                stores.append(("row", i, out))
        return walked, stores, made, results

    def _ordered(self, rows: str) -> str:
        return f"{rows}[::-1]" if self.reverse else rows

    def _lines(self, stores: Sequence[Any]) -> list[str]:
        """The ends of a step; carries turn all at once."""
        lines, left, right = [], [], []
        for kind, i, out in stores:
            text = self._text(out)
            if kind == "append":
                lines.append(f"s{i}.append({text})")
            elif kind == "row":
                lines.append(f"copyto(y{i}, {text})")
            elif kind == "note":
                left.append(f"_{i}")
                right.append(f"l{i}.append({self._scalar(out)})")
            elif kind == "scalar":
                left.append(f"u{i}")
                right.append(self._scalar(out))
            else:
                if kind == "copied carry":
                    lines.append(f"copyto(w{i}, {text})")
                if i in self.saved:
                    left.append(f"u{i}")
                    right.append(f"w{i}")
                else:
                    left += [f"u{i}", f"w{i}"]
                    right += [f"w{i}", f"u{i}"]
        if left:
            lines.append(f"{', '.join(left)} = {', '.join(right)}")
        return lines

    def _text(self, x: Atom) -> str:
        return self.names[x] if type(x) is Value else self.parameter(x.number)  # type: ignore[union-attr]

    def _scalar(self, x: Atom) -> str:
        """A number that no memory of the loop holds."""
        maker: Equation | None = self.makers.get(x) if type(x) is Value else None
        if type(x) is not Value or (maker is not None and is_fresh(maker)) or x in self.carry:
            return self._text(x)
        return f"asarray({self._text(x)})[()]"
