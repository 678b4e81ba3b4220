"""Sorting and searching against NumPy, with gradients against PyTorch and the definition."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import ControlFlowError, ShapeError, UnsupportedOperationError
from pycograd.testing.check import checks_of
from pycograd.testing.samples import Sample
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

X = np.random.default_rng(3).permutation(24).reshape(3, 2, 4) * 0.3 - 2.1


def value_of(f, *xs):
    return vjp(f, *xs)[0]


def same(actual, expected):
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def through_every_mode(f, *operands, **options):
    sample = Sample("composite", f, operands, **options)
    for name, check in checks_of(sample):
        if name != "bound":
            check(sample)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize(
    "options", [{}, {"kind": "stable"}, {"kind": "heapsort"}, {"stable": True}, {"stable": False}]
)
def test_sort_and_argsort(axis, options):
    rows = np.stack([X, -X, np.round(X)])
    for function in (np.sort, np.argsort):
        f = lambda x: function(x, axis=axis, **options)
        same(value_of(f, X), f(X))
        same(vmap(f, 1)(np.moveaxis(rows, 0, 1)), np.stack([f(x) for x in rows]))
        assert eval_shape(f, X).shape == f(X).shape


@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("kth", [0, 1, -1, (0, 2), [1, 2]])
def test_partition(axis, kth):
    """The order on either side of an entry is NumPy's own business; what is there is not."""
    found = value_of(lambda x: np.partition(x, kth, axis=axis), X)
    places = np.take_along_axis(
        X if axis is not None else X.ravel(), _permutation(kth, axis), 0 if axis is None else axis
    )
    for entries in (found, places):
        same(np.sort(entries, axis=-1 if axis is None else axis), np.sort(X, axis=axis))
        at = -1 if axis is None else axis
        for k in np.atleast_1d(kth):
            entry = np.take(entries, [k], at)
            same(entry, np.take(np.sort(X, axis=axis), [k], at))
            n = entries.shape[at]
            assert (np.take(entries, np.arange(k % n), at) <= entry).all()
            assert (np.take(entries, np.arange(k % n, n), at) >= entry).all()
    through_every_mode(lambda x: np.sort(np.partition(x, kth, axis=axis), axis=axis or 0), X)


def _permutation(kth, axis):
    return value_of(lambda x: np.argpartition(x, kth, axis=axis), X)


def test_the_order_of_nans_and_of_complex_numbers():
    x = np.array([np.nan, 2.0, np.inf, -np.inf, np.nan, 1.0])
    same(value_of(np.sort, x), np.sort(x))
    z = np.array([2 + 1j, 2 - 1j, 1 + 9j, complex(np.nan, 0)])
    same(value_of(np.sort, z), np.sort(z))
    same(value_of(np.sort_complex, x), np.sort_complex(x))
    weights = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(
        grad(lambda z: np.real(np.sum(np.sort(z) * weights)))(z[:3])[0], [3, 2, 1]
    )


def test_gradients_and_hessians_go_where_the_entries_went():
    torch = pytest.importorskip("torch")
    weights = np.arange(1.0, 5.0)
    found = grad(lambda x: np.sum(np.sort(x) ** 3 * weights))(X)[0]
    t = torch.tensor(X, requires_grad=True)
    torch.sum(torch.sort(t).values ** 3 * torch.tensor(weights)).backward()
    np.testing.assert_allclose(found, t.grad.numpy())
    x = np.array([3.0, 1.0, 2.0])
    for order in (np.sort, lambda x: np.partition(x, (0, 1, 2))):
        pulled = vjp(lambda x: grad(lambda x: np.sum(order(x) ** 2 * [1, 10, 100]))(x)[0], x)[1]
        np.testing.assert_allclose([pulled(e)[0] for e in np.eye(3)], np.diag([200, 2, 20]))


def test_equal_entries_keep_their_own_gradient():
    # A permutation: the gradient of a sum of sorted entries is one for each, ties or not.
    np.testing.assert_array_equal(grad(lambda x: np.sum(np.sort(x)))(np.ones(5))[0], np.ones(5))


@pytest.mark.parametrize("axis", [0, -1])
def test_lexsort(axis, rng):
    keys = rng.integers(0, 3, (4, 3, 2, 5))  # rows, keys, and what each key is sorted along
    expected = np.stack([np.lexsort(tuple(k), axis=axis) for k in keys])
    same(vmap(lambda k: np.lexsort(k, axis=axis))(keys), expected)
    same(vmap(lambda a, b, c: np.lexsort((a, b, c), axis=axis))(*np.moveaxis(keys, 1, 0)), expected)
    mixed = vmap(lambda a: np.lexsort((a, keys[0, 0]), axis=axis))(keys[:, 1])
    same(mixed, np.stack([np.lexsort((k[1], keys[0, 0]), axis=axis) for k in keys]))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8])
def test_searchsorted_of_each_row(side, n, rng):
    tables = np.sort(np.round(rng.standard_normal((6, n)), 1), axis=1)
    tables[2, n // 2 :] = np.nan
    values = np.round(rng.standard_normal((6, 3, 4)), 1)
    values[:, 0, 0], values[:, 0, 1], values[:, 0, 2] = np.nan, np.inf, -np.inf
    f = lambda a, v: np.searchsorted(a, v, side)
    same(vmap(f)(tables, values), np.stack([f(a, v) for a, v in zip(tables, values)]))
    same(vmap(f, (None, 0))(tables[2], values), np.stack([f(tables[2], v) for v in values]))
    same(vmap(f, (0, None))(tables, values[0]), np.stack([f(a, values[0]) for a in tables]))
    same(vmap(lambda a: f(a, 0.1))(tables), np.stack([f(a, 0.1) for a in tables]))


def test_searchsorted_with_a_sorter(rng):
    tables = rng.standard_normal((3, 6))
    sorters = np.argsort(tables, axis=1)
    f = lambda a, s: np.searchsorted(a, [0.3, -0.3], sorter=s)
    same(vmap(f)(tables, sorters), np.stack([f(a, s) for a, s in zip(tables, sorters)]))


def test_interpolation_by_searchsorted(rng):
    xs, ys = np.sort(rng.standard_normal(8)), rng.standard_normal(8)

    def f(v, ys):
        i = np.clip(np.searchsorted(xs, v), 1, 7)
        part = (v - xs[i - 1]) / (xs[i] - xs[i - 1])
        return ys[i - 1] * (1 - part) + ys[i] * part

    v = np.array([xs[2] + 0.01, xs[5] + 0.01])
    np.testing.assert_allclose(value_of(lambda v: f(v, ys), v), np.interp(v, xs, ys))
    found = grad(lambda v: np.sum(f(v, ys)))(v)[0]
    np.testing.assert_allclose(
        found, (np.interp(v + 1e-6, xs, ys) - np.interp(v, xs, ys)) / 1e-6, rtol=1e-4
    )


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("bins", [[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0], [0.0, 0.0]])
def test_digitize(bins, right):
    f = lambda x: np.digitize(np.round(x), np.array(bins), right)
    same(value_of(f, X), f(X))
    same(vmap(f)(X), f(X))


def test_symbolic_shapes():
    x = ShapeDtypeStruct(("B", 3))
    assert str(eval_shape(lambda x: np.sort(x, axis=0), x)) == "f64[B,3]"
    assert str(eval_shape(lambda x: np.argsort(x, axis=None), x)) == "i64[3*B]"
    assert str(eval_shape(lambda x: np.searchsorted(np.arange(3.0), x), x)) == "i64[B,3]"


def test_bad_input():
    with pytest.raises(ShapeError, match="sort: axis 3"):
        value_of(lambda x: np.sort(x, axis=3), X)
    with pytest.raises(UnsupportedOperationError, match="order="):
        value_of(lambda x: np.sort(x, order="a"), X)
    with pytest.raises(ValueError, match="together"):
        value_of(lambda x: np.sort(x, kind="stable", stable=True), X)
    with pytest.raises(ShapeError, match="kth=4"):
        value_of(lambda x: np.partition(x, 4), X)
    with pytest.raises(ValueError, match="side"):
        vmap(lambda a: np.searchsorted(a, 0.0, "middle"))(X[:, 0])
    with pytest.raises(ShapeError, match="searchsorted"):
        vmap(lambda a: np.searchsorted(a, 0.0))(X)
    with pytest.raises(ValueError, match="monotonic"):
        value_of(lambda x: np.digitize(x, [0.0, 2.0, 1.0]), X)
    with pytest.raises(ControlFlowError):
        vmap(lambda bins: np.digitize(0.5, bins))(np.sort(X[:, 0]))


def test_empty_arrays():
    assert grad(lambda x: np.sum(np.sort(x)))(np.zeros((0, 3)))[0].shape == (0, 3)
    assert grad(lambda x: np.sum(np.sort(x, axis=0)))(np.zeros((0, 3)))[0].shape == (0, 3)
