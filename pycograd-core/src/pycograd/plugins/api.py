"""All that a plugin imports from pycograd.

A backend subclasses `Backend`, an exporter `Exporter`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.backend import Backend, Capabilities, Probe
from pycograd.core.dims import Dim
from pycograd.core.errors import (
    BackendUnavailableError,
    ExportError,
    LoweringNotFoundError,
    PycogradError,
    UnsupportedDtypeError,
)
from pycograd.core.ir import Equation, Graph, Literal, Value

API_VERSION: Final = (1, 0)  # what this pycograd-core provides


class Exporter:
    """A file format that graphs are written to.

    Attributes:
        name: what users write, `"onnx"`.
        api: the version of this interface that the plugin was written for.
    """

    name: ClassVar[str]
    api: ClassVar[tuple[int, int]] = (1, 0)

    def export(self, graph: Graph, path: str | os.PathLike[str], **options: Any) -> Any:
        """Writes a graph to a file, whole or not at all."""
        raise NotImplementedError

    def verify(
        self, path: str | os.PathLike[str], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        """Raises `ExportError` if the file does not compute these outputs from these inputs."""
        raise NotImplementedError


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
