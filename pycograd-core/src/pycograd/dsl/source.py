"""`parse` and `compile_source`: DSL text to a tree and to code."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection
from types import CodeType
from typing import Any, Final

from pycograd.dsl.lowering import lower
from pycograd.dsl.places import Legal
from pycograd.dsl.spelling import is_suspect, legal

NAMES: Final = ("params", "frozen", "tied", "buffer", "on_cpu", "on_device")  # lent to DSL code


def parse(
    source: str,
    filename: str = "<unknown>",
    taken: Collection[str] = (),
    parser: Callable[..., Any] = ast.parse,
) -> ast.Module:
    """The tree of plain Python for DSL text, with the places of that text.

    Arguments:
        source: Python, with the DSL or without.
        filename: for errors and tracebacks.
        taken: names that mean something of the user's, and so are no macros (`map`, `fork`...).
        parser: called with a text and the file name, what makes the tree.

    Raises:
        SyntaxError: at the place in `source`.

    >>> ast.unparse(parse("y = x |> np.exp"))
    'y = np.exp(x)'
    """
    if not is_suspect(source):
        return parser(source, filename)  # type: ignore[no-any-return]
    spelled = legal(source, filename)
    try:
        tree: ast.Module = parser(spelled.text, filename)
    except SyntaxError as error:
        raise spelled.restored(error) from None
    spelled.restore(tree)
    try:
        lower(tree, taken)
    except SyntaxError as error:
        raise _placed(error, filename, source) from None
    return tree


def _placed(error: SyntaxError, filename: str, source: str) -> SyntaxError:
    """An error of the lowering, whose columns are in UTF-8, as one in a file."""
    lines = source.split("\n")

    def column(line: int, offset: int) -> int:
        return len(lines[line - 1].encode()[:offset].decode(errors="ignore")) + 1

    line, last = error.lineno or 1, error.end_lineno or 1
    start, stop = column(line, error.offset or 0), column(last, error.end_offset or 0)
    return SyntaxError(error.msg, (filename, line, start, lines[line - 1] + "\n", last, stop))


def legal_text(source: str) -> str:
    """The text for tools that ask only whether something is Python; not to be run."""
    return legal(source).text if is_suspect(source) else source


def compile_source(source: str, filename: str) -> CodeType:
    """The code of a module.

    Raises:
        SyntaxError: at the place in `source`.
    """
    return compile(parse(source, filename), filename, "exec", dont_inherit=True)


__all__ = ["NAMES", "Legal", "compile_source", "legal_text", "parse"]
