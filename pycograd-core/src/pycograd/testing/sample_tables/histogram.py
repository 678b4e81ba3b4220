"""Samples of `pycograd.ops.histogram`, which has no primitives of its own."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("histogram")

_X, _Y, _W = draw.distinct(6), draw.distinct(6), draw.positive(6)
_AT = np.array([0, 2, 1, 2, 0, 3])

SAMPLES = [
    Sample("scatter", lambda w, x: np.bincount(x, w, minlength=5), [_W, _AT], name="bincount",
           complex=False, data_dependent_shape=True),
    Sample("scatter", lambda x, w: np.histogram(x, 3, weights=w), [_X, _W], name="histogram",
           complex=False),
    Sample("scatter", lambda x: np.histogram(x, 3, density=True), [_X], name="density",
           complex=False),
    Sample("scatter", lambda x: np.histogram(x, [-1.0, 0.0, 0.5], range=(-1, 1)), [_X],
           name="edges", complex=False),
    Sample("min", lambda x: np.histogram_bin_edges(x, 4), [_X],
           name="histogram_bin_edges", complex=False),
    Sample("scatter", lambda x, y, w: np.histogram2d(x, y, [2, 3], weights=w), [_X, _Y, _W],
           name="histogram2d", complex=False),
    Sample("scatter", lambda x: np.histogramdd(x, (2, 3), density=True)[0], [np.stack([_X, _Y], 1)],
           name="histogramdd", complex=False),
]  # fmt: skip
