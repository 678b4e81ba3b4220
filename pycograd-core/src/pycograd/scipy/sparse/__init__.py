"""`scipy.sparse`: products of sparse matrices with differentiated values, and sparse systems.

A matrix of scipy takes no differentiated operand: in place of `A @ x` write `matmul(A, x)`, or make
the matrix here, `csr_array(A) @ x`. One made here may also have differentiated entries.

>>> import scipy.sparse
>>> A = scipy.sparse.csr_array(np.array([[2.0, 0.0], [0.0, 3.0]]))
>>> grad(lambda x: np.sum(matmul(A, x) ** 2))(np.array([1.0, 1.0]))
(array([ 8., 18.]),)
"""

from pycograd.scipy.sparse import linalg as linalg
from pycograd.scipy.sparse.arrays import (
    SparseArray as SparseArray,
    coo_array as coo_array,
    csc_array as csc_array,
    csr_array as csr_array,
    csr_matvec as csr_matvec,
    matmul as matmul,
)

__all__ = [
    "SparseArray",
    "coo_array",
    "csc_array",
    "csr_array",
    "csr_matvec",
    "linalg",
    "matmul",
]
