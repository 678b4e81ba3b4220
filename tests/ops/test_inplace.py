"""In-place NumPy code, end to end: the idioms of numerical programs, in every mode.

Each program is ordinary code that fills, swaps, steps and overwrites arrays, through views too. A
run on plain arrays says what NumPy does, its aliasing and its semantics of overlap included.
"""

import numpy as np
import pytest

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

PROGRAMS = []


class Program:
    """A function of arrays, and its arguments.

    Arguments:
        decides: True if it branches in Python on values, which vmap and shapes refuse.
    """

    def __init__(self, f, args, decides=False):
        self.f, self.args, self.decides = f, args, decides
        self.name = f.__name__

    def __repr__(self):
        return self.name


def numbers(*shape, start=0):
    """Entries of both signs, no two of equal size, none near 0."""
    n = int(np.prod(shape))
    k = np.arange(start, start + n)
    return (np.where(k % 3 == 1, -1, 1) * (0.4 + (k * 0.618034) % 1.3)).reshape(shape)


def program(*args, **options):
    def register(f):
        PROGRAMS.append(Program(f, args, **options))
        return f

    return register


# -- buffers filled in loops ---------------------------------------------------------------------
@program(numbers(5))
def filled_entry_by_entry(x):
    y = np.zeros(5, like=x)
    for i in range(5):
        y[i] = np.sin(x[i]) * x[i - 1]
    return y


@program(numbers(4), numbers(4, 3))
def filled_row_by_row(v, a):
    out = np.empty((4, 3), like=v)
    for i, row in enumerate(a):
        out[i] = row * v[i]
        out[i, 1:] -= out[i - 1, :-1] if i else 0.0
    return out @ out.T


@program(numbers(3), numbers(4, start=7))
def filled_by_two_loops(a, b):
    table = np.zeros((3, 4), like=a)
    for i in range(3):
        for j in range(4):
            table[i, j] = a[i] * b[j] + (table[i - 1, j] * 0.5 if i else 0.0)
    return table


@program(numbers(4, 4), numbers(4))
def a_copy_is_changed(a, x):
    work = a.copy()
    for i in range(4):
        work[i, i] += x[i] ** 2
        work[:, i] /= 2.0 + np.cos(x[i])
    return np.sum(work * a)


@program(numbers(6))
def running_sum_in_place(x):
    y = x * x
    for i in range(1, len(y)):
        y[i] += y[i - 1]
    return y * x


@program(numbers(3, 4))
def running_product_along_columns(x):
    y = x.copy()
    for j in range(1, 4):
        y[:, j] *= y[:, j - 1]
    return y


@program(numbers(7))
def fibonacci_like(x):
    y = np.zeros_like(x)
    y[:2] = x[:2]
    for i in range(2, 7):
        y[i] = np.sin(y[i - 1]) + y[i - 2] * x[i]
    return y


@program(numbers(6), numbers(3))
def convolution_by_hand(signal, kernel):
    out = np.zeros(4, like=signal)
    for k in range(3):
        out += kernel[k] * signal[2 - k : 6 - k]
    return out


@program(numbers(4), numbers(5, start=3))
def edit_distance_with_soft_minimum(a, b):
    d = np.zeros((5, 6), like=a)
    d[1:, 0] = np.cumsum(np.abs(a))
    d[0, 1:] = np.cumsum(np.abs(b))
    for i in range(4):
        for j in range(5):
            three = np.stack([d[i, j] + (a[i] - b[j]) ** 2, d[i, j + 1] + 0.7, d[i + 1, j] + 0.7])
            d[i + 1, j + 1] = -np.log(np.sum(np.exp(-three)))
    return d[-1, -1]


@program(numbers(3, 3), numbers(3))
def power_iteration(a, v):
    history = np.zeros((4, 3), like=a)
    history[0] = v
    for k in range(3):
        history[k + 1] = a @ history[k]
        history[k + 1] /= np.sqrt(np.sum(history[k + 1] ** 2))
    return history


@program(numbers(2), numbers(2))
def leapfrog(q, p):
    for _ in range(4):
        p -= 0.05 * np.sin(q)
        q += 0.1 * p
        p -= 0.05 * np.sin(q)
    return q * p


# -- stencils ------------------------------------------------------------------------------------
@program(numbers(8), numbers())
def heat_equation(u, k):
    for _ in range(4):
        u[1:-1] += 0.1 * k * (u[2:] - 2 * u[1:-1] + u[:-2])
        u[0] = u[1]
    return u


@program(numbers(8), numbers())
def wave_equation_with_swapped_buffers(u, c):
    before, now = u.copy(), u * 1.1
    after = np.empty_like(u)
    for _ in range(4):
        after[1:-1] = 2 * now[1:-1] - before[1:-1] + c**2 * 0.1 * np.diff(now, 2)
        after[0], after[-1] = 0.0, now[-2]
        before, now, after = now, after, before
    return now


@program(numbers(4, 5))
def gauss_seidel(u):
    for _ in range(2):
        for i in range(1, 3):
            for j in range(1, 4):
                u[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1])
    return u


@program(numbers(5, 5), numbers(5, 5, start=4))
def red_and_black(u, f):
    for start in (0, 1, 0):
        inner = u[1:-1, 1:-1]
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        red = np.indices((3, 3)).sum(0) % 2 == start
        inner[red] = (0.25 * (around - f[1:-1, 1:-1]))[red]
    return u


@program(numbers(6))
def burgers_upwind(u):
    flux = np.zeros(7, like=u)
    for _ in range(3):
        flux[1:-1] = 0.5 * u[:-1] ** 2
        flux[0], flux[-1] = flux[1], flux[-2]
        u -= 0.1 * np.diff(flux)
    return u


# -- linear algebra by hand ----------------------------------------------------------------------
@program(numbers(4, 4) + 4 * np.eye(4))
def lu_in_place(a):
    n = len(a)
    for k in range(n):
        a[k + 1 :, k] /= a[k, k]
        a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k], a[k, k + 1 :])
    return a


@program(numbers(4, 4), numbers(4), decides=True)
def gaussian_elimination_with_pivoting(a, b):
    n = len(b)
    for k in range(n):
        p = k + int(np.argmax(np.abs(a[k:, k])))
        if p != k:
            a[[k, p]] = a[[p, k]]
            b[k], b[p] = b[p], b[k]
        for i in range(k + 1, n):
            factor = a[i, k] / a[k, k]
            a[i, k:] -= factor * a[k, k:]
            b[i] -= factor * b[k]
    x = np.zeros(n, like=a)
    for i in range(n - 1, -1, -1):
        x[i] = (b[i] - a[i, i + 1 :] @ x[i + 1 :]) / a[i, i]
    return x


@program(numbers(3, 3))
def cholesky_by_hand(a):
    a = a @ a.T + 2 * np.eye(3)
    low = np.zeros_like(a)
    for j in range(3):
        low[j, j] = np.sqrt(a[j, j] - np.sum(low[j, :j] ** 2))
        for i in range(j + 1, 3):
            low[i, j] = (a[i, j] - low[i, :j] @ low[j, :j]) / low[j, j]
    return low


@program(numbers(4, 3))
def gram_schmidt(a):
    q = a.copy()
    for j in range(3):
        for k in range(j):
            q[:, j] -= (q[:, k] @ q[:, j]) * q[:, k]
        q[:, j] /= np.sqrt(q[:, j] @ q[:, j])
    return q


@program(numbers(4, 3))
def householder(a):
    for k in range(3):
        v = a[k:, k].copy()
        v[0] += np.sign(v[0]) * np.sqrt(v @ v)
        v /= np.sqrt(v @ v)
        a[k:, k:] -= 2.0 * np.outer(v, v @ a[k:, k:])
    return a


@program(numbers(5) + 4, numbers(4), numbers(4, start=3), numbers(5, start=9))
def thomas(main, lower, upper, d):
    for i in range(1, 5):
        w = lower[i - 1] / main[i - 1]
        main[i] -= w * upper[i - 1]
        d[i] -= w * d[i - 1]
    d[-1] /= main[-1]
    for i in range(3, -1, -1):
        d[i] = (d[i] - upper[i] * d[i + 1]) / main[i]
    return d


@program(numbers(3, 3) + 3 * np.eye(3))
def gauss_jordan_inverse(a):
    work = np.concatenate([a, np.eye(3)], axis=1)
    for k in range(3):
        work[k] /= work[k, k]
        for i in range(3):
            if i != k:
                work[i] -= work[i, k] * work[k]
    return work[:, 3:]


@program(numbers(3, 3))
def jacobi_rotation(a):
    a += a.T.copy()
    angle = 0.5 * np.arctan2(2 * a[0, 1], a[1, 1] - a[0, 0])
    c, s = np.cos(angle), np.sin(angle)
    for m in (a, a.T):
        first, second = m[0].copy(), m[1].copy()
        m[0] = c * first - s * second
        m[1] = s * first + c * second
    return a


# -- swaps, permutations, sorts ------------------------------------------------------------------
@program(numbers(3, 2))
def rows_swapped_by_index(a):
    a[[0, 1]] = a[[1, 0]]
    a[[0, 2], :] *= a[[2, 0], :]
    return a


@program(numbers(4))
def numbers_swapped_by_tuple(x):
    x[0], x[3] = x[3], x[0]
    x[1], x[2] = x[2] * x[0], x[1]
    return x


@program(numbers(3, 2))
def rows_swapped_by_tuple(a):
    # Both are views: NumPy copies row 1 over row 0, and that over row 1.
    a[0], a[1] = a[1], a[0]
    return a * a


@program(numbers(3, 2))
def rows_swapped_by_copies(a):
    a[0], a[1] = a[1].copy(), a[0].copy()
    return a * numbers(3, 2)


@program(numbers(5), decides=True)
def bubble_sort(x):
    for i in range(5):
        for j in range(4 - i):
            if x[j] > x[j + 1]:
                x[j], x[j + 1] = x[j + 1], x[j]
    return x * np.arange(5.0)


@program(numbers(3, 4))
def sorted_in_place(x):
    y = x * 2.0
    row = y[1]
    y.sort()
    row.sort(axis=0)
    y.sort(axis=0)
    return y * x + row


@program(numbers(6))
def partitioned_in_place(x):
    x.partition(2)
    return np.sum(x[:3]) * x[2]


@program(numbers(2, 5))
def reversed_in_place(x):
    x[:] = x[:, ::-1]
    x[0, :] = x[0, ::-1] * x[1]
    return x * np.arange(5.0)


@program(numbers(6))
def rotated_in_place(x):
    first = x[0] * 1.0
    x[:-1] = x[1:]
    x[-1] = first
    return x * np.arange(6.0)


# -- masks ---------------------------------------------------------------------------------------
@program(numbers(3, 4))
def a_mask_takes_a_number(x):
    y = x * x
    y[x < 0] = 0.3
    return y * x


@program(numbers(3, 4), decides=True)
def a_mask_takes_its_own_entries(x):
    y = x.copy()
    y[x < 0] = np.exp(x[x < 0])
    y[y > 1] *= x[y > 1]
    return y


@program(numbers(3, 4), numbers(3))
def a_mask_of_rows(x, v):
    x[np.array([True, False, True])] = v[:2, None]
    x[:, np.array([False, True, True, False])] -= 2.0 * v[:, None]
    return x * x


@program(numbers(6))
def relu_in_place(x):
    x *= x > 0
    np.maximum(x, 0.1, out=x)
    return x * x


@program(numbers(5), decides=True)
def a_scalar_mask(x):
    for i in range(5):
        x[i, ...][x[i] < 0] = x[i - 1]
    return x * x


# -- functions that write ------------------------------------------------------------------------
@program(numbers(5), numbers(4, start=3))
def added_at(x, v):
    np.add.at(x, [0, 2, 0, 0], v)
    np.subtract.at(x, [1, 1], v[:2])
    np.multiply.at(x, np.array([3, 3, 1]), v[1:])
    np.add.at(x, slice(1, 4), 1.5)
    return x * x


@program(numbers(3, 4), numbers(2, 4, start=3))
def added_at_rows(x, v):
    np.add.at(x, [2, 2], v)
    np.add.at(x, ([0, 0], [1, 1]), v[:, 0])
    np.negative.at(x, (0, slice(None)))
    np.maximum.at(x, ([1, 1], [0, 0]), v[:, 1])
    return x * x


@program(numbers(4), numbers(3))
def added_at_through_a_view(x, v):
    y = np.zeros((2, 4), like=x)
    y[0] = x
    np.add.at(y[1], [0, 1, 1], v)
    np.multiply.at(y.T, (1, [0, 0]), 2.0)
    y[1] *= y[0]
    return y


@program(numbers(8))
def histogram_by_add_at(x):
    bins = np.zeros(3, like=x)
    np.add.at(bins, np.arange(8) % 3, x * x)
    return bins / bins.sum()


@program(numbers(3, 3), numbers(3))
def the_writing_functions(a, v):
    np.put(a, [0, 4, 8], v)
    np.place(a, np.eye(3)[::-1] > 0, v * 2)
    np.putmask(a, np.tri(3, k=-1) > 0, v)
    np.copyto(a[1], v, where=[True, False, True])
    np.fill_diagonal(a[:2, :2], v[0] * v[1])
    np.put_along_axis(a, np.array([[0], [2], [1]]), v[:, None] ** 2, 1)
    np.copyto(a.T[0], v)
    a.put([7], v[2])
    a[2].fill(v[0])
    return a * a


@program(numbers(3, 3))
def written_with_out(a):
    out = np.empty_like(a)
    np.multiply(a, a, out=out)
    np.add(out, a, out=out[::-1])
    np.exp(out[0], out=out[1])
    np.matmul(a, out, out=out)
    np.sum(a, axis=0, out=out[2])
    np.cumsum(out[:, 0], out=out[:, 1])
    np.clip(a[0], -10.0, 10.0, out=out[0])
    return out


@program(numbers(4), numbers(4))
def out_with_where(x, y):
    np.divide(x, y, out=x, where=y > 0)
    np.sqrt(x * x, out=y, where=np.array([True, False, True, False]))
    return x * y


@program(numbers(2, 3), numbers(3))
def every_augmented_operator(x, v):
    y = x.copy()
    y += v
    y -= 0.5
    y *= v
    y /= 2.0 + v * v
    y **= 2
    y[0] @= np.outer(v, v)
    z = np.abs(y) + 1.0
    z **= v
    z %= 7.5
    return z


# -- views -----------------------------------------------------------------------------------------
@program(numbers(3, 4), numbers(3))
def through_the_transpose(x, v):
    x.T[...] = v
    x.T[1:3] *= np.arange(3.0)
    t = x.T
    t[0] += x[:, 1]
    return x * x


@program(numbers(2, 3, 4), numbers(4))
def views_of_views(x, v):
    a = x[1:]
    b = a[0, ::-1]
    c = b.T[1:]
    d = c[::2, None]
    d *= 2.0
    b[0] = v
    a[0, 1, :2] += d[0, 0, :2]
    x[..., 0] = x[..., 3]
    return np.sum(a) * b[0] + c[2, 1] * d[1, 0, 0] + x[1, 1]


@program(numbers(7))
def overlapping_views(y):
    y[1:] = y[:-1]
    y[1:] += y[:-1]
    y[:-2] *= y[2:]
    y[::2] -= y[::-2]
    np.add(y[:-1], y[1:], out=y[1:])
    np.multiply(y[::-1], y, out=y)
    return y * y


@program(numbers(3, 3))
def overlapping_in_two_axes(a):
    a[1:, 1:] -= a[:-1, :-1]
    a += a.T
    a[:, 0] = a[0]
    a[...] = a.T @ a
    a.T[:2] = a[1:]
    return a


@program(numbers(6), numbers(2))
def reshaped_views(x, v):
    grid = x.reshape(2, 3)
    grid[:, 1] = v
    grid.ravel()[4:] *= 3.0
    line = grid.reshape(-1)
    x[0] = v[0] * v[1]
    grid[1] += line[:3]
    return x * line[::-1] + np.sum(grid)


@program(numbers(2, 3))
def flat_entries(x):
    y = x * x
    y.flat[4] = x[0, 0]
    y.flat[1:3] = x[1, :2]
    y.flat[[0, 5]] *= 2.0
    for i in range(6):
        y.flat[i] += x.flat[i - 1]
    return y


@program(numbers(2, 3))
def flat_is_set(x):
    y = x * 1.0
    row = y[1]
    y.flat = x[0] * x[1]
    y.flat[::4] = 2.0 * x[1, 1]
    return y * row


@program(numbers(2, 3))
def negative_strides(x):
    back = x[::-1, ::-1]
    back[0] *= 2.0
    back[:, 0] = x[:, 0]
    flipped = np.flip(x, 1)
    flipped[0, :2] += back[1, :2]
    np.rot90(x)[0] -= 0.5
    return x * back


@program(numbers(3, 3), numbers(3))
def the_diagonal_by_strides(a, v):
    a.reshape(-1)[::4] = v
    a.flat[::4] += a.diagonal()
    a[range(3), range(3)] *= 2.0
    i = np.arange(3)
    a[i, i[::-1]] -= v
    return a * a.diagonal()


@program(numbers(2, 3))
def a_view_outlives_the_name_of_its_base(x):
    y = x * x
    row, y = y[0], y * 2.0
    row *= y[1]
    y[0] = row
    return row * y


@program(numbers(3, 4))
def bases_and_views_both_ways(x):
    y = x.copy()
    top, left, corner = y[:2], y[:, :2], y[:2, :2]
    y *= 2.0
    top += 1.0
    left[0] = top[1, 2:]
    corner *= corner
    y[1] = left[2, 0]
    top[:, 1:] = corner[0, 0]
    return np.sum(y) * corner + left[:2] * top[:, :2]


@program(numbers(4))
def a_new_axis_and_back(x):
    column = x[:, None]
    column *= 2.0
    np.squeeze(column)[1:] += x[:-1]
    np.expand_dims(x, 0)[0, 0] = 7.0
    column[2:, 0] = x[0]
    return x * column[:, 0]


@program(numbers(2, 3, 4))
def swapped_and_moved_axes(x):
    np.swapaxes(x, 0, 2)[1] *= 2.0
    np.moveaxis(x, 0, -1)[:, 2] += x[0].T[0, 0]
    x.transpose(1, 0, 2)[0, 1] = x[0, 1]
    x.swapaxes(1, 2)[0, :, 0] -= 1.0
    return x * x


@program(numbers(3, 4))
def rows_of_an_iteration(x):
    for row in x:
        row /= 2.0 + row[0] * row[0]
    for i, column in enumerate(x.T):
        column += x[0, i - 1]
    return x


@program(numbers(3, 4))
def helpers_change_their_arguments(x):
    def normalise(row):
        row -= row.mean()
        row /= np.sqrt(np.sum(row * row))

    def mirror(m):
        m[:, 2:] = m[:, :2]
        return m

    normalise(x[0])
    normalise(x[:, 1])
    return mirror(x[1:]) * x[:-1]


@program(numbers(3))
def an_array_of_one_number(x):
    total = np.zeros((), like=x)
    for i in range(3):
        total += x[i] ** 2
    view = total[...]
    view *= 2.0
    total[()] += x[0]
    one = x[1, ...]
    one *= 3.0
    return x * total + view


@program(numbers(2, 3))
def an_empty_write(x):
    x[2:] = 5.0
    x[:, 3:] *= 2.0
    x[np.zeros((2, 3), bool)] = 1.0
    x[[]] += 1.0
    return x


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
