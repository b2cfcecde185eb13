"""What has to be open for a deployment under a name: DNS records, and ports in the firewall.

Owns what they are and what was found of each. Pure: what DNS answers and which packets come back
are arguments. Unknown is an outcome of its own: a packet that never left this host proves nothing
about the firewall in front of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from turnctl.deployment.installation import Installation
from turnctl.host.addresses import DnsAnswer, is_private
from turnctl.host.ports import PortRange

__all__ = ["Record", "ports", "records", "render"]


@dataclass(frozen=True, slots=True)
class Record:
    """A record to make, or (without an address) one there must not be. `wrong` is what to do about
    it, empty when it is right, None when that is not known."""

    kind: Literal["A", "AAAA"]
    address: str
    found: str
    wrong: str | None


def records(wanted: Installation, a: DnsAnswer, aaaa: DnsAnswer) -> Iterator[Record]:
    """Each record, and what was found under the name."""
    own = wanted.where.advertised
    yield from _records("A", [one for one in own if ":" not in one], a)
    yield from _records("AAAA", [one for one in own if ":" in one], aaaa)


def _records(kind: Literal["A", "AAAA"], own: Sequence[str], answer: DnsAnswer) -> Iterator[Record]:
    by = f" by CNAME {answer.alias}" if answer.alias else ""
    strangers = [one for one in answer.addresses if one not in own]
    for address in own:
        if answer.problem:
            yield Record(kind, address, f"not known: {answer.problem}", None)
        elif address in answer.addresses:
            yield Record(kind, address, f"right{by}", "")
        elif strangers:
            found = f"leads to {', '.join(strangers)}{by}"
            yield Record(kind, address, found, "change it")
        else:
            yield Record(kind, address, "there is none", "make it")
    if strangers and (not own or any(one in answer.addresses for one in own)):
        found = f"leads to {', '.join(strangers)}{by}, which is not this host"
        yield Record(kind, "", found, "remove it: browsers and the CA may go there")


def ports(wanted: Installation) -> Iterator[PortRange]:
    """What the firewall has to let in."""

    def port(protocol: Literal["tcp", "udp"], number: int, purpose: str) -> PortRange:
        return PortRange(protocol, number, number, purpose)

    yield port("tcp", wanted.edge_http, "the CA's challenge; else a redirect to HTTPS")
    yield port("tcp", wanted.edge_https, "HTTPS, and TURN over TLS")
    for relay in wanted.relays:
        if relay.proxy_port is None:
            when = "" if relay.name == "coturn" else ", while an upgrade runs"
            yield port("udp", relay.port, f"STUN and TURN{when}")
            yield port("tcp", relay.port, f"TURN over TCP{when}")
    first = min(relay.first for relay in wanted.relays)
    last = max(relay.last for relay in wanted.relays)
    yield PortRange("udp", first, last, "relayed addresses")


def render(
    wanted: Installation,
    found: Sequence[Record],
    came_back: Mapping[PortRange, bool],
    *,
    whole: bool,
) -> Iterator[str]:
    """Lines for a person. Not `whole`: the records that are not right alone. `came_back` tells of
    each port whether a packet through it did; that none did proves nothing."""
    name = wanted.domain or ""
    local = [one for one in wanted.where.advertised if is_private(one)]
    shown = [one for one in found if whole or one.wrong != ""]
    if shown:
        yield f"DNS records of {name}:"
    for one in shown:
        todo = f": {one.wrong}" if one.wrong else ""
        yield f"  {one.kind:<4}  {one.address or '(none)':<15}  {one.found}{todo}"
    if shown and local:
        yield (
            f"  {', '.join(local)} is an address of the local network, and no other network comes "
            "there: set EXTERNAL_IP to the public one"
        )
    if not whole:
        return
    yield "Ports to let in:"
    for port, passed in came_back.items():
        known = "open: a packet came back" if passed else "unknown from here"
        yield f"  {port!s:<15}  {port.purpose:<45}  {known}"
    yield (
        "Once it is up, from a machine outside, with a copy of the file api-key: turnctl check "
        f"--api-key-file api-key https://{_at(name, wanted)} tests them all."
    )


def _at(name: str, wanted: Installation) -> str:
    return name if wanted.edge_https == 443 else f"{name}:{wanted.edge_https}"
