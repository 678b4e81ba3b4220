"""Elementwise operations, in the dtypes in which NumPy would compute."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from pycograd.plugins.api import UnsupportedDtypeError
from pycograd_tf.dtypes import cast, tf_dtype
from pycograd_tf.lowerings.common import (
    Lowering,
    common,
    floating,
    is_number,
    joined,
    number,
    tensors,
    together,
    truth,
    widened,
)

raw = tf.raw_ops
_LOG2 = math.log(2.0)


def _both(function: Lowering) -> Lowering:
    """`function` of two tensors, where one may come as a Python number."""
    return lambda x, y: function(*common(x, y))


def _of_tensor(function: Lowering) -> Lowering:
    return lambda x: function(*tensors(x))


def _of_floats(function: Lowering) -> Lowering:
    return lambda x: function(floating(x))


def _or_of_bools(of_bools: Lowering, function: Lowering) -> Lowering:
    """`function`, or its meaning on booleans."""
    return _both(lambda x, y: of_bools(x, y) if x.dtype == tf.bool else function(x, y))


# -- arithmetic ------------------------------------------------------------------------------------
def _negative(x: Any) -> Any:
    return tf.zeros((), x.dtype) - x if x.dtype.is_unsigned else raw.Neg(x=x)


def _reciprocal(x: Any) -> Any:
    one = tf.ones((), x.dtype)
    return _whole(tf.truncatediv)(one, x) if x.dtype.is_integer else one / x


def _whole(function: Lowering) -> Lowering:
    """A division of integers whose result is 0 where the divisor is, as in NumPy."""

    def run(x: Any, y: Any) -> Any:
        zero = tf.equal(y, tf.zeros((), y.dtype))
        found = function(x, tf.where(zero, tf.ones((), y.dtype), y))
        return tf.where(zero, tf.zeros((), found.dtype), found)

    return run


def _float_floor_divide(x: Any, y: Any) -> Any:
    """From the remainder, as NumPy has it: the quotient itself may round up to a whole number."""
    rest = _float_fmod(x, y)
    quotient = (x - rest) / y
    other_side = tf.not_equal(rest, 0) & tf.not_equal(y < 0, rest < 0)
    quotient = tf.where(other_side, quotient - 1, quotient)
    whole = tf.floor(quotient)
    whole = tf.where(quotient - whole > 0.5, whole + 1, whole)
    whole = tf.where(tf.equal(whole, 0), _copysign(tf.zeros_like(whole), x / y), whole)
    return tf.where(tf.equal(y, 0), x / y, whole)


def _floor_divide(x: Any, y: Any) -> Any:
    return (_whole(tf.math.floordiv) if x.dtype.is_integer else _float_floor_divide)(x, y)


_float_fmod = widened(tf.truncatemod)


def _remainder(x: Any, y: Any) -> Any:
    if x.dtype.is_integer:
        return _whole(tf.math.floormod)(x, y)
    rest = tf.math.floormod(x, y)
    return tf.where(tf.equal(rest, 0), _copysign(tf.zeros_like(rest), y), rest)


def _fmod(x: Any, y: Any) -> Any:
    if not x.dtype.is_integer:
        return _float_fmod(x, y)
    return _whole(lambda x, y: x - tf.truncatediv(x, y) * y)(x, y)


def _power(x: Any, y: Any) -> Any:
    if not x.dtype.is_unsigned:
        return tf.pow(x, y)
    # Products wrap around to the same bits.
    return tf.cast(tf.pow(tf.cast(x, tf.int64), tf.cast(y, tf.int64)), x.dtype)


def _float_power(x: Any, y: Any) -> Any:
    return tf.pow(*[x if x.dtype.size >= 8 else tf.cast(x, tf.float64) for x in together(x, y)])


def _cbrt(x: Any) -> Any:
    root = tf.sign(x) * tf.pow(tf.abs(x), tf.constant(1 / 3, x.dtype))
    # One step of Newton's method, for the last digits.
    odd = tf.equal(root, 0) | ~tf.math.is_finite(root)
    safe = tf.where(odd, tf.ones((), x.dtype), root)
    return root - tf.where(odd, tf.zeros((), x.dtype), (root - x / (safe * safe)) / 3)


def _exp2(x: Any) -> Any:
    return tf.exp(x * tf.constant(_LOG2, x.dtype))


def _log(x: Any) -> Any:
    if not x.dtype.is_complex:
        return tf.math.log(x)
    # TensorFlow's own squares the size, which may be out of range.
    return tf.complex(tf.math.log(tf.abs(x)), tf.atan2(tf.math.imag(x), tf.math.real(x)))


def _log_of_base(base: float) -> Lowering:
    return lambda x: _log(x) / tf.constant(math.log(base), x.dtype)


def _divide(x: Any, y: Any) -> Any:
    found = raw.RealDiv(x=x, y=y)
    if not y.dtype.is_complex:
        return found
    # Of an infinite divisor TensorFlow makes nan.
    gone = tf.math.is_inf(tf.abs(y)) & tf.math.is_finite(tf.abs(x))
    return tf.where(gone, tf.zeros((), x.dtype), found)


def logaddexp(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y))."""
    gap = -tf.abs(x - y)
    same = tf.equal(x, y)
    zero = tf.zeros((), x.dtype)
    more = tf.math.log1p(tf.exp(tf.where(same, zero, gap)))
    return tf.maximum(x, y) + more


def logaddexp2(x: Any, y: Any) -> Any:
    """log2(2^x + 2^y)."""
    scale = tf.constant(_LOG2, x.dtype)
    gap = tf.where(tf.equal(x, y), tf.zeros((), x.dtype), -tf.abs(x - y))
    return tf.maximum(x, y) + tf.math.log1p(tf.exp(gap * scale)) / scale


def _hypot(x: Any, y: Any) -> Any:
    x, y = tf.abs(x), tf.abs(y)
    great, small = tf.maximum(x, y), tf.minimum(x, y)
    plain = tf.math.is_finite(great) & tf.not_equal(great, 0)
    ratio = small / tf.where(plain, great, tf.ones((), x.dtype))
    infinite = tf.math.is_inf(x) | tf.math.is_inf(y)
    found = tf.where(plain, great * tf.sqrt(1 + ratio * ratio), great)
    return tf.where(infinite, tf.constant(math.inf, x.dtype), found)


def _scaled(factor: float) -> Lowering:
    return lambda x: x * tf.constant(factor, x.dtype)


def _ldexp(x: Any, n: Any) -> Any:
    """In two steps: the power of a large number alone would be out of range."""
    x, n = floating(x), tensors(n)[0]
    half = tf.math.floordiv(n, tf.constant(2, n.dtype))
    two = tf.constant(2, x.dtype)
    return x * tf.pow(two, cast(half, x.dtype)) * tf.pow(two, cast(n - half, x.dtype))


# -- the bits of floats ----------------------------------------------------------------------------
_OF_BITS = {2: tf.int16, 4: tf.int32, 8: tf.int64}


def bits(x: Any) -> Any:
    """A float as the integer that has the same bits."""
    return tf.bitcast(x, _OF_BITS[x.dtype.size])


def in_order(b: Any) -> Any:
    """Integers that are in the order of the floats that have the bits `b`, and these again."""
    negative = tf.bitwise.right_shift(b, tf.constant(8 * b.dtype.size - 1, b.dtype))
    return tf.bitwise.bitwise_xor(b, tf.bitwise.bitwise_and(negative, tf.constant(b.dtype.max)))


def _signbit(x: Any) -> Any:
    if x.dtype.is_integer:
        return x < tf.zeros((), x.dtype)
    return bits(x) < tf.zeros((), _OF_BITS[x.dtype.size])


def _copysign(x: Any, y: Any) -> Any:
    return tf.where(tf.not_equal(_signbit(x), _signbit(y)), -x, x)


def _nextafter(x: Any, y: Any) -> Any:
    """One step in the order of all floats."""
    x, y = joined(x, y)
    kind = _OF_BITS[x.dtype.size]
    up = tf.cast(y > x, kind) - tf.cast(y < x, kind)
    step = tf.bitcast(in_order(in_order(bits(x)) + up), x.dtype)
    least = tf.bitcast(tf.ones((), kind), x.dtype)
    step = tf.where(tf.equal(x, 0), _copysign(least, y), step)
    nan = tf.math.is_nan(x) | tf.math.is_nan(y)
    return tf.stop_gradient(tf.where(nan, x + y, tf.where(tf.equal(x, y), y, step)))


def _spacing(x: Any) -> Any:
    x = tf.stop_gradient(x)
    size = tf.abs(x)
    finite = tf.math.is_finite(x)
    gap = _nextafter(size, tf.constant(math.inf, x.dtype)) - size
    return tf.where(finite, _copysign(gap, x), tf.constant(math.nan, x.dtype))


def _exponent(x: Any) -> Any:
    """The exponent of `frexp`: that of 2 in a number of [0.5, 1) times a power of 2."""
    x = tf.cast(x, tf.float64)
    small = tf.abs(x) < np.finfo(np.float64).tiny
    scaled = bits(tf.where(small, x * 2.0**54, x))
    field = tf.bitwise.bitwise_and(tf.bitwise.right_shift(scaled, np.int64(52)), np.int64(0x7FF))
    found = tf.cast(field, tf.int32) - 1022 - tf.where(small, 54, 0)
    return tf.where(tf.equal(x, 0) | ~tf.math.is_finite(x), 0, found)


# -- order, magnitude and sign ---------------------------------------------------------------------
def _ordered(function: Lowering) -> Lowering:
    """A comparison; of complex numbers by the real part, and of equal ones by the imaginary."""

    def run(x: Any, y: Any) -> Any:
        if x.dtype == tf.bool:
            return function(tf.cast(x, tf.int8), tf.cast(y, tf.int8))
        if not x.dtype.is_complex:
            return function(x, y)
        a, b, c, d = tf.math.real(x), tf.math.real(y), tf.math.imag(x), tf.math.imag(y)
        strict = tf.less if function in (tf.less, tf.less_equal) else tf.greater
        return strict(a, b) | (tf.equal(a, b) & function(c, d))

    return _both(run)


def _lost(x: Any) -> Any:
    """Which entries are nan."""
    return tf.not_equal(x, x)


def extremum(greatest: bool, skipping: bool = False) -> Lowering:
    """The larger or smaller of two tensors; `skipping` nan."""
    plain = tf.maximum if greatest else tf.minimum
    of_bools = tf.logical_or if greatest else tf.logical_and
    beyond = _ordered(tf.greater_equal if greatest else tf.less_equal)

    def run(x: Any, y: Any) -> Any:
        if x.dtype == tf.bool:
            return of_bools(x, y)
        if x.dtype.is_integer:
            return plain(x, y)
        found = tf.where(beyond(x, y), x, y) if x.dtype.is_complex else plain(x, y)
        if skipping:
            return tf.where(_lost(x), y, tf.where(_lost(y), x, found))
        if x.dtype.is_complex:
            return tf.where(_lost(x), x, tf.where(_lost(y), y, found))
        return found

    return run


def _where(condition: Any, x: Any, y: Any) -> Any:
    return tf.where(truth(*tensors(condition)), *common(x, y))


def _clip(x: Any, low: Any, high: Any) -> Any:
    x, low, high = common(x, low, high)
    return extremum(False)(extremum(True)(x, low), high)


def _absolute(x: Any) -> Any:
    return x if x.dtype == tf.bool or x.dtype.is_unsigned else tf.abs(x)


def _sign(x: Any) -> Any:
    return tf.cast(truth(x), x.dtype) if x.dtype.is_unsigned else tf.sign(x)


def _parts(function: Lowering) -> Lowering:
    """`function` of each part of complex numbers."""

    def run(x: Any, **params: Any) -> Any:
        if not x.dtype.is_complex:
            return function(x, **params)
        return tf.complex(function(tf.math.real(x), **params), function(tf.math.imag(x), **params))

    return run


def _rounded(function: Lowering) -> Lowering:
    """`function` of floats; integers are whole."""
    return _of_tensor(
        lambda x: x if x.dtype.is_integer or x.dtype == tf.bool else _parts(function)(x)
    )


def _round(x: Any, decimals: int) -> Any:
    (x,) = tensors(x)
    if x.dtype == tf.bool or (x.dtype.is_integer and decimals >= 0):
        return x
    if x.dtype.is_integer:
        return tf.cast(_round(tf.cast(x, tf.float64), decimals), x.dtype)

    def to(x: Any) -> Any:
        scale = tf.constant(10.0 ** abs(decimals), x.dtype)
        return tf.round(x * scale) / scale if decimals >= 0 else tf.round(x / scale) * scale

    return _parts(widened(to) if decimals else tf.round)(x)


def _of_floats_alone(function: Lowering, otherwise: bool) -> Lowering:
    """A question that integers answer with `otherwise`."""

    def run(x: Any) -> Any:
        if x.dtype.is_floating:
            return function(x)
        if not x.dtype.is_complex:
            return tf.fill(tuple(x.shape), otherwise)
        a, b = function(tf.math.real(x)), function(tf.math.imag(x))
        return a & b if otherwise else a | b

    return _of_tensor(run)


def _imag(x: Any) -> Any:
    return tf.math.imag(x) if x.dtype.is_complex else tf.zeros_like(x)


def _real(x: Any) -> Any:
    return tf.math.real(x) if x.dtype.is_complex else x


def _angle(x: Any) -> Any:
    x = floating(x)
    if x.dtype.is_complex:
        return tf.atan2(tf.math.imag(x), tf.math.real(x))
    return tf.atan2(tf.zeros_like(x), x)


def _complex(x: Any, y: Any) -> Any:
    x, y = together(*map(_real, tensors(x, y)))
    if x.dtype.size < 4:
        x, y = tf.cast(x, tf.float32), tf.cast(y, tf.float32)
    return tf.complex(*joined(x, y))


def _heaviside(x: Any, y: Any) -> Any:
    zero, one = tf.zeros((), x.dtype), tf.ones((), x.dtype)
    found = tf.where(x < 0, zero, tf.where(tf.equal(x, 0), y, one))
    return tf.where(_lost(x), x, found)


def _over_gap(x: Any, gap: Any) -> Any:
    x, gap = common(x, gap)
    equal = tf.equal(gap, tf.zeros((), gap.dtype))
    quotient = _divide(x, tf.where(equal, tf.ones((), x.dtype), gap))
    return tf.where(equal, tf.zeros((), x.dtype), quotient)


# -- integers --------------------------------------------------------------------------------------
def _shifted(function: Lowering) -> Lowering:
    """Of as many places as there are bits, or more, nothing but the sign is left."""

    def run(x: Any, y: Any) -> Any:
        width = 8 * x.dtype.size
        far = (y >= tf.constant(width, y.dtype)) | (y < tf.zeros((), y.dtype))
        found = function(x, tf.where(far, tf.zeros((), y.dtype), y))
        zero = tf.zeros((), x.dtype)
        last = zero
        if function is tf.bitwise.right_shift and not x.dtype.is_unsigned:
            last = tf.where(x < zero, zero - tf.ones((), x.dtype), zero)
        return tf.where(far, last, found)

    return run


def gcd(x: Any, y: Any) -> Any:
    """By Euclid's algorithm, all entries at once."""
    x, y = joined(_absolute(x), _absolute(y))
    zero = tf.zeros((), x.dtype)

    def step(a: Any, b: Any) -> Any:
        return tf.where(tf.equal(b, zero), a, b), _whole(tf.math.floormod)(a, b)

    found, _ = tf.while_loop(lambda a, b: tf.reduce_any(tf.not_equal(b, zero)), step, (x, y))
    return found


def lcm(x: Any, y: Any) -> Any:
    """The least common multiple."""
    x, y = _absolute(x), _absolute(y)
    return _whole(tf.math.floordiv)(x, gcd(x, y)) * y


def _bitwise_count(x: Any) -> Any:
    return raw.PopulationCount(x=_absolute(x))


# -- conversions -----------------------------------------------------------------------------------
def _astype(x: Any, dtype: Any) -> Any:
    native = tf_dtype(dtype)
    if native is None:
        raise UnsupportedDtypeError(
            f"backend 'tf' has no {np.dtype(dtype).name} arrays: use float64"
        )
    return cast(tensors(x)[0], native)


# -- special functions that NumPy has itself -------------------------------------------------------
_TERMS = 30  # of sinc's power series, to the last digit up to |pi x| = 6
_ANGLES = np.array([(k + 0.5) * (math.pi / 128) for k in range(64)])  # of a quarter turn


def _sinc(x: Any) -> Any:
    u = x * tf.constant(math.pi, x.dtype)
    zero = tf.equal(u, 0)
    safe = tf.where(zero, tf.ones((), x.dtype), u)
    return tf.where(zero, tf.ones((), x.dtype), tf.sin(safe) / safe)


def _sinc_derivative(x: Any, order: Any) -> Any:
    """The derivative of sinc of an order: its power series near 0, a recursion elsewhere."""
    x, order = floating(x), int(order)
    u = x * tf.constant(math.pi, x.dtype)
    near = tf.abs(u) < order + 2.0
    small, large = tf.where(near, u, tf.zeros_like(u)), tf.where(near, tf.ones_like(u), u)
    odd = order % 2
    series = tf.zeros_like(x)
    term = (-1.0) ** ((order + odd) // 2) * (small if odd else tf.ones_like(small))
    for m in range(odd, odd + 2 * _TERMS, 2):
        series = series + term / (m + order + 1)
        term = -term * small * small / ((m + 1) * (m + 2))
    # u f^(n) + n f^(n-1) is the n-th derivative of sin, from u f = sin(u).
    far = tf.sin(large) / large
    for n in range(1, order + 1):
        far = ((tf.sin, tf.cos)[n % 2](large) * (-1) ** (n // 2) - n * far) / large
    return tf.where(near, series, far) * math.pi**order


def _bessel_i(x: Any, order: Any) -> Any:
    """I_order(x) by the trapezoidal rule over all angles: DLMF 10.32.3."""
    x, order = floating(x), int(order)
    even = (tf.cosh, tf.sinh)[order % 2]
    weights = tf.constant(np.cos(order * _ANGLES) / len(_ANGLES), x.dtype)
    return tf.reduce_sum(even(x[..., None] * tf.constant(np.cos(_ANGLES), x.dtype)) * weights, -1)


# -- activations -----------------------------------------------------------------------------------
def _slopes(x: Any, y: Any, negative: Lowering) -> Any:
    if is_number(y) and not isinstance(y, complex) and x.dtype.is_floating:
        y = number(y, x.dtype)
    x, y = common(x, y)
    return tf.where(x > tf.zeros((), x.dtype), x, y * negative(x))


def _expm1_of_negative(x: Any) -> Any:
    x = floating(x)
    return tf.math.expm1(tf.minimum(x, tf.zeros((), x.dtype)))


_A, _B, _CUT = math.sqrt(8 / math.pi), 0.044715, 60


def _gelu(x: Any) -> Any:
    cut = tf.clip_by_value(x, tf.constant(-_CUT, x.dtype), tf.constant(_CUT, x.dtype))
    return x * tf.sigmoid(cut * (_A + (_A * _B) * (cut * cut)))


def _normal_cdf(x: Any) -> Any:
    half = tf.constant(math.sqrt(0.5), x.dtype)
    return 0.5 * tf.math.erfc(-x * half)


def _bce_with_logits(x: Any, y: Any) -> Any:
    x, y = joined(*together(x, y))
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=x)


_UNARY: dict[str, Lowering] = {
    "negative": _negative, "positive": tf.identity, "reciprocal": _reciprocal,
    "square": tf.square, "sqrt": tf.sqrt, "deviation": tf.sqrt, "cbrt": _cbrt,
    "exp": tf.exp, "exp2": _exp2, "expm1": tf.math.expm1, "log": _log,
    "log2": _log_of_base(2.0), "log10": _log_of_base(10.0), "log1p": tf.math.log1p,
    "sin": tf.sin, "cos": tf.cos, "tan": tf.tan, "arcsin": tf.asin, "arccos": tf.acos,
    "arctan": tf.atan, "sinh": tf.sinh, "cosh": tf.cosh, "tanh": tf.tanh, "arcsinh": tf.asinh,
    "arccosh": tf.acosh, "arctanh": tf.atanh, "deg2rad": _scaled(math.pi / 180),
    "radians": _scaled(math.pi / 180), "rad2deg": _scaled(180 / math.pi),
    "degrees": _scaled(180 / math.pi), "absolute": _absolute, "fabs": tf.abs, "sign": _sign,
    "conjugate": tf.math.conj, "real": _real, "imag": _imag, "angle": _angle,
    "spacing": _spacing, "signbit": _signbit, "bitwise_count": _bitwise_count,
    "exponent": _exponent, "logical_not": lambda x: ~truth(x),
    "invert": lambda x: ~x if x.dtype == tf.bool else tf.bitwise.invert(x),
    "relu": tf.nn.relu, "stop_gradient": tf.stop_gradient,
}  # fmt: skip
_OF_FLOATS: dict[str, Lowering] = {
    "sinc": _sinc,
    "i0": widened(tf.math.bessel_i0),
    "sigmoid": tf.sigmoid,
    "silu": lambda x: x * tf.sigmoid(x),
    "softplus": tf.math.softplus,
    "softsign": tf.nn.softsign,
    "gelu": _gelu,
    "normal_cdf": _normal_cdf,
}
_BINARY: dict[str, Lowering] = {
    "subtract": lambda x, y: raw.Sub(x=x, y=y),
    "multiply": lambda x, y: raw.Mul(x=x, y=y),
    "divide": _divide,
    "remainder": _remainder,
    "fmod": _fmod,
    "floor_divide": _floor_divide,
    "power": _power,
    "logaddexp": logaddexp,
    "logaddexp2": logaddexp2,
    "arctan2": tf.atan2,
    "hypot": _hypot,
    "maximum": extremum(True),
    "minimum": extremum(False),
    "fmax": extremum(True, skipping=True),
    "fmin": extremum(False, skipping=True),
    "copysign": _copysign,
    "nextafter": _nextafter,
    "heaviside": _heaviside,
    "equal": tf.equal,
    "not_equal": tf.not_equal,
    "logical_and": lambda x, y: truth(x) & truth(y),
    "logical_or": lambda x, y: truth(x) | truth(y),
    "logical_xor": lambda x, y: tf.not_equal(truth(x), truth(y)),
    "left_shift": _shifted(tf.bitwise.left_shift),
    "right_shift": _shifted(tf.bitwise.right_shift),
    "gcd": gcd,
    "lcm": lcm,
}

TABLE: dict[str, Lowering] = {
    **{name: _of_tensor(f) for name, f in _UNARY.items()},
    **{name: _of_floats(f) for name, f in _OF_FLOATS.items()},
    **{name: _both(f) for name, f in _BINARY.items()},
    "add": _or_of_bools(tf.logical_or, lambda x, y: raw.AddV2(x=x, y=y)),
    "bitwise_and": _or_of_bools(tf.logical_and, tf.bitwise.bitwise_and),
    "bitwise_or": _or_of_bools(tf.logical_or, tf.bitwise.bitwise_or),
    "bitwise_xor": _or_of_bools(tf.not_equal, tf.bitwise.bitwise_xor),
    "less": _ordered(tf.less),
    "less_equal": _ordered(tf.less_equal),
    "greater": _ordered(tf.greater),
    "greater_equal": _ordered(tf.greater_equal),
    "floor": _rounded(tf.floor),
    "ceil": _rounded(tf.math.ceil),
    "trunc": _rounded(lambda x: tf.where(x < 0, tf.math.ceil(x), tf.floor(x))),
    "rint": _rounded(tf.round),
    "isnan": _of_floats_alone(tf.math.is_nan, False),
    "isinf": _of_floats_alone(tf.math.is_inf, False),
    "isfinite": _of_floats_alone(tf.math.is_finite, True),
    "float_power": _float_power,
    "where": _where,
    "clip": _clip,
    "ldexp": _ldexp,
    "complex": _complex,
    "over_gap": _over_gap,
    "round": _round,
    "astype": _astype,
    "to_integer": _astype,
    "sinc_derivative": _sinc_derivative,
    "bessel_i": _bessel_i,
    "leaky_relu": lambda x, y: _slopes(x, y, lambda x: x),
    "elu": lambda x, y: _slopes(x, y, _expm1_of_negative),
    "bce_with_logits": _bce_with_logits,
    "as_python": lambda x: x,
}
