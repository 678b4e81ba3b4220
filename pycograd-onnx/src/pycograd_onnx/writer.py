"""Writes the nodes of an ONNX graph: values with dtypes and shapes, and the operators of them.

Integers are int64 within a file and take their own dtype where they enter and leave it; results of
narrower ones pass through their dtype, so that they wrap around as NumPy's do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from pycograd.plugins.api import Dim

INT, BOOL = np.dtype(np.int64), np.dtype(np.bool_)
FLOAT, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
_FILE = {
    np.dtype(n): helper.np_dtype_to_tensor_dtype(np.dtype(n))
    for n in (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
        "float16", "float32", "float64",
    )
}  # fmt: skip
Size = int | Dim


class Refused(Exception):
    """What ONNX cannot express; `export_onnx` says so in an `ExportError`."""

    placed = False  # True: the message names the operation and the line


class Tensor:
    """A value of the file: its name, dtype and shape. Operators write nodes."""

    __slots__ = ("g", "name", "dtype", "shape")

    def __init__(self, g: Writer, name: str, dtype: np.dtype[Any], shape: Sequence[Size]) -> None:
        self.g, self.name, self.dtype, self.shape = g, name, dtype, tuple(shape)

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def is_float(self) -> bool:
        """True for float32 and float64."""
        return self.dtype.kind == "f"

    def __add__(self, y: Any) -> Tensor:
        return self.g.binary("Add", self, y)

    def __radd__(self, y: Any) -> Tensor:
        return self.g.binary("Add", y, self)

    def __sub__(self, y: Any) -> Tensor:
        return self.g.binary("Sub", self, y)

    def __rsub__(self, y: Any) -> Tensor:
        return self.g.binary("Sub", y, self)

    def __mul__(self, y: Any) -> Tensor:
        return self.g.binary("Mul", self, y)

    __rmul__ = __mul__

    def __truediv__(self, y: Any) -> Tensor:
        return self.g.binary("Div", self, y)

    def __rtruediv__(self, y: Any) -> Tensor:
        return self.g.binary("Div", y, self)

    def __floordiv__(self, y: Any) -> Tensor:
        """Of sizes, which are not negative."""
        return self.g.binary("Div", self, y)

    def __rfloordiv__(self, y: Any) -> Tensor:
        return self.g.binary("Div", y, self)

    def __neg__(self) -> Tensor:
        return self.g.unary("Neg", self)

    def __and__(self, y: Any) -> Tensor:
        return self.g.node("And", [self, y], BOOL, self.g.joined(self, y))

    def __or__(self, y: Any) -> Tensor:
        return self.g.node("Or", [self, y], BOOL, self.g.joined(self, y))

    def __invert__(self) -> Tensor:
        return self.g.node("Not", [self], BOOL, self.shape)

    def __lt__(self, y: Any) -> Tensor:
        return self.g.compare("Less", self, y)

    def __le__(self, y: Any) -> Tensor:
        return self.g.compare("LessOrEqual", self, y)

    def __gt__(self, y: Any) -> Tensor:
        return self.g.compare("Greater", self, y)

    def __ge__(self, y: Any) -> Tensor:
        return self.g.compare("GreaterOrEqual", self, y)

    def equals(self, y: Any) -> Tensor:
        """Entry by entry."""
        return self.g.compare("Equal", self, y)


class Writer:
    """An ONNX graph being written.

    Arguments:
        opset: of the operators.
        keep: True keeps float64; else floats are float32.
    """

    def __init__(self, opset: int, keep: bool) -> None:
        self.opset, self.keep = opset, keep
        self.nodes: list[Any] = []
        self.first: list[Any] = []  # nodes before all others: sizes, which sub-graphs may need too
        self.initializers: dict[str, Any] = {}
        self.numbers: dict[Any, str] = {}
        self.sizes: dict[Any, Tensor] = {}
        self.symbols: dict[str, tuple[Tensor, int]] = {}  # where a symbol can be read
        self.label = ""
        self.count = 0
        self.taken: set[str] = set()  # names that are given: of parameters, inputs and outputs
        self.outs: Sequence[Any] = ()  # avals of the results of the equation being written

    # -- dtypes ----------------------------------------------------------------------------------
    def inner(self, dtype: Any) -> np.dtype[Any]:
        """The dtype that stands for one of NumPy's within the file."""
        dtype = np.dtype(dtype)
        if dtype.kind == "c":
            raise Refused(f"ONNX has no arithmetic of complex numbers ({dtype.name})")
        if dtype.kind == "f" and dtype.itemsize <= 8:
            return dtype if self.keep and dtype == DOUBLE else FLOAT
        if dtype.kind in "iu" and dtype != np.uint64:
            return INT
        if dtype.kind == "b":
            return BOOL
        raise Refused(f"{dtype.name} arrays are not exported to ONNX; convert with .astype")

    def outer(self, dtype: Any) -> np.dtype[Any]:
        """The dtype of an input or output of the file."""
        inner = self.inner(dtype)
        return inner if inner.kind == "f" and not self.keep else np.dtype(dtype)

    @property
    def float(self) -> np.dtype[Any]:
        """What Python's floats are."""
        return DOUBLE if self.keep else FLOAT

    def tensor(self, x: Any, dtype: Any = None) -> Tensor:
        """A number or array as a constant; tensors converted to `dtype` if it is given."""
        if isinstance(x, Tensor):
            return x if dtype is None else self.cast(x, dtype)
        array = np.asarray(x)
        return self.constant(array.astype(self.inner(array.dtype) if dtype is None else dtype))

    def constant(self, array: Any, name: str = "") -> Tensor:
        """An initializer; small ones are shared."""
        array = np.asarray(array)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 64 else None
        found = self.numbers.get(key) if key is not None and not name else None
        if found is None:
            found = name or self.fresh("constant")
            self.initializers[found] = numpy_helper.from_array(
                np.ascontiguousarray(array).reshape(array.shape), found
            )
            if key is not None and not name:
                self.numbers[key] = found
        return Tensor(self, found, array.dtype, array.shape)

    def common(self, *xs: Any) -> list[Tensor]:
        """Operands in one dtype: the widest kind, numbers adapting to what stands beside them."""
        held = [x.dtype for x in xs if isinstance(x, Tensor)]
        kinds = [d.kind for d in held] + [
            np.asarray(x).dtype.kind for x in xs if not isinstance(x, Tensor)
        ]
        if "c" in kinds:
            raise Refused("ONNX has no arithmetic of complex numbers")
        if "f" in kinds:
            floats = [d for d in held if d.kind == "f"]
            floats += [self.inner(x.dtype) for x in xs if isinstance(x, np.floating)]
            dtype = max(floats, key=lambda d: d.itemsize) if floats else self.float
        else:
            dtype = INT if set(kinds) & set("iu") else BOOL
        return [self.tensor(x, dtype) for x in xs]

    def floats(self, *xs: Any) -> list[Tensor]:
        """Operands as floats of one dtype."""
        made = self.common(*xs)
        return made if made[0].is_float else [self.cast(x, self.float) for x in made]

    def cast(self, x: Tensor, dtype: Any) -> Tensor:
        """In another dtype."""
        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return x
        if x.dtype.kind == "f" and dtype == BOOL:
            return ~x.equals(0.0)
        return self.node("Cast", [x], dtype, x.shape, to=_FILE[dtype])

    def through(self, x: Tensor, dtype: Any) -> Tensor:
        """An integer wrapped around as one of a narrower dtype."""
        dtype = np.dtype(dtype)
        if x.dtype != INT or dtype == INT or dtype.kind not in "iu":
            return x
        return self.cast(self.cast(x, dtype), INT)

    # -- nodes -----------------------------------------------------------------------------------
    def fresh(self, stem: str) -> str:
        """A name that nothing has."""
        self.count += 1
        while f"{stem}_{self.count}" in self.taken:
            self.count += 1
        return f"{stem}_{self.count}"

    def many(
        self,
        op: str,
        inputs: Sequence[Any],
        outs: Sequence[tuple[Any, Sequence[Size]]],
        **attrs: Any,
    ) -> list[Tensor]:
        """A node with several results, given as pairs of a dtype and a shape."""
        names = [
            x.name if isinstance(x, Tensor) else "" if x is None else self.tensor(x).name
            for x in inputs
        ]
        made = [Tensor(self, self.fresh(op.lower()), np.dtype(d), s) for d, s in outs]
        name = self.fresh(self.label or op)
        node = helper.make_node(op, names, [t.name for t in made], name=name, **attrs)
        self.nodes.append(node)
        return made

    def node(
        self, op: str, inputs: Sequence[Any], dtype: Any, shape: Sequence[Size], **attrs: Any
    ) -> Tensor:
        """A node with one result."""
        return self.many(op, inputs, [(dtype, shape)], **attrs)[0]

    def unary(self, op: str, x: Tensor) -> Tensor:
        """Of the dtype and shape of its operand."""
        return self.node(op, [x], x.dtype, x.shape)

    def binary(self, op: str, x: Any, y: Any, **attrs: Any) -> Tensor:
        """Of operands in one dtype, broadcast."""
        x, y = self.common(x, y)
        if x.dtype == BOOL:
            x, y = self.cast(x, INT), self.cast(y, INT)
        return self.node(op, [x, y], x.dtype, self.joined(x, y), **attrs)

    def compare(self, op: str, x: Any, y: Any) -> Tensor:
        """True or false, of operands in one dtype, broadcast."""
        x, y = self.common(x, y)
        if x.dtype == BOOL and op != "Equal":
            x, y = self.cast(x, INT), self.cast(y, INT)
        return self.node(op, [x, y], BOOL, self.joined(x, y))

    def where(self, c: Any, x: Any, y: Any) -> Any:
        """`x` where `c` holds, `y` elsewhere."""
        c = self.tensor(c, BOOL)
        x, y = self.common(x, y)
        if x.dtype == BOOL:  # of which onnxruntime has no kernel
            return (c & x) | (~c & y)
        return self.node("Where", [c, x, y], x.dtype, self.joined(c, x, y))

    def joined(self, *xs: Any) -> tuple[Size, ...]:
        """The shape of operands broadcast against each other."""
        shapes = [x.shape if isinstance(x, Tensor) else np.shape(x) for x in xs]
        rank = max(map(len, shapes))
        out: list[Size] = []
        for sizes in zip(*[(1,) * (rank - len(s)) + tuple(s) for s in shapes]):
            out.append(next((n for n in sizes if not (type(n) is int and n == 1)), 1))
        return tuple(out)

    # -- shapes ----------------------------------------------------------------------------------
    def size(self, n: Any) -> Tensor:
        """A size as a tensor of one entry."""
        if type(n) is not Dim:
            return self.constant(np.array([int(n)], np.int64))
        if n not in self.sizes:
            with self.into(self.first):
                symbols = {}
                for s in n.symbols:
                    if s not in self.symbols:
                        raise Refused(f"the size {s} is no size of an input of the file")
                    x, axis = self.symbols[s]
                    symbols[s] = self.node("Shape", [x], INT, (1,), start=axis, end=axis + 1)
                found: Any = n.subs(symbols)  # type: ignore[arg-type]
            self.sizes[n] = found
        return self.sizes[n]

    def shape(self, shape: Sequence[Any]) -> Tensor:
        """A shape as a tensor."""
        if all(type(n) is not Dim for n in shape):
            return self.constant(np.array([int(n) for n in shape], np.int64))
        parts = [self.size(n) for n in shape]
        return (
            parts[0] if len(parts) == 1 else self.node("Concat", parts, INT, (len(parts),), axis=0)
        )

    def ints(self, *numbers: int) -> Tensor:
        """A list of integers as a tensor."""
        return self.constant(np.array(numbers, np.int64))

    def reshape(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """The same entries in another shape."""
        if tuple(shape) == x.shape:
            return x
        open_ = [i for i, n in enumerate(shape) if type(n) is Dim]
        if len(open_) == 1 and all(type(n) is Dim or n > 0 for n in shape):
            target = self.ints(*[-1 if i == open_[0] else int(n) for i, n in enumerate(shape)])
        else:
            target = self.shape(shape)
        return self.node("Reshape", [x, target], x.dtype, shape, allowzero=1 if 0 in shape else 0)

    def expand(self, x: Tensor, shape: Sequence[Any]) -> Tensor:
        """Broadcast to a shape."""
        if tuple(shape) == x.shape:
            return x
        return self.node("Expand", [x, self.shape(shape)], x.dtype, shape)

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """With the axes in another order."""
        axes = [int(a) for a in axes]
        if axes == list(range(x.ndim)):
            return x
        return self.node("Transpose", [x], x.dtype, [x.shape[a] for a in axes], perm=axes)

    def unsqueeze(self, x: Tensor, *axes: int) -> Tensor:
        """With axes of size 1 added, at these positions of the result."""
        shape = list(x.shape)
        for a in sorted(axes):
            shape.insert(a, 1)
        return self.node("Unsqueeze", [x, self.ints(*axes)], x.dtype, shape)

    def squeeze(self, x: Tensor, *axes: int) -> Tensor:
        """Without axes of size 1."""
        if not axes:
            return x
        shape = [n for i, n in enumerate(x.shape) if i not in axes]
        return self.node("Squeeze", [x, self.ints(*axes)], x.dtype, shape)

    def slice(self, x: Tensor, axis: int, start: Any, stop: Any, step: int, size: Any) -> Tensor:
        """A slice of one axis, which has `size` entries; starts and stops may be symbolic."""
        shape = [size if i == axis else n for i, n in enumerate(x.shape)]
        return self.node(
            "Slice",
            [x, self.size(start), self.size(stop), self.ints(axis), self.ints(step)],
            x.dtype,
            shape,
        )

    def part(self, x: Tensor, axis: int, start: Any, stop: Any) -> Tensor:
        """The entries from `start` to before `stop` of an axis."""
        return self.slice(x, axis, start, stop, 1, stop - start)

    def flip(self, x: Tensor, axis: int) -> Tensor:
        """From the far end of an axis."""
        least = np.iinfo(np.int64).min
        return self.slice(x, axis, -1, least, -1, x.shape[axis])

    def concat(self, xs: Sequence[Tensor], axis: int) -> Tensor:
        """One behind the other along an axis."""
        xs = self.common(*xs)
        if len(xs) == 1:
            return xs[0]
        total: Any = sum([x.shape[axis] for x in xs])
        shape = [total if i == axis else n for i, n in enumerate(xs[0].shape)]
        return self.node("Concat", xs, xs[0].dtype, shape, axis=axis)

    def range(self, n: Any) -> Tensor:
        """0, 1, ... n - 1."""
        if type(n) is not Dim:
            return self.constant(np.arange(n))
        stop = self.squeeze(self.size(n), 0)
        return self.node(
            "Range", [self.constant(np.int64(0)), stop, self.constant(np.int64(1))], INT, (n,)
        )

    # -- reductions ------------------------------------------------------------------------------
    def reduce(self, op: str, x: Tensor, axis: Sequence[int], keepdims: bool) -> Tensor:
        """`ReduceSum` and its kin."""
        axis = tuple(int(a) for a in axis)
        if not axis:
            return x
        shape = [1 if i in axis else n for i, n in enumerate(x.shape) if keepdims or i not in axis]
        keep = int(bool(keepdims))
        if op == "ReduceSum" or self.opset >= 18:
            return self.node(op, [x, self.ints(*axis)], x.dtype, shape, keepdims=keep)
        return self.node(op, [x], x.dtype, shape, keepdims=keep, axes=list(axis))

    def sum(self, x: Tensor, axis: Sequence[int], keepdims: bool = False) -> Tensor:
        """The sum over axes."""
        return self.reduce("ReduceSum", x, axis, keepdims)

    # -- sub-graphs ------------------------------------------------------------------------------
    @contextmanager
    def into(self, nodes: list[Any]) -> Iterator[None]:
        """Nodes go to another list inside the block."""
        held, self.nodes = self.nodes, nodes
        try:
            yield
        finally:
            self.nodes = held

    def subgraph(
        self, inputs: Sequence[Tensor], run: Callable[[], Sequence[Tensor]], name: str
    ) -> tuple[Any, list[Tensor]]:
        """A graph within a node, and its results; it sees the values around it."""
        nodes: list[Any] = []
        with self.into(nodes):
            # A result must be a value of the sub-graph itself, and each another one.
            outs = [self.node("Identity", [x], x.dtype, x.shape) for x in run()]
        infos = [[self.info(x.name, x.dtype, x.shape) for x in xs] for xs in (inputs, outs)]
        return helper.make_graph(nodes, self.fresh(name), *infos), outs

    def info(self, name: str, dtype: Any, shape: Sequence[Size]) -> Any:
        """The type of an input or output."""
        return helper.make_tensor_value_info(
            name, _FILE[np.dtype(dtype)], [n if type(n) is not Dim else str(n) for n in shape]
        )


def model_of(writer: Writer, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
    """The ONNX model of what has been written."""
    graph = helper.make_graph(
        [*writer.first, *writer.nodes], name, inputs, outputs, list(writer.initializers.values())
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", writer.opset)], producer_name="pycograd"
    )
    model.ir_version = min(model.ir_version, 10)
    return model
