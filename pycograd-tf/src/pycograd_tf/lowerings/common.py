"""What the lowerings share: numbers beside tensors, dtypes, repeated halving and doubling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pycograd.plugins.api import LoweringNotFoundError
from pycograd_tf.dtypes import cast, promoted

Lowering = Callable[..., Any]
_KINDS = {bool: "b", int: "i", float: "f", complex: "c"}
_NARROW = (tf.float16, tf.bfloat16)


# -- operands --------------------------------------------------------------------------------------
def is_number(x: Any) -> bool:
    """True for a number of Python's, which adapts."""
    return type(x) in _KINDS


def is_known(x: Any) -> bool:
    """True for a tensor whose entries can be read: it is in no graph."""
    return hasattr(x, "numpy")


def number(x: Any, dtype: Any) -> Any:
    """A Python number as a tensor that adapts to a dtype as NumPy's numbers do."""
    kind = _KINDS[type(x)]
    if kind == "b":
        return tf.constant(x) if dtype == tf.bool else tf.constant(int(x), dtype)
    if kind == "c" and not dtype.is_complex:
        dtype = tf.complex64 if dtype.is_floating and dtype.size <= 4 else tf.complex128
    elif kind == "f" and not (dtype.is_floating or dtype.is_complex):
        dtype = tf.float64
    elif kind == "i" and (dtype == tf.bool or (dtype.is_integer and not _fits(x, dtype))):
        dtype = tf.int64
    return tf.constant(x, dtype)


def _fits(x: int, dtype: Any) -> bool:
    return bool(dtype.min <= x <= dtype.max)


def tensors(*xs: Any) -> list[Any]:
    """Operands of which some are Python numbers as tensors, in dtypes as NumPy would promote."""
    found = [x for x in xs if type(x) not in _KINDS]
    if len(found) == len(xs):
        return list(xs)
    if not found:
        return [tf.constant(np.asarray(x)) for x in xs]
    like = next((x.dtype for x in found if x.dtype != tf.bool), found[0].dtype)
    return [number(x, like) if type(x) in _KINDS else x for x in xs]


def common(*xs: Any) -> list[Any]:
    """Operands as tensors of the dtype to which NumPy promotes theirs."""
    found = tensors(*xs)
    dtypes = [x.dtype for x in found]
    if all(d == dtypes[0] for d in dtypes):
        return found
    dtype = promoted(*dtypes)
    return [cast(x, dtype) for x in found]


def floating(x: Any) -> Any:
    """Integers and booleans as float64, others as they are."""
    (x,) = tensors(x)
    return x if x.dtype.is_floating or x.dtype.is_complex else tf.cast(x, tf.float64)


def together(*xs: Any) -> list[Any]:
    """Operands as floats of one dtype."""
    return common(*map(floating, tensors(*xs)))


def accumulated(x: Any) -> Any:
    """Small integers in the dtype in which NumPy sums them up."""
    if x.dtype == tf.bool or (x.dtype.is_integer and not x.dtype.is_unsigned):
        return tf.cast(x, tf.int64)
    return tf.cast(x, tf.uint64) if x.dtype.is_integer else x


def truth(x: Any) -> Any:
    """Which entries are not zero."""
    return x if x.dtype == tf.bool else tf.not_equal(x, tf.zeros((), x.dtype))


def shape(x: Any) -> tuple[int, ...]:
    """The sizes of the axes."""
    return tuple(x.shape)


def joined(*xs: Any) -> list[Any]:
    """Tensors broadcast against each other."""
    whole = np.broadcast_shapes(*map(shape, xs))
    return [spread(x, whole) for x in xs]


def spread(x: Any, sizes: Sequence[int]) -> Any:
    """A tensor broadcast to a shape."""
    return x if shape(x) == tuple(sizes) else tf.broadcast_to(x, sizes)


def at(axis: int, part: Any) -> tuple[Any, ...]:
    """The index that takes `part` of one axis and all of the others."""
    return (slice(None),) * axis + (part,)


# -- what TensorFlow has of some dtypes alone ------------------------------------------------------
def widened(function: Lowering) -> Lowering:
    """`function` of floats, which is computed in float32 for narrower ones."""

    def run(*xs: Any, **params: Any) -> Any:
        dtype = xs[0].dtype
        if dtype not in _NARROW:
            return function(*xs, **params)
        return tf.cast(function(*[tf.cast(x, tf.float32) for x in xs], **params), dtype)

    return run


def refused(name: str, why: str) -> LoweringNotFoundError:
    """The error for a primitive that is lowered for other operands than these."""
    return LoweringNotFoundError(f"primitive {name!r} is not lowered by backend 'tf': {why}")


def of_data(operation: str, why: str) -> LoweringNotFoundError:
    """The error for a result whose shape is in the data, inside a graph."""
    return LoweringNotFoundError(
        f"{operation}: {why}, and the graphs of backend 'tf' have fixed shapes. Write"
        " np.where(mask, x, 0), or run this part on device('tf')"
    )


# -- along axes ------------------------------------------------------------------------------------
def running(function: Lowering, x: Any, axis: int) -> Any:
    """The running results of an associative operation, by doubling."""
    n, step = x.shape[axis], 1
    while step < n:
        ahead = function(x[at(axis, slice(0, n - step))], x[at(axis, slice(step, n))])
        x = tf.concat([x[at(axis, slice(0, step))], ahead], axis)
        step *= 2
    return x


def folded(function: Lowering, x: Any, axis: Sequence[int], keepdims: bool, start: Any) -> Any:
    """The reduction by an associative and commutative operation, by halving; `start` of nothing."""
    for a in axis:
        if x.shape[a] == 0:
            first = cast(tf.constant(start), x.dtype)
            x = tf.fill([1 if i == a else n for i, n in enumerate(shape(x))], first)
        while x.shape[a] > 1:
            half = x.shape[a] // 2
            made = function(x[at(a, slice(0, half))], x[at(a, slice(half, 2 * half))])
            odd = x.shape[a] % 2
            x = tf.concat([made, x[at(a, slice(2 * half, None))]], a) if odd else made
    return x if keepdims else without(x, axis)


def without(x: Any, axis: Sequence[int]) -> Any:
    """A tensor without axes of size 1."""
    return tf.squeeze(x, list(axis)) if axis else x


def as_one_axis(x: Any, axis: Sequence[int]) -> Any:
    """The axes that are reduced as one, the last."""
    rest = [i for i in range(x.shape.rank) if i not in axis]
    sizes = shape(x)
    count = int(np.prod([sizes[i] for i in axis]))
    return tf.reshape(tf.transpose(x, [*rest, *axis]), [*[sizes[i] for i in rest], count])


def kept(x: Any, axis: Sequence[int]) -> Any:
    """A reduced tensor with its axes back, of size 1."""
    for a in sorted(axis):
        x = tf.expand_dims(x, a)
    return x


def moved(x: Any, source: int, destination: int) -> Any:
    """A tensor with one axis in another place."""
    order = [i for i in range(x.shape.rank) if i != source % x.shape.rank]
    order.insert(destination % x.shape.rank, source % x.shape.rank)
    return x if order == sorted(order) else tf.transpose(x, order)
