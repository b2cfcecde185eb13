"""The result of a check, with everything that a report may show."""

from __future__ import annotations

from dataclasses import dataclass

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.nat import Behaviour, NatEvidence
from turnctl.wire.outcome import Family

__all__ = ["NatReport", "Report"]


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


@dataclass(frozen=True, slots=True)
class NatReport:
    """How the NAT behaves over one family, or why that wasn't tested (`skipped`)."""

    family: Family
    seen: NatEvidence | None = None
    behaviour: Behaviour | None = None
    skipped: str = ""
