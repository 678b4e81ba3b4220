"""Whole derivatives: Jacobians, Hessians and products with them, from `vjp`, `jvp` and `vmap`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pycograd.core.aval import aval_of
from pycograd.core.buffers import apart
from pycograd.core.errors import NotDifferentiableError, located
from pycograd.core.tree import tree_flatten, tree_map, tree_unflatten
from pycograd.core.views import still
from pycograd.transforms.forward import jvp
from pycograd.transforms.jacobian import (
    by_columns,
    by_fewer,
    by_rows,
    conjugate,
    is_complex,
    ones_like,
)
from pycograd.transforms.reverse import grad, vjp
from pycograd.transforms.wrap import (
    FIRST,
    Selection,
    Transformed,
    check_callable,
    is_differentiable,
    leaves_like,
    name_of,
    normalize_argnums,
    split_aux,
)
from pycograd.transparent import prepared

Argnums = int | Sequence[int] | None
Argnames = str | Sequence[str] | None


def jacrev(
    f: Callable[..., Any],
    argnums: Argnums = FIRST,
    chunk_size: int | None = None,
    *,
    argnum: int | None = None,
    argnames: Argnames = None,
    has_aux: bool = False,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `f`, a row at a time: best when the output is smaller than the input.

    Arguments:
        f: a function with any tree of outputs.
        argnums: the positional arguments to differentiate, an int or a sequence.
        chunk_size: rows to compute at a time, which bounds memory.
        argnum: alias of `argnums`.
        argnames: keyword arguments to differentiate, in the place of argument 0 or besides
            `argnums`; theirs come as a dict.
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
    chosen = normalize_argnums(f, argnums, argnum, argnames, "jacrev")
    return _jacobian(f, chosen, chunk_size, has_aux, transparent, jacrev, by_rows)


def jacfwd(
    f: Callable[..., Any],
    argnums: Argnums = FIRST,
    chunk_size: int | None = None,
    *,
    argnum: int | None = None,
    argnames: Argnames = None,
    has_aux: bool = False,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `f`, a column at a time: best when the input is smaller than the output.

    The arguments are those of `jacrev`.

    Returns:
        A function whose result is that of `jacrev`.

    Raises:
        NotDifferentiableError: as for `jacrev`.

    >>> import numpy as np
    >>> jacfwd(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    chosen = normalize_argnums(f, argnums, argnum, argnames, "jacfwd")
    return _jacobian(f, chosen, chunk_size, has_aux, transparent, jacfwd, by_columns)


def jacobian(
    f: Callable[..., Any],
    argnums: Argnums = FIRST,
    chunk_size: int | None = None,
    *,
    argnum: int | None = None,
    argnames: Argnames = None,
    has_aux: bool = False,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `f`, by rows or by columns, whichever are fewer.

    The arguments are those of `jacrev`.

    Returns:
        A function whose result is that of `jacrev`.

    Raises:
        NotDifferentiableError: as for `jacrev`.

    >>> import numpy as np
    >>> jacobian(lambda x: np.sum(x) * x)(np.array([1.0, 2.0]))
    array([[4., 1.],
           [2., 5.]])
    """
    chosen = normalize_argnums(f, argnums, argnum, argnames, "jacobian")
    return _jacobian(f, chosen, chunk_size, has_aux, transparent, jacobian, by_fewer)


def hessian(
    f: Callable[..., Any],
    argnums: Argnums = FIRST,
    chunk_size: int | None = None,
    *,
    argnum: int | None = None,
    argnames: Argnames = None,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The matrix of second derivatives of a real scalar function, forward over reverse.

    Arguments:
        f: a real scalar function (other outputs give one Hessian per entry).
        argnums: the positional arguments, an int or a sequence.
        chunk_size: columns to compute at a time.
        argnum: alias of `argnums`.
        argnames: keyword arguments to differentiate, in the place of argument 0 or besides
            `argnums`; theirs come as a dict.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A function whose result has the argument's structure twice: at each leaf pair an array of
        shape `(*first shape, *second shape)`.

    Raises:
        NotDifferentiableError: as for `jacrev`.

    >>> import numpy as np
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    check_callable(f, "hessian")
    numbers, names = normalize_argnums(f, argnums, argnum, argnames, "hessian")
    rows = jacrev(f, numbers, argnames=names, transparent=transparent)
    run = jacfwd(rows, numbers, chunk_size, argnames=names)
    options = {"argnums": numbers, "argnames": names, "chunk_size": chunk_size}
    return Transformed(run, f, hessian, {**options, "transparent": transparent})


def hvp(
    f: Callable[..., Any],
    argnums: Argnums = FIRST,
    *,
    argnum: int | None = None,
    argnames: Argnames = None,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The product of the Hessian of a real scalar function with a vector, without the Hessian.

    Arguments:
        f: a real scalar function.
        argnums: the argument that the Hessian is of, or a sequence of them.
        argnum: alias of `argnums`.
        argnames: keyword arguments that it is of, in the place of argument 0 or besides `argnums`.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        `hvp(f)(x, v)`: `x` is that argument, or for several what `grad` gives for them: a tuple, a
        dict by name, or both in a tuple. `v` is like `x` in structure and shapes, and so is the
        result; the other arguments of `f` follow.

    Raises:
        NotDifferentiableError: `x` is not a float or complex value.
        NonScalarOutputError: `f` did not return a real scalar.
        TreeMismatchError, ShapeError: `v` does not fit `x`.

    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x ** 3))(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    >>> one = np.ones(2)
    >>> hvp(lambda x, y: np.sum(x * y), argnums=(0, 1))((one, one), (None, one))
    (array([1., 1.]), array([0., 0.]))
    """
    check_callable(f, "hvp")
    numbers, names = normalize_argnums(f, argnums, argnum, argnames, "hvp")
    gradient = grad(f, numbers, argnames=names, transparent=transparent)

    def run(x: Any, v: Any, *rest: Any, **kwargs: Any) -> Any:

        def of(x: Any) -> Any:
            args, named = _arguments(x, rest, numbers, names)
            return gradient(*args, **{**kwargs, **named})

        return jvp(of, (x,), (v,))[1]

    options = {"argnums": numbers, "argnames": names, "transparent": transparent}
    return Transformed(run, f, hvp, options)


def _arguments(x: Any, rest: Sequence[Any], numbers: Any, names: Any) -> tuple[list[Any], Any]:
    """The arguments of a function of which `x` are those at `numbers` and `names`."""
    chosen, named = x, {}
    if names:
        chosen, named = ((), x) if numbers is None else x
    places = range(len(chosen)) if numbers is None else numbers
    if isinstance(numbers, int):
        chosen, places = (chosen,), (numbers,)
    count = len(rest) + len(chosen)
    if len(places) != len(chosen) or not all(-count <= n < count for n in places):
        raise TypeError(
            located(f"hvp: argnums {numbers} with {len(chosen)} values and {len(rest)} others")
        )
    args = list(rest)
    for n, value in sorted(zip([n % count for n in places], chosen), key=lambda pair: pair[0]):
        args.insert(n, value)
    return args, named


def elementwise_grad(
    f: Callable[..., Any],
    argnums: Argnums = FIRST,
    *,
    argnum: int | None = None,
    argnames: Argnames = None,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The derivative of a function that acts entry by entry, at every entry at once.

    Arguments:
        f: a function whose output entry i depends on input entry i alone. (For any other function
            the result is the gradient of the sum of its output.)
        argnums: the argument to differentiate, an int or a sequence.
        argnum: alias of `argnums`.
        argnames: keyword arguments to differentiate, in the place of argument 0 or besides
            `argnums`; theirs come as a dict.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A function giving an array of the argument's shape.

    Raises:
        NotDifferentiableError: nothing to differentiate, or `f` mixes real and complex values.

    >>> import numpy as np
    >>> elementwise_grad(np.sin)(np.zeros(3))
    array([1., 1., 1.])
    """
    check_callable(f, "elementwise_grad")
    numbers, names = normalize_argnums(f, argnums, argnum, argnames, "elementwise_grad")
    target = prepared(f, transparent)

    def run(*args: Any, **kwargs: Any) -> Any:
        selection = Selection("elementwise_grad", f, args, kwargs, numbers, names)
        out, pullback = vjp(lambda *xs: selection.call(target, list(xs)), *selection.leaves)
        kinds = {is_complex(x) for x in (*tree_flatten(out)[0], *selection.leaves)}
        if len(kinds) > 1:
            raise NotDifferentiableError(
                f"elementwise_grad of {name_of(f)}: it mixes real and complex values, of which one"
                " number per entry cannot be the derivative; use jacobian, or grad of a real loss"
            )
        return selection.pack(pullback(tree_map(ones_like, out)))

    options = {"argnums": numbers, "argnames": names, "transparent": transparent}
    return Transformed(run, f, elementwise_grad, options)


egrad = elementwise_grad


def holomorphic_grad(
    f: Callable[..., Any],
    argnums: Argnums = FIRST,
    *,
    argnum: int | None = None,
    argnames: Argnames = None,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """The complex derivative `df/dz` of a holomorphic function, entry by entry.

    Arguments:
        f: a holomorphic function of complex arguments.
        argnums: the argument to differentiate, an int or a sequence.
        argnum: alias of `argnums`.
        argnames: keyword arguments to differentiate, in the place of argument 0 or besides
            `argnums`; theirs come as a dict.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A function giving an array of the argument's shape.

    Raises:
        NotDifferentiableError: the argument is not complex.

    >>> holomorphic_grad(lambda z: z * z)(1.0 + 1.0j)
    (2+2j)
    """
    check_callable(f, "holomorphic_grad")
    numbers, names = normalize_argnums(f, argnums, argnum, argnames, "holomorphic_grad")
    entries = elementwise_grad(f, numbers, argnames=names, transparent=transparent)

    def run(*args: Any, **kwargs: Any) -> Any:
        selection = Selection("holomorphic_grad", f, args, kwargs, numbers, names)
        for i, leaf in enumerate(selection.leaves):
            if selection.live[i] and aval_of(leaf).dtype.kind != "c":
                raise NotDifferentiableError(
                    f"holomorphic_grad of {name_of(f)}: {selection.path(i)} is not complex; use"
                    " grad, or pass z + 0j"
                )
        # vjp(ct) = conj(f') ct for a holomorphic f
        return tree_map(conjugate, entries(*args, **kwargs))

    options = {"argnums": numbers, "argnames": names, "transparent": transparent}
    return Transformed(run, f, holomorphic_grad, options)


def make_jvp(
    f: Callable[..., Any],
    argnums: Argnums = FIRST,
    *,
    argnum: int | None = None,
    argnames: Argnames = None,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """`make_jvp(f)(*args)(v)` is `(value, derivative along v)`.

    Arguments:
        f: a function with any tree of outputs.
        argnums: the argument to move, an int or a sequence.
        argnum: alias of `argnums`.
        argnames: keyword arguments to move, in the place of argument 0 or besides `argnums`.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A function of the arguments of `f` that gives one of the direction `v`, which is like the
        argument: for several what `grad` gives for them, a tuple, a dict by name, or both. That
        one stays the derivative at the arguments as they are now.

    Raises:
        NotDifferentiableError: the argument is not a float or complex value.
        TreeMismatchError, ShapeError: `v` does not fit the argument.

    >>> make_jvp(lambda x: x * x)(3.0)(1.0)
    (9.0, 6.0)
    >>> make_jvp(lambda x, y: x * y, argnums=(0, 1))(3.0, 2.0)((1.0, 10.0))
    (6.0, 32.0)
    """
    check_callable(f, "make_jvp")
    numbers, names = normalize_argnums(f, argnums, argnum, argnames, "make_jvp")
    target = prepared(f, transparent)

    def at(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        args, kwargs = tree_map(_as_now, (args, kwargs))
        selection = Selection("make_jvp", f, args, kwargs, numbers, names)
        like = selection.pack(selection.leaves)
        return lambda v: jvp(
            lambda *xs: selection.call(target, list(xs)), selection.leaves, leaves_like(like, v)
        )

    options = {"argnums": numbers, "argnames": names, "transparent": transparent}
    return Transformed(at, f, make_jvp, options)


def make_vjp(
    f: Callable[..., Any],
    argnums: Argnums = FIRST,
    *,
    argnum: int | None = None,
    argnames: Argnames = None,
    transparent: bool | None = None,
) -> Callable[..., Any]:
    """`make_vjp(f)(*args)` is `(pullback, value)`.

    Arguments:
        f: a function with any tree of outputs.
        argnums: the argument to differentiate, an int or a sequence.
        argnum: alias of `argnums`.
        argnames: keyword arguments to differentiate, in the place of argument 0 or besides
            `argnums`.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A function of the arguments of `f`. Its pullback takes a cotangent like the value, and gives
        one like the argument, for several a tuple, a dict by name, or both. It may be called again
        and stays the derivative at the arguments as they are now.

    Raises:
        NotDifferentiableError: the argument is not a float or complex value.
        TreeMismatchError, ShapeError: a cotangent that does not fit the value.

    >>> pullback, value = make_vjp(lambda x: x * x)(3.0)
    >>> pullback(1.0), value
    (6.0, 9.0)
    """
    check_callable(f, "make_vjp")
    numbers, names = normalize_argnums(f, argnums, argnum, argnames, "make_vjp")
    target = prepared(f, transparent)

    def at(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(_as_now, (args, kwargs))
        selection = Selection("make_vjp", f, args, kwargs, numbers, names)
        out, pullback = vjp(lambda *xs: selection.call(target, list(xs)), *selection.leaves)
        return (lambda ct: selection.pack(pullback(ct))), out

    options = {"argnums": numbers, "argnames": names, "transparent": transparent}
    return Transformed(at, f, make_vjp, options)


def _as_now(x: Any) -> Any:
    """`x` in memory, or as a box, that later writes of its owner do not change."""
    return still(apart(x))


# -- how a Jacobian is made ------------------------------------------------------------------------
def _jacobian(
    f: Any,
    chosen: tuple[Any, tuple[str, ...]],
    chunk_size: int | None,
    has_aux: bool,
    transparent: bool | None,
    make: Callable[..., Any],
    rows_or_columns: Callable[..., Any],
) -> Callable[..., Any]:
    name = make.__name__
    check_callable(f, name)
    target = prepared(f, transparent)
    numbers, names = chosen

    def run(*args: Any, **kwargs: Any) -> Any:
        selection = Selection(name, f, args, kwargs, numbers, names)
        if not all(selection.live):
            i = selection.live.index(False)
            frozen = is_differentiable(selection.leaves[i])
            what = "a parameter that is not trained" if frozen else "not a float or complex value"
            raise NotDifferentiableError(
                f"{name} of {name_of(f)}: {selection.path(i)} is {what}, so its structure cannot"
                " hold derivatives; pass it as another argument"
            )

        def of_leaves(*xs: Any) -> Any:
            return selection.call(target, list(xs))

        def paired(*xs: Any) -> Any:
            out = of_leaves(*xs)
            return split_aux(out, f, name) if has_aux else (out, None)

        out_tree, blocks, aux = rows_or_columns(paired, selection.leaves, chunk_size, name)
        jac = tree_unflatten(out_tree, [selection.pack(row) for row in blocks])
        return (jac, aux) if has_aux else jac

    options = {"argnums": numbers, "argnames": names, "chunk_size": chunk_size}
    return Transformed(run, f, make, {**options, "has_aux": has_aux, "transparent": transparent})
