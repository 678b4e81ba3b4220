"""Samples of `pycograd.ops.cumulative`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pycograd.ops.cumulative import recurrence, shift
from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("cumulative")

_X, _DISTINCT, _LINE = draw.normal(3, 4), draw.distinct(3, 4), draw.normal(5)
_WIDE = draw.normal(2, 3, 20)  # so many rows that a recurrence steps through all of them at once
_ZEROS = np.array([2.0, 0.0, 3.0, 0.0, 5.0])
_BITS = draw.integers(8, 3, 4)


def _older(y: Any, name: str = "trapz") -> Any:
    """The name of trapezoid until NumPy 2.4, deprecated since 2.0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(np, name)(y, axis=1)


SAMPLES = [
    *[
        Sample(name, lambda x, f=f, axis=axis: f(x, axis=axis), [_X], name=f"{f.__name__}-{axis}")
        for name, f in (("cumsum", np.cumsum), ("cumprod", np.cumprod))
        for axis in (None, 0, -1)
    ],
    Sample("cumsum", lambda x: np.add.accumulate(x), [_X], name="accumulate"),
    Sample("cumsum", lambda i: np.cumsum(i, axis=1), [_BITS], name="integers"),
    Sample("cumsum", lambda i: np.cumsum(i > 3, axis=1), [_BITS], name="booleans"),
    Sample("cumprod", lambda x: np.multiply.accumulate(x, axis=1), [_WIDE], name="accumulate"),
    Sample(
        "cumprod",
        np.cumprod,
        [_ZEROS],
        name="zeros",
        kinks=[
            # d/dx[1] of x0 + x0 x1 + x0 x1 x2 + ...: x0 (1 + x2 + x2 x3 + ...)
            Kink([_ZEROS], [[1, 8, 0, 0, 0]]),
            Kink([np.zeros(3)], [[1, 0, 0]]),
            Kink([np.zeros(0)], [np.zeros(0)]),
        ],
    ),
    *[
        Sample("shift", lambda x, r=r: shift(x, 0.5, axis=1, reverse=r), [_X], name=f"reverse-{r}")
        for r in (False, True)
    ],
    Sample(
        "shift", lambda x, y: shift(x, y, axis=0, reverse=False), [_X, np.array(0.7)], name="first"
    ),
    *[
        Sample(
            "recurrence",
            lambda a, b, axis=axis, r=r: recurrence(a, b, axis=axis, reverse=r),
            [draw.normal(*shape), draw.normal(*shape)],
            name=f"{shape}-{axis}-{r}",
        )
        for shape, axis in (((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 20), 1))
        for r in (False, True)
    ],
    *[
        Sample(
            "running_index",
            lambda x, f=f, axis=axis: f.accumulate(x, axis),
            [_DISTINCT],
            name=f"{f.__name__}-{axis}",
        )
        for f in (np.maximum, np.minimum, np.fmax, np.fmin)
        for axis in (0, 1)
    ],
    Sample(
        "running_index",
        np.maximum.accumulate,
        [draw.distinct(4)],
        name="ties",
        kinks=[Kink([np.array([1.0, 1.0, 0.0, 2.0])], [[3, 0, 0, 1]])],
    ),
    *[
        Sample(
            f"{f.__name__}_accumulate",
            lambda x, f=f, axis=axis: f.accumulate(x, axis),
            [_X],
            name=str(axis),
            kinks=[Kink([np.array([[-np.inf, 0.0], [0.0, 0.0]])])],
        )
        for f in (np.logaddexp, np.logaddexp2)
        for axis in (0, 1)
    ],
    *[
        Sample("accumulate", lambda i, f=f: f.accumulate(i, axis=1), [_BITS], name=f.__name__)
        for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.logical_xor, np.gcd, np.lcm)
    ],
    Sample("cumprod", np.cumprod, [_LINE], name="line"),
    Sample("cumsum", lambda x: np.nancumsum(x, axis=1), [_X], name="nancumsum"),
    Sample("cumprod", lambda x: np.nancumprod(x, axis=1), [_X], name="nancumprod"),
    *[
        Sample(
            name.replace("ulative_", "")[:7],
            lambda x, name=name: getattr(np, name)(x, axis=1, include_initial=True),
            [_X],
            name=name,
            symbolic=False,
        )
        for name in ("cumulative_sum", "cumulative_prod")
        if hasattr(np, name)  # of NumPy 2.1
    ],
    Sample("subtract", lambda x: np.diff(x, 2, axis=1), [_X], name="diff"),
    Sample(
        "subtract",
        lambda x: np.diff(x, axis=0, prepend=0.5, append=x[:2]),
        [_X],
        name="diff-extended",
        symbolic=False,
    ),
    Sample("subtract", lambda x: np.ediff1d(x, to_end=1.5), [_X], name="ediff1d"),
    Sample(
        "divide",
        lambda y, x: np.trapezoid(y, x, axis=1),
        [_X, np.sort(draw.distinct(4))],
        name="trapezoid",
    ),
    Sample("divide", lambda y: np.trapezoid(y, dx=0.5, axis=0), [_X], name="trapezoid-even"),
    *[Sample("divide", _older, [_X], name="trapz") for _ in (1,) if hasattr(np, "trapz")],
]
