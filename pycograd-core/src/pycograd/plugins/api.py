"""All that a plugin imports from pycograd.

A backend subclasses `Backend`, an exporter `Exporter`.
"""

from __future__ import annotations

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.backend import API_VERSION, Backend, Capabilities, Probe
from pycograd.core.dims import Dim
from pycograd.core.errors import (
    BackendUnavailableError,
    ExportError,
    LoweringNotFoundError,
    PycogradError,
    UnsupportedDtypeError,
)
from pycograd.core.ir import Equation, Graph, Literal, Value
from pycograd.plugins.export import Exporter

__all__ = [
    "API_VERSION",
    "Backend",
    "BackendUnavailableError",
    "Capabilities",
    "Dim",
    "Equation",
    "ExportError",
    "Exporter",
    "Graph",
    "Literal",
    "LoweringNotFoundError",
    "Probe",
    "PycogradError",
    "ShapeDtypeStruct",
    "UnsupportedDtypeError",
    "Value",
]
