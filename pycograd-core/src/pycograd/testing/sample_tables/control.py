"""Samples of `pycograd.transforms.control`: each a graph with the equation, captured and called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.testing.samples import Draw, Sample
from pycograd.transforms.capture import capture
from pycograd.transforms.checkpoint import checkpoint
from pycograd.transforms.control import cond, fori_loop, scan, while_loop
from pycograd.transforms.control.subgraph import as_python
from pycograd.transforms.reverse import vjp

draw = Draw("control")


def _graphed(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` by way of a graph, so that what binds is the equation."""
    return lambda *xs: capture(f, *xs)(*xs)


def _choice(x: Any, y: Any) -> Any:
    return cond(np.sum(np.abs(x)) > 1, lambda x: (np.sin(x) * y, x), lambda x: (x * x, y), x)


def _recurrence(x: Any, xs: Any, w: Any) -> Any:
    return scan(lambda c, x: (np.sin(c * w) + x, c * x), x, xs)


def _backwards(x: Any, xs: Any, w: Any) -> Any:
    return scan(lambda c, x: (c * w + x, np.sin(c)), x, xs, reverse=True, checkpoint=True)


def _growth(x: Any, w: Any) -> Any:
    return while_loop(lambda c: np.sum(np.abs(c)) < 6, lambda c: c * 1.5 + 0.1 * c * c * w, x)


def _growth_pulled(x: Any, w: Any) -> Any:
    out, pullback = vjp(_growth, x, w)
    return pullback(out)


SAMPLES = [
    Sample("cond", _graphed(_choice), [draw.normal(3), draw.normal(3)], symbolic=False),
    Sample(
        "scan",
        _graphed(_recurrence),
        [draw.normal(2), draw.normal(3, 2), draw.normal(2)],
        symbolic=False,
    ),
    Sample(
        "scan",
        _graphed(_backwards),
        [draw.normal(2), draw.normal(5, 2), draw.normal(2)],
        symbolic=False,
    ),
    Sample(
        "scan",
        _graphed(lambda x: fori_loop(0, 3, lambda i, c: np.sin(c) * (i + 1), x)),
        [draw.normal(2)],
        symbolic=False,
    ),
    Sample("while_loop", _graphed(_growth), [draw.normal(2), draw.normal(2)], symbolic=False),
    Sample(
        "while_loop_replay",
        _graphed(_growth_pulled),
        [draw.normal(2), draw.normal(2)],
        symbolic=False,
    ),
    Sample(
        "checkpoint",
        _graphed(checkpoint(lambda x, w: np.sin(np.exp(x) * w))),
        [draw.normal(2, 3), draw.normal(3)],
        symbolic=False,
    ),
    Sample("as_python", lambda x: x * as_python(np.sum(x)), [draw.normal(3)]),
]
