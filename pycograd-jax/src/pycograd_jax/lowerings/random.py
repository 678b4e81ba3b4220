"""Random draws: NumPy's own, made on the host, so that a key gives the same numbers everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from pycograd.plugins.api import primitive_named


def _random_draw(key: Any, *numbers: Any, shape: Any, kind: str, dtype: Any) -> Any:
    given = [key, *[np.asarray(n) if isinstance(n, (int, float)) else n for n in numbers]]
    stack = np.broadcast_shapes(np.shape(key)[:-1], *[np.shape(n) for n in given[1:]])

    def drawn(*values: Any) -> Any:
        impl = primitive_named("random_draw").impl
        return np.asarray(
            impl(*map(np.asarray, values), shape=shape, kind=kind, dtype=dtype), dtype
        )

    like = jax.ShapeDtypeStruct((*stack, *shape), dtype)
    constants = map(jax.lax.stop_gradient, given)  # a draw does not move with what it is drawn by
    return jax.pure_callback(drawn, like, *constants, vmap_method="sequential")


TABLE: dict[str, Callable[..., Any]] = {"random_draw": _random_draw}
