"""`softmax`, `log_softmax`, `logsumexp`: exponentials less their maximum, so none overflows."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.aval import FLOAT32, make_aval, shape_of
from pycograd.core.fit import add_up, is_narrow
from pycograd.core.linear import General, Reduction
from pycograd.nn.arguments import floating
from pycograd.ops.axes import axes_of

__all__ = ["log_softmax", "logsumexp", "softmax"]


def _shifted(x: Any, axis: tuple[int, ...]) -> Any:
    return np.asarray(x - np.maximum.reduce(x, axis, keepdims=True, initial=-np.inf))


def _total(x: Any, axis: tuple[int, ...]) -> Any:
    """The sum, the axes kept: of 16 bits in 32, in which it stays."""
    return np.add.reduce(x, axis, FLOAT32 if is_narrow(x.dtype) else None, None, True)


# -- on plain arrays -------------------------------------------------------------------------------
def _softmax_value(x: Any, *, axis: tuple[int, ...]) -> Any:
    out = _shifted(x, axis)
    np.exp(out, out)
    total = _total(out, axis)
    if total.dtype != out.dtype:
        return (out / total).astype(out.dtype)
    return np.divide(out, total, out)


def _log_softmax_value(x: Any, *, axis: tuple[int, ...]) -> Any:
    out = _shifted(x, axis)
    total = _total(np.exp(out), axis)
    if total.dtype != out.dtype:
        return (out - np.log(total)).astype(out.dtype)
    return np.subtract(out, np.log(total), out)


def _logsumexp_value(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    top = np.maximum.reduce(x, axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)  # of nothing but -inf the sum is 0, and its log -inf
    total = _total(np.exp(x - top), axis)
    with np.errstate(divide="ignore"):
        out = np.log(total) + top
    if out.dtype != x.dtype:
        out = out.astype(x.dtype)
    return out if keepdims else np.squeeze(out, axis)[()]


# -- the primitives --------------------------------------------------------------------------------
def _along(name: str, value: Any, jvp: Any, vjp: Any) -> General:
    """An operation on slices along `axis` that keeps the shape."""

    def batch(size: Any, values: Any, mapped: Any, axis: tuple[int, ...]) -> Any:
        return primitive(*values, axis=tuple([a + 1 for a in axis]))

    shape = lambda x, axis: make_aval(x.shape, x.dtype)
    primitive = General(
        name, value, jvp=jvp, vjp=vjp, shape=shape, batch=batch, cost="transcendental"
    )
    return primitive


def softmax_map(t: Any, ans: Any, *, axis: tuple[int, ...]) -> Any:
    """The derivative `diag(y) - y y^T`, symmetric: it moves tangents and cotangents alike."""
    weighted = ans * t
    if type(weighted) is np.ndarray:  # nobody else's, and as large as the scores of attention
        np.subtract(t, add_up(weighted, axis, True), weighted)
        return np.multiply(weighted, ans, weighted)
    return ans * (t - add_up(weighted, axis, True))


_softmax = _along("softmax", _softmax_value, softmax_map, softmax_map)
_log_softmax = _along(
    "log_softmax",
    _log_softmax_value,
    lambda t, ans, axis: t - add_up(np.exp(ans) * t, axis, True),
    lambda ct, ans, axis: ct - np.exp(ans) * add_up(ct, axis, True),
)
_logsumexp = Reduction(
    "logsumexp",
    _logsumexp_value,
    lambda ans, x: np.exp(x - np.where(ans == -np.inf, 0, ans)),
    cost="transcendental",
)


# -- the functions ---------------------------------------------------------------------------------
def softmax(x: Any, axis: Any = -1) -> Any:
    """`exp(x)`, divided by its sum along an axis.

    Arguments:
        x: real, any shape.
        axis: an int, a tuple of them, or None for all axes.

    Returns:
        An array like `x` whose slices along `axis` sum to 1. An entry of -inf gets exactly 0; a
        slice of nothing but -inf has no softmax and is nan.

    >>> softmax(np.array([1000.0, 1000.0, -np.inf]))
    array([0.5, 0.5, 0. ])
    """
    x = floating(x, "softmax")
    return _softmax(x, axis=axes_of(axis, len(shape_of(x)), "softmax"))


def log_softmax(x: Any, axis: Any = -1) -> Any:
    """The logarithm of `softmax`, finite where softmax underflows.

    Arguments:
        x: real, any shape.
        axis: an int, a tuple of them, or None for all axes.

    Returns:
        An array like `x`. An entry of -inf stays -inf; a slice of nothing but -inf is nan.

    >>> log_softmax(np.array([0.0, -1000.0]))
    array([    0., -1000.])
    """
    x = floating(x, "log_softmax")
    return _log_softmax(x, axis=axes_of(axis, len(shape_of(x)), "log_softmax"))


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """`log(sum(exp(x)))`, which neither overflows nor underflows.

    Arguments:
        x: real, any shape.
        axis: an int, a tuple of them, or None for all axes.
        keepdims: keep the reduced axes with size 1.

    Returns:
        An array without the reduced axes; -inf, with derivative 0, for nothing but -inf.

    >>> logsumexp(np.array([1000.0, 1000.0]))
    np.float64(1000.6931471805599)
    """
    x = floating(x, "logsumexp")
    axis = axes_of(axis, len(shape_of(x)), "logsumexp")
    return _logsumexp(x, axis=axis, keepdims=bool(keepdims))
