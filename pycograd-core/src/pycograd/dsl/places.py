"""Places in a source: edits that keep them, and errors that name them."""

from __future__ import annotations

import ast
import io
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from pycograd.dsl.words import HOLE, MARK

_PLACED: Final = (
    ast.expr, ast.stmt, ast.arg, ast.keyword, ast.alias, ast.excepthandler, ast.pattern,
)  # fmt: skip


class Edit(NamedTuple):
    """The characters from `start` to `end` are replaced."""

    start: int
    end: int
    new: str


class Legal:
    """A source and the legal text for it.

    Attributes:
        text: the legal text.
    """

    def __init__(self, source: str, edits: Sequence[Edit]) -> None:
        self._source = lines_of(source)
        pieces, at = [], 0
        for edit in edits:
            pieces += [source[at : edit.start], edit.new]
            at = edit.end
        self.text = "".join([*pieces, source[at:]])
        self._spans = self._by_line(source, edits)

    def _by_line(self, source: str, edits: Sequence[Edit]) -> dict[int, list[tuple[int, ...]]]:
        """For each line with edits, the columns in UTF-8 of each, in the new and the old text."""
        starts = line_starts(source)
        spans: dict[int, list[tuple[int, ...]]] = {}
        shift: dict[int, int] = {}
        for edit in edits:
            line = line_of(starts, edit.start)
            old = _width(source[starts[line - 1] : edit.start])
            length = _width(source[edit.start : edit.end])
            new = old + shift.get(line, 0)
            spans.setdefault(line, []).append((new, new + _width(edit.new), old, old + length))
            shift[line] = shift.get(line, 0) + _width(edit.new) - length
        return spans

    def column(self, line: int, column: int, end: bool = False) -> int:
        """The column of the source for one of the legal text, both in UTF-8."""
        shift = 0
        for new_start, new_end, old_start, old_end in self._spans.get(line, ()):
            if column < new_start or (column == new_start and end):
                break
            if column < new_end or (column == new_end and end):
                return old_end if end else old_start
            shift = old_end - new_end
        return column + shift

    def restore(self, tree: ast.AST) -> None:
        """Moves a tree that was parsed from the legal text to the places of the source."""
        if not self._spans:
            return
        for node in ast.walk(tree):
            if isinstance(node, _PLACED):
                node.col_offset = self.column(node.lineno, node.col_offset)
                if node.end_lineno is not None and node.end_col_offset is not None:
                    node.end_col_offset = self.column(node.end_lineno, node.end_col_offset, True)

    def restored(self, error: SyntaxError) -> SyntaxError:
        """An error in the legal text, as one in the source."""
        line, text = error.lineno, error.text
        if line is None or not 1 <= line <= len(self._source):
            return error

        def column(line: int, offset: int | None, end: bool) -> int | None:
            if offset is None or offset < 1:
                return offset
            new = lines_of(self.text)[line - 1].encode()
            old = self._source[line - 1].encode()
            width = _width(new.decode()[: offset - 1])
            return len(old[: self.column(line, width, end)].decode(errors="ignore")) + 1

        text = self._source[line - 1]
        last = error.end_lineno
        last = line if last is None or not line <= last <= len(self._source) else last
        start, stop = column(line, error.offset, False), column(last, error.end_offset, True)
        if stop is not None and start is not None and last == line:
            stop = max(start, stop)
        details = (error.filename, line, start, text, last, stop)
        return type(error)(_in_the_users_words(error.msg), details)


def _in_the_users_words(message: str) -> str:
    return message.replace(HOLE, "$").replace(MARK, "")


def lines_of(source: str) -> list[str]:
    """The lines that Python counts, unlike `splitlines`."""
    return io.StringIO(source).readlines()


def _width(text: str) -> int:
    return len(text.encode())


def line_starts(source: str) -> list[int]:
    """Where each line begins, and behind them where the source ends."""
    starts = [0]
    for line in lines_of(source):
        starts.append(starts[-1] + len(line))
    return starts


def line_of(starts: Sequence[int], at: int) -> int:
    """The number of the line, from 1, of a place in a source whose lines begin there."""
    return min(bisect_right(starts, at), max(len(starts) - 1, 1))


def syntax_error(
    message: str, filename: str, source: str, start: int, end: int | None = None
) -> SyntaxError:
    """An error at a place of a source."""
    starts, lines = line_starts(source), lines_of(source)
    line = line_of(starts, start)
    column, text = start - starts[line - 1] + 1, lines[line - 1] if lines else ""
    stop = column + 1 if end is None else column + end - start
    return SyntaxError(message, (filename, line, column, text, line, stop))
