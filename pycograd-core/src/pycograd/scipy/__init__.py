"""scipy's functions on differentiated values, by the names and signatures that scipy gives them.

Ufuncs of `scipy.special` differentiate as they are; what scipy writes in Python has its counterpart
here, in a module of the same name. Nothing of scipy is imported before one of these is asked for.

>>> from pycograd.scipy.special import logsumexp
>>> grad(lambda x: logsumexp(x))(np.zeros(2))
(array([0.5, 0.5]),)
"""

from importlib import import_module as _import_module
from pkgutil import iter_modules as _iter_modules
from typing import Any as _Any


def __getattr__(name: str) -> _Any:
    if name in __dir__():
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(module.name for module in _iter_modules(__path__))
