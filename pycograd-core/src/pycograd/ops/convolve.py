"""Convolutions and correlations of two signals of one axis.

One primitive serves both and their derivatives: `length` entries of the full convolution, from
`start` on, zeros being taken beyond its ends. Its transposes are convolutions with the other signal
reversed, so the set is closed:

    z[k] = sum_i x[i] y[start + k - i]        cotangent of x[i] = sum_k z[k] y[start + k - i].
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import make_aval
from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.errors import ShapeError, SymbolicSizeError
from pycograd.core.linear import Linear, aligned
from pycograd.core.spelling import spells


# -- the primitive ---------------------------------------------------------------------------------
def _convolve(x: Any, y: Any, start: int, length: int) -> Any:
    """Along the last axis; the axes in front of it broadcast."""
    n, m = x.shape[-1], y.shape[-1]
    rows = np.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    out = np.zeros((*rows, length), np.result_type(x, y))
    first, last = max(start, 0), min(start + length, n + m - 1)
    if first >= last or not out.size:
        return out
    part = out[..., first - start : last - start]
    if rows == () or min(n, m) >= 8 * out[..., 0].size:
        x, y = np.broadcast_to(x, (*rows, n)), np.broadcast_to(y, (*rows, m))
        inside = first >= min(n, m) - 1 and last <= max(n, m)  # no end of either hangs over
        skip = min(n, m) - 1 if inside else 0
        for row in itertools.product(*map(range, rows)):
            whole = np.convolve(x[row], y[row], "valid" if inside else "full")
            part[row] = whole[first - skip : last - skip]
        return out
    if m > n:
        x, y, n, m = y, x, m, n
    for j in range(m):  # the tap y[j] meets x[k - j]
        low, high = max(first, j), min(last, j + n)
        if low < high:
            part[..., low - first : high - first] += x[..., low - j : high - j] * y[..., j, None]
    return out


def _shape(x: Any, y: Any, start: Any, length: Any) -> Any:
    rows = sizes.broadcast(x.shape[:-1], y.shape[:-1], operation="convolve")
    return make_aval((*rows, length), np.result_type(x.dtype, y.dtype))


def _rows(size: Any, values: Any, mapped: Any, start: Any, length: Any) -> Any:
    return convolve_of(*aligned(values, mapped, (1, 1)), start=start, length=length)


def _pull(ct: Any, other: Any, own: Any, start: Any) -> Any:
    n, m = own.shape[-1], other.shape[-1]
    return convolve_of(ct, other[..., ::-1], start=m - 1 - start, length=n)


convolve_of: Linear = Linear(
    "convolve",
    _convolve,
    operands=("x", "y"),
    transposes={
        "x": lambda ct, x, y, start: _pull(ct, y, x, start),
        "y": lambda ct, x, y, start: _pull(ct, x, y, start),
    },
    joint=False,
    conjugate=True,
    shape=_shape,
    batch=_rows,
    cost="contraction",
)


# -- NumPy's names ---------------------------------------------------------------------------------
_MODES = ("valid", "same", "full")


def _signal(x: Any, operation: str, name: str) -> Any:
    x = x if isinstance(x, Box) else np.asarray(x)
    if operation == "convolve" and x.shape == ():
        x = np.reshape(x, (1,))
    if len(x.shape) != 1:
        raise ShapeError(f"{operation}: {name} has shape {x.shape}; signals have one axis")
    if x.shape[0] == 0:
        raise ValueError(f"{operation}: {name} cannot be empty")
    return x


def _mode(mode: Any, operation: str) -> str:
    if mode in (0, 1, 2):
        return _MODES[mode]
    if mode not in _MODES:
        raise ValueError(f"{operation}: mode must be 'valid', 'same' or 'full', not {mode!r}")
    return str(mode)


def _window(n: Any, m: Any, mode: str, operation: str) -> tuple[Any, Any]:
    """Where the entries of a mode start in the full convolution, and how many there are."""
    if mode == "full":
        return 0, n + m - 1
    if isinstance(n, Dim) or isinstance(m, Dim):
        raise SymbolicSizeError(
            f"{operation}: the shape for mode={mode!r} depends on which of the sizes {n} and {m} is"
            " the larger; give the axes numbers, or write mode='full' and take a part of it"
        )
    if mode == "same":
        return (min(n, m) - 1) // 2, max(n, m)
    return min(n, m) - 1, abs(n - m) + 1


@spells(np.convolve)
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    """The sums of products of one signal with the other reversed, at every shift."""
    a, v = _signal(a, "convolve", "a"), _signal(v, "convolve", "v")
    n, m = a.shape[0], v.shape[0]
    start, length = _window(n, m, _mode(mode, "convolve"), "convolve")
    return convolve_of(a, v, start=start, length=length)


@spells(np.correlate)
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    """The sums of products of one signal with the conjugate of the other, at every shift."""
    a, v = _signal(a, "correlate", "a"), _signal(v, "correlate", "v")
    n, m = a.shape[0], v.shape[0]
    mode = _mode(mode, "correlate")
    start, length = _window(n, m, mode, "correlate")
    if mode == "same" and m > n:  # NumPy correlates v with a and reverses that
        start = n - 1 - start
    v = np.conj(v) if v.dtype.kind == "c" else v
    return convolve_of(a, v[::-1], start=start, length=length)
