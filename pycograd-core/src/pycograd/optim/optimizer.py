"""The base of the optimisers: `step(params, grads)` returns new parameters and writes into none.

State is kept by the *name* of a leaf (`layers.0.w`), so it survives saving and is never applied to
another parameter. A subclass writes one formula, `update`, in plain NumPy on one leaf; it then
serves arrays of other libraries and boxes of an enclosing transform (learning to learn) as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, is_inexact
from pycograd.core.box import Box
from pycograd.core.errors import (
    NotDifferentiableError,
    ShapeError,
    TreeMismatchError,
    UnsupportedOperationError,
)
from pycograd.core.tree import Tree, flatten_like, tree_flatten, tree_unflatten
from pycograd.optim.leaves import as_real, check, is_complex, leaf_named, like
from pycograd.optim.schedules import Schedule
from pycograd.transforms.capture import capturing

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
            if np.ndim(lr) or not np.issubdtype(np.asarray(lr).dtype, np.number):
                raise TypeError(f"lr is a number, or a schedule lr(step), not {lr!r}")
            check(0 <= lr < math.inf, f"lr={lr} must be finite, and not negative")
        self.lr = lr
        self.steps = 0
        self._inside = capturing.get() is not None  # made by a function that is being compiled
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
            UnsupportedOperationError: in a function that is being compiled, unless the optimiser
                is made there too.
            ValueError: a schedule gave a learning rate that is none.

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
                f"{asked}: {leaf_named(min(odd))} is not in both the parameters and the state of"
                " this optimiser; use one optimiser for one set of parameters"
            )
        live = [entry for entry in zip(names, leaves, slopes) if entry[2] is not None]
        for name, param, grad in live:
            self._check_leaf(name, param, grad, state[name])

        lr: Any = self.lr(self.steps + 1) if callable(self.lr) else self.lr
        if not isinstance(lr, Box):
            lr = float(lr)  # a NumPy scalar would promote float32
            if not 0 <= lr < math.inf:
                raise ValueError(f"{asked}: the schedule gave lr={lr} at step {self.steps + 1}")
        new, new_state = dict(zip(names, leaves)), dict(state)
        for name, param, grad in live:
            value, new_state[name] = self.update(
                as_real(param, param), as_real(grad, param), lr, state[name]
            )
            new[name] = like(value, param)
        keeps = callable(self.lr) or any(map(len, new_state.values()))
        if keeps and not self._inside and capturing.get() is not None:
            raise UnsupportedOperationError(
                f"{asked}: a compiled function would take this one step again at each call, for an"
                " optimiser keeps what it remembers outside of it. Compile the gradient,"
                " jit(value_and_grad(f)), and take the steps outside; or make the optimiser inside"
            )
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
                    f"{asked}: {leaf_named(name)} has state {sorted(state)}, but this optimiser"
                    f" keeps {sorted(self.slots)}"
                )
        self.steps = int(saved["steps"])
        self._state = {name: dict(state) for name, state in saved["leaves"].items()}

    def _check_leaf(self, name: str, param: Any, grad: Any, state: State) -> None:
        asked = f"{type(self).__name__}.step"
        if not is_inexact(dtype_of(param)):
            raise NotDifferentiableError(
                f"{asked}: {leaf_named(name)} is of type {dtype_of(param)}, which a step would"
                " round; make it a float, or leave None in its place among the gradients"
            )
        if is_complex(grad) and not is_complex(param):
            raise NotDifferentiableError(
                f"{asked}: {leaf_named(name)} is of type {dtype_of(param)}, and its gradient is"
                " complex: take np.real of it"
            )
        shape = np.shape(param)
        if np.shape(grad) != shape:
            raise ShapeError(
                f"{asked}: {leaf_named(name)} has shape {shape}, its gradient {np.shape(grad)}"
            )
        shape = (2, *shape) if is_complex(param) else shape
        for slot, kept in state.items():
            if np.ndim(kept) and np.shape(kept) != (wanted := self.slot_shape(slot, shape)):
                raise ShapeError(
                    f"{asked}: {leaf_named(name)} needs a {slot!r} of shape {wanted}, but the state"
                    f" of this optimiser has {np.shape(kept)}; use one optimiser for one set of"
                    " parameters"
                )
