"""Runs a plan: every URL over every family at once, each under its own deadline.

Owns order, concurrency and deadlines. Refuses to judge. Whatever happens, cancellation included,
each session it opened has been closed before `run` ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from signalpost.iceservers import IceUri
from turnctl.check.allowance import Allowances
from turnctl.check.awake import AwakeClock
from turnctl.check.credentials import Fresh
from turnctl.check.probes import allocate, alpn, contact, ice, inbound, policy, relay, triage
from turnctl.check.probes.attempt import STEP_SHARE, Attempt, OutOfTime
from turnctl.check.probes.link import opened
from turnctl.diagnosis.observations import CandidateSeen, Echo, Inbound, Observation, Resolution
from turnctl.diagnosis.plan import Plan, Probe
from turnctl.wire import tls
from turnctl.wire.errors import WireError
from turnctl.wire.outcome import Family, Outcome
from turnctl.wire.resolve import ResolutionFailed, resolve
from turnctl.wire.session import Allocated, Session

__all__ = ["Options", "run"]

SILENCE_SHARE = 0.4
"""Of a URL's time: silence to STUN after which TURN is asked beside it."""

PLACES_A_URL = 2
"""Allocations a URL's probe holds at once: the one that is proved and its partner in the echo."""


@dataclass(frozen=True, slots=True)
class Options:
    """`timeout` in seconds a URL; `reference` an independent STUN server."""

    timeout: float = 5.0
    relay_only: bool = False
    insecure: bool = False
    ca: Path | None = None
    audit: bool = False
    reference: IceUri | None = None


async def run(
    plan: Plan,
    options: Options,
    record: Callable[[Observation], None],
    *,
    fresh: Mapping[str, Fresh],
    now: Callable[[], float] = time.time,
) -> None:
    """Run every probe; observations go to `record` as they are made.

    `fresh` holds for a user name where another credential can be had, should its own be refused.
    """
    for rejected in (*plan.rejected, *plan.disputed):
        record(rejected)
    clock = AwakeClock()
    async with clock.ticking():
        await _Run(options, record, fresh, clock, now).everything(plan)


class _Run:
    def __init__(
        self,
        options: Options,
        record: Callable[[Observation], None],
        fresh: Mapping[str, Fresh],
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._options = options
        self._record = record
        self._fresh = fresh
        self._candidates: set[tuple[str, str, int]] = set()
        self._clock = clock
        self._now = now
        self._started = clock()
        self._allowances = Allowances()
        self._context = cache(lambda verify: tls.context(options.ca, verify=verify))
        self._answering: list[Attempt] = []
        """Attempts over IPv4 and UDP whose server answered Binding."""
        self._references: list[Attempt] = []
        """The same of the reference."""
        self._carrying: list[Attempt] = []
        """Attempts whose relay carried data."""
        self._knocked: list[tuple[Attempt, Inbound]] = []
        """Relay ports that a packet from outside was sent to."""
        self._legs: set[str] = set()

    async def everything(self, plan: Plan) -> None:
        relays_udp = any(probe.uri.relays and probe.protocol == "udp" for probe in plan.probes)
        if any(probe.protocol == "tls" for probe in plan.probes):
            # Either takes some 30 ms, which would count as other URLs' round trips.
            self._context(not self._options.insecure)
            tls.prepare()
        async with asyncio.TaskGroup() as legs:
            async with asyncio.TaskGroup() as probes:
                for probe in plan.probes:
                    probes.create_task(self._probe(probe, legs, relays_udp))
                if self._options.reference is not None:
                    probes.create_task(self._reference(self._options.reference))
            legs.create_task(self._compare_mappings())
            # No UDP relay carried data: srflx still has to be proved where STUN answered.
            for attempt in self._answering[:1]:
                self._start_leg("srflx", attempt, legs, relay=False)
            for attempt in self._carrying[:1]:
                self._start_leg("relay", attempt, legs, relay=True)
        # Last: nothing that is judged shall meet a quota that these used up.
        async with asyncio.TaskGroup() as closing:
            for attempt, ports in inbound.ranges(self._knocked):
                closing.create_task(inbound.sample(self._afresh(attempt), ports))
            for attempt in allocate.relaying_over_both(self._carrying):
                closing.create_task(self._allocate_both(self._afresh(attempt)))

    def _report(self, one: Observation) -> None:
        """Pass an observation on; a candidate that several URLs found counts once."""
        if isinstance(one, CandidateSeen):
            # Each URL has its own socket; for a host candidate the port is of no interest.
            key = (one.type, one.address, 0 if one.type == "host" else one.port)
            if key in self._candidates:
                return
            self._candidates.add(key)
        self._record(one)

    # --- one URL over one family ---------------------------------------------------------------

    async def _probe(self, probe: Probe, legs: asyncio.TaskGroup, relays_udp: bool) -> None:
        attempt = self._attempt(probe)
        if not await self._resolve(attempt):
            return
        carried = False
        try:
            # Outermost, so that the places are given back after the session released its part.
            async with (
                AsyncExitStack() as places,
                opened(attempt, attempt.login(), report=True) as session,
            ):
                challenged = await self._greet(attempt, session)
                if self._options.audit and probe.protocol == "udp":
                    await policy.measure_amplification(attempt, session)
                if challenged and probe.uri.relays:
                    await self._take_places(attempt, places)
                    carried = await self._relay(attempt, session)
        except WireError as error:
            unreached = not (attempt.connected or attempt.answered)
            if unreached and error.outcome in {Outcome.SILENT, Outcome.REFUSED}:
                await self._try_other_transport(attempt)
        if carried:
            self._carrying.append(attempt)
            if ice.can_relay(attempt):
                self._start_leg("relay", attempt, legs, relay=True)
        if attempt in self._answering and (carried or not relays_udp):
            self._start_leg("srflx", attempt, legs, relay=carried)

    async def _greet(self, attempt: Attempt, session: Session) -> bool:
        """STUN, and TURN after it, or beside it when it stays silent: a relay may answer TURN alone
        (coturn's `no-stun`), and a URL for STUN alone has to say so without another URL's help.
        Whether TURN asked for credentials, as it must.

        Raises WireError when nothing in STUN answers.
        """
        probe, pause = attempt.probe, SILENCE_SHARE * attempt.timeout
        binding = asyncio.ensure_future(contact.bind(attempt, session))
        try:
            await asyncio.wait([binding], timeout=pause)
            if binding.done():
                binding.result()  # raises what kept it from being answered
                return probe.uri.relays and await allocate.challenge(attempt, session)
            # Both end together, and leave enough to try the other transport.
            beside = allocate.challenge(attempt, session, STEP_SHARE * attempt.timeout - pause)
            challenged, bound = await asyncio.gather(beside, binding, return_exceptions=True)
            if isinstance(challenged, BaseException):
                raise challenged
            if isinstance(bound, WireError):  # STUN's silence is not TURN's time
                attempt.deadline += STEP_SHARE * attempt.timeout
            return challenged
        finally:
            binding.cancel()
            if attempt.mapped and probe.protocol == "udp" and probe.family == 4:
                self._answering.append(attempt)

    def _attempt(self, probe: Probe) -> Attempt:
        return Attempt(
            probe=probe,
            address="",
            timeout=self._options.timeout,
            deadline=self._clock() + self._options.timeout,
            started=self._started,
            clock=self._clock,
            now=self._now,
            report=self._report,
            allowance=self._allowances.of(probe.username or ""),
            tls=self._context,
            insecure=self._options.insecure,
            own_ca=self._options.ca is not None,
        )

    async def _resolve(self, attempt: Attempt) -> bool:
        host, begun = attempt.probe.uri.host, attempt.clock()
        try:
            found = await resolve(host, attempt.probe.family, patience=attempt.patience())
        except ResolutionFailed as error:
            attempt.emit(Resolution, host=host, **attempt.ending(error, begun))
            return False
        attempt.emit(Resolution, host=host, addresses=found, **attempt.ending(None, begun))
        attempt.address = found[0] if found else ""
        return bool(found)

    async def _take_places(self, attempt: Attempt, places: AsyncExitStack) -> None:
        """The wait for other URLs' allocations is not this URL's time."""
        waiting = attempt.clock()
        await places.enter_async_context(attempt.allowance.take(PLACES_A_URL))
        attempt.deadline += attempt.clock() - waiting

    async def _relay(self, attempt: Attempt, session: Session) -> bool:
        """The allocation and what it must carry; whether it carried data."""
        others = [allocate.try_wrong_credential(attempt)]
        if attempt.probe.protocol == "tls":
            others.append(alpn.offer(attempt))
        if attempt.probe.family == 6:
            others.append(allocate.leave_family_out(attempt))
        granted, *_ = await asyncio.gather(allocate.allocate(attempt, session), *others)
        if granted is None:
            await self._explain(attempt)
            return False
        attempt.relayed = granted.relayed
        attempt.candidate("relay", granted.relayed, granted.relayed[0], attempt.probe.protocol)
        await relay.ask_public_peer(attempt, session, granted)
        if self._options.audit:
            await policy.ask_forbidden_peers(attempt, session, granted)
        if self._options.reference is not None:
            await self._ask_outside(attempt, session, granted)
        async with asyncio.TaskGroup() as beside:
            knock = beside.create_task(self._knock(attempt, session, granted))
            # Beside the rest: packets that closed ports swallow shall not take its time.
            beside.create_task(relay.refresh(attempt, session))
            carried = await self._echo(attempt, session, granted, knock)
        return carried or knock.result().replied

    async def _echo(
        self,
        attempt: Attempt,
        session: Session,
        granted: Allocated,
        knock: asyncio.Task[Inbound],
    ) -> bool:
        """A partner's relay, which is a second sample of the port range, and the echo between both;
        whether data went through. Silence to one knock is waited for beside the other.
        """
        begun = attempt.clock()
        try:
            async with opened(attempt, attempt.login()) as partner:
                other = await allocate.allocate(attempt, partner, "b")
                if other is None:
                    await self._explain(attempt)
                    return False
                second, _ = await asyncio.gather(self._knock(attempt, partner, other), knock)
                echoed = await relay.echo(attempt, (session, granted), (partner, other))
                return echoed or second.replied
        except WireError as error:
            attempt.emit(Echo, **attempt.ending(error, begun))
            return False

    async def _knock(self, attempt: Attempt, session: Session, granted: Allocated) -> Inbound:
        made = await inbound.knock(attempt, session, granted)
        proves = made.outcome in {Outcome.OK, Outcome.SILENT}
        if proves and not made.same_host:
            self._knocked.append((attempt, made))
        return made

    async def _ask_outside(self, attempt: Attempt, session: Session, granted: Allocated) -> None:
        """Let the reference see the relay from outside, over the relay's own family."""
        reference = self._options.reference
        family: Family = 6 if ":" in granted.relayed[0] else 4
        if reference is None:
            return
        with contextlib.suppress(ResolutionFailed, OutOfTime):
            found = await resolve(reference.host, family, patience=attempt.patience())
            if found:
                await relay.ask_outside(attempt, session, granted, (found[0], reference.port))

    async def _explain(self, attempt: Attempt) -> None:
        """After a refused allocation: experiments that tell its causes apart."""
        fresh = self._fresh.get(attempt.probe.username or "")
        if attempt.refusal == 401:
            await triage.compare_servers(attempt)
            if fresh is not None:
                await triage.explain_refusal(attempt, fresh)
        elif attempt.refusal == 486 and fresh is not None:
            await triage.explain_quota(attempt, fresh)

    async def _try_other_transport(self, attempt: Attempt) -> None:
        """The other transport tells the cause, so it has its time however late the first ended."""
        least = self._clock() + (1 - STEP_SHARE) * attempt.timeout
        attempt.deadline = max(attempt.deadline, least)
        with contextlib.suppress(OutOfTime):
            await contact.try_other_transport(attempt)

    def _afresh(self, attempt: Attempt) -> Attempt:
        """The same with its whole time before it, for what comes after the URL's own steps."""
        return replace(attempt, deadline=self._clock() + self._options.timeout)

    # --- beside the URLs -----------------------------------------------------------------------

    async def _allocate_both(self, attempt: Attempt) -> None:
        async with attempt.allowance.take(1):
            await allocate.allocate_both(attempt)

    async def _compare_mappings(self) -> None:
        """Two servers at different addresses, asked from one socket, tell a symmetric NAT."""
        different = {attempt.address: attempt for attempt in self._references + self._answering}
        if len(different) > 1:
            first, second = list(different.values())[:2]
            other = (second.address, second.probe.stun_port)
            with contextlib.suppress(OutOfTime):
                await contact.compare_mappings(self._afresh(first), other)

    async def _reference(self, uri: IceUri) -> None:
        """Ask the reference over the first family that has an address of it."""
        families: tuple[Family, ...] = (4, 6)
        for family in families:
            probe = Probe(str(uri), uri, family, None, None, uri.port)
            attempt = self._attempt(probe)
            if await self._resolve(attempt):
                if await contact.ask_reference(attempt) and family == 4:
                    self._references.append(attempt)
                return

    def _start_leg(
        self, kind: str, attempt: Attempt, legs: asyncio.TaskGroup, *, relay: bool
    ) -> None:
        """Each leg runs once, on the first URL that is fit for it."""
        if kind in self._legs or (kind == "srflx" and self._options.relay_only):
            return
        self._legs.add(kind)
        legs.create_task(self._leg(kind, self._afresh(attempt), relay))

    async def _leg(self, kind: str, attempt: Attempt, relay: bool) -> None:
        leg = ice.relay_leg if kind == "relay" else ice.srflx_leg
        async with attempt.allowance.take(ice.PLACES):
            await leg(attempt, relay)
