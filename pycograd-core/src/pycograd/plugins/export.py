"""`Exporter`: what a plugin for a file format says of itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from pycograd.core.ir import Graph


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
        raise NotImplementedError(f"{type(self).__qualname__} does not define export")

    def verify(
        self, path: str | os.PathLike[str], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        """Raises `ExportError` if the file does not compute these outputs from these inputs."""
        raise NotImplementedError(f"{type(self).__qualname__} does not define verify")
