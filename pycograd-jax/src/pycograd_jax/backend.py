"""The backend `"jax"`: JAX's arrays, compiler and automatic differentiation.

Importing this module does not import JAX; using the backend does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from pycograd.plugins.api import Backend, Capabilities, Probe

_DTYPES = frozenset(
    {
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    }
)

_SINGULAR = "a graph of the derivative of det takes matrices for regular"
_EIGENVALUES = "eigenvalues of general real matrices are complex on JAX, whatever they are"
# What the conformance kit finds, with the reason.
EXPECTED_FAILURES = {
    "native:small_part-det": _SINGULAR,
    "kink-native:det-singular-*": _SINGULAR,
    "forward:concatenate-roots": _EIGENVALUES,
    "jvp:concatenate-roots": _EIGENVALUES,
    "float32:concatenate-roots": _EIGENVALUES,
}


class JaxBackend(Backend):
    """JAX. A device is `cpu`, `cuda:1`, `tpu:0`...; 64-bit types are on in these calls alone.

    Attributes:
        expected_failures: what the conformance kit finds, with the reason.
    """

    name = "jax"
    expected_failures = EXPECTED_FAILURES
    capabilities: ClassVar[Capabilities] = Capabilities(
        dtypes=_DTYPES, eager=True, compiled=True, native=True, placement=True
    )

    # -- the library -----------------------------------------------------------------------------
    def probe(self) -> Probe:
        if find_spec("jax") is None:
            return Probe(False, "jax is not installed", "pip install jax")
        try:
            import jax

            version: str = jax.__version__
            names = tuple(self._by_name)
        except Exception as error:  # of a plug-in of JAX or a driver: said, not swallowed
            return Probe(False, f"jax found no device ({error})", "see JAX_PLATFORMS, or reinstall")
        return Probe(True, framework_version=version, devices=names)

    @cached_property
    def _by_name(self) -> dict[str, Any]:
        """Devices by the names that follow the colon of `"jax:cuda:1"`, the default first."""
        import jax

        found: dict[str, Any] = {}
        for platform in dict.fromkeys([jax.default_backend(), "cpu"]):
            kind = {"gpu": "cuda"}.get(platform, platform)
            for i, device in enumerate(jax.local_devices(backend=platform)):
                found["cpu" if kind == "cpu" and i == 0 else f"{kind}:{i}"] = device
        return found

    def devices(self) -> Sequence[str]:
        return tuple(self._by_name)

    def _device(self, name: str | None) -> Any:
        return None if name is None else self._by_name[name]

    # -- arrays ----------------------------------------------------------------------------------
    def from_numpy(self, array: Any, device: str | None = None) -> Any:
        import jax
        import jax.numpy as jnp

        from pycograd_jax.precision import wide

        array = np.asarray(array)
        self._accept(array.dtype)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        # An array even inside jax.jit, where it would be a tracer, which a program must not keep.
        with wide(), jax.ensure_compile_time_eval():
            # A copy: XLA may read the memory of an array, which NumPy may write to, later on.
            made = jnp.array(array, copy=True)
            return made if device is None else jax.device_put(made, self._device(device))

    def borrowed(self, array: Any, device: str | None = None) -> Any:
        if device is not None and device != self.devices()[0]:
            return self.from_numpy(array, device)
        self._accept(array.dtype)
        # jax.jit takes NumPy's arrays, in a fraction of the time.
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    @cached_property
    def _known(self) -> frozenset[np.dtype[Any]]:
        import jax.numpy as jnp

        return frozenset([jnp.dtype(name) for name in _DTYPES])

    def _accept(self, dtype: np.dtype[Any]) -> None:
        if dtype.name not in _DTYPES:
            self.refuse_dtype(dtype, "convert it with .astype first")

    def to_numpy(self, array: Any) -> Any:
        return np.array(array)

    def is_array(self, x: Any) -> bool:
        import jax

        return isinstance(x, jax.Array)

    def dtype_of(self, array: Any) -> np.dtype[Any]:
        dtype = array.dtype
        if dtype not in self._known:  # of keys, of eight bits
            self.refuse_dtype(dtype, "convert it with .astype first")
        found: np.dtype[Any] = np.dtype(dtype)
        return found

    def device_of(self, array: Any) -> str:
        import jax

        names = self.devices()
        if isinstance(array, jax.core.Tracer):
            return names[0]
        (device, *_) = array.devices()
        return next((name for name in names if self._by_name[name] == device), names[0])

    def cast(self, array: Any, dtype: np.dtype[Any]) -> Any:
        from pycograd_jax.lowerings.dtypes import cast
        from pycograd_jax.precision import wide

        if np.dtype(dtype).name not in _DTYPES:
            self.refuse_dtype(np.dtype(dtype), "use float64")
        with wide():
            return cast(array, dtype)

    def move(self, array: Any, device: str) -> Any:
        import jax

        from pycograd_jax.precision import wide

        with wide():
            return jax.device_put(array, self._device(device))

    # -- operations ------------------------------------------------------------------------------
    @property
    def lowerings(self) -> Mapping[str, Callable[..., Any]]:
        from pycograd_jax.lowerings import TABLE

        return TABLE

    @property
    def own_rules(self) -> frozenset[str]:
        """The primitives whose derivative is ours under JAX's automatic differentiation."""
        from pycograd_jax.derivatives import OWN_RULES

        return OWN_RULES

    def with_rule(self, run: Callable[..., Any], backward: Callable[..., Any]) -> Any:
        """`run` with a derivative rule in the place of JAX's own.

        Arguments:
            run: a function of JAX's arrays that returns a list of them.
            backward: `backward(operands, results, cotangents)`, a cotangent for each operand, with
                the graph of the one equation.
        """
        from pycograd_jax.derivatives import with_rule

        return with_rule(self, run, backward)

    @property
    def refused(self) -> Mapping[str, str]:
        from pycograd_jax.lowerings import REFUSED

        return REFUSED

    def compile(self, run: Callable[..., Any]) -> Callable[..., Any]:
        import jax

        from pycograd_jax.precision import wide

        compiled = jax.jit(lambda *arrays: run(*arrays))  # whatever kind of callable it is

        def call(*arrays: Any) -> Any:
            with wide():
                return compiled(*arrays)

        return call

    def compile_grad(
        self, run: Callable[..., Any], live: Sequence[int]
    ) -> Callable[..., tuple[Any, list[Any]]]:
        return self.compile(lambda *leaves: self.grad_and_value(run, leaves, live))

    def grad_and_value(
        self, run: Callable[..., Any], leaves: Sequence[Any], live: Sequence[int]
    ) -> tuple[Any, list[Any]]:
        from pycograd_jax.derivatives import grad_and_value

        return grad_and_value(run, leaves, live)
