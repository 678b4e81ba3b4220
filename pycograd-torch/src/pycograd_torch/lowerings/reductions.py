"""Reductions, running reductions, sorting and searching."""

from __future__ import annotations

import math
from typing import Any

import torch

from pycograd_torch.lowerings.common import (
    Lowering,
    as_one_axis,
    at,
    by_axes,
    common,
    folded,
    joined,
    kept,
    reversing,
    running,
)

LOG2 = math.log(2.0)


# -- reductions ------------------------------------------------------------------------------------
def _sum(x: Any, axis: Any, keepdims: bool) -> Any:
    if not axis:
        return x if x.dtype is not torch.bool else x.to(torch.int64)
    return torch.sum(x, axis, keepdim=keepdims)


def _extremum(function: Lowering) -> Lowering:
    def run(x: Any, axis: Any, keepdims: bool) -> Any:
        return function(x, axis, keepdim=keepdims) if axis else x

    return run


def _skipping_nans(function: Lowering, least: float) -> Lowering:
    def run(x: Any, axis: Any, keepdims: bool) -> Any:
        if not axis or not x.is_floating_point():
            return function(x, axis, keepdim=keepdims) if axis else x
        lost = torch.isnan(x)
        found = function(torch.where(lost, least, x), axis, keepdim=keepdims)
        return torch.where(_all(lost, axis, keepdims), math.nan, found)

    return run


def _truth(x: Any) -> Any:
    return x if x.dtype is torch.bool else x != 0


def _any(x: Any, axis: Any, keepdims: bool) -> Any:
    x = _truth(x)
    return torch.any(x, axis, keepdim=keepdims) if axis else x


def _all(x: Any, axis: Any, keepdims: bool) -> Any:
    x = _truth(x)
    return torch.all(x, axis, keepdim=keepdims) if axis else x


def _xor(x: Any, axis: Any, keepdims: bool) -> Any:
    return _sum(_truth(x).to(torch.int64), axis, keepdims) % 2 == 1


def _logaddexp2(x: Any, axis: Any, keepdims: bool) -> Any:
    return torch.logsumexp(x * LOG2, axis, keepdim=keepdims) / LOG2 if axis else x


def _arg(function: Lowering) -> Lowering:
    def run(x: Any, axis: Any, keepdims: bool) -> Any:
        if x.dtype is torch.bool:
            x = x.to(torch.uint8)
        if len(axis) == 1:
            return function(x, axis[0], keepdim=keepdims)
        if not axis:
            return torch.zeros(x.shape, dtype=torch.int64, device=x.device)
        found = function(as_one_axis(x, axis), -1)
        return kept(found, axis) if keepdims else found

    return run


def _fold(function: Lowering, start: Any) -> Lowering:
    return lambda x, axis, keepdims: folded(function, x, axis, keepdims, start)


# -- running reductions ----------------------------------------------------------------------------
def _cumsum(x: Any, axis: int) -> Any:
    return torch.cumsum(x, axis)


def _cumprod(x: Any, axis: int) -> Any:
    return torch.cumprod(x, axis)


def _recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    """`h[k] = a[k] h[k - 1] + b[k]`: step by step if there are few, else by doubling."""
    a, b = common(a, b)
    if reverse:
        return _recurrence(a.flip(axis), b.flip(axis), axis, False).flip(axis)
    n = b.shape[axis]
    if n == 0:
        return b
    a, b = joined(a, b)
    if n <= 32:
        rows = [b.select(axis, 0)]
        for k in range(1, n):
            rows.append(a.select(axis, k) * rows[-1] + b.select(axis, k))
        return torch.stack(rows, axis)
    step = 1
    while step < n:
        ahead = b.narrow(axis, step, n - step) + a.narrow(axis, step, n - step) * b.narrow(
            axis, 0, n - step
        )
        b = torch.cat([b.narrow(axis, 0, step), ahead], axis)
        ahead = a.narrow(axis, step, n - step) * a.narrow(axis, 0, n - step)
        a = torch.cat([a.narrow(axis, 0, step), ahead], axis)
        step *= 2
    return b


def _best(x: Any, axis: int, ufunc: str) -> Any:
    """The running extremum."""
    greatest = ufunc.endswith(("max", "maximum"))
    function = torch.cummax if greatest else torch.cummin
    if not ufunc.startswith("f") or not x.is_floating_point():
        return function(x, axis).values
    lost = torch.isnan(x)
    found = function(torch.where(lost, -math.inf if greatest else math.inf, x), axis).values
    seen = torch.cumsum((~lost).to(torch.int64), axis) > 0
    return torch.where(seen, found, math.nan)


def _running_index(x: Any, axis: int, ufunc: str) -> Any:
    """Where the running extremum was first met."""
    n = x.shape[axis]
    if n == 0:
        return torch.zeros(x.shape, dtype=torch.int64, device=x.device)
    if x.dtype is torch.bool:
        x = x.to(torch.uint8)
    best = _best(x, axis, ufunc)
    last, now = best[at(axis, slice(None, -1))], best[at(axis, slice(1, None))]
    fresh = now != last if ufunc.startswith("f") else (now != last) & (last == last)
    first = torch.ones_like(x.narrow(axis, 0, 1), dtype=torch.bool)
    count = torch.arange(n, device=x.device).reshape((n,) + (1,) * (x.ndim - axis - 1))
    places = torch.where(torch.cat([first, fresh], axis), count, 0)
    return torch.cummax(places, axis).values


_RUNNING: dict[str, Lowering] = {
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "bitwise_and": torch.bitwise_and,
    "bitwise_or": torch.bitwise_or,
    "bitwise_xor": torch.bitwise_xor,
    "gcd": torch.gcd,
    "lcm": torch.lcm,
}


def _accumulate(x: Any, axis: int, ufunc: str) -> Any:
    x = _truth(x) if ufunc.startswith("logical") else x
    return running(_RUNNING[ufunc], x, axis)


def _logaddexp2_accumulate(x: Any, axis: int) -> Any:
    return torch.logcumsumexp(x * LOG2, axis) / LOG2


# -- order -----------------------------------------------------------------------------------------
def _order(x: Any, axis: int) -> Any:
    """Indices that sort; complex numbers by their real parts, and of equal ones the imaginary."""
    if not x.is_complex():
        return torch.argsort(x, dim=axis, stable=True)
    first = torch.argsort(x.imag, dim=axis, stable=True)
    second = torch.argsort(torch.gather(x.real, axis, first), dim=axis, stable=True)
    return torch.gather(first, axis, second)


def _searchsorted(a: Any, v: Any, side: str) -> Any:
    a, v = common(a, v)
    return torch.searchsorted(a.contiguous(), v.contiguous(), right=side == "right")


def _distinct(x: Any, axis: Any, equal_nan: bool) -> tuple[Any, Any, Any]:
    """The first of each group of equal entries, which group each is in, how many they are."""
    if axis is not None:
        _, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True, dim=axis)
    else:
        line = x.reshape(-1)
        ordered, order = torch.sort(line, stable=True)
        differ = ordered[1:] != ordered[:-1]
        if equal_nan and x.is_floating_point():
            differ = differ & ~(torch.isnan(ordered[1:]) & torch.isnan(ordered[:-1]))
        head = torch.zeros(min(1, line.shape[0]), dtype=torch.int64, device=x.device)
        group = torch.cat([head, torch.cumsum(differ.to(torch.int64), 0)])
        inverse = torch.zeros_like(order).index_put((order,), group)
        counts = torch.bincount(inverse)
    n = inverse.shape[0]
    numbers = torch.arange(n, device=x.device)
    first = torch.full_like(counts, n).scatter_reduce(0, inverse, numbers, "amin")
    return first, inverse.reshape(x.shape) if axis is None else inverse, counts


def _kept_entries(x: Any, front: bool, back: bool, least: int) -> Any:
    """The positions along the last axis from the first to the last true entry of every row."""
    n = x.shape[-1]
    if n == 0:
        return torch.arange(0, device=x.device)
    rows = _truth(x).reshape(-1, n)
    found = set()
    for row in rows:
        (places,) = torch.nonzero(row, as_tuple=True)
        if not len(places):
            found.add((n - least, n) if front else (0, least))
        else:
            found.add((int(places[0]) if front else 0, int(places[-1]) + 1 if back else n))
    if len(found) > 1:
        raise ValueError(
            "trim_zeros: rows begin or end with different numbers of zeros, so the result would"
            " have another size in each"
        )
    start, stop = found.pop() if found else (0, n)
    return torch.arange(start, stop, device=x.device)


# -- bytes -----------------------------------------------------------------------------------------
def _weights(bitorder: str, device: Any) -> Any:
    order = range(7, -1, -1) if bitorder == "big" else range(8)
    return torch.tensor([1 << i for i in order], dtype=torch.int64, device=device)


def _packbits(x: Any, axis: int, bitorder: str) -> Any:
    bits = torch.movedim(_truth(x).to(torch.int64), axis, -1)
    bits = torch.nn.functional.pad(bits, (0, -bits.shape[-1] % 8))
    groups = bits.reshape(*bits.shape[:-1], bits.shape[-1] // 8, 8)
    packed = (groups * _weights(bitorder, x.device)).sum(-1).to(torch.uint8)
    return torch.movedim(packed, -1, axis)


def _unpackbits(x: Any, axis: int, count: int, bitorder: str) -> Any:
    x = torch.movedim(x.to(torch.int64), axis, -1)
    bits = (torch.bitwise_and(x[..., None], _weights(bitorder, x.device)) != 0).to(torch.uint8)
    bits = bits.reshape(*x.shape[:-1], -1)
    return torch.movedim(torch.nn.functional.pad(bits, (0, count - bits.shape[-1])), -1, axis)


# -- softmax and its kin ---------------------------------------------------------------------------
def _softmax(x: Any, axis: Any) -> Any:
    if len(axis) == 1:
        return torch.softmax(x, axis[0])
    if not axis:
        return torch.exp(x - x)
    return torch.exp(_log_softmax(x, axis))


def _log_softmax(x: Any, axis: Any) -> Any:
    if len(axis) == 1:
        return torch.log_softmax(x, axis[0])
    return x - torch.logsumexp(x, axis, keepdim=True) if axis else x - x


def _logsumexp(x: Any, axis: Any, keepdims: bool) -> Any:
    return torch.logsumexp(x, axis, keepdim=keepdims) if axis else x


def _standardize(x: Any, axis: Any, eps: float) -> tuple[Any, Any]:
    """Mean 0 and variance 1, and the reciprocal of the deviation."""
    inner = tuple(range(x.ndim - len(axis), x.ndim))
    if axis and tuple(sorted(axis)) == inner:
        sizes = [x.shape[a] for a in inner]
        if 0 not in sizes:
            y, _, scale = torch.native_layer_norm(x, sizes, None, None, eps)
            return y, scale.to(x.dtype)
    y = x - x.mean(axis, keepdim=True) if axis else x - x
    variance = (y * y).mean(axis, keepdim=True) if axis else y * y
    scale = torch.rsqrt(variance + eps)
    return y * scale, scale


def _layer_norm(x: Any, scale: Any, shift: Any, axis: Any, eps: float) -> Any:
    return torch.nn.functional.layer_norm(x, scale.shape, scale, shift, eps)


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {
        "sum": _sum,
        "prod": by_axes(lambda x, a, keepdims: torch.prod(x, a, keepdim=keepdims)),
        "max": _extremum(torch.amax),
        "min": _extremum(torch.amin),
        "fmax_reduce": _skipping_nans(torch.amax, -math.inf),
        "fmin_reduce": _skipping_nans(torch.amin, math.inf),
        "logaddexp_reduce": _logsumexp,
        "logaddexp2_reduce": _logaddexp2,
        "hypot_reduce": lambda x, axis, keepdims: (
            torch.linalg.vector_norm(x, 2, axis, keepdim=keepdims) if axis else x
        ),
        "any": _any,
        "all": _all,
        "logical_xor_reduce": _xor,
        "bitwise_and_reduce": _fold(torch.bitwise_and, -1),
        "bitwise_or_reduce": _fold(torch.bitwise_or, 0),
        "bitwise_xor_reduce": _fold(torch.bitwise_xor, 0),
        "gcd_reduce": _fold(torch.gcd, 0),
        "lcm_reduce": _fold(torch.lcm, 1),
        "argmax": _arg(torch.argmax),
        "argmin": _arg(torch.argmin),
        "cumsum": reversing(_cumsum),
        "cumprod": reversing(_cumprod),
        "recurrence": _recurrence,
        "running_index": _running_index,
        "accumulate": _accumulate,
        "logaddexp_accumulate": lambda x, axis: torch.logcumsumexp(x, axis),
        "logaddexp2_accumulate": _logaddexp2_accumulate,
        "argsort": lambda x, axis, kind: _order(x, axis),
        "argpartition": lambda x, axis, kth: _order(x, axis),
        "searchsorted": _searchsorted,
        "distinct": _distinct,
        "kept_entries": _kept_entries,
        "packbits": _packbits,
        "unpackbits": _unpackbits,
        "softmax": _softmax,
        "log_softmax": _log_softmax,
        "logsumexp": _logsumexp,
        "standardize": _standardize,
        "torch_layer_norm": _layer_norm,
    }
