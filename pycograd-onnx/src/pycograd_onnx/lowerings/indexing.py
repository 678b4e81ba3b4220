"""The parts of an index, and writes into them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.plugins.api import Dim
from pycograd_onnx.lowerings.elementwise import maximum
from pycograd_onnx.writer import BOOL, INT, Refused, Tensor, Writer

Lowering = Callable[..., Any]


def _slice(g: Writer, x: Tensor, axis: int, s: slice) -> Tensor:
    n = x.shape[axis]
    if s == slice(None):
        return x
    if type(n) is not Dim and not any(type(p) is Dim for p in (s.start, s.stop)):
        first, last, step = s.indices(n)
        count = len(range(first, last, step))
        least = np.iinfo(np.int64).min
        return g.slice(x, axis, first, least if last < 0 else last, step, count)
    step = 1 if s.step is None else s.step
    if step < 0:
        if s.start is None and s.stop is None and step == -1:
            return g.flip(x, axis)
        raise Refused(f"the slice {s} of an axis of symbolic size is not exported")
    start: Any = 0 if s.start is None else s.start
    stop: Any = n if s.stop is None else s.stop
    # ONNX counts from the end and stops at it as NumPy does; only the size is in question.
    low = start if type(start) is Dim or start >= 0 else n + start
    high = stop if type(stop) is Dim or stop >= 0 else n + stop
    size: Any = high - low if step == 1 else (high - low + (step - 1)) // step
    return g.slice(x, axis, start, stop, step, size)


def take(g: Writer, x: Tensor, key: Sequence[Any], arrays: Sequence[Any]) -> Tensor:
    """`x[key]` as NumPy has it, index arrays standing in the places of `"array"`."""
    if any(isinstance(a, Tensor) and a.dtype == BOOL for a in arrays):
        raise Refused("an index of booleans makes sizes that depend on data; use np.where")
    used = len([e for e in key if e is not None and e is not Ellipsis])
    more, rest, axis = x.ndim - used, iter(arrays), 0
    places: list[int] = []
    chosen: list[Tensor] = []
    axes: list[int] = []
    for place, entry in enumerate(key):
        if entry is Ellipsis:
            axis += more
        elif entry is None:
            x = g.unsqueeze(x, axis)
            axis += 1
        elif type(entry) is slice:
            x = _slice(g, x, axis, entry)
            axis += 1
        elif type(entry) is not str and not arrays:
            x = _slice(g, x, axis, slice(entry, entry + 1 if entry != -1 else None))
            x = Tensor(g, x.name, x.dtype, [1 if i == axis else n for i, n in enumerate(x.shape)])
            x = g.squeeze(x, axis)
        else:
            places.append(place)
            chosen.append(g.tensor(next(rest) if type(entry) is str else entry, INT))
            axes.append(axis)
            axis += 1
    if not chosen:
        return x
    return _advanced(g, x, chosen, axes, places == list(range(places[0], places[-1] + 1)))


def _advanced(
    g: Writer, x: Tensor, chosen: list[Tensor], axes: list[int], adjacent: bool
) -> Tensor:
    """The entries at index arrays along axes; their axes go to the front unless `adjacent`."""
    found = g.joined(*chosen)
    rest = [i for i in range(x.ndim) if i not in axes]
    if len(axes) == 1:
        out = g.node(
            "Gather",
            [x, chosen[0]],
            x.dtype,
            (*x.shape[: axes[0]], *found, *x.shape[axes[0] + 1 :]),
            axis=axes[0],
        )
        return out if adjacent else g.transpose(out, _to_front(axes[0], len(found), out.ndim))
    place: Any = g.constant(np.int64(0))
    for index, a in zip(chosen, axes):
        n = x.shape[a]
        count: Any = g.squeeze(g.size(n), 0) if type(n) is Dim else n
        place = place * count + g.where(index < 0, index + count, index)
    flat = g.transpose(x, [*axes, *rest])
    total: Any = 1
    for a in axes:
        total = total * x.shape[a]
    others = [x.shape[i] for i in rest]
    flat = g.reshape(flat, (total, *others))
    out = g.node("Gather", [flat, place], x.dtype, (*found, *others), axis=0)
    if adjacent and axes[0]:
        rank = len(found)
        order = [*range(rank, rank + axes[0]), *range(rank), *range(rank + axes[0], out.ndim)]
        out = g.transpose(out, order)
    return out


def _to_front(first: int, count: int, ndim: int) -> list[int]:
    moved = list(range(first, first + count))
    return [*moved, *[i for i in range(ndim) if i not in moved]]


def _index(g: Writer, x: Any, key: Any, fresh: bool = False) -> Tensor:
    return take(g, g.tensor(x), key, ())


def _gather(g: Writer, x: Any, *arrays: Any, key: Any, unique: bool = False) -> Tensor:
    return take(g, g.tensor(x), key, arrays)


# -- writes ----------------------------------------------------------------------------------------
def _total(shape: Sequence[Any]) -> Any:
    total: Any = 1
    for n in shape:
        total = total * n
    return total


def _places(g: Writer, shape: Sequence[Any], key: Any, arrays: Sequence[Any]) -> Tensor:
    """The positions that an index takes in the flattened array."""
    return take(g, g.reshape(g.range(_total(shape)), shape), key, arrays)


def _scattered(g: Writer, x: Tensor, places: Tensor, y: Tensor, reduction: str) -> Tensor:
    """`x`, flat, with `y` written or added at places."""
    if reduction == "max" and g.opset < 18:
        raise Refused("writes at index arrays need opset=18")
    count = _total(places.shape)
    y = g.reshape(g.expand(y, places.shape), (count,))
    dtype = x.dtype
    if dtype == BOOL:
        x, y = g.cast(x, INT), g.cast(y, INT)
    made = g.node(
        "ScatterElements",
        [x, g.reshape(places, (count,)), y],
        x.dtype,
        x.shape,
        axis=0,
        reduction=reduction,
    )
    return g.cast(made, dtype)


def _scatter(g: Writer, x: Any, *arrays: Any, key: Any, shape: Any, unique: bool = False) -> Tensor:
    x = g.tensor(x)
    zeros = g.expand(g.tensor(0, x.dtype), (_total(shape),))
    return g.reshape(_scattered(g, zeros, _places(g, shape, key, arrays), x, "add"), shape)


def _index_add(
    g: Writer, x: Any, y: Any, *arrays: Any, key: Any, unique: bool = False, in_place: bool = False
) -> Tensor:
    x = g.tensor(x)
    flat = g.reshape(x, (_total(x.shape),))
    places = _places(g, x.shape, key, arrays)
    return g.reshape(_scattered(g, flat, places, g.tensor(y, x.dtype), "add"), x.shape)


def _index_update(
    g: Writer, x: Any, y: Any, *arrays: Any, key: Any, unique: bool = False, in_place: bool = False
) -> Tensor:
    x = g.tensor(x)
    total = _total(x.shape)
    flat = g.reshape(x, (total,))
    places = _places(g, x.shape, key, arrays)
    y = g.expand(g.tensor(y, x.dtype), places.shape)
    if not arrays or unique:
        return g.reshape(_scattered(g, flat, places, y, "none"), x.shape)
    # ONNX leaves open which of several entries for one place stays; NumPy's is the last.
    count = _total(places.shape)
    places = g.reshape(places, (count,))
    order = g.range(count)
    room = g.expand(g.constant(np.int64(-1)), (total,))
    last = _scattered(g, room, places, order, "max")
    written = last >= 0
    source = maximum(g, last, 0)
    taken = g.node("Gather", [g.reshape(y, (count,)), source], x.dtype, (total,), axis=0)
    return g.reshape(g.where(written, taken, flat), x.shape)


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {
        "index": _index,
        "gather": _gather,
        "scatter": _scatter,
        "index_add": _index_add,
        "index_update": _index_update,
    }
