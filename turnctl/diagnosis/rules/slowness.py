"""Find allocations that take seconds, which explain silence elsewhere at the same time.

coturn gives each allocation one of its `relay-ip` addresses. If its host doesn't have that address,
coturn tries in vain to bind every port of the range. This takes seconds, in which that thread
answers nobody else. By chance such an allocation ends in error 508, or late, on another address.
"""

from __future__ import annotations

from collections.abc import Iterator

from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.observations import Allocation, Binding, Challenge, Echo, Exchange
from turnctl.diagnosis.rules import FAIL, about
from turnctl.wire.outcome import Outcome

__all__ = ["first_refused", "slow"]

SLOW_MS = 2_500
"""By then a request has been sent again several times: loss alone hardly ever delays an answer so
long."""

SLOW_BESIDE_LOSS_MS = 6_000
"""Over UDP, where about twenty sends fit in before. A stream may stall this long by loss alone."""

RATHER_SLOW_MS = 1_000
"""Enough if it happens twice, and no data through the server's relays was lost."""

PROMPT_MS = 200
"""An answer within this time wasn't sent twice: the path is quick and loses little."""


def slow(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """A late answer to an allocation at the case's server. It affects all URLs of that server."""
    if not case.probe.uri.relays:
        return
    beside = [other for other in record.cases if other.address == case.address]
    prompt = [other for other in beside if _is_prompt(other)]
    asked = [one for other in prompt for one in other.each(Allocation)]
    if any(map(_loses, beside)):
        over_udp = [other for other in prompt if other.probe.protocol == "udp"]
        asked = [one for other in over_udp for one in other.each(Allocation)]
        late = [one for one in asked if _is_late(one, SLOW_BESIDE_LOSS_MS)]
    else:
        late = [one for one in asked if _is_late(one, SLOW_MS)]
        rather = [one for one in asked if _is_late(one, RATHER_SLOW_MS)]
        late = rather if len(rather) > 1 else late
    if not late:
        return
    worst = max(late, key=lambda one: one.elapsed_ms)
    seconds = f"{worst.elapsed_ms / 1000:.1f} s"
    if any(one.code == 508 for one in late):
        summary = f"the server takes up to {seconds} to find out that it has no relay port (508)"
        if first_refused(record, case):
            summary += ", even for the first allocation"
        summary += ": most likely its relay-ip isn't an address of its host"
        yield about(case, "relay-ports-exhausted", FAIL, summary, worst)
        return
    summary = (
        f"the server takes up to {seconds} for an allocation, and answers nothing else meanwhile: "
        "most likely one of its relay-ip lines isn't an address of its host"
    )
    yield about(case, "allocation-slow", FAIL, summary, worst, slowAllocations=len(late))


def _is_prompt(case: Case) -> bool:
    asked = [*case.each(Binding), *case.each(Challenge)]
    return any(one.elapsed_ms < PROMPT_MS and one.outcome is not Outcome.SILENT for one in asked)


def _loses(case: Case) -> bool:
    """Whether packets of this URL are known to be lost."""
    return any(echo.loss for echo in case.each(Echo)) or any(
        one.outcome is Outcome.LOSSY for one in case.each(Exchange)
    )


def _is_late(one: Allocation, least: float) -> bool:
    granted = one.outcome is Outcome.OK or one.code == 508
    return granted and one.elapsed_ms >= least and not one.resent


def first_refused(record: Record, case: Case) -> bool:
    """Whether the case's server has granted no allocation at all in this check."""
    return not any(
        one.outcome is Outcome.OK
        for other in record.cases
        if other.address == case.address
        for one in other.each(Allocation)
    )
