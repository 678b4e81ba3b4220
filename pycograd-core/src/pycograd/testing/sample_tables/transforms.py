"""Samples of the primitives that are defined outside `pycograd.ops`."""

from __future__ import annotations

from pycograd import random
from pycograd.testing.samples import Draw, Sample
from pycograd.transforms.custom import stop_gradient

draw = Draw("transforms")

SAMPLES = [
    # Constant by definition, whatever differences say: no operand is differentiated.
    Sample("stop_gradient", stop_gradient, [draw.normal(2, 3)], wrt=()),
    *[
        Sample("random_draw", f, [random.key(7)], symbolic=False)
        for f in (
            lambda key: random.uniform(key, (3, 2)),
            lambda key: random.normal(random.fold_in(key, 3), (2,)),
            lambda key: random.randint(random.split(key)[1], 0, 9, (4,)),
        )
    ],
]
