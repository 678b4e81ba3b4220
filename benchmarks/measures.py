"""What is measured, and how: contestants taken in turn, medians over the rounds."""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import environments
from catalogue import Contestant, Workload
from processes import HERE, Refusal, Worker, environment

CORE_SOURCE: Final = environments.ROOT / "pycograd-core" / "src"
TOLERANCE: Final = 1e-8  # relative, in float64; a million sines round to 1e-10
LIMIT: Final = 300.0  # seconds for one answer, a compilation or a traced long tape included
PATIENCE: Final = 5.0  # seconds of timing after which a slow contestant sits out further rounds
FRAMEWORKS: Final = ("torch", "jax", "tensorflow", "cupy", "onnx", "mlx")
HEAVY: Final = ("pyccolo", "pipescript", "IPython", "pluggy", *FRAMEWORKS)


class Pace(NamedTuple):
    rounds: int
    block: float  # seconds that one contestant's calls of one round take together


@dataclass
class Entry:
    """One contestant on one workload: seconds a call and bytes, or why there are none."""

    seconds: float | None = None
    rounds: list[float] = field(default_factory=list)
    calls: int = 1
    first: float | None = None
    error: float | None = None
    peak_bytes: int | None = None
    failed: str | None = None

    @contextlib.contextmanager
    def refusals(self) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            self.failed = str(refusal)

    def prepare(self, worker: Worker, workload: Workload) -> float:
        """Has the worker run the workload once, compared with the result by hand."""
        function, size = workload.function, workload.size
        prepared = worker.ask("prepare", LIMIT, function=function, size=size)
        first: float = prepared["first"]
        self.first, self.error = first, prepared["error"]
        if not prepared["error"] <= TOLERANCE:  # so that nan is wrong too
            raise Refusal(f"WRONG: differs from NumPy by hand by {self.error:.1e}")
        return first

    def time(self, worker: Worker) -> None:
        self.count(worker.ask("time", LIMIT, calls=self.calls)["seconds"])

    def count(self, seconds: float) -> None:
        self.rounds.append(seconds)
        self.seconds = statistics.median(self.rounds)

    def weigh(self, worker: Worker) -> None:
        self.peak_bytes = worker.ask("peak", LIMIT)["bytes"]

    @property
    def done(self) -> bool:
        spent = sum(self.rounds) * self.calls
        return self.failed is not None or (len(self.rounds) >= 3 and spent > PATIENCE)


class Crew:
    """The contestants' workers, all pinned to one core; one that died is started anew."""

    def __init__(self, contestants: Sequence[Contestant], core: int) -> None:
        self.absent: dict[str, str] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self._core = core
        self._members = {contestant.key: contestant for contestant in contestants}
        self._workers: dict[str, Worker] = {}
        for key, worker in self.ready().items():
            self.versions[key] = worker.versions

    @property
    def present(self) -> list[Contestant]:
        return [member for key, member in self._members.items() if key not in self.absent]

    def ready(self) -> dict[str, Worker]:
        """Returns a living worker for each contestant that is not absent."""
        for member in self.present:
            worker = self._workers.pop(member.key, None)
            if worker is not None and not worker.alive:
                worker.close()
                worker = None
            worker = worker or self.hire(member)
            if worker is not None:
                self._workers[member.key] = worker
        return self._workers

    def hire(self, member: Contestant) -> Worker | None:
        """Starts a worker; a contestant that can't be had is absent from then on."""
        try:
            python = environments.peer_python() if member.peer else environments.bench_python()
            path = CORE_SOURCE if member.own else None
            return Worker(python, member.module, path, self._core)
        except (Refusal, OSError, subprocess.CalledProcessError) as error:
            self.absent[member.key] = str(error)
            return None

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()


def race(crew: Crew, workload: Workload, pace: Pace) -> dict[str, Entry]:
    """Times every contestant once a round, beginning each round with the next one."""
    workers = crew.ready()
    entries = {key: Entry() for key in workers if key in workload.of or not workload.of}
    for key, entry in entries.items():
        with entry.refusals():
            entry.prepare(workers[key], workload)
            once = workers[key].ask("time", LIMIT, calls=1)["seconds"]
            entry.calls = max(1, round(pace.block / once))
    keys = list(entries)
    for turn in range(pace.rounds):
        start = turn % len(keys)
        for key in keys[start:] + keys[:start]:
            entry = entries[key]
            if not entry.done:
                with entry.refusals():
                    entry.time(workers[key])
    for contestant in crew.present if workload.peak else ():
        entry = entries[contestant.key]
        if contestant.traced and entry.failed is None:
            with entry.refusals():
                entry.weigh(workers[contestant.key])
    return entries


def deep_tapes(
    crew: Crew, contestant: Contestant, workloads: Sequence[Workload]
) -> dict[str, Entry]:
    """Times tapes of growing length in a fresh process, which may die of one."""
    entries = {workload.key: Entry() for workload in workloads}
    worker = crew.hire(contestant)
    if worker is None:
        return {}
    for workload in workloads:
        entry = entries[workload.key]
        with entry.refusals():
            first = entry.prepare(worker, workload)
            if first > PATIENCE:  # too long for its start to matter
                entry.count(first)
            while len(entry.rounds) < 3 and sum(entry.rounds) < PATIENCE:
                entry.time(worker)
            if contestant.traced:
                entry.weigh(worker)
    worker.close()
    return entries


def budgets(core: int, rounds: int) -> list[dict[str, float]]:
    """What plans within memory budgets take, measured in a process of their own."""
    command = [str(environments.bench_python()), str(HERE / "budget.py"), str(rounds)]
    pinned = ["taskset", "-c", str(core), *command] if shutil.which("taskset") else command
    done = subprocess.run(
        pinned, env=environment(CORE_SOURCE), capture_output=True, text=True, check=True
    )
    rows: list[dict[str, float]] = json.loads(done.stdout)
    return rows


@dataclass
class Imports:
    """Seconds to import NumPy, and pycograd with it; what pycograd should not bring along."""

    numpy: float
    pycograd: float
    heavy: list[str]


def imports(core: int, rounds: int) -> Imports:
    """Times imports inside fresh processes, so that the interpreter's own start is left out."""

    def once(module: str) -> tuple[float, list[str]]:
        code = (
            "import json, os, sys, time\n"
            f"if hasattr(os, 'sched_setaffinity'): os.sched_setaffinity(0, {{{core}}})\n"
            f"start = time.process_time(); import {module}; spent = time.process_time() - start\n"
            "print(json.dumps([spent, list(sys.modules)]))"
        )
        command = [str(environments.bench_python()), "-c", code]
        variables = environment(CORE_SOURCE)
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        seconds, modules = json.loads(done.stdout)
        return seconds, modules

    seconds: dict[str, list[float]] = {"numpy": [], "pycograd": []}
    modules: list[str] = []
    for turn in range(rounds + 1):
        for module, times in seconds.items():
            spent, modules = once(module)
            if turn:  # the first finds no byte code and cold files
                times.append(spent)
    medians = {module: statistics.median(times) for module, times in seconds.items()}
    return Imports(**medians, heavy=[name for name in HEAVY if name in modules])
