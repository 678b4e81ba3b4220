"""What a function reads from outside: its cells and globals, and those of functions it reaches.

A compiled function holds for the values that were there when it was captured; `Reads` notes them
and says at a later call whether one has changed.
"""

from __future__ import annotations

import sys
import types
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pycograd.core.box import Box

_PLAIN = (int, float, complex, str, bytes, bool, type(None), tuple, frozenset)
_LIBRARIES = frozenset(sys.stdlib_module_names) | {"numpy", "scipy", "pycograd", "ml_dtypes"}


class Read:
    """One variable: where it is, and what was in it."""

    __slots__ = ("name", "get", "value")

    def __init__(self, name: str, get: Callable[[], Any]) -> None:
        self.name, self.get, self.value = name, get, get()

    def changed(self) -> bool:
        """True if something else is in it now; equal numbers and strings are the same."""
        try:
            now = self.get()
        except (KeyError, ValueError):  # deleted since
            return True
        if now is self.value:
            return False
        return not (
            type(now) is type(self.value) and isinstance(now, _PLAIN) and bool(now == self.value)
        )


class Reads:
    """Every variable that a function and the functions it reaches read from outside.

    Attributes:
        variables: one `Read` for each.
        sums: the checksum of each array among them that the graph does not read itself.
        baked: what is not watched: the objects whose attributes or entries may be read.
    """

    __slots__ = ("variables", "sums", "baked")

    def __init__(self, f: Any) -> None:
        self.variables: list[Read] = []
        self.baked: list[str] = []
        self.sums: list[tuple[Any, int]] = []
        self._visit(f, set())

    def watch(self, read_by_graph: set[int]) -> None:
        """Notes what is in the arrays that only plain arithmetic reads."""
        for variable in self.variables:
            array = variable.value
            if type(array) is np.ndarray and id(array) not in read_by_graph:
                self.sums.append((array, checksum(array)))

    def change(self) -> str:
        """What has changed since, in words; empty if nothing has."""
        for variable in self.variables:
            if variable.changed():
                return f"{variable.name} is another object now"
        for array, known in self.sums:
            if checksum(array) != known:
                return "an array that the function computes with has other contents now"
        return ""

    def holds_box(self) -> bool:
        """True if a variable holds a value of a transform that is running."""
        return any(isinstance(v.value, Box) for v in self.variables)

    def _visit(self, f: Any, seen: set[int]) -> None:
        for function in functions_of(f):
            code = function.__code__
            if id(code) in seen or not _is_users(function):
                continue
            seen.add(id(code))
            for read in _variables(function):
                self.variables.append(read)
                value = read.value
                if callable(value) and not isinstance(value, type):
                    self._visit(value, seen)
                elif not isinstance(value, (*_PLAIN, np.ndarray, np.generic, Box, type)):
                    if not isinstance(value, types.ModuleType):
                        self.baked.append(f"{read.name} ({type(value).__name__})")


def functions_of(f: Any) -> Iterator[types.FunctionType]:
    """The Python functions that a callable runs: behind wrappers, methods and partials."""
    seen: set[int] = set()
    while f is not None and id(f) not in seen:
        seen.add(id(f))
        if type(f) is types.FunctionType:
            yield f
            f = getattr(f, "__wrapped__", None)
        elif type(f) is types.MethodType:
            f = f.__func__
        elif hasattr(f, "__wrapped__"):
            f = f.__wrapped__
        elif hasattr(f, "func"):  # a partial
            f = f.func
        else:
            own = type(f).__dict__.get("__call__")
            f = own if type(own) is types.FunctionType else None


def _is_users(function: types.FunctionType) -> bool:
    return (function.__module__ or "").partition(".")[0] not in _LIBRARIES


def _variables(function: types.FunctionType) -> Iterator[Read]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            yield Read(name, lambda cell=cell: cell.cell_contents)  # type: ignore[misc]
        except ValueError:  # not filled yet
            continue
    known = function.__globals__
    for name in _global_names(function.__code__):
        if name in known:
            yield Read(name, lambda name=name: known[name])  # type: ignore[misc]


def _global_names(code: types.CodeType) -> Iterator[str]:
    """The names that may be globals, in a code object and the ones nested in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            yield from _global_names(constant)


def checksum(array: Any) -> int:
    """A number that changes when the contents do."""
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data)
