"""Systems of linear equations, inverses, determinants and Cholesky factors.

ONNX has operators of none but the determinant; what takes as many steps as the matrix has columns
is a `Scan` over the columns. Eigenvalues and singular values, which take until they converge, are
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd_onnx.lowerings.elementwise import of_floats
from pycograd_onnx.writer import INT, Tensor, Writer

Lowering = Callable[..., Any]
Step = Callable[[Tensor, Tensor], Sequence[Tensor]]


def _columns(g: Writer, matrix: Tensor, step: Step) -> list[Tensor]:
    """`step(matrix, k)` of each column k in turn.

    It returns the next matrix and what is kept of this step; the results are the last matrix and
    stacks of what was kept, along a new first axis.
    """
    label, n = g.label, matrix.shape[-2]
    carry = Tensor(g, g.fresh("matrix"), matrix.dtype, matrix.shape)
    k = Tensor(g, g.fresh("column"), INT, ())
    body, results = g.subgraph([carry, k], lambda: step(carry, k), "body")
    g.label = label
    made = [(x.dtype, (n, *x.shape)) for x in results[1:]]
    return g.many(
        "Scan",
        [matrix, g.range(n)],
        [(matrix.dtype, matrix.shape), *made],
        body=body,
        num_scan_inputs=1,
    )


def _entry(g: Writer, x: Tensor, axis: int, k: Tensor) -> Tensor:
    """Entry k along an axis, which goes."""
    shape = [n for i, n in enumerate(x.shape) if i != axis]
    return g.node("Gather", [x, k], x.dtype, shape, axis=axis)


def _eliminated(g: Writer, x: Tensor) -> list[Tensor]:
    """Gauss and Jordan's elimination, with the largest pivot of each column.

    Of matrices of n rows, followed by further columns, the first n columns become those of the
    unit matrix. Results: the matrices, and for each step the pivots and whether rows were swapped.
    """
    rows, last = x.ndim - 2, x.ndim - 1
    numbers = g.range(x.shape[-2])

    def step(x: Tensor, k: Tensor) -> Sequence[Tensor]:
        column = _entry(g, x, last, k)
        size = g.where(g.compare("Less", numbers, k), -1.0, g.unary("Abs", column))
        place = g.node("ArgMax", [size], INT, (*size.shape[:-1], 1), axis=rows, keepdims=1)
        here = numbers.equals(k)
        order = g.where(here, place, g.where(numbers.equals(place), k, numbers))
        order = g.expand(g.unsqueeze(order, last), x.shape)
        x = g.node("GatherElements", [x, order], x.dtype, x.shape, axis=rows)
        top = _entry(g, x, rows, k)
        pivot = _entry(g, top, rows, k)
        whole = g.unsqueeze(pivot, rows)
        top = top / g.where(whole.equals(0.0), 1.0, whole)  # the column is done: all of it is 0
        factors = g.where(here, 0.0, _entry(g, x, last, k))
        less = x - g.unsqueeze(factors, last) * g.unsqueeze(top, rows)
        new = g.where(g.unsqueeze(here, 1), g.unsqueeze(top, rows), less)
        swapped = ~g.squeeze(place, rows).equals(k)
        return [new, pivot, swapped]

    return _columns(g, x, step)


def _solve(g: Writer, a: Tensor, b: Tensor) -> Tensor:
    shape = g.outs[0].shape
    n = a.shape[-1]
    a, b = g.expand(a, (*shape[:-2], n, n)), g.expand(b, shape)
    made, pivots, _ = _eliminated(g, g.concat([a, b], a.ndim - 1))
    x = g.slice(made, made.ndim - 1, n, 2**62, 1, shape[-1])
    # NumPy refuses singular matrices; a file cannot, and gives what no solution is.
    singular = _any_of(g, pivots.equals(0.0))
    found: Tensor = g.where(g.unsqueeze(singular, x.ndim - 2, x.ndim - 1), float("nan"), x)
    return found


def _any_of(g: Writer, flags: Tensor) -> Tensor:
    """True where some step has a flag."""
    return g.reduce("ReduceMax", g.cast(flags, INT), (0,), False) > 0


def _unit(g: Writer, n: Any, dtype: Any) -> Tensor:
    numbers = g.range(n)
    return g.cast(g.unsqueeze(numbers, 1).equals(numbers), dtype)


def _inv(g: Writer, a: Tensor) -> Tensor:
    return _solve(g, a, _unit(g, a.shape[-1], a.dtype))


def _det(g: Writer, a: Tensor) -> Tensor:
    if a.dtype == np.float32:  # the dtype that onnxruntime's operator takes
        return g.node("Det", [a], a.dtype, a.shape[:-2])
    _, pivots, swapped = _eliminated(g, a)
    return g.reduce("ReduceProd", pivots * g.where(swapped, -1.0, 1.0), (0,), False)


def _slogdet(g: Writer, a: Tensor) -> tuple[Tensor, Tensor]:
    _, pivots, swapped = _eliminated(g, a)
    sign = g.unary("Sign", pivots) * g.where(swapped, -1.0, 1.0)
    logarithms = g.unary("Log", g.unary("Abs", pivots))
    return g.reduce("ReduceProd", sign, (0,), False), g.sum(logarithms, (0,))


def _cholesky(g: Writer, a: Tensor, upper: bool) -> Tensor:
    rows, last = a.ndim - 2, a.ndim - 1
    numbers = g.range(a.shape[-1])
    turned = [*range(rows), last, rows]
    if upper:  # the other triangle is read
        a = g.transpose(a, turned)

    def step(x: Tensor, k: Tensor) -> Sequence[Tensor]:
        column = _entry(g, x, last, k)
        root = g.unary("Sqrt", _entry(g, column, rows, k))
        below = g.compare("Less", numbers, k)
        made = g.where(below, 0.0, column / g.unsqueeze(root, rows))
        return [x - g.unsqueeze(made, last) * g.unsqueeze(made, rows), made]

    _, columns = _columns(g, a, step)  # the axis of the columns comes first
    factor = g.transpose(columns, [*range(1, last), last, 0])
    return g.transpose(factor, turned) if upper else factor


def table() -> dict[str, Lowering]:
    """Primitive name -> lowering."""
    return {
        "solve": of_floats(_solve),
        "inv": of_floats(_inv),
        "det": of_floats(_det),
        "slogdet": of_floats(_slogdet),
        "cholesky": of_floats(_cholesky),
    }
