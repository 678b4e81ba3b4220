"""Broken plugins: each hurts who asks for it, says what is wrong, and nobody else notices."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pycograd
from distributions import backend, install
from pycograd import device, get_backend, grad
from pycograd.core.errors import BackendUnavailableError, PluginError
from pycograd.plugins.apart import ask
from pycograd.plugins.hub import Hub
from pycograd.plugins.records import Record

# a backend of the chaos modules -> the cause that its error has to name
BROKEN = {
    "import": ("chaos_import:Bad", "RuntimeError: the shared library cannot be loaded"),
    "exit": ("chaos_exit:Bad", "SystemExit: 3"),
    "missing": ("chaos_good:Absent", "AttributeError: module 'chaos_good' has no attribute"),
    "probe": ("chaos_backends:InProbe", "OSError: the driver does not answer"),
    "type": ("chaos_backends:ProbeType", "probe() returned {'ok': True}, which is no Probe"),
    "init": ("chaos_backends:InInit", "ValueError: no licence was found"),
    "api": ("chaos_backends:ApiType", "has api = '1.0', which is no (major, minor)"),
    "text": ("chaos_backends:NOT_A_CLASS", "is a str, not a subclass of Backend"),
    "other": ("chaos_backends:NotABackend", "is the class NotABackend, not a subclass of Backend"),
    "name": ("chaos_backends:OtherName", "calls itself 'another', its entry point 'name'"),
}


@pytest.fixture
def everything(site: Path) -> Path:
    """A backend that works among all those that do not."""
    backend(site, "good", "chaos_good:Good")
    for name, (value, _) in BROKEN.items():
        backend(site, name, value)
    backend(site, "quiet", "chaos_backends:Quiet")
    backend(site, "library", "chaos_backends:NoLibrary")
    backend(site, "major", "chaos_backends:NewMajor")
    return site


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_says_why(name: str, fresh: Hub, everything: Path) -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        get_backend(name)
    first, why, fix = str(caught.value).splitlines()
    assert first == f"backend '{name}' (pycograd-{name} 1.0) is installed but cannot run here."
    assert why.startswith("  why: ")
    assert BROKEN[name][1] in why
    assert fix.startswith(f"  fix: update or uninstall pycograd-{name}, or choose one of: ")
    assert {"good", "numpy"} <= set(fix.partition("one of: ")[2].split(", "))
    assert caught.value.__cause__ is not None  # the root cause, with its own traceback
    (record,) = [r for r in fresh.records() if r.name == name]
    assert record.state == "broken"


def test_the_others_do_not_notice(fresh: Hub, everything: Path) -> None:
    for name in BROKEN:
        with pytest.raises(PluginError):
            get_backend(name)
    with device("good"):
        (g,) = grad(lambda x: np.sum(np.sin(x)))(np.ones(2))
    np.testing.assert_allclose(np.asarray(g), np.cos(np.ones(2)))
    assert get_backend("numpy").name == "numpy"


def test_a_broken_backend_may_be_mended(fresh: Hub, everything: Path) -> None:
    with pytest.raises(BackendUnavailableError):
        get_backend("import")
    fixed = (everything / "chaos_good.py").read_text().replace('"good"', '"import"')
    (everything / "chaos_import.py").write_text(fixed + "\nBad = Good\n")
    assert get_backend("import").name == "import"


def test_a_library_that_the_probe_does_not_find_is_a_missing_framework(
    fresh: Hub, everything: Path
) -> None:
    with pytest.raises(BackendUnavailableError) as caught:
        get_backend("library")
    assert "why: there is no module 'a_library_that_nobody_has'" in str(caught.value)
    assert "fix: pip install a_library_that_nobody_has, or choose" in str(caught.value)
    with pytest.raises(BackendUnavailableError, match="why: it does not say"):
        get_backend("quiet")
    found = {r.name: r.state for r in fresh.records()}
    assert found["library"] == found["quiet"] == "missing-framework"


# -- asked apart -------------------------------------------------------------------------------
def test_a_process_apart_answers_for_plugins_that_would_end_this_one(
    fresh: Hub, everything: Path
) -> None:
    backend(everything, "death", "chaos_death:Bad")
    backend(everything, "sleep", "chaos_sleep:Bad")
    fresh.refresh()
    records = {r.name: r for r in fresh.records()}
    named = ["good", "death", "exit", "probe", "major", "library"]
    found = [Record(**a["record"]) for a in ask([records[name] for name in named])]
    assert [r.state for r in found] == [
        *("active", "broken", "broken", "broken", "incompatible", "missing-framework")
    ]
    assert found[0].devices == ["cpu", "gpu:0", "gpu:1"]
    assert found[1].reason == "loading it ends the process, with exit status 7"
    (slow,) = ask([records["sleep"]], limit=2.0)
    assert (slow["record"]["state"], slow["record"]["reason"]) == ("broken", "no answer within 2 s")
    assert not [name for name in sys.modules if name.startswith("chaos_")]


# -- laziness ----------------------------------------------------------------------------------
PROGRAM = """
import sys
import numpy
import pycograd
assert not {"pluggy", "importlib.metadata", "pycograd.plugins"} & set(sys.modules)
from pycograd.plugins.hub import HUB
assert {"good", "import"} <= {r.name for r in HUB.records()}
assert not [m for m in sys.modules if m.startswith("chaos")]
pycograd.get_backend("good")
assert [m for m in sys.modules if m.startswith("chaos")] == ["chaos_good"]
"""


def test_importing_scans_nothing_and_listing_loads_nothing(everything: Path) -> None:
    here = str(Path(pycograd.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": f"{here}:{everything}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_exporters_fail_like_backends(fresh: Hub, site: Path) -> None:
    from pycograd.plugins.hub import get_exporter

    points = {"pycograd.exporters": {"onnx": "chaos_good:Good", "gone": "chaos_import:X"}}
    install(site, "acme-onnx", "1", points, modules=["chaos_good", "chaos_import"])
    with pytest.raises(PluginError, match="not a subclass of Exporter"):
        get_exporter("onnx")
    with pytest.raises(PluginError, match=r"exporter 'gone' \(acme-onnx 1\) is installed but"):
        get_exporter("gone")


def test_an_exporter_without_its_library_says_what_to_install(fresh: Hub, site: Path) -> None:
    from pycograd.plugins.hub import get_exporter

    points = {
        "pycograd.exporters": {"onnx": "chaos_good:Good"},
        "pycograd.frameworks": {"onnx": "a_library_that_nobody_has"},
    }
    install(site, "acme-onnx", "1", points, modules=["chaos_good"])
    with pytest.raises(BackendUnavailableError) as caught:
        get_exporter("onnx")
    assert str(caught.value) == (
        "exporter 'onnx' (acme-onnx 1) is installed but cannot run here.\n"
        "  why: there is no module 'a_library_that_nobody_has'\n"
        "  fix: pip install a_library_that_nobody_has"
    )
    assert "chaos_good" not in sys.modules
