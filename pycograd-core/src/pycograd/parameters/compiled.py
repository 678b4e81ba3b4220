"""Objectives that are compiled, once for each signature, and kept by their model."""

from __future__ import annotations

import functools
import inspect
import keyword
import types
import warnings
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pycograd.core.errors import PycogradError
from pycograd.parameters import sharing
from pycograd.parameters.lending import Lending, NotLent
from pycograd.parameters.names import caller
from pycograd.parameters.passes import on_values
from pycograd.transforms.capture import capturing
from pycograd.transforms.reverse import value_and_grad
from pycograd.transforms.wrap import name_of
from pycograd.transparent import prepared

if TYPE_CHECKING:
    from pycograd.parameters.model import ParamDict

_KEPT: Final = 32  # compiled objectives of one model; the oldest goes first
_MANY: Final = 5  # times that the same is compiled before a warning says why
# What code raises that needs an array and was given a value of a graph: errors of ours, and those
# of Python for what such a value has not.
_UNKNOWN: Final = (NotLent, PycogradError, TypeError, AttributeError)


def compiled(model: ParamDict, objective: Callable[..., Any], backend: Any, jit: bool) -> Objective:
    """The compiled objective, kept for the next call."""
    found = known(model, objective, backend, jit)
    return Objective(model, objective, backend, jit) if found is None else found


def known(
    model: ParamDict, objective: Callable[..., Any], backend: Any, jit: bool
) -> Objective | None:
    """A compiled objective, if there is one for this function or for one that is the same."""
    made, shared = model._live.made, sharing.identity(objective)
    for key in (shared, id(objective)):
        found: Objective | None = None if key is None else made.get((key, backend, jit))
        if found is None or found.running:  # the latter inside of itself
            continue
        if found.f is not objective:
            sharing.fill(found.f, objective)
        return found
    return None


class Objective:
    """A compiled objective: `call(values, fixed, args, kwargs) -> (value, gradients)`.

    Values stand for the weights that are trained, and fixed ones for the others. The arrays that
    the objective names are arguments as well, as long as it goes with values that are not known
    when it is captured.
    """

    def __init__(
        self, model: ParamDict, objective: Callable[..., Any], backend: Any, jit: bool
    ) -> None:
        self._parts, self._backend, self._jit = model._parts(), backend, jit
        shared = sharing.identity(objective)
        copy = None if shared is None else sharing.copied(objective)
        self.f = objective if copy is None else copy
        self._is_copy = self.f is not objective
        self.running = False  # of a copy, whose variables another call would fill
        self._captured: Counter[Any] = Counter()  # how often, by the arguments
        self._calls, self._warned = 0, False
        made = model._live.made
        self._warn_of_others(list(made.values()))
        while len(made) >= _KEPT:
            made.pop(next(iter(made)), None)
        made[(id(objective) if copy is None else shared), backend, jit] = self
        self._make(Lending(self.f))

    def _make(self, lending: Lending | None) -> None:
        """Starts anew, with what is lent or without."""
        self.lending = lending if lending is not None and lending.variables else None
        lent, parts, f = self.lending, self._parts, self.f
        target = prepared(f, indexed=True)

        variables = [] if lent is None else lent.variables
        live, rest = len(parts[0]), len(parts[0]) + len(parts[1])
        own = rest + len(variables)

        # One argument for each array: then nothing has to be taken apart at a call.
        def run(*given: Any, **kwargs: Any) -> Any:
            if capturing.get() is not None:
                self._captured[_shapes_of(given)] += 1
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
        self._calls += 1
        self.running = self._is_copy
        try:
            out = self._run(values, fixed, args, kwargs)
        finally:
            self.running = False
        if not self._warned and max(self._captured.values(), default=0) >= _MANY:
            self._warned = True
            reason = "".join([f", as {why}" for why in getattr(self.run, "reasons", [])[-1:]])
            _warn(self.f, f"again for the same arguments{reason}")
        return out

    def _run(self, values: Any, fixed: Any, args: Any, kwargs: Any) -> Any:
        if self.lending is not None:
            data = self.lending.values()
            if data is None:  # a variable holds something else now
                self._make(Lending(self.f))
                return self._run(values, fixed, args, kwargs)
            try:
                return self.run(*values, *fixed, *data, *args, **kwargs)
            except _UNKNOWN:
                lending = self.lending
        else:
            return self.run(*values, *fixed, *args, **kwargs)
        # It needs to know its data when it is captured, or it is wrong: then this says so.
        self._make(None)
        try:
            return self.run(*values, *fixed, *args, **kwargs)
        except BaseException:
            self._make(lending)
            raise

    def _warn_of_others(self, others: list[Objective]) -> None:
        """Warns if many functions of the same code were compiled in one way for a call each."""
        code, way = _code(self.f), (self._backend, self._jit)
        alike = [x for x in others if _code(x.f) is code and (x._backend, x._jit) == way]
        once = [x for x in alike if x._calls == 1]
        self._warned = any([x._warned for x in alike])
        if len(once) >= _MANY - 1 and not self._warned:
            self._warned = True
            _warn(self.f, "at each call, as it is another object each time")

    def explain(self) -> str:
        """What the program takes as inputs, and what is part of it."""
        from pycograd.graph import explain
        from pycograd.graph.jitted import Jitted

        names = [] if self.lending is None else [v.name for v in self.lending.variables]
        inputs = ", ".join(["weights", "arguments", *dict.fromkeys(names)])
        text = f"inputs: {inputs}"
        return f"{explain(self.run)}\n{text}" if isinstance(self.run, Jitted) else text


def _code(f: Any) -> Any:
    """The code of a function, of a method, or behind a partial; else the type."""
    while isinstance(f, (functools.partial, types.MethodType)):
        f = f.func if isinstance(f, functools.partial) else f.__func__
    return getattr(f, "__code__", type(f))


def _warn(f: Any, when: str) -> None:
    """Says at the user's line why compiling does not pay."""
    frame = caller()
    warnings.warn_explicit(
        f"weights.grad compiles {name_of(f)} {when}. That takes longer than not to compile it:"
        " define the function once, outside of the loop, and give what changes as an argument,"
        " weights.grad(f, x, jit=True)",
        RuntimeWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _shapes_of(given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple([(x.shape, x.dtype) if hasattr(x, "shape") else type(x) for x in given])


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
