"""`np.pad`: a constant around a value is a primitive; the other modes take entries of the value."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, make_aval, shape_of
from pycograd.core.errors import ShapeError, UnsupportedOperationError, located
from pycograd.core.linear import Linear
from pycograd.core.primitive import bind
from pycograd.core.spelling import spells
from pycograd.ops.astype import converted
from pycograd.ops.shape import is_contiguous

Widths = tuple[tuple[int, int], ...]  # before and after, for every axis


def _inside(widths: Widths) -> tuple[Any, ...]:
    return tuple([slice(before, -after or None) for before, after in widths])


def _padded_shape(shape: Any, widths: Widths) -> tuple[Any, ...]:
    return tuple([before + n + after for n, (before, after) in zip(shape, widths)])


def _pad_impl(x: Any, value: Any, widths: Widths) -> Any:
    made = np.full(_padded_shape(shape_of(x), widths), value, dtype_of(x))
    made[_inside(widths)] = x
    return made


def _pull_value(ct: Any, x: Any, widths: Widths) -> Any:
    # The border alone: a difference of two sums would lose digits, and is nan if x holds an inf.
    border = np.pad(np.zeros(x.shape, bool), widths, constant_values=True)
    return np.sum(np.where(border, ct, 0))


def _pad_batch(size: int, values: Any, mapped: Any, widths: Widths) -> Any:
    x, value = values
    rank = len(widths)
    if not mapped[0]:
        x = np.broadcast_to(x, (size, *shape_of(x)))
    if not mapped[1]:
        return bind(_pad, (x, value), {"widths": ((0, 0), *widths)})
    border = np.pad(np.zeros(x.shape[1:], bool), widths, constant_values=True)
    around = bind(_pad, (x, 0), {"widths": ((0, 0), *widths)})
    return np.where(border, np.reshape(value, (size,) + (1,) * rank), around)


_pad = Linear(
    "pad",
    _pad_impl,
    operands=("x", "value"),
    transposes={"x": lambda ct, widths: ct[_inside(widths)], "value": _pull_value},
    shape=lambda x, value, widths: make_aval(_padded_shape(x.shape, widths), x.dtype),
    batch=_pad_batch,
)


@spells(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """The value with a border around it, of constants or made of its own entries."""
    if callable(mode):
        raise UnsupportedOperationError(
            "pad: a function as mode fills plain arrays in place, which cannot hold differentiated"
            " values; build the border with np.concatenate"
        )
    if mode not in _MODES:
        raise ValueError(f"pad: mode {mode!r} is not supported")
    border, keyword = _MODES[mode]
    if unknown := set(kwargs) - {keyword}:
        raise ValueError(f"pad: mode {mode!r} takes no {', '.join(sorted(unknown))}")
    widths = _widths(pad_width, len(array.shape))
    if mode == "constant":
        return _laid(_constant(array, widths, kwargs.get(keyword, 0)), array)
    whole = array
    for axis, around in enumerate(widths):
        if around != (0, 0):
            if array.shape[axis] == 0 and mode != "empty":
                raise ShapeError(f"pad: mode {mode!r} cannot extend the empty axis {axis}")
            array = border(array, axis, around, **kwargs)
    return _laid(array, whole)


def _laid(padded: Any, array: Any) -> Any:
    """In Fortran's order if the array is, as NumPy has it, else in C order."""
    if is_contiguous(array) or not is_contiguous(np.transpose(array)):
        return padded if is_contiguous(padded) else np.copy(padded, order="C")
    return np.copy(padded, order="F")


def _widths(pad_width: Any, ndim: int) -> Widths:
    if isinstance(pad_width, dict):  # axis -> width, since NumPy 2.3
        given = {axis % ndim: width for axis, width in pad_width.items()}
        rows = [given.get(axis, 0) for axis in range(ndim)]
        pad_width = [row if np.ndim(row) else (row, row) for row in rows]
    try:
        widths = tuple([(index(a), index(b)) for a, b in _pairs(pad_width, ndim)])
    except TypeError as error:
        raise TypeError(located(f"pad: a width is an integer, not in {pad_width!r}")) from error
    if any(n < 0 for pair in widths for n in pair):
        raise ShapeError(f"pad: a width cannot be negative: {pad_width}")
    return widths


def _pairs(values: Any, ndim: int) -> list[tuple[Any, Any]]:
    """Two entries for every axis, from one, a pair or a table of them, as NumPy reads those.

    The table holds positions and not the entries, which may be boxes.
    """
    entries: list[Any] = []

    def place(value: Any) -> Any:
        if isinstance(value, (list, tuple)) or np.ndim(value):
            return [place(v) for v in value]
        entries.append(value)
        return len(entries) - 1

    try:
        table = np.asarray(place(values))
    except ValueError as error:
        raise _no_pairs(values, ndim) from error
    if table.size <= 2 and table.shape != (2, 1):
        table = table.ravel()
    try:
        pairs = np.broadcast_to(table, (ndim, 2)).tolist()
    except ValueError as error:
        raise _no_pairs(values, ndim) from error
    return [(entries[a], entries[b]) for a, b in pairs]


def _no_pairs(values: Any, ndim: int) -> ShapeError:
    return ShapeError(f"pad: {values!r} is no pair for each of {ndim} axes, nor one for all")


# -- constants -----------------------------------------------------------------------------------
def _constant(x: Any, widths: Widths, values: Any) -> Any:
    pairs = _pairs(values, len(widths))
    if not pairs or all(v is pairs[0][0] for pair in pairs for v in pair):
        return _bordered(x, widths, pairs[0][0] if pairs else 0)
    for axis, ((before, after), (low, high)) in enumerate(zip(widths, pairs)):
        none = ((0, 0),)
        lead, rest = none * axis, none * (len(widths) - axis - 1)
        x = _bordered(x, (*lead, (before, 0), *rest), low)
        x = _bordered(x, (*lead, (0, after), *rest), high)
    return x


def _bordered(x: Any, widths: Widths, value: Any) -> Any:
    return bind(_pad, (x, converted(value, x.dtype)), {"widths": widths})


# -- borders made of entries: each takes the value, the axis and the widths before and after it --
def _at(axis: int, place: Any) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, place)


def _empty(x: Any, axis: int, around: tuple[int, int]) -> Any:
    none = ((0, 0),)
    return _bordered(x, (*none * axis, around, *none * (len(x.shape) - axis - 1)), 0)


def _moved(mode: str) -> Any:
    """Entries that stand elsewhere: where, NumPy says when it pads their positions."""

    def border(x: Any, axis: int, around: tuple[int, int], reflect_type: str = "even") -> Any:
        n = index(x.shape[axis])
        if reflect_type == "odd" and n > 1:
            return _oddly(x, axis, around, mode == "symmetric")
        return np.take(x, np.pad(np.arange(n), around, mode=mode), axis)  # type: ignore[call-overload]

    return border


def _oddly(x: Any, axis: int, around: tuple[int, int], edge: bool) -> Any:
    """`2 * edge entry - reflected`, again and again while the border is wider than that reaches."""
    (before, after), period = around, x.shape[axis] - (not edge)
    while before or after:
        reach = (x.shape[axis] - (not edge)) // period * period
        low, high = min(before, reach), min(after, reach)
        start, stop = 1 - edge, x.shape[axis] - (not edge)
        first, last = x[_at(axis, slice(0, 1))], x[_at(axis, slice(-1, None))]
        left = 2 * first - np.flip(x[_at(axis, slice(start, start + low))], axis)
        right = 2 * last - np.flip(x[_at(axis, slice(stop - high, stop))], axis)
        x = np.concatenate((left, x, right), axis)
        before, after = before - low, after - high
    return x


def _statistic(function: Any) -> Any:
    def border(x: Any, axis: int, around: tuple[int, int], stat_length: Any = None) -> Any:
        n = index(x.shape[axis])
        low, high = [n if k is None else min(n, k) for k in _pairs(stat_length, len(x.shape))[axis]]
        sides = []
        for part, width in zip((slice(0, low), slice(n - high, n)), around):
            value = function(x[_at(axis, part)], axis=axis, keepdims=True)
            if x.dtype.kind in "iu":
                value = np.round(value)
            shape = (*x.shape[:axis], width, *x.shape[axis + 1 :])
            sides.append(np.broadcast_to(converted(value, x.dtype), shape))
        return np.concatenate((sides[0], x, sides[1]), axis)

    return border


def _ramp(x: Any, axis: int, around: tuple[int, int], end_values: Any = 0) -> Any:
    low, high = [
        np.linspace(end, x[_at(axis, edge)], width, endpoint=False, dtype=x.dtype, axis=axis)
        for end, edge, width in zip(_pairs(end_values, len(x.shape))[axis], (0, -1), around)
    ]
    return np.concatenate((low, x, np.flip(high, axis)), axis)


# mode -> (what makes the border, the keyword it takes)
_MODES: dict[str, tuple[Any, str]] = {
    "constant": (None, "constant_values"),
    "empty": (_empty, ""),
    "edge": (_moved("edge"), ""),
    "wrap": (_moved("wrap"), ""),
    "reflect": (_moved("reflect"), "reflect_type"),
    "symmetric": (_moved("symmetric"), "reflect_type"),
    "maximum": (_statistic(np.max), "stat_length"),
    "minimum": (_statistic(np.min), "stat_length"),
    "mean": (_statistic(np.mean), "stat_length"),
    "median": (_statistic(np.median), "stat_length"),
    "linear_ramp": (_ramp, "end_values"),
}
