"""Symbolic sizes: every identity is checked against integers."""

import itertools
import math
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pycograd.core.dims import Constraints, Dim, broadcast_shapes
from pycograd.core.errors import ShapeError, SymbolicSizeError

A, B, N = map(Dim.of, ("A", "B", "N"))
OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}

# An expression is a name, an int or (operator, left, right).
expression = st.recursive(
    st.one_of(st.sampled_from("ABN"), st.integers(-6, 6)),
    lambda sub: st.tuples(st.sampled_from(sorted(OPERATORS)), sub, sub),
    max_leaves=8,
)


def evaluate(e, values):
    if isinstance(e, tuple):
        return OPERATORS[e[0]](evaluate(e[1], values), evaluate(e[2], values))
    return values[e] if isinstance(e, str) else e


SYMBOLS = {"A": A, "B": B, "N": N}
sizes = st.fixed_dictionaries({name: st.integers(1, 40) for name in "ABN"})


@given(expression, sizes)
def test_the_algebra_agrees_with_integers(e, values):
    try:
        symbolic = evaluate(e, SYMBOLS)
        number = evaluate(e, values)
    except ZeroDivisionError:
        return
    got = symbolic
    if isinstance(symbolic, Dim):
        try:
            got = symbolic.subs(values)
        except ZeroDivisionError:
            return  # a cancelled quotient whose own divisor is 0 here
    assert got == number


@given(expression, sizes)
def test_substitution_in_two_steps(e, values):
    try:
        symbolic = evaluate(e, SYMBOLS)
        number = evaluate(e, values)
        first = symbolic.subs({"A": values["A"]}) if isinstance(symbolic, Dim) else symbolic
        got = first.subs(values) if isinstance(first, Dim) else first
    except ZeroDivisionError:
        return
    assert got == number


@given(expression)
def test_text_reads_back(e):
    """The repr is Python: evaluated on the symbols, it is the same size."""
    try:
        symbolic = evaluate(e, SYMBOLS)
    except ZeroDivisionError:
        return
    if isinstance(symbolic, Dim):
        # Python would read `2*(n)//2` from left to right, and sizes have no powers.
        if "//" not in repr(symbolic) and "**" not in repr(symbolic):
            assert eval(repr(symbolic), {}, SYMBOLS) == symbolic
        again = pickle.loads(pickle.dumps(symbolic))
        assert again == symbolic and hash(again) == hash(symbolic)


def test_equal_however_computed():
    assert (A + B) * (A - B) == A * A - B * B
    assert B + A == A + B and hash(B + A) == hash(A + B)
    assert (2 * B) // 2 == B and (B * N) // N == B and (A * B + A * N) // (B + N) == A
    assert (B * 3) % 3 == 0 and (6 * B + 4) % 3 == 1
    assert (B - 1) // 2 + 1 == (B + 1) // 2  # ceiling division, both ways
    assert (B // 2) // 3 == B // 6 and (4 * B + 6) // 4 == B + 1 + (0 * B)
    assert (3 * B) // (2 * B) == 1 and (2 * A) // (4 * B) == A // (2 * B)
    assert B % N + N * (B // N) == B
    assert -(N - B) == B - N and +B == B
    assert divmod(B, 2) == (B // 2, B % 2) and divmod(7, B) == (7 // B, 7 % B)


def test_unequal():
    assert B != N and B + 1 != B and B // 2 != N // 2
    assert (B == 3) is False and B != "B"  # shapes are compared: symbolic is not concrete
    assert (B, 3) == (Dim.of("B"), 3)
    assert {B: 1}[Dim.of("B")] == 1


def test_constants_collapse_to_int():
    for value in (B - B, (B + 3) - B, 0 * B, B // B, (2 * B) % 2, (B + 1).subs({"B": 2})):
        assert type(value) is int


@pytest.mark.parametrize(
    "size, text",
    [
        (2 * B, "2*B"),
        (N * B, "B*N"),
        (B - 1, "B + -1"),
        ((B + 1) // 2, "(B + 1)//2"),
        (N % 2, "N + -2*(N)//2"),
        (B * B + B, "B**2 + B"),
        (N - B, "-B + N"),
        (B // (N + 1), "(B)//(N + 1)"),
        (7 // B, "(7)//B"),
    ],
)
def test_text(size, text):
    assert str(size) == repr(size) == text


@pytest.mark.parametrize("number", [np.int64(3), np.int32(3), True])
def test_numpy_integers(number):
    for op in OPERATORS.values():
        for value in (op(B, number), op(number, B)):
            assert isinstance(value, (Dim, int))
    assert number * B == B * int(number)


@pytest.mark.parametrize("other", [1.5, "x", None, np.ones(2)])
def test_other_operands(other):
    for op in OPERATORS.values():
        with pytest.raises(TypeError):
            op(B, other)


@pytest.mark.parametrize(
    "use",
    [bool, int, float, operator.index, range, lambda b: b < 3, lambda b: 3 >= b]
    + [
        lambda b: b / 2,
        lambda b: 2 / b,
        lambda b: b**0.5,
        lambda b: max(b, 3),
        lambda b: [1, 2][b],
    ],
)
def test_what_would_bake_a_size_in(use):
    with pytest.raises(SymbolicSizeError, match=r"size B is symbolic.*bake"):
        use(B)


@pytest.mark.parametrize("shape", [B, (B, 3)])
def test_numpy_makes_no_array_of_a_symbolic_shape(shape):
    with pytest.raises(TypeError):
        np.zeros(shape)


def test_division_by_zero():
    with pytest.raises(ZeroDivisionError):
        B // 0
    with pytest.raises(ZeroDivisionError):
        B % 0


def test_only_names_are_symbols():
    for name in ("2*B", "", "a b", "3"):
        with pytest.raises(ValueError, match="not a name"):
            Dim.of(name)
    assert (A * B // (N + 1)).symbols == {"A", "B", "N"}


# -- constraints -----------------------------------------------------------------------------------
def test_equalities_chain():
    c = Constraints()
    c.equate(A, B)
    c.equate(B, N)
    assert c.resolve(A) == c.resolve(B) == c.resolve(N)
    c.equate(N, 5)
    assert c.resolve(A * 2 + N) == 15
    assert sorted(str(a) for a, _ in c.equalities) in (["A", "B", "N"], ["B", "N", "A"])


@given(st.permutations([(A, B), (B, 2 * N), (N + 1, 4), (A + N, 9)]))
def test_the_order_of_equalities_does_not_matter(pairs):
    c = Constraints()
    for a, b in pairs:
        c.equate(a, b)
    assert [c.resolve(d) for d in (A, B, N)] == [6, 6, 3]


@given(st.permutations([(A, B), (B, N), (N, 3), (A, 4)]))
def test_a_contradiction_is_found_in_any_order(pairs):
    c = Constraints()
    with pytest.raises(ShapeError):
        for a, b in pairs:
            c.equate(a, b)


def test_a_contradiction_names_both_sizes_and_who_said_so():
    c = Constraints()
    c.equate(B, 3, "matmul")
    with pytest.raises(
        ShapeError, match=r"add: sizes B and 4 must be equal.*3 is not 4.*B = 3 by matmul"
    ):
        c.equate(B, 4, "add")


@pytest.mark.parametrize("a, b", [(3, 4), (B, B + 1), (2 * B, 7), (B + 5, 2), (-B, 1)])
def test_what_can_never_be_equal(a, b):
    with pytest.raises(ShapeError, match="must be equal"):
        Constraints().equate(a, b)


def test_an_equality_that_solves_nothing_waits():
    c = Constraints()
    c.equate(A * B, 12)
    assert c.equalities == [(A * B, 12)]
    c.equate(A, 3)
    assert c.resolve(B) == 4
    d = Constraints()
    d.equate(A * B, 12)
    d.equate(A, 3)
    with pytest.raises(ShapeError):
        d.equate(B, 5)


def test_a_fresh_symbol_gives_way_to_a_named_one():
    c = Constraints(reserved={"n1"})
    n = c.fresh()
    assert [str(n), str(c.fresh()), str(Constraints().fresh())] == ["n0", "n2", "n0"]
    c.equate(n, B)
    assert c.resolve(n) == B and c.resolve(B) == B


# -- shapes ------------------------------------------------------------------------------------
shapes = st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), min_size=1, max_size=3)


@given(shapes)
def test_broadcasting_of_integers_is_that_of_numpy(shapes):
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ShapeError, match="add: incompatible shapes"):
            broadcast_shapes(*shapes, operation="add")
    else:
        assert broadcast_shapes(*shapes) == expected


def test_broadcasting_of_symbols():
    assert broadcast_shapes((B, 1), (N,)) == (B, N)
    assert broadcast_shapes((1,), (B,)) == (B,)
    assert broadcast_shapes((2, B), (2, B), ()) == (2, B)
    assert broadcast_shapes() == ()
    with pytest.raises(ShapeError, match=r"incompatible shapes \(B, 2\) and \(3, 2\)"):
        broadcast_shapes((B, 2), (3, 2))


@pytest.mark.parametrize("order", list(itertools.permutations([(B,), (4,), (N,), (1,)])))
def test_broadcasting_collects_equalities(order):
    c = Constraints()
    assert [c.resolve(d) for d in broadcast_shapes(*order, constraints=c)] == [4]
    assert c.resolve(B) == c.resolve(N) == 4
    with pytest.raises(ShapeError, match="add"):
        broadcast_shapes((B,), (5,), constraints=c, operation="add")


def test_a_symbol_known_to_be_one_broadcasts():
    c = Constraints()
    c.equate(B, 1)
    assert broadcast_shapes((B,), (5,), constraints=c) == (5,)


def test_sizes():
    assert math.prod((0, B)) == 0
    assert math.prod((2, B, B)) == 2 * B * B
