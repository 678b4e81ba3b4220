"""What a run of the conformance kit found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

Status = Literal["passed", "failed", "refused", "skipped", "expected", "unexpected"]


@dataclass(frozen=True)
class Result:
    """One check.

    Attributes:
        name: `kind:subject`, as in `"tape:sum-0"`.
        status: `refused` where the backend has no lowering of some primitive, and said so;
            `expected` for a failure that was declared, `unexpected` for a declared one that passed.
        reason: why it is not passed.
        calls: how many lowerings it ran.
    """

    name: str
    status: Status
    reason: str = ""
    calls: int = 0


@dataclass(frozen=True)
class Report:
    """All checks of a backend.

    Attributes:
        backend: its name.
        framework_version: of the library.
        results: one for each check.
        calls: primitive -> how often its lowering ran.
        unused: declared failures that are no check's.
    """

    backend: str
    framework_version: str
    results: Sequence[Result]
    calls: Mapping[str, int] = field(default_factory=dict)
    unused: Sequence[str] = ()

    @property
    def failures(self) -> list[Result]:
        """What must not be."""
        return [r for r in self.results if r.status in ("failed", "unexpected")]

    @property
    def ok(self) -> bool:
        """True if nothing failed, and the backend really ran."""
        return not self.failures and not self.unused and bool(self.calls)

    def __str__(self) -> str:
        kinds: dict[str, Counter[str]] = {}
        for r in self.results:
            kinds.setdefault(r.name.partition(":")[0], Counter())[r.status] += 1
        total = sum(self.calls.values())
        lines = [
            f"conformance of backend {self.backend!r} {self.framework_version}".rstrip(),
            f"  {total} calls of {len(self.calls)} lowerings",
        ]
        for kind, counts in kinds.items():
            counted = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
            lines.append(f"  {kind:<12} {counted}")
        for r in self.failures:
            lines.append(f"  FAILED {r.name}: {r.reason}")
        lines += [f"  FAILED declared failure {name!r} is no check's" for name in self.unused]
        if not self.calls:
            lines.append("  FAILED no lowering ever ran")
        missing = sorted({r.reason for r in self.results if r.status == "refused"})
        if missing:
            lines.append(f"  without lowering: {', '.join(missing)}")
        lines.append("conforms" if self.ok else "does not conform")
        return "\n".join(lines)

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps({**asdict(self), "ok": self.ok}, indent=1)
