"""Reading the marks that `spelling` leaves in a tree."""

from __future__ import annotations

import ast
from typing import Final

from pycograd.dsl.words import HOLE, MARK

FORWARD: Final = ("pipe", "some", "assign", "partial")  # operators after a value, not a function


def pipe_of(node: ast.AST) -> str | None:
    """The operator of a pipe `(left | ǃop) | right`, without the mark."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        left = node.left
        if isinstance(left, ast.BinOp) and isinstance(left.op, ast.BitOr):
            return marked(left.right)
    return None


def marked(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name) and node.id.startswith(MARK):
        return node.id[len(MARK) :]
    return None


def chain_of(node: ast.expr) -> tuple[ast.expr, list[tuple[str, ast.expr]]]:
    """A pipeline as what it begins with, and its operators each with its right side."""
    steps: list[tuple[str, ast.expr]] = []
    while (op := pipe_of(node)) is not None:
        assert isinstance(node, ast.BinOp) and isinstance(node.left, ast.BinOp)
        steps.append((op, node.right))
        node = node.left.left
    return node, steps[::-1]


def split(op: str) -> tuple[str, int]:
    """An operator, and the number of stars before its operand."""
    for ending, stars in (("_tuple", 1), ("_dict", 2)):
        if op.endswith(ending):
            return op.removesuffix(ending), stars
    return op, 0


def is_hole(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id.startswith(HOLE)


def is_power(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and marked(node.left) == "power"


def block_of(node: ast.Subscript) -> tuple[str, ast.expr | None] | None:
    """The kind of a block, and what stands before the dot of `pycograd.params{...}`."""
    kind = marked(node.value)
    if kind in ("params", "dict"):
        return kind, None
    if isinstance(node.value, ast.Attribute) and node.value.attr == f"{MARK}params":
        return "params", node.value.value
    return None


def body_of(node: ast.Subscript) -> ast.Subscript | None:
    """The block of a macro with braces, `f[ǃbody[...]]`."""
    inside = node.slice
    if isinstance(inside, ast.Subscript) and marked(inside.value) == "body":
        return inside
    return None


def error_at(message: str, node: ast.AST) -> SyntaxError:
    error = SyntaxError(message)
    error.lineno, error.offset = node.lineno, node.col_offset  # type: ignore[attr-defined]
    error.end_lineno, error.end_offset = node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
    return error
