"""In-place NumPy code that numerical programs are made of, as `PROGRAMS`, for transforms to run on.

Each program fills, steps or overwrites arrays, also those that it is given. A run on plain arrays
says what NumPy does.
"""

import numpy as np

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
