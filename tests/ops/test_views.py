"""Views and writes: random programs on boxes do what they do on NumPy's arrays.

Values must equal NumPy's, derivatives those of complex steps (which are exact, the programs being
polynomials), and every other mode the first-order ones.
"""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import AmbiguousAliasError
from pycograd.core.tape import Var
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, value_and_grad, vjp
from pycograd.transforms.shapes import eval_shape


# -- random programs -----------------------------------------------------------------------------
def some_slice(rng, n):
    start = int(rng.integers(0, n))
    stop = int(rng.integers(start, n + 1))
    return [
        slice(None),
        slice(None, None, -1),
        slice(None, None, 2),
        slice(start, stop),
        slice(start - n, None),
        slice(stop, start - 1 if start else None, -1),
    ][rng.integers(6)]


def some_key(rng, shape, arrays):
    key = []
    for n in shape[: rng.integers(0, len(shape) + 1)]:
        kind = rng.integers(7 if arrays else 4)
        if kind == 0 and n:
            key.append(int(rng.integers(-n, n)))
        elif kind <= 3 and n:
            key.append(some_slice(rng, n))
        elif kind == 4 and n:
            key.append(rng.integers(-n, n, 2))
        elif kind == 5 and not any(isinstance(e, np.ndarray) for e in key):
            key.append(rng.integers(0, 2, n) == 1)
            arrays = False  # its length is not that of other arrays
        else:
            key.append(slice(None))
    if rng.integers(4) == 0:
        key.append(Ellipsis)
    if rng.integers(5) == 0:
        key.insert(int(rng.integers(len(key) + 1)), None)
    return key[0] if len(key) == 1 and rng.integers(2) else tuple(key)


def view(rng, a):
    kind = rng.integers(8)
    if kind <= 2:
        return a[some_key(rng, a.shape, arrays=False)]
    if kind == 3:
        return a.T
    if kind == 4:
        return np.reshape(a, (-1,) if rng.integers(2) else (*a.shape, 1))
    if kind == 5:
        return np.expand_dims(a, 0)
    if kind == 6 and 1 in a.shape:
        return np.squeeze(a)
    return np.swapaxes(a, 0, -1)


def write(rng, a, b):
    """Writes something into `a`; `b` is another array of the program."""
    kind, key = rng.integers(12), some_key(rng, a.shape, arrays=rng.integers(2) == 1)
    hole = np.zeros(a.shape)[key].shape
    if kind == 0:
        a[key] = float(rng.standard_normal())
    elif kind == 1:
        a[key] = rng.standard_normal(hole)
    elif kind == 2 and b.size:
        a[key] = b[tuple([int(rng.integers(n)) for n in b.shape])] * 1.5
    elif kind == 3:
        a[key] = a[key] * 0.5
    elif kind == 4:
        a[key] += 0.25
    elif kind == 5:
        a[key] *= 0.5
    elif kind == 6:
        a[1:] = a[:-1]
    elif kind == 7 and b.shape == a.shape:
        a[...] = b
    elif kind == 8 and b.shape == a.shape:
        a *= b
    elif kind == 9 and a.shape[len(a.shape) - len(b.shape) :] == b.shape:
        a += b
    elif kind == 10:
        np.multiply(a, 0.5, out=a)
    else:
        np.put(a, rng.integers(0, a.size, 3) if a.size else [], rng.standard_normal(3))


def run(seed, x):
    """The program of this number; every choice depends on shapes only, never on values."""
    rng = np.random.default_rng(seed)
    pool = [x]
    for _ in range(14):
        a, b = (pool[rng.integers(len(pool))] for _ in range(2))
        kind = rng.integers(10)
        if kind <= 3:
            made = view(rng, a)
            if made.shape:
                pool.append(made)
        elif kind <= 7:
            write(rng, a, b)
        elif kind == 8:
            pool.append(np.zeros(a.shape, a.dtype, like=x) if rng.integers(2) else x * 0.5)
        elif len(pool) > 3:
            pool.pop(int(rng.integers(len(pool))))
        del a, b
    total = 0.0
    for k, a in enumerate(pool):
        weights = np.cos(np.arange(a.size) + k).reshape(a.shape)
        total = total + np.sum(a * weights) + 0.1 * np.sum(a * a)
    return total


def check_program(seed):
    """False if it could not be known whether a reshaped value is a view: an error of its own."""
    rng = np.random.default_rng([seed, 1])
    x, t = rng.standard_normal((2, *[(3,), (2, 3), (2, 2, 3)][seed % 3]))
    if seed % 5 == 0:
        x, t = x.T, t.T  # in Fortran's order

    def f(x):
        return run(seed, x)

    kept, value = x.copy(), run(seed, x.copy("K"))
    slope = run(seed, x + 1e-30j * t).imag / 1e-30
    batch = np.stack([x, t, x - t])
    try:
        got, gradient = value_and_grad(f, argnums=0)(x)
        rows, gradients = vmap(f)(batch), vmap(grad(f, argnums=0))(batch)
    except AmbiguousAliasError:
        return False
    assert np.isclose(got, value, rtol=1e-12) and np.array_equal(x, kept)  # summed in some order
    assert np.isclose(np.sum(gradient * t), slope, rtol=1e-9, atol=1e-9)
    out, tangent = jvp(f, (x,), (t,))
    assert np.isclose(out, value, rtol=1e-12)
    assert np.isclose(tangent, slope, rtol=1e-9, atol=1e-9)
    assert np.allclose(rows, [run(seed, row.copy("K")) for row in batch])
    assert np.allclose(gradients, [grad(f)(row)[0] for row in batch])
    assert eval_shape(f, x) == ShapeDtypeStruct(())
    v = Var(x.copy("K"))
    out = f(v * 1.0)
    out.backward()
    assert np.isclose(out.value, value, rtol=1e-12) and np.allclose(v.grad, gradient)

    g, step = grad(f, argnums=0), 1e-4  # of a cubic or so, in its own scale
    want = (g(x + step * t) - g(x - step * t)) / (2 * step)
    near = {"rtol": 1e-5, "atol": 1e-5 * (1 + np.max(np.abs(want)))}
    assert np.allclose(jvp(g, (x,), (t,))[1], want, **near)
    assert np.allclose(grad(lambda x: np.sum(g(x) * t), argnums=0)(x), want, **near)
    assert np.allclose(grad(lambda x: jvp(f, (x,), (t,))[1], argnums=0)(x), want, **near)
    each = vmap(lambda x: grad(lambda x: np.sum(g(x) * t), argnums=0)(x))(np.stack([x, x]))
    assert np.allclose(each[1], want, **near)
    return True


@pytest.mark.parametrize("seeds", [range(k, k + 20) for k in range(0, 200, 20)], ids=str)
def test_random_programs(seeds):
    known = [check_program(seed) for seed in seeds]
    assert sum(known) >= len(known) // 2  # most programs have one meaning


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(k, k + 100) for k in range(200, 4000, 100)], ids=str)
def test_more_random_programs(seeds):
    for seed in seeds:
        check_program(seed)


# -- single facts ----------------------------------------------------------------------------------
def agrees(f, *xs):
    """The gradient of `f`, once value and caller's arrays have been seen to be NumPy's."""
    want = f(*[x.copy("K") for x in xs])
    kept = [x.copy() for x in xs]
    value, gradients = value_and_grad(f)(*xs)
    assert np.isclose(value, want) and all(np.array_equal(x, k) for x, k in zip(xs, kept))
    for i, (x, g) in enumerate(zip(xs, gradients)):
        for at in np.ndindex(x.shape):
            moved = [np.array(y, complex) for y in xs]
            moved[i][at] += 1e-30j
            assert np.isclose(g[at], f(*moved).imag / 1e-30)
    return gradients


X = np.arange(1.0, 7.0).reshape(2, 3)
SHORT = {
    "through a row": lambda x: (r := x[0], r.__setitem__(1, 5.0), np.sum(x * x))[-1],
    "seen by a row": lambda x: (r := x[0], x.__setitem__(..., x * 2.0), np.sum(r * r))[-1],
    "a view of a view": lambda x: (r := x[1:], s := r[0, ::2], s.__imul__(s), np.sum(x * r))[-1],
    "beside": lambda x: (a := x[:, 1:], b := x[:, :2], a.__iadd__(b), np.sum(a * b * x[:, :2]))[-1],
    "transposed": lambda x: (t := x.T, t.__setitem__(0, x[:, 1]), np.sum(x * x))[-1],
    "reshaped": lambda x: (r := x.reshape(3, 2), r.__setitem__(1, 7.0), np.sum(x * x))[-1],
    "raveled": lambda x: (r := x.ravel(), x.__setitem__(1, x[0]), np.sum(r * r[::-1]))[-1],
    "flattened": lambda x: (r := x.flatten(), x.__setitem__(1, x[0]), np.sum(r * r[::-1]))[-1],
    "new axis": lambda x: (r := x[:, None], r.__imul__(x[0]), np.sum(x * x))[-1],
    "squeezed": lambda x: (r := np.squeeze(x[:1]), r.__setitem__(0, 9.0), np.sum(x * x))[-1],
    "copied": lambda x: (r := x[0].copy(), r.__setitem__(0, 9.0), np.sum(x * r))[-1],
    "gathered": lambda x: (r := x[[0, 1]], r.__setitem__(0, 9.0), np.sum(x * r))[-1],
    "0-d": lambda x: (r := x[0, 1, ...], r.__iadd__(x[0, 0]), np.sum(x * x) * r)[-1],
    "scalar": lambda x: (r := x[0, 1], r := r + x[0, 0], np.sum(x * x) * r)[-1],
    "overlapping": lambda x: (x[0].__setitem__(slice(1, None), x[0, :-1]), np.sum(x * x))[-1],
    "to itself": lambda x: (x.__setitem__(slice(None), x[::-1]), np.sum(x * X))[-1],
    "swapped": lambda x: (x.__setitem__(slice(None), x[[1, 0]]), np.sum(x * X * x))[-1],
    "of what was written": lambda x: (
        y := np.zeros((2, 3), x.dtype, like=x),
        r := y[0],
        y.__setitem__(0, x[1]),
        r.__imul__(2.0),
        np.sum(y * x),
    )[-1],
}


@pytest.mark.parametrize("name", SHORT)
def test_short_programs(name):
    f = SHORT[name]
    agrees(f, X)
    t = np.cos(X)
    value, tangent = jvp(f, (X,), (t,))
    assert value == f(X.copy()) and np.isclose(tangent, np.sum(grad(f)(X)[0] * t))
    batch = np.stack([X, t])
    assert np.allclose(vmap(f)(batch), [f(row.copy()) for row in batch])
    assert np.allclose(vmap(grad(f))(batch)[0], [grad(f)(row)[0] for row in batch])


def test_in_a_row_of_vmap_a_number_is_a_number():
    """In each row x[0] is an immutable scalar, although all rows together are an array."""

    def f(x):
        total = x[0]
        other = total
        for i in range(1, 3):
            total += x[i]
        return total * x[0] + other

    assert np.array_equal(vmap(f)(X), [f(row.copy()) for row in X])
    assert np.allclose(vmap(grad(f))(X)[0], [grad(f)(row)[0] for row in X])


def test_the_second_half_of_an_augmented_write_changes_nothing():
    def f(x):
        y = x * 1.0
        y[0] += 1.0
        row = y[1]
        y[1] = row
        y[0] = row
        row *= 2.0
        y[1] = row
        return np.sum(y * y)

    assert np.allclose(agrees(f, X)[0], [[0, 0, 0], [10 * 4, 10 * 5, 10 * 6]])


@pytest.mark.parametrize("arrange", [lambda x: x.T, lambda x: x[:, ::2], lambda x: x[::-1]])
def test_layouts_that_decide_whether_reshape_is_a_view(arrange):
    """A write never changes what NumPy would leave, nor leaves what NumPy would change, unsaid."""

    def written(x):
        view = arrange(x).reshape(-1)
        view[0] = 9.0
        return np.sum(x * x) + np.sum(view)

    def seen(x):
        view = np.ravel(arrange(x))
        x[...] = x * 2.0
        return np.sum(x * view[0]) + np.sum(view)

    def after(x):
        y = arrange(x)
        y += 1.0  # must not hide how y lies in memory
        view = y.reshape(-1)
        y[0] = 5.0
        return np.sum(view * view) + np.sum(x)

    for f in (written, seen, after):
        with pytest.raises(AmbiguousAliasError, match=r"\.copy\(\)"):
            grad(f)(X)

    def unwritten(x):
        return np.sum(arrange(x).reshape(-1) ** 2)

    agrees(unwritten, X)


def test_an_argument_that_does_not_lie_in_c_order_keeps_its_order():
    big = np.arange(24.0).reshape(4, 6)

    def f(x):
        x += 1.0
        row = x[0].reshape(2, 1)
        flat = x.reshape(-1)  # a copy in NumPy
        return np.sum(row) + np.sum(flat * flat)

    agrees(f, big[:2, ::3])

    def g(x):
        x += 1.0
        flat = x.reshape(-1)
        flat[0] = 7.0
        return np.sum(x)

    with pytest.raises(AmbiguousAliasError):
        grad(g)(big[:2, ::3])
    assert np.allclose(agrees(g, np.ascontiguousarray(big[:2, ::3]))[0], [[0, 1], [1, 1]])


def test_read_only_views_refuse():
    def broadcast(x):
        np.broadcast_to(x, (2, 3))[0, 0] = 1.0
        return np.sum(x)

    def diagonal(x):
        np.diagonal(x)[0] = 1.0
        return np.sum(x)

    for f, x in ((broadcast, X[0]), (diagonal, X)):
        for call in (grad(f), lambda x, f=f: vmap(f)(x[None])):
            with pytest.raises(ValueError, match="read-only"):
                call(x)

    def refused(x):
        y = x * 1.0
        view = np.diagonal(y[:, :2])
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 100.0
        return np.sum(y * y) + np.sum(view)  # as if nothing had been tried

    assert np.allclose(grad(refused)(X)[0], 2 * X + np.eye(2, 3))


def test_views_of_constants_are_boxes_too():
    """Also where nothing moves: a plain view would write into, and lose sight of, the box."""

    def f(x):
        y = np.zeros((2, 3), like=x)
        row = y[0]
        y[0, 1] = x[0, 1]
        row[2] = x[1, 1] * row[1]
        z = np.ones(3, like=x)
        z[[0, 2]] += x[0, :2]
        return np.sum(y * y) + np.sum(z * z) + row[1]

    def plain(x):
        return (
            x[0, 1] ** 2
            + (x[1, 1] * x[0, 1]) ** 2
            + x[0, 1]
            + (1 + x[0, 0]) ** 2
            + 1
            + (1 + x[0, 1]) ** 2
        )

    t = np.cos(X)
    value, tangent = jvp(f, (X,), (t,))
    assert np.isclose(value, plain(X))
    assert np.isclose(tangent, plain(X + 1e-30j * t).imag / 1e-30)
    assert np.isclose(np.sum(grad(f)(X)[0] * t), tangent)
    assert np.isclose(jvp(lambda x: jvp(f, (x,), (t,))[0], (X,), (t,))[1], tangent)


def test_dead_views_are_forgotten_without_a_collector():
    gc.collect()
    gc.disable()
    try:
        alive = []

        def f(x):
            y = x * 1.0
            for _ in range(200):
                row = y[0]
                row *= 1.01
                part = row[1:]
                part += x[1, 1:]
            alive.extend([weakref.ref(row), weakref.ref(part), weakref.ref(y)])
            assert len(y.links.views) < 40
            return np.sum(y)

        grad(f)(X)
        assert [ref() for ref in alive] == [None, None, None]
    finally:
        gc.enable()


def test_a_list_of_all_rows():
    def f(x):
        y = x * x
        rows = list(y)
        for i, row in enumerate(rows):
            row *= x[i, 0]
            rows[i - 1][0] += row[1]
        y[0] = rows[1]
        return sum(np.sum(row * row) for row in rows)

    agrees(f, X)


def test_the_pullback_may_run_again():
    def f(x):
        y = np.zeros((2, 3), like=x)
        for i in range(2):
            row = y[i]
            row[...] = x[i] * x[i - 1]
            row[0] = x[0, 0]
        return y

    _, pullback = vjp(f, X)
    ct = np.cos(X)
    first, second = pullback(ct)[0], pullback(ct)[0]
    assert np.array_equal(first, second) and np.array_equal(ct, np.cos(X))
    want = grad(lambda x: np.sum(f(x) * ct))(X)[0]
    assert np.allclose(first, want)
