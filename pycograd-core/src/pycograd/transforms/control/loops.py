"""`scan` and `fori_loop`: a carry from step to step, over rows or a range of numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import aval_of, make_aval, promote, shape_of
from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.errors import ShapeError, TreeMismatchError
from pycograd.core.primitive import bind
from pycograd.core.tree import TreeDef, tree_flatten, tree_map, tree_unflatten
from pycograd.transforms.capture import is_abstract
from pycograd.transforms.checkpoint import checkpoint as checkpointed
from pycograd.transforms.control import subgraph
from pycograd.transforms.control.operands import (
    Function,
    as_avals,
    carried,
    is_staged,
    leaf_name,
    numbers_only,
    same_structure,
    settled,
)
from pycograd.transforms.control.scan import scan_p
from pycograd.transforms.control.while_loop import while_loop
from pycograd.transforms.opaque import OPAQUE
from pycograd.transforms.shapes import eval_shape
from pycograd.transforms.wrap import check_callable, check_result, name_of


def scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    checkpoint: bool = False,
) -> Any:
    """Carries a value along rows: `carry, y = f(carry, x)` for each row `x` of `xs`.

    On values that are known it is a Python loop. In a captured or compiled function it is one
    equation with `f` as a graph, whatever the number of rows. The reverse mode keeps the carry of
    each step and computes the rest of a step again.

    Arguments:
        f: a function `(carry, x) -> (carry, y)` of trees. The carry comes out with the structure,
            shapes and dtypes that it goes in with. It may close over anything.
        init: the first carry.
        xs: arrays of one length, and trees of them; None for no rows.
        length: the number of steps, needed where `xs` has no arrays.
        reverse: True begins with the last row; `ys` keep the order of `xs`.
        checkpoint: True makes the reverse mode keep the carry of some sqrt(n) steps only and run
            the steps between them again.

    Returns:
        `(carry, ys)`: the last carry, and the `y` of all steps stacked along a new first axis.

    Raises:
        ShapeError: rows of different lengths; a carry or a `y` that changes its shape.
        TreeMismatchError: `f` returns no pair, or a carry of another structure.
        TypeError: a carry that changes its dtype.

    >>> import numpy as np
    >>> total, sums = scan(lambda c, x: (c + x, c + x), 0.0, np.array([1.0, 2.0, 3.0]))
    >>> sums
    array([1., 3., 6.])
    >>> grad(lambda x: scan(lambda c, x: (c * x, None), 1.0, x)[0])(np.array([2.0, 3.0]))[0]
    array([3., 2.])
    """
    check_callable(f, "scan")
    carry, carry_tree = tree_flatten(init)
    rows, rows_tree = tree_flatten(xs)
    n = _length(rows, rows_tree, length)

    def call(f: Any, *leaves: Any) -> Any:
        own, row = leaves[: len(carry)], leaves[len(carry) :]
        out = f(tree_unflatten(carry_tree, own), tree_unflatten(rows_tree, row))
        check_result(out, f, "scan")
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            raise TreeMismatchError(
                f"scan: {name_of(f)} must return a pair (carry, y), y being None where there is"
                f" none; it returned {type(out).__name__}"
            )
        return tuple(out)

    step = _Step("scan", f, call, carry_tree)
    if is_staged([*carry, *rows], lambda: step.closed_over(carry, rows)):
        return _staged(step, carry, rows, n, reverse, checkpoint)
    if checkpoint and n > 3:
        return _in_segments(f, init, xs, n, reverse)
    return _looped(step, carry, rows, n, reverse)


class _Step(Function):
    """A step: its result checked to be a pair with a carry of the right structure.

    Arguments:
        operation: for messages.
        call: `call(f, *leaves) -> (carry, y)`.
        carry_tree: of the carry.
    """

    def __init__(
        self, operation: str, f: Any, call: Callable[..., Any], carry_tree: TreeDef
    ) -> None:
        super().__init__(f, call)
        self.operation, self.carry_tree = operation, carry_tree

    def taken_apart(self, out: Any) -> tuple[list[Any], list[Any], TreeDef]:
        """The leaves of the carry and of y, and the structure of y."""
        carry, tree = tree_flatten(out[0])
        same_structure(self.operation, self.f, self.carry_tree, tree, "a carry")
        return carry, *tree_flatten(out[1])

    def closed_over(self, carry: Sequence[Any], rows: Sequence[Any]) -> Sequence[Any]:
        """The values of transforms that a step closes over; none where it cannot be captured."""
        if not all(map(subgraph.is_number, carry)):
            return ()
        found: Sequence[Any] = self.traced([*as_avals(carry), *map(_row_aval, rows)])[1]
        return found

    def carried(self, before: Sequence[Any], after: Sequence[Any]) -> list[Any]:
        """As `operands.carried`."""
        return carried(self.operation, self.f, self.carry_tree, before, after)


def _length(rows: Sequence[Any], treedef: TreeDef, length: Any) -> Any:
    sizes = []
    for i, x in enumerate(rows):
        if not subgraph.is_number(x) or not shape_of(x):
            raise ShapeError(
                f"scan: xs has no rows ({leaf_name(treedef, i)} is {x!r}); let f close over it"
            )
        sizes.append(shape_of(x)[0])
    for i, n in enumerate(sizes):
        if n != sizes[0]:
            raise ShapeError(
                f"scan: xs have different lengths: {leaf_name(treedef, 0)} has {sizes[0]} rows,"
                f" {leaf_name(treedef, i)} has {n}"
            )
    if length is None:
        if not sizes:
            raise TypeError("scan: without xs, give the number of steps with length=")
        return sizes[0]
    if sizes and length != sizes[0]:
        raise ShapeError(f"scan: length is {length}, but xs have {sizes[0]} rows")
    return length if isinstance(length, Dim) else operator.index(length)


def _row_aval(x: Any) -> Any:
    aval = aval_of(x)
    return make_aval(aval.shape[1:], aval.dtype)


# -- as a Python loop --------------------------------------------------------------------------
def _looped(step: _Step, carry: list[Any], rows: list[Any], n: int, reverse: bool) -> Any:
    first = as_avals(carry)
    columns: list[list[Any]] | None = None
    y_tree: TreeDef | None = None
    order = range(n - 1, -1, -1) if reverse else range(n)
    for t in order:
        out = step.call(step.f, *carry, *[x[t] for x in rows])
        carry, ys, tree = step.taken_apart(out)
        first = step.carried(first, as_avals(carry))
        if columns is None:
            columns, y_tree = [[] for _ in ys], tree
        assert y_tree is not None
        same_structure("scan", step.f, y_tree, tree, "a y")
        for column, y in zip(columns, ys):
            column.append(y)
    if columns is None:
        return _of_no_steps(step, carry, rows)
    if reverse:
        for column in columns:
            column.reverse()
    assert y_tree is not None
    stacked = list(map(_stacked, columns))
    return tree_unflatten(step.carry_tree, carry), tree_unflatten(y_tree, stacked)


def _stacked(column: list[Any]) -> Any:
    """The results of all steps; Python numbers among them adapt to the others."""
    avals = as_avals(column)
    if any(a.weak for a in avals) and not all(a.weak for a in avals):
        column = [subgraph.strong(x, promote(avals)) for x in column]
    return np.stack(column)


def _of_no_steps(step: _Step, carry: list[Any], rows: list[Any]) -> Any:
    """The result of a scan over nothing: a step is looked at, but not run."""
    avals = [make_aval(a.shape, a.dtype) for a in as_avals(carry)]
    out = eval_shape(lambda *xs: step.call(step.f, *xs), *avals, *map(_row_aval, rows))
    empty = tree_map(lambda a: np.zeros((0, *a.shape), a.dtype), out[1])
    return tree_unflatten(step.carry_tree, carry), empty


# -- as an equation ----------------------------------------------------------------------------
def _staged(
    step: _Step, carry: list[Any], rows: list[Any], n: Any, reverse: bool, checkpoint: bool
) -> Any:
    numbers_only(step.operation, carry, step.carry_tree, "the carry")
    rest = [_row_aval(x) for x in rows]
    body, closed, out_tree, avals = settled(step.operation, step, step.carry_tree, carry, rest)
    _, ys, y_tree = step.taken_apart(tree_unflatten(out_tree, body.outputs))
    first = [subgraph.strong(x, a.dtype) for x, a in zip(carry, avals)]
    run = _nested if checkpoint and type(n) is int and n > 3 else _bound
    outs = run(body, closed, first, rows, n, reverse)
    last, stacked = outs[: len(carry)], outs[len(carry) :]
    assert len(stacked) == len(ys)
    return tree_unflatten(step.carry_tree, last), tree_unflatten(y_tree, stacked)


def _bound(
    body: Any, closed: Sequence[Any], carry: Any, rows: Any, n: Any, reverse: bool
) -> Sequence[Any]:
    if not body.outputs:
        return ()
    params = {
        "body": body,
        "parts": (len(closed), len(carry)),
        "length": n,
        "reverse": reverse,
        "saved": (),
    }
    found: Sequence[Any] = bind(scan_p, [*closed, *carry, *rows], params)
    return found


def _nested(
    body: Any, closed: Sequence[Any], carry: Any, rows: Any, n: int, reverse: bool
) -> Sequence[Any]:
    """A scan over segments of some sqrt(n) rows, each of them a scan, and over what is left.

    The reverse mode keeps what a scan carries: here that is one carry a segment, and while it goes
    through a segment that segment's own.
    """
    size = math.isqrt(n)
    count = n // size
    cut = count * size
    # The segments are those that are met first.
    main, rest = (slice(n - cut, n), slice(0, n - cut)) if reverse else (slice(cut), slice(cut, n))
    segments = [np.reshape(x[main], (count, size, *shape_of(x)[1:])) for x in rows]
    a, b = len(closed), len(closed) + len(carry)

    def segment(*boxes: Any) -> Any:
        return _bound(body, boxes[:a], boxes[a:b], boxes[b:], size, reverse)

    avals = [*[v.aval for v in body.inputs[:b]], *[_row_aval(x) for x in segments]]
    outer = subgraph.whole(segment, avals, f"segment of {body.name}")
    outs = _bound(outer, closed, carry, segments, count, reverse)
    carry, stacked = outs[: len(carry)], outs[len(carry) :]
    ys = [np.reshape(y, (cut, *shape_of(y)[2:])) for y in stacked]
    if cut < n:
        outs = _bound(body, closed, carry, [x[rest] for x in rows], n - cut, reverse)
        carry, more = outs[: len(carry)], outs[len(carry) :]
        ys = [np.concatenate([m, y] if reverse else [y, m]) for y, m in zip(ys, more)]
    return [*carry, *ys]


def _in_segments(f: Any, init: Any, xs: Any, n: int, reverse: bool) -> Any:
    """The Python loop with one checkpoint for some sqrt(n) rows."""
    size = math.isqrt(n)
    starts = range(0, n, size)

    def segment(carry: Any, xs: Any, length: int) -> Any:
        return scan(f, carry, xs, length, reverse)

    pieces = []
    carry = init
    for start in reversed(starts) if reverse else starts:
        part = slice(start, min(start + size, n))
        length = part.stop - part.start
        rows = tree_map(operator.itemgetter(part), xs)
        carry, ys = checkpointed(segment)(carry, rows, length)
        pieces.append(ys)
    if reverse:
        pieces.reverse()
    return carry, tree_map(lambda *ys: np.concatenate(ys), *pieces)


# -- over numbers ------------------------------------------------------------------------------
def fori_loop(lower: Any, upper: Any, body_fun: Callable[..., Any], init: Any) -> Any:
    """`value = body_fun(i, value)` for each i from `lower` to `upper - 1`.

    In a captured or compiled function it is one equation: a `scan` where both bounds are known,
    else a `while_loop`.

    Arguments:
        lower, upper: integers, or arrays of shape `()`.
        body_fun: a function `(i, value) -> value` of trees; the value comes out with the structure,
            shapes and dtypes that it goes in with.
        init: the first value.

    Returns:
        The last value; `init` where there is no step.

    Raises:
        ShapeError, TypeError, TreeMismatchError: the value changes its shape, dtype or structure.

    >>> fori_loop(0, 4, lambda i, value: value * 2.0 + i, 1.0)
    27.0
    """
    check_callable(body_fun, "fori_loop")
    if not (_is_known(lower) and _is_known(upper)):
        return _unbounded(lower, upper, body_fun, init)
    first, last = operator.index(lower), operator.index(upper)
    leaves, treedef = tree_flatten(init)

    def call(f: Any, *leaves: Any) -> Any:
        i, value = leaves[-1], tree_unflatten(treedef, leaves[:-1])
        out = f(subgraph.as_python(i) if isinstance(i, Box) else i, value)
        check_result(out, body_fun, "fori_loop")
        return out, None

    step = _Step("fori_loop", body_fun, call, treedef)
    rows = [np.arange(first, last)]
    if is_staged(leaves, lambda: step.closed_over(leaves, rows)):
        return _staged(step, leaves, rows, max(last - first, 0), False, False)[0]
    avals = as_avals(leaves)
    for i in range(first, last):
        leaves, _, _ = step.taken_apart(step.call(body_fun, *leaves, i))
        avals = step.carried(avals, as_avals(leaves))
    return tree_unflatten(treedef, leaves)


def _is_known(bound: Any) -> bool:
    """True for a bound that is a number of the program."""
    if isinstance(bound, Box):
        if is_abstract(bound):
            return False
        try:
            operator.index(bound)
        except OPAQUE:
            return False
        return True
    return True


def _unbounded(lower: Any, upper: Any, body_fun: Any, init: Any) -> Any:
    def body(state: Any) -> Any:
        i, value = state
        out = body_fun(subgraph.as_python(i) if isinstance(i, Box) else i, value)
        check_result(out, body_fun, "fori_loop")
        return i + 1, out

    start = lower if isinstance(lower, (Box, np.ndarray)) else np.int64(operator.index(lower))
    return while_loop(lambda state: state[0] < upper, body, (start, init))[1]
