"""Running sums, products and extrema against NumPy, PyTorch, and the loops that define them."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import PlainBufferError, ShapeError, UnsupportedOperationError
from pycograd.ops.cumulative import recurrence
from pycograd.testing.check import checks_of
from pycograd.testing.samples import Sample
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

X = np.random.default_rng(3).standard_normal((3, 4))


def same(actual, expected):
    """Equal in type, shape, dtype and value."""
    assert type(actual) is type(expected)
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-6 if expected.itemsize < 8 else 1e-13)


def value_of(f, *xs):
    return vjp(f, *xs)[0]


def through_every_mode(f, *operands, **options):
    """All checks of the sample table but the name of the primitive."""
    sample = Sample("composite", f, operands, **options)
    for name, check in checks_of(sample):
        if name != "bound":
            check(sample)


def jacobian(f, x):
    """Row i: the gradient of output i."""
    out, pullback = vjp(f, x)
    return np.array([pullback(e)[0] for e in np.eye(out.size)])


# -- values ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("function", [np.cumsum, np.cumprod, np.nancumsum, np.nancumprod])
@pytest.mark.parametrize("axis", [None, 0, 1, -2])
@pytest.mark.parametrize("dtype", [None, np.float32, np.complex128, int])
def test_keywords(function, axis, dtype):
    f = lambda x: function(x, axis=axis, dtype=dtype)
    same(value_of(f, X * 3), f(X * 3))


@pytest.mark.parametrize("kind", ["?", "b", "H", "i", "q", "Q", "e", "f", "d", "g", "F", "D"])
@pytest.mark.parametrize("function", [np.cumsum, np.cumprod, np.maximum.accumulate])
def test_result_dtypes_are_numpys(function, kind):
    x = np.ones((2, 3), kind)
    f = lambda x: function(x, axis=1)
    assert eval_shape(f, x).dtype == f(x).dtype
    same(vmap(f)(np.stack([x, x])), np.stack([f(x), f(x)]))


@pytest.mark.parametrize(
    "ufunc",
    [np.add, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp, np.logaddexp2],
)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_accumulate(ufunc, axis):
    f = lambda x: ufunc.accumulate(x, axis)
    same(value_of(f, X), f(X))
    rows = np.stack([X, -X, X * 0])
    same(vmap(f, -1)(np.moveaxis(rows, 0, -1)), np.stack([f(x) for x in rows]))


def test_nans_are_passed_on_or_over():
    x = np.array([np.nan, 1.0, 0.5, np.nan, 2.0, 1.0])
    for ufunc in (np.maximum, np.minimum, np.fmax, np.fmin):
        for v in (x, x[1:], x[::-1]):
            np.testing.assert_array_equal(value_of(ufunc.accumulate, v), ufunc.accumulate(v))
    np.testing.assert_array_equal(value_of(np.nancumsum, x), np.nancumsum(x))
    np.testing.assert_array_equal(grad(lambda x: np.nancumprod(x)[-1])(x)[0], [0, 1, 2, 0, 0.5, 1])


@pytest.mark.skipif(not hasattr(np, "cumulative_sum"), reason="NumPy 2.1 has them")
@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
def test_the_array_apis_forms(name):
    for options in ({}, {"include_initial": True}, {"dtype": np.float32, "include_initial": True}):
        function = getattr(np, name)
        same(value_of(lambda x: function(x, **options), X[0]), function(X[0], **options))
        f = lambda x: function(x, axis=0, **options)
        same(value_of(f, X), f(X))
        assert eval_shape(f, X).shape == f(X).shape
    with pytest.raises(ShapeError, match=name):
        value_of(getattr(np, name), X)


# -- derivatives -----------------------------------------------------------------------------------
def slopes_of_cumprod(x):
    """d cumprod(x)[k] / dx[i], from the definition."""
    n = len(x)
    return np.array(
        [[np.prod(np.delete(x[: k + 1], i)) if i <= k else 0.0 for i in range(n)] for k in range(n)]
    )


@pytest.mark.parametrize("zeros", [(), (0,), (1,), (3,), (0, 2), (1, 3), (0, 1, 2, 3, 4)])
def test_cumprod_with_zeros_against_the_definition(zeros):
    x = np.array([2.0, -3.0, 0.5, 4.0, 1.5])
    x[list(zeros)] = 0
    np.testing.assert_allclose(jacobian(np.cumprod, x), slopes_of_cumprod(x))
    columns = [jvp(np.cumprod, (x,), (e,))[1] for e in np.eye(5)]
    np.testing.assert_allclose(np.array(columns).T, slopes_of_cumprod(x))


def test_the_hessian_of_cumprod_at_zero():
    f = lambda x: np.cumprod(x)[2]  # x0 x1 x2
    hessian = jacobian(lambda x: grad(f)(x)[0], np.array([0.0, 2.0, 0.0]))
    np.testing.assert_allclose(hessian, [[0, 0, 2], [0, 0, 0], [2, 0, 0]])


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"])
def test_gradients_are_torchs(name):
    torch = pytest.importorskip("torch")
    ours = {
        "cumsum": np.cumsum,
        "cumprod": np.cumprod,
        "logcumsumexp": np.logaddexp.accumulate,
        "cummax": np.maximum.accumulate,
        "cummin": np.minimum.accumulate,
    }[name]
    found = grad(lambda x: np.sum(np.cos(ours(x, axis=1))))(X)[0]
    t = torch.tensor(X, requires_grad=True)
    out = getattr(torch, name)(t, dim=1)
    torch.sum(torch.cos(out if torch.is_tensor(out) else out.values)).backward()
    np.testing.assert_allclose(found, t.grad.numpy(), rtol=1e-12)


def test_of_equal_entries_the_first_takes_the_gradient():
    x = np.array([1.0, 2.0, 2.0, 0.0, 3.0])
    np.testing.assert_array_equal(
        grad(lambda x: np.sum(np.maximum.accumulate(x)))(x)[0], [1, 3, 0, 0, 1]
    )


def test_accumulating_infinities():
    x = np.array([-np.inf, -np.inf, 0.0, -np.inf, 1.0])
    f = lambda x: np.logaddexp.accumulate(x)[-1]
    np.testing.assert_allclose(grad(f)(x)[0], np.exp(x - np.logaddexp.reduce(x)))


@pytest.mark.parametrize("shape", [(6,), (4, 3), (3, 30)])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_recurrence_is_its_loop(shape, reverse, dtype, rng):
    a, b = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    expected, last = np.empty_like(b), 0
    for k in range(shape[0])[:: -1 if reverse else 1]:
        expected[k] = last = a[k] * last + b[k]
    found = recurrence(a, b, axis=0, reverse=reverse)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)


# -- differences and integrals ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n": 0},
        {"n": 2, "axis": 0},
        {"n": 3},
        {"axis": 0, "prepend": 1.0},
        {"axis": 1, "append": np.ones((3, 2)), "prepend": 2},
    ],
)
def test_diff(options):
    f = lambda x: np.diff(x, **options)
    same(value_of(f, X), f(X))
    through_every_mode(f, X, symbolic=np.ndim(options.get("append", 0)) == 0)


def test_diff_of_booleans_and_of_ends():
    bits = np.stack([X > 0, X > 1])
    same(vmap(np.diff)(bits), np.diff(bits))
    f = lambda x, end: np.diff(x, append=end)
    through_every_mode(f, X, np.array(0.5))
    with pytest.raises(ValueError, match="diff"):
        value_of(lambda x: np.diff(x, n=-1), X)
    with pytest.raises(ShapeError, match="diff"):
        value_of(np.diff, 1.0)


@pytest.mark.parametrize("ends", [{}, {"to_begin": 5.0}, {"to_end": [1.0, 2.0], "to_begin": [3.0]}])
def test_ediff1d(ends):
    f = lambda x: np.ediff1d(x, **ends)
    same(value_of(f, X), f(X))
    through_every_mode(f, X)


def test_ediff1d_refuses_what_numpy_refuses():
    with pytest.raises(TypeError, match="to_end"):
        value_of(lambda x: np.ediff1d(x, to_end=1j), X)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dx": 0.5, "axis": 0},
        {"x": np.arange(4.0) ** 2},
        {"x": np.arange(3.0) ** 2, "axis": 0},
        {"x": np.cumsum(np.ones((3, 4)), axis=1)},
    ],
)
def test_trapezoid(options):
    f = lambda y: np.trapezoid(y, **options)
    same(value_of(f, X), f(X))
    through_every_mode(f, X)


def test_trapezoid_in_its_points():
    through_every_mode(lambda y, x: np.trapezoid(y, x, axis=0), X, np.array([0.0, 1.0, 4.0]))


# -- shapes, dtypes, errors ------------------------------------------------------------------------
def test_symbolic_shapes():
    x = ShapeDtypeStruct(("B", 3))
    assert str(eval_shape(lambda x: np.cumprod(x, axis=0), x)) == "f64[B,3]"
    assert str(eval_shape(np.cumsum, x)) == "f64[3*B]"
    assert str(eval_shape(lambda x: np.diff(x, axis=0), x)) == "f64[B + -1,3]"
    assert (
        str(eval_shape(lambda x: grad(lambda x: np.sum(np.cumprod(x, 0)))(x)[0], x)) == "f64[B,3]"
    )


def test_empty_and_long_arrays():
    for f in (np.cumsum, np.cumprod, np.logaddexp.accumulate, np.maximum.accumulate):
        assert grad(lambda x: np.sum(f(x, axis=0)))(np.zeros((0, 3)))[0].shape == (0, 3)
        assert grad(lambda x: np.sum(f(x, axis=1)))(np.zeros((0, 3)))[0].shape == (0, 3)
    x = np.full(20_000, 1.0)
    np.testing.assert_allclose(
        grad(lambda x: np.sum(np.cumprod(x)))(x)[0], np.arange(20_000.0, 0, -1)
    )


def test_out_and_bad_input():
    def f(x):
        y = np.zeros((3, 4), like=x)
        np.cumsum(x, axis=1, out=y)
        return np.sum(y * y)

    np.testing.assert_allclose(grad(f)(X)[0], grad(lambda x: np.sum(np.cumsum(x, 1) ** 2))(X)[0])
    plain = np.zeros(12)
    with pytest.raises(PlainBufferError):
        grad(lambda x: np.sum(np.cumsum(x, out=plain)))(X)
    with pytest.raises(ShapeError, match=r"add\.accumulate: axis 2"):
        grad(lambda x: np.sum(np.cumsum(x, axis=2)))(X)
    with pytest.raises(UnsupportedOperationError, match=r"divide\.accumulate"):
        grad(lambda x: np.sum(np.divide.accumulate(x)))(X)
