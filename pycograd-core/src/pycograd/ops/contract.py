"""Products of arrays: `matmul`, one primitive for every rank regime, and its relatives over it.

The others (`dot`, `inner`, `tensordot`, `kron`, `cross`...) are written in NumPy over `matmul`
and `multiply`, so they differentiate by being run.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from pycograd.core import elementwise, sizes
from pycograd.core.aval import FLOAT32, FLOAT64, make_aval, shape_of
from pycograd.core.errors import ShapeError, UnsupportedOperationError
from pycograd.core.fillable import settled
from pycograd.core.linear import Linear, aligned
from pycograd.core.primitive import bind, shape_error
from pycograd.core.spelling import FUNCTIONS, UFUNCS, claim, spells
from pycograd.core.tape import Var, slot_of
from pycograd.core.tree import FRONTS
from pycograd.ops.out import deliver

_new = object.__new__
_ndarray = np.ndarray


def _array(x: Any) -> Any:
    """A list or a number beside a box becomes an array, as NumPy would make it."""
    if isinstance(x, _ndarray):
        return x
    if hasattr(x, "tocsr"):
        raise UnsupportedOperationError(
            "a sparse matrix of scipy takes no differentiated operand: write"
            " pycograd.scipy.sparse.matmul(x, A)"
        )
    return np.asarray(x)


def _dense(ct: Any) -> Any:
    """`ct` laid out for BLAS: a cotangent spread by a sum has strides of 0, which would miss it."""
    if type(ct) is _ndarray and not ct.flags.forc:
        return np.ascontiguousarray(ct)
    return ct


def _outer(x: Any, y: Any) -> Any:
    """Column times row; over a batch einsum is quicker than the broadcast product."""
    if type(x) is _ndarray and type(y) is _ndarray:
        return x[:, None] * y
    if elementwise.all_rows(x, y):
        return x._trace.box(np.einsum("ni,nj->nij", x.value, y.value), True)
    return np.einsum("i,j->ij", x, y)


# -- matmul ----------------------------------------------------------------------------------------
# The cotangents of x (from y) and of y (from x) by their ranks. BLAS reads transposes in place.
_PULLS: dict[tuple[int, int], tuple[Callable[..., Any], Callable[..., Any]]] = {
    (1, 1): (lambda ct, y: ct * y, lambda ct, x: ct * x),
    (1, 2): (lambda ct, y: y @ _dense(ct), lambda ct, x: _outer(x, ct)),
    (2, 1): (lambda ct, y: ct[:, None] * y, lambda ct, x: _dense(ct) @ x),
    (2, 2): (lambda ct, y: _dense(ct) @ y.T, lambda ct, x: x.T @ _dense(ct)),
}


def _pull_x(ct: Any, x: Any, y: Any) -> Any:
    """The cotangent of x: `ct @ y.T`, summed over the axes of y that x does not have."""
    ranks = len(x.shape), len(y.shape)
    if ranks in _PULLS:
        return _PULLS[ranks][0](ct, y)
    if ranks[1] == 1:
        return ct[..., None] * y
    if ranks[0] == 1:
        return (y @ ct[..., None])[..., 0]
    if ranks[0] == 2:  # one product over all batches, not one for each and then their sum
        axes = [*range(ranks[1] - 2), ranks[1] - 1]
        return np.tensordot(ct, y, (axes, axes))
    return _dense(ct) @ np.matrix_transpose(y)


def _pull_y(ct: Any, x: Any, y: Any) -> Any:
    """The cotangent of y: `x.T @ ct`, summed over the axes of x that y does not have."""
    ranks = len(x.shape), len(y.shape)
    if ranks in _PULLS:
        return _PULLS[ranks][1](ct, x)
    if ranks[0] == 1:
        return x[:, None] * ct[..., None, :]
    if ranks[1] == 1:
        return np.ravel(ct) @ np.reshape(x, (-1, x.shape[-1]))
    if ranks[1] == 2:  # the rows of all batches are the rows of one matrix
        return np.reshape(x, (-1, x.shape[-1])).T @ np.reshape(ct, (-1, ct.shape[-1]))
    return np.matrix_transpose(x) @ _dense(ct)


def _matmul_shape(x: Any, y: Any) -> Any:
    if not (x.shape and y.shape):
        raise ShapeError(f"matmul: incompatible shapes {x.shape} and {y.shape}: use * for scalars")
    rows, columns = x.shape[-2:-1], y.shape[-1:] if len(y.shape) > 1 else ()
    try:
        sizes.same_size(x.shape[-1], y.shape[-2:][0], "matmul")
        batch = sizes.broadcast(x.shape[:-2], y.shape[:-2], operation="matmul")
    except ShapeError as error:
        raise mismatch("matmul", x, y) from error
    return make_aval((*batch, *rows, *columns), _matmul_dtype(x.dtype, y.dtype))


@lru_cache(maxsize=256)
def _matmul_dtype(x: Any, y: Any) -> Any:
    return np.matmul(np.ones(1, x), np.ones(1, y)).dtype  # bfloat16 becomes float32, for one


def _is_exact(x: Any, y: Any) -> bool:
    """True for dtypes in which einsum computes as matmul does."""
    return all(dtype is FLOAT32 or dtype is FLOAT64 for dtype in (x.dtype, y.dtype))


def _matmul_batch(size: Any, values: Any, mapped: Any) -> Any:
    (x, y), (in_x, in_y) = values, mapped
    rank_x, rank_y = len(shape_of(x)) - in_x, len(shape_of(y)) - in_y
    if not in_y and rank_y <= 2:  # the batch is one more row of x, or one more batch axis
        return matmul(x, y)
    if not in_x and rank_x <= 2:
        if rank_y > 1:
            return matmul(x, y)
        return matmul(y, x if rank_x == 1 else x.T)
    terms = x.shape[-1]
    if rank_x == rank_y == 2 and type(terms) is int and terms == 1 and _is_exact(x, y):
        # A column times a row for each example: BLAS is slow at many products of one term each.
        return np.einsum("ni,nj->nij", x[:, :, 0], y[:, 0, :])
    if rank_x == 1:
        x = np.expand_dims(x, -2)
    if rank_y == 1:
        y = np.expand_dims(y, -1)
    out = matmul(*aligned((x, y), mapped, (2, 2)))
    dropped = (-2,) * (rank_x == 1) + (-1,) * (rank_y == 1)
    return np.squeeze(out, dropped) if dropped else out


matmul_p = Linear(
    "matmul",
    np.matmul,
    operands=("x", "y"),
    transposes={"x": _pull_x, "y": _pull_y},
    joint=False,
    conjugate=True,
    shape=_matmul_shape,
    batch=_matmul_batch,
    cost="contraction",
)


def _both(left: Callable[..., Any], right: Callable[..., Any]) -> Callable[..., Any]:
    return lambda ct, kept: (left(ct, kept[1]), right(ct, kept[0]))


# For the hot path: the rules of one live operand, and of two.
_RULES = {ranks: (left, right, _both(left, right)) for ranks, (left, right) in _PULLS.items()}


def matmul(x: Any, y: Any) -> Any:
    """The product of matrices and vectors: float32 and float64 `Var`s of a live tape inline."""
    mine, other = type(x) is Var, type(y)
    if mine or other is Var:
        tape = x._trace if mine else y._trace
        if type(tape) is elementwise.hot:
            if not mine:
                if type(x) is not _ndarray and not _outer_rows(x, tape):
                    return bind(matmul_p, (_array(x), y), {})
                live, a, b = 1, x, y.value
            elif other is Var and y._trace is tape:
                live, a, b = 2, x.value, y.value
            elif other is _ndarray or _outer_rows(y, tape):
                live, a, b = 0, x.value, y
            else:
                return _with_other(x, y)
            try:
                ans = a @ b
            except ValueError as error:
                raise shape_error("matmul", (a, b), error) from error
            dtype = ans.dtype
            rules = _RULES.get((len(a.shape), len(b.shape)))
            if (
                rules
                and (dtype is FLOAT64 or dtype is FLOAT32)
                and a.dtype is dtype
                and b.dtype is dtype
            ):
                steps = tape.steps
                step: Any
                if live == 2:
                    step = (rules[2], (x.slot, y.slot), (a, b))
                elif live:
                    step = (rules[1], y.slot, a)
                else:
                    step = (rules[0], x.slot, b)
                steps.append(step)
                out: Var = _new(Var)
                out.value, out._trace, out.slot = ans, tape, len(steps) - 1
                if steps[-1] is not step:
                    out.slot = slot_of(steps, step)
                return out
            which = ((0,), (1,), (0, 1))[live]
            return tape.push(matmul_p, (x, y), (a, b), which, ans, {})
    elif type(x) is elementwise.rows and x.mapped and type(x.value) is _ndarray:
        a, b = x.value, y
        if other is elementwise.rows and not y.mapped and y._trace is x._trace:
            b = y.value
        if type(b) is _ndarray and 2 <= a.ndim <= 3 and 1 <= b.ndim <= 2:
            if a.shape[-1] == b.shape[0]:  # the rows of all are the rows of one matrix
                return x._trace.box(a @ b, True)
    return _with_other(x, y)


def _with_other(x: Any, y: Any) -> Any:
    """The product with what may be no array; NumPy's protocol leaves some to their own operator."""
    if getattr(y, "__array_ufunc__", True) is None:
        return NotImplemented
    if type(x) in FRONTS or type(y) in FRONTS:
        return matmul(settled(x), settled(y))
    return bind(matmul_p, (_array(x), _array(y)), {})


def _outer_rows(x: Any, tape: Any) -> bool:
    """True for a box of a vmap around the run that `tape` records: to that it is an array."""
    return type(x) is elementwise.rows and x._trace.level < tape.level


claim(UFUNCS, np.matmul, matmul)
claim(FUNCTIONS, np.linalg.matmul, matmul)


def mismatch(name: str, *operands: Any) -> ShapeError:
    """The error for operands whose sizes do not meet."""
    return ShapeError(f"{name}: incompatible shapes {' and '.join(str(x.shape) for x in operands)}")


def _agree(name: str, m: Any, n: Any, a: Any, b: Any) -> None:
    """Refuses operands whose contracted sizes `m` and `n` differ."""
    if m is not n:
        try:
            sizes.same_size(m, n, name)
        except ShapeError as error:
            raise mismatch(name, a, b) from error


# -- products of two arrays ------------------------------------------------------------------------
def _dot(x: Any, y: Any) -> Any:
    """`matmul` with the dtype that NumPy's `dot` family gives, which keeps bfloat16."""
    out = matmul(x, y)
    dtype = x.dtype
    return out if out.dtype is dtype else out.astype(np.result_type(dtype, y.dtype), copy=False)


@spells(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """The sum over the last axis of `a` and the last but one of `b`."""
    a, b = _array(a), _array(b)
    if not (a.shape and b.shape):
        return deliver(np.multiply(a, b), out)
    _agree("dot", a.shape[-1], b.shape[-2:][0], a, b)
    return deliver(_dot(a, b) if len(b.shape) <= 2 else np.tensordot(a, b, (-1, -2)), out)


@spells(np.inner)
def inner(a: Any, b: Any) -> Any:
    """The sum over the last axes of both."""
    a, b = _array(a), _array(b)
    if not (a.shape and b.shape):
        return np.multiply(a, b)
    _agree("inner", a.shape[-1], b.shape[-1], a, b)
    if len(b.shape) == 1:
        return _dot(a, b)
    if len(a.shape) == 1:
        return _dot(b, a)
    return _dot(a, b.T) if len(b.shape) == 2 else np.tensordot(a, b, (-1, -1))


@spells(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    """The sum of all entries of `conj(a) * b`."""
    a, b = np.ravel(_array(a)), np.ravel(_array(b))
    _agree("vdot", a.shape[0], b.shape[0], a, b)
    return _dot(_conjugate(a), b)


def _conjugate(x: Any) -> Any:
    return np.conj(x) if x.dtype.kind == "c" else x


@spells(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """The products of all entries of `a` with all entries of `b`."""
    return deliver(np.ravel(_array(a))[:, None] * np.ravel(_array(b)), out)


@spells(np.linalg.outer)
def linalg_outer(x1: Any, x2: Any, /) -> Any:
    """As `outer`, for vectors only."""
    x1, x2 = _array(x1), _array(x2)
    if len(x1.shape) != 1 or len(x2.shape) != 1:
        raise ShapeError(f"linalg.outer takes vectors, not shapes {x1.shape} and {x2.shape}")
    return outer(x1, x2)


@spells(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """The sum over pairs of axes: one matrix product of the operands with their axes arranged."""
    a, b = _array(a), _array(b)
    rank_a, rank_b = len(a.shape), len(b.shape)
    if np.iterable(axes):
        axes_a, axes_b = (_axes(x, r, v) for x, r, v in zip(axes, (rank_a, rank_b), (a, b)))
    else:
        axes_a = _axes(range(-axes, 0), rank_a, a)
        axes_b = _axes(range(axes), rank_b, b)
    if len(axes_a) != len(axes_b):
        raise ShapeError(f"tensordot: {len(axes_a)} axes of a but {len(axes_b)} of b, {axes=}")
    for i, j in zip(axes_a, axes_b):
        _agree("tensordot", a.shape[i], b.shape[j], a, b)
    free_a = [i for i in range(rank_a) if i not in axes_a]
    free_b = [j for j in range(rank_b) if j not in axes_b]
    kept_a, kept_b = [a.shape[i] for i in free_a], [b.shape[j] for j in free_b]
    inner_size = math.prod([a.shape[i] for i in axes_a])
    out = _dot(
        _arranged(a, free_a + axes_a, (math.prod(kept_a), inner_size)),
        _arranged(b, axes_b + free_b, (inner_size, math.prod(kept_b))),
    )
    shape = (*kept_a, *kept_b)
    return out if len(kept_a) == len(kept_b) == 1 else np.reshape(out, shape)


@spells(np.linalg.tensordot)
def linalg_tensordot(x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """As `tensordot`."""
    return tensordot(x1, x2, axes)


def _axes(axes: Any, rank: int, x: Any) -> list[int]:
    """Axes of one operand of `tensordot` as non-negative ints."""
    found = []
    for axis in axes if np.iterable(axes) else (axes,):
        axis = operator.index(axis)
        if not -rank <= axis < rank:
            raise ShapeError(f"tensordot: axis {axis} is out of bounds for shape {x.shape}")
        found.append(axis % rank)
    return found


def _arranged(x: Any, order: list[int], shape: tuple[Any, Any]) -> Any:
    """`x` as a matrix, its axes in `order`."""
    if order != list(range(len(order))):
        x = np.transpose(x, order)
    return x if len(order) == 2 and x.shape == shape else np.reshape(x, shape)


@spells(np.kron)
def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: every entry of `a` times the whole of `b`, as blocks."""
    a, b = _array(a), _array(b)
    rank = max(len(a.shape), len(b.shape))
    shape_a = (1,) * (rank - len(a.shape)) + a.shape
    shape_b = (1,) * (rank - len(b.shape)) + b.shape
    blocks = np.reshape(a, [n for m in shape_a for n in (m, 1)])
    within = np.reshape(b, [n for m in shape_b for n in (1, m)])
    return np.reshape(blocks * within, [m * n for m, n in zip(shape_a, shape_b)])


# -- vectors along an axis -------------------------------------------------------------------------
_CROSSED = (2, 3) if np.lib.NumpyVersion(np.__version__) < "2.5.0" else (3,)  # lengths NumPy takes


@spells(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The cross product of 3-vectors; of 2-vectors, gone from NumPy 2.5, its z component."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(_array(a), axisa, -1), np.moveaxis(_array(b), axisb, -1)
    m, n = a.shape[-1], b.shape[-1]
    if m not in _CROSSED or n not in _CROSSED:
        raise ShapeError(
            f"cross: vectors of length {m} and {n}, not 3: pad those in a plane with 0"
        )
    a0, a1, b0, b1 = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    z = a0 * b1 - a1 * b0
    if m == 2 or n == 2:
        warnings.warn(
            "Arrays of 2-dimensional vectors are deprecated. Use arrays of 3-dimensional vectors"
            " instead. (deprecated in NumPy 2.0)",
            DeprecationWarning,
            stacklevel=3,
        )
    if m == n == 2:
        return z
    if n == 2:
        a2 = a[..., 2]
        x, y = -a2 * b1, a2 * b0
    elif m == 2:
        b2 = b[..., 2]
        x, y = a1 * b2, -a0 * b2
    else:
        a2, b2 = a[..., 2], b[..., 2]
        x, y = a1 * b2 - a2 * b1, a2 * b0 - a0 * b2
    return np.stack([x, y, z], axisc)


@spells(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """As `cross`, for 3-vectors only."""
    x1, x2 = _array(x1), _array(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ShapeError(f"linalg.cross takes 3-vectors along {axis=}: {x1.shape} and {x2.shape}")
    return cross(x1, x2, axis=axis)


def vecdot(x1: Any, x2: Any) -> Any:
    """The sum over the last axis of `conj(x1) * x2`."""
    x1, x2 = _array(x1), _array(x2)
    _agree("vecdot", x1.shape[-1], x2.shape[-1], x1, x2)
    return matmul(_conjugate(x1)[..., None, :], x2[..., None])[..., 0, 0]


def matvec(x1: Any, x2: Any) -> Any:
    """Matrices times vectors, both with leading axes that broadcast."""
    x1, x2 = _array(x1), _array(x2)
    return matmul(x1, x2) if len(x2.shape) == 1 else matmul(x1, x2[..., None])[..., 0]


def vecmat(x1: Any, x2: Any) -> Any:
    """Conjugated vectors times matrices, both with leading axes that broadcast."""
    x1, x2 = _conjugate(_array(x1)), _array(x2)
    return matmul(x1, x2) if len(x1.shape) == 1 else matmul(x1[..., None, :], x2)[..., 0, :]


claim(UFUNCS, np.vecdot, vecdot)
for _name, _function in (("matvec", matvec), ("vecmat", vecmat)):
    if hasattr(np, _name):  # NumPy 2.2
        claim(UFUNCS, getattr(np, _name), _function)


@spells(np.linalg.vecdot)
def linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """As `vecdot`."""
    return vecdot(np.moveaxis(_array(x1), axis, -1), np.moveaxis(_array(x2), axis, -1))


# -- np.linalg's names for functions of the last two axes ------------------------------------------
@spells(np.linalg.trace)
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of each matrix's diagonal."""
    return np.trace(x, offset, -2, -1, dtype)


@spells(np.linalg.diagonal)
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Each matrix's diagonal."""
    return np.diagonal(x, offset, -2, -1)


@spells(np.linalg.matrix_transpose)
def linalg_matrix_transpose(x: Any, /) -> Any:
    """Each matrix's transpose."""
    return np.matrix_transpose(x)
