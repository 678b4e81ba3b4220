"""Checkpointing: a function that keeps only its inputs and runs again when it is differentiated.

On a tape it is one step. The first run records as any function does, and what it recorded is then
dropped but for its slots. The recompute happens inside the sweep: it appends to the same tape,
sweeps what it appended and leaves the tape as it was, so values that the function closes over get
their cotangents like any others.

A value that leaves a run otherwise than as its result must not meet a slot that means something
else. Those of the first run meet the dropped steps, whose rule raises. Those of a recompute have
slots after that of any step of a later recompute, which the sweep notices as a parent that comes
after its child: the step of each call is placed beyond `Tape.reach`, the last slot that the
recomputes of earlier calls can take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pycograd.core import modes
from pycograd.core.box import Box
from pycograd.core.errors import OuterWriteError
from pycograd.core.primitive import Primitive, Trace, bind
from pycograd.core.tape import Sweep, Tape, Var, deposit
from pycograd.core.tree import tree_flatten, tree_unflatten
from pycograd.core.views import as_they_were, still
from pycograd.transforms.batch import Batched, BatchTrace, run_rows
from pycograd.transforms.capture import capturing, is_abstract
from pycograd.transforms.forward import Dual, ForwardTrace, jvp
from pycograd.transforms.wrap import (
    Transformed,
    check_callable,
    enclosed_boxes,
    name_of,
    refuse_escaped,
)
from pycograd.transparent import prepared

_POLICIES = (None, "nothing", "everything")


def checkpoint(
    f: Callable[..., Any], policy: str | None = None, *, transparent: bool | None = None
) -> Callable[..., Any]:
    """`f` with less memory: its intermediate values are computed again in the reverse sweep.

    Arguments:
        f: any function of arrays and trees; keyword arguments too. It runs twice, so randomness in
            it must come from keys (`pycograd.random`), which replay.
        policy: what is kept of the values computed inside: None or "nothing", or "everything"
            (which makes it an ordinary call).
        transparent: whether `f` runs in the transparent mode (`transparent(f)`); None looks at its
            code.

    Returns:
        A function with the same results and derivatives.

    Raises:
        OuterWriteError: `f` writes into a differentiated value made outside it.
        EscapedTracerError: a value made inside `f` was used outside it without being returned.
        UnsupportedOperationError: `f` returned differentiated values inside an object that is no
            tree.

    >>> import numpy as np
    >>> grad(lambda x: np.sum(checkpoint(np.sin)(x)))(np.zeros(2))[0]
    array([1., 1.])
    """
    check_callable(f, "checkpoint")
    if policy not in _POLICIES:
        raise ValueError(f"checkpoint: policy is one of {_POLICIES}, not {policy!r}")

    target = prepared(f, transparent)

    def run(*args: Any, **kwargs: Any) -> Any:
        leaves, treedef = tree_flatten((args, kwargs))
        if policy == "everything" or not any(isinstance(x, Box) for x in leaves):
            return target(*args, **kwargs)

        def flat(*xs: Any) -> Any:
            args, kwargs = tree_unflatten(treedef, xs)
            return target(*args, **kwargs)

        if capturing.get() or any(map(is_abstract, leaves)):
            from pycograd.transforms.control.segments import checkpointed

            if (out := checkpointed(flat, name_of(f), leaves)) is not None:
                return out[0]
        return _call(flat, name_of(f), enclosed_boxes(f), leaves)

    return Transformed(run, f, checkpoint, {"policy": policy, "transparent": transparent})


def _call(flat: Callable[..., Any], name: str, enclosed: list[Box], leaves: Sequence[Any]) -> Any:
    segment = Segment(flat, name, enclosed)
    outs = bind(segment, leaves, {})
    return tree_unflatten(segment.out_tree, outs)


class Segment(Primitive):
    """One call of a checkpointed function; operands are the leaves of its arguments."""

    special = True

    def __init__(self, flat: Callable[..., Any], name: str, enclosed: list[Box]) -> None:
        super().__init__(f"checkpoint({name})", None, multi=True, register=False)
        self.flat, self.label, self.enclosed = flat, name, enclosed
        self.out_tree: Any = None

    def impl(self, *leaves: Any) -> tuple[Any, ...]:
        return self._run(*leaves)

    def _run(self, *leaves: Any) -> tuple[Any, ...]:
        outs, self.out_tree = tree_flatten(self.flat(*leaves))
        return tuple(outs)

    def under(self, trace: Trace, operands: Sequence[Any], params: Any = None) -> Any:
        # A value closed over from an inner transform makes that transform the one that sees the
        # operations; the call is then an ordinary one.
        if any(x._trace.level > trace.level for x in self.enclosed):
            return self._run(*operands)
        own = any(x._trace is trace for x in self.enclosed)
        outs: Any = None
        if type(trace) is Tape:
            outs = self._on_tape(trace, operands)
        elif isinstance(trace, BatchTrace) and not own:
            outs = self._batched(trace, operands)
        elif isinstance(trace, ForwardTrace) and not own:
            outs = self._forward(trace, operands)
        # None: this kind of trace (by hand, abstract) has no segments, or a box of it or of an
        # inner one came in unseen (a helper's closure); the call is then an ordinary one.
        return self._run(*operands) if outs is None else outs

    # -- reverse -----------------------------------------------------------------------------------
    def _on_tape(self, tape: Tape, operands: Sequence[Any]) -> Any:
        slots = [x.slot if isinstance(x, Var) and x._trace is tape else None for x in operands]
        values = [still(x if s is None else x.value) for x, s in zip(operands, slots)]
        enclosed = [(x, still(x)) for x in self.enclosed]
        start, reach, replaying = len(tape.steps), tape.reach, tape.replaying
        tape.reach, tape.replaying = start, next(modes.levels)
        boxed = [_locked(still(v)) if s is None else tape.box(v, s) for v, s in zip(values, slots)]
        with _written_inside_only((*operands, *self.enclosed)):
            try:
                outs = self._run(*boxed)
            except ValueError as error:
                if "read-only" in str(error):  # NumPy has no class of its own for this error
                    raise self._writes() from error
                raise
            finally:
                inner, tape.replaying = tape.reach, replaying
                tape.reach = max(reach, inner)
        for b, v, s in zip(boxed, values, slots):
            if s is None and isinstance(b, Box) and not _alike(b, v):
                raise self._writes()
        for x in outs:
            refuse_escaped(x, tape)
        made = [x.slot for x in outs if isinstance(x, Var) and x._trace is tape]
        outs = tuple([x.value if isinstance(x, Var) and x._trace is tape else x for x in outs])
        if _inner(outs, tape.level + 1):
            return None
        taken = max(len(tape.steps), inner) - start
        tape.drop(start, made, reach if taken else start, self.name)
        tape.reach = max(reach, len(tape.steps) + taken)
        live = [s for s in slots if s is not None]
        return tape.record_multi(_recompute, live, (self, values, slots, enclosed), outs)

    def _writes(self) -> OuterWriteError:
        return OuterWriteError(
            f"{self.name} writes into its argument; the write would be repeated when it is run"
            " again. Write into a copy, x = x.copy(), and return that"
        )

    # -- forward and batching: checkpoint the transformed function ---------------------------------
    def _forward(self, trace: ForwardTrace, operands: Sequence[Any]) -> Any:
        mine = [isinstance(x, Dual) and x._trace is trace for x in operands]
        values = [x.value if m else x for x, m in zip(operands, mine)]
        moving = [i for i, x in enumerate(operands) if mine[i] and x.tangent is not None]

        def moved(*xs: Any) -> Any:
            vals, ts = xs[: len(values)], xs[len(values) :]

            def of_moving(*ys: Any) -> Any:
                full = list(vals)
                for i, y in zip(moving, ys):
                    full[i] = y
                return self._run(*full)

            return jvp(of_moving, [vals[i] for i in moving], ts)

        leaves = [*values, *[operands[i].tangent for i in moving]]
        if not any(isinstance(x, Box) for x in leaves):
            outs, tangents = moved(*leaves)
        else:
            outs, tangents = _call(moved, self.label, self.enclosed, leaves)
        if _inner((*outs, *tangents), trace.level):
            return None
        return tuple(x if t is None else trace.box(x, t) for x, t in zip(outs, tangents))

    def _batched(self, trace: BatchTrace, operands: Sequence[Any]) -> Any:
        mine = [isinstance(x, Batched) and x._trace is trace for x in operands]
        values = [x.value if m else x for x, m in zip(operands, mine)]
        mapped = [m and x.mapped for x, m in zip(operands, mine)]
        _, treedef = tree_flatten((tuple(values), {}))
        flags: list[bool] = []

        def rows(*xs: Any) -> Any:
            outs, _ = run_rows(self._run, xs, mapped, treedef, trace.size)
            flags[:] = [m for _, m in outs]
            return [value for value, _ in outs]

        if not any(isinstance(x, Box) for x in values):
            outs = rows(*values)
        else:
            outs = _call(rows, self.label, self.enclosed, values)
        if _inner(outs, trace.level):
            return None
        return tuple(trace.box(x, m) for x, m in zip(outs, flags))


def _recompute(cts: list[Any], residual: Any, parents: list[int], sweep: Sweep) -> None:
    """Runs the segment again on the tape being swept, and sweeps what that recorded."""
    segment, values, slots, enclosed = residual
    tape, steps = sweep.tape, sweep.steps
    start = len(steps)
    assert tape is not None and tape.steps is steps
    boxed = [still(v) if s is None else tape.box(v, s) for v, s in zip(values, slots)]
    before, tape.replaying = tape.replaying, next(modes.levels)
    tape.reach = start
    try:
        with as_they_were(enclosed):
            outs = segment._run(*boxed)
    finally:
        tape.replaying = before
    sweep.cts.extend([None] * (len(steps) - start))
    for ct, out in zip(cts, outs):
        if ct is not None and isinstance(out, Var) and out._trace is tape:
            deposit(sweep.cts, out.slot, ct)
    sweep.run(start)


@contextmanager
def _written_inside_only(values: Sequence[Any]) -> Iterator[None]:
    """Inside the block no value made before it may be written, on whichever tapes these are."""
    tapes: dict[int, Tape] = {}
    for x in values:
        while isinstance(x, Box):
            if isinstance(x._trace, Tape):
                tapes[id(x._trace)] = x._trace
            x = x.value
    starts = [(tape, len(tape.steps)) for tape in tapes.values()]
    try:
        for tape, start in starts:
            tape.floors.append(start)
            tape.floor = max(tape.floors)
        yield
    finally:
        for tape, start in starts:
            tape.floors.remove(start)
            tape.floor = max(tape.floors, default=0)


def _alike(x: Any, y: Any) -> bool:
    """True unless the box `x`, made as a twin of `y`, has been written to since."""
    if not isinstance(x, Box):
        return x is y
    return all(_alike(getattr(x, name), getattr(y, name)) for name in x.contents)


def _inner(values: Sequence[Any], level: int) -> bool:
    """True if some value is a box of a transform at `level` or further in."""
    return any(isinstance(x, Box) and x._trace.level >= level for x in values)


def _locked(x: Any) -> Any:
    """A view that refuses writes: the caller would see them, and the sweep make them again."""
    if type(x) is not np.ndarray:
        return x
    view = x.view()
    view.flags.writeable = False
    return view
