"""Files that torch runs without pycograd: TorchScript and `torch.export` programs.

Each is run and compared before it is handed out, and written whole or not at all.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pycograd.plugins.api import (
    Dim,
    Exporter,
    ExportError,
    Graph,
    ShapeDtypeStruct,
    replacing,
    trial_array,
    trial_sizes,
)


def export_torchscript(
    module: Any, example_inputs: Sequence[Any], path: str | os.PathLike[str] | None = None
) -> Any:
    """A module as TorchScript, which runs where there is no Python.

    It is for inputs of the shapes and dtypes of the example.

    Arguments:
        module: of `to_torch_module`, or any `nn.Module`.
        example_inputs: the arguments of one call, tensors or NumPy arrays. A symbolic size,
            `ShapeDtypeStruct((Dim.of("B"), 3), np.float64)`, stays open in the program.
        path: of the file to write; none is written if left out.

    Returns:
        The `torch.jit.ScriptModule`.

    Raises:
        ExportError: the result is not that of the module, or the module cannot be traced.

    >>> import numpy as np
    >>> import torch
    >>> from pycograd_torch import to_torch_module
    >>> module = to_torch_module(lambda w, x: np.tanh(x @ w), np.ones((3, 2)))
    >>> script = export_torchscript(module, [np.ones((4, 3))])
    >>> script(torch.ones(4, 3, dtype=torch.float64)).shape
    torch.Size([4, 2])
    """
    import torch

    def make(inputs: tuple[Any, ...], avals: Sequence[Any]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that a trace holds: they are promised
            return torch.jit.trace(module, inputs, check_trace=False, strict=False)

    return _exported(
        "export_torchscript",
        module,
        example_inputs,
        make,
        lambda made, inputs: made(*inputs),
        path,
        lambda made, file: torch.jit.save(made, file),
        lambda file: torch.jit.load(file),
    )


def export_program(
    module: Any, example_inputs: Sequence[Any], path: str | os.PathLike[str] | None = None
) -> Any:
    """A module as a program of `torch.export`: a graph of torch's own operations.

    Arguments:
        module: of `to_torch_module`, or any `nn.Module`.
        example_inputs: the arguments of one call, tensors or NumPy arrays. A symbolic size,
            `ShapeDtypeStruct((Dim.of("B"), 3), np.float64)`, stays open in the program.
        path: of the file to write (`.pt2`); none is written if left out.

    Returns:
        The `torch.export.ExportedProgram`.

    Raises:
        ExportError: the result is not that of the module, or the module cannot be exported.

    >>> import numpy as np
    >>> import torch
    >>> from pycograd_torch import to_torch_module
    >>> module = to_torch_module(lambda w, x: np.tanh(x @ w), np.ones((3, 2)))
    >>> program = export_program(module, [np.ones((4, 3))])
    >>> program.module()(torch.ones(4, 3, dtype=torch.float64)).shape
    torch.Size([4, 2])
    """
    import torch

    def make(inputs: tuple[Any, ...], avals: Sequence[Any]) -> Any:
        open_sizes = _open_sizes(avals)
        if open_sizes is not None and _of_all(module.forward):
            open_sizes = (open_sizes,)
        return torch.export.export(module, inputs, strict=False, dynamic_shapes=open_sizes)

    return _exported(
        "export_program",
        module,
        example_inputs,
        make,
        lambda made, inputs: made.module()(*inputs),
        path,
        lambda made, file: torch.export.save(made, file),
        lambda file: torch.export.load(file),
    )


def _exported(
    name: str,
    module: Any,
    example_inputs: Sequence[Any],
    make: Callable[[tuple[Any, ...], Sequence[Any]], Any],
    run: Callable[[Any, tuple[Any, ...]], Any],
    path: str | os.PathLike[str] | None,
    save: Callable[[Any, str], Any],
    load: Callable[[str], Any],
) -> Any:
    """What all exports do: run the module, make, compare, write, read, compare again."""
    import torch

    from pycograd_torch.module import FunctionModule

    if not isinstance(module, torch.nn.Module):
        raise ExportError(
            f"{name}: what is exported is an nn.Module, not a {type(module).__name__}:"
            " to_torch_module(f, params), or weights.to_torch_module(f), makes one of a function"
        )
    avals = _as_sequence(example_inputs)
    runs = [
        tuple([_tensor(x, sizes, i) for i, x in enumerate(avals)]) for sizes in trial_sizes(avals)
    ]
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            wanted = [module(*inputs) for inputs in runs]
            ours = isinstance(module, FunctionModule) and len(runs) > 1
            with module.of_sizes(avals, runs[0]) if ours else contextlib.nullcontext():
                try:
                    made = make(runs[0], avals)
                except ExportError:
                    raise
                except Exception as error:
                    raise ExportError(
                        f"{name}: torch cannot export the module: {_reason(error)}"
                    ) from error
            _agree(name, lambda inputs: run(made, inputs), runs, wanted)
            if path is not None:
                with replacing(path) as file:
                    save(made, file)
                    read = load(file)
                    _agree(name, lambda inputs: run(read, inputs), runs, wanted)
    finally:
        module.train(training)
    return made


def _reason(error: Exception) -> str:
    """The line of torch's message that says why."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    return next((x.strip(" -") for x in lines if "specialized it" in x), lines[0])


def _agree(
    name: str,
    run: Callable[[tuple[Any, ...]], Any],
    runs: Sequence[tuple[Any, ...]],
    wanted: Sequence[Any],
) -> None:
    """Raises unless a program gives these results, at all sizes."""
    for inputs, results in zip(runs, wanted):
        try:
            found = run(inputs)
        except Exception as error:
            shapes = ", ".join([str(tuple(x.shape)) for x in inputs])
            raise ExportError(
                f"{name}: the exported program fails on inputs of shapes {shapes}: {_reason(error)}"
            ) from error
        _compare(name, found, results)


# -- sizes -----------------------------------------------------------------------------------------
def _open_sizes(avals: Sequence[Any]) -> Any:
    """The axes of symbolic sizes as `torch.export` takes them; None if there are none."""
    import torch

    made: dict[str, Any] = {}

    def one(n: Dim) -> Any:
        name = repr(n)
        if not name.isidentifier():
            return torch.export.Dim.AUTO  # of other sizes: torch finds out how
        return made.setdefault(name, torch.export.Dim(name))

    found = tuple(
        [
            {axis: one(n) for axis, n in enumerate(x.shape) if isinstance(n, Dim)}
            if isinstance(x, ShapeDtypeStruct)
            else None
            for x in avals
        ]
    )
    return found if any(found) else None


def _of_all(forward: Callable[..., Any]) -> bool:
    """True for `forward(*inputs)`, whose inputs torch takes for one argument."""
    kinds = [p.kind for p in inspect.signature(forward).parameters.values()]
    return kinds == [inspect.Parameter.VAR_POSITIONAL]


def _as_sequence(inputs: Any) -> Sequence[Any]:
    return inputs if isinstance(inputs, (tuple, list)) else (inputs,)


def _tensor(x: Any, sizes: Mapping[str, int] | None = None, number: int = 0) -> Any:
    """An example as a tensor; entries drawn for it where its shape and dtype alone are given."""
    import torch

    from pycograd_torch.backend import TorchBackend

    if isinstance(x, torch.Tensor):
        return x
    if isinstance(x, ShapeDtypeStruct):
        return _tensor(trial_array(x, sizes or {}, number))
    if isinstance(x, (np.ndarray, np.generic, float, int)):
        return TorchBackend().from_numpy(np.asarray(x))
    raise ExportError(
        f"an example input is a tensor or an array, not a {type(x).__name__}; a tree is taken apart"
        " by a function of its leaves"
    )


def _compare(name: str, found: Any, wanted: Any) -> None:
    """Raises unless two results agree to rounding."""
    import torch
    from torch.utils._pytree import tree_leaves

    pairs = list(zip(tree_leaves(found), tree_leaves(wanted)))
    if len(tree_leaves(found)) != len(tree_leaves(wanted)):
        raise ExportError(f"{name}: the exported program returns another number of results")
    for i, (a, b) in enumerate(pairs):
        if a.shape != b.shape or a.dtype != b.dtype:
            raise ExportError(
                f"{name}: result {i} of the exported program is {a.dtype}{tuple(a.shape)}, that of"
                f" the module {b.dtype}{tuple(b.shape)}"
            )
        inexact = b.is_floating_point() or b.is_complex()
        bound = 100 * torch.finfo(b.dtype).eps if inexact else 0.0
        size = float(torch.abs(b).max()) if inexact and b.numel() else 1.0
        size = size if size < float("inf") else 1.0
        same = torch.allclose(a, b, rtol=bound, atol=bound * max(1.0, size), equal_nan=True)
        if not same:
            raise ExportError(f"{name}: result {i} of the exported program is not the module's")


# -- by name ---------------------------------------------------------------------------------------
class _TorchExporter(Exporter):
    """A graph as a file of torch."""

    def _write(self, module: Any, inputs: Sequence[Any], path: str | os.PathLike[str]) -> Any:
        raise NotImplementedError

    def _run(self, path: str, inputs: Sequence[Any]) -> Any:
        raise NotImplementedError

    def export(self, graph: Graph, path: str | os.PathLike[str], **options: Any) -> Any:
        """Writes a graph to a file, whole or not at all.

        Arguments:
            graph: what to write; symbolic sizes stay open.
            path: of the file.
            options: `example_inputs`, arrays to try it on; drawn if left out.
        """
        from pycograd_torch.module import FunctionModule

        inputs = options.pop("example_inputs", None)
        if options:
            raise ExportError(f"{self.name}: there are no options {', '.join(sorted(options))}")
        if inputs is None:
            inputs = [v.aval for v in graph.inputs]
        module = FunctionModule(lambda params, *xs: graph.evaluate(xs), {})
        return self._write(module, inputs, path)

    def verify(
        self, path: str | os.PathLike[str], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        """Raises `ExportError` if the file does not compute these outputs from these inputs."""
        found = self._run(os.fspath(path), [_tensor(x) for x in inputs])
        _compare(self.name, found, [_tensor(x) for x in outputs])


class TorchScriptExporter(_TorchExporter):
    """Graphs as TorchScript."""

    name = "torchscript"

    def _write(self, module: Any, inputs: Sequence[Any], path: str | os.PathLike[str]) -> Any:
        return export_torchscript(module, inputs, path)

    def _run(self, path: str, inputs: Sequence[Any]) -> Any:
        import torch

        return torch.jit.load(path)(*inputs)


class TorchExportExporter(_TorchExporter):
    """Graphs as programs of `torch.export`."""

    name = "torch_export"

    def _write(self, module: Any, inputs: Sequence[Any], path: str | os.PathLike[str]) -> Any:
        return export_program(module, inputs, path)

    def _run(self, path: str, inputs: Sequence[Any]) -> Any:
        import torch

        return torch.export.load(path).module()(*inputs)
