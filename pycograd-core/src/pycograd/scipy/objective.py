"""`scipy_optimize_args`: a function of trees as `scipy.optimize.minimize` takes it, of vectors.

Value and gradient come from one evaluation; products with the Hessian are forward over reverse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pycograd.core.aval import dtype_of, shape_of
from pycograd.core.errors import NotDifferentiableError, ShapeError
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.scipy.kinds import boxed
from pycograd.transforms.derivatives import hessian, hvp
from pycograd.transforms.reverse import value_and_grad
from pycograd.transforms.wrap import is_differentiable, name_of

# Beside the gradient: methods that take products with the Hessian, and those that take it whole.
PRODUCTS = frozenset({"newton-cg", "trust-ncg", "trust-krylov", "trust-constr"})
MATRICES = frozenset({"dogleg", "trust-exact"})


class ScipyArgs(dict[str, Any]):
    """Keyword arguments for `scipy.optimize.minimize`; see `scipy_optimize_args`."""

    flatten: Callable[[Any], Any]
    unflatten: Callable[[Any], Any]


def scipy_optimize_args(
    f: Callable[..., Any], x0: Any, *args: Any, method: str | None = None, whole: bool = False
) -> ScipyArgs:
    """The keyword arguments with which `scipy.optimize.minimize` minimises `f`.

    Arguments:
        f: `f(x, *args)`, a real scalar function written in NumPy, of a tree like `x0`.
        x0: the starting point: an array or any tree of real arrays and numbers.
        args: further arguments of `f`, constants here.
        method: scipy's name of the method; given, it is passed on and only what it uses is.
        whole: the Hessian as a matrix (`hess`) in place of products with it (`hessp`).

    Returns:
        A dict with `x0` (a float64 vector), `fun`, `jac` (both from one evaluation) and `hessp` or
        `hess`. Its attributes `unflatten(vector)` and `flatten(tree)` go between scipy's vectors
        and trees like `x0`.

    Raises:
        NotDifferentiableError: a leaf of `x0` that is not real.

    >>> from scipy.optimize import minimize
    >>> loss = lambda p: np.sum((p["w"] - 1.0) ** 2) + (p["b"] + 2.0) ** 2
    >>> problem = scipy_optimize_args(loss, {"w": np.zeros(2), "b": 0.5})
    >>> found = minimize(**problem, method="trust-ncg")
    >>> problem.unflatten(found.x)
    {'w': array([1., 1.]), 'b': -2.0}
    """
    leaves, treedef = tree_flatten(x0)
    for leaf in leaves:
        if not is_differentiable(leaf) or dtype_of(leaf).kind == "c":
            raise NotDifferentiableError(
                f"scipy_optimize_args of {name_of(f)}: x0 holds {type(leaf).__name__}"
                f" {getattr(leaf, 'dtype', '')}; scipy minimises over real numbers. Pass constants"
                " after x0, and complex values as their real and imaginary parts"
            )
    shapes = [shape_of(leaf) for leaf in leaves]
    sizes = [math.prod(shape) for shape in shapes]
    kinds = [(type(leaf) is float, dtype_of(leaf)) for leaf in leaves]

    def unflatten(vector: Any) -> Any:
        if shape_of(vector) != (sum(sizes),):
            raise ShapeError(
                f"unflatten: a vector of {sum(sizes)} entries, not shape {shape_of(vector)}"
            )
        parts, start = [], 0
        for shape, size, (python, dtype) in zip(shapes, sizes, kinds):
            part: Any = np.reshape(vector[start : start + size], shape)
            parts.append(float(part) if python and not boxed(part) else part.astype(dtype))
            start += size
        return tree_unflatten(treedef, parts)

    def flatten(tree: Any) -> Any:
        found, structure = tree_flatten(tree)
        if structure != treedef:
            raise ShapeError(f"flatten: a tree like x0, not {structure}")
        if not found:
            return np.zeros(0)
        return np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in found])

    def of(vector: Any) -> Any:
        return f(unflatten(vector), *args)

    both = value_and_grad(of, argnums=0)
    last: list[Any] = [None, None]

    def evaluated(x: Any) -> Any:
        x = np.asarray(x, np.float64)
        if last[0] is None or not np.array_equal(last[0], x):
            value, slope = both(x)
            last[:] = x.copy(), (float(value), np.asarray(slope))
        return last[1]

    found = ScipyArgs(
        fun=lambda x: evaluated(x)[0], x0=flatten(x0), jac=lambda x: evaluated(x)[1].copy()
    )
    name = method.lower() if isinstance(method, str) else method
    if name is not None:
        found["method"] = method
        if name in ("nelder-mead", "powell", "cobyla", "cobyqa"):
            del found["jac"]
    if (name is None and whole) or name in MATRICES or (whole and name in PRODUCTS):
        second = hessian(of)
        found["hess"] = lambda x: second(np.asarray(x, np.float64))
    elif name is None or name in PRODUCTS:
        product = hvp(of)
        found["hessp"] = lambda x, p: product(np.asarray(x, np.float64), np.asarray(p, np.float64))
    found.flatten, found.unflatten = flatten, unflatten
    return found
