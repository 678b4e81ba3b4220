"""np.gradient and np.unwrap against NumPy, with every keyword."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ShapeError
from pycograd.testing.gradients import check_grads
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

RNG = np.random.default_rng(7)
F, AT = RNG.normal(size=(4, 5, 3)), np.array([0, 0.3, 1, 2.2, 2.9])
ANGLES = np.cumsum(RNG.uniform(-5, 5, (3, 9)), 1)


def same(f, *xs, rtol=1e-12):
    found, expected = vjp(f, *xs)[0], f(*xs)
    for x, y in zip(*[v if isinstance(v, tuple) else (v,) for v in (found, expected)], strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


# -- gradient --------------------------------------------------------------------------------------
@pytest.mark.parametrize("edge_order", [1, 2])
def test_spacings(edge_order):
    for spacings in ((), (2.0,), (0.5, AT, np.arange(3)), (np.float32(0.5), AT, 2)):
        f = lambda x, given=spacings: np.gradient(x, *given, edge_order=edge_order)
        same(f, F)
        same(f, F.astype(np.float32), rtol=1e-5)
        same(f, F + 1j * F[::-1])
        rows = np.stack([F, -F])
        for found, expected in zip(vmap(f)(rows), zip(f(F), f(-F)), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    for axis in (1, (1,), (2, 1), -1):
        same(lambda x, axis=axis: np.gradient(x, axis=axis, edge_order=edge_order), F)
    same(lambda x, c, h: np.gradient(x, c, h, axis=(1, 0), edge_order=edge_order), F, AT, 0.3)
    same(lambda c: np.gradient(np.arange(5) ** 2, c, edge_order=edge_order), AT)
    whole = np.round(3 * F).astype(np.uint8)
    for found, expected in zip(vmap(np.gradient)(whole), zip(*map(np.gradient, whole))):
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("edge_order", [1, 2])
def test_derivatives(edge_order):
    check_grads(
        lambda x, c, h: np.gradient(x, c, h, axis=(1, 0), edge_order=edge_order), (F, AT, 0.3)
    )
    # Also where the coordinates happen to be equally spaced.
    check_grads(lambda c: np.gradient(AT**2, c, edge_order=edge_order), (np.arange(5.0),))


def test_symbolic_sizes():
    x = ShapeDtypeStruct(("B", 3))
    assert str(eval_shape(lambda x: np.gradient(x, axis=0), x)) == "f64[B,3]"


def test_bad_arguments():
    for f, error, words in (
        (lambda x: np.gradient(x, axis=3), ShapeError, "axis 3"),
        (lambda x: np.gradient(x[:2], edge_order=2), ShapeError, "3 samples"),
        (lambda x: np.gradient(x, 1.0, 2.0), TypeError, "2 spacings for 3 axes"),
        (lambda x: np.gradient(x, AT, axis=0), ShapeError, "5 coordinates for axis 0"),
        (lambda x: np.gradient(x, edge_order=3), ValueError, "edge_order"),
        (lambda x: np.gradient(x, np.ones((2, 2)), axis=0), ValueError, "one axis"),
    ):
        with pytest.raises(error, match=words):
            vjp(f, F)


# -- unwrap ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "options",
    [{}, {"axis": 0}, {"discont": 4}, {"period": 3}, {"period": 4.5, "discont": 1}],
    ids=str,
)
def test_unwrap(options):
    f = lambda p: np.unwrap(p, **options)
    same(f, ANGLES)
    same(f, ANGLES.astype(np.float32), rtol=1e-5)
    rows = np.stack([ANGLES, ANGLES[::-1]])
    np.testing.assert_allclose(vmap(f)(rows), [f(ANGLES), f(ANGLES[::-1])], rtol=1e-12)
    weights = RNG.normal(size=ANGLES.shape)
    np.testing.assert_array_equal(grad(lambda p: np.sum(f(p) * weights))(ANGLES)[0], weights)


@pytest.mark.parametrize("period", [360, 255, 4])
def test_unwrap_of_integers(period):
    degrees = RNG.integers(0, 360, (3, 7))
    f = lambda p: np.unwrap(p, period=period)
    found, expected = vmap(f)(degrees), f(degrees)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_jumps_of_half_a_period():
    p = np.pi * np.array([0.0, 1, 2, 0, -1, -2])
    same(np.unwrap, p)
    found = grad(lambda p: np.sum(np.unwrap(p) * np.arange(6)))(p)[0]
    np.testing.assert_array_equal(found, np.arange(6))


def test_unwrap_in_its_period():
    f = lambda p, period: np.unwrap(p, period=period)
    same(f, ANGLES, 4.5)
    check_grads(f, (ANGLES, 4.5))
