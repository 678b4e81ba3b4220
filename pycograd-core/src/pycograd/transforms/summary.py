"""A table of a model's parameters and output shape, made without running it on data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from pycograd.core.aval import ShapeDtypeStruct, aval_of
from pycograd.core.tree import tree_flatten
from pycograd.transforms.shapes import as_struct, eval_shape

__all__ = ["Summary", "summary"]


class Row(NamedTuple):
    """One parameter of the table; `tied` are the further names that it has."""

    name: str
    aval: ShapeDtypeStruct
    size: int
    frozen: bool
    tied: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        """What stands behind it."""
        said = ["(frozen)"] if self.frozen else []
        return " ".join([*said, *[f"= {name}" for name in self.tied]])


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
        table += [(row.name, repr(row.aval), f"{row.size:,}", row.remark) for row in self.rows]
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
        f: the model, `f(params, *inputs)`, or of a `ParamDict` also `f(*inputs)`, which reads the
            weights by their bare names.
        params: a tree of arrays; ties of a `ParamDict` are counted once.
        shapes: the shapes of the inputs: tuples of sizes (float64; names are symbols),
            `ShapeDtypeStruct`s or arrays.
        print_fn: what to do with the text; None for nothing.
        frozen: `frozen(name)` is true for parameters that training leaves alone; besides those of
            which a `ParamDict` says so.

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
    leaves, treedef = tree_flatten(params)
    ties = params.ties() if hasattr(params, "ties") else {}
    rows = [
        Row(
            name,
            aval_of(leaf),
            int(aval_of(leaf).size),
            frozen(name) or not live,
            tuple([other for other, first in ties.items() if first == name]),
        )
        for name, leaf, live in zip(treedef.paths(), leaves, treedef.live())
        if hasattr(leaf, "shape")
    ]
    inputs = [as_struct(shape) for shape in shapes]
    if hasattr(params, "bind") and _takes(f, len(inputs)):
        output = eval_shape(params.bind(f), *inputs)
    else:
        output = eval_shape(f, params, *inputs)
    found = Summary(tuple(rows), output)
    if print_fn is not None:
        print_fn(str(found))
    return found


def _takes(f: Callable[..., Any], count: int) -> bool:
    """True if a function can be called with so many arguments, and not with one more."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return False
    fits = []
    for n in (count, count + 1):
        try:
            signature.bind(*[None] * n)
            fits.append(True)
        except TypeError:
            fits.append(False)
    return fits == [True, False]
