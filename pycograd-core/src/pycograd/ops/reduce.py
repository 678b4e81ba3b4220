"""Reductions: every `ufunc.reduce` that has a meaning, and the NumPy names that are one.

Each is a `Reduction`: the derivative is a weighted sum along the reduced axes, and one formula, the
weight, is written for it. `sum` is on the hot path: it records a float `Var` of a live tape inline.

Conventions: ties of `max` and `min` share equally; where the result is nan the nan entries take the
gradient; `prod` is exact with zeros (its weight is the product of the other entries).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from operator import index
from typing import Any

import numpy as np

from pycograd.core import elementwise
from pycograd.core.aval import FLOAT32, FLOAT64, dtype_of, shape_of
from pycograd.core.box import Box, raw
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.core.fit import add_up, cast
from pycograd.core.linear import Reduction
from pycograd.core.sizes import number
from pycograd.core.spelling import spells
from pycograd.core.tape import Var, slot_of
from pycograd.ops.axes import axes_of
from pycograd.ops.cumulative import array, gap, others
from pycograd.ops.elementwise import ratio
from pycograd.ops.out import deliver

UNSET: Any = np._NoValue  # NumPy's own default of keywords that were not given
_new, _ndarray = object.__new__, np.ndarray
_add_reduce: Any = np.add.reduce


# -- the primitives --------------------------------------------------------------------------------
@lru_cache(maxsize=1024)
def reduced_dtype(ufunc: np.ufunc, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What NumPy reduces this dtype to: it widens small integers."""
    return ufunc.reduce(np.ones(1, dtype)).dtype  # type: ignore[no-any-return]


def _add_up(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    if getattr(x, "itemsize", 0) == 2:  # not of a Python number
        return add_up(x, axis, keepdims)
    return _add_reduce(x, axis, None, None, keepdims)


class _Reduction(Reduction):
    """`ufunc.reduce`; floats of 16 bits are added up in 32."""

    def __init__(
        self, name: str, ufunc: np.ufunc, weight: Callable[..., Any] | None, **options: Any
    ) -> None:
        run: Any = ufunc.reduce
        self.ufunc = ufunc
        adds = ufunc is np.add
        super().__init__(
            name,
            _add_up if adds else lambda x, axis, keepdims: run(x, axis, None, None, keepdims),
            weight,
            dtype=lambda x: reduced_dtype(ufunc, x.dtype),
            **options,
        )

    def shape(self, avals: Any, params: Any) -> Any:
        (x,), axis = avals, params["axis"]
        if self.ufunc.identity is None and 0 in [x.shape[i] for i in axis]:
            raise ShapeError(
                f"{self.name}: an array of shape {x.shape} has no entries to reduce along"
                f" axis {axis}; give initial="
            )
        return super().shape(avals, params)


class _Sum(_Reduction):
    """`sum`, whose vjp needs nothing but shapes."""

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        shape = shape_of(values[0])
        return spread, (shape, _kept_shape(shape, params["axis"], params["keepdims"]))


def _kept_shape(shape: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """The shape that gives a sum its axes back as 1; None where it broadcasts without."""
    if keepdims or len(axis) == len(shape):
        return None
    return tuple([1 if i in axis else n for i, n in enumerate(shape)])


def spread(ct: Any, residual: Any) -> Any:
    """The transpose of a sum: the cotangent repeated along the summed axes."""
    shape, kept = residual
    if isinstance(ct, Box):
        if elementwise.all_rows(ct):
            value = ct.value
            given = value.shape[1:] or (1,) * len(shape) if kept is None else kept
            out = np.empty((len(value), *shape), value.dtype)
            out[...] = value.reshape(len(value), *given)
            return ct._trace.box(out, True)
        return np.broadcast_to(ct if kept is None else np.reshape(ct, kept), shape)
    if type(ct) is float:
        ct = np.float64(ct)
    if ct.shape == () and ct.dtype.kind == "f":
        # One number seen through strides of 0, for a tenth of the price of np.broadcast_to.
        view: Any = _ndarray(shape, ct.dtype, ct, 0, (0,) * len(shape))
        view.flags.writeable = False
        return view
    out = np.empty(shape, ct.dtype)
    out[...] = ct if kept is None else ct.reshape(kept)
    return out


def _winners(ans: Any, x: Any) -> Any:
    """The entries that made an extremum: ties share equally, a nan takes its own."""
    won = x == ans
    known = raw(ans)
    if isinstance(known, (_ndarray, np.generic)) and not np.isnan(known).any():
        return won  # the common case, seen on the small result
    return won | (x != x)


sum_of = _Sum("sum", np.add, None)

REDUCERS: dict[np.ufunc, Reduction] = {
    np.add: sum_of,
    np.multiply: _Reduction("prod", np.multiply, lambda x, axis: others(x, axis)),
    np.maximum: _Reduction("max", np.maximum, _winners),
    np.minimum: _Reduction("min", np.minimum, _winners),
    np.fmax: _Reduction("fmax_reduce", np.fmax, lambda ans, x: x == ans),
    np.fmin: _Reduction("fmin_reduce", np.fmin, lambda ans, x: x == ans),
    np.logaddexp: _Reduction("logaddexp_reduce", np.logaddexp, lambda ans, x: np.exp(gap(x, ans))),
    np.logaddexp2: _Reduction(
        "logaddexp2_reduce", np.logaddexp2, lambda ans, x: np.exp2(gap(x, ans))
    ),
    np.hypot: _Reduction("hypot_reduce", np.hypot, lambda ans, x: ratio(x, ans)),
    np.logical_or: _Reduction("any", np.logical_or, None, zero=True),
    np.logical_and: _Reduction("all", np.logical_and, None, zero=True),
    **{
        f: _Reduction(f"{f.__name__}_reduce", f, None, zero=True)
        for f in (np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.gcd, np.lcm)
    },
}


def _arg(method: str) -> Reduction:
    def impl(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        if len(axis) == 1:
            return getattr(x, method)(axis[0], None, keepdims=keepdims)
        rest = [i for i in range(np.ndim(x)) if i not in axis]
        rows = np.transpose(x, (*rest, *axis)).reshape(*[x.shape[i] for i in rest], -1)
        found = getattr(rows, method)(-1)
        return np.expand_dims(found, axis) if keepdims else found

    return Reduction(method, impl, None, dtype=lambda x: np.dtype(np.intp), zero=True)


argmax_of, argmin_of = _arg("argmax"), _arg("argmin")


def count(x: Any, axis: tuple[int, ...]) -> Any:
    """The number of entries along the axes, to compute with: an int, or a value of one."""
    return number(math.prod([shape_of(x)[i] for i in axis]))


# -- ufunc.reduce ----------------------------------------------------------------------------------
def reduce(
    ufunc: np.ufunc,
    a: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = UNSET,
    where: Any = True,
    name: str | None = None,
) -> Any:
    """`ufunc.reduce` with NumPy's arguments; `name` is what the user called, for messages."""
    name = name or f"{ufunc.__name__}.reduce"
    primitive = REDUCERS.get(ufunc)
    if primitive is None:
        raise UnsupportedOperationError(
            f"np.{name} has no rule for differentiated values; those that have are"
            f" {', '.join(sorted(f.__name__ for f in REDUCERS))}"
        )
    a = array(a)
    axes = reduced_axes(axis, a, name)
    if type(out) is tuple:
        (out,) = out
    if dtype is None and out is not None and ufunc in (np.add, np.multiply):
        dtype = out.dtype  # as NumPy does, so that a wider `out` means a wider sum
    if dtype is not None:
        dtype = np.dtype(dtype)
        a = cast(a, dtype)
    if initial is None:
        initial = UNSET
    if where is not True and where is not UNSET:
        fill = initial if ufunc.identity is None else ufunc.identity
        if fill is UNSET:
            raise ValueError(
                f"{name}: where= needs initial=, since the reduction of no entries has no value"
            )
        a = masked(a, where, _typed(fill, dtype_of(a)), name)
    kept = keepdims is not UNSET and bool(keepdims)
    if initial is UNSET:
        ans = primitive(a, axis=axes, keepdims=kept)
    elif ufunc.identity is None and 0 in [shape_of(a)[i] for i in axes]:
        ans = np.sum(a, axis=axes, dtype=dtype_of(a), keepdims=kept) + _typed(initial, dtype_of(a))
    else:
        ans = primitive(a, axis=axes, keepdims=kept)
        ans = ufunc(ans, _typed(initial, dtype_of(ans)))
    return deliver(ans if dtype is None else cast(ans, dtype), out)


def reduced_axes(axis: Any, a: Any, name: str) -> tuple[int, ...]:
    """The axes to reduce; NumPy lets a 0-d value be reduced over its absent axis."""
    rank = len(shape_of(a))
    return () if rank == 0 and axis in (0, -1) else axes_of(axis, rank, name)


def masked(a: Any, where: Any, fill: Any, name: str) -> Any:
    """`a` with `fill` in the place of the entries that a reduction leaves out."""
    if len(shape_of(where)) > len(shape_of(a)):
        raise ShapeError(
            f"{name}: where= of shape {shape_of(where)} does not fit shape {shape_of(a)}"
        )
    return np.where(array(where), a, fill)


def _typed(value: Any, dtype: np.dtype[Any]) -> Any:
    return cast(value, dtype) if isinstance(value, Box) else np.asarray(value).astype(dtype)[()]


# -- NumPy's names ---------------------------------------------------------------------------------
@spells(np.sum)
def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    initial: Any = UNSET,
    where: Any = UNSET,
) -> Any:
    """Sums over axes."""
    if type(a) is Var and dtype is None and out is None and initial is UNSET and where is UNSET:
        tape, value = a._trace, a.value
        if type(tape) is elementwise.hot and (
            (known := value.dtype) is FLOAT64 or known is FLOAT32
        ):
            shape, kept = value.shape, None
            keepdims = keepdims is not UNSET and bool(keepdims)
            if axis is not None:
                axis = reduced_axes(axis, value, "sum")
                kept = _kept_shape(shape, axis, keepdims)
            if type(value) is _ndarray:
                ans = _add_reduce(value, axis, None, None, keepdims)
            else:
                ans = sum(value, axis, keepdims=keepdims)
            steps = tape.steps
            step = (spread, a.slot, (shape, kept))
            steps.append(step)
            box: Var = _new(Var)
            box.value, box._trace, box.slot = ans, tape, len(steps) - 1
            if steps[-1] is not step:
                box.slot = slot_of(steps, step)
            return box
    return reduce(np.add, a, axis, dtype, out, keepdims, initial, where, "sum")


@spells(np.prod)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    initial: Any = UNSET,
    where: Any = UNSET,
) -> Any:
    """Products over axes."""
    return reduce(np.multiply, a, axis, dtype, out, keepdims, initial, where, "prod")


@spells(np.max, np.amax)
def max(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    initial: Any = UNSET,
    where: Any = UNSET,
) -> Any:
    """Greatest entries."""
    return reduce(np.maximum, a, axis, None, out, keepdims, initial, where, "max")


@spells(np.min, np.amin)
def min(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    initial: Any = UNSET,
    where: Any = UNSET,
) -> Any:
    """Least entries."""
    return reduce(np.minimum, a, axis, None, out, keepdims, initial, where, "min")


@spells(np.any)
def any(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = UNSET, *, where: Any = UNSET
) -> Any:
    """Whether some entry is true."""
    return reduce(np.logical_or, a, axis, None, out, keepdims, UNSET, where, "any")


@spells(np.all)
def all(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = UNSET, *, where: Any = UNSET
) -> Any:
    """Whether every entry is true."""
    return reduce(np.logical_and, a, axis, None, out, keepdims, UNSET, where, "all")


@spells(np.argmax)
def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = UNSET) -> Any:
    """The index of the first greatest entry."""
    return _index_of(argmax_of, a, axis, out, keepdims)


@spells(np.argmin)
def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = UNSET) -> Any:
    """The index of the first least entry."""
    return _index_of(argmin_of, a, axis, out, keepdims)


def _index_of(primitive: Reduction, a: Any, axis: Any, out: Any, keepdims: Any) -> Any:
    axes = reduced_axes(axis if axis is None else index(axis), a, primitive.name)
    return deliver(primitive(a, axis=axes, keepdims=keepdims is not UNSET and bool(keepdims)), out)


@spells(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The number of entries that are not zero."""
    return np.sum(a != 0, axis=axis, dtype=np.intp, keepdims=keepdims)


@spells(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = UNSET) -> Any:
    """The greatest entry less the least."""
    return deliver(max(a, axis, None, keepdims) - min(a, axis, None, keepdims), out)
