"""The one driver of all passes: equations are written again, one by one, by rules.

A rule is `pattern -> replacement`. A pattern is a tuple `(primitive name, operand patterns...)`; a
string names what stands there, a number is that number, and `Named(name, pattern)` is both.
Equations of one primitive in a pattern have the same parameters. A replacement is NumPy code on
what the pattern named, which writes the new equations. Common subexpressions become one on the way,
and what nothing uses is dropped at the end, so each pass costs time in proportion to the graph.

Every rule says what it assumes, its licence:

- `exact`: the same values to the last bit, nan and inf included;
- `finite`: the same where no value is nan or infinite;
- `reassociates`: sums and products in another order, so the last bits may differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from pycograd.core.aval import ShapeDtypeStruct, aval_of, dtype_of, make_aval, shape_of
from pycograd.core.box import Box
from pycograd.core.buffers import is_frozen
from pycograd.core.dims import Dim
from pycograd.core.ir import Atom, Equation, Graph, Literal, Value
from pycograd.core.primitive import REGISTRY, Primitive, bind
from pycograd.graph.keys import key_of
from pycograd.transforms.capture import CaptureTrace

LICENCES: Final = ("exact", "finite", "reassociates")
_FOLDED: Final = 4096  # entries: larger constants are not made
_UNKNOWN: Final = object()
_NUMBER: Final = object()
_COMMUTE: Final = frozenset({"add", "multiply", "maximum", "minimum"})

Pattern = tuple[Any, ...]


class Named(NamedTuple):
    """A part of a pattern to which the replacement refers."""

    name: str
    pattern: Pattern


class Rule(NamedTuple):
    """A rewrite: see the module docstring.

    Attributes:
        pattern: what it looks for; its first entry is the name of a primitive.
        replacement: called with what the pattern named; returns the new value, or None to leave
            the equation as it is. By name it may ask for more: `params` and `shape`, the parameters
            and the result's shape of the outermost equation; `of`, those parameters by primitive
            for the others; `made`, a function: `made(name, *operands)` is the place of that
            equation in the graph, infinite if it is not there (yet); and `maker(x)`, the name of
            the operation that made a value.
        licence: one of `LICENCES`.
    """

    pattern: Pattern
    replacement: Callable[..., Any]
    licence: str = "exact"


class Rewriter(CaptureTrace):
    """A capture that writes a graph again, by rules."""

    __slots__ = ("rules", "makers", "seen", "order", "frozen", "fold", "line")

    def __init__(self, graph: Graph, rules: Iterable[Rule], fold: bool) -> None:
        super().__init__(graph.name)
        # With each rule what tells at a glance that it does not fit: the makers of the operands.
        self.rules: dict[str, list[tuple[Rule, tuple[Any, ...]]]] = {}
        for rule in rules:
            wanted = tuple(map(_maker_wanted, rule.pattern[1:]))
            self.rules.setdefault(rule.pattern[0], []).append((rule, wanted))
        self.makers: dict[Value, Equation] = {}  # a value -> the equation that makes it
        self.order: dict[Any, int] = {}  # and their places
        self.line = ""
        self.seen: dict[Any, Sequence[Value]] = {}  # equations that are alike are one
        self.frozen: dict[Value, Any] = {}  # the constants that nobody can change
        self.fold = fold
        for value, array in graph.constants:
            self.constants.append((value, array))
            self.atoms[id(array)] = value
            if is_frozen(array):
                self.frozen[value] = array

    def emit(
        self,
        primitive: Primitive,
        atoms: Sequence[Atom],
        params: dict[str, Any],
        outs: Sequence[ShapeDtypeStruct],
        line: str,
    ) -> Sequence[Any]:
        rules = self.rules.get(primitive.name)
        if rules and any(type(x) is Value for x in atoms):
            makers = tuple(map(self._maker, atoms))
            turned = makers[::-1] if primitive.name in _COMMUTE else makers
            for rule, wanted in rules:
                if _may_fit(wanted, makers) or _may_fit(wanted, turned):
                    if (found := self._apply(rule, primitive, atoms, params, outs)) is not None:
                        return [found]
        if self.fold and (results := self._folded(primitive, atoms, params, outs)) is not None:
            return results
        key = _equation_key(primitive, atoms, params)
        known = self.seen.get(key)
        if known is None:
            self.order[key] = len(self.equations)
            known = self.seen[key] = super().emit(primitive, atoms, params, outs, line)
            self.makers.update((value, self.equations[-1]) for value in known)
        return known

    def _maker(self, x: Atom) -> Any:
        """The name of the operation that made an operand; `_NUMBER` for what is known."""
        if type(x) is not Value or x in self.frozen:
            return _NUMBER
        maker = self.makers.get(x)
        return None if maker is None else maker.primitive.name

    def _folded(
        self, primitive: Primitive, atoms: Sequence[Atom], params: Any, outs: Any
    ) -> list[Atom] | None:
        """The results as constants, where all operands are and the results are not larger."""
        made = [math.prod(a.shape) for a in outs]
        given = [math.prod(x.shape) for x in atoms if type(x) is Value]
        if primitive.special or any(isinstance(n, Dim) for n in (*made, *given)):
            return None
        if max(made) > min(max(given, default=1), _FOLDED):
            return None
        values = [
            x.number if isinstance(x, Literal) else self.frozen.get(x, _UNKNOWN) for x in atoms
        ]
        if any(x is _UNKNOWN for x in values):
            return None
        try:
            with np.errstate(all="ignore"):
                out = bind(primitive, values, params)
        except Exception:  # it is the program's to raise, at the equation, if it gets there
            return None
        return [self.known_value(x) for x in (out if primitive.multi else (out,))]

    def known_value(self, x: Any) -> Atom:
        """The atom for what was computed here: a literal, or an array that nobody can change."""
        if not isinstance(x, np.ndarray):
            return Literal(x)
        if x.ndim == 0:
            return Literal(x[()])
        if x.flags.writeable or x.base is not None:
            x = x.copy()
            x.flags.writeable = False
        value = self._held(x)
        self.frozen[value] = x
        return value

    def atom(self, x: Any) -> Atom:
        """What stands for an operand; one number repeated is written down as that."""
        if type(x) is np.ndarray and x.ndim and not any(x.strides) and x.size:
            number, shape = Literal(x[(0,) * x.ndim]), {"shape": x.shape}
            repeat, aval = REGISTRY["broadcast_to"], make_aval(x.shape, x.dtype)
            (repeated,) = self.emit(repeat, [number], shape, [aval], self.line)
            return repeated  # type: ignore[no-any-return]
        return super().atom(x)

    def here(self) -> str:
        return self.line

    def _apply(
        self, rule: Rule, primitive: Primitive, atoms: Any, params: Any, outs: Any
    ) -> Atom | None:
        for operands in _orders(primitive.name, atoms):
            match = _Match(self.makers, self.frozen)
            if not match.each(rule.pattern[1:], operands):
                continue
            known = {name: self.box(x) for name, x in match.named.items()}
            known.update(params=params, shape=outs[0].shape, of=match.params)
            known.update(made=self._made, maker=lambda x: self._maker(self.atom(x)))
            new = rule.replacement(**{name: known[name] for name in _arguments(rule.replacement)})
            # A replacement that broadcasts or promotes otherwise is none.
            if new is not None and (shape_of(new), dtype_of(new)) == (outs[0].shape, outs[0].dtype):
                if outs[0].weak or not aval_of(new).weak:
                    return self.atom(new)
        return None

    def box(self, value: Any) -> Any:
        """What a replacement computes with: a box, or the number that a value turned out to be."""
        return super().box(value) if type(value) is Value else value.number

    def _made(self, name: str, *operands: Any) -> float:
        key = _equation_key(REGISTRY[name], [self.atom(x) for x in operands], {})
        return self.order.get(key, math.inf)


class _Match:
    """An attempt to fit a pattern: what it has named so far."""

    __slots__ = ("makers", "frozen", "named", "params")

    def __init__(self, makers: dict[Value, Equation], frozen: dict[Value, Any]) -> None:
        self.makers, self.frozen = makers, frozen
        self.named: dict[str, Atom] = {}
        self.params: dict[str, Any] = {}  # of the equations below the outermost, by primitive

    def each(self, patterns: Sequence[Any], atoms: Sequence[Atom]) -> bool:
        return len(patterns) == len(atoms) and all(map(self.one, patterns, atoms))

    def one(self, pattern: Any, x: Atom) -> bool:
        if type(pattern) is str:
            known = self.named.setdefault(pattern, x)
            return known is x or _key(known) == _key(x)
        if type(pattern) is Named:
            return self.one(pattern.pattern, x) and self.one(pattern.name, x)
        if type(pattern) is not tuple:
            number = x.number if isinstance(x, Literal) else self.frozen.get(x)
            return _is_number(number, pattern)
        maker = self.makers.get(x) if type(x) is Value else None
        name = pattern[0]
        if maker is None or maker.primitive.name != name or len(maker.outs) != 1:
            return False
        if _key(self.params.setdefault(name, maker.params)) != _key(maker.params):
            return False
        before = dict(self.named), dict(self.params)
        for operands in _orders(name, maker.operands):
            if self.each(pattern[1:], operands):
                return True
            self.named, self.params = dict(before[0]), dict(before[1])
        return False


def _maker_wanted(pattern: Any) -> Any:
    """What `Rewriter._maker` says of an operand that fits a pattern; None if it may be anything."""
    if type(pattern) is Named:
        return _maker_wanted(pattern.pattern)
    if type(pattern) is str:
        return None
    return pattern[0] if type(pattern) is tuple else _NUMBER


def _may_fit(wanted: tuple[Any, ...], makers: tuple[Any, ...]) -> bool:
    if len(wanted) != len(makers):
        return False
    for a, b in zip(wanted, makers):  # noqa: SIM110 (twice as quick as a generator)
        if a is not None and a != b:
            return False
    return True


def same_equations(
    graph: Graph, other: Graph, instead: Mapping[Value, Value] | None = None
) -> bool:
    """True if two graphs have the same equations and outputs.

    Their inputs and constants are the same, or `instead` says which of them stand for which.
    """
    if len(graph.equations) != len(other.equations) or len(graph.outputs) != len(other.outputs):
        return False
    before, after = ([(v, id(x)) for v, x in g.constants] for g in (graph, other))
    if instead is None and before != after:
        return False
    known = dict(instead or {})

    def alike(x: Atom, y: Atom) -> bool:
        if type(x) is Value and type(y) is Value:
            return known.get(x, x) is y
        return type(x) is type(y) and bool(_key(x) == _key(y))

    for e, f in zip(graph.equations, other.equations):
        if e.primitive is not f.primitive or len(e.operands) != len(f.operands):
            return False
        if not all(map(alike, e.operands, f.operands)) or _key(e.params) != _key(f.params):
            return False
        known.update(zip(e.outs, f.outs))
    return all(map(alike, graph.outputs, other.outputs))


def _equation_key(primitive: Primitive, atoms: Sequence[Atom], params: Any) -> Any:
    return id(primitive), tuple(map(_key, atoms)), _key(params)


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the arguments that have no default."""
    code = function.__code__
    return code.co_varnames[: code.co_argcount - len(function.__defaults__ or ())]


def _is_number(number: Any, wanted: Any) -> bool:
    """True for this number, and for an array of nothing else; -0.0 is not 0."""
    if type(number) in (int, float):
        return bool(number == wanted) and (wanted != 0 or math.copysign(1.0, number) > 0.0)
    if isinstance(number, np.ndarray):
        if not 0 < number.size <= _FOLDED:
            return False
    elif not isinstance(number, (int, float, np.number)):
        return False
    if not np.all(number == wanted):
        return False
    negative = np.signbit(np.real(number)) | np.signbit(np.imag(number))
    return bool(wanted != 0 or not np.any(negative))


def _orders(name: str, atoms: Sequence[Atom]) -> Iterator[Sequence[Atom]]:
    """The operands as they stand, and the other way round where that is the same operation."""
    yield atoms
    if name in _COMMUTE and len(atoms) == 2:
        yield (atoms[1], atoms[0])


def _key(x: Any) -> Any:
    """What tells operands and parameters apart."""
    if type(x) is Value:
        return id(x)
    if type(x) is Literal:
        return key_of(x.number)
    if isinstance(x, Mapping):
        return tuple([(name, _key(part)) for name, part in x.items()])
    if isinstance(x, (tuple, list)):
        return tuple(map(_key, x))
    if isinstance(x, slice):
        return "slice", x.start, x.stop, x.step
    if isinstance(x, (Graph, np.ndarray, Box)):
        return id(x)
    return key_of(x, contents=False)


def rewritten(graph: Graph, rules: Iterable[Rule], fold: bool = True) -> Graph:
    """`graph` with the rules applied, equal equations made one, and what is unused dropped.

    `fold` says whether equations whose operands are known are computed now.
    """
    trace = Rewriter(graph, rules, fold)
    known: dict[Value, Atom] = {v: v for v in graph.inputs}
    for value, array in graph.constants:
        known[value] = value if value not in trace.frozen or array.ndim else Literal(array[()])

    def now(x: Atom) -> Atom:
        return known[x] if type(x) is Value else x

    try:
        for equation in graph.equations:
            trace.line = equation.line
            made = trace.emit(
                equation.primitive,
                [now(x) for x in equation.operands],
                equation.params,
                equation.outs,
                equation.line,
            )
            known.update(zip(equation.outs, made))
    finally:
        trace.closed = True
    changed = graph.with_body(trace.equations, [now(x) for x in graph.outputs], trace.constants)
    return without_unused(changed)


def without_unused(graph: Graph) -> Graph:
    """`graph` without the equations and constants that no output depends on."""
    wanted = {x for x in graph.outputs if type(x) is Value}
    kept = []
    for equation in reversed(graph.equations):
        if not wanted.isdisjoint(equation.outs):
            kept.append(equation)
            wanted.update(equation.values)
    constants = [(v, array) for v, array in graph.constants if v in wanted]
    return graph.with_body(kept[::-1], graph.outputs, constants)
