"""Elementwise operations: nearly all are `jax.numpy`'s of the same name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pycograd_jax.lowerings.dtypes import cast, common_dtype, inexact, strong, together

_SAME = """
add subtract multiply divide negative positive reciprocal square sqrt cbrt power float_power exp
exp2 expm1 log log2 log10 log1p logaddexp logaddexp2 sin cos tan arcsin arccos arctan sinh cosh tanh
arcsinh arccosh arctanh arctan2 hypot deg2rad rad2deg radians degrees maximum minimum fmax fmin
absolute fabs sign copysign conjugate real imag angle heaviside floor ceil trunc rint spacing
signbit isnan isinf isfinite logical_not invert bitwise_count nextafter equal not_equal less
less_equal greater greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or
bitwise_xor left_shift right_shift gcd lcm
"""


def _whole(f: Callable[..., Any]) -> Callable[..., Any]:
    """A division whose result of integers is 0 where the divisor is, as in NumPy."""

    def run(x: Any, y: Any) -> Any:
        if common_dtype([x, y]).kind not in "biu":
            return f(x, y)
        zero = jnp.equal(y, 0)
        return jnp.where(zero, 0, f(x, jnp.where(zero, 1, y)))

    return run


def _ldexp(x: Any, n: Any) -> Any:
    """As products, which JAX transposes; in two steps, so that no power of 2 overflows."""
    x, n = inexact(x), jnp.asarray(n)
    half = n // 2
    one = jnp.ones((), x.dtype)
    return x * jnp.ldexp(one, half) * jnp.ldexp(one, n - half)


def _where(condition: Any, x: Any, y: Any) -> Any:
    return jnp.where(cast(condition, np.bool_), *together(x, y))


def _clip(x: Any, y: Any, z: Any) -> Any:
    x, y, z = together(x, y, z)
    return jnp.minimum(jnp.maximum(x, y), z)


def _complex(x: Any, y: Any) -> Any:
    x, y = together(x, y)
    if x.dtype not in (np.float32, np.float64):
        wide = np.result_type(np.dtype(x.dtype), np.float32)
        x, y = x.astype(wide), y.astype(wide)
    return jax.lax.complex(*jnp.broadcast_arrays(x, y))


def _over_gap(x: Any, gap: Any) -> Any:
    x, gap = together(x, gap)
    equal = gap == 0
    return jnp.where(equal, 0, x / jnp.where(equal, 1, gap))


# -- special functions that NumPy has itself -------------------------------------------------------
_TERMS = 30


def _sinc_derivative(x: Any, order: Any) -> Any:
    """As `pycograd.ops.special` computes it: a power series near 0, a recursion elsewhere."""
    x, order = inexact(x), int(order)
    u = math.pi * x
    near = jnp.abs(u) < order + 2.0
    small, large = jnp.where(near, u, 0), jnp.where(near, 1, u)
    odd = order % 2
    series, term = (
        jnp.zeros_like(x),
        (-1.0) ** ((order + odd) // 2) * (small if odd else jnp.ones_like(small)),
    )
    for m in range(odd, odd + 2 * _TERMS, 2):
        series = series + term / (m + order + 1)
        term = -term * small * small / ((m + 1) * (m + 2))
    far = jnp.sin(large) / large
    for n in range(1, order + 1):
        far = ((jnp.sin, jnp.cos)[n % 2](large) * (-1) ** (n // 2) - n * far) / large
    return jnp.where(near, series, far) * math.pi**order


_ANGLES = [(k + 0.5) * (math.pi / 128) for k in range(64)]


def _bessel_i(x: Any, order: Any) -> Any:
    """I_order(x) by the trapezoidal rule over all angles: DLMF 10.32.3."""
    x, order = inexact(x), int(order)
    even = (jnp.cosh, jnp.sinh)[order % 2]
    angles = np.array(_ANGLES)
    weights = jnp.asarray(np.cos(order * angles) / len(angles), x.dtype)
    return jnp.tensordot(even(x[..., None] * jnp.asarray(np.cos(angles), x.dtype)), weights, 1)


def _i0(x: Any) -> Any:
    return jax.scipy.special.i0(inexact(x))


# -- activations -----------------------------------------------------------------------------------
def _branches(x: Any, y: Any, positive: Any, negative: Any) -> Any:
    out = jnp.where(x > 0, positive, negative)
    dtype = np.dtype(x.dtype)
    adapts = isinstance(y, (bool, int, float)) and dtype.kind not in "biu"
    return cast(out, dtype if adapts else common_dtype([x, y]))


def _sigmoid(x: Any) -> Any:
    x = inexact(x)
    return 1 / (1 + jnp.exp(-x))


def _silu(x: Any) -> Any:
    x = inexact(x)
    return x * _sigmoid(x)


def _softplus(x: Any) -> Any:
    x = inexact(x)
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def _softsign(x: Any) -> Any:
    x = inexact(x)
    return x / (1 + jnp.abs(x))


_A, _B, _CUT = math.sqrt(8 / math.pi), 0.044715, 60


def _gelu(x: Any) -> Any:
    x = inexact(x)
    cut = jnp.clip(x, -_CUT, _CUT)
    return x * _sigmoid(cut * (_A + (_A * _B) * (cut * cut)))


def _bce_with_logits(x: Any, y: Any) -> Any:
    x, y = together(x, y)
    return jnp.maximum(x, 0) - x * y + jnp.log1p(jnp.exp(-jnp.abs(x)))


TABLE: dict[str, Callable[..., Any]] = {
    **{name: getattr(jnp, name) for name in _SAME.split()},
    "remainder": _whole(jnp.remainder),
    "floor_divide": _whole(jnp.floor_divide),
    "fmod": _whole(jnp.fmod),
    "ldexp": _ldexp,
    "where": _where,
    "clip": _clip,
    "complex": _complex,
    "exponent": lambda x: jnp.frexp(x)[1].astype(np.int32),
    "astype": lambda x, dtype: cast(x, dtype),
    "to_integer": lambda x, dtype: cast(x, dtype),
    "copy": lambda x, order: strong(x),
    "round": lambda x, decimals: jnp.round(jnp.asarray(x), decimals),
    "deviation": jnp.sqrt,
    "over_gap": _over_gap,
    "sinc": lambda x: jnp.sinc(inexact(x)),
    "sinc_derivative": _sinc_derivative,
    "i0": _i0,
    "bessel_i": _bessel_i,
    "relu": lambda x: jnp.maximum(x, 0),
    "leaky_relu": lambda x, y: _branches(jnp.asarray(x), y, x, y * jnp.asarray(x)),
    "elu": lambda x, y: _branches(jnp.asarray(x), y, x, y * jnp.expm1(jnp.minimum(x, 0))),
    "sigmoid": _sigmoid,
    "silu": _silu,
    "softplus": _softplus,
    "softsign": _softsign,
    "gelu": _gelu,
    "normal_cdf": lambda x: jax.scipy.special.ndtr(inexact(x)),
    "bce_with_logits": _bce_with_logits,
    "stop_gradient": jax.lax.stop_gradient,
    "as_python": lambda x: x,
    "size": lambda size: size,
    "positions": lambda size, dtype: jnp.arange(size, dtype=dtype),
}
