"""Plain arrays that code on a device closes over: what they hold at each use is what counts."""

import numpy as np
import pytest

import pycograd
from pycograd import device, grad, jvp, register_backend, vmap
from pycograd.plugins.hub import BACKENDS, HUB
from pycograd.testing.conformance.loopback import LoopbackBackend


@pytest.fixture
def moves(monkeypatch):
    """The loopback backend for a test; the arrays that were moved to it."""
    register_backend("loopback", LoopbackBackend)
    backend = pycograd.get_backend("loopback")
    moved, move = [], backend.from_numpy

    def noting(x, where):
        moved.append(x)
        return move(x, where)

    monkeypatch.setattr(type(backend), "from_numpy", lambda self, x, where=None: noting(x, where))
    yield moved
    HUB.unregister(BACKENDS, "loopback")


def refilled(x):
    """sum of x * k for k = 0, 1, 2, 3, out of one buffer."""
    buffer, total = np.zeros(3), 0.0
    for k in range(4):
        buffer[:] = k
        total = total + np.sum(x * x * buffer)
    return total


def test_an_array_refilled_within_one_call(moves):
    x = np.array([2.0, 1.0, -1.0])
    with device("loopback"):
        (slope,) = grad(refilled)(x)
        rows = vmap(refilled)(np.stack([x, 2.0 * x]))
        _, tangent = jvp(refilled, (x,), (np.ones(3),))
    np.testing.assert_array_equal(np.asarray(slope), 12.0 * x)
    np.testing.assert_array_equal(np.asarray(rows), [36.0, 144.0])
    assert float(tangent) == 12.0 * x.sum()


def test_an_array_refilled_between_plain_operations(moves):
    with device("loopback"):
        (y,) = grad(np.sum)(np.ones(3))
    buffer, sums = np.zeros(3), []
    for k in range(4):
        buffer[0] = 2 * k
        sums.append(float(np.sum(y * buffer)))
    assert sums == [0.0, 2.0, 4.0, 6.0]


@pytest.mark.parametrize("change", [lambda b: b.fill(np.nan), lambda b: b.resize((1, 3))])
def test_nan_and_another_shape_are_seen(moves, change):
    with device("loopback"):
        (y,) = grad(np.sum)(np.ones(3))
    buffer = np.arange(3.0)
    assert (y * buffer).shape == (3,)
    change(buffer)
    np.testing.assert_array_equal(np.asarray(y * buffer), buffer)


def test_contents_that_stay_move_once(moves):
    held = np.array([1.0, np.nan, 3.0])
    with device("loopback"):
        for _ in range(3):
            grad(lambda x: np.sum(x * held * held))(np.ones(3))
    assert sum(x is held for x in moves) == 1
