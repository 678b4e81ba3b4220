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


PROGRAM = """
import jax, numpy as np
from pycograd import compile_to
held, fixed = np.arange(3.0), np.arange(3.0)
fixed.flags.writeable = False
f = lambda x: np.sum(x * x * held + np.where(x > 0.0, fixed, 2.0))
x = jax.device_put(np.ones(3, np.float32), jax.devices()[2])
for jit in (False, True):
    run = compile_to(f, "jax", jit=jit)
    for call in (run, jax.jit(run)):
        assert float(call(x)) == 6.0 and call(x).devices() == x.devices()
    for call in (jax.grad(run), jax.jit(jax.grad(run))):
        assert call(x).tolist() == [0.0, 2.0, 4.0] and call(x).devices() == x.devices()
print("there")
"""


def test_constants_of_compiled_code_go_with_its_inputs() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **flags}, capture_output=True, text=True
    )
    assert ran.stdout == "there\n", ran.stderr
