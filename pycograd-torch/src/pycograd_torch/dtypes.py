"""The dtypes of torch and of NumPy, and arrays of each as arrays of the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import torch

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
TO_NUMPY: dict[torch.dtype, np.dtype[Any]] = {
    torch.bool: np.dtype(bool),
    torch.int8: np.dtype(np.int8),
    torch.int16: np.dtype(np.int16),
    torch.int32: np.dtype(np.int32),
    torch.int64: np.dtype(np.int64),
    torch.uint8: np.dtype(np.uint8),
    torch.uint16: np.dtype(np.uint16),
    torch.uint32: np.dtype(np.uint32),
    torch.uint64: np.dtype(np.uint64),
    torch.float16: np.dtype(np.float16),
    torch.bfloat16: BFLOAT16,
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
    torch.complex64: np.dtype(np.complex64),
    torch.complex128: np.dtype(np.complex128),
}
TO_TORCH = {v: k for k, v in TO_NUMPY.items()}


@cache
def _found(dtype: Any) -> torch.dtype | None:
    return TO_TORCH.get(np.dtype(dtype).newbyteorder("="))


@cache
def _promoted(dtypes: tuple[torch.dtype, ...]) -> torch.dtype:
    return TO_TORCH[np.result_type(*[TO_NUMPY[d] for d in dtypes])]


def _promoted_of(*dtypes: torch.dtype) -> torch.dtype:
    return _promoted(dtypes)


def _found_for(dtype: Any) -> torch.dtype | None:
    return _found(dtype)


# What NumPy says of dtypes is constant to torch.compile, which does not know these functions.
# Torch's dtype for one of NumPy's, whatever its byte order; None where there is none.
torch_dtype: Callable[[Any], Any] = torch.compiler.assume_constant_result(_found_for)
# The dtype to which NumPy promotes these.
promoted: Callable[..., Any] = torch.compiler.assume_constant_result(_promoted_of)


def from_numpy(array: Any, dtype: torch.dtype, device: Any) -> torch.Tensor:
    """A tensor with a copy of the contents of a NumPy array of the equivalent dtype.

    An ordinary one in `torch.inference_mode` too: one of that mode serves no derivative.
    """
    if torch.is_inference_mode_enabled():
        with torch.inference_mode(False):
            return from_numpy(array, dtype, device)
    array = np.asarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    # With strides that torch knows, and in memory of its own, which later writes do not change.
    array = np.array(array, order="C")
    if dtype is torch.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(device)
    return torch.from_numpy(array).to(device)


def to_numpy(tensor: torch.Tensor) -> Any:
    """A NumPy array with a copy of the contents of a tensor."""
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu()
    if tensor.dtype is torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(BFLOAT16).copy()
    return tensor.numpy().copy()
