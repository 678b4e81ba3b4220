"""Programs where tools of this family fail or are silently wrong: right here, or a clear error."""

import contextlib
import functools
import math
import pickle
import subprocess
import sys
import textwrap
import traceback
import warnings

import numpy as np
import pytest

from pycograd import (
    AmbiguousAliasError,
    ControlFlowError,
    ConversionError,
    EscapedTracerError,
    NonScalarOutputError,
    NotDifferentiableError,
    PlainBufferError,
    PycogradError,
    ShapeDtypeStruct,
    ShapeError,
    eval_shape,
    grad,
    hessian,
    jvp,
    value_and_grad,
    vjp,
    vmap,
)


# -- functions without source -------------------------------------------------------------------
def python(*arguments, text=""):
    result = subprocess.run(
        [sys.executable, *arguments], input=text, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


PROGRAM = (
    "from pycograd import grad; import numpy as np; print(grad(lambda x: np.sin(x) * x)(0.5)[0])"
)


def test_python_dash_c():
    assert float(python("-c", PROGRAM)) == pytest.approx(math.sin(0.5) + 0.5 * math.cos(0.5))


def test_repl():
    lines = PROGRAM.replace("; ", "\n")
    out = python("-i", "-q", text=f"{lines}\nexit()\n")
    assert float(out.split()[-1]) == pytest.approx(math.sin(0.5) + 0.5 * math.cos(0.5))


def test_exec_and_eval():
    scope = {"np": np}
    exec(textwrap.dedent("""
        def f(x):
            def inner(y):
                return np.sin(y) * x
            return inner(x)
    """), scope)  # fmt: skip
    np.testing.assert_allclose(grad(scope["f"])(0.5)[0], math.sin(0.5) + 0.5 * math.cos(0.5))
    np.testing.assert_allclose(grad(eval("lambda x: x ** 3"))(2.0)[0], 12.0)


def test_several_lambdas_on_one_line():
    f, g = lambda x: x * x, lambda x: x * x * x
    assert (grad(f)(2.0)[0], grad(g)(2.0)[0]) == (4.0, 12.0)


def test_nested_lambdas():
    assert grad(lambda x: grad(lambda y: x * y * y)(x)[0])(3.0)[0] == 12.0
    mixed = grad(lambda x: grad(lambda y: x * grad(lambda z: z * z * y)(x)[0])(x)[0])
    assert mixed(3.0)[0] == 12.0  # x * d/dy (2 x y) = 2 x^2


# -- what functions close over ------------------------------------------------------------------
def test_closure_variable_rebound_between_calls():
    scale = 2.0
    g = grad(lambda x: scale * x)
    assert g(1.0)[0] == 2.0
    scale = 5.0
    assert g(1.0)[0] == 5.0


def test_closed_over_array_changed_in_place_between_calls():
    a = np.array([1.0, 2.0])
    g = grad(lambda x: np.sum(a * x))
    first = g(np.ones(2))[0]
    a[:] = 7.0
    np.testing.assert_array_equal(first, [1.0, 2.0])
    np.testing.assert_array_equal(g(np.ones(2))[0], [7.0, 7.0])


def test_nonlocal():
    def f(x):
        total = 0.0

        def add(v):
            nonlocal total
            total = total + v

        for k in range(1, 4):
            add(x**k)
        return total

    np.testing.assert_allclose(grad(f)(2.0)[0], 1 + 4 + 12)
    np.testing.assert_allclose(vmap(grad(f))(np.array([1.0, 2.0]))[0], [6.0, 17.0])


# -- every kind of callable ---------------------------------------------------------------------
class Model:
    def __init__(self, w):
        self.w = w

    def loss(self, x):
        return np.sum(self.w * x * x)

    def __call__(self, x):
        return self.loss(x)

    @staticmethod
    def cube(x):
        return x**3

    @classmethod
    def make(cls, x):
        return cls(2.0).loss(x)

    @property
    def curvature(self):
        return grad(self.loss)(1.0)[0]

    def set_and_run(self, w, x):
        self.w = w
        return self.loss(x)


def logged(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs)

    return wrapper


@logged
@logged
def decorated(x, *, power=2):
    return x**power


def module_level(x, y=1.0):
    """Doc."""
    return np.sum(x * x) * y


CALLABLES = {
    "method": (Model(3.0).loss, 12.0),
    "instance": (Model(3.0), 12.0),
    "static": (Model.cube, 12.0),
    "class-method": (Model.make, 8.0),
    "decorated": (decorated, 4.0),
    "partial": (functools.partial(decorated, power=3), 12.0),
    "partial-of-method": (functools.partial(Model(3.0).loss), 12.0),
    "partialmethod": (functools.partial(Model.loss, Model(3.0)), 12.0),
    "cached": (functools.cache(lambda: lambda x: x * x)(), 4.0),
    "map": (lambda x: sum(map(np.square, [x, x])), 8.0),
    "map-and-zip": (lambda x: sum(a * b for a, b in zip(map(np.sin, [x]), [1.0])), math.cos(2.0)),
    "reduce": (lambda x: functools.reduce(lambda a, b: a * b, [x] * 3), 12.0),
    "comprehension": (lambda x: sum([x * k for k in range(4)]), 6.0),
    "generator": (lambda x: sum(x * k for k in range(4)), 6.0),
    "default-argument": (lambda x, k=3: x**k, 12.0),
    "ufunc": (np.square, 4.0),
    "star-args": (lambda *xs: sum(x * x for x in xs), 4.0),
    "try-finally": (lambda x: next(iter([x * x])), 4.0),
}


@pytest.mark.parametrize("name", CALLABLES)
def test_callables(name):
    f, expected = CALLABLES[name]
    np.testing.assert_allclose(grad(f)(2.0)[0], expected)
    np.testing.assert_allclose(jvp(f, (2.0,), (1.0,))[1], expected)
    np.testing.assert_allclose(vmap(grad(f))(np.full(3, 2.0))[0], [expected] * 3)
    np.testing.assert_allclose(grad(lambda x: f(x) * 2.0)(2.0)[0], 2 * expected)


def test_transforms_as_decorators_of_methods():
    class Quadratic:
        a = 3.0

        @grad
        def slope(x):
            return x * x

        def energy(self, x):
            return self.a * x * x

    assert Quadratic.slope(2.0)[0] == 4.0
    assert Model(3.0).curvature == 6.0
    assert grad(Quadratic().energy)(1.0)[0] == 6.0


def test_names_docstrings_and_signatures_survive():
    g = grad(module_level)
    assert (g.__name__, g.__doc__, g.__wrapped__) == ("module_level", "Doc.", module_level)
    import inspect

    assert str(inspect.signature(g)) == "(x, y=1.0)"


def test_gradient_functions_pickle():
    x = np.array([1.0, 2.0])
    for make in (grad, value_and_grad, functools.partial(grad, argnums=0), vmap):
        g = pickle.loads(pickle.dumps(make(module_level)))
        expected, found = make(module_level)(x), g(x)
        assert repr(found) == repr(expected)
    nested = pickle.loads(pickle.dumps(vmap(grad(module_level))))
    np.testing.assert_array_equal(nested(np.ones((2, 3)))[0], np.full((2, 3), 2.0))


# -- errors, and what they leave behind ---------------------------------------------------------
def test_an_exception_then_a_correct_call():
    calls = []

    def f(x):
        y = np.sin(x)
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("mine")
        return y

    def outer(x):
        try:
            return grad(f)(x)[0]
        except ValueError:
            return grad(f)(x)[0]

    np.testing.assert_allclose(grad(outer)(0.5)[0], -np.sin(0.5))
    for transform in (lambda g: jvp(g, (0.5,), (1.0,)), lambda g: vmap(g)(np.ones(2))):
        calls.clear()
        with pytest.raises(ValueError, match="mine"):
            transform(f)
        transform(f)


def test_tracebacks_point_at_the_line_of_the_user():
    def wrong(a, b):
        c = a + 1.0
        return np.sum(c @ b)  # the culprit

    for run in (
        lambda: grad(wrong)(np.ones((3, 4)), np.ones((5, 6))),
        lambda: eval_shape(wrong, ShapeDtypeStruct((3, 4)), ShapeDtypeStruct((5, 6))),
        lambda: vmap(wrong)(np.ones((2, 3, 4)), np.ones((2, 5, 6))),
        lambda: jvp(wrong, (np.ones((3, 4)), np.ones((5, 6))), (np.ones((3, 4)), np.ones((5, 6)))),
    ):
        with pytest.raises(ShapeError) as caught:
            run()
        message = str(caught.value)
        assert "matmul" in message and "(3, 4)" in message and "(5, 6)" in message
        line = test_tracebacks_point_at_the_line_of_the_user.__code__.co_firstlineno + 3
        assert f"{__file__}:{line}" in message
        lines = [frame.line for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert any("the culprit" in (text or "") for text in lines)


def test_an_escaped_value_is_an_error_that_says_so():
    kept = []
    grad(lambda x: kept.append(x * 2.0) or x)(1.0)
    with pytest.raises(EscapedTracerError, match="lambda"):
        kept[0] + 1.0
    kept.clear()
    vmap(lambda x: kept.append(x * 2.0) or x)(np.ones(2))
    with pytest.raises(EscapedTracerError):
        kept[0] + 1.0
    kept.clear()
    jvp(lambda x: kept.append(x * 2.0) or x, (1.0,), (1.0,))
    with pytest.raises(EscapedTracerError):
        kept[0] + 1.0


def test_outputs_and_arguments_that_have_no_gradient():
    with pytest.raises(NonScalarOutputError, match=r"\(3,\).*jacobian"):
        grad(np.sin)(np.ones(3))
    with pytest.raises(NonScalarOutputError, match="complex"):
        grad(np.sin)(1j)
    with pytest.raises(NotDifferentiableError, match=r"3\.0"):
        grad(lambda x: x * x)(3)

    async def later(x):
        return x

    def stream(x):
        yield x

    for f in (later, stream):
        with pytest.raises(TypeError, match=f.__name__):
            grad(f)(1.0)


# -- kinks --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: x**x, 1.0, 1.0),
        (lambda x: 2.0**x, 3.0, 8 * math.log(2)),
        (lambda x: 0.0**x, 2.0, 0.0),
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**1, 0.0, 1.0),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: x**2.0, -3.0, -6.0),
        (lambda x: np.power(x, 3), -2.0, 12.0),
        (lambda x: abs(x), 0.0, 0.0),
        (lambda x: np.maximum(x, 0.0), 0.0, 0.5),
        (lambda x: np.where(x > 0, x, 0.0), 0.0, 0.0),
        (lambda x: np.sqrt(np.where(x > 0, x, 1.0)) * (x > 0), 0.0, 0.0),
    ],
)
def test_powers_and_kinks_at_a_point(f, x, expected):
    with np.errstate(all="ignore"):
        assert grad(f)(x)[0] == pytest.approx(expected)
        assert jvp(f, (x,), (1.0,))[1] == pytest.approx(expected)
        assert grad(lambda v: np.sum(f(v)))(np.array([x, x]))[0] == pytest.approx([expected] * 2)


def test_prod_with_zeros():
    f = np.prod
    np.testing.assert_array_equal(grad(f)(np.array([2.0, 0.0, 3.0]))[0], [0.0, 6.0, 0.0])
    np.testing.assert_array_equal(grad(f)(np.array([0.0, 0.0, 3.0]))[0], [0.0, 0.0, 0.0])
    x = np.array([2.0, 0.0, 3.0])
    h = grad(lambda x: grad(f)(x)[0][0])(x)[0]
    np.testing.assert_allclose(h, [0.0, 3.0, 0.0])
    np.testing.assert_allclose(
        hessian(f)(np.array([0.0, 0.0, 3.0])), [[0, 3, 0], [3, 0, 0], [0, 0, 0]]
    )


@pytest.mark.parametrize("spread", [np.std, np.var])
def test_spread_at_zero_variance(spread):
    np.testing.assert_array_equal(grad(spread)(np.full(4, 3.0))[0], np.zeros(4))
    np.testing.assert_array_equal(jvp(spread, (np.full(4, 3.0),), (np.ones(4),))[1], 0.0)


def test_hessians_of_sort_and_partition():
    x = np.array([3.0, 1.0, 2.0, 5.0])
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    for order in (np.sort, lambda v: np.partition(v, 2), lambda v: v[np.argsort(v)]):
        ranks = np.argsort(np.argsort(x))
        if order not in (np.sort,):
            y = order(x)
            ranks = np.array([int(np.flatnonzero(y == entry)[0]) for entry in x])
        f = lambda v, order=order: np.sum(weights * order(v) ** 3)
        np.testing.assert_allclose(grad(f)(x)[0], 3 * weights[ranks] * x**2)
        np.testing.assert_allclose(hessian(f)(x), np.diag(6 * weights[ranks] * x))


def test_ties_share_equally():
    x = np.array([2.0, 5.0, 5.0, 1.0])
    for f in (np.max, np.amax, lambda v: v.max(), lambda v: np.maximum.reduce(v)):
        np.testing.assert_array_equal(grad(f)(x)[0], [0, 0.5, 0.5, 0])
        np.testing.assert_array_equal(jvp(f, (x,), (np.array([1.0, 2.0, 4.0, 8.0]),))[1], 3.0)
    np.testing.assert_array_equal(grad(lambda v: -np.min(-v))(x)[0], [0, 0.5, 0.5, 0])
    np.testing.assert_array_equal(vmap(grad(np.max))(np.stack([x, x * 0]))[0][1], [0.25] * 4)
    np.testing.assert_array_equal(grad(lambda v: np.sum(np.maximum(v, v)))(x)[0], np.ones(4))


def test_clip_on_its_closed_interval():
    g = grad(lambda v: np.sum(np.clip(v, -1.0, 1.0)))(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))[0]
    np.testing.assert_array_equal(g, [0, 1, 1, 1, 0])


def test_complex_absolute_value_at_zero():
    z = np.array([0j, 3 + 4j])
    np.testing.assert_allclose(grad(lambda z: np.sum(np.abs(z)))(z)[0], [0, 0.6 + 0.8j])
    with np.errstate(all="ignore"):
        second = grad(lambda z: np.sum(np.abs(grad(lambda z: np.sum(np.abs(z)))(z)[0])))(z)[0]
    assert np.all(np.isfinite(second))


def test_the_gradient_of_a_real_loss_of_complex_numbers():
    np.testing.assert_allclose(grad(lambda z: np.real(z * z))(1 + 2j)[0], 2 * np.conj(1 + 2j))
    np.testing.assert_allclose(grad(lambda z: np.abs(z) ** 2)(1 + 2j)[0], 2 * (1 + 2j))


# -- batches ------------------------------------------------------------------------------------
def test_boolean_masks_under_vmap_of_grad():
    def f(x, mask):
        return np.sum(np.where(mask, x * x, 0.0)) + np.sum((x > 0) * x)

    x = np.array([[1.0, -2.0, 3.0], [-1.0, 2.0, -3.0]])
    mask = np.array([[True, False, True], [False, True, True]])
    expected = np.where(mask, 2 * x, 0) + (x > 0)
    np.testing.assert_array_equal(vmap(grad(f))(x, mask)[0], expected)


def test_indexing_with_a_mask_that_all_rows_share():
    mask = np.array([True, False, True])
    g = vmap(grad(lambda x: np.sum(x[mask] ** 2)))(np.ones((2, 3)))[0]
    np.testing.assert_array_equal(g, [[2, 0, 2]] * 2)


def test_indexing_with_a_mask_that_differs_between_rows_is_an_error():
    with pytest.raises(PycogradError, match="where"):
        vmap(lambda x, m: np.sum(x[m]))(np.ones((2, 3)), np.array([[True, False, True]] * 2))


def test_vmap_of_functions_that_take_gradients():
    g = lambda x: np.sum(np.sin(x) * x)
    xs = np.linspace(0.0, 1.0, 6).reshape(2, 3)
    expected = np.cos(xs) * xs + np.sin(xs)
    np.testing.assert_allclose(vmap(lambda x: grad(g)(x)[0])(xs), expected)
    f = lambda a, x: np.sum(a * np.sin(x))
    np.testing.assert_allclose(vmap(grad(f, argnums=1))(xs, xs), xs * np.cos(xs))
    np.testing.assert_allclose(vmap(grad(f, argnums=1), (None, 0))(xs[0], xs), xs[0] * np.cos(xs))


def test_indexing_a_plain_table_under_vmap():
    table = np.arange(12.0).reshape(4, 3)
    i = np.array([2, 0, 3])
    rows = vmap(lambda table, i: table[i], (None, 0))(table, i)
    np.testing.assert_array_equal(rows, table[i])
    g = grad(lambda t: np.sum(vmap(lambda t, i: t[i] ** 2, (None, 0))(t, i)))(table)[0]
    expected = np.zeros_like(table)
    expected[i] = 2 * table[i]
    np.testing.assert_array_equal(g, expected)


@pytest.mark.parametrize(
    "branch", [lambda x: x if x > 0 else -x, lambda x: x if x.sum() else 0 * x]
)
def test_a_python_branch_on_a_value_that_is_not_known(branch):
    with pytest.raises(ControlFlowError, match=r"np\.where"):
        vmap(branch)(np.array([1.0, -1.0]))
    with pytest.raises(ControlFlowError, match=r"np\.where"):
        eval_shape(branch, ShapeDtypeStruct(()))
    with pytest.raises(ControlFlowError):
        vmap(lambda x: 1.0 if np.any(x > 0) else 0.0)(np.ones((2, 2)))
    assert grad(branch)(-2.0)[0] == -1.0 or grad(branch)(-2.0)[0] == 1.0  # known under grad


def test_a_python_branch_on_an_array_is_numpys_own_error():
    with pytest.raises(ValueError, match="ambiguous"):
        grad(lambda x: np.sum(x) if x > 0 else 0.0)(np.ones(3))


# -- where NumPy's protocols are blind ----------------------------------------------------------
PLAIN = np.arange(6.0)


def add_in_place(x):
    y = np.zeros(3)
    y += x
    return np.sum(y)


def store(x):
    y = np.zeros(3)
    y[0] = x[0]
    return np.sum(y)


def store_slice(x):
    y = np.zeros(3)
    y[:] = x
    return np.sum(y)


def result_into(function, *rest):
    def run(x):
        y = np.zeros(3)
        function(x, *rest, out=y)
        return np.sum(y)

    return run


def applied(function):
    def run(x):
        y = np.zeros(3)
        function(y, x)
        return np.sum(y)

    return run


BLIND = {
    "math": lambda x: math.exp(x[0]),
    "math-two": lambda x: math.hypot(x[0], 1.0),
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[0]) * 1.0,
    "complex": lambda x: abs(complex(x[0])),
    "np.float64": lambda x: np.float64(x[0]),
    "np.array": lambda x: np.sum(np.array([x[0], x[1]])),
    "np.array-of-box": lambda x: np.sum(np.array(x)),
    "np.asarray": lambda x: np.sum(np.asarray(x)),
    "np.asarray-of-list": lambda x: np.sum(np.asarray([x[0], x[1]])),
    "np.r_": lambda x: np.sum(np.r_[x[0], x[1]]),
    "np.c_": lambda x: np.sum(np.c_[x, x]),
    "np.full": lambda x: np.sum(np.full(3, x[0])),
    "np.full_like": lambda x: np.sum(np.full_like(PLAIN, x[0])),
    "np.poly1d": lambda x: np.poly1d([x[0], 1.0])(2.0),
    "np.vectorize": lambda x: np.sum(np.vectorize(lambda v: v * 2.0)(x)),
    "np.fromiter": lambda x: np.sum(np.fromiter((v for v in x), float)),
    "list-argument": lambda x: np.mean([x[0], x[1]]),
    "list-argument-sum": lambda x: np.sum([x[0], x[1]]),
    "list-argument-max": lambda x: np.max([x[0], x[1]]),
    "plain-dot": lambda x: PLAIN[:3].dot(x),
    "plain-take": lambda x: np.sum(PLAIN.take(x)),
    "plain-repeat": lambda x: np.sum(PLAIN.repeat(x[0])),
    "plain-index": lambda x: np.sum(PLAIN[x]),
    "plain-scalar-index": lambda x: PLAIN[x[0]],
    "range": lambda x: sum(range(x[0])) * 1.0,
    "item-assignment": store,
    "slice-assignment": store_slice,
    "augmented-assignment": add_in_place,
    "out": result_into(np.sin),
    "out-of-binary": result_into(np.add, 1.0),
    "out-of-function": result_into(np.cumsum),
    "copyto": applied(np.copyto),
    "put": applied(lambda y, x: np.put(y, [0], x[0])),
    "place": applied(lambda y, x: np.place(y, y == 0, x)),
    "putmask": applied(lambda y, x: np.putmask(y, y == 0, x)),
    "fill": applied(lambda y, x: y.fill(x[0])),
    "put-method": applied(lambda y, x: y.put([0], x[0])),
    "fill_diagonal": lambda x: (y := np.zeros((3, 3)), np.fill_diagonal(y, x), np.sum(y))[2],
    "ufunc-at": applied(lambda y, x: np.add.at(y, [0], x[0])),
    "object-array": applied(lambda y, x: y.astype(object).__iadd__(x)),
}
POINT = np.array([0.0, 1.0, 2.0])
TRANSFORMS = {
    "grad": lambda f, **how: grad(f, **how)(POINT),
    "jvp": lambda f, **how: jvp(f, (POINT,), (np.ones(3),), **how),
    "vmap": lambda f, **how: vmap(f, **how)(np.array([POINT] * 2)),
    "eval_shape": lambda f, **how: eval_shape(f, ShapeDtypeStruct((3,)), **how),
    "rr": lambda f, **how: grad(lambda x: np.sum(grad(f, **how)(x)[0]), **how)(POINT),
}
# Those that stay errors in the transparent mode: what they ask for has no derivative, or no array
# of the function's own is there to take the value.
REFUSED = {"int", "np.poly1d", "plain-repeat", "plain-index", "plain-scalar-index", "range",
           "object-array"}  # fmt: skip
REFUSED_BY_NUMPY = {"plain-take"}  # numbers that are no places


def refusal(run):
    """The error of ours that `run` ends in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((PycogradError, ValueError)) as caught:
            run()
    # Where NumPy stores single numbers it puts a ValueError of its own in front of ours.
    error = caught.value if isinstance(caught.value, PycogradError) else caught.value.__cause__
    assert isinstance(error, PycogradError)
    return str(error)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("program", BLIND)
def test_never_detached_silently(program, transform):
    """A clear error with the fix, in every mode: never a plain result and never a number."""
    error = refusal(lambda: TRANSFORMS[transform](BLIND[program], transparent=False))
    assert "np." in error or "stop_gradient" in error


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("program", sorted(REFUSED))
def test_never_detached_silently_in_the_transparent_mode(program, transform):
    for how in ({}, {"transparent": True}):
        error = refusal(lambda how=how: TRANSFORMS[transform](BLIND[program], **how))
        assert "np." in error or "stop_gradient" in error


@pytest.mark.parametrize("program", sorted(BLIND.keys() - REFUSED - REFUSED_BY_NUMPY))
def test_answered_where_protocols_are_blind(program):
    f = BLIND[program]
    x = POINT + np.array([0.1, 0.2, 0.3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [(f(x + h) - f(x - h)) / 2e-6 for h in 1e-6 * np.eye(3)]
        np.testing.assert_allclose(grad(f)(x)[0], expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(jvp(f, (x,), (np.ones(3),))[1], sum(expected), rtol=1e-5)
        np.testing.assert_allclose(vmap(f)(np.stack([x, x])), [f(x)] * 2)
        assert eval_shape(f, x).shape == ()
        second = grad(lambda x: np.sum(grad(f)(x)[0]))(x)[0]
        assert second.shape == (3,) and np.all(np.isfinite(second))


def test_membership_in_a_plain_array_is_a_constant():
    f = lambda x: x * 2.0 if x in PLAIN else x
    assert (grad(f)(3.0)[0], grad(f)(3.5)[0]) == (2.0, 1.0)
    with pytest.raises(PycogradError):
        vmap(f)(np.array([3.0, 3.5]))


@pytest.mark.parametrize(
    "program",
    [
        name
        for name in BLIND
        if BLIND[name] in (add_in_place,) or name.startswith(("out", "copyto"))
    ],
)
def test_the_error_of_a_plain_buffer_names_the_fix(program):
    with pytest.raises(PlainBufferError, match=r"like=|y = y \+ x"):
        TRANSFORMS["grad"](BLIND[program], transparent=False)


@pytest.mark.parametrize("program", ["math", "float", "np.array", "list-argument", "plain-dot"])
def test_the_error_of_a_conversion_names_the_fix(program):
    fix = {"math": r"np\.exp", "float": "stop_gradient", "plain-dot": "@"}.get(
        program, r"np\.stack"
    )
    with pytest.raises(ConversionError, match=fix):
        TRANSFORMS["grad"](BLIND[program], transparent=False)


def test_the_named_fixes_work():
    x = np.array([0.5, 1.0, 2.0])

    def fixed(x):
        y = np.zeros(3, like=x)
        y[0] = x[0] ** 2
        y[1:] += x[1:]
        return np.sum(y * y) + np.mean(np.stack([x[0], x[1]])) + np.sum(PLAIN[:3] @ x)

    g = grad(fixed)(x)[0]
    expected = np.array([4 * 0.5**3 + 0.5 + 0.0, 2 * 1.0 + 0.5 + 1.0, 2 * 2.0 + 2.0])
    np.testing.assert_allclose(g, expected)
    np.testing.assert_allclose(vmap(grad(fixed))(np.stack([x, x]))[0], [expected] * 2)
    h = 1e-6
    difference = (fixed(x + h) - fixed(x - h)) / (2 * h)
    np.testing.assert_allclose(jvp(fixed, (x,), (np.ones(3),))[1], difference, rtol=1e-6)


def test_an_aliased_augmented_assignment_on_a_plain_array_changes_nothing():
    y = np.zeros(3)
    alias = y

    def f(x):
        nonlocal y
        y += x
        return np.sum(y)

    with pytest.raises(PlainBufferError):
        grad(f)(np.ones(3))
    np.testing.assert_array_equal(alias, np.zeros(3))


def test_constants_stay_plain():
    def f(x):
        n = int(np.prod(x.shape))
        root = float(np.sqrt(4.0))
        mask = np.array([True, False, True])
        index = np.argsort(np.array([3, 1, 2]))
        return np.sum(x[mask]) * root / n + np.sum(x[index] * np.arange(3))

    np.testing.assert_allclose(grad(f)(np.ones(3))[0], [2 / 3 + 2.0, 0.0, 2 / 3 + 1.0])


def test_an_argument_that_is_written_to_changes_inside_alone():
    x = np.array([1.0, 2.0, 3.0])

    def f(x):
        x[0] = x[1] * x[2]
        x *= 2.0
        return np.sum(x)

    np.testing.assert_array_equal(grad(f)(x)[0], [0.0, 2 * (1 + 3.0), 2 * (1 + 2.0)])
    np.testing.assert_array_equal(x, [1.0, 2.0, 3.0])


def scaled_scalar(x):
    s = t = x[0]
    s *= np.array([1.0, 2.0])  # a new value: NumPy's scalars are immutable
    return np.sum(s) * t


def written_copy_of_a_scalar(x):
    s = x[1]
    v = s[None]  # a copy
    v *= 2.0
    return np.sum(v) * s


@pytest.mark.parametrize(
    ("f", "slope"), [(scaled_scalar, [12.0, 0.0]), (written_copy_of_a_scalar, [0.0, 12.0])]
)
def test_scalars_are_no_buffers(f, slope):
    x = np.array([2.0, 3.0])
    np.testing.assert_allclose(grad(f)(x)[0], slope)
    np.testing.assert_allclose(jvp(f, (x,), (np.ones(2),))[1], sum(slope))
    np.testing.assert_allclose(vmap(f)(np.stack([x, x])), [f(x)] * 2)
    np.testing.assert_allclose(vmap(grad(f))(np.stack([x, x]))[0], [slope] * 2)
    assert eval_shape(f, x) == ShapeDtypeStruct(())


# -- transforms of transforms -------------------------------------------------------------------
def test_shapes_of_gradients():
    def loss(w, x):
        return np.sum(np.tanh(x @ w))

    w, x = ShapeDtypeStruct((4, 9)), ShapeDtypeStruct(("B", 4))
    gw, gx = eval_shape(grad(loss), w, x)
    assert (gw, gx) == (w, x)
    per_example = eval_shape(vmap(grad(loss), (None, 0)), w, ShapeDtypeStruct((7, 4)))
    assert per_example == (ShapeDtypeStruct((7, 4, 9)), ShapeDtypeStruct((7, 4)))


def test_no_memory_is_needed_for_shapes():
    big = ShapeDtypeStruct((100_000, 100_000))
    assert eval_shape(lambda a, b: a @ b, big, big) == big
    assert eval_shape(grad(lambda a: np.sum(a @ a)), big) == (big,)


# -- float32 ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.where(x > 0, x, 0.0),
        lambda x: np.where(x > 0, 1.0, x * 2),
        lambda x: np.max(x),
        lambda x: np.std(x),
        lambda x: np.var(x, ddof=1),
        lambda x: np.mean(x),
        lambda x: np.log2(np.abs(x)),
        lambda x: np.clip(x, -1, 1),
        lambda x: np.maximum(x, 0) * 3,
        lambda x: 1 / (1 + np.exp(-x)),
        lambda x: np.sort(x),
        lambda x: np.cumsum(x),
        lambda x: np.prod(x),
        lambda x: np.concatenate([x, x]) * 0.5,
        lambda x: np.stack([x, x])[0] ** 2,
        lambda x: x[[0, 1]] ** 0.5,
        lambda x: np.pad(x, 1),
        lambda x: np.einsum("i,i->", x, x),
        lambda x: np.outer(x, x),
        lambda x: np.median(x) if hasattr(np, "median") else x,
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_narrow_floats_stay_narrow(f, dtype):
    x = np.array([1.5, 0.25, 2.0], dtype)

    def loss(x):
        return np.sum(f(x))

    expected = loss(x).dtype
    value, (g,) = value_and_grad(loss)(x)
    assert (value.dtype, g.dtype) == (expected, x.dtype)
    value, tangent = jvp(loss, (x,), (np.ones_like(x),))
    assert (np.asarray(value).dtype, np.asarray(tangent).dtype) == (expected, expected)
    assert vmap(grad(loss))(np.stack([x, x]))[0].dtype == x.dtype
    assert grad(lambda x: np.sum(grad(loss)(x)[0]))(x)[0].dtype == x.dtype
    assert eval_shape(loss, x).dtype == expected


def test_scalars_keep_their_type():
    assert type(grad(lambda x: x * x)(3.0)[0]) is float
    assert type(grad(lambda x: np.abs(x))(3j)[0]) is complex
    for kind in (np.float16, np.float32, np.float64, np.longdouble):
        g = grad(lambda x: 2.0 * np.sin(x) * x)(kind(0.5))[0]
        assert type(g) is kind
    g = grad(lambda x: x * x)(np.array(3.0, np.float32))[0]
    assert (g.shape, g.dtype) == ((), np.float32)


# -- size ---------------------------------------------------------------------------------------
def test_concatenation_of_two_hundred_thousand_entries():
    n = 200_000
    x = np.linspace(0.0, 1.0, n)
    g = grad(lambda x: np.sum(np.concatenate([x, x * 2.0]) ** 2))(x)[0]
    np.testing.assert_allclose(g, 2 * x + 8 * x)
    parts = grad(lambda xs: np.sum(np.concatenate(xs) ** 2))([x[:5]] * 2000)[0]
    np.testing.assert_allclose(parts[7], 2 * x[:5])


def test_many_reads_of_one_array():
    x = np.linspace(0.0, 1.0, 5000)

    def f(x):
        total = 0.0
        for i in range(len(x)):
            total = total + x[i] * i
        return total

    np.testing.assert_array_equal(grad(f)(x)[0], np.arange(5000.0))


def test_filling_many_outputs():
    def f(x):
        y = np.zeros(2000, like=x)
        for i in range(2000):
            y[i] = x[i % 3] * i
        return np.sum(y)

    index = np.arange(2000)
    np.testing.assert_allclose(
        grad(f)(np.ones(3))[0], [index[index % 3 == k].sum() for k in range(3)]
    )


def test_pullbacks_may_be_called_again():
    out, pullback = vjp(lambda x: np.sin(x) * x, np.array([0.5, 1.0]))
    first, second = pullback(np.ones(2))[0], pullback(np.ones(2))[0]
    np.testing.assert_array_equal(first, second)
    first[:] = 0.0  # the user's own memory
    np.testing.assert_array_equal(pullback(np.ones(2))[0], second)
    np.testing.assert_array_equal(out, np.sin([0.5, 1.0]) * [0.5, 1.0])


def test_gradients_do_not_alias_arguments_or_each_other():
    x, y = np.ones(3), np.ones(3)
    gx, gy = grad(lambda x, y: np.sum(x + y))(x, y)
    gx += 1.0
    np.testing.assert_array_equal(gy, np.ones(3))
    (g,) = grad(lambda x: np.sum(x * y))(x)
    g += 1.0
    np.testing.assert_array_equal(y, np.ones(3))


def test_a_write_through_what_take_gave_is_right_or_refused():
    """Whether `ravel` of it is a view, which the write then reaches, depends on the layout."""

    def f(x):
        c = np.take(x, [0, -1], axis=-1)
        b = c[..., -1].ravel()
        c[0] = 5.0
        return np.sum(b)

    x = np.arange(6.0).reshape(2, 3)
    assert f(x) == 7.0
    for run in (lambda: value_and_grad(f)(x)[0], lambda: jvp(f, (x,), (x,))[0]):
        with contextlib.suppress(AmbiguousAliasError):
            assert run() == 7.0
