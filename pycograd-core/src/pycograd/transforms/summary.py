"""A table of a model's parameters and output shape, made without running it on data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pycograd.core.aval import ShapeDtypeStruct, aval_of
from pycograd.core.tree import tree_leaves, tree_paths
from pycograd.transforms.shapes import as_struct, eval_shape

__all__ = ["Summary", "summary"]


class Row(NamedTuple):
    """One parameter of the table."""

    name: str
    aval: ShapeDtypeStruct
    size: int
    frozen: bool


class Summary(NamedTuple):
    """What `summary` found: `rows`, the `output` shapes, and totals.

    >>> import numpy as np
    >>> found = summary(lambda p, x: x * p, np.ones(3), (2, 3), print_fn=None)
    >>> found.total, found.output
    (3, f64[2,3])
    """

    rows: tuple[Row, ...]
    output: Any

    @property
    def total(self) -> int:
        """The number of parameters."""
        return sum(row.size for row in self.rows)

    @property
    def trainable(self) -> int:
        """The number of parameters that training changes."""
        return sum(row.size for row in self.rows if not row.frozen)

    def __str__(self) -> str:
        table = [("parameter", "shape", "count", "")]
        table += [
            (row.name, repr(row.aval), f"{row.size:,}", "(frozen)" if row.frozen else "")
            for row in self.rows
        ]
        widths = [max(len(line[i]) for line in table) for i in range(3)]
        lines = [
            f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}  {flag}".rstrip()
            for name, shape, count, flag in table
        ]
        lines.insert(1, "-" * max(map(len, lines)))
        lines.append(f"trainable params: {self.trainable:,}  (total: {self.total:,})")
        lines.append(f"output: {self.output!r}")
        return "\n".join(lines)


def summary(
    f: Callable[..., Any],
    params: Any,
    *shapes: Any,
    print_fn: Callable[[str], Any] | None = print,
    frozen: Callable[[str], bool] = lambda name: False,
) -> Summary:
    """Prints a table of parameter, shape and count, with totals and the output's shape.

    Arguments:
        f: the model, `f(params, *inputs)`.
        params: a tree of arrays.
        shapes: the shapes of the inputs: tuples of sizes (float64; names are symbols),
            `ShapeDtypeStruct`s or arrays.
        print_fn: what to do with the text; None for nothing.
        frozen: `frozen(name)` is true for parameters that training leaves alone.

    Returns:
        A `Summary` with `rows`, `output`, `total` and `trainable`.

    Raises:
        ShapeError: the shapes do not fit the model.

    >>> import numpy as np
    >>> model = {"w": np.zeros((4, 2)), "b": np.zeros(2)}
    >>> _ = summary(lambda p, x: x @ p["w"] + p["b"], model, (7, 4))
    parameter  shape     count
    --------------------------
    w          f64[4,2]      8
    b          f64[2]        2
    trainable params: 10  (total: 10)
    output: f64[7,2]
    """
    rows = [
        Row(name, aval_of(leaf), int(aval_of(leaf).size), frozen(name))
        for name, leaf in zip(tree_paths(params), tree_leaves(params))
        if hasattr(leaf, "shape")
    ]
    output = eval_shape(f, params, *[as_struct(shape) for shape in shapes])
    found = Summary(tuple(rows), output)
    if print_fn is not None:
        print_fn(str(found))
    return found
