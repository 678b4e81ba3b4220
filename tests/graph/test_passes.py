"""Passes: what each rule does, what it may not do, and that values survive."""

import itertools

import numpy as np
import pytest

import pycograd as pg
from pycograd import ShapeDtypeStruct as S, capture, grad, optimize
from pycograd.graph.rewrite import LICENCES
from pycograd.graph.rules import EXACT, FINITE, REASSOCIATE, STRUCTURE

X = np.random.default_rng(0).standard_normal((4, 3))
SPECIAL = np.array([0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan, 5e-324, 1.7e308])


def names(graph):
    return [equation.primitive.name for equation in graph.equations]


def bits(x):
    return np.asarray(x, np.float64).view(np.int64)


@pytest.mark.parametrize(
    ("f", "left"),
    [
        (lambda x: x * 1.0, []),
        (lambda x: x / 1.0, []),
        (lambda x: x - 0.0, []),
        (lambda x: -np.negative(x), []),
        (lambda x: x.T.T, []),
        (lambda x: np.reshape(np.reshape(x, (3, 4)), (4, 3)), []),
        (lambda x: x / 8.0, ["multiply"]),
        (lambda x: x / 3.0, ["divide"]),
        (lambda x: np.sin(x) + np.sin(x), ["sin", "add"]),
        (lambda x: x - (-x), ["add"]),
        (lambda x: x + (-x), ["subtract"]),
        (lambda x: np.where(x > 0, x, x), []),
        (lambda x: x + 0.0, ["add"]),  # -0.0 + 0.0 is 0.0
        (lambda x: x - x, ["subtract"]),  # of inf it is nan
        (lambda x: x * np.broadcast_to(np.float64(2.0), (4, 3)), ["multiply"]),
    ],
)
def test_exact_rules(f, left):
    graph = optimize(capture(f, X), licence="exact")
    assert names(graph) == left
    np.testing.assert_array_equal(bits(graph(X)), bits(f(X)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x * 1.0) / 4.0 - (-x),
        lambda x: -(x / 0.5) / 2.0,
        lambda x: np.where(x > 0, x, -x) + (-x) * (-x),
        lambda x: (-x) / 3.0 + x / 3.0,
        lambda x: np.maximum(x * 1.0, -np.negative(x)) / 1024.0,
        pg.egrad(lambda x: np.where(x > 1, np.exp(x), x / 4.0)),
    ],
)
def test_exact_means_every_bit_nan_and_inf_included(f):
    with np.errstate(all="ignore"):
        graph = optimize(capture(f, SPECIAL), licence="exact")
        found, expected = graph(SPECIAL), f(SPECIAL)
    same = (bits(found) == bits(expected)) | (np.isnan(found) & np.isnan(expected))
    assert same.all(), (found, expected)


def test_finite_rules_are_only_used_with_their_licence():
    f = lambda x: (x - x) + x
    assert names(optimize(capture(f, X))) == ["subtract", "add"]
    assert names(optimize(capture(f, X), licence="finite")) == []


def test_constants_are_folded_when_nobody_can_change_them():
    table, fixed = np.arange(3.0), np.arange(3.0)
    fixed.flags.writeable = False

    def f(x):
        return x * np.exp(np.asarray(fixed, like=x)) + np.exp(np.asarray(table, like=x))

    graph = optimize(capture(f, X))
    assert names(graph).count("exp") == 1
    np.testing.assert_allclose(graph(X), X * np.exp(fixed) + np.exp(table))
    table[:] = 0.0
    np.testing.assert_allclose(graph(X), X * np.exp(fixed) + 1.0)


def test_common_subexpressions_across_forward_and_backward():
    graph = capture(pg.value_and_grad(lambda x: np.sum(np.exp(x) * np.exp(x))), X)
    assert names(optimize(graph)).count("exp") == 1


def test_what_nothing_uses_is_dropped():
    assert names(optimize(capture(lambda x: (np.sin(x), x)[1], X))) == []


def attention(q, k, v):
    scores = q @ k.T / np.sqrt(q.shape[1])
    weights = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    return np.sum((weights / np.sum(weights, axis=1, keepdims=True) @ v) ** 2)


def test_the_maximum_in_a_softmax_gets_no_cotangent():
    f = pg.grad(attention)
    q = np.random.default_rng(2).standard_normal((3, 6, 4))
    graph = optimize(capture(f, *q))
    assert not {"where", "equal", "not_equal"} & set(names(graph))
    for a, b in zip(graph(*q), f(*q), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_a_sum_along_another_axis_is_no_softmax():
    def f(x):  # square, so that a sum without keepdims broadcasts along the wrong axis
        e = np.exp(x - np.max(x, axis=1, keepdims=True))
        return np.sum((e / np.sum(e, axis=1)) ** 3)

    x = np.random.default_rng(3).standard_normal((4, 4))
    np.testing.assert_allclose(optimize(capture(pg.grad(f), x))(x)[0], pg.grad(f)(x)[0], rtol=1e-10)


@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 1)])
@pytest.mark.parametrize("axis", [0, 1])
def test_weights_that_do_not_sum_to_one_are_no_softmax(shape, axis, rng):
    """Those that repeat along the axis do so once for each row of what they weigh."""

    def f(y, x, logits):
        weights = np.exp(logits)
        weights /= np.sum(weights, axis=axis % weights.ndim, keepdims=True)
        mean = np.sum(x * weights, axis=axis, keepdims=True)
        return np.sum((y - np.max(y, axis=axis, keepdims=True)) * ((x - mean) * weights))

    args = *rng.standard_normal((2, 4, 4)), rng.standard_normal(shape)
    expected = grad(f)(*args)
    for a, b in zip(optimize(capture(grad(f), *args))(*args), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", pg.graph.passes.PASSES)
def test_passes_are_idempotent(name):
    graph = capture(pg.grad(attention), *np.ones((3, 6, 4)))
    once = optimize(graph, [name])
    assert str(optimize(once, [name])) == str(once)
    pg.graph.check(once)


def test_every_rule_has_a_licence():
    for rule in (*STRUCTURE, *EXACT, *FINITE, *REASSOCIATE):
        assert rule.licence in LICENCES


def test_unknown_names():
    graph = capture(np.sin, X)
    with pytest.raises(ValueError, match="no pass 'algebr'"):
        optimize(graph, ["algebr"])
    with pytest.raises(pg.GraphError, match=r"optimize\(capture\(f, \*args\)\)"):
        optimize(np.sin)
    with pytest.raises(ValueError, match="no licence fast"):
        optimize(graph, licence="fast")


def test_passes_of_ones_own():
    graph = optimize(capture(lambda x: np.sin(x) * 1.0, X), ["cse", lambda g: optimize(g)])
    assert names(graph) == ["sin"]


def test_time_is_linear_in_the_graph():
    def f(x):
        for _ in range(400):
            x = np.sin(x) * 0.9 + x
        return x

    graph = optimize(capture(f, X))
    assert len(graph.equations) == 1200


def test_symbolic_sizes_stay_symbolic():
    f = lambda x: np.tanh(x * 2.0 + 0.0) / x.shape[0]
    graph = optimize(capture(lambda x: grad(lambda x: np.sum(f(x)))(x)[0], S(("B", 2))))
    for rows in (2, 5):
        x = np.linspace(0.0, 1.0, 2 * rows).reshape(rows, 2)
        np.testing.assert_allclose(graph(x), grad(lambda x: np.sum(f(x)))(x)[0])


def test_an_operation_on_a_repeated_operand_keeps_its_parameters():
    f = lambda x: np.broadcast_to(x[0], (2, 3)).astype(np.float32) + np.float32(1)
    got = optimize(capture(f, X))(X)
    assert got.dtype == np.float32 and np.array_equal(got, f(X))


# -- chains and fusion -----------------------------------------------------------------------------
def products(graph):
    shapes = []
    for e in graph.equations:
        if e.primitive.name == "matmul":
            x, y = (v.shape for v in e.operands)
            shapes.append(int(np.prod(x)) * (y[1] if len(y) == 2 else 1))
    return sum(shapes)


@pytest.mark.parametrize(
    ("sizes", "vector"), [((50, 50, 50), True), ((2, 40, 3, 50, 4), False), ((3, 3, 3, 3), False)]
)
def test_chains_are_computed_in_the_cheapest_order(sizes, vector):
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal(pair) for pair in itertools.pairwise(sizes)]
    if vector:
        factors.append(rng.standard_normal(sizes[-1]))

    def f(*xs):
        out = xs[0]
        for x in xs[1:]:
            out = out @ x
        return out

    before = capture(f, *factors)
    after = optimize(before)
    pg.graph.check(after)
    np.testing.assert_allclose(after(*factors), f(*factors), rtol=1e-10)
    assert products(after) <= products(before)
    if vector:
        assert products(after) == 2 * 50 * 50
    assert str(optimize(after)) == str(after)


def test_a_product_that_is_read_elsewhere_stays():
    a, b, v = np.ones((9, 9)), np.ones((9, 9)), np.ones(9)
    graph = optimize(capture(lambda a, b, v: ((a @ b) @ v, a @ b), a, b, v))
    assert names(graph).count("matmul") == 2
    assert names(optimize(capture(lambda a, b, v: (a @ b) @ v, a, b, v), licence="exact")) == [
        "matmul",
        "matmul",
    ]


@pytest.mark.parametrize(
    "dtypes",
    [("b", "b", "d"), ("b", "d", "d"), ("i1", "i1", "d"), ("d", "f", "f"), ("i1", "i1", "f")],
)
def test_chains_of_several_dtypes_stay(dtypes, rng):
    """The order decides where sums saturate, wrap around or are rounded."""
    a, b, c = (100 * np.abs(rng.standard_normal((9, 9))) for _ in range(3))
    a, b, c = (x.astype(dtype) for x, dtype in zip((a, b, c[:, 0]), dtypes))
    f = lambda a, b, c: (a @ b) @ c
    found = optimize(capture(f, a, b, c))(a, b, c)
    assert found.dtype == f(a, b, c).dtype
    np.testing.assert_allclose(found, f(a, b, c), rtol=1e-12)


def _stable(x):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def _lse(x):
    top = np.max(x, axis=1, keepdims=True)
    return np.log(np.sum(np.exp(x - top), axis=1, keepdims=True)) + top


@pytest.mark.parametrize(
    ("f", "fused"),
    [
        (_stable, ["softmax"]),
        (lambda x: np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True), ["softmax"]),
        (lambda x: np.exp(x) / np.sum(np.exp(x), axis=-1), None),  # sums of other rows
        (_lse, ["logsumexp"]),
        (lambda x: np.log(np.sum(np.exp(x), axis=0)), ["logsumexp"]),
        (lambda x: x - _lse(x), ["log_softmax"]),
        (lambda x: np.log(_stable(x)), ["log_softmax"]),
        (lambda x: 1 / (1 + np.exp(-x)), ["sigmoid"]),
        (lambda x: x * (1 / (1 + np.exp(-x))), ["silu"]),
        (lambda x: np.log(1 + np.exp(x)), ["softplus"]),
    ],
)
def test_fusion(f, fused):
    x = np.random.default_rng(0).standard_normal((4, 4))
    graph = optimize(capture(f, x), ["fuse"])
    assert names(graph) == fused if fused else "softmax" not in names(graph)
    np.testing.assert_allclose(graph(x), f(x), rtol=1e-12, atol=1e-14)


def _whole(x):
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


def _whole_lse(x):
    top = np.max(x)
    return np.log(np.sum(np.exp(x - top))) + top


@pytest.mark.parametrize("shape", [(5,), (3, 4)])
@pytest.mark.parametrize(
    ("f", "fused"),
    [
        (lambda x: np.exp(x) / np.sum(np.exp(x)), "softmax"),
        (_whole, "softmax"),
        (_whole_lse, "logsumexp"),
        (lambda x: x - np.log(np.sum(np.exp(x))), "log_softmax"),
        (lambda x: x - _whole_lse(x), "log_softmax"),
        (lambda x: np.log(_whole(x)), "log_softmax"),
    ],
)
def test_fusion_of_what_sums_over_all_entries(f, fused, shape):
    x = np.random.default_rng(0).standard_normal(shape)
    graph = optimize(capture(f, x), ["fuse"])
    assert names(graph) == [fused]
    assert graph(x).shape == f(x).shape
    np.testing.assert_allclose(graph(x), f(x), rtol=1e-12, atol=1e-14)


def test_what_is_fused_is_stable():
    graph = optimize(capture(lambda x: np.log(np.sum(np.exp(x))), np.ones(3)), ["fuse"])
    np.testing.assert_allclose(graph(np.array([1000.0, 0.0, 0.0])), 1000.0)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("dtype", ["c16", "u1"])
def test_complex_numbers_and_integers_are_not_fused(dtype):
    """Of complex logarithms the branch would be another one; integers have no negative."""
    x = np.array([[1, 2, 3], [3, 0, 5]]).astype(dtype) * (1 + 2j if dtype == "c16" else 1)
    for f in (
        lambda x: np.log(1 + np.exp(x)),
        lambda x: np.log(np.sum(np.exp(x), axis=0)),
        lambda x: x - np.log(np.sum(np.exp(x), axis=0, keepdims=True)),
        lambda x: 1 / (1 + np.exp(-x)),
    ):
        np.testing.assert_allclose(optimize(capture(f, x), ["fuse"])(x), f(x), rtol=1e-3)


def test_a_number_repeated_to_an_array_does_not_adapt():
    x = np.array([0.1, 0.2], np.float32)
    f = lambda c, x: np.broadcast_to(c, (2,)) < x
    assert f(0.1, x).all()  # the float32 above 0.1
    np.testing.assert_array_equal(optimize(capture(f, 0.1, x), licence="exact")(0.1, x), f(0.1, x))


# -- exact to the last bit, for every kind of number -----------------------------------------------
def every_number(dtype):
    dtype = np.dtype(dtype)
    reals = [0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan]
    if dtype.kind == "c":
        return np.array([complex(a, b) for a in reals for b in reals], dtype)
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        return np.array([*reals, limits.smallest_subnormal, limits.max], dtype)
    if dtype.kind == "b":
        return np.array([True, False])
    return np.array([0, 1, 2, 3, np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)


DTYPES = ["f2", "f4", "f8", "c8", "c16", "i1", "u1", "i8", "b"]


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: x * 1,
        lambda x, y: x * 1.0,
        lambda x, y: x * np.float64(1),
        lambda x, y: x / 1,
        lambda x, y: x**1,
        lambda x, y: x**1.0,
        lambda x, y: x - 0,
        lambda x, y: x - (-0.0),
        lambda x, y: x - np.float64(-0.0),
        lambda x, y: -np.negative(x),
        lambda x, y: x - (-y),
        lambda x, y: x + (-y),
        lambda x, y: (-x) / y,
        lambda x, y: (-x) * (-y),
        lambda x, y: x / 8,
        lambda x, y: x / np.float32(8.0),
        lambda x, y: x / 2.0**-20,
        lambda x, y: x / 2.0**20,
        lambda x, y: x / 2.0**-1040,
        lambda x, y: np.where(y == 0, x, x),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_exact_rule_for_every_dtype(f):
    for first, second in itertools.product(DTYPES, repeat=2):
        x, y = np.meshgrid(every_number(first), every_number(second))
        try:
            expected = f(x, y)
        except TypeError:  # of booleans there is no negative
            continue
        graph = pg.graph.check(optimize(capture(f, x, y), licence="exact"))
        found = graph(x, y)
        assert found.dtype == expected.dtype
        a, b = (np.ascontiguousarray(z).view(z.real.dtype) for z in (found, expected))
        np.testing.assert_array_equal(a, b, err_msg=f"{first} {second}")  # nan equals nan here
        if a.dtype.kind == "f":
            zero = b == 0
            np.testing.assert_array_equal(np.signbit(a[zero]), np.signbit(b[zero]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_sums_before_a_division_do_not_overflow():
    for dtype in ("i1", "u1", "f2"):
        x = np.array([100, 60_000, 3], dtype="f8").clip(None, 120 if dtype != "f2" else None)
        x = x.astype(dtype)
        for f in (lambda x: x / 3.0 + x / 3.0, lambda x: x / 3.0 - (x * 0 + 7) / 3.0):
            np.testing.assert_allclose(optimize(capture(f, x))(x), f(x), rtol=1e-2)


def test_parameters_that_are_equal_are_not_the_same():
    f = lambda x: (np.nan_to_num(x, nan=0.0), np.nan_to_num(x, nan=-0.0))
    x = np.array([np.nan, 1.0])
    a, b = optimize(capture(f, x))(x)
    np.testing.assert_array_equal(np.signbit([a, b]), [[False, False], [True, False]])


def test_folding_leaves_errors_to_the_program():
    singular = np.zeros((2, 2))
    singular.flags.writeable = False
    f = lambda x: x @ np.linalg.inv(np.asarray(singular, like=x))
    graph = optimize(capture(f, np.ones((2, 2))))
    with pytest.raises(np.linalg.LinAlgError):
        graph(np.ones((2, 2)))


def test_quotients_are_not_joined_across_precisions():
    half, full = X.astype("f4"), X + 1e-9
    for f in (
        lambda x, y: x / 3.0 + y / 3.0,
        lambda x, y: x / 3.0 - y / 3.0,
        lambda x, y: np.stack([y / np.float32(3.0) + 0.0 * x, x / np.float32(3.0) * y]),
        lambda x, y: (x + 1e3) / np.float64(3.0) - x / np.float64(3.0),
        lambda x, y: (x + 1e3) / y + x / y,
    ):
        graph = optimize(capture(f, half, full))
        np.testing.assert_allclose(graph(half, full), f(half, full), rtol=1e-12)


def test_sums_of_numbers():
    for x in (2.0, np.float64(2.0), np.array(2.0), np.array([2.0])):
        f = lambda x: np.sum(x * 0.25) + np.sum(np.sum(x * x), keepdims=True)
        np.testing.assert_array_equal(optimize(capture(f, x))(x), f(x))


def test_rules_of_numbers_that_become_known():
    zero = np.zeros(())
    zero.flags.writeable = False
    f = lambda x: (
        np.where(x > 0, x, x) * 0.0 + (np.asarray(zero, like=x) - np.asarray(zero, like=x))
    )
    for licence in LICENCES:
        np.testing.assert_array_equal(optimize(capture(f, X), licence=licence)(X), f(X))


def test_operations_of_what_becomes_a_number():
    for f in (
        lambda x: x * np.squeeze(np.eye(1, like=x)),
        lambda x: x * np.squeeze(np.sum(np.ones((2, 1), like=x), axis=0)),
    ):
        np.testing.assert_array_equal(optimize(capture(f, X))(X), f(X))


def test_bodies_of_which_the_same_is_left():
    def f(x):
        inner = [lambda x, g=g: (np.sin(x), g(x)) for g in (np.cos, np.exp)]
        return sum([pg.checkpoint(g)(x)[0] for g in inner])

    np.testing.assert_allclose(optimize(capture(f, X))(X), 2 * np.sin(X), rtol=1e-14)
