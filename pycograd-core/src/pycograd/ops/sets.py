"""Arrays as sets: which entries they share. What is found is taken from the arrays themselves.

The results have as many entries as the data ask for; a cotangent goes to the entry that was taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of
from pycograd.core.spelling import spells
from pycograd.ops.gather import take
from pycograd.ops.join import as_arrays


def _line(x: Any) -> Any:
    (x,) = as_arrays([x])
    return np.ravel(x)


def _joined(a: Any, b: Any) -> Any:
    return np.concatenate([a, b])


@spells(np.union1d)
def union1d(ar1: Any, ar2: Any) -> Any:
    """The different entries of both, in order."""
    return np.unique(_joined(_line(ar1), _line(ar2)))


@spells(np.intersect1d)
def intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    """The entries that are in both, in order; they are taken from the first."""
    a, b = _line(ar1), _line(ar2)
    first_a = first_b = None
    if not assume_unique:
        a, first_a = np.unique(a, return_index=True)
        b, first_b = np.unique(b, return_index=True)
    both = _joined(a, b)
    order = np.argsort(both, kind="stable")
    both = take(both, order)
    twice = both[1:] == both[:-1]
    found = both[:-1][twice]
    if not return_indices:
        return found
    in_a, in_b = order[:-1][twice], order[1:][twice] - a.shape[0]
    if first_a is not None and first_b is not None:
        in_a, in_b = take(first_a, in_a), take(first_b, in_b)
    return found, in_a, in_b


@spells(np.setxor1d)
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The entries that are in one of both only, in order."""
    a, b = _line(ar1), _line(ar2)
    if not assume_unique:
        a, b = np.unique(a), np.unique(b)
    both = np.sort(_joined(a, b))
    if both.shape[0] == 0:
        return both
    end: Any = np.ones(1, bool)
    new = np.concatenate([end, both[1:] != both[:-1], end])
    return both[new[1:] & new[:-1]]


@spells(np.setdiff1d)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """The entries of the first that are not in the second."""
    a = _line(ar1) if assume_unique else np.unique(_line(ar1))
    return a[~isin(a, ar2)]


@spells(np.isin)
def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: Any = None,
) -> Any:
    """Which entries are among the others."""
    if kind not in (None, "sort", "table"):
        raise ValueError(f"isin: kind must be None, 'sort' or 'table', not {kind!r}")
    (element,) = as_arrays([element])
    among = np.sort(_line(test_elements))
    if among.shape[0] == 0:
        found = np.zeros(element.shape, bool)
    else:
        if dtype_of(among).kind == "c" or dtype_of(element).kind == "c":
            found = np.any(element[..., None] == among, axis=-1)
        else:
            at = np.searchsorted(among, element)
            found = take(among, at, mode="clip") == element
    return ~found if invert else found


def in1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, invert: bool = False, *, kind: Any = None
) -> Any:
    """`isin` of the flattened array."""
    return isin(_line(ar1), ar2, assume_unique, invert, kind=kind)


if hasattr(np, "in1d"):  # until NumPy 2.4
    spells(np.in1d)(in1d)
