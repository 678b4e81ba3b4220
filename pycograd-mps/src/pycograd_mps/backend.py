"""The backend `"mps"`: PyTorch's tensors on Metal, by the table of pycograd-torch.

Metal has no double precision. Importing this module does not import torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from pycograd.plugins.api import Capabilities, LoweringNotFoundError, Probe
from pycograd_torch.backend import TorchBackend

_DTYPES = frozenset(
    {
        *("bool", "int8", "int16", "int32", "int64", "uint8"),
        *("float16", "bfloat16", "float32", "complex64"),
    }
)
_NARROW = {"float64": "float32", "complex128": "complex64", "float128": "float32"}


class MpsBackend(TorchBackend):
    """PyTorch's tensors on Metal.

    Arguments:
        place: the torch device that stands for Metal. On another one, `"cpu"`, the same code runs
            with the same dtypes.
    """

    name = "mps"
    capabilities: ClassVar[Capabilities] = Capabilities(
        dtypes=_DTYPES, eager=True, compiled=True, native=True
    )

    def __init__(self, place: str = "mps") -> None:
        self._place = place

    def probe(self) -> Probe:
        if find_spec("torch") is None:
            return Probe(False, "torch is not installed", "pip install torch")
        try:
            torch = self.torch
        except Exception as error:  # said, not swallowed
            return Probe(False, f"torch cannot be imported ({error})", "reinstall torch")
        version = str(torch.__version__)
        if self._place == "mps" and not torch.backends.mps.is_available():
            built = torch.backends.mps.is_built()
            why = "no Metal device is here" if built else "it was built without Metal"
            return Probe(
                False,
                f"torch {version} has no mps device ({why})",
                "run on an Apple-silicon Mac with macOS 14 or later",
                framework_version=version,
            )
        return Probe(True, framework_version=version, devices=self.devices())

    def devices(self) -> tuple[str, ...]:
        return ("0",)

    # -- arrays ----------------------------------------------------------------------------------
    def native_dtype(self, dtype: Any) -> Any:
        """Torch's dtype for one of NumPy's.

        Raises:
            UnsupportedDtypeError: Metal has none.
        """
        dtype = np.dtype(dtype)
        if dtype.name in _NARROW:
            narrow = _NARROW[dtype.name]
            self.refuse_dtype(
                dtype,
                f"Metal computes in single precision at most. Write x.astype(np.{narrow}); new"
                ' values are float32 under dtype("float32")',
            )
        if dtype.name not in _DTYPES:
            self.refuse_dtype(dtype, "convert it with .astype first")
        return super().native_dtype(dtype)

    def place(self, device: str | None) -> Any:
        return self._place

    def device_of(self, array: Any) -> str:
        return "0"

    # -- operations ------------------------------------------------------------------------------
    @cached_property
    def _on_metal(self) -> dict[str, Callable[..., Any]]:
        return {name: self._refusing(name, f) for name, f in super().lowerings.items()}

    @property
    def lowerings(self) -> Mapping[str, Callable[..., Any]]:
        return self._on_metal

    def _refusing(self, name: str, f: Callable[..., Any]) -> Callable[..., Any]:
        """`f`, whose missing kernel or result is an error of ours."""

        @functools.wraps(f)
        def lowering(*operands: Any, **params: Any) -> Any:
            if params.get("dtype") is not None:
                self.native_dtype(params["dtype"])
            try:
                return f(*operands, **params)
            except NotImplementedError as error:
                raise LoweringNotFoundError(
                    f"primitive {name!r} is not lowered by backend 'mps': torch has no kernel of it"
                    f" on Metal ({str(error).splitlines()[0]})"
                ) from error

        return lowering
