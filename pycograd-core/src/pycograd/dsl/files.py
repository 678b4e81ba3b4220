"""The DSL in files: modules whose first line says `# pycograd: dsl`, and scripts."""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pycograd.dsl.source import NAMES, compile_source

_FIRST_LINE: Final = re.compile(rb"(?:\xef\xbb\xbf)?#[ \t]*pycograd:[ \t]*dsl[ \t]*\r?$")


def install() -> None:
    """Lets modules be imported that are written in the DSL: those whose first line is
    `# pycograd: dsl`.

    Such a module has the names `params`, `frozen`, `tied`, `buffer`, `on_cpu` and `on_device`
    without importing them. Installing twice is installing once.

    >>> install()
    >>> uninstall()
    """
    if not any(finder is _FINDER for finder in sys.meta_path):
        sys.meta_path.insert(0, _FINDER)


def uninstall() -> None:
    """Undoes `install`; modules that were imported stay."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not _FINDER]


class _Finder(MetaPathFinder):
    """Finds modules as Python does, and gives those of the DSL another loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or spec.origin is None:
            return None
        if not _is_dsl(spec.origin):
            return None
        found = importlib.util.spec_from_file_location(
            fullname,
            spec.origin,
            loader=_Loader(fullname, spec.origin),
            submodule_search_locations=spec.submodule_search_locations,
        )
        return found


def _is_dsl(file: str) -> bool:
    with open(file, "rb") as lines:
        return _FIRST_LINE.match(lines.readline().rstrip(b"\n")) is not None


class _Loader(SourceFileLoader):
    """Loads a module from DSL text; its code is not kept: a newer pycograd may lower otherwise."""

    def path_stats(self, path: Any) -> Any:
        raise OSError("compiled modules of the DSL are not kept")

    def source_to_code(  # type: ignore[override]  # the method of the loaders for files
        self, data: Any, path: Any, *, _optimize: int = -1
    ) -> types.CodeType:
        return compile_source(importlib.util.decode_source(data), path)

    def exec_module(self, module: ModuleType) -> None:
        _lend_names(vars(module))
        super().exec_module(module)


_FINDER: Final = _Finder()


def _lend_names(scope: dict[str, Any]) -> None:
    from pycograd import parameters

    for name in NAMES:
        scope[name] = getattr(parameters, name)


def run(script: Path, arguments: Sequence[str] = ()) -> int:
    """Runs a script, in the DSL or plain, as `python script` would; `install` comes first.

    Arguments:
        script: its file.
        arguments: what it finds in `sys.argv` after its own name.

    Returns:
        0; 1 after an exception that the script did not catch, whose traceback was printed.
    """
    install()
    module = types.ModuleType("__main__")
    module.__file__ = str(script)
    scope = vars(module)
    _lend_names(scope)
    saved = sys.argv, sys.path, sys.modules["__main__"]
    sys.argv = [str(script), *arguments]
    sys.path = [str(script.resolve().parent), *sys.path]
    sys.modules["__main__"] = module
    try:
        text = importlib.util.decode_source(script.read_bytes())
        exec(compile_source(text, str(script)), scope)
    except Exception as error:
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_frame.f_globals is not scope:
            traceback = traceback.tb_next
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        return 1
    finally:
        sys.argv, sys.path, sys.modules["__main__"] = saved
    return 0
