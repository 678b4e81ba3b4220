"""NumPy's blind functions on boxes: makers of arrays, lists for arrays, `np.r_`, `np.vectorize`.

Each does what the original does where no differentiated value is involved, errors included.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core.box import Box
from pycograd.core.fillable import fillable, settled_tree

Function = Callable[..., Any]


def holds_box(x: Any) -> bool:
    """True for a box, and for nested lists with one in them."""
    if type(x) is list or type(x) is tuple:
        return any([holds_box(v) for v in x])
    return isinstance(x, Box)


def box_in(x: Any) -> Any:
    """The box of the innermost transform in nested lists; None without any."""
    if type(x) is list or type(x) is tuple:
        found = [box for box in map(box_in, x) if box is not None]
        return max(found, key=lambda box: box._trace.level) if found else None
    return x if isinstance(x, Box) else None


def gatherer(function: Function, storing: bool) -> Function:
    """A function that makes an array of what it is given."""
    copies = function is np.array

    def gather(object: Any, *args: Any, **kwargs: Any) -> Any:
        given, object = object, settled_tree(object)
        if "like" in kwargs:
            return function(object, *args, **kwargs)
        box = box_in(object)
        if box is not None:
            return function(object, *args, **kwargs, like=box)
        if given is not object and not copies and not isinstance(given, (list, tuple)):
            return given if not (args or kwargs) else function(given, *args, **kwargs)
        made = function(object, *args, **kwargs)
        fresh = isinstance(object, (list, tuple)) or (copies and kwargs.get("copy", True))
        return fillable(made) if storing and fresh else made

    return functools.update_wrapper(gather, function)


def fromiter(storing: bool) -> Function:
    """`np.fromiter`, of boxes too."""

    def make(iter: Any, dtype: Any, count: int = -1, **kwargs: Any) -> Any:
        values = [settled_tree(v) for v in iter]
        if (box := box_in(values)) is not None:
            return np.array(values if count < 0 else values[:count], dtype, like=box)
        made = np.fromiter(values, dtype, count, **kwargs)
        return fillable(made) if storing else made

    return functools.update_wrapper(make, np.fromiter)


def maker(function: Function) -> Function:
    """A function whose result may be filled with boxes."""

    def make(*args: Any, **kwargs: Any) -> Any:
        made = function(*args, **kwargs)
        if type(made) is np.ndarray and made.base is not None:
            made = made.copy()  # linspace gives a part of what it has made
        return fillable(made)

    return functools.update_wrapper(make, function)


def full(storing: bool) -> Function:
    """`np.full`, of a box too."""

    def make(shape: Any, fill_value: Any, *args: Any, **kwargs: Any) -> Any:
        fill_value = settled_tree(fill_value)
        if (box := box_in(fill_value)) is not None and "like" not in kwargs:
            if not isinstance(fill_value, Box):
                fill_value = np.array(fill_value, like=box)
            return np.full(shape, fill_value, *args, **kwargs, like=box)
        made = np.full(shape, fill_value, *args, **kwargs)
        return fillable(made) if storing else made

    return functools.update_wrapper(make, np.full)


def full_like(storing: bool) -> Function:
    """`np.full_like`, of a box too."""
    make_full = full(storing)

    def make(
        a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True,
        shape: Any = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        a = settled_tree(a)
        if isinstance(a, Box) or not holds_box(settled_tree(fill_value)):
            made = np.full_like(a, fill_value, dtype, order, subok, shape, **kwargs)
            return fillable(made) if storing else made
        a = np.asarray(a)
        return make_full(a.shape if shape is None else shape, fill_value, dtype or a.dtype)

    return functools.update_wrapper(make, np.full_like)


def take(a: Any, indices: Any, *args: Any, **kwargs: Any) -> Any:
    """`np.take`, which does not ask the places."""
    if isinstance(indices, Box) and not isinstance(a, Box):
        a = np.asarray(a, like=indices)
    return np.take(a, indices, *args, **kwargs)


class Joiner:
    """`np.r_` and `np.c_`, which join what stands in brackets."""

    def __init__(self, original: Any, directive: tuple[int, int, int]) -> None:
        self._original, self._directive = original, directive

    def __getitem__(self, key: Any) -> Any:
        entries = list(key) if type(key) is tuple else [key]
        entries = [settled_tree(x) for x in entries]
        if not holds_box(entries):
            return self._original[tuple(entries) if type(key) is tuple else entries[0]]
        axis, least, at = self._directive
        if isinstance(entries[0], str):
            parts = [int(part) for part in entries.pop(0).split(",")]
            axis, least, at = (*parts, *(0, 1, -1)[len(parts) :])
        return np.concatenate([self._raised(x, least, at) for x in entries], axis)

    def _raised(self, x: Any, least: int, at: int) -> Any:
        """`x` with at least so many axes, its own beginning `at` among them."""
        if isinstance(x, slice):
            x = np.r_[x]
        box = box_in(x)
        x = np.asarray(x) if box is None else np.asarray(x, like=box)
        own, missing = len(x.shape), max(least - len(x.shape), 0)
        x = np.reshape(x, (1,) * missing + x.shape)
        if not (own and missing):
            return x
        first = at + missing + 1 if at < 0 else at
        axes = range(least)
        return np.transpose(x, (*axes[:first], *axes[missing:], *axes[first:missing]))

    def __len__(self) -> int:
        return 0


class Vectorize(np.vectorize):
    """`np.vectorize` whose function may be given boxes, one entry at a time."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = tuple([settled_tree(x) for x in args])
        if not any([holds_box(x) for x in (*args, *kwargs.values())]):
            return super().__call__(*args, **kwargs)
        if self.signature is not None or self.excluded or kwargs:
            raise TypeError(
                "np.vectorize with signature=, excluded= or keywords is not for differentiated"
                " values; write pycograd.vmap(f)"
            )
        boxes = [_array(x) for x in args]
        shape = np.broadcast_shapes(*[x.shape for x in boxes])
        flat = [np.ravel(np.broadcast_to(x, shape)) for x in boxes]
        rows = [self.pyfunc(*entries) for entries in zip(*flat)]
        if rows and isinstance(rows[0], tuple):
            return tuple([np.reshape(_array(list(column)), shape) for column in zip(*rows)])
        return np.reshape(_array(rows), shape)


def _array(x: Any) -> Any:
    x = settled_tree(x)
    box = box_in(x)
    return np.asarray(x) if box is None else np.asarray(x, like=box)


class WithLists:
    """A NumPy callable that takes lists of boxes for arrays."""

    __slots__ = ("_function",)

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        for x in args:
            kind = type(x)
            if (kind is list or kind is tuple) and holds_box(x):
                args = tuple([_array(v) if holds_box(v) else v for v in args])
                break
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __repr__(self) -> str:
        return repr(self._function)
