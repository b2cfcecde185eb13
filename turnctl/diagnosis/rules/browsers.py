"""What a server does right by the standards, and browsers refuse all the same.

Each was seen: docs/browsers.md has the server, both browsers and this verdict.
"""

from __future__ import annotations

from collections.abc import Iterator

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.observations import Allocation, Challenge, FamilyLeftOut, TlsHandshake
from turnctl.diagnosis.rules import FAIL, WARN, about
from turnctl.wire.outcome import Outcome

__all__ = ["allocation", "certificate", "credential", "realm"]

LONGEST_REALM = 127
"""Characters (RFC 8489 section 14.9); Firefox gathers nothing from a longer one."""
SHORTEST_LIFETIME = 10
"""Seconds: Firefox refreshes an allocation this long before its end, and gathers none that has no
more; from fifteen seconds it does."""


def certificate(case: Case, handshake: TlsHandshake) -> Iterator[Finding]:
    """A certificate that is trusted, and nevertheless not good enough for each browser."""
    host = case.probe.uri.host
    if handshake.unfit:
        summary = f"browsers refuse the certificate: {handshake.unfit}"
        facts = {"names": list(handshake.names), "issuer": handshake.issuer}
        yield about(case, "tls-certificate-unfit", FAIL, summary, handshake, **facts)
    elif case.probe.uri.address is not None:
        summary = f"Firefox gathers nothing from a turns: URL with an address ({host}) for a host"
        yield about(case, "tls-ip-literal", WARN, summary, handshake)


def realm(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """A realm that is longer than STUN allows."""
    challenge = case.first(Challenge, lambda one: len(one.realm or "") > LONGEST_REALM)
    if challenge is not None:
        length = len(challenge.realm or "")
        summary = f"the realm has {length} characters, and Firefox takes {LONGEST_REALM} at most"
        yield about(case, "realm-too-long", FAIL, summary, challenge, length=length)


def allocation(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """What was granted, and a browser makes nothing of."""
    granted = case.first(Allocation, lambda one: one.outcome is Outcome.OK)
    if granted is None:
        return
    yield from _family(case, granted)
    if granted.lifetime is not None and granted.lifetime <= SHORTEST_LIFETIME:
        summary = f"grants allocations for {granted.lifetime} s, and Firefox gathers none of those"
        lifetime = granted.lifetime
        yield about(case, "allocation-lifetime-short", FAIL, summary, granted, lifetime=lifetime)
    if granted.relayed is not None and 0 < granted.relayed[1] < 1024:
        port = granted.relayed[1]
        if port not in {80, 443}:
            summary = f"relays on port {port}, and Chromium sends nothing to ports below 1024"
            yield about(case, "relay-port-low", FAIL, summary, granted, relayPort=port)


def _family(case: Case, granted: Allocation) -> Iterator[Finding]:
    """A server that has relays of IPv6 alone: browsers ask for no family, which means IPv4."""
    asked = case.first(FamilyLeftOut)
    if asked is None:
        return
    if asked.outcome is Outcome.ERROR and asked.code in {440, 508}:
        said = f"is refused: {asked.code} {asked.reason}".rstrip()
    elif asked.relayed is not None and asked.relayed[1] == 0:
        said = f"is given {asked.relayed[0]} port 0"
    else:
        return
    summary = f"relays over IPv6 alone, and a browser, which asks for no family, {said}"
    relayed = None if granted.relayed is None else granted.relayed[0]
    yield about(case, "relay-ipv6-only", FAIL, summary, asked, relayed=relayed)


def credential(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """A name or password that Firefox does not send as it is."""
    for what, text in (("username", case.probe.username), ("password", case.probe.credential)):
        if text and not text.isascii():
            summary = f"the {what} has characters other than ASCII, which Firefox does not send"
            yield about(case, "credential-not-ascii", FAIL, summary)
            return
