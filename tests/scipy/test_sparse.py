"""Products and systems of sparse matrices against dense ones."""

import numpy as np
import pytest

from pycograd import (
    ConversionError,
    NotDifferentiableError,
    ShapeDtypeStruct,
    ShapeError,
    UnsupportedOperationError,
    check_grads,
    eval_shape,
    grad,
    jacobian,
    vjp,
    vmap,
)

ssp = pytest.importorskip("scipy.sparse")
import scipy.sparse.linalg as ssl  # noqa: E402

from pycograd.scipy import sparse  # noqa: E402

rng = np.random.default_rng(0)
DENSE = np.where(rng.uniform(size=(4, 3)) < 0.6, rng.standard_normal((4, 3)), 0.0)
KINDS = [
    "csr_array",
    "csc_array",
    "coo_array",
    "csr_matrix",
    "csc_matrix",
    "lil_array",
    "dia_array",
]


@pytest.mark.parametrize("kind", KINDS)
def test_products(kind):
    A = getattr(ssp, kind)(DENSE)
    x, y = rng.standard_normal(3), rng.standard_normal((3, 2))
    for at in (x, y):
        np.testing.assert_allclose(vjp(lambda x: sparse.matmul(A, x), at)[0], DENSE @ at)
        np.testing.assert_allclose(jacobian(lambda x: sparse.csr_array(A) @ x)(x), DENSE)
        left = rng.standard_normal(at.shape[:0:-1] + (4,))
        np.testing.assert_allclose(vjp(lambda x: sparse.matmul(x, A), left)[0], left @ DENSE)
    check_grads(lambda x: np.sin(sparse.matmul(A, x)), (y,))
    for x in (rng.standard_normal(4), rng.standard_normal((2, 4))):
        np.testing.assert_allclose(vjp(lambda x: x @ sparse.csr_array(A), x)[0], x @ DENSE)
        np.testing.assert_allclose(vmap(lambda x: x @ sparse.csr_array(A))(x[None])[0], x @ DENSE)


def test_entries():
    A = ssp.csr_array(DENSE)
    x = rng.standard_normal((3, 2))
    f = lambda data, x: sparse.csr_matvec(data, A.indices, A.indptr, x, A.shape)
    check_grads(f, (A.data, x))
    check_grads(lambda data, x: np.sum(f(data, x[:, 0]) ** 2), (A.data, x))
    B = ssp.csc_array(DENSE)
    made = lambda data: sparse.csc_array((data, B.indices, B.indptr), B.shape)
    np.testing.assert_allclose(vjp(lambda d: made(d) @ x, B.data)[0], DENSE @ x)
    np.testing.assert_allclose(vjp(lambda d: x.T @ made(d).T, B.data)[0], x.T @ DENSE.T)
    np.testing.assert_allclose(vjp(lambda d: (2.0 * made(d)).toarray(), B.data)[0], 2 * DENSE)
    check_grads(lambda d: made(d).toarray(), (B.data,), order=1)
    C = ssp.coo_array(DENSE)
    rows, columns = C.coords
    twice = (np.concatenate([rows, rows]), np.concatenate([columns, columns]))
    of = lambda d: sparse.coo_array((np.concatenate([d, 2 * d]), twice), (4, 3)) @ x
    np.testing.assert_allclose(vjp(of, C.data)[0], 3 * DENSE @ x)
    check_grads(of, (C.data,), order=1)
    z = A.data * (1 + 2j)
    check_grads(lambda data, x: np.abs(f(data, x)) ** 2, (z, x))


def test_rows_and_shapes():
    A = ssp.csr_array(DENSE)
    xs = rng.standard_normal((5, 3))
    np.testing.assert_allclose(vmap(lambda x: sparse.matmul(A, x))(xs), xs @ DENSE.T)
    ys = rng.standard_normal((5, 3, 2))
    np.testing.assert_allclose(vmap(lambda x: sparse.matmul(A, x))(ys), DENSE @ ys)
    f = lambda d, x: sparse.csr_matvec(d, A.indices, A.indptr, x, A.shape)
    datas = rng.standard_normal((5, A.nnz))
    np.testing.assert_allclose(vmap(f)(datas, xs)[2], f(datas[2], xs[2]))
    each = vmap(grad(lambda d, x: np.sum(f(d, x) ** 2)))(datas, xs)
    np.testing.assert_allclose(each[0][2], grad(lambda d: np.sum(f(d, xs[2]) ** 2))(datas[2])[0])
    assert eval_shape(
        lambda x: sparse.matmul(A, x), ShapeDtypeStruct((3, "k"))
    ) == ShapeDtypeStruct((4, "k"))


def test_what_products_refuse():
    A = ssp.csr_array(DENSE)
    with pytest.raises(ShapeError, match=r"\(4, 3\).*\(4,\)"):
        grad(lambda x: np.sum(sparse.matmul(A, x)))(np.ones(4))
    with pytest.raises(ConversionError, match=r"sparse\.matmul"):
        grad(lambda x: np.sum(A @ x))(np.ones(3))
    with pytest.raises(UnsupportedOperationError, match=r"sparse\.matmul"):
        grad(lambda x: np.sum(x @ A))(np.ones(4))
    with pytest.raises(UnsupportedOperationError, match="places of entries"):
        grad(lambda x: np.sum(sparse.csr_array(x) @ np.ones(3)))(DENSE)
    with pytest.raises(UnsupportedOperationError, match="two sparse"):
        sparse.matmul(sparse.csr_array(A), A.T)


SQUARE = np.where(rng.uniform(size=(4, 4)) < 0.6, rng.standard_normal((4, 4)), 0.0) + 4 * np.eye(4)


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "coo_matrix"])
def test_spsolve(kind):
    A = getattr(ssp, kind)(SQUARE)
    for b in (rng.standard_normal(4), rng.standard_normal((4, 2)), rng.standard_normal((4, 1))):
        found = vjp(lambda b: sparse.linalg.spsolve(A, b), b)[0]
        np.testing.assert_allclose(found, np.linalg.solve(SQUARE, b).reshape(found.shape))
        assert found.shape == ssl.spsolve(A.tocsc(), b).shape
        check_grads(lambda b: sparse.linalg.spsolve(A, b) ** 2, (b,))
    C = ssp.csr_array(SQUARE)
    b = rng.standard_normal(4)

    def f(data, b):
        return sparse.linalg.spsolve(sparse.csr_array((data, C.indices, C.indptr), C.shape), b)

    check_grads(f, (C.data, b))
    rows = vmap(f, (None, 0))(C.data, np.stack([b, 2 * b]))
    np.testing.assert_allclose(rows[1], 2 * f(C.data, b))
    both = vmap(f)(np.stack([C.data, 2 * C.data]), np.stack([b, 2 * b]))
    np.testing.assert_allclose(both[1], both[0])


@pytest.mark.parametrize("name", ["cg", "gmres", "bicgstab", "minres"])
def test_iterative_solvers(name):
    method = getattr(sparse.linalg, name)
    symmetric = name in ("cg", "minres")
    M = SQUARE + SQUARE.T + 3 * np.eye(4) if symmetric else SQUARE
    even = (lambda a: 0.5 * (a + a.T)) if symmetric else lambda a: a
    b = rng.standard_normal(4)
    A = ssp.csr_array(M)
    x, info = vjp(lambda b: method(A, b, rtol=1e-12), b)[0]
    np.testing.assert_allclose(x, np.linalg.solve(M, b))
    assert info == 0
    check_grads(lambda b: method(A, b, rtol=1e-10)[0] ** 2, (b,))
    check_grads(lambda a, b: method(even(a), b, rtol=1e-10)[0], (M, b), order=1)
    operator = ssl.aslinearoperator(M)
    preconditioner = np.diag(1 / np.diag(M))
    helped = lambda b: method(operator, b, np.ones(4), rtol=1e-10, M=preconditioner)[0]
    np.testing.assert_allclose(jacobian(helped)(b), np.linalg.inv(M), rtol=1e-7, atol=1e-9)
    with pytest.raises(UnsupportedOperationError, match="x0"):
        grad(lambda b: np.sum(method(A, b, b)[0]))(b)
    with pytest.raises(NotDifferentiableError, match=f"{name}.*info"):
        grad(
            lambda b: np.sum(
                method(A, b, rtol=1e-12, maxiter=1, **({"restart": 1} if name == "gmres" else {}))[
                    0
                ]
            )
        )(b)
