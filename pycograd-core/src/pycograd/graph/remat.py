"""Rematerialisation: a schedule of a graph that fits a memory budget.

An *activation* is a value that waits between two of its uses. Keeping it costs memory; it can be
dropped and computed again before the next use, with what that needs, or spilled to a disk.
"""

from __future__ import annotations

import enum
import heapq
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pycograd.core.errors import BudgetError
from pycograd.core.ir import Equation, Graph, Value, value_like
from pycograd.core.tree import tree_unflatten
from pycograd.graph.cost import DEFAULT_COST_MODEL, CostModel, si
from pycograd.graph.liveness import nbytes, roots_of
from pycograd.graph.schedule import Simulation, Step, in_order, run_steps, simulated

if TYPE_CHECKING:
    from pycograd.graph.show import View

EXACT_UP_TO: Final = 8  # activations, whose subsets are all tried


class Decision(enum.Enum):
    """What happens to an activation between two uses.

    >>> Decision("spill")
    <Decision.SPILL: 'spill'>
    """

    KEEP = "keep"
    RECOMPUTE = "recompute"
    SPILL = "spill"


@dataclass
class RematPlan:
    """How a graph is to run within a budget; made by `plan_remat`.

    Attributes:
        budget: in bytes.
        decisions: the name of each activation (`%7`) -> what happens to it.
        steps: the schedule.
        peak: the most bytes in use at once, outputs included, inputs and constants apart.
        unplanned_peak: the same for the graph as it stands.
        seconds: the time that the plan adds, by the cost model.
        feasible: whether the peak is within the budget; if not, this is the plan of the smallest
            peak that was found.

    >>> import numpy as np
    >>> plan = plan_remat(capture(np.sin, np.ones(1000)), 10_000)
    >>> print(plan)
    8kB of 8kB (fits into 10kB): 0 keep, 0 recompute, 0 spill; 0s more
    """

    graph: Graph = field(repr=False)
    budget: int
    decisions: dict[str, Decision]
    steps: list[Step] = field(repr=False)
    peak: int
    unplanned_peak: int
    seconds: float
    feasible: bool

    def __str__(self) -> str:
        counts = {d: sum(x is d for x in self.decisions.values()) for d in Decision}
        text = ", ".join(f"{n} {d.value}" for d, n in counts.items())
        verdict = "fits" if self.feasible else "does not fit"
        return (
            f"{si(self.peak)}B of {si(self.unplanned_peak)}B ({verdict} into {si(self.budget)}B):"
            f" {text}; {si(self.seconds)}s more"
        )

    def show(self) -> View:
        """The memory over time, before and after, with the budget and what is run again or spilled.

        Returns:
            What a notebook draws and a terminal prints; `.save(path)` writes the picture.

        >>> import numpy as np
        >>> graph = capture(lambda x: np.sum(np.sin(x) * np.cos(x)), np.ones(100))
        >>> plan_remat(graph, 10_000).show().svg[:4]
        '<svg'
        """
        from pycograd.graph.show import shown_plan  # drawing is loaded by those who draw

        return shown_plan(self)


class _Planner:
    """The search for decisions over the activations of one graph."""

    def __init__(self, graph: Graph, budget: int, model: CostModel, spill: bool) -> None:
        self.graph, self.budget, self.model, self.spill = graph, budget, model, spill
        self.roots = roots_of(graph)
        self.maker: dict[Value, int] = {}
        self.group: dict[Value, list[Value]] = {}  # a value -> those that are in its memory
        uses: dict[Value, list[int]] = {}
        for i, equation in enumerate(graph.equations):
            for v in equation.outs:
                self.maker[v] = i
                for r in self.roots[v]:
                    self.group.setdefault(r, []).append(v)
            for r in {r for v in equation.values for r in self.roots[v]}:
                uses.setdefault(r, []).append(i)
        # What nothing reads any more after an equation is gone, for a recomputation too.
        self.gone: dict[int, list[Value]] = {}
        kept = {*graph.inputs, *[v for v, _ in graph.constants], *graph.outputs}
        for i, values in graph.last_uses().items():
            self.gone[i] = [v for v in values if v not in kept]
        self.cost = [model.seconds(e) for e in graph.equations]
        returned = {r for x in graph.outputs if type(x) is Value for r in self.roots[x]}
        # activation -> the equation after which it waits, and the one that it waits for
        self.gaps: dict[Value, tuple[int, int]] = {}
        for v, made in self.maker.items():
            if self.roots[v] != {v} or v in returned or not v.shape:
                continue
            at = [made, *uses.get(v, [])]
            width, start, end = max(
                ((b - a, a, b) for a, b in itertools.pairwise(at)), default=(0, 0, 0)
            )
            if width > 1:
                self.gaps[v] = start, end

    # -- schedules -------------------------------------------------------------------------------
    def steps(self, decisions: Mapping[Value, Decision]) -> list[Step]:
        """The schedule that the decisions make."""
        equations = self.graph.equations
        leave: dict[int, list[Value]] = {}
        for v, decision in decisions.items():
            if decision is not Decision.KEEP:
                leave.setdefault(self.gaps[v][0], []).append(v)
        missing: set[Value] = set()
        stored: set[Value] = set()
        steps: list[Step] = []

        def bring(equation: Equation) -> None:
            """Makes the operands of an equation again where they are missing."""
            stack = [equation]
            while stack:
                wanted = [v for v in stack[-1].values if v in missing]
                for v in list(wanted):
                    if v in stored:
                        steps.append(Step("load", v))
                        missing.discard(v)
                        stored.discard(v)
                        wanted.remove(v)
                if wanted:
                    stack.append(equations[self.maker[wanted[-1]]])
                    continue
                again = stack.pop()
                if stack:
                    steps.append(Step("run", again))
                    missing.difference_update(again.outs)

        for i, equation in enumerate(equations):
            bring(equation)
            steps.append(Step("run", equation))
            missing.difference_update(equation.outs)
            for v in leave.get(i, ()):
                if decisions[v] is Decision.SPILL:
                    steps.append(Step("store", v))
                    stored.add(v)
                missing.update(u for u in self.group[v] if self.maker[u] <= i)
            missing.update(self.gone.get(i, ()))
        return steps

    def added(self, steps: Iterable[Step]) -> float:
        """The time that a schedule takes besides that of the graph."""
        total, ran = 0.0, [False] * len(self.cost)
        for step in steps:
            if step.kind == "run":
                i = self.maker[step.what.outs[0]]
                total += self.cost[i] if ran[i] else 0.0
                ran[i] = True
            else:
                total += nbytes(step.what) / self.model.disk
        return total

    def tried(self, decisions: Mapping[Value, Decision]) -> tuple[list[Step], Simulation]:
        steps = self.steps(decisions)
        return steps, simulated(self.graph, steps, self.roots)

    # -- searches --------------------------------------------------------------------------------
    def search(self) -> dict[Value, Decision]:
        """The decisions of least added time that fit, or else of the least peak."""
        first = simulated(self.graph, in_order(self.graph), self.roots)
        if first.peak <= self.budget:
            return {}
        worth = [v for v in self.gaps if nbytes(v) * 1000 >= first.peak]
        if len(worth) <= EXACT_UP_TO and not self.spill:
            return self._exactly(worth)
        found = self._greedily(worth, Decision.RECOMPUTE, {}, first)
        if self.spill and self.tried(found)[1].peak > self.budget:
            found = self._greedily(worth, Decision.SPILL, found, self.tried(found)[1])
        return self._without_needless(found)

    def _exactly(self, worth: list[Value]) -> dict[Value, Decision]:
        best: tuple[Any, ...] = (True, math.inf, math.inf)
        chosen: dict[Value, Decision] = {}
        for count in range(len(worth) + 1):
            for subset in itertools.combinations(worth, count):
                decisions = dict.fromkeys(subset, Decision.RECOMPUTE)
                steps, simulation = self.tried(decisions)
                over = simulation.peak > self.budget
                added = self.added(steps)
                rank = over, simulation.peak if over else 0, added
                if rank < best:
                    best, chosen = rank, decisions
        return chosen

    def _greedily(
        self,
        worth: list[Value],
        decision: Decision,
        decisions: dict[Value, Decision],
        simulation: Simulation,
    ) -> dict[Value, Decision]:
        """Drops the activation that helps most, one after the other, while that helps at all.

        What one helps rarely grows when others are dropped, so an activation is only looked at
        again when what it helped before is the most that any promises.
        """
        decisions = dict(decisions)
        excess = self._excess(simulation)

        def left_by(v: Value) -> int:
            return self._excess(self.tried({**decisions, v: decision})[1])

        promised = [
            (left_by(v) - excess, i, v)
            for i, v in enumerate(worth)
            if decisions.get(v) is not decision
        ]
        heapq.heapify(promised)
        while excess > 0 and promised:
            gain, i, v = heapq.heappop(promised)
            if gain >= 0:
                break
            now = left_by(v) - excess
            if promised and now > promised[0][0]:
                heapq.heappush(promised, (now, i, v))
            elif now < 0:
                decisions[v] = decision
                excess += now
        return decisions

    def _excess(self, simulation: Simulation) -> int:
        """What is over the budget, high peaks more than wide ones."""
        return sum((m - self.budget) ** 2 for m in simulation.memory if m > self.budget)

    def _without_needless(self, decisions: dict[Value, Decision]) -> dict[Value, Decision]:
        """Keeps again what need not be dropped, the dearest first."""
        if self.tried(decisions)[1].peak > self.budget:
            return decisions
        for v in sorted(decisions, key=lambda v: -self.cost[self.maker[v]]):
            fewer = {u: d for u, d in decisions.items() if u is not v}
            if self.tried(fewer)[1].peak <= self.budget:
                decisions = fewer
        return decisions


def plan_remat(
    graph: Graph,
    budget_bytes: int,
    model: CostModel = DEFAULT_COST_MODEL,
    spill: bool = True,
) -> RematPlan:
    """A schedule of `graph` whose memory stays within a budget.

    Arguments:
        graph: of concrete shapes; that of a gradient, as a rule.
        budget_bytes: for everything but the inputs and constants: results and values on the way.
        model: the machine, by which recomputing and spilling are compared.
        spill: whether values may go to a disk where recomputing is not enough.

    Returns:
        A `RematPlan`. Its `feasible` says whether the budget can be kept; `eval_scheduled` runs it.

    >>> import numpy as np
    >>> def f(x):
    ...     for _ in range(16):
    ...         x = np.sin(x)
    ...     return np.sum(x)
    >>> graph = capture(grad(f), np.ones(1000))
    >>> plan = plan_remat(graph, 80_000)
    >>> plan.feasible, plan.peak <= 80_000 < plan.unplanned_peak
    (True, True)
    """
    planner = _Planner(graph, budget_bytes, model, spill)
    decisions = planner.search()
    steps, simulation = planner.tried(decisions)
    names = graph.names()
    return RematPlan(
        graph,
        budget_bytes,
        {names[v]: decisions.get(v, Decision.KEEP) for v in planner.gaps},
        steps,
        simulation.peak,
        simulated(graph, in_order(graph), planner.roots).peak,
        planner.added(steps),
        simulation.peak <= budget_bytes,
    )


def apply_remat_plan(graph: Graph, plan: RematPlan) -> Graph:
    """The graph with the recomputation of a plan written out, in the plan's order.

    Values that the plan spills are kept: a graph knows no disk.

    Arguments:
        graph: the one that was planned.
        plan: what `plan_remat` returned.

    Returns:
        An equal graph; as it stands it takes the memory of the plan.

    >>> import numpy as np
    >>> graph = capture(lambda x: np.sum(np.sin(np.sin(x))), np.ones(8))
    >>> apply_remat_plan(graph, plan_remat(graph, 1000))
    <graph of <lambda>: 3 equations>
    """
    now: dict[Value, Any] = {}
    equations = []
    for step in plan.steps:
        if step.kind != "run":
            continue
        old: Equation = step.what
        outs = [value_like(v) if v in now else v for v in old.outs]
        operands = [now.get(x, x) if type(x) is Value else x for x in old.operands]
        equations.append(Equation(old.primitive, operands, old.params, outs, old.line))
        now.update(zip(old.outs, outs))
    outputs = [now.get(x, x) if type(x) is Value else x for x in graph.outputs]
    return graph.with_body(equations, outputs)


def eval_scheduled(
    graph: Graph, *inputs: Any, plan: RematPlan, store_dir: Any = None
) -> tuple[Any, int]:
    """Runs a graph as a plan says.

    Arguments:
        graph: the one that was planned.
        inputs: its arguments.
        plan: what `plan_remat` returned.
        store_dir: the folder for spilled values; the system's temporary one if left out. What is
            written there is removed, also after an error.

    Returns:
        `(out, peak)`: exactly what the graph returns, and the most bytes in use at once.

    Raises:
        BudgetError: the plan does not fit its budget, before anything is computed.

    >>> import numpy as np
    >>> graph = capture(lambda x: np.sum(np.sin(np.sin(x))), np.ones(8))
    >>> out, peak = eval_scheduled(graph, np.ones(8), plan=plan_remat(graph, 200))
    >>> bool(out == graph(np.ones(8))), peak <= 200
    (True, True)
    """
    if plan.graph is not graph:
        raise BudgetError("eval_scheduled: the plan was made for another graph; plan this one")
    if not plan.feasible:
        raise BudgetError(
            f"eval_scheduled: no schedule was found that fits into {plan.budget} bytes; the plan"
            f" that came nearest takes {plan.peak} bytes, {plan.unplanned_peak} are used unplanned"
        )
    leaves = graph.flat(inputs, {})
    graph.sizes(leaves)
    outputs, peak = run_steps(graph, plan.steps, leaves, store_dir)
    return tree_unflatten(graph.out_tree, outputs), peak
