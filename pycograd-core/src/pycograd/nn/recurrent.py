"""Cells of recurrent networks: one step each, with PyTorch's weights and order of gates.

A Python loop over them records every step; `pycograd.scan` makes the loop one equation of a graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import shape_of
from pycograd.core.errors import ShapeError
from pycograd.nn.activations import relu, sigmoid

__all__ = ["gru_cell", "lstm_cell", "rnn_cell"]

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"tanh": np.tanh, "relu": relu}


def rnn_cell(
    x: Any,
    h: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
    activation: str = "tanh",
) -> Any:
    """`tanh(w_ih x + b_ih + w_hh h + b_hh)`.

    Arguments:
        x: the input, (..., n).
        h: the state, (..., m).
        w_ih, w_hh: weights, (m, n) and (m, m).
        b_ih, b_hh: biases, (m,); None leaves them out.
        activation: "tanh" or "relu".

    Returns:
        The new state, (..., m).

    Raises:
        ShapeError: shapes that do not fit.
        ValueError: another activation.

    >>> rnn_cell(np.ones(2), np.zeros(1), np.zeros((1, 2)), np.ones((1, 1)))
    array([0.])
    """
    if activation not in _ACTIVATIONS:
        raise ValueError(f"rnn_cell: activation must be 'tanh' or 'relu', not {activation!r}")
    ours, own = _gates("rnn_cell", 1, x, h, w_ih, w_hh, b_ih, b_hh)
    return _ACTIVATIONS[activation](ours + own)


def gru_cell(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """A gated recurrent unit: `h + (1 - z) (n - h)` with reset, update and new gates r, z, n.

    Arguments:
        x: the input, (..., n).
        h: the state, (..., m).
        w_ih, w_hh: the weights of r, z and n below each other, (3 m, n) and (3 m, m).
        b_ih, b_hh: their biases, (3 m,); None leaves them out.

    Returns:
        The new state, (..., m).

    Raises:
        ShapeError: shapes that do not fit.

    >>> gru_cell(np.ones(2), np.ones(1), np.zeros((3, 2)), np.zeros((3, 1)))
    array([0.5])
    """
    ours, own = _gates("gru_cell", 3, x, h, w_ih, w_hh, b_ih, b_hh)
    m = shape_of(h)[-1]
    rz = sigmoid(ours[..., : 2 * m] + own[..., : 2 * m])
    new = np.tanh(ours[..., 2 * m :] + rz[..., :m] * own[..., 2 * m :])
    return new + rz[..., m:] * (h - new)


def lstm_cell(
    x: Any,
    state: tuple[Any, Any],
    w_ih: Any,
    w_hh: Any,
    b_ih: Any = None,
    b_hh: Any = None,
) -> tuple[Any, Any]:
    """Long short-term memory: `c' = f c + i g`, `h' = o tanh(c')` with gates i, f, g, o.

    Arguments:
        x: the input, (..., n).
        state: the pair `(h, c)`, both (..., m).
        w_ih, w_hh: the weights of i, f, g and o below each other, (4 m, n) and (4 m, m).
        b_ih, b_hh: their biases, (4 m,); None leaves them out.

    Returns:
        The new pair `(h, c)`.

    Raises:
        ShapeError: shapes that do not fit.

    >>> zeros = np.zeros((4, 2)), np.zeros((4, 1))
    >>> lstm_cell(np.ones(2), (np.zeros(1), np.ones(1)), *zeros)[1]
    array([0.5])
    """
    if len(state) != 2:
        raise ShapeError(f"lstm_cell: the state is a pair (h, c), not {len(state)} arrays")
    h, c = state
    ours, own = _gates("lstm_cell", 4, x, h, w_ih, w_hh, b_ih, b_hh)
    m = shape_of(h)[-1]
    if len(shape_of(c)) == 0:
        raise ShapeError(f"lstm_cell: c has no axes; h has shape {shape_of(h)}")
    _fits("lstm_cell", "h and c", shape_of(h), shape_of(c), m, shape_of(c)[-1])
    gates = ours + own
    forward, out = sigmoid(gates[..., : 2 * m]), sigmoid(gates[..., 3 * m :])
    c = forward[..., m:] * c + forward[..., :m] * np.tanh(gates[..., 2 * m : 3 * m])
    return out * np.tanh(c), c


# -- parts -----------------------------------------------------------------------------------------
def _gates(
    name: str, gates: int, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
) -> tuple[Any, Any]:
    """What the input and what the state give to all gates, along the last axis."""
    for said, value in (("x", x), ("h", h)):
        if len(shape_of(value)) == 0:
            raise ShapeError(f"{name}: {said} has no axes; its last one are its features")
    m = shape_of(h)[-1]
    parts = []
    for said, v, w, b in (("x and w_ih", x, w_ih, b_ih), ("h and w_hh", h, w_hh, b_hh)):
        shape, rows = shape_of(w), gates * m
        if len(shape) != 2:
            raise ShapeError(f"{name}: {said}: weights have two axes, not shape {shape}")
        _fits(name, said, shape_of(v), shape, shape_of(v)[-1], shape[1])
        _fits(name, f"{said} for {gates} gates of {m} units", shape_of(v), shape, rows, shape[0])
        part = v @ np.matrix_transpose(w)
        if b is not None:
            if len(shape_of(b)) != 1:
                raise ShapeError(f"{name}: a bias has shape ({rows},), not {shape_of(b)}")
            _fits(name, "weights and bias", shape, shape_of(b), rows, shape_of(b)[0])
            part = part + b
        parts.append(part)
    a, b = shape_of(parts[0]), shape_of(parts[1])
    if a != b:
        try:
            sizes.broadcast(a, b, operation=name)
        except ShapeError as error:
            raise ShapeError(
                f"{name}: shapes {shape_of(x)} and {shape_of(h)} of x and h do not fit in front of"
                " the features"
            ) from error
    return parts[0], parts[1]


def _fits(name: str, said: str, a: Any, b: Any, m: Any, n: Any) -> None:
    try:
        sizes.same_size(m, n, name)
    except ShapeError as error:
        raise ShapeError(f"{name}: shapes {a} and {b} of {said} do not fit: {m} and {n}") from error
