"""Lookups over observations: a case, and what the whole record adds to it."""

from __future__ import annotations

from typing import Any

import pytest

from signalpost.iceservers import IceServer
from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.observations import (
    Binding,
    Challenge,
    Connection,
    Control,
    Echo,
    Inbound,
    Observation,
    Reference,
    Resolution,
)
from turnctl.diagnosis.plan import make_plan
from turnctl.wire.outcome import Outcome

URL, OTHER = "turn:turn.example", "turn:turn.example:99?transport=tcp"
ADDRESS, ELSEWHERE = "203.0.113.7", "198.51.100.9"
PLAN = make_plan([IceServer((URL, OTHER), "user", "password")], families=(4,))


def resolution(*addresses: str, url: str = URL) -> Resolution:
    return Resolution(
        url=url, family=4, outcome=Outcome.OK, host="turn.example", addresses=addresses
    )


def binding(outcome: Outcome, *, address: str = ADDRESS, port: int = 3478, **facts: Any) -> Binding:
    made: dict[str, Any] = {"url": URL, "family": 4, "protocol": "udp", **facts}
    return Binding(outcome=outcome, remote=(address, port), **made)


def connection(outcome: Outcome, port: int = 3478, url: str = URL) -> Connection:
    return Connection(url=url, family=4, outcome=outcome, remote=(ADDRESS, port))


def control(transport: Any, outcome: Outcome, port: int = 3478) -> Control:
    return Control(url=URL, family=4, outcome=outcome, transport=transport, remote=(ADDRESS, port))


def record(*seen: Observation) -> tuple[Record, Case]:
    """A record with the first URL resolved, and that URL's case."""
    made = Record.of(PLAN, [resolution(ADDRESS), *seen])
    return made, made.cases[0]


def test_a_case_has_its_own_observations() -> None:
    """By URL and family, in the order in which they were made."""
    ours, other_url = binding(Outcome.OK), binding(Outcome.OK, url=OTHER)
    other_family = binding(Outcome.OK, family=6)
    whole, case = record(ours, other_url, other_family)
    assert (resolution(ADDRESS), ours) == case.seen
    assert 4 == len(whole.seen)


def test_the_first_address_is_the_one_that_is_used() -> None:
    """None while there is none."""
    case = Record.of(PLAN, [resolution(ADDRESS, ELSEWHERE)]).cases[0]
    assert ADDRESS == case.address
    assert (None, True) == (Case(case.probe, ()).address, Case(case.probe, ()).skipped)


@pytest.mark.parametrize(
    ("outcome", "answered", "skipped"),
    [
        (Outcome.OK, True, False),
        (Outcome.ERROR, True, False),
        (Outcome.SILENT, False, False),
        (Outcome.UNROUTABLE, False, True),
    ],
)
def test_answered_and_skipped(outcome: Outcome, answered: bool, skipped: bool) -> None:
    """An error response is an answer; without a route there was nothing to probe."""
    _, case = record(binding(outcome))
    assert (answered, skipped) == (case.answered, case.skipped)


@pytest.mark.parametrize(
    ("echoed", "replied", "carries"),
    [(1, False, True), (0, True, True), (0, False, False)],
)
def test_what_carries_data(echoed: int, replied: bool, carries: bool) -> None:
    """Data went through the relay and came back, by the echo or by the reply to a stranger."""
    echo = Echo(url=URL, family=4, outcome=Outcome.OK, sent=20, rtts_ms=(1.0,) * echoed)
    inbound = Inbound(
        url=URL, family=4, outcome=Outcome.OK, relayed=(ADDRESS, 50000), replied=replied
    )
    whole, case = record(echo, inbound)
    assert (carries, carries) == (case.carries_data, whole.carries_data)


@pytest.mark.parametrize(
    ("seen", "transport", "port", "alive"),
    [
        (control("tcp", Outcome.OK), "tcp", None, True),
        (control("tcp", Outcome.OK), "udp", None, False),
        (control("udp", Outcome.ERROR), "udp", None, True),
        (control("tcp", Outcome.REFUSED), "tcp", None, False),
        (control("tcp", Outcome.OK, 99), "tcp", 3478, False),
        (control("tcp", Outcome.OK, 99), "tcp", 99, True),
        (connection(Outcome.OK), "tcp", None, True),
        (connection(Outcome.OK), "udp", None, False),
        (connection(Outcome.SILENT), "tcp", None, False),
        (binding(Outcome.OK), "udp", None, True),
        (binding(Outcome.OK), "tcp", None, False),
        (binding(Outcome.ERROR, protocol="tls"), "tcp", None, True),
        (binding(Outcome.OK, url=OTHER, protocol="tcp"), "tcp", None, False),
        (connection(Outcome.OK, url=OTHER), "tcp", None, False),
        (binding(Outcome.SILENT), "udp", None, False),
    ],
)
def test_a_host_that_is_alive(
    seen: Observation, transport: str, port: int | None, alive: bool
) -> None:
    """Any answer to this URL's own probe over that transport; another URL's does not count."""
    _, case = record(seen)
    assert alive == case.alive_over(transport, port=port)


def test_a_host_of_which_another_url_knows() -> None:
    """The record says whether the same address answered, for any URL and port."""
    there = [resolution(ADDRESS, url=OTHER), connection(Outcome.OK, 99, url=OTHER)]
    whole, case = record(*there)
    assert (True, False) == (whole.alive_over(case, "tcp"), whole.alive_over(case, "udp"))
    away, case = record(resolution(ELSEWHERE, url=OTHER), binding(Outcome.SILENT))
    assert not away.alive_over(case, "tcp")


@pytest.mark.parametrize(
    ("seen", "transport", "lets"),
    [
        ([], "udp", False),
        ([binding(Outcome.OK)], "udp", True),
        ([binding(Outcome.SILENT)], "udp", False),
        ([control("udp", Outcome.ERROR)], "udp", True),
        ([connection(Outcome.OK, 3478)], "udp", False),
        ([connection(Outcome.OK, 3478)], "tcp", True),
        ([connection(Outcome.OK, 443), control("tcp", Outcome.OK, 80)], "tcp", False),
        ([binding(Outcome.OK)], "tcp", False),
    ],
)
def test_a_network_that_lets_something_out(
    seen: list[Observation], transport: str, lets: bool
) -> None:
    """One answer shows it; TCP to 80 and 443 is let out by every network."""
    whole, _ = record(*seen)
    assert lets is whole.lets_out(transport)


RELAYS = Challenge(url=URL, family=4, outcome=Outcome.ERROR, code=401)
"""TURN answers where STUN may not."""


def reference(outcome: Outcome, tcp: Outcome | None = None) -> Reference:
    return Reference(url="stun:stun.example", family=4, outcome=outcome, tcp=tcp)


@pytest.mark.parametrize(
    ("seen", "answers"),
    [
        ([], None),
        ([binding(Outcome.SILENT)], None),
        ([reference(Outcome.OK)], True),
        ([reference(Outcome.SILENT)], False),
        ([reference(Outcome.SILENT), binding(Outcome.OK, url=OTHER)], True),
        ([binding(Outcome.OK, url=OTHER)], True),
        ([binding(Outcome.OK, url=OTHER, protocol="tcp")], None),
        ([binding(Outcome.SILENT, url=OTHER)], None),
        ([binding(Outcome.SILENT), RELAYS], True),
    ],
)
def test_a_reference_for_udp(seen: list[Observation], answers: bool | None) -> None:
    """What --stun-echo names, or any answer over UDP; another URL's silence proves nothing."""
    whole, _ = record(*seen)
    assert answers is whole.reference_answers()


@pytest.mark.parametrize(
    ("seen", "blocked"),
    [
        ([], False),
        ([reference(Outcome.OK)], False),
        ([reference(Outcome.SILENT)], False),
        ([reference(Outcome.SILENT, tcp=Outcome.OK)], False),
        ([reference(Outcome.SILENT, tcp=Outcome.REFUSED)], False),
        ([reference(Outcome.SILENT, tcp=Outcome.SILENT)], True),
        (
            [
                reference(Outcome.SILENT, tcp=Outcome.SILENT),
                binding(Outcome.OK, url=OTHER),
            ],
            False,
        ),
    ],
)
def test_a_reference_that_is_blocked(seen: list[Observation], blocked: bool) -> None:
    """Silent over both UDP and TCP; a refusal or another server's answer shows a way out."""
    whole, _ = record(*seen)
    assert blocked is whole.reference_blocked()
