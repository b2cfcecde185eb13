"""Clients that come, talk, are lost, come back and leave, for long: nothing is left of them.

A few seconds in `make test`; in `make soak` 5,000 connections for ten minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from statistics import mean
from typing import Any

import aiohttp
import pytest

from signalpost.config.settings import Limits
from signalpost.deadlines import Deadlines
from signalpost.limits import Rate
from tests.signalpost.killable import CONFIG, Process
from tests.signalpost.running import running, settings

SOAK = bool(os.environ.get("SOAK"))
CLIENTS, SECONDS = (5_000, 600.0) if SOAK else (100, 4.0)
STAY = (5.0, 30.0) if SOAK else (0.05, 0.3)
"""How long a client keeps a connection."""
MAX_GROWTH = 1.05 if SOAK else 1.25
"""In a few seconds the sessions of lost clients only pile up: they are kept for half a minute."""
LIMITS = "limits: {connections_per_address: 20000, mints_per_user: 9000000/min, "
LIMITS += "mints_per_address: 9000000/min}\n"


class Churner:
    """One client after another on the same chair. Half of them are reliable."""

    def __init__(self, session: aiohttp.ClientSession, url: str, chair: int) -> None:
        self._session = session
        self._url = url
        self._room = f"room {chair // 2}"
        self._dice = random.Random(chair)  # noqa: S311  the same run each time
        self._lost: dict[str, Any] | None = None
        self.came = 0

    async def run(self) -> None:
        """For ever. They come one by one: in a crowd at the door their own process would be the one
        that is slow to say hello.
        """
        await asyncio.sleep(self._dice.uniform(0, STAY[1]))
        while True:
            await self._visit()

    async def _visit(self) -> None:
        connect = self._session.ws_connect(self._url, protocols=("signalpost.v1",))
        async with connect as socket:
            reliable = self._lost is not None or self._dice.random() < 0.5
            hello: dict[str, Any] = {"type": "hello", "reliable": reliable}
            if self._lost is not None:
                hello["resume"] = {"session": self._lost["session"], "received": 0}
            await socket.send_str(json.dumps(hello))
            welcome = await socket.receive_json()
            assert "welcome" == welcome["type"], welcome
            self.came += 1
            said: list[dict[str, Any]] = [{"type": "signal", "room": self._room, "data": "x" * 200}]
            if not welcome.get("resumed"):
                said.insert(0, {"type": "join", "room": self._room})
            for number, message in enumerate(said, welcome.get("received", 0) + 1):
                await socket.send_str(json.dumps(message | {"seq": number}))
            await self._listen(socket)
            self._lost = None
            if reliable and self._dice.random() < 0.3:
                self._lost = welcome
                if socket._conn is not None and socket._conn.transport is not None:
                    socket._conn.transport.abort()

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async with asyncio.timeout(self._dice.uniform(*STAY)):
                while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
        except TimeoutError:
            pass


async def _end(runs: list[asyncio.Task[None]]) -> None:
    """Every client was served to the end."""
    for one in runs:
        one.cancel()
    ends = await asyncio.gather(*runs, return_exceptions=True)
    assert [] == [end for end in ends if not isinstance(end, asyncio.CancelledError)]


@pytest.mark.usefixtures("many_files")
async def test_memory_is_flat(tmp_path: Path) -> None:
    """However many have come and gone, the service holds no more than it did early on."""
    before, _, _ = CONFIG.partition("limits:")
    with Process(tmp_path, before + LIMITS) as service:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            churners = [
                Churner(session, f"{service.url}/v1/signal", chair) for chair in range(CLIENTS)
            ]
            runs = [asyncio.create_task(churner.run()) for churner in churners]
            samples: list[int] = []
            # A busy machine needs longer for as much.
            while len(samples) < 40 or sum(churner.came for churner in churners) <= 3 * CLIENTS:
                done, _ = await asyncio.wait(
                    runs, timeout=SECONDS / 40, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    break
                samples.append(service.kib())
            await _end(runs)
        quarter = len(samples) // 4
        assert mean(samples[-quarter:]) <= MAX_GROWTH * mean(samples[quarter : 2 * quarter])


async def test_nothing_is_left() -> None:
    """When all clients are gone, none of their tasks, rooms, sessions or connections is left."""
    often = Rate(1_000_000, 1)
    limits = Limits(mints_per_user=often, mints_per_address=often)
    async with running(settings(limits=limits), Deadlines(resume=0.05)) as run:
        tasks = len(asyncio.all_tasks())
        url = f"http://127.0.0.1:{run.ports.port}/v1/signal"
        churners = [Churner(run.client, url, chair) for chair in range(20)]
        runs = [asyncio.create_task(churner.run()) for churner in churners]
        await asyncio.wait(runs, timeout=1, return_when=asyncio.FIRST_COMPLETED)
        await _end(runs)
        service = run.service
        await run.until(lambda: not list(service.sessions) and not service.connection_quota.total)
        assert (0, 0) == (service.hub.room_count, len(service.sockets))
        await run.until(lambda: len(asyncio.all_tasks()) == tasks)
