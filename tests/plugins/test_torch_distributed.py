"""The recipes for torch in several processes, run as they are."""

import os
import re
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


@pytest.mark.slow
@pytest.mark.parametrize(("name", "split"), [("torch_ddp", False), ("torch_fsdp", True)])
def test_two_processes_and_one_agree(name: str, split: bool) -> None:
    ran = subprocess.run(
        [sys.executable, str(RECIPES / f"{name}.py")],
        env={"OMP_NUM_THREADS": "1", **os.environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    # What two processes write may stand on one line.
    (worst,) = re.findall(r"2 processes and one agree to (\d\.\de[+-]\d+)", ran.stdout)
    assert float(worst) <= 1e-6
    kept = [int(n) for n in re.findall(r"keeps (\d+) of 48 numbers", ran.stdout)]
    if split:  # each process has less than the whole, both together have it
        assert len(kept) == 2 and sum(kept) == 48 and max(kept) < 48, ran.stdout


OFTEN = """
import sys
import tempfile
from pathlib import Path

from torch.multiprocessing import spawn

sys.path.append({folder!r})
import {name} as recipe


def often(rank, folder):
    for i in range(40):
        recipe.work(rank, Path(folder, str(i)).as_uri())
        print("over", i, flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        spawn(often, (folder,), 2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch_ddp", "torch_fsdp"])
def test_groups_come_to_their_end(name: str, tmp_path: Path) -> None:
    """The end of a group is a race of two threads in torch, which one run seldom loses."""
    script = tmp_path / "often.py"
    script.write_text(OFTEN.format(folder=str(RECIPES), name=name))
    ran = subprocess.run(
        [sys.executable, str(script)],
        env={"OMP_NUM_THREADS": "1", **os.environ},
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("over") == 80
