"""Data through the relay: in from an own socket, back out to it, and between two relays.

The first finds a closed relay range; the second gives round trips and loss. Both need permissions,
and a refused permission is reported for what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Sequence
from typing import cast

from turnctl.observations import Address, Echo, Inbound, Outcome, Permission, Refresh, RelayEcho
from turnctl.probes.attempt import Attempt
from turnctl.wire import stun
from turnctl.wire.errors import ErrorResponse, Silent, WireError
from turnctl.wire.session import Allocated, Session

__all__ = ["ask_outside", "ask_public_peer", "echo", "inbound", "refresh"]

ECHO_PACKETS = 20
"""Enough for a p95, and still over in a tenth of a second."""

ECHO_INTERVAL = 0.005
"""Seconds between packets: a burst would measure queues, 20 ms as in a call the user's patience."""

ECHO_BYTES = 172
"""An RTP packet of 20 ms of G.711: header and 160 bytes."""

STRAGGLER_WAIT = 1.0
"""Seconds after the last packet before what is missing counts as lost."""

KNOCKS = 5
KNOCK_INTERVAL = 0.2
"""Five packets in a second: one lost packet on the way is no closed firewall."""

PUBLIC_PEERS = {4: ("1.1.1.1", 9), 6: ("2606:4700:4700::1111", 9)}
"""Public addresses to ask a permission for. Nothing is ever sent to them."""


async def ask_public_peer(attempt: Attempt, session: Session, granted: Allocated) -> None:
    """Whether the server lets a relay talk to the public internet at all."""
    family = 6 if ":" in granted.relayed[0] else 4
    with contextlib.suppress(WireError):
        await _permit(attempt, session, PUBLIC_PEERS[family], "public")


async def inbound(attempt: Attempt, session: Session, granted: Allocated) -> bool | None:
    """Send from an own socket to the relayed address, then a reply through the relay.

    Gives whether both arrived, None when that could not be tried. The socket's mapped address gets
    a permission first: without one the server drops the packet whatever the firewall does
    (RFC 8656 section 9).
    """
    begun = attempt.clock()
    facts = {"relayed": granted.relayed, "same_host": _same_host(session)}
    outsider = _Outsider()
    try:
        mapped = await outsider.open(attempt, granted.relayed)
        if not await _permit(attempt, session, mapped, "client"):
            detail = f"the server forbids {mapped[0]}, this machine's own address, as a peer"
            attempt.emit(Inbound, outcome=Outcome.UNKNOWN, detail=detail, **facts)
            return None
        await outsider.knock(attempt, session, granted.relayed)
    except WireError as error:
        attempt.emit(Inbound, outcome=Outcome.UNKNOWN, detail=str(error), **facts)
        return None
    finally:
        session.on_data = None
        outsider.close()
    arrived = outsider.heard > 0
    outcome = Outcome.OK if arrived else Outcome.SILENT
    detail = ""
    if not arrived and facts["same_host"]:
        outcome, detail = Outcome.UNKNOWN, "asked from the server's own host"
    attempt.emit(
        Inbound,
        **{**attempt.ending(None, begun), "outcome": outcome, "detail": detail},
        **facts,
        sent=outsider.sent,
        received=outsider.heard,
        replied=outsider.replied,
    )
    return outsider.replied


def _same_host(session: Session) -> bool:
    return session.link.local[0] == session.link.remote[0]


class _Outsider(asyncio.DatagramProtocol):
    """A socket of our own that is no part of the session: a peer on the open network."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._transaction = stun.new_transaction_id()
        self._mapped: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        self._token = secrets.token_bytes(12)
        self._done = asyncio.Event()
        self.sent = 0
        self.heard = 0
        self.replied = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data == b"reply" + self._token:
            self.replied = True
            self._done.set()
            return
        try:
            message = stun.read(data)
        except stun.Malformed:
            return
        ours = message.transaction_id == self._transaction
        if ours and message.mapped and not self._mapped.done():
            self._mapped.set_result(message.mapped)

    async def open(self, attempt: Attempt, relayed: Address) -> Address:
        """Bind, and learn the own mapped address by STUN over UDP. Raises WireError."""
        family = 6 if ":" in relayed[0] else 4
        if family != attempt.probe.family:
            raise WireError(
                f"the relay is IPv{family} and the server was reached by another family"
            )
        bind = ("::", 0) if family == 6 else ("0.0.0.0", 0)  # noqa: S104  a client's socket
        kind = socket.AF_INET6 if family == 6 else socket.AF_INET
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=bind, family=kind)
        assert self._transport is not None  # noqa: S101  made by create_datagram_endpoint
        server = (attempt.address, attempt.probe.stun_port)
        question = stun.build(
            stun.Method.BINDING, stun.Class.REQUEST, transaction_id=self._transaction
        )
        patience = attempt.patience(KNOCKS * KNOCK_INTERVAL)
        try:
            async with asyncio.timeout(patience):
                while not self._mapped.done():
                    self._transport.sendto(question, server)
                    await asyncio.wait([self._mapped], timeout=KNOCK_INTERVAL)
        except TimeoutError:
            raise WireError(
                f"STUN over UDP to {server[0]} port {server[1]} is silent, "
                "so this machine's own address is not known"
            ) from None
        return self._mapped.result()

    async def knock(self, attempt: Attempt, session: Session, relayed: Address) -> None:
        """Send to the relayed address until the reply is back or the tries are used up."""
        assert self._transport is not None  # noqa: S101  open() came first

        def at_relay(peer: Address, payload: bytes) -> None:
            if payload == b"knock" + self._token:
                self.heard += 1
                session.send_indication(peer, b"reply" + self._token)

        session.on_data = at_relay
        for _ in range(KNOCKS):
            self._transport.sendto(b"knock" + self._token, relayed)
            self.sent += 1
            try:
                async with asyncio.timeout(attempt.patience(KNOCK_INTERVAL)):
                    await self._done.wait()
                    return
            except TimeoutError:
                continue

    def close(self) -> None:
        self._mapped.cancel()
        if self._transport is not None:
            self._transport.abort()


async def _permit(attempt: Attempt, session: Session, peer: Address, purpose: str) -> bool:
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
        rtts = await _bounce(attempt, near[0], channel, far[0], back)
    except WireError as error:
        attempt.emit(Echo, **attempt.ending(error, begun))
        return False
    attempt.emit(Echo, **attempt.ending(None, begun), sent=ECHO_PACKETS, rtts_ms=tuple(rtts))
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
) -> Sequence[float]:
    """Round trips in ms, sorted; shorter than ECHO_PACKETS when some were lost."""
    sent_at: dict[bytes, float] = {}
    rtts: list[float] = []
    complete = asyncio.Event()

    def at_near(_: Address, payload: bytes) -> None:
        departed = sent_at.pop(payload, None)
        if departed is not None:
            rtts.append((attempt.clock() - departed) * 1000)
            if len(rtts) == ECHO_PACKETS:
                complete.set()

    far.on_data = lambda _, payload: far.send_channel(back, payload)
    near.on_data = at_near
    try:
        for _ in range(ECHO_PACKETS):
            payload = secrets.token_bytes(ECHO_BYTES)
            sent_at[payload] = attempt.clock()
            near.send_channel(channel, payload)
            await asyncio.sleep(ECHO_INTERVAL)
        async with asyncio.timeout(attempt.patience(STRAGGLER_WAIT)):
            await complete.wait()
    except TimeoutError:
        pass
    finally:
        near.on_data = far.on_data = None
    return sorted(rtts)


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
        if not await _permit(attempt, session, reference, "reference"):
            return
        for _ in range(KNOCKS):
            session.send_indication(reference, question)
            await asyncio.wait([answered], timeout=attempt.patience(KNOCK_INTERVAL))
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
