"""Products of arrays against NumPy, PyTorch, and the loop that defines them."""

from __future__ import annotations

import gc
import tracemalloc
import warnings

import numpy as np
import pytest

from pycograd.core import modes
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import PlainBufferError, ShapeError
from pycograd.core.tape import Var
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

RANKS = [
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((4, 2, 3), (3, 5)),
    ((2, 3), (4, 3, 5)),
    ((3,), (4, 3, 2)),
    ((4, 2, 3), (3,)),
    ((4, 2, 3), (4, 3, 2)),
    ((4, 1, 2, 3), (5, 3, 2)),
    ((1, 2, 3), (4, 3, 2)),
    ((6, 1, 2, 3), (6, 5, 3, 4)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 4)),
    ((4, 0, 3), (3, 2)),
]


def normal(*shape, dtype=np.float64, seed=0):
    rng = np.random.default_rng([seed, *shape])
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def inner(a, b):
    return np.sum(np.real(np.conj(a) * b))


def check_adjoint(f, *xs):
    """The value is NumPy's, tangents are differences, cotangents the adjoint, with their dtypes."""
    expected = f(*xs)
    out, pullback = vjp(f, *xs)
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)
    assert np.shape(out) == np.shape(expected) and out.dtype == expected.dtype
    tangents = tuple(normal(*np.shape(x), dtype=x.dtype, seed=1) for x in xs)
    ct = normal(*np.shape(expected), dtype=expected.dtype, seed=2)
    moved = jvp(f, xs, tangents)[1]
    pulled = pullback(ct)
    for x, g in zip(xs, pulled):
        assert g.shape == x.shape and g.dtype == x.dtype
    assert inner(ct, moved) == pytest.approx(sum(inner(g, t) for g, t in zip(pulled, tangents)))
    h = 1e-5
    ahead, behind = (f(*[x + s * t for x, t in zip(xs, tangents)]) for s in (h, -h))
    np.testing.assert_allclose(moved, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-7)


# -- matmul ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("left, right", RANKS)
def test_matmul_of_every_rank(left, right, dtype):
    check_adjoint(np.matmul, normal(*left, dtype=dtype), normal(*right, dtype=dtype, seed=5))
    check_adjoint(np.matmul, normal(*left), normal(*right, dtype=dtype, seed=5))


@pytest.mark.parametrize("left, right", RANKS)
def test_matmul_gradients_are_torchs(left, right):
    torch = pytest.importorskip("torch")
    x, y = normal(*left), normal(*right, seed=5)
    found = grad(lambda x, y: np.sum(np.sin(x @ y)))(x, y)
    a, b = (torch.tensor(v, requires_grad=True) for v in (x, y))
    torch.sin(a @ b).sum().backward()
    np.testing.assert_allclose(found[0], a.grad.numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found[1], b.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("left, right", RANKS)
def test_the_fast_path_and_the_general_one_agree(left, right):
    x, y = normal(*left), normal(*right, seed=5)
    f = lambda x, y: np.sum(np.tanh(x @ y))
    fast = grad(f)(x, y)
    with modes.debug_nans():  # switches the fast path off
        general = grad(f)(x, y)
    a, b = Var(x), Var(y)
    f(a, b).backward()
    for by_fast, by_general, by_hand in zip(fast, general, (a.grad, b.grad)):
        np.testing.assert_array_equal(by_fast, by_general)
        np.testing.assert_array_equal(by_fast, by_hand)


def test_one_operand_constant_or_both_the_same():
    x, w = normal(4, 3), normal(3, 3, seed=1)
    ct = normal(4, 3, seed=2)
    np.testing.assert_allclose(vjp(lambda w: x @ w, w)[1](ct)[0], x.T @ ct)
    np.testing.assert_allclose(vjp(lambda x: x @ w, x)[1](ct)[0], ct @ w.T)
    np.testing.assert_allclose(vjp(lambda w: w @ w, w)[1](w)[0], w @ w.T + w.T @ w)
    np.testing.assert_allclose(vjp(lambda w: x.tolist() @ w, w)[1](ct)[0], x.T @ ct)


def test_mixed_precision_is_fitted():
    x, w = normal(4, 3, dtype=np.float32), normal(3, 2)
    out, pullback = vjp(np.matmul, x, w)
    assert out.dtype == np.float64
    gx, gw = pullback(np.ones((4, 2)))
    assert gx.dtype == np.float32 and gw.dtype == np.float64
    labels = np.eye(3, dtype=int)
    (g,) = grad(lambda x: np.sum(x @ labels))(x)
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, np.ones((4, 3)))


def test_gradient_of_shared_weights_needs_no_product_for_each_row():
    x, w = normal(40, 2, 100), normal(100, 100, seed=1)
    g = grad(lambda w: np.sum(np.sin(x @ w)))
    g(w)
    gc.collect()
    tracemalloc.start()
    g(w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * w.nbytes  # the products of all rows are 40 of them


@pytest.mark.parametrize("operation", [np.matmul, np.dot, np.inner, np.vdot])
def test_shape_errors_name_the_operation_and_the_shapes(operation):
    name = operation.__name__
    shapes = r"\(12,\) and \(30,\)" if name == "vdot" else r"\(3, 4\) and \(5, 6\)"
    x, y = np.ones((3, 4)), np.ones((5, 6))
    for arguments in ((x, y), (Var(x), y), (x, Var(y)), (Var(x), Var(y))):
        if any(isinstance(v, Var) for v in arguments):
            with pytest.raises(ShapeError, match=rf"{name}: incompatible shapes {shapes}"):
                operation(*arguments)
    with pytest.raises(ShapeError, match=rf"{name}: incompatible shapes {shapes}.*test_contract"):
        grad(lambda x: np.sum(operation(x, y)))(x)
    with pytest.raises(ShapeError, match=rf"{name}: incompatible shapes {shapes}"):
        eval_shape(operation, ShapeDtypeStruct((3, 4)), ShapeDtypeStruct((5, 6)))


def test_matmul_refuses_scalars():
    with pytest.raises(ShapeError, match="matmul"):
        grad(lambda x: np.sum(x @ 2.0))(np.ones(3))
    with pytest.raises(ShapeError, match="matmul"):
        eval_shape(np.matmul, ShapeDtypeStruct(()), ShapeDtypeStruct((3,)))


def test_symbolic_sizes_meet():
    a = eval_shape(np.matmul, ShapeDtypeStruct(("B", "K")), ShapeDtypeStruct((3, 2)))
    assert str(a) == "f64[B,2]"
    a = eval_shape(np.matmul, ShapeDtypeStruct(("B", "T", 3)), ShapeDtypeStruct(("B", 3, "T")))
    assert str(a) == "f64[B,T,T]"
    a = eval_shape(np.tensordot, ShapeDtypeStruct((5, "B", 3)), ShapeDtypeStruct(("B", 3, "N")))
    assert str(a) == "f64[5,N]"
    a = eval_shape(np.kron, ShapeDtypeStruct(("B", 3)), ShapeDtypeStruct((2, 4)))
    assert str(a) == "f64[2*B,12]"
    with pytest.raises(ShapeError, match="tensordot: incompatible shapes"):
        eval_shape(np.tensordot, ShapeDtypeStruct((5, "B", 3)), ShapeDtypeStruct(("B", 4, "N")))


# -- the functions over matmul ---------------------------------------------------------------------
PRODUCTS = [
    *[(np.dot, left, right) for left, right in RANKS],
    (np.dot, (), (2, 3)),
    (np.inner, (3,), (3,)),
    (np.inner, (2, 3), (3,)),
    (np.inner, (3,), (4, 2, 3)),
    (np.inner, (4, 3), (2, 3)),
    (np.inner, (4, 2, 3), (5, 2, 3)),
    (np.inner, (2, 3), ()),
    (np.vdot, (3,), (3,)),
    (np.vdot, (2, 3), (3, 2)),
    (np.outer, (2, 3), (4,)),
    (np.outer, (), (4,)),
    (np.linalg.outer, (3,), (4,)),
    (np.kron, (2, 3), (4, 5)),
    (np.kron, (2,), (4, 5)),
    (np.kron, (2, 3, 2), (3,)),
    (np.kron, (), (3,)),
    (np.tensordot, (2, 3, 4), (3, 4, 5)),
    (lambda a, b: np.tensordot(a, b, 1), (2, 3, 4), (4, 3)),
    (lambda a, b: np.tensordot(a, b, 0), (2, 3), (4,)),
    (lambda a, b: np.tensordot(a, b, ([0, 2], [2, 1])), (2, 3, 4), (5, 4, 2)),
    (lambda a, b: np.tensordot(a, b, (0, -1)), (2, 3, 4), (5, 4, 2)),
    (lambda a, b: np.tensordot(a, b, ((1,), (0,))), (2, 3), (3, 4)),
    (lambda a, b: np.tensordot(a, b, ([], [])), (2, 3), (3,)),
    (lambda a, b: np.linalg.tensordot(a, b, axes=([0, 1], [0, 1])), (2, 3), (2, 3)),
    (np.linalg.matmul, (2, 3), (3, 2)),
    (np.cross, (3,), (3,)),
    (np.cross, (4, 3), (3,)),
    (lambda a, b: np.cross(a, b, axisa=0, axisc=0), (3, 4), (4, 3)),
    (lambda a, b: np.cross(a, b, axis=0), (3, 4), (3, 4)),
    (lambda a, b: np.linalg.cross(a, b, axis=0), (3, 4), (3, 4)),
    (np.vecdot, (2, 3), (4, 1, 3)),
    (lambda a, b: np.linalg.vecdot(a, b, axis=0), (3, 2), (3, 2)),
]
if hasattr(np, "matvec"):
    PRODUCTS += [
        (np.matvec, (4, 2, 3), (4, 3)),
        (np.matvec, (2, 3), (4, 3)),
        (np.matvec, (2, 3), (3,)),
        (np.vecmat, (4, 3), (4, 3, 2)),
        (np.vecmat, (3,), (4, 3, 2)),
    ]


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("f, left, right", PRODUCTS)
def test_product(f, left, right, dtype):
    x, y = normal(*left, dtype=dtype), normal(*right, dtype=dtype, seed=5)
    check_adjoint(f, np.asarray(x), np.asarray(y))


@pytest.mark.parametrize("f, left, right", PRODUCTS)
def test_shape_of_a_product(f, left, right):
    expected = np.asarray(f(normal(*left, dtype=np.float32), normal(*right, dtype=np.float32)))
    aval = eval_shape(f, ShapeDtypeStruct(left, "f32"), ShapeDtypeStruct(right, "f32"))
    assert aval.shape == expected.shape and aval.dtype == expected.dtype == np.float32


@pytest.mark.parametrize("axes", [(0, 0), (-1, 0), (0, None), (None, -1)])
@pytest.mark.parametrize("f, left, right", PRODUCTS)
def test_vmap_of_a_product_is_a_loop(f, left, right, axes):
    operands = [
        normal(*shape, seed=5) if axis is None else np.moveaxis(normal(2, *shape, seed=5), 0, axis)
        for shape, axis in zip((left, right), axes)
    ]
    rows = [
        [x if axis is None else np.take(x, i, axis) for x, axis in zip(operands, axes)]
        for i in range(2)
    ]
    expected = np.stack([f(*row) for row in rows])
    np.testing.assert_allclose(vmap(f, axes)(*operands), expected, rtol=1e-12, atol=1e-12)


def test_products_with_plain_lists_and_numbers():
    x = normal(2, 3)
    for f, expected in (
        (lambda x: np.dot(x, [1.0, 2.0, 3.0]), [[1, 2, 3]] * 2),
        (lambda x: np.dot(2.0, x), np.full((2, 3), 2)),
        (lambda x: np.outer(x, 2.0), np.full((2, 3), 2)),
    ):
        np.testing.assert_allclose(grad(lambda x, f=f: np.sum(f(x)))(x)[0], expected)


def test_half_precisions_are_kept():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for dtype in (np.float16, ml_dtypes.bfloat16):
        x = np.ones((2, 2), dtype)
        for f in (np.dot, np.inner, np.matmul, np.tensordot, np.kron):
            out, pullback = vjp(f, x, x)
            assert out.dtype == f(x, x).dtype
            assert all(g.dtype == dtype for g in pullback(np.ones(out.shape, out.dtype)))


def test_a_cross_product_in_the_plane_is_what_numpy_has():
    x, y, z = normal(4, 2), normal(4, 2, seed=1), normal(4, 3, seed=2)
    if np.lib.NumpyVersion(np.__version__) >= "2.5.0":
        for f in (np.cross, lambda x, y: vjp(np.cross, x, y)):
            with pytest.raises(ValueError, match="2"):
                f(x, y)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        check_adjoint(np.cross, x, y)
        check_adjoint(np.cross, x, z)
        check_adjoint(np.cross, z, x)
    with pytest.warns(DeprecationWarning, match="2-dimensional vectors") as caught:
        vjp(lambda x: np.cross(x, y), x)
    assert caught[0].filename == __file__


def test_cross_refuses_other_lengths():
    with pytest.raises(ShapeError, match="length 4 and 3"):
        vjp(np.cross, normal(4), normal(3))
    with pytest.raises(ShapeError, match="takes 3-vectors"):
        vjp(np.linalg.cross, normal(2), normal(2))


def test_linalg_outer_refuses_matrices():
    with pytest.raises(ShapeError, match="takes vectors"):
        vjp(np.linalg.outer, np.ones((2, 2)), np.ones(2))


def test_tensordot_refuses_axes_that_do_not_pair():
    x = np.ones((2, 3))
    with pytest.raises(ShapeError, match="1 axes of a but 2 of b"):
        vjp(lambda a: np.tensordot(a, x, ([0], [0, 1])), x)
    with pytest.raises(ShapeError, match="axis 2 is out of bounds"):
        vjp(lambda a: np.tensordot(a, x, (2, 0)), x)
    with pytest.raises(ShapeError, match=r"tensordot: incompatible shapes \(2, 3\) and \(2, 3\)"):
        vjp(lambda a: np.tensordot(a, x, (0, 1)), x)


def test_vdot_and_vecdot_conjugate_their_first_argument():
    x, y = normal(3, dtype=complex), normal(3, dtype=complex, seed=1)
    for f in (np.vdot, np.vecdot):
        np.testing.assert_allclose(vjp(f, x, y)[0], np.sum(np.conj(x) * y))
        (g,) = grad(lambda x, f=f: np.real(f(x, x)))(x)  # the gradient of |x|^2
        np.testing.assert_allclose(g, 2 * x)


def test_linalg_names_take_the_last_two_axes():
    x = normal(2, 3, 3)
    for f in (
        np.linalg.trace,
        np.linalg.diagonal,
        np.linalg.matrix_transpose,
        lambda x: np.linalg.trace(x, offset=1),
        lambda x: np.linalg.diagonal(x, offset=-1),
    ):
        check_adjoint(f, x)


def test_out():
    x, y = normal(2, 3), normal(3, 4, seed=1)

    def written(x, y):
        out = np.zeros((2, 4), like=x)
        assert np.dot(x, y, out=out) is out
        return out * 2

    check_adjoint(lambda x, y: np.dot(x, y) * 2, x, y)
    np.testing.assert_allclose(vjp(written, x, y)[0], np.dot(x, y) * 2)
    for f in (np.dot, np.outer, np.matmul, np.einsum):
        arguments = ("ij,jk->ik",) if f is np.einsum else ()
        plain = np.zeros(np.shape(f(*arguments, x, y)))
        with pytest.raises(PlainBufferError):
            vjp(lambda x: f(*arguments, x, y, out=plain), x)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: np.vecdot(x, y, axis=0),
        lambda x, y: np.vecdot(x, y, axis=1, keepdims=True),
        lambda x, y: np.vecdot(x, y, axes=[(0,), (0,), ()]),
        lambda x, y: np.matmul(x, y, axes=[(1, 0), (0, 1), (0, 1)]),
        lambda x, y: np.matmul(x, y, axes=[(1, 0), (0, 1), (1, 0)]),
        lambda x, y: np.matmul(x, y.T, dtype=np.float64),
    ],
)
def test_keywords_of_generalised_ufuncs(f):
    check_adjoint(f, normal(3, 3), normal(3, 3, seed=1))
