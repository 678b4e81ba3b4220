"""`export_onnx`: a function as a file, written by the exporter of that name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from pycograd.core.ir import Graph
from pycograd.plugins.hub import get_exporter


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
        f: a function of arrays (or of `params` and arrays) in NumPy, or a `Graph`.
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
