"""In-place NumPy code whose point is what it writes through: swaps, masks, functions and views.

The aliasing of views and the semantics of overlapping ones are NumPy's. `PROGRAMS` has these and
those of `inplace`.
"""

import numpy as np

from inplace import PROGRAMS, numbers, program

__all__ = ["PROGRAMS"]


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
