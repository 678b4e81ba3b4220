"""`weights.grad`: a pass over the weights that an objective reads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from pycograd.core.errors import NotDifferentiableError
from pycograd.core.fillable import settled, settled_tree
from pycograd.parameters import names, weight
from pycograd.parameters.weight import Weight
from pycograd.transforms.reverse import value_and_grad
from pycograd.transforms.wrap import check_callable, name_of
from pycograd.transparent import prepared

if TYPE_CHECKING:
    from pycograd.parameters.model import ParamDict

_SIGNATURE: Final = inspect.Signature(
    [
        inspect.Parameter("weights", inspect.Parameter.POSITIONAL_ONLY),
        inspect.Parameter("fixed", inspect.Parameter.POSITIONAL_ONLY),
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)
_KEPT: Final = 32  # compiled objectives of one model; the oldest goes first


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
    trainable = model._structure.trainable
    live = [w for w, trained in zip(model._leaves, trainable) if trained]
    if not live:
        raise NotDifferentiableError("weights.grad: no parameter of this model is trained")
    rest = [w for w in live[0].store.weights if not any(w is x for x in live)]
    with Names(model, objective):
        if backend is None and not jit:
            run = differentiated(objective, live, rest, False)
        else:
            run = _compiled(model, objective, live, rest, backend, jit)
        value, found = run(tuple(map(settled, live)), tuple(map(settled, rest)), *args, **kwargs)
    slopes = iter(found)
    return value, [next(slopes) if trained else None for trained in trainable]


class Names:
    """A block in which the names of a model are bound, for a call of a function.

    A name that has another meaning is left alone if the function does not use it.
    """

    __slots__ = ("model", "f", "bound")

    def __init__(self, model: ParamDict, f: Callable[..., Any]) -> None:
        self.model, self.f = model, f
        self.bound: list[tuple[names.Scope, list[str]]] = []

    def __enter__(self) -> None:
        entries, spared = self.model._bindable(), names.spared(self.f)
        try:
            for scope in names.scopes_of(self.f, names.caller()):
                self.bound.append((scope, names.bind(entries, scope, spared)))
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        for scope, bound in self.bound:
            names.release(self.model._entries, scope, bound)


class Binding:
    """A function with the names of a model bound for its calls; made by `ParamDict.bind`."""

    def __init__(self, model: ParamDict, f: Callable[..., Any]) -> None:
        check_callable(f, "weights.bind")
        functools.update_wrapper(self, f)
        self._model, self._f = model, f

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with Names(self._model, self._f):
            return settled_tree(prepared(self._f, indexed=True)(*args, **kwargs))


def differentiated(
    objective: Callable[..., Any], live: Sequence[Weight], rest: Sequence[Weight], indexed: bool
) -> Callable[..., Any]:
    """`f(values of live, values of rest, *args) -> (value, gradients of the former)`."""
    return value_and_grad(on_values(objective, live, rest, indexed), 0, transparent=False)


def on_values(
    f: Callable[..., Any], live: Sequence[Weight], rest: Sequence[Weight], indexed: bool
) -> Callable[..., Any]:
    """`f` as a function of the values of weights, which stand for them while it runs."""
    store, weights = (live or rest)[0].store, [*live, *rest]
    target = prepared(f, indexed=indexed)

    def run(values: Any, fixed: Any, *args: Any, **kwargs: Any) -> Any:
        token = weight.enter(store, weights, [*values, *fixed])
        try:
            return settled(target(*args, **kwargs))
        finally:
            weight.leave(store, token)

    run.__name__ = name_of(f)
    return run


def _compiled(
    model: ParamDict,
    objective: Callable[..., Any],
    live: Sequence[Weight],
    rest: Sequence[Weight],
    backend: Any,
    jit: bool,
) -> Callable[..., Any]:
    """As `differentiated`, kept for the next call."""
    made = model._made
    key = id(objective), backend, jit
    if key not in made:
        from pycograd.graph import jit as compiled

        run: Any = on_values(objective, live, rest, True)
        # Whoever looks for what it reads from outside finds the objective behind it.
        run.__wrapped__, run.__signature__ = objective, _SIGNATURE
        if backend is None:
            found: Any = compiled(value_and_grad(run, 0, transparent=False))
        else:
            found = value_and_grad(run, 0, transparent=False, backend=backend, jit=jit)
        while len(made) >= _KEPT:
            made.pop(next(iter(made)))
        made[key] = objective, found
    return made[key][1]  # type: ignore[no-any-return]
