"""Rotation under load: 50 allocations that exchange data, 20 new ones a second through the service,
and nobody notices."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.lab import coturn
from tests.lab.host import RELAYS, Credential, Host, hosted
from turnctl.wire.outcome import Address
from turnctl.wire.session import Session

PAIRS = 25
NEW_PER_SECOND = 20
TTL = 8
"""Seconds: the old secret goes thirteen seconds after the new one is in use."""
PATIENCE = 60.0


@dataclass
class Pair:
    """Two allocations that send to each other's relayed address, each packet with a number."""

    sessions: tuple[Session, Session]
    channels: list[int] = field(default_factory=list)
    sent: int = 0
    arrived: set[bytes] = field(default_factory=set)

    async def connect(self) -> None:
        relayed = [(await session.allocate(patience=PATIENCE)).relayed for session in self.sessions]
        for session, peer in zip(self.sessions, reversed(relayed), strict=True):
            session.on_data = self._take
            self.channels.append(await session.bind(peer, patience=PATIENCE))

    def _take(self, _: Address, payload: bytes) -> None:
        self.arrived.add(payload)

    def send(self) -> None:
        for side, session in enumerate(self.sessions):
            session.send_channel(self.channels[side], f"{side} {self.sent}".encode())
        self.sent += 1

    @property
    def missing(self) -> int:
        return 2 * self.sent - len(self.arrived)


@dataclass
class Load:
    """`outcomes` of new allocations: 200, or the code of STUN's or the service's error."""

    host: Host
    client: aiohttp.ClientSession
    pairs: list[Pair] = field(default_factory=list)
    outcomes: Counter[int] = field(default_factory=Counter)
    key: str = ""
    _made: int = 0

    async def credential(self, user: str) -> Credential | int:
        """From the service, or the status of its refusal."""
        headers = {"Authorization": f"Bearer {self.key}"}
        url = f"{self.host.url}/v1/ice-servers"
        async with self.client.get(url, params={"user": user}, headers=headers) as reply:
            if reply.status != 200:
                return reply.status
            server = (await reply.json())["iceServers"][-1]
        return Credential(server["username"], server["credential"])

    async def send(self) -> None:
        """Ten packets a second from every allocation, for ever."""
        while True:
            for pair in self.pairs:
                pair.send()
            await asyncio.sleep(0.1)

    async def come(self) -> None:
        """NEW_PER_SECOND people, for ever."""
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                self._made += 1
                group.create_task(self._one(self._made))
                due = begun + self._made / NEW_PER_SECOND
                await asyncio.sleep(max(0, due - time.monotonic()))

    async def _one(self, number: int) -> None:
        begun = time.time()
        credential = await self.credential(f"new-{number}")
        if isinstance(credential, int):
            self.outcomes[credential] += 1
            return
        outcome = await self.host.allocate(credential, RELAYS[number % len(RELAYS)])
        # On a machine that stood still for so long the credential has simply expired.
        if time.time() - begun < TTL - 1:
            self.outcomes[outcome] += 1


@asynccontextmanager
async def loaded(host: Host) -> AsyncIterator[Load]:
    """Everything allocated and connected."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())
        load = Load(host, client, key=host.secrets("api-key")[0])
        for number in range(PAIRS):
            sessions = []
            for side in "ab":
                credential = await load.credential(f"{side}-{number}")
                assert isinstance(credential, Credential), credential
                relay = RELAYS[number % len(RELAYS)]
                sessions.append(await stack.enter_async_context(host.session(credential, relay)))
            pair = Pair((sessions[0], sessions[1]))
            await pair.connect()
            load.pairs.append(pair)
        yield load


@pytest.mark.parametrize("version", coturn.VERSIONS)
async def test_nobody_notices(version: coturn.Version, tmp_path: Path) -> None:
    """No allocation is lost, no packet, and nobody gets a 401, from before the rotation until
    after the old secret is gone."""
    with hosted(tmp_path, version=version, ttl=TTL) as host:
        (old,) = host.secrets()
        async with loaded(host) as load:
            tasks = [asyncio.create_task(work) for work in (load.send(), load.come())]
            done = await asyncio.to_thread(host.rotate, hurry=False)
            assert done.returncode == 0, done.stderr
            assert old not in host.secrets()
            for pair in load.pairs:
                for session in pair.sessions:
                    assert await session.refresh(patience=PATIENCE)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [asyncio.CancelledError] * 2 == [type(one) for one in ended]
            deadline = time.monotonic() + PATIENCE
            while any(pair.missing for pair in load.pairs):
                assert time.monotonic() < deadline, [pair.missing for pair in load.pairs]
                await asyncio.sleep(0.05)
            assert {200} == set(load.outcomes)
            assert load.outcomes.total() > 5 * NEW_PER_SECOND
            assert not any(session.ended for pair in load.pairs for session in pair.sessions)
