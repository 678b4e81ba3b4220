"""Schedules: the order in which equations run, some of them twice, and the memory that this takes.

A schedule is a list of steps over the equations of a graph. What is free after which step follows
from it: a value lives from the step that makes it to the last that reads it before it is made anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pycograd.core import lent
from pycograd.core.elementwise import Elementwise
from pycograd.core.errors import BudgetError
from pycograd.core.ir import Equation, Graph, Literal, Value, subgraphs
from pycograd.graph.liveness import is_view, nbytes, planned, roots_of, ufunc_of


class Step(NamedTuple):
    """`run` an equation, or `store` a value on disk or `load` it from there."""

    kind: str
    what: Any

    def reads(self) -> Sequence[Value]:
        if self.kind == "run":
            return self.what.values  # type: ignore[no-any-return]
        return (self.what,) if self.kind == "store" else ()

    def makes(self) -> Sequence[Value]:
        if self.kind == "run":
            return self.what.outs  # type: ignore[no-any-return]
        return (self.what,) if self.kind == "load" else ()


def in_order(graph: Graph) -> list[Step]:
    """The schedule of a graph as it stands."""
    return [Step("run", equation) for equation in graph.equations]


@dataclass
class Simulation:
    """What a schedule does to memory.

    Attributes:
        memory: bytes in use at each step, what it needs for a moment included; inputs and constants
            are not counted, outputs are.
        frees: the values that nothing reads after each step.
        over: for each step the operand whose memory the result is written over, or None.
    """

    memory: list[int]
    frees: list[list[Value]]
    over: list[Value | None]

    @property
    def peak(self) -> int:
        return max(self.memory, default=0)


def simulated(
    graph: Graph, steps: Sequence[Step], roots: dict[Value, frozenset[Value]] | None = None
) -> Simulation:
    """The memory of a schedule, step by step."""
    roots = roots_of(graph) if roots is None else roots
    given = {*graph.inputs, *[v for v, _ in graph.constants]}
    frees = _frees(graph, steps, given)
    users: Counter[Value] = Counter()  # values alive in the memory of each
    held: dict[Value, int] = {}
    live, memory, over = 0, [], []
    for step, dead in zip(steps, frees):
        made = step.makes()
        target = _written_over(step, dead, roots, users) if step.kind == "run" else None
        over.append(target)
        if target is not None:
            held[made[0]] = held.pop(target)
        else:
            for v in made:
                held[v] = 0 if step.kind == "run" and is_view(step.what) else nbytes(v)
                live += held[v]
        for v in made:
            users.update(roots[v] | {v})
        memory.append(live + (transient(step.what) if step.kind == "run" else 0))
        for v in dead:
            for r in roots[v] | {v}:
                users[r] -= 1
                if not users[r] and r in held:
                    live -= held.pop(r)
    return Simulation(memory, frees, over)


def _frees(graph: Graph, steps: Sequence[Step], given: set[Value]) -> list[list[Value]]:
    needed = {x for x in graph.outputs if type(x) is Value}
    frees: list[list[Value]] = []
    for step in reversed(steps):
        touched = dict.fromkeys((*step.reads(), *step.makes()))
        frees.append([v for v in touched if v not in needed and v not in given])
        needed.difference_update(step.makes())
        needed.update(step.reads())
    return frees[::-1]


def _written_over(
    step: Step, dead: Iterable[Value], roots: Any, users: Counter[Value]
) -> Value | None:
    """An operand that dies in this step and whose memory the result can take."""
    equation = step.what
    if not isinstance(equation.primitive, Elementwise) or ufunc_of(equation) is None:
        return None
    out = equation.outs[0]
    for x in dead:
        if x is out or x.shape != out.shape or x.dtype != out.dtype or not x.shape:
            continue
        if roots[x] == {x} and users[x] == 1:
            return x
    return None


def transient(equation: Equation) -> int:
    """What an equation needs besides its results while it runs; for unknown kinds a safe guess."""
    if inner := list(subgraphs(equation)):
        return max(planned(g).nbytes for g in inner)
    if ufunc_of(equation) is not None or is_view(equation):
        return 0
    return max(map(nbytes, (*equation.values, *equation.outs)), default=0)


# -- running ---------------------------------------------------------------------------------------
class Store:
    """Arrays on disk, in a folder of their own that is always removed."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.parent = folder
        self.folder: Path | None = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, name: str, array: Any) -> None:
        """Writes an array; what a full disk leaves behind is removed."""
        if self.folder is None:
            if self.parent is not None:
                Path(self.parent).mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix="pycograd-", dir=self.parent))
        part, whole = self.folder / f"{name}.part", self.folder / f"{name}.npy"
        try:
            with open(part, "wb") as file:
                np.save(file, array, allow_pickle=False)
            part.replace(whole)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise BudgetError(
                f"a value of {array.nbytes} bytes could not be spilled to {self.folder}: {error}."
                " Give a store_dir with more room, or plan with spill=False"
            ) from error

    def get(self, name: str) -> Any:
        """Reads an array and removes it from the disk."""
        assert self.folder is not None
        path = self.folder / f"{name}.npy"
        array = np.load(path, allow_pickle=False)
        path.unlink()
        return array


def run_steps(
    graph: Graph, steps: Sequence[Step], leaves: Sequence[Any], store_dir: Any = None
) -> tuple[list[Any], int]:
    """Runs a schedule on arrays: the outputs, and the most bytes that were in use at once."""
    simulation = simulated(graph, steps)
    known: dict[Value, Any] = dict(zip(graph.inputs, leaves))
    known.update(lent.current(graph.constants))
    names = graph.names()
    peak = 0
    with Store(store_dir) as store:
        for i, step in enumerate(steps):
            if step.kind == "store":
                store.put(names[step.what][1:], known[step.what])
            elif step.kind == "load":
                known[step.what] = store.get(names[step.what][1:])
            else:
                equation = step.what
                operands = [
                    x.number if isinstance(x, Literal) else known[x] for x in equation.operands
                ]
                target = simulation.over[i]
                if target is None:
                    outs = equation.run(operands, {})
                else:
                    ufunc: Any = ufunc_of(equation)
                    outs = (ufunc(*operands, out=known[target]),)
                del operands
                known.update(zip(equation.outs, outs))
                del outs
            peak = max(peak, simulation.memory[i])
            for v in simulation.frees[i]:
                known.pop(v, None)
    outputs = [x.number if isinstance(x, Literal) else known[x] for x in graph.outputs]
    return outputs, peak
