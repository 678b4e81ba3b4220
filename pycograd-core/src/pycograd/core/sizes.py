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
_running: ContextVar[Any] = ContextVar("running", default=None)  # the innermost evaluation


@contextmanager
def collecting(constraints: Constraints, trace: Any) -> Iterator[Constraints]:
    """Equalities found inside the block are recorded in `constraints`, for the evaluation `trace`.

    Sizes that are computed with are values of `trace`.
    """
    token, outer = _constraints.set(constraints), _running.set(trace)
    try:
        yield constraints
    finally:
        _running.reset(outer)
        _constraints.reset(token)


def number(size: Any) -> Any:
    """A size as a number to compute with: an int, or for a symbolic one a weak int of no axes."""
    return made(_number, size) if isinstance(size, Dim) else size


_number: Any = None


def serve_numbers(primitive: Any) -> None:
    """Tells `number` the primitive that it runs."""
    global _number
    _number = primitive


def made(primitive: Any, size: Any, **params: Any) -> Any:
    """What a primitive of no operands makes of a size: an array, or a value of the evaluation.

    Raises:
        SymbolicSizeError: the size is symbolic and no evaluation is running.
    """
    if not isinstance(size, Dim):
        return primitive.impl(size=size, **params)
    trace = _running.get()
    if trace is None:
        size._refuse()
    return trace.process(primitive, (), {"size": size, **params})


def running() -> Any:
    """The innermost abstract evaluation or capture, if one is running."""
    return _running.get()


def current() -> Constraints | None:
    """The equalities that are being collected, if any are."""
    return _constraints.get()


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
