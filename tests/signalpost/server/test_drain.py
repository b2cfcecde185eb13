"""The end of a service that has peers: they are asked to leave, and what is left is closed."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.error
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.signalpost.process import Service, serving
from tests.signalpost.running import Peer

CONFIG = """\
metrics: {port: null}
turn:
  secrets: [a-turn-secret-0123456789]
  relays: [{host: turn.example.org}]
auth: {id_key: an-id-key-0123456789}
limits: {mints_per_user: 1000/s, mints_per_address: 1000/s, connections_per_address: 1000}
http: {drain: DRAIN}
"""
LONG = 60


def _config(folder: Path, drain: int) -> Path:
    path = folder / "signalpost.yaml"
    path.write_text(CONFIG.replace("DRAIN", str(drain)))
    return path


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """One that would wait a minute for its peers."""
    with serving(_config(tmp_path, LONG)) as running:
        yield running


Connect = Callable[[], Awaitable[Peer]]
"""A WebSocket that has not said hello. It has five seconds to."""


@asynccontextmanager
async def _door(service: Service) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            aiohttp.ClientSession(f"http://127.0.0.1:{service.port}")
        )

        async def connect() -> Peer:
            connecting = client.ws_connect("/v1/signal", protocols=("signalpost.v1",))
            return Peer(await stack.enter_async_context(connecting))

        yield connect


async def _welcomed(connect: Connect) -> Peer:
    peer = await connect()
    assert "welcome" == (await peer.ask(type="hello"))["type"]
    return peer


async def _stop(service: Service) -> None:
    service.process.terminate()
    await asyncio.to_thread(service.event, "stopping")


async def _ended(service: Service) -> int:
    return await asyncio.to_thread(service.process.wait, 60)


async def test_it_ends_when_the_last_peer_has_left(service: Service) -> None:
    """Every peer is asked to leave, each at a time of its own; then the service ends, with 0."""
    async with _door(service) as connect:
        peers = [await _welcomed(connect) for _ in range(40)]
        await _stop(service)
        hints = [await peer.receive() for peer in peers]
        assert {("go-away", "shutdown", LONG * 1000)} == {
            (hint["type"], hint["reason"], hint["closesInMs"]) for hint in hints
        }
        times = [hint["retryAfterMs"] for hint in hints]
        assert min(times) >= 1_000
        assert max(times) < 3_000
        assert len(set(times)) > len(times) / 2
        assert service.process.poll() is None
        for peer in peers:
            await peer.socket.close()
        assert 0 == await _ended(service)


async def test_what_goes_on_and_what_does_not(service: Service) -> None:
    """While it drains, peers signal each other and HTTP is answered; nobody comes in or joins."""
    async with _door(service) as connect:
        one, two = await _welcomed(connect), await _welcomed(connect)
        for peer in (one, two):
            await peer.ask(type="join", room="r")
        await one.receive()  # peer-joined
        late = await connect()
        await _stop(service)
        assert "draining" == (await late.ask(type="hello"))["code"]
        assert aiohttp.WSCloseCode.TRY_AGAIN_LATER == await late.closed()
        for peer in (one, two):
            assert "go-away" == (await peer.receive())["type"]

        await one.send(type="signal", room="r", data="still")
        assert "still" == (await two.receive())["data"]
        refused = await one.ask(type="join", room="s", id=4)
        assert ("draining", 2, 4) == (refused["code"], refused["retryAfter"], refused["ref"])
        assert "left" == (await one.ask(type="leave", room="r"))["type"]

        with pytest.raises(aiohttp.WSServerHandshakeError) as handshake:
            await connect()
        assert 503 == handshake.value.status
        assert handshake.value.headers
        assert "2" == handshake.value.headers["Retry-After"]

        assert b"iceServers" in await asyncio.to_thread(service.get, "/v1/ice-servers")
        with pytest.raises(urllib.error.HTTPError) as answer:
            await asyncio.to_thread(service.get, "/readyz")
        with answer.value as problem:
            ready = {"status": "draining", "checks": {"secret": "ok"}}
            assert (503, ready) == (problem.status, json.loads(problem.read()))


async def test_the_deadline(tmp_path: Path) -> None:
    """Remaining connections are closed with 1001, even those that never said hello."""
    with serving(_config(tmp_path, 1)) as service:
        async with _door(service) as connect:
            peer, silent = await _welcomed(connect), await connect()
            await _stop(service)
            assert aiohttp.WSCloseCode.GOING_AWAY == await peer.closed()
            assert aiohttp.WSCloseCode.GOING_AWAY == await silent.closed()
            assert 2 == service.event("drain is over")["connections"]
            assert 0 == await _ended(service)


async def test_no_patience(tmp_path: Path) -> None:
    """With a drain of 0 everybody is closed at once, a client that does not answer included."""
    with serving(_config(tmp_path, 0)) as service:
        async with _door(service) as connect:
            stuck, peer = await _welcomed(connect), await connect()
            assert stuck.socket._conn is not None
            transport = stuck.socket._conn.transport
            assert transport is not None
            transport.pause_reading()
            service.process.terminate()
            assert aiohttp.WSCloseCode.GOING_AWAY == await peer.closed()
            assert 0 == await _ended(service)
            transport.abort()


async def test_a_second_signal(service: Service) -> None:
    """A second signal ends it at once, whoever is connected."""
    async with _door(service) as connect:
        await _welcomed(connect)
        await _stop(service)
        service.process.terminate()
        assert 128 + signal.SIGTERM == await _ended(service)
