"""Arrays made in the mode: NumPy's aliasing both ways, and plain arrays while they are plain."""

import copy
import pickle

import numpy as np
import pytest

from pycograd import (
    AmbiguousAliasError,
    ConversionError,
    EscapedTracerError,
    OuterWriteError,
    PlainBufferError,
    ShapeDtypeStruct,
    Var,
    checkpoint,
    eval_shape,
    grad,
    jvp,
    transparent,
    value_and_grad,
    vjp,
    vmap,
)
from pycograd.core.fillable import Fillable, fillable

X = np.array([0.5, -1.5, 2.0])


# -- random programs of writes and views ---------------------------------------------------------
VIEWS = [
    lambda a: a[1:],
    lambda a: a[::-1],
    lambda a: a[0] if a.ndim > 1 else a[:2],
    lambda a: a.T,
    lambda a: a.reshape(-1) if a.flags.c_contiguous else a[...],
    lambda a: np.transpose(a)[...],
    lambda a: np.expand_dims(a, 0)[0],
    lambda a: np.flip(a, 0),
]


def program(seed):
    """A function of three numbers that writes them, and constants, through views of each other."""

    def run(x):
        rng = np.random.default_rng(seed)
        arrays = [np.zeros((2, 3)), np.ones(4), np.full((3, 2), 0.5)]
        total = 0.0
        for _ in range(14):
            a = arrays[rng.integers(len(arrays))]
            action = rng.integers(9)
            v = x[rng.integers(3)] * rng.choice([0.5, 2.0])
            constant = float(rng.integers(1, 4))
            if action < 3:
                if a.size and a.ndim:
                    arrays.append(VIEWS[rng.integers(len(VIEWS))](a))
            elif a.size == 0:
                continue
            elif action == 3:
                a[tuple(rng.integers(n) for n in a.shape)] = v
            elif action == 4:
                a[tuple(rng.integers(n) for n in a.shape)] = constant
            elif action == 5:
                a += v if rng.integers(2) else constant
            elif action == 6:
                a[...] *= v
            elif action == 7:
                total = total + np.sum(a * np.arange(1.0, a.size + 1.0).reshape(a.shape)) * x[0]
            else:
                np.multiply(a, constant, out=a)
        for k, a in enumerate(arrays):
            total = total + np.sum(a * a) * (k + 1.0)
        return total

    return run


@pytest.mark.parametrize("seed", range(60))
def test_random_writes_through_views(seed):
    f = program(seed)
    value, (slope,) = value_and_grad(f)(X)
    np.testing.assert_allclose(value, f(X), rtol=1e-12)
    h = 1e-6
    differences = [(f(X + h * e) - f(X - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(slope, differences, rtol=1e-5, atol=1e-5)
    out, moved = jvp(f, (X,), (np.ones(3),))
    np.testing.assert_allclose([out, moved], [value, np.sum(slope)], rtol=1e-9)
    np.testing.assert_allclose(vmap(f)(np.stack([X, 2 * X])), [f(X), f(2 * X)], rtol=1e-12)


# -- plain while plain -----------------------------------------------------------------------------
def made(*shape):
    return fillable(np.arange(1.0, 1.0 + np.prod(shape)).reshape(-1).copy().reshape(shape).copy())


def test_it_is_an_array_to_ordinary_code():
    y = made(2, 3)
    plain = np.arange(1.0, 7.0).reshape(2, 3)
    assert type(y) is Fillable and isinstance(y, np.ndarray)
    assert (y.shape, y.ndim, y.size, y.dtype, len(y)) == ((2, 3), 2, 6, np.float64, 2)
    assert float(y[0, 1]) == 2.0 and bool(y[1, 2] > 5.0) and int(y[0, 2]) == 3
    assert y.tolist() == plain.tolist() and repr(y) == repr(plain) and f"{y[0, 0]:.1f}" == "1.0"
    assert [type(v) for row in y for v in row] == [np.float64] * 6
    np.testing.assert_array_equal(y, plain)
    np.testing.assert_allclose(np.linalg.svd(y)[1], np.linalg.svd(plain)[1])
    for f in (np.sum, np.mean, np.var, np.sort, np.exp, lambda a: a @ a.T, lambda a: -a + 2.0 * a,
              lambda a: np.concatenate([a, a]), lambda a: np.where(a > 2.0, a, 0.0),
              lambda a: a.sum(axis=0), lambda a: np.einsum("ij,kj", a, a)):  # fmt: skip
        found = f(y)
        assert type(found) is not Fillable
        np.testing.assert_array_equal(found, f(plain))
    assert 3.0 in y and y.strides == plain.strides and y.tobytes() == plain.tobytes()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(y)), plain)
    for twin in (copy.copy(y), copy.deepcopy(y), y.copy(), y.astype(np.float32)):
        twin[0, 0] = 9.0
        assert y[0, 0] == 1.0


def test_what_is_no_array_of_floats_stays_as_it_is():
    for plain in (np.zeros(3, int), np.zeros(3, bool), np.array(["a"]), np.zeros(3)[1:], 2.0, None):
        assert fillable(plain) is plain


def test_steps_keep_what_was_read():
    def f(x):
        y = np.ones(3)
        first = np.sum(x * y)
        y[:] = 5.0
        y += 1.0
        np.negative(y, out=y)
        return first + np.sum(x * y)

    np.testing.assert_array_equal(grad(transparent(f))(X)[0], [-5.0] * 3)
    _, pullback = vjp(transparent(f), X)
    np.testing.assert_array_equal(pullback(1.0)[0], [-5.0] * 3)


def test_code_outside_of_numpy_sees_later_writes_or_the_write_is_refused():
    y = made(3)
    memory = y.__array__()
    y[0] = 7.0
    assert memory[0] == 7.0
    part = memory[:2]
    del memory
    y += 1.0
    assert part.tolist() == [8.0, 3.0]
    with pytest.raises(AmbiguousAliasError):
        y[1] = Var(2.0)
    del part
    v = Var(2.0)
    y[1] = v
    y.sum().backward()
    assert v.grad == 1.0


def test_a_converted_copy_is_a_copy():
    y = made(3)
    narrow = np.asarray(y, np.float32)
    copied = np.array(y)
    y[0] = Var(3.0)
    assert (narrow[0], copied[0]) == (1.0, 1.0)


@pytest.mark.parametrize("use", [
    np.asarray, np.array, lambda y: float(y[0]), lambda y: np.zeros(3) + y.__array__(),
    lambda y: np.zeros(3).__setitem__(0, y[0]), lambda y: np.arange(3.0).dot(y),
])  # fmt: skip
def test_with_a_value_in_it_it_is_never_quietly_plain(use):
    y = made(3)
    y[0] = Var(2.0)
    with pytest.raises((ConversionError, ValueError)):
        use(y)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(y)


def test_a_value_cannot_be_stored_in_integers():
    def f(x):
        y = np.zeros(2, int)
        y[0] = x
        return np.sum(y) * x

    with pytest.raises((ConversionError, ValueError)):
        grad(f)(1.0)


def test_an_array_of_the_caller_is_not_written():
    data = np.zeros(3)

    def f(x, data):
        made = np.zeros(3)
        made[0] = x
        data[0] = x
        return np.sum(made)

    with pytest.raises((ConversionError, PlainBufferError, ValueError)):
        grad(f, argnums=0)(1.0, data)
    np.testing.assert_array_equal(data, np.zeros(3))


def test_functions_may_return_and_take_what_they_made():
    def f(x):
        y, z = np.zeros(3), np.ones((2, 2))
        y[:] = x * x
        return {"y": y, "z": [z, (z[0],)], "view": y[1:]}

    outs, pullback = vjp(f, X)
    assert type(outs["z"][0]) is np.ndarray and type(outs["z"][1][0]) is np.ndarray
    np.testing.assert_array_equal(outs["y"], X * X)
    cts = {"y": np.ones(3), "z": [np.ones((2, 2)), (np.ones(2),)], "view": np.ones(2)}
    np.testing.assert_array_equal(pullback(cts)[0], [1.0, -6.0, 8.0])
    assert eval_shape(f, X)["view"] == ShapeDtypeStruct((2,))
    np.testing.assert_array_equal(vmap(f)(np.stack([X, X]))["view"], np.stack([X, X])[:, 1:] ** 2)

    def inner_gradient(x):
        y = np.zeros(3)
        y[1:] = 2.0
        (g,) = grad(lambda v: np.sum(v**2 * x))(y)
        return np.sum(g)

    np.testing.assert_array_equal(grad(inner_gradient)(X)[0], [0.0, 4.0, 4.0])


# -- nesting -------------------------------------------------------------------------------------
def test_a_value_of_an_inner_transform_stays_inside():
    def f(x):
        y = np.zeros(2)

        def inner(v):
            y[0] = v
            return v * v

        return grad(inner)(x)[0] + np.sum(y)

    with pytest.raises(EscapedTracerError, match="inner"):
        grad(f)(1.0)


def test_a_value_of_an_outer_transform_may_come_in_first():
    def f(x):
        def inner(v):
            y = np.zeros(3)
            part = y[1:]
            y[1] = x * x
            part[1] = v
            y[0] = part[0] * v
            return np.sum(y)

        return grad(inner)(x)[0]

    assert grad(f)(3.0)[0] == pytest.approx(6.0)
    np.testing.assert_allclose(vmap(grad(f))(np.array([1.0, 3.0]))[0], [2.0, 6.0])


def test_checkpoints():
    def inside(x):
        y = np.zeros(3)
        y[0] = x[0] * x[1]
        y[1:] = x[1:] ** 2
        return np.sum(y)

    np.testing.assert_allclose(grad(checkpoint(inside))(X)[0], grad(inside)(X)[0])

    def outside(x):
        y = np.zeros(3)

        def writes(v):
            y[0] = v[0]
            return np.sum(v * y)

        return checkpoint(writes)(x)

    with pytest.raises((OuterWriteError, ConversionError, ValueError)):
        grad(outside)(X)


def test_python_branches_on_constants_under_vmap_and_without_data():
    def f(x):
        y = np.zeros(3)
        limits = np.linspace(0.0, 1.0, 3)
        for i in range(3):
            y[i] = x if limits[i] > 0.4 else -x
        return np.sum(y) if np.all(limits >= 0.0) else 0.0 * x

    np.testing.assert_array_equal(vmap(f)(np.array([1.0, 2.0])), [1.0, 2.0])
    assert eval_shape(f, ShapeDtypeStruct(())) == ShapeDtypeStruct(())
    assert grad(f)(1.0)[0] == 1.0


def test_by_hand():
    def f(v):
        y = np.zeros(2)
        y[0] = v * v
        y[1] = v
        return np.sum(y)

    v = Var(3.0)
    transparent(f)(v).backward()
    assert v.grad == 7.0
