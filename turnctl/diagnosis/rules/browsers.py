"""Find what is right by the standards but what browsers reject.

Each case was tried: docs/browsers.md shows the server, both browsers and this verdict.
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
"""Seconds: Firefox refreshes an allocation this long before its end, and gathers none that lasts no
longer. With fifteen seconds it does."""


def certificate(case: Case, handshake: TlsHandshake) -> Iterator[Finding]:
    """A certificate that is trusted, but that a browser rejects."""
    host = case.probe.uri.host
    if handshake.unfit:
        summary = f"browsers reject the certificate: {handshake.unfit}"
        facts = {"names": list(handshake.names), "issuer": handshake.issuer}
        yield about(case, "tls-certificate-unfit", FAIL, summary, handshake, **facts)
    elif case.probe.uri.address is not None:
        summary = (
            f"Firefox gathers nothing from a turns: URL with an address ({host}) instead of a name"
        )
        yield about(case, "tls-ip-literal", WARN, summary, handshake)


def realm(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """A realm that is longer than STUN allows."""
    challenge = case.first(Challenge, lambda one: len(one.realm or "") > LONGEST_REALM)
    if challenge is not None:
        length = len(challenge.realm or "")
        summary = f"the realm has {length} characters, and Firefox accepts at most {LONGEST_REALM}"
        yield about(case, "realm-too-long", FAIL, summary, challenge, length=length)


def allocation(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """An allocation that is granted, but that a browser can't use."""
    granted = case.first(Allocation, lambda one: one.outcome is Outcome.OK)
    if granted is None:
        return
    yield from _family(case, granted)
    if granted.lifetime is not None and granted.lifetime <= SHORTEST_LIFETIME:
        summary = (
            f"the server grants allocations for only {granted.lifetime} s, too short for Firefox"
        )
        lifetime = granted.lifetime
        yield about(case, "allocation-lifetime-short", FAIL, summary, granted, lifetime=lifetime)
    if granted.relayed is not None and 0 < granted.relayed[1] < 1024:
        port = granted.relayed[1]
        if port not in {80, 443}:
            summary = f"the relay uses port {port}, and Chromium sends nothing to ports below 1024"
            yield about(case, "relay-port-low", FAIL, summary, granted, relayPort=port)


def _family(case: Case, granted: Allocation) -> Iterator[Finding]:
    """A server with only IPv6 relays. Browsers don't ask for a family, which means IPv4."""
    asked = case.first(FamilyLeftOut)
    if asked is None:
        return
    if asked.outcome is Outcome.ERROR and asked.code in {440, 508}:
        said = f"gets an error: {asked.code} {asked.reason}".rstrip()
    elif asked.relayed is not None and asked.relayed[1] == 0:
        said = f"gets {asked.relayed[0]} port 0"
    else:
        return
    summary = f"the server relays only over IPv6, and a browser, which asks for no family, {said}"
    relayed = None if granted.relayed is None else granted.relayed[0]
    yield about(case, "relay-ipv6-only", FAIL, summary, asked, relayed=relayed)


def credential(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """A user name or password that Firefox doesn't send as it is."""
    for what, text in (("username", case.probe.username), ("password", case.probe.credential)):
        if text and not text.isascii():
            summary = f"the {what} has characters other than ASCII, which Firefox doesn't send"
            yield about(case, "credential-not-ascii", FAIL, summary)
            return
