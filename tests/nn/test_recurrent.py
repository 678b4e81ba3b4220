"""Cells of recurrent networks against their equations, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from pycograd import nn
from pycograd.core.errors import ShapeError
from pycograd.transforms.control import scan
from pycograd.transforms.reverse import grad, value_and_grad


def weights(gates, rng):
    return [rng.standard_normal(s) for s in ((5 * gates, 3), (5 * gates, 5), 5 * gates, 5 * gates)]


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_the_equations(rng):
    x, h, c = (rng.standard_normal((2, n)) for n in (3, 5, 5))
    w, u, b, d = weights(1, rng)
    np.testing.assert_allclose(nn.rnn_cell(x, h, w, u, b, d), np.tanh(x @ w.T + b + h @ u.T + d))
    np.testing.assert_allclose(
        nn.rnn_cell(x, h, w, u, activation="relu"), np.maximum(x @ w.T + h @ u.T, 0)
    )
    w, u, b, d = weights(3, rng)
    r, z, n = np.split(x @ w.T + b, 3, -1)
    r_h, z_h, n_h = np.split(h @ u.T + d, 3, -1)
    z, new = logistic(z + z_h), np.tanh(n + logistic(r + r_h) * n_h)
    np.testing.assert_allclose(nn.gru_cell(x, h, w, u, b, d), (1 - z) * new + z * h)
    w, u, b, d = weights(4, rng)
    i, f, g, o = np.split(x @ w.T + b + h @ u.T + d, 4, -1)
    cell = logistic(f) * c + logistic(i) * np.tanh(g)
    found = nn.lstm_cell(x, (h, c), w, u, b, d)
    np.testing.assert_allclose(found[1], cell)
    np.testing.assert_allclose(found[0], logistic(o) * np.tanh(cell))


def test_a_loop_and_a_scan_are_one(rng):
    xs, w = rng.standard_normal((6, 2, 3)), weights(4, rng)
    zeros = np.zeros((2, 5))

    def looped(*w):
        state = zeros, zeros
        for x in xs:
            state = nn.lstm_cell(x, state, *w)
        return np.sum(state[0] ** 2)

    def scanned(*w):
        (h, _), _ = scan(lambda s, x: (nn.lstm_cell(x, s, *w), None), (zeros, zeros), xs)
        return np.sum(h**2)

    (a, ga), (b, gb) = value_and_grad(looped)(*w), value_and_grad(scanned)(*w)
    np.testing.assert_allclose(a, b, rtol=1e-13)
    for x, y in zip(ga, gb, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-13)


def test_saturated_gates_are_finite(rng):
    w = [x * 1e4 for x in weights(4, rng)]
    x, h = rng.standard_normal((2, 3)), rng.standard_normal((2, 5))
    grads = grad(lambda *w: np.sum(nn.lstm_cell(x, (h, h), *w)[0]))(*w)
    assert all(np.isfinite(g).all() for g in grads)


def test_mistakes(rng):
    x, h = np.ones((2, 3)), np.ones((2, 5))
    w, u, b, _ = weights(3, rng)
    with pytest.raises(ShapeError, match=r"gru_cell: .*\(2, 4\) and \(15, 3\) of x and w_ih"):
        nn.gru_cell(np.ones((2, 4)), h, w, u)
    with pytest.raises(ShapeError, match=r"gru_cell: .*x and w_ih for 3 gates of 5 units"):
        nn.gru_cell(x, h, w[:10], u)
    with pytest.raises(ShapeError, match=r"gru_cell: .*\(14,\) of weights and bias"):
        nn.gru_cell(x, h, w, u, b[:14])
    with pytest.raises(ShapeError, match=r"gru_cell: a bias has shape \(15,\), not \(1, 15\)"):
        nn.gru_cell(x, h, w, u, b[None])
    with pytest.raises(ShapeError, match="gru_cell: h and w_hh: weights have two axes"):
        nn.gru_cell(x, h, w, b)
    with pytest.raises(ShapeError, match=r"lstm_cell: .*h and c do not fit"):
        nn.lstm_cell(x, (h, h[:, :4]), *weights(4, rng))
    with pytest.raises(ShapeError, match="rnn_cell: h has no axes"):
        nn.rnn_cell(x, 0.0, w, u)
    with pytest.raises(ValueError, match="rnn_cell: activation must be"):
        nn.rnn_cell(x, h, w, u, activation="sin")


def test_rows_that_do_not_fit():
    for cell, gates in ((nn.rnn_cell, 1), (nn.gru_cell, 3)):
        w = np.ones((gates * 2, 3)), np.ones((gates * 2, 2))
        with pytest.raises(ShapeError, match=r"shapes \(4, 3\) and \(5, 2\) of x and h"):
            cell(np.ones((4, 3)), np.ones((5, 2)), *w)
    with pytest.raises(ShapeError, match=r"the state is a pair \(h, c\), not 3 arrays"):
        nn.lstm_cell(np.ones(3), (np.ones(2),) * 3, np.ones((8, 3)), np.ones((8, 2)))
