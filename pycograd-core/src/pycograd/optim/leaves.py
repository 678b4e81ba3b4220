"""What updates of parameters have in common, leaf by leaf: checks, complex numbers, 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of
from pycograd.core.box import Box


def check(condition: Any, message: str) -> None:
    if not condition:
        raise ValueError(message)


def check_betas(betas: Any) -> None:
    check(np.ndim(betas) == 1 and len(betas) == 2, f"betas={betas} is a pair, such as (0.9, 0.99)")
    check(all(0 <= b < 1 for b in betas), f"betas={betas} must be from 0 to below 1")


def leaf_named(name: str) -> str:
    return f"leaf {name!r}" if name else "the only leaf"


def is_complex(x: Any) -> bool:
    return dtype_of(x).kind == "c"


def as_real(x: Any, param: Any) -> Any:
    """`x` as a real array in the dtype in which its parameter is updated."""
    if is_complex(param):
        return np.stack([np.real(x), np.imag(x)])
    return x * np.float32(1) if dtype_of(param).itemsize < 4 else x


def like(value: Any, param: Any) -> Any:
    """An updated value in the type and dtype of its parameter."""
    if is_complex(param):
        value = value[0] + 1j * value[1]
    if isinstance(value, Box):
        return value.astype(dtype_of(param))
    if not hasattr(param, "dtype"):
        return type(param)(value)
    if value.dtype != param.dtype:
        value = value.astype(param.dtype)
    return np.asarray(value) if type(param) is np.ndarray else value


def root(square: Any) -> Any:
    """The square root, for a box with derivative 0 at 0: a gradient of 0 must not make nans."""
    if not isinstance(square, Box):
        return np.sqrt(square)
    live = np.greater(square, 0)
    return np.where(live, np.sqrt(np.where(live, square, 1.0)), 0.0)
