"""Gradients of single samples, where only their norms or a weighted sum of them is asked for.

Under vmap the gradient of a matrix is an outer product for each sample, `g[c] = x[c] y[c]^T`. All
of them together are as large as the samples times the matrix; their norms, |x[c]| |y[c]|, and
their sum, the product of two matrices, need no more than `x` and `y` (Goodfellow 2015).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from pycograd.core.aval import dtype_of, shape_of
from pycograd.graph.rewrite import Rule

_OUTER: Final = ("einsum", "x", "y")
_EACH: Final = "ca,cb->cab"


def _is_outer(spec: str, x: Any, y: Any) -> bool:
    """True for the outer products of the rows of two matrices, row by row, of the same floats."""
    names = dict(zip(spec.split("->")[0].replace(",", ""), "cacb"))
    dtype = dtype_of(x)
    return (
        len(spec) == len(_EACH)
        and "".join([names.get(n, n) for n in spec]) == _EACH
        and len(set(spec) - {",", "-", ">"}) == 3
        and dtype == dtype_of(y)
        and dtype.kind == "f"
        and shape_of(x)[0] == shape_of(y)[0]  # einsum repeats a single row
        and all(type(n) is int and n for n in (*shape_of(x), *shape_of(y)))
    )


def _as_rows(shape: tuple[int, ...], of: Any) -> bool:
    """True if the outer products have this shape, or stand in its rows."""
    found = of.get("reshape")
    return found is None or (len(found["shape"]) == 2 and found["shape"][0] == shape[0])


def _squares(x: Any, y: Any, of: Any, shape: Any) -> Any:
    """The squared norm of each outer product."""
    if not _is_outer(of["einsum"]["spec"], x, y) or not _as_rows(shape_of(x), of):
        return None
    if math.prod(shape) != shape_of(x)[0]:
        return None
    (x, a), (y, b) = _scaled(x), _scaled(y)
    largest = a * b
    square = np.sum(x * x, axis=1) * np.sum(y * y, axis=1)
    return np.reshape(largest * largest * square, shape)


def _scaled(x: Any) -> tuple[Any, Any]:
    """The rows of `x` by their largest entries, so that no square overflows alone, and those."""
    largest = np.max(np.abs(x), axis=1)
    largest = np.where((largest > 0) & (largest < np.inf), largest, 1)
    return x / np.reshape(largest, (-1, 1)), largest


def _summed_squares(x: Any, y: Any, of: Any, params: Any, shape: Any) -> Any:
    """The same, as the sum over all axes but the first."""
    last = 1 if "reshape" in of else 2
    return _squares(x, y, of, shape) if params["axis"] == tuple(range(1, last + 1)) else None


def _contracted_squares(x: Any, y: Any, of: Any, params: Any, shape: Any) -> Any:
    """The same, as a product summed by einsum."""
    left, right, out = params["spec"].replace("->", ",").split(",")
    alike = left == right and out == left[0] and len(set(left)) == len(left)
    return _squares(x, y, of, shape) if alike else None


def _sum(s: Any, x: Any, y: Any, of: Any, shape: Any) -> Any:
    """The outer products times one number each, summed; the numbers are 1 where `s` is None."""
    if not _is_outer(of["einsum"]["spec"], x, y) or not _as_rows(shape_of(x), of):
        return None
    if s is not None:
        if dtype_of(s) != dtype_of(x) or math.prod(shape_of(s)) != shape_of(x)[0]:
            return None
        x = np.reshape(s, (-1, 1)) * x
    return np.reshape(np.transpose(x) @ y, shape)


def _weighted(s: Any, x: Any, y: Any, of: Any, params: Any, shape: Any) -> Any:
    """A sum over the first axis of the outer products times numbers that repeat along the rest."""
    given, rank = shape_of(s), 2 if "reshape" in of else 3
    if params["axis"] != (0,) or len(given) != rank or given[:1] != shape_of(x)[:1]:
        return None
    return _sum(s, x, y, of, shape)


def _contracted(s: Any, x: Any, y: Any, of: Any, params: Any, shape: Any) -> Any:
    """The same by einsum."""
    weights, operand, out = params["spec"].replace("->", ",").split(",")
    fits = len(weights) == 1 and operand == weights + out and len(set(operand)) == len(operand)
    return _sum(s, x, y, of, shape) if fits else None


def _multiplied(s: Any, x: Any, y: Any, of: Any, shape: Any) -> Any:
    """The same as the product of a row and a matrix."""
    return _sum(s, x, y, of, shape) if shape_of(s)[-1:] == shape_of(x)[:1] else None


def _added(x: Any, y: Any, of: Any, params: Any, shape: Any) -> Any:
    """The plain sum."""
    return _sum(None, x, y, of, shape) if params["axis"] == (0,) else None


_ROWS: Final = ("reshape", _OUTER)

OUTER: Final = [
    # Not of the stack itself, with which matmul makes a product for each matrix.
    Rule(("matmul", "s", _ROWS), _multiplied, "reassociates"),
    *[
        Rule(pattern, replacement, "reassociates")
        for g in (_OUTER, _ROWS)
        for pattern, replacement in (
            (("sum", ("square", g)), _summed_squares),
            (("sum", ("multiply", g, g)), _summed_squares),
            (("einsum", g, g), _contracted_squares),
            (("sum", ("multiply", "s", g)), _weighted),
            (("einsum", "s", g), _contracted),
            (("sum", g), _added),
        )
    ],
]
