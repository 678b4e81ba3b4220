"""Functions as sub-graphs: captured with what they close over, and their derivatives as graphs.

A sub-graph has no boxes among its constants. What the function closes over of an enclosing
transform comes first among its inputs, so that the equation that holds it has it among its
operands and every transform sees it.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from pycograd.core import modes, sizes
from pycograd.core.aval import ShapeDtypeStruct, aval_of, dtype_of, is_inexact, make_aval, shape_of
from pycograd.core.box import Box
from pycograd.core.dims import Constraints
from pycograd.core.ir import Equation, Graph, Literal, Value, symbols_of, value_like
from pycograd.core.linear import Linear
from pycograd.core.primitive import Primitive
from pycograd.core.tape import Tape, Var
from pycograd.core.tree import TreeDef, tree_flatten
from pycograd.transforms.batch import Batched, BatchTrace
from pycograd.transforms.capture import CaptureTrace, capturing, output_of, resolve
from pycograd.transforms.forward import Dual, ForwardTrace
from pycograd.transforms.reverse import pull


def is_number(x: Any) -> bool:
    """True for what an array can hold: arrays, boxes, numbers and booleans."""
    return isinstance(x, (Box, np.ndarray, np.generic, float, int, complex))


def traced(
    run: Callable[..., Any], avals: Sequence[ShapeDtypeStruct], name: str
) -> tuple[Graph, list[Any], TreeDef]:
    """The graph of `run` on values like `avals`: `(graph, closed over, structure of the result)`.

    The values closed over are the first inputs of the graph.
    """
    trace = CaptureTrace(name)
    inputs = [value_like(a) for a in avals]
    outer, own = sizes.current(), Constraints()
    trace.known = {s for a in avals for s in symbols_of(a.shape)}
    trace.known |= (outer or own).reserved
    token = capturing.set(capturing.get() or trace)  # parameters are met by the whole program
    try:
        with sizes.collecting(outer or own, trace), modes.staged(trace):
            out = run(*[trace.box(x) for x in inputs])
            leaves, out_tree = tree_flatten(out)
            outputs = [output_of(trace, x) for x in leaves]
    finally:
        trace.closed = True
        capturing.reset(token)
    if own.equalities:
        resolve(trace, inputs, own)
    closed = [(v, x) for v, x in trace.constants if isinstance(x, Box)]
    constants = [(v, x) for v, x in trace.constants if not isinstance(x, Box)]
    whole = [*[v for v, _ in closed], *inputs]
    graph = Graph(whole, constants, trace.equations, outputs, name=name)
    return the_one(graph), [x for _, x in closed], out_tree


_GRAPHS: WeakValueDictionary[Any, Graph] = WeakValueDictionary()


def the_one(graph: Graph) -> Graph:
    """The graph that is like this one and still alive, so that both are compiled once."""
    places: dict[Value, int] = {}
    for v in [*graph.inputs, *[v for v, _ in graph.constants]]:
        places[v] = len(places)
    for e in graph.equations:
        for v in e.outs:
            places[v] = len(places)

    def key(x: Any) -> Any:
        if type(x) is Value:
            return places[x]
        if isinstance(x, Literal):
            x = x.number
        if isinstance(x, (tuple, list)):
            return type(x), tuple(map(key, x))
        if isinstance(x, slice):
            return slice, key((x.start, x.stop, x.step))
        if isinstance(x, (np.ndarray, Graph, Primitive)):
            return id(x)  # the graph holds it
        return type(x), repr(x) if isinstance(x, (float, complex, np.generic)) else x

    def type_of(v: Value) -> Any:
        return v.shape, v.dtype, v.weak

    def key_of(e: Equation) -> Any:
        params = tuple([(name, key(x)) for name, x in e.params.items()])
        return id(e.primitive), key(e.operands), params, tuple(map(type_of, e.outs)), e.line

    try:
        known = (
            graph.name,
            tuple(map(type_of, graph.inputs)),
            tuple([(type_of(v), id(array)) for v, array in graph.constants]),
            tuple(map(key_of, graph.equations)),
            key(tuple(graph.outputs)),
        )
        return _GRAPHS.setdefault(known, graph)
    except TypeError:  # a parameter without a hash
        return graph


def whole(run: Callable[..., Any], avals: Sequence[ShapeDtypeStruct], name: str) -> Graph:
    """As `traced`, for a function that closes over nothing of a transform."""
    graph, closed, _ = traced(run, avals, name)
    assert not closed
    return graph


def with_inputs(graph: Graph, inputs: Sequence[Value]) -> Graph:
    """A graph of the same equations that takes other inputs, or these in another order."""
    return Graph(inputs, graph.constants, graph.equations, graph.outputs, name=graph.name)


def output_avals(graph: Graph) -> list[ShapeDtypeStruct]:
    """What the outputs of a graph are; numbers that adapt have the dtype of arrays here."""
    avals = [x.aval for x in graph.outputs]
    return [make_aval(a.shape, a.dtype) for a in avals]


def strong(x: Any, dtype: np.dtype[Any]) -> Any:
    """A value with this dtype, which does not adapt to that of others."""
    if isinstance(x, Box):
        aval = aval_of(x)
        return np.multiply(x, dtype.type(1)) if aval.weak or aval.dtype != dtype else x
    return x if dtype_of(x) == dtype and hasattr(x, "shape") else dtype.type(x)


def of_dtypes(graph: Graph, dtypes: Sequence[np.dtype[Any]]) -> Graph:
    """`graph` with its first results of these dtypes, adapting to no others."""
    outs = graph.outputs[: len(dtypes)]
    if all(type(x) is Value and not x.weak and x.dtype == d for x, d in zip(outs, dtypes)):
        return graph

    def run(*boxes: Any) -> Any:
        outs = graph.evaluate(boxes)
        return [*map(strong, outs, dtypes), *outs[len(dtypes) :]]

    return whole(run, [v.aval for v in graph.inputs], graph.name)


def zeros(aval: ShapeDtypeStruct, like: Any = None) -> Any:
    """Zeros of this shape; where sizes are symbols, made beside the value `like`."""
    if all(type(n) is int for n in aval.shape):
        return np.zeros(aval.shape, aval.dtype)
    return np.zeros(aval.shape, aval.dtype, like=like)


# -- running a graph under one transform -------------------------------------------------------
def active(graph: Graph, flags: Sequence[bool]) -> list[bool]:
    """Which outputs may have a derivative, if the inputs flagged do."""
    live = {v for v, flag in zip(graph.inputs, flags) if flag and is_inexact(v.dtype)}
    for equation in graph.equations:
        if not equation.primitive.zero and not live.isdisjoint(equation.values):
            live.update(v for v in equation.outs if is_inexact(v.dtype))
    return [type(x) is Value and x in live for x in graph.outputs]


def pulled(
    graph: Graph, values: Sequence[Any], live: Sequence[bool], cts: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """`(outputs, cotangents of the live inputs)`; None is a symbolic zero, in and out."""
    tape = Tape(graph.name)
    try:
        boxed = [tape.input(x) if flag else x for x, flag in zip(values, live)]
        slots = [x.slot for x, flag in zip(boxed, live) if flag]
        inputs = len(tape.steps)
        outs = graph.evaluate(boxed)
        del boxed
        seeds = [
            (x.slot, ct)
            for x, ct in zip(outs, cts)
            if ct is not None and isinstance(x, Var) and x._trace is tape
        ]
        outs = [x.value if isinstance(x, Var) and x._trace is tape else x for x in outs]
        if not seeds:
            return outs, [None] * len(slots)
        found = pull(tape, [s for s, _ in seeds], [ct for _, ct in seeds], inputs)
    finally:
        tape.close()
    return outs, [found[s] for s in slots]


def pushed(
    graph: Graph, values: Sequence[Any], tangents: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """`(outputs, their tangents)`; None is a symbolic zero, in and out."""
    trace = ForwardTrace(graph.name)
    try:
        outs = graph.evaluate(
            [x if t is None else trace.box(x, t) for x, t in zip(values, tangents)]
        )
        pairs = [
            (x.value, x.tangent) if isinstance(x, Dual) and x._trace is trace else (x, None)
            for x in outs
        ]
    finally:
        trace.close()
    return [x for x, _ in pairs], [t for _, t in pairs]


def in_rows(
    graph: Graph, size: Any, values: Sequence[Any], mapped: Sequence[bool]
) -> tuple[list[Any], list[bool]]:
    """`(outputs, which of them differ between rows)`; those that do have the rows in front."""
    trace = BatchTrace(size, graph.name)
    try:
        outs = graph.evaluate([trace.box(x, m) for x, m in zip(values, mapped)])
        # A Python number that differs between rows is an array, which adapts to no other dtype.
        outs = [
            x.astype(v.aval.dtype) if isinstance(x, Box) and x.dtype != v.aval.dtype else x
            for x, v in zip(outs, graph.outputs)
        ]
        pairs = [
            (x.value, x.mapped) if isinstance(x, Batched) and x._trace is trace else (x, False)
            for x in outs
        ]
    finally:
        trace.close()
    return [x for x, _ in pairs], [m for _, m in pairs]


def spread(x: Any, size: Any) -> Any:
    """A value that all rows share, once for each row."""
    return np.broadcast_to(x, (size, *shape_of(x)))


def row_aval(aval: ShapeDtypeStruct, size: Any, mapped: bool) -> ShapeDtypeStruct:
    """The aval of a value with the rows in front, if it has them."""
    return make_aval((size, *aval.shape), aval.dtype) if mapped else aval


def known_outputs(graph: Graph, made: Sequence[Any], known: Sequence[Value]) -> Graph:
    """`graph` with the results `made` in it, boxes of its capture, read from inputs instead."""
    fixed = {*graph.inputs, *[v for v, _ in graph.constants]}
    instead: dict[Value, Value] = {}
    for x, value in zip(made, known):
        if isinstance(x, Box) and type(x.value) is Value and x.value not in fixed:
            instead.setdefault(x.value, value)
    equations = []
    for e in graph.equations:
        operands = [instead.get(x, x) if type(x) is Value else x for x in e.operands]
        equations.append(type(e)(e.primitive, operands, e.params, e.outs, e.line))
    outputs = [instead.get(x, x) if type(x) is Value else x for x in graph.outputs]
    return without_dead(graph.with_body(equations, outputs))


def without_dead(graph: Graph) -> Graph:
    """`graph` without the equations that no output depends on."""
    wanted = {x for x in graph.outputs if type(x) is Value}
    kept = []
    for equation in reversed(graph.equations):
        if not wanted.isdisjoint(equation.outs):
            kept.append(equation)
            wanted.update(equation.values)
    constants = [(v, array) for v, array in graph.constants if v in wanted]
    return graph.with_body(kept[::-1], graph.outputs, constants)


def reads(graph: Graph) -> set[Value]:
    """The values that some equation or output reads."""
    found = {x for x in graph.outputs if type(x) is Value}
    for equation in graph.equations:
        found.update(equation.values)
    return found


# -- what is made of a graph once --------------------------------------------------------------
_MADE: WeakKeyDictionary[Graph, dict[Hashable, Any]] = WeakKeyDictionary()


def once(graph: Graph, key: Hashable, make: Callable[[], Any]) -> Any:
    """What `make` returned when it was first asked of this graph; it may not hold it."""
    known = _MADE.setdefault(graph, {})
    if key not in known:
        known[key] = make()
    return known[key]


@functools.cache
def executor() -> Any:
    """The module that compiles sub-graphs; it stands above the transforms, so it goes by name."""
    return importlib.import_module("pycograd.graph.loops")


# -- numbers that adapt ------------------------------------------------------------------------
def _item(x: Any) -> Any:
    return x.item() if hasattr(x, "item") and np.ndim(x) == 0 else x


# A loop counter is a Python int to the body: times a float32 array it leaves float32.
as_python = Linear(
    "as_python",
    _item,
    transposes={"x": lambda ct: ct},
    shape=lambda x: make_aval(x.shape, x.dtype, weak=not x.shape),
    batch=lambda size, values, mapped: values[0],
)
