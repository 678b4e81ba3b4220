"""The recipe for JAX on several devices, run as it is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="JAX is not installed")
pytest.importorskip("pycograd_jax", reason="pycograd-jax is not installed")

RECIPE = Path(__file__).parents[2] / "docs" / "recipes" / "jax_sharding.py"


def test_eight_devices_and_one_agree() -> None:
    ran = subprocess.run(
        [sys.executable, str(RECIPE)],
        env={"OMP_NUM_THREADS": "1", **os.environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    errors = dict(re.findall(r"^(.*): 8 devices and one agree to (\S+)$", ran.stdout, re.M))
    kept = dict(re.findall(r"^(.*): a device keeps (\d+) of 192 numbers$", ran.stdout, re.M))
    assert errors.keys() == kept.keys() == {"data parallel", "parameters split"}
    assert all(float(e) <= 1e-6 for e in errors.values())
    assert kept == {"data parallel": "192", "parameters split": "24"}
