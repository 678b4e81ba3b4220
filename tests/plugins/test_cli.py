"""The command line: it starts whatever state the plugins are in; its exit status says the rest."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import pycograd
from distributions import backend, install, plugin
from pycograd.cli import main
from pycograd.plugins import tables
from pycograd.plugins.doctor import satisfies
from pycograd.plugins.hub import Hub

Capture = pytest.CaptureFixture[str]
MonkeyPatch = pytest.MonkeyPatch


@pytest.fixture
def site(site: Path, fresh: Hub, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of distributions, with the hub over it as the one of the command line."""
    for module in ("pycograd.cli", "pycograd.plugins.doctor"):
        monkeypatch.setattr(f"{module}.HUB", fresh)
    return site


@pytest.fixture
def broken(site: Path) -> Path:
    """One backend that works, and every kind of broken one."""
    backend(site, "good", "chaos_good:Good")
    for name, value in {
        "import": "chaos_import:X",
        "exit": "chaos_exit:X",
        "death": "chaos_death:X",
        "probe": "chaos_backends:InProbe",
        "major": "chaos_backends:NewMajor",
        "library": "chaos_backends:NoLibrary",
    }.items():
        backend(site, name, value)
    backend(site, "torch", "chaos_good:Torch")
    backend(site, "torch", "chaos_good:Torch", "acme-torch")
    install(site, "stale", "1", {"pycograd.backends": {"stale": "gone:X"}})
    plugin(site, "half", "chaos_plugins:HalfWay")
    return site


def listed(capsys: Capture) -> dict[str, dict[str, object]]:
    return {f"{r['name']}@{r['distribution']}": r for r in json.loads(capsys.readouterr().out)}


# -- backends, plugins -------------------------------------------------------------------------
def test_the_list_runs_no_plugin(broken: Path, capsys: Capture) -> None:
    assert main(["backends", "--json"]) == 0
    found = {name: r["state"] for name, r in listed(capsys).items()}
    assert found == {
        "numpy@pycograd-core": "discovered",
        **{
            f"{name}@pycograd-{name}": "discovered"
            for name in ("good", "import", "exit", "death", "probe", "major", "library")
        },
        "torch@pycograd-torch": "ambiguous",
        "torch@acme-torch": "ambiguous",
        "stale@stale": "broken",
    }
    assert not [name for name in sys.modules if name.startswith("chaos_")]
    assert main(["backends"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "distribution", "version", "status", "why", "fix"]
    assert ["good", "pycograd-good", "1.0", "discovered"] in [row.split() for row in rows]


def test_probing_tells_the_rest(broken: Path, capsys: Capture) -> None:
    assert main(["backends", "--json", "--probe"]) == 0
    found = listed(capsys)
    states = {name.partition("@")[0]: r["state"] for name, r in found.items()}
    assert states == {
        **{"numpy": "active", "good": "active", "import": "broken", "exit": "broken"},
        **{"death": "broken", "probe": "broken", "major": "incompatible"},
        **{"library": "missing-framework", "torch": "ambiguous", "stale": "broken"},
    }
    assert found["good@pycograd-good"]["devices"] == ["cpu", "gpu:0", "gpu:1"]
    assert found["numpy@pycograd-core"]["framework_version"] == np.__version__
    assert "the driver does not answer" in str(found["probe@pycograd-probe"]["reason"])
    assert not [name for name in sys.modules if name.startswith("chaos_")]


def test_the_list_of_plugins(broken: Path, capsys: Capture) -> None:
    assert main(["plugins", "--json"]) == 0
    found = listed(capsys)
    assert found["half@pycograd-half"]["group"] == "pycograd.plugins"
    assert main(["plugins"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["plugin", "half", "pycograd-half", "1.0", "discovered", "chaos_plugins:HalfWay"] in rows


@pytest.mark.parametrize(
    "variable, value, said",
    [
        ("PYCOGRAD_BACKEND", "goood:cpu", "no backend named 'goood'. Did you mean 'good'?"),
        ("PYCOGRAD_BACKEND", "jax", "no backend named 'jax'."),
        ("PYCOGRAD_PREFER", "acme-good", "'acme-good' names no provider: write name=distribution"),
        ("PYCOGRAD_PREFER", "good=", "'good=' names no provider: write name=distribution"),
        ("PYCOGRAD_PREFER", "goood=acme", "there is no plugin 'goood'"),
        ("PYCOGRAD_PREFER", "good=acme", "'acme' provides no 'good'; there is pycograd-good"),
        ("PYCOGRAD_DISABLE_PLUGINS", "x, good", "there is no plugin 'x'"),
    ],
)
def test_what_the_environment_says_in_vain(
    variable: str, value: str, said: str, site: Path, capsys: Capture, monkeypatch: MonkeyPatch
) -> None:
    backend(site, "good", "chaos_good:Good")
    monkeypatch.setenv(variable, value)
    for command in ("backends", "plugins"):
        assert main([command, "--json"]) == 0
        out, err = capsys.readouterr()
        assert err == f"note: {variable}: {said}\n"
        assert "good@pycograd-good" in {f"{r['name']}@{r['distribution']}" for r in json.loads(out)}
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    at = lines.index(f"WRONG  {variable}: {value}; {said}")
    assert lines[at + 1] == f"       fix: set it anew, or unset {variable}"


@pytest.mark.parametrize(
    "variable, value",
    [
        ("PYCOGRAD_BACKEND", "good:gpu:1"),
        ("PYCOGRAD_BACKEND", " "),
        ("PYCOGRAD_PREFER", "jax=other, good = Pycograd_Good"),
        ("PYCOGRAD_DISABLE_PLUGINS", "good@pycograd-good, Pycograd_Good, jax"),
        ("PYCOGRAD_DISABLE_PLUGINS", "*"),
    ],
)
def test_what_the_environment_says_well(
    variable: str, value: str, site: Path, capsys: Capture, monkeypatch: MonkeyPatch
) -> None:
    backend(site, "good", "chaos_good:Good")
    monkeypatch.setenv(variable, value)
    assert main(["backends"]) == 0
    assert capsys.readouterr().err == ""


# -- explain -----------------------------------------------------------------------------------
def test_explain_names_who_lowers_a_primitive(site: Path, capsys: Capture) -> None:
    backend(site, "good", "chaos_good:Good")
    backend(site, "major", "chaos_backends:NewMajor")
    plugin(site, "half", "chaos_plugins:HalfWay")
    plugin(site, "well", "chaos_plugins:Well")
    assert main(["explain", "np.sin"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("primitive sin\n")
    assert "NumPy       numpy.sin\n" in out
    assert "rules       shape, jvp, vjp, batch\n" in out
    rows = {line.partition(" ")[0]: line.split()[1:] for line in out.splitlines()}
    assert rows["good"][:2] == ["chaos_good.lowered.<locals>.run", "(line"]
    assert rows["good"][-3:] == ["good", "(pycograd-good", "1.0)"]
    assert rows["major"][0] == "incompatible"
    assert rows["numpy"][:3] == ["its", "own", "implementation"]
    assert "plugin 'half' (pycograd-half 1.0) is installed but cannot run here." in err
    assert main(["explain", "chaos_triple"]) == 0
    out, _ = capsys.readouterr()
    assert "defined by  well (pycograd-well 1.0)\n" in out
    assert "well (pycograd-well 1.0)" in out.partition("\ngood")[2].splitlines()[0]
    assert main(["explain", "exp"]) == 0
    out, _ = capsys.readouterr()
    assert ["good", "none", "good", "(pycograd-good", "1.0)"] in [
        r.split() for r in out.split("\n")
    ]


def test_explain_a_function_written_in_numpy_and_one_that_is_not_there(
    site: Path, capsys: Capture
) -> None:
    assert main(["explain", "mean"]) == 0
    assert "composite mean" in capsys.readouterr().out
    assert main(["explain", "tanhh"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "no primitive or NumPy function named 'tanhh'. Did you mean tanh" in err


# -- doctor ------------------------------------------------------------------------------------
def test_the_doctor_sees_what_is_wrong(
    broken: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, fresh: Hub
) -> None:
    install(broken, "pycograd", "0.0.5", {}, record=["pycograd/__init__.py"])
    install(
        broken,
        "pycograd-acme",
        "2.0",
        {"pycograd.plugins": {"well": "chaos_plugins:Well"}},
        requires=["pycograd-core>=7", "nothing-like-it", 'torch; extra == "x"', "numpy>=1"],
    )
    backend(broken, "good", "chaos_good:Good", version="0.9")
    monkeypatch.setenv("PYCOGRAD_PREFER", "jax=other")
    fresh.refresh()
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    for line in (
        "WRONG  module pycograd: pycograd 0.0.5 brings a module of the same name",
        f"pycograd-core {pycograd.__version__} is installed, pycograd-acme 2.0 needs >=7",
        "nothing-like-it is not installed",
        "one of the two is stale, remove it",
        "WRONG  backend torch: provided by pycograd-torch 1.0; acme-torch 1.0 provides it too",
        "WRONG  backend import: pycograd-import 1.0, broken, RuntimeError: the shared library",
        "WRONG  backend death: pycograd-death 1.0, broken, loading it ends the process",
        "WRONG  backend major: pycograd-major 1.0, incompatible, pycograd-major 1.0 needs plugin",
        "ok     backend library: pycograd-library 1.0, missing-framework, there is no module",
        "ok     backend good: pycograd-good 1.0, active, 3.1",
        "ok     good: chaos: looked at good",
        "WRONG  plugin half: pycograd-half 1.0, broken, RuntimeError: half-way through",
        "ok     PYCOGRAD_PREFER: jax=other",
    ):
        assert line in out
    assert "torch; extra" not in out
    assert "numpy>=1" not in out


def test_the_doctor_finds_nothing_wrong(site: Path, capsys: Capture) -> None:
    backend(site, "good", "chaos_good:Good")
    from pycograd.plugins import doctor

    lines = [c for c in doctor._plugins()]
    assert [c.ok for c in lines] == [True, True]


@pytest.mark.parametrize(
    "version, specifiers, fits",
    [
        ("0.1.0", ">=0.1,<0.2", True),
        ("0.2.0", ">=0.1,<0.2", False),
        ("0.1", "==0.1.0", True),
        ("0.1.5", "==0.1.*", True),
        ("0.2", "!=0.1.*", True),
        ("0.1.9", "~=0.1.2", True),
        ("0.2.0", "~=0.1.2", False),
        ("1!weird", "@ file", True),
        ("2.0rc1", ">=2.0", True),
        ("1.9", ">1.9", False),
        ("1.9", "<=1.9", True),
    ],
)
def test_specifiers(version: str, specifiers: str, fits: bool) -> None:
    assert satisfies(version, specifiers) is fits


# -- the command itself ------------------------------------------------------------------------
def test_misuse_and_errors(site: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["no-such-command"])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert f"pycograd-core {pycograd.__version__}" in capsys.readouterr().out
    assert main(["new-plugin", "Not a name"]) == 1
    assert "ArgumentError: new-plugin: 'Not a name' is no name" in capsys.readouterr().err
    command = [sys.executable, "-m", "pycograd", "new-plugin", "Not a name"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr.endswith("write small letters, digits and _\n")  # with no line of Python's


def test_examples_are_run_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import pycograd.examples.__main__ as examples

    given: list[list[str]] = []
    monkeypatch.setattr(examples, "main", lambda words: given.append(words) or 0)
    assert main(["examples", "mlp", "--plot", "x.png"]) == 0
    assert given == [["mlp", "--plot", "x.png"]]


@pytest.mark.parametrize("ok", [True, False])
def test_conformance_passes_the_report_on(
    ok: bool, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Report:
        def __init__(self, name: str) -> None:
            self.name, self.ok = name, ok

        def __str__(self) -> str:
            return f"what was found of {self.name}"

        def to_json(self) -> str:
            return json.dumps({"backend": self.name})

    kit = types.ModuleType("pycograd.testing.conformance")
    kit.check_backend = Report  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, kit.__name__, kit)
    file = tmp_path / "report.json"
    assert main(["conformance", "acme", "--report", str(file)]) == (0 if ok else 1)
    assert capsys.readouterr().out == "what was found of acme\n"
    assert json.loads(file.read_text()) == {"backend": "acme"}
    assert main(["conformance", "acme"]) == (0 if ok else 1)


def test_a_report_that_cannot_be_written_is_refused_before_the_run(
    tmp_path: Path, capsys: Capture, monkeypatch: MonkeyPatch
) -> None:
    def run(name: str) -> None:
        raise AssertionError("it ran")

    kit = types.ModuleType("pycograd.testing.conformance")
    kit.check_backend = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, kit.__name__, kit)
    for file, why in {
        tmp_path / "none" / "report.json": f"there is no folder {tmp_path / 'none'}",
        tmp_path: f"{tmp_path} is a folder",
    }.items():
        assert main(["conformance", "acme", "--report", str(file)]) == 2
        said = f"pycograd conformance: the report cannot be written: {why}\n"
        assert capsys.readouterr().err == said


def test_tables(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["a", "", "[red]"], ["bb", "", "y"]]
    tables.show(["x", "y", "z"], rows)
    assert capsys.readouterr().out == "x   z\na   [red]\nbb  y\n"
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    tables.show(["x", "y", "z"], rows)
    assert "[red]" in capsys.readouterr().out


PROGRAM = """
import runpy, sys
sys.argv = ["pycograd", "backends"]
try:
    runpy.run_module("pycograd", run_name="__main__")
except SystemExit as end:
    assert end.code == 0
heavy = {"pluggy", "rich", "scipy", "pytest", "torch", "jax", "tensorflow", "onnx"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert not [m for m in sys.modules if m.startswith(("chaos", "pycograd_"))]
"""


def test_the_list_imports_no_framework(broken: Path) -> None:
    here = str(Path(pycograd.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{broken}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "pycograd-good" in done.stdout
