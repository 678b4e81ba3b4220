"""Samples of `pycograd.ops.polynomial`, which has no primitives of its own."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("polynomial")

_P, _Q, _X = draw.normal(4), draw.normal(2), draw.normal(2, 3)

SAMPLES = [
    Sample("multiply", np.polyval, [_P, _X], name="polyval", symbolic=[(4,), ("B", 3)]),
    Sample("multiply", np.vander, [_P], name="vander", symbolic=False),
    Sample("multiply", lambda x: np.vander(x, 3, increasing=True), [_P], name="vander-up"),
    Sample("add", np.polyadd, [_P, _Q], name="polyadd", symbolic=False),
    Sample("subtract", np.polysub, [_Q, _P], name="polysub", symbolic=False),
    Sample(
        "convolve",
        np.polymul,
        [_P, _Q],
        name="polymul",
        data_dependent_shape=True,
    ),
    Sample("convolve", np.poly, [_P], name="poly", symbolic=False, complex=False),
    Sample(
        "kept_entries",
        np.polydiv,
        [_P, _Q],
        name="polydiv",
        data_dependent_shape=True,
        skip={"dtype": "which leading coefficients of the remainder are as good as 0 differs"},
    ),
    Sample("multiply", lambda p: np.polyder(p, 2), [_P], name="polyder", symbolic=False),
    Sample(
        "divide",
        lambda p, k: np.polyint(p + 0 * k[0], 2, k),
        [_P, draw.normal(2)],
        name="polyint",
        symbolic=False,
    ),
    Sample(
        "concatenate",
        lambda p: np.roots(np.concatenate([np.ones(1), p, np.zeros(1)])),
        [np.array([-6.0, 11.0, -6.0])],
        name="roots",
        others=[(np.array([-5.0, 6.5, -1.9]),), (np.array([-3.0, 1.0, 0.4]),)],
        data_dependent_shape=True,
        complex=False,
        rtol=1e-5,
    ),
    Sample(
        "matmul",
        lambda x, y, w: np.polyfit(x, y, 1, w=w),
        [draw.distinct(5), draw.normal(5), draw.positive(5)],
        name="polyfit",
        complex=False,
        symbolic=False,
        rtol=1e-5,
    ),
    Sample(
        "multiply",
        lambda x, y: np.polyfit(x, y, 1, cov=True),
        [draw.distinct(5), draw.normal(5, 2)],
        name="polyfit-cov",
        complex=False,
        symbolic=False,
        rtol=1e-5,
    ),
]
