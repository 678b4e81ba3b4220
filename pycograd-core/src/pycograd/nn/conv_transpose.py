"""Transposed convolutions: the transposes of those of `nn.conv`, with no formula of their own.

>>> from pycograd.nn.conv import conv1d
>>> rng = np.random.default_rng(0)
>>> x, w, z = rng.normal(size=(1, 3, 9)), rng.normal(size=(2, 3, 4)), rng.normal(size=(1, 2, 3))
>>> y = conv_transpose1d(z, w, stride=2, output_padding=1)
>>> bool(np.isclose(np.sum(conv1d(x, w, stride=2) * z), np.sum(x * y)))
True
"""

from __future__ import annotations

from typing import Any

from pycograd.core.aval import shape_of
from pycograd.core.errors import ArgumentError, ShapeError
from pycograd.nn.columns import Ints, Pads
from pycograd.nn.convolution import conv_input
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
)

__all__ = ["conv_transpose1d", "conv_transpose2d"]


def transposed(
    operation: str,
    rank: int,
    x: Any,
    w: Any,
    b: Any,
    stride: Any,
    pad: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
) -> Any:
    """A transposed convolution with its arguments checked."""
    x, w = images(x, rank, operation), inexact(w, operation, "w")
    stride = ints(stride, rank, operation, "stride")
    dilation = ints(dilation, rank, operation, "dilation")
    more = ints(output_padding, rank, operation, "output_padding", least=0)
    (groups,) = ints(groups, 1, operation, "groups")
    if isinstance(pad, str):
        raise ArgumentError(
            f"{operation}: pad={pad!r} does not say which of the sizes of x are meant; write an int"
            " or a pair (front, behind) for each axis, and output_padding"
        )
    pad = pairs(pad, rank, operation)
    check_rank(operation, w, rank)
    check_channels(operation, x, w, shape_of(w)[0], groups)
    check_groups(operation, shape_of(x)[1], groups, "x")
    taps = check_taps(operation, w)
    # More entries behind are fewer that are cut off there: then j * stride meets all of them.
    pad = tuple([(front, behind - m) for (front, behind), m in zip(pad, more)])
    sizes = transposed_sizes(shape_of(x)[2:], taps, stride, pad, dilation)
    if any([type(n) is int and n < 1 for n in sizes]):
        raise ShapeError(
            f"{operation}: nothing is left of shapes {shape_of(x)} and {shape_of(w)}: the result"
            f" would have sizes {sizes}; give a smaller pad"
        )
    options = {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups}
    return add_bias(conv_input(x, w, sizes=sizes, **options), b, operation)


def transposed_sizes(
    inner: Any, taps: Any, stride: Ints, pad: Pads, dilation: Ints
) -> tuple[Any, ...]:
    """The sizes that copies of a kernel cover, less what is cut off."""
    return tuple(
        [
            (n - 1) * s + d * (k - 1) + 1 - front - behind
            for n, k, s, (front, behind), d in zip(inner, taps, stride, pad, dilation)
        ]
    )


def conv_transpose1d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Any = 1,
    pad: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of `conv1d`: every entry adds a copy of the kernel times itself to the result.

    Arguments:
        x: (N, C, L), of a float or complex dtype.
        w: (C, O / groups, K): the kernel of the `conv1d` that goes the other way.
        b: (O,), or None.
        stride: from one copy to the next.
        pad: how much of the result is cut off: an int, or a pair (front, behind).
        output_padding: how much more of the result there is behind.
        groups: parts of the channels, each with its part of the kernel.
        dilation: from one tap of the kernel to the next.

    Returns:
        An array (N, O, (L - 1) * stride + dilation * (K - 1) + 1 - 2 * pad + output_padding).

    Raises:
        ShapeError: shapes that do not fit, or a result of no entries.
        TypeError: integers.

    >>> conv_transpose1d(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0, 100.0]]]), stride=2)
    array([[[  1.,  10., 102.,  20., 200.]]])
    """
    options = (b, stride, pad, output_padding, groups, dilation)
    return transposed("conv_transpose1d", 1, x, w, *options)


def conv_transpose2d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Any = 1,
    pad: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of `conv2d`, as `conv_transpose1d` is of `conv1d`.

    Arguments:
        x: (N, C, H, W), of a float or complex dtype.
        w: (C, O / groups, KH, KW).
        b: (O,), or None.
        stride, pad, output_padding, dilation: an int, or for each axis one (of `pad` also a pair).
        groups: as in `conv_transpose1d`.

    Returns:
        An array (N, O, MH, MW).

    Raises:
        ShapeError: shapes that do not fit, or a result of no entries.
        TypeError: integers.

    >>> conv_transpose2d(np.ones((1, 3, 4, 4)), np.ones((3, 2, 2, 2)), stride=2).shape
    (1, 2, 8, 8)
    """
    options = (b, stride, pad, output_padding, groups, dilation)
    return transposed("conv_transpose2d", 2, x, w, *options)
