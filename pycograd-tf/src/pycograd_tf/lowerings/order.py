"""Sorting and searching, by integers that are in the order that NumPy sorts in: nan last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pycograd_tf.lowerings.common import (
    Lowering,
    common,
    is_known,
    of_data,
    shape,
    truth,
)
from pycograd_tf.lowerings.elementwise import bits, in_order


def _keys(x: Any) -> Any:
    """Integers that are in the order of real entries, and equal where these are."""
    if x.dtype == tf.bool or x.dtype.is_integer:
        if x.dtype != tf.uint64:
            return tf.cast(x, tf.int64)
        return tf.bitwise.bitwise_xor(tf.bitcast(x, tf.int64), tf.constant(tf.int64.min))
    wide = x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
    wide = tf.where(tf.math.is_nan(wide), tf.constant(math.nan, wide.dtype), wide)
    return in_order(bits(wide + tf.zeros((), wide.dtype)))  # the sum has no zero below 0


def _by_keys(keys: Any, axis: int) -> Any:
    """Indices that sort; of equal entries the first comes first."""
    return tf.cast(tf.argsort(keys, axis, stable=True), tf.int64)


def _then(order: Any, keys: Any, axis: int) -> Any:
    """The order by other keys first."""
    keys = tf.experimental.numpy.take_along_axis(keys, order, axis)
    return tf.experimental.numpy.take_along_axis(order, _by_keys(keys, axis), axis)


def _order(x: Any, axis: int) -> Any:
    """Complex numbers by their real parts, and of equal ones the imaginary; with a nan last."""
    if not x.dtype.is_complex:
        return _by_keys(_keys(x), axis)
    real, imag = tf.math.real(x), tf.math.imag(x)
    order = _by_keys(_keys(imag), axis)
    return _then(order, _keys(real), axis)


def _searchsorted(a: Any, v: Any, side: str) -> Any:
    a, v = common(a, v)
    found = tf.searchsorted(_keys(a), tf.reshape(_keys(v), [-1]), side=side, out_type=tf.int64)
    return tf.reshape(found, shape(v))


def _distinct(x: Any, axis: Any, equal_nan: bool) -> tuple[Any, Any, Any]:
    """The first of each group of equal entries, which group each is in, how many they are."""
    if not is_known(x):
        raise of_data("distinct", "there are as many entries as are different")
    if axis is None:
        columns = _columns(tf.reshape(x, [-1, 1]))
    else:
        rest = [i for i in range(x.shape.rank) if i != axis]
        n = x.shape[axis]
        width = math.prod([x.shape[i] for i in rest])
        columns = _columns(tf.reshape(tf.transpose(x, [axis, *rest]), [n, width]))
    n = shape(x)[axis] if axis is not None else math.prod(shape(x))
    order = tf.range(n, dtype=tf.int64)
    for keys in reversed(columns):
        order = _then(order, keys, 0)
    differ = tf.zeros([max(n - 1, 0)], tf.bool)
    for keys in columns:
        sorted_keys = tf.gather(keys, order)
        differ = differ | tf.not_equal(sorted_keys[1:], sorted_keys[:-1])
    if not equal_nan and axis is None:
        lost = tf.gather(tf.reshape(tf.not_equal(x, x), [-1]), order)
        differ = differ | lost[1:] & lost[:-1]
    head = tf.zeros([min(1, n)], tf.int64)
    group = tf.concat([head, tf.cumsum(tf.cast(differ, tf.int64))], 0)
    inverse = tf.scatter_nd(order[:, None], group, [n])
    count = int(group[-1]) + 1 if n else 0
    counts = tf.math.unsorted_segment_sum(tf.ones_like(inverse), inverse, count)
    first = tf.math.unsorted_segment_min(tf.range(n, dtype=tf.int64), inverse, count)
    return first, tf.reshape(inverse, shape(x)) if axis is None else inverse, counts


def _columns(rows: Any) -> Sequence[Any]:
    """The keys of the columns of a matrix, the most significant first."""
    if rows.dtype.is_complex:
        parts = [_columns(f(rows)) for f in (tf.math.real, tf.math.imag)]
        return [keys for pair in zip(*parts) for keys in pair]
    return list(tf.unstack(_keys(rows), axis=1))


def _kept_entries(x: Any, front: bool, back: bool, least: int) -> Any:
    """The positions along the last axis from the first to the last true entry of every row."""
    if not is_known(x):
        raise of_data("kept_entries", "how many zeros stand at the ends is in the data")
    n = x.shape[-1]
    if n == 0:
        return tf.range(0, dtype=tf.int64)
    found = set()
    for row in tf.reshape(truth(x), [-1, n]).numpy():
        (places,) = np.nonzero(row)
        if not len(places):
            found.add((n - least, n) if front else (0, least))
        else:
            found.add((int(places[0]) if front else 0, int(places[-1]) + 1 if back else n))
    if len(found) > 1:
        raise of_data("kept_entries", "rows begin or end with different numbers of zeros")
    start, stop = found.pop() if found else (0, n)
    return tf.range(start, stop, dtype=tf.int64)


TABLE: dict[str, Lowering] = {
    "argsort": lambda x, axis, **_: _order(x, axis),
    # Sorted whole, which is one of the partitions as well.
    "argpartition": lambda x, axis, **_: _order(x, axis),
    "searchsorted": _searchsorted,
    "distinct": _distinct,
    "kept_entries": _kept_entries,
}
