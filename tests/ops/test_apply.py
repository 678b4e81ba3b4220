"""Functions applied to parts of a value, text, bits, trimming, and what has no rule."""

from __future__ import annotations

import io

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import (
    ControlFlowError,
    ConversionError,
    PlainBufferError,
    SymbolicSizeError,
    UnsupportedOperationError,
)
from pycograd.testing.gradients import check_grads
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

RNG = np.random.default_rng(10)
X = RNG.normal(size=(2, 3, 4))


def same(f, *xs):
    found, expected = vjp(f, *xs)[0], f(*xs)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# -- along axes ------------------------------------------------------------------------------------
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_apply_along_axis(axis):
    for function in (
        np.sum,
        np.sort,
        lambda v: 2 * v,
        lambda v: np.outer(v, v),
        lambda v: v[:2] @ v[:2],
    ):
        f = lambda x, g=function: np.apply_along_axis(g, axis, x)
        same(f, X)
        np.testing.assert_allclose(vmap(f)(np.stack([X, -X])), [f(X), f(-X)])
    f = lambda x: np.apply_along_axis(lambda v, a, b=0: a * v + b, axis, x, 2.0, b=3.0)
    same(f, X)
    check_grads(lambda x: np.apply_along_axis(lambda v: np.outer(v, v), axis, x), (X,))


def test_apply_over_axes():
    for function, axes in ((np.sum, [0, 2]), (np.sum, -1), (np.cumsum, (0, 1)), (np.max, [1])):
        same(lambda x, g=function, a=axes: np.apply_over_axes(g, x, a), X)
    with pytest.raises(ValueError, match="as many axes"):
        vjp(lambda x: np.apply_over_axes(lambda v, axis: np.sum(v), x, 0), X)


def test_number_of_calls_must_be_known():
    with pytest.raises(SymbolicSizeError, match="apply_along_axis"):
        eval_shape(lambda x: np.apply_along_axis(np.sum, 1, x), ShapeDtypeStruct(("B", 3)))
    with pytest.raises(ValueError, match="no lines"):
        vjp(lambda x: np.apply_along_axis(np.sum, 0, x), np.ones((3, 0)))


def test_ix():
    rows = np.array([[0, 2, 1], [1, 1, 0]])
    found = vmap(lambda x, i: x[np.ix_(i, [0, 3])])(X, rows)
    np.testing.assert_array_equal(found, [x[np.ix_(i, [0, 3])] for x, i in zip(X, rows)])
    same(lambda x: x[np.ix_([1, 0], [True, False, True], [])], X)
    with pytest.raises(ValueError, match="1 dimensional"):
        vmap(lambda i: np.ix_(i[None]))(rows)


# -- entry by entry --------------------------------------------------------------------------------
def test_frompyfunc():
    f = np.frompyfunc(lambda a, b: a * b if b > 0.5 else a + np.sin(b), 2, 1)
    b = np.array([0.2, 0.8, 0.3, 0.9])
    np.testing.assert_allclose(vjp(f, X, b)[0], f(X, b).astype(float))
    check_grads(lambda x, b: f(x, b).astype(float), (X, b))
    np.testing.assert_allclose(grad(lambda x: f(x, 3.0))(2.0)[0], 3.0)
    two = np.frompyfunc(lambda a: (a * a, a + 1), 1, 2)
    np.testing.assert_allclose(
        grad(lambda x: np.sum(two(x)[0] * two(x)[1]))(X)[0], 3 * X**2 + 2 * X
    )
    np.testing.assert_allclose(vmap(np.frompyfunc(np.sin, 1, 1))(X), np.sin(X))


def test_what_frompyfunc_has_not():
    f = np.frompyfunc(lambda a, b: a + b, 2, 1)
    with pytest.raises(PlainBufferError):
        vjp(lambda x: f(x, x, out=np.empty(X.shape, object)), X)
    with pytest.raises(UnsupportedOperationError, match="reduce"):
        vjp(f.reduce, X)
    with pytest.raises(ValueError, match="no entries"):
        vjp(lambda x: f(x, 1.0), np.ones(0))


def test_vectorize_says_what_to_write():
    for f in (
        np.vectorize(np.sin),
        np.vectorize(np.sum, signature="(n)->()"),
        np.vectorize(np.sin, otypes=[float]),
    ):
        with pytest.raises(ConversionError, match=r"vmap\(f\)\(x\)"):
            vjp(f, X)


# -- trimming --------------------------------------------------------------------------------------
def test_trim_zeros():
    line = np.array([0, 0, 1.0, 0, 2.0, 0])
    for ends in ("f", "b", "fb", "BF"):
        for x in (line, np.zeros(3), line[2:3], line[:0]):
            same(lambda x, ends=ends: np.trim_zeros(x, ends), x)
    np.testing.assert_array_equal(
        grad(lambda x: np.sum(np.trim_zeros(x)))(line)[0], [0, 0, 1, 1, 1, 0]
    )
    np.testing.assert_array_equal(vmap(np.trim_zeros)(np.stack([line, 2 * line]))[1], [2, 0, 4])
    with pytest.raises(ControlFlowError, match="trim_zeros"):
        vmap(np.trim_zeros)(np.stack([line, line[::-1]]))
    with pytest.raises(ValueError, match="trim must be"):
        vjp(lambda x: np.trim_zeros(x, "x"), line)


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.2.0", reason="one axis before 2.2")
def test_trim_zeros_of_several_axes():
    x = np.pad(X[0], ((1, 2), (0, 1)))
    for options in ({}, {"axis": 0}, {"axis": (1,)}, {"trim": "f"}):
        same(lambda x, o=options: np.trim_zeros(x, **o), x)


# -- text and bits ---------------------------------------------------------------------------------
def test_text_is_that_of_the_numbers():
    seen = []

    def f(x):
        seen.extend(
            [
                np.array_str(x, precision=2),
                np.array2string(x, separator=", ", sign="+"),
                np.array_repr(x),
            ]
        )
        return np.sum(x)

    x = X[0, 0]
    expected = [np.array_str(x, precision=2), np.array2string(x, separator=", ", sign="+")]
    expected.append(np.array_repr(x))
    grad(f)(x)
    grad(lambda x: np.sum(grad(f)(x)[0]))(x)
    assert seen == 2 * expected
    eval_shape(f, x)
    assert "f64[4]" in seen[-1]


def test_bits():
    bits, data = X > 0, RNG.integers(0, 255, (2, 3, 2)).astype(np.uint8)
    for axis in (None, 0, -1):
        f = lambda b, axis=axis: np.packbits(b, axis=axis)
        np.testing.assert_array_equal(vmap(f)(bits), [f(b) for b in bits])
        for count in (None, 3, -2, 20):
            f = lambda b, a=axis, n=count: np.unpackbits(b, axis=a, count=n, bitorder="little")
            np.testing.assert_array_equal(vmap(f)(data), [f(b) for b in data])
    np.testing.assert_array_equal(vmap(np.bitwise_count)(data), np.bitwise_count(data))
    for f in (np.packbits, np.unpackbits):
        with pytest.raises(TypeError, match="expected an array"):
            vjp(f, X)


# -- what has no rule ------------------------------------------------------------------------------
def test_words_for_what_has_no_rule():
    for f, words in (
        (lambda x: np.save(io.BytesIO(), x), "stop_gradient"),
        (lambda x: np.savetxt(io.StringIO(), x), "stop_gradient"),
        (lambda x: np.savez(io.BytesIO(), x=x), "stop_gradient"),
        (lambda x: np.isnat(x), "dates and times"),
        (lambda x: np.is_busday(x), "dates and times"),
        (lambda x: np.emath.sqrt(x), r"np\.sqrt\(x \+ 0j\)"),
        (lambda x: np.emath.logn(2, x), r"np\.log\(x \+ 0j\)"),
    ):
        with pytest.raises(UnsupportedOperationError, match=words):
            vjp(f, X[0])
