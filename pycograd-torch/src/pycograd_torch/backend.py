"""The backend `"torch"`. This module alone imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from pycograd.plugins.api import Backend, Capabilities, Probe, UnsupportedDtypeError

DTYPES = frozenset(
    {
        *("bool", "int8", "int16", "int32", "int64", "uint8"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    }
)

_SINGULAR = "a graph of the derivative of det takes matrices for regular"
_MEMORY = "the function asks which memory NumPy's arrays have"
_EIGENVALUES = "eigenvalues of general real matrices are complex on torch, whatever they are"
# What the conformance kit finds, with the reason.
EXPECTED_FAILURES = {
    "native:small_part-det": _SINGULAR,
    "kink-native:det-singular-*": _SINGULAR,
    "native:multiply-shares_memory": _MEMORY,
    "native:multiply-may_share_memory": _MEMORY,
    "forward:concatenate-roots": _EIGENVALUES,
    "jvp:concatenate-roots": _EIGENVALUES,
    "float32:concatenate-roots": _EIGENVALUES,
}
# Primitives whose derivative in torch is missing, or not ours everywhere: at kinks and ties, of
# one triangle of a matrix, of equal eigenvalues.
OWN_RULES = frozenset(
    {
        *("cbrt", "hypot", "fmax", "fmin", "float_power", "deviation", "copysign", "heaviside"),
        *("logaddexp", "logaddexp2", "angle", "over_gap", "ldexp", "remainder", "fmod", "arctan2"),
        *("fmax_reduce", "fmin_reduce", "hypot_reduce", "logaddexp_reduce", "logaddexp2_reduce"),
        *("logaddexp_accumulate", "logaddexp2_accumulate", "det", "slogdet", "cholesky", "lu"),
        *("eigh", "eigvalsh", "eig", "eigvals", "qr", "svd", "svdvals", "pinv"),
        *("sinc", "sinc_derivative", "bessel_i", "i0", "max_pool"),
        # of scipy.special
        *("gammainc", "gammaincc", "chdtr", "chdtrc", "gdtr", "gdtrc", "pdtr", "pdtrc"),
        *("k0", "k1", "k0e", "k1e", "psi", "polygamma", "zeta"),
        *("zetac", "gamma", "rgamma", "loggamma", "beta", "betaln", "poch", "binom"),
        *("rel_entr", "kl_div", "xlogy", "xlog1py", "entr", "boxcox", "boxcox1p", "inv_boxcox"),
        *("inv_boxcox1p", "exprel", "huber", "pseudo_huber", "powm1", "scipy_cbrt"),
        *("erfcx", "log_ndtr"),
    }
)


class TorchBackend(Backend):
    """PyTorch's tensors, on the CPU and on CUDA devices.

    Devices are named as torch names them, `"cpu"` and `"cuda:0"`; the first is the default.
    """

    name = "torch"
    own_rules = OWN_RULES
    expected_failures = EXPECTED_FAILURES
    capabilities = Capabilities(
        dtypes=DTYPES, eager=True, compiled=True, native=True, placement=True
    )

    @cached_property
    def torch(self) -> Any:
        """The library."""
        return import_module("torch")

    @cached_property
    def _dtypes(self) -> Any:
        return import_module("pycograd_torch.dtypes")

    def probe(self) -> Probe:
        torch = self.torch
        return Probe(True, framework_version=torch.__version__, devices=self.devices())

    def devices(self) -> tuple[str, ...]:
        cuda = self.torch.cuda
        count = cuda.device_count() if cuda.is_available() else 0
        return ("cpu", *[f"cuda:{i}" for i in range(count)])

    # -- arrays ----------------------------------------------------------------------------------
    def from_numpy(self, array: Any, device: str | None = None) -> Any:
        array = np.asarray(array)
        return self._dtypes.from_numpy(array, self.native_dtype(array.dtype), self.place(device))

    def borrowed(self, array: Any, device: str | None = None) -> Any:
        flags, dtype = array.flags, array.dtype
        self.native_dtype(dtype)  # refuses what torch does not have
        if flags.writeable and flags.c_contiguous and dtype.isnative and dtype.kind in "biufc":
            return self.torch.from_numpy(array).to(self.place(device))
        return self.from_numpy(array, device)

    def to_numpy(self, array: Any) -> Any:
        return self._dtypes.to_numpy(array)

    def is_array(self, x: Any) -> bool:
        return isinstance(x, self.torch.Tensor)

    def dtype_of(self, array: Any) -> np.dtype[Any]:
        found: np.dtype[Any] | None = self._dtypes.TO_NUMPY.get(array.dtype)
        if found is None or array.layout is not self.torch.strided:
            raise UnsupportedDtypeError(
                f"{self.name}: NumPy has nothing like a tensor of {array.dtype} and"
                f" {array.layout}; convert it with .to_dense(), .dequantize() or .to(dtype)"
            )
        return found

    def device_of(self, array: Any) -> str:
        return str(array.device)

    def place_of(self, arrays: Sequence[Any]) -> str | None:
        if not arrays:
            return None
        first = arrays[0]
        if len(arrays) > 1 and not first.dim():  # it goes with tensors of any device
            first = next((x for x in arrays if x.dim()), first)
        device = first.device
        if device not in self._names:
            self._names[device] = self.device_of(first)
        return self._names[device]

    @cached_property
    def _names(self) -> dict[Any, str]:
        return {}

    def cast(self, array: Any, dtype: np.dtype[Any]) -> Any:
        native = self.native_dtype(dtype)
        if array.is_complex() and not native.is_complex and native is not self.torch.bool:
            array = array.real
        return array.to(native)

    def move(self, array: Any, device: str) -> Any:
        return array.to(self.place(device))

    def native_dtype(self, dtype: Any) -> Any:
        """Torch's dtype for one of NumPy's.

        Raises:
            UnsupportedDtypeError: torch has none.
        """
        found = self._dtypes.torch_dtype(dtype)
        if found is None:
            self.refuse_dtype(np.dtype(dtype), "convert with .astype to one that it has")
        return found

    def place(self, device: str | None) -> Any:
        """What torch calls a device."""
        return device or "cpu"

    # -- operations ------------------------------------------------------------------------------
    @cached_property
    def _table(self) -> Mapping[str, Callable[..., Any]]:
        made: Mapping[str, Callable[..., Any]] = import_module("pycograd_torch.lowerings").table()
        return made

    @property
    def lowerings(self) -> Mapping[str, Callable[..., Any]]:
        return self._table

    @property
    def refused(self) -> Mapping[str, str]:
        found: Mapping[str, str] = import_module("pycograd_torch.lowerings").REFUSED
        return found

    def with_rule(
        self, forward: Callable[..., Any], backward: Callable[..., Any]
    ) -> Callable[..., Any]:
        """`forward`, which torch differentiates by `backward`."""
        made: Callable[..., Any] = import_module("pycograd_torch.native").with_rule(
            forward, backward
        )
        return made

    def untraced(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """`f` outside of what `torch.compile` makes."""
        disabled: Callable[..., Any] = import_module("pycograd_torch.native").untraced(f)
        return disabled

    def compile(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """`run` by `torch.compile`."""
        compiled: Callable[..., Any] = self.torch.compile(run)
        return compiled

    def grad_and_value(
        self, run: Callable[..., Any], leaves: Sequence[Any], live: Sequence[int]
    ) -> tuple[Any, list[Any]]:
        """`(value, gradients)` of a scalar function of tensors, by `torch.autograd`.

        A leaf that the value does not depend on has a gradient of zeros.
        """
        torch = self.torch
        with torch.inference_mode(False), torch.enable_grad():
            leaves = [x.clone() if x.is_inference() else x for x in leaves]
            moving = {i: leaves[i].detach().requires_grad_() for i in live}
            value = run(*[moving.get(i, x) for i, x in enumerate(leaves)])
            value = value[0] if isinstance(value, (list, tuple)) else value
            if not value.requires_grad:
                return value, [torch.zeros_like(leaves[i]) for i in live]
            found = torch.autograd.grad(value, [moving[i] for i in live], allow_unused=True)
        return value.detach(), [
            torch.zeros_like(leaves[i]) if g is None else g for i, g in zip(live, found)
        ]
