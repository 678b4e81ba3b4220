"""Sparse matrices whose entries may be differentiated, and their product with dense ones.

The product is bilinear in the entries and in the dense operand. Where the entries stand is a
constant, the `Pattern`: the transpose of the product is the product with the transposed pattern,
and the cotangent of an entry is that of its row times what stands in its column.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse

from pycograd.core.aval import dtype_of, make_aval, promote, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.core.linear import Linear
from pycograd.core.primitive import bind
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.kinds import array, boxed, by_rows, over_columns


class Pattern:
    """Where the entries of a matrix stand: compressed rows, or compressed columns.

    Arguments:
        indices, indptr: as in scipy's csr or csc.
        shape: of the matrix.
        by_columns: csc in place of csr.
    """

    __slots__ = ("indices", "indptr", "shape", "by_columns", "_places")

    def __init__(
        self, indices: Any, indptr: Any, shape: tuple[int, int], by_columns: bool = False
    ) -> None:
        self.indices, self.indptr = np.asarray(indices), np.asarray(indptr)
        self.shape, self.by_columns = shape, by_columns
        self._places: Any = None

    def transposed(self) -> Pattern:
        """The same entries, in the places of the transposed matrix."""
        return Pattern(self.indices, self.indptr, self.shape[::-1], not self.by_columns)

    def matrix(self, data: Any, copy: bool = False) -> Any:
        """scipy's matrix with these plain entries; a copy for who may put them in order."""
        make = scipy.sparse.csc_array if self.by_columns else scipy.sparse.csr_array
        return make((data, self.indices, self.indptr), shape=self.shape, copy=copy)

    def places(self) -> tuple[Any, Any]:
        """The row and the column of each entry."""
        if self._places is None:
            lines: Any = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
            both = (self.indices, lines) if self.by_columns else (lines, self.indices)
            self._places = both
        return self._places  # type: ignore[no-any-return]


def _impl(data: Any, x: Any, *, pattern: Pattern) -> Any:
    return pattern.matrix(np.asarray(data)) @ np.asarray(x)


def entries(left: Any, right: Any, pattern: Pattern) -> Any:
    """For each entry its row of `left` times its column of `right`, summed over further axes."""
    rows, columns = pattern.places()
    products = left[rows] * right[columns]
    return products if len(shape_of(products)) == 1 else np.sum(products, axis=1)


def _batch(size: Any, values: Any, mapped: Any, pattern: Pattern) -> Any:
    data, x = values
    if mapped[0]:
        return by_rows(sparse_matmul, size, values, mapped, {"pattern": pattern})
    return over_columns(lambda columns: product(data, columns, pattern), x)


sparse_matmul = Linear(
    "sparse_matmul",
    _impl,
    operands=("data", "x"),
    transposes={
        "data": lambda ct, x, pattern: entries(ct, x, pattern),
        "x": lambda ct, data, pattern: product(data, ct, pattern.transposed()),
    },
    joint=False,
    conjugate=True,
    shape=lambda data, x, pattern: make_aval((pattern.shape[0], *x.shape[1:]), promote((data, x))),
    batch=_batch,
    cost="contraction",
)


def product(data: Any, x: Any, pattern: Pattern) -> Any:
    """The matrix with entries `data` times a vector or matrix."""
    return bind(sparse_matmul, (data, x), {"pattern": pattern})


# -- what users hold -------------------------------------------------------------------------------
class SparseArray:
    """A sparse matrix with plain or differentiated entries; made by `csr_array` and its kin.

    Arguments:
        data: the entries, shape `(nnz,)`.
        pattern: where they stand.

    >>> A = csr_array((np.array([2.0, 3.0]), [0, 1], [0, 1, 2]), shape=(2, 2))
    >>> (A @ np.ones(2)).tolist()
    [2.0, 3.0]
    """

    # NumPy's operators leave it to us to multiply an array by it.
    __array_ufunc__ = None
    ndim = 2

    def __init__(self, data: Any, pattern: Pattern) -> None:
        self.data, self.pattern = data, pattern

    @property
    def shape(self) -> tuple[int, int]:
        """The sizes of the matrix."""
        return self.pattern.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the entries."""
        return dtype_of(self.data)

    @property
    def nnz(self) -> int:
        """The number of entries."""
        return len(self.pattern.indices)

    @property
    def T(self) -> SparseArray:
        """The transposed matrix, of the same entries."""
        return SparseArray(self.data, self.pattern.transposed())

    def transpose(self) -> SparseArray:
        """The transposed matrix, of the same entries."""
        return self.T

    def __matmul__(self, x: Any) -> Any:
        return matmul(self, x)

    def __rmatmul__(self, x: Any) -> Any:
        return matmul(x, self)

    def dot(self, x: Any) -> Any:
        """The product with a dense vector or matrix."""
        return matmul(self, x)

    def __mul__(self, factor: Any) -> SparseArray:
        if np.ndim(factor):
            raise UnsupportedOperationError(
                "a sparse matrix with differentiated entries is multiplied by numbers alone; of"
                " entries, write data * factors"
            )
        return SparseArray(self.data * factor, self.pattern)

    __rmul__ = __mul__

    def toarray(self) -> Any:
        """The matrix with its zeros; entries of one place are summed."""
        flat = np.ravel_multi_index(self.pattern.places(), self.shape)
        if not boxed(self.data):
            return self.pattern.matrix(self.data).toarray()
        zeros = np.zeros(math.prod(self.shape), self.dtype, like=self.data)
        np.add.at(zeros, flat, self.data)
        return np.reshape(zeros, self.shape)

    def __repr__(self) -> str:
        return f"SparseArray(shape={self.shape}, nnz={self.nnz}, dtype={self.dtype})"


def is_sparse(x: Any) -> bool:
    """True for matrices of scipy and ours."""
    return isinstance(x, SparseArray) or (not isinstance(x, Box) and scipy.sparse.issparse(x))


def sparse(A: Any) -> SparseArray:
    """A matrix of scipy as ours."""
    if isinstance(A, SparseArray):
        return A
    if A.format not in ("csr", "csc"):
        A = A.tocsr()
    return SparseArray(A.data, Pattern(A.indices, A.indptr, A.shape, A.format == "csc"))


def matmul(x: Any, y: Any) -> Any:
    """The product of a sparse matrix with a dense vector or matrix, on either side.

    Arguments:
        x, y: one of them a matrix of scipy or of this module, shape `(m, n)`; the other an array of
            one or two axes. Both may be differentiated.

    Returns:
        A dense array.

    Raises:
        ShapeError: sizes that do not fit.

    >>> A = csr_array((np.array([2.0, 3.0]), [0, 1], [0, 1, 2]), shape=(2, 2))
    >>> jacobian(lambda x: matmul(A, x))(np.ones(2))
    array([[2., 0.],
           [0., 3.]])
    """
    if is_sparse(x) and is_sparse(y):
        if isinstance(x, SparseArray) or isinstance(y, SparseArray):
            raise UnsupportedOperationError(
                "matmul: the product of two sparse matrices has no rule where entries are"
                " differentiated; multiply a vector by one and then by the other"
            )
        return x @ y
    if is_sparse(y):
        return np.transpose(matmul(sparse(y).T, np.transpose(array(x))))
    A, x = sparse(x), array(y)
    if not 1 <= len(shape_of(x)) <= 2 or shape_of(x)[0] != A.shape[1]:
        raise ShapeError(f"matmul: incompatible shapes {A.shape} (sparse) and {shape_of(x)}")
    return product(A.data, x, A.pattern)


def csr_matvec(data: Any, indices: Any, indptr: Any, x: Any, shape: tuple[int, int]) -> Any:
    """The product of a matrix of compressed rows with a dense vector or matrix.

    Arguments:
        data: the entries, shape `(nnz,)`; differentiable.
        indices, indptr: their columns, and where each row starts; constants.
        x: shape `(n,)` or `(n, k)`; differentiable.
        shape: `(m, n)`.

    >>> f = lambda data: csr_matvec(data, [1, 0], [0, 1, 2], np.array([1.0, 5.0]), (2, 2))
    >>> jacobian(f)(np.ones(2))
    array([[5., 0.],
           [0., 1.]])
    """
    return matmul(SparseArray(array(data), Pattern(indices, indptr, (shape[0], shape[1]))), x)


def _compressed(arg: Any, shape: Any, by_columns: bool, operation: str) -> SparseArray:
    if isinstance(arg, SparseArray) or scipy.sparse.issparse(arg):
        return sparse(arg)
    if not isinstance(arg, (tuple, list)) or len(arg) not in (2, 3):
        raise UnsupportedOperationError(
            f"{operation}: from differentiated values it is made as (data, indices, indptr) or"
            " (data, (rows, columns)); the places of entries are no function of values"
        )
    if len(arg) == 3:
        data, indices, indptr = array(arg[0]), np.asarray(arg[1]), np.asarray(arg[2])
        if shape is None:
            lines, across = len(indptr) - 1, int(np.max(indices, initial=-1)) + 1
            shape = (across, lines) if by_columns else (lines, across)
        return SparseArray(data, Pattern(indices, indptr, tuple(shape), by_columns))
    data, (rows, columns) = array(arg[0]), (np.asarray(x) for x in arg[1])
    if shape is None:
        shape = (int(np.max(rows, initial=-1)) + 1, int(np.max(columns, initial=-1)) + 1)
    order = np.argsort(rows, kind="stable")
    indptr = np.searchsorted(rows[order], np.arange(shape[0] + 1))
    return SparseArray(data[order], Pattern(columns[order], indptr, (shape[0], shape[1])))


def _maker(name: str, by_columns: bool) -> Any:
    originals = [getattr(scipy.sparse, f"{name}_{kind}") for kind in ("array", "matrix")]

    def make(arg: Any, shape: Any = None, dtype: Any = None, copy: bool = False) -> SparseArray:
        found = _compressed(arg, shape, by_columns, f"{name}_array")
        if dtype is not None:
            found.data = found.data.astype(dtype)
        return found

    make.__name__ = make.__qualname__ = f"{name}_array"
    make.__doc__ = f"""A sparse matrix that takes part in differentiation, made as scipy's {name}.

    Arguments:
        arg: `(data, indices, indptr)`, `(data, (rows, columns))` or a matrix of scipy.
        shape: inferred if left out.
        dtype: of the entries.

    >>> A = {name}_array((np.array([2.0, 3.0]), ([0, 1], [1, 0])), shape=(2, 2))
    >>> grad(lambda x: np.sum(A @ x))(np.ones(2))
    (array([3., 2.]),)
    """

    def either(original: Any) -> Any:
        def run(arg: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(arg, SparseArray) or boxed(arg):
                return make(arg, *args, **kwargs)
            return original(arg, *args, **kwargs)

        run.__name__ = original.__name__
        return run

    for original in originals:
        stands_for(original)(either(original))
    return make


csr_array = _maker("csr", False)
csc_array = _maker("csc", True)
coo_array = _maker("coo", False)
