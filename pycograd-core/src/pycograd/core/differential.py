"""The kind whose author writes the differential alone; the reverse rule is its transpose.

A rule is the linear map from one operand's tangent to the result's, in NumPy over other operations:
for `inv` it is `lambda t, ans: -(ans @ t @ ans)`. Forward mode runs it. Reverse mode runs it on a
tape of its own, with a `t` of which only shape and dtype are known, and sweeps that tape from the
cotangent: step by step, the tape transposes a linear map. So nothing is computed with `t`, only
what the rule names is kept, and what holds for the operations in the rule holds for the whole:
derivatives of every order, batches, complex values, dtypes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from pycograd.core import modes
from pycograd.core.aval import ShapeDtypeStruct, aval_of, dtype_of
from pycograd.core.box import Box
from pycograd.core.errors import DefinitionError
from pycograd.core.fit import cast, fit
from pycograd.core.linear import Ruled, Transpose, aligned, argument_names
from pycograd.core.primitive import Primitive, Trace, bind
from pycograd.core.tape import Sweep, Tape, Var, deposit

Rule = Callable[..., Any]


class Differential(Ruled):
    """An operation given by its differential.

    Arguments:
        rules: operand name -> `lambda t, <names>: ...`, the tangent of the result for the tangent
            `t` of that operand. Names are among `ans`, the operands and the parameters. For `multi`
            it is a tuple, with None for a result that does not move. It must be linear in `t`, over
            the reals for complex values (`np.conj(t)` is allowed).
        shape: `shape(*avals, **params)` -> aval, or a tuple of them. The names of its arguments are
            those of the operands and of the parameters.
        core: for each operand, how many of its last axes the operation is about. The axes before
            them broadcast, as in NumPy's functions of stacks of matrices, so that a batch axis is
            one more of them.
        batch: in place of `core`, a rule as in `Ruled`.
        transposes: operand name -> transpose, as in `Linear`, for an operand that the operation
            itself is linear in; it is its own differential there. Such an operation is what rules
            of others end in.
        operands: the names of the operands, which `core` implies: the first arguments of `shape`.

    An operand with neither a rule nor a transpose is a constant: an index, a tolerance.

    Raises:
        DefinitionError: a rule of an unknown operand, or one that asks for an unknown name; neither
            `core` nor `batch`.
    """

    fresh = True

    def __init__(
        self,
        name: str,
        impl: Callable[..., Any] | None,
        rules: Mapping[str, Rule],
        *,
        shape: Callable[..., Any],
        core: Sequence[int] | None = None,
        batch: Callable[..., Any] | None = None,
        transposes: Mapping[str, Rule] | None = None,
        operands: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(name, impl, **options)
        known = argument_names(shape)
        self.operands = tuple(operands) or known[: len(core or ())]
        if not self.operands or (core is None and batch is None):
            raise DefinitionError(f"{name}: give core=, or batch= and operands=")
        transposes = transposes or {}
        if unknown := {*rules, *transposes} - set(self.operands):
            raise DefinitionError(f"{name}: rules of unknown operands {sorted(unknown)}")
        if twice := set(rules) & set(transposes):
            raise DefinitionError(f"{name}: both a rule and a transpose of {sorted(twice)}")
        if not rules and not transposes:
            raise DefinitionError(f"{name}: no rule; a zero derivative is a ZeroDerivative")
        self.rules = [_Rule(name, rules[n], known) if n in rules else None for n in self.operands]
        self.pulls = [
            Transpose(name, i, transposes[n], self.operands, True) if n in transposes else None
            for i, n in enumerate(self.operands)
        ]
        self.core = tuple(core or ())
        self.shape_rule = shape
        self.batch_rule = self._leading if batch is None else batch

    # -- forward -----------------------------------------------------------------------------------
    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        total: Any = None
        for i, t in enumerate(tangents):
            rule = self.rules[i]
            if t is None:
                continue
            if rule is not None:
                part = rule(t, self._kept([rule], values, ans, params))
            elif self.pulls[i] is not None:
                part = bind(self, [*values[:i], t, *values[i + 1 :]], params)
            else:
                continue
            if not self.multi:
                part, total = (part,), None if total is None else (total,)
            total = part if total is None else tuple(map(_add, total, part))
            if not self.multi:
                total = total[0]
        if total is None:
            return None
        if not self.multi:
            return cast(total, dtype_of(ans))
        return tuple([None if t is None else cast(t, dtype_of(a)) for t, a in zip(total, ans)])

    def _kept(self, rules: Any, values: Any, ans: Any, params: Any) -> dict[str, Any]:
        """What the rules name."""
        known = {**params, **dict(zip(self.operands, values)), "ans": ans}
        return {n: known[n] for rule in rules for n in rule.names}

    # -- reverse -----------------------------------------------------------------------------------
    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        moving = [i for i in live if self.rules[i] is not None]
        kept = self._kept([self.rules[i] for i in moving], values, ans, params)
        linear = [
            (i, pull.pull, pull.keep(values, ans, params))
            for i in live
            if (pull := self.pulls[i]) is not None
        ]
        avals = [aval_of(values[i]) for i in moving]
        return self._pull, (live, moving, avals, kept, linear)

    def _pull(self, ct: Any, residual: Any) -> Any:
        live, moving, avals, kept, linear = residual
        found: dict[int, Any] = {}
        if moving:
            # A nan made on the way is reported by the step that this is a part of.
            with modes.unchecked() if modes.active else nullcontext():
                rules = [self.rules[i] for i in moving]
                found.update(zip(moving, _transposed(self.name, rules, avals, kept, ct)))
        for i, pull, residual in linear:
            found[i] = pull(ct, residual)
        cts = tuple([found.get(i) for i in live])
        return cts[0] if len(cts) == 1 else cts

    # -- batching ----------------------------------------------------------------------------------
    def _leading(self, size: int, values: Any, mapped: Any, **params: Any) -> Any:
        """The batch axis in front of every operand's other leading axes."""
        return bind(self, aligned(values, mapped, self.core), params)


class _Rule:
    """A rule with the names it keeps."""

    __slots__ = ("rule", "names")

    def __init__(self, name: str, rule: Rule, known: Sequence[str]) -> None:
        first, *names = argument_names(rule) or ("",)
        if first != "t":
            raise DefinitionError(f"{name}: a rule takes t first, not {first}")
        if unknown := set(names) - {"ans", *known}:
            raise DefinitionError(
                f"{name}: a rule takes t, then any of {('ans', *known)}, not {sorted(unknown)}"
            )
        self.rule, self.names = rule, tuple(names)

    def __call__(self, t: Any, kept: dict[str, Any]) -> Any:
        return self.rule(t, **{n: kept[n] for n in self.names})


def _add(x: Any, y: Any) -> Any:
    return y if x is None else x if y is None else x + y


# -- the transpose ---------------------------------------------------------------------------------
class _Unknown(Box):
    """A tangent of which only the shape and dtype are known."""

    __slots__ = ()


class _Unknowns(Trace):
    """Where the tangents live while a rule is transposed: its operations give shapes alone."""

    __slots__ = ()
    owns = True

    def box(self, aval: ShapeDtypeStruct) -> _Unknown:
        """A tangent of this shape and dtype."""
        unknown: _Unknown = object.__new__(_Unknown)
        unknown.value, unknown._trace = aval, self
        return unknown

    def constant(self, value: Any) -> _Unknown:
        return self.box(aval_of(value))

    def make(self, make: Callable[[], Any], aval: ShapeDtypeStruct) -> _Unknown:
        return self.box(aval)

    def process(self, primitive: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
        out = primitive.shape([x.value if self.mine(x) else aval_of(x) for x in operands], params)
        return tuple([self.box(a) for a in out]) if primitive.multi else self.box(out)

    def mine(self, x: Any) -> bool:
        """True for a tangent of this trace."""
        return isinstance(x, _Unknown) and x._trace is self


def _transposed(
    name: str, rules: Any, avals: Sequence[ShapeDtypeStruct], kept: dict[str, Any], ct: Any
) -> list[Any]:
    """The cotangents of operands of these avals, each with its rule, for the result's `ct`."""
    unknowns = _Unknowns(name)
    tape = Tape(name)
    try:
        tangents = [tape.input(unknowns.box(aval)) for aval in avals]
        inputs = len(tape.steps)
        pairs: list[Any] = []
        for rule, t in zip(rules, tangents):
            moved = rule(t, kept)
            # For several results ct is a list with one for each, as the sweep collects them.
            pairs += zip(moved, ct) if isinstance(moved, tuple) else [(moved, ct)]
        cts: list[Any] = [None] * len(tape.steps)
        for moved, part in pairs:
            if part is not None and isinstance(moved, Var) and moved._trace is tape:
                deposit(cts, moved.slot, cast(part, dtype_of(moved)))
        Sweep(tape.steps, cts, tape).run(inputs)
        found = [fit(c, a.shape, a.dtype) for c, a in zip(cts, avals)]
    finally:
        tape.close()
    if any(unknowns.mine(c) for c in found):
        raise DefinitionError(f"{name}: a rule is not linear in t")
    return found
