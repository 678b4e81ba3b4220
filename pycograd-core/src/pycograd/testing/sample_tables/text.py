"""Samples of `pycograd.ops.text`, which has no primitives: the text of a value is a constant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample

draw = Draw("text")


def _told(f: Callable[..., str]) -> Callable[[Any], Any]:
    return lambda x: np.sin(x) if f(x) else x


SAMPLES = [
    Sample("sin", _told(f), [draw.normal(3)], name=f.__name__)
    for f in (np.array2string, np.array_repr, np.array_str)
]
