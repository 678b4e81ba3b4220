"""Files of trained models, run by interpreters that have no pycograd."""

import json
import pickle
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsl_code import run

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pycograd_torch", reason="pycograd-torch is not installed")

import torch

import pycograd as pg
from pycograd import Dim, ShapeDtypeStruct, nn

B = Dim.of("B")

# A model in the DSL with all that is special about weights: one is frozen, one a buffer that the
# training writes, one array in two places, and one float.
SOURCE = """
weights = params{
    table = 0.5 * rng.standard_normal((7, 6))
    block = {"w": 0.4 * rng.standard_normal((6, 6)), "gain": np.ones(6), "shift": np.zeros(6)}
    mean = buffer[np.zeros(6)]
    mix = frozen[rng.standard_normal((6, 6))]
    out = {"w": tied[table], "b": np.zeros(7)}
    heat = 1.5
}
hidden = (
    $ |> embedding(table, $) |> layer_norm($, block.gain, block.shift) |> $ @ block.w
    |> gelu |> np.mean($, axis=1)
)
scores = $ |> hidden |> ($ - mean) @ mix |> ($ @ out.w.T + out.b) * heat
predict = $ |> scores |> softmax
objective = |> tokens |> scores |> cross_entropy($, labels)
"""


def trained() -> dict[str, Any]:
    """A model that has learnt which of the numbers of a row is there twice."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 60)
    rows = [rng.permutation([y, *rng.choice(np.delete(np.arange(7), y), 3)]) for y in labels]
    tokens = np.concatenate([np.stack(rows), labels[:, None]], axis=1)
    names = {name: getattr(nn, name) for name in ("embedding", "layer_norm", "gelu", "softmax")}
    made = run(
        SOURCE,
        rng=rng,
        np=np,
        tokens=tokens,
        labels=labels,
        cross_entropy=nn.cross_entropy,
        **names,
    )
    weights = made["weights"]
    first, _ = pg.train(weights, made["objective"], 60, pg.Adam(lr=0.05))
    weights.update_buffers(mean=np.mean(weights.bind(made["hidden"])(tokens), axis=0))
    _, last = pg.train(weights, made["objective"], 140, pg.Adam(lr=0.02))
    assert last < 0.2 * first
    return made


# `-I -S` leaves out what installs a package that is edited in place. A package that is installed as
# others are would still be found: so nothing of that name is.
ALONE = """
import sys
sys.path.append({packages!r})

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("pycograd"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
for name in ("pycograd", "pycograd_torch", "pycograd_onnx", "pycograd_jax", "pycograd.nn"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(name + " can be imported")
{code}
left = [name for name in sys.modules if name.startswith("pycograd")]
assert not left, left
"""


def alone(code: str) -> str:
    """What code prints where pycograd cannot be imported, though all else can."""
    text = ALONE.format(packages=sysconfig.get_paths()["purelib"], code=code)
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", text], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


RUN = """
import json
import numpy as np
import torch
torch.set_num_threads(1)
tokens = [np.load("{folder}/%d.npy" % i) for i in range(3)]
found = {{
    "script": lambda: torch.jit.load("{folder}/net.pt"),
    "open_script": lambda: torch.jit.load("{folder}/open.pt"),
    "program": lambda: torch.export.load("{folder}/net.pt2").module(),
    "open_program": lambda: torch.export.load("{folder}/open.pt2").module(),
}}
for name, load in found.items():
    f = load()
    for i, x in enumerate(tokens):
        if i < 2 or "open" in name:
            np.save("{folder}/%s_%d" % (name, i), f(torch.tensor(x)).detach().numpy())
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The trained model, batches of two sizes, and what files of torch made of them."""
    folder = tmp_path_factory.mktemp("files")
    made = trained()
    weights, predict = made["weights"], made["predict"]
    rng = np.random.default_rng(1)
    batches = [rng.integers(0, 7, (n, 5)) for n in (4, 4, 9)]
    for i, x in enumerate(batches):
        np.save(folder / f"{i}.npy", x)
    module = weights.to_torch_module(predict)
    sizes = [ShapeDtypeStruct((B, 5), np.int64)]
    pg.export_torchscript(module, batches[:1], folder / "net.pt")
    pg.export_torchscript(module, sizes, folder / "open.pt")
    pg.export_program(module, batches[:1], folder / "net.pt2")
    pg.export_program(module, sizes, folder / "open.pt2")
    alone(RUN.format(folder=folder))
    yield made, batches, folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["script", "program", "open_script", "open_program"])
def test_a_trained_model_in_a_file_of_torch(results: Any, name: str) -> None:
    made, batches, folder = results
    weights, predict = made["weights"], made["predict"]
    assert np.mean(np.argmax(weights.bind(predict)(made["tokens"]), 1) == made["labels"]) > 0.9
    for i, x in enumerate(batches):
        if i < 2 or "open" in name:
            found = np.load(folder / f"{name}_{i}.npy")
            np.testing.assert_allclose(found, weights.bind(predict)(x), rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "keep"])
@pytest.mark.parametrize("of", ["function", "module"])
def test_a_trained_model_in_a_file_of_onnx(results: Any, dtype: str, of: str) -> None:
    pytest.importorskip("pycograd_onnx", reason="pycograd-onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    made, batches, folder = results
    weights, predict = made["weights"], made["predict"]
    f = weights.bind(predict) if of == "function" else weights.to_torch_module(predict)
    path = folder / f"{of}_{dtype}.onnx"
    pg.export_onnx(f, [ShapeDtypeStruct((B, 5), np.int64)], path, dtype=dtype)
    printed = alone(
        "import json, numpy as np, onnxruntime\n"
        f"s = onnxruntime.InferenceSession({str(path)!r}, providers=['CPUExecutionProvider'])\n"
        "name = s.get_inputs()[0].name\n"
        f"xs = [np.load({str(folder)!r} + '/%d.npy' % i) for i in range(3)]\n"
        "print(json.dumps([s.run(None, {name: x})[0].astype(float).tolist() for x in xs]))\n"
        "assert 'torch' not in sys.modules\n"
    )
    bound = 1e-5 if dtype == "float32" else 1e-12
    for found, x in zip(json.loads(printed), batches, strict=True):
        np.testing.assert_allclose(found, weights.bind(predict)(x), atol=bound)


@pytest.mark.slow
def test_a_trained_model_as_stablehlo(results: Any) -> None:
    pytest.importorskip("jax", reason="jax is not installed")
    pytest.importorskip("pycograd_jax", reason="pycograd-jax is not installed")
    from pycograd_jax import export_stablehlo

    made, batches, folder = results
    weights, predict = made["weights"], made["predict"]
    path = folder / "net.mlir"
    export_stablehlo(weights.bind(predict), batches[:1], path)
    printed = alone(
        "import json, numpy as np, jax\n"
        "from jax.extend.backend import get_backend\n"
        "from jaxlib import xla_client\n"
        "jax.config.update('jax_enable_x64', True)\n"
        "client = get_backend('cpu')\n"
        "device = client.local_devices()[0]\n"
        f"text = open({str(path)!r}).read()\n"
        "devices = xla_client.DeviceList((device,))\n"
        "f = client.compile_and_load(text, devices, xla_client.CompileOptions())\n"
        "found = []\n"
        "for i in range(2):\n"
        f"    x = jax.device_put(np.load({str(folder)!r} + '/%d.npy' % i), device)\n"
        "    out = f.execute_sharded([x]).disassemble_into_single_device_arrays()\n"
        "    found.append(np.asarray(out[0][0]).tolist())\n"
        "print(json.dumps(found))\n"
    )
    for found, x in zip(json.loads(printed), batches[:2], strict=True):
        np.testing.assert_allclose(found, weights.bind(predict)(x), rtol=1e-10, atol=1e-12)


def shared(p: Any, x: Any) -> Any:
    return np.tanh(x @ p["w"]) * p["scale"]


@pytest.mark.slow
def test_a_state_is_for_all_and_a_pickled_module_needs_pycograd(tmp_path: Path) -> None:
    module = pg.to_torch_module(shared, {"w": np.eye(3), "scale": 2.0})
    torch.save(module.state_dict(), tmp_path / "state")
    (tmp_path / "module").write_bytes(pickle.dumps(module))
    printed = alone(
        "import pickle, torch\n"
        f"state = torch.load({str(tmp_path / 'state')!r})\n"
        "print(sorted(state), state['w'].sum().item())\n"
        "try:\n"
        f"    pickle.load(open({str(tmp_path / 'module')!r}, 'rb'))\n"
        "except ModuleNotFoundError as error:\n"
        "    print('pycograd_torch' in str(error))\n"
    )
    assert printed.splitlines() == ["['scale', 'w'] 3.0", "True"]


def test_a_module_goes_back_to_numpy() -> None:
    w, tie = np.random.default_rng(0).standard_normal((3, 3)), np.ones(3)
    p = {"layers": [{"w": w}, {"w": w}], "scale": 2.0, "n": np.array([1, 2]), "name": "tanh"}

    def f(p: Any, x: Any) -> Any:
        for layer in p["layers"]:
            x = getattr(np, p["name"])(x @ layer["w"]) * p["scale"]
        return x[:, p["n"]]

    module, x = pg.to_torch_module(f, p), np.ones((2, 3))
    with torch.no_grad():
        module.get_parameter("layers.0.w").mul_(0.5)
        module.get_parameter("scale").fill_(3.0)
    g, q = module.functional()
    assert q["layers"][0]["w"] is q["layers"][1]["w"] and q["name"] == "tanh"
    assert type(q["scale"]) is float and q["n"].dtype == np.int64
    np.testing.assert_array_equal(q["layers"][0]["w"], 0.5 * w)
    np.testing.assert_allclose(g(q, x), module(torch.tensor(x)).detach().numpy(), rtol=1e-12)
    q["layers"][0]["w"][...] = 0.0  # a copy
    assert torch.equal(module.get_parameter("layers.0.w"), torch.tensor(0.5 * w))
    half = module.to(torch.bfloat16).functional()[1]
    assert str(half["layers"][0]["w"].dtype) == "bfloat16"
    assert not np.any(tie != 1)


@pytest.mark.parametrize("export", [pg.export_torchscript, pg.export_program])
def test_what_is_no_module_is_not_exported_by_torch(export: Any, tmp_path: Path) -> None:
    weights = pg.params(w=np.ones((3, 2)))
    for f in (weights, weights.bind(shared), shared):
        with pytest.raises(pg.ExportError, match=r"weights\.to_torch_module\(f\), makes one"):
            export(f, [np.ones((2, 3))], tmp_path / "f")
    assert not list(tmp_path.iterdir())


def test_modules_that_are_not_ours_are_no_numpy(tmp_path: Path) -> None:
    pytest.importorskip("pycograd_onnx", reason="pycograd-onnx is not installed")
    with pytest.raises(pg.ExportError, match=r"Linear is no NumPy code; torch\.onnx\.export"):
        pg.export_onnx(torch.nn.Linear(3, 2), [np.ones((2, 3))], tmp_path / "f.onnx")
    module = pg.to_torch_module(shared, {"w": np.eye(3), "scale": 2.0})
    with pytest.raises(pg.ExportError, match="a module has parameters of its own"):
        pg.export_onnx(module, [np.ones((2, 3))], tmp_path / "f.onnx", params={"w": np.eye(3)})
    assert not list(tmp_path.iterdir())
