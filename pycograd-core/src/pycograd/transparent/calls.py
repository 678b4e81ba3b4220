"""What a call, or a subscript, of instrumented code goes through (`transparent.source`)."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core.box import Box
from pycograd.core.fillable import fillable
from pycograd.transparent.kinds import ARRAY_METHODS
from pycograd.transparent.look import Plan, own_call
from pycograd.transparent.rebind import Overlay, can_be_rebound, replacement

_MODULE = types.ModuleType
_OF_MODULES: Any = frozenset({np.ufunc, type(np.sum)})  # what comes and goes with a module


@functools.cache
def hooks(plan: Plan) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`seen` and `part` for functions under the plan; there are few plans."""
    # What lasts as long as its module, and what stands for it: by id, for some cannot be hashed.
    remembered: dict[int, tuple[Any, Any]] = {}

    def seen(f: Any) -> Any:
        """What is called in the place of `f`."""
        found = remembered.get(id(f))
        if found is not None and found[0] is f:
            return found[1]
        kind = type(f)
        if kind is types.FunctionType:
            if type(f.__globals__) is Overlay:
                return f
            new = replacement(f, plan)
            return remember(f, new) if f.__closure__ is None else new
        if kind is types.MethodType:
            function = f.__func__
            if type(function) is not types.FunctionType or not can_be_rebound(function):
                return f
            return types.MethodType(seen(function), f.__self__)
        if kind is types.BuiltinFunctionType:
            if type(f.__self__) is np.ndarray:
                return _method(f, plan)
            return remember(f, replacement(f, plan)) if type(f.__self__) is _MODULE else f
        if kind in _OF_MODULES:
            return remember(f, replacement(f, plan))
        if kind is functools.partial or kind is type:
            return replacement(f, plan)
        call = own_call(kind)
        return f if call is None or not can_be_rebound(call) else types.MethodType(seen(call), f)

    def remember(f: Any, new: Any) -> Any:
        if len(remembered) >= 1024:
            remembered.clear()
        remembered[id(f)] = f, new
        return new

    return seen, part


def part(table: Any, place: Any) -> Any:
    """`table[place]`, of a plain array at a place that a transform knows."""
    if type(table) is np.ndarray:
        places = place if type(place) is tuple else (place,)
        for x in places:
            if isinstance(x, Box) and x.dtype.kind in "iub":
                return np.asarray(table, like=x)[place]
    return table[place]


def _method(method: Any, plan: Plan) -> Any:
    """A method of a plain array that is aware of differentiated values."""
    name = method.__name__
    if name == "copy" and plan.storing:
        return lambda *args, **kwargs: fillable(method(*args, **kwargs))
    if name not in ARRAY_METHODS:
        return method

    def aware(*args: Any, **kwargs: Any) -> Any:
        for x in (*args, *kwargs.values()):
            if isinstance(x, Box):
                # As a constant of the transform it has methods that ask; integers stay plain.
                array = np.asarray(method.__self__, like=x)
                if isinstance(array, Box):
                    return getattr(array, name)(*args, **kwargs)
                return getattr(np, name)(array, *args, **kwargs)
        return method(*args, **kwargs)

    return aware
