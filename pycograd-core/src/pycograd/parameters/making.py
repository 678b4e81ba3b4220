"""`params`: what is given, described leaf by leaf, becomes a `ParamDict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pycograd.core.aval import aval_of
from pycograd.core.errors import ParameterError
from pycograd.core.tree import is_node, tree_flatten, tree_unflatten
from pycograd.parameters import names
from pycograd.parameters.model import RESERVED, ParamDict, param_dict
from pycograd.parameters.param import Param, SameAs
from pycograd.parameters.structure import Structure
from pycograd.parameters.values import equal, is_numeric, owned
from pycograd.parameters.weight import Info, Store, Weight


def params(spec: Mapping[Any, Any] | None = None, **named: Any) -> ParamDict:
    """Parameters from arrays and numbers, in dicts and lists nested as you like.

    Values are copied and keep their dtype; Python floats take the default one. What is no number
    (a string, None, a function) is kept as a setting.

    Arguments:
        spec: a dict of them; or they are given by name.
        named: arrays, numbers, `Param`s (`frozen`, `buffer`, `tied`, `on_cpu`, `on_device` make
            them), dicts, lists, other `ParamDict`s.

    Returns:
        A `ParamDict`.

    Raises:
        ParameterError: a name that is one of `ParamDict`'s own, ties that do not agree.
        NotDifferentiableError: integers to be trained.

    >>> weights = params(w=np.ones((3, 2)), b=0.0, layers=[{"w": np.zeros(2)}])
    >>> weights.num_params(), weights.layers[0].w
    (9, Weight(array([0., 0.])))
    """
    if spec is not None and named:
        raise TypeError("params: give a dict or names, not both")
    if not isinstance(spec if spec is not None else named, Mapping):
        raise TypeError(f"params: takes a dict or names, not {type(spec).__name__}")
    described = _described(named if spec is None else spec)
    leaves, treedef = tree_flatten(described)
    made = _Making(leaves, treedef).model()
    made._live.home = names.caller().f_globals
    return made


def _described(x: Any, name: str = "") -> Any:
    """`x` with a `Param` or `_Setting` at each leaf, and plain dicts."""
    if isinstance(x, Mapping):
        if type(x) is ParamDict:
            x = x._entries
        for key in x:
            if key in RESERVED:
                raise ParameterError(
                    f"params: {key!r} is a method of ParamDict, so that no parameter can have this"
                    f" name; call it {key}_"
                )
        return {key: _described(v, f"{name}.{key}" if name else str(key)) for key, v in x.items()}
    if type(x) is list or type(x) is tuple:
        return type(x)([_described(v, f"{name}.{i}") for i, v in enumerate(x)])
    if type(x) is Weight:
        info = x.info
        return Param(x.array, info.trainable, info.mutable, SameAs(x), info.device)
    if isinstance(x, Param):
        if is_node(type(x.value)) and x.value is not None:
            raise ParameterError(
                f"params: {name!r} is a Param of a {type(x.value).__name__}; give each leaf its own"
            )
        return x
    if type(x) is not type(None) and is_node(type(x)):
        leaves, treedef = tree_flatten(x)
        return tree_unflatten(treedef, [_described(leaf, name) for leaf in leaves])
    if not is_numeric(x) and hasattr(x, "__array__") and hasattr(x, "shape"):
        x = np.asarray(x)  # an array of another library
        if not is_numeric(x):
            raise TypeError(f"params: {name!r} is an array of dtype {x.dtype}, not of numbers")
    return Param(x) if is_numeric(x) else _Setting(x)


class _Setting:
    """A leaf that is no parameter."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class _Making:
    """One call of `params`: which leaves are one parameter, and what it is."""

    def __init__(self, leaves: list[Any], treedef: Any) -> None:
        self.leaves, self.treedef = leaves, treedef
        self.paths = treedef.paths()
        self.groups: dict[Any, list[int]] = {}
        for i, leaf in enumerate(leaves):
            if isinstance(leaf, Param):
                self.groups.setdefault(self._tie(i, leaf), []).append(i)

    def _tie(self, i: int, leaf: Param) -> Any:
        """What leaves of one parameter have in common."""
        if leaf.tie is None:
            return "alone", i
        if not isinstance(leaf.tie, SameAs):
            return "key", leaf.tie
        wanted = leaf.tie.value
        if type(wanted) is Weight:  # of another ParamDict
            return "weight", id(wanted)
        for j, other in enumerate(self.leaves):
            if j != i and isinstance(other, Param) and (other.value is wanted or other is wanted):
                if not isinstance(other.tie, SameAs):
                    return self._tie(j, other)
        raise ParameterError(
            f"params: {self.paths[i]!r} is tied[...] to an array that no other parameter was given;"
            " it must be the very object, not a copy or a changed one. tied(key, value) ties by a"
            " name"
        )

    def model(self) -> ParamDict:
        store, weights = Store(), list[Weight]()
        places: list[int | None] = [None] * len(self.leaves)
        for at, group in enumerate(self.groups.values()):
            for i in group:
                places[i] = at
            weights.append(store.add(self._weight(group, store)))
        structure = Structure(
            self.treedef,
            places,
            {i: x.value for i, x in enumerate(self.leaves) if isinstance(x, _Setting)},
            [w.info.trainable for w in weights],
            [w.info.mutable for w in weights],
        )
        return param_dict(structure, weights, store)

    def _weight(self, group: list[int], store: Store) -> Weight:
        name = self.paths[group[0]]
        described = [self.leaves[i] for i in group]
        given = [p.value for p in described if p.value is not None]
        if not given:
            raise ParameterError(f"params: {name!r} has no value, and neither has one tied to it")
        first = given[0]
        for other in given[1:]:
            if other is not first and not equal(first, other):
                raise ParameterError(
                    f"params: {name!r} and {self.paths[group[-1]]!r} are tied, but were given"
                    f" different values ({aval_of(first)} and {aval_of(other)}): give it once"
                )
        said = [p for p in described if p.value is not None or not p.trainable]
        settings = {(p.trainable, p.mutable) for p in said}
        devices = {p.device for p in described} - {None}
        if len(settings) > 1 or len(devices) > 1:
            raise ParameterError(
                f"params: {name!r} is tied to a parameter that is frozen, a buffer, or on a device"
                " where it is not; ties are one parameter"
            )
        trainable, mutable = settings.pop()
        info = Info(name, trainable, mutable, devices.pop() if devices else None)
        return Weight(owned(first, info), info, store)
