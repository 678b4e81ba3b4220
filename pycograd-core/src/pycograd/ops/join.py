"""Joining values and taking them apart.

`concatenate` and `split`, `stack` and `unstack` are primitives, each pair one another's transposes.
`np.split` and its kin give views, as NumPy does, and so are slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import index
from typing import Any

import numpy as np

from pycograd.core import elementwise, sizes
from pycograd.core.aval import dtype_of, make_aval, shape_of
from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.errors import ShapeError
from pycograd.core.fit import fit
from pycograd.core.linear import Linear, Variadic, zeros_like
from pycograd.core.primitive import bind, shape_error
from pycograd.core.spelling import spells
from pycograd.core.tape import Var
from pycograd.ops.astype import converted
from pycograd.ops.axes import axis_of
from pycograd.ops.out import deliver

_ndarray = np.ndarray


def as_arrays(values: Any) -> list[Any]:
    """The operands of a join: boxes as they are, everything else as arrays."""
    return [x if isinstance(x, Box) else np.asanyarray(x) for x in values]


class _Join(Variadic):
    """A join, whose transpose takes the cotangent apart once for all operands."""

    fresh = True

    def __init__(self, name: str, impl: Any, *, transpose: Any, shape: Any) -> None:
        super().__init__(name, impl, transpose=transpose, shape=shape, batch=self.batch)

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        shapes, dtypes = [shape_of(v) for v in values], [dtype_of(v) for v in values]
        return _pull, (self.transpose, live, shapes, dtypes, params)

    def of(self, parts: Sequence[Any], params: dict[str, Any]) -> Any:
        """The joined parts; of arrays and `Var`s of one live tape recorded inline."""
        tape: Any = None
        values, slots, live = [], [], []
        for i, x in enumerate(parts):
            if type(x) is Var:
                if tape is None:
                    tape = x._trace
                elif tape is not x._trace:
                    break
                slots.append(x.slot)
                live.append(i)
                x = x.value
            if type(x) is not _ndarray:
                break
            values.append(x)
        else:
            if type(tape) is elementwise.hot:
                try:
                    ans = self.impl(*values, **params)
                except ValueError:
                    return bind(self, parts, params)  # which says what is wrong
                rule, residual = self.vjp(values, live, ans, params)
                return tape.record(
                    rule, slots[0] if len(slots) == 1 else tuple(slots), residual, ans
                )
        return bind(self, parts, params)

    def batch(self, size: int, values: Any, mapped: Any, params: Any) -> Any:
        rows = [
            make_aval(shape_of(v)[1:] if m else shape_of(v), dtype_of(v))
            for v, m in zip(values, mapped)
        ]
        self.shape_rule(*rows, **params)  # the error is about one row
        full = [
            v if m else np.broadcast_to(v, (size, *row.shape))
            for v, m, row in zip(values, mapped, rows)
        ]
        return bind(self, full, {"axis": params["axis"] + 1})


def _pull(ct: Any, residual: Any) -> Any:
    transpose, live, shapes, dtypes, params = residual
    parts = transpose(ct, shapes, **params)
    cts = tuple([fit(parts[i], shapes[i], dtypes[i]) for i in live])
    return cts if len(cts) > 1 else cts[0]


# -- concatenate and split -----------------------------------------------------------------------
def _concatenate_shape(*avals: Any, axis: int) -> Any:
    joined = list(avals[0].shape)
    for x in avals[1:]:
        if len(x.shape) != len(joined):
            raise shape_error("concatenate", avals, ValueError("their numbers of axes differ"))
        try:
            for i, n in enumerate(x.shape):
                joined[i] = (
                    joined[i] + n if i == axis else sizes.same_size(joined[i], n, "concatenate")
                )
        except ShapeError as error:
            raise shape_error("concatenate", avals, error) from None
    return make_aval(tuple(joined), np.result_type(*[a.dtype for a in avals]))


def _split(x: Any, axis: int, sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    lead = (slice(None),) * axis
    ends = list(accumulate(sizes))
    return tuple([x[(*lead, slice(end - n, end))] for n, end in zip(sizes, ends)])


def _rejoin(ct: Any, x: Any, axis: int, sizes: Any) -> Any:
    shape = x.shape
    parts = [
        zeros_like(make_aval((*shape[:axis], n, *shape[axis + 1 :]), x.dtype)) if c is None else c
        for c, n in zip(ct, sizes)
    ]
    return np.concatenate(parts, axis)


_concatenate = _Join(
    "concatenate",
    lambda *xs, axis: np.concatenate(xs, axis),
    transpose=lambda ct, shapes, axis: bind(
        split_, (ct,), {"axis": axis, "sizes": tuple([shape[axis] for shape in shapes])}
    ),
    shape=_concatenate_shape,
)
split_: Linear = Linear(
    "split",
    _split,
    transposes={"x": _rejoin},
    shape=lambda x, axis, sizes: tuple(
        [make_aval((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype) for n in sizes]
    ),
    batch=lambda size, values, mapped, axis, sizes: bind(
        split_, values, {"axis": axis + 1, "sizes": sizes}
    ),
    multi=True,
)


@spells(np.concatenate)  # np.concat is the same function
def concatenate(
    arrays: Any,
    /,
    axis: Any = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: Any = "same_kind",
) -> Any:
    """Values one after the other along an axis they have; along None, all their entries."""
    parts = _converted(as_arrays(arrays), dtype, casting, "concatenate")
    if axis is None:
        parts, axis = [np.ravel(x) for x in parts], 0
    if not parts:
        raise ValueError("concatenate: need at least one value")
    ndim = len(parts[0].shape)
    if not ndim:
        raise ShapeError("concatenate: a value without axes cannot be concatenated; use np.stack")
    return deliver(_concatenate.of(parts, {"axis": axis_of(axis, ndim, "concatenate")}), out)


def _converted(parts: list[Any], dtype: Any, casting: Any, operation: str) -> list[Any]:
    if dtype is None:
        return parts
    for x in parts:
        if not np.can_cast(x.dtype, dtype, casting):
            raise TypeError(
                f"{operation}: cannot cast from {x.dtype} to {np.dtype(dtype)} under {casting!r}"
            )
    return [converted(x, dtype) for x in parts]


# -- stack and unstack ---------------------------------------------------------------------------
def _stack_shape(*avals: Any, axis: int) -> Any:
    shape = avals[0].shape
    for x in avals[1:]:
        if len(x.shape) != len(shape):
            raise ShapeError(f"stack: shapes {shape} and {x.shape} must be equal")
        shape = tuple([sizes.same_size(n, m, "stack") for n, m in zip(shape, x.shape)])
    return make_aval(
        (*shape[:axis], len(avals), *shape[axis:]), np.result_type(*[a.dtype for a in avals])
    )


def _unstack(x: Any, axis: int) -> tuple[Any, ...]:
    return tuple(x if axis == 0 else x.transpose((axis, *_others(len(x.shape), axis))))


def _others(ndim: int, axis: int) -> list[int]:
    return [i for i in range(ndim) if i != axis]


def _restack(ct: Any, x: Any, axis: int) -> Any:
    zero = zeros_like(make_aval((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype))
    return np.stack([zero if c is None else c for c in ct], axis)


def _stack_arrays(*xs: Any, axis: int) -> Any:
    shape = shape_of(xs[0])
    if any(shape_of(x) != shape for x in xs):
        return np.stack(xs, axis)  # which says what is wrong
    if not shape:
        return np.array(xs)
    row = (*shape[:axis], 1, *shape[axis:])
    return np.concatenate([x.reshape(row) for x in xs], axis)  # a third of np.stack's time


_stack = _Join(
    "stack",
    _stack_arrays,
    transpose=lambda ct, shapes, axis: bind(unstack_, (ct,), {"axis": axis}),
    shape=_stack_shape,
)
unstack_: Linear = Linear(
    "unstack",
    _unstack,
    transposes={"x": _restack},
    shape=lambda x, axis: (
        (make_aval((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype),) * index(x.shape[axis])
    ),
    batch=lambda size, values, mapped, axis: bind(unstack_, values, {"axis": axis + 1}),
    multi=True,
)


@spells(np.stack)
def stack(
    arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = "same_kind"
) -> Any:
    """Values of one shape along a new axis."""
    parts = _converted(as_arrays(arrays), dtype, casting, "stack")
    if not parts:
        raise ValueError("stack: need at least one value")
    place = axis_of(axis, len(parts[0].shape) + 1, "stack")
    return deliver(_stack.of(parts, {"axis": place}), out)


# -- in NumPy over these -------------------------------------------------------------------------
@spells(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    """Values below one another, 1-d ones as rows."""
    rows = [np.atleast_2d(x) for x in as_arrays(tup)]
    return concatenate(rows, 0, dtype=dtype, casting=casting)


@spells(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: Any = "same_kind") -> Any:
    """Values side by side: along axis 1, 1-d ones along their only axis."""
    parts = [np.atleast_1d(x) for x in as_arrays(tup)]
    axis = 0 if parts and len(parts[0].shape) == 1 else 1
    return concatenate(parts, axis, dtype=dtype, casting=casting)


@spells(np.dstack)
def dstack(tup: Any) -> Any:
    """Values behind one another, along a third axis."""
    return concatenate([np.atleast_3d(x) for x in as_arrays(tup)], 2)


@spells(np.column_stack)
def column_stack(tup: Any) -> Any:
    """Values side by side as columns, 1-d ones each as a column."""
    parts = as_arrays(tup)
    return concatenate([x if len(x.shape) > 1 else np.atleast_2d(x).T for x in parts], 1)


@spells(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """`values` after `arr`; all entries along one axis if none is given."""
    return concatenate((arr, values), axis)


@spells(np.block)
def block(arrays: Any) -> Any:
    """Nested lists of blocks as one value: the innermost lists along the last axis."""
    depth, ndim = _nesting(arrays), 0
    if depth == 0:
        return np.copy(arrays)
    leaves = [arrays]
    for _ in range(depth):
        leaves = [x for row in leaves for x in row]
    ndim = max(depth, *[len(x.shape) for x in as_arrays(leaves)])
    return _block(arrays, depth, ndim)


def _nesting(x: Any) -> int:
    if not isinstance(x, list):
        return 0
    depths = {_nesting(part) for part in x}
    if not x or len(depths) > 1:
        raise ValueError("block: the lists must be nested equally deep everywhere, none empty")
    return 1 + depths.pop()


def _block(x: Any, depth: int, ndim: int) -> Any:
    if depth:
        return concatenate([_block(part, depth - 1, ndim) for part in x], -depth)
    (x,) = as_arrays([x])
    return np.expand_dims(x, tuple(range(ndim - len(x.shape))))


def _cut(ary: Any, ends: Sequence[Any], axis: int) -> list[Any]:
    lead = (slice(None),) * axis
    starts = [0, *ends]
    return [ary[(*lead, slice(a, b))] for a, b in zip(starts, [*ends, None])]


@spells(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> list[Any]:
    """Parts along an axis: cut at given places, or so many of nearly the same size."""
    axis = axis_of(axis, len(ary.shape), "array_split")
    if np.ndim(indices_or_sections):
        return _cut(ary, [index(i) for i in indices_or_sections], axis)
    parts, length = index(indices_or_sections), ary.shape[axis]
    if parts <= 0:
        raise ValueError(f"array_split: the number of parts, {parts}, must be positive")
    small, longer = divmod(length, parts)
    if isinstance(longer, Dim):  # of a symbolic size only an even split is known
        sizes.same_size(longer, 0, "array_split")
        longer = 0
    lengths = [small + 1] * longer + [small] * (parts - longer)
    return _cut(ary, list(accumulate(lengths))[:-1], axis)


@spells(np.split)
def split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> list[Any]:
    """As `array_split`, but so many parts must have the same size."""
    axis = axis_of(axis, len(ary.shape), "split")
    if not np.ndim(indices_or_sections):
        rest = ary.shape[axis] % index(indices_or_sections)
        if type(rest) is int and rest:
            raise ShapeError(
                f"split: axis {axis} of {ary.shape} has no {indices_or_sections} equal parts"
            )
    return array_split(ary, indices_or_sections, axis)


@spells(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the first axis of a value with at least two."""
    return split(_with_axes(ary, 2, "vsplit"), indices_or_sections, 0)


@spells(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along axis 1, for a 1-d value along its only axis."""
    axis = 1 if len(_with_axes(ary, 1, "hsplit").shape) > 1 else 0
    return split(ary, indices_or_sections, axis)


@spells(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts along the third axis."""
    return split(_with_axes(ary, 3, "dsplit"), indices_or_sections, 2)


def _with_axes(x: Any, least: int, operation: str) -> Any:
    if len(x.shape) < least:
        raise ShapeError(f"{operation}: a value of shape {x.shape} has fewer than {least} axes")
    return x


def unstack(x: Any, /, *, axis: Any = 0) -> tuple[Any, ...]:
    """The parts along an axis, without it."""
    axis = axis_of(axis, len(x.shape), "unstack")
    lead = (slice(None),) * axis
    return tuple([x[(*lead, i)] for i in range(index(x.shape[axis]))])


if hasattr(np, "unstack"):  # since NumPy 2.1
    spells(np.unstack)(unstack)
