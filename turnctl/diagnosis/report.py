"""The result of a check, with everything that a report may show."""

from __future__ import annotations

from dataclasses import dataclass

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """`started_at` is ISO 8601 in UTC. Verdicts are pass, warn, fail and, for a case, skipped."""

    target: str
    started_at: str
    elapsed_ms: float
    record: Record
    findings: tuple[Finding, ...]
    verdict: str
    verdicts: tuple[tuple[Case, str], ...]
