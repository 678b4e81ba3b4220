"""Random draws: NumPy's own, made on the host, so that a key gives the same numbers everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.plugins.api import primitive_named
from pycograd_cupy.elementwise import Table


def table(cp: Any, cps: Any) -> Table:
    """Primitive name -> its spelling."""
    host = getattr(cp, "asnumpy", np.asarray)

    def draw(key: Any, *numbers: Any, shape: Any, kind: str, dtype: Any) -> Any:
        impl = primitive_named("random_draw").impl
        given = [n if isinstance(n, (int, float)) else host(n) for n in numbers]
        drawn = impl(host(key), *map(np.asarray, given), shape=shape, kind=kind, dtype=dtype)
        return cp.asarray(np.asarray(drawn, dtype))

    return {"random_draw": draw}
