"""Gradient transformations of optax as optimisers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pycograd.core.errors import TreeMismatchError
from pycograd.core.tree import Tree, flatten_like, tree_flatten, tree_unflatten
from pycograd.optim.leaves import leaf_named, like
from pycograd.optim.optimizer import Optimizer, State
from pycograd.optim.optimizers import SGD


def as_optimizer(given: Any) -> Any:
    """What can be given as an optimiser, as one with a method `step`.

    Arguments:
        given: an `Optimizer`, or another object with such a method; a gradient transformation of
            optax; a learning rate or a schedule, for plain gradient descent.

    Raises:
        TypeError: it is none of these.

    >>> as_optimizer(0.5).step((1.0,), (1.0,))
    (0.5,)
    """
    if isinstance(given, type):
        name = given.__name__
        raise TypeError(f"an optimiser is an object, not the class {name}: write {name}(...)")
    if hasattr(given, "step"):
        return given
    if hasattr(given, "init") and hasattr(given, "update"):
        return Optax(given)
    if callable(given) or isinstance(given, (int, float, np.integer, np.floating)):
        return SGD(given)
    raise TypeError(
        "an optimiser is an Optimizer such as Adam(lr=1e-3), a gradient transformation of optax, or"
        f" a learning rate, not a {type(given).__name__}"
    )


class Optax(Optimizer):
    """An optimiser whose steps an optax gradient transformation makes, in the leaves' own dtypes.

    It runs in JAX, on the arrays of the leaves by name; float64 stays float64.

    Arguments:
        transformation: of optax, such as `optax.adamw(1e-3)`, or a chain of them.

    >>> import optax  # doctest: +SKIP
    >>> Optax(optax.sgd(0.5)).step({"w": np.array([1.0])}, {"w": np.array([2.0])})  # doctest: +SKIP
    {'w': array([0.])}
    """

    def __init__(self, transformation: Any) -> None:
        super().__init__(0.0)  # the rate is the transformation's own
        self._transformation = transformation
        self._inner: Any = None  # what optax keeps, from the first step on
        self._live: tuple[str, ...] = ()
        self._loaded: dict[str, Any] | None = None

    def step(self, params: Tree, grads: Tree) -> Tree:
        """One step of the transformation; see `Optimizer.step`.

        Arguments:
            params: any tree of parameters, the same names at every step.
            grads: a tree of the same structure; where it has None the leaf is left alone.

        Returns:
            The new parameters: same structure, shapes and dtypes.

        Raises:
            TreeMismatchError: the structures differ, or other leaves have gradients than before.
            ShapeError: a gradient has another shape than its leaf.
        """
        import jax

        leaves, treedef = tree_flatten(params)
        slopes = flatten_like(treedef, grads, "Optax.step")
        names = treedef.paths()
        live = {name: (p, g) for name, p, g in zip(names, leaves, slopes) if g is not None}
        for name, (param, grad) in live.items():
            self._check_leaf(name, param, grad, {})
        if self._inner is not None and set(live) != set(self._live):
            odd = min(set(live) ^ set(self._live))
            raise TreeMismatchError(
                f"Optax.step: {leaf_named(odd)} had a gradient at some steps only; use one"
                " optimiser for one set of parameters"
            )
        with jax.enable_x64(True):
            values = {name: np.asarray(param) for name, (param, _) in live.items()}
            asked = {name: np.asarray(grad, values[name].dtype) for name, (_, grad) in live.items()}
            kept = self._state_for(values)
            updates, inner = self._transformation.update(asked, kept, values)
            moved = {name: np.asarray(values[name] + updates[name]) for name in values}
        self._inner, self._live, self._loaded = inner, tuple(live), None
        self.steps += 1
        new = dict(zip(names, leaves))
        new.update({name: like(moved[name], param) for name, (param, _) in live.items()})
        return tree_unflatten(treedef, list(new.values()))

    def _state_for(self, values: Mapping[str, Any]) -> Any:
        """The state of optax: that of the last step, a new one, or a new one filled from a file."""
        if self._inner is not None:
            return self._inner
        fresh = self._transformation.init(values)
        if self._loaded is None:
            return fresh
        from jax.tree_util import keystr, tree_flatten_with_path, tree_unflatten

        found, treedef = tree_flatten_with_path(fresh)
        wanted = {keystr(path): leaf for path, leaf in found}
        if set(wanted) != set(self._loaded):
            odd = min(set(wanted) ^ set(self._loaded))
            raise ValueError(
                f"Optax.load_state_dict: {odd!r} is not in both the saved state and that of this"
                " transformation"
            )
        made = [np.asarray(self._loaded[name], leaf.dtype) for name, leaf in wanted.items()]
        return tree_unflatten(treedef, made)

    def state_dict(self) -> dict[str, Any]:
        """The state to save: `{"steps": int, "leaves": {name in optax's state: {"value": array}}}`.

        >>> Optax(None).state_dict()
        {'steps': 0, 'leaves': {}}
        """
        if self._inner is None:
            return {"steps": self.steps, "leaves": _as_leaves(self._loaded or {})}
        from jax.tree_util import keystr, tree_flatten_with_path

        found, _ = tree_flatten_with_path(self._inner)
        kept = {keystr(path): np.asarray(leaf) for path, leaf in found}
        return {"steps": self.steps, "leaves": _as_leaves(kept)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Takes up a state from `state_dict` of an optimiser of the same transformation.

        Arguments:
            saved: what `state_dict` returned.

        Raises:
            ValueError: it is not such a state. Whether it is this transformation's shows at the
                next step, which then raises and changes nothing.
        """
        if set(saved) != {"steps", "leaves"} or any(
            set(kept) != {"value"} for kept in saved["leaves"].values()
        ):
            raise ValueError("Optax.load_state_dict: this is no state of an optax optimiser")
        self.steps, self._inner, self._live = int(saved["steps"]), None, ()
        self._loaded = {name: kept["value"] for name, kept in saved["leaves"].items()} or None


def _as_leaves(kept: Mapping[str, Any]) -> dict[str, State]:
    return {name: {"value": value} for name, value in kept.items()}
