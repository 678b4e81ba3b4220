"""The command line, `pycograd`. It starts whatever state the plugins are in."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycograd._version import __version__
from pycograd.core.errors import PycogradError
from pycograd.plugins.hub import HUB, misnamed
from pycograd.plugins.records import BACKENDS, NOUNS, Record
from pycograd.plugins.tables import show


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the exit status is 0 if all is well, 1 if something is wrong, 2 for misuse.

    Arguments:
        arguments: the words after `pycograd`; those of the process if left out.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except PycogradError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stderr.close()
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pycograd", description="pycograd and its plugins")
    parser.add_argument("--version", action="version", version=f"pycograd-core {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        return added

    listing = command("backends", _backends, "list the array libraries that there are plugins for")
    listing.add_argument("--json", action="store_true", help="for programs")
    listing.add_argument(
        "--probe", action="store_true", help="load each one and ask whether it runs"
    )
    listing = command("plugins", _plugins, "list everything that plugins provide")
    listing.add_argument("--json", action="store_true", help="for programs")
    named = command("explain", _explain, "say where an operation and its lowerings are defined")
    named.add_argument("primitive", metavar="PRIMITIVE", help="its name, or NumPy's: np.sort")
    command("doctor", _doctor, "look for what is wrong with this installation")
    named = command("conformance", _conformance, "verify what a backend claims")
    named.add_argument("name", metavar="NAME", help="of a backend")
    named.add_argument(
        "--report", type=Path, metavar="FILE", help="write the report there, as JSON"
    )
    named = command("new-plugin", _new_plugin, "write a distribution with a backend, ready to run")
    named.add_argument("name", metavar="NAME", help="of the backend, a Python identifier")
    named.add_argument(
        "folder", metavar="DIR", nargs="?", type=Path, help="pycograd-NAME if left out"
    )
    script = command(
        "run", _run, help="run a script written in the DSL of parameters and pipelines"
    )
    script.add_argument("script", metavar="SCRIPT", type=Path, help="a file")
    script.add_argument("arguments", nargs=argparse.REMAINDER, help="what it finds in sys.argv")
    examples = command("examples", _examples, "train the examples")
    examples.add_argument("names", nargs="*", metavar="EXAMPLE", help="all if left out")
    examples.add_argument("--plot", type=Path, help="where the loss plot goes")
    return parser


# -- lists -----------------------------------------------------------------------------------------
def _backends(options: Any) -> int:
    _say_misnamed()
    records = HUB.records(BACKENDS)
    if options.probe:
        from pycograd.plugins.apart import ask

        asked = [r for r in records if r.state not in ("disabled", "ambiguous")]
        answers = {r.key: Record(**found["record"]) for r, found in zip(asked, ask(asked))}
        records = [answers.get(r.key, r) for r in records]
    if options.json:
        print(json.dumps([r.to_json() for r in records], indent=2))
        return 0
    head = ["name", "distribution", "version", "status", "framework", "devices", "why", "fix"]
    show(head, [[*_who(r), _framework(r), ", ".join(r.devices), r.reason, r.fix] for r in records])
    return 0


def _say_misnamed() -> None:
    for variable, found in misnamed(HUB).items():
        for text in found:
            print(f"note: {variable}: {text}", file=sys.stderr)


def _who(record: Record) -> list[str]:
    return [record.name, record.distribution, record.version, record.state]


def _framework(record: Record) -> str:
    return (
        f"{record.framework or record.name} {record.framework_version}".strip()
        if (record.framework or record.framework_version)
        else ""
    )


def _plugins(options: Any) -> int:
    _say_misnamed()
    records = [r for group in NOUNS for r in HUB.records(group)]
    if options.json:
        print(json.dumps([r.to_json() for r in records], indent=2))
        return 0
    head = ["kind", "name", "distribution", "version", "status", "object", "why", "fix"]
    show(head, [[NOUNS[r.group], *_who(r), r.value, r.reason, r.fix] for r in records])
    return 0


# -- explain ---------------------------------------------------------------------------------------
def _explain(options: Any) -> int:
    from pycograd.plugins.apart import ask

    records = HUB.records(BACKENDS)
    asked = [r for r in records if r.state not in ("disabled", "ambiguous")]
    answers = ask(asked, "lowering", options.primitive)
    said = next((a["primitive"] for a in answers if "primitive" in a), None)
    failures = {text for a in answers for text in a.get("failures", ())}
    for text in sorted(failures):
        print(f"note: {text}", file=sys.stderr)
    if said is None:
        from pycograd.plugins.describe import nearest

        near = nearest(options.primitive)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        print(f"no primitive or NumPy function named {options.primitive!r}.{hint}", file=sys.stderr)
        return 1
    rows = [
        ["defined by", said["by"]],
        ["NumPy", ", ".join(said["numpy"])],
        ["rules", ", ".join(said["rules"])],
        ["derivative", said["derivative"]],
        ["runs", said["implementation"]],
    ]
    print(f"{said['kind']} {said['name']}")
    show(["", ""], [row for row in rows if row[1]])
    if said["kind"] == "composite":
        return 0
    print()
    show(
        ["backend", "lowering", "from"],
        [_lowering(r, a) for r, a in zip(asked, answers)],
    )
    return 0


def _lowering(record: Record, answer: dict[str, Any]) -> list[str]:
    found = Record(**answer["record"])
    if found.state != "active":
        return [record.name, found.state, f"{record.owner}: {found.reason}"]
    return [record.name, answer.get("lowering", "none"), answer.get("by", record.owner)]


# -- the others ------------------------------------------------------------------------------------
def _doctor(options: Any) -> int:
    from pycograd.plugins.doctor import checks

    wrong = 0
    for check in checks():
        wrong += not check.ok
        print(f"{'ok   ' if check.ok else 'WRONG'}  {check.name}: {check.detail}")
        if check.fix:
            print(f"       fix: {check.fix}")
    print(f"{wrong} wrong" if wrong else "nothing is wrong")
    return 1 if wrong else 0


def _conformance(options: Any) -> int:
    if options.report is not None and (why := _not_writable(options.report)):
        print(f"pycograd conformance: the report cannot be written: {why}", file=sys.stderr)
        return 2  # before minutes of work
    from pycograd.testing.conformance import check_backend

    report = check_backend(options.name)
    print(report)
    if options.report is not None:
        options.report.write_text(report.to_json() + "\n", encoding="utf-8")
    return 0 if report.ok else 1


def _not_writable(file: Path) -> str:
    """Why a file cannot be written, empty if it can."""
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}"
    if file.is_dir():
        return f"{file} is a folder"
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        return f"{file} is not writable"
    return ""


def _new_plugin(options: Any) -> int:
    from pycograd.plugins.template import render

    folder = render(options.name, options.folder)
    print(f"{folder} holds a backend that runs. Try it:")
    print(f"  pip install -e {folder} && python -m pytest {folder}")
    print(f"  pycograd conformance {options.name}")
    return 0


def _run(options: Any) -> int:
    from pycograd.dsl.files import run

    if not options.script.is_file():
        print(f"pycograd run: there is no file {options.script}", file=sys.stderr)
        return 2
    return run(options.script, options.arguments)


def _examples(options: Any) -> int:
    from pycograd.examples.__main__ import main as run

    plot = [] if options.plot is None else ["--plot", str(options.plot)]
    return run([*options.names, *plot])


if __name__ == "__main__":
    sys.exit(main())
