"""Covariance and correlation matrices: moments of pairs of variables, over matrix products."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of
from pycograd.core.box import Box, raw
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.core.fit import cast
from pycograd.core.spelling import spells
from pycograd.ops.join import as_arrays
from pycograd.ops.reduce import count


def _variables(x: Any, dtype: np.dtype[Any], turn: bool) -> Any:
    """One variable a row, in the working dtype."""
    x = cast(x, dtype)
    if len(x.shape) < 2:
        x = np.reshape(x, (1, *x.shape) if x.shape else (1, 1))
    return x.T if turn else x


def _weights(x: Any, name: str, many: Any) -> Any:
    (x,) = as_arrays([x])
    if len(x.shape) != 1:
        raise ShapeError(f"cov: {name}= has shape {x.shape}, not one axis")
    if x.shape[0] != many:
        raise ShapeError(f"cov: {name}= has {x.shape[0]} entries for {many} observations")
    value = raw(x)
    if isinstance(value, np.ndarray) and np.any(value < 0):
        raise ValueError(f"cov: {name}= cannot be negative")
    return x


def _repetitions(x: Any, many: Any) -> Any:
    if isinstance(x, Box) and dtype_of(x).kind not in "biu":
        raise UnsupportedOperationError(
            "cov: fweights= counts how often each observation was made, whole numbers without a"
            " derivative; weigh with aweights=, or write stop_gradient(fweights)"
        )
    x = _weights(x, "fweights", many)
    if not isinstance(x, Box):
        if not np.all(x == np.around(x)):
            raise TypeError("cov: fweights= must be whole numbers")
        x = np.asarray(x, float)
    return x


@spells(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """The covariances of all pairs of variables, each a row of `m` or `y`."""
    if ddof is not None and ddof != int(ddof):
        raise ValueError(f"cov: ddof must be a whole number, not {ddof}")
    given = as_arrays([m] if y is None else [m, y])
    for part in given:
        if len(part.shape) > 2:
            raise ShapeError(f"cov: a value of shape {part.shape} has more than two axes")
    dtype = np.result_type(*[p.dtype for p in given], np.float64) if dtype is None else dtype
    dtype = np.dtype(dtype)
    first = given[0]
    x = _variables(first, dtype, not rowvar and len(first.shape) != 1)
    if x.shape[0] == 0:
        return np.zeros((0, 0))
    if y is not None:
        more = _variables(given[1], dtype, False)
        if not rowvar and more.shape[0] != 1:
            more = more.T
        x = np.concatenate([x, more], axis=0)
    if ddof is None:
        ddof = 0 if bias else 1

    many = x.shape[1]
    w = None if fweights is None else _repetitions(fweights, many)
    if aweights is not None:
        aweights = _weights(aweights, "aweights", many)
        w = aweights if w is None else w * aweights
    if w is None:
        mean, degrees = np.mean(x, axis=1, keepdims=True), count(x, (1,)) - ddof
    else:
        mean, total = np.average(x, axis=1, weights=w, returned=True, keepdims=True)
        degrees = total[0, 0]
        if ddof and aweights is None:
            degrees = degrees - ddof
        elif ddof:
            degrees = degrees - ddof * np.sum(w * aweights) / degrees
    known = raw(degrees)
    if np.ndim(known) == 0 and isinstance(known, (int, float, np.number)) and known <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=3)
        degrees = 0.0
    x = x - mean
    across = (x if w is None else x * w).T
    made = x @ (np.conj(across) if dtype.kind == "c" else across)
    return np.squeeze(cast(made / _nonzero(degrees), dtype))


def _nonzero(degrees: Any) -> Any:
    """A plain 0 as an array, by which division gives inf and nan."""
    return np.float64(degrees) if isinstance(degrees, (int, float)) else degrees


@spells(np.corrcoef)
def corrcoef(
    x: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: Any = None,
    ddof: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """The correlation coefficients of all pairs of variables; NumPy ignores `bias` and `ddof`."""
    c = cov(x, y, rowvar, dtype=dtype)
    if c.shape == ():
        return c / c
    deviation = np.sqrt(np.real(np.diagonal(c)))
    c = c / deviation[:, None] / deviation[None, :]
    if dtype_of(c).kind == "c":
        return np.clip(np.real(c), -1, 1) + 1j * np.clip(np.imag(c), -1, 1)
    return np.clip(c, -1, 1)
