"""Parts put back together: what is taken apart by index is one join in the reverse sweep.

The cotangents of `q, k, v = x`, or of `x[:, :n]` and `x[:, n:]`, are added one by one into zeros of
the shape of `x`. Where they do not overlap and leave nothing out, they are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pycograd.core.aval import dtype_of
from pycograd.graph.rewrite import Rule


def _span(key: Any, shape: tuple[int, ...]) -> tuple[int, int, int, bool] | None:
    """`(axis, start, stop, is an integer)` of a key that picks along one axis."""
    if key.count(...) > 1 or None in key:
        return None
    if ... in key:
        at = key.index(...)
        key = (*key[:at], *[slice(None)] * (len(shape) - len(key) + 1), *key[at + 1 :])
    found = None
    for axis, (part, n) in enumerate(zip(key, shape)):
        if part == slice(None):
            continue
        if found is not None or type(n) is not int:
            return None
        if type(part) is int:
            start = part + n if part < 0 else part
            found = axis, start, start + 1, True
        elif type(part) is slice and part.step in (None, 1):
            found = axis, *part.indices(n)[:2], False
        else:
            return None
    return found


def _joined(parts: Sequence[Any], keys: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """The parts in their places, if they are the whole."""
    if any(type(key) is not tuple for key in keys) or len({dtype_of(x) for x in parts}) > 1:
        return None
    spans = [_span(key, shape) for key in keys]
    if any(span is None or not hasattr(x, "shape") for span, x in zip(spans, parts)):
        return None
    order = sorted(range(len(parts)), key=lambda i: spans[i][1])  # type: ignore[index]
    axis, at, _, picks = spans[order[0]]  # type: ignore[misc]
    if at != 0:
        return None
    for i in order:
        its, start, stop, picked = spans[i]  # type: ignore[misc]
        row = (*shape[:axis], *(() if picks else (stop - start,)), *shape[axis + 1 :])
        if (its, start, picked) != (axis, at, picks) or parts[i].shape != row or stop <= start:
            return None
        at = stop
    if at != shape[axis]:
        return None
    return (np.stack if picks else np.concatenate)([parts[i] for i in order], axis=axis)


def _two(a: Any, b: Any, of: Any, params: Any) -> Any:
    made = of["scatter"]
    return _joined((a, b), (made["key"], params["key"]), made["shape"])


def _three(a: Any, b: Any, c: Any, of: Any, params: Any) -> Any:
    made, keys = of["scatter"], (of["index_add"]["key"], params["key"])
    return _joined((a, b, c), (made["key"], *keys), made["shape"])


_ADDED: Final = ("index_add", ("scatter", "a"), "b")

JOINS: Final = [
    # of a sum with the zeros -0.0 comes out as 0.0
    Rule(_ADDED, _two, "reassociates"),
    Rule(("index_add", _ADDED, "c"), _three, "reassociates"),
]
