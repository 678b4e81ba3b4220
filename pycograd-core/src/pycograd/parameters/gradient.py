"""`weights.grad`: a pass over the weights that an objective reads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pycograd.core import modes
from pycograd.core.box import Box
from pycograd.core.errors import NotDifferentiableError
from pycograd.core.fillable import settled_tree
from pycograd.core.tree import tree_flatten
from pycograd.parameters import names
from pycograd.parameters.compiled import compiled
from pycograd.parameters.passes import on_values
from pycograd.parameters.weight import Weight, current
from pycograd.transforms.reverse import value_and_grad
from pycograd.transforms.wrap import check_callable, name_of
from pycograd.transparent import prepared

if TYPE_CHECKING:
    from pycograd.parameters.model import ParamDict


def value_and_gradients(
    model: ParamDict,
    objective: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    backend: Any,
    jit: bool,
) -> tuple[Any, list[Any]]:
    """What `weights.grad` is of: the value, and for each parameter its gradient or None."""
    check_callable(objective, "weights.grad")
    live, rest = model._parts()
    if not live:
        raise NotDifferentiableError("weights.grad: no parameter of this model is trained")
    with Names(model, objective):
        # Another thread may be in a pass of its own.
        values = tuple([current(w, checked=False) for w in live])
        fixed = tuple([current(w, checked=False) for w in rest])
        if backend is None and not jit:
            fixed = tuple(map(_kept, rest, fixed))
            run: Any = model._live.eager
            if run is None:
                run = model._live.eager = _eagerly((live, rest))
            value, found = run(*values, *fixed, prepared(objective), args, kwargs)
        else:
            run = compiled(model, objective, backend, jit)
            given = values
            if backend is not None:  # which moves NumPy's arrays itself
                given, fixed = tuple(map(_home, values)), tuple(map(_home, fixed))
            value, found = run(given, fixed, args, kwargs)
            if modes.homing is not None:
                found = [modes.homing(g, x) for g, x in zip(found, values)]
    if not rest:
        return value, list(found)
    slopes = iter(found)
    return value, [next(slopes) if trained else None for trained in model._structure.trainable]


def _kept(weight: Weight, value: Any) -> Any:
    """A value that stays what it is in a pass, in which the objective may write buffers."""
    return value.copy() if weight.info.mutable and type(value) is np.ndarray else value


def _home(x: Any) -> Any:
    """An array of another library as one of NumPy's."""
    return np.asarray(x) if isinstance(x, Box) and x.bottom else x


class Names:
    """A block in which the names of a model are bound, for a call of a function.

    A name that has another meaning is left alone if the function does not use it.
    """

    __slots__ = ("model", "f", "bound")

    def __init__(self, model: ParamDict, f: Callable[..., Any]) -> None:
        self.model, self.f = model, f
        self.bound: list[names.Bound] = []

    def __enter__(self) -> None:
        entries = self.model._bindable()
        try:
            home = self.model._live.home
            for scope in names.scopes_of(self.f, names.caller(), home):
                self.bound.append(names.bind(entries, scope, self.f))
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, kind: Any = None, error: Any = None, trace: Any = None) -> None:
        if isinstance(error, NameError):
            names.suggest(error, self.model._bindable())
        for bound in self.bound:
            names.release(bound)


class Binding:
    """A function with the names of a model bound for its calls; made by `ParamDict.bind`."""

    def __init__(self, model: ParamDict, f: Callable[..., Any]) -> None:
        check_callable(f, "weights.bind")
        functools.update_wrapper(self, f)
        self._model, self._f = model, f

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with Names(self._model, self._f):
            return settled_tree(prepared(self._f, indexed=True)(*args, **kwargs))


class Functional:
    """A function that reads weights, as one of a tree of their values and its arguments."""

    def __init__(self, model: ParamDict, f: Callable[..., Any]) -> None:
        check_callable(f, "to_torch_module")
        self.__name__ = name_of(f)
        self._model, self._f = model, f

    def __call__(self, tree: Any, *args: Any) -> Any:
        model = self._model
        values = model._structure.unique(tree_flatten(tree)[0])
        others = model._others()
        weights = model._leaves, others
        with Names(model, self._f):
            f, fixed = prepared(self._f, indexed=True), [current(w) for w in others]
            return settled_tree(on_values(values, fixed, weights, f, args, {}))


def _eagerly(weights: tuple[Sequence[Weight], Sequence[Weight]]) -> Callable[..., Any]:
    """`run(*values, f, args, kwargs) -> (value, gradients)` for values of these weights."""
    live, rest = map(len, weights)

    def run(*given: Any) -> Any:
        return on_values(given[:live], given[live : live + rest], weights, *given[live + rest :])

    run.__name__ = "the objective"  # what errors call it
    return value_and_grad(run, tuple(range(live)), transparent=False)
