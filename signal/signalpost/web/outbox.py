"""The way out to one WebSocket: frames written at once, without a task; dropped when nobody reads.

Owns how much may wait and for how long. Frames are put together here (RFC 6455, section 5.2: a
server's are never masked, ours never compressed) because a message then costs one write instead of
a coroutine: bench/signaling.py shows a fifth of the processor time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import StrEnum
from struct import Struct

from aiohttp import WSCloseCode

from signalpost.sessions import MAX_KEPT

__all__ = ["Drop", "SocketOutbox", "text_frame"]

MAX_QUEUED = 2 * MAX_KEPT
"""Bytes waiting: a whole replay, and as much again."""
WATCHED = 65_536
"""Bytes waiting from which on the client is watched."""
WRITE_SECONDS = 10.0
_MEDIUM, _LARGE = Struct("!BBH").pack, Struct("!BBQ").pack


class Drop(StrEnum):
    """Why a client was cut off without a close frame."""

    SLOW = "slow"
    """It did not read."""
    UNACKNOWLEDGED = "unacknowledged"
    """It read, perhaps, and never said so."""


def text_frame(payload: bytes) -> bytes:
    """An unfragmented, unmasked text frame."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65_536:
        return _MEDIUM(0x81, 126, size) + payload
    return _LARGE(0x81, 127, size) + payload


class SocketOutbox:
    """`dropped` hears, once, when the client is cut off for its slowness. `finish` closes the
    WebSocket with a code and a reason, behind everything that was sent.
    """

    __slots__ = ("_dropped", "_flushed", "_transport", "_watch", "_written", "finish")

    def __init__(
        self,
        transport: asyncio.Transport,
        dropped: Callable[[Drop], None],
        finish: Callable[[WSCloseCode, bytes], None],
    ) -> None:
        self._transport = transport
        self._dropped = dropped
        self.finish = finish
        self._written = 0
        self._flushed = 0
        self._watch: asyncio.TimerHandle | None = None

    def send(self, payload: bytes) -> None:
        """Never waits and never fails: what cannot be written ends the connection."""
        self._write(text_frame(payload))

    def replay(self, payloads: Iterable[bytes]) -> None:
        """Many at once."""
        self._write(b"".join(map(text_frame, payloads)))

    def _write(self, frames: bytes) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        self._written += len(frames)
        transport.write(frames)
        waiting = transport.get_write_buffer_size()
        if waiting > WATCHED:
            if waiting > MAX_QUEUED:
                self.drop(Drop.SLOW)
            elif self._watch is None:
                self._look_again()

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken yet."""
        return self._transport.get_write_buffer_size()

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
