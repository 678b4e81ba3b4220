"""Objectives that are compiled, once for each signature, and kept by their model."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pycograd.parameters.lending import Lending
from pycograd.parameters.passes import on_values
from pycograd.transforms.reverse import value_and_grad
from pycograd.transforms.wrap import name_of
from pycograd.transparent import prepared

if TYPE_CHECKING:
    from pycograd.parameters.model import ParamDict

_KEPT: Final = 32  # compiled objectives of one model; the oldest goes first


def compiled(model: ParamDict, objective: Callable[..., Any], backend: Any, jit: bool) -> Objective:
    """The compiled objective, kept for the next call."""
    made = model._live.made
    key = id(objective), backend, jit
    if key not in made:
        while len(made) >= _KEPT:
            made.pop(next(iter(made)))
        made[key] = Objective(model, objective, backend, jit)
    return made[key]  # type: ignore[no-any-return]


class Objective:
    """A compiled objective: `call(values, fixed, args, kwargs) -> (value, gradients)`.

    Values stand for the weights that are trained, and fixed ones for the others. The arrays that
    the objective names are arguments as well, as long as it goes with values that are not known
    when it is captured.
    """

    def __init__(
        self, model: ParamDict, objective: Callable[..., Any], backend: Any, jit: bool
    ) -> None:
        self._parts, self._f = model._parts(), objective
        self._backend, self._jit = backend, jit
        self._make(Lending(objective))

    def _make(self, lending: Lending | None) -> None:
        """Starts anew, with what is lent or without."""
        self.lending = lending if lending is not None and lending.variables else None
        lent, parts, f = self.lending, self._parts, self._f
        target = prepared(f, indexed=True)

        variables = [] if lent is None else lent.variables
        live, rest = len(parts[0]), len(parts[0]) + len(parts[1])
        own = rest + len(variables)

        # One argument for each array: then nothing has to be taken apart at a call.
        def run(*given: Any, **kwargs: Any) -> Any:
            values, fixed, args = given[:live], given[live:rest], given[own:]
            if lent is None:
                return on_values(values, fixed, parts, target, args, kwargs)
            return on_values(values, fixed, parts, lent.called, (given[rest:own], args, kwargs), {})

        run.__name__ = name_of(f)
        names = [w.info.name for w in (*parts[0], *parts[1])] + [v.name for v in variables]
        # Whoever looks for what it reads from outside finds the objective behind it.
        vars(run).update(__wrapped__=f, __signature__=_signature(names))
        if lent is not None:
            vars(run)["__lent__"] = frozenset([variable.key for variable in variables])
        places = tuple(range(live))
        if self._backend is None:
            from pycograd.graph import jit

            self.run: Any = jit(value_and_grad(run, places, transparent=False))
        else:
            self.run = value_and_grad(
                run, places, transparent=False, backend=self._backend, jit=self._jit
            )

    def __call__(self, values: Any, fixed: Any, args: Any, kwargs: Any) -> Any:
        if self.lending is None:
            return self.run(*values, *fixed, *args, **kwargs)
        data = self.lending.values()
        if data is None:  # a variable holds something else now
            self._make(Lending(self._f))
            return self(values, fixed, args, kwargs)
        try:
            return self.run(*values, *fixed, *data, *args, **kwargs)
        except Exception:
            # It needs to know its data when it is captured, or it is wrong: then this says so.
            lending = self.lending
            self._make(None)
            try:
                return self.run(*values, *fixed, *args, **kwargs)
            except BaseException:
                self._make(lending)
                raise

    def explain(self) -> str:
        """What the program takes as inputs, and what is part of it."""
        from pycograd.graph import explain
        from pycograd.graph.jitted import Jitted

        names = [] if self.lending is None else [v.name for v in self.lending.variables]
        inputs = ", ".join(["weights", "arguments", *dict.fromkeys(names)])
        text = f"inputs: {inputs}"
        return f"{explain(self.run)}\n{text}" if isinstance(self.run, Jitted) else text


def _signature(names: list[str]) -> inspect.Signature:
    """Of a function of the arrays of these names, and of what an objective is called with."""
    one = inspect.Parameter.POSITIONAL_ONLY
    known: dict[str, None] = {}
    for name in names:
        word = "".join([c if c.isalnum() else "_" for c in name])
        word = word if word.isidentifier() and not keyword.iskeyword(word) else "array"
        while word in known:
            word += "_"
        known[word] = None
    return inspect.Signature(
        [
            *[inspect.Parameter(word, one) for word in known],
            inspect.Parameter("_args", inspect.Parameter.VAR_POSITIONAL),
            inspect.Parameter("_kwargs", inspect.Parameter.VAR_KEYWORD),
        ]
    )
