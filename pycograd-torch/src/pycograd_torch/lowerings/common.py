"""What the lowerings share: numbers beside tensors, dtypes, repeated halving and doubling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from pycograd.plugins.api import UnsupportedDtypeError
from pycograd_torch.dtypes import promoted

Lowering = Callable[..., Any]
_KINDS = {bool: "b", int: "i", float: "f", complex: "c"}


def wide(device: torch.device) -> torch.dtype:
    """The widest real dtype of a device."""
    return torch.float32 if device.type == "mps" else torch.float64


def floating(x: Any) -> Any:
    """An integer or boolean tensor as floats; others as they are."""
    return x if x.is_floating_point() or x.is_complex() else x.to(wide(x.device))


def tensors(*xs: Any) -> list[Any]:
    """Operands of which some are Python numbers as tensors, in dtypes as NumPy would promote."""
    found = [x for x in xs if isinstance(x, torch.Tensor)]
    if len(found) == len(xs):
        return list(xs)
    if not found:
        return [torch.as_tensor(np.asarray(x)) for x in xs]
    like = next((x for x in found if x.dtype is not torch.bool), found[0])
    return [x if isinstance(x, torch.Tensor) else number(x, like.dtype, like.device) for x in xs]


def number(x: Any, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A Python number as a tensor that adapts to a dtype as NumPy's numbers do."""
    kind = _KINDS[type(x)]
    if kind == "c" and not dtype.is_complex:
        dtype = torch.complex64 if dtype is torch.float32 else torch.complex128
    elif kind == "f" and not (dtype.is_floating_point or dtype.is_complex):
        dtype = wide(device)
    elif kind == "i" and dtype is torch.bool:
        dtype = torch.int64
    return torch.tensor(x, dtype=dtype, device=device)


def of_tensors(function: Lowering) -> Lowering:
    """`function` of operands that may be Python numbers."""
    return lambda *xs, **params: function(*tensors(*xs), **params)


def common(*xs: Any) -> list[Any]:
    """Tensors in the dtype to which NumPy promotes theirs."""
    xs = tuple(tensors(*xs))
    first = xs[0].dtype
    if all(x.dtype is first for x in xs):
        return list(xs)
    dtype = promoted(*[x.dtype for x in xs])
    return [x.to(dtype) for x in xs]


def of_floats(function: Lowering) -> Lowering:
    """`function` of one tensor, whose integers become floats."""
    return lambda x, **params: function(floating(tensors(x)[0]), **params)


def together(*xs: Any) -> list[Any]:
    """Operands as floats of one dtype."""
    return common(*[floating(x) for x in tensors(*xs)])


def whole(x: Any) -> Any:
    """An index as torch takes it: its bytes would be a mask."""
    return x if x.dtype is torch.int64 else x.to(torch.int64)


def at(axis: int, part: Any) -> tuple[Any, ...]:
    """The index that takes `part` of one axis and all of the others."""
    return (slice(None),) * axis + (part,)


def joined(*xs: Any) -> list[Any]:
    """Tensors broadcast against each other."""
    broadcast: Lowering = torch.broadcast_tensors
    return list(broadcast(*xs))


def tracing() -> bool:
    """True while torch writes down a run for TorchScript."""
    return torch._C._get_tracing_state() is not None


def exporting() -> bool:
    """True in `torch.export`; in `torch.compile` Python chooses, between two compiled parts."""
    compiler: Any = torch.compiler
    return bool(compiler.is_exporting()) if hasattr(compiler, "is_exporting") else False


def staged() -> bool:
    """True while torch compiles, exports or traces: tensors have no values to look at."""
    return torch.compiler.is_compiling() or tracing()


def said(name: str, function: Lowering, real: bool) -> Lowering:
    """`function`, with an error of ours where torch has none for the dtypes of its operands.

    Arguments:
        name: of the primitive.
        function: its lowering.
        real: True where torch knows the operation for real numbers alone.
    """

    def run(*xs: Any, **params: Any) -> Any:
        try:
            return function(*xs, **params)
        except RuntimeError as error:
            kinds = [x.dtype for x in xs if isinstance(x, torch.Tensor)]
            if real and any([d.is_complex for d in kinds]):
                message = f"{name}: torch has none of complex numbers"
            elif "not implemented for '" in str(error):
                found = ", ".join(sorted({str(d) for d in kinds}))
                message = f"{name}: torch has no kernel for {found}; convert with .astype"
            else:
                raise
            raise UnsupportedDtypeError(message) from error

    return run


def reversing(function: Lowering) -> Lowering:
    """`function(x, axis)` with a parameter `reverse`: from the far end."""

    def run(x: Any, axis: int, reverse: bool) -> Any:
        return function(x.flip(axis), axis).flip(axis) if reverse else function(x, axis)

    return run


def running(function: Lowering, x: Any, axis: int) -> Any:
    """The running results of an associative operation, by doubling."""
    n, step = x.shape[axis], 1
    while step < n:
        ahead = function(x.narrow(axis, 0, n - step), x.narrow(axis, step, n - step))
        x = torch.cat([x.narrow(axis, 0, step), ahead], axis)
        step *= 2
    return x


def folded(function: Lowering, x: Any, axis: Sequence[int], keepdims: bool, start: Any) -> Any:
    """The reduction by an associative and commutative operation, by halving."""
    for a in axis:
        if x.shape[a] == 0:
            x = torch.full_like(x.sum(a, keepdim=True, dtype=x.dtype), start)
        while x.shape[a] > 1:
            half = x.shape[a] // 2
            made = function(x.narrow(a, 0, half), x.narrow(a, half, half))
            x = torch.cat([made, x.narrow(a, 2 * half, x.shape[a] - 2 * half)], a)
    return x if keepdims else without(x, axis)


def without(x: Any, axis: Sequence[int]) -> Any:
    """A tensor without axes of size 1."""
    return x.squeeze(tuple(axis)) if axis else x


def by_axes(function: Lowering) -> Lowering:
    """`function(x, axis, keepdims)` of one axis, applied to each of several in turn."""

    def run(x: Any, axis: Sequence[int], keepdims: bool) -> Any:
        for a in axis:
            x = function(x, a, True)
        return x if keepdims else without(x, axis)

    return run


def as_one_axis(x: Any, axis: Sequence[int]) -> Any:
    """The axes that are reduced as one, the last."""
    rest = [i for i in range(x.ndim) if i not in axis]
    return x.permute(*rest, *axis).reshape(*[x.shape[i] for i in rest], -1)


def kept(x: Any, axis: Sequence[int]) -> Any:
    """A reduced tensor with its axes back, of size 1."""
    for a in sorted(axis):
        x = x.unsqueeze(a)
    return x
