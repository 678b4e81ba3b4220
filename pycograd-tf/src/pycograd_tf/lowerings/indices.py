"""Parts of tensors and writes into them, by NumPy's indices.

An index that is out of bounds is an error where its entries can be read. In a graph some of
TensorFlow's devices would take another entry for it; there the result is nan, of integers the
number at the end of their range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pycograd_tf.dtypes import cast
from pycograd_tf.lowerings.common import (
    Lowering,
    is_known,
    joined,
    of_data,
    shape,
    spread,
    tensors,
)

raw = tf.raw_ops


# -- entries of an index ---------------------------------------------------------------------------
def _wrapped(operation: str, index: Any, n: int, axis: int) -> tuple[Any, Any]:
    """An index tensor with positions from the start, and which are in bounds; None if all are."""
    index = tf.cast(index, tf.int64)
    known = index.numpy() if is_known(index) else tf.get_static_value(index)
    if known is None:
        index = tf.where(index < 0, index + n, index)
        return index, (index >= 0) & (index < n)
    low, high = int(np.min(known, initial=0)), int(np.max(known, initial=-1))
    if low < -n or high >= n:
        worst = low if low < -n else high
        raise IndexError(
            f"{operation}: index {worst} is out of bounds for axis {axis} with size {n}"
        )
    return (tf.where(index < 0, index + n, index) if low < 0 else index), None


def _and(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a & b


def _lost(x: Any) -> Any:
    """What stands for entries that are not there."""
    if x.dtype.is_floating or x.dtype.is_complex:
        return tf.constant(math.nan, x.dtype)
    return tf.constant(True if x.dtype == tf.bool else x.dtype.max, x.dtype)


def _found(inside: Any, x: Any, axis: int) -> Any:
    """`x` where the index, whose axes are those from `axis` on, was in bounds."""
    if inside is None:
        return x
    rest = x.shape.rank - axis - inside.shape.rank
    return tf.where(tf.reshape(inside, [*shape(inside), *[1] * rest]), x, _lost(x))


def _places_of(operation: str, mask: Any) -> list[Any]:
    """A mask as index tensors, one for each of its axes."""
    if not is_known(mask):
        raise of_data(operation, "a boolean mask takes as many entries as are true")
    return list(tf.unstack(tf.where(mask), axis=1))


# -- reading ---------------------------------------------------------------------------------------
def take(operation: str, x: Any, key: Sequence[Any], arrays: Sequence[Any]) -> Any:
    """`x[key]` as NumPy has it, arrays standing in the places of `"array"`."""
    if not arrays and not any(type(entry) is bool for entry in key):
        return x[tuple(key)]
    rest = iter(arrays)
    entries = [next(rest) if type(entry) is str else entry for entry in key]
    basic: list[Any] = []  # the part of the index that TensorFlow takes itself
    chosen: list[Any] = []
    axes: list[int] = []  # of `chosen`, in what the basic part leaves
    places: list[int] = []  # of `chosen`, among the entries of the key
    more = x.shape.rank - sum(map(_takes, entries))
    axis = 0
    for place, entry in enumerate(entries):
        if entry is Ellipsis:
            basic += [slice(None)] * more
            axis += more
        elif entry is None or type(entry) is slice:
            basic.append(tf.newaxis if entry is None else entry)
            axis += 1
        else:
            found = [entry]
            if _is_mask(entry):
                if not entry.shape.rank:
                    basic.append(tf.newaxis)
                    entry = tf.reshape(entry, [1])
                else:
                    basic += [slice(None)] * entry.shape.rank
                found = _places_of(operation, entry)
            elif type(entry) is bool:
                basic.append(tf.newaxis)
                found = [tf.zeros([int(entry)], tf.int64)]
            else:
                basic.append(slice(None))
                found = [tf.constant(entry, tf.int64) if type(entry) is int else entry]
            places.append(place)
            chosen += found
            axes += range(axis, axis + len(found))
            axis += len(found)
    if any(type(entry) is not slice or entry != slice(None) for entry in basic):
        x = x[tuple(basic)]
    adjacent = places == list(range(places[0], places[-1] + 1))
    return _advanced(operation, x, chosen, axes, adjacent)


def _is_mask(entry: Any) -> bool:
    return hasattr(entry, "dtype") and entry.dtype == tf.bool


def _takes(entry: Any) -> int:
    """How many axes of an array an entry of an index takes."""
    if entry is None or entry is Ellipsis or type(entry) is bool:
        return 0
    return entry.shape.rank if _is_mask(entry) else 1


def _advanced(
    operation: str, x: Any, chosen: Sequence[Any], axes: Sequence[int], adjacent: bool
) -> Any:
    """The entries at index tensors along axes; their axes go to the front unless `adjacent`."""
    if len(chosen) == 1:
        (axis,) = axes
        index, inside = _wrapped(operation, chosen[0], x.shape[axis], axis)
        return _found(inside, tf.gather(x, index, axis=axis), axis)
    sizes = [x.shape[a] for a in axes]
    index, inside = _flat(operation, chosen, sizes, axes)
    first = axes[0]
    beside = list(axes) == list(range(first, first + len(axes)))
    if not (beside and adjacent):
        order = [*axes, *[i for i in range(x.shape.rank) if i not in axes]]
        x, first = tf.transpose(x, order), 0
    before, after = shape(x)[:first], shape(x)[first + len(axes) :]
    x = tf.reshape(x, [*before, math.prod(sizes), *after])
    return _found(inside, tf.gather(x, index, axis=first), first)


def _flat(
    operation: str, chosen: Sequence[Any], sizes: Sequence[int], axes: Sequence[int]
) -> tuple[Any, Any]:
    """Several index tensors as one into the axes made one, and which positions are in bounds."""
    flat: Any = tf.zeros((), tf.int64)
    inside: Any = None
    for index, n, axis in zip(joined(*chosen), sizes, axes):
        index, good = _wrapped(operation, index, n, axis)
        flat, inside = flat * n + index, _and(inside, good)
    if inside is not None:  # never another entry
        flat = tf.where(inside, flat, math.prod(sizes))
    return flat, inside


def _index(x: Any, key: Any, fresh: bool = False) -> Any:
    return x[key]


def _gather(x: Any, *arrays: Any, key: Any, unique: bool = False) -> Any:
    return take("gather", x, key, arrays)


# -- writing ---------------------------------------------------------------------------------------
class _Part:
    """What a basic index takes, as bounds of every axis."""

    def __init__(self, sizes: Sequence[int], key: Sequence[Any]) -> None:
        more = len(sizes) - sum(1 for e in key if e is not None and e is not Ellipsis)
        entries: list[Any] = []
        for entry in key:
            entries += [slice(None)] * more if entry is Ellipsis else [entry]
        entries += [slice(None)] * (len(sizes) - sum(e is not None for e in entries))
        self.begin: list[int] = []
        self.end: list[int] = []
        self.strides: list[int] = []
        self.to_the_start = 0  # axes that are taken backwards to the first entry, as bits
        self.taken: list[int] = []
        self.shape: list[int] = []  # of what the index gives
        axis = 0
        for entry in entries:
            if entry is None:
                self.shape.append(1)
                continue
            n = sizes[axis]
            if type(entry) is slice:
                start, stop, step = entry.indices(n)
                count = len(range(start, stop, step))
                self.shape.append(count)
                stop = start + count * step
            else:
                start = entry + n if entry < 0 else entry
                stop, step, count = start + 1, 1, 1
            self.begin.append(start if count else 0)
            self.end.append(max(stop, 0) if count else 0)
            self.strides.append(step)
            self.to_the_start |= (count > 0 and stop < 0) << axis
            self.taken.append(count)
            axis += 1

    def bounds(self) -> dict[str, Any]:
        """As TensorFlow's operations on slices take them."""
        return {
            "begin": tf.constant(self.begin, tf.int64),
            "end": tf.constant(self.end, tf.int64),
            "strides": tf.constant(self.strides, tf.int64),
            "end_mask": self.to_the_start,
        }

    def value(self, y: Any) -> Any:
        """What is to be written, with every axis of the whole."""
        return tf.reshape(spread(y, self.shape), self.taken)


def _is_rows(key: Sequence[Any], arrays: Sequence[Any]) -> bool:
    """True for an index of index arrays alone."""
    return all(type(entry) is str for entry in key) and not any(map(_is_mask, arrays))


def _targets(
    operation: str, sizes: Sequence[int], key: Sequence[Any], arrays: Sequence[Any]
) -> tuple[Any, Any, Sequence[int], Sequence[int]]:
    """Which rows an index takes of the whole with its first axes made one.

    Returns:
        The positions of the rows, which are in bounds, the shape of a row, and of what the index
        gives.
    """
    if _is_rows(key, arrays):
        count = len(arrays)
        at, inside = _flat(operation, arrays, sizes[:count], range(count))
        row = sizes[count:]
        return at, inside, row, [*shape(at), *row]
    numbers = tf.reshape(tf.range(math.prod(sizes), dtype=tf.int64), sizes)
    at = take(operation, numbers, key, arrays)
    inside = None if is_known(at) else at < math.prod(sizes)
    return at, inside, (), shape(at)


def _added(
    operation: str, x: Any, y: Any, arrays: Sequence[Any], key: Sequence[Any]
) -> tuple[Any, Any]:
    """`x` with `y` added at `key`, entries that are taken twice twice, and what was in bounds."""
    at, inside, row, whole = _targets(operation, shape(x), key, arrays)
    rows = tf.reshape(x, [-1 if x.shape.num_elements() else 0, *row])
    y = tf.reshape(spread(y, whole), [math.prod(shape(at)), *row])
    if x.dtype == tf.bool:
        found = _added_of_bools(rows, y, at)
    else:
        found = tf.tensor_scatter_nd_add(rows, tf.reshape(at, [-1, 1]), y)
    return tf.reshape(found, shape(x)), inside


def _added_of_bools(rows: Any, y: Any, at: Any) -> Any:
    found = tf.tensor_scatter_nd_max(
        tf.cast(rows, tf.int32), tf.reshape(at, [-1, 1]), tf.cast(y, tf.int32)
    )
    return tf.cast(found, tf.bool)


def _whole(inside: Any, x: Any) -> Any:
    return x if inside is None else tf.where(tf.reduce_all(inside), x, _lost(x))


def _scatter(x: Any, *arrays: Any, key: Any, shape: Sequence[int], unique: bool = False) -> Any:
    (x,) = tensors(x)
    if not arrays and not any(type(entry) is bool for entry in key):
        part = _Part(shape, key)
        if not shape:
            return tf.reshape(x, [])
        sizes = tf.constant(list(shape), tf.int64)
        return raw.StridedSliceGrad(shape=sizes, dy=part.value(x), **part.bounds())
    # Reading by this index has said already what is out of bounds.
    return _added("scatter", tf.zeros(shape, x.dtype), x, arrays, key)[0]


def _index_add(
    x: Any, y: Any, *arrays: Any, key: Any, unique: bool = False, in_place: bool = False
) -> Any:
    y = cast(tensors(y, x)[0], x.dtype)
    if not arrays and not any(type(entry) is bool for entry in key):
        return _written(x, x[tuple(key)] + y, key)
    found, inside = _added("index_add", x, y, arrays, key)
    return _whole(inside, found)


def _written(x: Any, y: Any, key: Any) -> Any:
    """`x` with `y` in the place of what a basic index takes."""
    if not x.shape.rank:
        return tf.reshape(y, [])
    part = _Part(shape(x), key)
    if {*part.strides} <= {1, -1}:
        return raw.TensorStridedSliceUpdate(input=x, value=part.value(y), **part.bounds())
    # XLA writes no wider strides.
    at, _, _, whole = _targets("item assignment", shape(x), key, ())
    rows = tf.reshape(spread(y, whole), [math.prod(whole)])
    found = tf.tensor_scatter_nd_update(tf.reshape(x, [-1]), tf.reshape(at, [-1, 1]), rows)
    return tf.reshape(found, shape(x))


def _index_update(
    x: Any, y: Any, *arrays: Any, key: Any, unique: bool = False, in_place: bool = False
) -> Any:
    y = cast(tensors(y, x)[0], x.dtype)
    if not arrays and not any(type(entry) is bool for entry in key):
        return _written(x, y, key)
    at, inside, row, whole = _targets("item assignment", shape(x), key, arrays)
    count = math.prod(shape(at))
    if not count or not x.shape.num_elements():
        return x
    rows = tf.reshape(x, [-1, *row])
    y = tf.reshape(spread(y, whole), [count, *row])
    at = tf.reshape(at, [-1])
    if unique or count == 1:
        found = tf.tensor_scatter_nd_update(rows, at[:, None], y)
    else:  # of entries that are written twice NumPy keeps the last, TensorFlow any
        order = tf.range(count, dtype=tf.int64)
        none = tf.fill([rows.shape[0]], tf.constant(-1, tf.int64))
        last = tf.tensor_scatter_nd_max(none, at[:, None], order)
        kept = tf.gather(y, tf.maximum(last, 0))
        found = tf.where(tf.reshape(last < 0, [-1, *[1] * len(row)]), rows, kept)
    return _whole(inside, tf.reshape(found, shape(x)))


# -- positions in the data -------------------------------------------------------------------------
def _nonzero(x: Any) -> tuple[Any, ...]:
    if not is_known(x):
        raise of_data("nonzero", "there are as many positions as entries that are not zero")
    return tuple(tf.unstack(tf.where(x), axis=1))


TABLE: dict[str, Lowering] = {
    "index": _index,
    "gather": _gather,
    "scatter": _scatter,
    "index_add": _index_add,
    "index_update": _index_update,
    "nonzero": _nonzero,
}
