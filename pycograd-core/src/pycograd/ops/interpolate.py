"""Interpolation between samples: `np.interp`.

Between two knots the result is linear in `x`, and a smooth function of the knots and their values.
At a knot the derivative in `x` is that of the interval to its right; at the last knot, that of the
one to its left. Beyond the knots, where the result is `left` or `right`, it is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pycograd.core import sizes
from pycograd.core.aval import FLOAT64, dtype_of
from pycograd.core.box import raw
from pycograd.core.errors import ShapeError
from pycograd.core.fit import cast
from pycograd.core.spelling import spells
from pycograd.ops.gather import take
from pycograd.ops.join import as_arrays
from pycograd.ops.reduce import count


@spells(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """The piecewise linear function through the points (xp, fp), at x."""
    x, xp, fp = as_arrays([x, xp, fp])
    if len(xp.shape) != 1 or len(fp.shape) != 1:
        raise ShapeError(
            f"interp: knots of shape {xp.shape} with values of shape {fp.shape}; both have one axis"
        )
    sizes.same_size(xp.shape[0], fp.shape[0], "interp: xp and fp")
    if xp.shape[0] == 0:
        raise ValueError("interp: array of sample points is empty")
    for name, part in (("x", x), ("xp", xp), ("fp", fp)):
        have = dtype_of(part)
        fits = np.can_cast(have, FLOAT64, "safe" if period is None else "same_kind")
        if not fits and (name != "fp" or have.kind != "c"):
            raise TypeError(f"interp: {name} of dtype {have} does not fit float64")
    x, xp = cast(x, FLOAT64), cast(xp, FLOAT64)
    fp = cast(fp, np.dtype(complex) if dtype_of(fp).kind == "c" else FLOAT64)
    if period is not None:
        x, xp, fp = _periodic(x, xp, fp, period)
        left = right = None
    # The knot at or before x, and the interval it begins; the last knot ends one.
    n = count(xp, (0,))
    at = np.clip(np.searchsorted(xp, x, "right") - 1, 0, n - 1)
    inside = take(fp, at)
    if xp.shape[0] != 1:
        start = np.minimum(at, n - 2)
        width = take(xp, start + 1) - take(xp, start)
        rise = take(fp, start + 1) - take(fp, start)
        # Equal knots begin no interval that holds a point.
        slope = rise / np.where(width == 0, 1.0, width)
        inside = _finite(inside + slope * (x - take(xp, at)), x, xp, fp, at, start, slope)
    below = np.where(x < xp[0], fp[0] if left is None else left, inside)
    ans = np.where(x > xp[-1], fp[-1] if right is None else right, below)
    return +(ans if xp.shape[0] == 1 else np.where(np.isnan(x), x, ans))


def _periodic(x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any]:
    """The points and the knots in one period, and a knot more on either side."""
    known = raw(period)
    if isinstance(known, (int, float, np.number, np.ndarray)) and np.any(known == 0):
        raise ValueError("interp: period must be a non-zero value")
    period = np.abs(period)
    x, xp = x % period, xp % period
    order = np.argsort(xp)
    xp, fp = take(xp, order), take(fp, order)
    xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
    return x, xp, np.concatenate([fp[-1:], fp, fp[:1]])


def _finite(ans: Any, x: Any, xp: Any, fp: Any, at: Any, start: Any, slope: Any) -> Any:
    """`ans` where values that are not finite do not spoil it, as NumPy answers there."""
    values = raw(fp)
    if not isinstance(values, np.ndarray) or np.isfinite(values).all():
        return ans
    after = take(fp, start + 1)
    other = after + slope * (x - take(xp, start + 1))
    here = take(fp, at)
    other = np.where(np.isnan(other) & (after == here), here, other)
    return np.where(x == take(xp, at), here, np.where(np.isnan(ans), other, ans))
