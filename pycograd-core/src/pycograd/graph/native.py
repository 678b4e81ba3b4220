"""Functions as programs of a foreign library: `compile_to`, and `jit` and `grad` with `backend=`.

A function is captured once for each signature of its arguments, as `jit` does; the graph becomes
code of the library through the backend's lowerings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import make_aval
from pycograd.core.backend import Backend
from pycograd.core.box import Box
from pycograd.core.device import DeviceArray, on, trace_of
from pycograd.core.dtypes import current_dtype
from pycograd.core.errors import UnsupportedOperationError
from pycograd.core.foreign import library_of
from pycograd.core.ir import Graph, Literal
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.graph.inline import inlined
from pycograd.graph.jitted import Compiled, Jitted, signature_of
from pycograd.graph.liveness import copied_outputs
from pycograd.graph.lowered import Lowered
from pycograd.graph.passes import optimize
from pycograd.plugins.hub import resolve
from pycograd.transforms.capture import is_abstract, is_input
from pycograd.transforms.reverse import value_and_grad
from pycograd.transforms.shapes import eval_shape
from pycograd.transforms.wrap import (
    Selection,
    Transformed,
    check_callable,
    name_of,
    normalize_argnums,
)

_NUMBERS = (bool, int, float, complex, np.generic, np.ndarray)


class NativeProgram:
    """A graph as code of a backend.

    Arguments:
        graph: as captured.
        compiled: whether the library's own compiler gets the code.
        rules: whether the library's autodiff will go through it (see `Lowered`).
    """

    __slots__ = (
        "lowered", "trace", "compiled", "numbers", "objects", "places", "_final", "_gradients",
    )  # fmt: skip

    def __init__(
        self, graph: Graph, backend: Backend, device: str | None, compiled: bool, rules: bool
    ) -> None:
        self.compiled = compiled
        captured = graph if rules else inlined(graph)
        graph = optimize(captured, backend=backend.name)
        copied = copied_outputs(graph, captured)
        # What is returned without being computed, as it is.
        self.numbers = {i: x.number for i, x in enumerate(graph.outputs) if isinstance(x, Literal)}
        # Of that what is no number: text, say, which is no part of the code.
        self.objects = {i: x for i, x in self.numbers.items() if not isinstance(x, _NUMBERS)}
        if self.objects:
            kept = [i for i in range(len(graph.outputs)) if i not in self.objects]
            graph = graph.with_body(graph.equations, [graph.outputs[i] for i in kept])
            copied = {at for at, i in enumerate(kept) if i in copied}
        self.lowered = Lowered(graph, backend, device, rules, copied)
        self.trace = trace_of(backend, device)
        self.places: list[int | None] = []  # of the leaves to differentiate, among the inputs
        self._final: Callable[..., Any] | None = None
        self._gradients: dict[tuple[int, ...], Callable[..., Any]] = {}

    @property
    def source(self) -> str:
        """The text of the generated function."""
        return self.lowered.source

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs for arrays of the library."""
        given = [*arrays, *self.held()]
        return self.filled((self._final or self.function(given))(*given))

    def filled(self, outs: list[Any]) -> list[Any]:
        """The outputs, those that are no numbers among what the code returned."""
        if not self.objects:
            return outs
        computed = iter(outs)
        places = range(len(outs) + len(self.objects))
        return [self.objects[i] if i in self.objects else next(computed) for i in places]

    def held(self) -> list[Any]:
        """The constants, as they are now; they come behind the inputs."""
        return self.lowered.moved() if self.lowered.constants else []

    def borrowed(self, leaves: Sequence[Any]) -> list[Any]:
        """NumPy's arrays for one call whose results are copied.

        Their memory is shared where the library has an array of it. What only the library's
        compiler takes as an array is moved for code that runs line by line.
        """
        if self.lowered.final is not None:
            given = list(map(self.trace.borrowed, leaves))
            if self.compiled or all(map(self.lowered.backend.is_array, given)):
                return given
        given = list(map(self.trace.argument, leaves))
        if self.lowered.final is None:
            self.lowered.settled(*given, *self.held())
        return list(map(self.trace.borrowed, leaves)) if self.compiled else given

    def function(self, given: Sequence[Any]) -> Callable[..., Any]:
        """The code itself, a function of the inputs and constants."""
        if self._final is None:
            settled = self.lowered.settled(*given)
            self._final = self.lowered.backend.compile(settled) if self.compiled else settled
        return self._final

    def grad_and_value(self, arrays: Sequence[Any], live: tuple[int, ...]) -> tuple[Any, list[Any]]:
        """`Backend.grad_and_value` of the first output, in those of the inputs that are live."""
        given = [*arrays, *self.held()]
        found = self._gradients.get(live)
        if found is None:
            settled, backend = self.lowered.settled(*given), self.lowered.backend

            def loss(*xs: Any) -> Any:
                return settled(*xs)[0]

            found = (
                backend.compile_grad(loss, live)
                if self.compiled
                else lambda *xs: backend.grad_and_value(loss, xs, live)
            )
            self._gradients[live] = found
        return found(*given)

    def __call__(self, *leaves: Any) -> list[Any]:
        """The outputs for NumPy's arrays, as such."""
        outs = self.run(self.borrowed(leaves))
        backend, numbers = self.lowered.backend, self.numbers
        return [numbers[i] if i in numbers else home(backend, x) for i, x in enumerate(outs)]


def home(backend: Backend, array: Any) -> Any:
    """An array of the library as one of NumPy's; a number of NumPy's if it has no axes."""
    return np.asarray(backend.to_numpy(array))[()]


class Native(Jitted):
    """A function compiled for a backend on its first call with each signature."""

    rules = False  # True: the library's own autodiff will go through the programs

    def __init__(
        self,
        f: Callable[..., Any],
        static: frozenset[Any],
        options: Any,
        backend: str | Backend,
        compiled: bool = True,
    ) -> None:
        super().__init__(f, static, options)
        self.backend, self.device = resolve(backend)
        self.compiled = compiled

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found, leaves = self._found(args, kwargs)
        boxes = [x for x in leaves if isinstance(x, Box)]
        if not boxes and not found.nested:
            out = self._compiled(found)(*leaves)
        elif all(map(self._is_here, boxes)) and not found.nested:
            out = self._on_device(self._compiled(found), leaves)
        elif all(map(is_abstract, boxes)):
            out = found.graph.evaluate(leaves)
        elif not found.nested and all([type(x) is DeviceArray for x in boxes]):
            elsewhere = next(x for x in boxes if not self._is_here(x))
            raise UnsupportedOperationError(
                f"jit(backend={self.backend.name!r}) of {name_of(self._f)} was called with"
                f" {elsewhere._kind()}: give np.asarray(x)"
            )
        else:
            raise UnsupportedOperationError(
                f"jit(backend={self.backend.name!r}) of {name_of(self._f)} was called with values"
                " that an enclosing transform follows, which would run it on NumPy. Compile the"
                f" transform: jit(grad(f), backend={self.backend.name!r}), and likewise vmap and"
                " jvp"
            )
        return tree_unflatten(found.graph.out_tree, out)

    def _found(self, args: Any, kwargs: Any) -> tuple[Compiled, Sequence[Any]]:
        """What was captured for this signature, and the inputs of its graph."""
        leaves, key = self._signature(args, kwargs)
        found = self._cache.get(key)
        if found is None or found.reads.change():
            found = self._captured(key, args, kwargs)
        return found, leaves

    def _is_here(self, x: Any) -> bool:
        return type(x) is DeviceArray and x._trace.backend is self.backend

    def _on_device(self, program: NativeProgram, leaves: Sequence[Any]) -> list[Any]:
        """The outputs on the device, where some input already is there."""
        at = next(x._trace for x in leaves if type(x) is DeviceArray)
        trace = program.trace if self.device else at
        outs = program.run(list(map(trace.argument, leaves)))
        return [
            program.numbers[i] if i in program.numbers else trace.box(x) for i, x in enumerate(outs)
        ]

    def _compiled(self, found: Compiled, device: str | None = None) -> Any:
        if found.program is None:
            with self._lock:
                if found.program is None:
                    device = device or self.device
                    found.program = NativeProgram(  # type: ignore[assignment]
                        found.graph, self.backend, device, self.compiled, self.rules
                    )
        return found.program

    def __reduce__(self) -> Any:
        named = super().__reduce__()
        return named if isinstance(named, str) else (_again, (type(self), self._f, self._options))


def _again(kind: Any, f: Any, options: Any) -> Any:
    from pycograd.graph.jitted import jit

    return compile_to(f, **options) if kind is Compiler else jit(f, **options)


# -- over the library's own arrays -----------------------------------------------------------------
class Compiler(Native):
    """A function of a library's own arrays; made by `compile_to`."""

    rules = True
    autograph_info__ = True  # for TensorFlow's AutoGraph: to be called, not to be rewritten

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._ready = self.backend.untraced(Compiler._made_ready)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        code, given, program, tree = self._ready(self, args, kwargs)
        return tree_unflatten(tree, program.filled(code(*given)))

    def _made_ready(self, args: Any, kwargs: Any) -> tuple[Callable[..., Any], list[Any], Any, Any]:
        """The code for this signature, what to call it with, and what makes a tree of its list."""
        found, arrays = self._found(args, kwargs)
        program: Any = found.program or self._compiled(found, self._place(arrays))
        given = [*arrays, *program.held()]
        return program.function(given), given, program, found.graph.out_tree

    def _place(self, arrays: Sequence[Any]) -> str | None:
        """Where the constants of the program for these arrays are."""
        return self.device or self.backend.place_of(arrays)

    def _signature(self, args: Any, kwargs: Any) -> tuple[Sequence[Any], Any]:
        is_array, key_of = self.backend.is_array, self._key_of
        if not kwargs and all(map(is_array, args)):
            return args, (current_dtype(), self._place(args), *map(key_of, args))
        leaves, treedef = tree_flatten((args, kwargs))
        given: list[Any] = []
        place = self._place([x for x in leaves if is_array(x)])
        key: list[Any] = [current_dtype(), place, treedef]
        for x in leaves:
            if is_array(x):
                given.append(x)
                key.append(key_of(x))
            else:
                self._refuse(x)
                is_given, part = signature_of(x)
                key.append(part)
                if is_given:
                    given.append(self.backend.from_numpy(np.asarray(x), place))
        if not any(map(is_array, leaves)) and any(isinstance(x, np.ndarray) for x in leaves):
            raise TypeError(
                f"compile_to: {name_of(self._f)} was compiled for arrays of {self.backend.name} and"
                f" called with NumPy's. Use jit(f, backend={self.backend.name!r}), which takes them"
            )
        return given, tuple(key)

    def _refuse(self, x: Any) -> None:
        """Refuses, among the arguments, arrays of a third kind: neither its own nor NumPy's."""
        backend = self.backend.name
        if type(x) is DeviceArray:
            fix = (
                "x.native is the array itself"
                if x._trace.backend is self.backend
                else f"jit(f, backend={backend!r}) takes np.asarray(x)"
            )
            raise TypeError(
                f"compile_to: {name_of(self._f)} was compiled for arrays of {backend} and called"
                f" with {x._kind()}, a DeviceArray: {fix}"
            )
        if isinstance(x, Box):
            raise UnsupportedOperationError(
                f"compile_to: {name_of(self._f)} was compiled for arrays of {backend} and called"
                f" with {x._kind().rstrip(',')}, which {backend} does not follow. Compile the"
                f" transform: compile_to(grad(f), {backend!r}), and likewise vmap and jvp"
            )
        if library := library_of(x):
            raise TypeError(
                f"compile_to: {name_of(self._f)} was compiled for arrays of {backend} and called"
                f" with one of {library} ({type(x).__name__}). Convert it, by way of np.asarray(x)"
            )

    def _key_of(self, array: Any) -> Any:
        return self.backend.shape_of(array), self.backend.dtype_of(array)

    def _captured(self, key: Any, args: Any, kwargs: Any) -> Compiled:
        leaves, treedef = tree_flatten((args, kwargs))
        avals = [make_aval(*self._key_of(x)) if self.backend.is_array(x) else x for x in leaves]
        return super()._captured(key, *tree_unflatten(treedef, avals))


def compile_to(f: Callable[..., Any], backend: str | Backend, jit: bool = False) -> Compiler:
    """`f`, written in NumPy, as a function of another library's own arrays.

    It is ordinary code of that library: its autodiff, compiler and transforms apply to it.

    Arguments:
        f: a function of arrays, numbers and trees of them; transforms of functions too. Python
            ints, booleans, strings and other objects among its arguments are part of the program.
        backend: `"torch"`, `"jax:cpu"`, or a `Backend`; see `get_backend`.
        jit: whether the library's own compiler gets the code too.

    Returns:
        A function like `f`, compiled once for each signature (shapes, dtypes, structure) of its
        arguments. Arrays that `f` closes over are read at each call. Numbers in its result are
        arrays too, whether they were computed or not; text and other objects come as they are.

    Raises:
        UnknownBackendError: there is no such backend; and all that `get_backend` raises.
        ControlFlowError: at a call, a Python branch, loop or conversion that depends on data.
        LoweringNotFoundError: at a call, an operation that the backend does not have.
        TypeError: at a call, arrays of NumPy alone, of a third library, or of `device`.
        UnsupportedOperationError: at a call, values that an enclosing transform follows.

    >>> import numpy as np
    >>> f = compile_to(lambda x: np.sum(np.sin(x) ** 2), "numpy")
    >>> bool(np.isclose(f(np.ones(3)), 3 * np.sin(1.0) ** 2))
    True
    """
    check_callable(f, "compile_to")
    return Compiler(f, frozenset(), {"backend": backend, "jit": jit}, backend, jit)


# -- derivatives by the library's own autodiff -----------------------------------------------------
class _Loss(Native):
    """The programs of a function that is differentiated."""

    rules = True


def native_value_and_grad(
    f: Callable[..., Any], backend: str | Backend, jit: bool, options: dict[str, Any]
) -> Callable[..., Any]:
    """`value_and_grad(f, backend=...)`."""
    check_callable(f, "value_and_grad")
    has_aux = options.get("has_aux", False)
    argnums, names = normalize_argnums(
        f, options.get("argnums"), options.get("argnum"), options.get("argnames"), "value_and_grad"
    )
    loss = _Loss(f, frozenset(), {}, backend, jit)
    own = value_and_grad(f, **options)
    name = loss.backend.name
    if name == "numpy":  # whose autodiff is ours
        return own
    if type(loss.backend).grad_and_value is Backend.grad_and_value:
        raise UnsupportedOperationError(
            f"grad(backend={name!r}): backend {name!r} has no autodiff of its own. Use ours on its"
            f" arrays, with device({name!r}): grad(f)(x), or in its code:"
            f" jit(grad(f), backend={name!r})"
        )

    def run(*args: Any, **kwargs: Any) -> Any:
        with on(None):  # the arguments stay where they are
            selection = Selection("grad", f, args, kwargs, argnums, names)
        found, leaves = loss._found(args, kwargs)
        if any(isinstance(x, Box) for x in leaves) or found.nested:
            raise UnsupportedOperationError(
                f"grad(backend={loss.backend.name!r}) of {name_of(f)} was called with values that"
                " an enclosing transform follows; leave backend= out, and give it to the outermost"
            )
        if found.program is None:
            eval_shape(own, *args, **kwargs)  # raises what is wrong with f or its arguments
        program = loss._compiled(found)
        if not program.places:  # the same for all calls of one signature
            program.places = _places(args, kwargs, selection)
        places = program.places
        live = tuple(sorted({at for at in places if at is not None}))
        value, cts = program.grad_and_value(program.borrowed(leaves), live)
        by_place = dict(zip(live, [loss.backend.to_numpy(ct) for ct in cts]))
        grads = [
            None if at is None else _like(by_place[at], leaf)
            for at, leaf in zip(places, selection.leaves)
        ]
        out = np.asarray(loss.backend.to_numpy(value))
        if has_aux:
            _, aux = tree_unflatten(found.graph.out_tree, program(*leaves))
            return (out, aux), selection.pack(grads)
        return out, selection.pack(grads)

    made = {**options, "backend": backend, "jit": jit}
    return Transformed(run, f, value_and_grad, made)


def _places(args: Any, kwargs: Any, selection: Selection) -> list[int | None]:
    """For each leaf to differentiate its place among the inputs of the graph."""
    leaves, treedef = tree_flatten((args, kwargs))
    count = 0
    numbers: list[Any] = []
    for x in leaves:
        numbers.append(_Place(count if is_input(x) else None))
        count += is_input(x)
    new_args, new_kwargs = tree_unflatten(treedef, numbers)
    found: list[Any] = []
    for place in selection.places:
        tree = new_kwargs[place] if type(place) is str else new_args[place]
        found += tree_flatten(tree)[0]
    for x, live, leaf in zip(found, selection.live, selection.leaves):
        if live and x.at is None:
            raise TypeError(
                f"grad(backend=...) takes NumPy's arrays, not a {type(leaf).__module__}"
                f".{type(leaf).__name__}. Pass np.asarray(x), or leave the gradient to the library"
                " that has the array: compile_to(f, backend) is a function of its own arrays"
            )
    return [x.at if live else None for x, live in zip(found, selection.live)]


class _Place:
    """A place among the inputs, a leaf of trees."""

    __slots__ = ("at",)

    def __init__(self, at: int | None) -> None:
        self.at = at


def _like(ct: Any, leaf: Any) -> Any:
    """A gradient as `grad` would return it: a number for a number."""
    if type(leaf) in (float, complex):
        return type(leaf)(ct)
    ct = np.asarray(ct)
    ct = ct if ct.dtype == leaf.dtype else ct.astype(leaf.dtype)
    return leaf.dtype.type(ct) if isinstance(leaf, np.generic) else ct
