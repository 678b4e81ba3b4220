"""The DSL as legal Python: what Python's grammar lacks becomes marked names, place by place.

    with params{w = 1.0; _t = 2.0} as weights:      with ǃparams[(),(w)==(1.0),(_t)==(2.0),] as ...
    y = x |> np.exp |> $ + $v                       y = x |ǃpipe| np.exp |ǃpipe| ǂ + ǂv
    f = |> x |> g .** 2                             f = lambda: x |ǃpipe| g **ǃpower** 2

Tokens decide, so strings, f-strings and comments stay as they are. Lines stay lines, and every
changed column is remembered: the tree that is parsed from the legal text is moved back to the
places of the text that the user wrote (`Legal.restore`).
"""

from __future__ import annotations

import keyword
import re
import tokenize
from typing import Final, NoReturn

from pycograd.dsl.places import Edit, Legal, syntax_error
from pycograd.dsl.tokens import Reader, Token
from pycograd.dsl.words import BRACED, HOLE, MARK, OPERATORS, PIPES, POWER, QUERY

_NAMES: Final = "|".join(BRACED)
_SUSPECT: Final = re.compile(
    rf"(params|{_NAMES})[ \t]*{{|\b({_NAMES})\[|[$]|{'|'.join(map(re.escape, OPERATORS))}"
)

# After one of these an expression begins, so that a `|>` there is a thunk's.
_AUGMENTED: Final = {
    "+=", "-=", "*=", "/=", "//=", "**=", "%=", "@=", "&=", "|=", "^=", ">>=", "<<=",
}  # fmt: skip
_OPENERS: Final = {"(", "[", "{", ",", ":", ";", "=", ":=", *_AUGMENTED}
_LEADERS: Final = {
    "return", "yield", "else", "elif", "if", "while", "and", "or", "not", "in", "is", "await",
    "assert", "lambda", "raise",
}  # fmt: skip
_BINARY: Final = {
    "+", "-", "*", "/", "//", "**", "%", "@", "&", "^", ">>", "<<",
    "<", "<=", ">", ">=", "==", "!=",
}  # fmt: skip
_EXPRESSIONS: Final = {"None", "True", "False", "lambda", "not"}  # keywords that begin one
_SPACE: Final = {tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT}


def is_suspect(source: str) -> bool:
    """False for text that has nothing of the DSL, told at a glance."""
    return _SUSPECT.search(source) is not None


def legal(source: str, filename: str = "<unknown>") -> Legal:
    """The legal text for a source.

    Raises:
        SyntaxError: what is no DSL either, at its place in the source.
    """
    tokens = Reader(source, filename).tokens()
    if tokens is None:  # Python's own parser says what is wrong with it
        return Legal(source, [])
    return Legal(source, _Speller(source, filename, tokens).edits())


class _Speller:
    """Finds what has to be replaced."""

    def __init__(self, source: str, filename: str, tokens: list[Token]) -> None:
        self._source, self._filename, self._tokens = source, filename, tokens
        self._edits: list[Edit] = []
        self._blocks = 0  # that are open here

    def edits(self) -> list[Edit]:
        """The replacements, in order."""
        i = 0
        while i < len(self._tokens):
            i = self._step(i)
        return sorted(self._edits, key=lambda edit: (edit.start, edit.end))

    def _step(self, i: int) -> int:
        """Deals with token `i`; returns the place of the next."""
        token = self._tokens[i]
        if token.kind in (tokenize.STRING, tokenize.COMMENT):
            return i + 1
        if token.text == "params" and self._opens_block(i):
            return self._block(token.start, i + 1, "params")
        if token.text in BRACED and self._opens_block(i):
            return self._braced(i)
        if token.text in BRACED and self._source.startswith("[", token.end):
            return self._bare_operator(i)
        if self._blocks and self._is_nested(i):
            return self._block(token.start, i, "dict")
        after = self._operator(i)
        if after is not None:
            return after
        if HOLE in token.text and token.kind == tokenize.NAME:
            return self._hole(i)
        if QUERY in token.text:
            self._refuse(token, "? here is pipescript's own; %load_ext pipescript has it")
        return i + 1

    def _replace(self, start: int, end: int, new: str) -> None:
        self._edits.append(Edit(start, end, new))

    def _refuse(self, token: Token, message: str) -> NoReturn:
        raise syntax_error(message, self._filename, self._source, token.start, token.end)

    def _before(self, i: int) -> Token | None:
        """The token before `i` that is not white space."""
        while i > 0 and self._tokens[i - 1].kind in _SPACE:
            i -= 1
        return self._tokens[i - 1] if i > 0 else None

    # -- operators and holes ------------------------------------------------------------------
    def _operator(self, i: int) -> int | None:
        token = self._tokens[i]
        if token.kind != tokenize.OP and token.text not in (HOLE, QUERY):
            return None
        for op in OPERATORS:
            if not self._source.startswith(op, token.start):
                continue
            j, end = i, token.start + len(op)
            while j < len(self._tokens) and self._tokens[j].end < end:
                j += 1
            if j == len(self._tokens) or self._tokens[j].end != end:
                continue  # the first characters of another token, as in x <.5
            if op == POWER:
                new = f"**{MARK}power**"
            elif op == "|>" and self._begins_expression(i):
                self._refuse_continuation(i)
                new = "lambda:"
            else:
                new = f"|{MARK}{PIPES[op]}|"
            self._replace(token.start, end, new)
            return j + 1
        return None

    def _begins_expression(self, i: int) -> bool:
        before = self._before(i)
        if before is None or before.kind in (tokenize.NEWLINE, tokenize.ENCODING):
            return True
        return before.text in (_OPENERS if before.kind == tokenize.OP else _LEADERS)

    def _refuse_continuation(self, i: int) -> None:
        """Raises for a line that begins with |>, a function that nobody would have."""
        before = self._before(i)
        if before is not None and before.kind == tokenize.NEWLINE:
            start = self._tokens[i].start
            raise syntax_error(
                "a line that begins with |> goes on with the one before it only in parentheses; a"
                " function without arguments needs a name, f = |> ...",
                self._filename,
                self._source,
                start,
                start + len("|>"),
            )

    def _hole(self, i: int) -> int:
        token = self._tokens[i]
        name = token.text[1:]
        if HOLE in name or token.text[0] != HOLE:
            self._refuse(token, "$$ is pipescript's own; %load_ext pipescript has macro[...]")
        if keyword.iskeyword(name):
            self._refuse(token, f"a hole cannot be named {name!r}")
        following = self._tokens[i + 1] if i + 1 < len(self._tokens) else None
        if i > 0 and not name and following is not None and following.text == "(":
            before = self._tokens[i - 1]
            callee = before.kind == tokenize.NAME and not keyword.iskeyword(before.text)
            if before.end == token.start and (callee or before.text in (")", "]")):
                self._replace(token.start, token.end, f".{MARK}call")  # f$(x)
                return i + 1
        self._replace(token.start, token.start + 1, HOLE)
        return i + 1

    def _braced(self, name: int) -> int:
        """Spells `f{...}` as `f[ǃbody[...]]`."""
        tokens = self._tokens
        self._replace(tokens[name].end, tokens[name + 1].start, "[")
        after = self._block(tokens[name + 1].start, name + 1, "body")
        self._replace(tokens[after - 1].end, tokens[after - 1].end, "]")
        return after

    def _bare_operator(self, name: int) -> int:
        """Spells `reduce[+]` as `reduce[ǂ+ǂ]`."""
        following = [t.text for t in self._tokens[name + 1 : name + 4]]
        if len(following) == 3 and following[1] in _BINARY and following[2] == "]":
            operator = self._tokens[name + 2]
            self._replace(operator.start, operator.start, HOLE)
            self._replace(operator.end, operator.end, HOLE)
            return name + 4
        return name + 1

    # -- blocks -------------------------------------------------------------------------------
    def _opens_block(self, i: int) -> bool:
        following = self._tokens[i + 1] if i + 1 < len(self._tokens) else None
        return following is not None and following.kind == tokenize.OP and following.text == "{"

    def _block(self, start: int, brace: int, kind: str) -> int:
        """Spells the braces of `params{...}` or of a macro, or a `{...}` of assignments in them."""
        tokens = self._tokens
        self._replace(start, tokens[brace].end, f"{MARK}{kind}[(),")
        self._blocks += 1
        i = brace + 1
        while tokens[i].text != "}":
            if tokens[i].text == ";":
                self._replace(tokens[i].start, tokens[i].end, " ")
            if tokens[i].text == ";" or tokens[i].kind in _SPACE:
                i += 1
            else:
                i = self._entry(i)
        self._blocks -= 1
        self._replace(tokens[i].start, tokens[i].end, "]")
        return i + 1

    def _entry(self, first: int) -> int:
        """Spells `name = value` as `(name)==(value),`; any other expression as `[...],`."""
        tokens = self._tokens
        equals, last, end = self._extent(first)
        for i in sorted(equals):
            after = next((j for j in range(i + 1, end) if tokens[j].kind not in _SPACE), i)
            if i == first or after == i or after in equals:
                self._refuse(tokens[i], "name = value: one of them is missing")
        start, stop = tokens[first].start, tokens[last].end
        self._replace(start, start, "(" if equals else "[")
        i = first
        while i < end:
            if i in equals:
                self._replace(tokens[i].start, tokens[i].end, ")==(")
                i += 1
            else:
                i = self._step(i)
        self._replace(stop, stop, ")," if equals else "],")
        return end

    def _extent(self, first: int) -> tuple[set[int], int, int]:
        """Of an entry, where it has an `=`, its last token, and the token after it."""
        tokens, equals = self._tokens, set[int]()
        depth, lambdas, last = 0, 0, first
        if keyword.iskeyword(tokens[first].text) and tokens[first].text not in _EXPRESSIONS:
            self._refuse(
                tokens[first],
                f"a block in braces takes assignments and expressions, not {tokens[first].text!r}",
            )
        for i in range(first, len(tokens)):
            kind, text = tokens[i].kind, tokens[i].text
            if not depth and (kind == tokenize.NL or text in (";", "}")):
                return equals, last, i
            if kind in _SPACE:
                continue
            last = i
            if kind == tokenize.OP and text in "([{":
                depth += 1
            elif kind == tokenize.OP and text in ")]}":
                depth -= 1
                if depth < 0:
                    self._refuse(tokens[i], f"{text!r} closes nothing in this block")
            elif not depth:
                lambdas += (text == "lambda") - (text == ":" and lambdas > 0)
                if text == "=" and not lambdas:
                    equals.add(i)
                elif text in _AUGMENTED or (text == ":" and i == first + 1):
                    self._refuse(tokens[i], f"a block in braces takes name = value, not {text!r}")
        raise AssertionError("the tokenizer has seen that brackets match")

    def _is_nested(self, i: int) -> bool:
        """True if a `{` begins a block of assignments, not a dict or a set."""
        if self._tokens[i].text != "{":
            return False
        inside = [t for t in self._tokens[i + 1 :] if t.kind not in _SPACE][:2]
        return inside[0].kind == tokenize.NAME and inside[1].text == "="
