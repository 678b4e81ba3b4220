"""Formulas of what ONNX has no operator for, or onnxruntime no kernel of float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pycograd_onnx.lowerings.elementwise import (
    copysign,
    expm1,
    isinf,
    isnan,
    log1p,
    maximum,
    minimum,
    of_floats,
    op,
    xlogy,
)
from pycograd_onnx.writer import DOUBLE, Refused, Tensor, Writer

Lowering = Callable[..., Any]
_TERMS = 30  # of sinc's power series, to the last digit up to |pi x| = 6
_ANGLES = [(i + 0.5) * (math.pi / 128) for i in range(64)]  # of a quarter turn


# -- where there is no kernel of float64 -----------------------------------------------------------
def _either(name: str, formula: Lowering) -> Lowering:
    """ONNX's operator for float32, a formula for float64."""
    own = op(name)

    def run(g: Writer, x: Tensor) -> Tensor:
        return formula(g, x) if x.dtype == DOUBLE else own(g, x)  # type: ignore[no-any-return]

    return of_floats(run)


def _tan(g: Writer, x: Tensor) -> Tensor:
    return g.unary("Sin", x) / g.unary("Cos", x)


def _sinh(g: Writer, x: Tensor) -> Tensor:
    size = g.unary("Abs", x)
    half = expm1(g, minimum(g, size, 1.0))
    near = (half + half / (half + 1.0)) * 0.5
    far = (g.unary("Exp", size) - g.unary("Exp", -size)) * 0.5
    return copysign(g, g.where(size < 1.0, near, far), x)


def _cosh(g: Writer, x: Tensor) -> Tensor:
    return (g.unary("Exp", x) + g.unary("Exp", -x)) * 0.5


def _arcsinh(g: Writer, x: Tensor) -> Tensor:
    size = g.unary("Abs", x)
    inside = minimum(g, size, 1e8)
    near = log1p(g, inside + inside * inside / (g.unary("Sqrt", inside * inside + 1.0) + 1.0))
    return copysign(g, g.where(size > 1e8, g.unary("Log", size) + math.log(2.0), near), x)


def _arccosh(g: Writer, x: Tensor) -> Tensor:
    t = x - 1.0
    inside = minimum(g, t, 1e8)
    near = log1p(g, inside + g.unary("Sqrt", inside * (inside + 2.0)))
    return g.where(t > 1e8, g.unary("Log", x) + math.log(2.0), near)  # type: ignore[no-any-return]


def _arctanh(g: Writer, x: Tensor) -> Tensor:
    size = g.unary("Abs", x)
    return copysign(g, log1p(g, size * 2.0 / (1.0 - size)) * 0.5, x)


def _small_angle(g: Writer, t: Tensor) -> Tensor:
    """The angle of a tangent, halved three times before its power series."""
    for _ in range(3):
        t = t / (g.unary("Sqrt", t * t + 1.0) + 1.0)
    square = t * t
    series: Any = 1.0 / 29
    for k in range(27, 0, -2):
        series = 1.0 / k - square * series
    return t * series * 8.0  # type: ignore[no-any-return]


def arctan(g: Writer, x: Tensor) -> Tensor:
    """The angle of a tangent."""
    if x.dtype != DOUBLE:
        return g.unary("Atan", x)
    size = g.unary("Abs", x)
    large = size > 1.0
    found = _small_angle(g, g.where(large, g.unary("Reciprocal", maximum(g, size, 1.0)), size))
    return copysign(g, g.where(large, math.pi / 2 - found, found), x)


def _arctan2(g: Writer, y: Tensor, x: Tensor) -> Tensor:
    """The angle of the point (x, y); signs of zeros count."""
    swap = g.unary("Abs", y) > g.unary("Abs", x)
    top, bottom = g.where(swap, x, y), g.where(swap, y, x)
    still = bottom.equals(0.0) | (isinf(g, top) & isinf(g, bottom))
    ratio = g.where(still, 0.0, top / g.where(still, 1.0, bottom))
    angle = arctan(g, ratio)
    both = isinf(g, x) & isinf(g, y)
    sx, sy = copysign(g, 1.0, x), copysign(g, 1.0, y)
    flat = g.where(sx < 0.0, sy * math.pi + angle, angle)
    flat = g.where(y.equals(0.0), g.where(sx < 0.0, sy * math.pi, y), flat)
    steep = sy * (math.pi / 2) - angle
    found = g.where(swap, steep, flat)
    found = g.where(both, sy * g.where(sx < 0.0, 0.75 * math.pi, 0.25 * math.pi), found)
    return g.where(isnan(g, x) | isnan(g, y), x + y, found)  # type: ignore[no-any-return]


def _arcsin(g: Writer, x: Tensor) -> Tensor:
    return arctan(g, x / (g.unary("Sqrt", 1.0 - x * x) + 1.0)) * 2.0


def _arccos(g: Writer, x: Tensor) -> Tensor:
    return math.pi / 2 - _arcsin(g, x)


def erf(g: Writer, x: Tensor) -> Tensor:
    """The error function: DLMF 7.6.2 near 0, the continued fraction 7.9.1 elsewhere."""
    if x.dtype != DOUBLE:
        return g.unary("Erf", x)
    size = g.unary("Abs", x)
    near, far = minimum(g, size, 3.0), maximum(g, size, 3.0)
    series: Any = g.tensor(1.0, DOUBLE)
    square = near * near * 2.0
    for n in range(60, 0, -1):
        series = series * square / float(2 * n + 1) + 1.0
    inside = series * near * g.unary("Exp", -(near * near)) * (2.0 / math.sqrt(math.pi))
    fraction: Any = far
    for n in range(40, 0, -1):
        fraction = far + 0.5 * n / fraction
    outside = 1.0 - g.unary("Exp", -(far * far)) / fraction / math.sqrt(math.pi)
    return copysign(g, g.where(size < 3.0, inside, outside), x)


# -- formulas of NumPy and SciPy -------------------------------------------------------------------
def _normal_cdf(g: Writer, x: Tensor) -> Tensor:
    return (erf(g, x * math.sqrt(0.5)) + 1.0) * 0.5


def _order(y: Any) -> int:
    if isinstance(y, Tensor):
        raise Refused("an order that is computed is not exported; write a number")
    return int(y)


def _sinc_derivative(g: Writer, x: Any, y: Any) -> Tensor:
    """The y-th derivative of sinc: its power series near 0, a recursion elsewhere."""
    (x,) = g.floats(x)
    order = _order(y)
    u = x * math.pi
    near = g.unary("Abs", u) < order + 2.0
    small, large = g.where(near, u, 0.0), g.where(near, 1.0, u)
    odd = order % 2
    series: Any = 0.0
    power: Any = small if odd else g.expand(g.tensor(1.0, x.dtype), x.shape)
    term = power * (-1.0) ** ((order + odd) // 2)
    for m in range(odd, odd + 2 * _TERMS, 2):
        series = term / float(m + order + 1) + series
        term = -term * small * small / float((m + 1) * (m + 2))
    # u f^(n) + n f^(n-1) is the n-th derivative of sin, from u f = sin(u)
    far = g.unary("Sin", large) / large
    for n in range(1, order + 1):
        turned = g.unary(("Sin", "Cos")[n % 2], large) * float((-1) ** (n // 2))
        far = (turned - far * float(n)) / large
    return g.where(near, series, far) * math.pi**order  # type: ignore[no-any-return]


def _bessel_i(g: Writer, x: Any, y: Any) -> Tensor:
    """I_y(x), the mean of exp(x cos a) cos(y a) over all angles a: DLMF 10.32.3."""
    (x,) = g.floats(x)
    order = _order(y)
    sign = -1.0 if order % 2 else 1.0
    total: Any = 0.0
    for angle in _ANGLES:
        t = x * math.cos(angle)
        even = (g.unary("Exp", t) + g.unary("Exp", -t) * sign) * 0.5
        total = even * (math.cos(order * angle) / len(_ANGLES)) + total
    return total  # type: ignore[no-any-return]


def _huber(g: Writer, delta: Tensor, r: Tensor) -> Tensor:
    size = g.unary("Abs", r)
    found = g.where(size > delta, delta * (size - delta * 0.5), r * r * 0.5)
    return g.where(delta < 0.0, math.inf, found)  # type: ignore[no-any-return]


def _pseudo_huber(g: Writer, delta: Tensor, r: Tensor) -> Tensor:
    ratio = r / g.where(delta.equals(0.0), 1.0, delta)
    root = g.unary("Sqrt", ratio * ratio + 1.0) - 1.0
    return g.where(delta < 0.0, math.inf, delta * delta * root)  # type: ignore[no-any-return]


def _boxcox_of(g: Writer, log: Tensor, y: Tensor) -> Tensor:
    flat = y.equals(0.0)
    safe = g.where(flat, 1.0, y)
    return g.where(flat, log, expm1(g, safe * log) / safe)  # type: ignore[no-any-return]


def _inv_boxcox(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    flat = y.equals(0.0)
    safe = g.where(flat, 1.0, y)
    return g.where(flat, x, log1p(g, safe * x) / safe)  # type: ignore[no-any-return]


def _rel_entr(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    inside = (x > 0.0) & (y > 0.0)
    a, b = g.where(inside, x, 1.0), g.where(inside, y, 1.0)
    zero = x.equals(0.0) & (y >= 0.0)
    lost = isnan(g, x + y)
    edge = g.where(lost, math.nan, g.where(zero, 0.0, math.inf))
    return g.where(inside, a * (g.unary("Log", a) - g.unary("Log", b)), edge)  # type: ignore[no-any-return]


def _exprel(g: Writer, x: Tensor) -> Tensor:
    zero = x.equals(0.0)
    safe = g.where(zero, 1.0, x)
    found = expm1(g, safe) / safe
    return g.where(zero, 1.0, g.where(x.equals(math.inf), math.inf, found))  # type: ignore[no-any-return]


def _cosm1(g: Writer, x: Tensor) -> Tensor:
    half = g.unary("Sin", x * 0.5)
    return half * half * -2.0


def _xlog1py(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    lost = isnan(g, y)
    none = x.equals(0.0) & ~lost
    return g.where(none, 0.0, x * log1p(g, g.where(none, 1.0, y)))  # type: ignore[no-any-return]


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    f = of_floats
    return {
        "tan": _either("Tan", _tan),
        "sinh": _either("Sinh", _sinh),
        "cosh": _either("Cosh", _cosh),
        "arcsinh": _either("Asinh", _arcsinh),
        "arccosh": _either("Acosh", _arccosh),
        "arctanh": _either("Atanh", _arctanh),
        "arcsin": _either("Asin", _arcsin),
        "arccos": _either("Acos", _arccos),
        "arctan": f(arctan),
        "arctan2": f(_arctan2),
        "erf": f(erf),
        "erfc": f(lambda g, x: 1.0 - erf(g, x)),
        "normal_cdf": f(_normal_cdf),
        "ndtr": f(_normal_cdf),
        "sinc_derivative": _sinc_derivative,
        "bessel_i": _bessel_i,
        "i0": lambda g, x: _bessel_i(g, x, 0),
        "scipy_i0": lambda g, x: _bessel_i(g, x, 0),
        "i1": lambda g, x: _bessel_i(g, x, 1),
        "huber": f(_huber),
        "pseudo_huber": f(_pseudo_huber),
        "boxcox": f(lambda g, x, y: _boxcox_of(g, g.unary("Log", x), y)),
        "boxcox1p": f(lambda g, x, y: _boxcox_of(g, log1p(g, x), y)),
        "inv_boxcox": f(lambda g, x, y: g.unary("Exp", _inv_boxcox(g, x, y))),
        "inv_boxcox1p": f(lambda g, x, y: expm1(g, _inv_boxcox(g, x, y))),
        "rel_entr": f(_rel_entr),
        "kl_div": f(lambda g, x, y: _rel_entr(g, x, y) - x + y),
        "xlog1py": f(_xlog1py),
        "exprel": f(_exprel),
        "cosm1": f(_cosm1),
        "powm1": f(lambda g, x, y: expm1(g, xlogy(g, y, x))),
        "scipy_round": op("Round"),
    }
