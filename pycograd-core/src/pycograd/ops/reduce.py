"""Reductions: sums, products, extrema, moments, order statistics.

`sum` is on the hot path: a float `Var` of a live tape is recorded inline, and the cotangent spreads
back without a copy where it can.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from pycograd.core import modes
from pycograd.core.aval import FLOAT32, FLOAT64, Shape, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import ShapeError
from pycograd.core.linear import Reduction
from pycograd.core.spelling import spells
from pycograd.core.tape import Tape, Var

UNSET: Any = np._NoValue  # NumPy's own default of keywords that were not given
_new, _ndarray = object.__new__, np.ndarray
_add_reduce = np.add.reduce
_hot: Any = Tape  # the trace type that the fast path serves; None while a mode watches operations


def _switch(on: bool) -> None:
    global _hot
    _hot = Tape if on else None


modes.switches.append(_switch)


# -- axes ---------------------------------------------------------------------------------------------
def axes_of(name: str, axis: Any, shape: Shape) -> tuple[int, ...]:
    """The reduced axes as distinct non-negative ints, from what NumPy accepts as `axis`."""
    rank = len(shape)
    if axis is None:
        return tuple(range(rank))
    given = axis if type(axis) is tuple else (axis,)
    axes = []
    for a in given:
        a = operator.index(a)
        if not -rank <= a < rank:
            if rank == 0 and a in (0, -1):
                continue  # NumPy lets a 0-d value be reduced over its absent axis
            raise ShapeError(f"{name}: axis {a} is out of bounds for an array of shape {shape}")
        axes.append(a % rank)
    if len(set(axes)) < len(axes):
        raise ShapeError(f"{name}: axis {axis} names an axis twice")
    return tuple(sorted(axes))


def spread(ct: Any, residual: Any) -> Any:
    """The transpose of a sum: the cotangent repeated along the summed axes.

    `residual` is the operand's shape and the shape of `ct` with the summed axes as 1, or None where
    `ct` broadcasts as it is.
    """
    shape, kept = residual
    if isinstance(ct, Box):
        return np.broadcast_to(ct if kept is None else np.reshape(ct, kept), shape)
    if ct.shape == () and ct.dtype.kind == "f":
        # One number seen through strides of 0; np.broadcast_to costs ten times as much.
        view: Any = _ndarray(shape, ct.dtype, ct, 0, (0,) * len(shape))
        view.flags.writeable = False
        return view
    if kept is not None:
        ct = ct.reshape(kept)
    out = np.empty(shape, ct.dtype)
    out[...] = ct
    return out


class _Sum(Reduction):
    """`sum`, whose vjp needs shapes alone."""

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        shape, axis = shape_of(values[0]), params["axis"]
        whole = params["keepdims"] or len(axis) == len(shape)
        kept = None if whole else tuple([1 if i in axis else n for i, n in enumerate(shape)])
        return spread, (shape, kept)


sum_of = _Sum(
    "sum",
    lambda x, axis, keepdims: _add_reduce(x, axis, None, None, keepdims),
    None,
    dtype=lambda x: _add_reduce(np.ones(1, x.dtype)).dtype,
)


@spells(np.sum)
def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = UNSET,
    initial: Any = UNSET,
    where: Any = UNSET,
) -> Any:
    """Sums over axes."""
    if keepdims is UNSET:
        keepdims = False
    if type(a) is Var and dtype is None and out is None and initial is UNSET and where is UNSET:
        tape, value = a.trace, a.value
        if type(tape) is _hot and ((known := value.dtype) is FLOAT64 or known is FLOAT32):
            shape = value.shape
            if axis is None:
                kept = None
            else:
                axis = axes_of("sum", axis, shape)
                kept = (
                    None
                    if keepdims or len(axis) == len(shape)
                    else tuple([1 if i in axis else n for i, n in enumerate(shape)])
                )
            if type(value) is _ndarray:
                ans = _add_reduce(value, axis, None, None, keepdims)
            else:
                ans = sum(value, axis, keepdims=keepdims)
            steps = tape.steps
            steps.append((spread, a.slot, (shape, kept)))
            box: Var = _new(Var)
            box.value, box.trace, box.slot = ans, tape, len(steps) - 1
            return box
    return sum_of(a, axis=axes_of("sum", axis, shape_of(a)), keepdims=keepdims)
