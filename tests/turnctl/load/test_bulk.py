"""Links for load: streams that fill up, frames that come in pieces, sockets that break."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from turnctl.load.bulk import OUT_LIMIT, BulkLink, open_bulk
from turnctl.wire.errors import Closed, NotStun, Refused, WireError

STUN = bytes.fromhex("0101 0000 2112a442") + bytes(12)
CHANNEL_DATA = bytes.fromhex("4000 0005") + b"hello"


class Taker:
    """What a session would get."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.errors: list[WireError] = []
        self.arrived = asyncio.Event()

    def frame(self, data: bytes) -> None:
        self.frames.append(data)
        self.arrived.set()

    def lost(self, error: WireError) -> None:
        self.errors.append(error)


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection, the first non-blocking."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as ours,
        server.accept()[0] as theirs,
    ):
        ours.setblocking(False)
        theirs.settimeout(10)
        yield ours, theirs


def link_over(sock: socket.socket, taker: Taker) -> BulkLink:
    return BulkLink(sock, taker, "tcp", ("127.0.0.1", 1))


def taken(link: BulkLink, wanted: int) -> list[bytes]:
    """Frames that `drain` gives until there are as many as wanted."""
    frames: list[bytes] = []
    while len(frames) < wanted and link.failed is None:
        link.drain(lambda frame: frames.append(bytes(frame)))
    return frames


def test_a_stream_is_cut_into_frames(
    pair: tuple[socket.socket, socket.socket], taker: Taker
) -> None:
    """In whatever pieces they come; the padding of ChannelData is dropped."""
    ours, theirs = pair
    link = link_over(ours, taker)
    stream = STUN + CHANNEL_DATA + bytes(3) + CHANNEL_DATA + bytes(3)
    for piece in (stream[:30], stream[30:33], stream[33:]):
        theirs.sendall(piece)
    assert [STUN, CHANNEL_DATA, CHANNEL_DATA] == taken(link, 3)


def test_a_full_stream_holds_back_and_refuses(
    pair: tuple[socket.socket, socket.socket], taker: Taker
) -> None:
    """What was accepted arrives whole and padded, although the socket took it in pieces."""
    ours, theirs = pair
    link = link_over(ours, taker)
    frame = bytes.fromhex("4000 03fd") + bytes(range(256)) * 3 + bytes(253)
    accepted = 0
    while link.push(frame):
        accepted += 1
    assert accepted * len(frame) > OUT_LIMIT
    expected = (frame + bytes(3)) * accepted
    received = bytearray()
    while len(received) < len(expected):
        received += theirs.recv(65_536)
        link.flush()
    assert expected == received
    assert link.push(frame)


@pytest.mark.parametrize(("sent", "error"), [(b"HTTP/1.1 400 Bad", NotStun), (b"", Closed)])
def test_a_broken_stream_is_told_once(
    pair: tuple[socket.socket, socket.socket],
    taker: Taker,
    sent: bytes,
    error: type[WireError],
) -> None:
    """Garbage, or the end: the session learns why, and nothing more is read."""
    ours, theirs = pair
    link = link_over(ours, taker)
    theirs.sendall(sent)
    theirs.shutdown(socket.SHUT_WR)
    assert [] == taken(link, 1)
    link.drain(taker.frame)  # type: ignore[arg-type]  # is not called
    assert [error] == [type(one) for one in taker.errors]


async def test_the_loop_feeds_while_watched(taker: Taker) -> None:
    """Over UDP: after `unwatch` packets wait for the caller."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        link = await open_bulk(server.getsockname(), taker, protocol="udp")
        try:
            server.sendto(STUN, link.local)
            async with asyncio.timeout(10):
                await taker.arrived.wait()
            link.unwatch()
            server.sendto(CHANNEL_DATA, link.local)
            await asyncio.sleep(0)
            assert [CHANNEL_DATA] == taken(link, 1)
            assert [STUN] == taker.frames
        finally:
            link.abort()


async def test_nobody_there(taker: Taker) -> None:
    """A refused TCP connection, and a closed UDP port, which shows with a later packet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    with pytest.raises(Refused):
        await open_bulk(address, taker, protocol="tcp")
    link = await open_bulk(address, taker, protocol="udp")
    try:
        while link.push(STUN):
            pass
        assert isinstance(link.failed, Refused)
    finally:
        link.abort()
