"""Samples of the primitives that `pycograd.transforms` defines."""

from __future__ import annotations

from pycograd.testing.samples import Draw, Sample
from pycograd.transforms.custom import stop_gradient

draw = Draw("transforms")

SAMPLES = [
    # Constant by definition, whatever differences say: no operand is differentiated.
    Sample("stop_gradient", stop_gradient, [draw.normal(2, 3)], wrt=()),
]
