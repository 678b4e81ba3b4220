"""Entries moved or repeated: flips, rolls, tiles; written in NumPy over views and joins."""

from __future__ import annotations

import math
from operator import index
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import shape_of
from pycograd.core.box import Box
from pycograd.core.errors import ShapeError
from pycograd.core.spelling import spells
from pycograd.core.views import lying_as, own
from pycograd.ops.astype import duplicate
from pycograd.ops.axes import axes_of, axis_of
from pycograd.ops.shape import sizes_of

_BACKWARDS = slice(None, None, -1)


def _fresh(made: Any) -> Any:
    """`made` by reshaping, where NumPy makes a copy: it is no view of anything."""
    return own(made) if isinstance(made, Box) else made


# -- reversed and turned -------------------------------------------------------------------------
@spells(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """The entries in reverse order along some or all axes; a view."""
    axes = axes_of(axis, len(m.shape), "flip")
    return m[tuple([_BACKWARDS if i in axes else slice(None) for i in range(len(m.shape))])]


@spells(np.flipud)
def flipud(m: Any) -> Any:
    """The entries in reverse order along the first axis."""
    return flip(m, 0)


@spells(np.fliplr)
def fliplr(m: Any) -> Any:
    """The entries in reverse order along the second axis."""
    return flip(m, 1)


@spells(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Turned by k quarters of a circle in the plane of two axes."""
    here = axes_of(tuple(axes), len(m.shape), "rot90")
    if len(here) != 2:
        raise ShapeError(f"rot90: {axes} are not two axes")
    first, second = here
    turns = k % 4
    if turns == 0:
        return m[...]
    if turns == 2:
        return flip(m, here)
    if turns == 1:
        return np.swapaxes(flip(m, second), first, second)
    return flip(np.swapaxes(m, first, second), second)


@spells(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """The entries moved along, those that leave at one end coming back at the other."""
    if axis is None:
        return _fresh(np.reshape(roll(np.ravel(a), shift, 0), a.shape))
    by = [0] * len(a.shape)
    for n, i in np.broadcast(shift, axis):
        by[axis_of(i, len(a.shape), "roll")] += index(n)
    rolled = a
    for i, (n, length) in enumerate(zip(by, a.shape)):
        if type(length) is int:
            n = n % length if length else 0
        if n:
            lead = (slice(None),) * i
            tail, head = rolled[(*lead, slice(-n, None))], rolled[(*lead, slice(None, -n))]
            rolled = np.concatenate((tail, head), i)
    return duplicate(a) if rolled is a else lying_as(rolled, a)


# -- repeated ------------------------------------------------------------------------------------
@spells(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Every entry several times in a row: all alike, or as many times as an array says."""
    if axis is None:
        a, axis = np.ravel(a), 0
    axis = axis_of(axis, len(a.shape), "repeat")
    counts = np.asarray(repeats)
    if counts.size != 1:
        if type(a.shape[axis]) is int and counts.shape != (a.shape[axis],):
            raise ShapeError(
                f"repeat: {counts.size} counts do not fit axis {axis} of a value of shape {a.shape}"
            )
        return np.take(a, np.repeat(np.arange(counts.size), counts), axis)
    times, have = index(counts.item()), a.shape
    if times < 0:
        raise ValueError("repeat: counts must not be negative")
    spread = (*have[: axis + 1], times, *have[axis + 1 :])
    wide = np.broadcast_to(np.expand_dims(a, axis + 1), spread)
    return _fresh(np.reshape(wide, (*have[:axis], have[axis] * times, *have[axis + 1 :])))


@spells(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """The whole value repeated, `reps` times along each axis."""
    times = tuple(index(n) for n in (reps if np.iterable(reps) else (reps,)))
    ndim = max(len(A.shape), len(times))
    have = (1,) * (ndim - len(A.shape)) + A.shape
    times = (1,) * (ndim - len(times)) + times
    single = np.reshape(A, tuple([n for size in have for n in (1, size)]))
    wide = np.broadcast_to(single, tuple([n for pair in zip(times, have) for n in pair]))
    return _fresh(np.reshape(wide, tuple([n * size for n, size in zip(times, have)])))


@spells(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """Another shape, filled by all entries over and over."""
    want = sizes_of(new_shape)
    total, have = math.prod(want), math.prod(a.shape)
    if any(n < 0 for n in want):
        raise ShapeError(f"resize: sizes must not be negative: {want}")
    if total == 0 or have == 0:
        return np.zeros_like(a, shape=want)
    return _fresh(np.reshape(np.take(np.ravel(a), np.arange(total) % have), want))


# -- more axes, common shapes --------------------------------------------------------------------
def _each(function: Any, arrays: Any) -> Any:
    made = [function(x if isinstance(x, Box) else np.asanyarray(x)) for x in arrays]
    return made[0] if len(made) == 1 else tuple(made)


@spells(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    """Values with at least one axis."""
    return _each(lambda x: x if x.shape else np.expand_dims(x, 0), arys)


@spells(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    """Values with at least two axes, new ones in front."""
    new = ((0, 1), (0,))
    return _each(lambda x: x if len(x.shape) > 1 else np.expand_dims(x, new[len(x.shape)]), arys)


@spells(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    """Values with at least three axes; a 1-d value becomes the middle one."""
    new = ((0, 1, 2), (0, 2), (2,))
    return _each(lambda x: x if len(x.shape) > 2 else np.expand_dims(x, new[len(x.shape)]), arys)


@spells(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """The values in the shape they broadcast to; read-only where entries repeat."""
    shape = sizes.broadcast(*[shape_of(x) for x in args], operation="broadcast_arrays")
    return tuple([x if shape_of(x) == shape else np.broadcast_to(x, shape) for x in args])


@spells(np.meshgrid)
def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Any, ...]:
    """The coordinates of the points of a grid, one value for each of its axes."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing is 'xy' or 'ij', not {indexing!r}")
    n = len(xi)
    grids: list[Any] = [
        np.reshape(x, (1,) * i + (-1,) + (1,) * (n - 1 - i)) for i, x in enumerate(xi)
    ]
    if indexing == "xy" and n > 1:
        grids = [np.swapaxes(x, 0, 1) for x in grids]
    made = grids if sparse else list(np.broadcast_arrays(*grids))
    return tuple([np.copy(x) if copy else x for x in made])
