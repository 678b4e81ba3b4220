"""Names become backends: what is found, in what order, and the words of every error."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pycograd
from distributions import backend, install
from pycograd import (
    activate,
    compile_to,
    device,
    get_backend,
    grad,
    jit,
    register_backend,
    value_and_grad,
)
from pycograd.core import device as devices
from pycograd.core.backend import Backend, Probe
from pycograd.core.errors import (
    AmbiguousBackendError,
    BackendUnavailableError,
    IncompatiblePluginError,
    LoweringNotFoundError,
    PluginError,
    UnknownBackendError,
)
from pycograd.core.primitive import REGISTRY
from pycograd.plugins.arrays import NumpyBackend
from pycograd.plugins.hub import Hub, get_exporter, refresh
from pycograd.plugins.records import parse

CORE = f"numpy (pycograd-core {pycograd.__version__})"
KNOWN = ["torch", "jax", "tf", "cupy", "mps"]


def known(*names: str) -> str:
    return ", ".join(f"{name} -> pip install pycograd-{name}" for name in names)


def states(hub: Hub) -> dict[str, str]:
    return {r.name: r.state for r in hub.records()}


# -- finding -----------------------------------------------------------------------------------
def test_numpy_is_always_there(fresh: Hub) -> None:
    assert states(fresh) == {"numpy": "discovered"}
    assert isinstance(get_backend("numpy"), NumpyBackend)
    assert states(fresh) == {"numpy": "active"}


def test_a_name_gives_the_one_instance_of_its_backend(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good")
    found = get_backend("good")
    assert type(found).__name__ == "Good"
    assert get_backend("good") is get_backend("good@pycograd-good:gpu:1") is found
    assert get_backend(found) is found
    assert type(found).probes == 1
    (_, record) = fresh.records()
    assert (record.state, record.framework_version) == ("active", "3.1")
    assert record.devices == ("cpu", "gpu:0", "gpu:1")


def test_listing_runs_no_code_of_a_plugin(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good")
    backend(site, "bad", "chaos_import:Bad")
    assert states(fresh) == {"numpy": "discovered", "good": "discovered", "bad": "discovered"}
    assert not [name for name in sys.modules if name.startswith("chaos_")]
    get_backend("good")
    assert [n for n in sys.modules if n.startswith("chaos_")] == ["chaos_good"]


def test_aliases_are_other_names(fresh: Hub, site: Path) -> None:
    backend(site, "torch", "chaos_good:Torch")
    assert get_backend("pytorch") is get_backend("torch") is get_backend("PyTorch:cpu")
    with pytest.raises(UnknownBackendError, match="no backend named 'tf'"):
        get_backend("tensorflow")
    with pytest.raises(UnknownBackendError, match="no backend named 'cupy'"):
        get_backend("cuda:1")


def test_parts_of_a_name() -> None:
    assert parse("torch") == ("torch", "", "")
    assert parse("torch:cuda:1") == ("torch", "", "cuda:1")
    assert parse("torch@Acme_Torch:cuda:1") == ("torch", "acme-torch", "cuda:1")


def test_what_was_installed_meanwhile_is_found_after_refresh(fresh: Hub, site: Path) -> None:
    backend(site, "torch", "chaos_good:Torch")
    first = get_backend("torch")
    backend(site, "good", "chaos_good:Good")
    with pytest.raises(UnknownBackendError):
        get_backend("good")
    refresh()
    assert get_backend("good").name == "good"
    assert get_backend("torch") is first


def test_a_module_or_a_library_that_is_not_there_shows_in_the_list(fresh: Hub, site: Path) -> None:
    install(site, "stale", "1", {"pycograd.backends": {"stale": "a_module_that_is_gone:X"}})
    backends = {"pycograd.backends": {"good": "chaos_good:Good"}}
    needs = {"pycograd.frameworks": {"good": "a_library_that_nobody_has"}}
    install(site, "pycograd-good", "1", {**backends, **needs}, modules=["chaos_good"])
    points = {"pycograd.backends": {"rare": "chaos_good:X"}, "pycograd.frameworks": {"rare": "rar"}}
    extras = ["rar-cuda12>=1; extra == 'cuda12'", 'rar-cuda13; extra == "cuda13"', "rarely; x"]
    install(site, "pycograd-rare", "1", points, requires=extras)
    _, good, rare, stale = fresh.records()
    assert rare.fix == 'pip install "pycograd-rare[cuda12]" or "pycograd-rare[cuda13]"'
    assert (stale.state, stale.reason) == ("broken", "there is no module 'a_module_that_is_gone'")
    assert good.state == "missing-framework"
    assert good.fix == "pip install a_library_that_nobody_has"


@pytest.mark.parametrize(
    "platform, classifiers, state",
    [
        ("linux", ["Operating System :: MacOS"], "unavailable"),
        ("darwin", ["Operating System :: MacOS"], "discovered"),
        ("darwin", ["Operating System :: MacOS :: MacOS X"], "discovered"),
        (
            "linux",
            ["Operating System :: MacOS", "Operating System :: POSIX :: Linux"],
            "discovered",
        ),
        (
            "win32",
            ["Operating System :: MacOS", "Operating System :: POSIX :: Linux"],
            "unavailable",
        ),
        ("win32", ["Operating System :: OS Independent", "Typing :: Typed"], "discovered"),
        ("win32", ["Typing :: Typed", "Operating System"], "discovered"),
        ("linux", ["Operating System :: Unix"], "discovered"),
        ("haiku", ["Operating System :: MacOS"], "discovered"),
    ],
)
def test_what_is_for_other_systems_is_not_offered(
    platform: str, classifiers: list[str], state: str,
    fresh: Hub, site: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "platform", platform)
    backend(site, "cupy", "chaos_good:Nowhere")
    points = {"pycograd.backends": {"good": "chaos_good:Good"}}
    install(site, "pycograd-good", "1.0", points, classifiers=classifiers)
    assert states(fresh)["good"] == state
    with pytest.raises(BackendUnavailableError) as caught:
        get_backend("cupy")
    offered = "numpy" if state == "unavailable" else "good, numpy"
    assert str(caught.value).endswith(f"fix: run on a CUDA machine, or choose one of: {offered}")
    (record,) = [r for r in fresh.records() if r.name == "good"]
    if state == "unavailable":
        systems = " and ".join(c.rpartition(" :: ")[2] for c in classifiers)
        assert (record.reason, record.fix) == (f"it is for {systems}", "use pycograd-good there")
    assert get_backend("good").name == "good"  # who asks for it gets what it says itself


def test_metadata_that_cannot_be_read_hurts_nobody(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good")
    info = install(site, "garbled", "1", {})
    (info / "entry_points.txt").write_text("[pycograd.backends]\nno equals sign\n")
    other = install(site, "nameless", "1", {"pycograd.backends": {"x": "y:z"}})
    (other / "METADATA").write_text("Version: 1\n")
    assert get_backend("good").name == "good"
    assert "x" not in states(fresh)
    assert any("nameless" in problem for problem in fresh.problems)


def test_of_two_metadata_of_one_distribution_the_first_counts(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good", version="1.0")
    install(site, "pycograd-good", "0.9", {"pycograd.backends": {"good": "gone:X"}})
    assert len([r for r in fresh.records() if r.name == "good"]) == 1
    assert any("one of the two is stale" in problem for problem in fresh.problems)


# -- errors, word by word ----------------------------------------------------------------------
def test_no_such_backend(fresh: Hub, site: Path) -> None:
    backend(site, "torch", "chaos_good:Torch", version="0.1.0")
    with pytest.raises(UnknownBackendError) as caught:
        get_backend("tourch")
    assert str(caught.value) == (
        "no backend named 'tourch'. Did you mean 'torch'?\n"
        f"  installed: {CORE}, torch (pycograd-torch 0.1.0)\n"
        f"  known, not installed: {known('jax', 'tf', 'cupy', 'mps')}"
    )


@pytest.mark.parametrize("name", [3, b"torch", ["torch"], NumpyBackend])
def test_what_names_no_backend(name: Any, fresh: Hub) -> None:
    def f(x: Any) -> Any:
        return np.sum(x * x)

    said = "the class NumpyBackend" if name is NumpyBackend else repr(name)
    uses: list[Callable[[], object]] = [
        lambda: get_backend(name),
        lambda: activate(name),
        lambda: device(name),
        lambda: compile_to(f, name),
        lambda: jit(f, backend=name),
        lambda: grad(f, backend=name)(np.ones(2)),
    ]
    for use in uses:
        with pytest.raises(TypeError, match='"torch@acme-torch", or is itself given') as caught:
            use()
        assert f"this is {said} ({__file__}:" in str(caught.value)
    with pytest.raises(TypeError, match="is no name"):
        register_backend(name, NumpyBackend)


def test_a_known_backend_that_is_not_installed(fresh: Hub) -> None:
    with pytest.raises(UnknownBackendError) as caught:
        get_backend("jax")
    assert str(caught.value) == (
        f"no backend named 'jax'.\n  installed: {CORE}\n  known, not installed: {known('jax')}"
    )


def test_the_name_of_a_device_is_none_of_a_backend(fresh: Hub) -> None:
    for name, written in {"cpu": "torch:cpu", "TPU": "jax:tpu"}.items():
        with pytest.raises(UnknownBackendError) as caught:
            device(name)
        said = f"no backend named {name!r}. A device follows the name of a backend: {written!r}\n"
        assert str(caught.value).startswith(said)


def test_a_backend_that_cannot_run_here(fresh: Hub, site: Path) -> None:
    backend(site, "torch", "chaos_good:Torch", version="0.1.0")
    backend(site, "cupy", "chaos_good:Nowhere", version="0.1.0")
    with pytest.raises(BackendUnavailableError) as caught:
        get_backend("cupy")
    assert str(caught.value) == (
        "backend 'cupy' (pycograd-cupy 0.1.0) is installed but cannot run here.\n"
        "  why: cupy 14.2 found no usable CUDA device (cudaErrorInsufficientDriver)\n"
        "  fix: run on a CUDA machine, or choose one of: numpy, torch"
    )
    assert states(fresh)["cupy"] == "unavailable"
    with pytest.raises(BackendUnavailableError):  # nothing is remembered that may have changed
        get_backend("cupy")


def test_a_plugin_for_another_version_of_the_interface(fresh: Hub, site: Path) -> None:
    modules = ["chaos_good", "chaos_backends"]
    points = {"pycograd.backends": {"major": "chaos_backends:NewMajor"}}
    install(site, "pycograd-acme", "2.0", points, modules=modules)
    points = {"pycograd.backends": {"minor": "chaos_backends:NewMinor"}}
    install(site, "pycograd-minor", "2.1", points)
    with pytest.raises(IncompatiblePluginError) as caught:
        get_backend("major")
    mine = f"this pycograd-core {pycograd.__version__} provides 1.0."
    assert str(caught.value) == f"pycograd-acme 2.0 needs plugin API 2; {mine}"
    assert states(fresh)["major"] == "incompatible"
    with pytest.raises(IncompatiblePluginError, match=r"needs plugin API 1\.7; this"):
        get_backend("minor")


def two(site: Path) -> None:
    backend(site, "torch", "chaos_good:Torch", version="0.1.0")
    backend(site, "torch", "chaos_good:Torch", "acme-torch", version="9")


def test_two_providers_of_a_name(fresh: Hub, site: Path) -> None:
    two(site)
    with pytest.raises(AmbiguousBackendError) as caught:
        get_backend("torch")
    assert str(caught.value) == (
        "backend 'torch' is provided by pycograd-torch 0.1.0 and acme-torch 9."
        ' Use backend="torch@acme-torch" or PYCOGRAD_PREFER'
    )
    assert [r.state for r in fresh.records()] == ["discovered", "ambiguous", "ambiguous"]
    assert get_backend("numpy").name == "numpy"


def test_ways_out_of_two_providers(fresh: Hub, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two(site)
    acme, ours = get_backend("torch@acme-torch"), get_backend("torch@pycograd-torch")
    assert acme is not ours
    monkeypatch.setenv("PYCOGRAD_PREFER", "jax=other, torch=Acme_Torch")
    assert get_backend("torch") is acme
    assert {r.distribution: r.state for r in fresh.records() if r.name == "torch"} == {
        "acme-torch": "active",
        "pycograd-torch": "active",  # it has been asked for by its full name
    }
    monkeypatch.setenv("PYCOGRAD_PREFER", "torch=pycograd-torch")
    assert get_backend("torch") is ours  # read when used
    monkeypatch.setenv("PYCOGRAD_PREFER", "torch=nobody")
    with pytest.raises(UnknownBackendError, match=r"'nobody' provides no backend named 'torch'"):
        get_backend("torch")
    assert states(fresh)["numpy"] == "discovered"  # the list is there all the same
    monkeypatch.delenv("PYCOGRAD_PREFER")
    monkeypatch.setenv("PYCOGRAD_DISABLE_PLUGINS", "acme-torch")
    assert get_backend("torch") is ours
    with pytest.raises(UnknownBackendError, match="'someone' provides no backend named 'torch'"):
        get_backend("torch@someone")


@pytest.mark.parametrize("value", ["good", "pycograd-good", "Pycograd_Good", "*", "x, good"])
def test_disabled_plugins(
    value: str, fresh: Hub, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend(site, "good", "chaos_good:Good")
    monkeypatch.setenv("PYCOGRAD_DISABLE_PLUGINS", value)
    assert states(fresh) == {"numpy": "discovered", "good": "disabled"}
    with pytest.raises(BackendUnavailableError) as caught:
        get_backend("good")
    assert str(caught.value) == (
        "backend 'good' (pycograd-good 1.0) is disabled.\n"
        f"  why: PYCOGRAD_DISABLE_PLUGINS={value}\n"
        "  fix: unset PYCOGRAD_DISABLE_PLUGINS"
    )
    assert get_backend("numpy").name == "numpy"
    monkeypatch.delenv("PYCOGRAD_DISABLE_PLUGINS")
    assert get_backend("good").name == "good"


def test_no_lowering(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good")
    with device("good"), pytest.raises(LoweringNotFoundError) as caught:
        grad(lambda x: np.sum(np.tanh(x)))(np.ones(2))
    assert str(caught.value).startswith(
        f"primitive 'tanh' has no lowering for backend 'good' ({__file__}:"
    )
    assert str(caught.value).endswith("). See: pycograd explain tanh")


def test_exporters_are_found_like_backends(fresh: Hub) -> None:
    with pytest.raises(UnknownBackendError) as caught:
        get_exporter("onnx")
    assert str(caught.value) == (
        "no exporter named 'onnx'.\n  installed: none\n"
        "  known, not installed: onnx -> pip install pycograd-onnx"
    )


# -- by the program ----------------------------------------------------------------------------
def test_registered_backends_outrank_installed_ones(fresh: Hub, site: Path) -> None:
    two(site)

    class Mine(NumpyBackend):
        pass

    register_backend("torch", Mine)
    assert type(get_backend("torch")) is Mine
    assert get_backend("torch").name == "torch"
    assert type(get_backend("torch@acme-torch")).__name__ == "Torch"
    register_backend("torch", lambda: Mine())
    assert type(get_backend("torch")) is Mine


def test_what_cannot_be_registered(fresh: Hub) -> None:
    with pytest.raises(TypeError, match="is no name"):
        register_backend("a:b", NumpyBackend)
    with pytest.raises(TypeError, match="pass a class"):
        register_backend("mine", NumpyBackend())  # type: ignore[arg-type]
    register_backend("mine", lambda: "x")  # type: ignore[arg-type,return-value]
    with pytest.raises(BackendUnavailableError, match="is a str, not a Backend"):
        get_backend("mine")


def test_what_a_backend_does_not_define_is_named(fresh: Hub) -> None:
    class Bare(Backend):
        name = "bare"

    class Few(Bare):
        def probe(self) -> Probe:
            return Probe(True, devices=("cpu",))

    with pytest.raises(BackendUnavailableError, match=r"Bare does not define probe \("):
        register_backend("bare", Bare)
        get_backend("bare")
    register_backend("bare", Few)
    for method, args in {
        **{"from_numpy": (0,), "to_numpy": (0,), "is_array": (0,), "dtype_of": (0,)},
        **{"cast": (0, 0), "grad_and_value": (0, 0, 0), "with_rule": (0, 0)},
    }.items():
        with pytest.raises(NotImplementedError, match=rf"Few does not define {method}$"):
            getattr(get_backend("bare"), method)(*args)
    with pytest.raises(NotImplementedError, match=r"Few does not define lowerings$"):
        get_backend("bare").lowering(REGISTRY["sin"])


# -- device ------------------------------------------------------------------------------------
def test_device_runs_the_tape_there(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good")
    x = np.linspace(0.1, 1.0, 4)
    with device("good:gpu"):
        value, (g,) = value_and_grad(lambda x: np.sum(np.sin(x) * x))(x)
        with device("numpy"):
            assert type(grad(np.sin)(np.float64(1.0))[0]) is np.float64
    assert isinstance(g, devices.DeviceArray)
    assert g.device == "good:gpu:0"
    np.testing.assert_allclose(np.asarray(g), np.cos(x) * x + np.sin(x))
    np.testing.assert_allclose(float(value), np.sum(np.sin(x) * x))
    assert type(grad(lambda x: np.sum(x * x))(x)[0]) is np.ndarray


def test_a_device_that_is_not_there(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good")
    with pytest.raises(BackendUnavailableError) as caught:
        device("good:gpu:7")
    assert str(caught.value) == (
        "backend 'good' has no device 'gpu:7' here.\n"
        "  why: its devices are cpu, gpu:0, gpu:1\n"
        "  fix: choose one of: good:cpu, good:gpu:0, good:gpu:1"
    )
    with pytest.raises(UnknownBackendError):
        device("goood")


def test_the_default_device_is_read_when_used(
    fresh: Hub, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend(site, "good", "chaos_good:Good")
    f = lambda x: np.sum(np.sin(x))
    with device():
        assert type(grad(f)(np.ones(2))[0]) is np.ndarray
    monkeypatch.setenv("PYCOGRAD_BACKEND", "good:gpu:1")
    with device():
        assert grad(f)(np.ones(2))[0].device == "good:gpu:1"
    assert type(grad(f)(np.ones(2))[0]) is np.ndarray  # the block is what places


def test_a_block_is_what_it_was_made_for_wherever_it_is_entered(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good")
    home, away = device("numpy"), device("good:gpu")

    def where() -> str:
        (g,) = grad(lambda x: np.sum(np.sin(x)))(np.ones(2))
        return g.device if isinstance(g, devices.DeviceArray) else "numpy"

    for _ in range(2):
        found = []
        with away:
            found.append(where())
            with home:
                found.append(where())
                with away:
                    found.append(where())
                with home:
                    found.append(where())
            found.append(where())
        assert found == ["good:gpu:0", "numpy", "good:gpu:0", "numpy", "good:gpu:0"]
        assert where() == "numpy"
    with pytest.raises(ZeroDivisionError), away:
        raise ZeroDivisionError
    assert where() == "numpy"
    assert away(where)() == "good:gpu:0"


def test_one_block_in_several_threads(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good")
    away, barrier, found = device("good"), threading.Barrier(2), []

    def run(number: int) -> None:
        with away:
            barrier.wait()  # both are inside; the first to enter may be the first to leave
            found.append(grad(lambda x: np.sum(np.sin(x)))(np.ones(2))[0].device)
            if number:
                barrier.wait()
        if not number:
            barrier.wait()
        assert type(grad(np.sin)(1.0)[0]) is float
        found.append("home")

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["good:cpu", "good:cpu", "home", "home"]


def test_numpys_block_made_before_any_other_leaves_one_all_the_same() -> None:
    program = (
        "import sys, numpy as np, pycograd\n"
        "from pycograd.testing.conformance.loopback import LoopbackBackend\n"
        "home = pycograd.device('numpy')\n"
        "with pycograd.device(LoopbackBackend()), home:\n"
        "    (g,) = pycograd.grad(lambda x: np.sum(x * x))(np.ones(2))\n"
        "print(type(g).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "ndarray\n", done.stderr


def test_activate_loads_before_the_first_use(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good")
    activate("good")
    assert states(fresh)["good"] == "active"
    with pytest.raises(UnknownBackendError, match="Did you mean 'good'"):
        activate("goood")


# -- threads -----------------------------------------------------------------------------------
def test_threads_that_ask_at_once_get_one_instance(fresh: Hub, site: Path) -> None:
    backend(site, "good", "chaos_good:Good")
    barrier, found = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait()
        found.append(get_backend("good"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({id(x) for x in found}) == 1
    assert type(found[0]).probes == 1


def test_a_plugin_that_asks_for_itself(fresh: Hub, site: Path) -> None:
    backend(site, "cycle", "chaos_cycle:Backend")
    with pytest.raises(PluginError, match="asks for itself while it is loaded"):
        get_backend("cycle")
    assert get_backend("numpy").name == "numpy"
