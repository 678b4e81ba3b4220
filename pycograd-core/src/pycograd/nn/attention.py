"""Attention over sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.errors import ShapeError
from pycograd.nn.softmax import softmax

__all__ = ["scaled_dot_product_attention"]


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
    if min(len(shape_of(x)) for x in (q, k, v)) < 2:
        raise ShapeError(
            "scaled_dot_product_attention: q, k and v have two axes or more, not shapes"
            f" {shape_of(q)}, {shape_of(k)} and {shape_of(v)}"
        )
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ np.matrix_transpose(k)
    keep: Any = np.tri(*scores.shape[-2:], dtype=np.bool_) if causal else None
    if mask is not None:
        if dtype_of(mask).kind == "b":
            keep = mask if keep is None else keep & mask
        else:
            scores = scores + mask
    if keep is None:
        return softmax(scores) @ v
    some = np.any(keep, axis=-1, keepdims=True)
    weights = softmax(np.where(keep | ~some, scores, -np.inf))
    return np.where(keep, weights, 0) @ v
