"""The connection: one session over as many WebSockets as it takes.

It decides when to connect again, when a silent socket is given up, and how fast messages go out.
`session` handles the numbers, the listener the messages.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import aiohttp
import msgspec
from aiohttp import WSCloseCode, WSMsgType

from signalpost.client.errors import ClientError, Closed, Refused, Unreachable
from signalpost.client.session import Gap, Message, Session, checked, too_large
from signalpost.dialects.native import messages
from signalpost.limits import Bucket, Rate

__all__ = ["WAITS", "Connection", "Listener", "State", "Waits"]

LOGGER = logging.getLogger("signalpost.client")

CLOSE_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
ACK_EVERY = 16
ACK_SECONDS = 1.0
FIRST_DELAY, DELAY, LONG_DELAY = 0.2, 2.0, 15.0
HURRY_SECONDS = 40.0
"""A session can be resumed for 30 s, so the client hurries for that long."""
STEADY_SECONDS = 5.0
"""A connection that lasted this long was a good one: the next may be tried at once."""
RATE, BURST = Rate(40, 1), 80
"""Below the service's limits. Exceeding those would end the connection."""
SHARE = 0.8
"""The part of the service's announced limits that the client uses."""
RESUMING = 4000
"""A close code of our own: 1000 and 1001 would end the session for good."""
FATAL = frozenset({"unauthorized", "guest-refused", "origin-refused", "banned"})
"""Refusals that another try wouldn't change."""
HELLO_REFUSED = frozenset({"malformed", "bad-parameter"})
"""Answers to a hello that another hello wouldn't change."""


@dataclass(frozen=True)
class Waits:
    """How long the client waits, in seconds. Tests set some of them."""

    open: float = 8.0
    """For the WebSocket, then for the welcome."""
    silence: float = 8.0
    """The service acknowledges within 2 s. If it's silent for longer, it's gone."""
    back: float = 45.0
    """For a peer that may return after the service has forgotten everything."""


WAITS = Waits()


class State(StrEnum):
    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"
    """Waiting for the next try."""
    CLOSED = "closed"


class Listener(Protocol):
    """Gets everything that comes, once and in order."""

    async def hello(self) -> messages.Hello: ...

    def welcomed(self, welcome: messages.Welcome, lost: list[Message] | None) -> None:
        """Unless `lost` is None the service has forgotten everything, and never acknowledged it."""

    def heard(self, message: messages.ServerMessage) -> None: ...

    def taken(self, taken: list[Message]) -> None:
        """The service has acknowledged these."""

    def refused(self, message: Message, error: Refused) -> None:
        """This message isn't sent again."""

    def changed(self, state: State) -> None: ...


class _Numbered(msgspec.Struct):
    """The part of every message that is read, even if its type is unknown."""

    type: str
    seq: int | None = None


_NUMBERED = msgspec.json.Decoder(_Numbered)
_MESSAGE: msgspec.json.Decoder[messages.ServerMessage] = msgspec.json.Decoder(
    messages.ServerMessage
)


class _Lost(Exception):
    """The connection is lost. `retry_after` is in seconds."""

    def __init__(self, why: str, retry_after: float = 0.0) -> None:
        self.retry_after = retry_after
        super().__init__(why)


class Connection:
    __slots__ = (
        "_ack",
        "_attempt",
        "_closing",
        "_error",
        "_http",
        "_leaving",
        "_listener",
        "_lost_at",
        "_not_before",
        "_opened_at",
        "_pace",
        "_patience",
        "_session",
        "_url",
        "_waits",
        "_wake",
        "_welcomed",
        "_writer",
        "last_failure",
        "over",
        "state",
    )

    def __init__(
        self, url: str, http: aiohttp.ClientSession, listener: Listener, waits: Waits = WAITS
    ) -> None:
        self._waits = waits
        self._url = url
        self._http = http
        self._listener = listener
        self._session = Session()
        self.state = State.CLOSED
        self.last_failure = "no answer yet"
        self.over: ClientError | None = None
        """The reason why nothing can be sent any more."""
        self._welcomed = False
        self._closing = False
        self._leaving = False
        self._attempt = 0
        self._lost_at = self._not_before = self._opened_at = 0.0
        self._pace = RATE, BURST
        self._error: messages.Error | None = None
        """The last error on this socket: it may say why the socket closes."""
        self._wake = asyncio.Event()
        self._ack: asyncio.TimerHandle | None = None
        self._patience: asyncio.Timeout | None = None
        self._writer: asyncio.Task[None] | None = None

    def send(self, message: Message) -> None:
        """Number the message, and send it as soon as possible. Raises Refused, and Closed if the
        client is over.
        """
        if self.over is not None:
            raise self.over
        self._session.send(message)
        self._wake.set()

    def send_again(self, message: Message) -> None:
        """Like `send`, for a message that was accepted before: the listener gets a refusal."""
        try:
            self._session.send(message)
            self._wake.set()
        except Refused as error:
            asyncio.get_running_loop().call_soon(self._listener.refused, message, error)

    def check(self, message: Message) -> None:
        """Raises what `send` would raise."""
        if self.over is not None:
            raise self.over
        checked(message, self._session.most)

    async def run(self) -> None:
        """Run until cancelled. Raises a ClientError if going on is pointless."""
        loop = asyncio.get_running_loop()
        self._lost_at = loop.time()
        try:
            while True:
                self._change(State.CONNECTING)
                retry_after = 0.0
                try:
                    await self._connect()
                except _Lost as lost:
                    self.last_failure, retry_after = str(lost), lost.retry_after
                    level = logging.INFO if self.state is State.OPEN else logging.DEBUG
                    LOGGER.log(level, "connection lost: %s", lost)
                now = loop.time()
                if self.state is State.OPEN and now - self._opened_at >= STEADY_SECONDS:
                    self._attempt, self._lost_at = 0, now
                self._change(State.WAITING)
                await asyncio.sleep(max(retry_after, self._not_before - now) + self._backoff(now))
        finally:
            self._change(State.CLOSED)

    async def close(self) -> None:
        """Send what is waiting, within a moment. Then `run` can be cancelled."""
        self._closing = True
        self._wake.set()
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=CLOSE_SECONDS)

    def _change(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._listener.changed(state)

    def _backoff(self, now: float) -> float:
        most = DELAY if now - self._lost_at < HURRY_SECONDS else LONG_DELAY
        delay: float = min(most, FIRST_DELAY * 2 ** min(self._attempt, 10))
        self._attempt += 1
        # Jitter: otherwise all clients return at once.
        return delay * random.uniform(0.5, 1.0)  # noqa: S311

    # --- one socket ----------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Run one socket. Always ends with _Lost or a ClientError."""
        hello = await self._listener.hello()
        hello.reliable, hello.resume = True, self._session.resume
        greeting = checked(hello)
        try:
            async with asyncio.timeout(self._waits.open):
                socket = await self._open()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise _Lost(str(error) or "no answer in time") from None
        self._error, self._leaving = None, False
        try:
            async with asyncio.timeout(self._waits.open) as self._patience:
                await socket.send_frame(greeting, WSMsgType.TEXT)
                await self._carry(socket)
        except TimeoutError:
            raise _Lost(
                "the service asked the client to reconnect"
                if self._leaving
                else "no answer in time"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Lost(str(error)) from None
        finally:
            self._patience = None
            if self._ack is not None:
                self._ack.cancel()
                self._ack = None
            await socket.close(code=WSCloseCode.OK if self._closing else RESUMING)

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        try:
            socket = await self._http.ws_connect(
                self._url,
                protocols=(messages.SUBPROTOCOL,),
                heartbeat=HEARTBEAT_SECONDS,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
        except aiohttp.WSServerHandshakeError as error:
            answer = f"{self._url} answered with status {error.status}"
            if 400 <= error.status < 500 and error.status != 429 and not self._welcomed:
                raise Unreachable(answer) from None
            retry_after = error.headers.get("Retry-After", "0") if error.headers else "0"
            raise _Lost(answer, float(retry_after) if retry_after.isdigit() else 0.0) from None
        if socket.protocol != messages.SUBPROTOCOL:
            await socket.close()
            raise Unreachable(f"{self._url} doesn't speak {messages.SUBPROTOCOL}")
        return socket

    async def _carry(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Read messages while another task writes. Raises _Lost or a ClientError."""
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                frame = await socket.receive()
                if frame.type is not WSMsgType.TEXT:
                    raise self._why(socket, frame.extra)
                try:
                    self._take(frame.data)
                except Gap:
                    raise _Lost("a message is missing") from None
                if writing is None and self.state is State.OPEN:
                    writing = self._writer = asyncio.create_task(self._write(socket))
                self._watch()
        finally:
            if writing is not None:
                self._writer = None
                writing.cancel()
                await asyncio.wait([writing])
                if not writing.cancelled() and (failed := writing.exception()) is not None:
                    LOGGER.debug("can't write: %s", failed)

    def _why(self, socket: aiohttp.ClientWebSocketResponse, reason: str | None) -> Exception:
        """The error that the end of a socket means. `reason` is from its close frame."""
        error, code = self._error, socket.close_code
        if self._closing:
            return Closed()
        if code == WSCloseCode.MESSAGE_TOO_BIG:
            if self.state is not State.OPEN:  # it was the hello
                return too_large(self._session.most)
            if self._session.closed_for_size():
                return _Lost("a message was too large for the service")
        if error is None or code != WSCloseCode.POLICY_VIOLATION:
            return _Lost(f"closed with {code} {reason or ''}".rstrip())
        if error.code in FATAL:
            return Refused(error.code, error.message)
        if error.code == "out-of-order":
            self._session.spoil()
        return _Lost(f"{error.message} ({error.code})", error.retry_after or 0.0)

    def _take(self, text: str) -> None:
        """Raises Gap."""
        session = self._session
        number = _NUMBERED.decode(text)
        if number.seq is not None and number.type != "ack":  # whose number is ours
            if not session.take(number.seq):
                return
            self._owe()
        try:
            message = _MESSAGE.decode(text)
        except (msgspec.ValidationError, RecursionError) as error:
            # It's from a newer service. It counts, but means nothing here.
            LOGGER.debug("unknown message %s: %s", number.type, error)
            return
        match message:
            case messages.Welcome():
                self._welcome(message)
            case messages.Ack():
                self._listener.taken(session.acknowledge(message.seq))
            case messages.GoAway():
                self._leave(message)
            case _:
                if isinstance(message, messages.Error):
                    self._error = message
                if self.state is State.OPEN:  # before the welcome, an error is the hello's
                    self._listener.heard(message)
                elif isinstance(message, messages.Error) and message.code in HELLO_REFUSED:
                    raise Refused(message.code, message.message)

    def _welcome(self, welcome: messages.Welcome) -> None:
        taken, lost, refused = self._session.welcome(welcome)
        self._welcomed = True
        self._opened_at = asyncio.get_running_loop().time()
        if (limits := welcome.limits) is not None:
            rate = Rate(max(1, int(limits.messages_per_second * SHARE * 60)), 60)
            self._pace = rate, max(1, int(limits.message_burst * SHARE))
        LOGGER.info("welcome, peer %s, resumed: %s", welcome.peer, welcome.resumed)
        self._change(State.OPEN)
        self._listener.taken(taken)
        for message in refused:
            self._listener.refused(message, too_large(self._session.most))
        self._listener.welcomed(welcome, lost)

    def _leave(self, notice: messages.GoAway) -> None:
        """The service stops. Finish what is under way, then return when the service said."""
        loop = asyncio.get_running_loop()
        self._not_before = loop.time() + notice.retry_after_ms / 1000
        self._leaving = True
        if self._patience is not None and not self._patience.expired():
            soon = min(ACK_SECONDS, notice.closes_in_ms / 1000)
            self._patience.reschedule(loop.time() + soon)

    def _watch(self) -> None:
        """Watch for silence while an answer is due."""
        patience = self._patience
        if patience is None or patience.expired() or self._leaving or self.state is not State.OPEN:
            return
        due = asyncio.get_running_loop().time() + self._waits.silence
        patience.reschedule(due if self._session.waits else None)

    # --- writing -------------------------------------------------------------------------------

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        loop = asyncio.get_running_loop()
        bucket = Bucket(*self._pace)
        while True:
            if self._ack is None and self._session.owed:
                frame: bytes | None = self._session.ack()
            else:
                waited = self._session.waits
                if (frame := self._session.next_frame()) is not None and not waited:
                    self._watch()
            if frame is None:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            while wait := bucket.take(loop.time()):  # noqa: ASYNC110  (it fills with time alone)
                await asyncio.sleep(wait)
            await socket.send_frame(frame, WSMsgType.TEXT)

    def _owe(self) -> None:
        """Acknowledge soon, many messages at once."""
        if self._session.owed >= ACK_EVERY:
            self._acknowledge()
        elif self._ack is None:
            self._ack = asyncio.get_running_loop().call_later(ACK_SECONDS, self._acknowledge)

    def _acknowledge(self) -> None:
        """Wake the writer, which sends the acknowledgement."""
        if self._ack is not None:
            self._ack.cancel()
            self._ack = None
        self._wake.set()
