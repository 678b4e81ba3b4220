"""Samples of `scipy.stats`; none where scipy is not installed."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

SAMPLES: list[Sample] = []

if importlib.util.find_spec("scipy") is not None:
    from pycograd.scipy import stats

    draw = Draw("scipy_stats")
    _REAL: dict[str, Any] = {"complex": False, "dtypes": []}
    _Z = draw.uniform(0.2, 0.8, 2)

    def _family(name: str, *shapes: float) -> Sample:
        family = getattr(stats, name)
        return Sample(
            "where",
            lambda x, s: family.logpdf(x, *shapes, 0.0, s),
            [_Z, 1.3],
            name=f"stats-{name}",
            **_REAL,
        )

    def _counts(name: str, *shapes: Any) -> Sample:
        family = getattr(stats, name)
        return Sample(
            "where",
            lambda p, k: family.logpmf(k, *shapes, p),
            [draw.uniform(0.2, 0.8, 2), draw.integers(2, 2) % 2 + (name == "geom")],
            name=f"stats-{name}",
            **_REAL,
        )

    SAMPLES += [
        *[_family(name) for name in ("norm", "expon", "laplace", "cauchy", "uniform", "logistic")],
        _family("t", 3.5),
        _family("gamma", 2.3),
        _family("chi2", 3.0),
        _family("lognorm", 0.8),
        _family("beta", 1.4, 2.2),
        *[_counts(name) for name in ("poisson", "bernoulli", "geom")],
        _counts("binom", 3),
        _counts("nbinom", 2.5),
        Sample(
            "cholesky",
            lambda x, a: stats.multivariate_normal.logpdf(x, a[0], a @ a.T + 3 * np.eye(2)),
            [draw.normal(2), draw.normal(2, 2)],
            name="stats-multivariate_normal",
            symbolic=False,
            **_REAL,
        ),
        Sample(
            "sum",
            lambda x, a: stats.dirichlet.logpdf(x / np.sum(x), a),
            [draw.positive(3), draw.positive(3)],
            name="stats-dirichlet",
            symbolic=False,
            **_REAL,
        ),
    ]
