"""Weights as global variables for the length of a block.

`with weights:` binds names in the globals of the code that has the block. Blocks may be nested and
run in several threads; a name goes when the last block that needs it ends.
"""

from __future__ import annotations

import builtins
import sys
import types
from _thread import allocate_lock
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, Final

from pycograd.core.errors import ParameterError
from pycograd.graph.reads import functions_of
from pycograd.transparent.look import global_names, is_library, python_function

Scope = dict[str, Any]

_ABSENT: Final = object()
_lock = allocate_lock()
# (id of the globals, name) -> the globals, how many blocks need the name
_needed: dict[tuple[int, str], tuple[Scope, int]] = {}


def caller() -> FrameType:
    """The innermost frame of the user's own code."""
    frame = sys._getframe(1)
    while frame.f_back is not None and is_library(frame.f_globals.get("__name__")):
        if frame.f_code.co_filename[:1] == "<" and frame.f_code.co_name == "<module>":
            break  # an example in a docstring is its reader's
        frame = frame.f_back
    return frame


def scopes_of(f: Any, frame: FrameType) -> list[Scope]:
    """The globals in which a call of `f` looks names up: its own, and those of who calls."""
    function, _ = python_function(f)
    own = getattr(function, "__globals__", None)
    if type(own) is not dict or own is frame.f_globals:
        return [frame.f_globals]
    return [own, frame.f_globals]


def bind(entries: Mapping[str, Any], scope: Scope, leaving: Callable[[str], bool]) -> list[str]:
    """Binds names in a scope; those that `release` has to be given.

    Arguments:
        entries: names and what they are to stand for.
        scope: globals.
        leaving: whether a name that has another meaning there is left alone; if not it is an error.

    Raises:
        ParameterError: a name that is taken. Then none is bound.
    """
    bound: list[str] = []
    with _lock:
        for name, entry in entries.items():
            found = scope.get(name, _ABSENT)
            if found is entry:
                if (id(scope), name) in _needed:
                    bound.append(name)
            elif found is not _ABSENT:
                if not leaving(name):
                    raise ParameterError(
                        f"the name {name!r} exists already in {scope.get('__name__', 'this scope')}"
                        f" ({type(found).__name__}), and a weight of this name would hide it."
                        " Delete it, or give the variable or the weight another name"
                    )
            elif hasattr(builtins, name):
                if not leaving(name):
                    raise ParameterError(
                        f"a weight named {name!r} would hide Python's own {name}; give it another"
                        " name"
                    )
            else:
                bound.append(name)
        for name in bound:
            scope[name] = entries[name]
            _, count = _needed.get((id(scope), name), (scope, 0))
            _needed[id(scope), name] = scope, count + 1
    return bound


def release(entries: Mapping[str, Any], scope: Scope, bound: list[str]) -> None:
    """Ends what `bind` began; a name that has been given another value meanwhile keeps it."""
    with _lock:
        for name in bound:
            _, count = _needed.pop((id(scope), name))
            if count > 1:
                _needed[id(scope), name] = scope, count - 1
            elif scope.get(name) is entries[name]:
                del scope[name]


def refuse_hidden(entries: Mapping[str, Any], frame: FrameType) -> None:
    """Raises if the code of a frame has local variables in the place of the names."""
    if frame.f_locals is frame.f_globals or frame.f_code.co_name == "<module>":
        return
    code = frame.f_code
    hidden = {*code.co_varnames, *code.co_cellvars, *code.co_freevars} & entries.keys()
    if hidden:
        name = min(hidden)
        raise ParameterError(
            f"{name!r} is a local variable of {code.co_name}, which hides the weight of that name:"
            f" give it another name, or write weights[{name!r}] in the place of with weights"
        )


def spared(f: Any) -> Callable[[str], bool]:
    """Tells of a global name whether a function, with those that it reaches, does without it.

    Of what is no Python function nothing is known, so that it may use any.
    """
    found: set[Any] | None = None

    def asked(name: str) -> bool:
        nonlocal found
        if found is None:
            found = set(_names(f, set()))
        return name not in found and None not in found

    return asked


def _names(f: Any, seen: set[int]) -> Iterator[Any]:
    functions = list(functions_of(f))
    if not functions:
        yield None
    for function in functions:
        if id(function) in seen or is_library(function.__module__):
            continue
        seen.add(id(function))
        names = global_names(function.__code__)
        yield from names
        known = function.__globals__
        inside = [known.get(name) for name in names]
        with suppress(ValueError):  # a cell that is not filled
            inside += [cell.cell_contents for cell in function.__closure__ or ()]
        for value in inside:
            if type(value) is types.FunctionType:
                yield from _names(value, seen)
