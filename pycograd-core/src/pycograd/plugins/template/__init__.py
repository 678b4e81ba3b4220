"""A distribution with a backend that works, as the start of one's own: `pycograd new-plugin`."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from pycograd._version import __version__
from pycograd.core.errors import ArgumentError
from pycograd.plugins.records import ALIASES, BACKENDS, KNOWN

_SUFFIX = ".in"  # so that no tool takes the files for parts of this package


def render(name: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Writes the distribution `pycograd-NAME`: all of it, or nothing.

    Arguments:
        name: of the backend; small letters, digits and underscores.
        folder: where to; `pycograd-NAME` in the current folder if left out.

    Returns:
        The folder.

    Raises:
        ArgumentError: the name is not one or is taken, or there is something at that place.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ArgumentError(f"new-plugin: {name!r} is no name: write small letters, digits and _")
    if name in KNOWN[BACKENDS] or name in ALIASES or name == "numpy":
        raise ArgumentError(f"new-plugin: there is a backend {name!r}: choose another name")
    distribution = f"pycograd-{name.replace('_', '-')}"
    target = Path(distribution) if folder is None else Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ArgumentError(f"new-plugin: there is something at {target}: choose another folder")
    major, minor = __version__.split(".")[:2]
    words = {
        "name": name,
        "Name": "".join(part.capitalize() for part in name.split("_")),
        "distribution": distribution,
        "module": f"pycograd_{name}",
        "core": f"pycograd-core>={major}.{minor},<{major}.{int(minor) + 1}",
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for path, text in _files(files(__name__) / "files"):
            file = made / path.replace("module", words["module"])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(re.sub(r"@(\w+)@", lambda m: words[m[1]], text), encoding="utf-8")
        made.chmod(0o755)
        if target.exists():
            target.rmdir()
        made.rename(target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return target


def _files(folder: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The paths and texts of the template's files."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            text = entry.read_text(encoding="utf-8")
            yield prefix + entry.name.removesuffix(_SUFFIX), text
