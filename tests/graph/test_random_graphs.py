"""Random programs: as graphs, after passes, compiled, scheduled and differentiated, as NumPy's.

A program is a list of steps on a pool of values of many dtypes and shapes. A run on plain arrays
says which steps NumPy takes; those make the program.
"""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import inplace_views  # noqa: F401 (it adds its programs)
import pycograd as pg
from inplace import PROGRAMS
from pycograd import apply_remat_plan, capture, eval_scheduled, grad, jit, optimize, plan_remat
from pycograd.graph.schedule import in_order, simulated
from sampled import arguments, built

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
EXAMPLES = settings.default.max_examples

MASK, PLACES = np.array([True, False, True]), np.array([2, 0, 2])
HELD = np.array([0.5, -1.0, 2.0])  # closed over


def squared(v):
    if isinstance(v, np.bool_):
        raise TypeError("the square of a boolean scalar has another dtype than that of an array")
    return v**2


UNARY = [
    np.sin, np.exp, np.negative, np.abs, np.square, np.sqrt, np.isnan, np.logical_not, np.sign,
    np.floor, np.conj, np.real, np.imag, np.copy, np.ravel, np.transpose,
    lambda v: v * 1.0, lambda v: v / 4, lambda v: -np.negative(v), lambda v: v - 0.0,
    squared, lambda v: v + 1j, lambda v: v * np.float32(0.5), lambda v: 2.0 / v,
    lambda v: v // 2, lambda v: v[0], lambda v: v[..., 1:], lambda v: v[::-1], lambda v: v[None],
    lambda v: v[..., ::2],
    lambda v: v[..., MASK], lambda v: v[..., PLACES], lambda v: np.take(np.ravel(v), [0, -1]),
    lambda v: v.sum(), lambda v: v.sum(0), lambda v: v.max(-1, keepdims=True), lambda v: v.mean(-1),
    lambda v: np.prod(v, 0), lambda v: v.any(0), lambda v: np.argmax(v, -1), lambda v: v.std(),
    lambda v: np.cumsum(v, 0), lambda v: np.sort(v, -1), lambda v: v.reshape(-1, 1),
    lambda v: v.astype(np.float32), lambda v: v.astype(np.int64), lambda v: v.astype(v.dtype),
    lambda v: np.broadcast_to(v, (2, 3)), lambda v: np.concatenate([v, v * 2]), lambda v: v * HELD,
    lambda v: np.exp(v - np.max(v, -1, keepdims=True)), lambda v: v / np.sum(v, -1, keepdims=True),
    lambda v: np.zeros((3,), like=v) + v, lambda v: np.squeeze(v), lambda v: np.pad(v, 1),
]  # fmt: skip
BINARY = [
    np.add, np.subtract, np.multiply, np.divide, np.maximum, np.less, np.equal, np.logical_and,
    np.power, np.arctan2, np.hypot, np.matmul, np.outer,
    lambda v, w: v - (-w), lambda v, w: -v * -w, lambda v, w: -v / w, lambda v, w: v @ w.T,
    lambda v, w: np.where(v > 0, v, w), lambda v, w: np.where(w != 0, w, 1.0),
    lambda v, w: np.stack([v, w]), lambda v, w: np.einsum("...i,...i->...", v, w),
    lambda v, w: v / 3.0 + w / 3.0, lambda v, w: np.sum(v * w), lambda v, w: np.clip(v, -1, w),
]  # fmt: skip


def set_row(v, w):
    v[0] = w
    return v


def add_to(v, w):
    v += w
    return v


def set_masked(v, w):
    v[..., MASK] = 0.5
    return v[..., 1:]


def add_at(v, w):
    v[..., PLACES[:2]] *= 2
    return v


WRITES = [set_row, add_to, set_masked, add_at]
OPERATIONS = [*[(f, 1) for f in UNARY], *[(f, 2) for f in BINARY], *[(f, 3) for f in WRITES]]

LAYOUTS = [
    lambda x: x,
    np.asfortranarray,
    lambda x: x[::-1],
    lambda x: np.repeat(x, 2, -1)[..., ::2],
    lambda x: np.ascontiguousarray(x.T).T,
]


def inputs(seed, special=False):
    """Arguments of every kind; `special` ones have nan, infinities and negative zeros."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        x = rng.standard_normal(shape)
        if special:
            odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0])
            x = np.where(rng.random(shape) < 0.4, odd[rng.integers(0, 6, shape)], x)
        return x

    return [
        draw(2, 3),
        draw(3).astype(np.float32),
        draw(2, 3) + 1j * draw(2, 3),
        rng.integers(-4, 5, 3),
        rng.random((2, 3)) < 0.5,
        float(rng.standard_normal()),  # of nan and 0 Python has rules of its own
        np.asarray(draw()),
        draw(0, 3),
        draw(2, 3),
    ]


ERRORS = (ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError, AttributeError)
step = st.tuples(st.integers(0, len(OPERATIONS) - 1), st.integers(0, 40), st.integers(0, 40))
programs = st.lists(step, min_size=1, max_size=12)
choices = st.lists(st.integers(0, 40), min_size=1, max_size=4)


def applied(f, arity, v, w):
    return f(v) if arity == 1 else f(v, w)


def legal(steps, first):
    """The steps that NumPy takes, and that keep values small; writes only into arrays made here."""
    pool, taken, ours = list(first), [], set()
    for number, i, j in steps:
        f, arity = OPERATIONS[number]
        i, j = i % len(pool), j % len(pool)
        if arity == 3 and i not in ours:
            continue
        before = np.copy(pool[i]) if arity == 3 else None
        try:
            out = applied(f, arity, pool[i], pool[j])
        except ERRORS:
            if before is not None:
                pool[i][...] = before
            continue
        if np.size(out) > 60 or np.ndim(out) > 3 or np.asarray(out).dtype.kind not in "fciub":
            continue
        # Only what is sure to be contiguous memory of its own is written to.
        if isinstance(out, np.ndarray) and out.base is None and out.flags.carray and out.ndim:
            if all(out is not x for x in pool):
                ours.add(len(pool))
        pool.append(out)
        taken.append((number, i, j))
    return taken


def program(steps, chosen):
    """The function of a program: a tree of values of the pool, with literals between them."""

    def f(*first):
        pool = list(first)
        for number, i, j in steps:
            operation, arity = OPERATIONS[number]
            pool.append(applied(operation, arity, pool[i], pool[j]))
        picked = [pool[-1 - k % len(pool)] for k in chosen]
        return {"out": picked, "last": (pool[-1], None, 2.5), "again": pool[-1]}

    return f


def fresh(args):
    return [x.copy() if isinstance(x, np.ndarray) else x for x in args]


def run(f, args):
    """What plain NumPy makes of a program; None where it refuses the numbers."""
    try:
        return f(*fresh(args))
    except ERRORS:
        return None


def leaves(tree):
    return [np.asarray(x) for x in pg.tree_leaves(tree)]


def assert_close(found, expected, rtol=1e-11):
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        narrow = a.dtype in (np.float32, np.complex64, np.float16)
        tolerance = 2e-4 if narrow else rtol
        scale = max([1.0, *np.abs(b[np.isfinite(b)]).ravel().tolist()])
        np.testing.assert_allclose(a, b, tolerance, tolerance * scale)


def assert_same_bits(found, expected):
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if a.dtype.kind == "c":
            a, b = np.stack([a.real, a.imag]), np.stack([b.real, b.imag])
        np.testing.assert_array_equal(a, b)
        if a.dtype.kind == "f":
            there = ~np.isnan(b)
            np.testing.assert_array_equal(np.signbit(a[there]), np.signbit(b[there]))


@settings(max_examples=EXAMPLES)
@given(programs, choices, st.integers(0, 3))
def test_a_captured_program_is_numpys(steps, chosen, seed):
    first = inputs(seed)
    f = program(legal(steps, fresh(first)), chosen)
    graph = pg.graph.check(capture(f, *first))
    for args in (first, inputs(seed + 10), inputs(seed, special=True)):
        if (expected := run(f, args)) is not None:
            assert_close(graph(*fresh(args)), expected)


@settings(max_examples=EXAMPLES)
@given(programs, choices, st.integers(0, 3))
def test_passes_keep_every_bit_and_are_done_when_they_are(steps, chosen, seed):
    first = inputs(seed)
    f = program(legal(steps, fresh(first)), chosen)
    graph = capture(f, *first)
    args = [first, inputs(seed, special=True), inputs(seed + 1, special=True)]
    args = [x for x in args if run(f, x) is not None]
    expected = [graph(*x) for x in args]
    for name in (*pg.graph.passes.PASSES, None):
        passes = None if name is None else [name]
        made = pg.graph.check(optimize(graph, passes, licence="exact"))
        for x, y in zip(args, expected, strict=True):
            assert_same_bits(made(*x), y)
        assert str(optimize(made, passes, licence="exact")) == str(made)
    loose = pg.graph.check(optimize(graph))
    assert_close(loose(*first), graph(*first), 2e-6)


@settings(max_examples=EXAMPLES)
@given(programs, choices, st.integers(0, 3), st.sampled_from(LAYOUTS))
def test_a_compiled_program_is_the_program(steps, chosen, seed, layout):
    first = inputs(seed)
    f = program(legal(steps, fresh(first)), chosen)
    compiled, kept = jit(f), []
    for args in (first, inputs(seed + 1), inputs(seed, special=True), first):
        args = [layout(x) if np.ndim(x) > 1 else x for x in args]
        if (expected := run(f, args)) is None:
            continue
        given, found = fresh(args), compiled(*args)
        assert_close(found, expected, 2e-6)  # some of it in float32
        for x, y in zip(args, given, strict=True):
            np.testing.assert_array_equal(x, y)
        kept.append((found, [np.copy(x) for x in leaves(found)]))
    for found, before in kept:
        for x, y in zip(leaves(found), before, strict=True):
            np.testing.assert_array_equal(x, y)


@settings(max_examples=EXAMPLES)
@given(programs, choices, st.integers(0, 3))
def test_results_share_memory_only_where_numpys_do(steps, chosen, seed):
    first = inputs(seed)
    f = program(legal(steps, fresh(first)), chosen)
    mine = fresh(first)
    found, expected = pg.tree_leaves(jit(f)(*first)), pg.tree_leaves(f(*mine))
    arrays = [k for k, x in enumerate(expected) if isinstance(x, np.ndarray) and x.ndim]
    for k in arrays:
        for x, y in zip(first, mine, strict=True):
            if isinstance(x, np.ndarray) and np.shares_memory(found[k], x):
                assert np.shares_memory(expected[k], y)
    for j, k in itertools.combinations(arrays, 2):
        if np.shares_memory(found[j], found[k]):
            assert np.shares_memory(expected[j], expected[k])


@settings(max_examples=EXAMPLES // 2)
@given(programs, choices, st.integers(0, 3), st.floats(0.3, 1.0))
def test_a_scheduled_program_is_the_program(steps, chosen, seed, part):
    first = inputs(seed)
    graph = capture(program(legal(steps, fresh(first)), chosen), *first)
    budget = int(part * simulated(graph, in_order(graph)).peak)
    for spill in (False, True):
        plan = plan_remat(graph, budget, spill=spill)
        if not plan.feasible:
            plan = plan_remat(graph, plan.peak, spill=spill)
            assert plan.feasible
        out, peak = eval_scheduled(graph, *fresh(first), plan=plan)
        assert_same_bits(out, graph(*fresh(first)))
        assert peak <= plan.budget
        written = pg.graph.check(apply_remat_plan(graph, plan))
        assert_same_bits(written(*fresh(first)), graph(*fresh(first)))


SMOOTH = [
    i
    for i, (f, arity) in enumerate(OPERATIONS)
    if arity != 1 or f not in (np.sqrt, np.abs, np.sign, np.floor)
]
smooth = st.lists(
    st.tuples(st.sampled_from(SMOOTH), st.integers(0, 40), st.integers(0, 40)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=EXAMPLES // 2)
@given(smooth, st.integers(0, 3))
def test_compiled_derivatives_are_the_derivatives(steps, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0.5, 1.5, (2, 2, 3))
    steps = legal(steps, [x.copy(), y.copy()])
    f = program(steps, [0, 1])

    def loss(x, y):
        total = 0.0
        for v in pg.tree_leaves(f(x, y)):
            total = total + np.sum(np.sin(np.real(v) * 0.1)) + np.sum(np.imag(v))
        return total

    rows = (np.stack([x, y]), y)
    for transformed, args in (
        (pg.value_and_grad(loss), (x, y)),
        (lambda x, y: pg.jvp(loss, (x, y), (y, x)), (x, y)),
        (pg.vmap(loss, (0, None)), rows),
        (pg.vmap(grad(loss), (0, None)), rows),
    ):
        try:
            expected = transformed(*args)
        except (pg.AmbiguousAliasError, pg.ControlFlowError, pg.UnsupportedOperationError):
            continue  # refused step by step as well
        assert_close(jit(transformed)(*args), expected, 1e-5)


number = st.integers(0, 7)
SAMPLED = st.lists(st.tuples(st.integers(0, 2**14 - 1), number, number), min_size=2, max_size=12)


@pytest.mark.parametrize("block", range(4))
def test_programs_of_the_sample_table(block):
    ran = []

    @settings(max_examples=EXAMPLES // 2)
    @given(SAMPLED)
    def every(numbers):
        f = built(numbers, turn=block)
        args = arguments()
        try:
            graph = pg.graph.check(capture(f, *args))
            expected = f(*arguments()), pg.value_and_grad(f)(*args)
        except pg.AmbiguousAliasError:
            return
        assert_close((graph(*args), jit(pg.value_and_grad(f))(*args)), expected, 1e-8)
        assert_same_bits(optimize(graph, licence="exact")(*args), graph(*args))
        for x, y in zip(args, arguments(), strict=True):
            np.testing.assert_array_equal(x, y)
        ran.append(f)

    every()
    assert len(ran) >= EXAMPLES // 4


@pytest.mark.parametrize("program", [p for p in PROGRAMS if not p.decides], ids=repr)
def test_in_place_programs(program):
    args = program.args
    expected = program.f(*fresh(args))
    assert_close(jit(program.f)(*args), expected, 1e-9)
    assert_close(jit(pg.jvp)(program.f, args, args), pg.jvp(program.f, args, args), 1e-8)
    for x, y in zip(args, program.args, strict=True):
        np.testing.assert_array_equal(x, y)
