"""Random draws: NumPy's own, made on the host, so that a key gives the same numbers everywhere.

The draw is an operation of torch's, `pycograd::random_draw`, which `torch.compile` takes as a
whole. No file can hold it, for it is Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pycograd.plugins.api import ExportError, primitive_named
from pycograd_torch.dtypes import TO_NUMPY, from_numpy, to_numpy, torch_dtype
from pycograd_torch.lowerings.common import Lowering, exporting, tracing

_WHOLE = 2**63  # from here on an integer is one of uint64


def _stack(key: torch.Tensor, numbers: Sequence[torch.Tensor]) -> Any:
    return np.broadcast_shapes(tuple(key.shape[:-1]), *[tuple(n.shape) for n in numbers])


def _draw(
    key: torch.Tensor,
    numbers: Sequence[torch.Tensor],
    shape: Sequence[int],
    kind: str,
    dtype: torch.dtype,
) -> torch.Tensor:
    wanted = TO_NUMPY[dtype]
    given = [to_numpy(n) for n in numbers]
    drawn = primitive_named("random_draw").impl(
        to_numpy(key), *given, shape=tuple(shape), kind=kind, dtype=wanted
    )
    return from_numpy(np.asarray(drawn, wanted), dtype, key.device)


def _like_drawn(key: Any, numbers: Any, shape: Any, kind: str, dtype: torch.dtype) -> torch.Tensor:
    return key.new_empty((*_stack(key, numbers), *shape), dtype=dtype)


_drawn: Any = torch.library.custom_op("pycograd::random_draw", _draw, mutates_args=())
_drawn.register_fake(_like_drawn)


def _random_draw(key: Any, *numbers: Any, shape: Any, kind: str, dtype: Any) -> Any:
    if tracing() or exporting():
        raise ExportError(
            "random_draw: torch cannot hold the draws of NumPy in a file; draw outside, and pass"
            " the numbers in"
        )
    given = [n.detach() if isinstance(n, torch.Tensor) else _tensor(n) for n in numbers]
    return _drawn(key.detach(), given, list(shape), kind, torch_dtype(dtype))


def _tensor(x: Any) -> torch.Tensor:
    if isinstance(x, float):
        return torch.tensor(x, dtype=torch.float64)
    return torch.tensor(x, dtype=torch.uint64 if x >= _WHOLE else torch.int64)


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {"random_draw": _random_draw}
