"""The coverage page says of the plugins what their tables have; `make docs-plugins` writes it."""

from __future__ import annotations

import importlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("coverage_backends")
    finally:
        sys.path.pop(0)


@pytest.mark.parametrize("name", ["torch", "jax", "tf", "cupy", "onnx"])
def test_the_page_has_the_tables_as_they_are(script: ModuleType, name: str) -> None:
    library = "scipy.special" if name == "cupy" else script.LIBRARIES[name]  # it stands for CuPy's
    for module in (f"pycograd_{name}", library):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    known = json.loads(script.RESULT.read_text())["backends"][name]
    found = script.described(name)
    assert found["lowered"] == known["lowered"]
    assert found["refused"] == known["refused"]
    assert not set(found["lowered"]) & set(found["refused"])
    assert all(found["refused"].values())  # each with a reason
