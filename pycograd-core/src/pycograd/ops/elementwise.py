"""Every elementwise ufunc, one definition each: `d(name)(t, ...)` is what is written.

`t` is the tangent (or, in the sweep, the cotangent); `ans`, `x`, `y` are what the derivative keeps.
Formulas are holomorphic; `abs`, `real`, `imag` and `angle`, which are not, give a real-linear jvp
and its adjoint. Conventions: derivative 0 of `abs` at 0; ties of maximum and minimum share equally;
`x ** 0` has derivative 0 and `0.0 ** y` derivative 0 in `y`.
"""

from __future__ import annotations

import math
import operator
from typing import Any, Final

import numpy as np

from pycograd.core.aval import aval_of, dtype_of, is_inexact, promote
from pycograd.core.box import Box
from pycograd.core.elementwise import Elementwise
from pycograd.core.rules import TIMES
from pycograd.core.spelling import UFUNCS, claim, spells
from pycograd.core.views import as_array
from pycograd.ops.out import deliver

LOG2, LOG10 = math.log(2.0), math.log(10.0)
_UNSET: Any = np._NoValue
_PYTHON_NUMBERS = (int, float)  # weak: they must not meet np.where, which would make them strong


def _ufunc(function: np.ufunc, *rules: Any, **options: Any) -> Elementwise:
    return Elementwise(function.__name__, function, rules, **options)


# -- arithmetic ------------------------------------------------------------------------------------
add = _ufunc(np.add, lambda t: t, lambda t: t)
subtract = _ufunc(np.subtract, lambda t: t, lambda t: -t)
multiply = _ufunc(np.multiply, TIMES["y"], TIMES["x"])
divide = _ufunc(np.divide, lambda t, y: t / y, (TIMES["ans"], lambda t, y: -t / y))
negative = _ufunc(np.negative, lambda t: -t)
positive = _ufunc(np.positive, lambda t: t)
reciprocal = _ufunc(np.reciprocal, lambda t, ans: -t * (ans * ans))
square = _ufunc(np.square, lambda t, x: t * (2 * x))
sqrt = _ufunc(np.sqrt, lambda t, ans: t / (2 * ans))
cbrt = _ufunc(np.cbrt, lambda t, ans: t / (3 * (ans * ans)))
remainder = _ufunc(np.remainder, lambda t: t, lambda t, x, y: -t * np.floor_divide(x, y))
fmod = _ufunc(np.fmod, lambda t: t, lambda t, x, y: -t * np.trunc(x / y))


def _power_base(t: Any, x: Any, y: Any) -> Any:
    # y * x ** (y - 1), which must be 0 and not nan where y is 0
    if type(y) in _PYTHON_NUMBERS:
        # Of two of Python's numbers by the primitive: nan and inf where ** would turn complex or
        # raise.
        raised = power.impl if type(x) in _PYTHON_NUMBERS else operator.pow
        return t * (y * raised(x, y - 1)) if y else t * 0
    return t * np.where(y == 0, 0, y * x ** np.where(y == 0, 1, y - 1))


def _power_exponent(t: Any, ans: Any, x: Any) -> Any:
    # ans * log(x): 0 at x = 0, the limit for every positive exponent
    if dtype_of(ans).kind == "c" != dtype_of(x).kind:
        x = x + 0j  # a negative number has a logarithm then
    if type(x) in _PYTHON_NUMBERS:
        return t * (ans * float(np.log(x))) if x else t * 0
    zero = x == 0
    return t * np.where(zero, 0, ans * np.log(np.where(zero, 1, x)))


power = _ufunc(np.power, _power_base, _power_exponent)
float_power = _ufunc(np.float_power, _power_base, _power_exponent)

# -- exponentials and logarithms -------------------------------------------------------------------
exp = _ufunc(np.exp, lambda t, ans: t * ans, cost="transcendental")
exp2 = _ufunc(np.exp2, lambda t, ans: t * (ans * LOG2), cost="transcendental")
expm1 = _ufunc(np.expm1, lambda t, ans: t * (ans + 1), cost="transcendental")
log = _ufunc(np.log, lambda t, x: t / x, cost="transcendental")
log2 = _ufunc(np.log2, lambda t, x: t / (x * LOG2), cost="transcendental")
log10 = _ufunc(np.log10, lambda t, x: t / (x * LOG10), cost="transcendental")
log1p = _ufunc(np.log1p, lambda t, x: t / (1 + x), cost="transcendental")
# The weight of x in logaddexp(x, y) is the logistic function of x - y, formed without overflow.
logaddexp = _ufunc(
    np.logaddexp,
    lambda t, ans, x: t * np.exp(_difference(x, ans)),
    lambda t, ans, y: t * np.exp(_difference(y, ans)),
    cost="transcendental",
)
logaddexp2 = _ufunc(
    np.logaddexp2,
    lambda t, ans, x: t * np.exp2(_difference(x, ans)),
    lambda t, ans, y: t * np.exp2(_difference(y, ans)),
    cost="transcendental",
)


def _difference(x: Any, ans: Any) -> Any:
    """x - ans <= 0, where two equal infinities differ by 0 (one operand takes all) and not nan."""
    return np.where(x == ans, 0, x - ans)


# -- trigonometric and hyperbolic ------------------------------------------------------------------
sin = _ufunc(np.sin, lambda t, x: t * np.cos(x), cost="transcendental")
cos = _ufunc(np.cos, lambda t, x: -t * np.sin(x), cost="transcendental")
tan = _ufunc(np.tan, lambda t, ans: t * (1 + ans * ans), cost="transcendental")
arcsin = _ufunc(np.arcsin, lambda t, x: t / np.sqrt(1 - x * x), cost="transcendental")
arccos = _ufunc(np.arccos, lambda t, x: -t / np.sqrt(1 - x * x), cost="transcendental")
arctan = _ufunc(np.arctan, lambda t, x: t / (1 + x * x), cost="transcendental")
sinh = _ufunc(np.sinh, lambda t, x: t * np.cosh(x), cost="transcendental")
cosh = _ufunc(np.cosh, lambda t, x: t * np.sinh(x), cost="transcendental")
tanh = _ufunc(np.tanh, lambda t, ans: t * (1 - ans * ans), cost="transcendental")
arcsinh = _ufunc(np.arcsinh, lambda t, x: t / np.sqrt(1 + x * x), cost="transcendental")
# sqrt(x - 1) sqrt(x + 1), not sqrt(x * x - 1): the branch cut of complex arccosh
arccosh = _ufunc(
    np.arccosh, lambda t, x: t / (np.sqrt(x - 1) * np.sqrt(x + 1)), cost="transcendental"
)
arctanh = _ufunc(np.arctanh, lambda t, x: t / (1 - x * x), cost="transcendental")
arctan2 = _ufunc(
    np.arctan2,
    lambda t, x, y: t * (y / (x * x + y * y)),
    lambda t, x, y: -t * (x / (x * x + y * y)),
    cost="transcendental",
)

hypot = _ufunc(
    np.hypot,
    lambda t, ans, x: t * ratio(x, ans),
    lambda t, ans, y: t * ratio(y, ans),
    cost="transcendental",
)


def ratio(x: Any, length: Any) -> Any:
    """x / length, the derivative of a length: 0 at length 0, and so are its own derivatives."""
    return np.where(length == 0, 0, x / np.where(length == 0, 1, length))


deg2rad = _ufunc(np.deg2rad, lambda t: t * (math.pi / 180))
rad2deg = _ufunc(np.rad2deg, lambda t: t * (180 / math.pi))
radians = _ufunc(np.radians, lambda t: t * (math.pi / 180))
degrees = _ufunc(np.degrees, lambda t: t * (180 / math.pi))


# -- order -----------------------------------------------------------------------------------------
def _winner(t: Any, ans: Any, mine: Any, other: Any) -> Any:
    """The share of an operand of maximum or minimum: all, half at a tie; a nan takes its own."""
    return np.where(mine == other, t * 0.5, np.where((mine == ans) | (mine != mine), t, 0))


_ORDER = (
    lambda t, ans, x, y: _winner(t, ans, x, y),
    lambda t, ans, x, y: _winner(t, ans, y, x),
)
maximum = _ufunc(np.maximum, *_ORDER)
minimum = _ufunc(np.minimum, *_ORDER)
_SKIPPING_NANS = (
    lambda t, ans, x, y: np.where(x == y, t * 0.5, np.where(x == ans, t, 0)),
    lambda t, ans, x, y: np.where(x == y, t * 0.5, np.where(y == ans, t, 0)),
)
fmax = _ufunc(np.fmax, *_SKIPPING_NANS)
fmin = _ufunc(np.fmin, *_SKIPPING_NANS)

_FEW: Final = 1024  # entries, up to which one call of NumPy's is quicker than three
_BITS: Final = {np.dtype("f"): np.dtype("i4"), np.dtype("d"): np.dtype("i8")}


def _where_value(c: Any, x: Any, y: Any) -> Any:
    """`np.where`, by the bits beside a number: a branch for each entry takes ten times as long."""
    if _are_bits(c, x, y):
        return _picked(np.negative(c.view(np.int8), dtype=_BITS[x.dtype]), x, y)
    if _are_bits(c, y, x):
        return _picked(np.subtract(c.view(np.int8), 1, dtype=_BITS[y.dtype]), y, x)
    return np.where(c, x, y)


def _are_bits(c: Any, x: Any, number: Any) -> bool:
    """True for a mask and floats of the shape of the result, beside a number of their dtype."""
    return (
        type(x) is type(c) is np.ndarray
        and x.size >= _FEW
        and x.dtype in _BITS
        and c.dtype.char == "?"
        and type(number) in (float, int, x.dtype.type)
        and c.ndim <= x.ndim
        and all(m == n or m == 1 for m, n in zip(c.shape[::-1], x.shape[::-1]))
    )


def _picked(mask: Any, x: Any, number: Any) -> Any:
    """`x` where all bits of the mask are set, and the number where none is."""
    known = x.dtype.type(number).view(mask.dtype)
    out = mask if mask.shape == x.shape else None
    if not known:
        return np.bitwise_and(mask, x.view(mask.dtype), out).view(x.dtype)
    out = np.bitwise_and(mask, x.view(mask.dtype) ^ known, out)
    return np.bitwise_xor(out, known, out).view(x.dtype)


chosen = Elementwise(
    "where",
    _where_value,
    [None, lambda t, x: np.where(x, t, 0), lambda t, x: np.where(x, 0, t)],
    dtype=lambda x, y, z: promote([y, z]),
)
_CLIP: Any = np._core.umath.clip  # type: ignore[attr-defined]  # what the method of plain arrays calls


def _limited(x: Any, low: Any, high: Any) -> Any:
    """NumPy's own clip; of dtypes from outside, which it does not keep, in two steps."""
    if dtype_of(x).kind == "V":
        return np.minimum(np.maximum(x, low), high)
    return _CLIP(x, low, high)


_clip = Elementwise(
    "clip",
    _limited,
    [
        lambda t, x, y, z: np.where((x >= y) & (x <= z), t, 0),
        lambda t, x, y, z: np.where((x < y) & (y <= z), t, 0),
        lambda t, x, y, z: np.where((x > z) | (y > z), t, 0),
    ],
    dtype=lambda x, y, z: promote([x, y, z]),
    spellings=[_CLIP],
)


@spells(np.where)
def where(condition: Any, *branches: Any) -> Any:
    """`x` where the condition holds and `y` elsewhere; alone, the indices where it holds."""
    if not branches:
        return np.nonzero(condition)
    x, y = branches
    return as_array(chosen(condition, x, y))


@spells(np.clip)
def clip(a: Any, a_min: Any = _UNSET, a_max: Any = _UNSET, out: Any = None, **kwargs: Any) -> Any:
    """`a` limited to an interval; a bound of None does not limit."""
    low = kwargs.pop("min", None) if a_min is _UNSET else a_min
    high = kwargs.pop("max", None) if a_max is _UNSET else a_max
    if kwargs:  # where=, dtype=, casting=: the ufuncs that clip is made of have them
        limited = a if low is None else np.maximum(a, low, **kwargs)
        return np.minimum(limited, a if high is None else high, out=out, **kwargs)
    wanted = promote([aval_of(x) for x in (a, low, high) if x is not None])
    if not is_inexact(dtype_of(a)) and dtype_of(a) != wanted:  # of all three, not of two first
        a = (a if isinstance(a, Box) else np.asarray(a)).astype(wanted)
    if is_inexact(wanted):
        low, high = -math.inf if low is None else low, math.inf if high is None else high
        return deliver(_clip(a, low, high), out)
    limited = a if low is None else np.maximum(a, low)
    return deliver(limited if high is None else np.minimum(limited, high), out)


# -- magnitude, sign and the parts of complex numbers ----------------------------------------------
absolute = _ufunc(
    np.absolute,
    lambda t, x: t * np.sign(x),
    real=[(lambda t, x: np.real(np.conj(np.sign(x)) * t), lambda t, x: t * np.sign(x))],
)
fabs = _ufunc(np.fabs, lambda t, x: t * np.sign(x))


def _turn(t: Any, ans: Any, x: Any) -> Any:
    """The derivative of z / |z|, self-adjoint: the part of t across z, over |z|."""
    size = np.abs(x)
    across = t - ans * np.real(np.conj(ans) * t)
    return np.where(size == 0, 0, across / np.where(size == 0, 1, size))


sign = _ufunc(np.sign, None, real=[(_turn, _turn)])
copysign = _ufunc(np.copysign, lambda t, ans, x: t * (np.sign(x) * np.sign(ans)), None)
conjugate = _ufunc(np.conjugate, lambda t: t, real=[(lambda t: np.conj(t), lambda t: np.conj(t))])


def _real_dtype(x: Any) -> Any:
    return np.zeros((), x.dtype).real.dtype


real = Elementwise(
    "real",
    lambda x: np.real(x),
    [lambda t: t],
    real=[(lambda t: np.real(t), lambda t: t)],
    dtype=_real_dtype,
    spellings=[np.real],
)
imag = Elementwise(
    "imag",
    lambda x: np.imag(x),
    [None],
    real=[(lambda t: np.imag(t), lambda t: t * 1j)],
    dtype=_real_dtype,
    spellings=[np.imag],
)
_angle = Elementwise(
    "angle",
    lambda x: np.angle(x),
    [None],
    real=[
        (
            lambda t, x: np.imag(np.conj(x) * t) / np.square(np.abs(x)),
            lambda t, x: t * (1j * x / np.square(np.abs(x))),
        )
    ],
    dtype=lambda x: np.angle(np.ones((), x.dtype)).dtype,
    cost="transcendental",
)


@spells(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """The argument of complex numbers, in radians or degrees."""
    return _angle(z) * (180 / math.pi) if deg else _angle(z)


# -- floating-point parts --------------------------------------------------------------------------
ldexp = _ufunc(np.ldexp, lambda t, y: np.ldexp(t, y), None)
heaviside = _ufunc(np.heaviside, None, lambda t, x: np.where(x == 0, t, 0))

# -- zero derivative -------------------------------------------------------------------------------
for _function in (
    np.floor, np.ceil, np.trunc, np.rint, np.spacing, np.signbit, np.isnan, np.isinf, np.isfinite,
    np.logical_not, np.invert, np.bitwise_count,
):  # fmt: skip
    _ufunc(_function, None)
for _function in (
    np.floor_divide, np.nextafter, np.equal, np.not_equal, np.less, np.less_equal, np.greater,
    np.greater_equal, np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and, np.bitwise_or,
    np.bitwise_xor, np.left_shift, np.right_shift, np.gcd, np.lcm,
):  # fmt: skip
    _ufunc(_function, None, None)


# -- several results: composites -------------------------------------------------------------------
def _divmod(x: Any, y: Any) -> tuple[Any, Any]:
    return np.floor_divide(x, y), np.remainder(x, y)


def _modf(x: Any) -> tuple[Any, Any]:
    whole = np.trunc(x)
    return x - whole, whole


def _frexp(x: Any) -> tuple[Any, Any]:
    exponent = _exponent(x)
    return np.ldexp(x, -exponent), exponent


_exponent = Elementwise(
    "exponent", lambda x: np.frexp(x)[1], [None], dtype=lambda x: np.dtype(np.intc)
)
claim(UFUNCS, np.divmod, _divmod)
claim(UFUNCS, np.modf, _modf)
claim(UFUNCS, np.frexp, _frexp)
