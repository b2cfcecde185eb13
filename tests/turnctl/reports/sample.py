"""A report with one of everything, which each format has to show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from signalpost.iceservers import IceServer
from turnctl.diagnosis.case import Record
from turnctl.diagnosis.catalogue import Finding, Severity, finding
from turnctl.diagnosis.observations import (
    Allocation,
    Binding,
    CandidateSeen,
    Connection,
    Echo,
    IceLeg,
    Observation,
    Refresh,
    Resolution,
    TlsHandshake,
)
from turnctl.diagnosis.plan import make_plan
from turnctl.diagnosis.report import Report
from turnctl.wire.outcome import Outcome

__all__ = [
    "FINDINGS",
    "SEEN",
    "SHOWN_WORDS",
    "STUN",
    "TCP",
    "TLS",
    "UDP",
    "hostile",
    "report",
]

STUN, UDP = "stun:turn.example", "turn:turn.example"
TCP, TLS = "turn:turn.example?transport=tcp", "turns:turn.example"

OK = Outcome.OK
ADDRESS, MAPPED, RELAYED = "203.0.113.7", ("192.0.2.5", 40000), ("203.0.113.7", 50000)


def candidate(
    kind: Literal["host", "srflx", "relay"],
    at_ms: float,
    address: tuple[str, int],
    preference: int,
    **facts: Any,
) -> CandidateSeen:
    """A candidate; its priority by RFC 8445 section 5.1.2.1 for the first component."""
    return CandidateSeen(
        url=UDP,
        family=4,
        at_ms=at_ms,
        type=kind,
        address=address[0],
        port=address[1],
        priority=preference << 24 | 65535 << 8 | 255,
        foundation="0123456789abcdef",
        **facts,
    )


def resolution(url: str, family: Literal[4, 6], *addresses: str) -> Resolution:
    return Resolution(url=url, family=family, outcome=OK, host="turn.example", addresses=addresses)


SEEN: list[Observation] = [
    candidate("host", 1.2, ("192.168.1.2", 40000), 126),
    candidate("srflx", 12.3, MAPPED, 100),
    candidate("relay", 23.4, RELAYED, 0, relay_protocol="udp"),
    resolution(UDP, 4, ADDRESS),
    resolution(UDP, 6),
    Binding(
        url=UDP,
        family=4,
        outcome=OK,
        protocol="udp",
        remote=(ADDRESS, 3478),
        mapped=MAPPED,
        software="Coturn-4.6.1",
    ),
    Allocation(url=UDP, family=4, outcome=OK, elapsed_ms=4.5678, relayed=RELAYED, lifetime=600),
    Echo(url=UDP, family=4, outcome=OK, sent=20, rtts_ms=tuple(map(float, range(1, 20)))),
    Refresh(url=UDP, family=4, outcome=OK, lifetime=600),
    resolution(TLS, 4, ADDRESS),
    Connection(url=TLS, family=4, outcome=OK, remote=(ADDRESS, 5349)),
    TlsHandshake(
        url=TLS,
        family=4,
        outcome=Outcome.TLS_FAILED,
        problem="expired",
        names=("turn.example", "*.turn.example"),
        issuer="CN=Example CA",
        not_after="2026-01-01T00:00:00+00:00",
        days_left=-1.13,
    ),
    IceLeg(
        url=UDP,
        family=4,
        outcome=OK,
        elapsed_ms=23.4,
        kind="relay",
        local=RELAYED,
        remote=("203.0.113.7", 50001),
        via="relay",
    ),
    IceLeg(url=UDP, family=4, outcome=Outcome.SILENT, kind="srflx", detail="no pair connected"),
]

FINDINGS = (
    finding("tls-expired", Severity.FAIL, "the time is over", url=TLS, family=4, address=ADDRESS),
    finding("relay-range-unproved", Severity.INFO, "not proved", url=UDP, family=4),
    finding("relay-range-unproved", Severity.INFO, "nor here", url=UDP, family=6),
)


def report(
    urls: Sequence[str] = (UDP, TLS),
    seen: Sequence[Observation] = SEEN,
    verdicts: Sequence[str] = ("pass", "skipped", "fail", "skipped"),
    findings: Sequence[Finding] = FINDINGS,
    verdict: str = "fail",
) -> Report:
    """A report; `verdicts` for each URL over IPv4, then over IPv6."""
    record = Record.of(make_plan([IceServer(tuple(urls), "user", "password")]), seen)
    return Report(
        target=" ".join(urls),
        started_at="2026-01-02T03:04:05.678+00:00",
        elapsed_ms=1234.5678,
        record=record,
        findings=tuple(findings),
        verdict=verdict,
        verdicts=tuple(zip(record.cases, verdicts, strict=True)),
    )


SHOWN_WORDS = r"no\x1b[2J\nPASS  2 of 2\u202e"
"""What `hostile` says, as a terminal may see it."""


def hostile() -> Report:
    """A report with the words of a server that would like to write it."""
    words = "no\x1b[2J\nPASS  2 of 2\u202e"
    return report(
        (UDP,), [], ("fail", "fail"), [finding("unreachable", Severity.FAIL, words, url=UDP)]
    )
