"""`ParamDict`: a model's parameters, nested and named.

One made by `params` holds weights, which `step` changes. Transforms, optimisers and `tree_map` see
their values as leaves, each tie once, and make from them a `ParamDict` of the results.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import aval_of
from pycograd.core.errors import ParameterError
from pycograd.core.fillable import settled
from pycograd.core.tree import flatten_like, is_node, register_tree, tree_structure
from pycograd.parameters import gradient, names, storage
from pycograd.parameters.compiled import known
from pycograd.parameters.param import Param
from pycograd.parameters.structure import Structure
from pycograd.parameters.values import fitting, owned, paired, put, write
from pycograd.parameters.weight import Info, Store, Weight, in_pass


class ParamDict(Mapping[Any, Any]):
    """Named parameters; `params` makes one.

    An entry is a parameter, a `ParamDict` inside, or a list of them; it is there as an attribute,
    `weights.enc.w`, and as a key, `weights["enc"]["w"]`. In a block `with weights:` the entries are
    global variables of the code that has the block.

    >>> weights = params(enc={"w": np.ones((3, 2))}, b=np.zeros(2))
    >>> with weights:
    ...     np.ones(3) @ enc.w + b
    array([3., 3.])
    """

    # Underscored also where the modules beside this one read them: all other names are those of
    # parameters, but for the methods.
    __slots__ = ("_structure", "_leaves", "_store", "_known", "_live", "__weakref__")

    _lends = True  # for `graph.reads`: a program holds what its weights lend

    _structure: Structure
    _leaves: Sequence[Any]  # weights, or the values of results; each tie once
    _store: Store | None  # None: it holds results
    _known: dict[Any, Any] | None  # its entries, once they have been asked for
    _live: Live

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("write params(...), which makes a ParamDict")

    # -- entries -----------------------------------------------------------------------------------
    @property
    def _entries(self) -> dict[Any, Any]:
        if self._known is None:
            nested = lambda structure, leaves: param_dict(structure, leaves, self._store)
            self._known = self._structure.assemble(self._leaves, nested)
            if self._store is not None and self._structure.has_lists:
                self._live.lists = [*_lists_of(self._known.items(), "")]
        return self._known

    def _check_lists(self) -> None:
        """Raises if something was assigned to an entry of a list, which is only Python's own."""
        for name, made, entries in self._live.lists:
            for i, entry in enumerate(entries):
                if not i < len(made) or made[i] is not entry:
                    raise ParameterError(
                        f"the entry {i} of the list {name!r} was replaced, by what is no parameter"
                        f" of the model: write weights.{name}[{i}][...] = value to change it, or"
                        " make another model with params(...)"
                    )
            if len(made) > len(entries):
                raise ParameterError(
                    f"the list {name!r} has a further entry, which is no parameter of the model:"
                    " make another model with params(...)"
                )
        for entry in self._known.values() if self._known is not None else ():
            _check_inside(entry)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._entries[key]
        except KeyError:
            raise KeyError(_unknown(key, self)) from None

    def __getattr__(self, name: str) -> Any:
        if name[:1] == "_":
            raise AttributeError(f"'ParamDict' object has no attribute {name!r}")
        try:
            return self._entries[name]
        except KeyError:
            raise AttributeError(_unknown(name, self)) from None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._structure.tree.aux)

    def __len__(self) -> int:
        return len(self._structure.tree.aux)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *[key for key in self if isinstance(key, str)]]

    def __setitem__(self, key: Any, value: Any) -> None:
        entry = self[key]
        if self._store is None:
            raise TypeError(
                "a ParamDict of results is not written to: tree_map makes another, and params(...)"
                " parameters"
            )
        if type(entry) is not Weight and not is_node(type(entry)):
            raise TypeError(f"{key!r} is a setting of the model, which is not written to")
        write(paired(entry, value, str(key)))

    def __setattr__(self, name: str, value: Any) -> None:
        if name[:1] == "_":
            super().__setattr__(name, value)
        elif name in RESERVED:
            raise AttributeError(f"{name!r} is a method of ParamDict")
        else:
            try:
                self[name] = value
            except KeyError as error:
                raise AttributeError(error.args[0]) from None

    def __repr__(self) -> str:
        parts = [
            f"{key}={_shown(value)}" if isinstance(key, str) else f"[{key!r}]={_shown(value)}"
            for key, value in self._entries.items()
        ]
        return f"ParamDict({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    # -- copies ------------------------------------------------------------------------------------
    def __reduce__(self) -> Any:
        return _again, (self._structure, _plain(self._leaves), self._infos())

    def __copy__(self) -> ParamDict:
        return self._copied(_plain(self._leaves))

    def __deepcopy__(self, memo: Any) -> ParamDict:
        return self._copied(copy.deepcopy(_plain(self._leaves), memo))

    def _copied(self, leaves: list[Any]) -> ParamDict:
        made = _again(self._structure, leaves, self._infos())
        if made._store is not None:
            made._live.home = self._live.home
        return made

    def _infos(self) -> list[Info] | None:
        if self._store is None:
            return None
        return [w.info._replace(name=n) for w, n in zip(self._leaves, self._structure.names)]

    # -- the block ---------------------------------------------------------------------------------
    def __enter__(self) -> ParamDict:
        frame, entries = names.caller(), self._bindable()
        names.refuse_hidden(entries, frame)
        bound = names.bind(entries, frame.f_globals)
        self._live.blocks.append(bound)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, NameError):
            names.suggest(error, self._bindable())
        blocks, scope = self._live.blocks, names.caller().f_globals
        mine = [i for i, bound in enumerate(blocks) if bound.scope is scope]
        names.release(blocks.pop(mine[-1] if mine else -1))

    def _bindable(self) -> dict[str, Any]:
        """The entries that can be names."""
        live = self._weights("with")
        if live.bindable is None:
            live.bindable = {
                k: v for k, v in self._entries.items() if isinstance(k, str) and k.isidentifier()
            }
        return live.bindable

    def _parts(self) -> tuple[list[Weight], list[Weight]]:
        """The weights that are trained, and all the others of the model."""
        live = self._weights("grad")
        if live.parts is None:
            trained = [w for w, t in zip(self._leaves, self._structure.trainable) if t]
            live.parts = trained, self._others(trained)
        return live.parts

    def _others(self, weights: Sequence[Weight] | None = None) -> list[Weight]:
        """The weights of the whole model but for these, or for those of this part of it."""
        assert self._store is not None
        return self._store.others(self._leaves if weights is None else weights)

    # -- training ----------------------------------------------------------------------------------
    def grad(
        self,
        objective: Callable[..., Any],
        *args: Any,
        backend: Any = None,
        jit: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ParamDict]:
        """The value of a real scalar function of the weights, and its gradients.

        Arguments:
            objective: a function that reads the weights, by their bare names or from this
                `ParamDict`; the names are bound for the call.
            args, kwargs: what it is called with; constants.
            backend: the name of a backend, `"torch"`, whose own autodiff is to be used.
            jit: whether the function is compiled, once for each objective and signature of its
                arguments. Weights, arguments and the arrays in variables that the objective names
                are inputs of the program; `explain` says what is part of it.

        Returns:
            `(value, gradients)`: a 0-d array, and a `ParamDict` like this one with None in the
            place of what is not trained.

        Raises:
            NonScalarOutputError: the objective did not return a real scalar.
            ParameterError: the name of a weight is taken by a variable that the objective uses.

        >>> weights = params(w=np.array([1.0, 2.0]), b=frozen(0.5))
        >>> value, grads = weights.grad(lambda x: np.sum(w * x + b), np.array([3.0, 4.0]))
        >>> float(value), grads
        (12.0, ParamDict(w=array([3., 4.]), b=None))
        """
        value, grads = gradient.value_and_gradients(self, objective, args, kwargs, backend, jit)
        return value, param_dict(self._structure, grads, None)

    def explain(self, objective: Callable[..., Any], backend: Any = None) -> str:
        """What is part of the program that `grad(objective, jit=True)` made, and its inputs.

        Arguments:
            objective: as given to `grad`.
            backend: likewise.

        Returns:
            A text for people.

        Raises:
            ValueError: it has not been compiled.

        >>> weights = params(w=np.ones(2))
        >>> objective = lambda x: np.sum(weights.w * x)
        >>> _ = weights.grad(objective, np.ones(2), jit=True)
        >>> print(weights.explain(objective))
        <lambda>: compiled 1 time
          1. the first call
        inputs: weights, arguments
        """
        self._weights("explain")
        for jit in (True, False):
            found = known(self, objective, backend, jit)
            if found is not None:
                return found.explain()
        raise ValueError("explain: grad has not compiled this objective; call it with jit=True")

    def bind(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """`f` with the names of the weights bound whenever it is called.

        Arguments:
            f: a function that reads the weights by their bare names.

        Returns:
            A function like `f`, for transforms and exports: outside of passes over this model the
            weights are constants to it.

        >>> weights = params(w=np.array([1.0, 2.0]))
        >>> weights.bind(lambda x: w * x)(3.0)
        array([3., 6.])
        """
        return gradient.Binding(self, f)

    def step(self, grads: Any, lr_or_optimizer: Any) -> None:
        """Changes the parameters in place, all of them or, if something does not fit, none.

        Arguments:
            grads: gradients as `grad` returns them; where there is None nothing changes.
            lr_or_optimizer: a learning rate, for plain gradient descent, or an `Optimizer`.

        Raises:
            TreeMismatchError: gradients of another model.
            ShapeError: a gradient of another shape than its parameter.

        >>> weights = params(w=np.array([1.0, 2.0]))
        >>> value, grads = weights.grad(lambda: np.sum(weights.w))
        >>> weights.step(grads, 0.5)
        >>> weights.w
        Weight(array([0.5, 1.5]))
        """
        self._weights("step")
        if in_pass(self._leaves):
            raise ParameterError("step: the objective cannot change the weights that it reads")
        from pycograd.optim.optax import as_optimizer

        optimizer = as_optimizer(lr_or_optimizer)
        treedef = tree_structure(self)
        slopes = flatten_like(treedef, grads, "step")
        # What is not trained stays, whatever a gradient from elsewhere says.
        slopes = [g if t else None for g, t in zip(slopes, self._structure.trainable)]
        trained = self._structure.trainable
        with _kept(optimizer):
            new = optimizer.step(self, param_dict(self._structure, slopes, None))
            changed = zip(self._leaves, flatten_like(treedef, new, "step"), trained)
            write([(weight, value) for weight, value, live in changed if live])

    def update_buffers(self, values: Mapping[str, Any] | None = None, **named: Any) -> None:
        """Writes buffers, all of those given or, if something does not fit, none.

        An objective that is not compiled may do so too: until its pass ends it reads what they
        were.

        Arguments:
            values: their new values by dotted name, `{"norm.mean": mean}`.
            named: the same, for names without dots.

        Raises:
            ParameterError: no such parameter, or one that is no `buffer`; or in a function that is
                being compiled.
            ShapeError: another shape.

        >>> weights = params(mean=buffer(np.zeros(2)))
        >>> weights.update_buffers(mean=np.ones(2))
        >>> weights.mean
        Weight(array([1., 1.]))
        """
        self._weights("update_buffers")
        known = dict(self._structure.paths())
        given = {**(values or {}), **named}
        for name in given:
            if name not in known:
                raise ParameterError(f"update_buffers: {_unknown(name, known)}")
            if not self._structure.mutable[known[name]]:
                raise ParameterError(
                    f"update_buffers: {name!r} is no buffer: declare it with buffer(...), or assign"
                    f" to it, weights.{name} = ..."
                )
        write([(self._leaves[known[name]], value) for name, value in given.items()])

    # -- files -------------------------------------------------------------------------------------
    def save(self, path: Any, optimizer: Any = None, rng: Any = None) -> None:
        """Writes the parameters to a file in the safetensors format; safetensors does it.

        The file appears whole or not at all: an existing one is replaced when the new one is
        complete.

        Arguments:
            path: of the file.
            optimizer: an optimiser whose state, with the number of its steps, is saved as well.
            rng: where random numbers stand: a key of `pycograd.random`, a
                `numpy.random.Generator`, or a dict or list of these.

        Raises:
            ParameterError: a dtype that the format does not have.

        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/model.safetensors"
        >>> params(w=np.array([1.0, 2.0])).save(path)
        >>> weights = params(w=np.zeros(2))
        >>> weights.load(path)
        >>> weights.w
        Weight(array([1., 2.]))
        """
        self._weights("save")
        storage.save(self._structure, _plain(self._leaves), path, optimizer, rng)

    def load(self, path: Any, optimizer: Any = None, rng: Any = None) -> None:
        """Reads parameters from a file, all that is asked for or, if something differs, nothing.

        Arguments:
            path: of a file that `save` wrote, or another program in the safetensors format.
            optimizer: an optimiser that takes up the state that was saved with the parameters.
            rng: what takes up the random numbers where they stood: as given to `save`; keys are
                written into.

        Raises:
            ParameterError: it is no whole safetensors file, or names, shapes or dtypes are not
                those of this model; the message lists the differences.

        >>> weights = params(w=np.ones(2))
        >>> weights.load("model.safetensors")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'model.safetensors'
        """
        self._weights("load")
        if in_pass(self._leaves):
            raise ParameterError("load: the objective cannot change the weights that it reads")
        stored = storage.Stored(path)
        values = stored.parameters(self._structure, [aval_of(w.array) for w in self._leaves])
        ready = fitting(zip(self._leaves, values))
        finish = [] if rng is None else stored.restore(rng)
        if optimizer is None:
            _all(finish)
        else:
            state = stored.optimizer_state(optimizer)
            with _kept(optimizer):
                optimizer.load_state_dict(state)
                _all(finish)  # which may still refuse what is of another run
        put(ready)

    def to_torch_module(self, forward: Callable[..., Any]) -> Any:
        """A function of the weights as an `nn.Module` of torch; pycograd-torch makes it.

        Its parameters are copies of the weights under their dotted names, ties kept; what is frozen
        and buffers are buffers.

        Arguments:
            forward: a function that reads the weights, by their bare names or from this
                `ParamDict`.

        Returns:
            The module; `export_torchscript` takes it.

        Raises:
            UnknownBackendError: pycograd-torch is not installed.

        >>> weights = params(w=np.ones((3, 2)))
        >>> module = weights.to_torch_module(lambda x: np.tanh(x @ w))  # doctest: +SKIP
        """
        from pycograd.plugins.exports import to_torch_module

        self._weights("to_torch_module")
        structure = self._structure
        tree = structure.nested(_plain(self._leaves))
        fixed = [name for name, at in structure.paths() if not structure.trainable[at]]
        return to_torch_module(gradient.Functional(self, forward), tree, buffers=fixed)

    # -- counting ----------------------------------------------------------------------------------
    def num_params(self, trainable: bool | None = None) -> int:
        """The number of entries of all parameters, ties counted once.

        Arguments:
            trainable: True for those that are trained, False for the others, None for all.

        Returns:
            An int.

        >>> weights = params(w=np.ones((3, 2)), b=frozen(np.zeros(2)))
        >>> weights.num_params(), weights.num_params(trainable=True)
        (8, 6)
        """
        return sum(
            int(np.prod(np.shape(leaf)))
            for leaf, live in zip(self._leaves, self._structure.trainable)
            if trainable is None or live is trainable
        )

    def ties(self) -> dict[str, str]:
        """The further names of tied parameters, each with the first one.

        Returns:
            Dotted names by dotted name.

        >>> params(a=tied("k", 1.0), b={"c": tied("k")}).ties()
        {'b.c': 'a'}
        """
        names = self._structure.names
        return {path: names[at] for path, at in self._structure.paths() if path != names[at]}

    def param_values(self) -> dict[Any, Any]:
        """Copies of the values; see `param_values`.

        Returns:
            Dicts and lists of arrays.

        >>> params(enc={"w": np.ones(2)}).param_values()
        {'enc': {'w': array([1., 1.])}}
        """
        found: dict[Any, Any] = param_values(self)
        return found

    def _weights(self, asked: str) -> Live:
        if self._store is None:
            raise TypeError(
                f"{asked}: this ParamDict holds results, no parameters; params(...) does"
            )
        if self._structure.has_lists:
            self._check_lists()
        return self._live


class Live:
    """What a `ParamDict` of weights keeps besides them."""

    __slots__ = ("home", "blocks", "bindable", "parts", "eager", "made", "lists")

    def __init__(self) -> None:
        self.home: dict[str, Any] | None = None  # the globals of the code that made the model
        self.blocks: list[names.Bound] = []  # that are open
        self.bindable: dict[str, Any] | None = None
        self.parts: tuple[list[Weight], list[Weight]] | None = None
        self.eager: Callable[..., Any] | None = None  # `grad` of any objective
        self.made: dict[Any, Any] = {}  # compiled objectives
        self.lists: list[tuple[str, list[Any], tuple[Any, ...]]] = []  # by name, as they were made


RESERVED = frozenset([name for name in dir(ParamDict) if name[:1] != "_"])
_new = object.__new__


def param_dict(structure: Structure, leaves: Sequence[Any], store: Store | None) -> ParamDict:
    """A `ParamDict` of weights, or of results where there is no store."""
    made: ParamDict = _new(ParamDict)
    made._structure, made._leaves, made._store, made._known = structure, leaves, store, None
    if store is not None:
        made._live = Live()
    return made


def weights_of(model: ParamDict, asked: str, whole: bool = False) -> list[Weight]:
    """The weights of a model, each tie once.

    Arguments:
        model: of weights.
        asked: the function that an error names.
        whole: whether those of the model that this one is a part of are wanted as well.

    Raises:
        TypeError: it holds results.
    """
    model._weights(asked)
    return [*model._leaves, *(model._others() if whole else ())]


def _flatten(node: ParamDict) -> tuple[Sequence[Any], Structure]:
    if node._store is None:
        return node._leaves, node._structure
    return [settled(weight) for weight in node._leaves], node._structure


register_tree(
    ParamDict,
    _flatten,
    lambda structure, leaves: param_dict(structure, list(leaves), None),
    lambda structure: structure.names,
    lambda structure: structure.trainable,
)


def _lists_of(entries: Iterable[tuple[Any, Any]], front: str) -> Iterator[tuple[str, Any, Any]]:
    """The lists among entries and inside of one another, with what is in them."""
    for key, entry in entries:
        if type(entry) is list:
            yield f"{front}{key}", entry, tuple(entry)
        if type(entry) is list or type(entry) is tuple:
            yield from _lists_of(enumerate(entry), f"{front}{key}.")


def _check_inside(entry: Any) -> None:
    """`_check_lists` of the dicts in an entry that have been looked into."""
    if type(entry) is ParamDict:
        if entry._structure.has_lists and entry._known is not None:
            entry._check_lists()
    elif type(entry) is list or type(entry) is tuple:
        for part in entry:
            _check_inside(part)


@contextlib.contextmanager
def _kept(optimizer: Any) -> Iterator[None]:
    """A block after whose failure an optimiser has the attributes that it had."""
    before = dict(getattr(optimizer, "__dict__", {}))
    try:
        yield
    except BaseException:
        vars(optimizer).update(before)
        raise


def _all(finish: Iterable[Callable[[], None]]) -> None:
    for step in finish:
        step()


def _plain(leaves: Sequence[Any]) -> list[Any]:
    return [leaf.array if type(leaf) is Weight else leaf for leaf in leaves]


def _again(structure: Structure, leaves: list[Any], infos: list[Info] | None) -> ParamDict:
    if infos is None:
        return param_dict(structure, leaves, None)
    store = Store()
    pairs = zip(leaves, infos)
    weights = [store.add(Weight(owned(leaf, info), info, store)) for leaf, info in pairs]
    return param_dict(structure, weights, store)


def _unknown(key: Any, known: Iterable[Any]) -> str:
    names = list(known)
    near = difflib.get_close_matches(str(key), map(str, names), 1)
    fix = f"; did you mean {near[0]!r}?" if near else f"; there are {names}"
    return f"no parameter is named {key!r}{fix}"


def _shown(value: Any) -> str:
    return repr(settled(value)) if type(value) is Weight else repr(value)


def param_values(tree: Any) -> Any:
    """A tree with plain copies of the values in the place of parameters.

    Arguments:
        tree: a `ParamDict`, a `Param`, a weight, or any tree of these.

    Returns:
        Dicts and lists of arrays.

    >>> param_values([params(w=np.ones(2)), frozen(1.0)])
    [{'w': array([1., 1.])}, 1.0]
    """
    if type(tree) is ParamDict:
        return {key: param_values(entry) for key, entry in tree._entries.items()}
    if isinstance(tree, Param):
        return param_values(tree.value)
    if type(tree) is Weight:
        return tree.copy()
    if type(tree) is dict:
        return {key: param_values(entry) for key, entry in tree.items()}
    if type(tree) is list or type(tree) is tuple:
        return type(tree)([param_values(entry) for entry in tree])
    return tree
