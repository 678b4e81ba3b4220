"""The words of the DSL: its operators and macros, and the marks that stand for them."""

from __future__ import annotations

from typing import Final

HOLE: Final = "ǂ"  # in the place of $; letters, so that names may hold them
MARK: Final = "ǃ"  # before the name of an operator or a block
QUERY: Final = "ǀ"  # in the place of ?
LETTERS: Final = str.maketrans({"$": HOLE, "?": QUERY})

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
POWER: Final = ".**"
OPERATORS: Final = sorted([*PIPES, POWER], key=len, reverse=True)
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
