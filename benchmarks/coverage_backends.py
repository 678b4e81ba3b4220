"""What each backend has of pycograd's primitives: lowered, or refused and why.

    python benchmarks/coverage_backends.py [REPORT ...]

runs in the environment of `make test-plugins`. It reads the tables of lowerings of the plugins that
are installed; NumPy stands for CuPy, whose table needs no CUDA. A REPORT is what `pycograd
conformance NAME --report REPORT` wrote: its counts are kept beside the table, until another report
of that backend comes. It writes docs/coverage_backends.json, which the coverage page shows.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
RESULT: Final = ROOT / "docs" / "coverage_backends.json"
COMMAND: Final = "make docs-plugins"
# Name -> the distribution of its library, in the order of the page's columns.
LIBRARIES: Final = {
    "torch": "torch",
    "jax": "jax",
    "tf": "tensorflow",
    "cupy": "cupy",
    "onnx": "onnx",
}


def main(reports: Sequence[str]) -> None:
    before = json.loads(RESULT.read_text())["backends"] if RESULT.exists() else {}
    found = {name: described(name) for name in LIBRARIES}
    for name, facts in found.items():
        if "conformance" in before.get(name, {}):
            facts["conformance"] = before[name]["conformance"]
    for path in reports:
        report = json.loads(Path(path).read_text())
        found[report["backend"]]["conformance"] = counted(report)
    RESULT.write_text(json.dumps({"command": COMMAND, "backends": found}, indent=1) + "\n")


def described(name: str) -> dict[str, Any]:
    """The library, and by primitive whether it is lowered."""
    from pycograd import ops
    from pycograd.core.primitive import REGISTRY
    from pycograd.testing.samples import all_samples

    ops.load()
    list(all_samples())  # with the tables of samples all other primitives are there too
    lowerings, refused, otherwise = table(name)
    runs = {p for p in REGISTRY if p in lowerings or REGISTRY[p].composed}
    missing = [p for p in REGISTRY if p not in runs and not REGISTRY[p].custom]
    library = LIBRARIES[name]
    return {
        "library": library,
        "version": "" if name == "cupy" else version(library).partition("+")[0],
        "lowered": sorted(runs),
        "refused": {p: refused.get(p, otherwise) for p in sorted(missing)},
    }


def table(name: str) -> tuple[Mapping[str, Any], Mapping[str, str], str]:
    """The lowerings of a backend or exporter, why some are missing, and why all others are."""
    from pycograd.plugins.hub import get_backend

    own = import_module(f"pycograd_{name}.lowerings")
    if name == "onnx":
        return own.table(), own.REFUSED, "ONNX has no operator for it"
    if name == "cupy":
        import numpy as np
        import scipy.special

        stand_in = import_module("pycograd_cupy.backend").CupyBackend(np, scipy.special)
        return stand_in.lowerings, own.REFUSED, own.NO_KERNEL
    return get_backend(name).lowerings, own.REFUSED, "it has no counterpart"


def counted(report: Mapping[str, Any]) -> dict[str, Any]:
    """By kind of check, how many ended how."""
    kinds: dict[str, Counter[str]] = {}
    for result in report["results"]:
        kinds.setdefault(result["name"].partition(":")[0], Counter())[result["status"]] += 1
    return {
        "version": report["framework_version"],
        "kinds": {kind: dict(sorted(counts.items())) for kind, counts in kinds.items()},
    }


if __name__ == "__main__":
    main(sys.argv[1:])
