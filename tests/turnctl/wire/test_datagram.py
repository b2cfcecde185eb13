"""Datagram links: frames, refusals, hop limits, and answers from another address."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.lab.ports import free_port
from turnctl.wire import stun
from turnctl.wire.datagram import HopLimits, open_datagram
from turnctl.wire.errors import Refused, WireError
from turnctl.wire.outcome import Address
from turnctl.wire.stun import Attribute, Class, Method

PATIENCE = 30.0
"""Seconds for what answers at once; reached only by a test that fails."""

MESSAGE = stun.build(
    Method.BINDING, Class.SUCCESS, [(Attribute.SOFTWARE, b"x")], transaction_id=bytes(range(12))
)
REQUEST = stun.build(Method.BINDING, Class.REQUEST, transaction_id=bytes(range(12)))


class Ear:
    """Keeps what a link gives it, and lets a test wait for it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.losses: list[WireError] = []
        self.strays: list[tuple[bytes, Address]] = []
        self.told = asyncio.Event()

    def frame(self, data: bytes) -> None:
        self.frames.append(data)
        self.told.set()

    def from_elsewhere(self, data: bytes, source: Address) -> None:
        self.strays.append((data, source))
        self.told.set()

    def lost(self, error: WireError) -> None:
        self.losses.append(error)
        self.told.set()

    async def wait(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.told.wait()


async def test_datagrams_in_and_out() -> None:
    """Each datagram is a frame, without padding."""
    ear = Ear()
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        link = await open_datagram(server.getsockname(), ear)
        link.send(b"\x40\x00\x00\x01x")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            data, client = await loop.sock_recvfrom(server, 100)
        assert link.local == client
        server.sendto(data, client)
        await ear.wait()
        link.abort()
    assert [b"\x40\x00\x00\x01x"] == ear.frames
    assert ("udp", 0, None) == (link.protocol, link.unfinished, link.tls)


async def test_a_datagram_that_nobody_takes() -> None:
    """ICMP port unreachable is told as Refused."""
    ear = Ear()
    link = await open_datagram(("127.0.0.1", free_port()), ear)
    link.send(REQUEST)
    await ear.wait()
    link.abort()
    assert [Refused] == [type(loss) for loss in ear.losses]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_refusal_is_told_of_each_family(host: str) -> None:
    """The error queue of an IPv6 socket is read as well."""
    ear = Ear()
    link = await open_datagram((host, free_port()), ear)
    link.send(REQUEST)
    await ear.wait()
    link.send(REQUEST)  # an error that was told is none of the next packet's
    link.abort()
    link.send(REQUEST)
    link.abort()
    assert {Refused} == {type(loss) for loss in ear.losses}


@pytest.mark.parametrize(("host", "option"), [("127.0.0.1", socket.IP_TTL), ("::1", 16)])
async def test_hop_limits_are_seen(host: str, option: int) -> None:
    """TTL or hop limit of the first, the last, the lowest and the highest packet."""
    ear = Ear()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    level = socket.IPPROTO_IPV6 if ":" in host else socket.IPPROTO_IP
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((host, 0))
        link = await open_datagram(server.getsockname()[:2], ear)
        assert link.hops is None
        for count, limit in enumerate((64, 1, 99, 12), start=1):
            server.setsockopt(level, option, limit)
            server.sendto(MESSAGE, link.local)
            while len(ear.frames) < count:
                ear.told.clear()
                await ear.wait()
        link.abort()
    assert HopLimits(64, 12, 1, 99) == link.hops


async def test_an_answer_from_another_port() -> None:
    """What comes from elsewhere is told apart, and counts for no hop limit."""
    ear = Ear()
    with (
        socket.socket(type=socket.SOCK_DGRAM) as server,
        socket.socket(type=socket.SOCK_DGRAM) as other,
    ):
        for sock in (server, other):
            sock.bind(("127.0.0.1", 0))
        link = await open_datagram(server.getsockname(), ear)
        other.sendto(MESSAGE, link.local)
        await ear.wait()
        link.abort()
        assert [(MESSAGE, other.getsockname())] == ear.strays
    assert ([], None) == (ear.frames, link.hops)
