"""The gamma function and its kin, by Stirling's series; ONNX has none of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pycograd_onnx.lowerings.elementwise import of_floats
from pycograd_onnx.writer import Tensor, Writer

Lowering = Callable[..., Any]
_SHIFT = 8  # how far numbers are moved before the series is precise
_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)


def _powers(g: Writer, z: Tensor, terms: tuple[float, ...]) -> Tensor:
    """`terms[0] + terms[1] / z^2 + ...`."""
    inverse = 1.0 / (z * z)
    series: Any = terms[-1]
    for term in terms[-2::-1]:
        series = inverse * series + term
    return series  # type: ignore[no-any-return]


def _right(g: Writer, x: Tensor) -> Tensor:
    """log(gamma(x)) for x >= 1/2: DLMF 5.11.1, after 5.5.1."""
    near = x < float(_SHIFT)
    inside = g.where(near, x, 1.0)
    product = inside
    for k in range(1, _SHIFT):
        product = product * (inside + float(k))
    z = g.where(near, x + float(_SHIFT), x)
    log = g.unary("Log", z)
    found = (z - 0.5) * log - z + 0.5 * math.log(2 * math.pi) + _powers(g, z, _SERIES) / z
    found = g.where(near, found - g.unary("Log", product), found)
    return g.where(x.equals(math.inf), math.inf, found)  # type: ignore[no-any-return]


def _whole(g: Writer, x: Tensor) -> Tensor:
    return g.unary("Floor", x).equals(x)


def _gammaln(g: Writer, x: Tensor) -> Tensor:
    left = x < 0.5
    right = _right(g, g.where(left, 1.0 - x, x))
    part = x - g.unary("Floor", x)
    sine = g.unary("Sin", g.where(left, part, 0.5) * math.pi)
    reflected = math.log(math.pi) - g.unary("Log", sine) - right
    pole = (x <= 0.0) & _whole(g, x)
    return g.where(pole, math.inf, g.where(left, reflected, right))  # type: ignore[no-any-return]


def _sign(g: Writer, x: Tensor) -> Tensor:
    floor = g.unary("Floor", x)
    odd = ~(g.binary("Mod", floor, 2.0, fmod=1).equals(0.0))
    return g.where((x < 0.0) & odd, -1.0, 1.0)  # type: ignore[no-any-return]


def _gamma(g: Writer, x: Tensor) -> Tensor:
    pole = (x <= 0.0) & _whole(g, x)
    safe = g.where(pole, 1.0, x)
    found = _sign(g, safe) * g.unary("Exp", _gammaln(g, safe))
    return g.where(pole, g.where(x.equals(0.0), 1.0 / x, math.nan), found)  # type: ignore[no-any-return]


def _rgamma(g: Writer, x: Tensor) -> Tensor:
    pole = (x <= 0.0) & _whole(g, x)
    safe = g.where(pole, 1.0, x)
    return g.where(pole, 0.0, _sign(g, safe) * g.unary("Exp", -_gammaln(g, safe)))  # type: ignore[no-any-return]


def _betaln(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    return _gammaln(g, x) + _gammaln(g, y) - _gammaln(g, x + y)


def _beta(g: Writer, x: Tensor, y: Tensor) -> Tensor:
    return _sign(g, x) * _sign(g, y) * _sign(g, x + y) * g.unary("Exp", _betaln(g, x, y))


def _psi(g: Writer, x: Tensor) -> Tensor:
    """The derivative of log(gamma(x)): DLMF 5.11.2, 5.5.2, 5.5.4."""
    left = x < 0.5
    z = g.where(left, 1.0 - x, x)
    near = z < float(_SHIFT)
    inside = g.where(near, z, 1.0)
    steps: Any = 1.0 / inside
    for k in range(1, _SHIFT):
        steps = steps + 1.0 / (inside + float(k))
    far = g.where(near, z + float(_SHIFT), z)
    found = g.unary("Log", far) - 0.5 / far - _powers(g, far, _DIGAMMA) / (far * far)
    found = g.where(near, found - steps, found)
    found = g.where(z.equals(math.inf), math.inf, found)
    part = (x - g.unary("Floor", x)) * math.pi
    turned = found - math.pi * g.unary("Cos", part) / g.unary("Sin", g.where(left, part, 1.0))
    pole = (x <= 0.0) & _whole(g, x)
    return g.where(pole, g.where(x.equals(0.0), -1.0 / x, math.nan), g.where(left, turned, found))  # type: ignore[no-any-return]


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    f = of_floats
    return {
        "gammaln": f(_gammaln),
        "gamma": f(_gamma),
        "rgamma": f(_rgamma),
        "betaln": f(_betaln),
        "beta": f(_beta),
        "psi": f(_psi),
        "poch": f(lambda g, x, y: _gamma(g, x + y) * _rgamma(g, x)),
        "binom": f(
            lambda g, n, k: _gamma(g, n + 1.0) * _rgamma(g, k + 1.0) * _rgamma(g, n - k + 1.0)
        ),
    }
