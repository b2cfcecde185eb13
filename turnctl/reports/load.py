"""Report what `turnctl bench` measured: text, JSON (`signalpost.bench/1`) and findings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from turnctl.diagnosis.catalogue import CHECK, Finding, Severity, finding
from turnctl.load.pairs import Measured
from turnctl.wire.errors import ErrorResponse, TlsFailed, WireError
from turnctl.wire.outcome import Outcome

__all__ = ["SCHEMA", "as_json", "as_text", "findings"]

SCHEMA = "signalpost.bench/1"

COLUMNS = (
    "URL",
    "over",
    "pairs",
    "alloc/s",
    "packets/s",
    "Mbit/s",
    "lost",
    "rtt ms p50",
    "p90",
    "p99",
    "max",
)
PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "max": 1.0}

TOLERABLE_LOSS = 0.05

ALLOCATE_CODES = {
    403: "server-draining",
    486: "quota-user",
    508: "relay-ports-exhausted",
}
OUTCOME_CODES = {Outcome.FOREIGN: "not-turn"}


def findings(measured: Measured) -> Iterator[Finding]:
    """Findings that explain why the load could not be made, or didn't come back."""
    uri = measured.probe.uri
    about: dict[str, Any] = {
        "url": measured.probe.url,
        "family": measured.probe.family,
        "host": uri.host,
        "port": uri.port,
    }
    asked, granted = 2 * measured.demand.pairs, len(measured.allocate_ms)
    if measured.refused is not None:
        # If some were granted, the limit is the result. If none were, there is no result.
        yield finding(
            _code(measured.refused),
            Severity.WARN if granted >= 2 else Severity.FAIL,
            f"the server granted {granted} of {asked} allocations: {measured.refused}",
            **about,
            asked=asked,
            granted=granted,
        )
    elif isinstance(measured.broke, ErrorResponse) and measured.broke.code == 403:
        said = f"the server doesn't let its relays reach each other: {measured.broke}"
        yield finding("own-relay-refused", Severity.FAIL, said, **about)
    elif measured.broke is not None and measured.broke.outcome is Outcome.UNROUTABLE:
        yield finding("client-network-lost", Severity.WARN, _broke_off(measured), **about)
    elif measured.received == 0 or measured.loss > TOLERABLE_LOSS:
        said = f"{measured.sent - measured.received} of {measured.sent} packets didn't come back"
        if measured.broke is not None:
            said += f": {measured.broke}"
        severity = Severity.WARN if measured.received else Severity.FAIL
        yield finding("relay-data-lost", severity, said, **about)
    elif measured.broke is not None:
        yield finding("relay-data-lost", Severity.WARN, _broke_off(measured), **about)


def _broke_off(measured: Measured) -> str:
    return f"the load stopped after {measured.seconds:.1f} s: {measured.broke}"


def _code(error: WireError) -> str:
    if isinstance(error, ErrorResponse):
        return ALLOCATE_CODES.get(error.code, "allocation-refused")
    if isinstance(error, TlsFailed):
        code = f"tls-{error.problem}"
        return code if code in CHECK else "tls-refused"
    return OUTCOME_CODES.get(error.outcome, "unreachable")


def as_json(target: str, started_at: str, rows: Sequence[Measured]) -> str:
    """Indented JSON with a final newline. Members are added, never renamed."""
    found = [one for measured in rows for one in findings(measured)]
    document = {
        "schema": SCHEMA,
        "target": target,
        "startedAt": started_at,
        "urls": [_url(one) for one in rows],
        "findings": [
            {
                "code": one.code,
                "severity": str(one.severity),
                "url": one.url,
                "family": one.family,
                "summary": one.summary,
                "evidence": dict(one.evidence),
                "fix": one.fix,
            }
            for one in found
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _url(one: Measured) -> dict[str, Any]:
    demand = one.demand
    waits = sorted(one.allocate_ms)
    return {
        "url": one.probe.url,
        "family": one.probe.family,
        "protocol": one.probe.protocol,
        "address": one.address,
        "pairs": demand.pairs,
        "window": demand.window or None,
        "rate": demand.rate or None,
        "sizeBytes": demand.size,
        "seconds": round(one.seconds, 3),
        "allocations": {
            "asked": 2 * demand.pairs,
            "granted": len(waits),
            "perSecond": round(one.allocations_per_second, 1),
            "p50Ms": round(waits[len(waits) // 2], 3) if waits else None,
            "maxMs": round(waits[-1], 3) if waits else None,
        },
        "sent": one.sent,
        "returned": one.received,
        "lossRatio": round(one.loss, 6),
        "packetsPerSecond": round(one.packets_per_second, 1),
        "mbitPerSecond": round(one.megabits(), 3),
        "rttMs": {name: round(one.rtt_ms(share) or 0, 3) for name, share in PERCENTILES.items()}
        if one.rtts_ns
        else None,
    }


def as_text(rows: Sequence[Measured]) -> Iterator[str]:
    """A table, then findings with their fixes. Packets and bits count in both directions."""
    table = [COLUMNS, *map(_row, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
    for measured in rows:
        for one in findings(measured):
            yield f"\n{one.severity.upper()}  {one.code}"
            yield f"  {one.url}: {one.summary}"
            yield f"  → {one.fix}"


def _row(one: Measured) -> tuple[str, ...]:
    def rtt(name: str) -> str:
        value = one.rtt_ms(PERCENTILES[name])
        return "" if value is None else f"{value:.2f}"

    return (
        one.probe.url,
        f"IPv{one.probe.family}",
        str(len(one.allocate_ms) // 2),
        f"{one.allocations_per_second:.0f}",
        f"{one.packets_per_second:.0f}",
        f"{one.megabits():.2f}",
        f"{one.loss:.2%}" if one.sent else "",
        *map(rtt, ("p50", "p90", "p99", "max")),
    )
