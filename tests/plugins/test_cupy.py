"""The CuPy backend without its hardware: NumPy stands for cupy, scipy.special for cupyx's."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import types
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pycograd_cupy", reason="pycograd-cupy is not installed")
pytest.importorskip("scipy.special", reason="scipy is not installed")

import scipy.special
from pycograd_cupy.backend import CupyBackend
from pycograd_cupy.elementwise import _OTHER_NAMES, _PARTS, _SAME, _SPECIAL

import pycograd as pg
from pycograd.core.device import DeviceArray, on, trace_of
from pycograd.core.errors import LoweringNotFoundError, UnsupportedDtypeError
from pycograd.core.tree import tree_leaves
from pycograd.graph.lowered import Lowered
from pycograd.testing.samples import all_samples
from results import assert_same, scalar

BACKEND = CupyBackend(np, scipy.special)
TRACE = trace_of(BACKEND)
SAMPLES = list(all_samples())
# Real where all roots are; on a device their dtype cannot wait for the data.
SETTLED = {"concatenate-roots"}


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def attempt(run):
    try:
        return run()
    except LoweringNotFoundError as error:
        assert "is not lowered by backend 'cupy': " in str(error) or "of complex" in str(error)
        pytest.skip(f"refused: {error}")
    except UnsupportedDtypeError as error:
        assert "float128" in str(error) or "bfloat16" in str(error)
        pytest.skip("CuPy has no such dtype")


def here(x):
    return TRACE.constant(x) if isinstance(x, (np.ndarray, np.generic)) else x


# What is asked of memory and text of an array is not of the device.
OF_THE_HOST = {"array_str", "array_repr", "array2string", "shares_memory", "may_share_memory"}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: f"{s.primitive}-{s.name}")
def test_forward_and_gradient(sample):
    name = f"{sample.primitive}-{sample.name}"
    if name in SETTLED or sample.name in OF_THE_HOST:
        pytest.skip("not of the device")
    with on(TRACE):
        got = attempt(lambda: sample.f(*map(here, sample.operands)))
    assert_same(got, sample.f(*sample.operands))
    if not sample.wrt or not any(hasattr(x, "dtype") for x in tree_leaves(got)):
        return
    loss = lambda *xs: scalar(sample.f(*xs))
    with on(TRACE):
        got = attempt(lambda: pg.grad(loss, argnums=sample.wrt)(*sample.operands))
    assert_same(got, pg.grad(loss, argnums=sample.wrt)(*sample.operands))


def test_most_of_the_table_is_lowered():
    """What is refused is of scipy.special, of its solvers, or has a reason of its own; what is
    composed of other operations needs no lowering."""
    from pycograd_cupy.lowerings import REFUSED

    code = (
        "from importlib import import_module; import pycograd.ops\n"
        "from pycograd.core.primitive import _HOMES, REGISTRY\n"
        "pycograd.ops.load(); import_module('pycograd.nn'); import_module('pycograd.random')\n"
        "for name in ('control', 'custom'): import_module(f'pycograd.transforms.{name}')\n"
        "print(*(name for name, p in REGISTRY.items() if not p.composed))\n"
        "for home in _HOMES: import_module(home)\n"
        "print(*REGISTRY)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours, everything = [set(line.split()) for line in done.stdout.splitlines()]
    table = set(BACKEND.lowerings)
    assert ours - table - set(REFUSED) == set()
    assert table - everything == set() and set(REFUSED) - everything == set()
    assert not table & set(REFUSED)


def test_control_flow_with_sub_graphs():
    def f(x):
        c, ys = pg.scan(lambda c, r: (np.tanh(c + r), c * r), x[0], x, reverse=True)
        return np.sum(pg.cond(np.sum(c) > 0.0, lambda c: c * 2.0, lambda c: -c, c)) + np.sum(ys)

    x = np.arange(12.0).reshape(4, 3) / 7.0 - 0.6
    g = pg.value_and_grad(f)
    assert_same(Lowered(pg.capture(g, x), BACKEND)(x), list(tree_leaves(g(x))))
    h = lambda x: pg.while_loop(lambda v: v < 100.0, lambda v: v * v, x)
    assert_same(Lowered(pg.capture(h, 3.0), BACKEND)(np.asarray(3.0)), [np.asarray(6561.0)])


def test_entries_written_twice_keep_the_last():
    def f(x, y):
        x = x.copy()
        x[np.array([0, 1, 0, 0])] = y
        return np.sum(x * np.array([1.0, 2.0, 3.0]))

    x, y = np.ones(3), np.arange(4.0)
    with on(TRACE):
        got = pg.value_and_grad(f)(x, y)
        assert type(got[1][0]) is DeviceArray
    assert_same(got, pg.value_and_grad(f)(x, y))


def test_an_index_out_of_bounds():
    with on(TRACE), pytest.raises(IndexError, match="index 7 is out of bounds for axis 1"):
        pg.grad(lambda x: np.sum(x[:, np.array([0, 7])]))(np.ones((2, 3)))


def test_there_is_no_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(UnsupportedDtypeError, match="no bfloat16 arrays: use float16 or float32"):
        BACKEND.from_numpy(np.ones(2, ml_dtypes.bfloat16))


# -- the probe -------------------------------------------------------------------------------------
def test_the_probe_without_cupy():
    if find_spec("cupy") is not None:
        pytest.skip("cupy is installed")
    probe = CupyBackend().probe()
    assert (probe.ok, probe.reason) == (False, "cupy is not installed")
    assert "pycograd-cupy[cuda12]" in probe.fix and "pycograd-cupy[cuda13]" in probe.fix


def module(count):
    """A stand-in that has CUDA, as far as asking for devices goes."""

    def devices():
        if isinstance(count, Exception):
            raise count
        return count

    made = types.SimpleNamespace(**{n: getattr(np, n) for n in ("array", "ndarray")})
    made.__version__ = "14.2.0"
    made.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=devices))
    return made


def test_the_probe_without_a_device():
    error = RuntimeError(
        "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
    )
    probe = CupyBackend(module(error)).probe()
    assert not probe.ok
    assert probe.reason == ("cupy 14.2.0 found no usable CUDA device (cudaErrorInsufficientDriver)")
    assert not CupyBackend(module(0)).probe().ok


def test_the_probe_with_devices():
    probe = CupyBackend(module(2)).probe()
    assert probe.ok and probe.devices == ("0", "1")


# -- the names -------------------------------------------------------------------------------------
def names_in(file):
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.ImportFrom, ast.Import)):
            found |= {(a.asname or a.name).split(".")[0] for a in node.names}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return found


def used_names():
    import pycograd_cupy

    names = set(_SAME.split())
    for file in Path(pycograd_cupy.__file__).parent.glob("*.py"):
        text = file.read_text()
        names |= set(re.findall(r"\bcp\.([a-z_0-9]+(?:\.[a-z_0-9]+)?)", text))
        names |= {f"linalg.{n}" for n in re.findall(r"\blinalg\.([a-z_0-9]+)", text)}
    return names - {"cuda", "cuda.runtime"}


def test_the_real_package_has_what_the_table_uses():
    """Read from its sources, since it cannot be imported without CUDA."""
    spec = find_spec("cupy")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("cupy's sources are not here")
    root = Path(next(iter(spec.submodule_search_locations)))
    top = names_in(root / "__init__.py")
    inner = {name: names_in(root / name / "__init__.py") for name in ("linalg", "fft")}
    for name in used_names():
        head, _, tail = name.partition(".")
        assert (tail in inner[head]) if tail and head in inner else (head in top), name
    theirs = names_in(root.parent / "cupyx" / "scipy" / "special" / "__init__.py")
    wanted = {*_SPECIAL.split(), *_OTHER_NAMES.values(), *_PARTS, "polygamma"}
    assert wanted <= theirs


def test_numpy_has_what_the_table_uses():
    for name in used_names():
        if name in ("asnumpy", "__version__"):
            continue
        place = np
        for part in name.split("."):
            assert hasattr(place, part), name
            place = getattr(place, part)


# -- packaging -------------------------------------------------------------------------------------
def test_importing_the_backend_imports_no_cupy():
    code = "import sys, pycograd_cupy.backend; print('cupy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("package", ["pycograd_cupy", "pycograd_mps"])
def test_nothing_of_the_core_but_the_interface_is_imported(package):
    pytest.importorskip(package)
    for file in Path(importlib.import_module(package).__file__).parent.rglob("*.py"):
        for line in file.read_text().splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]) and words[1].split(".")[0] == "pycograd":
                assert words[1] == "pycograd.plugins.api", f"{file.name}: {line}"
