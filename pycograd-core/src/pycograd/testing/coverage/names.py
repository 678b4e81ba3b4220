"""The public callables of NumPy, and the reasons of those that no definition can speak for."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

MODULES = ("numpy", "numpy.linalg", "numpy.fft")
POLYNOMIALS = ("polynomial", "chebyshev", "hermite", "hermite_e", "laguerre", "legendre")

# Each table: reason -> names, those outside of `numpy` itself with their module.
NOT_MEANINGFUL = {
    "reads or writes files": """
        fromregex load memmap
    """,
    "turns numbers into text": """
        base_repr binary_repr format_float_positional format_float_scientific
    """,
    "settings of NumPy, and information about it": """
        errstate get_include get_printoptions getbufsize geterr geterrcall info printoptions
        set_printoptions setbufsize seterr seterrcall show_config show_runtime test linalg.test
        fft.test
    """,
    "dates and times": """
        busdaycalendar datetime_data
    """,
    "asks about dtypes, not values": """
        finfo iinfo isdtype issubdtype mintypecode promote_types typename
    """,
    "a class of NumPy's own machinery": """
        dtype flatiter ndarray recarray ufunc
    """,
    "makes constants from plain numbers": """
        bartlett blackman diag_indices hamming hanning indices mask_indices tril_indices
        triu_indices fft.fftfreq fft.rfftfreq
    """,
}
AS_IT_IS = {
    "asks for the shape or the kind of a value": """
        broadcast_shapes isfortran isscalar iterable ndindex
    """,
    "an older name of vstack, written over it": """
        row_stack
    """,
    "makes a ufunc that calls a Python function, on entries of differentiated values too": """
        frompyfunc
    """,
}
NOT_REACHED = {
    "makes a plain array of its argument, of which no protocol of NumPy is asked": """
        asarray_chkfinite asmatrix bmat broadcast from_dlpack kaiser matrix ndenumerate nditer
        nested_iters poly1d vectorize
    """,
}
TABLES = {"not meaningful": NOT_MEANINGFUL, "as it is": AS_IT_IS, "not reached": NOT_REACHED}


def reasons() -> dict[str, tuple[str, str]]:
    """The class and the reason of every qualified name in the tables.

    >>> reasons()["numpy.load"]
    ('not meaningful', 'reads or writes files')
    """
    return {
        f"numpy.{name}": (kind, reason)
        for kind, table in TABLES.items()
        for reason, names in table.items()
        for name in names.split()
    }


def public(module: str) -> Iterator[tuple[str, Any]]:
    """The qualified names and values of the public callables of a module.

    >>> "numpy.fft.fft" in dict(public("numpy.fft"))
    True
    """
    space = importlib.import_module(module)
    for name in sorted(dir(space)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of modules that have moved
            value = getattr(space, name)
        if not name.startswith("_") and callable(value) and not isinstance(value, ModuleType):
            yield f"{module}.{name}", value


def is_type(value: Any) -> bool:
    """True of dtypes' scalar types and of exceptions, which are types and nothing else."""
    return isinstance(value, type) and issubclass(value, (np.generic, BaseException))


def polynomials() -> Iterator[tuple[str, Any]]:
    """The qualified names and values of the functions of `numpy.polynomial`'s modules."""
    for module in POLYNOMIALS:
        for name, value in public(f"numpy.polynomial.{module}"):
            if not isinstance(value, type) and value.__module__ == f"numpy.polynomial.{module}":
                yield name, value


def polynomial_kind(name: str) -> str:
    """The class of a function of `numpy.polynomial`: those in `x` alone are arithmetic on it.

    >>> polynomial_kind("numpy.polynomial.legendre.legval")
    'as it is'
    """
    if name.endswith(("val", "valfromroots", "weight")):
        return "as it is"
    if name.endswith(("gauss", "pts1", "pts2", "interpolate")):
        return "not meaningful"
    return "not reached"
