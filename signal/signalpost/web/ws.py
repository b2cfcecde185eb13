"""The WebSocket edge of the native protocol: one session from upgrade to its one log line.

Owns deadlines, sizes and close codes. Refuses to know rooms: it parses through the dialect and
hands on to the hub. A bad message costs its sender an error and nobody else anything.
"""

from __future__ import annotations

import asyncio
import logging
import math

from aiohttp import WSCloseCode, WSMsgType, web

from signalpost import messages
from signalpost.auth import Permission, Principal
from signalpost.dialects.native import NATIVE
from signalpost.errors import (
    BinaryFrame,
    Draining,
    HelloExpected,
    HelloTimeout,
    RateLimited,
    SignalpostError,
    SubprotocolMissing,
    TooManyConnections,
)
from signalpost.limits import Bucket
from signalpost.logs import LOGGER, emit
from signalpost.rooms import PeerId
from signalpost.web.http import guest
from signalpost.web.outbox import SocketOutbox
from signalpost.web.problems import answer_for
from signalpost.web.service import CLIENT, SERVICE, Service

__all__ = ["signal"]

HELLO_SECONDS = 5.0
HEARTBEAT_SECONDS = 25.0
CLOSE_SECONDS = 1.0
"""How long a client gets to answer our close."""
MAX_LOGGED_ROOMS = 16
TOKEN_PREFIX = "token."  # noqa: S105


async def signal(request: web.Request) -> web.StreamResponse:
    """GET /v1/signal."""
    service = request.app[SERVICE]
    offered = [
        protocol.strip()
        for line in request.headers.getall("Sec-WebSocket-Protocol", ())
        for protocol in line.split(",")
    ]
    if messages.SUBPROTOCOL not in offered:
        raise SubprotocolMissing(f"a WebSocket with subprotocol {messages.SUBPROTOCOL} is needed")
    if service.hub.draining:
        raise Draining
    network = request[CLIENT]
    if not service.places.take(network):
        raise TooManyConnections("no more connections: too many in all, or from this address")
    try:
        socket = web.WebSocketResponse(
            protocols=(messages.SUBPROTOCOL,),
            timeout=CLOSE_SECONDS,
            heartbeat=HEARTBEAT_SECONDS,
            compress=False,
            # aiohttp refuses what reaches this size.
            max_msg_size=service.settings.limits.message_bytes + 1,
        )
        await socket.prepare(request)
        tokens = [
            name.removeprefix(TOKEN_PREFIX) for name in offered if name.startswith(TOKEN_PREFIX)
        ]
        service.sockets.add(socket)
        try:
            await _Session(service, request, socket, tokens[0] if tokens else None).run()
        finally:
            service.sockets.discard(socket)
    finally:
        service.places.give_back(network)
    return socket


class _Gone(Exception):
    """The client has closed, or the connection is lost."""


class _Session:
    __slots__ = (
        "_bucket",
        "_offered_token",
        "_outbox",
        "_received",
        "_request",
        "_service",
        "_socket",
    )

    def __init__(
        self,
        service: Service,
        request: web.Request,
        socket: web.WebSocketResponse,
        offered_token: str | None,
    ) -> None:
        limits = service.settings.limits
        self._service = service
        self._request = request
        self._socket = socket
        self._offered_token = offered_token
        self._outbox = SocketOutbox(socket, NATIVE, self._drop)
        self._bucket = Bucket(limits.messages, limits.message_burst)
        self._received = 0

    async def run(self) -> None:
        service = self._service
        started = service.monotonic()
        service.metrics.connections.inc()
        writer = asyncio.create_task(self._outbox.run())
        principal: Principal | None = None
        peer: PeerId | None = None
        rooms: dict[str, None] = {}
        try:
            hello = await self._hello()
            principal = self._admit(hello)
            peer = service.hub.connect(principal, self._outbox)
            self._welcome(principal, peer, hello)
            await self._serve(peer, rooms)
        except _Gone:
            pass
        except SignalpostError as error:
            await self._end(error, writer)
        except Exception:
            LOGGER.exception("unexpected error")
            await self._end(SignalpostError("something went wrong on this side"), writer)
        finally:
            writer.cancel()
            if peer is not None:
                service.hub.disconnect(peer)
            service.metrics.connections.dec()
            emit(
                logging.INFO,
                "session",
                peer=peer,
                user=principal.user_id if principal else None,
                client=service.authenticator.log_name(self._request[CLIENT]),
                # A room's name may be all that keeps strangers out of it.
                rooms=[service.authenticator.opaque(f"room:{room}")[:12] for room in rooms],
                seconds=round(service.monotonic() - started, 3),
                messages=self._received,
                close=self._socket.close_code,
            )

    async def _hello(self) -> messages.Hello:
        """Raises HelloTimeout; anything else than a hello is answered and waited past."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                while True:
                    message = await self._message()
                    if isinstance(message, messages.Hello):
                        return message
                    self._error(HelloExpected("the first message must be hello"), message.id)
        except TimeoutError:
            raise HelloTimeout(f"no hello within {HELLO_SECONDS:.0f} s") from None

    def _admit(self, hello: messages.Hello) -> Principal:
        token = hello.token or self._offered_token
        if token is not None:
            return self._service.authenticator.bearer(token)
        return guest(self._request, self._service)

    def _welcome(self, principal: Principal, peer: PeerId, hello: messages.Hello) -> None:
        """The peer's id and iceServers. Where there are none to give, a call may still connect
        on its own network, so the list is empty then. Raises RateLimited.
        """
        service = self._service
        if not service.issuer.has_relays or Permission.ICE not in principal.permissions:
            welcome = messages.Welcome(peer, [], ref=hello.id)
        else:
            issued = service.issuer.issue(principal, self._request[CLIENT], native=True)
            service.metrics.minted(issued.audience)
            welcome = messages.Welcome(
                peer,
                [server.as_json() for server in issued.servers],
                issued.credential.ttl,
                issued.credential.expires,
                hello.id,
            )
        self._outbox.send(messages.dump(welcome))

    async def _serve(self, peer: PeerId, rooms: dict[str, None]) -> None:
        """Message by message, until the client goes or an error is fatal."""
        hub = self._service.hub
        while True:
            message = await self._message()
            try:
                NATIVE.apply(message, hub, peer)
            except SignalpostError as error:
                self._error(error, message.id)
            else:
                if isinstance(message, messages.Join) and len(rooms) < MAX_LOGGED_ROOMS:
                    rooms[message.room] = None

    async def _message(self) -> messages.ClientMessage:
        """The next message that parses; what does not is answered. Raises _Gone, RateLimited."""
        while True:
            frame = await self._socket.receive()
            if frame.type is not WSMsgType.TEXT and frame.type is not WSMsgType.BINARY:
                raise _Gone
            self._received += 1
            self._service.metrics.messages.inc()
            if wait := self._bucket.take(self._service.monotonic()):
                raise RateLimited("too many messages", wait)
            try:
                if frame.type is WSMsgType.BINARY:
                    raise BinaryFrame("messages are JSON in text frames")
                return messages.parse(frame.data)
            except SignalpostError as error:
                self._error(error, None)

    def _error(self, error: SignalpostError, ref: str | int | None) -> None:
        self._service.metrics.refused(error.code)
        retry_after = None if error.retry_after is None else math.ceil(error.retry_after)
        self._outbox.send(
            messages.dump(messages.Error(error.code, error.message, retry_after, ref))
        )

    async def _end(self, error: SignalpostError, writer: asyncio.Task[None]) -> None:
        """Say why, then close."""
        self._error(error, None)
        self._outbox.finish()
        await asyncio.wait([writer])
        close = answer_for(error).close or WSCloseCode.POLICY_VIOLATION
        await self._socket.close(code=close, message=error.code.encode())

    def _drop(self) -> None:
        """The client does not read: no close frame would get through either."""
        self._service.metrics.refused("too-slow")
        if self._request.transport is not None:
            self._request.transport.abort()
