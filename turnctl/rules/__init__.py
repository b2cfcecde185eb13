"""Rules: from what was seen of one URL to what follows, a file for each link of the chain.

A rule is a generator over a case. It knows neither sockets nor clocks; the time is an argument.
"""

from __future__ import annotations

from typing import Any

from turnctl.case import Case, Record
from turnctl.findings import Finding, Severity, finding
from turnctl.observations import Exchange, Outcome

__all__ = ["FAIL", "INFO", "WARN", "about", "no_turn", "reached_otherwise"]

FAIL, WARN, INFO = Severity.FAIL, Severity.WARN, Severity.INFO


def about(
    case: Case,
    code: str,
    severity: Severity,
    summary: str,
    seen: Exchange | None = None,
    **more: Any,
) -> Finding:
    """A finding about a case, with what the observation says as evidence."""
    evidence: dict[str, Any] = {"address": case.address}
    if seen is not None:
        evidence |= {
            "outcome": str(seen.outcome),
            "elapsedMs": round(seen.elapsed_ms, 1),
            "stunError": f"{seen.code} {seen.reason}".strip() if seen.code is not None else None,
            "detail": seen.detail,
        }
    uri = case.probe.uri
    return finding(
        code,
        severity,
        summary,
        url=case.probe.url,
        family=case.probe.family,
        host=uri.host,
        port=uri.port,
        **(evidence | more),
    )


def reached_otherwise(record: Record, case: Case) -> bool:
    """Whether the same URL was answered over the other family."""
    return any(
        other.answered
        for other in record.cases
        if other.probe.url == case.probe.url and other is not case
    )


def no_turn(case: Case, seen: Exchange, step: str) -> Finding:
    match seen.outcome:
        case Outcome.UNKNOWN:
            return about(case, "deadline-reached", FAIL, seen.detail, seen)
        case Outcome.SILENT:
            summary = f"takes the connection and does not answer {step}"
        case Outcome.CLOSED:
            summary = f"closes the connection instead of answering {step}"
        case _:
            summary = f"something else than TURN answers {step}: {seen.detail}"
    return about(case, "not-turn", FAIL, summary, seen)
