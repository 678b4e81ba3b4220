"""A hub of its own for each test, over distributions in a folder of its own."""

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from pycograd.core import extend
from pycograd.plugins import discovery, hub


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for distributions, on the path; nothing else seems to be installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    scan = discovery.scan
    monkeypatch.setattr(discovery, "scan", lambda: scan(metadata.distributions(path=[str(folder)])))
    for name in ("PYCOGRAD_BACKEND", "PYCOGRAD_DISABLE_PLUGINS", "PYCOGRAD_PREFER"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def fresh(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub.Hub]:
    """The hub that the public functions use, with nothing active; leaves nothing behind."""
    theirs, made = hub.HUB, hub.Hub()
    extend.lower_missing = extend.graph_passes = None
    monkeypatch.setattr(hub, "HUB", made)
    yield made
    if made._hooks is not None:
        for name, _ in made.hooks._manager.list_name_plugin():
            made.hooks.remove(name)
    if theirs._hooks is not None:  # what it has by now, not what it had before
        theirs.hooks._announce()
    for name in [name for name in sys.modules if name.startswith("chaos_")]:
        del sys.modules[name]
