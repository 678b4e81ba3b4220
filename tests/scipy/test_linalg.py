"""`scipy.linalg` on differentiated values: scipy's numbers, and derivatives by differences."""

import itertools

import numpy as np
import pytest

import pycograd
from pycograd import (
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

sl = pytest.importorskip("scipy.linalg")
from pycograd.scipy import linalg  # noqa: E402

rng = np.random.default_rng(0)
A = rng.standard_normal((3, 3)) + 3 * np.eye(3)
P = A @ A.T + np.eye(3)
B, BS = rng.standard_normal(3), rng.standard_normal((3, 2))
Z = A + 1j * rng.standard_normal((3, 3))


def same(name, *args, f=lambda out: out, **options):
    """Ours on differentiated values gives what scipy's gives on arrays."""
    ours, theirs = getattr(linalg, name), getattr(sl, name)
    out = vjp(lambda *xs: ours(*xs, **options), *args)[0]
    expected = theirs(*args, **options)
    for a, b in zip(pycograd.tree_leaves(f(out)), pycograd.tree_leaves(f(expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
        assert np.shape(a) == np.shape(b)


# -- systems ---------------------------------------------------------------------------------------
ASSUMED = {
    "gen": A,
    "sym": P,
    "her": P,
    "pos": P,
    "diagonal": np.diag(B + 3),
    "tridiagonal": A * (np.abs(np.subtract.outer(range(3), range(3))) < 2),
    "upper triangular": np.triu(A),
    "lower triangular": np.tril(A),
    "banded": A,
}


@pytest.mark.parametrize("assume_a", ASSUMED)
def test_solve(assume_a):
    a = ASSUMED[assume_a]
    for b, lower in itertools.product((B, BS), (False, True)):
        same("solve", a, b, assume_a=assume_a, lower=lower)
        if not assume_a.startswith(("upper", "lower", "diag", "tri", "band")):
            same("solve", a, b, assume_a=assume_a, lower=lower, transposed=True)
    check_grads(lambda b: linalg.solve(a, b, assume_a=assume_a) ** 2, (B,))
    check_grads(lambda a: linalg.solve(a, B, assume_a=assume_a), (a,), order=1)


def test_solve_reads_one_triangle():
    for lower, kind in itertools.product((False, True), ("sym", "pos", "her")):
        g = jacobian(lambda a: linalg.solve(a, B, lower=lower, assume_a=kind))(P)
        unread = np.triu(g, 1) if lower else np.tril(g, -1)
        assert not unread.any() and np.tril(g, -1).any() == lower
    with pytest.raises(NotImplementedError):
        grad(lambda b: np.sum(np.abs(linalg.solve(Z, b, transposed=True))))(B)


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_solve_triangular(lower, unit):
    for trans, b in itertools.product((0, 1, 2, "N", "T", "C"), (B, BS)):
        same("solve_triangular", A, b, trans=trans, lower=lower, unit_diagonal=unit)
        same("solve_triangular", Z, b, trans=trans, lower=lower, unit_diagonal=unit)
    f = lambda a, b: linalg.solve_triangular(a, b, 1, lower, unit)
    check_grads(f, (A, B))
    check_grads(lambda a, b: linalg.solve_triangular(a, b, 0, lower, unit), (A, BS), order=1)
    check_grads(lambda z: np.abs(linalg.solve_triangular(z, B, 2, lower, unit)), (Z,), order=1)
    a, b = np.stack([A, A + 1]), np.stack([B, 2 * B])
    for axes in ((0, 0), (0, None), (None, 0)):
        args = (a if axes[0] == 0 else A, b if axes[1] == 0 else B)
        one = f(*[x[1] if axis == 0 else x for x, axis in zip(args, axes)])
        np.testing.assert_allclose(vmap(f, axes)(*args)[1], one)


def test_other_forms_of_numpys():
    same("inv", A)
    same("det", A)
    same("pinv", BS)
    for order in (None, 1, 2, np.inf, "fro", "nuc"):
        same("norm", A, ord=order)
    same("norm", BS, axis=0, keepdims=True)
    same("svdvals", BS)
    same("svd", BS, f=lambda out: (np.abs(out[0]), out[1], np.abs(out[2])))
    same("svd", BS, full_matrices=False, f=lambda out: (np.abs(out[0]), out[1], np.abs(out[2])))
    same("svd", BS, compute_uv=False)
    for mode in ("full", "economic", "r"):
        same("qr", BS, mode=mode)
    tall = rng.standard_normal((4, 2))
    for b in (rng.standard_normal(4), rng.standard_normal((4, 3))):
        same("lstsq", tall, b)
    check_grads(lambda a, b: linalg.lstsq(a, b)[:2], (tall, rng.standard_normal(4)), order=1)
    check_grads(lambda a: linalg.inv(a, assume_a="pos", lower=True), (P,), order=1)
    for options in ({"pivoting": True}, {"mode": "raw"}):
        with pytest.raises(UnsupportedOperationError, match="qr"):
            grad(lambda a: np.sum(linalg.qr(a, **options)[0]))(A)
    with pytest.raises(UnsupportedOperationError, match="return_rank"):
        grad(lambda a: np.sum(linalg.pinv(a, return_rank=True)[0]))(A)


# -- factorizations --------------------------------------------------------------------------------
@pytest.mark.parametrize("lower", [False, True])
def test_cholesky(lower):
    part = np.tril if lower else np.triu
    same("cholesky", P, lower=lower)
    same("cho_factor", P, lower=lower, f=lambda out: part(out[0]))
    check_grads(lambda a: linalg.cholesky(a, lower), (P,))
    factor = sl.cho_factor(P, lower)
    for b in (B, BS):
        f = lambda c, b: linalg.cho_solve((c, lower), b)
        np.testing.assert_allclose(vjp(f, factor[0], b)[0], sl.cho_solve(factor, b))
    check_grads(lambda a, b: linalg.cho_solve(linalg.cho_factor(a, lower), b), (P, B), order=1)
    h = Z @ Z.conj().T + np.eye(3)
    c = sl.cho_factor(h, lower)
    np.testing.assert_allclose(
        vjp(lambda b: linalg.cho_solve(c, b), B + 0j)[0], np.linalg.solve(h, B)
    )


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_lu(shape):
    a = rng.standard_normal(shape)
    same("lu", a)
    same("lu", a, permute_l=True)
    same("lu", a, p_indices=True, f=lambda out: out)
    check_grads(lambda a: linalg.lu(a)[1:], (a,))
    stack = np.stack([a, a[::-1], 2 * a])
    for got, one in zip(vmap(linalg.lu)(stack), zip(*[sl.lu(x) for x in stack])):
        np.testing.assert_allclose(got, np.stack(one), atol=1e-12)
    np.testing.assert_allclose(
        vmap(jacobian(lambda a: linalg.lu(a)[2]))(stack)[1],
        jacobian(lambda a: linalg.lu(a)[2])(stack[1]),
    )


@pytest.mark.parametrize("trans", [0, 1, 2])
def test_lu_solve(trans):
    a = A[[2, 0, 1]]
    plain = sl.lu_factor(a)
    for b in (B, BS):
        np.testing.assert_allclose(
            vjp(lambda b: linalg.lu_solve(plain, b, trans), b)[0], sl.lu_solve(plain, b, trans)
        )
        f = lambda a: linalg.lu_solve(linalg.lu_factor(a), b, trans)
        np.testing.assert_allclose(vjp(f, a)[0], sl.lu_solve(plain, b, trans))
    check_grads(f, (a,), order=1)
    same("lu_factor", a, f=lambda out: out[0])


@pytest.mark.parametrize("lower", [False, True])
def test_eigh(lower):
    a = rng.standard_normal((4, 4))
    same("eigh", a, lower=lower)
    same("eigvalsh", a, lower=lower)
    some = lambda out: (out[0], np.abs(out[1]))
    same("eigh", a, lower=lower, subset_by_index=[1, 2], f=some)
    b = rng.standard_normal((4, 4))
    b = b @ b.T + np.eye(4)
    same("eigh", a, b, lower=lower, f=some)
    same("eigvalsh", a, b, lower=lower)
    f = lambda a: (linalg.eigh(a, lower=lower)[0], linalg.eigh(a, lower=lower)[1] ** 2)
    check_grads(f, (a,), order=1)
    check_grads(lambda a, b: linalg.eigvalsh(a, b, lower=lower), (a, b), order=1)
    even = lambda a: a @ np.diag([1.0, 2.0, 3.0, 4.0]) @ a.T
    check_grads(lambda a: linalg.eigh(even(a), b, lower=lower)[1] ** 2, (a,), order=1)
    z = a + 1j * rng.standard_normal((4, 4))
    same("eigh", z, lower=lower)
    with pytest.raises(UnsupportedOperationError, match="subset_by_value"):
        grad(lambda a: np.sum(linalg.eigh(a, subset_by_value=[0, 1])[0]))(a)


# -- functions of matrices -------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["expm", "logm", "sqrtm", "cosm", "sinm", "coshm", "sinhm"])
def test_functions_of_matrices(name):
    f, a = getattr(linalg, name), 0.3 * P
    same(name, a)
    same(name, a + 0.1j * A)
    check_grads(f, (a,) if name != "expm" else (a[:2, :2],), order=1 + (name == "expm"))
    check_grads(lambda a, e: pycograd.jvp(f, (a,), (e,))[1], (a[:2, :2], A[:2, :2]), order=1)
    check_grads(lambda z: np.abs(f(z)) ** 2, (a[:2, :2] + 0.1j * A[:2, :2],), order=1)
    stack = np.stack([a, 2 * a])
    np.testing.assert_allclose(vmap(f)(stack)[1], f(2 * a))
    back = vmap(grad(lambda a: np.sum(f(a) ** 2)))(stack)[0]
    np.testing.assert_allclose(back[1], grad(lambda a: np.sum(f(a) ** 2))(2 * a)[0], rtol=1e-6)
    assert eval_shape(f, ShapeDtypeStruct((3, 3))) == ShapeDtypeStruct((3, 3))


def test_more_of_functions_of_matrices():
    same("expm_frechet", A, P)
    check_grads(lambda a, e: linalg.expm_frechet(a, e), (0.3 * A[:2, :2], P[:2, :2]), order=1)
    for name in ("logm", "sqrtm"):
        with pytest.raises(NotDifferentiableError, match=f"{name}.*complex"):
            grad(lambda a: np.sum(getattr(linalg, name)(a)))(np.diag([-1.0, 2.0]))
    with pytest.raises(ShapeError, match="expm"):
        grad(lambda a: np.sum(linalg.expm(a)))(BS)


# -- structured matrices ---------------------------------------------------------------------------
def test_making():
    c, r = rng.standard_normal(3), rng.standard_normal(4)
    for name in ("toeplitz", "hankel"):
        same(name, c)
        same(name, c, r)
        check_grads(lambda c, r: getattr(linalg, name)(c, r) ** 2, (c, r))
    same("toeplitz", c + 1j * c[::-1])
    same("circulant", c)
    check_grads(lambda c: linalg.circulant(c) ** 2, (c,))
    blocks = (A, BS, B)
    same("block_diag", *blocks)
    check_grads(lambda *bs: linalg.block_diag(*bs, 2.0) ** 2, blocks, order=1)
    same("khatri_rao", BS, rng.standard_normal((4, 2)))
    check_grads(lambda a, b: linalg.khatri_rao(a, b), (BS, A[:, :2]))
    np.testing.assert_allclose(vjp(linalg.kron, A, BS)[0], np.kron(A, BS))
    with pytest.raises(ShapeError, match=r"khatri_rao.*\(3, 2\)"):
        grad(lambda a: np.sum(linalg.khatri_rao(a, A)))(BS)


@pytest.mark.parametrize("bands", [(1, 1), (2, 1), (0, 2), (1, 0)])
def test_solve_banded(bands):
    ab = rng.standard_normal((sum(bands) + 1, 4))
    ab[bands[1]] += 4
    for b in (rng.standard_normal(4), rng.standard_normal((4, 2))):
        f = lambda ab, b: linalg.solve_banded(bands, ab, b)
        np.testing.assert_allclose(vjp(f, ab, b)[0], sl.solve_banded(bands, ab, b))
        check_grads(f, (ab, b))
    rows = vmap(f)(np.stack([ab, 2 * ab]), np.stack([b, b]))
    np.testing.assert_allclose(rows[0], 2 * rows[1])
    z = ab + 0.3j * ab[::-1]
    check_grads(lambda z: np.abs(linalg.solve_banded(bands, z, b)) ** 2, (z,), order=1)
    with pytest.raises(ShapeError, match="diagonals"):
        grad(lambda ab: np.sum(linalg.solve_banded((1, 3), ab, b)))(ab)


@pytest.mark.parametrize("lower", [False, True])
def test_solveh_banded(lower):
    ab = rng.standard_normal((3, 5))
    ab[0 if lower else -1] += 8
    for b in (rng.standard_normal(5), rng.standard_normal((5, 2))):
        same("solveh_banded", ab, b, lower=lower)
    check_grads(lambda ab, b: linalg.solveh_banded(ab, b, lower=lower), (ab, b))
    z = ab + 0.3j * rng.standard_normal((3, 5)) * (np.arange(3) != (0 if lower else 2))[:, None]
    np.testing.assert_allclose(
        vjp(lambda z: linalg.solveh_banded(z, b, lower=lower), z)[0],
        sl.solveh_banded(z, b, lower=lower),
    )


def test_solve_toeplitz():
    c, r = np.array([4.0, 1.0, 0.5]), rng.standard_normal(3)
    for b in (B, BS):
        f = lambda c, r, b: linalg.solve_toeplitz((c, r), b)
        np.testing.assert_allclose(vjp(f, c, r, b)[0], sl.solve_toeplitz((c, r), b))
        check_grads(f, (c, r, b))
    same("solve_toeplitz", c, B)
    check_grads(lambda c: linalg.solve_toeplitz(c, B), (c,))


# -- matrix equations ------------------------------------------------------------------------------
def test_matrix_equations():
    b, q = rng.standard_normal((2, 2)) + 2 * np.eye(2), rng.standard_normal((3, 2))
    same("solve_sylvester", A, b, q)
    check_grads(linalg.solve_sylvester, (A, b, q))
    mixed = lambda a: linalg.solve_sylvester(a, b * (1 + 0j), q * (1 + 0j))
    check_grads(lambda a: np.abs(mixed(a)) ** 2, (Z,), order=1)
    x = vjp(lambda a: linalg.solve_sylvester(a, b, q), Z)[0]
    np.testing.assert_allclose(Z @ x + x @ b, q, atol=1e-12)
    stack = np.stack([A, 2 * A])
    rows = vmap(linalg.solve_sylvester, (0, None, None))(stack, b, q)
    np.testing.assert_allclose(rows[1], sl.solve_sylvester(2 * A, b, q))
    same("solve_continuous_lyapunov", A, P)
    same("solve_continuous_lyapunov", Z, P + 0j)
    check_grads(linalg.solve_continuous_lyapunov, (A, P), order=1)
    same("solve_discrete_lyapunov", 0.2 * A, P)
    check_grads(linalg.solve_discrete_lyapunov, (0.2 * A, P), order=1)
    with pytest.raises(ShapeError, match="solve_sylvester"):
        grad(lambda a: np.sum(linalg.solve_sylvester(a, b, b)))(A)
