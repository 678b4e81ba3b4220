"""Reductions, running values, sorting and Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pycograd_jax.lowerings.dtypes import accumulated, cast, inexact, together


# -- reductions ------------------------------------------------------------------------------------
def _rows(x: Any, axis: tuple[int, ...]) -> Any:
    """`x` with the reduced axes as one, in front."""
    rest = [i for i in range(x.ndim) if i not in axis]
    moved = jnp.transpose(x, (*axis, *rest))
    return moved.reshape(-1, *[x.shape[i] for i in rest])


def _folded(f: Callable[..., Any], identity: Any = None) -> Callable[..., Any]:
    """The reduction by an associative function, halving again and again."""

    def run(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        x = jnp.asarray(x)
        if not axis:
            return f(x, x) if f in _IDEMPOTENT else x
        kept = [1 if i in axis else n for i, n in enumerate(x.shape)]
        rows = _rows(x, axis)
        if not len(rows):
            rows = jnp.full((1, *rows.shape[1:]), identity, rows.dtype)
        while (n := len(rows)) > 1:
            half = f(rows[: n // 2], rows[n // 2 : n - n % 2])
            rows = jnp.concatenate([half, rows[-1:]]) if n % 2 else half
        out = rows[0]
        return out.reshape(kept) if keepdims else out

    return run


_IDEMPOTENT = (jnp.logical_or, jnp.logical_and)


def _xor(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    odd = jnp.sum(cast(x, np.bool_), axis=axis, dtype=np.int64, keepdims=keepdims)
    return odd % 2 == 1


def _extremum(name: str) -> Callable[..., Any]:
    def run(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        return getattr(jnp, name)(jnp.asarray(x), axis=axis, keepdims=keepdims)

    return run


def _skipping(f: Callable[..., Any]) -> Callable[..., Any]:
    return _folded(f)


def _hypot(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    x = inexact(x)
    if not axis:
        return x
    top = jnp.max(jnp.abs(x), axis=axis, keepdims=True, initial=0)
    top = jnp.where((top == 0) | ~jnp.isfinite(top), 1, top)
    out = jnp.sqrt(jnp.sum(jnp.square(x / top), axis=axis, keepdims=True)) * top
    return out if keepdims else jnp.squeeze(out, axis)


def _arg(f: Callable[..., Any], pick: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        x = jnp.asarray(x)
        rest = [i for i in range(x.ndim) if i not in axis]
        rows = jnp.transpose(x, (*rest, *axis)).reshape(*[x.shape[i] for i in rest], -1)
        if np.dtype(rows.dtype).kind == "c":  # the first of the entries that are the extremum
            best = pick(rows, axis=-1, keepdims=True)
            rows, found = (rows == best) | (rows != rows), jnp.argmax
        else:
            found = f
        out = found(rows, axis=-1).astype(np.int64)
        return jnp.expand_dims(out, axis) if keepdims else out

    return run


def _logsumexp(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    x = inexact(x)
    top = jnp.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0))
    out = jnp.log(jnp.sum(jnp.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else jnp.squeeze(out, axis)


# -- running values --------------------------------------------------------------------------------
def _flipped(x: Any, axis: int, reverse: bool) -> Any:
    return jnp.flip(x, axis) if reverse else x


def _running(f: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, axis: int, reverse: bool) -> Any:
        x = _flipped(accumulated(x), axis, reverse)
        return _flipped(f(x, axis=axis, dtype=x.dtype), axis, reverse)

    return run


def _scanned(f: Callable[..., Any], x: Any, axis: int) -> Any:
    return jax.lax.associative_scan(f, x, axis=axis) if x.shape[axis] else x


def _shift(x: Any, first: Any, axis: int, reverse: bool) -> Any:
    n = x.shape[axis]
    edge = jnp.broadcast_to(cast(first, x.dtype), (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    if n == 0:
        return x
    if reverse:
        return jnp.concatenate([jax.lax.slice_in_dim(x, 1, n, axis=axis), edge], axis)
    return jnp.concatenate([edge, jax.lax.slice_in_dim(x, 0, n - 1, axis=axis)], axis)


def _recurrence(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    """Step by step: products of many coefficients at once could overflow where no result does."""
    a, b = together(a, b)
    rows = [jnp.moveaxis(x, axis, 0) for x in (a, b)]

    def step(h: Any, row: Any) -> Any:
        h = row[0] * h + row[1]
        return h, h

    # The first coefficient meets nothing.
    edge = -1 if reverse else 0
    rows[0] = rows[0].at[edge].set(0) if rows[0].shape[0] else rows[0]
    _, out = jax.lax.scan(step, jnp.zeros(rows[1].shape[1:], b.dtype), tuple(rows), reverse=reverse)
    return jnp.moveaxis(out, 0, axis)


def _running_index(x: Any, axis: int, ufunc: str) -> Any:
    best = _scanned(getattr(jnp, ufunc), x, axis)
    n = x.shape[axis]
    now = jax.lax.slice_in_dim(best, min(1, n), n, axis=axis)
    last = jax.lax.slice_in_dim(best, 0, max(n - 1, 0), axis=axis)
    fresh = now != last
    if not ufunc.startswith("f"):
        fresh = fresh & (last == last)
    start = jnp.ones((*x.shape[:axis], min(1, n), *x.shape[axis + 1 :]), bool)
    fresh = jnp.concatenate([start, fresh], axis)
    count = jnp.arange(n, dtype=np.int64).reshape((n,) + (1,) * (x.ndim - axis - 1))
    return _scanned(jnp.maximum, jnp.where(fresh, count, 0), axis)


def _accumulate(x: Any, axis: int, ufunc: str) -> Any:
    x = cast(x, np.bool_) if ufunc.startswith("logical") else jnp.asarray(x)
    return _scanned(getattr(jnp, ufunc), x, axis)


# -- sorting ---------------------------------------------------------------------------------------
def _argsort(x: Any, axis: int, **_: Any) -> Any:
    """Sorted whole, which is one of the partitions as well; of equal entries the first comes
    first."""
    return jnp.argsort(x, axis=axis, stable=True).astype(np.int64)


def _searchsorted(a: Any, v: Any, side: str) -> Any:
    a, v = together(a, v)
    return jnp.searchsorted(a, v, side=side).astype(np.int64)


# -- Fourier transforms ----------------------------------------------------------------------------
def _spectral(x: Any) -> Any:
    """In a dtype that XLA transforms: single precision of halves, else double."""
    x = inexact(x)
    return x.astype(np.float32) if x.dtype in (jnp.float16, jnp.bfloat16) else x


def _fft(x: Any, axes: tuple[int, ...], inverse: bool, norm: Any) -> Any:
    x = _spectral(x)
    for axis in axes:
        x = (jnp.fft.ifft if inverse else jnp.fft.fft)(x, axis=axis, norm=norm)
    return x


def _weighted(x: Any, axis: int, n: int, weight: float) -> Any:
    weights = np.ones(x.shape[axis])
    weights[1 : (n + 1) // 2] = weight
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    return x * jnp.asarray(weights.reshape(shape), x.real.dtype)


def _rfft(x: Any, axis: int, n: int, norm: Any, folded: bool) -> Any:
    half = jnp.fft.rfft(jnp.real(_spectral(x)), n, axis, norm)
    return _weighted(half, axis, n, 2) if folded else half


def _irfft(x: Any, axis: int, n: int, norm: Any, folded: bool) -> Any:
    x = _spectral(x)
    return jnp.fft.irfft(x if folded else _weighted(x, axis, n, 0.5), n, axis, norm)


# -- along slices ----------------------------------------------------------------------------------
def _standardize(x: Any, axis: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    y = x - jnp.mean(x, axis, keepdims=True)
    variance = jnp.mean(y * y, axis, keepdims=True)
    scale = 1 / jnp.sqrt(variance + jnp.asarray(eps, x.dtype))
    return y * scale, scale


TABLE: dict[str, Callable[..., Any]] = {
    "sum": lambda x, axis, keepdims: jnp.sum(accumulated(x), axis=axis, keepdims=keepdims),
    "prod": lambda x, axis, keepdims: jnp.prod(accumulated(x), axis=axis, keepdims=keepdims),
    "max": _extremum("max"),
    "min": _extremum("min"),
    "any": _extremum("any"),
    "all": _extremum("all"),
    "fmax_reduce": _skipping(jnp.fmax),
    "fmin_reduce": _skipping(jnp.fmin),
    "logaddexp_reduce": _folded(jnp.logaddexp, -np.inf),
    "logaddexp2_reduce": _folded(jnp.logaddexp2, -np.inf),
    "hypot_reduce": _hypot,
    "logical_xor_reduce": _xor,
    "bitwise_and_reduce": _folded(jnp.bitwise_and, -1),
    "bitwise_or_reduce": _folded(jnp.bitwise_or, 0),
    "bitwise_xor_reduce": _folded(jnp.bitwise_xor, 0),
    "gcd_reduce": _folded(jnp.gcd, 0),
    "lcm_reduce": _folded(jnp.lcm),
    "argmax": _arg(jnp.argmax, jnp.max),
    "argmin": _arg(jnp.argmin, jnp.min),
    "logsumexp": _logsumexp,
    "softmax": lambda x, axis: jax.nn.softmax(inexact(x), axis),
    "log_softmax": lambda x, axis: jax.nn.log_softmax(inexact(x), axis),
    "standardize": _standardize,
    "cumsum": _running(jnp.cumsum),
    "cumprod": _running(jnp.cumprod),
    "shift": _shift,
    "recurrence": _recurrence,
    "running_index": _running_index,
    "accumulate": _accumulate,
    "logaddexp_accumulate": lambda x, axis: _scanned(jnp.logaddexp, inexact(x), axis),
    "logaddexp2_accumulate": lambda x, axis: _scanned(jnp.logaddexp2, inexact(x), axis),
    "argsort": _argsort,
    "argpartition": _argsort,
    "searchsorted": _searchsorted,
    "fft": _fft,
    "rfft": _rfft,
    "irfft": _irfft,
}
