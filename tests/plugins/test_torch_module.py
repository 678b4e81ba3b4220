"""Modules and files of torch: `to_torch_module`, TorchScript, `torch.export`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pycograd_torch", reason="pycograd-torch is not installed")

import torch

from pycograd import capture, cond, grad, nn, while_loop
from pycograd.plugins.api import ExportError
from pycograd_torch import export_program, export_torchscript, to_torch_module
from pycograd_torch.export import TorchExportExporter, TorchScriptExporter

EXPORTS = [export_torchscript, export_program]
EXPORTERS = [TorchScriptExporter, TorchExportExporter]


def params() -> Any:
    rng = np.random.default_rng(0)
    return {
        "layers": [
            {"w": rng.standard_normal((5, 4)), "b": rng.standard_normal(4)},
            {"w": rng.standard_normal((4, 3)), "b": rng.standard_normal(3)},
        ],
        "scale": 2.0,
    }


def model(p: Any, x: Any) -> Any:
    for layer in p["layers"]:
        x = np.tanh(x @ layer["w"] + layer["b"])
    return p["scale"] * np.max(x, axis=1) + nn.logsumexp(x, axis=1)


def inputs(rows: int = 6) -> Any:
    return np.random.default_rng(rows).standard_normal((rows, 5))


# -- modules ---------------------------------------------------------------------------------------
def test_parameters_have_dotted_names() -> None:
    module = to_torch_module(model, params(), buffers=["layers.1"])
    assert {n for n, _ in module.named_parameters()} == {"layers.0.w", "layers.0.b", "scale"}
    assert {n for n, _ in module.named_buffers()} == {"layers.1.w", "layers.1.b"}
    assert module.state_dict().keys() == {
        "layers.0.w", "layers.0.b", "layers.1.w", "layers.1.b", "scale",
    }  # fmt: skip


def test_values_and_gradients_are_those_of_the_function() -> None:
    p, x = params(), inputs()
    module = to_torch_module(model, p)
    out = module(torch.tensor(x))
    np.testing.assert_allclose(out.detach().numpy(), model(p, x), rtol=1e-12)
    out.sum().backward()
    (wanted,) = grad(lambda p: np.sum(model(p, x)))(p)
    np.testing.assert_allclose(module.get_parameter("scale").grad, wanted["scale"], rtol=1e-10)
    for i, layer in enumerate(wanted["layers"]):
        for name, g in layer.items():
            found = module.get_parameter(f"layers.{i}.{name}").grad
            assert found is not None
            np.testing.assert_allclose(found.numpy(), g, rtol=1e-10, atol=1e-12)


def test_two_batches_two_answers_and_other_shapes() -> None:
    p = params()
    module = to_torch_module(model, p)
    for x in (inputs(), 2 * inputs(), inputs(3)):
        found = module(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(found, model(p, x), rtol=1e-12)


def test_parameters_are_copies() -> None:
    p = params()
    module = to_torch_module(model, p)
    before = module(torch.tensor(inputs())).detach()
    p["layers"][0]["w"][...] = 0
    assert torch.equal(module(torch.tensor(inputs())), before)
    with torch.no_grad():
        module.get_parameter("layers.1.b").fill_(9.0)
    assert not np.any(p["layers"][1]["b"] == 9.0)


def test_an_array_in_two_places_is_one_parameter() -> None:
    w = np.eye(3)
    module = to_torch_module(lambda p, x: x @ p["a"] @ p["b"], {"a": w, "b": w})
    assert len(list(module.parameters())) == 1
    module(torch.ones(1, 3, dtype=torch.float64)).sum().backward()
    x = np.ones((1, 3))
    ga, gb = grad(lambda a, b: np.sum(x @ a @ b))(w, w)
    found = module.get_parameter("a").grad
    assert found is not None
    np.testing.assert_allclose(found.numpy(), ga + gb)


def test_the_module_may_change_its_dtype() -> None:
    module = to_torch_module(model, params()).to(torch.float32)
    out = module(torch.tensor(inputs(), dtype=torch.float32))
    assert out.dtype is torch.float32
    np.testing.assert_allclose(out.detach().numpy(), model(params(), inputs()), rtol=1e-4)


def test_a_single_array_and_trees_in_and_out() -> None:
    module = to_torch_module(lambda w, xs: {"y": xs["a"] @ w, "n": xs["n"]}, np.ones((3, 2)))
    out = module({"a": torch.ones(4, 3, dtype=torch.float64), "n": 3})
    assert out["y"].shape == (4, 2) and int(out["n"]) == 3
    assert [n for n, _ in module.named_parameters()] == ["params"]


def test_what_a_function_closes_over_moves_along() -> None:
    table = np.arange(6.0).reshape(3, 2)
    module = to_torch_module(lambda w, x: x @ table * w, np.ones(2))
    out = module(torch.ones(1, 3, dtype=torch.float64))
    np.testing.assert_allclose(out.detach().numpy(), [[6.0, 9.0]])
    assert "constant_0" not in module.state_dict()


def test_unknown_buffers_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"no parameter is named \['layer'\]; there are layers"):
        to_torch_module(model, params(), buffers=["layer"])


@pytest.mark.parametrize("fullgraph", [False, True])
def test_modules_under_torch_compile(fullgraph: bool) -> None:
    torch._dynamo.reset()
    x = torch.tensor(inputs())
    module = to_torch_module(model, params()).specialize(x)
    wanted = torch.autograd.grad(module(x).sum(), list(module.parameters()))
    compiled = torch.compile(module, backend="aot_eager", fullgraph=fullgraph)
    found = torch.autograd.grad(compiled(x).sum(), list(module.parameters()))
    for a, b in zip(found, wanted):
        assert torch.allclose(a, b, rtol=1e-10)


def test_higher_derivatives_by_torch() -> None:
    f = lambda w, x: np.sum(np.hypot(w, x) * np.sin(w))  # hypot has a rule of ours
    module = to_torch_module(f, np.array([0.3, 0.8]))
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    (w,) = module.parameters()
    (first,) = torch.autograd.grad(module(x), w, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), w)
    (wanted,) = grad(lambda w: np.sum(grad(f, argnums=0)(w, x.numpy())))(np.array([0.3, 0.8]))
    np.testing.assert_allclose(second.numpy(), wanted, rtol=1e-10)


def test_torch_func_over_a_module() -> None:
    module = to_torch_module(lambda w, x: np.sum(np.hypot(w, x)), np.array([0.3, 0.8]))
    xs = torch.tensor(inputs()[:, :2])
    module.specialize(xs[0])
    state = dict(module.named_parameters())
    loss = lambda state, x: torch.func.functional_call(module, state, (x,))
    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(state, xs)["params"]
    wanted = [grad(lambda w: np.sum(np.hypot(w, x)))(np.array([0.3, 0.8]))[0] for x in xs.numpy()]
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-10)


# -- exports ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("export", EXPORTS)
def test_exports_run_without_pycograd(export: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    x = inputs()
    export(to_torch_module(model, params()), [x], path)
    np.save(tmp_path / "x.npy", x)
    load = "torch.jit.load" if export is export_torchscript else "torch.export.load"
    call = "" if export is export_torchscript else ".module()"
    code = (
        "import numpy as np, sys, torch\n"
        f"f = {load}({str(path)!r}){call}\n"
        f"x = torch.tensor(np.load({str(tmp_path / 'x.npy')!r}))\n"
        f"np.save({str(tmp_path / 'y.npy')!r}, f(x).detach().numpy())\n"
        "assert not any(name.startswith('pycograd') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(params(), x), rtol=1e-10)
    assert {p.name for p in tmp_path.iterdir()} == {"model.pt2", "x.npy", "y.npy"}


@pytest.mark.parametrize("export", EXPORTS)
def test_exports_keep_both_branches(export: Any) -> None:
    f = lambda w, x: cond(x[0] > 0, lambda x: x * w, lambda x: -x, x)
    made = export(to_torch_module(f, np.array([2.0, 3.0])), [np.ones(2)])
    run = made if export is export_torchscript else made.module()
    for x in ([1.0, 1.0], [-1.0, 1.0]):
        wanted = f(np.array([2.0, 3.0]), np.array(x))
        np.testing.assert_allclose(run(torch.tensor(x, dtype=torch.float64)).detach(), wanted)


@pytest.mark.parametrize("export", EXPORTS)
def test_a_loop_over_data_is_refused_and_no_file_is_left(export: Any, tmp_path: Path) -> None:
    f = lambda w, x: while_loop(lambda x: np.sum(x) < 10, lambda x: x * w, x)
    module = to_torch_module(f, np.array(2.0))
    with pytest.raises(ExportError):
        export(module, [np.ones(2)], tmp_path / "loop.pt2")
    assert not list(tmp_path.iterdir())


def test_a_file_that_does_not_compute_the_same_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = to_torch_module(model, params())
    path = tmp_path / "model.pt"
    path.write_text("what was there")
    load = torch.jit.load
    monkeypatch.setattr(torch.jit, "load", lambda f: lambda x: load(f)(x) + 1e-3)
    with pytest.raises(ExportError, match="is not the module's"):
        export_torchscript(module, [inputs()], path)
    assert path.read_text() == "what was there" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("make", EXPORTERS)
def test_exporters_take_graphs(make: Any, tmp_path: Path) -> None:
    graph = capture(lambda x, n: np.tanh(x)[n], np.ones((3, 2)), np.array([0, 2]))
    exporter, path = make(), tmp_path / "graph.pt2"
    exporter.export(graph, path)
    x, n = np.arange(6.0).reshape(3, 2), np.array([2, 2])
    exporter.verify(path, [x, n], [np.tanh(x)[n]])
    with pytest.raises(ExportError):
        exporter.verify(path, [x, n], [np.tanh(x)[n] + 1e-3])
    with pytest.raises(ExportError, match="no options opset"):
        exporter.export(graph, path, opset=17)


def test_example_inputs_are_arrays() -> None:
    with pytest.raises(ExportError, match="not a str"):
        export_torchscript(to_torch_module(model, params()), ["x"])


# -- the distribution ------------------------------------------------------------------------------
def test_importing_the_plugin_imports_no_torch() -> None:
    code = (
        "import sys, pycograd_torch, pycograd_torch.backend, pycograd_torch.export\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_plugin_imports_the_interface_alone() -> None:
    import ast

    import pycograd_torch

    assert pycograd_torch.__file__
    for path in Path(pycograd_torch.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if name.split(".")[0] == "pycograd":
                    assert name == "pycograd.plugins.api", path


def test_found_by_name() -> None:
    from pycograd import device, get_backend

    assert get_backend("torch").name == get_backend("pytorch").name == "torch"
    with device("torch"):
        (g,) = grad(lambda x: np.sum(x * x))(np.ones(2))
    assert g.device == "torch:cpu"
    assert isinstance(g.native, torch.Tensor)
