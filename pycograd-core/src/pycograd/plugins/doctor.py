"""`pycograd doctor`: what is wrong with this installation, and what to do about it.

Everything is looked at in metadata, or asked of a process apart: no plugin can stop it.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import Any, Final

import numpy as np

from pycograd._version import __version__
from pycograd.plugins.additions import Check
from pycograd.plugins.apart import ask
from pycograd.plugins.discovery import CORE
from pycograd.plugins.hub import HUB, misnamed
from pycograd.plugins.records import BACKENDS, NOUNS, Record, normalized

_NOTES: Final = ("unavailable", "missing-framework", "disabled")  # no fault of the installation


def checks() -> Iterator[Check]:
    """Everything that is looked at, as it is found."""
    yield Check("versions", True, f"{CORE} {__version__}, Python {platform.python_version()},"
                f" NumPy {np.__version__}")  # fmt: skip
    looks: list[Callable[[], Iterable[Check]]] = [_owners, _metadata, _providers, _requirements]
    for look in [*looks, _environment, _plugins]:
        try:
            yield from look()
        except Exception as error:  # of metadata that is out of order in a way not thought of
            yield Check(look.__name__.strip("_"), False, f"{type(error).__name__}: {error}")


def _owners() -> Iterator[Check]:
    """Is the module `pycograd` ours, and nobody else's?"""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    others = []
    for distribution in metadata.distributions():
        name = normalized(distribution.metadata["Name"] or "") if distribution.metadata else ""
        if name and name != CORE and _owns(distribution):
            others.append(f"{name} {distribution.version}")
    if others:
        yield Check(
            "module pycograd",
            False,
            f"{' and '.join(others)} brings a module of the same name; the one in use is {here}",
            f"pip uninstall {' '.join(o.partition(' ')[0] for o in others)}, then install {CORE}"
            " again",
        )
    else:
        yield Check("module pycograd", True, here)


def _owns(distribution: metadata.Distribution) -> bool:
    listed = distribution.read_text("RECORD") or distribution.read_text("installed-files.txt") or ""
    if re.search(r"^(\.\./)?pycograd/", listed, re.MULTILINE):
        return True
    return "pycograd" in (distribution.read_text("top_level.txt") or "").split()


def _metadata() -> Iterator[Check]:
    for problem in HUB.problems:
        yield Check("metadata", False, problem, "remove what is stale from site-packages")
    try:
        installed = metadata.version(CORE)
    except metadata.PackageNotFoundError:
        yield Check("metadata", False, f"{CORE} is on the path, not installed: nothing names its"
                    " plugins' versions", f"pip install {CORE}")  # fmt: skip
        return
    if installed != __version__:
        yield Check("metadata", False, f"the metadata of {CORE} say {installed}, the code"
                    f" {__version__}", f"install {CORE} again")  # fmt: skip


def _providers() -> Iterator[Check]:
    for group in NOUNS:
        for record in HUB.records(group):
            if record.state == "ambiguous":
                detail = f"provided by {record.source}; {record.reason}"
                yield Check(f"{NOUNS[group]} {record.name}", False, detail, record.fix)


def _requirements() -> Iterator[Check]:
    """Do the versions of pycograd's distributions fit each other?"""
    seen = set()
    for distribution in metadata.distributions():
        name = normalized(distribution.metadata["Name"] or "") if distribution.metadata else ""
        if name in seen or not (name.startswith("pycograd-") or _is_plugin(name)):
            continue
        seen.add(name)
        for requirement in distribution.requires or []:
            wanted, _, marker = requirement.partition(";")
            match = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^)]*)\)?\s*$", wanted)
            if match is None or marker.strip():
                continue  # of an extra, or another platform
            needed, specifiers = normalized(match[1]), match[2].strip()
            try:
                there = metadata.version(needed)
            except metadata.PackageNotFoundError:
                yield Check(f"requirements of {name}", False, f"{wanted.strip()} is not installed",
                            f'pip install "{wanted.strip()}"')  # fmt: skip
                continue
            if not satisfies(there, specifiers):
                yield Check(
                    f"requirements of {name}",
                    False,
                    f"{needed} {there} is installed, {name} {distribution.version} needs"
                    f" {specifiers}",
                    f'pip install "{wanted.strip()}"',
                )


def _is_plugin(name: str) -> bool:
    return any(r.distribution == name for group in NOUNS for r in HUB.records(group))


def satisfies(version: str, specifiers: str) -> bool:
    """True if a release fits the specifiers of a requirement; what cannot be read is let pass.

    >>> satisfies("0.2", ">=0.1,<0.2"), satisfies("0.1.3", "~=0.1.2"), satisfies("2.0", "==2.*")
    (False, True, True)
    """
    for part in filter(None, [s.strip() for s in specifiers.split(",")]):
        match = re.match(r"(~=|==|!=|<=|>=|<|>)\s*v?(\d+(?:\.\d+)*)(\.\*)?", part)
        if match is None:
            continue
        sign, wanted, there = match[1], _release(match[2]), _release(version)
        width = max(len(wanted), len(there))
        a, b = ([*r, *[0] * (width - len(r))] for r in (there, wanted))
        prefix = there[: len(wanted)] == wanted
        fits = {
            "==": prefix if match[3] else a == b,
            "!=": not prefix if match[3] else a != b,
            "<=": a <= b,
            ">=": a >= b,
            "<": a < b,
            ">": a > b,
            "~=": a >= b and there[: len(wanted) - 1] == wanted[:-1],
        }[sign]
        if not fits:
            return False
    return True


def _release(version: str) -> list[int]:
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return [int(part) for part in match[1].split(".")] if match else []


def _environment() -> Iterator[Check]:
    wrong = misnamed(HUB)
    for name in ("PYCOGRAD_BACKEND", "PYCOGRAD_DISABLE_PLUGINS", "PYCOGRAD_PREFER"):
        if value := os.environ.get(name):
            found = wrong.get(name, [])
            said = "; ".join([value, *found])
            yield Check(name, not found, said, f"set it anew, or unset {name}" if found else "")


def _plugins() -> Iterator[Check]:
    """Each plugin, loaded by a process of its own."""
    asked = [r for g in NOUNS for r in HUB.records(g) if r.state not in ("disabled", "ambiguous")]
    for record, answer in zip(asked, ask(asked, "checks")):
        yield _line(record, Record(**answer["record"]))
        if record.group == BACKENDS:
            yield from (Check(**{**c, "name": f"{record.name}: {c['name']}"})
                        for c in answer.get("checks", ()))  # fmt: skip


def _line(asked: Record, found: Record) -> Check:
    name = f"{NOUNS[asked.group]} {asked.name}"
    fine = found.state in ("active", *_NOTES)
    details: list[Any] = [asked.source, found.state, found.framework_version, found.reason]
    return Check(name, fine, ", ".join(filter(None, details)), found.fix)
