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
        Sample(
            "ode",
            lambda k: (
                integrate.solve_ivp(
                    lambda t, y, k: -k * y * np.cos(t),
                    (0.0, 1.0),
                    np.ones(2),
                    t_eval=[0.5, 1.0],
                    args=(k,),
                    rtol=1e-11,
                    atol=1e-11,
                ).y
            ),
            [draw.positive(2)],
            name="solve_ivp",
            complex=False,
            dtypes=[],
            symbolic=False,
            rtol=1e-5,
        ),
        *[
            Sample(
                "sum" if name != "cumulative_trapezoid" else "cumsum",
                lambda y, x, name=name: getattr(integrate, name)(y, x=x, axis=0),
                [draw.normal(4, 2), np.cumsum(draw.positive(4))],
                name=name,
                symbolic=False,
                others=[[draw.normal(4, 2), np.cumsum(draw.positive(4))] for _ in range(3)],
                complex=False,
                dtypes=[],
            )
            for name in ("trapezoid", "simpson", "cumulative_trapezoid")
        ],
        Sample(
            "sum",
            lambda a, b, k: integrate.fixed_quad(lambda x, k: np.exp(-k * x), a, b, (k,))[0],
            [0.2, 1.3, 0.7],
            name="fixed_quad",
            complex=False,
            dtypes=[],
        ),
        Sample(
            "matmul",
            lambda y: integrate.romb(y, 0.5, 0),
            [draw.normal(5, 2)],
            name="romb",
            complex=False,
            symbolic=False,
            dtypes=[],
            skip={"value": "scipy extrapolates step by step, with another rounding"},
        ),
    ]
