"""Plugins of hooks: one that does well, and some that do not."""

import numpy as np

from pycograd.plugins.api import Check, GraphPass, PluginBase, hookimpl


class Well(PluginBase):
    """A new operation, its lowering, a pass, and a check."""

    seen: list = []

    def pycograd_register_primitives(self, registry):
        Well.triple = registry.elementwise(
            "chaos_triple", lambda x: 3.0 * x, [lambda t: 3.0 * t], dtype=lambda x: x.dtype
        )

    def pycograd_register_lowerings(self, backend, table):
        from chaos_good import lowered

        if "chaos_triple" not in table:
            table["chaos_triple"] = lowered(lambda x: 3.0 * x)

    def pycograd_lower_missing(self, primitive, backend, avals):
        from chaos_good import lowered

        Well.seen.append((primitive.name, [a.shape for a in avals]))
        return lowered(primitive.impl) if primitive.name == "tanh" else None

    def pycograd_graph_passes(self, backend):
        def run(graph):
            Well.seen.append(("pass", backend))
            return graph

        return [GraphPass("chaos", run, before=["algebra"])]

    def pycograd_backend_activated(self, name, probe):
        Well.seen.append((name, probe.ok))

    def pycograd_doctor_checks(self, backend):
        return [Check("chaos", True, f"looked at {backend}")]


class HalfWay(PluginBase):
    """Registers something of everything, and then fails."""

    def pycograd_register_primitives(self, registry):
        registry.elementwise(
            "chaos_half", lambda x: x, [lambda t: t], dtype=lambda x: x.dtype, spellings=[len]
        )
        registry.spells(sorted)(lambda x: x)
        raise RuntimeError("half-way through registration")


class LaterHalfWay(PluginBase):
    """Fails when it is offered a backend."""

    def pycograd_register_primitives(self, registry):
        registry.elementwise("chaos_late", lambda x: x, [lambda t: t], dtype=lambda x: x.dtype)

    def pycograd_register_lowerings(self, backend, table):
        table["chaos_late"] = abs
        table.replace("sin", abs)
        raise RuntimeError("no lowering for you")


class Misspelt(PluginBase):
    def pycograd_register_lowering(self, backend, table):
        pass


class WrongArguments(PluginBase):
    def pycograd_graph_passes(self, backend, graph):
        return []


class Typo(PluginBase):
    def pycograd_register_lowerings(self, backend, table):
        table["sine"] = np.sin


class Taken(PluginBase):
    def pycograd_register_lowerings(self, backend, table):
        table["sin"] = np.sin


class Replacing(PluginBase):
    def pycograd_register_lowerings(self, backend, table):
        table.replace("sin", np.cos)


class ReplacingToo(Replacing):
    pass


class NotALowering(PluginBase):
    def pycograd_lower_missing(self, primitive, backend, avals):
        return "tanh"


class NotAPass(PluginBase):
    def pycograd_graph_passes(self, backend):
        return [lambda graph: graph]


class BreaksGraphs(PluginBase):
    def pycograd_graph_passes(self, backend):
        return [GraphPass("breaking", lambda graph: graph.with_body([], graph.outputs[:0]))]


class NotAGraph(PluginBase):
    def pycograd_graph_passes(self, backend):
        return [GraphPass("nothing", lambda graph: None)]


class BadChecks(PluginBase):
    def pycograd_doctor_checks(self, backend):
        raise RuntimeError("nobody is in")


class Marked:
    """Without the base class, hooks carry a mark."""

    api = (1, 0)
    seen: list = []

    @hookimpl
    def pycograd_backend_activated(self, name):
        Marked.seen.append(name)


class Unmarked:
    api = (1, 0)

    def pycograd_backend_activated(self, name):
        pass


class WithoutApi:
    pass


class NewMajor(PluginBase):
    api = (2, 0)
