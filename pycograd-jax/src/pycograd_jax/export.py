"""Functions as StableHLO text, which XLA's other front ends and IREE read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pycograd.plugins.api import Exporter, ExportError, Graph, capture, lowered, optimized


class StableHloExporter(Exporter):
    """Writes graphs as StableHLO text; the arrays that they hold are written into it."""

    name: ClassVar[str] = "stablehlo"

    def export(self, graph: Graph, path: str | os.PathLike[str], **options: Any) -> str:
        """Writes a graph to a file, whole or not at all.

        Arguments:
            graph: with sizes that are known.
            path: where to.

        Returns:
            The text.

        Raises:
            ExportError: there are symbolic sizes, or unknown options.
        """
        if options:
            raise ExportError(f"stablehlo: unknown options {', '.join(sorted(options))}")
        text = text_of(graph)
        _write(text, path)
        return text

    def verify(
        self, path: str | os.PathLike[str], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        """Raises `ExportError` if the file does not compute these outputs from these inputs."""
        verify_text(Path(path).read_text(), inputs, outputs)


def export_stablehlo(
    f: Callable[..., Any] | Graph,
    example_inputs: Sequence[Any],
    path: str | os.PathLike[str] | None = None,
) -> str:
    """The StableHLO text of a function, checked by running it.

    Arguments:
        f: a function of arrays, or a graph.
        example_inputs: arrays, with the shapes and dtypes that the text is for.
        path: where to write it; nowhere if None. No file is left of an export that fails.

    Returns:
        The text of the module; its function `main` takes and returns the leaves in their order.

    Raises:
        ExportError: the text computes something else, or a result is in the data.

    >>> import numpy as np
    >>> text = export_stablehlo(lambda x: np.sin(x) * 2.0, [np.ones(3)])
    >>> "stablehlo.sine" in text
    True
    """
    inputs = tuple(example_inputs)
    graph = f if isinstance(f, Graph) else capture(f, *inputs)
    leaves = [np.asarray(x) for x in _leaves(inputs)]
    text = text_of(graph)
    verify_text(text, leaves, [np.asarray(x) for x in graph.evaluate(leaves)])
    if path is not None:
        _write(text, path)
    return text


def text_of(graph: Graph) -> str:
    """The StableHLO text of a graph."""
    import jax

    from pycograd_jax.backend import JaxBackend
    from pycograd_jax.precision import wide

    for v in graph.inputs:
        if not all(isinstance(n, int) for n in v.shape):
            raise ExportError(
                f"stablehlo: an input of {graph.name} has the symbolic shape {v.shape}: give the"
                " axes numbers"
            )
    run = lowered(optimized(graph, JaxBackend.name), JaxBackend())
    with wide():
        specs = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in graph.inputs]
        # An argument that is not used stays one of `main`.
        made = jax.jit(lambda *xs: run(*xs), keep_unused=True).lower(*specs)
        return str(made.as_text())


def verify_text(text: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Raises `ExportError` if the module does not compute these outputs from these inputs."""
    import jax
    from jax.extend.backend import get_backend
    from jaxlib import xla_client

    from pycograd_jax.precision import wide

    client: Any = get_backend("cpu")
    device = client.local_devices()[0]
    with wide():
        arrays = [jax.device_put(np.asarray(x), device) for x in inputs]
        options = xla_client.CompileOptions()
        if hasattr(client, "compile_and_load"):
            places = xla_client.DeviceList((device,))
            program = client.compile_and_load(text, places, options)
        else:  # the releases before 0.7
            program = client.compile(text, options)
        results = program.execute_sharded(arrays).disassemble_into_single_device_arrays()
        found = [np.asarray(x[0]) for x in results]
    if len(found) != len(outputs):
        raise ExportError(f"stablehlo: {len(found)} results in place of {len(outputs)}")
    for i, (a, b) in enumerate(zip(found, outputs)):
        b = np.asarray(b)
        if a.shape != b.shape or a.dtype != b.dtype:
            raise ExportError(
                f"stablehlo: result {i} is {a.dtype}{a.shape} in place of {b.dtype}{b.shape}"
            )
        if a.dtype.kind in "biu":
            close = np.array_equal(a, b)
        else:
            eps = float(np.finfo(a.dtype).eps) if a.dtype.kind in "fc" else 2.0**-7
            scale = max(1.0, float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0)))
            close = np.allclose(a, b, rtol=0, atol=eps**0.6 * scale, equal_nan=True)
        if not close:
            raise ExportError(f"stablehlo: result {i} differs: {a} in place of {b}")


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        return [leaf for x in tree for leaf in _leaves(x)]
    return [] if tree is None else [tree]


def _write(text: str, path: str | os.PathLike[str]) -> None:
    """The whole file or none."""
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
