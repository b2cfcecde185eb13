"""Traffic between two links, worked by hand: windows, rates, losses."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import cast

import pytest

from turnctl.load.bulk import BulkLink
from turnctl.load.traffic import BURST, HEAD, MIN_SIZE, Pair

NEAR, FAR = 0x4000, 0x4001


class Link:
    """Keeps what is pushed; `room` says how many frames it takes."""

    def __init__(self, room: int = 1000) -> None:
        self.frames: list[bytes] = []
        self.room = room
        self.failed = None

    def push(self, frame: bytes) -> bool:
        if len(self.frames) >= self.room:
            return False
        self.frames.append(bytes(frame))
        return True


def made(size: int = 100, room: int = 1000) -> tuple[Pair, Link, Link]:
    near, far = Link(room), Link()
    return Pair(cast(BulkLink, near), NEAR, cast(BulkLink, far), FAR, size), near, far


def deliver(frames: list[bytes], take: Callable[[memoryview], None], channel: int) -> None:
    """As a relay does: with the channel that the other side bound."""
    for frame in frames:
        take(memoryview(struct.pack("!H", channel) + frame[2:]))
    frames.clear()


def test_a_packet_goes_out_and_returns() -> None:
    """It is counted and timed once, over its own channels."""
    pair, near, far = made()
    pair.fill(1)
    [frame] = near.frames
    assert (NEAR, 100) == struct.unpack_from("!HH", frame)
    deliver(near.frames, pair.at_far, FAR)
    assert [FAR] == [struct.unpack_from("!H", one)[0] for one in far.frames]
    deliver(far.frames, pair.at_near, NEAR)
    assert (1, 1, 1) == (pair.sent, pair.received, len(pair.rtts_ns))


def test_a_window_stays_full() -> None:
    """As many in flight as it allows; what a later packet overtakes is lost."""
    pair, near, far = made()
    pair.fill(4)
    pair.fill(4)
    assert 4 == pair.sent
    deliver(near.frames[2:3], pair.at_far, FAR)
    deliver(far.frames, pair.at_near, NEAR)
    pair.fill(4)
    assert (7, 1) == (pair.sent, pair.received)


def test_a_rate_is_kept_in_bursts() -> None:
    """Far behind its rate a pair sends a burst, not everything at once."""
    pair, _, _ = made()
    pair.keep_up(3)
    assert 3 == pair.sent
    pair.keep_up(1000)
    assert 3 + BURST == pair.sent


def test_a_link_without_room() -> None:
    """What it does not take was not sent."""
    pair, _, _ = made(room=2)
    pair.fill(10)
    assert 2 == pair.sent


@pytest.mark.parametrize("frame", [bytes(104), bytes(20)])
def test_what_is_not_ours(frame: bytes) -> None:
    """Another run's packet, or one of another size, counts for nothing."""
    pair, near, far = made()
    pair.at_near(memoryview(frame))
    pair.at_far(memoryview(frame))
    assert (0, []) == (pair.received, far.frames)
    assert [] == near.frames


def test_the_smallest_packet() -> None:
    """It holds its run, its number and the time it was sent."""
    assert HEAD.size - 4 == MIN_SIZE
    pair, near, _ = made(size=MIN_SIZE)
    pair.fill(1)
    assert 4 + MIN_SIZE == len(near.frames[0])
