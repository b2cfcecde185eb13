"""Data through the relay: between two relays, and out to an independent server.

Gives round trips and loss. Both need permissions, and a refused permission is reported for what
it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence

from turnctl.observations import Address, Echo, Permission, Refresh, RelayEcho
from turnctl.probes.attempt import Attempt
from turnctl.wire import stun
from turnctl.wire.errors import ErrorResponse, Silent, WireError
from turnctl.wire.session import Allocated, Session

__all__ = ["ask_outside", "ask_public_peer", "echo", "permit", "refresh"]

ECHO_PACKETS = 20
"""Enough for a p95, and still over in a tenth of a second."""

ECHO_INTERVAL = 0.005
"""Seconds between packets: a burst would measure queues, 20 ms as in a call the user's patience."""

ECHO_BYTES = 172
"""An RTP packet of 20 ms of G.711: header and 160 bytes."""

LARGE_BYTES = 1200
"""The largest RTP packet that browsers send: a path that drops these has audio and no video."""

LARGE_EVERY = 4
"""Of so many packets one is large."""

STRAGGLER_WAIT = 1.0
"""Seconds after the last packet before what is missing counts as lost."""

QUESTIONS = 5
QUESTION_INTERVAL = 0.2
"""A second in all: the reference has answered this machine before."""

PUBLIC_PEERS = {4: ("1.1.1.1", 9), 6: ("2606:4700:4700::1111", 9)}
"""Public addresses to ask a permission for. Nothing is ever sent to them."""


async def ask_public_peer(attempt: Attempt, session: Session, granted: Allocated) -> None:
    """Whether the server lets a relay talk to the public internet at all."""
    family = 6 if ":" in granted.relayed[0] else 4
    with contextlib.suppress(WireError):
        await permit(attempt, session, PUBLIC_PEERS[family], "public")


async def permit(attempt: Attempt, session: Session, peer: Address, purpose: str) -> bool:
    """Ask a permission for the peer; whether it was given. Raises WireError: no answer."""
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
    """Packets from one relay to the other and back, each over its own channel.

    Gives whether any returned.
    """
    begun = attempt.clock()
    try:
        channel = await _bind(attempt, *near, far[1].relayed)
        back = await _bind(attempt, *far, near[1].relayed)
        if channel is None or back is None:
            return False
        rtts, large = await _bounce(attempt, near[0], channel, far[0], back)
    except WireError as error:
        attempt.emit(Echo, **attempt.ending(error, begun))
        return False
    lost = attempt.own_network_lost() if len(rtts) < ECHO_PACKETS else None
    attempt.emit(
        Echo,
        **attempt.ending(lost, begun),
        sent=ECHO_PACKETS,
        rtts_ms=tuple(rtts),
        large_sent=ECHO_PACKETS // LARGE_EVERY,
        large_received=large,
    )
    return bool(rtts)


async def _bind(
    attempt: Attempt, session: Session, granted: Allocated, peer: Address
) -> int | None:
    begun = attempt.clock()
    try:
        return await session.bind(peer, patience=attempt.patience())
    except ErrorResponse as error:
        attempt.emit(Permission, peer=peer[0], purpose="own-relay", **attempt.ending(error, begun))
        return None


async def _bounce(
    attempt: Attempt, near: Session, channel: int, far: Session, back: int
) -> tuple[Sequence[float], int]:
    """Round trips in ms, sorted, fewer than ECHO_PACKETS when some were lost; and how many large
    packets came back.
    """
    sent_at: dict[bytes, float] = {}
    rtts: list[float] = []
    large = 0
    complete = asyncio.Event()

    def at_near(_: Address, payload: bytes) -> None:
        nonlocal large
        departed = sent_at.pop(payload, None)
        if departed is not None:
            large += len(payload) == LARGE_BYTES
            rtts.append((attempt.clock() - departed) * 1000)
            if len(rtts) == ECHO_PACKETS:
                complete.set()

    far.on_data = lambda _, payload: far.send_channel(back, payload)
    near.on_data = at_near
    try:
        for number in range(1, ECHO_PACKETS + 1):
            payload = secrets.token_bytes(ECHO_BYTES if number % LARGE_EVERY else LARGE_BYTES)
            sent_at[payload] = attempt.clock()
            near.send_channel(channel, payload)
            await asyncio.sleep(ECHO_INTERVAL)
        async with asyncio.timeout(attempt.patience(STRAGGLER_WAIT)):
            await complete.wait()
    except TimeoutError:
        pass
    finally:
        near.on_data = far.on_data = None
    return sorted(rtts), large


async def ask_outside(
    attempt: Attempt, session: Session, granted: Allocated, reference: Address
) -> None:
    """STUN Binding through the relay to an independent server: where does its traffic leave?"""
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
        for _ in range(QUESTIONS):
            session.send_indication(reference, question)
            await asyncio.wait([answered], timeout=attempt.patience(QUESTION_INTERVAL))
            if answered.done():
                break
        else:
            failure = Silent("the reference does not answer through the relay")
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
