"""In-place NumPy code, end to end: the idioms of numerical programs, in every mode."""

import numpy as np
import pytest

from inplace import numbers
from inplace_views import PROGRAMS
from pycograd import (
    PlainBufferError,
    checkpoint,
    debug_buffers,
    eval_shape,
    grad,
    jvp,
    vjp,
    vmap,
)
from pycograd.core.tape import Var
from slopes import moved, near, slope


# -- checks --------------------------------------------------------------------------------------
def weights(y):
    return np.cos(1.0 + np.arange(float(np.size(y)))).reshape(np.shape(y))


def directions(args, shift):
    return [weights(x) + shift * np.cos(5.0 * x) for x in args]


def inner(gs, vs):
    return sum(np.sum(g * v) for g, v in zip(gs, vs))


def fresh(args):
    return [np.array(x) for x in args]


def derivative(f, args, vs):
    found, trusted = slope(f, args, vs)
    assert trusted, "the program is not smooth here"
    return found


def loss_of(f):
    def loss(*args):
        y = f(*args)
        return np.sum(y * weights(y)) + 0.5 * np.sum(y * y)

    return loss


every = pytest.mark.parametrize("program", PROGRAMS, ids=repr)
undecided = pytest.mark.parametrize("program", [p for p in PROGRAMS if not p.decides], ids=repr)


@every
def test_first_order(program):
    f, args = program.f, program.args
    want, vs = f(*fresh(args)), directions(args, 0.3)
    kept = fresh(args)
    along = derivative(f, args, vs)
    value, pullback = vjp(f, *args)
    near(value, want, 1e-14)
    ct = weights(want)
    near(inner(pullback(ct), vs), np.sum(ct * along), 1e-8)
    near(inner(pullback(ct), vs), np.sum(ct * along), 1e-8)  # again: nothing was used up
    value, tangent = jvp(f, tuple(args), tuple(vs))
    near(value, want, 1e-14)
    near(tangent, along, 1e-8)
    gradients = grad(loss_of(f))(*args)
    near(inner(gradients, vs), derivative(loss_of(f), args, vs), 1e-8)
    hand = [Var(x) for x in args]
    loss_of(f)(*[v * 1.0 for v in hand]).backward()
    for v, g, x, k in zip(hand, gradients, args, kept):
        near(v.grad, g, 1e-13)
        assert np.array_equal(x, k), "an array of the caller was changed"


@every
def test_second_order_in_every_nesting(program):
    loss, args = loss_of(program.f), program.args
    vs, us = directions(args, 0.3), directions(args, -0.7)
    across = lambda *xs: inner(grad(loss)(*xs), us)
    along = lambda *xs: jvp(loss, xs, tuple(us))[1]
    want = derivative(across, args, vs)
    near(inner(jvp(grad(loss), tuple(args), tuple(vs))[1], us), want, 1e-7)
    near(jvp(along, tuple(args), tuple(vs))[1], want, 1e-7)
    near(inner(grad(along)(*args), vs), want, 1e-7)
    near(inner(grad(across)(*args), vs), want, 1e-7)


@every
def test_under_checkpoint(program):
    loss, args = loss_of(program.f), program.args
    inside = checkpoint(lambda *xs: loss(*[x * 1.0 for x in xs]))
    for g, want in zip(grad(inside)(*args), grad(loss)(*args)):
        near(g, want, 1e-13)


@undecided
def test_vmap_is_a_loop(program):
    f, args = program.f, program.args
    members = [moved(args, directions(args, 0.3), 0.01 * k) for k in range(3)]
    stacked = [np.stack(xs) for xs in zip(*members)]
    near(vmap(f)(*stacked), [f(*fresh(xs)) for xs in members], 1e-13)
    gradient = grad(loss_of(f))
    each = [gradient(*xs) for xs in members]
    for g, want in zip(vmap(gradient)(*stacked), zip(*each)):
        near(g, want, 1e-12)
    total = grad(lambda *xs: np.sum(vmap(loss_of(f))(*xs)))(*stacked)
    for g, want in zip(total, zip(*each)):
        near(g, want, 1e-12)
    tangents = [directions(xs, 0.3) for xs in members]
    rows = tuple([np.stack(ts) for ts in zip(*tangents)])
    got = vmap(lambda xs, ts: jvp(f, xs, ts)[1])(tuple(stacked), rows)
    near(got, [jvp(f, tuple(xs), tuple(ts))[1] for xs, ts in zip(members, tangents)], 1e-12)


@undecided
def test_shapes(program):
    want = program.f(*fresh(program.args))
    assert eval_shape(program.f, *program.args).shape == np.shape(want)


# -- single facts --------------------------------------------------------------------------------
def test_an_array_of_no_axes_stays_an_array():
    """NumPy's functions make scalars of it, but a write leaves what was written to an array."""

    def f(x):
        total = np.zeros((), like=x)
        same = total
        for i in range(3):
            total += x[i] ** 2
        np.multiply(total, 2.0, out=total)
        total[()] -= x[0]
        return same * x

    x = numbers(3)
    want = f(x.copy())
    near(vjp(f, x)[0], want, 1e-14)
    near(jvp(f, (x,), (x,))[0], want, 1e-14)
    near(vmap(f)(np.stack([x, x]))[1], want, 1e-14)
    square = lambda x: x.__setitem__(..., x * x) or x.__iadd__(1.0) * x
    assert np.array_equal(grad(square)(np.array(2.0)), [2 * 5.0 * 4.0])
    assert jvp(square, (np.array(2.0),), (np.array(1.0),)) == (25.0, 40.0)


def test_what_does_not_move_may_be_written_to_later():
    """A function of a buffer of constants is one too, in forward mode as in reverse mode."""

    def f(x):
        buffer = np.zeros(3, like=x)
        after = np.cos(buffer) + 1.0
        parts = np.split(np.concatenate([after, buffer]), 2)
        after[0] = x[1]
        after[1:] += x[:2]
        np.add(parts[1], x, out=parts[1])
        return after * parts[1]

    x = numbers(3)
    value, tangent = jvp(f, (x,), (np.ones(3),))
    near(value, f(x.copy()), 1e-15)
    near(np.sum(tangent), np.sum(vjp(f, x)[1](np.ones(3))[0]), 1e-14)


def test_out_of_a_reduction_over_the_base_of_a_column():
    """The line that a function reads of a column is no alias that a write must care for."""

    def f(x):
        y = x * x
        np.cumsum(y[:, 0], out=y[:, 1])
        np.take(y.T, [0, 4, 8], out=y[2])
        np.compress([True, False, False, True], y[:, ::2], out=y[0, 1:])
        return y

    x = numbers(3, 3)
    near(vjp(f, x)[0], f(x.copy()), 1e-15)
    near(jvp(f, (x,), (x,))[1], derivative(f, [x], [x]), 1e-8)


def test_a_range_is_an_index():
    def f(x):
        x[range(3), range(3)] *= 2.0
        x[range(0)] = 7.0
        return x[range(2)] * x[1]

    x = numbers(3, 3)
    near(vjp(f, x)[0], f(x.copy()), 1e-15)


@pytest.mark.parametrize("later", [False, True])
def test_a_step_keeps_what_a_value_of_an_outer_transform_was(later):
    """A write to it between the step and the sweep does not reach the derivative."""
    x, v = numbers(3), numbers(3, start=4)

    def closed_over(x):
        y = x * 2.0
        _, pullback = vjp(lambda v: np.sum(np.sin(v) * y), v)
        early = pullback(1.0)[0]
        y[0] = 100.0
        return np.sum((pullback(1.0)[0] if later else early) ** 2)

    def given(x):
        y = x * 2.0
        _, pullback = vjp(lambda v: np.sum(v * v * v), y)
        early = pullback(1.0)[0]
        y[1:] *= 3.0
        return np.sum((pullback(1.0)[0] if later else early) ** 2)

    def inside(x):
        y = x * 2.0

        def inner(v):
            z = np.sin(v) * (y if later else y * 1.0)
            y[0] = 7.0
            return np.sum(z)

        return np.sum(grad(inner)(v)[0] ** 2) + np.sum(y)

    for f, want in (
        (closed_over, lambda x: np.sum((np.cos(v) * x * 2.0) ** 2)),
        (given, lambda x: np.sum((3.0 * (x * 2.0) ** 2) ** 2)),
        (inside, lambda x: np.sum((np.cos(v) * x * 2.0) ** 2) + np.sum(2.0 * x[1:]) + 7.0),
    ):
        near(vjp(f, x)[0], want(x), 1e-14)
        near(grad(f)(x)[0], grad(want)(x)[0], 1e-14)
        near(jvp(f, (x,), (v,))[1], jvp(want, (x,), (v,))[1], 1e-14)
        near(vmap(f)(np.stack([x, v]))[0], want(x), 1e-14)


def test_debug_buffers_names_the_line_where_a_changed_array_was_used():
    buffer, places, matrix = np.empty(3), np.arange(3), np.eye(3)

    def refilled(x):
        for i in range(1, 4):
            buffer[:] = i
            x = x * buffer
        return np.sum(x)

    def places_change(x):
        y = x[places] * 2.0
        places[:] = 0
        return np.sum(y * y)

    def matrix_changes(x):
        y = np.sin(matrix @ x)
        matrix[0] = 3.0
        return np.sum(y)

    def harmless(x):
        y = x * 2.0
        for i in range(1, 4):
            buffer[:] = i
            y = y + buffer  # of which the derivative keeps nothing
            y[0] = y[1] * 2.0
            y[1:] += y[:-1]
        return np.sum(y * matrix @ y)

    x = numbers(3)
    want = grad(harmless)(x)[0]
    with debug_buffers():
        near(grad(harmless)(x)[0], want, 1e-14)
        for f, name in (
            (refilled, "multiply"),
            (places_change, "gather"),
            (matrix_changes, "matmul"),
        ):
            matrix[:], places[:] = np.eye(3), range(3)
            with pytest.raises(PlainBufferError, match=rf"{name} at .*test_inplace.*copy\(\)"):
                grad(f)(x)
            matrix[:], places[:] = np.eye(3), range(3)
            with pytest.raises(PlainBufferError, match=name):
                vjp(lambda x, f=f: vjp(f, x)[1](1.0)[0], x)
    assert grad(refilled)(x)[0].shape == (3,)  # and is not on any more


def test_a_checkpoint_runs_again_on_what_was_there():
    def loss(save):
        def f(x):
            y = x * 2.0
            z = save(lambda v: np.sin(v) * y)(x)
            w = save(lambda v: np.sin(v) * v)(y)
            y[0] = x[1] * 5.0
            y *= z
            return np.sum(z * w) + np.sum(y)

        return f

    x = numbers(3)
    near(grad(loss(checkpoint))(x)[0], grad(loss(lambda f: f))(x)[0], 1e-14)
    second = lambda save: grad(lambda x: np.sum(grad(loss(save))(x)[0] ** 2))(x)[0]
    near(second(checkpoint), second(lambda f: f), 1e-13)
