"""The active plugins: pluggy calls them, and what one of them adds is taken back if it fails.

pluggy keeps a plugin registered whose replayed hook raised, and does not say whose hook it was that
raised; so hooks that register something are called here plugin by plugin, late ones included.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import pluggy

from pycograd.core import extend
from pycograd.core.backend import Backend, Probe
from pycograd.core.errors import PluginError
from pycograd.core.ir import Graph
from pycograd.plugins.additions import (
    Check,
    GraphPass,
    Keys,
    Lowerings,
    Registry,
    forget,
    recorded,
)
from pycograd.plugins.hookspecs import HOOKS, PREFIX, PROJECT, PluginBase


class _Manager(pluggy.PluginManager):
    """pluggy's, to which the methods that a `PluginBase` overrides are hooks without a marker."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        found = super().parse_hookimpl_opts(plugin, name)
        if name not in HOOKS or not isinstance(plugin, PluginBase):
            return found
        if getattr(type(plugin), name) is getattr(PluginBase, name):
            return None  # does nothing, so is not worth a call
        return _UNMARKED if found is None else found


_UNMARKED = {
    **dict.fromkeys(("wrapper", "hookwrapper", "optionalhook", "tryfirst", "trylast"), False),
    "specname": None,
}


class Hooks:
    """The active plugins of a hub, by name."""

    def __init__(self) -> None:
        self._manager = _Manager(PROJECT)
        self._manager.add_hookspecs(PluginBase)
        self._defined: dict[str, Keys] = {}
        self._backends: dict[int, tuple[Backend, Probe, dict[str, str]]] = {}
        self._passes: dict[Any, list[Any]] = {}

    # -- coming and going ----------------------------------------------------------------------
    def add(self, name: str, plugin: Any) -> None:
        """Registers a plugin and lets it add what it has; all of it or, if it raises, nothing."""
        _check_names(plugin)
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
            keys: Keys = []
            with recorded(keys):
                self._one(name, "register_primitives", {"registry": Registry()})
            self._defined[name] = keys
            for known in list(self._backends.values()):
                self._offer(name, *known)
        except BaseException:
            self.remove(name)
            raise
        self._announce()

    def remove(self, name: str) -> None:
        """Unregisters a plugin and takes back what it added."""
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)
        for backend, _, owners in self._backends.values():
            Lowerings(backend, name, owners).withdraw()
        forget(self._defined.pop(name, []))
        self._announce()

    def connect(self, backend: Backend, probe: Probe) -> None:
        """Lets every plugin add to a backend that is about to be used.

        Raises:
            HookFailure: one of them failed, and is active no longer.
        """
        owners: dict[str, str] = {}
        self._backends[id(backend)] = backend, probe, owners
        for name, _ in self._manager.list_name_plugin():
            try:
                self._offer(name, backend, probe, owners)
            except BaseException as error:
                del self._backends[id(backend)]
                backend.added = {}
                self.remove(name)
                raise HookFailure(name) from error

    def _offer(self, name: str, backend: Backend, probe: Probe, owners: dict[str, str]) -> None:
        if backend.name != "numpy":  # whose lowerings are the implementations themselves
            table = Lowerings(backend, name, owners)
            self._one(name, "register_lowerings", {"backend": backend, "table": table})
        self._one(name, "backend_activated", {"name": backend.name, "probe": probe})

    def _one(self, name: str, hook: str, arguments: dict[str, Any]) -> list[Any]:
        """The results of one plugin's implementation of a hook."""
        others = [p for n, p in self._manager.list_name_plugin() if n != name]
        call = self._manager.subset_hook_caller(PREFIX + hook, others)
        return call(**arguments)  # type: ignore[no-any-return]

    def _announce(self) -> None:
        """Tells the machine which hooks there are to ask."""
        self._passes.clear()
        hook = self._manager.hook
        missing = hook.pycograd_lower_missing.get_hookimpls()
        extend.lower_missing = self.lower_missing if missing else None
        passes = hook.pycograd_graph_passes.get_hookimpls()
        extend.graph_passes = self.passes if passes else None

    # -- asked by the machine ------------------------------------------------------------------
    def lower_missing(
        self, primitive: Any, backend: Any, avals: Sequence[Any]
    ) -> Callable[..., Any] | None:
        """The first lowering that a plugin has for a primitive without one."""
        found = self._manager.hook.pycograd_lower_missing(
            primitive=primitive, backend=backend, avals=avals
        )
        if found is not None and not callable(found):
            raise PluginError(
                f"pycograd_lower_missing returned {found!r} for {primitive.name!r}, which is no"
                " lowering"
            )
        return found  # type: ignore[no-any-return]

    def passes(self, core: Sequence[str], backend: str) -> list[Any]:
        """The core's passes and those of the plugins, in an order that suits all."""
        key = tuple(core), backend
        if key not in self._passes:
            self._passes[key] = self._ordered(core, backend)
        return self._passes[key]

    def _ordered(self, core: Sequence[str], backend: str) -> list[Any]:
        found: dict[str, GraphPass] = {}
        for name, _ in self._manager.list_name_plugin():
            for each in [
                p for ps in self._one(name, "graph_passes", {"backend": backend}) for p in ps
            ]:
                if not isinstance(each, GraphPass):
                    raise PluginError(f"a pass of plugin {name!r} is {each!r}, no GraphPass")
                if each.name in found or each.name in core:
                    raise PluginError(f"there are two graph passes named {each.name!r}")
                found[each.name] = each
        runs = {each.name: _kept(each) for each in found.values()}
        return [runs.get(name, name) for name in in_order(core, list(found.values()))]

    def checks(self, backend: str) -> list[Check]:
        """What the plugins have to say of a backend; one that raises is a line of its own."""
        lines: list[Check] = []
        for name, _ in self._manager.list_name_plugin():
            try:
                found = [
                    c for cs in self._one(name, "doctor_checks", {"backend": backend}) for c in cs
                ]
                if bad := [c for c in found if not isinstance(c, Check)]:
                    raise TypeError(f"{bad[0]!r} is no Check")
                lines += found
            except Exception as error:
                lines.append(Check(f"plugin {name}", False, f"{type(error).__name__}: {error}"))
        return lines

    def owner(self, backend: Backend, primitive: str) -> str:
        """The plugin that gave a backend its lowering of a primitive; empty if it is its own."""
        known = self._backends.get(id(backend))
        return known[2].get(primitive, "") if known else ""

    def definer(self, primitive: str) -> str:
        """The plugin that defined a primitive; empty for the core."""
        for name, keys in self._defined.items():
            if keys and primitive in keys[0]:
                return name
        return ""


class HookFailure(Exception):
    """A hook of the plugin of this name raised."""


def _check_names(plugin: Any) -> None:
    """Refuses what looks like a hook and is none, and hooks that nobody would call."""
    for name in dir(plugin):
        if name.startswith(PREFIX) and name not in HOOKS and callable(getattr(plugin, name, None)):
            near = get_close_matches(name, HOOKS, n=1)
            hint = (
                f" Did you mean {near[0]}?" if near else f" There are {', '.join(sorted(HOOKS))}."
            )
            raise TypeError(f"{name} is no hook.{hint}")
        if name in HOOKS and not isinstance(plugin, PluginBase):
            if not hasattr(getattr(plugin, name), f"{PROJECT}_impl"):
                raise TypeError(f"{name} is not marked: write @hookimpl above it")
        if name in HOOKS:
            known = [p for p in inspect.signature(getattr(PluginBase, name)).parameters][1:]
            for own in inspect.signature(getattr(plugin, name)).parameters:
                if own not in known:
                    raise TypeError(f"{name} takes {', '.join(known)}, and nothing named {own!r}")


def _kept(each: GraphPass) -> Callable[[Graph], Graph]:
    """The pass, which is held to return a graph of the same type."""

    def run(graph: Graph) -> Graph:
        made = each.run(graph)
        if not isinstance(made, Graph):
            raise PluginError(f"graph pass {each.name!r} returned {made!r}, which is no Graph")
        if _type(made) != _type(graph):
            raise PluginError(
                f"graph pass {each.name!r} changed the type of the graph, {_type(graph)} to"
                f" {_type(made)}"
            )
        return made

    return run


def _type(graph: Graph) -> str:
    ends = [[str(x.aval) for x in side] for side in (graph.inputs, graph.outputs)]
    return f"({', '.join(ends[0])}) -> ({', '.join(ends[1])})"


def in_order(core: Sequence[str], passes: Sequence[GraphPass]) -> list[str]:
    """The names of all passes: the core's in their order, each other after and before its own.

    A pass that asks for nothing comes after those of the core.

    >>> in_order(["algebra"], [GraphPass("late", str), GraphPass("early", str, before=["algebra"])])
    ['early', 'algebra', 'late']
    """
    names = [*core, *[p.name for p in passes]]
    follows: dict[str, set[str]] = {name: set() for name in names}
    for first, second in itertools.pairwise(core):
        follows[second].add(first)
    for each in passes:
        follows[each.name] |= set(each.after) & set(names)
        for later in set(each.before) & set(names):
            follows[later].add(each.name)
        if not each.before and not each.after:
            follows[each.name] |= set(core)
    placed: list[str] = []
    while len(placed) < len(names):
        ready = [n for n in names if n not in placed and follows[n] <= set(placed)]
        if not ready:
            left = ", ".join(n for n in names if n not in placed)
            raise PluginError(f"graph passes wait for each other: {left}")
        placed.append(ready[0])
    return placed
