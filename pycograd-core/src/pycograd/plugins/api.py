"""All that a plugin imports from pycograd.

A backend subclasses `Backend`, an exporter `Exporter`, a plugin of hooks `PluginBase`.
"""

from __future__ import annotations

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.backend import API_VERSION, Backend, Capabilities, Probe
from pycograd.core.dims import Dim
from pycograd.core.errors import (
    BackendUnavailableError,
    DefinitionError,
    ExportError,
    LoweringNotFoundError,
    PluginError,
    PycogradError,
    UnsupportedDtypeError,
)
from pycograd.core.files import replacing
from pycograd.core.ir import Equation, Graph, Literal, Value, value_like
from pycograd.core.primitive import Primitive, primitive_named
from pycograd.core.tree import tree_flatten, tree_paths, tree_unflatten
from pycograd.plugins.additions import Check, GraphPass, Lowerings, Registry
from pycograd.plugins.derived import capture, lowered, optimized
from pycograd.plugins.export import Exporter, trial_array, trial_sizes
from pycograd.plugins.hookspecs import PluginBase, hookimpl
from pycograd.plugins.loops import replayed

__all__ = [
    "API_VERSION",
    "Backend",
    "BackendUnavailableError",
    "Capabilities",
    "Check",
    "DefinitionError",
    "Dim",
    "Equation",
    "ExportError",
    "Exporter",
    "Graph",
    "GraphPass",
    "Literal",
    "LoweringNotFoundError",
    "Lowerings",
    "PluginBase",
    "PluginError",
    "Primitive",
    "Probe",
    "PycogradError",
    "Registry",
    "ShapeDtypeStruct",
    "UnsupportedDtypeError",
    "Value",
    "capture",
    "hookimpl",
    "lowered",
    "optimized",
    "primitive_named",
    "replacing",
    "replayed",
    "tree_flatten",
    "tree_paths",
    "tree_unflatten",
    "trial_array",
    "trial_sizes",
    "value_like",
]
