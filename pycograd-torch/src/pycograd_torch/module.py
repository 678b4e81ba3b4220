"""Functions of parameters as `torch.nn.Module`s."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import index
from typing import Any

import numpy as np
import torch
from torch import nn

from pycograd.plugins.api import (
    ExportError,
    Graph,
    ShapeDtypeStruct,
    capture,
    lowered,
    optimized,
    tree_flatten,
    tree_paths,
    tree_unflatten,
)
from pycograd_torch.backend import TorchBackend
from pycograd_torch.hooks import with_softmax
from pycograd_torch.lowerings.common import staged
from pycograd_torch.native import untraced

_ALONE = "params"  # the name of a parameter that is no part of a tree


def to_torch_module(
    f: Callable[..., Any], params: Any, *, buffers: Iterable[str] = ()
) -> FunctionModule:
    """An `nn.Module` whose `forward(*inputs)` is `f(params, *inputs)` in torch.

    The function is captured for the shapes and dtypes of its inputs when it first meets them, with
    copies of the arrays that it closes over; what comes out is ordinary torch code, which torch
    differentiates, compiles, moves between devices and exports. The derivative follows the
    conventions of pycograd.

    A module itself needs pycograd wherever it is: its pickle, which `torch.save(module)` writes,
    names `f`, and both are imported where it is read. Its `state_dict()` holds tensors alone, and
    what `export_torchscript`, `export_program` and `export_onnx` write runs without either.

    Arguments:
        f: a function of a tree of parameters and of arrays, in NumPy.
        params: the tree; its arrays (tensors too) and floats become parameters, integers, booleans
            and what is frozen buffers. All are copies. An array that occurs twice is one parameter
            with two names.
        buffers: dotted names of parameters, or of sub-trees, that are not trained.

    Returns:
        A module; its parameters have the dotted names of the leaves, `layers.0.w`.

    Raises:
        TypeError: `f` is no function.
        ValueError: a name in `buffers` that no leaf has, or one that no module's part can have.

    >>> import numpy as np
    >>> import torch
    >>> module = to_torch_module(lambda p, x: x @ p["w"], {"w": np.ones((3, 2))})
    >>> module(torch.ones(4, 3, dtype=torch.float64)).shape
    torch.Size([4, 2])
    """
    return FunctionModule(f, params, buffers=buffers)


class FunctionModule(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """What `to_torch_module` makes.

    Attributes:
        names: the dotted name of each leaf of the parameters.
    """

    def __init__(self, f: Callable[..., Any], params: Any, *, buffers: Iterable[str] = ()) -> None:
        super().__init__()
        if not callable(f):
            raise TypeError(
                f"to_torch_module(f, params): f is a function of parameters and inputs, not a"
                f" {type(f).__name__}"
            )
        self._f, self._backend = f, TorchBackend()
        self._leaves, self._tree = tree_flatten(params)
        self.names = [name or _ALONE for name in tree_paths(params)]
        self._programs: dict[str, _Program] = {}
        self._only: _Program | None = None
        self._register(frozenset(buffers))

    def _register(self, buffers: frozenset[str]) -> None:
        asked = {b for b in buffers for name in self.names if name == b or name.startswith(f"{b}.")}
        if unknown := sorted(buffers - asked):
            raise ValueError(
                f"to_torch_module: no parameter is named {unknown}; there are"
                f" {', '.join(self.names)}"
            )
        made: dict[int, Any] = {}
        for name, leaf, live in zip(self.names, self._leaves, self._tree.live()):
            if not _is_array(leaf):
                continue
            if id(leaf) not in made or type(leaf) is float:
                tensor = (
                    leaf.detach().clone()
                    if isinstance(leaf, torch.Tensor)
                    else self._backend.from_numpy(np.asarray(leaf))
                )
                fixed = not live or any(name == b or name.startswith(f"{b}.") for b in buffers)
                moving = tensor.is_floating_point() or tensor.is_complex()
                made[id(leaf)] = nn.Parameter(tensor) if moving and not fixed else tensor
            self._put(name, made[id(leaf)])
        self._leaves = [None if _is_array(x) and type(x) is not float else x for x in self._leaves]

    def _put(self, name: str, tensor: Any) -> None:
        """Registers a tensor under a dotted name, in modules of modules."""
        *parents, last = name.split(".")
        home: nn.Module = self
        for part in parents:
            if part not in home._modules:
                home.add_module(_free(home, part), nn.Module())
            home = home._modules[part]
        if last not in home._parameters and hasattr(home, last):
            raise ValueError(_taken(name, last))
        if isinstance(tensor, nn.Parameter):
            home.register_parameter(last, tensor)
        else:
            home.register_buffer(last, tensor)

    def _get(self, name: str) -> Any:
        home: Any = self
        *parents, last = name.split(".")
        for part in parents:
            home = home._modules[part]
        found = home._parameters.get(last)
        return home._buffers[last] if found is None else found

    def tensors(self) -> list[Any]:
        """The leaves of the parameters, as tensors; what is no array as it was given."""
        return [
            self._get(name) if leaf is None or type(leaf) is float else leaf
            for name, leaf in zip(self.names, self._leaves)
        ]

    def forward(self, *inputs: Any) -> Any:
        """`f(params, *inputs)`, of tensors and trees of them."""
        if all([isinstance(x, torch.Tensor) for x in inputs]):
            given, structure = list(inputs), ""
        else:
            given, tree = tree_flatten(inputs)
            structure = repr(tree)
        leaves = [*self.tensors(), *given]
        if self._only is not None:
            return self._only(leaves)
        # As text, which torch.compile knows to be the same from call to call.
        key = f"{structure}{[_kind(x) for x in leaves]}"
        program = self._programs.get(key)
        if program is None:
            program = self._prepare(key, leaves, inputs)
        return program(leaves)

    def _prepared(self, key: str, leaves: list[Any], inputs: tuple[Any, ...]) -> _Program:
        """The program for arguments like these, captured and tried on them."""
        program = self._captured(leaves, inputs)
        self._programs[key] = program
        return program

    _prepare = untraced(_prepared)  # capturing is no part of a compiled program

    def _captured(self, leaves: list[Any], inputs: tuple[Any, ...]) -> _Program:
        """The program for inputs, arrays or what is known of them, that is tried on `leaves`."""
        given, tree = tree_flatten(inputs)
        if any([isinstance(x, np.ndarray) for x in given]):
            raise TypeError(
                "a module of to_torch_module was called with a NumPy array; its inputs are tensors:"
                " torch.from_numpy(x)"
            )
        avals = [
            self._aval(x, known)
            for x, known in zip([*self.tensors(), *given], [*self._leaves, *[None] * len(given)])
        ]
        count = len(self._leaves)
        params = tree_unflatten(self._tree, avals[:count])
        args = tree_unflatten(tree, avals[count:])
        graph = with_softmax(optimized(capture(self._f, params, *args), "torch"))
        device = next((str(x.device) for x in leaves if isinstance(x, torch.Tensor)), None)
        return _Program(self, graph, device, leaves)

    @contextmanager
    def of_sizes(self, avals: Sequence[Any], examples: Sequence[Any]) -> Iterator[None]:
        """While it is open the module has one program, whose sizes are those of its inputs.

        Arguments:
            avals: for each input a `ShapeDtypeStruct`, which may have symbolic sizes, or a tensor.
            examples: tensors like these.
        """
        with torch.no_grad():
            self._only = self._captured([*self.tensors(), *examples], tuple(avals))
        try:
            yield
        finally:
            self._only = None

    def _aval(self, x: Any, known: Any) -> Any:
        if type(known) is float or not isinstance(x, torch.Tensor):
            return known if type(known) is float else x
        return ShapeDtypeStruct(tuple(x.shape), self._backend.dtype_of(x))

    def functional(self) -> tuple[Callable[..., Any], Any]:
        """The function and its parameters as they are now, in NumPy: the way back from torch.

        Returns:
            `(f, params)`, of which the module computes `f(params, *inputs)`; copies, a tie one
            array in two places.
        """
        made: dict[int, Any] = {}
        leaves = []
        for tensor, known in zip(self.tensors(), self._leaves):
            if isinstance(tensor, torch.Tensor):
                if id(tensor) not in made:
                    array = self._backend.to_numpy(tensor.detach())
                    made[id(tensor)] = float(array) if type(known) is float else array
                leaves.append(made[id(tensor)])
            else:
                leaves.append(tensor)
        return self._f, tree_unflatten(self._tree, leaves)

    def specialize(self, *inputs: Any) -> FunctionModule:
        """The module itself, prepared for inputs like these: before `torch.compile`, say."""
        with torch.no_grad():
            self(*inputs)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Without what calls have made: a copy makes its own."""
        held = self._non_persistent_buffers_set  # what functions close over
        state: dict[str, Any] = super().__getstate__()
        state |= {"_programs": {}, "_only": None, "_non_persistent_buffers_set": set()}
        state["_buffers"] = {k: v for k, v in self._buffers.items() if k not in held}
        del state["_backend"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_backend": TorchBackend()})

    def extra_repr(self) -> str:
        """The function and the names of the parameters."""
        return f"{getattr(self._f, '__name__', self._f)}, {', '.join(self.names)}"


class _Program:
    """The code of a module for arguments of one kind."""

    def __init__(
        self, module: FunctionModule, graph: Graph, device: str | None, leaves: list[Any]
    ) -> None:
        code = lowered(graph, module._backend, device, rules=True)
        self.places = _places(graph, leaves)
        self.tree = graph.out_tree
        with torch.no_grad():
            held = code.moved()
            self.run = code.settled(*[leaves[i].detach() for i in self.places], *held)
        if held and staged():  # torch takes a buffer that is new in an export for an input
            raise ExportError(
                "a module of to_torch_module is traced on inputs of a kind that it has not met, and"
                " what its function closes over would become part of it on the way: call"
                " module.specialize(*inputs) before, or export_program and export_torchscript"
            )
        self.names: list[str] = []
        for tensor in held:  # what the function closes over moves with the module
            name = f"constant_{len(module._buffers)}"
            while hasattr(module, name):  # a parameter of that name
                name += "_"
            module.register_buffer(name, tensor.clone(), persistent=False)
            self.names.append(name)
        self.module = [module]  # in a list: no module holds itself as a part

    def __call__(self, leaves: list[Any]) -> Any:
        held = [self.module[0]._buffers[name] for name in self.names]
        outs = self.run(*[leaves[i] for i in self.places], *held)
        return tree_unflatten(self.tree, outs)


def _places(graph: Graph, leaves: list[Any]) -> list[int]:
    """Which of the leaves the inputs of the graph are."""
    known = {id(v): i for i, v in enumerate(graph.given)}
    return [known[id(v)] for v in graph.inputs]


def _is_array(x: Any) -> bool:
    return type(x) is float or hasattr(type(x), "__array__")  # another library's too


def _kind(x: Any) -> str:
    """What a program depends on."""
    if isinstance(x, torch.Tensor):
        # As numbers: to torch.compile a size that has changed once is a symbol from then on.
        return f"{[index(n) for n in x.shape]} {x.dtype} {x.device}"
    return f"{type(x)} {x!r}"


def _free(home: nn.Module, name: str) -> str:
    """The name of a new part; torch's own attributes are no names of parts."""
    if name in home._parameters or name in home._buffers:
        raise ValueError(f"to_torch_module: {name!r} is a parameter and a sub-tree")
    if hasattr(home, name):
        raise ValueError(_taken(name, name))
    return name


def _taken(name: str, part: str) -> str:
    return (
        f"to_torch_module: no parameter can be named {name!r}, for torch's modules have an"
        f" attribute {part!r}; give it another name"
    )
