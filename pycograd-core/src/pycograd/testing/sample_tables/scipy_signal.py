"""Samples of `scipy.signal` and `scipy.recurrence`; none where scipy is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

SAMPLES: list[Sample] = []

if importlib.util.find_spec("scipy") is not None:
    from pycograd.scipy import signal

    draw = Draw("scipy_signal")
    _ROUNDED = {"dtype": "a transform's rounding, relative to the largest entry of all"}

    def _pair(f: Callable[..., Any], *shapes: tuple[int, ...], **options: Any) -> Sample:
        return Sample("convolve_nd", f, [draw.normal(*s) for s in shapes], **options)

    SAMPLES += [
        _pair(signal.convolve, (5,), (3,), name="full"),
        _pair(lambda x, y: signal.convolve(x, y, "same", "direct"), (2, 5), (3, 4), name="same"),
        _pair(
            lambda x, y: signal.convolve(x, y, "valid", "fft"),
            (3, 5),
            (2, 3),
            name="valid",
            symbolic=False,
            skip=_ROUNDED,
        ),
        _pair(lambda x, y: signal.correlate(x, y, "same"), (4,), (5,), name="correlate"),
        _pair(
            lambda x, y: signal.fftconvolve(x, y, axes=1),
            (2, 3),
            (1, 4),
            name="fftconvolve over an axis",
            symbolic=False,
            skip=_ROUNDED,
        ),
        _pair(
            lambda x, y: signal.convolve2d(x, y, "same", "symm"),
            (3, 4),
            (2, 3),
            name="convolve2d",
            symbolic=False,
        ),
        Sample(
            "all_pole",
            lambda b, a, x, zi: signal.lfilter(b, np.concatenate([np.ones(1), a]), x, 0, zi),
            [draw.normal(2), 0.3 * draw.normal(2), draw.normal(4, 2), draw.normal(2, 2)],
            name="lfilter",
            symbolic=False,
        ),
        _pair(
            lambda x, y: signal.oaconvolve(x, y, "same"),
            (4,),
            (2,),
            name="oaconvolve",
            symbolic=False,
            dtypes=[],
            skip={"value": "scipy goes over the operand in parts, with another rounding"},
        ),
        _pair(
            lambda x, y: signal.correlate2d(x, y, "same", "wrap"),
            (3, 4),
            (2, 3),
            name="correlate2d",
            symbolic=False,
        ),
        Sample(
            "matmul",
            lambda x: signal.detrend(x, 0, bp=2),
            [draw.normal(4, 2)],
            name="detrend",
            symbolic=False,
            dtypes=[],
            complex=False,
            skip={"value": "scipy fits the line by another algorithm"},
        ),
        Sample(
            "fft",
            lambda x: signal.hilbert(x, 4),
            [draw.normal(2, 5)],
            name="hilbert",
            complex=False,
            symbolic=False,
            dtypes=[],
            skip={"value": "scipy transforms by another library"},
        ),
    ]
