"""ONNX files: what is written computes what pycograd does, and what cannot be is said."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pycograd as pg
from pycograd import ExportError, ShapeDtypeStruct
from pycograd.core.primitive import REGISTRY, primitive_named
from pycograd.examples import mlp, transformer
from pycograd.testing.samples import Sample, all_samples

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("pycograd_onnx", reason="pycograd-onnx is not installed")

from pycograd_onnx import OnnxExporter, export_onnx  # noqa: E402
from pycograd_onnx.lowerings import REFUSED, table  # noqa: E402

B = pg.Dim.of("B")
RNG = np.random.default_rng(0)
SAMPLES = list(all_samples())
# What a message says where a program is none that ONNX can hold.
EXPECTED = (
    "no operator for it",
    "complex",
    "float128 arrays",
    "longdouble arrays",
    "uint64 arrays",
    "Singular matrix",  # a graph of the derivative of det takes matrices for regular
    "cannot be captured as one graph",  # sizes or branches that depend on data
    *set(REFUSED.values()),
)


def run(path: Any, *inputs: Any) -> list[Any]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(zip([x.name for x in session.get_inputs()], inputs))))


def arrays_of(sample: Sample) -> tuple[Callable[..., Any], list[Any]]:
    """The sample as a function of its arrays alone."""
    places = [i for i, x in enumerate(sample.operands) if isinstance(x, np.ndarray)]

    def f(*xs: Any) -> Any:
        full = list(sample.operands)
        for i, x in zip(places, xs):
            full[i] = x
        return sample.f(*full)

    return f, [sample.operands[i] for i in places]


@pytest.mark.parametrize("dtype", ["float32", pytest.param("keep", marks=pytest.mark.slow)])
def test_every_sample_is_exported_or_refused_with_a_reason(tmp_path: Path, dtype: str) -> None:
    exported: set[str] = set()
    unexpected = []
    path = tmp_path / "f.onnx"
    for sample in SAMPLES:
        f, xs = arrays_of(sample)
        path.unlink(missing_ok=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                export_onnx(f, xs, path, dtype=dtype)
            exported.add(sample.primitive)
            assert path.exists()
        except ExportError as error:
            assert not path.exists()
            said = str(error)
            if dtype == "keep" and "has no kernel" in said:
                continue
            if not any(reason in said for reason in EXPECTED):
                unexpected.append((sample, said))
    assert not unexpected
    # Every lowering is one that some sample goes through, up to those of other ways to a value.
    lacking = {name for name in table() if name in {s.primitive for s in SAMPLES}} - exported
    if dtype == "float32":
        assert lacking <= {"real", "conjugate", "imag", "angle"}
    assert not set(REFUSED) & set(table())


def test_refused_names_are_primitives() -> None:
    pg.capture(np.sin, np.ones(2))
    for name in REFUSED:
        assert primitive_named(name) is REGISTRY[name]


EDGES = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1, -1, 0.5, 2.5, -2.5, 1e-8, -1e-8, 30, 3.5])
UNARY = [
    "negative", "reciprocal", "square", "sqrt", "cbrt", "exp", "exp2", "expm1", "log", "log2",
    "log10", "log1p", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh",
    "arctanh", "absolute", "sign", "floor", "ceil", "trunc", "rint", "signbit", "isnan", "isinf",
    "isfinite", "logical_not", "angle", "cumsum", "cumprod", "sort", "argsort", "max", "min",
    "argmax", "argmin", "any", "all", "nanmax", "nansum",
]  # fmt: skip
BINARY = [
    "add", "subtract", "multiply", "divide", "remainder", "fmod", "floor_divide", "power",
    "logaddexp", "logaddexp2", "arctan2", "hypot", "maximum", "minimum", "fmax", "fmin",
    "copysign", "heaviside", "equal", "not_equal", "less", "greater_equal", "logical_xor",
]  # fmt: skip

WHOLE = [
    "add", "subtract", "multiply", "remainder", "fmod", "floor_divide", "power", "maximum",
    "less",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "keep"])
def test_infinities_nans_and_signs_of_zeros(tmp_path: Path, dtype: str) -> None:
    x, y = [z.ravel() for z in np.meshgrid(EDGES, EDGES)]
    for name in UNARY:
        f = getattr(np, name)
        export_onnx(lambda x: f(x), [EDGES], tmp_path / "f.onnx", dtype=dtype)  # compares
    for name in BINARY:
        f = getattr(np, name)
        export_onnx(lambda x, y: f(x, y), [x, y], tmp_path / "f.onnx", dtype=dtype)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["int64", "int32", "int8"])
def test_integers_wrap_and_divide_as_numpys(tmp_path: Path, dtype: str) -> None:
    i = np.array([-7, -3, -1, 0, 1, 2, 3, 5, 100, 127])
    x, y = [z.ravel().astype(dtype) for z in np.meshgrid(i, i)]
    for name in WHOLE:
        f = getattr(np, name)
        second = np.abs(y) if name == "power" else y
        export_onnx(lambda x, y: f(x, y), [x, second], tmp_path / "f.onnx")
        (found,) = run(tmp_path / "f.onnx", x, second)
        assert found.dtype == f(x, second).dtype


def test_common_divisors_and_multiples(tmp_path: Path) -> None:
    x, y = [z.ravel() for z in np.meshgrid(np.arange(-12, 13), np.array([-90, -8, 0, 1, 36]))]

    def f(x: Any, y: Any) -> Any:
        return np.gcd(x, y), np.lcm(x, y), np.gcd.reduce(y), np.lcm.accumulate(np.abs(y) + 1)

    export_onnx(f, [x, y], tmp_path / "f.onnx")  # compares


def test_a_symbolic_size_is_a_dynamic_axis(tmp_path: Path) -> None:
    w = RNG.normal(size=(3, 2))

    def f(x: Any) -> Any:
        h = np.tanh(x @ w)
        rows = np.reshape(h, (-1,))[::2] + np.cumsum(x[:, 0])
        return h - np.mean(h, axis=0), rows, np.sort(x[:, 0]), np.broadcast_to(x[0], x.shape)

    path = export_onnx(f, [ShapeDtypeStruct((B, 3), np.float64)], tmp_path / "f.onnx")
    for n in (1, 2, 11):
        x = RNG.normal(size=(n, 3)).astype(np.float32)
        for a, b in zip(run(path, x), f(x)):
            np.testing.assert_allclose(a, b, atol=1e-5)
    dim = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert dim[0].dim_param == "B" and dim[1].dim_value == 3


def test_a_graph_of_symbolic_sizes_takes_arrays_to_compare_on(tmp_path: Path) -> None:
    def f(x: Any, y: Any, at: Any) -> Any:
        return np.interp(at, x, y)

    line, x = ShapeDtypeStruct((B,), np.float64), np.array([0.0, 1.0, 3.0])
    graph = pg.capture(f, line, line, np.ones(2))
    at = np.array([0.5, 2.5])
    path = export_onnx(graph, [x, x**2, at], tmp_path / "f.onnx")
    x = np.arange(6.0)
    (found,) = run(path, *[a.astype(np.float32) for a in (x, x**2, at)])
    np.testing.assert_allclose(found, f(x, x**2, at), atol=1e-5)


def attention(p: Any, x: Any) -> Any:
    q, k, v = x @ p["q"], x @ p["k"], x @ p["v"]
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return weights / np.sum(weights, axis=-1, keepdims=True) @ v


def test_parameters_are_initializers_with_dotted_names(tmp_path: Path) -> None:
    params = {"q": RNG.normal(size=(4, 4)), "k": RNG.normal(size=(4, 4)), "v": np.eye(4)}
    batch = ShapeDtypeStruct((B, 5, 4), np.float64)
    path = export_onnx(attention, [batch], tmp_path / "f.onnx", params=params)
    names = {x.name for x in onnx.load(path).graph.initializer}
    assert {"q", "k", "v"} <= names
    x = RNG.normal(size=(3, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(run(path, x)[0], attention(params, x), atol=1e-5)


def test_any_names_of_parameters(tmp_path: Path) -> None:
    names = ["input_0", "output_0", "constant_1", "mul_3", "add_5"]
    params = {name: float(i + 1) for i, name in enumerate(names)} | {"w": np.ones(2)}

    def f(p: Any, x: Any) -> Any:
        return x * 3.0 * sum([p[name] for name in names]) + p["w"]

    path = export_onnx(f, [np.ones(2)], tmp_path / "f.onnx", params=params)
    assert {x.name for x in onnx.load(path).graph.initializer} >= {*names, "w"}
    np.testing.assert_allclose(run(path, np.ones(2, np.float32))[0], f(params, np.ones(2)))


def test_gradients_are_exported_too(tmp_path: Path) -> None:
    params = {"q": RNG.normal(size=(4, 4)), "k": RNG.normal(size=(4, 4)), "v": np.eye(4)}
    g = pg.grad(lambda p, x: np.sum(attention(p, x) ** 2))
    x = RNG.normal(size=(2, 3, 4))
    path = export_onnx(g, [x], tmp_path / "f.onnx", params=params)
    for a, b in zip(run(path, x.astype(np.float32)), pg.tree_leaves(g(params, x))):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("example", [mlp, transformer], ids=["mlp", "transformer"])
def test_the_example_models_and_their_gradients(tmp_path: Path, example: Any) -> None:
    model = getattr(example, example.__name__.rpartition(".")[2])
    params = example.initial(np.random.default_rng(0))
    path = export_onnx(
        model, [ShapeDtypeStruct((B, 64), np.float64)], tmp_path / "f.onnx", params=params
    )
    x = RNG.uniform(size=(5, 64))
    (found,) = run(path, x.astype(np.float32))
    np.testing.assert_allclose(found, model(params, x), atol=1e-5)
    labels = ShapeDtypeStruct((B,), np.int64)
    step = export_onnx(
        pg.value_and_grad(example.loss),
        [ShapeDtypeStruct((B, 64), np.float64), labels],
        tmp_path / "g.onnx",
        params=params,
    )
    y = RNG.integers(0, 10, 5)
    wanted = pg.tree_leaves(pg.value_and_grad(example.loss)(params, x, y))
    for a, b in zip(run(step, x.astype(np.float32), y), wanted):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_without_onnxruntime_the_reference_implementation_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    x = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    path = export_onnx(lambda x: np.tanh(x) @ np.ones(3), [x], tmp_path / "f.onnx")
    with pytest.raises(ExportError, match="not pycograd's"):
        OnnxExporter().verify(path, [x], [x @ np.ones(3)])


@pytest.mark.parametrize("steps", [1, 5])
def test_control_flow(tmp_path: Path, steps: int) -> None:
    def f(x: Any) -> Any:
        last, rows = pg.scan(lambda c, r: (c * 0.5 + r, c * r), x[0], x)
        doubled = pg.fori_loop(0, steps, lambda i, c: c + np.sin(c) * i, last)
        grown = pg.while_loop(lambda c: np.sum(c * c) < 50.0, lambda c: c * 1.5 + 0.1, last)
        chosen = pg.cond(np.sum(x) > 0.0, lambda y: y * 2.0, lambda y: -y, x)
        return last, rows, doubled, grown, chosen

    path = export_onnx(f, [RNG.normal(size=(4, 3))], tmp_path / "f.onnx")
    for x in (RNG.normal(size=(4, 3)), np.ones((4, 3)), -np.ones((4, 3))):
        x = x.astype(np.float32)
        for a, b in zip(run(path, x), f(x.astype(np.float64))):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_writes_of_repeated_places_keep_the_last(tmp_path: Path) -> None:
    def f(x: Any, i: Any) -> Any:
        y = x * 1.0
        y[i] = np.arange(4.0)
        y[1:3] += 2.0
        return y

    i = np.array([2, 0, 2, -1])
    path = export_onnx(f, [np.ones(5), i], tmp_path / "f.onnx")
    np.testing.assert_allclose(run(path, np.ones(5, np.float32), i)[0], f(np.ones(5), i))


def test_keep_keeps_float64(tmp_path: Path) -> None:
    x = RNG.normal(size=7)
    path = export_onnx(lambda x: np.arctan(x) + np.sinh(x), [x], tmp_path / "f.onnx", dtype="keep")
    (found,) = run(path, x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.arctan(x) + np.sinh(x), rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "keep"])
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (2, 1, 3, 3)], ids=str)
def test_systems_of_equations(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    a, b = RNG.normal(size=shape), RNG.normal(size=(shape[-1], 2))
    a[..., 0, 0] *= 1e-7  # a pivot that rows must be swapped for
    positive = a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1])

    def f(a: Any, b: Any, positive: Any) -> Any:
        sign, logarithm = np.linalg.slogdet(a)
        lower = np.linalg.cholesky(np.tril(positive))  # reads one triangle
        upper = np.linalg.cholesky(np.triu(positive), upper=True)
        return (
            *(np.linalg.inv(positive), np.linalg.solve(a, b), np.linalg.solve(a, b[:, 0])),
            *(np.linalg.det(a), sign, logarithm, lower, upper),
        )

    of_all = lambda *xs: sum([np.sum(np.tanh(y) ** 2) for y in f(*xs)])
    for g in (f, pg.grad(of_all, argnums=(0, 1, 2))):  # each is compared with pycograd
        export_onnx(g, [a, b, positive], tmp_path / "f.onnx", dtype=dtype)
    x = RNG.normal(size=(shape[-1], shape[-1]))
    many = ShapeDtypeStruct((B, *x.shape), np.float64)
    path = export_onnx(lambda x: np.linalg.inv(x), [many], tmp_path / "g.onnx", dtype="keep")
    np.testing.assert_allclose(run(path, np.stack([x] * 5))[0][-1], np.linalg.inv(x), rtol=1e-8)


def test_a_file_has_no_solution_of_a_singular_system(tmp_path: Path) -> None:
    def f(a: Any) -> Any:
        return np.linalg.inv(a), *np.linalg.slogdet(a)

    path = export_onnx(f, [np.eye(3)], tmp_path / "f.onnx")
    inverse, sign, logarithm = run(path, np.ones((3, 3), np.float32))
    assert np.all(np.isnan(inverse)) and sign == 0 and logarithm == -np.inf
    with pytest.raises(ExportError, match=r"itself fails on the inputs .*[Ss]ingular"):
        export_onnx(f, [np.ones((3, 3))], tmp_path / "g.onnx")


def test_what_onnxruntime_has_no_kernel_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("Could not find an implementation for Det(11) node with name 'det_3'")

    monkeypatch.setattr(ort, "InferenceSession", refuse)
    with pytest.raises(ExportError, match=r"det: onnxruntime has no kernel .* dtype='float32'"):
        export_onnx(np.linalg.det, [np.eye(2)], tmp_path / "g.onnx")


@pytest.mark.parametrize("opset", [17, 18, 21])
def test_opsets(tmp_path: Path, opset: int) -> None:
    def f(x: Any) -> Any:
        return np.max(x, 0) + np.prod(x, 0) + np.mean(np.pad(x, 1), 1)[1] + np.split(x, 3)[0]

    path = export_onnx(f, [RNG.normal(size=(3, 3))], tmp_path / "f.onnx", opset=opset)
    assert onnx.load(path).opset_import[0].version == opset


@pytest.mark.parametrize(
    ("f", "said"),
    [
        (lambda x: x if np.sum(x) > 0 else -x, "cannot be captured .*np.where or cond"),
        (lambda x: x[x > 0], "cannot be captured .*depends on data"),
        (lambda x: np.nextafter(x, 0.0), "nextafter .*no operator"),
        (lambda x: np.fft.fft(x), r"fft .*test_onnx.py:\d+.*complex"),
        (lambda x: np.linalg.eigvalsh(np.outer(x, x)), "eigvalsh .*factorizations"),
    ],
)
def test_what_cannot_be_exported_leaves_no_file(tmp_path: Path, f: Any, said: str) -> None:
    path = tmp_path / "f.onnx"
    path.write_text("what was there")
    with pytest.raises(ExportError, match=said):
        export_onnx(f, [np.ones(3)], path)
    assert [p.name for p in tmp_path.iterdir()] == ["f.onnx"]
    assert path.read_text() == "what was there"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"opset": 16}, "from 17 to"), ({"dtype": "float16"}, "'float32' or 'keep'")],
)
def test_bad_options(tmp_path: Path, options: Any, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        export_onnx(np.sin, [np.ones(2)], tmp_path / "f.onnx", **options)
    with pytest.raises(ExportError, match="a list"):
        export_onnx(np.sin, np.ones(2), tmp_path / "f.onnx", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "inputs, said",
    [
        (["abc"], r"<lambda> fails on example input 0 \(str\): inputs of a model are arrays"),
        ([None], r"<lambda> fails on example input 0 \(NoneType\)"),
        ([[np.ones(2), {"a": "b"}]], r"<lambda> fails on example input 0\.1\.a \(str\)"),
        ([np.array([1, None], dtype=object)], "dtype object, of which a graph holds no values"),
        ([3], r"part of the program: example input 0 \(int\)\. Give np\.asarray\(x\)"),
        ("abc", "a list with an entry for each argument, not a str"),
    ],
)
def test_examples_that_are_no_arrays(tmp_path: Path, inputs: Any, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        export_onnx(lambda x: np.tanh(x[1]["a"] if type(x) is list else x), inputs, tmp_path / "f")
    assert not list(tmp_path.iterdir())


def test_examples_of_a_graph_that_are_no_arrays(tmp_path: Path) -> None:
    graph = pg.capture(np.tanh, np.ones(2))
    for x in ("abc", np.array([1, None], dtype=object), np.array(["a", "b"])):
        with pytest.raises(ExportError, match="example input 0 is no array of numbers"):
            export_onnx(graph, [x], tmp_path / "f")
    with pytest.raises(ExportError, match="0 example inputs for a graph of 1"):
        export_onnx(graph, [None], tmp_path / "f")
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_function_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        export_onnx(lambda x: x / (1 // 0), [np.ones(2)], tmp_path / "f")


def test_tensors_as_examples_and_parameters(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    p, x = {"w": torch.tensor([2.0, 3.0])}, torch.ones(2)
    path = export_onnx(lambda p, x: p["w"] * x, [x], tmp_path / "f.onnx", params=p)
    np.testing.assert_allclose(run(path, np.ones(2, np.float32))[0], [2.0, 3.0])


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be written to"):
        export_onnx(np.sin, [np.ones(2)], tmp_path / "missing" / "f.onnx")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ExportError, match=r"folder cannot be written to"):
        export_onnx(np.sin, [np.ones(2)], folder)
    folder.rmdir()
    with pytest.raises(ExportError, match="returns no array"):
        export_onnx(lambda x: None, [np.ones(2)], tmp_path / "f.onnx")
    assert not list(tmp_path.iterdir())


def test_a_wrong_file_is_found_out(tmp_path: Path) -> None:
    x = np.arange(3.0)
    path = export_onnx(np.sin, [x], tmp_path / "f.onnx")
    OnnxExporter().verify(path, [x], [np.sin(x)])
    with pytest.raises(ExportError, match=r"not pycograd's: .* at \(0,\)"):
        OnnxExporter().verify(path, [x], [np.cos(x)])


def test_by_name_from_pycograd(tmp_path: Path) -> None:
    graph = pg.capture(lambda x: np.exp(-x), np.ones(3))
    for f in (graph, lambda x: np.exp(-x)):
        path = pg.export_onnx(f, [np.ones(3)], tmp_path / "f.onnx")
        (found,) = run(path, np.ones(3, np.float32))
        np.testing.assert_allclose(found, np.exp(-np.ones(3)), atol=1e-6)


def test_the_module_of_the_exporter_imports_no_onnx() -> None:
    code = "import pycograd_onnx, sys; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_plugin_imports_nothing_else_of_the_core() -> None:
    import pycograd_onnx

    for path in Path(pycograd_onnx.__file__).parent.rglob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]) and words[1].split(".")[0] == "pycograd":
                assert words[1] == "pycograd.plugins.api", (path.name, line)
