"""The notebooks of docs/notebooks: what is stored, and that each runs and shows what it says."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"

# Each subject that the documentation promises, and what its notebook needs.
CORE = ("sklearn", "matplotlib")
NEEDS = {
    "dsl": (*CORE, "safetensors"),
    "vmap": CORE,
    "recurrent": CORE,
    "compile": (*CORE, "torch", "jax", "tensorflow", "onnx", "onnxruntime", "pycograd_mps"),
    "devices": (*CORE, "torch", "jax", "array_api_strict", "safetensors"),
    "graphs": CORE,
    "remat": CORE,
    "einops": (*CORE, "einops"),
    "embedding": CORE,
}
# What its text has to be about.
SUBJECTS = {
    "dsl": ("params{", "|>", "tied[", "frozen[", "weights.grad", "%unload_ext"),
    "vmap": ("vmap(grad(", "clipped", "DP-SGD", "in_axes"),
    "recurrent": ("rnn_cell", "scan(", "rwkv_parallel", "rwkv_recurrent"),
    "compile": (
        *("compile_to", "backend=name, jit=jit", "to_torch_module", "export_torchscript"),
        *("export_program", "export_onnx", "export_stablehlo", "MpsBackend", "not run"),
    ),
    "devices": ("on_cpu", "on_device", "with device(", "not run"),
    "graphs": ("capture", "optimize", "grad_graph", ".show()", "render", "cost_report", "to_json"),
    "remat": ("plan_remat", "eval_scheduled", "apply_remat_plan", "checkpoint"),
    "einops": ("rearrange", "reduce", "repeat", "einsum", "pack"),
    "embedding": ("embedding(", "padding_idx", "tied["),
}
NAMES = sorted(NEEDS)


def builder() -> Any:
    spec = importlib.util.spec_from_file_location("notebooks_build", FOLDER / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = builder()


def test_every_subject_has_its_notebook() -> None:
    assert [path.stem for path in build.stored()] == NAMES == sorted(SUBJECTS)
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"| [{name}]({name}.ipynb) |" in page for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_notebook_is_clean(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert build.cleaned(text) == text, "run `make format`"
    for trace in ("/home/", "/root/", "/tmp/", "/Users/", "/work/", "\\Users\\", "site-packages"):
        assert trace not in text
    notebook = nbformat.reads(text, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_a_lesson_on_its_subject(name: str) -> None:
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    prose, code = (
        ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]
        for kind in ("markdown", "code")
    )
    for part in SUBJECTS[name]:
        assert part in "\n".join(prose + code), part
    assert prose[0].startswith("# ") and len(prose) >= 8
    assert sum("assert " in cell for cell in code) >= len(code) / 2  # its claims can fail


def test_cleaning_takes_out_what_a_run_left() -> None:
    ran = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "mine", "display_name": "Mine"}, "path": "/home/x"},
        cells=[
            nbformat.v4.new_markdown_cell("# A"),
            nbformat.v4.new_code_cell(
                "1 + 1",
                execution_count=3,
                metadata={"execution": {"iopub.status.busy": "2026"}},
                outputs=[nbformat.v4.new_output("stream", text="2\n")],
            ),
        ],
    )
    clean = json.loads(build.cleaned(nbformat.writes(ran)))
    assert clean["metadata"] == build.METADATA and clean["nbformat_minor"] == 4
    assert clean["cells"] == [
        {"cell_type": "markdown", "metadata": {}, "source": ["# A"]},
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": ["1 + 1"],
        },
    ]


def test_a_cell_that_fails_fails_the_build(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    for name, source in (("good", "print(6 * 7)"), ("wrong", "assert 6 * 7 == 41")):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        text = build.cleaned(nbformat.writes(notebook))
        (tmp_path / f"{name}.ipynb").write_text(text, encoding="utf-8")
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    out = tmp_path / "out"
    assert build.main([str(out), "good"]) == 0
    assert "42" in (out / "good.ipynb").read_text(encoding="utf-8")
    assert build.main([str(out)]) == 1
    said = capsys.readouterr().err
    assert "wrong.ipynb" in said and "AssertionError" in said and "that failed: wrong" in said


QUICK = {"dsl", "vmap", "devices", "graphs"}  # `make docs-notebooks` executes all


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in NAMES],
)
def test_a_notebook_runs(name: str) -> None:
    for module in NEEDS[name]:
        pytest.importorskip(module)
    notebook = build.execute(FOLDER / f"{name}.ipynb")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    printed = [o for cell in code for o in cell.outputs if o.output_type != "error"]
    assert len(printed) >= 4
