"""The JAX backend against NumPy: the sample table, conventions, double precision, exports."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax", reason="JAX is not installed")
pytest.importorskip("pycograd_jax", reason="pycograd-jax is not installed")

import jax
import jax.numpy as jnp

import pycograd as pg
from pycograd import nn
from pycograd.core.device import DeviceArray, on, trace_of
from pycograd.core.errors import (
    ControlFlowError,
    ExportError,
    LoweringNotFoundError,
    UnsupportedDtypeError,
    UnsupportedOperationError,
)
from pycograd.core.primitive import REGISTRY
from pycograd.core.tree import tree_leaves
from pycograd.graph.lowered import Lowered
from pycograd.testing.samples import all_samples
from pycograd_jax.backend import JaxBackend
from pycograd_jax.export import export_stablehlo
from pycograd_jax.lowerings import REFUSED, TABLE
from pycograd_jax.precision import wide
from results import assert_complete, assert_same, refusals, scalar

BACKEND = JaxBackend()
TRACE = trace_of(BACKEND)
SAMPLES = list(all_samples())
# Graphs do not hold results whose size is in the data, nor derivatives at singular matrices.
REGULAR = {"small_part-det"}


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def here(x):
    return TRACE.constant(x) if isinstance(x, (np.ndarray, np.generic)) else x


def eager(sample):
    with on(TRACE):
        return sample.f(*map(here, sample.operands)), sample.f(*sample.operands)


def tape(sample):
    loss = lambda *xs: scalar(sample.f(*xs))
    want = pg.grad(loss, argnums=sample.wrt)(*sample.operands)
    with on(TRACE):
        got = pg.grad(loss, argnums=sample.wrt)(*sample.operands)
    return got, want


def compiled(sample):
    run = Lowered(pg.capture(sample.f, *sample.operands), BACKEND)
    arrays = [BACKEND.from_numpy(np.asarray(x)) for x in sample.operands]
    return BACKEND.compile(run.run)(*arrays, *run.moved()), sample.f(*sample.operands)


def native(sample):
    loss = lambda *xs: scalar(sample.f(*xs))
    want = pg.grad(loss, argnums=sample.wrt)(*sample.operands)
    run = Lowered(pg.capture(loss, *sample.operands), BACKEND, rules=True)
    arrays = [BACKEND.from_numpy(np.asarray(x)) for x in sample.operands]
    return BACKEND.grad_and_value(run, arrays, sample.wrt)[1], list(want)


WAYS = {"eager": eager, "tape": tape, "compiled": compiled, "native": native}


def cases():
    """Every sample in every way when all tests run; else a fair part of them."""
    for i, sample in enumerate(SAMPLES):
        for j, way in enumerate(WAYS):
            if way in ("tape", "native") and not sample.wrt:
                continue
            fast = sample.primitive in TABLE and (i + 29 * j) % 96 == 0
            marks = () if fast else (pytest.mark.slow,)
            name = f"{way}-{sample.primitive}-{sample.name}"
            yield pytest.param(way, sample, id=name, marks=marks)


# What is asked of the memory and the text of an array is not of the device.
OF_THE_HOST = {"array_str", "array_repr", "array2string", "shares_memory", "may_share_memory"}
# Real where all roots are; on a device their dtype cannot wait for the data.
SETTLED = {"concatenate-roots"}


@pytest.mark.parametrize("way, sample", list(cases()))
def test_table(way, sample):
    if sample.name in OF_THE_HOST or f"{sample.primitive}-{sample.name}" in SETTLED:
        pytest.skip("not of the device")
    if way in ("compiled", "native") and (
        sample.data_dependent_shape or f"{sample.primitive}-{sample.name}" in REGULAR
    ):
        pytest.skip("a graph does not hold this")
    known = [*REFUSED.values(), "JAX has it of real values alone", "whole degrees"]
    with refusals(known, "JAX", way in ("compiled", "native")):
        got, want = WAYS[way](sample)
    assert_same(got, want)


# -- the table -------------------------------------------------------------------------------------
def test_every_primitive_is_lowered_or_refused_with_a_reason():
    assert_complete(TABLE, REFUSED)


def test_a_refusal_says_why():
    import pycograd.scipy.special  # noqa: F401

    with pytest.raises(LoweringNotFoundError, match="'jv' is not lowered by backend 'jax': JAX"):
        BACKEND.lowering(REGISTRY["jv"])


# -- dtypes ----------------------------------------------------------------------------------------
def test_double_precision_is_ours_alone():
    assert not jax.config.jax_enable_x64
    seen = []
    stop = threading.Event()

    def beside():
        while not stop.is_set():
            seen.append(str((jnp.ones(3) * 2.0).dtype))

    worker = threading.Thread(target=beside)
    worker.start()
    with pg_device():
        value, (g,) = pg.value_and_grad(lambda x: np.sum(np.sin(x) * x))(np.ones(3))
        assert str(jnp.ones(3).dtype) == "float32"  # user code inside the block
    stop.set()
    worker.join()
    assert value.dtype == g.dtype == np.float64
    assert g.native.dtype == np.float64
    assert set(seen) == {"float32"}
    assert not jax.config.jax_enable_x64 and str(jnp.ones(3).dtype) == "float32"


def pg_device():
    return on(TRACE)


@pytest.mark.parametrize("name", sorted(BACKEND.capabilities.dtypes))
def test_dtypes_there_and_back(name):
    dtype = jnp.bfloat16 if name == "bfloat16" else np.dtype(name)
    x = np.arange(3).astype(dtype)
    there = BACKEND.from_numpy(x)
    assert BACKEND.dtype_of(there) == x.dtype
    back = BACKEND.to_numpy(there)
    assert back.dtype == x.dtype and np.array_equal(back, x)


def test_what_numpy_writes_later_does_not_show():
    x = np.ones(64)
    there = BACKEND.from_numpy(x)
    x[:] = 2.0
    assert BACKEND.to_numpy(there).sum() == 64.0


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_narrow_floats_stay(name):
    dtype = jnp.bfloat16 if name == "bfloat16" else np.dtype(name)
    x = np.linspace(0.1, 1.0, 4).astype(dtype)
    f = lambda x: np.sum(np.tanh(x * 2.0) / (x + 1.0))
    with pg_device():
        value, (g,) = pg.value_and_grad(f)(x)
    want, (h,) = pg.value_and_grad(f)(x)
    assert value.dtype == want.dtype and g.dtype == h.dtype == x.dtype
    tol = 1e-5 if name == "float32" else 0.05
    np.testing.assert_allclose(np.asarray(g).astype(float), h.astype(float), rtol=tol, atol=tol)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="no wider float here")
def test_a_dtype_that_jax_has_not():
    with pytest.raises(UnsupportedDtypeError, match=r"no .* arrays"):
        BACKEND.from_numpy(np.ones(2, np.longdouble))


@pytest.mark.parametrize(
    "make", [lambda: jax.random.key(0), lambda: jnp.ones(2, jnp.float8_e4m3fn)]
)
def test_arrays_of_jax_that_numpy_cannot_compute_with(make):
    x = make()
    with pytest.raises(UnsupportedDtypeError, match=f"no {x.dtype.name} arrays"):
        pg.compile_to(lambda x: x * 1.0, "jax")(x)


# -- arrays of others ------------------------------------------------------------------------------
def test_arrays_of_jax_where_numpys_are_due():
    f = lambda x: np.sum(x * x)
    for transformed in (pg.jit(f, backend="jax"), pg.grad(f, backend="jax")):
        with pytest.raises(TypeError, match=r"array of jax .* in the place of .*np\.asarray\(a\)"):
            transformed(jnp.ones(3))
    with pytest.raises(TypeError, match=r"called with NumPy's\. Use jit"):
        pg.compile_to(f, "jax")(np.ones(3))


def test_what_is_closed_over_is_read_at_each_call():
    held, theirs = np.ones(3), jnp.arange(3.0)
    f = lambda x: np.sum(x * held * theirs)
    to, x = pg.compile_to(f, "jax"), np.array([0.5, -1.0, 2.0])
    for scale in (2.0, 5.0):
        held[:] = scale
        assert_same(pg.value_and_grad(f, backend="jax")(x)[1][0], scale * np.arange(3.0))
        with wide():
            assert_same(to(jnp.asarray(x)), np.asarray(3.0 * scale))


def test_arrays_that_jax_traces_do_not_become_constants():
    f = pg.compile_to(lambda x, held: np.sum(x * held), "jax")
    g = jax.jit(jax.grad(lambda held: f(jnp.ones(3, np.float32), held)))
    for scale in (1.0, 2.0):
        assert_same(g(jnp.full(3, scale, np.float32)), np.ones(3, np.float32))
    closes = lambda held: pg.compile_to(lambda x: np.sum(x * held), "jax")(jnp.ones(3))
    for run in (jax.jit, jax.grad):
        with pytest.raises(UnsupportedOperationError, match="such arrays among the arguments"):
            run(closes)(jnp.ones(3))
    with pytest.raises(UnsupportedOperationError, match="in the place of NumPy's"):
        jax.jit(pg.jit(np.sin, backend="jax"))(jnp.ones(3))


def test_ours_outside_of_what_runs_in_jax():
    f = lambda x: np.sum(x * x)
    with pytest.raises(UnsupportedOperationError, match=r"compile_to\(grad\(f\), 'jax'\)"):
        pg.grad(pg.compile_to(f, "jax"))(np.ones(3))
    with pytest.raises(UnsupportedOperationError, match="Compile the transform"):
        pg.vmap(pg.jit(f, backend="jax"))(np.ones((2, 3)))
    with pg_device(), pytest.raises(UnsupportedOperationError, match="Write NumPy's functions"):
        pg.grad(lambda x: jnp.sum(x))(np.ones(3))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0)])
def test_arrays_without_axes_or_entries(shape):
    f = lambda x: np.sum(np.sin(x) * x) + np.sum(np.sum(x, axis=None))
    x = np.full(shape, 0.5)
    want = pg.value_and_grad(f)(x)
    assert_same(pg.value_and_grad(f, backend="jax")(x), want)
    assert_same(pg.jit(pg.value_and_grad(f), backend="jax")(x), want)
    with pg_device():
        assert_same(pg.value_and_grad(f)(x), want)


def test_python_decides_by_the_data_on_the_device():
    def f(x):
        while np.sum(x) < 10.0:
            x = x * 2.0
        return np.sum(x) if x[0] > 2.0 else np.sum(x * x)

    for x in (np.array([1.0, 0.5]), np.array([0.1, 4.0])):
        with pg_device():
            got = pg.value_and_grad(f)(x)
        assert_same(got, pg.value_and_grad(f)(x))
    with pytest.raises(ControlFlowError, match=r"np\.where or cond"):
        pg.jit(f, backend="jax")(x)


# -- errors ----------------------------------------------------------------------------------------
def test_an_index_out_of_bounds():
    with pg_device(), pytest.raises(IndexError, match="index 7 is out of bounds for axis 1"):
        pg.grad(lambda x: np.sum(x[:, np.array([0, 7])]))(np.ones((2, 3)))
    graph = pg.capture(lambda x, i: x[i], np.ones(3), np.array([0]))
    run = Lowered(graph, BACKEND)
    (got,) = BACKEND.compile(run)(BACKEND.from_numpy(np.ones(3)), BACKEND.from_numpy(np.array([5])))
    assert np.isnan(np.asarray(got)).all()  # never some other entry


def test_entries_written_twice_keep_the_last():
    def f(x, y):
        x = x.copy()
        x[np.array([0, 1, 0, 0])] = y
        return np.sum(x * np.array([1.0, 2.0, 3.0]))

    x, y = np.ones(3), np.arange(4.0)
    want = pg.value_and_grad(f)(x, y)
    with pg_device():
        assert_same(pg.value_and_grad(f)(x, y), want)


# -- inside JAX ------------------------------------------------------------------------------------
def program(x, y):
    return np.sum(np.tanh(x @ y) * np.maximum(x[:, 0], 0.1)) + np.linalg.norm(x)


ARGS = (np.arange(6.0).reshape(2, 3) / 5.0 - 0.3, np.array([0.3, -0.5, 0.7]))


def lowered(f, *args):
    run = Lowered(pg.capture(f, *args), BACKEND, rules=True)
    return lambda *xs: run(*xs)[0]


def test_inside_jit_grad_and_vmap():
    f = lowered(program, *ARGS)
    want = pg.grad(program)(*ARGS)
    with wide():
        xs = [jnp.asarray(x) for x in ARGS]
        assert_same(jax.grad(f, (0, 1))(*xs), want)
        assert_same(jax.jit(jax.grad(f, (0, 1)))(*xs), want)
        rows = [jnp.stack([x, 2 * x]) for x in xs]
        each = [pg.grad(program)(*[np.asarray(r[i]) for r in rows]) for i in (0, 1)]
        assert_same(jax.vmap(jax.grad(f, (0, 1)))(*rows), tuple(map(np.stack, zip(*each))))


def test_both_modes_of_jax_in_each_other():
    f = lowered(lambda x: np.sum(np.exp(x) / x) + np.prod(x) + np.linalg.norm(x), np.ones(3))
    g = lambda x: np.sum(np.exp(x) / x) + np.prod(x) + np.linalg.norm(x)
    x = np.array([0.5, 1.5, -0.7])
    want = pg.hessian(g)(x)
    with wide():
        for hessian in (jax.hessian(f), jax.jacrev(jax.grad(f)), jax.jacfwd(jax.jacfwd(f))):
            assert_same(hessian(jnp.asarray(x)), want)


def test_single_precision_inside_a_program_in_single_precision():
    x = np.ones(3, np.float32)
    f = lowered(lambda x: np.sum(np.sin(x) * 2.0), x)
    g = jax.jit(jax.grad(lambda x: f(x) * 3.0))(jnp.asarray(x))
    assert g.dtype == np.float32
    np.testing.assert_allclose(np.asarray(g), 6.0 * np.cos(x), rtol=1e-6)


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
    "complex-abs": (lambda x: np.sum(np.abs(x)), np.array([0.0, 3 + 4j])),
    "complex": (lambda z: np.real(np.sum(z * z * (1 + 2j))), np.array([1 + 2j, -0.5j])),
    "conj": (lambda z: np.imag(np.sum(np.conj(z) ** 3)), np.array([1 + 2j, -0.5j])),
    "svd": (lambda x: np.sum(np.linalg.svd(x)[1] ** 3), np.diag([1.0, 1.0, 2.0])),
    "eigh": (lambda x: np.sum(np.linalg.eigh(x)[0] ** 2), np.eye(2)),
}


@pytest.mark.parametrize("name", KINKS)
def test_conventions_of_native_gradients(name):
    f, x = KINKS[name]
    run = Lowered(pg.capture(f, x), BACKEND, rules=True)
    value, (got,) = BACKEND.grad_and_value(run, [BACKEND.from_numpy(x)], [0])
    assert_same(got, pg.grad(f)(x)[0])
    assert_same(value, np.asarray(f(x)))


def test_a_rule_of_the_user():
    @pg.custom_vjp
    def f(x):
        return x * x

    f.defvjp(lambda x: (x * x, x), lambda x, ct: (ct * x * 10.0,))
    g = lambda x: np.sum(f(x) * 3.0)
    x = np.array([1.0, 2.0])
    run = Lowered(pg.capture(g, x), BACKEND, rules=True)
    _, (got,) = BACKEND.grad_and_value(run, [BACKEND.from_numpy(x)], [0])
    assert_same(got, 30.0 * x)


# -- by the public names ---------------------------------------------------------------------------
def test_public_names():
    f = lambda x, y: np.sum(np.sin(x) * y)
    x, y = np.linspace(0.1, 1.0, 4), np.arange(4.0)
    with pg.device("jax"):
        g = pg.grad(f)(x, y)[0]
    assert g.device == f"jax:{BACKEND.devices()[0]}"
    assert_same(g, np.cos(x) * y)
    compiled = pg.jit(f, backend="jax")
    for scale in (1.0, 3.0):  # another batch, another answer
        assert_same(compiled(scale * x, y), f(scale * x, y))
    assert_same(pg.value_and_grad(f, backend="jax")(x, y), pg.value_and_grad(f)(x, y))
    to = pg.compile_to(f, "jax")
    with wide():
        xs = jnp.asarray(x), jnp.asarray(y)
        assert_same(jax.jit(jax.grad(to))(*xs), np.cos(x) * y)
        rows = jax.vmap(to, (0, None))(jnp.stack([xs[0], 2 * xs[0]]), xs[1])
        assert_same(rows, np.array([f(x, y), f(2 * x, y)]))
    assert not jax.config.jax_enable_x64


def test_a_table_in_single_precision():
    """A part of the samples whose results NumPy has in single precision."""
    ran = 0
    for sample in SAMPLES[::40]:
        kinds = {np.asarray(x).dtype.kind for x in sample.operands}
        if not sample.wrt or "c" in kinds or sample.primitive not in TABLE:
            continue
        small = [
            x.astype(np.float32) if getattr(x, "dtype", None) == np.float64 else x
            for x in sample.operands
        ]
        try:
            want = tree_leaves(sample.f(*small))
            with on(TRACE):
                got = tree_leaves(sample.f(*map(here, small)))
        except (LoweringNotFoundError, TypeError, ValueError):
            continue
        for a, b in zip(got, want):
            assert np.asarray(a).dtype == np.asarray(b).dtype, sample
            if np.asarray(b).dtype == np.float32:
                assert_same(a, b, 1e-5)
                ran += 1
    assert ran >= 8


# -- control flow ----------------------------------------------------------------------------------
def looped(x):
    c, ys = pg.scan(lambda c, r: (np.tanh(c + r), c * r), x[0], x, reverse=True)
    c = pg.cond(np.sum(c) > 0.0, lambda c: c * 2.0, lambda c: -c, c)
    return np.sum(c) + np.sum(ys)


def test_control_flow():
    x = np.arange(12.0).reshape(4, 3) / 7.0 - 0.6
    f = pg.value_and_grad(looped)
    want = f(x)
    assert_same(
        BACKEND.compile(Lowered(pg.capture(f, x), BACKEND).run)(
            BACKEND.from_numpy(x), *Lowered(pg.capture(f, x), BACKEND).moved()
        ),
        want,
    )
    run = Lowered(pg.capture(looped, x), BACKEND, rules=True)
    value, (got,) = BACKEND.grad_and_value(run, [BACKEND.from_numpy(x)], [0])
    assert_same((value, (got,)), want)


def test_while_loops_run_and_say_that_reverse_mode_does_not():
    f = lambda x: pg.while_loop(lambda v: v < 100.0, lambda v: v * v, x)
    run = Lowered(pg.capture(f, 3.0), BACKEND)
    (got,) = BACKEND.compile(run)(BACKEND.from_numpy(np.asarray(3.0)))
    assert float(got) == 6561.0
    graph = pg.capture(pg.grad(f), 3.0)
    with pytest.raises(LoweringNotFoundError, match="scan or fori_loop"):
        Lowered(graph, BACKEND)
    with pg_device():
        assert float(pg.grad(f)(np.asarray(3.0))[0]) == 17496.0


# -- StableHLO -------------------------------------------------------------------------------------
def test_stablehlo(tmp_path):
    held = np.arange(3.0)
    path = tmp_path / "f.mlir"
    f = lambda x, y: (np.sin(x) @ held, np.sum(y, 0))
    text = export_stablehlo(f, [np.ones((2, 3)), np.ones((2, 2), np.float32)], path)
    assert path.read_text() == text
    assert "stablehlo.sine" in text and "f64" in text
    assert [p.name for p in tmp_path.iterdir()] == ["f.mlir"]
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_text_that_computes_something_else_is_found():
    from pycograd_jax.export import text_of, verify_text

    text = text_of(pg.capture(np.sin, np.ones(2)))
    with pytest.raises(ExportError, match="result 0 differs"):
        verify_text(text, [np.ones(2)], [np.cos(np.ones(2))])


OPEN = {
    "mlp": lambda x: np.tanh(x @ np.arange(6.0).reshape(3, 2)),
    "mean": lambda x: np.mean(x, axis=0),
    "layer_norm": lambda x: nn.layer_norm(x, np.ones(3), np.zeros(3)),
    "attention": lambda x: nn.scaled_dot_product_attention(x, x, x),
    "reshape": lambda x: np.reshape(x, (-1,)),
    "concatenate": lambda x: np.concatenate([x, 2.0 * x]),
    "broadcast": lambda x: np.broadcast_to(np.sum(x, axis=0), x.shape),
    "sort": lambda x: np.sort(x, axis=0)[1:],
    "grad": lambda x: pg.grad(lambda x: np.mean(np.tanh(x) ** 2))(x)[0],
}


@pytest.mark.parametrize("f", OPEN.values(), ids=OPEN)
def test_sizes_stay_open_in_a_text(f, tmp_path):
    from pycograd_jax.export import StableHloExporter, verify_text

    path = tmp_path / "f.mlir"
    text = export_stablehlo(f, [pg.ShapeDtypeStruct(("B", 3))], path)
    assert path.read_text() == text and "tensor<?x3xf64>" in text and "custom_call" not in text
    assert "loc(" not in text and "test_jax" not in text
    for rows in (2, 5, 8):
        x = np.random.default_rng(rows).standard_normal((rows, 3))
        StableHloExporter().verify(path, [x], [f(x)])
        with pytest.raises(ExportError, match="result 0 differs"):
            verify_text(text, [x], [f(x) + 1.0])


def test_open_sizes_of_two_inputs_and_of_a_graph(tmp_path):
    from pycograd_jax.export import StableHloExporter

    n = pg.Dim.of("N")
    f = lambda x, y, k, z: {"a": x @ y * k, "b": (np.sum(z), z[:n])}
    inputs = [pg.ShapeDtypeStruct(("B", n)), pg.ShapeDtypeStruct((n, 2)), 3,
              pg.ShapeDtypeStruct((2 * n + 1,), np.float32)]  # fmt: skip
    text = export_stablehlo(f, inputs)
    assert text.count("tensor<?xf32>") > 1
    path = tmp_path / "g.mlir"
    graph = pg.capture(np.sin, pg.ShapeDtypeStruct(("B",)))
    StableHloExporter().export(graph, path)
    StableHloExporter().verify(path, [np.ones(4)], [np.sin(np.ones(4))])
    assert export_stablehlo(graph, [np.ones(2)]) == path.read_text()


def test_no_file_is_left_of_an_export_that_fails(tmp_path, monkeypatch):
    path = tmp_path / "f.mlir"
    graph = pg.capture(np.sin, np.ones(2))
    with pytest.raises(ExportError, match="sin has 1 inputs, and 2 were given"):
        export_stablehlo(graph, [np.ones(2), np.ones(2)], path)
    with pytest.raises(ExportError, match="a list with an entry for each argument, not a ndarray"):
        export_stablehlo(np.sin, np.ones(2), path)
    monkeypatch.setattr(type(graph), "evaluate", lambda self, xs: [np.cos(x) for x in xs])
    for inputs in ([np.ones(2)], [pg.ShapeDtypeStruct(("B",))]):
        with pytest.raises(ExportError, match="result 0 differs"):
            export_stablehlo(np.sin, inputs, path)
    assert not list(tmp_path.iterdir())


# -- packaging -------------------------------------------------------------------------------------
def test_importing_the_backend_imports_no_jax():
    code = (
        "import sys, pycograd_jax.backend, pycograd_jax.export;"
        "print([m for m in ('jax', 'jaxlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_of_the_core_but_the_interface_is_imported():
    import pycograd_jax

    for file in Path(pycograd_jax.__file__).parent.rglob("*.py"):
        for line in file.read_text().splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]) and words[1].split(".")[0] == "pycograd":
                assert words[1] == "pycograd.plugins.api", f"{file.name}: {line}"


def test_devices_and_probe():
    probe = BACKEND.probe()
    assert probe.ok and probe.framework_version == jax.__version__
    assert probe.devices[0] == BACKEND.devices()[0]
    x = BACKEND.from_numpy(np.ones(2), probe.devices[-1])
    assert BACKEND.move(x, probe.devices[0]).shape == (2,)
    assert isinstance(TRACE.constant(np.ones(2)), DeviceArray)


def test_a_series_outside_its_circle_is_refused():
    """JAX's hyp2f1 is one series, which diverges below -1 and near 1."""
    special = pytest.importorskip("scipy.special")
    with pytest.raises(pg.LoweringNotFoundError, match="hyp2f1"):
        pg.jit(lambda x: special.hyp2f1(1.0, 1.0, 2.0, x), backend="jax")(np.array([-2.0]))


@pytest.mark.parametrize(
    "f",
    [
        np.spacing,
        lambda x: np.nextafter(x, 2.0) * x,
        lambda x: pg.avg_pool2d(np.reshape(x, (1, 1, 3, 3)), 2, 1) ** 2,
    ],
)
def test_native_gradients_of_what_jax_does_not_differentiate(f):
    x = np.linspace(0.1, 0.9, 9)
    loss = lambda x: np.sum(f(x) * 3.0)
    (expected,) = pg.grad(loss)(x)
    (found,) = pg.grad(loss, backend="jax")(x)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_native_gradients_compute_in_64_bits_throughout():
    special = pytest.importorskip("scipy.special")

    def loss(x):
        return np.sum(special.gammainc(1.5, x) * special.gammaln(x))

    x = np.array([1.4, 2.3])
    value, (gradient,) = pg.value_and_grad(loss, backend="jax")(x)
    expected, (wanted,) = pg.value_and_grad(loss, backend="jax", jit=True)(x)
    np.testing.assert_allclose(value, loss(x), rtol=1e-13)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-12)


SPECIAL = {
    "betaln": [(3.500441582356409, 8.054304935083405), (1e-3, 30.0), (40.0, 25.0)],
    "erfcx": [(26.567378699513398,), (20.0,), (5.0,), (-3.0,), (1e6,)],
    "expn": [(10.459882590433274, 1.01), (3.0, 0.5)],
    "hyp1f1": [
        (2.0, 3.0, -40.0),
        (2.0, 3.0, -1e6),
        (0.7, 2.5, -400.0),
        (0.5, 2.5, 30.0),
        (1.0, 2.0, -1e-9),
    ],
    "bdtr": [(3.2, 9.7, 0.3), (9.5, 9.7, 0.3)],
    "nbdtr": [(3.2, 9.7, 0.3), (0.3, 1.2, 0.9)],
}


@pytest.mark.filterwarnings("ignore:.*non-integer arg")
@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions_far_from_where_jax_has_digits(name):
    special = pytest.importorskip("scipy.special")
    function = getattr(special, name)
    for operands in SPECIAL[name]:
        given = [np.array([x]) for x in operands]
        found = pg.jit(function, backend="jax")(*given)
        np.testing.assert_allclose(found, function(*operands), rtol=1e-12, err_msg=str(operands))


def test_a_series_without_digits_is_nan():
    special = pytest.importorskip("scipy.special")
    found = pg.jit(special.hyp1f1, backend="jax")(np.array([29.1]), np.array([-18.8]), np.ones(1))
    assert np.isnan(found)
