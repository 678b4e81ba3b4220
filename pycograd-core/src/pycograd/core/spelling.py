"""Which of NumPy's names reach which of our functions: the registries that boxes consult.

An operation claims its spellings when it is defined; a second claim of one name is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pycograd.core.errors import DefinitionError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

UFUNCS: dict[Any, Callable[..., Any]] = {}  # np.sin -> bind, for a plain call without keywords
UFUNC_METHODS: dict[str, Callable[..., Any]] = {}  # "reduce" -> f(ufunc, operands, kwargs)
FUNCTIONS: dict[Any, Callable[..., Any]] = {}  # np.sum -> function with NumPy's own signature
CREATORS: dict[Any, Callable[..., Any]] = {}  # np.zeros -> function of the like= box and the rest
REFUSED: dict[Any, str] = {}  # names that have no rule -> why, and what to write in their place
later: list[Callable[[], None]] = []  # each defines operations that the first import leaves out


def claim(table: dict[Any, Callable[..., Any]], name: Any, function: Callable[..., Any]) -> None:
    """Enters `function` under `name`; an entry of another function is a `DefinitionError`."""
    if table.get(name, function) is not function:
        raise DefinitionError(f"{name!r} already has a definition")
    table[name] = function


def find(table: dict[Any, T], name: Any) -> T | None:
    """What answers `name` in a table, if need be after more operations have been defined."""
    for define in later:
        if name in table:
            break
        define()
    return table.get(name)


def creates(*names: Any) -> Callable[[F], F]:
    """Decorator: the function that answers NumPy's `names` called with `like=box` (NEP 35).

    It takes the box and then NumPy's own arguments without `like`.
    """

    def register(function: F) -> F:
        for name in names:
            claim(CREATORS, name, function)
        return function

    return register


def spells(*names: Any) -> Callable[[F], F]:
    """Decorator: the function that answers when NumPy's `names` meet a box.

    It has NumPy's signature and is written in NumPy, so it differentiates by being run.
    """

    def register(function: F) -> F:
        for name in names:
            claim(FUNCTIONS, name, function)
        return function

    return register
