"""New values: `np.zeros(n, like=x)` and its kin (NEP 35), `zeros_like`, and evenly spaced numbers.

What is made like a box is a constant box of the same transform, so it accepts item assignment of
differentiated values. Integer and boolean arrays are constants to differentiation and come plain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, is_inexact, make_aval
from pycograd.core.box import Box, raw
from pycograd.core.dims import Dim
from pycograd.core.dtypes import current_dtype
from pycograd.core.errors import ConversionError, SymbolicSizeError, UnsupportedOperationError
from pycograd.core.sizes import number
from pycograd.core.spelling import creates, spells
from pycograd.core.views import lying_as, own
from pycograd.ops import counting
from pycograd.ops.astype import check_device, converted, duplicate
from pycograd.ops.operators import attached
from pycograd.ops.shape import broadcast_to, is_contiguous, sizes_of


def constant(like: Any, make: Callable[[], Any], shape: Any, dtype: Any) -> Any:
    """What `make` returns, of this shape and dtype, as a box of the transform of `like`.

    Where data do not exist (an abstract evaluation) nothing is made.
    """
    like = _holder(like, dtype)
    if not isinstance(like, Box):
        return make()
    bottom = like
    while isinstance(bottom.value, Box):
        bottom = bottom.value
    if not bottom._trace.owns:
        return like._trace.constant(make())
    made = bottom._trace.make(make, make_aval(shape, dtype))
    return made if bottom is like else like._trace.constant(made)


def _boxed(like: Any, made: Any) -> Any:
    """`made`, an array or a box of an outer transform, as a box of the transform of `like`."""
    if not isinstance(made, Box):
        return constant(like, lambda: made, made.shape, made.dtype)
    like = _holder(like, made.dtype)
    return attached(like, made) if isinstance(like, Box) else made


def _holder(like: Any, dtype: Any) -> Any:
    """The innermost value under `like` whose transform has boxes of this dtype."""
    while isinstance(like, Box) and like._trace.differentiates and not is_inexact(dtype):
        like = like.value
    return like


def _spread(like: Any, make: Callable[[Any], Any], sizes: Any, dtype: Any) -> Any:
    """`make(sizes)`, the same number everywhere, like a box; a symbolic shape is broadcast to."""
    if not any(isinstance(n, Dim) for n in sizes):
        return constant(like, lambda: make(sizes), sizes, dtype)
    return own(broadcast_to(constant(like, lambda: make(()), (), dtype), sizes))


# -- like= ---------------------------------------------------------------------------------------
def _filled(function: Callable[..., Any]) -> Callable[..., Any]:
    def create(
        like: Box, shape: Any, dtype: Any = None, order: Any = "C", *, device: Any = None
    ) -> Any:
        check_device(device)
        sizes, kind = sizes_of(shape), current_dtype() if dtype is None else np.dtype(dtype)
        return _spread(like, lambda sizes: function(sizes, kind, order), sizes, kind)

    return create


for _function in (np.zeros, np.ones, np.empty):
    creates(_function)(_filled(_function))


@creates(np.full)
def full(
    like: Box,
    shape: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "C",
    device: Any = None,
) -> Any:
    """A value of this shape with the same number, which may be a box, everywhere."""
    check_device(device)
    sizes, fill_value = sizes_of(shape), number(fill_value)
    if isinstance(fill_value, Box):
        filled = own(broadcast_to(fill_value, sizes))
        return _boxed(like, filled if dtype is None else converted(filled, dtype))
    fill = np.asarray(fill_value)
    if dtype is None:
        dtype = current_dtype() if type(fill_value) is float else fill.dtype
    dtype = np.dtype(dtype)
    return _spread(like, lambda sizes: np.full(sizes, fill, dtype, order), sizes, dtype)


@creates(np.array)
def array(
    like: Box,
    object: Any,
    dtype: Any = None,
    *,
    copy: Any = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    ndmax: int = 0,
) -> Any:
    """Numbers, boxes and nested lists of them as one value."""
    made = _gathered(object)
    if not isinstance(made, Box):
        made = np.array(made, dtype, copy=copy)
    elif dtype is not None and made.dtype != dtype:
        made = converted(made, dtype)
    elif made is object and copy:
        made = duplicate(made)
    made = _boxed(like, made)
    if 0 < ndmax < len(made.shape):
        raise UnsupportedOperationError(
            f"np.array: ndmax={ndmax} makes an array of objects of what has {len(made.shape)} axes,"
            " and objects have no derivative; leave it out"
        )
    missing = ndmin - len(made.shape)
    return np.expand_dims(made, tuple(range(missing))) if missing > 0 else made


def _gathered(x: Any) -> Any:
    """Nested lists that hold boxes stacked into one; what holds none as it is."""
    if isinstance(x, (list, tuple)):
        parts = [_gathered(part) for part in x]
        return np.stack(parts) if any(isinstance(part, Box) for part in parts) else x
    return number(x)


@creates(np.asarray, np.asanyarray)
def asarray(
    like: Box, a: Any, dtype: Any = None, order: Any = None, *, device: Any = None, copy: Any = None
) -> Any:
    """As `array`, without a copy of what is a box already and lies in the order asked for."""
    check_device(device)
    made = array(like, a, dtype, copy=copy)
    if order not in ("C", "F") or is_contiguous(made if order == "C" else np.transpose(made)):
        return made
    return duplicate(made, order)


@creates(np.ascontiguousarray)
def ascontiguousarray(like: Box, a: Any, dtype: Any = None) -> Any:
    """As `asarray`, with entries in C order and at least one axis."""
    return asarray(like, array(like, a, dtype, copy=None, ndmin=1), order="C")


@creates(np.asfortranarray)
def asfortranarray(like: Box, a: Any, dtype: Any = None) -> Any:
    """As `asarray`, with entries in Fortran's order."""
    return asarray(like, a, dtype, "F")


@creates(np.require)
def require(like: Box, a: Any, dtype: Any = None, requirements: Any = None) -> Any:
    """As `asarray`; boxes have no memory of their own that could be required of them."""
    return array(like, a, dtype, copy=None)


@creates(np.arange)
def arange(like: Box, *bounds: Any, **options: Any) -> Any:
    """Numbers at equal steps between plain bounds: their count may not depend on a box."""
    given = (*bounds, *options.values())
    if any(isinstance(x, Box) for x in given):
        raise ConversionError(
            "np.arange of a differentiated value: how many numbers there are would depend on it."
            " Write start + step * np.arange(n), or np.linspace(start, stop, n)"
        )
    if any(isinstance(x, Dim) for x in given):
        return _boxed(like, _from_sizes(*bounds, **options))
    return _boxed(like, np.arange(*bounds, **options))


def _from_sizes(
    start: Any,
    stop: Any = None,
    step: Any = 1,
    dtype: Any = None,
    device: Any = None,
) -> Any:
    """`np.arange` of symbolic sizes."""
    check_device(device)
    first, last = (0, start) if stop is None else (start, stop)
    kind = float if any(isinstance(x, (float, np.floating)) for x in (first, last, step)) else int
    first, last, step = [x if isinstance(x, Dim) else _whole(x) for x in (first, last, step)]
    made = first + step * counting.arange(-((first - last) // step), np.dtype(np.int64))
    return converted(made, kind if dtype is None else dtype)


def _whole(x: Any) -> int:
    if x != int(x):
        raise SymbolicSizeError(
            f"np.arange: how many numbers there are in steps of {x} to a symbolic size is no size;"
            " write x * np.arange(n, like=y)"
        )
    return int(x)


@creates(np.eye)
def eye(
    like: Box,
    N: Any,
    M: Any = None,
    k: int = 0,
    dtype: Any = float,
    order: Any = "C",
    *,
    device: Any = None,
) -> Any:
    """Ones on a diagonal, zeros elsewhere."""
    check_device(device)
    columns = N if M is None else M
    if not isinstance(N, Dim) and not isinstance(columns, Dim):
        return _boxed(like, np.eye(N, M, k, dtype, order))
    ones: Any = np.equal(np.expand_dims(counting.arange(N), 1) + k, counting.arange(columns))
    return _boxed(like, converted(ones, dtype))


@creates(np.identity)
def identity(like: Box, n: Any, dtype: Any = None) -> Any:
    """Ones on the main diagonal, zeros elsewhere."""
    return eye(like, n, dtype=dtype)


@creates(np.tri)
def tri(like: Box, N: Any, M: Any = None, k: int = 0, dtype: Any = float) -> Any:
    """Ones on and below a diagonal, zeros above."""
    return _boxed(like, converted(counting.below(N, N if M is None else M, k), dtype))


@creates(np.fromfunction)
def fromfunction(
    like: Box, function: Callable[..., Any], shape: Any, *, dtype: Any = float, **kwargs: Any
) -> Any:
    """`function` of the coordinates of every entry."""
    return _boxed(like, np.asanyarray(function(*np.indices(shape, dtype), **kwargs), like=like))


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda like, *args, **kwargs: _boxed(like, function(*args, **kwargs))


for _maker in (
    np.fromiter, np.frombuffer, np.fromstring, np.fromfile, np.loadtxt, np.genfromtxt,
):  # fmt: skip
    creates(_maker)(_plain(_maker))


# -- in the form of another value ----------------------------------------------------------------
def _like(function: Callable[..., Any]) -> Callable[..., Any]:
    def create(
        a: Box,
        dtype: Any = None,
        order: Any = "K",
        subok: bool = True,
        shape: Any = None,
        *,
        device: Any = None,
    ) -> Any:
        check_device(device)
        sizes = a.shape if shape is None else sizes_of(shape)
        kind = a.dtype if dtype is None else np.dtype(dtype)
        return _spread(a, lambda sizes: _laid(function(sizes, kind), a, order), sizes, kind)

    return create


def _laid(made: Any, a: Any, order: Any) -> Any:
    """`made` in memory as `order` says: as `a` for "K", or in an order for all."""
    if order == "A":
        order = "C" if is_contiguous(a) or not is_contiguous(np.transpose(a)) else "F"
    return lying_as(made, a) if order == "K" else np.copy(made, order=order)


spells(np.zeros_like)(_like(np.zeros))
spells(np.ones_like)(_like(np.ones))
spells(np.empty_like)(_like(np.empty))


@spells(np.full_like)
def full_like(
    a: Box,
    fill_value: Any,
    dtype: Any = None,
    order: Any = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Any:
    """A value in the form of `a` with the same number, which may be a box, everywhere."""
    check_device(device)
    made = full(a, a.shape if shape is None else shape, fill_value, dtype or a.dtype)
    return _laid(made, a, order)


def _listed(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, (list, tuple)) else x


# -- evenly spaced -------------------------------------------------------------------------------
@spells(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """`num` numbers at equal distances from `start` to `stop`."""
    check_device(device)
    num = index(num)
    if num < 0:
        raise ValueError(f"linspace: the number of samples, {num}, must not be negative")
    start, stop = _listed(start), _listed(stop)
    kind = np.result_type(start, stop)
    if not is_inexact(kind):
        kind = np.result_type(kind, 0.0)
    start, stop = (converted(x, kind) for x in (start, stop))
    parts = num - 1 if endpoint else num
    reach = np.subtract(stop, start)
    step = reach / parts if parts > 0 else math.nan
    number: Any = np.reshape(np.arange(num, dtype=kind), (-1,) + (1,) * len(reach.shape))
    made = start + number * (step if parts > 0 else reach)
    if endpoint and num > 1:
        made = np.where(number == num - 1, stop, made)
    if axis != 0:
        made = np.moveaxis(made, 0, axis)
    if dtype is not None:
        made = converted(made if is_inexact(np.dtype(dtype)) else np.floor(made), dtype)
    return (made, step) if retstep else made


@spells(np.logspace)
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`base` to the power of evenly spaced exponents."""
    if np.ndim(base):
        # As NumPy: the axis of samples stands among those of start, stop and base broadcast.
        ndim = max(np.ndim(x) for x in (start, stop, base))
        start, stop, base = (
            np.reshape(x, (1,) * (ndim - np.ndim(x)) + np.shape(x)) for x in (start, stop, base)
        )
        base = np.expand_dims(base, axis)
    made = np.power(base, np.linspace(start, stop, num, endpoint, axis=axis))
    return made if dtype is None else converted(made, dtype)


@spells(np.geomspace)
def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` numbers at equal ratios from `start` to `stop`."""
    for x in (start, stop):
        bottom = raw(x)
        if not isinstance(bottom, ShapeDtypeStruct) and np.any(np.equal(bottom, 0)):
            raise ValueError("geomspace: a geometric sequence cannot include zero")
    start, stop = _listed(start), _listed(stop)
    # As NumPy: without dtype= the result is float64 at least.
    kind = np.result_type(start, stop, float(num), np.zeros((), dtype))
    start, stop = (converted(x, kind) for x in (start, stop))
    turn = np.sign(start)  # negative and complex sequences start on the positive axis, then turn
    start, stop = start / turn, stop / turn
    made = np.logspace(np.log10(start), np.log10(stop), num, endpoint)
    number: Any = np.reshape(np.arange(num), (-1,) + (1,) * (len(made.shape) - 1))
    made = np.where(number == 0, start, made)
    if endpoint and num > 1:
        made = np.where(number == num - 1, stop, made)
    made = made * turn
    if axis != 0:
        made = np.moveaxis(made, 0, axis)
    return made if dtype is None else converted(made, dtype)
