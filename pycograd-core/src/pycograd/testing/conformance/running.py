"""A backend under test: its lowerings counted, and one check run and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from pycograd.core.backend import Backend
from pycograd.core.device import DeviceTrace, trace_of
from pycograd.core.errors import LoweringNotFoundError, UnsupportedDtypeError
from pycograd.testing.conformance.report import Result


class NotApplicable(Exception):
    """A check has nothing to verify here; the message says why."""


@dataclass(frozen=True)
class Check:
    """One thing to verify.

    Attributes:
        name: `kind:subject`.
        run: raises if it does not hold.
        computes: whether lowerings must run for it to count.
    """

    name: str
    run: Callable[[Context], None]
    computes: bool = True


class Context:
    """A backend and what of it has run.

    Arguments:
        backend: what is under test.
        device: one of its devices; the first if left out.
    """

    def __init__(self, backend: Backend, device: str | None = None) -> None:
        self.backend, self.device = backend, device or backend.devices()[0]
        self.calls: Counter[str] = Counter()

    @property
    def trace(self) -> DeviceTrace:
        """Its arrays on the device."""
        return trace_of(self.backend, self.device)

    def has(self, dtype: Any) -> bool:
        """True if the backend claims arrays of this dtype."""
        return np.dtype(dtype).name in self.backend.capabilities.dtypes

    @contextmanager
    def counting(self) -> Iterator[None]:
        """A block in which every call of a lowering is counted."""
        backend, find = self.backend, self.backend.lowering
        known: dict[int, Any] = {}

        def lowering(primitive: Any, operands: Any = ()) -> Any:
            found = find(primitive, operands)
            if id(found) not in known:
                known[id(found)] = found, self._counted(primitive.name, found)
            return known[id(found)][1]

        backend.lowering = lowering  # type: ignore[method-assign]
        try:
            yield
        finally:
            del backend.lowering  # the class's own again

    def _counted(self, name: str, lowering: Callable[..., Any]) -> Callable[..., Any]:
        def run(*operands: Any, **params: Any) -> Any:
            self.calls[name] += 1
            return lowering(*operands, **params)

        return run


def judged(check: Check, context: Context, expected: Mapping[str, str]) -> Result:
    """Runs a check. Declared failures must fail."""
    declared = next((why for name, why in expected.items() if fnmatchcase(check.name, name)), None)
    before = context.calls.total()
    try:
        with context.counting(), np.errstate(all="ignore"):
            check.run(context)
        calls = context.calls.total() - before
        if check.computes and not calls:
            raise AssertionError("no lowering of the backend ran")
    except NotApplicable as error:
        return Result(check.name, "skipped", str(error))
    except LoweringNotFoundError as error:
        said = str(error)
        name = said.partition("primitive '")[2].partition("'")[0]
        if name in context.backend.lowerings:  # of some operands only, as it says
            name += said.partition(f"{context.backend.name!r}")[2].partition(" (")[0]
        return Result(check.name, "refused", name, context.calls.total() - before)
    except UnsupportedDtypeError as error:
        return Result(
            check.name, "refused", str(error).partition(" (/")[0].partition(": convert")[0]
        )
    except Exception as error:
        return _failed(check.name, error, declared)
    if declared is not None:
        reason = f"declared to fail, {declared}; it passes"
        return Result(check.name, "unexpected", reason, calls)
    return Result(check.name, "passed", "", calls)


def _failed(name: str, error: Exception, declared: str | None) -> Result:
    if declared is not None:
        return Result(name, "expected", declared)
    text = " ".join(str(error).split())
    return Result(name, "failed", f"{type(error).__name__}: {text[:400]}")
