"""Samples of `scipy.implicit`; none where scipy is not installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

SAMPLES: list[Sample] = []

if importlib.util.find_spec("scipy") is not None:
    from pycograd.scipy import optimize

    draw = Draw("scipy_optimize")

    def _system(x: Any, a: Any, b: Any) -> Any:
        return x**3 + x * np.flip(x) * b - a

    SAMPLES += [
        Sample(
            "implicit",
            lambda a, b: optimize.root(_system, np.ones(2), (a, b), tol=1e-14).x,
            [draw.positive(2), 0.2],
            name="root",
            complex=False,
            dtypes=[],
            symbolic=False,
        ),
        Sample(
            "implicit",
            lambda a: optimize.newton(lambda x, a: x**3 + x - a, 1.0 + 0 * a, args=(a,), tol=1e-14),
            [draw.positive(2)],
            name="newton",
            complex=False,
            dtypes=[],
        ),
    ]
