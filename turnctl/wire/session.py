"""A client's session with one TURN server over one link (RFC 8656), built for diagnosis.

Owns transactions, the long-term credential (RFC 8489 section 9.2) and the allocation. Every request
has its own patience and ends in an answer or a `WireError` that says what was seen instead. What
was allocated is released by `close`, whatever happened before: that rule must not be broken.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from aioice.turn import make_integrity_key

from turnctl.wire import stun
from turnctl.wire.datagram import DatagramLink, HopLimits
from turnctl.wire.errors import Elsewhere, ErrorResponse, NotStun, Silent, Stalled, WireError
from turnctl.wire.links import Link
from turnctl.wire.outcome import Address
from turnctl.wire.retransmission import pauses
from turnctl.wire.stun import Attribute, Class, Message, Method

__all__ = ["Allocated", "Login", "Session"]

NONCE_ROUNDS = 3
"""How often a stale nonce (438) is answered with a new try before it is taken for a loop."""

STALL_PATIENCE = 3.0
"""Seconds to find out whether a stream that was silent is held up; it may recover meanwhile."""

REMEMBERED = 64
"""Transactions that are over, of which a late or second answer is no stray packet."""

STRAY_LIMIT = 256 * 1024
"""Bytes that may arrive without belonging to anything before the peer is no TURN server."""

ASTRAY_GRACE = 0.5
"""Seconds in which an answer that came from another address may still come from the right one."""

DEFAULT_LIFETIME = 600
"""Seconds; what RFC 8656 section 3.2 and every browser ask for."""

KNOWN = {Method.ALLOCATE: {437, 441}, Method.REFRESH: {441}}
"""Errors that, where there is no allocation of ours, may come of a port that the server still knows
from whoever had it before. A Refresh gets 437 from a port that it does not know."""

PORTS = 3
"""How many are tried then (RFC 8656 section 7.4)."""

RELEASE_PATIENCE = 0.4
"""Seconds for the farewell: Ctrl-C has to end within one."""

UDP_TRANSPORT = b"\x11\x00\x00\x00"
FAMILY_CODE = {4: b"\x01\x00\x00\x00", 6: b"\x02\x00\x00\x00"}
FIRST_CHANNEL = 0x4000

Attributes = Iterable[tuple[Attribute, bytes]]


@dataclass(frozen=True, slots=True)
class Login:
    """A TURN user and password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Allocated:
    """A granted allocation; `lifetime` in seconds."""

    relayed: Address
    mapped: Address | None
    lifetime: int


class Session:
    """One 5-tuple, or another while the server has the first one in use. Call `dial`, or `attach`
    with a link, before anything else."""

    def __init__(
        self, login: Login | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._login = login
        self._clock = clock
        self._link: Link | None = None
        self._lost: WireError | None = None
        self._waiting: dict[bytes, asyncio.Future[Message]] = {}
        self._over: deque[bytes] = deque(maxlen=REMEMBERED)
        """Transaction ids: what was sent more than once may be answered more than once."""
        self._strays = 0
        self._stray_bytes = 0
        self._sample = b""
        self._realm: str | None = None
        self._nonce: bytes = b""
        self._key: bytes | None = None
        self._channels: dict[int, Address] = {}
        self._unsettled = False
        """Whether an Allocate is on its way: the server may have granted it already."""
        self.allocated = False
        self._open: Callable[[], Awaitable[Link]] | None = None
        self.on_data: Callable[[Address, bytes], None] | None = None

    # --- the link's side -----------------------------------------------------------------------

    def attach(self, link: Link) -> None:
        self._link = link

    async def dial(self, open_link: Callable[[], Awaitable[Link]]) -> None:
        """Attach the link that `open_link` opens, and another one from another port of ours when
        the server still knows the first. Raises what it raises.
        """
        self._open = open_link
        self.attach(await open_link())

    @property
    def link(self) -> Link:
        if self._link is None:
            raise RuntimeError("the session has no link yet")
        return self._link

    @property
    def hops(self) -> HopLimits | None:
        """TTL or hop limit of what came over UDP, None before anything did."""
        return self._link.hops if isinstance(self._link, DatagramLink) else None

    @property
    def resent(self) -> int:
        """Segments that TCP has sent again, where the system tells."""
        return self._link.retransmitted if self._link is not None else 0

    @property
    def ended(self) -> bool:
        """Whether the link is lost, or was given up."""
        return self._lost is not None

    def frame(self, data: bytes) -> None:
        if data and data[0] & 0xC0 == 0x40:
            self._channel_data(data)
            return
        try:
            message = stun.read(data)
        except stun.Malformed:
            self._stray(data)
            return
        waiter = self._waiting.get(message.transaction_id)
        if message.cls in (Class.SUCCESS, Class.ERROR) and waiter and not waiter.done():
            waiter.set_result(message)
        elif message.cls is Class.INDICATION and message.method == Method.DATA:
            peer = message.address(Attribute.XOR_PEER_ADDRESS)
            payload = message.get(Attribute.DATA)
            if peer and payload is not None and self.on_data:
                self.on_data(peer, payload)
        elif waiter is None and message.transaction_id not in self._over:
            self._stray(data)

    def astray(self, data: bytes, source: Address) -> None:
        """A datagram from another address than the server's: of interest when it answers us."""
        try:
            message = stun.read(data)
        except stun.Malformed:
            return
        waiter = self._waiting.get(message.transaction_id)
        if message.cls in (Class.SUCCESS, Class.ERROR) and waiter is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(ASTRAY_GRACE, _end, waiter, Elsewhere(source))

    def _channel_data(self, data: bytes) -> None:
        peer = self._channels.get(int.from_bytes(data[:2], "big"))
        length = int.from_bytes(data[2:4], "big")
        if peer is None or len(data) < 4 + length:
            self._stray(data)
        elif self.on_data:
            self.on_data(peer, data[4 : 4 + length])

    def _stray(self, data: bytes) -> None:
        self._strays += 1
        self._stray_bytes += len(data)
        self._sample = self._sample or data[:64]
        if self._stray_bytes > STRAY_LIMIT:
            self.lost(NotStun("the server sends without end and answers nothing", self._sample))
            self.link.abort()

    def lost(self, error: WireError) -> None:
        if self._lost is None:
            self._lost = error
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(self._lost)

    # --- transactions --------------------------------------------------------------------------

    async def request(
        self,
        method: Method,
        attributes: Callable[[bytes], Attributes] = lambda _: (),
        *,
        patience: float,
        authenticate: bool = True,
    ) -> Message:
        """One request and its success response.

        A first 401 teaches realm and nonce, a 438 a new nonce. Raises WireError.
        """
        deadline = self._clock() + patience
        for _ in range(PORTS - 1):
            try:
                return await self._request(method, attributes, deadline, authenticate)
            except ErrorResponse as error:
                known = error.code in KNOWN.get(method, ()) and not self.allocated
                if self._open is None or not known:
                    raise
            before = self.link
            self.attach(await self._open())
            before.abort()
            self._key = None  # the nonce was that port's
        return await self._request(method, attributes, deadline, authenticate)

    async def _request(
        self,
        method: Method,
        attributes: Callable[[bytes], Attributes],
        deadline: float,
        authenticate: bool,
    ) -> Message:
        """From one port."""
        for _ in range(1 + NONCE_ROUNDS):
            key = self._key if authenticate else None
            response = await self._exchange(method, attributes, key, deadline - self._clock())
            if response.cls is Class.SUCCESS:
                if key is not None and not response.signed_by(key):
                    raise NotStun("a success response is not signed with the credential's key")
                return response
            error = ErrorResponse(response)
            learned = self._learn(response)
            if authenticate and learned and (error.code == 438 or (error.code == 401 and not key)):
                continue
            raise error
        raise error

    def _learn(self, response: Message) -> bool:
        """Take realm and nonce from a 401 or 438; False when there is nothing to go on with."""
        nonce = response.get(Attribute.NONCE)
        realm = response.text(Attribute.REALM)
        if nonce is None or self._login is None or (realm is None and self._realm is None):
            return False
        self._nonce = nonce
        self._realm = realm if realm is not None else self._realm
        self._key = make_integrity_key(
            self._login.username, self._realm or "", self._login.password
        )
        return True

    async def _exchange(
        self,
        method: Method,
        attributes: Callable[[bytes], Attributes],
        key: bytes | None,
        patience: float,
    ) -> Message:
        if self._lost is not None:
            raise self._lost
        transaction_id = stun.new_transaction_id()
        parts = list(attributes(transaction_id))
        if key is not None and self._login is not None:
            parts += [
                (Attribute.USERNAME, self._login.username.encode()),
                (Attribute.REALM, (self._realm or "").encode()),
                (Attribute.NONCE, self._nonce),
            ]
        data = stun.build(method, Class.REQUEST, parts, transaction_id=transaction_id, key=key)
        waiter: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[transaction_id] = waiter
        strays = self._strays
        resender = asyncio.ensure_future(self._transmit(data, patience))
        try:
            async with asyncio.timeout(max(0.0, patience)):
                return await asyncio.shield(waiter)
        except TimeoutError:
            if waiter.done():  # it came in time, while this process stood still
                return waiter.result()
            if self._strays > strays:
                raise NotStun(
                    f"{self._strays - strays} packets came, none an answer to our transaction",
                    self._sample,
                ) from None
            if self.link.unfinished:
                raise NotStun(
                    f"the answer broke off after {self.link.unfinished} bytes of a message"
                ) from None
            stalls = await self._stalls(method)
            if waiter.done():  # it came while the connection recovered
                return waiter.result()
            if stalls:
                raise Stalled(
                    f"no answer in {patience:.1f} s, {self.link.retransmitted} segments sent again"
                ) from None
            raise Silent(f"no answer in {patience:.1f} s") from None
        finally:
            resender.cancel()
            del self._waiting[transaction_id]
            self._over.append(transaction_id)

    async def _stalls(self, method: Method) -> bool:
        """Whether a stream is held up by lost packets, so that silence says nothing of the server.

        After a few losses in a row the kernel waits for seconds before it sends again. A stream
        keeps its order: an answer to what is asked now shows that nothing is held up.
        """
        if not self.link.retransmitted:
            return False
        return method == Method.BINDING or not await self.flows(patience=STALL_PATIENCE)

    async def flows(self, *, patience: float) -> bool:
        """Whether a Binding is answered now: all that was sent over a stream before has arrived."""
        try:
            await self.binding(patience=patience)
        except ErrorResponse:
            return True
        except WireError:
            return False
        return True

    async def _transmit(self, data: bytes, patience: float) -> None:
        """Send, and over UDP again until somebody cancels this."""
        self.link.send(data)
        for pause in pauses(patience) if self.link.protocol == "udp" else ():
            await asyncio.sleep(pause)
            self.link.send(data)

    # --- STUN and TURN methods -----------------------------------------------------------------

    async def binding(self, *, patience: float) -> Message:
        """STUN Binding (RFC 8489 section 3)."""
        return await self.request(Method.BINDING, patience=patience, authenticate=False)

    async def challenge(self, *, patience: float) -> Message:
        """Allocate without credentials. A right server raises ErrorResponse 401.

        When it grants the allocation instead, `close` releases that.
        """
        try:
            return await self._allocate((), patience, authenticate=False)
        except ErrorResponse as error:
            if error.code == 401:
                self._learn(error.response)
            raise

    async def allocate(self, *, patience: float, family: int | None = None) -> Allocated:
        """Allocate (RFC 8656 section 7); `family` 4 or 6 asks for a relay of that family."""
        wanted = [(Attribute.REQUESTED_ADDRESS_FAMILY, FAMILY_CODE[family])] if family else []
        response = await self._allocate(wanted, patience)
        relayed = response.address(Attribute.XOR_RELAYED_ADDRESS)
        if relayed is None:
            raise NotStun("the Allocate success response lacks XOR-RELAYED-ADDRESS")
        lifetime = response.number(Attribute.LIFETIME)
        if lifetime is None:
            raise NotStun("the Allocate success response lacks LIFETIME")
        return Allocated(relayed, response.mapped, lifetime)

    async def allocate_both(self, *, patience: float) -> Message:
        """Allocate with ADDITIONAL-ADDRESS-FAMILY: IPv4 and IPv6 at once (RFC 8656 section 7.1)."""
        wanted = [(Attribute.ADDITIONAL_ADDRESS_FAMILY, FAMILY_CODE[6])]
        return await self._allocate(wanted, patience)

    async def _allocate(
        self, wanted: Attributes, patience: float, *, authenticate: bool = True
    ) -> Message:
        attributes = [
            (Attribute.REQUESTED_TRANSPORT, UDP_TRANSPORT),
            (Attribute.LIFETIME, DEFAULT_LIFETIME.to_bytes(4, "big")),
            *wanted,
        ]
        self._unsettled = True
        try:
            response = await self.request(
                Method.ALLOCATE,
                lambda _: attributes,
                patience=patience,
                authenticate=authenticate,
            )
        except ErrorResponse:
            self._unsettled = False
            raise
        self._unsettled, self.allocated = False, True
        return response

    async def refresh(self, lifetime: int = DEFAULT_LIFETIME, *, patience: float) -> int | None:
        """Refresh; the granted lifetime in seconds. 0 releases (RFC 8656 section 8)."""
        response = await self.request(
            Method.REFRESH,
            lambda _: [(Attribute.LIFETIME, lifetime.to_bytes(4, "big"))],
            patience=patience,
        )
        if lifetime == 0:
            self.allocated = False
        return response.number(Attribute.LIFETIME)

    async def permit(self, peer: Address, *, patience: float) -> None:
        """CreatePermission for a peer's address (RFC 8656 section 10)."""
        await self.request(
            Method.CREATE_PERMISSION,
            lambda tid: [(Attribute.XOR_PEER_ADDRESS, stun.xor_address(peer, tid))],
            patience=patience,
        )

    async def bind(self, peer: Address, *, patience: float) -> int:
        """ChannelBind (RFC 8656 section 12); the channel's number."""
        channel = FIRST_CHANNEL + len(self._channels)
        await self.request(
            Method.CHANNEL_BIND,
            lambda tid: [
                (Attribute.CHANNEL_NUMBER, channel.to_bytes(2, "big") + bytes(2)),
                (Attribute.XOR_PEER_ADDRESS, stun.xor_address(peer, tid)),
            ],
            patience=patience,
        )
        self._channels[channel] = peer
        return channel

    def send_channel(self, channel: int, payload: bytes) -> None:
        """ChannelData (RFC 8656 section 12.4)."""
        self.link.send(channel.to_bytes(2, "big") + len(payload).to_bytes(2, "big") + payload)

    def send_indication(self, peer: Address, payload: bytes) -> None:
        """Send indication (RFC 8656 section 11.1)."""
        transaction_id = stun.new_transaction_id()
        parts = [
            (Attribute.XOR_PEER_ADDRESS, stun.xor_address(peer, transaction_id)),
            (Attribute.DATA, payload),
        ]
        self.link.send(
            stun.build(Method.SEND, Class.INDICATION, parts, transaction_id=transaction_id)
        )

    async def close(self) -> WireError | None:
        """Release the allocation if there is or may be one, then drop the link.

        Never raises: gives the error that kept the release from being confirmed.
        """
        failed: WireError | None = None
        self._open = None  # a release is of this port
        try:
            if self._link is not None and (self.allocated or self._unsettled):
                await self.refresh(0, patience=RELEASE_PATIENCE)
        except WireError as error:
            failed = error
        finally:
            if self._link is not None:
                self._link.abort()
        return failed


def _end(waiter: asyncio.Future[Message], error: WireError) -> None:
    if not waiter.done():
        waiter.set_exception(error)
