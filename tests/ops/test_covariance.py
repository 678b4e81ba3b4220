"""Covariances and correlations against NumPy, with every keyword."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.testing.gradients import check_grads
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import vjp

RNG = np.random.default_rng(6)
X, Y = RNG.normal(size=(3, 5)), RNG.normal(size=(2, 5))
COUNTS, WEIGHTS = np.array([1, 2, 1, 3, 1]), RNG.uniform(0.5, 2, 5)
VALUES = {
    "matrix": X,
    "complex": X + 1j * X[::-1, ::-1],
    "line": X[0],
    "float32": X.astype(np.float32),
    "integers": np.round(3 * X).astype(int),
}


def same(f, *xs, rtol=1e-12):
    found, expected = vjp(f, *xs)[0], f(*xs)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.parametrize("kind", ["matrix", "complex", "line", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": True},
        {"ddof": 2},
        {"ddof": 5},
        {"ddof": 7},
        {"fweights": COUNTS},
        {"aweights": WEIGHTS},
        {"fweights": COUNTS, "aweights": WEIGHTS},
        {"aweights": WEIGHTS, "ddof": 0},
        {"fweights": COUNTS, "bias": True},
    ],
    ids=str,
)
def test_keywords(kind, options):
    x = VALUES[kind]
    for f in (
        lambda x: np.cov(x, **options),
        lambda x: np.cov(x, 2 * x[..., ::-1], **options),
    ):
        with np.errstate(all="ignore"):
            same(f, x, rtol=1e-6 if kind == "float32" else 1e-12)
    with np.errstate(all="ignore"):
        rows = vmap(lambda x: np.cov(x, **options))(np.stack([x, x[..., ::-1]]))
        expected = [np.cov(x, **options), np.cov(x[..., ::-1], **options)]
    np.testing.assert_allclose(rows, expected, rtol=1e-6)


def test_variables_in_columns():
    for x in (X.T, X[0], X[:1].T):
        same(lambda x: np.cov(x, rowvar=False), x)
        same(lambda x: np.cov(x, x, rowvar=False), x)
        same(lambda x: np.corrcoef(x, x, rowvar=False), x)
    same(lambda x, y: np.cov(x.T, y.T, rowvar=False), X, Y)
    same(lambda x: np.cov(x, dtype=np.float32), X, rtol=1e-6)
    same(lambda x: np.corrcoef(x, dtype=np.longdouble), X)
    rows = vmap(np.cov)(np.stack([VALUES["integers"]] * 2))
    np.testing.assert_allclose(rows[1], np.cov(VALUES["integers"]))


def test_no_variables():
    assert vjp(np.cov, np.ones((0, 3)))[0].shape == (0, 0)


def test_derivatives():
    check_grads(lambda x, y, w: np.cov(x, y, aweights=w, fweights=COUNTS), (X, Y, WEIGHTS))
    check_grads(lambda x, y: np.corrcoef(x, y), (X, Y))
    check_grads(np.corrcoef, (VALUES["complex"],))


def test_degrees_of_freedom_warn():
    with pytest.warns(RuntimeWarning, match="Degrees of freedom"), np.errstate(all="ignore"):
        vjp(lambda x: np.cov(x, ddof=5), X)


def test_bad_arguments():
    for f, error, words in (
        (lambda x: np.cov(x[None]), ShapeError, "more than two axes"),
        (lambda x: np.cov(x, ddof=0.5), ValueError, "whole number"),
        (lambda x: np.cov(x, aweights=[1.0, 2.0]), ShapeError, "2 entries for 5 observations"),
        (lambda x: np.cov(x, aweights=-WEIGHTS), ValueError, "negative"),
        (lambda x: np.cov(x, aweights=np.ones((5, 1))), ShapeError, "one axis"),
        (lambda x: np.cov(x, fweights=WEIGHTS), TypeError, "whole numbers"),
        (lambda x: np.cov(x, fweights=x[0]), UnsupportedOperationError, "aweights"),
    ):
        with pytest.raises(error, match=words):
            vjp(f, X)
