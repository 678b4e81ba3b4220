"""The class of every public callable, from the definitions and from what samples show of them.

A name with a definition is differentiable if a sample calls it and what it gives moves with the
inputs; if it never does, its derivative is zero. A defined name that no sample calls is not
classified, nor is one that has neither a definition nor a reason: the suite fails on both.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycograd import ops
from pycograd.core.spelling import CREATORS, FUNCTIONS, REFUSED, UFUNC_METHODS, UFUNCS
from pycograd.testing.coverage.names import MODULES, is_type, public, reasons
from pycograd.testing.recording import functions_called
from pycograd.testing.samples import Sample, all_samples


@dataclass(frozen=True)
class Function:
    """A public callable with its class.

    Arguments:
        names: the qualified names it has, the first of them the one it is listed under.
        value: the callable.
        kind: `differentiable`, `zero-derivative`, `type`, `not meaningful`, `as it is`, `not
            reached`, or `unclassified`.
        reason: of a kind that a table gives, why; of an unclassified one, what is missing.
        samples: those that call it; of a differentiable one, where the result moves.
    """

    names: tuple[str, ...]
    value: Any
    kind: str
    reason: str = ""
    samples: tuple[Sample, ...] = ()


@functools.cache
def calls() -> dict[Any, list[tuple[Sample, bool]]]:
    """Of every function that samples call, those samples, and whether the result moves there."""
    _load()
    found: dict[Any, list[tuple[Sample, bool]]] = {}
    for sample in all_samples():
        with np.errstate(all="ignore"), suppress(Exception):  # a broken one fails its own checks
            called = functions_called(sample.f, *sample.operands)
            for function, moves in called.items():
                found.setdefault(function, []).append((sample, moves))
    return found


def has_scipy() -> bool:
    """True if scipy, whose ufuncs are classified as well, is installed."""
    return importlib.util.find_spec("scipy") is not None


def _load() -> None:
    ops.load()
    if has_scipy():
        importlib.import_module("pycograd.scipy.special")


def functions() -> list[Function]:
    """Every public callable of NumPy, under its names, with its class."""
    named = (pair for module in MODULES for pair in public(module))
    return [_classified(names, value) for value, names in _by_value(named)]


def methods() -> list[Function]:
    """The methods of ufuncs (`np.add.reduce`), for the ufuncs that have the rule, and indexing."""
    names = sorted(name for name in UFUNC_METHODS if name in vars(np.ufunc) and name[0] != "_")
    return [
        *[_shown((f"numpy.ufunc.{name}",), getattr(np.ufunc, name)) for name in names],
        _shown(("numpy.ndarray.__getitem__",), np.ndarray.__getitem__),
        _shown(("numpy.ndarray.__setitem__",), np.ndarray.__setitem__),
    ]


def scipy_ufuncs() -> list[Function]:
    """The ufuncs of `scipy.special`, none if scipy is not installed."""
    if not has_scipy():
        return []
    named = (pair for pair in public("scipy.special") if isinstance(pair[1], np.ufunc))
    return [_classified(names, value) for value, names in _by_value(named)]


def _by_value(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Each callable with its names, that which it calls itself in front."""
    found: dict[int, tuple[Any, list[str]]] = {}
    for name, value in named:
        found.setdefault(id(value), (value, []))[1].append(name)
    for value, names in found.values():
        own = getattr(value, "__name__", "")
        yield value, tuple(sorted(names, key=lambda name: name.rpartition(".")[2] != own))


def _classified(names: tuple[str, ...], value: Any) -> Function:
    _load()
    given = next((reasons()[name] for name in names if name in reasons()), None)
    if given and given[0] == "not reached":  # a definition of it answers other callers than NumPy
        return Function(names, value, *given)
    if any(value in table for table in (UFUNCS, FUNCTIONS, CREATORS)):
        return _shown(names, value)
    if value in REFUSED:
        return Function(names, value, "not meaningful", REFUSED[value])
    if is_type(value):
        return Function(names, value, "type")
    if given is None:
        return Function(names, value, "unclassified", "it has no definition, and no reason")
    return Function(names, value, *given)


def _shown(names: tuple[str, ...], value: Any) -> Function:
    found = calls().get(value, [])
    if not found:
        return Function(names, value, "unclassified", "no sample calls it")
    moving = tuple([sample for sample, moves in found if moves])
    if moving:
        return Function(names, value, "differentiable", samples=moving)
    return Function(names, value, "zero-derivative", samples=tuple([sample for sample, _ in found]))
