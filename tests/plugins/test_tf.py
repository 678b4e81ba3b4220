"""The TensorFlow backend against NumPy: the sample table, conventions, graphs, errors."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
pytest.importorskip("pycograd_tf", reason="pycograd-tf is not installed")

import pycograd as pg
from pycograd.cli import main
from pycograd.core.device import DeviceArray, on, trace_of
from pycograd.core.errors import (
    BackendUnavailableError,
    LoweringNotFoundError,
    UnsupportedDtypeError,
)
from pycograd.core.primitive import REGISTRY
from pycograd.core.tree import tree_leaves
from pycograd.graph.lowered import Lowered
from pycograd.testing.conformance import check_backend
from pycograd.testing.samples import all_samples
from pycograd_tf.backend import EXPECTED_FAILURES, TfBackend
from pycograd_tf.lowerings import OWN_RULES, REFUSED, TABLE
from pycograd_tf.quiet import tensorflow
from results import assert_complete, assert_same, refusals, scalar

tf = tensorflow()
BACKEND = TfBackend()
TRACE = trace_of(BACKEND)
SAMPLES = list(all_samples())


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# -- the sample table, through TensorFlow's graphs -------------------------------------------------
def value(sample):
    run = Lowered(pg.capture(sample.f, *sample.operands), BACKEND)
    arrays = [BACKEND.from_numpy(np.asarray(x)) for x in sample.operands]
    return BACKEND.compile(run.run)(*arrays, *run.moved()), sample.f(*sample.operands)


def gradient(sample):
    f = pg.grad(lambda *xs: scalar(sample.f(*xs)), argnums=sample.wrt)
    want = f(*sample.operands)
    return pg.jit(f, backend=BACKEND)(*sample.operands), want


def native(sample):
    loss = lambda *xs: scalar(sample.f(*xs))
    want = pg.grad(loss, argnums=sample.wrt)(*sample.operands)
    run = pg.grad(loss, argnums=sample.wrt, backend=BACKEND, jit=True)
    return run(*sample.operands), want


WAYS = {"value": value, "gradient": gradient, "native": native}
# Another library's order and phases of eigenvalues and eigenvectors, or derivatives at singular
# matrices, which graphs do not hold.
OTHER = {name.partition(":")[2] for name in EXPECTED_FAILURES}


def cases():
    """Every sample in every way when all tests run; else a fair part of them."""
    for i, sample in enumerate(SAMPLES):
        for j, way in enumerate(WAYS):
            if way != "value" and not sample.wrt:
                continue
            fast = sample.primitive in TABLE and (i + 29 * j) % 96 == 0
            marks = () if fast else (pytest.mark.slow,)
            name = f"{way}-{sample.primitive}-{sample.name}"
            yield pytest.param(way, sample, id=name, marks=marks)


@pytest.mark.parametrize("way, sample", list(cases()))
def test_table_in_graphs(way, sample):
    if f"{sample.primitive}-{sample.name}" in OTHER:
        pytest.skip("declared, with a reason")
    known = [*REFUSED.values(), "of real values alone", "whole degrees", "square matrices"]
    known.append("the first derivative alone")
    with refusals(known, "TensorFlow"):
        got, want = WAYS[way](sample)
    assert_same(got, want)


def test_conformance_of_a_part():
    """A fair part of the kit; `python -m pycograd conformance tf` is all of it."""
    report = check_backend(BACKEND, samples=SAMPLES[::97])
    assert not report.failures, str(report)
    assert report.calls


# -- the table -------------------------------------------------------------------------------------
def test_every_primitive_is_lowered_or_refused_with_a_reason():
    assert_complete(TABLE, REFUSED)
    assert OWN_RULES <= set(TABLE)


def test_a_refusal_says_why():
    import pycograd.scipy.special  # noqa: F401

    with pytest.raises(LoweringNotFoundError, match="'jv' is not lowered by backend 'tf': Tensor"):
        BACKEND.lowering(REGISTRY["jv"])


@pytest.mark.slow
def test_explain_gives_the_reason_of_a_refusal(capsys):
    assert main(["explain", "jv"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("tf ")]
    assert f"none: {REFUSED['jv']}  " in line


WIDE = {
    "exp1": [np.logspace(-6, 2.5, 60)],
    "expi": [np.concatenate([-np.logspace(-6, 2.5, 60), np.logspace(-6, 2, 60)])],
    "log_ndtr": [np.linspace(-60.0, 12.0, 145)],
    "ndtr": [np.linspace(-30.0, 9.0, 79)],
    "ellipe": [np.concatenate([-np.logspace(-3, 3, 40), np.linspace(0.0, 1.0, 41)])],
    "ellipk": [np.concatenate([-np.logspace(-3, 3, 40), np.linspace(0.0, 0.999, 41)])],
    "gamma": [np.linspace(-20.3, 30.0, 90)],
    "rgamma": [np.arange(-9.0, 30.0, 0.5)],
    "gammasgn": [np.linspace(-20.3, 5.0, 60)],
    "exprel": [np.concatenate([np.logspace(-12, 2, 40), -np.logspace(-12, 2, 40)])],
    "sindg": [np.arange(-720.0, 721.0, 7.5)],
    "cosdg": [np.arange(-720.0, 721.0, 7.5)],
    "logit": [np.linspace(0.0, 1.0, 41)],
    "eval_legendre": [np.arange(12)[:, None], np.linspace(-1.0, 1.0, 9)],
    "eval_chebyt": [np.arange(12)[:, None], np.linspace(-1.0, 1.0, 9)],
    "eval_genlaguerre": [np.arange(9)[:, None], 0.7, np.linspace(0.0, 9.0, 9)],
    "eval_jacobi": [np.arange(9)[:, None], 0.7, -0.4, np.linspace(-1.0, 1.0, 9)],
}


@pytest.mark.parametrize("name", WIDE)
def test_what_is_written_here_equals_scipy_far_and_near(name):
    special = pytest.importorskip("scipy.special")
    want = getattr(special, name)(*WIDE[name])
    got = TABLE[name](*[tf.constant(x) if isinstance(x, np.ndarray) else x for x in WIDE[name]])
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-11, atol=1e-13)


# -- dtypes ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_narrow_floats_stay(name):
    dtype = tf.bfloat16.as_numpy_dtype if name == "bfloat16" else np.dtype(name)
    x = np.linspace(0.1, 1.0, 4).astype(dtype)
    f = lambda x: np.sum(np.tanh(x * 2.0) / (x + 1.0))
    with on(TRACE):
        value, (g,) = pg.value_and_grad(f)(x)
    want, (h,) = pg.value_and_grad(f)(x)
    assert value.dtype == want.dtype and g.dtype == h.dtype == x.dtype
    tol = 1e-5 if name == "float32" else 0.05
    np.testing.assert_allclose(np.asarray(g).astype(float), h.astype(float), rtol=tol, atol=tol)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="no wider float here")
def test_a_dtype_that_tensorflow_has_not():
    with pytest.raises(UnsupportedDtypeError, match=r"no .* arrays"):
        BACKEND.from_numpy(np.ones(2, np.longdouble))


def test_neither_side_writes_into_the_memory_of_the_other():
    x = np.ones(64)
    there = BACKEND.from_numpy(x)
    x[:] = 2.0
    home = BACKEND.to_numpy(there)
    assert home.sum() == 64.0
    home[:] = 3.0
    assert BACKEND.to_numpy(there).sum() == 64.0


INTEGERS = [
    ("floor_divide", np.floor_divide),
    ("remainder", np.remainder),
    ("fmod", np.fmod),
    ("left_shift", np.left_shift),
    ("right_shift", np.right_shift),
    ("gcd", np.gcd),
    ("lcm", np.lcm),
    ("maximum", np.maximum),
    ("less", np.less),
]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
@pytest.mark.parametrize("name, ufunc", INTEGERS, ids=[name for name, _ in INTEGERS])
def test_integers_at_their_limits(name, ufunc, dtype):
    info = np.iinfo(dtype)
    few = [info.max, info.max - 1, 0, 1, 3, 8, 7 if info.min == 0 else -7]
    x, y = (a.ravel() for a in np.meshgrid(np.array(few, dtype), np.array(few, dtype)))
    if name == "lcm":  # of larger ones it is out of range
        x, y = x % 11, y % 11
    if name.endswith("shift"):
        y = y % 70
    want = ufunc(x, y)
    with on(TRACE):
        assert_same(ufunc(TRACE.constant(x), TRACE.constant(y)), want)


EDGES = np.array([0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 1e300, -1e-300, 0.1])


@pytest.mark.parametrize(
    "ufunc",
    [
        *(np.floor_divide, np.remainder, np.fmod, np.hypot, np.logaddexp, np.copysign),
        *(np.nextafter, np.heaviside, np.fmax, np.minimum, np.arctan2, np.divide),
    ],
    ids=lambda f: f.__name__,
)
def test_floats_at_the_edges(ufunc):
    x, y = (a.ravel() for a in np.meshgrid(EDGES, EDGES))
    want = ufunc(x, y)
    with on(TRACE):
        got = np.asarray(ufunc(TRACE.constant(x), TRACE.constant(y)))
    np.testing.assert_allclose(got, want, rtol=1e-13)
    known = ~np.isnan(want)
    assert (np.signbit(got) == np.signbit(want))[known].all()


@pytest.mark.parametrize("f", [np.spacing, np.rint, np.trunc, np.sign, np.cbrt, np.frexp, np.sort])
def test_one_float_at_the_edges(f):
    want = f(EDGES)
    with on(TRACE):
        assert_same(f(TRACE.constant(EDGES)), want)


# -- indices ---------------------------------------------------------------------------------------
def test_an_index_out_of_bounds():
    x = np.ones((2, 3))
    with on(TRACE), pytest.raises(IndexError, match="index 7 is out of bounds for axis 1"):
        pg.grad(lambda x: np.sum(x[:, np.array([0, 7])]))(x)
    f = pg.jit(lambda x, i: x[i], backend=BACKEND)
    assert_same(f(x, np.array([-1, 0])), x)
    with pytest.raises(Exception, match=r"not in \[0, 2\)"):  # TensorFlow's own, of its CPU kernel
        f(x, np.array([2, 0]))


def test_an_index_out_of_bounds_under_xla_takes_no_other_entry():
    def f(x, i, j, k):
        y = x.copy()
        y[i] = 0.0
        return x[i], x[i, j], np.sum(x[i] * x[i]), y, k[i]

    run = pg.jit(f, backend=TfBackend(jit_compile=True))
    x, good, bad = np.arange(6.0).reshape(3, 2), np.array([0, -1]), np.array([1, 5])
    assert_same(run(x, good, good, np.arange(3)), f(x, good, good, np.arange(3)))
    rows, pairs, total, written, whole = run(x, bad, good, np.arange(3))
    assert_same(rows[0], x[1])
    assert np.isnan(rows[1]).all() and np.isnan(total) and np.isnan(written).all()
    assert pairs[0] == x[1, 0] and np.isnan(pairs[1])
    assert whole.tolist() == [1, np.iinfo(np.int64).max]


def test_entries_written_twice_keep_the_last():
    def f(x, y):
        x = x.copy()
        x[np.array([0, 1, 0, 0])] = y
        return np.sum(x * np.array([1.0, 2.0, 3.0]))

    x, y = np.ones(3), np.arange(4.0)
    want = pg.value_and_grad(f)(x, y)
    with on(TRACE):
        assert_same(pg.value_and_grad(f)(x, y), want)
    assert_same(pg.jit(pg.value_and_grad(f), backend=BACKEND)(x, y), want)


BASIC = [
    np.s_[1], np.s_[-1, 1:], np.s_[::-1], np.s_[..., ::-2], np.s_[3:0:-1, None], np.s_[2:2],
    np.s_[None, ..., 0], np.s_[:, 5:], np.s_[-1:-4:-1, ::2],
]  # fmt: skip


@pytest.mark.parametrize("key", BASIC, ids=str)
def test_basic_indices_in_both_directions(key):
    x = np.arange(24.0).reshape(4, 6)

    def f(x):
        y = x * 2.0
        y[key] = np.sin(x[key])
        y[key] += x[key] * x[key]
        return np.sum(y * np.cos(x))

    want = pg.value_and_grad(f)(x)
    with on(TRACE):
        assert_same(pg.value_and_grad(f)(x), want)
    assert_same(pg.value_and_grad(f, backend=BACKEND, jit=True)(x), want)


I, J = np.array([0, 2, -1]), np.array([[1], [0]])
ADVANCED = [
    (I,), (np.s_[:], I), (I, 1), (I, np.s_[:], I), (J, I), (np.s_[1:], J, np.s_[::-1], I),
    (np.s_[:], I, I), (None, I), (J, None, I), (0, np.s_[:], I),
]  # fmt: skip


@pytest.mark.parametrize("key", ADVANCED, ids=str)
def test_index_arrays_where_numpy_puts_their_axes(key):
    x = np.arange(81.0).reshape(3, 3, 3, 3)

    def f(x):
        y = x * 2.0
        y[key] += 1.0
        return x[key] * 3.0, y

    want = f(x)
    with on(TRACE):
        assert_same(f(TRACE.constant(x)), want)
    assert_same(pg.jit(f, backend=BACKEND)(x), want)


def test_what_depends_on_the_data_is_refused_in_graphs():
    x = np.array([1.0, -1.0, 2.0])
    f = lambda x: np.sum(x[x > 0.0])
    with on(TRACE):
        assert float(f(TRACE.constant(x))) == 3.0
    graph = BACKEND.compile(lambda x: TABLE["nonzero"](x))
    with pytest.raises(LoweringNotFoundError, match="fixed shapes"):
        graph(BACKEND.from_numpy(x))


# -- conventions of native gradients ---------------------------------------------------------------
KINKS = {
    "abs": (lambda x: np.sum(np.abs(x)), np.zeros(2)),
    "norm": (lambda x: np.linalg.norm(x), np.zeros(2)),
    "max": (lambda x: np.max(x), np.ones(3)),
    "maximum": (lambda x: np.sum(np.maximum(x, 1.0)), np.ones(2)),
    "clip": (lambda x: np.sum(np.clip(x, 0.0, 1.0)), np.array([0.0, 1.0, 2.0])),
    "power": (lambda x: np.sum(x**0.0 + x**2), np.zeros(2)),
    "std": (lambda x: np.std(x), np.ones(3)),
    "ldexp": (lambda x: np.sum(np.ldexp(x, np.array([3, -2, 1040]))), np.array([1.0, 2.0, 1e-300])),
    "prod": (lambda x: np.prod(x), np.array([0.0, 2.0, 0.0, 3.0])),
    "cumprod": (lambda x: np.sum(np.cumprod(x)), np.array([0.0, 2.0, 0.0, 3.0])),
    "complex-abs": (lambda x: np.sum(np.abs(x)), np.array([0.0, 3 + 4j])),
    "complex": (lambda z: np.real(np.sum(z * z * (1 + 2j))), np.array([1 + 2j, -0.5j])),
    "conj": (lambda z: np.imag(np.sum(np.conj(z) ** 3)), np.array([1 + 2j, -0.5j])),
    "svd": (lambda x: np.sum(np.linalg.svd(x)[1] ** 3), np.diag([1.0, 1.0, 2.0])),
    "eigh": (lambda x: np.sum(np.linalg.eigh(x)[0] ** 2), np.eye(2)),
    "unused": (lambda x: np.sum(np.floor(x)) + 0.0 * 2.0, np.ones(2)),
}


@pytest.mark.parametrize("name", KINKS)
def test_conventions_of_native_gradients(name):
    f, x = KINKS[name]
    assert_same(pg.value_and_grad(f, backend=BACKEND)(x), pg.value_and_grad(f)(x))


def test_a_rule_of_the_user():
    @pg.custom_vjp
    def f(x):
        return x * x

    f.defvjp(lambda x: (x * x, x), lambda x, ct: (ct * x * 10.0,))
    x = np.array([1.0, 2.0])
    g = pg.grad(lambda x: np.sum(f(x) * 3.0), backend=BACKEND, jit=True)
    assert_same(g(x), (30.0 * x,))


def test_one_array_for_two_arguments():
    x = np.array([1.0, 2.0])
    assert_same(pg.grad(lambda a, b: np.sum(a * b), argnums=(0, 1), backend=BACKEND)(x, x), (x, x))


# -- inside TensorFlow -----------------------------------------------------------------------------
def program(x, y):
    return np.sum(np.tanh(x @ y) * np.maximum(x[:, 0], 0.1)) + np.linalg.norm(x)


ARGS = (np.arange(6.0).reshape(2, 3) / 5.0 - 0.3, np.array([0.3, -0.5, 0.7]))


def test_inside_function_and_tape():
    f = pg.compile_to(program, "tf")
    want = pg.grad(program)(*ARGS)

    def gradients(*xs):
        with tf.GradientTape() as tape:
            tape.watch(xs)
            out = f(*xs)
        return tape.gradient(out, xs)

    for run in (gradients, tf.function(gradients), tf.function(gradients)):
        assert_same([g.numpy() for g in run(*map(tf.constant, ARGS))], want)


def test_tensorflow_does_not_rewrite_what_it_traces():
    files = []

    def f(x):
        frame = sys._getframe()
        while frame is not None:
            files.append(frame.f_code.co_filename)
            frame = frame.f_back
        return np.sum(x * 2.0)

    assert float(tf.function(pg.compile_to(f, "tf"))(tf.ones(3))) == 6.0
    assert files and not [name for name in files if "autograph_generated" in name]


def test_a_program_first_traced_in_a_graph_runs_outside_of_it():
    held = np.arange(3.0)
    f = pg.compile_to(lambda x: np.sum(x * held), "tf")
    x = tf.constant(np.ones(3))
    assert float(tf.function(f)(x)) == 3.0
    assert float(f(x)) == 3.0


def test_what_has_no_shape_or_no_numbers_is_refused():
    f = pg.compile_to(lambda x: np.sum(x * 2.0), "tf")
    unknown = [tf.TensorSpec([None, 3], tf.float64)]
    with pytest.raises(TypeError, match=r"shape \(None, 3\), whose sizes"):
        tf.function(f, input_signature=unknown).get_concrete_function()
    with pytest.raises(UnsupportedDtypeError, match="dtype string"):
        f(tf.constant("a"))


def test_variables_are_arrays():
    f = pg.compile_to(lambda w, x: np.sum(np.tanh(x @ w) ** 2), "tf")
    w = tf.Variable(np.linspace(-1.0, 1.0, 3))
    x = tf.constant(ARGS[0])
    want = pg.grad(lambda w: np.sum(np.tanh(ARGS[0] @ w) ** 2))(w.numpy())
    for run in (f, pg.compile_to(lambda w, x: np.sum(np.tanh(x @ w) ** 2), "tf", jit=True)):
        run(tf.constant(w.numpy()), x)  # the one program for tensors is that for variables
        with tf.GradientTape() as tape:
            out = run(w, x)
        assert_same((tape.gradient(out, w).numpy(),), want)


class Model:
    """Something with a weight of TensorFlow's."""

    def __init__(self):
        self.w = tf.Variable(np.linspace(-1.0, 1.0, 3))

    def loss(self, x):
        return np.sum(np.tanh(x @ self.w))


def test_a_variable_that_is_no_argument_is_refused():
    w, x = tf.Variable(np.linspace(-1.0, 1.0, 3)), tf.constant(ARGS[0])
    model, weights = Model(), {"w": w}
    for f, name in (
        (lambda x: np.sum(x * w), "w"),
        (lambda x: np.sum(np.sin(weights["w"]) * x), "weights['w']"),
        (model.loss, "loss.__self__ (Model).w"),
    ):
        with pytest.raises(pg.core.errors.UnsupportedOperationError, match="argument") as caught:
            pg.compile_to(f, "tf")(x)
        assert f"reads {name}, a tf.Variable" in str(caught.value)
        with pytest.raises(pg.core.errors.UnsupportedOperationError, match="a tf"):
            pg.jit(f)(ARGS[0])
    np.testing.assert_allclose(  # where the function itself runs, it is read then
        pg.grad(lambda x: np.sum(x * w))(ARGS[0])[0], np.broadcast_to(w.numpy(), ARGS[0].shape)
    )


def test_tapes_in_tapes():
    g = lambda x: np.sum(np.exp(x) / x) + np.prod(x) + np.linalg.norm(x)
    f = pg.compile_to(g, "tf")
    x = np.array([0.5, 1.5, -0.7])

    def hessian(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                out = f(x)
            first = inner.gradient(out, x)
        return outer.jacobian(first, x)

    assert_same(hessian(tf.constant(x)).numpy(), pg.hessian(g)(x))
    assert_same(tf.function(hessian)(tf.constant(x)).numpy(), pg.hessian(g)(x))


def test_forward_mode_of_tensorflow():
    f = pg.compile_to(program, "tf")
    x, y = map(tf.constant, ARGS)
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as moved:
        out = f(x, y)
    want = pg.jvp(lambda x: program(x, ARGS[1]), [ARGS[0]], [np.ones((2, 3))])[1]
    assert_same(moved.jvp(out).numpy(), np.asarray(want))


def strided(x, y):
    z = x * 2.0
    z[:, ::2] = np.sin(y[::2])
    z[::-1, 1] += y[:2]
    return np.sum(z * z)


def test_rows_of_tensorflow():
    g = lambda x: np.maximum(x, 0.1) * np.sum(x * x)
    x = np.linspace(0.05, 1.0, 6).reshape(2, 3)
    rows = tf.vectorized_map(pg.compile_to(g, "tf"), tf.constant(x))
    assert_same(rows.numpy(), np.stack([g(row) for row in x]))


@pytest.mark.slow
def test_a_saved_model(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec(ARGS[0].shape, tf.float64)
    f = pg.compile_to(lambda x: program(x, ARGS[1]), "tf")
    module.f = tf.function(f, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path))
    code = (
        "import sys, numpy as np, tensorflow as tf\n"
        "x = np.arange(6.0).reshape(2, 3) / 5.0 - 0.3\n"
        "print(float(tf.saved_model.load(sys.argv[1]).f(x)), 'pycograd' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    value, imported = done.stdout.split()
    assert imported == "False"
    assert_same(np.float64(value), np.asarray(program(*ARGS))[()])


@pytest.mark.parametrize("f", [program, strided])
def test_xla(f):
    backend = TfBackend(jit_compile=True)
    f = pg.value_and_grad(f)
    assert_same(pg.jit(f, backend=backend)(*ARGS), f(*ARGS))


# -- by the public names ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["tf", "tensorflow"])
def test_public_names(name):
    f = lambda x, y: np.sum(np.sin(x) * y)
    x, y = np.linspace(0.1, 1.0, 4), np.arange(4.0)
    with pg.device(name):
        g = pg.grad(f)(x, y)[0]
    assert g.device == f"tf:{BACKEND.devices()[0]}"
    assert isinstance(g.native, tf.Tensor)
    assert_same(g, np.cos(x) * y)
    compiled = pg.jit(f, backend=name)
    for scale in (1.0, 3.0):  # another batch, another answer
        assert_same(compiled(scale * x, y), f(scale * x, y))
    for jit in (False, True):
        run = pg.value_and_grad(f, backend=name, jit=jit)
        assert_same(run(x, y), pg.value_and_grad(f)(x, y))


def test_an_optimiser_on_the_device():
    x = np.linspace(-1.0, 1.0, 12).reshape(4, 3)
    loss = lambda w: np.mean((x @ w["w"] + w["b"] - 1.0) ** 2)

    def trained():
        params, state = {"w": np.ones(3), "b": np.zeros(())}, pg.Adam(lr=0.1)
        for _ in range(5):
            (g,) = pg.grad(loss)(params)
            params = state.step(params, g)
        return params

    want = trained()
    with pg.device("tf"):
        got = trained()
    assert_same([np.asarray(got[k]) for k in want], [want[k] for k in want])


TRANSFORMS = {
    "jacobian": lambda f, x: pg.jacobian(f)(x),
    "jacfwd": lambda f, x: pg.jacfwd(f)(x),
    "hessian": lambda f, x: pg.hessian(lambda x: np.sum(f(x)))(x),
    "vmap": lambda f, x: pg.vmap(f)(np.stack([x, 2.0 * x])),
    "jvp": lambda f, x: pg.jvp(f, [x], [x])[1],
    "per_example_grad": lambda f, x: pg.per_example_grad(lambda x: np.sum(f(x)))(np.stack([x, -x])),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_on_the_device(name):
    f = lambda x: np.sin(x) * np.sum(x * x)
    x = np.linspace(0.1, 1.0, 4)
    want = TRANSFORMS[name](f, x)
    with pg.device("tf"):
        got = TRANSFORMS[name](f, x)
    assert all(type(leaf) is DeviceArray for leaf in tree_leaves(got))
    assert_same(got, want)


def test_many_programs_are_no_retracing(caplog):
    for k in range(8):
        f = pg.jit(lambda x, k=k: np.sin(x) * k, backend="tf")
        assert_same(f(np.ones(k + 1)), np.sin(np.ones(k + 1)) * k)
    assert "retracing" not in caplog.text


# -- control flow ----------------------------------------------------------------------------------
def looped(x):
    c, ys = pg.scan(lambda c, r: (np.tanh(c + r), c * r), x[0], x, reverse=True)
    c = pg.cond(np.sum(c) > 0.0, lambda c: c * 2.0, lambda c: -c, c)
    c = pg.fori_loop(0, 3, lambda i, c: c * (1.0 + 0.1 * i), c)
    return np.sum(c) + np.sum(ys)


def repeated(x):
    return np.sum(pg.while_loop(lambda v: np.sum(v) < 100.0, lambda v: v * v + 0.1, x))


@pytest.mark.parametrize("f", [looped, repeated])
def test_control_flow(f):
    x = np.arange(12.0).reshape(4, 3) / 7.0 + (0.7 if f is repeated else -0.6)
    want = pg.value_and_grad(f)(x)
    with on(TRACE):
        assert_same(pg.value_and_grad(f)(x), want)
    assert_same(pg.jit(pg.value_and_grad(f), backend=BACKEND)(x), want)
    for jit in (False, True):
        assert_same(pg.value_and_grad(f, backend=BACKEND, jit=jit)(x), want)


def test_control_flow_is_that_of_tensorflow():
    x = tf.constant(np.arange(12.0).reshape(4, 3) / 7.0 - 0.6)
    f = pg.compile_to(looped, "tf")
    names = {op.type for op in tf.function(f).get_concrete_function(x).graph.get_operations()}
    assert names & {"While", "StatelessWhile"} and names & {"If", "StatelessIf"}


def test_checkpoint():
    f = lambda x: np.sum(pg.checkpoint(lambda x: np.sin(np.exp(x) * x))(x) ** 2)
    x = np.linspace(0.1, 1.0, 5)
    want = pg.value_and_grad(f)(x)
    for jit in (False, True):
        assert_same(pg.value_and_grad(f, backend=BACKEND, jit=jit)(x), want)


def test_batched_control_flow():
    x = np.arange(6.0).reshape(3, 2) / 3.0 + 0.5
    f = pg.vmap(pg.grad(lambda x: pg.cond(x[0] > 1.0, lambda x: np.sum(x**3), np.sum, x)))
    want = f(x)
    with on(TRACE):
        assert_same(f(x), want)
    assert_same(pg.jit(f, backend=BACKEND)(x), want)


# -- devices and packaging -------------------------------------------------------------------------
def test_devices_and_probe():
    probe = BACKEND.probe()
    assert probe.ok and probe.framework_version == tf.__version__
    assert probe.devices[0] == BACKEND.devices()[0]
    x = BACKEND.from_numpy(np.ones(2), probe.devices[-1])
    assert BACKEND.device_of(BACKEND.move(x, probe.devices[0])) == probe.devices[0]
    assert isinstance(TRACE.constant(np.ones(2)), DeviceArray)
    with pytest.raises(BackendUnavailableError, match="cpu"):
        pg.device("tf:nowhere")


def test_a_process_of_its_own():
    """The module of the backend imports no TensorFlow, which starts without a word; two of its
    CPUs are two devices, and the kit's checks of placement hold."""
    code = (
        "import sys, pycograd_tf.backend\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
        "from pycograd_tf.quiet import tensorflow\n"
        "tf = tensorflow()\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "two = [tf.config.LogicalDeviceConfiguration()] * 2\n"
        "tf.config.set_logical_device_configuration(cpu, two)\n"
        "assert pycograd_tf.backend.TfBackend().probe().ok\n"
        "sys.stderr.write('said\\n')\n"
        "from pycograd.testing.conformance import check_backend\n"
        "report = check_backend('tf', samples=[])\n"
        "assert report.ok, str(report)\n"
        "print(sum(r.name.startswith('placement') and r.status == 'passed'"
        " for r in report.results))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("said")
    assert done.stdout.strip() == "4"


LOG = "W0000 00:00:1795794512.475190 21263 a.cc:412] no driver\\n"


@pytest.mark.parametrize("then, shown", [("pass", "mine\n"), ("1 / 0", LOG + "mine\n")])
def test_what_is_said_while_tensorflow_starts(then, shown):
    code = (
        "import os, contextlib, pycograd_tf.quiet as q\n"
        "with contextlib.suppress(ZeroDivisionError), q.quietly():\n"
        f"    os.write(2, b'{LOG}mine\\n')\n"
        f"    {then}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == shown.replace("\\n", "\n")


def test_nothing_of_the_core_but_the_interface_is_imported():
    import pycograd_tf

    for file in Path(pycograd_tf.__file__).parent.rglob("*.py"):
        for line in file.read_text().splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]) and words[1].split(".")[0] == "pycograd":
                assert words[1] == "pycograd.plugins.api", f"{file.name}: {line}"
