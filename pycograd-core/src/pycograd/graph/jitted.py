"""`jit`: a function captured, optimised and compiled once for each signature of its arguments."""

from __future__ import annotations

import functools
import threading
import types
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from pycograd.core.aval import aval_of
from pycograd.core.box import Box
from pycograd.core.ir import Graph, held_arrays
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.graph.executor import Program
from pycograd.graph.inline import inlined
from pycograd.graph.passes import optimize
from pycograd.graph.reads import Reads
from pycograd.transforms.capture import capture, is_input
from pycograd.transforms.wrap import check_callable, name_of
from pycograd.transparent import prepared

CACHE_SIZE: Final = 128  # signatures that one function keeps; the oldest goes first


class Compiled:
    """What one signature was compiled to."""

    __slots__ = ("graph", "program", "reads", "reason")

    def __init__(self, graph: Graph, program: Program, reads: Reads, reason: str) -> None:
        self.graph, self.program, self.reads, self.reason = graph, program, reads, reason


class Jitted:
    """A function compiled on its first call with each signature; made by `jit`."""

    def __init__(self, f: Callable[..., Any], static: frozenset[Any], options: Any) -> None:
        functools.update_wrapper(self, f)
        self._f, self._static, self._options = f, static, options
        self._cache: dict[Any, Compiled] = {}
        self._lock = threading.RLock()
        self._history: list[str] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not kwargs and not self._static and _ARRAYS.issuperset(map(type, args)):
            leaves: Sequence[Any] = args
            key: Any = tuple([(x.shape, x.dtype) for x in args])
        else:
            leaves, key = self._signature(args, kwargs)
        found = self._cache.get(key)
        if found is None or found.reads.change():
            if any(isinstance(x, Box) for x in leaves):
                return self._under_transform(args, kwargs)
            found = self._compiled(key, args, kwargs)
            if found is None:
                return self._under_transform(args, kwargs)
        out = found.program(*leaves)
        return tree_unflatten(found.graph.out_tree, out)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> Any:
        return _remake, (self._f, self._options)

    def __repr__(self) -> str:
        return f"<jit of {name_of(self._f)}, {len(self._cache)} compiled>"

    @property
    def source(self) -> str:
        """The text of the program that was compiled last."""
        return self.last.program.source

    @property
    def graph(self) -> Graph:
        """The graph as captured, of the signature that was compiled last."""
        return self.last.graph

    @property
    def last(self) -> Compiled:
        """What was compiled last."""
        if not self._cache:
            raise ValueError(f"jit of {name_of(self._f)} has not been called yet")
        return next(reversed(self._cache.values()))

    # -- signatures ------------------------------------------------------------------------------
    def _signature(self, args: Any, kwargs: Any) -> tuple[list[Any], Any]:
        """The arrays among the arguments, and what tells signatures apart."""
        leaves, treedef = tree_flatten(self._split(args, kwargs))
        inputs: list[Any] = []
        key: list[Any] = [treedef]
        for x in leaves:
            if is_input(x) and not isinstance(x, _Static):
                inputs.append(x)
                aval = aval_of(x)
                key.append((aval.shape, aval.dtype, aval.weak))
            else:
                key.append(_static_key(x))
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
    def _captured(self, args: Any, kwargs: Any) -> Graph:
        def run(*args: Any, **kwargs: Any) -> Any:
            args = tuple([x.value if type(x) is _Static else x for x in args])
            kwargs = {k: x.value if type(x) is _Static else x for k, x in kwargs.items()}
            return prepared(self._f, indexed=True)(*args, **kwargs)

        run.__name__ = name_of(self._f)
        args, kwargs = self._split(args, kwargs)
        return capture(run, *args, **kwargs)

    def _compiled(self, key: Any, args: Any, kwargs: Any) -> Compiled | None:
        with self._lock:
            known = self._cache.get(key)
            change = known.reads.change() if known else ""
            if known is not None and not change:
                return known  # another thread was here first
            reads = Reads(self._f)
            graph = self._captured(args, kwargs)
            if any(isinstance(array, Box) for _, array in graph.constants):
                return None  # it holds a value of a transform that is running: for this call alone
            reads.watch(set(map(id, held_arrays(graph))))
            reason = self._reason(key, change)
            found = Compiled(graph, Program(optimize(inlined(graph))), reads, reason)
            self._cache.pop(key, None)
            while len(self._cache) >= CACHE_SIZE:
                self._cache.pop(next(iter(self._cache)))
            self._cache[key] = found
            self._history.append(reason)
            return found

    def _under_transform(self, args: Any, kwargs: Any) -> Any:
        """The call on values of enclosing transforms, which handle each equation."""
        graph = self._captured(args, kwargs)
        return graph(*self._split(args, kwargs)[0], **self._split(args, kwargs)[1])

    def _reason(self, key: Any, change: str) -> str:
        if change:
            return change
        if not self._cache:
            return "the first call"
        last = next(reversed(self._cache))
        if len(last) != len(key):
            return "arguments of another structure"
        parts = [
            f"argument leaf {i}: {_key_text(new)}, before {_key_text(old)}"
            for i, (old, new) in enumerate(zip(last, key))
            if old != new
        ]
        return "; ".join(parts) or "a signature seen before, forgotten since"


class _Static:
    """An argument that is part of the program."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and _static_key(self.value) == _static_key(other.value)

    def __hash__(self) -> int:
        return hash(_static_key(self.value))

    def __repr__(self) -> str:
        return repr(self.value)


def _static_key(x: Any) -> Any:
    """What tells two static arguments apart: their value; of what has no hash, the identity."""
    if isinstance(x, _Static):
        return _static_key(x.value)
    try:
        hash(x)
    except TypeError:
        return _Identity(x)
    return type(x), x


class _Identity:
    """A key that equals itself alone, and keeps its object."""

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.x is self.x

    def __hash__(self) -> int:
        return id(self.x)


_ARRAYS: Final = frozenset({np.ndarray})


def _key_text(part: Any) -> str:
    if isinstance(part, tuple) and len(part) >= 2 and isinstance(part[1], np.dtype):
        return f"{part[1]}{list(part[0])}"
    if isinstance(part, tuple) and len(part) == 2:
        return f"{part[1]!r}, part of the program"
    return str(part)


def jit(
    f: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
) -> Jitted:
    """`f` compiled to straight-line NumPy, once for each signature of its arguments.

    What `f` reads from attributes, containers, files, clocks and random state is read once, when it
    is captured, and not again. Its variables (globals and what it closes over) are compared at each
    call: an array that it computes with is read each time, and for another object in a variable `f`
    is captured anew.

    Arguments:
        f: a function of arrays, floats and trees of them, written in NumPy; transforms of functions
            too. Python ints, booleans, strings and other objects among its arguments are part of
            the program: another value compiles another one.
        static_argnums: positional arguments that are part of the program whatever they are.
        static_argnames: keyword arguments likewise.

    Returns:
        A function like `f`. Its attribute `source` is the program, `graph` what was captured.

    Raises:
        ControlFlowError: a Python branch, loop or conversion that depends on data.

    >>> import numpy as np
    >>> loss = jit(lambda x: np.sum(np.sin(x) ** 2))
    >>> x = np.linspace(0.0, 1.0, 5)
    >>> bool(np.isclose(loss(x), np.sum(np.sin(x) ** 2)))
    True
    """
    check_callable(f, "jit")
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    options = {"static_argnums": numbers, "static_argnames": names}
    return Jitted(f, frozenset([*numbers, *names]), options)


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
      2. argument leaf 0: float64[3], before float64[2]
    """
    count = len(jitted._history)
    lines = [f"{name_of(jitted._f)}: compiled {count} time{'s' * (count != 1)}"]
    lines += [f"  {i}. {reason}" for i, reason in enumerate(jitted._history, 1)]
    if not jitted._cache:
        return "\n".join(lines)
    last = jitted.last
    constants = held_arrays(last.graph)
    if read := [x for x in constants if x.flags.writeable]:
        lines.append("read at each call: " + ", ".join(repr(aval_of(x)) for x in read))
    if watched := [v.name for v in last.reads.variables if not callable(v.value)]:
        lines.append(f"compared at each call: {', '.join(dict.fromkeys(watched))}")
    if last.reads.baked:
        lines.append(f"read once, when captured: {', '.join(dict.fromkeys(last.reads.baked))}")
    return "\n".join(lines)
