"""Samples of `pycograd.ops.bits`."""

from __future__ import annotations

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("bits")

_BITS, _BYTES = draw.mask(2, 11), draw.integers(256, 2, 3).astype(np.uint8)

SAMPLES = [
    Sample("bitwise_count", np.bitwise_count, [_BYTES]),
    *[
        Sample("packbits", lambda x, axis=axis: np.packbits(x, axis), [_BITS], name=str(axis))
        for axis in (None, -1)
    ],
    *[
        Sample(
            "unpackbits",
            lambda x, axis=axis, n=n: np.unpackbits(x, axis, n, "little"),
            [_BYTES],
            name=f"{axis}-{n}",
        )
        for axis, n in ((None, None), (-1, 5), (-1, -3))
    ],
]
