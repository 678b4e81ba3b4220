"""What NumPy's dtypes are, where JAX would choose others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def strong(x: Any) -> Any:
    """An array, with a dtype that does not adapt to that of others."""
    x = jnp.asarray(x)
    return jax.lax.convert_element_type(x, x.dtype) if x.weak_type else x


def is_number(x: Any) -> bool:
    """True for a number of Python's, which adapts."""
    return isinstance(x, (bool, int, float, complex))


def is_known(x: Any) -> bool:
    """True for an array whose entries are known: JAX is tracing none of its transforms."""
    return not isinstance(x, jax.core.Tracer)


def common_dtype(operands: Sequence[Any]) -> np.dtype[Any]:
    """The dtype that NumPy gives to operands together."""
    kinds = [x if is_number(x) else np.dtype(x.dtype) for x in operands]
    found: np.dtype[Any]
    try:
        found = np.dtype(np.result_type(*kinds))
    except TypeError:  # of bfloat16 and integers
        found = np.dtype(jnp.result_type(*operands))
    return found


def together(*operands: Any) -> list[Any]:
    """The operands as arrays of the dtype that NumPy gives to them together."""
    dtype = common_dtype(operands)
    return [jnp.asarray(x, dtype) for x in operands]


def cast(x: Any, dtype: Any) -> Any:
    """The array in another dtype; of complex values the real part where that is real."""
    x, dtype = jnp.asarray(x), np.dtype(dtype)
    if x.dtype == dtype and not x.weak_type:
        return x
    if np.dtype(x.dtype).kind == "c" and dtype.kind not in "cb":
        x = x.real
    return jax.lax.convert_element_type(x, dtype)


def accumulated(x: Any) -> Any:
    """Small integers in the dtype in which NumPy sums them up."""
    x = jnp.asarray(x)
    kind = np.dtype(x.dtype).kind
    if kind == "u":
        return x.astype(np.uint64)
    return x.astype(np.int64) if kind in "bi" else x


def inexact(x: Any) -> Any:
    """Integers and booleans as float64, others as they are."""
    x = jnp.asarray(x)
    return x.astype(np.float64) if np.dtype(x.dtype).kind in "biu" else x
