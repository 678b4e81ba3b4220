"""What a graph costs: operations, bytes moved and the time that a machine takes for them.

An equation takes as long as its arithmetic or its memory traffic, whichever is longer (the roofline
model), and one call besides.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from pycograd.core.ir import Equation, Graph, Value, equation_text, subgraphs
from pycograd.graph.liveness import is_view, nbytes
from pycograd.graph.schedule import in_order, simulated


@dataclass(frozen=True)
class CostModel:
    """How fast a machine is.

    Attributes:
        cheap: entries a second of additions, comparisons and their like.
        transcendental: entries a second of exponentials, logarithms and their like.
        contraction: floating-point operations a second of matrix products.
        factorization: floating-point operations a second of solvers and decompositions.
        bandwidth: bytes a second that memory gives or takes.
        disk: bytes a second that are written to or read from a disk.
        call: seconds that each equation takes whatever its size.

    >>> import numpy as np
    >>> graph = capture(np.exp, np.ones(1000))
    >>> cost_report(graph, CostModel(transcendental=1e6, call=0.0)).seconds
    0.001
    """

    cheap: float = 2e9
    transcendental: float = 3e8
    contraction: float = 4e10
    factorization: float = 5e9
    bandwidth: float = 1e10
    disk: float = 1e9
    call: float = 1e-6

    def seconds(self, equation: Equation) -> float:
        """The time that an equation takes."""
        if inner := list(subgraphs(equation)):
            return self.call + sum(self.seconds(e) for g in inner for e in g.equations)
        rates: dict[str, float] = {"memory": self.cheap, **vars(self)}
        arithmetic = flops(equation) / rates[equation.primitive.cost]
        return self.call + max(arithmetic, traffic(equation) / self.bandwidth)


DEFAULT_COST_MODEL: Final = CostModel()


def flops(equation: Equation) -> int:
    """The operations of an equation; those of an elementwise function are one an entry."""
    out, kind = equation.outs[0], equation.primitive.cost
    if is_view(equation) or kind == "memory":
        return 0
    sizes: list[int] = [math.prod(v.shape) for v in equation.values]
    written: int = math.prod(out.shape)
    if kind == "contraction":
        return 2 * _contracted(equation)
    if kind == "factorization" and equation.values and len(equation.values[0].shape) > 1:
        order: int = equation.values[0].shape[-1]
        return sizes[0] * order
    return max([written, *sizes])


def _contracted(equation: Equation) -> int:
    """The products that a contraction adds up."""
    shapes = [x.shape if type(x) is Value else () for x in equation.operands]
    if equation.primitive.products is not None:
        return equation.primitive.products(*shapes, equation.outs[0].shape)
    spec = equation.params.get("spec")
    if spec is None:
        return math.prod(equation.outs[0].shape) * (shapes[0][-1] if shapes[0] else 1)
    size: dict[str, int] = {}
    for labels, shape in zip(spec.partition("->")[0].split(","), shapes):
        size.update(zip(labels, shape))
    return math.prod(size.values())


def traffic(equation: Equation) -> int:
    """The bytes that an equation reads and writes."""
    if is_view(equation):
        return 0
    return sum(map(nbytes, equation.values)) + sum(map(nbytes, equation.outs))


@dataclass(frozen=True)
class Row:
    """The cost of one equation, and the memory in use while it runs."""

    equation: str
    line: str
    flops: int
    traffic: int
    seconds: float
    memory: int


@dataclass(frozen=True)
class CostReport:
    """What a graph costs.

    Attributes:
        rows: one for each equation.
        flops, traffic, seconds: the sums; bytes and seconds by the model.
        peak: the most bytes in use at once when values are freed after their last use, inputs and
            constants apart; `peak_at` is the index of the equation.
    """

    rows: tuple[Row, ...]
    flops: int
    traffic: int
    seconds: float
    peak: int
    peak_at: int

    def __str__(self) -> str:
        lines = [f"{'flops':>9} {'bytes':>9} {'seconds':>9} {'in use':>9}  equation"]
        for i, row in enumerate(self.rows):
            mark = "  <- peak" if i == self.peak_at else ""
            lines.append(
                f"{si(row.flops):>9} {si(row.traffic):>9} {si(row.seconds):>9}"
                f" {si(row.memory):>9}  {row.equation}{mark}"
            )
        lines.append(
            f"{si(self.flops):>9} {si(self.traffic):>9} {si(self.seconds):>9} {si(self.peak):>9}"
            f"  in all"
        )
        return "\n".join(lines)


def si(x: float) -> str:
    """A number with three digits and a prefix: `1.23M`."""
    if x == 0:
        return "0"
    power = min(max(math.floor(math.log10(abs(x)) / 3), -3), 4)
    return f"{x / 1000.0**power:.3g}{_PREFIXES[power + 3]}"


_PREFIXES: Final = ("n", "u", "m", "", "k", "M", "G", "T")


def cost_report(graph: Graph, model: CostModel = DEFAULT_COST_MODEL) -> CostReport:
    """What a graph of concrete shapes costs, equation by equation.

    Arguments:
        graph: what `capture` or `optimize` returned.
        model: the machine; `calibrate()` measures the one at hand.

    >>> import numpy as np
    >>> report = cost_report(capture(np.matmul, np.ones((4, 3)), np.ones((3, 2))))
    >>> report.flops, report.peak
    (48, 64)
    """
    memory = simulated(graph, in_order(graph)).memory
    names = graph.names()
    rows = [
        Row(equation_text(e, names), e.line, flops(e), traffic(e), model.seconds(e), m)
        for e, m in zip(graph.equations, memory)
    ]
    peak = max(memory, default=0)
    return CostReport(
        tuple(rows),
        sum(r.flops for r in rows),
        sum(r.traffic for r in rows),
        sum(r.seconds for r in rows),
        peak,
        memory.index(peak) if memory else -1,
    )


# -- measuring -------------------------------------------------------------------------------------
def calibrate(seconds: float = 0.5) -> CostModel:
    """The cost model of this machine, measured with small programs.

    Arguments:
        seconds: how long to measure, about.

    >>> calibrate(0.01).contraction > 0
    True
    """
    share = seconds / 6
    small, large = np.linspace(0.1, 1.0, 16_384), np.ones(4_000_000)
    square, one = np.eye(256) + 0.01, np.zeros(1)
    out, target = np.empty_like(small), np.empty_like(large)
    call = _best(lambda: np.add(one, one, one), share)
    per_entry = small.size
    return replace(
        DEFAULT_COST_MODEL,
        call=call,
        cheap=per_entry / _best(lambda: np.multiply(small, small, out), share),
        transcendental=per_entry / _best(lambda: np.exp(small, out), share),
        contraction=2 * 256**3 / _best(lambda: square @ square, share),
        factorization=256**3 / _best(lambda: np.linalg.inv(square), share),
        bandwidth=2 * large.nbytes / _best(lambda: np.copyto(target, large), share),
    )


def _best(run: Callable[[], Any], seconds: float) -> float:
    """The shortest time that `run` took."""
    best, end = math.inf, time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        run()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return max(best, 1e-9)
