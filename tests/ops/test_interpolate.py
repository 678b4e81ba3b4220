"""np.interp against NumPy: at knots and beyond them, with every keyword, and its derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.errors import ShapeError
from pycograd.testing.gradients import check_grads
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, vjp

KNOTS, VALUES = np.array([0.0, 1.0, 2.5, 4.0]), np.array([1.0, 3.0, -1.0, 2.0])
AT = np.array([[-1.0, 0.0, 0.5, 1.0, 2.4], [2.5, 3.0, 4.0, 4.5, np.nan]])
OPTIONS = [
    {},
    {"left": -7},
    {"right": 9},
    {"left": 0, "right": 1.5},
    {"period": 3.3},
    {"period": -2},
]


def same(f, *xs):
    found, expected = vjp(f, *xs)[0], f(*xs)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_values(options):
    f = lambda *args: np.interp(*args, **options)
    same(lambda x: f(x, KNOTS, VALUES), AT)
    same(lambda x: f(x, KNOTS, VALUES), AT.astype(np.float32))
    same(f, AT, KNOTS, VALUES)
    same(lambda fp: f(AT, KNOTS, fp), VALUES + 1j * KNOTS)
    same(lambda fp: f(0.3, KNOTS, fp), VALUES)
    same(lambda fp: f(AT, [1.0], fp), VALUES[:1])
    rows = [(AT, KNOTS, VALUES), (AT + 0.3, KNOTS * 1.1, -VALUES)]
    found = vmap(f)(*[np.stack(column) for column in zip(*rows)])
    np.testing.assert_allclose(found, [f(*row) for row in rows], rtol=1e-12)
    found = vmap(lambda x: f(x, KNOTS, VALUES))(AT)
    np.testing.assert_allclose(found, f(AT, KNOTS, VALUES), rtol=1e-12)


@pytest.mark.parametrize(
    "values",
    [
        [1, np.inf, 2, 3],
        [1, np.inf, np.inf, 3],
        [1, np.inf, -np.inf, 3],
        [np.nan, 1, 2, 3],
        [1, np.nan, np.nan, -np.inf],
    ],
)
def test_values_that_are_not_finite(values):
    with np.errstate(invalid="ignore"):
        same(lambda fp: np.interp(AT, KNOTS, fp), np.array(values, float))


@pytest.mark.parametrize("knots", [[0.0, 0, 1, 4], [0.0, 1, 1, 4], [0.0, 1, 4, 4], [1.0, 1, 1, 1]])
def test_equal_knots(knots):
    same(lambda fp: np.interp(AT, knots, fp), VALUES)
    g = grad(lambda x, xp, fp: np.sum(np.interp(x, xp, fp)))(AT[0], np.array(knots), VALUES)
    assert all(np.isfinite(part).all() for part in g)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_derivatives_between_knots(options):
    x = np.array([-0.9, 0.3, 1.7, 3.1, 4.7])
    if options.get("period") == -2:
        options = {"period": -2.4}  # so that no two knots meet
    check_grads(lambda x, xp, fp: np.interp(x, xp, fp, **options), (x, KNOTS, VALUES))


def test_at_a_knot_the_slope_is_that_to_its_right():
    slopes = np.diff(VALUES) / np.diff(KNOTS)
    found = grad(lambda x: np.sum(np.interp(x, KNOTS, VALUES)))(KNOTS)[0]
    np.testing.assert_allclose(found, [*slopes, slopes[-1]])
    to_values = vjp(lambda fp: np.interp(KNOTS, KNOTS, fp), VALUES)[1](np.arange(4.0))[0]
    np.testing.assert_allclose(to_values, np.arange(4.0))
    outside = grad(lambda x: np.sum(np.interp(x, KNOTS, VALUES)))(np.array([-1.0, 5.0]))[0]
    assert not outside.any()


def test_bad_arguments():
    for f, error, words in (
        (lambda x: np.interp(x, x, VALUES), ShapeError, "one axis"),
        (lambda x: np.interp(x, KNOTS, VALUES[:3]), ShapeError, "4 and 3"),
        (lambda x: np.interp(x, [], []), ValueError, "empty"),
        (lambda x: np.interp(x, KNOTS, VALUES, period=0), ValueError, "period"),
        (lambda x: np.interp(x + 1j, KNOTS, VALUES), TypeError, "complex"),
    ):
        with pytest.raises(error, match=words):
            vjp(f, AT)
