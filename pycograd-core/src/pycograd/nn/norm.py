"""Normalisation layers over one shared operation, `standardize`: mean 0 and variance 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import dtype_of, make_aval, shape_of
from pycograd.core.dims import Dim
from pycograd.core.dtypes import current_dtype, resolve_dtype
from pycograd.core.errors import ShapeError
from pycograd.core.linear import General
from pycograd.nn.arguments import floating
from pycograd.ops.axes import axes_of
from pycograd.transforms.custom import stop_gradient

__all__ = [
    "batch_norm",
    "batch_norm_init",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
]


def _value(x: Any, *, axis: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    """`(y, scale)`: y = scale * (x - mean), scale = 1 / sqrt(variance + eps)."""
    y = x - np.mean(x, axis, keepdims=True)
    scale = 1 / np.sqrt(_mean_product(y, y, axis) + np.asarray(eps, x.dtype))
    y *= scale
    return y, scale


def _mean_product(x: Any, y: Any, axis: tuple[int, ...]) -> Any:
    """`mean(x * y)`, the axes kept; along rows in memory without an array of the products."""
    rows = axis == (x.ndim - 1,) and type(x) is type(y) is np.ndarray
    if rows and x.dtype == y.dtype and x.dtype.itemsize > 2:  # np.mean adds 16 bits up in 32
        return np.vecdot(x, y)[..., None] / np.asarray(x.shape[-1], x.dtype)
    return np.mean(x * y, axis, keepdims=True)


# With m = mean(y t): dy = scale (t - mean(t) - y m), a symmetric map, and dscale = -scale^2 m.
def _move(t: Any, y: Any, scale: Any, axis: tuple[int, ...]) -> tuple[Any, Any]:
    m = _mean_product(y, t, axis)
    centred = t - np.mean(t, axis, keepdims=True)
    if type(centred) is np.ndarray and type(y) is np.ndarray:  # in memory that nobody else has
        centred -= y * m
        centred *= scale
        return centred, m
    return scale * (centred - y * m), m


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


def _standardized(x: Any, axis: tuple[int, ...], eps: float) -> Any:
    """`x` with mean 0 and variance 1 along `axis`."""
    return _in_32_bits(lambda x: _standardize(x, axis=axis, eps=float(eps))[0], x)


def _in_32_bits(f: Callable[[Any], Any], x: Any) -> Any:
    """`f(x)`, computed in float32 where `x` has 16 bits: its squares overflow from 256 on."""
    dtype = dtype_of(x)
    return f(x) if dtype.itemsize > 2 else np.astype(f(np.astype(x, np.float32)), dtype)


# -- over the features of one example --------------------------------------------------------------
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

    Raises:
        ShapeError: a `gamma` or `beta` that does not broadcast to `x`.

    >>> layer_norm(np.array([1.0, 3.0]), eps=0.0)
    array([-1.,  1.])
    """
    x = floating(x, "layer_norm")
    y = _standardized(x, axes_of(axis, len(shape_of(x)), "layer_norm"), eps)
    return _affine("layer_norm", y, gamma, beta)


def rms_norm(x: Any, gamma: Any = None, eps: float = 1e-5, axis: Any = -1) -> Any:
    """`gamma * x / sqrt(mean(x^2) + eps)`, the mean taken along `axis`.

    Arguments:
        x: real, any shape.
        gamma: a scale, which broadcasts to `x`; left out if None.
        eps: added to the mean square.
        axis: an int, or a tuple of them.

    Returns:
        An array like `x`.

    Raises:
        ShapeError: a `gamma` that does not broadcast to `x`.

    >>> rms_norm(np.array([3.0, 3.0]), eps=0.0)
    array([1., 1.])
    """
    x = floating(x, "rms_norm")
    axis = axes_of(axis, len(shape_of(x)), "rms_norm")
    y = _in_32_bits(
        lambda x: x / np.sqrt(np.mean(np.square(x), axis=axis, keepdims=True) + float(eps)), x
    )
    return _affine("rms_norm", y, gamma, None)


# -- over images of channels (N, C, ...) -----------------------------------------------------------
def batch_norm_init(n: int, dtype: Any = None) -> tuple[Any, Any]:
    """The running statistics of `n` channels that have seen nothing: mean 0 and variance 1.

    Arguments:
        n: the number of channels.
        dtype: of both; default `current_dtype()`.

    Returns:
        `(mean, variance)`, arrays of shape (n,).

    >>> batch_norm_init(2)
    (array([0., 0.]), array([1., 1.]))
    """
    dtype = current_dtype() if dtype is None else resolve_dtype(dtype)
    return np.zeros(n, dtype), np.ones(n, dtype)


def batch_norm(
    x: Any,
    gamma: Any,
    beta: Any,
    running_mean: Any,
    running_var: Any,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Any, Any, Any]:
    """Each channel with mean 0 and variance 1, then `gamma` times that plus `beta`.

    Arguments:
        x: real, (N, C, ...).
        gamma, beta: scale and shift, (C,); None leaves them out.
        running_mean, running_var: the statistics so far, (C,).
        training: True normalises by the moments of this batch and moves the running statistics
            towards them; False normalises by the running statistics.
        momentum: the share of this batch in the new statistics.
        eps: added to the variance.

    Returns:
        `(y, mean, var)`: an array like `x`, and the running statistics to use from now on. These
        are constants to every derivative. Their variance is the mean of the squared deviations.

    Raises:
        ShapeError: shapes that do not fit, or training on one value per channel.

    >>> x = np.array([[1.0], [3.0]])
    >>> y, mean, var = batch_norm(x, None, None, *batch_norm_init(1), eps=0.0)
    >>> y, mean, var
    (array([[-1.],
           [ 1.]]), array([0.2]), array([1.]))
    """
    x = _channelled("batch_norm", x)
    shape = shape_of(x)
    for known in (running_mean, running_var):
        _per_channel("batch_norm", known, x)
    if not training:
        scale = np.reciprocal(np.sqrt(running_var + np.asarray(eps, dtype_of(running_var))))
        scale = scale if gamma is None else gamma * scale
        shift = -running_mean * scale
        shift = shift if beta is None else beta + shift
        return _by_channel("batch_norm", x, scale, shift), running_mean, running_var
    axis = (0, *range(2, len(shape)))
    seen = [shape[a] for a in axis]
    if all([type(n) is int for n in seen]) and math.prod(seen) == 1:
        raise ShapeError(
            f"batch_norm: shape {shape} has one value for each channel, which says nothing of its"
            " variance: train on more examples, or pass training=False"
        )
    y = _standardized(x, axis, eps)
    batch = stop_gradient(x)
    mean = _towards(running_mean, np.mean, batch, axis, momentum)
    var = _towards(running_var, np.var, batch, axis, momentum)
    return _by_channel("batch_norm", y, gamma, beta), mean, var


def group_norm(x: Any, gamma: Any, beta: Any, num_groups: int, eps: float = 1e-5) -> Any:
    """Each group of channels of each example with mean 0 and variance 1, scaled and shifted.

    Arguments:
        x: real, (N, C, ...).
        gamma, beta: scale and shift of each channel, (C,); None leaves them out.
        num_groups: how many groups of neighbouring channels there are; it divides C.
        eps: added to the variance.

    Returns:
        An array like `x`.

    Raises:
        ShapeError: shapes that do not fit.

    >>> group_norm(np.array([[1.0, 3.0, 2.0, 6.0]]), None, None, 2, eps=0.0)
    array([[-1.,  1., -1.,  1.]])
    """
    x = _channelled("group_norm", x)
    count, channels, *rest = shape_of(x)
    if num_groups < 1 or (not isinstance(channels, Dim) and channels % num_groups):
        raise ShapeError(
            f"group_norm: num_groups={num_groups} does not divide the {channels} channels of shape"
            f" {shape_of(x)}"
        )
    apart = np.reshape(x, (count, num_groups, channels // num_groups, *rest))
    y = _standardized(apart, tuple(range(2, len(rest) + 3)), eps)
    return _by_channel("group_norm", np.reshape(y, (count, channels, *rest)), gamma, beta)


def instance_norm(x: Any, gamma: Any = None, beta: Any = None, eps: float = 1e-5) -> Any:
    """Each channel of each example with mean 0 and variance 1, scaled and shifted.

    Arguments:
        x: real, (N, C, ...), with one axis or more behind the channels.
        gamma, beta: scale and shift of each channel, (C,); None leaves them out.
        eps: added to the variance.

    Returns:
        An array like `x`.

    Raises:
        ShapeError: shapes that do not fit.

    >>> instance_norm(np.array([[[1.0, 3.0]]]), eps=0.0)
    array([[[-1.,  1.]]])
    """
    x = _channelled("instance_norm", x, least=3)
    y = _standardized(x, tuple(range(2, len(shape_of(x)))), eps)
    return _by_channel("instance_norm", y, gamma, beta)


# -- parts -----------------------------------------------------------------------------------------
def _towards(
    seen: Any, moment: Callable[..., Any], batch: Any, axis: tuple[int, ...], share: float
) -> Any:
    """A running statistic moved towards that of a batch, as a constant and in its own dtype."""
    seen, dtype = stop_gradient(seen), dtype_of(seen)
    batch = batch if dtype_of(batch) == dtype else np.astype(batch, dtype)
    return np.astype(seen + share * (moment(batch, axis=axis) - seen), dtype)


def _channelled(name: str, x: Any, least: int = 2) -> Any:
    x = floating(x, name)
    if len(shape_of(x)) < least:
        layout = "(N, C, ...)" if least == 2 else "(N, C, L, ...)"
        raise ShapeError(f"{name}: x is {layout}, not of shape {shape_of(x)}")
    return x


def _per_channel(name: str, p: Any, x: Any) -> None:
    """Refuses what is no number for each channel of `x`."""
    channels, have = shape_of(x)[1], shape_of(p)
    try:
        if len(have) == 1:
            sizes.same_size(have[0], channels, name)
            return
        cause = None
    except ShapeError as error:
        cause = error
    raise ShapeError(
        f"{name}: a parameter of shape {have} for x of shape {shape_of(x)}, where one number for"
        f" each channel has shape ({channels},)"
    ) from cause


def _by_channel(name: str, y: Any, gamma: Any, beta: Any) -> Any:
    """`gamma * y + beta`, with one number of each for a channel."""
    for p in (gamma, beta):
        if p is not None:
            _per_channel(name, p, y)
    behind = tuple(range(1, len(shape_of(y)) - 1))
    if gamma is not None:
        y = y * np.expand_dims(gamma, behind)
    return y if beta is None else y + np.expand_dims(beta, behind)


def _affine(name: str, y: Any, gamma: Any, beta: Any) -> Any:
    """`gamma * y + beta`, of the shape of `y`."""
    for p in (gamma, beta):
        if p is not None:
            _broadcasts(name, p, y)
    if gamma is not None:
        y = y * gamma
    return y if beta is None else y + beta


def _broadcasts(name: str, p: Any, y: Any) -> None:
    """Refuses what would not broadcast to `y`, or would make it larger."""
    have, shape = shape_of(p), shape_of(y)
    if have == shape[len(shape) - len(have) :]:
        return
    try:
        if len(have) > len(shape):
            raise ShapeError(f"{name}: more axes than x")
        for m, n in zip(reversed(have), reversed(shape)):
            if type(m) is not int or m != 1:
                sizes.same_size(m, n, name)
    except ShapeError as error:
        raise ShapeError(
            f"{name}: a parameter of shape {have} does not broadcast to x of shape {shape}"
        ) from error
