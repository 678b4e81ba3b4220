"""Differences of neighbouring samples: `np.gradient` and `np.unwrap`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import FLOAT64, dtype_of, is_inexact, shape_of
from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.errors import ShapeError
from pycograd.core.fit import cast
from pycograd.core.spelling import spells
from pycograd.core.views import lying_as
from pycograd.ops.axes import axes_of, axis_of
from pycograd.ops.join import as_arrays


# -- gradient --------------------------------------------------------------------------------------
@spells(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes along axes: central differences inside, one-sided ones of `edge_order` at the ends.

    Differentiable in `f`, in the spacings, and in coordinates.
    """
    (f,) = as_arrays([f])
    axes = axes_of(axis, len(f.shape), "gradient")
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order must be 1 or 2, not {edge_order}")
    dtype = dtype_of(f) if is_inexact(dtype_of(f)) else FLOAT64
    if dtype_of(f).kind in "iub":
        f = cast(f, FLOAT64)  # whose differences do not wrap around
    for i in axes:
        if not isinstance(f.shape[i], Dim) and f.shape[i] <= edge_order:
            raise ShapeError(
                f"gradient: axis {i} of shape {f.shape} is too short; edge_order={edge_order} needs"
                f" {edge_order + 1} samples"
            )
    spacings = _spacings(f, varargs, axes)
    made = [cast(_slopes(f, i, h, edge_order), dtype) for i, h in zip(axes, spacings)]
    return made[0] if len(made) == 1 else tuple(made)


def _spacings(f: Any, given: Sequence[Any], axes: Sequence[int]) -> list[Any]:
    """For each axis the distance of all neighbours, or a list of the distances."""
    parts: list[Any] = [x if isinstance(x, (int, float)) else as_arrays([x])[0] for x in given]
    if not parts:
        return [1.0] * len(axes)
    if len(parts) == 1 and shape_of(parts[0]) == ():
        return parts * len(axes)
    if len(parts) != len(axes):
        raise TypeError(f"gradient: {len(parts)} spacings for {len(axes)} axes")
    found: list[Any] = []
    for i, x in zip(axes, parts):
        if shape_of(x) == ():
            found.append(x)
            continue
        if len(x.shape) != 1:
            raise ValueError("gradient: spacings are numbers or arrays of one axis")
        try:
            sizes.same_size(x.shape[0], f.shape[i], "gradient")
        except ShapeError as error:
            raise ShapeError(
                f"gradient: {x.shape[0]} coordinates for axis {i} of shape {f.shape}"
            ) from error
        distances = np.diff(cast(x, FLOAT64) if dtype_of(x).kind in "iub" else x)
        if not isinstance(distances, Box) and (distances == distances[0]).all():
            distances = distances[0]  # as NumPy does, which shows in the last digit
        found.append(distances)
    return found


def _slopes(f: Any, axis: int, h: Any, edge_order: int) -> Any:
    def at(start: int, stop: int | None) -> Any:
        return f[(slice(None),) * axis + (slice(start, stop),)]

    def sample(i: int) -> Any:
        return np.expand_dims(f[(slice(None),) * axis + (i,)], axis)

    before, here, after = at(0, -2), at(1, -1), at(2, None)
    ends = [
        [sample(i) for i in range(edge_order + 1)],
        [sample(-i) for i in range(1, edge_order + 2)],
    ]
    if shape_of(h) == ():
        inside = (after - before) / (2.0 * h)
        first, last = h, h
        pairs = [(h, h), (h, h)]
    else:
        rest = (-1,) + (1,) * (len(f.shape) - axis - 1)
        left: Any = np.reshape(h[:-1], rest)
        right: Any = np.reshape(h[1:], rest)
        # The parabola through three points (Fornberg 1988).
        inside = (
            -right / (left * (left + right)) * before
            + (right - left) / (left * right) * here
            + left / (right * (left + right)) * after
        )
        first, last = h[0], h[-1]
        pairs = [(h[0], h[1]), (h[-1], h[-2])] if edge_order == 2 else []
    if edge_order == 1:
        edges = [(ends[0][1] - ends[0][0]) / first, (ends[1][0] - ends[1][1]) / last]
    else:
        edges = [
            _at_the_end(a, b, c, p, q) * sign
            for sign, (a, b, c), (p, q) in zip((1, -1), ends, pairs)
        ]
    return lying_as(np.concatenate([edges[0], inside, edges[1]], axis), f)


def _at_the_end(a: Any, b: Any, c: Any, p: Any, q: Any) -> Any:
    """The slope at the first of three samples that are `p` and `q` apart."""
    return b * (p + q) / (p * q) - a * (2.0 * p + q) / (p * (p + q)) - c * p / (q * (p + q))


# -- unwrap ----------------------------------------------------------------------------------------
@spells(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """Angles with their jumps of whole periods taken out.

    Each is itself and some whole number of periods, so its derivative in `p` is 1.
    """
    (p,) = as_arrays([p])
    axis = axis_of(axis, len(p.shape), "unwrap")
    jumps = np.diff(p, axis=axis)
    if discont is None:
        discont = period / 2
    dtype = np.result_type(jumps, period) if not isinstance(period, Box) else (jumps + period).dtype
    if dtype.kind in "iu":
        high, rest = divmod(period, 2)
        ambiguous = rest == 0
    else:
        high, ambiguous = period / 2, True
    wrapped = (jumps + high) % period - high
    if ambiguous:
        wrapped = np.where((wrapped == -high) & (jumps > 0), wrapped + period, wrapped)
    turns = np.where(np.abs(jumps) < discont, 0, wrapped - jumps)
    lead = (slice(None),) * axis
    first, rest = cast(p[(*lead, slice(0, 1))], dtype), p[(*lead, slice(1, None))]
    return np.concatenate([first, cast(rest + np.cumsum(turns, axis=axis), dtype)], axis)
