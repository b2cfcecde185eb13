"""Links: framing of a byte stream, and sockets whose troubles become WireErrors."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.lab.certs import Authority
from tests.lab.ports import free_port
from turnctl.wire import links, stun
from turnctl.wire.errors import Closed, NotStun, Refused, Silent, TlsFailed, WireError
from turnctl.wire.links import Frames
from turnctl.wire.stun import Attribute, Class, Method

CASES = 100_000 if os.environ.get("SOAK") else 2_000

PATIENCE = 30.0
"""Seconds for what answers at once; reached only by a test that fails."""

TRANSACTION = bytes(range(12))
MESSAGE = stun.build(
    Method.BINDING, Class.SUCCESS, [(Attribute.SOFTWARE, b"x")], transaction_id=TRANSACTION
)


def channel_data(payload: bytes) -> bytes:
    return b"\x40\x00" + len(payload).to_bytes(2, "big") + payload


def padded(frame: bytes) -> bytes:
    return frame + bytes(-len(frame) % 4)


# --- framing -----------------------------------------------------------------------------------

stun_frames = st.binary(max_size=60).map(
    lambda value: stun.build(
        Method.DATA, Class.INDICATION, [(Attribute.DATA, value)], transaction_id=TRANSACTION
    )
)
frames = st.lists(stun_frames | st.binary(max_size=60).map(channel_data), max_size=8).map(
    lambda rest: [MESSAGE, *rest]
)


@settings(max_examples=CASES, deadline=None)
@given(frames, st.lists(st.integers(1, 50), max_size=60))
def test_any_chunking_gives_the_same_frames(sent: list[bytes], sizes: list[int]) -> None:
    """However TCP cuts the stream, the frames are those that were sent, without padding."""
    stream = b"".join(map(padded, sent))
    cutter = Frames()
    got: list[bytes] = []
    for size in sizes:
        got += cutter.feed(stream[:size])
        stream = stream[size:]
    got += cutter.feed(stream)
    assert sent == got
    assert 0 == cutter.unfinished


@pytest.mark.parametrize("length", range(5))
def test_padding_of_channel_data_is_cut(length: int) -> None:
    """Over a stream ChannelData is padded to four bytes (RFC 8656 section 12.5)."""
    frame = channel_data(b"x" * length)
    assert [MESSAGE, frame, frame] == list(Frames().feed(MESSAGE + padded(frame) * 2))


def test_a_frame_waits_for_its_padding() -> None:
    """Before the padding is there the frame is unfinished."""
    cutter = Frames()
    list(cutter.feed(MESSAGE))
    assert [] == list(cutter.feed(channel_data(b"x")))
    assert 5 == cutter.unfinished
    assert [channel_data(b"x")] == list(cutter.feed(bytes(3)))


@pytest.mark.parametrize(
    ("stream", "at"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request", 4, id="http"),
        pytest.param(b"\x40\x00\x00\x04abcd", 4, id="channel data before any message"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", 5, id="TLS handshake"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x28", 5, id="TLS alert"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2", 4, id="ssh"),
        pytest.param(b"\xff" * 20, 4, id="channel of no TURN server"),
        pytest.param(b"\x01\x01\x00\x00\x21\x12\xa4\x43", 8, id="wrong cookie"),
    ],
)
def test_what_is_no_stun_is_told_at_once(stream: bytes, at: int) -> None:
    """The stream is refused at the first byte that cannot be STUN, and shown as evidence."""
    cutter = Frames()
    assert [] == list(cutter.feed(stream[: at - 1]))
    with pytest.raises(NotStun) as caught:
        list(cutter.feed(stream[at - 1 : at]))
    assert repr(stream[:at]) in str(caught.value)


@settings(max_examples=CASES, deadline=None)
@given(st.binary(max_size=100))
@example(b"\x40")
def test_random_streams(data: bytes) -> None:
    """Whatever comes gives frames, waits for more, or is NotStun."""
    try:
        got = list(Frames().feed(data))
    except NotStun:
        return
    assert sum(map(len, got)) <= len(data)


# --- sockets -----------------------------------------------------------------------------------


class Ear:
    """Keeps what a link gives it, and lets a test wait for it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.losses: list[WireError] = []
        self.told = asyncio.Event()

    def frame(self, data: bytes) -> None:
        self.frames.append(data)
        self.told.set()

    def lost(self, error: WireError) -> None:
        self.losses.append(error)
        self.told.set()

    async def wait(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.told.wait()


@asynccontextmanager
async def listening(answer: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that sends `answer` after 20 bytes and closes; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(20)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


REQUEST = stun.build(Method.BINDING, Class.REQUEST, transaction_id=TRANSACTION)


@pytest.mark.parametrize(
    ("answer", "frames", "loss", "said"),
    [
        (MESSAGE, [MESSAGE], Closed, "the server closed the connection"),
        (b"", [], Closed, "the server closed the connection"),
        (MESSAGE[:10], [], NotStun, "ended 10 bytes into a message"),
        (b"HTTP/1.1 400 Bad Request", [], NotStun, "a STUN message, beginning b'HTTP/1.1 400"),
    ],
)
async def test_how_a_stream_ends(
    answer: bytes, frames: list[bytes], loss: type[WireError], said: str
) -> None:
    """Whole frames are passed on, and the first thing said of the end is its cause."""
    ear = Ear()
    async with listening(answer) as port:
        sock = await links.connect_stream(("127.0.0.1", port), patience=PATIENCE)
        link = await links.open_stream(sock, ear)
        assert ("tcp", ("127.0.0.1", port), None) == (link.protocol, link.remote, link.tls)
        link.send(REQUEST)
        while not ear.losses:
            ear.told.clear()
            await ear.wait()
        link.abort()
    assert frames == ear.frames
    assert loss is type(ear.losses[0])
    assert said in str(ear.losses[0])


async def test_tls_carries_frames(authority: Authority) -> None:
    """Over TLS the frames are the same, and the certificate can be seen."""
    certificate = authority.issue(["127.0.0.1"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate.chain, certificate.key)
    ear = Ear()
    async with listening(MESSAGE, server) as port:
        sock = await links.connect_stream(("127.0.0.1", port), patience=PATIENCE)
        client = ssl.create_default_context(cafile=str(authority.root))
        link = await links.open_stream(sock, ear, context=client, server_name="127.0.0.1")
        assert link.tls is not None
        assert "TLSv1.3" == link.tls.version()
        link.send(REQUEST)
        await ear.wait()
        link.abort()
        await asyncio.sleep(0)  # its socket is gone from here on
        assert 0 == link.retransmitted
    assert ("tls", [MESSAGE]) == (link.protocol, ear.frames)


async def test_a_failed_handshake_closes_the_socket() -> None:
    """What cannot be made TLS is TlsFailed, and the socket is not left open."""
    async with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        sock = await links.connect_stream(("127.0.0.1", port), patience=PATIENCE)
        context = ssl.create_default_context()
        with pytest.raises(TlsFailed):
            await links.open_stream(sock, Ear(), context=context, server_name="turn.example")
    assert -1 == sock.fileno()


async def test_a_stream_that_nobody_takes() -> None:
    """A closed port refuses the connection at once."""
    with pytest.raises(Refused):
        await links.connect_stream(("127.0.0.1", free_port()), patience=PATIENCE)


@contextmanager
def full_backlog() -> Iterator[int]:
    """A listener that takes no more connections: a SYN to it stays unanswered."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_a_stream_that_is_not_answered() -> None:
    """Silence to a connect ends with the caller's patience."""
    with full_backlog() as port, pytest.raises(Silent, match=r"TCP connect in 0\.1 s"):
        await links.connect_stream(("127.0.0.1", port), patience=0.1)


async def test_a_connection_that_had_to_wait_for_us() -> None:
    """One that was made in time counts, though this process stood still for longer than that."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connecting = asyncio.ensure_future(links.connect_stream(server.getsockname(), patience=1))
        for _ in range(3):
            await asyncio.sleep(0)  # until it waits
        time.sleep(1.1)  # noqa: ASYNC251  that is what it is about
        (await connecting).close()
