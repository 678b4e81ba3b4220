"""Samples of `pycograd.ops.creation`, which is all written in NumPy over other operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("creation")

_LOW, _HIGH, _X = draw.positive(2), draw.positive(2) + 2, draw.normal(2, 3)
_SHORT: dict[str, Any] = {"complex": False, "symbolic": False}


def _filled(x: Any) -> Any:
    made = np.zeros((3, 2), like=x)
    made[0], made[1:, 1] = x[:, 0], x[0, 1:] * 2
    return made


def _written_like(x: Any) -> Any:
    made = np.ones_like(x)
    made[:, 0] = x[:, 1]
    return made * x


SAMPLES = [
    Sample("where", lambda a, b: np.linspace(a, b, 4), [_LOW, _HIGH], **_SHORT),
    Sample(
        "add",
        lambda a, b: np.linspace(a, b, 3, endpoint=False, axis=1),
        [_LOW, _HIGH],
        name="linspace-open",
        **_SHORT,
    ),
    Sample(
        "power", lambda a, b: np.logspace(a, b, 3), [_LOW / 2, _HIGH / 2], name="logspace", **_SHORT
    ),
    Sample("power", lambda a, b: np.geomspace(a, b, 4), [_LOW, _HIGH], name="geomspace", **_SHORT),
    Sample("index_update", _filled, [_X], name="zeros-like", **_SHORT),
    Sample("index_update", _written_like, [_X], name="ones_like"),
    Sample("stack", lambda x: np.array([x, 2 * x], like=x), [_X], name="array-like", **_SHORT),
    Sample("broadcast_to", lambda x: np.full((3, 2), x, like=x), [_LOW], name="full"),
    Sample(
        "broadcast_to",
        lambda x, v: np.full_like(x + 0 * v, v) * x,  # its first argument must be the box
        [_X, np.array(0.7)],
        name="full_like",
        symbolic=False,
    ),
]
