"""Samples of pooling and upsampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd import nn
from pycograd.nn.pool import spread
from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("pool")


def _sample(primitive: str, f: Callable[..., Any], x: Any, **options: Any) -> Sample:
    return Sample(primitive, f, [x], **options)


_TIES = Kink([np.ones((1, 1, 2, 3))], [[[[[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]]]]])
_LEAST = Kink([np.full((1, 1, 2, 2), -np.inf)], [np.full((1, 1, 2, 2), 0.25)])

SAMPLES = [
    _sample(
        "max_pool",
        lambda x: nn.max_pool2d(x, 2, 1),
        draw.distinct(2, 1, 3, 3),
        complex=False,
        kinks=[_TIES],
    ),
    _sample(
        "max_pool",
        lambda x: nn.max_pool2d(x, (2, 3), (2, 1), ((1, 0), (1, 2))),
        draw.distinct(2, 1, 3, 3),
        complex=False,
        name="padded",
    ),
    _sample(
        "max_pool",
        lambda x: nn.max_pool2d(x, 3, 3, 1),
        draw.distinct(1, 1, 2, 2),
        complex=False,
        name="of nothing but padding and -inf",
        symbolic=False,
        kinks=[_LEAST],
    ),
    _sample("sum_pool", lambda x: nn.avg_pool2d(x, 2), draw.normal(2, 1, 4, 5)),
    _sample(
        "sum_pool",
        lambda x: nn.avg_pool2d(x, (3, 2), (2, 3), ((1, 2), (1, 0))),
        draw.normal(2, 1, 3, 4),
        name="padded",
    ),
    _sample("spread", lambda x: nn.upsample_nearest2d(x, (2, 3)), draw.normal(3, 1, 2, 2)),
    _sample(
        "spread",
        lambda z: spread(z, sizes=(5, 4), k=(3, 2), stride=(2, 1), pad=((1, 0), (-1, 1))),
        draw.normal(3, 2, 3),
        name="overlapping",
    ),
]
