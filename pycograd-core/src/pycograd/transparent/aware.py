"""What stands for what in the transparent mode: functions, modules and built-in names.

The tables are made once for each `Plan`, of which there are few.
"""

from __future__ import annotations

import builtins
import cmath
import functools
import importlib
import math
import sys
import types
from typing import Any

import numpy as np

from pycograd.transparent import arrays
from pycograd.transparent.kinds import GATHER, JOIN, KINDS, MAKE, stands_in
from pycograd.transparent.look import Plan
from pycograd.transparent.maths import BUILTINS, NUMBERS, maths

_maths = functools.cache(maths)
_DISPATCHING: Any = (type(np.sum), np.ufunc)
_NUMPYS = ("numpy", "numpy.linalg", "numpy.fft")


@functools.cache
def functions(plan: Plan) -> dict[Any, Any]:
    """What stands for functions and types; `np.r_` and `np.c_`, which are neither, by their id."""
    storing = plan.storing
    found: dict[Any, Any] = {**_maths(), np.vectorize: arrays.Vectorize}
    for value, kind in KINDS.items():
        if kind == GATHER:
            found[value] = arrays.gatherer(value, storing)
        elif kind == MAKE and storing:
            found[value] = arrays.maker(value)
    found[np.fromiter] = arrays.fromiter(storing)
    found[np.full] = arrays.full(storing)
    found[np.full_like] = arrays.full_like(storing)
    found[id(np.r_)] = arrays.Joiner(np.r_, (0, 1, -1))
    found[id(np.c_)] = arrays.Joiner(np.c_, (-1, 2, 0))
    if plan.calls:
        found[np.take] = functools.update_wrapper(arrays.take, np.take)
    if plan.numbers:
        found.update(NUMBERS)
    if plan.lists:
        for name in _NUMPYS:
            for value in vars(importlib.import_module(name)).values():
                if isinstance(value, _DISPATCHING) and KINDS.get(value) != JOIN:
                    found.setdefault(value, arrays.WithLists(value))
    return found


class LibraryModule(types.ModuleType):
    """A module of a library whose blind members are aware of boxes."""

    def __init__(self, module: types.ModuleType, plan: Plan) -> None:
        super().__init__(module.__name__, module.__doc__)
        vars(self).update(_module=module, _plan=plan)

    def __getattr__(self, name: str) -> Any:
        own = vars(self)
        value = getattr(own["_module"], name)
        found = _member(value, own["_plan"])
        own[name] = found  # libraries stay as they are
        return found

    def __dir__(self) -> list[str]:
        return dir(vars(self)["_module"])


def _member(value: Any, plan: Plan) -> Any:
    if type(value) is types.ModuleType:
        return modules(plan, value) or value
    known = functions(plan)
    if callable(value):
        try:
            found = known.get(value)
        except TypeError:  # it cannot be hashed
            return value
        return (stands_in(value) or value) if found is None else found
    return known.get(id(value), value)


def modules(plan: Plan, module: types.ModuleType) -> types.ModuleType | None:
    """What stands for a module of a library; None for those that have nothing blind in them."""
    name = module.__name__
    if module is math or module is cmath or name in _NUMPYS:
        return _library_module(plan, module)
    if name.partition(".")[0] == "scipy" and sys.modules.get(name) is module:
        return _library_module(plan, module)
    return None


@functools.cache
def _library_module(plan: Plan, module: types.ModuleType) -> LibraryModule:
    return LibraryModule(module, plan)


class Builtins(dict):  # type: ignore[type-arg]
    """The built-in names, read through: others may add to them."""

    def __missing__(self, name: str) -> Any:
        return vars(builtins)[name]


@functools.cache
def namespace(plan: Plan) -> dict[str, Any]:
    """The built-in names as a function under this plan sees them."""

    def __import__(name: str, *args: Any, **kwargs: Any) -> Any:
        module = builtins.__import__(name, *args, **kwargs)
        return modules(plan, module) or module

    own = Builtins(BUILTINS if plan.numbers else {})
    own["__import__"] = __import__
    return own
