"""The fronts of the kit: a function, and a class for pytest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pycograd.core.backend import Backend
from pycograd.plugins.hub import resolve
from pycograd.testing.conformance.checks import backend_checks
from pycograd.testing.conformance.per_sample import sample_checks
from pycograd.testing.conformance.report import Report, Result
from pycograd.testing.conformance.running import Check, Context, judged
from pycograd.testing.samples import Sample, all_samples


def checks_for(backend: Backend, samples: Sequence[Sample] | None = None) -> Iterator[Check]:
    """Every check of a backend.

    Arguments:
        backend: what is under test.
        samples: of the table; all of them if left out.
    """
    yield from backend_checks(backend)
    yield from sample_checks(
        list(all_samples()) if samples is None else samples, backend.capabilities
    )


def _declared(backend: Backend, expected: Mapping[str, str] | None) -> dict[str, str]:
    found = {**getattr(backend, "expected_failures", {}), **(expected or {})}
    for name, reason in found.items():
        if not reason:
            raise ValueError(f"expected failure {name!r} needs a reason")
    return found


def check_backend(
    backend: str | Backend,
    *,
    samples: Sequence[Sample] | None = None,
    expected: Mapping[str, str] | None = None,
) -> Report:
    """Verifies what a backend claims.

    Arguments:
        backend: its name, `"torch"` or `"torch:cuda:1"`, or the backend itself.
        samples: of the sample table; all of them if left out.
        expected: failures that are known, pattern of a check's name (`"native:sort-*"`) -> reason;
            with those of the backend's attribute `expected_failures`. One that passes is a failure.

    Returns:
        A `Report`: `report.ok`, `str(report)`, `report.to_json()`.

    Raises:
        UnknownBackendError, BackendUnavailableError: as `get_backend`.
        ValueError: a declared failure without a reason.

    >>> from pycograd.testing.conformance.loopback import LoopbackBackend
    >>> from pycograd.testing.samples import Sample
    >>> import numpy as np
    >>> report = check_backend(LoopbackBackend(), samples=[Sample("sin", np.sin, [np.ones(2)])])
    >>> report.ok, report.failures
    (True, [])
    """
    from fnmatch import fnmatchcase

    found, device = resolve(backend)
    declared = _declared(found, expected)
    context = Context(found, device)
    results: list[Result] = []
    for check in checks_for(found, samples):
        results.append(judged(check, context, declared))
    names = [r.name for r in results]
    # Of some of the samples alone what the backend itself declares may well be no check's.
    asked = declared if samples is None else (expected or {})
    unused = [p for p in asked if not any(fnmatchcase(name, p) for name in names)]
    version = found.probe().framework_version
    return Report(found.name, version, results, dict(context.calls), unused)


class BackendConformance:
    """The kit as a class of tests: `class TestAcme(BackendConformance): backend = "acme"`.

    Each check is a test. Needs pytest.

    Attributes:
        backend: its name, or a `Backend`.
        expected: as for `check_backend`.
        every: only each so-manieth sample runs; 1 for all.
    """

    backend: ClassVar[Any] = None
    expected: ClassVar[Mapping[str, str]] = {}
    every: ClassVar[int] = 1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.backend is None:
            return
        import pytest

        backend, device = resolve(cls.backend)
        declared = _declared(backend, cls.expected)
        samples = list(all_samples())[:: cls.every]
        checks = list(checks_for(backend, samples))
        context = Context(backend, device)

        def test_conformance(self: Any, check: Check) -> None:
            result = judged(check, context, declared)
            if result.status in ("skipped", "refused"):
                pytest.skip(result.reason)
            if result.status == "expected":
                pytest.xfail(result.reason)
            assert result.status == "passed", result.reason

        mark = pytest.mark.parametrize("check", checks, ids=[c.name for c in checks])
        cls.test_conformance = mark(test_conformance)  # type: ignore[attr-defined]
