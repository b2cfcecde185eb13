"""Reports: what a check found, for a person or for a program.

A Report is everything a format may show; each format is one module with `render`.
"""

from __future__ import annotations

from dataclasses import dataclass

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """`started_at` in ISO 8601, UTC; `verdict` pass, warn or fail; `verdicts` beside the cases."""

    target: str
    started_at: str
    elapsed_ms: float
    record: Record
    findings: tuple[Finding, ...]
    verdict: str
    verdicts: tuple[tuple[Case, str], ...]
