"""Functions as files and modules of other libraries, which plugins make."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

from pycograd.core.ir import Graph
from pycograd.plugins.hub import get_backend, get_exporter


def export_onnx(
    f: Callable[..., Any] | Graph,
    example_inputs: Sequence[Any],
    path: str | os.PathLike[str],
    *,
    params: Any = None,
    opset: int = 18,
    dtype: str = "float32",
) -> str:
    """Writes a function as an ONNX model, which runs without pycograd; pycograd-onnx does it.

    The model is run on the example, and compared, before the file is written.

    Arguments:
        f: a function of arrays (or of `params` and arrays) in NumPy, a `Graph`, or a module of
            `to_torch_module`, whose parameters are written as they are now.
        example_inputs: its arguments: arrays, `ShapeDtypeStruct`s, or trees of them. A symbolic
            size, `ShapeDtypeStruct((Dim.of("B"), 3), np.float64)`, is a dynamic axis of the file.
        path: of the file; an existing one is replaced as a whole or not at all.
        params: a tree of arrays that `f` takes in front of its inputs; they become initializers
            with dotted names. None: `f` takes the inputs alone.
        opset: of ONNX's operators, 17 or later.
        dtype: `"float32"`: floats of any width are float32 in the file; `"keep"`: float64 stays.

    Returns:
        The path.

    Raises:
        UnknownBackendError: pycograd-onnx is not installed.
        ExportError: the function depends on data, an operation cannot be expressed in ONNX (the
            message names it), or the model does not compute what pycograd does. No file is written.

    >>> import numpy as np
    >>> export_onnx(np.tanh, [np.ones(3)], "model.onnx", opset=3)  # doctest: +SKIP
    Traceback (most recent call last):
    ExportError: export_onnx: opset is a number from 17 to 28, not 3
    """
    made: str = get_exporter("onnx").export(
        f, path, example_inputs=example_inputs, params=params, opset=opset, dtype=dtype
    )
    return made


def to_torch_module(f: Callable[..., Any], params: Any, *, buffers: Iterable[str] = ()) -> Any:
    """A function of parameters as an `nn.Module` of torch; pycograd-torch makes it.

    Arguments:
        f: a function of a tree of parameters and of arrays, in NumPy; the module's `forward` takes
            the arrays.
        params: the tree; copies of its arrays become parameters with dotted names.
        buffers: dotted names of parameters, or of sub-trees, that are not trained.

    Returns:
        The module.

    Raises:
        UnknownBackendError: pycograd-torch is not installed.

    >>> module = to_torch_module(lambda w, x: x @ w, np.ones((3, 2)))  # doctest: +SKIP
    """
    return _torch().to_torch_module(f, params, buffers=buffers)


def export_torchscript(
    module: Any, example_inputs: Sequence[Any], path: str | os.PathLike[str] | None = None
) -> Any:
    """A module as TorchScript, which runs where there is no Python; pycograd-torch does it.

    Arguments:
        module: of `to_torch_module`, or any `nn.Module`.
        example_inputs: the arguments of one call, tensors or NumPy arrays.
        path: of the file to write; none is written if left out.

    Returns:
        The `torch.jit.ScriptModule`.

    Raises:
        UnknownBackendError: pycograd-torch is not installed.
        ExportError: the result is not that of the module, or the module cannot be traced.

    >>> script = export_torchscript(module, [np.ones((4, 3))])  # doctest: +SKIP
    """
    return _torch().export_torchscript(module, example_inputs, path)


def export_program(
    module: Any, example_inputs: Sequence[Any], path: str | os.PathLike[str] | None = None
) -> Any:
    """A module as a program of `torch.export`; pycograd-torch does it.

    Arguments:
        module: of `to_torch_module`, or any `nn.Module`.
        example_inputs: the arguments of one call, tensors or NumPy arrays.
        path: of the file to write; none is written if left out.

    Returns:
        The `torch.export.ExportedProgram`.

    Raises:
        UnknownBackendError: pycograd-torch is not installed.
        ExportError: the result is not that of the module, or the module cannot be exported.

    >>> program = export_program(module, [np.ones((4, 3))])  # doctest: +SKIP
    """
    return _torch().export_program(module, example_inputs, path)


def _torch() -> Any:
    """The package that provides the backend of this name."""
    return import_module(type(get_backend("torch")).__module__.partition(".")[0])
