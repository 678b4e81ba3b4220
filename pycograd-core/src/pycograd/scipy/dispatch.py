"""Which functions of scipy reach which of ours, defined when scipy itself has been imported.

Ufuncs of scipy reach boxes by NumPy's protocol (`core.spelling.UFUNCS`). Its Python functions know
of no protocol: each has a stand-in, `stands_for(scipy_function)`, which whoever may replace a call
finds in `STANDS_FOR`, and users as `pycograd.scipy.<module>.<name>`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from pycograd.core import spelling

F = TypeVar("F", bound=Callable[..., Any])

_OURS = tuple([module.name for module in iter_modules(sys.modules["pycograd.scipy"].__path__)])
STANDS_FOR: dict[Any, Callable[..., Any]] = {}  # a function of scipy -> ours, of its signature


def stands_for(*functions: Any) -> Callable[[F], F]:
    """Decorator: what runs in the place of scipy's `functions`, whose signature it has."""

    def register(function: F) -> F:
        for original in functions:
            spelling.claim(STANDS_FOR, original, function)
        return function

    return register


def stand_in(function: Any) -> Callable[..., Any] | None:
    """The stand-in of a function of scipy, if need be after loading what defines it.

    >>> import scipy.special
    >>> from pycograd.scipy.special import logsumexp
    >>> stand_in(scipy.special.logsumexp) is logsumexp
    True
    """
    if function not in STANDS_FOR:
        load()
    return STANDS_FOR.get(function)


def load(module: str | None = None) -> None:
    """Imports `pycograd.scipy.<module>`, or all, wherever `scipy.<module>` has been imported.

    Arguments:
        module: the name below `scipy`, such as `"special"`; None means every one.
    """
    for name in [module] if module else _OURS:
        if f"scipy.{name}" in sys.modules:
            import_module(f"pycograd.scipy.{name}")
