"""Samples of `pycograd.ops.statistics` and `pycograd.ops.quantiles`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("statistics")

_X, _WEIGHTS, _MASK = draw.distinct(3, 4), draw.positive(3, 4), draw.mask(3, 4)


def _holes(x: Any) -> Any:
    return np.where(_MASK, x, np.nan)


SAMPLES = [
    Sample(
        "deviation",
        lambda x: np.std(x, axis=1),
        [draw.normal(2, 3)],
        kinks=[Kink([np.full((2, 3), 0.7)], [np.zeros((2, 3))])],
    ),
    Sample("deviation", lambda x: np.std(x, ddof=1), [draw.normal(2, 3)], name="all"),
    Sample("sum", lambda x: np.mean(x, axis=1, keepdims=True), [_X], name="mean"),
    Sample("square", lambda x: np.var(x, axis=0, ddof=1), [_X], name="var"),
    Sample("sum", lambda x: np.average(x, axis=0), [_X], name="average"),
    Sample(
        "divide",
        lambda x, w: np.average(x, axis=1, weights=w),
        [_X, _WEIGHTS],
        name="average-weighted",
    ),
    # -- without nans
    *[
        Sample(primitive, lambda x, f=f: f(_holes(x), axis=1), [_X], name=f.__name__)
        for primitive, f in (
            ("sum", np.nansum),
            ("prod", np.nanprod),
            ("divide", np.nanmean),
            ("square", np.nanvar),
            ("deviation", np.nanstd),
            ("argmax", np.nanargmax),
            ("argmin", np.nanargmin),
        )
    ],
    # -- quantiles
    *[
        Sample("argsort", lambda x, f=f: f(x, axis=1), [draw.distinct(3, 5)], name=f.__name__)
        for f in (np.median, np.nanmedian)
    ],
    Sample("argsort", lambda x: np.nanmedian(_holes(x)), [_X], name="nanmedian-holes"),
    *[
        Sample("argsort", lambda x, f=f: f(x, [0.2, 0.9], axis=0), [_X], name=f.__name__)
        for f in (np.quantile, np.nanquantile)
    ],
    *[
        Sample("argsort", lambda x, f=f: f(x, 35.0, axis=1), [_X], name=f.__name__)
        for f in (np.percentile, np.nanpercentile)
    ],
    Sample(
        "argsort",
        lambda x: np.quantile(x, 0.35, axis=1, method="hazen"),
        [_X],
        name="quantile-hazen",
    ),
    Sample(
        "gather",
        lambda x, w: np.quantile(x, [0.3, 0.8], axis=1, weights=w, method="inverted_cdf"),
        [_X, np.sqrt(np.arange(1.0, 1 + _X.size)).reshape(_X.shape)],
        name="quantile-weights",
        complex=False,
    ),
]
