"""Shapes without data. `eval_shape: (a -> b) -> aval a -> aval b`.

A `Shaped` box knows an array's shape and dtype and nothing else; each operation's shape rule says
what comes out. Sizes may be symbols; the equalities that operations need are collected, and a
contradiction names the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import ShapeDtypeStruct, aval_of, make_aval, substitute_shape
from pycograd.core.box import Box, refuse_masks
from pycograd.core.dims import Constraints, Dim
from pycograd.core.errors import ArgumentError, ControlFlowError, EscapedTracerError
from pycograd.core.primitive import Primitive, Trace
from pycograd.core.tree import tree_flatten, tree_map, tree_unflatten
from pycograd.transforms.wrap import (
    check_callable,
    check_result,
    name_of,
    refuse_escaped,
    refuse_foreign,
    say_clearer,
)
from pycograd.transparent import prepared


class ShapeTrace(Trace):
    """One abstract evaluation."""

    __slots__ = ("closed",)
    owns = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.closed = False

    def box(self, aval: ShapeDtypeStruct) -> Shaped:
        """A box of which only `aval` is known."""
        shaped: Shaped = object.__new__(Shaped)
        shaped.value, shaped._trace = aval, self
        return shaped

    def constant(self, value: Any) -> Shaped:
        """A box for a known array, whose data are forgotten."""
        return self.box(aval_of(value))

    def make(self, make: Callable[[], Any], aval: ShapeDtypeStruct) -> Shaped:
        return self.box(aval)

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        if self.closed:
            raise EscapedTracerError(
                f"{primitive.name}: a value made inside eval_shape of {self.name} was used after it"
                " had returned"
            )
        avals = [
            x.value if isinstance(x, Shaped) and x._trace is self else aval_of(x) for x in operands
        ]
        out = primitive.shape(avals, params)
        return tuple([self.box(a) for a in out]) if primitive.multi else self.box(out)


class Dataless(Box):
    """A value whose data are not known: what depends on them is an error."""

    __slots__ = ()
    described = ""  # the value in messages, its type behind it
    advice = ""  # what to write instead

    def rebind(self, new: Box) -> None:
        self.value = new.value

    def _no_data(self, what: str) -> NoReturn:
        raise ControlFlowError(f"{what} {self.described}, {self.value!r}. {self.advice}")

    def __bool__(self) -> bool:
        self._no_data("Python control flow on")

    def __float__(self) -> NoReturn:
        self._no_data("float() of")

    def __int__(self) -> NoReturn:
        self._no_data("int() of")

    def __index__(self) -> NoReturn:
        self._no_data("an index from")

    def _kind(self) -> str:
        return f"{self.described}, {self.value!r},"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, spec: str) -> str:
        return repr(self)


class Shaped(Dataless):
    """A value known by its shape and dtype only."""

    __slots__ = ()
    value: ShapeDtypeStruct
    described = "a value of which only the shape is known"
    advice = "Write np.where in place of if, and branch on shapes or constants"


def eval_shape(
    f: Callable[..., Any], *args: Any, transparent: bool | None = None, **kwargs: Any
) -> Any:
    """The shapes and dtypes that `f` would return, without computing or allocating anything.

    Arguments:
        f: a function written in NumPy; transforms of functions too.
        args, kwargs: arrays, `ShapeDtypeStruct`s (sizes may be symbols, `("B", 3)`), Python floats,
            and trees of them; ints, strings and other values reach `f` as they are.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        The output tree with a `ShapeDtypeStruct` for each array.

    Raises:
        ShapeError: shapes that do not fit, or symbols that would have to equal different numbers.

    >>> import numpy as np
    >>> eval_shape(np.matmul, ShapeDtypeStruct((7, 4)), ShapeDtypeStruct((4, 9)))
    f64[7,9]
    """
    return _evaluate(f, args, kwargs, transparent)[0]


def _evaluate(
    f: Any, args: Any, kwargs: Any, transparent: bool | None = None
) -> tuple[Any, Constraints]:
    check_callable(f, "eval_shape")
    leaves, treedef = tree_flatten((args, kwargs))
    for x in leaves:
        refuse_masks(x)
        refuse_foreign(x, "eval_shape", f)
    constraints = Constraints(_symbols(leaves))
    trace = ShapeTrace(name_of(f))
    try:
        with sizes.collecting(constraints, trace):
            boxed = [trace.box(aval_of(x)) if is_input(x) else x for x in leaves]
            new_args, new_kwargs = tree_unflatten(treedef, boxed)
            out = prepared(f, transparent, indexed=True)(*new_args, **new_kwargs)
            check_result(out, f, "eval_shape")
            for x in tree_flatten(out)[0]:
                refuse_escaped(x, trace)
    except (TypeError, ValueError) as error:
        say_clearer(error)
        raise
    finally:
        trace.closed = True

    def describe(x: Any) -> Any:
        if not (is_input(x) or isinstance(x, (bool, int))):
            return x
        aval = x.value if isinstance(x, Shaped) else aval_of(x)
        return make_aval(tuple(constraints.resolve(n) for n in aval.shape), aval.dtype)

    return tree_map(describe, out), constraints


def is_input(x: Any) -> bool:
    """True for what only the shape and dtype of count: float numbers, arrays and avals."""
    return isinstance(x, (ShapeDtypeStruct, Box, np.ndarray, np.generic, float, complex))


def _symbols(leaves: Sequence[Any]) -> set[str]:
    return {
        name
        for x in leaves
        if isinstance(x, ShapeDtypeStruct)
        for n in x.shape
        if isinstance(n, Dim)
        for name in n.symbols
    }


def infer_shapes(f: Callable[..., Any], *shapes: Any) -> Any:
    """As `eval_shape`, with plain tuples for float64 arrays, in and out.

    Arguments:
        f: a function written in NumPy.
        shapes: the shape of each argument, as a tuple of sizes and symbols; anything else as in
            `eval_shape`.

    Returns:
        The shape of the result, or the tree of the shapes of several.

    Raises:
        ShapeError: shapes that do not fit an operation of `f`.

    >>> import numpy as np
    >>> infer_shapes(np.matmul, (7, 4), (4, "N"))
    (7, N)
    """
    out = eval_shape(f, *[as_struct(s) for s in shapes])
    return tree_map(lambda a: a.shape if isinstance(a, ShapeDtypeStruct) else a, out)


def as_struct(shape: Any) -> Any:
    """A tuple of sizes as a float64 `ShapeDtypeStruct`; anything else as it is."""
    if isinstance(shape, (tuple, list)) and all(isinstance(n, (int, str, Dim)) for n in shape):
        return ShapeDtypeStruct(shape)
    return shape


def substitute(specs: Any, sizes: Mapping[str, int]) -> Any:
    """A tree of `ShapeDtypeStruct`s with symbols replaced by numbers; other symbols remain.

    Arguments:
        specs: the tree.
        sizes: symbol -> number. One that is not in `specs` may be given only if none remains.

    Returns:
        The tree with the numbers in.

    Raises:
        ArgumentError: a symbol that is not in `specs`, while others remain.

    >>> substitute(ShapeDtypeStruct(("B", 3)), {"B": 8})
    f64[8,3]
    """

    symbols = _symbols(tree_flatten(specs)[0])
    if (unknown := sizes.keys() - symbols) and symbols - sizes.keys():
        raise _no_symbol("substitute", unknown, symbols)

    def one(spec: Any) -> Any:
        if isinstance(spec, ShapeDtypeStruct):
            return make_aval(substitute_shape(spec.shape, sizes), spec.dtype, spec.weak)
        return spec

    return tree_map(one, specs)


def _no_symbol(asked: str, unknown: Iterable[str], symbols: Iterable[str]) -> ArgumentError:
    return ArgumentError(
        f"{asked}: no symbol {', '.join(sorted(unknown))}; there are"
        f" {', '.join(sorted(symbols)) or 'none'}"
    )


def bind(f: Callable[..., Any], *args: Any, sizes: Mapping[str, int] | None = None) -> Any:
    """The shapes that `f` returns with symbols given numbers, which must fit what `f` requires.

    Arguments:
        f, args: as in `eval_shape`.
        sizes: symbol -> number.

    Returns:
        What `eval_shape` returns, with these numbers in the place of the symbols.

    Raises:
        ShapeError: a number that contradicts an equality the operations of `f` need.
        ArgumentError: a symbol that is not in `args`.

    >>> import numpy as np
    >>> bind(np.matmul, ShapeDtypeStruct(("B", 4)), ShapeDtypeStruct((4, 2)), sizes={"B": 8})
    f64[8,2]
    """
    out, constraints = _evaluate(f, args, {})
    symbols = _symbols(tree_flatten((args, out))[0])
    if unknown := (sizes or {}).keys() - symbols:
        raise _no_symbol(f"bind of {name_of(f)}", unknown, symbols)
    for name, size in (sizes or {}).items():
        constraints.equate(Dim.of(name), size, f"bind of {name_of(f)}")
    resolved = tree_map(
        lambda a: (
            make_aval(tuple(constraints.resolve(n) for n in a.shape), a.dtype)
            if isinstance(a, ShapeDtypeStruct)
            else a
        ),
        out,
    )
    return resolved
