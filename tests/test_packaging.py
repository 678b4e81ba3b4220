"""The distribution: what importing it costs, which way its imports point, what its wheel holds."""

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pycograd
from pycograd.dsl.source import parse

ROOT = Path(__file__).parent.parent
CORE = ROOT / "pycograd-core"
SOURCE = CORE / "src" / "pycograd"

# What each part of the package may import, besides itself. A new part needs a row here.
BASE = {"_version", "core"}
MACHINE = BASE | {"ops", "transparent", "transforms"}
ANY = None
LAYERS = {
    "_version": set(),
    "core": {"_version"},
    "ops": BASE,
    "transparent": BASE | {"ops"},
    "transforms": BASE | {"ops", "transparent"},
    "plugins": BASE,
    "graph": MACHINE | {"plugins"},
    "random": MACHINE,
    "nn": MACHINE | {"random"},
    "scipy": MACHINE | {"nn"},
    "optim": MACHINE,
    "parameters": MACHINE | {"plugins", "graph", "random", "nn", "optim"},
    "training": MACHINE | {"optim", "parameters"},
    "testing": ANY,
    "dsl": ANY,  # the syntax of whole programs
    "examples": ANY,
    "cli": ANY,
    "__init__": ANY,  # the public names
    "__main__": ANY,  # the command line
}

HEAVY = {
    "IPython",
    "hypothesis",
    "importlib_metadata",
    "jax",
    "matplotlib",
    "ml_dtypes",
    "pipescript",
    "pluggy",
    "pyccolo",
    "pytest",
    "rich",
    "scipy",
    "sklearn",
    "tensorflow",
    "torch",
    "traitlets",
}


def run(*command: object, **environment: str) -> str:
    """The output of a command that succeeds, without the caller's PYTHONPATH."""
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env={**inherited, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -- importing ---------------------------------------------------------------------------------


def test_import_brings_numpy_and_the_standard_library_only() -> None:
    program = (
        "import json, sys, numpy; before = set(sys.modules); import pycograd; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    here = str(Path(pycograd.__file__).parent.parent)  # the very package that is under test
    loaded = {
        name.partition(".")[0]
        for name in json.loads(run(sys.executable, "-c", program, PYTHONPATH=here))
    }
    assert "pycograd" in loaded
    assert not loaded & HEAVY
    assert loaded <= {"pycograd", "numpy"} | sys.stdlib_module_names


def part_of(module: str) -> str:
    """`pycograd.core.box` belongs to `core`, the package itself to `__init__`."""
    return (module.split(".") + ["__init__"])[1]


def imported(file: Path, root: Path | None = None) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every module of ours that a file imports, at its top or anywhere."""
    package = ("pycograd", *file.relative_to(SOURCE).parent.parts) if root is None else ("",)
    for node in ast.walk(parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*origin, *filter(None, [node.module])))
            # `from pycograd import core` names a part; `from pycograd.core import Box` a member
            names = [f"{module}.{a.name}" for a in node.names] if module == "pycograd" else [module]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == "pycograd")


def misdirected(file: Path) -> list[str]:
    """The imports of a file that point against the order of LAYERS."""
    here = part_of(f"pycograd.{file.relative_to(SOURCE).parts[0].removesuffix('.py')}")
    allowed = LAYERS[here]
    return [
        f"{file.relative_to(CORE)}:{line} ({here}) imports {name}"
        for line, name in imported(file)
        if allowed is not ANY and part_of(name) not in allowed | {here}
    ]


def test_every_part_has_its_place_in_the_order() -> None:
    parts = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert parts - {"__pycache__"} <= set(LAYERS)


def test_imports_point_one_way() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert files
    assert [wrong for file in files for wrong in misdirected(file)] == []


@pytest.mark.parametrize(
    "line, names",
    [
        ("import pycograd.ops.shape", ["pycograd.ops.shape"]),
        ("from pycograd import nn, optim", ["pycograd.nn", "pycograd.optim"]),
        ("from pycograd.ops import shape", ["pycograd.ops"]),
        ("from . import box", ["pycograd.core"]),
        ("from .box import Box", ["pycograd.core.box"]),
        ("from ..ops.shape import reshape", ["pycograd.ops.shape"]),
        ("from .. import ops", ["pycograd.ops"]),
        ("def f():\n    import pycograd.nn", ["pycograd.nn"]),
        ("import numpy.linalg", []),
    ],
)
def test_the_reader_of_imports(
    line: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    file = tmp_path / "core" / "module.py"
    file.parent.mkdir()
    file.write_text(line)
    assert [name for _, name in imported(file)] == names


def test_plugins_import_nothing_but_their_interface() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in sorted(ROOT.glob("pycograd-*/src/pycograd_*/**/*.py"))
        for line, name in imported(file, file.parent)
        if name != "pycograd.plugins.api"
    ]
    assert wrong == []


def test_star_brings_every_public_name() -> None:
    names: dict[str, object] = {}
    exec("from pycograd import *", names)
    assert {"grad", "jacobian", "Adam", "softmax", "nn", "ShapeError"} <= set(names)
    assert not [name for name in names if name.startswith("_") and name != "__builtins__"]


# -- what it says of itself --------------------------------------------------------------------


@pytest.fixture
def metadata() -> importlib.metadata.PackageMetadata:
    try:
        return importlib.metadata.metadata("pycograd-core")
    except importlib.metadata.PackageNotFoundError:
        pytest.fail("pycograd-core is on the path, not installed: pip install -e ./pycograd-core")


def test_version_is_that_of_the_distribution(metadata: importlib.metadata.PackageMetadata) -> None:
    assert pycograd.__version__ == metadata["Version"]


def test_claimed_pythons_agree(metadata: importlib.metadata.PackageMetadata) -> None:
    minors = [
        int(match[1])
        for line in metadata.get_all("Classifier") or []
        if (match := re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", line))
    ]
    first, last = min(minors), max(minors)
    assert minors == list(range(first, last + 1))
    assert set(metadata["Requires-Python"].split(",")) == {f">=3.{first}", f"<3.{last + 1}"}


def test_the_licence_travels_with_the_distribution() -> None:
    assert (CORE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


# -- installed, not editable -------------------------------------------------------------------


def wheel(project: Path, folder: Path) -> Path:
    """The wheel of a project, built with what is installed here."""
    run(
        sys.executable,
        *("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", folder, project),
    )
    (built,) = folder.glob("*.whl")
    return built


def contents(built: Path) -> set[str]:
    return set(json.loads(run(sys.executable, "-c", LISTING, built)))


LISTING = "import json, sys, zipfile; print(json.dumps(zipfile.ZipFile(sys.argv[1]).namelist()))"

PROGRAM = """
import json
import numpy as np
import pycograd
from pycograd import grad, hessian, vmap

x = np.linspace(0.1, 1.0, 4)
(first,) = grad(lambda x: np.sum(np.sin(x) * x))(x)
second = hessian(lambda x: np.sum(np.sin(x) * x), argnums=0)(x)
each = vmap(grad(lambda x: np.sin(x) * x, argnums=0))(x)
print(json.dumps([pycograd.__file__, first.tolist(), np.diag(second).tolist(), each.tolist()]))
"""


@pytest.mark.slow
def test_runs_from_site_packages(tmp_path: Path) -> None:
    built = wheel(CORE, tmp_path / "wheels")
    names = contents(built)
    shipped = {f"pycograd/{path.relative_to(SOURCE).as_posix()}" for path in SOURCE.rglob("*.py")}
    assert shipped | {"pycograd/py.typed"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "pycograd",
        "pycograd_core",
    }

    # A bare environment that borrows this one's NumPy. Python reads no .pth files in a folder that
    # another .pth names, so an editable install in it stays out of sight.
    home = tmp_path / "environment"
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(site, "borrowed.pth").write_text(str(Path(np.__file__).parent.parent) + "\n")
    install = ("install", "--quiet", "--no-deps", "--no-index", built)
    run(sys.executable, "-m", "pip", "--python", python, *install)

    place, first, second, each = json.loads(run(python, "-c", PROGRAM))
    x = np.linspace(0.1, 1.0, 4)
    assert Path(place).is_relative_to(site)
    np.testing.assert_allclose(first, np.cos(x) * x + np.sin(x))
    np.testing.assert_allclose(each, np.cos(x) * x + np.sin(x))
    np.testing.assert_allclose(second, 2 * np.cos(x) - x * np.sin(x))


@pytest.mark.slow
def test_the_workspace_itself_installs_no_code(tmp_path: Path) -> None:
    names = contents(wheel(ROOT, tmp_path))
    assert {name.partition("/")[0] for name in names} == {"pycograd_workspace-0.dist-info"}
