"""Forward mode. `jvp: (a -> b) -> (a, T a) -> (b, T b)`.

A `Dual` carries a value and its tangent; each operation's jvp rule computes on both, so the
derivative is ready when the function returns and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core import modes
from pycograd.core.aval import aval_of, dtype_of, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import (
    EscapedTracerError,
    NotDifferentiableError,
    ShapeError,
    TreeMismatchError,
)
from pycograd.core.fit import cast
from pycograd.core.linear import zeros_like
from pycograd.core.primitive import Primitive, Trace, bind
from pycograd.core.tape import differentiable
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.transforms.wrap import (
    check_callable,
    check_result,
    is_differentiable,
    leaves_like,
    name_of,
    not_differentiable,
    refuse_escaped,
    refuse_foreign,
    say_clearer,
    split_aux,
)
from pycograd.transparent import prepared


class ForwardTrace(Trace):
    """One forward pass."""

    __slots__ = ()
    differentiates = True

    def box(self, value: Any, tangent: Any) -> Dual:
        """A box for `value` moving along `tangent` (None: not at all)."""
        dual: Dual = object.__new__(Dual)
        dual.value, dual._trace, dual.tangent = value, self, tangent
        return dual

    def constant(self, value: Any) -> Dual:
        """A box that does not move, and which a later write may set moving."""
        return self.box(value, None)

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        values, tangents = [], []
        for x in operands:
            if isinstance(x, Dual) and x._trace is self:
                values.append(x.value)
                tangents.append(x.tangent)
            else:
                values.append(x)
                tangents.append(None)
        ans = bind(primitive, values, params)
        if modes.active and modes.watch(self, primitive, values, ans):
            return ans
        if primitive.zero:
            return ans
        if all(t is None for t in tangents):
            return tuple([self._still(a) for a in ans]) if primitive.multi else self._still(ans)
        moved = primitive.jvp(values, tangents, ans, params)
        if modes.active and modes.checking_nans():
            modes.check_nan(f"the tangent of {primitive.name}", tangents, moved)
        if primitive.multi:
            moved = moved or [None] * len(ans)
            return tuple(
                [self._still(a) if t is None else self.box(a, t) for a, t in zip(ans, moved)]
            )
        return self._still(ans) if moved is None else self.box(ans, moved)

    def _still(self, value: Any) -> Any:
        """A result that does not move: an array may be written to later, so it is a box as well."""
        array = type(value) is np.ndarray or isinstance(value, Box)
        return self.constant(value) if array and differentiable(value) else value

    def close(self) -> None:
        """Ends the trace: its boxes, if any escaped, raise when used."""
        self.__class__ = ClosedForwardTrace


class ClosedForwardTrace(ForwardTrace):
    """A forward pass that has returned."""

    __slots__ = ()
    closed = True

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        raise EscapedTracerError(
            f"{primitive.name}: a value made inside jvp of {self.name} was used after it had"
            " returned. Return it from the function instead of keeping it elsewhere"
        )


class Dual(Box):
    """A value and its tangent."""

    __slots__ = ("tangent",)
    tangent: Any
    contents = ("value", "tangent")

    @property
    def shape(self) -> tuple[Any, ...]:
        return shape_of(self.value)

    @property
    def dtype(self) -> np.dtype[Any]:
        return dtype_of(self.value)

    def rebind(self, new: Box) -> None:
        self.value, self.tangent = new.value, new.tangent

    def __bool__(self) -> bool:
        return bool(self.value)


def jvp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
    *,
    transparent: bool | None = None,
) -> Any:
    """The value of `f` and its derivative along a direction.

    Arguments:
        f: a function of `primals`, with any tree of outputs.
        primals: a tuple or list with one value or tree per positional argument.
        tangents: the direction: the same structure and shapes; None is zero. Leaves that are not
            float or complex (indices, names) have none: None, or an integer, which is ignored.
        has_aux: `f` returns `(out, aux)`; aux is passed through.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        `(out, tangent_out)`, trees of one structure; with `has_aux`, `(out, tangent_out, aux)`.

    Raises:
        TreeMismatchError, ShapeError: tangents that do not fit the primals.
        NotDifferentiableError: no primal is a float or complex value, such as `jvp(f, (3,), (1,))`;
            a float tangent of one that is not; a complex tangent of a real one.

    >>> jvp(lambda x: x * x, (3.0,), (1.0,))
    (9.0, 6.0)
    """
    check_callable(f, "jvp")
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError("jvp(f, primals, tangents): both are tuples, one entry per argument")
    if len(primals) != len(tangents):
        raise TreeMismatchError(
            f"jvp of {name_of(f)}: {len(primals)} primals but {len(tangents)} tangents"
        )
    trace = ForwardTrace(name_of(f))
    try:
        args = [
            _boxed(trace, p, t, f, f"jvp of {name_of(f)}: argument {i}", i)
            for i, (p, t) in enumerate(zip(primals, tangents))
        ]
        leaves = tree_flatten(tuple(primals))[0]
        if leaves and not any(is_differentiable(x) for x in leaves):
            raise not_differentiable("jvp", f, 0, primals)
        out = prepared(f, transparent)(*args)
        check_result(out, f, "jvp")
        if has_aux:
            out, aux = split_aux(out, f, "jvp")
            aux_leaves, aux_tree = tree_flatten(aux)
            aux = tree_unflatten(aux_tree, [_split(x, trace)[0] for x in aux_leaves])
        leaves, treedef = tree_flatten(out)
        pairs = [_split(x, trace) for x in leaves]
    except (TypeError, ValueError) as error:
        say_clearer(error)
        raise
    finally:
        trace.close()
    value = tree_unflatten(treedef, [v for v, _ in pairs])
    tangent = tree_unflatten(treedef, [t for _, t in pairs])
    return (value, tangent, aux) if has_aux else (value, tangent)


def _boxed(trace: ForwardTrace, primal: Any, tangent: Any, f: Any, where: str, place: int) -> Any:
    leaves, treedef = tree_flatten(primal)
    if modes.placing is not None:
        leaves = modes.placing(leaves)
    if tangent is None:
        return primal
    try:
        moves = leaves_like(primal, tangent)
    except TreeMismatchError as error:
        raise TreeMismatchError(f"{where} and its tangent differ: {error}") from error
    boxed = []
    for leaf, move in zip(leaves, moves):
        if move is None or not is_differentiable(leaf):
            if move is not None and is_differentiable(move):
                raise not_differentiable("jvp", f, place, leaf)
            boxed.append(leaf)
            continue
        refuse_foreign(move, "jvp", f, alike=True)
        aval = aval_of(leaf)
        if not isinstance(move, Box) and not hasattr(move, "shape"):
            move = np.asarray(move)
        if shape_of(move) != aval.shape:
            raise ShapeError(f"{where} has shape {aval.shape}, its tangent {shape_of(move)}")
        if dtype_of(move).kind == "c" and aval.dtype.kind != "c":
            raise NotDifferentiableError(f"{where} is real, its tangent complex")
        boxed.append(trace.box(leaf, cast(move, aval.dtype)))
    return tree_unflatten(treedef, boxed)


def _split(x: Any, trace: ForwardTrace) -> tuple[Any, Any]:
    """The value and tangent of an output; zeros if it does not depend on the primals."""
    refuse_escaped(x, trace)
    if isinstance(x, Dual) and x._trace is trace:
        value, tangent = x.value, x.tangent
    else:
        value, tangent = x, None
    if not is_differentiable(value):
        return value, None if not hasattr(value, "shape") else np.zeros(shape_of(value))
    if tangent is None:
        tangent = zeros_like(value)
    if type(value) is float or type(value) is complex:
        return value, tangent if isinstance(tangent, Box) else type(value)(tangent)
    if isinstance(tangent, Box) or type(value) is not np.ndarray:
        return value, tangent
    return value, np.array(tangent) if not np.asarray(tangent).flags.writeable else tangent
