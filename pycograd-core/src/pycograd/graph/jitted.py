"""`jit`: a function captured, optimised and compiled once for each signature of its arguments."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pycograd.core import lent, modes
from pycograd.core.aval import aval_of
from pycograd.core.box import Box
from pycograd.core.dtypes import current_dtype
from pycograd.core.errors import PlainBufferError, UnsupportedOperationError, located
from pycograd.core.ir import Graph, held_arrays
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.graph.derived import are_alike
from pycograd.graph.executor import Program
from pycograd.graph.inline import inlined
from pycograd.graph.keys import key_of
from pycograd.graph.passes import optimize
from pycograd.graph.reads import Reads
from pycograd.transforms.capture import capture, is_input, is_zero_dimensional_array
from pycograd.transforms.wrap import check_callable, name_of
from pycograd.transparent import prepared

CACHE_SIZE: Final = 128  # signatures that one function keeps; the oldest goes first
HISTORY: Final = 100  # compilations of which `explain` gives the reasons; the last ones


class Compiled:
    """What one signature was captured as.

    Attributes:
        graph: as captured.
        reads: what it holds for.
        alone: whether it holds a value of a transform that is running, and so for one call alone.
        program: compiled at the first call on plain arrays.
    """

    __slots__ = ("graph", "reads", "alone", "program", "_lent")

    def __init__(self, graph: Graph, reads: Reads) -> None:
        self.graph, self.reads = graph, reads
        self.alone = any(isinstance(array, Box) for _, array in graph.constants)
        self.program: Program | None = None
        self._lent = [array for array in held_arrays(graph) if lent.is_lent(array)]

    @property
    def nested(self) -> bool:
        """True if a value of a transform that is running stands for something that it holds."""
        return self.alone or any([isinstance(lent.now(array), Box) for array in self._lent])


class Jitted:
    """A function compiled on its first call with each signature; made by `jit`."""

    def __init__(self, f: Callable[..., Any], static: frozenset[Any], options: Any) -> None:
        functools.update_wrapper(self, f)
        self._f, self._static, self._options = f, static, options
        self._cache: dict[Any, Compiled] = {}
        self._lock = threading.RLock()
        self._history: deque[str] = deque(maxlen=HISTORY)
        self._count = 0
        self._described: dict[str, str] = {}  # the arguments that were compiled for last

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if modes.active and (modes.checking_nans() or modes.checking_buffers()):
            return self._f(*args, **kwargs)  # which is what there is to look at, step by step
        leaves, key = self._signature(args, kwargs)
        boxed = leaves is not args and any(isinstance(x, Box) for x in leaves)
        found = self._cache.get(key)
        if found is None or found.reads.change():
            found = self._captured(key, args, kwargs)
        if boxed or found.nested:  # enclosing transforms handle each equation
            out = found.graph.evaluate(leaves)
        else:
            out = (found.program or self._compiled(found)).run(*leaves)
        return tree_unflatten(found.graph.out_tree, out)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> Any:
        name = getattr(self, "__qualname__", "")
        found: Any = sys.modules.get(getattr(self, "__module__", ""))
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:  # a decorated function, found by its own name
            return name
        return _remake, (self._f, self._options)

    def __repr__(self) -> str:
        return f"<jit of {name_of(self._f)}, {len(self._cache)} compiled>"

    @property
    def source(self) -> str:
        """The text of the program that was compiled last."""
        return self._compiled(self.last).source

    @property
    def reasons(self) -> list[str]:
        """Why it was compiled each time, of late."""
        with self._lock:
            return list(self._history)

    @property
    def graph(self) -> Graph:
        """The graph as captured, of the signature that was compiled last."""
        return self.last.graph

    @property
    def last(self) -> Compiled:
        """What was compiled last."""
        with self._lock:
            if not self._cache:
                raise ValueError(f"jit of {name_of(self._f)} has not been called yet")
            return next(reversed(self._cache.values()))

    # -- signatures ------------------------------------------------------------------------------
    def _signature(self, args: Any, kwargs: Any) -> tuple[Sequence[Any], Any]:
        """The arrays among the arguments, and what tells signatures apart.

        Where the arguments are plain arrays and nothing else, they are returned themselves.
        """
        if not kwargs and not self._static and _ARRAYS.issuperset(map(type, args)):
            return args, (current_dtype(), *[(x.shape, x.dtype) for x in args])
        leaves, treedef = tree_flatten(self._split(args, kwargs))
        inputs: list[Any] = []
        key: list[Any] = [current_dtype(), treedef]
        for x in leaves:
            is_given, part = signature_of(x)
            key.append(part)
            if is_given:
                inputs.append(x)
        return inputs, tuple(key)

    def _split(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments, those named static wrapped so that they are leaves."""
        if not self._static:
            return args, kwargs
        n = len(args)
        given = tuple(
            [
                _Static(x) if i in self._static or i - n in self._static else x
                for i, x in enumerate(args)
            ]
        )
        return given, {k: _Static(x) if k in self._static else x for k, x in kwargs.items()}

    # -- compilation -----------------------------------------------------------------------------
    def _graph(self, args: Any, kwargs: Any) -> Graph:
        def run(*args: Any, **kwargs: Any) -> Any:
            args = tuple([x.value if type(x) is _Static else x for x in args])
            kwargs = {k: x.value if type(x) is _Static else x for k, x in kwargs.items()}
            return prepared(self._f, indexed=True)(*args, **kwargs)

        run.__name__ = name_of(self._f)
        args, kwargs = self._split(args, kwargs)
        return capture(run, *args, **kwargs)

    def _captured(self, key: Any, args: Any, kwargs: Any) -> Compiled:
        with self._lock:
            known = self._cache.get(key)
            change = known.reads.change() if known else ""
            if known is not None and not change:
                return known  # another thread was here first
            reads = Reads(self._f)
            if name := reads.copied():
                raise UnsupportedOperationError(
                    f"{name_of(self._f)}, which is compiled, reads {name}, a tf.Variable: the code"
                    " would hold what is in it now, and no gradient would reach it. Make it an"
                    " argument: compile_to(f, 'tf')(v, x), or jit(f)(np.asarray(v), x)"
                )
            graph = self._graph(args, kwargs)
            if name := reads.written():
                raise PlainBufferError(
                    f"jit: {name_of(self._f)} writes into the array {name}, which it closes over. A"
                    " compiled function would do so once and not at each call: return the new"
                    " value, and write it outside"
                )
            found = Compiled(graph, reads)
            if found.alone:
                return found
            if known is not None and known.reads.mixed:
                if are_alike(known.graph, graph, known.reads.arrays()):
                    known.reads.reads_itself()
                    if not known.reads.change():
                        return known
            reads.watch(graph)
            self._cache.pop(key, None)
            while len(self._cache) >= CACHE_SIZE:
                self._cache.pop(next(iter(self._cache)))
            self._cache[key] = found
            described = self._description(args, kwargs)
            self._history.append(change or self._reason(described))
            self._count, self._described = self._count + 1, described
            return found

    def _compiled(self, found: Compiled) -> Program:
        with self._lock:
            if found.program is None:
                found.program = Program(optimize(inlined(found.graph)), found.graph)
            return found.program

    def _description(self, args: Any, kwargs: Any) -> dict[str, str]:
        """Each argument, by name, and what of it is part of the signature."""
        args, kwargs = self._split(args, kwargs)
        named = {**dict(zip(_positional(self._f, len(args)), args)), **kwargs}
        found = {"the default dtype": str(current_dtype())}
        for name, x in named.items():
            leaves, treedef = tree_flatten(x)
            for path, leaf in zip(treedef.paths(), leaves):
                found[f"{name}.{path}" if path else name] = _text(leaf)
        return found

    def _reason(self, described: dict[str, str]) -> str:
        before = self._described
        if not before:
            return "the first call"
        changes = [
            f"{name}: {text}, before {before[name]}"
            for name, text in described.items()
            if name in before and before[name] != text
        ]
        changes += [
            f"{name}: {text}, before not there"
            for name, text in described.items()
            if name not in before
        ]
        changes += [f"{name}: not there any more" for name in before if name not in described]
        return "; ".join(changes) or "a signature that had been forgotten, or another structure"


_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _parameters(f: Any) -> list[inspect.Parameter]:
    """The parameters of `f`; none if it does not say."""
    try:
        return list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return []


def _positional(f: Any, count: int) -> list[str]:
    """The names of so many positional arguments."""
    names = [p.name for p in _parameters(f) if p.kind in _POSITIONAL]
    return [names[i] if i < len(names) else f"argument {i}" for i in range(count)]


def _text(leaf: Any) -> str:
    """An argument in a reason."""
    if is_input(leaf) and not isinstance(leaf, _Static):
        aval = aval_of(leaf)
        return f"a Python {type(leaf).__name__}" if aval.weak else f"{aval.dtype}{list(aval.shape)}"
    text = repr(leaf)
    return f"{text if len(text) <= 60 else text[:57] + '...'}, part of the program"


def signature_of(x: Any) -> tuple[bool, Any]:
    """Whether a leaf of the arguments is an input of the program, and what tells it apart."""
    if isinstance(x, _Static):
        return False, key_of(x.value)
    if not is_input(x):
        return False, key_of(x)
    aval = aval_of(x)
    scalar = aval.weak or (not aval.shape and not is_zero_dimensional_array(x))
    return True, (aval.shape, aval.dtype, aval.weak, scalar)


class _Static:
    """An argument that is part of the program."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and bool(key_of(self.value) == key_of(other.value))

    def __hash__(self) -> int:
        return hash(key_of(self.value))

    def __repr__(self) -> str:
        return repr(self.value)


_ARRAYS: Final = frozenset({np.ndarray})


def jit(
    f: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    backend: Any = "numpy",
) -> Jitted:
    """`f` compiled to straight-line NumPy, once for each signature of its arguments.

    Its variables (globals, those of its modules, what it closes over, defaults), the entries of
    lists, tuples, dicts and sets in them, and of the objects, classes, functions and modules in
    them the attributes that the code names, are compared at each call: an array that it computes
    with is read each time, and for another object in one of these places `f` is captured anew. What
    `f` reads in properties and special methods, from files, clocks and random state, from
    containers beyond a thousand entries and from what it writes itself, is read once, when it is
    captured. What NumPy makes of an array beforehand is made anew when its contents are others;
    where the compiled function reads the array as well, of more than a megabyte a sample is
    compared, and an `if` is decided once. `explain` says what is which. Inside `debug_nans` and
    `debug_buffers` the function itself runs.

    Arguments:
        f: a function of arrays, floats and trees of them, written in NumPy; transforms of functions
            too. Python ints, booleans, strings and other objects among its arguments are part of
            the program: another value compiles another one.
        static_argnums: positions of arguments that are part of the program whatever they are.
            Lists, dicts, sets and arrays are compared by their contents, other objects by `==`, or
            by identity if they have no hash.
        static_argnames: the same by name. Either way the argument may be given in both ways.
        backend: the name of another library, `"jax"`, to compile for by its own compiler; NumPy's
            arrays go in and come out. Transforms go inside: `jit(grad(f), backend="jax")`.

    Returns:
        A function like `f`. Its attribute `source` is the program, `graph` what was captured.

    Raises:
        ControlFlowError: a Python branch, loop or conversion that depends on data.
        PlainBufferError: `f` writes into an array that it closes over.
        ValueError: a static argument that `f` does not have.

    >>> import numpy as np
    >>> loss = jit(lambda x: np.sum(np.sin(x) ** 2))
    >>> x = np.linspace(0.0, 1.0, 5)
    >>> bool(np.isclose(loss(x), np.sum(np.sin(x) ** 2)))
    True
    """
    check_callable(f, "jit")
    if isinstance(static_argnums, str):
        raise TypeError(
            located(
                f"jit: static_argnums are positions, not {static_argnums!r}. An argument is named"
                f" by static_argnames={static_argnums!r}, a backend by backend={static_argnums!r}"
            )
        )
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    options: dict[str, Any] = {"static_argnums": numbers, "static_argnames": names}
    if backend != "numpy":
        from pycograd.graph.native import Native

        return Native(f, _static(f, numbers, names), {**options, "backend": backend}, backend)
    return Jitted(f, _static(f, numbers, names), options)


def _static(f: Any, numbers: tuple[int, ...], names: tuple[str, ...]) -> frozenset[Any]:
    """Static arguments, each by position and by name where it has both."""
    parameters = _parameters(f)
    if not parameters:
        return frozenset([*numbers, *names])
    positional = [p.name for p in parameters if p.kind in _POSITIONAL]
    kinds = {p.kind for p in parameters}
    known = {p.name for p in parameters}
    static: set[Any] = {*numbers, *names}
    for number in numbers:
        if -len(positional) <= number < len(positional):
            static |= {positional[number], number % len(positional)}
        elif inspect.Parameter.VAR_POSITIONAL not in kinds:
            raise ValueError(f"jit: {name_of(f)} has no argument {number} for static_argnums")
    for name in names:
        if name in positional:
            static.add(positional.index(name))
        elif name not in known and inspect.Parameter.VAR_KEYWORD not in kinds:
            raise ValueError(f"jit: {name_of(f)} has no argument {name!r} for static_argnames")
    return frozenset(static)


def _remake(f: Any, options: Any) -> Jitted:
    return jit(f, **options)


def explain(jitted: Jitted) -> str:
    """Why a compiled function was compiled each time, and what is part of its programs.

    Arguments:
        jitted: what `jit` returned.

    Returns:
        A text: one line for each compilation, then what the last program holds.

    >>> import numpy as np
    >>> f = jit(lambda x: x * 2.0)
    >>> _ = f(np.ones(2)), f(np.ones(3))
    >>> print(explain(f))
    <lambda>: compiled 2 times
      1. the first call
      2. x: float64[3], before float64[2]
    """
    count, history = jitted._count, jitted.reasons
    lines = [f"{name_of(jitted._f)}: compiled {count} time{'s' * (count != 1)}"]
    lines += [f"  {i}. {reason}" for i, reason in enumerate(history, count - len(history) + 1)]
    if not jitted._cache:
        return "\n".join(lines)
    last = jitted.last
    constants = held_arrays(last.graph)
    if read := [x for x in constants if x.flags.writeable]:
        lines.append("read at each call: " + ", ".join(repr(aval_of(x)) for x in read))
    compared = (*last.reads.variables, *last.reads.contents)
    if watched := [v.name for v in compared if not callable(v.value)]:
        lines.append(f"compared at each call: {', '.join(dict.fromkeys(watched))}")
    if last.reads.baked:
        lines.append(f"read once, when captured: {', '.join(dict.fromkeys(last.reads.baked))}")
    return "\n".join(lines)
