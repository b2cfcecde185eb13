"""Packets from outside: from a socket here to the relayed address, and a reply through the relay.

Only this proves that no firewall closes the relay's ports. Two relays of one server reach each
other behind the firewall.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Collection, Iterable, Iterator

from turnctl.check.probes.allocate import allocate
from turnctl.check.probes.attempt import Attempt
from turnctl.check.probes.link import opened
from turnctl.check.probes.relay import permit
from turnctl.diagnosis import relayports
from turnctl.diagnosis.observations import Inbound
from turnctl.wire.binding import BindingSocket, open_binding_socket
from turnctl.wire.errors import Silent, Stalled, WireError
from turnctl.wire.outcome import Address, Family, Outcome
from turnctl.wire.retransmission import SENDS, interval
from turnctl.wire.session import Allocated, Session

__all__ = ["knock", "ranges", "sample"]

KNOCK_SHARE = 0.3
"""Of a URL's time, the longest that SENDS packets to a closed port may take."""

ASKING_SHARE = 0.2
"""Of a URL's time, the longest that the question for our address may take."""

GUESSED_SENDS = 4
"""Packets if this machine's address is a guess: then they prove an open port, but no closed one."""

LAST_WAIT, ROUND_TRIPS = 0.2, 3
"""How long to wait after the last packet, in seconds and in round trips to the server."""

PLACES = 4
"""Allocations that a round of samples holds: half of the check's allowance."""

ROUNDS = 3
"""At most so many rounds: 14 ports with the two of one URL. In 1 of 100 checks all of them miss one
third of the range."""


async def knock(attempt: Attempt, session: Session, granted: Allocated) -> Inbound:
    """Send to the relayed address, and send a reply back through the relay.

    UNKNOWN if that can't be tried. The socket's mapped address gets a permission first: without one
    the server drops the packet, whatever the firewall does (RFC 8656 section 9).
    """
    begun = attempt.clock()
    facts = {
        "relayed": granted.relayed,
        "same_host": session.link.local[0] == session.link.remote[0],
    }
    family: Family = 6 if ":" in granted.relayed[0] else 4
    try:
        if family != attempt.probe.family:
            raise WireError(
                f"the relay is IPv{family}, and the server was reached over the other family"
            )
        async with open_binding_socket(family) as outsider:
            mapped, guessed = await _mapped(attempt, outsider, granted)
            if not await permit(attempt, session, mapped, "client"):
                raise WireError(
                    f"the server forbids {mapped[0]} as a peer, which is this machine's address"
                )
            sent, received, replied, aside = await _knock(
                attempt, session, outsider, granted.relayed, GUESSED_SENDS if guessed else SENDS
            )
            if guessed and not received:
                raise WireError(guessed)
    except WireError as error:
        return attempt.emit(Inbound, **attempt.ending(error, begun), **facts)
    finally:
        session.on_data = None
    failure: WireError | None = None
    if not received:
        failure = Silent(f"{sent} packets sent, none came")
        if facts["same_host"]:
            failure = WireError("asked from the server's own host")
    return attempt.emit(
        Inbound,
        **attempt.ending(failure, begun),
        **facts,
        sent=sent,
        received=received,
        replied=replied,
        elsewhere=(attempt.address, granted.relayed[1]) if aside and not received else None,
    )


async def _mapped(
    attempt: Attempt, outsider: BindingSocket, granted: Allocated
) -> tuple[Address, str]:
    """The socket's mapped address, and why it is a guess ("" if it isn't). Raises WireError.

    Usually STUN over UDP gives it. If the server answers only TURN, the allocation gives it, since
    a permission is for all ports of an address. If UDP to the server is silent, the URL's own
    transport gives it, but it may be another one over UDP: then silence proves no firewall.
    """
    server = (attempt.address, attempt.probe.stun_port)
    if attempt.mapped is None:
        if attempt.probe.protocol == "udp" and granted.mapped is not None:
            return granted.mapped, ""
        raise WireError(
            f"STUN to {server[0]} gives no address, so this machine's address is unknown"
        )
    try:
        patience = attempt.patience(ASKING_SHARE * attempt.timeout)
        reply = await outsider.ask(server, patience=patience)
    except Silent:
        return attempt.mapped, (
            f"STUN over UDP to {server[0]} port {server[1]} is silent, "
            "so this machine's address is unknown"
        )
    if reply.mapped is None:
        raise WireError("STUN answers without a mapped address")
    return reply.mapped, ""


async def _knock(
    attempt: Attempt, session: Session, outsider: BindingSocket, relayed: Address, sends: int
) -> tuple[int, int, bool, bool]:
    """Packets sent; packets that reached the relay; whether a reply came back; and whether a packet
    arrived that was sent to the relay's port at the server's own address. If only that one did, the
    address that the server gives out is wrong.

    Any packet may get lost. The packet is sent again until the relay has one, then the reply until
    the socket here has it.
    """
    token = secrets.token_bytes(12)
    progress = asyncio.Event()
    replied = aside = False
    sent = received = 0
    peer: Address | None = None

    def at_relay(origin: Address, payload: bytes) -> None:
        nonlocal received, aside, peer
        aside |= payload == b"aside" + token
        if payload == b"knock" + token:
            received, peer = received + 1, origin
            session.send_indication(origin, b"reply" + token)

    def at_outsider(payload: bytes) -> None:
        nonlocal replied
        if payload == b"reply" + token:
            replied = True
            progress.set()

    async def wait(seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(attempt.patience(seconds)):
                await progress.wait()

    async def knock() -> None:
        nonlocal sent
        for _ in range(sends):
            if peer is None:
                outsider.send(b"knock" + token, relayed)
                sent += 1
                if sent > 1 and attempt.address != relayed[0]:
                    outsider.send(b"aside" + token, (attempt.address, relayed[1]))
            else:
                session.send_indication(peer, b"reply" + token)
            await wait(pause)
            if replied:
                return
        await wait(max(LAST_WAIT, ROUND_TRIPS * attempt.round_trip))

    pause = interval(KNOCK_SHARE * attempt.timeout)
    session.on_data, outsider.on_data = at_relay, at_outsider
    await knock()
    if attempt.probe.protocol != "udp" and sends == SENDS and not replied:
        # On a stalled stream packets come late, but before the next answer on it.
        if not await session.flows(patience=attempt.patience()):
            raise Stalled("the connection to the server loses packets and stalls")
        if peer is not None:
            await knock()
    return sent, received, replied, aside


def ranges(
    knocked: Iterable[tuple[Attempt, Inbound]],
) -> Iterator[tuple[Attempt, set[int]]]:
    """For each relay address, the attempt to sample it with and the ports that were tried."""
    addresses: dict[str, list[tuple[Attempt, int]]] = {}
    for attempt, made in knocked:
        address, port = made.relayed
        addresses.setdefault(address, []).append((attempt, port))
    for here in addresses.values():
        # UDP takes the fewest round trips.
        attempt = min((one for one, _ in here), key=lambda one: one.probe.protocol != "udp")
        yield attempt, {port for _, port in here}


async def sample(attempt: Attempt, seen: Collection[int]) -> None:
    """Allocate and knock again, until low, middle and high ports were tried.

    `seen` are the ports that were tried before. After a round in which a packet was lost it stops.
    """
    ports = set(seen)
    for _ in range(ROUNDS):
        async with attempt.allowance.take(PLACES):
            tried = await asyncio.gather(*(_sample(attempt) for _ in range(PLACES)))
        proved = [one for one in tried if one is not None and one.outcome is Outcome.OK]
        ports |= {one.relayed[1] for one in proved}
        if len(proved) < PLACES or all(relayports.thirds(ports)):
            return


async def _sample(attempt: Attempt) -> Inbound | None:
    """Allocate, knock and release; None without an allocation."""
    try:
        async with opened(attempt, attempt.login()) as session:
            granted = await allocate(attempt, session, "sample")
            return await knock(attempt, session, granted) if granted else None
    except WireError:
        return None
