"""Samples of `pycograd.ops.creation`, which is all written in NumPy over other operations."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("creation")

_LOW, _HIGH, _X, _LINE = draw.positive(2), draw.positive(2) + 2, draw.normal(2, 3), draw.normal(3)
_SHORT: dict[str, Any] = {"complex": False, "symbolic": False}


def _filled(x: Any) -> Any:
    made = np.zeros((3, 2), like=x)
    made[0], made[1:, 1] = x[:, 0], x[0, 1:] * 2
    return made


def _written_like(x: Any) -> Any:
    made = np.ones_like(x)
    made[:, 0] = x[:, 1]
    return made * x


def _from_file(x: Any) -> Any:
    with tempfile.TemporaryFile() as file:
        file.write(b"\1\2\3")
        file.seek(0)
        return np.fromfile(file, np.uint8, like=x)


# What makes constants, each of three entries. What `empty` holds is undefined, its power 0 is not.
_CONSTANTS: dict[str, Callable[[Any], Any]] = {
    "ones": lambda x: np.ones(3, like=x),
    "empty": lambda x: np.empty(3, like=x) ** 0,
    "zeros_like": lambda x: np.zeros_like(x) + 1.5,
    "empty_like": lambda x: np.empty_like(x) ** 0,
    "arange": lambda x: np.arange(3.0, like=x),
    "eye": lambda x: np.eye(3, like=x),
    "identity": lambda x: np.identity(3, like=x),
    "tri": lambda x: np.tri(3, like=x),
    "fromiter": lambda x: np.fromiter([1.5, 2.0, 3.0], float, like=x),
    "frombuffer": lambda x: np.frombuffer(b"\1\2\3", np.uint8, like=x),
    "fromstring": lambda x: np.fromstring("1 2 3", sep=" ", like=x),
    "fromfile": _from_file,
    "loadtxt": lambda x: np.loadtxt(io.StringIO("1 2 3"), like=x),
    "genfromtxt": lambda x: np.genfromtxt(io.StringIO("1 2 3"), like=x),
}

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
    *[
        Sample("multiply", lambda x, make=make: make(x) * x, [_LINE], name=name, **_SHORT)
        for name, make in _CONSTANTS.items()
    ],
    Sample("stack", lambda x: np.asarray([x, 2 * x], like=x), [_LINE], name="asarray"),
    Sample("multiply", lambda x: np.asanyarray(x * 2, like=x), [_LINE], name="asanyarray"),
    Sample("copy", lambda x: np.ascontiguousarray(x.T, like=x), [_X], name="ascontiguousarray"),
    Sample("multiply", lambda x: np.asfortranarray(x * 2, like=x), [_X], name="asfortranarray"),
    Sample("multiply", lambda x: np.require(2 * x, None, "C", like=x), [_X], name="require"),
    Sample(
        "add",
        lambda x: np.fromfunction(lambda i, j: x * i + j, (2, 3), like=x),
        [_X],
        name="fromfunction",
    ),
]
