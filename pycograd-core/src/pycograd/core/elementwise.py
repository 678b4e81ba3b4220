"""The elementwise kind: one derivative per operand gives jvp, vjp, batching and shape.

A rule is the linear map on tangents, `lambda t, x: t * np.cos(x)`: its first argument is the
tangent, the others say by name what it keeps (`ans`, or an operand `x`, `y`, `z`, `w`). For an
elementwise operation the transpose is the same map, so the sweep calls the author's own function on
the cotangent: `vjp(ct) = conj(rule(conj(ct)))`, the conjugations being identities for reals.

Where the operand was broadcast, its cotangent is summed over those axes. A rule may be a pair
`(lambda t, ans: t * ans, lambda t, y: -t / y)`, of which the second uses the operand itself alone:
the sum then comes between the two, so that the second works on the small operand.

A rule of None is a derivative of zero. `Refused` (`core.rules`) is one that there is no rule for:
differentiating that operand is an error when the operation runs, not a zero.

The functions made by `_fast_unary` and `_fast_binary` are the hot path of the library: a float32 or
float64 `Var` of a live tape is handled inline, everything else goes to `bind`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pycograd.core import modes, sizes
from pycograd.core.aval import (
    FLOAT32,
    FLOAT64,
    ShapeDtypeStruct,
    dtype_of,
    make_aval,
    shape_of,
    ufunc_dtype,
)
from pycograd.core.errors import DefinitionError
from pycograd.core.fillable import settled
from pycograd.core.fit import cast
from pycograd.core.primitive import Primitive, bind, shape_error
from pycograd.core.rules import OPERANDS, Map, Refused, Rule, map_of
from pycograd.core.spelling import FUNCTIONS, UFUNCS, claim
from pycograd.core.tape import Tape, Var, slot_of
from pycograd.core.tree import FRONTS

_new = object.__new__
_ndarray, _float64 = np.ndarray, np.float64
# What the fast paths serve, here and in `ops`: mirrors of `modes.active == 0`, so that asking costs
# one comparison of types. Both are None while a mode watches every operation.
hot: Any = Tape  # the trace of the boxes
rows: Any = None  # the box of vmap, which announces itself with serve_rows
_announced: Any = None


def _switch(on: bool) -> None:
    global hot, rows
    hot, rows = (Tape, _announced) if on else (None, None)


def serve_rows(box: type) -> None:
    """Tells the fast path of `box`, whose `.value` has its batch axis in front if `.mapped`."""
    global rows, _announced
    rows = _announced = box


modes.switches.append(_switch)


def all_rows(*values: Any) -> bool:
    """True if all are boxes of one vmap, mapped, with arrays in them: a rule may run on those."""
    first = values[0]
    if type(first) is not rows:
        return False
    trace = first._trace
    for x in values:
        if not (type(x) is rows and x.mapped and x._trace is trace and type(x.value) is _ndarray):
            return False
    return not trace.closed


class Elementwise(Primitive):
    """An operation that acts entry by entry on operands that broadcast.

    Arguments:
        function: a ufunc, or an implementation with a `dtype` rule of its own.
        rules: per operand the map described in the module docstring, None where the derivative is
            zero, or `Refused`.
        spellings: NumPy names that reach it; `function` itself if it is a ufunc.
        dtype: `dtype(*avals, **params)` of the result, where NumPy's ufunc cannot be asked.
        real: what `rules` become for a complex operand of an operation with a real result
            (`abs`, `real`), which is not holomorphic: per operand `(jvp rule, vjp rule)`.
        keeps_dtype: False if a rule may give another dtype than that of t. What it gives is cast,
            for which the fast path has no time.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        rules: Sequence[Rule | tuple[Rule, Rule] | Refused | None],
        *,
        spellings: Sequence[Any] | None = None,
        dtype: Callable[..., Any] | None = None,
        real: Sequence[tuple[Rule, Rule]] | None = None,
        keeps_dtype: bool = True,
        **options: Any,
    ) -> None:
        self.ufunc = function if isinstance(function, np.ufunc) else None
        super().__init__(name, _keeping_weak(function), **options)
        if not 1 <= len(rules) <= len(OPERANDS):
            raise DefinitionError(f"{name}: one rule per operand, for one to four operands")
        if self.ufunc is None and dtype is None:
            raise DefinitionError(f"{name}: a function that is no ufunc needs dtype=")
        if self.ufunc is not None and spellings is not None and function not in spellings:
            raise DefinitionError(f"{name}: nested, {function} would reach another primitive")
        self.arity = len(rules)
        self.keeps_weak = self.ufunc in _PYTHON_OPERATORS  # of Python numbers it makes such
        self.fresh = True  # unless it is made a view afterwards
        self.dtype = dtype
        self.rules = [map_of(name, rule, self.arity, i) for i, rule in enumerate(rules)]
        self.both_ways = [
            (Map(name, forward, self.arity), Map(name, back, self.arity))
            for forward, back in real or ()
        ]
        self.zero = real is None and all(r is None for r in rules)
        self.fast = self._fast() if keeps_dtype else self._slow()
        if spellings is None:
            spellings = (function,) if self.ufunc else ()
        for spelling in spellings:
            claim(UFUNCS if isinstance(spelling, np.ufunc) else FUNCTIONS, spelling, self.fast)

    def __call__(self, *operands: Any, **params: Any) -> Any:
        return bind(self, operands, params) if params else self.fast(*operands)

    def _fast(self) -> Callable[..., Any]:
        if not self.zero and not self.both_ways:
            if self.arity == 1 and self.rules[0]:
                return _fast_unary(self, self.ufunc or _on_arrays(self), self.rules[0])
            if self.arity == 2 and all(self.rules) and self.ufunc is not None:
                return _fast_binary(self, self.ufunc, *self.rules)  # type: ignore[arg-type]
        return self._slow()

    def _slow(self) -> Callable[..., Any]:
        return lambda *operands: bind(self, [_operand(x) for x in operands], {})

    # -- the rules ------------------------------------------------------------------------------
    def jvp(self, values: Any, tangents: Any, ans: Any, params: Any) -> Any:
        shape, total = shape_of(ans), None
        for i, t in enumerate(tangents):
            if t is None or (m := self._map(i, values, ans, 0)) is None:
                continue
            t = m.rule(t, m.residual(ans, values))
            total = t if total is None else total + t
        if total is None:
            return None
        if shape_of(total) != shape:
            total = np.broadcast_to(total, shape)
        return _of_real(total, dtype_of(ans))

    def vjp(self, values: Any, live: Any, ans: Any, params: Any) -> Any:
        complex_ = dtype_of(ans).kind == "c"
        parts = []
        for i in live:
            m, x = self._map(i, values, ans, 1), values[i]
            keep = m and m.residual(ans, values)
            holomorphic = complex_ and m is self.rules[i]
            parts.append((m, keep, shape_of(x), dtype_of(x), holomorphic))
        return (_pull_one, parts[0]) if len(parts) == 1 else (_pull_all, parts)

    def _map(self, i: int, values: Any, ans: Any, direction: int) -> Map | None:
        if self.both_ways and dtype_of(values[i]).kind == "c":
            return self.both_ways[i][direction]
        return self.rules[i]

    def batch(self, size: int, values: Any, mapped: Any, params: Any) -> Any:
        if len(values) > 1:
            # Aligned at the right, so that the batch axis stays in front of every operand's axes.
            ranks = [(v.ndim if hasattr(v, "ndim") else 0) - m for v, m in zip(values, mapped)]
            rank = max(ranks)
            if min(ranks) < rank:
                values = [
                    np.reshape(v, (size,) + (1,) * (rank - r) + v.shape[1:])
                    if m and r < rank
                    else v
                    for v, m, r in zip(values, mapped, ranks)
                ]
        return bind(self, values, params)

    def shape(self, avals: Sequence[ShapeDtypeStruct], params: Any) -> ShapeDtypeStruct:
        shape = sizes.broadcast(*[a.shape for a in avals], operation=self.name)
        weak = self.keeps_weak and all(a.weak for a in avals)
        if self.dtype is not None:
            return make_aval(shape, self.dtype(*avals, **params), weak)
        ufunc: Any = self.ufunc
        return make_aval(shape, ufunc_dtype(ufunc, avals), weak)


# On Python scalars these are the interpreter's own operators, whose results stay weak.
_PYTHON_OPERATORS: dict[Any, Callable[..., Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: operator.truediv,
    np.floor_divide: operator.floordiv,
    np.remainder: operator.mod,
    np.power: operator.pow,
    np.square: lambda x: x**2,
    np.negative: operator.neg,
    np.positive: operator.pos,
    np.absolute: abs,
}
_OPERATORS: dict[Any, Callable[..., Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: operator.truediv,
}
_PYTHON_SCALARS = frozenset({float, int, complex})


def _keeping_weak(function: Callable[..., Any]) -> Callable[..., Any]:
    own = _PYTHON_OPERATORS.get(function)
    if own is None:
        return function

    def impl(x: Any, *rest: Any) -> Any:
        if type(x) in _PYTHON_SCALARS and all(type(y) in _PYTHON_SCALARS for y in rest):
            try:
                result = own(x, *rest)
            except (ZeroDivisionError, OverflowError):
                return function(x, *rest).item()  # NumPy's inf or nan, and its warning
            # A power of a negative number would turn complex; NumPy's is nan.
            if type(result) is not complex or complex in map(type, (x, *rest)):
                return result
            return function(x, *rest).item()
        return function(x, *rest)

    return impl


def _pull_one(ct: Any, part: Any) -> Any:
    m, residual, shape, dtype, complex_ = part
    if m is None:
        return None
    if complex_:
        return cast(np.conj(m.fitted(np.conj(ct), residual, shape)), dtype)
    return _of_real(m.fitted(ct, residual, shape), dtype)


def _of_real(found: Any, dtype: np.dtype[Any]) -> Any:
    """`found` with `dtype`: of a real operation the derivative has no imaginary part to drop."""
    if dtype.kind != "c" and dtype_of(found).kind == "c":
        raise DefinitionError("a rule of a real operation gave a complex derivative")
    return cast(found, dtype)


def _pull_all(ct: Any, parts: Any) -> Any:
    return tuple([_pull_one(ct, part) for part in parts])


def _operand(x: Any) -> Any:
    """A list or tuple given to a ufunc beside a box becomes an array, as NumPy would make it."""
    return np.asarray(x) if isinstance(x, _SEQUENCES) else x


_SEQUENCES = (list, tuple)


def _on_arrays(primitive: Elementwise) -> Callable[..., Any]:
    """The implementation, called as a ufunc may be: on a box it binds."""
    impl = primitive.impl
    return lambda x: impl(x) if type(x) is _ndarray else bind(primitive, (x,), {})


def _aligned(a: Any, b: Any) -> tuple[Any, Any]:
    """Both with a batch axis in front and axes of size 1 behind it, to the larger rank."""
    missing = a.ndim - b.ndim
    if missing > 0:
        return a, b.reshape(b.shape[:1] + (1,) * missing + b.shape[1:])
    return a.reshape(a.shape[:1] + (1,) * -missing + a.shape[1:]), b


# -- the hot path ----------------------------------------------------------------------------------
def _fast_unary(primitive: Elementwise, ufunc: Callable[..., Any], m: Map) -> Callable[..., Any]:
    rule, keeps_ans, keeps_x = m.rule, m.keeps == (0,), m.keeps == (1,)
    residual = m.residual

    def unary(x: Any) -> Any:
        if type(x) is Var:
            tape = x._trace
            if type(tape) is hot:
                value = x.value
                ans = ufunc(value)
                dtype = ans.dtype
                if (dtype is FLOAT64 or dtype is FLOAT32) and value.dtype is dtype:
                    steps = tape.steps
                    step = (
                        rule,
                        x.slot,
                        value if keeps_x else ans if keeps_ans else residual(ans, (value,)),
                    )
                    steps.append(step)
                    out: Var = _new(Var)
                    out.value, out._trace, out.slot = ans, tape, len(steps) - 1
                    if steps[-1] is not step:
                        out.slot = slot_of(steps, step)
                    return out
                return tape.push(primitive, (x,), (value,), (0,), ans, {})
        elif type(x) is rows and type(x.value) is _ndarray:
            return x._trace.box(ufunc(x.value), x.mapped)
        return bind(primitive, (_operand(x),), {})

    return unary


def _fast_binary(
    primitive: Elementwise, ufunc: np.ufunc, left: Map, right: Map
) -> Callable[..., Any]:
    # On NumPy's scalars the operator costs a tenth of the ufunc; on arrays they are one.
    operation = _OPERATORS.get(ufunc, ufunc)
    rule_x, rule_y = left.rule, right.rule
    keep_x = left.keeps[0] if len(left.keeps) == 1 else -1 if left.keeps else -2
    keep_y = right.keeps[0] if len(right.keeps) == 1 else -1 if right.keeps else -2

    def rule_both(ct: Any, kept: Any) -> Any:
        return rule_x(ct, kept[0]), rule_y(ct, kept[1])

    # The same where operands were broadcast: kept is the residuals, then the operands' shapes.
    def fitted_x(ct: Any, kept: Any) -> Any:
        return left.fitted(ct, *kept)

    def fitted_y(ct: Any, kept: Any) -> Any:
        return right.fitted(ct, *kept)

    def fitted_both(ct: Any, kept: Any) -> Any:
        return left.fitted(ct, kept[0], kept[2]), right.fitted(ct, kept[1], kept[3])

    def binary(x: Any, y: Any) -> Any:
        if type(x) is Var:
            tape = x._trace
            if type(tape) is hot:
                kind, a = type(y), x.value
                if kind is float or kind is int:
                    ans = operation(a, y)
                    dtype = ans.dtype
                    if (dtype is FLOAT64 or dtype is FLOAT32) and a.dtype is dtype:
                        kept = (
                            y if keep_x == 2 else a if keep_x == 1 else ans if keep_x == 0
                            else None if keep_x == -2 else left.residual(ans, (a, y))
                        )  # fmt: skip
                        steps = tape.steps
                        step = (rule_x, x.slot, kept)
                        steps.append(step)
                        out: Var = _new(Var)
                        out.value, out._trace, out.slot = ans, tape, len(steps) - 1
                        if steps[-1] is not step:
                            out.slot = slot_of(steps, step)
                        return out
                    return tape.push(primitive, (x, y), (a, y), (0,), ans, {})
                if kind is Var and y._trace is tape:
                    b = y.value
                    try:
                        ans = operation(a, b)
                    except ValueError as error:
                        raise shape_error(primitive.name, (a, b), error) from error
                    dtype = ans.dtype
                    if (
                        (dtype is FLOAT64 or dtype is FLOAT32)
                        and a.dtype is dtype
                        and b.dtype is dtype
                    ):
                        shape_x, shape_y = a.shape, b.shape
                        kept = (
                            b if keep_x == 2 else a if keep_x == 1 else ans if keep_x == 0
                            else None if keep_x == -2 else left.residual(ans, (a, b)),
                            a if keep_y == 1 else b if keep_y == 2 else ans if keep_y == 0
                            else None if keep_y == -2 else right.residual(ans, (a, b)),
                        )  # fmt: skip
                        rule: Any = rule_both
                        if shape_x != shape_y:
                            rule, kept = fitted_both, (*kept, shape_x, shape_y)
                        steps = tape.steps
                        step = (rule, (x.slot, y.slot), kept)
                        steps.append(step)
                        out = _new(Var)
                        out.value, out._trace, out.slot = ans, tape, len(steps) - 1
                        if steps[-1] is not step:
                            out.slot = slot_of(steps, step)
                        return out
                    return tape.push(primitive, (x, y), (a, b), (0, 1), ans, {})
                if kind is _ndarray or kind is _float64:
                    try:
                        ans = operation(a, y)
                    except ValueError as error:
                        raise shape_error(primitive.name, (a, y), error) from error
                    dtype = ans.dtype
                    if (dtype is FLOAT64 or dtype is FLOAT32) and a.dtype is dtype:
                        kept = (
                            y if keep_x == 2 else a if keep_x == 1 else ans if keep_x == 0
                            else None if keep_x == -2 else left.residual(ans, (a, y))
                        )  # fmt: skip
                        rule, shape_x = rule_x, a.shape
                        if ans.shape != shape_x:
                            rule, kept = fitted_x, (kept, shape_x)
                        steps = tape.steps
                        step = (rule, x.slot, kept)
                        steps.append(step)
                        out = _new(Var)
                        out.value, out._trace, out.slot = ans, tape, len(steps) - 1
                        if steps[-1] is not step:
                            out.slot = slot_of(steps, step)
                        return out
                    return tape.push(primitive, (x, y), (a, y), (0,), ans, {})
        elif type(y) is Var:
            tape = y._trace
            if type(tape) is hot:
                kind, b = type(x), y.value
                if kind is float or kind is int or kind is _ndarray or kind is _float64:
                    try:
                        ans = operation(x, b)
                    except ValueError as error:
                        raise shape_error(primitive.name, (x, b), error) from error
                    dtype = ans.dtype
                    if (dtype is FLOAT64 or dtype is FLOAT32) and b.dtype is dtype:
                        kept = (
                            x if keep_y == 1 else b if keep_y == 2 else ans if keep_y == 0
                            else None if keep_y == -2 else right.residual(ans, (x, b))
                        )  # fmt: skip
                        rule, shape_y = rule_y, b.shape
                        if ans.shape != shape_y:
                            rule, kept = fitted_y, (kept, shape_y)
                        steps = tape.steps
                        step = (rule, y.slot, kept)
                        steps.append(step)
                        out = _new(Var)
                        out.value, out._trace, out.slot = ans, tape, len(steps) - 1
                        if steps[-1] is not step:
                            out.slot = slot_of(steps, step)
                        return out
                    return tape.push(primitive, (x, y), (x, b), (1,), ans, {})
        elif type(x) is rows and x.mapped and type(x.value) is _ndarray:
            a, kind = x.value, type(y)
            if kind is float or kind is int:
                return x._trace.box(operation(a, y), True)
            if kind is rows and y._trace is x._trace and type(y.value) is _ndarray:
                b = y.value
                if y.mapped and a.ndim != b.ndim:
                    a, b = _aligned(a, b)
                if a.ndim == b.ndim if y.mapped else a.ndim > b.ndim:
                    try:
                        return x._trace.box(operation(a, b), True)
                    except ValueError:
                        pass  # `bind` says it in the shapes of one row
        elif type(y) is rows and y.mapped and type(y.value) is _ndarray:
            if type(x) is float or type(x) is int:
                return y._trace.box(operation(x, y.value), True)
        if type(x) in FRONTS or type(y) in FRONTS:
            return binary(settled(x), settled(y))
        if isinstance(x, _SEQUENCES) or isinstance(y, _SEQUENCES):
            x, y = _operand(x), _operand(y)
        return bind(primitive, (x, y), {})

    return binary
