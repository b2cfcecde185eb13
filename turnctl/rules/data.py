"""Data: relayed addresses, permissions, packets from outside and between relays, the ICE legs."""

from __future__ import annotations

from collections.abc import Iterator

from turnctl.addresses import is_private
from turnctl.case import Case, Record
from turnctl.findings import Finding, finding
from turnctl.observations import Allocation, Echo, IceLeg, Inbound, Outcome, Permission, Refresh
from turnctl.rules import FAIL, INFO, WARN, about

__all__ = ["data", "ice"]

TOLERABLE_LOSS = 0.05


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
    yield from _inbound(case)
    yield from _echo(case)
    refresh = case.first(Refresh)
    if refresh and refresh.outcome not in {Outcome.OK, Outcome.UNKNOWN}:
        yield about(case, "refresh-failed", FAIL, "does not refresh the allocation", refresh)


def _inbound(case: Case) -> Iterator[Finding]:
    inbound = case.first(Inbound)
    if inbound is None:
        return
    facts = {
        "relayed": f"{inbound.relayed[0]} port {inbound.relayed[1]}",
        "sent": inbound.sent,
        "received": inbound.received,
    }
    if inbound.outcome is Outcome.SILENT:
        summary = f"packets to relay port {inbound.relayed[1]}/udp do not arrive"
        yield about(case, "relay-range-blocked", FAIL, summary, inbound, **facts)
    elif inbound.outcome is Outcome.OK and not inbound.replied:
        summary = "packets reach the relay, and replies through it are lost"
        yield about(case, "relay-data-lost", FAIL, summary, inbound, **facts)
    elif inbound.outcome is Outcome.UNKNOWN or inbound.same_host:
        why = inbound.detail or "asked from the server's own host, behind its firewall"
        summary = f"whether the firewall lets packets to the relay ports was not proved: {why}"
        yield about(case, "relay-range-unproved", INFO, summary, inbound)


def _echo(case: Case) -> Iterator[Finding]:
    echo = case.first(Echo)
    if echo is None:
        return
    if echo.outcome is Outcome.UNKNOWN:
        yield about(case, "deadline-reached", FAIL, echo.detail, echo)
    elif echo.outcome is not Outcome.OK:
        summary = f"the echo through the relay broke off: {echo.detail}"
        yield about(case, "relay-data-lost", FAIL, summary, echo)
    elif echo.loss > TOLERABLE_LOSS:
        summary = f"{echo.sent - echo.received} of {echo.sent} packets through the relay were lost"
        severity = WARN if echo.received else FAIL
        yield about(
            case, "relay-data-lost", severity, summary, echo, sent=echo.sent, received=echo.received
        )


def ice(record: Record) -> Iterator[Finding]:
    for leg in record.each(IceLeg):
        if leg.outcome in {Outcome.OK, Outcome.UNKNOWN}:
            continue
        code = "ice-relay-failed" if leg.kind == "relay" else "ice-srflx-failed"
        severity = WARN if leg.kind == "relay" else INFO
        summary = f"two ICE agents did not connect over {leg.kind} candidates: {leg.detail}"
        yield finding(code, severity, summary, url=leg.url, family=leg.family)
