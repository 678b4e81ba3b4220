"""Random draws: NumPy's own, made on the host, so that a key gives the same numbers everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from pycograd.plugins.api import primitive_named
from pycograd_tf.lowerings.common import Lowering


def _random_draw(key: Any, *numbers: Any, shape: Any, kind: str, dtype: Any) -> Any:
    given = [
        tf.convert_to_tensor(np.asarray(n) if isinstance(n, (int, float)) else n) for n in numbers
    ]
    stack = np.broadcast_shapes(tuple(key.shape[:-1]), *[tuple(n.shape) for n in given])

    def drawn(*values: Any) -> Any:
        impl = primitive_named("random_draw").impl
        return np.asarray(impl(*values, shape=shape, kind=kind, dtype=dtype), dtype)

    out = tf.numpy_function(drawn, [key, *given], tf.as_dtype(dtype), stateful=False)
    return tf.stop_gradient(tf.ensure_shape(out, (*stack, *shape)))


TABLE: dict[str, Lowering] = {"random_draw": _random_draw}
