"""Graphs as functions of a foreign library's arrays: one call of a lowering for each equation.

The same table of lowerings that runs the tape on a library's arrays (`core.device`) spells a whole
graph here, so what comes out is ordinary code of that library: its own autodiff, its own compiler
and its own parallel runtimes take it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import is_inexact, make_aval
from pycograd.core.backend import Backend
from pycograd.core.buffers import Contents
from pycograd.core.device import DeviceArray, DeviceTrace, loop_dtypes, trace_of
from pycograd.core.errors import LoweringNotFoundError, UnsupportedOperationError
from pycograd.core.ir import Atom, Equation, Graph, Literal, Value, symbols_of, with_sizes
from pycograd.core.primitive import primitive_named
from pycograd.graph.inline import inlined

_NUMBERS = frozenset({bool, int, float, complex})


class Lowered:
    """A graph in the terms of a backend.

    Called with the library's arrays for its inputs, it returns those of its outputs, as a list.
    The first call looks at the dtype of every result; where a lowering does not give NumPy's, the
    code converts it from then on.

    Arguments:
        graph: what to run.
        backend: whose code it becomes.
        device: where its constants go; None leaves that to the library.
        rules: True: the library's own autodiff will go through the code, so the rules of custom
            functions, and of what the backend names in `own_rules`, take the place of its own.
        copied: which outputs are handed out as copies: what the caller writes into these must not
            be in a constant, and so in the next result, or in an array that he gave.

    Attributes:
        constants: the arrays that it holds, those of its sub-graphs included.
        source: the text of the generated function.
    """

    __slots__ = (
        "graph", "backend", "device", "rules", "constants", "source", "final", "odd",
        "parts", "copied", "_held",
    )  # fmt: skip

    def __init__(
        self,
        graph: Graph,
        backend: Backend,
        device: str | None = None,
        rules: bool = False,
        copied: Collection[int] = (),
    ) -> None:
        self.graph = graph if rules else inlined(graph)
        self.backend, self.device, self.rules, self.copied = backend, device, rules, copied
        self.final: Callable[..., Any] | None = None
        self.odd: set[int] = set()  # numbers of the results that need a conversion
        self.source = ""
        self.constants: list[Any] = []
        self._held: list[_Held] = []
        self.parts: dict[Any, Any] = {}  # what stands for its sub-graphs and its rules
        self._write(True)

    def __call__(self, *arrays: Any) -> list[Any]:
        return self.run(*arrays, *self.moved())

    def run(self, *arrays: Any) -> list[Any]:
        """The outputs, for the inputs and, behind them, the constants."""
        if self.final is not None:
            return self.final(*arrays)  # type: ignore[no-any-return]
        writer = self._write(True)
        outs: list[Any] = writer.scope["run"](*arrays)
        self.final = self._write(False).scope["run"]
        return outs

    def settled(self, *arrays: Any) -> Callable[..., Any]:
        """`run` as a plain function; it runs once on these arrays if it has not run yet."""
        if self.final is None:
            self.run(*arrays)
        assert self.final is not None
        return self.final

    def moved(self) -> list[Any]:
        """The constants, as they are now, on the device."""
        if len(self._held) != len(self.constants):
            trace = trace_of(self.backend, self.device)
            self._held = [_Held(array, trace, self.device) for array in self.constants]
        return [held.now() for held in self._held]

    def _noting(self, number: int, x: Any, dtype: np.dtype[Any]) -> Any:
        """A result, in NumPy's dtype; its number is noted if it was not."""
        if self.backend.is_array(x) and self.backend.dtype_of(x) == dtype:
            return x
        self.odd.add(number)
        return self._fixed(x, dtype)

    def _fixed(self, x: Any, dtype: np.dtype[Any]) -> Any:
        if not self.backend.is_array(x):
            return self.backend.from_numpy(np.asarray(x, dtype), self.device)
        return x if self.backend.dtype_of(x) == dtype else self.backend.cast(x, dtype)

    def _write(self, note: bool) -> _Writer:
        writer = _Writer(self, note)
        self.source = writer.source()
        title = f"<{self.backend.name} code of {self.graph.name}>"
        exec(compile(self.source, title, "exec"), writer.scope)
        self.constants = writer.constants
        return writer


class _Held:
    """A constant of a program: it is moved to the device anew where its contents are others."""

    __slots__ = ("array", "trace", "device", "known")

    def __init__(self, array: Any, trace: DeviceTrace, device: str | None) -> None:
        self.array, self.trace, self.device = array, trace, device
        self.known: tuple[Contents, Any] | None = None  # what was in it, and its copy

    def now(self) -> Any:
        """The array of the library."""
        array = self.array
        if isinstance(array, DeviceArray):
            return self.trace.here(array)
        if self.known is not None and self.known[0].still(array):
            return self.known[1]
        contents = Contents(array)  # first: a thread may write
        self.known = contents, self.trace.backend.from_numpy(np.asarray(array), self.device)
        return self.known[1]


class _Writer:
    """The text of a lowered graph, and the names that it uses."""

    def __init__(self, owner: Lowered, note: bool) -> None:
        self.owner, self.note = owner, note
        self.graph, self.backend, self.device = owner.graph, owner.backend, owner.device
        self.constants = [array for _, array in self.graph.constants]
        self.scope: dict[str, Any] = {
            "cast": self.backend.cast,
            "fixed": owner._fixed,
            "noting": owner._noting,
            "bound": _bound,
            "shape_of": self.backend.shape_of,
            "sized": _sized,
        }
        self.names: dict[Value, str] = {}
        self.functions: dict[Any, str] = {}
        self.given_arrays: list[str] = []  # names of the inputs and constants of the function
        self.results = 0
        self.read: set[Value] = set()  # by another equation or as an output

    def source(self) -> str:
        graph = self.graph
        values = [*graph.inputs, *[v for v, _ in graph.constants]]
        self.given_arrays = [f"x{i}" for i in range(len(values))]
        self.names = dict(zip(values, self.given_arrays))
        lines = [
            f"{self.names[v]} = fixed({self.names[v]}, {self.dtype(v)})"
            for v in graph.inputs
            if v.weak and not v.shape  # a Python number may come for it
        ]
        lines += self.sizes()
        ends = self.last_uses()
        self.read = {x for x in graph.outputs if isinstance(x, Value)}
        self.read.update(v for equation in graph.equations for v in equation.values)
        for i, equation in enumerate(graph.equations):
            lines += self.line(equation)
            if ends[i]:  # so that the library has its memory for the next result
                lines.append(f"del {', '.join(self.names[v] for v in ends[i])}")
        outputs = ", ".join([self.output(i, x) for i, x in enumerate(graph.outputs)])
        body = [*lines, f"return [{outputs}]"]
        heading = f"def run({', '.join(self.given_arrays)}):\n"
        return heading + "".join(f"    {line}\n" for line in body)

    def sizes(self) -> list[str]:
        """The line that reads symbolic sizes off the inputs, if some parameter needs any."""
        params = [(e, x) for e in self.graph.equations for x in e.params.values()]
        needed = {s: e for e, x in params if not isinstance(x, Graph) for s in symbols_of(x)}
        places = {
            repr(n): f"shape_of({self.names[v]})[{axis}]"
            for v in reversed(self.graph.inputs)
            for axis, n in enumerate(v.shape)
        }
        for symbol, equation in needed.items():
            if symbol not in places:
                raise UnsupportedOperationError(
                    f"{equation.primitive.name}: the code for {self.backend.name} needs the size"
                    f" {symbol}, which no input of the graph of {self.graph.name} has as that of an"
                    " axis; give it an input of that size, or capture it for sizes that are known"
                )
        pairs = ", ".join(f"{s!r}: {places[s]}" for s in sorted(needed))
        return [f"sizes = {{{pairs}}}"] if needed else []

    def last_uses(self) -> list[list[Value]]:
        """For each equation the results, its own or earlier ones, that nothing reads after it."""
        kept = set(self.graph.outputs)
        ends: list[list[Value]] = []
        for equation in reversed(self.graph.equations):
            over = [v for v in dict.fromkeys([*equation.values, *equation.outs]) if v not in kept]
            kept.update(over)
            ends.append(over)
        given = {*self.graph.inputs, *[v for v, _ in self.graph.constants]}
        return [[v for v in over if v not in given] for over in reversed(ends)]

    def line(self, equation: Equation) -> list[str]:
        values = [x if isinstance(x, Value) else x.aval for x in equation.operands]
        # Values are arrays here, also those that stand for a Python number.
        avals = [
            make_aval(x.shape, x.dtype, weak=True) if x.weak and not x.shape else x for x in values
        ]
        wanted, _ = loop_dtypes(equation.primitive, avals, equation.params)
        if self.ruled(equation):
            inputs = list(dict.fromkeys(equation.values))
            call = f"{self.with_rule(equation, inputs)}({', '.join(self.names[v] for v in inputs)})"
        else:
            operands = [self.operand(x, d) for x, d in zip(equation.operands, wanted)]
            params = [f"{k}={self.param(v)}" for k, v in equation.params.items()]
            if equation.primitive.spares:
                params.append(f"wanted={[v in self.read for v in equation.outs]}")
            call = f"{self.function(equation)}({', '.join([*operands, *params])})"
        for v in equation.outs:
            self.names[v] = f"v{len(self.names)}"
        if not equation.outs:
            return [call]
        targets = ", ".join(self.names[v] for v in equation.outs)
        if equation.primitive.multi or self.ruled(equation):
            targets += ","
        line = f"  # {equation.line}" if equation.line else ""
        return [f"{targets} = {call}{line}", *self.conversions(equation)]

    def conversions(self, equation: Equation) -> list[str]:
        """Lines that look at the dtypes of the results, or convert those found to be others."""
        lines = []
        for v in equation.outs:
            if equation.primitive.spares and v not in self.read:
                continue
            name, dtype = self.names[v], self.dtype(v)
            if self.note:
                lines.append(f"{name} = noting({self.results}, {name}, {dtype})")
            elif self.results in self.owner.odd:
                lines.append(f"{name} = fixed({name}, {dtype})")
            self.results += 1
        return lines

    # -- what is called --------------------------------------------------------------------------
    def function(self, equation: Equation) -> str:
        name = equation.primitive.name
        avals = [x if isinstance(x, Value) else x.aval for x in equation.operands]
        lowering = found_for(self.backend, equation, avals)
        if id(lowering) not in self.functions:  # one that a plugin makes may depend on the avals
            clean = name if name.isidentifier() and name not in self.scope else "f"
            self.functions[id(lowering)] = self.given(clean, lowering)
        return self.functions[id(lowering)]

    def ruled(self, equation: Equation) -> bool:
        """True if the library's autodiff is to use the operation's own rule."""
        primitive = equation.primitive
        return (
            self.owner.rules
            and (primitive.custom or primitive.name in self.backend.own_rules)
            and any(is_inexact(v.dtype) for v in equation.values)
            and any(is_inexact(v.dtype) for v in equation.outs)
        )

    def with_rule(self, equation: Equation, inputs: Sequence[Value]) -> str:
        known = self.owner.parts
        if equation not in known:
            one = Graph(inputs, [], [equation], equation.outs, name=equation.primitive.name)
            forward = Lowered(one, self.backend, self.device)
            known[equation] = forward, Backward(one, self.backend, self.device)
        forward, backward = known[equation]
        if forward.constants:
            self.constants += forward.constants
            names = self.more(len(forward.constants))
            run = f"bound({self.given('f', forward.run)}, {', '.join(names)})"
            return f"{self.given('f', self.backend.with_rule)}({run}, {self.given('f', backward)})"
        return self.given("f", self.backend.with_rule(forward.run, backward))

    def more(self, count: int) -> list[str]:
        """Names for further arrays that the function takes."""
        start = len(self.given_arrays)
        names = [f"x{i}" for i in range(start, start + count)]
        self.given_arrays += names
        return names

    # -- what it is called with ------------------------------------------------------------------
    def param(self, x: Any) -> str:
        """A parameter; a graph in it becomes a function of the library's arrays."""
        if not isinstance(x, Graph):
            found = self.given("p", x)
            return f"sized({found}, sizes)" if symbols_of(x) else found
        if x not in self.owner.parts:
            self.owner.parts[x] = Lowered(x, self.backend, self.device, self.owner.rules)
        inner = self.owner.parts[x]
        run = self.given("p", inner.run)
        if not inner.constants:
            return run
        # Arrays that it holds are read at each call, as those of the whole are.
        self.constants += inner.constants
        return f"bound({run}, {', '.join(self.more(len(inner.constants)))})"

    def operand(self, x: Atom, dtype: Any) -> str:
        if isinstance(x, Literal):
            if type(x.number) in _NUMBERS and np.isfinite(x.number):
                return repr(x.number)
            return self.given("c", self._array(x.number, dtype))
        name = self.names[x]
        if dtype is None or dtype == x.dtype:
            return name
        return f"cast({name}, {self.given('d', dtype)})"

    def dtype(self, v: Value) -> str:
        """The dtype that an array of the library has for a value, in this byte order."""
        return self.given("d", v.dtype.newbyteorder("="))

    def output(self, i: int, x: Atom) -> str:
        if isinstance(x, Value):
            return self.copied(self.names[x]) if i in self.owner.copied else self.names[x]
        if not isinstance(x.number, (bool, int, float, complex, np.generic)):
            return self.given("c", x.number)
        return self.copied(self.given("c", self._array(x.number, None)))

    def copied(self, name: str) -> str:
        """A copy of an array, as far as the backend has one: of others nobody writes into any."""
        try:
            copy = self.backend.lowering(primitive_named("copy"))
        except LoweringNotFoundError:
            return name
        return f"{self.given('f', copy)}({name}, order='K')"

    def _array(self, number: Any, dtype: Any) -> Any:
        return self.backend.from_numpy(np.asarray(number, dtype), self.device)

    def given(self, prefix: str, x: Any) -> str:
        """A name for an object that the text uses."""
        if prefix in "pd" and (x is None or type(x) in (bool, int, str)):
            return repr(x)
        name = (
            prefix
            if prefix not in "pcdf" and prefix not in self.scope
            else f"{prefix}{len(self.scope)}"
        )
        self.scope[name] = x
        return name


def found_for(backend: Backend, equation: Equation, avals: Sequence[Any]) -> Callable[..., Any]:
    """The lowering of an equation's primitive; an error names the line that the equation is of."""
    try:
        return backend.lowering(equation.primitive, avals)
    except LoweringNotFoundError as error:
        message = backend.missing(equation.primitive)
        if not equation.line or not str(error).startswith(message):
            raise
        see = backend.see(equation.primitive)
        found = LoweringNotFoundError(message)
        found.args = (f"{message} ({equation.line})" + (f". See: {see}" if see else ""),)
        raise found from None


class Backward:
    """The derivative rule of one equation in a library's terms, made when it is needed.

    Called with the operands, the results and the cotangents of the results, lists of arrays, it
    returns a cotangent for each operand; None for one that has none.
    """

    __slots__ = ("graph", "backend", "device", "lowered", "places")

    def __init__(self, graph: Graph, backend: Backend, device: str | None) -> None:
        self.graph, self.backend, self.device = graph, backend, device
        self.lowered: Lowered | None = None
        self.places: list[bool] = []

    def __call__(
        self, operands: Sequence[Any], results: Sequence[Any], cts: Sequence[Any]
    ) -> list[Any]:
        graph = self.graph
        if self.lowered is None:
            from pycograd.transforms.control.calls import reversed_graph

            live = tuple([is_inexact(v.dtype) for v in graph.inputs])
            given = tuple([is_inexact(v.dtype) for v in _values(graph.outputs)])
            made, has = reversed_graph(graph, live, given, None, True)
            found = iter(has)
            self.places = [next(found) if flag else False for flag in live]
            self.lowered = Lowered(made, self.backend, self.device, rules=True)
        wanted = [ct for ct, v in zip(cts, _values(graph.outputs)) if is_inexact(v.dtype)]
        made_cts = iter(self.lowered(*operands, *results, *wanted))
        return [next(made_cts) if has else None for has in self.places]


def _values(outputs: Sequence[Atom]) -> list[Value]:
    return [x for x in outputs if isinstance(x, Value)]


def _sized(x: Any, sizes: Mapping[str, Any]) -> Any:
    """A parameter, with what the symbolic sizes in it are in this call."""
    return with_sizes(x, lambda n: n.subs(sizes))


def _bound(run: Callable[..., Any], *arrays: Any) -> Callable[..., Any]:
    """`run` with these arrays behind those that it is called with."""
    return lambda *xs: run(*xs, *arrays)
