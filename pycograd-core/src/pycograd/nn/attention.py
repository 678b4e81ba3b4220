"""Attention over sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.dims import Dim
from pycograd.core.errors import ShapeError
from pycograd.nn.layers import linear
from pycograd.nn.softmax import softmax
from pycograd.ops.counting import below

__all__ = ["multi_head_attention", "scaled_dot_product_attention"]


def scaled_dot_product_attention(
    q: Any, k: Any, v: Any, mask: Any = None, causal: bool = False
) -> Any:
    """`softmax(q k^T / sqrt(d)) v`: for each query a mean of the values, weighted by its keys.

    Arguments:
        q: real, (..., n, d); leading axes broadcast.
        k: real, (..., m, d).
        v: real, (..., m, e).
        mask: broadcasts to (..., n, m). Boolean: True keeps a key, and a query that keeps none gets
            zeros. Floats: added to the scores.
        causal: query i sees keys 0 to i only.

    Returns:
        An array (..., n, e).

    Raises:
        ShapeError: shapes that do not fit.

    >>> q, k, v = np.zeros((2, 3)), np.zeros((2, 3)), np.array([[1.0], [3.0]])
    >>> scaled_dot_product_attention(q, k, v)
    array([[2.],
           [2.]])
    >>> scaled_dot_product_attention(q, k, v, causal=True)
    array([[1.],
           [2.]])
    """
    _check("scaled_dot_product_attention", q, k, v, mask)
    d = shape_of(q)[-1]
    scale = 1 / math.sqrt(max(d, 1)) if type(d) is int else sizes.number(d) ** -0.5
    scores = (q * scale) @ np.matrix_transpose(k)
    n, m = shape_of(scores)[-2:]
    keep = below(n, m, 0) if causal else None
    if mask is not None and dtype_of(mask).kind == "b":
        keep = mask if keep is None else keep & mask
        some = np.any(keep, axis=-1, keepdims=True)
        weights = softmax(np.where(keep | ~some, scores, -np.inf))
        return np.where(keep, weights, 0) @ v
    if mask is not None:
        scores = scores + mask
    if causal:  # every query sees key 0
        scores = np.where(keep, scores, -np.inf)
    return softmax(scores) @ v


def multi_head_attention(
    q: Any,
    k: Any,
    v: Any,
    num_heads: int,
    mask: Any = None,
    causal: bool = False,
    *,
    wq: Any = None,
    wk: Any = None,
    wv: Any = None,
    wo: Any = None,
    bq: Any = None,
    bk: Any = None,
    bv: Any = None,
    bo: Any = None,
) -> Any:
    """`scaled_dot_product_attention` of `num_heads` equal parts of the features, each apart.

    Self-attention is `multi_head_attention(x, x, x, ...)`; for cross-attention `k` and `v` are of
    the other sequence.

    Arguments:
        q: real, (..., n, d).
        k: real, (..., m, d).
        v: real, (..., m, e).
        num_heads: how many heads there are; it divides the features behind the projections.
        mask: (n, m) or (..., n, m) for all heads alike, with as many axes as `q` at most; or with
            one axis more, (..., num_heads, n, m). Boolean: True keeps a key, and a query that keeps
            none gets zeros. Floats: added to the scores.
        causal: query i sees keys 0 to i only.
        wq, wk, wv: weights (d, h), (d, h) and (e, g), the inputs along the first axis, by which q,
            k and v are projected; None leaves one out.
        wo: weights (g, f) of the projection of the result; None leaves it out.
        bq, bk, bv, bo: biases of these projections.

    Returns:
        An array (..., n, f); without `wo` (..., n, g).

    Raises:
        ShapeError: shapes that do not fit.

    >>> x = np.zeros((2, 4))
    >>> multi_head_attention(x, x, np.array([[1.0, 1.0], [3.0, 5.0]]), 2, causal=True)
    array([[1., 1.],
           [2., 3.]])
    """
    name = "multi_head_attention"
    q, k, v = (
        _projected(name, *of) for of in (("q", q, wq, bq), ("k", k, wk, bk), ("v", v, wv, bv))
    )
    axes = len(shape_of(q))
    if mask is not None and 2 < len(shape_of(mask)) <= axes:
        mask = np.expand_dims(mask, -3)
    q, k, v = (_heads(name, *of, num_heads) for of in (("q", q), ("k", k), ("v", v)))
    out = np.swapaxes(scaled_dot_product_attention(q, k, v, mask, causal), -2, -3)
    *front, parts, size = shape_of(out)
    return _projected(name, "the result", np.reshape(out, (*front, parts * size)), wo, bo)


# -- parts -----------------------------------------------------------------------------------------
def _projected(name: str, said: str, x: Any, w: Any, b: Any) -> Any:
    if w is None:
        if b is not None:
            raise TypeError(f"{name}: {said} has a bias but no weights")
        return x
    try:
        return linear(x, w, b)
    except ShapeError as error:
        raise ShapeError(f"{name}: the projection of {said}: {error}") from error


def _heads(name: str, said: str, x: Any, num_heads: int) -> Any:
    """(..., n, d) as (..., num_heads, n, d / num_heads)."""
    shape = shape_of(x)
    if len(shape) < 2:
        raise ShapeError(f"{name}: {said} is (..., n, d), not of shape {shape}")
    *front, d = shape
    if num_heads < 1 or (not isinstance(d, Dim) and d % num_heads):
        raise ShapeError(
            f"{name}: num_heads={num_heads} does not divide the {d} features of {said}"
        )
    return np.swapaxes(np.reshape(x, (*front, num_heads, d // num_heads)), -2, -3)


def _check(name: str, q: Any, k: Any, v: Any, mask: Any) -> None:
    a, b, c = shape_of(q), shape_of(k), shape_of(v)
    if min(len(a), len(b), len(c)) < 2:
        raise ShapeError(f"{name}: q, k and v have two axes or more, not shapes {a}, {b} and {c}")
    try:
        sizes.same_size(a[-1], b[-1], name)
        sizes.same_size(b[-2], c[-2], name)
        if a[:-2] != b[:-2] or b[:-2] != c[:-2]:
            sizes.broadcast(a[:-2], b[:-2], c[:-2], operation=name)
    except ShapeError as error:
        raise ShapeError(
            f"{name}: incompatible shapes {a}, {b} and {c}: q is (..., n, d), k (..., m, d) and v"
            " (..., m, e)"
        ) from error
    if mask is None:
        return
    scores = (a[-2], b[-2])
    try:
        for m, n in zip(shape_of(mask)[:-3:-1], reversed(scores)):
            if type(m) is not int or m != 1:
                sizes.same_size(m, n, name)
    except ShapeError as error:
        raise ShapeError(
            f"{name}: a mask of shape {shape_of(mask)} does not broadcast to the scores"
            f" (..., {a[-2]}, {b[-2]})"
        ) from error
