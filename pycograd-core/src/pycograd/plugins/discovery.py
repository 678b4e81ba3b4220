"""The plugins that are installed, from their metadata: no code of theirs runs."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable
from importlib import metadata
from typing import Final, NamedTuple

from pycograd._version import __version__
from pycograd.plugins.records import BACKENDS, FRAMEWORKS, NOUNS, Record, normalized

CORE: Final = "pycograd-core"
NUMPY: Final = "pycograd.plugins.arrays:NumpyBackend"


class Found(NamedTuple):
    """What a look at the installed distributions gives.

    Attributes:
        records: one for each name of each distribution.
        problems: metadata that cannot be read, or that hides behind others of the same name.
    """

    records: list[Record]
    problems: list[str]


def scan(distributions: Iterable[metadata.Distribution] | None = None) -> Found:
    """Reads the entry points of every distribution once.

    Only distributions that name one of our groups are looked at further: to parse the metadata of
    all of them would take twenty times as long.
    """
    records: list[Record] = []
    problems: list[str] = []
    elsewhere: dict[str, str] = {}  # distribution -> the systems that it is for
    seen: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions() if distributions is None else distributions:
        try:
            text = distribution.read_text("entry_points.txt")
            if not text or "pycograd." not in text:
                continue
            name, version = distribution.metadata["Name"], distribution.version
            if not name:
                raise ValueError("it has no name")
            first = seen.setdefault(normalized(name), distribution)
            if first is not distribution:
                problems.append(_shadow(name, first, distribution))
                continue
            records += _records(name, version, distribution)
            elsewhere[normalized(name)] = _other_systems(distribution)
        except Exception as error:
            where = getattr(distribution, "_path", distribution)
            problems.append(f"the metadata at {where} cannot be read: {_line(error)}")
    if not any(r.group == BACKENDS and r.name == "numpy" for r in records):
        records.insert(0, _of(BACKENDS, "numpy", CORE, __version__, NUMPY))  # no metadata at all
    records.sort(key=lambda r: (r.name != "numpy", r.name))
    for record in records:
        examine(record)
        if record.state == "discovered" and (systems := elsewhere.get(record.distribution)):
            record.state, record.reason = "unavailable", f"it is for {systems}"
            record.fix = f"use {record.distribution} there"
    return Found(records, problems)


def _records(name: str, version: str, distribution: metadata.Distribution) -> list[Record]:
    points = list(distribution.entry_points)
    frameworks = {p.name: p.value for p in points if p.group == FRAMEWORKS}
    found = []
    for point in points:
        if point.group in NOUNS:
            record = _of(point.group, point.name, normalized(name), version, point.value)
            record.framework = frameworks.get(point.name, "")
            found.append(record)
    return found


_SYSTEMS: Final = {"darwin": "MacOS", "linux": "POSIX :: Linux", "win32": "Microsoft :: Windows"}


def _other_systems(distribution: metadata.Distribution) -> str:
    """The systems that a distribution says it is for, empty if this one is or may be among them."""
    said = [c.split(" :: ", 1) for c in distribution.metadata.get_all("Classifier") or []]
    systems = [c[1] for c in said if c[0] == "Operating System" and len(c) == 2]
    here = _SYSTEMS.get(sys.platform)
    if here is None or any(s.startswith(here) or s in _GENERAL for s in systems):
        return ""
    return " and ".join(s.rpartition(" :: ")[2] for s in systems)


_GENERAL: Final = ("OS Independent", "POSIX", "Unix", "Microsoft")  # in which this one may be


def _of(group: str, name: str, distribution: str, version: str, value: str) -> Record:
    record = Record(group, name, distribution, version, value)
    record.load = metadata.EntryPoint(name, value, group).load
    return record


def _shadow(name: str, first: metadata.Distribution, other: metadata.Distribution) -> str:
    places = [getattr(d, "_path", d) for d in (first, other)]
    return (
        f"{name} {other.version} at {places[1]} is hidden by {name} {first.version} at {places[0]}:"
        " one of the two is stale, remove it"
    )


def examine(record: Record) -> None:
    """Notes what can be said without running anything: is the module there, is its library?"""
    module = re.split(r"[:.\[\s]", record.value.strip(), maxsplit=1)[0]
    if not _is_there(module):
        record.state, record.reason = "broken", f"there is no module {module!r}"
        record.fix = f"install {record.distribution} again, or uninstall it: its metadata is stale"
    elif record.framework and not _is_there(record.framework):
        record.state, record.reason = (
            "missing-framework",
            f"there is no module {record.framework!r}",
        )
        record.fix = _how_to_install(record)
    elif record.framework:
        record.framework_version = _version(record.framework)


def _how_to_install(record: Record) -> str:
    """A library by its own name, or by the extras of the distribution that bring it."""
    try:
        requirements = metadata.distribution(record.distribution).requires or []
    except Exception:  # of metadata that cannot be read
        requirements = []
    extras = []
    for requirement in requirements:
        match = re.match(
            r"(?P<name>[\w.-]+)(?:.*;.*extra == ['\"](?P<extra>[\w.-]+)['\"])?", requirement
        )
        if match is None or not match["name"].startswith(record.framework):
            continue
        if match["extra"] is None and match["name"] == record.framework:
            return f"pip install {record.framework}"
        if match["extra"] is not None:
            extras.append(f'"{record.distribution}[{match["extra"]}]"')
    return f"pip install {' or '.join(extras) or record.framework}"


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _version(module: str) -> str:
    try:
        return metadata.version(module)
    except Exception:  # its distribution has another name, or broken metadata: a probe will tell
        return ""


def _line(error: BaseException) -> str:
    """An error as one line."""
    return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(": ")
