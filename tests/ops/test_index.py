"""Reading entries: NumPy's values, finite differences, and loops in place of vmap."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd.core.aval import ShapeDtypeStruct
from pycograd.core.errors import (
    ControlFlowError,
    ConversionError,
    ShapeError,
    SymbolicSizeError,
)
from pycograd.core.tape import Var
from pycograd.ops.index import index_add
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.shapes import eval_shape

MASK = np.array([True, False, True, True])
KEYS = [
    0,
    -1,
    np.int64(1),
    slice(None),
    slice(None, None, -1),
    slice(1, None),
    slice(-2, None),
    slice(np.int64(0), 2),
    slice(2, 0, -1),
    slice(2, 2),
    slice(5, 9),
    None,
    Ellipsis,
    (),
    (0, 1),
    (2, 3, 4),
    (-1, -1, -1),
    (0, Ellipsis),
    (Ellipsis, 0),
    (0, 1, 2, Ellipsis),
    (0, Ellipsis, None, slice(1, 3)),
    (slice(None), None, 1, None),
    (None, slice(None), Ellipsis, slice(None, None, 2), None),
    [0, 2],
    [],
    [[0, 1], [2, 0]],
    np.array(1),
    np.array([0, 0, -1]),
    np.array([1, 2], np.uint8),
    np.zeros((0, 2), int),
    (np.array([0, 1]), np.array([1, 1])),
    (np.array([[0], [1]]), np.array([1, 3])),
    (slice(None), [0, 2]),
    (slice(None), [0, 2, 2], 1),
    (1, [0, 2]),
    (1, slice(None), [0, 2]),
    ([0, 1], slice(None), [1, 2]),
    ([0, 1], slice(None), 2),
    ([0, 1], None, [1, 2]),
    ([0, 1], Ellipsis, [1, 2]),
    (None, [0, 1], [1, 2], None),
    (Ellipsis, [0, 1], slice(1, 3)),
    (slice(1, None), [[1, 2]], [[0], [3]]),
    (slice(None), MASK),
    (slice(None), MASK, [0, 1, 2]),
    (slice(None), list(MASK)),
    (Ellipsis, np.arange(5) > 2),
    np.arange(12).reshape(3, 4) % 5 == 0,
    np.zeros((3, 4, 5), bool),
    np.arange(60).reshape(3, 4, 5) % 7 == 0,
    (slice(None), MASK, slice(None, None, 2)),
    (MASK[:3], slice(None), 1),
    True,
    (False, slice(1, None)),
    (slice(None), np.True_, 2),
]
BY_NAME = pytest.mark.parametrize("key", KEYS, ids=[repr(k).replace("\n", "") for k in KEYS])


def boxed(f, x):
    """The value of `f` run on a box."""
    return vjp(f, x)[0]


def directional(f, x, t, step=1e-6):
    return (f(x + step * t) - f(x - step * t)) / (2 * step)


@pytest.fixture
def x(rng):
    return rng.standard_normal((3, 4, 5))


@BY_NAME
def test_every_kind_of_index(key, x, rng):
    def f(x):
        return x[key]

    want = x[key]
    out, pullback = vjp(f, x)
    assert type(out) is type(want) and np.array_equal(out, want)
    ct, t = rng.standard_normal(want.shape), rng.standard_normal(x.shape)
    expected = np.zeros_like(x)
    np.add.at(expected, key, ct)
    assert np.allclose(pullback(ct)[0], expected)
    assert np.array_equal(jvp(f, (x,), (t,))[1], t[key])
    if not any(isinstance(k, (bool, np.bool_)) for k in (key if type(key) is tuple else (key,))):
        assert eval_shape(f, x) == ShapeDtypeStruct(want.shape)


@BY_NAME
def test_vmap_is_a_loop(key, rng):
    batch = rng.standard_normal((2, 3, 4, 5))
    want = np.stack([x[key] for x in batch])
    assert np.array_equal(vmap(lambda x: x[key])(batch), want)
    moved = np.ascontiguousarray(np.moveaxis(batch, 0, -1))
    assert np.array_equal(vmap(lambda x: x[key], in_axes=-1)(moved), want)
    gradients = vmap(grad(lambda x: np.sum(x[key] ** 2)))(batch)[0]
    each = [grad(lambda x: np.sum(x[key] ** 2))(x)[0] for x in batch]
    assert np.allclose(gradients, each)


@BY_NAME
def test_second_order(key, x, rng):
    t = rng.standard_normal(x.shape)
    gradient = grad(lambda x: np.sum(np.sin(x[key]) * x[key]), argnums=0)
    want = directional(gradient, x, t)
    assert np.allclose(jvp(gradient, (x,), (t,))[1], want, atol=1e-7)
    assert np.allclose(grad(lambda x: np.sum(gradient(x) * t))(x)[0], want, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "float32", "longdouble", "complex64"])
@pytest.mark.parametrize("key", [1, (slice(None), 1), [0, 0, 1], MASK], ids=repr)
def test_dtype_is_kept(key, dtype, x):
    x = x[0].astype(dtype)
    (g,) = grad(lambda x: np.real(np.sum(x[key] * x[key])) * 1.0)(x)
    assert g.dtype == x.dtype and g.shape == x.shape
    out, tangent = jvp(lambda x: x[key], (x,), (x,))
    assert out.dtype == tangent.dtype == x.dtype


def test_repeated_reads_add_up(x):
    def f(x):
        row = x[0]
        return row[1, 2] * x[0, 1, 2] + x[0][1][2] + np.sum(x[:2, 1]) + x[np.array([0, 0]), 1, 2][1]

    expected = np.zeros_like(x)
    expected[:2, 1] += 1
    expected[0, 1, 2] += 2 * x[0, 1, 2] + 2
    assert np.allclose(grad(f)(x)[0], expected)


def test_the_gradient_of_a_read_is_memory_of_its_own(x):
    first = grad(lambda x: np.sum(x[0]) + np.sum(x))(x)[0]
    second = grad(lambda x: np.sum(x[0]))(x)[0]
    assert np.all(first[0] == 2) and np.all(first[1:] == 1) and np.all(second[1:] == 0)
    assert first.flags.writeable and first.flags.owndata


def test_a_shared_cotangent_is_not_added_into():
    def f(x, y):
        z = x + y  # one cotangent array for both
        return np.sum(z * 2.0) + x[0] * 5.0

    gx, gy = grad(f)(np.ones(3), np.ones(3))
    assert np.array_equal(gx, [7, 2, 2]) and np.array_equal(gy, [2, 2, 2])


def test_the_cotangent_given_by_the_user_is_not_written_to():
    _, pullback = vjp(lambda x: (x * 1.0, x[0], x[1:]), np.ones(3))
    ct = (np.ones(3), np.float64(1.0), np.ones(2))
    assert np.array_equal(pullback(ct)[0], [2, 2, 2])
    assert np.array_equal(pullback(ct)[0], [2, 2, 2])
    assert np.array_equal(ct[0], np.ones(3))


def in_place_calls(monkeypatch, primitive):
    """A list that fills with what `in_place` was at each run of `primitive` on plain arrays."""
    calls = []
    impl = primitive.impl

    def noted(*operands, in_place=False, **params):
        calls.append(in_place)
        return impl(*operands, in_place=in_place, **params)

    monkeypatch.setattr(primitive, "impl", noted)
    return calls


def squares(x):
    total = 0.0
    for i in range(x.shape[0]):
        total = total + x[i] * x[i]
    return total


def test_cotangents_of_reads_are_collected_in_one_buffer(monkeypatch):
    """Once it is there, no sweep of any nesting makes another array of the size of the whole."""
    calls = in_place_calls(monkeypatch, index_add)
    x, t = np.linspace(0.0, 1.0, 20), np.cos(np.arange(20.0))
    assert np.allclose(grad(squares)(x)[0], 2 * x) and calls == []  # no functional addition at all
    for f, want in (
        (lambda x: grad(lambda x: np.sum(grad(squares)(x)[0] ** 2))(x)[0], 8 * x),
        (lambda x: jvp(lambda x: grad(squares)(x)[0], (x,), (t,))[1], 2 * t),
        (lambda x: vmap(grad(squares))(np.stack([x, t]))[0][0], 2 * x),
    ):
        calls.clear()
        assert np.allclose(f(x), want)
        assert len(calls) >= 38 and all(calls[2:])


def test_iteration_unpacking_and_membership(x):
    def f(x):
        (a, b, c), total = x[:, 0, 0], 0.0
        for row in x:
            total = total + np.sum(row[0] * row[1])
        return total + a * b * c

    t = np.cos(x)
    assert np.isclose(np.sum(grad(f)(x)[0] * t), directional(f, x, t))
    assert boxed(lambda x: x * (x[0, 0, 0] in x), x)[0, 0, 0] == x[0, 0, 0]


def test_by_hand(x):
    v = Var(x)
    (v[0] * v[1]).sum().backward()
    assert np.array_equal(v.grad[0], x[1]) and np.array_equal(v.grad[1], x[0])
    assert np.all(v.grad[2] == 0)


# -- indices that are boxes ----------------------------------------------------------------------
ROWS = np.array([[0, 2], [1, 1], [2, 0]])
ONES = np.array([0, 2, 1])
BOXED_KEYS = [
    lambda i, j: i,
    lambda i, j: (i, j),
    lambda i, j: (slice(None), i),
    lambda i, j: (slice(None), i, j),
    lambda i, j: (i, slice(None), j),
    lambda i, j: (Ellipsis, i),
    lambda i, j: (0, i),
    lambda i, j: (0, slice(None), i),
    lambda i, j: (None, slice(None), i, None),
    lambda i, j: (i, None, 1),
    lambda i, j: (slice(None), i, np.array([[0], [1], [3]])),
    lambda i, j: (np.array([True, False, True]), i),
]


@pytest.mark.parametrize("number", range(len(BOXED_KEYS)))
@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("x_mapped", [False, True])
@pytest.mark.parametrize("j_mapped", [False, True])
def test_mapped_indices(number, scalar, x_mapped, j_mapped, rng):
    batch = rng.standard_normal((3, 3, 4, 5))
    x, i = (batch if x_mapped else batch[0]), (ONES if scalar else ROWS)
    j = i[::-1] if j_mapped else i[0]
    axes = (0 if x_mapped else None, 0, 0 if j_mapped else None)

    def f(x, i, j):
        return x[BOXED_KEYS[number](i, j)]

    def rows(function):
        return [function(x[k] if x_mapped else x, i[k], j[k] if j_mapped else j) for k in range(3)]

    assert np.array_equal(vmap(f, axes)(x, i, j), np.stack(rows(f)))
    gradient = grad(lambda x, i, j: np.sum(f(x, i, j) ** 2), argnums=0)
    assert np.allclose(vmap(gradient, axes)(x, i, j), np.stack(rows(gradient)))
    hvp = grad(lambda x, i, j: np.sum(gradient(x, i, j) ** 2), argnums=0)
    assert np.allclose(vmap(hvp, axes)(x, i, j), np.stack(rows(hvp)))


def test_one_table_for_all_rows(rng):
    table = rng.standard_normal((4, 3))
    ids = np.array([[0, 1], [1, 1], [3, 0]])
    assert np.array_equal(vmap(lambda t, i: t[i], (None, 0))(table, ids), table[ids])
    got = grad(lambda t: np.sum(vmap(lambda t, i: np.sum(t[i]) ** 2, (None, 0))(t, ids)))(table)[0]
    want = grad(lambda t: sum(np.sum(t[i]) ** 2 for i in ids))(table)[0]
    assert np.allclose(got, want)
    nested = vmap(vmap(lambda t, i: t[i], (None, 0)), (None, 0))(table, ids)
    assert np.array_equal(nested, table[ids])


def test_a_plain_table_and_mapped_indices(rng):
    table, ids = rng.standard_normal((4, 3)), np.array([3, 0, -1])
    assert np.array_equal(vmap(lambda i: np.asarray(table, like=i)[i])(ids), table[ids])
    rows = np.array([[3, 0], [1, 1]])
    got = vmap(lambda i: np.take_along_axis(table, i[:, None], 0))(rows)
    assert np.array_equal(got, [np.take_along_axis(table, i[:, None], 0) for i in rows])
    by_take, by_method = lambda i: np.take(table, i, axis=0), lambda i: table.take(i)
    take = table.take(ids, mode="wrap")
    for unseen in (lambda i: table[i], by_take, by_method):
        with pytest.raises(ConversionError):  # NumPy asks no box here
            vmap(unseen, transparent=False)(ids)
        assert np.array_equal(vmap(unseen)(ids), table[ids] if unseen is not by_method else take)


def test_a_mask_that_differs_between_rows_is_refused(x):
    with pytest.raises(ControlFlowError, match=r"np\.where\(mask, x, 0\)"):
        vmap(lambda x: np.sum(x[x > 0]))(x)
    with pytest.raises(ControlFlowError, match=r"np\.where\(mask, x, 0\)"):
        vmap(grad(lambda x: np.sum(x[x > 0] ** 2)))(x)
    with pytest.raises(ControlFlowError, match="nonzero"):
        vmap(lambda x: np.flatnonzero(x > 0))(x)
    shared = x[0] > 0
    got = vmap(grad(lambda x: np.sum(x[shared] ** 2)))(x)[0]
    assert np.allclose(got, 2 * x * shared)
    got = vmap(lambda x, m: np.sum(x[m]), (0, None))(x, shared)
    assert np.allclose(got, [np.sum(row[shared]) for row in x])


def test_mixed_key_of_box_and_box_position_in_a_list(x):
    with pytest.raises(ConversionError, match=r"np\.stack"):
        vmap(lambda i: x[0, 0, 0] * 1.0 + vmap(lambda y: y[[i, i]])(x)[0])(ONES)


# -- shapes without data -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("key", "shape"),
    [
        (slice(None), ("B",)),
        (slice(1, None), lambda b: b - 1),
        (slice(None, -2), lambda b: b - 2),
        (slice(1, -1), lambda b: b - 2),
        (slice(None, None, 2), lambda b: (b + 1) // 2),
        (slice(None, None, -1), lambda b: b),
        (slice(1, None, 3), lambda b: (b + 1) // 3),
        (slice(None, 1), lambda b: 1),
        (None, lambda b: None),
    ],
)
def test_symbolic_slices(key, shape):
    out = eval_shape(lambda x: x[key], ShapeDtypeStruct(("B", 3)))
    for b in (4, 5, 9):
        actual = tuple(n.subs({"B": b}) if hasattr(n, "subs") else n for n in out.shape)
        assert actual == np.zeros((b, 3))[key].shape


def test_slices_bounded_by_sizes():
    struct = ShapeDtypeStruct(("B", 3))

    def halves(x):
        n = x.shape[0]
        return x[: n // 2], x[n // 2 :], x[1 : n - 1]

    for out, name in zip(eval_shape(halves, struct), ("first", "second", "inner")):
        for b in (2, 5, 8):
            x = np.zeros((b, 3))
            want = dict(zip(("first", "second", "inner"), halves(x)))[name].shape
            assert tuple(n.subs({"B": b}) if hasattr(n, "subs") else n for n in out.shape) == want
    gradient = eval_shape(grad(lambda x: np.sum(x[1:] * x[:-1])), struct)[0]
    assert gradient == struct


def test_a_length_that_depends_on_the_number_is_refused():
    with pytest.raises(SymbolicSizeError, match=r"\[:5\] on an axis of symbolic size B"):
        eval_shape(lambda x: x[:5], ShapeDtypeStruct(("B",)))
    with pytest.raises(SymbolicSizeError, match=r"\[3:1:-1\]"):
        eval_shape(lambda x: x[3:1:-1], ShapeDtypeStruct(("B",)))


def test_a_mask_gives_a_fresh_size():
    out = eval_shape(lambda x: x[x > 0], ShapeDtypeStruct((4, 3)))
    assert repr(out) == "f64[n0]"
    out = eval_shape(lambda x: x[:, x[0] > 0], ShapeDtypeStruct(("B", 3), "float32"))
    assert repr(out) == "f32[B,n0]"
    known = eval_shape(lambda x: x[MASK], ShapeDtypeStruct((4, 2)))
    assert known == ShapeDtypeStruct((3, 2))
    assert eval_shape(grad(lambda x: np.sum(x[x > 0])), ShapeDtypeStruct((4,)))[0].shape == (4,)


def test_one_mask_gives_one_size():
    def f(x, y):
        mask = x > 0
        return x[mask] * y[mask]

    assert repr(eval_shape(f, ShapeDtypeStruct((4,)), ShapeDtypeStruct((4,)))) == "f64[n0]"


def test_shapes_of_gathers_with_symbols():
    x, i = ShapeDtypeStruct(("B", 4)), ShapeDtypeStruct(("N",), "int64")
    assert repr(eval_shape(lambda x, i: x[:, i], x, i)) == "f64[B,N]"
    assert repr(eval_shape(lambda x, i: np.take(x, i, axis=0), x, i)) == "f64[N,4]"
    order = eval_shape(lambda x: np.take_along_axis(x, np.argsort(x, 1), 1), x)
    assert repr(order) == "f64[B,4]"


OUT_OF_BOUNDS = [0, 7]


# -- bad input -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "key",
    [3, (0, 4), -4, (0, 0, 0, 0), 1.5, "a", (Ellipsis, Ellipsis), OUT_OF_BOUNDS, [0.5],
     [True, False], np.ones((3, 5), bool), (slice(None), np.ones(3, bool)), ([0, 1], [0, 1, 2])],
    ids=repr,
)  # fmt: skip
def test_numpys_own_errors(key, x):
    with pytest.raises(IndexError) as plain:
        x[key]
    for f in (vjp, lambda f, x: jvp(f, (x,), (x,)), lambda f, x: vmap(f)(x[None])):
        with pytest.raises((type(plain.value), ShapeError)):
            f(lambda x: x[key], x)
    if key is not OUT_OF_BOUNDS:  # which shapes do not show
        with pytest.raises((IndexError, ShapeError)):
            eval_shape(lambda x: x[key], x)


def test_a_differentiated_value_is_no_index(x):
    with pytest.raises(IndexError, match="float64"):
        grad(lambda i: x[0, 0, 0] * np.sum(np.take(i, [0]) + i[i]))(np.ones(2))
    with pytest.raises(TypeError, match="integers"):
        grad(lambda i: np.sum(np.take(i, i, axis=0)))(np.ones(2))


# -- NumPy's functions ---------------------------------------------------------------------------
POSITIONS = np.array([[2, 0, -1], [1, 1, 2]])
ALONG = np.argsort(np.sin(np.arange(60.0)).reshape(3, 4, 5), axis=1)[:, ::2]
CHOICE = np.array([[0, 1, 2], [2, 0, 1]])
FUNCTIONS = {
    "take": lambda x: np.take(x, POSITIONS),
    "take-scalar": lambda x: np.take(x, 3),
    "take-axis": lambda x: np.take(x, POSITIONS, axis=1),
    "take-negative-axis": lambda x: np.take(x, [0, 1], -2),
    "take-wrap": lambda x: np.take(x, POSITIONS + 7, axis=1, mode="wrap"),
    "take-clip": lambda x: np.take(x, POSITIONS - 4, axis=2, mode="clip"),
    "take-empty": lambda x: np.take(x, [], axis=0),
    "take-method": lambda x: x.take([0, 2], 1),
    "take_along_axis": lambda x: np.take_along_axis(x, ALONG, 1),
    "take_along_axis-none": lambda x: np.take_along_axis(x, POSITIONS[0], None),
    "take_along_axis-broadcast": lambda x: np.take_along_axis(x, POSITIONS[:1, :, None], 1),
    "compress": lambda x: np.compress([False, True, True], x),
    "compress-axis": lambda x: np.compress([False, True, True], x, axis=1),
    "compress-method": lambda x: x.compress([True, False], 0),
    "extract": lambda x: np.extract(x > 0.1, x),
    "choose": lambda x: np.choose(CHOICE, x[:, 0, :3]),
    "choose-list": lambda x: np.choose(CHOICE, [x[0, 0, :3], 1.5, x[0, :2, :1]]),
    "choose-wrap": lambda x: np.choose(CHOICE - 4, x[:, :2, :3], mode="wrap"),
    "choose-clip": lambda x: np.choose(CHOICE + 1, x[:, :2, :3], mode="clip"),
    "select": lambda x: np.select([x > 1, x > 0, x > 5], [x * 2, np.sin(x), x]),
    "select-default": lambda x: np.select([x > 0], [x[:1] * 2], x * x),
    "piecewise": lambda x: np.piecewise(x, [x < 0, x > 1], [np.sin, lambda x: x * x]),
    "piecewise-default": lambda x: np.piecewise(x, [x < 0], [lambda x, k: k * x, 2.0], 3.0),
    "piecewise-one": lambda x: np.piecewise(x[0, 0], x[0, 0] < 0, [lambda x: -x, lambda x: x**2]),
    "insert": lambda x: np.insert(x, 1, 5.0),
    "insert-axis": lambda x: np.insert(x, 1, np.arange(5.0), axis=1),
    "insert-scalar-rows": lambda x: np.insert(x[0], 2, np.arange(8.0).reshape(2, 4), axis=1),
    "insert-many": lambda x: np.insert(x, [3, 0, 0], x[:, :3] * 2, axis=1),
    "insert-one-position-many": lambda x: np.insert(x[0], [1], x[1, :2], axis=0),
    "insert-slice": lambda x: np.insert(x[0, 0], slice(1, 4), x[0, 1, 0]),
    "delete": lambda x: np.delete(x, [0, -1]),
    "delete-axis": lambda x: np.delete(x, 1, axis=1),
    "delete-slice": lambda x: np.delete(x, slice(None, None, 2), axis=2),
    "delete-mask": lambda x: np.delete(x, [True, False, True], axis=0),
    "unique": lambda x: np.unique(np.round(x[0] * 0, 0) + np.arange(4.0)[:, None] % 2),
    "unique-values": lambda x: np.unique_values(x),
    "where": lambda x: x[np.where(x > 0)],
    "nonzero": lambda x: x[np.nonzero(x > 0)] * x[x > 0],
    "nonzero-method": lambda x: x[(x > 0).nonzero()] * x[x > 0],
    "argwhere": lambda x: x[tuple(np.argwhere(x > 0).T)],
    "flatnonzero": lambda x: np.ravel(x)[np.flatnonzero(x > 0)],
    "tril": lambda x: x[0][np.tril_indices_from(x[0], -1)],
    "triu": lambda x: x[0][np.triu_indices_from(x[0], 1)],
    "diag_indices": lambda x: x[:, :3, :3][np.diag_indices_from(x[:, :3, :3])],
}
if np.insert(np.zeros(2), np.array([False, True]), 7.0).size == 3:  # NumPy 2.0 takes masks as ints
    FUNCTIONS["insert-mask"] = lambda x: np.insert(x[0, 0], np.arange(5) > 2, [7.0, 8.0])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, x, rng):
    f = FUNCTIONS[name]
    want, t = f(x), rng.standard_normal(x.shape)
    out, pullback = vjp(f, x)
    assert np.array_equal(out, want) and out.dtype == want.dtype and type(out) is type(want)
    ct = rng.standard_normal(want.shape)
    slope = directional(f, x, t)
    assert np.allclose(jvp(f, (x,), (t,))[1], slope, atol=1e-8)
    assert np.isclose(np.sum(pullback(ct)[0] * t), np.sum(ct * slope), atol=1e-8)


def test_unique_with_everything(x):
    x = np.round(x[0])
    for options in ({}, {"axis": 1}, {"axis": -2}):
        every = {"return_index": True, "return_inverse": True, "return_counts": True, **options}
        want = np.unique(x, **every)
        got = boxed(lambda x: np.unique(x, **every)[0], x)
        assert np.array_equal(got, want[0])
        rest = []
        grad(lambda x: rest.extend(np.unique(x, **every)[1:]) or np.sum(x))(x)
        assert all(np.array_equal(np.ravel(a), np.ravel(b)) for a, b in zip(rest, want[1:]))
    everything = []
    grad(lambda x: everything.append(np.unique_all(x)) or np.sum(everything[0].values))(x)
    assert everything[0]._fields == np.unique_all(x)._fields
    repeated = np.array([2.0, 1.0, 2.0])
    g = grad(lambda x: np.sum(np.unique(x) * np.arange(np.unique(x).size)))(repeated)
    assert np.array_equal(g[0], [1.0, 0.0, 0.0])


def test_functions_of_constant_indices_stay_plain(x):
    kept = []

    def f(x):
        kept.extend([np.nonzero(x), np.where(x > 0), np.argwhere(x), np.flatnonzero(x)])
        return np.sum(x)

    grad(f)(x)
    for part in kept:
        assert all(type(a) is np.ndarray for a in (part if isinstance(part, tuple) else (part,)))
    assert np.array_equal(kept[2], np.argwhere(x))


def test_unravel_and_ravel_of_mapped_positions():
    flat = np.array([[0, 5], [11, 7]])
    for order in ("C", "F"):
        got = vmap(lambda i: np.stack(np.unravel_index(i, (3, 4), order)))(flat)
        assert np.array_equal(got, np.stack(np.unravel_index(flat, (3, 4), order), 1))
        rows, columns = np.unravel_index(flat, (3, 4))
        got = vmap(lambda i, j: np.ravel_multi_index((i, j), (3, 4), order=order))(rows, columns)
        assert np.array_equal(got, np.ravel_multi_index((rows, columns), (3, 4), order=order))


def test_vmap_of_functions(rng):
    x, i = rng.standard_normal((2, 3, 4)), np.array([[[0, 1]] * 3, [[2, 3]] * 3])
    got = vmap(lambda x, i: np.take_along_axis(x, i, 1))(x, i)
    assert np.array_equal(got, np.take_along_axis(x, i, 2))
    choice = np.array([[0, 1, 1, 0], [1, 1, 0, 0]])
    got = vmap(lambda a, x: np.choose(a, [x[0], x[1]]))(choice, x)
    assert np.array_equal(got, [np.choose(a, [y[0], y[1]]) for a, y in zip(choice, x)])
    got = vmap(lambda x: np.select([x > 1, x > 0], [x * 2, np.sin(x)], -1.0))(x)
    assert np.allclose(got, np.select([x > 1, x > 0], [x * 2, np.sin(x)], -1.0))
    pieces = [lambda x: -x, lambda x: x**2]
    got = vmap(lambda x: np.piecewise(x, [x < 0], pieces))(x)
    assert np.allclose(got, np.piecewise(x, [x < 0], pieces))
    got = vmap(lambda x: np.insert(np.delete(x, 1, axis=0), [0, 1], x[:, :1][:2], axis=1))(x)
    assert np.allclose(got, [np.insert(np.delete(y, 1, 0), [0, 1], y[:, :1][:2], 1) for y in x])


def test_out(x):
    def f(x):
        out = np.zeros(2, like=x)
        assert np.take(x, [1, 2], out=out) is out
        return np.sum(out * out)

    expected = np.zeros_like(x)
    expected[0, 0, 1:3] = 2 * x[0, 0, 1:3]
    assert np.allclose(grad(f)(x)[0], expected)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: np.take(x, [0], axis=3), ShapeError),
        (lambda x: np.take(x, [9], axis=0), IndexError),
        (lambda x: np.take(x, [0], mode="no"), ValueError),
        (lambda x: np.take(x, [0.5]), TypeError),
        (lambda x: np.take_along_axis(x, np.array([0]), 1), ShapeError),
        (lambda x: np.compress([[True]], x), ShapeError),
        (lambda x: np.choose([3], x), ValueError),
        (lambda x: np.select([x > 0], [x, x]), ValueError),
        (lambda x: np.select([x], [x]), TypeError),
        (lambda x: np.piecewise(x, [x > 0], [1, 2, 3]), ValueError),
        (lambda x: np.tril_indices_from(x), ValueError),
        (lambda x: np.diag_indices_from(x), ValueError),
    ],
)
def test_bad_arguments(call, error, x):
    with pytest.raises(error):
        grad(lambda x: np.sum(call(x)))(x)
