"""Samples of `pycograd.ops.trim`."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("trim")

_PADDED = np.pad(draw.normal(3), (2, 1))

SAMPLES = [
    *[
        Sample(
            "kept_entries",
            lambda x, ends=ends: np.trim_zeros(x * (_PADDED != 0), ends),
            [_PADDED],
            name=ends,
            data_dependent_shape=True,
        )
        for ends in ("fb", "f", "b")
    ],
]
