"""Shapes, joins, indices and products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pycograd_jax.lowerings.dtypes import (
    cast,
    is_known,
    strong,
    together,
)
from pycograd_jax.lowerings.refused import of_data

_EXACT = jax.lax.Precision.HIGHEST  # float32 products in float32 on accelerators too


# -- joins -----------------------------------------------------------------------------------------
def _split(x: Any, axis: int, sizes: Sequence[int]) -> tuple[Any, ...]:
    ends = list(accumulate(sizes))
    return tuple([jax.lax.slice_in_dim(x, end - n, end, axis=axis) for n, end in zip(sizes, ends)])


def _unstack(x: Any, axis: int) -> tuple[Any, ...]:
    return tuple([jax.lax.index_in_dim(x, i, axis, keepdims=False) for i in range(x.shape[axis])])


# -- indices ---------------------------------------------------------------------------------------
def _filled(key: Any, arrays: Sequence[Any]) -> tuple[Any, ...]:
    rest = iter(arrays)
    return tuple([next(rest) if type(entry) is str else entry for entry in key])


def _checked(operation: str, shape: Sequence[int], key: Any, arrays: Sequence[Any]) -> Any:
    """The index, refused where it is out of bounds or a mask, as far as its entries are known."""
    for array in arrays:
        if array.dtype == np.bool_ and not is_known(array):
            raise of_data(operation, "a boolean mask takes as many entries as are true")
    key = tuple(
        [
            bool(e) if hasattr(e, "dtype") and e.dtype == np.bool_ and not e.shape else e
            for e in _filled(key, arrays)
        ]
    )
    axis = 0
    taking = [e for e in key if not (e is None or e is Ellipsis or type(e) is bool)]
    used = sum(e.ndim if _is_mask(e) else 1 for e in taking)
    for entry in key:
        if entry is Ellipsis:
            axis += len(shape) - used
        elif entry is not None and type(entry) is not bool:
            if hasattr(entry, "dtype") and not _is_mask(entry) and is_known(entry) and entry.size:
                n = shape[axis]
                known = np.asarray(entry)
                low, high = int(known.min()), int(known.max())
                if low < -n or high >= n:
                    worst = low if low < -n else high
                    raise IndexError(
                        f"{operation}: index {worst} is out of bounds for axis {axis} with size {n}"
                    )
            axis += entry.ndim if _is_mask(entry) else 1
    return key


def _is_mask(entry: Any) -> bool:
    return hasattr(entry, "dtype") and entry.dtype == np.bool_


def _index(x: Any, key: Any, fresh: bool = False) -> Any:
    return jnp.asarray(x)[key]


def _gather(x: Any, *arrays: Any, key: Any, unique: bool = False) -> Any:
    """What is out of bounds in a compiled function is nan, integers being at their limit."""
    x = jnp.asarray(x)
    at = _checked("gather", x.shape, key, arrays)
    if any(_is_mask(e) or type(e) is bool for e in at):
        return x[at]
    return x.at[at].get(mode="fill", unique_indices=unique)


def _scatter(x: Any, *arrays: Any, key: Any, shape: Any, unique: bool = False) -> Any:
    x = strong(x)
    at = _checked("scatter", shape, key, arrays)
    return jnp.zeros(shape, x.dtype).at[at].add(x, unique_indices=unique)


def _index_add(
    x: Any, y: Any, *arrays: Any, key: Any, unique: bool = False, in_place: bool = False
) -> Any:
    x = jnp.asarray(x)
    at = _checked("index_add", x.shape, key, arrays)
    return x.at[at].add(cast(y, x.dtype), unique_indices=unique)


def _index_update(
    x: Any, y: Any, *arrays: Any, key: Any, unique: bool = False, in_place: bool = False
) -> Any:
    x = strong(x)
    at = _checked("item assignment", x.shape, key, arrays)
    y = cast(y, x.dtype)
    if unique or all(a.size <= 1 for a in arrays):
        return x.at[at].set(y, unique_indices=True)
    # Of entries that are written twice NumPy keeps the last, of which XLA promises nothing.
    place = jax.eval_shape(lambda v: v[at], x).shape if not any(map(_is_mask, at)) else x[at].shape
    order = jnp.arange(int(np.prod(place)), dtype=np.int64).reshape(place)
    last = jnp.full(x.shape, -1, np.int64).at[at].max(order)
    rows = jnp.broadcast_to(y, place).reshape(-1)
    if not rows.size:
        return x
    return jnp.where(last < 0, x, rows[jnp.maximum(last, 0)])


def _nonzero(x: Any) -> Any:
    if not is_known(x):
        raise of_data("nonzero", "there are as many positions as entries that are not zero")
    return tuple([at.astype(np.int64) for at in jnp.nonzero(x)])


def _distinct(x: Any, axis: Any, equal_nan: bool) -> Any:
    if not is_known(x):
        raise of_data("distinct", "there are as many entries as are different")
    _, first, inverse, counts = jnp.unique(x, True, True, True, axis, equal_nan=equal_nan)
    inverse = inverse.reshape(x.shape if axis is None else -1)
    return tuple([a.astype(np.int64) for a in (first, inverse, counts)])


def _kept_entries(x: Any, front: bool, back: bool, least: int) -> Any:
    if not is_known(x):
        raise of_data("kept_entries", "how many zeros stand at the ends is in the data")
    n = x.shape[-1]
    if n == 0:
        return jnp.arange(0)
    found = set()
    for row in jnp.reshape(x, (-1, n)):
        (at,) = jnp.nonzero(row)
        if not at.size:
            found.add((n - least, n) if front else (0, least))
        else:
            found.add((int(at[0]) if front else 0, int(at[-1]) + 1 if back else n))
    if len(found) > 1:
        raise of_data("kept_entries", "rows begin or end with different numbers of zeros")
    return jnp.arange(*(found.pop() if found else (0, n)))


# -- diagonals and borders -------------------------------------------------------------------------
def _embed_diagonal(x: Any, offset: int, rows: int, columns: int) -> Any:
    i = np.arange(x.shape[-1])
    made = jnp.zeros((*x.shape[:-1], rows, columns), x.dtype)
    return made.at[..., i + max(0, -offset), i + max(0, offset)].set(x)


def _pad(x: Any, value: Any, widths: Any) -> Any:
    return jax.lax.pad(x, cast(value, x.dtype), [(a, b, 0) for a, b in widths])


# -- products --------------------------------------------------------------------------------------
def _matmul(x: Any, y: Any) -> Any:
    return jnp.matmul(*together(x, y), precision=_EXACT)


def _einsum(*operands: Any, spec: str, optimize: Any) -> Any:
    operands = tuple(together(*operands))
    inputs, _ = spec.split("->")
    sizes: dict[str, int] = {}
    for labels, x in zip(inputs.split(","), operands):
        for label, n in zip(labels, x.shape):
            sizes[label] = max(n, sizes.get(label, 1)) if n else 0
    full = [
        jnp.broadcast_to(x, [sizes[label] for label in labels])
        for labels, x in zip(inputs.split(","), operands)
    ]
    return jnp.einsum(spec, *full, precision=_EXACT)


def _convolve(x: Any, y: Any, start: int, length: int) -> Any:
    x, y = together(x, y)
    dtype = x.dtype
    if not x.size or not y.size or not length:
        rows = np.broadcast_shapes(x.shape[:-1], y.shape[:-1])
        return jnp.zeros((*rows, length), dtype)
    whole = jnp.vectorize(
        lambda a, b: jnp.convolve(a, b, "full", precision=_EXACT), signature="(n),(m)->(k)"
    )(x, y)
    n = whole.shape[-1]
    first, last = min(max(start, 0), n), max(min(start + length, n), 0)
    part = whole[..., first : max(first, last)]
    before = min(max(-start, 0), length)
    widths = [(0, 0)] * (part.ndim - 1) + [(before, length - before - part.shape[-1])]
    return jnp.pad(part, widths).astype(dtype)


def _convolve_nd(x: Any, y: Any, rank: int, mode: str, method: str) -> Any:
    """By the window of each entry for "direct", by transforms for "fft"; the rows broadcast."""
    x, y = together(x, y)
    dtype = x.dtype
    axes = tuple(range(-rank, 0))
    shape = [x.shape[a] + y.shape[a] - 1 for a in axes]
    if method == "fft":
        wide = [jnp.fft.fftn(v.astype(_complex_of(dtype)), shape, axes) for v in (x, y)]
        full = jnp.fft.ifftn(wide[0] * wide[1], shape, axes)
        full = full if np.dtype(dtype).kind == "c" else full.real
    else:
        flat = ",".join(["(" + ",".join(f"{s}{i}" for i in range(rank)) + ")" for s in "ab"])
        made = "(" + ",".join(f"c{i}" for i in range(rank)) + ")"
        borders = [(n - 1, n - 1) for n in y.shape[-rank:]]
        full = jnp.vectorize(
            lambda a, b: jax.lax.conv_general_dilated(
                a[None, None], jnp.flip(b)[None, None], (1,) * rank, borders, precision=_EXACT
            )[0, 0],
            signature=f"{flat}->{made}",
        )(x, y)
    if mode == "valid":
        starts = [y.shape[a] - 1 for a in axes]
        sizes = [x.shape[a] - y.shape[a] + 1 for a in axes]
        full = full[(..., *[slice(s, s + n) for s, n in zip(starts, sizes)])]
    return full.astype(dtype)


def _complex_of(dtype: Any) -> Any:
    return np.result_type(np.dtype(dtype), np.complex64)


TABLE: dict[str, Callable[..., Any]] = {
    "convolve_nd": _convolve_nd,
    "reshape": lambda x, shape: jnp.reshape(x, shape),
    "transpose": lambda x, axes: jnp.transpose(x, axes),
    "expand_dims": lambda x, axis: jnp.expand_dims(x, axis),
    "squeeze": lambda x, axis: jnp.squeeze(x, axis),
    "broadcast_to": lambda x, shape: jnp.broadcast_to(x, shape),
    "concatenate": lambda *xs, axis: jnp.concatenate(together(*xs), axis),
    "stack": lambda *xs, axis: jnp.stack(together(*xs), axis),
    "split": _split,
    "unstack": _unstack,
    "index": _index,
    "gather": _gather,
    "scatter": _scatter,
    "index_add": _index_add,
    "index_update": _index_update,
    "nonzero": _nonzero,
    "distinct": _distinct,
    "kept_entries": _kept_entries,
    "diagonal": lambda x, offset: jnp.diagonal(x, offset, -2, -1),
    "embed_diagonal": _embed_diagonal,
    "pad": _pad,
    "matmul": _matmul,
    "einsum": _einsum,
    "convolve": _convolve,
    "packbits": lambda x, axis, bitorder: jnp.packbits(x, axis, bitorder),
    "unpackbits": lambda x, axis, count, bitorder: jnp.unpackbits(x, axis, count, bitorder),
}
