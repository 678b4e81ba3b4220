"""Views and joins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.plugins.api import Dim
from pycograd_onnx.writer import BOOL, INT, Refused, Tensor, Writer

Lowering = Callable[..., Any]


def _expand_dims(g: Writer, x: Any, axis: Any) -> Tensor:
    axes = axis if isinstance(axis, tuple) else (axis,)
    return g.unsqueeze(g.tensor(x), *axes) if axes else g.tensor(x)


def _squeeze(g: Writer, x: Any, axis: Any) -> Tensor:
    return g.squeeze(g.tensor(x), *axis)


def _concatenate(g: Writer, *xs: Any, axis: int) -> Tensor:
    return g.concat(xs, axis)


def _stack(g: Writer, *xs: Any, axis: int) -> Tensor:
    return g.concat([g.unsqueeze(x, axis) for x in g.common(*xs)], axis)


def _split(g: Writer, x: Any, axis: int, sizes: Sequence[Any]) -> list[Tensor]:
    x, start, parts = g.tensor(x), 0, []
    for n in sizes:
        parts.append(g.part(x, axis, start, start + n))
        start = start + n
    return parts


def _unstack(g: Writer, x: Any, axis: int) -> list[Tensor]:
    x = g.tensor(x)
    return [g.squeeze(g.part(x, axis, i, i + 1), axis) for i in range(x.shape[axis])]


def _shift(g: Writer, x: Any, first: Any, axis: int, reverse: bool) -> Tensor:
    x = g.tensor(x)
    n = x.shape[axis]
    if n == 0:
        return x  # type: ignore[no-any-return]
    edge = g.expand(
        g.tensor(first, x.dtype), [1 if i == axis else m for i, m in enumerate(x.shape)]
    )
    if reverse:
        return g.concat([g.part(x, axis, 1, n), edge], axis)
    return g.concat([edge, g.part(x, axis, 0, n - 1)], axis)


def _pad(g: Writer, x: Any, value: Any, widths: Any) -> Tensor:
    x = g.tensor(x)
    dtype = x.dtype
    x, value = (g.cast(x, INT), g.cast(g.tensor(value, BOOL), INT)) if dtype == BOOL else (x, value)
    value = g.tensor(value, x.dtype)
    shape = [n + before + after for n, (before, after) in zip(x.shape, widths)]
    before = [g.size(w[0]) for w in widths]
    after = [g.size(w[1]) for w in widths]
    pads = [*before, *after]
    if not pads:
        return g.cast(x, dtype)
    joined = g.node("Concat", pads, INT, (len(pads),), axis=0)
    value = g.reshape(value, ()) if value.shape else value
    return g.cast(g.node("Pad", [x, joined, value], x.dtype, shape), dtype)


def _diagonal(g: Writer, x: Any, offset: int) -> Tensor:
    """Of the last two axes, which become one."""
    x = g.tensor(x)
    rows, columns = known(x.shape[-2:], "diagonal")
    i = np.arange(max(0, min(rows + min(0, offset), columns - max(0, offset))))
    places = (i + max(0, -offset)) * columns + i + max(0, offset)
    flat = g.reshape(x, (*x.shape[:-2], rows * columns))
    return g.node(
        "Gather", [flat, g.constant(places)], x.dtype, (*x.shape[:-2], len(i)), axis=x.ndim - 2
    )


def _embed_diagonal(g: Writer, x: Any, offset: int, rows: int, columns: int) -> Tensor:
    """A matrix that is zero but for one diagonal."""
    x = g.tensor(x)
    (n,) = known(x.shape[-1:], "embed_diagonal")
    # A choice by index, so that nan and inf stay on the diagonal; entry n is a zero.
    taken = np.full((rows, columns), n)
    i = np.arange(n)
    taken[i + max(0, -offset), i + max(0, offset)] = i
    zero = g.expand(g.tensor(0, x.dtype), (*x.shape[:-1], 1))
    room = g.concat([x, zero], x.ndim - 1)
    flat = g.node(
        "Gather",
        [room, g.constant(taken.reshape(-1))],
        x.dtype,
        (*x.shape[:-1], rows * columns),
        axis=x.ndim - 1,
    )
    return g.reshape(flat, (*x.shape[:-1], rows, columns))


def known(sizes: Sequence[Any], name: str) -> list[int]:
    """Sizes that have to be numbers."""
    if any(type(n) is Dim for n in sizes):
        raise Refused(f"{name} of an axis of symbolic size is not exported; give it a number")
    return [int(n) for n in sizes]


def _positions(g: Writer, size: Any, dtype: Any) -> Tensor:
    return g.cast(size if isinstance(size, Tensor) else g.range(size), g.inner(dtype))


def _size(g: Writer, size: Any) -> Tensor:
    return g.squeeze(g.size(size), 0)


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {
        "reshape": lambda g, x, shape: g.reshape(g.tensor(x), shape),
        "transpose": lambda g, x, axes: g.transpose(g.tensor(x), axes),
        "expand_dims": _expand_dims,
        "squeeze": _squeeze,
        "broadcast_to": lambda g, x, shape: g.expand(g.tensor(x), shape),
        "copy": lambda g, x, order: g.tensor(x),
        "concatenate": _concatenate,
        "stack": _stack,
        "split": _split,
        "unstack": _unstack,
        "shift": _shift,
        "pad": _pad,
        "diagonal": _diagonal,
        "embed_diagonal": _embed_diagonal,
        "positions": _positions,
        "size": _size,
    }
