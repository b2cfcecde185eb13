"""Write the report as JSON, schema `signalpost.check/1`. Members are added, never renamed."""

from __future__ import annotations

import json
from typing import Any

from turnctl.diagnosis import relayports
from turnctl.diagnosis.case import Case
from turnctl.diagnosis.observations import (
    Allocation,
    Alpn,
    Binding,
    CandidateSeen,
    DualAllocation,
    Echo,
    IceLeg,
    Inbound,
    Refresh,
    TlsHandshake,
)
from turnctl.diagnosis.report import Report
from turnctl.host.addresses import host_port
from turnctl.wire.outcome import Address, Outcome

__all__ = ["SCHEMA", "document", "render"]

SCHEMA = "signalpost.check/1"


def render(report: Report) -> str:
    """Indented JSON with a final newline."""
    return json.dumps(document(report), indent=2, ensure_ascii=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    """The report as plain JSON values."""
    return {
        "schema": SCHEMA,
        "verdict": report.verdict,
        "target": report.target,
        "startedAt": report.started_at,
        "elapsedMs": _ms(report.elapsed_ms),
        "candidates": [_candidate(one) for one in report.record.each(CandidateSeen)],
        "urls": [_url(case, verdict) for case, verdict in report.verdicts],
        "ice": [_leg(leg) for leg in report.record.each(IceLeg)],
        "findings": [
            {
                "code": f.code,
                "severity": str(f.severity),
                "url": f.url,
                "family": f.family,
                "summary": f.summary,
                "evidence": dict(f.evidence),
                "fix": f.fix,
            }
            for f in report.findings
        ],
    }


def _candidate(one: CandidateSeen) -> dict[str, Any]:
    return {
        "type": one.type,
        "protocol": one.protocol,
        "address": one.address,
        "port": one.port,
        "priority": one.priority,
        "foundation": one.foundation,
        "url": one.url,
        "relayProtocol": one.relay_protocol,
        "elapsedMs": _ms(one.at_ms),
    }


def _url(case: Case, verdict: str) -> dict[str, Any]:
    binding = case.first(Binding)
    allocation = case.first(Allocation, lambda one: one.relayed is not None)
    echo, refresh = case.first(Echo), case.first(Refresh)
    made: dict[str, Any] = {
        "url": case.probe.url,
        "family": case.probe.family,
        "verdict": verdict,
        "mapped": _address(binding.mapped if binding else None),
        "software": (binding.software if binding else "") or None,
        "relayed": _address(allocation.relayed if allocation else None),
        "allocateMs": _ms(allocation.elapsed_ms) if allocation else None,
        "lifetime": allocation.lifetime if allocation else None,
        "refreshedLifetime": refresh.lifetime if refresh else None,
        "sent": echo.sent if echo else 0,
        "received": echo.received if echo else 0,
        "rttMs": None,
        "relayPorts": _relay_ports(case),
        "dualAllocation": _dual(case.first(DualAllocation)),
        "tls": _tls(case.first(TlsHandshake), case.first(Alpn)),
    }
    if echo and echo.rtts_ms:
        made["rttMs"] = {
            "p50": _ms(echo.percentile(0.50)),
            "p95": _ms(echo.percentile(0.95)),
            "max": _ms(echo.rtts_ms[-1]),
        }
    return made


def _relay_ports(case: Case) -> dict[str, Any] | None:
    """The samples of the relay's port range, except those that bypass the server's firewall."""
    return relayports.evidence(one for one in case.each(Inbound) if not one.same_host)


def _dual(asked: DualAllocation | None) -> dict[str, Any] | None:
    if asked is None:
        return None
    return {
        "outcome": str(asked.outcome),
        "relayed": [_address(one) for one in asked.relayed],
        "stunError": f"{asked.code} {asked.reason}".strip() if asked.code else None,
    }


def _tls(handshake: TlsHandshake | None, alpn: Alpn | None) -> dict[str, Any] | None:
    if handshake is None:
        return None
    answered = alpn is not None and alpn.outcome is Outcome.OK
    return {
        "outcome": str(handshake.outcome),
        "problem": handshake.problem or None,
        "version": handshake.version or None,
        "names": list(handshake.names),
        "issuer": handshake.issuer or None,
        "notAfter": handshake.not_after or None,
        "daysLeft": handshake.days_left,
        "alpn": (alpn.chosen or "none") if alpn and answered else None,
    }


def _leg(leg: IceLeg) -> dict[str, Any]:
    return {
        "kind": leg.kind,
        "outcome": str(leg.outcome),
        "url": leg.url,
        "local": _address(leg.local),
        "remote": _address(leg.remote),
        "remoteType": leg.via or None,
        "elapsedMs": _ms(leg.elapsed_ms),
        "detail": leg.detail or None,
    }


def _address(address: Address | None) -> str | None:
    return host_port(*address) if address else None


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
