"""The virtual environments of the contestants, made when first needed.

One holds this repository's peers and runs our own code too, so that every contestant built on
NumPy has the same NumPy; the second holds pycograd 0.0.5, which owns our module's name.
`PYCOGRAD_BENCH_ENV` and `PYCOGRAD_PEER_ENV` name environments to use as they are instead.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
PEERS: Final = Path(__file__).parent / "requirements-peers.txt"
OLDER: Final = "pycograd==0.0.5"


@functools.cache
def bench_python() -> Path:
    """Returns the interpreter of the environment with every contestant but the older pycograd."""
    given = os.environ.get("PYCOGRAD_BENCH_ENV")
    return python_of(Path(given)) if given else built(ROOT / ".venv-bench", requirements(PEERS))


@functools.cache
def peer_python() -> Path:
    """Returns the interpreter of the older pycograd's environment, with the same NumPy."""
    given = os.environ.get("PYCOGRAD_PEER_ENV")
    if given:
        return python_of(Path(given))
    ask = "from importlib.metadata import version; print(version('numpy'))"
    numpy = subprocess.run(
        [bench_python(), "-c", ask], check=True, capture_output=True, text=True
    ).stdout.strip()
    return built(ROOT / ".venv-peer", [OLDER, f"numpy=={numpy}"])


def built(folder: Path, wanted: list[str]) -> Path:
    """Returns the interpreter of an environment that has what is wanted, as far as it can be had.

    The folder keeps the list it was built from, and is completed when the list has changed.
    """
    python, stamp = python_of(folder), folder / "requirements"
    if python.exists() and stamp.exists() and stamp.read_text().splitlines() == wanted:
        return python
    print(f"making {folder.name}: {' '.join(wanted)}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (folder / ".gitignore").write_text("*\n")
    if not installed(python, wanted):
        # One that can't be had must not take the others with it; its worker says what is missing.
        missing = [line for line in wanted if not installed(python, [line])]
        print(f"could not install: {' '.join(missing)}", flush=True)
    else:
        stamp.write_text("\n".join(wanted))
    return python


def installed(python: Path, wanted: list[str]) -> bool:
    quiet = ["--quiet", "--disable-pip-version-check"]
    return subprocess.run([python, "-m", "pip", "install", *quiet, *wanted]).returncode == 0


def requirements(file: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [line for line in lines if line]


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
