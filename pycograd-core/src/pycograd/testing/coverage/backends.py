"""Which functions the backends have: their tables of lowerings, held against what programs bind."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pycograd.core.primitive import REGISTRY
from pycograd.testing.coverage.classes import Function
from pycograd.testing.recording import primitives_bound
from pycograd.testing.samples import Sample

MARKS = ("lowered", "decomposed", "in part", "refused")


@functools.cache
def _bound(sample: Sample) -> frozenset[str]:
    with np.errstate(all="ignore"):
        return frozenset(primitives_bound(sample.f, *sample.operands)[1])


def mark(function: Function, lowered: frozenset[str]) -> str:
    """What a backend makes of a function's programs.

    Arguments:
        function: with the samples that call it.
        lowered: the primitives that the backend has.

    Returns:
        `lowered` if it runs all of them and the function is a primitive, `decomposed` if it runs
        them in other primitives, `2 of 3` if it runs some, else `refused`.
    """
    # A program that is there for another primitive is no fault of this function.
    own = [sample for sample in function.samples if sample.primitive in lowered]
    runs = [_bound(sample) <= lowered for sample in own or function.samples]
    if not any(runs):
        return "refused"
    if not all(runs):
        return f"{sum(runs)} of {len(runs)}"
    names = {name.rpartition(".")[2] for name in function.names}
    return "lowered" if names & REGISTRY.keys() else "decomposed"


def tables(backends: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """By backend, the primitives that it has."""
    return {name: frozenset(facts["lowered"]) for name, facts in backends.items()}


def summary(
    backends: Mapping[str, Any], listed: Sequence[Function]
) -> tuple[list[str], list[list[str]]]:
    """The heads and rows of a table: by backend, primitives and functions by what they become."""
    heads = [
        "backend",
        "library",
        "primitives lowered",
        "refused",
        *(f"functions {m}" for m in MARKS),
    ]
    rows = []
    for name, lowered in tables(backends).items():
        facts = backends[name]
        found = Counter(_kind(mark(f, lowered)) for f in listed)
        library = f"{facts['library']} {facts['version']}".strip()
        rows.append(
            [name, library, str(len(lowered)), str(len(facts["refused"]))]
            + [str(found[m]) for m in MARKS]
        )
    return heads, rows


def _kind(text: str) -> str:
    return text if text in MARKS else "in part"


ENDINGS = ("passed", "expected", "refused", "skipped", "failed", "unexpected")


def conformance(backends: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The heads and rows of a table: by backend and kind of check, how many ended how."""
    rows = [
        [name, kind, *(str(counts.get(ending, 0)) for ending in ENDINGS)]
        for name, facts in backends.items()
        for kind, counts in facts.get("conformance", {"kinds": {}})["kinds"].items()
    ]
    return ["backend", "check", *ENDINGS], rows


def refusals(facts: Mapping[str, Any]) -> dict[str, list[str]]:
    """The primitives that a backend refuses, by reason."""
    found: dict[str, list[str]] = {}
    for name, reason in facts["refused"].items():
        found.setdefault(reason, []).append(name)
    return found
