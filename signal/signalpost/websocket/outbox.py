"""The outbox of one WebSocket: writes frames without a task, and drops a client that doesn't read.

Frames are built here (RFC 6455, section 5.2: a server never masks them, and we never compress).
Everything for one client in one turn of the event loop is written at once, because the write is the
most expensive part of a message (bench/signaling.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from struct import Struct

from aiohttp import WSCloseCode

from signalpost.deadlines import Deadlines
from signalpost.dialects.native.numbering import MAX_KEPT
from signalpost.metrics import Drop

__all__ = ["SocketOutbox", "WriteBatch", "head"]

MAX_QUEUED = 2 * MAX_KEPT
"""Bytes that may wait: a whole replay, and the same again."""
WATCHED = 65_536
"""Above this many waiting bytes the client is watched."""
_MEDIUM, _LARGE = Struct("!BBH").pack, Struct("!BBQ").pack


def head(size: int) -> bytes:
    """The header of an unfragmented, unmasked text frame with a payload of `size` bytes."""
    if size < 126:
        return b"\x81%c" % size
    if size < 65_536:
        return _MEDIUM(0x81, 126, size)
    return _LARGE(0x81, 127, size)


class WriteBatch:
    """Flushes outboxes at the end of this turn of the event loop."""

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
    """`dropped` is called once, when the client is cut off. `close` closes the WebSocket with a
    code and a reason. `patience`: a client that reads nothing for so many seconds is cut off.
    """

    __slots__ = (
        "_close",
        "_dropped",
        "_flushed",
        "_parts",
        "_patience",
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
        patience: float = Deadlines.read,
    ) -> None:
        self._transport = transport
        self._writes = writes
        self._dropped = dropped
        self._close = close
        self._patience = patience
        self._parts: list[bytes] = []
        self._written = 0
        self._flushed = 0
        self._watch: asyncio.TimerHandle | None = None

    def send(self, payload: bytes) -> None:
        """Never waits and never fails: if the payload can't be written, the connection ends."""
        parts = self._parts
        if not parts:
            self._writes.add(self)
        parts += head(len(payload)), payload

    def flush(self) -> None:
        """Write everything now: the caller is about to write to the socket itself."""
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
        """Close the WebSocket after everything that was sent."""
        self.flush()
        self._close(code, reason)

    @property
    def waiting(self) -> int:
        """Bytes that the client hasn't read yet."""
        return sum(map(len, self._parts)) + self._transport.get_write_buffer_size()

    def drop(self, reason: Drop) -> None:
        """Cut the client off without a close frame, which it wouldn't read either."""
        if not self._transport.is_closing():
            self._dropped(reason)
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        self.close()
        self._transport.abort()

    def close(self) -> None:
        """Stop watching the client."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look_again(self) -> None:
        self._flushed = self._written - self._transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(self._patience, self._look)

    def _look(self) -> None:
        self._watch = None
        waiting = self._transport.get_write_buffer_size()
        if self._transport.is_closing() or waiting <= WATCHED:
            return
        if self._written - waiting == self._flushed:
            self.drop(Drop.SLOW)
        else:
            self._look_again()
