"""Rules that turn what was seen of one URL into findings, one file for each step of a connection.

A rule is a generator over a case. It uses no socket and no clock; the time is an argument.

**Each URL is judged alone.** Its verdict and the codes of its findings follow from its own probe
and from what belongs to no URL: the issuer's answer, the reference that `--stun-echo` names, this
machine's networks. The order of the list and its other URLs don't change them. The other family of
the same URL is part of the URL. A rule may look at other URLs for three things:

- How sure a cause is: the words of a summary, the evidence, and whether it fails or warns if this
  network may be the cause. It warns while a relay carries data and nothing shows that the network
  lets that transport out. The URL's verdict is `fail` either way, since it carries nothing.
- More samples of one range of relay ports, once the URL's own packets prove something about it.
- Whether this network lets UDP out: any server's answer refutes a reference that is silent. A
  silent server of the list proves nothing, since it may be down.

There is one exception, where a request to one URL changes the server for all of them: a coturn that
hangs over an allocation (`slowness`, `reach`), or whose replies reach nobody after the first
allocation (`replies`). Every URL of that listener gets that cause.

A finding about the whole list or this network (`LIST_WIDE`) names the URL where it was seen, but
counts for no URL's verdict. It may come and go with the list.
"""

from __future__ import annotations

from typing import Any

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding, Severity, finding
from turnctl.diagnosis.observations import Exchange
from turnctl.wire.outcome import Outcome

__all__ = ["FAIL", "INFO", "LIST_WIDE", "WARN", "about", "no_turn", "reached_otherwise"]

FAIL, WARN, INFO = Severity.FAIL, Severity.WARN, Severity.INFO

LIST_WIDE = frozenset(
    {"no-tcp-fallback", "no-tls-443", "symmetric-nat", "ice-relay-failed", "ice-srflx-failed"}
)
"""Codes about the list or this network. The ICE legs, for example, run once for all URLs."""


def about(
    case: Case,
    code: str,
    severity: Severity,
    summary: str,
    seen: Exchange | None = None,
    **more: Any,
) -> Finding:
    """A finding about a case, with the observation as evidence."""
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
        entry=case.probe.entry,
        host=uri.host,
        port=uri.port,
        **(evidence | more),
    )


def reached_otherwise(record: Record, case: Case) -> bool:
    """Whether the same URL was answered over the other family."""
    return any(
        other.answered
        for other in record.cases
        if (other.probe.url, other.probe.entry) == (case.probe.url, case.probe.entry)
        and other is not case
    )


def no_turn(case: Case, seen: Exchange, step: str) -> Finding:
    """What follows from a step that had no answer in TURN; `step` is a noun."""
    match seen.outcome:
        case Outcome.LOSSY:
            summary = f"the path to the server loses too many packets for {step}: {seen.detail}"
            return about(case, "relay-data-lost", WARN, summary, seen)
        case Outcome.UNKNOWN:
            return about(case, "deadline-reached", FAIL, seen.detail, seen)
        case Outcome.SILENT:
            summary = f"the server accepts the connection, but doesn't answer {step}"
        case Outcome.CLOSED:
            summary = f"the server closes the connection instead of answering {step}"
        case _:
            summary = f"something other than TURN answers {step}: {seen.detail}"
    return about(case, "not-turn", FAIL, summary, seen)
