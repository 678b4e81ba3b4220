"""Samples of `pycograd.ops.gradient`, which has no primitives of its own."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("gradient")

_F, _AT = draw.normal(4, 3), np.array([0.0, 0.4, 1.5])
_ANGLES = np.cumsum(draw.uniform(1.0, 5.0, 3, 4) * np.where(draw.mask(3, 4), 1, -1), 1)

SAMPLES = [
    *[
        Sample(
            "concatenate",
            lambda f, x, h, order=order: np.gradient(f, h, x, edge_order=order),
            [_F, _AT, np.array(0.7)],
            name=f"gradient-{order}",
            others=[(-_F, _AT * 1.1, np.array(0.6)), (_F * 2, _AT + [0, 0.1, 0.3], np.array(0.8))],
            complex=False,
        )
        for order in (1, 2)
    ],
    Sample("concatenate", lambda f: np.gradient(f, axis=1), [_F], name="gradient-axis"),
    Sample("concatenate", np.unwrap, [_ANGLES], name="unwrap", complex=False),
    Sample(
        "concatenate",
        lambda p, period: np.unwrap(p + 0 * period, axis=0, discont=2.5, period=period),
        [_ANGLES, np.array(3.3)],
        name="unwrap-period",
        others=[(_ANGLES * 1.1, np.array(3.4)), (_ANGLES[::-1], np.array(3.2))],
        complex=False,
    ),
]
