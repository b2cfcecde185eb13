"""Rules: from what was seen of one URL to what follows, a file for each link of the chain.

A rule is a generator over a case. It knows neither sockets nor clocks; the time is an argument.

**A URL is judged alone.** Its verdict and the codes of its findings follow from what its own probe
saw and from what belongs to no URL: the issuer's answer, the reference that `--stun-echo` names,
this machine's networks. Neither the order of the list nor its other URLs change them. The other
family of the same URL is part of the URL. A rule may look at other URLs for three things:

- how sure a cause is: the words of a summary, the evidence, and whether what may be this network's
  doing fails or warns. It warns while a relay carries data and nothing shows that the network lets
  that transport out. The URL's verdict is `fail` either way, since it carries nothing;
- more samples of one range of relay ports, once the URL's own packets prove something about it;
- that this network lets UDP out: any server's answer refutes a reference that is silent. A server
  of the list that is silent proves nothing, since it may be dead.

One kind of fault is the exception, since what one URL asks for changes the server for all of them:
a coturn that hangs over an allocation (`slowness`, `reach`), or whose replies reach nobody from the
first allocation on (`replies`). Every URL of that listener gets that cause.

What is said of the whole list or of this network is no URL's own, although it names the one it was
seen at (`LIST_WIDE`): it may come and go with the list, and counts for no URL's verdict.
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
"""Codes about the list or this network: the ICE legs, for one, run once for all URLs."""


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
    match seen.outcome:
        case Outcome.LOSSY:
            summary = f"the way there loses packets, too many for {step}: {seen.detail}"
            return about(case, "relay-data-lost", WARN, summary, seen)
        case Outcome.UNKNOWN:
            return about(case, "deadline-reached", FAIL, seen.detail, seen)
        case Outcome.SILENT:
            summary = f"takes the connection and does not answer {step}"
        case Outcome.CLOSED:
            summary = f"closes the connection instead of answering {step}"
        case _:
            summary = f"something else than TURN answers {step}: {seen.detail}"
    return about(case, "not-turn", FAIL, summary, seen)
