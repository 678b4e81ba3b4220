"""Methods and attributes of arrays on boxes, in one table: each is the NumPy function of its name.

What has no meaning for a differentiated value (its memory, its bytes) says what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from pycograd.core.box import INSTEAD, Box, raw
from pycograd.core.errors import UnsupportedOperationError
from pycograd.core.spelling import FUNCTIONS, UFUNCS
from pycograd.core.views import links_of
from pycograd.ops.astype import astype, copied, duplicate
from pycograd.ops.operators import update
from pycograd.ops.shape import ravel, reshape, transpose


# -- shapes and dtypes ---------------------------------------------------------------------------
def _reshape(self: Box, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    return reshape(self, shape[0] if len(shape) == 1 else shape, order, copy=copy)


def _transpose(self: Box, *axes: Any) -> Any:
    if not axes:
        return transpose(self)
    return transpose(self, axes[0] if len(axes) == 1 else axes)


def _astype(
    self: Box,
    dtype: Any,
    order: str = "K",
    casting: Any = "unsafe",
    subok: bool = True,
    copy: bool = True,
) -> Any:
    if casting != "unsafe" and not np.can_cast(self.dtype, dtype, casting):
        raise TypeError(
            f"astype: cannot cast from {self.dtype!r} to {np.dtype(dtype)!r} according to the rule"
            f" {casting!r}"
        )
    return astype(self, dtype, copy=copy)


def _copy(self: Box, order: str = "C") -> Any:
    return copied(self, order)


def _flatten(self: Box, order: str = "C") -> Any:
    return duplicate(ravel(self, order))


def _set_shape(self: Box, shape: Any) -> None:
    links = links_of(self)
    if links.origin is not None or any(view() is not None for view in links.views):
        raise UnsupportedOperationError(
            "x.shape = ... of a value that is a view or has views; write y = np.reshape(x, ...)"
        )
    self.rebind(reshape(self, shape))


# -- entries -------------------------------------------------------------------------------------
def _item(self: Any, *place: Any) -> Any:
    if not place:
        if self.size != 1:
            raise ValueError(f"item: only a value of size 1 is one number, not {self.shape}")
        return self[(0,) * len(self.shape)]
    if len(place) == 1 and isinstance(place[0], tuple):
        place = place[0]
    return self.flat[place[0]] if len(place) == 1 else self[place]


def _tolist(self: Any) -> Any:
    return [row.tolist() for row in self] if self.shape else self[()]


class Flat:
    """`x.flat`: the entries of a box in C order, to iterate over, to read and to write."""

    __slots__ = ("base",)

    def __init__(self, base: Any) -> None:
        self.base = base

    def __len__(self) -> int:
        return int(self.base.size)

    def __iter__(self) -> Iterator[Any]:
        return iter(ravel(self.base))

    def __getitem__(self, place: Any) -> Any:
        return self.base[self._places(place)]

    def __setitem__(self, place: Any, new: Any) -> None:
        places = self._places(place)
        count = np.size(places[0]) if places else 1
        if np.ndim(new) or isinstance(new, (list, tuple)):  # repeated as often as needed
            new = np.resize(new, np.shape(places[0]) if places else ())
        if count:
            self.base[places] = new

    def _places(self, place: Any) -> tuple[Any, ...]:
        """The coordinates of the entries at `place` of the flat order."""
        shape = self.base.shape
        return np.unravel_index(np.arange(self.base.size)[place], shape) if shape else ()

    def copy(self) -> Any:
        """The entries along one axis."""
        return _flatten(self.base)

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        self.base.__array__()
        raise AssertionError  # a box never becomes a plain array


def _set_flat(self: Box, new: Any) -> None:
    Flat(self)[...] = new


def _set_real(self: Box, new: Any) -> None:
    np.real(self)[...] = new


def _set_imag(self: Box, new: Any) -> None:
    if self.dtype.kind != "c":
        raise TypeError("a real value has no imaginary part to set")
    np.imag(self)[...] = new


def _conj(self: Box) -> Any:
    """Unlike np.conj, of a real value that value itself."""
    return UFUNCS[np.conjugate](self) if self.dtype.kind == "c" else self


# -- in place ------------------------------------------------------------------------------------
def _fill(self: Any, value: Any) -> None:
    self[...] = value


def _sort(
    self: Any, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> None:
    update(self, np.sort(self, axis, kind, order, stable=stable))


def _partition(
    self: Any, kth: Any, axis: int = -1, kind: Any = "introselect", order: Any = None
) -> None:
    update(self, np.partition(self, kth, axis, kind, order))


def _round(self: Box, digits: int | None = None) -> Any:
    if digits is None:  # an int, for Python
        self._refuse("int", "np.round(x)")
    return np.round(self, digits)


# -- the rest ------------------------------------------------------------------------------------
def _clip(self: Box, min: Any = None, max: Any = None, out: Any = None, **kwargs: Any) -> Any:
    return np.clip(self, min, max, out, **kwargs)


def _compress(self: Box, condition: Any, axis: Any = None, out: Any = None) -> Any:
    return np.compress(condition, self, axis, out)


class Flags:
    """What is known of the memory of a box's value; it cannot be changed."""

    __slots__ = ("_flags",)

    def __init__(self, flags: Any) -> None:
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        return getattr(self._flags, name)

    def __getitem__(self, name: str) -> Any:
        return self._flags[name]


def _flags(self: Box) -> Flags:
    bottom = raw(self)
    if isinstance(bottom, Box):  # of a foreign library, whose memory has none of NumPy's flags
        raise AttributeError("flags")  # Box says what to write
    if not isinstance(bottom, (np.ndarray, np.generic)):
        raise UnsupportedOperationError("flags: a value of which only the shape is known has none")
    return Flags(bottom.flags)


def _namespace(self: Box, *, api_version: Any = None) -> Any:
    return np


_ATTRIBUTES: dict[str, tuple[Any, ...]] = {  # how it is read, and how it is set
    "ndim": (lambda self: len(self.shape),),
    "size": (FUNCTIONS[np.size],),
    "itemsize": (lambda self: self.dtype.itemsize,),
    "nbytes": (lambda self: self.size * self.dtype.itemsize,),
    "device": (lambda self: "cpu",),
    "flags": (_flags,),
    "flat": (Flat, _set_flat),
    "T": (transpose,),
    "mT": (FUNCTIONS[np.matrix_transpose],),
    "real": (FUNCTIONS[np.real], _set_real),
    "imag": (FUNCTIONS[np.imag], _set_imag),
}
_METHODS = {
    "reshape": _reshape,
    "transpose": _transpose,
    "astype": _astype,
    "copy": _copy,
    "flatten": _flatten,
    "item": _item,
    "tolist": _tolist,
    "set_shape": _set_shape,
    "fill": _fill,
    "sort": _sort,
    "partition": _partition,
    "clip": _clip,
    "compress": _compress,
    "__round__": _round,
    "conj": _conj,
    "conjugate": _conj,
    "to_device": lambda self, device, /, *, stream=None: self,
    "__copy__": copied,
    "__deepcopy__": lambda self, memo: copied(self),
    "__array_namespace__": _namespace,
}
# The methods that take what the function of the same name takes after its first argument.
_NAMED_ALIKE = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "cumprod", "cumsum",
    "diagonal", "dot", "max", "mean", "min", "nonzero", "prod", "put", "ravel", "repeat", "round",
    "searchsorted", "squeeze", "std", "sum", "swapaxes", "take", "trace", "var",
)  # fmt: skip
# The attributes that boxes do not have, and what to write instead.
_MEMORY = (
    "base", "byteswap", "ctypes", "data", "dump", "dumps", "getfield", "setfield", "setflags",
    "newbyteorder", "strides", "tobytes", "tofile", "tostring", "__dlpack__", "__dlpack_device__",
)  # fmt: skip
_INSTEAD = {
    **{name: f"{{plain}}.{name} if the plain array is meant" for name in ("flags", *_MEMORY)},
    "view": "x.astype(dtype), or np.reshape(x, shape)",
    "resize": "np.resize(x, shape) or np.pad(x, widths)",
    # of NumPy before 2.0, and the stubs that 2.0 to 2.3 left of them
    "itemset": "x[place] = value",
    "ptp": "np.ptp(x)",
}


def _deferred(function: Any) -> Any:
    """A method by way of NumPy's function, where ours is not defined yet."""
    return lambda self, *args, **kwargs: function(self, *args, **kwargs)


def install() -> None:
    """Gives `Box` its methods and attributes; called once, when every function is defined."""
    box: Any = Box
    box.shape = box.shape.setter(_set_shape)
    for name, accessors in _ATTRIBUTES.items():
        setattr(Box, name, property(*accessors))
    for name, method in _METHODS.items():
        setattr(Box, name, method)
    for name in _NAMED_ALIKE:
        function = getattr(np, name)
        setattr(Box, name, FUNCTIONS.get(function) or _deferred(function))
    INSTEAD.update(_INSTEAD)
