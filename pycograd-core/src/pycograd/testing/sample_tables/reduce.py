"""Samples of `pycograd.ops.reduce`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Kink, Sample

draw = Draw("reduce")

_AXES: tuple[Any, ...] = (None, 0, -1, (0, 2), ())
_X, _DISTINCT, _POSITIVE = draw.normal(3, 2, 4), draw.distinct(3, 2, 4), draw.positive(3, 2, 4)
_ZERO = np.array([[2.0, 0.0, 3.0], [0.0, 4.0, 0.0]])  # a row with one zero, a row with two
_MASK = np.array([[True, False, True, True], [False, True, True, True]])
_BITS = draw.integers(8, 3, 4)


def _over_axes(name: str, f: Any, x: Any, **options: Any) -> list[Sample]:
    """Each kind of axis, with and without keepdims."""
    return [
        Sample(
            name,
            lambda x, axis=axis, kept=kept: f(x, axis=axis, keepdims=kept),
            [x],
            name=f"{f.__name__}-{axis}-{kept}",
            symbolic=0 not in (axis if isinstance(axis, tuple) else (axis,)) or name == "sum",
            **options,
        )
        for axis in _AXES
        for kept in (False, True)
    ]


SAMPLES = [
    *_over_axes("sum", np.sum, _X),
    Sample("sum", np.sum, [_X], name="empty", kinks=[Kink([np.zeros((0, 2))], [np.zeros((0, 2))])]),
    Sample("sum", np.sum, [np.array(0.7)], name="0-d"),
    Sample("sum", lambda x: np.sum(x, axis=1, where=_MASK), [_X], name="where"),
    Sample("sum", lambda x: np.sum(x, axis=1, initial=2.0), [_X], name="initial"),
    Sample("sum", lambda x: x.sum(axis=1), [_X], name="method"),
    Sample("sum", lambda i: np.sum(i, axis=0), [_BITS], name="integers"),
    Sample("sum", lambda i: np.sum(i > 3, axis=0), [_BITS], name="booleans"),
    *_over_axes("prod", np.prod, _X),
    Sample(
        "prod",
        lambda x: np.prod(x, axis=1),
        [_ZERO],
        name="zeros",
        kinks=[Kink([_ZERO], [[[0, 6, 0], [0, 0, 0]]])],
    ),
    Sample("prod", lambda x: np.prod(x, axis=1, where=_MASK, initial=2.0), [_X], name="where"),
    *_over_axes("max", np.max, _DISTINCT),
    *_over_axes("min", np.min, _DISTINCT),
    Sample(
        "max",
        lambda x: np.max(x, axis=0),
        [draw.distinct(3, 2)],
        name="ties",
        kinks=[Kink([np.ones((2, 1))], [[[0.5], [0.5]]])],
    ),
    Sample(
        "min",
        lambda x: np.min(x, axis=0),
        [draw.distinct(3, 2)],
        name="ties",
        kinks=[Kink([np.ones((4, 1))], [[[0.25]] * 4])],
    ),
    Sample(
        "max", lambda x: np.max(x, axis=1, where=_MASK, initial=-9.0), [_DISTINCT], name="where"
    ),
    Sample("min", lambda x: np.min(x, initial=9.0), [_DISTINCT], name="initial"),
    Sample("max", lambda x: np.ptp(x, axis=1), [_DISTINCT], name="ptp"),
    Sample("max", lambda x: np.amax(x, axis=1), [_DISTINCT], name="amax"),
    Sample("min", lambda x: np.amin(x, axis=1), [_DISTINCT], name="amin"),
    Sample("max", lambda i: np.max(i, axis=0), [_BITS], name="integers"),
    Sample("fmax_reduce", lambda x: np.nanmax(x, axis=1), [_DISTINCT]),
    Sample("fmin_reduce", lambda x: np.nanmin(x, axis=1), [_DISTINCT], name="nanmin"),
    Sample("fmin_reduce", lambda x: np.fmin.reduce(x, axis=(0, 2)), [_DISTINCT]),
    Sample(
        "fmax_reduce",
        np.nanmax,
        [draw.distinct(4)],
        name="nan",
        kinks=[Kink([np.array([1.0, np.nan, 2.0, 2.0])], [[0, 0, 0.5, 0.5]])],
    ),
    Sample("logaddexp_reduce", np.logaddexp.reduce, [_X]),
    Sample("logaddexp_reduce", lambda x: np.logaddexp.reduce(x, axis=None), [_X], name="all"),
    Sample(
        "logaddexp_reduce",
        np.logaddexp.reduce,
        [draw.normal(3)],
        name="infinite",
        kinks=[Kink([np.array([-np.inf, 0.0])], [[0, 1]]), Kink([np.array([1e4, 0.0])], [[1, 0]])],
    ),
    Sample("logaddexp2_reduce", lambda x: np.logaddexp2.reduce(x, axis=(0, 1)), [_X]),
    Sample(
        "hypot_reduce",
        lambda x: np.hypot.reduce(x, axis=1),
        [_X],
        kinks=[Kink([np.zeros((1, 3))], [np.zeros((1, 3))])],
    ),
    *[
        Sample(name, lambda x, f=f: f(x > 0.5, axis=(0, 2)), [_X])
        for name, f in (("any", np.any), ("all", np.all))
    ],
    Sample("any", lambda x: np.any(x > 0.5, axis=1, where=_MASK), [_X], name="where"),
    Sample("sum", lambda x: np.count_nonzero(x > 0, axis=1), [_DISTINCT], name="count_nonzero"),
    Sample("logical_xor_reduce", lambda x: np.logical_xor.reduce(x > 0, axis=1), [_X]),
    *[
        Sample(f"{f.__name__}_reduce", lambda i, f=f: f.reduce(i, axis=1), [_BITS])
        for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.gcd, np.lcm)
    ],
    *[
        Sample(f.__name__, lambda x, f=f, axis=axis: f(x, axis=axis), [_DISTINCT], name=str(axis))
        for f in (np.argmax, np.argmin)
        for axis in (None, 0, -1)
    ],
    Sample("argmax", lambda x: np.argmax(x, keepdims=True), [_DISTINCT], name="kept"),
]
