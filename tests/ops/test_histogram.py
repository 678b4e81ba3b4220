"""Counts and histograms against NumPy, with every keyword; derivatives in weights and edges."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ControlFlowError, ShapeError
from pycograd.testing.gradients import check_grads
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

RNG = np.random.default_rng(9)
X, Y, W = RNG.normal(size=20), RNG.normal(size=20), RNG.uniform(0.5, 2, 20)
N = RNG.integers(0, 5, 20)
OPTIONS = [
    {},
    {"bins": 4},
    {"bins": [-1, 0, 0.5, 2]},
    {"bins": [0.0, 1.0]},
    {"range": (-1, 1)},
    {"density": True},
    {"bins": 3, "range": (0, 2), "density": True},
    {"bins": "auto"},
    {"bins": "fd", "range": (-2, 2)},
]


def same(f, *xs, rtol=1e-12):
    found, expected = vjp(f, *xs)[0], f(*xs)
    pairs = zip(*[v if isinstance(v, tuple) else (v,) for v in (found, expected)], strict=True)
    for x, y in pairs:
        assert x.dtype == y.dtype and x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


# -- bincount --------------------------------------------------------------------------------------
def test_bincount():
    for minlength in (0, 9):
        for w in (W, W.astype(np.float32)):
            same(lambda w: np.bincount(N, w, minlength=minlength), w)
        check_grads(lambda w: np.bincount(N, w, minlength=minlength), (W,))
    w = RNG.normal(size=5)
    found = vjp(lambda v: np.bincount(N, v), W)[1](w)[0]
    np.testing.assert_array_equal(found, w[N])
    same(lambda w: np.bincount(np.zeros(0, int), w[:0], minlength=2), W)


def test_rows_of_numbers():
    rows = RNG.integers(0, 5, (3, 7))
    rows[:, 0] = 4
    np.testing.assert_array_equal(vmap(np.bincount)(rows), [np.bincount(r) for r in rows])
    expected = [np.bincount(r, minlength=6) for r in rows // 2]
    found = vmap(lambda r: np.bincount(r, minlength=6))(rows // 2)
    np.testing.assert_array_equal(found, expected)
    rows[0] = 1
    with pytest.raises(ControlFlowError, match="minlength=5"):
        vmap(np.bincount)(rows)
    assert str(eval_shape(np.bincount, rows[0])) == "i64[n0]"


def test_bad_numbers():
    for f, error in (
        (lambda w: np.bincount(N[None], w), ShapeError),
        (lambda w: np.bincount(N, w[1:]), ShapeError),
        (lambda w: np.bincount(w, w), TypeError),
        (lambda w: np.bincount(N - 1, w), ValueError),
        (lambda w: np.bincount(N, w + 1j), TypeError),
    ):
        with pytest.raises(error, match="bincount"):
            vjp(f, W)


# -- histogram -------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_histogram(options):
    f = lambda x: np.histogram(x, **options)
    edges = {k: v for k, v in options.items() if k != "density"}
    same(f, X)
    same(f, X.astype(np.float32), rtol=1e-6)
    same(lambda x: np.histogram_bin_edges(x, **edges), X)
    if not isinstance(options.get("bins"), str):
        for w in (W, W.astype(np.float32), W + 1j):
            same(lambda x, w: np.histogram(x, weights=w, **options), X, w, rtol=1e-6)
        rows = np.stack([X, X[::-1] * 1.5])
        for found, expected in zip(vmap(f)(rows), zip(f(rows[0]), f(rows[1])), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        shapes = [v.shape for v in eval_shape(f, X)]
        assert shapes == [v.shape for v in f(X)]


def test_what_histograms_of_special_data_are():
    same(np.histogram, np.full(3, 2.0))
    same(np.histogram, np.zeros(0))
    same(lambda x: np.histogram(x, weights=N), X)
    same(lambda x: np.histogram(x, range=(0, 1)), np.array([0.1, np.nan, 1, np.inf]))
    same(lambda x: np.histogram(x, [0, 1, 1, 2]), np.array([0.1, 1.0, 1.5, 2.0]))
    found = vmap(lambda x: np.histogram(x, 3)[1])(np.array([[2.0, 2.0], [1.0, 4.0]]))
    np.testing.assert_allclose(found[0], np.histogram([2.0, 2.0], 3)[1])
    whole = np.stack([N, N[::-1] + 1])
    for i in (0, 1):
        expected = [np.histogram(n, 4)[i] for n in whole]
        np.testing.assert_allclose(vmap(lambda n, i=i: np.histogram(n, 4)[i])(whole), expected)


def test_derivatives_of_histograms():
    f = lambda x, w: np.histogram(x, 4, weights=w)
    check_grads(f, (X, W))  # the edges move with the least and the greatest value
    assert not grad(lambda x: np.sum(np.histogram(x, 4, weights=W)[0] ** 2))(X)[0].any()
    check_grads(lambda x, w: np.histogram(x, 4, weights=w, density=True)[0], (X, W))
    edges = np.array([-1.1, 0.2, 1.7])
    check_grads(lambda e: np.histogram(X, e, density=True)[0], (edges,))
    check_grads(lambda x, low: np.histogram(x, 3, (low, 2.0), density=True)[0], (X, -1.3))


def test_bad_histograms():
    for f, error, words in (
        (lambda x: np.histogram(x, 0), ValueError, "positive"),
        (lambda x: np.histogram(x, [1, 0]), ValueError, "monotonically"),
        (lambda x: np.histogram(x, 3, (1, 0)), ValueError, "max must be larger"),
        (lambda x: np.histogram(x * np.nan), ValueError, "not finite"),
        (lambda x: np.histogram(x, weights=W[1:]), ShapeError, "weights"),
        (lambda x: np.histogram(x, "auto", weights=W), TypeError, "weighted"),
    ):
        with pytest.raises(error, match=words):
            vjp(f, X)
    with pytest.raises(ControlFlowError, match="number of bins"):
        vmap(lambda x: np.histogram(x, "auto"))(np.stack([X, Y]))


def test_symbolic_sizes():
    x = ShapeDtypeStruct(("B",))
    assert [str(v) for v in eval_shape(lambda x: np.histogram(x, 3), x)] == ["i64[3]", "f64[4]"]


# -- of several axes -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bins": 3},
        {"bins": [3, 4]},
        {"bins": np.array([3, 4])},
        {"bins": [np.linspace(-2, 2, 4), 2]},
        {"bins": np.linspace(-1, 3, 5)},
        {"range": [(-1, 1), (0, 2)]},
        {"density": True},
    ],
    ids=str,
)
def test_histogram2d(options):
    f = lambda x, y, w: np.histogram2d(x, y, weights=w, **options)
    same(f, X, Y, W)
    same(lambda x: np.histogram2d(x, Y, **options), X)
    check_grads(lambda w: np.histogram2d(w * 0 + X, Y, weights=w, **options)[0], (W,))
    columns = [np.stack([v, v[::-1] * 1.2]) for v in (X, Y, W)]
    rows = [f(*row) for row in zip(*columns)]
    for found, expected in zip(vmap(f)(*columns), zip(*rows), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_histogramdd():
    points = RNG.normal(size=(30, 3))
    for f in (
        lambda p: np.histogramdd(p, 3),
        lambda p: np.histogramdd(p, (2, 3, 2), density=True),
        lambda p: np.histogramdd(p[:, 0], 3),
        lambda p: np.histogramdd([p[:, 0], p[:, 1]], 3, range=[None, (-1, 1)]),
    ):
        (h, edges), (expected, theirs) = vjp(f, points)[0], f(points)
        assert h.dtype == expected.dtype and type(edges) is type(theirs)
        np.testing.assert_allclose(h, expected)
        for e, t in zip(edges, theirs, strict=True):
            np.testing.assert_allclose(e, t)
    check_grads(lambda p: np.histogramdd(p, (2, 3, 2), density=True)[0], (points,))
    with pytest.raises(ValueError, match="2 axes of points with 3"):
        vjp(lambda p: np.histogramdd(p, [2, 2]), points)
