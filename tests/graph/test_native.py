"""Functions as programs of another library: `compile_to`, `jit(backend=)`, `grad(backend=)`."""

import pickle
import re

import numpy as np
import pytest

import pycograd
from pycograd import compile_to, device, grad, jit, register_backend, value_and_grad, vmap
from pycograd.core.device import on, trace_of
from pycograd.core.errors import (
    ControlFlowError,
    LoweringNotFoundError,
    NonScalarOutputError,
    NotDifferentiableError,
    UnknownBackendError,
    UnsupportedOperationError,
)
from pycograd.core.tree import tree_leaves
from pycograd.plugins.hub import HUB
from pycograd.plugins.records import BACKENDS
from pycograd.testing.conformance.loopback import LoopbackArray, LoopbackBackend


@pytest.fixture(autouse=True)
def loopback():
    register_backend("loopback", LoopbackBackend)
    yield pycograd.get_backend("loopback")
    HUB.unregister(BACKENDS, "loopback")


RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.standard_normal((3, 2)), "s": 2.0}
X = RNG.standard_normal((4, 3))
BIAS = np.array([0.5, -0.5])


def loss(params, x):
    hidden = np.maximum(x @ params["w"] + BIAS, 0.0)
    return np.sum(hidden**2) + np.max(x) * params["s"]


def test_jit_takes_and_gives_numpy_arrays_and_data_are_inputs():
    f = jit(value_and_grad(loss), backend="loopback")
    for x in (X, 2.0 * X):
        value, (g, gx) = f(PARAMS, x)
        expected, (want, want_x) = value_and_grad(loss)(PARAMS, x)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_allclose(g["w"], want["w"], rtol=1e-12)
        np.testing.assert_allclose(g["s"], want["s"], rtol=1e-12)
        np.testing.assert_allclose(gx, want_x, rtol=1e-12)
    assert f._count == 1
    f(PARAMS, X[:2])
    assert f._count == 2  # another shape


def test_arrays_closed_over_are_read_at_each_call_of_sub_graphs_too():
    held = np.array([1.0, 2.0])

    def f(x):
        return np.sum(pycograd.scan(lambda c, row: (c + row * held, None), np.zeros(2), x)[0])

    compiled = jit(f, backend="loopback")
    x = np.ones((3, 2))
    assert compiled(x) == f(x)
    held *= 10.0
    assert compiled(x) == f(x)
    assert compiled._count == 1


def test_arguments_are_read_at_each_call_whoever_holds_them():
    x = np.ones(3)
    window = np.lib.stride_tricks.sliding_window_view(x, 2)  # read-only, of memory that is not
    for arg in (x, window):
        doubled = jit(lambda x: x * 2.0, backend="loopback")
        own = value_and_grad(lambda x: np.sum(x * x), backend=Differentiating())
        for number in (1.0, 5.0):
            x[:] = number
            np.testing.assert_array_equal(doubled(arg), 2.0 * arg)
            value, (g,) = own(arg)
            assert value == np.sum(arg * arg)
            np.testing.assert_allclose(g, 2.0 * arg, rtol=1e-9)


def test_constants_move_again_when_their_contents_are_others_and_only_then(loopback, monkeypatch):
    moved = []
    move = LoopbackBackend.from_numpy
    monkeypatch.setattr(
        LoopbackBackend, "from_numpy", lambda *args: moved.append(args[1]) or move(*args)
    )
    held, fixed = np.array([1.0, np.nan]), np.array([2.0, 3.0])
    fixed.flags.writeable = False
    view = np.broadcast_to(held, (2, 2))  # read-only, of memory that is not
    f = compile_to(lambda x: x * held + x * view * fixed, "loopback")
    x = loopback.from_numpy(np.ones(2))
    for _ in range(2):
        f(x)
    before = len(moved)
    np.testing.assert_array_equal(f(x).data, held + view * fixed)
    assert len(moved) == before
    held[:] = -0.0, 4.0
    np.testing.assert_array_equal(f(x).data, held + view * fixed)
    assert len(moved) == before + 2
    assert all(np.shares_memory(array, held) for array in moved[before:])
    before = len(moved)
    held[0] = 0.0  # equal, with another sign
    np.testing.assert_array_equal(np.signbit(f(x).data), np.signbit(held + view * fixed))
    assert len(moved) == before + 2


def test_numbers_among_the_arguments_adapt():
    f = jit(lambda x, s: (x * s, s), backend="loopback")
    out, s = f(np.ones(2, np.float32), 3.0)
    assert out.dtype == np.float32
    assert s == 3.0
    assert jit(lambda x: (x, 1), backend="loopback")(np.ones(2))[1] == 1


def test_a_library_whose_results_have_another_dtype_is_put_right(loopback):
    class Wide(LoopbackBackend):
        """Sums are float64 in it."""

        @property
        def lowerings(self):
            def wide(x, axis, keepdims):
                return LoopbackArray(
                    np.asarray(np.sum(x.data, axis, np.float64, keepdims=keepdims))
                )

            return {**{n: self._table[n] for n in self._table}, "sum": wide}

    f = jit(lambda x: np.sum(x, axis=0) * x, backend=Wide())
    for _ in range(2):
        assert f(np.ones((2, 2), np.float32)).dtype == np.float32
    assert "fixed(" in f.source


def test_compile_to_runs_on_the_library_s_own_arrays(loopback):
    f = compile_to(loss, "loopback")
    params = {"w": loopback.from_numpy(PARAMS["w"]), "s": 2.0}
    for x in (X, 2.0 * X):
        out = f(params, loopback.from_numpy(x))
        assert type(out) is LoopbackArray
        np.testing.assert_allclose(out.data, loss(PARAMS, x), rtol=1e-12)
    with pytest.raises(TypeError, match="jit"):
        f(PARAMS, X)


def test_on_arrays_of_the_device_results_stay_there():
    f = jit(lambda x: np.sin(x) * 2.0, backend="loopback")
    with device("loopback"):
        (g,) = grad(lambda x: np.sum(x * x))(np.ones(3))
    out = f(g)
    assert out.device == "loopback:cpu"
    np.testing.assert_allclose(np.asarray(out), 2.0 * np.sin(2.0 * np.ones(3)))


# -- errors ----------------------------------------------------------------------------------------
def test_a_branch_on_data_names_its_line_and_runs_on_the_eager_device():
    def branching(x):
        return np.sum(x) if x[0] > 0 else np.sum(x * x)

    with pytest.raises(ControlFlowError, match=r"test_native\.py"):
        jit(branching, backend="loopback")(np.ones(2))
    with device("loopback"):
        (g,) = grad(branching)(-np.ones(2))
    np.testing.assert_allclose(np.asarray(g), [-2.0, -2.0])


def test_a_missing_lowering_names_primitive_line_and_where_to_read_on():
    class Few(LoopbackBackend):
        lowerings = {}

    with pytest.raises(LoweringNotFoundError) as caught:
        jit(lambda x: np.exp(x), backend=Few())(np.ones(2))
    said = str(caught.value)
    assert said.startswith("primitive 'exp' has no lowering for backend 'loopback' (")
    assert "test_native.py" in said
    assert said.endswith("See: pycograd explain exp")


def test_a_refusal_says_why_and_nothing_else():
    class Refusing(LoopbackBackend):
        lowerings = {}
        refused = {"exp": "it grows too fast"}

    with pytest.raises(LoweringNotFoundError) as caught:
        jit(lambda x: np.exp(x), backend=Refusing())(np.ones(2))
    said = "primitive 'exp' is not lowered by backend 'loopback': it grows too fast ("
    assert str(caught.value).startswith(said)
    assert re.search(r"test_native\.py:\d+\)$", str(caught.value))


def test_what_scipy_computes_says_how_to_leave_the_device():
    integrate = pytest.importorskip("scipy.integrate", reason="no scipy here")

    class Few(LoopbackBackend):
        lowerings = {name: f for name, f in LoopbackBackend().lowerings.items() if name != "ode"}

    def f(x):
        return np.sum(integrate.odeint(lambda y, t, a: -a * y, x, np.arange(3.0), args=(x[0],)))

    for run in (jit(f, backend=Few()), on_device(Few(), grad(f))):
        with pytest.raises(LoweringNotFoundError) as caught:
            run(np.ones(2))
        said = str(caught.value)
        assert "SciPy computes it" in said and "np.asarray(x)" in said
        assert "test_native.py" in said
        assert said.endswith("See: pycograd explain ode")


def on_device(backend, f):
    def run(*args):
        with on(trace_of(backend)):
            return f(*args)

    return run


def test_transforms_around_a_program_are_refused_rather_than_run_on_numpy():
    f = jit(lambda x: np.sum(x * x), backend="loopback")
    for transform in (grad, vmap):
        with pytest.raises(UnsupportedOperationError, match=r"jit\(grad\(f\), backend='loopback'"):
            transform(f)(np.ones((2, 2)))
    outer = jit(grad(lambda x: f(x) * 3.0), backend="loopback")  # one program, theirs inside it
    np.testing.assert_allclose(outer(np.ones(2))[0], [6.0, 6.0])


def test_what_is_no_loss_is_refused_as_by_grad():
    backend = Differentiating()
    with pytest.raises(NonScalarOutputError, match="test_native"):
        grad(lambda x: x * x, backend=backend)(np.ones(2))
    with pytest.raises(NotDifferentiableError):
        grad(lambda x: np.sum(x), backend=backend)(3)
    with pytest.raises(UnsupportedOperationError, match=r"no autodiff.*device\('loopback'\)"):
        grad(loss, backend="loopback")
    assert grad(lambda x: x * x, backend="numpy")(3.0) == (6.0,)
    with pytest.raises(UnknownBackendError, match="loopback"):
        grad(loss, backend="loopbak")


def squares(x):
    return x * x


def test_a_compiled_function_pickles():
    f = pickle.loads(pickle.dumps(jit(squares, backend="numpy:cpu")))
    assert f(np.ones(2) * 3.0).tolist() == [9.0, 9.0]


# -- a library with autodiff -----------------------------------------------------------------------
class Differentiating(LoopbackBackend):
    """It differentiates by differences, but where a rule is given by that rule."""

    own_rules = frozenset({"absolute"})
    asked = 0

    def with_rule(self, forward, backward):
        def run(*operands):
            outs = forward(*operands)
            ones = [self.from_numpy(np.ones(x.shape)) for x in outs]
            self.found = backward(operands, outs, ones)
            self.asked += 1
            return outs

        return run

    def grad_and_value(self, run, leaves, live):
        value, h = run(*leaves), 1e-6
        grads = []
        for i in live:
            g = np.zeros(leaves[i].shape)
            for at in np.ndindex(g.shape):
                moved = [leaves[i].data.copy() for _ in range(2)]
                moved[0][at] += h
                moved[1][at] -= h
                ends = [run(*[LoopbackArray(m) if j == i else x for j, x in enumerate(leaves)])
                        for m in moved]  # fmt: skip
                g[at] = (ends[0].data - ends[1].data) / (2 * h)
            grads.append(self.from_numpy(g))
        return value, grads


def test_native_gradients_have_the_form_of_grad():
    value, grads = value_and_grad(loss, backend=Differentiating())(PARAMS, X)
    expected, wanted = value_and_grad(loss)(PARAMS, X)
    np.testing.assert_allclose(value, expected)
    np.testing.assert_allclose(grads[0]["w"], wanted[0]["w"], atol=1e-6)
    assert isinstance(grads[0]["s"], float)
    np.testing.assert_allclose(grads[1], wanted[1], atol=1e-6)

    g = grad(loss, argnums=1, backend=Differentiating())(PARAMS, X)
    np.testing.assert_allclose(g, wanted[1], atol=1e-6)
    (value, aux), (gx,) = value_and_grad(
        lambda x: (np.sum(x * x), {"twice": 2.0 * x}), has_aux=True, backend=Differentiating()
    )(X)
    np.testing.assert_allclose(aux["twice"], 2.0 * X)
    np.testing.assert_allclose(gx, 2.0 * X, atol=1e-6)


def test_own_rules_stand_in_for_the_library_s():
    backend = Differentiating()
    compile_to(lambda x: np.sum(np.abs(x)), backend)(backend.from_numpy(np.array([-2.0, 0.0, 3.0])))
    assert backend.asked
    (ct,) = backend.found
    assert ct.data.tolist() == [-1.0, 0.0, 1.0]  # the subgradient of 0 is 0


def test_rules_of_custom_functions_are_kept():
    @pycograd.custom_vjp
    def f(x):
        return x * 2.0

    f.defvjp(lambda x: (f(x), None), lambda residual, ct: (ct * 100.0,))
    backend = Differentiating()
    out = compile_to(lambda x: np.sum(f(x)), backend)(backend.from_numpy(np.ones(2)))
    assert float(out.data) == 4.0
    (ct,) = backend.found
    assert ct.data.tolist() == [100.0, 100.0]


def skip_without(name):
    if name not in {r.name for r in HUB.records() if r.state in ("discovered", "active")}:
        pytest.skip(f"no {name} here")


@pytest.mark.parametrize("name", ["torch", "jax", "tf"])
def test_installed_frameworks(name):
    skip_without(name)
    for f in (
        lambda b: jit(value_and_grad(loss), backend=b),
        lambda b: value_and_grad(loss, backend=b),
    ):
        value, grads = f(name)(PARAMS, X)
        expected, wanted = value_and_grad(loss)(PARAMS, X)
        np.testing.assert_allclose(value, expected, rtol=1e-10)
        np.testing.assert_allclose(grads[0]["w"], wanted[0]["w"], rtol=1e-10)
        np.testing.assert_allclose(grads[1], wanted[1], rtol=1e-10)


@pytest.mark.parametrize("name", ["loopback", "torch", "jax", "tf"])
def test_results_are_memory_of_their_own_whatever_memory_the_arguments_have(name):
    skip_without(name)
    fixed = np.arange(4.0)

    def f(x):
        return x, x.T, np.reshape(x, -1), x * 1.0, fixed + x[0, 0]

    compiled = jit(f, backend=name)
    plain = np.arange(6.0).reshape(2, 3)
    frozen = plain.copy()
    frozen.flags.writeable = False
    for x in (plain, frozen, plain[:, ::-1], plain.T, plain[::2], plain.astype(">f8")):
        before = x.copy()
        for _ in range(2):  # the second call is that of compiled code
            outs = compiled(x)
            for out, want in zip(outs, f(x), strict=True):
                np.testing.assert_array_equal(out, want)
            for i, out in enumerate(outs):
                assert not any(np.shares_memory(out, y) for y in (x, fixed, *outs[:i]))
                out[...] = -1.0
            np.testing.assert_array_equal(x, before)


RESULTS = {
    "text beside arrays": (lambda x: ("name", 2.0 * x, object, x), ["name", ..., object, ...]),
    "text alone": (lambda x: {"a": "name", "b": None}, ["name"]),
    "numbers": (lambda x: (2.0 * x, 3, True, 0.5, 1j, x.shape), [..., 3, True, 0.5, 1j, 3]),
}


@pytest.mark.parametrize("name", ["numpy", "loopback", "torch", "jax", "tf"])
@pytest.mark.parametrize(("f", "wanted"), RESULTS.values(), ids=RESULTS)
def test_results_that_are_no_arrays(name, f, wanted):
    skip_without(name)
    backend, x = pycograd.get_backend(name), np.ones(3, np.float32)
    want = [a if w is ... else w for w, a in zip(wanted, tree_leaves(f(x)), strict=True)]
    for compiled in (False, True):
        made = compile_to(f, backend, jit=compiled)
        for _ in range(2):
            outs = tree_leaves(made(backend.from_numpy(x)))
            assert len(outs) == len(want)
            for out, right in zip(outs, want):
                if isinstance(right, (str, type)):
                    assert out is right
                else:  # numbers are arrays of the library as well
                    assert backend.is_array(out)
                    np.testing.assert_array_equal(backend.to_numpy(out), right)
    for out, right in zip(tree_leaves(jit(f, backend=name)(x)), want, strict=True):
        assert type(out) is type(right)
        np.testing.assert_array_equal(out, right)


def in_torch():
    torch = pytest.importorskip("torch", reason="no torch here")
    return lambda f: f, torch.tensor  # which traces nothing


def in_jax():
    jax = pytest.importorskip("jax", reason="no jax here")
    return jax.jit, jax.numpy.asarray


def in_tf():
    tf = pytest.importorskip("tensorflow", reason="no tensorflow here")
    return lambda f: tf.function(lambda x: f(x)), tf.constant  # it traces plain functions


@pytest.mark.parametrize(("name", "inside"), [("torch", in_torch), ("jax", in_jax), ("tf", in_tf)])
def test_a_program_made_inside_a_trace_of_the_framework_holds_nothing_of_it(name, inside):
    held, fixed = np.arange(3.0, dtype=np.float32), np.arange(3.0, dtype=np.float32)
    fixed.flags.writeable = False

    def f(x):
        return np.where(x > 5.0, -np.inf, x / np.sqrt(3.0)) * held + fixed * x

    trace, array = inside()
    compiled = compile_to(f, name)
    x = np.ones(3, np.float32)
    for run in (trace(compiled), compiled, trace(compiled)):
        np.testing.assert_allclose(np.asarray(run(array(x))), f(x), rtol=1e-6)
