"""`pycograd new-plugin`: what it writes installs, is found, runs, and passes its own tests."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pycograd
from pycograd.cli import main
from pycograd.core.errors import ArgumentError
from pycograd.plugins.template import render

HERE = str(Path(pycograd.__file__).parent.parent)


def test_it_writes_a_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "acme"]) == 0
    files = {p.relative_to(tmp_path).as_posix(): p for p in tmp_path.rglob("*") if p.is_file()}
    src = "pycograd-acme/src/pycograd_acme"
    assert set(files) == {
        "pycograd-acme/pyproject.toml",
        "pycograd-acme/README.md",
        f"{src}/__init__.py",
        f"{src}/arrays.py",
        f"{src}/backend.py",
        f"{src}/lowerings.py",
        f"{src}/py.typed",
        "pycograd-acme/tests/test_backend.py",
    }
    for name, file in files.items():
        text = file.read_text()
        assert "@" not in text.replace("@property", "").replace("x @ w", ""), name
        if name.endswith(".py"):
            ast.parse(text)
    project = files["pycograd-acme/pyproject.toml"].read_text()
    assert '"pycograd-core>=0.1,<0.2"' in project
    assert 'acme = "pycograd_acme.backend:AcmeBackend"' in project


def test_names_with_underscores(tmp_path: Path) -> None:
    folder = render("my_lib", tmp_path / "deeper" / "here")
    assert "class MyLibBackend(Backend):" in (folder / "src/pycograd_my_lib/backend.py").read_text()
    assert 'name = "pycograd-my-lib"' in (folder / "pyproject.toml").read_text()
    assert (folder.stat().st_mode & 0o777) == 0o755


@pytest.mark.parametrize("name", ["torch", "numpy", "cuda", "Acme", "a-b", "class", "", "1a", "é"])
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="new-plugin: "):
        render(name, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_it_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(ArgumentError, match="there is something at"):
        render("acme", tmp_path)
    with pytest.raises(ArgumentError, match="there is something at"):
        render("acme", tmp_path / "kept")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    (tmp_path / "empty").mkdir()
    assert (render("acme", tmp_path / "empty") / "README.md").exists()


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, target: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="the disk is full"):
        render("acme", tmp_path / "acme")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder of a rendered distribution, installed into a place of its own; an environment."""
    base = tmp_path_factory.mktemp("rendered")
    folder, target = render("acme", base / "pycograd-acme"), base / "target"
    command = (
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"),
        *("--no-build-isolation", "--target", str(target), str(folder)),
    )
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{target}"}


@pytest.mark.slow
def test_it_is_found_and_runs(installed: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    _, environment = installed
    command = [sys.executable, "-m", "pycograd", "backends", "--json", "--probe"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    (record,) = [r for r in json.loads(done.stdout) if r["name"] == "acme"]
    assert record["state"] == "active"
    assert (record["distribution"], record["devices"]) == ("pycograd-acme", ["cpu"])


@pytest.mark.slow
def test_it_passes_its_own_tests(installed: tuple[Path, dict[str, str]]) -> None:
    pytest.importorskip("pycograd.testing.conformance")
    folder, environment = installed
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "failed" not in done.stdout


@pytest.mark.slow
def test_it_conforms(installed: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    pytest.importorskip("pycograd.testing.conformance")
    _, environment = installed
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pycograd", "conformance", "acme", "--report", str(report)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert json.loads(report.read_text())
