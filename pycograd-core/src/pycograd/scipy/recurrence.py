"""The linear recurrence of an all-pole filter, `y[n] = u[n] - a[0] y[n-1] - a[1] y[n-2] - ...`."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.signal

from pycograd.core.aval import make_aval, promote, shape_of
from pycograd.core.primitive import bind
from pycograd.scipy.kinds import Adjoint, by_rows


def _impl(a: Any, u: Any) -> Any:
    u = np.asarray(u)
    dtype = np.result_type(a, u)
    poles = np.concatenate([np.ones(1, dtype), np.asarray(a, dtype)])
    return scipy.signal.lfilter(np.ones(1, dtype), poles, u.astype(dtype, copy=False))


def delayed(y: Any, k: int) -> Any:
    """`y[n - k]`, with zeros before the start."""
    width = [(0, 0)] * (len(shape_of(y)) - 1) + [(k, 0)]
    return np.pad(y, width)[..., : shape_of(y)[-1]]


def _tangent(tangents: Any, values: Any, ans: Any) -> Any:
    da, du = tangents
    if da is not None:
        for k in range(1, shape_of(values[0])[0] + 1):
            term = da[k - 1] * delayed(ans, k)
            du = -term if du is None else du - term
    return bind(all_pole, (values[0], du), {})


def _pull(ct: Any, live: Any, values: Any, ans: Any) -> Any:
    """The transposed recurrence runs backwards in time."""
    moved = np.flip(bind(all_pole, (values[0], np.flip(ct, -1)), {}), -1)
    found = []
    if 0 in live:
        orders = range(1, shape_of(values[0])[0] + 1)
        found.append(-np.stack([np.sum(moved * delayed(ans, k)) for k in orders]))
    return [*found, moved] if 1 in live else found


def _batch(size: Any, values: Any, mapped: Any) -> Any:
    if mapped[0]:
        return by_rows(all_pole, size, values, mapped, {})
    return bind(all_pole, values, {})


all_pole = Adjoint(
    "all_pole",
    _impl,
    tangent=_tangent,
    pull=_pull,
    shape=lambda a, u: make_aval(u.shape, promote((a, u))),
    batch=_batch,
    cost="memory",
)
