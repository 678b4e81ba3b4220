"""Elementwise operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd_onnx.writer import BOOL, INT, Refused, Tensor, Writer

Lowering = Callable[..., Any]
LOG2 = math.log(2.0)
LOG10 = math.log(10.0)


def of_floats(function: Lowering) -> Lowering:
    """`function` of operands as floats of one dtype."""
    return lambda g, *xs, **params: function(g, *g.floats(*xs), **params)


def op(name: str) -> Lowering:
    """An operator of floats that is ONNX's own."""
    return of_floats(lambda g, x: g.unary(name, x))


def on_floats(name: str) -> Lowering:
    """An operator that leaves integers as they are."""

    def run(g: Writer, x: Any) -> Tensor:
        x = g.tensor(x)
        return g.unary(name, x) if x.is_float else x

    return run


# -- arithmetic ------------------------------------------------------------------------------------
def _add(g: Writer, x: Any, y: Any) -> Tensor:
    x, y = g.common(x, y)
    return x | y if x.dtype == BOOL else x + y  # type: ignore[no-any-return]


def _multiply(g: Writer, x: Any, y: Any) -> Tensor:
    x, y = g.common(x, y)
    return x & y if x.dtype == BOOL else x * y  # type: ignore[no-any-return]


def _divmod(g: Writer, x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """The quotient rounded down, and what is left."""
    x, y = g.common(x, y)
    if x.dtype == BOOL:
        x, y = g.cast(x, INT), g.cast(y, INT)
    none = y.equals(0)
    if not x.is_float:
        safe = g.where(none, 1, y)  # a division by zero would end the process
        quotient = x / safe
        rest = x - quotient * safe
        over = ~rest.equals(0) & g.node("Xor", [rest < 0, safe < 0], BOOL, rest.shape)
        return g.where(none, 0, g.where(over, quotient - 1, quotient)), g.where(
            none, 0, g.where(over, rest + safe, rest)
        )
    rest = g.binary("Mod", x, y, fmod=1)
    over = ~rest.equals(0) & g.node("Xor", [rest < 0, y < 0], BOOL, rest.shape)
    quotient = g.unary("Round", (x - rest) / y)
    quotient = g.where(over, quotient - 1.0, quotient)
    return g.where(none, x / y, quotient), g.where(over, rest + y, rest)


def _fmod(g: Writer, x: Any, y: Any) -> Tensor:
    x, y = g.common(x, y)
    if x.is_float:
        return g.binary("Mod", x, y, fmod=1)
    none = y.equals(0)
    safe = g.where(none, 1, y)
    return g.where(none, 0, x - (x / safe) * safe)  # type: ignore[no-any-return]


def _gcd(g: Writer, x: Any, y: Any) -> Tensor:
    """Euclid's algorithm, until all entries are done."""
    x, y = g.common(x, y)
    shape, label = g.joined(x, y), g.label
    x, y = g.expand(g.unary("Abs", x), shape), g.expand(g.unary("Abs", y), shape)

    def going(y: Tensor) -> Tensor:
        return g.reduce("ReduceMax", y, range(y.ndim), False) > 0

    a, b = (Tensor(g, g.fresh("value"), x.dtype, shape) for _ in range(2))
    step, open_ = Tensor(g, g.fresh("step"), INT, ()), Tensor(g, g.fresh("going"), BOOL, ())

    def run() -> list[Tensor]:
        rest = _fmod(g, a, b)  # by 0 it is 0
        return [going(rest), g.where(b.equals(0), a, b), rest]

    body, _ = g.subgraph([step, open_, a, b], run, "body")
    g.label = label
    return g.many("Loop", [None, going(y), x, y], [(x.dtype, shape)] * 2, body=body)[0]


def _lcm(g: Writer, x: Any, y: Any) -> Tensor:
    x, y = g.common(x, y)
    divisor = _gcd(g, x, y)
    found = x / g.where(divisor.equals(0), 1, divisor) * y
    return g.unary("Abs", found)


def _power(g: Writer, x: Any, y: Any) -> Tensor:
    if g.outs[0].dtype.kind == "f":
        x, y = g.floats(x, y)
        return g.binary("Pow", x, y)
    bits = int(y).bit_length() if not isinstance(y, Tensor) else 63
    x, y = g.common(x, y)
    if x.dtype != INT:
        raise Refused("powers of booleans are not exported")
    return _integer_power(g, x, y, bits)


def _integer_power(g: Writer, x: Tensor, y: Tensor, bits: int) -> Tensor:
    """By squaring, with the overflow of integers; floats would round."""
    made: Tensor = g.where(y < 0, 0, 1)
    for _ in range(bits):
        half = y / 2
        odd = (y - half * 2).equals(1)
        made = made * g.where(odd, x, 1)
        x, y = x * x, half
    return made


def _reciprocal(g: Writer, x: Any) -> Tensor:
    x = g.tensor(x)
    return g.unary("Reciprocal", x) if x.is_float else _trunc_of_one(g, g.cast(x, INT))


def _trunc_of_one(g: Writer, x: Tensor) -> Tensor:
    return g.where(x.equals(1), 1, g.where(x.equals(-1), -1, 0))  # type: ignore[no-any-return]


def _cbrt(g: Writer, x: Tensor) -> Tensor:
    root = g.unary("Sign", x) * g.binary("Pow", g.unary("Abs", x), 1 / 3)
    return root


def expm1(g: Writer, x: Tensor) -> Tensor:
    """exp(x) - 1; its power series near 0."""
    near = g.unary("Abs", x) < 0.5
    small = g.where(near, x, 0.0)
    series: Any = 1.0
    for k in range(14, 1, -1):
        series = (
            series * small / float(k) + 1.0
            if isinstance(series, Tensor)
            else small / float(k) + 1.0
        )
    return g.where(near, small * series, g.unary("Exp", x) - 1.0)  # type: ignore[no-any-return]


def log1p(g: Writer, x: Tensor) -> Tensor:
    """log(1 + x), the rounding of 1 + x made good (Kahan)."""
    u = x + 1.0
    plain = u.equals(1.0)
    inside = g.where(plain, 2.0, u)
    scaled = g.unary("Log", inside) * (x / (inside - 1.0))
    return g.where(plain, x, g.where(u.equals(math.inf), u, scaled))  # type: ignore[no-any-return]


def softplus(g: Writer, x: Tensor) -> Tensor:
    """log(1 + exp(x))."""
    return maximum(g, x, 0.0) + log1p(g, g.unary("Exp", -g.unary("Abs", x)))  # type: ignore[no-any-return]


def _logaddexp(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    same = x.equals(y)  # two infinities
    gap = g.where(same, 0.0, x - y)
    return g.where(  # type: ignore[no-any-return]
        same, x + LOG2, maximum(g, x, y) + log1p(g, g.unary("Exp", -g.unary("Abs", gap)))
    )


def _logaddexp2(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    return _logaddexp(g, x * LOG2, y * LOG2) / LOG2


def _hypot(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    a, b = g.unary("Abs", x), g.unary("Abs", y)
    large, small = maximum(g, a, b), minimum(g, a, b)
    plain = large.equals(0.0) | large.equals(math.inf)
    ratio = small / g.where(plain, 1.0, large)
    found = g.where(plain, large, large * g.unary("Sqrt", ratio * ratio + 1.0))
    return g.where(isinf(g, x) | isinf(g, y), math.inf, found)  # type: ignore[no-any-return]


# -- order and sign --------------------------------------------------------------------------------
def isnan(g: Writer, x: Any) -> Tensor:
    """True for nan."""
    x = g.tensor(x)
    if not x.is_float:
        return g.node("Less", [x, x], BOOL, x.shape) if x.dtype == INT else x & ~x
    return g.node("IsNaN", [x], BOOL, x.shape)


def isinf(g: Writer, x: Any) -> Tensor:
    """True for the infinities."""
    x = g.tensor(x)
    return g.node("IsInf", [x], BOOL, x.shape) if x.is_float else isnan(g, x)


def _isfinite(g: Writer, x: Any) -> Tensor:
    return ~(isnan(g, x) | isinf(g, x))


def _extremum(name: str, logical: str) -> Lowering:
    def run(g: Writer, x: Any, y: Any) -> Tensor:
        x, y = g.common(x, y)
        if x.dtype == BOOL:
            return g.node(logical, [x, y], BOOL, g.joined(x, y))
        if not x.is_float:
            return g.where(x > y if name == "Max" else x < y, x, y)  # type: ignore[no-any-return]
        return g.binary(name, x, y)

    return run


maximum, minimum = _extremum("Max", "Or"), _extremum("Min", "And")


def _without_nans(function: Lowering) -> Lowering:
    def run(g: Writer, x: Any, y: Any) -> Tensor:
        x, y = g.common(x, y)
        if not x.is_float:
            return function(g, x, y)  # type: ignore[no-any-return]
        return g.where(isnan(g, x), y, g.where(isnan(g, y), x, function(g, x, y)))  # type: ignore[no-any-return]

    return run


def _clip(g: Writer, x: Any, low: Any, high: Any) -> Tensor:
    return minimum(g, maximum(g, x, low), high)  # type: ignore[no-any-return]


def _sign(g: Writer, x: Any) -> Tensor:
    x = g.tensor(x)
    return g.where(isnan(g, x), x, g.unary("Sign", x)) if x.is_float else g.unary("Sign", x)


def _negative_bit(g: Writer, x: Any) -> Tensor:
    """True for negative numbers and -0.0."""
    x = g.tensor(x)
    if not x.is_float:
        return x < 0  # type: ignore[no-any-return]
    zero = x.equals(0.0)
    return (x < 0.0) | (zero & (g.unary("Reciprocal", x) < 0.0))  # type: ignore[no-any-return]


def copysign(g: Writer, x: Any, y: Any) -> Tensor:
    """The size of x with the sign of y."""
    x, y = g.floats(x, y)
    size = g.unary("Abs", x)
    return g.where(_negative_bit(g, y), -size, size)  # type: ignore[no-any-return]


def _trunc(g: Writer, x: Any) -> Tensor:
    x = g.tensor(x)
    if not x.is_float:
        return x  # type: ignore[no-any-return]
    return g.where(x < 0.0, g.unary("Ceil", x), g.unary("Floor", x))  # type: ignore[no-any-return]


def _heaviside(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    step = g.where(x.equals(0.0), y, g.where(x < 0.0, 0.0, 1.0))
    return g.where(isnan(g, x), x, step)  # type: ignore[no-any-return]


def _absolute(g: Writer, x: Any) -> Tensor:
    x = g.tensor(x)
    return x if x.dtype == BOOL else g.unary("Abs", x)


def _fabs(g: Writer, x: Tensor) -> Tensor:
    return g.unary("Abs", x)


def _negative(g: Writer, x: Any) -> Tensor:
    return g.unary("Neg", g.tensor(x))


def _angle(g: Writer, x: Tensor) -> Tensor:
    return g.where(isnan(g, x), x, g.where(_negative_bit(g, x), math.pi, 0.0))  # type: ignore[no-any-return]


def _round(g: Writer, x: Any, decimals: int) -> Tensor:
    x = g.tensor(x)
    if not x.is_float:
        if decimals >= 0:
            return x  # type: ignore[no-any-return]
        raise Refused("integers rounded to tens are not exported")
    if not decimals:
        return g.unary("Round", x)
    scale = 10.0 ** abs(decimals)
    return (
        g.unary("Round", x * scale) / scale if decimals > 0 else g.unary("Round", x / scale) * scale
    )


# -- truth and bits --------------------------------------------------------------------------------
def truth(g: Writer, x: Any) -> Tensor:
    """What counts as true."""
    x = g.tensor(x)
    return x if x.dtype == BOOL else ~x.equals(0)  # type: ignore[no-any-return]


def _logical(name: str) -> Lowering:
    def run(g: Writer, x: Any, y: Any) -> Tensor:
        x, y = truth(g, x), truth(g, y)
        return g.node(name, [x, y], BOOL, g.joined(x, y))

    return run


def _bitwise(name: str, logical: str) -> Lowering:
    def run(g: Writer, x: Any, y: Any) -> Tensor:
        x, y = g.common(x, y)
        if x.dtype == BOOL:
            return g.node(logical, [x, y], BOOL, g.joined(x, y))
        if g.opset < 18:
            raise Refused("operations on bits need opset=18")
        return g.binary(name, x, y)

    return run


def _invert(g: Writer, x: Any) -> Tensor:
    x = g.tensor(x)
    return ~x if x.dtype == BOOL else -x - 1  # type: ignore[no-any-return]


def _two_to(g: Writer, y: Any) -> Tensor:
    """The power of two of an integer, 0 from 63 on."""
    y = g.tensor(y, INT)
    powers = g.constant(np.array([1 << i if i < 63 else 0 for i in range(64)], np.int64))
    place = g.where(y < 0, 63, g.where(y > 63, 63, y))
    return g.node("Gather", [powers, place], INT, y.shape, axis=0)


def _left_shift(g: Writer, x: Any, y: Any) -> Tensor:
    return g.tensor(x, INT) * _two_to(g, y)


def _right_shift(g: Writer, x: Any, y: Any) -> Tensor:
    x, power = g.tensor(x, INT), _two_to(g, y)
    gone = power.equals(0)
    found = _divmod(g, x, g.where(gone, 1, power))[0]
    return g.where(gone, g.where(x < 0, -1, 0), found)  # type: ignore[no-any-return]


def _not_equal(g: Writer, x: Any, y: Any) -> Tensor:
    return ~g.compare("Equal", x, y)


def _compare(name: str) -> Lowering:
    return lambda g, x, y: g.compare(name, x, y)


def _where(g: Writer, c: Any, x: Any, y: Any) -> Tensor:
    dtype = g.inner(g.outs[0].dtype)
    return g.where(truth(g, c), g.tensor(x, dtype), g.tensor(y, dtype))  # type: ignore[no-any-return]


def _astype(g: Writer, x: Any, dtype: Any) -> Tensor:
    x = g.tensor(x)
    inner = g.inner(dtype)
    if np.dtype(dtype).kind == "f" and np.dtype(dtype).itemsize < 4 and x.is_float:
        return g.cast(g.cast(x, dtype), inner)
    return g.cast(x, inner)


# -- activations -----------------------------------------------------------------------------------
def _gelu(g: Writer, x: Tensor) -> Tensor:
    inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
    return x * 0.5 * (g.unary("Tanh", inner) + 1.0)


def _elu(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    return g.where(x > 0.0, x, y * expm1(g, minimum(g, x, 0.0)))  # type: ignore[no-any-return]


def _leaky_relu(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    return g.where(x > 0.0, x, y * x)  # type: ignore[no-any-return]


def _bce(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    return softplus(g, x) - x * y


def _sinc(g: Writer, x: Tensor) -> Tensor:
    u = x * math.pi
    zero = u.equals(0.0)
    safe = g.where(zero, 1.0, u)
    return g.where(zero, 1.0, g.unary("Sin", safe) / safe)  # type: ignore[no-any-return]


def xlogy(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    """x log(y), 0 where x is 0."""
    none = x.equals(0.0) & ~isnan(g, y)
    return g.where(none, 0.0, x * g.unary("Log", g.where(none, 1.0, y)))  # type: ignore[no-any-return]


def _entr(g: Writer, x: Tensor) -> Tensor:
    inside = x > 0.0
    safe = g.where(inside, x, 1.0)
    edge = g.where(x.equals(0.0), 0.0, g.where(x < 0.0, -math.inf, x))
    return g.where(inside, -(safe * g.unary("Log", safe)), edge)  # type: ignore[no-any-return]


def _over_gap(g: Writer, x: Tensor, gap: Tensor) -> Tensor:
    equal = gap.equals(0.0)
    return g.where(equal, 0.0, x / g.where(equal, 1.0, gap))  # type: ignore[no-any-return]


def _same(g: Writer, x: Any) -> Tensor:
    return g.tensor(x)


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    f = of_floats
    made: dict[str, Lowering] = {
        name: op(operator)
        for name, operator in {
            "sqrt": "Sqrt", "deviation": "Sqrt", "exp": "Exp", "log": "Log", "sin": "Sin",
            "cos": "Cos", "tanh": "Tanh", "sigmoid": "Sigmoid", "expit": "Sigmoid", }.items()
    }  # fmt: skip
    made |= {
        name: on_floats(operator)
        for name, operator in {"floor": "Floor", "ceil": "Ceil", "rint": "Round"}.items()
    }
    for name in ("positive", "conjugate", "real", "stop_gradient", "as_python"):
        made[name] = _same
    for name in ("deg2rad", "radians"):
        made[name] = f(lambda g, x: x * (math.pi / 180))
    for name in ("rad2deg", "degrees"):
        made[name] = f(lambda g, x: x * (180 / math.pi))
    made |= {
        name: f(lambda g, x, turned=turned: turned(g, x * (math.pi / 180)))
        for name, turned in {
            "sindg": lambda g, x: g.unary("Sin", x),
            "cosdg": lambda g, x: g.unary("Cos", x),
            "tandg": lambda g, x: g.unary("Tan", x),
            "cotdg": lambda g, x: 1.0 / g.unary("Tan", x),
        }.items()
    }
    made["radian"] = f(lambda g, d, m, s: (d + m / 60.0 + s / 3600.0) * (math.pi / 180))
    made |= {
        "add": _add,
        "subtract": lambda g, x, y: g.binary("Sub", x, y),
        "multiply": _multiply,
        "divide": f(lambda g, x, y: x / y),
        "floor_divide": lambda g, x, y: _divmod(g, x, y)[0],
        "remainder": lambda g, x, y: _divmod(g, x, y)[1],
        "fmod": _fmod,
        "gcd": _gcd,
        "lcm": _lcm,
        "power": _power,
        "float_power": _power,
        "negative": _negative,
        "reciprocal": _reciprocal,
        "square": lambda g, x: _multiply(g, x, x),
        "cbrt": f(_cbrt),
        "scipy_cbrt": f(_cbrt),
        "exp2": f(lambda g, x: g.binary("Pow", 2.0, x)),
        "scipy_exp2": f(lambda g, x: g.binary("Pow", 2.0, x)),
        "exp10": f(lambda g, x: g.binary("Pow", 10.0, x)),
        "expm1": f(expm1),
        "scipy_expm1": f(expm1),
        "log2": f(lambda g, x: g.unary("Log", x) / LOG2),
        "log10": f(lambda g, x: g.unary("Log", x) / LOG10),
        "log1p": f(log1p),
        "scipy_log1p": f(log1p),
        "logaddexp": f(_logaddexp),
        "logaddexp2": f(_logaddexp2),
        "hypot": f(_hypot),
        "absolute": _absolute,
        "fabs": f(_fabs),
        "sign": _sign,
        "signbit": _negative_bit,
        "copysign": copysign,
        "trunc": _trunc,
        "round": _round,
        "angle": f(_angle),
        "imag": f(lambda g, x: g.expand(g.tensor(0.0, x.dtype), x.shape)),
        "heaviside": f(_heaviside),
        "maximum": maximum,
        "minimum": minimum,
        "fmax": _without_nans(maximum),
        "fmin": _without_nans(minimum),
        "clip": _clip,
        "where": _where,
        "ldexp": lambda g, x, y: g.floats(x)[0] * g.binary("Pow", 2.0, g.floats(y)[0]),
        "isnan": isnan,
        "isinf": isinf,
        "isfinite": _isfinite,
        "equal": _compare("Equal"),
        "not_equal": _not_equal,
        "less": _compare("Less"),
        "less_equal": _compare("LessOrEqual"),
        "greater": _compare("Greater"),
        "greater_equal": _compare("GreaterOrEqual"),
        "logical_and": _logical("And"),
        "logical_or": _logical("Or"),
        "logical_xor": _logical("Xor"),
        "logical_not": lambda g, x: ~truth(g, x),
        "invert": _invert,
        "bitwise_and": _bitwise("BitwiseAnd", "And"),
        "bitwise_or": _bitwise("BitwiseOr", "Or"),
        "bitwise_xor": _bitwise("BitwiseXor", "Xor"),
        "left_shift": _left_shift,
        "right_shift": _right_shift,
        "astype": _astype,
        "to_integer": _astype,
        "over_gap": f(_over_gap),
        "relu": lambda g, x: maximum(g, x, 0),
        "leaky_relu": f(_leaky_relu),
        "elu": f(_elu),
        "softplus": f(softplus),
        "silu": f(lambda g, x: x * g.unary("Sigmoid", x)),
        "softsign": f(lambda g, x: x / (g.unary("Abs", x) + 1.0)),
        "gelu": f(_gelu),
        "bce_with_logits": f(_bce),
        "sinc": f(_sinc),
        "log_expit": f(lambda g, x: -softplus(g, -x)),
        "logit": f(lambda g, x: g.unary("Log", x) - log1p(g, -x)),
        "xlogy": f(xlogy),
        "entr": f(_entr),
    }
    return made
