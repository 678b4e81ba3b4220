"""The conformance kit: what a backend claims, verified.

One generator of checks (`checks`, `per_sample`) has three fronts: `check_backend(name)`, the
command `pycograd conformance NAME`, and `class TestAcme(BackendConformance): backend = "acme"`.
"""

from __future__ import annotations

from pycograd.testing.conformance.front import BackendConformance, check_backend
from pycograd.testing.conformance.report import Report, Result

__all__ = ["BackendConformance", "Report", "Result", "check_backend"]
