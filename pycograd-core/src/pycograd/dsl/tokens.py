"""The tokens of a source, in which $ and ? are letters."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pycograd.dsl.places import line_of, line_starts, syntax_error
from pycograd.dsl.words import BRACED, HOLE, LETTERS, QUERY


class Token(NamedTuple):
    """A token: its kind, its text in the letters of the legal text, and where it stands."""

    kind: int
    text: str
    start: int
    end: int


class Reader:
    """Reads the tokens of one source."""

    def __init__(self, source: str, filename: str) -> None:
        self._source, self._filename = source, filename
        self._starts = line_starts(source)

    def tokens(self) -> list[Token] | None:
        """All of them, in order; None if Python's tokenizer refuses the source."""
        lines = io.StringIO(self._source.translate(LETTERS)).readline
        found: list[Token] = []
        try:
            for token in self._outside_strings(tokenize.generate_tokens(lines)):
                found += self._pieces(token)
            return found
        except (tokenize.TokenError, SyntaxError) as error:
            unclosed = "EOF in multi-line statement" in str(error)
        if unclosed:
            self._refuse_unclosed(found)
        return None

    def _outside_strings(
        self, tokens: Iterator[tokenize.TokenInfo]
    ) -> Iterator[tokenize.TokenInfo]:
        """Leaves out what Python 3.12 and later finds inside an f-string."""
        depth = 0
        for token in tokens:
            kind = tokenize.tok_name[token.type]
            depth += kind.endswith("STRING_START")
            if not depth:
                yield token
            elif kind.endswith("STRING_END"):
                depth -= 1
                if not depth:
                    yield token._replace(type=tokenize.STRING)

    def _pieces(self, token: tokenize.TokenInfo) -> Iterator[Token]:
        """A token; a name and the $ or ? that follows it are two."""
        start, end = self._at(token.start), self._at(token.end)
        text = token.string
        glued = token.type == tokenize.NAME and text[-1] in (HOLE, QUERY)
        if glued and len(text) > 1 and not {HOLE, QUERY} & {*text[:-1]}:
            yield Token(token.type, text[:-1], start, end - 1)
            text, start = text[-1], end - 1
        yield Token(token.type, text, start, end)

    def _at(self, place: tuple[int, int]) -> int:
        line, column = place
        return min(self._starts[min(line, len(self._starts)) - 1] + column, len(self._source))

    def _refuse_unclosed(self, tokens: Sequence[Token]) -> None:
        """Raises for a bracket that is not closed."""
        stack: list[tuple[Token, Token | None]] = []
        before = None
        for token in tokens:
            if token.kind == tokenize.OP and token.text in "([{":
                stack.append((token, before))
            elif token.kind == tokenize.OP and token.text in ")]}" and stack:
                opened, _ = stack.pop()
                if opened.text + token.text not in ("()", "[]", "{}"):
                    line = line_of(self._starts, opened.start)
                    message = f"{token.text!r} does not match {opened.text!r} of line {line}"
                    at = token.start, token.end
                    raise syntax_error(message, self._filename, self._source, *at)
            before = token
        for opened, name in stack:
            if opened.text == "{" and name is not None and name.text in ("params", *BRACED):
                raise self._unclosed(opened, name)
        if stack:
            raise self._unclosed(stack[-1][0])

    def _unclosed(self, opened: Token, name: Token | None = None) -> SyntaxError:
        what = f"{opened.text!r}" + ("" if name is None else f" of {name.text}{{...}}")
        start = opened.start if name is None else name.start
        message = f"{what} was never closed"
        return syntax_error(message, self._filename, self._source, start, opened.end)
