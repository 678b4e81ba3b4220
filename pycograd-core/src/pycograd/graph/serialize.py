"""Graphs as JSON: `to_json` and `from_json`, which give back exactly what was written.

The text holds data only. Operations and classes are named in it, never code; a class is looked up
among the modules that the reader has imported. Values have the numbers of `Graph.names`; arrays and
sub-graphs stand in tables, so that what was one object is one object again.
"""

from __future__ import annotations

import base64
import enum
import functools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.errors import GraphError
from pycograd.core.ir import Atom, Equation, Graph, Literal, Value, equation_text
from pycograd.core.primitive import REGISTRY, Primitive
from pycograd.core.tree import TreeDef
from pycograd.graph.encoding import (
    FORMAT,
    PLAIN_TYPES,
    VERSION,
    bytes_of,
    class_named,
    dtype_text,
    field_names,
    is_record,
    size_text,
)

_OF_PROGRAM: Final = "Keep the program that captures this graph instead of its text"
_OF_ARGUMENT: Final = (
    "Bind it before the capture (functools.partial, a closure); arguments that can be written are"
    " arrays, numbers, text, dtypes, enums, and containers and dataclasses of them"
)
_EXACT_IN_JSON: Final = 2**53  # larger integers are written in hexadecimal


def to_json(graph: Graph) -> str:
    """The text of a graph; see `Graph.to_json`."""
    writer = _Writer()
    writer.graph(graph)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "graphs": writer.graphs,
        "arrays": writer.arrays,
        "lines": list(writer.lines),
    }
    return json.dumps(document, allow_nan=False, separators=(",", ":"))


# -- writing ---------------------------------------------------------------------------------------
class _Writer:
    """The tables of one text, and the place that is being written, for messages."""

    def __init__(self) -> None:
        self.graphs: list[dict[str, Any]] = []
        self.arrays: list[dict[str, Any]] = []
        self.lines: dict[str, int] = {}
        self.known: dict[int, int] = {}  # id of an array or a graph -> its number
        self.alive: list[Any] = []  # what those ids belong to
        self.where: Callable[[], str] = str
        self.fix = _OF_PROGRAM

    def refuse(self, what: str, fix: str) -> GraphError:
        return GraphError(f"to_json: {self.where()}: {what} cannot be written. {fix}")

    def graph(self, graph: Graph) -> int:
        """The number of a graph, which is written if it is new."""
        if id(graph) in self.known:
            return self.known[id(graph)]
        number = self.known[id(graph)] = len(self.graphs)
        self.alive.append(graph)
        outside, name, names = self.where, f"graph of {graph.name}", graph.names()
        numbers = {value: i for i, value in enumerate(names)}
        found: dict[str, Any] = {"name": graph.name}
        self.graphs.append(found)

        def at(place: str) -> None:
            self.where = lambda: f"{name}, {place}"

        def atom(x: Atom) -> Any:
            return {"literal": self.value(x.number)} if isinstance(x, Literal) else numbers[x]

        found["inputs"] = [self.aval(v) for v in graph.inputs]
        found["constants"] = []
        for v, array in graph.constants:
            at(f"the constant {names[v]}")
            found["constants"].append([self.aval(v), self.array(array)])
        found["equations"] = []
        for equation in graph.equations:
            self.where = functools.partial(_in_equation, name, equation, names)
            written: dict[str, Any] = {"op": self.primitive(equation.primitive)}
            written["in"] = [atom(x) for x in equation.operands]
            if equation.params:
                written["params"] = {k: self.value(x) for k, x in equation.params.items()}
            written["out"] = [self.aval(v) for v in equation.outs]
            if equation.line:
                written["line"] = self.lines.setdefault(equation.line, len(self.lines))
            found["equations"].append(written)
        at("an output")
        found["outputs"] = [atom(x) for x in graph.outputs]
        found["given"] = []
        self.fix = _OF_ARGUMENT
        for x, path in zip(graph.given, graph.in_tree.paths()):
            at(f"the argument {_argument(path)}")
            found["given"].append({"input": numbers[x]} if type(x) is Value else self.value(x))
        self.fix = _OF_PROGRAM
        at("the structure of its arguments")
        found["in_tree"] = self.tree(graph.in_tree)
        at("the structure of its result")
        found["out_tree"] = self.tree(graph.out_tree)
        self.where = outside
        return number

    def primitive(self, primitive: Primitive) -> str:
        if REGISTRY.get(primitive.name) is not primitive:
            raise self.refuse(
                f"the operation {primitive.name}, which is Python code of one call,", _OF_PROGRAM
            )
        return primitive.name

    def array(self, array: Any) -> int:
        """The number of an array, which is written if it is new."""
        if id(array) in self.known:
            return self.known[id(array)]
        if isinstance(array, Box):
            raise self.refuse(
                f"{type(array).__name__}, a value of a transform that is running,",
                "Pass it to the function as an argument, or capture outside of the transform",
            )
        if type(array) is not np.ndarray:
            raise self.refuse(
                f"an array of the class {type(array).__qualname__}", "Convert it with np.asarray"
            )
        dtype = self.dtype(array.dtype)
        # Along an axis of stride 0 all entries are one: that of np.broadcast_to.
        once = tuple([slice(0, 1) if s == 0 else slice(None) for s in array.strides])
        data = array[once] if array.size else array
        order = "F" if data.flags.f_contiguous and not data.flags.c_contiguous else "C"
        written: dict[str, Any] = {"dtype": dtype, "shape": list(array.shape)}
        if data.shape != array.shape:
            written["stored"] = list(data.shape)
        if order == "F":
            written["order"] = "F"
        if not array.flags.writeable:
            written["readonly"] = True
        written["data"] = base64.b64encode(bytes_of(data, order)).decode()
        self.arrays.append(written)
        self.known[id(array)] = len(self.arrays) - 1
        self.alive.append(array)
        return len(self.arrays) - 1

    def dtype(self, dtype: np.dtype[Any]) -> str:
        if (text := dtype_text(dtype)) is not None:
            return text
        raise self.refuse(
            f"the dtype {dtype}", "Only arrays of numbers, booleans and text have data to write"
        )

    def aval(self, aval: ShapeDtypeStruct) -> list[Any]:
        """`[dtype, shape]`, and `"weak"` behind it."""
        found = [self.dtype(aval.dtype), [size_text(n) for n in aval.shape]]
        return [*found, "weak"] if aval.weak else found

    def value(self, x: Any) -> Any:
        """A number, a parameter or a static argument."""
        cls = type(x)
        if x is None or cls is bool or cls is str:
            return x
        if cls is int:
            return x if abs(x) < _EXACT_IN_JSON else {"int": hex(x)}
        if cls is float:
            return x if math.isfinite(x) else {"float": str(x)}
        if cls is complex:
            return {"complex": [self.value(x.real), self.value(x.imag)]}
        if cls is list:
            return [self.value(part) for part in x]
        if cls is tuple:
            return {"tuple": [self.value(part) for part in x]}
        if cls is dict:
            return {"dict": [[self.value(k), self.value(part)] for k, part in x.items()]}
        if cls is slice:
            return {"slice": [self.value(part) for part in (x.start, x.stop, x.step)]}
        if x is Ellipsis:
            return {"ellipsis": True}
        if cls is Dim:
            return {"dim": size_text(x)}
        if cls is ShapeDtypeStruct:
            return {"aval": self.aval(x)}
        if isinstance(x, np.dtype):
            return {"dtype": self.dtype(x)}
        if isinstance(x, (np.ndarray, Box)):
            return {"array": self.array(x)}
        if isinstance(x, np.generic):
            return {"scalar": self.dtype(x.dtype), "data": bytes_of(np.asarray(x), "C").hex()}
        if cls is Graph:
            return {"graph": self.graph(x)}
        if isinstance(x, type):
            return self.named_type(x)
        if isinstance(x, enum.Enum):
            return {"enum": self.path(cls), "name": x.name}
        return self.record(x)

    def named_type(self, cls: type) -> Any:
        if PLAIN_TYPES.get(cls.__name__) is cls:
            return {"type": cls.__name__}
        if issubclass(cls, np.generic):
            return {"scalar_type": self.dtype(np.dtype(cls))}
        raise self.refuse(f"the class {cls.__qualname__}", "Pass numbers, text or dtypes")

    def record(self, x: Any) -> Any:
        """A namedtuple, a dataclass, or an object of ours that is described by its slots."""
        cls = type(x)
        if isinstance(x, tuple) and hasattr(x, "_fields"):
            return {"namedtuple": self.path(cls), "values": [self.value(part) for part in x]}
        if is_record(cls):
            held = {k: getattr(x, k) for k in field_names(cls) if hasattr(x, k)}
            return {"object": self.path(cls), "values": {k: self.value(v) for k, v in held.items()}}
        what = f"{x.__name__!r}, Python code," if callable(x) and hasattr(x, "__name__") else None
        raise self.refuse(what or f"an object of the class {cls.__qualname__}", self.fix)

    def tree(self, treedef: TreeDef) -> Any:
        """A structure: `"*"` is a leaf."""
        node = treedef.node
        if node is None:
            return "*"
        if node is type(None):
            return None
        children = [self.tree(child) for child in treedef.children]
        if node is list:
            return children
        if node is tuple:
            return {"tuple": children}
        if node is dict:
            return {"dict": [[self.value(k), child] for k, child in zip(treedef.aux, children)]}
        return {"node": self.path(node), "aux": self.value(treedef.aux), "children": children}

    def path(self, cls: type) -> str:
        """Where a class is found again: `module:name`."""
        path = f"{cls.__module__}:{cls.__qualname__}"
        try:
            found = class_named(path)
        except GraphError:
            found = None
        if found is not cls:
            raise self.refuse(
                f"the class {cls.__qualname__}, which {cls.__module__} does not have under this"
                " name,",
                "Define it at the top of a module",
            )
        return path


def _in_equation(name: str, equation: Equation, names: Mapping[Value, str]) -> str:
    return f"{name}, in {equation_text(equation, names)!r}"


def _argument(path: str) -> str:
    """The name of a leaf among the arguments, whose tree is `(args, kwargs)`."""
    return path.partition(".")[2] or path
