"""What a function reads from outside: its cells, globals and defaults, and those of what it calls.

A compiled function holds for the values that were there when it was captured; `Reads` notes them
and says at a later call whether one has changed.
"""

from __future__ import annotations

import functools
import sys
import types
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import numpy as np

from pycograd.core.box import Box
from pycograd.core.buffers import is_frozen
from pycograd.core.foreign import is_variable
from pycograd.core.ir import Graph, held_arrays
from pycograd.graph.derived import Sampled, holds_results
from pycograd.graph.keys import PLAIN, key_of

_LIBRARIES: Final = frozenset(sys.stdlib_module_names) | {"numpy", "scipy", "pycograd", "ml_dtypes"}
# Modules of the standard library whose functions give something else at each call.
_CHANGING: Final = frozenset({"datetime", "os", "random", "secrets", "time", "uuid"})
_MISSING: Final = object()
_UNSET: Final = (KeyError, ValueError)  # of a global that is deleted, a cell that is not filled
_CONVERSIONS: Final = frozenset({"bool", "complex", "float", "int", "item", "tolist"})
_CONTENTS: Final = "which the function computes with, has other contents now"
_MOST: Final = 1000  # entries and attributes that are compared at each call


class Read:
    """One variable: where it is, and what was in it.

    `key` tells it from others: the cell, or the globals and the name; None of what has none.
    """

    __slots__ = ("name", "get", "key", "value")

    def __init__(self, name: str, get: Callable[[], Any], key: Any = None) -> None:
        self.name, self.get, self.key = name, get, key
        try:
            self.value = get()
        except _UNSET:
            self.value = _MISSING

    @property
    def is_searched(self) -> bool:
        """False for a global module, whose attributes are variables themselves."""
        return not (isinstance(self.value, types.ModuleType) and type(self.key) is tuple)

    def changed(self) -> bool:
        """True if there is something else in it now."""
        try:
            now = self.get()
        except _UNSET:
            now = _MISSING
        return now is not self.value and self.differs(now)

    def differs(self, now: Any) -> bool:
        """True if `now`, another object, is not the same; equal numbers and strings are."""
        value = self.value
        if type(now) is not type(value) or not isinstance(now, PLAIN):
            return True
        return bool(key_of(now, contents=False) != key_of(value, contents=False))


class Reads:
    """Every variable that a function and the functions it reaches read from outside.

    Attributes:
        variables: one `Read` for each.
        contents: one `Read` for each entry of the lists and dicts in them, and for each attribute
            of the objects, classes, functions and modules in them that the code has the name of;
            further in as well.
        baked: what may be read and is not watched as a whole: objects, containers, and what gives
            something else each time.
        functions: the Python functions that are followed.
    """

    __slots__ = (
        "variables", "contents", "baked", "functions", "sums", "held", "mixed", "_home", "_owners",
        "_visited",
    )  # fmt: skip

    def __init__(self, f: Any) -> None:
        self.variables: list[Read] = []
        self.baked: list[str] = []
        self.sums: list[tuple[str, Any, int]] = []  # of the arrays that the graph does not read
        # The arrays that it does: shape and dtype, and whether nobody can write to them.
        self.held: list[tuple[Any, Any, Any, bool]] = []
        # Those of them from which it may hold results as well, and what was in them.
        self.mixed: list[tuple[str, Any, Sampled]] = []
        self._home = _package(next(functions_of(f), None))
        self.functions: set[Any] = set()
        self.contents: list[Read] = []
        self._owners: list[tuple[str, Any]] = []
        self._visited: dict[int, Any] = {}  # by their ids, which they keep while they are here
        self._visit(f)
        lent = next((g.__lent__ for g in functions_of(f) if hasattr(g, "__lent__")), ())
        # What its caller hands over anew at each call is no matter of comparing.
        self.variables = [x for x in self.variables if x.key is None or x.key not in lent]
        self._look_inside()
        seen: set[int] = set()
        for variable in (*self.variables, *self.contents):
            array = variable.value
            if isinstance(array, np.ndarray) and not isinstance(array, Box):
                if id(array) not in seen:
                    seen.add(id(array))
                    self.sums.append((variable.name, array, checksum(array)))

    def written(self) -> str:
        """The name of an array that is not any more what it was; empty if there is none."""
        return next((name for name, array, sum_ in self.sums if checksum(array) != sum_), "")

    def copied(self) -> str:
        """The name of a variable of TensorFlow's, of which a graph would hold a copy; or empty."""
        found = (x.name for x in (*self.variables, *self.contents) if is_variable(x.value))
        return next(found, "")

    def watch(self, graph: Graph) -> None:
        """Notes which arrays the graph reads itself; of the others the contents are compared.

        Of those that it reads too, if something may have been computed from them before.
        """
        # What it writes itself is no reason to capture it anew.
        self.contents = [x for x in self.contents if not x.changed()]
        constants = held_arrays(graph)
        read, known = {id(array) for array in constants}, [array for _, array, _ in self.sums]
        names = {name for f in self.functions for name in _names(f)}
        if not names.isdisjoint(_CONVERSIONS) or holds_results(graph, known):
            self.mixed = [
                (name, array, Sampled(array))
                for name, array, _ in self.sums
                if id(array) in read and not is_frozen(array)
            ]
        self.sums = [entry for entry in self.sums if id(entry[1]) not in read]
        mine = set(map(id, known))
        self.held = [
            (a, a.shape, a.dtype, is_frozen(a))
            for a in constants
            if a.flags.writeable or id(a) in mine
        ]

    def reads_itself(self) -> None:
        """Notes that a graph of new contents is the same: it holds no results of them."""
        self.mixed = [(name, a, before) for name, a, before in self.mixed if before.still(a)]

    def arrays(self) -> list[Any]:
        """The arrays in variables whose contents count."""
        return [array for _, array, _ in (*self.sums, *self.mixed)]

    def change(self) -> str:
        """What has changed since, in words; empty if nothing has."""
        for variables in (self.variables, self.contents):
            for variable in variables:
                if variable.changed():
                    return f"{variable.name} is another object now"
        for array, shape, dtype, frozen in self.held:
            if array.shape != shape or array.dtype != dtype:
                return "an array that the function closes over has another shape or dtype now"
            if frozen is not is_frozen(array):
                return f"an array that the function closes over is {'not ' * frozen}read-only now"
        if self.sums and (name := self.written()):
            return f"the array {name}, {_CONTENTS}"
        for name, array, before in self.mixed:
            if not before.still(array):
                return f"the array {name}, {_CONTENTS}"
        return ""

    # -- the search ------------------------------------------------------------------------------
    def _visit(self, f: Any) -> None:
        """Notes what a callable reads, and the functions behind it."""
        if id(f) in self._visited:
            return
        self._visited[id(f)] = f
        for name, owner in _owners(f):
            self.baked.append(f"attributes of {name}")
            self._owners.append((name, owner))
        for name, value in _bound(f):
            self._read(Read(name, lambda value=value: value))  # type: ignore[misc]
        for function in functions_of(f):
            if function in self.functions or self._is_library(function):
                continue
            self.functions.add(function)
            for read in variables_of(function):
                self._read(read)

    def _read(self, read: Read) -> None:
        """Notes a variable, and what can be reached from it."""
        self.variables.append(read)
        value = read.value
        if value is np and any("random" in _names(f) for f in self.functions):
            self.baked.append(f"{read.name}.random")
        elif _package(value) in _CHANGING:
            self.baked.append(f"{read.name} ({_package(value)})")
        elif callable(value) and not isinstance(value, type):
            self._visit(value)
        elif not isinstance(value, (*PLAIN, np.ndarray, Box, type, types.ModuleType)):
            # What a container of parameters lends is read anew (`core.lent`).
            if value is not _MISSING and not hasattr(type(value), "_lends"):
                self.baked.append(f"{read.name} ({type(value).__name__})")

    def _look_inside(self) -> None:
        """Notes what is in the containers and objects, and the functions that are found there."""
        names: set[str] = set()
        known: set[Any] = set()
        inside: set[int] = set()
        stack: list[tuple[str, Any]] = []
        large: list[tuple[str, Any]] = []  # what comes last, with the room that is left
        count = 0
        while True:
            if len(known) < len(self.functions):  # whose names may be attributes of all objects
                names.update(*[_names(f) for f in self.functions - known])
                known, stack, large, inside = set(self.functions), [], [], set()
                stack += [
                    *self._owners,
                    *[(x.name, x.value) for x in self.variables if x.is_searched],
                ]
                self.contents, count = [], 0
            if stack:
                name, value = stack.pop()
                if id(value) in inside:
                    continue
                inside.add(id(value))
                found = list(islice(self._parts(name, value, names), _MOST - count + 1))
                if count + len(found) > _MOST:
                    large.append((name, value))
                    continue
            elif large and count < _MOST:
                found = list(islice(self._parts(*large.pop(), names), _MOST - count))
            else:
                return
            count += len(found)
            for read in found:
                self.contents.append(read)
                stack.append((read.name, read.value))
                if callable(read.value) and not isinstance(read.value, (type, Box)):
                    self._visit(read.value)

    def _parts(self, name: str, value: Any, names: set[str]) -> Iterator[Read]:
        """What a container holds, or the attributes of these names; nothing of what else it is."""
        if isinstance(value, Box) or hasattr(type(value), "_lends"):
            return
        if isinstance(value, dict):
            yield Read(f"the keys of {name}", lambda: tuple(value))
            for key in [*value]:
                yield Read(f"{name}[{key!r}]", lambda key=key: value[key])  # type: ignore[misc]
        elif isinstance(value, (list, tuple)):
            if isinstance(value, list):
                yield Read(f"the length of {name}", lambda: len(value))
            for i, x in enumerate(value):
                if isinstance(value, tuple) and isinstance(x, PLAIN) and not isinstance(x, tuple):
                    continue  # nothing else will ever be there
                yield Read(f"{name}[{i}]", lambda i=i: value[i])  # type: ignore[misc]
        elif isinstance(value, set):
            yield Read(name, lambda: frozenset(value))
        elif isinstance(value, (types.ModuleType, types.FunctionType)):
            of_interest = type(value) is types.FunctionType or self._is_of_a_user(value)
            for attribute in names & vars(value).keys() if of_interest else ():
                yield Read(
                    f"{name}.{attribute}",
                    lambda attribute=attribute: vars(value)[attribute],  # type: ignore[misc]
                )
        elif self._is_of_a_user(value if isinstance(value, type) else type(value)):
            for attribute in names:
                part = _attribute(value, attribute)
                if type(part) in (staticmethod, classmethod):
                    part = part.__func__
                is_method = type(part) is types.FunctionType
                if is_method:
                    self._visit(part)
                if isinstance(value, type) if is_method else _is_data(part):
                    yield Read(
                        f"{name}.{attribute}",
                        lambda attribute=attribute: _attribute(value, attribute),  # type: ignore[misc]
                    )

    def _is_of_a_user(self, x: Any) -> bool:
        """True for a class or a module that is no library's."""
        if x is types.SimpleNamespace:
            return True
        package = _package(x)
        module = x if isinstance(x, types.ModuleType) else sys.modules.get(x.__module__)
        file = getattr(module, "__file__", None) or ""
        return package not in _LIBRARIES and (package == self._home or "-packages" not in file)

    def _is_library(self, function: types.FunctionType) -> bool:
        package = _package(function)
        if package in _LIBRARIES:
            return True
        return package != self._home and "-packages" in function.__code__.co_filename


def functions_of(f: Any) -> Iterator[types.FunctionType]:
    """The Python functions that a callable runs: behind wrappers, methods and partials."""
    return (layer for layer in _layers(f) if type(layer) is types.FunctionType)


def _layers(f: Any) -> Iterator[Any]:
    """A callable and what is behind it, one after the other."""
    seen: set[int] = set()
    while f is not None and id(f) not in seen:
        seen.add(id(f))
        yield f
        if type(f) is types.FunctionType:
            f = getattr(f, "__wrapped__", None)
        elif type(f) is types.MethodType:
            f = f.__func__
        elif hasattr(f, "__wrapped__"):
            f = f.__wrapped__
        elif isinstance(f, functools.partial):
            f = f.func
        else:
            own = _own_call(f)
            f = own if type(own) is types.FunctionType else None


def _own_call(f: Any) -> Any:
    return next((c.__dict__["__call__"] for c in type(f).__mro__ if "__call__" in c.__dict__), None)


def _owners(f: Any) -> Iterator[tuple[str, Any]]:
    """The objects whose attributes a method or a callable object may read, each with a name."""
    for x in _layers(f):
        if type(x) is types.MethodType and not isinstance(x.__self__, type):
            yield f"{x.__func__.__name__}.__self__ ({type(x.__self__).__name__})", x.__self__
        elif _package(type(x)) not in _LIBRARIES and type(_own_call(x)) is types.FunctionType:
            yield f"the {type(x).__name__} that is called", x


def _bound(f: Any) -> Iterator[tuple[str, Any]]:
    """The arguments that a partial brings."""
    while isinstance(f, functools.partial):
        yield from ((f"argument {i} of the partial", x) for i, x in enumerate(f.args))
        yield from f.keywords.items()
        f = f.func


def variables_of(function: types.FunctionType) -> Iterator[Read]:
    """The variables of one function: its cells, defaults and globals."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        yield Read(name, lambda cell=cell: cell.cell_contents, id(cell))  # type: ignore[misc]
    count = function.__code__.co_argcount
    for i in range(len(function.__defaults__ or ())):
        name = function.__code__.co_varnames[count - len(function.__defaults__ or ()) + i]
        yield Read(f"the default of {name}", lambda i=i: _entry(function.__defaults__, i))  # type: ignore[misc]
    for name in function.__kwdefaults__ or ():
        yield Read(
            f"the default of {name}",
            lambda name=name: _entry(function.__kwdefaults__, name),  # type: ignore[misc]
        )
    known = function.__globals__
    names = _names(function)
    for name in names:
        if name in known:
            yield Read(name, lambda name=name: known[name], (id(known), name))  # type: ignore[misc]
            module = known[name]
            if isinstance(module, types.ModuleType) and _package(module) not in _LIBRARIES:
                inside = vars(module)
                for attribute in names:
                    if attribute in inside:
                        yield Read(
                            f"{name}.{attribute}",
                            lambda inside=inside, key=attribute: inside[key],  # type: ignore[misc]
                        )


def _is_data(part: Any) -> bool:
    """True for an attribute that is there, and that no code computes."""
    return part is not _MISSING and not hasattr(type(part), "__get__")


def _attribute(x: Any, name: str) -> Any:
    """An attribute as it is stored, with the object or with its class; no property is run."""
    own = getattr(x, "__dict__", None)
    if type(own) is dict and name in own:
        return own[name]
    is_class = isinstance(x, type)
    for kind in x.__mro__ if is_class else type(x).__mro__:
        if name in kind.__dict__:
            found = kind.__dict__[name]
            if type(found) is types.MemberDescriptorType and not is_class:  # a slot
                try:
                    return found.__get__(x)
                except AttributeError:  # not filled
                    return _MISSING
            return found
    return _MISSING


def _entry(values: Any, key: Any) -> Any:
    """An entry of the defaults of a function, which may have others now."""
    try:
        return values[key]
    except (TypeError, IndexError):
        return _MISSING


def _names(function: Any) -> list[str]:
    """The names that may be globals or attributes, of a function and those nested in it."""
    found: dict[str, None] = {}
    stack = [function.__code__]
    while stack:
        code = stack.pop()
        found.update(dict.fromkeys(code.co_names))
        stack += [x for x in code.co_consts if type(x) is types.CodeType]
    return list(found)


def _package(x: Any) -> str:
    """The name of the package that a module, a function or a class is of."""
    name = x.__name__ if isinstance(x, types.ModuleType) else getattr(x, "__module__", None)
    return name.partition(".")[0] if isinstance(name, str) else ""


def checksum(array: Any) -> int:
    """A number that changes when the contents do."""
    if array.dtype.hasobject:
        return hash(tuple(map(id, array.flat)))
    return zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data)
