"""Samples of `pycograd.ops.sets`, which has no primitives of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("sets")

_A = draw.distinct(5)
_B: Any = np.append(_A[:2] * 1.0, draw.distinct(2) + 0.07)


def _shared(f: Any, unique: bool) -> Any:
    """`f` of values of which some stay equal however the operand moves."""
    return lambda a, b: f(a, np.concatenate([a[:2], b]), assume_unique=unique)


SAMPLES = [
    Sample("distinct", np.union1d, [_A, draw.distinct(3) + 0.07], name="union1d", complex=False,
           data_dependent_shape=True),
    *[
        Sample("gather", _shared(f, unique), [_A, _B[2:]], name=f"{f.__name__}-{unique}",
               complex=False, data_dependent_shape=True)
        for f in (np.intersect1d, np.setxor1d, np.setdiff1d)
        for unique in (False, True)
    ],
    Sample("searchsorted", lambda a, b: np.isin(a, np.concatenate([a[:2], b])), [_A, _B[2:]],
           name="isin", complex=False, symbolic=False),
]  # fmt: skip
