"""Normalisation layers over one shared operation, `standardize`: mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.aval import make_aval, shape_of
from pycograd.core.linear import General
from pycograd.nn.arguments import floating
from pycograd.ops.axes import axes_of

__all__ = ["layer_norm"]


def _centred(x: Any, axis: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    """`x` less its mean, and the reciprocal of its standard deviation."""
    x = x - np.mean(x, axis, keepdims=True)
    return x, 1 / np.sqrt(np.mean(x * x, axis, keepdims=True) + np.asarray(eps, x.dtype))


def _value(x: Any, *, axis: tuple[int, ...], eps: float) -> Any:
    x, scale = _centred(x, axis, eps)
    x *= scale
    return x


def _map(t: Any, ans: Any, x: Any, *, axis: tuple[int, ...], eps: float) -> Any:
    """With y = c / s for the centred c: dy = (t - mean(t) - y mean(y t)) / s, a symmetric map."""
    _, scale = _centred(x, axis, eps)
    t = t - np.mean(t, axis, keepdims=True)
    return scale * (t - ans * np.mean(ans * t, axis, keepdims=True))


def _batch(size: Any, values: Any, mapped: Any, *, axis: tuple[int, ...], eps: float) -> Any:
    return _standardize(*values, axis=tuple([a + 1 for a in axis]), eps=eps)


_standardize = General(
    "standardize",
    _value,
    jvp=_map,
    vjp=_map,
    shape=lambda x, axis, eps: make_aval(x.shape, x.dtype),
    batch=_batch,
)


def layer_norm(
    x: Any, gamma: Any = None, beta: Any = None, eps: float = 1e-5, axis: Any = -1
) -> Any:
    """`gamma * (x - mean) / sqrt(variance + eps) + beta`, the moments taken along `axis`.

    Arguments:
        x: real, any shape.
        gamma, beta: scale and shift, which broadcast to `x`; left out if None.
        eps: added to the variance.
        axis: an int, or a tuple of them.

    Returns:
        An array like `x`.

    >>> layer_norm(np.array([1.0, 3.0]), eps=0.0)
    array([-1.,  1.])
    """
    x = floating(x, "layer_norm")
    y = _standardize(x, axis=axes_of(axis, len(shape_of(x)), "layer_norm"), eps=float(eps))
    if gamma is not None:
        y = y * gamma
    return y if beta is None else y + beta
