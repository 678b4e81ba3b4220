"""Writing entries: NumPy's values after every kind of write, in each mode; where it is refused."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import (
    ControlFlowError,
    ConversionError,
    EscapedTracerError,
    OuterWriteError,
    PlainBufferError,
    ShapeError,
)
from pycograd.core.modes import no_grad
from pycograd.core.tape import Var
from pycograd.ops.index import index_update
from pycograd.transforms.batch import vmap
from pycograd.transforms.checkpoint import checkpoint
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, value_and_grad, vjp
from pycograd.transforms.shapes import eval_shape

MASK = np.array([True, False, True, True])
# An index of (3, 4, 5), with the shape of what it takes.
KEYS = [
    1,
    -1,
    (0, 1, 2),
    (0, Ellipsis),
    (Ellipsis, 0),
    (),
    Ellipsis,
    None,
    slice(None),
    slice(None, None, -1),
    slice(2, 2),
    (slice(1, None), slice(None, None, 2), -1),
    (None, slice(None), 1),
    [0, 2],
    [],
    (slice(None), [3, 1]),
    ([0, 1], [1, 3]),
    ([0, 1], slice(None), [1, 3]),
    (1, slice(None), [1, 3]),
    ([[0], [2]], [[1, 3]]),
    (slice(None), MASK),
    np.arange(60).reshape(3, 4, 5) % 7 == 0,
    np.array([True, False, True]),
    np.arange(12).reshape(3, 4) % 5 == 0,
]
BY_NAME = pytest.mark.parametrize("key", KEYS, ids=[repr(k).replace("\n", "") for k in KEYS])


@pytest.fixture
def x(rng):
    return rng.standard_normal((3, 4, 5))


def values_for(hole, rng):
    """Values that broadcast to `hole`, of every rank that does."""
    yield rng.standard_normal(())
    if hole:
        yield rng.standard_normal(hole)
        yield rng.standard_normal((1, *hole))
        yield rng.standard_normal([1] * len(hole))
        yield rng.standard_normal(hole[1:])
        yield rng.standard_normal(hole[:-1] + (1,))


def check(f, *xs, rng):
    """`f` in every mode against plain NumPy: values, slopes by complex steps, loops for vmap."""
    want = f(*[x.copy() for x in xs])
    ts = [rng.standard_normal(x.shape) for x in xs]
    slope = np.imag(f(*[x + 1e-30j * t for x, t in zip(xs, ts)])) / 1e-30
    before = [x.copy() for x in xs]
    out, pullback = vjp(f, *xs)
    ct = rng.standard_normal(np.shape(want))
    assert np.array_equal(out, want)
    assert all(np.array_equal(x, b) for x, b in zip(xs, before)), "the caller's array was changed"
    product = sum(np.sum(g * t) for g, t in zip(pullback(ct), ts))
    assert np.isclose(product, np.sum(ct * slope), atol=1e-12)
    value, tangent = jvp(f, tuple(xs), tuple(ts))
    assert np.array_equal(value, want) and np.allclose(tangent, slope, atol=1e-12)
    batch = [np.stack([x, t]) for x, t in zip(xs, ts)]
    rows = [f(*[b[k].copy() for b in batch]) for k in range(2)]
    assert np.array_equal(vmap(f)(*batch), np.stack(rows))
    gradient = grad(lambda *xs: np.sum(f(*xs) ** 2))
    each = [gradient(*[b[k] for b in batch]) for k in range(2)]
    for got, ones in zip(vmap(gradient)(*batch), zip(*each)):
        assert np.allclose(got, np.stack(ones))
    for i in range(len(xs)):  # one argument mapped, the others shared
        axes = tuple([0 if j == i else None for j in range(len(xs))])
        args = [b if j == i else x for j, (b, x) in enumerate(zip(batch, xs))]
        rows = [f(*[(b[k] if j == i else x).copy() for j, (b, x) in enumerate(zip(batch, xs))])
                for k in range(2)]  # fmt: skip
        assert np.array_equal(vmap(f, axes)(*args), np.stack(rows))
    assert eval_shape(f, *xs) == ShapeDtypeStruct(np.shape(want))


@BY_NAME
def test_every_kind_of_write(key, x, rng):
    def write(x, v):
        y = x * x
        y[key] = v
        return y * x

    for v in values_for(x[key].shape, rng):
        try:
            x.copy()[key] = v
        except (ValueError, TypeError):  # NumPy's masks take fewer ranks than its other indices
            continue
        check(write, x, v, rng=rng)


@BY_NAME
def test_augmented_writes(key, x, rng):
    def augment(x, v):
        y = x * x
        y[key] += v
        y[key] *= y[key] - 2.0 * v
        y[key] -= 1.0
        return y * x

    check(augment, x, rng.standard_normal(()), rng=rng)


@BY_NAME
@pytest.mark.parametrize("constant", [2, 2.5, "array", "list"])
def test_constants_are_written(key, constant, x, rng):
    hole = x[key].shape
    given = {"array": rng.standard_normal(hole), "list": rng.standard_normal(hole[-1:]).tolist()}
    value = given.get(constant, constant)

    def write(x):
        y = np.sin(x)
        y[key] = value
        return y * x

    check(write, x, rng=rng)


@BY_NAME
def test_into_a_constant(key, x, rng):
    def write(x):
        y = np.zeros(x.shape, x.dtype, like=x)
        y[key] = x[key] * x[key]
        z = np.ones_like(x)
        z[key] += y[key]
        return y + z

    check(write, x, rng=rng)


@BY_NAME
def test_second_order(key, x, rng):
    def loss(x):
        y = np.zeros(x.shape, like=x)
        y[key] = np.sin(x[key]) * 2.0
        y[0] += x[0] * x[1]
        y[key] = y[key] * x[key]
        return np.sum(y * y * x)

    t, step = rng.standard_normal(x.shape), 1e-6
    gradient = grad(loss, argnums=0)
    want = (gradient(x + step * t) - gradient(x - step * t)) / (2 * step)
    near = {"rtol": 1e-5, "atol": 1e-6}
    assert np.allclose(jvp(gradient, (x,), (t,))[1], want, **near)
    assert np.allclose(grad(lambda x: np.sum(gradient(x) * t))(x)[0], want, **near)
    assert np.allclose(grad(lambda x: jvp(loss, (x,), (t,))[1])(x)[0], want, **near)
    both = vmap(lambda x: jvp(gradient, (x,), (t,))[1])(np.stack([x, x]))
    assert np.allclose(both[1], want, **near)


def test_of_equal_indices_the_last_wins(rng):
    at = (np.array([[0, 1], [1, 0]]), np.array([2, 2]))

    def write(x, v):
        y = x + 0.0 * v[0, 0]
        y[at] = v
        y[[1, 1, 1]] = v[0, 0] * np.stack([x[0], x[1], x[2]])
        return y

    check(write, rng.standard_normal((3, 4)), rng.standard_normal((2, 2)), rng=rng)
    g = grad(lambda x, v: np.sum(write(x, v)[0]), argnums=1)(np.ones((3, 4)), np.ones((2, 2)))
    assert np.array_equal(g, [[0.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize("x_mapped", [False, True])
@pytest.mark.parametrize("v_mapped", [False, True])
@pytest.mark.parametrize(
    "key",
    [
        lambda i: i,
        lambda i: (slice(None), i),
        lambda i: (i, i),
        lambda i: (i, slice(None), i),
        lambda i: (0, i),
        lambda i: (Ellipsis, i, None),
        lambda i: (slice(1, None), i, [0]),
    ],
)
def test_mapped_indices(key, x_mapped, v_mapped, rng):
    ids = np.array([[0, 2], [1, 1]])
    hole = np.zeros((3, 4, 5))[key(ids[0])].shape
    x, v = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((2, *hole))
    axes = (0 if x_mapped else None, 0, 0 if v_mapped else None)
    args = (x if x_mapped else x[0], ids, v if v_mapped else v[0])

    def write(x, i, v):
        y = x + 0.0 * np.sum(v)  # a box of the innermost transform
        y[key(i)] = v
        y[key(i)] += 2.0 * v
        return y

    def rows(f):
        return np.stack(
            [f(x[k if x_mapped else 0], ids[k], v[k if v_mapped else 0]) for k in range(2)]
        )

    assert np.array_equal(vmap(write, axes)(*args), rows(write))
    for argnum in (0, 2):
        gradient = grad(lambda x, i, v: np.sum(write(x, i, v) ** 2 * x), argnums=argnum)
        assert np.allclose(vmap(gradient, axes)(*args), rows(gradient))


def test_masks_of_boxes(rng):
    def clipped(x, c):
        y = x * x
        y[y > 0.5] = c
        y[(x < 0) & (y > 0.1)] *= 2.0
        return y

    def simple(x, c):
        y = x * x
        y[y > 0.5] = c
        y[x[:, 0] < 0] = 1.5 * c
        return y * x

    x, c = rng.standard_normal((3, 4)), np.array(0.25)
    check_real = simple(x, c)
    assert np.array_equal(vjp(simple, x, c)[0], check_real)
    batch = rng.standard_normal((2, 3, 4))
    assert np.array_equal(vmap(simple, (0, None))(batch, c), [simple(b, c) for b in batch])
    gradient = grad(lambda x, c: np.sum(simple(x, c) ** 2))
    for got, want in zip(
        vmap(gradient, (0, None))(batch, c), zip(*[gradient(b, c) for b in batch])
    ):
        assert np.allclose(got, np.stack(want))
    assert eval_shape(simple, x, c) == ShapeDtypeStruct((3, 4))
    assert np.array_equal(vjp(clipped, x, c)[0], clipped(x, c))
    with pytest.raises(ControlFlowError, match=r"np\.where"):
        vmap(clipped, (0, None))(batch, c)


# -- in place or not -----------------------------------------------------------------------------
def test_a_buffer_that_nobody_sees_is_written_in_place():
    places = []

    def fill(x):
        y = np.zeros(4, like=x)
        for i in range(4):
            y[i] = x[i] * x[i - 1]
            places.append(id(y.value))
        rows = np.zeros((4, 2), like=x)
        for i in range(4):
            rows[i] = x[:2] * y[i]
            rows[i] += rows[i - 1]
            places.append(id(rows.value))
        return np.sum(y * x) + np.sum(rows)

    grad(fill)(np.arange(1.0, 5.0))
    assert len(set(places[:4])) == 1 and len(set(places[4:])) == 1


def recurrence(x):
    y = np.zeros(x.shape[0], like=x)
    y[0] = x[0]
    for i in range(1, x.shape[0]):
        y[i] = np.sin(y[i - 1]) * x[i]
    return np.sum(y * y)


def states(x):
    y = np.zeros((x.shape[0], 3), like=x)
    y[0] = x[:3]
    for i in range(1, x.shape[0]):
        last = y[i - 1]
        y[i] = np.sin(last) * x[i] + last[0]
    return np.sum(y * y)


@pytest.mark.parametrize("f", [recurrence, states])
def test_recurrences_copy_nothing_in_any_nesting(f, monkeypatch):
    calls = []
    impl = index_update.impl

    def noted(*operands, in_place=False, **params):
        calls.append(in_place)
        return impl(*operands, in_place=in_place, **params)

    x, t, step = np.linspace(0.5, 1.5, 12), np.cos(np.arange(12.0)), 1e-6
    gradient = grad(f, argnums=0)
    slope = (gradient(x + step * t) - gradient(x - step * t)) / (2 * step)
    first = gradient(x)
    assert np.isclose(np.sum(first * t), (f(x + step * t) - f(x - step * t)) / (2 * step))
    monkeypatch.setattr(index_update, "impl", noted)
    for g, want in (
        (lambda: gradient(x), first),
        (lambda: jvp(f, (x,), (t,))[1], np.sum(first * t)),
        (lambda: jvp(gradient, (x,), (t,))[1], slope),
        (lambda: grad(lambda x: np.sum(gradient(x) * t))(x)[0], slope),
        (lambda: vmap(gradient)(np.stack([x, t]))[0], first),
    ):
        calls.clear()
        assert np.allclose(g(), want, atol=1e-7)
        assert calls.count(False) <= 6, calls  # a copy to begin with for each kind of buffer


def test_what_is_saved_or_seen_is_not_overwritten(rng):
    x = rng.standard_normal(4)
    seen = []

    def f(x):
        y = np.exp(x)  # kept for the sweep
        y[0] = x[1]
        z = y * y  # keeps y
        y[1] = 5.0
        w = y.copy()
        w[2] = x[0]
        seen.append(y.value)
        y[3] = x[0] * 3.0
        seen.append(y.value)
        return np.sum(z) + np.sum(w * y)

    def plain(x):
        y = np.exp(x)
        y[0] = x[1]
        z = y * y
        y[1] = 5.0
        w = y.copy()
        w[2] = x[0]
        y[3] = x[0] * 3.0
        return np.sum(z) + np.sum(w * y)

    value, (g,) = value_and_grad(f)(x)
    assert value == plain(x)
    assert np.allclose(g, [plain(x + 1e-30j * e).imag / 1e-30 for e in np.eye(4)])
    assert seen[0] is not seen[1] and seen[0][3] == np.exp(x[3])


def test_arguments_change_inside_only(rng):
    x, y = rng.standard_normal((2, 3)), rng.standard_normal(3)
    kept = x.copy(), y.copy()

    def f(x, y):
        x[0] = y
        x += 1.0
        y *= x[1]
        x[:, 1] -= y[0]
        np.multiply(x, 2.0, out=x)
        return np.sum(x * x) + np.sum(y)

    want = f(x.copy(), y.copy())
    for call in (
        lambda: value_and_grad(f)(x, y)[0],
        lambda: vjp(f, x, y)[0],
        lambda: jvp(f, (x, y), (x * 1.0, y * 1.0))[0],
        lambda: vmap(f)(np.stack([x, x]), np.stack([y, y]))[1],
        lambda: vmap(f, (None, 0))(x, np.stack([y, y]))[1],
        lambda: (jvp(grad(f), (x, y), (x * 1.0, y * 1.0)), want)[1],
        lambda: (eval_shape(f, x, y), want)[1],
    ):
        assert np.isclose(call(), want)
        assert np.array_equal(x, kept[0]) and np.array_equal(y, kept[1])


def test_a_fresh_argument_array_may_be_kept_by_the_pullback():
    out, pullback = vjp(lambda x: x.__setitem__(0, 5.0) or x * x, np.arange(3.0))
    assert np.array_equal(out, [25, 1, 4])
    assert np.array_equal(pullback(np.ones(3))[0], [0, 2, 4])
    assert np.array_equal(pullback(np.ones(3))[0], [0, 2, 4])


def test_a_write_below_no_grad_is_a_constant():
    def f(x):
        y = x * 2.0
        with no_grad():
            y[0] = x[0] * 7.0
            view = y[1:]
            view += 1.0
        return np.sum(y * y), y.value

    x = np.array([1.0, 2.0, 3.0])
    (value, y), (g,) = value_and_grad(f, has_aux=True)(x)
    assert np.array_equal(y, [7, 5, 7]) and value == 49 + 25 + 49
    assert np.array_equal(x, [1, 2, 3])
    assert g[0] == 0


def test_by_hand():
    v = Var(np.arange(1.0, 4.0))
    y = v * 2.0
    y[0] = v[1] * v[2]
    y[1:] += y[:-1]
    (y * y).sum().backward()

    def f(x):
        y = x * 2.0
        y[0] = x[1] * x[2]
        y[1:] += y[:-1]
        return np.sum(y * y)

    assert np.allclose(v.grad, grad(f)(np.arange(1.0, 4.0))[0])


def test_dtypes_of_the_array_are_kept(rng):
    for dtype in (np.float32, np.float16, np.complex64):

        def f(x, v):
            y = np.zeros(3, x.dtype, like=x)
            y[0] = v[0]
            y[1:] = v[1:] * x[0]
            y[1] = 2.5
            assert y.dtype == x.dtype
            return np.real(np.sum(y * y))

        gx, gv = grad(f)(np.ones(1, dtype), rng.standard_normal(3))
        assert gx.dtype == dtype and gv.dtype == np.float64


# -- errors --------------------------------------------------------------------------------------
def test_errors_name_what_is_wrong(x):
    def writing(key, value):
        def f(x):
            y = x * 1.0
            y[key] = value(x) if callable(value) else value
            return np.sum(y)

        return f

    with pytest.raises(
        ShapeError, match=r"item assignment: .* \(3,\) does .* entries of shape \(3, 5\)"
    ):
        grad(writing((slice(None), 0), np.ones(3)))(x)
    with pytest.raises(ShapeError, match="item assignment"):
        grad(writing(0, lambda x: x[:, 0]))(x)
    with pytest.raises(ShapeError, match="item assignment"):
        eval_shape(writing(0, lambda x: x[:, 0]), x)
    with pytest.raises(ShapeError, match="axes"):
        grad(writing(0, np.ones((2, 4, 5))))(x)
    with pytest.raises(IndexError):
        grad(writing(5, 1.0))(x)
    with pytest.raises(IndexError):
        grad(writing([5], 1.0))(x)
    with pytest.raises(IndexError):
        grad(writing(np.ones(4, bool), 1.0))(x)
    with pytest.raises(TypeError, match=r"np\.real"):
        grad(writing(0, 1j))(x)
    with pytest.raises(TypeError, match=r"np\.real"):
        grad(writing(0, lambda x: x[0] * 1j))(x)
    with pytest.raises(TypeError, match="item assignment"):
        grad(lambda x: x[0].__setitem__((), 1.0) or x[0])(np.ones(3))


def test_writing_outwards_is_an_error():
    def outer(x):
        y = x * 1.0

        def inner(v):
            y[0] = v * 2.0
            return v

        grad(inner)(x[0])
        return np.sum(y)

    with pytest.raises(EscapedTracerError, match="Return it"):
        grad(outer)(np.ones(3))

    def rows(x):
        y = np.zeros(3, like=x)
        vmap(lambda r: y.__setitem__(0, r) or r)(x)
        return np.sum(y)

    with pytest.raises(EscapedTracerError, match="Return it"):
        grad(rows)(np.ones(3))


def test_writing_out_of_a_checkpoint_is_an_error_that_changes_nothing():
    def f(x):
        y = np.zeros(3, like=x)

        def inner(v):
            y[0] = 5.0
            return v

        with pytest.raises(OuterWriteError):
            checkpoint(inner)(x)
        assert np.array_equal(y.value, np.zeros(3))
        return np.sum(x)

    grad(f)(np.ones(3))


# -- functions that write ------------------------------------------------------------------------
def _copyto(x, v):
    np.copyto(x, v[:5])
    np.copyto(x, 2.0 * v[0], where=np.arange(5) > 3)
    np.copyto(x, np.arange(5.0), where=[True, False, False, False, False])
    np.copyto(x[0, 0], v.reshape(1, 1, 5) * 2.0, where=[False, True, False, False, False])


def _put(x, v):
    np.put(x, [0, 7, -1, 7], v)
    np.put(x, [59, 61], v[2], mode="wrap")
    x.put([100, 2], v[:1], mode="clip")
    np.put(x, [3, 4, 5], [])


def _putmask(x, v):
    np.putmask(x, np.arange(60).reshape(3, 4, 5) % 2 == 0, v)
    np.putmask(x, np.arange(60).reshape(3, 4, 5) % 11 == 0, 3.5)


def _place(x, v):
    np.place(x, np.arange(60).reshape(3, 4, 5) % 3 == 0, v)
    np.place(x, np.zeros((3, 4, 5), bool), v)


def _fill_diagonal(x, v):
    np.fill_diagonal(x[0], v)
    np.fill_diagonal(x[:, 1:, 0], 7.0)
    np.fill_diagonal(x[:, :3, :3], v[0])


def _put_along_axis(x, v):
    np.put_along_axis(x, np.array([[[3, 0]]]), v[:2], 2)
    np.put_along_axis(x, np.argsort(np.arange(60).reshape(3, 4, 5) % 4, axis=1)[:, :1], v[0], 1)
    np.put_along_axis(x, np.array([1, 2, 58]), v[:3], None)


@pytest.mark.parametrize(
    "write", [_copyto, _put, _putmask, _place, _fill_diagonal, _put_along_axis]
)
def test_functions_that_write(write, x, rng):
    def f(x, v):
        y = x * x
        write(y, v)
        return y * x

    check(f, x, rng.standard_normal(5), rng=rng)


def test_fill_diagonal_wraps(rng):
    def f(x, v):
        y = x * x
        np.fill_diagonal(y, v, wrap=True)
        return y

    check(f, rng.standard_normal((7, 3)), rng.standard_normal(4), rng=rng)


def test_masks_of_boxes_in_functions(rng):
    batch, v = rng.standard_normal((2, 3, 4)), rng.standard_normal(5)

    def f(x, v):
        y = x * x
        np.putmask(y, x > 0, v)
        np.copyto(y, -x, where=x > 1)
        return y

    assert np.array_equal(vmap(f, (0, None))(batch, v), [f(b, v) for b in batch])
    with pytest.raises(ControlFlowError, match=r"np\.where"):
        vmap(lambda x: np.place(x * 1.0, x > 0, [1.0]) or x)(batch)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda y, x: np.copyto(y, 1j), TypeError),
        (lambda y, x: np.copyto(y, np.ones(7)), ShapeError),
        (lambda y, x: np.copyto(y, np.ones((2, 3, 4, 5)), where=y > 0), ShapeError),
        (lambda y, x: np.copyto(y[0, :1], np.ones((4, 5)), where=y[0] > 0), ShapeError),
        (lambda y, x: np.copyto(y, 1.0, where=np.ones((2, 3, 4, 5), bool)), ShapeError),
        (lambda y, x: y[:, :1].__setitem__(np.ones((3, 1), bool), np.ones(7)), ShapeError),
        (lambda y, x: y[..., :1].__setitem__(np.ones((3, 4), bool), np.ones(7)), ShapeError),
        (lambda y, x: np.put(y, [60], 1.0), IndexError),
        (lambda y, x: np.put(y, [0], 1.0, mode="no"), ValueError),
        (lambda y, x: np.putmask(y, [True], 1.0), ShapeError),
        (lambda y, x: np.place(y, y > -100, []), ValueError),
        (lambda y, x: np.fill_diagonal(y, 1.0), ValueError),
        (lambda y, x: np.fill_diagonal(y[0, 0], 1.0), ValueError),
        (lambda y, x: np.put_along_axis(y, np.array([0]), 1.0, 0), ShapeError),
    ],
)
def test_bad_arguments(call, error, x):
    with pytest.raises(error):
        grad(lambda x: call(x * 1.0, x) or np.sum(x))(x)


PLAIN = {
    "copyto": lambda plain, x: np.copyto(plain, x),
    "copyto-where": lambda plain, x: np.copyto(plain, x, where=[True, False, True]),
    "put": lambda plain, x: np.put(plain, [0], x[:1]),
    "putmask": lambda plain, x: np.putmask(plain, [True, False, True], x),
    "place": lambda plain, x: np.place(plain, [True, False, True], x),
    "put_along_axis": lambda plain, x: np.put_along_axis(plain, np.array([0]), x[:1], 0),
    "out": lambda plain, x: np.add(x, 1.0, out=plain),
    "take-out": lambda plain, x: np.take(x, [0, 1, 2], out=plain),
    "augmented": lambda plain, x: plain.__iadd__(x),
}
UNSEEN = {  # NumPy asks no box: its own conversion is refused
    "item": lambda plain, x: plain.__setitem__(0, x[0]),
    "slice": lambda plain, x: plain.__setitem__(slice(None), x),
    "method": lambda plain, x: plain.put([0], x[:1]),
    "fill": lambda plain, x: plain.fill(x[0]),
    "flat": lambda plain, x: plain.flat.__setitem__(0, x[0]),
    "fill_diagonal": lambda plain, x: np.fill_diagonal(np.zeros((3, 3)), x),
}


@pytest.mark.parametrize("run", ["grad", "jvp", "vmap", "eval_shape"])
@pytest.mark.parametrize("name", [*PLAIN, *UNSEEN])
def test_a_plain_array_takes_no_box(name, run):
    def f(x):
        plain = np.zeros(3)
        {**PLAIN, **UNSEEN}[name](plain, x)
        return np.sum(x)

    runs = {
        "grad": lambda x: grad(f)(x),
        "jvp": lambda x: jvp(f, (x,), (x,)),
        "vmap": lambda x: vmap(f)(np.stack([x, x])),
        "eval_shape": lambda x: eval_shape(f, x),
    }
    with pytest.raises((TypeError, ValueError)) as raised:
        runs[run](np.ones(3))
    if name in PLAIN:
        assert isinstance(raised.value, PlainBufferError) and "like=x" in str(raised.value)
    elif name != "flat":
        ours = (ConversionError, ControlFlowError, PlainBufferError)
        # NumPy may say "setting an array element with a sequence", ours being its cause.
        assert isinstance(raised.value, ours) or isinstance(raised.value.__cause__, ours)


def test_shapes_of_writes_with_symbols():
    def f(x, i, v):
        y = np.zeros(4, like=x)
        y[i] = v
        y[0] += x[1]
        y[1:] *= x[1:]
        return np.sum(y * x)

    x, i, v = (ShapeDtypeStruct(*a) for a in ((("B", 4),), (("B", 2), "int64"), (("B",),)))
    assert eval_shape(vmap(f), x, i, v) == v
    assert eval_shape(vmap(grad(f, argnums=(0, 2))), x, i, v) == (x, v)

    def g(x):
        x[1:] = x[:-1] * 2.0
        x[:, 0] = 1.0
        return np.sum(x)

    assert eval_shape(grad(g), x) == (x,)


@pytest.mark.parametrize("under", ["grad", "vmap", "eval_shape"])
@pytest.mark.parametrize("key", [slice(0, 2), np.array([0, 2])])
def test_a_value_that_does_not_fit_is_told_where(under, key):
    def f(x):
        y = np.zeros(3, like=x) + x
        y[key] = np.ones(3)
        return np.sum(y)

    run = {
        "grad": lambda: grad(f)(np.ones(3)),
        "vmap": lambda: vmap(f)(np.ones((5, 3))),
        "eval_shape": lambda: eval_shape(f, np.ones(3)),
    }[under]
    message = r"item assignment: a value of shape \(3,\) does not fit into entries of shape \(2,\)"
    with pytest.raises(ShapeError, match=rf"^{message} \(.*test_assign.py"):
        run()


def test_a_write_through_thousands_of_chained_views():
    def f(x):
        y = x * 1.0
        views = [y]
        for _ in range(3000):
            views.append(views[-1][:])
        views[-1][0] = x[1] * 2
        return np.sum(y * views[1500])

    x = np.arange(4.0)
    assert np.array_equal(grad(f)(x)[0], [0, 2 * x[1] + 8 * x[1], 2 * x[2], 2 * x[3]])
