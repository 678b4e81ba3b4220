"""The models of the examples as files: of torch, of ONNX, and as StableHLO."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import pycograd as pg
from pycograd import Dim, ShapeDtypeStruct, tree_flatten, tree_leaves, tree_unflatten
from pycograd.dsl import install
from pycograd.examples import (
    convnet,
    gaussian_process,
    highway,
    logistic,
    mlp,
    nanogpt,
    ode,
    recurrent,
    regularized,
    rwkv,
    transformer,
    wavenet,
)
from pycograd.examples.__main__ import EXAMPLES
from pycograd.examples.characters import Model

B = Dim.of("B")


class Case(NamedTuple):
    """A model `f(params, *inputs)`; its inputs have their rows along the first axis."""

    f: Callable[..., Any]
    params: Any
    inputs: list[Any]


def of_rows(f: Callable[..., Any], params: Any, width: int = 64) -> Case:
    return Case(f, params, [np.random.default_rng(1).random((5, width))])


def of_characters(model: Model) -> Case:
    """A window and the state before it as inputs: the state is an array of rows as well."""
    params = model.initial(np.random.default_rng(0), 11, np.float64)
    state, tree = tree_flatten(model.start(params, 3))

    def f(params: Any, tokens: Any, *state: Any) -> Any:
        return tree_leaves(model.read(params, tokens, tree_unflatten(tree, state)))

    rng = np.random.default_rng(1)
    return Case(f, params, [rng.integers(0, 11, (3, 8)), *[x + 0.1 * rng.random() for x in state]])


def small_gpt() -> Case:
    rng = np.random.default_rng(0)
    size = nanogpt.Size(2, 16, 2, 8)
    params = nanogpt.initial(rng, 11, size, np.float64)
    return Case(lambda p, t: nanogpt.gpt(p, t, 2), params, [rng.integers(0, 11, (3, 8))])


def in_the_dsl() -> Case:
    install()
    from pycograd.examples import dsl

    model = dsl.weights
    names = list(model)
    return Case(
        lambda p, x: pg.params(**p).bind(dsl.predict)(x),
        {name: np.array(model[name]) for name in names},
        [np.random.default_rng(1).random((5, 2))],
    )


def made(name: str) -> Case:
    rng = np.random.default_rng(0)
    cases: dict[str, Callable[[], Case]] = {
        "logistic": lambda: of_rows(
            logistic.logistic_regression, {"w": rng.random(30), "b": np.array(0.3)}, 30
        ),
        "mlp": lambda: of_rows(mlp.mlp, mlp.initial(rng)),
        "highway": lambda: of_rows(highway.highway, highway.initial(rng, 10)),
        "regularized": lambda: of_rows(regularized.regularized, regularized.initial(rng)),
        "convnet": lambda: of_rows(convnet.convnet, convnet.initial(rng)),
        "transformer": lambda: of_rows(transformer.transformer, transformer.initial(rng)),
        "nanogpt": small_gpt,
        "gru": lambda: of_characters(recurrent.network(recurrent.GRU, 7)),
        "lstm": lambda: of_characters(recurrent.network(recurrent.LSTM, 7)),
        "rwkv": lambda: of_characters(Model(rwkv.initial(2, 6), rwkv.start, rwkv.parallel)),
        "wavenet": lambda: of_characters(
            Model(wavenet.initial(3, 8), wavenet.start, wavenet.stream)
        ),
        "dsl": in_the_dsl,
    }
    return cases[name]()


# What SciPy computes is in no file.
ON_THE_HOST = {"gaussian_process", "ode"}
NAMES = sorted(set(EXAMPLES) - ON_THE_HOST)


def avals(case: Case, of: str) -> list[Any]:
    """The inputs as they are, or with an open number of rows."""
    if of == "one size":
        return case.inputs
    return [ShapeDtypeStruct((B, *x.shape[1:]), x.dtype) for x in case.inputs]


def batches(case: Case, of: str) -> list[list[Any]]:
    """What a file is tried on: other numbers than the example's, and other sizes if it is open."""
    turned = [x[::-1].copy() for x in case.inputs]
    return [case.inputs, turned, *([[x[:2] for x in turned]] if of == "all sizes" else [])]


def agree(case: Case, run: Callable[..., Any], of: str, bound: float) -> None:
    for inputs in batches(case, of):
        found, wanted = run(*inputs), tree_leaves(case.f(case.params, *inputs))
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=bound, atol=bound * max(1, np.max(np.abs(b))))


SIZES = ["one size", "all sizes"]


@pytest.mark.parametrize("of", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_as_torchscript(tmp_path: Path, name: str, of: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("pycograd_torch", reason="pycograd-torch is not installed")
    case, path = made(name), tmp_path / "f.pt"
    pg.export_torchscript(pg.to_torch_module(case.f, case.params), avals(case, of), path)
    f = torch.jit.load(path)
    run = lambda *xs: [y.detach().numpy() for y in leaves(f(*map(torch.tensor, xs)))]
    agree(case, run, of, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("of", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_as_a_program_of_torch(tmp_path: Path, name: str, of: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("pycograd_torch", reason="pycograd-torch is not installed")
    case, path = made(name), tmp_path / "f.pt2"
    pg.export_program(pg.to_torch_module(case.f, case.params), avals(case, of), path)
    f = torch.export.load(path).module()
    run = lambda *xs: [y.detach().numpy() for y in leaves(f(*map(torch.tensor, xs)))]
    agree(case, run, of, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "keep"])
@pytest.mark.parametrize("of", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_as_onnx(tmp_path: Path, name: str, of: str, dtype: str) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("pycograd_onnx", reason="pycograd-onnx is not installed")
    case, path = made(name), tmp_path / "f.onnx"
    pg.export_onnx(case.f, avals(case, of), path, params=case.params, dtype=dtype)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}

    def run(*xs: Any) -> Any:
        given = {k.name: x.astype(kinds[k.type]) for k, x in zip(session.get_inputs(), xs)}
        return session.run(None, given)

    agree(case, run, of, 1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_as_stablehlo(tmp_path: Path, name: str) -> None:
    pytest.importorskip("jax", reason="jax is not installed")
    export = pytest.importorskip("pycograd_jax.export", reason="pycograd-jax is not installed")
    case, path = made(name), tmp_path / "f.mlir"
    export.export_stablehlo(lambda *xs: case.f(case.params, *xs), case.inputs, path)
    for inputs in batches(case, "one size"):
        wanted = tree_leaves(case.f(case.params, *inputs))
        export.verify_text(path.read_text(), inputs, wanted)


def test_what_scipy_computes_is_refused_with_a_reason(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("pycograd_onnx", reason="pycograd-onnx is not installed")
    rng = np.random.default_rng(0)
    x, y, new = rng.random((9, 3)), rng.random(9), rng.random((4, 3))
    predict = lambda p, new: gaussian_process.predict(p, x, y, new)
    path = tmp_path / "f.onnx"
    with pytest.raises(pg.ExportError, match=r"structured_solve .*no operator"):
        pg.export_onnx(predict, [new], path, params=gaussian_process.initial(3))
    with pytest.raises(pg.ExportError, match=r"ode .*scipy's"):
        theta = np.log([30.0, 4.0, 0.5, 0.02, 0.8, 0.02])
        pg.export_onnx(ode.solution, [np.arange(3.0)], path, params=theta)
    assert not path.exists()


def leaves(out: Any) -> list[Any]:
    return list(out) if isinstance(out, (tuple, list)) else [out]
