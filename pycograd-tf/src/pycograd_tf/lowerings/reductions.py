"""Reductions and running values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from pycograd_tf.lowerings import elementwise
from pycograd_tf.lowerings.common import (
    Lowering,
    accumulated,
    as_one_axis,
    at,
    common,
    floating,
    folded,
    joined,
    kept,
    moved,
    running,
    shape,
    tensors,
    truth,
    without,
)

_LOG2 = math.log(2.0)


# -- reductions ------------------------------------------------------------------------------------
def _reduced(function: Lowering, prepare: Lowering) -> Lowering:
    def run(x: Any, axis: Any, keepdims: bool) -> Any:
        x = prepare(*tensors(x))
        return function(x, axis=list(axis), keepdims=keepdims) if axis else x

    return run


def _extremum(greatest: bool) -> Lowering:
    function = tf.reduce_max if greatest else tf.reduce_min
    of_bools = tf.reduce_any if greatest else tf.reduce_all
    of_two = elementwise.extremum(greatest)

    def run(x: Any, axis: Any, keepdims: bool) -> Any:
        if not axis:
            return x
        if x.dtype.is_complex:
            return folded(of_two, x, axis, keepdims, math.nan)
        of_one = of_bools if x.dtype == tf.bool else function
        return of_one(x, axis=list(axis), keepdims=keepdims)

    return run


def _skipping_nans(greatest: bool) -> Lowering:
    plain = _extremum(greatest)
    of_two = elementwise.extremum(greatest, skipping=True)

    def run(x: Any, axis: Any, keepdims: bool) -> Any:
        if not axis or not (x.dtype.is_floating or x.dtype.is_complex):
            return plain(x, axis, keepdims)
        if x.dtype.is_complex:
            return folded(of_two, x, axis, keepdims, math.nan)
        lost = tf.math.is_nan(x)
        least = tf.constant(-math.inf if greatest else math.inf, x.dtype)
        found = plain(tf.where(lost, least, x), axis, keepdims)
        none = tf.reduce_all(lost, list(axis), keepdims=keepdims)
        return tf.where(none, tf.constant(math.nan, x.dtype), found)

    return run


def _xor(x: Any, axis: Any, keepdims: bool) -> Any:
    count = tf.cast(truth(x), tf.int64)
    return (tf.reduce_sum(count, list(axis), keepdims=keepdims) if axis else count) % 2 == 1


def _hypot(x: Any, axis: Any, keepdims: bool) -> Any:
    x = floating(x)
    if not axis:
        return x
    top = tf.reduce_max(tf.abs(x), list(axis), keepdims=True)
    plain = tf.math.is_finite(top) & tf.not_equal(top, 0)
    top = tf.where(plain, top, tf.ones((), top.dtype))
    total = tf.reduce_sum(tf.square(x / top), list(axis), keepdims=True)
    out = tf.sqrt(total) * top
    return out if keepdims else without(out, axis)


def _logsumexp(x: Any, axis: Any, keepdims: bool) -> Any:
    x = floating(x)
    return tf.reduce_logsumexp(x, list(axis), keepdims=keepdims) if axis else x


def _logaddexp2(x: Any, axis: Any, keepdims: bool) -> Any:
    if not axis:
        return x
    scale = tf.constant(_LOG2, x.dtype)
    return tf.reduce_logsumexp(x * scale, list(axis), keepdims=keepdims) / scale


def _arg(greatest: bool) -> Lowering:
    function = tf.argmax if greatest else tf.argmin
    best = _extremum(greatest)

    def run(x: Any, axis: Any, keepdims: bool) -> Any:
        if not axis:
            return tf.zeros(shape(x), tf.int64)
        rows = x if len(axis) == 1 else as_one_axis(x, axis)
        last = axis[0] if len(axis) == 1 else rows.shape.rank - 1
        if x.dtype == tf.bool:
            found = function(tf.cast(rows, tf.int8), last)
        elif x.dtype.is_integer:
            found = function(rows, last)
        else:  # the first of those that are the extremum, or nan
            at_best = tf.equal(rows, best(rows, (last,), True)) | tf.not_equal(rows, rows)
            lost = tf.not_equal(rows, rows)
            at_best = tf.where(tf.reduce_any(lost, last, keepdims=True), lost, at_best)
            found = tf.argmax(tf.cast(at_best, tf.int8), last)
        return kept(found, axis) if keepdims else found

    return run


def _fold(name: str, start: Any) -> Lowering:
    function = elementwise.TABLE[name]
    return lambda x, axis, keepdims: folded(function, x, axis, keepdims, start)


# -- running values --------------------------------------------------------------------------------
def _running(function: Lowering) -> Lowering:
    return lambda x, axis, reverse: function(accumulated(x), axis=axis, reverse=reverse)


def _recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    """`h[k] = a[k] h[k - 1] + b[k]`, step by step: products of many coefficients at once could
    overflow where no result does."""
    a, b = joined(*common(a, b))
    n = b.shape[axis]
    if n < 2:
        return b
    rows = [moved(x, axis, 0) for x in (a, b)]
    if n <= 16:
        made = [rows[1][-1 if reverse else 0]]
        for k in range(n - 2, -1, -1) if reverse else range(1, n):
            made.append(rows[0][k] * made[-1] + rows[1][k])
        return moved(tf.stack(made[::-1] if reverse else made), 0, axis)
    # The first coefficient meets nothing.
    first = tf.zeros_like(rows[0][:1])
    rest = rows[0][:-1] if reverse else rows[0][1:]
    rows[0] = tf.concat([rest, first] if reverse else [first, rest], 0)
    start = tf.zeros_like(rows[1][0])
    out = tf.scan(lambda h, row: row[0] * h + row[1], tuple(rows), start, reverse=reverse)
    return moved(out, 0, axis)


def _running_index(x: Any, axis: int, ufunc: str) -> Any:
    """Where the running extremum was first met."""
    n = x.shape[axis]
    if n == 0:
        return tf.zeros(shape(x), tf.int64)
    of_two = elementwise.extremum(ufunc.endswith(("max", "maximum")), ufunc.startswith("f"))
    best = running(of_two, x, axis)
    now, last = best[at(axis, slice(1, None))], best[at(axis, slice(0, n - 1))]
    fresh = tf.not_equal(now, last)
    if not ufunc.startswith("f"):
        fresh = fresh & tf.equal(last, last)
    start = tf.ones([1 if i == axis else m for i, m in enumerate(shape(x))], tf.bool)
    fresh = tf.concat([start, fresh], axis)
    count = tf.reshape(tf.range(n, dtype=tf.int64), [n, *[1] * (x.shape.rank - axis - 1)])
    return running(tf.maximum, tf.where(fresh, count, tf.zeros((), tf.int64)), axis)


def _accumulate(x: Any, axis: int, ufunc: str) -> Any:
    x = truth(x) if ufunc.startswith("logical") else x
    return running(elementwise.TABLE[ufunc], x, axis)


# -- along slices ----------------------------------------------------------------------------------
def _softmax(x: Any, axis: Any) -> Any:
    x = floating(x)
    if len(axis) == 1 and x.shape.num_elements():
        return tf.nn.softmax(x, axis[0])
    return tf.exp(_log_softmax(x, axis))


def _log_softmax(x: Any, axis: Any) -> Any:
    x = floating(x)
    if len(axis) == 1 and x.shape.num_elements():
        return tf.nn.log_softmax(x, axis[0])
    return x - tf.reduce_logsumexp(x, list(axis), keepdims=True) if axis else x - x


def _standardize(x: Any, axis: Any, eps: float) -> tuple[Any, Any]:
    """Mean 0 and variance 1, and the reciprocal of the deviation."""
    y = x - tf.reduce_mean(x, list(axis), keepdims=True) if axis else x - x
    square = y * y
    variance = tf.reduce_mean(square, list(axis), keepdims=True) if axis else square
    scale = 1 / tf.sqrt(variance + tf.constant(eps, x.dtype))
    return y * scale, scale


# -- bytes -----------------------------------------------------------------------------------------
def _weights(bitorder: str) -> Any:
    return np.array([1 << i for i in (range(7, -1, -1) if bitorder == "big" else range(8))])


def _padded_last(x: Any, count: int) -> Any:
    return tf.pad(x, [*[[0, 0]] * (x.shape.rank - 1), [0, count]]) if count else x


def _packbits(x: Any, axis: int, bitorder: str) -> Any:
    bits = moved(tf.cast(truth(x), tf.int64), axis, -1)
    bits = _padded_last(bits, -bits.shape[-1] % 8)
    groups = tf.reshape(bits, [*shape(bits)[:-1], bits.shape[-1] // 8, 8])
    return moved(tf.cast(tf.reduce_sum(groups * _weights(bitorder), -1), tf.uint8), -1, axis)


def _unpackbits(x: Any, axis: int, count: int, bitorder: str) -> Any:
    x = moved(tf.cast(x, tf.int64), axis, -1)
    bits = tf.bitwise.bitwise_and(x[..., None], tf.constant(_weights(bitorder)))
    bits = tf.reshape(tf.cast(truth(bits), tf.uint8), [*shape(x)[:-1], 8 * x.shape[-1]])
    found = bits[..., :count] if count <= bits.shape[-1] else bits
    return moved(_padded_last(found, count - found.shape[-1]), -1, axis)


TABLE: dict[str, Lowering] = {
    "sum": _reduced(tf.reduce_sum, accumulated),
    "prod": _reduced(tf.reduce_prod, accumulated),
    "any": _reduced(tf.reduce_any, truth),
    "all": _reduced(tf.reduce_all, truth),
    "max": _extremum(True),
    "min": _extremum(False),
    "fmax_reduce": _skipping_nans(True),
    "fmin_reduce": _skipping_nans(False),
    "logaddexp_reduce": _logsumexp,
    "logaddexp2_reduce": _logaddexp2,
    "logsumexp": _logsumexp,
    "hypot_reduce": _hypot,
    "logical_xor_reduce": _xor,
    "bitwise_and_reduce": _fold("bitwise_and", -1),
    "bitwise_or_reduce": _fold("bitwise_or", 0),
    "bitwise_xor_reduce": _fold("bitwise_xor", 0),
    "gcd_reduce": _fold("gcd", 0),
    "lcm_reduce": _fold("lcm", 1),
    "argmax": _arg(True),
    "argmin": _arg(False),
    "cumsum": _running(tf.cumsum),
    "cumprod": _running(tf.math.cumprod),
    "recurrence": _recurrence,
    "running_index": _running_index,
    "accumulate": _accumulate,
    "logaddexp_accumulate": lambda x, axis: running(elementwise.logaddexp, floating(x), axis),
    "logaddexp2_accumulate": lambda x, axis: running(elementwise.logaddexp2, floating(x), axis),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "standardize": _standardize,
    "packbits": _packbits,
    "unpackbits": _unpackbits,
}
