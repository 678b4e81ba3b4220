"""The dtypes of TensorFlow and of NumPy, and arrays of each as arrays of the other."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from pycograd.plugins.api import UnsupportedDtypeError

NAMES = frozenset(
    {
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    }
)


@cache
def tf_dtype(dtype: Any) -> Any:
    """TensorFlow's dtype for one of NumPy's, whatever its byte order; None where there is none."""
    dtype = np.dtype(dtype)
    return tf.as_dtype(dtype.name) if dtype.name in NAMES else None


@cache
def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """NumPy's dtype for one of TensorFlow's.

    Raises:
        UnsupportedDtypeError: of strings and other things that are no numbers.
    """
    if dtype.name not in NAMES:
        raise UnsupportedDtypeError(
            f"backend 'tf': there are no NumPy programs on tensors of dtype {dtype.name}"
        )
    found: np.dtype[Any] = np.dtype(dtype.as_numpy_dtype)
    return found


@cache
def promoted(*dtypes: Any) -> Any:
    """The dtype to which NumPy promotes these."""
    return tf_dtype(np.result_type(*map(numpy_dtype, dtypes)))


def cast(x: Any, dtype: Any) -> Any:
    """A tensor in another of TensorFlow's dtypes; of complex values the real part where that is
    real."""
    if x.dtype == dtype:
        return x
    if x.dtype.is_complex and not dtype.is_complex:
        if dtype == tf.bool:
            return tf.not_equal(x, tf.zeros((), x.dtype))
        x = tf.math.real(x)
    elif dtype.is_complex and not x.dtype.is_complex:  # of which tf.cast has a loud derivative
        x = tf.cast(x, dtype.real_dtype)
        return tf.complex(x, tf.zeros_like(x))
    return tf.cast(x, dtype)


def from_numpy(array: Any, device: str | None) -> Any:
    """A tensor with a copy of the contents of a NumPy array, one that outlives any graph."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    with tf.init_scope(), tf.device(device):
        return tf.constant(array)
