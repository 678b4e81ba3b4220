"""What the examples share: minibatch training with a progress bar, and the gradient check."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pycograd import random
from pycograd.examples.data import Split
from pycograd.optim import Optimizer
from pycograd.testing.gradients import check_grads
from pycograd.training import accuracy, batches, progress
from pycograd.transforms.reverse import value_and_grad

Params = dict[str, Any]


def explained(prediction: Any, truth: Any) -> float:
    """The share of the variance that a prediction explains, R squared."""
    return float(1 - np.sum((truth - prediction) ** 2) / np.sum((truth - np.mean(truth, 0)) ** 2))


class Outcome(NamedTuple):
    """What one example reports; `score` and `target` are shares of 1, of what `measure` says."""

    name: str
    model: str
    data: str
    parameters: int
    seconds: float
    score: float
    target: float
    losses: list[float]
    measure: str = "accuracy"

    @property
    def reached(self) -> bool:
        """True if the held-out score is what the example promises."""
        return self.score >= self.target


def train(
    scores: Callable[[Params, Any], Any],
    loss: Callable[..., Any],
    params: Params,
    data: Split,
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    key: Any = None,
) -> tuple[Params, list[float]]:
    """Minibatch training; the trained parameters and the mean loss of each epoch.

    With a `key` of `pycograd.random` each call of the loss gets one of its own, after the batch.
    """
    step = value_and_grad(loss, argnums=0)
    losses: list[float] = []
    bar = progress(range(epochs), description=scores.__name__)
    for epoch in bar:
        total, count = 0.0, 0
        rng = np.random.default_rng([seed, epoch])
        for x, y in batches(
            data.x_train, data.y_train, batch_size=batch_size, shuffle=True, rng=rng
        ):
            keys = () if key is None else (random.fold_in(random.fold_in(key, epoch), count),)
            value, grads = step(params, x, y, *keys)
            params = optimizer.step(params, grads)
            total, count = total + float(value), count + 1
        losses.append(total / count)
        bar.update(loss=losses[-1])
    return params, losses


def run(
    name: str,
    model: str,
    source: str,
    scores: Callable[[Params, Any], Any],
    loss: Callable[..., Any],
    params: Params,
    data: Split,
    optimizer: Optimizer,
    target: float,
    key: Any = None,
    **options: Any,
) -> Outcome:
    """Checks the gradient, trains, and measures the accuracy on the held-out rows."""
    few = (data.x_train[:4], data.y_train[:4], *(() if key is None else (key,)))
    check_grads(lambda p: loss(p, *few), (params,), order=1, modes=("rev",))
    started = time.perf_counter()
    params, losses = train(scores, loss, params, data, optimizer, key=key, **options)
    seconds = time.perf_counter() - started
    found = accuracy(scores(params, data.x_test), data.y_test)
    count = sum(int(np.size(leaf)) for leaf in params.values())
    return Outcome(name, model, source, count, seconds, found, target, losses)
