"""Runs a plan: all URLs at once, then the ICE legs, and last what could use up a quota.

Whatever happens, cancellation included, each session that `run` opened is closed before it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from turnctl.check.awake import AwakeClock
from turnctl.check.credentials import CredentialSource
from turnctl.check.oneurl import Result, check_url, find_address
from turnctl.check.probes import allocate, contact, ice, inbound
from turnctl.check.probes.attempt import Attempt, OutOfTime
from turnctl.check.shared import Options, Shared, once_each
from turnctl.diagnosis.observations import Observation
from turnctl.diagnosis.plan import Plan, Probe
from turnctl.wire import tls
from turnctl.wire.outcome import Family

__all__ = ["Leg", "Options", "first_legs", "last_legs", "run"]


async def run(
    plan: Plan,
    options: Options,
    record: Callable[[Observation], None],
    *,
    credentials: Mapping[str, CredentialSource],
    now: Callable[[], float] = time.time,
) -> None:
    """Run every probe; observations go to `record` as they are made.

    `credentials` has a source of other credentials for each user name that has one.
    """
    for rejected in (*plan.rejected, *plan.disputed):
        record(rejected)
    clock = AwakeClock()
    async with clock.ticking():
        context = cache(lambda verify: tls.context(options.ca, verify=verify))
        shared = Shared(options, once_each(record), credentials, clock, now, clock(), context)
        if any(probe.protocol == "tls" for probe in plan.probes):
            # Each takes some 30 ms, which other URLs would measure as their round trips.
            context(not options.insecure)
            tls.prepare()
        results = await _check_urls(plan, shared)
        await _use_up_quota(results, shared)


async def _check_urls(plan: Plan, shared: Shared) -> list[Result]:
    """All URLs at once; each ICE leg starts as soon as a URL is fit for it."""
    relays_udp = any(probe.uri.relays and probe.protocol == "udp" for probe in plan.probes)
    results: list[Result] = []
    legs: dict[str, Leg] = {}

    async with asyncio.TaskGroup() as group:

        def start(due: Iterator[Leg]) -> None:
            """Each kind of leg runs once."""
            for leg in due:
                unwanted = leg.kind == "srflx" and shared.options.relay_only
                if leg.kind not in legs and not unwanted:
                    legs[leg.kind] = leg
                    group.create_task(_run_leg(leg, shared))

        checks = [group.create_task(check_url(shared, probe)) for probe in plan.probes]
        reference = group.create_task(_ask_reference(shared))
        for check in asyncio.as_completed(checks):
            result = await check
            results.append(result)
            start(first_legs(result, relays_udp=relays_udp))
        start(last_legs(results))
        answered = [one.attempt for one in results if one.mapped_udp4]
        independent = await reference
        if independent is not None:
            answered.insert(0, independent)
        group.create_task(_compare_mappings(answered, shared))
    return results


# --- ICE legs ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leg:
    """A pair of ICE agents to connect by way of the attempt's URL.

    With `relay` the second agent of a srflx leg has an allocation.
    """

    kind: Literal["relay", "srflx"]
    attempt: Attempt
    relay: bool


def first_legs(result: Result, *, relays_udp: bool) -> Iterator[Leg]:
    """The legs that a URL is fit for as soon as it is checked.

    If the plan has a relay over UDP, the srflx leg waits for one that carried data.
    """
    if result.carried and ice.can_relay(result.attempt):
        yield Leg("relay", result.attempt, relay=True)
    if result.mapped_udp4 and (result.carried or not relays_udp):
        yield Leg("srflx", result.attempt, relay=result.carried)


def last_legs(results: Sequence[Result]) -> Iterator[Leg]:
    """The legs to run, unless one of their kind ran already, once all URLs are checked.

    If no UDP relay carried data, the srflx candidate still has to be proved where STUN answered.
    """
    for result in results:
        if result.mapped_udp4:
            yield Leg("srflx", result.attempt, relay=False)
        if result.carried:
            yield Leg("relay", result.attempt, relay=True)


async def _run_leg(leg: Leg, shared: Shared) -> None:
    attempt = shared.again(leg.attempt)
    prove = ice.relay_leg if leg.kind == "relay" else ice.srflx_leg
    async with attempt.allowance.take(ice.PLACES):
        await prove(attempt, leg.relay)


# --- beside the URLs ---------------------------------------------------------------------------


async def _ask_reference(shared: Shared) -> Attempt | None:
    """Ask the reference over the first family for which it has an address.

    Gives the attempt if STUN answered over IPv4.
    """
    uri = shared.options.reference
    if uri is None:
        return None
    families: tuple[Family, ...] = (4, 6)
    for family in families:
        attempt = shared.attempt(Probe(str(uri), uri, family, None, None, uri.port))
        if await find_address(attempt):
            answered = await contact.ask_reference(attempt)
            return attempt if answered and family == 4 else None
    return None


async def _compare_mappings(answered: Sequence[Attempt], shared: Shared) -> None:
    """Ask two servers at different addresses from one socket: that reveals a symmetric NAT."""
    different = {attempt.address: attempt for attempt in answered}
    if len(different) > 1:
        first, second = list(different.values())[:2]
        other = (second.address, second.probe.stun_port)
        with contextlib.suppress(OutOfTime):
            await contact.compare_mappings(shared.again(first), other)


# --- last --------------------------------------------------------------------------------------


async def _use_up_quota(results: Sequence[Result], shared: Shared) -> None:
    """Samples of the port range, and both families at once. These come last, so that no step that
    is judged fails because of a quota that they used up.
    """
    knocked = [(result.attempt, one) for result in results for one in result.inbound]
    carrying = [result.attempt for result in results if result.carried]
    async with asyncio.TaskGroup() as group:
        for attempt, ports in inbound.ranges(knocked):
            group.create_task(inbound.sample(shared.again(attempt), ports))
        for attempt in allocate.relaying_over_both(carrying):
            group.create_task(_allocate_both(shared.again(attempt)))


async def _allocate_both(attempt: Attempt) -> None:
    async with attempt.allowance.take(1):
        await allocate.allocate_both(attempt)
