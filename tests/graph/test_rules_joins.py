"""Cotangents of parts that make up the whole are joined; others are added into zeros."""

import numpy as np
import pytest

from pycograd import capture, grad, jit, optimize


def kinds(f, *args):
    return [e.primitive.name for e in optimize(capture(f, *args)).equations]


def thirds(x):
    return np.split(x, 3, axis=-1)


def halves(x):
    return x[..., :2], x[..., 2:]


@pytest.mark.parametrize(
    "parts, shape, join",
    [
        (thirds, (2, 5, 6), "concatenate"),
        (halves, (2, 6), "concatenate"),
        (lambda x: (x[:, 3:], x[:, :3]), (2, 6, 2), "concatenate"),
        (lambda x: (x[0], x[1], x[2]), (3, 4), "stack"),
        (lambda x: (x[:, -1], x[:, 0]), (3, 2), "stack"),
        (lambda x: np.transpose(np.reshape(x, (2, 5, 3, 2)), (2, 0, 1, 3)), (2, 5, 6), "stack"),
        # neither the whole, nor without overlap, nor along one axis
        (lambda x: (x[:, :2], x[:, 3:]), (2, 6), None),
        (lambda x: (x[:, :4], x[:, 3:]), (2, 6), None),
        (lambda x: (x[:1], x[:, 1:]), (2, 6), None),
        (lambda x: (x[:1, :1], x[1:, 1:]), (2, 2), None),
        (lambda x: (x[:, ::2], x[:, 1::2]), (2, 6), None),
        (lambda x: (x[0], x[2]), (3, 4), None),
        (lambda x: (x[0], x[1:]), (3, 3), None),
        (lambda x: (x[0], x[0]), (1, 4), None),
        (lambda x: (x[0:0], x[0:]), (3, 4), None),
        (lambda x: (x[np.array([0])], x[1:]), (2, 3), None),
    ],
)
def test_parts_of_an_array(parts, shape, join, rng):
    x = rng.standard_normal(shape)

    def f(x):
        total = 0.0
        for i, part in enumerate(parts(x)):
            total = total + np.sum(np.sin((i + 1) * part))
        return total

    slope = grad(f, argnums=0)
    found = jit(slope)(x)
    assert found.shape == shape
    np.testing.assert_allclose(found, slope(x), rtol=1e-13)
    h, direction = 1e-6, rng.standard_normal(shape)
    change = (f(x + h * direction) - f(x - h * direction)) / (2 * h)
    np.testing.assert_allclose(np.sum(found * direction), change, rtol=1e-7)
    names = set(kinds(slope, x))
    if join is None:
        assert not names & {"stack", "concatenate"}
    else:
        assert join in names
        assert not names & {"scatter", "index_add"}


def test_what_is_copied_by_a_reshape_is_copied_once(rng):
    x = rng.standard_normal((3, 4, 5))

    def f(x):
        rows = np.reshape(np.transpose(x, (1, 0, 2)), (4, 15))
        return rows, np.reshape(rows, (60,)), np.reshape(rows, (4, 3, 5))

    graph = optimize(capture(f, x))
    shapes = [e.operands[0].shape for e in graph.equations if e.primitive.name == "reshape"]
    assert shapes == [(4, 3, 5), (4, 15)]
    for found, expected in zip(graph.evaluate([x]), f(x)):
        assert np.array_equal(found, expected)
