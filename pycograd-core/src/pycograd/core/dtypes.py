"""The default dtype of newly created values, the names of dtypes, and their short texts.

A `dtype(...)` block sets what new values get (constants of layers, random draws, parameters made of
Python numbers); arrays that exist keep their own dtype.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

import numpy as np

from pycograd.core.blocks import Block

DType = np.dtype[Any]

_SPELLINGS: dict[str, tuple[str, ...]] = {
    "float64": ("f64", "double"),
    "float32": ("f32", "single"),
    "float16": ("f16", "half"),
    "bfloat16": ("bf16",),
    "complex64": ("c64",),
    "complex128": ("c128",),
}
_NAMES = {short: name for name, shorts in _SPELLINGS.items() for short in (name, *shorts)}
_EXTENSIONS = {"bfloat16": "bf16"}

_FLOAT64: DType = np.dtype(np.float64)
_current: ContextVar[DType] = ContextVar("pycograd dtype", default=_FLOAT64)


def resolve_dtype(spec: Any = None) -> DType:
    """The NumPy dtype that a name or dtype stands for.

    Arguments:
        spec: None for float64; one of `float64 f64 double`, `float32 f32 single`,
            `float16 f16 half`, `bfloat16 bf16`, `complex64 c64`, `complex128 c128`; or a float or
            complex dtype of NumPy (`np.float32`, `np.longdouble`).

    Returns:
        A `numpy.dtype`.

    Raises:
        ValueError: any other name, or a dtype that has no derivatives.
        ImportError: bfloat16 without the package `ml_dtypes`.

    >>> resolve_dtype("f32")
    dtype('float32')
    """
    if spec is None:
        return _FLOAT64
    if isinstance(spec, str):
        if (name := _NAMES.get(spec)) is None:
            raise _unknown(spec)
        return _bfloat16() if name == "bfloat16" else np.dtype(name)
    try:
        found: DType = np.dtype(spec)
    except TypeError:
        raise _unknown(spec) from None
    if found.kind not in "fc" and found.name not in _EXTENSIONS:
        raise _unknown(spec)
    return found


def _bfloat16() -> DType:
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError("bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from None
    found: DType = np.dtype(ml_dtypes.bfloat16)
    return found


def _unknown(spec: Any) -> ValueError:
    names = ", ".join("/".join((name, *shorts)) for name, shorts in _SPELLINGS.items())
    return ValueError(
        f"dtype: {spec!r} is not a floating-point or complex dtype. Use one of {names},"
        " or a float or complex dtype of NumPy"
    )


def dtype(spec: Any = None) -> AbstractContextManager[DType]:
    """Sets the dtype of values created inside a `with` block; existing arrays keep theirs.

    Arguments:
        spec: what `resolve_dtype` takes.

    Returns:
        A context manager that yields the dtype and restores the previous one at the end.

    Raises:
        ValueError: an unknown name, at the call.

    >>> with dtype("float32"):
    ...     current_dtype()
    dtype('float32')
    """
    chosen = resolve_dtype(spec)
    return Block(_current, lambda: chosen, chosen)


def current_dtype() -> DType:
    """The dtype that new values get: that of the innermost `dtype` block, float64 outside.

    >>> current_dtype()
    dtype('float64')
    """
    return _current.get()


def dtype_name(dt: Any) -> str:
    """The short text of a dtype: its kind and its bits.

    >>> [dtype_name(d) for d in ("float64", "int32", "bool", "complex128")]
    ['f64', 'i32', 'bool', 'c128']
    """
    found: DType = np.dtype(dt)
    if found.kind == "b":
        return "bool"
    if found.kind in "fciuO":
        return f"{found.kind}{8 * found.itemsize}"
    return _EXTENSIONS.get(found.name, found.name)
