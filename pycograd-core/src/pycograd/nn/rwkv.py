"""The attention of RWKV-4 (Peng et al. 2023), over a whole sequence and step by step.

Each channel of each step t gets a mean of values, in which past ones fade at a fixed rate:

    y_t = sum_i e_i v_i / sum_i e_i    with    e_i = exp(k_i - (t - 1 - i) decay) for i < t
                                               e_t = exp(k_t + bonus)

What is past enters as the pair (mean of the values, logarithm of the sum of their weights). Two
such pairs make one by a sigmoid and a logaddexp, so nothing overflows, and the pairs of all steps
come from log2(T) rounds, each of which joins what lies twice as far apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import shape_of
from pycograd.core.dims import Dim
from pycograd.core.dtypes import current_dtype, resolve_dtype
from pycograd.core.errors import ShapeError, SymbolicSizeError
from pycograd.nn.activations import sigmoid
from pycograd.nn.arguments import as_array

__all__ = ["rwkv_init", "rwkv_parallel", "rwkv_recurrent"]

State = tuple[Any, Any]


def rwkv_init(shape: Any, dtype: Any = None) -> State:
    """The state of RWKV before the first step.

    Arguments:
        shape: of a step, (..., C), or the number C of channels.
        dtype: of both arrays; default `current_dtype()`.

    Returns:
        `(mean, log_weight)`: zeros, and logarithms of no weight, -inf.

    >>> rwkv_init(2)
    (array([0., 0.]), array([-inf, -inf]))
    """
    dtype = current_dtype() if dtype is None else resolve_dtype(dtype)
    return np.zeros(shape, dtype), np.full(shape, -np.inf, dtype)


def rwkv_recurrent(k: Any, v: Any, state: State, decay: Any, bonus: Any) -> tuple[Any, State]:
    """One step of RWKV's attention.

    Arguments:
        k, v: key and value of this step, real, (..., C).
        state: what `rwkv_init` or the step before returned.
        decay: how fast each channel forgets, (C,), positive; `exp(time_decay)` of RWKV-4.
        bonus: added to the key of this very step, (C,); `time_first` of RWKV-4.

    Returns:
        `(y, state)`: the mean of values, (..., C), and the state for the next step.

    Raises:
        ShapeError: shapes that do not fit.

    >>> y, state = rwkv_recurrent(np.zeros(1), np.ones(1), rwkv_init(1), np.ones(1), np.zeros(1))
    >>> y
    array([1.])
    """
    k, v, decay, bonus = map(as_array, (k, v, decay, bonus))
    _check("rwkv_recurrent", k, v, decay, bonus, 1)
    mean, log_weight = _checked("rwkv_recurrent", state, shape_of(k))
    y = _joined(v, mean, k + bonus, log_weight)
    faded = log_weight - decay
    return y, (_joined(v, mean, k, faded), np.logaddexp(k, faded))


def rwkv_parallel(
    k: Any, v: Any, decay: Any, bonus: Any, state: State | None = None
) -> tuple[Any, State]:
    """RWKV's attention over a sequence, all steps at once.

    Arguments:
        k, v: keys and values, real, (..., T, C).
        decay, bonus: (C,), as for `rwkv_recurrent`.
        state: of the steps before, as `rwkv_init` or an earlier call returned it; None for none.

    Returns:
        `(y, state)`: the means of values, (..., T, C), and the state after the last step, to go on
        with `rwkv_recurrent` or with another sequence.

    Raises:
        ShapeError: shapes that do not fit.
        SymbolicSizeError: a number of steps that is not known.

    >>> k, v = np.zeros((3, 1)), np.array([[1.0], [2.0], [3.0]])
    >>> y, _ = rwkv_parallel(k, v, np.full(1, 1e-9), np.zeros(1))
    >>> y.round(6).ravel()
    array([1. , 1.5, 2. ])
    """
    k, v, decay, bonus = map(as_array, (k, v, decay, bonus))
    _check("rwkv_parallel", k, v, decay, bonus, 2)
    *front, steps, channels = shape_of(k)
    if isinstance(steps, Dim):
        raise SymbolicSizeError(
            f"rwkv_parallel: the number of rounds depends on the number of steps {steps}; give that"
            " axis a size, or scan rwkv_recurrent along it"
        )
    if state is None:  # what rwkv_init makes, of sizes that may be symbolic
        shape = (*front, channels)
        state = np.zeros(shape, k.dtype, like=k), np.full(shape, -np.inf, k.dtype, like=k)
    mean, log_weight = _checked("rwkv_parallel", state, (*front, channels))
    means = np.concatenate([np.expand_dims(mean, -2), v], axis=-2)
    logs = np.concatenate([np.expand_dims(log_weight, -2), k], axis=-2)
    apart = 1
    while apart <= steps:
        own, past = logs[..., apart:, :], logs[..., :-apart, :] - apart * decay
        joined = _joined(means[..., apart:, :], means[..., :-apart, :], own, past)
        means = np.concatenate([means[..., :apart, :], joined], axis=-2)
        logs = np.concatenate([logs[..., :apart, :], np.logaddexp(own, past)], axis=-2)
        apart *= 2
    y = _joined(v, means[..., :-1, :], k + bonus, logs[..., :-1, :])
    return y, (means[..., -1, :], logs[..., -1, :])


def _checked(name: str, state: Any, shape: tuple[Any, ...]) -> State:
    """A state whose arrays have the shape of a step, or broadcast to it."""
    mean, log_weight = map(as_array, state)
    have = shape_of(mean), shape_of(log_weight)
    try:
        if max(map(len, have)) > len(shape):
            raise ShapeError(f"{name}: more axes than a step")
        sizes.broadcast(*have, shape, operation=name)
    except ShapeError as error:
        raise ShapeError(
            f"{name}: a state of shapes {have[0]} and {have[1]}, where steps have shape {shape};"
            f" make the first with rwkv_init({shape})"
        ) from error
    if have == (shape, shape):
        return mean, log_weight
    return np.broadcast_to(mean, shape), np.broadcast_to(log_weight, shape)


def _joined(new: Any, old: Any, log_new: Any, log_old: Any) -> Any:
    """The mean of two means, by the logarithms of their weights."""
    return new + sigmoid(log_old - log_new) * (old - new)


def _check(name: str, k: Any, v: Any, decay: Any, bonus: Any, least: int) -> None:
    a, b, c, d = (shape_of(x) for x in (k, v, decay, bonus))
    try:
        if len(a) != len(b) or len(a) < least or len(c) != 1 or len(d) != 1:
            raise ShapeError(f"{name}: other numbers of axes")
        for m, n in [*zip(a, b), (a[-1], c[0]), (a[-1], d[0])]:
            sizes.same_size(m, n, name)
    except ShapeError as error:
        layout = "(..., C)" if least == 1 else "(..., T, C)"
        raise ShapeError(
            f"{name}: k and v are of one shape {layout}, decay and bonus (C,), not of shapes"
            f" {a}, {b}, {c} and {d}"
        ) from error
