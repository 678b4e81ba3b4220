"""The executor: a graph becomes one straight-line Python function over NumPy.

Dispatch is gone: what is left of an equation is a call of a ufunc with `out=` a buffer that the
plan of `liveness` gives it. Buffers are kept between calls (`frames`), a set for each call that
runs at the same time; what is returned is never one of them.
"""

from __future__ import annotations

import itertools
import keyword
import linecache
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.ir import Atom, Equation, Graph, Literal, Value
from pycograd.core.linear import Reduction
from pycograd.graph.frames import pool
from pycograd.graph.liveness import planned, ufunc_of

_counter = itertools.count()


class Program:
    """A compiled graph: called with its input arrays, it returns the list of its outputs.

    Arguments:
        graph: of concrete shapes.
        captured: the graph before passes; see `liveness.planned`.

    Attributes:
        source: the text of the generated function.
        plan: where its values live.
    """

    __slots__ = ("source", "plan", "run", "__weakref__")

    def __init__(self, graph: Graph, captured: Graph | None = None) -> None:
        writer = Writer(graph, captured)
        self.source, self.plan = writer.source(), writer.plan
        self.run = compiled(self, self.source, f"graph of {graph.name}", writer.scope)

    def __call__(self, *leaves: Any) -> Any:
        return self.run(*leaves)


def compiled(owner: Any, source: str, title: str, scope: dict[str, Any]) -> Callable[..., Any]:
    """The function `run` that the source defines; tracebacks show it as long as `owner` lives."""
    filename = f"<pycograd {next(_counter)}: {title}>"
    exec(compile(source, filename, "exec"), scope)
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    weakref.finalize(owner, linecache.cache.pop, filename, None).atexit = False
    run: Callable[..., Any] = scope.pop("run")  # which would otherwise hold itself
    return run


class Writer:
    """The text of one program, and the names that it uses."""

    def __init__(self, graph: Graph, captured: Graph | None = None) -> None:
        self.graph, self.plan = graph, planned(graph, captured)
        self.scope: dict[str, Any] = {
            "empty": np.empty,
            "asarray": np.asarray,
            **dict.fromkeys(("take", "give", "frame")),  # names of the buffers' functions
            "__name__": "pycograd.graph.executor",
        }
        self.names: dict[Value, str] = {}
        self.numbers: dict[Any, str] = {}
        self.reduces: dict[np.ufunc, str] = {}
        self.known: set[Value] = set()  # numbers repeated, which are made once for all calls
        self.lines: list[str] = []

    def source(self) -> str:
        graph, plan = self.graph, self.plan
        for i, value in enumerate(graph.inputs):
            self.names[value] = f"x{i}"
        for value, array in graph.constants:
            self.names[value] = self.given("k", array)
        for i, equation in enumerate(graph.equations):
            for value in equation.outs:
                buffer = plan.buffers.get(value)
                self.names[value] = f"v{len(self.names)}" if buffer is None else f"b{buffer}"
            self.write(i, equation)
        lines = [*self.frame_lines(), *self.lines]
        if plan.views:
            lines.append("give(held)")
        outputs = [self.output(i, x) for i, x in enumerate(graph.outputs)]
        lines.append(f"return [{', '.join(outputs)}]")
        head = f"def run({', '.join(self.names[v] for v in graph.inputs)}):\n"
        return head + "".join(f"    {line}\n" for line in lines)

    def frame_lines(self) -> list[str]:
        """The lines that take the buffers of a call; `give(held)` gives them back."""
        if not self.plan.views:
            return []
        take, give = pool(self.plan.nbytes)
        self.scope.update(take=take, give=give, frame=self.plan.frame)
        return [
            "try:",
            "    held = take()",
            "except IndexError:",
            "    held = frame()",
            f"{', '.join(f'b{i}' for i in range(len(self.plan.views)))}, = held",
        ]

    def given(self, prefix: str, x: Any) -> str:
        """A name of its own for an object that the program uses."""
        name = f"{prefix}{len(self.scope)}"
        self.scope[name] = x
        return name

    def function(self, name: str, x: Any) -> str:
        """The name of a function, its own where that is free."""
        if not name.isidentifier() or keyword.iskeyword(name):
            name = "f"
        while self.scope.setdefault(name, x) is not x:
            name += "_"
        return name

    def reduce(self, ufunc: np.ufunc) -> str:
        """The name of `ufunc.reduce`, which is a new object each time that it is asked for."""
        if ufunc not in self.reduces:
            self.reduces[ufunc] = self.function(f"{ufunc.__name__}_reduce", ufunc.reduce)
        return self.reduces[ufunc]

    def is_given(self, value: Value) -> bool:
        """True if the value is written into memory that is there already."""
        return value in self.plan.buffers

    def is_known(self, equation: Equation) -> bool:
        """True for a number that is repeated, which takes no memory, and is only read."""
        known = not equation.values and equation.primitive.name == "broadcast_to"
        return known and equation.outs[0] not in self.plan.returned

    # -- equations -------------------------------------------------------------------------------
    def write(self, i: int, equation: Equation) -> None:
        if self.is_known(equation):
            (made,) = equation.run([x.number for x in equation.operands], {})  # type: ignore[union-attr]
            self.names[equation.outs[0]] = self.given("k", made)
            self.known.add(equation.outs[0])
            return
        operands = [self.operand(x, equation) for x in equation.operands]
        line = f"  # {equation.line}" if equation.line else ""
        outs = [self.names[v] for v in equation.outs]
        if self.is_given(equation.outs[0]):
            call = self.call(equation, operands, outs[0])
            self.lines.append(f"{call}{line}")
        else:
            call = self.call(equation, operands, None)
            target = ", ".join(outs) + ("," if equation.primitive.multi else "")
            self.lines.append(f"{target} = {call}{line}")
        if dead := [self.names[v] for v in self.plan.dead.get(i, ()) if v not in self.known]:
            self.lines.append(f"del {', '.join(dead)}")

    def call(self, equation: Equation, operands: Sequence[str], out: str | None) -> str:
        """The call that an equation is; into the buffer `out`, if one is given."""
        primitive, params = equation.primitive, equation.params
        # Of Python numbers the implementation makes Python numbers, which adapt to what they meet.
        ufunc = None if equation.outs[0].weak else ufunc_of(equation)
        # Of three arguments without names NumPy warns where users mistake the third for an operand.
        named_out = "out=" if ufunc in (np.maximum, np.minimum) else ""
        ending = f", {named_out}{out})" if out else ")"
        if isinstance(primitive, Reduction) and ufunc is not None:
            reduce = self.reduce(ufunc)
            axis, keepdims = params["axis"], params["keepdims"]
            if out or keepdims:
                return f"{reduce}({operands[0]}, {axis!r}, None, {out}, {keepdims})"
            return f"{reduce}({operands[0]}, {axis!r})"
        if ufunc is not None and not params:
            if out is None and len(operands) == 2 and ufunc in _OPERATORS:
                return f"{operands[0]} {_OPERATORS[ufunc]} {operands[1]}"
            return f"{self.function(ufunc.__name__, ufunc)}({', '.join(operands)}{ending}"
        if primitive.written is not None and not is_number(equation.operands[0]):
            if params.keys() == {"key"}:
                return primitive.written.format(*operands, key=self.subscript(params["key"]))
            if "key" not in params:
                named = {name: self.parameter(x) for name, x in params.items()}
                return primitive.written.format(*operands, **named)
        named = {name: self.parameter(x) for name, x in params.items()}
        impl = self.function(primitive.name, primitive.impl)
        rest = [f"{name}={x}" for name, x in named.items()]
        return f"{impl}({', '.join([*operands, *rest])})"

    def operand(self, x: Atom, equation: Equation) -> str:
        if type(x) is Value:
            return self.names[x]
        assert isinstance(x, Literal)
        return self.number(x.number, equation)

    def number(self, number: Any, equation: Equation) -> str:
        """A number as an operand: an array of its final dtype, which no call has to make again."""
        dtype, ufunc = equation.outs[0].dtype, ufunc_of(equation)
        if type(number) in (int, float) and ufunc is not None and equation.outs[0].shape:
            # Not where there are loops for integers beside floats, as the order of scipy's bdtr.
            loops = {t for t in ufunc.types if t.endswith(f"->{dtype.char}") and "m" not in t}
            alike = loops == {f"{dtype.char * ufunc.nin}->{dtype.char}"}
            if alike and {v.dtype for v in equation.values} == {dtype} and dtype.kind == "f":
                number = np.array(number, dtype)
        elif isinstance(number, np.generic):
            number = np.asarray(number)
        if not isinstance(number, np.ndarray):
            return self.parameter(number)
        key = number.dtype, number.tobytes()
        if key not in self.numbers:
            self.numbers[key] = self.given("c", number)
        return self.numbers[key]

    def parameter(self, x: Any) -> str:
        """A parameter as text; what has none is given a name."""
        if x is None or x is Ellipsis or type(x) in (bool, int, str):
            return "..." if x is Ellipsis else repr(x)
        if type(x) is float and x == x and abs(x) != float("inf"):
            return repr(x)
        if type(x) is tuple:
            inner = ", ".join(map(self.parameter, x))
            return f"({inner},)" if len(x) == 1 else f"({inner})"
        if type(x) is slice:
            return f"slice({', '.join(map(self.parameter, (x.start, x.stop, x.step)))})"
        return self.given("p", x)

    def subscript(self, key: tuple[Any, ...]) -> str:
        """A basic index as it stands between brackets."""

        def text(x: Any) -> str:
            return "" if x is None else self.parameter(x)

        parts = [
            f"{text(x.start)}:{text(x.stop)}" + f":{text(x.step)}" * (x.step is not None)
            if type(x) is slice
            else self.parameter(x)
            for x in key
        ]
        return ", ".join(parts) + "," * (len(parts) == 1) if parts else "()"

    def output(self, i: int, x: Atom) -> str:
        if type(x) is not Value:
            assert isinstance(x, Literal)
            return self.parameter(x.number)
        name = self.names[x]
        if x.weak:
            return name
        name = name if x.shape else f"asarray({name})"
        return f"{name}.copy()" if i in self.plan.copied else name


def is_number(x: Atom) -> bool:
    """True if a Python number may stand there, which has no methods."""
    return x.weak if type(x) is Value else type(x.number) in (bool, int, float, complex)  # type: ignore[union-attr]


_OPERATORS = {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/"}
