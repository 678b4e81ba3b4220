"""`device(name)`: a block whose computations live on the arrays of another library."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, ContextDecorator
from contextvars import ContextVar
from typing import Any

from pycograd.core.backend import Backend
from pycograd.plugins.hub import default_name, resolve


def device(name: str | Backend | None = None) -> AbstractContextManager[None]:
    """A block in which the inputs of transforms go to a device, so that all that follows is there.

    Results stay where they were computed, as `DeviceArray`; `np.asarray(result)` brings one home.

    Arguments:
        name: `backend[:device]`, as in `"torch"`, `"torch:cuda:1"` and `"numpy"`, or
            `backend@distribution[:device]`; what PYCOGRAD_BACKEND says if left out.

    Returns:
        A context manager, which may be entered again, inside itself and in other threads too.

    Raises:
        UnknownBackendError: there is no such backend; and all that `get_backend` raises.
        BackendUnavailableError: it cannot run here, or has no such device.

    >>> import numpy as np
    >>> with device("numpy"):
    ...     grad(lambda x: np.sum(x * x))(np.ones(2))
    (array([2., 2.]),)
    """
    backend, place = resolve(default_name() if name is None else name)
    if backend.name == "numpy":
        return _Block(None)
    from pycograd.core.device import trace_of

    return _Block(trace_of(backend, place))


_open: ContextVar[Any] = ContextVar("open", default=())  # the innermost block, and those around it


class _Block(ContextDecorator, AbstractContextManager[None]):
    """What `device` returns. None stands for NumPy."""

    def __init__(self, trace: Any) -> None:
        self._trace = trace

    def __enter__(self) -> None:
        devices = sys.modules.get("pycograd.core.device")
        # Where no block of a device was ever open, NumPy's has nothing to leave either.
        block = None if devices is None else devices.on(self._trace)
        if block is not None:
            block.__enter__()
        _open.set((block, _open.get()))

    def __exit__(self, *error: Any) -> None:
        block, around = _open.get()
        _open.set(around)
        if block is not None:
            block.__exit__(*error)
