"""A backend with no library behind it: NumPy behind a foreign array type that refuses to mix.

Every primitive runs by its own implementation, so what fails here is the machinery's fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np

from pycograd.core.backend import Backend, Capabilities, Probe
from pycograd.core.primitive import REGISTRY


class LoopbackArray:
    """An array of a library of its own: it has a shape and a dtype, and nothing of NumPy's."""

    __slots__ = ("data",)
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: Any) -> None:
        self.data = data

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of its axes."""
        return self.data.shape  # type: ignore[no-any-return]

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("an array of the loopback library does not mix with NumPy's")

    __array__ = __array_function__ = __bool__ = __float__ = __int__ = __index__ = _refuse
    __len__ = __iter__ = __getitem__ = __complex__ = __eq__ = __ne__ = _refuse
    __add__ = __radd__ = __mul__ = __rmul__ = __sub__ = __rsub__ = __matmul__ = _refuse

    def __repr__(self) -> str:
        return f"LoopbackArray({self.data!r})"


def _data(x: Any) -> Any:
    if isinstance(x, (np.ndarray, np.generic)):
        raise TypeError("a NumPy array reached a lowering of the loopback backend")
    return x.data if type(x) is LoopbackArray else x


def _array(x: Any) -> LoopbackArray:
    return LoopbackArray(np.asarray(x))


def _by_implementation(primitive: Any) -> Callable[..., Any]:
    def run(*operands: Any, **params: Any) -> Any:
        out = primitive.impl(*[_data(x) for x in operands], **params)
        return tuple(map(_array, out)) if primitive.multi else _array(out)

    return run


# -- sub-graphs, which come as functions of its arrays ---------------------------------------------
def _cond(choice: Any, *operands: Any, **graphs: Any) -> Any:
    return tuple(graphs["true" if _data(choice) else "false"](*operands))


def _checkpoint(*operands: Any, body: Any) -> Any:
    return tuple(body(*operands))


def _scan(
    *operands: Any, body: Any, parts: Any, length: int, reverse: bool, saved: Sequence[int]
) -> Any:
    closed, carried = parts
    fixed, carry = operands[:closed], list(operands[closed : closed + carried])
    rows = operands[closed + carried :]
    made: list[list[Any]] = []
    kept = [[carry[i] for i in saved]]
    for k in reversed(range(length)) if reverse else range(length):
        outs = body(*fixed, *carry, *[_array(_data(x)[k]) for x in rows])
        carry = [_array(_data(x)) for x in outs[:carried]]
        made.append(outs[carried:])
        kept.append([carry[i] for i in saved])
    order = slice(None, None, -1 if reverse else 1)
    columns = [*zip(*made[order]), *zip(*kept[order])]
    return (*carry, *[_array(np.stack([np.asarray(_data(x)) for x in c])) for c in columns])


def _while_loop(*operands: Any, cond: Any, body: Any, parts: Any) -> Any:
    m, k = parts
    a, b, value = operands[:m], operands[m : m + k], operands[m + k :]
    while np.any(_data(cond(*a, *value)[0])):
        value = tuple(body(*b, *value))
    return tuple(value)


_CONTROL: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "checkpoint": _checkpoint,
    "scan": _scan,
    "while_loop": _while_loop,
}


class _Table(Mapping[str, Callable[..., Any]]):
    """Primitive name -> its implementation behind the foreign type."""

    def __init__(self) -> None:
        self.known: dict[str, Callable[..., Any]] = dict(_CONTROL)

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self.known:
            primitive = REGISTRY[name]
            if primitive.special and name != "stop_gradient":
                raise KeyError(name)
            self.known[name] = _by_implementation(primitive)
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in REGISTRY if self.get(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return self.get(name) is not None  # type: ignore[call-overload]


# What SciPy's own solvers run on NumPy's arrays.
_SOLVERS = (
    *("tape:ode-*", "jvp:ode-*", "second:ode-*", "vmap_grad:ode-*"),
    *("tape:integral-1", "jvp:integral-1", "second:integral-1", "vmap_grad:integral-1"),
)


class LoopbackBackend(Backend):
    """NumPy behind a foreign type; what the kit itself is tested with."""

    name: ClassVar[str] = "loopback"
    capabilities = Capabilities(
        dtypes=frozenset(
            {
                *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"),
                *("uint64", "float16", "float32", "float64", "complex64", "complex128"),
            }
        ),
        compiled=True,
    )
    expected_failures: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("forward:concatenate-roots", "jvp:concatenate-roots", "float32:concatenate-roots"),
            "the dtype of the roots depends on their values",
        ),
        **dict.fromkeys(_SOLVERS, "SciPy calls a function that closes over an array elsewhere"),
    }
    _table = _Table()

    def probe(self) -> Probe:
        return Probe(True, framework_version=np.__version__, devices=("cpu",))

    def devices(self) -> Sequence[str]:
        return ("cpu",)

    def from_numpy(self, array: Any, device: str | None = None) -> Any:
        array = np.array(array)
        if array.dtype.name not in self.capabilities.dtypes:
            self.refuse_dtype(array.dtype, "convert it with .astype first")
        return LoopbackArray(array)

    def to_numpy(self, array: Any) -> Any:
        return np.array(array.data)

    def is_array(self, x: Any) -> bool:
        return type(x) is LoopbackArray

    def dtype_of(self, array: Any) -> np.dtype[Any]:
        dtype: np.dtype[Any] = array.data.dtype
        return dtype

    def cast(self, array: Any, dtype: np.dtype[Any]) -> Any:
        return _array(array.data.astype(dtype))

    @property
    def lowerings(self) -> Mapping[str, Callable[..., Any]]:
        return self._table

    def with_rule(
        self, forward: Callable[..., Any], backward: Callable[..., Any]
    ) -> Callable[..., Any]:
        return forward  # there is no autodiff that would ask for the rule
