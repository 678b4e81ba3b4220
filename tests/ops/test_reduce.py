"""Reductions against NumPy for every keyword, and against PyTorch and differences for gradients."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core import modes
from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import PlainBufferError, ShapeError, UnsupportedOperationError
from pycograd.testing.check import checks_of
from pycograd.testing.samples import Sample
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

X = np.random.default_rng(3).standard_normal((3, 2, 4))
MASK = np.random.default_rng(4).random((3, 2, 4)) > 0.4
AXES = [None, 0, -1, (0, 2), (-1, 1), ()]


def value_of(f, *xs):
    return vjp(f, *xs)[0]


def same(actual, expected):
    """Equal in type, shape, dtype and value."""
    assert type(actual) is type(expected)
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-6 if expected.itemsize < 8 else 1e-13)


def through_every_mode(f, *operands, **options):
    """All checks of the sample table but the name of the primitive."""
    sample = Sample("composite", f, operands, **options)
    for name, check in checks_of(sample):
        if name != "bound":
            check(sample)


# -- the value is NumPy's --------------------------------------------------------------------------
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("function", [np.sum, np.prod, np.max, np.min, np.amax, np.amin, np.ptp])
def test_axes(function, axis, keepdims):
    f = lambda x: function(x, axis=axis, keepdims=keepdims)
    same(value_of(f, X), f(X))


@pytest.mark.parametrize("function", [np.sum, np.prod, np.max, np.min])
@pytest.mark.parametrize("where", [True, MASK, MASK[:, :, :1], MASK[0, 0]])
@pytest.mark.parametrize("initial", [0.3, 3, np.float32(-2), np.float64(9)])
def test_where_and_initial(function, where, initial):
    f = lambda x: function(x, axis=1, where=where, initial=initial)
    same(value_of(f, X), f(X))
    same(value_of(f, X.astype(np.float32)), f(X.astype(np.float32)))


@pytest.mark.parametrize("function", [np.sum, np.prod])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble, np.complex64, int, bool])
def test_dtype(function, dtype):
    for x in (X * 3, (X * 3).astype(np.float32)):
        same(
            value_of(lambda x: function(x, axis=1, dtype=dtype), x),
            function(x, axis=1, dtype=dtype),
        )


@pytest.mark.parametrize(
    "kind", ["?", "b", "B", "h", "H", "i", "I", "q", "Q", "e", "f", "d", "g", "F", "D"]
)
@pytest.mark.parametrize("function", [np.sum, np.prod, np.max, np.min, np.any, np.all, np.argmax])
def test_result_dtypes_are_numpys(function, kind):
    x = np.ones((2, 3), kind)
    for axis in (None, 1):
        f = lambda x: function(x, axis=axis)
        assert eval_shape(f, x).dtype == f(x).dtype
        rows = vmap(f)(np.stack([x, x]))
        same(rows, np.stack([f(x), f(x)]))


@pytest.mark.parametrize("function", [np.any, np.all])
def test_any_and_all(function):
    for options in ({}, {"axis": 1}, {"axis": (0, 2), "keepdims": True}, {"where": MASK}):
        f = lambda x: function(x > 0, **options)
        rows = np.stack([X, -X, X * 0])
        same(vmap(f)(rows), np.stack([f(x) for x in rows]))


@pytest.mark.parametrize("function", [np.argmax, np.argmin])
@pytest.mark.parametrize("axis", [None, 0, -2])
@pytest.mark.parametrize("keepdims", [False, True])
def test_arg_extrema(function, axis, keepdims):
    f = lambda x: function(x, axis=axis, keepdims=keepdims)
    rows = np.stack([X, -X, X * 0])
    same(vmap(f)(rows), np.stack([f(x) for x in rows]))
    same(vmap(f, -1)(np.moveaxis(rows, 0, -1)), np.stack([f(x) for x in rows]))
    assert eval_shape(f, X).shape == f(X).shape


def test_count_nonzero():
    x = np.round(X)
    for options in ({}, {"axis": 0}, {"axis": (0, 1), "keepdims": True}):
        f = lambda x: np.count_nonzero(x, **options)
        np.testing.assert_array_equal(vmap(f)(np.stack([x, x * 0])), [f(x), f(x * 0)])


def test_sum_of_a_scalar():
    assert grad(lambda x: np.sum(x))(3.0) == (1.0,)
    assert grad(lambda x: np.sum(x, axis=0))(np.array(3.0))[0] == 1.0
    same(value_of(lambda x: np.sum(x, axis=-1), np.array(3.0)), np.float64(3.0))


# -- out -------------------------------------------------------------------------------------------
def test_out_into_a_differentiated_buffer():
    def f(x):
        total = np.zeros(3, like=x)
        assert np.sum(x, axis=(1, 2), out=total) is total
        return np.sum(total * total)

    np.testing.assert_allclose(
        grad(f)(X)[0], grad(lambda x: np.sum(np.sum(x, axis=(1, 2)) ** 2))(X)[0]
    )


def test_out_into_a_plain_array():
    plain = np.zeros((2, 4))
    with pytest.raises(PlainBufferError, match="like=x"):
        grad(lambda x: np.sum(np.max(x, axis=0, out=plain)))(X)
    found = np.zeros(3, np.intp)

    def f(x):
        np.argmax(x[:, 0], axis=1, out=found)  # constants go into plain arrays
        return np.sum(x)

    grad(f)(X)
    np.testing.assert_array_equal(found, np.argmax(X[:, 0], axis=1))


# -- derivatives -----------------------------------------------------------------------------------
@pytest.mark.parametrize("function", [np.sum, np.prod])
@pytest.mark.parametrize("where", [MASK, MASK[:, :, :1]])
def test_where_in_every_mode(function, where):
    through_every_mode(lambda x: function(x, axis=1, where=where, initial=1.5), X)


def test_a_mapped_mask():
    masks = np.stack([MASK, ~MASK, MASK | ~MASK])
    f = lambda x, mask: np.sum(x * x, where=mask)
    np.testing.assert_allclose(vmap(f, (None, 0))(X, masks), [f(X, m) for m in masks])
    found = vmap(grad(f, argnums=0), (None, 0))(X, masks)
    np.testing.assert_allclose(found, [2 * X * m for m in masks])


def test_masked_out_nans_do_not_reach_the_gradient():
    x = np.array([1.0, np.nan, -2.0, np.inf])
    mask = np.isfinite(x)
    np.testing.assert_array_equal(
        grad(lambda x: np.sum(x * x, where=mask))(np.where(mask, x, 7.0))[0], [2, 0, -4, 0]
    )
    np.testing.assert_array_equal(
        grad(lambda x: np.max(x, where=mask, initial=-9.0))(x)[0], [1, 0, 0, 0]
    )


@pytest.mark.parametrize("zeros", [(), (0,), (2,), (0, 3), (0, 1, 2, 3)])
def test_prod_with_zeros_against_the_definition(zeros):
    x = np.array([2.0, -3.0, 0.5, 4.0])
    x[list(zeros)] = 0
    others = [np.prod(np.delete(x, i)) for i in range(4)]
    np.testing.assert_allclose(grad(np.prod)(x)[0], others)
    # and the Hessian: products without two entries
    hessian = np.array(
        [[0.0 if i == j else np.prod(np.delete(x, [i, j])) for j in range(4)] for i in range(4)]
    )
    gradient = lambda x: grad(np.prod)(x)[0]
    pulled = vjp(gradient, x)[1]
    np.testing.assert_allclose([pulled(e)[0] for e in np.eye(4)], hessian, atol=1e-12)
    pushed = [jvp(gradient, (x,), (e,))[1] for e in np.eye(4)]
    np.testing.assert_allclose(pushed, hessian, atol=1e-12)


def test_third_derivative_of_prod_with_zeros():
    def third(x):
        first = lambda x: grad(np.prod)(x)[0][0]
        second = lambda x: grad(first)(x)[0][1]
        return grad(second)(x)[0]

    np.testing.assert_allclose(third(np.zeros(3)), [0, 0, 1])
    np.testing.assert_allclose(third(np.array([0.0, 2.0, 0.0, 5.0])), [0, 0, 5, 0])


def test_ties_share_equally_as_in_jax():
    jax = pytest.importorskip("jax")
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    for ours, theirs in ((np.max, jax.numpy.max), (np.min, jax.numpy.min)):
        found = grad(lambda x: np.sum(np.sin(ours(x, axis=1))))(x)[0]
        expected = jax.grad(lambda x: jax.numpy.sum(jax.numpy.sin(theirs(x, axis=1))))(x)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_ties_over_everything():
    np.testing.assert_array_equal(grad(np.max)(np.ones((2, 2)))[0], np.full((2, 2), 0.25))
    np.testing.assert_array_equal(grad(np.min)(np.zeros(3, np.float32))[0], np.float32([1 / 3] * 3))


def test_where_the_maximum_is_nan_the_nan_takes_the_gradient():
    x = np.array([1.0, np.nan, 3.0])
    np.testing.assert_array_equal(grad(np.max)(x)[0], [0, 1, 0])
    np.testing.assert_array_equal(jvp(np.max, (x,), (np.array([5.0, 7.0, 9.0]),))[1], 7)
    np.testing.assert_array_equal(grad(np.nanmax)(x)[0], [0, 0, 1])
    np.testing.assert_array_equal(grad(lambda x: np.nanmax(x))(x * np.nan)[0], [0, 0, 0])


@pytest.mark.parametrize("reduction", ["sum", "prod", "amax", "amin", "logsumexp"])
def test_gradients_are_torchs(reduction):
    torch = pytest.importorskip("torch")
    ours = np.logaddexp.reduce if reduction == "logsumexp" else getattr(np, reduction)
    found = grad(lambda x: np.sum(np.cos(ours(x, axis=1))))(X)[0]
    t = torch.tensor(X, requires_grad=True)
    torch.sum(torch.cos(getattr(torch, reduction)(t, dim=1))).backward()
    np.testing.assert_allclose(found, t.grad.numpy(), rtol=1e-12)


def test_complex_maximum_is_lexicographic():
    z = np.array([1 + 5j, 2 - 1j, 2 + 0j])
    assert value_of(np.max, z) == 2
    np.testing.assert_array_equal(grad(lambda z: np.real(np.max(z)))(z)[0], [0, 0, 1])


def test_the_sum_of_a_view_is_read_only_inside():
    # The cotangent of a sum may be one number seen many times; the caller gets memory of its own.
    g = grad(np.sum)(X)[0]
    g += 1
    np.testing.assert_array_equal(g, np.full(X.shape, 2.0))


def test_modes_that_watch_operations_see_sums():
    silent = np.errstate(invalid="ignore")
    with silent, modes.debug_nans(), pytest.raises(FloatingPointError, match="sum"):
        grad(lambda x: np.sum(x))(np.array([np.inf, -np.inf]))
    f = lambda x: np.sum(x) + _constant_sum(x)
    np.testing.assert_array_equal(grad(f)(np.ones(3))[0], np.ones(3))


def _constant_sum(x):
    with modes.no_grad():
        return np.sum(x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.complex64])
def test_cotangents_have_their_primals_dtype(dtype):
    for f in (np.sum, np.prod, np.max):
        out, pullback = vjp(lambda x: f(x, axis=1), X.astype(dtype))
        assert out.dtype == dtype and pullback(np.ones_like(out))[0].dtype == dtype


def test_a_cotangent_that_is_a_python_number():
    np.testing.assert_array_equal(vjp(np.sum, X)[1](1.0)[0], np.ones(X.shape))
    np.testing.assert_array_equal(vjp(np.prod, np.float64([2, 3]))[1](1.0)[0], [3, 2])
    np.testing.assert_array_equal(vjp(np.sum, X + 1j)[1](1j)[0], np.full(X.shape, 1j))


# -- shapes ----------------------------------------------------------------------------------------
def test_symbolic_shapes():
    x = ShapeDtypeStruct(("B", 3))
    assert str(eval_shape(np.sum, x)) == "f64[]"
    assert str(eval_shape(lambda x: np.sum(x, axis=1), x)) == "f64[B]"
    assert str(eval_shape(lambda x: np.max(x, axis=0, keepdims=True), x)) == "f64[1,3]"
    assert (
        str(eval_shape(lambda x: grad(lambda x: np.sum(np.prod(x, axis=0)))(x)[0], x)) == "f64[B,3]"
    )


def test_bad_input():
    with pytest.raises(ShapeError, match="sum: axis 3 is out of bounds"):
        grad(lambda x: np.sum(x, axis=3))(X)
    with pytest.raises(ShapeError, match="max"):
        grad(lambda x: np.sum(np.max(x, axis=(0, 0))))(X)
    with pytest.raises(ShapeError, match=r"max.*\(0, 3\)"):
        grad(lambda x: np.sum(np.max(x, axis=0)))(np.zeros((0, 3)))
    with pytest.raises(ShapeError, match="initial="):
        eval_shape(lambda x: np.max(x, axis=0), np.zeros((0, 3)))
    with pytest.raises(ShapeError, match="where="):
        grad(lambda x: np.sum(x, where=np.ones((2, 3, 2, 4), bool)))(X)
    with pytest.raises(ValueError, match="initial="):
        grad(lambda x: np.max(x, where=x > 0))(X)
    with pytest.raises(UnsupportedOperationError, match=r"divide\.reduce"):
        grad(lambda x: np.divide.reduce(x))(np.ones(3))
    with pytest.raises(ShapeError, match=r"test_reduce\.py"):
        grad(lambda x: np.sum(x, axis=3))(X)


def test_empty_arrays():
    x = np.zeros((0, 3))
    assert grad(np.sum)(x)[0].shape == (0, 3)
    assert grad(lambda x: np.sum(np.prod(x, axis=0)))(x)[0].shape == (0, 3)
    assert grad(lambda x: np.sum(np.max(x, axis=1)))(x)[0].shape == (0, 3)
    assert grad(lambda x: np.max(x, initial=2.0))(x)[0].shape == (0, 3)
