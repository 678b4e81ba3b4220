"""The words of the errors about plugins; they are part of what is promised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from pycograd._version import __version__
from pycograd.core.errors import PycogradError
from pycograd.plugins.records import ALIASES, NOUNS, Record


def unknown(noun: str, name: str, installed: Sequence[Record], known: Mapping[str, str]) -> str:
    """There is no such name: the nearest one, what is installed, and what could be."""
    there = {r.name for r in installed}
    absent = {k: v for k, v in known.items() if k not in there}
    text = f"no {noun} named {name!r}."
    if name in absent:
        absent = {name: absent[name]}
    elif noun == "backend" and (place := name.lower()) in _PLACES:
        text += f" A device follows the name of a backend: '{_PLACES[place]}:{place}'"
    else:
        others = [*there, *absent, *(ALIASES if noun == "backend" else ())]
        near = get_close_matches(name.lower(), others, n=1)
        if near:
            text += f" Did you mean {near[0]!r}?"
    text += f"\n  installed: {', '.join(map(str, installed)) or 'none'}"
    if absent:
        offers = [f"{k} -> pip install {v}" for k, v in absent.items()]
        text += f"\n  known, not installed: {', '.join(offers)}"
    return text


_PLACES = {"cpu": "torch", "tpu": "jax", "rocm": "jax", "xpu": "torch"}  # who has such devices


def no_provider(
    noun: str, name: str, distribution: str, providers: Sequence[Record], who: str = ""
) -> str:
    """A distribution was asked for by name that does not provide the name."""
    asked = f" ({who}={name}={distribution})" if who else ""
    return (
        f"{distribution!r} provides no {noun} named {name!r}{asked}.\n"
        f"  installed: {', '.join(map(str, providers))}"
    )


def ambiguous(noun: str, name: str, providers: Sequence[Record]) -> str:
    """Several distributions provide a name, and the ways out."""
    first, *rest = sorted(providers, key=lambda r: (not r.distribution.startswith("pycograd-"),))
    argument = "backend=" if noun == "backend" else ""
    return (
        f"{noun} {name!r} is provided by {' and '.join(r.source for r in (first, *rest))}."
        f' Use {argument}"{name}@{rest[-1].distribution}" or PYCOGRAD_PREFER'
    )


def unavailable(record: Record, others: Iterable[str]) -> str:
    """What is installed cannot run: why, and what to do."""
    noun, others = NOUNS[record.group], list(others)
    ways = [record.fix] if record.fix else []
    if others:
        ways.append(f"choose one of: {', '.join(others)}")
    text = (
        f"{noun} {record.name!r} ({record.source}) is installed but cannot run here.\n"
        f"  why: {record.reason or 'it does not say'}"
    )
    return text + (f"\n  fix: {', or '.join(ways)}" if ways else "")


def incompatible(record: Record, needs: tuple[int, int], provides: tuple[int, int]) -> str:
    """A plugin for another version of the interface."""
    major, minor = needs
    wanted = f"{major}.{minor}" if minor else f"{major}"
    who = record.source if record.distribution else f"{record.name} ({record.value})"
    return (
        f"{who} needs plugin API {wanted}; this pycograd-core {__version__} provides"
        f" {provides[0]}.{provides[1]}."
    )


def one_line(error: BaseException) -> str:
    """An error as one line, with the place where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    said = f"{type(error).__name__}: {error}".strip().partition("\n")[0].rstrip(": ")
    if trace is None or isinstance(error, PycogradError):  # which says so itself
        return said
    return f"{said} ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"


def mend(record: Record) -> str:
    """What to do about a broken plugin."""
    if not record.distribution:
        return f"mend what was registered as {record.name!r}"
    return f"update or uninstall {record.distribution}"
