"""A running service for a test: real sockets on loopback, clocks that the test turns."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest

from signalpost.config.settings import Auth, Http, MetricsListener, Settings, Turn
from signalpost.credentials import Secret
from signalpost.deadlines import DEADLINES, Deadlines
from signalpost.iceservers import Relay
from signalpost.server.process import Listening, listening
from signalpost.tokens import Permission
from signalpost.web.service import Service

TURN_SECRET = "a-turn-secret-0123456789"
API_KEY = "an-api-key-0123456789"
TOKEN_KEY = "a-token-key-0123456789-abcdefghijkl"
ID_KEY = "an-id-key-0123456789"
NOW = 1_700_000_000.0
BEARER = {"Authorization": f"Bearer {API_KEY}"}
PATIENCE = 60
"""Seconds: what has not come by then never will."""

SETTINGS = Settings(
    http=Http(port=0),
    metrics=MetricsListener(port=None),
    turn=Turn(secrets=(Secret(TURN_SECRET),), relays=(Relay("turn.example.org"),)),
    auth=Auth(api_keys=(Secret(API_KEY),), token_keys=(Secret(TOKEN_KEY),), id_key=Secret(ID_KEY)),
)


@dataclass
class Clocks:
    unix: float = NOW
    monotonic: float = 100.0

    def advance(self, seconds: float) -> None:
        self.unix += seconds
        self.monotonic += seconds


@dataclass
class Running:
    """A service that listens, and a client for it."""

    service: Service
    ports: Listening
    client: aiohttp.ClientSession
    clocks: Clocks
    peers: AsyncExitStack = field(repr=False)

    def token(
        self,
        user: str,
        *,
        rooms: Sequence[str] | None = None,
        permissions: Sequence[Permission] | None = None,
    ) -> str:
        issue = self.service.authenticator.issue
        return issue(user, ttl=600, rooms=rooms, permissions=permissions).token

    async def connect(self, *protocols: str, **headers: str) -> Peer:
        """A WebSocket that has not said hello."""
        socket = await self.peers.enter_async_context(
            self.client.ws_connect(
                "/v1/signal",
                protocols=protocols or ("signalpost.v1",),
                headers=headers,
                max_msg_size=0,
            )
        )
        return Peer(socket)

    async def peer(self, token: str | None = None, **hello: Any) -> Peer:
        """A WebSocket that has been welcomed."""
        peer = await self.connect()
        peer.welcome = await peer.ask(type="hello", token=token, **hello)
        peer.id = peer.welcome["peer"]
        return peer

    async def back(self, lost: Peer, *, received: int | None = None, **hello: Any) -> Peer:
        """The client of a lost socket on a new one, welcomed."""
        peer = await self.connect()
        said = lost.seq if received is None else received
        resume = {"session": lost.welcome["session"], "received": said}
        peer.welcome = await peer.ask(type="hello", reliable=True, resume=resume, **hello)
        peer.id = peer.welcome["peer"]
        if peer.welcome["resumed"]:
            peer.seq, peer.said = said, peer.welcome["received"]
        return peer

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that has no event of its own."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  as it says
                await asyncio.sleep(0)


@dataclass
class Peer:
    """A client. `seq` is the number of the last message that it was sent, `said` that of the last
    that it sent itself.
    """

    socket: aiohttp.ClientWebSocketResponse
    id: str = ""
    welcome: dict[str, Any] = field(default_factory=dict)
    seq: int = 0
    said: int = 0

    async def send(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def say(self, **message: Any) -> None:
        """Send as a reliable client does, with a number."""
        self.said += 1
        await self.send(seq=self.said, **message)

    async def ack(self) -> None:
        await self.send(type="ack", seq=self.seq)

    async def news(self) -> dict[str, Any]:
        """The next message that isn't an acknowledgement."""
        while (message := await self.receive())["type"] == "ack":
            pass
        return message

    def lose(self) -> None:
        """The connection breaks, without a close frame."""
        if self.socket._conn is None or self.socket._conn.transport is None:
            raise ConnectionError("it is broken already")
        self.socket._conn.transport.abort()

    async def receive(self) -> dict[str, Any]:
        """The next message, without its number, which has to be the next one."""
        message: dict[str, Any] = await self.socket.receive_json(timeout=PATIENCE)
        if message["type"] != "ack" and "seq" in message:
            assert self.seq + 1 == message["seq"]
            self.seq = message.pop("seq")
        return message

    async def ask(self, **message: Any) -> dict[str, Any]:
        await self.send(**message)
        return await self.receive()

    async def closed(self) -> int | None:
        """The close code, once everything before it is read."""
        while (await self.socket.receive(timeout=PATIENCE)).type not in {
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.CLOSING,
            aiohttp.WSMsgType.ERROR,
        }:
            pass
        return self.socket.close_code


@asynccontextmanager
async def running(
    settings: Settings = SETTINGS, deadlines: Deadlines = DEADLINES
) -> AsyncIterator[Running]:
    clocks = Clocks()
    service = Service.make(
        settings,
        clock=lambda: clocks.unix,
        monotonic=lambda: clocks.monotonic,
        deadlines=deadlines,
    )
    async with AsyncExitStack() as stack:
        ports = await stack.enter_async_context(listening(service))
        client = await stack.enter_async_context(
            aiohttp.ClientSession(f"http://127.0.0.1:{ports.port}")
        )
        peers = await stack.enter_async_context(AsyncExitStack())
        yield Running(service, ports, client, clocks, peers)


def skipping(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes the running loop's clock skip so many seconds, each time it is called: what is due by
    then is due at once, however slow the machine is.
    """
    loop, skipped = asyncio.get_running_loop(), 0.0
    real = loop.time

    def skip(seconds: float) -> None:
        nonlocal skipped
        skipped += seconds

    monkeypatch.setattr(loop, "time", lambda: real() + skipped)
    return skip


def settings(**sections: Any) -> Settings:
    """SETTINGS with whole sections replaced."""
    return replace(SETTINGS, **sections)


def logged(stream: io.StringIO, event: str) -> list[dict[str, Any]]:
    """The lines of this event in the log of the fixture `stream`."""
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in lines if line["event"] == event]
