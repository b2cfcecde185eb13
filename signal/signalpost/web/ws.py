"""The WebSocket endpoint of the native protocol: one connection, from its upgrade to its log line.

It applies deadlines, sizes, rates and close codes. The dialect parses each message and asks the hub
to act on it. A bad message costs its sender an error and affects nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from signalpost.access.auth import Principal
from signalpost.dialects.native import messages
from signalpost.dialects.native.messages import Join
from signalpost.dialects.native.translation import NATIVE, encoded, error_message
from signalpost.errors import (
    BinaryFrame,
    Draining,
    HelloExpected,
    HelloTimeout,
    Malformed,
    OutOfOrder,
    RateLimited,
    SignalpostError,
    SubprotocolMissing,
    TooManyConnections,
)
from signalpost.limits import Bucket
from signalpost.logs import LOGGER, emit
from signalpost.web.http import guest
from signalpost.web.service import CLIENT, SERVICE, Service
from signalpost.websocket.closing import close_code
from signalpost.websocket.handshake import require_upgrade
from signalpost.websocket.outbox import SocketOutbox
from signalpost.websocket.sessions import Session

__all__ = ["signal"]

HEARTBEAT_SECONDS = 25.0
CLOSE_SECONDS = 1.0
"""How long a client may take to answer our close."""
MAX_LOGGED_ROOMS = 16
# Looking up a member of an enum is slow, and this happens for every message.
_TEXT, _BINARY = WSMsgType.TEXT, WSMsgType.BINARY
_GOODBYES = (WSCloseCode.OK, WSCloseCode.GOING_AWAY)
TOKEN_PREFIX = "token."  # noqa: S105


async def signal(request: web.Request) -> web.StreamResponse:
    """GET /v1/signal."""
    service = request.app[SERVICE]
    require_upgrade(request.headers)
    offered_token = _offered(request)
    if service.hub.draining:
        raise Draining
    network = request[CLIENT]
    if not service.connection_quota.take(network):
        raise TooManyConnections("too many connections in all or from this address")
    try:
        socket = web.WebSocketResponse(
            protocols=(messages.SUBPROTOCOL,),
            timeout=CLOSE_SECONDS,
            heartbeat=HEARTBEAT_SECONDS,
            compress=False,
            # aiohttp refuses a message of this size.
            max_msg_size=service.settings.limits.message_bytes + 1,
            # The parser reads bytes, and a signal's data stays bytes.
            decode_text=False,
        )
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket  # the client is gone already
        finish = partial(service.sockets.finish, socket)
        outbox = SocketOutbox(
            transport, service.writes, service.metrics.dropped, finish, service.deadlines.read
        )
        service.sockets.add(socket)
        try:
            await _Connection(service, request, socket, outbox, offered_token).run()
        finally:
            service.sockets.discard(socket)
    finally:
        service.connection_quota.give_back(network)
    return socket


def _offered(request: web.Request) -> str | None:
    """The token among the subprotocols, None without one. Raises SubprotocolMissing."""
    offered = [
        protocol.strip()
        for session in request.headers.getall("Sec-WebSocket-Protocol", ())
        for protocol in session.split(",")
    ]
    if messages.SUBPROTOCOL not in offered:
        raise SubprotocolMissing(
            f"the WebSocket must ask for the subprotocol {messages.SUBPROTOCOL}"
        )
    tokens = (name for name in offered if name.startswith(TOKEN_PREFIX))
    return next((name.removeprefix(TOKEN_PREFIX) for name in tokens), None)


class _Gone(Exception):
    """The client closed the connection, or lost it."""


class _Fault(Exception):
    """A bug of ours. `ref` names the message that hit it, which the client shouldn't send again."""

    def __init__(self, ref: str | int | None) -> None:
        self.ref = ref
        super().__init__()


class _Connection:
    """One socket, from its hello to its log line."""

    __slots__ = (
        "_bucket",
        "_offered_token",
        "_outbox",
        "_received",
        "_request",
        "_rooms",
        "_service",
        "_session",
        "_socket",
    )

    def __init__(
        self,
        service: Service,
        request: web.Request,
        socket: web.WebSocketResponse,
        outbox: SocketOutbox,
        offered_token: str | None,
    ) -> None:
        limits = service.settings.limits
        self._service = service
        self._request = request
        self._socket = socket
        self._offered_token = offered_token
        self._outbox = outbox
        self._bucket = Bucket(limits.messages, limits.message_burst)
        self._received = 0
        self._session: Session | None = None
        self._rooms: list[str] = []

    async def run(self) -> None:
        service = self._service
        started = service.monotonic()
        service.metrics.connections.inc()
        final = False
        try:
            hello = await self._hello()
            await self._serve(self._greet(hello))
        except _Gone:
            # A client that said goodbye doesn't return.
            final = self._socket.close_code in _GOODBYES
        except SignalpostError as error:
            final = True
            await self._end(error)
        except Exception as error:
            LOGGER.exception("unexpected error")
            final = True
            ref = error.ref if isinstance(error, _Fault) else None
            await self._end(SignalpostError("something went wrong in the service"), ref)
        finally:
            self._outbox.close()
            session = self._session
            if session is not None and session.socket is self._outbox:
                service.sessions.lost(session, for_good=final)
            service.metrics.connections.dec()
            emit(
                logging.INFO,
                "session",
                peer=session.peer if session else None,
                user=session.principal.user_id if session else None,
                client=service.authenticator.log_name(self._request[CLIENT]),
                # A room's name may be the only thing that keeps strangers out of it.
                rooms=[service.authenticator.opaque(f"room:{room}")[:12] for room in self._rooms],
                seconds=round(service.monotonic() - started, 3),
                messages=self._received,
                close=self._socket.close_code,
            )

    async def _hello(self) -> messages.Hello:
        """The client's hello. Any other message gets an error. Raises HelloTimeout."""
        seconds = self._service.deadlines.hello
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message = self._take(await self._socket.receive())
                    if isinstance(message, messages.Hello):
                        return message
                    if message is not None:
                        reason = HelloExpected("the first message must be hello")
                        self._error(reason, _ref(message))
        except TimeoutError:
            raise HelloTimeout(f"no hello within {seconds:.0f} s") from None

    def _greet(self, hello: messages.Hello) -> Session:
        """Welcome the client to the session that it resumes, or to a new one. Raises
        SignalpostError.
        """
        service, network = self._service, self._request[CLIENT]
        sessions = service.sessions
        peer, known = sessions.find(hello)
        # The session proves who the client was, not that it may still connect.
        session = known or sessions.open(self._admit(hello), network, hello, peer)
        session.network = network
        session.attach(self._outbox)
        self._session = session
        if known is None:
            try:
                sessions.issue(session)
            except RateLimited as error:
                raise service.with_proxy_hint(error, self._request) from None
        else:
            sessions.schedule_refresh(session)
        welcome = messages.Welcome(session.peer, session.user, session.ice_servers, ref=hello.id)
        if session.issued is not None:
            expires = session.issued.credential.expires
            welcome.ttl, welcome.expires = max(0, expires - int(service.clock())), expires
        if session.reliable:
            welcome.session = session.proof
            welcome.resumed = known is not None
            welcome.received = session.incoming.last
            limits = service.settings.limits
            welcome.limits = messages.Limits(
                limits.message_bytes,
                limits.messages.count / limits.messages.seconds,
                limits.message_burst,
            )
            service.metrics.greeted(resumed=welcome.resumed)
        self._outbox.send(messages.dump(welcome))
        if known is not None and hello.resume is not None:
            service.metrics.replayed += sessions.replay(session, hello.resume.received)
        else:
            service.hub.ring_device(session.peer)
        return session

    def _admit(self, hello: messages.Hello) -> Principal:
        token = hello.token or self._offered_token
        if token is not None:
            return self._service.authenticator.bearer(token)
        return guest(self._request, self._service)

    async def _serve(self, session: Session) -> None:
        """Handle messages until the client is gone or an error is fatal."""
        receive, take, apply = self._socket.receive, self._take, NATIVE.apply
        hub, peer, reliable = self._service.hub, session.peer, session.reliable
        outbox = self._outbox
        message: messages.ClientMessage | None
        while True:
            message = None  # frees the last one, which may have been large
            if (message := take(await receive())) is None or session.socket is not outbox:
                continue  # not a message, or the client was removed or is on another socket
            if reliable and not self._is_new(session, message):
                continue
            try:
                apply(message, hub, peer)
            except SignalpostError as error:
                self._error(error, _ref(message))
            except Exception as error:
                raise _Fault(_ref(message)) from error
            else:
                if type(message) is Join:
                    self._log_room(message.room)

    def _log_room(self, room: str) -> None:
        if room not in self._rooms and len(self._rooms) < MAX_LOGGED_ROOMS:
            self._rooms.append(room)

    def _is_new(self, session: Session, message: messages.ClientMessage) -> bool:
        """Whether the hub has to act on the message: not on a repeat, nor on an ack, which is
        handled here. Raises OutOfOrder.
        """
        if isinstance(message, messages.Ack):
            self._service.sessions.acknowledged(session, message.seq)
            return False
        if isinstance(message, messages.Hello):
            return True
        if message.seq is None:
            raise OutOfOrder("a reliable client must number its messages with seq")
        if not session.incoming.take(message.seq):
            return False
        session.received()
        return True

    def _take(self, frame: WSMessage) -> messages.ClientMessage | None:
        """The message in a frame, or None if it was bad: then the client has got an error. Raises
        _Gone or RateLimited.
        """
        kind, data, _ = frame
        if kind is not _TEXT and kind is not _BINARY:
            raise _Gone
        self._received += 1
        service = self._service
        service.metrics.received += 1
        if wait := self._bucket.take(service.monotonic()):
            raise RateLimited("too many messages", wait)
        try:
            if kind is _BINARY:
                raise BinaryFrame("messages must be JSON in text frames")
            return messages.parse(data)
        except Malformed as error:
            self._malformed(error)
        except BinaryFrame as error:
            self._error(error, None)
        return None

    def _malformed(self, error: Malformed) -> None:
        """Refuse a message. If its number is legible it counts as received: the client did send it,
        and otherwise the next one would be out of order. Raises OutOfOrder.
        """
        session = self._session
        if session is not None and session.reliable and error.seq is not None:
            if session.socket is not self._outbox or not session.incoming.take(error.seq):
                return  # a repeat, which was answered before
            session.received()
        self._error(error, error.ref)

    def _error(self, error: SignalpostError, ref: str | int | None) -> None:
        """Tell the client: with a number once it has a session, and not at all once it's on another
        socket.
        """
        self._service.metrics.refused(error.code)
        message = error_message(error, ref)
        if self._session is None:
            self._outbox.send(messages.dump(message))
        elif self._session.socket is self._outbox:
            self._session.send(encoded(message))

    async def _end(self, error: SignalpostError, ref: str | int | None = None) -> None:
        """Tell the client why, then close."""
        self._error(error, ref)
        self._outbox.flush()
        await self._socket.close(code=close_code(error), message=error.code.encode())


def _ref(message: messages.ClientMessage) -> str | int | None:
    return None if isinstance(message, messages.Ack) else message.id
