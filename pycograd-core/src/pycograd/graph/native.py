"""Functions as programs of a foreign library: `compile_to`, and `jit` and `grad` with `backend=`.

A function is captured once for each signature of its arguments, as `jit` does; the graph becomes
code of the library through the backend's lowerings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, make_aval
from pycograd.core.backend import Backend
from pycograd.core.box import Box
from pycograd.core.device import DeviceArray, on, renew, trace_of
from pycograd.core.errors import UnsupportedOperationError
from pycograd.core.ir import Graph, Literal
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.graph.inline import inlined
from pycograd.graph.jitted import Compiled, Jitted
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


class NativeProgram:
    """A graph as code of a backend.

    Arguments:
        graph: as captured.
        compiled: whether the library's own compiler gets the code.
        rules: whether the library's autodiff will go through it (see `Lowered`).
    """

    __slots__ = ("lowered", "compiled", "numbers", "_final")

    def __init__(
        self, graph: Graph, backend: Backend, device: str | None, compiled: bool, rules: bool
    ) -> None:
        self.compiled = compiled
        graph = optimize(graph if rules else inlined(graph), backend=backend.name)
        self.lowered = Lowered(graph, backend, device, rules)
        # What is returned without being computed, as it is.
        self.numbers = {i: x.number for i, x in enumerate(graph.outputs) if isinstance(x, Literal)}
        self._final: Callable[..., Any] | None = None

    @property
    def source(self) -> str:
        """The text of the generated function."""
        return self.lowered.source

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs for arrays of the library."""
        return self.function(arrays)(*arrays, *self.held())  # type: ignore[no-any-return]

    def held(self) -> list[Any]:
        """The constants, as they are now; they come behind the inputs."""
        if not self.lowered.constants:
            return []
        renew()
        return self.lowered.moved()

    def function(self, arrays: Sequence[Any]) -> Callable[..., Any]:
        """The code itself, a function of the inputs and constants."""
        if self._final is None:
            settled = self.lowered.settled(*arrays, *self.held())
            self._final = self.lowered.backend.compile(settled) if self.compiled else settled
        return self._final

    def __call__(self, *leaves: Any) -> list[Any]:
        """The outputs for NumPy's arrays, as such."""
        lowered = self.lowered
        here = trace_of(lowered.backend, lowered.device).here
        outs = self.run([here(x) for x in leaves])
        return [
            self.numbers[i] if i in self.numbers else home(lowered.backend, x)
            for i, x in enumerate(outs)
        ]


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
        trace = trace_of(self.backend, self.device) if self.device else at
        outs = program.run([trace.here(x) for x in leaves])
        return [
            program.numbers[i] if i in program.numbers else trace.box(x) for i, x in enumerate(outs)
        ]

    def _compiled(self, found: Compiled) -> Any:
        if found.program is None:
            with self._lock:
                if found.program is None:
                    found.program = NativeProgram(  # type: ignore[assignment]
                        found.graph, self.backend, self.device, self.compiled, self.rules
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

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, treedef = tree_flatten((args, kwargs))
        is_array = self.backend.is_array
        arrays = [x for x in leaves if is_array(x)]
        if not arrays and any(isinstance(x, np.ndarray) for x in leaves):
            raise TypeError(
                f"compile_to: {name_of(self._f)} was compiled for arrays of {self.backend.name} and"
                f" called with NumPy's. Use jit(f, backend={self.backend.name!r}), which takes them"
            )
        avals = [self._aval(x) if is_array(x) else x for x in leaves]
        args, kwargs = tree_unflatten(treedef, avals)
        found, _ = self._found(args, kwargs)
        given = []
        for x in leaves:
            if is_array(x):
                given.append(x)
            elif is_input(x):
                given.append(self.backend.from_numpy(np.asarray(x), self.device))
        program = self._compiled(found)
        outs = program.run(given)
        return tree_unflatten(found.graph.out_tree, outs)

    def _aval(self, x: Any) -> ShapeDtypeStruct:
        return make_aval(self.backend.shape_of(x), self.backend.dtype_of(x))


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
        arguments. Arrays that `f` closes over are read at each call.

    Raises:
        UnknownBackendError: there is no such backend; and all that `get_backend` raises.
        ControlFlowError: at a call, a Python branch, loop or conversion that depends on data.
        LoweringNotFoundError: at a call, an operation that the backend does not have.

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
    checked: set[int] = set()  # programs whose result has been looked at

    def run(*args: Any, **kwargs: Any) -> Any:
        with on(None):  # the arguments stay where they are
            selection = Selection("grad", f, args, kwargs, argnums, names)
        found, leaves = loss._found(args, kwargs)
        if any(isinstance(x, Box) for x in leaves) or found.nested:
            raise UnsupportedOperationError(
                f"grad(backend={loss.backend.name!r}) of {name_of(f)} was called with values that"
                " an enclosing transform follows; leave backend= out, and give it to the outermost"
            )
        if id(found) not in checked:
            eval_shape(own, *args, **kwargs)  # raises what is wrong with f or its arguments
            checked.add(id(found))
        program = loss._compiled(found)
        here = trace_of(loss.backend, loss.device).here
        arrays = [here(x) for x in leaves]
        places = _places(args, kwargs, selection)
        live = sorted({at for at in places if at is not None})
        code, held = program.function(arrays), program.held()
        value, cts = loss.backend.grad_and_value(lambda *xs: code(*xs)[0], [*arrays, *held], live)
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
