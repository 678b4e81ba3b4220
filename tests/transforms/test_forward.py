"""`jvp`: trees, checks, nesting with the other modes."""

import numpy as np
import pytest

import pycograd as pg
from pycograd import grad, jvp, vmap


def test_value_and_tangent_of_trees():
    f = lambda p, k: {"a": p["x"] * k, "b": (np.sum(p["y"]), 3)}
    out, t = jvp(f, ({"x": 2.0, "y": np.ones(2)}, 3.0), ({"x": 1.0, "y": np.arange(2.0)}, 10.0))
    assert out["a"] == 6.0 and t["a"] == 23.0 and t["b"][0] == 1.0


def test_missing_tangents_are_zero():
    out, t = jvp(lambda x, y: x * y, (2.0, 3.0), (None, 1.0))
    assert t == 2.0
    out, t = jvp(lambda x: np.ones(2), (2.0,), (1.0,))
    assert out.shape == t.shape == (2,) and not t.any()


def test_index_arguments_have_no_tangent():
    table = np.arange(6.0).reshape(3, 2)
    out, t = jvp(lambda w, i: w[i], (table, np.array([2, 0])), (np.ones((3, 2)), None))
    np.testing.assert_array_equal(out, table[[2, 0]])
    np.testing.assert_array_equal(t, np.ones((2, 2)))


def test_checks():
    with pytest.raises(pg.ShapeError, match="argument 0"):
        jvp(np.sin, (np.ones(3),), (np.ones(2),))
    with pytest.raises(pg.TreeMismatchError):
        jvp(lambda p: p["a"], ({"a": 1.0},), ([1.0],))
    with pytest.raises(pg.TreeMismatchError):
        jvp(lambda a, b: a, (1.0, 2.0), (1.0,))


def test_dtype_is_the_primals():
    out, t = jvp(lambda x: x * 2.0, (np.ones(3, np.float32),), (np.ones(3),))
    assert out.dtype == t.dtype == np.float32


def test_nesting_orders_agree():
    f = lambda x: np.sin(x) * x**3
    expected = 2.0 * 3 * np.cos(2.0) * 4 + np.sin(2.0) * 12 - np.sin(2.0) * 8
    rr = grad(lambda x: grad(f)(x)[0])(2.0)[0]
    fr = jvp(lambda x: grad(f)(x)[0], (2.0,), (1.0,))[1]
    rf = grad(lambda x: jvp(f, (x,), (1.0,))[1])(2.0)[0]
    ff = jvp(lambda x: jvp(f, (x,), (1.0,))[1], (2.0,), (1.0,))[1]
    np.testing.assert_allclose([rr, fr, rf, ff], expected)


def test_perturbation_confusion():
    assert jvp(lambda x: x * jvp(lambda y: x + y, (1.0,), (1.0,))[1], (2.0,), (1.0,))[1] == 1.0


def test_inside_vmap():
    x = np.linspace(0.0, 1.0, 4)
    out = vmap(lambda x: jvp(np.sin, (x,), (2.0,))[1])(x)
    np.testing.assert_allclose(out, 2 * np.cos(x))


@pytest.mark.parametrize(
    "primals, tangents, fix",
    [
        ((3,), (1.0,), r"argument 0 .*write 3\.0 instead of 3"),
        ((3,), (1,), r"write 3\.0 instead of 3"),
        ((3,), (None,), r"write 3\.0 instead of 3"),
        ((np.arange(3),), (np.ones(3),), "astype"),
        ((1.0, np.arange(3)), (1.0, np.ones(3)), "argument 1 .*astype"),
        (({"x": 1.0, "n": 2},), ({"x": 1.0, "n": 1.0},), r"write 2\.0 instead of 2"),
        (("a",), (None,), "str"),
    ],
)
def test_what_cannot_move(primals, tangents, fix):
    with pytest.raises(pg.NotDifferentiableError, match=fix):
        jvp(lambda *xs: 1.0, primals, tangents)


def test_integers_beside_what_moves_have_no_tangent():
    for none in (None, 1, np.zeros(3, int)):
        assert jvp(lambda x, n: x * 2.0, (1.0, np.arange(3)), (1.0, none))[1] == 2.0
    assert jvp(lambda: 3.0, (), ()) == (3.0, 0.0)


def test_constants_made_inside_may_be_written_to_later():
    def f(x):
        y = np.zeros(3, like=x) * 2.0
        z = y.copy()
        y += x
        z[0] = x[0]
        return np.sum(y * y) + np.sum(z)

    x = np.arange(3.0)
    assert jvp(f, (x,), (np.ones(3),))[1] == grad(f)(x)[0] @ np.ones(3)
