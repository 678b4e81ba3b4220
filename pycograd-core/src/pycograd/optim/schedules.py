"""Learning rates as functions of the step, counted from 1: give one to an optimiser as `lr`."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial  # its result pickles and shows its settings

Schedule = Callable[[int], float]


def constant_lr(lr: float) -> Schedule:
    """The same rate at every step.

    >>> constant_lr(0.1)(1000)
    0.1
    """
    return partial(_constant, lr=lr)


def _constant(step: int, lr: float) -> float:
    return lr


def step_decay(lr0: float, factor: float, every: int) -> Schedule:
    """Multiplies the rate by a factor after every so many steps.

    Arguments:
        lr0: the rate of the first `every` steps.
        factor: what it is multiplied by, such as 0.5.
        every: a positive number of steps.

    Returns:
        A schedule.

    Raises:
        ValueError: `every` is not positive.

    >>> [step_decay(1.0, 0.5, 2)(step) for step in (1, 2, 3, 4, 5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    _positive("step_decay", every=every)
    return partial(_step_decay, lr0=lr0, factor=factor, every=every)


def _step_decay(step: int, lr0: float, factor: float, every: int) -> float:
    return lr0 * factor ** ((step - 1) // every)


def cosine_decay(lr0: float, total_steps: int, min_lr: float = 0.0) -> Schedule:
    """Half a cosine from `lr0` at the first step down to `min_lr` after `total_steps`.

    Arguments:
        lr0: the rate of the first step.
        total_steps: how many steps the descent takes; `min_lr` from then on.
        min_lr: the rate at the end.

    Returns:
        A schedule.

    Raises:
        ValueError: `total_steps` is not positive.

    >>> [round(cosine_decay(1.0, 4)(step), 3) for step in (1, 2, 3, 4, 5, 6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    _positive("cosine_decay", total_steps=total_steps)
    return partial(_cosine_decay, lr0=lr0, total_steps=total_steps, min_lr=min_lr)


def _cosine_decay(step: int, lr0: float, total_steps: int, min_lr: float) -> float:
    done = min((step - 1) / total_steps, 1.0)
    return min_lr + (lr0 - min_lr) * (1 + math.cos(math.pi * done)) / 2


def linear_warmup(lr: float | Schedule, warmup_steps: int, start: float = 0.0) -> Schedule:
    """Rises in a straight line to a rate, then stays there or follows a schedule.

    Arguments:
        lr: the rate reached at step `warmup_steps`; or the schedule that follows, which then
            starts at its own step 1 and whose first rate is the one reached.
        warmup_steps: how many steps the rise takes.
        start: where the line would be at step 0.

    Returns:
        A schedule.

    Raises:
        ValueError: `warmup_steps` is not positive.

    >>> [linear_warmup(1.0, 4)(step) for step in (1, 2, 3, 4, 5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    _positive("linear_warmup", warmup_steps=warmup_steps)
    then = lr if callable(lr) else constant_lr(lr)
    return partial(_linear_warmup, then=then, warmup_steps=warmup_steps, start=start)


def _linear_warmup(step: int, then: Schedule, warmup_steps: int, start: float) -> float:
    if step > warmup_steps:
        return then(step - warmup_steps)
    return start + (then(1) - start) * step / warmup_steps


def _positive(asked: str, **counts: int) -> None:
    for name, count in counts.items():
        if count <= 0:
            raise ValueError(f"{asked}: {name} must be positive, not {count}")
