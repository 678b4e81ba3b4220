"""Activation functions: one fused operation each, with a stable value and a stable derivative.

All act entry by entry on plain and on differentiated arrays. Floating dtypes are kept; integers
and booleans become float64, except where `relu` and `leaky_relu` have no reason to.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import aval_of, dtype_of, is_inexact, promote, shape_of, ufunc_dtype
from pycograd.core.dims import Dim
from pycograd.core.elementwise import Elementwise
from pycograd.core.errors import ShapeError
from pycograd.core.pieces import in_pieces, is_long
from pycograd.nn.arguments import floating, real
from pycograd.ops.axes import axis_of
from pycograd.ops.elementwise import chosen

__all__ = [
    "elu",
    "gated_act",
    "gelu",
    "glu",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "mish",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "swish",
    "tanh",
]


def _adapted(x: Any, y: Any) -> Any:
    """The dtype of x where y is a number; bfloat16 adapts numbers too, unlike in NumPy."""
    return x.dtype if y.weak and is_inexact(x.dtype) else promote([x, y])


def _floating(x: Any) -> Any:
    return ufunc_dtype(np.exp, [x])


def _fused(name: str, value: Any, rule: Any, cost: str = "transcendental") -> Elementwise:
    return Elementwise(name, value, [rule], dtype=_floating, cost=cost)


# -- piecewise linear ------------------------------------------------------------------------------
def _relu_value(x: Any) -> Any:
    # Beside the number 0 NumPy would make integers of booleans.
    return np.logical_or(x, False) if dtype_of(x).kind == "b" else np.maximum(x, 0)


_relu = Elementwise(
    "relu",
    _relu_value,
    [lambda t, ans: chosen(ans > 0, t, 0)],
    dtype=lambda x: promote([x]),
)


def _branches(x: Any, positive: Any, negative: Any, y: Any) -> Any:
    out = np.where(x > 0, positive, negative)
    return out.astype(_adapted(aval_of(x), aval_of(y)), copy=False)


_leaky_relu = Elementwise(
    "leaky_relu",
    lambda x, y: _branches(x, x, y * x, y),
    [lambda t, x, y: np.where(x > 0, t, y * t), lambda t, x: np.where(x > 0, 0, t * x)],
    dtype=_adapted,
)


def relu(x: Any) -> Any:
    """`max(x, 0)`, with derivative 0 at 0.

    Arguments:
        x: real, any shape.

    Returns:
        An array like `x`.

    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return _relu(real(x, "relu"))


def leaky_relu(x: Any, slope: Any = 0.01) -> Any:
    """`x` where positive, else `slope * x`; with derivative `slope` at 0.

    Arguments:
        x: real, any shape.
        slope: a number, or an array that broadcasts, which may be differentiated too.

    Returns:
        An array like `x`.

    >>> leaky_relu(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    return _leaky_relu(real(x, "leaky_relu"), slope)


def hardsigmoid(x: Any) -> Any:
    """`x / 6 + 1/2`, cut off at 0 and 1.

    Arguments:
        x: real, any shape.

    Returns:
        An array like `x`.

    >>> hardsigmoid(np.array([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75])
    """
    return np.clip(floating(x, "hardsigmoid") / 6 + 0.5, 0, 1)


def hardswish(x: Any) -> Any:
    """`x * hardsigmoid(x)`.

    Arguments:
        x: real, any shape.

    Returns:
        An array like `x`.

    >>> hardswish(np.array([-4.0, 0.0, 1.0]))
    array([-0.        ,  0.        ,  0.66666667])
    """
    x = floating(x, "hardswish")
    return x * hardsigmoid(x)


# -- with exponentials -----------------------------------------------------------------------------
def _sigmoid_value(x: Any) -> Any:
    with np.errstate(over="ignore"):  # exp(1000) is inf, the reciprocal of which is right
        if is_long(x):
            return in_pieces(_sigmoid_in_place, np.empty_like(x), x)
        return 1 / (1 + np.exp(-x))


def _sigmoid_in_place(out: Any, x: Any) -> None:
    np.negative(x, out)
    np.exp(out, out)
    np.add(1, out, out)
    np.divide(1, out, out)


def _silu_rule(t: Any, ans: Any, x: Any) -> Any:
    s = _sigmoid(x)
    return t * (s + ans * (1 - s))


_sigmoid = _fused("sigmoid", _sigmoid_value, lambda t, ans: t * (ans * (1 - ans)))
_softplus = _fused(
    "softplus",
    lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    lambda t, x: t * _sigmoid(x),
)
_silu = _fused("silu", lambda x: x * _sigmoid_value(x), _silu_rule)
_elu = Elementwise(
    "elu",
    lambda x, y: _branches(x, x, y * np.expm1(np.minimum(x, 0)), y),
    [
        lambda t, ans, x, y: np.where(x > 0, t, t * (ans + y)),
        lambda t, x: np.where(x > 0, 0, t * np.expm1(np.minimum(x, 0))),
    ],
    dtype=_adapted,
    cost="transcendental",
)
_softsign = _fused(
    "softsign",
    lambda x: x / (1 + np.abs(x)),
    lambda t, x: t * np.square(1 / (1 + np.abs(x))),
    "cheap",
)


def sigmoid(x: Any) -> Any:
    """`1 / (1 + exp(-x))`, finite everywhere with its derivative.

    Arguments:
        x: real, any shape.

    Returns:
        An array like `x`.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return _sigmoid(floating(x, "sigmoid"))


def softplus(x: Any) -> Any:
    """`log(1 + exp(x))`, which neither overflows nor loses small values.

    Arguments:
        x: real, any shape.

    Returns:
        An array like `x`.

    >>> softplus(np.array([-1000.0, 0.0, 1000.0]))
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    return _softplus(floating(x, "softplus"))


def silu(x: Any) -> Any:
    """`x * sigmoid(x)`, also called swish.

    Arguments:
        x: real, any shape.

    Returns:
        An array like `x`.

    >>> silu(np.array([0.0, 1.0]))
    array([0.        , 0.73105858])
    """
    return _silu(floating(x, "silu"))


swish = silu


def mish(x: Any) -> Any:
    """`x * tanh(softplus(x))`.

    Arguments:
        x: real, any shape.

    Returns:
        An array like `x`.

    >>> mish(np.array([0.0, 1.0]))
    array([0.        , 0.86509839])
    """
    x = floating(x, "mish")
    return x * np.tanh(_softplus(x))


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """`x` where positive, else `alpha * (exp(x) - 1)`.

    Arguments:
        x: real, any shape.
        alpha: a number, or an array that broadcasts, which may be differentiated too.

    Returns:
        An array like `x`.

    >>> elu(np.array([-1000.0, 1000.0]))
    array([  -1., 1000.])
    """
    return _elu(floating(x, "elu"), alpha)


def selu(x: Any) -> Any:
    """`elu`, scaled so that activations keep mean 0 and variance 1 (Klambauer et al. 2017).

    Arguments:
        x: real, any shape.

    Returns:
        An array like `x`.

    >>> selu(np.array([-1000.0, 1.0]))
    array([-1.75809934,  1.05070099])
    """
    y = _elu(floating(x, "selu"), 1.6732632423543772)
    return y * np.asarray(1.0507009873554805, y.dtype)


def softsign(x: Any) -> Any:
    """`x / (1 + |x|)`.

    Arguments:
        x: real, any shape.

    Returns:
        An array like `x`.

    >>> softsign(np.array([-1.0, 3.0]))
    array([-0.5 ,  0.75])
    """
    return _softsign(floating(x, "softsign"))


def tanh(x: Any) -> Any:
    """The hyperbolic tangent, `np.tanh`.

    Arguments:
        x: any shape.

    Returns:
        An array like `x`.

    >>> tanh(np.array([0.0, 1000.0]))
    array([0., 1.])
    """
    return np.tanh(x if dtype_of(x).kind == "c" else floating(x, "tanh"))


# -- gelu ------------------------------------------------------------------------------------------
# By tanh (Hendrycks and Gimpel 2016): x (1 + tanh u) / 2 = x sigmoid(2 u), u = a (x + b x^3). At
# |x| = 60 the sigmoid is 0 or 1 in every dtype: x is cut there, and its cube cannot overflow.
_A, _B, _CUT = math.sqrt(8 / math.pi), 0.044715, 60


def _gelu_value(x: Any) -> Any:
    with np.errstate(over="ignore"):
        if is_long(x):
            return in_pieces(_gelu_in_place, np.empty_like(x), x, scratch=1)
        cut = np.clip(x, -_CUT, _CUT)
        out = x / (1 + np.exp(cut * ((-_A * _B) * (cut * cut) - _A)))
        return np.asarray(out, _floating(aval_of(x)))


def _gelu_in_place(out: Any, x: Any, cut: Any) -> None:
    np.clip(x, -_CUT, _CUT, cut)
    np.multiply(cut, cut, out)
    np.multiply(-_A * _B, out, out)
    np.subtract(out, _A, out)
    np.multiply(cut, out, out)
    np.exp(out, out)
    np.add(1, out, out)
    np.divide(x, out, out)


# Its slope, with p = 2 u' and s the sigmoid, is s + x s (1 - s) p. The value that it is told, x s,
# has the sigmoid in it, which spares the exponential; where x is too small to divide by, it is 1/2.
def _gelu_slope_value(x: Any, y: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        if is_long(x) and is_long(y) and x.shape == y.shape and x.dtype == y.dtype:
            return in_pieces(_gelu_slope_in_place, np.empty_like(x), x, y, scratch=2)
        cut = np.clip(x, -_CUT, _CUT)
        square = cut * cut
        if type(y) in (np.ndarray, np.float64, np.float32) and y.dtype.kind == "f":
            least = 2 * np.finfo(y.dtype).tiny
            s = np.where(np.abs(x) < least, np.asarray(0.5, y.dtype), y / x)
        else:
            s = _sigmoid(cut * (_A + (_A * _B) * square))
        return s + (1 - s) * y * ((3 * _A * _B) * square + _A)


def _gelu_slope_in_place(out: Any, x: Any, y: Any, cut: Any, rest: Any) -> None:
    np.divide(y, x, out)
    least = 2 * np.finfo(x.dtype).tiny
    np.absolute(x, cut)
    if not np.min(cut) >= least:  # or there is a nan
        out[cut < least] = 0.5
    np.clip(x, -_CUT, _CUT, cut)
    np.multiply(cut, cut, cut)
    np.multiply(3 * _A * _B, cut, cut)
    np.add(cut, _A, cut)
    np.subtract(1, out, rest)
    np.multiply(rest, y, rest)
    np.multiply(rest, cut, rest)
    np.add(out, rest, out)


def _gelu_bend(x: Any) -> Any:
    """The derivative of the slope: s (1 - s) (2 p + x (1 - 2 s) p^2 + x p')."""
    cut = np.clip(x, -_CUT, _CUT)
    square = cut * cut
    p, s = _A + (3 * _A * _B) * square, _sigmoid(cut * (_A + (_A * _B) * square))
    k = s * (1 - s)
    return k * p * (2 + cut * (1 - 2 * s) * p) + k * ((6 * _A * _B) * square)


def _normal_cdf_value(x: Any) -> Any:
    x = np.asarray(x)
    double = x if x.dtype.itemsize <= 8 else x.astype(np.float64)  # no longer one has an erfc
    try:
        from scipy.special import ndtr
    except ImportError:
        erfc = np.frompyfunc(math.erfc, 1, 1)
        return np.asarray(np.multiply(0.5, erfc(double * -math.sqrt(0.5))), _floating(aval_of(x)))
    return np.asarray(ndtr(double), _floating(aval_of(x)))


def _normal_density(x: Any) -> Any:
    x = np.clip(x, -200, 200)  # where it is 0, in every dtype
    return math.sqrt(0.5 / math.pi) * np.exp(-0.5 * (x * x))


_gelu_slope = Elementwise(
    "gelu_slope",
    _gelu_slope_value,
    [lambda t, x: t * _gelu_bend(x), None],  # one of x alone, in which y is known
    dtype=lambda x, y: _floating(y),
    cost="transcendental",
)
_gelu_slope.composed = True  # where a library has no slope of its own
_gelu = _fused("gelu", _gelu_value, lambda t, ans, x: t * _gelu_slope(x, ans))
_normal_cdf = _fused("normal_cdf", _normal_cdf_value, lambda t, x: t * _normal_density(x))


def gelu(x: Any, approximate: str = "tanh") -> Any:
    """`x` times the probability that a standard normal variable is below it.

    Arguments:
        x: real, any shape.
        approximate: "tanh", the usual approximation with an error below 5e-4, or "none".

    Returns:
        An array like `x`.

    Raises:
        ValueError: another `approximate`.

    >>> gelu(np.array([-1000.0, 0.0, 1.0]))
    array([-0.        ,  0.        ,  0.84119199])
    """
    x = floating(x, "gelu")
    if approximate == "tanh":
        return _gelu(x)
    if approximate == "none":
        return x * _normal_cdf(x)
    raise ValueError(f"gelu: approximate must be 'tanh' or 'none', not {approximate!r}")


# -- gates -----------------------------------------------------------------------------------------
def gated_act(x: Any, gate: Any) -> Any:
    """`tanh(x) * sigmoid(gate)`, the gated unit of WaveNet.

    Arguments:
        x, gate: real; they broadcast.

    Returns:
        An array of the common shape.

    Raises:
        ShapeError: shapes that do not broadcast.

    >>> gated_act(np.array([0.0, 1000.0]), np.array([0.0, 0.0]))
    array([0. , 0.5])
    """
    x, gate = floating(x, "gated_act"), floating(gate, "gated_act")
    if shape_of(x) != shape_of(gate):
        sizes.broadcast(shape_of(x), shape_of(gate), operation="gated_act")
    return np.multiply(np.tanh(x), _sigmoid(gate))


def glu(x: Any, axis: int = -1) -> Any:
    """`a * sigmoid(b)`, where `a` and `b` are the two halves of `x`.

    Arguments:
        x: real, any shape, of an even size along `axis`.
        axis: the axis that is halved.

    Returns:
        An array of half the size along `axis`.

    Raises:
        ShapeError: an odd size along `axis`.

    >>> glu(np.array([1.0, 2.0, 0.0, 1000.0]))
    array([0.5, 2. ])
    """
    x = floating(x, "glu")
    axis = axis_of(axis, len(shape_of(x)), "glu")
    size = shape_of(x)[axis]
    if not isinstance(size, Dim) and size % 2:
        raise ShapeError(f"glu: shape {shape_of(x)} has an odd size along axis {axis}")
    front = (slice(None),) * axis
    a, b = x[(*front, slice(None, size // 2))], x[(*front, slice(size // 2, None))]
    return a * _sigmoid(b)
