"""Conversion between dtypes, rounding, and what NumPy says about dtypes, values and memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, is_inexact, make_aval, shape_of
from pycograd.core.box import Box, raw
from pycograd.core.elementwise import Elementwise
from pycograd.core.errors import ControlFlowError, UnsupportedOperationError
from pycograd.core.linear import Linear
from pycograd.core.primitive import bind
from pycograd.core.spelling import spells
from pycograd.core.views import as_array, is_buffer
from pycograd.ops.complex import complex_of
from pycograd.ops.operators import update
from pycograd.ops.out import deliver
from pycograd.ops.shape import array


# -- conversion ----------------------------------------------------------------------------------
def _convert(x: Any, dtype: Any) -> Any:
    return array(x).astype(dtype, copy=False)


# A cotangent is converted back by fitting, which takes its real part where the operand is real.
_astype = Elementwise("astype", _convert, [lambda t: t], spellings=(), dtype=lambda x, dtype: dtype)
_to_integer = Elementwise(
    "to_integer", _convert, [None], spellings=(), dtype=lambda x, dtype: dtype
)
# Linear, so that a tangent is copied too: whoever copies means to write into what he copied from.
_copy: Linear = Linear(
    "copy",
    lambda x, order: np.array(x, order=order),
    transposes={"x": lambda ct: ct},
    shape=lambda x, order: make_aval(x.shape, x.dtype),
    batch=lambda size, values, mapped, order: bind(_copy, values, {"order": order}),
)
_copy.fresh = True


@spells(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """The value in another dtype; a constant if that is an integer or a boolean one."""
    check_device(device)
    want = np.dtype(dtype)
    if x.dtype == want:
        return copied(x) if copy else x
    if want.kind not in "biu" and not is_inexact(want):
        raise UnsupportedOperationError(
            f"astype: a differentiated value has no {want} form; stop_gradient(x) makes it plain"
        )
    if x.dtype.kind == "c" and want.kind in "fiu":
        message = "Casting complex values to real discards the imaginary part"
        warnings.warn(message, np.exceptions.ComplexWarning, stacklevel=3)
        x = np.real(x)
        if x.dtype == want:
            return copied(x)
    made = bind(_astype if is_inexact(want) else _to_integer, (x,), {"dtype": want})
    return made if x.shape or not is_buffer(x) else as_array(made)


def check_device(device: Any) -> None:
    """Refuses a device that NumPy would."""
    if device not in (None, "cpu"):
        raise ValueError(f'Device not understood. Only "cpu" is allowed, but received: {device}')


def converted(x: Any, dtype: Any) -> Any:
    """A box, or anything like an array, in this dtype."""
    return astype(x, dtype, copy=False) if isinstance(x, Box) else np.asarray(x, dtype)


@spells(np.copy)
def duplicate(a: Any, order: str = "K", subok: bool = False) -> Any:
    """The same value in memory of its own: later writes to either do not change the other."""
    return as_array(bind(_copy, (a,), {"order": order}))


def copied(x: Any, order: str = "K") -> Any:
    """What `x.copy()` is: unlike np.copy, of a scalar, which nothing can change, a scalar."""
    return duplicate(x, order) if x.shape or not isinstance(x, Box) or is_buffer(x) else x


@spells(np.real_if_close)
def real_if_close(a: Any, tol: float = 100) -> Any:
    """The real part of a complex value whose imaginary parts are all within `tol` epsilons of 0."""
    if a.dtype.kind != "c":
        return a
    limit = tol * np.finfo(a.dtype).eps if tol > 1 else tol
    return np.real(a) if np.all(np.abs(np.imag(a)) < limit) else a


@spells(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """The value with nan and the infinities replaced; derivative 1 where it is finite, else 0."""
    if not is_inexact(x.dtype):
        return duplicate(x) if copy else x
    if x.dtype.kind == "c":
        parts = [_finite(part, nan, posinf, neginf) for part in (np.real(x), np.imag(x))]
        replaced = complex_of(*parts)
    else:
        replaced = _finite(x, nan, posinf, neginf)
    done: Any = replaced if copy else update(x, replaced)
    return done if done.shape else done[()]


def _finite(x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    limits = np.finfo(x.dtype)
    for special, value in (
        (np.isnan(x), nan),
        (np.isposinf(x), limits.max if posinf is None else posinf),
        (np.isneginf(x), limits.min if neginf is None else neginf),
    ):
        x = np.astype(np.where(special, value, x), x.dtype, copy=False)
    return x


# -- rounding ------------------------------------------------------------------------------------
_round = Elementwise(
    "round",
    lambda x, decimals: array(x).round(decimals),
    [None],
    spellings=(),
    dtype=lambda x, decimals: np.rint(False).dtype if x.dtype.kind == "b" else x.dtype,
)


@spells(np.round, np.around)
def round_(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """Rounded to `decimals` places; a constant, its derivative being zero."""
    return deliver(bind(_round, (a,), {"decimals": decimals}), out)


@spells(np.fix)
def fix(x: Any, out: Any = None) -> Any:
    """Rounded towards zero; a constant."""
    return deliver(np.trunc(x), out)


# -- questions about values ----------------------------------------------------------------------
@spells(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Any:
    """Where the value is +inf."""
    return deliver(np.logical_and(np.isinf(x), np.logical_not(np.signbit(x))), out)


@spells(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Any:
    """Where the value is -inf."""
    return deliver(np.logical_and(np.isinf(x), np.signbit(x)), out)


@spells(np.isreal)
def isreal(x: Any) -> Any:
    """Where the imaginary part is 0."""
    return np.imag(x) == 0


@spells(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """Where the imaginary part is not 0."""
    return np.imag(x) != 0


@spells(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Where `|a - b| <= atol + rtol |b|`, equal infinities included."""
    with np.errstate(invalid="ignore"):
        near = (np.abs(np.subtract(a, b)) <= atol + rtol * np.abs(b)) & np.isfinite(b)
    close = near | np.equal(a, b)
    return close | (np.isnan(a) & np.isnan(b)) if equal_nan else close


@spells(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> bool:
    """True if all entries are close, as `isclose` has it."""
    return bool(np.all(isclose(a, b, rtol, atol, equal_nan)))


@spells(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """True if the shapes and all entries are the same."""
    if shape_of(a1) != shape_of(a2):
        return False
    same = np.equal(a1, a2)
    return bool(np.all(same | (np.isnan(a1) & np.isnan(a2)) if equal_nan else same))


@spells(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> bool:
    """True if the shapes broadcast and all entries are the same."""
    try:
        np.broadcast_shapes(shape_of(a1), shape_of(a2))
    except ValueError:
        return False
    return bool(np.all(np.equal(a1, a2)))


# -- questions about dtypes and memory -----------------------------------------------------------
def _weak_or_dtype(x: Any) -> Any:
    """What NumPy's promotion needs of `x`: its dtype, or for a Python scalar a scalar like it."""
    if not isinstance(x, Box):
        return x
    return x.dtype.type(0).item() if x.weak else x.dtype


@spells(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    """The dtype that these operands give together."""
    return np.result_type(*[_weak_or_dtype(x) for x in arrays_and_dtypes])


@spells(np.can_cast)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """True if the conversion is allowed under the rule `casting`."""
    from_, to = [x.dtype if isinstance(x, Box) else x for x in (from_, to)]
    return np.can_cast(from_, to, casting)


@spells(np.min_scalar_type)
def min_scalar_type(a: Any, /) -> np.dtype[Any]:
    """The smallest dtype that holds a scalar; the dtype of an array."""
    bottom = raw(a)
    plain = shape_of(bottom) == () and not hasattr(bottom, "weak")
    return np.min_scalar_type(bottom) if plain else a.dtype


@spells(np.common_type)
def common_type(*arrays: Any) -> Any:
    """The inexact scalar type that these arrays convert to."""
    return np.common_type(*[np.empty(0, x.dtype) for x in arrays])


@spells(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """True for a complex dtype."""
    return x.dtype.kind == "c"  # type: ignore[no-any-return]


@spells(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """True for a dtype that is not complex."""
    return x.dtype.kind != "c"  # type: ignore[no-any-return]


@spells(np.shares_memory)
def shares_memory(a: Any, b: Any, /, max_work: Any = -1) -> bool:
    """True if the arrays at the bottom of the two values overlap."""
    return _share(np.shares_memory, raw(a), raw(b), max_work)


@spells(np.may_share_memory)
def may_share_memory(a: Any, b: Any, /, max_work: Any = 0) -> bool:
    """True if the bounds of the arrays at the bottom of the two values overlap."""
    return _share(np.may_share_memory, raw(a), raw(b), max_work)


def _share(ask: Callable[..., bool], a: Any, b: Any, max_work: Any) -> bool:
    if isinstance(a, Box) or isinstance(b, Box):  # of a foreign library: known of one array alone
        return isinstance(a, Box) and isinstance(b, Box) and a.value is b.value
    if isinstance(a, ShapeDtypeStruct) or isinstance(b, ShapeDtypeStruct):
        if a is b:
            return True
        raise ControlFlowError(
            f"{ask.__name__}: where a value lies in memory is not known while it is captured or"
            " its shape is found. Write a .copy() where it matters"
        )
    shared: bool = ask(a, b, max_work)
    return shared
