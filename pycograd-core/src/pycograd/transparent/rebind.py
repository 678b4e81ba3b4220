"""Rebinding: the code of a function over a namespace whose blind callables are aware of boxes.

The code object stays, so tracebacks, closures, `nonlocal` and reads of globals are those of the
original; only what global names, and cells that hold functions, resolve to is another. Where
callables are only known when they are called (methods, containers), the calls are seen instead
(`transparent.source`).
"""

from __future__ import annotations

import functools
import types
import weakref
from typing import Any

from pycograd.transparent.aware import functions, modules, namespace
from pycograd.transparent.hindered import Hindered
from pycograd.transparent.kinds import stands_in
from pycograd.transparent.look import Plan, is_library, of_library, per_code, python_function
from pycograd.transparent.scan import Scan, stores_of_cells, why_not
from pycograd.transparent.source import PART, SEEN, SLICE, seeing_calls

_SEEDS = ("__name__", "__package__", "__spec__", "__file__", "__loader__", "__doc__")
_PLAIN = frozenset({int, float, bool, str, tuple, list, dict, set, type(None)})
_overlays: weakref.WeakValueDictionary[tuple[int, Plan], Overlay] = weakref.WeakValueDictionary()


class Overlay(dict):  # type: ignore[type-arg]
    """The globals of a module, read through; see `replacement` for what is seen otherwise."""

    __slots__ = ("real", "plan", "seen", "__weakref__")

    def __init__(self, real: dict[str, Any], plan: Plan) -> None:
        super().__init__({name: real[name] for name in _SEEDS if name in real})
        self["__builtins__"] = namespace(plan)
        if plan.calls:
            from pycograd.transparent.calls import hooks

            self[SEEN], self[PART] = hooks(plan)
            self[SLICE] = slice
        self.real, self.plan = real, plan
        self.seen: dict[str, tuple[Any, Any]] = {}  # name -> (value, what stands for it)

    def __missing__(self, name: str) -> Any:
        value = self.real[name]
        if type(value) in _PLAIN:
            return value
        seen = self.seen.get(name)
        if seen is not None and seen[0] is value:
            return seen[1]
        found = replacement(value, self.plan)
        if found is not value:
            self.seen[name] = value, found
        return found


def overlay(real: dict[str, Any], plan: Plan) -> Overlay:
    """The one overlay of these globals for this plan, while functions use it."""
    found = _overlays.get((id(real), plan))
    if found is None or found.real is not real:
        found = _overlays[id(real), plan] = Overlay(real, plan)
    return found


class AwareModule(types.ModuleType):
    """A module of the user's whose functions are rebound when they are asked for."""

    def __init__(self, module: types.ModuleType, plan: Plan) -> None:
        super().__init__(module.__name__, module.__doc__)
        vars(self).update(_module=module, _plan=plan, _seen={})

    def __getattr__(self, name: str) -> Any:
        own = vars(self)
        value = getattr(own["_module"], name)
        seen = own["_seen"].get(name)
        if seen is not None and seen[0] is value:
            return seen[1]
        found = replacement(value, own["_plan"])
        if found is not value:
            own["_seen"][name] = value, found
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(vars(self)["_module"], name, value)

    def __dir__(self) -> list[str]:
        return dir(vars(self)["_module"])


def replacement(value: Any, plan: Plan, made: dict[int, Any] | None = None) -> Any:
    """What a function under the plan sees in the place of `value`; `value` itself for most."""
    kind = type(value)
    if kind is types.FunctionType:
        known = functions(plan).get(value)
        if known is not None:
            return known
        if (stand_in := stands_in(value)) is not None:
            return stand_in
        if of_library(value):
            return value
        reason = why_not(value.__code__)
        return Hindered(value, reason) if reason else rebound(value, plan, made)
    if kind is types.ModuleType:
        known = modules(plan, value)
        if known is not None:
            return known
        return value if is_library(value.__name__) else AwareModule(value, plan)
    if kind is types.MethodType:
        function = replacement(value.__func__, plan, made)
        return value if function is value.__func__ else types.MethodType(function, value.__self__)
    if kind is functools.partial:
        function = replacement(value.func, plan, made)
        if function is value.func:
            return value
        return functools.partial(function, *value.args, **value.keywords)
    if callable(value):
        try:
            known = functions(plan).get(value)
        except TypeError:  # it cannot be hashed
            return value
        if known is not None:
            return known
        stand_in = stands_in(value)
        return value if stand_in is None else stand_in
    known = functions(plan).get(id(value))
    return value if known is None else known


def can_be_rebound(function: types.FunctionType) -> bool:
    """True for a Python function of the user's whose code does nothing that needs its globals."""
    return not of_library(function) and not why_not(function.__code__)


def rebound(
    function: types.FunctionType, plan: Plan, made: dict[int, Any] | None = None
) -> types.FunctionType:
    """`function` over the overlay of its globals; `why_not` must have said nothing against it.

    Cells that hold what is seen otherwise, and which it does not assign, are replaced by others.
    """
    made = {} if made is None else made
    if (already := made.get(id(function))) is not None:
        return already  # type: ignore[no-any-return]
    code = function.__code__
    if plan.numbers and keeps_types(function):
        plan = plan._replace(numbers=False)
    if plan.calls:
        code = seeing_calls(function)
    cells = function.__closure__
    fresh = None if cells is None else list(cells)
    replaced: list[tuple[int, Any]] = []
    if cells is not None and fresh is not None:
        assigned = assigned_cells(function.__code__)
        for i, (name, cell) in enumerate(zip(function.__code__.co_freevars, cells)):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            if type(value) in _PLAIN or name in assigned:
                continue
            if type(value) in _MAY_REFER_BACK:
                if type(value) is not types.FunctionType or seen_otherwise(value, plan):
                    fresh[i] = types.CellType()
                    replaced.append((i, value))
            elif (found := replacement(value, plan)) is not value:
                fresh[i] = types.CellType(found)
    over = overlay(function.__globals__, plan)
    closure = None if fresh is None else tuple(fresh)
    new = types.FunctionType(code, over, function.__name__, function.__defaults__, closure)
    made[id(function)] = new
    for i, value in replaced:
        assert fresh is not None
        fresh[i].cell_contents = replacement(value, plan, made)
    new.__kwdefaults__ = function.__kwdefaults__
    new.__qualname__, new.__doc__ = function.__qualname__, function.__doc__
    new.__module__ = function.__module__
    new.__dict__.update(function.__dict__)
    return new


_MAY_REFER_BACK = frozenset({types.FunctionType, types.MethodType, functools.partial})


def seen_otherwise(function: types.FunctionType, plan: Plan) -> bool:
    """True for a Python function in whose place another stands."""
    return (
        function in functions(plan) or not of_library(function) or stands_in(function) is not None
    )


def replaceable(value: Any) -> bool:
    """True for what a cell may hold that is seen otherwise."""
    return isinstance(value, (types.ModuleType, type)) or callable(value)


_KEEPING: weakref.WeakKeyDictionary[types.FunctionType, bool] = weakref.WeakKeyDictionary()


def keeps_types(function: types.FunctionType) -> bool:
    """True if it uses `float` or its like otherwise than by calling it: as a dtype, in a test."""
    found = _KEEPING.get(function)
    if found is None:
        found = _KEEPING[function] = Scan(function).numbers_kept
    return found


@per_code
def assigned_cells(code: types.CodeType) -> frozenset[str]:
    """The variables of enclosing functions that code, or code nested in it, assigns."""
    found = set(stores_of_cells(code))
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            found |= assigned_cells(constant)
    return frozenset(found)


def on_behalf(f: Any, plan: Plan) -> Any:
    """A function, method, partial or callable instance whose Python function is rebound."""
    if type(f) is types.FunctionType:
        return rebound(f, plan)
    if type(f) is types.MethodType:
        return types.MethodType(on_behalf(f.__func__, plan), f.__self__)
    if isinstance(f, functools.partial):
        return functools.partial(on_behalf(f.func, plan), *f.args, **f.keywords)
    return types.MethodType(rebound(python_function(f)[0], plan), f)


def held_by(function: types.FunctionType) -> list[Any]:
    """What its cells hold that may be seen otherwise; None in the place of the rest."""
    held = []
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:
            value = None
        held.append(value if replaceable(value) else None)
    return held
