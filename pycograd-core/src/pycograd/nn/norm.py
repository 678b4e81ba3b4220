"""Normalisation layers over one shared operation, `standardize`: mean 0 and variance 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pycograd.core.aval import make_aval, shape_of
from pycograd.core.linear import General
from pycograd.nn.arguments import floating
from pycograd.ops.axes import axes_of

__all__ = ["layer_norm"]


def _value(x: Any, *, axis: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    """`(y, scale)`: y = scale * (x - mean), scale = 1 / sqrt(variance + eps)."""
    y = x - np.mean(x, axis, keepdims=True)
    variance = np.mean(y * y, axis, keepdims=True)
    scale = 1 / np.sqrt(variance + np.asarray(eps, x.dtype))
    y *= scale
    return y, scale


# With m = mean(y t): dy = scale (t - mean(t) - y m), a symmetric map, and dscale = -scale^2 m.
def _move(t: Any, y: Any, scale: Any, axis: tuple[int, ...]) -> tuple[Any, Any]:
    m = np.mean(y * t, axis, keepdims=True)
    return scale * (t - np.mean(t, axis, keepdims=True) - y * m), m


def _jvp(t: Any, ans: Any, *, axis: tuple[int, ...]) -> tuple[Any, Any]:
    y, scale = ans
    dy, m = _move(t, y, scale, axis)
    return dy, -(scale * scale) * m


def _vjp(cts: Any, ans: Any, *, axis: tuple[int, ...]) -> Any:
    (ct, ct_scale), (y, scale) = cts, ans
    out = None if ct is None else _move(ct, y, scale, axis)[0]
    if ct_scale is None:
        return out
    count = math.prod([y.shape[a] for a in axis])
    part = y * (-(scale * scale) * ct_scale / count)
    return part if out is None else out + part


def _shape(x: Any, *, axis: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    reduced = tuple([1 if i in axis else n for i, n in enumerate(x.shape)])
    return make_aval(x.shape, x.dtype), make_aval(reduced, x.dtype)


def _batch(size: Any, values: Any, mapped: Any, *, axis: tuple[int, ...], eps: float) -> Any:
    return _standardize(*values, axis=tuple([a + 1 for a in axis]), eps=eps)


_standardize = General(
    "standardize", _value, jvp=_jvp, vjp=_vjp, shape=_shape, batch=_batch, multi=True
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
    y, _ = _standardize(x, axis=axes_of(axis, len(shape_of(x)), "layer_norm"), eps=float(eps))
    if gamma is not None:
        y = y * gamma
    return y if beta is None else y + beta
