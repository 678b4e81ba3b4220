"""The backend `"cupy"`: the tape on CuPy's arrays. Importing this module does not import CuPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from pycograd.plugins.api import Backend, Capabilities, Primitive, Probe

_DTYPES = frozenset(
    {
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    }
)


class CupyBackend(Backend):
    """CuPy's arrays on CUDA devices, named by their numbers: `"cupy"`, `"cupy:1"`.

    Arguments:
        module: stands for the module cupy; a library with the same functions.
        special: stands for cupyx.scipy.special.
    """

    name = "cupy"
    capabilities: ClassVar[Capabilities] = Capabilities(dtypes=_DTYPES, eager=True, placement=True)

    def __init__(self, module: Any = None, special: Any = None) -> None:
        self._given, self._special = module, special

    @cached_property
    def cp(self) -> Any:
        """The module cupy."""
        return self._given or import_module("cupy")

    @property
    def _real(self) -> bool:
        """Whether there are CUDA devices behind the module."""
        return hasattr(self.cp, "cuda")

    # -- the library -----------------------------------------------------------------------------
    def probe(self) -> Probe:
        if self._given is None and find_spec("cupy") is None:
            return Probe(
                False,
                "cupy is not installed",
                'pip install "pycograd-cupy[cuda12]" or "pycograd-cupy[cuda13]", as your CUDA is',
            )
        try:
            cp = self.cp
        except Exception as error:  # of a missing library of CUDA: said, not swallowed
            return Probe(False, f"cupy cannot be imported ({error})", "install CUDA's libraries")
        version = str(cp.__version__)
        if not self._real:
            return Probe(True, framework_version=version, devices=("0",))
        try:
            count = int(cp.cuda.runtime.getDeviceCount())
        except Exception as error:
            return Probe(
                False,
                f"cupy {version} found no usable CUDA device ({_cause(error)})",
                "run on a CUDA machine",
                framework_version=version,
            )
        if not count:
            return Probe(
                False,
                f"cupy {version} found no usable CUDA device (there are 0)",
                "run on a CUDA machine",
                framework_version=version,
            )
        names = tuple([str(i) for i in range(count)])
        return Probe(True, framework_version=version, devices=names)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return self.probe().devices or ("0",)

    def devices(self) -> Sequence[str]:
        return self._names

    def _on(self, device: str | None) -> Any:
        """A block in which new arrays are on a device."""
        return self.cp.cuda.Device(int(device or 0))

    # -- arrays ----------------------------------------------------------------------------------
    def from_numpy(self, array: Any, device: str | None = None) -> Any:
        array = np.asarray(array)
        self._check(array.dtype)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        if not self._real:
            return self.cp.array(array)
        with self._on(device):
            return self.cp.array(array)

    def _check(self, dtype: np.dtype[Any]) -> None:
        if dtype.name == "bfloat16":
            self.refuse_dtype(dtype, "use float16 or float32")
        if dtype.name not in _DTYPES:
            self.refuse_dtype(dtype, "convert it with .astype first")

    def to_numpy(self, array: Any) -> Any:
        return self.cp.asnumpy(array) if hasattr(self.cp, "asnumpy") else np.array(array)

    def is_array(self, x: Any) -> bool:
        return isinstance(x, (self.cp.ndarray, np.generic) if not self._real else self.cp.ndarray)

    def dtype_of(self, array: Any) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(array.dtype)
        return dtype

    def device_of(self, array: Any) -> str:
        return str(array.device.id) if self._real else "0"

    def cast(self, array: Any, dtype: np.dtype[Any]) -> Any:
        from pycograd_cupy.dtypes import cast

        self._check(np.dtype(dtype))
        return cast(self.cp, array, dtype)

    def move(self, array: Any, device: str) -> Any:
        if not self._real or self.device_of(array) == device:
            return array
        with self._on(device):
            return self.cp.array(array)

    # -- operations ------------------------------------------------------------------------------
    @cached_property
    def _table(self) -> Mapping[str, Callable[..., Any]]:
        from pycograd_cupy.lowerings import table

        return table(self.cp, self._special or import_module("cupyx.scipy.special"))

    @property
    def lowerings(self) -> Mapping[str, Callable[..., Any]]:
        return self._table

    def refusal(self, primitive: Primitive) -> str | None:
        if primitive.custom or primitive.name.startswith("checkpoint("):
            return None
        from pycograd_cupy.lowerings import NO_KERNEL, REFUSED

        return REFUSED.get(primitive.name, NO_KERNEL)


def _cause(error: Exception) -> str:
    """CUDA's own name for what is wrong, `cudaErrorInsufficientDriver`."""
    return str(error).split(":")[0] or type(error).__name__
