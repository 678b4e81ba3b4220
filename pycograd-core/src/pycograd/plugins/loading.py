"""From a record to an object of the right kind, written for this version of the interface."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any, Final

from pycograd.core.backend import API_VERSION, Backend
from pycograd.core.errors import IncompatiblePluginError
from pycograd.plugins import messages
from pycograd.plugins.export import Exporter
from pycograd.plugins.records import BACKENDS, EXPORTERS, PLUGINS, Record

_BASES: Final[dict[str, type]] = {BACKENDS: Backend, EXPORTERS: Exporter}


def load(record: Record) -> Any:
    """The class, factory or object that a record names.

    Raises:
        IncompatiblePluginError: it was written for another version of the interface.
        TypeError: it is not what the group asks for.
    """
    assert record.load is not None
    thing = record.load()
    base = _BASES.get(record.group)
    if base is not None and record.distribution and not _is_class(thing, base):
        raise TypeError(f"{record.value} is {_kind(thing)}, not a subclass of {base.__name__}")
    if base is None or _is_class(thing, base):
        _check_version(record, thing)
    return thing


def _check_version(record: Record, thing: Any) -> None:
    declared = getattr(thing, "api", None)
    if record.group == PLUGINS and declared is None:
        raise TypeError(
            f"{record.value} does not say `api = {API_VERSION}`, what it is written for"
        )
    if not (
        isinstance(declared, tuple)
        and len(declared) == 2
        and all(isinstance(part, int) for part in declared)
    ):
        raise TypeError(f"{record.value} has api = {declared!r}, which is no (major, minor)")
    if declared[0] != API_VERSION[0] or declared[1] > API_VERSION[1]:
        record.state = "incompatible"
        record.reason = messages.incompatible(record, declared, API_VERSION)
        record.fix = f"install a {record.distribution or record.name} for this pycograd-core"
        raise IncompatiblePluginError(record.reason)


def instance(record: Record, thing: Any) -> Any:
    """The backend, exporter or plugin itself.

    Raises:
        IncompatiblePluginError: a factory made one for another version of the interface.
        TypeError: a factory made something else, or it has another name than its entry point.
    """
    base = _BASES.get(record.group)
    if base is None:
        return thing() if inspect.isclass(thing) else thing
    made = thing()
    if not isinstance(made, base):
        raise TypeError(f"{record.value}() is {_kind(made)}, not a {base.__name__}")
    if not _is_class(thing, base):
        _check_version(record, made)
    named = getattr(made, "name", None)
    if named != record.name:
        if record.distribution:
            raise TypeError(
                f"{record.value} calls itself {named!r}, its entry point {record.name!r}"
            )
        made.name = record.name  # type: ignore[attr-defined]
    return made


def missing_library(record: Record, error: BaseException) -> str | None:
    """The library that an import in a plugin's probe did not find, if that is what went wrong."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    module = error.name.partition(".")[0]
    if module == record.value.partition(":")[0].partition(".")[0] or module == "pycograd":
        return None
    try:
        return module if importlib.util.find_spec(module) is None else None
    except (ImportError, ValueError):
        return module


def _is_class(thing: Any, base: type) -> bool:
    return inspect.isclass(thing) and issubclass(thing, base)


def _kind(thing: Any) -> str:
    return (
        f"the class {thing.__qualname__}" if inspect.isclass(thing) else f"a {type(thing).__name__}"
    )
