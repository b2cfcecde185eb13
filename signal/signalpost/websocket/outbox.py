"""The way out to one WebSocket: frames written without a task; dropped when nobody reads.

Owns how much may wait and for how long. Frames are put together here (RFC 6455, section 5.2: a
server's are never masked, ours never compressed), and all that one client is sent in a turn of the
event loop is written at once: the write is the dearest part of a message (bench/signaling.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from struct import Struct

from aiohttp import WSCloseCode

from signalpost.dialects.native.numbering import MAX_KEPT
from signalpost.metrics import Drop

__all__ = ["SocketOutbox", "Turn", "head"]

MAX_QUEUED = 2 * MAX_KEPT
"""Bytes waiting: a whole replay, and as much again."""
WATCHED = 65_536
"""Bytes waiting from which on the client is watched."""
WRITE_SECONDS = 10.0
_MEDIUM, _LARGE = Struct("!BBH").pack, Struct("!BBQ").pack


def head(size: int) -> bytes:
    """What comes before the payload of an unfragmented, unmasked text frame."""
    if size < 126:
        return b"\x81%c" % size
    if size < 65_536:
        return _MEDIUM(0x81, 126, size)
    return _LARGE(0x81, 127, size)


class WriteBatch:
    """What is written when this turn of the event loop is over."""

    __slots__ = ("_outboxes",)

    def __init__(self) -> None:
        self._outboxes: list[SocketOutbox] = []

    def add(self, outbox: SocketOutbox) -> None:
        if not self._outboxes:
            asyncio.get_running_loop().call_soon(self._end)
        self._outboxes.append(outbox)

    def _end(self) -> None:
        outboxes, self._outboxes = self._outboxes, []
        for outbox in outboxes:
            outbox.flush()


class SocketOutbox:
    """`dropped` hears, once, when the client is cut off for its slowness. `close` closes the
    WebSocket with a code and a reason.
    """

    __slots__ = (
        "_close",
        "_dropped",
        "_flushed",
        "_parts",
        "_transport",
        "_watch",
        "_writes",
        "_written",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        writes: WriteBatch,
        dropped: Callable[[Drop], None],
        close: Callable[[WSCloseCode, bytes], None],
    ) -> None:
        self._transport = transport
        self._writes = writes
        self._dropped = dropped
        self._close = close
        self._parts: list[bytes] = []
        self._written = 0
        self._flushed = 0
        self._watch: asyncio.TimerHandle | None = None

    def send(self, payload: bytes) -> None:
        """Never waits and never fails: what cannot be written ends the connection."""
        parts = self._parts
        if not parts:
            self._writes.add(self)
        parts += head(len(payload)), payload

    def flush(self) -> None:
        """Write what was sent, now: something else is about to be written."""
        data = b"".join(self._parts)
        self._parts.clear()
        transport = self._transport
        if not data or transport.is_closing():
            return
        self._written += len(data)
        transport.write(data)
        waiting = transport.get_write_buffer_size()
        if waiting > WATCHED:
            if waiting > MAX_QUEUED:
                self.drop(Drop.SLOW)
            elif self._watch is None:
                self._look_again()

    def finish(self, code: WSCloseCode, reason: bytes) -> None:
        """Close the WebSocket, behind everything that was sent."""
        self.flush()
        self._close(code, reason)

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken yet."""
        return sum(map(len, self._parts)) + self._transport.get_write_buffer_size()

    def drop(self, reason: Drop) -> None:
        """The client does not read: no close frame would get through either."""
        if not self._transport.is_closing():
            self._dropped(reason)
            self.abort()

    def abort(self) -> None:
        """End the connection without ceremony."""
        self.close()
        self._transport.abort()

    def close(self) -> None:
        """Look after it no more."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look_again(self) -> None:
        self._flushed = self._written - self._transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(WRITE_SECONDS, self._look)

    def _look(self) -> None:
        self._watch = None
        waiting = self._transport.get_write_buffer_size()
        if self._transport.is_closing() or waiting <= WATCHED:
            return
        if self._written - waiting == self._flushed:
            self.drop(Drop.SLOW)
        else:
            self._look_again()
