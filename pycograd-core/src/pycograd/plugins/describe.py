"""What there is to say of a primitive: where it is defined, what reaches it, which rules it has."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import Any

import numpy as np

from pycograd._version import __version__
from pycograd.core import spelling
from pycograd.core.primitive import REGISTRY, Primitive, primitive_named

_RULES = ("shape", "jvp", "vjp", "batch")


def description(asked: str) -> dict[str, Any] | None:
    """The facts about a primitive or a NumPy function, as plain data; None if it is neither.

    >>> description("sin")["rules"]
    ['shape', 'jvp', 'vjp', 'batch']
    >>> description("np.hypot")["name"]
    'hypot'
    """
    for define in spelling.later:
        define()
    name = asked.rpartition(".")[2]
    try:
        primitive = primitive_named(name)
    except KeyError:
        return _composite(name)
    kind = type(primitive)
    rules = [r for r in _RULES if getattr(kind, r) is not getattr(Primitive, r)]
    if primitive.special:
        rules.append("its own way under each transform")
    return {
        "name": name,
        "kind": "primitive",
        "by": f"pycograd-core {__version__}",
        "numpy": sorted({_dotted(k) for k in _spellings(primitive)}),
        "rules": rules,
        "derivative": "zero everywhere" if primitive.zero else f"by its rules ({kind.__name__})",
        "implementation": where(primitive.impl),
    }


def _composite(name: str) -> dict[str, Any] | None:
    """A function of NumPy's that is written in NumPy, over primitives."""
    tables = (spelling.UFUNCS, spelling.FUNCTIONS)
    found = [(k, f) for table in tables for k, f in table.items() if _name(k) == name]
    if not found:
        return None
    return {
        "name": name,
        "kind": "composite",
        "by": f"pycograd-core {__version__}",
        "numpy": sorted({_dotted(k) for k, _ in found}),
        "rules": [],
        "derivative": "by running it: it is written in NumPy over primitives",
        "implementation": where(found[0][1]),
    }


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", ""))


def _spellings(primitive: Primitive) -> list[Any]:
    """NumPy's functions that lead to it."""
    fast = getattr(primitive, "fast", primitive)
    tables = (spelling.UFUNCS, spelling.FUNCTIONS)
    return [
        k
        for table in tables
        for k, f in table.items()
        if f is fast or f is primitive or _name(k) == primitive.name
    ]


def _dotted(function: Any) -> str:
    name = _name(function) or repr(function)
    if isinstance(function, np.ufunc):
        return f"numpy.{name}" if getattr(np, name, None) is function else f"scipy.special.{name}"
    return f"{getattr(function, '__module__', None) or 'numpy'}.{name}"


def where(function: Any) -> str:
    """A function by its module, name and line, as far as it has them."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", "")
    module = getattr(function, "__module__", None) or ""
    said = ".".join(part for part in (module, name) if part) or repr(function)
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    return f"{said} (line {code.co_firstlineno})" if code is not None else said


def nearest(name: str) -> list[str]:
    """Primitives of names like this one."""
    return get_close_matches(name, REGISTRY, n=3)
