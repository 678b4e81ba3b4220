"""`numpy.linalg`: factorizations and eigenvalues, against identities, SciPy and differences."""

import warnings

import numpy as np
import pytest
import scipy.linalg

from pycograd import capture, eval_shape, grad, hessian, jvp, vjp, vmap
from pycograd.testing import check_grads

rng = np.random.default_rng(1)
A = rng.standard_normal((3, 3))
C = A + 1j * rng.standard_normal((3, 3))
TALL = rng.standard_normal((4, 3))
SHAPES = {"tall": TALL, "wide": TALL.T.copy(), "square": A, "stack": rng.standard_normal((2, 3, 2))}
for _name in list(SHAPES):
    _x = SHAPES[_name]
    SHAPES[f"complex {_name}"] = _x + 1j * rng.standard_normal(_x.shape)
START = rng.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order():
    rng.bit_generator.state = START


def adjoint(x):
    return np.conj(np.matrix_transpose(x))


def positive(x):
    return x @ adjoint(x) + np.diag(np.arange(x.shape[-2]) + 1.0)


def orthogonal(n):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def symmetric(n=3):
    x = rng.standard_normal((n, n))
    return x + x.T


# -- the triangle that is read -------------------------------------------------------------------
READERS = {
    "cholesky": (np.linalg.cholesky, False),
    "cholesky upper": (lambda a: np.linalg.cholesky(a, upper=True), True),
    "eigvalsh": (np.linalg.eigvalsh, False),
    "eigvalsh U": (lambda a: np.linalg.eigvalsh(a, "U"), True),
    "eigh": (np.linalg.eigh, False),
    "eigh u": (lambda a: np.linalg.eigh(a, UPLO="u"), True),
    "pinv": (lambda a: np.linalg.pinv(a, hermitian=True), False),
    "svdvals": (lambda a: np.linalg.svd(a, compute_uv=False, hermitian=True), False),
}


@pytest.mark.parametrize("name", READERS)
def test_the_derivative_is_that_of_numpys_function_of_one_triangle(name):
    f, upper = READERS[name]
    junk = np.tril(rng.standard_normal((3, 3)), -1)
    a = np.triu(positive(A)) + junk if upper else np.tril(positive(A)) + junk.T
    check_grads(f, (a,))
    pulled = vjp(f, a)[1](f(a))[0]
    unread = np.tril(pulled, -1) if upper else np.triu(pulled, 1)
    assert not unread.any() and pulled.any()


@pytest.mark.parametrize("name", READERS)
def test_a_matrix_made_symmetric_has_the_symmetric_gradient(name):
    f, _ = READERS[name]
    a = positive(A)

    def loss(a):
        out = f((a + a.T) / 2)
        return sum(np.sum(np.sin(y)) for y in (out if isinstance(out, tuple) else (out,)))

    g = grad(loss)(a)[0]
    np.testing.assert_allclose(g, g.T, atol=1e-14)


def test_cholesky_of_complex_and_of_stacks():
    for x in (C, SHAPES["stack"], SHAPES["complex stack"]):
        for upper in (False, True):
            check_grads(lambda x, upper=upper: np.linalg.cholesky(positive(x), upper=upper), (x,))


def test_cholesky_and_the_determinant():
    half = lambda x: np.sum(np.log(np.real(np.linalg.diagonal(np.linalg.cholesky(positive(x))))))
    for x in (A, C):
        want = grad(lambda x: np.linalg.slogdet(positive(x))[1] / 2)(x)[0]
        np.testing.assert_allclose(grad(half)(x)[0], want)


# -- eigenvalues of Hermitian matrices -----------------------------------------------------------
def test_eigh_of_real_matrices():
    check_grads(lambda x: np.linalg.eigh(positive(x)), (A,))
    stack = SHAPES["stack"]
    check_grads(lambda x: np.linalg.eigh(positive(x)), (stack,), rtol=1e-5, atol=1e-5)
    rows = vmap(lambda x: np.linalg.eigh(positive(x)))(stack)
    for x, y in zip(rows, np.linalg.eigh(positive(stack))):
        np.testing.assert_allclose(x, y, atol=1e-14)


def test_eigh_of_complex_matrices_but_for_the_phase():
    def f(x):
        w, v = np.linalg.eigh(positive(x))
        return w, (v[:, :1] @ adjoint(v[:, :1])), np.abs(v) ** 2

    check_grads(f, (C,))


@pytest.mark.parametrize("function", ["sqrt", "exp"])
def test_functions_of_symmetric_matrices(function):
    def through(a):
        w, v = np.linalg.eigh(a)
        return (v * getattr(np, function)(w)) @ v.T

    a, e = positive(A), symmetric()
    tangent = jvp(through, (a,), (e,))[1]
    if function == "sqrt":  # x s + s x = e for the derivative x of the root s
        root = scipy.linalg.sqrtm(a)
        want = scipy.linalg.solve_sylvester(root, root, e)
    else:
        want = scipy.linalg.expm_frechet(a, e, compute_expm=False)
    np.testing.assert_allclose(tangent, want, rtol=1e-9, atol=1e-9)


REPEATED = {
    "all": np.full(4, 2.0),
    "pairs": np.array([1.0, 1.0, 3.0, 3.0]),
    "zeros": np.array([0.0, 0.0, 0.0, 1.5]),
    "none": np.zeros(4),
}


@pytest.mark.parametrize("name", REPEATED)
def test_symmetric_functions_of_repeated_eigenvalues(name):
    w, q = REPEATED[name], orthogonal(4)
    a = (q * w) @ q.T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for power in (1, 2, 3):
            got = grad(lambda a, p=power: np.sum(np.linalg.eigvalsh((a + a.T) / 2) ** p))(a)[0]
            want = power * np.linalg.matrix_power(a, power - 1)
            np.testing.assert_allclose(got, want, atol=1e-12)
            through = grad(lambda a, p=power: np.sum(np.linalg.eigh((a + a.T) / 2)[0] ** p))(a)[0]
            np.testing.assert_allclose(through, want, atol=1e-12)
            general = grad(lambda a, p=power: np.sum(np.real(np.linalg.eigvals(a)) ** p))(a)[0]
            np.testing.assert_allclose(general, want, atol=1e-10)


@pytest.mark.filterwarnings("ignore:the derivative of eigenvectors")
def test_the_space_of_repeated_eigenvalues_turns():
    q = orthogonal(4)
    a = (q * np.array([1.0, 2.0, 2.0, 3.0])) @ q.T
    weights = symmetric(4)

    def onto(a):
        v = np.linalg.eigh((a + a.T) / 2)[1][:, 1:3]
        return np.sum(weights * (v @ v.T))

    check_grads(onto, (a,), order=1)
    v = np.linalg.eigh(a)[1][:, 1:3]
    np.testing.assert_allclose(v.T @ grad(onto)(a)[0] @ v, 0, atol=1e-12)


def test_the_convention_for_repeated_eigenvalues_is_announced():
    weights = rng.standard_normal((3, 3))
    for f in (
        lambda a: np.sum(np.linalg.eigh(a)[1] * weights),
        lambda a: np.sum(np.linalg.svd(a)[0] * weights),
    ):
        with pytest.warns(RuntimeWarning, match=r"equal eigenvalues.*test_linalg_factor"):
            found = grad(f)(2 * np.eye(3))[0]
        assert np.isfinite(found).all()
    with pytest.warns(RuntimeWarning, match="second"):
        assert np.isfinite(hessian(lambda a: np.sum(np.linalg.eigvalsh(a) ** 2))(np.eye(2))).all()


# -- general eigenvalues -------------------------------------------------------------------------
def test_eig_of_real_matrices_with_complex_pairs():
    a = np.array([[0.3, -1.2, 0.4], [1.1, 0.2, -0.3], [0.1, 0.5, 0.9]])
    assert np.iscomplexobj(np.linalg.eigvals(a))
    check_grads(np.linalg.eig, (a,))
    check_grads(np.linalg.eigvals, (a,))
    assert grad(lambda a: np.sum(np.abs(np.linalg.eig(a)[1])))(a)[0].dtype == np.float64


def test_eig_with_real_eigenvalues_stays_real():
    a = np.diag([1.0, 2.5, 4.0]) + 0.1 * A
    out = vjp(np.linalg.eig, a)[0]
    assert [x.dtype for x in out] == [np.float64] * 2
    check_grads(np.linalg.eig, (a,))


def test_eig_of_complex_matrices():
    check_grads(np.linalg.eig, (C,))
    check_grads(np.linalg.eig, (np.stack([C, C.T * 1j]),))
    check_grads(np.linalg.eigvals, (C,))


def test_functions_of_general_matrices():
    def exponential(a):
        w, v = np.linalg.eig(a)
        return np.real((v * np.exp(w)) @ np.linalg.inv(v))

    e = rng.standard_normal((3, 3))
    want = scipy.linalg.expm_frechet(A, e, compute_expm=False)
    np.testing.assert_allclose(jvp(exponential, (A,), (e,))[1], want, rtol=1e-8, atol=1e-9)
    weights = rng.standard_normal((3, 3))
    pulled = grad(lambda a: np.sum(weights * exponential(a)))(A)[0]
    np.testing.assert_allclose(np.sum(pulled * e), np.sum(weights * want))


def test_sums_of_powers_of_eigenvalues_are_traces():
    got = hessian(lambda a: np.sum(np.real(np.linalg.eigvals(a) ** 3)))(A)
    want = hessian(lambda a: np.trace(a @ a @ a))(A)
    np.testing.assert_allclose(got, want, atol=1e-9)


# -- qr --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("mode", ["reduced", "r"])
def test_qr(name, mode):
    check_grads(lambda x: np.linalg.qr(x, mode), (SHAPES[name],), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["tall", "wide", "square", "complex tall"])
def test_complete_qr_but_for_the_choice_of_the_rest(name):
    def f(x):
        q, r = np.linalg.qr(x, "complete")
        n = x.shape[-1]
        return q[..., :n], r, q[..., n:] @ adjoint(q[..., n:])

    check_grads(f, (SHAPES[name],), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("mode", ["reduced", "complete"])
def test_qr_multiplies_to_its_matrix(name, mode):
    def product(x):
        q, r = np.linalg.qr(x, mode)
        return q @ r

    x = SHAPES[name]
    t = rng.standard_normal(x.shape)
    np.testing.assert_allclose(jvp(product, (x,), (t.astype(x.dtype),))[1], t, atol=1e-12)
    orthonormal = lambda x: adjoint(np.linalg.qr(x, mode)[0]) @ np.linalg.qr(x, mode)[0]
    np.testing.assert_allclose(jvp(orthonormal, (x,), (t.astype(x.dtype),))[1], 0, atol=1e-12)


# -- svd -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("full", [False, True])
def test_svd_but_for_the_phase(name, full):
    def f(x):
        u, s, vh = np.linalg.svd(x, full)
        k = s.shape[-1]
        u1, v1 = u[..., :k], vh[..., :k, :]
        outer = u[..., k:] @ adjoint(u[..., k:]), adjoint(vh[..., k:, :]) @ vh[..., k:, :]
        return s, np.abs(u1) ** 2, np.abs(v1) ** 2, u1[..., :1] @ v1[..., :1, :], *outer

    x = SHAPES[name]
    check_grads(f, (x,), rtol=1e-5, atol=1e-5)
    if not np.iscomplexobj(x) and not full:
        check_grads(lambda x: np.linalg.svd(x, False), (x,), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("full", [False, True])
def test_svd_multiplies_to_its_matrix(name, full):
    def product(x):
        u, s, vh = np.linalg.svd(x, full)
        k = s.shape[-1]
        return (u[..., :k] * s[..., None, :]) @ vh[..., :k, :], adjoint(u) @ u, vh @ adjoint(vh)

    x = SHAPES[name]
    t = rng.standard_normal(x.shape).astype(x.dtype)
    back, *units = jvp(product, (x,), (t,))[1]
    np.testing.assert_allclose(back, t, atol=1e-12)
    for unit in units:
        np.testing.assert_allclose(unit, 0, atol=1e-12)


def test_singular_values_are_roots_of_eigenvalues():
    weights = rng.standard_normal(3)
    got = hessian(lambda x: np.sum(weights * np.linalg.svdvals(x)))(TALL)
    want = hessian(lambda x: np.sum(weights[::-1] * np.sqrt(np.linalg.eigvalsh(x.T @ x))))(TALL)
    np.testing.assert_allclose(got, want, atol=1e-9)


def test_a_repeated_singular_value():
    u, v = orthogonal(4)[:, :3], orthogonal(3)
    x = (u * np.array([2.0, 2.0, 1.0])) @ v
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = grad(lambda x: np.sum(np.linalg.svdvals(x)))(x)[0]
        np.testing.assert_allclose(got, u @ v, atol=1e-12)
        cubes = grad(lambda x: np.sum(np.linalg.svd(x, False)[1] ** 4))(x)[0]
        np.testing.assert_allclose(cubes, 4 * x @ x.T @ x, atol=1e-12)


def test_singular_values_of_zero_are_still():
    u, v = orthogonal(4)[:, :3], orthogonal(3)
    x = (u * np.array([2.0, 1.0, 0.0])) @ v
    for f in (np.linalg.svdvals, lambda x: np.linalg.svd(x)[1]):
        got = grad(lambda x, f=f: np.sum(f(x)))(x)[0]
        np.testing.assert_allclose(got, u[:, :2] @ v[:2], atol=1e-12)
    top = lambda x: np.linalg.norm(x, 2)
    check_grads(top, (x,), rtol=1e-5, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not grad(lambda x: np.sum(np.linalg.svdvals(x)))(np.zeros((3, 2)))[0].any()
        pulled = grad(lambda x: np.sum(np.linalg.svd(x)[0][:, :2] ** 3))(x)[0]
        assert np.isfinite(pulled).all()
        check_grads(lambda x: np.linalg.svd(x)[0][:, :2] ** 2, (x,), order=1)


@pytest.mark.parametrize("name", ["symmetric", "stack", "indefinite"])
def test_svd_of_hermitian_matrices(name):
    x = {"symmetric": A, "stack": rng.standard_normal((2, 3, 3)), "indefinite": A * 2}[name]
    f = lambda x: np.linalg.svd(x + np.matrix_transpose(x), hermitian=True)
    for got, want in zip(vjp(f, x)[0], f(x)):
        np.testing.assert_allclose(got, want, atol=1e-14)
    assert type(vjp(f, x)[0]) is type(f(x))
    check_grads(f, (x,), rtol=1e-5, atol=1e-5)
    values = lambda x: np.linalg.svd(x + np.matrix_transpose(x), False, False, True)
    check_grads(values, (x,), rtol=1e-5, atol=1e-5)
    zero = np.zeros((2, 2))
    for got, want in zip(vjp(f, zero)[0], f(zero)):
        np.testing.assert_array_equal(got, want)


# -- precision -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["cholesky", "eigh", "eigvalsh", "eig", "qr", "svd", "svdvals"])
def test_single_precision_stays(name):
    f = getattr(np.linalg, name)
    a = positive(A).astype(np.float32)

    def loss(a):
        out = f(a)
        return sum(np.sum(np.abs(y)) for y in (out if isinstance(out, tuple) else (out,)))

    (g,) = grad(loss)(a)
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, grad(loss)(a.astype(float))[0], rtol=2e-3, atol=2e-3)
    assert jvp(loss, (a,), (a,))[1].dtype == np.float32
    assert hessian(loss)(a).dtype == np.float32


def test_eigenvalues_alone_need_no_derivative_of_vectors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tangent = jvp(np.linalg.eigvals, (2 * np.eye(3),), (np.diag([1.0, 2.0, 3.0]),))[1]
        np.testing.assert_allclose(tangent, [1, 2, 3])
        assert jvp(np.linalg.eigvalsh, (np.eye(3),), (np.eye(3),))[1].tolist() == [1, 1, 1]
        assert jvp(np.linalg.svdvals, (np.eye(3),), (np.eye(3),))[1].tolist() == [1, 1, 1]


def test_a_captured_eig_is_complex():
    a = np.diag([1.0, 2.5, 4.0]) + 0.1 * A
    loss = lambda a: np.sum(np.abs(np.linalg.eig(a)[1] ** 2) + np.abs(np.linalg.eigvals(a)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = capture(grad(loss), a)
        np.testing.assert_allclose(graph(a)[0], grad(loss)(a)[0], atol=1e-12)
        check = capture(np.linalg.eigvals, a)
    assert eval_shape(np.linalg.eigvals, a).dtype == check(a).dtype == np.complex128
