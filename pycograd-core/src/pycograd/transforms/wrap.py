"""What every transform does around the user's function: selecting arguments, naming, checking.

A transformed function keeps the name, docstring and signature of its function and pickles when the
function does.
"""

from __future__ import annotations

import functools
import gc
import operator
import re
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core import modes
from pycograd.core.aval import FLOAT32, FLOAT64, is_inexact
from pycograd.core.box import Box, refuse_masks
from pycograd.core.errors import (
    AsyncFunctionError,
    ControlFlowError,
    ConversionError,
    EscapedTracerError,
    NotDifferentiableError,
    PlainBufferError,
    PycogradError,
    UnsupportedOperationError,
    line_of,
    located,
)
from pycograd.core.foreign import (
    OTHERS,
    instead_of_arrays,
    instead_of_functions,
    library_at,
    library_of,
)
from pycograd.core.tree import tree_flatten, tree_map, tree_paths, tree_unflatten

_CO_GENERATOR, _CO_COROUTINE, _CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Transformed:
    """A transformed function: `make(f, **options)` rebuilds it, so it pickles."""

    def __init__(
        self, run: Callable[..., Any], f: Any, make: Callable[..., Any], options: dict[str, Any]
    ) -> None:
        functools.update_wrapper(self, f)
        self._run, self._make, self._options = run, make, options

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> Any:
        name = getattr(self, "__qualname__", "")
        module = sys.modules.get(getattr(self, "__module__", ""))
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:  # a decorated function, found by its own name
            return name
        return _remake, (self._make, self.__wrapped__, self._options)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        f: Any = self.__wrapped__  # type: ignore[attr-defined]
        return f"<{self._make.__name__} of {name_of(f)}>"


def on_graph(f: Any, transformed: Callable[..., Any]) -> Callable[..., Any]:
    """`transformed`, made from `f`; captured again if `f` is a graph."""
    from pycograd.core.ir import Graph  # a program without graphs does not wait for it

    if not isinstance(f, Graph):
        return transformed
    from pycograd.transforms.capture import capture

    args, kwargs = f.arguments()
    return capture(transformed, *args, **kwargs)


def _remake(make: Callable[..., Any], f: Any, options: dict[str, Any]) -> Any:
    return make(f, **options)


def name_of(f: Any) -> str:
    """What to call `f` in messages."""
    return getattr(f, "__name__", None) or type(f).__name__


def check_callable(f: Any, transform: str) -> None:
    """Refuses what is no function, and functions that do not return their result."""
    if not callable(f):
        raise TypeError(located(f"{transform}() takes a function, not {type(f).__name__}"))
    own_call = type(f).__dict__.get("__call__")  # of an instance of a user's class
    code = getattr(f, "__code__", None) or getattr(own_call, "__code__", None)
    if code is not None and code.co_flags & (_CO_GENERATOR | _CO_COROUTINE | _CO_ASYNC_GENERATOR):
        kind = "a generator" if code.co_flags & _CO_GENERATOR else "an async"
        raise AsyncFunctionError(
            f"{transform}: {name_of(f)} is {kind} function; differentiate a plain function that"
            " returns its value, and await or iterate around it"
        )


def check_result(out: Any, f: Any, transform: str) -> None:
    """Refuses a coroutine or generator that a wrapped function returned."""
    if isinstance(out, (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)):
        if isinstance(out, types.CoroutineType):
            out.close()
        raise AsyncFunctionError(
            f"{transform}: {name_of(f)} returned a {type(out).__name__}; differentiate a plain"
            " function that returns its value"
        )


def say_clearer(error: TypeError | ValueError | RuntimeError) -> None:
    """Raises the clear error for one that a library made of a box that it knows nothing of.

    It is called with what running a user's function raised; of anything else it says nothing.
    """
    if isinstance(error, PycogradError):
        return
    if isinstance(error, RuntimeError):
        _refuse_followed(error)
        return
    if isinstance(error, ValueError):
        _refuse_stored(error)
    if type(error).__name__ == "TracerArrayConversionError":  # of JAX
        raise UnsupportedOperationError(
            "pycograd's transforms run on NumPy's arrays, and met one that JAX traces. Inside"
            " jax.jit, jax.grad and jax.vmap call compile_to(f, 'jax'), or of a transform"
            " compile_to(grad(f), 'jax'), with all such arrays among the arguments",
            line_of(error) or None,
        ) from error
    names = _names_of_boxes(Box)
    if not names.intersection(re.findall(r"\w+", str(error))):
        return
    library = _raising_library(error)
    if library:
        raise UnsupportedOperationError(
            f"a function of {library} was called on a differentiated, mapped or captured value, of"
            f" which {library} knows nothing. {instead_of_functions(library)}",
            line_of(error) or None,
        ) from error


def _refuse_followed(error: RuntimeError) -> None:
    """Raises the clear error for a tensor of torch's whose gradient torch is to compute."""
    if "requires grad" in str(error) and _raising_library(error) == "torch":
        raise UnsupportedOperationError(
            "a function of NumPy's met a tensor of torch that requires a gradient, and none would"
            " reach it. Make it an argument of compile_to(f, 'torch'), or write w.detach() of it"
            " where it is a constant",
            line_of(error) or None,
        ) from error


def _raising_library(error: BaseException) -> str:
    """The library that raised an error about a box, empty for NumPy and for the user's own code."""
    trace, library = error.__traceback__, ""
    while trace is not None:
        library = library_at(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    if not library:  # its code is C++, or takes its own frames away
        library = next((name for part, name in _WORDS.items() if part in str(error)), "")
    return library if library in OTHERS else ""


_WORDS = {"expected np.ndarray (got": "torch", "is not a valid JAX type": "jax"}


def _names_of_boxes(kind: type) -> set[str]:
    found = {kind.__name__}
    return found.union(*map(_names_of_boxes, kind.__subclasses__()))


def _refuse_stored(error: ValueError) -> None:
    """Raises the clear error for one that NumPy made of a box that was to be stored in an array.

    `plain[0] = x` asks the box for a float, and says of its refusal no more than that an element
    was set "with a sequence".
    """
    stored = isinstance(error.__cause__, (ConversionError, ControlFlowError))
    if stored or str(error) == "Error setting single item of array.":
        raise PlainBufferError(
            "a value that is being differentiated or mapped cannot be stored in a plain array. Make"
            " the array with np.zeros(n, like=x), which accepts it, or gather the values with"
            " np.stack([...]); transparent(f) makes arrays of f's own accept them",
            line_of(error),
        ) from error


def refuse_foreign(x: Any, transform: str, f: Any, alike: bool = False) -> None:
    """Refuses an array of another library among what a transformed function is called with.

    Arguments:
        alike: True: one whose dtype is NumPy's is let pass; it computes as NumPy's do.
    """
    library = library_of(x)
    if library and not (alike and isinstance(getattr(x, "dtype", None), np.dtype)):
        raise UnsupportedOperationError(
            f"{transform} of {name_of(f)} was called with an array of {library}"
            f" ({type(x).__name__}) in the place of NumPy's. {instead_of_arrays(library)}"
        )


def enclosed_boxes(f: Any) -> list[Box]:
    """The boxes that `f` closes over, also inside containers."""
    found: list[Box] = []
    for cell in getattr(f, "__closure__", None) or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        found += [x for x in tree_flatten(value)[0] if isinstance(x, Box)]
    return found


def split_aux(out: Any, f: Any, transform: str) -> tuple[Any, Any]:
    """`(out, aux)` as a function under `has_aux=True` must return it."""
    if type(out) is not tuple or len(out) != 2:
        raise TypeError(located(f"{transform}(has_aux=True): {name_of(f)} must return (out, aux)"))
    return out


def leaves_like(tree: Any, values: Any) -> list[Any]:
    """The leaves of `values`, a tree like `tree` in which None may stand for a leaf."""
    found: list[Any] = []
    tree_map(lambda leaf, value: found.append(value), tree, values)
    return found


def refuse_escaped(x: Any, trace: Any) -> None:
    """Refuses, as a leaf of what a function returned to `trace`, what would carry a box out.

    That is a box of a transform that has ended, and an object that is no tree but holds boxes.
    """
    kind = type(x)
    if isinstance(x, Box):
        if x._trace.closed:
            raise EscapedTracerError(
                f"a function returned a value made inside {x._trace.name or 'a transform'}, which"
                " had already returned. Return it from there instead of keeping it elsewhere"
            )
    elif kind is np.ndarray:
        if x.dtype.hasobject and _holds_boxes(x, trace.level):
            raise UnsupportedOperationError(
                f"{trace.name} returned an array of objects with differentiated values inside,"
                " which no transform can take out. Return np.stack([...]) of them, or a list"
            )
    elif kind not in _HOLD_NOTHING and not isinstance(x, np.generic):
        if _holds_boxes(x, trace.level):
            raise UnsupportedOperationError(
                f"{trace.name} returned a {kind.__name__} with differentiated values inside, which"
                " no transform can take out. Return them in a list, a tuple, a dict or a dataclass,"
                f" or describe {kind.__name__} with register_tree"
            )


_HOLD_NOTHING = frozenset({float, int, complex, bool, str, bytes, type(None), np.dtype})
_FAR = 10_000  # objects, after which a search ends


def _holds_boxes(x: Any, level: int) -> bool:
    """True if a box of the transform at `level`, or of one further in, is found inside `x`."""
    found, seen = [x], {id(x)}
    for item in found:  # grows
        if isinstance(item, Box):
            if item._trace.level >= level:
                return True
            continue
        if len(found) > _FAR or isinstance(item, (type, types.ModuleType)):
            continue
        if isinstance(item, types.FunctionType):  # not its globals
            inside: Any = [item.__closure__, item.__defaults__, item.__kwdefaults__]
        elif isinstance(item, np.ndarray):
            inside = item.ravel().tolist() if item.dtype.hasobject else ()
        else:
            inside = gc.get_referents(item)
        for part in inside:
            if type(part) not in _HOLD_NOTHING and id(part) not in seen:
                seen.add(id(part))
                found.append(part)
    return False


def is_differentiable(leaf: Any) -> bool:
    """True for float and complex arrays, scalars and boxes."""
    kind = type(leaf)
    if kind is np.ndarray or isinstance(leaf, (Box, np.generic)):
        return is_inexact(leaf.dtype)
    refuse_masks(leaf)
    if kind is float or kind is complex:
        return True
    dtype = getattr(leaf, "dtype", None)
    return isinstance(dtype, np.dtype) and is_inexact(dtype) and hasattr(leaf, "shape")


class _First(int):
    """0 as a default of `argnums`: argument 0, unless others are named by `argnames`."""


FIRST = _First(0)


def normalize_argnums(
    f: Any, argnums: Any, argnum: Any, argnames: Any, transform: str
) -> tuple[Any, tuple[str, ...]]:
    """`argnums` (None, int or tuple) and `argnames` (a tuple) from the spellings users write."""
    if argnum is not None:
        if argnums is not None and argnums is not FIRST:
            raise TypeError(located(f"{transform}: argnum= and argnums= are one thing; give one"))
        argnums = argnum
    elif argnums is FIRST and argnames:
        argnums = None
    if argnums is not None:
        try:
            several = isinstance(argnums, (tuple, list, range))
            numbers = tuple([operator.index(n) for n in (argnums if several else (argnums,))])
        except TypeError:
            numbers = ()
        if isinstance(argnums, bool) or (not numbers and argnums != ()):
            raise TypeError(
                located(f"{transform}: argnums is an int or a sequence, not {argnums!r}")
            )
        argnums = numbers if several else numbers[0]
    names = (argnames,) if isinstance(argnames, str) else tuple(argnames or ())
    return argnums, names


_PLAIN_FLOATS = (FLOAT64, FLOAT32)


class Selection:
    """The arguments of one call, those to differentiate taken apart into leaves.

    Arguments:
        argnums: None (every positional argument that is differentiable), an int or a tuple.
        argnames: keyword arguments to differentiate as well.
    """

    __slots__ = ("args", "kwargs", "places", "trees", "leaves", "live", "bare", "named")

    def __init__(
        self,
        transform: str,
        f: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: Any,
        argnames: Sequence[str],
    ) -> None:
        self.args, self.kwargs = args, kwargs
        self.bare, self.named = isinstance(argnums, int), tuple(argnames)
        places: list[Any]
        if argnums is None:
            places = [] if argnames else list(range(len(args)))
        else:
            numbers = (argnums,) if isinstance(argnums, int) else argnums
            places = [_position(transform, n, len(args)) for n in numbers]
            if len(set(places)) < len(places):
                raise TypeError(located(f"{transform}: argnums {argnums} names an argument twice"))
        if not places and kwargs and argnums is None and not argnames:
            raise TypeError(
                located(
                    f"{transform} of {name_of(f)}: all arguments were given by name, and those are"
                    f" constants; pass them by position, or say argnames={next(iter(kwargs))!r}"
                )
            )
        for name in argnames:
            if name not in kwargs:
                raise TypeError(
                    located(f"{transform}: argnames names {name!r}, which was not given by name")
                )
            places.append(name)
        self.places = places
        self.trees: list[Any] = []  # (structure, leaves): None for a single array
        self.leaves: list[Any] = []
        self.live: list[bool] = []
        for place in places:
            tree = kwargs[place] if type(place) is str else args[place]
            if type(tree) is np.ndarray and tree.dtype in _PLAIN_FLOATS:  # the common case
                self.trees.append((None, 1))
                self.leaves.append(tree)
                self.live.append(True)
                continue
            leaves, treedef = tree_flatten(tree)
            live = [flag and is_differentiable(leaf) for leaf, flag in zip(leaves, treedef.live())]
            if not any(live) and (argnums is not None or argnames) and leaves:
                raise not_differentiable(transform, f, place, tree)
            self.trees.append((treedef, len(leaves)))
            self.leaves += leaves
            self.live += live
        if modes.placing is not None:
            self.leaves = modes.placing(self.leaves)
        if places and not any(self.live) and (self.leaves or argnums is not None):
            raise not_differentiable(transform, f, places[0], args)

    def call(self, f: Any, boxed: Sequence[Any]) -> Any:
        """Runs `f` with the leaves replaced by `boxed`."""
        args, kwargs, start = list(self.args), self.kwargs, 0
        if self.named:
            kwargs = dict(kwargs)
        for place, (treedef, n) in zip(self.places, self.trees):
            if treedef is None:
                tree = boxed[start]
            else:
                tree = tree_unflatten(treedef, boxed[start : start + n])
            start += n
            if type(place) is str:
                kwargs[place] = tree
            else:
                args[place] = tree
        return f(*args, **kwargs)

    def pack(self, results: Sequence[Any]) -> Any:
        """One result a leaf, as the trees of the arguments: a tuple, or bare for an int argnums."""
        out, start = [], 0
        for treedef, n in self.trees:
            if treedef is None:
                out.append(results[start])
            else:
                out.append(tree_unflatten(treedef, results[start : start + n]))
            start += n
        if self.named:
            by_name = dict(zip(self.named, out[len(out) - len(self.named) :]))
            rest = out[: len(out) - len(self.named)]
            if not rest:
                return by_name
            return (rest[0] if self.bare else tuple(rest)), by_name
        return out[0] if self.bare else tuple(out)

    def path(self, i: int) -> str:
        """The name of leaf `i` in messages, such as `argument 0.w`."""
        start = 0
        for place, (treedef, n) in zip(self.places, self.trees):
            if i < start + n:
                if treedef is None:
                    return f"argument {place}"
                tree = tree_unflatten(treedef, list(range(n)))
                name = tree_paths(tree)[i - start]
                return f"argument {place}" + (f".{name}" if name else "")
            start += n
        return f"leaf {i}"


def _position(transform: str, n: int, count: int) -> int:
    if not -count <= n < count:
        raise TypeError(located(f"{transform}: argnums names position {n}, but {count} were given"))
    return int(n) % count


def not_differentiable(transform: str, f: Any, place: Any, given: Any) -> NotDifferentiableError:
    """The error for an argument that has no derivatives, with what to write instead."""
    leaves = tree_flatten(given)[0]
    for leaf in leaves:
        refuse_foreign(leaf, transform, f)
    kinds = ", ".join(sorted({_kind(leaf) for leaf in leaves})) or "nothing"
    fix = ""
    if leaves and isinstance(leaves[0], int) and not isinstance(leaves[0], bool):
        fix = f": write {float(leaves[0])!r} instead of {leaves[0]!r}"
    elif leaves and getattr(getattr(leaves[0], "dtype", None), "kind", None) in ("i", "u"):
        fix = ": write x.astype(float)"
    return NotDifferentiableError(
        f"{transform} of {name_of(f)}: argument {place!r} holds {kinds}; only float and complex"
        f" values are differentiated{fix}"
    )


def _kind(leaf: Any) -> str:
    dtype = getattr(leaf, "dtype", None)
    return type(leaf).__name__ if dtype is None else f"{dtype} {type(leaf).__name__}"
