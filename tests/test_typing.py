"""What a user's type checker sees of the package."""

import subprocess
import sys

import pycograd

PROGRAM = """
import numpy as np

import pycograd as pg
from pycograd import {names}

value, (g,) = value_and_grad(lambda x: np.sum(x * x))(np.ones(3))
optimizer = pg.Adam(lr=0.1)
key = pg.random.key(0)
"""


def test_every_public_name_is_exported_to_type_checkers(tmp_path):
    modules = {"nn", "random", "testing", "optim", "training"}
    modules |= {"core", "ops", "transforms", "examples"}
    names = [n for n in dir(pycograd) if not n.startswith("_") and n not in modules]
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(names=", ".join(names)))
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in found.stdout.splitlines() if "program.py" in line]
    assert found.stdout and not ours, "\n".join(ours)
