"""Samples of `pycograd.ops.special`."""

from __future__ import annotations

import numpy as np

from pycograd.ops import special
from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("special")
_ANY = draw.normal(3)

SAMPLES = [
    Sample("sinc", np.sinc, [_ANY], kinks=[Kink([np.zeros(2)], [[0, 0]])]),
    Sample("sinc_derivative", lambda x: special.sinc_derivative(x, 3), [_ANY * 2]),
    Sample("i0", np.i0, [_ANY], kinks=[Kink([np.zeros(2)], [[0, 0]])]),
    Sample("bessel_i", lambda x: special.bessel_i(x, 2), [_ANY]),
    Sample("i0", lambda x: special.kaiser(4, x), [np.array(2.5)], name="kaiser"),
]
