"""Solving `A x = b` where A is a linear function of an array of its entries, such as its bands.

One primitive serves them all. What it asks of a structure is the solver and two products; the rules
follow from `dx = A^-1 (db - dA x)`:

    cotangent of b: l = A^-T ct         cotangent of the entries: that of `l A x`, negated
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from pycograd.core.aval import make_aval, promote, shape_of
from pycograd.core.errors import NotDifferentiableError
from pycograd.core.primitive import bind
from pycograd.scipy.kinds import Adjoint, by_rows, over_columns


class Structure:
    """How a matrix is made from an array of entries `a`."""

    __slots__ = ()

    def transposed(self) -> Structure:
        """The structure of the transposed matrix, of the same entries."""
        raise NotImplementedError

    def solve(self, a: Any, b: Any) -> Any:
        """`A^-1 b` for plain arrays; `b` is a vector or a matrix of columns."""
        raise NotImplementedError

    def times(self, a: Any, x: Any) -> Any:
        """`A x`, in NumPy on values."""
        raise NotImplementedError

    def entries(self, left: Any, right: Any) -> Any:
        """The cotangent of `a` from `sum(left * (A right))`, in NumPy on values."""
        raise NotImplementedError


def _impl(a: Any, b: Any, *, structure: Structure) -> Any:
    a, b = np.asarray(a), np.asarray(b)
    return structure.solve(a, b).astype(np.result_type(a, b, np.float32), copy=False)


def _tangent(tangents: Any, values: Any, ans: Any, structure: Structure) -> Any:
    da, db = tangents
    if da is not None:
        change = structure.times(da, ans)
        db = -change if db is None else db - change
    return solve(values[0], db, structure)


def _pull(ct: Any, live: Any, values: Any, ans: Any, structure: Structure) -> Any:
    left = solve(values[0], ct, structure.transposed())
    return [-structure.entries(left, ans) if i == 0 else left for i in live]


def _batch(size: Any, values: Any, mapped: Any, structure: Structure) -> Any:
    a, b = values
    if mapped[0]:
        return by_rows(structured_solve, size, values, mapped, {"structure": structure})
    return over_columns(lambda columns: solve(a, columns, structure), b)


structured_solve = Adjoint(
    "structured_solve",
    _impl,
    tangent=_tangent,
    pull=_pull,
    shape=lambda a, b, structure: make_aval(b.shape, np.result_type(promote((a, b)), np.float32)),
    batch=_batch,
    cost="contraction",
)


def solve(a: Any, b: Any, structure: Structure) -> Any:
    """`A^-1 b`, differentiable in the entries `a` and in `b`."""
    return bind(structured_solve, (a, b), {"structure": structure})


# -- bands -----------------------------------------------------------------------------------------
class Banded(Structure):
    """A matrix by its diagonals, `a[upper + i - j, j] = A[i, j]`, or its transpose.

    Arguments:
        lower, upper: the number of diagonals on either side.
        turned: the transpose.
        positive: hermitian and positive definite, which has a solver of its own.
    """

    __slots__ = ("lower", "upper", "turned", "positive")

    def __init__(
        self, lower: int, upper: int, turned: bool = False, positive: bool = False
    ) -> None:
        self.lower, self.upper = lower, upper
        self.turned, self.positive = turned, positive

    def transposed(self) -> Banded:
        return Banded(self.lower, self.upper, not self.turned, self.positive)

    def solve(self, a: Any, b: Any) -> Any:
        if self.positive:  # the lower half; its conjugate is that of the transpose
            half = a[self.upper :]
            return scipy.linalg.solveh_banded(np.conj(half) if self.turned else half, b, lower=True)
        if not self.turned:
            return scipy.linalg.solve_banded((self.lower, self.upper), a, b)
        turned = np.zeros_like(a)
        n = a.shape[1]
        for k in self._offsets(n):
            row, start, stop = self.upper - k, max(0, -k), min(n, n - k)
            turned[self.lower + k, start:stop] = a[row, start + k : stop + k]
        return scipy.linalg.solve_banded((self.upper, self.lower), turned, b)

    def _offsets(self, n: int) -> range:
        """The diagonals `j - i` inside a matrix of `n` rows."""
        return range(-min(self.lower, n - 1), min(self.upper, n - 1) + 1)

    def _places(self, n: int, k: int) -> tuple[Any, Any, Any]:
        """Of diagonal k: where its entries are in `a`, the rows and the columns they stand in."""
        start, stop = max(0, -k), min(n, n - k)
        rows, columns = slice(start, stop), slice(start + k, stop + k)
        place = (self.upper - k, columns)
        return (place, columns, rows) if self.turned else (place, rows, columns)

    def times(self, a: Any, x: Any) -> Any:
        n = shape_of(x)[0]
        several = len(shape_of(x)) > 1
        total: Any = 0
        for k in self._offsets(n):
            place, rows, columns = self._places(n, k)
            part = (a[place][:, None] if several else a[place]) * x[columns]
            before = rows.start
            rest = [(0, 0)] * several
            total = total + np.pad(part, [(before, n - rows.stop), *rest])
        return total

    def entries(self, left: Any, right: Any) -> Any:
        n = shape_of(left)[0]
        found = []
        for row in range(self.lower + self.upper + 1):
            k = self.upper - row
            if k not in self._offsets(n):
                found.append(np.zeros(n, left.dtype))
                continue
            (_, columns), rows, others = self._places(n, k)
            part = left[rows] * right[others]
            if len(shape_of(part)) > 1:
                part = np.sum(part, axis=1)
            found.append(np.pad(part, [(columns.start, n - columns.stop)]))
        return np.stack(found)


# -- all entries -----------------------------------------------------------------------------------
class Dense(Structure):
    """A matrix by all of its entries.

    Arguments:
        turned: the transpose.
        singular: what to say where the matrix is singular: the derivative does not exist.
    """

    __slots__ = ("turned", "singular")

    def __init__(self, singular: str, turned: bool = False) -> None:
        self.singular, self.turned = singular, turned

    def transposed(self) -> Dense:
        return Dense(self.singular, not self.turned)

    def _matrix(self, a: Any) -> Any:
        return a.T if self.turned else a

    def solve(self, a: Any, b: Any) -> Any:
        if np.all(np.isfinite(a)) and np.linalg.cond(a) < 0.1 / np.finfo(a.dtype).eps:
            return np.linalg.solve(self._matrix(a), b)
        raise NotDifferentiableError(self.singular)

    def times(self, a: Any, x: Any) -> Any:
        return self._matrix(a) @ x

    def entries(self, left: Any, right: Any) -> Any:
        if len(shape_of(left)) == 1:
            left, right = left[:, None], right[:, None]
        return right @ left.T if self.turned else left @ right.T
