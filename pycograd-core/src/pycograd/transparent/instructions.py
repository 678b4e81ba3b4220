"""The instructions of Python's code, those that matter here told apart, and a stack of tags.

What an instruction takes and gives is asked of `stack_effect`, so that the rest need no list, and
versions of Python differ in little.
"""

from __future__ import annotations

import opcode
import sys
import types
from typing import Any

OPS = opcode.opmap
SINCE_311, _SINCE_312 = sys.version_info >= (3, 11), sys.version_info >= (3, 12)
NULL_BEHIND = sys.version_info >= (3, 13)  # a NULL follows the callable instead of preceding it
GLOBAL_SHIFT, ATTR_SHIFT = int(SINCE_311), int(_SINCE_312)  # the lowest bit asks for a NULL
INPLACE_ARGUMENTS = range(13, 26)  # of BINARY_OP

(REST, SKIP, FAST, ATTR, GLOBAL, CONSTANT, CALL, BINARY, STORE, UPDATE, BINARY_OP, SUBSCR,
 STORE_ENTRY, MOVE, BUILD, EXTENDED, DEREF, PAIR, GROW, FUNCTION, IMPORT) = range(21)  # fmt: skip
OPERATIONS = (UPDATE, BINARY_OP)
WHAT = [REST] * 256
_NAMES = {
    SKIP: "CACHE NOP RESUME PRECALL KW_NAMES COPY_FREE_VARS MAKE_CELL POP_EXCEPT RERAISE"
    " PUSH_EXC_INFO CHECK_EXC_MATCH",
    FAST: "LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_BORROW",
    ATTR: "LOAD_ATTR LOAD_METHOD",
    GLOBAL: "LOAD_GLOBAL LOAD_NAME",
    CONSTANT: "LOAD_CONST LOAD_SMALL_INT",
    CALL: "CALL CALL_KW CALL_FUNCTION CALL_FUNCTION_KW CALL_FUNCTION_EX CALL_METHOD",
    STORE: "STORE_FAST STORE_DEREF",
    BINARY_OP: "BINARY_OP",
    SUBSCR: "BINARY_SUBSCR BINARY_SLICE",
    STORE_ENTRY: "STORE_SUBSCR STORE_SLICE",
    MOVE: "PUSH_NULL SWAP COPY DUP_TOP DUP_TOP_TWO ROT_TWO ROT_THREE ROT_FOUR",
    BUILD: "BUILD_LIST BUILD_TUPLE",
    EXTENDED: "EXTENDED_ARG",
    DEREF: "LOAD_DEREF LOAD_CLOSURE",
    PAIR: "LOAD_FAST_LOAD_FAST STORE_FAST_LOAD_FAST STORE_FAST_STORE_FAST",
    GROW: "LIST_APPEND LIST_EXTEND",
    FUNCTION: "MAKE_FUNCTION",
    IMPORT: "IMPORT_NAME IMPORT_FROM",
}
TAKES: dict[int, int] = {}  # how many entries of the stack an instruction replaces
for _name, _op in OPS.items():
    if _op > 255:
        continue
    if _name.startswith("INPLACE_"):
        WHAT[_op] = UPDATE
    elif _name.startswith("BINARY_"):
        WHAT[_op] = BINARY
    if _name.startswith(("COMPARE_", "CONTAINS_", "IS_OP")):
        TAKES[_op] = 2
    elif _name.startswith(("UNARY_", "GET_ITER", "SET_FUNCTION_ATTRIBUTE")):
        TAKES[_op] = 1 + _name.startswith("SET")
for _kind, _words in _NAMES.items():
    for _name in _words.split():
        if OPS.get(_name, 256) < 256:
            WHAT[OPS[_name]] = _kind
(LOAD_ATTR, LOAD_GLOBAL, LOAD_CONST, STORE_FAST, BUILD_LIST, LIST_EXTEND, IMPORT_NAME,
 EXTENDED_ARG, STORE_DEREF) = (
    OPS[_name] for _name in (
        "LOAD_ATTR", "LOAD_GLOBAL", "LOAD_CONST", "STORE_FAST", "BUILD_LIST", "LIST_EXTEND",
        "IMPORT_NAME", "EXTENDED_ARG", "STORE_DEREF",
    )
)  # fmt: skip
PLAIN_CALL, LOAD_LOAD, STORE_LOAD, END_FOR = (
    OPS.get(_name, -1)
    for _name in ("CALL", "LOAD_FAST_LOAD_FAST", "STORE_FAST_LOAD_FAST", "END_FOR")
)
BUILD_MAP = frozenset(
    OPS[_name] for _name in ("BUILD_MAP", "BUILD_SET", "BUILD_CONST_KEY_MAP") if _name in OPS
)
stack_effect = opcode.stack_effect


class Tag:
    """What is known of one value on the stack."""

    __slots__ = ("kind", "value", "name")

    def __init__(self, kind: str, value: Any = None, name: str = "") -> None:
        self.kind, self.value, self.name = kind, value, name


UNKNOWN, CONST, MADE, LISTED, EMPTY, OTHER, COMPREHENSION = (
    Tag(kind) for kind in ("unknown", "const", "made", "listed", "empty", "other", "comprehension")
)
# Further kinds: "known" (value), "local" (name), "attribute" (of the tag in value, by name).


NULL = Tag("null")


def move(stack: list[Tag], op: int, arg: int) -> None:
    """An instruction that copies or moves entries of the stack."""
    name = opcode.opname[op]
    if name == "PUSH_NULL":
        stack.append(NULL)
        return
    if len(stack) < max(arg, 4):  # so that every place exists
        stack[:0] = [UNKNOWN] * (max(arg, 4) - len(stack))
    if name == "SWAP":
        stack[-1], stack[-arg] = stack[-arg], stack[-1]
    elif name == "COPY":
        stack.append(stack[-arg])
    elif name == "DUP_TOP":
        stack.append(stack[-1])
    elif name == "DUP_TOP_TWO":
        stack += stack[-2:]
    else:
        stack.insert(-_ROTATIONS[name], stack.pop())


_ROTATIONS = {"ROT_TWO": 1, "ROT_THREE": 2, "ROT_FOUR": 3}


def pop(stack: list[Tag]) -> Tag:
    return stack.pop() if stack else UNKNOWN


def take(stack: list[Tag], count: int) -> list[Tag]:
    """The last `count` tags, unknown ones in front where there are fewer."""
    if count <= 0:
        return []
    taken = stack[-count:]
    del stack[-count:]
    return [UNKNOWN] * (count - len(taken)) + taken


def tag_of(value: Any) -> Tag:
    if type(value) is types.CodeType:
        return Tag("const", name=value.co_name)
    return Tag("const", name=value) if value == "<listcomp>" else CONST


def places(code: types.CodeType) -> tuple[str, ...]:
    """The variables by number: locals, then cells."""
    cells = [name for name in code.co_cellvars if name not in code.co_varnames]
    return (*code.co_varnames, *cells, *code.co_freevars)


def cell_name(code: types.CodeType, arg: int) -> str:
    """The variable in a cell: since 3.11 cells are numbered together with the locals."""
    return places(code)[arg] if SINCE_311 else (*code.co_cellvars, *code.co_freevars)[arg]
