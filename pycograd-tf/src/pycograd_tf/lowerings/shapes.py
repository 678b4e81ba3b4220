"""Views, joins, borders and diagonals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from pycograd_tf.dtypes import cast, tf_dtype
from pycograd_tf.lowerings.common import (
    Lowering,
    at,
    common,
    is_number,
    kept,
    shape,
    spread,
    tensors,
    without,
)


def _of_tensor(function: Lowering) -> Lowering:
    return lambda x, **params: function(tensors(x)[0], **params)


def _axes(axis: Any) -> tuple[int, ...]:
    return axis if isinstance(axis, tuple) else (axis,)


def _split(x: Any, axis: int, sizes: Sequence[int]) -> tuple[Any, ...]:
    return tuple(tf.split(x, list(sizes), axis))


def _shift(x: Any, first: Any, axis: int, reverse: bool) -> Any:
    n = x.shape[axis]
    if n == 0:
        return x
    edge = cast(tensors(first, x)[0], x.dtype)
    edge = spread(edge, [1 if i == axis else m for i, m in enumerate(shape(x))])
    rest = x[at(axis, slice(1, n) if reverse else slice(0, n - 1))]
    return tf.concat([rest, edge] if reverse else [edge, rest], axis)


def _pad(x: Any, value: Any, widths: Any) -> Any:
    if not x.shape.rank:
        return x
    widths = [list(pair) for pair in widths]
    if is_number(value):
        value = cast(tensors(value, x)[0], x.dtype)
        return tf.pad(x, widths, constant_values=value)
    border = tf.pad(tf.zeros(shape(x), tf.bool), widths, constant_values=True)
    return tf.where(border, cast(value, x.dtype), tf.pad(x, widths))


def _diagonal(x: Any, offset: int) -> Any:
    *rows, n, m = shape(x)
    if min(n + min(offset, 0), m - max(offset, 0)) <= 0:
        return tf.zeros([*rows, 0], x.dtype)
    return tf.linalg.diag_part(x, k=offset)


def _embed_diagonal(x: Any, offset: int, rows: int, columns: int) -> Any:
    if not x.shape[-1]:
        return tf.zeros([*shape(x)[:-1], rows, columns], x.dtype)
    return tf.linalg.diag(x, k=offset, num_rows=rows, num_cols=columns)


def _positions(size: Any, dtype: Any) -> Any:
    return tf.cast(tf.range(size, dtype=tf.int64), tf_dtype(dtype))


TABLE: dict[str, Lowering] = {
    "reshape": _of_tensor(lambda x, shape: tf.reshape(x, list(shape))),
    "transpose": _of_tensor(lambda x, axes: tf.transpose(x, list(axes))),
    "expand_dims": _of_tensor(lambda x, axis: kept(x, _axes(axis))),
    "squeeze": _of_tensor(lambda x, axis: without(x, _axes(axis))),
    "broadcast_to": _of_tensor(lambda x, shape: spread(x, shape)),
    "copy": _of_tensor(lambda x, order: tf.identity(x)),
    "concatenate": lambda *xs, axis: tf.concat(common(*xs), axis),
    "stack": lambda *xs, axis: tf.stack(common(*xs), axis),
    "split": _split,
    "unstack": lambda x, axis: tuple(tf.unstack(x, axis=axis)),
    "shift": _shift,
    "pad": _pad,
    "diagonal": _diagonal,
    "embed_diagonal": _embed_diagonal,
    "positions": _positions,
    "size": lambda size: size,
}
