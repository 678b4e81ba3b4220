"""What operations over the spatial axes of images ask of their arguments."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import dtype_of, is_inexact, shape_of
from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.errors import ArgumentError, ShapeError, SymbolicSizeError
from pycograd.nn.columns import Ints, Pads

_LAYOUT = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}


def images(x: Any, rank: int, operation: str) -> Any:
    """`x` as an array (N, C, *sizes) of floats.

    Raises:
        TypeError: integers or booleans.
        ShapeError: another number of axes.
    """
    x = inexact(x, operation, "x")
    have = len(shape_of(x))
    if have != rank + 2:
        fix = ": for one image write x[None]" if have == rank + 1 else ""
        raise ShapeError(f"{operation}: x is {_LAYOUT[rank]}, not of shape {shape_of(x)}{fix}")
    return x


def inexact(x: Any, operation: str, name: str) -> Any:
    """`x` as an array of floats or complex numbers.

    Raises:
        TypeError: integers or booleans.
    """
    x = x if isinstance(x, (Box, np.ndarray)) else np.asarray(x)
    if not is_inexact(dtype_of(x)):
        raise TypeError(
            f"{operation}: {name} is of {dtype_of(x)}, not of a float: write"
            f" {name}.astype(np.float32)"
        )
    return x


def ints(value: Any, rank: int, operation: str, name: str, least: int = 1) -> Ints:
    """An int for every spatial axis, from one int for all or a sequence of them.

    Raises:
        ArgumentError: another number of them, or one less than `least`.
    """
    found = tuple(value) if np.iterable(value) else (value,) * rank
    if len(found) != rank:
        each = "" if rank == 1 else f", or one for each of the {rank} spatial axes"
        raise ArgumentError(f"{operation}: {name} is an int{each}, not {value!r}")
    try:
        found = tuple(map(operator.index, found))
    except TypeError:
        raise TypeError(f"{operation}: {name} is a whole number, not {value!r}") from None
    if min(found) < least:
        raise ArgumentError(f"{operation}: {name} is at least {least}, not {value}")
    return found


def pairs(
    value: Any,
    rank: int,
    operation: str,
    even: Callable[[int], tuple[int, int]] | None = None,
) -> Pads:
    """The zeros in front and behind on every spatial axis.

    From an int for all or an int or a pair for each; of one axis the pair itself as well. `even`,
    if given, is the pair of an axis that "same" stands for.

    Raises:
        ArgumentError: anything else.
    """
    found = list(value) if np.iterable(value) and not isinstance(value, str) else [value] * rank
    if rank == 1 and len(found) == 2:
        found = [found]
    if even is not None and len(found) == rank:
        found = [even(i) if isinstance(p, str) and p == "same" else p for i, p in enumerate(found)]
    try:
        made = tuple(map(_pair, found))
    except (TypeError, ValueError):
        made = ()
    if len(made) != rank or min([n for pair in made for n in pair]) < 0:
        kinds = "an int" if even is None else "'same', an int"
        raise ArgumentError(
            f"{operation}: pad is {kinds}, or for each of the {rank} spatial axes that or a pair"
            f" (front, behind), none of them negative, not {value!r}"
        )
    return made


def _pair(value: Any) -> tuple[int, int]:
    if not np.iterable(value):
        return (operator.index(value),) * 2
    front, behind = map(operator.index, value)
    return front, behind


def same(n: Any, taps: Any, stride: int, dilation: int, operation: str) -> tuple[int, int]:
    """The pad for ceil(n / stride) places, as even as can be, the odd one behind."""
    if stride == 1:
        missing = dilation * (taps - 1)
    elif isinstance(n, Dim):
        raise SymbolicSizeError(
            f"{operation}: pad='same' with a stride depends on what the size {n} is; give the axis"
            " a number, or say the pad"
        )
    else:
        missing = max(0, (-(-n // stride) - 1) * stride + dilation * (taps - 1) + 1 - n)
    return missing // 2, missing - missing // 2


def check_taps(operation: str, w: Any) -> Any:
    """The shape of the kernel behind its channels; a kernel has at least one tap.

    Raises:
        ShapeError: it has none.
    """
    taps = shape_of(w)[2:]
    if any([type(n) is int and n == 0 for n in taps]):
        raise ShapeError(f"{operation}: a kernel of shape {shape_of(w)} has no taps")
    return taps


def check_rank(operation: str, w: Any, rank: int) -> None:
    """Refuses a kernel with another number of axes."""
    if len(shape_of(w)) != rank + 2:
        raise ShapeError(
            f"{operation}: w has {rank + 2} axes, two of channels and then taps, not shape"
            f" {shape_of(w)}"
        )


def check_channels(operation: str, x: Any, w: Any, channels: Any, groups: int) -> None:
    """Refuses a kernel whose `channels` are not those of `x`."""
    try:
        sizes.same_size(shape_of(x)[1], channels, operation)
    except ShapeError as error:
        raise ShapeError(
            f"{operation}: incompatible shapes {shape_of(x)} and {shape_of(w)} with"
            f" groups={groups}: x has {shape_of(x)[1]} channels, w is for {channels}"
        ) from error


def check_groups(operation: str, channels: Any, groups: int, of: str) -> None:
    """Refuses channels that are not so many equal groups."""
    if type(channels) is int and channels % groups:
        raise ShapeError(
            f"{operation}: groups={groups} does not divide the {channels} channels of {of}"
        )


def add_bias(y: Any, b: Any, operation: str) -> Any:
    """`y` with a number added to each channel; None adds nothing."""
    if b is None:
        return y
    b = inexact(b, operation, "b")
    channels = shape_of(y)[1]
    if len(shape_of(b)) != 1:
        raise ShapeError(f"{operation}: b has shape {shape_of(b)}, not ({channels},)")
    try:
        sizes.same_size(shape_of(b)[0], channels, operation)
    except ShapeError as error:
        raise ShapeError(f"{operation}: b has shape {shape_of(b)}, not ({channels},)") from error
    return y + np.expand_dims(b, tuple(range(1, len(shape_of(y)) - 1)))
