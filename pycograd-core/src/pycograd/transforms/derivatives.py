"""Whole derivatives: Jacobians, Hessians and products with them, from `vjp`, `jvp` and `vmap`.

The rows of a Jacobian are pullbacks of unit cotangents, its columns tangents of unit tangents, all
computed at once by `vmap` (or `chunk_size` at a time).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, aval_of, is_inexact, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import NotDifferentiableError, located
from pycograd.core.tree import tree_flatten, tree_map, tree_unflatten
from pycograd.transforms.batch import vmap
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.wrap import (
    Selection,
    Transformed,
    check_callable,
    leaves_like,
    name_of,
    normalize_argnums,
    split_aux,
)
from pycograd.transparent import prepared

Argnums = int | Sequence[int] | None


def jacrev(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    chunk_size: int | None = None,
    *,
    argnum: int | None = None,
    has_aux: bool = False,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `f`, a row at a time: best when the output is smaller than the input.

    Arguments:
        f: a function with any tree of outputs.
        argnums: the positional arguments to differentiate, an int or a sequence.
        chunk_size: rows to compute at a time, which bounds memory.
        argnum: alias of `argnums`.
        has_aux: `f` returns `(out, aux)`; the result is then `(jacobian, aux)`.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A function whose result has the output's structure; at each output leaf stands the
        argument's structure, with arrays of shape `(*output shape, *argument shape)`. For a
        holomorphic `f` of complex arguments the entries are `df/dz`.

    Raises:
        NotDifferentiableError: an output without derivatives, or a real output of a complex
            argument.

    >>> import numpy as np
    >>> jacrev(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return _jacobian(f, argnums, argnum, chunk_size, has_aux, transparent, jacrev, _by_rows)


def jacfwd(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    chunk_size: int | None = None,
    *,
    argnum: int | None = None,
    has_aux: bool = False,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `f`, a column at a time: best when the input is smaller than the output.

    The arguments and the result are those of `jacrev`.

    >>> import numpy as np
    >>> jacfwd(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return _jacobian(f, argnums, argnum, chunk_size, has_aux, transparent, jacfwd, _by_columns)


def jacobian(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    chunk_size: int | None = None,
    *,
    argnum: int | None = None,
    has_aux: bool = False,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `f`, by rows or by columns, whichever are fewer.

    The arguments and the result are those of `jacrev`.

    >>> import numpy as np
    >>> jacobian(lambda x: np.sum(x) * x)(np.array([1.0, 2.0]))
    array([[4., 1.],
           [2., 5.]])
    """
    return _jacobian(f, argnums, argnum, chunk_size, has_aux, transparent, jacobian, _by_fewer)


def hessian(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    chunk_size: int | None = None,
    *,
    argnum: int | None = None,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The matrix of second derivatives of a real scalar function, forward over reverse.

    Arguments:
        f: a real scalar function (other outputs give one Hessian per entry).
        argnums: the positional arguments, an int or a sequence.
        chunk_size: columns to compute at a time.
        argnum: alias of `argnums`.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A function whose result has the argument's structure twice: at each leaf pair an array of
        shape `(*first shape, *second shape)`.

    >>> import numpy as np
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    check_callable(f, "hessian")
    numbers = _one_of(argnums, argnum, "hessian")
    run = jacfwd(jacrev(f, numbers, transparent=transparent), numbers, chunk_size)
    options = {"argnums": numbers, "chunk_size": chunk_size, "transparent": transparent}
    return Transformed(run, f, hessian, options)


def hvp(
    f: Callable[..., Any], argnums: Argnums = 0, *, transparent: bool | None = None
) -> Callable[..., Any]:
    """The product of the Hessian of a real scalar function with a vector, without the Hessian.

    Arguments:
        f: a real scalar function.
        argnums: the argument that the Hessian is of.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        `hvp(f)(x, v)`: `v` is like `x` in structure and shapes; more arguments of `f` follow it.

    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x ** 3))(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    check_callable(f, "hvp")
    if not isinstance(argnums, int):
        raise TypeError("hvp: argnums is an int")
    gradient = grad(f, argnums, transparent=transparent)

    def run(x: Any, v: Any, *rest: Any, **kwargs: Any) -> Any:

        def of(x: Any) -> Any:
            args = list(rest)
            args.insert(argnums if argnums >= 0 else len(args) + 1 + argnums, x)
            return gradient(*args, **kwargs)

        return jvp(of, (x,), (v,))[1]

    return Transformed(run, f, hvp, {"argnums": argnums, "transparent": transparent})


def elementwise_grad(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    argnum: int | None = None,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The derivative of a function that acts entry by entry, at every entry at once.

    Arguments:
        f: a function whose output entry i depends on input entry i alone. (For any other function
            the result is the gradient of the sum of its output.)
        argnums: the argument to differentiate, an int or a sequence.
        argnum: alias of `argnums`.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A function giving an array of the argument's shape.

    >>> import numpy as np
    >>> elementwise_grad(np.sin)(np.zeros(3))
    array([1., 1., 1.])
    """
    check_callable(f, "elementwise_grad")
    numbers = _one_of(argnums, argnum, "elementwise_grad")
    target = prepared(f, transparent)

    def run(*args: Any, **kwargs: Any) -> Any:
        selection = Selection("elementwise_grad", f, args, kwargs, numbers, ())
        out, pullback = vjp(lambda *xs: selection.call(target, list(xs)), *selection.leaves)
        kinds = {_is_complex(x) for x in (*tree_flatten(out)[0], *selection.leaves)}
        if len(kinds) > 1:
            raise NotDifferentiableError(
                f"elementwise_grad of {name_of(f)}: it mixes real and complex values, of which one"
                " number per entry cannot be the derivative; use jacobian, or grad of a real loss"
            )
        return selection.pack(pullback(tree_map(_ones, out)))

    return Transformed(run, f, elementwise_grad, {"argnums": numbers, "transparent": transparent})


egrad = elementwise_grad


def holomorphic_grad(
    f: Callable[..., Any], argnums: int = 0, *, transparent: bool | None = None
) -> Callable[..., Any]:
    """The complex derivative `df/dz` of a holomorphic function, entry by entry.

    Arguments:
        f: a holomorphic function of complex arguments.
        argnums: the argument to differentiate.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Raises:
        NotDifferentiableError: the argument is not complex.

    >>> holomorphic_grad(lambda z: z * z)(1.0 + 1.0j)
    (2+2j)
    """
    check_callable(f, "holomorphic_grad")
    entries = elementwise_grad(f, argnums, transparent=transparent)

    def run(*args: Any, **kwargs: Any) -> Any:
        for leaf in tree_flatten(args[argnums])[0]:
            if aval_of(leaf).dtype.kind != "c":
                raise NotDifferentiableError(
                    f"holomorphic_grad of {name_of(f)}: argument {argnums} is not complex; use"
                    " grad, or pass z + 0j"
                )
        # vjp(ct) = conj(f') ct for a holomorphic f
        return tree_map(_conjugate, entries(*args, **kwargs))

    return Transformed(run, f, holomorphic_grad, {"argnums": argnums, "transparent": transparent})


def make_jvp(
    f: Callable[..., Any], argnums: int = 0, *, transparent: bool | None = None
) -> Callable[..., Any]:
    """`make_jvp(f)(*args)(v)` is `(value, derivative along v)` in argument `argnums`.

    >>> make_jvp(lambda x: x * x)(3.0)(1.0)
    (9.0, 6.0)
    """
    check_callable(f, "make_jvp")
    target = prepared(f, transparent)

    def at(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        selection = Selection("make_jvp", f, args, kwargs, argnums, ())
        return lambda v: jvp(
            lambda *xs: selection.call(target, list(xs)),
            selection.leaves,
            leaves_like(args[argnums], v),
        )

    return Transformed(at, f, make_jvp, {"argnums": argnums, "transparent": transparent})


def make_vjp(
    f: Callable[..., Any], argnums: int = 0, *, transparent: bool | None = None
) -> Callable[..., Any]:
    """`make_vjp(f)(*args)` is `(pullback, value)` in argument `argnums`; the pullback is reusable.

    >>> pullback, value = make_vjp(lambda x: x * x)(3.0)
    >>> pullback(1.0), value
    (6.0, 9.0)
    """
    check_callable(f, "make_vjp")
    target = prepared(f, transparent)

    def at(*args: Any, **kwargs: Any) -> Any:
        selection = Selection("make_vjp", f, args, kwargs, argnums, ())
        out, pullback = vjp(lambda *xs: selection.call(target, list(xs)), *selection.leaves)
        return (lambda ct: selection.pack(pullback(ct))), out

    return Transformed(at, f, make_vjp, {"argnums": argnums, "transparent": transparent})


def _one_of(argnums: Argnums, argnum: int | None, name: str) -> Argnums:
    """`argnums`, for which `argnum` is another name; its default is 0."""
    if argnum is None:
        return argnums
    if argnums != 0:
        raise TypeError(located(f"{name}: argnum= and argnums= are one thing; give one"))
    return argnum


# -- how a Jacobian is made ------------------------------------------------------------------------
def _jacobian(
    f: Any,
    argnums: Argnums,
    argnum: int | None,
    chunk_size: int | None,
    has_aux: bool,
    transparent: bool | None,
    make: Callable[..., Any],
    rows_or_columns: Callable[..., Any],
) -> Callable[..., Any]:
    name = make.__name__
    check_callable(f, name)
    target = prepared(f, transparent)
    argnums = _one_of(argnums, argnum, name)
    numbers, _ = normalize_argnums(f, argnums, None, None, name)

    def run(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(name, f, args, kwargs, numbers, ())
        if not all(selection.live):
            i = selection.live.index(False)
            raise NotDifferentiableError(
                f"{name} of {name_of(f)}: {selection.path(i)} is not a float or complex value, so"
                " its structure cannot hold derivatives; pass it as another argument"
            )

        def of_leaves(*xs: Any) -> Any:
            return selection.call(target, list(xs))

        def paired(*xs: Any) -> Any:
            out = of_leaves(*xs)
            return split_aux(out, f, name) if has_aux else (out, None)

        out_tree, blocks, aux = rows_or_columns(paired, selection.leaves, chunk_size, name)
        jac = tree_unflatten(out_tree, [selection.pack(row) for row in blocks])
        return (jac, aux) if has_aux else jac

    options = {"argnums": argnums, "chunk_size": chunk_size, "has_aux": has_aux}
    return Transformed(run, f, make, {**options, "transparent": transparent})


# Each takes a function that returns `(out, aux)` and gives the output's structure, the blocks of
# the Jacobian (a row of blocks per output leaf, a block per argument leaf) and the aux.
def _by_rows(f: Any, leaves: Sequence[Any], chunk_size: int | None, name: str) -> Any:
    out, pullback, aux = vjp(f, *leaves, has_aux=True)
    return *_rows(out, pullback, leaves, chunk_size, name), aux


def _rows(out: Any, pullback: Any, leaves: Any, chunk_size: int | None, name: str) -> Any:
    outs, out_tree = tree_flatten(out)
    avals = [aval_of(x) for x in outs]
    blocks = []
    for i, aval in enumerate(avals):
        _check_output(aval, name)

        def row(unit: Any, i: int = i) -> Any:
            cts = [unit if j == i else None for j in range(len(outs))]
            return pullback(_tree_with_none(out_tree, cts, avals))

        units = _units(aval)
        found = vmap(row, chunk_size=chunk_size)(units)
        mixed = [_is_complex(x) != (aval.dtype.kind == "c") for x in leaves]
        if any(m and _is_complex(x) for m, x in zip(mixed, leaves)):
            raise _not_holomorphic(name)
        if any(mixed):  # a real argument: the imaginary part is the pullback of 1j
            sideways = vmap(row, chunk_size=chunk_size)(units * 1j)
            found = [a + 1j * b if m else a for a, b, m in zip(found, sideways, mixed)]
        blocks.append(
            [
                np.reshape(block if m else _conjugate(block), (*aval.shape, *shape_of(x)))
                for block, x, m in zip(found, leaves, mixed)
            ]
        )
    return out_tree, blocks


def _tree_with_none(treedef: Any, cts: Sequence[Any], avals: Sequence[Any]) -> Any:
    return tree_unflatten(
        treedef, [np.zeros(a.shape, a.dtype) if c is None else c for c, a in zip(cts, avals)]
    )


def _by_columns(f: Any, leaves: Sequence[Any], chunk_size: int | None, name: str) -> Any:
    made: list[Any] = []  # (structure, aux) of each run: not mapped, so the same for all
    columns: list[list[Any]] = []
    for i, x in enumerate(leaves):
        aval = aval_of(x)

        def column(unit: Any, i: int = i) -> Any:
            moves = [unit if j == i else None for j in range(len(leaves))]
            out, moved, aux = jvp(f, leaves, moves, has_aux=True)
            outs, treedef = tree_flatten(out)
            for leaf in outs:
                _check_output(aval_of(leaf), name)
                if _is_complex(leaves[i]) and not _is_complex(leaf):
                    raise _not_holomorphic(name)
            made.append((treedef, aux))
            return leaves_like(out, moved)

        found = vmap(column, out_axes=-1, chunk_size=chunk_size)(_units(aval))
        columns.append([np.reshape(c, (*shape_of(c)[:-1], *aval.shape)) for c in found])
    out_tree, aux = made[0]
    return out_tree, [list(row) for row in zip(*columns)], aux


def _by_fewer(f: Any, leaves: Sequence[Any], chunk_size: int | None, name: str) -> Any:
    out, pullback, aux = vjp(f, *leaves, has_aux=True)
    rows = sum(aval_of(x).size for x in tree_flatten(out)[0])
    columns = sum(aval_of(x).size for x in leaves)
    if rows <= columns:
        return *_rows(out, pullback, leaves, chunk_size, name), aux
    return _by_columns(f, leaves, chunk_size, name)


def _is_complex(x: Any) -> bool:
    return aval_of(x).dtype.kind == "c"


def _not_holomorphic(name: str) -> NotDifferentiableError:
    return NotDifferentiableError(
        f"{name}: a real output of a complex argument has no derivative df/dz; use grad (dL/da + i"
        " dL/db), or make the real and imaginary parts two arguments"
    )


def _check_output(aval: ShapeDtypeStruct, name: str) -> None:
    if not is_inexact(aval.dtype):
        raise NotDifferentiableError(f"{name}: an output of dtype {aval.dtype} has no derivative")


def _units(aval: ShapeDtypeStruct) -> Any:
    """One unit array per entry, stacked: `(size, *shape)`."""
    return np.reshape(np.eye(aval.size, dtype=aval.dtype), (aval.size, *aval.shape))


def _ones(x: Any) -> Any:
    return np.ones(shape_of(x), aval_of(x).dtype)


def _conjugate(x: Any) -> Any:
    if isinstance(x, complex) or (hasattr(x, "dtype") and x.dtype.kind == "c"):
        return x.conjugate() if isinstance(x, complex) and not isinstance(x, Box) else np.conj(x)
    return x
