"""A client's session with one TURN server over one link (RFC 8656), built for diagnosis.

It does transactions, the long-term credential (RFC 8489 section 9.2) and the allocation. Every
request has its own patience, and ends with an answer or with a `WireError` that says what happened
instead. `close` must release the allocation, whatever happened before.
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
"""Tries after a stale nonce (438) before it counts as a loop."""

STALL_PATIENCE = 3.0
"""Seconds to find out whether a silent stream is stalled; it may recover in that time."""

REMEMBERED = 64
"""Finished transactions to remember: a late or second answer to one isn't a stray packet."""

STRAY_LIMIT = 256 * 1024
"""Bytes of stray packets until the peer counts as something other than a TURN server."""

ELSEWHERE_GRACE = 0.5
"""Seconds to wait for the right address after an answer came from another one."""

DEFAULT_LIFETIME = 600
"""Seconds: RFC 8656 section 3.2 and every browser ask for this."""

IN_USE = {Method.ALLOCATE: {437, 441}, Method.REFRESH: {441}}
"""Errors which, without an allocation of ours, may mean that the server still has one of the client
that had our port before. A Refresh from a new port gets 437."""

PORTS = 3
"""How many ports to try then (RFC 8656 section 7.4)."""

RELEASE_PATIENCE = 0.4
"""Seconds to release the allocation: Ctrl-C has to end within one."""

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
    """One 5-tuple, or another if the server still has the first one in use.

    Call `dial`, or `attach` with a link, before anything else.
    """

    def __init__(
        self, login: Login | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._login = login
        self._clock = clock
        self._link: Link | None = None
        self._lost: WireError | None = None
        self._waiting: dict[bytes, asyncio.Future[Message]] = {}
        self._over: deque[bytes] = deque(maxlen=REMEMBERED)
        """Ids of finished transactions: a request sent twice may be answered twice."""
        self._strays = 0
        self._stray_bytes = 0
        self._sample = b""
        self._realm: str | None = None
        self._nonce: bytes = b""
        self._key: bytes | None = None
        self._channels: dict[int, Address] = {}
        self._unsettled = False
        """Whether an Allocate has no answer yet: the server may have granted it already."""
        self.allocated = False
        self._open: Callable[[], Awaitable[Link]] | None = None
        self.on_data: Callable[[Address, bytes], None] | None = None

    # --- the link's side -----------------------------------------------------------------------

    def attach(self, link: Link) -> None:
        self._link = link

    async def dial(self, open_link: Callable[[], Awaitable[Link]]) -> None:
        """Attach the link that `open_link` opens. If the server has our port in use, a request
        opens another one from another port. Raises what `open_link` raises.
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
        """TTL or hop limit of the packets that came over UDP, None before the first one."""
        return self._link.hops if isinstance(self._link, DatagramLink) else None

    @property
    def resent(self) -> int:
        """Segments that TCP has sent again, as far as the system says."""
        return self._link.retransmitted if self._link is not None else 0

    @property
    def ended(self) -> bool:
        """Whether the link is lost or was dropped."""
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

    def from_elsewhere(self, data: bytes, source: Address) -> None:
        """A datagram from another address than the server's. It matters if it answers a request."""
        try:
            message = stun.read(data)
        except stun.Malformed:
            return
        waiter = self._waiting.get(message.transaction_id)
        if message.cls in (Class.SUCCESS, Class.ERROR) and waiter is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(ELSEWHERE_GRACE, _end, waiter, Elsewhere(source))

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
            self.lost(NotStun("the server never stops sending and answers nothing", self._sample))
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

        Realm and nonce come from a first 401, a new nonce from a 438. Raises WireError.
        """
        deadline = self._clock() + patience
        for _ in range(PORTS - 1):
            try:
                return await self._request(method, attributes, deadline, authenticate)
            except ErrorResponse as error:
                in_use = error.code in IN_USE.get(method, ()) and not self.allocated
                if self._open is None or not in_use:
                    raise
            before = self.link
            self.attach(await self._open())
            before.abort()
            self._key = None  # the nonce belongs to the old port
        return await self._request(method, attributes, deadline, authenticate)

    async def _request(
        self,
        method: Method,
        attributes: Callable[[bytes], Attributes],
        deadline: float,
        authenticate: bool,
    ) -> Message:
        """As `request`, from one port."""
        for _ in range(1 + NONCE_ROUNDS):
            key = self._key if authenticate else None
            response = await self._exchange(method, attributes, key, deadline - self._clock())
            if response.cls is Class.SUCCESS:
                if key is not None and not response.signed_by(key):
                    raise NotStun("a success response isn't signed with the credential's key")
                return response
            error = ErrorResponse(response)
            learned = self._learn(response)
            if authenticate and learned and (error.code == 438 or (error.code == 401 and not key)):
                continue
            raise error
        raise error

    def _learn(self, response: Message) -> bool:
        """Take realm and nonce from a 401 or 438; False if one is missing or there is no login."""
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
            if waiter.done():  # it came in time, while this process wasn't running
                return waiter.result()
            if self._strays > strays:
                raise NotStun(
                    f"{self._strays - strays} packets came, but none answers our transaction",
                    self._sample,
                ) from None
            if self.link.unfinished:
                raise NotStun(
                    f"the answer broke off {self.link.unfinished} bytes into a message"
                ) from None
            stalls = await self._stalls(method)
            if waiter.done():  # it came while the connection recovered
                return waiter.result()
            if stalls:
                raise Stalled(
                    f"no answer in {patience:.1f} s; {self.link.retransmitted} segments sent again"
                ) from None
            raise Silent(f"no answer in {patience:.1f} s") from None
        finally:
            resender.cancel()
            del self._waiting[transaction_id]
            self._over.append(transaction_id)

    async def _stalls(self, method: Method) -> bool:
        """Whether lost packets hold up a stream, so that silence says nothing about the server.

        After a few losses in a row the kernel waits for seconds before it sends again. A stream
        keeps its order: if a request is answered now, nothing is held up.
        """
        if not self.link.retransmitted:
            return False
        return method == Method.BINDING or not await self.flows(patience=STALL_PATIENCE)

    async def flows(self, *, patience: float) -> bool:
        """Whether a Binding is answered now: then a stream has delivered everything before it."""
        try:
            await self.binding(patience=patience)
        except ErrorResponse:
            return True
        except WireError:
            return False
        return True

    async def _transmit(self, data: bytes, patience: float) -> None:
        """Send, and over UDP again until it is cancelled."""
        self.link.send(data)
        for pause in pauses(patience) if self.link.protocol == "udp" else ():
            await asyncio.sleep(pause)
            self.link.send(data)

    # --- STUN and TURN methods -----------------------------------------------------------------

    async def binding(self, *, patience: float) -> Message:
        """STUN Binding (RFC 8489 section 3)."""
        return await self.request(Method.BINDING, patience=patience, authenticate=False)

    async def challenge(self, *, patience: float) -> Message:
        """Allocate without credentials. A correct server answers 401, which raises ErrorResponse.

        If it grants the allocation instead, `close` releases that.
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
            raise NotStun("the Allocate success response has no XOR-RELAYED-ADDRESS")
        lifetime = response.number(Attribute.LIFETIME)
        if lifetime is None:
            raise NotStun("the Allocate success response has no LIFETIME")
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
        """Release the allocation if there may be one, then drop the link.

        Never raises: gives the error if the release wasn't confirmed.
        """
        failed: WireError | None = None
        self._open = None  # only this port can release it
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
