"""Sizes in shape rules: equalities go to the abstract evaluation that is running, if any.

`eval_shape` collects them in a `Constraints`; elsewhere sizes are ints, and unequal ones an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pycograd.core import dims
from pycograd.core.dims import Constraints, Dim
from pycograd.core.errors import ShapeError, SymbolicSizeError

_constraints: ContextVar[Constraints | None] = ContextVar("constraints", default=None)


@contextmanager
def collecting(constraints: Constraints) -> Iterator[Constraints]:
    """Equalities found inside the block are recorded in `constraints`."""
    token = _constraints.set(constraints)
    try:
        yield constraints
    finally:
        _constraints.reset(token)


def broadcast(*shapes: Any, operation: str) -> Any:
    """The shape that `shapes` broadcast to."""
    return dims.broadcast_shapes(*shapes, constraints=_constraints.get(), operation=operation)


def same_size(a: Any, b: Any, operation: str) -> Any:
    """The size that `a` and `b` both are: an int if either is one."""
    if isinstance(a, Dim) or isinstance(b, Dim):
        constraints = _constraints.get()
        if constraints is not None:
            constraints.equate(a, b, operation)
            return a if isinstance(b, Dim) else b
    if a != b:
        raise ShapeError(f"{operation}: incompatible sizes {a} and {b}")
    return a


def fresh_size(operation: str) -> Any:
    """A new symbol for a size that depends on data; an error where sizes must be numbers."""
    constraints = _constraints.get()
    if constraints is None:
        raise SymbolicSizeError(
            f"{operation}: the shape of its result depends on data, so it has no shape rule here;"
            " use np.where(mask, x, 0) in place of x[mask]"
        )
    return constraints.fresh()
