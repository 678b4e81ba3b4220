"""What the examples share: minibatch training with a progress bar, and the gradient check."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pycograd.examples.data import Split
from pycograd.optim import Optimizer
from pycograd.testing.gradients import check_grads
from pycograd.training import accuracy, batches, progress
from pycograd.transforms.reverse import value_and_grad

Params = dict[str, Any]


class Outcome(NamedTuple):
    """What one example reports."""

    name: str
    model: str
    data: str
    parameters: int
    seconds: float
    accuracy: float
    target: float
    losses: list[float]

    @property
    def reached(self) -> bool:
        """True if the held-out accuracy is what the example promises."""
        return self.accuracy >= self.target


def train(
    scores: Callable[[Params, Any], Any],
    loss: Callable[[Params, Any, Any], Any],
    params: Params,
    data: Split,
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
) -> tuple[Params, list[float]]:
    """Minibatch training; the trained parameters and the mean loss of each epoch."""
    step = value_and_grad(loss, argnums=0)
    losses = []
    bar = progress(range(epochs), description=scores.__name__)
    for epoch in bar:
        total, count = 0.0, 0
        rng = np.random.default_rng([seed, epoch])
        for x, y in batches(
            data.x_train, data.y_train, batch_size=batch_size, shuffle=True, rng=rng
        ):
            value, grads = step(params, x, y)
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
    loss: Callable[[Params, Any, Any], Any],
    params: Params,
    data: Split,
    optimizer: Optimizer,
    target: float,
    **options: Any,
) -> Outcome:
    """Checks the gradient, trains, and measures the accuracy on the held-out rows."""
    few = slice(0, 4)
    check_grads(
        lambda p: loss(p, data.x_train[few], data.y_train[few]), (params,), order=1, modes=("rev",)
    )
    started = time.perf_counter()
    params, losses = train(scores, loss, params, data, optimizer, **options)
    seconds = time.perf_counter() - started
    found = accuracy(scores(params, data.x_test), data.y_test)
    count = sum(int(np.size(leaf)) for leaf in params.values())
    return Outcome(name, model, source, count, seconds, found, target, losses)
