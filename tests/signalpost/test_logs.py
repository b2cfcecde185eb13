"""The log: what it shows, and what it never shows."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from dataclasses import replace

from signalpost import logs
from signalpost.config.settings import Log, LogFormat, LogLevel
from tests.signalpost.running import (
    API_KEY,
    BEARER,
    ID_KEY,
    SETTINGS,
    TOKEN_KEY,
    TURN_SECRET,
    logged,
    running,
    settings,
)


async def test_one_line_a_session(stream: io.StringIO) -> None:
    """A WebSocket session has one line when it ends, and none as a request."""
    async with running() as run:
        peer = await run.peer()
        await peer.ask(type="join", room="lobby")
        await peer.socket.close(code=4000)
    (line,) = logged(stream, "session")
    assert logged(stream, "request") == []
    assert (line["peer"], line["messages"], line["close"]) == (peer.id, 2, 4000)
    assert len(line["rooms"]) == 1
    assert line["seconds"] == 0


async def test_nothing_secret_in_the_log(stream: io.StringIO) -> None:
    """Planted secrets, names, addresses and payloads appear nowhere, at any level."""
    logs.LOGGER.setLevel(logging.DEBUG)
    http = replace(SETTINGS.http, trusted_proxies=())
    async with running(settings(http=http)) as run:
        token = run.token("canary-user")
        client, minted = run.client, []
        for path in (
            f"/v1/ice-servers?user=canary-user&token={token}",
            f"/turn?service=turn&username=canary-user&key={API_KEY}",
            "/turn?service=turn&key=canary-wrong-key",
        ):
            async with client.get(path, headers=BEARER) as response:
                minted.append(await response.text())
        async with client.post("/v1/tokens", json={"user": "canary-user"}, headers=BEARER) as made:
            minted.append((await made.json())["token"])
        await (
            await client.get("/v1/ice-servers", headers={"Authorization": "Bearer canary"})
        ).read()
        one, two = await run.peer(token), await run.peer()
        for peer in (one, two):
            await peer.ask(type="join", room="canary-room")
        await one.receive()
        sdp = "v=0 canary-sdp candidate:1 1 udp 1 203.0.113.77 1 typ host"
        await one.send(type="signal", room="canary-room", data={"sdp": sdp})
        assert sdp == (await two.receive())["data"]["sdp"]
        await two.socket.send_str('{"type":"canary-type"}')
        await two.receive()
        raw = await asyncio.open_connection("127.0.0.1", run.ports.port)
        raw[1].write(b"GET /turn?key=canary-raw\xff HTTP/1.1\r\nHost: x\r\n\r\n")
        await raw[0].read()
        raw[1].close()
        await raw[1].wait_closed()
    text = stream.getvalue()
    credentials = [json.loads(body) for body in minted if body.startswith('{"')][:2]
    planted = ["canary", "203.0.113.77", "127.0.0.1", token, API_KEY, TURN_SECRET, TOKEN_KEY]
    planted += [ID_KEY, minted[-1], credentials[1]["password"], "Traceback"]
    planted.append(credentials[0]["iceServers"][1]["credential"])
    assert text.count("\n") >= 8
    assert [secret for secret in planted if secret in text] == []


def test_text_and_level() -> None:
    """Text lines are for people; what is below the level is not written."""
    stream, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level, logs.LOGGER.level
    try:
        logs.configure(Log(LogFormat.TEXT, LogLevel.WARNING), stream)
        logs.emit(logging.INFO, "quiet", a=1)
        logs.emit(logging.WARNING, "loud", a=1, b=None, c="x")
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        logs.LOGGER.setLevel(before[2])
    assert stream.getvalue().split(" ", 1)[1] == "warning loud a=1 c=x\n"


def test_stamp() -> None:
    """Times are UTC with milliseconds."""
    assert logs.JsonFormatter().stamp(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"
