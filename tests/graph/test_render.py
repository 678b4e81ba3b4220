"""Pictures of graphs and plans: well-formed, complete, nothing upon anything else."""

import itertools
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, strategies as st

import pycograd as pg
from pycograd import GraphError, ShapeDtypeStruct, capture, optimize, plan_remat
from pycograd.graph import layout, render, svg
from pycograd.graph.layout import layered

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<&>\"'\\ \n\t \0 \x1b \ud800 \u2603 ]]> \\n -->"


def attention(wq, wk, wv, x):
    q, k, v = x @ wq, x @ wk, x @ wv
    scores = q @ k.T / 4.0
    weights = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    out = weights / np.sum(weights, axis=1, keepdims=True) @ v
    return np.sum(out * out)


SQUARE = ShapeDtypeStruct((16, 16))
GRAPH = optimize(capture(pg.grad(attention, argnums=(0, 1, 2)), SQUARE, SQUARE, SQUARE, SQUARE))
CONSTANT = np.arange(3.0)


def drawn(text):
    """The parsed picture, which has all that it needs: no names, links or scripts from outside."""
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    width, height = (float(root.get(name)) for name in ("width", "height"))
    assert root.get("viewBox").split()[2:] == [root.get("width"), root.get("height")]
    assert width > 0 and height > 0
    assert not re.search(r"<script|href|url\(|@import|<!ENTITY", text)
    return root


def texts(root):
    """The lines of text, without their tips."""
    return [
        (t.text or "") + "".join(part.tail or "" for part in t) for t in root.iter(f"{SVG}text")
    ]


def long_chain(x):
    for _ in range(400):
        x = np.sin(x)
    return np.sum(x)


# -- the layout ------------------------------------------------------------------------------------
@st.composite
def boxes(draw):
    count = draw(st.integers(1, 25))
    sizes = draw(
        st.lists(st.tuples(st.floats(5, 80), st.floats(5, 40)), min_size=count, max_size=count)
    )
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    edges = draw(st.lists(pairs, max_size=50))
    return sizes, [(min(e), max(e)) for e in edges if e[0] != e[1]]


@given(boxes())
def test_no_box_lies_on_another_and_lines_run_down(given_boxes):
    sizes, edges = given_boxes
    drawing = layered(sizes, edges)
    rects = [(x - w / 2, y, x + w / 2, y + h) for (x, y), (w, h) in zip(drawing.places, sizes)]
    for i, a in enumerate(rects):
        assert -1e-6 <= a[0] and a[2] <= drawing.width + 1e-6 and a[3] <= drawing.height + 1e-6
        for b in rects[:i]:
            apart = a[2] < b[0] + 1e-6 or b[2] < a[0] + 1e-6 or a[3] < b[1] or b[3] < a[1]
            assert apart
    for a, b in edges:
        assert drawing.places[a][1] + sizes[a][1] < drawing.places[b][1]
    for line in drawing.lines:
        assert all(y <= v for (_, y), (_, v) in itertools.pairwise(line))
    assert len(drawing.ends) == len(set(edges))
    for x, y in drawing.ends:
        assert any(r[0] <= x <= r[2] and r[1] == y for r in rects)


@given(boxes())
def test_lines_keep_clear_of_boxes(given_boxes):
    """Beside boxes a line is upright; it goes aside between the ranks."""
    sizes, edges = given_boxes
    drawing = layered(sizes, edges)
    for line in drawing.lines:
        for (x, y), (u, v) in itertools.pairwise(line):
            for (place, top), (width, height) in zip(drawing.places, sizes):
                across = (
                    min(x, u) < place + width / 2 - 1e-6 and max(x, u) > place - width / 2 + 1e-6
                )
                assert not (across and y < top + height - 1e-6 and v > top + 1e-6)


def test_a_chain_is_a_straight_line():
    drawing = layered([(40.0, 20.0)] * 30, [(i, i + 1) for i in range(29)])
    assert {x for x, _ in drawing.places} == {20.0}


def test_a_loop_with_an_input_at_each_step_does_not_drift():
    edges = [(0, i) for i in range(1, 120, 2)] + [(i, i + 1) for i in range(1, 120, 2)]
    edges += [(i, i + 2) for i in range(2, 119, 2)]
    drawing = layered([(40.0, 20.0)] * 121, edges)
    assert drawing.width < 400


def test_crossings_that_can_be_avoided_are():
    drawing = layered([(10.0, 10.0)] * 6, [(0, 5), (1, 4), (2, 3)])
    places = [x for x, _ in drawing.places]
    order = [sorted(range(3), key=places.__getitem__), sorted((5, 4, 3), key=places.__getitem__)]
    assert [5 - i for i in order[0]] == order[1]


def test_nothing_to_draw():
    assert layered([], []).lines == []
    drawn(capture(lambda: 1.0).render(engine="own"))


# -- the picture of a graph ------------------------------------------------------------------------
def test_every_equation_input_constant_and_output_is_there():
    graph = capture(lambda x: (np.split(x * CONSTANT, 3), 2.5), np.ones(3))
    root = drawn(graph.render(engine="own"))
    found = texts(root)
    for name in ("%0 input", "%1 constant", "output 0", "output 3", "multiply", "f64[3]", "2.5"):
        assert name in found, name
    assert sum(t == "%0 %1" for t in found) == 1
    heads = [t for t in root.iter(f"{SVG}text") if t.get("font-weight") == "600"]
    outputs = len(graph.outputs)
    assert len(heads) == len(graph.inputs) + 1 + len(graph.equations) + outputs
    # the kinds differ in more than colour: dashes for constants
    assert [r for r in root.iter(f"{SVG}rect") if r.get("stroke-dasharray")]


def test_tips_have_the_whole_equation_and_no_folders():
    text = GRAPH.render(engine="own")
    tips = [t.text for t in drawn(text).iter(f"{SVG}title")]
    body = str(GRAPH).splitlines()[1:-2]
    for line in body:
        assert any(tip.startswith(line.strip()) and "test_render.py:" in tip for tip in tips)
    assert os.path.dirname(__file__) not in text


def test_texts_fit_their_boxes_and_do_not_overlap():
    root = drawn(GRAPH.render(engine="own"))
    rects = [r for r in root.iter(f"{SVG}rect") if r.get("rx")]
    spans = [tuple(float(r.get(k)) for k in ("x", "y", "width", "height")) for r in rects]
    seen = set()
    for t in root.iter(f"{SVG}text"):
        x, y = float(t.get("x")), float(t.get("y"))
        half = svg.width_of("".join(t.itertext()), render.FONT) / 2
        inside = [
            s for s in spans
            if s[0] <= x - half and x + half <= s[0] + s[2] and s[1] < y - 6 and y < s[1] + s[3]
        ]  # fmt: skip
        assert len(inside) == 1
        assert (inside[0], y) not in seen
        seen.add((inside[0], y))


def test_text_that_means_something_elsewhere_is_escaped():
    graph = capture(np.sin, np.ones(2))
    graph.equations[0].params["told"] = NASTY
    graph.name = NASTY
    root = drawn(graph.render(engine="own"))
    assert any('<&>"' in t for t in texts(root))
    drawn(graph.show().svg)
    assert "<&" not in graph._repr_html_()
    dot = graph.to_dot()
    # Every quoted string ends where it should: what is left outside of them is plain.
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", dot)
    assert re.fullmatch(r"[\w\s{}\[\];=,.>-]*", outside), outside


def test_long_texts_are_shortened():
    graph = capture(lambda x: np.transpose(x, (9, 8, 7, 6, 5, 4, 3, 2, 1, 0)), np.ones((1,) * 10))
    root = drawn(graph.render(engine="own"))
    assert max(map(len, texts(root))) <= 30
    assert any("axes=(9, 8, 7, 6, 5, 4, 3, 2, 1, 0)" in t.text for t in root.iter(f"{SVG}title"))


def test_many_results_and_symbols():
    graph = capture(lambda x: np.split(x, 1) + [x.T], ShapeDtypeStruct(("B", 3)))
    assert "f64[B,3]" in texts(drawn(graph.render(engine="own")))


def test_both_pages_are_readable():
    text = GRAPH.render(engine="own")
    root = drawn(text)
    background = next(root.iter(f"{SVG}rect"))
    assert (background.get("width"), background.get("height")) == ("100%", "100%")
    used = set(re.findall(r'class="(pg-[\w-]+)"', text))
    (style,) = root.iter(f"{SVG}style")
    for name in used:
        assert style.text.count(f".{name}{{") == 3  # by the system, by Jupyter, by VS Code

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    def contrast(a, b):
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    kinds = ("page", "cheap", "transcendental", "contraction", "factorization", "memory", "input")
    for page in (0, 1):
        for kind in kinds:
            fill = svg._COLOURS[kind][page][0]
            for ink in (
                "ink",
                "muted",
            ):  # 4.5: level AA of the Web Content Accessibility Guidelines
                assert contrast(svg._COLOURS[ink][page][0], fill) >= 4.5, (page, kind, ink)
        assert contrast(svg._COLOURS["on-output"][page][0], svg._COLOURS["output"][page][0]) >= 4.5


def test_a_thousand_equations():
    def f(x):
        for _ in range(210):
            x = np.sin(x) * 0.9
        return np.sum(x)

    graph = capture(pg.grad(f), np.ones(2))
    assert len(graph.equations) > 1000
    root = drawn(graph.render(engine="own"))
    assert len(list(root.iter(f"{SVG}rect"))) > 1000


def test_lines_beyond_the_budget_of_points_go_direct(monkeypatch):
    monkeypatch.setattr(layout, "_MOST_POINTS", 3)
    edges = [(i, i + 1) for i in range(11)] + [(0, 11), (1, 10), (2, 9)]
    drawing = layered([(40.0, 20.0)] * 12, edges)
    assert len(drawing.ends) == len(edges)


# -- files, Graphviz, notebooks --------------------------------------------------------------------
def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "graph.svg"
    text = GRAPH.render(path, engine="own")
    assert path.read_text(encoding="utf-8") == text
    assert os.listdir(tmp_path) == ["graph.svg"]
    other = tmp_path / "plain"
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode
    other.unlink()

    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        GRAPH.show().save(path)
    assert path.read_text(encoding="utf-8") == text
    assert os.listdir(tmp_path) == ["graph.svg"]


def test_engines(monkeypatch):
    with pytest.raises(ValueError, match="no engine 'neato'"):
        GRAPH.render(engine="neato")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(GraphError, match=r"Install Graphviz, or use engine=.own"):
        GRAPH.render(engine="dot")
    assert GRAPH.render() == GRAPH.render(engine="own")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_dot_is_used_where_it_is_and_done_without_where_it_fails(tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text(
        '#!/bin/sh\ncat > /dev/null\necho "<?xml?><!DOCTYPE svg><svg>by dot</svg>"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert GRAPH.render() == "<svg>by dot</svg>\n"
    program.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    with pytest.raises(GraphError, match="dot failed: broken"):
        GRAPH.render(engine="dot")
    assert GRAPH.render() == GRAPH.render(engine="own")
    long = capture(long_chain, np.ones(2))  # dot would take too long over it
    assert long.render() == long.render(engine="own")


def test_dot_text():
    graph = capture(lambda x: x * CONSTANT + x, np.ones(3))
    text = graph.to_dot()
    assert re.findall(r"(n\d) -> (n\d);", text) == [
        ("n0", "n2"), ("n1", "n2"), ("n2", "n3"), ("n0", "n3"), ("n3", "n4"),
    ]  # fmt: skip
    assert 'label="multiply\\n%0 %1\\n%2: f64[3]"' in text
    kinds = [re.search(r'style="[\w,]+"', line)[0] for line in text.splitlines() if "label" in line]
    assert len({kinds[i] for i in (0, 1, 2, 4)}) == 4


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_it():
    graph = capture(np.sin, np.ones(2))
    graph.equations[0].params["told"] = NASTY
    run = subprocess.run(["dot", "-Tplain"], input=graph.to_dot().encode(), capture_output=True)
    assert run.returncode == 0 and not run.stderr
    assert ET.fromstring(graph.render(engine="dot")).tag == f"{SVG}svg"


def test_notebooks():
    assert GRAPH._repr_svg_() == GRAPH.render(engine="own")
    assert GRAPH._repr_svg_() in GRAPH._repr_html_()
    large = capture(long_chain, np.ones(2))
    assert large._repr_svg_() is None
    assert large._repr_html_().startswith("<pre>graph(%0:f64[2])")
    assert "lines more" in large._repr_html_() and len(large._repr_html_()) < 20_000


# -- views -----------------------------------------------------------------------------------------
def test_the_view_of_a_graph_has_every_equation_and_its_cost():
    view = GRAPH.show()
    found = texts(drawn(view.svg))
    report = pg.cost_report(GRAPH)
    for row in report.rows:
        assert svg.shortened(row.equation, 44) in found
    assert f"{pg.graph.cost.si(report.peak)}B, the peak" in found
    assert str(report) in str(view) and str(view).startswith(str(GRAPH))
    assert view._repr_svg_() == view.svg and view.svg in view._repr_html_()
    memory = str(view).splitlines()[-1]
    assert memory.startswith("memory ") and len(memory) == 7 + len(report.rows)


def test_the_view_has_the_times_of_the_model():
    slow = GRAPH.show(pg.CostModel(contraction=1.0))
    assert "8.19ks" in " ".join(texts(drawn(slow.svg)))


def test_the_view_of_a_large_graph_is_a_curve_and_what_is_dear():
    graph = capture(lambda x, w: np.sum(long_chain(x) * (w @ w)), np.ones(9), np.ones((99, 99)))
    found = texts(drawn(graph.show().svg))
    assert any("matmul" in t for t in found) and "what takes longest" in found
    assert len(found) < 40


def test_symbols_have_no_cost_but_a_picture():
    view = capture(lambda x: np.sum(x * x), ShapeDtypeStruct(("B", 3))).show()
    assert "sizes are symbols" in str(view) and "multiply" in texts(drawn(view.svg))


def test_a_graph_without_equations():
    drawn(capture(lambda x: x, np.ones(2)).show().svg)


WEIGHTS = [np.eye(32) for _ in range(12)]


def net(weights, x):
    for w in weights:
        x = np.tanh(x @ w)
    return np.sum(x * x)


@pytest.mark.parametrize("share, spill", [(0.5, False), (0.3, True), (1.0, False), (0.01, True)])
def test_the_view_of_a_plan(share, spill, tmp_path):
    graph = optimize(capture(pg.grad(net, argnums=0), WEIGHTS, np.ones((512, 32))))
    peak = plan_remat(graph, 10**12).unplanned_peak
    plan = plan_remat(graph, int(share * peak), spill=spill)
    view = plan.show()
    root = drawn(view.svg)
    again = sum(s.kind == "run" for s in plan.steps) - len(graph.equations)
    stored = sum(s.kind == "store" for s in plan.steps)
    loads = sum(s.kind == "load" for s in plan.steps)
    groups = {g.get("class"): g for g in root.iter(f"{SVG}g")}
    legend = " ".join(texts(root))
    assert ("run again" in legend) == (again > 0) and ("to disk" in legend) == (stored > 0)
    if again:
        assert f"run again ({again})" in legend
    if stored:
        assert f"({stored})" in legend
    counts = [len(g) for g in root.iter(f"{SVG}g") if g.get("class") == "pg-recompute"]
    assert counts == ([again, 1] if again else [])
    counts = [len(g) for g in root.iter(f"{SVG}g") if g.get("class") == "pg-spill"]
    assert counts == ([stored + loads, 1] if stored else [])
    assert "pg-budget" in groups
    assert ("within the budget" in legend) == plan.feasible
    assert str(view).startswith(str(plan)) and len(str(view).splitlines()) == 4
    view.save(tmp_path / "plan.svg")
    assert (tmp_path / "plan.svg").read_text(encoding="utf-8") == view.svg


def test_the_curve_of_a_plan_is_its_memory():
    graph = optimize(capture(pg.grad(net, argnums=0), WEIGHTS, np.ones((512, 32))))
    plan = plan_remat(graph, plan_remat(graph, 10**12).unplanned_peak // 2)
    root = drawn(plan.show().svg)
    area = next(g for g in root.iter(f"{SVG}g") if g.get("class") == "pg-after")
    levels = [float(y) for y in re.findall(r"V([\d.]+)H", area[0].get("d"))]
    memory = pg.graph.schedule.simulated(graph, plan.steps).memory
    assert len(levels) == len(memory)
    bottom = float(re.match(r"M[\d.]+ ([\d.]+)", area[0].get("d"))[1])
    heights = bottom - np.array(levels)
    np.testing.assert_allclose(heights, np.array(memory) / max(memory) * heights.max(), atol=0.11)
