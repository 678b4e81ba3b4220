"""einops on differentiated arrays.

`einops.rearrange`, `reduce`, `repeat`, `einsum`, `pack` and `unpack` work on boxes as they stand:
a box says that it is an array of NumPy, and the functions that einops calls for these reach it.
A backend of our own adds what einops refuses NumPy's arrays.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any

from pycograd.core.aval import dtype_of, is_inexact
from pycograd.core.box import Box

__all__ = ["register_einops_backend"]

_lock = threading.Lock()


def register_einops_backend() -> None:
    """Has einops ask pycograd, and not its backend for NumPy, what to do with boxes.

    Nothing needs it but means of complex values, which einops refuses NumPy's arrays. A second call
    changes nothing.

    Raises:
        ImportError: einops is not installed.

    >>> register_einops_backend()  # doctest: +SKIP
    """
    try:
        backends: Any = importlib.import_module("einops._backends")
    except ImportError as error:
        raise ImportError("einops is not installed: pip install einops") from error
    with _lock:
        loaded = backends._loaded_backends
        if "pycograd" in loaded:
            return
        ours = type("PycogradBackend", (backends.NumpyBackend,), _METHODS)()
        others = dict(loaded)
        loaded.clear()  # einops asks them in this order, and NumPy's would say yes
        loaded.update(pycograd=ours, **others)
        for kind in [kind for kind in backends._type2backend if issubclass(kind, Box)]:
            del backends._type2backend[kind]


_METHODS: dict[str, Any] = {
    "framework_name": "pycograd",
    "is_appropriate_type": lambda self, tensor: issubclass(type(tensor), Box),
    "is_float_type": lambda self, x: is_inexact(dtype_of(x)),
}
