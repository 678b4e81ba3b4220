"""The DSL in files: modules after `pycograd.dsl.install()`, and `python -m pycograd run`."""

import importlib
import inspect
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pycograd
from pycograd import dsl
from pycograd.cli import main

MODULE = """# pycograd: dsl
'''A model.'''
from __future__ import annotations
import numpy as np

rng = np.random.default_rng(0)
weights = params{
    W = rng.standard_normal((3, 2)); b = frozen[np.ones(2)]
}
net = $ |> $ @ W + b |> np.tanh |> np.sum


def broken(x):
    return x |> $ + 1 |> $ / 0


class Layer:
    # macros and holes in methods
    def __call__(self, xs): return xs |> map[$ * self.scale]
    scale = 3
"""
PLAIN = "x = {'a': 1}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before, path = {*sys.modules}, [*sys.meta_path]
    yield tmp_path
    dsl.uninstall()
    assert sys.meta_path == path
    for name in {*sys.modules} - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    importlib.invalidate_caches()


def test_a_module(folder: Path) -> None:
    write(folder, dsl_model=MODULE, plain_one=PLAIN)
    dsl.install()
    dsl.install()
    model: Any = importlib.import_module("dsl_model")
    assert model.__doc__ == "A model." and model.__file__ == str(folder / "dsl_model.py")
    assert importlib.import_module("plain_one").x == {"a": 1}
    x = np.ones((4, 3))
    value, grads = model.weights.grad(model.net, x)
    W, b = model.weights.W.copy(), np.ones(2)
    expected, slope = pycograd.value_and_grad(lambda W: np.sum(np.tanh(x @ W + b)))(W)
    np.testing.assert_allclose(value, expected)
    np.testing.assert_allclose(grads.W, slope[0])
    assert model.Layer()([1, 2]) == [3, 6]
    assert inspect.getsource(model.broken).startswith("def broken(x):\n    return x |> $ + 1")
    assert not list(folder.glob("__pycache__/dsl_model*"))


def test_a_package_and_relative_imports(folder: Path) -> None:
    (folder / "dsl_package").mkdir()
    (folder / "dsl_package" / "__init__.py").write_text("#pycograd:dsl\nfrom .inner import twice\n")
    (folder / "dsl_package" / "inner.py").write_text("# pycograd: dsl \r\ntwice = $ |> $ * 2\r\n")
    dsl.install()
    assert importlib.import_module("dsl_package").twice(4) == 8


def test_errors_name_the_line_of_the_file(folder: Path) -> None:
    write(folder, dsl_model=MODULE, dsl_wrong="# pycograd: dsl\nx = 1\nparams{\n  a = 3 +\n}\n")
    dsl.install()
    with pytest.raises(ZeroDivisionError) as caught:
        importlib.import_module("dsl_model").broken(1)
    last = traceback.extract_tb(caught.tb)[-1]
    assert (last.lineno, last.line) == (14, "return x |> $ + 1 |> $ / 0")
    with pytest.raises(SyntaxError) as wrong:
        importlib.import_module("dsl_wrong")
    assert (wrong.value.lineno, wrong.value.text) == (4, "  a = 3 +\n")
    assert wrong.value.filename == str(folder / "dsl_wrong.py")


def test_without_the_line_or_the_finder_it_is_python(folder: Path) -> None:
    write(folder, no_line="x = 1 |> $\n", dsl_late="# pycograd: dsl\nx = 1 |> $ + 1\n")
    with pytest.raises(SyntaxError):
        importlib.import_module("dsl_late")
    dsl.install()
    with pytest.raises(SyntaxError):
        importlib.import_module("no_line")
    assert importlib.import_module("dsl_late").x == 2


SCRIPT = """
import sys
import dsl_helper
with params{w = 2.0} as weights:
    print(3.0 |> $ * w |> dsl_helper.double, __name__, sys.argv[1:])
if __name__ == "__main__" and "fail" in sys.argv:
    x = (1
         |> $ / 0)
"""


def test_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, script=SCRIPT, dsl_helper="# pycograd: dsl\ndouble = $ |> $ * 2\n")
    argv, main_module = sys.argv, sys.modules["__main__"]
    assert main(["run", str(folder / "script.py"), "--flag", "b"]) == 0
    assert capsys.readouterr().out == "12.0 __main__ ['--flag', 'b']\n"
    assert sys.argv is argv and sys.modules["__main__"] is main_module
    assert main(["run", str(folder / "missing.py")]) == 2
    assert "there is no file" in capsys.readouterr().err


def test_run_of_a_script_that_fails(folder: Path) -> None:
    write(
        folder,
        script=SCRIPT,
        dsl_helper="# pycograd: dsl\ndouble = $ |> $ * 2\n",
        wrong="x = 1\nparams{ a = 3 + }\n",
        leaves="import sys\nsys.exit(1 |> $ + 2)\n",
    )

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pycograd", "run", f"{name}.py", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)

    failed = run("script", "fail")
    assert failed.returncode == 1
    assert 'File "script.py", line 8, in' in failed.stderr and "|> $ / 0)" in failed.stderr
    assert "files.py" not in failed.stderr and failed.stderr.count("Traceback") == 1
    wrong = run("wrong")
    assert wrong.returncode == 1
    assert 'File "wrong.py", line 2\n    params{ a = 3 + }\n' in wrong.stderr
    assert run("leaves").returncode == 3
