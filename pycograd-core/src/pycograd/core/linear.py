"""The linear kinds: jvp is the operation on the tangents, vjp the transpose; and zero derivatives.

A transpose is `lambda ct, <names>: ...`; by name it asks for operands (its own operand comes as an
aval: a linear map does not depend on the value) and for the operation's parameters. Its result is
fitted to its operand's shape and dtype, so batch axes that were broadcast need no care.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core.aval import aval_of, dtype_of, make_aval, shape_of
from pycograd.core.box import raw
from pycograd.core.elementwise import all_rows
from pycograd.core.errors import DefinitionError
from pycograd.core.fit import add_up, fit
from pycograd.core.primitive import Primitive, bind

Rule = Callable[..., Any]


class Ruled(Primitive):
    """A kind whose author writes the shape and the batching rule.

    Arguments:
        shape: `shape(*avals, **params)` -> aval.
        batch: `batch(size, values, mapped, **params)` -> the result with batch axis 0.
    """

    shape_rule: Rule
    batch_rule: Rule

    def batch(self, size: int, values: Any, mapped: Any, params: Any) -> Any:
        return self.batch_rule(size, values, mapped, **params)

    def shape(self, avals: Any, params: Any) -> Any:
        return self.shape_rule(*avals, **params)


def aligned(values: Sequence[Any], mapped: Sequence[bool], core: Sequence[int]) -> list[Any]:
    """Operands of a batch with the batch axis in front of as many axes, so that these broadcast.

    The last `core` axes of each are what the operation is about.
    """
    ranks = [len(shape_of(v)) - m - c for v, m, c in zip(values, mapped, core)]
    rank = max(ranks)
    return [
        np.expand_dims(v, tuple(range(1, 1 + rank - r))) if m and r < rank else v
        for v, m, r in zip(values, mapped, ranks)
    ]


class Linear(Ruled):
    """An operation linear in some operands.

    Arguments:
        operands: names of the operands.
        transposes: operand name -> transpose. An operand without one is an index, a mask or another
            constant that has no derivative.
        joint: True if linear in all of them together (`concatenate`), False if in each apart
            (`matmul`).
        shape, batch: as in `Ruled`.
        conjugate: True if the map has complex coefficients, so that its adjoint is the conjugated
            transpose; structural maps have none.
    """

    def __init__(
        self,
        name: str,
        impl: Callable[..., Any],
        *,
        transposes: dict[str, Rule],
        shape: Callable[..., Any],
        batch: Callable[..., Any],
        operands: Sequence[str] = ("x",),
        joint: bool = True,
        conjugate: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name, impl, **options)
        if unknown := set(transposes) - set(operands):
            raise DefinitionError(f"{name}: transposes of unknown operands {sorted(unknown)}")
        if not transposes:
            raise DefinitionError(f"{name}: no transpose; a zero derivative is a ZeroDerivative")
        self.operands, self.joint = tuple(operands), joint
        self.pulls = [
            Transpose(name, i, transposes[operand], self.operands, conjugate)
            if operand in transposes
            else None
            for i, operand in enumerate(operands)
        ]
        self.shape_rule, self.batch_rule = shape, batch

    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        live = [i for i, t in enumerate(tangents) if t is not None and self.pulls[i]]
        if not live:
            return None
        if self.joint:
            moved = [
                t if i in live else zeros_like(v) if self.pulls[i] else v
                for i, (v, t) in enumerate(zip(values, tangents))
            ]
            return bind(self, moved, params)
        total = None
        for i in live:
            moved = list(values)
            moved[i] = tangents[i]
            term = bind(self, moved, params)
            total = term if total is None else total + term
        return total

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        if len(live) == 1:
            pull = self.pulls[live[0]]
            return _nothing if pull is None else pull.pull, (
                pull and pull.keep(values, ans, params)
            )
        return _pull_each, [
            (p and p.pull, p and p.keep(values, ans, params)) for p in [self.pulls[i] for i in live]
        ]


class Transpose:
    """The transpose of one operand, with what it keeps."""

    __slots__ = ("own", "picks", "rule", "pull", "named", "everything")

    def __init__(
        self, name: str, own: int, rule: Rule, operands: tuple[str, ...], conjugate: bool
    ) -> None:
        code = rule.__code__
        names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        if code.co_varnames[0] != "ct":
            raise DefinitionError(f"{name}: a transpose takes ct first, not {code.co_varnames[0]}")
        self.own, self.rule = own, rule
        self.picks = [(n, operands.index(n)) for n in names if n in operands]
        self.named = tuple([n for n in names if n not in operands])
        self.everything = bool(code.co_flags & 0x08)  # **params
        if "ans" in self.named:
            raise DefinitionError(f"{name}: a linear operation's transpose cannot depend on ans")
        # One function object per operand: a sweep step holds it, and its identity can be asked.
        self.pull = self._conjugated if conjugate else self._plain

    def keep(self, values: Any, ans: Any, params: dict[str, Any]) -> Any:
        x = values[self.own]
        if self.everything and not self.picks:
            kept = params
        else:
            kept = {n: aval_of(x) if i == self.own else values[i] for n, i in self.picks}
            for n in params if self.everything else self.named:
                kept[n] = params[n]
        return kept, shape_of(x), dtype_of(x)

    def _plain(self, ct: Any, residual: Any) -> Any:
        kept, shape, dtype = residual
        return fit(self.rule(ct, **kept), shape, dtype)

    def _conjugated(self, ct: Any, residual: Any) -> Any:
        kept, shape, dtype = residual
        if dtype_of(ct).kind == "c":
            return fit(np.conj(self.rule(np.conj(ct), **kept)), shape, dtype)
        return fit(self.rule(ct, **kept), shape, dtype)


def _nothing(ct: Any, residual: Any) -> None:
    return None


def _pull_each(ct: Any, parts: Any) -> Any:
    return tuple([pull and pull(ct, kept) for pull, kept in parts])


def zeros_like(x: Any) -> Any:
    """A tangent of zeros for `x`, of its shape and dtype."""
    shape = shape_of(x)
    if all(type(n) is int for n in shape):
        return np.zeros(shape, dtype_of(x))
    return np.multiply(x, 0)


class Variadic(Ruled):
    """A linear operation on any number of like operands (`concatenate`, `einsum`).

    Arguments:
        transpose: `transpose(ct, i, values, **params)`, the cotangent of operand `i`.
        joint: True if linear in all operands together, False if in each apart.
    """

    def __init__(
        self,
        name: str,
        impl: Callable[..., Any],
        *,
        transpose: Rule,
        shape: Callable[..., Any],
        batch: Callable[..., Any],
        joint: bool = True,
        conjugate: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name, impl, **options)
        self.transpose, self.joint, self.conjugate = transpose, joint, conjugate
        self.shape_rule, self.batch_rule = shape, batch

    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        live = [i for i, t in enumerate(tangents) if t is not None]
        if not live:
            return None
        if self.joint:
            moved = [zeros_like(v) if t is None else t for v, t in zip(values, tangents)]
            return bind(self, moved, params)
        total = None
        for i in live:
            term = bind(self, [*values[:i], tangents[i], *values[i + 1 :]], params)
            total = term if total is None else total + term
        return total

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        if self.joint:  # the transposes need shapes only
            values = [aval_of(v) for v in values]
        return (self._pull_one if len(live) == 1 else self._pull), (live, values, params)

    def _pull(self, ct: Any, residual: Any) -> Any:
        live, values, params = residual
        conjugate = self.conjugate and dtype_of(ct).kind == "c"
        if conjugate:
            ct = np.conj(ct)
        out = []
        for i in live:
            part = self.transpose(ct, i, values, **params)
            out.append(
                fit(np.conj(part) if conjugate else part, shape_of(values[i]), dtype_of(values[i]))
            )
        return tuple(out)

    def _pull_one(self, ct: Any, residual: Any) -> Any:
        return self._pull(ct, residual)[0]


class ZeroDerivative(Ruled):
    """An operation whose derivative is zero wherever it exists (`argmax`, `floor`): a constant."""

    fresh = True

    zero = True

    def __init__(
        self,
        name: str,
        impl: Callable[..., Any],
        *,
        shape: Callable[..., Any],
        batch: Callable[..., Any],
        **options: Any,
    ) -> None:
        super().__init__(name, impl, **options)
        self.shape_rule, self.batch_rule = shape, batch


class Reduction(Primitive):
    """An operation that reduces axes and whose derivative is a weighted sum: `sum(weight * t)`.

    Arguments:
        impl: `impl(x, *, axis, keepdims)`; `axis` is a tuple of distinct non-negative ints.
        weight: names among `ans x axis` -> the weight of each entry of x, with `ans` having the
            reduced axes kept as size 1; None if all weights are 1. A boolean weight chooses entries
            that share equally (the winners of a maximum).
        dtype: `dtype(aval)` of the result; the operand's if left out.
    """

    fresh = True

    def __init__(
        self,
        name: str,
        impl: Callable[..., Any],
        weight: Rule | None,
        *,
        dtype: Callable[[Any], Any] | None = None,
        zero: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name, impl, **options)
        self.weight, self.dtype, self.zero = weight, dtype, zero
        self.names: tuple[str, ...] = ()
        if weight is not None:
            code = weight.__code__
            self.names = code.co_varnames[: code.co_argcount]
            if unknown := set(self.names) - {"ans", "x", "axis"}:
                raise DefinitionError(f"{name}: weight takes ans, x, axis, not {sorted(unknown)}")

    def _weight(self, kept: dict[str, Any], axis: Any, keepdims: bool) -> Any:
        if "ans" in kept and not keepdims:
            kept = {**kept, "ans": _kept_axes(kept["ans"], axis)}
        return self.weight(**kept)  # type: ignore[misc]

    def _kept(self, values: Any, ans: Any, params: Any) -> dict[str, Any]:
        all_ = {"ans": ans, "x": values[0], "axis": params["axis"]}
        return {n: all_[n] for n in self.names}

    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        t, axis, keepdims = tangents[0], params["axis"], params["keepdims"]
        if t is None:
            return None
        if self.weight is None:
            return add_up(t, axis, keepdims)
        weight = self._weight(self._kept(values, ans, params), axis, keepdims)
        if dtype_of(weight).kind != "b":
            return add_up(t * weight, axis, keepdims)
        total = add_up(np.where(weight, t, 0), axis, keepdims)
        return total / _count(weight, axis, keepdims, dtype_of(total))

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        x = values[0]
        kept = self._kept(values, ans, params) if self.names else None
        return self._pull, (kept, params["axis"], params["keepdims"], shape_of(x), dtype_of(x))

    def _pull(self, ct: Any, residual: Any) -> Any:
        kept, axis, keepdims, shape, dtype = residual
        if all_rows(ct, *[x for n, x in kept.items() if n != "axis"] if kept else ()):
            return self._pull_rows(ct, residual)
        if not keepdims and len(axis) < len(shape):
            ct = _kept_axes(ct, axis)
        if kept is not None:
            weight = self._weight(kept, axis, keepdims)
            kind = dtype_of(weight).kind
            if kind == "b":
                return _to_chosen(ct, weight, axis)
            ct = ct * (np.conj(weight) if kind == "c" else weight)
        return fit(np.broadcast_to(ct, shape), shape, dtype)

    def _pull_rows(self, ct: Any, residual: Any) -> Any:
        """As `_pull`, on the arrays of all rows at once: to them this is a reduction as well."""
        kept, axis, keepdims, shape, dtype = residual
        trace, axis = ct._trace, tuple([a + 1 for a in axis])
        if kept is not None:
            kept = {n: axis if n == "axis" else x.value for n, x in kept.items()}
        residual = kept, axis, keepdims, (trace.size, *shape), dtype
        return trace.box(self._pull(ct.value, residual), True)

    def batch(self, size: int, values: Any, mapped: Any, params: Any) -> Any:
        axis = tuple([a + 1 for a in params["axis"]])
        return bind(self, values, {**params, "axis": axis})

    def shape(self, avals: Any, params: Any) -> Any:
        (x,), axis, keepdims = avals, params["axis"], params["keepdims"]
        if keepdims:
            shape = tuple([1 if i in axis else n for i, n in enumerate(x.shape)])
        else:
            shape = tuple([n for i, n in enumerate(x.shape) if i not in axis])
        return make_aval(shape, self.dtype(x) if self.dtype else x.dtype)


def _kept_axes(x: Any, axis: tuple[int, ...]) -> Any:
    """The result of a reduction with its reduced axes back, as size 1."""
    if type(x) is not np.ndarray:
        return np.expand_dims(x, axis)
    shape = list(x.shape)
    for i in sorted(axis):
        shape.insert(i, 1)
    return x.reshape(shape)


def _count(chosen: Any, axis: Any, keepdims: bool, dtype: np.dtype[Any]) -> Any:
    return np.maximum(np.sum(chosen, axis=axis, keepdims=keepdims, dtype=dtype), 1)


def _to_chosen(ct: Any, chosen: Any, axis: Any) -> Any:
    """`ct`, its reduced axes kept as size 1, in equal shares to the chosen entries."""
    if type(ct) is np.ndarray and type(chosen) is np.ndarray:
        if np.count_nonzero(chosen) != ct.size:  # some tie, or a result without a winner
            ct = ct / _count(chosen, axis, True, ct.dtype)
        out = np.zeros(chosen.shape, ct.dtype)
        np.copyto(out, ct, where=chosen)
        return out
    known, shared = raw(chosen), True
    if type(known) is np.ndarray:
        results = known.size // max(math.prod([chosen.shape[i] for i in axis]), 1)
        shared = np.count_nonzero(known) != results
    return np.where(chosen, ct / _count(chosen, axis, True, dtype_of(ct)) if shared else ct, 0)


class General(Ruled):
    """An operation of one operand whose author writes both derivatives, being of no other kind.

    Arguments:
        jvp: `jvp(t, ...)`: the tangent of the result, by name from `ans`, `x` and the parameters.
        vjp: `vjp(ct, ...)`, likewise; what it names is kept.
    """

    fresh = True

    def __init__(
        self,
        name: str,
        impl: Callable[..., Any],
        *,
        jvp: Rule,
        vjp: Rule,
        shape: Callable[..., Any],
        batch: Callable[..., Any],
        **options: Any,
    ) -> None:
        super().__init__(name, impl, **options)
        self.forward, self.back = jvp, vjp
        self.wanted = {rule: argument_names(rule)[1:] for rule in (jvp, vjp)}
        self.shape_rule, self.batch_rule = shape, batch

    def _chosen(self, rule: Rule, x: Any, ans: Any, params: dict[str, Any]) -> dict[str, Any]:
        known = {"ans": ans, "x": x, **params}
        return {name: known[name] for name in self.wanted[rule]}

    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        if tangents[0] is None:
            return None
        return self.forward(tangents[0], **self._chosen(self.forward, values[0], ans, params))

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        x = values[0]
        return self._pull, (self._chosen(self.back, x, ans, params), shape_of(x), dtype_of(x))

    def _pull(self, ct: Any, residual: Any) -> Any:
        kept, shape, dtype = residual
        return fit(self.back(ct, **kept), shape, dtype)


def argument_names(rule: Rule) -> tuple[str, ...]:
    """The names of the arguments of a rule, of which the first may be a tangent or cotangent."""
    code = rule.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
