"""`Differential`: its checks, its derived reverse rule, and the transforms around it."""

import threading

import numpy as np
import pytest

from pycograd import Var, checkpoint, debug_nans, eval_shape, grad, jvp, vjp, vmap
from pycograd.core import sizes
from pycograd.core.aval import ShapeDtypeStruct, make_aval
from pycograd.core.differential import Differential
from pycograd.core.errors import DefinitionError, NanError
from pycograd.testing import check_grads
from pycograd.transforms.shapes import Shaped

rng = np.random.default_rng(0)


def same(a, **params):
    return make_aval(a.shape, a.dtype)


def scale(a, b, *, power):
    return a * b[..., None] ** power


def scale_shape(a, b, *, power):
    rows = sizes.broadcast(a.shape[:-1], b.shape, operation="under test")
    return make_aval((*rows, a.shape[-1]), np.result_type(a.dtype, b.dtype))


def defined(impl, rules, **options):
    return Differential("under test", impl, rules, register=False, **options)


# A row times a power of a number; its derivatives in plain NumPy.
scaled = defined(
    scale,
    {
        "a": lambda t, b, power: t * b[..., None] ** power,
        "b": lambda t, a, b, power: a * (power * t * b ** (power - 1))[..., None],
    },
    shape=scale_shape,
    core=(1, 0),
)

# The real part of z^2, and z conj(z) beside it: linear over the reals only.
parts = defined(
    lambda z: (np.real(z * z), z * np.conj(z)),
    {"z": lambda t, z: (np.real(2 * z * t), t * np.conj(z) + z * np.conj(t))},
    shape=lambda z: (make_aval(z.shape, np.zeros(0, z.dtype).real.dtype), z),
    core=(0,),
    multi=True,
)


# -- definitions -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rules", "options", "words"),
    [
        ({"a": lambda t, x: t}, {"core": (1,)}, r"not \['x'\]"),
        ({"a": lambda ct: ct}, {"core": (1,)}, "t first, not ct"),
        ({"a": lambda: 0}, {"core": (1,)}, "t first"),
        ({"c": lambda t: t}, {"core": (1,)}, r"unknown operands \['c'\]"),
        ({}, {"core": (1,)}, "no rule"),
        ({"a": lambda t: t}, {}, "give core="),
        ({"a": lambda t: t}, {"batch": lambda *_: None}, "give core="),
        (
            {"a": lambda t: t},
            {"core": (1,), "transposes": {"a": lambda ct: ct}},
            "both a rule and a transpose",
        ),
    ],
)
def test_a_wrong_definition_is_refused(rules, options, words):
    with pytest.raises(DefinitionError, match=words):
        defined(np.sin, rules, shape=same, **options)


def test_parameters_are_known_from_the_shape_rule():
    rules = {"a": lambda t, power, ans: t}
    assert defined(np.sin, rules, shape=lambda a, *, power: a, core=(1,)).operands == ("a",)
    with pytest.raises(DefinitionError, match="power"):
        defined(np.sin, rules, shape=lambda a: a, core=(1,))


def test_a_rule_that_is_not_linear_is_found_out():
    square = defined(np.square, {"a": lambda t, a: t * t}, shape=same, core=(0,))
    with pytest.raises(DefinitionError, match="not linear"):
        grad(lambda x: square(x))(np.float64(3.0))


# -- derivatives -----------------------------------------------------------------------------------
A, B = rng.standard_normal((2, 3)), np.array([1.5, -0.7])


def test_both_operands_to_second_order():
    check_grads(lambda a, b: scaled(a, b, power=3), (A, B))
    check_grads(lambda a: scaled(a, B, power=3), (A,))
    check_grads(lambda b: scaled(A, b, power=2), (B,))


def test_broadcast_operands_are_summed():
    check_grads(lambda a, b: scaled(a, b, power=2), (A[0], B))
    check_grads(lambda a, b: scaled(a, b, power=2), (A, B[:1]))


def test_several_results_over_the_reals():
    z = rng.standard_normal(3) + 1j * rng.standard_normal(3)
    check_grads(lambda z: parts(z), (z,))
    check_grads(lambda z: parts(z)[1], (z,))
    gradient = grad(lambda z: np.sum(parts(z)[0]))(z)[0]
    np.testing.assert_allclose(gradient, np.conj(2 * z))  # dL/da + i dL/db of a^2 - b^2


def test_third_order():
    f = lambda b: np.sum(scaled(A, b, power=3))
    third = grad(lambda b: np.sum(grad(lambda b: np.sum(grad(f)(b)[0]))(b)[0]))(B)[0]
    np.testing.assert_allclose(third, 6 * A.sum(1))


def test_an_operand_without_a_rule_is_a_constant():
    f = defined(scale, {"a": scaled.rules[0].rule}, shape=scale_shape, core=(1, 0))
    found = grad(lambda a, b: np.sum(f(a, b, power=2)))(A, B)
    np.testing.assert_allclose(found[0], np.broadcast_to(B[:, None] ** 2, A.shape))
    assert not found[1].any()


def test_a_linear_operand_is_its_own_differential():
    f = defined(
        scale,
        {"b": scaled.rules[1].rule},
        transposes={"a": lambda ct, b, power: ct * b[..., None] ** power},
        shape=scale_shape,
        core=(1, 0),
    )
    check_grads(lambda a, b: f(a, b, power=2), (A, B))
    check_grads(lambda a, b: f(a, b, power=2), (A + 1j, B - 2j))


def test_only_what_the_rules_name_is_kept():
    _, (_, _, _, kept, _) = scaled.vjp([A, B], (0,), None, {"power": 2})
    assert set(kept) == {"b", "power"}


def test_nothing_is_computed_with_the_tangent():
    runs = []

    def impl(a):
        runs.append(type(a))
        return a * 2.0

    double = defined(impl, {}, transposes={"a": lambda ct: ct * 2.0}, shape=same, core=(0,))
    outer = defined(np.negative, {"a": lambda t: -double(t) / 2}, shape=same, core=(0,))
    np.testing.assert_allclose(grad(lambda x: np.sum(outer(x)))(B)[0], -np.ones(2))
    assert not runs


# -- other transforms ------------------------------------------------------------------------------
def test_batches_align_leading_axes():
    a, b = rng.standard_normal((4, 3)), rng.standard_normal((4, 2)) + 3
    both = vmap(lambda a, b: scaled(a, b, power=2))(a, b)
    np.testing.assert_allclose(both, [scale(x, y, power=2) for x, y in zip(a, b)])
    one = vmap(lambda b: scaled(a[0], b, power=2))(b)
    np.testing.assert_allclose(one, [scale(a[0], y, power=2) for y in b])


def test_a_batching_rule_of_its_own():
    flip = defined(
        lambda x, axis: np.flip(x, axis),
        {"x": lambda t, axis: np.flip(t, axis)},
        operands=("x",),
        shape=lambda x, axis: x,
        batch=lambda size, values, mapped, axis: np.flip(values[0], axis + 1),
    )
    x = rng.standard_normal((3, 2))
    np.testing.assert_allclose(vmap(lambda x: flip(x, axis=0))(x), x[:, ::-1])
    check_grads(lambda x: flip(x, axis=0) ** 2, (x,))


def test_dtypes_are_kept():
    a, b = A.astype(np.float32), B.astype(np.float32)
    for g, x in zip(grad(lambda a, b: np.sum(scaled(a, b, power=2)))(a, b), (a, b)):
        assert g.dtype == x.dtype == np.float32
    assert jvp(lambda a: scaled(a, b, power=2), (a,), (a,))[1].dtype == np.float32


def test_shapes_without_data():
    spec = ShapeDtypeStruct(("N", 3))
    found = eval_shape(grad(lambda a: np.sum(scaled(a, np.float64(2.0), power=2))), spec)
    assert found[0] == spec


def test_by_hand_and_checkpointed():
    leaf = Var(B)
    np.sum(scaled(A, leaf, power=3)).backward()
    want = grad(lambda b: np.sum(scaled(A, b, power=3)))(B)[0]
    np.testing.assert_allclose(leaf.grad, want)
    again = grad(lambda b: np.sum(checkpoint(lambda b: scaled(A, b, power=3))(b)))(B)[0]
    np.testing.assert_allclose(again, want)


def test_a_pullback_runs_again():
    _, pullback = vjp(lambda b: scaled(A, b, power=2), B)
    first, second = pullback(A)[0], pullback(2 * A)[0]
    np.testing.assert_allclose(2 * first, second)


def test_a_nan_is_that_of_the_operation():
    root = defined(np.sqrt, {"a": lambda t, a: t * (a * np.inf)}, shape=same, core=(0,))
    with debug_nans(), np.errstate(all="ignore"), pytest.raises(NanError) as caught:
        grad(lambda x: np.sum(root(x)))(np.array([0.0, 1.0]))
    assert "derivative of under test" in str(caught.value)
    with debug_nans():  # abstract tangents have no nan to look for
        np.testing.assert_allclose(grad(lambda b: np.sum(scaled(A, b, power=1)))(B)[0], A.sum(1))


def test_threads():
    want = grad(lambda b: np.sum(scaled(A, b, power=3)))(B)[0]
    found = [None] * 8

    def work(i):
        for _ in range(20):
            found[i] = grad(lambda b: np.sum(scaled(A, b, power=3)))(B)[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for g in found:
        np.testing.assert_allclose(g, want)


def test_an_abstract_run_around_it_sees_shapes():
    seen = []

    def f(a):
        seen.append(scaled(a, B, power=2))
        return seen[-1]

    assert eval_shape(f, ShapeDtypeStruct((2, 3))) == ShapeDtypeStruct((2, 3))
    assert type(seen[0]) is Shaped
