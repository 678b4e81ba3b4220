"""Samples of `pycograd.ops.statistics`."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("statistics")

SAMPLES = [
    Sample(
        "deviation",
        lambda x: np.std(x, axis=1),
        [draw.normal(2, 3)],
        kinks=[Kink([np.full((2, 3), 0.7)], [np.zeros((2, 3))])],
    ),
    Sample("deviation", lambda x: np.std(x, ddof=1), [draw.normal(2, 3)], name="all"),
]
