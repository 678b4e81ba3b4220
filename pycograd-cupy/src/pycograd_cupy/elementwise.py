"""Elementwise operations, those of `scipy.special` among them.

`cp` is the module cupy, or one with the same functions; `cps` is `cupyx.scipy.special`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.plugins.api import LoweringNotFoundError
from pycograd_cupy.dtypes import cast, inexact, together

Table = dict[str, Callable[..., Any]]

_SAME = """
add subtract multiply divide negative positive reciprocal square sqrt cbrt power exp exp2 expm1
log log2 log10 log1p logaddexp logaddexp2 sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh
arccosh arctanh arctan2 hypot deg2rad rad2deg maximum minimum fmax fmin absolute fabs sign
copysign conjugate real imag angle ldexp heaviside floor ceil trunc rint signbit isnan isinf
isfinite logical_not invert nextafter equal not_equal less less_equal greater greater_equal
logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor left_shift right_shift gcd
lcm remainder floor_divide fmod sinc i0
"""
_SPECIAL = """
gammaln loggamma gamma rgamma psi zetac beta betaln binom poch gammainc gammaincc gammaincinv
gammainccinv betainc betaincinv chdtr chdtrc chdtri fdtr fdtrc fdtri gdtr gdtrc pdtr pdtrc pdtri
bdtr bdtrc bdtri nbdtr nbdtrc nbdtri j0 j1 y0 y1 yn i0e i1 i1e k0 k1 k0e k1e exp10 cosm1 expit
log_expit logit xlogy xlog1py entr rel_entr kl_div huber pseudo_huber boxcox boxcox1p inv_boxcox
inv_boxcox1p radian sindg cosdg tandg cotdg erf erfc erfcx erfinv erfcinv ndtr ndtri log_ndtr exp1
expi expn ellipk ellipkm1 lpmv exprel gammasgn ellipkinc ellipeinc
"""
_OTHER_NAMES = {
    "scipy_i0": "i0", "scipy_expm1": "expm1", "scipy_log1p": "log1p", "scipy_exp2": "exp2",
    "scipy_cbrt": "cbrt", "scipy_round": "round", "zeta": "zeta",
}  # fmt: skip
_PARTS = {
    "sici": ("sici_si", "sici_ci"),
    "shichi": ("shichi_shi", "shichi_chi"),
    "ellipj": ("ellipj_sn", "ellipj_cn", "ellipj_dn", "ellipj_ph"),
}


def table(cp: Any, cps: Any) -> Table:
    """Primitive name -> its spelling."""
    return {
        **{name: getattr(cp, name) for name in _SAME.split()},
        **_conversions(cp),
        **_activations(cp, cps),
        **_of_numpy(cp, cps),
        **_special(cps),
    }


def _conversions(cp: Any) -> Table:
    def where(condition: Any, x: Any, y: Any) -> Any:
        return cp.where(cast(cp, condition, np.bool_), *together(cp, x, y))

    def clip(x: Any, y: Any, z: Any) -> Any:
        x, y, z = together(cp, x, y, z)
        return cp.minimum(cp.maximum(x, y), z)

    def complex_(x: Any, y: Any) -> Any:
        x, y = cp.broadcast_arrays(*together(cp, x, y))
        made = cp.empty(x.shape, np.result_type(x.dtype, np.complex64))
        made.real, made.imag = x, y
        return made

    def float_power(x: Any, y: Any) -> Any:
        x, y = together(cp, x, y)
        dtype = np.result_type(x.dtype, np.float64)
        return cp.power(x.astype(dtype), y.astype(dtype))

    def spacing(x: Any) -> Any:
        x = inexact(cp, x)
        return cp.nextafter(x, cp.copysign(cp.full_like(x, np.inf), x)) - x

    def bitwise_count(x: Any) -> Any:
        x = cp.asarray(x)
        size = x if x.dtype.kind in "bu" else cp.absolute(x)
        bits, total = size.astype(np.uint64), cp.zeros(x.shape, np.uint8)
        for _ in range(64 if x.dtype.itemsize == 8 else 8 * x.dtype.itemsize):
            total = total + (bits & np.uint64(1)).astype(np.uint8)
            bits = bits >> np.uint64(1)
        return total

    def convert(x: Any, dtype: Any) -> Any:
        return cast(cp, x, dtype)

    def over_gap(x: Any, gap: Any) -> Any:
        x, gap = together(cp, x, gap)
        equal = gap == 0
        return cp.where(equal, cp.zeros_like(x), x / cp.where(equal, cp.ones_like(gap), gap))

    return {
        "where": where,
        "clip": clip,
        "complex": complex_,
        "float_power": float_power,
        "spacing": spacing,
        "bitwise_count": bitwise_count,
        "radians": cp.deg2rad,
        "degrees": cp.rad2deg,
        "exponent": lambda x: cp.frexp(inexact(cp, x))[1].astype(np.int32),
        "astype": convert,
        "to_integer": convert,
        "copy": lambda x, order: cp.array(x),
        "round": lambda x, decimals: cp.around(cp.asarray(x), decimals),
        "deviation": cp.sqrt,
        "over_gap": over_gap,
        "stop_gradient": cp.asarray,
        "as_python": cp.asarray,
        "size": lambda size: size,
        "positions": lambda size, dtype: cp.arange(size, dtype=dtype),
    }


# -- activations -----------------------------------------------------------------------------------
_A, _B, _CUT = math.sqrt(8 / math.pi), 0.044715, 60


def _activations(cp: Any, cps: Any) -> Table:
    def sigmoid(x: Any) -> Any:
        return 1 / (1 + cp.exp(-inexact(cp, x)))

    def softplus(x: Any) -> Any:
        x = inexact(cp, x)
        return cp.maximum(x, cp.zeros_like(x)) + cp.log1p(cp.exp(-cp.absolute(x)))

    def branches(x: Any, y: Any, negative: Any) -> Any:
        x = cp.asarray(x)
        dtype = x.dtype
        if not (isinstance(y, (bool, int, float)) and dtype.kind not in "biu"):
            dtype = together(cp, x, y)[0].dtype
        return cp.where(x > 0, x.astype(dtype), cast(cp, negative(x), dtype))

    def elu(x: Any, y: Any) -> Any:
        return branches(x, y, lambda x: y * cp.expm1(cp.minimum(x, cp.zeros_like(x))))

    def gelu(x: Any) -> Any:
        x = inexact(cp, x)
        cut = cp.clip(x, -_CUT, _CUT)
        return x * sigmoid(cut * (_A + (_A * _B) * (cut * cut)))

    def softsign(x: Any) -> Any:
        x = inexact(cp, x)
        return x / (1 + cp.absolute(x))

    def bce_with_logits(x: Any, y: Any) -> Any:
        x, y = together(cp, x, y)
        return cp.maximum(x, cp.zeros_like(x)) - x * y + cp.log1p(cp.exp(-cp.absolute(x)))

    return {
        "relu": lambda x: cp.maximum(x, cp.zeros_like(x)),
        "leaky_relu": lambda x, y: branches(x, y, lambda x: y * x),
        "elu": elu,
        "sigmoid": sigmoid,
        "silu": lambda x: inexact(cp, x) * sigmoid(x),
        "softplus": softplus,
        "softsign": softsign,
        "gelu": gelu,
        "normal_cdf": lambda x: cps.ndtr(inexact(cp, x)),
        "bce_with_logits": bce_with_logits,
    }


# -- special functions that NumPy has itself -------------------------------------------------------
_TERMS = 30
_ANGLES = (np.arange(64) + 0.5) * (math.pi / 128)


def _of_numpy(cp: Any, cps: Any) -> Table:
    def sinc_derivative(x: Any, order: Any) -> Any:
        """As `pycograd.ops.special` computes it: a power series near 0, a recursion elsewhere."""
        x, order = inexact(cp, x), int(order)
        u = math.pi * x
        near = cp.absolute(u) < order + 2.0
        zero, one = cp.zeros_like(u), cp.ones_like(u)
        small, large = cp.where(near, u, zero), cp.where(near, one, u)
        odd = order % 2
        series, term = zero, (-1.0) ** ((order + odd) // 2) * (small if odd else one)
        for m in range(odd, odd + 2 * _TERMS, 2):
            series = series + term / (m + order + 1)
            term = -term * small * small / ((m + 1) * (m + 2))
        far = cp.sin(large) / large
        for n in range(1, order + 1):
            far = ((cp.sin, cp.cos)[n % 2](large) * (-1) ** (n // 2) - n * far) / large
        return cp.where(near, series, far) * math.pi**order

    def bessel_i(x: Any, order: Any) -> Any:
        """I_order(x) by the trapezoidal rule over all angles: DLMF 10.32.3."""
        x, order = inexact(cp, x), int(order)
        total, even = cp.zeros_like(x), (cp.cosh, cp.sinh)[order % 2]
        for angle in _ANGLES.tolist():
            weight = math.cos(order * angle) / len(_ANGLES)
            total = total + even(x * math.cos(angle)) * weight
        return total

    return {
        "sinc": lambda x: cp.sinc(inexact(cp, x)),
        "i0": lambda x: cps.i0(inexact(cp, x)),
        "sinc_derivative": sinc_derivative,
        "bessel_i": bessel_i,
    }


# -- scipy.special ---------------------------------------------------------------------------------
def _special(cps: Any) -> Table:
    found: Table = {}
    for name, theirs in {**{n: n for n in _SPECIAL.split()}, **_OTHER_NAMES}.items():
        if hasattr(cps, theirs):  # of what this release has
            found[name] = getattr(cps, theirs)
    for theirs, names in _PARTS.items():
        if hasattr(cps, theirs):
            for i, name in enumerate(names):
                found[name] = _part(getattr(cps, theirs), i)
    if hasattr(cps, "polygamma"):
        found["polygamma"] = _of_reals("polygamma", cps.polygamma)
    return found


def _of_reals(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    def run(*operands: Any) -> Any:
        if any(isinstance(x, complex) or getattr(x, "dtype", None) in _COMPLEX for x in operands):
            raise LoweringNotFoundError(
                f"primitive {name!r} of complex values is not lowered by backend 'cupy': cupy has"
                " it of real ones alone"
            )
        return f(*operands)

    return run


_COMPLEX = (np.complex64, np.complex128)


def _part(f: Callable[..., Any], i: int) -> Callable[..., Any]:
    return lambda *operands: f(*operands)[i]
