"""The look: does a function need the transparent mode? Asked once for each code object.

NumPy's protocols are blind where a value is used otherwise than by NumPy: `math.sin(x)`,
`np.array([x, y])`, `y = np.zeros(n); y[i] = x`. A glance at the names and instructions of a
function shows that most do nothing of the kind; the others are followed (`transparent.scan`), and
so are the Python functions that they reach.
"""

from __future__ import annotations

import builtins
import functools
import opcode
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

_OPS = opcode.opmap
_LISTS, _IMPORTS = (_OPS["BUILD_LIST"], _OPS["LIST_APPEND"]), (_OPS["IMPORT_NAME"],)
# Words of `transparent.kinds`, which is not loaded for a glance.
_WORDS = """
    array asarray asanyarray ascontiguousarray asfortranarray fromiter zeros ones empty full eye
    identity zeros_like ones_like empty_like full_like copy linspace arange tri copyto put
    put_along_axis place putmask fill_diagonal r_ c_ vectorize float64 float32 double longdouble
    complex128 complex64 float complex dot take searchsorted choose repeat clip compress
"""
_SUSPECT = frozenset(_WORDS.split())
# Names that are rarely globals of the user's: attributes, of which most are NumPy's.
_ATTRIBUTES = frozenset(dir(np)) | frozenset(dir(np.ndarray)) | frozenset(dir(builtins))
_LOAD_GLOBAL, _GLOBAL_SHIFT = _OPS["LOAD_GLOBAL"], int(sys.version_info >= (3, 11))
_NUMPYS: Any = (type(np.sum), np.ufunc)
_MODULE, _FUNCTION = types.ModuleType, types.FunctionType
_HARMLESS = frozenset({
    int, float, bool, str, bytes, tuple, list, dict, set, complex, type(None), slice,
    np.ufunc, type(np.sum), np.float64,
})  # fmt: skip


_MANY = 4096  # entries of a cache before it is emptied
_LIBRARIES = frozenset(sys.stdlib_module_names) | {
    "numpy", "scipy", "pycograd", "torch", "jax", "jaxlib", "tensorflow", "cupy", "matplotlib",
    "pytest", "_pytest", "hypothesis", "pandas", "sklearn", "autograd", "IPython",
}  # fmt: skip


def is_library(module: Any) -> bool:
    """True for the name of a module that needs no look, such as one of NumPy's or of ours."""
    if type(module) is not str or module == "__main__":
        return False
    return module.partition(".")[0] in _LIBRARIES and module[:17] != "pycograd.examples"


def of_library(function: Any) -> bool:
    """True for a Python function of such a module; an example in a docstring is its reader's."""
    return is_library(function.__module__) and function.__code__.co_filename[:1] != "<"


def per_code(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Decorator: the function of a code object, asked once for each while it lives."""
    known: dict[int, tuple[Any, Any]] = {}

    @functools.wraps(function)
    def asked(code: Any) -> Any:
        found = known.get(id(code))
        if found is not None and found[0]() is code:
            return found[1]
        if len(known) >= _MANY:
            known.clear()
        value = function(code)
        known[id(code)] = weakref.ref(code), value
        return value

    return asked


class Plan(NamedTuple):
    """What of the transparent mode a function needs."""

    storing: bool = False  # arrays that it makes take differentiated values
    numbers: bool = False  # `float(x)` and its like pass them on
    lists: bool = False  # NumPy functions take lists of them
    calls: bool = False  # methods are called that are seen only when they are called


class Looked(NamedTuple):
    """What a look has found."""

    plan: Plan | None  # None: the function runs as it is
    hindrance: str = ""  # why it does though it needs the mode
    undefined: bool = False  # a name had no value yet, so a later look may find more


NOTHING = Looked(None)
_known: dict[Any, tuple[Any, Looked]] = {}  # by code, globals and what the cells hold


def examine(f: Any, indexed: bool = False) -> Looked:
    """What `f` and the functions that it reaches need.

    Arguments:
        f: any callable.
        indexed: entries of plain arrays may be taken at differentiated places, as under `vmap`.
    """
    function, instance = python_function(f)
    if function is None or of_library(function) or type(function.__globals__) is not dict:
        return NOTHING  # the last: it is in the mode already, over an overlay
    code = function.__code__
    key: Any = (id(code), id(function.__globals__), indexed)
    if function.__closure__ is not None or instance is not None:
        key = (*key, id(type(instance)), *_signature(function))
    known = _known.get(key)
    if known is not None and known[0]() is code:
        return known[1]
    found = search(function, instance, indexed)
    if not found.undefined:
        if len(_known) >= _MANY:
            _known.clear()
        _known[key] = weakref.ref(code), found
    return found


def python_function(f: Any) -> tuple[Any, Any]:
    """The Python function behind a method, a partial or an instance, and the instance of a method.

    The first is None if there is none, or none of the user's own.
    """
    instance = None
    while True:
        if type(f) is _FUNCTION:
            return f, instance
        if type(f) is types.MethodType:
            instance, f = f.__self__, f.__func__
        elif isinstance(f, functools.partial):
            f = f.func
        else:
            call = own_call(type(f))
            if call is None or type(f).__module__[:8] == "pycograd":
                return None, None
            return call, f


def own_call(cls: type) -> Any:
    """The Python function that calling an instance of a class runs; None if it runs another."""
    for base in cls.__mro__:
        call = base.__dict__.get("__call__")
        if call is not None:
            return call if type(call) is _FUNCTION else None
    return None


def _signature(function: Any) -> list[Any]:
    """What its cells hold that decides what it needs: the code of functions, other callables."""
    found: list[Any] = []
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:
            found.append(None)
            continue
        if type(value) is _FUNCTION:
            found.append(id(value.__code__))
            if value.__closure__ is not None and value is not function:
                found.append(id(value))
        else:
            found.append(id(value) if callable(value) or type(value) is _MODULE else type(value))
    return found


def _glance(function: Any, reached: list[Any], indexed: bool) -> bool:
    """True if `function` is to be scanned; the functions it reaches join `reached` if not."""
    code, known = function.__code__, function.__globals__
    values: list[Any] = []
    unsure: list[str] = []  # attributes, or globals that have no value yet
    for name in _names(code):
        if name in _SUSPECT:
            return True
        if name in known:
            values.append(known[name])
        elif name not in _ATTRIBUTES and name not in unsure:
            unsure.append(name)
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            return True
    numpy = False
    found: list[Any] = []
    for value in values:
        kind = type(value)
        if kind in _HARMLESS:
            numpy = numpy or kind in _NUMPYS
        elif value is np:
            numpy = True
        elif kind is _FUNCTION and str(value.__module__)[:6] != "scipy.":
            found.append((value, None))
        elif kind is np.ndarray:
            if indexed:
                return True
        elif kind.__module__[:8] != "pycograd":
            return True
    if (numpy and _has(code, _LISTS)) or _has(code, _IMPORTS):
        return True
    if unsure and not global_names(code).isdisjoint(unsure):
        return True
    reached += found
    return False


def _names(code: Any) -> Any:
    """The names that a code object and those nested in it refer to."""
    names = code.co_names
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            names = (*names, *_names(constant))
    return names


@per_code
def global_names(code: Any) -> Any:
    """The names that a code object, or one nested in it, loads as globals."""
    found: set[str] = set()
    high = 0
    for op, arg in zip(code.co_code[::2], code.co_code[1::2]):
        arg |= high
        high = arg << 8 if op == _OPS["EXTENDED_ARG"] else 0
        if op == _LOAD_GLOBAL:
            found.add(code.co_names[arg >> _GLOBAL_SHIFT])
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            found |= global_names(constant)
    return found


def _has(code: Any, ops: Any) -> bool:
    """True if some of these instructions stand in a code object or in one nested in it."""
    instructions = code.co_code[::2]
    return any([op in instructions for op in ops]) or any(
        [_has(c, ops) for c in code.co_consts if type(c) is types.CodeType]
    )


def search(function: Any, instance: Any, indexed: bool) -> Looked:
    """A walk over the functions that `function` reaches."""
    waiting: list[Any] = [(function, instance)]
    seen: set[int] = set()
    scans: list[Any] = []
    glanced: list[Any] = []
    while waiting:
        value, owner = waiting.pop()
        target, own = python_function(value)
        if target is None or id(target) in seen or of_library(target):
            continue
        seen.add(id(target))
        owner = own if owner is None else owner
        if owner is None and not _glance(target, waiting, indexed):
            glanced.append(target)
            continue
        from pycograd.transparent.scan import Scan  # most functions are never scanned

        scan = Scan(target, owner)
        scans.append(scan)
        waiting += scan.reached
    if not scans:
        return NOTHING
    return _needs(function, scans, glanced, indexed)


def _needs(function: Any, scans: list[Any], glanced: list[Any], indexed: bool) -> Looked:
    """What the scanned functions need together."""
    from pycograd.transparent.scan import Scan, why_not

    needed = fills = makes = stores = numbers = lists = methods = undefined = False
    for s in scans:
        needed, fills, makes = needed or s.needed, fills or s.fills, makes or s.makes
        stores, numbers, lists = stores or s.stores, numbers or s.numbers, lists or s.lists
        methods = methods or s.methods or (indexed and s.indexed)
        undefined = undefined or s.undefined
    storing = fills or (makes and stores)
    if makes and not storing:  # written elsewhere than where they are made?
        storing = any([Scan(target).stores for target in glanced])
    if not (storing or numbers or lists or methods or needed):
        return Looked(None, undefined=undefined)
    by_call = any([o is not None or _is_method(t) for s in scans for t, o in s.reached])
    hindrance = why_not(function.__code__)
    plan = Plan(storing, numbers, lists, methods or by_call)
    return Looked(None if hindrance else plan, hindrance, undefined)


def _is_method(value: Any) -> bool:
    return (
        "." in value.__qualname__.rpartition("<locals>.")[2] if type(value) is _FUNCTION else True
    )
