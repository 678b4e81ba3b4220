"""Data that an objective names: inputs of the compiled program, not parts of it.

`lambda: loss(X, Y)` reads arrays from variables. So that the next batch does not compile anew, the
variables are arguments of what is compiled: while it is captured, the same code runs over a
namespace in which they stand for values of the graph.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from pycograd.core.box import Box
from pycograd.core.errors import PlainBufferError
from pycograd.core.tree import tree_flatten
from pycograd.graph.reads import Read, Reads, variables_of
from pycograd.transforms.capture import capturing
from pycograd.transparent.look import examine, global_names
from pycograd.transparent.rebind import assigned_cells, can_be_rebound

_SEEDS: Final = ("__name__", "__package__", "__spec__", "__file__", "__loader__", "__builtins__")
_CONTAINERS: Final = frozenset({tuple, list, dict, np.ndarray})


class Lending:
    """The variables of an objective that may be lent.

    Those that are read where nothing can be exchanged, such as by a method, may not.

    Attributes:
        variables: each with its name, and its key as in `graph.reads`.
    """

    def __init__(self, objective: Callable[..., Any]) -> None:
        self.f = objective
        self.variables: list[Read] = []
        if type(objective) is not types.FunctionType:
            return
        if examine(objective, indexed=True).plan is not None:
            return  # it runs over a namespace already
        reads = Reads(objective)
        exchanged: dict[int, Any] = {}
        others: set[Any] = set()
        _follow(objective, exchanged, others)
        others |= {f for f in reads.functions if id(f) not in exchanged}
        kept = {key for f in others for key in _keys(f)}
        mine = {key for f in exchanged.values() for key in _keys(f)} - kept
        for read in reads.variables:
            if read.key in mine and is_data(read.value):
                mine.discard(read.key)
                self.variables.append(read)

    def values(self) -> list[Any] | None:
        """What the variables hold now; None if one holds no data any more."""
        try:
            found = [variable.get() for variable in self.variables]
        except (KeyError, ValueError):
            return None
        return found if all(map(is_data, found)) else None

    def called(self, lent: Sequence[Any], args: Any, kwargs: Any) -> Any:
        """The objective with other values in the place of the variables."""
        values = {variable.key: x for variable, x in zip(self.variables, lent)}
        boxes = [(x, x.value) for x in tree_flatten(lent)[0] if isinstance(x, Box)]
        out = _over(self.f, values, {})(*args, **kwargs)
        if any([x.value is not before for x, before in boxes]):
            raise PlainBufferError(
                f"{self.f.__name__} writes into an array that it names. A compiled function would"
                " do so in its own copy: return the new value, and write it outside"
            )
        self._check_held()
        return out

    def _check_held(self) -> None:
        """Raises if an array of a variable has come into the graph in another way."""
        trace = capturing.get()
        if trace is None:
            return
        mine = set(map(id, tree_flatten(self.values())[0]))
        if any([id(array) in mine for _, array in trace.constants]):
            raise NotLent


def _keys(function: types.FunctionType) -> set[Any]:
    """The keys of the variables that a function reads, and does not assign."""
    known, assigned = function.__globals__, assigned_cells(function.__code__)
    cells = zip(function.__code__.co_freevars, function.__closure__ or ())
    names = {(id(known), name) for name in global_names(function.__code__) if name in known}
    return names | {id(cell) for name, cell in cells if name not in assigned}


def _follow(function: types.FunctionType, exchanged: dict[int, Any], others: set[Any]) -> None:
    """The functions that `_over` makes again, and those that are reached in other ways."""
    if id(function) in exchanged:
        return
    if not can_be_rebound(function):
        others.add(function)
        return
    exchanged[id(function)] = function
    for read in variables_of(function):
        if type(read.value) is types.FunctionType and read.key is not None:
            _follow(read.value, exchanged, others)
        elif callable(read.value) and not isinstance(read.value, type):
            others |= Reads(read.value).functions


class NotLent(Exception):
    """What an objective names was also reached where nothing could be exchanged."""


def is_data(x: Any) -> bool:
    """True for arrays, and for containers of nothing but arrays."""
    if type(x) is np.ndarray:
        return not x.dtype.hasobject and x.dtype.kind in "biufcV"
    if type(x) not in _CONTAINERS or not x:
        return False
    return all([is_data(part) for part in (x.values() if type(x) is dict else x)])


class _Namespace(dict):  # type: ignore[type-arg]
    """Globals, read through, with the values of some variables exchanged."""

    __slots__ = ("lent", "made", "real")

    def __init__(self, real: dict[str, Any], values: Mapping[Any, Any], made: Any) -> None:
        super().__init__({name: real[name] for name in _SEEDS if name in real})
        self.real, self.lent, self.made = real, values, made

    def __missing__(self, name: str) -> Any:
        key = id(self.real), name
        return self.lent[key] if key in self.lent else _seen(self.real[name], self.lent, self.made)


def _seen(value: Any, lent: Mapping[Any, Any], made: dict[int, Any]) -> Any:
    return _over(value, lent, made) if type(value) is types.FunctionType else value


def _over(function: Any, lent: Mapping[Any, Any], made: dict[int, Any]) -> Any:
    """A function with the variables exchanged, in it and in the functions that it reaches."""
    if id(function) in made:
        return made[id(function)]
    if not can_be_rebound(function):
        return function
    cells = function.__closure__
    assigned = assigned_cells(function.__code__)
    fresh = [
        cell if name in assigned else types.CellType()
        for name, cell in zip(function.__code__.co_freevars, cells or ())
    ]
    new = types.FunctionType(
        function.__code__,
        _Namespace(function.__globals__, lent, made),
        function.__name__,
        function.__defaults__,
        None if cells is None else tuple(fresh),
    )
    made[id(function)] = new
    for old, cell in zip(cells or (), fresh):
        if cell is not old:
            try:
                value = old.cell_contents
            except ValueError:
                continue
            cell.cell_contents = lent[id(old)] if id(old) in lent else _seen(value, lent, made)
    new.__kwdefaults__, new.__qualname__ = function.__kwdefaults__, function.__qualname__
    new.__module__ = function.__module__
    return new
