"""The coverage page: what the checks of the samples say of every differentiable function."""

from __future__ import annotations

import json
import platform
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pycograd.testing.check import checks_of
from pycograd.testing.coverage import backends as of_backends
from pycograd.testing.coverage.classes import (
    Function,
    functions,
    methods,
    scipy_ufuncs,
)
from pycograd.testing.coverage.names import MODULES, polynomial_kind, polynomials
from pycograd.testing.samples import Sample

# What a mode is called, the checks that show it, and the group by which samples skip them.
MODES: dict[str, tuple[tuple[str, ...], str]] = {
    "grad": (("adjoint",), "adjoint"),
    "jvp": (("jvp",), "jvp"),
    "vmap": (("vmap", "vmap-jvp", "vmap-grad"), "vmap"),
    "eval_shape": (("shape",), "shape"),
    "second order": (tuple(f"second-{way}" for way in ("rr", "fr", "rf", "ff")), "second"),
}
PEER_MODES = ("grad", "jvp", "second order")
PAGE, PEER, BACKENDS = "coverage.md", "coverage_hips.json", "coverage_backends.json"


class Mark(NamedTuple):
    """Whether a function works in a mode, and where it does not, why."""

    text: str  # yes, no or -
    why: str = ""


class Results:
    """The outcomes of the checks, each of them run once."""

    def __init__(self) -> None:
        self._checks: dict[int, dict[str, Callable[[Sample], None]]] = {}
        self._passed: dict[tuple[int, str], bool] = {}

    def mark(self, function: Function, mode: str) -> Mark:
        """Yes if a check of the mode applies to a sample of the function and none fails."""
        names, group = MODES[mode]
        outcomes, whys = [], []
        for sample in function.samples:
            applying = [name for name in names if name in self._of(sample)]
            outcomes += [self._passes(sample, name) for name in applying]
            if not applying:
                whys.append(_why(sample, group))
        if not outcomes:
            return Mark("-", whys[0])
        return Mark("yes" if all(outcomes) else "no")

    def _of(self, sample: Sample) -> dict[str, Callable[[Sample], None]]:
        if id(sample) not in self._checks:
            self._checks[id(sample)] = dict(checks_of(sample))
        return self._checks[id(sample)]

    def _passes(self, sample: Sample, name: str) -> bool:
        key = (id(sample), name)
        if key not in self._passed:
            try:
                self._of(sample)[name](sample)
                self._passed[key] = True
            except Exception:
                self._passed[key] = False
        return self._passed[key]


def _why(sample: Sample, group: str) -> str:
    if group in sample.skip:
        return sample.skip[group]
    if sample.data_dependent_shape and group in ("shape", "vmap"):
        return "the form of the result depends on values"
    return "no sample has operands for it"


# -- the page -------------------------------------------------------------------------------------
HEAD = (
    "Every public callable of `numpy`, `numpy.linalg` and `numpy.fft` has a class. Those that have"
    " a definition are differentiable, or have a derivative of zero: that is written down nowhere"
    " but seen, by running the programs of the sample tables. The others stand in a table with a"
    " reason. The suite fails on a name without a class, and on a definition without a sample.",
    "`make docs` writes this page. A mode is *yes* if the checks of every sample that calls the"
    " function pass: `grad` and `jvp` against differences of NumPy, `vmap` (of the function, of its"
    " `jvp` and of its `grad`) against a loop, `eval_shape` against NumPy's result, second order in"
    " all four nestings of forward and reverse against differences. `-` is a mode that has no"
    " meaning for it, and a note says why. Operators and methods count as the function that they"
    " stand for.",
    "This is Python {python}, NumPy {numpy}. A function of several names is counted once.",
)
PEER_HEAD = (
    "The columns of HIPS are [HIPS autograd]({url}) {version} on the same programs, with"
    " `autograd.numpy` in the place of NumPy (`like=` left out, which it does not need) and"
    " differences of NumPy as the judge: *yes* if all programs that call the function pass, else"
    " how many of them do. A program that fails counts only where it calls nothing else that fails"
    " everywhere. The programs are ours: another call of a function may work where these do not. It"
    " has neither `vmap` nor `eval_shape`. `{command}` measures it."
)
BACKENDS_HEAD = (
    "A plugin has a table of lowerings: how its library spells each primitive. A function that is a"
    " primitive is *lowered*; one that is written over primitives is *decomposed* into them, and"
    " works if the library has them all. `2 of 3` counts the programs of the sample tables that"
    " are made of primitives it has. Where one is *refused*, `LoweringNotFoundError` names it, the"
    " reason and the line; of ONNX it is an `ExportError`. `mps` is torch's table without float64."
    " Derivatives of a primitive are lowered as programs of other primitives, never by a second"
    " table. `{command}` reads the tables."
)
CONFORMANCE_HEAD = (
    "What is lowered is verified by the conformance kit, `pycograd conformance NAME`, on every"
    " program of the tables: `forward`, `tape`, `jvp`, `second` and `vmap_grad` on the eager"
    " device, `native` by the library's own autodiff, `compiled` as a program of it, then by dtype"
    " and at kinks, each against NumPy. *Expected* is a failure that the plugin declares, with a"
    " reason; *skipped* has nothing to verify. Where a backend has far fewer checks of a kind than"
    " the others, the rest of them was not run. CuPy's table is run by the suite, on NumPy; files"
    " of ONNX are run by onnxruntime there."
)


def write(folder: Path) -> None:
    """Writes the page into a folder, beside the results of others that it shows."""
    peer, backends = (json.loads((folder / name).read_text()) for name in (PEER, BACKENDS))
    (folder / PAGE).write_text(page(peer, backends))


def page(peer: dict[str, Any], backends: dict[str, Any]) -> str:
    """The text of the page.

    Arguments:
        peer: what `benchmarks/coverage_hips.py` found of HIPS autograd.
        backends: what `benchmarks/coverage_backends.py` found in the plugins' tables.
    """
    results = Results()
    listed = functions()
    of_arrays, special = methods(), scipy_ufuncs()
    rows = [f for f in listed if f.kind == "differentiable"]
    with np.errstate(all="ignore"):
        marks = {
            f.names[0]: [results.mark(f, mode) for mode in MODES]
            for f in (*listed, *of_arrays, *special)
            if f.kind == "differentiable"
        }
    versions = {"python": _minor(platform.python_version()), "numpy": _minor(np.__version__)}
    parts = [
        "# Coverage of NumPy\n",
        *[_filled(text.format(**versions)) for text in HEAD],
        "## Counts\n",
        _table(["module", *COUNTED], counts(listed)),
        _filled(PEER_HEAD.format(**peer["autograd"], command=peer["command"])),
        _table(
            ["mode", "pycograd", "HIPS autograd: all programs", "some"], _modes(rows, marks, peer)
        ),
    ]
    notes: list[str] = []
    plugins = backends["backends"]
    parts += _backends(backends, [f for f in listed if f.samples])
    lowered = of_backends.tables(plugins)
    heads = ["function", *MODES, *lowered, *(f"HIPS {mode}" for mode in PEER_MODES)]
    for module in MODULES:
        here = [f for f in rows if _module(f) == module]
        parts += [
            f"## {module}\n",
            _table(heads, [_row(f, marks, lowered, peer, notes) for f in here]),
        ]
    parts += [
        "## Methods of ufuncs, and indexing\n",
        _table(heads, [_row(f, marks, lowered, peer, notes) for f in of_arrays]),
    ]
    if special:
        parts += [
            "## scipy.special\n",
            _filled(
                f"{_count(special, 'differentiable')} ufuncs are differentiable,"
                f" {_count(special, 'zero-derivative')} have a derivative of zero;"
                f" {_count(special, 'unclassified')} have none, and an error says so."
            ),
            _table(
                ["function", *MODES, *lowered],
                [
                    _row(f, marks, lowered, None, notes)
                    for f in special
                    if f.kind == "differentiable"
                ],
            ),
        ]
    parts += ["## Notes\n", "".join(f"{n}. {note}\n" for n, note in enumerate(notes, 1))]
    parts += _others(listed)
    return "\n".join(parts)


COUNTED = ("differentiable", "zero-derivative", "as it is", "not reached", "not meaningful", "type")


def counts(listed: Sequence[Function]) -> list[list[str]]:
    """How many functions of every module are of every class, and in all."""
    found = Counter((_module(f), f.kind) for f in listed)
    rows = [[module, *(found[module, kind] for kind in COUNTED)] for module in MODULES]
    return [
        *[[str(entry) for entry in row] for row in rows],
        ["all", *(str(_count(listed, kind)) for kind in COUNTED)],
    ]


def _modes(
    rows: Sequence[Function], marks: dict[str, list[Mark]], peer: dict[str, Any]
) -> list[list[str]]:
    table = []
    for i, mode in enumerate(MODES):
        ours = Counter(marks[f.names[0]][i].text for f in rows)
        line = [mode, f"{ours['yes']} of {len(rows) - ours['-']}"]
        if mode in PEER_MODES:
            theirs = [peer["functions"].get(f.names[0]) for f in rows]
            shares = [t[mode] for t in theirs if t]
            every = sum(passed == programs for passed, programs in shares)
            some = sum(passed > 0 for passed, _ in shares)
            line += [f"{every} of {len(shares)}", f"{some} of {len(shares)}"]
        else:
            line += ["-", "-"]
        table.append(line)
    return table


def _backends(backends: dict[str, Any], listed: Sequence[Function]) -> list[str]:
    plugins = backends["backends"]
    return [
        "## Backends\n",
        _filled(BACKENDS_HEAD.format(command=backends["command"])),
        _table(*of_backends.summary(plugins, listed)),
        _filled(CONFORMANCE_HEAD),
        _table(*of_backends.conformance(plugins)),
        *[
            line
            for name, facts in plugins.items()
            for line in (
                f"Refused by {name}:\n",
                *[
                    _filled(f"- {reason}: " + ", ".join(f"`{p}`" for p in primitives))
                    for reason, primitives in of_backends.refusals(facts).items()
                ],
            )
        ],
    ]


def _row(
    f: Function,
    marks: dict[str, list[Mark]],
    lowered: dict[str, frozenset[str]],
    peer: dict[str, Any] | None,
    notes: list[str],
) -> list[str]:
    row = [_label(f), *(_noted(mark, notes) for mark in marks[f.names[0]])]
    row += [of_backends.mark(f, table) for table in lowered.values()]
    if peer is not None:
        theirs = peer["functions"].get(f.names[0])
        row += [_share(*theirs[mode]) if theirs else "" for mode in PEER_MODES]
    return row


def _noted(mark: Mark, notes: list[str]) -> str:
    if not mark.why:
        return mark.text
    if mark.why not in notes:
        notes.append(mark.why)
    return f"{mark.text} ({notes.index(mark.why) + 1})"


def _share(passed: int, programs: int) -> str:
    return "yes" if passed == programs else f"{passed} of {programs}" if passed else "no"


def _others(listed: Sequence[Function]) -> list[str]:
    """The classes that are lists of names."""
    return [
        "## Derivative zero\n",
        _filled(
            "Results are constants of the computation; what makes new values"
            " (`np.zeros(n, like=x)`) is among them."
        ),
        _names(f for f in listed if f.kind == "zero-derivative"),
        "## As it is\n",
        "Python that runs on differentiated values without a definition of ours.\n",
        *_grouped(listed, "as it is"),
        "Of `numpy.polynomial` those that are arithmetic on `x`, given plain coefficients:\n",
        *_polynomials("as it is"),
        "## Not reached\n",
        _filled(
            "These have a derivative, but ask no protocol of NumPy: a differentiated value is"
            " refused with an error that says what to write, and never quietly detached."
        ),
        *_grouped(listed, "not reached"),
        _filled(
            "Of `numpy.polynomial` all that take coefficients or roots, where the functions of"
            " `numpy` (`np.polyval`) are differentiable:"
        ),
        *_polynomials("not reached"),
        "## Not meaningful\n",
        "There is nothing to differentiate.\n",
        *_grouped(listed, "not meaningful"),
        _item("types of numbers, and exceptions", (f for f in listed if f.kind == "type")),
    ]


def _grouped(listed: Sequence[Function], kind: str) -> list[str]:
    groups: dict[str, list[Function]] = {}
    for f in listed:
        if f.kind == kind:
            groups.setdefault(f.reason, []).append(f)
    return [_item(reason, members) for reason, members in groups.items()]


def _polynomials(kind: str) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name, _ in polynomials():
        if polynomial_kind(name) == kind:
            module, _, function = name.rpartition(".")
            groups.setdefault(module, []).append(f"`{function}`")
    return [_filled(f"- `{module}`: " + ", ".join(names)) for module, names in groups.items()]


def _item(reason: str, members: Iterable[Function]) -> str:
    return _filled(f"- {reason}: " + ", ".join(_label(f) for f in members))


def _names(members: Iterable[Function]) -> str:
    return _filled(", ".join(_label(f) for f in members))


def _filled(text: str) -> str:
    """Lines of the width that the other pages have, those of an item indented."""
    indent = "  " if text.startswith("- ") else ""
    lines = textwrap.wrap(
        text, 128, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) + "\n"


def _label(f: Function) -> str:
    names = (name.removeprefix("numpy.").removeprefix("scipy.special.") for name in f.names)
    return ", ".join(f"`{name}`" for name in names)


def _module(f: Function) -> str:
    return f.names[0].rpartition(".")[0]


def _count(listed: Iterable[Function], kind: str) -> int:
    return sum(f.kind == kind for f in listed)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
