"""The recipes for torch in several processes, run as they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pycograd_torch", reason="pycograd-torch is not installed")

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="this torch has no gloo",
)


@pytest.mark.parametrize(("name", "said"), [("torch_ddp", ""), ("torch_fsdp", " of 48 numbers")])
def test_two_processes_and_one_agree(name: str, said: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(RECIPES / f"{name}.py")],
        env={"OMP_NUM_THREADS": "1", **os.environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (line,) = [x for x in ran.stdout.splitlines() if "processes and one agree to" in x]
    assert float(line.split()[-1]) <= 1e-6
    kept = [int(x.split()[3]) for x in ran.stdout.splitlines() if said and x.endswith(said)]
    if said:  # each process has less than the whole, both together have it
        assert sum(kept) == 48 and max(kept) < 48
