"""pycograd beside hand-written NumPy and its peers, in one run: `make bench`.

    python benchmarks/run.py [--only a,b] [--contestants ours,hand,hips] [--rounds N] [--quick]

Value and gradient of each workload, every result first compared with the one by hand. Each
contestant lives in a process of its own; all are pinned to one core and one BLAS thread and take
turns, round by round, so that a slow minute of the machine is everybody's. Medians are compared.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
from pathlib import Path

import measures
import report
from catalogue import CONTESTANTS, LETTERS, RACES, TAPES, Contestant
from processes import HERE, spare_core
from targets import Results

IMPORT, BUDGET = "import", "budget"
EXTRAS = (BUDGET, IMPORT)


def parsed() -> argparse.Namespace:
    keys = [each.key for each in CONTESTANTS]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[*LETTERS, *EXTRAS],
        help=f"with commas, letters from {LETTERS[0]} to {LETTERS[-1]}, {', '.join(EXTRAS)}",
    )
    parser.add_argument(
        "--contestants",
        type=lambda text: text.split(","),
        default=keys,
        help=f"with commas, of {','.join(keys)}",
    )
    parser.add_argument("--rounds", type=int, help="turns of each contestant, 15 by default")
    parser.add_argument("--quick", action="store_true", help="few short rounds, no long tape")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "latest.json")
    options = parser.parse_args()
    for name, given, known in (
        ("--only", options.only, [*LETTERS, *EXTRAS]),
        ("--contestants", options.contestants, keys),
    ):
        if unknown := sorted(set(given) - set(known)):
            parser.error(f"{name}: unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return options


def measured(options: argparse.Namespace, contestants: list[Contestant]) -> Results:
    rounds = options.rounds or (3 if options.quick else 15)
    pace = measures.Pace(rounds, block=0.01 if options.quick else 0.05)
    core = spare_core()
    crew = measures.Crew(contestants, core)
    results = Results(setting(core, pace), crew.versions, crew.absent)
    try:
        for workload in RACES:
            if workload.letter in options.only:
                say(f"({workload.letter}) {workload.title}")
                results.entries[workload.key] = measures.race(crew, workload, pace)
        tapes = TAPES[:1] if options.quick else TAPES
        if "h" in options.only:
            results.entries |= {tape.key: {} for tape in tapes}
            for contestant in crew.present:
                say(f"(h) {tapes[-1].title}: {contestant.heading}")
                for key, entry in measures.deep_tapes(crew, contestant, tapes).items():
                    results.entries[key][contestant.key] = entry
        if BUDGET in options.only and "ours" in crew.versions:
            say("memory budgets")
            results.budgets = measures.budgets(core, 2 if options.quick else 5)
        if IMPORT in options.only and "ours" in crew.versions:
            say("import")
            results.imports = measures.imports(core, 2 * pace.rounds)
    finally:
        crew.close()
    return results


def setting(core: int, pace: measures.Pace) -> dict[str, str]:
    return {
        "processor": processor(),
        "core": str(core),
        "system": platform.platform(terse=True),
        "rounds": str(pace.rounds),
    }


def processor() -> str:
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def say(text: str) -> None:
    print(f"... {text}", flush=True)


def main() -> None:
    options = parsed()
    contestants = [each for each in CONTESTANTS if each.key in options.contestants]
    results = measured(options, contestants)
    for line in report.lines(results):
        print(line)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(dataclasses.asdict(results), indent=1) + "\n")
    print(f"\nwritten to {options.json}")
    if results.failures() or "ours" in results.absent:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
