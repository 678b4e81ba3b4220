"""Shapes, joins, indices, reductions, running values, products, sorting, Fourier transforms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd_cupy.dtypes import accumulated, cast, inexact, together
from pycograd_cupy.elementwise import Table


def table(cp: Any, cps: Any) -> Table:
    """Primitive name -> its spelling."""
    return {
        **_shapes(cp),
        **_indices(cp),
        **_of_data(cp),
        **_products(cp),
        **_reductions(cp),
        **_running(cp),
        **_slices(cp),
        **_spectra(cp),
    }


def _at(axis: int, part: Any) -> tuple[Any, ...]:
    return (slice(None),) * axis + (part,)


# -- shapes and joins ------------------------------------------------------------------------------
def _shapes(cp: Any) -> Table:
    def split(x: Any, axis: int, sizes: Sequence[int]) -> tuple[Any, ...]:
        ends = list(itertools.accumulate(sizes))
        return tuple([x[_at(axis, slice(end - n, end))] for n, end in zip(sizes, ends)])

    def embed(x: Any, offset: int, rows: int, columns: int) -> Any:
        made = cp.zeros((*x.shape[:-1], rows, columns), x.dtype)
        i = cp.arange(x.shape[-1])
        made[..., i + max(0, -offset), i + max(0, offset)] = x
        return made

    def pad(x: Any, value: Any, widths: Any) -> Any:
        shape = [a + n + b for n, (a, b) in zip(x.shape, widths)]
        made = cp.empty(shape, x.dtype)
        made[...] = cast(cp, value, x.dtype)
        made[tuple([slice(a, a + n) for n, (a, _) in zip(x.shape, widths)])] = x
        return made

    return {
        "reshape": lambda x, shape: cp.asarray(x).reshape(shape),
        "transpose": lambda x, axes: cp.transpose(x, axes),
        "expand_dims": lambda x, axis: cp.expand_dims(x, axis),
        "squeeze": lambda x, axis: cp.squeeze(x, axis),
        "broadcast_to": lambda x, shape: cp.broadcast_to(cp.asarray(x), shape),
        "concatenate": lambda *xs, axis: cp.concatenate(together(cp, *xs), axis),
        "stack": lambda *xs, axis: cp.stack(together(cp, *xs), axis),
        "split": split,
        "unstack": lambda x, axis: tuple(cp.moveaxis(x, axis, 0)),
        "diagonal": lambda x, offset: cp.diagonal(x, offset, -2, -1),
        "embed_diagonal": embed,
        "pad": pad,
    }


# -- indices ---------------------------------------------------------------------------------------
def _filled(key: Any, arrays: Sequence[Any]) -> tuple[Any, ...]:
    rest = iter(arrays)
    return tuple([next(rest) if type(entry) is str else entry for entry in key])


def _in_bounds(operation: str, shape: Sequence[int], key: tuple[Any, ...]) -> None:
    """Refuses what is out of bounds, which cupy takes to mean another entry."""

    def width(e: Any) -> int:
        return e.ndim if hasattr(e, "dtype") and e.dtype.kind == "b" else 1

    axis = 0
    used = sum([width(e) for e in key if e is not None and e is not Ellipsis])
    for entry in key:
        if entry is Ellipsis:
            axis += len(shape) - used
        elif entry is not None:
            if hasattr(entry, "dtype") and entry.dtype.kind in "iu" and entry.size:
                low, high = int(entry.min()), int(entry.max())
                if low < -shape[axis] or high >= shape[axis]:
                    worst = low if low < -shape[axis] else high
                    raise IndexError(
                        f"{operation}: index {worst} is out of bounds for axis {axis} with size"
                        f" {shape[axis]}"
                    )
            axis += width(entry)


def _indices(cp: Any) -> Table:
    def add_at(total: Any, at: tuple[Any, ...], part: Any, unique: bool, arrays: Any) -> Any:
        part = cast(cp, part, total.dtype)
        if unique or not arrays:
            total[at] += part
        elif total.dtype == np.int64:  # which the atomic addition lacks; the bits are the same
            place = total[at].shape
            cp.add.at(total.view(np.uint64), at, cp.broadcast_to(part, place).astype(np.uint64))
        else:
            cp.add.at(total, at, part)
        return total

    def gather(x: Any, *arrays: Any, key: Any, unique: bool = False) -> Any:
        at = _filled(key, arrays)
        _in_bounds("gather", x.shape, at)
        return x[at]

    def scatter(x: Any, *arrays: Any, key: Any, shape: Any, unique: bool = False) -> Any:
        at = _filled(key, arrays)
        _in_bounds("scatter", shape, at)
        x = cp.asarray(x)
        return add_at(cp.zeros(shape, x.dtype), at, x, unique, arrays)

    def index_add(
        x: Any, y: Any, *arrays: Any, key: Any, unique: bool = False, in_place: bool = False
    ) -> Any:
        at = _filled(key, arrays)
        _in_bounds("index_add", x.shape, at)
        return add_at(x if in_place else cp.array(x), at, y, unique, arrays)

    def index_update(
        x: Any, y: Any, *arrays: Any, key: Any, unique: bool = False, in_place: bool = False
    ) -> Any:
        at = _filled(key, arrays)
        _in_bounds("item assignment", x.shape, at)
        new, y = x if in_place else cp.array(x), cast(cp, y, x.dtype)
        if unique or all([a.size <= 1 for a in arrays]):
            new[at] = y
            return new
        # Of entries that are written twice NumPy keeps the last, a device any.
        place = x[at].shape
        order = cp.arange(1, math.prod(place) + 1, dtype=np.uint64).reshape(place)
        last = cp.zeros(x.shape, np.uint64)
        cp.maximum.at(last, at, order)
        rows = cp.broadcast_to(y, place).reshape(-1)
        if not rows.size:
            return new
        position = cp.maximum(last.astype(np.int64) - 1, cp.zeros(x.shape, np.int64))
        return cp.where(last == 0, new, rows[position])

    return {
        "index": lambda x, key, fresh=False: cp.array(x[key]) if fresh else x[key],
        "gather": gather,
        "scatter": scatter,
        "index_add": index_add,
        "index_update": index_update,
    }


# -- results whose shape is in the data ------------------------------------------------------------
def _of_data(cp: Any) -> Table:
    def distinct(x: Any, axis: Any, equal_nan: bool) -> Any:
        found = cp.unique(x, True, True, True, axis, equal_nan=equal_nan)
        _, first, inverse, counts = found
        inverse = inverse.reshape(x.shape if axis is None else -1)
        return tuple([a.astype(np.int64) for a in (first, inverse, counts)])

    def kept_entries(x: Any, front: bool, back: bool, least: int) -> Any:
        n = x.shape[-1]
        if n == 0:
            return cp.arange(0)
        rows = x.reshape(-1, n)
        any_row = rows.any(0)
        (at,) = cp.nonzero(any_row)
        if not at.size:
            return cp.arange(n - least, n) if front else cp.arange(0, least)
        start, stop = int(at[0]) if front else 0, int(at[-1]) + 1 if back else n
        edges = ([start] if front else []) + ([stop - 1] if back else [])
        if not all([bool(rows[:, i].all()) for i in edges]):
            raise ValueError("kept_entries: rows begin or end with different numbers of zeros")
        return cp.arange(start, stop)

    return {
        "nonzero": lambda x: tuple(cp.nonzero(x)),
        "distinct": distinct,
        "kept_entries": kept_entries,
    }


# -- products --------------------------------------------------------------------------------------
def _products(cp: Any) -> Table:
    def einsum(*operands: Any, spec: str, optimize: Any) -> Any:
        arrays = together(cp, *operands)
        inputs, _ = spec.split("->")
        sizes: dict[str, int] = {}
        for labels, x in zip(inputs.split(","), arrays):
            for label, n in zip(labels, x.shape):
                sizes[label] = n if sizes.get(label, 1) == 1 else sizes[label]
        full = [
            cp.broadcast_to(x, tuple([sizes[label] for label in labels]))
            for labels, x in zip(inputs.split(","), arrays)
        ]
        return cp.einsum(spec, *full, optimize=optimize)

    def convolve(x: Any, y: Any, start: int, length: int) -> Any:
        x, y = together(cp, x, y)
        if y.shape[-1] > x.shape[-1]:
            x, y = y, x
        n, m = x.shape[-1], y.shape[-1]
        rows = np.broadcast_shapes(x.shape[:-1], y.shape[:-1])
        out = cp.zeros((*rows, length), x.dtype)
        for j in range(m):  # the tap y[j] meets x[k - j]
            low, high = max(start, j), min(start + length, j + n)
            if low < high:
                part = x[..., low - j : high - j] * y[..., j : j + 1]
                out[..., low - start : high - start] += part
        return out

    def convolve_nd(x: Any, y: Any, rank: int, mode: str, method: str) -> Any:
        x, y = together(cp, x, y)
        inner = [(n, m) for n, m in zip(x.shape[-rank:], y.shape[-rank:])]
        rows = np.broadcast_shapes(x.shape[:-rank], y.shape[:-rank])
        out = cp.zeros((*rows, *[n + m - 1 for n, m in inner]), x.dtype)
        for taps in itertools.product(*[range(m) for _, m in inner]):
            window = tuple([slice(j, j + n) for j, (n, _) in zip(taps, inner)])
            weight = y[(..., *[slice(j, j + 1) for j in taps])]
            out[(..., *window)] += x * weight
        if mode == "valid":
            out = out[(..., *[slice(m - 1, n) for n, m in inner])]
        return out

    return {
        "matmul": lambda x, y: cp.matmul(*together(cp, x, y)),
        "einsum": einsum,
        "convolve": convolve,
        "convolve_nd": convolve_nd,
    }


# -- reductions ------------------------------------------------------------------------------------
def _reductions(cp: Any) -> Table:
    def folded(f: Callable[..., Any], identity: Any = None) -> Callable[..., Any]:
        """The reduction by an associative function, halving again and again."""

        def run(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
            x = cp.asarray(x)
            if not axis:
                return x
            kept = [1 if i in axis else n for i, n in enumerate(x.shape)]
            rest = [i for i in range(x.ndim) if i not in axis]
            rows = cp.transpose(x, (*axis, *rest))
            rows = rows.reshape(math.prod([x.shape[i] for i in axis]), *[x.shape[i] for i in rest])
            if not len(rows):
                rows = cp.full((1, *rows.shape[1:]), identity, rows.dtype)
            while (n := len(rows)) > 1:
                half = f(rows[: n // 2], rows[n // 2 : n - n % 2])
                rows = cp.concatenate([half, rows[-1:]]) if n % 2 else half
            return rows[0].reshape(kept) if keepdims else rows[0]

        return run

    def arg(f: Callable[..., Any], pick: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
            x = cp.asarray(x)
            rest = [i for i in range(x.ndim) if i not in axis]
            shape = [x.shape[i] for i in rest]
            rows = cp.transpose(x, (*rest, *axis))
            rows = rows.reshape(*shape, math.prod([x.shape[i] for i in axis]))
            if rows.dtype.kind in "fc":  # a nan is found first, whatever the device thinks of it
                best = pick(rows, axis=-1, keepdims=True)
                out = cp.argmax((rows == best) | cp.isnan(rows), axis=-1)
            else:
                out = f(rows, axis=-1)
            out = cp.asarray(out).astype(np.int64)
            return cp.expand_dims(out, axis) if keepdims else out

        return run

    def plain(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, axis, keepdims: f(cp.asarray(x), axis=axis, keepdims=keepdims)

    def extremum(f: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
            return f(cp.asarray(x), axis=axis, keepdims=keepdims) if axis else cp.asarray(x)

        return run

    def total(f: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
            x = accumulated(cp, x)
            return f(x, axis=axis, keepdims=keepdims) if axis else x

        return run

    def xor(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        odd = cp.sum(cast(cp, x, np.bool_).astype(np.int64), axis=axis, keepdims=keepdims)
        return odd % 2 == 1

    def hypot(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        x = inexact(cp, x)
        return folded(cp.hypot, 0.0)(x, axis, keepdims)

    def logsumexp(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        x = inexact(cp, x)
        top = folded(cp.maximum, -np.inf)(x, axis, True)
        top = cp.where(cp.isfinite(top), top, cp.zeros_like(top))
        out = cp.log(cp.sum(cp.exp(x - top), axis=axis, keepdims=True)) + top
        return out if keepdims else cp.squeeze(out, axis)

    return {
        "sum": total(cp.sum),
        "prod": total(cp.prod),
        "max": extremum(cp.max),
        "min": extremum(cp.min),
        "any": plain(cp.any),
        "all": plain(cp.all),
        "fmax_reduce": folded(cp.fmax),
        "fmin_reduce": folded(cp.fmin),
        "logaddexp_reduce": folded(cp.logaddexp, -np.inf),
        "logaddexp2_reduce": folded(cp.logaddexp2, -np.inf),
        "hypot_reduce": hypot,
        "logical_xor_reduce": xor,
        "bitwise_and_reduce": folded(cp.bitwise_and, -1),
        "bitwise_or_reduce": folded(cp.bitwise_or, 0),
        "bitwise_xor_reduce": folded(cp.bitwise_xor, 0),
        "gcd_reduce": folded(cp.gcd, 0),
        "lcm_reduce": folded(cp.lcm),
        "argmax": arg(cp.argmax, cp.max),
        "argmin": arg(cp.argmin, cp.min),
        "logsumexp": logsumexp,
    }


# -- running values --------------------------------------------------------------------------------
def _running(cp: Any) -> Table:
    def flipped(x: Any, axis: int, reverse: bool) -> Any:
        return cp.flip(x, axis) if reverse else x

    def summed(f: Callable[..., Any]) -> Callable[..., Any]:
        def run(x: Any, axis: int, reverse: bool) -> Any:
            return flipped(f(flipped(accumulated(cp, x), axis, reverse), axis), axis, reverse)

        return run

    def scanned(f: Callable[..., Any], x: Any, axis: int) -> Any:
        """Running values by doubling (Hillis and Steele 1986)."""
        x, n, step = cp.array(x), x.shape[axis], 1
        while step < n:
            ahead, behind = x[_at(axis, slice(step, None))], x[_at(axis, slice(None, n - step))]
            x = cp.concatenate([x[_at(axis, slice(None, step))], f(behind, ahead)], axis)
            step *= 2
        return x

    def shift(x: Any, first: Any, axis: int, reverse: bool) -> Any:
        x = cp.asarray(x)
        out = cp.empty_like(x)
        ahead, behind = slice(1, None), slice(None, -1)
        if reverse:
            out[_at(axis, behind)], start = x[_at(axis, ahead)], slice(-1, None)
        else:
            out[_at(axis, ahead)], start = x[_at(axis, behind)], slice(None, 1)
        out[_at(axis, start)] = cast(cp, first, x.dtype)
        return out

    def recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
        a, b = together(cp, a, b)
        out = cp.empty(b.shape, b.dtype)
        a, b, h = (cp.moveaxis(flipped(v, axis, reverse), axis, 0) for v in (a, b, out))
        if len(h):
            h[0] = b[0]
        for k in range(1, len(h)):
            h[k] = a[k] * h[k - 1] + b[k]
        return flipped(cp.moveaxis(h, 0, axis), axis, reverse)

    def running_index(x: Any, axis: int, ufunc: str) -> Any:
        best = scanned(getattr(cp, ufunc), x, axis)
        last, now = best[_at(axis, slice(None, -1))], best[_at(axis, slice(1, None))]
        fresh = cp.ones(x.shape, bool)
        changed = now != last
        if not ufunc.startswith("f"):  # a nan stays the extremum
            changed = changed & (last == last)
        fresh[_at(axis, slice(1, None))] = changed
        n = x.shape[axis]
        count = cp.arange(n, dtype=np.int64).reshape((n,) + (1,) * (x.ndim - axis - 1))
        count = cp.broadcast_to(count, x.shape)
        return scanned(cp.maximum, cp.where(fresh, count, cp.zeros_like(count)), axis)

    def accumulate(x: Any, axis: int, ufunc: str) -> Any:
        x = cast(cp, x, np.bool_) if ufunc.startswith("logical") else x
        return scanned(getattr(cp, ufunc), x, axis)

    return {
        "cumsum": summed(cp.cumsum),
        "cumprod": summed(cp.cumprod),
        "shift": shift,
        "recurrence": recurrence,
        "running_index": running_index,
        "accumulate": accumulate,
        "logaddexp_accumulate": lambda x, axis: scanned(cp.logaddexp, inexact(cp, x), axis),
        "logaddexp2_accumulate": lambda x, axis: scanned(cp.logaddexp2, inexact(cp, x), axis),
    }


# -- along slices, sorting, bits -------------------------------------------------------------------
def _slices(cp: Any) -> Table:
    def shifted(x: Any, axis: tuple[int, ...]) -> Any:
        x = inexact(cp, x)
        return x - cp.max(x, axis=axis, keepdims=True) if x.size and axis else x * 0

    def softmax(x: Any, axis: tuple[int, ...]) -> Any:
        out = cp.exp(shifted(x, axis))
        return out / cp.sum(out, axis=axis, keepdims=True)

    def log_softmax(x: Any, axis: tuple[int, ...]) -> Any:
        out = shifted(x, axis)
        return out - cp.log(cp.sum(cp.exp(out), axis=axis, keepdims=True))

    def standardize(x: Any, axis: tuple[int, ...], eps: float) -> tuple[Any, Any]:
        y = x - cp.mean(x, axis=axis, keepdims=True)
        variance = cp.mean(y * y, axis=axis, keepdims=True)
        scale = 1 / cp.sqrt(variance + cp.asarray(eps, x.dtype))
        return y * scale, scale

    def argsort(x: Any, axis: int, **_: Any) -> Any:
        """Sorted whole, which is one of the partitions as well."""
        return cp.argsort(x, axis=axis, kind="stable").astype(np.int64)

    def searchsorted(a: Any, v: Any, side: str) -> Any:
        a, v = together(cp, a, v)
        return cp.searchsorted(a, v, side).astype(np.int64)

    shifts: Any = np.arange(8, dtype=np.uint8)

    def order_of(bitorder: str) -> Any:
        return cp.asarray(shifts[::-1] if bitorder == "big" else shifts)

    def packbits(x: Any, axis: int, bitorder: str) -> Any:
        bits = cp.moveaxis(x != 0, axis, -1).astype(np.uint8)
        n = bits.shape[-1]
        full = cp.zeros((*bits.shape[:-1], -(-n // 8) * 8), np.uint8)
        full[..., :n] = bits
        weighted = full.reshape(*full.shape[:-1], -1, 8) << order_of(bitorder)
        return cp.moveaxis(cp.sum(weighted, axis=-1, dtype=np.uint8), -1, axis)

    def unpackbits(x: Any, axis: int, count: int, bitorder: str) -> Any:
        bits = (cp.moveaxis(x, axis, -1)[..., None] >> order_of(bitorder)) & np.uint8(1)
        bits = bits.reshape(*bits.shape[:-2], -1)
        full = cp.zeros((*bits.shape[:-1], count), np.uint8)
        kept = min(count, bits.shape[-1])
        full[..., :kept] = bits[..., :kept]
        return cp.moveaxis(full, -1, axis)

    return {
        "softmax": softmax,
        "log_softmax": log_softmax,
        "standardize": standardize,
        "argsort": argsort,
        "argpartition": argsort,
        "searchsorted": searchsorted,
        "packbits": packbits,
        "unpackbits": unpackbits,
    }


# -- Fourier transforms ----------------------------------------------------------------------------
def _spectra(cp: Any) -> Table:
    def weighted(x: Any, axis: int, n: int, weight: float) -> Any:
        x = cp.array(x)
        x[_at(axis, slice(1, (n + 1) // 2))] *= weight
        return x

    def fft(x: Any, axes: tuple[int, ...], inverse: bool, norm: Any) -> Any:
        for axis in axes:
            x = (cp.fft.ifft if inverse else cp.fft.fft)(x, axis=axis, norm=norm)
        return x

    def rfft(x: Any, axis: int, n: int, norm: Any, folded: bool) -> Any:
        half = cp.fft.rfft(cp.asarray(x).real, n, axis, norm)
        return weighted(half, axis, n, 2) if folded else half

    def irfft(x: Any, axis: int, n: int, norm: Any, folded: bool) -> Any:
        return cp.fft.irfft(x if folded else weighted(x, axis, n, 0.5), n, axis, norm)

    return {"fft": fft, "rfft": rfft, "irfft": irfft}
