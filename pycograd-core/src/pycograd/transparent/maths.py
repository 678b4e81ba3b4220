"""`math`, `cmath`, `float` and `complex` on boxes: NumPy's functions of the same meaning.

Each does what the original does where no differentiated value is involved, errors included.
"""

from __future__ import annotations

import cmath
import functools
import importlib
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.box import Box, raw
from pycograd.core.fillable import settled

Function = Callable[..., Any]

_RENAMED = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan",
    "atan2": "arctan2", "atanh": "arctanh", "pow": "power",
}  # fmt: skip
_ALIKE = (
    "cbrt", "copysign", "cos", "cosh", "degrees", "exp", "exp2", "expm1", "fabs", "fmod",
    "isfinite", "isinf", "isnan", "log10", "log1p", "log2", "nextafter", "radians", "sin", "sinh",
    "sqrt", "tan", "tanh",
)  # fmt: skip
_SPECIAL = {"erf": "erf", "erfc": "erfc", "gamma": "gamma", "lgamma": "gammaln"}


def _log(x: Any, *base: Any) -> Any:
    return np.log(x) / np.log(base[0]) if base else np.log(x)


def _hypot(*coordinates: Any) -> Any:
    return functools.reduce(np.hypot, coordinates) if coordinates[1:] else np.abs(coordinates[0])


def _modf(x: Any) -> Any:
    whole = np.trunc(x)
    return x - whole, whole


def _rounded(ufunc: Function) -> Function:
    """The whole number near a value: an int, or under vmap one in each row."""

    def function(x: Any) -> Any:
        bottom = raw(x)
        known = np.ndim(bottom) == 0 and not isinstance(bottom, ShapeDtypeStruct)
        return int(ufunc(bottom)) if known else ufunc(x)

    return function


def _isclose(a: Any, b: Any, *, rel_tol: float = 1e-9, abs_tol: float = 0.0) -> Any:
    near = np.abs(a - b) <= np.maximum(rel_tol * np.maximum(np.abs(a), np.abs(b)), abs_tol)
    return near | np.equal(a, b)


_COMPOSED: dict[str, Function] = {
    "log": _log,
    "hypot": _hypot,
    "modf": _modf,
    "floor": _rounded(np.floor),
    "ceil": _rounded(np.ceil),
    "trunc": _rounded(np.trunc),
    "ldexp": lambda x, i: x * 2.0**i,
    "remainder": lambda x, y: x - y * np.round(x / y),
    "fma": lambda x, y, z: x * y + z,
    "isclose": _isclose,
}
_OF_SEQUENCES: dict[str, Function] = {
    "dist": lambda p, q: np.sqrt(sum([(a - b) ** 2 for a, b in zip(p, q)])),
    "fsum": lambda values: sum(values),
    "prod": lambda values, start=1: functools.reduce(operator.mul, values, start),
    "sumprod": lambda p, q: sum([a * b for a, b in zip(p, q)]),
}
_COMPLEX: dict[str, Function] = {
    "log": lambda z, *base: _log(z + 0j, *base),
    "phase": lambda z: np.angle(z + 0j),
    "polar": lambda z: (np.abs(z), np.angle(z + 0j)),
    "rect": lambda r, phi: r * np.exp(1j * phi),
    **{name: getattr(np, name) for name in ("isfinite", "isinf", "isnan")},
}
_OF_COMPLEX = (
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "log10", "sin", "sinh",
    "sqrt", "tan", "tanh",
)  # fmt: skip


def _special(name: str) -> Function:
    def function(x: Any) -> Any:
        return getattr(importlib.import_module("scipy.special"), name)(x)

    return function


def _of_numbers(original: Function, on_boxes: Function) -> Function:
    """`original` on plain numbers, `on_boxes` where one is a box, of one number each."""

    def function(*args: Any, **kwargs: Any) -> Any:
        for x in args:
            if isinstance(x, Box):
                return _on_boxes(original, on_boxes, args, kwargs)
        return original(*args, **kwargs)

    return functools.update_wrapper(function, original)


def _on_boxes(original: Function, on_boxes: Function, args: Any, kwargs: Any) -> Any:
    args = [settled(x) for x in args]
    numbers = []
    for x in args:
        if isinstance(x, Box) and x.shape:
            name = getattr(original, "__name__", original)
            raise TypeError(
                f"{name}() takes one number, not an array of shape {x.shape}; write np.{name}(x)"
            )
        numbers.append(raw(x) if isinstance(x, Box) else x)
    if not [x for x in numbers if type(x) not in _NUMBERS]:
        original(*numbers, **kwargs)  # for its errors: math.sqrt(-1.0) has no nan to give
    return on_boxes(*args, **kwargs)


_NUMBERS = frozenset({float, int, np.float64, np.float32, complex, np.complex128})


def _of_sequences(original: Function, on_boxes: Function) -> Function:
    """As `_of_numbers`, for functions of sequences."""

    def function(*args: Any, **kwargs: Any) -> Any:
        args = tuple([list(x) if hasattr(x, "__iter__") else x for x in args])
        entries = [v for x in args for v in (x if type(x) is list else [x])]
        boxes = any([isinstance(v, Box) for v in entries])
        return (on_boxes if boxes else original)(*args, **kwargs)

    return functools.update_wrapper(function, original)


def maths() -> dict[Any, Function]:
    """The functions of `math` and `cmath`, and what stands for them."""
    found: dict[Any, Function] = {}

    def stand(module: Any, name: str, on_boxes: Function, wrap: Any = _of_numbers) -> None:
        if (original := getattr(module, name, None)) is not None:
            found[original] = wrap(original, on_boxes)

    for name in _ALIKE:
        stand(math, name, getattr(np, name))
    for name, numpys in _RENAMED.items():
        stand(math, name, getattr(np, numpys))
    for name, scipys in _SPECIAL.items():
        stand(math, name, _special(scipys))
    for name, composed in _COMPOSED.items():
        stand(math, name, composed)
    for name, composed in _OF_SEQUENCES.items():
        stand(math, name, composed, _of_sequences)
    for name in _OF_COMPLEX:
        function = getattr(np, _RENAMED.get(name, name))
        stand(cmath, name, lambda z, function=function: function(z + 0j))
    for name, composed in _COMPLEX.items():
        stand(cmath, name, composed)
    return found


# -- types that are called -------------------------------------------------------------------------
def _one(x: Any, name: str) -> Any:
    if np.shape(x):
        raise TypeError(f"{name}() takes one number, not an array of shape {np.shape(x)}")
    return x


def _real(kind: type) -> Function:
    def convert(x: Any) -> Any:
        if _one(x, "float").dtype.kind == "c":
            raise TypeError("float() takes no complex number; write np.real(x)")
        return x if x.dtype == kind else x.astype(kind)

    return convert


def _complex(real: Any, imag: Any = 0.0) -> Any:
    return _one(real, "complex") + 1j * _one(imag, "complex")


def _typed(kind: type) -> Function:
    return lambda x: x if isinstance(x, Box) and x.dtype == kind else np.astype(x, kind)


def _number(kind: Any, convert: Function) -> Function:
    """The type `kind` where it is only called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        for x in args:
            if isinstance(x, Box):
                return convert(*[settled(v) for v in args]) if _has_box(args) else kind(*args)
        return kind(*args, **kwargs)

    return functools.update_wrapper(call, kind, updated=())


def _has_box(args: Any) -> bool:
    return any([isinstance(settled(x), Box) for x in args])


BUILTINS: dict[str, Any] = {
    "float": _number(float, _real(np.float64)),
    "complex": _number(complex, _complex),
}
NUMBERS: dict[Any, Any] = {
    float: BUILTINS["float"],
    complex: BUILTINS["complex"],
    **{
        kind: _number(kind, _typed(kind))
        for kind in (np.float64, np.float32, np.longdouble, np.complex128, np.complex64)
    },
}
