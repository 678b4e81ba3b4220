"""Samples of `scipy.interpolate`; none where scipy is not installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

SAMPLES: list[Sample] = []

if importlib.util.find_spec("scipy") is not None:
    from pycograd.scipy import interpolate

    draw = Draw("scipy_interpolate")
    _X = np.array([0.0, 0.7, 1.1, 2.0])
    _AT = draw.uniform(0.1, 1.9, 2)
    _FIXED: dict[str, Any] = {"symbolic": False, "complex": False, "dtypes": []}

    SAMPLES += [
        Sample(
            "structured_solve",
            lambda y, at: interpolate.CubicSpline(_X, y, axis=1, bc_type="natural")(at),
            [draw.normal(2, 4), _AT],
            name="CubicSpline",
            mapped=(0,),
            **_FIXED,
        ),
        Sample(
            "where",
            lambda y, at: interpolate.PchipInterpolator(_X, y)(at, 1),
            [np.cumsum(draw.positive(4)), _AT],
            name="PchipInterpolator",
            others=[[np.cumsum(draw.positive(4)), _AT + 0.01 * i] for i in range(3)],
            **_FIXED,
        ),
        Sample(
            "where",
            lambda y, at: interpolate.Akima1DInterpolator(_X, y)(at),
            [np.cumsum(draw.positive(4)), _AT],
            name="Akima1DInterpolator",
            others=[[np.cumsum(draw.positive(4)), _AT + 0.01 * i] for i in range(3)],
            **_FIXED,
        ),
        Sample(
            "multiply",
            lambda y, s, at: interpolate.CubicHermiteSpline(_X, y, s)(at),
            [draw.normal(4), draw.normal(4), _AT],
            name="CubicHermiteSpline",
            **_FIXED,
        ),
        Sample(
            "gather",
            lambda y, at: interpolate.make_interp_spline(_X, y, k=1)(at),
            [draw.normal(4), _AT],
            name="make_interp_spline",
            **_FIXED,
        ),
        Sample(
            "gather",
            lambda y, at: interpolate.interp1d(_X, y)(at),
            [draw.normal(4), _AT],
            name="interp1d",
            **_FIXED,
        ),
        Sample(
            "gather",
            lambda v, at: interpolate.RegularGridInterpolator((_X, _X[:3]), v)(at),
            [draw.normal(4, 3), np.stack([_AT, 0.4 * _AT], 1)],
            mapped=(0,),
            name="RegularGridInterpolator",
            **_FIXED,
        ),
        Sample(
            "gather",
            lambda v, at: interpolate.interpn((_X,), v, at, "nearest"),
            [draw.normal(4), _AT],
            name="interpn",
            **_FIXED,
        ),
    ]
