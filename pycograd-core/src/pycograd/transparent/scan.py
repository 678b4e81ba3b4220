"""What one function refers to and does, followed through its code by a stack of what is known.

Names are resolved by value (`import math as m`, `from math import sin`). The walk is straight: a
branch is followed as if it were taken, which may cost a needless mode but never a wrong value.
"""

from __future__ import annotations

import builtins
import functools
import opcode
import sys
import types
from typing import Any

import numpy as np

from pycograd.transparent.instructions import (
    ATTR,
    ATTR_SHIFT,
    BINARY,
    BUILD,
    BUILD_LIST,
    BUILD_MAP,
    CALL,
    COMPREHENSION,
    CONST,
    CONSTANT,
    DEREF,
    EMPTY,
    END_FOR,
    EXTENDED,
    EXTENDED_ARG,
    FAST,
    FUNCTION,
    GLOBAL,
    GLOBAL_SHIFT,
    GROW,
    IMPORT,
    IMPORT_NAME,
    INPLACE_ARGUMENTS,
    LIST_EXTEND,
    LISTED,
    LOAD_ATTR,
    LOAD_CONST,
    LOAD_GLOBAL,
    LOAD_LOAD,
    MADE,
    MOVE,
    NULL,
    NULL_BEHIND,
    OPERATIONS,
    OPS,
    OTHER,
    PAIR,
    PLAIN_CALL,
    SKIP,
    STORE,
    STORE_DEREF,
    STORE_ENTRY,
    STORE_FAST,
    STORE_LOAD,
    SUBSCR,
    TAKES,
    UNKNOWN,
    UPDATE,
    WHAT,
    Tag,
    cell_name,
    move,
    places,
    pop,
    stack_effect,
    tag_of,
    take,
)
from pycograd.transparent.kinds import (
    ARRAY_METHODS,
    GATHER,
    LIST,
    MAKE,
    MATH,
    NUMBER,
    WRITE,
    WRITING_METHODS,
    kind_of,
)
from pycograd.transparent.look import own_call, per_code

_STOPS = {
    OPS["STORE_GLOBAL"]: "it assigns a global variable",
    OPS["DELETE_GLOBAL"]: "it deletes a global variable",
    OPS["LOAD_BUILD_CLASS"]: "it defines a class",
}
_REFLECTION = {"globals": "it asks for its globals", "exec": "it runs a text as code",
               "eval": "it runs a text as code"}  # fmt: skip


@per_code
def why_not(code: types.CodeType) -> str:
    """Why a function of this code cannot be rebound; empty if it can."""
    ops = code.co_code[::2]
    for op, reason in _STOPS.items():
        if op in ops:
            return reason
    for name, reason in _REFLECTION.items():
        if name in code.co_names:
            return reason
    for nested in code.co_consts:
        if type(nested) is types.CodeType and why_not(nested):
            return str(why_not(nested))
    return ""


def stores_of_cells(code: types.CodeType) -> set[str]:
    """The variables in cells that code assigns."""
    found, high = set(), 0
    for at in range(0, len(code.co_code), 2):
        op, arg = code.co_code[at], code.co_code[at + 1] | high
        high = arg << 8 if op == EXTENDED_ARG else 0
        if op == STORE_DEREF or op == OPS["DELETE_DEREF"]:
            found.add(cell_name(code, arg))
    return found


class Scan:
    """The needs of one function, as far as its own code shows them."""

    __slots__ = ("needed", "lists", "makes", "fills", "stores", "numbers", "numbers_kept",
                 "methods", "indexed", "undefined", "reached", "_made", "_lists", "_others",
                 "_written", "_assigned", "_globals", "_cells", "_self")  # fmt: skip

    def __init__(self, function: types.FunctionType, instance: Any = None) -> None:
        self.needed = False  # it calls what asks no protocol
        self.lists = False  # it gives lists to NumPy functions
        self.makes = self.fills = self.stores = False  # arrays: makes, and fills, or writes some
        self.numbers = False  # it calls float or its like
        self.numbers_kept = False  # ... and uses the type otherwise too
        self.methods = False  # it calls methods of arrays that ask no protocol
        self.indexed = False  # it takes entries of plain arrays that it finds outside
        self.undefined = False  # a name has no value yet
        self.reached: list[tuple[Any, Any]] = []  # Python functions, with the instance of a method
        self._made: set[str] = set()
        self._lists: set[str] = set()
        self._others: set[str] = set()
        self._written: set[str] = set()
        self._assigned: set[str] = set()
        self._globals = function.__globals__
        self._cells: dict[str, Any] = {}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            try:
                self._cells[name] = cell.cell_contents
            except ValueError:  # not filled yet
                self.undefined = True
        self._self = instance
        self._walk(function.__code__, instance is not None)
        self.fills = self.fills or bool(self._made & self._written)
        self.stores = self.stores or bool(self._written - self._made - self._others)

    # -- the walk -------------------------------------------------------------------------------
    def _walk(self, code: types.CodeType, method: bool = False) -> None:
        instructions, names, consts = code.co_code, code.co_names, code.co_consts
        locals_ = places(code)
        arguments = code.co_argcount + code.co_kwonlyargcount
        parameters = frozenset(locals_[:arguments])
        tags = [Tag("local", name=name) for name in locals_]
        if method and code.co_argcount:
            tags[0] = Tag("known", self._self)
        stack: list[Tag] = []
        push = stack.append
        high = 0
        for op, arg in zip(instructions[::2], instructions[1::2]):
            what = WHAT[op]
            if what == SKIP:
                continue
            if high:
                arg |= high
                high = 0
            if what == FAST:
                push(tags[arg])
            elif what == ATTR:
                name = names[arg >> ATTR_SHIFT if op == LOAD_ATTR else arg]
                tag = self._attribute(stack.pop() if stack else UNKNOWN, name)
                push(tag)
                if op != LOAD_ATTR or arg & ATTR_SHIFT:
                    push(NULL)
            elif what == GLOBAL:
                tag = self._global(names[arg >> GLOBAL_SHIFT if op == LOAD_GLOBAL else arg])
                if op == LOAD_GLOBAL and arg & GLOBAL_SHIFT:
                    stack += [tag, NULL] if NULL_BEHIND else [NULL, tag]
                else:
                    push(tag)
            elif what == CONSTANT:
                push(tag_of(consts[arg]) if op == LOAD_CONST else CONST)
            elif what == CALL:
                # 3.11 counts the arguments at PRECALL, which stands before.
                self._call(stack, arg + 2 if op == PLAIN_CALL else 1 - stack_effect(op, arg))
            elif what == BINARY:
                del stack[-2:]
                push(UNKNOWN)
            elif what == STORE:
                tag = pop(stack)
                if op == STORE_FAST:
                    name = locals_[arg]
                    tags[arg] = tag if tag.kind == "known" else Tag("local", name=name)
                else:
                    name = cell_name(code, arg)
                self._assign(name, tag)
            elif what in OPERATIONS:
                left = take(stack, 2)[0]
                if left.kind == "local" and (what == UPDATE or arg in INPLACE_ARGUMENTS):
                    if left.name in self._made or left.name in parameters:
                        self._written.add(left.name)
                    push(left)
                else:
                    push(UNKNOWN)
            elif what == SUBSCR:
                taken = take(stack, 1 - stack_effect(op))
                base = taken[0]
                self.indexed = self.indexed or _is_table(base)
                self._used(taken)
                push(base if base.kind == "local" else UNKNOWN)
            elif what == STORE_ENTRY:
                taken = take(stack, -stack_effect(op))
                self._write(taken[1])
                self._used(taken)
            elif what == MOVE:
                move(stack, op, arg)
            elif what == BUILD:
                taken = take(stack, arg)
                self._used(taken)
                if not arg:
                    push(EMPTY if op == BUILD_LIST else CONST)
                elif all([tag.kind == "const" for tag in taken]):
                    push(CONST)
                else:
                    push(LISTED if op == BUILD_LIST else OTHER)
            elif what == EXTENDED:
                high = arg << 8
            elif what == DEREF:
                push(self._cell(cell_name(code, arg)))
            elif what == PAIR:
                left_at, right_at = arg >> 4, arg & 15
                if op == LOAD_LOAD:
                    stack += [tags[left_at], tags[right_at]]
                else:
                    self._assign(locals_[left_at], pop(stack))
                    if op == STORE_LOAD:
                        push(tags[right_at])
                    else:
                        self._assign(locals_[right_at], pop(stack))
            elif what == GROW:
                added = pop(stack)
                if len(stack) >= arg:
                    plain = added.kind == "const" and stack[-arg] in (EMPTY, CONST)
                    stack[-arg] = CONST if plain and op == LIST_EXTEND else LISTED
            elif what == FUNCTION:
                made = take(stack, 1 - stack_effect(op, arg))
                comprehension = any([tag.name == "<listcomp>" for tag in made])
                push(COMPREHENSION if comprehension else UNKNOWN)
            elif what == IMPORT:
                if op == IMPORT_NAME:
                    take(stack, 2)
                    module = sys.modules.get(names[arg])
                    push(Tag("known", module) if module is not None else UNKNOWN)
                else:
                    push(self._attribute(stack[-1] if stack else UNKNOWN, names[arg]))
            else:
                if op == END_FOR:
                    push(UNKNOWN)  # what the loop, having come to its end, left
                self._shift(stack, op, arg)
        for constant in consts:
            if type(constant) is types.CodeType:
                self._walk(constant)
            elif constant == "out" or (type(constant) is tuple and "out" in constant):
                self.stores = True

    def _shift(self, stack: list[Tag], op: int, arg: int) -> None:
        """An instruction that is not told apart: what it takes and gives is not known."""
        effect = stack_effect(op, arg if op >= opcode.HAVE_ARGUMENT else None, jump=False)
        taken = take(stack, TAKES.get(op, max(-effect, 0)))
        self._used(taken)
        stack.extend([OTHER if op in BUILD_MAP else UNKNOWN] * (len(taken) + effect))

    # -- what is loaded ---------------------------------------------------------------------------
    def _global(self, name: str) -> Tag:
        try:
            return self._known(self._globals[name])
        except KeyError:
            pass
        value = getattr(builtins, name, None)
        if value is None:
            self.undefined = True
            return UNKNOWN
        return Tag("known", value)

    def _cell(self, name: str) -> Tag:
        if name in self._cells and name not in self._assigned:
            return self._known(self._cells[name])
        return Tag("local", name=name)

    def _known(self, value: Any) -> Tag:
        if type(value) is types.FunctionType or isinstance(
            value, (types.MethodType, functools.partial)
        ):
            self.reached.append((value, None))
        elif type(value).__flags__ & _HEAP and (call := own_call(type(value))) is not None:
            self.reached.append((call, value))
        return Tag("known", value)

    def _attribute(self, owner: Tag, name: str) -> Tag:
        if owner.kind == "known":
            value = owner.value
            if type(value) is types.ModuleType:
                return self._known(getattr(value, name, None))
            found = _of_class(value, name)
            if found is not None:
                self.reached.append(found)
                return UNKNOWN
        return Tag("attribute", owner, name)

    # -- what is done -----------------------------------------------------------------------------
    def _call(self, stack: list[Tag], count: int) -> None:
        taken = take(stack, count)
        callee, arguments = UNKNOWN, taken
        for i, tag in enumerate(taken[:2]):
            if tag is not NULL:
                callee, arguments = tag, [a for a in taken[i + 1 :] if a is not NULL]
                break
        self._used(arguments)
        varying = any([a.kind != "const" for a in arguments])
        stack.append(self._result(callee, arguments, varying))

    def _result(self, callee: Tag, arguments: list[Tag], varying: bool) -> Tag:
        if callee is COMPREHENSION:
            return LISTED
        if callee.kind == "attribute":
            owner = callee.value
            if callee.name in ARRAY_METHODS and varying:
                self.methods = True
            if callee.name in WRITING_METHODS:
                if owner.kind == "local":
                    self._written.add(owner.name)
                else:
                    self.stores = True
            return owner if owner.kind == "local" else UNKNOWN
        if callee.kind != "known":
            return UNKNOWN
        if callee.value is np.take and arguments and _is_table(arguments[0]):
            self.indexed = True
        kind = kind_of(callee.value)
        if kind is None or not (varying or kind == MAKE):
            return MADE if kind == GATHER else UNKNOWN
        if kind == MATH:
            self.needed = True
        elif kind == GATHER:
            self.needed = self.makes = True
            return MADE
        elif kind == MAKE:
            self.makes = True
            if callee.value in (np.full, np.full_like) and any(
                [a.kind != "const" for a in arguments[1:]]
            ):
                self.needed = True
            return MADE
        elif kind == WRITE:
            self.stores = True
            if arguments and arguments[0].kind == "local":
                self._written.add(arguments[0].name)
        elif kind == NUMBER:
            self.numbers = True
        elif kind == LIST and any([self._is_list(a) for a in arguments]):
            self.lists = True
        return UNKNOWN

    def _is_list(self, tag: Tag) -> bool:
        return tag is LISTED or (tag.kind == "local" and tag.name in self._lists)

    def _used(self, taken: list[Tag]) -> None:
        """Notes types used otherwise than by calling them, and callables handed on."""
        for tag in taken:
            if tag.kind == "known" and tag.value is not None:
                kind = kind_of(tag.value)
                if kind == NUMBER:
                    self.numbers_kept = True
                elif kind in (MATH, GATHER) or tag.value is np.r_ or tag.value is np.c_:
                    self.needed = True  # map(math.sin, xs); np.r_[x, y]

    def _assign(self, name: str, tag: Tag) -> None:
        if tag is MADE:
            self._made.add(name)
        elif tag is LISTED or tag is EMPTY:
            self._lists.add(name)
            self._others.add(name)
        elif tag is OTHER or tag is CONST:
            self._others.add(name)
        elif tag.kind == "local":
            for names in (self._made, self._lists, self._others):
                if tag.name in names:
                    names.add(name)
        self._assigned.add(name)
        self._used([tag])

    def _write(self, target: Tag) -> None:
        if target.kind == "local":
            self._written.add(target.name)
        elif target.kind not in ("other", "listed", "empty"):
            self.stores = True


_HEAP = 1 << 9


def _is_table(tag: Tag) -> bool:
    """True for a plain array that the function finds outside."""
    return tag.kind == "known" and type(tag.value) is np.ndarray


def _of_class(value: Any, name: str) -> Any:
    """The method of an instance or class by this name, with the instance; None if it is none."""
    cls = value if isinstance(value, type) else type(value)
    if not cls.__flags__ & _HEAP:
        return None
    for base in cls.__mro__:
        found = base.__dict__.get(name)
        if found is None:
            continue
        if type(found) is types.FunctionType:
            return found, None if cls is value else value
        if isinstance(found, (staticmethod, classmethod)):
            return found.__func__, cls if isinstance(found, classmethod) else None
        if isinstance(found, property) and type(found.fget) is types.FunctionType:
            return found.fget, value
        return None
    return None
