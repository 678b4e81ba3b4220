"""One call of a custom function: a primitive whose operands are the leaves of its arguments.

Each transform runs the rule that the user gave. A rule of the other mode is derived where it can
be: the pullback is linear in its cotangent and the jvp in its tangents, so each is the transpose of
the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core import modes
from pycograd.core.aval import aval_of, dtype_of, shape_of
from pycograd.core.box import Box
from pycograd.core.errors import (
    ClosedOverError,
    MissingRuleError,
    RuleSignatureError,
    TreeMismatchError,
)
from pycograd.core.fit import add_up, cast, fit
from pycograd.core.linear import zeros_like
from pycograd.core.primitive import Primitive, Trace, bind
from pycograd.core.tape import Sweep, Tape, Var, deposit, differentiable, is_within
from pycograd.core.tree import TreeDef, tree_flatten, tree_unflatten
from pycograd.transforms.batch import BatchTrace, vmap
from pycograd.transforms.capture import CaptureTrace
from pycograd.transforms.forward import Dual, ForwardTrace
from pycograd.transforms.opaque import OPAQUE, Looping, in_rows, loop
from pycograd.transforms.reverse import vjp
from pycograd.transforms.shapes import Shaped, ShapeTrace
from pycograd.transforms.wrap import (
    leaves_like,
    refuse_escaped,
)


class Rules:
    """What a user gave for one function."""

    __slots__ = ("name", "f", "forward", "backward", "tangent", "looping")

    def __init__(
        self,
        name: str,
        f: Any,
        forward: Any = None,
        backward: Any = None,
        tangent: Any = None,
        looping: Looping | None = None,
    ) -> None:
        self.name, self.f = name, f
        self.forward, self.backward, self.tangent = forward, backward, tangent
        self.looping = looping or Looping(name)

    def ahead(self, args: Any) -> tuple[Any, Any]:
        """`(out, residual)` of the user's forward function."""
        made = in_rows(self.forward, args, self.looping)
        if not (isinstance(made, tuple) and len(made) == 2):
            raise RuleSignatureError(f"{self.name}: forward must return (out, residual)")
        return made

    def back(self, residual: Any, ct: Any) -> Any:
        """What the user's backward function returns."""
        return in_rows(self.backward, (residual, ct), self.looping)

    def along(self, primals: Any, tangents: Any) -> tuple[Any, Any]:
        """`(out, tangent_out)` of the user's forward rule."""
        made = in_rows(self.tangent, (primals, tangents), self.looping)
        if not (isinstance(made, tuple) and len(made) == 2):
            raise RuleSignatureError(f"{self.name}: its jvp rule must return (out, tangent_out)")
        return made


class CustomCall(Primitive):
    """One call of a custom function; operands are the leaves of its arguments."""

    special = True

    def __init__(self, rules: Rules, treedef: TreeDef) -> None:
        super().__init__(rules.name, None, multi=True, register=False)
        self.rules, self.treedef = rules, treedef
        self.out_tree: Any = None

    def impl(self, *leaves: Any) -> tuple[Any, ...]:
        return self._run(*leaves)

    def _run(self, *leaves: Any) -> tuple[Any, ...]:
        return self._flat(self.rules.f(*tree_unflatten(self.treedef, leaves)))

    def _flat(self, out: Any) -> tuple[Any, ...]:
        leaves, self.out_tree = tree_flatten(out)
        return tuple(leaves)

    def under(self, trace: Trace, operands: Sequence[Any], params: Any = None) -> Any:
        if isinstance(trace, Tape):
            return self._on_tape(trace, operands)
        if isinstance(trace, ForwardTrace):
            return self._forward(trace, operands)
        if isinstance(trace, BatchTrace):
            return self._batched(trace, operands)
        if isinstance(trace, ShapeTrace):
            return self._shapes(trace, operands)
        if isinstance(trace, CaptureTrace):
            return self._captured(trace, operands)
        return self._run(*operands)

    def _captured(self, trace: CaptureTrace, operands: Sequence[Any]) -> Any:
        """As an equation that keeps the rules."""
        from pycograd.transforms.control.segments import captured_custom

        again = functools.partial(CustomCall, self.rules, self.treedef)
        run = lambda *leaves: self.rules.f(*tree_unflatten(self.treedef, leaves))
        outs, self.out_tree, closed = captured_custom(trace, again, run, self.name, operands)
        if closed:
            raise closed_over(self.name)
        return outs

    def _again(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """This function on other operands: boxes of outer transforms, or arrays."""
        return tuple(bind(self, leaves, {}))

    # -- reverse -----------------------------------------------------------------------------------
    def _on_tape(self, tape: Tape, operands: Sequence[Any]) -> Any:
        mine = [isinstance(x, Var) and x._trace is tape for x in operands]
        values = [x.value if m else x for x, m in zip(operands, mine)]
        live = [i for i, m in enumerate(mine) if m]
        rules, args = self.rules, tree_unflatten(self.treedef, values)
        if rules.backward is not None:
            out, residual = rules.ahead(args)
            outs = self._flat(out)
            pull: Any = self._pull_backward
        elif rules.tangent is not None:
            outs, residual, pull = self._again(values), values, self._pull_tangent
        else:
            raise MissingRuleError(
                f"{self.name} has a custom function without rules: give them with defvjp or defjvp"
            )
        self._refuse_inner(outs, tape)
        if modes.active and modes.checking_nans():
            modes.check_nan(self.name, values, outs)
            pull = modes.checked(pull, self.name)
        avals = [aval_of(x) if differentiable(x) else None for x in outs]
        kept = (residual, live, [(shape_of(values[i]), dtype_of(values[i])) for i in live], avals)
        slots = [operands[i].slot for i in live]
        return tape.record_multi(_pull, slots, (self.name, pull, kept), outs)

    def _refuse_inner(self, outs: Sequence[Any], trace: Trace) -> None:
        """Refuses what is of the transform at hand, or in an object where that may hide."""
        for x in outs:
            refuse_escaped(x, trace)
            if isinstance(x, Box) and x._trace.level >= trace.level:
                raise closed_over(self.name)

    def _cotangent(self, cts: Sequence[Any], avals: Sequence[Any]) -> Any:
        """The cotangent tree of the output, symbolic zeros made real."""
        full = [
            np.zeros(a.shape, a.dtype) if c is None and a is not None else c
            for c, a in zip(cts, avals)
        ]
        return tree_unflatten(self.out_tree, full)

    def _pull_backward(self, cts: Any, kept: Any) -> tuple[Any, ...]:
        residual, live, places, avals = kept
        found = self.rules.back(residual, self._cotangent(cts, avals))
        leaves = self._per_leaf(found)
        return tuple([self._checked(leaves[i], i, *place) for i, place in zip(live, places)])

    def _checked(self, ct: Any, i: int, shape: Any, dtype: Any) -> Any:
        """A cotangent as `backward` returned it, which must have its argument's shape."""
        if ct is not None and shape_of(ct) != shape:
            raise RuleSignatureError(
                f"{self.name}: backward returned a cotangent of shape {shape_of(ct)} for argument"
                f" leaf {i}, which has shape {shape}"
            )
        return fit(ct, shape, dtype)

    def _per_leaf(self, found: Any) -> list[Any]:
        """The cotangents that `backward` returned, one a leaf of the arguments."""
        template = tree_unflatten(self.treedef, list(range(self.treedef.num_leaves)))
        if not isinstance(found, tuple):
            found = (found,)
        if len(found) != len(template):
            raise RuleSignatureError(
                f"{self.name}: backward returned {len(found)} cotangents for {len(template)}"
                " arguments"
            )
        leaves: list[Any] = []
        for i, (own, given) in enumerate(zip(template, found)):
            if given is None:
                leaves += [None] * len(tree_flatten(own)[0])
                continue
            try:
                leaves += leaves_like(own, given)
            except TreeMismatchError as error:
                raise RuleSignatureError(
                    f"{self.name}: backward's cotangent {i} does not have its argument's"
                    f" structure: {error}"
                ) from error
        return leaves

    def _pull_tangent(self, cts: Any, kept: Any) -> tuple[Any, ...]:
        """The transpose of the user's forward rule."""
        values, live, places, avals = kept
        moves = [np.zeros(shape, dtype) for shape, dtype in places]
        _, pullback = vjp(lambda *ts: self._tangents(values, dict(zip(live, ts)), avals), *moves)
        seeds = [c if c is not None else np.zeros(a.shape, a.dtype) for c, a in _real(cts, avals)]
        return tuple([fit(ct, *place) for ct, place in zip(pullback(seeds), places)])

    # -- forward -----------------------------------------------------------------------------------
    def _tangents(self, values: Any, moves: dict[int, Any], avals: Any) -> list[Any]:
        """The tangents of the differentiable outputs, by the user's forward rule."""
        filled = [
            moves[i] if i in moves else zeros_like(v) if differentiable(v) else None
            for i, v in enumerate(values)
        ]
        made = self.rules.along(
            tree_unflatten(self.treedef, values), tree_unflatten(self.treedef, filled)
        )
        moved = leaves_like(*made)
        return [self._tangent(t, a) for t, a in zip(moved, avals) if a is not None]

    def _tangent(self, t: Any, aval: Any) -> Any:
        """A tangent as the jvp rule returned it, which must have its output's shape."""
        if t is None:
            return np.zeros(aval.shape, aval.dtype)
        if shape_of(t) != aval.shape:
            raise RuleSignatureError(
                f"{self.name}: its jvp rule returned a tangent of shape {shape_of(t)} for an output"
                f" of shape {aval.shape}"
            )
        return cast(t, aval.dtype)

    def _forward(self, trace: ForwardTrace, operands: Sequence[Any]) -> Any:
        rules = self.rules
        values, moves = [], {}
        for i, x in enumerate(operands):
            if isinstance(x, Dual) and x._trace is trace:
                values.append(x.value)
                if x.tangent is not None:
                    moves[i] = x.tangent
            else:
                values.append(x)
        if rules.tangent is not None:
            outs = self._again(values)
            avals = [aval_of(x) if differentiable(x) else None for x in outs]
            tangents = self._tangents(values, moves, avals)
        elif rules.backward is not None:
            out, residual = rules.ahead(tree_unflatten(self.treedef, values))
            outs = self._flat(out)
            avals = [aval_of(x) if differentiable(x) else None for x in outs]
            tangents = self._transposed_backward(residual, values, moves, avals)
        else:
            raise MissingRuleError(f"{self.name} has no rules: give them with defjvp or defvjp")
        self._refuse_inner((*outs, *tangents), trace)
        if modes.active and modes.checking_nans():
            modes.check_nan(self.name, values, outs)
            modes.check_nan(f"the tangent of {self.name}", list(moves.values()), tangents)
        found = iter(tangents)
        return tuple(x if a is None else trace.box(x, next(found)) for x, a in zip(outs, avals))

    def _transposed_backward(
        self, residual: Any, values: Any, moves: dict[int, Any], avals: Any
    ) -> list[Any]:
        live = sorted(moves)

        def back(*cts: Any) -> list[Any]:
            given = iter(cts)
            full = [None if a is None else next(given) for a in avals]
            tree = tree_unflatten(self.out_tree, full)
            leaves = self._per_leaf(self.rules.back(residual, tree))
            return [zeros_like(values[i]) if leaves[i] is None else leaves[i] for i in live]

        zeros = [np.zeros(a.shape, a.dtype) for a in avals if a is not None]
        _, pullback = vjp(back, *zeros)
        return list(pullback([moves[i] for i in live]))

    # -- batching and shapes -----------------------------------------------------------------------
    def _batched(self, trace: BatchTrace, operands: Sequence[Any]) -> Any:
        mine = [isinstance(x, Box) and x._trace is trace for x in operands]
        values = [x.value if m else x for x, m in zip(operands, mine)]
        mapped = [m and x.mapped for x, m in zip(operands, mine)]
        if not any(mapped):
            return tuple([trace.box(x, False) for x in self._again(values)])
        axes = [0 if m else None for m in mapped]
        try:
            call = self._over_rows(trace.size, axes)
            outs = bind(call, values, {})
        except OPAQUE as error:
            looping = self.rules.looping
            looping.warn(error)
            treedef = tree_flatten(tuple(values))[1]
            rows, _ = loop(
                lambda *row: self._again(row), values, mapped, treedef, trace.size, looping
            )
            return tuple([trace.box(x, m) for x, m in rows])
        self.out_tree = call.out_tree
        return tuple([trace.box(x, True) for x in outs])

    def _over_rows(self, size: int, axes: list[Any]) -> CustomCall:
        """This call with every function of it batched."""
        rules = self.rules
        tree_axes = tree_unflatten(self.treedef, list(range(len(axes))))
        arg_axes = tuple([_axes_of(arg, axes) for arg in tree_axes])

        def over(f: Any, in_axes: Any) -> Callable[..., Any]:
            return vmap(f, in_axes, axis_size=size, transparent=False)  # they are prepared

        def forward(*args: Any) -> Any:
            return over(rules.forward, arg_axes)(*args)

        def backward(residual: Any, ct: Any) -> Any:
            found = over(rules.backward, (0, 0))(residual, ct)
            leaves = self._per_leaf(found)
            summed = [
                None if c is None else add_up(c, 0) if a is None else c
                for c, a in zip(leaves, axes)
            ]
            return tree_unflatten(self.treedef, summed)

        def tangent(primals: Any, tangents: Any) -> Any:
            return over(rules.tangent, (arg_axes, arg_axes))(primals, tangents)

        return CustomCall(
            Rules(
                rules.name,
                over(rules.f, arg_axes),
                rules.forward and forward,
                rules.backward and backward,
                rules.tangent and tangent,
                rules.looping,
            ),
            self.treedef,
        )

    def _shapes(self, trace: ShapeTrace, operands: Sequence[Any]) -> Any:
        outs = self._run(*operands)
        return tuple(
            x if isinstance(x, Shaped) or not hasattr(x, "shape") else trace.constant(x)
            for x in outs
        )


def _pull(cts: Any, residual: Any, parents: list[int], sweep: Sweep) -> None:
    """Adds the cotangents that a user's rule gives, which may not be of the tape being swept."""
    name, pull, kept = residual
    before = len(sweep.steps)
    found = pull(cts, kept)
    if len(sweep.steps) > before or any(is_within(x, sweep.tape) for x in found):
        raise closed_over(name)
    for slot, ct in zip(parents, found):
        if ct is not None:
            deposit(sweep.cts, slot, ct)


def _real(cts: Any, avals: Any) -> list[tuple[Any, Any]]:
    return [(c, a) for c, a in zip(cts, avals) if a is not None]


def _axes_of(tree: Any, axes: list[Any]) -> Any:
    """An in_axes entry from a tree of leaf numbers; alike entries collapse, as None is no leaf."""
    leaves, treedef = tree_flatten(tree)
    found = [axes[i] for i in leaves]
    if not found or all(a == found[0] for a in found):
        return found[0] if found else None
    return tree_unflatten(treedef, found)


def closed_over(name: str) -> ClosedOverError:
    """The error for a custom function that uses a differentiated value from outside."""
    return ClosedOverError(
        f"{name} has a custom rule but uses a differentiated value from outside; its rule could not"
        " give that value a gradient. Pass it as an argument"
    )
