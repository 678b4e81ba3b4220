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

    def _cubic(x: Any, a: Any) -> Any:
        return x**3 + x - a

    def _bowl(x: Any, a: Any) -> Any:
        return np.sum(np.cosh(x - a)) + (x[0] - x[1]) ** 2

    def _slope(x: Any, a: Any) -> Any:
        return np.sinh(x - a) + 2 * (x[0] - x[1]) * np.array([1.0, -1.0])

    def _curvature(x: Any, a: Any) -> Any:
        return np.diag(np.cosh(x - a)) + 2 * np.array([[1.0, -1.0], [-1.0, 1.0]])

    _T = np.linspace(0.1, 1.0, 3)

    def _misfit(p: Any, y: Any) -> Any:
        return np.exp(-p[0] * _T) - y

    def _misfit_slope(p: Any, y: Any) -> Any:
        return -(_T * np.exp(-p[0] * _T))[:, None]

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
        *[
            Sample(
                "implicit",
                lambda a, name=name: getattr(optimize, name)(_cubic, 0.0, 3.0, (a,)),
                [1.7],
                name=name,
                complex=False,
                dtypes=[],
            )
            for name in ("brentq", "brenth", "ridder", "bisect", "toms748")
        ],
        Sample(
            "implicit",
            lambda a: optimize.root_scalar(_cubic, (a,), bracket=(0.0, 3.0)).root,
            [1.7],
            name="root_scalar",
            complex=False,
            dtypes=[],
        ),
        Sample(
            "implicit",
            lambda a: optimize.fixed_point(
                lambda x, a: np.cos(a * x), np.full(2, 0.7), (a,), xtol=1e-13
            ),
            [draw.uniform(0.6, 0.9, 2)],
            name="fixed_point",
            complex=False,
            dtypes=[],
            symbolic=False,
        ),
        Sample(
            "implicit",
            lambda a: (
                optimize.minimize(
                    _bowl, np.zeros(2), (a,), "trust-exact", _slope, _curvature, tol=1e-13
                ).x
            ),
            [draw.uniform(-0.5, 0.5, 2)],
            name="minimize",
            complex=False,
            dtypes=[],
            symbolic=False,
        ),
        Sample(
            "implicit",
            lambda y: (
                optimize.least_squares(
                    _misfit,
                    np.ones(1),
                    _misfit_slope,
                    args=(y,),
                    ftol=1e-15,
                    xtol=1e-15,
                    gtol=1e-15,
                ).x
            ),
            [np.exp(-1.3 * _T) + 0.05 * draw.normal(3)],
            name="least_squares",
            complex=False,
            dtypes=[],
            symbolic=False,
            others=[[np.exp(-1.3 * _T) + 0.05 * draw.normal(3)] for _ in range(3)],
        ),
        Sample(
            "implicit",
            lambda a: optimize.minimize_scalar(lambda x, a: np.cosh(x - a), args=(a,)).x,
            [0.7],
            name="minimize_scalar",
            complex=False,
            dtypes=[],
            rtol=1e-4,
            skip={
                "second": "the minimum is known to half of the digits, its derivatives to fewer",
                "jvp": "differences of a minimum known to half of the digits",
            },
        ),
        Sample(
            "implicit",
            lambda y: optimize.curve_fit(lambda x, b: np.exp(-b * x), _T, y, np.ones(1))[0],
            [np.exp(-1.3 * _T) + 0.05 * draw.normal(3)],
            name="curve_fit",
            complex=False,
            dtypes=[],
            symbolic=False,
            rtol=1e-3,
            others=[[np.exp(-1.3 * _T) + 0.05 * draw.normal(3)] for _ in range(3)],
            skip={
                "jvp": "differences of a fit known to half of the digits",
                "second": "likewise",
                "vmap": "likewise",
                "vmap_grad": "likewise",
            },
        ),
    ]
