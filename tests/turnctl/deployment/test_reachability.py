"""DNS records and firewall ports of a deployment under a name."""

from __future__ import annotations

import re

import pytest

from turnctl.coturn.rendering import Limits
from turnctl.coturn.versions import Version
from turnctl.deployment.installation import Installation
from turnctl.deployment.placement import Placement
from turnctl.deployment.reachability import ports, records, render
from turnctl.deployment.relays import relays
from turnctl.host import interfaces
from turnctl.host.addresses import DnsAnswer
from turnctl.host.ports import PortRange


def wanted(*listen: str, external: str | None = None) -> Installation:
    every = relays(3478, next_port=3479, edge_port=3480, edge_next_port=3482)
    return Installation(
        version=Version(4, 18, 0),
        realm="signalpost",
        where=Placement(listen, external, "as told."),
        relays=every,
        handed_out=every[0],
        limits=Limits(),
        http=("127.0.0.1", 8080),
        domain="turn.example.org",
        edge_http=80,
        edge_https=443,
    )


OWN = wanted("8.8.4.4", "2a00::5")


@pytest.mark.parametrize(
    ("answer", "found", "wrong"),
    [
        (DnsAnswer(("8.8.4.4",)), "right", ""),
        (DnsAnswer(("8.8.4.4",), alias="host.example"), "right by CNAME host.example", ""),
        (DnsAnswer(("1.1.1.1",)), "points to 1.1.1.1", "change it"),
        (
            DnsAnswer(("1.1.1.1",), alias="cdn.example"),
            "points to 1.1.1.1 by CNAME cdn.example",
            "change it",
        ),
        (DnsAnswer(), "missing", "create it"),
        (DnsAnswer(problem="the resolver is away"), "unknown: the resolver is away", None),
    ],
)
def test_a_record_is_right_wrong_absent_or_unknown(
    answer: DnsAnswer, found: str, wrong: str | None
) -> None:
    """What DNS says against the address that was found, and what to do."""
    first, _ = records(OWN, answer, DnsAnswer(("2a00::5",)))
    assert ("8.8.4.4", found, wrong) == (first.address, first.found, first.wrong)


def test_an_address_too_many_is_told() -> None:
    """Clients and the CA may go to any of them, IPv6 first."""
    only_v4 = wanted("8.8.4.4")
    right, stranger = records(only_v4, DnsAnswer(("8.8.4.4",)), DnsAnswer(("2a00::9",)))
    assert ("", "AAAA") == (right.wrong, stranger.kind)
    assert "remove it" in (stranger.wrong or "")
    _, second, _ = records(OWN, DnsAnswer(("8.8.4.4", "1.1.1.1")), DnsAnswer(("2a00::5",)))
    assert "points to 1.1.1.1" in second.found


def test_behind_nat_the_record_is_the_outer_address() -> None:
    """Clients come to the NAT."""
    one, *_ = records(wanted("10.0.0.5", external="8.8.4.4"), DnsAnswer(), DnsAnswer())
    assert ("8.8.4.4", "create it") == (one.address, one.wrong)


def test_ports_of_the_firewall() -> None:
    """The edge's, the relays' that clients come to, the whole range; none of the loopback's."""
    assert [
        "80/tcp", "443/tcp", "3478/udp", "3478/tcp", "3479/udp", "3479/tcp", "49152-65535/udp",
    ] == list(map(str, ports(OWN)))  # fmt: skip


def test_a_range_is_tried_at_both_ends_and_between() -> None:
    """A firewall that lets in a part of it is common."""
    assert (100, 150, 201) == PortRange("udp", 100, 201, "").samples
    assert (80,) == PortRange("tcp", 80, 80, "").samples


def test_what_is_right_is_told_once() -> None:
    """With --domain all of it; on every other start what is not right alone."""
    right = list(records(OWN, DnsAnswer(("8.8.4.4",)), DnsAnswer(("2a00::5",))))
    wrong = list(records(OWN, DnsAnswer(("1.1.1.1",)), DnsAnswer(("2a00::5",))))
    came_back = {port: port.first == 3478 for port in ports(OWN)}
    assert [] == list(render(OWN, right, came_back, full=False))
    assert [
        "DNS records of turn.example.org:",
        "  A     8.8.4.4          points to 1.1.1.1: change it",
    ] == list(render(OWN, wrong, came_back, full=False))
    whole = "\n".join(render(OWN, right, came_back, full=True))
    assert "turnctl check --api-key-file api-key https://turn.example.org" in whole
    assert re.search(r"443/tcp +HTTPS, and TURN over TLS +can't be tested from this host", whole)
    assert re.search(r"3478/udp +STUN and TURN +open: a packet came back", whole)


def test_a_private_address_under_a_name_is_told() -> None:
    """A record of it would lead nobody here."""
    local = wanted("192.168.1.5")
    said = "\n".join(render(local, list(records(local, DnsAnswer(), DnsAnswer())), {}, full=False))
    assert "set EXTERNAL_IP" in said


async def test_names_are_looked_up() -> None:
    """By the system's resolver: a name of the hosts file, and one that nobody has."""
    v4, _ = await interfaces.dns_answers("localhost")
    assert (("127.0.0.1",), None) == (v4.addresses, v4.problem)
    assert () == (await interfaces.dns_answers("nobody.invalid"))[0].addresses
