"""Reductions, running reductions, sorting and searching."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd_onnx.lowerings.elementwise import (
    LOG2,
    isnan,
    maximum,
    of_floats,
    table as elementwise_table,
    truth,
)
from pycograd_onnx.lowerings.shapes import known
from pycograd_onnx.writer import BOOL, INT, Refused, Tensor, Writer

Lowering = Callable[..., Any]


def _sum(g: Writer, x: Any, axis: Any, keepdims: bool) -> Tensor:
    x = g.tensor(x, g.inner(g.outs[0].dtype))
    return g.sum(x, axis, keepdims)


def _prod(g: Writer, x: Any, axis: Any, keepdims: bool) -> Tensor:
    return g.reduce("ReduceProd", g.tensor(x, g.inner(g.outs[0].dtype)), axis, keepdims)


def _extremum(name: str) -> Lowering:
    def run(g: Writer, x: Any, axis: Any, keepdims: bool) -> Tensor:
        x = g.tensor(x)
        dtype = x.dtype
        x = g.cast(x, INT) if dtype == BOOL else x
        found = g.reduce(name, x, axis, keepdims)
        if x.is_float and axis:  # onnxruntime's may pass over nan
            lost = _any(g, g.node("IsNaN", [x], BOOL, x.shape), axis, keepdims)
            found = g.where(lost, math.nan, found)
        return g.cast(found, dtype)

    return run


def _without_nans(name: str, least: float) -> Lowering:
    def run(g: Writer, x: Any, axis: Any, keepdims: bool) -> Tensor:
        x = g.tensor(x)
        if not x.is_float or not axis:
            return g.reduce(name, x, axis, keepdims)
        lost = g.node("IsNaN", [x], BOOL, x.shape)
        found = g.reduce(name, g.where(lost, least, x), axis, keepdims)
        return g.where(_all(g, lost, axis, keepdims), math.nan, found)  # type: ignore[no-any-return]

    return run


def _any(g: Writer, x: Any, axis: Any, keepdims: bool) -> Tensor:
    return g.sum(g.cast(truth(g, x), INT), axis, keepdims) > 0 if axis else truth(g, x)


def _all(g: Writer, x: Any, axis: Any, keepdims: bool) -> Tensor:
    return ~_any(g, ~truth(g, x), axis, keepdims)


def _xor(g: Writer, x: Any, axis: Any, keepdims: bool) -> Tensor:
    count = g.sum(g.cast(truth(g, x), INT), axis, keepdims)
    return (count - count / 2 * 2).equals(1)


def logsumexp(g: Writer, x: Tensor, axis: Any, keepdims: bool) -> Tensor:
    """With the largest entry taken out."""
    if not axis:
        return x
    top = g.reduce("ReduceMax", x, axis, True)
    top = g.where(g.unary("Abs", top).equals(math.inf), 0.0, top)
    total = g.unary("Log", g.sum(g.unary("Exp", x - top), axis, True)) + top
    return total if keepdims else g.squeeze(total, *axis)


def _softmax(g: Writer, x: Tensor, axis: Any) -> Tensor:
    if len(axis) == 1:
        return g.node("Softmax", [x], x.dtype, x.shape, axis=int(axis[0]))
    return g.unary("Exp", _log_softmax(g, x, axis))


def _log_softmax(g: Writer, x: Tensor, axis: Any) -> Tensor:
    if len(axis) == 1:
        return g.node("LogSoftmax", [x], x.dtype, x.shape, axis=int(axis[0]))
    return x - logsumexp(g, x, axis, True)


def _standardize(g: Writer, x: Tensor, axis: Any, eps: float) -> tuple[Tensor, Tensor]:
    """Mean 0 and variance 1, and the reciprocal of the deviation."""
    y = x - g.reduce("ReduceMean", x, axis, True)
    variance = g.reduce("ReduceMean", y * y, axis, True)
    scale = g.unary("Reciprocal", g.unary("Sqrt", variance + float(eps)))
    return y * scale, scale


def _arg(name: str) -> Lowering:
    def run(g: Writer, x: Any, axis: Any, keepdims: bool) -> Tensor:
        x = g.tensor(x)
        x = g.cast(x, INT) if x.dtype == BOOL else x
        if not axis:
            return g.expand(g.constant(np.int64(0)), x.shape)
        shape = [1 if i in axis else n for i, n in enumerate(x.shape)]
        if len(axis) > 1:
            rest = [i for i in range(x.ndim) if i not in axis]
            total: Any = 1
            for a in axis:
                total = total * x.shape[a]
            x = g.reshape(g.transpose(x, [*rest, *axis]), (*[x.shape[i] for i in rest], total))
        place = int(axis[0]) if len(axis) == 1 else x.ndim - 1
        if x.is_float:  # nan comes first, for NumPy
            lost = g.node("IsNaN", [x], BOOL, x.shape)
            limit = math.inf if name == "ArgMax" else -math.inf
            level = g.where(lost, 2, g.where(x.equals(limit), 1, 0))
            any_ = g.reduce("ReduceMax", level, (place,), True) > 1
            flags = g.node("ArgMax", [level], INT, _one(x.shape, place), axis=place, keepdims=1)
            plain = g.where(lost, 0.0, x)
            found = g.node(name, [plain], INT, _one(x.shape, place), axis=place, keepdims=1)
            found = g.where(any_, flags, found)
        else:
            found = g.node(name, [x], INT, _one(x.shape, place), axis=place, keepdims=1)
        if len(axis) > 1:
            found = g.squeeze(found, place)
            return g.reshape(found, shape) if keepdims else found
        return found if keepdims else g.squeeze(found, place)

    return run


def _one(shape: Any, axis: int) -> list[Any]:
    return [1 if i == axis else n for i, n in enumerate(shape)]


# -- running reductions ----------------------------------------------------------------------------
def _cumsum(g: Writer, x: Any, axis: int, reverse: bool) -> Tensor:
    x = g.tensor(x, g.inner(g.outs[0].dtype))
    return g.node(
        "CumSum", [x, g.constant(np.int64(axis))], x.dtype, x.shape, reverse=int(bool(reverse))
    )


def running(g: Writer, function: Lowering, x: Tensor, axis: int) -> Tensor:
    """The running results of an associative operation, by doubling."""
    (n,) = known(x.shape[axis : axis + 1], "a running result")
    step = 1
    while step < n:
        ahead = function(g, g.part(x, axis, 0, n - step), g.part(x, axis, step, n))
        x = g.concat([g.part(x, axis, 0, step), ahead], axis)
        step *= 2
    return x


def _cumprod(g: Writer, x: Any, axis: int, reverse: bool) -> Tensor:
    x = g.tensor(x, g.inner(g.outs[0].dtype))
    x = g.flip(x, axis) if reverse else x
    x = running(g, lambda g, a, b: a * b, x, axis)
    return g.flip(x, axis) if reverse else x


def _recurrence(g: Writer, a: Any, b: Any, axis: int, reverse: bool) -> Tensor:
    """`h[k] = a[k] h[k - 1] + b[k]`, by doubling."""
    a, b = g.common(a, b)
    shape = g.joined(a, b)
    a, b = g.expand(a, shape), g.expand(b, shape)
    if reverse:
        a, b = g.flip(a, axis), g.flip(b, axis)
    (n,) = known(shape[axis : axis + 1], "recurrence")
    step = 1
    while step < n:
        late = g.part(a, axis, step, n)
        ahead = g.part(b, axis, step, n) + late * g.part(b, axis, 0, n - step)
        b = g.concat([g.part(b, axis, 0, step), ahead], axis)
        a = g.concat([g.part(a, axis, 0, step), late * g.part(a, axis, 0, n - step)], axis)
        step *= 2
    return g.flip(b, axis) if reverse else b


def _accumulate(g: Writer, x: Any, axis: int, ufunc: str) -> Tensor:
    function = elementwise_table()[ufunc]
    x = truth(g, x) if ufunc.startswith("logical") else g.tensor(x)
    return running(g, function, x, axis)


def _running_index(g: Writer, x: Any, axis: int, ufunc: str) -> Tensor:
    """Where the running extremum was first met."""
    x = g.tensor(x)
    x = g.cast(x, INT) if x.dtype == BOOL else x
    (n,) = known(x.shape[axis : axis + 1], "a running extremum")
    if not n:
        return g.expand(g.constant(np.int64(0)), x.shape)
    best = running(g, elementwise_table()[ufunc], x, axis)
    last, now = g.part(best, axis, 0, n - 1), g.part(best, axis, 1, n)
    fresh = ~now.equals(last)
    if x.is_float and not ufunc.startswith("f"):  # the first nan stays
        fresh = fresh & ~isnan(g, last)
    fresh = g.cast(fresh, INT)
    count = np.arange(1, n).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    places = fresh * g.constant(count)
    first = g.expand(g.constant(np.int64(0)), _one(x.shape, axis))
    return running(g, maximum, g.concat([first, places], axis), axis)


def _folded(name: str, start: int) -> Lowering:
    """The reduction by an associative and commutative operation, by halving."""

    def run(g: Writer, x: Any, axis: Any, keepdims: bool) -> Tensor:
        x = g.tensor(x)
        function = elementwise_table()[name]
        for a in axis:
            (n,) = known(x.shape[a : a + 1], name)
            if not n:
                x = g.expand(g.tensor(start, x.dtype), _one(x.shape, a))
                n = 1
            while n > 1:
                half = n // 2
                made = function(g, g.part(x, a, 0, half), g.part(x, a, half, 2 * half))
                x = g.concat([made, g.part(x, a, 2 * half, n)], a) if n % 2 else made
                n -= half
        return x if keepdims else g.squeeze(x, *axis)

    return run


# -- bytes -----------------------------------------------------------------------------------------
def _weights(g: Writer, bitorder: str) -> Tensor:
    order = range(7, -1, -1) if bitorder == "big" else range(8)
    return g.constant(np.array([1 << i for i in order], np.int64))


def _to_last(x: Tensor, axis: int) -> list[int]:
    return [*[i for i in range(x.ndim) if i != axis], axis]


def _packbits(g: Writer, x: Any, axis: int, bitorder: str) -> Tensor:
    x = g.cast(truth(g, x), INT)
    order = _to_last(x, axis)
    bits = g.transpose(x, order)
    (n,) = known(bits.shape[-1:], "packbits")
    if n % 8:
        empty = g.expand(g.constant(np.int64(0)), (*bits.shape[:-1], -n % 8))
        bits = g.concat([bits, empty], bits.ndim - 1)
    groups = g.reshape(bits, (*bits.shape[:-1], -(-n // 8), 8))
    packed = g.sum(groups * _weights(g, bitorder), (groups.ndim - 1,))
    return g.transpose(packed, [order.index(i) for i in range(x.ndim)])


def _unpackbits(g: Writer, x: Any, axis: int, count: int, bitorder: str) -> Tensor:
    x = g.tensor(x, INT)
    order = _to_last(x, axis)
    rows = g.unsqueeze(g.transpose(x, order), x.ndim)
    halves = rows / _weights(g, bitorder)
    bits = halves - halves / 2 * 2
    (n,) = known(rows.shape[-2:-1], "unpackbits")
    bits = g.reshape(bits, (*rows.shape[:-2], 8 * n))
    if count <= 8 * n:
        bits = g.part(bits, x.ndim - 1, 0, count)
    else:
        empty = g.expand(g.constant(np.int64(0)), (*bits.shape[:-1], count - 8 * n))
        bits = g.concat([bits, empty], x.ndim - 1)
    return g.transpose(bits, [order.index(i) for i in range(x.ndim)])


def _logaddexp_accumulate(g: Writer, x: Tensor, axis: int) -> Tensor:
    top = g.reduce("ReduceMax", x, (axis,), True)
    shifted = g.unary("Exp", x - top)
    total = g.node("CumSum", [shifted, g.constant(np.int64(axis))], x.dtype, x.shape)
    return g.unary("Log", total) + top


# -- order -----------------------------------------------------------------------------------------
def _argsort(g: Writer, x: Any, axis: int, **how: Any) -> Tensor:
    """Indices that sort, equal entries in their order, nan behind the largest."""
    x = g.tensor(x)
    x = g.cast(x, INT) if x.dtype == BOOL else x
    if not x.is_float:
        return _ordered(g, x, axis)
    lost = isnan(g, x)
    first = _ordered(g, g.where(lost, math.inf, x), axis)
    flags = g.node("GatherElements", [g.cast(lost, INT), first], INT, x.shape, axis=axis)
    return g.node("GatherElements", [first, _ordered(g, flags, axis)], INT, x.shape, axis=axis)


def _ordered(g: Writer, x: Tensor, axis: int) -> Tensor:
    """The smallest of as many as there are."""
    outs = [(x.dtype, x.shape), (INT, x.shape)]
    count = g.size(x.shape[axis])
    return g.many("TopK", [x, count], outs, axis=axis, largest=0, sorted=1)[1]


def _searchsorted(g: Writer, a: Any, v: Any, side: str) -> Tensor:
    """How many entries are smaller (or equal)."""
    a, v = g.common(a, v)
    if a.ndim != 1:
        raise Refused("searchsorted of several rows is not exported")
    late = g.unsqueeze(v, v.ndim)
    smaller = g.compare("LessOrEqual" if side == "right" else "Less", a, late)
    return g.sum(g.cast(smaller, INT), (v.ndim,))


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    f = of_floats
    return {
        "sum": _sum,
        "prod": _prod,
        "max": _extremum("ReduceMax"),
        "min": _extremum("ReduceMin"),
        "fmax_reduce": _without_nans("ReduceMax", -math.inf),
        "fmin_reduce": _without_nans("ReduceMin", math.inf),
        "any": _any,
        "all": _all,
        "logical_xor_reduce": _xor,
        "logsumexp": f(logsumexp),
        "logaddexp_reduce": f(logsumexp),
        "logaddexp2_reduce": f(
            lambda g, x, axis, keepdims: logsumexp(g, x * LOG2, axis, keepdims) / LOG2
        ),
        "hypot_reduce": f(
            lambda g, x, axis, keepdims: g.unary("Sqrt", g.sum(x * x, axis, keepdims))
        ),
        "softmax": f(_softmax),
        "log_softmax": f(_log_softmax),
        "standardize": f(_standardize),
        "argmax": _arg("ArgMax"),
        "argmin": _arg("ArgMin"),
        "cumsum": _cumsum,
        "cumprod": _cumprod,
        "recurrence": _recurrence,
        "accumulate": _accumulate,
        "running_index": _running_index,
        "bitwise_and_reduce": _folded("bitwise_and", -1),
        "bitwise_or_reduce": _folded("bitwise_or", 0),
        "bitwise_xor_reduce": _folded("bitwise_xor", 0),
        "gcd_reduce": _folded("gcd", 0),
        "lcm_reduce": _folded("lcm", 1),
        "packbits": _packbits,
        "unpackbits": _unpackbits,
        "logaddexp_accumulate": f(_logaddexp_accumulate),
        "logaddexp2_accumulate": f(
            lambda g, x, axis: _logaddexp_accumulate(g, x * LOG2, axis) / LOG2
        ),
        "argsort": _argsort,
        "argpartition": _argsort,
        "searchsorted": _searchsorted,
    }
