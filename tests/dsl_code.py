"""Running DSL text: by pycograd, and by pipescript, which the language of pipelines is of."""

from __future__ import annotations

import builtins
from contextlib import ExitStack
from typing import Any

from pycograd import parameters
from pycograd.dsl.source import NAMES, compile_source


def run(source: str, **names: Any) -> dict[str, Any]:
    """The names that a module of the DSL has in the end."""
    scope: dict[str, Any] = {name: getattr(parameters, name) for name in NAMES}
    scope |= {"__name__": "dsl_test", **names}
    exec(compile_source(source, "dsl_test.py"), scope)
    return scope


def value(expression: str, **names: Any) -> Any:
    """The value of an expression."""
    return run(f"result = ({expression})", **names)["result"]


def pipescript_value(expression: str, **names: Any) -> Any:
    """The value that pipescript gives an expression, by watching it run."""
    before = {*vars(builtins)}
    try:
        import pyccolo
        from pipescript import PIPESCRIPT_TRACERS

        vars(builtins).update(_pipescripts)
        with ExitStack() as stack:
            for tracer in PIPESCRIPT_TRACERS:
                stack.enter_context(tracer.instance())
            return pyccolo.exec(f"result = ({expression})", dict(names))["result"]
    finally:
        for name in vars(builtins).keys() - before:
            _pipescripts[name] = vars(builtins).pop(name)


_pipescripts: dict[str, Any] = {}  # what it puts among Python's own names
