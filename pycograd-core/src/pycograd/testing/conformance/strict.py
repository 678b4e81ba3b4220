"""array-api-strict as a backend: only what the array API standard has, on devices that do not mix.

It needs the package array-api-strict, which pretends to have three devices; what is not in the
standard has no lowering. So placement is tested where there is no other device than the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from pycograd.core.backend import Backend, Capabilities, Probe
from pycograd.core.errors import LoweringNotFoundError, UnsupportedDtypeError

_DEVICES = ("CPU_DEVICE", "device1", "device2")

# The same name in NumPy and in the standard, entry by entry.
_SAME = (
    *("add", "subtract", "multiply", "divide", "negative", "positive", "square", "sqrt"),
    *("exp", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "sin", "cos", "tan"),
    *("sinh", "cosh", "tanh", "maximum", "minimum", "hypot", "copysign", "reciprocal"),
    *("sign", "floor", "ceil", "trunc", "equal", "not_equal", "less", "less_equal", "greater"),
    *("greater_equal", "logical_and", "logical_or", "logical_not", "logical_xor"),
    *("bitwise_and", "bitwise_or", "bitwise_xor", "isnan", "isinf", "isfinite"),
)
_OTHER = {
    "absolute": "abs",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "power": "pow",
    "rint": "round",
}
_REDUCTIONS = ("sum", "prod", "max", "min", "any", "all")


class StrictBackend(Backend):
    """The arrays of array-api-strict."""

    name: ClassVar[str] = "array-api-strict"
    capabilities = Capabilities(
        dtypes=frozenset(
            {
                *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"),
                *("uint64", "float32", "float64", "complex64", "complex128"),
            }
        ),
        compiled=True,
        placement=True,
    )

    @cached_property
    def xp(self) -> Any:
        """The library."""
        return import_module("array_api_strict")

    def probe(self) -> Probe:
        if find_spec("array_api_strict") is None:
            return Probe(False, "it is not installed", "pip install array-api-strict")
        return Probe(True, framework_version=self.xp.__version__, devices=_DEVICES)

    def devices(self) -> Sequence[str]:
        return _DEVICES

    # -- arrays ----------------------------------------------------------------------------------
    def from_numpy(self, array: Any, device: str | None = None) -> Any:
        array = np.array(array)
        if array.dtype.name not in self.capabilities.dtypes:
            self.refuse_dtype(array.dtype, "convert it with .astype first")
        return self.xp.asarray(array, device=self.xp.Device(device or _DEVICES[0]))

    def to_numpy(self, array: Any) -> Any:
        return np.array(array._array)

    def is_array(self, x: Any) -> bool:
        return isinstance(x, type(self._one))

    @cached_property
    def _one(self) -> Any:
        return self.xp.asarray(1.0)

    def dtype_of(self, array: Any) -> np.dtype[Any]:
        dtype: np.dtype[Any] = array._array.dtype
        return dtype

    def device_of(self, array: Any) -> str:
        name: str = array.device._device
        return name

    def place_of(self, arrays: Sequence[Any]) -> str | None:
        return self.device_of(arrays[0]) if arrays else None

    def cast(self, array: Any, dtype: np.dtype[Any]) -> Any:
        if array._array.dtype.kind == "c" and np.dtype(dtype).kind not in "c":
            array = self.xp.real(array)
        if np.dtype(dtype).name not in self.capabilities.dtypes:
            self.refuse_dtype(np.dtype(dtype), "use float64")
        return self.xp.astype(array, getattr(self.xp, np.dtype(dtype).name))

    def move(self, array: Any, device: str) -> Any:
        return array.to_device(self.xp.Device(device))

    # -- operations ------------------------------------------------------------------------------
    @cached_property
    def lowerings(self) -> Mapping[str, Callable[..., Any]]:
        return {name: _refusing(f) for name, f in self._spelt().items()}

    def _spelt(self) -> dict[str, Callable[..., Any]]:
        xp = self.xp
        return {
            **{name: self._entrywise(getattr(xp, name)) for name in _SAME},
            **{name: self._entrywise(getattr(xp, other)) for name, other in _OTHER.items()},
            **{name: _reduction(getattr(xp, name)) for name in _REDUCTIONS},
            "where": self._where,
            "astype": lambda x, dtype: self.cast(x, dtype),
            "copy": lambda x, order: xp.asarray(x, copy=True),
            "conjugate": self._entrywise(xp.conj),
            "real": lambda x: xp.real(x) if x._array.dtype.kind == "c" else x,
            "imag": lambda x: xp.imag(x) if x._array.dtype.kind == "c" else xp.zeros_like(x),
            "reshape": lambda x, shape: xp.reshape(x, shape),
            "transpose": lambda x, axes: xp.permute_dims(x, axes),
            "broadcast_to": lambda x, shape: xp.broadcast_to(x, shape),
            "expand_dims": self._expand_dims,
            "squeeze": lambda x, axis: xp.squeeze(x, axis),
            "concatenate": lambda *xs, axis: xp.concat(self._alike(xs), axis=axis),
            "stack": lambda *xs, axis: xp.stack(self._alike(xs), axis=axis),
            "matmul": xp.matmul,
            "index": self._index,
            "gather": self._gather,
            "scatter": self._scatter,
            "stop_gradient": lambda x: x,
        }

    def _entrywise(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """`f` of arrays, and of numbers as arrays of the dtype and device of the others."""

        def run(*operands: Any) -> Any:
            like = next(x for x in operands if self.is_array(x))
            return f(*[x if self.is_array(x) else self._number(x, like) for x in operands])

        return run

    def _alike(self, xs: Sequence[Any]) -> list[Any]:
        """Arrays and numbers as arrays of one dtype, which the standard asks for."""
        like = next(x for x in xs if self.is_array(x))
        arrays = [x if self.is_array(x) else self._number(x, like) for x in xs]
        dtype = np.result_type(*[x._array.dtype for x in arrays])
        return [self.cast(x, dtype) for x in arrays]

    def _number(self, x: Any, like: Any) -> Any:
        known = like._array.dtype
        dtype = np.result_type(known, x)
        return self.from_numpy(np.asarray(x, dtype), self.device_of(like))

    def _where(self, condition: Any, x: Any, y: Any) -> Any:
        like = next((v for v in (x, y) if self.is_array(v)), None)
        if not self.is_array(condition):
            condition = self.from_numpy(np.asarray(condition, bool), self.device_of(like))
        if like is None:
            dtype = np.result_type(type(x), type(y))
            x = self.from_numpy(np.asarray(x, dtype), self.device_of(condition))
            like = x
        x, y = [v if self.is_array(v) else self._number(v, like) for v in (x, y)]
        return self.xp.where(condition, x, y)

    def _expand_dims(self, x: Any, axis: tuple[int, ...]) -> Any:
        for at in sorted(axis):
            x = self.xp.expand_dims(x, axis=at)
        return x

    def _index(self, x: Any, key: Any, fresh: bool = False) -> Any:
        key = key if isinstance(key, tuple) else (key,)
        if Ellipsis not in key:
            key = (*key, Ellipsis)  # the standard wants every axis to be named
        return x[key]

    def _gather(self, x: Any, *arrays: Any, key: Any, unique: bool = False) -> Any:
        self._only_rows(key, "gather")
        (rows,) = arrays
        rows = self._wrapped(rows, x.shape[0])
        if rows.ndim == 1:
            return self.xp.take(x, rows, axis=0)
        taken = self.xp.take(x, self.xp.reshape(rows, (-1,)), axis=0)
        return self.xp.reshape(taken, (*rows.shape, *x.shape[1:]))

    def _scatter(self, x: Any, *arrays: Any, key: Any, shape: Any, unique: bool = False) -> Any:
        """The transpose of `gather` as a product with a matrix of zeros and ones."""
        self._only_rows(key, "scatter")
        xp = self.xp
        (rows,) = arrays
        rows = xp.reshape(self._wrapped(rows, shape[0]), (-1,))
        inner = tuple(shape[1:])
        x = xp.broadcast_to(x, (*arrays[0].shape, *inner))
        places = xp.arange(shape[0], dtype=rows.dtype, device=rows.device)
        ones = xp.astype(places[:, None] == rows[None, :], x.dtype)
        flat = xp.reshape(x, (rows.shape[0], -1 if x.size else int(np.prod(inner))))
        return xp.reshape(xp.matmul(ones, flat), tuple(shape))

    def _wrapped(self, rows: Any, size: int) -> Any:
        zero = self._number(0, rows)
        return self.xp.where(rows < zero, rows + self._number(size, rows), rows)

    def _only_rows(self, key: Any, name: str) -> None:
        if key[:1] != ("array",) or any(k != slice(None) and k is not Ellipsis for k in key[1:]):
            raise LoweringNotFoundError(
                f"primitive {name!r} has no lowering for backend {self.name!r} but for whole rows"
            )


def _refusing(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, what the standard does not have of some dtypes refused as such."""

    def run(*operands: Any, **params: Any) -> Any:
        try:
            return f(*operands, **params)
        except TypeError as error:
            if not str(error).startswith("Only "):
                raise
            raise UnsupportedDtypeError(f"array-api-strict: {error}") from error

    return run


def _reduction(f: Callable[..., Any]) -> Callable[..., Any]:
    def run(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        return f(x, axis=axis, keepdims=keepdims) if axis else x

    return run
