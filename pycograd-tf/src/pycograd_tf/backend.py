"""The backend `"tf"`: TensorFlow's tensors, graphs and automatic differentiation.

Importing this module does not import TensorFlow; using the backend does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from pycograd.plugins.api import Backend, Capabilities, Probe
from pycograd_tf.quiet import tensorflow

_DTYPES = frozenset(
    {
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    }
)

_SINGULAR = "a graph of the derivative of det takes matrices for regular"
_SETTLED = "on a device, whose dtypes cannot wait for the data, eigenvalues are complex"
_SIGNS = "the signs of eigenvectors are another library's, and what is compared depends on them"
_ORDER = "the order and phases of eigenvalues and eigenvectors are another library's"
_SINGLE = "the terms of a cotangent in single precision are added in another order"
# What the conformance kit finds, with the reason.
EXPECTED_FAILURES = {
    "native:small_part-det": _SINGULAR,
    "kink-native:det-singular-*": _SINGULAR,
    "native:astype-52": _SINGLE,
    "forward:concatenate-roots": _SETTLED,
    "jvp:concatenate-roots": _SETTLED,
    "float32:concatenate-roots": _SETTLED,
    "*:eigh-read": _SIGNS,
    "*:eigh-upper": _SIGNS,
    "*:eig-pairs": _ORDER,
    "*:eig-complex": _ORDER,
    "vmap_grad:eigvals-complex": _ORDER,
}
_KINDS = {"CPU": "cpu", "GPU": "cuda", "TPU": "tpu"}


class TfBackend(Backend):
    """TensorFlow. A device is `cpu`, `cpu:1`, `cuda:0`, `tpu:0`...; accelerators come first.

    Arguments:
        jit_compile: whether `compile` asks XLA; otherwise TensorFlow runs its own graphs.
    """

    name = "tf"
    expected_failures = EXPECTED_FAILURES
    capabilities = Capabilities(
        dtypes=_DTYPES, eager=True, compiled=True, native=True, placement=True
    )

    def __init__(self, jit_compile: bool = False) -> None:
        self.jit_compile = jit_compile

    @cached_property
    def _tf(self) -> Any:
        return tensorflow()

    @cached_property
    def _dtypes(self) -> Any:
        tensorflow()
        return import_module("pycograd_tf.dtypes")

    # -- the library -----------------------------------------------------------------------------
    def probe(self) -> Probe:
        if find_spec("tensorflow") is None:
            return Probe(False, "tensorflow is not installed", "pip install tensorflow")
        try:
            version: str = self._tf.__version__
            names = self.devices()
        except Exception as error:  # of a driver or a library that it loads: said, not swallowed
            return Probe(False, f"tensorflow does not start ({error})", "reinstall tensorflow")
        return Probe(True, framework_version=version, devices=names)

    @cached_property
    def _by_name(self) -> dict[str, str]:
        """TensorFlow's names of devices by those that follow the colon of `"tf:cuda:0"`."""
        found: dict[str, str] = {}
        devices = self._tf.config.list_logical_devices()
        for device in sorted(devices, key=lambda d: d.device_type == "CPU"):
            kind = _KINDS.get(device.device_type)
            if kind is not None:
                number = device.name.rpartition(":")[2]
                first_cpu = kind == "cpu" and number == "0"
                found[kind if first_cpu else f"{kind}:{number}"] = device.name
        return found

    def devices(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def _device(self, name: str | None) -> str | None:
        return None if name is None else self._by_name[name]

    # -- arrays ----------------------------------------------------------------------------------
    def from_numpy(self, array: Any, device: str | None = None) -> Any:
        array = np.asarray(array)
        if array.dtype.name not in _DTYPES:
            self.refuse_dtype(array.dtype, "convert it with .astype first")
        return self._dtypes.from_numpy(array, self._device(device))

    def to_numpy(self, array: Any) -> Any:
        return np.asarray(array.numpy())

    def is_array(self, x: Any) -> bool:
        return isinstance(x, (self._tf.Tensor, self._tf.Variable))

    def shape_of(self, array: Any) -> tuple[int, ...]:
        shape = array.shape
        if not shape.is_fully_defined():
            raise TypeError(
                f"backend 'tf': a program is made for the shape of its arguments, and one has the"
                f" shape {shape}, whose sizes tf.function does not say. Give its TensorSpec or"
                " tf.data batch (drop_remainder=True) numbers, or use x.set_shape"
            )
        return tuple(shape)

    def dtype_of(self, array: Any) -> np.dtype[Any]:
        found: np.dtype[Any] = self._dtypes.numpy_dtype(array.dtype)
        return found

    def device_of(self, array: Any) -> str:
        names = self.devices()
        where = array.device
        return next((name for name in names if where.endswith(self._by_name[name])), names[0])

    def cast(self, array: Any, dtype: np.dtype[Any]) -> Any:
        native = self._dtypes.tf_dtype(dtype)
        if native is None:
            self.refuse_dtype(np.dtype(dtype), "use float64")
        return self._dtypes.cast(array, native)

    def move(self, array: Any, device: str) -> Any:
        with self._tf.device(self._device(device)):
            return self._tf.identity(array)

    # -- operations ------------------------------------------------------------------------------
    @cached_property
    def _lowerings(self) -> Any:
        tensorflow()
        return import_module("pycograd_tf.lowerings")

    @property
    def lowerings(self) -> Mapping[str, Callable[..., Any]]:
        table: Mapping[str, Callable[..., Any]] = self._lowerings.TABLE
        return table

    @property
    def own_rules(self) -> frozenset[str]:
        """The primitives whose derivative is ours under TensorFlow's automatic differentiation."""
        rules: frozenset[str] = self._lowerings.OWN_RULES
        return rules

    @property
    def refused(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self._lowerings.REFUSED
        return found

    def with_rule(
        self, forward: Callable[..., Any], backward: Callable[..., Any]
    ) -> Callable[..., Any]:
        """`forward`, which TensorFlow differentiates by `backward`."""
        tensorflow()
        made: Callable[..., Any] = import_module("pycograd_tf.native").with_rule(forward, backward)
        return made

    def compile(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """`run` as a graph of TensorFlow's, made for the shapes and dtypes of its first call."""
        tf = self._tf
        staged = tf.function(
            lambda *arrays: run(*arrays),  # whatever kind of callable it is
            autograph=False,
            jit_compile=self.jit_compile or None,
        )
        made: list[Any] = []

        def call(*arrays: Any) -> Any:
            given = [x if isinstance(x, tf.Tensor) else tf.convert_to_tensor(x) for x in arrays]
            if not made:
                specs = [tf.TensorSpec(x.shape, x.dtype) for x in given]
                made.append(staged.get_concrete_function(*specs))
            return made[0](*given)

        return call

    def grad_and_value(
        self, run: Callable[..., Any], leaves: Sequence[Any], live: Sequence[int]
    ) -> tuple[Any, list[Any]]:
        """`(value, gradients)` of a scalar function of tensors, by a `tf.GradientTape`."""
        tensorflow()
        found: tuple[Any, list[Any]] = import_module("pycograd_tf.native").grad_and_value(
            run, leaves, live
        )
        return found

    def compile_grad(
        self, run: Callable[..., Any], live: Sequence[int]
    ) -> Callable[..., tuple[Any, list[Any]]]:
        """The tape as part of the graph: outside of it every intermediate value would leave it."""
        return self.compile(lambda *leaves: self.grad_and_value(run, leaves, live))
