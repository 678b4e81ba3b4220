"""Weights as global variables for the length of a block.

`with weights:` binds names in the globals of the code that has the block. Blocks may be nested and
run in several threads; a name goes when the last block that needs it ends.
"""

from __future__ import annotations

import builtins
import difflib
import inspect
import sys
from _thread import allocate_lock
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, Final

from pycograd.core.errors import ParameterError
from pycograd.graph.reads import functions_of, variables_of
from pycograd.parameters.weight import Weight
from pycograd.transparent.look import global_names, is_library

Scope = dict[str, Any]

_ABSENT: Final = object()
_lock = allocate_lock()
_bound: dict[tuple[int, int], Bound] = {}  # by the ids of entries and scope


class Bound:
    """Names that are bound in a scope, for as many blocks as need them."""

    __slots__ = ("entries", "scope", "mine", "left", "blocks")

    def __init__(self, entries: Mapping[str, Any], scope: Scope) -> None:
        self.entries, self.scope = entries, scope
        self.mine: list[str] = []  # the names that were bound
        self.left: list[str] = []  # those that had another meaning, and were left alone
        self.blocks = 0


def caller() -> FrameType:
    """The innermost frame of the user's own code."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_between(frame.f_globals.get("__name__")):
        if frame.f_code.co_filename[:1] == "<" and frame.f_code.co_name == "<module>":
            break  # an example in a docstring is its reader's
        frame = frame.f_back
    return frame


def _is_between(module: Any) -> bool:
    """True for the name of a module that is not the user's: a library, or a plugin of ours."""
    return is_library(module) or (isinstance(module, str) and module.startswith("pycograd_"))


def scopes_of(f: Any, frame: FrameType, home: Scope | None) -> list[Scope]:
    """The globals in which a call of `f` looks names up: its own, the caller's, the model's."""
    found: list[Scope] = []
    for scope in (*_own_scopes(f, set()), frame.f_globals, home):
        if type(scope) is dict and all([scope is not other for other in found]):
            found.append(scope)
    return found


def _own_scopes(f: Any, seen: set[Any]) -> Iterator[Scope]:
    """Those of a function; of one of a library, as of `checkpoint(g)`, those of what it runs."""
    for function in functions_of(f):
        if function in seen:
            continue
        seen.add(function)
        if not is_library(function.__globals__.get("__name__")):
            yield function.__globals__
            continue
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not filled yet
                continue
            for part in value if type(value) is tuple else (value,):
                if callable(part) and not isinstance(part, type):
                    yield from _own_scopes(part, seen)


def bind(entries: Mapping[str, Any], scope: Scope, f: Any = None) -> Bound:
    """Binds names in a scope until `release` is given what this returns.

    Arguments:
        entries: names and what they are to stand for; one object for each model.
        scope: globals.
        f: a function; a name that it does not use may have another meaning.

    Raises:
        ParameterError: a name that is taken, or in an open block was given another value. Then
            none is bound.
    """
    key = id(entries), id(scope)
    with _lock:
        bound = _bound.get(key)
        if bound is None:
            bound = Bound(entries, scope)
            for name, entry in entries.items():
                found = scope.get(name, _ABSENT)
                if found is _ABSENT and not hasattr(builtins, name):
                    bound.mine.append(name)
                elif found is not entry:
                    bound.left.append(name)
        elif moved := [n for n in bound.mine if scope.get(n, entries[n]) is not entries[n]]:
            _refuse_moved(moved, bound, f)
        if bound.left:
            _refuse(bound, f)
        if not bound.blocks:
            for name in bound.mine:
                scope[name] = entries[name]
            _bound[key] = bound
        bound.blocks += 1
    return bound


def release(bound: Bound) -> None:
    """Ends what `bind` began; a name that has been given another value meanwhile keeps it."""
    with _lock:
        bound.blocks -= 1
        if bound.blocks:
            return
        del _bound[id(bound.entries), id(bound.scope)]
        for name in bound.mine:
            if bound.scope.get(name) is bound.entries[name]:
                del bound.scope[name]


def _needed(names: list[str], f: Any) -> list[str]:
    """Those of some names that `f` uses, or may use; all of them where there is no function."""
    used = None if f is None else set(_names(f, set()))
    return [name for name in names if used is None or name in used or None in used]


def _refuse_moved(moved: list[str], bound: Bound, f: Any) -> None:
    """Raises if a name that is needed was given another value while its block is open."""
    for name in _needed(moved, f):
        kind = type(bound.scope[name]).__name__
        raise ParameterError(
            f"the name {name!r} was given another value (a {kind}) in the block of its weight,"
            f" which it hides, so that it has no gradient. Write weights.{name} = ... or"
            " weights.step(...) to change the weight, or give the value another name"
        )


def _refuse(bound: Bound, f: Any) -> None:
    """Raises if a name that was left alone is one that is needed."""
    for name in _needed(bound.left, f):
        if name not in bound.scope:
            raise ParameterError(
                f"a weight named {name!r} would hide Python's own {name}; give it another name"
            )
        if type(bound.scope[name]) is Weight:
            raise ParameterError(
                f"the name {name!r} stands for a weight of another model, whose block is open. End"
                " that block first, or read the weights of both as weights.name"
            )
        where, kind = bound.scope.get("__name__", "this scope"), type(bound.scope[name]).__name__
        raise ParameterError(
            f"the name {name!r} exists already in {where} ({kind}), and a weight of this name would"
            " hide it. Delete it, or give the variable or the weight another name"
        )


def refuse_hidden(entries: Mapping[str, Any], frame: FrameType) -> None:
    """Raises if the code of a frame has local variables in the place of the names."""
    code = frame.f_code  # not f_locals, whose dict would keep what it holds
    if not code.co_flags & inspect.CO_OPTIMIZED:
        return  # not of a function
    hidden = {*code.co_varnames, *code.co_cellvars, *code.co_freevars} & entries.keys()
    if hidden:
        name = min(hidden)
        raise ParameterError(
            f"{name!r} is a local variable of {code.co_name}, which hides the weight of that name:"
            f" give it another name, or write weights[{name!r}] in the place of with weights"
        )


def suggest(error: NameError, entries: Mapping[str, Any]) -> None:
    """Adds to the error for an unknown name which weight may have been meant."""
    name = getattr(error, "name", None)
    near = difflib.get_close_matches(name, list(entries), 1) if name else []
    if name in entries and error.__traceback__ is not None:
        error.args = (f"{error.args[0]} in {_place_of(error)}: {_WHERE}",)
    elif near and error.args == (f"name {name!r} is not defined",):
        error.args = (f"{error.args[0]}; did you mean the weight {near[0]!r}?",)


def _place_of(error: NameError) -> str:
    """The module in which a name was looked up."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "there" if trace is None else str(trace.tb_frame.f_globals.get("__name__", "there"))


_WHERE: Final = (
    "weights are bound by name in the modules of the objective, of its caller and of params(...)."
    " Open `with weights:` in this one as well, or read them as weights.name"
)


def _names(f: Any, seen: set[int]) -> Iterator[Any]:
    """The global names that a function uses, and those that it reaches; None for what is unknown.

    Of what is no Python function nothing is known.
    """
    functions = list(functions_of(f))
    if not functions and not seen:
        yield None
    for function in functions:
        if id(function) in seen or is_library(function.__module__):
            continue
        seen.add(id(function))
        yield from global_names(function.__code__)
        for read in variables_of(function):
            if callable(read.value) and not isinstance(read.value, type):
                yield from _names(read.value, seen)
