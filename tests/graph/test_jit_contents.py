"""What a compiled function finds in containers and objects is what is there when it is called."""

import functools
import types
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pycograd import explain, grad, jit
from pycograd.graph.reads import Reads

X = np.linspace(0.5, 2.0, 6)


def compiled(f):
    """The function compiled, compared with itself at each call."""
    made = jit(f)

    def check():
        np.testing.assert_allclose(made(X), f(X), rtol=1e-12)

    check()
    return check, made


def test_entries_of_containers():
    settings, values, pair = {"scale": 2.0}, [1.0, [3.0]], (np.ones(6), {"k": 2})
    check, made = compiled(
        lambda x: x * settings["scale"] + values[0] * values[1][0] + pair[0] * pair[1]["k"]
    )
    settings["scale"] = 3.0
    check()
    values[0] = 5.0
    check()
    values[1][0] = -1.0
    check()
    pair[0][2:] = 7.0
    check()
    pair[1]["k"] = 4
    check()
    count = explain(made).splitlines()[0]
    check()
    assert explain(made).splitlines()[0] == count  # nothing has changed
    assert "settings['scale'] is another object now" in explain(made)


def test_entries_that_come_and_go():
    parts, table, chosen = [2.0], OrderedDict(a=3.0), {1, 2}
    check, _ = compiled(lambda x: x * sum(parts) + sum(table.values()) + len(chosen))
    parts.append(4.0)
    check()
    table["b"] = 5.0
    check()
    del table["a"]
    check()
    chosen.add(3)
    check()
    parts.clear()
    check()


class Layer:
    rate = 2.0

    def __init__(self, w: Any) -> None:
        self.w = w

    def __call__(self, x: Any) -> Any:
        return self.helped(x) * self.rate

    def helped(self, x: Any) -> Any:
        return np.tanh(x * self.w)


@dataclass
class Net:
    layers: list[Layer] = field(default_factory=lambda: [Layer(np.ones(6)), Layer(2.0)])
    bias: float = 0.5

    def apply(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x + self.bias

    def __call__(self, x: Any) -> Any:
        return self.apply(x)


@pytest.mark.parametrize("of", ["object", "method", "closure", "argument of a transform"])
def test_attributes_of_objects(of):
    net = Net()
    f = {
        "object": net,
        "method": net.apply,
        "closure": lambda x: net.apply(x),
        "argument of a transform": grad(lambda x: np.sum(net(x)), argnums=0),
    }[of]
    check, _ = compiled(f)
    net.bias = 1.5
    check()
    net.layers[0].w = np.arange(6.0)
    check()
    net.layers[0].w[3] = 0.25
    check()
    net.layers.append(Layer(0.5))
    check()
    net.layers[2].w = 0.75
    check()
    net.layers[1].rate = 3.0  # where the class had one
    check()


def test_attributes_of_a_class_and_of_a_namespace(monkeypatch):
    config = types.SimpleNamespace(scale=2.0, inner=types.SimpleNamespace(shift=1.0))
    layer = Layer(0.5)
    check, _ = compiled(lambda x: layer(x) * config.scale + config.inner.shift)
    monkeypatch.setattr(Layer, "rate", 5.0)
    check()
    config.scale = 3.0
    check()
    config.inner.shift = 4.0
    check()


class Slotted:
    __slots__ = ("scale",)

    def __init__(self, scale: Any) -> None:
        self.scale = scale


def test_attributes_in_slots():
    outer = Slotted(Slotted(2.0))
    check, _ = compiled(lambda x: x * outer.scale.scale)
    outer.scale.scale = 3.0
    check()
    outer.scale = Slotted(np.arange(6.0))
    check()
    outer.scale.scale[2] = 9.0
    check()


class Config:
    scale = 2.0
    table: Any = {"shift": 1.0}

    @staticmethod
    def scaled(x: Any) -> Any:
        return x * Config.scale

    @classmethod
    def shifted(cls, x: Any) -> Any:
        return x + cls.table["shift"]


def counted(x: Any) -> Any:
    return x * counted.factor  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * Config.scale + Config.table["shift"],
        lambda x: Config.scaled(x) + Config.shifted(x),
        lambda x: Config().scaled(x) + Config().shifted(x),
    ],
)
def test_a_class_that_holds_settings(f, monkeypatch):
    monkeypatch.setattr(Config, "table", {"shift": 1.0})
    check, _ = compiled(f)
    monkeypatch.setattr(Config, "scale", 3.0)
    check()
    Config.table["shift"] = 4.0
    check()
    monkeypatch.setattr(Config, "scaled", staticmethod(lambda x: x - Config.scale))
    check()


def test_attributes_of_functions_and_of_modules_in_modules():
    package, part = types.ModuleType("package"), types.ModuleType("package.part")
    package.part, part.scale, counted.factor = part, 2.0, 3.0  # type: ignore[attr-defined]
    check, _ = compiled(lambda x: counted(x) * package.part.scale)
    part.scale = 4.0  # type: ignore[attr-defined]
    check()
    counted.factor = 5.0  # type: ignore[attr-defined]
    check()


@pytest.mark.parametrize("large", [list(range(5000)), dict.fromkeys(range(5000), 1)])
def test_what_is_small_beside_what_is_large(large):
    a, z = {"scale": 2.0}, [1.0]
    check, _ = compiled(lambda x: x * a["scale"] + large[1] + z[0])
    a["scale"] = 3.0
    check()
    z[0] = 4.0
    check()


def test_functions_that_are_found_inside():
    scale = 2.0
    act = {"f": lambda x: x * scale}
    check, _ = compiled(lambda x: act["f"](x))
    scale = 3.0
    check()
    act["f"] = np.tanh
    check()


def test_what_is_reached_again_is_compared_once():
    """Functions that are found inside make the search begin anew, for the names they use."""
    layer = Layer(2.0)
    table = {"a": functools.partial(lambda k, x: k * x, 3.0), "f": lambda x: layer(x), "b": layer}
    check, _ = compiled(lambda x: table["f"](table["a"](x)) + table["b"](x))
    found = Reads(lambda x: table["f"](table["a"](x)) + table["b"](x))
    names = [read.name for read in (*found.variables, *found.contents)]
    assert sorted(set(names)) == sorted(names)
    layer.w = 3.0
    check()


def test_what_a_function_writes_itself_does_not_compile_it_anew():
    seen: dict[str, Any] = {"calls": 0}
    cache: list[int] = []

    def f(x):
        seen["calls"] += 1
        cache.append(1)
        return x * 2.0

    made = jit(f)
    for _ in range(3):
        np.testing.assert_allclose(made(X), 2 * X)
    assert explain(made).startswith("f: compiled 1 time\n") and seen["calls"] == 1


def test_what_refers_to_itself_and_what_is_large():
    ring: dict[str, Any] = {"scale": 2.0}
    ring["me"] = ring
    large = [float(i) for i in range(5000)]
    check, made = compiled(lambda x: x * ring["me"]["scale"] + large[1])
    ring["scale"] = 3.0
    check()
    assert "large (list)" in explain(made)
