"""Abstract values: what is known of an array before it exists (shape, dtype, weak or not).

A Python scalar is *weak*: it adapts to the dtype of the array it meets, as in NumPy 2. Every shape
rule maps avals to avals.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from pycograd.core.dims import Dim
from pycograd.core.dtypes import dtype_name, resolve_dtype
from pycograd.core.errors import ShapeError

Shape = tuple[Any, ...]  # of int and Dim

FLOAT64 = np.dtype(np.float64)
FLOAT32 = np.dtype(np.float32)
_PYTHON_SCALARS: dict[type, np.dtype[Any]] = {
    float: FLOAT64,
    int: np.dtype(np.int64),
    complex: np.dtype(np.complex128),
    bool: np.dtype(np.bool_),
}


class ShapeDtypeStruct:
    """The shape and dtype of an array, without its data.

    Arguments:
        shape: sizes; an int, a symbolic `Dim`, or a string that names a symbol.
        dtype: anything `numpy.dtype` takes, or a name such as `"bf16"`. Default float64.
        weak: True for a Python scalar, which adapts to the dtype of the arrays it meets.

    Raises:
        TypeError: a size that is none of these.
        ShapeError: a negative size.

    >>> ShapeDtypeStruct((5, 3))
    f64[5,3]
    >>> ShapeDtypeStruct(("B", 3), "float32")
    f32[B,3]
    """

    __slots__ = ("shape", "dtype", "weak")

    def __init__(self, shape: Any, dtype: Any = FLOAT64, weak: bool = False) -> None:
        sizes = (shape,) if isinstance(shape, (int, str, Dim)) else shape
        self.shape: Shape = tuple(_size(size) for size in sizes)
        self.dtype: np.dtype[Any] = dtype if isinstance(dtype, np.dtype) else _as_dtype(dtype)
        self.weak = weak

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> Any:
        """The number of entries: an int, or a `Dim`."""
        total: Any = 1
        for size in self.shape:
            total = total * size
        return total

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an unsized value: its shape is ()")
        return int(self.shape[0])

    def __repr__(self) -> str:
        return f"{dtype_name(self.dtype)}[{','.join(map(str, self.shape))}]"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ShapeDtypeStruct):
            return NotImplemented
        return self.shape == other.shape and self.dtype == other.dtype

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))


def _size(size: Any) -> Any:
    if isinstance(size, Dim):
        return size
    if isinstance(size, str):
        return Dim.of(size)
    if (number := operator.index(size)) < 0:
        raise ShapeError(f"ShapeDtypeStruct: a size cannot be negative: {number}")
    return number


def _as_dtype(spec: Any) -> np.dtype[Any]:
    if isinstance(spec, str):
        try:
            return resolve_dtype(spec)
        except ValueError:
            pass  # not one of ours: NumPy's own names
    found: np.dtype[Any] = np.dtype(spec)
    return found


def aval_of(x: Any) -> ShapeDtypeStruct:
    """The aval of an array, a box, a Python scalar or an aval."""
    if type(x) is ShapeDtypeStruct:
        return x
    if (scalar := _PYTHON_SCALARS.get(type(x))) is not None:
        return make_aval((), scalar, weak=True)
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        return make_aval(x.shape, x.dtype, weak=bool(getattr(x, "weak", False)))
    array = np.asarray(x)
    return make_aval(array.shape, array.dtype)


def make_aval(shape: Shape, dtype: np.dtype[Any], weak: bool = False) -> ShapeDtypeStruct:
    """An aval from parts already known to be well formed (no checks; shape rules end here)."""
    aval = object.__new__(ShapeDtypeStruct)
    aval.shape, aval.dtype, aval.weak = tuple(shape), dtype, weak
    return aval


def shape_of(x: Any) -> Shape:
    """The shape of a value; `()` for a Python scalar."""
    try:
        return x.shape  # type: ignore[no-any-return]
    except AttributeError:
        shape: Shape = np.shape(x)
        return shape


def dtype_of(x: Any) -> np.dtype[Any]:
    """The dtype of a value; that of NumPy's default for a Python scalar."""
    try:
        return x.dtype  # type: ignore[no-any-return]
    except AttributeError:
        return aval_of(x).dtype


def is_inexact(dtype: np.dtype[Any]) -> bool:
    """True for the dtypes that have derivatives: every float and complex, bfloat16 included."""
    return dtype.kind in "fc" or (dtype.kind == "V" and dtype.name in _EXTENDED_FLOATS)


_EXTENDED_FLOATS = frozenset({"bfloat16"})


def promote(avals: Sequence[ShapeDtypeStruct]) -> np.dtype[Any]:
    """The dtype NumPy gives to these operands together, weak scalars adapting."""
    strong = [a.dtype for a in avals if not a.weak]
    weak = [_weak_one(a.dtype) for a in avals if a.weak]
    return np.result_type(*strong, *weak)


def promote_inexact(avals: Sequence[ShapeDtypeStruct]) -> np.dtype[Any]:
    """As `promote`; float64 where that has no derivatives."""
    dtype = promote(avals)
    return dtype if is_inexact(dtype) else FLOAT64


@lru_cache(maxsize=4096)
def _ufunc_dtype(ufunc: np.ufunc, key: tuple[Any, ...]) -> np.dtype[Any]:
    examples = [np.ones((), d) if not weak else _weak_one(d) for d, weak in key]
    with np.errstate(all="ignore"):
        result = ufunc(*examples)
    found: np.dtype[Any] = result.dtype if ufunc.nout == 1 else result[0].dtype
    return found


def _weak_one(dtype: np.dtype[Any]) -> Any:
    """A Python scalar of this kind; not 0, which some ufuncs may not be asked about."""
    return {"f": 1.0, "c": 1j, "b": True}.get(dtype.kind, 1)


def ufunc_dtype(ufunc: np.ufunc, avals: Sequence[ShapeDtypeStruct]) -> np.dtype[Any]:
    """The result dtype of `ufunc`, asked of NumPy itself on one-element operands and remembered."""
    return _ufunc_dtype(ufunc, tuple((a.dtype, a.weak) for a in avals))


def substitute_shape(shape: Shape, sizes: Mapping[str, int]) -> Shape:
    """`shape` with the named symbols replaced."""
    return tuple(d.subs(sizes) if isinstance(d, Dim) else d for d in shape)
