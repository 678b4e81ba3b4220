"""Graphs: a function as a list of typed equations in SSA form.

A graph is data. It is a callable too: calling it binds its equations one after the other, so every
transform applies to it as to the function that it was captured from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from pycograd.core import lent
from pycograd.core.aval import ShapeDtypeStruct, aval_of, make_aval
from pycograd.core.box import Box
from pycograd.core.dims import Constraints, Dim
from pycograd.core.dtypes import dtype_name
from pycograd.core.errors import GraphError, ShapeError, TreeMismatchError
from pycograd.core.primitive import Primitive, bind
from pycograd.core.sizes import running
from pycograd.core.tree import TreeDef, tree_flatten, tree_structure, tree_unflatten


class Value(ShapeDtypeStruct):
    """A value of a graph: an aval with an identity."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def aval(self) -> ShapeDtypeStruct:
        """Its shape and dtype."""
        return aval_of(self)


def value_like(aval: ShapeDtypeStruct) -> Value:
    """A new value of this shape and dtype."""
    value: Value = object.__new__(Value)
    value.shape, value.dtype, value.weak = aval.shape, aval.dtype, aval.weak
    return value


def as_captured(x: Any, value: Value) -> Any:
    """A number as one that adapts to the dtype of arrays, or one that does not, as captured."""
    if value.shape or isinstance(x, Box):
        return x
    if type(x) in (float, complex):
        return x if value.weak else np.asarray(x)[()]
    return x.item() if value.weak and isinstance(x, (np.ndarray, np.generic)) else x


class Literal:
    """A number written into an equation: a Python scalar, or a NumPy scalar of some dtype."""

    __slots__ = ("number",)

    def __init__(self, number: Any) -> None:
        self.number = number

    @property
    def aval(self) -> ShapeDtypeStruct:
        """Its shape and dtype."""
        return aval_of(self.number)

    def __repr__(self) -> str:
        return text_of(self.number)


Atom = Value | Literal


class Equation:
    """`outs = primitive[params] operands`, and the line of the user's that it came from."""

    __slots__ = ("primitive", "operands", "params", "outs", "line")

    def __init__(
        self,
        primitive: Primitive,
        operands: Sequence[Atom],
        params: Mapping[str, Any],
        outs: Sequence[Value],
        line: str = "",
    ) -> None:
        self.primitive, self.operands, self.params = primitive, tuple(operands), dict(params)
        self.outs, self.line = tuple(outs), line

    def __repr__(self) -> str:
        return f"<equation {self.primitive.name} of {len(self.operands)} operands>"

    @property
    def values(self) -> list[Value]:
        """The operands that are no literals."""
        return [x for x in self.operands if type(x) is Value]

    def run(self, operands: Sequence[Any], sizes: Mapping[str, int]) -> tuple[Any, ...]:
        """The results for these operands: arrays, or boxes of any transform."""
        params = with_sizes(self.params, lambda n: n.subs(sizes)) if sizes else self.params
        trace = running()
        if trace is not None and not any(isinstance(x, Box) for x in operands):
            if symbols_of(tuple(params.values())):  # of constants, but not of one size
                out = trace.process(self.primitive, operands, params)
                return tuple(out) if self.primitive.multi else (out,)
        out = bind(self.primitive, operands, params)
        return tuple(out) if self.primitive.multi else (out,)


class Graph:
    """A function as equations; made by `capture`.

    Attributes:
        inputs: one value for each array among the arguments.
        constants: what the function closed over, as pairs of a value and the array; held by
            reference, so that what is written into such an array is seen at the next call.
        equations: in an order in which every operand comes before its use.
        outputs: the values (or literals) that are returned.
        name: of the function.

    Calling it runs the equations on arguments of the captured structure, shapes and dtypes.

    >>> import numpy as np
    >>> graph = capture(lambda x: 2.0 * x, np.ones(3))
    >>> graph(np.array([1.0, 2.0, 3.0]))
    array([2., 4., 6.])
    """

    def __init__(
        self,
        inputs: Sequence[Value],
        constants: Sequence[tuple[Value, Any]],
        equations: Sequence[Equation],
        outputs: Sequence[Atom],
        *,
        name: str = "graph",
        in_tree: TreeDef | None = None,
        out_tree: TreeDef | None = None,
        given: Sequence[Any] | None = None,
    ) -> None:
        self.inputs, self.constants = list(inputs), list(constants)
        self.equations, self.outputs, self.name = list(equations), list(outputs), name
        self.__name__ = name
        # The structure of (args, kwargs), and for each leaf its value or the constant it had to be.
        self.in_tree = in_tree or tree_structure((tuple(inputs), {}))
        self.given = list(self.inputs if given is None else given)
        self.out_tree = out_tree or tree_structure(tuple(outputs))

    def with_body(
        self, equations: Sequence[Equation], outputs: Sequence[Atom], constants: Any = None
    ) -> Graph:
        """This graph with other equations: what a pass returns."""
        return Graph(
            self.inputs,
            self.constants if constants is None else constants,
            equations,
            outputs,
            name=self.name,
            in_tree=self.in_tree,
            out_tree=self.out_tree,
            given=self.given,
        )

    # -- as a function ---------------------------------------------------------------------------
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves = self.flat(args, kwargs)
        return tree_unflatten(self.out_tree, self.evaluate(leaves))

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments that it was captured for: avals in the place of arrays."""
        leaves = [x.aval if type(x) is Value else x for x in self.given]
        args, kwargs = tree_unflatten(self.in_tree, leaves)
        return args, kwargs

    def flat(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The arrays among the arguments, checked to be what the graph was captured for."""
        leaves, treedef = tree_flatten((args, kwargs))
        if treedef != self.in_tree:
            raise TreeMismatchError(
                f"graph of {self.name}: arguments of structure {treedef}, captured for"
                f" {self.in_tree}"
            )
        found = []
        for place, leaf in zip(self.given, leaves):
            if type(place) is Value:
                found.append(as_captured(leaf, place))
            elif place is not leaf and not (type(place) is type(leaf) and place == leaf):
                raise GraphError(
                    f"graph of {self.name}: captured for the argument {place!r}, which is part of"
                    f" the program; capture it again for {leaf!r}"
                )
        return found

    def sizes(self, leaves: Sequence[Any]) -> dict[str, int]:
        """What the symbols in the shapes of the inputs are for these arguments.

        Raises:
            ShapeError: a wrong shape.
            GraphError: a wrong dtype.
        """
        pairs: list[tuple[Any, Any]] = []
        same = True
        for i, (value, leaf) in enumerate(zip(self.inputs, leaves)):
            aval = aval_of(leaf)
            if aval.dtype != value.dtype:
                raise GraphError(
                    f"graph of {self.name}: input {i} has dtype {aval.dtype}, captured for"
                    f" {value!r}; capture it again, or convert with .astype"
                )
            pairs += zip(value.shape, aval.shape)
            if aval.shape == value.shape:
                continue
            same = False
            wrong = ShapeError(
                f"graph of {self.name}: input {i} has shape {aval.shape}, captured for {value!r}"
            )
            if len(aval.shape) != len(value.shape):
                raise wrong
            for m, n in zip(aval.shape, value.shape):
                if not isinstance(n, Dim) and m != n:
                    raise wrong
        if same:
            return {}
        # Under names of their own where the sizes of the caller are symbols too.
        theirs = symbols_of([m for _, m in pairs])
        constraints = Constraints(theirs)
        own = {
            s: constraints.fresh() if theirs else Dim.of(s)
            for s in sorted(symbols_of([n for n, _ in pairs]))
        }
        for n, m in pairs:
            if isinstance(n, Dim):
                constraints.equate(n.subs(own), m, f"graph of {self.name}")
        return {s: constraints.resolve(n) for s, n in own.items()}  # type: ignore[misc]

    def evaluate(self, leaves: Sequence[Any]) -> list[Any]:
        """The outputs for these inputs, one equation after the other."""
        sizes = self.sizes(leaves)
        known: dict[Value, Any] = dict(zip(self.inputs, leaves))
        known.update(lent.current(self.constants))
        last = self.last_uses()
        for at, equation in enumerate(self.equations):
            operands = [x.number if isinstance(x, Literal) else known[x] for x in equation.operands]
            outs = equation.run(operands, sizes)
            del operands
            known.update(zip(equation.outs, outs))
            for x in last.get(at, ()):
                known.pop(x, None)
        return [x.number if isinstance(x, Literal) else known[x] for x in self.outputs]

    def last_uses(self) -> dict[int, list[Value]]:
        """Which values are used last by which equation; those returned are kept."""
        last: dict[Value, int] = {}
        for at, equation in enumerate(self.equations):
            last.update(dict.fromkeys(equation.outs, at))
            last.update(dict.fromkeys(equation.values, at))
        for x in self.outputs:
            if type(x) is Value:
                last.pop(x, None)
        found: dict[int, list[Value]] = {}
        for x, at in last.items():
            found.setdefault(at, []).append(x)
        return found

    # -- as text ---------------------------------------------------------------------------------
    def names(self) -> dict[Value, str]:
        """`%0`, `%1`...: inputs first, then constants, then results."""
        values = [*self.inputs, *[value for value, _ in self.constants]]
        for equation in self.equations:
            values += equation.outs
        return {value: f"%{i}" for i, value in enumerate(values)}

    def pretty(self, lines: bool = False) -> str:
        """The text of the graph.

        Arguments:
            lines: True adds to each equation the line of the user's code that it came from.
        """
        names = self.names()
        head = ", ".join(f"{names[v]}:{v!r}" for v in self.inputs)
        if self.constants:
            held = ", ".join(f"{names[v]}:{v!r}" for v, _ in self.constants)
            head += f"; constants {held}" if head else f"constants {held}"
        text = [f"graph({head}) {{"]
        for equation in self.equations:
            text.append("  " + equation_text(equation, names))
            if lines and equation.line:
                text[-1] += f"  # {equation.line}"
        outputs = ", ".join(names[x] if type(x) is Value else repr(x) for x in self.outputs)
        text += [f"  outputs: {outputs}", "}"]
        return "\n".join(text)

    __str__ = pretty

    def __repr__(self) -> str:
        return f"<graph of {self.name}: {len(self.equations)} equations>"

    # -- files and pictures ----------------------------------------------------------------------
    def to_json(self) -> str:
        """The graph as JSON text, from which `Graph.from_json` makes the very same graph.

        All of it is written: types, numbers, parameters, sub-graphs, the data of its constants, the
        structure of its arguments and the lines of code. Operations stand in it by name.

        Raises:
            GraphError: something in the graph is no data: a Python function among the parameters,
                a value of a running transform, an object among the arguments it was captured for.

        >>> import numpy as np
        >>> graph = capture(lambda x: 2.0 * x, np.ones(3))
        >>> str(Graph.from_json(graph.to_json())) == str(graph)
        True
        """
        text: str = _above("serialize").to_json(self)
        return text

    @staticmethod
    def from_json(text: str) -> Graph:
        """The graph that `to_json` wrote; reading runs no code from the text.

        Arguments:
            text: what `to_json` returned, perhaps on another machine. Modules that define the
                user's own containers must have been imported.

        Raises:
            GraphError: the text is damaged or of another version, or it names an operation or a
                class that is not known here.

        >>> import numpy as np
        >>> text = capture(np.sin, np.ones(2)).to_json()
        >>> Graph.from_json(text)(np.zeros(2))
        array([0., 0.])
        """
        graph: Graph = _above("deserialize").from_json(text)
        return graph

    def to_dot(self) -> str:
        """The graph in the language of Graphviz: a box for each equation, input and output.

        >>> import numpy as np
        >>> print(capture(np.sin, np.ones(2)).to_dot().splitlines()[0])
        digraph "sin" {
        """
        text: str = _above("render").to_dot(self)
        return text

    def render(self, path: Any = None, engine: str = "auto") -> str:
        """A picture of the graph as SVG text.

        Arguments:
            path: a file to write it to besides, which is replaced as a whole or not at all.
            engine: what places the boxes: `"dot"`, the program of Graphviz; `"own"`, which needs
                nothing installed; `"auto"`, dot for graphs of moderate size where it is installed.

        Raises:
            ValueError: an engine of another name.
            GraphError: `engine="dot"` without the program, or it failed.

        >>> import numpy as np
        >>> capture(np.sin, np.ones(2)).render(engine="own")[:4]
        '<svg'
        """
        text: str = _above("render").render(self, path, engine)
        return text

    def show(self, model: Any = None) -> Any:
        """A view of the graph with its shapes, the cost of each equation and the memory over time.

        Arguments:
            model: the `CostModel` of the machine; a common one if left out.

        Returns:
            What a notebook draws and a terminal prints; `.save(path)` writes the picture.

        >>> import numpy as np
        >>> print(capture(np.exp, np.ones(1000)).show())  # doctest: +ELLIPSIS
        graph(%0:f64[1000]) {
        ...
        """
        return _above("show").shown(self, model)

    def _repr_svg_(self) -> str | None:
        text: str | None = _above("render").notebook_svg(self)
        return text

    def _repr_html_(self) -> str:
        text: str = _above("render").notebook_html(self)
        return text


def _above(module: str) -> Any:
    """A module of `pycograd.graph`, which stands above this one: by name, when it is asked for."""
    return import_module(f"pycograd.graph.{module}")


def equation_text(equation: Equation, names: Mapping[Value, str]) -> str:
    """`%3 = sum %2 {axis=0} -> f64[2]`."""
    outs = ", ".join(names[v] for v in equation.outs)
    operands = "".join(f" {names[x] if type(x) is Value else repr(x)}" for x in equation.operands)
    params = ", ".join(
        f"{name}={text_of(value)}"
        for name, value in equation.params.items()
        if value is not None and value is not False
    )
    types = ", ".join(map(repr, equation.outs))
    params = f" {{{params}}}" if params else ""
    return f"{outs} = {equation.primitive.name}{operands}{params} -> {types}"


def text_of(x: Any) -> str:
    """A parameter or a number, as the text of a graph has it."""
    if isinstance(x, tuple):
        return text_of(x[0]) if len(x) == 1 else f"({', '.join(map(text_of, x))})"
    if isinstance(x, slice):
        parts = ["" if p is None else str(p) for p in (x.start, x.stop, x.step)]
        return ":".join(parts if parts[2] else parts[:2])
    if isinstance(x, Graph):
        return f"<{len(x.equations)} equations>"
    if isinstance(x, (np.ndarray, np.generic)):
        aval = aval_of(x)
        return repr(aval) if x.ndim else f"{x}:{dtype_name(aval.dtype)}"
    if x is Ellipsis:
        return "..."
    # The address of an object is another in every run.
    cls: Any = type(x)
    return f"<{cls.__name__}>" if cls.__repr__ is object.__repr__ else str(x)


# -- walking -------------------------------------------------------------------------------------
def subgraphs(equation: Equation) -> Iterator[Graph]:
    """The graphs among the parameters of an equation."""
    return (x for x in equation.params.values() if isinstance(x, Graph))


def held_arrays(graph: Graph) -> list[Any]:
    """The constants of a graph and of those within it."""
    found = [array for _, array in graph.constants]
    for equation in graph.equations:
        for inner in subgraphs(equation):
            found += held_arrays(inner)
    return found


def symbols_of(x: Any) -> Iterable[str]:
    """The symbols in a size or a parameter."""
    if isinstance(x, Dim):
        return x.symbols
    if isinstance(x, (tuple, list)):
        return {s for part in x for s in symbols_of(part)}
    if isinstance(x, slice):
        return symbols_of((x.start, x.stop, x.step))
    if isinstance(x, ShapeDtypeStruct):
        return symbols_of(x.shape)
    if isinstance(x, Graph):
        return {s for value in x.inputs for s in symbols_of(value.shape)}
    return ()


def with_sizes(x: Any, size: Callable[[Dim], Any]) -> Any:
    """A parameter with `size` of each symbolic size in it."""
    if isinstance(x, Dim):
        return size(x)
    if isinstance(x, dict):
        return {name: with_sizes(part, size) for name, part in x.items()}
    if isinstance(x, (tuple, list)):
        return type(x)([with_sizes(part, size) for part in x])
    if isinstance(x, slice):
        return slice(*[with_sizes(part, size) for part in (x.start, x.stop, x.step)])
    if type(x) is ShapeDtypeStruct:
        return make_aval(with_sizes(x.shape, size), x.dtype, x.weak)
    return resized(x, size) if isinstance(x, Graph) else x


_RESIZED: WeakKeyDictionary[Graph, dict[Any, Graph]] = WeakKeyDictionary()


def resized(graph: Graph, size: Callable[[Dim], Any]) -> Graph:
    """`graph` with `size` of each symbolic size in it; the same one for the same sizes."""
    values = [*graph.inputs, *[v for equation in graph.equations for v in equation.outs]]
    found = {s for value in values for s in symbols_of(value.shape)}
    for equation in graph.equations:
        found.update(symbols_of(tuple(equation.params.values())))
    if not found:
        return graph
    symbols = sorted(found)
    key = tuple([size(Dim.of(s)) for s in symbols])
    if key == tuple(map(Dim.of, symbols)):
        return graph
    known = _RESIZED.setdefault(graph, {})
    if key in known:
        return known[key]
    new = {v: value_like(with_sizes(v.aval, size)) for v in values}
    new.update((v, v) for v, _ in graph.constants)

    def now(x: Atom) -> Atom:
        return new[x] if type(x) is Value else x

    equations = [
        Equation(
            e.primitive,
            [now(x) for x in e.operands],
            with_sizes(e.params, size),
            [new[v] for v in e.outs],
            e.line,
        )
        for e in graph.equations
    ]
    known[key] = Graph(
        [new[v] for v in graph.inputs],
        graph.constants,
        equations,
        [now(x) for x in graph.outputs],
        name=graph.name,
        out_tree=graph.out_tree,
    )
    return known[key]
