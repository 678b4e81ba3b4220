"""Executes the notebooks of this folder, each in a kernel of its own, for `make docs-notebooks`.

python docs/notebooks/build.py OUT [NAME ...]    executed copies in OUT; fails if a cell does
python docs/notebooks/build.py --clean           takes out of the stored ones what a run left
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parent
SECONDS = 300  # of one cell, on a machine that is busy with others
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def stored() -> list[Path]:
    """The notebooks of this folder."""
    return sorted(FOLDER.glob("*.ipynb"))


def cleaned(text: str) -> str:
    """A notebook without outputs, counts and identifiers, and with the metadata of no machine."""
    notebook = nbformat.reads(text, as_version=4)
    cells = []
    for cell in notebook.cells:
        kept = {"cell_type": cell.cell_type, "metadata": {}, "source": cell.source.strip("\n")}
        if cell.cell_type == "code":
            kept |= {"execution_count": None, "outputs": []}
        cells.append(nbformat.from_dict(kept))
    # Cells of the format 4.4 have no identifiers, which editors draw at random.
    made = nbformat.from_dict(
        {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 4}
    )
    nbformat.validate(made)
    return str(nbformat.writes(made)) + "\n"


def execute(path: Path) -> Any:
    """The notebook with its outputs; it runs in an empty folder, which is then removed.

    Raises:
        CellExecutionError: in one of the cells; the message shows it.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        # A start-up file of the user would be part of the lesson.
        environment = {**os.environ, "IPYTHONDIR": str(Path(folder, ".ipython"))}
        place = Path(folder, "work")
        place.mkdir()
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            startup_timeout=SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(place)}},
        )
        client.execute(env=environment)
    return notebook


def main(arguments: list[str]) -> int:
    if arguments == ["--clean"]:
        for path in stored():
            path.write_text(cleaned(path.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    if not arguments or arguments[0].startswith("-"):
        print(__doc__)
        return 2
    out, names = Path(arguments[0]), arguments[1:]
    out.mkdir(parents=True, exist_ok=True)
    paths = [FOLDER / f"{name}.ipynb" for name in names] or stored()
    failed = []
    for path in paths:
        started = time.perf_counter()
        try:
            nbformat.write(execute(path), out / path.name)
        except CellExecutionError as error:
            failed.append(path.stem)
            print(f"{path.name}: {error}", file=sys.stderr)
        else:
            print(f"{path.name}: {time.perf_counter() - started:.1f} s", flush=True)
    if failed:
        print(f"notebooks that failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
