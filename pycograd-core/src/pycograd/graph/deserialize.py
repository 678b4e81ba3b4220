"""Graphs from JSON: the reader of what `serialize` writes."""

from __future__ import annotations

import base64
import enum
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Final

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, make_aval
from pycograd.core.errors import GraphError
from pycograd.core.ir import Atom, Equation, Graph, Literal, Value, value_like
from pycograd.core.primitive import Primitive, primitive_named
from pycograd.core.tree import LEAF, TreeDef, is_node
from pycograd.graph.encoding import (
    FORMAT,
    PLAIN_TYPES,
    VERSION,
    class_named,
    damaged,
    dtype_from,
    entries,
    field_names,
    is_record,
    other_class,
    size_from,
)
from pycograd.graph.validity import check


def from_json(text: str) -> Graph:
    """The graph of a text; see `Graph.from_json`."""
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise GraphError("from_json: this is no graph that Graph.to_json has written")
        if document.get("version") != VERSION:
            raise GraphError(
                f"from_json: the graph is written in version {document.get('version')!r} of the"
                f" format; this pycograd reads version {VERSION}. Read it with the pycograd that"
                " wrote it, or update this one"
            )
        return check(_Reader(document).graph(0))
    except GraphError:
        raise
    except RecursionError:
        raise GraphError("from_json: the text is nested too deeply to be a graph") from None
    except Exception as error:  # whatever it is, the text made it happen
        raise damaged(f"{error!r}") from error


class _Reader:
    """The graphs and arrays of one text."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.arrays: dict[int, Any] = {}
        self.graphs: dict[int, Graph] = {}
        self.open: set[int] = set()  # graphs that are being read, which no sub-graph can be

    def graph(self, number: int) -> Graph:
        if number in self.graphs:
            return self.graphs[number]
        if number in self.open:
            raise damaged("a graph holds itself")
        self.open.add(number)
        text = _one_of(self.document["graphs"], number)
        values = [_value_from(v) for v in text["inputs"]]
        inputs = list(values)
        constants = []
        for aval, array in text["constants"]:
            values.append(_value_from(aval))
            constants.append((values[-1], self.array(array)))

        def atom(x: Any) -> Atom:
            if isinstance(x, dict):
                return Literal(self.value(x["literal"]))
            found: Value = _one_of(values, x)
            return found

        equations = []
        for e in text["equations"]:
            operands = [atom(x) for x in e["in"]]
            params = {str(k): self.value(x) for k, x in e.get("params", {}).items()}
            outs = [_value_from(v) for v in e["out"]]
            line = _one_of(self.document["lines"], e["line"]) if "line" in e else ""
            equations.append(Equation(_primitive(e["op"]), operands, params, outs, line))
            values += outs
        given = [
            _one_of(inputs, x["input"]) if isinstance(x, dict) and "input" in x else self.value(x)
            for x in text["given"]
        ]
        in_tree, out_tree = self.tree(text["in_tree"]), self.tree(text["out_tree"])
        outputs = [atom(x) for x in text["outputs"]]
        if in_tree.num_leaves != len(given) or out_tree.num_leaves != len(outputs):
            raise damaged("its trees do not fit its values")
        self.open.discard(number)
        self.graphs[number] = Graph(
            inputs,
            constants,
            equations,
            outputs,
            name=str(text["name"]),
            in_tree=in_tree,
            out_tree=out_tree,
            given=given,
        )
        return self.graphs[number]

    def array(self, number: int) -> Any:
        if number not in self.arrays:
            self.arrays[number] = _array_from(_one_of(self.document["arrays"], number))
        return self.arrays[number]

    def value(self, x: Any) -> Any:
        if x is None or isinstance(x, (bool, int, float, str)):
            return x
        if isinstance(x, list):
            return [self.value(part) for part in x]
        kind = next(iter(x))
        read = _KINDS.get(kind)
        if read is None:
            raise damaged(f"no value is written as {kind!r}")
        return read(self, x[kind], x)

    def record(self, path: str, written: Any) -> Any:
        cls, values = class_named(path), written["values"]
        if isinstance(values, list):
            if not (issubclass(cls, tuple) and len(getattr(cls, "_fields", ())) == len(values)):
                raise other_class(path)
            return tuple.__new__(cls, [self.value(x) for x in values])
        if not is_record(cls) or not set(values) <= set(field_names(cls)):
            raise other_class(path)
        made: Any = object.__new__(cls)
        for name, x in values.items():
            object.__setattr__(made, name, self.value(x))
        return made

    def member(self, path: str, written: Any) -> Any:
        cls = class_named(path)
        if not issubclass(cls, enum.Enum) or written["name"] not in cls.__members__:
            raise other_class(path)
        return cls[written["name"]]

    def tree(self, x: Any) -> TreeDef:
        if x == "*":
            return LEAF
        if x is None:
            return _node(type(None), None, [])
        if isinstance(x, list):
            return _node(list, None, [self.tree(child) for child in x])
        if "tuple" in x:
            return _node(tuple, None, [self.tree(child) for child in x["tuple"]])
        if "dict" in x:
            keys = tuple([self.value(key) for key, _ in x["dict"]])
            return _node(dict, keys, [self.tree(child) for _, child in x["dict"]])
        cls, aux = class_named(x["node"]), self.value(x["aux"])
        children = [self.tree(child) for child in x["children"]]
        named = getattr(cls, "_fields", None)
        changed = (is_dataclass(cls) and aux != tuple(field_names(cls))) or (
            named is not None and len(named) != len(children)
        )
        if not is_node(cls) or changed:
            raise other_class(x["node"])
        return _node(cls, aux, children)


_KINDS: Final[dict[str, Callable[[_Reader, Any, Any], Any]]] = {
    "int": lambda reader, x, _: int(x, 16),
    "float": lambda reader, x, _: float(x),
    "complex": lambda reader, x, _: complex(*[reader.value(part) for part in x]),
    "tuple": lambda reader, x, _: tuple([reader.value(part) for part in x]),
    "dict": lambda reader, x, _: {reader.value(k): reader.value(part) for k, part in x},
    "slice": lambda reader, x, _: slice(*[reader.value(part) for part in x]),
    "ellipsis": lambda reader, x, _: Ellipsis,
    "dim": lambda reader, x, _: size_from(x),
    "aval": lambda reader, x, _: _aval_from(x),
    "dtype": lambda reader, x, _: dtype_from(x),
    "array": lambda reader, x, _: reader.array(x),
    "scalar": lambda reader, x, written: entries(bytes.fromhex(written["data"]), x)[0],
    "graph": lambda reader, x, _: reader.graph(x),
    "type": lambda reader, x, _: PLAIN_TYPES[x],
    "scalar_type": lambda reader, x, _: dtype_from(x).type,
    "namedtuple": lambda reader, x, written: reader.record(x, written),
    "object": lambda reader, x, written: reader.record(x, written),
    "enum": lambda reader, x, written: reader.member(x, written),
}


def _one_of(table: Sequence[Any], number: Any) -> Any:
    if type(number) is not int or not 0 <= number < len(table):
        raise damaged(f"there is no entry {number!r}")
    return table[number]


def _node(cls: type, aux: Any, children: Sequence[TreeDef]) -> TreeDef:
    return TreeDef(cls, aux, tuple(children), sum(child.num_leaves for child in children))


def _primitive(name: Any) -> Primitive:
    try:
        return primitive_named(name)
    except KeyError:
        raise GraphError(
            f"from_json: the graph has the operation {name!r}, which is not defined here. Import"
            " the library or plugin that defines it, or update pycograd"
        ) from None


def _value_from(x: Any) -> Value:
    return value_like(_aval_from(x))


def _aval_from(x: Any) -> ShapeDtypeStruct:
    dtype, shape, *weak = x
    sizes = tuple([size_from(n) for n in shape])
    if any(isinstance(n, int) and n < 0 for n in sizes):
        raise damaged(f"{shape} is no shape")
    return make_aval(sizes, dtype_from(dtype), weak == ["weak"])


def _array_from(x: Any) -> Any:
    flat = entries(base64.b64decode(x["data"], validate=True), x["dtype"])
    order: Any = x.get("order", "C")
    array = flat.reshape(x.get("stored", x["shape"]), order=order).copy(order)
    if "stored" in x:
        strides = np.broadcast_to(array, x["shape"]).strides
        array = np.lib.stride_tricks.as_strided(array, x["shape"], strides)
    array.flags.writeable = "readonly" not in x
    return array
