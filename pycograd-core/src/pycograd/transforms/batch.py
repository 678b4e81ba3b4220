"""Batching. `vmap: (a -> b) -> ([a] -> [b])`.

A `Batched` value holds its batch axis in front, or has none (`mapped` false: every row sees the
same value; boxed all the same, so that `table[i]` with a plain table reaches us). Each operation's
batch rule runs it once on all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core import modes
from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.box import Box, refuse_masks
from pycograd.core.elementwise import serve_rows
from pycograd.core.errors import BatchError, ControlFlowError, EscapedTracerError, ShapeError
from pycograd.core.primitive import Primitive, Trace, bind, shape_error
from pycograd.core.tree import broadcast_prefix, tree_flatten, tree_paths, tree_unflatten
from pycograd.transforms.wrap import (
    Transformed,
    check_callable,
    check_result,
    name_of,
    refuse_escaped,
    refuse_foreign,
    say_clearer,
)
from pycograd.transparent import prepared


class BatchTrace(Trace):
    """One batched run over `size` rows."""

    __slots__ = ("size",)

    def __init__(self, size: int, name: str) -> None:
        super().__init__(name)
        self.size = size

    def box(self, value: Any, mapped: bool) -> Batched:
        """A box for `value`, whose axis 0 runs over the rows if `mapped`."""
        batched: Batched = object.__new__(Batched)
        batched.value, batched._trace, batched.mapped = value, self, mapped
        return batched

    def constant(self, value: Any) -> Batched:
        """A value that all rows share, until a write makes them differ."""
        return self.box(value, False)

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        if len(operands) == 1:
            x = operands[0]
            values, mapped = [x.value], [x.mapped]
        else:
            values, mapped = [], []
            for x in operands:
                if type(x) is Batched and x._trace is self:
                    values.append(x.value)
                    mapped.append(x.mapped)
                else:
                    values.append(x)
                    mapped.append(False)
        any_mapped = True in mapped
        if any_mapped:
            try:
                out = primitive.batch(self.size, values, tuple(mapped), params)
            except ShapeError as error:
                said = primitive.misfit(operands, params)
                in_one_row = said or shape_error(primitive.name, operands, error)
                if in_one_row is error:
                    raise
                raise in_one_row from error
        else:
            out = bind(primitive, values, params)
        if modes.active:
            modes.watch(self, primitive, values, out)
        if primitive.multi:
            return tuple([self.box(x, any_mapped) for x in out])
        return self.box(out, any_mapped)

    def close(self) -> None:
        """Ends the trace: its boxes, if any escaped, raise when used."""
        self.__class__ = ClosedBatchTrace


class ClosedBatchTrace(BatchTrace):
    """A batched run that has returned."""

    __slots__ = ()
    closed = True

    def box(self, value: Any, mapped: bool) -> Batched:
        raise self._escaped("an operation")

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        raise self._escaped(primitive.name)

    def _escaped(self, operation: str) -> EscapedTracerError:
        return EscapedTracerError(
            f"{operation}: a value made inside vmap of {self.name} was used after it had returned."
            " Return it from the function instead of keeping it elsewhere"
        )


class Batched(Box):
    """A value of every row at once."""

    __slots__ = ("mapped",)
    mapped: bool
    contents = ("value",)

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.value.shape[1:] if self.mapped else shape_of(self.value)

    @property
    def dtype(self) -> np.dtype[Any]:
        return dtype_of(self.value)

    def rebind(self, new: Box) -> None:
        self.value, self.mapped = new.value, new.mapped

    # A value that all rows share is a constant of the run: it converts as its value does.
    def __bool__(self) -> bool:
        if self.mapped:
            raise ControlFlowError(
                f"vmap: Python control flow on a value that differs between rows, {self._text()}."
                " Write np.where(condition, a, b) in place of if; np.any or np.all cannot help,"
                " since each row has its own answer"
            )
        return bool(self.value)

    def __float__(self) -> Any:
        return super().__float__() if self.mapped else float(self.value)

    def __int__(self) -> Any:
        return super().__int__() if self.mapped else int(self.value)

    def __complex__(self) -> Any:
        return super().__complex__() if self.mapped else complex(self.value)

    def __index__(self) -> Any:
        return super().__index__() if self.mapped else self.value.__index__()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__array__() if self.mapped else np.asarray(self.value, *args, **kwargs)

    def _kind(self) -> str:
        return f"a value that vmap maps over rows, {self._text()} in each,"

    def __format__(self, spec: str) -> str:
        return format(self.value, spec) if not self.mapped or not spec else repr(self)


serve_rows(Batched)


def vmap(
    f: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_size: int | None = None,
    chunk_size: int | None = None,
    *,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """`f` on every row of its arguments at once.

    Arguments:
        f: a function of one row; any tree of outputs, any transform inside.
        in_axes: the axis of each argument that runs over the rows: an int (negative too) or None
            (every row gets the whole argument), for all arguments alike or a tuple with an entry
            per positional argument, each an int, None, or a tree prefix of that argument. Keyword
            arguments are mapped over axis 0.
        out_axes: where the axis of rows goes in the outputs: an int, or a tree prefix of them; None
            for an output that does not depend on the row.
        axis_size: the number of rows, needed if no argument is mapped.
        chunk_size: rows to run at a time, which bounds memory.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A function of the batched arguments.

    Raises:
        BatchError: no mapped argument, or sizes that differ; the message names the arguments.
        ControlFlowError: a Python branch inside `f` on a value that differs between rows.

    >>> import numpy as np
    >>> vmap(lambda x, w: x @ w, (0, None))(np.ones((4, 3)), np.ones(3))
    array([3., 3., 3., 3.])
    """
    check_callable(f, "vmap")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"vmap: chunk_size must be at least 1, not {chunk_size}")
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    options = {
        "in_axes": in_axes,
        "out_axes": out_axes,
        "axis_size": axis_size,
        "chunk_size": chunk_size,
        "transparent": transparent,
    }
    target = prepared(f, transparent, indexed=True)

    def run(*args: Any, **kwargs: Any) -> Any:
        if kwargs or not _LEAVES.issuperset(map(type, args)):
            leaves, treedef = tree_flatten((args, kwargs))
            for x in leaves:
                refuse_masks(x)
                refuse_foreign(x, "vmap", f, alike=True)
        else:
            leaves, treedef = list(args), None  # the common case: arrays by position
        if modes.placing is not None:
            leaves = modes.placing(leaves)
        axes = _axes(f, in_axes, args, kwargs, treedef)
        size = _size(f, leaves, axes, axis_size, lambda: tree_paths((args, kwargs)))
        moved = [
            x if axis is None else x if axis == 0 else np.moveaxis(x, axis, 0)
            for x, axis in zip(leaves, axes)
        ]
        mapped = [axis is not None for axis in axes]
        if chunk_size is None or size <= chunk_size:
            outs, out_tree = run_rows(target, moved, mapped, treedef, size)
        else:
            outs, out_tree = _in_chunks(target, moved, mapped, treedef, size, chunk_size)
        return _placed(f, outs, out_tree, out_axes, size)

    return Transformed(run, f, vmap, options)


def per_example_grad(f: Callable[..., Any], in_axes: Any = 0, **options: Any) -> Any:
    """One gradient per row of the arguments: `vmap(grad(f), in_axes)`.

    Arguments:
        f: a real scalar function of one example.
        in_axes: as in `vmap`.
        options: keyword arguments of `grad`, such as `argnums`.

    Returns:
        A function of the batched arguments; its result is that of `grad(f)` with the rows in front.

    Raises:
        BatchError, NotDifferentiableError, NonScalarOutputError: as for `vmap` and `grad`.

    >>> import numpy as np
    >>> per_example_grad(lambda x: np.sum(x * x))(np.array([[1.0, 2.0], [3.0, 4.0]]))[0]
    array([[2., 4.],
           [6., 8.]])
    """
    from pycograd.transforms.reverse import grad

    return vmap(grad(f, **options), in_axes)


# -- the steps of a call ---------------------------------------------------------------------------
_AXES = frozenset({int, type(None)})


def _spread_over(treedef: Any, in_axes: Any, count: int) -> list[Any]:
    """One axis for every leaf, where each argument has a single one for all of its leaves."""
    axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * count
    if treedef is None:
        return list(axes)
    positional, by_name = treedef.children
    spread = [a for a, tree in zip(axes, positional.children) for _ in range(tree.num_leaves)]
    return spread + [0] * by_name.num_leaves


_LEAVES = frozenset({np.ndarray, float, Batched})


def _axes(
    f: Any, in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any], treedef: Any
) -> list[Any]:
    """The axis of every leaf of `(args, kwargs)`; a treedef of None: each argument is a leaf."""
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise BatchError(
            f"vmap of {name_of(f)}: in_axes has {len(in_axes)} entries for {len(args)} positional"
            " arguments"
        )
    try:
        if _AXES.issuperset(map(type, in_axes if isinstance(in_axes, tuple) else (in_axes,))):
            return _spread_over(treedef, in_axes, len(args))
        axes: list[Any] = broadcast_prefix((in_axes, 0), (args, kwargs))
    except ValueError as error:
        raise BatchError(f"vmap of {name_of(f)}: in_axes does not fit: {error}") from error
    for axis in axes:
        if axis is not None and not isinstance(axis, (int, np.integer)):
            raise BatchError(f"vmap of {name_of(f)}: in_axes holds {axis!r}; use ints and None")
    return axes


def _size(f: Any, leaves: Any, axes: list[Any], given: int | None, paths: Any) -> int:
    """The common number of rows; normalises negative axes in place."""
    sizes: dict[int, Any] = {}
    for i, (x, axis) in enumerate(zip(leaves, axes)):
        if axis is None:
            continue
        shape = getattr(x, "shape", None)
        if shape is None:
            shape = np.shape(x) if isinstance(x, (float, int, complex, bool)) else None
        if shape is None or not -len(shape) <= axis < len(shape):
            what = type(x).__name__ if shape is None else f"shape {shape}"
            raise BatchError(
                f"vmap of {name_of(f)}: argument {_path(paths(), i)} ({what}) has no axis {axis} to"
                " map over; give it None in in_axes"
            )
        axes[i] = axis % len(shape)
        sizes[i] = shape[axis]
    if given is not None:
        sizes[-1] = given
    if not sizes:
        raise BatchError(
            f"vmap of {name_of(f)}: no argument is mapped, so the number of rows is unknown; give"
            " an axis in in_axes, or axis_size="
        )
    found = set(sizes.values())
    if len(found) > 1:
        names = paths()
        listed = ", ".join(
            f"{'axis_size' if i < 0 else f'argument {_path(names, i)}'} has {n}"
            for i, n in sizes.items()
        )
        raise BatchError(f"vmap of {name_of(f)}: sizes of the mapped axes differ: {listed}")
    return found.pop()  # type: ignore[no-any-return]


def _path(paths: list[str], i: int) -> str:
    """`0.1.w` (positional argument 1, entry w) as the user would say it."""
    _, _, rest = paths[i].partition(".")
    return rest or paths[i]


def run_rows(
    f: Any, leaves: Sequence[Any], mapped: Sequence[bool], treedef: Any, size: int
) -> tuple[list[Any], Any]:
    """One batched run: for each output leaf `(value, mapped)`, and their structure."""
    trace = BatchTrace(size, name_of(f))
    try:
        boxed = [
            trace.box(x, m) if m or isinstance(x, (np.ndarray, np.generic)) else x
            for x, m in zip(leaves, mapped)
        ]
        if treedef is None:
            out = f(*boxed)
        else:
            args, kwargs = tree_unflatten(treedef, boxed)
            out = f(*args, **kwargs)
        check_result(out, f, "vmap")
        outs, out_tree = tree_flatten(out)
        for x in outs:
            refuse_escaped(x, trace)
        return [
            (x.value, x.mapped) if isinstance(x, Batched) and x._trace is trace else (x, False)
            for x in outs
        ], out_tree
    except (TypeError, ValueError) as error:
        say_clearer(error)
        raise
    finally:
        trace.close()


def _in_chunks(
    f: Any, leaves: Any, mapped: Any, treedef: Any, size: int, chunk: int
) -> tuple[list[Any], Any]:
    runs = []
    for start in range(0, size, chunk):
        rows = slice(start, min(start + chunk, size))
        part = [x[rows] if m else x for x, m in zip(leaves, mapped)]
        outs, out_tree = run_rows(f, part, mapped, treedef, rows.stop - start)
        runs.append(outs)
    joined = []
    for pieces in zip(*runs):
        if pieces[0][1]:
            joined.append((np.concatenate([value for value, _ in pieces]), True))
        else:
            joined.append(pieces[0])
    return joined, out_tree


def _placed(f: Any, outs: Any, out_tree: Any, out_axes: Any, size: int) -> Any:
    """The outputs with the axis of rows where `out_axes` says."""
    try:
        if type(out_axes) is int:
            axes: list[Any] = [out_axes] * len(outs)
        else:
            axes = broadcast_prefix(out_axes, tree_unflatten(out_tree, list(range(len(outs)))))
    except ValueError as error:
        raise BatchError(f"vmap of {name_of(f)}: out_axes does not fit: {error}") from error
    placed = []
    for (value, mapped), axis in zip(outs, axes):
        if axis is None:
            if mapped:
                raise BatchError(
                    f"vmap of {name_of(f)}: an output with out_axes None differs between rows"
                )
            placed.append(value)
            continue
        if not mapped:
            if not isinstance(value, (Box, np.ndarray, np.generic, int, float, complex)):
                placed.append(value)  # None, a name: the same for all rows
                continue
            value = (
                np.array(np.broadcast_to(value, (size, *shape_of(value))))
                if not isinstance(value, Box)
                else np.broadcast_to(value, (size, *shape_of(value)))
            )
        if axis != 0:
            rank = len(shape_of(value))
            if not isinstance(axis, (int, np.integer)) or not -rank <= axis < rank:
                raise BatchError(
                    f"vmap of {name_of(f)}: out_axes holds {axis!r}, but the output has shape"
                    f" {shape_of(value)} with the rows in front; use an int from {-rank} to"
                    f" {rank - 1}, or None"
                )
            value = np.moveaxis(value, 0, axis)
        placed.append(value)
    return tree_unflatten(out_tree, placed)
