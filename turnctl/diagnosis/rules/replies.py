"""Find replies over UDP that don't reach everybody: too low a TTL, or another address.

Every system in use sends with a TTL (IPv6: hop limit) of 64, 128 or 255, and the longest paths have
some forty routers. So a healthy server's replies arrive with 24 at least.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.observations import (
    Afterwards,
    Allocation,
    Binding,
    Challenge,
    Exchange,
    ReplyHops,
)
from turnctl.diagnosis.rules import FAIL, WARN, about
from turnctl.host.addresses import is_beside
from turnctl.wire.outcome import Address, Outcome

__all__ = ["elsewhere", "hop_limits", "low_ttl_version", "went_silent"]

PLAUSIBLE = 24
"""What is left of 64 after the longest path."""

CERTAIN = 8
"""At or below it, even a system that starts at 32, as none has done for decades, would have to be
24 routers away. Between this and PLAUSIBLE most clients are reached, so it's a warning."""

FELL = 16
"""A fall within one session that a change of route doesn't explain."""

_LOW_TTL = re.compile(r"coturn-4\.17\.[01]\b", re.IGNORECASE)
"""Versions that send replies with TTL 1 after the first authenticated Allocate."""


def hop_limits(case: Case) -> Iterator[Finding]:
    """Replies that arrived, but would not have arrived a few routers further away."""
    seen = case.first(ReplyHops)
    if seen is None or seen.lowest >= PLAUSIBLE:
        return
    fell = seen.highest - seen.lowest >= FELL
    name = "hop limit" if case.probe.family == 6 else "TTL"
    summary = f"the server's replies over UDP arrive with {name} {seen.lowest}"
    if fell:
        summary += f", the first ones with {seen.highest}"
    away = "one more router" if seen.lowest == 1 else f"{seen.lowest} more routers"
    summary += f": clients behind {away} don't get them"
    yield about(
        case,
        "reply-ttl-low",
        FAIL if fell or seen.lowest <= CERTAIN else WARN,
        summary,
        ttl=seen.lowest,
        firstTtl=seen.first,
        lastTtl=seen.last,
    )


def elsewhere(case: Case) -> Iterator[Finding]:
    """An answer to our transaction from an address or port other than the one that was asked."""
    if case.probe.protocol != "udp":
        return
    asked = (case.address, case.probe.uri.port)
    kinds = Binding | Challenge | Allocation
    seen = case.first(Exchange, lambda one: isinstance(one, kinds) and one.came_from is not None)
    if seen is None or seen.came_from is None:
        return
    summary = f"the server was asked at {asked[0]} port {asked[1]}, but answers from "
    summary += f"{_shown(seen.came_from, asked[0])}: browsers and NATs drop such answers"
    severity = FAIL
    binding = case.first(Binding)
    local = binding.local[0] if binding and binding.local else ""
    if is_beside(seen.came_from[0], local) and not is_beside(asked[0] or "", local):
        # Docker's proxy answers containers of its network like this, and a router its own side.
        severity = WARN
        summary += (
            ". That address is on this machine's own network, so the cause may be here: run the "
            "check from another network"
        )
    source = f"{seen.came_from[0]} port {seen.came_from[1]}"
    yield about(case, "reply-from-other-address", severity, summary, seen, answersFrom=source)


def _shown(source: Address, asked: str | None) -> str:
    return f"port {source[1]}" if source[0] == asked else f"{source[0]} port {source[1]}"


def went_silent(record: Record, case: Case) -> Iterator[Finding]:
    """UDP that answered until an authenticated Allocate, and answers nobody since.

    This applies to every URL of that listener. For the others it may have been silent from the
    start.
    """
    if case.first(ReplyHops, lambda one: one.lowest < PLAUSIBLE):
        return  # reported with what arrived
    where = (case.address, case.probe.uri.port)
    for other in record.cases:
        after = other.first(Afterwards)
        asked = other.first(Allocation)
        if after is None or asked is None or (other.address, other.probe.uri.port) != where:
            continue
        if asked.outcome is not Outcome.SILENT or after.udp is not Outcome.SILENT:
            continue
        if not (after.tcp is Outcome.OK or _granted_over_tcp(record, case)):
            continue
        seen = case.first(Allocation) or case.first(Binding)
        summary = (
            "the server answers over UDP until the first authenticated Allocate and nothing after "
            f"it, not even {after.sent} Bindings from a new socket, while TCP still answers. This "
            "is how a server behaves whose replies leave with TTL 1 from then on. A firewall that "
            "blocks this client from then on would look the same"
        )
        yield about(case, "reply-ttl-low", FAIL, summary, seen, unanswered=after.sent)
        return


def _granted_over_tcp(record: Record, case: Case) -> bool:
    return any(
        one.outcome is Outcome.OK
        for other in record.cases
        if other.address == case.address and other.probe.protocol != "udp"
        for one in other.each(Allocation)
    )


def low_ttl_version(record: Record, case: Case) -> str | None:
    """The SOFTWARE of the case's server, seen over any URL, if that version sends with TTL 1."""
    return next(
        (
            one.software
            for one in record.each(Binding)
            if one.remote[0] == case.address and _LOW_TTL.match(one.software)
        ),
        None,
    )
