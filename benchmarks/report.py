"""The table that a run prints: times, ratios, targets, and whatever could not be measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from catalogue import CONTESTANTS, RACES, TAPES
from targets import TARGETS, Results

LABEL, COLUMN = 32, 11


def lines(results: Results) -> Iterator[str]:
    yield from _heading(results)
    yield from _times(results)
    yield from _memory(results)
    yield from _targets(results)
    yield from _notes(results)


def _heading(results: Results) -> Iterator[str]:
    yield ""
    yield "; ".join(f"{name}: {value}" for name, value in results.setting.items())
    known = {name: value for each in results.versions.values() for name, value in each.items()}
    known.pop("pycograd", None)  # two contestants have that name
    yield ", ".join(f"{name} {value}" for name, value in known.items())


def _row(label: str, cells: dict[str, str]) -> str:
    columns = (f"{cells.get(each.key, ''):>{COLUMN}}" for each in CONTESTANTS)
    return (f"{label:<{LABEL}}" + "".join(columns)).rstrip()


def _times(results: Results) -> Iterator[str]:
    yield ""
    yield _row("microseconds, x of pycograd", {each.key: each.heading for each in CONTESTANTS})
    for workload in RACES + TAPES:
        if workload.key not in results.entries:
            continue
        seconds = {each.key: results.seconds(workload.key, each.key) for each in CONTESTANTS}
        times = {key: "-" if value is None else _us(value) for key, value in seconds.items()}
        yield _row(f"({workload.letter}) {workload.title}", times)
        ours = seconds.pop("ours")
        if ours is not None:
            yield _row("", {key: f"{t / ours:.2f}x" for key, t in seconds.items() if t is not None})


def _us(seconds: float) -> str:
    micro = seconds * 1e6
    return f"{micro:,.1f}" if micro < 1e3 else f"{micro:,.0f}"


def _memory(results: Results) -> Iterator[str]:
    weighed = [each for each in RACES + TAPES if each.peak and each.key in results.entries]
    if weighed:
        yield ""
        yield "memory, by tracemalloc: peak of a call; (h) bytes an operation, its value apart"
    for workload in weighed:
        cells = {}
        for each in CONTESTANTS:
            peak = results.peak(workload.key, each.key)
            overhead = results.overhead(workload, each.key) if workload in TAPES else None
            if overhead is not None:
                cells[each.key] = f"{overhead:,.0f} B"
            elif peak is not None:
                cells[each.key] = f"{peak / 1e6:.2f} MB"
            else:
                cells[each.key] = "-"
        yield _row(f"({workload.letter}) {workload.title}", cells)


def _targets(results: Results) -> Iterator[str]:
    letters = {key[0] for key in results.entries}
    asked = [each for each in TARGETS if each.letter in letters]
    asked += [each for each in TARGETS if each.letter == "m" and results.budgets]
    if results.imports is not None:
        asked += [each for each in TARGETS if not each.letter]
    yield ""
    yield f"{'targets':<46}{'figure':>10}{'target':>12}"
    verdicts = {True: "", False: "MISSED", None: "NOT MEASURED"}
    for target in asked:
        figure = target.figure(results)
        shown = "-" if figure is None else f"{figure:.3f}x" if target.ratio else f"{figure:.0f}"
        bound = f"{'>=' if target.at_least else '<='} {target.bound:g}{'x' if target.ratio else ''}"
        label = f"({target.letter}) {target.claim}" if target.letter else target.claim
        yield f"{label:<46}{shown:>10}{bound:>12}  {verdicts[target.met(results)]}".rstrip()
    counts = Counter(target.met(results) for target in asked)
    yield f"{counts[True]} reached, {counts[False]} missed, {counts[None]} not measured"


def _notes(results: Results) -> Iterator[str]:
    headings = {each.key: each.heading for each in CONTESTANTS}
    notes = [f"{headings[key]} is missing: {reason}" for key, reason in results.absent.items()]
    compilations = []
    for key, entries in results.entries.items():
        for name, entry in entries.items():
            if entry.failed is not None:
                notes.append(f"({key}) {headings[name]}: {entry.failed}")
        jax = results.entry(key, "jax")
        if jax.first is not None:
            compilations.append(f"({key}) {jax.first:.2f} s")
    if compilations:
        notes.append(f"jax.jit's first call, with its compilation: {', '.join(compilations)}")
    if results.imports is not None:
        ours, numpy = results.imports.pycograd * 1e3, results.imports.numpy * 1e3
        notes.append(f"import pycograd takes {ours:.1f} ms, import numpy {numpy:.1f} ms")
        if results.imports.heavy:
            notes.append(f"import pycograd brings {', '.join(results.imports.heavy)}")
    if notes:
        yield ""
        yield from notes
