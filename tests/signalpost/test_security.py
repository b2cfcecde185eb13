"""Promises of SECURITY.md that no other file tests; and each promise there has its test."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pytest

from signalpost import logs
from signalpost.config.settings import Hooks, Limits, Log
from signalpost.credentials import Secret
from signalpost.deadlines import DEADLINES, Deadlines
from signalpost.limits import Rate
from signalpost.web import ws
from signalpost.web.accepted import COARSENESS
from signalpost.websocket.outbox import MAX_QUEUED, WATCHED
from tests.signalpost.running import (
    API_KEY,
    BEARER,
    ID_KEY,
    SETTINGS,
    TOKEN_KEY,
    TURN_SECRET,
    Peer,
    Running,
    running,
    settings,
    skipping,
)

ROOT = Path(__file__).parents[2]
NAMED = settings(http=replace(SETTINGS.http, public_name="turn.example.org"))
PROXIED = replace(SETTINGS.http, trusted_proxies=(ip_network("127.0.0.0/8"),))


async def _pair(run: Running) -> tuple[Peer, Peer]:
    first, second = await run.peer(), await run.peer()
    await first.ask(type="join", room="r")
    await second.ask(type="join", room="r")
    await first.receive()  # peer-joined
    return first, second


# --- who may come in ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://turn.example.org.evil.example",
        "https://turn.example.orgy.example",
        "https://evil-turn.example.org",
        "https://evil.turn.example.org",
        "http://turn.example.org",
        "https://turn.example.org:8443",
        "https://turn.example.org/",
        "file://",
    ],
)
async def test_no_socket_for_a_foreign_page(origin: str) -> None:
    """A WebSocket of another origin is refused before it is open, whatever token it brings."""
    async with running(NAMED) as run:
        for protocols in ((), ("signalpost.v1", f"token.{run.token('ann')}")):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await run.connect(*protocols, Origin=origin)
            assert 403 == refused.value.status


async def test_the_turn_secret_makes_no_user_id() -> None:
    """Another TURN secret changes the credential, and no user's id or guest's."""
    async with running() as run:

        async def names() -> list[str]:
            found = []
            for headers in ({}, {"Authorization": f"Bearer {run.token('ann')}"}):
                url = "/v1/ice-servers?shape=draft"
                async with run.client.get(url, headers=headers) as response:
                    body = await response.json()
                    found += [body["username"], body["password"]]
            return found

        before = await names()
        turn = replace(SETTINGS.turn, secrets=(Secret("another-secret-0123456789"),))
        run.service.change(settings(turn=turn))
        after = await names()
        assert before[0::2] == after[0::2]
        assert not set(before[1::2]) & set(after[1::2])


# --- how many ----------------------------------------------------------------------------------


async def _refused(run: Running, address: str) -> int | None:
    """The status with which one more connection from there is refused, None when it is not."""
    try:
        await run.connect(**{"X-Forwarded-For": address})
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    return None


async def test_addresses_of_one_subscriber_share_a_cap() -> None:
    """Two addresses of one /64 count as one; the next /64 and IPv4 addresses count alone."""
    limits = Limits(connections_per_address=2)
    async with running(settings(http=PROXIED, limits=limits)) as run:
        answers = [
            await _refused(run, address)
            for address in (
                "2001:db8::1",
                "2001:db8::ffff:2",
                "2001:db8::3",
                "2001:db8:0:1::1",
                "192.0.2.1",
                "192.0.2.2",
            )
        ]
        assert [None, None, 429, None, None, None] == answers


async def test_connections_in_all() -> None:
    """The connection after the last is refused, wherever it comes from."""
    async with running(settings(http=PROXIED, limits=Limits(connections=2))) as run:
        answers = [await _refused(run, f"192.0.2.{number}") for number in range(3)]
        assert [None, None, 429] == answers


async def test_connections_of_a_user() -> None:
    """A user's device after the last is refused, and another user's is not."""
    async with running(settings(limits=Limits(peers_per_user=2))) as run:
        first, _ = await run.peer(run.token("ann")), await run.peer(run.token("ann"))
        third = await run.connect()
        error = await third.ask(type="hello", token=run.token("ann"))
        assert "too-many-connections" == error["code"]
        assert aiohttp.WSCloseCode.TRY_AGAIN_LATER == await third.closed()
        await run.peer(run.token("bob"))
        await first.socket.close()
        await run.until(lambda: run.service.connection_quota.total == 2)
        await run.peer(run.token("ann"))


async def test_a_resume_is_no_further_device() -> None:
    """A client that resumes its session takes no second place."""
    async with running(settings(limits=Limits(peers_per_user=1))) as run:
        token = run.token("ann")
        peer = await run.peer(token, reliable=True)
        for _ in range(3):
            resume = {"session": peer.welcome["session"], "received": 0}
            peer = await run.peer(token, reliable=True, resume=resume)
            assert peer.welcome["resumed"]


# --- who is in the way -------------------------------------------------------------------------


async def _most_work(one: Peer, two: Peer) -> float:
    """Seconds that this thread's CPU works at most until a signal is across: both ends and the
    service are in one loop. Other programs on the machine don't count.
    """
    times = []
    for number in range(200):
        started = time.thread_time()
        await one.send(type="signal", to=two.id, data=number)
        assert number == (await two.receive())["data"]
        times.append(time.thread_time() - started)
    return max(times)


async def test_a_flood_is_its_senders_alone() -> None:
    """Ten clients that flood are each closed with 1008. Two others talk meanwhile: none of their
    signals waits for most of the flood.
    """
    limits = Limits(messages=Rate(50, 1), message_burst=1_000)
    async with running(settings(limits=limits)) as run:
        one, two = await _pair(run)
        flooders = [await run.peer() for _ in range(10)]

        async def flood(peer: Peer) -> int | None:
            for _ in range(1_001):
                await peer.send(type="leave", room="nowhere")
                await asyncio.sleep(0)
            return await peer.closed()

        started = time.thread_time()
        floods = asyncio.gather(*map(flood, flooders))
        longest = await _most_work(one, two)
        assert [1008] * 10 == await floods
        assert longest < (time.thread_time() - started) / 2


async def test_a_client_that_does_not_read_costs_a_bounded_amount() -> None:
    """What waits for a client that does not read is never more than the bound, and what its sender
    gets into one turn of the loop: a read of 256 KiB.
    """
    most = 0
    limits = Limits(messages=Rate(1_000_000, 1), message_burst=1_000_000)
    async with running(settings(limits=limits)) as run:
        one, two = await _pair(run)
        assert two.socket._conn is not None
        transport = two.socket._conn.transport
        assert transport is not None
        transport.pause_reading()
        heard = asyncio.create_task(one.receive())
        text = json.dumps({"type": "signal", "to": two.id, "data": "x" * 65_000})
        while not heard.done():
            await one.socket.send_str(text)
            sockets = (line.socket for line in run.service.sessions)
            most = max([most, *(socket.waiting for socket in sockets if socket is not None)])
        assert "peer-left" == heard.result()["type"]
        transport.abort()  # or the client would wait for an answer to its close
    assert WATCHED < most <= MAX_QUEUED + 262_144 + len(text)


@pytest.mark.usefixtures("many_files")
async def test_dribbling_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand whose first request does not end are closed in time, and nobody waits for them:
    two others talk as before. The bound is as wide as that of a flood.
    """
    assert DEADLINES.first_request + COARSENESS <= 10
    skip = skipping(monkeypatch)
    limits = Limits(messages=Rate(50, 1), message_burst=1_000)
    async with running(settings(limits=limits), Deadlines(first_request=3_600.0)) as run:
        one, two = await _pair(run)
        quiet = await _most_work(one, two)

        async def dribble() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", run.ports.port)
            writer.write(b"GET / HT")
            answer = await reader.read()
            writer.close()
            return answer

        dribbling = [asyncio.create_task(dribble()) for _ in range(1_000)]
        await run.until(lambda: len(run.service.accepted.silent) == 1_000)
        assert await _most_work(one, two) < max(0.5, 10 * quiet)
        assert 1_000 == len(run.service.accepted.silent)
        skip(3_600)
        await run.until(lambda: all(each.done() for each in dribbling))
        assert {b""} == set(await asyncio.gather(*dribbling))
        assert 0 == len(run.service.accepted.silent)


async def test_a_dead_client_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that answers no ping is gone to the others; pings go out every 25 seconds."""
    assert 25 == ws.HEARTBEAT_SECONDS
    skip = skipping(monkeypatch)
    async with running() as run:
        deaf = await run.client.ws_connect(
            "/v1/signal", protocols=("signalpost.v1",), autoping=False
        )
        await deaf.send_str('{"type":"hello"}')
        await deaf.receive()
        assert 1 == run.service.connection_quota.total
        skip(26)
        assert aiohttp.WSMsgType.PING == (await deaf.receive()).type
        assert 1 == run.service.connection_quota.total
        skip(14)
        await run.until(lambda: run.service.connection_quota.total == 0)
        await deaf.close()


# --- what is told ------------------------------------------------------------------------------


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The stream of the log, as JSON. The loggers are restored afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level, logs.LOGGER.level
    logs.configure(Log(), stream)
    logs.LOGGER.setLevel(logging.DEBUG)
    yield stream
    root.handlers[:], level, own = before
    root.setLevel(level)
    logs.LOGGER.setLevel(own)


async def test_no_canary_in_the_log(stream: io.StringIO) -> None:
    """Names, texts, payloads, sessions, credentials and hooks leave no trace in the log."""
    url = "http://127.0.0.1:1/canary-path?canary-query"
    hooks = Hooks(url, Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    async with running(settings(hooks=hooks)) as run:
        ann = await run.peer(run.token("canary-ann"), name="canary-name", reliable=True)
        bob = await run.peer(run.token("canary-bob"), name="canary-name")
        await ann.ask(type="join", room="canary-room", metadata="canary", seq=1)
        await bob.ask(type="join", room="canary-room", metadata="canary")
        await bob.ask(type="text", room="canary-room", text="canary-text", to=bob.id)
        candidate = "candidate:1 1 udp 1 203.0.113.77 1 typ host"
        await bob.send(type="signal", to=ann.id, data={"candidate": candidate}, id="canary-id")
        call = "canary-call-0123456789"
        await ann.send(type="invite", call=call, user="canary-bob", seq=2)
        await bob.ask(type="reject", call=call, reason="canary-reason")
        path = f"/v1/rooms/canary-room/peers/{bob.id}?ban=60"
        async with run.client.delete(path, headers=BEARER) as response:
            assert 200 == response.status
        assert 1008 == await bob.closed()
        await run.until(lambda: "hook failed" in stream.getvalue())
        issued = [peer.welcome["iceServers"][1]["credential"] for peer in (ann, bob)]
        session = ann.welcome["session"]
    text = stream.getvalue()
    planted = ["canary", "203.0.113.77", "127.0.0.1", session, *issued, hooks.secret, "Traceback"]
    planted += [API_KEY, TURN_SECRET, TOKEN_KEY, ID_KEY, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    assert [] == [secret for secret in planted if str(secret) in text]
    assert 2 == text.count('"event":"session"')


# --- the tables in SECURITY.md -----------------------------------------------------------------

TABLE = re.findall(
    r"(?m)^\| (?!control|promise|---)(.+?) \| (.+?) \|$", (ROOT / "SECURITY.md").read_text()
)


def _tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_every_control_has_its_tests() -> None:
    """Each row of SECURITY.md's tables names tests, and every one of them is there."""
    assert len(TABLE) >= 15
    for control, cell in TABLE:
        named = re.findall(r"`((?:\w+/)*test_\w+)\.(test_\w+)`", cell)
        assert named, control
        for module, test in named:
            places = (ROOT / "tests" / folder / f"{module}.py" for folder in ("signalpost", ""))
            assert any(test in _tests(path) for path in places), f"{control}: {module}.{test}"
