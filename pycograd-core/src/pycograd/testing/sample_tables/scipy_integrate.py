"""Samples of `scipy.ode` and `scipy.quadrature`; none where scipy is not installed."""

from __future__ import annotations

import importlib.util

import numpy as np

from pycograd.testing.samples import Draw, Sample

SAMPLES: list[Sample] = []

if importlib.util.find_spec("scipy") is not None:
    from pycograd.scipy import integrate

    draw = Draw("scipy_integrate")

    SAMPLES += [
        Sample(
            "ode",
            lambda y0, k, t: integrate.odeint(
                lambda y, t, k: -k * y + np.flip(y) * np.cos(t),
                y0,
                np.cumsum(t),
                (k,),
                rtol=1e-11,
                atol=1e-11,
            ),
            [draw.normal(2), draw.positive(2), draw.uniform(0.3, 0.5, 3)],
            complex=False,
            dtypes=[],
            symbolic=False,
            rtol=1e-5,
        ),
        Sample(
            "integral",
            lambda a, b, k: integrate.quad(
                lambda x, k: np.sum(np.exp(-k * x)), a, b, (k,), epsabs=1e-12
            )[0],
            [0.2, 1.3, draw.positive(3)],
            complex=False,
            dtypes=[],
        ),
    ]
