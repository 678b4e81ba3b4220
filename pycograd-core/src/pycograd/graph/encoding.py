"""What the text of a graph has in common for writer and reader: types, sizes, bytes and classes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any, Final

import numpy as np

from pycograd.core.box import Box
from pycograd.core.dims import Dim
from pycograd.core.dtypes import resolve_dtype
from pycograd.core.errors import GraphError
from pycograd.core.ir import Equation, Graph, Literal
from pycograd.core.primitive import Primitive, Trace

FORMAT: Final = "pycograd graph"
VERSION: Final = 1

PLAIN_TYPES: Final = {t.__name__: t for t in (bool, int, float, complex, str, list, dict, set)}
_OF_A_RUN = (Box, Trace, Primitive, Graph, Equation, Literal)  # never written as objects


def damaged(why: str) -> GraphError:
    """The error of a text that is no graph."""
    return GraphError(f"from_json: the text is damaged: {why}")


# -- sizes -----------------------------------------------------------------------------------------
def size_text(size: Any) -> Any:
    """An integer, a symbol, or the sum of terms `[factor, [atoms]]`; an atom may be a quotient."""
    if not isinstance(size, Dim):
        return int(size)
    (terms,) = size.__reduce__()[1]
    if list(terms.values()) == [1] and all(len(m) == 1 and isinstance(m[0], str) for m in terms):
        return next(iter(terms))[0]
    return [[factor, [_atom_text(x) for x in atoms]] for atoms, factor in terms.items()]


def _atom_text(atom: Any) -> Any:
    return atom if isinstance(atom, str) else [size_text(atom.top), size_text(atom.bottom)]


def size_from(x: Any) -> Any:
    """The size that `size_text` wrote."""
    if type(x) is int:
        return x
    if isinstance(x, str):
        return Dim.of(x)
    total: Any = 0
    for factor, atoms in x:
        product: Any = int(factor)
        for atom in atoms:
            product *= Dim.of(atom) if isinstance(atom, str) else _quotient(*atom)
        total += product
    return total


def _quotient(top: Any, bottom: Any) -> Any:
    return size_from(top) // size_from(bottom)


# -- dtypes and data -------------------------------------------------------------------------------
def dtype_text(dtype: np.dtype[Any]) -> str | None:
    """The name of a dtype, of a long double with the bits of its mantissa; None if it has none."""
    if dtype.type.__module__ == "ml_dtypes":
        return dtype.name
    if dtype.kind in "biufc" and dtype.isnative:
        # Long doubles have other bytes on other machines.
        return f"{dtype.name}/{np.finfo(dtype).nmant}" if _is_long(dtype) else dtype.name
    return dtype.str if dtype.kind in "biufcSUmM" else None


def dtype_from(text: str) -> np.dtype[Any]:
    """The dtype that `dtype_text` wrote."""
    name, _, mantissa = text.partition("/")
    try:
        dtype = resolve_dtype(name) if name == "bfloat16" else _named_dtype(name)
        if not mantissa or np.finfo(dtype).nmant == int(mantissa):
            return dtype
    except (TypeError, ImportError):
        pass
    raise GraphError(f"from_json: the graph has the dtype {text}, which this machine does not have")


def _is_long(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "fc" and dtype.itemsize > (8 if dtype.kind == "f" else 16)


def _named_dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:
        return np.dtype(getattr(import_module("ml_dtypes"), name, name))


def bytes_of(array: Any, order: Any = "C") -> bytes:
    """The entries, little-endian if they are in the order of the machine."""
    data = bytes(_little(array).tobytes(order))
    if (
        _is_long(array.dtype) and np.finfo(array.dtype).nmant == 63
    ):  # 10 bytes and some that are none
        each = np.frombuffer(bytearray(data), np.uint8).reshape(
            -1, np.dtype(np.longdouble).itemsize
        )
        each[:, 10:] = 0
        data = each.tobytes()
    return data


def entries(data: bytes, dtype: str) -> Any:
    """The entries that `bytes_of` wrote, as a read-only array of one axis."""
    return _little(np.frombuffer(data, dtype_from(dtype)))


def _little(array: Any) -> Any:
    return array.byteswap() if sys.byteorder == "big" and array.dtype.isnative else array


# -- classes ---------------------------------------------------------------------------------------
def class_named(path: str) -> type:
    """The class of a path `module:name`, in a module that has been imported or is ours."""
    module, _, name = path.partition(":")
    if module.partition(".")[0] == "pycograd" and module not in sys.modules:
        try:
            import_module(module)
        except ImportError:
            raise other_class(path) from None
    if module not in sys.modules:
        # Importing runs code; which modules to run is for the reader to say, not for the text.
        raise GraphError(
            f"from_json: the graph was captured for instances of {name} of the module {module}:"
            f" import {module} first"
        )
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        raise other_class(path)
    return found


def other_class(path: str) -> GraphError:
    """The error of a class that has changed since."""
    module, _, name = path.partition(":")
    return GraphError(
        f"from_json: the class {name} of {module} is not what it was when the graph was written;"
        " capture it again"
    )


def is_record(cls: type) -> bool:
    """True for dataclasses, and for classes of this package that are what their slots hold."""
    if is_dataclass(cls):
        return True
    plain = cls.__module__.startswith("pycograd.") and not issubclass(cls, _OF_A_RUN)
    return plain and cls.__dictoffset__ == 0 and bool(field_names(cls))


def field_names(cls: type) -> Sequence[str]:
    """The fields of a dataclass, or the slots of a class."""
    if is_dataclass(cls):
        return [field.name for field in fields(cls)]
    slots = [vars(base).get("__slots__", ()) for base in cls.__mro__]
    names = [name for own in slots for name in ([own] if isinstance(own, str) else own)]
    return [name for name in names if name != "__weakref__"]
