"""`DeviceArray`: an array of a foreign library that answers NumPy's protocols.

It is a box, the outermost of all: its trace runs each primitive by the backend's lowering of it. So
the tape, batching, tangents and capture work on it as on NumPy's arrays.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from pycograd.core import modes
from pycograd.core.aval import aval_of, is_inexact
from pycograd.core.backend import Backend
from pycograd.core.box import Box, dotted
from pycograd.core.buffers import Contents
from pycograd.core.errors import SymbolicSizeError, UnsupportedOperationError
from pycograd.core.ir import Graph
from pycograd.core.primitive import Primitive, Trace

_traces: dict[tuple[int, str], DeviceTrace] = {}
_current: ContextVar[Any] = ContextVar("device", default=None)


class DeviceTrace(Trace):
    """The arrays of one backend on one of its devices."""

    __slots__ = ("backend", "device", "moved", "functions")
    owns = True

    def __init__(self, backend: Backend, device: str) -> None:
        super().__init__(f"{backend.name}:{device}")
        self.level = -1  # outside of every transform
        self.backend, self.device = backend, device
        # id of a constant -> it, what was in it, its copy here
        self.moved: dict[int, tuple[Any, Contents, Any]] = {}
        self.functions: WeakKeyDictionary[Graph, Any] = WeakKeyDictionary()  # of sub-graphs

    def box(self, array: Any) -> DeviceArray:
        """A box for an array of the library."""
        box: DeviceArray = object.__new__(DeviceArray)
        box.value, box._trace = array, self
        return box

    def constant(self, value: Any) -> DeviceArray:
        """An array with the contents of a NumPy array."""
        return self.box(self.here(value))

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        elsewhere = [x for x in operands if type(x) is DeviceArray and x._trace is not self]
        if elsewhere:
            trace = _meeting_place(primitive, operands)
            if trace is not self:
                return trace.process(primitive, operands, params)
        lowering = self.backend.lowering(primitive, operands)
        wanted, results = loop_dtypes(primitive, operands, params)
        arrays = [self._operand(x, dtype) for x, dtype in zip(operands, wanted)]
        if primitive.special:
            params = {name: self._param(x) for name, x in params.items()}
        block = _current.set(None)  # a solver, say, may use transforms: on its own arrays
        try:
            out = lowering(*arrays, **params)
        finally:
            _current.reset(block)
        if primitive.multi:
            dtypes: Sequence[Any] = results if results else [None] * len(out)
            return tuple([self._result(x, d) for x, d in zip(out, dtypes)])
        return self._result(out, results[0] if results else None)

    def _param(self, x: Any) -> Any:
        """A parameter; a graph in it becomes a function of the library's arrays."""
        if not isinstance(x, Graph):
            return x
        if x not in self.functions:
            lowered = import_module("pycograd.graph.lowered").Lowered
            self.functions[x] = lowered(x, self.backend, self.device)
        return self.functions[x]

    def _operand(self, x: Any, dtype: Any) -> Any:
        if type(x) in _NUMBERS:
            return x
        array = self.here(x)
        if dtype is not None and self.backend.dtype_of(array) != dtype:
            array = self.backend.cast(array, dtype)
        return array

    def _result(self, array: Any, dtype: np.dtype[Any] | None) -> DeviceArray:
        if not self.backend.is_array(array):
            array = self.backend.from_numpy(np.asarray(array, dtype), self.device)
        elif dtype is not None and self.backend.dtype_of(array) != dtype:
            array = self.backend.cast(array, dtype)
        return self.box(array)

    def here(self, x: Any) -> Any:
        """`x` as an array of this backend, on this device."""
        if type(x) is DeviceArray:
            if x._trace is self:
                return x.value
            if x._trace.backend is self.backend:
                return self.backend.move(x.value, self.device)
            x = np.asarray(x)
        if type(x) is not np.ndarray:
            return self.argument(x)
        key = id(x)
        known = self.moved.get(key)
        if known is not None and known[0]() is x and known[1].still(x):
            return known[2]
        contents = Contents(x)  # first: a thread may write
        array = self.backend.from_numpy(x, self.device)
        self.moved[key] = weakref.ref(x, lambda _: self.moved.pop(key, None)), contents, array
        return array

    def argument(self, x: Any) -> Any:
        """`x` here, with the contents of this moment: arrays change between calls of a program."""
        if type(x) is DeviceArray:
            return self.here(x)
        return self.backend.from_numpy(np.asarray(x), self.device)

    def borrowed(self, x: Any) -> Any:
        """`x` for one call of compiled code, whose results are copied: it may share the memory."""
        return self.backend.borrowed(np.asarray(x), self.device)


_NUMBERS = frozenset({float, int, complex, bool})


def _meeting_place(primitive: Primitive, operands: Sequence[Any]) -> DeviceTrace:
    """Where an operation on arrays of several devices runs: at the largest of them.

    The entries that are gathered from a table move, not the table.
    """
    if primitive.name == "gather":
        operands = [x for x in operands[:1] if type(x) is DeviceArray] or operands
    arrays = [x for x in operands if type(x) is DeviceArray]
    return max(arrays, key=lambda x: int(np.prod(x.shape)))._trace  # type: ignore[no-any-return]


class DeviceArray(Box):
    """An array of a foreign library, the result of computing under `device(name)`.

    Attributes:
        native: the library's own array.
        device: the backend and device that it is on, `"torch:cpu"`.

    `np.asarray(x)`, `float(x)` and their like bring it home.
    """

    __slots__ = ()
    bottom = True
    plain = "np.asarray(x)"

    @property
    def native(self) -> Any:
        """The library's own array."""
        return self.value

    @property
    def device(self) -> str:
        """Where it is: `backend:device`."""
        return self._trace.name  # type: ignore[no-any-return]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._trace.backend.shape_of(self.value)  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._trace.backend.dtype_of(self.value)  # type: ignore[no-any-return]

    @property
    def weak(self) -> bool:
        return False

    def rebind(self, new: Box) -> None:
        self.value, self._trace = new.value, new._trace

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        home = self._trace.backend.to_numpy(self.value)
        return home if dtype is None else home.astype(dtype)

    def __bool__(self) -> bool:
        return bool(np.asarray(self))

    def __float__(self) -> Any:
        return float(np.asarray(self))

    def __int__(self) -> Any:
        return int(np.asarray(self))

    def __complex__(self) -> Any:
        return complex(np.asarray(self))

    def __index__(self) -> Any:
        return np.asarray(self).__index__()

    def item(self, *place: Any) -> Any:
        """An entry as a Python number."""
        return np.asarray(self).item(*place)

    def tolist(self) -> Any:
        """Python numbers in lists."""
        return np.asarray(self).tolist()

    def _unsupported(self, function: Any) -> UnsupportedOperationError:
        return UnsupportedOperationError(
            f"{dotted(function)} of {self._kind()}: it runs on NumPy's arrays alone. Write"
            " np.asarray(x)"
        )

    def _instead_of_torch(self) -> str:
        return "a DeviceArray. Write NumPy's function, or give it x.native, the library's own array"

    def _kind(self) -> str:
        return f"an array on {self.device}, {self._text()}"

    def _unknown(self, name: str) -> str:
        said = super()._unknown(name)
        if not hasattr(self.value, name):
            return said
        return f"{said}; write x.native.{name} for that of the library's own array"

    def __repr__(self) -> str:
        return f"DeviceArray({np.asarray(self)!r}, device={self.device!r})"

    def __str__(self) -> str:
        return str(np.asarray(self))

    def __format__(self, spec: str) -> str:
        return format(np.asarray(self)[()], spec)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(
            f"an array on {self.device} cannot be pickled: bring it home with np.asarray(x)"
        )


# -- the dtypes in which NumPy computes ------------------------------------------------------------
def loop_dtypes(
    primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]
) -> tuple[Sequence[Any], Sequence[np.dtype[Any]]]:
    """The dtypes to which NumPy would convert each operand (None: as it is), and of the results.

    Of results whose sizes depend on the data nothing is known before they are there.
    """
    avals = [aval_of(x) for x in operands]
    ufunc = getattr(primitive, "ufunc", None) or primitive.impl
    if isinstance(ufunc, np.ufunc) and ufunc.nin == len(avals) and not params:
        return _of_ufunc(
            ufunc, tuple([_WEAK.get(a.dtype.kind) if a.weak else a.dtype for a in avals])
        )
    try:
        outs = primitive.shape(avals, params)
    except SymbolicSizeError:
        return [None] * len(avals), ()
    results = [a.dtype for a in (outs if primitive.multi else (outs,))]
    if primitive.multi or not is_inexact(results[0]):
        return [None] * len(avals), results
    if results[0].kind == "c" and all(a.dtype.kind != "c" for a in avals):
        return [None] * len(avals), results  # complex parts are made here, not met
    wider = [
        results[0]
        if a.dtype != results[0]
        and is_inexact(a.dtype)
        and (a.weak or np.can_cast(a.dtype, results[0]))
        else None
        for a in avals
    ]
    return wider, results


_WEAK: dict[str, Any] = {"f": float, "i": int, "c": complex, "b": np.dtype(bool)}


@lru_cache(maxsize=4096)
def _of_ufunc(ufunc: np.ufunc, kinds: tuple[Any, ...]) -> tuple[Sequence[Any], Sequence[Any]]:
    found = ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))
    return found[: ufunc.nin], found[ufunc.nin :]


# -- which device new arrays and inputs go to ------------------------------------------------------
def trace_of(backend: Backend, device: str | None = None) -> DeviceTrace:
    """The one trace of a backend and device."""
    device = device or backend.devices()[0]
    key = id(backend), device
    if key not in _traces:
        _traces[key] = DeviceTrace(backend, device)
    return _traces[key]


@contextmanager
def on(trace: DeviceTrace | None) -> Iterator[None]:
    """Inputs of transforms go to this device inside the block."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


def placed(leaves: Sequence[Any]) -> list[Any]:
    """The inputs of a transform, NumPy's arrays among them moved to the device of the block."""
    trace = _current.get()
    if trace is None:
        return list(leaves)
    return [
        trace.constant(x)
        if type(x) is np.ndarray or (isinstance(x, np.generic) and not isinstance(x, Box))
        else x
        for x in leaves
    ]


def at_home(ct: Any, leaf: Any) -> Any:
    """A cotangent on the device of its leaf; a box of an outer transform holds what is there."""
    if type(ct) is DeviceArray and not isinstance(leaf, Box):
        return np.asarray(ct)
    if type(leaf) is not DeviceArray or (isinstance(ct, Box) and type(ct) is not DeviceArray):
        return ct
    at_leaf = type(ct) is DeviceArray and ct._trace is leaf._trace
    return ct if at_leaf else leaf._trace.constant(ct)


modes.placing, modes.homing = placed, at_home
