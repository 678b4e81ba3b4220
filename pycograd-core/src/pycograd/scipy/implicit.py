"""Values given by an equation, `F(x, theta) = 0`, and their derivatives by the implicit function
theorem: `dx = -(dF/dx)^-1 dF/dtheta dtheta`.

The value comes from any solver on plain arrays. The rules differentiate F where they are run, so
they nest; they never differentiate the solver.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pycograd.core.aval import FLOAT64, dtype_of, make_aval, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import ClosedOverError, ConversionError
from pycograd.core.primitive import bind
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.scipy.kinds import Adjoint, boxed
from pycograd.scipy.solves import Dense, solve
from pycograd.transforms.derivatives import jacfwd
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import vjp
from pycograd.transforms.wrap import enclosed_boxes, is_differentiable, name_of


# -- functions that take parameters ----------------------------------------------------------------
def refuse_closure(operation: str, *functions: Any) -> None:
    """Refuses functions that use a differentiated value which is not among their arguments."""
    for f in functions:
        if isinstance(f, functools.partial):
            refuse_closure(operation, f.func)
            if boxed(f.args, f.keywords):
                raise closed_over(operation, f.func)
        elif enclosed_boxes(f):
            raise closed_over(operation, f)


def closed_over(operation: str, f: Any) -> ClosedOverError:
    """The error for a function that uses a differentiated value from outside."""
    return ClosedOverError(
        f"{operation}: {name_of(f)} uses a differentiated value from outside, of which {operation}"
        " knows nothing. Make it a parameter of the function and pass it in args="
    )


@contextmanager
def plainly(operation: str, f: Any) -> Iterator[Any]:
    """The block runs scipy on plain values, with the `f` that it is given."""
    refuse_closure(operation, f)
    try:
        yield checked(f, operation)
    except ConversionError as error:
        raise closed_over(operation, f) from error


def checked(f: Any, operation: str) -> Any:
    """`f` on plain values, whose results must be plain too; a box can only come from outside."""
    if not callable(f):
        return f  # scipy says what it takes

    def run(*args: Any, **kwargs: Any) -> Any:
        out = f(*args, **kwargs)
        if boxed(out):
            raise closed_over(operation, f)
        return out

    return functools.update_wrapper(run, f)


def as_tuple(args: Any) -> tuple[Any, ...]:
    """`args` as scipy takes it: a tuple, or the one argument itself."""
    return args if isinstance(args, tuple) else (args,)


class Parameters:
    """A tree of arguments: the leaves that have derivatives, and the rest as constants.

    Arguments:
        tree: any tree of arrays, scalars and other values.
    """

    __slots__ = ("leaves", "treedef", "live", "values")

    def __init__(self, tree: Any) -> None:
        self.leaves, self.treedef = tree_flatten(tree)
        self.live = [
            i for i, x in enumerate(self.leaves) if isinstance(x, Box) or is_differentiable(x)
        ]
        self.values = [self.leaves[i] for i in self.live]
        for i in self.live:  # who keeps the constants keeps no box
            self.leaves[i] = None

    def fill(self, values: Sequence[Any]) -> Any:
        """The tree with these values for its differentiable leaves."""
        leaves = list(self.leaves)
        for i, x in zip(self.live, values):
            leaves[i] = x
        return tree_unflatten(self.treedef, leaves)


# -- the primitive ---------------------------------------------------------------------------------
class Equation:
    """What is solved.

    Arguments:
        operation: the name for messages.
        find: `find(starts, theta) -> x` on plain values: the solver.
        residual: `residual(x, theta)`, of the shape of x, zero at the solution; NumPy on values.
        starts: how many leading operands only say where to look, and have no derivative.
        free: `free(x)`: where x may move; elsewhere its derivative is zero. None: everywhere.
        singular: what to say where `dF/dx` is singular.
    """

    __slots__ = ("operation", "find", "residual", "starts", "free", "structure", "shape")

    def __init__(
        self,
        operation: str,
        find: Callable[[Any, Any], Any],
        residual: Callable[[Any, Any], Any],
        *,
        starts: int = 1,
        free: Callable[[Any], Any] | None = None,
        shape: Callable[..., Any] | None = None,
        singular: str = "the Jacobian of the equation at the solution is singular",
    ) -> None:
        self.operation, self.find, self.residual = operation, find, residual
        self.starts, self.free, self.shape = starts, free, shape
        self.structure = Dense(
            f"{operation}: {singular}, so the solution has no derivative in the parameters"
        )

    def jacobian(self, x: Any, theta: Any) -> Any:
        """`dF/dx` as a matrix."""
        n = math.prod(shape_of(x))
        matrix: Any = np.reshape(jacfwd(lambda y: self.residual(y, theta))(x), (n, n))
        if self.free is not None:
            free: Any = np.reshape(self.free(x), (n,))
            matrix = np.where(free[:, None] & free, matrix, np.eye(n))
        return matrix

    def moving(self, x: Any, change: Any) -> Any:
        """`change` as a vector, with zeros where x is held."""
        if self.free is not None:
            change = np.where(self.free(x), change, 0)
        return np.reshape(change, (-1,))


def _impl(*operands: Any, equation: Equation) -> Any:
    n = equation.starts
    return np.asarray(equation.find(operands[:n], operands[n:]))


def _tangent(tangents: Any, values: Any, ans: Any, equation: Equation) -> Any:
    n = equation.starts
    theta, dtheta = tuple(values[n:]), tuple(tangents[n:])
    if all(t is None for t in dtheta):
        return None
    change = jvp(lambda *p: equation.residual(ans, p), theta, dtheta)[1]
    matrix = equation.jacobian(ans, theta)
    found = solve(matrix, -equation.moving(ans, change), equation.structure)
    return np.reshape(found, shape_of(ans))


def _pull(ct: Any, live: Any, values: Any, ans: Any, equation: Equation) -> Any:
    n = equation.starts
    theta = tuple(values[n:])
    if not any(i >= n for i in live):
        return [None] * len(live)
    matrix = equation.jacobian(ans, theta)
    if dtype_of(matrix).kind == "c":
        matrix = np.conj(matrix)
    left = -solve(matrix, equation.moving(ans, ct), equation.structure.transposed())
    residual, pullback = vjp(lambda *p: equation.residual(ans, p), *theta)
    found = pullback(np.reshape(left, shape_of(residual)).astype(dtype_of(residual)))
    return [found[i - n] if i >= n else None for i in live]


def _shape(*avals: Any, equation: Equation) -> Any:
    if equation.shape is not None:
        return equation.shape(*avals)
    return make_aval(avals[0].shape, np.result_type(avals[0].dtype, FLOAT64))


implicit = Adjoint(
    "implicit", _impl, tangent=_tangent, pull=_pull, shape=_shape, adjoint=True, cost="contraction"
)


def solution(equation: Equation, starts: Sequence[Any], theta: Sequence[Any]) -> Any:
    """The solution of `equation`, differentiable in `theta`."""
    return bind(implicit, (*starts, *theta), {"equation": equation})
