"""The report for programs: schema `signalpost.check/1`, member by member."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.turnctl.reports.sample import TLS, UDP, report
from turnctl.diagnosis.observations import Alpn, DualAllocation, Inbound, Observation, TlsHandshake
from turnctl.reports.json import document, render
from turnctl.wire.outcome import Outcome

URL: dict[str, Any] = {
    "url": UDP,
    "family": 4,
    "verdict": "pass",
    "mapped": "192.0.2.5:40000",
    "software": "Coturn-4.6.1",
    "relayed": "203.0.113.7:50000",
    "allocateMs": 4.568,
    "lifetime": 600,
    "refreshedLifetime": 600,
    "sent": 20,
    "received": 19,
    "rttMs": {"p50": 10.0, "p95": 19.0, "max": 19.0},
    "relayPorts": None,
    "dualAllocation": None,
    "tls": None,
}


def test_the_whole() -> None:
    """What other people's scripts read first."""
    made = document(report())
    assert {
        "schema": "signalpost.check/1",
        "verdict": "fail",
        "target": f"{UDP} {TLS}",
        "startedAt": "2026-01-02T03:04:05.678+00:00",
        "elapsedMs": 1234.568,
    } == {
        name: made[name] for name in made if name not in ("candidates", "urls", "ice", "findings")
    }
    assert {"candidates", "urls", "ice", "findings"} < set(made)


def test_a_candidate() -> None:
    """As the trickle-ice page has it, with the protocol that runs to the relay."""
    assert {
        "type": "relay",
        "protocol": "udp",
        "address": "203.0.113.7",
        "port": 50000,
        "priority": 65535 << 8 | 255,
        "foundation": "0123456789abcdef",
        "url": UDP,
        "relayProtocol": "udp",
        "elapsedMs": 23.4,
    } == document(report())["candidates"][2]


def test_a_url_that_passes() -> None:
    """Addresses as host:port, times in ms, lifetimes in seconds."""
    assert URL == document(report())["urls"][0]


def test_a_url_that_nothing_is_known_of() -> None:
    """Every member is there, None or zero."""
    known = {"url": UDP, "family": 6, "verdict": "skipped", "sent": 0, "received": 0}
    assert dict.fromkeys(URL) | known == document(report())["urls"][1]


def url_of(*seen: Observation) -> dict[str, Any]:
    made: dict[str, Any] = document(report([UDP], seen, ["pass", "skipped"]))["urls"][0]
    return made


def test_samples_of_the_relay_ports() -> None:
    """What a healthy server was sampled at, too; on its own host nothing passes its firewall."""
    sample = Inbound(url=UDP, family=4, outcome=Outcome.OK, relayed=("203.0.113.7", 50000))
    assert [50000] == url_of(sample)["relayPorts"]["openPorts"]
    assert url_of(replace(sample, same_host=True))["relayPorts"] is None


def test_relays_of_both_families() -> None:
    """What was given, and why one was not."""
    given = (("203.0.113.7", 50000), ("2001:db8::7", 50001))
    asked = DualAllocation(url=UDP, family=4, outcome=Outcome.OK, relayed=given)
    assert {
        "outcome": "ok",
        "relayed": ["203.0.113.7:50000", "[2001:db8::7]:50001"],
        "stunError": None,
    } == url_of(asked)["dualAllocation"]
    one = replace(asked, relayed=given[:1], code=440, reason="Address Family not Supported")
    assert "440 Address Family not Supported" == url_of(one)["dualAllocation"]["stunError"]


def test_a_certificate() -> None:
    """What was presented, also when it was refused."""
    assert {
        "outcome": "tls-failed",
        "problem": "expired",
        "version": None,
        "names": ["turn.example", "*.turn.example"],
        "issuer": "CN=Example CA",
        "notAfter": "2026-01-01T00:00:00+00:00",
        "daysLeft": -1.13,
        "alpn": None,
    } == document(report())["urls"][2]["tls"]


@pytest.mark.parametrize(
    ("outcome", "chosen", "expected"),
    [(Outcome.OK, "stun.turn", "stun.turn"), (Outcome.OK, "", "none"), (Outcome.SILENT, "", None)],
)
def test_the_name_of_turn_in_a_hello(outcome: Outcome, chosen: str, expected: str | None) -> None:
    """What the server chose, nothing included; null when it is not known."""
    handshake = TlsHandshake(url=UDP, family=4, outcome=Outcome.OK)
    alpn = Alpn(url=UDP, family=4, outcome=outcome, chosen=chosen)
    assert expected == url_of(handshake, alpn)["tls"]["alpn"]


def test_ice_legs() -> None:
    """The pair that was nominated, or why there is none."""
    connected, failed = document(report())["ice"]
    assert {
        "kind": "relay",
        "outcome": "ok",
        "url": UDP,
        "local": "203.0.113.7:50000",
        "remote": "203.0.113.7:50001",
        "remoteType": "relay",
        "elapsedMs": 23.4,
        "detail": None,
    } == connected
    assert ("silent", None, "no pair connected") == (
        failed["outcome"],
        failed["remote"],
        failed["detail"],
    )


def test_a_finding() -> None:
    """Code, severity, fact, evidence, fix."""
    assert {
        "code": "tls-expired",
        "severity": "fail",
        "url": TLS,
        "family": 4,
        "summary": "the time is over",
        "evidence": {"address": "203.0.113.7"},
        "fix": (
            "Renew the certificate, then send SIGUSR2 to turnserver so that it loads the new one."
        ),
    } == document(report())["findings"][0]


def test_it_is_json() -> None:
    """One document, which ends with a line's end."""
    text = render(report())
    assert document(report()) == json.loads(text)
    assert text.endswith("}\n")
