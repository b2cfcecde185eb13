"""Reports made by hand, with every kind of member and with text that formats must escape."""

from __future__ import annotations

from signalpost.iceservers import IceServer
from turnctl.diagnosis.case import Record
from turnctl.diagnosis.catalogue import Finding, Severity, finding
from turnctl.diagnosis.judge import overall, url_verdict
from turnctl.diagnosis.observations import (
    Allocation,
    Alpn,
    Binding,
    CandidateSeen,
    DualAllocation,
    Echo,
    IceLeg,
    Inbound,
    Observation,
    Refresh,
    Resolution,
    TlsHandshake,
)
from turnctl.diagnosis.plan import make_plan
from turnctl.diagnosis.report import Report
from turnctl.wire.outcome import Address, Outcome, RelayProtocol

__all__ = ["BROKEN", "EMPTY", "HEALTHY", "HOSTILE", "STUN", "TLS", "UDP", "report"]

UDP, TLS, STUN = "turn:turn.example.org", "turns:turn.example.org", "stun:turn.example.org"
ADDRESS = "203.0.113.7"
MAPPED: Address = ("192.0.2.5", 40000)
OK = Outcome.OK

HOSTILE = 'a "quoted" \\ back|slash\nsecond <line> & \x07bell'
"""A server's words, and what formats stumble over."""


def report(seen: list[Observation], findings: tuple[Finding, ...] = ()) -> Report:
    """A report over the three URLs and both families."""
    plan = make_plan([IceServer((UDP, TLS, STUN), "1700000600:lab", "password")])
    record = Record.of(plan, seen)
    return Report(
        target="https://calls.example.org",
        started_at="2023-11-14T22:13:20.250+00:00",
        elapsed_ms=1250.0,
        record=record,
        findings=findings,
        verdict=overall(record, findings),
        verdicts=tuple((case, url_verdict(case, findings)) for case in record.cases),
    )


def reached(url: str, port: int, rtts_ms: tuple[float, ...]) -> list[Observation]:
    """The steps over one URL that reports show; twenty packets were sent."""
    protocol: RelayProtocol = "tls" if url == TLS else "udp"
    seen: list[Observation] = [
        Resolution(url=url, family=4, outcome=OK, host="turn.example.org", addresses=(ADDRESS,)),
        Binding(
            url=url,
            family=4,
            outcome=OK,
            elapsed_ms=1.5,
            protocol=protocol,
            remote=(ADDRESS, port),
            mapped=MAPPED,
            software="Coturn-4.18.0",
        ),
    ]
    if url == STUN:
        return seen
    return [
        *seen,
        Allocation(
            url=url, family=4, outcome=OK, elapsed_ms=2.5, relayed=(ADDRESS, 50000), lifetime=600
        ),
        Inbound(url=url, family=4, outcome=OK, relayed=(ADDRESS, 50000), sent=1, received=1),
        Echo(url=url, family=4, outcome=OK, sent=20, rtts_ms=rtts_ms),
        Refresh(url=url, family=4, outcome=OK, lifetime=600),
        CandidateSeen(
            url=url,
            family=4,
            type="relay",
            address=ADDRESS,
            port=50000,
            priority=16777215,
            foundation="b220d9e1",
            relay_protocol=protocol,
        ),
    ]


def handshake(days_left: float) -> TlsHandshake:
    return TlsHandshake(
        url=TLS,
        family=4,
        outcome=OK,
        version="TLSv1.3",
        names=("turn.example.org",),
        issuer="CN=Lab",
        not_after="2023-12-14T22:13:20+00:00",
        days_left=days_left,
    )


LEG = IceLeg(url=UDP, family=4, outcome=OK, kind="relay", local=MAPPED, remote=MAPPED, via="relay")

HEALTHY = report(
    [
        *reached(UDP, 3478, (1.0,) * 10 + (3.0,) * 10),
        handshake(29.75),
        Alpn(url=TLS, family=4, outcome=OK, chosen="stun.turn"),
        *reached(TLS, 5349, (2.0,) * 15),
        *reached(STUN, 3478, ()),
        LEG,
        DualAllocation(url=UDP, family=4, outcome=OK, relayed=((ADDRESS, 50000),)),
    ],
    (finding("ice-srflx-failed", Severity.INFO, "no direct packets", url=UDP),),
)
"""Two relays carry data, one of them three packets in four; IPv6 has no address."""

BROKEN = report(
    [
        *reached(UDP, 3478, ()),
        TlsHandshake(
            url=TLS, family=4, outcome=Outcome.TLS_FAILED, problem="expired", detail="has expired"
        ),
        *reached(STUN, 3478, ()),
    ],
    (
        finding(
            "issuer-refused", Severity.WARN, f"said {HOSTILE}", url="https://calls.example.org"
        ),
        finding(
            "relay-data-lost",
            Severity.FAIL,
            f"20 of 20 lost, {HOSTILE}",
            url=UDP,
            family=4,
            server=HOSTILE,
        ),
        finding("tls-expired", Severity.FAIL, "has expired", url=TLS, family=4),
    ),
)
"""Failures of two URLs, a warning that belongs to none, and hostile text."""

EMPTY = report([], ())
"""Nothing was reached at all."""
