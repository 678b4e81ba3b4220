"""Programs where NumPy's protocols are blind: in the mode they give the answers NumPy implies."""

import cmath
import functools
import math
import math as m
from math import sin

import numpy as np
import pytest
from numpy import array as as_array, zeros as fresh

from pycograd import (
    capture,
    checkpoint,
    eval_shape,
    grad,
    hessian,
    jit,
    jvp,
    transparent,
    value_and_grad,
    vmap,
)
from pycograd.testing import check_grads

X = np.array([0.3, 0.7, 1.2])
TABLE = np.arange(6.0).reshape(2, 3) + 1.0


def exp_sin(v):
    return math.exp(v) * sin(v)


def factorial_like(v, n):
    return math.exp(v) if n == 0 else v * factorial_like(v, n - 1)


def add_into(target, value):
    target += value
    target[0] *= 2.0


def fresh_like(n):
    return np.zeros(n)


def filled(x):
    y = np.zeros(4)
    for i in range(3):
        y[i] = x[i] ** 2
    y[3] += x[0]
    y *= x[1]
    return np.sum(y)


def by_slices(x):
    y = np.empty((2, 3))
    y[0] = x
    y[1, 1:] = x[:2] * x[2]
    y[1, 0] = 1.0
    y[:, ::2] *= x[1]
    return np.sum(y**2)


def through_views(x):
    y = np.ones((2, 3))
    top, column, flat = y[0], y[:, 1], y.reshape(-1)
    top[:] = x
    column += x[0]
    flat[5] = x[1] * x[2]
    y.T[2, 0] *= 3.0
    return np.sum(y * TABLE)


def a_view_made_before_any_value_is_written(x):
    y = np.zeros(3)
    part, turned = y[1:], y[::-1]
    y[1] = x[0]
    turned[0] = x[1]
    return np.sum(part * np.array([2.0, 3.0])) + part[0] * turned[0]


def read_as_a_constant_first(x):
    y = np.ones(3)
    before = np.sum(x * y)  # the tape keeps what y was
    y[0] = 5.0
    between = np.sum(x * y)
    y[1] = x[2]
    return before + between + np.sum(x * y)


def with_out(x):
    y, z = np.zeros(3), np.ones(3)
    np.sin(x, out=y)
    np.multiply(y, z, out=z)
    np.cumsum(x * y, out=y)
    np.add(z, 1.0, out=z)
    return np.sum(y * z)


def by_writers(x):
    y = np.zeros((3, 3))
    np.copyto(y[0], x)
    np.fill_diagonal(y, x[1])
    np.put(y, [1, 2], x[:2])
    np.add.at(y, ([0, 0], [0, 0]), x[2])
    np.putmask(y, y == 0.0, x[0] * 0.5)
    y[2].fill(x[0])
    return np.sum(y**2 * np.arange(9.0).reshape(3, 3))


def kinds_of_makers(x):
    parts = [
        np.zeros(3), np.ones(3), np.empty(3), np.full(3, 2.0), np.zeros_like(X), np.eye(3)[0],
        np.linspace(0.0, 1.0, 3), np.array([1.0, 2.0, 3.0]), np.asarray([1.0, 2.0, 3.0]), fresh(3),
        np.full_like(TABLE[0], 3.0), np.copy(TABLE[1]),
    ]  # fmt: skip
    total = 0.0
    for k, part in enumerate(parts):
        if k == 5:
            continue  # a row of another array
        part[k % 3] = x[k % 3] ** 2
        part[(k + 1) % 3] = 1.0
        part[(k + 2) % 3] += 0.0 if k == 2 else x[0]
        if k == 2:
            part[(k + 2) % 3] = x[1]
        total = total + np.sum(part * part)
    return total


def given_to_a_helper(x):
    y = np.zeros(3)
    add_into(y, x)
    z = fresh_like(3)
    z[1] = x[1] ** 3
    return np.sum(y * y + z)


def nested_fill(x):
    y = np.zeros(3)

    def put(i, v):
        y[i] = v

    for i in range(3):
        put(i, x[i] * (i + 1))
    return np.sum(y**2)


def recurrence(x):
    y = np.zeros(6)
    y[0], y[1] = x[0], x[1]
    for i in range(2, 6):
        y[i] = y[i - 1] * x[2] + y[i - 2]
    return y[-1]


def a_matrix_of_values(x):
    a = np.array([[x[0], 1.0], [0.5, x[1]]])
    b = np.asarray([x[2], x[0]])
    return np.linalg.solve(a @ a.T + np.eye(2), b) @ b


def nested_gradients(x):
    y = np.zeros(3)
    y[0] = x[0]

    def inner(v):
        z = np.zeros(2)
        z[0] = x[0] * v
        view = z[:]
        z[1] = v
        view[0] *= math.sin(v)
        return np.sum(z) * x[1] + np.sum(y) * v

    return grad(inner)(x[1])[0]


def plain_parts(x):
    w = np.zeros(3)
    w[:] = [0.5, 1.0, 2.0]
    w /= np.sum(w)
    n = int(np.prod(w.shape))
    scale = float(np.sqrt(4.0)) + float(w[0])
    if w[0] > 0.0 and isinstance(w, np.ndarray):
        scale += 1.0
    norm = np.linalg.norm(w)
    assert np.asarray(w).dtype == np.float64
    y = np.zeros(3)
    y[np.argsort(w)] = x
    return np.sum(w * x) * scale / n + norm * np.sum(y * w)


def generators(x):
    return sum(math.sin(v) for v in x) + max(math.cos(v) for v in x) * min([float(v) for v in x])


def mapped(x):
    return sum(map(math.sin, x)) + sum(map(exp_sin, x)) + functools.reduce(math.pow, x)


def local_functions(x):
    def deep(n):
        return x[0] if n == 0 else math.sin(deep(n - 1)) + other(n)

    def other(n):
        return 0.0 if n < 2 else deep(0) * n

    square = lambda v: m.pow(v, 2.0)
    return deep(3) + square(x[1])


def imported_inside(x):
    import math as inner
    from math import cosh

    import numpy as xp

    return inner.exp(x[0]) + cosh(x[1]) + xp.sum(xp.array([x[0], x[2]]) ** 2)


PROGRAMS = {
    "math": lambda x: math.sin(x[0]) * m.exp(x[1]) + sin(x[2]) + math.pi,
    "hypot": lambda x: math.hypot(x[0], x[1]) + math.hypot(*x),
    "log-base": lambda x: math.log(x[1], 3.0) + math.log(x[0]) + math.log2(x[2]),
    "sequences": lambda x: math.prod(x) + math.fsum(x) + math.dist(x, [1.0, 2.0, 3.0]),
    "helper": lambda x: exp_sin(x[0]) + exp_sin(x[1]),
    "recursion": lambda x: factorial_like(x[0], 3),
    "cmath": lambda x: abs(cmath.exp(1j * x[0]) * cmath.sqrt(x[1])) + cmath.phase(x[1] + 1j * x[2]),
    "float": lambda x: float(x[0]) ** 2 * np.float64(x[1]),
    "complex": lambda x: abs(complex(x[0], x[1]) * complex(x[2])),
    "array": lambda x: np.sum(np.array([x[0], x[1] * 2.0]) ** 2),
    "array-of-rows": lambda x: np.sum(np.array([x, x * x]) * TABLE),
    "array-of-value": lambda x: np.sum(np.asarray(x) * np.array(x)),
    "from-import": lambda x: np.sum(as_array([x[0], x[1]]) ** 2),
    "ascontiguousarray": lambda x: np.sum(np.ascontiguousarray(x[::-1]) * X),
    "r_": lambda x: np.sum(np.r_[x[0], x[1:], 2.0] ** 2),
    "c_": lambda x: np.sum(np.c_[x, x * x] ** 2),
    "full": lambda x: np.sum(np.full((2, 3), x[0]) * TABLE) + np.sum(np.full(3, x)),
    "full_like": lambda x: np.sum(np.full_like(TABLE, x[1]) * TABLE),
    "fromiter": lambda x: np.sum(np.fromiter((v * v for v in x), float)),
    "lists": lambda x: np.mean([x[0], x[1]]) + np.sum([v * v for v in x]) + np.max([x[0], 0.1]),
    "list-of-a-name": lambda x: (parts := [v * v for v in x], np.sum(np.exp(parts)))[1],
    "dot-of-lists": lambda x: np.dot([x[0], x[1]], [x[2], 1.0]) + np.linalg.norm([x[0], x[1]]),
    "exp-of-list": lambda x: np.sum(np.exp([x[0], x[1]])),
    "plain-dot": lambda x: np.sum(TABLE.dot(x) ** 2) + X.dot(x),
    "vectorize": lambda x: np.sum(np.vectorize(lambda v, k: v * math.sin(v) + k)(x, 2.0)),
    "filled": filled,
    "slices": by_slices,
    "views": through_views,
    "early-view": a_view_made_before_any_value_is_written,
    "constant-first": read_as_a_constant_first,
    "out": with_out,
    "writers": by_writers,
    "makers": kinds_of_makers,
    "helper-writes": given_to_a_helper,
    "nested-function-writes": nested_fill,
    "recurrence": recurrence,
    "matrix": a_matrix_of_values,
    "nested-gradients": nested_gradients,
    "plain-parts": plain_parts,
    "generators": generators,
    "mapped": mapped,
    "local-functions": local_functions,
    "imported-inside": imported_inside,
}
LOOPS = {"vectorize", "generators"}  # which look at each number: not for all rows at once


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives_of_first_and_second_order(name):
    check_grads(PROGRAMS[name], (X,))


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_transform_sees_what_grad_sees(name):
    f = PROGRAMS[name]
    value, (slope,) = value_and_grad(f)(X)
    np.testing.assert_allclose(value, f(X))
    np.testing.assert_allclose(jvp(f, (X,), (np.ones(3),))[1], np.sum(slope))
    assert eval_shape(f, X).shape == () if name not in LOOPS else True
    np.testing.assert_allclose(grad(checkpoint(f))(X)[0], slope)
    np.testing.assert_allclose(grad(transparent(f))(X)[0], slope)
    if name not in LOOPS:
        rows = np.stack([X, X[::-1]])
        np.testing.assert_allclose(vmap(f)(rows), [f(row) for row in rows])
        np.testing.assert_allclose(
            vmap(grad(f))(rows)[0], [grad(f)(row)[0] for row in rows], atol=1e-14
        )
        np.testing.assert_allclose(vmap(hessian(f))(rows)[0], hessian(f)(X), atol=1e-14)


@pytest.mark.parametrize("name", ["math", "array", "views", "nested-gradients", "plain-dot"])
def test_graphs_are_captured_in_the_mode(name):
    f = PROGRAMS[name]
    for g in (f, grad(f)):
        np.testing.assert_allclose(capture(g, X)(X), g(X))
        np.testing.assert_allclose(jit(g)(X), g(X))


@pytest.mark.parametrize("name", PROGRAMS)
def test_outside_of_transforms_it_is_the_function_itself(name):
    f = PROGRAMS[name]
    plain, same = f(X), transparent(f)(X)
    assert type(same) is type(plain)
    assert np.asarray(same).tobytes() == np.asarray(plain).tobytes()


@pytest.mark.parametrize("name", ["filled", "matrix", "math", "lists"])
def test_float32_is_kept_where_numpy_keeps_it(name):
    f = PROGRAMS[name]
    (slope,) = grad(f)(X.astype(np.float32))
    assert slope.dtype == np.float32
    np.testing.assert_allclose(slope, grad(f)(X)[0], rtol=1e-5)


UNARY = ["acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "cos", "cosh", "degrees", "erf",
         "erfc", "exp", "exp2", "expm1", "fabs", "gamma", "lgamma", "log", "log10", "log1p", "log2",
         "radians", "sin", "sinh", "sqrt", "tan", "tanh"]  # fmt: skip


@pytest.mark.parametrize("name", [n for n in UNARY if hasattr(math, n)])
def test_functions_of_math(name):
    function = getattr(math, name)
    x = 1.3 if name == "acosh" else 0.4
    check_grads(lambda x: function(x), (x,))
    assert grad(lambda x: function(x) * 1.0)(x)[0] == pytest.approx(
        (function(x + 1e-6) - function(x - 1e-6)) / 2e-6, rel=1e-6
    )


@pytest.mark.parametrize("name", ["exp", "log", "sin", "cosh", "sqrt", "atan"])
def test_functions_of_cmath(name):
    function = getattr(cmath, name)
    z = 0.3 + 0.4j
    f = lambda z: abs(function(z)) ** 2
    g = grad(f)(z)[0]
    h = 1e-6
    assert g.real == pytest.approx((f(z + h) - f(z - h)) / (2 * h), rel=1e-5)
    assert g.imag == pytest.approx((f(z + 1j * h) - f(z - 1j * h)) / (2 * h), rel=1e-5)


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda x: math.floor(x) * x, 2.0),
        (lambda x: math.ceil(x) * x, 3.0),
        (lambda x: math.trunc(x) * x, 2.0),
        (lambda x: math.modf(x)[0] * 3.0, 3.0),
        (lambda x: math.fmod(x, 2.0), 1.0),
        (lambda x: math.remainder(x, 2.0), 1.0),
        (lambda x: math.ldexp(x, 3), 8.0),
        (lambda x: math.copysign(x, -1.0), -1.0),
        (lambda x: math.atan2(x, 1.0), 1.0 / (1.0 + 2.5**2)),
        (lambda x: x * 2.0 if math.isfinite(x) and not math.isnan(x) else 0.0, 2.0),
        (lambda x: x if math.isclose(x, 2.5) else 0.0, 1.0),
    ],
)
def test_functions_of_math_that_round_and_test(f, slope):
    assert grad(f)(2.5)[0] == pytest.approx(slope)


def test_errors_of_math_stay_what_they_are():
    with pytest.raises(ValueError, match=r"math domain error|expected"):
        grad(lambda x: math.sqrt(x))(-1.0)
    with pytest.raises(TypeError, match="one number"):
        grad(lambda x: math.sin(x))(X)
    with pytest.raises(TypeError, match="one number"):
        grad(lambda x: float(x))(X)


def test_places_of_a_plain_table_under_vmap():
    assert vmap(lambda i: TABLE[0][i] * TABLE[1, i])(np.array([2, 0])).tolist() == [18.0, 4.0]
    assert vmap(lambda i: X.take(i))(np.array([2, 0])).tolist() == [X[2], X[0]]
    np.testing.assert_array_equal(vmap(lambda i: TABLE[i])(np.array([1, 0])), TABLE[[1, 0]])
    np.testing.assert_array_equal(vmap(lambda i: TABLE[:, i])(np.array([1, 0])), TABLE.T[[1, 0]])


def test_filling_many_entries():
    def f(x):
        y = np.zeros(2000)
        for i in range(2000):
            y[i] = x[i % 3] * i
        return np.sum(y)

    index = np.arange(2000)
    np.testing.assert_allclose(grad(f)(X)[0], [index[index % 3 == k].sum() for k in range(3)])
