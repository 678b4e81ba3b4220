"""Double precision inside our own calls, the user's global setting being left as it is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

import jax

_NOTHING = nullcontext()


def wide() -> AbstractContextManager[Any]:
    """A block in which JAX has 64-bit types, in this thread alone."""
    settings: Any = jax.config
    if settings.jax_enable_x64:
        return _NOTHING
    switch: Any = getattr(jax, "enable_x64", None)
    if switch is None:  # in the releases before 0.8
        switch = import_module("jax.experimental").enable_x64
    block: AbstractContextManager[Any] = switch(True)
    return block
