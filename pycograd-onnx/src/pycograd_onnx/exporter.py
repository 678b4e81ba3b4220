"""`export_onnx`: functions and graphs as ONNX files that have been checked."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pycograd.plugins.api import (
    Exporter,
    ExportError,
    Graph,
    PycogradError,
    ShapeDtypeStruct,
    Value,
    capture,
    optimized,
    replacing,
    tree_flatten,
    tree_paths,
    tree_unflatten,
    trial_array,
    trial_sizes,
)

_LIMIT = 2**31 - 1  # of a protobuf message


def export_onnx(
    f: Callable[..., Any] | Graph,
    example_inputs: Sequence[Any],
    path: str | os.PathLike[str],
    *,
    params: Any = None,
    opset: int = 18,
    dtype: str = "float32",
) -> str:
    """Writes a function as an ONNX model, which runs without pycograd.

    Arguments:
        f: a function of arrays (or of `params` and arrays) in NumPy, a `Graph`, or a module of
            `to_torch_module`, whose parameters are written as they are now.
        example_inputs: its arguments: arrays, `ShapeDtypeStruct`s, or trees of them. A symbolic
            size, `ShapeDtypeStruct((Dim.of("B"), 3), np.float64)`, is a dynamic axis of the file.
        path: of the file; an existing one is replaced as a whole or not at all.
        params: a tree of arrays that `f` takes in front of its inputs; they become initializers
            with dotted names. None: `f` takes the inputs alone.
        opset: of ONNX's operators, 17 or later; operations on bits and repeated writes need 18.
        dtype: `"float32"`: floats of any width are float32 in the file; `"keep"`: float64 stays.

    Returns:
        The path.

    Raises:
        ExportError: the function depends on data, an operation cannot be expressed in ONNX (the
            message names it), or the model does not compute what pycograd does. No file is written.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export_onnx(lambda x: np.tanh(x) + 1.0, [np.ones(3)], f"{folder}/f.onnx")
    ...     os.path.getsize(path) > 0
    True
    """
    if isinstance(f, Graph):
        given = {"example_inputs": example_inputs, "params": params, "opset": opset, "dtype": dtype}
        return OnnxExporter().export(f, path, **given)
    module: Any = f
    if hasattr(type(module), "state_dict"):  # of torch, which need not be installed
        if not hasattr(type(module), "functional"):
            raise _error(
                f"{type(f).__name__} is no NumPy code; torch.onnx.export writes modules of torch"
            )
        if params is not None:
            raise _error("a module has parameters of its own; leave params out")
        f, params = module.functional()
    if not isinstance(example_inputs, (tuple, list)):
        raise _error(
            "example_inputs is a list with an entry for each argument, not a"
            f" {type(example_inputs).__name__}"
        )
    params = None if params is None else _arrays(params)
    args = (*(() if params is None else (params,)), *_arrays(tuple(example_inputs)))
    try:
        graph = optimized(capture(f, *args), "onnx")
    except PycogradError as error:
        name = getattr(f, "__name__", "the function")
        raise _error(f"{name} cannot be captured as one graph for all inputs: {error}") from error
    except Exception as error:
        fixed_inputs = _no_arrays(example_inputs)
        if not fixed_inputs:
            raise
        name = getattr(f, "__name__", "the function")
        raise _error(
            f"{name} fails on {', '.join(fixed_inputs)}: inputs of a model are arrays, and all else"
            f" is part of the program: {type(error).__name__}: {error}"
        ) from error
    if not graph.inputs and (fixed_inputs := _no_arrays(example_inputs)):
        raise _error(
            "the model would have no inputs, for what is no array is part of the program:"
            f" {', '.join(fixed_inputs)}. Give np.asarray(x)"
        )
    leaves = tree_flatten(tuple(args))[0]
    count = 0 if params is None else len(tree_flatten(params)[0])
    paths = [] if params is None else [p or "params" for p in tree_paths(params)]
    places = {id(v): i for i, v in enumerate(graph.given)}
    fixed: dict[Value, Any] = {}
    names: dict[Value, str] = {}
    for v in graph.inputs:
        i = places[id(v)]
        if i < count:
            fixed[v], names[v] = leaves[i], paths[i]
    examples = [leaves[places[id(v)]] for v in graph.inputs if v not in fixed]
    return _exported(graph, path, opset, dtype, examples, fixed, names)


def _no_arrays(example_inputs: Sequence[Any]) -> list[str]:
    """What among the inputs is part of the program, by its place."""
    plain = (np.ndarray, np.generic, ShapeDtypeStruct, float, complex)
    return [
        f"example input {i}{f'.{path}' if path else ''} ({type(x).__name__})"
        for i, tree in enumerate(example_inputs)
        for path, x in zip(tree_paths(tree) or [""], tree_flatten(tree)[0] or [tree])
        if not isinstance(x, plain) and not hasattr(type(x), "__array__")
    ]


def _arrays(tree: Any) -> Any:
    """A tree with the arrays of other libraries as NumPy's."""
    leaves, structure = tree_flatten(tree)
    return tree_unflatten(
        structure,
        [
            np.asarray(x)
            if hasattr(type(x), "__array__") and not isinstance(x, (np.ndarray, np.generic))
            else x
            for x in leaves
        ],
    )


def _error(message: str) -> ExportError:
    return ExportError(f"export_onnx: {message}", "")  # the message has the line that counts


class OnnxExporter(Exporter):
    """Graphs as ONNX models."""

    name = "onnx"

    def export(self, graph: Any, path: str | os.PathLike[str], **options: Any) -> str:
        """Writes a graph, or a function, to a file, whole or not at all.

        Arguments:
            graph: what to write; symbolic sizes are dynamic axes.
            path: of the file.
            options: `example_inputs`, `params`, `opset`, `dtype`, as for `export_onnx`.
        """
        if not isinstance(graph, Graph):
            return export_onnx(graph, options.pop("example_inputs", ()), path, **options)
        inputs = options.pop("example_inputs", None)
        if options.pop("params", None) is not None:
            raise _error("a graph has its parameters as constants or inputs")
        opset, dtype = options.pop("opset", 18), options.pop("dtype", "float32")
        if options:
            raise _error(f"there are no options {', '.join(sorted(options))}")
        if inputs is None:
            inputs = [v.aval for v in graph.inputs]
        leaves = tree_flatten(tuple(inputs))[0]
        if len(leaves) != len(graph.inputs):
            raise _error(f"{len(leaves)} example inputs for a graph of {len(graph.inputs)}")
        return _exported(graph, path, opset, dtype, leaves, {}, {})

    def verify(
        self, path: str | os.PathLike[str], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        """Raises `ExportError` if the file does not compute these outputs from these inputs."""
        import onnx

        with open(path, "rb") as file:
            data = file.read()
        names = [
            (x.name, x.type.tensor_type.elem_type) for x in onnx.load_from_string(data).graph.input
        ]
        given = {}
        for (name, kind), x in zip(names, inputs):
            given[name] = np.asarray(x).astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
        _compare(_session(data)(given), list(outputs))


# -- writing ---------------------------------------------------------------------------------------
def _exported(
    graph: Graph,
    path: str | os.PathLike[str],
    opset: int,
    dtype: str,
    examples: Sequence[Any],
    fixed: Mapping[Value, Any],
    names: Mapping[Value, str],
) -> str:
    import onnx

    from pycograd_onnx.graphs import written
    from pycograd_onnx.writer import Refused

    if dtype not in ("float32", "keep"):
        raise _error(f"dtype is 'float32' or 'keep', not {dtype!r}")
    newest = onnx.defs.onnx_opset_version()
    if type(opset) is not int or not 17 <= opset <= newest:
        raise _error(f"opset is a number from 17 to {newest}, not {opset!r}")
    if not graph.outputs:
        raise _error(f"{graph.name} returns no array")
    names = dict(names)
    free = [v for v in graph.inputs if v not in fixed]
    stem = "input"
    while any(name.startswith(f"{stem}_") for name in names.values()):
        stem += "_"
    names.update((v, f"{stem}_{i}") for i, v in enumerate(free))
    try:
        model = written(graph, opset, dtype == "keep", names, fixed)
    except Refused as error:
        raise _error(str(error)) from error
    if model.ByteSize() > _LIMIT:
        raise _error("the constants of the model take more than 2 GB in one file")
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        raise _error(f"onnx.checker refuses the model: {error}") from error
    data = model.SerializeToString()
    run = _session(data)
    kinds = {x.name: x.type.tensor_type.elem_type for x in model.graph.input}
    for sizes in trial_sizes([v.aval for v in free]):
        given, known = {}, dict(fixed)
        for i, (v, x) in enumerate(zip(free, examples)):
            array = _example(v, x, sizes, i)
            narrow = array.astype(onnx.helper.tensor_dtype_to_np_dtype(kinds[names[v]]))
            given[names[v]] = narrow
            known[v] = narrow.astype(v.dtype)
        try:
            with np.errstate(all="ignore"):
                wanted = graph.evaluate([known[v] for v in graph.inputs])
        except (PycogradError, np.linalg.LinAlgError) as error:
            raise _error(
                f"the function itself fails on the inputs that the model is to be compared on"
                f" ({sizes or 'the example'}); give arrays that suit it, with a graph captured for"
                f" symbolic sizes if it has any: {error}"
            ) from error
        _compare(run(given), wanted)
    _write(path, data)
    return os.fspath(path)


def _example(v: Value, x: Any, sizes: Mapping[str, int], number: int) -> Any:
    """The example itself, or entries drawn for a shape."""
    if not isinstance(x, ShapeDtypeStruct):
        array = np.asarray(x)
        if array.dtype.kind in "OSUMmT":
            raise _error(f"example input {number} is no array of numbers: {type(x).__name__} {x!r}")
        return array
    return trial_array(v.aval, sizes, number)


def _write(path: str | os.PathLike[str], data: bytes) -> None:
    try:
        with replacing(path) as new, open(new, "wb") as file:
            file.write(data)
    except OSError as error:
        why = error.strerror or error
        raise _error(f"{os.fspath(path)} cannot be written to: {why}") from error


# -- checking --------------------------------------------------------------------------------------
def _session(data: bytes) -> Callable[[Mapping[str, Any]], list[Any]]:
    """The model as a function: by onnxruntime, or by onnx's own reference implementation."""
    try:
        import onnxruntime
    except ImportError:
        import onnx.reference

        reference = onnx.reference.ReferenceEvaluator(data)
        return lambda given: list(reference.run(None, dict(given)))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        lacking = re.search(
            r"implementation for (\w+)\(\d+\) node with name '(\w+?)_\d+'", str(error)
        )
        if lacking:
            raise _error(
                f"{lacking[2]}: onnxruntime has no kernel for ONNX's {lacking[1]} of this dtype;"
                " write dtype='float32'"
            ) from error
        raise _error(f"onnxruntime cannot run the model: {error}") from error

    def run(given: Mapping[str, Any]) -> list[Any]:
        try:
            return list(session.run(None, dict(given)))
        except Exception as error:
            raise _error(f"onnxruntime fails on the model: {error}") from error

    return run


def _compare(found: Sequence[Any], wanted: Sequence[Any]) -> None:
    """Raises unless results agree to 1e-5, or to the precision of narrower floats."""
    if len(found) != len(wanted):
        raise _error("the model returns another number of results")
    for i, (a, b) in enumerate(zip(found, wanted)):
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            raise _error(f"result {i} has shape {a.shape}, not {b.shape}")
        if b.dtype.kind != "f":
            if not np.array_equal(a, b):
                raise _error(f"result {i} of the model is not pycograd's")
            continue
        eps = float(np.finfo(b.dtype).eps)
        with np.errstate(over="ignore", invalid="ignore"):
            b = b.astype(a.dtype).astype(np.float64)  # what is out of its range is inf
            a = a.astype(np.float64)
            size = float(np.max(np.abs(b), initial=1.0, where=np.isfinite(b)))
            bound = max(1e-5, 4 * eps) * size
            fits = np.isclose(a, b, rtol=0.0, atol=bound, equal_nan=True)
        if not np.all(fits):
            at = tuple(map(int, np.argwhere(~fits)[0]))
            raise _error(
                f"result {i} of the model is not pycograd's: {a[at]:.9g} for {b[at]:.9g} at {at}"
            )
