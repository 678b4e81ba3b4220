"""Samples of `pycograd.ops.apply`, which has no primitives of its own."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("apply")

_X = draw.normal(2, 3)

SAMPLES = [
    Sample(
        "stack",
        lambda x: np.apply_along_axis(lambda row, c: row[:2] * c + np.sum(row), 1, x, 2.0),
        [_X],
        name="apply_along_axis",
        symbolic=False,
    ),
    Sample(
        "sum",
        lambda x: np.apply_over_axes(np.sum, x, (0, -1)),
        [draw.normal(2, 3, 2)],
        name="apply_over_axes",
    ),
    Sample(
        "reshape",
        lambda x, i: x[np.ix_(i, [0, 2])],
        [_X, np.array([1, 0, 1])],
        name="ix_",
        symbolic=False,
    ),
    Sample(
        "stack",
        lambda x, y: np.frompyfunc(lambda a, b: np.sin(a) * b, 2, 1)(x, y).astype(np.float64),
        [_X, np.array(0.7)],
        name="frompyfunc",
        symbolic=False,
        complex=False,  # NumPy's result is an array of objects
    ),
]  # fmt: skip
