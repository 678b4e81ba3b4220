"""Graphs as pictures: `to_dot`, `render`, and what notebooks show."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from pycograd.core.errors import GraphError
from pycograd.core.ir import Graph, Value, equation_text, text_of
from pycograd.graph import svg
from pycograd.graph.layout import Point, layered

IN_NOTEBOOKS: Final = 300  # equations; a larger graph is shown as text
_BY_DOT: Final = 400  # boxes that "auto" gives to dot, whose time grows faster than their number
_SECONDS: Final = 20.0  # that dot may take under "auto"
_CHARACTERS: Final = 30  # of a line in a box
_TOGETHER: Final = 24  # characters of operands and parameters that stand in one line
_LINES_SHOWN: Final = 200  # of a large graph in a notebook
FONT: Final = 11.0
_LINE: Final = 14.5
_MARGIN: Final = 14.0


class Node(NamedTuple):
    """A box: its lines, the first one bold; `colour` is its kind, or what its equation costs."""

    colour: str
    lines: Sequence[str]
    tip: str


def nodes_of(graph: Graph) -> tuple[list[Node], list[tuple[int, int]]]:
    """The boxes of a graph and the edges between them, each from a lower number to a higher."""
    names = graph.names()
    maker: dict[Value, int] = {}
    nodes: list[Node] = []
    edges: list[tuple[int, int]] = []
    for kind, values in (("input", graph.inputs), ("constant", [v for v, _ in graph.constants])):
        for v in values:
            maker[v] = len(nodes)
            nodes.append(Node(kind, (f"{names[v]} {kind}", repr(v)), f"{kind} {names[v]}: {v!r}"))
    for e in graph.equations:
        edges += [(maker[v], len(nodes)) for v in e.values]
        maker.update(dict.fromkeys(e.outs, len(nodes)))
        operands = [names[x] if type(x) is Value else _number(x) for x in e.operands]
        params = [
            f"{k}={text_of(x)}" for k, x in e.params.items() if x is not None and x is not False
        ]
        given = [" ".join(operands), ", ".join(params)]
        if len(" ".join(given)) <= _TOGETHER:
            given = [" ".join(x for x in given if x)]
        lines = [e.primitive.name, *given]
        lines += [f"{names[v]}: {v!r}" for v in e.outs[:4]]
        lines += [f"and {len(e.outs) - 4} more"] * (len(e.outs) > 4)
        tip = f"{equation_text(e, names)}\n{Path(e.line).name}".strip()
        view = e.primitive.view is not None
        cost = "memory" if view else e.primitive.cost
        nodes.append(Node(cost if cost in _FILLS else "cheap", [x for x in lines if x], tip))
    for i, x in enumerate(graph.outputs):
        if type(x) is Value:
            edges.append((maker[x], len(nodes)))
        text = f"{names[x]}: {x!r}" if type(x) is Value else _number(x)
        head = f"output {i}" if len(graph.outputs) > 1 else "output"
        nodes.append(Node("output", (head, text), f"{head} = {text}"))
    return nodes, list(dict.fromkeys(edges))


def _number(x: Any) -> str:
    return str(x.number) if isinstance(x.number, np.generic) else repr(x)


# -- Graphviz --------------------------------------------------------------------------------------
_FILLS: Final = {
    "cheap": "#e8f1fb",
    "transcendental": "#fdf0dc",
    "contraction": "#e4f4e9",
    "factorization": "#f6e8f8",
    "memory": "#f1f3f5",
}
_KINDS: Final = {
    "input": 'shape=box, style="rounded,bold"',
    "constant": 'shape=box, style="rounded,dashed"',
    "output": 'shape=box, style="rounded,filled", fillcolor="#33475b", fontcolor="#ffffff"',
}


def to_dot(graph: Graph) -> str:
    """The text of a graph for Graphviz; see `Graph.to_dot`."""
    nodes, edges = nodes_of(graph)
    text = [
        f"digraph {_quoted(graph.name)} {{",
        '  graph [bgcolor="#ffffff", ranksep=0.4, nodesep=0.25];',
        '  node [fontname="monospace", fontsize=10, margin="0.1,0.05"];',
        '  edge [color="#94a2b0", arrowsize=0.6];',
    ]
    for i, node in enumerate(nodes):
        fill = _FILLS.get(node.colour, "#ffffff")
        style = _KINDS.get(node.colour, f'shape=box, style="filled", fillcolor="{fill}"')
        lines = "\n".join(svg.shortened(line, _CHARACTERS) for line in node.lines)
        text.append(f"  n{i} [label={_quoted(lines)}, tooltip={_quoted(node.tip)}, {style}];")
    text += [f"  n{a} -> n{b};" for a, b in edges]
    return "\n".join([*text, "}\n"])


def _quoted(text: str) -> str:
    """A string of Graphviz, which reads backslashes and the entities of HTML in it."""
    text = svg.clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return '"' + text.replace("\r", " ").replace("\n", "\\n") + '"'


def _by_dot(graph: Graph, seconds: float | None) -> str:
    """The picture that the program draws."""
    program = shutil.which("dot")
    if program is None:
        raise GraphError(
            'render: the program dot is not installed. Install Graphviz, or use engine="own"'
        )
    try:
        done = subprocess.run(
            [program, "-Tsvg"],
            input=to_dot(graph).encode(),
            capture_output=True,
            timeout=seconds,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise GraphError(f"render: dot failed: {said}") from error
    text = done.stdout.decode()
    return text[text.index("<svg") :]  # what stands before it is not for a page


# -- SVG -------------------------------------------------------------------------------------------
def render(graph: Graph, path: Any = None, engine: str = "auto") -> str:
    """The picture of a graph; see `Graph.render`."""
    if engine not in ("auto", "dot", "own"):
        raise ValueError(f'render: no engine {engine!r}; there are "auto", "dot" and "own"')
    text = ""
    if engine == "dot":
        text = _by_dot(graph, None)
    elif engine == "auto" and len(graph.equations) <= _BY_DOT and shutil.which("dot"):
        with contextlib.suppress(GraphError, OSError, subprocess.TimeoutExpired):
            text = _by_dot(graph, _SECONDS)
    if not text:
        drawn, width, height = drawing(graph)
        text = svg.document(width, height, drawn)
    if path is not None:
        svg.write(path, text)
    return text


def drawing(graph: Graph) -> tuple[str, float, float]:
    """The elements of the picture by our own layout, their width and height."""
    nodes, edges = nodes_of(graph)
    texts = [[svg.shortened(line, _CHARACTERS) for line in node.lines] for node in nodes]
    sizes = [
        (max(svg.width_of(t, FONT) for t in lines) + 18, len(lines) * _LINE + 9) for lines in texts
    ]
    layout = layered(sizes, edges)
    boxes: dict[str, list[str]] = {}
    ink: list[str] = []
    muted: list[str] = []
    inverse: list[str] = []
    for node, lines, (x, y), (width, height) in zip(nodes, texts, layout.places, sizes):
        box = _box(node, x - width / 2, y, width, height)
        boxes.setdefault(
            node.colour if node.colour in _FILLS or node.colour in _KINDS else "cheap", []
        ).append(box)
        for i, line in enumerate(lines):
            where = inverse if node.colour == "output" else muted if i else ink
            weight = "600" if i == 0 else None
            where.append(svg.label(x, y + 4.5 + (i + 0.77) * _LINE, line, font_weight=weight))
    content = [
        svg.group("edge", *_curves(layout.lines), stroke_width="1.3"),
        svg.group("arrow", *map(_arrow, layout.ends)),
        *[svg.group(colour, *found, stroke_width="1.2") for colour, found in boxes.items()],
        *[
            svg.group(colour, *found, text_anchor="middle", pointer_events="none")
            for colour, found in (("ink", ink), ("muted", muted), ("on-output", inverse))
        ],
    ]
    drawn = svg.element(
        "g",
        "".join(content),
        transform=f"translate({_MARGIN} {_MARGIN})",
        font_family=svg.MONO,
        font_size=FONT,
    )
    return drawn, layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN


def _box(node: Node, x: float, y: float, width: float, height: float) -> str:
    round_corners = 9 if node.colour in _KINDS else 3
    dashes = "4 3" if node.colour == "constant" else None
    place = {"x": x, "y": y, "width": width, "height": height, "rx": round_corners}
    return svg.element("rect", svg.title(node.tip), **place, stroke_dasharray=dashes)


def _curves(lines: Iterable[Sequence[Point]]) -> list[str]:
    """One path for all lines: straight down where they can, in an S where they go aside."""
    n: Callable[[Any], str] = svg.num
    parts = []
    for points in lines:
        parts.append(f"M{n(points[0][0])} {n(points[0][1])}")
        for (x, y), (u, v) in itertools.pairwise(points):
            if abs(x - u) < 0.05:
                parts.append(f"V{n(v)}")
            else:
                half = (y + v) / 2
                parts.append(f"C{n(x)} {n(half)} {n(u)} {n(half)} {n(u)} {n(v)}")
    return [svg.element("path", d="".join(parts))] if parts else []


def _arrow(end: Point) -> str:
    x, y = end
    return svg.element(
        "path", d=f"M{svg.num(x - 3.2)} {svg.num(y - 6)}h6.4L{svg.num(x)} {svg.num(y)}z"
    )


# -- notebooks -------------------------------------------------------------------------------------
def notebook_svg(graph: Graph) -> str | None:
    """What a notebook draws: the picture, unless the graph is too large for one."""
    return render(graph, engine="own") if len(graph.equations) <= IN_NOTEBOOKS else None


def notebook_html(graph: Graph) -> str:
    """The same on the page itself, whose colours it follows; of a large graph the text, in part."""
    if len(graph.equations) <= IN_NOTEBOOKS:
        return svg.element("div", render(graph, engine="own"))
    return svg.element("pre", svg.words(excerpt(graph)))


def excerpt(graph: Graph) -> str:
    """The text of a graph, of a large one its beginning and its end."""
    lines = graph.pretty().splitlines()
    if len(lines) > _LINES_SHOWN:
        half = _LINES_SHOWN // 2
        left_out = f"  ... {len(lines) - 2 * half} lines more ..."
        lines = [*lines[:half], left_out, *lines[-half:]]
    return "\n".join(lines)
