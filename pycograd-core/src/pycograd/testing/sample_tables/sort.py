"""Samples of `pycograd.ops.sort`."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("sort")

_X, _ORDERED = draw.distinct(3, 4), np.sort(draw.distinct(5))
_KEYS = draw.integers(3, 2, 6)

SAMPLES = [
    *[
        Sample("argsort", lambda x, axis=axis: np.sort(x, axis=axis), [_X], name=f"sort-{axis}")
        for axis in (None, 0, -1)
    ],
    Sample("argsort", lambda x: np.argsort(x, axis=0), [_X], name="argsort"),
    Sample("argsort", lambda x: np.sort(x, stable=True), [_X], name="stable"),
    Sample("argsort", np.lexsort, [_KEYS], name="lexsort", symbolic=False),
    # The order on either side of the chosen entries is NumPy's own business: only these are taken.
    Sample("argpartition", lambda x: np.partition(x, 2, axis=1)[:, 2], [_X]),
    Sample("argpartition", lambda x: np.partition(x, (0, -1))[:, [0, -1]], [_X], name="several"),
    Sample(
        "argpartition",
        lambda x: np.partition(x, (0, 1, 2), axis=0),
        [_X],
        name="all",
        symbolic=False,
    ),
    Sample("argpartition", lambda x: np.argpartition(x, 2, axis=1)[:, 2], [_X], name="positions"),
    Sample("argsort", np.sort_complex, [draw.complex(2, 3)], name="sort_complex"),
    Sample("searchsorted", lambda x: np.digitize(x, [-0.5, 0.1, 0.7]), [_X], name="digitize"),
    *[
        Sample(
            "searchsorted",
            lambda a, v, side=side: np.searchsorted(a, v, side),
            [_ORDERED, np.append(_ORDERED[:3], [-9.0, 0.05, 9.0])],
            name=side,
            others=[(_ORDERED + 1, np.append(_ORDERED[1:4], [-9.0, 0.15, 9.0]))] * 2,
            symbolic=False,
        )
        for side in ("left", "right")
    ],
]
