"""What the callables of Python, NumPy and SciPy are to the transparent mode, by value."""

from __future__ import annotations

import cmath
import functools
import importlib
import math
import sys
import types
from typing import Any

import numpy as np

MATH = "math"  # asks no protocol
GATHER = "gather"  # makes an array of what it is given, asking no protocol
MAKE = "make"  # makes an array that may be filled
WRITE = "write"  # writes into an array
NUMBER = "number"  # a type that converts to one number when called
JOIN = "join"  # takes a sequence of arrays, and asks the protocol of each
LIST = "list"  # any other function of NumPy's: it takes lists for arrays, and asks them nothing

_GATHERERS = ("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "fromiter")
_MAKERS = (
    "zeros", "ones", "empty", "full", "eye", "identity", "zeros_like", "ones_like", "empty_like",
    "full_like", "copy", "linspace", "arange", "tri",
)  # fmt: skip
_WRITERS = ("copyto", "put", "put_along_axis", "place", "putmask", "fill_diagonal")
# Functions of sequences, whose entries are asked themselves, and of shapes and options.
_JOINERS = (
    "stack", "concatenate", "concat", "vstack", "hstack", "dstack", "column_stack", "block",
    "select", "choose", "broadcast_arrays", "meshgrid", "einsum", "where", "ix_", "lexsort",
    "piecewise", "row_stack", "reshape", "broadcast_to", "broadcast_shapes", "shape", "transpose",
    "einsum_path", "array2string", "array_repr", "array_str", "result_type", "histogramdd",
)  # fmt: skip
ARRAY_METHODS = frozenset(
    {"dot", "take", "searchsorted", "choose", "repeat", "clip", "compress"}
)  # of arrays, which convert what they are given
WRITING_METHODS = frozenset({"fill", "put", "itemset", "sort", "partition", "at"})

KINDS: dict[Any, str] = {float: NUMBER, complex: NUMBER, np.vectorize: MATH}
for _module in (math, cmath):
    KINDS.update({f: MATH for f in vars(_module).values() if callable(f)})
for _type in (np.float64, np.float32, np.longdouble, np.complex128, np.complex64):
    KINDS[_type] = NUMBER
for _names, _kind in (
    (_GATHERERS, GATHER), (_MAKERS, MAKE), (_WRITERS, WRITE), (_JOINERS, JOIN),
):  # fmt: skip
    KINDS.update({getattr(np, n): _kind for n in _names if hasattr(np, n)})

_DISPATCHING: Any = (type(np.sum), np.ufunc)
_HASHED = frozenset({type, types.FunctionType, types.BuiltinFunctionType, *_DISPATCHING})


def kind_of(value: Any) -> str | None:
    """The kind of a callable; None for what needs nothing."""
    kind = type(value)
    if kind not in _HASHED:
        return MATH if stands_in(value) is not None else None
    found = KINDS.get(value)
    if found is not None:
        return None if found is JOIN else found
    if kind in _DISPATCHING:
        return LIST
    return MATH if stands_in(value) is not None else None


def stands_in(value: Any) -> Any:
    """What stands for a function of SciPy's that asks no protocol; None for anything else."""
    module = getattr(value, "__module__", None)
    if type(module) is not str or module[:6] != "scipy." or "scipy" not in sys.modules:
        return None
    try:
        return _of_scipy(value)
    except TypeError:  # it cannot be hashed
        return None


@functools.lru_cache(1024)
def _of_scipy(value: Any) -> Any:
    # By name: the parts of the package that know SciPy come after this one.
    return importlib.import_module("pycograd.scipy.dispatch").stand_in(value)
