"""Samples of `pycograd.ops.interpolate`, which has no primitives of its own."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("interpolate")

_KNOTS, _VALUES = np.array([-1.0, 0.1, 0.9, 2.0]), draw.normal(4)
_AT = np.array([[-1.7, -0.5, 0.3], [0.75, 1.2, 2.4]])

SAMPLES = [
    Sample(
        "searchsorted",
        np.interp,
        [_AT, _KNOTS, _VALUES],
        name="interp",
        others=[(_AT[::-1] + 0.05, _KNOTS + 0.01, _VALUES[::-1]), (_AT, _KNOTS * 1.1, _VALUES)],
        complex=False,
        kinks=[
            # At a knot the slope to the right, at the last one that to the left.
            Kink([np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 3.0])],
                 [[2.0, 0.5, 0.5], [-2.0, -0.5, -0.5], [1.0, 1.0, 1.0]]),
            Kink([np.array([5.0]), np.array([1.0]), np.array([2.0])], [[0.0], [0.0], [1.0]]),
        ],
    ),
    Sample(
        "searchsorted",
        lambda x, fp, end: np.interp(x, _KNOTS, fp * end, left=end, right=2 * end),
        [_AT, _VALUES, np.array(0.7)],
        name="interp-ends",
        others=[(_AT + 0.04, _VALUES[::-1], np.array(0.2)), (_AT, _VALUES, np.array(1.2))],
        complex=False,
        symbolic=False,
    ),
    Sample(
        "searchsorted",
        lambda x, xp, fp: np.interp(x, xp, fp, period=2.5),
        [_AT, np.array([0.2, 1.9, 0.9, 3.1]), _VALUES],
        name="interp-period",
        complex=False,
        symbolic=False,
    ),
]  # fmt: skip
