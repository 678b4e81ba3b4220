"""Keywords and methods of ufuncs on differentiated values, against NumPy on plain arrays."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.errors import PlainBufferError, ShapeError, UnsupportedOperationError
from pycograd.testing.check import checks_of
from pycograd.testing.samples import Sample
from pycograd.transforms.batch import vmap
from pycograd.transforms.derivatives import hessian
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

X = np.random.default_rng(3).standard_normal((3, 4))
Y = np.random.default_rng(4).uniform(0.5, 2.0, (3, 4))
MASK = np.random.default_rng(5).random((3, 4)) > 0.5


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


# -- dtype, casting, signature ---------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble, np.complex64])
@pytest.mark.parametrize("x", [X, X.astype(np.float32)])
def test_dtype_casts_the_operands(x, dtype):
    for f in (
        lambda x: np.multiply(x, 3, dtype=dtype),
        lambda x: np.add(x, Y, dtype=dtype),
        lambda x: np.sin(x, dtype=dtype, order="C", subok=True),
    ):
        same(value_of(f, x), f(x))
        out, pullback = vjp(f, x)
        assert pullback(np.ones_like(out))[0].dtype == x.dtype


def test_casting_and_signature():
    f = lambda x: np.add(x, 1, dtype=np.int64, casting="unsafe")
    same(vmap(f)(X * 5), f(X * 5))
    f = lambda x: np.multiply(x, Y, signature="ff->f")
    same(value_of(f, X), f(X))
    f = lambda x: np.multiply(x, Y, sig=(None, None, np.float32))
    same(value_of(f, X), f(X))
    with pytest.raises(TypeError):
        value_of(lambda x: np.add(x, 1, dtype=np.int64), X)
    with pytest.raises(TypeError):
        value_of(lambda x: np.add(x, X.astype(np.float32), casting="no"), X)


# -- out -------------------------------------------------------------------------------------------
def test_out_into_a_differentiated_buffer():
    def f(x, y):
        buffer = np.zeros((3, 4), like=x)
        first = np.multiply(x, y, out=buffer)
        assert first is buffer
        np.sin(buffer, out=buffer)
        np.add(buffer, x, buffer)
        return buffer

    expected = lambda x, y: np.sin(x * y) + x
    np.testing.assert_allclose(value_of(f, X, Y), expected(X, Y))
    for a, b in zip(*(grad(lambda x, y: np.sum(g(x, y) ** 2))(X, Y) for g in (f, expected))):
        np.testing.assert_allclose(a, b)


def test_several_results():
    def f(x):
        whole, part = np.zeros((3, 4), like=x), np.zeros((3, 4), like=x)
        np.modf(x, out=(part, whole))
        np.divmod(x, 0.7, whole, None)
        return whole + np.divmod(x, 0.7, out=(None, part))[0] + part

    expected = lambda x: 2 * np.floor_divide(x, 0.7) + np.remainder(x, 0.7)
    np.testing.assert_allclose(value_of(f, X), expected(X))
    np.testing.assert_allclose(grad(lambda x: np.sum(f(x)))(X)[0], np.ones((3, 4)))


def test_a_box_does_not_go_into_a_plain_array():
    plain, square = np.zeros((3, 4)), np.zeros((4, 4))

    def in_place(x):
        y = plain
        y += x
        return np.sum(y)

    for f in (
        lambda x: np.sin(x, out=plain),
        lambda x: np.add(x, 1, out=plain, where=MASK),
        in_place,
        lambda x: np.add.at(plain, [0], x),
        lambda x: np.add.outer(x[0], x[1], out=square),
    ):
        with pytest.raises(PlainBufferError, match=r"y = y \+ x.*like=x.*test_ufuncs.py"):
            grad(f)(X)
    assert not plain.any()
    y = np.zeros((3, 4), object)
    with pytest.raises(PlainBufferError):
        grad(lambda x: np.add(x, 1, out=y))(X)


def test_constants_go_into_plain_arrays():
    found = np.zeros((3, 4), bool)

    def f(x):
        np.greater(x, 0, out=found)
        np.less(x, -1, out=found, where=~found)
        return np.sum(x)

    grad(f)(X)
    np.testing.assert_array_equal(found, (X > 0) | (X < -1))


def test_casting_into_out():
    def f(x):
        narrow = np.zeros((3, 4), np.float32, like=x)
        np.multiply(x, 2, out=narrow)
        return narrow

    same(value_of(f, X), (X * 2).astype(np.float32))

    def g(x):
        counts = np.zeros((3, 4), np.int64, like=x)
        np.multiply(x, 2, out=counts)
        return np.sum(x)

    with pytest.raises(TypeError):
        grad(g)(X)

    def h(x):
        complex_ = np.zeros((3, 4), complex, like=x)
        np.multiply(x, 2, out=complex_)
        real = np.zeros((3, 4), like=x)
        np.multiply(complex_, 1j, out=real, casting="unsafe")
        return np.sum(x)

    grad(h)(X)


def test_a_result_is_broadcast_into_out():
    def f(x):
        wide = np.zeros((3, 4), like=x)
        np.exp(x[0], out=wide)
        np.add(wide, x[0], out=wide, where=MASK)
        return wide

    expected = lambda x: np.exp(x[0]) + np.where(MASK, x[0], 0)
    np.testing.assert_allclose(value_of(f, X), expected(X))
    np.testing.assert_allclose(
        grad(lambda x: np.sum(f(x)))(X)[0], grad(lambda x: np.sum(expected(x)))(X)[0]
    )
    with pytest.raises(ShapeError):
        value_of(lambda x: np.exp(x, out=np.zeros(4, like=x)), X)
    with pytest.raises(TypeError, match="safe"):
        value_of(lambda x: np.exp(x, out=np.zeros((3, 4), "f", like=x), casting="safe"), X)


def test_python_numbers_stay_weak_under_where():
    def f(x):
        return np.power(x, 2.5, out=np.zeros((3, 4), np.float32, like=x), where=MASK)

    same(
        value_of(f, Y.astype(np.float32)),
        np.where(MASK, Y.astype(np.float32) ** 2.5, np.float32(0)),
    )


# -- where -----------------------------------------------------------------------------------------
DOMAIN = {  # a point outside of the domain, at which the derivative is nan or infinite
    np.log: -1.0, np.sqrt: -1.0, np.arcsin: 2.0, np.arccosh: 0.3, np.arctanh: 2.0,
    np.reciprocal: 0.0, np.log1p: -3.0, np.cbrt: 0.0, np.tan: np.inf,
}  # fmt: skip


@pytest.mark.parametrize("ufunc", DOMAIN)
def test_entries_left_out_have_no_part_in_the_derivative(ufunc):
    inside = 1.5 if ufunc is np.arccosh else 0.4
    mask = np.array([True, False, True])
    x = np.where(mask, inside, DOMAIN[ufunc])

    def f(x):
        out = np.full(3, 7.0, like=x)
        return ufunc(x, out=out, where=mask)

    with np.errstate(all="raise"):
        out, pullback = vjp(f, x)
        (g,) = pullback(np.ones(3))
    np.testing.assert_allclose(out, np.where(mask, ufunc(inside), 7.0))
    np.testing.assert_allclose(g, np.where(mask, grad(ufunc)(np.array(inside))[0], 0))


def test_what_was_in_out_keeps_its_derivative():
    def f(x, y):
        out = y + 0 * x
        return np.divide(x, y, out=out, where=MASK)

    through_every_mode(f, X, Y, symbolic=False)
    same(value_of(f, X, Y), np.divide(X, Y, out=Y.copy(), where=MASK))


def test_a_mapped_mask():
    def f(x, mask):
        return np.exp(x, out=np.zeros(4, like=x), where=mask)

    np.testing.assert_allclose(vmap(f)(X, MASK), np.where(MASK, np.exp(X), 0))
    np.testing.assert_allclose(vmap(f, (None, 0))(X[0], MASK), np.where(MASK, np.exp(X[0]), 0))
    plain = np.zeros(4)
    with pytest.raises(PlainBufferError):
        vmap(lambda mask: np.exp(X[0], out=plain, where=mask))(MASK)


def test_where_without_out():
    with pytest.raises(UnsupportedOperationError, match=r"log.*uninitialised.*np\.where"):
        grad(lambda x: np.sum(np.log(x, where=MASK)))(Y)
    np.testing.assert_allclose(grad(lambda x: np.sum(np.log(x, where=True)))(Y)[0], 1 / Y)


# -- reduce, accumulate, outer ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "ufunc",
    [
        np.add,
        np.multiply,
        np.maximum,
        np.minimum,
        np.fmax,
        np.fmin,
        np.logaddexp,
        np.logaddexp2,
        np.hypot,
    ],
)
def test_reduce(ufunc):
    for options in ({}, {"axis": 1}, {"axis": None}, {"axis": (0, 1), "keepdims": True}):
        f = lambda x: ufunc.reduce(x, **options)
        same(value_of(f, X), f(X))
    for f in (
        lambda x: ufunc.reduce(x, 1, np.float32),
        lambda x: ufunc.reduce(x, 1, None, None, True),
        lambda x: ufunc.reduce(x, axis=1, initial=0.5),
        lambda x: ufunc.reduce(x, axis=1, initial=0.5, where=MASK),
    ):
        same(value_of(f, X), f(X))
    through_every_mode(ufunc.reduce, X, complex=ufunc in (np.add, np.multiply))


@pytest.mark.parametrize(
    "ufunc",
    [
        np.logical_and,
        np.logical_or,
        np.logical_xor,
        np.bitwise_and,
        np.bitwise_or,
        np.bitwise_xor,
        np.gcd,
        np.lcm,
    ],
)
def test_reduce_of_integers(ufunc, rng):
    rows = rng.integers(0, 9, (3, 4, 5))
    for options in ({}, {"axis": 1}, {"where": rows[0] > 3, "initial": 1}):
        f = lambda x: ufunc.reduce(x, **options)
        np.testing.assert_array_equal(vmap(f)(rows), np.stack([f(x) for x in rows]))
        assert vmap(f)(rows).dtype == f(rows[0]).dtype
    for kind in "?BhQ":
        f = lambda x: ufunc.reduce(x, where=x > 0, initial=1)
        if kind == "?" and ufunc in (np.gcd, np.lcm):
            continue
        x = rows[0].astype(kind)
        same(eval_shape(f, x).dtype.type(0), f(x).dtype.type(0))


def test_out_of_methods():
    def f(x):
        total, running = np.zeros(4, like=x), np.zeros((3, 4), like=x)
        np.add.reduce(x, out=total)
        np.add.accumulate(x, out=running)
        return np.sum(total * running)

    expected = lambda x: np.sum(np.sum(x, 0) * np.cumsum(x, 0))
    np.testing.assert_allclose(grad(f)(X)[0], grad(expected)(X)[0])


@pytest.mark.parametrize(
    "ufunc", [np.add, np.multiply, np.subtract, np.maximum, np.arctan2, np.power]
)
def test_outer(ufunc):
    f = lambda x, y: ufunc.outer(x, y)
    a, b = Y[:, :2], Y[0] + 1.3
    same(value_of(f, a, b), f(a, b))
    through_every_mode(f, a, b, complex=False)
    same(value_of(lambda x: f(x, 2.0), a), f(a, 2.0))
    same(value_of(lambda x: ufunc.outer([1, 2], x), a), f([1, 2], a))
    same(
        value_of(lambda x: ufunc.outer(x, b, dtype=np.float32), a), f(a.astype("f"), b.astype("f"))
    )


# -- at --------------------------------------------------------------------------------------------
INDICES = [
    [0, 2, 0],
    np.array([1, 1, 1]),
    slice(0, 3),
    (slice(None), 1),
    ([0, 1, 0], [2, 3, 2]),
    MASK,
    1,
    ...,
    [],
]


@pytest.mark.parametrize(
    "ufunc", [np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum]
)
@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_at(ufunc, index):
    b = 0.7 + 0.1 * np.arange(X[index].size).reshape(X[index].shape)

    def f(x, b):
        y = x + 0 * np.sum(b)  # a box if either is
        assert ufunc.at(y, index, b) is None
        return y

    same(value_of(f, X, b), f(X, b))
    through_every_mode(f, X, b, symbolic=False, complex=ufunc not in (np.maximum, np.minimum))
    same(value_of(lambda x: f(x, np.float64(0.5)), X), f(X, np.float64(0.5)))


@pytest.mark.parametrize("ufunc", [np.negative, np.square, np.exp])
def test_unary_at_acts_once_for_each_time_an_entry_is_named(ufunc):
    def f(x):
        y = np.copy(x)
        ufunc.at(y, [0, 2, 0])
        return y

    same(value_of(f, X), f(X))
    through_every_mode(f, X / 4, symbolic=False)


def test_at_through_a_view():
    def f(x):
        y = np.copy(x)
        np.multiply.at(y[1], [0, 0, 3], x[0, 0])
        np.add.at(y.T, (0, slice(None)), 1.0)
        return y

    same(value_of(f, X), f(X))
    through_every_mode(f, X, symbolic=False)


def test_add_at_with_mapped_indices(rng):
    indices = rng.integers(0, 4, (3, 6))
    values = rng.standard_normal((3, 6))

    def f(i, v):
        counts = np.zeros(4, like=v)
        np.add.at(counts, i, v)
        np.subtract.at(counts, i, 2 * v)
        return counts

    expected = np.stack([-np.bincount(i, v, 4) for i, v in zip(indices, values)])
    np.testing.assert_allclose(vmap(f)(indices, values), expected)
    with pytest.raises(UnsupportedOperationError, match=r"multiply\.at"):
        vmap(lambda x, i: np.multiply.at(x, i, 2.0))(X, indices % 3)


def test_at_that_cannot_be():
    with pytest.raises(TypeError, match=r"add\.at"):
        vmap(lambda n: np.add.at(n, 0, 0.5))(np.arange(6).reshape(2, 3))
    with pytest.raises(IndexError):
        grad(lambda x: np.multiply.at(x, [9], 2.0))(X)


# -- reduceat --------------------------------------------------------------------------------------
@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.maximum, np.minimum])
@pytest.mark.parametrize("starts", [[0, 3, 5], [0, 1, 2, 3], [4, 2, 2, 0], [3], [0, 3, 3, 1, 5]])
def test_reduceat(ufunc, starts, rng):
    x = rng.permutation(24).reshape(6, 4) * 0.3 - 3.1
    for f in (
        lambda x: ufunc.reduceat(x, starts),
        lambda x: ufunc.reduceat(x.T, np.array(starts), axis=1),
        lambda x: ufunc.reduceat(x, starts, dtype=np.float32),
    ):
        same(value_of(f, x), f(x))
    through_every_mode(
        lambda x: ufunc.reduceat(x, starts), x, symbolic=False, complex=ufunc is np.add
    )


def test_reduceat_of_nothing_and_of_bad_indices():
    same(
        value_of(lambda x: np.add.reduceat(x, np.array([], int)), X),
        np.add.reduceat(X, np.array([], int)),
    )
    with pytest.raises(ShapeError, match="reduceat"):
        value_of(lambda x: np.add.reduceat(x, [0, 3]), X)
    with pytest.raises(UnsupportedOperationError, match="reduceat"):
        value_of(lambda x: np.divide.reduceat(x, [0, 1]), X)
    with pytest.raises(UnsupportedOperationError, match="segments"):
        vmap(lambda i: np.add.reduceat(np.ones(5), i))(np.array([[0, 1], [0, 2]]))


# -- generalised ufuncs ----------------------------------------------------------------------------
def test_axes_of_matmul(rng):
    f = lambda a, b: np.matmul(a, b, axes=[(0, 2), (0, 1), (1, 0)])
    a = rng.standard_normal((3, 2, 5))
    b = rng.standard_normal((5, 4, 2))
    same(value_of(f, a, b), f(a, b))
    through_every_mode(f, a, b)
    f = lambda a, b: np.vecdot(a, b, axis=0)
    same(value_of(f, a, a * 2), f(a, a * 2))
    f = lambda a, b: np.vecdot(a, b, axis=1, keepdims=True)
    same(value_of(f, a, a * 2), f(a, a * 2))


def test_ufuncs_without_a_rule():
    count = np.zeros(X.shape, bool)
    for f in (np.isnat, lambda x: np.isnat(x, out=count), lambda x: np.strings.isalpha(x)):
        with pytest.raises(UnsupportedOperationError):
            grad(f)(X)
    with pytest.raises(UnsupportedOperationError, match="has no rule"):
        grad(np.strings.isalpha)(X)
    with pytest.raises(UnsupportedOperationError, match="has no rule"):
        grad(lambda x: np.strings.isalpha(x, out=count))(X)


# -- what does not fit into out= -----------------------------------------------------------------
def test_out_of_another_shape_or_dtype_is_named():
    with pytest.raises(ShapeError, match=r"^np.add: .* \(3,\) does not fit into out= .* \(2,\)"):
        grad(lambda x: np.sum(np.add(x, 1, out=np.zeros(2, like=x))))(np.ones(3))
    with pytest.raises(TypeError, match=r"^np.add: cannot write a float64 .* int64 .*ufuncs.py"):
        grad(lambda x: np.sum(np.add(x, 1, out=np.zeros(3, int, like=x))))(np.ones(3))
    wide = lambda x: np.sum(np.add(x, 1, out=np.zeros((2, 3), like=x)))
    assert np.array_equal(grad(wide)(np.ones(3))[0], [2, 2, 2])


# -- Python numbers in outer, and the method clip of plain arrays --------------------------------
@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.multiply.outer(x, 2.0),
        lambda x: np.add.outer(2, x),
        lambda x: np.add.outer([1, 2], x),
    ],
)
def test_outer_makes_arrays_of_python_numbers(f):
    x = np.ones(2, np.float32)
    want = f(x)
    same(value_of(f, x), want)
    same(jvp(f, (x,), (x,))[0], want)
    same(vmap(f)(x[None])[0], want)
    assert eval_shape(f, x).dtype == want.dtype
    assert vjp(f, x)[1](np.ones_like(want))[0].dtype == np.float32


def test_clip_has_the_dtype_of_all_three_together():
    for dtype in ("?", "i1", "u1", "i8", "f2"):
        x = np.array([[0, 1, 2]], dtype)
        for low, high in ((0, np.int8(1)), (None, np.int8(1)), (0, np.uint16(1)), (0, 1), (0, 1.5)):
            f = lambda x, low=low, high=high: np.clip(x, low, high)
            found = vmap(f)(x)
            assert found.dtype == f(x).dtype
            np.testing.assert_array_equal(found, f(x))


def test_the_method_clip_of_a_plain_array_with_bounds_to_differentiate():
    a = np.array([0.5, 1.5, 2.5, 9.0])
    through_every_mode(lambda low, high: a.clip(low, high), np.array(1.0), np.full(4, 3.0))
    through_every_mode(lambda low: a.clip(low), np.array(1.0))
    through_every_mode(lambda x: a.clip(x, 2.0, out=None), np.full(4, 1.0))


def test_the_second_derivative_of_hypot_is_zero_at_zero():
    for f in (lambda x: np.hypot(x[0], x[1]), np.hypot.reduce, np.linalg.norm):
        assert np.array_equal(hessian(f)(np.zeros(2)), np.zeros((2, 2)))
        assert np.array_equal(grad(f)(np.zeros(2))[0], np.zeros(2))
