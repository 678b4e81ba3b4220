"""What a foreign array library says of itself: the interface between pycograd and a plugin."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, ClassVar, Final, NoReturn

import numpy as np

from pycograd.core import extend
from pycograd.core.aval import aval_of
from pycograd.core.errors import LoweringNotFoundError, UnsupportedDtypeError

API_VERSION: Final = (1, 0)  # of the interface that plugins are written for


@dataclass(frozen=True)
class Probe:
    """Whether a backend can run here.

    Attributes:
        ok: True if it can.
        reason: why not, in the library's own words.
        fix: what to do about it.
        framework_version: of the library, if it is there.
        devices: the names that may follow the colon of `"torch:cuda:0"`; the first is the default.
    """

    ok: bool
    reason: str = ""
    fix: str = ""
    framework_version: str = ""
    devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Capabilities:
    """What a backend claims; the conformance kit verifies it.

    Attributes:
        dtypes: the NumPy names of the dtypes that its arrays have.
        eager: the tape runs on its arrays (`device(name)`).
        compiled: it compiles graphs (`compile_to`, `jit(backend=name)`).
        native: it has an autodiff of its own (`value_and_grad(f, backend=name)`).
        placement: its arrays may be on more than one device.
    """

    dtypes: frozenset[str] = frozenset({"bool", "int32", "int64", "float32", "float64"})
    eager: bool = True
    compiled: bool = False
    native: bool = False
    placement: bool = False


class Backend:
    """A foreign array library. A plugin subclasses this and names the class in its entry point.

    The library is imported by the methods that need it, never by the module of the class.

    Attributes:
        name: what users write, `device("torch")`.
        api: the version of this interface that the plugin was written for.
        lowerings: primitive name -> the library's spelling, `f(*operands, **params)` on its arrays
            and on Python numbers. Operands come in the dtypes in which NumPy would compute; axes
            are tuples of non-negative ints.
        capabilities: what it claims.
        added: lowerings that active plugins add, the backend's own apart.
    """

    name: ClassVar[str]
    api: ClassVar[tuple[int, int]] = (1, 0)
    capabilities: ClassVar[Capabilities] = Capabilities()
    added: Mapping[str, Callable[..., Any]] = MappingProxyType({})

    @property
    def own_rules(self) -> frozenset[str]:
        """The primitives whose derivative is to be pycograd's under the library's own autodiff.

        Those of which the library has none, or another one where conventions differ: at kinks, at
        ties, of one triangle of a matrix. A plain class attribute does as well.
        """
        return frozenset()

    # -- the library -----------------------------------------------------------------------------
    def probe(self) -> Probe:
        """Whether it can run here; the only method that may touch hardware before a use."""
        raise self._undefined("probe")

    def devices(self) -> Sequence[str]:
        """The names of its devices; the first is the default."""
        return self.probe().devices or ("cpu",)

    # -- arrays ----------------------------------------------------------------------------------
    def from_numpy(self, array: Any, device: str | None = None) -> Any:
        """An array of the library with the contents of a NumPy array, on a device."""
        raise self._undefined("from_numpy")

    def borrowed(self, array: Any, device: str | None = None) -> Any:
        """What stands for a NumPy array in one call of `compile`d code or of `grad_and_value`.

        Nobody writes to the array before the results are there, and they are copied: it may share
        the memory.
        """
        return self.from_numpy(array, device)

    def to_numpy(self, array: Any) -> Any:
        """A NumPy array with the contents of one of the library's."""
        raise self._undefined("to_numpy")

    def is_array(self, x: Any) -> bool:
        """True for an array of the library."""
        raise self._undefined("is_array")

    def shape_of(self, array: Any) -> tuple[int, ...]:
        """The sizes of its axes."""
        return tuple(array.shape)

    def dtype_of(self, array: Any) -> np.dtype[Any]:
        """Its dtype, as NumPy's."""
        raise self._undefined("dtype_of")

    def device_of(self, array: Any) -> str:
        """The name of the device it is on."""
        return self.devices()[0]

    def place_of(self, arrays: Sequence[Any]) -> str | None:
        """The device on which a program for these arrays has its constants.

        None where the library itself takes what has no place of its own to its other arrays.
        """
        return None

    def cast(self, array: Any, dtype: np.dtype[Any]) -> Any:
        """The array in another dtype."""
        raise self._undefined("cast")

    def move(self, array: Any, device: str) -> Any:
        """The array on another device of the library."""
        return array

    # -- operations ------------------------------------------------------------------------------
    @property
    def lowerings(self) -> Mapping[str, Callable[..., Any]]:
        """Primitive name -> the library's spelling."""
        raise self._undefined("lowerings")

    def lowering(self, primitive: Any, operands: Sequence[Any] = ()) -> Callable[..., Any]:
        """The library's spelling of a primitive, the backend's own or one that a plugin adds.

        What is composed of other primitives is spelled by these where there is neither.

        Arguments:
            primitive: what to run.
            operands: what it will run on, or their avals; plugins may look at them.

        Raises:
            LoweringNotFoundError: there is none.
        """
        found = self.added.get(primitive.name) or self.lowerings.get(primitive.name)
        if found is None and extend.lower_missing is not None:
            found = extend.lower_missing(primitive, self, [aval_of(x) for x in operands])
        if found is None and primitive.composed:
            found = import_module("pycograd.core.composed").of_its_parts(primitive, self)
        if found is None:
            raise LoweringNotFoundError(self.missing(primitive), see=self.see(primitive))
        return found

    @property
    def refused(self) -> Mapping[str, str]:
        """Primitive name -> why the library does not spell it, as far as the backend says so."""
        return {}

    def refusal(self, primitive: Any) -> str | None:
        """Why the library does not spell a primitive; None where the backend does not say."""
        return self.refused.get(primitive.name)

    def missing(self, primitive: Any) -> str:
        """The message for a primitive without a lowering: why, and of SciPy's code what to do."""
        name, reason = primitive.name, self.refusal(primitive)
        scipys = _is_scipys(primitive.impl)
        if reason is not None:
            message = f"primitive {name!r} is not lowered by backend {self.name!r}: {reason}"
        else:
            message = f"primitive {name!r} has no lowering for backend {self.name!r}"
            message += ": SciPy computes it, on NumPy's arrays" if scipys else ""
        if not scipys:
            return message
        return (
            f"{message}. Call the function, or its gradient, outside device({self.name!r}) and"
            f" without backend={self.name!r}, with np.asarray(x) for an array x that is there"
        )

    def see(self, primitive: Any) -> str:
        """Where to read on about a primitive without a lowering, if that is of use."""
        return "" if self.refusal(primitive) else f"pycograd explain {primitive.name}"

    def compile(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """`run`, a function of the library's arrays, under the library's own compiler."""
        return run

    def untraced(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """`f`, which the library's own compiler is to call and not to look into.

        It captures functions and reads what they close over, at each call. A compiler that runs
        what it traces, as JAX's does, needs nothing.
        """
        return f

    def grad_and_value(
        self, run: Callable[..., Any], leaves: Sequence[Any], live: Sequence[int]
    ) -> tuple[Any, list[Any]]:
        """`(value, gradients)` of a scalar function of the library's arrays, by its own autodiff.

        Arguments:
            run: a function of `leaves` that returns a scalar.
            leaves: arrays of the library.
            live: which of them to differentiate.
        """
        raise self._undefined("grad_and_value")

    def compile_grad(
        self, run: Callable[..., Any], live: Sequence[int]
    ) -> Callable[..., tuple[Any, list[Any]]]:
        """`grad_and_value` of `run` for leaves to come, under the library's own compiler.

        Without an override `run` alone is compiled; a compiler that takes the whole is told here.
        """
        compiled = self.compile(run)
        return lambda *leaves: self.grad_and_value(compiled, leaves, live)

    def with_rule(
        self, forward: Callable[..., Any], backward: Callable[..., Any]
    ) -> Callable[..., Any]:
        """`forward`, for which the library's autodiff uses `backward`.

        Of complex values the cotangents are pycograd's, dL/da + i dL/db.

        Arguments:
            forward: a function of arrays of the library that returns a list of them.
            backward: `backward(operands, results, cotangents)`: a list with a cotangent for each
                operand, None where there is none. Its attribute `graph` has what `forward` does.

        Returns:
            A function like `forward`, the hook for derivatives of one's own around it.
        """
        raise self._undefined("with_rule")

    def _undefined(self, method: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__qualname__} does not define {method}")

    def refuse_dtype(self, dtype: np.dtype[Any], instead: str) -> NoReturn:
        """The error for a dtype that the library does not have."""
        raise UnsupportedDtypeError(f"backend {self.name!r} has no {dtype.name} arrays: {instead}")


def _is_scipys(impl: Any) -> bool:
    """True for code of SciPy's, or ours around it."""
    if isinstance(impl, np.ufunc):
        return getattr(sys.modules.get("scipy.special"), impl.__name__, None) is impl
    return str(getattr(impl, "__module__", "")).startswith("pycograd.scipy.")
