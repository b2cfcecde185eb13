"""This machine's own network and its resolver: what is not to be blamed on a server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turnctl.diagnosis.rules.stories import (
    ADDRESS,
    ADDRESS6,
    HOST,
    NOW,
    OK,
    SILENT,
    TCP,
    TLS,
    TLS_FAILED,
    UDP,
    UNROUTABLE,
    Codes,
    codes,
    plan,
    step,
    story,
    verdicts,
)
from turnctl.diagnosis.judge import judge
from turnctl.diagnosis.observations import (
    Allocation,
    Binding,
    Challenge,
    Connection,
    Echo,
    IceLeg,
    Inbound,
    Observation,
    Refresh,
    Resolution,
    TlsHandshake,
)

LOST = [("client-network-lost", "warn")]
GONE: dict[str, Any] = {"outcome": UNROUTABLE, "detail": "no way any more", "code": None}


@pytest.mark.parametrize("kind", [Challenge, Allocation, Inbound, Echo, Refresh])
def test_a_network_lost_after_the_server_answered(kind: type[Observation]) -> None:
    """At any step, it isn't the fault of a server that had answered."""
    assert LOST == codes(plan(UDP), story(step(kind, **GONE)))


def test_a_connection_whose_network_goes() -> None:
    """Over TCP and TLS a connection is an answer as well."""
    assert LOST == codes(plan(TCP), story(step(Binding, TCP, **GONE), url=TCP))
    refused = step(TlsHandshake, TLS, **GONE, problem="refused")
    assert LOST == codes(plan(TLS), story(refused, url=TLS))


def test_no_network_from_the_start() -> None:
    """A server that never was reached is unreachable, and its network cannot have been lost."""
    assert [("unreachable", "fail")] == codes(plan(UDP), story(step(Binding, UDP, **GONE)))
    assert [("unreachable", "fail")] == codes(
        plan(TCP), story(step(Connection, TCP, **GONE), url=TCP)
    )


def test_what_was_seen_before_is_not_judged() -> None:
    """Losses in the last moments of a network are its own."""
    seen = story(step(Inbound, outcome=SILENT, sent=5, received=0), step(Echo, **GONE, rtts_ms=()))
    assert LOST == codes(plan(UDP), seen)


def test_an_ice_leg_without_network() -> None:
    """An ICE leg that had no network failed for that reason alone."""
    leg = IceLeg(url=UDP, family=4, outcome=UNROUTABLE, kind="relay", detail="gone")
    assert LOST == codes(plan(UDP), [*story(), leg])


def test_the_verdict_without_network() -> None:
    """A relay that had carried data still did; one that had not proves nothing."""
    assert ("warn", ["warn"]) == verdicts(plan(UDP), story(step(Refresh, **GONE)))
    assert ("fail", ["fail"]) == verdicts(plan(UDP), story(step(Allocation, **GONE)))


def looked_up(url: str, **facts: Any) -> Any:
    return step(Resolution, url, **{"addresses": (), **facts})


UNANSWERED = {"outcome": SILENT, "detail": "the resolver did not answer in 3.0 s"}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([looked_up(UDP, **UNANSWERED)], [("dns-unanswered", "warn")]),
        ([looked_up(UDP)], [("dns-no-address", "fail")]),
        ([looked_up(UDP, **UNANSWERED), looked_up(UDP, family=6)], [("dns-unanswered", "fail")]),
        ([looked_up(UDP), looked_up(UDP, family=6)], [("dns-no-address", "fail")]),
    ],
)
def test_a_resolver_without_an_answer(seen: list[Observation], expected: Codes) -> None:
    """No answer differs from an empty one. If the resolver answered for another name, this name's
    servers are at fault.
    """
    families = (4, 6) if len(seen) > 1 else (4,)
    assert expected == codes(plan(UDP, families=families), seen)  # type: ignore[arg-type]


def test_an_address_is_no_answer_of_a_resolver() -> None:
    """A literal address was looked up nowhere, so it says nothing about the resolver."""
    literal = f"turn:{ADDRESS}"
    seen = [
        looked_up(UDP, **UNANSWERED),
        Resolution(url=literal, family=4, outcome=OK, host=ADDRESS, addresses=(ADDRESS,)),
        Binding(
            url=literal,
            family=4,
            outcome=OK,
            protocol="udp",
            remote=(ADDRESS, 3478),
            mapped=("192.0.2.5", 40000),
        ),
    ]
    assert [("dns-unanswered", "warn")] == codes(plan(UDP, literal), seen)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([{"addresses": ()}, {"addresses": ()}], [("dns-no-address", "warn")]),
        ([UNANSWERED, {"addresses": ()}], [("dns-unanswered", "warn")]),
        ([{"addresses": ()}, {"addresses": (ADDRESS6,)}], []),
    ],
)
def test_a_reference_without_address(answers: list[dict[str, Any]], expected: Codes) -> None:
    """It can't help to find a cause, so the report says so."""
    seen = [looked_up("stun:stun.example.net", **facts) for facts in answers]
    assert expected == codes(plan(UDP), [*story(), *seen])


def test_what_the_resolver_said() -> None:
    """The name, and the resolver's silence in its own words."""
    [found] = judge(plan(UDP), [looked_up(UDP, **UNANSWERED)], now=NOW)
    assert f"{HOST} could not be looked up: the resolver did not answer in 3.0 s" == found.summary
    assert HOST in found.fix


def test_a_refused_certificate_with_a_network() -> None:
    """A handshake that failed while the network was there stays what it was."""
    refused = step(TlsHandshake, TLS, outcome=TLS_FAILED, problem="refused", detail="alert")
    assert [("tls-refused", "fail")] == codes(plan(TLS), story(refused, url=TLS))
