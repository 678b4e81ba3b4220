"""Rules of elementwise operations: what a rule keeps, and how it meets a broadcast operand.

A rule is the linear map on tangents, `lambda t, <names>: ...`, where each name, `ans` or an
operand, is a value that it keeps. `core.elementwise` says how rules are used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pycograd.core.aval import Shape
from pycograd.core.errors import DefinitionError, MissingRuleError
from pycograd.core.fit import product_to, unbroadcast

Rule = Callable[..., Any]
OPERANDS = ("x", "y", "z", "w")

# Rules that multiply by what they name. Summing such a product need not make it.
TIMES: dict[str, Rule] = {
    "ans": lambda t, ans: t * ans,
    "x": lambda t, x: t * x,
    "y": lambda t, y: t * y,
}


class Map:
    """A rule with what it keeps: `rule(t, residual)`, and `fitted(t, residual, shape)`."""

    __slots__ = ("rule", "fitted", "keeps")

    def __init__(self, name: str, rule: Rule, arity: int) -> None:
        code = rule.__code__
        names = code.co_varnames[: code.co_argcount]
        known = ("ans", *OPERANDS[:arity])
        if not names or names[0] != "t" or any(n not in known for n in names[1:]):
            raise DefinitionError(f"{name}: a rule takes t, then any of {known}, not {names}")
        self.keeps = tuple([known.index(n) for n in names[1:]])  # 0: ans, i + 1: operand i
        if len(self.keeps) == 1:
            self.rule = rule
        elif self.keeps:
            self.rule = lambda t, residual: rule(t, *residual)
        else:
            self.rule = lambda t, residual: rule(t)
        self.fitted: Callable[[Any, Any, Shape], Any] = (
            product_to
            if rule in TIMES.values()
            else self._sum_last
            if self.keeps
            else self._sum_first
        )

    def _sum_last(self, t: Any, residual: Any, shape: Shape) -> Any:
        return unbroadcast(self.rule(t, residual), shape)

    def _sum_first(self, t: Any, residual: Any, shape: Shape) -> Any:
        return self.rule(unbroadcast(t, shape), residual)

    def residual(self, ans: Any, values: Sequence[Any]) -> Any:
        kept = [ans if k == 0 else values[k - 1] for k in self.keeps]
        return kept[0] if len(kept) == 1 else tuple(kept)


class Pair(Map):
    """Two rules, one after the other, the second in the operand itself alone."""

    __slots__ = ("first", "then")

    def __init__(self, name: str, rules: Sequence[Rule], arity: int, own: int) -> None:
        self.first, self.then = (Map(name, rule, arity) for rule in rules)
        if self.then.keeps not in ((), (own + 1,)):
            raise DefinitionError(f"{name}: the second rule of a pair uses its own operand alone")
        first, then = self.first.rule, self.then.rule
        self.keeps = (-1, -1)
        self.rule = lambda t, residual: then(first(t, residual[0]), residual[1])
        sum_first = self.first.fitted
        self.fitted = lambda t, residual, shape: then(sum_first(t, residual[0], shape), residual[1])

    def residual(self, ans: Any, values: Sequence[Any]) -> Any:
        return self.first.residual(ans, values), self.then.residual(ans, values)


class Refused:
    """In the place of a rule that there is none of.

    Arguments:
        operand: what the operand is, in the words of an error: `"its order v"`.
        instead: what to do about it, if there is more to say than that of every operation.
    """

    __slots__ = ("operand", "instead")

    def __init__(self, operand: str, instead: str = "") -> None:
        self.operand, self.instead = operand, instead


class Refusal(Map):
    """A map that nothing can be kept for, which is asked of it before it runs, in every mode."""

    __slots__ = ("message",)

    def __init__(self, name: str, refused: Refused) -> None:
        instead = refused.instead or "give it one with custom_vjp"
        self.message = (
            f"{name} has no rule for its derivative in {refused.operand}: {instead}, or make that"
            " a constant with stop_gradient(x)"
        )
        self.keeps = (-1, -1)
        self.rule = self.fitted = self.residual

    def residual(self, *_: Any) -> NoReturn:
        raise MissingRuleError(self.message)


def map_of(name: str, rule: Any, arity: int, own: int) -> Map | None:
    """What an author wrote for operand `own` of an operation, as a map; None is a zero."""
    if rule is None:
        return None
    if isinstance(rule, Refused):
        return Refusal(name, rule)
    return Pair(name, rule, arity, own) if isinstance(rule, tuple) else Map(name, rule, arity)
