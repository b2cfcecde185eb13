"""Addresses, permissions and packets, the audit, NAT and ICE: a row for each branch."""

from __future__ import annotations

from typing import Any

import pytest

from tests.turnctl.diagnosis.rules.stories import (
    ADDRESS,
    AT_HOME,
    ERROR,
    NOW,
    OK,
    RELAYED,
    SILENT,
    UDP,
    UNKNOWN,
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
    Amplification,
    Binding,
    Echo,
    Exchange,
    IceLeg,
    Inbound,
    MappedAddresses,
    Observation,
    PeerPolicy,
    Permission,
    Refresh,
    RelayEcho,
    Resolution,
)
from turnctl.wire.outcome import Outcome

# --- addresses, permissions and packets --------------------------------------------------------


def forbidden(purpose: str) -> Permission:
    made: Permission = step(Permission, outcome=ERROR, code=403, peer="1.1.1.1", purpose=purpose)
    return made


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ([step(Allocation, relayed=("10.0.0.5", 50000))], [("relay-address-private", "fail")]),
        ([step(Allocation, relayed=("192.168.1.5", 50000))], [("relay-address-private", "fail")]),
        ([step(Allocation, relayed=("198.51.100.7", 50000))], []),
        ([forbidden("public")], [("permission-refused", "fail")]),
        ([forbidden("client")], []),
        ([forbidden("own-relay")], [("own-relay-refused", "fail")]),
        ([step(Permission, outcome=SILENT)], []),
        (
            [step(Inbound, outcome=SILENT, sent=5, received=0, replied=False)],
            [("relay-range-blocked", "fail")],
        ),
        (
            [step(Inbound, outcome=SILENT, received=0, elsewhere=("198.51.100.9", 50000))],
            [("relay-address-wrong", "fail")],
        ),
        (
            [step(Inbound, outcome=SILENT, received=0, elsewhere=(AT_HOME, 50000))],
            [("relay-range-unproved", "info")],
        ),
        ([step(Inbound, replied=False)], [("relay-data-lost", "fail")]),
        ([step(Inbound, same_host=True)], [("relay-range-unproved", "info")]),
        (
            [step(Inbound, outcome=UNKNOWN, detail="?", replied=False)],
            [("relay-range-unproved", "info")],
        ),
        ([step(Echo, outcome=SILENT, detail="?", rtts_ms=())], [("relay-data-lost", "fail")]),
        ([step(Echo, outcome=UNKNOWN, detail="?", rtts_ms=())], [("deadline-reached", "fail")]),
        ([step(Echo, rtts_ms=())], [("relay-data-lost", "fail")]),
        ([step(Echo, rtts_ms=(1.0,) * 18)], [("relay-data-lost", "warn")]),
        ([step(Echo, rtts_ms=(1.0,) * 19)], []),  # one in twenty is tolerable
        (
            [
                step(Inbound, outcome=SILENT, sent=16, received=0, replied=False),
                step(Echo, rtts_ms=(1.0,) * 10),
            ],
            [("relay-range-blocked", "fail"), ("relay-data-lost", "warn")],
        ),
        (
            [
                step(Inbound, outcome=SILENT, sent=16, received=0, replied=False),
                step(Echo, rtts_ms=(1.0,) * 1),  # by chance one in a hundred
            ],
            [("relay-range-unproved", "info"), ("relay-data-lost", "warn")],
        ),
        (
            [step(Inbound, replied=False), step(Echo, rtts_ms=(1.0,) * 10)],
            [("relay-data-lost", "warn")],
        ),
        (
            [
                step(Inbound, outcome=SILENT, replied=False),
                step(Echo, outcome=UNKNOWN, detail="?", rtts_ms=()),
            ],
            [("relay-range-blocked", "fail")],
        ),
        ([step(Refresh, outcome=SILENT)], [("refresh-failed", "fail")]),
        ([step(Refresh, outcome=ERROR, code=437)], [("refresh-failed", "fail")]),
        ([step(Refresh, outcome=UNKNOWN)], []),
        (
            [
                step(Inbound, outcome=SILENT, replied=False),
                step(Echo, rtts_ms=()),
                step(Refresh, outcome=ERROR, code=437),
            ],
            [
                ("relay-range-blocked", "fail"),  # which keeps echoes out as well
                ("refresh-failed", "fail"),
            ],
        ),
    ],
)
def test_data(changed: list[Exchange], expected: Codes) -> None:
    """What an allocation is worth: its address, its peers, what goes through it."""
    assert expected == codes(plan(UDP), story(*changed))


def test_a_relay_of_a_private_network() -> None:
    """A server at a private address may well relay there, and may mean to forbid the rest."""
    at_home = step(Resolution, addresses=("10.0.0.5",))
    binding = step(Binding, remote=("10.0.0.5", 3478))
    allocation = step(Allocation, relayed=("10.0.0.5", 50000))
    seen = story(at_home, binding, allocation)
    assert [] == codes(plan(UDP), seen)
    seen = story(at_home, binding, allocation, forbidden("public"))
    assert [("permission-refused", "warn")] == codes(plan(UDP), seen)


IPV6_RELAY = ("2001:db8::7", 50000)


@pytest.mark.parametrize(
    ("relayed", "expected"),
    [(RELAYED, [("ipv6-relay-missing", "warn")]), (IPV6_RELAY, [])],
)
def test_a_relay_over_ipv6(relayed: tuple[str, int], expected: Codes) -> None:
    """Over IPv6 an IPv6 relay is due; with one of IPv4 calls work."""
    seen = story(step(Allocation, family=6, relayed=relayed), family=6)
    assert expected == codes(plan(UDP, families=(6,)), seen)


@pytest.mark.parametrize(
    ("leaves", "expected"),
    [
        (RELAYED, []),
        ((ADDRESS, 1), []),
        (("198.51.100.1", 50000), [("relay-address-wrong", "fail")]),
        (None, []),
    ],
)
def test_where_the_relay_sends_from(leaves: tuple[str, int] | None, expected: Codes) -> None:
    """As an independent server sees it; without its answer there is no finding."""
    outcome = OK if leaves else SILENT
    echo = RelayEcho(url=UDP, family=4, outcome=outcome, relayed=RELAYED, seen=leaves)
    assert expected == codes(plan(UDP), [*story(), echo])


HARDENED = PeerPolicy(url=UDP, family=4, asked=13, allowed=())


@pytest.mark.parametrize(
    ("audited", "software", "expected"),
    [
        ([HARDENED], "", []),
        (
            [PeerPolicy(url=UDP, family=4, asked=13, allowed=("10.0.0.1", "127.0.0.1"))],
            "",
            [("private-peers-allowed", "fail")],
        ),
        ([HARDENED], "Coturn-4.6.1 'Gorst'", [("version-vulnerable", "fail")]),
        ([HARDENED], "Coturn-4.17.0 'x'", [("version-vulnerable", "fail")]),
        ([HARDENED], "Coturn-4.17.1 'x'", [("version-vulnerable", "fail")]),
        ([HARDENED], "Coturn-4.5.1.1 'dan Eider'", [("version-vulnerable", "fail")]),
        ([HARDENED], "Coturn-4.18.0 'x'", []),
        ([HARDENED], "Coturn", []),
        ([HARDENED], "other 4.6.1", []),
        ([], "Coturn-4.6.1 'Gorst'", []),
        ([Amplification(url=UDP, family=4, request=20, response=32)], "", []),
        (
            [Amplification(url=UDP, family=4, request=20, response=33)],
            "",
            [("amplification", "warn")],
        ),
    ],
)
def test_the_audit(audited: list[Observation], software: str, expected: Codes) -> None:
    """Findings of `--audit`; without it there is none about the version."""
    seen = [*story(step(Binding, software=software)), *audited]
    assert expected == codes(plan(UDP), seen)


@pytest.mark.parametrize(("response", "expected"), [(44, []), (45, [("amplification", "warn")])])
def test_what_an_ipv6_address_takes(response: int, expected: Codes) -> None:
    """Twelve bytes more than an IPv4 one, which no server can save."""
    grown = Amplification(url=UDP, family=6, request=20, response=response)
    granted = step(Allocation, family=6, relayed=("2001:db8::7", 50000))
    seen = [*story(granted, family=6), grown]
    assert expected == codes(plan(UDP, families=(6,)), seen)


def test_what_the_audit_names() -> None:
    """The addresses that lead inside, and the version's holes."""
    inside = PeerPolicy(url=UDP, family=4, asked=13, allowed=("10.0.0.1", "169.254.169.254"))
    seen = [*story(step(Binding, software="Coturn-4.15.0 'x'")), inside]
    peers, version = judge(plan(UDP), seen, now=NOW)
    assert "10.0.0.1, 169.254.169.254" in peers.summary
    assert 13 == peers.evidence["asked"]
    assert "CVE-2026-73215: EVEN-PORT exhausts the relay ports" in version.evidence["holes"]
    assert version.evidence["knownAsOf"] in version.summary


def sample(port: int, outcome: Outcome) -> Inbound:
    made: Inbound = step(
        Inbound, relayed=(ADDRESS, port), outcome=outcome, replied=outcome is OK, detail="?"
    )
    return made


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([OK, OK], []),
        ([OK, SILENT], [("relay-range-blocked", "fail")]),
        ([SILENT, OK], [("relay-range-blocked", "fail")]),
        ([OK, UNKNOWN], []),
        ([UNKNOWN, SILENT], [("relay-range-blocked", "fail")]),
        ([UNKNOWN, UNKNOWN], [("relay-range-unproved", "info")]),
    ],
)
def test_samples_of_the_range(outcomes: list[Outcome], expected: Codes) -> None:
    """Every sample has to arrive; one that proves nothing takes nothing away."""
    seen = story(*(sample(50000 + i, outcome) for i, outcome in enumerate(outcomes)))
    assert expected == codes(plan(UDP), seen)


def test_what_the_samples_prove() -> None:
    """The evidence names the ports, and how likely a half-closed range is found by so many."""
    seen = story(sample(50000, OK), sample(50001, SILENT))
    [finding] = judge(plan(UDP), seen, now=NOW)
    assert "relay port 50001/udp do not arrive, but those to 1 other do" in finding.summary
    evidence = finding.evidence
    assert (2, [50001], [50000], 0.75) == (
        evidence["samples"],
        evidence["lostPorts"],
        evidence["openPorts"],
        evidence["confidence"],
    )


# --- the client's own network ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapped", "expected"),
    [
        ((("192.0.2.5", 1), ("192.0.2.5", 1)), []),
        ((("192.0.2.5", 1), ("192.0.2.5", 2)), [("symmetric-nat", "info")]),
        ((("192.0.2.5", 1), ("192.0.2.6", 1)), [("symmetric-nat", "info")]),
    ],
)
def test_one_socket_as_two_servers_see_it(
    mapped: tuple[tuple[str, int], ...], expected: Codes
) -> None:
    """A mapping for each destination makes direct calls need the relay."""
    seen = [*story(), MappedAddresses(url=UDP, family=4, mapped=mapped)]
    assert expected == codes(plan(UDP), seen)
    assert "pass" == verdicts(plan(UDP), seen)[0]


# --- ICE ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "outcome", "expected"),
    [
        ("relay", SILENT, [("ice-relay-failed", "warn")]),
        ("srflx", SILENT, [("ice-srflx-failed", "info")]),
        ("relay", UNKNOWN, []),
        ("srflx", OK, []),
    ],
)
def test_ice_legs(kind: Any, outcome: Outcome, expected: Codes) -> None:
    """A relay that carries packets and connects no agents is odd; srflx is the network's matter."""
    leg = IceLeg(url=UDP, family=4, kind=kind, outcome=outcome, detail="?")
    assert expected == codes(plan(UDP), [*story(), leg])


@pytest.mark.parametrize(
    "explained",
    [
        step(Echo, rtts_ms=()),
        step(Echo, rtts_ms=(1.0,) * 15),
        step(Allocation, outcome=ERROR, code=486),
    ],
)
def test_legs_of_a_url_that_is_explained(explained: Exchange) -> None:
    """Agents that do not meet because of another finding are no cause of their own."""
    legs = [IceLeg(url=UDP, family=4, outcome=SILENT, kind=kind) for kind in ("relay", "srflx")]
    found = {code for code, _ in codes(plan(UDP), [*story(explained), *legs])}
    assert 1 == len(found)
    assert found <= {"relay-data-lost", "quota-user"}
