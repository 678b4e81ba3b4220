"""The backend `"numpy"`: NumPy's arrays, on which everything runs by its own implementation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from pycograd.core.backend import Backend, Capabilities, Probe
from pycograd.core.primitive import REGISTRY


# -- sub-graphs, which come as functions of arrays that return lists -------------------------------
def _cond(choice: Any, *operands: Any, **graphs: Any) -> Any:
    return tuple(graphs["true" if choice else "false"](*operands))


def _checkpoint(*operands: Any, body: Any) -> Any:
    return tuple(body(*operands))


def _scan(
    *operands: Any, body: Any, parts: Any, length: int, reverse: bool, saved: Sequence[int]
) -> Any:
    closed, carried = parts
    fixed, carry = operands[:closed], list(operands[closed : closed + carried])
    rows = operands[closed + carried :]
    made, kept = [], [[carry[i] for i in saved]]
    for k in reversed(range(length)) if reverse else range(length):
        outs = body(*fixed, *carry, *[x[k] for x in rows])
        carry = outs[:carried]
        made.append(outs[carried:])
        kept.append([carry[i] for i in saved])
    order = slice(None, None, -1 if reverse else 1)
    return (*carry, *[np.stack(column) for part in (made, kept) for column in zip(*part[order])])


def _while_loop(*operands: Any, cond: Any, body: Any, parts: Any) -> Any:
    m, k = parts
    a, b, value = operands[:m], operands[m : m + k], operands[m + k :]
    while np.any(cond(*a, *value)[0]):
        value = tuple(body(*b, *value))
    return tuple(value)


_CONTROL: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "checkpoint": _checkpoint,
    "scan": _scan,
    "while_loop": _while_loop,
}


class _Implementations(Mapping[str, Callable[..., Any]]):
    """Primitive name -> its implementation, of all that are defined by now."""

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name in _CONTROL:
            return _CONTROL[name]
        if REGISTRY[name].special and name != "stop_gradient":
            raise KeyError(name)  # its implementation takes graphs
        return REGISTRY[name].impl

    def __iter__(self) -> Any:
        return (name for name in REGISTRY if self.get(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


_EIGENVALUES = "np.roots is real where all roots are, which no dtype known beforehand can be"


class NumpyBackend(Backend):
    """NumPy itself. `device("numpy")` is no device at all: plain arrays.

    Attributes:
        expected_failures: what the conformance kit finds, with the reason.
    """

    name = "numpy"
    expected_failures: ClassVar[Mapping[str, str]] = {
        f"{kind}:concatenate-roots": _EIGENVALUES for kind in ("forward", "jvp", "float32")
    }
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
        known: Any = REGISTRY.get(primitive.name)
        if known is primitive and not known.special:
            return known.impl  # type: ignore[no-any-return]
        return super().lowering(primitive, operands)

    def with_rule(
        self, forward: Callable[..., Any], backward: Callable[..., Any]
    ) -> Callable[..., Any]:
        return forward  # nothing differentiates the code but pycograd itself
