"""The backend `"numpy"`: NumPy's arrays, on which everything runs by its own implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pycograd.core.backend import Backend, Capabilities, Probe
from pycograd.core.primitive import REGISTRY


class _Implementations(Mapping[str, Callable[..., Any]]):
    """Primitive name -> its implementation, of all that are defined by now."""

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return REGISTRY[name].impl

    def __iter__(self) -> Any:
        return iter(REGISTRY)

    def __len__(self) -> int:
        return len(REGISTRY)


class NumpyBackend(Backend):
    """NumPy itself. `device("numpy")` is no device at all: plain arrays."""

    name = "numpy"
    capabilities = Capabilities(
        dtypes=frozenset(
            {
                *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
                *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
            }
        ),
        compiled=True,
    )

    def probe(self) -> Probe:
        return Probe(True, framework_version=np.__version__, devices=("cpu",))

    def devices(self) -> Sequence[str]:
        return ("cpu",)

    def from_numpy(self, array: Any, device: str | None = None) -> Any:
        return np.asarray(array)

    def to_numpy(self, array: Any) -> Any:
        return np.asarray(array)

    def is_array(self, x: Any) -> bool:
        return isinstance(x, (np.ndarray, np.generic))

    def dtype_of(self, array: Any) -> np.dtype[Any]:
        return array.dtype  # type: ignore[no-any-return]

    def cast(self, array: Any, dtype: np.dtype[Any]) -> Any:
        return np.asarray(array).astype(dtype)

    @property
    def lowerings(self) -> Mapping[str, Callable[..., Any]]:
        return _Implementations()

    def lowering(self, primitive: Any, operands: Sequence[Any] = ()) -> Callable[..., Any]:
        return primitive.impl  # type: ignore[no-any-return]

    def with_rule(
        self, forward: Callable[..., Any], backward: Callable[..., Any]
    ) -> Callable[..., Any]:
        return forward  # nothing differentiates the code but pycograd itself
