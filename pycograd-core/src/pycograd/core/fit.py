"""Fitting a cotangent to its primal: the shape and dtype it must have, always; and sums for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.aval import FLOAT32, FLOAT64, Shape, dtype_of, is_inexact, shape_of


def unbroadcast(ct: Any, shape: Shape) -> Any:
    """Sums `ct` over the axes along which a value of `shape` was broadcast."""
    have = shape_of(ct)
    if have == shape:
        return ct
    if type(ct) is np.ndarray:
        return _sum_to(ct, have, shape)
    extra = len(have) - len(shape)
    if extra:
        ct = np.sum(ct, axis=tuple(range(extra)))
    axes = tuple([i for i, (m, n) in enumerate(zip(have[extra:], shape)) if m != n and _is_one(n)])
    return np.sum(ct, axis=axes, keepdims=True) if axes else ct


def product_to(t: Any, x: Any, shape: Shape) -> Any:
    """`unbroadcast(t * x, shape)`, where NumPy has a loop for it without making the product."""
    if type(t) is type(x) is np.ndarray and t.shape == x.shape != shape and len(shape) == t.ndim:
        if shape[-1] == 1 and shape[:-1] == t.shape[:-1] and t.dtype is x.dtype in _REAL:
            return np.vecdot(t, x)[..., None]
    return unbroadcast(t * x, shape)


_REAL = frozenset({FLOAT32, FLOAT64})


def _sum_to(ct: Any, have: Shape, shape: Shape) -> Any:
    """As `unbroadcast` for an array: one reduction, keeping axes that only the shape drops."""
    extra = len(have) - len(shape)
    axes = [*range(extra)]
    axes += [i for i, n in enumerate(shape, extra) if n == 1 and have[i] != 1]
    if ct.dtype.itemsize == 2:
        total = add_up(ct, tuple(axes), True)
    else:
        total = np.add.reduce(ct, tuple(axes), None, None, True)
    return total.reshape(shape) if extra else total


def is_narrow(dtype: np.dtype[Any]) -> bool:
    """True for floats of 16 bits, whose sums need more: in bfloat16 257 ones are 256."""
    return dtype.itemsize == 2 and is_inexact(dtype)


def add_up(x: Any, axis: Any, keepdims: bool = False) -> Any:
    """`np.sum(x, axis, keepdims=keepdims)`, of an array of 16-bit floats with a sum in 32 bits."""
    if isinstance(x, (np.ndarray, np.generic)) and is_narrow(x.dtype):
        return np.add.reduce(x, axis, FLOAT32, None, keepdims).astype(x.dtype)
    return np.sum(x, axis=axis, keepdims=keepdims)


def _is_one(size: Any) -> bool:
    return type(size) is int and size == 1


def cast(ct: Any, dtype: np.dtype[Any]) -> Any:
    """`ct` with `dtype`; a real primal takes the real part of a complex cotangent."""
    have = dtype_of(ct)
    if have is dtype or have == dtype:
        return ct
    if have.kind == "c" and dtype.kind != "c":
        ct = np.real(ct)
    return ct.astype(dtype) if hasattr(ct, "astype") else dtype.type(ct)


def fit(ct: Any, shape: Shape, dtype: np.dtype[Any]) -> Any:
    """`ct` as a cotangent of a primal with this shape and dtype."""
    return None if ct is None else cast(unbroadcast(ct, shape), dtype)
