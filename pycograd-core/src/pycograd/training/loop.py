"""The plainest training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycograd.core.box import Box
from pycograd.core.tree import Tree
from pycograd.optim.optimizers import SGD
from pycograd.optim.schedules import Schedule


def gradient_descent(
    loss: Callable[..., Any], params: Tree, lr: float | Schedule = 0.1, steps: int = 100
) -> tuple[Tree, list[Any]]:
    """Minimises a function by plain gradient descent.

    Arguments:
        loss: a real scalar function, written in NumPy.
        params: where to start: a tuple of the positional arguments of `loss`, or any other tree
            as its only argument.
        lr: the learning rate, a number or a schedule.
        steps: how many steps to take.

    Returns:
        `(params, history)`: the parameters after the last step, in the form they came, and a list
        with the loss before each step.

    Raises:
        ValueError: a negative number of steps.

    >>> import numpy as np
    >>> (x,), history = gradient_descent(lambda x: np.sum((x - 3.0) ** 2), (np.zeros(2),))
    >>> np.round(x, 6), history[0]
    (array([3., 3.]), 18.0)
    """
    from pycograd.transforms.reverse import value_and_grad

    if steps < 0:
        raise ValueError(f"gradient_descent: steps must not be negative, not {steps}")
    one = type(params) is not tuple
    args = (params,) if one else params
    opt, objective, history = SGD(lr), value_and_grad(loss), []
    for _ in range(steps):
        value, grads = objective(*args)
        history.append(value if isinstance(value, Box) else float(value))
        args = opt.step(args, grads)
    return (args[0] if one else args), history
