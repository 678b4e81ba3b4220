"""`weights.grad`: a pass over the weights that an objective reads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from pycograd.core.errors import NotDifferentiableError
from pycograd.core.fillable import settled, settled_tree
from pycograd.parameters import names
from pycograd.parameters.weight import Weight, current, enter, leave
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
    live, rest = model._parts()
    if not live:
        raise NotDifferentiableError("weights.grad: no parameter of this model is trained")
    with Names(model, objective):
        values, fixed = tuple([current(w) for w in live]), tuple([current(w) for w in rest])
        if backend is None and not jit:
            value, found = _eagerly(values, fixed, (live, rest), prepared(objective), args, kwargs)
        else:
            run = _compiled(model, objective, live, rest, backend, jit)
            value, found = run(values, fixed, *args, **kwargs)
    if not rest:
        return value, list(found)
    slopes = iter(found)
    return value, [next(slopes) if trained else None for trained in model._structure.trainable]


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
            for scope in names.scopes_of(self.f, names.caller()):
                self.bound.append(names.bind(entries, scope, self.f))
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
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


def on_values(
    values: Sequence[Any],
    fixed: Sequence[Any],
    weights: tuple[Sequence[Weight], Sequence[Weight]],
    f: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """A call of `f` in which values stand for weights, two rows of them."""
    live, rest = weights
    token = enter((live or rest)[0].store, [*live, *rest], [*values, *fixed])
    try:
        return settled(f(*args, **kwargs))
    finally:
        leave((live or rest)[0].store, token)


on_values.__name__ = "the objective"  # what errors call it
_eagerly = value_and_grad(on_values, 0, transparent=False)


def _compiled(
    model: ParamDict,
    objective: Callable[..., Any],
    live: Sequence[Weight],
    rest: Sequence[Weight],
    backend: Any,
    jit: bool,
) -> Callable[..., Any]:
    """As `differentiated`, kept for the next call."""
    made = model._live.made
    key = id(objective), backend, jit
    if key not in made:
        from pycograd.graph import jit as compiled

        target = prepared(objective, indexed=True)

        def run(values: Any, fixed: Any, *args: Any, **kwargs: Any) -> Any:
            return on_values(values, fixed, (live, rest), target, args, kwargs)

        run.__name__ = name_of(objective)
        # Whoever looks for what it reads from outside finds the objective behind it.
        vars(run).update(__wrapped__=objective, __signature__=_SIGNATURE)
        if backend is None:
            found: Any = compiled(value_and_grad(run, 0, transparent=False))
        else:
            found = value_and_grad(run, 0, transparent=False, backend=backend, jit=jit)
        while len(made) >= _KEPT:
            made.pop(next(iter(made)))
        made[key] = objective, found
    return made[key][1]  # type: ignore[no-any-return]
