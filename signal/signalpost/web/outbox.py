"""The outbox of one WebSocket: bounded, written by one task, dropped when nobody reads.

Owns the way out of the process. `send` is what the hub calls: it never waits and never fails.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiohttp import web

from signalpost.hub import Dialect

__all__ = ["SocketOutbox"]

MAX_QUEUED = 1_048_576
"""Characters waiting: sixteen of the largest messages, or thousands of candidates."""
WRITE_SECONDS = 10.0


class SocketOutbox:
    """`drop` ends the connection without ceremony; it is called at most once."""

    __slots__ = ("_drop", "_dropped", "_ending", "_queue", "_queued", "_socket", "_wake", "dialect")

    def __init__(
        self, socket: web.WebSocketResponse, dialect: Dialect, drop: Callable[[], None]
    ) -> None:
        self.dialect = dialect
        self._socket = socket
        self._drop = drop
        self._dropped = False
        self._ending = False
        self._queue: deque[str] = deque()
        self._queued = 0
        self._wake = asyncio.Event()

    def send(self, frame: str) -> None:
        if self._dropped:
            return
        if self._queued + len(frame) > MAX_QUEUED:
            self._give_up()
            return
        self._queue.append(frame)
        self._queued += len(frame)
        self._wake.set()

    def finish(self) -> None:
        """Let `run` end once everything queued is written."""
        self._ending = True
        self._wake.set()

    async def run(self) -> None:
        """Write until `finish`, or until the client fails to read for WRITE_SECONDS."""
        while not (self._dropped or (self._ending and not self._queue)):
            await self._wake.wait()
            self._wake.clear()
            try:
                while self._queue:
                    async with asyncio.timeout(WRITE_SECONDS):
                        await self._socket.send_str(self._queue[0])
                    self._queued -= len(self._queue.popleft())
            except TimeoutError:
                self._give_up()
            except ConnectionError:
                self._dropped = True

    def _give_up(self) -> None:
        self._dropped = True
        self._queue.clear()
        self._wake.set()
        self._drop()
