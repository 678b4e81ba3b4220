"""The DSL as legal Python: what Python's grammar lacks becomes marked names, place by place.

    with params{w = 1.0; _t = 2.0} as weights:      with ǃparams[(),(w)==(1.0),(_t)==(2.0),] as ...
    y = x |> np.exp |> $ + $v                       y = x |ǃpipe| np.exp |ǃpipe| ǂ + ǂv
    f = |> x |> g .** 2                             f = lambda: x |ǃpipe| g **ǃpower** 2

Tokens decide, so strings, f-strings and comments stay as they are. Lines stay lines, and every
changed column is remembered: the tree that is parsed from the legal text is moved back to the
places of the text that the user wrote (`Legal.restore`).
"""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, NoReturn

HOLE: Final = "ǂ"  # in the place of $; letters, so that names may hold them
MARK: Final = "ǃ"  # before the name of an operator or a block
_QUERY: Final = "ǀ"  # in the place of ?
_LETTERS: Final = str.maketrans({"$": HOLE, "?": _QUERY})

PIPES: Final = {
    "|>": "pipe",
    "*|>": "pipe_tuple",
    "**|>": "pipe_dict",
    "?>": "some",
    "*?>": "some_tuple",
    "**?>": "some_dict",
    "|>>": "assign",
    ".>": "compose",
    "*.>": "compose_tuple",
    "**.>": "compose_dict",
    "$>": "partial",
    "*$>": "partial_tuple",
    "**$>": "partial_dict",
    "<|": "apply",
    "<|*": "apply_tuple",
    "<|**": "apply_dict",
    "<?": "apply_some",
    "<?*": "apply_some_tuple",
    "<?**": "apply_some_dict",
    "<.": "after",
    "<.*": "after_tuple",
    "<.**": "after_dict",
    "<$": "bind",
    "<$*": "bind_tuple",
    "<$**": "bind_dict",
}
_POWER: Final = ".**"
_OPERATORS: Final = sorted([*PIPES, _POWER], key=len, reverse=True)
MACROS: Final = {  # what they are in `runtime`
    "do": "do",
    "filter": "filtering",
    "fork": "fork",
    "ifilter": "lazily_filtering",
    "imap": "lazily_mapping",
    "map": "mapping",
    "parallel": "parallel",
    "reduce": "reducing",
}
BRACED: Final = ("f", *MACROS)
_NAMES: Final = "|".join(BRACED)
_SUSPECT: Final = re.compile(
    rf"(params|{_NAMES})[ \t]*{{|\b({_NAMES})\[|[$]|{'|'.join(map(re.escape, _OPERATORS))}"
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


_PLACED: Final = (
    ast.expr, ast.stmt, ast.arg, ast.keyword, ast.alias, ast.excepthandler, ast.pattern,
)  # fmt: skip


class Token(NamedTuple):
    """A token: its kind, its text in the letters of the legal text, and where it stands."""

    kind: int
    text: str
    start: int
    end: int


class Edit(NamedTuple):
    """The characters from `start` to `end` are replaced."""

    start: int
    end: int
    new: str


def is_suspect(source: str) -> bool:
    """False for text that has nothing of the DSL, told at a glance."""
    return _SUSPECT.search(source) is not None


def legal(source: str, filename: str = "<unknown>") -> Legal:
    """The legal text for a source.

    Raises:
        SyntaxError: what is no DSL either, at its place in the source.
    """
    tokens = _Reader(source, filename).tokens()
    if tokens is None:  # Python's own parser says what is wrong with it
        return Legal(source, [])
    return Legal(source, _Speller(source, filename, tokens).edits())


class Legal:
    """A source and the legal text for it.

    Attributes:
        text: the legal text.
    """

    def __init__(self, source: str, edits: Sequence[Edit]) -> None:
        self._source = _lines(source)
        pieces, at = [], 0
        for edit in edits:
            pieces += [source[at : edit.start], edit.new]
            at = edit.end
        self.text = "".join([*pieces, source[at:]])
        self._spans = self._by_line(source, edits)

    def _by_line(self, source: str, edits: Sequence[Edit]) -> dict[int, list[tuple[int, ...]]]:
        """For each line with edits, the columns in UTF-8 of each, in the new and the old text."""
        starts = _line_starts(source)
        spans: dict[int, list[tuple[int, ...]]] = {}
        shift: dict[int, int] = {}
        for edit in edits:
            line = _line_of(starts, edit.start)
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
            new = _lines(self.text)[line - 1].encode()
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


def _lines(source: str) -> list[str]:
    return io.StringIO(source).readlines()  # those that Python counts, unlike `splitlines`


def _width(text: str) -> int:
    return len(text.encode())


def _line_starts(source: str) -> list[int]:
    starts = [0]
    for line in _lines(source):
        starts.append(starts[-1] + len(line))
    return starts


def _line_of(starts: Sequence[int], at: int) -> int:
    return min(bisect_right(starts, at), max(len(starts) - 1, 1))


def syntax_error(
    message: str, filename: str, source: str, start: int, end: int | None = None
) -> SyntaxError:
    """An error at a place of a source."""
    starts, lines = _line_starts(source), _lines(source)
    line = _line_of(starts, start)
    column, text = start - starts[line - 1] + 1, lines[line - 1] if lines else ""
    stop = column + 1 if end is None else column + end - start
    return SyntaxError(message, (filename, line, column, text, line, stop))


# -- tokens ------------------------------------------------------------------------------------
class _Reader:
    """The tokens of a source, in which $ and ? are letters."""

    def __init__(self, source: str, filename: str) -> None:
        self._source, self._filename = source, filename
        self._starts = _line_starts(source)

    def tokens(self) -> list[Token] | None:
        """All of them, in order; None if Python's tokenizer refuses the source."""
        lines = io.StringIO(self._source.translate(_LETTERS)).readline
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
        glued = token.type == tokenize.NAME and text[-1] in (HOLE, _QUERY)
        if glued and len(text) > 1 and not {HOLE, _QUERY} & {*text[:-1]}:
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
                    line = _line_of(self._starts, opened.start)
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


# -- spelling ----------------------------------------------------------------------------------
class _Speller:
    """Finds what has to be replaced."""

    def __init__(self, source: str, filename: str, tokens: list[Token]) -> None:
        self._source, self._filename, self._tokens = source, filename, tokens
        self._edits: list[Edit] = []

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
        after = self._operator(i)
        if after is not None:
            return after
        if HOLE in token.text and token.kind == tokenize.NAME:
            return self._hole(i)
        if _QUERY in token.text:
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
        if token.kind != tokenize.OP and token.text not in (HOLE, _QUERY):
            return None
        for op in _OPERATORS:
            if not self._source.startswith(op, token.start):
                continue
            j, end = i, token.start + len(op)
            while j < len(self._tokens) and self._tokens[j].end < end:
                j += 1
            if j == len(self._tokens) or self._tokens[j].end != end:
                continue  # the first characters of another token, as in x <.5
            if op == _POWER:
                new = f"**{MARK}power**"
            elif op == "|>" and self._begins_expression(i):
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
        i = brace + 1
        while tokens[i].text != "}":
            if tokens[i].text == ";":
                self._replace(tokens[i].start, tokens[i].end, " ")
            if tokens[i].text == ";" or tokens[i].kind in _SPACE:
                i += 1
            else:
                i = self._entry(i)
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
                if self._is_nested(i):
                    i = self._block(tokens[i].start, i, "dict")
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
