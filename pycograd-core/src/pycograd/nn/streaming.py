"""Convolutions of signals that come in chunks: `(y, state) = f(chunk, w, b, state, ...)`.

Time is the last axis. The results of the chunks, joined, are those of one call on the whole signal:

- from the state of `streaming_conv1d_init`, `causal_conv1d`: as if zeros came before the signal;
- from `state=None`, `conv1d` without padding: the first results wait for the kernel to fill;
- of `streaming_conv_transpose1d`, the first `stride` entries of `conv_transpose1d` for each of the
  signal, as nothing that comes later changes these. The rest is the state: at the end of the signal
  it is what `conv_transpose1d` has behind them, the bias apart.

`..._2d` is the same over images whose last axis is time, with `pad` for the axis of the height.

A state is an array: of a convolution the end of the signal that later results need, of a transposed
one the sums that later chunks add to. Chunks may have any lengths; the state keeps its shape, as
`scan` and `jit` want, if they are multiples of the stride. Only a stride longer than the kernel
needs such chunks. Signals, kernels and states are all differentiated.

>>> x, w = np.arange(6.0).reshape(1, 1, 6), np.ones((1, 1, 3))
>>> state = streaming_conv1d_init(w)
>>> first, state = streaming_conv1d(x[..., :4], w, state=state)
>>> second, state = streaming_conv1d(x[..., 4:], w, state=state)
>>> np.concatenate([first, second], -1)
array([[[ 0.,  1.,  3.,  6.,  9., 12.]]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.dtypes import resolve_dtype
from pycograd.core.errors import ShapeError
from pycograd.nn.conv import convolved
from pycograd.nn.conv_transpose import transposed, transposed_sizes
from pycograd.nn.spatial import add_bias, check_rank, check_taps, images, inexact, ints, pairs

__all__ = [
    "streaming_conv1d",
    "streaming_conv1d_init",
    "streaming_conv2d",
    "streaming_conv2d_init",
    "streaming_conv_transpose1d",
    "streaming_conv_transpose1d_init",
    "streaming_conv_transpose2d",
    "streaming_conv_transpose2d_init",
]


def _reach(operation: str, w: Any, rank: int, dilation: Any) -> Any:
    """How many entries of time the kernel spans."""
    check_rank(operation, w, rank)
    step = ints(dilation, rank, operation, "dilation")[-1]
    return step * (check_taps(operation, w)[-1] - 1) + 1


def _check_state(operation: str, state: Any, shape: Any, length: Any = None) -> None:
    """Refuses the state of another signal: its axes are `shape` and then time."""
    try:
        if len(shape_of(state)) != len(shape) + 1:
            raise ShapeError("")
        for m, n in zip(shape_of(state), shape if length is None else (*shape, length)):
            sizes.same_size(m, n, operation)
    except ShapeError as error:
        wanted = ", ".join(map(str, (*shape, "any length" if length is None else length)))
        raise ShapeError(
            f"{operation}: a state of shape {shape_of(state)} where ({wanted}) is wanted; make the"
            f" first with {operation}_init for the same kernel and options"
        ) from error


def _zeros(w: Any, shape: Any, dtype: Any) -> Any:
    return np.zeros(shape, dtype_of(w) if dtype is None else resolve_dtype(dtype))


# -- convolutions ----------------------------------------------------------------------------------
def _step(
    operation: str,
    rank: int,
    x: Any,
    w: Any,
    b: Any,
    state: Any,
    stride: Any,
    pad: tuple[Any, ...],
    dilation: Any,
    groups: Any,
) -> tuple[Any, Any]:
    x, w = images(x, rank, operation), inexact(w, operation, "w")
    reach = _reach(operation, w, rank, dilation)
    every = ints(stride, rank, operation, "stride")[-1]
    if state is not None:
        _check_state(operation, state, shape_of(x)[:-1])
        x = np.concatenate([state, x], -1)
    length = shape_of(x)[-1]
    options = (w, b, stride, (*pad, (0, 0)), dilation, groups)
    if type(length) is int and length < reach:  # nothing yet; its shape is that of anything
        short = [(0, 0)] * (rank + 1) + [(0, reach - length)]
        return convolved(operation, rank, np.pad(x, short), *options)[..., :0], x
    y = convolved(operation, rank, x, *options)
    used = shape_of(y)[-1] * every
    if type(used) is int and used > length:
        raise ShapeError(
            f"{operation}: the next place of the kernel is {used - length} entries behind the"
            f" chunk, as stride={stride} is longer than the kernel: give chunks of a multiple of"
            f" {every}"
        )
    return y, x[..., used:]


def streaming_conv1d(
    x: Any,
    w: Any,
    b: Any = None,
    state: Any = None,
    stride: Any = 1,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Any, Any]:
    """The next results of a `causal_conv1d` of a signal in chunks.

    Arguments:
        x: a chunk (N, C, L), of a float or complex dtype.
        w, b, stride, dilation, groups: as in `conv1d`.
        state: what the call on the chunk before returned; at first `streaming_conv1d_init(w)`, or
            None for a `conv1d` without padding.

    Returns:
        `(y, state)`: the results (N, O, M) that need nothing later, none for a chunk that is too
        short, and the state for the next chunk.

    Raises:
        ShapeError: shapes that do not fit, or a chunk that ends within a stride longer than `w`.
        TypeError: integers.

    >>> y, state = streaming_conv1d(np.array([[[1.0, 2.0, 4.0]]]), np.array([[[-1.0, 1.0]]]))
    >>> y, state
    (array([[[1., 2.]]]), array([[[4.]]]))
    """
    return _step("streaming_conv1d", 1, x, w, b, state, stride, (), dilation, groups)


def streaming_conv1d_init(
    w: Any, batch: int = 1, dilation: Any = 1, groups: int = 1, dtype: Any = None
) -> Any:
    """The state of `streaming_conv1d` before a signal: zeros.

    Arguments:
        w: (O, C / groups, K).
        batch: the number N of signals.
        dilation, groups: as in `streaming_conv1d`.
        dtype: of the signal; default that of `w`.

    Returns:
        An array (N, C, dilation * (K - 1)).

    >>> streaming_conv1d_init(np.ones((4, 2, 3)), batch=5).shape
    (5, 2, 2)
    """
    reach = _reach("streaming_conv1d_init", w, 1, dilation)
    return _zeros(w, (batch, shape_of(w)[1] * groups, reach - 1), dtype)


def streaming_conv2d(
    x: Any,
    w: Any,
    b: Any = None,
    state: Any = None,
    stride: Any = 1,
    pad: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Any, Any]:
    """As `streaming_conv1d`, over the last axis of images.

    Arguments:
        x: a chunk (N, C, H, L), of a float or complex dtype.
        w, b, stride, dilation, groups: as in `conv2d`.
        state: as in `streaming_conv1d`; at first `streaming_conv2d_init(w, H)`, or None.
        pad: of the axis of the height: an int, a pair (front, behind), or "same".

    Returns:
        `(y, state)`, the results (N, O, MH, M) and the state for the next chunk.

    Raises:
        ShapeError: shapes that do not fit, or a chunk that ends within a stride longer than `w`.
        TypeError: integers.

    >>> y, state = streaming_conv2d(np.ones((1, 1, 4, 5)), np.ones((2, 1, 3, 3)), pad="same")
    >>> y.shape, state.shape
    ((1, 2, 4, 3), (1, 1, 4, 2))
    """
    return _step("streaming_conv2d", 2, x, w, b, state, stride, (pad,), dilation, groups)


def streaming_conv2d_init(
    w: Any,
    height: int,
    batch: int = 1,
    dilation: Any = 1,
    groups: int = 1,
    dtype: Any = None,
) -> Any:
    """The state of `streaming_conv2d` before a signal: zeros.

    Arguments:
        w: (O, C / groups, KH, K).
        height: H of the images.
        batch, dilation, groups, dtype: as in `streaming_conv1d_init`.

    Returns:
        An array (N, C, H, dilation * (K - 1)).

    >>> streaming_conv2d_init(np.ones((4, 2, 3, 3)), 7).shape
    (1, 2, 7, 2)
    """
    reach = _reach("streaming_conv2d_init", w, 2, dilation)
    return _zeros(w, (batch, shape_of(w)[1] * groups, height, reach - 1), dtype)


# -- transposed convolutions -----------------------------------------------------------------------
def _tail(operation: str, w: Any, rank: int, stride: Any, dilation: Any) -> tuple[int, Any, Any]:
    """The stride of time, how far copies reach beyond it, and how far they fall short of it."""
    every = ints(stride, rank, operation, "stride")[-1]
    over = _reach(operation, w, rank, dilation) - every
    return every, max(over, 0), max(-over, 0)


def _step_transposed(
    operation: str,
    rank: int,
    x: Any,
    w: Any,
    b: Any,
    state: Any,
    stride: Any,
    pad: tuple[Any, ...],
    output_padding: tuple[Any, ...],
    groups: Any,
    dilation: Any,
) -> tuple[Any, Any]:
    w = inexact(w, operation, "w")
    every, tail, short = _tail(operation, w, rank, stride, dilation)
    padding = (*pad, (0, 0)), (*output_padding, short)
    y = transposed(operation, rank, x, w, None, stride, *padding, groups, dilation)
    if state is not None:
        _check_state(operation, state, shape_of(y)[:-1], tail)
        y = np.concatenate([y[..., :tail] + state, y[..., tail:]], -1)
    done = shape_of(x)[-1] * every
    return add_bias(y[..., :done], b, operation), y[..., done:]


def streaming_conv_transpose1d(
    x: Any,
    w: Any,
    b: Any = None,
    state: Any = None,
    stride: Any = 1,
    groups: int = 1,
    dilation: Any = 1,
) -> tuple[Any, Any]:
    """The next results of a `conv_transpose1d` of a signal in chunks.

    Arguments:
        x: a chunk (N, C, L), of a float or complex dtype.
        w, b, stride, groups, dilation: as in `conv_transpose1d`.
        state: what the call on the chunk before returned; at first None, or
            `streaming_conv_transpose1d_init(w)`, the same with the shape that the others have.

    Returns:
        `(y, state)`: the results (N, O, L * stride) that nothing later changes, and the sums that
        the next chunk adds to, (N, O, dilation * (K - 1) + 1 - stride) or none.

    Raises:
        ShapeError: shapes that do not fit.
        TypeError: integers.

    >>> streaming_conv_transpose1d(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0]]]))
    (array([[[ 1., 12.]]]), array([[[20.]]]))
    """
    options = (b, state, stride, (), (), groups, dilation)
    return _step_transposed("streaming_conv_transpose1d", 1, x, w, *options)


def streaming_conv_transpose1d_init(
    w: Any,
    batch: int = 1,
    stride: Any = 1,
    groups: int = 1,
    dilation: Any = 1,
    dtype: Any = None,
) -> Any:
    """The state of `streaming_conv_transpose1d` before a signal: zeros.

    Arguments:
        w: (C, O / groups, K).
        batch: the number N of signals.
        stride, groups, dilation: as in `streaming_conv_transpose1d`.
        dtype: of the results; default that of `w`.

    Returns:
        An array (N, O, dilation * (K - 1) + 1 - stride), or of no entries.

    >>> streaming_conv_transpose1d_init(np.ones((4, 2, 3)), stride=2).shape
    (1, 2, 1)
    """
    _, tail, _ = _tail("streaming_conv_transpose1d_init", w, 1, stride, dilation)
    return _zeros(w, (batch, shape_of(w)[1] * groups, tail), dtype)


def streaming_conv_transpose2d(
    x: Any,
    w: Any,
    b: Any = None,
    state: Any = None,
    stride: Any = 1,
    pad: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> tuple[Any, Any]:
    """As `streaming_conv_transpose1d`, over the last axis of images.

    Arguments:
        x: a chunk (N, C, H, L), of a float or complex dtype.
        w, b, stride, groups, dilation: as in `conv_transpose2d`.
        state: as in `streaming_conv_transpose1d`.
        pad: what is cut off the height: an int, or a pair (front, behind).
        output_padding: how much more of the height there is behind.

    Returns:
        `(y, state)`, the results (N, O, MH, L * stride) and the state for the next chunk.

    Raises:
        ShapeError: shapes that do not fit.
        TypeError: integers.

    >>> x, w = np.ones((1, 3, 4, 5)), np.ones((3, 2, 3, 3))
    >>> y, state = streaming_conv_transpose2d(x, w, stride=2, pad=1, output_padding=1)
    >>> y.shape, state.shape
    ((1, 2, 8, 10), (1, 2, 8, 1))
    """
    operation = "streaming_conv_transpose2d"
    more = ints(output_padding, 1, operation, "output_padding", least=0)
    options = (b, state, stride, pairs(pad, 1, operation), more, groups, dilation)
    return _step_transposed(operation, 2, x, w, *options)


def streaming_conv_transpose2d_init(
    w: Any,
    height: int,
    batch: int = 1,
    stride: Any = 1,
    pad: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    dtype: Any = None,
) -> Any:
    """The state of `streaming_conv_transpose2d` before a signal: zeros.

    Arguments:
        w: (C, O / groups, KH, K).
        height: H of the images.
        stride, pad, output_padding, groups, dilation: as in `streaming_conv_transpose2d`.
        batch, dtype: as in `streaming_conv_transpose1d_init`.

    Returns:
        An array (N, O, MH, dilation * (K - 1) + 1 - stride), or of no entries.

    >>> streaming_conv_transpose2d_init(np.ones((3, 2, 3, 3)), 4, stride=2, pad=1).shape
    (1, 2, 7, 1)
    """
    operation = "streaming_conv_transpose2d_init"
    _, tail, _ = _tail(operation, w, 2, stride, dilation)
    ((front, behind),) = pairs(pad, 1, operation)
    (more,) = ints(output_padding, 1, operation, "output_padding", least=0)
    (high,) = transposed_sizes(
        (height,),
        shape_of(w)[2:3],
        ints(stride, 2, operation, "stride"),
        ((front, behind - more),),
        ints(dilation, 2, operation, "dilation"),
    )
    return _zeros(w, (batch, shape_of(w)[1] * groups, high, tail), dtype)
