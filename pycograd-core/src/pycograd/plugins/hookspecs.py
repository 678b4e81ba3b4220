"""The hooks: what any number of plugins may add to, and `PluginBase`, which has them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pluggy

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.backend import Backend, Probe
from pycograd.core.primitive import Primitive
from pycograd.plugins.additions import Check, GraphPass, Lowerings, Registry

PROJECT = "pycograd"
PREFIX = "pycograd_"
hookimpl = pluggy.HookimplMarker(PROJECT)
_hookspec = pluggy.HookspecMarker(PROJECT)


class PluginBase:
    """A plugin of hooks. Each does nothing here; override those that you need.

    The signatures are typed, so a type checker sees an override that does not fit; a method with
    our prefix that is no hook is refused when the plugin is activated.

    Attributes:
        api: the version of this interface that the plugin was written for.

    >>> class Doubled(PluginBase):
    ...     def pycograd_register_primitives(self, registry):
    ...         registry.elementwise(
    ...             "doubled", lambda x: 2.0 * x, [lambda t: 2.0 * t], dtype=lambda x: x.dtype
    ...         )
    """

    api: ClassVar[tuple[int, int]] = (1, 0)

    @_hookspec
    def pycograd_register_primitives(self, registry: Registry) -> None:
        """Defines operations, once, when the plugin is activated."""

    @_hookspec
    def pycograd_register_lowerings(self, backend: Backend, table: Lowerings) -> None:
        """Adds lowerings to a backend: to those in use already, and to each that is used later."""

    @_hookspec(firstresult=True)
    def pycograd_lower_missing(
        self, primitive: Primitive, backend: Backend, avals: Sequence[ShapeDtypeStruct]
    ) -> Callable[..., Any] | None:
        """A lowering for a primitive that the backend has none of; None leaves it to others."""
        return None

    @_hookspec
    def pycograd_graph_passes(self, backend: str) -> Sequence[GraphPass]:
        """Passes that `optimize` runs on graphs that this backend will execute."""
        return ()

    @_hookspec
    def pycograd_backend_activated(self, name: str, probe: Probe) -> None:
        """A backend is about to be used for the first time, or was when the plugin came."""

    @_hookspec
    def pycograd_doctor_checks(self, backend: str) -> Sequence[Check]:
        """Lines for `pycograd doctor` about a backend."""
        return ()


HOOKS = frozenset(name for name in vars(PluginBase) if name.startswith(PREFIX))
