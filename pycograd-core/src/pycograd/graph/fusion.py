"""Fusion: several equations as the one stable operation that they spell.

`exp(x) / sum(exp(x))` overflows where `softmax` does not, and backends and file formats have
kernels for the whole. The rules reassociate: what comes out is the same but for the last bits, and
finite where the spelled-out form overflowed.
"""

from __future__ import annotations

from typing import Any, Final

from pycograd.core.aval import dtype_of, is_inexact, shape_of
from pycograd.core.primitive import primitive_named
from pycograd.graph.rewrite import Pattern, Rule

_SHIFTED: Final = ("subtract", "x", ("max", "x"))


def _fused(name: str, x: Any, **params: Any) -> Any:
    """The operation of real floats; complex numbers may be on another branch of a logarithm."""
    dtype = dtype_of(x)
    real = is_inexact(dtype) and dtype.kind != "c"
    return primitive_named(name)(x, **params) if real else None


def _goes_back(x: Any, reduction: Any) -> bool:
    """True if the result of a reduction of x meets the very entries of x that it is made of."""
    return bool(reduction["keepdims"]) or len(reduction["axis"]) == len(shape_of(x)) > 0


def _shifts(x: Any, top: Any, axis: Any) -> bool:
    """True if the maximum that is subtracted is that along these axes."""
    return bool(top["axis"] == axis) and _goes_back(x, top)


def _softmax(x: Any, of: Any) -> Any:
    return _fused("softmax", x, axis=of["sum"]["axis"]) if _goes_back(x, of["sum"]) else None


def _log_softmax(x: Any, of: Any) -> Any:
    params = of["logsumexp"]
    return _fused("log_softmax", x, axis=params["axis"]) if _goes_back(x, params) else None


def _unshifted(name: str) -> Any:
    """The same of x as of x less its maximum."""
    return lambda x, of, params: (
        _fused(name, x, **params) if _shifts(x, of["max"], params["axis"]) else None
    )


def _rule(pattern: Pattern, replacement: Any) -> Rule:
    return Rule(pattern, replacement, "reassociates")


FUSION: Final = [
    _rule(("divide", ("exp", "x"), ("sum", ("exp", "x"))), _softmax),
    _rule(("softmax", _SHIFTED), _unshifted("softmax")),
    _rule(("log", ("sum", ("exp", "x"))), lambda x, of: _fused("logsumexp", x, **of["sum"])),
    _rule(
        ("add", ("logsumexp", _SHIFTED), ("max", "x")),
        lambda x, of: (
            _fused("logsumexp", x, **of["logsumexp"])
            if _shifts(x, of["max"], of["logsumexp"]["axis"])
            else None
        ),
    ),
    _rule(("subtract", "x", ("logsumexp", "x")), _log_softmax),
    _rule(("log", ("softmax", "x")), lambda x, of: _fused("log_softmax", x, **of["softmax"])),
    _rule(("log_softmax", _SHIFTED), _unshifted("log_softmax")),
    # gated activations
    _rule(("divide", 1, ("add", 1, ("exp", ("negative", "x")))), lambda x: _fused("sigmoid", x)),
    _rule(("multiply", "x", ("sigmoid", "x")), lambda x: _fused("silu", x)),
    _rule(("log", ("add", 1, ("exp", "x"))), lambda x: _fused("softplus", x)),
]
