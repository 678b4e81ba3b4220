"""The optimisers: each is one formula on one leaf."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pycograd.core.pieces import in_pieces, is_plain
from pycograd.core.tree import Tree
from pycograd.optim.leaves import check, check_betas, root
from pycograd.optim.optimizer import Optimizer, State
from pycograd.optim.schedules import Schedule


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum as in Sutskever et al. 2013.

    Arguments:
        lr: the learning rate, a number or a schedule.
        momentum: how much of the last step's velocity is kept.
        weight_decay: adds `weight_decay * param` to the gradient.
        nesterov: look ahead along the velocity; needs momentum.

    Raises:
        ValueError: a setting out of range.

    >>> SGD(lr=0.1).step((1.0,), (2.0,))
    (0.8,)
    """

    slots = ("velocity",)

    def __init__(
        self,
        lr: float | Schedule = 0.1,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(lr)
        check(0 <= momentum < 1, f"momentum={momentum} must be from 0 to below 1")
        check(weight_decay >= 0, f"weight_decay={weight_decay} must not be negative")
        check(momentum or not nesterov, "nesterov=True needs a momentum")
        self.momentum, self.weight_decay, self.nesterov = momentum, weight_decay, nesterov

    def update(self, param: Any, grad: Any, lr: Any, state: State) -> tuple[Any, State]:
        """One step of SGD on one leaf."""
        if self.weight_decay:
            grad = grad + self.weight_decay * param
        if not self.momentum:
            return param - lr * grad, {}
        velocity = self.momentum * state.get("velocity", 0.0) + grad
        direction = grad + self.momentum * velocity if self.nesterov else velocity
        return param - lr * direction, {"velocity": velocity}


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015); `weight_decay` is an L2 term in the gradient.

    Arguments:
        lr: the learning rate, a number or a schedule.
        betas: decay rates of the means of the gradient and of its square.
        eps: keeps the division finite.
        weight_decay: adds `weight_decay * param` to the gradient.

    Raises:
        ValueError: a setting out of range.

    >>> round(Adam(lr=0.1).step(1.0, 3.0), 6)
    0.9
    """

    slots = ("count", "mean", "square")

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr)
        check_betas(betas)
        check(eps >= 0, f"eps={eps} must not be negative")
        check(weight_decay >= 0, f"weight_decay={weight_decay} must not be negative")
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay

    def update(self, param: Any, grad: Any, lr: Any, state: State) -> tuple[Any, State]:
        """One step of Adam on one leaf, which counts its own steps for the bias correction."""
        if self.weight_decay:
            grad = grad + self.weight_decay * param
        return self._adapt(param, grad, lr, state)

    def _adapt(self, param: Any, grad: Any, lr: Any, state: State) -> tuple[Any, State]:
        b1, b2 = self.betas
        count = int(state.get("count", 0)) + 1
        mean, square = state.get("mean", 0.0), state.get("square", 0.0)
        rate, unbias = lr / (1 - b1**count), math.sqrt(1 - b2**count)
        if all(map(is_plain, (param, grad, mean, square))) and type(rate) is float:
            made = [np.empty_like(x) for x in (param, mean, square)]
            factors = b1, b2, rate, unbias, self.eps
            in_pieces(_adam_in_place, *made, param, grad, mean, square, factors, scratch=1)
            return made[0], {"count": count, "mean": made[1], "square": made[2]}
        mean = b1 * mean + (1 - b1) * grad
        square = b2 * square + (1 - b2) * grad * grad
        scale = root(square) / unbias + self.eps
        return param - rate * mean / scale, {"count": count, "mean": mean, "square": square}


def _adam_in_place(
    new: Any,
    new_mean: Any,
    new_square: Any,
    param: Any,
    grad: Any,
    mean: Any,
    square: Any,
    factors: Any,
    spare: Any,
) -> None:
    """The formula of `Adam._adapt`, to the last bit, without memory for what lies in between."""
    b1, b2, rate, unbias, eps = factors
    np.multiply(b1, mean, new_mean)
    np.multiply(1 - b1, grad, spare)
    np.add(new_mean, spare, new_mean)
    np.multiply(1 - b2, grad, spare)
    np.multiply(spare, grad, spare)
    np.multiply(b2, square, new_square)
    np.add(new_square, spare, new_square)
    np.sqrt(new_square, spare)
    np.divide(spare, unbias, spare)
    np.add(spare, eps, spare)
    np.multiply(rate, new_mean, new)
    np.divide(new, spare, new)
    np.subtract(param, new, new)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): `param` shrinks by itself.

    Arguments:
        lr: the learning rate, a number or a schedule.
        betas: decay rates of the means of the gradient and of its square.
        eps: keeps the division finite.
        weight_decay: the parameter is multiplied by `1 - lr * weight_decay` before each step.

    Raises:
        ValueError: a setting out of range.

    >>> round(AdamW(lr=0.1, weight_decay=0.5).step(1.0, 3.0), 6)
    0.85
    """

    def update(self, param: Any, grad: Any, lr: Any, state: State) -> tuple[Any, State]:
        """One step of AdamW on one leaf."""
        if self.weight_decay:
            param = param * (1 - lr * self.weight_decay)
        return self._adapt(param, grad, lr, state)


class Lion(Optimizer):
    """Lion (Chen et al. 2023): steps of one size, by the sign of a mean of the gradients.

    Arguments:
        lr: the learning rate, a number or a schedule; some tenth of Adam's.
        betas: decay rates of the mean that is followed, and of the one that is kept.
        weight_decay: the parameter is multiplied by `1 - lr * weight_decay` before each step.

    Raises:
        ValueError: a setting out of range.

    >>> Lion(lr=0.125).step((1.0, 1.0), (0.01, -20.0))
    (0.875, 1.125)
    """

    slots = ("mean",)

    def __init__(
        self,
        lr: float | Schedule = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr)
        check_betas(betas)
        check(weight_decay >= 0, f"weight_decay={weight_decay} must not be negative")
        self.betas, self.weight_decay = betas, weight_decay

    def update(self, param: Any, grad: Any, lr: Any, state: State) -> tuple[Any, State]:
        """One step of Lion on one leaf."""
        followed, kept = self.betas
        mean = state.get("mean", 0.0)
        if self.weight_decay:
            param = param * (1 - lr * self.weight_decay)
        new = param - lr * np.sign(followed * mean + (1 - followed) * grad)
        return new, {"mean": kept * mean + (1 - kept) * grad}


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern 2018): of a matrix it keeps the means of rows and columns only.

    The step is relative to the size of the parameter; its memory is that of one row and one column
    of a matrix (of the last two axes, where there are more), and of the leaf where it has one axis.

    Arguments:
        lr: the learning rate, a number or a schedule; at step t no more than `1 / sqrt(t)`.
        beta2_decay: at step t the weight of the new square is `t ** beta2_decay`.
        eps: of the squares, None for that of the dtype; and the least size of a parameter.
        clip: the most that the root mean square of an update may be.
        weight_decay: the parameter is multiplied by `1 - lr * weight_decay` before each step.

    Raises:
        ValueError: a setting out of range.

    >>> Adafactor(lr=0.125).step(np.ones((2, 3)), np.ones((2, 3)))
    array([[0.875, 0.875, 0.875],
           [0.875, 0.875, 0.875]])
    """

    slots = ("count", "rows", "columns", "square")

    def __init__(
        self,
        lr: float | Schedule = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        clip: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr)
        check(beta2_decay <= 0, f"beta2_decay={beta2_decay} must not be positive")
        check(eps[0] is None or eps[0] >= 0, f"eps={eps} must not be negative")
        check(eps[1] >= 0, f"eps={eps} must not be negative")
        check(clip > 0, f"clip={clip} must be positive")
        check(weight_decay >= 0, f"weight_decay={weight_decay} must not be negative")
        self.beta2_decay, self.eps, self.clip = beta2_decay, eps, clip
        self.weight_decay = weight_decay

    def slot_shape(self, slot: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of rows one column, of columns one row."""
        if slot == "rows":
            return (*shape[:-1], 1)
        return (*shape[:-2], 1, shape[-1]) if slot == "columns" else shape

    def update(self, param: Any, grad: Any, lr: Any, state: State) -> tuple[Any, State]:
        """One step of Adafactor on one leaf."""
        count = int(state.get("count", 0)) + 1
        share = count**self.beta2_decay
        tiny = float(np.finfo(grad.dtype).eps) if self.eps[0] is None else self.eps[0]
        size = np.maximum(self.eps[1], _rms(param)) * np.minimum(lr, 1 / math.sqrt(count))
        if self.weight_decay:
            param = param * (1 - lr * self.weight_decay)
        square = grad * grad
        new: State = {"count": count, "rows": 0.0, "columns": 0.0, "square": 0.0}
        if np.ndim(grad) < 2:
            mean = new["square"] = _moved(state.get("square", 0.0), square, share)
        else:
            # The matrix of rank one with these means of rows and columns.
            rows, columns = (np.mean(square, axis=axis, keepdims=True) for axis in (-1, -2))
            rows = new["rows"] = _moved(state.get("rows", 0.0), rows, share)
            columns = new["columns"] = _moved(state.get("columns", 0.0), columns, share)
            mean = rows * columns / np.maximum(np.mean(rows, axis=-2, keepdims=True), tiny)
        step = grad / np.sqrt(np.maximum(mean, tiny * tiny))
        length = np.maximum(1.0, _rms(step) / self.clip)
        return param - size / length * step, new


def sgd_update(params: Tree, grads: Tree, lr: float) -> Tree:
    """One plain step, `param - lr * grad`, of every leaf; for loops that need no optimiser.

    Arguments:
        params: any tree.
        grads: a tree of the same structure; where it has None the leaf is left alone.
        lr: the learning rate.

    Returns:
        The new parameters: same structure, shapes and dtypes.

    Raises:
        TreeMismatchError: the structures differ; it names the leaf.
        ShapeError: a gradient has another shape than its leaf.

    >>> sgd_update({"w": 1.0, "b": 2.0}, {"w": 1.0, "b": None}, 0.5)
    {'w': 0.5, 'b': 2.0}
    """
    return SGD(lr).step(params, grads)


def _moved(kept: Any, new: Any, share: float) -> Any:
    return kept + share * (new - kept)


def _rms(x: Any) -> Any:
    return root(np.mean(x * x))
