"""New values: `like=`, `zeros_like`, evenly spaced numbers."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.dtypes import dtype
from pycograd.core.errors import ConversionError, EscapedTracerError, PlainBufferError
from pycograd.testing import check
from pycograd.testing.samples import Sample
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

CHECKS = [
    check.check_value,
    check.check_shape,
    check.check_jvp,
    check.check_adjoint,
    check.check_vmap,
]
X = np.random.default_rng(0).standard_normal((2, 3))
A, B = np.array([0.5, 2.0]), np.array([3.0, 4.5])
S = np.array(0.5)


def filled(x):
    y = np.zeros((3, 2), like=x)
    y[0] = x[:, 1]
    y[1:, 0] = x[0, :2] * 3
    y[2, 1] = 5.0
    return y


def recurrence(x):
    y = np.empty(4, like=x)
    y[0] = x[0, 0]
    for i in range(1, 4):
        y[i] = y[i - 1] * x[1, 1] + x[0, i - 1]
    return y


FORMS = {
    "linspace": (lambda a, b: np.linspace(a, b, 4), A, B),
    "linspace default": (lambda a: np.linspace(a, 2), S),
    "linspace from plain": (lambda b: np.linspace(0, b, 5), S),
    "linspace ints": (lambda b: np.linspace([0, 1], b, 3), B),
    "linspace open": (lambda a, b: np.linspace(a, b, 4, endpoint=False), A, B),
    "linspace axis": (lambda a, b: np.linspace(a, b, 4, axis=-1), A, B),
    "linspace step": (lambda a, b: np.linspace(a, b, 4, retstep=True), A, B),
    "linspace one": (lambda a, b: np.linspace(a, b, 1), A, B),
    "linspace none": (lambda a, b: np.linspace(a, b, 0), A, B),
    "linspace broadcast": (lambda a, b: np.linspace(a, b, 3), S, B),
    "linspace dtype": (lambda a, b: np.linspace(a, b, 3, dtype=np.longdouble), A, B),
    "logspace": (lambda a, b: np.logspace(a, b, 4), A, B),
    "logspace base": (lambda a, b: np.logspace(a, 1.0, 4, base=b), S, np.array(2.0)),
    "logspace bases": (lambda a, b: np.logspace(a, 2.0, 3, base=b, axis=-1), S, B),
    "logspace open": (lambda a, b: np.logspace(a, b, 3, endpoint=False, axis=1), A, B),
    "geomspace": (lambda a, b: np.geomspace(a, b, 4), A, B),
    "geomspace down": (lambda a, b: np.geomspace(b, a, 3, endpoint=False), A, B),
    "geomspace negative": (lambda a, b: np.geomspace(-a, -b, 4, axis=1), A, B),
    "zeros": (filled, X),
    "empty": (recurrence, X),
    "ones": (lambda x: np.ones(3, like=x) * x, X),
    "full": (lambda x: np.full((2, 2), x[0, 0], like=x), X),
    "full row": (lambda x: np.full((2, 3), x[0], dtype=float, like=x), X),
    "full plain": (lambda x: np.full((2, 3), 1.5, like=x) * x, X),
    "eye": (lambda x: np.eye(2, 3, k=1, like=x) * x, X),
    "identity": (lambda x: np.identity(2, like=x) @ x, X),
    "tri": (lambda x: np.tri(2, 3, like=x) * x, X),
    "arange": (lambda x: np.arange(1.0, 4.0, like=x) * x, X),
    "fromfunction": (lambda x: np.fromfunction(lambda i, j: i + 2 * j, (2, 3), like=x) * x, X),
    "fromfunction of a box": (lambda x: np.fromfunction(lambda i: i * x[0, 0], (3,), like=x), X),
    "array": (lambda x: np.array([x[0, 0], 1.0, x[1, 1]], like=x), X),
    "array nested": (lambda x: np.array([[x[0, 0], 2], [x[1, 1], x[0, 1]]], like=x), X),
    "array of rows": (lambda x: np.array([x[0], [1.0, 2.0, 3.0]], like=x), X),
    "array ndmin": (lambda x: np.array(x, ndmin=4, like=x), X),
    "array dtype": (lambda x: np.array([x, x], dtype=np.longdouble, like=x), X),
    "array of plain": (lambda x: np.array([[1.0, 2.0, 3.0]], like=x) * x, X),
    "asarray": (lambda x: np.asarray(x, like=x), X),
    "asanyarray": (lambda x: np.asanyarray([x[0], x[1]], like=x), X),
    "ascontiguousarray": (lambda x: np.ascontiguousarray(x.T, like=x), X),
    "asfortranarray": (lambda x: np.asfortranarray(x, like=x), X),
    "require": (lambda x: np.require(x, requirements="C", like=x), X),
    "zeros_like": (lambda x: np.zeros_like(x) + x, X),
    "ones_like": (lambda x: np.ones_like(x, shape=(4, 1, 3)) * x[0], X),
    "empty_like": (lambda x: np.multiply(x, 2, out=np.empty_like(x)), X),
    "full_like": (lambda x: np.full_like(x, 2.5) * x, X),
    "full_like with a box": (lambda x: np.full_like(x, x[0, 1]) * x, X),
    "full_like with another shape": (lambda x: np.full_like(x, x[0, 1], shape=(2, 2)), X),
}


@pytest.mark.parametrize("run", CHECKS)
@pytest.mark.parametrize("name", FORMS)
def test_every_form(name, run):
    f, *operands = FORMS[name]
    # NumPy's own like= takes arrays, so the same program runs on plain ones.
    run(Sample("", f, operands))


@pytest.mark.parametrize("name", [n for n in FORMS if "space" in n])
def test_float32_is_kept_as_numpy_keeps_it(name):
    f, *operands = FORMS[name]
    operands = [x.astype(np.float32) for x in operands]
    (mine, numpys) = (vjp(f, *operands)[0], f(*operands))
    for y, expected in zip(*[v if isinstance(v, tuple) else (v,) for v in (mine, numpys)]):
        assert y.dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_what_is_made_is_a_box_of_the_same_transform():
    def f(x):
        for y in (
            np.zeros(2, like=x),
            np.ones((2, 1), np.float32, like=x),
            np.empty(2, like=x),
            np.full(2, 3.0, like=x),
            np.zeros_like(x),
            np.eye(2, like=x),
        ):
            assert type(y) is type(x) and isinstance(y, Box)
        return np.sum(x)

    grad(f)(X)
    jvp(f, (X,), (X,))
    vmap(f)(X)
    eval_shape(f, X)


def test_integers_and_booleans_are_constants_to_differentiation():
    def f(x):
        places = np.zeros(2, int, like=x)
        mask = np.zeros_like(x, bool)
        assert type(places) is np.ndarray and type(mask) is np.ndarray
        places[0] = 2
        mask[0, 1] = True
        return np.sum(x[0, places]) + np.sum(x[mask])

    np.testing.assert_array_equal(grad(f)(X)[0], [[1, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(jvp(f, (X,), (X,))[1], X[0].sum())


def test_integers_that_differ_between_rows():
    def f(x):
        place = np.zeros(2, int, like=x)
        place[0] = np.argmax(x)
        return np.sum(x[place] ** 2)

    rows = X
    np.testing.assert_allclose(vmap(f)(rows), [f(row) for row in rows])
    expected = [grad(f)(row)[0] for row in rows]
    np.testing.assert_allclose(vmap(grad(f))(rows)[0], expected)


def test_values_keep_no_gradient():
    (g,) = grad(lambda x: np.sum(np.zeros_like(x) ** 2) + np.sum(np.ones(3, like=x)))(X)
    np.testing.assert_array_equal(g, np.zeros((2, 3)))


def test_nested_transforms():
    def inner(y, x):
        z = np.zeros((2, 3), like=y)
        z[0] = y[0] * x[0]  # a value of the outer transform beside one of the inner
        z[1] = x[1]
        return np.sum(z**2)

    def outer(x):
        return np.sum(grad(inner, argnums=0)(x, x) ** 2)

    t, h = np.random.default_rng(1).standard_normal((2, 3)), 1e-6
    slope = (outer(X + h * t) - outer(X - h * t)) / (2 * h)
    assert np.sum(grad(outer)(X)[0] * t) == pytest.approx(slope, rel=1e-6)
    assert jvp(outer, (X,), (t,))[1] == pytest.approx(slope, rel=1e-6)
    with pytest.raises(EscapedTracerError):
        grad(lambda x: grad(lambda y: _leak(np.zeros(3, like=x), y))(x)[0][0, 0])(X)


def test_outer_values_in_what_is_made_like_an_inner_one():
    def inner(y, x):
        total = 0.0
        for z in (
            np.full((2, 3), x[0, 0], like=y),
            np.array([x[0], x[1]], like=y),
            np.asarray(x, like=y),
            np.fromfunction(lambda i, j: x * (i + j), (2, 3), like=y),
        ):
            assert z._trace is y._trace
            z[0] = y[0] * x[0]
            total = total + np.sum(z**2)
        return total

    def outer(x):
        return np.sum(grad(inner, argnums=0)(x, x) ** 2)

    np.testing.assert_allclose(grad(outer)(X)[0][0], 16 * 24 * X[0] ** 5)
    assert jvp(outer, (X,), (np.ones((2, 3)),))[1] == pytest.approx(np.sum(16 * 24 * X[0] ** 5))


def _leak(buffer, y):
    buffer[0] = y[0, 0]
    return np.sum(buffer)


def test_no_data_where_there_are_none():
    huge = 10**9
    found = eval_shape(
        lambda x: np.ones((huge, huge), like=x) + np.zeros_like(x, shape=(huge, 1)) * np.sum(x), X
    )
    assert found.shape == (huge, huge)
    found = eval_shape(grad(lambda x: np.sum(np.ones((huge, 3), like=x) * x[0])), X)
    assert found[0].shape == (2, 3)


def test_symbolic_sizes():
    x = ShapeDtypeStruct(("B", 3), "float32")
    b = Dim.of("B")
    assert eval_shape(lambda x: np.ones((x.shape[0], 2), like=x), x).shape == (b, 2)
    assert eval_shape(lambda x: np.full((2, x.shape[0]), 1.0, like=x), x).shape == (2, b)
    zeros = eval_shape(np.zeros_like, x)
    assert zeros.shape == (b, 3) and zeros.dtype == np.float32
    assert eval_shape(lambda x: np.zeros_like(x, shape=(x.shape[0],)), x).shape == (b,)


def test_dtypes():
    seen = []

    def f(x):
        seen.append([y.dtype.name for y in (
            np.zeros(2, like=x), np.ones(2, np.float32, like=x), np.zeros_like(x),
            np.full(2, 1.5, like=x), np.full(2, 1j, like=x), np.full_like(x, 3),
            np.ones_like(x, dtype=complex),
        )])  # fmt: skip
        return np.sum(x)

    grad(f)(X.astype(np.float32))
    with dtype("float32"):
        grad(f)(X.astype(np.float16))
    assert seen == [
        ["float64", "float32", "float32", "float64", "complex128", "float32", "complex128"],
        ["float32", "float32", "float16", "float32", "complex128", "float16", "complex128"],
    ]


def test_what_cannot_be_reached_fails_loudly():
    plain = np.ones(3)
    for f in (
        lambda x: np.full(3, x[0, 0]),
        lambda x: np.array([x[0, 0], 1.0]),
        lambda x: np.asarray(x),
        lambda x: np.arange(x[0, 0]),
        lambda x: np.arange(x[0, 0], like=x),
        lambda x: np.arange(0.0, 3.0, step=x[0, 0], like=x),
        lambda x: np.full_like(plain, x[0, 0]),
        lambda x: np.zeros(x[0, 0], like=x),
    ):
        with pytest.raises((ConversionError, PlainBufferError, TypeError)):
            grad(lambda x, f=f: np.sum(f(x)))(X)
    with pytest.raises(ValueError, match="cannot include zero"):
        grad(lambda x: np.sum(np.geomspace(x, 1.0, 3)))(np.array(0.0))
    with pytest.raises(ValueError, match="must not be negative"):
        grad(lambda x: np.sum(np.linspace(x, 1.0, -1)))(np.array(0.0))


def test_files_and_buffers(tmp_path):
    np.savetxt(tmp_path / "x.txt", X)

    def f(x):
        from_file = np.loadtxt(tmp_path / "x.txt", like=x)
        from_bytes = np.frombuffer(X.tobytes(), like=x)
        from_iter = np.fromiter(range(3), float, like=x)
        assert all(isinstance(y, Box) for y in (from_file, from_bytes, from_iter))
        return np.sum(from_file * x) + np.sum(from_bytes) + np.sum(from_iter * x[0])

    np.testing.assert_allclose(grad(f)(X)[0], X + [[0, 1, 2], [0, 0, 0]])
