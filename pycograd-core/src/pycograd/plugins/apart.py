"""Questions about plugins, each answered by a process of its own.

A plugin may import gigabytes, hang, or end its process when it is loaded. Who only wants to know
what state it is in asks here, and gets an answer all the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any, Final

from pycograd.plugins.records import BACKENDS, PLUGINS, Record

_MARK: Final = "pycograd answers: "
_PROGRAM: Final = "from pycograd.plugins.apart import answer; answer()"
_LIMIT: Final = 120.0  # seconds, in which any framework is imported


def ask(
    records: Sequence[Record], question: str = "state", about: str = "", limit: float = _LIMIT
) -> list[dict[str, Any]]:
    """The answers of these records' plugins, at most one process per core at a time.

    Arguments:
        records: whom to ask.
        question: a key of `QUESTIONS`.
        about: what the question is about.
        limit: seconds that each may take.
    """
    with ThreadPoolExecutor(max(os.cpu_count() or 1, 1)) as pool:
        return list(pool.map(lambda record: _asked(record, question, about, limit), records))


def _asked(record: Record, question: str, about: str, limit: float) -> dict[str, Any]:
    name = f"{record.name}@{record.distribution}" if record.distribution else record.name
    command = [sys.executable, "-c", _PROGRAM, record.group, name, question, about]
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        return _silent(record, f"no answer within {limit:g} s")
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(_MARK):
            return dict(json.loads(line[len(_MARK) :]))
    return _silent(record, f"loading it ends the process, with exit status {done.returncode}")


def _silent(record: Record, reason: str) -> dict[str, Any]:
    from pycograd.plugins.messages import mend

    fix = mend(record)
    return {"record": replace(record, state="broken", reason=reason, fix=fix).to_json()}


def answer() -> None:
    """What the other process does: loads one plugin and prints what it found."""
    from pycograd.core.errors import PluginError
    from pycograd.plugins.hub import HUB

    group, name, question, about = sys.argv[1:]
    found: dict[str, Any] = {}
    try:
        record = HUB.find(name, group)
    except PluginError:  # disabled, as the list of records says
        name, _, distribution = name.partition("@")
        record = next(
            r for r in HUB.records(group) if r.name == name and r.distribution in ("", distribution)
        )
    else:
        try:
            HUB.use(record)
            found = QUESTIONS[question](record, about)
        except PluginError:
            pass  # the record says it
    print(f"\n{_MARK}{json.dumps({'record': record.to_json(), **found})}", flush=True)
    sys.stderr.flush()
    os._exit(0)  # the library's own way out may take as long as its way in


# -- the questions ---------------------------------------------------------------------------------
def _with_all_plugins() -> list[str]:
    """Activates every plugin of hooks; what went wrong with which."""
    from pycograd.core.errors import PluginError
    from pycograd.plugins.hub import HUB

    failures = []
    for record in HUB.records(PLUGINS):
        if record.state in ("disabled", "ambiguous"):
            continue
        try:
            HUB.use(HUB.find(f"{record.name}@{record.distribution}", PLUGINS))
        except PluginError as error:
            failures.append(str(error))
    return failures


def _checks(record: Record, about: str) -> dict[str, Any]:
    from pycograd.plugins.hub import HUB

    _with_all_plugins()
    found = HUB.hooks.checks(record.name) if record.group == BACKENDS else []
    return {"checks": [asdict(check) for check in found]}


def _lowering(record: Record, primitive: str) -> dict[str, Any]:
    """Who spells a primitive for this backend, and who defined it."""
    from pycograd.plugins.describe import description, where
    from pycograd.plugins.hub import HUB

    failures = _with_all_plugins()
    said = description(primitive)
    if said is None:
        return {"failures": failures}
    said["by"] = HUB.hooks.definer(said["name"]) or said["by"]
    backend = record.loaded
    if said["kind"] == "composite":
        return {"failures": failures, "primitive": said}
    if record.name == "numpy":
        return {"failures": failures, "primitive": said, "lowering": "its own implementation"}
    found = backend.added.get(said["name"]) or backend.lowerings.get(said["name"])
    answer: dict[str, Any] = {"failures": failures, "primitive": said}
    if found is not None:
        answer["lowering"] = where(found)
        answer["by"] = HUB.hooks.owner(backend, said["name"]) or record.owner
    elif reason := _refusal(backend, said["name"]):
        answer["lowering"] = f"none: {reason}"
    return answer


def _refusal(backend: Any, name: str) -> str:
    """Why a backend does not lower a primitive; empty if it does not say, or a plugin does it."""
    from pycograd.core.errors import LoweringNotFoundError
    from pycograd.core.primitive import primitive_named

    primitive = primitive_named(name)
    try:
        backend.lowering(primitive)
    except LoweringNotFoundError:
        return backend.refusal(primitive) or ""
    return ""


QUESTIONS: Final[dict[str, Callable[[Record, str], dict[str, Any]]]] = {
    "state": lambda record, about: {},
    "checks": _checks,
    "lowering": _lowering,
}
