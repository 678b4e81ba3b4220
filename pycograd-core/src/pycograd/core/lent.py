"""Arrays that graphs hold on behalf of an owner, which may stand for something else by now.

A graph holds what a function closes over by reference. Of a parameter it holds a view that the
parameter lends it: where the parameter stands for a value of a transform (`weights.grad`), that
value takes the place of the array when the graph runs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from pycograd.core.tree import FRONTS

T = TypeVar("T")
_owners: dict[int, Callable[[], Any]] = {}  # id of a lent view -> its owner


def lend(owner: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A view of an array, to be held in the name of a front that lives as long as the view."""
    view = array.view()
    key = id(view)
    _owners[key] = weakref.ref(owner, lambda _: _owners.pop(key, None))
    return view


def is_lent(array: Any) -> bool:
    """True for what `lend` gave out."""
    return id(array) in _owners


def now(array: Any) -> Any:
    """What stands for an array: the value of its owner if it was lent, else the array itself."""
    owner = _owners.get(id(array))
    found = None if owner is None else owner()
    return array if found is None else FRONTS[type(found)](found)


def current(pairs: Iterable[tuple[T, Any]]) -> Iterable[tuple[T, Any]]:
    """The constants of a graph, as they are now."""
    return [(value, now(array)) for value, array in pairs] if _owners else pairs
