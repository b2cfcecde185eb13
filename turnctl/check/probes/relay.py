"""Data through the relay: between two relays, and out to an independent server.

Both need permissions. If the server refuses one, that is an observation of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from turnctl.check.probes.attempt import Attempt
from turnctl.diagnosis.observations import Echo, Permission, Refresh, RelayEcho
from turnctl.wire import stun
from turnctl.wire.errors import ErrorResponse, Silent, WireError
from turnctl.wire.outcome import Address
from turnctl.wire.retransmission import SENDS, interval
from turnctl.wire.session import Allocated, Session

__all__ = ["ask_outside", "ask_public_peer", "echo", "permit", "refresh"]

ECHO_PACKETS = 40
"""Enough for a p95 within a tenth of a second. Each packet crosses the network to the server four
times: with 5 % lost each way, 1 - 0.95⁴ = 19 % don't return. All of 20 packets would still return
in one check of sixty; all of 40 do in one of 4000."""

ECHO_INTERVAL = 0.0025
"""Seconds between packets. A burst would measure queues; a call's 20 ms would take too long."""

MORE_PACKETS = 160
"""Sent over UDP if some of the first didn't return (over TCP they are only late). With 200 in all,
the measured loss is within 7 percentage points of the true one in 19 of 20 checks."""

MORE_INTERVAL = 0.005

FEWEST_MORE = 20
"""If there is time for fewer than these, the first ones have to do."""

ECHO_BYTES = 172
"""An RTP packet of 20 ms of G.711: header and 160 bytes."""

LARGE_BYTES = 1200
"""The largest RTP packet that browsers send: a path that drops these carries audio but no video."""

LARGE_EVERY = 4
"""Every fourth packet is large."""

STRAGGLER_WAIT = 1.0
"""Seconds after the last packet before missing ones count as lost, if none returned."""

STRAGGLER_FACTOR, SHORTEST_WAIT = 4, 0.25
"""The same if some returned: a multiple of the slowest round trip, and at least so many seconds."""

STREAM_SHARE = 0.15
"""The same over TCP, as a share of a URL's time: nothing is lost there, only late."""

QUESTIONS_SHARE = 0.15
"""Of a URL's time, for a question through the relay: the reference has answered this machine
before."""

FORBIDDEN = 403
"""The peer isn't allowed (RFC 8656 sections 10.2 and 12.2)."""

PUBLIC_PEERS = {4: ("1.1.1.1", 9), 6: ("2606:4700:4700::1111", 9)}
"""Public addresses to ask for a permission for. Nothing is ever sent to them."""


async def ask_public_peer(attempt: Attempt, session: Session, granted: Allocated) -> None:
    """Ask for a permission for a public address: does the server let relays send there at all?"""
    family = 6 if ":" in granted.relayed[0] else 4
    with contextlib.suppress(WireError):
        await permit(attempt, session, PUBLIC_PEERS[family], "public")


async def permit(attempt: Attempt, session: Session, peer: Address, purpose: str) -> bool:
    """Ask for a permission for the peer; True if it is given. Raises WireError if unanswered."""
    begun = attempt.clock()
    try:
        await session.permit(peer, patience=attempt.patience())
    except ErrorResponse as error:
        attempt.emit(Permission, peer=peer[0], purpose=purpose, **attempt.ending(error, begun))
        return False
    attempt.emit(Permission, peer=peer[0], purpose=purpose, **attempt.ending(None, begun))
    return True


async def echo(
    attempt: Attempt, near: tuple[Session, Allocated], far: tuple[Session, Allocated]
) -> bool:
    """Send packets from one relay to the other and back, each over its own channel.

    True if any returned.
    """
    begun = attempt.clock()
    try:
        channel = await _bind(attempt, near[0], far[1].relayed)
        back = await _bind(attempt, far[0], near[1].relayed)
        if channel is None or back is None:
            return False
        bounced = await _bounce(attempt, near[0], channel, far[0], back)
    except WireError as error:
        attempt.emit(Echo, **attempt.ending(error, begun))
        return False
    lost = attempt.own_network_lost() if bounced.lost else None
    attempt.emit(
        Echo,
        **attempt.ending(lost, begun),
        sent=bounced.sent,
        rtts_ms=tuple(sorted(bounced.rtts)),
        large_sent=bounced.large_sent,
        large_received=bounced.large_received,
    )
    return bool(bounced.rtts)


async def _bind(attempt: Attempt, session: Session, peer: Address) -> int | None:
    """The channel's number; None if the server forbids the peer. Raises WireError."""
    begun = attempt.clock()
    try:
        return await session.bind(peer, patience=attempt.patience())
    except ErrorResponse as error:
        if error.code != FORBIDDEN:
            raise  # such as a lost allocation (437), which isn't about the peer
        attempt.emit(Permission, peer=peer[0], purpose="own-relay", **attempt.ending(error, begun))
        return None


@dataclass(slots=True)
class _Bounced:
    """Packets so far; `rtts` in ms."""

    sent: int = 0
    rtts: list[float] = field(default_factory=list)
    large_sent: int = 0
    large_received: int = 0

    @property
    def lost(self) -> int:
        return self.sent - len(self.rtts)

    @property
    def wants_more(self) -> bool:
        """Whether packets were lost at random: not all of them, and not just the large ones."""
        large = self.large_sent - self.large_received
        alone = large == self.lost and not self.large_received
        return bool(self.rtts) and self.lost > 0 and not alone


async def _bounce(
    attempt: Attempt, near: Session, channel: int, far: Session, back: int
) -> _Bounced:
    """Packets there and back, and more of them if some were lost and there is time."""
    bounced = _Bounced()
    sent_at: dict[bytes, float] = {}
    complete = asyncio.Event()

    def at_near(_: Address, payload: bytes) -> None:
        departed = sent_at.pop(payload, None)
        if departed is not None:
            bounced.large_received += len(payload) == LARGE_BYTES
            bounced.rtts.append((attempt.clock() - departed) * 1000)
            if not bounced.lost:
                complete.set()

    async def send(packets: int, interval: float) -> None:
        complete.clear()
        for number in range(1, packets + 1):
            size = ECHO_BYTES if number % LARGE_EVERY else LARGE_BYTES
            payload = secrets.token_bytes(size)
            sent_at[payload] = attempt.clock()
            bounced.sent += 1
            bounced.large_sent += size == LARGE_BYTES
            near.send_channel(channel, payload)
            await asyncio.sleep(interval)
        if not bounced.lost:
            return
        complete.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(attempt.patience(_straggling(attempt, bounced.rtts))):
                await complete.wait()

    far.on_data = lambda _, payload: far.send_channel(back, payload)
    near.on_data = at_near
    try:
        await send(ECHO_PACKETS, ECHO_INTERVAL)
        if bounced.wants_more and attempt.probe.protocol == "udp":
            # Half of the rest is for the steps that follow.
            time = (attempt.deadline - attempt.clock()) / 2 - _straggling(attempt, bounced.rtts)
            more = min(MORE_PACKETS, int(time / MORE_INTERVAL))
            if more >= FEWEST_MORE:
                await send(more, MORE_INTERVAL)
    finally:
        near.on_data = far.on_data = None
    return bounced


def _straggling(attempt: Attempt, rtts: Sequence[float]) -> float:
    """Seconds that missing packets may still take."""
    if attempt.probe.protocol != "udp":
        return max(STRAGGLER_WAIT, STREAM_SHARE * attempt.timeout)
    if not rtts:
        return STRAGGLER_WAIT
    return min(STRAGGLER_WAIT, max(SHORTEST_WAIT, STRAGGLER_FACTOR * max(rtts) / 1000))


async def ask_outside(
    attempt: Attempt, session: Session, granted: Allocated, reference: Address
) -> None:
    """STUN Binding through the relay to an independent server: from which address does it send?"""
    begun = attempt.clock()
    answered: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
    transaction = stun.new_transaction_id()

    def at_relay(_: Address, payload: bytes) -> None:
        with contextlib.suppress(stun.Malformed):
            answer = stun.read(payload)
            if answer.transaction_id == transaction and answer.mapped and not answered.done():
                answered.set_result(answer.mapped)

    question = stun.build(stun.Method.BINDING, stun.Class.REQUEST, transaction_id=transaction)
    session.on_data = at_relay
    failure: WireError | None = None
    try:
        if not await permit(attempt, session, reference, "reference"):
            return
        pause = interval(QUESTIONS_SHARE * attempt.timeout)
        for _ in range(SENDS):
            session.send_indication(reference, question)
            await asyncio.wait([answered], timeout=attempt.patience(pause))
            if answered.done():
                break
        else:
            failure = Silent("the reference doesn't answer through the relay")
    except WireError as error:
        failure = error
    finally:
        session.on_data = None
        seen = answered.result() if answered.done() else None
        answered.cancel()
    attempt.emit(RelayEcho, relayed=granted.relayed, seen=seen, **attempt.ending(failure, begun))


async def refresh(attempt: Attempt, session: Session) -> None:
    """Refresh as a call would after a few minutes."""
    begun = attempt.clock()
    try:
        lifetime = await session.refresh(patience=attempt.patience())
    except WireError as error:
        attempt.emit(Refresh, **attempt.ending(error, begun))
    else:
        attempt.emit(Refresh, **attempt.ending(None, begun), lifetime=lifetime)
