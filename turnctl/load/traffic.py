"""Traffic between relays: packets go out over one channel and back over another, counted and timed.

This is the hot path. Each pair has one prepared ChannelData frame, in which only the number and the
time change. The traffic has a selector of its own and works in slices, so that the event loop sees
signals in between. A packet carries the time it was sent, so nothing is kept about those in flight.
"""

from __future__ import annotations

import secrets
import selectors
import struct
import time
from array import array
from collections.abc import Sequence

from turnctl.load.bulk import BulkLink
from turnctl.wire.errors import WireError

__all__ = ["MIN_SIZE", "Pair", "Traffic"]

HEAD = struct.Struct("!HH4sIQ")
"""Channel, length (RFC 8656 section 12.4), then our own: run, packet number, time sent in ns."""

CHANNEL_HEADER = 4
MIN_SIZE = HEAD.size - CHANNEL_HEADER
_CHANNEL = struct.Struct("!H")
_STAMP = struct.Struct("!IQ")
STAMP_AT = CHANNEL_HEADER + 4

STALL_NS = 250_000_000
"""After so long a silence, packets in flight count as lost and the window is filled again."""

BURST = 32
"""The most packets that a pair sends in one go if it is behind its rate."""

IDLE_WAIT = 0.001
"""Seconds to wait for packets: shorter than the pause between packets at any useful rate."""


class Pair:
    """Two allocations: `near` sends and counts, `far` returns, each over its channel."""

    def __init__(
        self, near: BulkLink, near_channel: int, far: BulkLink, far_channel: int, size: int
    ) -> None:
        self.near, self.far = near, far
        self.sent = self.received = 0
        self.rtts_ns = array("Q")
        self._run = secrets.token_bytes(4)
        self._frame = bytearray(CHANNEL_HEADER + size)
        HEAD.pack_into(self._frame, 0, near_channel, size, self._run, 0, 0)
        self._return = far_channel
        self._acknowledged = 0
        self._progress = time.perf_counter_ns()

    @property
    def failed(self) -> WireError | None:
        return self.near.failed or self.far.failed

    def fill(self, window: int) -> None:
        """Send until `window` packets are in flight. An overtaken packet counts as lost."""
        while self.sent - self._acknowledged < window:
            if not self._send():
                return

    def keep_up(self, due: int) -> None:
        """Send until `due` packets have been sent in all, a burst at the most."""
        for _ in range(min(due - self.sent, BURST)):
            if not self._send():
                return

    def _send(self) -> bool:
        _STAMP.pack_into(self._frame, STAMP_AT, self.sent & 0xFFFFFFFF, time.perf_counter_ns())
        if not self.near.push(self._frame):
            return False
        self.sent += 1
        return True

    def at_far(self, frame: memoryview) -> None:
        """Send the packet back unchanged, over the other channel."""
        if self._is_ours(frame):
            _CHANNEL.pack_into(returned := bytearray(frame), 0, self._return)
            self.far.push(returned)

    def at_near(self, frame: memoryview) -> None:
        if self._is_ours(frame):
            number, departed = _STAMP.unpack_from(frame, STAMP_AT)
            now = self._progress = time.perf_counter_ns()
            self.rtts_ns.append(now - departed)
            self.received += 1
            if number >= self._acknowledged:
                self._acknowledged = number + 1

    def _is_ours(self, frame: memoryview) -> bool:
        return len(frame) == len(self._frame) and frame[4:8] == self._run

    def write_off(self) -> None:
        """After a stall, stop waiting for packets in flight."""
        if time.perf_counter_ns() - self._progress > STALL_NS:
            self._acknowledged = self.sent
            self._progress = time.perf_counter_ns()


class Traffic:
    """All pairs at once, each with `window` packets in flight or `rate` packets per second."""

    def __init__(self, pairs: Sequence[Pair], *, window: int = 0, rate: float = 0.0) -> None:
        self.pairs = pairs
        self._window = window
        self._rate = rate
        self._begun = time.perf_counter()
        self._selector = selectors.DefaultSelector()
        for pair in pairs:
            for link, take in ((pair.near, pair.at_near), (pair.far, pair.at_far)):
                link.unwatch()
                self._selector.register(link.sock, selectors.EVENT_READ, (link, take))

    @property
    def sent(self) -> int:
        return sum(pair.sent for pair in self.pairs)

    @property
    def received(self) -> int:
        return sum(pair.received for pair in self.pairs)

    @property
    def alive(self) -> bool:
        return any(pair.failed is None for pair in self.pairs)

    def work(self, seconds: float) -> None:
        """Send and receive for so many seconds."""
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            for pair in self.pairs:
                if self._rate:
                    pair.keep_up(int((now - self._begun) * self._rate) + 1)
                else:
                    pair.fill(self._window)
            self._take(IDLE_WAIT)
        if not self._rate:
            for pair in self.pairs:
                pair.write_off()

    def drain(self, silence: float) -> None:
        """Receive packets in flight until none has come for `silence` seconds, and for ten times as
        long at most."""
        end = time.perf_counter() + silence
        last = end + 9 * silence
        while self.received < self.sent and self.alive:
            # Before the clock: this process may not have run for longer than `silence`.
            came = self._take(IDLE_WAIT)
            now = time.perf_counter()
            if came:
                end = min(now + silence, last)
            if now >= end:
                return

    def _take(self, wait: float) -> bool:
        """Receive what is there; True if there was anything."""
        ready = self._selector.select(wait)
        for key, _ in ready:
            link, take = key.data
            link.drain(take)
            if link.failed is not None:
                self._selector.unregister(key.fileobj)
        return bool(ready)

    def close(self) -> None:
        """Give the links back to the event loop."""
        self._selector.close()
        for pair in self.pairs:
            pair.near.watch()
            pair.far.watch()
