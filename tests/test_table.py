"""Every primitive through every mode, from the sample tables of `pycograd.testing`."""

import importlib
import pkgutil

import numpy as np
import pytest

import pycograd
from pycograd.core.errors import DefinitionError
from pycograd.core.primitive import REGISTRY
from pycograd.testing.check import checks_of
from pycograd.testing.samples import Sample, all_samples

SAMPLES = list(all_samples())


def cases():
    for sample in SAMPLES:
        try:
            with np.errstate(all="ignore"):
                checks = list(checks_of(sample))
        except Exception:  # the sample does not run on plain arrays: one failure, not all of them
            checks = [("plain", lambda sample: list(checks_of(sample)))]
        for name, check in checks:
            yield pytest.param(sample, check, id=f"{sample.primitive}-{sample.name}-{name}")


@pytest.mark.parametrize(("sample", "check"), list(cases()))
def test_sample(sample, check):
    with np.errstate(all="ignore"):
        check(sample)


def test_every_primitive_has_a_sample():
    for module in pkgutil.walk_packages(pycograd.__path__, "pycograd."):
        if not module.name.startswith("pycograd.examples"):
            importlib.import_module(module.name)
    missing = {p.name for p in REGISTRY.values()} - {s.primitive for s in SAMPLES}
    assert not missing, f"primitives without a sample: {sorted(missing)}"


def test_every_sample_is_of_a_primitive():
    unknown = {s.primitive for s in SAMPLES} - set(REGISTRY)
    assert not unknown, f"samples of unknown primitives: {sorted(unknown)}"


def test_names_are_unique():
    names = [(s.primitive, s.name) for s in SAMPLES]
    assert len(names) == len(set(names))


def test_a_sample_cannot_lie():
    check = dict(checks_of(Sample("cos", np.sin, [np.ones(2)])))["bound"]
    with pytest.raises(AssertionError, match=r"binds .*sin.*, not cos"):
        check(Sample("cos", np.sin, [np.ones(2)]))


def test_a_skip_needs_a_reason():
    with pytest.raises(DefinitionError, match="reason"):
        Sample("sin", np.sin, [np.ones(2)], skip={"second": ""})
    with pytest.raises(DefinitionError, match="unknown groups"):
        Sample("sin", np.sin, [np.ones(2)], skip={"vmpa": "why"})
