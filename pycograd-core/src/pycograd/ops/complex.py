"""Complex values made of their parts, and writes into the parts: `z.real[i] = v`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.aval import promote
from pycograd.core.elementwise import Elementwise
from pycograd.core.errors import located
from pycograd.ops.elementwise import imag, real


def _of_parts(x: Any, y: Any) -> Any:
    made = np.empty_like(np.add(x, y), _complex_dtype(x, y))
    made.real, made.imag = x, y
    return made


def _complex_dtype(x: Any, y: Any) -> np.dtype[Any]:
    return np.result_type(x, y, np.complex64)


# x + iy; unlike the sum it keeps an infinite part from making the other one a nan.
complex_of = Elementwise(
    "complex",
    _of_parts,
    [lambda t: t, lambda t: t * 1j],
    spellings=(),
    dtype=lambda x, y: np.result_type(promote([x, y]), np.complex64),
)


def _write_real(base: Any, new: Any) -> Any:
    return complex_of(new, np.imag(base)) if base.dtype.kind == "c" else new


def _write_imag(base: Any, new: Any) -> Any:
    if base.dtype.kind != "c":
        raise ValueError(
            located("assignment destination is read-only: the imaginary part of a real value")
        )
    return complex_of(np.real(base), new)


real.view, imag.view = _write_real, _write_imag  # in NumPy both are views
real.keeps_weak = imag.keeps_weak = True  # as attributes of Python numbers
