"""Products of matrices and convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd_onnx.lowerings.shapes import known
from pycograd_onnx.writer import BOOL, INT, Tensor, Writer

Lowering = Callable[..., Any]


def _matmul(g: Writer, x: Any, y: Any) -> Tensor:
    x, y = g.common(x, y)
    boolean = x.dtype == BOOL
    if boolean:
        x, y = g.cast(x, INT), g.cast(y, INT)
    # Vectors as matrices: onnxruntime's fusion of a transpose with a product of them is wrong.
    row, column = x.ndim == 1, y.ndim == 1
    shape = list(g.outs[0].shape)
    if row:
        x = g.unsqueeze(x, 0)
        shape.insert(len(shape) - (not column), 1)
    if column:
        y = g.unsqueeze(y, 1)
        shape.append(1)
    made = g.node("MatMul", [x, y], x.dtype, shape)
    n = len(shape)
    made = g.squeeze(made, *[n - 2] * row, *[n - 1] * column)
    return made > 0 if boolean else made


def _einsum(g: Writer, *operands: Any, spec: str, optimize: Any) -> Tensor:
    xs = g.common(*operands)
    boolean = xs[0].dtype == BOOL
    xs = [g.cast(x, INT) for x in xs] if boolean else xs
    made = g.node("Einsum", xs, xs[0].dtype, g.outs[0].shape, equation=spec)
    return made > 0 if boolean else made


def _convolve(g: Writer, x: Any, y: Any, start: int, length: int) -> Tensor:
    """`length` entries of the full convolution along the last axis, from `start` on."""
    x, y = g.common(x, y)
    n, m = known([x.shape[-1], y.shape[-1]], "convolve")
    if m > n:
        x, y, n, m = y, x, m, n
    # Row k of the windows has the entries of x that meet y backwards in entry k of the result.
    places = np.arange(start, start + length)[:, None] - np.arange(m)[None, :]
    places = np.where((places >= 0) & (places < n), places, n)
    zero = g.expand(g.tensor(0, x.dtype), (*x.shape[:-1], 1))
    room = g.concat([x, zero], x.ndim - 1)
    windows = g.node(
        "Gather", [room, g.constant(places)], x.dtype, (*x.shape[:-1], length, m), axis=x.ndim - 1
    )
    return g.sum(windows * g.unsqueeze(y, y.ndim - 1), (g.joined(windows, y).__len__() - 1,))


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {
        "matmul": _matmul,
        "einsum": _einsum,
        "convolve": _convolve,
    }
