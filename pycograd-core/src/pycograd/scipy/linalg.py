"""`scipy.linalg` on differentiated values, with scipy's signatures and conventions.

Much of it is NumPy's by another name; what reads one triangle of a matrix has its derivative in
that triangle. The functions of matrices are in `matrix_functions`, structured matrices in
`special_matrices`, the rest in `dense_systems` and `factorizations`.

>>> a = np.array([[2.0, 1.0], [0.0, 4.0]])
>>> grad(lambda b: solve_triangular(a, b)[0])(np.ones(2))[0]
array([ 0.5  , -0.125])
"""

from pycograd.scipy.dense_systems import (
    det,
    inv,
    lstsq,
    norm,
    pinv,
    solve,
    solve_continuous_lyapunov,
    solve_discrete_lyapunov,
    solve_sylvester,
    solve_triangular,
)
from pycograd.scipy.factorizations import (
    cho_factor,
    cho_solve,
    cholesky,
    eigh,
    eigvalsh,
    lu,
    lu_factor,
    lu_solve,
    qr,
    svd,
    svdvals,
)
from pycograd.scipy.matrix_functions import (
    coshm,
    cosm,
    expm,
    expm_frechet,
    logm,
    sinhm,
    sinm,
    sqrtm,
)
from pycograd.scipy.special_matrices import (
    block_diag,
    circulant,
    hankel,
    khatri_rao,
    kron,
    solve_banded,
    solve_toeplitz,
    solveh_banded,
    toeplitz,
)

__all__ = [
    "block_diag",
    "cho_factor",
    "cho_solve",
    "cholesky",
    "circulant",
    "coshm",
    "cosm",
    "det",
    "eigh",
    "eigvalsh",
    "expm",
    "expm_frechet",
    "hankel",
    "inv",
    "khatri_rao",
    "kron",
    "logm",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_solve",
    "norm",
    "pinv",
    "qr",
    "sinhm",
    "sinm",
    "solve",
    "solve_banded",
    "solve_continuous_lyapunov",
    "solve_discrete_lyapunov",
    "solve_sylvester",
    "solve_toeplitz",
    "solve_triangular",
    "solveh_banded",
    "sqrtm",
    "svd",
    "svdvals",
    "toeplitz",
]
