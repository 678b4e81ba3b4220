"""Functions that are made anew at each call, as `lambda: loss(batch)` in a loop, and are the same.

They have their code in common, and what they close over, arrays of data apart. What is compiled is
then a copy with variables of its own, which are filled from the function that is called: the copy
is as if it had been called before with other values in its variables.
"""

from __future__ import annotations

import threading
import types
from typing import Any, Final

from pycograd.graph.keys import PLAIN, key_of
from pycograd.graph.reads import Reads
from pycograd.parameters.lending import Lending, is_data
from pycograd.transparent.rebind import assigned_cells

_DATA: Final = object()
_EMPTY: Final = object()


def identity(f: Any) -> Any:
    """What functions have in common that one copy may stand for; None for one of its own."""
    if type(f) is types.MethodType:  # `model.loss` is another object each time
        return id(f.__func__), id(f.__self__)
    if type(f) is not types.FunctionType or vars(f) or assigned_cells(f.__code__):
        return None
    defaults = f.__defaults__ or (), f.__kwdefaults__ or {}
    given = *map(_part, defaults[0]), *[(name, _part(x)) for name, x in defaults[1].items()]
    cells = f.__closure__
    # Each thread fills a copy of its own.
    inside = None if cells is None else (threading.get_ident(), *map(_held, cells))
    return f.__code__, id(f.__globals__), given, inside


def _held(cell: Any) -> Any:
    try:
        value = cell.cell_contents
    except ValueError:
        return _EMPTY
    return _DATA if is_data(value) else _part(value)


def _part(value: Any) -> Any:
    """What tells a value apart: numbers and strings by what they are, others by identity."""
    return key_of(value, contents=False) if isinstance(value, PLAIN) else id(value)


def copied(f: Any) -> Any:
    """A function that stands for `f` and those that are the same; None where none can.

    It has variables of its own, if there are any. None can where something is read once, when it
    is captured, as properties are: of another function they are what they are then.
    """
    if type(f) is types.MethodType:
        return f
    reads, lent = Reads(f), Lending(f).variables
    if {*reads.baked} - {f"{v.name} ({type(v.value).__name__})" for v in lent}:
        return None
    if f.__closure__ is None:
        return f
    mine = set(map(id, f.__closure__))
    for other in reads.functions:
        written = assigned_cells(other.__code__)
        names = zip(other.__code__.co_freevars, other.__closure__ or ())
        if any([name in written and id(cell) in mine for name, cell in names]):
            return None  # which would write into other variables than those of the copy
    cells = tuple([types.CellType() for _ in f.__closure__])
    copy = types.FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, cells)
    copy.__kwdefaults__, copy.__qualname__ = f.__kwdefaults__, f.__qualname__
    copy.__module__, copy.__doc__ = f.__module__, f.__doc__
    fill(copy, f)
    return copy


def fill(copy: Any, f: Any) -> None:
    """Gives the variables of a copy what those of a function hold."""
    for cell, other in zip(copy.__closure__ or (), f.__closure__ or ()):
        try:
            cell.cell_contents = other.cell_contents
        except ValueError:  # not filled yet
            if _held(cell) is not _EMPTY:
                del cell.cell_contents
