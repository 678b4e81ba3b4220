"""`grad`, `value_and_grad`, `vjp` and `Var` by hand: arguments, trees, dtypes, errors."""

import asyncio
import copy
import functools
import inspect
import pickle
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import pycograd as pg
from pycograd import grad, value_and_grad, vjp
from pycograd.core.elementwise import Elementwise
from pycograd.core.primitive import bind

Point = namedtuple("Point", "x y")


@dataclass
class Model:
    w: np.ndarray
    b: np.ndarray


def loss(w, x=2.0, *, scale=1.0):
    """The loss."""
    return np.sum(w * x) ** 2 * scale


def same(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12)


# -- arguments -------------------------------------------------------------------------------------
def test_gradients_are_a_tuple_of_one_per_positional_argument():
    value, grads = value_and_grad(lambda x, y: x * y)(3.0, 2.0)
    assert isinstance(value, np.ndarray) and value.shape == () and value == 6.0
    assert grads == (2.0, 3.0) and all(type(g) is float for g in grads)


@pytest.mark.parametrize(
    "argnums, expected", [(0, 2.0), (1, 3.0), (-1, 3.0), ((1, 0), (3.0, 2.0)), ([0], (2.0,))]
)
def test_argnums(argnums, expected):
    f = lambda x, y: x * y
    assert grad(f, argnums)(3.0, 2.0) == expected
    assert grad(f, argnums=argnums)(3.0, 2.0) == expected
    if isinstance(argnums, int):
        assert grad(f, argnum=argnums)(3.0, 2.0) == expected


def test_arguments_not_named_by_argnums_are_not_boxed():
    seen = []

    def f(x, n):
        seen.append(type(n))
        return x**n

    assert grad(f, 0)(2.0, 3.0) == 12.0
    assert seen == [float]


@pytest.mark.parametrize("argnums", [(0, 0), (0, -2), True, "0", 1.5])
def test_argnums_that_make_no_sense(argnums):
    with pytest.raises(TypeError, match="argnums"):
        grad(lambda x, y: x * y, argnums)(1.0, 2.0)


def test_argnums_may_be_numpy_integers():
    assert grad(lambda x, y: x * y, np.int64(1))(3.0, 2.0) == 3.0


def test_arguments_by_name_alone_are_an_error():
    with pytest.raises(TypeError, match="argnames='x'"):
        grad(lambda x: x * x)(x=3.0)


def test_argnames_are_differentiated_by_name():
    g = grad(lambda x, *, k: x * k**2, argnames="k")(2.0, k=3.0)
    assert g == {"k": 12.0}
    both = grad(lambda x, *, k: x * k**2, argnums=0, argnames=("k",))(2.0, k=3.0)
    assert both == (9.0, {"k": 12.0})


def test_keyword_arguments_are_constants():
    (g,) = grad(lambda x, *, k: x * k)(2.0, k=3.0)
    assert g == 3.0


@pytest.mark.parametrize("argnums", [2, -3])
def test_argnums_out_of_range(argnums):
    with pytest.raises(TypeError, match="2 were given"):
        grad(lambda x, y: x * y, argnums)(1.0, 2.0)


def test_has_aux():
    (value, aux), (g,) = value_and_grad(lambda x: (x * x, {"y": x * 3, "n": 7}), has_aux=True)(2.0)
    assert value == 4.0 and g == 4.0 and aux == {"y": 6.0, "n": 7}
    grads, aux = grad(lambda x: (x * x, x), has_aux=True)(2.0)
    assert grads == (4.0,) and not isinstance(aux, pg.Var)


def test_labels_beside_parameters_have_gradient_none():
    g = grad(lambda w, label, name: w[label] * 2.0)(np.ones(3), np.int64(1), "cat")
    assert g[1] is None and g[2] is None
    same(g[0], [0, 2, 0])
    g = grad(lambda p: p["w"] * 2.0)({"w": 1.0, "name": "a", "n": 3})[0]
    assert g == {"w": 2.0, "name": None, "n": None}


@pytest.mark.parametrize(
    "x, fix", [(3, r"3\.0"), (np.arange(3), "astype"), ("a", "str"), (True, "bool")]
)
def test_nothing_to_differentiate(x, fix):
    with pytest.raises(pg.NotDifferentiableError, match=fix):
        grad(lambda x: 1.0)(x)
    with pytest.raises(TypeError):
        grad(lambda y, x: y, 1)(1.0, x)


# -- trees -----------------------------------------------------------------------------------------
def test_every_kind_of_tree():
    tree = {"b": [1.0, (2.0, None)], "a": Point(3.0, np.ones(2))}
    (g,) = grad(lambda t: t["b"][0] * t["b"][1][0] + t["a"].x * np.sum(t["a"].y))(tree)
    assert list(g) == ["b", "a"] and isinstance(g["a"], Point) and g["b"][1][1] is None
    assert g["b"] == [2.0, (1.0, None)] and g["a"].x == 2.0
    same(g["a"].y, [3.0, 3.0])


def test_dataclass():
    model = Model(np.ones((2, 2)), np.zeros(2))
    (g,) = grad(lambda m: np.sum(m.w @ np.ones(2) + m.b))(model)
    assert isinstance(g, Model)
    same(g.w, np.ones((2, 2)))
    same(g.b, np.ones(2))


# -- types and dtypes ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "longdouble", "complex64", "complex128"]
)
@pytest.mark.parametrize(
    "make", [lambda d: np.ones(2, d), lambda d: np.ones((), d), lambda d: np.dtype(d).type(1)]
)
def test_gradients_keep_type_and_dtype(dtype, make):
    x = make(dtype)
    value, (g,) = value_and_grad(lambda x: np.sum(np.abs(x * 3.0) ** 2))(x)
    assert type(g) is type(x) and g.dtype == x.dtype and g.shape == x.shape
    assert value.dtype == np.abs(x).dtype


def test_bfloat16():
    from ml_dtypes import bfloat16

    x = np.array([1.0, 2.0], bfloat16)
    value, (g,) = value_and_grad(lambda x: np.sum(x * x))(x)
    assert g.dtype == bfloat16 and value.dtype == bfloat16
    assert g.astype(float).tolist() == [2.0, 4.0]


def test_python_floats_stay_weak():
    x = np.ones(3, np.float32)
    seen = []

    def f(a, x):
        seen.append((a * 2 * x).dtype)
        return np.sum(a * 2 * x)

    value, (da, dx) = value_and_grad(f)(0.5, x)
    assert seen == [np.float32] and value.dtype == np.float32
    assert type(da) is float and dx.dtype == np.float32


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x / 2.0, lambda x: x**2, lambda x: x**3.0, abs, lambda x: x // 1, lambda x: x % 2,
        lambda x: 1 / x, lambda x: 2.0**x, lambda x: -x, lambda x: x - 1,
    ],
)  # fmt: skip
def test_arithmetic_of_python_floats_stays_weak(f):
    a = np.ones(3, np.float32)
    plain = f(1.5) * a
    value, _ = value_and_grad(lambda x: np.sum(f(x) * a))(1.5)
    assert plain.dtype == value.dtype == np.float32
    assert pg.eval_shape(lambda x: f(x) * a, 1.5).dtype == np.float32
    assert pg.jvp(lambda x: f(x) * a, (1.5,), (1.0,))[0].dtype == np.float32


def test_python_floats_divide_by_zero_as_numpy_does():
    with np.errstate(divide="ignore"):
        assert value_and_grad(lambda x: 1.0 / x)(0.0)[0] == np.inf


def test_mixed_precision_cotangents_have_their_primals_dtype():
    a, b = np.ones(3, np.float32), np.ones(3)
    ga, gb = grad(lambda a, b: np.sum(a * b))(a, b)
    assert ga.dtype == np.float32 and gb.dtype == np.float64


def test_gradients_of_complex_arguments_are_da_plus_i_db():
    z = np.array([1.0 + 2.0j])
    (g,) = grad(lambda z: np.sum(np.real(z) ** 2 + 3.0 * np.imag(z)))(z)
    same(g, [2.0 + 3.0j])


def test_results_are_fresh_and_writable():
    x = np.ones(3)
    a, b = grad(lambda a, b: np.sum(a + b))(x, x)
    a[0] = 5.0
    assert b[0] == 1.0
    c = np.arange(3.0)
    (g,) = grad(lambda x: np.sum(c * x))(x)
    g += 1.0
    same(c, np.arange(3.0))


def test_unused_and_constant():
    assert grad(lambda x, y: x)(1.0, 2.0) == (1.0, 0.0)
    value, (g,) = value_and_grad(lambda x: 5.0)(np.ones(2))
    assert value == 5.0
    same(g, np.zeros(2))


# -- outputs ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "f", [lambda x: x, lambda x: (x[0], x[1]), lambda x: None, lambda x: "a", lambda x: x[0] * 1j]
)
def test_output_must_be_a_real_scalar(f):
    with pytest.raises(pg.NonScalarOutputError):
        grad(f)(np.ones(2))


def test_async_and_generator_functions():
    async def a(x):
        return x

    def b(x):
        yield x

    for f in (a, b, lambda x: a(x)):
        with pytest.raises(pg.AsyncFunctionError):
            grad(f)(1.0)


def test_gradients_inside_coroutines():
    async def work(x):
        await asyncio.sleep(0)
        return grad(lambda y: y * y * x)(3.0)[0]

    async def main():
        return await asyncio.gather(*[work(float(i)) for i in range(4)])

    assert asyncio.run(main()) == [0.0, 6.0, 12.0, 18.0]


# -- metadata, pickling, callables -----------------------------------------------------------------
def test_metadata_and_pickling():
    g = grad(loss)
    assert g.__name__ == "loss" and g.__doc__ == "The loss."
    assert inspect.signature(g) == inspect.signature(loss)
    again = pickle.loads(pickle.dumps(g))
    same(again(np.ones(2))[0], g(np.ones(2))[0])
    both = pickle.loads(pickle.dumps(pg.vmap(pg.grad(loss, argnums=0), in_axes=(0,))))
    assert both(np.ones((3, 2))).shape == (3, 2)


class Net:
    def __init__(self, k):
        self.k = k

    def energy(self, x):
        return x * x * self.k

    def __call__(self, x):
        return x * self.k

    slope = grad(lambda self, x: x * x * self.k, 1)


def test_methods_partials_callables():
    net = Net(3.0)
    assert grad(net.energy)(2.0) == (12.0,)
    assert grad(net)(2.0) == (3.0,)
    assert net.slope(2.0) == 12.0
    assert grad(functools.partial(lambda k, x: k * x * x, 3.0))(2.0) == (12.0,)
    assert grad(np.sin)(0.0) == (1.0,)


def test_exceptions_leave_no_trace():
    def broken(x):
        raise KeyError("mine")

    with pytest.raises(KeyError):
        grad(lambda x: grad(broken)(x)[0])(1.0)
    assert grad(lambda x: x * x)(2.0) == (4.0,)


# -- nesting ---------------------------------------------------------------------------------------
def test_perturbation_confusion():
    # d/dx (x * d/dy (x + y)) = 1
    assert grad(lambda x: x * grad(lambda y: x + y)(2.0)[0])(1.0) == (1.0,)
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0)[0])(3.0) == (6.0,)


def test_third_order():
    f = lambda x: x**4
    g = f
    for _ in range(3):
        g = (lambda h: lambda x: grad(h)(x)[0])(g)
    same(g(2.0), 48.0)


# -- vjp -------------------------------------------------------------------------------------------
def test_vjp_of_trees_is_reusable():
    out, pullback = vjp(lambda x, y: {"a": x * y, "b": (np.sum(x), 3)}, np.arange(3.0), 2.0)
    same(out["a"], [0, 2, 4])
    for k in (1.0, 2.0):
        dx, dy = pullback({"a": np.full(3, k), "b": (k, None)})
        same(dx, np.full(3, 3 * k))
        same(dy, 3 * k)


def test_vjp_checks_cotangents():
    _, pullback = vjp(lambda x: (x, x), np.ones(3))
    with pytest.raises(pg.TreeMismatchError):
        pullback(np.ones(3))
    with pytest.raises(pg.ShapeError):
        pullback((np.ones(3), np.ones(2)))


def test_a_pullback_may_be_called_from_within_itself():
    kept = []
    f = pg.custom_vjp(lambda x: x * 2.0)
    f.defvjp(lambda x: (x * 2.0, None), lambda res, ct: (ct * kept[1](1.0)[0],))
    _, outer = vjp(f, 1.0)
    kept += [outer, vjp(lambda x: x * 5.0, 1.0)[1]]
    assert outer(1.0) == (5.0,)


PULLED = {
    "exp": np.exp,
    "sum of squares": lambda x: np.sum(x * x),
    "itself": lambda x: x,
    "a view": lambda x: np.exp(x).reshape(2, 3),
    "several": lambda x: [np.tanh(x), (np.exp(x) * x)[1:]],
    "a constant": lambda x: (c := np.arange(6.0), x * c)[1:],
    "checkpoint": pg.checkpoint(lambda x: np.exp(x) * x),
}


def overwrite(tree):
    for x in pg.tree_leaves(tree):
        if isinstance(x, np.ndarray) and x.shape:
            x += 1.0


@pytest.mark.parametrize("make", [lambda x: x, lambda x: np.repeat(x, 2)[::2], np.flip])
@pytest.mark.parametrize("name", PULLED)
def test_a_pullback_outlives_writes_into_what_it_was_made_of(name, make):
    f, x = PULLED[name], np.linspace(0.1, 1.0, 6)
    out, pullback = vjp(f, make(x))
    ct = pg.tree_map(np.cos, out)
    expected = pullback(ct)[0]
    primal = make(x.copy())
    out, pullback, aux = vjp(lambda x: (y := f(x), y), primal, has_aux=True)
    overwrite((out, aux, primal))
    for _ in range(2):
        found = pullback(ct)[0]
        same(found, expected)
        found += 1.0
    linear = pg.linearize(f, primal := make(x.copy()))
    overwrite((linear[0], primal))
    same(
        pg.tree_leaves(linear[1](np.ones(6)))[0],
        pg.tree_leaves(pg.jvp(f, (make(x),), (np.ones(6),))[1])[0],
    )


def test_a_pullback_outlives_writes_under_an_outer_transform():
    def f(x):
        y = x * 1.0
        out, pullback = vjp(np.exp, y)
        out += 1.0
        y *= 3.0
        return np.sum(pullback(np.ones(3))[0])

    x = np.arange(3.0)
    assert f(x) == np.sum(np.exp(x))
    same(grad(f)(x)[0], np.exp(x))
    same(pg.jvp(f, (x,), (np.ones(3),))[1], np.sum(np.exp(x)))


def test_writes_through_a_reshaped_input_of_vjp_do_as_numpy_does_or_say_so():
    def f(x):
        y = x.reshape(-1)
        y[0] = 0.0
        return np.sum(x)

    x = np.ones((2, 3))
    out, _ = vjp(f, x)
    assert out == 5.0 and x[0, 0] == 1.0
    with pytest.raises(pg.AmbiguousAliasError):
        vjp(f, np.ones((3, 4))[:, ::2])


def test_complex_cotangents_and_tangents_of_real_values_are_errors():
    _, pullback = vjp(lambda x: x * 2.0, 1.0)
    with pytest.raises(pg.NotDifferentiableError):
        pullback(1j)
    with pytest.raises(pg.NotDifferentiableError):
        pg.jvp(lambda x: x, (1.0,), (1j,))


def test_escaped_values_may_not_be_returned():
    kept = []

    def keep(x):
        kept.append(x)
        return x * x

    grad(keep)(2.0)
    for run in (
        lambda: grad(lambda x: kept[0])(1.0),
        lambda: grad(lambda x: (x, kept[0]), has_aux=True)(1.0),
        lambda: pg.jvp(lambda x: kept[0], (1.0,), (1.0,)),
        lambda: pg.vmap(lambda x: kept[0])(np.ones(2)),
    ):
        with pytest.raises(pg.EscapedTracerError):
            run()


def test_vjp_has_aux():
    out, pullback, aux = vjp(lambda x: (x * x, x), 3.0, has_aux=True)
    assert out == 9.0 and aux == 3.0 and pullback(1.0) == (6.0,)


# -- by hand ---------------------------------------------------------------------------------------
def test_var_by_hand():
    w, b = pg.Var(np.ones((2, 3))), pg.Var(np.zeros(2))
    assert not w.grad.any()
    y = np.tanh(w @ np.ones(3) + b)
    out = np.sum(y * y)
    out.backward()
    (expected_w, expected_b) = grad(lambda w, b: np.sum(np.tanh(w @ np.ones(3) + b) ** 2))(
        np.ones((2, 3)), np.zeros(2)
    )
    same(w.grad, expected_w)
    same(b.grad, expected_b)
    assert not y.grad.any()
    out.backward()  # starts from zero
    same(w.grad, expected_w)
    w.value = w.value - 0.1 * w.grad
    assert w.shape == (2, 3)


def test_var_retain_and_shared_subexpressions():
    x = pg.Var(2.0)
    y = (x * x).retain_grad()
    z = y * y + y
    z.backward()
    same(y.grad, 9.0)
    same(x.grad, 36.0)


def test_gradients_by_hand_are_nobody_elses_memory():
    a, b = pg.Var(np.ones(2)), pg.Var(np.ones(2))
    ct = np.ones(2)
    (a + b).backward(ct)
    a.grad[0] = 7.0
    assert b.grad[0] == 1.0 and ct[0] == 1.0


def test_var_needs_a_scalar_or_a_cotangent():
    v = pg.Var(np.ones(3))
    with pytest.raises(pg.NonScalarOutputError):
        (v * v).backward()
    (v * v).backward(np.arange(3.0))
    same(v.grad, 2 * np.arange(3.0))


def test_var_refuses_boxes_ints_and_conversions():
    v = pg.Var(1.0)
    with pytest.raises(TypeError):
        pg.Var(v)
    with pytest.raises(TypeError):
        pg.Var(np.arange(3))
    for convert in (float, int, complex, np.asarray, np.float64):
        with pytest.raises(TypeError, match="stop_gradient"):
            convert(v)
    with pytest.raises(TypeError):
        copy.deepcopy(v) and pickle.dumps(v)


def test_var_truth_comparison_and_format():
    v = pg.Var(2.0)
    assert v > 1.0 and not v < 1.0 and bool(v) and isinstance(v, np.ndarray)
    assert f"{v:.2f}" == "2.00" and len(pg.Var(np.ones(3))) == 3
    assert 2.0 in pg.Var(np.array([1.0, 2.0]))
    a, b = divmod(pg.Var(7.0), 2.0)
    assert a == 3.0 and b.value == 1.0


# -- powers of Python's numbers ------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "f, at",
    [
        (lambda x: x**0.5, -1.0),
        (lambda x: x**0.5, 0.0),
        (lambda x: x**1.5, 0.0),
        (lambda x: x**-31, 1e-10),
        (lambda x: x**-2, 0.0),
        (lambda x: 1e300**x, 2.0),
        (lambda p: (-2.0) ** p, 2.0),
        (lambda p: (-2.0) ** p, 2.5),
        (lambda p: 0.0**p, 2.0),
    ],
)
def test_a_power_of_python_numbers_is_numpys(f, at):
    strong = np.float64(at)
    value, (slope,) = value_and_grad(f)(at)
    expected, (expected_slope,) = value_and_grad(f)(strong)
    np.testing.assert_array_equal([value, slope], [expected, expected_slope])
    assert value == f(strong) or np.isnan(f(strong))
    assert type(slope) is float
    np.testing.assert_array_equal(pg.jvp(f, (at,), (1.0,)), pg.jvp(f, (strong,), (1.0,)))
    np.testing.assert_array_equal(pg.hessian(f)(at), pg.hessian(f)(strong))
    by_hand = pg.Var(at)
    f(by_hand).backward()
    np.testing.assert_array_equal(by_hand.grad, slope)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_power_with_a_negative_base_has_no_derivative_in_a_real_exponent():
    (g,) = grad(lambda p: np.sum((-2.0) ** p))(np.array([2.0, 3.0]))
    assert np.isnan(g).all()
    assert grad(lambda x, p: x**p)(-2.0, 2.0)[0] == -4.0
    for p in (1.5 + 0.3j, np.array([1.5 + 0.3j])):  # a complex one has one
        for base in (-2.0, np.array([-2.0, 3.0])):
            pg.check_grads(lambda p, base=base: np.sum(np.real(base**p)), (p,), order=2)


def test_a_rule_cannot_drop_an_imaginary_part():
    wrong = Elementwise(
        "wrong", lambda x: 2 * x, [lambda t: t * 2j], dtype=lambda x: x.dtype, register=False
    )
    f = lambda x: bind(wrong, (x,), {})
    with pytest.raises(pg.DefinitionError, match="complex derivative"):
        pg.jvp(f, (1.0,), (1.0,))
    with pytest.raises(pg.DefinitionError, match="complex derivative"):
        vjp(f, np.float16(1.0))[1](np.float16(1.0))


# -- outputs and dtypes --------------------------------------------------------------------------
@pytest.mark.parametrize(
    "f", [np.argmax, lambda x: x[0] > 0, lambda x: np.sum(x > 0), lambda x: 3, lambda x: True]
)
def test_an_integer_or_a_boolean_is_no_loss(f):
    for run in (grad(f), value_and_grad(f), pg.vmap(grad(f))):
        with pytest.raises(pg.NonScalarOutputError, match=r"output is of type (int|bool).*float"):
            run(np.ones((3, 3)) if run.__wrapped__ is not f else np.ones(3))
    assert grad(lambda x: 3.0)(np.ones(2))[0].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">c16"])
@pytest.mark.parametrize("f", [lambda x: x * x, np.sin, lambda x: x[::-1] + x, lambda x: x**3])
def test_gradients_keep_the_order_of_bytes(dtype, f):
    x = np.array([1.0, 2.0], dtype)
    (g,) = grad(lambda x: np.real(np.sum(f(x))))(x)
    assert g.dtype == x.dtype
    np.testing.assert_allclose(
        g, grad(lambda x: np.real(np.sum(f(x))))(x.astype(x.dtype.newbyteorder("=")))[0]
    )
    v = pg.Var(x)
    np.real(f(v).sum()).backward()
    assert v.grad.dtype == x.dtype


@pytest.mark.parametrize("what", ["hello", {1.0, 2.0}, None])
def test_what_is_no_number_gets_no_advice_for_numbers(what):
    with pytest.raises(pg.NotDifferentiableError) as caught:
        grad(lambda x: 1.0, 0)(what)
    assert "astype" not in str(caught.value)
    with pytest.raises(pg.NotDifferentiableError, match="astype"):
        grad(lambda x: 1.0, 0)(np.arange(3))


UPDATES = {
    "-=": lambda v, step: v.__isub__(step),
    "item": lambda v, step: v.__setitem__(Ellipsis, v - step) if v.shape else v.__isub__(step),
    "out=": lambda v, step: np.subtract(v, step, out=v) if v.shape else v.__isub__(step),
    "a view": lambda v, step: v[::-1].__isub__(step[::-1]) if v.shape else v.__isub__(step),
}


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("start", [np.array([1.0, 2.0, 3.0]), 3.0, np.ones(2, np.float32)])
def test_a_leaf_is_updated_in_place_inside_no_grad_only(update, start):
    v = w = pg.Var(start)
    x = start * 1.0
    for _ in range(3):
        np.sum(v * v * v).backward()
        same(v.grad, 3 * x**2)
        x = x - 0.1 * v.grad
        with pg.no_grad():
            UPDATES[update](v, 0.1 * v.grad)
        same(v.value, x)
        assert v is w and v.dtype == np.asarray(start).dtype and type(v.value) is type(start)
    for write in UPDATES.values():
        with pytest.raises(pg.UnsupportedOperationError, match=r"v\.value = "):
            write(v, 0.1 * v.grad)
    same(v.value, x)
    y = v * 1.0
    y -= 1.0
    np.sum(y * y).backward()
    same(v.grad, 2 * (x - 1.0))


def test_augmented_assignment_of_a_leaf_keeps_the_leaf():
    for start in (np.ones(3), 1.0):
        v = w = pg.Var(start)
        with pg.no_grad():
            v -= 0.5
            v **= 2.0
        assert v is w
        np.sum(v * 3.0).backward()
        same(v.grad, 3.0 + 0.0 * start)


def test_a_leaf_is_nobody_elses_memory():
    x = np.arange(3.0)
    v = pg.Var(x)
    out = np.sum(v * v)
    x += 1.0
    out.backward()
    same(v.grad, 2 * np.arange(3.0))
    v.value = x
    out = np.sum(v * v)
    x += 1.0
    out.backward()
    same(v.grad, 2 * np.arange(3.0) + 2)


def test_the_value_of_a_leaf_is_an_array_of_its_dtype():
    v, w = pg.Var(np.ones(3, np.float32)), pg.Var(2.0)
    for new in ([1, 2, 3], np.arange(1, 4), (1.0, 2.0, 3.0), np.arange(1.0, 4.0)):
        v.value = new
        assert type(v.value) is np.ndarray and v.dtype == np.float32
        np.sum(v * v).backward()
        assert v.grad.dtype == np.float32
        same(v.grad, [2, 4, 6])
    v.value = np.ones(2)  # another batch
    same(v.grad, np.zeros(2))
    for new in (3, np.float64(3.0), np.array(3.0)):
        w.value = new
        assert type(w.value) is float
    for new in (v, v * 2.0, w):
        with pytest.raises(pg.ConversionError):
            v.value = new
    for new in ("a", None, [1j, 2.0], np.array([object()])):
        with pytest.raises(pg.NotDifferentiableError):
            v.value = new
    with pytest.raises(pg.ShapeError):
        w.value = np.ones(3)
    with pytest.raises(pg.ConversionError):
        grad(lambda x: (setattr(w, "value", x), x)[1])(1.0)


def test_cotangents_by_hand_that_would_be_lost_are_refused():
    v = pg.Var(np.ones(2))
    with pytest.raises(pg.ConversionError, match=r"ct\.value"):
        (v**3).backward(pg.Var(np.ones(2)))
    with pytest.raises(pg.NotDifferentiableError, match="complex"):
        (v * 2.0).backward(np.array([1j, 1j]))
    z = pg.Var(np.array([1.0 + 1j]))
    (z * 2.0).backward(np.array([1.0]))
    same(z.grad, [2.0 + 0j])


def test_leaves_made_by_hand_meet_other_transforms():
    v, w = pg.Var(np.arange(3.0)), pg.Var(2.0)
    out = grad(lambda x: np.sum(x * v * w))(np.ones(3))[0]
    np.sum(out).backward()
    same(v.grad, np.full(3, 2.0))
    same(w.grad, 3.0)
    (np.stack([v, v * w]) @ np.ones(3)).sum().backward()
    same(v.grad, np.full(3, 3.0))
    np.sum(pg.vmap(lambda x: x * v)(np.ones((2, 3)))).backward()
    same(v.grad, np.full(3, 2.0))
    np.sum(pg.checkpoint(lambda x: x * v * w)(v)).backward()
    same(v.grad, 4 * np.arange(3.0))
    same(copy.copy(v.value), v.value)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.backward(),
        lambda x: np.sum(x.grad),
        lambda x: x.retain_grad(),
        lambda x: (x * 1.0).backward(),
    ],
)
def test_what_is_for_vars_made_by_hand_says_so_elsewhere(f):
    for run in (
        lambda: grad(f)(np.ones(3)),
        lambda: grad(f)(1.0),
        lambda: pg.jvp(f, (1.0,), (1.0,)),
        lambda: pg.vmap(f)(np.ones(3)),
    ):
        with pytest.raises(AttributeError, match="made by hand"):
            run()
    assert not grad(lambda x: x * hasattr(x, "grad"))(1.0)[0]
