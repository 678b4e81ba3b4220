"""Functions of matrices in `scipy.linalg`: `expm`, `logm`, `sqrtm` and their kin.

All have one differential, by the function itself of a matrix twice the size (Mathias 1996):

    f([[A, E], [0, A]]) = [[f(A), L(A, E)], [0, f(A)]]

and the transpose of `L(A, .)` is `L(A^T, .)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

from pycograd.core.aval import make_aval, shape_of
from pycograd.core.errors import NotDifferentiableError, ShapeError
from pycograd.core.primitive import bind
from pycograd.scipy.dispatch import stands_for
from pycograd.scipy.kinds import Adjoint, boxed, inexact


def over_stack(f: Callable[..., Any], *stacks: Any) -> Any:
    """`f` of each of the matrices in stacks of them, which broadcast."""
    if all(a.ndim == 2 for a in stacks):
        return f(*stacks)
    rows = np.broadcast_shapes(*[a.shape[:-2] for a in stacks])
    whole = [np.broadcast_to(a, (*rows, *a.shape[-2:])) for a in stacks]
    return np.stack([f(*[a[i] for a in whole]) for i in np.ndindex(rows)]).reshape(
        (*rows, *f(*[a[(0,) * len(rows)] for a in whole]).shape)
    )


class MatrixFunction:
    """A function of square matrices, differentiable by the formula above.

    Arguments:
        name: as in `scipy.linalg`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.original = getattr(scipy.linalg, name)
        self.primitive = Adjoint(
            name,
            self._impl,
            tangent=lambda tangents, values, ans: self.slope(values[0], tangents[0]),
            pull=lambda ct, live, values, ans: [self.slope(np.matrix_transpose(values[0]), ct)],
            shape=lambda a: make_aval(a.shape, np.result_type(a.dtype, np.float32)),
            batch=lambda size, values, mapped: bind(self.primitive, values, {}),
            cost="factorization",
        )

    def _impl(self, a: Any) -> Any:
        dtype = np.result_type(a.dtype, np.float32)
        value = over_stack(lambda one: np.asarray(self.original(one)), a)
        if value.dtype.kind == "c" and dtype.kind != "c":
            raise NotDifferentiableError(
                f"{self.name}: of this real matrix it is complex; make the matrix complex first"
                " (a + 0j)"
            )
        return value.astype(dtype, copy=False)

    def __call__(self, a: Any) -> Any:
        """The function of a matrix."""
        return bind(self.primitive, (a,), {})

    def slope(self, a: Any, e: Any) -> Any:
        """The derivative at `a` along `e`."""
        n = shape_of(a)[-1]
        if self.name == "expm" and not boxed(a, e) and a.ndim == e.ndim == 2:
            found = scipy.linalg.expm_frechet(a, e, compute_expm=False)
            return found.astype(np.result_type(a, e, np.float32), copy=False)
        return self(_beside(a, e))[..., :n, n:]


def _beside(a: Any, e: Any) -> Any:
    """The matrix `[[a, e], [0, a]]`."""
    zero, rows = 0 * a, np.broadcast_shapes(shape_of(a), shape_of(e))
    a, zero, e = (x if shape_of(x) == rows else np.broadcast_to(x, rows) for x in (a, zero, e))
    top, below = np.concatenate([a, e], axis=-1), np.concatenate([zero, a], axis=-1)
    return np.concatenate([top, below], axis=-2)


def square(a: Any, operation: str) -> Any:
    """`a` as inexact square matrices."""
    a = inexact(a)
    if len(shape_of(a)) < 2 or shape_of(a)[-1] != shape_of(a)[-2]:
        raise ShapeError(f"{operation}: shape {shape_of(a)} is no square matrix")
    return a


def _function(name: str, sentence: str) -> Callable[..., Any]:
    function = MatrixFunction(name)

    def of(A: Any, *args: Any, **kwargs: Any) -> Any:
        if not boxed(A):
            return function.original(A, *args, **kwargs)
        if args or kwargs:
            raise TypeError(f"{name}: where it is differentiated it takes the matrix alone")
        return function(square(A, name))

    of.__name__ = of.__qualname__ = name
    of.__doc__ = f"""{sentence}

    Arguments:
        A: a square matrix, or a stack of them.

    Raises:
        NotDifferentiableError: the result is complex and the matrix real.

    >>> check_grads({name}, (np.array([[1.0, 0.2], [0.1, 2.0]]),))
    """
    return stands_for(function.original)(of)


expm = _function("expm", "The exponential of a matrix.")
logm = _function("logm", "The principal logarithm of a matrix.")
sqrtm = _function("sqrtm", "The principal square root of a matrix.")
cosm = _function("cosm", "The cosine of a matrix.")
sinm = _function("sinm", "The sine of a matrix.")
coshm = _function("coshm", "The hyperbolic cosine of a matrix.")
sinhm = _function("sinhm", "The hyperbolic sine of a matrix.")


@stands_for(scipy.linalg.expm_frechet)
def expm_frechet(
    A: Any, E: Any, method: Any = None, compute_expm: bool = True, check_finite: bool = True
) -> Any:
    """The exponential of a matrix and its derivative along `E`; the arguments are scipy's.

    >>> grad(lambda e: expm_frechet(np.zeros((2, 2)), e, compute_expm=False)[0, 1])(np.ones((2, 2)))
    (array([[0., 1.],
           [0., 0.]]),)
    """
    if not boxed(A, E):
        return scipy.linalg.expm_frechet(A, E, method, compute_expm, check_finite)
    A, E = square(A, "expm_frechet"), square(E, "expm_frechet")
    n = shape_of(A)[-1]
    both = expm(_beside(A, E))
    moved = both[..., :n, n:]
    return (both[..., :n, :n], moved) if compute_expm else moved
