"""Samples of `pycograd.ops.ufuncs`: programs that go through it, as it has no primitives."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("ufuncs")

_X, _Y, _DISTINCT = draw.normal(3, 4), draw.positive(3, 4), draw.distinct(3, 4)
_MASK = draw.mask(3, 4)


def _masked_log(x: Any) -> Any:
    return np.log(x, out=x * 0, where=_MASK)


def _counted(ufunc: np.ufunc, x: Any, b: Any) -> Any:
    y = x + 0 * b[0, 0]
    ufunc.at(y, [0, 2, 0], b)
    return y


SAMPLES = [
    Sample("log", _masked_log, [_Y], name="masked", symbolic=False),
    Sample("log", _masked_log, [np.where(_MASK, _Y, -_Y)], name="masked-out", symbolic=False,
           dtypes=["float32"], skip={"vmap": "other rows have the mask in other places",
                                     "vmap_grad": "other rows have the mask in other places"}),
    *[
        Sample(
            "index_add" if ufunc in (np.add, np.subtract) else "index_update",
            lambda x, b, ufunc=ufunc: _counted(ufunc, x, b),
            [_X, draw.positive(3, 4)],
            name=f"{ufunc.__name__}.at",
            symbolic=False,
        )
        for ufunc in (np.add, np.subtract, np.multiply, np.divide)
    ],
    *[
        Sample(
            "subtract" if ufunc is np.subtract else "multiply",
            ufunc.outer,
            [_X, draw.normal(2)],
            name=f"{ufunc.__name__}.outer",
        )
        for ufunc in (np.subtract, np.multiply)
    ],
    *[
        Sample(
            name,
            lambda x, ufunc=ufunc: ufunc.reduceat(x, [0, 2, 1, 3], axis=1),
            [_DISTINCT],
            name="reduceat",
        )
        for name, ufunc in (
            ("sum", np.add), ("prod", np.multiply), ("max", np.maximum), ("min", np.minimum)
        )
    ],
]  # fmt: skip
