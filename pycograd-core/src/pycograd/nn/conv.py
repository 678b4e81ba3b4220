"""Convolutions over one, two and three spatial axes."""

from __future__ import annotations

from typing import Any

from pycograd.core.aval import shape_of
from pycograd.core.errors import ShapeError
from pycograd.nn.columns import out_size
from pycograd.nn.convolution import conv
from pycograd.nn.spatial import (
    add_bias,
    check_channels,
    check_groups,
    check_rank,
    check_taps,
    images,
    inexact,
    ints,
    pairs,
    same,
)

__all__ = ["causal_conv1d", "conv1d", "conv2d", "conv3d"]


def convolved(
    operation: str,
    rank: int,
    x: Any,
    w: Any,
    b: Any,
    stride: Any,
    pad: Any,
    dilation: Any,
    groups: Any,
) -> Any:
    """A convolution with its arguments checked."""
    x, w = images(x, rank, operation), inexact(w, operation, "w")
    stride = ints(stride, rank, operation, "stride")
    dilation = ints(dilation, rank, operation, "dilation")
    (groups,) = ints(groups, 1, operation, "groups")
    check_rank(operation, w, rank)
    check_channels(operation, x, w, shape_of(w)[1] * groups, groups)
    check_groups(operation, shape_of(w)[0], groups, "the result, the first axis of w")
    inner, taps = shape_of(x)[2:], check_taps(operation, w)
    even = lambda axis: same(inner[axis], taps[axis], stride[axis], dilation[axis], operation)
    pad = pairs(pad, rank, operation, even)
    places = tuple(map(out_size, inner, taps, stride, pad, dilation))
    if any([type(n) is int and n < 1 for n in places]):
        raise ShapeError(
            f"{operation}: the kernel is larger than the padded images: shapes {shape_of(x)} and"
            f" {shape_of(w)}, pad={pad}. Pad more, or write pad='same'"
        )
    y = conv(x, w, stride=stride, pad=pad, dilation=dilation, groups=groups)
    return add_bias(y, b, operation)


def conv1d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Any = 1,
    pad: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """A convolution over one axis: `y[n, o, j] = sum x[n, c, j * stride + t] w[o, c, t] + b[o]`.

    As everywhere in neural networks the kernel is not turned around.

    Arguments:
        x: (N, C, L), of a float or complex dtype.
        w: (O, C / groups, K).
        b: (O,), or None.
        stride: from one place of the kernel to the next.
        pad: zeros around `x`: an int, a pair (front, behind), or "same" for ceil(L / stride)
            places, the odd zero behind.
        dilation: from one tap of the kernel to the next.
        groups: parts of the channels, each with its part of the kernel.

    Returns:
        An array (N, O, M).

    Raises:
        ShapeError: shapes that do not fit, or a kernel larger than the padded `x`.
        TypeError: integers.

    >>> conv1d(np.array([[[1.0, 2.0, 4.0]]]), np.array([[[1.0, -1.0]]]))
    array([[[-1., -2.]]])
    """
    return convolved("conv1d", 1, x, w, b, stride, pad, dilation, groups)


def conv2d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Any = 1,
    pad: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """A convolution over two axes, as `conv1d` is over one.

    Arguments:
        x: (N, C, H, W), of a float or complex dtype.
        w: (O, C / groups, KH, KW).
        b: (O,), or None.
        stride, dilation: an int, or one for each axis.
        pad: an int or "same", or for each axis one of these or a pair (front, behind).
        groups: as in `conv1d`.

    Returns:
        An array (N, O, MH, MW).

    Raises:
        ShapeError: shapes that do not fit, or a kernel larger than the padded `x`.
        TypeError: integers.

    >>> conv2d(np.ones((1, 2, 3, 3)), np.ones((1, 2, 3, 3)), pad=1)
    array([[[[ 8., 12.,  8.],
             [12., 18., 12.],
             [ 8., 12.,  8.]]]])
    """
    return convolved("conv2d", 2, x, w, b, stride, pad, dilation, groups)


def conv3d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Any = 1,
    pad: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """A convolution over three axes, as `conv2d` is over two.

    Arguments:
        x: (N, C, D, H, W), of a float or complex dtype.
        w: (O, C / groups, KD, KH, KW).
        b, stride, pad, dilation, groups: as in `conv2d`.

    Returns:
        An array (N, O, MD, MH, MW).

    Raises:
        ShapeError: shapes that do not fit, or a kernel larger than the padded `x`.
        TypeError: integers.

    >>> conv3d(np.ones((1, 1, 2, 3, 4)), np.ones((5, 1, 2, 2, 2))).shape
    (1, 5, 1, 2, 3)
    """
    return convolved("conv3d", 3, x, w, b, stride, pad, dilation, groups)


def causal_conv1d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, dilation: Any = 1, groups: int = 1
) -> Any:
    """A convolution over time whose results depend on nothing later: all the padding is in front.

    Arguments:
        x: (N, C, L), of a float or complex dtype.
        w: (O, C / groups, K); its last tap meets the present.
        b, stride, dilation, groups: as in `conv1d`.

    Returns:
        An array (N, O, ceil(L / stride)).

    Raises:
        ShapeError: shapes that do not fit.
        TypeError: integers.

    >>> causal_conv1d(np.array([[[1.0, 2.0, 4.0]]]), np.array([[[1.0, 1.0]]]))
    array([[[1., 3., 6.]]])
    """
    (step,) = ints(dilation, 1, "causal_conv1d", "dilation")
    reach = step * (shape_of(w)[-1] - 1) if shape_of(w) else 0
    pad = ((reach, 0),)
    return convolved("causal_conv1d", 1, x, w, b, stride, pad, dilation, groups)
