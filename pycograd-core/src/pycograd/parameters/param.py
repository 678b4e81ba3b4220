"""What a user says of a parameter: `Param`, and the short forms `frozen`, `buffer`, `tied`, ..."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

import numpy as np

from pycograd.core.errors import ParameterError
from pycograd.core.tree import is_node, register_leaf, tree_map


@dataclass(frozen=True, eq=False)
class Param:
    """One parameter, as it is given to `params`.

    Arguments:
        value: an array or a number, or of a `tie` that has its value elsewhere None.
        trainable: whether it has a gradient and is changed by `step`.
        mutable: whether `update_buffers` may write it.
        tie: a name; parameters of one name are one parameter in several places.
        device: where the value lives, as `device` takes it; None for NumPy.

    >>> weights = params(w=Param(np.ones(2), trainable=False))
    >>> weights.num_params(), weights.num_params(trainable=True)
    (2, 0)
    """

    value: Any = None
    trainable: bool = True
    mutable: bool = False
    tie: Hashable = None
    device: str | None = None

    def __getattr__(self, name: str) -> Any:
        if name[:1] != "_" and hasattr(np.ndarray, name):
            raise AttributeError(f"Param has no {name!r}: {_NO_ARRAY}")
        raise AttributeError(f"'Param' object has no attribute {name!r}")


def _refuse(self: Param, *args: Any, **kwargs: Any) -> NoReturn:
    raise ParameterError(f"Param: {_NO_ARRAY}")


_NO_ARRAY: Final = (
    "what frozen[...], buffer[...], tied[...] and the like make describes a parameter, and is no"
    " array. Compute with the array that it is made of, w in frozen[w], before params(...)"
)
# NumPy would make an array of one object of it, whose sum is that object.
for _name in ("array", "getitem", "len", "iter", "float", "int", "complex", "index", "bool", "neg"):
    setattr(Param, f"__{_name}__", _refuse)
for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "pow"):
    setattr(Param, f"__{_name}__", _refuse)
    setattr(Param, f"__r{_name}__", _refuse)

register_leaf(Param)


class SameAs:
    """The tie of `tied[w]`: to the parameter that was given the very object `w`."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def with_settings(value: Any, **settings: Any) -> Any:
    """`value` as a `Param` with these settings; of a tree, each of its leaves."""
    if isinstance(value, Param):
        return replace(value, **settings)
    if is_node(type(value)):
        return tree_map(lambda leaf: with_settings(leaf, **settings), value)
    return Param(value, **settings)


class Frozen:
    """A parameter that is not trained: its gradient is None, and steps leave it alone.

    Arguments:
        value: an array, a number, or a tree of them; `frozen[value]` is the same.

    Returns:
        A `Param`, or a tree of them.

    >>> weights = params(w=np.ones(2), scale=frozen(np.array(3.0)))
    >>> weights.grad(lambda: np.sum(weights.scale * weights.w))[1]
    ParamDict(w=array([3., 3.]), scale=None)
    """

    def __call__(self, value: Any) -> Any:
        return with_settings(value, trainable=False)

    __getitem__ = __call__


class Buffer:
    """A value that belongs to a model but is no parameter, such as a running mean.

    It has no gradient, and steps leave it alone; `update_buffers` writes it.

    Arguments:
        value: an array, a number, or a tree of them; `buffer[value]` is the same.

    Returns:
        A `Param`, or a tree of them.

    >>> weights = params(w=np.ones(2), seen=buffer(0))
    >>> weights.update_buffers(seen=weights.seen + 1)
    >>> weights.seen
    Weight(array(1))
    """

    def __call__(self, value: Any) -> Any:
        return with_settings(value, trainable=False, mutable=True)

    __getitem__ = __call__


class Tied:
    """A parameter that stands in several places: it is stored, stepped and saved once.

    `tied(key, value)` ties all that have this key; those after the first may leave the value out.
    `tied[w]` ties to the parameter of the same `params(...)` that was given the object `w`.

    Arguments:
        key: any name.
        value: an array or a number, equal wherever it is given.

    Returns:
        A `Param`.

    >>> table = np.ones((2, 3))
    >>> weights = params(embed=table, out=tied[table])
    >>> weights.num_params(), weights.out is weights.embed
    (6, True)
    """

    def __call__(self, key: Hashable, value: Any = None) -> Any:
        if key is None or not isinstance(key, Hashable):
            raise ParameterError(
                f"tied(key, value): the key is a name, not {type(key).__name__}; to tie to the"
                " parameter that was given an array w, write tied[w]"
            )
        return Param(None, tie=key) if value is None else with_settings(value, tie=key)

    def __getitem__(self, value: Any) -> Any:
        return Param(None, tie=SameAs(value))


class OnDevice:
    """A parameter that lives on a device, whatever device computes with it.

    Gradients are on the device of their parameter. An operation between devices moves the smaller
    operand.

    Arguments:
        name: the device, as `device` takes it: `"torch"`, `"torch:cuda:1"`.
        value: an array, a number, or a tree of them; `on_device(name)[value]` is the same.

    Returns:
        A `Param`, or a tree of them.

    >>> weights = params(table=on_device("numpy", np.ones((1000, 8))))
    """

    def __call__(self, name: str, *value: Any) -> Any:
        if not isinstance(name, str):
            raise ParameterError(
                f"on_device(name, value): the name of a device comes first, not"
                f" {type(name).__name__}"
            )
        if len(value) > 1:
            raise TypeError(f"on_device takes a device and a value, not {1 + len(value)} arguments")
        return On(name)(*value) if value else On(name)


class On:
    """What `on_device(name)` is: a call, or an index, gives a parameter that lives there.

    >>> weights = params(table=on_cpu[np.ones((1000, 8))])
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, value: Any) -> Any:
        return with_settings(value, device=self.name)

    __getitem__ = __call__


frozen: Final = Frozen()
buffer: Final = Buffer()
tied: Final = Tied()
on_device: Final = OnDevice()
on_cpu: Final = On("numpy")
