"""`device(name)`: a block whose computations live on the arrays of another library."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

from pycograd.core.backend import Backend
from pycograd.plugins.hub import default_name, resolve


def device(name: str | Backend | None = None) -> AbstractContextManager[None]:
    """A block in which the inputs of transforms go to a device, so that all that follows is there.

    Results stay where they were computed, as `DeviceArray`; `np.asarray(result)` brings one home.

    Arguments:
        name: `backend[:device]`, as in `"torch"`, `"torch:cuda:1"` and `"numpy"`, or
            `backend@distribution[:device]`; what PYCOGRAD_BACKEND says if left out.

    Returns:
        A context manager.

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
        devices = sys.modules.get("pycograd.core.device")
        # Where no block of a device is open, there is nothing to leave either.
        return nullcontext() if devices is None else devices.on(None)
    from pycograd.core.device import on, trace_of

    return on(trace_of(backend, place))
