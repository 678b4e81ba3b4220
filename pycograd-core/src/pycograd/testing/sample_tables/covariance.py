"""Samples of `pycograd.ops.covariance`, which has no primitives of its own."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("covariance")

_X, _Y, _COUNTS = draw.normal(2, 5), draw.normal(3, 5), draw.integers(3, 5) + 1

SAMPLES = [
    Sample("matmul", lambda x, y: np.cov(x, y), [_X, _Y], name="cov", symbolic=False),
    Sample("matmul", lambda x: np.cov(x, bias=True), [draw.normal(4)], name="cov-line"),
    Sample(
        "matmul",
        lambda x, w: np.cov(x, rowvar=False, aweights=w, fweights=_COUNTS),
        [_X.T, draw.positive(5)],
        name="cov-weights",
        complex=False,
        symbolic=False,
    ),
    Sample("matmul", np.corrcoef, [_X], name="corrcoef", symbolic=False),
]
