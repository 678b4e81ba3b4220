"""Views of a graph and of a plan: what runs when, what it costs and how much memory is in use."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pycograd.core.ir import Graph, symbols_of
from pycograd.graph import svg
from pycograd.graph.cost import DEFAULT_COST_MODEL, CostModel, CostReport, cost_report, si
from pycograd.graph.render import IN_NOTEBOOKS, drawing, excerpt
from pycograd.graph.schedule import in_order, simulated

if TYPE_CHECKING:
    from pycograd.graph.remat import RematPlan

_MARGIN: Final = 18.0
_ROW: Final = 19.0
_FONT: Final = 11.0
_CHARACTERS: Final = 44  # of the text of an equation in a row
_DEAREST: Final = 12  # equations that are named of a graph too large to be drawn
_CLASSES: Final = {
    "cheap": "elementwise",
    "transcendental": "exponentials and their like",
    "contraction": "matrix products",
    "factorization": "factorizations",
    "memory": "moves and views",
}
_BARS: Final = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"


class View:
    """A picture that a notebook draws; in a terminal its text.

    Attributes:
        svg: the picture.
    """

    __slots__ = ("svg", "_text")

    def __init__(self, picture: str, text: str) -> None:
        self.svg, self._text = picture, text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._text

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return svg.element("div", self.svg)

    def save(self, path: Any) -> None:
        """Writes the picture to a file, which is replaced as a whole or not at all."""
        svg.write(path, self.svg)


# -- a graph ---------------------------------------------------------------------------------------
def shown(graph: Graph, model: CostModel | None = None) -> View:
    """The view of a graph; see `Graph.show`."""
    concrete = not _is_symbolic(graph)
    report = cost_report(graph, model or DEFAULT_COST_MODEL) if concrete else None
    text = [excerpt(graph)]
    if report is None:
        said = f"{len(graph.equations)} equations; sizes are symbols, so the cost is not known"
        text.append(said)
    else:
        said = (
            f"{len(graph.equations)} equations, {si(report.flops)} operations,"
            f" {si(report.traffic)}B moved, {si(report.seconds)}s by the cost model,"
            f" peak of {si(report.peak)}B"
        )
        text += ["", str(report), f"memory {_line_of_bars([r.memory for r in report.rows], 60)}"]
    content, y = _heading(graph.name, said)
    parts = []
    if len(graph.equations) <= IN_NOTEBOOKS:
        parts.append(drawing(graph))
        legend = _legend(graph)
        content.append(legend[0] if legend else "")
        y += 22 if legend else 0
    if report is not None and report.rows:
        parts.append(_rows(report, graph) if parts else _summary(report))
    x, bottom = 4.0, y
    for drawn, width, height in parts:
        content.append(svg.element("g", drawn, transform=f"translate({svg.num(x)} {svg.num(y)})"))
        x, bottom = x + width, max(bottom, y + height)
    width = max(x + _MARGIN, 2 * _MARGIN + 6.6 * max(len(said), 30))
    return View(svg.document(width, bottom + _MARGIN, *content), "\n".join(text))


def _is_symbolic(graph: Graph) -> bool:
    values = [*graph.inputs, *[v for e in graph.equations for v in e.outs]]
    return any(n for v in values for n in symbols_of(v.shape))


def _heading(name: str, said: str) -> tuple[list[str], float]:
    """The title, a line below it, and where they end."""
    head = svg.label(_MARGIN, 28.0, svg.shortened(name, 60), font_size=16, font_weight="600")
    return [svg.group("ink", head), svg.group("muted", svg.label(_MARGIN, 47.0, said))], 58.0


def _legend(graph: Graph) -> list[str]:
    """What the colours of the boxes mean."""
    used = {"memory" if e.primitive.view is not None else e.primitive.cost for e in graph.equations}
    x, parts = _MARGIN, []
    for name, meaning in _CLASSES.items():
        if name in used:
            square = svg.element("rect", x=x, y=58.0, width=11, height=11, rx=2)
            parts.append(svg.group(name, square))
            parts.append(svg.group("muted", svg.label(x + 16, 68.0, meaning, font_size=_FONT)))
            x += 36 + 5.6 * len(meaning)
    return ["".join(parts)] if parts else []


def _rows(report: CostReport, graph: Graph) -> tuple[str, float, float]:
    """A row for each equation: what it is, what it costs, and the memory in use meanwhile."""
    texts = [svg.shortened(row.equation, _CHARACTERS) for row in report.rows]
    left = 10.0
    flops = left + svg.width_of("x" * max(map(len, texts)), _FONT) + 58
    traffic, time, memory = flops + 60, flops + 76, flops + 210
    slowest = max(row.seconds for row in report.rows) or 1.0
    most = report.peak or 1
    top = 34.0
    ink, muted, bars, areas, grid = [], [], [], [], []
    for x, name, anchor in (
        (left, "equation", "start"),
        (flops, "operations", "end"),
        (traffic, "bytes", "end"),
        (time, "time", "start"),
        (memory, "memory in use", "start"),
    ):
        muted.append(svg.label(x, top - 10, name, text_anchor=anchor, font_size=_FONT))
    for i, (row, text) in enumerate(zip(report.rows, texts)):
        y = top + i * _ROW
        base = y + 13.5
        tip = svg.title(f"{row.equation}\n{Path(row.line).name}".strip())
        ink.append(svg.element("text", tip + svg.words(text), x=left, y=base))
        muted.append(svg.label(flops, base, si(row.flops), text_anchor="end"))
        muted.append(svg.label(traffic, base, si(row.traffic), text_anchor="end"))
        share = row.seconds / slowest
        bars.append(svg.element("rect", x=time, y=y + 4, width=1 + 64 * share, height=11, rx=2))
        muted.append(svg.label(time + 70 * share + 6, base, f"{si(row.seconds)}s"))
        areas.append(svg.element("rect", x=memory, y=y, width=150 * row.memory / most, height=_ROW))
        if i == report.peak_at:
            mark = f"{si(row.memory)}B, the peak"
            muted.append(svg.label(memory + 156, base, mark))
    height = top + len(report.rows) * _ROW
    for i in range(0, len(report.rows) + 1):
        y = top + i * _ROW
        grid.append(svg.element("path", d=f"M{svg.num(left)} {svg.num(y)}H{svg.num(memory + 150)}"))
    content = [
        svg.group("after", *areas, stroke_width=0),
        svg.group("grid", *grid, stroke_width=1),
        svg.group("bar", *bars),
        svg.group("ink", *ink),
        svg.group("muted", *muted),
    ]
    drawn = svg.element("g", "".join(content), font_family=svg.MONO, font_size=_FONT)
    return drawn, memory + 156 + svg.width_of("000 MB, the peak", _FONT) + 8, height + 8


def _summary(report: CostReport) -> tuple[str, float, float]:
    """The memory over time, and the dearest equations: of a graph too large to be drawn."""
    width, height = 760.0, 220.0
    chart = _Chart(width, height, len(report.rows), report.peak)
    content = [
        chart.axes("equations"),
        svg.group("after", chart.area([row.memory for row in report.rows]), stroke_width=1),
    ]
    dearest = sorted(report.rows, key=lambda row: -row.seconds)[:_DEAREST]
    lines = [f"{si(row.seconds):>7}s  {svg.shortened(row.equation, 90)}" for row in dearest]
    y = height + 34.0
    content.append(svg.group("muted", svg.label(_MARGIN, y - 12, "what takes longest")))
    labels = [
        svg.label(_MARGIN, y + 8 + i * 17, line, xml__space="preserve")
        for i, line in enumerate(lines)
    ]
    content.append(svg.group("ink", *labels, font_family=svg.MONO, font_size=_FONT))
    return "".join(content), width + 10, y + len(lines) * 17


# -- a plan ----------------------------------------------------------------------------------------
def shown_plan(plan: RematPlan) -> View:
    """The view of a plan; see `RematPlan.show`."""
    graph = plan.graph
    before = simulated(graph, in_order(graph)).memory
    after = simulated(graph, plan.steps).memory
    ran: set[int] = set()
    again: list[int] = []
    stores: list[int] = []
    loads: list[int] = []
    for i, step in enumerate(plan.steps):
        if step.kind == "run":
            if id(step.what) in ran:
                again.append(i)
            ran.add(id(step.what))
        else:
            (stores if step.kind == "store" else loads).append(i)
    text = [
        str(plan),
        f"before {_line_of_bars(before, 60, plan.unplanned_peak)} {si(plan.unplanned_peak)}B",
        f"after  {_line_of_bars(after, 60, plan.unplanned_peak)} {si(plan.peak)}B",
        f"{len(again)} equations run again, {len(stores)} values go to disk",
    ]
    width, height = 820.0, 330.0
    steps = max(len(before), len(after))
    chart = _Chart(width, height, steps, max(*before, *after, plan.budget, 1))
    verdict = "within" if plan.feasible else "over"
    content, y = _heading(
        f"Memory of {graph.name}",
        f"peak {si(plan.peak)}B, {verdict} the budget of {si(plan.budget)}B;"
        f" {si(plan.unplanned_peak)}B unplanned; {si(plan.seconds)}s more by the cost model",
    )
    line = chart.y(plan.budget)
    marks = [
        chart.axes("steps"),
        svg.group("before", chart.area(before), stroke_width=1.2),
        svg.group("after", chart.area(after), stroke_width=1.2, fill_opacity=0.85),
        svg.group(
            "budget",
            svg.element("path", d=f"M{svg.num(chart.left)} {svg.num(line)}H{svg.num(width)}"),
            stroke_width=1.5,
            stroke_dasharray="6 4",
        ),
    ]
    base = chart.bottom + 26
    kinds = [("before", "unplanned"), ("after", "planned")]
    ticks = [svg.element("rect", x=chart.x(i), y=base, width=chart.step, height=9) for i in again]
    if ticks:
        marks.append(svg.group("recompute", *ticks))
        kinds.append(("recompute", f"run again ({len(again)})"))
    if stores or loads:
        base += 14
        triangles = [_triangle(chart.x(i + 0.5), base, down=True) for i in stores]
        triangles += [_triangle(chart.x(i + 0.5), base, down=False) for i in loads]
        marks.append(svg.group("spill", *triangles))
        kinds.append(("spill", f"\u25bc to disk, \u25b2 from disk ({len(stores)})"))
    x = chart.left
    for colour, meaning in kinds:
        marks.append(svg.group(colour, svg.element("rect", x=x, y=2, width=11, height=11, rx=2)))
        marks.append(svg.group("muted", svg.label(x + 16, 12, meaning, font_size=_FONT)))
        x += 40 + 5.6 * len(meaning)
    place = svg.element("path", d=f"M{svg.num(x)} 7.5h22")
    marks.append(svg.group("budget", place, stroke_width=1.5, stroke_dasharray="6 4"))
    marks.append(svg.group("budget-text", svg.label(x + 28, 12, "budget", font_size=_FONT)))
    content.append(svg.element("g", "".join(marks), transform=f"translate(0 {svg.num(y + 4)})"))
    picture = svg.document(width + _MARGIN, y + base + 24, *content)
    return View(picture, "\n".join(text))


def _triangle(x: float, y: float, down: bool) -> str:
    first, last = (y, "l3.5 8l3.5 -8z") if down else (y + 8, "l3.5 -8l3.5 8z")
    return svg.element("path", d=f"M{svg.num(x - 3.5)} {svg.num(first)}{last}")


# -- curves ----------------------------------------------------------------------------------------
class _Chart:
    """The axes of memory over steps."""

    left, top = 64.0, 30.0

    def __init__(self, width: float, height: float, steps: int, most: int) -> None:
        self.width, self.bottom, self.most = width, height - 34, most
        self.steps = max(steps, 1)
        self.step = (width - self.left) / self.steps

    def x(self, step: float) -> float:
        return self.left + step * self.step

    def y(self, memory: float) -> float:
        return self.bottom - (self.bottom - self.top) * memory / max(self.most, 1)

    def area(self, memory: Sequence[int]) -> str:
        """The area under a curve that is level during each step."""
        n = svg.num
        path = [f"M{n(self.x(0))} {n(self.bottom)}"]
        for i, m in enumerate(memory):
            path.append(f"V{n(self.y(m))}H{n(self.x(i + 1))}")
        return svg.element("path", d="".join([*path, f"V{n(self.bottom)}z"]))

    def axes(self, what: str) -> str:
        """Lines at round numbers of bytes, and the number of steps."""
        each = _round(self.most / 4)
        grid, text = [], []
        for i in range(int(self.most / each + 1e-9) + 1):
            y = self.y(i * each)
            grid.append(svg.element("path", d=f"M{self.left} {svg.num(y)}H{svg.num(self.width)}"))
            text.append(svg.label(self.left - 8, y + 4, f"{si(i * each)}B", text_anchor="end"))
        end = f"{self.steps} {what}"
        text.append(svg.label(self.width, self.bottom + 18, end, text_anchor="end"))
        text.append(svg.label(self.left, self.bottom + 18, "0"))
        small = {"font_size": _FONT}
        return svg.group("grid", *grid, stroke_width=1) + svg.group("muted", *text, **small)


def _round(x: float) -> float:
    """A round number near `x`."""
    power = 10.0 ** math.floor(math.log10(max(x, 1.0)))
    return max(f * power for f in (1.0, 2.0, 2.5, 5.0) if f * power <= max(x, 1.0))


def _line_of_bars(values: Sequence[int], width: int, most: int = 0) -> str:
    """A curve in one line of text."""
    if not values:
        return ""
    most = most or max(values) or 1
    count = min(width, len(values))
    edges = [i * len(values) // count for i in range(count + 1)]
    peaks = [max(values[a:b]) for a, b in itertools.pairwise(edges)]
    return "".join(_BARS[-(-min(p, most) * (len(_BARS) - 1) // most)] for p in peaks)
