"""Functions as StableHLO text, which XLA's other front ends and IREE read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pycograd.plugins.api import (
    Exporter,
    ExportError,
    Graph,
    PycogradError,
    ShapeDtypeStruct,
    Value,
    capture,
    lowered,
    optimized,
    replacing,
    tree_flatten,
    trial_array,
    trial_sizes,
)


class StableHloExporter(Exporter):
    """Writes graphs as StableHLO text; the arrays that they hold are written into it."""

    name: ClassVar[str] = "stablehlo"

    def export(self, graph: Graph, path: str | os.PathLike[str], **options: Any) -> str:
        """Writes a graph to a file, whole or not at all, once the text has been run.

        Arguments:
            graph: what to write; symbolic sizes stay open.
            path: where to.
            options: `example_inputs`, arrays to try it on; drawn if left out.

        Returns:
            The text.

        Raises:
            ExportError: as `export_stablehlo`; there are unknown options.
        """
        inputs = options.pop("example_inputs", None)
        if options:
            raise ExportError(f"stablehlo: unknown options {', '.join(sorted(options))}")
        return export_stablehlo(graph, [v.aval for v in graph.inputs] if inputs is None else inputs,
                                path)  # fmt: skip

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
        example_inputs: its arguments: arrays, `ShapeDtypeStruct`s, or trees of them. A symbolic
            size, `ShapeDtypeStruct((Dim.of("B"), 3), np.float64)`, stays open in the text; it is
            run with two numbers in its place.
        path: where to write it; nowhere if None. No file is left of an export that fails.

    Returns:
        The text of the module; its function `main` takes and returns the leaves in their order.

    Raises:
        ExportError: the text computes something else, a result is in the data, JAX cannot keep a
            size open, or the inputs do not fit the graph.

    >>> import numpy as np
    >>> text = export_stablehlo(lambda x: np.sin(x) * 2.0, [np.ones(3)])
    >>> "stablehlo.sine" in text
    True
    """
    if not isinstance(example_inputs, (tuple, list)):
        raise ExportError(
            "stablehlo: example_inputs is a list with an entry for each argument, not a"
            f" {type(example_inputs).__name__}"
        )
    inputs = tuple(example_inputs)
    graph = f if isinstance(f, Graph) else capture(f, *inputs)
    examples = _examples(graph, inputs)
    text = text_of(graph)
    for sizes in trial_sizes(examples):
        arrays = [
            trial_array(x, sizes, i) if isinstance(x, ShapeDtypeStruct) else np.asarray(x)
            for i, x in enumerate(examples)
        ]
        verify_text(text, arrays, [np.asarray(x) for x in graph.evaluate(arrays)])
    if path is not None:
        with replacing(path) as new, open(new, "w", encoding="utf-8") as file:
            file.write(text)
    return text


def _examples(graph: Graph, inputs: tuple[Any, ...]) -> list[Any]:
    """What stands for each input of a graph, of the arguments that it is tried on."""
    leaves = tree_flatten(inputs)[0]
    if len(leaves) == len(graph.given):  # numbers and texts among them are part of the program
        leaves = [x for x, v in zip(leaves, graph.given) if isinstance(v, Value)]
    if len(leaves) != len(graph.inputs):
        raise ExportError(
            f"stablehlo: {graph.name} has {len(graph.inputs)} inputs, and {len(leaves)} were given"
        )
    return leaves


def text_of(graph: Graph) -> str:
    """The StableHLO text of a graph; its symbolic sizes stay open."""
    import jax

    from pycograd_jax.backend import JaxBackend
    from pycograd_jax.precision import wide

    run = lowered(optimized(graph, JaxBackend.name), JaxBackend())
    # An argument that is not used stays one of `main`.
    made = jax.jit(lambda *xs: run(*xs), keep_unused=True)
    with wide():
        if all(isinstance(n, int) for v in graph.inputs for n in v.shape):
            specs = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in graph.inputs]
            return str(made.lower(*specs).as_text())
        return _open_text(made, graph)


def _open_text(run: Any, graph: Graph) -> str:
    """The text of a function of inputs some of whose sizes are symbols."""
    import jax
    from jax import export
    from jax.interpreters.mlir import make_ir_context
    from jaxlib.mlir import ir

    scope = export.SymbolicScope()
    try:
        specs = [
            jax.ShapeDtypeStruct(
                export.symbolic_shape(", ".join(map(repr, v.shape)), scope=scope), v.dtype
            )
            if v.shape
            else jax.ShapeDtypeStruct((), v.dtype)
            for v in graph.inputs
        ]
        text = str(export.export(run)(*specs).mlir_module())
    except PycogradError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ExportError(
            f"stablehlo: JAX cannot keep the sizes of {graph.name} open: {reason}. Give the axes"
            " numbers"
        ) from error
    with make_ir_context():  # to print it without the lines of source that it comes from
        text = ir.Module.parse(text).operation.get_asm(enable_debug_info=False)
    # Checks of the sizes are calls that JAX alone knows; what they return is nothing.
    return "\n".join(line for line in text.split("\n") if "@shape_assertion" not in line)


def verify_text(text: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Raises `ExportError` if the module does not compute these outputs from these inputs."""
    import jax
    from jax.extend.backend import get_backend
    from jaxlib import xla_client

    from pycograd_jax.precision import wide

    client: Any = get_backend("cpu")
    device = client.local_devices()[0]
    code = _of_sizes(text, inputs) if "jax.uses_shape_polymorphism" in text else text
    with wide():
        arrays = [jax.device_put(np.asarray(x), device) for x in inputs]
        options = xla_client.CompileOptions()
        if hasattr(client, "compile_and_load"):
            places = xla_client.DeviceList((device,))
            program = client.compile_and_load(code, places, options)
        else:  # the releases before 0.7
            program = client.compile(code, options)
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


def _of_sizes(text: str, inputs: Sequence[Any]) -> bytes:
    """A module with the sizes of these inputs in the place of the open ones, as XLA takes it."""
    from io import BytesIO

    from jax.interpreters.mlir import make_ir_context
    from jaxlib import xla_client
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    with make_ir_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        main = next(f for f in module.body.operations if f.name.value == "main")
        given = list(main.entry_block.arguments)
        types = [
            ir.RankedTensorType.get(np.shape(x), ir.RankedTensorType(v.type).element_type)
            for x, v in zip(inputs, given)
        ]
        for value, known in zip(given, types):
            was = value.type
            value.set_type(known)
            if was != known:  # what the code knows of it stays open
                with ir.InsertionPoint.at_block_begin(main.entry_block):
                    opened = stablehlo.ConvertOp(was, value)
                value.replace_all_uses_except(opened.result, opened.operation)
        whole = ir.FunctionType.get(types, main.type.results)
        main.attributes["function_type"] = ir.TypeAttr.get(whole)
        written = BytesIO()
        module.operation.write_bytecode(written)
    xla: Any = xla_client._xla
    made: bytes = xla.mlir.refine_polymorphic_shapes(
        written.getvalue(), enable_shape_assertions=True, validate_static_shapes=True
    )
    return made
