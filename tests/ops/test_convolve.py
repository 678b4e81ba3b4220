"""Convolutions and correlations against NumPy, for every mode and every pair of lengths."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError, SymbolicSizeError
from pycograd.ops.convolve import convolve_of
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

RNG = np.random.default_rng(5)
A, V = RNG.normal(size=7) + 1j * RNG.normal(size=7), RNG.normal(size=7) + 1j * RNG.normal(size=7)


@pytest.mark.parametrize("function", [np.convolve, np.correlate])
@pytest.mark.parametrize("mode", ["full", "same", "valid", 0, 1, 2])
def test_every_pair_of_lengths(function, mode):
    f = lambda a, v: function(a, v, mode)
    for n in range(1, 8):
        for m in range(1, 8):
            for a, v in ((A[:n], V[:m]), (A[:n].real, V[:m].imag)):
                found, expected = vjp(f, a, v)[0], f(a, v)
                assert found.dtype == expected.dtype and found.shape == expected.shape
                np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
                rows = vmap(f)(np.stack([a, 2 * a]), np.stack([v, v[::-1]]))
                expected = [f(a, v), f(2 * a, v[::-1])]
                np.testing.assert_allclose(rows, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["?", "i", "B", "e", "f", "g"])
def test_dtypes(kind):
    a, v = np.array([3, 0, 2, 5]).astype(kind), np.array([1, 2]).astype(kind)
    for mode in ("full", "valid"):
        expected = np.convolve(a, v, mode)
        rows = vmap(lambda a: np.convolve(a, v, mode))(np.stack([a, a]))
        assert rows.dtype == expected.dtype
        np.testing.assert_array_equal(rows, [expected] * 2)
        assert eval_shape(lambda a: np.convolve(a, v, mode), a).dtype == expected.dtype


def test_many_rows_of_long_signals():
    a, v = RNG.normal(size=(2, 60)), RNG.normal(size=(2, 40))
    expected = [np.convolve(x, y, "same") for x, y in zip(a, v)]
    np.testing.assert_allclose(vmap(lambda x, y: np.convolve(x, y, "same"))(a, v), expected)
    rows = convolve_of(np.repeat(a, 50, 0), v[0], start=3, length=200)
    whole = np.append(np.convolve(a[0], v[0]), np.zeros(200))[3:203]
    np.testing.assert_allclose(rows[0], whole, atol=1e-12)


def test_the_derivative_is_a_correlation():
    a, v, ct = A.real, V.real[:3], RNG.normal(size=9)
    found = vjp(np.convolve, a, v)[1](ct)
    np.testing.assert_allclose(found[0], np.correlate(ct, v, "valid"))
    np.testing.assert_allclose(found[1], np.correlate(ct, a, "valid"))


def test_numbers_and_lists():
    assert grad(lambda x: np.convolve(x, 3.0)[0])(2.0) == (3.0,)
    np.testing.assert_array_equal(grad(lambda x: np.sum(np.convolve(x, [1, 2])))(np.ones(2))[0], 3)


def test_bad_signals():
    for f, error, words in (
        (lambda a: np.convolve(a, np.ones((2, 2))), ShapeError, r"v has shape \(2, 2\)"),
        (lambda a: np.correlate(a, 1.0), ShapeError, r"v has shape \(\)"),
        (lambda a: np.convolve(a, []), ValueError, "v cannot be empty"),
        (lambda a: np.convolve(a, a, "most"), ValueError, "most"),
    ):
        with pytest.raises(error, match=words):
            vjp(f, A)


def test_symbolic_sizes():
    b = ShapeDtypeStruct(("B",))
    assert str(eval_shape(lambda a: np.convolve(a, np.ones(3)), b)) == "f64[B + 2]"
    with pytest.raises(SymbolicSizeError, match="full"):
        eval_shape(lambda a: np.convolve(a, np.ones(3), "same"), b)
