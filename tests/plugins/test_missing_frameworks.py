"""The plugins that are installed where their libraries are not: said, and nobody else is hurt.

`make test-no-frameworks` has an environment for it with every plugin and no library.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import pycograd as pg
from pycograd.plugins.hub import HUB
from pycograd.plugins.records import BACKENDS, EXPORTERS, Record


def missing(group: str) -> list[Record]:
    """Those of our own plugins whose library is not installed."""
    return [r for r in HUB.records(group) if r.framework and find_spec(r.framework) is None]


WITHOUT = missing(BACKENDS)
EXPORTERS_WITHOUT = missing(EXPORTERS)


def test_every_status_is_missing_framework_under_a_probe() -> None:
    if not WITHOUT:
        pytest.skip("every library is installed")
    for options in ([], ["--probe"]):
        command = [sys.executable, "-m", "pycograd", "backends", "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = {r["name"]: r for r in json.loads(done.stdout)}
        for record in WITHOUT:
            row = found[record.name]
            assert row["state"] == "missing-framework", row
            assert row["fix"].startswith("pip install "), row
            assert record.framework in row["reason"], row


def test_the_doctor_names_what_is_missing_and_nothing_else() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pycograd", "doctor"], capture_output=True, text=True
    )
    assert not done.stderr
    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    required = {r.framework for r in [*WITHOUT, *EXPORTERS_WITHOUT]} - {"cupy"}  # it is an extra
    assert done.returncode == bool(required)
    for framework in required:
        assert any(framework in line and "is not installed" in line for line in wrong), framework
    assert len(wrong) >= len(required)
    assert all(any(framework in line for framework in required) for line in wrong), wrong


@pytest.mark.parametrize("record", WITHOUT, ids=lambda r: str(r.name))
def test_a_use_says_what_to_install(record: Record) -> None:
    name = record.name
    for use in (
        lambda: pg.get_backend(name),
        lambda: pg.jit(np.sin, backend=name)(np.ones(2)),
        lambda: pg.compile_to(np.sin, name),
        lambda: pg.value_and_grad(np.sum, backend=name)(np.ones(2)),
    ):
        with pytest.raises(pg.BackendUnavailableError) as caught:
            use()
        said = str(caught.value)
        assert said.startswith(f"backend {name!r} ({record.source}) is installed but cannot run")
        assert "  fix: pip install " in said
    with pytest.raises(pg.BackendUnavailableError), pg.device(name):
        pass
    np.testing.assert_array_equal(pg.grad(np.sum)(np.ones(2))[0], np.ones(2))


@pytest.mark.parametrize("record", EXPORTERS_WITHOUT, ids=lambda r: str(r.name))
def test_an_export_says_what_to_install(record: Record, tmp_path: Path) -> None:
    from pycograd.plugins.hub import get_exporter

    with pytest.raises(pg.BackendUnavailableError, match=f"pip install {record.framework}"):
        get_exporter(record.name)
    if record.name == "onnx":
        path = tmp_path / "f.onnx"
        with pytest.raises(pg.BackendUnavailableError, match="pip install onnx"):
            pg.export_onnx(np.tanh, [np.ones(2)], path)
        assert not list(tmp_path.iterdir())
