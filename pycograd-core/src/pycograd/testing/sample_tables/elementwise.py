"""Samples of `pycograd.ops.elementwise`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("elementwise")


def _unary(function: Any, x: Any, *kinks: Kink, **options: Any) -> Sample:
    """One operand; `kinks` with their conventional gradients."""
    return Sample(function.__name__, function, [x], kinks=kinks, **options)


def _binary(function: Any, x: Any, y: Any, *kinks: Kink, **options: Any) -> list[Sample]:
    """Operands of one shape, broadcast against each other, with a scalar, and with themselves."""
    name = function.__name__
    return [
        Sample(name, function, [x, y], kinks=kinks, **options),
        Sample(name, function, [x[:, :1], y[:1, :]], name="outer", **options),
        Sample(name, function, [x, y[0]], name="row", **options),
        Sample(name, function, [x[0], y], name="left-row", **options),
        Sample(name, lambda x: function(x, 1.5), [x], name="right-scalar", **options),
        Sample(name, lambda y: function(1.5, y), [y], name="left-scalar", **options),
    ]


def _empty(gradients: int = 1) -> Kink:
    return Kink([np.zeros((0, 2))] * gradients, [np.zeros((0, 2))] * gradients)


_NORMAL, _POSITIVE = draw.normal(2, 3), draw.positive(2, 3)
_DISTINCT = draw.distinct(4, 3)
_X, _Y = _DISTINCT[:2], _DISTINCT[2:]  # no entry of one equals an entry of the other
_UNIT = draw.uniform(-0.8, 0.8, 2, 3)  # inside (-1, 1)
_SPREAD = draw.normal(2, 3) * 3
_APART = draw.integers(5, 2, 3) + draw.uniform(0.2, 0.4, 2, 3)  # no integers and no halves
_INTEGERS = draw.integers(6, 2, 3) + 1
_0D = np.array(0.7)

SAMPLES = [
    # -- arithmetic
    *_binary(np.add, _NORMAL, _POSITIVE, _empty(2), Kink([_0D, _0D], [1.0, 1.0])),
    *_binary(np.subtract, _NORMAL, _POSITIVE, _empty(2)),
    *_binary(np.multiply, _NORMAL, _POSITIVE, Kink([np.zeros(2), np.zeros(2)], [[0, 0]] * 2)),
    *_binary(np.divide, _NORMAL, _POSITIVE, Kink([np.zeros(2), np.ones(2)], [[1, 1], [0, 0]])),
    Sample("multiply", lambda x: x * x, [_NORMAL], name="itself"),
    Sample("divide", lambda x: x / x, [_NORMAL], name="itself"),
    Sample("add", lambda x: x + x, [_NORMAL], name="itself"),
    Sample("multiply", np.multiply, [_0D, _NORMAL], name="0-d"),
    Sample("multiply", np.multiply, [_NORMAL, draw.complex(2, 3)], name="real-by-complex"),
    Sample("subtract", lambda x: x - _INTEGERS, [_NORMAL], name="integer-array"),
    _unary(np.negative, _NORMAL, _empty()),
    _unary(np.positive, _NORMAL, _empty()),
    _unary(np.reciprocal, _NORMAL),
    _unary(np.square, _NORMAL, Kink([np.zeros(2)], [[0, 0]])),
    _unary(np.sqrt, _POSITIVE),
    _unary(np.cbrt, _NORMAL),
    *_binary(np.remainder, _SPREAD, _POSITIVE),
    *_binary(np.fmod, _SPREAD, _POSITIVE),
    # -- powers
    *_binary(
        np.power,
        _POSITIVE,
        _NORMAL,
        Kink([np.zeros(4), np.array([0.0, 1.0, 2.0, 3.0])], [[0, 1, 0, 0], [0, 0, 0, 0]]),
    ),
    *[
        Sample(
            "power",
            lambda x, n=n: np.power(x, n),
            [_NORMAL],
            name=f"to-the-{n}",
            kinks=[Kink([np.zeros(2)], [[slope, slope]])],
        )
        for n, slope in ((0, 0), (1, 1), (2.0, 0), (3, 0))
    ],
    # Half precision cannot tell the slopes of so steep a function.
    Sample("power", lambda x: x**-2, [_NORMAL], name="inverse", dtypes=["float32", "complex64"]),
    Sample("power", lambda x: np.power(x, _INTEGERS), [_NORMAL], name="integer-array"),
    Sample("power", lambda x: x**x, [_POSITIVE], name="itself"),
    Sample("power", lambda y: 2.0**y, [_NORMAL], name="two-to-the"),
    Sample(
        "power",
        lambda y: 0.0**y,
        [_POSITIVE],
        name="zero-to-the",
        kinks=[Kink([np.array([1.0, 2.0])], [[0, 0]])],
        complex=False,  # 0.0 ** z is nan in NumPy
    ),
    *_binary(np.float_power, _POSITIVE, _NORMAL),
    # -- exponentials and logarithms
    _unary(np.exp, _NORMAL, _empty(), Kink([np.array([-1e3, 0.0])], [[0, 1]])),
    _unary(np.exp2, _NORMAL),
    _unary(np.expm1, _NORMAL, Kink([np.array([0.0, -1e3])], [[1, 0]])),
    _unary(np.log, _POSITIVE),
    _unary(np.log2, _POSITIVE),
    _unary(np.log10, _POSITIVE),
    _unary(np.log1p, _POSITIVE, Kink([np.zeros(1)], [[1]])),
    *_binary(
        np.logaddexp,
        _NORMAL,
        _UNIT,
        Kink(
            [np.array([1e4, -np.inf, 0.0, 0.0]), np.array([0.0, 0.0, -1e4, 0.0])],
            [[1, 0, 1, 0.5], [0, 1, 0, 0.5]],
        ),
    ),
    *_binary(
        np.logaddexp2,
        _NORMAL,
        _UNIT,
        Kink([np.array([1e4, 0.0]), np.array([0.0, 0.0])], [[1, 0.5], [0, 0.5]]),
    ),
    # -- trigonometric and hyperbolic
    _unary(np.sin, _NORMAL, _empty(), Kink([np.array(0.0)], [1.0])),
    _unary(np.cos, _NORMAL),
    _unary(np.tan, _UNIT),
    _unary(np.arcsin, _UNIT),
    _unary(np.arccos, _UNIT),
    _unary(np.arctan, _NORMAL, Kink([np.array([np.inf, -np.inf])], [[0, 0]])),
    _unary(np.sinh, _NORMAL),
    _unary(np.cosh, _NORMAL),
    _unary(np.tanh, _NORMAL, Kink([np.array([1e3, -1e3, 0.0])], [[0, 0, 1]])),
    _unary(np.arcsinh, _NORMAL),
    _unary(np.arccosh, _POSITIVE + 1),
    _unary(np.arctanh, _UNIT),
    *_binary(np.arctan2, _NORMAL, _POSITIVE, Kink([np.zeros(2), np.array([1.0, -1.0])])),
    *_binary(
        np.hypot,
        _NORMAL,
        _POSITIVE,
        Kink([np.zeros(1), np.zeros(1)], [[0], [0]]),
        Kink([np.array([3.0]), np.array([0.0])], [[1], [0]]),
    ),
    _unary(np.deg2rad, _NORMAL),
    _unary(np.rad2deg, _NORMAL),
    _unary(np.radians, _NORMAL),
    _unary(np.degrees, _NORMAL),
    # -- order
    *[
        sample
        for function in (np.maximum, np.minimum, np.fmax, np.fmin)
        for sample in _binary(
            function,
            _X,
            _Y,
            Kink([np.array([1.0, -2.0]), np.array([1.0, -2.0])], [[0.5, 0.5]] * 2),
            Kink([np.array(1.0), np.array([1.0, 1.0, 1.0])], [1.5, [0.5, 0.5, 0.5]]),
        )
    ],
    Sample("maximum", lambda x: np.maximum(x, x), [_X], name="itself"),
    Sample(
        "where",
        lambda c, x, y: np.where(c, x, y),
        [draw.mask(2, 3), _NORMAL, _POSITIVE],
        kinks=[Kink([np.array([True, False]), np.array(1.0), np.ones(2)], [1.0, [0, 1]])],
    ),
    Sample("where", lambda c, x: np.where(c, x, 0), [draw.mask(2, 1), _NORMAL], name="zero"),
    Sample("where", lambda c, y: np.where(c, 1.5, y), [draw.mask(3), _NORMAL], name="row"),
    Sample("where", lambda x: np.where(x > 0, x, x * x), [_NORMAL], name="own-condition"),
    Sample(
        "clip",
        lambda x: np.clip(x, -0.5, 0.7),
        [_DISTINCT],
        name="scalars",
        kinks=[Kink([np.array([-0.5, 0.7, 0.0, 1.0, -1.0])], [[1, 1, 1, 0, 0]]), _empty()],
    ),
    Sample("clip", np.clip, [_DISTINCT, _UNIT[0] - 1, _POSITIVE[0]], name="arrays"),
    Sample("clip", lambda x: np.clip(x, None, 0.7), [_DISTINCT], name="above"),
    Sample("clip", lambda x: np.clip(x, _UNIT[:1], None), [_DISTINCT], name="below"),
    # An infinite slope in the branch that is not taken adds 0 to the gradient.
    Sample(
        "where",
        lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1)), 0),
        [_POSITIVE],
        name="guarded",
        kinks=[Kink([np.array([0.0, 4.0])], [[0, 0.25]])],
    ),
    # -- magnitude, sign and the parts of complex numbers
    _unary(np.absolute, _NORMAL, _empty(), Kink([np.array([0.0, -0.0])], [[0, 0]])),
    Sample(
        "absolute",
        np.absolute,
        [draw.complex(2, 3)],
        name="complex",
        kinks=[Kink([np.array([0j, 3 + 4j])], [[0, 0.6 + 0.8j]])],
    ),
    _unary(np.fabs, _NORMAL, Kink([np.array([0.0, -2.0])], [[0, -1]])),
    _unary(np.sign, _NORMAL, Kink([np.zeros(2)], [[0, 0]])),
    _unary(np.sign, draw.complex(2, 3), Kink([np.zeros(2, complex)]), name="complex"),
    *_binary(np.copysign, _NORMAL, _DISTINCT[:2], Kink([np.zeros(1), -np.ones(1)])),
    _unary(np.conjugate, _NORMAL),
    Sample("conjugate", np.conj, [draw.complex(2, 3)], name="complex"),
    Sample("real", np.real, [draw.complex(2, 3)]),
    Sample("real", lambda x: x.real * x, [draw.complex(3)], name="attribute"),
    Sample("imag", np.imag, [draw.complex(2, 3)]),
    Sample("imag", lambda x: x.imag * x, [draw.complex(3)], name="attribute"),
    Sample("angle", np.angle, [draw.complex(2, 3)]),
    Sample("angle", lambda z: np.angle(z, deg=True), [draw.complex(3)], name="degrees"),
    # -- floating-point parts
    Sample("ldexp", np.ldexp, [_NORMAL, _INTEGERS]),
    Sample("ldexp", lambda x: np.ldexp(x, -3), [_NORMAL], name="scalar"),
    *_binary(np.heaviside, _NORMAL, _POSITIVE, Kink([np.zeros(1), np.ones(1)], [[0], [1]])),
    Sample("exponent", lambda x: np.frexp(x)[0], [_SPREAD]),
    Sample("trunc", np.modf, [_APART], name="modf"),
    Sample("remainder", np.divmod, [_SPREAD, _POSITIVE], name="divmod"),
    # -- zero derivative
    *[
        _unary(function, _APART, Kink([np.array([0.0, -1.0])], [[0, 0]]))
        for function in (np.floor, np.ceil, np.trunc, np.rint)
    ],
    *[_unary(f, _NORMAL) for f in (np.spacing, np.signbit, np.isnan, np.isinf, np.isfinite)],
    _unary(np.logical_not, draw.mask(2, 3)),
    _unary(np.invert, _INTEGERS),
    *_binary(np.floor_divide, _SPREAD, _POSITIVE),
    Sample("nextafter", np.nextafter, [_X, _Y], wrt=()),
    *[
        sample
        for f in (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)
        for sample in (
            Sample(f.__name__, f, [_X, _Y]),
            Sample(f.__name__, lambda x, f=f: np.where(f(x, 0), x, 0), [_X], name="mask"),
        )
    ],
    *[
        Sample(f.__name__, f, [draw.mask(2, 3), draw.mask(3)])
        for f in (np.logical_and, np.logical_or, np.logical_xor)
    ],
    *[
        Sample(f.__name__, f, [_INTEGERS, draw.integers(6, 2, 3)])
        for f in (
            np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.left_shift, np.right_shift, np.gcd,
            np.lcm,
        )
    ],
]  # fmt: skip
