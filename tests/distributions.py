"""Tiny installed distributions, written by hand: modules and metadata in a folder of sys.path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

CHAOS = Path(__file__).parent / "plugins" / "chaos"


def install(
    site: Path,
    name: str,
    version: str,
    points: Mapping[str, Mapping[str, str]],
    *,
    modules: Iterable[str] = (),
    requires: Iterable[str] = (),
    record: Iterable[str] = (),
    classifiers: Iterable[str] = (),
) -> Path:
    """Puts a distribution into a folder; its modules are files of `plugins/chaos`.

    Returns the folder of its metadata.
    """
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {r}\n" for r in requires)
    needs += "".join(f"Classifier: {c}\n" for c in classifiers)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    )
    (info / "RECORD").write_text("".join(f"{line},,\n" for line in record))
    text = ""
    for group, entries in points.items():
        text += f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) + "\n"
    (info / "entry_points.txt").write_text(text)
    for module in modules:
        (site / f"{module}.py").write_text((CHAOS / f"{module}.py").read_text())
    return info


def backend(
    site: Path, name: str, value: str, distribution: str = "", version: str = "1.0"
) -> None:
    """Installs a distribution with one backend, `value` naming a class of a chaos module."""
    distribution = distribution or f"pycograd-{name}"
    points = {"pycograd.backends": {name: value}}
    install(site, distribution, version, points, modules=[value.partition(":")[0]])


def plugin(site: Path, name: str, value: str, distribution: str = "") -> None:
    """Installs a distribution with one plugin of hooks."""
    points = {"pycograd.plugins": {name: value}}
    distribution = distribution or f"pycograd-{name}"
    install(site, distribution, "1.0", points, modules=[value.partition(":")[0]])
