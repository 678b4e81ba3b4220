"""Reverse mode. `vjp: (a -> b) -> a -> (b, CT b -> CT a)`; `grad` seeds a real scalar with 1.

Inputs are boxed on a fresh tape, the function runs as it is, and one sweep over the tape gives the
cotangents (`core.tape`).
"""

from __future__ import annotations

from _thread import RLock  # threading itself takes 2 ms to import
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from pycograd.core import modes
from pycograd.core.aval import ShapeDtypeStruct, aval_of, dtype_of, shape_of
from pycograd.core.box import Box, raw
from pycograd.core.buffers import apart, owned, settle_apart
from pycograd.core.errors import (
    NonScalarOutputError,
    NotDifferentiableError,
    ShapeError,
    TreeMismatchError,
)
from pycograd.core.fit import cast
from pycograd.core.tape import Sweep, Tape, Var
from pycograd.core.tree import tree_flatten, tree_map, tree_unflatten
from pycograd.core.views import links_of, still
from pycograd.transforms.wrap import (
    Selection,
    Transformed,
    check_callable,
    check_result,
    leaves_like,
    name_of,
    normalize_argnums,
    on_graph,
    refuse_escaped,
    refuse_foreign,
    say_clearer,
    split_aux,
)
from pycograd.transparent import prepared


def value_and_grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    *,
    argnames: str | Sequence[str] | None = None,
    argnum: int | None = None,
    transparent: bool | None = None,
    backend: Any = None,
    jit: bool = False,
) -> Callable[..., Any]:
    """The value of a real scalar function and its gradients.

    Arguments:
        f: a function of arrays, scalars and trees of them, written in NumPy.
        argnums: the positional arguments to differentiate: an int (negative too) gives the bare
            gradient, a sequence a tuple in that order; None means all, as a tuple.
        has_aux: `f` returns `(loss, aux)`; `aux` is passed through as a constant.
        argnames: keyword arguments to differentiate; their gradients come as a dict.
        argnum: alias of `argnums`.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.
        backend: the name of a backend, `"torch"`, whose own autodiff is to be used: `f` is captured
            and compiled for it, NumPy's arrays go in and come out.
        jit: with `backend`, whether the library's own compiler gets the code too.

    Returns:
        A function of the arguments of `f` returning `(value, gradients)`, or
        `((value, aux), gradients)`. Each gradient has its argument's structure, shapes and dtypes;
        None stands for a leaf that is not a float or complex value. For complex `z = a + ib` the
        gradient is `dL/da + i dL/db`.

    Raises:
        NotDifferentiableError: nothing to differentiate, such as `grad(f)(3)`.
        NonScalarOutputError: `f` did not return a real scalar.

    >>> import numpy as np
    >>> value, (g,) = value_and_grad(lambda x: np.sum(x * x))(np.array([1.0, 2.0]))
    >>> float(value), g
    (5.0, array([2., 4.]))
    """
    check_callable(f, "value_and_grad")
    options = {
        "argnums": argnums,
        "has_aux": has_aux,
        "argnames": argnames,
        "argnum": argnum,
        "transparent": transparent,
    }
    if backend is not None:
        native = import_module("pycograd.graph.native")  # which stands above this module
        made: Callable[..., Any] = native.native_value_and_grad(f, backend, jit, options)
        return made
    target = prepared(f, transparent)
    argnums, names = normalize_argnums(f, argnums, argnum, argnames, "value_and_grad")

    def run(*args: Any, **kwargs: Any) -> Any:
        selection = Selection("grad", f, args, kwargs, argnums, names)
        tape = Tape(name_of(f))
        try:
            boxed = [
                tape.input(leaf) if live else leaf
                for leaf, live in zip(selection.leaves, selection.live)
            ]
            slots = [x.slot if live else None for x, live in zip(boxed, selection.live)]
            inputs = len(tape.steps)
            out = selection.call(target, boxed)
            del boxed
            check_result(out, f, "grad")
            aux = None
            if has_aux:
                out, aux = split_aux(out, f, "grad")
                aux = tree_map(lambda leaf: unbox(leaf, tape), aux)
            value, slot = _scalar(out, tape, f)
            del out
            cts = [None] * inputs
            if slot is not None:
                cts = pull(tape, [slot], [_one(value)], inputs)
        except (TypeError, ValueError, RuntimeError) as error:
            say_clearer(error)
            raise
        finally:
            tape.close()
        grads = [
            finish(leaf, cts, s) if s is not None else None
            for leaf, s in zip(selection.leaves, slots)
        ]
        value = value if isinstance(value, Box) else np.asarray(value)
        return ((value, aux) if has_aux else value), selection.pack(grads)

    return on_graph(f, Transformed(run, f, value_and_grad, options))


def grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    *,
    argnames: str | Sequence[str] | None = None,
    argnum: int | None = None,
    transparent: bool | None = None,
    backend: Any = None,
    jit: bool = False,
) -> Callable[..., Any]:
    """The gradients of a real scalar function; see `value_and_grad` for the arguments.

    Returns:
        A function of the arguments of `f` returning the gradients, a tuple with one per positional
        argument (bare for an int `argnums`); with `has_aux`, `(gradients, aux)`. Of a `Graph`, the
        graph of that.

    Raises:
        NotDifferentiableError: nothing to differentiate, such as `grad(f)(3)`.
        NonScalarOutputError: `f` did not return a real scalar.

    >>> grad(lambda x: x * x)(3.0)
    (6.0,)
    >>> grad(lambda x, y: x * y, argnums=1)(3.0, 2.0)
    3.0
    """
    check_callable(f, "grad")
    options: dict[str, Any] = {
        "argnums": argnums,
        "has_aux": has_aux,
        "argnames": argnames,
        "argnum": argnum,
        "transparent": transparent,
    }
    normalize_argnums(f, argnums, argnum, argnames, "grad")  # whose errors name `grad`
    if backend is not None:
        options |= {"backend": backend, "jit": jit}
    both = value_and_grad(f, **options)

    def run(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return on_graph(f, Transformed(run, f, grad, options))


def vjp(
    f: Callable[..., Any],
    *primals: Any,
    has_aux: bool = False,
    transparent: bool | None = None,
) -> Any:
    """The value of `f` and its pullback, which maps output cotangents to input cotangents.

    Arguments:
        f: a function of `primals`, with any tree of outputs.
        primals: arrays, scalars and trees.
        has_aux: `f` returns `(out, aux)`; aux is passed through.
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        `(out, pullback)`, with `has_aux` `(out, pullback, aux)`. `pullback(ct)` takes a tree like
        `out` and returns a tuple with one cotangent per primal; it may be called again, and stays
        the derivative at `primals` as they are now, whatever is written into them or `out`.

    Raises:
        TreeMismatchError, ShapeError: a cotangent that does not fit the output.

    >>> import numpy as np
    >>> out, pullback = vjp(np.sin, 0.0)
    >>> pullback(1.0)
    (1.0,)
    """
    check_callable(f, "vjp")
    selection = Selection("vjp", f, primals, {}, None, ())
    tape = Tape(name_of(f))
    try:
        boxed = [
            _input_apart(tape, leaf) if live else leaf
            for leaf, live in zip(selection.leaves, selection.live)
        ]
        slots = [x.slot if live else None for x, live in zip(boxed, selection.live)]
        inputs = len(tape.steps)
        out = selection.call(prepared(f, transparent), boxed)
        del boxed
        check_result(out, f, "vjp")
        aux = None
        if has_aux:
            out, aux = split_aux(out, f, "vjp")
            aux = _out_of(aux, tape)
        outs, treedef = tree_flatten(out)
        heads = [x.slot if isinstance(x, Var) and x._trace is tape else None for x in outs]
        values = [still(unbox(x, tape)) for x in outs]
        del out, outs
        settle_apart(values)
        avals = [aval_of(v) if s is not None else None for v, s in zip(values, heads)]
        steps = tape.steps
    except (TypeError, ValueError, RuntimeError) as error:
        say_clearer(error)
        raise
    finally:
        tape.close()
    result = tree_unflatten(treedef, values)
    lock = RLock()  # a pullback opens the one tape again

    def pullback(ct: Any) -> tuple[Any, ...]:
        """The cotangents of the primals for the cotangent `ct` of the output."""
        try:
            cts = leaves_like(result, ct)
        except TreeMismatchError as error:
            raise TreeMismatchError(
                f"vjp of {name_of(f)}: the cotangent does not have the output's structure: {error}"
            ) from error
        seeds, at = [], []
        for i, (c, slot, aval) in enumerate(zip(cts, heads, avals)):
            if slot is None or aval is None or c is None:
                continue
            refuse_foreign(c, "vjp", f, alike=True)
            if not hasattr(c, "shape"):
                c = np.asarray(c)
            if shape_of(c) != aval.shape:
                raise ShapeError(
                    f"vjp of {name_of(f)}: cotangent {i} has shape {shape_of(c)}, its output"
                    f" {aval.shape}"
                )
            if dtype_of(c).kind == "c" and aval.dtype.kind != "c":
                raise NotDifferentiableError(
                    f"vjp of {name_of(f)}: cotangent {i} is complex, its output real"
                )
            seeds.append(cast(c, aval.dtype))
            at.append(slot)
        with lock:
            before = None if tape.closed else tape.steps  # called from within itself
            tape.reopen(list(steps))
            try:
                found = pull(tape, at, seeds, inputs) if at else [None] * inputs
            finally:
                if before is None:
                    tape.close()
                else:
                    tape.reopen(before)
        grads = [
            finish(leaf, found, s) if s is not None else None
            for leaf, s in zip(selection.leaves, slots)
        ]
        return selection.pack(grads)  # type: ignore[no-any-return]

    return (result, pullback, aux) if has_aux else (result, pullback)


def _input_apart(tape: Tape, leaf: Any) -> Var:
    """A box for an input that its owner may write to while the tape is kept."""
    value = apart(leaf)
    box = tape.input(value)
    if value is not leaf and (value.flags.c_contiguous, value.flags.f_contiguous) != (
        leaf.flags.c_contiguous,
        leaf.flags.f_contiguous,
    ):
        links_of(box).moved = True  # whether reshaping it makes a view is no longer to be seen
    return box


def _out_of(tree: Any, tape: Tape) -> Any:
    """`tree` without this tape's boxes, in memory that the steps do not keep."""
    leaves, treedef = tree_flatten(tree)
    mine = [i for i, x in enumerate(leaves) if isinstance(x, Var) and x._trace is tape]
    leaves = [unbox(x, tape) for x in leaves]
    values = [still(leaves[i]) for i in mine]
    for i in mine:
        leaves[i] = None
    settle_apart(values)
    for i, value in zip(mine, values):
        leaves[i] = value
    return tree_unflatten(treedef, leaves)


def pull(tape: Tape, slots: Sequence[int], seeds: Sequence[Any], inputs: int) -> list[Any]:
    """Sweeps the tape from the given cotangents of slots; the cotangents of the inputs."""
    steps = tape.steps
    del steps[max(*slots, inputs - 1) + 1 :]  # nothing after the last output matters
    cts: list[Any] = [None] * len(steps)
    for slot, seed in zip(slots, seeds):
        cts[slot] = seed if cts[slot] is None else cts[slot] + seed
    Sweep(steps, cts, tape).run(inputs)
    return cts


def _one(value: Any) -> Any:
    """The seed of a real scalar; abstract for an abstract one, so that it takes symbolic shapes."""
    if isinstance(raw(value), ShapeDtypeStruct):
        return np.ones((), value.dtype, like=value)
    return dtype_of(value).type(1)


def finish(leaf: Any, cts: list[Any], slot: int) -> Any:
    """The cotangent handed to the user: of the leaf's own type, in memory that nobody else sees."""
    ct, cts[slot] = cts[slot], None
    if type(leaf) is np.ndarray and type(ct) is np.ndarray:  # the common case
        if ct.dtype is leaf.dtype or ct.dtype == leaf.dtype:
            return ct if owned(ct) else np.array(ct)
        return ct.astype(leaf.dtype)  # the bytes the other way round
    if isinstance(ct, Box):
        refuse_escaped(ct, None)  # a rule used a value of the transform that has just ended
        ct = ct if modes.homing is None else modes.homing(ct, leaf)
        if isinstance(ct, Box):
            return ct
    kind = type(leaf)
    if ct is None:
        if isinstance(leaf, Box):
            return np.zeros_like(leaf)
        return (
            kind(0) if kind in (float, complex) else _typed(leaf, np.zeros(leaf.shape, leaf.dtype))
        )
    if kind is float or kind is complex:
        return kind(ct)
    if isinstance(leaf, Box):
        return ct if modes.homing is None else modes.homing(ct, leaf)
    return _typed(leaf, ct if owned(ct) else np.array(ct))


def _typed(leaf: Any, ct: Any) -> Any:
    return leaf.dtype.type(ct) if isinstance(leaf, np.generic) else ct


def unbox(x: Any, tape: Tape) -> Any:
    """`x` without this tape's box."""
    refuse_escaped(x, tape)
    return x.value if isinstance(x, Var) and x._trace is tape else x


def _scalar(out: Any, tape: Tape, f: Any) -> tuple[Any, Any]:
    """The value and slot of the output, which must be a real scalar."""
    if type(out) is Var and out._trace is tape:  # the common case
        value = out.value
        if value.shape == () and value.dtype.kind == "f":
            return value, out.slot
    leaves = tree_flatten(out)[0]
    if len(leaves) != 1 or leaves[0] is not out:
        raise NonScalarOutputError(
            f"grad of {name_of(f)}: it returned {type(out).__name__}, not a real scalar. Return the"
            " loss alone, or (loss, aux) with has_aux=True, or use jacobian for several outputs"
        )
    refuse_escaped(out, tape)
    mine = isinstance(out, Var) and out._trace is tape
    value = out.value if mine else out
    if not mine and not isinstance(value, (Box, np.ndarray, np.generic, int, float, complex)):
        raise NonScalarOutputError(
            f"grad of {name_of(f)}: it returned {type(out).__name__}, not a real scalar"
        )
    aval = aval_of(value)
    if aval.shape != ():
        raise NonScalarOutputError(
            f"grad of {name_of(f)}: its output has shape {aval.shape}, and gradients are of real"
            " scalars. Reduce it (np.sum, np.mean), or use jacobian(f), elementwise_grad(f), or"
            " vmap(grad(f)) for one gradient per row"
        )
    if aval.dtype.kind in "iub":
        raise NonScalarOutputError(
            f"grad of {name_of(f)}: its output is of type {aval.dtype}, which does not change"
            " gradually, so it has no derivative. Return the float loss itself, not an index, a"
            " count or a comparison"
        )
    if aval.dtype.kind == "c":
        raise NonScalarOutputError(
            f"grad of {name_of(f)}: its output is complex. Return a real scalar such as np.abs(z)"
            " ** 2 or np.real(z), or use holomorphic_grad"
        )
    return value, out.slot if mine else None
