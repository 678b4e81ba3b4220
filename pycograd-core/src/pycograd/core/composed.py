"""Operations that are composed of others, for libraries that do not have the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycograd.core.backend import Backend
from pycograd.core.device import trace_of
from pycograd.core.primitive import Primitive


def of_its_parts(primitive: Primitive, backend: Backend) -> Callable[..., Any]:
    """The lowering of a composed primitive: its implementation, on a library's arrays."""

    def run(*operands: Any, wanted: Any = None, **params: Any) -> Any:
        device = next(backend.device_of(x) for x in operands if backend.is_array(x))
        trace = trace_of(backend, device)
        boxes = [trace.box(x) if backend.is_array(x) else x for x in operands]
        made = primitive.impl(*boxes, **params)
        return tuple(map(trace.here, made)) if primitive.multi else trace.here(made)

    return run
