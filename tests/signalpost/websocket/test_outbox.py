"""The way out to one WebSocket: frames, one write a turn, and clients that do not read."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import WSCloseCode

from signalpost.deadlines import DEADLINES
from signalpost.metrics import Drop
from signalpost.websocket.outbox import MAX_QUEUED, WATCHED, SocketOutbox, WriteBatch, head


class Wire(asyncio.Transport):
    """A transport whose other side reads when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.unread = 0
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


class Bench:
    def __init__(self, patience: float = DEADLINES.read) -> None:
        self.wire = Wire()
        self.turn = WriteBatch()
        self.drops: list[Drop] = []
        self.closes: list[tuple[WSCloseCode, bytes, int]] = []
        self.outbox = SocketOutbox(self.wire, self.turn, self.drops.append, self.close, patience)

    def close(self, code: WSCloseCode, reason: bytes) -> None:
        self.closes.append((code, reason, len(self.wire.writes)))


async def turns(count: int = 1) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("size", "start"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_frames(size: int, start: bytes) -> None:
    """A frame begins as RFC 6455, section 5.2, has it: text, final, length in 1, 3 or 9 bytes."""
    assert start == head(size)


async def test_one_write_a_writes() -> None:
    """One turn of the loop makes one write, in order. The next turn makes another."""
    bench = Bench()
    bench.outbox.send(b"a")
    bench.outbox.send(b"bc")
    assert [] == bench.wire.writes
    assert 7 == bench.outbox.waiting
    await turns()
    bench.outbox.send(b"d")
    await turns()
    assert [b"\x81\x01a\x81\x02bc", b"\x81\x01d"] == bench.wire.writes


async def test_everybody_has_a_writes() -> None:
    """Outboxes that share a turn are all written; one whose client is gone disturbs no other."""
    bench, other = Bench(), Bench()
    second = SocketOutbox(other.wire, bench.turn, other.drops.append, other.close)
    bench.outbox.send(b"a")
    second.send(b"b")
    bench.wire.closing = True
    await turns()
    assert ([], [b"\x81\x01b"]) == (bench.wire.writes, other.wire.writes)


async def test_finish_comes_last() -> None:
    """The close frame goes out behind everything that was sent."""
    bench = Bench()
    bench.outbox.send(b"a")
    bench.outbox.finish(WSCloseCode.POLICY_VIOLATION, b"why")
    assert [(WSCloseCode.POLICY_VIOLATION, b"why", 1)] == bench.closes
    await turns()
    assert [b"\x81\x01a"] == bench.wire.writes


async def test_too_much_waiting() -> None:
    """A client that has more waiting than the limit is cut off at once, and counted once."""
    bench = Bench()
    bench.wire.unread = MAX_QUEUED + 1
    bench.outbox.send(b"a")
    await turns()
    bench.outbox.send(b"b")
    await turns()
    assert ([Drop.SLOW], True) == (bench.drops, bench.wire.closing)


async def test_nothing_read_for_long() -> None:
    """A client that reads nothing for ten seconds is cut off; one that reads a little is not."""
    slow, stuck = Bench(0.0), Bench(0.0)
    for bench in (slow, stuck):
        bench.wire.unread = WATCHED + 1_000
        bench.outbox.send(b"a")
    await turns()
    slow.wire.unread -= 10
    await turns(2)
    assert ([], [Drop.SLOW]) == (slow.drops, stuck.drops)
    slow.wire.unread = 0
    await turns(2)
    assert [] == slow.drops


async def test_an_outbox_that_is_closed_watches_nobody() -> None:
    """After the session's end nobody is cut off any more."""
    bench = Bench(0.0)
    bench.wire.unread = WATCHED + 1
    bench.outbox.send(b"a")
    await turns()
    bench.outbox.close()
    await turns(2)
    assert [] == bench.drops
