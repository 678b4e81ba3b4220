"""Elementwise operations, in the dtypes in which NumPy would compute."""

from __future__ import annotations

import math
import operator
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pycograd.plugins.api import UnsupportedDtypeError
from pycograd_torch.dtypes import torch_dtype
from pycograd_torch.lowerings.common import (
    Lowering,
    common,
    joined,
    of_tensors,
    staged,
    tensors,
    together,
)

LOG2 = math.log(2.0)


# -- arithmetic ------------------------------------------------------------------------------------
def _negative(x: Any) -> Any:
    return -x


def _reciprocal(x: Any) -> Any:
    if x.is_floating_point() or x.is_complex():
        return torch.reciprocal(x)
    return torch.div(torch.ones_like(x), x, rounding_mode="trunc")


def _cbrt(x: Any) -> Any:
    root = torch.sign(x) * torch.pow(torch.abs(x), 1 / 3)
    # One step of Newton's method, for the last digits.
    safe = torch.where((root == 0) | ~torch.isfinite(root), torch.ones_like(root), root)
    return root - torch.where(safe == root, (root - x / (safe * safe)) / 3, 0)


def _floor_divide(x: Any, y: Any) -> Any:
    return torch.div(x, y, rounding_mode="floor")


def _exp2(x: Any) -> Any:
    return torch.exp(x * LOG2) if x.is_complex() else torch.exp2(x)


def _ldexp(x: Any, y: Any) -> Any:
    # In two steps: the power of a large number alone would be out of range.
    y = y if isinstance(y, torch.Tensor) else torch.as_tensor(y, device=x.device)
    half = torch.div(y, 2, rounding_mode="floor")
    two = torch.full((), 2.0, dtype=x.dtype, device=x.device)
    return x * torch.pow(two, half.to(x.dtype)) * torch.pow(two, (y - half).to(x.dtype))


def _logical(function: Lowering) -> Lowering:
    return of_tensors(lambda *xs: function(*xs))


def _logaddexp2(x: Any, y: Any) -> Any:
    return torch.logaddexp2(x, y)


# -- order, magnitude and sign ---------------------------------------------------------------------
def _where(c: Any, x: Any, y: Any) -> Any:
    c = c if isinstance(c, torch.Tensor) else torch.tensor(bool(c))
    c = c if c.dtype is torch.bool else c != 0
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
        return torch.where(c.to(x.device) if c.ndim == 0 else c, *common(x, y))
    if not isinstance(x, torch.Tensor) and not isinstance(y, torch.Tensor):
        dtype = torch_dtype(np.result_type(np.min_scalar_type(x), np.asarray(x), np.asarray(y)))
        x, y = (torch.tensor(v, dtype=dtype, device=c.device) for v in (x, y))
    return torch.where(c, *common(x, y))


def _clip(x: Any, low: Any, high: Any) -> Any:
    numbers = not isinstance(low, torch.Tensor) and not isinstance(high, torch.Tensor)
    if numbers and isinstance(x, torch.Tensor) and x.is_floating_point():
        return torch.clamp(x, low, high)
    return torch.clamp(*joined(*common(x, low, high)))


def _absolute(x: Any) -> Any:
    return x if x.dtype is torch.bool else torch.abs(x)


def _conjugate(x: Any) -> Any:
    return torch.conj_physical(x)


def _real(x: Any) -> Any:
    return x.real if x.is_complex() else x


def _imag(x: Any) -> Any:
    return x.imag if x.is_complex() else torch.zeros_like(x)


def _complex(x: Any, y: Any) -> Any:
    x, y = together(*[_real(v) for v in tensors(x, y)])
    if x.dtype in (torch.float16, torch.bfloat16):
        x, y = x.to(torch.float32), y.to(torch.float32)
    return torch.complex(*joined(x, y))


def _angle(x: Any) -> Any:
    if x.is_complex():
        return torch.atan2(x.imag, x.real)
    x = x if x.is_floating_point() else x.to(torch.float64)
    return torch.atan2(torch.zeros_like(x), x)


def _spacing(x: Any) -> Any:
    size = torch.abs(x)
    gap = torch.nextafter(size, torch.full_like(x, math.inf)) - size
    return torch.copysign(gap, x)


def _bitwise_count(x: Any) -> Any:
    bits = 8 * x.element_size()
    size = torch.abs(x) if x.dtype.is_signed else x
    # The least number has no absolute value; its bits are those of its own form.
    counts: Any = 0
    for i in range(bits):
        counts = counts + (torch.bitwise_right_shift(size, i) & 1).to(torch.uint8)
    return counts


def _round(x: Any, decimals: int) -> Any:
    if x.is_complex():
        return torch.complex(_round(x.real, decimals), _round(x.imag, decimals))
    if x.is_floating_point():
        return torch.round(x, decimals=decimals)
    if decimals >= 0 or x.dtype is torch.bool:
        return x
    return torch.round(x.to(torch.float64), decimals=decimals).to(x.dtype)


def _sign(x: Any) -> Any:
    if x.is_floating_point():
        return torch.where(torch.isnan(x), x, torch.sign(x))
    return torch.sgn(x)


def _over_gap(x: Any, gap: Any) -> Any:
    x, gap = common(x, gap)
    equal = gap == 0
    out = torch.where(equal, 0, x / torch.where(equal, 1, gap))
    if not staged() and bool(equal.any()):
        size = torch.abs(x)
        eps = torch.finfo(x.dtype).eps
        of_equal = size[equal.expand(x.shape)]
        if bool(torch.max(of_equal) > eps**0.5 * torch.max(size)):
            warnings.warn(
                "the derivative of eigenvectors or singular vectors of equal eigenvalues or"
                " singular values was taken as if these stayed equal. Functions of the space that"
                " they span are right; others, functions of the matrix and second derivatives of"
                " its eigenvalues among them, are not defined by it",
                RuntimeWarning,
                stacklevel=2,
            )
    return out


def _astype(x: Any, dtype: Any) -> Any:
    x = tensors(x)[0]
    native = torch_dtype(dtype)
    if native is None:
        raise UnsupportedDtypeError(f"torch has no {np.dtype(dtype).name} tensors")
    if x.is_complex() and not native.is_complex and native is not torch.bool:
        x = x.real
    return x.to(native)


# -- activations -----------------------------------------------------------------------------------
def _leaky_relu(x: Any, y: Any) -> Any:
    if not isinstance(y, torch.Tensor) and x.is_floating_point():
        return F.leaky_relu(x, float(y))
    x, y = common(x, y)
    return torch.where(x > 0, x, y * x)


def _elu(x: Any, y: Any) -> Any:
    if not isinstance(y, torch.Tensor) and x.is_floating_point():
        return F.elu(x, float(y))
    x, y = together(x, y)
    return torch.where(x > 0, x, y * torch.expm1(torch.clamp(x, max=0)))


def _bce_with_logits(x: Any, y: Any) -> Any:
    x, y = together(x, y)
    x, y = joined(x, y)
    return F.binary_cross_entropy_with_logits(x, y, reduction="none")


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    both = of_tensors
    unary: dict[str, Lowering] = {
        "negative": _negative, "positive": torch.positive, "reciprocal": _reciprocal,
        "square": torch.square, "sqrt": torch.sqrt, "cbrt": _cbrt, "scipy_cbrt": _cbrt,
        "exp": torch.exp, "exp2": _exp2,
        "expm1": torch.expm1, "log": torch.log, "log2": torch.log2, "log10": torch.log10,
        "log1p": torch.log1p, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan,
        "arcsin": torch.asin, "arccos": torch.acos, "arctan": torch.atan, "sinh": torch.sinh,
        "cosh": torch.cosh, "tanh": torch.tanh, "arcsinh": torch.asinh, "arccosh": torch.acosh,
        "arctanh": torch.atanh, "deg2rad": torch.deg2rad, "rad2deg": torch.rad2deg,
        "radians": torch.deg2rad, "degrees": torch.rad2deg, "absolute": _absolute,
        "fabs": torch.abs, "sign": _sign, "conjugate": _conjugate, "real": _real, "imag": _imag,
        "angle": _angle, "floor": torch.floor, "ceil": torch.ceil, "trunc": torch.trunc,
        "rint": torch.round, "spacing": _spacing, "signbit": torch.signbit, "isnan": torch.isnan,
        "isinf": torch.isinf, "isfinite": torch.isfinite, "logical_not": torch.logical_not,
        "invert": torch.bitwise_not, "bitwise_count": _bitwise_count,
        "exponent": lambda x: torch.frexp(x)[1], "deviation": torch.sqrt, "relu": torch.relu,
        "stop_gradient": torch.Tensor.detach, "as_python": lambda x: x,
        "normal_cdf": lambda x: torch.special.ndtr(x),
        "sigmoid": torch.sigmoid, "softplus": lambda x: -F.logsigmoid(-x), "silu": F.silu,
        "softsign": F.softsign, "gelu": lambda x: F.gelu(x, approximate="tanh"),
    }  # fmt: skip
    floats = {"normal_cdf", "sigmoid", "softplus", "silu", "softsign", "gelu", "exponent"}
    made: dict[str, Lowering] = {
        name: _of_floats(f) if name in floats else f for name, f in unary.items()
    }
    made |= {
        "add": operator.add,
        "subtract": operator.sub,
        "multiply": operator.mul,
        "divide": operator.truediv,
        "remainder": both(torch.remainder),
        "fmod": both(torch.fmod),
        "power": torch.pow,
        "float_power": torch.pow,
        "floor_divide": _floor_divide,
        "logaddexp": both(torch.logaddexp),
        "logaddexp2": both(_logaddexp2),
        "arctan2": both(torch.atan2),
        "hypot": both(torch.hypot),
        "maximum": both(torch.maximum),
        "minimum": both(torch.minimum),
        "fmax": both(torch.fmax),
        "fmin": both(torch.fmin),
        "where": _where,
        "clip": _clip,
        "copysign": both(torch.copysign),
        "ldexp": _ldexp,
        "heaviside": both(torch.heaviside),
        "nextafter": both(torch.nextafter),
        "equal": operator.eq,
        "not_equal": operator.ne,
        "less": operator.lt,
        "less_equal": operator.le,
        "greater": operator.gt,
        "greater_equal": operator.ge,
        "logical_and": _logical(torch.logical_and),
        "logical_or": _logical(torch.logical_or),
        "logical_xor": _logical(torch.logical_xor),
        "bitwise_and": both(torch.bitwise_and),
        "bitwise_or": both(torch.bitwise_or),
        "bitwise_xor": both(torch.bitwise_xor),
        "left_shift": both(torch.bitwise_left_shift),
        "right_shift": both(torch.bitwise_right_shift),
        "gcd": both(torch.gcd),
        "lcm": both(torch.lcm),
        "complex": _complex,
        "over_gap": _over_gap,
        "astype": _astype,
        "to_integer": _astype,
        "round": _round,
        "leaky_relu": _leaky_relu,
        "elu": _elu,
        "bce_with_logits": _bce_with_logits,
    }
    return made


def _of_floats(function: Lowering) -> Lowering:
    return lambda x: function(*together(x))
