"""The reverse mode of a `while_loop`, as one equation: it runs the loop again and goes back.

How many steps there are is known only while it runs, so no other equation can keep their values. A
further derivative is the same equation with one more transform in its `spec`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, aval_of, is_inexact, make_aval
from pycograd.core.box import Box
from pycograd.core.primitive import Primitive, bind
from pycograd.core.tape import Tape, differentiable
from pycograd.transforms.batch import Batched, vmap
from pycograd.transforms.control import subgraph
from pycograd.transforms.control.calls import Controlled
from pycograd.transforms.control.operands import truth
from pycograd.transforms.control.scan import Parts, backward
from pycograd.transforms.forward import jvp
from pycograd.transforms.reverse import vjp


def parts_of(xs: Sequence[Any], params: Any) -> tuple[Any, Any, Any]:
    """The operands of a loop: what its condition and its body close over, and the value."""
    m, k = params["parts"]
    return xs[:m], xs[m : m + k], xs[m + k :]


def is_mapped(pred: Any) -> bool:
    """True for a condition that differs between the rows of some batch."""
    while isinstance(pred, Box):
        if isinstance(pred, Batched) and pred.mapped:
            return True
        pred = pred.value
    return False


def holds(pred: Any) -> bool:
    """Whether the condition holds, in any row of a batch."""
    while isinstance(pred, Box):
        pred = np.any(pred.value) if isinstance(pred, Batched) and pred.mapped else pred.value
    return bool(pred)


def chosen(pred: Any, old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    """The value after a step: in rows of a batch that are done the one before it."""
    if not is_mapped(pred):
        return list(new)
    going = truth(pred)
    return [b if a is b else np.where(going, b, a) for a, b in zip(old, new)]


# -- the reverse rule of a loop ----------------------------------------------------------------
def pull(cts: Sequence[Any], residual: Any) -> tuple[Any, ...]:
    """The cotangents of the live operands, by a loop that runs again and back."""
    values, flags, params = residual
    given = [
        subgraph.zeros(aval_of(x), x) if ct is None else ct
        for x, ct in zip(parts_of(values, params)[2], cts)
        if differentiable(x)
    ]
    operands = [*values, *given]
    return tuple(bind(replay_p, operands, {**params, "spec": (("vjp", flags),)}))


def _plain(params: Any) -> Callable[..., tuple[Any, ...]]:
    """The loop as a function that Python runs, on boxes as well."""

    def run(*operands: Any) -> tuple[Any, ...]:
        a, b, value = parts_of(operands, params)
        while holds(pred := params["cond"].evaluate([*a, *value])[0]):
            value = chosen(pred, value, params["body"].evaluate([*b, *value]))
        return tuple(value)

    return run


def _function(params: Any) -> Callable[..., tuple[Any, ...]]:
    """What a replay computes, as a function: the loop, transformed as its `spec` says."""
    f = _plain(params)
    for kind, *details in params["spec"]:
        f = _TRANSFORMS[kind](f, *details)
    return f


def _pulled(f: Any, live: Sequence[bool]) -> Any:
    """`(operands, cotangents of what is differentiable) -> cotangents of the live operands`."""

    def run(*xs: Any) -> tuple[Any, ...]:
        n = len(live)
        places = [i for i, flag in enumerate(live) if flag]

        def of_live(*moving: Any) -> Any:
            full = list(xs[:n])
            for i, x in zip(places, moving):
                full[i] = x
            return f(*full)

        out, pullback = vjp(of_live, *[xs[i] for i in places])
        rest = iter(xs[n:])
        return tuple(pullback(tuple([next(rest) if differentiable(x) else None for x in out])))

    return run


def _moved(f: Any, moving: Sequence[bool]) -> Any:
    """`(operands, tangents) -> (results, tangents of the differentiable ones)`."""

    def run(*xs: Any) -> tuple[Any, ...]:
        n = len(moving)
        ts = iter(xs[n:])
        tangents = [next(ts) if m else None for m in moving]
        out, moved = jvp(lambda *ys: f(*ys), xs[:n], tangents)
        return (*out, *[t for x, t in zip(out, moved) if differentiable(x)])

    return run


def _over_rows(f: Any, mapped: Sequence[bool], size: int) -> Any:
    return vmap(f, tuple([0 if m else None for m in mapped]), axis_size=size)


_TRANSFORMS: dict[str, Callable[..., Any]] = {"vjp": _pulled, "jvp": _moved, "vmap": _over_rows}


class Replay(Controlled):
    """A derivative of a loop whose number of steps is not known before: `_function`, one equation.

    Whatever transform meets it is written into its `spec`, so it has derivatives of every order.
    """

    def impl(self, *operands: Any, **params: Any) -> tuple[Any, ...]:
        if len(params["spec"]) == 1 and params["spec"][0][0] == "vjp":
            return _replayed(operands, params)
        return tuple(_function(params)(*operands))

    def shape(self, avals: Any, params: Any) -> Any:
        return tuple(_shapes(params, params["spec"], avals))

    def on_tape(self, tape: Tape, operands: Any, values: Any, live: Any, params: Any) -> Any:
        outs = bind(self, values, params)
        slots = tuple([x.slot for x, flag in zip(operands, live) if flag])
        if not slots:
            return outs
        avals = [aval_of(x) for x in outs]

        def pull(cts: Sequence[Any], values: Any) -> Any:
            given = [
                subgraph.zeros(a, values[0]) if ct is None else ct
                for a, ct in zip(avals, cts)
                if is_inexact(a.dtype)
            ]
            spec = (*params["spec"], ("vjp", tuple(live)))
            return tuple(bind(self, [*values, *given], {**params, "spec": spec}))

        return tape.record_multi(pull, slots, values, outs)

    def moved(self, values: Any, tangents: Any, params: Any) -> tuple[Any, Any]:
        moving = tuple([t is not None for t in tangents])
        ts = [t for t in tangents if t is not None]
        spec = (*params["spec"], ("jvp", moving))
        made = bind(self, [*values, *ts], {**params, "spec": spec})
        count = _results(made)
        found = iter(made[count:])
        return made[:count], [next(found) if differentiable(x) else None for x in made[:count]]

    def rows(self, size: Any, values: Any, mapped: Any, params: Any) -> tuple[Any, Any]:
        spec = (*params["spec"], ("vmap", tuple(mapped), size))
        outs = bind(self, values, {**params, "spec": spec})
        return outs, [True] * len(outs)


def _shapes(params: Any, spec: Any, avals: Sequence[ShapeDtypeStruct]) -> list[ShapeDtypeStruct]:
    """The avals of what a replay returns."""
    if not spec:
        return subgraph.output_avals(params["body"])
    *before, (kind, flags, *rest) = spec
    own = avals[: len(flags)]
    if kind == "vjp":
        return [make_aval(a.shape, a.dtype) for a, flag in zip(own, flags) if flag]
    if kind == "jvp":
        outs = _shapes(params, before, own)
        return [*outs, *[a for a in outs if is_inexact(a.dtype)]]
    rows = [make_aval(a.shape[1:], a.dtype) if flag else a for a, flag in zip(own, flags)]
    return [subgraph.row_aval(a, rest[0], True) for a in _shapes(params, before, rows)]


def _results(made: Sequence[Any]) -> int:
    """How many of results and their tangents are results."""
    count = 0
    while count + sum(map(differentiable, made[:count])) < len(made):
        count += 1
    return count


replay_p: Primitive = Replay("while_loop_replay", None, multi=True)


def _replayed(operands: Sequence[Any], params: Any) -> tuple[Any, ...]:
    """The cotangents of a loop on arrays, with its steps compiled."""
    ((_, live),) = params["spec"]
    m, k = params["parts"]
    values, cts = operands[: len(live)], list(operands[len(live) :])
    a, b, value = parts_of(values, params)
    compiled = subgraph.executor().program
    cond, body = compiled(params["cond"]), compiled(params["body"])
    kept = [value]
    while cond(*a, *value)[0]:
        value = body(*b, *value)
        kept.append(value)
    n = Parts(k, len(value))
    back = backward(params["body"], n, tuple(live[m:]), (True,) * len(value))
    places = [i for i, x in enumerate(value) if differentiable(x)]
    cts = [ct for i, ct in zip(places, cts) if i in back.carry]
    run = compiled(back.graph)
    closed = [b[i] for i in back.closed]
    sums = [subgraph.zeros(aval_of(b[i])) for i in back.summed]
    for t in range(len(kept) - 1, 0, -1):
        before, after = kept[t - 1], kept[t]
        made = run(
            *closed,
            *cts,
            *sums,
            *[before[i] for i in back.before],
            *[after[i] for i in back.after],
        )
        cts, sums = list(made[: len(cts)]), list(made[len(cts) :])
    found = dict(zip([k + i for i in back.carry], cts))
    found.update(zip(back.summed, sums))
    return tuple(
        [
            found[i - m] if i - m in found else subgraph.zeros(aval_of(values[i]))
            for i, flag in enumerate(live)
            if flag
        ]
    )
