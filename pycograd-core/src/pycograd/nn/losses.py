"""Losses. Each takes `reduction="mean"`, `"sum"` or `"none"`; the mean is over all positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import FLOAT32, dtype_of, is_inexact, shape_of, ufunc_dtype
from pycograd.core.elementwise import Elementwise
from pycograd.core.errors import ShapeError
from pycograd.core.fit import add_up, is_narrow
from pycograd.nn.activations import sigmoid
from pycograd.nn.arguments import floating, integers, known, real
from pycograd.nn.softmax import log_softmax, logsumexp
from pycograd.ops.axes import axis_of

__all__ = [
    "bce_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "mse_loss",
    "nll_loss",
]


def cross_entropy(
    logits: Any,
    targets: Any,
    axis: int = -1,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Any:
    """The negative log-likelihood of targets under `softmax(logits)`.

    Arguments:
        logits: real, any shape, the classes along `axis`.
        targets: integer labels, of the shape of `logits` without `axis`; or probabilities, floats
            of the shape of `logits`.
        axis: the axis of the classes.
        reduction: "mean" over all positions (with `ignore_index`, those that count), "sum", "none".
        label_smoothing: the share of every target that is spread over all classes.
        ignore_index: the label of positions that do not count; for integer labels only.

    Returns:
        A scalar; for "none" an array of the shape of `logits` without `axis`.

    Raises:
        ShapeError: targets of another shape.
        ValueError: a label that is not a class, a `label_smoothing` that is no share, or an unknown
            reduction.

    >>> cross_entropy(np.array([[0.0, 0.0], [1000.0, 0.0]]), np.array([1, 0]))
    np.float64(0.34657359027997264)
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is from 0 to 1, not {label_smoothing}")
    logits, targets = floating(logits, "cross_entropy"), _array(targets)
    axis = axis_of(axis, len(shape_of(logits)), "cross_entropy")
    classes = logits.shape[axis]
    if dtype_of(targets).kind in "iu":
        picked, counts = _picked("cross_entropy", logits, targets, axis, ignore_index)
        loss = logsumexp(logits, axis)
        if label_smoothing:
            picked = (1 - label_smoothing) * picked + label_smoothing * np.mean(logits, axis)
        loss = loss - picked
        return _reduced("cross_entropy", loss, reduction, counts)
    if ignore_index is not None:
        raise TypeError("cross_entropy: ignore_index is for integer labels; give targets of zeros")
    _check_probabilities(logits, targets, axis)
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / classes
    logs = log_softmax(logits, axis)
    logs = np.where((targets == 0) & (logs == -np.inf), 0, logs)  # 0 log 0 = 0
    return _reduced("cross_entropy", -add_up(targets * logs, axis), reduction)


def nll_loss(
    log_probabilities: Any,
    targets: Any,
    axis: int = -1,
    reduction: str = "mean",
    ignore_index: int | None = None,
) -> Any:
    """Minus the log-probabilities of integer labels; `cross_entropy` of what `log_softmax` returns.

    Arguments:
        log_probabilities: real, any shape, the classes along `axis`.
        targets: integer labels, of that shape without `axis`.
        axis: the axis of the classes.
        reduction: "mean" over all positions (with `ignore_index`, those that count), "sum", "none".
        ignore_index: the label of positions that do not count.

    Returns:
        A scalar; for "none" an array of the shape of `targets`.

    Raises:
        ShapeError: targets of another shape.
        ValueError: a label that is not a class, or an unknown reduction.

    >>> nll_loss(np.log(np.array([[0.25, 0.75]])), np.array([1]))
    np.float64(0.2876820724517809)
    """
    values, targets = floating(log_probabilities, "nll_loss"), integers(targets, "nll_loss")
    axis = axis_of(axis, len(shape_of(values)), "nll_loss")
    picked, counts = _picked("nll_loss", values, targets, axis, ignore_index)
    return _reduced("nll_loss", -picked, reduction, counts)


def mse_loss(prediction: Any, target: Any, reduction: str = "mean") -> Any:
    """The squared error.

    Arguments:
        prediction, target: real, of one shape; or one of them a scalar.
        reduction: "mean" over all entries, "sum", "none".

    Returns:
        A scalar; for "none" an array of the common shape.

    Raises:
        ShapeError: different shapes, such as (n, 1) and (n,), which would broadcast to n x n pairs.
        ValueError: an unknown reduction.

    >>> mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    np.float64(2.0)
    """
    error = _error("mse_loss", prediction, target)
    return _reduced("mse_loss", np.square(error), reduction)


def huber_loss(prediction: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    """Half the squared error up to `delta`, and from there on linear in the error.

    Arguments:
        prediction, target: real, of one shape; or one of them a scalar.
        reduction: "mean" over all entries, "sum", "none".
        delta: the error where the two pieces meet, positive.

    Returns:
        A scalar; for "none" an array of the common shape.

    Raises:
        ShapeError: different shapes.
        ValueError: a `delta` that is not positive, or an unknown reduction.

    >>> huber_loss(np.array([0.5, 3.0]), np.array([0.0, 0.0]), reduction="none")
    array([0.125, 2.5  ])
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be positive, not {delta}")
    error = _error("huber_loss", prediction, target)
    near = np.clip(error, -delta, delta)
    return _reduced("huber_loss", near * (error - 0.5 * near), reduction)


def kl_div(
    log_probabilities: Any,
    targets: Any,
    axis: int = -1,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """The Kullback-Leibler divergence of target distributions from predicted ones.

    Arguments:
        log_probabilities: real, any shape, the logarithms of the predicted probabilities.
        targets: probabilities of the same shape; their logarithms with `log_target`.
        axis: the axis of the classes.
        reduction: "mean" over all positions (what PyTorch calls "batchmean"), "sum", "none".
        log_target: True where `targets` are logarithms.

    Returns:
        A scalar; for "none" an array without `axis`. A target of 0 adds nothing, and there the
        derivatives are 0.

    Raises:
        ShapeError: targets of another shape.
        ValueError: an unknown reduction.

    >>> kl_div(np.log(np.array([0.5, 0.5])), np.array([1.0, 0.0]))
    np.float64(0.6931471805599453)
    """
    logs = floating(log_probabilities, "kl_div")
    targets = floating(targets, "kl_div")
    axis = axis_of(axis, len(shape_of(logs)), "kl_div")
    if len(shape_of(targets)) != len(shape_of(logs)):
        raise _mismatch("kl_div", shape_of(logs), shape_of(targets))
    _same_shape("kl_div", logs, targets)
    if log_target:
        some = targets > -np.inf
        own = np.where(some, targets, 0)
        weight = np.where(some, np.exp(own), 0)
    else:
        some = targets > 0
        own, weight = np.log(np.where(some, targets, 1)), targets
    loss = add_up(weight * (own - np.where(some, logs, 0)), axis)
    return _reduced("kl_div", loss, reduction)


# softplus(x) - x y, so arranged that nothing cancels for y = 0 and y = 1
_bce_with_logits = Elementwise(
    "bce_with_logits",
    lambda x, y: np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x))),
    [lambda t, x, y: t * (sigmoid(x) - y), lambda t, x: -t * x],
    dtype=lambda x, y: ufunc_dtype(np.multiply, [x, y]),
    cost="transcendental",
)


def bce_with_logits(logits: Any, targets: Any, reduction: str = "mean") -> Any:
    """The binary cross-entropy of targets under `sigmoid(logits)`.

    Arguments:
        logits: real, any shape.
        targets: labels 0 and 1 or probabilities, of the same shape, or a scalar.
        reduction: "mean" over all entries, "sum", "none".

    Returns:
        A scalar; for "none" an array of the common shape.

    Raises:
        ShapeError: different shapes.
        ValueError: an unknown reduction.

    >>> bce_with_logits(np.array([1000.0, 0.0]), np.array([1, 0]))
    np.float64(0.34657359027997264)
    """
    logits, targets = floating(logits, "bce_with_logits"), _array(targets)
    _same_shape("bce_with_logits", logits, targets)
    if dtype_of(targets).kind in "biu" and hasattr(targets, "astype"):
        targets = targets.astype(dtype_of(logits))  # labels adapt to the precision of the logits
    return _reduced("bce_with_logits", _bce_with_logits(logits, targets), reduction)


# -- parts -----------------------------------------------------------------------------------------
def _array(x: Any) -> Any:
    """Lists as arrays; a Python number stays one, which adapts to the dtype it meets."""
    return np.asarray(x) if isinstance(x, (list, tuple)) else x


def _error(name: str, prediction: Any, target: Any) -> Any:
    """`prediction - target`; of integers as floats, for those without a sign would wrap around."""
    given = prediction, target
    x, y = [v if isinstance(v, (int, float)) else real(v, name) for v in given]
    _same_shape(name, x, y)
    if not is_inexact(dtype_of(x)) and not is_inexact(dtype_of(y)):
        x = floating(x, name)
    return x - y


def _reduced(name: str, loss: Any, reduction: str, counts: Any = None) -> Any:
    """`loss` reduced over all positions, or those that count."""
    if counts is not None:
        loss = np.where(counts, loss, 0)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return add_up(loss, None)
    if reduction == "mean":
        dtype = dtype_of(loss)
        wide = FLOAT32 if is_narrow(dtype) else dtype
        if counts is None:
            mean = np.mean(loss, dtype=wide)
        else:
            mean = np.sum(loss, dtype=wide) / np.sum(counts, dtype=wide)
        return mean if wide == dtype else mean.astype(dtype)
    raise ValueError(f"{name}: reduction must be 'mean', 'sum' or 'none', not {reduction!r}")


def _same_shape(name: str, x: Any, y: Any) -> None:
    a, b = shape_of(x), shape_of(y)
    if a == b or a == () or b == ():
        return
    if len(a) != len(b):
        raise _mismatch(name, a, b)
    for m, n in zip(a, b):
        _same_size(name, m, n, a, b)


def _same_size(name: str, m: Any, n: Any, a: Any, b: Any) -> None:
    try:
        sizes.same_size(m, n, name)
    except ShapeError as error:
        raise _mismatch(name, a, b) from error


def _mismatch(name: str, a: Any, b: Any) -> ShapeError:
    return ShapeError(f"{name}: shapes {a} and {b} must be equal; nothing is broadcast")


def _check_probabilities(logits: Any, targets: Any, axis: int) -> None:
    """Refuses soft targets of another shape, as labels are that are no integers."""
    shape, have = shape_of(logits), shape_of(targets)
    if have == shape[:axis] + shape[axis + 1 :] and have:
        raise ShapeError(
            f"cross_entropy: targets of shape {have} for logits of shape {shape}: probabilities"
            " have the shape of the logits, and labels are integers, targets.astype(int)"
        )
    _same_shape("cross_entropy", logits, targets)


def _picked(
    name: str, values: Any, labels: Any, axis: int, ignore_index: int | None
) -> tuple[Any, Any]:
    """The values at the labels, and which positions count (None: all)."""
    shape = shape_of(values)
    expected, have = shape[:axis] + shape[axis + 1 :], shape_of(labels)
    if len(expected) != len(have):
        fix = "; one-hot targets are floats, targets.astype(float)" if have == shape else ""
        raise ShapeError(
            f"{name}: labels of shape {have} for values of shape {shape}, {axis=}, where integer"
            f" labels have shape {expected}{fix}"
        )
    for m, n in zip(expected, have):
        _same_size(name, m, n, expected, have)
    _check_labels(name, labels, shape[axis], ignore_index)
    counts = None if ignore_index is None else labels != ignore_index
    if counts is not None:
        labels = np.where(counts, labels, 0)
    picked = np.take_along_axis(values, np.expand_dims(labels, axis), axis)
    return np.squeeze(picked, axis), counts


def _check_labels(name: str, labels: Any, classes: Any, ignore_index: int | None) -> None:
    """Refuses labels that are no class; a negative one would quietly count from the end."""
    numbers = known(labels)
    if numbers is None or not isinstance(classes, int):
        return
    wrong = (numbers < 0) | (numbers >= classes)
    if ignore_index is not None:
        wrong &= numbers != ignore_index
    if np.any(wrong):
        label = numbers[wrong].flat[0]
        raise ValueError(
            f"{name}: label {label} is not one of the {classes} classes 0 to {classes - 1};"
            " ignore_index marks positions that do not count"
        )
