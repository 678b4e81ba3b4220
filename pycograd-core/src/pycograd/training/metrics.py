"""How good a model is, in numbers for people."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core.errors import ShapeError


def accuracy(logits: Any, labels: Any, axis: int = -1) -> float:
    """The share of examples whose largest logit is at the label.

    Arguments:
        logits: scores or probabilities, the classes along `axis`.
        labels: class indices, of the shape of `logits` without `axis`; or one-hot (or soft)
            targets of the shape of `logits`.
        axis: the axis of the classes.

    Returns:
        A number from 0 to 1.

    Raises:
        ShapeError: the shapes do not fit.
        ValueError: no examples.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    scores, truth = np.asarray(logits), np.asarray(labels)
    if scores.ndim == 0:
        raise ShapeError("accuracy: logits need an axis of classes, not shape ()")
    guess = np.argmax(scores, axis=axis)
    if truth.shape == scores.shape:
        truth = np.argmax(truth, axis=axis)
    if truth.shape != guess.shape:
        raise ShapeError(
            f"accuracy: labels of shape {truth.shape} for logits of shape {scores.shape} with the"
            f" classes along axis {axis}; expected {guess.shape} or {scores.shape}"
        )
    if guess.size == 0:
        raise ValueError("accuracy: no examples")
    return float(np.mean(guess == truth))
