"""What pycograd is held to, each target beside the figure it is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from catalogue import TAPES, Workload
from measures import Entry, Imports

SCALAR_BYTES: Final = 24  # of a NumPy float64 scalar, the value that each step of a tape keeps


@dataclass
class Results:
    """All that one run measured."""

    setting: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    entries: dict[str, dict[str, Entry]] = field(default_factory=dict)
    imports: Imports | None = None
    budgets: list[dict[str, float]] = field(default_factory=list)

    def entry(self, workload: str, contestant: str) -> Entry:
        return self.entries.get(workload, {}).get(contestant, Entry())

    def failures(self, letter: str = "") -> int:
        """Returns on how many workloads, of a letter or of all, pycograd itself failed."""
        keys = [key for key in self.entries if key.startswith(letter)]
        return sum(self.entry(key, "ours").failed is not None for key in keys)

    def seconds(self, workload: str, contestant: str) -> float | None:
        return self.entry(workload, contestant).seconds

    def peak(self, workload: str, contestant: str) -> int | None:
        return self.entry(workload, contestant).peak_bytes

    def overhead(self, tape: Workload, contestant: str) -> float | None:
        """Returns the bytes that each operation of a tape takes beyond the value it keeps."""
        peak = self.peak(tape.key, contestant)
        return None if peak is None else peak / tape.size - SCALAR_BYTES


class Target(NamedTuple):
    letter: str  # of the workload, or "" where there is none
    claim: str
    figure: Callable[[Results], float | None]  # None where it could not be measured
    bound: float
    at_least: bool = False
    ratio: bool = True  # or a count

    def met(self, results: Results) -> bool | None:
        figure = self.figure(results)
        if figure is None:
            return None if results.failures(self.letter) == 0 else False
        return figure >= self.bound if self.at_least else figure <= self.bound


def ratio(over: float | None, under: float | None) -> float | None:
    return None if over is None or under is None else over / under


def of_hand(workload: str, bound: float, ours: str = "ours") -> Target:
    def figure(results: Results) -> float | None:
        return ratio(results.seconds(workload, ours), results.seconds(workload, "hand"))

    which = "jit, " if ours == "jit" else ""
    return Target(workload[0], f"{which}of the time of NumPy by hand", figure, bound)


def jit_of_jax(workload: str, bound: float) -> Target:
    def figure(results: Results) -> float | None:
        return ratio(results.seconds(workload, "jit"), results.seconds(workload, "jax"))

    return Target(workload[0], "jit, of the time of jax.jit", figure, bound)


def first_call(workload: str, bound: float) -> Target:
    def figure(results: Results) -> float | None:
        first = results.entry(workload, "jit").first
        return ratio(first, results.entry(workload, "jax").first)

    return Target(workload[0], "jit's first call, of that of jax.jit", figure, bound)


def faster(workload: str, contestant: str, name: str, bound: float = 1.0) -> Target:
    def figure(results: Results) -> float | None:
        return ratio(results.seconds(workload, contestant), results.seconds(workload, "ours"))

    return Target(workload[0], f"faster than {name}", figure, bound, at_least=True)


def growth(claim: str, small: str, large: str, bound: float = 12.0) -> Target:
    def figure(results: Results) -> float | None:
        return ratio(results.seconds(large, "ours"), results.seconds(small, "ours"))

    return Target(small[0], claim, figure, bound)


def memory(workload: str) -> Target:
    def figure(results: Results) -> float | None:
        return ratio(results.peak(workload, "ours"), results.peak(workload, "hips"))

    return Target(workload, "of the peak memory of HIPS", figure, 1.0)


def look_microseconds(results: Results) -> float | None:
    """Returns what a look takes for each of the ten functions."""
    seconds = results.seconds("tlook", "ours")
    return None if seconds is None else seconds * 1e6 / 10


def tape_bytes(results: Results) -> float | None:
    return results.overhead(TAPES[-1], "ours")


def import_ratio(results: Results) -> float | None:
    found = results.imports
    return None if found is None else found.pycograd / found.numpy


def budget(part: float, bound: float) -> tuple[Target, Target]:
    """What a plan within a part of the peak memory is held to: its time, and its own peak."""

    def row(results: Results) -> dict[str, float] | None:
        return next((r for r in results.budgets if r["part"] == part and r["same"]), None)

    def seconds(results: Results) -> float | None:
        return None if (found := row(results)) is None else found["time"]

    def peak(results: Results) -> float | None:
        return None if (found := row(results)) is None else found["peak"] / found["budget"]

    text = f"gradient in {part:.0%} of its memory"
    return (
        Target("m", f"{text}: time", seconds, bound),
        Target("m", f"{text}: peak, of that", peak, 1.0),
    )


def heavy_imports(results: Results) -> float | None:
    return None if results.imports is None else len(results.imports.heavy)


TARGETS: Final = (
    of_hand("a", 2.7),
    faster("a", "hips", "HIPS", 3.5),
    faster("a", "mygrad", "MyGrad", 5.0),
    faster("a", "older", "pycograd 0.0.5", 15.0),
    faster("a", "torch", "torch eager"),
    of_hand("a", 0.9, "jit"),
    of_hand("b", 1.15),
    faster("b", "hips", "HIPS"),
    faster("b", "torch", "torch eager"),
    memory("b"),
    of_hand("b", 1.0, "jit"),
    jit_of_jax("b", 1.05),
    first_call("b", 0.2),
    of_hand("c", 1.35),
    faster("c", "hips", "HIPS", 1.4),
    of_hand("c", 1.0, "jit"),
    jit_of_jax("c", 1.05),
    first_call("c", 0.2),
    of_hand("d", 1.6),
    faster("d", "hips", "HIPS", 2.2),
    faster("d", "torch", "torch eager", 1.5),
    memory("d"),
    of_hand("d", 1.0, "jit"),
    faster("e1000", "hips", "HIPS at 1,000", 10.0),
    faster("e10000", "hips", "HIPS at 10,000", 10.0),
    growth("of the time of 1,000 for 10,000", "e1000", "e10000"),
    of_hand("f", 1.5),
    faster("g", "hips", "HIPS", 5.0),
    growth("of the time of 100,000 for 1,000,000", "h100000", "h1000000"),
    Target("h", "bytes an operation, its value apart", tape_bytes, 280.0, ratio=False),
    growth("math.sin in a helper, of np.sin", "tnumpy", "tmath", 3.0),
    growth("of the time of 10,000 entries for 100,000", "tfill10000", "tfill100000"),
    Target("t", "microseconds a look at a function", look_microseconds, 20.0, ratio=False),
    *budget(0.7, 1.2),
    *budget(0.5, 1.4),
    *budget(0.35, 1.7),
    Target("", "import pycograd, of the time of import numpy", import_ratio, 1.25),
    Target("", "import pycograd, heavy modules", heavy_imports, 0.0, ratio=False),
)
