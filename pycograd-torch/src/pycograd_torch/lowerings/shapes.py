"""Views, joins, parts of tensors and writes into them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from pycograd_torch.dtypes import torch_dtype
from pycograd_torch.lowerings.common import Lowering, at, common, joined, of_tensors, tensors, whole


# -- views and joins -------------------------------------------------------------------------------
def _expand_dims(x: Any, axis: Any) -> Any:
    for a in sorted(axis if isinstance(axis, tuple) else (axis,)):
        x = x.unsqueeze(a)
    return x


def _squeeze(x: Any, axis: Any) -> Any:
    return x.squeeze(axis) if axis != () else x


def _concatenate(*xs: Any, axis: int) -> Any:
    return torch.cat(common(*xs), axis)


def _stack(*xs: Any, axis: int) -> Any:
    return torch.stack(common(*xs), axis)


def _split(x: Any, axis: int, sizes: Sequence[int]) -> tuple[Any, ...]:
    return tuple(torch.split(x, list(sizes), axis))


def _shift(x: Any, first: Any, axis: int, reverse: bool) -> Any:
    n = x.shape[axis]
    if n == 0:
        return x.clone()
    edge = torch.as_tensor(first, device=x.device).to(x.dtype)
    edge = edge.expand([1 if i == axis else m for i, m in enumerate(x.shape)])
    parts = [x.narrow(axis, 1, n - 1), edge] if reverse else [edge, x.narrow(axis, 0, n - 1)]
    return torch.cat(parts, axis)


def _pad(x: Any, value: Any, widths: Any) -> Any:
    sides = [n for pair in reversed(widths) for n in pair]
    if not isinstance(value, torch.Tensor) and not isinstance(value, complex):
        if x.dtype is torch.bool:
            return F.pad(x.to(torch.uint8), sides, value=int(bool(value))).to(torch.bool)
        return F.pad(x, sides, value=value)
    border = F.pad(torch.zeros(x.shape, dtype=torch.uint8, device=x.device), sides, value=1)
    value = torch.as_tensor(value, device=x.device).to(x.dtype)
    return torch.where(border.to(torch.bool), value, F.pad(x, sides))


def _embed_diagonal(x: Any, offset: int, rows: int, columns: int) -> Any:
    made = x.new_zeros((*x.shape[:-1], rows, columns))
    return torch.diagonal_scatter(made, x, offset, -2, -1)


# -- the parts of an index -------------------------------------------------------------------------
def _slice(x: Any, axis: int, s: slice) -> Any:
    """A slice of an axis; of a negative step from the far end, which is a copy."""
    step = 1 if s.step is None else s.step
    if step > 0:
        return x[at(axis, s)] if s != slice(None) else x
    if s.start is None and s.stop is None:
        return x.flip(axis)[at(axis, slice(None, None, -step))]
    start, stop, step = s.indices(x.shape[axis])
    count = len(range(start, stop, step))
    if not count:
        return x.narrow(axis, 0, 0)
    return x[at(axis, slice(start + (count - 1) * step, start + 1, -step))].flip(axis)


def _used(key: Sequence[Any], arrays: Sequence[Any]) -> int:
    """How many axes the entries of an index take."""
    rest = iter(arrays)
    used = 0
    for entry in key:
        if type(entry) is str:
            a = next(rest)
            used += a.ndim if a.dtype is torch.bool else 1
        elif entry is not None and entry is not Ellipsis:
            used += 1
    return used


def take(x: Any, key: Sequence[Any], arrays: Sequence[Any]) -> Any:
    """`x[key]` as NumPy has it, arrays standing in the places of `"array"`."""
    if len(key) == 1 and type(key[0]) is str and arrays[0].dtype is not torch.bool:
        return x[whole(arrays[0])] if arrays[0].ndim else x[whole(arrays[0]).reshape(1)][0]
    if len(arrays) == len(key) and _is_rows(key, arrays):
        return x[tuple([whole(a) for a in arrays])]
    more = x.ndim - _used(key, arrays)
    rest = iter(arrays)
    axis = 0
    places: list[int] = []  # entries of the key that are arrays, or ints beside arrays
    chosen: list[Any] = []
    axes: list[int] = []
    for place, entry in enumerate(key):
        if entry is Ellipsis:
            axis += more
        elif entry is None:
            x = x.unsqueeze(axis)
            axis += 1
        elif type(entry) is slice:
            x = _slice(x, axis, entry)
            axis += 1
        elif type(entry) is str:
            places.append(place)
            a = next(rest)
            if a.dtype is not torch.bool:
                found = [whole(a)]
            elif a.ndim:
                found = list(torch.nonzero(a, as_tuple=True))
            else:
                x, found = x.unsqueeze(axis), [torch.nonzero(a.reshape(1))[:, 0]]
            for index in found:
                chosen.append(index)
                axes.append(axis)
                axis += 1
        elif not arrays:
            x = x.select(axis, entry)
        else:
            places.append(place)
            chosen.append(torch.tensor(entry, device=x.device))
            axes.append(axis)
            axis += 1
    if not chosen:
        return x
    return _advanced(x, chosen, axes, places == list(range(places[0], places[-1] + 1)))


def _advanced(x: Any, chosen: list[Any], axes: list[int], adjacent: bool) -> Any:
    """The entries at index tensors along axes; their axes go to the front unless `adjacent`."""
    chosen = joined(*[c.to(x.device) for c in chosen])
    rank = chosen[0].ndim
    if not rank:  # torch takes single numbers for parts of a basic index
        chosen = [c.reshape(1) for c in chosen]
    order = [*axes, *[i for i in range(x.ndim) if i not in axes]]
    out = x.permute(order)[tuple(chosen)]
    if not rank:
        out = out[0]
    elif adjacent and axes[0]:
        out = torch.movedim(out, tuple(range(rank)), tuple(range(axes[0], axes[0] + rank)))
    return out


def _index(x: Any, key: Any, fresh: bool = False) -> Any:
    for entry in key:
        if type(entry) is slice and entry.step is not None and entry.step < 0:
            found = take(x, key, ())
            break
    else:
        found = x[key]
    return found.clone() if fresh else found


def _gather(x: Any, *arrays: Any, key: Any, unique: bool = False) -> Any:
    if arrays and _is_rows(key, arrays):
        return x[tuple([whole(a).to(x.device) for a in arrays])]
    return take(x, key, arrays)


# -- writes ----------------------------------------------------------------------------------------
def _places(shape: Sequence[int], key: Any, arrays: Sequence[Any], device: Any) -> Any:
    """The positions that an index takes in the flattened tensor."""
    numbers = torch.arange(math.prod(shape), device=device).reshape(tuple(shape))
    return take(numbers, key, arrays)


def _is_rows(key: Any, arrays: Sequence[Any]) -> bool:
    """True for an index of arrays alone, which torch's own writes take."""
    return all(type(entry) is str for entry in key) and not any(
        a.dtype is torch.bool or not a.ndim for a in arrays
    )


def _added(x: Any, y: Any, arrays: Sequence[Any], key: Any) -> Any:
    """`x` with `y` added at `key`, entries that are taken twice twice."""
    if arrays and _is_rows(key, arrays):
        return x.index_put(tuple([whole(a) for a in arrays]), y, accumulate=True)
    places = _places(x.shape, key, arrays, x.device)
    flat = x.reshape(-1)
    y = y.expand(places.shape).reshape(-1)
    return flat.index_put((places.reshape(-1),), y, accumulate=True).reshape(x.shape)


def _value(y: Any, x: Any) -> Any:
    return torch.as_tensor(y, device=x.device).to(x.dtype)


def _scatter(x: Any, *arrays: Any, key: Any, shape: Any, unique: bool = False) -> Any:
    x = tensors(x)[0]
    made = x.new_zeros(tuple(shape))
    return _added(made, x, arrays, key)


def _index_add(
    x: Any, y: Any, *arrays: Any, key: Any, unique: bool = False, in_place: bool = False
) -> Any:
    return _added(x, _value(y, x), arrays, key)


def _index_update(
    x: Any, y: Any, *arrays: Any, key: Any, unique: bool = False, in_place: bool = False
) -> Any:
    places = _places(x.shape, key, arrays, x.device)
    y = _value(y, x).expand(places.shape).reshape(-1)
    places, flat = places.reshape(-1), x.reshape(-1)
    if not arrays or unique:
        return flat.index_put((places,), y).reshape(x.shape)
    # Of several entries for one place the last is written, the others into a place that is cut off.
    order = torch.arange(places.shape[0], device=x.device)
    last = order.new_zeros(flat.shape).scatter_reduce(0, places, order, "amax")
    room = torch.cat([flat, flat.new_zeros(1)])
    target = torch.where(last[places] == order, places, flat.shape[0])
    return room.index_put((target,), y)[:-1].reshape(x.shape)


def _nonzero(x: Any) -> tuple[Any, ...]:
    return tuple(torch.nonzero(x, as_tuple=True))


def _positions(size: Any, dtype: Any) -> Any:
    return torch.arange(size, dtype=torch_dtype(dtype))


def _size(size: Any) -> Any:
    """A size as a tensor: in a trace of torch's it already is one."""
    return size if isinstance(size, torch.Tensor) else torch.full((), size, dtype=torch.int64)


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {
        "reshape": of_tensors(lambda x, shape: x.reshape(tuple(shape))),
        "transpose": lambda x, axes: x.permute(axes),
        "expand_dims": of_tensors(_expand_dims),
        "squeeze": _squeeze,
        "broadcast_to": of_tensors(lambda x, shape: x.expand(tuple(shape))),
        "copy": of_tensors(lambda x, order: x.clone()),
        "concatenate": _concatenate,
        "split": _split,
        "stack": _stack,
        "unstack": lambda x, axis: torch.unbind(x, axis),
        "shift": _shift,
        "pad": _pad,
        "diagonal": lambda x, offset: torch.diagonal(x, offset, -2, -1),
        "embed_diagonal": _embed_diagonal,
        "index": _index,
        "gather": _gather,
        "scatter": _scatter,
        "index_add": _index_add,
        "index_update": _index_update,
        "nonzero": _nonzero,
        "positions": _positions,
        "size": _size,
    }
