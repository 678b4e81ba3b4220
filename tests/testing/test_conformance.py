"""The conformance kit, on backends that conform and on backends that do not."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from pycograd import compile_to, device, grad
from pycograd.core.backend import Probe
from pycograd.core.errors import BackendUnavailableError
from pycograd.plugins.hub import HUB, register_backend
from pycograd.plugins.records import BACKENDS
from pycograd.testing.conformance import BackendConformance, check_backend
from pycograd.testing.conformance.loopback import LoopbackArray, LoopbackBackend
from pycograd.testing.samples import Sample, all_samples

CONTROL = ("cond", "scan", "while_loop", "checkpoint")
SIN = [Sample("sin", np.sin, [np.ones(2)], name="0")]


class TestLoopback(BackendConformance):
    backend = LoopbackBackend()
    every = 12


class TestNumpy(BackendConformance):
    backend = "numpy"
    every = 60


def test_numpy_runs_sub_graphs():
    report = check_backend("numpy", samples=[s for s in all_samples() if s.primitive in CONTROL])
    assert not report.failures, str(report)


SOLVERS = ("ode", "integral", "implicit")


def test_numpy_runs_scipys_solvers_and_declares_what_depends_on_data():
    samples = [s for s in all_samples() if s.primitive in SOLVERS or s.name == "roots"]
    report = check_backend("numpy", samples=samples)
    assert report.ok, str(report)
    expected = [r.name for r in report.results if r.status == "expected"]
    assert expected == [f"{kind}:concatenate-roots" for kind in ("forward", "jvp", "float32")]


@pytest.mark.parametrize(
    "lowering, said",
    [
        ({"sinn": np.sin}, "there is no primitive 'sinn', which it lowers; did you mean 'sin'?"),
        ({"nothing like it": np.sin}, "there is no primitive 'nothing like it', which it lowers"),
        ({"sin": "sin"}, "the lowering of 'sin' is 'sin', no function"),
    ],
)
def test_a_table_that_is_misspelt(lowering, said):
    class Misspelt(LoopbackBackend):
        lowerings = {**LoopbackBackend().lowerings, **lowering}

    (failure,) = [r for r in check_backend(Misspelt(), samples=[]).failures]
    assert failure.name == "lowerings:names" and failure.reason == f"AssertionError: {said}"


def test_the_device_of_a_name_is_the_one_that_is_tried():
    found = []

    class Two(LoopbackBackend):
        name = "two"

        def devices(self):
            return ("cpu", "gpu:0")

        def from_numpy(self, array, device=None):
            found.append(device)
            return super().from_numpy(array, device)

    register_backend("two", Two)
    try:
        for name, device_ in {"two": "cpu", "two:gpu": "gpu:0"}.items():
            check_backend(name, samples=SIN)
            assert found[-1] == device_  # of the samples, which come last
        with pytest.raises(BackendUnavailableError, match="no device 'nowhere'"):
            check_backend("two:nowhere", samples=SIN)
    finally:
        HUB.unregister(BACKENDS, "two")


def test_a_primitive_of_a_backends_own_has_its_name():
    class Own(LoopbackBackend):
        lowerings = {**LoopbackBackend().lowerings, "loopback_norm": np.linalg.norm}

    class Heir(Own):
        name = "heir"

    for backend in (Own(), Heir()):
        assert not check_backend(backend, samples=[]).failures


def test_transforms_inside_a_lowering_stay_on_its_own_arrays():
    found = []

    class Curious(LoopbackBackend):
        def lowering(self, primitive, operands=()):
            run = super().lowering(primitive, operands)

            def curious(*xs, **params):
                found.append(grad(lambda x: np.sum(x * x))(np.ones(2))[0])
                return run(*xs, **params)

            return curious

    with device(Curious()):
        (slope,) = grad(lambda x: np.sum(np.sin(x)))(np.zeros(2))
    assert found and {type(x) for x in found} == {np.ndarray}
    np.testing.assert_array_equal(np.asarray(slope), [1.0, 1.0])


@pytest.mark.slow
def test_numpy_conforms_in_full():
    report = check_backend("numpy")
    assert report.ok, str(report)


@pytest.mark.slow
def test_loopback_conforms_in_full():
    report = check_backend(LoopbackBackend())
    assert report.ok, str(report)
    assert len(report.calls) > 350


@pytest.mark.skipif(find_spec("array_api_strict") is None, reason="array-api-strict is not there")
@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_the_standard_conforms_and_refuses_the_rest(every):
    from pycograd.testing.conformance.strict import StrictBackend

    report = check_backend(StrictBackend(), samples=list(all_samples())[::every])
    assert report.ok, str(report)
    assert [r.status for r in report.results if r.name.startswith("placement")] == ["passed"] * 4
    assert any(r.status == "refused" for r in report.results)


@pytest.mark.skipif(find_spec("array_api_strict") is None, reason="array-api-strict is not there")
@pytest.mark.parametrize("place", ["CPU_DEVICE", "device1", "device2"])
def test_constants_of_compiled_code_are_where_its_inputs_are(place):
    from pycograd.testing.conformance.strict import StrictBackend

    backend, held = StrictBackend(), np.arange(3.0)
    f = compile_to(lambda x, c=1.0: np.sum(np.where(x > 0.0, x * held, held)) + c, backend)
    for device_, args in (("device1", ()), (place, ()), (place, (2.0,))):
        out = f(backend.from_numpy(np.ones(3), device_), *args)
        assert backend.device_of(out) == device_
        assert float(backend.to_numpy(out)) == 3.0 + (args or (1.0,))[0]


def test_the_loopback_library_does_not_mix_with_numpy():
    x = LoopbackArray(np.ones(2))
    for mix in (lambda: np.ones(2) + x, lambda: np.sin(x), lambda: np.asarray(x), lambda: x * 2):
        with pytest.raises(TypeError):
            mix()


# -- backends that do not conform ------------------------------------------------------------------
def failures(backend, samples=SIN, **options):
    return {r.name: r.reason for r in check_backend(backend, samples=samples, **options).failures}


class Wrong(LoopbackBackend):
    """Of one operation it has another one."""

    expected_failures = {}

    @property
    def lowerings(self):
        return {**{name: self._table[name] for name in self._table}, "sin": self._table["cos"]}


def test_a_wrong_lowering_fails_forward_and_in_every_transform():
    found = failures(Wrong())
    assert {f"{kind}:sin-0" for kind in ("forward", "tape", "jvp", "compiled")} <= set(found)


class Detached(LoopbackBackend):
    """Its arrays are NumPy's own, so nothing ever runs on it."""

    expected_failures = {}

    def from_numpy(self, array, device=None):
        return np.array(array)

    def to_numpy(self, array):
        return array

    def is_array(self, x):
        return isinstance(x, np.ndarray)


def test_numpy_in_disguise_fails():
    assert any(name.startswith("arrays:") for name in failures(Detached()))


def test_a_backend_that_never_ran_does_not_conform():
    report = check_backend(LoopbackBackend(), samples=[])
    assert report.calls  # the programs of the kit's own
    silent = type(report)("x", "", [], {})
    assert not silent.ok
    assert "no lowering ever ran" in str(silent)


class Nothing(LoopbackBackend):
    """It has no lowering of anything."""

    expected_failures = {}
    lowerings = {}


def test_refusals_are_no_passes():
    report = check_backend(Nothing(), samples=SIN)
    assert not report.ok
    assert {r.status for r in report.results if r.name.endswith("sin-0")} == {"refused"}


class Liar(LoopbackBackend):
    """Its probe says that it cannot run here, and its float32 is float64."""

    expected_failures = {}

    def probe(self):
        return Probe(False, "no reason")

    def from_numpy(self, array, device=None):
        array = np.array(array)
        return super().from_numpy(array.astype(np.float64) if array.dtype == np.float32 else array)


def test_a_probe_and_dtypes_that_are_not_true_fail():
    found = failures(Liar())
    assert "it runs here, but" in found["probe:honest"]
    assert "dtype float64" in found["arrays:float32"]


def test_expected_failures_are_strict_and_need_a_reason():
    backend = Wrong()
    every = {"*:sin-0": "it is the cosine"}
    report = check_backend(backend, samples=SIN, expected=every)
    assert report.ok, str(report)
    assert any(r.status == "expected" for r in report.results)

    right = LoopbackBackend()
    report = check_backend(right, samples=SIN, expected={"forward:sin-0": "it was wrong once"})
    assert not report.ok
    assert "it passes" in str(report)

    report = check_backend(right, samples=SIN, expected={"forward:none-such": "of old"})
    assert not report.ok
    assert "none-such" in str(report)
    with pytest.raises(ValueError, match="reason"):
        check_backend(right, samples=SIN, expected={"forward:sin-0": ""})


def test_the_report_as_json():
    report = check_backend(LoopbackBackend(), samples=SIN)
    read = json.loads(report.to_json())
    assert read["backend"] == "loopback"
    assert read["calls"]["sin"] > 0
    assert {r["status"] for r in read["results"]} >= {"passed"}


def test_by_name():
    register_backend("loopback", LoopbackBackend)
    try:
        assert check_backend("loopback", samples=SIN).backend == "loopback"
    finally:
        HUB.unregister(BACKENDS, "loopback")
