"""The DNS records and open ports that a deployment with a domain needs, and what was found:
DNS answers and the packets that came back are arguments.

A port may be unknown: a packet that never left this host proves nothing about the firewall in front
of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from turnctl.deployment.installation import Installation
from turnctl.host.addresses import DnsAnswer, is_private
from turnctl.host.ports import PortRange

__all__ = ["DnsRecord", "ports", "records", "render"]


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """A record that is needed, or (without an address) one that must not exist. `wrong` says what
    to do; it is empty if the record is right, and None if that isn't known."""

    kind: Literal["A", "AAAA"]
    address: str
    found: str
    wrong: str | None


def records(wanted: Installation, a: DnsAnswer, aaaa: DnsAnswer) -> Iterator[DnsRecord]:
    """Each record with what DNS has for the name."""
    own = wanted.where.advertised
    yield from _records("A", [one for one in own if ":" not in one], a)
    yield from _records("AAAA", [one for one in own if ":" in one], aaaa)


def _records(
    kind: Literal["A", "AAAA"], own: Sequence[str], answer: DnsAnswer
) -> Iterator[DnsRecord]:
    by = f" by CNAME {answer.alias}" if answer.alias else ""
    strangers = [one for one in answer.addresses if one not in own]
    for address in own:
        if answer.problem:
            yield DnsRecord(kind, address, f"unknown: {answer.problem}", None)
        elif address in answer.addresses:
            yield DnsRecord(kind, address, f"right{by}", "")
        elif strangers:
            found = f"points to {', '.join(strangers)}{by}"
            yield DnsRecord(kind, address, found, "change it")
        else:
            yield DnsRecord(kind, address, "missing", "create it")
    if strangers and (not own or any(one in answer.addresses for one in own)):
        found = f"points to {', '.join(strangers)}{by}, which isn't this host"
        yield DnsRecord(kind, "", found, "remove it, because browsers and the CA may use it")


def ports(wanted: Installation) -> Iterator[PortRange]:
    """The ports that the firewall must let in."""

    def port(protocol: Literal["tcp", "udp"], number: int, purpose: str) -> PortRange:
        return PortRange(protocol, number, number, purpose)

    yield port("tcp", wanted.edge_http, "the CA's challenge, and redirects to HTTPS")
    yield port("tcp", wanted.edge_https, "HTTPS, and TURN over TLS")
    for relay in wanted.relays:
        if relay.proxy_port is None:
            when = "" if relay.name == "coturn" else ", during an upgrade"
            yield port("udp", relay.port, f"STUN and TURN{when}")
            yield port("tcp", relay.port, f"TURN over TCP{when}")
    first = min(relay.first for relay in wanted.relays)
    last = max(relay.last for relay in wanted.relays)
    yield PortRange("udp", first, last, "relayed addresses")


def render(
    wanted: Installation,
    found: Sequence[DnsRecord],
    came_back: Mapping[PortRange, bool],
    *,
    full: bool,
) -> Iterator[str]:
    """Lines for the operator. Unless `full`, only the records that are wrong. `came_back` says for
    each port whether a packet sent through it came back; if not, that proves nothing."""
    name = wanted.domain or ""
    local = [one for one in wanted.where.advertised if is_private(one)]
    shown = [one for one in found if full or one.wrong != ""]
    if shown:
        yield f"DNS records of {name}:"
    for one in shown:
        todo = f": {one.wrong}" if one.wrong else ""
        yield f"  {one.kind:<4}  {one.address or '(none)':<15}  {one.found}{todo}"
    if shown and local:
        yield (
            f"  {', '.join(local)} is an address of the local network, which other networks can't "
            "reach: set EXTERNAL_IP to the public address"
        )
    if not full:
        return
    yield "Ports to open:"
    for port, passed in came_back.items():
        known = "open: a packet came back" if passed else "can't be tested from this host"
        yield f"  {port!s:<15}  {port.purpose:<45}  {known}"
    yield (
        "Once everything runs, copy the file api-key to a machine outside this network, and test "
        f"all ports from there: turnctl check --api-key-file api-key https://{_at(name, wanted)}"
    )


def _at(name: str, wanted: Installation) -> str:
    return name if wanted.edge_https == 443 else f"{name}:{wanted.edge_https}"
