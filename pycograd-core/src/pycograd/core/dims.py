"""Symbolic sizes: integer polynomials over named symbols, with floor divisions as opaque atoms.

A `Dim` is kept in normal form, a sum of integer multiples of monomials, so that equal sizes compare
equal however they were computed. `a % b` is `a - b*(a//b)`, which needs no form of its own.
`Constraints` collects the equalities that shape rules need of symbols. Shapes of plain integers
never reach the algebra.
"""

from __future__ import annotations

import dis
import math
import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, NamedTuple, NoReturn, Union

import numpy as np

from pycograd.core.errors import ShapeError, SymbolicSizeError

Size = Union[int, "Dim"]
Shape = tuple[Any, ...]  # of Size


class _Quotient(NamedTuple):
    """The atom `top // bottom`, where no part of the division comes out even."""

    top: Dim | int
    bottom: Dim | int

    def __str__(self) -> str:
        bottom = str(self.bottom)
        simple = bottom.isidentifier() or bottom.isdigit()
        return f"({self.top})//{bottom if simple else f'({bottom})'}"


_Atom = str | _Quotient
_Monomial = tuple[_Atom, ...]  # B*B*N is ("B", "B", "N"); () is the constant term
_Terms = dict[_Monomial, int]  # no zero coefficients


class Dim:
    """A symbolic size, such as `B`, `2*B + 1` or `(B + 1)//2`.

    Supports `+ - * // %` with sizes on both sides, and powers of sizes; a result without symbols is
    an int. `==` is equality of normal forms. With anything else it computes as the number that it
    will be, while an abstract evaluation or a capture runs (`core.sizes.number`). What would need
    that number at once (`<` of sizes, `bool`, `int`, an index) raises `SymbolicSizeError`.

    >>> B, N = Dim.of("B"), Dim.of("N")
    >>> 2 * B, B * N, B - 1, (B + 1) // 2
    (2*B, B*N, B + -1, (B + 1)//2)
    >>> (2 * B) // 2 == B, (B * 3) % 3, B - B
    (True, 0, 0)
    """

    __slots__ = ("_terms", "_hash")
    _terms: _Terms
    _hash: int

    @staticmethod
    def of(name: str) -> Dim:
        """The symbol of this name.

        Arguments:
            name: a Python identifier.

        Raises:
            ValueError: anything else.

        >>> Dim.of("batch")
        batch
        """
        if not name.isidentifier():
            raise ValueError(f"Dim: {name!r} is not a name; write Dim.of('B') + 1, not 'B + 1'")
        return _dim({(name,): 1})  # type: ignore[return-value]

    @property
    def symbols(self) -> frozenset[str]:
        """The names that occur."""
        found: set[str] = set()
        for atom in (atom for monomial in self._terms for atom in monomial):
            found.update([atom] if isinstance(atom, str) else _symbols(atom.top, atom.bottom))
        return frozenset(found)

    def subs(self, sizes: Mapping[str, Size]) -> Size:
        """The size with symbols replaced.

        Arguments:
            sizes: an int or `Dim` by the name of a symbol; other symbols stay.

        Returns:
            An int when no symbol is left.

        >>> (Dim.of("B") * 2 + 1).subs({"B": 4})
        9
        """
        total: Size = 0
        for monomial, factor in self._terms.items():
            product: Size = factor
            for atom in monomial:
                if isinstance(atom, str):
                    value = sizes.get(atom)
                    product = product * (Dim.of(atom) if value is None else value)
                else:
                    product = product * (_subs(atom.top, sizes) // _subs(atom.bottom, sizes))
            total = total + product
        return total

    # -- arithmetic ------------------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **kwargs: Any) -> Any:
        own = _ON_SIZES.get(ufunc)
        if own is not None and method == "__call__" and not kwargs and all(map(_is_size, operands)):
            return own(*[x if isinstance(x, Dim) else int(x) for x in operands])
        return getattr(ufunc, method)(*map(_value, operands), **kwargs)

    def __add__(self, other: Any) -> Any:
        return _combined(operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return _combined(operator.add, other, self)

    def __sub__(self, other: Any) -> Any:
        return _combined(operator.sub, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _combined(operator.sub, other, self)

    def __mul__(self, other: Any) -> Any:
        return _combined(operator.mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _combined(operator.mul, other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _combined(operator.floordiv, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _combined(operator.floordiv, other, self)

    def __mod__(self, other: Any) -> Any:
        return _combined(operator.mod, self, other)

    def __rmod__(self, other: Any) -> Any:
        return _combined(operator.mod, other, self)

    def __truediv__(self, other: Any) -> Any:
        return _combined(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _combined(operator.truediv, other, self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, int) and other >= 0:
            return math.prod([self] * other)
        return _value(self) ** _value(other)

    def __rpow__(self, other: Any) -> Any:
        return other ** _value(self)

    def __neg__(self) -> Any:
        return self * -1

    def __pos__(self) -> Dim:
        return self

    def __lt__(self, other: Any) -> Any:
        return _combined(operator.lt, self, other)

    def __le__(self, other: Any) -> Any:
        return _combined(operator.le, self, other)

    def __gt__(self, other: Any) -> Any:
        return _combined(operator.gt, self, other)

    def __ge__(self, other: Any) -> Any:
        return _combined(operator.ge, self, other)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, np.ndarray):  # boxes included
            return NotImplemented
        return isinstance(other, Dim) and self._terms == other._terms

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:
        return _dim, (self._terms,)

    def __repr__(self) -> str:
        def reading_order(monomial: _Monomial) -> Any:
            degree, names = _order(monomial)
            return degree, any(isinstance(atom, _Quotient) for atom in monomial), names

        monomials = sorted(self._terms, key=reading_order)
        return " + ".join(_term_text(monomial, self._terms[monomial]) for monomial in monomials)

    # -- what needs the number -------------------------------------------------------------------
    def _refuse(self, *args: Any) -> NoReturn:
        raise SymbolicSizeError(
            f"the size {self} is symbolic: using it as a number would bake one size in."
            " Compute with sizes by + - * // % only, or give concrete shapes"
        )

    __bool__ = __int__ = __float__ = __complex__ = __round__ = _refuse

    def __index__(self) -> int:
        if _called_with_like(sys._getframe(1)):
            return -1  # no size: NumPy refuses it where nobody answers for `like`
        self._refuse()


def _combined(operation: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """Of sizes a size; with any other value what the number that the size will be gives."""
    if _is_size(a) and _is_size(b) and operation is not operator.truediv:
        return _ALGEBRA[operation](a, b) if operation in _ALGEBRA else a._refuse()
    return operation(_value(a), _value(b))


def _called_with_like(frame: FrameType) -> bool:
    """True if the frame is in a call with `like=`.

    `np.zeros(n, like=x)` and `np.empty` read `n` before they let `x` answer with the `n` given.
    """
    code = frame.f_code
    before = [i for i in dis.get_instructions(code) if i.offset < frame.f_lasti]
    while before and before[-1].opname in ("PRECALL", "CACHE", "EXTENDED_ARG"):
        before.pop()
    if not before or before[-1].opname not in ("KW_NAMES", "LOAD_CONST"):
        return False
    names = code.co_consts[before[-1].arg or 0]
    return isinstance(names, tuple) and "like" in names


def _value(x: Any) -> Any:
    """`x`; for a symbolic size a value of the running evaluation."""
    from pycograd.core.sizes import number

    return number(x) if isinstance(x, Dim) else x


def _dim(terms: _Terms) -> Size:
    """The size with these terms: an int if they are constant."""
    if not terms:
        return 0
    if len(terms) == 1 and () in terms:
        return terms[()]
    dim = object.__new__(Dim)
    dim._terms, dim._hash = terms, hash(frozenset(terms.items()))
    return dim


_ALGEBRA: dict[Any, Callable[[Any, Any], Any]] = {
    operator.add: lambda a, b: _dim(_add(_terms(a), _terms(b))),
    operator.sub: lambda a, b: _dim(_add(_terms(a), _terms(b), -1)),
    operator.mul: lambda a, b: _dim(_mul(_terms(a), _terms(b))),
    operator.floordiv: lambda a, b: _floordiv(_terms(a), _terms(b)),
    operator.mod: lambda a, b: a - b * (a // b),
}
# NumPy's names, by which its integers ask.
_ON_SIZES: dict[Any, Callable[..., Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.floor_divide: operator.floordiv,
    np.remainder: operator.mod,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
}


def _is_size(x: Any) -> bool:
    if type(x) is np.ndarray:  # as NumPy's integers come to comparisons
        return x.ndim == 0 and x.dtype.kind in "iu"
    return isinstance(x, (Dim, int, np.integer))


def _terms(size: Any) -> _Terms:
    """The terms of a size."""
    if isinstance(size, Dim):
        return size._terms
    return {(): int(size)} if size else {}


def _subs(size: Size, sizes: Mapping[str, Size]) -> Size:
    return size.subs(sizes) if isinstance(size, Dim) else size


def _symbols(*sizes: Size) -> frozenset[str]:
    return frozenset().union(*(size.symbols for size in sizes if isinstance(size, Dim)))


def _order(monomial: _Monomial) -> tuple[int, tuple[str, ...]]:
    """Sorts monomials from the leading one: by degree, then by name. Products keep this order."""
    return -len(monomial), tuple(map(str, monomial))


def _term_text(monomial: _Monomial, factor: int) -> str:
    if not monomial:
        return str(factor)
    powers = {atom: monomial.count(atom) for atom in monomial}
    text = "*".join(f"{atom}**{n}" if n > 1 else str(atom) for atom, n in powers.items())
    return {1: "", -1: "-"}.get(factor, f"{factor}*") + text


def _add(a: _Terms, b: _Terms, sign: int = 1) -> _Terms:
    total = dict(a)
    for monomial, factor in b.items():
        if value := total.get(monomial, 0) + sign * factor:
            total[monomial] = value
        else:
            del total[monomial]
    return total


def _mul(a: _Terms, b: _Terms) -> _Terms:
    total: _Terms = {}
    for m, x in a.items():
        for n, y in b.items():
            total = _add(total, {tuple(sorted(m + n, key=str)): x * y})
    return total


def _without(monomial: _Monomial, factor: _Monomial) -> _Monomial | None:
    """The monomial divided by another, or None if that does not come out even."""
    rest = list(monomial)
    for atom in factor:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def _floordiv(top: _Terms, bottom: _Terms) -> Size:
    """`top // bottom`: long division takes out what is even; the rest becomes an atom."""
    if not bottom:
        raise ZeroDivisionError(f"{_dim(top)} // 0 in a computation of sizes")
    if bottom.get((), 0) < 0 and len(bottom) == 1:
        top, bottom = _mul(top, {(): -1}), _mul(bottom, {(): -1})
    lead = min(bottom, key=_order)
    top = dict(top)  # taken apart term by term
    even: _Terms = {}
    rest: _Terms = {}
    while top:
        monomial = min(top, key=_order)
        factor = _without(monomial, lead)
        if factor is not None and (times := top[monomial] // bottom[lead]):
            even = _add(even, {factor: times})
            top = _add(top, _mul({factor: times}, bottom), -1)
        if monomial in top:
            rest[monomial] = top.pop(monomial)
    return _dim(even) + _quotient(rest, bottom)


def _quotient(top: _Terms, bottom: _Terms) -> Size:
    """`top // bottom` for a top that long division has left over."""
    if not top:
        return 0
    divisor = bottom.get((), 0) if len(bottom) == 1 else 0  # the bottom if it is a number
    if divisor:
        # (g*m + c) // (g*d) = (m + c//g) // d
        g = math.gcd(divisor, *(factor for monomial, factor in top.items() if monomial))
        common: _Monomial = ()
        nested = [m for m in top if any(isinstance(atom, _Quotient) for atom in m)]
        if len(nested) == 1 and top[nested[0]] == 1 and len(nested[0]) == 1:
            (inner,) = nested[0]
            if isinstance(inner, _Quotient) and isinstance(inner.bottom, int):
                # (a//b + m) // d = (a + b*m) // (b*d)
                outer = _add(top, {nested[0]: 1}, -1)
                return (inner.top + inner.bottom * _dim(outer)) // (inner.bottom * divisor)
    else:
        g = math.gcd(*top.values(), *bottom.values())
        common = _common((*top, *bottom))
    if g == 1 and not common:
        return _dim({(_Quotient(_dim(top), _dim(bottom)),): 1})
    return _floordiv(_cancel(top, g, common), _cancel(bottom, g, common))


def _common(monomials: tuple[_Monomial, ...]) -> _Monomial:
    """The greatest monomial that divides all of these."""
    shared: list[_Atom] = []
    for atom in dict.fromkeys(monomials[0]):
        shared += [atom] * min(monomial.count(atom) for monomial in monomials)
    return tuple(shared)


def _cancel(terms: _Terms, g: int, common: _Monomial) -> _Terms:
    reduced = ((_without(monomial, common), factor // g) for monomial, factor in terms.items())
    return {monomial: factor for monomial, factor in reduced if monomial is not None and factor}


# -- equalities --------------------------------------------------------------------------------
class Constraints:
    """The equalities between sizes that shape rules have found, solved as they come.

    Arguments:
        reserved: names of symbols already in use, which `fresh` avoids.

    >>> known, B, N = Constraints(), Dim.of("B"), Dim.of("N")
    >>> known.equate(B, N, "add")
    >>> known.equate(2 * N, 8, "reshape")
    >>> known.resolve(B + 1)
    5
    >>> known.fresh(), known.fresh()
    (n0, n1)
    """

    __slots__ = ("_solved", "_origins", "_open", "_reserved", "_fresh")

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._solved: dict[str, Size] = {}  # symbol -> what it equals, free of that symbol
        self._origins: dict[str, str] = {}  # symbol -> the operation that said so
        self._open: list[tuple[Size, Size, str]] = []  # equalities that no symbol solves yet
        self._reserved = frozenset(reserved)
        self._fresh: list[str] = []

    @property
    def reserved(self) -> frozenset[str]:
        """The names of symbols that were in use from the beginning."""
        return self._reserved

    def fresh(self) -> Dim:
        """A new symbol `n0`, `n1`, ... for a size that depends on data."""
        number = len(self._fresh)
        while (name := f"n{number}") in self._reserved or name in self._fresh:
            number += 1
        self._fresh.append(name)
        return Dim.of(name)

    def resolve(self, size: Size) -> Size:
        """The size with every solved symbol replaced."""
        while isinstance(size, Dim) and not self._solved.keys().isdisjoint(size.symbols):
            size = size.subs(self._solved)
        return size

    @property
    def equalities(self) -> list[tuple[Size, Size]]:
        """The pairs of equal sizes found: solved symbols first, then what is still open."""
        solved: list[tuple[Size, Size]] = [
            (Dim.of(name), self.resolve(value)) for name, value in self._solved.items()
        ]
        return solved + [(a, b) for a, b, _ in self._open]

    def equate(self, a: Size, b: Size, operation: str = "size") -> None:
        """Records that two sizes are equal.

        Arguments:
            a, b: ints or `Dim`s.
            operation: what needs it, for messages.

        Raises:
            ShapeError: they cannot be equal, given what is known.
        """
        left, right = self.resolve(a), self.resolve(b)
        if left == right:
            return
        difference = left - right
        if isinstance(difference, int):
            raise self._contradiction(a, b, left, right, operation)
        # Of several symbols replace a fresh one, else one of the right side: earlier names stay.
        for name in sorted(
            difference.symbols, key=lambda n: (n not in self._fresh, n in _symbols(left), n)
        ):
            factor = difference._terms.get((name,), 0)
            rest = difference - factor * Dim.of(name)
            if not factor or name in _symbols(rest):
                continue
            value, remainder = -rest // factor, -rest % factor
            if isinstance(rest, int) and (remainder or value < 0):
                raise self._contradiction(a, b, left, right, operation)
            if remainder == 0:
                self._solved[name], self._origins[name] = value, operation
                waiting, self._open = self._open, []
                for pair in waiting:
                    self.equate(*pair)
                return
        self._open.append((left, right, operation))

    def _contradiction(
        self, a: Size, b: Size, left: Size, right: Size, operation: str
    ) -> ShapeError:
        known = [
            f"{name} = {self.resolve(Dim.of(name))} by {self._origins[name]}"
            for name in sorted(_symbols(a, b) & self._solved.keys())
        ]
        because = f", since {', '.join(known)}" if known else ""
        return ShapeError(
            f"{operation}: sizes {a} and {b} must be equal, but {left} is not {right}{because}"
        )


# -- shapes ------------------------------------------------------------------------------------
def broadcast_shapes(
    *shapes: Shape, constraints: Constraints | None = None, operation: str = "broadcast"
) -> Shape:
    """The shape that these shapes broadcast to.

    Arguments:
        shapes: tuples of ints and `Dim`s. A symbol is taken to be different from 1.
        constraints: collects that a symbol equals the size it meets; without it that is an error.
        operation: what needs it, for messages.

    Returns:
        A tuple; where a symbol meets a number other than 1, the number.

    Raises:
        ShapeError: the shapes do not fit.

    >>> broadcast_shapes((5, 1), (3,)), broadcast_shapes((Dim.of("B"), 1), (3,))
    ((5, 3), (B, 3))
    """
    first = shapes[0] if shapes else ()
    if all(shape == first for shape in shapes):
        return first
    rank = max(map(len, shapes))
    result: list[Any] = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, rank - len(shape)):
            if constraints is not None:
                size = constraints.resolve(size)
            known = result[axis]
            if size == known or size == 1:
                continue
            if known == 1:
                result[axis] = size
                continue
            symbolic = isinstance(size, Dim) or isinstance(known, Dim)
            if constraints is None or not symbolic:
                raise ShapeError(
                    f"{operation}: incompatible shapes {' and '.join(map(str, shapes))}"
                )
            constraints.equate(known, size, operation)
            if isinstance(known, Dim):
                result[axis] = size if not isinstance(size, Dim) else known
    return tuple(result)
