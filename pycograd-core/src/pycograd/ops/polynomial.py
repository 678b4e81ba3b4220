"""Polynomials as NumPy's functions know them: coefficients, the highest power first.

Their derivatives follow from being written in NumPy. `np.poly1d` holds plain coefficients; called
on a differentiated value it is `polyval`. Where NumPy drops leading coefficients that are 0, so do
these, by the values at hand.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from operator import index
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, is_inexact
from pycograd.core.box import Box, raw
from pycograd.core.errors import ControlFlowError, ShapeError, UnsupportedOperationError
from pycograd.core.fit import cast
from pycograd.core.spelling import spells
from pycograd.ops.join import as_arrays
from pycograd.ops.trim import trimmed


def _coefficients(p: Any, operation: str) -> Any:
    """`p` as an array of one axis."""
    if isinstance(p, np.poly1d):
        raise UnsupportedOperationError(
            f"{operation}: an np.poly1d holds plain coefficients and could not hold the result;"
            " pass its .coeffs"
        )
    (p,) = as_arrays([p])
    if p.shape == ():
        p = np.reshape(p, (1,))
    if len(p.shape) != 1:
        raise ShapeError(f"{operation}: coefficients of shape {p.shape}, not of one axis")
    return p


def _without_leading_zeros(p: Any) -> Any:
    return trimmed(p, p != 0, front=True, back=False)


# -- values ----------------------------------------------------------------------------------------
@spells(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """The polynomial at `x`, by Horner's rule."""
    if isinstance(p, np.poly1d):
        p = p.coeffs
    if isinstance(x, np.poly1d):
        raise UnsupportedOperationError(
            "polyval: an np.poly1d cannot hold differentiated coefficients; compose polynomials"
            " with polymul and polyadd"
        )
    p, x = as_arrays([p, x])
    y = np.zeros_like(x)
    for coefficient in p:
        y = y * x + coefficient
    return y


@spells(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    """The powers of each entry, a row for each."""
    (x,) = as_arrays([x])
    if len(x.shape) != 1:
        raise ShapeError(f"vander: a value of shape {x.shape} is no vector")
    many = index(x.shape[0] if N is None else N)
    dtype = np.promote_types(x.dtype, int)
    x = cast(x, dtype)
    powers = [np.ones_like(x)]
    while len(powers) < many:
        powers.append(powers[-1] * x if len(powers) > 1 else x)
    if many < 1:
        return cast(x[:, None][:, :0], dtype)
    return np.stack(powers if increasing else powers[::-1], axis=1)


# -- arithmetic ------------------------------------------------------------------------------------
def _aligned(operation: str, combine: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    a, b = _coefficients(a, operation), _coefficients(b, operation)
    missing = index(b.shape[0] - a.shape[0])
    if missing > 0:
        a = np.concatenate([np.zeros(missing, a.dtype), a])
    elif missing < 0:
        b = np.concatenate([np.zeros(-missing, b.dtype), b])
    return combine(a, b)


@spells(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """The sum of two polynomials."""
    return _aligned("polyadd", np.add, a1, a2)


@spells(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """The difference of two polynomials."""
    return _aligned("polysub", np.subtract, a1, a2)


@spells(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """The product of two polynomials."""
    parts = [_without_leading_zeros(_coefficients(a, "polymul")) for a in (a1, a2)]
    # All coefficients 0: NumPy keeps one.
    return np.convolve(*[p if p.shape[0] != 0 else np.zeros(1, p.dtype) for p in parts])


@spells(np.polydiv)
def polydiv(u: Any, v: Any) -> Any:
    """The quotient and the remainder of two polynomials."""
    u, v = _coefficients(u, "polydiv") + 0.0, _coefficients(v, "polydiv") + 0.0
    dtype = np.result_type(u, v)
    n, m = index(u.shape[0]), index(v.shape[0])
    scale, r = 1.0 / v[0], cast(u, dtype)
    found = []
    for k in range(n - m + 1):
        factor = scale * r[k]
        found.append(factor)
        r = np.concatenate([r[:k], r[k : k + m] - factor * v, r[k + m :]])
    q = np.stack(found) if found else np.zeros(1, dtype)
    # As NumPy: of the remainder, leading coefficients as good as 0 are dropped, but the last one.
    return cast(q, dtype), trimmed(r, ~np.isclose(r, 0, rtol=1e-14), True, False, least=1)


# -- calculus --------------------------------------------------------------------------------------
@spells(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """The coefficients of the m-th derivative."""
    if (m := int(m)) < 0:
        raise ValueError("polyder: the order of the derivative must not be negative")
    p = _coefficients(p, "polyder")
    for _ in range(m):
        p = p[:-1] * np.arange(index(p.shape[0]) - 1, 0, -1)
    return p


@spells(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The coefficients of the m-th antiderivative, with integration constants `k`."""
    if (m := int(m)) < 0:
        raise ValueError("polyint: the order of the integral must not be negative")
    p = _coefficients(p, "polyint")
    constants = np.zeros(m) if k is None else _coefficients(k, "polyint")
    if constants.shape[0] == 1 and m > 1:
        constants = constants[0] * np.ones(m)
    if constants.shape[0] < m:
        raise ValueError("polyint: k must be one number or one for each of the m integrals")
    for i in range(m):
        p = np.concatenate([p / np.arange(index(p.shape[0]), 0, -1), constants[i : i + 1]])
    return p


# -- zeros -----------------------------------------------------------------------------------------
@spells(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """The coefficients of the polynomial with these zeros, or of that of a matrix's eigenvalues."""
    (zeros,) = as_arrays([seq_of_zeros])
    if zeros.shape == ():
        zeros = np.reshape(zeros, (1,))
    if len(zeros.shape) == 2 and zeros.shape[0] == zeros.shape[1] != 0:
        zeros = np.linalg.eigvals(zeros)
    elif len(zeros.shape) != 1:
        raise ShapeError(f"poly: shape {zeros.shape} is neither a vector nor a square matrix")
    zeros = cast(zeros, np.dtype(np.mintypecode(zeros.dtype.char)))  # half floats become double
    made: Any = np.ones(1, zeros.dtype)
    for i in range(index(zeros.shape[0])):
        one = np.ones(1, zeros.dtype)
        made = np.convolve(made, np.concatenate([one, -zeros[i : i + 1]]))
    if zeros.shape[0] == 0:
        return 1.0
    return np.real(made) if zeros.dtype.kind == "c" and _in_pairs(zeros) else made


def _in_pairs(zeros: Any) -> bool:
    """True if complex zeros come with their conjugates, which makes all coefficients real."""
    known = raw(zeros)
    if isinstance(known, np.ndarray):
        rows = np.reshape(known, (-1, known.shape[-1]))
        pairs = np.all(np.sort(rows) == np.sort(rows.conj()), axis=1)
        if pairs.all() or not pairs.any():
            return bool(pairs.all())
    raise ControlFlowError(
        "poly: whether complex zeros come in conjugate pairs, which makes the coefficients real, is"
        " not known, or differs between rows"
    )


@spells(np.roots)
def roots(p: Any) -> Any:
    """The zeros of a polynomial: the eigenvalues of its companion matrix."""
    p = _coefficients(p, "roots")
    p = trimmed(p, p != 0, front=True, back=False)
    if p.shape[0] == 0:
        return np.zeros(0)
    inner = trimmed(p, p != 0, front=False, back=True)
    at_zero = index(p.shape[0] - inner.shape[0])
    p = inner if is_inexact(dtype_of(inner)) else cast(inner, np.dtype(float))
    n = index(p.shape[0])
    if n > 1:
        below = np.eye(n - 2, n - 1, dtype=p.dtype)
        found = np.linalg.eigvals(np.concatenate([-p[None, 1:] / p[0], below]))
    else:
        found = np.zeros(0)
    return np.concatenate([found, np.zeros(at_zero, found.dtype)])


# -- fitting ---------------------------------------------------------------------------------------
@spells(np.polyfit)
def polyfit(
    x: Any,
    y: Any,
    deg: int,
    rcond: Any = None,
    full: bool = False,
    w: Any = None,
    cov: Any = False,
) -> Any:
    """The polynomial that fits points best: differentiable in `x`, `y` and the weights `w`."""
    order = int(deg) + 1
    x, y = [part + 0.0 for part in as_arrays([x, y])]
    if deg < 0:
        raise ValueError("polyfit: expected deg >= 0")
    if len(x.shape) != 1 or x.shape[0] == 0:
        raise ShapeError(f"polyfit: x has shape {x.shape}, not one axis with entries")
    if not 1 <= len(y.shape) <= 2 or y.shape[0] != x.shape[0]:
        raise ShapeError(f"polyfit: x of shape {x.shape} does not fit y of shape {y.shape}")
    many = index(x.shape[0])
    if rcond is None:
        rcond = many * np.finfo(x.dtype).eps
    left, right = np.vander(x, order), y
    if w is not None:
        (w,) = as_arrays([w])
        w = w + 0.0
        if len(w.shape) != 1 or w.shape[0] != many:
            raise ShapeError(f"polyfit: w has shape {w.shape} for {many} points")
        left = left * w[:, None]
        right = right * (w[:, None] if len(y.shape) == 2 else w)
    scale = np.sqrt(np.sum(left * left, axis=0))
    left = left / scale
    solved: Any = np.linalg.lstsq(left, right, rcond)
    c, residuals, rank, singular = solved
    c = (c.T / scale).T
    if not full and not isinstance(rank, Box) and int(rank) != order:
        warnings.warn("Polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=3)
    if full:
        return c, residuals, rank, singular, rcond
    if not cov:
        return c
    spread = np.linalg.inv(left.T @ left) / np.outer(scale, scale)
    factor: Any = 1
    if cov != "unscaled":
        if many <= order:
            raise ValueError("polyfit: more points than deg + 1 are needed for the covariance")
        factor = residuals / (many - order)
    if len(y.shape) == 1:
        return c, spread * factor
    return c, spread[:, :, None] * factor
