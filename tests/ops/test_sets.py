"""Arrays as sets against NumPy, and where their gradients go."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.errors import ControlFlowError
from pycograd.transforms.batch import vmap
from pycograd.transforms.reverse import grad, vjp

A, B = np.array([3.0, 1.0, 2.0, 3.0, 5.0]), np.array([[2.0, 5.0], [7.0, 2.0]])


def same(f, *xs):
    found, expected = vjp(f, *xs)[0], f(*xs)
    pairs = zip(*[v if isinstance(v, tuple) else (v,) for v in (found, expected)], strict=True)
    for x, y in pairs:
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("function", [np.setxor1d, np.setdiff1d, np.intersect1d])
def test_values(function, unique):
    a, b = (np.unique(v)[::-1] if unique else v for v in (A, B))
    f = lambda a, b: function(a, b, assume_unique=unique)
    same(f, a, b)
    same(f, a.astype(np.float32), b)
    same(lambda a: f(a, [2.0, 9.0]), a)
    same(lambda a: f(a, []), a)
    same(lambda a: f([], a), a)


@pytest.mark.parametrize("unique", [False, True])
def test_indices(unique):
    a, b = (np.unique(v)[::-1] if unique else v for v in (A, B))
    same(lambda a, b: np.intersect1d(a, b, unique, return_indices=True), a, b)


def test_union():
    same(np.union1d, A, B)
    same(lambda a: np.union1d(a, [9.0]), A)


def test_isin():
    for invert in (False, True):
        for a, b in ((A, B), (B, A), (A, B[:0]), (np.append(A, np.nan), np.append(B, np.nan))):
            same(lambda a, b, i=invert: a * np.isin(a, b, invert=i), a, b)
        same(lambda a, i=invert: a * np.isin(a, [2, 3], invert=i, kind="sort"), A)
        same(lambda a, i=invert: a * np.isin(a, [2, 3j], invert=i), A + 0j)
    whole = np.array([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(
        vmap(lambda x: np.isin(x, [2, 4, 5]))(whole), [np.isin(x, [2, 4, 5]) for x in whole]
    )
    np.testing.assert_array_equal(
        vmap(lambda x, y: np.isin(x, y))(whole, whole[:, ::-1] + 1),
        [np.isin(x, y) for x, y in zip(whole, whole + 1)],
    )


def test_gradients_go_to_the_entry_that_was_taken():
    weights = np.array([10.0, 20.0, 30.0])
    ct = grad(lambda a, b: np.sum(np.union1d(a, b) * [1, 2, 3, 4, 5.0]))(A, B)
    np.testing.assert_array_equal(ct[0], [3, 1, 2, 0, 4])
    np.testing.assert_array_equal(ct[1], [[0, 0], [5, 0]])
    ct = grad(lambda a, b: np.sum(np.intersect1d(a, b) * weights[:2]))(A, B)
    np.testing.assert_array_equal(ct[0], [0, 0, 10, 0, 20])
    assert not ct[1].any()
    ct = grad(lambda a, b: np.sum(np.setxor1d(a, b) * weights))(A, B)
    np.testing.assert_array_equal(ct[0], [20, 10, 0, 0, 0])
    np.testing.assert_array_equal(ct[1], [[0, 0], [30, 0]])
    ct = grad(lambda a: np.sum(np.setdiff1d(a, B) * weights[:2]))(A)
    np.testing.assert_array_equal(ct[0], [20, 10, 0, 0, 0])


def test_sizes_differ_between_rows():
    for f in (np.setdiff1d, np.union1d, np.intersect1d, np.setxor1d):
        with pytest.raises(ControlFlowError):
            vmap(lambda a, f=f: f(a, B))(np.stack([A, A]))
