"""Checks one URL over one family: resolve, connect, STUN, allocate, and data through the relay."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass

from turnctl.check.probes import allocate, alpn, contact, inbound, policy, relay, triage
from turnctl.check.probes.attempt import STEP_SHARE, Attempt, OutOfTime
from turnctl.check.probes.link import opened
from turnctl.check.shared import Shared
from turnctl.diagnosis.observations import Echo, Inbound, Resolution
from turnctl.diagnosis.plan import Probe
from turnctl.wire.errors import WireError
from turnctl.wire.outcome import Family, Outcome
from turnctl.wire.resolve import ResolutionFailed, resolve
from turnctl.wire.session import Allocated, Session

__all__ = ["Result", "check_url", "find_address"]

SILENCE_SHARE = 0.4
"""Of a URL's time: after so long without an answer to STUN, TURN is asked at the same time."""

PLACES_A_URL = 2
"""Allocations that a URL holds at once: its own, and the partner's for the echo."""


@dataclass(frozen=True, slots=True)
class Result:
    """How far one attempt came.

    `carried` says whether data went through the relay; `inbound` has the relay ports that were
    tried from outside, as far as that proves anything.
    """

    attempt: Attempt
    carried: bool = False
    inbound: tuple[Inbound, ...] = ()

    @property
    def mapped_udp4(self) -> bool:
        """Whether the server answered STUN over UDP and IPv4, with an address."""
        probe = self.attempt.probe
        return bool(self.attempt.mapped) and probe.protocol == "udp" and probe.family == 4


async def check_url(shared: Shared, probe: Probe) -> Result:
    """All steps of one URL over one family. Whatever happens, its sessions are closed."""
    attempt = shared.attempt(probe)
    result = Result(attempt)
    if not await find_address(attempt):
        return result
    try:
        # The stack is outermost: the session releases its allocation before its places are free.
        async with (
            AsyncExitStack() as places,
            opened(attempt, attempt.login(), report=True) as session,
        ):
            challenged = await _greet(attempt, session)
            if shared.options.audit and probe.protocol == "udp":
                await policy.measure_amplification(attempt, session)
            if challenged and probe.uri.relays:
                await _take_places(attempt, places)
                result = await _relay(shared, attempt, session)
    except WireError as error:
        unreached = not (attempt.connected or attempt.answered)
        if unreached and error.outcome in {Outcome.SILENT, Outcome.REFUSED}:
            await _try_other_transport(attempt)
    return result


async def find_address(attempt: Attempt) -> bool:
    """Give the attempt its server's address; False if the name has none of this family."""
    host, begun = attempt.probe.uri.host, attempt.clock()
    try:
        found = await resolve(host, attempt.probe.family, patience=attempt.patience())
    except ResolutionFailed as error:
        attempt.emit(Resolution, host=host, **attempt.ending(error, begun))
        return False
    attempt.emit(Resolution, host=host, addresses=found, **attempt.ending(None, begun))
    attempt.address = found[0] if found else ""
    return bool(found)


async def _greet(attempt: Attempt, session: Session) -> bool:
    """Ask STUN, then TURN; True if TURN asked for credentials, as it must.

    If STUN stays silent, TURN is asked at the same time: a relay may answer only TURN (coturn's
    `no-stun`), and a URL for STUN has to find that out without another URL's help.
    Raises WireError if nothing answers.
    """
    relays, pause = attempt.probe.uri.relays, SILENCE_SHARE * attempt.timeout
    binding = asyncio.ensure_future(contact.bind(attempt, session))
    try:
        await asyncio.wait([binding], timeout=pause)
        if binding.done():
            binding.result()  # raises the error that ended it
            return relays and await allocate.challenge(attempt, session)
        # Both end together, and leave enough time to try the other transport.
        beside = allocate.challenge(attempt, session, STEP_SHARE * attempt.timeout - pause)
        challenged, bound = await asyncio.gather(beside, binding, return_exceptions=True)
        if isinstance(challenged, BaseException):
            raise challenged
        if isinstance(bound, WireError):  # the wait for STUN doesn't count as TURN's time
            attempt.deadline += STEP_SHARE * attempt.timeout
        return challenged
    finally:
        binding.cancel()


async def _take_places(attempt: Attempt, places: AsyncExitStack) -> None:
    """The wait for other URLs' allocations doesn't count as this URL's time."""
    waiting = attempt.clock()
    await places.enter_async_context(attempt.allowance.take(PLACES_A_URL))
    attempt.deadline += attempt.clock() - waiting


async def _relay(shared: Shared, attempt: Attempt, session: Session) -> Result:
    """Allocate, and send data through the relay in both ways: from outside and from a partner."""
    granted = await _allocate(shared, attempt, session)
    if granted is None:
        return Result(attempt)
    await relay.ask_public_peer(attempt, session, granted)
    if shared.options.audit:
        await policy.ask_forbidden_peers(attempt, session, granted)
    await _ask_outside(shared, attempt, session, granted)
    async with asyncio.TaskGroup() as beside:
        knock = beside.create_task(inbound.knock(attempt, session, granted))
        # Beside the rest: if closed ports swallow packets, the refresh still has its time.
        beside.create_task(relay.refresh(attempt, session))
        echoed, second = await _echo(shared, attempt, (session, granted), knock)
    knocks = [one for one in (knock.result(), second) if one is not None]
    return Result(
        attempt,
        carried=echoed or any(one.replied for one in knocks),
        inbound=tuple(one for one in knocks if _is_proof(one)),
    )


async def _allocate(shared: Shared, attempt: Attempt, session: Session) -> Allocated | None:
    """The allocation, with the experiments that need none; None if the server refused it."""
    others = [allocate.try_wrong_credential(attempt)]
    if attempt.probe.protocol == "tls":
        others.append(alpn.offer(attempt))
    if attempt.probe.family == 6:
        others.append(allocate.leave_family_out(attempt))
    granted, *_ = await asyncio.gather(allocate.allocate(attempt, session), *others)
    if granted is None:
        await _explain(shared, attempt)
        return None
    attempt.relayed = granted.relayed
    attempt.candidate("relay", granted.relayed, granted.relayed[0], attempt.probe.protocol)
    return granted


async def _echo(
    shared: Shared,
    attempt: Attempt,
    near: tuple[Session, Allocated],
    knock: asyncio.Task[Inbound],
) -> tuple[bool, Inbound | None]:
    """Packets between this relay and a partner's: whether any returned, and the knock at the
    partner's port, which is a second sample of the port range.

    The echo begins when both knocks are over.
    """
    begun = attempt.clock()
    second: Inbound | None = None
    try:
        async with opened(attempt, attempt.login()) as partner:
            other = await allocate.allocate(attempt, partner, "b")
            if other is None:
                await _explain(shared, attempt)
                return False, None
            second, _ = await asyncio.gather(inbound.knock(attempt, partner, other), knock)
            return await relay.echo(attempt, near, (partner, other)), second
    except WireError as error:
        attempt.emit(Echo, **attempt.ending(error, begun))
        return False, second


def _is_proof(knock: Inbound) -> bool:
    """Whether it proves that the port is open or closed to other machines."""
    return knock.outcome in {Outcome.OK, Outcome.SILENT} and not knock.same_host


async def _ask_outside(
    shared: Shared, attempt: Attempt, session: Session, granted: Allocated
) -> None:
    """Let the reference, if there is one, see the relay from outside over the relay's family."""
    reference = shared.options.reference
    if reference is None:
        return
    family: Family = 6 if ":" in granted.relayed[0] else 4
    with contextlib.suppress(ResolutionFailed, OutOfTime):
        found = await resolve(reference.host, family, patience=attempt.patience())
        if found:
            await relay.ask_outside(attempt, session, granted, (found[0], reference.port))


async def _explain(shared: Shared, attempt: Attempt) -> None:
    """After a refused allocation: experiments that find the cause."""
    source = shared.credentials.get(attempt.probe.username or "")
    if attempt.refusal == 401:
        await triage.compare_servers(attempt)
        if source is not None:
            await triage.explain_refusal(attempt, source)
    elif attempt.refusal == 486 and source is not None:
        await triage.explain_quota(attempt, source)


async def _try_other_transport(attempt: Attempt) -> None:
    """The other transport shows the cause, so it has its time however late the first one ended."""
    least = attempt.clock() + (1 - STEP_SHARE) * attempt.timeout
    attempt.deadline = max(attempt.deadline, least)
    with contextlib.suppress(OutOfTime):
        await contact.try_other_transport(attempt)
