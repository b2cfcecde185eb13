"""Judge relayed addresses, permissions, packets through the relay, and the ICE legs."""

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
"""Share of echoes. Each crosses the network between here and the server four times (twice for each
of two relays), so this is 1.3 % each way, about where speech begins to suffer."""

CHANCE = 0.001
"""If loss alone explains a silence more often than this, it doesn't prove a closed port."""

TOLERABLE_GROWTH = {4: 1.6, 6: 2.2}
"""By family: the size of a Binding answer with only the mapped address, over its request's 20
bytes."""


def data(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """Judge addresses, permissions and packets."""
    granted = case.first(Allocation, lambda one: one.relayed is not None)
    if granted is None or granted.relayed is None:
        return
    relayed = granted.relayed[0]
    if is_private(relayed) and case.address and not is_private(case.address):
        summary = (
            f"the server gives out the private address {relayed}, but clients reach it at "
            f"{case.address}"
        )
        yield about(case, "relay-address-private", FAIL, summary, granted)
        return
    refused = {one.purpose: one for one in case.each(Permission) if one.outcome is Outcome.ERROR}
    if "public" in refused:
        summary = f"the relay refuses public peers such as {refused['public'].peer}"
        # A relay inside a private network may be meant for that network alone.
        severity = WARN if is_private(relayed) else FAIL
        yield about(case, "permission-refused", severity, summary, refused["public"])
        return
    if "own-relay" in refused:
        summary = f"the relay refuses its own address {relayed} as a peer"
        yield about(case, "own-relay-refused", FAIL, summary, refused["own-relay"])
    if relayed_family(relayed) == 4 and case.probe.family == 6:
        summary = "the server gives only an IPv4 relay to clients that connect over IPv6"
        yield about(case, "ipv6-relay-missing", WARN, summary, granted)
    outside = case.first(RelayEcho)
    if outside and outside.seen and outside.seen[0] != relayed:
        summary = f"the server gives out {relayed}, but its traffic leaves from {outside.seen[0]}"
        yield about(case, "relay-address-wrong", FAIL, summary, outside, leaves=outside.seen[0])
        return
    misled = case.first(Inbound, _leads_elsewhere)
    if misled and misled.elsewhere:
        summary = (
            f"the server gives out {relayed}, but packets reach its relay at {misled.elsewhere[0]}"
        )
        yield about(case, "relay-address-wrong", FAIL, summary, misled, leaves=misled.elsewhere[0])
        return
    yield from _audit(case)
    yield from _inbound(record, case)
    yield from _echo(case)
    refresh = case.first(Refresh)
    if refresh and refresh.outcome not in {Outcome.OK, Outcome.UNKNOWN, Outcome.LOSSY}:
        yield about(
            case, "refresh-failed", FAIL, "the server doesn't refresh the allocation", refresh
        )


def _leads_elsewhere(one: Inbound) -> bool:
    """Whether the server gave out a wrong address.

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
    """What `--audit` adds."""
    policy = case.first(PeerPolicy)
    if policy and policy.allowed:
        inside = ", ".join(policy.allowed)
        summary = f"the relay lets clients reach {inside}"
        yield about(case, "private-peers-allowed", FAIL, summary, asked=policy.asked)
    grown = case.first(Amplification)
    if grown and grown.response > TOLERABLE_GROWTH[case.probe.family] * grown.request:
        summary = (
            f"the server answers {grown.request} bytes with {grown.response}, which helps attackers"
        )
        yield about(
            case, "amplification", WARN, summary, request=grown.request, response=grown.response
        )
    binding = case.first(Binding)
    if policy is not None and binding and "coturn" in binding.software.lower():
        with contextlib.suppress(ValueError):
            version = parse_version(binding.software)
            if known := holes(version):
                summary = f"the server reports {binding.software}, which {describe_holes(version)}"
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

    A relay address has one range of ports for all URLs. Once this URL's own packets prove
    something, those of other URLs show more of the same range.
    """
    own = [one for one in case.each(Inbound) if not _inside(one)]
    relays = {one.relayed[0] for one in own if _proves(one)}
    others = (one for one in record.each(Inbound) if _proves(one) and not _inside(one))
    return own + [one for one in others if one not in own and one.relayed[0] in relays]


def _proves(one: Inbound) -> bool:
    return one.outcome in {Outcome.OK, Outcome.SILENT} and not one.same_host


def _inbound(record: Record, case: Case) -> Iterator[Finding]:
    """The samples of the relay's port range. Every one must arrive."""
    samples = _samples(record, case)
    if not samples:
        inside = case.first(Inbound)
        if inside:
            summary = (
                f"the check reached the server at its inner address {case.address}, but the server "
                f"gives out {inside.relayed[0]}, which can't be reached from inside its network"
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
            f"packets to relay port {inbound.relayed[1]}/udp do not arrive, but so many packets "
            "are lost on the way that this proves nothing about a firewall"
        )
        yield about(case, "relay-range-unproved", INFO, summary, inbound, **facts)
    elif lost:
        ports, others = ", ".join(map(str, facts["lostPorts"])), len(facts["openPorts"])
        summary = f"packets to relay port {ports}/udp do not arrive"
        if others:
            summary += f", but those to {others} {'other' if others == 1 else 'others'} do"
        yield about(case, "relay-range-blocked", FAIL, summary, inbound, **facts)
    elif inbound.outcome is Outcome.OK and not inbound.replied:
        if not lossy:  # otherwise the echo has the figure
            summary = "packets reach the relay, but replies through it are lost"
            yield about(case, "relay-data-lost", FAIL, summary, inbound, **facts)
    elif inbound.outcome in {Outcome.UNKNOWN, Outcome.LOSSY} or inbound.same_host:
        why = inbound.detail or "the check runs on the server's own host, behind its firewall"
        summary = f"it isn't known whether the firewall lets packets to the relay ports: {why}"
        yield about(case, "relay-range-unproved", INFO, summary, inbound)


def _by_chance(one: Inbound, echo: Echo) -> bool:
    """Whether the loss that the echo measured explains why none of the packets came.

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
        # If the loss kept an allocation from being answered, that finding is there already.
        if not any(one.outcome is Outcome.LOSSY for one in case.each(Allocation)):
            yield no_turn(case, echo, "the echo")
    elif echo.outcome is Outcome.UNKNOWN and not closed:  # otherwise the closed ports took the time
        yield about(case, "deadline-reached", FAIL, echo.detail, echo)
    elif echo.outcome not in {Outcome.OK, Outcome.UNKNOWN}:
        summary = f"the echo through the relay stopped: {echo.detail or echo.reason}"
        yield about(case, "relay-data-lost", FAIL, summary, echo)
    elif closed and not echo.received:
        return  # the firewall that closes the relay ports to this machine closes them to the relay
    elif echo.loss > TOLERABLE_LOSS:
        lost = echo.sent - echo.received
        summary = f"{lost} of {echo.sent} packets through the relay were lost"
        if echo.received and lost == echo.large_sent and not echo.large_received:
            summary += ", exactly those as large as video's: check the MTU"
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
    """If two servers see one socket at two ports, each destination has its own mapping (RFC 4787,
    section 4.1)."""
    for one in record.each(MappedAddresses):
        if len(set(one.mapped)) > 1:
            shown = " and ".join(f"{host} port {port}" for host, port in one.mapped)
            summary = f"this network maps one socket to {shown}: its calls often need the relay"
            yield finding("symmetric-nat", INFO, summary, url=one.url)


def ice(record: Record, explained: Collection[str]) -> Iterator[Finding]:
    """The ICE legs at the end, except those of URLs whose failure is explained already, if only by
    occasional loss on the way to the same server.
    """
    lossy = {case.address for case in record.cases if _loses(case)}
    lossy_urls = {case.probe.url for case in record.cases if case.address in lossy}
    for leg in record.each(IceLeg):
        known = leg.outcome in {Outcome.OK, Outcome.UNKNOWN, Outcome.UNROUTABLE}
        if known or leg.url in explained or leg.url in lossy_urls:
            continue
        code = "ice-relay-failed" if leg.kind == "relay" else "ice-srflx-failed"
        severity = WARN if leg.kind == "relay" else INFO
        summary = f"two ICE agents didn't connect over {leg.kind} candidates: {leg.detail}"
        yield finding(code, severity, summary, url=leg.url, family=leg.family)


def _loses(case: Case) -> bool:
    """Whether some packets of this URL got lost and others did not."""
    return any(0 < echo.received < echo.sent for echo in case.each(Echo)) or any(
        one.outcome is Outcome.OK and one.sent > 1 for one in case.each(Inbound)
    )
