"""Samples of `pycograd.ops.convolve`."""

from __future__ import annotations

import numpy as np

from pycograd.ops.convolve import convolve_of
from pycograd.testing.samples import Draw, Sample

draw = Draw("convolve")

_LONG, _SHORT = draw.normal(5), draw.normal(3)

SAMPLES = [
    *[
        Sample(
            "convolve",
            lambda x, y, f=f, mode=mode: f(x, y, mode),
            operands,
            name=f"{f.__name__}-{mode}-{len(operands[0])}",
            symbolic=mode == "full",
        )
        for f in (np.convolve, np.correlate)
        for mode in ("full", "same", "valid")
        for operands in ([_LONG, _SHORT], [_SHORT, _LONG])
    ],
    # Windows that hang over either end of the full convolution, and signals in rows.
    Sample("convolve", lambda x, y: convolve_of(x, y, start=-2, length=4), [_LONG, _SHORT],
           name="before", symbolic=False),
    Sample("convolve", lambda x, y: convolve_of(x, y, start=4, length=5), [_LONG, _SHORT],
           name="behind", symbolic=False),
    Sample("convolve", lambda x, y: convolve_of(x, y, start=1, length=4),
           [draw.normal(2, 5), draw.normal(3)], name="rows", symbolic=False),
]  # fmt: skip
