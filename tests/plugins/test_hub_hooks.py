"""Hooks: what plugins add to operations, lowerings, passes and checks, and how it is taken back."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distributions import backend, install, plugin
from pycograd import activate, capture, device, get_backend, grad, optimize
from pycograd.core import extend, spelling
from pycograd.core.errors import IncompatiblePluginError, LoweringNotFoundError, PluginError
from pycograd.core.primitive import REGISTRY
from pycograd.plugins.api import GraphPass
from pycograd.plugins.hooks import in_order
from pycograd.plugins.hub import Hub, register_plugin
from pycograd.plugins.records import PLUGINS


@pytest.fixture
def good(fresh: Hub, site: Path) -> Path:
    """A backend that works."""
    backend(site, "good", "chaos_good:Good")
    return site


def chaos(name: str) -> Any:
    """A class of the module of plugins, once that is imported."""
    return getattr(sys.modules["chaos_plugins"], name)


def state(hub: Hub, name: str) -> str:
    (record,) = [r for r in hub.records(PLUGINS) if r.name == name]
    return record.state


@pytest.mark.parametrize("early", [True, False])
def test_a_plugin_adds_an_operation_and_its_lowering(early: bool, good: Path, fresh: Hub) -> None:
    plugin(good, "well", "chaos_plugins:Well")
    if early:
        activate("well")
        found = get_backend("good")
    else:  # a late plugin is told what it has missed
        found = get_backend("good")
        activate("well")
    triple = chaos("Well").triple
    assert grad(lambda x: np.sum(triple(np.sin(x))))(np.zeros(2))[0].tolist() == [3.0, 3.0]
    with device("good"):
        (g,) = grad(lambda x: np.sum(triple(x)))(np.ones(2))
    assert np.asarray(g).tolist() == [3.0, 3.0]
    assert ("good", True) in chaos("Well").seen
    assert fresh.hooks.owner(found, "chaos_triple") == "well (pycograd-well 1.0)"
    assert fresh.hooks.definer("chaos_triple") == "well (pycograd-well 1.0)"
    assert fresh.hooks.owner(found, "sin") == fresh.hooks.definer("sin") == ""


def test_a_missing_lowering_is_asked_for(good: Path, fresh: Hub) -> None:
    plugin(good, "well", "chaos_plugins:Well")
    activate("well")
    with device("good"), pytest.raises(LoweringNotFoundError, match="'exp' has no lowering"):
        grad(lambda x: np.sum(np.exp(x)))(np.ones(2))
    assert chaos("Well").seen[-1] == ("exp", [(2,)])
    from pycograd.graph.lowered import Lowered

    cell = sys.modules["chaos_good"].Cell
    graph = capture(np.tanh, np.ones(3))
    (out,) = Lowered(graph, get_backend("good"))(cell(np.ones(3)))
    np.testing.assert_allclose(out.array, np.tanh(np.ones(3)))
    assert chaos("Well").seen[-1] == ("tanh", [(3,)])


def test_passes_run_in_optimize(good: Path, fresh: Hub) -> None:
    plugin(good, "well", "chaos_plugins:Well")
    activate("well")
    graph = capture(lambda x: x * 1.0, np.ones(2))
    assert not optimize(graph).equations
    assert chaos("Well").seen[-1] == ("pass", "numpy")
    optimize(graph, backend="good")
    assert chaos("Well").seen[-1] == ("pass", "good")
    seen = len(chaos("Well").seen)
    optimize(graph, ["algebra"])  # only these
    assert len(chaos("Well").seen) == seen


def test_the_order_of_passes() -> None:
    def named(name: str, **order: Any) -> GraphPass:
        return GraphPass(name, lambda graph: graph, **order)

    core = ["a", "b"]
    assert in_order(core, [named("x"), named("y", after=["x"])]) == ["a", "b", "x", "y"]
    assert in_order(core, [named("x", before=["b"], after=["a"])]) == ["a", "x", "b"]
    assert in_order(core, [named("x", after=["gone"])]) == ["a", "b", "x"]
    with pytest.raises(PluginError, match="wait for each other: x, y"):
        in_order(core, [named("x", after=["y"]), named("y", after=["x"])])


def test_a_backend_brings_the_hooks_of_its_distribution(good: Path, fresh: Hub) -> None:
    points = {
        "pycograd.backends": {"torch": "chaos_good:Torch"},
        "pycograd.plugins": {"both": "chaos_plugins:Well"},
    }
    install(good, "pycograd-torch", "1", points, modules=["chaos_plugins"])
    plugin(good, "apart", "chaos_plugins:Marked")
    get_backend("torch")
    assert state(fresh, "both") == "active"
    assert state(fresh, "apart") == "discovered"  # of another distribution: activate("apart")


def test_hooks_with_a_mark(good: Path, fresh: Hub) -> None:
    plugin(good, "marked", "chaos_plugins:Marked")
    activate("marked")
    get_backend("good")
    assert chaos("Marked").seen == ["good"]


def test_checks_of_plugins(good: Path, fresh: Hub) -> None:
    plugin(good, "well", "chaos_plugins:Well")
    plugin(good, "bad", "chaos_plugins:BadChecks")
    activate("well")
    activate("bad")
    found = {c.name: (c.ok, c.detail) for c in fresh.hooks.checks("good")}
    assert found == {
        "chaos": (True, "looked at good"),
        "plugin bad (pycograd-bad 1.0)": (False, "RuntimeError: nobody is in"),
    }


# -- failures ----------------------------------------------------------------------------------
def test_a_plugin_that_fails_half_way_leaves_nothing(good: Path, fresh: Hub) -> None:
    optimize(capture(np.sin, 1.0))
    before = set(REGISTRY), set(spelling.FUNCTIONS)
    plugin(good, "half", "chaos_plugins:HalfWay")
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            activate("half")
        first, why, _ = str(caught.value).splitlines()
        assert first == "plugin 'half' (pycograd-half 1.0) is installed but cannot run here."
        assert why.startswith("  why: RuntimeError: half-way through registration (")
        assert set(REGISTRY) - {"chaos_half"} >= before[0]
        assert "chaos_half" not in REGISTRY
        assert not {len, sorted} & set(spelling.FUNCTIONS)
        assert state(fresh, "half") == "broken"
        assert fresh.hooks._manager.list_name_plugin() == []


@pytest.mark.parametrize("early", [True, False])
def test_a_plugin_that_fails_for_a_backend_is_active_no_longer(
    early: bool, good: Path, fresh: Hub
) -> None:
    plugin(good, "late", "chaos_plugins:LaterHalfWay")
    if early:
        activate("late")
        assert "chaos_late" in REGISTRY
        with pytest.raises(PluginError) as caught:
            get_backend("good")
        assert "for backend 'good' and is active no longer" in str(caught.value)
    else:
        get_backend("good")
        with pytest.raises(PluginError) as caught:
            activate("late")
    assert "plugin 'late' (pycograd-late 1.0)" in str(caught.value)
    assert "why: RuntimeError: no lowering for you" in str(caught.value)
    assert state(fresh, "late") == "broken"
    assert "chaos_late" not in REGISTRY
    assert not get_backend("good").added
    assert get_backend("good").lowering(REGISTRY["sin"]) is not abs


@pytest.mark.parametrize(
    "value, cause",
    [
        ("Misspelt", "pycograd_register_lowering is no hook. Did you mean pycograd_register_low"),
        ("WrongArguments", "pycograd_graph_passes takes backend, and nothing named 'graph'"),
        ("Unmarked", "pycograd_backend_activated is not marked: write @hookimpl above it"),
        ("WithoutApi", "does not say `api = (1, 0)`"),
        ("Typo", "there is no primitive 'sine' to lower"),
        ("Taken", "backend 'good' has a lowering of 'sin': write table.replace('sin', f)"),
    ],
)
def test_what_a_plugin_may_get_wrong(value: str, cause: str, good: Path, fresh: Hub) -> None:
    plugin(good, "wrong", f"chaos_plugins:{value}")
    get_backend("good")
    with pytest.raises(PluginError) as caught:
        activate("wrong")
    assert cause in str(caught.value)
    assert state(fresh, "wrong") == "broken"
    assert fresh.hooks._manager.list_name_plugin() == []
    assert not get_backend("good").added


def test_a_plugin_for_another_version(good: Path, fresh: Hub) -> None:
    plugin(good, "new", "chaos_plugins:NewMajor")
    with pytest.raises(IncompatiblePluginError, match=r"pycograd-new 1\.0 needs plugin API 2;"):
        activate("new")
    assert state(fresh, "new") == "incompatible"


def test_two_plugins_that_replace_one_lowering(good: Path, fresh: Hub) -> None:
    plugin(good, "first", "chaos_plugins:Replacing")
    plugin(good, "second", "chaos_plugins:ReplacingToo")
    found = get_backend("good")
    activate("first")
    assert found.lowering(REGISTRY["sin"]) is np.cos
    with pytest.raises(PluginError, match=r"both first .* and second .* give backend 'good'"):
        activate("second")
    assert found.lowering(REGISTRY["sin"]) is np.cos


@pytest.mark.parametrize(
    "value, cause",
    [
        ("NotAPass", "no GraphPass"),
        ("BreaksGraphs", "changed the type of the graph"),
        ("NotAGraph", "returned None, which is no Graph"),
    ],
)
def test_passes_that_are_none(value: str, cause: str, good: Path, fresh: Hub) -> None:
    plugin(good, "passes", f"chaos_plugins:{value}")
    activate("passes")
    with pytest.raises(PluginError, match=cause):
        optimize(capture(np.sin, 1.0))


def test_a_missing_lowering_that_is_none(good: Path, fresh: Hub) -> None:
    plugin(good, "none", "chaos_plugins:NotALowering")
    activate("none")
    with device("good"), pytest.raises(PluginError, match="pycograd_lower_missing returned 'tanh'"):
        grad(lambda x: np.sum(np.tanh(x)))(np.ones(2))


def test_a_plugin_of_the_program_can_be_replaced(good: Path, fresh: Hub) -> None:
    get_backend("good")
    sys.path_importer_cache.clear()
    (good / "chaos_plugins.py").write_text(
        (Path(__file__).parent / "chaos" / "chaos_plugins.py").read_text()
    )
    import chaos_plugins

    register_plugin("mine", chaos_plugins.Well)
    assert "chaos_triple" in REGISTRY
    register_plugin("mine", chaos_plugins.Marked())
    assert "chaos_triple" not in REGISTRY
    assert not get_backend("good").added
    assert extend.lower_missing is None
    assert extend.graph_passes is None
