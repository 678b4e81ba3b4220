"""Functions that call a function of the user's on parts of a value, and what NumPy makes of one.

`np.frompyfunc(f, n, m)(x)` calls `f` on each entry, here on boxes of one entry, whose results are
put together. A program that needs speed writes `f` for whole arrays, or `vmap(f)`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from operator import index
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import shape_of
from pycograd.core.box import Box, unsupported
from pycograd.core.dims import Dim
from pycograd.core.errors import SymbolicSizeError
from pycograd.core.spelling import UFUNC_METHODS, claim, spells
from pycograd.core.views import lying_as
from pycograd.ops.axes import axis_of
from pycograd.ops.join import as_arrays


def _places(shape: Sequence[Any], operation: str) -> list[tuple[int, ...]]:
    if any(isinstance(n, Dim) for n in shape):
        raise SymbolicSizeError(
            f"{operation}: it calls a function once for each entry of {tuple(shape)}, whose number"
            " must be known"
        )
    return list(itertools.product(*[range(index(n)) for n in shape]))


# -- along axes ------------------------------------------------------------------------------------
@spells(np.apply_along_axis)
def apply_along_axis(
    func1d: Callable[..., Any], axis: Any, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    """`func1d` of each line along an axis; the axes of what it returns stand in its place."""
    (arr,) = as_arrays([arr])
    axis = axis_of(index(axis), len(arr.shape), "apply_along_axis")
    lines = np.moveaxis(arr, axis, -1)
    rest = lines.shape[:-1]
    places = _places(rest, "apply_along_axis")
    if not places:
        raise ValueError("apply_along_axis: there are no lines, so the result has no shape")
    made = as_arrays([func1d(lines[place], *args, **kwargs) for place in places])
    joined = np.reshape(np.stack(made), (*rest, *made[0].shape))
    before, ndim = len(rest), len(made[0].shape)
    return np.moveaxis(joined, tuple(range(before, before + ndim)), tuple(range(axis, axis + ndim)))


@spells(np.apply_over_axes)
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """`func(a, axis)` for one axis after the other, an axis that it removes being put back."""
    (value,) = as_arrays([a])
    for axis in np.ravel(axes).tolist():
        axis = axis_of(axis, len(shape_of(a)), "apply_over_axes")
        (made,) = as_arrays([func(value, axis)])
        if len(made.shape) != len(value.shape):
            made = np.expand_dims(made, axis)
            if len(made.shape) != len(value.shape):
                raise ValueError(
                    "apply_over_axes: the function must return a value with as many axes as it was"
                    " given, or one less"
                )
        value = made
    return value


@spells(np.ix_)
def ix_(*args: Any) -> tuple[Any, ...]:
    """The index arrays that take every combination of positions."""
    made: list[Any] = []
    for k, x in enumerate(as_arrays(args)):
        if len(x.shape) != 1:
            raise ValueError("Cross index must be 1 dimensional")
        if x.dtype.kind == "b":
            (x,) = np.nonzero(x)
        elif x.shape[0] == 0:
            x = np.zeros(0, np.intp)
        made.append(np.reshape(x, (1,) * k + (-1,) + (1,) * (len(args) - k - 1)))
    return tuple(made)


# -- entry by entry --------------------------------------------------------------------------------
def _from_python(ufunc: Any) -> Callable[..., Any]:
    """What runs a ufunc that no operation has claimed: one of `np.frompyfunc`, or none at all."""
    if ufunc.types != [f"{'O' * ufunc.nin}->{'O' * ufunc.nout}"]:
        raise unsupported(ufunc)
    return lambda *operands: _each_entry(ufunc, operands)


def _each_entry(ufunc: Any, operands: Sequence[Any]) -> Any:
    """`np.frompyfunc(f, n, m)` of values of which some are boxes."""
    operands = [x if isinstance(x, Box) else np.asarray(x) for x in operands]
    shape = sizes.broadcast(*[x.shape for x in operands], operation="frompyfunc")
    operands = [np.broadcast_to(x, shape) for x in operands]
    entries: list[Any] = [np.empty(1, object) for _ in operands]
    found = []
    for place in _places(shape, "frompyfunc"):
        for holder, x in zip(entries, operands):
            holder[0] = x[place]
        results = ufunc(*entries)
        found.append([r[0] for r in (results if ufunc.nout > 1 else (results,))])
    if not found:
        raise ValueError(f"{ufunc.__name__}: of no entries the dtype of the result is not known")
    joined: list[Any] = [np.reshape(np.stack(as_arrays(column)), shape) for column in zip(*found)]
    made = [lying_as(x, operands[0]) for x in joined]
    return tuple(made) if ufunc.nout > 1 else made[0]


claim(UFUNC_METHODS, "frompyfunc", _from_python)
