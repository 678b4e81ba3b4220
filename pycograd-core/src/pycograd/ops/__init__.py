"""Every operation, one definition each.

Importing this package defines those that most programs use; the first use of another NumPy name, or
`load`, defines the rest. So `import pycograd` stays quick however many operations there are.
"""

from importlib import import_module

from pycograd.core import spelling
from pycograd.ops import (
    assign,
    astype,
    complex,
    contract,
    counting,
    creation,
    cumulative,
    elementwise,
    index,
    join,
    methods,
    operators,
    positions,
    reduce,
    shape,
    statistics,
    ufuncs,
)


def load() -> None:
    """Defines every operation: for whoever goes through all of them."""
    from pkgutil import iter_modules  # slow to import, and seldom needed

    for module in iter_modules(__path__, f"{__name__}."):
        import_module(module.name)


operators.install()
methods.install()
spelling.later.append(load)

__all__ = [
    "assign",
    "astype",
    "complex",
    "contract",
    "counting",
    "creation",
    "cumulative",
    "elementwise",
    "index",
    "join",
    "load",
    "methods",
    "operators",
    "positions",
    "reduce",
    "shape",
    "statistics",
    "ufuncs",
]
