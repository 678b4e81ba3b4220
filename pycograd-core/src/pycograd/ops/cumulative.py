"""Running sums, products and extrema, and their kin (`diff`, `trapezoid`).

Their derivatives are running sums too. That of a product is a linear recurrence,

    T[k] = x[k] T[k-1] + y[k-1] t[k],

which needs no division and so is exact where entries are zero. `recurrence` is a primitive whose
own derivatives are recurrences, so every order is exact. Of equal entries the first is the running
maximum, and takes the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate as running
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, dtype_of, make_aval, shape_of
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.core.fit import cast
from pycograd.core.linear import General, Linear, ZeroDerivative
from pycograd.core.primitive import Primitive
from pycograd.core.spelling import spells
from pycograd.core.views import lying_as
from pycograd.ops.axes import axis_of
from pycograd.ops.out import deliver
from pycograd.ops.shape import flat

UNSET: Any = np._NoValue  # NumPy's own default of keywords that were not given


def array(a: Any) -> Any:
    """A list given beside a box, as the array that NumPy makes of it."""
    return np.asarray(a) if isinstance(a, (list, tuple)) else a


def _along(axis: int, part: Any) -> tuple[Any, ...]:
    """The index that takes `part` of one axis and all of the others."""
    return (slice(None),) * axis + (part,)


def _reversed(x: Any, axis: int, reverse: bool) -> Any:
    return x[_along(axis, slice(None, None, -1))] if reverse else x


def _run(ufunc: np.ufunc, x: Any, axis: int, reverse: bool) -> Any:
    """`ufunc.accumulate`, from the far end if `reverse`."""
    return _reversed(ufunc.accumulate(_reversed(x, axis, reverse), axis), axis, reverse)


@lru_cache(maxsize=1024)
def _accumulated_dtype(ufunc: np.ufunc, dtype: np.dtype[Any]) -> np.dtype[Any]:
    return ufunc.accumulate(np.ones(1, dtype)).dtype  # type: ignore[no-any-return]


def _like(x: ShapeDtypeStruct, *others: Any, **params: Any) -> ShapeDtypeStruct:
    return make_aval(x.shape, x.dtype)


def _next_axis(primitive: Callable[..., Any]) -> Callable[..., Any]:
    """The batch rule of a one-operand primitive that works along `axis`."""

    def batch(size: int, values: Any, mapped: Any, *, axis: int, **params: Any) -> Any:
        return primitive()(*values, axis=axis + 1, **params)

    return batch


# -- sums ------------------------------------------------------------------------------------------
cumsum_of: Linear = Linear(
    "cumsum",
    lambda x, axis, reverse: _run(np.add, x, axis, reverse),
    transposes={"x": lambda ct, axis, reverse: cumsum_of(ct, axis=axis, reverse=not reverse)},
    shape=lambda x, axis, reverse: make_aval(x.shape, _accumulated_dtype(np.add, x.dtype)),
    batch=_next_axis(lambda: cumsum_of),
)
cumsum_of.fresh = True


# -- recurrences -----------------------------------------------------------------------------------
def _shift(x: Any, first: Any, axis: int, reverse: bool) -> Any:
    out = np.empty_like(x)
    ahead, behind = slice(1, None), slice(None, -1)
    if reverse:
        out[_along(axis, behind)], start = x[_along(axis, ahead)], slice(-1, None)
    else:
        out[_along(axis, ahead)], start = x[_along(axis, behind)], slice(None, 1)
    out[_along(axis, start)] = first
    return out


# y[k] = x[k - 1] with y[0] = first; the other way round if `reverse`.
shift: Linear = Linear(
    "shift",
    _shift,
    operands=("x", "first"),
    transposes={
        "x": lambda ct, axis, reverse: shift(ct, 0.0, axis=axis, reverse=not reverse),
        "first": lambda ct, axis, reverse: np.sum(np.take(ct, [-1 if reverse else 0], axis=axis)),
    },
    shape=_like,
    batch=lambda size, values, mapped, axis, reverse: _shift_rows(
        size, values, mapped, axis, reverse
    ),
)


def _shift_rows(size: int, values: Any, mapped: Any, axis: int, reverse: bool) -> Any:
    x, first = values
    if not mapped[0]:
        x = np.broadcast_to(x, (size, *shape_of(x)))
    if not mapped[1]:
        return shift(x, first, axis=axis + 1, reverse=reverse)
    # A number for each row: zeros there, and the number times an indicator of the place.
    there = shift(np.zeros_like(x), 1.0, axis=axis + 1, reverse=reverse)
    first = np.reshape(cast(first, dtype_of(x)), (size,) + (1,) * (len(shape_of(x)) - 1))
    return shift(x, 0.0, axis=axis + 1, reverse=reverse) + first * there


_FEW_ROWS = 16


def _recur(a: Any, b: Any, axis: int, reverse: bool) -> Any:
    out = np.empty(b.shape, np.result_type(a, b))
    a, b, h = (np.moveaxis(_reversed(v, axis, reverse), axis, 0) for v in (a, b, out))
    if out.size == 0:
        return out
    if out.size // len(h) > _FEW_ROWS:
        h[0] = b[0]
        for k in range(1, len(h)):
            np.multiply(a[k], h[k - 1], h[k])
            h[k] += b[k]
        return out
    # For few rows the interpreter's own numbers are several times faster than one-entry arrays.
    for row in np.ndindex(h.shape[1:]):
        at = (slice(None), *row)
        steps = zip(a[at].tolist(), b[at].tolist())
        _, start = next(steps)
        h[at] = list(running(steps, lambda last, ab: ab[0] * last + ab[1], initial=start))
    return out


class _Recurrence(Primitive):
    """`h[k] = a[k] h[k - 1] + b[k]` along an axis, from 0; from the far end if `reverse`."""

    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        a, _ = values
        ta, tb = tangents
        if ta is not None:
            push = ta * shift(ans, 0.0, **params)
            tb = push if tb is None else tb + push
        return self(a, tb, **params)

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        return self._pull, (values[0], ans, live, params["axis"], params["reverse"])

    def _pull(self, ct: Any, residual: Any) -> Any:
        a, ans, live, axis, reverse = residual
        after = shift(a, 0.0, axis=axis, reverse=not reverse)
        to_b = self(_conj(after), ct, axis=axis, reverse=not reverse)
        cts = []
        for i in live:
            if i == 0:
                before = shift(ans, 0.0, axis=axis, reverse=reverse)
                cts.append(to_b * _conj(before))
            else:
                cts.append(to_b)
        return cts[0] if len(cts) == 1 else tuple(cts)

    def batch(self, size: int, values: Any, mapped: Any, params: Any) -> Any:
        a, b = (
            v if m else np.broadcast_to(v, (size, *shape_of(v))) for v, m in zip(values, mapped)
        )
        return self(a, b, axis=params["axis"] + 1, reverse=params["reverse"])

    def shape(self, avals: Any, params: Any) -> Any:
        a, b = avals
        return make_aval(b.shape, np.result_type(a.dtype, b.dtype))


recurrence = _Recurrence("recurrence", _recur)


def _conj(x: Any) -> Any:
    return np.conj(x) if dtype_of(x).kind == "c" else x


# -- products --------------------------------------------------------------------------------------
def _after(x: Any, axis: int, reverse: bool) -> Any:
    return shift(x, 0.0, axis=axis, reverse=not reverse)


def _before(ans: Any, axis: int, reverse: bool) -> Any:
    """The product of the entries before each one."""
    return shift(ans, 1.0, axis=axis, reverse=reverse)


cumprod_of: General = General(
    "cumprod",
    lambda x, axis, reverse: _run(np.multiply, x, axis, reverse),
    jvp=lambda t, ans, x, axis, reverse: recurrence(
        x, t * _before(ans, axis, reverse), axis=axis, reverse=reverse
    ),
    vjp=lambda ct, ans, x, axis, reverse: (
        _conj(_before(ans, axis, reverse))
        * recurrence(_conj(_after(x, axis, reverse)), ct, axis=axis, reverse=not reverse)
    ),
    shape=lambda x, axis, reverse: make_aval(x.shape, _accumulated_dtype(np.multiply, x.dtype)),
    batch=_next_axis(lambda: cumprod_of),
)


def others(x: Any, axis: tuple[int, ...]) -> Any:
    """The product of all the other entries along the axes: the derivative of `prod`."""
    if not axis:
        return np.ones_like(x)
    first, rest = axis[0], axis[1:]
    before, after = (_before(cumprod_of(x, axis=first, reverse=r), first, r) for r in (False, True))
    here = before * after
    return here * others(np.prod(x, axis=first, keepdims=True), rest) if rest else here


# -- logarithms of sums ----------------------------------------------------------------------------
def gap(part: Any, whole: Any) -> Any:
    """part - whole, where two equal infinities differ by 0: the logarithm of a share."""
    same = part == whole
    return np.where(same, 0, part) - np.where(same, 0, whole)


def _log_weights(exp: np.ufunc, ans: Any, x: Any, axis: int) -> tuple[Any, Any]:
    """What entry k adds to the running sum k, and what remains there of the sum before it."""
    before = shift(ans, -np.inf, axis=axis, reverse=False)
    return exp(gap(x, ans)), exp(gap(before, ans))


def _log_accumulation(ufunc: np.ufunc, exp: np.ufunc) -> General:
    def jvp(t: Any, ans: Any, x: Any, axis: int) -> Any:
        new, old = _log_weights(exp, ans, x, axis)
        return recurrence(old, t * new, axis=axis, reverse=False)

    def vjp(ct: Any, ans: Any, x: Any, axis: int) -> Any:
        new, old = _log_weights(exp, ans, x, axis)
        return new * recurrence(_after(old, axis, False), ct, axis=axis, reverse=True)

    primitive = General(
        f"{ufunc.__name__}_accumulate",
        lambda x, axis: ufunc.accumulate(x, axis),
        jvp=jvp,
        vjp=vjp,
        shape=lambda x, axis: make_aval(x.shape, _accumulated_dtype(ufunc, x.dtype)),
        batch=_next_axis(lambda: primitive),
    )
    return primitive


# -- extrema ---------------------------------------------------------------------------------------
def _running_index(x: Any, axis: int, ufunc: str) -> Any:
    """Where the running extremum was first met."""
    best = getattr(np, ufunc).accumulate(x, axis)
    n = x.shape[axis]
    fresh = np.ones(x.shape, bool)
    last, now = best[_along(axis, slice(None, -1))], best[_along(axis, slice(1, None))]
    # A nan stays the maximum; fmax leaves it behind.
    fresh[_along(axis, slice(1, None))] = (
        (now != last) if ufunc.startswith("f") else (now != last) & (last == last)
    )
    count = np.reshape(np.arange(n), (n,) + (1,) * (x.ndim - axis - 1))
    return np.maximum.accumulate(np.where(fresh, count, 0), axis)


running_index: ZeroDerivative = ZeroDerivative(
    "running_index",
    _running_index,
    shape=lambda x, axis, ufunc: make_aval(x.shape, np.dtype(np.intp)),
    batch=_next_axis(lambda: running_index),
)


def _extremum(ufunc: np.ufunc) -> Callable[..., Any]:
    def run(x: Any, axis: int) -> Any:
        index = running_index(x, axis=axis, ufunc=ufunc.__name__)
        return np.take_along_axis(x, index, axis)

    return run


constant_accumulation: ZeroDerivative = ZeroDerivative(
    "accumulate",
    lambda x, axis, ufunc: getattr(np, ufunc).accumulate(x, axis),
    shape=lambda x, axis, ufunc: make_aval(
        x.shape, _accumulated_dtype(getattr(np, ufunc), x.dtype)
    ),
    batch=_next_axis(lambda: constant_accumulation),
)


def _constant(ufunc: np.ufunc) -> Callable[..., Any]:
    return lambda x, axis: constant_accumulation(x, axis=axis, ufunc=ufunc.__name__)


# ufunc -> f(x, axis)
ACCUMULATORS: dict[Any, Callable[..., Any]] = {
    np.add: lambda x, axis: cumsum_of(x, axis=axis, reverse=False),
    np.multiply: lambda x, axis: cumprod_of(x, axis=axis, reverse=False),
    np.logaddexp: _log_accumulation(np.logaddexp, np.exp),
    np.logaddexp2: _log_accumulation(np.logaddexp2, np.exp2),
    **{f: _extremum(f) for f in (np.maximum, np.minimum, np.fmax, np.fmin)},
    **{
        f: _constant(f)
        for f in (
            np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and, np.bitwise_or,
            np.bitwise_xor, np.gcd, np.lcm,
        )
    },
}  # fmt: skip


def accumulate(ufunc: np.ufunc, a: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
    """`ufunc.accumulate` with NumPy's arguments."""
    name = f"{ufunc.__name__}.accumulate"
    run = ACCUMULATORS.get(ufunc)
    if run is None:
        raise UnsupportedOperationError(
            f"np.{name} has no rule for differentiated values; those that have are"
            f" {', '.join(sorted(f.__name__ for f in ACCUMULATORS))}"
        )
    a = array(a)
    axis = axis_of(axis, len(shape_of(a)), name)
    if dtype is not None:
        dtype = np.dtype(dtype)
        a = cast(a, dtype)
    ans = lying_as(run(a, axis=axis), a)
    return deliver(ans if dtype is None else cast(ans, dtype), out)


# -- NumPy's names ---------------------------------------------------------------------------------
def _flat(a: Any, axis: Any) -> tuple[Any, Any]:
    """`a` and the axis to run along, which without an axis is that of the raveled array."""
    a = array(a)
    whole = axis is None or (shape_of(a) == () and axis in (0, -1))
    return (flat(a), 0) if whole else (a, axis)


@spells(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Running sums along an axis."""
    a, axis = _flat(a, axis)
    return accumulate(np.add, a, axis, dtype, out)


@spells(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Running products along an axis."""
    a, axis = _flat(a, axis)
    return accumulate(np.multiply, a, axis, dtype, out)


@spells(np.nancumsum)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Running sums in which a nan counts as 0."""
    return cumsum(without_nan(a, 0), axis, dtype, out)


@spells(np.nancumprod)
def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Running products in which a nan counts as 1."""
    return cumprod(without_nan(a, 1), axis, dtype, out)


def without_nan(a: Any, fill: Any) -> Any:
    """`a` with `fill` in the place of every nan."""
    a = array(a)
    return np.where(np.isnan(a), fill, a) if dtype_of(a).kind in "fcV" else a


def _cumulative(name: str, run: Callable[..., Any], start: Callable[..., Any]) -> Any:
    def cumulative(
        x: Any,
        /,
        *,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        include_initial: bool = False,
    ) -> Any:
        shape = shape_of(x)
        if axis is None:
            if len(shape) != 1:
                raise ShapeError(f"{name}: shape {shape} needs axis=, being of several dimensions")
            axis = 0
        axis = axis_of(axis, len(shape), name)
        ans = run(x, axis, dtype)
        if include_initial:
            first = start(shape[:axis] + (1,) + shape[axis + 1 :], dtype_of(ans))
            ans = np.concatenate([first, ans], axis)
        return deliver(ans, out)

    cumulative.__name__ = name
    cumulative.__doc__ = f"The Array API's form of {run.__name__}."
    return cumulative


if hasattr(np, "cumulative_sum"):  # NumPy 2.1
    spells(np.cumulative_sum)(_cumulative("cumulative_sum", cumsum, np.zeros))
    spells(np.cumulative_prod)(_cumulative("cumulative_prod", cumprod, np.ones))


@spells(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = UNSET, append: Any = UNSET) -> Any:
    """Differences of neighbours along an axis, taken `n` times."""
    a = array(a)
    if n == 0:
        return a
    if n < 0:
        raise ValueError(f"diff: the order n must be at least 0, not {n}")
    shape = shape_of(a)
    if not shape:
        raise ShapeError("diff: its input must have at least one dimension")
    axis = axis_of(axis, len(shape), "diff")
    parts = []
    for part in (prepend, a, append):
        if part is UNSET:
            continue
        if shape_of(part) == ():
            part = np.broadcast_to(part, shape[:axis] + (1,) + shape[axis + 1 :])
        parts.append(part)
    if len(parts) > 1:
        a = np.concatenate(parts, axis)
    ahead, behind = _along(axis, slice(1, None)), _along(axis, slice(None, -1))
    for _ in range(n):
        a = a[ahead] != a[behind] if dtype_of(a).kind == "b" else a[ahead] - a[behind]
    return a


@spells(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours of the raveled array, between given ends."""
    ary = np.reshape(array(ary), -1)
    dtype = dtype_of(ary)
    parts = [ary[1:] - ary[:-1]]
    for name, end, at in (("to_begin", to_begin, 0), ("to_end", to_end, len(parts))):
        if end is not None:
            if not np.can_cast(dtype_of(end), dtype, "same_kind"):
                raise TypeError(f"ediff1d: {name} of dtype {dtype_of(end)} does not fit {dtype}")
            parts.insert(at if name == "to_begin" else len(parts), cast(np.ravel(end), dtype))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


@spells(*[getattr(np, n) for n in ("trapezoid", "trapz") if hasattr(np, n)])
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of samples by the trapezoidal rule."""
    y = array(y)
    shape = shape_of(y)
    axis = axis_of(axis, len(shape), "trapezoid")
    ahead, behind = _along(axis, slice(1, None)), _along(axis, slice(None, -1))
    if x is None:
        step = dx
    elif len(shape_of(x)) == 1:
        step = np.reshape(np.diff(x), (-1,) + (1,) * (len(shape) - axis - 1))
    else:
        step = np.diff(x, axis=axis)
    return np.sum(step * (y[ahead] + y[behind]) / 2.0, axis)
