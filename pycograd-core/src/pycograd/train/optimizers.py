"""Optimisers: `step(params, grads)` returns new parameters and never writes into the old ones.

State is kept by the *name* of a leaf (`layers.0.w`), so it survives saving and is never applied to
another parameter. A subclass writes one formula, `update`, in plain NumPy on one leaf; it then
serves arrays of other libraries and boxes of an enclosing transform (learning to learn) as well.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, is_inexact
from pycograd.core.box import Box
from pycograd.core.errors import NotDifferentiableError, ShapeError, TreeMismatchError
from pycograd.core.tree import Tree, flatten_like, tree_flatten, tree_paths, tree_unflatten
from pycograd.transforms.custom import stop_gradient

Schedule = Callable[[int], float]
State = dict[str, Any]


class Optimizer:
    """Base of the optimisers: names, shapes, dtypes and state; `update` has the formula.

    Complex leaves are updated as pairs of real numbers; leaves of 16 bits are updated in float32,
    in which their state is kept, and rounded at the end.

    Arguments:
        lr: the learning rate: a number, or a schedule `lr(step)` of the step counted from 1.

    >>> class SignDescent(Optimizer):
    ...     def update(self, param, grad, lr, state):
    ...         return param - lr * np.sign(grad), state
    >>> SignDescent(0.5).step({"w": np.ones(2)}, {"w": np.array([3.0, -2.0])})
    {'w': array([0.5, 1.5])}
    """

    slots: tuple[str, ...] = ()  # the names of what `update` keeps for a leaf

    def __init__(self, lr: float | Schedule) -> None:
        if not callable(lr) and not isinstance(lr, Box):
            _check(lr >= 0, f"lr={lr} must not be negative")
        self.lr = lr
        self.steps = 0
        self._state: dict[str, State] = {}

    def update(self, param: Any, grad: Any, lr: Any, state: State) -> tuple[Any, State]:
        """The new value and state of one real leaf.

        Arguments:
            param, grad: arrays of one shape and dtype.
            lr: the learning rate of this step.
            state: what the last update of this leaf returned; empty before the first.

        Returns:
            The new parameter, and a dict with the names in `slots`.
        """
        raise NotImplementedError

    def slot_shape(self, slot: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what is kept in a slot for a real leaf, where it is not a number.

        Arguments:
            slot: one of `slots`.
            shape: of the leaf.
        """
        return shape

    def step(self, params: Tree, grads: Tree) -> Tree:
        """One step downhill.

        Arguments:
            params: any tree of parameters, the same names at every step.
            grads: a tree of the same structure; where it has None the leaf is left alone.

        Returns:
            The new parameters: same structure, shapes and dtypes.

        Raises:
            TreeMismatchError: the structures differ, or the parameters are not those of the steps
                before; it names the leaf.
            ShapeError: a gradient, or the state, has another shape than its leaf.
            NotDifferentiableError: a leaf of integers has a gradient.

        >>> import numpy as np
        >>> SGD(lr=0.5).step({"w": np.array([1.0, 2.0])}, {"w": np.array([2.0, 2.0])})
        {'w': array([0., 1.])}
        """
        asked = f"{type(self).__name__}.step"
        leaves, treedef = tree_flatten(params)
        slopes = flatten_like(treedef, grads, asked)
        names = treedef.paths()
        state = self._state or {name: State() for name in names}
        # All is checked before anything changes: a step that fails leaves the optimiser as it was.
        if odd := set(names) ^ state.keys():
            raise TreeMismatchError(
                f"{asked}: {_leaf(min(odd))} is not in both the parameters and the state of this"
                " optimiser; use one optimiser for one set of parameters"
            )
        live = [entry for entry in zip(names, leaves, slopes) if entry[2] is not None]
        for name, param, grad in live:
            self._check_leaf(name, param, grad, state[name])

        lr: Any = self.lr(self.steps + 1) if callable(self.lr) else self.lr
        lr = lr if isinstance(lr, Box) else float(lr)  # a NumPy scalar would promote float32
        new, new_state = dict(zip(names, leaves)), dict(state)
        for name, param, grad in live:
            value, new_state[name] = self.update(
                _as_real(param, param), _as_real(grad, param), lr, state[name]
            )
            new[name] = _like(value, param)
        self.steps, self._state = self.steps + 1, new_state
        return tree_unflatten(treedef, list(new.values()))

    def state_dict(self) -> dict[str, Any]:
        """The state to save: `{"steps": int, "leaves": {name of leaf: {slot: array}}}`.

        >>> opt = SGD(lr=0.1, momentum=0.9)
        >>> _ = opt.step({"w": 1.0}, {"w": 2.0})
        >>> opt.state_dict()
        {'steps': 1, 'leaves': {'w': {'velocity': 2.0}}}
        """
        return {"steps": self.steps, "leaves": {k: dict(v) for k, v in self._state.items()}}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Takes up a state from `state_dict` of an optimiser of the same class.

        Arguments:
            saved: what `state_dict` returned.

        Raises:
            ValueError: it is not such a state; the message names the leaf.

        >>> opt = Adam()
        >>> opt.load_state_dict(Adam().state_dict())
        """
        asked = f"{type(self).__name__}.load_state_dict"
        if set(saved) != {"steps", "leaves"}:
            raise ValueError(f"{asked}: expected the keys 'steps' and 'leaves', got {list(saved)}")
        for name, state in saved["leaves"].items():
            if state and set(state) != set(self.slots):
                raise ValueError(
                    f"{asked}: {_leaf(name)} has state {sorted(state)}, but this optimiser"
                    f" keeps {sorted(self.slots)}"
                )
        self.steps = int(saved["steps"])
        self._state = {name: dict(state) for name, state in saved["leaves"].items()}

    def _check_leaf(self, name: str, param: Any, grad: Any, state: State) -> None:
        asked = f"{type(self).__name__}.step"
        if not is_inexact(dtype_of(param)):
            raise NotDifferentiableError(
                f"{asked}: {_leaf(name)} is of type {dtype_of(param)}, which a step would round;"
                " make it a float, or leave None in its place among the gradients"
            )
        shape = np.shape(param)
        if np.shape(grad) != shape:
            raise ShapeError(
                f"{asked}: {_leaf(name)} has shape {shape}, its gradient {np.shape(grad)}"
            )
        shape = (2, *shape) if _is_complex(param) else shape
        for slot, kept in state.items():
            if np.ndim(kept) and np.shape(kept) != (wanted := self.slot_shape(slot, shape)):
                raise ShapeError(
                    f"{asked}: {_leaf(name)} needs a {slot!r} of shape {wanted}, but the state of"
                    f" this optimiser has {np.shape(kept)}; use one optimiser for one set of"
                    " parameters"
                )


def _check(condition: Any, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _leaf(name: str) -> str:
    return f"leaf {name!r}" if name else "the only leaf"


def _is_complex(x: Any) -> bool:
    return dtype_of(x).kind == "c"


def _as_real(x: Any, param: Any) -> Any:
    """`x` as a real array in the dtype in which its parameter is updated."""
    if _is_complex(param):
        return np.stack([np.real(x), np.imag(x)])
    return x * np.float32(1) if dtype_of(param).itemsize < 4 else x


def _like(value: Any, param: Any) -> Any:
    """An updated value in the type and dtype of its parameter."""
    if _is_complex(param):
        value = value[0] + 1j * value[1]
    if isinstance(value, Box):
        return value.astype(dtype_of(param))
    if not hasattr(param, "dtype"):
        return type(param)(value)
    if value.dtype != param.dtype:
        value = value.astype(param.dtype)
    return np.asarray(value) if type(param) is np.ndarray else value


def _root(square: Any) -> Any:
    """The square root, for a box with derivative 0 at 0: a gradient of 0 must not make nans."""
    if not isinstance(square, Box):
        return np.sqrt(square)
    live = np.greater(square, 0)
    return np.where(live, np.sqrt(np.where(live, square, 1.0)), 0.0)


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
        _check(0 <= momentum < 1, f"momentum={momentum} must be from 0 to below 1")
        _check(weight_decay >= 0, f"weight_decay={weight_decay} must not be negative")
        _check(momentum or not nesterov, "nesterov=True needs a momentum")
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
        _check(all(0 <= b < 1 for b in betas), f"betas={betas} must be from 0 to below 1")
        _check(eps >= 0, f"eps={eps} must not be negative")
        _check(weight_decay >= 0, f"weight_decay={weight_decay} must not be negative")
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay

    def update(self, param: Any, grad: Any, lr: Any, state: State) -> tuple[Any, State]:
        """One step of Adam on one leaf, which counts its own steps for the bias correction."""
        if self.weight_decay:
            grad = grad + self.weight_decay * param
        return self._adapt(param, grad, lr, state)

    def _adapt(self, param: Any, grad: Any, lr: Any, state: State) -> tuple[Any, State]:
        b1, b2 = self.betas
        count = int(state.get("count", 0)) + 1
        mean = b1 * state.get("mean", 0.0) + (1 - b1) * grad
        square = b2 * state.get("square", 0.0) + (1 - b2) * grad * grad
        scale = _root(square) / math.sqrt(1 - b2**count) + self.eps
        new = param - lr / (1 - b1**count) * mean / scale
        return new, {"count": count, "mean": mean, "square": square}


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
        _check(all(0 <= b < 1 for b in betas), f"betas={betas} must be from 0 to below 1")
        _check(weight_decay >= 0, f"weight_decay={weight_decay} must not be negative")
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
        _check(beta2_decay <= 0, f"beta2_decay={beta2_decay} must not be positive")
        _check(eps[0] is None or eps[0] >= 0, f"eps={eps} must not be negative")
        _check(eps[1] >= 0, f"eps={eps} must not be negative")
        _check(clip > 0, f"clip={clip} must be positive")
        _check(weight_decay >= 0, f"weight_decay={weight_decay} must not be negative")
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


def _moved(kept: Any, new: Any, share: float) -> Any:
    return kept + share * (new - kept)


def _rms(x: Any) -> Any:
    return _root(np.mean(x * x))


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


def clip_grad_norm(grads: Tree, max_norm: float) -> Tree:
    """Scales gradients down together, so that their joint L2 norm is at most `max_norm`.

    Arguments:
        grads: any tree; None leaves stay.
        max_norm: a positive number.

    Returns:
        The gradients, unchanged if their norm is small enough; nan if the norm is not finite.

    Raises:
        ValueError: `max_norm` is not positive.
        NotDifferentiableError: a leaf of integers.

    >>> clip_grad_norm((3.0, 4.0, None), 2.5)
    (1.5, 2.0, None)
    """
    _check(max_norm > 0, f"clip_grad_norm: max_norm={max_norm} must be positive")
    leaves, treedef = tree_flatten(grads)
    if not leaves:
        return grads
    for name, g in zip(tree_paths(grads), leaves):
        if not is_inexact(dtype_of(g)):
            raise NotDifferentiableError(
                f"clip_grad_norm: {_leaf(name)} is of type {dtype_of(g)}, which scaling would"
                " round; make it a float, or leave None in its place"
            )
    pieces = [_as_real(g, g) for g in leaves]
    # As fractions of the largest entry, of which no square overflows.
    largest = functools.reduce(
        np.maximum, [np.max(np.abs(stop_gradient(piece)), initial=0) for piece in pieces]
    )
    parts = [piece / np.where(largest == 0, 1, largest) for piece in pieces]
    length = _root(sum(np.sum(np.square(part)) for part in parts))
    with np.errstate(over="ignore"):
        small = largest * length <= max_norm
    factor = max_norm / np.where(small, 1, length)
    scaled = [np.where(small, piece, part * factor) for piece, part in zip(pieces, parts)]
    return tree_unflatten(treedef, [_like(s, g) for s, g in zip(scaled, leaves)])
