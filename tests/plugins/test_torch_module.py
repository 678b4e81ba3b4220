"""Modules and files of torch: `to_torch_module`, TorchScript, `torch.export`."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pycograd_torch", reason="pycograd-torch is not installed")

import torch

import pycograd
from pycograd import (
    Dim,
    ShapeDtypeStruct,
    capture,
    cond,
    frozen,
    grad,
    nn,
    random,
    scan,
    tied,
    while_loop,
)
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


def test_frozen_parameters_are_buffers_and_ties_one_parameter() -> None:
    w = np.eye(3)
    p = pycograd.params(a=w, b=frozen(np.full((3, 3), 2.0)), c=tied[w], d={"e": frozen(np.ones(3))})

    def f(p: Any, x: Any) -> Any:
        return np.tanh(x @ p["a"]) @ p["b"] @ p["c"] + p["d"]["e"]

    module, x = to_torch_module(f, p), np.ones((1, 3))
    assert {n for n, _ in module.named_parameters()} == {"a"}
    assert {n for n, _ in module.named_buffers()} == {"b", "d.e"}
    out = module(torch.tensor(x))
    np.testing.assert_allclose(out.detach().numpy(), f(p, x))
    out.sum().backward()
    first, second = grad(lambda a, c: np.sum(np.tanh(x @ a) @ (2 + 0 * w) @ c))(w, w)
    np.testing.assert_allclose(module.get_parameter("a").grad, first + second)


def test_parameters_that_are_tensors_are_copied() -> None:
    w = torch.ones(3, 2, requires_grad=True)
    module = to_torch_module(lambda p, x: x @ p["w"], {"w": w})
    assert module.get_parameter("w") is not w and module.get_parameter("w").is_leaf
    module(torch.ones(1, 3)).sum().backward()
    assert w.grad is None and torch.equal(module.get_parameter("w").grad, torch.ones(3, 2))


def test_numpy_inputs_are_an_error() -> None:
    with pytest.raises(TypeError, match=r"its inputs are tensors: torch\.from_numpy"):
        to_torch_module(model, params())(inputs())


@pytest.mark.parametrize("tree", [{"forward": 1.0}, {"training": {"w": np.ones(2)}}])
def test_names_that_modules_have_are_an_error(tree: Any) -> None:
    with pytest.raises(ValueError, match=r"have an attribute '(forward|training)'; give it"):
        to_torch_module(lambda p, x: x, tree)


def test_unknown_buffers_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"no parameter is named \['layer'\]; there are layers"):
        to_torch_module(model, params(), buffers=["layer"])


def test_what_is_no_function_makes_no_module() -> None:
    with pytest.raises(TypeError, match="f is a function of parameters and inputs, not a dict"):
        pycograd.to_torch_module({"w": np.ones(2)}, lambda p, x: x)  # type: ignore[arg-type]


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


def test_batches_of_several_sizes_under_torch_compile() -> None:
    torch._dynamo.reset()
    module = to_torch_module(model, params())
    sizes = (4, 5, 6, 4)
    for rows in sizes:
        module.specialize(torch.tensor(inputs(rows)))
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    for rows in sizes:
        found = compiled(torch.tensor(inputs(rows))).detach().numpy()
        np.testing.assert_allclose(found, model(params(), inputs(rows)), rtol=1e-12)


def scaled(p: Any, x: Any) -> Any:
    return x * TABLE * p["constant_0"]


@pytest.mark.parametrize("strict", [False, True])
def test_torchs_own_export_of_a_module_that_has_not_met_its_inputs(strict: bool) -> None:
    """Its buffers would be new in the export, whose program then writes into its input."""
    module = to_torch_module(scaled, {"constant_0": np.ones(4)})
    x = torch.ones(4, dtype=torch.float64)
    with pytest.raises(Exception, match=r"module\.specialize\(\*inputs\)"):
        torch.export.export(module, (x,), strict=strict)
    program = torch.export.export(module.specialize(x), (x,), strict=strict).module()
    for _ in range(2):
        np.testing.assert_array_equal(program(x).detach(), TABLE)
    assert torch.equal(x, torch.ones_like(x))


def test_copies_and_pickles_are_modules_of_their_own() -> None:
    module = to_torch_module(scaled, {"constant_0": np.ones(4), "constant_1": np.arange(4)})
    x = torch.ones(4, dtype=torch.float64)
    before = module(x).detach()
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(again(x), before)
        assert again.state_dict().keys() == module.state_dict().keys()
        with torch.no_grad():
            again.get_parameter("constant_0").zero_()
        assert torch.equal(module(x), before) and not again(x).any()
        again.load_state_dict(module.state_dict())
        assert torch.equal(again(x), before)


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


B = Dim.of("B")


def centred(p: Any, x: Any) -> Any:
    h = np.tanh(x @ p["w"] + TABLE)
    h = h - np.mean(h, axis=0)
    return nn.softmax(h), np.reshape(h, (-1,))[::-1], np.sum(np.hypot(h, 1.0)) / x.shape[0]


TABLE = np.arange(4.0)


@pytest.mark.parametrize("export", EXPORTS)
def test_symbolic_sizes_stay_open(export: Any, tmp_path: Path) -> None:
    p = {"w": np.random.default_rng(0).standard_normal((3, 4))}
    path = tmp_path / "model.pt2"
    module = to_torch_module(centred, p)
    export(module, [ShapeDtypeStruct((B, 3), np.float64)], path)
    script = export is export_torchscript
    run = torch.jit.load(path) if script else torch.export.load(path).module()
    for n in (1, 2, 17):
        x = np.random.default_rng(n).standard_normal((n, 3))
        for a, b in zip(run(torch.tensor(x)), centred(p, x)):
            np.testing.assert_allclose(a.detach().numpy(), b, atol=1e-12)
    # The module itself is what it was.
    assert module(torch.tensor(x))[0].shape == (17, 4)


@pytest.mark.parametrize("export", EXPORTS)
def test_symbols_are_shared_between_inputs(export: Any) -> None:
    n = Dim.of("N")
    avals = [ShapeDtypeStruct((B, n), np.float64), ShapeDtypeStruct((n, 2 * B), np.float64)]
    made = export(to_torch_module(lambda p, x, y: x @ y + p, np.array(1.0)), avals)
    run = made if export is export_torchscript else made.module()
    x, y = torch.ones(5, 3, dtype=torch.float64), torch.ones(3, 10, dtype=torch.float64)
    assert torch.equal(run(x, y), x @ y + 1)


@pytest.mark.parametrize("export", EXPORTS)
def test_a_loop_over_a_symbolic_size_is_refused(export: Any, tmp_path: Path) -> None:
    f = lambda w, x: scan(lambda c, row: (c + row * w, c), x[0], x)[0]
    module = to_torch_module(f, np.array(2.0))
    with pytest.raises(ExportError, match=r"scan: .*known number of steps"):
        export(module, [ShapeDtypeStruct((B, 3), np.float64)], tmp_path / "loop.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("export", EXPORTS)
def test_draws_are_in_no_file(export: Any, tmp_path: Path) -> None:
    module = to_torch_module(lambda w, key: w * random.normal(key, (2,)), np.array(2.0))
    key = random.key(0)
    wanted = 2.0 * random.normal(key, (2,))
    np.testing.assert_allclose(module(torch.tensor(key)).detach().numpy(), wanted)
    torch._dynamo.reset()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    np.testing.assert_allclose(compiled(torch.tensor(key)).detach().numpy(), wanted)
    with pytest.raises(ExportError, match=r"random_draw: .*draw outside"):
        export(module, [key], tmp_path / "draw.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("export", EXPORTS)
def test_a_file_has_the_permissions_of_any_other(export: Any, tmp_path: Path) -> None:
    export(to_torch_module(model, params()), [inputs()], tmp_path / "model.pt2")
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1 and len(list(tmp_path.iterdir())) == 2


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
    graph = capture(lambda x: np.tanh(x) / x.shape[0], ShapeDtypeStruct((B, 3), np.float64))
    exporter.export(graph, path)
    x = np.ones((6, 3))
    exporter.verify(path, [x], [np.tanh(x) / 6])


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
