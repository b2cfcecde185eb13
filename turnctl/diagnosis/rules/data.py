"""Data: relayed addresses, permissions, packets from outside and between relays, the ICE legs."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

from turnctl.coturn.versions import KNOWN_AS_OF, describe_holes, holes, parse_version
from turnctl.diagnosis import relayports
from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding, finding
from turnctl.diagnosis.observations import (
    Allocation,
    Amplification,
    Binding,
    Echo,
    IceLeg,
    Inbound,
    MappedAddresses,
    PeerPolicy,
    Permission,
    Refresh,
    RelayEcho,
)
from turnctl.diagnosis.rules import FAIL, INFO, WARN, about, no_turn
from turnctl.host.addresses import is_private
from turnctl.wire.outcome import Outcome

__all__ = ["data", "ice", "nat"]

TOLERABLE_LOSS = 0.05
"""Of echoes, each of which crosses the network between here and the server four times (twice for
each of two relays): 1.3 % each way, about where speech begins to suffer."""

CHANCE = 0.001
"""Silence that loss alone explains more often than this proves no closed port."""

TOLERABLE_GROWTH = {4: 1.6, 6: 2.2}
"""Of a family: an answer to a Binding with the mapped address alone, by its request's 20 bytes."""


def data(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """Addresses, permissions and packets."""
    granted = case.first(Allocation, lambda one: one.relayed is not None)
    if granted is None or granted.relayed is None:
        return
    relayed = granted.relayed[0]
    if is_private(relayed) and case.address and not is_private(case.address):
        summary = f"gives out the private address {relayed}, and is itself at {case.address}"
        yield about(case, "relay-address-private", FAIL, summary, granted)
        return
    refused = {one.purpose: one for one in case.each(Permission) if one.outcome is Outcome.ERROR}
    if "public" in refused:
        summary = f"forbids public peers such as {refused['public'].peer}"
        # A relay inside a private network may be meant for that network alone.
        severity = WARN if is_private(relayed) else FAIL
        yield about(case, "permission-refused", severity, summary, refused["public"])
        return
    if "own-relay" in refused:
        summary = f"forbids its own relay address {relayed} as a peer"
        yield about(case, "own-relay-refused", FAIL, summary, refused["own-relay"])
    if relayed_family(relayed) == 4 and case.probe.family == 6:
        summary = "gives no IPv6 relay over IPv6, only one of IPv4"
        yield about(case, "ipv6-relay-missing", WARN, summary, granted)
    outside = case.first(RelayEcho)
    if outside and outside.seen and outside.seen[0] != relayed:
        summary = f"gives out {relayed}, and its traffic leaves from {outside.seen[0]}"
        yield about(case, "relay-address-wrong", FAIL, summary, outside, leaves=outside.seen[0])
        return
    misled = case.first(Inbound, _leads_elsewhere)
    if misled and misled.elsewhere:
        summary = f"gives out {relayed}, and packets reach its relay at {misled.elsewhere[0]}"
        yield about(case, "relay-address-wrong", FAIL, summary, misled, leaves=misled.elsewhere[0])
        return
    yield from _audit(case)
    yield from _inbound(record, case)
    yield from _echo(case)
    refresh = case.first(Refresh)
    if refresh and refresh.outcome not in {Outcome.OK, Outcome.UNKNOWN, Outcome.LOSSY}:
        yield about(case, "refresh-failed", FAIL, "does not refresh the allocation", refresh)


def _leads_elsewhere(one: Inbound) -> bool:
    """Whether the address that was given out is wrong.

    Inside the server's own network it may be right: not every router lets packets to the outer
    address back in.
    """
    return one.elsewhere is not None and not _inside(one)


def _inside(one: Inbound) -> bool:
    return (
        one.elsewhere is not None
        and is_private(one.elsewhere[0])
        and not is_private(one.relayed[0])
    )


def relayed_family(address: str) -> int:
    return 6 if ":" in address else 4


def _audit(case: Case) -> Iterator[Finding]:
    """What `--audit` asked for besides."""
    policy = case.first(PeerPolicy)
    if policy and policy.allowed:
        inside = ", ".join(policy.allowed)
        summary = f"lets clients reach {inside} through the relay"
        yield about(case, "private-peers-allowed", FAIL, summary, asked=policy.asked)
    grown = case.first(Amplification)
    if grown and grown.response > TOLERABLE_GROWTH[case.probe.family] * grown.request:
        summary = f"answers {grown.request} bytes with {grown.response}: a reflector for attacks"
        yield about(
            case, "amplification", WARN, summary, request=grown.request, response=grown.response
        )
    binding = case.first(Binding)
    if policy is not None and binding and "coturn" in binding.software.lower():
        with contextlib.suppress(ValueError):
            version = parse_version(binding.software)
            if known := holes(version):
                summary = f"says that it is {binding.software}, which {describe_holes(version)}"
                yield about(
                    case,
                    "version-vulnerable",
                    FAIL,
                    summary,
                    holes=list(known),
                    knownAsOf=KNOWN_AS_OF,
                )


def _samples(record: Record, case: Case) -> list[Inbound]:
    """Packets to the case's relay address, its own first.

    A relay address has one range of ports, whichever URL led to it: once this URL's own packets
    prove something, those of others show more of the same range.
    """
    own = [one for one in case.each(Inbound) if not _inside(one)]
    relays = {one.relayed[0] for one in own if _proves(one)}
    others = (one for one in record.each(Inbound) if _proves(one) and not _inside(one))
    return own + [one for one in others if one not in own and one.relayed[0] in relays]


def _proves(one: Inbound) -> bool:
    return one.outcome in {Outcome.OK, Outcome.SILENT} and not one.same_host


def _inbound(record: Record, case: Case) -> Iterator[Finding]:
    """The samples of the relay's port range: every one has to arrive."""
    samples = _samples(record, case)
    if not samples:
        inside = case.first(Inbound)
        if inside:
            summary = (
                f"was reached at its inner address {case.address}, and gives out "
                f"{inside.relayed[0]}, to which nothing passes from inside its network"
            )
            yield about(case, "relay-range-unproved", INFO, summary, inside)
        return
    lost = [one for one in samples if one.outcome is Outcome.SILENT]
    inbound = lost[0] if lost else samples[0]
    facts = {
        "relayed": f"{inbound.relayed[0]} port {inbound.relayed[1]}",
        "sent": inbound.sent,
        "received": inbound.received,
        **(relayports.evidence(samples) or {}),
    }
    echo = case.first(Echo)
    lossy = echo is not None and 0 < echo.received < echo.sent
    if lost and echo and all(_by_chance(one, echo) for one in lost):
        summary = (
            f"packets to relay port {inbound.relayed[1]}/udp do not arrive, and so many are lost "
            "on the way that this proves nothing about a firewall"
        )
        yield about(case, "relay-range-unproved", INFO, summary, inbound, **facts)
    elif lost:
        ports, others = ", ".join(map(str, facts["lostPorts"])), len(facts["openPorts"])
        summary = f"packets to relay port {ports}/udp do not arrive"
        if others:
            summary += f", to {others} other they do"
        yield about(case, "relay-range-blocked", FAIL, summary, inbound, **facts)
    elif inbound.outcome is Outcome.OK and not inbound.replied:
        if not lossy:  # otherwise the echo has the figure
            summary = "packets reach the relay, and replies through it are lost"
            yield about(case, "relay-data-lost", FAIL, summary, inbound, **facts)
    elif inbound.outcome in {Outcome.UNKNOWN, Outcome.LOSSY} or inbound.same_host:
        why = inbound.detail or "asked from the server's own host, behind its firewall"
        summary = f"whether the firewall lets packets to the relay ports was not proved: {why}"
        yield about(case, "relay-range-unproved", INFO, summary, inbound)


def _by_chance(one: Inbound, echo: Echo) -> bool:
    """Whether the loss that the echo measured explains that none of the packets came.

    An echo crosses the network between here and the server four times, a packet to the relay and
    on to this machine twice.
    """
    if not 0 < echo.received < echo.sent:
        return False
    return bool((1 - (1 - echo.loss) ** 0.5) ** one.sent > CHANCE)


def _echo(case: Case) -> Iterator[Finding]:
    echo = case.first(Echo)
    if echo is None:
        return
    closed = any(one.outcome is Outcome.SILENT for one in case.each(Inbound))
    if echo.outcome is Outcome.LOSSY:
        # An allocation that was kept from being answered has said so already.
        if not any(one.outcome is Outcome.LOSSY for one in case.each(Allocation)):
            yield no_turn(case, echo, "the echo")
    elif echo.outcome is Outcome.UNKNOWN and not closed:  # else the closed ports took the time
        yield about(case, "deadline-reached", FAIL, echo.detail, echo)
    elif echo.outcome not in {Outcome.OK, Outcome.UNKNOWN}:
        summary = f"the echo through the relay broke off: {echo.detail or echo.reason}"
        yield about(case, "relay-data-lost", FAIL, summary, echo)
    elif closed and not echo.received:
        return  # what closes the relay ports to this machine closes them to the relay itself
    elif echo.loss > TOLERABLE_LOSS:
        lost = echo.sent - echo.received
        summary = f"{lost} of {echo.sent} packets through the relay were lost"
        if echo.received and lost == echo.large_sent and not echo.large_received:
            summary += ", all those that are as large as video's: see the MTU"
        severity = WARN if echo.received else FAIL
        facts = {
            "sent": echo.sent,
            "received": echo.received,
            "lost": f"{echo.loss:.0%}",
            "largeSent": echo.large_sent,
            "largeReceived": echo.large_received,
        }
        yield about(case, "relay-data-lost", severity, summary, echo, **facts)


def nat(record: Record) -> Iterator[Finding]:
    """Two servers see one socket at two ports: a mapping for each destination (RFC 4787, 4.1)."""
    for one in record.each(MappedAddresses):
        if len(set(one.mapped)) > 1:
            shown = " and ".join(f"{host} port {port}" for host, port in one.mapped)
            summary = f"this network maps one socket to {shown}: direct calls will need the relay"
            yield finding("symmetric-nat", INFO, summary, url=one.url)


def ice(record: Record, explained: Collection[str]) -> Iterator[Finding]:
    """The closing legs, but those of URLs whose failure is explained, if only by packets that get
    lost now and then on the way to the same server.
    """
    lossy = {case.address for case in record.cases if _loses(case)}
    lossy_urls = {case.probe.url for case in record.cases if case.address in lossy}
    for leg in record.each(IceLeg):
        known = leg.outcome in {Outcome.OK, Outcome.UNKNOWN, Outcome.UNROUTABLE}
        if known or leg.url in explained or leg.url in lossy_urls:
            continue
        code = "ice-relay-failed" if leg.kind == "relay" else "ice-srflx-failed"
        severity = WARN if leg.kind == "relay" else INFO
        summary = f"two ICE agents did not connect over {leg.kind} candidates: {leg.detail}"
        yield finding(code, severity, summary, url=leg.url, family=leg.family)


def _loses(case: Case) -> bool:
    """Whether some packets of this URL got lost and others did not."""
    return any(0 < echo.received < echo.sent for echo in case.each(Echo)) or any(
        one.outcome is Outcome.OK and one.sent > 1 for one in case.each(Inbound)
    )
