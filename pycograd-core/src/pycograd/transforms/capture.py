"""Capture: running a function on values that only write down what is done with them.

`capture: (a -> b) -> aval a -> Graph (a -> b)`. A `Traced` value stands for a value of the graph;
each operation on it adds an equation. The rules of derivatives are NumPy code too, so the graph of
`grad(f)` is captured by the same means, forward and backward together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from pycograd.core import modes, sizes
from pycograd.core.aval import ShapeDtypeStruct, aval_of, is_inexact
from pycograd.core.box import Box, raw
from pycograd.core.buffers import owned
from pycograd.core.dims import Constraints
from pycograd.core.errors import (
    EscapedTracerError,
    SymbolicSizeError,
    UnsupportedOperationError,
    user_line,
)
from pycograd.core.ir import (
    Atom,
    Equation,
    Graph,
    Literal,
    Value,
    symbols_of,
    value_like,
    with_sizes,
)
from pycograd.core.primitive import REGISTRY, Primitive, Trace
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.core.views import as_array, is_buffer
from pycograd.transforms.shapes import Dataless, is_input as is_input
from pycograd.transforms.wrap import (
    check_callable,
    check_result,
    name_of,
    refuse_escaped,
    refuse_foreign,
    say_clearer,
)
from pycograd.transparent import prepared

# The innermost capture that is running here.
capturing: ContextVar[CaptureTrace | None] = ContextVar("capturing", default=None)
_NUMBERS = frozenset({float, int, complex, bool})
_ARRAYS = frozenset({np.ndarray, np.memmap})


class CaptureTrace(Trace):
    """One capture: the equations written so far, and the arrays met on the way."""

    __slots__ = ("closed", "equations", "constants", "atoms", "known")
    owns = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.closed = False
        self.known: set[str] | None = None  # the symbols in the shapes of the inputs, if any
        self.equations: list[Equation] = []
        self.constants: list[tuple[Value, Any]] = []
        self.atoms: dict[int, Value] = {}  # id of an array -> its value; `constants` keeps it alive

    def box(self, value: Value) -> Traced:
        """A box for a value of the graph."""
        traced: Traced = object.__new__(Traced)
        traced.value, traced._trace = value, self
        return traced

    def constant(self, value: Any) -> Traced:
        """A box for an array, which becomes an implicit input of the graph."""
        made = self.box(self._held(value))
        return as_array(made) if type(value) is np.ndarray else made

    def make(self, make: Callable[[], Any], aval: ShapeDtypeStruct) -> Traced:
        made = make()
        if owned(made):
            made.flags.writeable = False  # nobody else will ever see it: it may be computed with
        return self.constant(made)

    def _held(self, array: Any) -> Value:
        value = self.atoms.get(id(array))
        if value is None:
            check_kind(array, "an array that it computes with")
            value = self.atoms[id(array)] = value_like(aval_of(array))
            self.constants.append((value, array))
        return value

    def atom(self, x: Any) -> Atom:
        """What stands for an operand in an equation."""
        if type(x) is Traced and x._trace is self:
            return x.value
        kind = type(x)
        if kind in _NUMBERS or (isinstance(x, np.generic) and not isinstance(x, Box)):
            return Literal(x)
        return self._held(x if isinstance(x, (np.ndarray, Box)) else np.asarray(x))

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        if self.closed:
            raise EscapedTracerError(
                f"{primitive.name}: a value made inside capture of {self.name} was used after it"
                " had returned. Return it from the function instead of keeping it elsewhere"
            )
        atoms = [self.atom(x) for x in operands]
        if "in_place" in params and not isinstance(operands[0], Traced):
            # Nobody sees this buffer now, but every call of the graph will begin with it.
            params = {name: x for name, x in params.items() if name != "in_place"}
        avals = [x if type(x) is Value else x.aval for x in atoms]
        outs = primitive.shape(avals, params)
        outs = outs if primitive.multi else (outs,)
        if self.known is not None and any(s not in self.known for a in outs for s in symbols_of(a)):
            raise SymbolicSizeError(
                f"{primitive.name}: the size of its result depends on data, so the graph would hold"
                " for these data alone; use np.where(mask, x, 0) in place of x[mask]"
            )
        line = self.here()
        made = self.emit(primitive, atoms, params, outs, line)
        if modes.active and modes.stopped(self):  # whoever differentiates the graph shall know
            stop = REGISTRY["stop_gradient"]
            made = [
                self.emit(stop, [x], {}, [x.aval], line)[0] if is_inexact(x.dtype) else x
                for x in made
            ]
        boxes = tuple([self.box(x) for x in made])
        return boxes if primitive.multi else boxes[0]

    def here(self) -> str:
        """The line that an equation is said to come from."""
        return user_line()

    def emit(
        self,
        primitive: Primitive,
        atoms: Sequence[Atom],
        params: dict[str, Any],
        outs: Sequence[ShapeDtypeStruct],
        line: str,
    ) -> Sequence[Value]:
        """Writes down an equation, unless it has no results; the values of these."""
        values = [value_like(a) for a in outs]
        if values:
            self.equations.append(Equation(primitive, atoms, params, values, line))
        return values


class Traced(Dataless):
    """A value of a graph being captured."""

    __slots__ = ()
    value: Value
    described = "a value that is being captured"
    advice = (
        "Its data are not known yet: write np.where or cond in place of if, fori_loop or while_loop"
        " in place of a loop that depends on it, or branch on shapes and constants"
    )


def capture(
    f: Callable[..., Any], *args: Any, transparent: bool | None = None, **kwargs: Any
) -> Graph:
    """The graph of `f`: what it does with arrays of these shapes and dtypes, as equations.

    Arguments:
        f: a function written in NumPy; transforms of functions and graphs too.
        args, kwargs: arrays, `ShapeDtypeStruct`s (sizes may be symbols, `("B", 3)`), Python floats
            and complex numbers, and trees of them: the inputs. Ints, booleans, strings and other
            values reach `f` as they are and become part of the program. The data of the inputs are
            not looked at.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A `Graph`, which is called as `f` is, with arguments of the same structure, shapes and
        dtypes. Arrays that `f` closes over are its constants, held by reference.

    Raises:
        ControlFlowError: a Python branch, loop or conversion that depends on data.
        ShapeError: shapes that do not fit.
        SymbolicSizeError: a symbolic size that would be fixed to one number.

    >>> import numpy as np
    >>> print(capture(lambda x, w: np.sum(x @ w, axis=0), np.ones((4, 3)), np.ones((3, 2))))
    graph(%0:f64[4,3], %1:f64[3,2]) {
      %2 = matmul %0 %1 -> f64[4,2]
      %3 = sum %2 {axis=0} -> f64[2]
      outputs: %3
    }
    """
    check_callable(f, "capture")
    target = prepared(f, transparent, indexed=True)
    leaves, treedef = tree_flatten((args, kwargs))
    given = [value_like(aval_of(x)) if is_input(x) else x for x in leaves]
    for x in leaves:
        check_kind(x, "an argument")
        check_dtype(x)
        refuse_foreign(x, "jit or capture", f)

    def run(boxed: Sequence[Any]) -> Any:
        for x, box in zip(leaves, boxed):
            if is_zero_dimensional_array(x):
                as_array(box)
        new_args, new_kwargs = tree_unflatten(treedef, boxed)
        out = target(*new_args, **new_kwargs)
        check_result(out, f, "capture")
        return out

    inputs = [x for x in given if type(x) is Value]
    trace, outputs, out_tree = trace_of(run, given, name_of(f))
    return Graph(
        inputs,
        trace.constants,
        trace.equations,
        outputs,
        name=name_of(f),
        in_tree=treedef,
        out_tree=out_tree,
        given=given,
    )


def is_zero_dimensional_array(x: Any) -> bool:
    """True for an array of no axes, which can be written to, and not for a scalar."""
    if isinstance(x, Box):
        return not x.shape and is_buffer(x)
    return type(x) is np.ndarray and not x.shape


def check_kind(x: Any, what: str) -> None:
    """Refuses arrays of which a graph would lose something, such as a mask."""
    if type(x) not in _ARRAYS and isinstance(x, np.ndarray) and not isinstance(x, Box):
        raise UnsupportedOperationError(
            f"capture: {what} is a {type(x).__name__}, whose own rules a graph does not keep. Give"
            " an array in its place: np.asarray(x), of a masked one x.filled(0)"
        )


def check_dtype(x: Any) -> None:
    """Refuses arguments whose values stand for no numbers."""
    if isinstance(x, Box) or not isinstance(x, (np.ndarray, np.generic)):
        return
    if x.dtype.kind in "OSUMmT" or x.dtype.names:
        raise UnsupportedOperationError(
            f"capture: an argument has dtype {x.dtype}, of which a graph holds no values. Convert"
            " it with .astype; or if the program may depend on what it says, name it among the"
            " static_argnums of jit"
        )


def is_abstract(x: Any) -> bool:
    """True for a value without data: of a capture, or of an evaluation of shapes."""
    return isinstance(x, Box) and isinstance(raw(x), ShapeDtypeStruct)


def trace_of(
    run: Callable[[Sequence[Any]], Any], given: Sequence[Any], name: str
) -> tuple[CaptureTrace, list[Atom], Any]:
    """Runs `run` on boxes in the place of the values in `given`: `(trace, outputs, out_tree)`."""
    trace = CaptureTrace(name)
    trace.known = {s for x in given if type(x) is Value for s in symbols_of(x.shape)}
    constraints = Constraints(trace.known)
    token = capturing.set(trace)
    try:
        with sizes.collecting(constraints, trace):
            out = run([trace.box(x) if type(x) is Value else x for x in given])
            leaves, out_tree = tree_flatten(out)
            outputs = [output_of(trace, x) for x in leaves]
    except (TypeError, ValueError, RuntimeError) as error:
        say_clearer(error)
        raise
    finally:
        trace.closed = True
        capturing.reset(token)
    if constraints.equalities:
        resolve(trace, [x for x in given if type(x) is Value], constraints)
    for _, array in trace.constants:
        if owned(array, 1):  # made on the way, and seen by nobody else: it stays what it is
            array.flags.writeable = False
    return trace, outputs, out_tree


def output_of(trace: CaptureTrace, x: Any) -> Atom:
    """What stands for a leaf of the result among the outputs of a graph."""
    x = sizes.number(x)
    refuse_escaped(x, trace)
    return trace.atom(x) if isinstance(x, (Box, np.ndarray)) else Literal(x)


def resolve(trace: CaptureTrace, inputs: list[Value], constraints: Constraints) -> None:
    """Writes every size as the equalities found on the way say, so that calls check them."""
    values = [*inputs, *[v for equation in trace.equations for v in equation.outs]]
    for value in values:
        value.shape = tuple([constraints.resolve(n) for n in value.shape])
    for equation in trace.equations:
        equation.params = with_sizes(equation.params, constraints.resolve)
