"""The result of a check, with everything that a report may show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.judge import judge, overall, url_verdict
from turnctl.diagnosis.nat import Behaviour, NatEvidence
from turnctl.diagnosis.observations import Observation
from turnctl.diagnosis.plan import Plan
from turnctl.wire.outcome import Family

__all__ = ["NatReport", "Report", "make_report"]


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


def make_report(
    target: str, started: datetime, elapsed_ms: float, plan: Plan, seen: Sequence[Observation]
) -> Report:
    """The report on a check that began at `started` and made these observations in `elapsed_ms`."""
    record = Record.of(plan, seen)
    findings = tuple(judge(plan, seen, now=started.timestamp() + elapsed_ms / 1000))
    return Report(
        target=target,
        started_at=started.isoformat(timespec="milliseconds"),
        elapsed_ms=elapsed_ms,
        record=record,
        findings=findings,
        verdict=overall(record, findings),
        verdicts=tuple((case, url_verdict(case, findings)) for case in record.cases),
    )


@dataclass(frozen=True, slots=True)
class NatReport:
    """How the NAT behaves over one family, or why that wasn't tested (`skipped`)."""

    family: Family
    seen: NatEvidence | None = None
    behaviour: Behaviour | None = None
    skipped: str = ""
