"""`numpy.linalg`: systems, determinants, norms; their kinks, their errors, what they return."""

import itertools
import warnings

import numpy as np
import pytest

from pycograd import eval_shape, grad, hessian, jvp, value_and_grad, vjp, vmap
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.testing import check_grads

rng = np.random.default_rng(0)
LinAlgError = np.linalg.LinAlgError
A = rng.standard_normal((3, 3)) + 2 * np.eye(3)
STACK = rng.standard_normal((2, 3, 3)) + 2 * np.eye(3)
C = A + 1j * rng.standard_normal((3, 3))
START = rng.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order():
    rng.bit_generator.state = START


def minors(a):
    """The derivative of the determinant, entry by entry: a signed determinant of the rest."""
    n = len(a)
    out = np.empty_like(a)
    for i, j in itertools.product(range(n), repeat=2):
        rest = np.delete(np.delete(a, i, 0), j, 1)
        out[i, j] = (-1) ** (i + j) * np.linalg.det(rest)
    return out


def of_rank(rank, n=4, dtype=float, shape=()):
    left, right = rng.standard_normal((2, *shape, n, n))
    if dtype is complex:
        left, right = left + 1j * right, right - 1j * left
    return left[..., :rank] @ right[..., :rank, :]


# -- systems ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 1, 3, 3), (4, 3, 1))],
    ids=str,
)
def test_solve_by_every_rank(a, b):
    a = rng.standard_normal(a) + 3 * np.eye(3)
    b = rng.standard_normal(b)
    check_grads(np.linalg.solve, (a, b))


def test_solve_is_the_inverse():
    b = rng.standard_normal((3, 2))
    for a in (A, C):
        weights = rng.standard_normal((3, 2))
        f, g = (
            grad(lambda a, b: np.sum(weights * np.abs(solved(a, b)) ** 2))(a, b)
            for solved in (np.linalg.solve, lambda a, b: np.linalg.inv(a) @ b)
        )
        for x, y in zip(f, g):
            np.testing.assert_allclose(x, y, rtol=1e-9)


def test_a_complex_matrix_and_a_real_right_hand_side():
    b = rng.standard_normal(3)
    check_grads(lambda a, b: np.linalg.solve(a, b), (C, b))
    assert grad(lambda b: np.sum(np.abs(np.linalg.solve(C, b))))(b)[0].dtype == np.float64


def test_tensor_systems_are_systems():
    a, b = rng.standard_normal((2, 3, 6)), rng.standard_normal((2, 3))
    want = grad(lambda a: np.sum(np.linalg.solve(a, b.ravel()) ** 2))(a.reshape(6, 6))[0]
    got = grad(lambda a: np.sum(np.linalg.tensorsolve(a, b) ** 2))(a)[0]
    np.testing.assert_allclose(got, want.reshape(a.shape), rtol=1e-8)
    inverse = grad(lambda a: np.sum(np.linalg.tensorinv(a, ind=2) ** 2))(a)[0]
    want = grad(lambda a: np.sum(np.linalg.inv(a) ** 2))(a.reshape(6, 6))[0]
    np.testing.assert_allclose(inverse, want.reshape(a.shape), rtol=1e-8)
    moved = np.moveaxis(a, 2, 0)
    swapped = grad(lambda a: np.sum(np.linalg.tensorsolve(a, b, axes=(0,)) ** 2))(moved)[0]
    np.testing.assert_allclose(swapped, np.moveaxis(got, 2, 0))
    with pytest.raises(LinAlgError, match="tensorsolve"):
        grad(lambda a: np.sum(np.linalg.tensorsolve(a, b[0])))(a)


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 3)], ids=str)
def test_the_pseudo_inverse_of_full_rank(shape):
    a = rng.standard_normal(shape)
    tall = shape[0] >= shape[1]

    def formula(a):
        return np.linalg.inv(a.T @ a) @ a.T if tall else a.T @ np.linalg.inv(a @ a.T)

    weights = rng.standard_normal(shape[::-1])
    got, want = (grad(lambda a: np.sum(weights * f(a)))(a)[0] for f in (np.linalg.pinv, formula))
    np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9)


def test_the_pseudo_inverse_where_the_rank_is_kept():
    left, right = rng.standard_normal((4, 2)), rng.standard_normal((2, 3))
    check_grads(lambda l, r: np.linalg.pinv(l @ r, 1e-8), (left, right))
    check_grads(lambda l, r: np.linalg.pinv(l @ r, rtol=1e-8), (left + 1j, right * 1j))
    check_grads(lambda l: np.linalg.pinv(l @ l.T, 1e-8, hermitian=True), (left,))


def test_a_pseudo_inverse_for_each_tolerance():
    a = np.stack([np.diag([3.0, 1.0]), np.diag([3.0, 1.0])])
    got = grad(lambda a: np.sum(np.linalg.pinv(a, np.array([0.5, 0.1]))))(a)[0]
    np.testing.assert_allclose(got[0, 0, 0], -1 / 9)
    np.testing.assert_allclose(got[1], -np.outer([1 / 3, 1], [1 / 3, 1]))
    with pytest.raises(ValueError, match="both"):
        grad(lambda a: np.sum(np.linalg.pinv(a, 0.1, rtol=0.2)))(a)


@pytest.mark.parametrize(("rows", "columns"), [(5, 2), (2, 4), (3, 3)])
@pytest.mark.parametrize("vector", [True, False])
def test_least_squares(rows, columns, vector):
    a = rng.standard_normal((rows, columns))
    b = rng.standard_normal(rows if vector else (rows, 2))
    plain = np.linalg.lstsq(a, b)
    found = vjp(np.linalg.lstsq, a, b)[0]
    for x, y in zip(found, plain):
        assert np.shape(x) == np.shape(y)
        np.testing.assert_allclose(x, y, atol=1e-12)
    assert np.asarray(found[2]).dtype == np.asarray(plain[2]).dtype
    check_grads(lambda a, b: np.linalg.lstsq(a, b)[:2], (a, b))
    assert vmap(lambda b: np.linalg.lstsq(a, b)[0])(np.stack([b, b])).shape == (2, *plain[0].shape)


def test_least_squares_without_full_rank():
    left, right = rng.standard_normal((5, 2)), rng.standard_normal((2, 3))
    b = rng.standard_normal(5)
    x, residuals, rank, _ = vjp(lambda a: np.linalg.lstsq(a, b), left @ right)[0]
    np.testing.assert_allclose(x, np.linalg.lstsq(left @ right, b)[0])
    assert rank == 2 and residuals.shape == (0,)
    check_grads(lambda l, r: np.linalg.lstsq(l @ r, b)[0], (left, right))
    mixed = np.stack([left @ right, rng.standard_normal((5, 3))])
    with pytest.raises(ShapeError, match="full rank and some not"):
        vmap(lambda a: np.linalg.lstsq(a, b)[1])(mixed)


# -- powers and chains -----------------------------------------------------------------------------
@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 3, 6])
def test_powers(n):
    check_grads(lambda a: np.linalg.matrix_power(a, n), (STACK,), rtol=1e-5, atol=1e-5)
    value = vjp(lambda a: np.linalg.matrix_power(a, n), STACK)[0]
    np.testing.assert_allclose(value, np.linalg.matrix_power(STACK, n))
    rows = vmap(lambda a: np.linalg.matrix_power(a, n))(STACK)
    np.testing.assert_allclose(rows, value)


def test_a_power_that_is_no_integer():
    with pytest.raises(TypeError, match="integer"):
        grad(lambda a: np.sum(np.linalg.matrix_power(a, 0.5)))(A)


def test_chains_of_products():
    shapes = [(4,), (4, 2), (2, 5), (5, 3), (3,)]
    factors = tuple(rng.standard_normal(s) for s in shapes)
    for first, last in ((0, 5), (1, 5), (0, 4), (1, 4), (1, 3)):
        some = factors[first:last]
        f = lambda *xs: np.linalg.multi_dot(list(xs))
        np.testing.assert_allclose(vjp(f, *some)[0], np.linalg.multi_dot(some))
        check_grads(f, some)
    with pytest.raises(ShapeError, match=r"\(4, 2\) and \(3, 3\)"):
        grad(lambda x: np.sum(np.linalg.multi_dot([factors[1], x, A])))(A)
    with pytest.raises(ValueError, match="two arrays"):
        grad(lambda x: np.sum(np.linalg.multi_dot([x])))(A)


def test_a_chain_is_split_where_it_is_cheap():
    from pycograd.ops.linalg import _splits

    sizes = [30, 35, 15, 5, 10, 20, 25]  # Cormen et al., figure 15.5: ((A1 (A2 A3)) ((A4 A5) A6))
    splits = _splits([np.empty(s) for s in itertools.pairwise(sizes)])
    assert splits[0, 5] == 2 and splits[0, 2] == 0 and splits[3, 5] == 4


# -- determinants ----------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("rank", range(5))
def test_the_gradient_of_a_determinant_of_any_rank(rank, dtype):
    a = of_rank(rank, dtype=dtype)
    scale = np.linalg.norm(a) ** 3 + 1e-12
    pulled = vjp(np.linalg.det, a)[1](np.ones((), a.dtype))[0]
    np.testing.assert_allclose(np.conj(pulled) / scale, minors(a) / scale, atol=1e-13)
    check_grads(np.linalg.det, (a,), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rank", range(5))
def test_the_third_derivative_of_a_determinant(rank):
    a, v = of_rank(rank), rng.standard_normal((4, 4))

    def along(f):
        return lambda x: jvp(f, (x,), (v,))[1]

    t = np.arange(5) - 2.0
    coefficients = np.polyfit(t, [np.linalg.det(a + s * v) for s in t], 4)
    third = along(along(along(np.linalg.det)))(a)
    np.testing.assert_allclose(third, 6 * coefficients[1], atol=1e-10)
    reverse = grad(lambda x: along(along(np.linalg.det))(x))(a)[0]
    np.testing.assert_allclose(np.sum(reverse * v), 6 * coefficients[1], atol=1e-10)


def test_determinants_of_a_stack_of_all_ranks():
    stack = np.stack([of_rank(r) for r in (4, 3, 2, 1, 0)])
    got = grad(lambda x: np.sum(np.linalg.det(x)))(stack)[0]
    np.testing.assert_allclose(got, [minors(a) for a in stack], atol=1e-10)
    rows = vmap(lambda x: grad(np.linalg.det)(x)[0])(stack)
    np.testing.assert_allclose(rows, got, atol=1e-12)
    curvature = vmap(hessian(np.linalg.det))(stack)
    for a, h in zip(stack, curvature):
        np.testing.assert_allclose(h, hessian(np.linalg.det)(a), atol=1e-10)


def test_a_nearly_singular_determinant():
    u, _, v = np.linalg.svd(rng.standard_normal((5, 5)))
    for small in (1e-3, 1e-5, 1e-7, 1e-12):
        a = (u * np.array([2.0, 1.5, 1.0, small, small / 3])) @ v
        np.testing.assert_allclose(grad(np.linalg.det)(a)[0], minors(a), atol=1e-14)
        direction = rng.standard_normal((5, 5))
        second = jvp(lambda x: grad(np.linalg.det)(x)[0], (a,), (direction,))[1]
        step = 1e-3
        around = [minors(a + s * step * direction) for s in (-2, -1, 1, 2)]
        want = (8 * (around[2] - around[1]) - (around[3] - around[0])) / (12 * step)
        np.testing.assert_allclose(second, want, atol=1e-9)


def test_slogdet_is_the_logarithm():
    for a in (A, C):
        want = grad(lambda a: np.log(np.abs(np.linalg.det(a))))(a)[0]
        np.testing.assert_allclose(grad(lambda a: np.linalg.slogdet(a)[1])(a)[0], want)
    check_grads(lambda a: np.linalg.slogdet(a)[0] * np.exp(np.linalg.slogdet(a).logabsdet), (C,))
    with pytest.raises(LinAlgError, match="Singular"):
        grad(lambda a: np.linalg.slogdet(a).logabsdet)(np.ones((2, 2)))


# -- norms -----------------------------------------------------------------------------------------
VECTOR_ORDERS = [None, np.inf, -np.inf, 0, 1, -1, 2, -2, 3, 4, 2.5, 0.5, -0.7]
MATRIX_ORDERS = [None, "fro", "f", "nuc", np.inf, -np.inf, 1, -1, 2, -2]


@pytest.mark.parametrize("order", VECTOR_ORDERS)
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_norms_of_vectors(order, axis):
    x = rng.standard_normal(4 if axis is None else (3, 4))
    for keepdims in (False, True):
        f = lambda x: np.linalg.norm(x, order, axis, keepdims)
        np.testing.assert_allclose(vjp(f, x)[0], f(x), rtol=1e-14)
    check_grads(f, (x,), rtol=1e-5, atol=1e-5)
    check_grads(f, (x + 0.3j,), order=1)


@pytest.mark.parametrize("order", MATRIX_ORDERS)
@pytest.mark.parametrize("axis", [None, (0, 2), (2, 0), (-1, -2)], ids=str)
def test_norms_of_matrices(order, axis):
    x = rng.standard_normal((3, 2) if axis is None else (3, 2, 4))
    for keepdims in (False, True):
        f = lambda x: np.linalg.norm(x, order, axis, keepdims)
        np.testing.assert_allclose(vjp(f, x)[0], f(x), rtol=1e-13)
    check_grads(f, (x,), order=1)


@pytest.mark.parametrize("order", VECTOR_ORDERS)
def test_the_subgradient_of_a_norm_at_zero(order):
    for zero in (np.zeros(3), np.zeros(3, complex)):
        f = lambda x: np.linalg.norm(x, order)
        with np.errstate(divide="ignore"):
            assert not grad(f)(zero)[0].any()
            assert not jvp(f, (zero,), (np.ones_like(zero),))[1]


@pytest.mark.parametrize("order", MATRIX_ORDERS)
def test_the_subgradient_of_a_matrix_norm_at_zero(order):
    assert not grad(lambda x: np.linalg.norm(x, order))(np.zeros((3, 2)))[0].any()
    assert not grad(lambda x: np.linalg.norm(x, order))(np.zeros((2, 2), complex))[0].any()


def test_ties_of_norms_share():
    ties = np.array([2.0, -2.0, 1.0])
    np.testing.assert_allclose(grad(lambda x: np.linalg.norm(x, np.inf))(ties)[0], [0.5, -0.5, 0])
    twice = 3.0 * np.eye(2)
    np.testing.assert_allclose(grad(lambda x: np.linalg.norm(x, 2))(twice)[0], np.eye(2) / 2)
    np.testing.assert_allclose(grad(lambda x: np.linalg.norm(x, 1))(np.ones((2, 2)))[0], 0.5)


def test_the_hessian_of_a_norm_at_zero_entries():
    x = np.array([3.0, 0.0, -4.0])
    for f in (np.linalg.norm, lambda x: np.sqrt(np.sum(x * x))):
        want = np.eye(3) / 5 - np.outer(x, x) / 125
        np.testing.assert_allclose(hessian(f)(x), want, atol=1e-15)
    fourth = hessian(lambda x: np.linalg.norm(x, 4) ** 4)(x)
    np.testing.assert_allclose(fourth, np.diag(12 * x**2), atol=1e-12)
    assert not hessian(lambda x: np.linalg.norm(x, 3))(np.zeros(2)).any()


def test_norms_of_all_axes_and_their_errors():
    x = rng.standard_normal((2, 3, 2))
    np.testing.assert_allclose(grad(np.linalg.norm)(x)[0], x / np.linalg.norm(x))
    v = np.linalg.vector_norm
    for axis in (None, 1, (0, 2)):
        for order in (2, 1, 3):
            f = lambda x: v(x, axis=axis, ord=order, keepdims=True)
            np.testing.assert_allclose(vjp(f, x)[0], f(x))
            check_grads(f, (x,), order=1)
    np.testing.assert_allclose(
        grad(lambda x: np.sum(np.linalg.matrix_norm(x, ord="nuc")))(x)[0],
        grad(lambda x: np.sum(np.linalg.norm(x, "nuc", (1, 2))))(x)[0],
    )
    for order, axis, words in (
        ("fro", 0, "for vectors"),
        (3, (0, 1), "for matrices"),
        (2, (0, 1, 2), "Improper"),
        (2, (1, 1), "Duplicate"),
    ):
        with pytest.raises(ValueError, match=words):
            grad(lambda x: np.sum(np.linalg.norm(x, order, axis)))(x)


def test_integers_have_float_norms():
    rows = vmap(np.linalg.norm)(np.array([[3, 4], [6, 8]]))
    np.testing.assert_array_equal(rows, [5.0, 10.0])


@pytest.mark.parametrize("p", [None, 2, -2, "fro", "nuc", 1, -1, np.inf, -np.inf])
def test_condition_numbers(p):
    f = lambda a: np.linalg.cond(a, p)
    np.testing.assert_allclose(vjp(f, STACK)[0], f(STACK))
    check_grads(f, (STACK,), order=1, rtol=1e-5)
    if p == "nuc":
        return  # of a singular matrix that one is an error in NumPy
    singular = np.stack([A, np.diag([1.0, 2.0, 0.0])])
    value, gradient = value_and_grad(lambda a: np.sum(f(a)[:1]))(singular)
    assert np.isfinite(value) and not gradient[0][1].any()
    np.testing.assert_allclose(gradient[0][0], grad(f)(A)[0])
    assert vjp(f, singular)[0][1] == f(singular)[1]


def test_ranks_are_constants():
    def f(a):
        rank = np.linalg.matrix_rank(a)
        assert isinstance(rank, (int, np.integer))
        return np.sum(a) * rank

    np.testing.assert_allclose(grad(f)(of_rank(2))[0], 2.0)
    stack = np.stack([of_rank(r) for r in (0, 1, 3)])
    np.testing.assert_array_equal(vmap(np.linalg.matrix_rank)(stack), [0, 1, 3])
    for options in ({"tol": 0.5}, {"rtol": 0.5}, {"hermitian": True}):
        symmetric = stack + np.swapaxes(stack, 1, 2)
        rows = vmap(lambda a: np.linalg.matrix_rank(a, **options))(symmetric)
        np.testing.assert_array_equal(rows, np.linalg.matrix_rank(symmetric, **options))
    assert vmap(np.linalg.matrix_rank)(np.array([[0.0, 0.0], [0.0, 2.0]])).tolist() == [0, 1]


# -- what all share --------------------------------------------------------------------------------
SQUARE = ["inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh", "eig", "eigvals"]


@pytest.mark.parametrize("name", SQUARE)
def test_a_matrix_that_is_not_square(name):
    f = getattr(np.linalg, name)
    for run in (lambda f, x: vjp(f, x), lambda f, x: vmap(f)(x[None]), eval_shape):
        with pytest.raises(LinAlgError, match=rf"{name}.*\(2, 3\)"):
            run(f, np.ones((2, 3)))
    with pytest.raises(LinAlgError, match=rf"{name}.*two axes"):
        vjp(f, np.ones(2))


def test_numpys_own_errors_pass_through():
    with pytest.raises(LinAlgError, match="Singular matrix"):
        grad(lambda a: np.sum(np.linalg.inv(a)))(np.ones((2, 2)))
    with pytest.raises(LinAlgError, match="positive definite"):
        grad(lambda a: np.sum(np.linalg.cholesky(a)))(-np.eye(2))
    with pytest.raises(ShapeError, match=r"solve.*\(3, 3\) and \(2,\)"):
        grad(lambda a: np.sum(np.linalg.solve(a, np.ones(2))))(A)
    with pytest.raises(ShapeError, match=r"solve.*\(3, 3\) and \(2, 1\)"):
        vmap(lambda a: np.linalg.solve(a, np.ones((2, 1))))(STACK)
    with pytest.raises(LinAlgError, match="scalar"):
        grad(lambda a: np.sum(np.linalg.solve(a, 1.0)))(A)
    with pytest.raises(ValueError, match="UPLO"):
        grad(lambda a: np.sum(np.linalg.eigvalsh(a, "X")))(A)
    with pytest.raises(UnsupportedOperationError, match=r"'raw'.*'reduced'"):
        grad(lambda a: np.sum(np.linalg.qr(a, "raw")[0]))(A)


@pytest.mark.parametrize("name", [*SQUARE, "svd", "svdvals", "qr", "pinv"])
def test_half_precision_is_refused_as_by_numpy(name):
    f, x = getattr(np.linalg, name), np.eye(2, dtype=np.float16)
    with pytest.raises(TypeError, match="float16"):
        f(x)
    with pytest.raises(TypeError, match="float16"):
        vjp(f, x)
    with pytest.raises(TypeError, match="float16"):
        eval_shape(f, ShapeDtypeStruct((2, 2), "float16"))


@pytest.mark.parametrize("name", [*SQUARE, "svd", "svdvals", "qr", "pinv", "norm"])
def test_empty_matrices(name):
    f = getattr(np.linalg, name)

    def loss(x):
        out = f(x)
        return sum(np.sum(np.abs(y)) for y in (out if isinstance(out, tuple) else (out,)))

    for shape in ((0, 0), (0, 3, 3)):
        (g,) = grad(loss)(np.zeros(shape))
        assert g.shape == shape
    assert hessian(loss)(np.zeros((0, 0))).shape == (0, 0, 0, 0)


@pytest.mark.parametrize("name", ["eigh", "eig", "svd", "qr", "slogdet"])
def test_named_results(name):
    f = getattr(np.linalg, name)
    plain = f(A @ A.T)
    seen = []

    def run(a):
        seen.append(type(f(a)))
        return f(a)

    for out in (vjp(run, A @ A.T)[0], vmap(run)((A @ A.T)[None]), eval_shape(run, A @ A.T)):
        assert type(out) is type(plain) and out._fields == plain._fields
    assert set(seen) == {type(plain)}


def test_no_warning_without_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for f in (np.linalg.det, np.linalg.norm, np.linalg.cond):
            hessian(f)(A)
        hessian(lambda a: np.sum(np.linalg.eigvalsh(a) ** 3))(A @ A.T)
